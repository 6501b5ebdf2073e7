//! Decodes the binary mode of CloudEvents over HTTP: attributes are headers, the body is the
//! payload.

use std::collections::btree_map::Entry;

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;

use crate::{
    model::{
        fault::{FaultKind, Faults},
        media::Media,
    },
    proto::events::v1::{AttributeValue, Event, attribute_value::Attr, event::Payload},
};

/// Prefix of the header names of attributes.
const PREFIX: &str = "ce-";

/// Whether a header holds an attribute.
pub fn is_binary(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(PREFIX))
}

/// Decodes an event. Attributes stay in the map; `service::event` moves them to their fields.
///
/// # Errors
/// Returns all faults of headers and body.
pub fn event(headers: &HeaderMap, body: Bytes) -> Result<Event, Faults> {
    let mut faults = Faults::new();
    let mut event = Event::default();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
        let mut fault =
            |description: String| faults.add(FaultKind::Event, field(name.as_str()), description);
        if attribute == "datacontenttype" {
            fault("is set by the header Content-Type in this mode".into());
            continue;
        }
        match decode_value(value) {
            Err(description) => fault(description),
            Ok(text) => match event.attributes.entry(attribute.to_owned()) {
                Entry::Occupied(_) => fault("occurs twice".into()),
                Entry::Vacant(entry) => {
                    entry.insert(AttributeValue { attr: Some(Attr::CeString(text)) });
                }
            },
        }
    }
    if let Some(value) = headers.get(header::CONTENT_TYPE) {
        match value.to_str() {
            Ok(text) => event.datacontenttype = text.to_owned(),
            Err(_) => faults.add(FaultKind::Event, field("content-type"), "is not visible ASCII"),
        }
    }
    event.payload = payload(&event.datacontenttype, body, &mut faults);
    faults.finish(|| Some(event))
}

fn field(header: &str) -> String {
    format!("headers[{header:?}]")
}

fn payload(content_type: &str, body: Bytes, faults: &mut Faults) -> Option<Payload> {
    if body.is_empty() {
        return None;
    }
    let is_text = content_type
        .trim_start()
        .get(..5)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case("text/"));
    match (Media::of(content_type), str::from_utf8(&body)) {
        (Media::Json, Ok(text)) => Some(Payload::TextData(text.to_owned())),
        (Media::Json, Err(error)) => {
            faults.add(
                FaultKind::Event,
                "body",
                format!("is not UTF-8, which JSON requires: {error}"),
            );
            None
        }
        (Media::Other, Ok(text)) if is_text => Some(Payload::TextData(text.to_owned())),
        _ => Some(Payload::BinaryData(body)),
    }
}

/// Decodes the value of an attribute: removes quotes around it, then decodes %XX once.
fn decode_value(value: &HeaderValue) -> Result<String, String> {
    let bytes = value.as_bytes();
    let unquoted;
    let bytes = match bytes {
        [b'"', quoted @ .., b'"'] => {
            unquoted = unquote(quoted);
            unquoted.as_slice()
        }
        _ => bytes,
    };
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            text.push(byte);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let decoded = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(decoded) = decoded else {
            return Err("has a % without two hexadecimal digits after it: write %25".into());
        };
        text.push(decoded);
        rest = &after[2..];
    }
    String::from_utf8(text).map_err(|error| format!("is not UTF-8 after %XX are decoded: {error}"))
}

/// Removes the backslashes of quoted text.
fn unquote(quoted: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(quoted.len());
    let mut escaped = false;
    for &byte in quoted {
        if byte == b'\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            plain.push(byte);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(value: &[u8]) -> Result<String, String> {
        decode_value(&HeaderValue::from_bytes(value).unwrap())
    }

    #[test]
    fn values_are_decoded_once() {
        // The examples of the specification, section 3.1.3.2.
        assert_eq!(decode(b"Euro%20%E2%82%AC%20%F0%9F%98%80").as_deref(), Ok("Euro € 😀"));
        assert_eq!(decode(b"100%2525").as_deref(), Ok("100%25"));
        assert_eq!(decode(br#""a \"quoted\" \\ text%21""#).as_deref(), Ok(r#"a "quoted" \ text!"#));
        assert_eq!(decode(b"\"").as_deref(), Ok("\""));
        assert_eq!(decode(b"\"\"").as_deref(), Ok(""));
        assert_eq!(decode("schön".as_bytes()).as_deref(), Ok("schön"));
        for invalid in ["100%", "%2", "%zz", "%+1"] {
            assert!(decode(invalid.as_bytes()).unwrap_err().contains("%25"), "{invalid}");
        }
        assert!(decode(b"%ff").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn the_content_type_decides_the_form_of_the_payload() {
        let body = |content_type: &str, bytes: &'static [u8]| {
            let mut faults = Faults::new();
            (payload(content_type, Bytes::from_static(bytes), &mut faults), faults.is_empty())
        };
        let text = |text: &str| Some(Payload::TextData(text.into()));
        let binary = |bytes: &'static [u8]| Some(Payload::BinaryData(Bytes::from_static(bytes)));
        assert_eq!(body("application/json; charset=utf-8", b"{}"), (text("{}"), true));
        assert_eq!(body("application/json", b"\xff"), (None, false));
        assert_eq!(body("Text/plain", b"a"), (text("a"), true));
        assert_eq!(body("text/plain", b"\xff"), (binary(b"\xff"), true));
        assert_eq!(body("application/protobuf", b"a"), (binary(b"a"), true));
        assert_eq!(body("", b"a"), (binary(b"a"), true));
        assert_eq!(body("application/json", b""), (None, true));
    }
}
