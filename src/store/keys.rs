//! Keys of the column families. Integers are big endian, so that RocksDB's order is ours.

use crate::model::{
    event::IdentityHash,
    numbers::{KeyVersion, Offset, Position, TopicId},
};

/// Length of a key in `log`.
pub const LOG_KEY_BYTES: usize = 12;

/// `log`: `topic: u32 | offset: u64`.
pub fn log(topic: TopicId, offset: Offset) -> [u8; LOG_KEY_BYTES] {
    let mut key = [0; LOG_KEY_BYTES];
    key[..4].copy_from_slice(&topic.0.to_be_bytes());
    key[4..].copy_from_slice(&offset.0.to_be_bytes());
    key
}

/// Reads a key of `log`.
pub fn parse_log(key: &[u8]) -> Option<(TopicId, Offset)> {
    let (topic, offset) = key.split_first_chunk::<4>()?;
    Some((TopicId(u32::from_be_bytes(*topic)), Offset(u64_at(offset, 0)?)))
}

/// `ids`: `topic: u32 | XXH3-128 of source and id`.
pub fn ids(topic: TopicId, identity: IdentityHash) -> [u8; 20] {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&topic.0.to_be_bytes());
    key[4..].copy_from_slice(&identity.0.to_be_bytes());
    key
}

/// `keys`: `topic: u32 | length: u16 | key | !version: u64`. The version is inverted, so that a key's newest row comes
/// first: what trims it can tell the last row, which stays, from the others.
pub fn keys(topic: TopicId, key: &[u8], version: KeyVersion) -> Vec<u8> {
    let mut bytes = keys_prefix(topic, key);
    bytes.extend_from_slice(&(!version.0).to_be_bytes());
    bytes
}

/// What all rows of a key begin with.
pub fn keys_prefix(topic: TopicId, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + 2 + key.len() + 8);
    bytes.extend_from_slice(&topic.0.to_be_bytes());
    // Keys have at most 1,024 bytes; a longer one, which cannot be, would only share its rows.
    bytes.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

/// The version in a key of `keys`.
pub fn parse_keys_version(key: &[u8]) -> Option<KeyVersion> {
    Some(KeyVersion(!u64_at(key, key.len().checked_sub(8)?)?))
}

/// `correlation`: `length: u16 | correlation id | position: u64`.
pub fn correlation(id: &str, position: Position) -> Vec<u8> {
    let mut bytes = correlation_prefix(id);
    bytes.extend_from_slice(&position.0.to_be_bytes());
    bytes
}

/// What all rows of a correlation id begin with.
pub fn correlation_prefix(id: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + id.len() + 8);
    bytes.extend_from_slice(&u16::try_from(id.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(id.as_bytes());
    bytes
}

/// Big-endian number in the middle of bytes.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_be_bytes(*chunk))
}

/// Big-endian number in the middle of bytes.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let chunk = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_keys_have_not_moved() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(&log(TopicId(7), Offset(258))), "000000070000000000000102");
        assert_eq!(
            hex(&keys(TopicId(7), b"o-1", KeyVersion(1))),
            "0000000700036f2d31fffffffffffffffe"
        );
        assert_eq!(hex(&correlation("c", Position(3))), "0001630000000000000003");
    }

    proptest! {
        #[test]
        fn key_order_is_offset_order(a: (u32, u64), b: (u32, u64)) {
            let key = |(topic, offset)| log(TopicId(topic), Offset(offset));
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            prop_assert_eq!(parse_log(&key(a)), Some((TopicId(a.0), Offset(a.1))));
        }

        #[test]
        fn newer_versions_of_a_key_come_first(key: Vec<u8>, a: u64, b: u64) {
            let row = |version| keys(TopicId(1), &key, KeyVersion(version));
            prop_assert_eq!(row(a).cmp(&row(b)), b.cmp(&a));
            prop_assert_eq!(parse_keys_version(&row(a)), Some(KeyVersion(a)));
        }
    }
}
