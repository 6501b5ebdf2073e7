//! Payloads of a schema: whether they are.

use prost::Message as _;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage, Value,
};

use crate::definition::Violation;

use super::pointer;

/// Checks a payload in the JSON mapping.
pub(super) fn validate_json(message: &MessageDescriptor, json: &str) -> Result<(), Vec<Violation>> {
    read(message, json).map(drop)
}

/// Reads a payload in the JSON mapping and writes it in the binary form.
pub(super) fn encode(message: &MessageDescriptor, json: &str) -> Result<Vec<u8>, Vec<Violation>> {
    read(message, json).map(|it| it.encode_to_vec())
}

/// Shows a payload in the JSON mapping.
pub(super) fn to_json(message: &MessageDescriptor, bytes: &[u8]) -> Result<String, Vec<Violation>> {
    let refused = |message: String| vec![Violation { path: String::new(), message }];
    let payload = DynamicMessage::decode(message.clone(), bytes)
        .map_err(|error| refused(error.to_string()))?;
    serde_json::to_string(&payload).map_err(|error| refused(error.to_string()))
}

fn read(message: &MessageDescriptor, json: &str) -> Result<DynamicMessage, Vec<Violation>> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let options = DeserializeOptions::new();
    let read =
        DynamicMessage::deserialize_with_options(message.clone(), &mut deserializer, &options);
    let read = read.and_then(|it| deserializer.end().map(|()| it));
    match read {
        Ok(payload) => complete(&payload).map(|()| payload),
        Err(error) => {
            let place = format!(" at line {} column {}", error.line(), error.column());
            let text = error.to_string();
            Err(vec![Violation {
                path: pointer::at(json, error.line(), error.column()),
                message: text.strip_suffix(&place).unwrap_or(&text).to_owned(),
            }])
        }
    }
}

/// Checks a payload in the binary form. Fields that the schema does not have are fine.
pub(super) fn validate_binary(
    message: &MessageDescriptor,
    bytes: &[u8],
) -> Result<(), Vec<Violation>> {
    match DynamicMessage::decode(message.clone(), bytes) {
        Ok(payload) => complete(&payload),
        Err(error) => Err(vec![Violation { path: String::new(), message: error.to_string() }]),
    }
}

/// Checks that all that is required is there: the decoder does not.
fn complete(payload: &DynamicMessage) -> Result<(), Vec<Violation>> {
    let mut violations = Vec::new();
    require(payload, "", &mut violations);
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

// As deep as the decoders went: 100 levels in binary, 128 in JSON.
fn require(message: &DynamicMessage, path: &str, violations: &mut Vec<Violation>) {
    for field in message.descriptor().fields().filter(FieldDescriptor::is_required) {
        if !message.has_field(&field) {
            violations.push(Violation {
                path: format!("{path}/{}", pointer::escaped(field.json_name())),
                message: format!("the required field {} is missing", field.full_name()),
            });
        }
    }
    for (field, value) in message.fields() {
        let path = || format!("{path}/{}", pointer::escaped(field.json_name()));
        match value {
            Value::Message(inner) => require(inner, &path(), violations),
            Value::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    if let Value::Message(inner) = item {
                        require(inner, &format!("{}/{at}", path()), violations);
                    }
                }
            }
            Value::Map(entries) => {
                for (key, entry) in entries {
                    if let Value::Message(inner) = entry {
                        let key = pointer::escaped(&key_text(key));
                        require(inner, &format!("{}/{key}", path()), violations);
                    }
                }
            }
            _ => {}
        }
    }
}

fn key_text(key: &prost_reflect::MapKey) -> String {
    use prost_reflect::MapKey;
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}
