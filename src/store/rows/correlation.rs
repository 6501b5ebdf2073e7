//! Rows of `correlation`: the events with a correlation id, over all topics, by position.
//!
//! ```text
//! key    length: u16 | correlation id | position: u64
//! value  topic: u32 | offset: u64
//! ```

use crate::{
    model::numbers::{Offset, Position, TopicId},
    store::big_endian::{u32_at, u64_at},
};

/// Length of a value.
pub const VALUE_BYTES: usize = 12;

/// The key of an event.
pub fn key(id: &str, position: Position) -> Vec<u8> {
    let mut bytes = prefix(id);
    bytes.extend_from_slice(&position.0.to_be_bytes());
    bytes
}

/// The prefix of all keys of a correlation id.
pub fn prefix(id: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + id.len() + 8);
    bytes.extend_from_slice(&u16::try_from(id.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(id.as_bytes());
    bytes
}

/// Decodes the position in a key with this prefix. None: the key belongs to another correlation id.
pub fn parse_position(key: &[u8], prefix: &[u8]) -> Option<Position> {
    let position = key.strip_prefix(prefix).filter(|rest| rest.len() == 8)?;
    u64_at(position, 0).map(Position)
}

/// The value of an event.
pub fn value(topic: TopicId, offset: Offset) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    value[..4].copy_from_slice(&topic.0.to_be_bytes());
    value[4..].copy_from_slice(&offset.0.to_be_bytes());
    value
}

/// Decodes a value.
pub fn parse_value(value: &[u8]) -> Option<(TopicId, Offset)> {
    u32_at(value, 0).map(TopicId).zip(u64_at(value, 4).map(Offset))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_row_has_not_changed() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(&key("c", Position(3))), "0001630000000000000003");
        assert_eq!(hex(&value(TopicId(7), Offset(258))), "000000070000000000000102");
    }

    proptest! {
        #[test]
        fn a_row_reads_back(id in ".{0,20}", position: u64, topic: u32, offset: u64) {
            let key = key(&id, Position(position));
            prop_assert_eq!(parse_position(&key, &prefix(&id)), Some(Position(position)));
            let (topic, offset) = (TopicId(topic), Offset(offset));
            prop_assert_eq!(parse_value(&value(topic, offset)), Some((topic, offset)));
        }

        #[test]
        fn key_order_is_position_order(a: u64, b: u64) {
            let key = |position| key("c", Position(position));
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
        }
    }
}
