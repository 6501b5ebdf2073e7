//! Pages of lists. A token is the last entry of the previous page, in base64, so a list may change
//! between pages.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;

/// Entries of a page if the request does not specify a size.
const SIZE: usize = 100;
/// Limits the entries of a page.
const SIZE_MAX: usize = 1000;
/// Bytes of a page. With its other fields, a message stays under the 4 MiB that clients accept.
const BYTES_MAX: usize = 3 << 20;

/// Returns the number of entries of a page.
///
/// # Errors
/// Returns the fault as text if the requested size is negative.
pub fn size(requested: i32) -> Result<usize, String> {
    match usize::try_from(requested) {
        Ok(0) => Ok(SIZE),
        Ok(size) => Ok(size.min(SIZE_MAX)),
        Err(_) => Err(format!("is {requested}; the range is 0, which means {SIZE}, to {SIZE_MAX}")),
    }
}

/// Returns the entry after which a page begins. None: the first page.
///
/// # Errors
/// Returns the fault as text if the token is invalid.
pub fn after(token: &str) -> Result<Option<String>, String> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(entry) => Ok(Some(entry)),
        None => Err("is not a token of this server: send next_page_token unchanged".into()),
    }
}

/// Returns a page of at most `size` entries, fewer if they are large but at least one, and whether
/// more entries follow.
pub fn fill<T: Message>(size: usize, entries: impl Iterator<Item = T>) -> (Vec<T>, bool) {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for entry in entries {
        bytes += entry.encoded_len();
        if page.len() == size || (bytes > BYTES_MAX && !page.is_empty()) {
            return (page, true);
        }
        page.push(entry);
    }
    (page, false)
}

/// Returns the token of the page after an entry.
pub fn token(entry: &str) -> String {
    URL_SAFE_NO_PAD.encode(entry)
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn a_page_ends_when_it_is_full_or_large() {
        let entries = |count: usize, bytes: usize| (0..count).map(move |_| "x".repeat(bytes));
        assert!(!fill(3, entries(3, 1)).1);
        let (page, has_more) = fill(3, entries(4, 1));
        assert_eq!((page.len(), has_more), (3, true));
        let (page, has_more) = fill(100, entries(5, 1 << 20));
        assert_eq!((page.len(), has_more), (2, true));
        let (page, has_more) = fill(100, entries(2, 5 << 20));
        assert_eq!((page.len(), has_more), (1, true), "at least one");
    }
}
