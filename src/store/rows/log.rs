//! Rows of `log`: the events of a topic by offset.
//!
//! The key is `topic: u32 | offset: u64`. The value is a header, then the exact Protobuf bytes of
//! the event as it is delivered:
//!
//! ```text
//!  0 check        u32  CRC-32C of everything after it
//!  4 format       u8   1
//!  5 checks       u8   bit 0: the times of the event were checked; 0 in older rows
//!  6 key length   u16
//!  8 key start    u32  in the event's bytes; u32::MAX: no key
//! 12 schema id    u32  0: none
//! 16 position     u64
//! 24 key version  u64
//! 32 append time  u64  microseconds since 1970
//! 40 topic bytes  u64  of all events of the topic up to this one, inclusive
//! 48 offset       u64  as in the row's key, so that a misplaced row is detected
//! ```

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};

use crate::{
    model::{
        event::{HEADER_BYTES, Recorded},
        numbers::{AppendTime, KeyVersion, Offset, Position, TopicId},
    },
    store::big_endian::{u32_at, u64_at},
};

/// Length of a key.
pub const KEY_BYTES: usize = 12;

const FORMAT: u8 = 1;
const NO_KEY: u32 = u32::MAX;
const TIMES_CHECKED: u8 = 1;

/// The key of an event.
pub fn key(topic: TopicId, offset: Offset) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..4].copy_from_slice(&topic.0.to_be_bytes());
    key[4..].copy_from_slice(&offset.0.to_be_bytes());
    key
}

/// Decodes a key.
pub fn parse_key(key: &[u8]) -> Option<(TopicId, Offset)> {
    let (topic, offset) = key.split_first_chunk::<4>()?;
    Some((TopicId(u32::from_be_bytes(*topic)), Offset(u64_at(offset, 0)?)))
}

/// The header before an event's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Start and length of the key in the event's bytes.
    pub key: Option<(u32, u16)>,
    /// Id of the schema of the payload.
    pub schema_id: u32,
    /// Whether the times of the event were checked before it was recorded.
    pub times_checked: bool,
    /// Position in the log of all topics.
    pub position: Position,
    /// Version of the key.
    pub key_version: KeyVersion,
    /// Append time.
    pub append_time: AppendTime,
    /// Bytes of all events of the topic up to this one.
    pub topic_bytes: u64,
    /// Offset in the topic.
    pub offset: Offset,
}

fn crc(bytes: &[u8]) -> u32 {
    // The crate returns a 32-bit checksum in the low half of a u64.
    u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, bytes) & 0xffff_ffff).unwrap_or(0)
}

impl Header {
    /// Writes the header into the reserved bytes before the event.
    pub fn write(&self, row: &mut [u8]) {
        let (at, length) = self.key.unwrap_or((NO_KEY, 0));
        row[4] = FORMAT;
        row[5] = if self.times_checked { TIMES_CHECKED } else { 0 };
        row[6..8].copy_from_slice(&length.to_be_bytes());
        row[8..12].copy_from_slice(&at.to_be_bytes());
        row[12..16].copy_from_slice(&self.schema_id.to_be_bytes());
        row[16..24].copy_from_slice(&self.position.0.to_be_bytes());
        row[24..32].copy_from_slice(&self.key_version.0.to_be_bytes());
        row[32..40].copy_from_slice(&self.append_time.0.to_be_bytes());
        row[40..48].copy_from_slice(&self.topic_bytes.to_be_bytes());
        row[48..56].copy_from_slice(&self.offset.0.to_be_bytes());
        let check = crc(&row[4..]);
        row[..4].copy_from_slice(&check.to_be_bytes());
    }

    /// Reads the header of a row and checks the whole row.
    ///
    /// # Errors
    /// Returns the defect of the row.
    pub fn read(row: &[u8]) -> Result<Self, String> {
        Self::read_checked(row).map_err(|detail| format!("{detail} ({} bytes)", row.len()))
    }

    fn read_checked(row: &[u8]) -> Result<Self, &'static str> {
        let short = "the row is shorter than its header";
        if row.len() < HEADER_BYTES {
            return Err(short);
        }
        if u32_at(row, 0) != Some(crc(&row[4..])) {
            return Err("its checksum does not match");
        }
        if row[4] != FORMAT {
            return Err("its format is not known");
        }
        let number = |at| u64_at(row, at).ok_or(short);
        let key_at = u32_at(row, 8).ok_or(short)?;
        let key_length = u16::from_be_bytes([row[6], row[7]]);
        Ok(Self {
            key: (key_at != NO_KEY).then_some((key_at, key_length)),
            schema_id: u32_at(row, 12).ok_or(short)?,
            times_checked: row[5] & TIMES_CHECKED != 0,
            position: Position(number(16)?),
            key_version: KeyVersion(number(24)?),
            append_time: AppendTime(number(32)?),
            topic_bytes: number(40)?,
            offset: Offset(number(48)?),
        })
    }

    /// The recorded event, with its bytes.
    pub fn recorded(&self, event: Bytes) -> Recorded {
        Recorded {
            offset: self.offset,
            position: self.position,
            key_version: self.key_version,
            append_time: self.append_time,
            schema_id: self.schema_id,
            times_checked: self.times_checked,
            key: self.key,
            event,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            key: Some((3, 4)),
            schema_id: 5,
            times_checked: false,
            position: Position(6),
            key_version: KeyVersion(7),
            append_time: AppendTime(8),
            topic_bytes: 9,
            offset: Offset(10),
        }
    }

    fn row(header: Header, event: &[u8]) -> Vec<u8> {
        let mut row = vec![0; HEADER_BYTES];
        row.extend_from_slice(event);
        header.write(&mut row);
        row
    }

    #[test]
    fn the_row_has_not_changed() {
        let key: String = key(TopicId(7), Offset(258)).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(key, "000000070000000000000102");
        let hex: String = row(header(), b"event").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "6d7290100100000400000003000000050000000000000006000000000000000700000000000000080000000000000009000000000000000a6576656e74"
        );
    }

    #[test]
    fn checked_times_are_a_bit_of_the_header() {
        let checked = row(Header { times_checked: true, ..header() }, b"event");
        let unchecked = row(header(), b"event");
        assert_eq!((checked[5], unchecked[5]), (1, 0));
        assert_eq!((&checked[4..5], &checked[6..]), (&unchecked[4..5], &unchecked[6..]));
    }

    proptest! {
        #[test]
        fn key_order_is_offset_order(a: (u32, u64), b: (u32, u64)) {
            let key = |(topic, offset)| key(TopicId(topic), Offset(offset));
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            prop_assert_eq!(parse_key(&key(a)), Some((TopicId(a.0), Offset(a.1))));
        }

        #[test]
        fn a_row_reads_back(event: Vec<u8>, position: u64, offset: u64, times_checked: bool) {
            let header = Header {
                times_checked,
                position: Position(position),
                offset: Offset(offset),
                key: None,
                ..header()
            };
            prop_assert_eq!(Header::read(&row(header, &event)), Ok(header));
        }

        #[test]
        fn a_flipped_bit_is_detected(event: Vec<u8>, at: prop::sample::Index, bit in 0..8u8) {
            let mut row = row(header(), &event);
            let at = at.index(row.len());
            row[at] ^= 1u8 << bit;
            prop_assert!(Header::read(&row).is_err());
        }
    }
}
