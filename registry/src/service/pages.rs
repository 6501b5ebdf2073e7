//! Pages of lists. A token is the last entry of the page before, in base64, so a list may change in between.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;

/// Entries of a page where none is asked for.
const SIZE: usize = 100;
/// Entries of a page at most.
const SIZE_MAX: usize = 1000;
/// Bytes of a page: with what stands around it, a message stays under the 4 MiB that clients take.
const BYTES_MAX: usize = 3 << 20;

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

/// A page: so many entries, or fewer where they are large, one at least; and whether more come behind it.
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

/// The token behind an entry.
pub fn token(entry: &str) -> String {
    URL_SAFE_NO_PAD.encode(entry)
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn a_page_ends_where_it_is_full_or_large() {
        let entries = |count: usize, bytes: usize| (0..count).map(move |_| "x".repeat(bytes));
        assert!(!fill(3, entries(3, 1)).1);
        let (page, has_more) = fill(3, entries(4, 1));
        assert_eq!((page.len(), has_more), (3, true));
        let (page, has_more) = fill(100, entries(5, 1 << 20));
        assert_eq!((page.len(), has_more), (2, true));
        let (page, has_more) = fill(100, entries(2, 5 << 20));
        assert_eq!((page.len(), has_more), (1, true), "one at least");
    }
}
