//! Pages of lists. A token is the last entry of the page before, in base64, so a list may change in between.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Entries of a page where none is asked for.
const SIZE: usize = 100;
/// Entries of a page at most.
const SIZE_MAX: usize = 1000;

/// How many entries a page has.
///
/// # Errors
/// In words, where it is negative.
pub fn size(asked: i32) -> Result<usize, String> {
    match usize::try_from(asked) {
        Ok(0) => Ok(SIZE),
        Ok(size) => Ok(size.min(SIZE_MAX)),
        Err(_) => Err(format!("is {asked}: from 1 to {SIZE_MAX}, or 0 for {SIZE}")),
    }
}

/// The entry that a page begins behind. None: the first page.
///
/// # Errors
/// In words, where no page gave out such a token.
pub fn behind(token: &str) -> Result<Option<String>, String> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(entry) => Ok(Some(entry)),
        None => Err("is none that a page gave out".into()),
    }
}

/// The token behind an entry.
pub fn token(entry: &str) -> String {
    URL_SAFE_NO_PAD.encode(entry)
}
