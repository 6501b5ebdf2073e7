//! Texts in error details and reports, which travel in trailers and have a bound.

/// Characters of a shortened text.
pub const TEXT_CHARS_MAX: usize = 400;

/// Shortens a long text.
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
