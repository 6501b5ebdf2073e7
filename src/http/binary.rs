//! The binary mode of CloudEvents over HTTP: attributes are headers, the body is the payload.

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

/// What the name of an attribute's header begins with.
const PREFIX: &str = "ce-";

/// Whether there is an attribute in a header.
pub fn is_binary(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(PREFIX))
}

/// Reads an event. Attributes stay in the map: whoever checks the event moves them where they belong.
///
/// # Errors
/// Everything that is wrong with headers and body.
pub fn event(headers: &HeaderMap, body: Bytes) -> Result<Event, Faults> {
    let mut faults = Faults::new();
    let mut event = Event::default();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
        let mut fault = |why: String| faults.add(FaultKind::Event, field(name.as_str()), why);
        if attribute == "datacontenttype" {
            fault("is the header Content-Type in this mode".into());
            continue;
        }
        match text_of(value) {
            Err(why) => fault(why),
            Ok(text) => match event.attributes.entry(attribute.to_owned()) {
                Entry::Occupied(_) => fault("is there twice".into()),
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
    let is_text =
        content_type.trim_start().get(..5).is_some_and(|it| it.eq_ignore_ascii_case("text/"));
    match (Media::of(content_type), str::from_utf8(&body)) {
        (Media::Json, Ok(text)) => Some(Payload::TextData(text.to_owned())),
        (Media::Json, Err(error)) => {
            faults.add(FaultKind::Event, "body", format!("is not UTF-8, as JSON is: {error}"));
            None
        }
        (Media::Other, Ok(text)) if is_text => Some(Payload::TextData(text.to_owned())),
        _ => Some(Payload::BinaryData(body)),
    }
}

/// The value of an attribute: what stands between quotes is taken out of them, then %XX are decoded, once.
fn text_of(value: &HeaderValue) -> Result<String, String> {
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
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            text.push(byte);
            continue;
        }
        let digits = behind.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let decoded = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(decoded) = decoded else {
            return Err("has a % without two hexadecimal digits behind it: write %25".into());
        };
        text.push(decoded);
        rest = &behind[2..];
    }
    String::from_utf8(text).map_err(|error| format!("is not UTF-8 once %XX are decoded: {error}"))
}

/// What stood between quotes, without its backslashes.
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

    fn read(value: &[u8]) -> Result<String, String> {
        text_of(&HeaderValue::from_bytes(value).unwrap())
    }

    #[test]
    fn values_are_decoded_once() {
        // The examples of the specification, section 3.1.3.2.
        assert_eq!(read(b"Euro%20%E2%82%AC%20%F0%9F%98%80").as_deref(), Ok("Euro € 😀"));
        assert_eq!(read(b"100%2525").as_deref(), Ok("100%25"));
        assert_eq!(read(br#""a \"quoted\" \\ text%21""#).as_deref(), Ok(r#"a "quoted" \ text!"#));
        assert_eq!(read(b"\"").as_deref(), Ok("\""));
        assert_eq!(read(b"\"\"").as_deref(), Ok(""));
        assert_eq!(read("schön".as_bytes()).as_deref(), Ok("schön"));
        for wrong in ["100%", "%2", "%zz", "%+1"] {
            assert!(read(wrong.as_bytes()).unwrap_err().contains("%25"), "{wrong}");
        }
        assert!(read(b"%ff").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn the_content_type_says_what_the_body_is() {
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
