//! Pages of a list: how many, and where the next one begins.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::model::fault::{FaultKind, Faults};

/// Entries of a page where nothing is said.
const DEFAULT: usize = 100;
/// Entries of a page at most.
const MAX: usize = 1_000;

/// The size of a page.
///
/// # Errors
/// Where it is negative.
pub fn size(asked: i32) -> Result<usize, Faults> {
    match usize::try_from(asked) {
        Ok(0) => Ok(DEFAULT),
        Ok(asked) => Ok(asked.min(MAX)),
        Err(_) => Err(Faults::one(
            FaultKind::Request,
            "page_size",
            format!("is {asked}: from 0, which means {DEFAULT}, to {MAX}"),
        )),
    }
}

/// A token for the page behind a name.
pub fn token(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(name)
}

/// The name that a token stands for; None for the first page.
///
/// # Errors
/// Where it is not one of ours.
pub fn behind(token: &str) -> Result<Option<String>, Faults> {
    if token.is_empty() {
        return Ok(None);
    }
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Some)
        .ok_or_else(|| {
            let description = "is not a token that this server gave: pass it on as it was received";
            Faults::one(FaultKind::Request, "page_token", description)
        })
}
