//! An event in its recorded form: the Protobuf bytes of `tidings.events.v1.Event`, read without
//! decoding the whole message.

use std::{borrow::Cow, ops::Range};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::timestamp::Timestamp;

/// Field numbers of `tidings.events.v1.Event`, which never change.
pub mod tag {
    #![allow(missing_docs, reason = "named as in event.proto")]
    pub const ID: u32 = 1;
    pub const SOURCE: u32 = 2;
    pub const SPEC_VERSION: u32 = 3;
    pub const TYPE: u32 = 4;
    pub const ATTRIBUTES: u32 = 5;
    pub const BINARY_DATA: u32 = 6;
    pub const TEXT_DATA: u32 = 7;
    pub const PROTO_DATA: u32 = 8;
    pub const DATA: u32 = 9;
    pub const SUBJECT: u32 = 16;
    pub const TIME: u32 = 17;
    pub const DATACONTENTTYPE: u32 = 18;
    pub const DATASCHEMA: u32 = 19;
    pub const PARTITIONKEY: u32 = 20;
    pub const CORRELATIONID: u32 = 21;
    pub const CAUSATIONID: u32 = 22;
    pub const TRACEPARENT: u32 = 23;
    pub const TRACESTATE: u32 = 24;
    pub const SCHEMAVERSION: u32 = 25;
    pub const EXTENSIONS: u32 = 31;
}

/// The attributes with a field of their own, by their CloudEvents names.
pub const NAMED_ATTRIBUTES: [(&str, u32); 14] = [
    ("id", tag::ID),
    ("source", tag::SOURCE),
    ("specversion", tag::SPEC_VERSION),
    ("type", tag::TYPE),
    ("subject", tag::SUBJECT),
    ("time", tag::TIME),
    ("datacontenttype", tag::DATACONTENTTYPE),
    ("dataschema", tag::DATASCHEMA),
    ("partitionkey", tag::PARTITIONKEY),
    ("correlationid", tag::CORRELATIONID),
    ("causationid", tag::CAUSATIONID),
    ("traceparent", tag::TRACEPARENT),
    ("tracestate", tag::TRACESTATE),
    ("schemaversion", tag::SCHEMAVERSION),
];

/// Whether a text can be the name of a CloudEvents attribute: lower-case letters and digits.
pub fn is_attribute_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name != "data"
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// A field's value in encoded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Varint(u64),
    /// Start and end.
    Bytes(usize, usize),
    Fixed,
}

/// Iterates over the fields of an encoded message.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    /// End of the last field, as an index into the bytes.
    pub end: usize,
}

impl Fields<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.end)?;
            self.end += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, count: usize) -> Option<(usize, usize)> {
        let start = self.end;
        let end = start.checked_add(count).filter(|end| *end <= self.bytes.len())?;
        self.end = end;
        Some((start, end))
    }
}

impl Iterator for Fields<'_> {
    type Item = (u32, Value);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let tag = u32::try_from(key >> 3).ok()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.skip(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (start, end) = self.skip(length)?;
                Value::Bytes(start, end)
            }
            5 => self.skip(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((tag, value))
    }
}

/// The recorded bytes of an event.
#[derive(Debug, Clone, Copy)]
pub struct EncodedEvent<'a>(pub &'a [u8]);

impl<'a> EncodedEvent<'a> {
    pub(super) fn fields(self) -> Fields<'a> {
        Fields { bytes: self.0, end: 0 }
    }

    fn text(self, start: usize, end: usize) -> &'a str {
        self.0.get(start..end).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The text of an attribute with a field of its own, except `time`.
    pub fn text_attribute(self, tag: u32) -> Option<&'a str> {
        self.fields().find_map(|(field, value)| match value {
            Value::Bytes(start, end) if field == tag => Some(self.text(start, end)),
            _ => None,
        })
    }

    /// The payload, with the field that it is recorded in. None: the event has none.
    pub fn payload(self) -> Option<Payload<'a>> {
        self.fields().find_map(|(field, value)| {
            let Value::Bytes(start, end) = value else { return None };
            let bytes = self.0.get(start..end)?;
            match field {
                tag::BINARY_DATA => Some(Payload::Binary(bytes)),
                tag::TEXT_DATA => Some(Payload::Text(self.text(start, end))),
                tag::PROTO_DATA => {
                    // An Any has the same field numbers as a map entry.
                    let (type_url, value) = EncodedEvent(bytes).key_and_value()?;
                    Some(Payload::Any { type_url, value })
                }
                _ => None,
            }
        })
    }

    /// The range of the key in the bytes: `partitionkey`, or else `subject`. None: the event has no
    /// key.
    pub fn key_range(self) -> Option<Range<usize>> {
        let mut subject = None;
        for (field, value) in self.fields() {
            match (field, value) {
                (tag::PARTITIONKEY, Value::Bytes(start, end)) if end > start => {
                    return Some(start..end);
                }
                (tag::SUBJECT, Value::Bytes(start, end)) if end > start => {
                    subject = Some(start..end);
                }
                _ => {}
            }
        }
        subject
    }

    /// The canonical text of an attribute. None: the event does not have it.
    pub fn attribute(self, name: &str) -> Option<Cow<'a, str>> {
        match NAMED_ATTRIBUTES.iter().find(|(named, _)| *named == name) {
            Some((_, tag)) => {
                let (_, value) = self.fields().find(|(field, _)| field == tag)?;
                match value {
                    Value::Bytes(start, end) if *tag == tag::TIME => {
                        timestamp(self.0.get(start..end)?).map(Cow::Owned)
                    }
                    Value::Bytes(start, end) => Some(Cow::Borrowed(self.text(start, end))),
                    _ => None,
                }
            }
            None => self.extension(name),
        }
    }

    /// The typed value of an attribute. None: the event does not have it.
    pub fn value(self, name: &str) -> Option<Attribute<'a>> {
        if let Some((_, tag)) = NAMED_ATTRIBUTES.iter().find(|(named, _)| *named == name) {
            let (_, value) = self.fields().find(|(field, _)| field == tag)?;
            let Value::Bytes(start, end) = value else { return None };
            return if *tag == tag::TIME {
                instant(self.0.get(start..end)?).map(Attribute::Time)
            } else {
                Some(Attribute::Text(self.text(start, end)))
            };
        }
        let (field, value_bytes) = self.entry(name)?;
        if field == tag::EXTENSIONS {
            return std::str::from_utf8(value_bytes).ok().map(Attribute::Text);
        }
        let value = EncodedEvent(value_bytes);
        let (kind, typed_value) = value.fields().last()?;
        Some(match (kind, typed_value) {
            (1, Value::Varint(flag)) => Attribute::Bool(flag != 0),
            (2, Value::Varint(number)) => Attribute::Int(number.cast_signed()),
            (3 | 5 | 6, Value::Bytes(start, end)) => Attribute::Text(value.text(start, end)),
            (4, Value::Bytes(start, end)) => Attribute::Bytes(value_bytes.get(start..end)?),
            (7, Value::Bytes(start, end)) => {
                Attribute::Time(instant(value_bytes.get(start..end)?)?)
            }
            _ => return None,
        })
    }

    fn extension(self, name: &str) -> Option<Cow<'a, str>> {
        match self.entry(name)? {
            (tag::EXTENSIONS, value_bytes) => {
                std::str::from_utf8(value_bytes).ok().map(Cow::Borrowed)
            }
            (_, value_bytes) => typed_text(value_bytes),
        }
    }

    /// The field that contains an extension, and the bytes of its value.
    fn entry(self, name: &str) -> Option<(u32, &'a [u8])> {
        for (field, value) in self.fields() {
            let Value::Bytes(start, end) = value else { continue };
            if field != tag::EXTENSIONS && field != tag::ATTRIBUTES {
                continue;
            }
            let (key, value_bytes) = EncodedEvent(self.0.get(start..end)?).key_and_value()?;
            if key == name {
                return Some((field, value_bytes));
            }
        }
        None
    }

    /// Decodes a map entry with a text key.
    pub(super) fn key_and_value(self) -> Option<(&'a str, &'a [u8])> {
        let (mut key, mut value_bytes) = ("", &[][..]);
        for (field, value) in self.fields() {
            match (field, value) {
                (1, Value::Bytes(start, end)) => key = self.text(start, end),
                (2, Value::Bytes(start, end)) => value_bytes = self.0.get(start..end)?,
                _ => {}
            }
        }
        Some((key, value_bytes))
    }

    /// Decodes a `google.protobuf.Timestamp`, without a check of its range.
    pub(super) fn seconds_and_nanos(self) -> (i64, i64) {
        let (mut seconds, mut nanos) = (0, 0);
        for (field, value) in self.fields() {
            match (field, value) {
                (1, Value::Varint(number)) => seconds = number.cast_signed(),
                (2, Value::Varint(number)) => nanos = number.cast_signed(),
                _ => {}
            }
        }
        (seconds, nanos)
    }
}

/// The typed value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Attribute<'a> {
    /// A text or a URI.
    Text(&'a str),
    /// A boolean.
    Bool(bool),
    /// A 32-bit integer.
    Int(i64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A timestamp.
    Time(Timestamp),
}

/// A payload in an event's bytes. `data` is recorded as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// `binary_data`.
    Binary(&'a [u8]),
    /// `text_data`.
    Text(&'a str),
    /// `proto_data`.
    Any {
        /// URL that ends in the full name of the message.
        type_url: &'a str,
        /// The encoded message.
        value: &'a [u8],
    },
}

/// Encodes a `google.protobuf.Any`.
pub fn encode_any(type_url: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(type_url.len() + value.len() + 16);
    put(1, type_url.as_bytes(), &mut out);
    put(2, value, &mut out);
    out
}

pub(super) fn put(field: u32, bytes: &[u8], out: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}

/// Writes an event's bytes with some fields replaced. A payload field replaces the payload field
/// that the event has.
pub fn with_fields(event: &[u8], replaced: &[(u32, &[u8])], out: &mut impl BufMut) {
    let is_payload = |field: u32| (tag::BINARY_DATA..=tag::DATA).contains(&field);
    let replaces_payload = replaced.iter().any(|(field, _)| is_payload(*field));
    let is_replaced = |field: u32| {
        (replaces_payload && is_payload(field)) || replaced.iter().any(|(other, _)| *other == field)
    };
    let mut fields = EncodedEvent(event).fields();
    let (mut start, mut kept) = (0, 0);
    while let Some((field, _)) = fields.next() {
        if is_replaced(field) {
            out.put_slice(&event[kept..start]);
            kept = fields.end;
        }
        start = fields.end;
    }
    out.put_slice(&event[kept..start]);
    for (field, bytes) in replaced {
        put(*field, bytes, out);
    }
}

/// The event's bytes without its payload, which is fields 6 to 9.
pub fn without_payload(event: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(event.len().min(1024));
    let mut fields = EncodedEvent(event).fields();
    let mut start = 0;
    while let Some((field, _)) = fields.next() {
        if !(tag::BINARY_DATA..=tag::DATA).contains(&field) {
            kept.extend_from_slice(&event[start..fields.end]);
        }
        start = fields.end;
    }
    kept
}

/// The canonical text of a `CloudEventAttributeValue`.
fn typed_text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let value = EncodedEvent(bytes);
    let (kind, typed_value) = value.fields().last()?;
    Some(match (kind, typed_value) {
        (1, Value::Varint(flag)) => Cow::Borrowed(if flag == 0 { "false" } else { "true" }),
        // An int32 is encoded as a sign-extended 64-bit number.
        (2, Value::Varint(number)) => Cow::Owned(number.cast_signed().to_string()),
        (3 | 5 | 6, Value::Bytes(start, end)) => Cow::Borrowed(value.text(start, end)),
        (4, Value::Bytes(start, end)) => Cow::Owned(STANDARD.encode(bytes.get(start..end)?)),
        (7, Value::Bytes(start, end)) => Cow::Owned(timestamp(bytes.get(start..end)?)?),
        _ => return None,
    })
}

/// A `google.protobuf.Timestamp` in RFC 3339. None: it is out of range.
fn timestamp(bytes: &[u8]) -> Option<String> {
    instant(bytes).map(|time| time.to_string())
}

/// A `google.protobuf.Timestamp`. None: it is out of range.
fn instant(bytes: &[u8]) -> Option<Timestamp> {
    let (seconds, nanos) = EncodedEvent(bytes).seconds_and_nanos();
    Timestamp::new(seconds, i32::try_from(nanos).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::events::v1::{AttributeValue, Event, attribute_value::Attr};

    fn event() -> Event {
        Event {
            id: "1".into(),
            source: "/shop".into(),
            r#type: "OrderPlaced".into(),
            subject: "o-1".into(),
            time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5_000_000 }),
            extensions: [("tenant".to_string(), "blue".to_string())].into(),
            attributes: [
                ("priority".to_string(), AttributeValue { attr: Some(Attr::CeInteger(-3)) }),
                ("urgent".to_string(), AttributeValue { attr: Some(Attr::CeBoolean(true)) }),
            ]
            .into(),
            ..Event::default()
        }
    }

    #[test]
    fn attributes_read_as_cloudevents_writes_them() {
        let bytes = event().encode_to_vec();
        let encoded = EncodedEvent(&bytes);
        let read = |name: &str| encoded.attribute(name).map(Cow::into_owned);
        assert_eq!(read("source").as_deref(), Some("/shop"));
        assert_eq!(read("type").as_deref(), Some("OrderPlaced"));
        assert_eq!(read("time").as_deref(), Some("2023-11-14T22:13:20.005Z"));
        assert_eq!(read("tenant").as_deref(), Some("blue"));
        assert_eq!(read("priority").as_deref(), Some("-3"));
        assert_eq!(read("urgent").as_deref(), Some("true"));
        assert_eq!(read("absent"), None);
    }

    #[test]
    fn an_envelope_has_everything_but_the_payload() {
        let mut full = event();
        let envelope = full.encode_to_vec();
        full.payload = Some(crate::proto::events::v1::event::Payload::TextData("x".repeat(2_000)));
        assert_eq!(without_payload(&full.encode_to_vec()), envelope);
    }

    #[test]
    fn fields_are_replaced_and_the_rest_stays() {
        use crate::proto::events::v1::event::Payload as ProtoPayload;
        let mut event = event();
        event.payload = Some(ProtoPayload::TextData("{}".into()));
        event.schemaversion = "1".into();
        let mut out = vec![0; 3];
        let replaced: [(u32, &[u8]); 2] =
            [(tag::BINARY_DATA, b"\x08\x01"), (tag::SCHEMAVERSION, b"1.4.0")];
        with_fields(&event.encode_to_vec(), &replaced, &mut out);
        event.payload = Some(ProtoPayload::BinaryData(vec![8, 1].into()));
        event.schemaversion = "1.4.0".into();
        assert_eq!(Event::decode(&out[3..]).expect("an event"), event);
        assert_eq!(EncodedEvent(&out[3..]).payload(), Some(Payload::Binary(&[8, 1])));
    }

    #[test]
    fn the_key_is_the_partition_key_or_else_the_subject() {
        let mut event = event();
        let bytes = event.encode_to_vec();
        let range = EncodedEvent(&bytes).key_range().expect("a key");
        assert_eq!(&bytes[range], b"o-1");
        event.partitionkey = "p-9".into();
        let bytes = event.encode_to_vec();
        let range = EncodedEvent(&bytes).key_range().expect("a key");
        assert_eq!(&bytes[range], b"p-9");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>, name in "[a-z]{1,8}") {
            let _ = EncodedEvent(&bytes).attribute(&name);
            let _ = EncodedEvent(&bytes).attribute("time");
            let _ = EncodedEvent(&bytes).key_range();
        }
    }
}
