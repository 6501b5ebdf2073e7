//! Page sizes and page tokens of lists.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::model::fault::{FaultKind, Faults};

/// Entries of a page if the request sets no size.
const DEFAULT: usize = 100;
/// Most entries of a page. Larger sizes are reduced to it.
const MAX: usize = 1_000;

/// Decodes the size of a page.
///
/// # Errors
/// Returns a fault if it is negative.
pub fn size(requested: i32) -> Result<usize, Faults> {
    match usize::try_from(requested) {
        Ok(0) => Ok(DEFAULT),
        Ok(size) => Ok(size.min(MAX)),
        Err(_) => Err(Faults::single(
            FaultKind::Request,
            "page_size",
            format!("is {requested}; the range is 0, which means {DEFAULT}, to {MAX}"),
        )),
    }
}

/// The token of the page that begins after a name.
pub fn token(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(name)
}

/// Decodes the name after which a page begins. `None` for the first page.
///
/// # Errors
/// Returns a fault if the token was not issued by this server.
pub fn after(token: &str) -> Result<Option<String>, Faults> {
    if token.is_empty() {
        return Ok(None);
    }
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Some)
        .ok_or_else(|| {
            let description = "is not a token of this server: send next_page_token unchanged";
            Faults::single(FaultKind::Request, "page_token", description)
        })
}
