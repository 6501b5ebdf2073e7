//! Cursors: positions at which a stream of this server can be resumed.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use xxhash_rust::xxh3::xxh3_64;

use super::numbers::Position;

/// Length of every cursor, in characters.
pub const CURSOR_CHARS: usize = 40;

/// `version u8 | flags u8 | server u64 | horizon u64 | position u64 | check u32`, big endian: 30
/// bytes, 40 characters. The first 18 bytes are the same for all cursors of a stream, so they are
/// encoded once.
const VERSION: u8 = 1;
const PREFIX_BYTES: usize = 18;
const CHECKED_BYTES: usize = 26;
const BYTES: usize = 30;

/// Identity of the store that a cursor belongs to: drawn at random when the data directory is
/// created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServerId(pub u64);

/// The position after everything at or before `position`.
///
/// `horizon` is the position up to which trims were known when the stream of the cursor was opened.
/// Only a later trim can have removed events that the owner of the cursor does not know to be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Everything up to this position was seen.
    pub position: Position,
    /// Trims up to this position are known.
    pub horizon: Position,
}

impl Cursor {
    /// Parses a cursor of this server.
    ///
    /// # Errors
    /// Returns why the text is not a cursor of this server.
    pub fn parse(text: &str, server: ServerId) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty: omit the start position to begin at the default".into());
        }
        if text.len() != CURSOR_CHARS {
            return Err(format!(
                "has {} characters; a cursor has {CURSOR_CHARS}: it was truncated or is not a cursor",
                text.len()
            ));
        }
        let mut bytes = [0; BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).unwrap_or(0);
        if length != BYTES || check(&bytes[..CHECKED_BYTES]) != bytes[CHECKED_BYTES..] {
            return Err("is damaged: pass it exactly as it was received".into());
        }
        if bytes[0] != VERSION {
            return Err(format!("has version {}; this server reads version {VERSION}", bytes[0]));
        }
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(number)
        };
        if number(2) != server.0 {
            return Err(
                "belongs to another server: start at a position instead, such as a time".into()
            );
        }
        Ok(Self { horizon: Position(number(10)), position: Position(number(18)) })
    }

    /// Encodes the cursor.
    pub fn text(&self, server: ServerId) -> CursorText {
        CursorWriter::new(server, self.horizon).write(self.position)
    }
}

fn check(bytes: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = xxh3_64(bytes).to_be_bytes();
    [a, b, c, d]
}

/// Encodes the cursors of one stream.
#[derive(Debug, Clone)]
pub struct CursorWriter {
    bytes: [u8; BYTES],
    text: [u8; CURSOR_CHARS],
}

impl CursorWriter {
    /// A writer for a stream that knows trims up to the horizon.
    pub fn new(server: ServerId, horizon: Position) -> Self {
        let mut bytes = [0; BYTES];
        bytes[0] = VERSION;
        bytes[2..10].copy_from_slice(&server.0.to_be_bytes());
        bytes[10..18].copy_from_slice(&horizon.0.to_be_bytes());
        let mut text = [0; CURSOR_CHARS];
        encode(&bytes[..PREFIX_BYTES], &mut text[..PREFIX_BYTES / 3 * 4]);
        Self { bytes, text }
    }

    /// The cursor after a position.
    pub fn write(&self, position: Position) -> CursorText {
        let (mut bytes, mut text) = (self.bytes, self.text);
        bytes[PREFIX_BYTES..CHECKED_BYTES].copy_from_slice(&position.0.to_be_bytes());
        let check = check(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&check);
        encode(&bytes[PREFIX_BYTES..], &mut text[PREFIX_BYTES / 3 * 4..]);
        CursorText(text)
    }
}

fn encode(bytes: &[u8], text: &mut [u8]) {
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, text);
    assert!(written.is_ok(), "a cursor's text has room for its bytes");
}

/// An encoded cursor, without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CursorText([u8; CURSOR_CHARS]);

impl CursorText {
    /// The characters, which are ASCII.
    pub fn as_bytes(&self) -> &[u8; CURSOR_CHARS] {
        &self.0
    }
}

impl fmt::Display for CursorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for CursorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERVER: ServerId = ServerId(0x0123_4567_89ab_cdef);

    #[test]
    fn the_text_has_not_changed() {
        let cursor = Cursor { position: Position(42), horizon: Position(7) };
        assert_eq!(cursor.text(SERVER).to_string(), "AQABI0VniavN7wAAAAAAAAAHAAAAAAAAAColMjsP");
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back(position: u64, horizon: u64, server: u64) {
            let cursor = Cursor { position: Position(position), horizon: Position(horizon) };
            let text = cursor.text(ServerId(server)).to_string();
            prop_assert_eq!(Cursor::parse(&text, ServerId(server)), Ok(cursor));
            prop_assert!(Cursor::parse(&text, ServerId(server ^ 1)).is_err());
        }

        #[test]
        fn a_changed_character_is_detected(
            position: u64,
            at in 0..CURSOR_CHARS,
            other in "[A-Za-z0-9_-]",
        ) {
            let cursor = Cursor { position: Position(position), horizon: Position(0) };
            let text = cursor.text(SERVER).to_string();
            let mut changed = text.clone();
            changed.replace_range(at..=at, &other);
            prop_assume!(changed != text);
            prop_assert!(Cursor::parse(&changed, SERVER).is_err());
        }
    }
}
