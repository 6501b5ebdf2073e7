//! Counts gRPC messages by their frames: a flag, four bytes of length, the message.

use bytes::Buf as _;

/// Counts the messages in a sequence of byte chunks. The state between chunks allows a frame to be
/// split anywhere.
#[derive(Debug, Default)]
pub(super) struct FrameCounter {
    /// Bytes of the current message that have not arrived.
    remaining: usize,
    prefix: [u8; 5],
    prefix_len: usize,
}

impl FrameCounter {
    /// The number of messages whose prefix ends in this chunk.
    pub(super) fn count(&mut self, mut chunk: &[u8]) -> u64 {
        let mut messages = 0;
        while !chunk.is_empty() {
            if self.remaining > 0 {
                let skipped = self.remaining.min(chunk.len());
                chunk.advance(skipped);
                self.remaining -= skipped;
                continue;
            }
            let missing = self.prefix.len() - self.prefix_len;
            let copied = missing.min(chunk.len());
            self.prefix[self.prefix_len..self.prefix_len + copied]
                .copy_from_slice(&chunk[..copied]);
            self.prefix_len += copied;
            chunk.advance(copied);
            if self.prefix_len == self.prefix.len() {
                let [_flag, length @ ..] = self.prefix;
                self.remaining = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.prefix_len = 0;
                messages += 1;
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_wherever_chunks_are_split() {
        let mut wire = Vec::new();
        for length in [0_u32, 1, 7, 300] {
            wire.push(0);
            wire.extend(length.to_be_bytes());
            wire.extend(vec![9; length as usize]);
        }
        for size in 1..wire.len() {
            let mut frames = FrameCounter::default();
            let counted: u64 = wire.chunks(size).map(|chunk| frames.count(chunk)).sum();
            assert_eq!(counted, 4, "chunks of {size}");
        }
    }
}
