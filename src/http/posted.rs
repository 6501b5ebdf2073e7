//! The body of a publish, in the modes of CloudEvents over HTTP: a document, several, or a payload with headers.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use prost::Message as _;

use super::{binary, problem::Problem, stream::PLACE};
use crate::{
    cloudevents::{self, Members, Written},
    model::fault::{FaultKind, Faults},
    proto::events::v1::Event,
    service::REQUEST_BYTES_MAX,
};

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A document in the JSON format.
    Document,
    /// An array of such documents.
    Batch,
    /// A document in the Protobuf format.
    Protobuf,
    /// The payload; attributes are in headers.
    Binary,
}

impl Mode {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        if headers.get(header::CONTENT_ENCODING).is_some_and(|it| it != "identity") {
            return Err(Problem::unsupported("compressed bodies are not taken: send it as it is"));
        }
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let content_type = content_type.unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/cloudevents+json" => Ok(Self::Document),
            "application/cloudevents-batch+json" => Ok(Self::Batch),
            "application/cloudevents+protobuf" => Ok(Self::Protobuf),
            other if other.starts_with("application/cloudevents") => {
                let detail =
                    format!("{essence} is not taken: send one of {}", super::problem::ACCEPTED);
                Err(Problem::unsupported(detail))
            }
            _ if binary::is_binary(headers) => Ok(Self::Binary),
            other => {
                let given = if other.is_empty() { "missing".into() } else { format!("{other:?}") };
                Err(Problem::unsupported(format!(
                    "Content-Type is {given}, and there are no ce- headers: send a CloudEvents document as \
                     application/cloudevents+json, an array of them as application/cloudevents-batch+json, or the \
                     payload itself with its Content-Type and the headers ce-specversion, ce-id, ce-source and ce-type"
                )))
            }
        }
    }
}

/// Reads what is to be published, of which there are no more than `most`.
///
/// # Errors
/// Everything that is wrong with it.
pub async fn events(request: Request, most: usize) -> Result<Vec<Event>, Problem> {
    let (head, body) = request.into_parts();
    let mode = Mode::of(&head.headers)?;
    let body = bytes(&head.headers, body).await?;
    let events = match mode {
        Mode::Document => document(text(&body)?, 0).map(|event| vec![event]),
        Mode::Batch => batch(text(&body)?, most),
        Mode::Protobuf => Event::decode(body).map(|event| vec![event]).map_err(|error| {
            Faults::one(FaultKind::Event, "body", format!("does not decode: {error}"))
        }),
        Mode::Binary => binary::event(&head.headers, body).map(|event| vec![event]),
    };
    let mut events = events.map_err(|faults| Problem::invalid(&faults))?;
    for event in &mut events {
        // What was read from a topic may be posted as it is: the place that it had there is not part of it.
        for name in PLACE {
            event.extensions.remove(name);
            event.attributes.remove(name);
        }
    }
    Ok(events)
}

async fn bytes(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > REQUEST_BYTES_MAX) {
        return Err(Problem::too_large(REQUEST_BYTES_MAX));
    }
    to_bytes(body, REQUEST_BYTES_MAX).await.map_err(|error| {
        // The limit is the only error that a body has of its own.
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
        Faults::one(FaultKind::Event, format!("events[{index}]"), format!("is {error}"))
    })?;
    cloudevents::read(&members).map_err(|wrong| {
        let mut faults = Faults::new();
        for fault in wrong {
            faults.add(FaultKind::Event, format!("events[{index}].{}", fault.field), fault.why);
        }
        faults
    })
}

fn batch(text: &str, most: usize) -> Result<Vec<Event>, Faults> {
    let written = Written::of(text, most).map_err(|error| {
        let why = format!("is no array of CloudEvents documents: {error}");
        Faults::one(FaultKind::Event, "body", why)
    })?;
    if written.count > most {
        let count = written.count;
        let kind = FaultKind::BatchTooLarge { size: count as u64, limit: most as u64 };
        let description = format!("has {count} events, at most {most} are taken: split it");
        return Err(Faults::one(kind, "events", description));
    }
    let mut faults = Faults::new();
    let mut events = Vec::with_capacity(written.count);
    for (index, raw) in written.documents.iter().enumerate() {
        events.extend(faults.merge(document(raw.get(), index)));
    }
    faults.finish(|| Some(events))
}
