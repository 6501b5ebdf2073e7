//! Views: the representations in which an event can be delivered.

use std::borrow::Cow;

use bytes::Bytes;
use prost::Message as _;
use tidings_schema::{protobuf::Messages, schema::Schema};

use super::json;
use crate::{
    model::{
        encoded::{self, tag, with_fields, without_payload},
        event::Recorded,
        fault::{FaultKind, Faults},
        media::{self, Media},
    },
    proto::events::v1::{AttributeValue, Event, EventView, attribute_value::Attr, event::Payload},
};

/// A representation of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The stored bytes.
    Full,
    /// Attributes only.
    Envelope,
    /// Payloads as JSON in `data` if they are JSON or their schema is known. Other payloads are
    /// delivered as recorded.
    Json,
    /// Like `Json`, but the JSON is in `text_data` unchanged, with all digits of its numbers. For
    /// documents in the JSON format of CloudEvents. It has no number on the wire.
    Text,
    /// The CloudEvents Protobuf format: all optional attributes in the map.
    CloudEvents,
    /// Protobuf payloads as `google.protobuf.Any` if they can be printed as JSON.
    Any,
}

/// Prefix of the message name in an Any, as Google's libraries write it.
const TYPE_URL_PREFIX: &str = "type.googleapis.com/";

/// Decodes the view of a request.
///
/// # Errors
/// Returns a fault if no view has this number.
pub fn decode(view: i32) -> Result<View, Faults> {
    match EventView::try_from(view) {
        Ok(EventView::Unspecified | EventView::Full) => Ok(View::Full),
        Ok(EventView::Any) => Ok(View::Any),
        Ok(EventView::Envelope) => Ok(View::Envelope),
        Ok(EventView::Json) => Ok(View::Json),
        Ok(EventView::Cloudevents) => Ok(View::CloudEvents),
        Err(_) => {
            Err(Faults::single(FaultKind::Request, "view", format!("{view} is not an EventView")))
        }
    }
}

impl View {
    /// The bytes of an event in this view. An event that the view cannot represent is returned as
    /// recorded. `schema` is the schema of its payload, if known. `messages` resolves the types
    /// that an Any in the payload may hold.
    pub fn render(
        self,
        recorded: &Recorded,
        schema: Option<&Schema>,
        messages: &dyn Messages,
    ) -> Bytes {
        let rendered = match self {
            Self::Full => None,
            Self::Envelope => Some(Bytes::from(without_payload(&recorded.event))),
            Self::Json => json(recorded, schema, messages)
                .or_else(|| any_as_bytes(recorded, schema, messages)),
            Self::Text => text(recorded, schema, messages),
            Self::CloudEvents => Event::decode(recorded.event.clone())
                .ok()
                .map(|event| cloud_event(event).encode_to_vec().into()),
            Self::Any => any(recorded, schema, messages),
        };
        rendered.unwrap_or_else(|| recorded.event.clone())
    }
}

/// The payload as JSON in `data`.
fn json(recorded: &Recorded, schema: Option<&Schema>, messages: &dyn Messages) -> Option<Bytes> {
    let event = Event::decode(recorded.event.clone()).ok()?;
    let data = json::to_value(&json_of(&event, schema, messages)?).ok()?;
    Some(with_json(event, Payload::Data(data)))
}

/// The payload as JSON in `text_data`.
fn text(recorded: &Recorded, schema: Option<&Schema>, messages: &dyn Messages) -> Option<Bytes> {
    let event = Event::decode(recorded.event.clone()).ok()?;
    let text = json_of(&event, schema, messages)?.into_owned();
    Some(with_json(event, Payload::TextData(text)))
}

/// The payload as JSON text, if it is JSON or its schema is known.
fn json_of<'a>(
    event: &'a Event,
    schema: Option<&Schema>,
    messages: &dyn Messages,
) -> Option<Cow<'a, str>> {
    let is_json = Media::of(&event.datacontenttype) == Media::Json;
    match (&event.payload, schema) {
        (Some(Payload::TextData(text)), _) if is_json => Some(text.into()),
        (Some(Payload::BinaryData(bytes)), _) if is_json => {
            Some(str::from_utf8(bytes).ok()?.into())
        }
        (Some(Payload::TextData(text)), Some(Schema::Json(_))) => Some(text.into()),
        (Some(Payload::BinaryData(bytes)), Some(schema)) => {
            Some(schema.to_json_with(bytes, messages).ok()?.into())
        }
        (Some(Payload::ProtoData(any)), Some(schema)) => {
            Some(schema.to_json_with(&any.value, messages).ok()?.into())
        }
        (Some(_), _) | (None, _) => None,
    }
}

fn with_json(mut event: Event, payload: Payload) -> Bytes {
    event.payload = Some(payload);
    if Media::of(&event.datacontenttype) != Media::Json {
        event.datacontenttype = media::JSON.into();
    }
    event.encode_to_vec().into()
}

/// A Protobuf payload as `google.protobuf.Any`, if it can be printed as one.
fn any(recorded: &Recorded, schema: Option<&Schema>, messages: &dyn Messages) -> Option<Bytes> {
    let schema = schema?;
    let message = schema.message_name()?;
    match recorded.encoded().payload()? {
        encoded::Payload::Binary(value) => {
            schema.to_json_with(value, messages).ok()?;
            let any = encoded::encode_any(&format!("{TYPE_URL_PREFIX}{message}"), value);
            Some(with_payload(recorded, tag::PROTO_DATA, &any))
        }
        encoded::Payload::Any { .. } => any_as_bytes(recorded, Some(schema), messages),
        encoded::Payload::Text(_) => None,
    }
}

/// The event with its payload in `binary_data`, if the payload is recorded as an Any and cannot be
/// printed as one. Printers show the message inside an Any. If it has no JSON, such as a time in
/// the year 10000, they fail on the whole response.
fn any_as_bytes(
    recorded: &Recorded,
    schema: Option<&Schema>,
    messages: &dyn Messages,
) -> Option<Bytes> {
    let encoded::Payload::Any { value, .. } = recorded.encoded().payload()? else { return None };
    let unprintable = schema?.to_json_with(value, messages).is_err();
    unprintable.then(|| with_payload(recorded, tag::BINARY_DATA, value))
}

fn with_payload(recorded: &Recorded, field: u32, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(recorded.event.len() + 128);
    with_fields(&recorded.event, &[(field, payload)], &mut out);
    out.into()
}

/// Moves all attributes but the required ones into the map, so that no field above tag 8 is set.
fn cloud_event(mut event: Event) -> Event {
    let mut insert = |name: &str, attr: Attr| {
        event.attributes.insert(name.into(), AttributeValue { attr: Some(attr) });
    };
    if let Some(time) = event.time.take() {
        insert("time", Attr::CeTimestamp(time));
    }
    for (name, text) in [
        ("subject", std::mem::take(&mut event.subject)),
        ("datacontenttype", std::mem::take(&mut event.datacontenttype)),
        ("partitionkey", std::mem::take(&mut event.partitionkey)),
        ("correlationid", std::mem::take(&mut event.correlationid)),
        ("causationid", std::mem::take(&mut event.causationid)),
        ("traceparent", std::mem::take(&mut event.traceparent)),
        ("tracestate", std::mem::take(&mut event.tracestate)),
        ("schemaversion", std::mem::take(&mut event.schemaversion)),
    ] {
        if !text.is_empty() {
            insert(name, Attr::CeString(text));
        }
    }
    let dataschema = std::mem::take(&mut event.dataschema);
    if !dataschema.is_empty() {
        insert("dataschema", Attr::CeUri(dataschema));
    }
    for (name, text) in std::mem::take(&mut event.extensions) {
        insert(&name, Attr::CeString(text));
    }
    event
}
