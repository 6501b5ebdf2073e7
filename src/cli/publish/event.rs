//! A line of input becomes an event: plain data that the flags complete, or a whole CloudEvents document.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use tidings::proto::events::v1::{AttributeValue, Event, attribute_value::Attr, event::Payload};
use uuid::Uuid;

use crate::cli::{
    event_json::holds_json,
    positions::{parse_pair, to_proto},
};

/// What a line of input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// A CloudEvents document where it has a `specversion`, else data
    Auto,
    /// The event's data, as JSON
    Data,
    /// A whole CloudEvents document
    Cloudevents,
    /// The event's data, as plain text
    Text,
}

/// Flags for what a line does not say itself.
#[derive(Debug, Clone, Args)]
pub struct AttributeArgs {
    /// Type of the events: what happened
    #[arg(long = "type", value_name = "TYPE", default_value = "tidings.cli.Event")]
    pub kind: String,
    /// Source of the events: who says so
    #[arg(long, default_value = "tidings-cli")]
    pub source: String,
    /// Id of the event, by default a new UUIDv7; the same id and source again is the same event
    #[arg(long)]
    pub id: Option<String>,
    /// Subject of the events
    #[arg(long)]
    pub subject: Option<String>,
    /// Key of the events: what their order and their versions are counted by
    #[arg(long)]
    pub key: Option<String>,
    /// The flow that the events belong to
    #[arg(long, value_name = "ID")]
    pub correlation_id: Option<String>,
    /// The event that caused these
    #[arg(long, value_name = "ID")]
    pub causation_id: Option<String>,
    /// An extension attribute; repeatable
    #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub attributes: Vec<(String, String)>,
}

impl AttributeArgs {
    /// Reads one line, or says all that is wrong with it.
    pub fn event(&self, line: &str, format: InputFormat) -> Result<Event, Vec<String>> {
        let mut event = match format {
            InputFormat::Text => Event {
                datacontenttype: "text/plain".to_owned(),
                payload: Some(Payload::TextData(line.to_owned())),
                ..Event::default()
            },
            InputFormat::Data => data(line)?,
            InputFormat::Cloudevents => document(&members(line).map_err(|fault| vec![fault])?)?,
            InputFormat::Auto => match members(line) {
                Ok(members) if members.iter().any(|(name, _)| name == "specversion") => {
                    document(&members)?
                }
                Ok(_) => data(line)?,
                // Neither a document nor data that everybody reads alike.
                Err(fault) if fault.contains(TWICE) => return Err(vec![fault]),
                Err(_) => data(line)?,
            },
        };
        self.complete(&mut event);
        Ok(event)
    }

    /// Fills in what the line left open.
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

/// Data alone. The text goes as it is, so that numbers of any size survive.
fn data(line: &str) -> Result<Event, Vec<String>> {
    let raw: &RawValue = serde_json::from_str(line).map_err(|error| {
        vec![format!("not JSON: {error}; --format text takes lines of plain text")]
    })?;
    Ok(Event {
        datacontenttype: "application/json".to_owned(),
        payload: Some(Payload::TextData(raw.get().to_owned())),
        ..Event::default()
    })
}

const TWICE: &str = "is there twice";

/// The members of a JSON object with their text as it stands there.
type Members<'a> = Vec<(String, &'a RawValue)>;

fn members(line: &str) -> Result<Members<'_>, String> {
    struct Object<'a>(Members<'a>);

    impl<'de> Deserialize<'de> for Object<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Collect;
            impl<'de> Visitor<'de> for Collect {
                type Value = Object<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a CloudEvents document")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                    let mut members = Members::new();
                    while let Some(name) = map.next_key::<String>()? {
                        if members.iter().any(|(known, _)| *known == name) {
                            return Err(A::Error::custom(format!("`{name}` {TWICE}")));
                        }
                        members.push((name, map.next_value()?));
                    }
                    Ok(Object(members))
                }
            }
            deserializer.deserialize_map(Collect)
        }
    }

    serde_json::from_str::<Object<'_>>(line)
        .map(|object| object.0)
        .map_err(|error| format!("no CloudEvents document: {error}"))
}

/// A CloudEvents document in the JSON format.
fn document(members: &Members<'_>) -> Result<Event, Vec<String>> {
    let mut reading = Reading::default();
    for (name, value) in members {
        if let Err(fault) = reading.member(name, value) {
            reading.faults.push(format!("{name}: {fault}"));
        }
    }
    for required in ["id", "source", "type"] {
        if !members.iter().any(|(name, _)| name == required) {
            reading.faults.push(format!("{required}: is missing"));
        }
    }
    reading.finish()
}

/// A document while it is read. What `data` is can be said only when its content type is known.
#[derive(Default)]
struct Reading<'a> {
    event: Event,
    data: Option<&'a str>,
    faults: Vec<String>,
}

impl<'a> Reading<'a> {
    fn member(&mut self, name: &str, raw: &'a RawValue) -> Result<(), String> {
        if name == "data" {
            self.data = Some(raw.get());
            return Ok(());
        }
        let value: Value = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
        // CloudEvents: an attribute that is null is not there.
        if value.is_null() {
            return Ok(());
        }
        let event = &mut self.event;
        match name {
            "id" => event.id = string(value)?,
            "source" => event.source = string(value)?,
            "specversion" => event.spec_version = string(value)?,
            "type" => event.r#type = string(value)?,
            "subject" => event.subject = string(value)?,
            "datacontenttype" => event.datacontenttype = string(value)?,
            "dataschema" => event.dataschema = string(value)?,
            "partitionkey" => event.partitionkey = string(value)?,
            "correlationid" => event.correlationid = string(value)?,
            "causationid" => event.causationid = string(value)?,
            "traceparent" => event.traceparent = string(value)?,
            "tracestate" => event.tracestate = string(value)?,
            "schemaversion" => event.schemaversion = string(value)?,
            "time" => {
                let time: Timestamp = string(value)?
                    .parse()
                    .map_err(|_| "expected a time such as 2026-01-31T12:00:00Z")?;
                event.time = Some(to_proto(time));
            }
            "data_base64" => {
                let bytes =
                    BASE64_STANDARD.decode(string(value)?).map_err(|error| error.to_string())?;
                event.payload = Some(Payload::BinaryData(bytes.into()));
            }
            _ => self.extension(name, value)?,
        }
        Ok(())
    }

    fn extension(&mut self, name: &str, value: Value) -> Result<(), String> {
        let attr = match value {
            Value::String(text) => {
                self.event.extensions.insert(name.to_owned(), text);
                return Ok(());
            }
            Value::Bool(value) => Attr::CeBoolean(value),
            Value::Number(number) => Attr::CeInteger(
                number
                    .as_i64()
                    .and_then(|number| i32::try_from(number).ok())
                    .ok_or("CloudEvents integers have 32 bits; write it as a string")?,
            ),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return Err("an attribute is a string, an integer, true or false; \
                            what has parts goes into data"
                    .to_owned());
            }
        };
        self.event.attributes.insert(name.to_owned(), AttributeValue { attr: Some(attr) });
        Ok(())
    }

    fn finish(mut self) -> Result<Event, Vec<String>> {
        if let Some(data) = self.data {
            if self.event.payload.is_some() {
                self.faults
                    .push("data: there is data_base64 too; an event has one of them".to_owned());
            } else if holds_json(&self.event.datacontenttype) {
                if self.event.datacontenttype.is_empty() {
                    self.event.datacontenttype = "application/json".to_owned();
                }
                self.event.payload = Some(Payload::TextData(data.to_owned()));
            } else {
                // CloudEvents: data of another type stands in the document as a string.
                match serde_json::from_str::<String>(data) {
                    Ok(text) => self.event.payload = Some(Payload::TextData(text)),
                    Err(_) => self.faults.push(format!(
                        "data: is no string, and {} is not JSON",
                        self.event.datacontenttype
                    )),
                }
            }
        }
        if self.faults.is_empty() { Ok(self.event) } else { Err(self.faults) }
    }
}

fn string(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err("expected a string".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::event_json::cloud_event;

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
            assert_eq!(cloud_event(&event), document);
        }
    }

    #[test]
    fn all_faults_of_a_document_are_told() {
        let line = r#"{"specversion":"1.0","id":7,"type":"t","time":"noon","deep":{},"big":4294967296,"data":1,"data_base64":"AA=="}"#;
        assert_eq!(
            read(line, &[]).unwrap_err(),
            [
                "id: expected a string",
                "time: expected a time such as 2026-01-31T12:00:00Z",
                "deep: an attribute is a string, an integer, true or false; what has parts goes into data",
                "big: CloudEvents integers have 32 bits; write it as a string",
                "source: is missing",
                "data: there is data_base64 too; an event has one of them",
            ]
        );
        let twice = read(r#"{"specversion":"1.0","id":"1","id":"2"}"#, &[]).unwrap_err();
        assert!(twice[0].contains("`id` is there twice"), "{twice:?}");
        assert!(read("hello", &[]).unwrap_err()[0].contains("--format text"));
    }
}
