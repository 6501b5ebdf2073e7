//! What of an event a reader sees.

use bytes::Bytes;
use prost::Message as _;

use super::{event::is_json, json};
use crate::{
    model::{
        encoded::without_payload,
        event::Recorded,
        fault::{FaultKind, Faults},
    },
    proto::events::v1::{AttributeValue, Event, EventView, attribute_value::Attr, event::Payload},
};

/// A view that can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The stored bytes.
    Full,
    /// Without the payload.
    Envelope,
    /// JSON payloads as `data`; others as recorded.
    Json,
    /// Attributes in the map, as CloudEvents has them.
    CloudEvents,
}

/// Reads the view of a request.
///
/// # Errors
/// Where there is none of that number.
pub fn decode(view: i32) -> Result<View, Faults> {
    match EventView::try_from(view) {
        // Protobuf payloads are recorded as Any where they were published so: the view changes nothing yet.
        Ok(EventView::Unspecified | EventView::Full | EventView::Any) => Ok(View::Full),
        Ok(EventView::Envelope) => Ok(View::Envelope),
        Ok(EventView::Json) => Ok(View::Json),
        Ok(EventView::Cloudevents) => Ok(View::CloudEvents),
        Err(_) => {
            Err(Faults::one(FaultKind::Request, "view", format!("{view} is not an EventView")))
        }
    }
}

/// A view that this event does not have yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDecodable;

impl View {
    /// The bytes of an event in this view.
    ///
    /// # Errors
    /// Where the payload is in an encoding that only a schema explains.
    pub fn of(self, recorded: &Recorded) -> Result<Bytes, NotDecodable> {
        match self {
            Self::Full => Ok(recorded.event.clone()),
            Self::Envelope => Ok(Bytes::from(without_payload(&recorded.event))),
            Self::Json => {
                let Ok(mut event) = Event::decode(recorded.event.clone()) else {
                    return Ok(recorded.event.clone());
                };
                let data = match &event.payload {
                    Some(Payload::ProtoData(_)) => return Err(NotDecodable),
                    Some(Payload::TextData(text)) if is_json(&event.datacontenttype) => {
                        json::to_value(text).ok()
                    }
                    Some(Payload::BinaryData(bytes)) if is_json(&event.datacontenttype) => {
                        std::str::from_utf8(bytes).ok().and_then(|text| json::to_value(text).ok())
                    }
                    Some(Payload::TextData(_) | Payload::BinaryData(_) | Payload::Data(_))
                    | None => None,
                };
                match data {
                    Some(data) => {
                        event.payload = Some(Payload::Data(data));
                        Ok(event.encode_to_vec().into())
                    }
                    None => Ok(recorded.event.clone()),
                }
            }
            Self::CloudEvents => Ok(Event::decode(recorded.event.clone())
                .map(|event| cloud_event(event).encode_to_vec().into())
                .unwrap_or_else(|_| recorded.event.clone())),
        }
    }
}

/// No field above tag 8: everything but the required attributes and the payload in the map.
fn cloud_event(mut event: Event) -> Event {
    let mut lower = |name: &str, attr: Attr| {
        event.attributes.insert(name.into(), AttributeValue { attr: Some(attr) });
    };
    if let Some(time) = event.time.take() {
        lower("time", Attr::CeTimestamp(time));
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
            lower(name, Attr::CeString(text));
        }
    }
    let dataschema = std::mem::take(&mut event.dataschema);
    if !dataschema.is_empty() {
        lower("dataschema", Attr::CeUri(dataschema));
    }
    for (name, text) in std::mem::take(&mut event.extensions) {
        lower(&name, Attr::CeString(text));
    }
    event
}
