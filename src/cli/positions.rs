//! Where a stream starts and what of it is wanted: the flags that `subscribe`, `read` and `topic trim` share.

use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use tidings::proto::events::v1::{
    AcceptedSchema, AttributeFilter, Edge, EventView, Filter, LostPositionPolicy,
    SchemaMismatchPolicy, SchemaSelection, StartPosition, filter::Dialect,
    start_position::Position,
};

/// A place in a stream, as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// The first event kept.
    Earliest,
    /// Behind the last event.
    Latest,
    /// This offset.
    Offset(u64),
    /// So many events before the end.
    Last(u64),
    /// The first event recorded at or after.
    Time(Timestamp),
}

impl From {
    /// Reads `earliest`, `latest`, `42`, `-10`, a time, or how long ago.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "earliest" | "beginning" => return Ok(Self::Earliest),
            "latest" | "end" => return Ok(Self::Latest),
            _ => {}
        }
        if let Some(last) = text.strip_prefix('-').and_then(|last| last.parse().ok()) {
            return Ok(Self::Last(last));
        }
        if let Ok(offset) = text.parse() {
            return Ok(Self::Offset(offset));
        }
        parse_time(text).map(Self::Time).map_err(|_| {
            "expected earliest, latest, an offset such as 42, -10 for the last ten, a time such as \
             2026-01-31T12:00:00Z, or how long ago, such as 15m"
                .to_owned()
        })
    }

    fn position(&self) -> Position {
        match self {
            Self::Earliest => Position::Edge(Edge::Earliest.into()),
            Self::Latest => Position::Edge(Edge::Latest.into()),
            Self::Offset(offset) => Position::Offset(*offset),
            Self::Last(last) => Position::Last(*last),
            Self::Time(time) => Position::Time(to_proto(*time)),
        }
    }
}

/// Reads a time, or a duration as how long ago.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago: Duration = humantime::parse_duration(text).map_err(|_| {
        "expected a time such as 2026-01-31T12:00:00Z, or how long ago, such as 15m".to_owned()
    })?;
    let then = SystemTime::now().checked_sub(ago).ok_or("before all time")?;
    Timestamp::try_from(then).map_err(|error| error.to_string())
}

/// A time as it travels.
pub fn to_proto(time: Timestamp) -> prost_types::Timestamp {
    // jiff's nanoseconds go below zero together with the seconds; the wire's never do.
    let nanos = time.subsec_nanosecond();
    if nanos < 0 {
        prost_types::Timestamp { seconds: time.as_second() - 1, nanos: nanos + 1_000_000_000 }
    } else {
        prost_types::Timestamp { seconds: time.as_second(), nanos }
    }
}

/// A time as people read it; empty where there is none.
pub fn show_time(time: Option<&prost_types::Timestamp>) -> String {
    time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok())
        .map(|time| time.to_string())
        .unwrap_or_default()
}

/// Flags that say where a stream starts.
#[derive(Debug, Clone, Args)]
pub struct StartArgs {
    /// Start at: earliest, latest, an offset (42), the last N (-10), a time (2026-01-31T12:00:00Z), or how long ago (15m)
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true, value_parser = From::parse)]
    pub from: Option<From>,
    /// Start behind the event or message that this cursor came with
    #[arg(long, value_name = "CURSOR", conflicts_with = "from")]
    pub cursor: Option<String>,
    /// What to do where retention has removed the start
    #[arg(long, value_enum, default_value = "fail")]
    pub on_lost: OnLost,
}

/// What to do where retention has removed the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnLost {
    /// Fail, and say where the earliest event is
    Fail,
    /// Start at the earliest event, and tell what is missing
    Earliest,
}

impl StartArgs {
    /// What was asked for; the server's default for the call where nothing was.
    pub fn position(&self) -> Option<StartPosition> {
        let position = match (&self.cursor, &self.from) {
            (Some(cursor), _) => Some(Position::Cursor(cursor.clone())),
            (None, Some(from)) => Some(from.position()),
            (None, None) => None,
        };
        if position.is_none() && self.on_lost == OnLost::Fail {
            return None;
        }
        Some(StartPosition { position, on_lost: self.lost_policy().into() })
    }

    /// The start behind this cursor, with the same policy.
    pub fn behind(&self, cursor: &str) -> StartPosition {
        StartPosition {
            position: Some(Position::Cursor(cursor.to_owned())),
            on_lost: self.lost_policy().into(),
        }
    }

    fn lost_policy(&self) -> LostPositionPolicy {
        match self.on_lost {
            OnLost::Fail => LostPositionPolicy::Fail,
            OnLost::Earliest => LostPositionPolicy::Earliest,
        }
    }
}

/// A place behind which nothing is wanted, for `topic trim`.
pub fn before(from: &From) -> StartPosition {
    StartPosition { position: Some(from.position()), on_lost: 0 }
}

/// Flags that say what of a stream is wanted.
#[derive(Debug, Clone, Args)]
pub struct SelectArgs {
    /// Only events of this key
    #[arg(long)]
    pub key: Option<String>,
    /// Only events whose attribute has this value, or begins so (type=com.github.*); repeated: all must match
    #[arg(long = "filter", value_name = "NAME=VALUE", value_parser = AttributeMatch::parse)]
    pub filters: Vec<AttributeMatch>,
    /// Only events for which this is true, in CEL, over `event` and the decoded payload `data`
    ///
    /// For instance: --cel "data.total > 100 && event.source.startsWith('https://shop')".
    /// Attributes are event.type, event.time, event.NAME; fields of the payload are data.NAME, where it is JSON or has a
    /// registered schema. What an event does not have does not match: ask has(data.NAME) first.
    #[arg(long, value_name = "EXPRESSION")]
    pub cel: Option<String>,
    /// What of an event is sent
    #[arg(long, value_enum)]
    pub view: Option<View>,
    /// Take events of a type in schema versions that satisfy this, such as 'shop.OrderPlaced=^1.2' or 'shop.*=^1'; others of
    /// the same major version are converted; repeated
    #[arg(long, value_name = "TYPE=REQUIREMENT", value_parser = AcceptedVersion::parse)]
    pub accept: Vec<AcceptedVersion>,
    /// What to do with an event that cannot be had so
    #[arg(long, value_enum, default_value = "fail", requires = "accept")]
    pub on_mismatch: OnMismatch,
}

/// A type, exact or a prefix, and the schema versions of it that are understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedVersion {
    of: String,
    requirement: String,
}

impl AcceptedVersion {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((of, requirement)) if !of.is_empty() && !requirement.is_empty() => {
                Ok(Self { of: of.into(), requirement: requirement.into() })
            }
            _ => Err("expected a type and a requirement, such as shop.OrderPlaced=^1.2".into()),
        }
    }
}

/// What to do with an event that cannot be had in a version that is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnMismatch {
    /// Fail
    Fail,
    /// Leave it out, and tell
    Skip,
    /// Take it as it was written
    Deliver,
}

impl SelectArgs {
    /// The versions that are understood, as they travel.
    pub fn schema(&self) -> Option<SchemaSelection> {
        if self.accept.is_empty() {
            return None;
        }
        let accept = self
            .accept
            .iter()
            .map(|it| AcceptedSchema { r#type: it.of.clone(), version: it.requirement.clone() });
        let on_mismatch = match self.on_mismatch {
            OnMismatch::Fail => SchemaMismatchPolicy::Fail,
            OnMismatch::Skip => SchemaMismatchPolicy::Skip,
            OnMismatch::Deliver => SchemaMismatchPolicy::Deliver,
        };
        Some(SchemaSelection { accept: accept.collect(), on_mismatch: on_mismatch.into() })
    }

    /// The filters as they travel.
    pub fn filters(&self) -> Vec<Filter> {
        let cel = self.cel.iter().map(|text| Filter { dialect: Some(Dialect::Cel(text.clone())) });
        self.filters.iter().map(AttributeMatch::filter).chain(cel).collect()
    }

    /// The view as it travels.
    pub fn view(&self) -> EventView {
        match self.view {
            None => EventView::Unspecified,
            Some(View::Full) => EventView::Full,
            Some(View::Envelope) => EventView::Envelope,
            Some(View::Json) => EventView::Json,
            Some(View::Cloudevents) => EventView::Cloudevents,
            Some(View::Any) => EventView::Any,
        }
    }

    /// The flags that say the same again.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        if let Some(key) = &self.key {
            flags.push(format!("--key {}", quote(key)));
        }
        for filter in &self.filters {
            flags.push(format!("--filter {}", quote(&filter.written)));
        }
        if let Some(cel) = &self.cel {
            flags.push(format!("--cel {}", quote(cel)));
        }
        if let Some(view) = self.view.and_then(|view| view.to_possible_value()) {
            flags.push(format!("--view {}", view.get_name()));
        }
        for accepted in &self.accept {
            let AcceptedVersion { of, requirement } = accepted;
            flags.push(format!("--accept {}", quote(&format!("{of}={requirement}"))));
        }
        if let Some(policy) = self.on_mismatch.to_possible_value()
            && self.on_mismatch != OnMismatch::Fail
        {
            flags.push(format!("--on-mismatch {}", policy.get_name()));
        }
        flags
    }
}

/// What of an event is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// As recorded
    Full,
    /// Attributes only
    Envelope,
    /// The payload as JSON, whatever it is encoded in
    Json,
    /// Strictly as CloudEvents' Protobuf format has it
    Cloudevents,
    /// Protobuf payloads as google.protobuf.Any
    Any,
}

/// One condition on an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeMatch {
    written: String,
    name: String,
    value: String,
    prefix: bool,
}

impl AttributeMatch {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or("expected NAME=VALUE, such as type=shop.OrderPlaced or type=shop.*")?;
        let (value, prefix) = match value.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (value, false),
        };
        Ok(Self {
            written: text.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            prefix,
        })
    }

    fn filter(&self) -> Filter {
        let attributes =
            AttributeFilter { attributes: [(self.name.clone(), self.value.clone())].into() };
        let dialect =
            if self.prefix { Dialect::Prefix(attributes) } else { Dialect::Exact(attributes) };
        Filter { dialect: Some(dialect) }
    }
}

/// Reads `name=value`.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "expected NAME=VALUE".to_owned())
}

/// As a shell reads it back.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        assert_eq!(From::parse("earliest"), Ok(From::Earliest));
        assert_eq!(From::parse("latest"), Ok(From::Latest));
        assert_eq!(From::parse("42"), Ok(From::Offset(42)));
        assert_eq!(From::parse("-10"), Ok(From::Last(10)));
        assert_eq!(From::parse("-0"), Ok(From::Last(0)));
        let time = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(From::parse("2026-01-01T00:00:00Z"), Ok(From::Time(time)));
        assert_eq!(From::parse("2026-01-01T02:00:00+02:00"), Ok(From::Time(time)));
        let Ok(From::Time(then)) = From::parse("15m") else { panic!("no time") };
        let ago = Timestamp::now().as_second() - then.as_second();
        assert!((899..=901).contains(&ago), "{ago}");
        for bad in ["", "-", "soon", "2026-13-01T00:00:00Z", "--5", "4.2"] {
            assert!(From::parse(bad).unwrap_err().contains("earliest, latest"), "{bad}");
        }
    }

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        let time: Timestamp = "1969-12-31T23:59:59.25Z".parse().unwrap();
        let sent = to_proto(time);
        assert_eq!(sent, prost_types::Timestamp { seconds: -1, nanos: 250_000_000 });
        assert_eq!(show_time(Some(&sent)), "1969-12-31T23:59:59.25Z");
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

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quote("orders.v1"), "orders.v1");
        assert_eq!(quote("orders.**"), "'orders.**'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
