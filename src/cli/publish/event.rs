//! Converts a line of input into an event: data that the flags complete, or a CloudEvents document.

use clap::{Args, ValueEnum};
use serde_json::value::RawValue;
use tidings::{
    cloudevents::{self, Fault, Members},
    proto::events::v1::{Event, event::Payload},
};
use uuid::Uuid;

use crate::cli::positions::parse_pair;

/// Format of a line of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// A CloudEvents document if it has a `specversion`, data otherwise
    Auto,
    /// The event's data as JSON
    Data,
    /// A CloudEvents document
    Cloudevents,
    /// The event's data as plain text
    Text,
}

/// Flags for the attributes that a line does not have.
#[derive(Debug, Clone, Args)]
pub struct AttributeArgs {
    /// Type of the events
    #[arg(long = "type", value_name = "TYPE", default_value = "tidings.cli.Event")]
    pub kind: String,
    /// Source of the events
    #[arg(long, default_value = "tidings-cli")]
    pub source: String,
    /// Id of the event; default: a new UUIDv7; the same id and source again is the same event
    #[arg(long)]
    pub id: Option<String>,
    /// Subject of the events
    #[arg(long)]
    pub subject: Option<String>,
    /// Key of the events; order and versions are counted per key
    #[arg(long)]
    pub key: Option<String>,
    /// Correlation id: the flow that the events belong to
    #[arg(long, value_name = "ID")]
    pub correlation_id: Option<String>,
    /// Causation id: the event that caused these
    #[arg(long, value_name = "ID")]
    pub causation_id: Option<String>,
    /// An extension attribute; repeatable
    #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub attributes: Vec<(String, String)>,
}

impl AttributeArgs {
    /// Parses one line, or returns all of its faults.
    pub fn event(&self, line: &str, format: InputFormat) -> Result<Event, Vec<String>> {
        let mut event = match format {
            InputFormat::Text => Event {
                datacontenttype: "text/plain".to_owned(),
                payload: Some(Payload::TextData(line.to_owned())),
                ..Event::default()
            },
            InputFormat::Data => data(line)?,
            InputFormat::Cloudevents => document(&Members::of(line).map_err(unreadable)?)?,
            InputFormat::Auto => match Members::of(line) {
                Ok(members) if members.has("specversion") => document(&members)?,
                Ok(_) => data(line)?,
                // Neither a document nor data that every parser reads alike.
                Err(fault) if fault.is_ambiguous() => return Err(unreadable(fault)),
                Err(_) => data(line)?,
            },
        };
        self.complete(&mut event);
        Ok(event)
    }

    /// Sets the attributes that the line does not have.
    fn complete(&self, event: &mut Event) {
        let fill = |field: &mut String, value: Option<&String>| {
            if let Some(value) = value.filter(|_| field.is_empty()) {
                field.clone_from(value);
            }
        };
        if event.id.is_empty() {
            event.id = self.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
        }
        fill(&mut event.source, Some(&self.source));
        fill(&mut event.r#type, Some(&self.kind));
        fill(&mut event.subject, self.subject.as_ref());
        fill(&mut event.partitionkey, self.key.as_ref());
        fill(&mut event.correlationid, self.correlation_id.as_ref());
        fill(&mut event.causationid, self.causation_id.as_ref());
        for (name, value) in &self.attributes {
            if !event.attributes.contains_key(name) {
                event.extensions.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }
}

fn document(members: &Members<'_>) -> Result<Event, Vec<String>> {
    let event = cloudevents::read(members);
    event.map_err(|faults| faults.iter().map(Fault::to_string).collect())
}

fn unreadable(fault: cloudevents::DocumentError) -> Vec<String> {
    vec![fault.to_string()]
}

/// An event with this data. The text stays as written, so that numbers of any size survive.
fn data(line: &str) -> Result<Event, Vec<String>> {
    let raw: &RawValue = serde_json::from_str(line).map_err(|error| {
        vec![format!("not JSON: {error}; --format text accepts lines of plain text")]
    })?;
    Ok(Event {
        datacontenttype: "application/json".to_owned(),
        payload: Some(Payload::TextData(raw.get().to_owned())),
        ..Event::default()
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        attributes: AttributeArgs,
    }

    fn read(line: &str, flags: &[&str]) -> Result<Event, Vec<String>> {
        let flags = Flags::parse_from([&["test"], flags].concat());
        flags.attributes.event(line, InputFormat::Auto)
    }

    #[test]
    fn data_is_kept_to_the_byte_and_completed_by_flags() {
        let flags = ["--type", "T", "--key", "k", "--correlation-id", "c", "--attr", "shop=north"];
        let event = read(" {\"n\": 18446744073709551615, \"x\":1.0} ", &flags).unwrap();
        let text = "{\"n\": 18446744073709551615, \"x\":1.0}";
        assert_eq!(event.payload, Some(Payload::TextData(text.to_owned())));
        assert_eq!(event.datacontenttype, "application/json");
        assert_eq!((event.r#type.as_str(), event.source.as_str()), ("T", "tidings-cli"));
        assert_eq!((event.partitionkey.as_str(), event.correlationid.as_str()), ("k", "c"));
        assert_eq!(event.extensions["shop"], "north");
        assert_eq!(Uuid::parse_str(&event.id).unwrap().get_version_num(), 7);
    }

    #[test]
    fn documents_come_back_as_they_went_in() {
        for document in [
            r#"{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"application/json","data":{"n": 9007199254740993}}"#,
            r#"{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"x","time":"2026-01-31T12:00:00.5Z","datacontenttype":"text/plain","partitionkey":"k","shop":"north","count":3,"urgent":true,"data":"<a>"}"#,
            r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AP8="}"#,
        ] {
            let event = read(document, &["--type", "other", "--id", "other"]).unwrap();
            assert_eq!(cloudevents::document(&event, &[]), document);
        }
    }

    #[test]
    fn all_faults_of_a_document_are_reported() {
        let line = r#"{"specversion":"1.0","id":7,"type":"t","time":"noon","deep":{},"big":4294967296,"data":1,"data_base64":"AA=="}"#;
        assert_eq!(
            read(line, &[]).unwrap_err(),
            [
                "id: expected a string",
                "time: \"noon\" is not a time of RFC 3339, such as 2026-01-31T12:00:00Z",
                "deep: an attribute is a string, an integer, true or false; put structured values into data",
                "big: CloudEvents integers have 32 bits; write it as a string",
                "source: is missing",
                "data: data_base64 is set too; an event has one of them",
            ]
        );
        let twice = read(r#"{"specversion":"1.0","id":"1","id":"2"}"#, &[]).unwrap_err();
        assert!(twice[0].contains("`id` occurs twice"), "{twice:?}");
        assert!(read("hello", &[]).unwrap_err()[0].contains("--format text"));
    }
}
