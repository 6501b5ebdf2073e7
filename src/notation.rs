//! The notation of positions, times, filters and versions in command-line flags and in queries over
//! HTTP.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::{
    model::timestamp::{TimeError, Timestamp},
    proto::events::v1::{
        AcceptedSchema, AttributeFilter, Edge, Filter, filter::Dialect, start_position::Position,
    },
};

/// A start position of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartPoint {
    /// The first retained event.
    Earliest,
    /// After the last event.
    Latest,
    /// This offset.
    Offset(u64),
    /// This many events before the end.
    Last(u64),
    /// The first event recorded at or after this time.
    Time(Timestamp),
}

impl StartPoint {
    /// Parses `earliest`, `latest`, `42`, `-10`, a time, or a duration before now.
    ///
    /// # Errors
    /// Returns a description of the accepted forms.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "earliest" | "beginning" => return Ok(Self::Earliest),
            "latest" | "end" => return Ok(Self::Latest),
            _ => {}
        }
        if let Some(last) = text.strip_prefix('-').and_then(parse_number) {
            return Ok(Self::Last(last));
        }
        if let Some(offset) = parse_number(text) {
            return Ok(Self::Offset(offset));
        }
        match Timestamp::iso8601(text) {
            Err(TimeError::Form) => {}
            Err(error @ TimeError::Range) => return Err(format!("the time {error}")),
            Ok(time) => return Ok(Self::Time(time)),
        }
        time_ago(text).map(Self::Time).ok_or_else(|| {
            "expected earliest, latest, an offset such as 42, -10 for the last ten, a time such as \
             2026-01-31T12:00:00Z, or how long ago, such as 15m"
                .to_owned()
        })
    }

    /// Converts the position to its message.
    pub fn position(&self) -> Position {
        match self {
            Self::Earliest => Position::Edge(Edge::Earliest.into()),
            Self::Latest => Position::Edge(Edge::Latest.into()),
            Self::Offset(offset) => Position::Offset(*offset),
            Self::Last(last) => Position::Last(*last),
            Self::Time(time) => Position::Time((*time).into()),
        }
    }
}

/// Parses a number without a sign. `str::parse` alone accepts a plus.
pub fn parse_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit()))
}

/// Parses a time, or a duration before now.
///
/// # Errors
/// Returns a description of the accepted forms.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    match Timestamp::iso8601(text) {
        Err(TimeError::Form) => time_ago(text).ok_or_else(|| {
            "expected a time such as 2026-01-31T12:00:00Z, or how long ago, such as 15m".to_owned()
        }),
        parsed => parsed.map_err(|error| format!("the time {error}")),
    }
}

fn time_ago(text: &str) -> Option<Timestamp> {
    let ago: Duration = humantime::parse_duration(text).ok()?;
    Timestamp::try_from(SystemTime::now().checked_sub(ago)?).ok()
}

/// Formats a time. Empty if there is none or it is out of range.
pub fn show_time(time: Option<&prost_types::Timestamp>) -> String {
    time.and_then(|time| Timestamp::try_from(*time).ok())
        .map(|time| time.to_string())
        .unwrap_or_default()
}

/// A condition on an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeMatch {
    text: String,
    name: String,
    value: String,
    prefix: bool,
}

impl AttributeMatch {
    /// Parses `NAME=VALUE`. A value that ends in `*` is a prefix.
    ///
    /// # Errors
    /// Returns a description of the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or("expected NAME=VALUE, such as type=shop.OrderPlaced or type=shop.*")?;
        let (value, prefix) = match value.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (value, false),
        };
        Ok(Self { text: text.to_owned(), name: name.to_owned(), value: value.to_owned(), prefix })
    }

    /// The text that it was parsed from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Converts the condition to its message.
    pub fn filter(&self) -> Filter {
        let attributes =
            AttributeFilter { attributes: [(self.name.clone(), self.value.clone())].into() };
        let dialect =
            if self.prefix { Dialect::Prefix(attributes) } else { Dialect::Exact(attributes) };
        Filter { dialect: Some(dialect) }
    }
}

/// The accepted schema versions of an event type, which is exact or a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedVersion {
    event_type: String,
    requirement: String,
}

impl AcceptedVersion {
    /// Parses `TYPE=REQUIREMENT`.
    ///
    /// # Errors
    /// Returns a description of the expected form.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((event_type, requirement))
                if !event_type.is_empty() && !requirement.is_empty() =>
            {
                Ok(Self { event_type: event_type.into(), requirement: requirement.into() })
            }
            _ => Err("expected a type and a requirement, such as shop.OrderPlaced=^1.2".into()),
        }
    }

    /// Converts the entry to its message.
    pub fn accepted(&self) -> AcceptedSchema {
        AcceptedSchema { r#type: self.event_type.clone(), version: self.requirement.clone() }
    }
}

impl fmt::Display for AcceptedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.event_type, self.requirement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_points_are_parsed() {
        assert_eq!(StartPoint::parse("earliest"), Ok(StartPoint::Earliest));
        assert_eq!(StartPoint::parse("latest"), Ok(StartPoint::Latest));
        assert_eq!(StartPoint::parse("42"), Ok(StartPoint::Offset(42)));
        assert_eq!(StartPoint::parse("-10"), Ok(StartPoint::Last(10)));
        assert_eq!(StartPoint::parse("-0"), Ok(StartPoint::Last(0)));
        let time = Timestamp::rfc3339("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(StartPoint::parse("2026-01-01T00:00:00Z"), Ok(StartPoint::Time(time)));
        assert_eq!(StartPoint::parse("2026-01-01T02:00:00+02:00"), Ok(StartPoint::Time(time)));
        let Ok(StartPoint::Time(then)) = StartPoint::parse("15m") else { panic!("no time") };
        let ago = Timestamp::try_from(SystemTime::now()).unwrap().seconds() - then.seconds();
        assert!((899..=901).contains(&ago), "{ago}");
        for bad in ["", "-", "soon", "2026-13-01T00:00:00Z", "--5", "4.2", "+1", "-+1"] {
            assert!(StartPoint::parse(bad).unwrap_err().contains("earliest, latest"), "{bad}");
        }
    }

    #[test]
    fn times_range_from_year_1_to_year_9999() {
        for text in ["9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00Z"] {
            let time = parse_time(text).unwrap();
            assert_eq!(StartPoint::parse(text), Ok(StartPoint::Time(time)));
            assert_eq!(show_time(Some(&time.into())), text);
        }
        let minutes = parse_time("9999-12-31T23:59Z").unwrap();
        assert_eq!(show_time(Some(&minutes.into())), "9999-12-31T23:59:00Z");
        for text in ["0000-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00"] {
            let errors = [parse_time(text).unwrap_err(), StartPoint::parse(text).unwrap_err()];
            assert!(errors.iter().all(|error| error.contains("9999-12-31")), "{errors:?}");
        }
        for text in ["10000y", "1000000y"] {
            assert!(parse_time(text).unwrap_err().contains("15m"), "{text}");
        }
        assert_eq!(show_time(Some(&prost_types::Timestamp { seconds: 0, nanos: -1 })), "");
    }

    #[test]
    fn filters_are_exact_or_prefix() {
        let exact = AttributeMatch::parse("type=a=b").unwrap();
        assert_eq!(
            (exact.name.as_str(), exact.value.as_str(), exact.prefix),
            ("type", "a=b", false)
        );
        let prefix = AttributeMatch::parse("type=com.github.*").unwrap();
        assert_eq!((prefix.value.as_str(), prefix.prefix), ("com.github.", true));
        assert!(AttributeMatch::parse("type").is_err());
        assert!(AttributeMatch::parse("=x").is_err());
    }
}
