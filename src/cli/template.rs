//! `--format`: a line per event, of text and named fields.

use tidings::{
    cloudevents, config::nearest, notation::show_time, proto::events::v1::RecordedEvent,
};

use super::event_json;

/// What may stand between braces.
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
    /// Its topic.
    Topic,
    /// Its offset there.
    Offset,
    /// Its place in the order of everything.
    Position,
    /// Its key.
    Key,
    /// Its number within the key.
    KeyVersion,
    /// When it was recorded.
    AppendTime,
    /// Resumes behind it.
    Cursor,
    /// The schema version that it is delivered in; empty where it has no schema.
    SchemaVersion,
    /// CloudEvents' id.
    Id,
    /// CloudEvents' source.
    Source,
    /// CloudEvents' type.
    Type,
    /// CloudEvents' subject.
    Subject,
    /// CloudEvents' time.
    Time,
    /// CloudEvents' datacontenttype.
    ContentType,
    /// The flow it belongs to.
    CorrelationId,
    /// What it follows from.
    CausationId,
    /// The payload, as JSON.
    Data,
    /// The CloudEvents document.
    Event,
    /// The document with its place.
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

/// A format, ready to be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    written: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

impl Template {
    /// Reads `{field}`, the escapes `\t \n \r \0 \\`, and `{{`, `}}` for braces.
    pub fn parse(written: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = written.chars().peekable();
        while let Some(next) = rest.next() {
            match next {
                '{' | '}' if rest.next_if_eq(&next).is_some() => text.push(next),
                '}' => return Err("a } without its {; write }} for one".to_owned()),
                '{' => {
                    let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                    if !written.contains(&format!("{{{name}}}")) {
                        return Err(format!("{{{name} is not closed; write {{{{ for a brace"));
                    }
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Part::Field(find_field(&name)?));
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
            parts.push(Part::Text(text));
        }
        Ok(Self { written: written.to_owned(), parts })
    }

    /// As it was written.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The line for an event.
    pub fn fill(&self, recorded: &RecordedEvent) -> String {
        let mut line = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Field(field) => field.write(recorded, &mut line),
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
        assert_eq!(template.fill(&recorded()), "7\to-1 {shop.OrderPlaced} {\"n\":1}\\");
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
