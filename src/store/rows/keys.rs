//! Rows of `keys`: the versions of a topic's keys, newest first.
//!
//! ```text
//! key    topic: u32 | length: u16 | key | !version: u64
//! value  offset: u64
//! ```
//!
//! The version is inverted, so that the newest row of a key comes first: a compaction can tell it,
//! which is kept, from the older ones.

use crate::{
    model::numbers::{KeyVersion, Offset, TopicId},
    store::big_endian::u64_at,
};

/// The key of one version.
pub fn key(topic: TopicId, key: &[u8], version: KeyVersion) -> Vec<u8> {
    let mut bytes = prefix(topic, key);
    bytes.extend_from_slice(&(!version.0).to_be_bytes());
    bytes
}

/// The prefix of all rows of a key.
pub fn prefix(topic: TopicId, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + 2 + key.len() + 8);
    bytes.extend_from_slice(&topic.0.to_be_bytes());
    // Keys have at most 1,024 bytes; a longer one, which cannot occur, would only share its rows.
    bytes.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

/// Decodes the version in a row's key.
pub fn parse_version(key: &[u8]) -> Option<KeyVersion> {
    Some(KeyVersion(!u64_at(key, key.len().checked_sub(8)?)?))
}

/// The value of an event.
pub fn value(offset: Offset) -> [u8; 8] {
    offset.0.to_be_bytes()
}

/// Decodes a value.
pub fn parse_value(value: &[u8]) -> Option<Offset> {
    u64_at(value, 0).map(Offset)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_row_has_not_changed() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(
            hex(&key(TopicId(7), b"o-1", KeyVersion(1))),
            "0000000700036f2d31fffffffffffffffe"
        );
        assert_eq!(hex(&value(Offset(258))), "0000000000000102");
    }

    proptest! {
        #[test]
        fn newer_versions_of_a_key_come_first(key: Vec<u8>, a: u64, b: u64) {
            let row = |version| super::key(TopicId(1), &key, KeyVersion(version));
            prop_assert_eq!(row(a).cmp(&row(b)), b.cmp(&a));
            prop_assert_eq!(parse_version(&row(a)), Some(KeyVersion(a)));
        }

        #[test]
        fn a_value_reads_back(offset: u64) {
            prop_assert_eq!(parse_value(&value(Offset(offset))), Some(Offset(offset)));
        }
    }
}
