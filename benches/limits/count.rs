//! Counts the events of a `SubscribeResponse` and checks their order, without decoding the rest.
//!
//! A client that decoded everything would dominate the measurement. Both sides of a pair use it.

use anyhow::{Context as _, Result, bail, ensure};

/// Counts events, and checks that positions increase, and that offsets of a single topic are dense.
#[derive(Debug, Default)]
pub struct Count {
    /// Events received.
    pub events: u64,
    /// The next expected offset if offsets must be dense.
    next_offset: Option<u64>,
    /// Whether to skip the check of positions. The streams from memory repeat their events.
    unordered: bool,
    position: u64,
}

impl Count {
    /// Counts events of any topics.
    pub fn new(unordered: bool) -> Self {
        Self { unordered, ..Self::default() }
    }

    /// Counts events of one topic, whose offsets are dense from this one on.
    pub fn dense_from(offset: u64) -> Self {
        Self { next_offset: Some(offset), ..Self::default() }
    }

    /// Counts the events of a message.
    pub fn add(&mut self, message: &[u8]) -> Result<()> {
        match MessageKind::of(message)? {
            MessageKind::Batch(batch) => events(batch, |offset, position| {
                ensure!(
                    self.unordered || self.events == 0 || position > self.position,
                    "position {position} follows position {}",
                    self.position
                );
                if let Some(next) = &mut self.next_offset {
                    ensure!(offset == *next, "found offset {offset}, expected {next}");
                    *next += 1;
                }
                self.position = position;
                self.events += 1;
                Ok(())
            }),
            MessageKind::Incomplete(message) => bail!("{message}: not every event is delivered"),
            MessageKind::Started | MessageKind::CaughtUp | MessageKind::Other => Ok(()),
        }
    }
}

/// The kind of a `SubscribeResponse`.
enum MessageKind<'a> {
    /// `SubscribeStarted`.
    Started,
    /// `EventBatch`, with its bytes for [`events`].
    Batch(&'a [u8]),
    /// `CaughtUp`.
    CaughtUp,
    /// `Gap` or `Draining`: events are not delivered.
    Incomplete(&'static str),
    /// Any other message.
    Other,
}

impl<'a> MessageKind<'a> {
    fn of(message: &'a [u8]) -> Result<Self> {
        let Some((tag, body, rest)) = field(message)? else { return Ok(Self::Other) };
        ensure!(rest.is_empty(), "a SubscribeResponse has more than one message");
        Ok(match (tag, body) {
            (1, _) => Self::Started,
            (2, Field::Bytes(batch)) => Self::Batch(batch),
            (3, _) => Self::CaughtUp,
            (6, _) => Self::Incomplete("received a Gap"),
            (7, _) => Self::Incomplete("received Draining"),
            _ => Self::Other,
        })
    }
}

/// Calls `each` with offset and position of every event of a batch.
fn events(mut batch: &[u8], mut each: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
    while let Some((tag, body, rest)) = field(batch)? {
        batch = rest;
        if let (1, Field::Bytes(mut recorded)) = (tag, body) {
            let (mut offset, mut position) = (0, 0);
            while let Some((tag, body, rest)) = field(recorded)? {
                recorded = rest;
                match (tag, body) {
                    (3, Field::Number(value)) => offset = value,
                    (10, Field::Number(value)) => position = value,
                    _ => {}
                }
            }
            each(offset, position)?;
        }
    }
    Ok(())
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The first field, and the bytes after it.
fn field(mut bytes: &[u8]) -> Result<Option<(u64, Field<'_>, &[u8])>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let key = varint(&mut bytes)?;
    let skip = |bytes: &mut &'_ [u8], len: usize| -> Result<()> {
        *bytes = bytes.get(len..).context("a field exceeds its message")?;
        Ok(())
    };
    let body = match key & 7 {
        0 => Field::Number(varint(&mut bytes)?),
        1 => {
            skip(&mut bytes, 8)?;
            Field::Fixed
        }
        2 => {
            let len = usize::try_from(varint(&mut bytes)?)?;
            let (body, rest) =
                bytes.split_at_checked(len).context("a field exceeds its message")?;
            bytes = rest;
            Field::Bytes(body)
        }
        5 => {
            skip(&mut bytes, 4)?;
            Field::Fixed
        }
        other => anyhow::bail!("unsupported wire type {other}"),
    };
    Ok(Some((key >> 3, body, bytes)))
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Ok(value);
        }
    }
    anyhow::bail!("a varint does not end")
}
