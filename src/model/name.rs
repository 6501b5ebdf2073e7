//! Names of topics, and patterns over them.

use std::{borrow::Borrow, fmt, sync::Arc};

/// Longest name of a topic, in bytes: the longest name of a file, minus room for a suffix.
pub const NAME_BYTES_MAX: usize = 249;

/// Dot-separated segments of letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Parses a name.
    ///
    /// # Errors
    /// Returns the fault of the name.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_length(text)?;
        text.split('.').try_for_each(|segment| check_segment(text, segment))?;
        Ok(Self(text.into()))
    }

    /// Parses the name of a user's topic, which does not begin with `_`.
    ///
    /// # Errors
    /// Returns the fault of the name.
    pub fn parse_user(text: &str) -> Result<Self, String> {
        let name = Self::parse(text)?;
        if name.is_internal() {
            return Err(format!(
                "{text:?} begins with '_': such names are reserved for the server"
            ));
        }
        Ok(name)
    }

    /// Replaces a stored name that does not parse.
    pub(crate) fn placeholder(number: u32) -> Self {
        Self(format!("_lost.{number}").into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the topic belongs to the server.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with('_')
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name, or a pattern in which `*` matches one segment and a trailing `**` matches one or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicPattern {
    /// Exactly this topic, which must exist.
    Name(TopicName),
    /// Every topic that matches, including topics created later.
    Pattern(Arc<str>),
}

impl TopicPattern {
    /// Parses a name or pattern.
    ///
    /// # Errors
    /// Returns the fault of the name or pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.contains('*') {
            return TopicName::parse(text).map(Self::Name);
        }
        check_length(text)?;
        let segments: Vec<&str> = text.split('.').collect();
        for (index, segment) in segments.iter().enumerate() {
            match *segment {
                "*" => {}
                "**" if index + 1 == segments.len() => {}
                "**" => return Err(format!("{text:?}: '**' is allowed only at the end")),
                _ if segment.contains('*') => {
                    return Err(format!(
                        "{text:?}: '*' matches a whole segment, as in \"orders.*\""
                    ));
                }
                _ => check_segment(text, segment)?,
            }
        }
        Ok(Self::Pattern(text.into()))
    }

    /// Whether a topic of this name matches.
    pub fn matches(&self, name: &TopicName) -> bool {
        match self {
            Self::Name(exact) => exact == name,
            Self::Pattern(pattern) => {
                // "**" does not match the topics of the server.
                if name.is_internal() && !pattern.starts_with('_') {
                    return false;
                }
                let mut segments = name.as_str().split('.');
                for pattern_segment in pattern.split('.') {
                    match (pattern_segment, segments.next()) {
                        ("**", Some(_)) => return true,
                        ("*", Some(_)) => {}
                        (pattern_segment, Some(segment)) if pattern_segment == segment => {}
                        _ => return false,
                    }
                }
                segments.next().is_none()
            }
        }
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Pattern(pattern) => f.write_str(pattern),
        }
    }
}

fn check_length(text: &str) -> Result<(), String> {
    match text.len() {
        0 => Err("is required".into()),
        length if length > NAME_BYTES_MAX => {
            Err(format!("has {length} characters; the limit is {NAME_BYTES_MAX}"))
        }
        _ => Ok(()),
    }
}

fn check_segment(text: &str, segment: &str) -> Result<(), String> {
    if segment.is_empty() {
        return Err(format!("{text:?} has an empty segment: a dot separates two segments"));
    }
    match segment.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        Some(character) => Err(format!(
            "{text:?} contains {character:?}: letters, digits, '-', '_' and '.' are allowed"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let name = TopicName::parse(name).expect("a name");
        TopicPattern::parse(pattern).expect("a pattern").matches(&name)
    }

    #[test]
    fn one_star_is_one_segment_and_two_are_one_or_more() {
        assert!(matches("orders.*", "orders.eu"));
        assert!(!matches("orders.*", "orders"));
        assert!(!matches("orders.*", "orders.eu.north"));
        assert!(matches("*.eu", "orders.eu"));
        assert!(matches("orders.**", "orders.eu.north"));
        assert!(!matches("orders.**", "orders"));
        assert!(matches("**", "orders"));
        assert!(!matches("orders.*.x", "orders.eu"));
    }

    #[test]
    fn internal_topics_match_only_where_asked_for() {
        assert!(!matches("**", "_audit"));
        assert!(!matches("*", "_audit"));
        assert!(matches("_audit.**", "_audit.x"));
    }

    #[test]
    fn malformed_names_say_why() {
        for bad in ["", "a..b", ".a", "a.", "a b", "ä", "a/b", &"x".repeat(250)] {
            assert!(TopicName::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["a*", "**.a", "a.**.b", "*a.b"] {
            assert!(TopicPattern::parse(bad).is_err(), "{bad:?}");
        }
        assert!(TopicName::parse_user("_audit").is_err());
    }
}
