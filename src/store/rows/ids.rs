//! Rows of `ids`: the events of a topic by identity.
//!
//! ```text
//! key    topic: u32 | XXH3-128 of source and id: u128
//! value  offset: u64 | content hash: u64
//! ```

use crate::{
    model::{
        event::{ContentHash, IdentityHash},
        numbers::{Offset, TopicId},
    },
    store::big_endian::u64_at,
};

/// Length of a key.
pub const KEY_BYTES: usize = 20;
/// Length of a value.
pub const VALUE_BYTES: usize = 16;

/// The key of an identity.
pub fn key(topic: TopicId, identity: IdentityHash) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..4].copy_from_slice(&topic.0.to_be_bytes());
    key[4..].copy_from_slice(&identity.0.to_be_bytes());
    key
}

/// The value of an event.
pub fn value(offset: Offset, content: ContentHash) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    value[..8].copy_from_slice(&offset.0.to_be_bytes());
    value[8..].copy_from_slice(&content.0.to_be_bytes());
    value
}

/// Decodes a value.
pub fn parse_value(value: &[u8]) -> Option<(Offset, ContentHash)> {
    let offset = parse_offset(value)?;
    Some((offset, ContentHash(u64_at(value, 8)?)))
}

/// Decodes the offset in a value.
pub fn parse_offset(value: &[u8]) -> Option<Offset> {
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
            hex(&key(TopicId(7), IdentityHash(258))),
            "0000000700000000000000000000000000000102"
        );
        assert_eq!(hex(&value(Offset(3), ContentHash(258))), "00000000000000030000000000000102");
    }

    proptest! {
        #[test]
        fn a_value_reads_back(offset: u64, content: u64) {
            let (offset, content) = (Offset(offset), ContentHash(content));
            let value = value(offset, content);
            prop_assert_eq!(parse_value(&value), Some((offset, content)));
            prop_assert_eq!(parse_offset(&value), Some(offset));
        }
    }
}
