//! Documents in the JSON format become events. What is a string in `data` and what is JSON depends on the content type.

use std::{collections::HashSet, fmt};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::holds_json;
use crate::{
    model::{attribute::shown, timestamp::Timestamp},
    proto::events::v1::{AttributeValue, Event, attribute_value::Attr, event::Payload},
};

const TWICE: &str = "is there twice";

/// Text that is no document.
#[derive(Debug, thiserror::Error)]
#[error("no CloudEvents document: {0}")]
pub struct Unreadable(String);

impl Unreadable {
    /// Whether it is JSON that one reads so and another one so: a member stands there twice.
    pub fn is_ambiguous(&self) -> bool {
        self.0.contains(TWICE)
    }
}

/// What is wrong with a member of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The member.
    pub field: String,
    /// What is wrong and what was expected.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.why)
    }
}

/// The members of a document with their text as it stands there.
#[derive(Debug)]
pub struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// Where it is none, or has a member twice.
    pub fn of(text: &'a str) -> Result<Self, Unreadable> {
        serde_json::from_str(text).map_err(|error| Unreadable(error.to_string()))
    }

    /// Whether there is a member of that name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a CloudEvents document")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let (mut members, mut names) = (Vec::new(), HashSet::new());
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("`{name}` {TWICE}")));
                    }
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// The documents of a batch, a JSON array, as they stand there.
#[derive(Debug)]
pub struct Written<'a> {
    /// The first of them, up to the most that are taken.
    pub documents: Vec<&'a RawValue>,
    /// All that there are.
    pub count: usize,
}

impl<'a> Written<'a> {
    /// Reads an array, of which no more than `most` entries are kept.
    ///
    /// # Errors
    /// Where it is none.
    pub fn of(text: &'a str, most: usize) -> Result<Self, String> {
        struct Collect(usize);
        impl<'de> Visitor<'de> for Collect {
            type Value = Written<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of CloudEvents documents")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut documents = Vec::new();
                while documents.len() < self.0 {
                    match entries.next_element()? {
                        Some(document) => documents.push(document),
                        None => return Ok(Written { count: documents.len(), documents }),
                    }
                }
                let mut count = documents.len();
                while entries.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Written { documents, count })
            }
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let written = json.deserialize_seq(Collect(most)).map_err(|error| error.to_string())?;
        json.end().map_err(|error| error.to_string())?;
        Ok(written)
    }
}

/// Reads a document.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(members: &Members<'_>) -> Result<Event, Vec<Fault>> {
    let mut reading = Reading::default();
    for (name, value) in &members.0 {
        if let Err(fault) = reading.member(name, value) {
            reading.fault(name, fault);
        }
    }
    for required in ["id", "source", "type"] {
        if !members.has(required) {
            reading.fault(required, "is missing");
        }
    }
    reading.finish()
}

/// A document while it is read. What `data` is can be said only when its content type is known.
#[derive(Default)]
struct Reading<'a> {
    event: Event,
    data: Option<&'a str>,
    faults: Vec<Fault>,
}

impl<'a> Reading<'a> {
    fn fault(&mut self, field: &str, why: impl Into<String>) {
        self.faults.push(Fault { field: field.to_owned(), why: why.into() });
    }

    fn member(&mut self, name: &str, raw: &'a RawValue) -> Result<(), String> {
        if name == "data" {
            self.data = Some(raw.get());
            return Ok(());
        }
        let value: Value =
            serde_json::from_str(raw.get()).map_err(|error| format!("cannot be read: {error}"))?;
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
            "subject" => event.subject = filled(value)?,
            "datacontenttype" => event.datacontenttype = filled(value)?,
            "dataschema" => event.dataschema = filled(value)?,
            "partitionkey" => event.partitionkey = filled(value)?,
            "correlationid" => event.correlationid = filled(value)?,
            "causationid" => event.causationid = filled(value)?,
            "traceparent" => event.traceparent = filled(value)?,
            "tracestate" => event.tracestate = filled(value)?,
            "schemaversion" => event.schemaversion = string(value)?,
            "time" => {
                let text = string(value)?;
                let time = Timestamp::rfc3339(&text)
                    .map_err(|error| format!("{} {error}", shown(&text)))?;
                event.time = Some(time.into());
            }
            "data_base64" => {
                // Canonical base64: padded, and with trailing bits of 0.
                let bytes = BASE64_STANDARD
                    .decode(string(value)?)
                    .map_err(|error| format!("is not base64: {error}"))?;
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

    fn finish(mut self) -> Result<Event, Vec<Fault>> {
        if let Some(data) = self.data {
            if self.event.payload.is_some() {
                self.fault("data", "there is data_base64 too; an event has one of them");
            } else if holds_json(&self.event.datacontenttype) {
                if self.event.datacontenttype.is_empty() {
                    self.event.datacontenttype = "application/json".to_owned();
                }
                self.event.payload = Some(Payload::TextData(data.to_owned()));
            } else {
                // CloudEvents: data of another type stands in the document as a string.
                match serde_json::from_str::<String>(data) {
                    Ok(text) => self.event.payload = Some(Payload::TextData(text)),
                    Err(_) => {
                        let why =
                            format!("is no string, and {} is not JSON", self.event.datacontenttype);
                        self.fault("data", why);
                    }
                }
            }
        }
        if self.faults.is_empty() { Ok(self.event) } else { Err(self.faults) }
    }
}

/// A string that is not empty.
fn filled(value: Value) -> Result<String, String> {
    match string(value)? {
        text if text.is_empty() => Err("is empty: leave it out".to_owned()),
        text => Ok(text),
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
    use super::*;

    #[test]
    fn a_batch_is_counted_and_kept_up_to_its_bound() {
        let written = Written::of("[{}, {\"a\": [1]} ,{}]", 2).unwrap();
        assert_eq!((written.documents.len(), written.count), (2, 3));
        assert_eq!(written.documents[1].get(), "{\"a\": [1]}");
        assert_eq!(Written::of("[]", 2).unwrap().count, 0);
        for wrong in ["{}", "[{}", "[] x", "1", ""] {
            assert!(Written::of(wrong, 2).is_err(), "{wrong}");
        }
    }

    #[test]
    fn deep_nesting_is_no_work() {
        let deep =
            format!("{{\"id\":\"1\",\"data\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let members = Members::of(&deep).unwrap();
        assert_eq!(read(&members).unwrap_err().len(), 2);
        let attribute = deep.replace("\"data\"", "\"deep\"");
        assert!(read(&Members::of(&attribute).unwrap()).is_err());
    }
}
