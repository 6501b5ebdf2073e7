//! Rows of `changes`: `revision: u64 BE` → `WatchRegistryResponse`. Big endian, so that the order
//! of keys is the order of revisions.

use prost::Message as _;

use crate::{error::Damaged, proto::v1};

pub(super) fn key(revision: u64) -> [u8; 8] {
    revision.to_be_bytes()
}

pub(super) fn encode(change: &v1::WatchRegistryResponse) -> Vec<u8> {
    change.encode_to_vec()
}

/// Decodes a row.
///
/// # Errors
/// Returns the reason if the row cannot be decoded.
pub(super) fn decode(row: &[u8]) -> Result<v1::WatchRegistryResponse, Damaged> {
    v1::WatchRegistryResponse::decode(row).map_err(|error| Damaged(error.to_string()))
}
