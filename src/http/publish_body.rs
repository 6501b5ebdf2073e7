//! Decodes the body of a publish, in the modes of CloudEvents over HTTP: a document, a batch of
//! documents, or a payload with its attributes in headers.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use prost::Message as _;

use super::{binary, problem::Problem, stream::POSITION_ATTRIBUTES};
use crate::{
    cloudevents::{self, DocumentBatch, Members},
    model::fault::{FaultKind, Faults},
    proto::events::v1::Event,
    service::REQUEST_BYTES_MAX,
};

/// The content mode of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A document in the JSON format.
    Document,
    /// An array of such documents.
    Batch,
    /// A document in the Protobuf format.
    Protobuf,
    /// The payload. Attributes are in headers.
    Binary,
}

impl Mode {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Problem::unsupported(
                "compressed bodies are not supported: send the body uncompressed",
            ));
        }
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/cloudevents+json" => Ok(Self::Document),
            "application/cloudevents-batch+json" => Ok(Self::Batch),
            "application/cloudevents+protobuf" => Ok(Self::Protobuf),
            other if other.starts_with("application/cloudevents") => {
                let detail =
                    format!("{essence} is not supported: send one of {}", super::problem::ACCEPTED);
                Err(Problem::unsupported(detail))
            }
            _ if binary::is_binary(headers) => Ok(Self::Binary),
            other => {
                let essence =
                    if other.is_empty() { "missing".into() } else { format!("{other:?}") };
                Err(Problem::unsupported(format!(
                    "Content-Type is {essence}, and there are no ce- headers: send a CloudEvents document as \
                     application/cloudevents+json, an array of them as application/cloudevents-batch+json, or the \
                     payload itself with its Content-Type and the headers ce-specversion, ce-id, ce-source and ce-type"
                )))
            }
        }
    }
}

/// Decodes the events to publish, up to `limit`.
///
/// # Errors
/// Returns a problem with all faults of the body.
pub async fn events(request: Request, limit: usize) -> Result<Vec<Event>, Problem> {
    let (head, body) = request.into_parts();
    let mode = Mode::of(&head.headers)?;
    let body = bytes(&head.headers, body).await?;
    let events = match mode {
        Mode::Document => document(text(&body)?, 0).map(|event| vec![event]),
        Mode::Batch => batch(text(&body)?, limit),
        Mode::Protobuf => Event::decode(body).map(|event| vec![event]).map_err(|error| {
            Faults::single(FaultKind::Event, "body", format!("does not decode: {error}"))
        }),
        Mode::Binary => binary::event(&head.headers, body).map(|event| vec![event]),
    };
    let mut events = events.map_err(|faults| Problem::invalid(&faults))?;
    for event in &mut events {
        // An event read from a topic can be published unchanged, so its old position is removed.
        for name in POSITION_ATTRIBUTES {
            event.extensions.remove(name);
            event.attributes.remove(name);
        }
    }
    Ok(events)
}

async fn bytes(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > REQUEST_BYTES_MAX) {
        return Err(Problem::too_large(REQUEST_BYTES_MAX));
    }
    to_bytes(body, REQUEST_BYTES_MAX).await.map_err(|error| {
        // All errors but this one come from the connection.
        if error.to_string().contains("length limit") {
            Problem::too_large(REQUEST_BYTES_MAX)
        } else {
            Problem::body_broken()
        }
    })
}

fn text(body: &Bytes) -> Result<&str, Problem> {
    str::from_utf8(body).map_err(|error| Problem::fault("body", format!("is not UTF-8: {error}")))
}

fn document(text: &str, index: usize) -> Result<Event, Faults> {
    let members = Members::of(text).map_err(|error| {
        Faults::single(FaultKind::Event, format!("events[{index}]"), format!("is {error}"))
    })?;
    cloudevents::read(&members).map_err(|document_faults| {
        let mut faults = Faults::new();
        for fault in document_faults {
            let field = format!("events[{index}].{}", fault.field);
            faults.add(FaultKind::Event, field, fault.description);
        }
        faults
    })
}

fn batch(text: &str, limit: usize) -> Result<Vec<Event>, Faults> {
    let batch = DocumentBatch::of(text, limit).map_err(|error| {
        let description = format!("is not an array of CloudEvents documents: {error}");
        Faults::single(FaultKind::Event, "body", description)
    })?;
    if batch.count > limit {
        let count = batch.count;
        let kind = FaultKind::BatchTooLarge { size: count as u64, limit: limit as u64 };
        let description = format!("{count} events; the limit is {limit}: split the batch");
        return Err(Faults::single(kind, "events", description));
    }
    let mut faults = Faults::new();
    let mut events = Vec::with_capacity(batch.count);
    for (index, raw) in batch.documents.iter().enumerate() {
        events.extend(faults.merge(document(raw.get(), index)));
    }
    faults.finish(|| Some(events))
}
