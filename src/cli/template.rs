//! `--format`: a line per event, of text and named fields.

use tidings::{
    cloudevents, config::nearest, notation::show_time, proto::events::v1::RecordedEvent,
};

use super::event_json;

/// The fields, by name.
pub const FIELDS: [(&str, Field); 19] = [
    ("topic", Field::Topic),
    ("offset", Field::Offset),
    ("position", Field::Position),
    ("key", Field::Key),
    ("key_version", Field::KeyVersion),
    ("append_time", Field::AppendTime),
    ("cursor", Field::Cursor),
    ("schema_version", Field::SchemaVersion),
    ("id", Field::Id),
    ("source", Field::Source),
    ("type", Field::Type),
    ("subject", Field::Subject),
    ("time", Field::Time),
    ("datacontenttype", Field::ContentType),
    ("correlationid", Field::CorrelationId),
    ("causationid", Field::CausationId),
    ("data", Field::Data),
    ("event", Field::Event),
    ("json", Field::Json),
];

/// A field of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Topic,
    Offset,
    /// Position in the order of all topics.
    Position,
    Key,
    /// Number of the event within its key.
    KeyVersion,
    /// When it was recorded.
    AppendTime,
    /// Cursor that resumes after the event.
    Cursor,
    /// The schema version that it is delivered in; empty without a schema.
    SchemaVersion,
    Id,
    Source,
    Type,
    Subject,
    /// The time of CloudEvents.
    Time,
    ContentType,
    CorrelationId,
    CausationId,
    /// The payload, as JSON.
    Data,
    /// The CloudEvents document.
    Event,
    /// The recorded event with its document.
    Json,
}

impl Field {
    fn write(self, recorded: &RecordedEvent, line: &mut String) {
        match self {
            Self::Topic => line.push_str(&recorded.topic),
            Self::Offset => line.push_str(&recorded.offset.to_string()),
            Self::Position => line.push_str(&recorded.position.to_string()),
            Self::Key => line.push_str(&recorded.key),
            Self::KeyVersion => line.push_str(&recorded.key_version.to_string()),
            Self::AppendTime => line.push_str(&show_time(recorded.append_time.as_ref())),
            Self::Cursor => line.push_str(&recorded.cursor),
            Self::SchemaVersion => {
                if let Some(schema) = &recorded.schema {
                    line.push_str(&schema.delivered_version);
                }
            }
            Self::Json => line.push_str(&event_json::recorded(recorded)),
            Self::Id
            | Self::Source
            | Self::Type
            | Self::Subject
            | Self::Time
            | Self::ContentType
            | Self::CorrelationId
            | Self::CausationId
            | Self::Data
            | Self::Event => {
                let Some(event) = &recorded.event else { return };
                match self {
                    Self::Id => line.push_str(&event.id),
                    Self::Source => line.push_str(&event.source),
                    Self::Type => line.push_str(&event.r#type),
                    Self::Subject => line.push_str(&event.subject),
                    Self::Time => line.push_str(&show_time(event.time.as_ref())),
                    Self::ContentType => line.push_str(&event.datacontenttype),
                    Self::CorrelationId => line.push_str(&event.correlationid),
                    Self::CausationId => line.push_str(&event.causationid),
                    Self::Data => line.push_str(&cloudevents::data(event)),
                    _ => line.push_str(&cloudevents::document(event, &[])),
                }
            }
        }
    }
}

/// A parsed format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Text(String),
    Field(Field),
}

impl Template {
    /// Parses `{field}`, the escapes `\t \n \r \0 \\`, and `{{`, `}}` for braces.
    pub fn parse(source: &str) -> Result<Self, String> {
        let mut segments = Vec::new();
        let mut text = String::new();
        let mut rest = source.chars().peekable();
        while let Some(next) = rest.next() {
            match next {
                '{' | '}' if rest.next_if_eq(&next).is_some() => text.push(next),
                '}' => return Err("a } without its {; write }} for one".to_owned()),
                '{' => {
                    let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                    if !source.contains(&format!("{{{name}}}")) {
                        return Err(format!("{{{name} is not closed; write {{{{ for a brace"));
                    }
                    if !text.is_empty() {
                        segments.push(Segment::Text(std::mem::take(&mut text)));
                    }
                    segments.push(Segment::Field(find_field(&name)?));
                }
                '\\' => match rest.next() {
                    Some('t') => text.push('\t'),
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some('0') => text.push('\0'),
                    Some('\\') => text.push('\\'),
                    Some(other) => {
                        return Err(format!("no escape \\{other}; there are \\t \\n \\r \\0 \\\\"));
                    }
                    None => return Err("a \\ at the end; write \\\\ for one".to_owned()),
                },
                other => text.push(other),
            }
        }
        if !text.is_empty() {
            segments.push(Segment::Text(text));
        }
        Ok(Self { source: source.to_owned(), segments })
    }

    /// The text that was parsed.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The line for an event.
    pub fn render(&self, recorded: &RecordedEvent) -> String {
        let mut line = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Text(text) => line.push_str(text),
                Segment::Field(field) => field.write(recorded, &mut line),
            }
        }
        line
    }
}

fn find_field(name: &str) -> Result<Field, String> {
    if let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) {
        return Ok(*field);
    }
    let names = FIELDS.iter().map(|(name, _)| (*name).to_owned());
    Err(match nearest(name, names.clone()) {
        Some(nearest) => format!("no field {{{name}}}; did you mean {{{nearest}}}?"),
        None => format!("no field {{{name}}}; there are {}", names.collect::<Vec<_>>().join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use tidings::proto::events::v1::{Event, event::Payload};

    use super::*;

    fn recorded() -> RecordedEvent {
        RecordedEvent {
            topic: "orders".to_owned(),
            offset: 7,
            key: "o-1".to_owned(),
            event: Some(Event {
                r#type: "shop.OrderPlaced".to_owned(),
                payload: Some(Payload::TextData("{\"n\":1}".to_owned())),
                ..Event::default()
            }),
            ..RecordedEvent::default()
        }
    }

    #[test]
    fn fields_escapes_and_braces_are_filled_in() {
        let template = Template::parse(r"{offset}\t{key} {{{type}}} {data}\\").unwrap();
        assert_eq!(template.render(&recorded()), "7\to-1 {shop.OrderPlaced} {\"n\":1}\\");
    }

    #[test]
    fn unknown_fields_are_refused_with_the_nearest() {
        assert_eq!(
            Template::parse("{ofset}").unwrap_err(),
            "no field {ofset}; did you mean {offset}?"
        );
        assert!(Template::parse("{zzzz}").unwrap_err().contains("there are topic, offset"));
        assert!(Template::parse("{offset").unwrap_err().contains("not closed"));
        assert!(Template::parse("offset}").unwrap_err().contains("without its {"));
        assert!(Template::parse(r"\q").unwrap_err().contains("no escape"));
    }
}
