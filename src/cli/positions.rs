//! Where a stream starts and what of it is wanted: the flags that `subscribe`, `read` and `topic trim` share.

use clap::{Args, ValueEnum};
use tidings::{
    notation::{AcceptedVersion, AttributeMatch, From},
    proto::events::v1::{
        EventView, Filter, LostPositionPolicy, SchemaMismatchPolicy, SchemaSelection,
        StartPosition, filter::Dialect, start_position::Position,
    },
};

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
        let accept = self.accept.iter().map(AcceptedVersion::accepted);
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
            flags.push(format!("--filter {}", quote(filter.written())));
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
    fn words_survive_a_shell() {
        assert_eq!(quote("orders.v1"), "orders.v1");
        assert_eq!(quote("orders.**"), "'orders.**'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
