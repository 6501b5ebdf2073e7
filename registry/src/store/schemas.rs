//! Rows of `schemas`: `id: u32 BE` → `Schema` of the contract.

use prost::Message as _;

use crate::{proto::v1, schema::SchemaVersion};

pub(super) fn key(id: u32) -> [u8; 4] {
    id.to_be_bytes()
}

pub(super) fn encode(schema: &SchemaVersion) -> Vec<u8> {
    v1::Schema::from(schema).encode_to_vec()
}

/// Decodes a row.
///
/// # Errors
/// Returns the reason if the row cannot be decoded.
pub(super) fn decode(row: &[u8]) -> Result<SchemaVersion, String> {
    let schema = v1::Schema::decode(row).map_err(|error| error.to_string())?;
    SchemaVersion::try_from(schema)
}
