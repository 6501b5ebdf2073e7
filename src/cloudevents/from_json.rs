//! Converts documents of the JSON format to events. The content type decides whether `data` is JSON
//! or a string.

use std::{collections::HashSet, fmt};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::holds_json;
use crate::{
    model::{attribute::quoted, timestamp::Timestamp},
    proto::events::v1::{AttributeValue, Event, attribute_value::Attr, event::Payload},
};

const DUPLICATE: &str = "occurs twice";

/// The text is not a document.
#[derive(Debug, thiserror::Error)]
#[error("not a CloudEvents document: {0}")]
pub struct DocumentError(String);

impl DocumentError {
    /// Whether the text is JSON with a duplicate member, which parsers interpret differently.
    pub fn is_ambiguous(&self) -> bool {
        self.0.contains(DUPLICATE)
    }
}

/// A fault of a member of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The member.
    pub field: String,
    /// The fault and the expected form.
    pub description: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.description)
    }
}

/// The members of a document with their unparsed text.
#[derive(Debug)]
pub struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Parses a JSON object.
    ///
    /// # Errors
    /// Returns an error if the text is not a JSON object, or has a duplicate member.
    pub fn of(text: &'a str) -> Result<Self, DocumentError> {
        serde_json::from_str(text).map_err(|error| DocumentError(error.to_string()))
    }

    /// Whether a member has this name.
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
                        return Err(A::Error::custom(format!("`{name}` {DUPLICATE}")));
                    }
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// The unparsed documents of a batch, which is a JSON array.
#[derive(Debug)]
pub struct DocumentBatch<'a> {
    /// The first documents, up to the limit.
    pub documents: Vec<&'a RawValue>,
    /// The number of all documents.
    pub count: usize,
}

impl<'a> DocumentBatch<'a> {
    /// Parses an array. Keeps at most `limit` entries, and counts the others.
    ///
    /// # Errors
    /// Returns an error if the text is not a JSON array.
    pub fn of(text: &'a str, limit: usize) -> Result<Self, String> {
        struct Collect(usize);
        impl<'de> Visitor<'de> for Collect {
            type Value = DocumentBatch<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of CloudEvents documents")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut documents = Vec::new();
                while documents.len() < self.0 {
                    match entries.next_element()? {
                        Some(document) => documents.push(document),
                        None => {
                            return Ok(DocumentBatch { count: documents.len(), documents });
                        }
                    }
                }
                let mut count = documents.len();
                while entries.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(DocumentBatch { documents, count })
            }
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let batch = json.deserialize_seq(Collect(limit)).map_err(|error| error.to_string())?;
        json.end().map_err(|error| error.to_string())?;
        Ok(batch)
    }
}

/// Converts a document to an event.
///
/// # Errors
/// Returns all faults of the document.
pub fn read(members: &Members<'_>) -> Result<Event, Vec<Fault>> {
    let mut reader = DocumentReader::default();
    for (name, value) in &members.0 {
        if let Err(description) = reader.member(name, value) {
            reader.fault(name, description);
        }
    }
    for required in ["id", "source", "type"] {
        if !members.has(required) {
            reader.fault(required, "is missing");
        }
    }
    reader.finish()
}

/// The state of a conversion.
#[derive(Default)]
struct DocumentReader<'a> {
    event: Event,
    /// The member `data`, converted at the end because its form depends on the content type.
    data: Option<&'a str>,
    faults: Vec<Fault>,
}

impl<'a> DocumentReader<'a> {
    fn fault(&mut self, field: &str, description: impl Into<String>) {
        self.faults.push(Fault { field: field.to_owned(), description: description.into() });
    }

    fn member(&mut self, name: &str, raw: &'a RawValue) -> Result<(), String> {
        if name == "data" {
            self.data = Some(raw.get());
            return Ok(());
        }
        let value: Value =
            serde_json::from_str(raw.get()).map_err(|error| format!("cannot be read: {error}"))?;
        // CloudEvents: an attribute that is null is absent.
        if value.is_null() {
            return Ok(());
        }
        let event = &mut self.event;
        match name {
            "id" => event.id = string(value)?,
            "source" => event.source = string(value)?,
            "specversion" => event.spec_version = string(value)?,
            "type" => event.r#type = string(value)?,
            "subject" => event.subject = non_empty(value)?,
            "datacontenttype" => event.datacontenttype = non_empty(value)?,
            "dataschema" => event.dataschema = non_empty(value)?,
            "partitionkey" => event.partitionkey = non_empty(value)?,
            "correlationid" => event.correlationid = non_empty(value)?,
            "causationid" => event.causationid = non_empty(value)?,
            "traceparent" => event.traceparent = non_empty(value)?,
            "tracestate" => event.tracestate = non_empty(value)?,
            "schemaversion" => event.schemaversion = string(value)?,
            "time" => {
                let text = string(value)?;
                let time = Timestamp::rfc3339(&text)
                    .map_err(|error| format!("{} {error}", quoted(&text)))?;
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
                            put structured values into data"
                    .to_owned());
            }
        };
        self.event.attributes.insert(name.to_owned(), AttributeValue { attr: Some(attr) });
        Ok(())
    }

    fn finish(mut self) -> Result<Event, Vec<Fault>> {
        if let Some(data) = self.data {
            if self.event.payload.is_some() {
                self.fault("data", "data_base64 is set too; an event has one of them");
            } else if holds_json(&self.event.datacontenttype) {
                if self.event.datacontenttype.is_empty() {
                    self.event.datacontenttype = "application/json".to_owned();
                }
                self.event.payload = Some(Payload::TextData(data.to_owned()));
            } else {
                // CloudEvents: data of a type other than JSON is a string in the document.
                match serde_json::from_str::<String>(data) {
                    Ok(text) => self.event.payload = Some(Payload::TextData(text)),
                    Err(_) => {
                        let description = format!(
                            "is not a string, and {} is not JSON",
                            self.event.datacontenttype
                        );
                        self.fault("data", description);
                    }
                }
            }
        }
        if self.faults.is_empty() { Ok(self.event) } else { Err(self.faults) }
    }
}

fn non_empty(value: Value) -> Result<String, String> {
    match string(value)? {
        text if text.is_empty() => Err("is empty: omit it".to_owned()),
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
    fn a_batch_is_counted_and_kept_up_to_its_limit() {
        let batch = DocumentBatch::of("[{}, {\"a\": [1]} ,{}]", 2).unwrap();
        assert_eq!((batch.documents.len(), batch.count), (2, 3));
        assert_eq!(batch.documents[1].get(), "{\"a\": [1]}");
        assert_eq!(DocumentBatch::of("[]", 2).unwrap().count, 0);
        for invalid in ["{}", "[{}", "[] x", "1", ""] {
            assert!(DocumentBatch::of(invalid, 2).is_err(), "{invalid}");
        }
    }

    #[test]
    fn deep_nesting_is_not_parsed() {
        let deep =
            format!("{{\"id\":\"1\",\"data\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let members = Members::of(&deep).unwrap();
        assert_eq!(read(&members).unwrap_err().len(), 2);
        let attribute = deep.replace("\"data\"", "\"deep\"");
        assert!(read(&Members::of(&attribute).unwrap()).is_err());
    }
}
