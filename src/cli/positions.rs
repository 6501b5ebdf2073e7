//! Flags that select a start position and events, for `subscribe`, `read` and `topic trim`.

use clap::{Args, ValueEnum};
use tidings::{
    notation::{AcceptedVersion, AttributeMatch, StartPoint},
    proto::events::v1::{
        EventView, Filter, LostPositionPolicy, SchemaMismatchPolicy, SchemaSelection,
        StartPosition, filter::Dialect, start_position::Position,
    },
};

/// Flags for the start position of a stream.
#[derive(Debug, Clone, Args)]
pub struct StartArgs {
    /// Start at: earliest, latest, an offset (42), the last N (-10), a time (2026-01-31T12:00:00Z),
    /// or how long ago (15m)
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true, value_parser = StartPoint::parse)]
    pub from: Option<StartPoint>,
    /// Start after the event or message with this cursor
    #[arg(long, value_name = "CURSOR", conflicts_with = "from")]
    pub cursor: Option<String>,
    /// Policy if retention has removed the start
    #[arg(long, value_enum, default_value = "fail")]
    pub on_lost: OnLost,
}

/// Policy if retention has removed the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnLost {
    /// Fail, and report the position of the earliest event
    Fail,
    /// Start at the earliest event, and report the missing ones
    Earliest,
}

impl StartArgs {
    /// The start position; none for the server's default.
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

    /// The start after this cursor, with the same policy.
    pub fn after(&self, cursor: &str) -> StartPosition {
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

/// The position of the first event to keep, for `topic trim`.
pub fn trim_position(from: &StartPoint) -> StartPosition {
    StartPosition { position: Some(from.position()), on_lost: 0 }
}

/// Flags that select events and their form.
#[derive(Debug, Clone, Args)]
pub struct SelectArgs {
    /// Only events of this key
    #[arg(long)]
    pub key: Option<String>,
    /// Only events whose attribute has this value or this prefix (type=com.github.*); repeatable,
    /// all must match
    #[arg(long = "filter", value_name = "NAME=VALUE", value_parser = AttributeMatch::parse)]
    pub filters: Vec<AttributeMatch>,
    /// Only events for which this is true, in CEL, over `event` and the decoded payload `data`
    ///
    /// Example: --cel "data.total > 100 && event.source.startsWith('https://shop')". Attributes are
    /// event.type, event.time, event.NAME; fields of the payload are data.NAME, if it is JSON or
    /// has a registered schema. An event without the attribute or field does not match: test
    /// has(data.NAME) first.
    #[arg(long, value_name = "EXPRESSION")]
    pub cel: Option<String>,
    /// Content of an event that is sent
    #[arg(long, value_enum)]
    pub view: Option<View>,
    /// Accept events of a type in schema versions that satisfy this requirement, such as
    /// 'shop.OrderPlaced=^1.2' or 'shop.*=^1'; others of the same major version are converted;
    /// repeatable
    #[arg(long, value_name = "TYPE=REQUIREMENT", value_parser = AcceptedVersion::parse)]
    pub accept: Vec<AcceptedVersion>,
    /// Policy for an event that cannot be delivered in an accepted version
    #[arg(long, value_enum, default_value = "fail", requires = "accept")]
    pub on_mismatch: OnMismatch,
}

/// Policy for an event that cannot be delivered in an accepted version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnMismatch {
    /// Fail
    Fail,
    /// Skip the event, and report it
    Skip,
    /// Deliver the event as written
    Deliver,
}

impl SelectArgs {
    /// The accepted versions, as a request has them.
    pub fn schema(&self) -> Option<SchemaSelection> {
        if self.accept.is_empty() {
            return None;
        }
        let accept = self.accept.iter().map(AcceptedVersion::accepted);
        let on_mismatch = match self.on_mismatch {
            OnMismatch::Fail => SchemaMismatchPolicy::Fail,
            OnMismatch::Skip => SchemaMismatchPolicy::Skip,
            OnMismatch::Deliver => SchemaMismatchPolicy::Deliver,
        };
        Some(SchemaSelection { accept: accept.collect(), on_mismatch: on_mismatch.into() })
    }

    /// The filters, as a request has them.
    pub fn filters(&self) -> Vec<Filter> {
        let cel = self.cel.iter().map(|text| Filter { dialect: Some(Dialect::Cel(text.clone())) });
        self.filters.iter().map(AttributeMatch::filter).chain(cel).collect()
    }

    /// The view, as a request has it.
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

    /// The flags that repeat this selection.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        if let Some(key) = &self.key {
            flags.push(format!("--key {}", quote(key)));
        }
        for filter in &self.filters {
            flags.push(format!("--filter {}", quote(filter.text())));
        }
        if let Some(cel) = &self.cel {
            flags.push(format!("--cel {}", quote(cel)));
        }
        if let Some(view) = self.view.and_then(|view| view.to_possible_value()) {
            flags.push(format!("--view {}", view.get_name()));
        }
        for accepted in &self.accept {
            flags.push(format!("--accept {}", quote(&accepted.to_string())));
        }
        if let Some(policy) = self.on_mismatch.to_possible_value()
            && self.on_mismatch != OnMismatch::Fail
        {
            flags.push(format!("--on-mismatch {}", policy.get_name()));
        }
        flags
    }
}

/// Content of an event that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// As recorded
    Full,
    /// Attributes only
    Envelope,
    /// The payload as JSON, from any encoding
    Json,
    /// Strictly in CloudEvents' Protobuf format
    Cloudevents,
    /// Protobuf payloads as google.protobuf.Any
    Any,
}

/// Parses `name=value`.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "expected NAME=VALUE".to_owned())
}

/// Quotes a word for a shell.
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
    fn words_survive_a_shell() {
        assert_eq!(quote("orders.v1"), "orders.v1");
        assert_eq!(quote("orders.**"), "'orders.**'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
