//! Names of subjects and consumers.

use std::{fmt, sync::Arc};

/// Longest name, in characters.
pub const NAME_CHARS_MAX: usize = 255;
/// The name of a subject. For events it is the event type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectName(Arc<str>);

impl SubjectName {
    /// Parses a name: 1 to 255 printable characters, no spaces.
    ///
    /// # Errors
    /// Returns the fault as text if the name is empty or [`check_name`] fails.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a subject needs a name, such as com.example.order.placed".into());
        }
        check_name(text)?;
        Ok(Self(text.into()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks a name: at most [`NAME_CHARS_MAX`] characters, all printable, no spaces.
///
/// # Errors
/// Returns the fault as text.
pub fn check_name(text: &str) -> Result<(), String> {
    let chars = text.chars().count();
    if chars > NAME_CHARS_MAX {
        return Err(format!("has {chars} characters; the limit is {NAME_CHARS_MAX}"));
    }
    match text.chars().find(|c| c.is_control() || c.is_whitespace() || is_invisible(*c)) {
        Some(c) => Err(format!(
            "has the character {}: only printable characters are allowed, no spaces",
            c.escape_unicode()
        )),
        None => Ok(()),
    }
}

/// Returns whether a character is not shown, or reverses the direction of text.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
    )
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printable_and_without_spaces() {
        for name in ["a", "com.example.order.placed", "Größe/1", &"x".repeat(255), "a%2e..b"] {
            assert!(SubjectName::parse(name).is_ok(), "{name}");
        }
        for name in ["", "a b", "a\n", "a\0b", "\u{202e}b", "a\u{200b}", &"x".repeat(256)] {
            assert!(SubjectName::parse(name).is_err(), "{name:?}");
        }
    }
}
