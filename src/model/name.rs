//! Names of topics, and patterns over them.

use std::{borrow::Borrow, fmt, sync::Arc};

/// Longest name of a topic, in bytes: the longest that a file could have, less a little for a suffix.
pub const NAME_BYTES_MAX: usize = 249;

/// Dot-separated segments of letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Parses a name.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_length(text)?;
        text.split('.').try_for_each(|segment| check_segment(text, segment))?;
        Ok(Self(text.into()))
    }

    /// A name for a topic of a user's: does not begin with `_`.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse_own(text: &str) -> Result<Self, String> {
        let name = Self::parse(text)?;
        if name.is_internal() {
            return Err(format!("{text:?} begins with '_': such topics are the server's own"));
        }
        Ok(name)
    }

    /// Stands for a name that was never one.
    pub(crate) fn lost(number: u32) -> Self {
        Self(format!("_lost.{number}").into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one of the server's own.
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

/// A name, or a name in which `*` stands for one segment and a last `**` for one or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicPattern {
    /// Exactly this topic, which has to exist.
    Name(TopicName),
    /// Every topic that matches, also one that comes later.
    Pattern(Arc<str>),
}

impl TopicPattern {
    /// Parses a name or pattern.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
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
                "**" => return Err(format!("{text:?}: '**' may stand at the end only")),
                _ if segment.contains('*') => {
                    return Err(format!(
                        "{text:?}: '*' stands for a whole segment, as in \"orders.*\""
                    ));
                }
                _ => check_segment(text, segment)?,
            }
        }
        Ok(Self::Pattern(text.into()))
    }

    /// Whether a topic of this name is meant.
    pub fn matches(&self, name: &TopicName) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Pattern(pattern) => {
                // The server's own topics are not in everybody's "**".
                if name.is_internal() && !pattern.starts_with('_') {
                    return false;
                }
                let mut segments = name.as_str().split('.');
                for part in pattern.split('.') {
                    match (part, segments.next()) {
                        ("**", Some(_)) => return true,
                        ("*", Some(_)) => {}
                        (part, Some(segment)) if part == segment => {}
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
            Err(format!("has {length} characters, at most {NAME_BYTES_MAX} are allowed"))
        }
        _ => Ok(()),
    }
}

fn check_segment(text: &str, segment: &str) -> Result<(), String> {
    if segment.is_empty() {
        return Err(format!("{text:?} has an empty segment: a dot stands between two segments"));
    }
    match segment.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        Some(other) => Err(format!(
            "{text:?} contains {other:?}: letters, digits, '-', '_' and '.' are allowed"
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
        assert!(TopicName::parse_own("_audit").is_err());
    }
}
