//! Rows of `meta`: `"state"` → JSON.

use serde::{Deserialize, Serialize};

use super::json;
use crate::error::OpenError;

/// The format of the directory.
pub(super) const FORMAT: u32 = 1;
/// The key of the only row.
pub(super) const STATE_KEY: &[u8] = b"state";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StateRow {
    pub(super) format: u32,
    pub(super) revision: u64,
    pub(super) last_id: u32,
}

pub(super) fn encode(revision: u64, last_id: u32) -> Vec<u8> {
    json(&StateRow { format: FORMAT, revision, last_id })
}

/// Decodes the row.
///
/// # Errors
/// Returns an error if the row does not parse, or if a newer program wrote it.
pub(super) fn decode(row: &[u8]) -> Result<StateRow, OpenError> {
    let state: StateRow = serde_json::from_slice(row)
        .map_err(|error| OpenError::Corrupt(format!("the state does not parse: {error}")))?;
    if state.format != FORMAT {
        return Err(OpenError::NewerFormat { found: state.format, known: FORMAT });
    }
    Ok(state)
}
