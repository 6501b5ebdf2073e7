//! Converts events to documents of the JSON format. Payloads of JSON text are copied byte for byte,
//! which preserves numbers of any size and the order of members.

use std::fmt::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use prost_types::value::Kind;
use serde_json::value::RawValue;

use crate::{
    json::{Object, string},
    notation::show_time,
    proto::events::v1::{AttributeValue, Event, attribute_value::Attr, event::Payload},
};

/// Converts an event to a document in one line, with further attributes. They replace attributes of
/// the event with the same names.
pub fn document(event: &Event, added: &[(&str, &str)]) -> String {
    let mut object = Object::new();
    let version = if event.spec_version.is_empty() { "1.0" } else { &event.spec_version };
    object.text("specversion", version);
    object.text("id", &event.id);
    object.text("source", &event.source);
    object.text("type", &event.r#type);
    let time = show_time(event.time.as_ref());
    for (name, value) in [
        ("subject", &event.subject),
        ("time", &time),
        ("datacontenttype", &event.datacontenttype),
        ("dataschema", &event.dataschema),
        ("partitionkey", &event.partitionkey),
        ("correlationid", &event.correlationid),
        ("causationid", &event.causationid),
        ("traceparent", &event.traceparent),
        ("tracestate", &event.tracestate),
        ("schemaversion", &event.schemaversion),
    ] {
        if !value.is_empty() {
            object.text(name, value);
        }
    }
    let is_added = |name: &String| added.iter().any(|(added, _)| added == name);
    for (name, value) in event.extensions.iter().filter(|(name, _)| !is_added(name)) {
        object.text(name, value);
    }
    for (name, value) in event.attributes.iter().filter(|(name, _)| !is_added(name)) {
        object.raw(name, &attribute(value));
    }
    for (name, value) in added {
        object.text(name, value);
    }
    let base64 = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    match &event.payload {
        Some(Payload::BinaryData(bytes)) => object.text("data_base64", &base64(bytes)),
        // Text of a JSON type that is not valid JSON is written as bytes, because a string in
        // `data` would be a JSON string.
        Some(Payload::TextData(text)) if holds_json(&event.datacontenttype) => {
            match json_line(text) {
                Some(json) => object.raw("data", &json),
                None => object.text("data_base64", &base64(text.as_bytes())),
            }
        }
        Some(_) => object.raw("data", &data(event)),
        None => {}
    }
    object.finish()
}

/// The payload alone, as one line of JSON for display. Text of a JSON type that is not valid JSON
/// becomes a string. `null` if there is no payload.
pub fn data(event: &Event) -> String {
    match &event.payload {
        Some(Payload::TextData(text)) if holds_json(&event.datacontenttype) => {
            json_line(text).unwrap_or_else(|| string(text))
        }
        Some(Payload::TextData(text)) => string(text),
        Some(Payload::BinaryData(bytes)) => string(&BASE64_STANDARD.encode(bytes)),
        Some(Payload::ProtoData(any)) => {
            let mut object = Object::new();
            object.text("@type", &any.type_url);
            object.text("value", &BASE64_STANDARD.encode(&any.value));
            object.finish()
        }
        Some(Payload::Data(value)) => {
            let mut out = String::new();
            write_value(value, &mut out);
            out
        }
        None => "null".to_owned(),
    }
}

/// Whether text of this content type is JSON. CloudEvents: it is if no content type is set.
pub fn holds_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.is_empty() || essence.ends_with("/json") || essence.ends_with("+json")
}

/// JSON text on one line, otherwise unchanged. Line ends occur only between tokens: strings escape
/// theirs.
fn json_line(text: &str) -> Option<String> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    Some(raw.get().replace(['\n', '\r'], " "))
}

fn attribute(value: &AttributeValue) -> String {
    match &value.attr {
        Some(Attr::CeBoolean(value)) => value.to_string(),
        Some(Attr::CeInteger(value)) => value.to_string(),
        Some(Attr::CeString(text) | Attr::CeUri(text) | Attr::CeUriRef(text)) => string(text),
        Some(Attr::CeBytes(bytes)) => string(&BASE64_STANDARD.encode(bytes)),
        Some(Attr::CeTimestamp(time)) => string(&show_time(Some(time))),
        None => "null".to_owned(),
    }
}

fn write_value(value: &prost_types::Value, out: &mut String) {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => out.push_str("null"),
        Some(Kind::BoolValue(value)) => out.push_str(if *value { "true" } else { "false" }),
        // A number that JSON cannot represent becomes null.
        Some(Kind::NumberValue(number)) => {
            const EXACT: f64 = 9_007_199_254_740_992.0;
            if number.fract() == 0.0 && number.abs() <= EXACT {
                // Writing to a String cannot fail.
                let _ = write!(out, "{number:.0}");
            } else {
                out.push_str(&serde_json::Value::from(*number).to_string());
            }
        }
        Some(Kind::StringValue(text)) => out.push_str(&string(text)),
        Some(Kind::StructValue(fields)) => {
            let mut object = Object::new();
            for (name, value) in &fields.fields {
                let mut text = String::new();
                write_value(value, &mut text);
                object.raw(name, &text);
            }
            out.push_str(&object.finish());
        }
        Some(Kind::ListValue(list)) => {
            out.push('[');
            for (index, value) in list.values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(value, out);
            }
            out.push(']');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cloudevents::{Members, read};

    fn event(datacontenttype: &str, payload: Payload) -> Event {
        Event {
            id: "1".to_owned(),
            source: "s".to_owned(),
            r#type: "t".to_owned(),
            datacontenttype: datacontenttype.to_owned(),
            payload: Some(payload),
            ..Event::default()
        }
    }

    #[test]
    fn json_text_is_unchanged() {
        let text = "{\"b\": 18446744073709551615,\n \"a\":1.10, \"s\": \"\\n\"}";
        let event = event("application/json", Payload::TextData(text.to_owned()));
        assert_eq!(
            document(&event, &[]),
            "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\
             \"datacontenttype\":\"application/json\",\
             \"data\":{\"b\": 18446744073709551615,  \"a\":1.10, \"s\": \"\\n\"}}"
        );
    }

    #[test]
    fn other_text_is_a_string_and_bytes_are_base64() {
        let text = event("text/plain", Payload::TextData("{}".to_owned()));
        assert!(document(&text, &[]).ends_with("\"data\":\"{}\"}"));
        let broken = event("application/json", Payload::TextData("{".to_owned()));
        assert!(document(&broken, &[]).ends_with("\"data_base64\":\"ew==\"}"));
        let bytes = event("image/png", Payload::BinaryData(vec![0, 255].into()));
        assert!(document(&bytes, &[]).ends_with("\"data_base64\":\"AP8=\"}"));
    }

    /// The payload after a conversion to a document and back.
    fn round_trip(datacontenttype: &str, payload: Payload) -> Vec<u8> {
        let document = document(&event(datacontenttype, payload), &[]);
        let read = read(&Members::of(&document).expect("an object")).expect("a document");
        match read.payload {
            Some(Payload::TextData(text)) => text.into_bytes(),
            Some(Payload::BinaryData(bytes)) => bytes.to_vec(),
            other => panic!("{other:?} in {document}"),
        }
    }

    #[test]
    fn text_of_a_json_type_that_is_not_json_survives_a_round_trip() {
        for datacontenttype in ["application/json", "", "text/json; charset=utf-8", "a/b+json"] {
            for text in ["{\"a\":", "", " ", "hello", "\u{feff}{}", "{} {}", "01", "'a'", "\"\n\""]
            {
                let bytes = round_trip(datacontenttype, Payload::TextData(text.to_owned()));
                assert_eq!(bytes, text.as_bytes(), "{text:?} as {datacontenttype:?}");
            }
        }
    }

    fn texts() -> impl Strategy<Value = String> {
        let json = r#"(\{"a":)?(\[|"b"|[0-9]{1,3}|1e400|null|"\\ud800"|\{\}){1,3}\]?\}?"#;
        prop_oneof![".{0,20}", json]
    }

    proptest! {
        #[test]
        fn payloads_survive_a_round_trip_to_the_byte(
            text in texts(),
            datacontenttype in prop::sample::select(vec!["", "application/json", "text/plain"]),
        ) {
            let bytes = round_trip(datacontenttype, Payload::TextData(text.clone()));
            // Line ends between the tokens of JSON become spaces, and space around it is removed.
            match json_line(&text).filter(|_| holds_json(datacontenttype)) {
                Some(json) => prop_assert_eq!(bytes, json.into_bytes()),
                None => prop_assert_eq!(bytes, text.into_bytes()),
            }
        }

        #[test]
        fn bytes_survive_a_round_trip(bytes: Vec<u8>) {
            let payload = Payload::BinaryData(bytes.clone().into());
            prop_assert_eq!(round_trip("image/png", payload), bytes);
        }
    }

    #[test]
    fn typed_extensions_keep_their_types() {
        let mut event = event("", Payload::TextData("1".to_owned()));
        event.extensions.insert("shop".to_owned(), "north \"1\"".to_owned());
        let count = AttributeValue { attr: Some(Attr::CeInteger(-3)) };
        event.attributes.insert("count".to_owned(), count);
        assert!(
            document(&event, &[])
                .ends_with("\"shop\":\"north \\\"1\\\"\",\"count\":-3,\"data\":1}")
        );
    }
}
