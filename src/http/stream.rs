//! Streams of events over HTTP: server-sent events, or lines of JSON.

use std::{convert::Infallible, fmt::Write as _, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use prost::Message as _;
use tokio_stream::StreamExt as _;
use tonic::Status;

use super::{HttpState, problem::Problem, query::StreamRequest};
use crate::{
    cloudevents,
    notation::show_time,
    proto::{
        Spliced,
        events::v1::{
            Draining, EventBatch, Gap, ReadResponse, RecordedEvent, SubscribeResponse,
            subscribe_response::Message,
        },
    },
    service::{ResponseStream, View},
};

/// Attributes that the server adds to a delivered event: its position, time, version and cursor.
pub const POSITION_ATTRIBUTES: [&str; 6] = [
    "tidingstopic",
    "tidingsoffset",
    "tidingskeyversion",
    "tidingstime",
    "tidingsversion",
    "tidingscursor",
];
/// Delay before an `EventSource` reconnects, in milliseconds.
const RETRY_MILLIS: u32 = 1_000;
/// The same after an error that a retry does not fix.
const RETRY_LATER_MILLIS: u32 = 60_000;
/// Most bytes passed to the connection at once. Over HTTP/1 it buffers 16 chunks before it waits
/// for its reader: with whole batches, 1,000 stalled readers held 640 KiB each.
const CHUNK_BYTES_MAX: usize = 2 << 10;
/// Separates the topics and patterns of a path. No topic name contains it.
const TOPIC_SEPARATOR: char = ',';

/// The format of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// One line of JSON for each event.
    Lines,
}

impl Framing {
    /// The format that a request accepts. Server-sent events if it accepts any.
    ///
    /// # Errors
    /// Returns a problem if it accepts neither.
    pub fn accepted(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut media_types = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|media_type| {
                media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
            })
            .peekable();
        if media_types.peek().is_none() {
            return Ok(Self::Sse);
        }
        let framings = media_types.filter_map(|media_type| match media_type.as_str() {
            "text/event-stream" | "text/*" | "*/*" => Some(Self::Sse),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                Some(Self::Lines)
            }
            _ => None,
        });
        // Lines win over server-sent events, also if */* precedes them: browsers add */* to the
        // types that they name, and curl's `-H Accept:` replaces its */*.
        let mut accepted = None;
        for framing in framings {
            if framing == Self::Lines {
                return Ok(framing);
            }
            accepted = Some(framing);
        }
        accepted.ok_or_else(|| {
            Problem::not_acceptable(
                "events are sent as text/event-stream or application/x-ndjson: accept one of them",
            )
        })
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Lines => "application/x-ndjson",
        }
    }
}

/// Opens a stream.
///
/// # Errors
/// Returns a problem if the request is invalid or the stream cannot start.
pub async fn open(
    state: Arc<HttpState>,
    topics: &str,
    request: StreamRequest,
    framing: Framing,
) -> Result<Response, Problem> {
    let topics = topics.split(TOPIC_SEPARATOR).map(str::to_owned).collect();
    let limit = request.limit;
    let source = if request.is_finite() {
        Source::Read(state.events.open_read(request.into_read(topics), View::Text).await?)
    } else {
        let request = request.into_subscribe(topics);
        Source::Live(state.events.open_stream(request, View::Text, None).await?)
    };
    let writer = Writer { state, framing, text: String::new(), drained: false };
    let body = StreamBody { source, writer, remaining: limit, unsent: Bytes::new(), ended: false };
    let chunks = stream::unfold(body, |mut body| async move {
        body.next().await.map(|chunk| (Ok::<_, Infallible>(chunk), body))
    });
    let headers = [
        (header::CONTENT_TYPE, framing.content_type()),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    // nginx would otherwise buffer a slow stream until its buffer is full.
    let unbuffered = [("x-accel-buffering", "no")];
    Ok((headers, unbuffered, Body::from_stream(chunks)).into_response())
}

/// The messages of a stream.
enum Source {
    Live(ResponseStream<Spliced>),
    Read(ResponseStream<Spliced>),
}

/// The body of a stream. The connection pulls it, so no more is read from the source than its
/// reader receives.
struct StreamBody {
    source: Source,
    writer: Writer,
    /// Events that may still be delivered.
    remaining: Option<u64>,
    /// Text that is not passed to the connection yet.
    unsent: Bytes,
    ended: bool,
}

impl StreamBody {
    /// The next chunk of text, or `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        // Some messages have no text in this format.
        while self.unsent.is_empty() && !self.ended {
            let received = match &mut self.source {
                Source::Live(messages) | Source::Read(messages) => messages.next().await,
            };
            match received {
                None => self.ended = true,
                Some(Err(status)) => {
                    self.ended = true;
                    self.writer.failed(status);
                }
                Some(Ok(message)) => self.write(&message),
            }
            self.unsent = std::mem::take(&mut self.writer.text).into();
        }
        let length = self.unsent.len().min(CHUNK_BYTES_MAX);
        (length > 0).then(|| self.unsent.split_to(length))
    }

    fn write(&mut self, message: &Spliced) {
        let encoded = message.encode_to_vec();
        let decoded = match self.source {
            Source::Live(_) => SubscribeResponse::decode(encoded.as_slice()).map(|response| {
                if let Some(message) = response.message {
                    self.write_message(message);
                }
            }),
            Source::Read(_) => ReadResponse::decode(encoded.as_slice())
                .map(|response| self.write_read_response(response)),
        };
        if let Err(error) = decoded {
            // The service encoded it, so this is a bug.
            tracing::error!(%error, "a message of the service does not decode");
            self.ended = true;
        }
    }

    fn write_message(&mut self, message: Message) {
        match message {
            Message::Batch(batch) => self.batch(batch),
            Message::Started(started) => {
                self.writer.retry(RETRY_MILLIS);
                self.writer.control("started", "SubscribeStarted", &started.cursor, &started);
            }
            Message::CaughtUp(caught_up) => {
                self.writer.control("caught-up", "CaughtUp", &caught_up.cursor, &caught_up);
            }
            Message::FellBehind(fell_behind) => {
                self.writer.control("fell-behind", "FellBehind", &fell_behind.cursor, &fell_behind);
            }
            Message::Heartbeat(heartbeat) => self.writer.heartbeat(&heartbeat.cursor),
            Message::Gap(gap) => self.writer.gap(&gap, true),
            Message::SchemaChanged(changed) => {
                self.writer.control("schema-changed", "SchemaChanged", &changed.cursor, &changed);
            }
            Message::Draining(draining) => self.writer.draining(&draining),
        }
    }

    fn write_read_response(&mut self, response: ReadResponse) {
        if let Some(batch) = response.batch {
            self.batch(batch);
        }
        // Without their cursors: some of them precede events that are already written.
        response.gaps.iter().for_each(|gap| self.writer.gap(gap, false));
        if !response.end_cursor.is_empty() {
            self.ended = true;
            self.writer.end(&response.end_cursor);
        }
    }

    fn batch(&mut self, batch: EventBatch) {
        let mut last = String::new();
        for event in batch.events {
            if self.remaining == Some(0) {
                break;
            }
            self.writer.event(&event);
            last = event.cursor;
            self.remaining = self.remaining.map(|remaining| remaining - 1);
        }
        if self.remaining == Some(0) && matches!(self.source, Source::Live(_)) {
            self.ended = true;
            self.writer.end(&last);
        } else if self.remaining != Some(0) && batch.cursor != last {
            self.writer.progress(&batch.cursor);
        }
    }
}

/// Writes messages in the format of a stream.
struct Writer {
    state: Arc<HttpState>,
    framing: Framing,
    text: String,
    /// Whether `Draining` is written, which has the cursor to resume at.
    drained: bool,
}

impl Writer {
    /// Writes an event as a document with its position.
    fn event(&mut self, recorded: &RecordedEvent) {
        let Some(event) = &recorded.event else { return };
        let offset = recorded.offset.to_string();
        let key_version = recorded.key_version.to_string();
        let time = show_time(recorded.append_time.as_ref());
        let version = recorded.schema.as_ref().map(|schema| schema.delivered_version.as_str());
        let mut attributes =
            vec![("tidingstopic", recorded.topic.as_str()), ("tidingsoffset", &offset)];
        if recorded.key_version > 0 {
            attributes.push(("tidingskeyversion", &key_version));
        }
        attributes.push(("tidingstime", &time));
        attributes.extend(version.map(|version| ("tidingsversion", version)));
        attributes.push(("tidingscursor", &recorded.cursor));
        let document = cloudevents::document(event, &attributes);
        match self.framing {
            Framing::Sse => self.write(None, Some(&recorded.cursor), &document),
            Framing::Lines => self.line(&document),
        }
    }

    /// Writes a control message as a server-sent event of this name. Lines have no control
    /// messages.
    fn control(&mut self, name: &str, kind: &str, cursor: &str, message: &impl prost::Message) {
        if self.framing == Framing::Sse {
            let json = self.json(kind, message);
            self.write(Some(name), Some(cursor), &json);
        }
    }

    fn gap(&mut self, gap: &Gap, resumes: bool) {
        let json = self.json("Gap", gap);
        match self.framing {
            Framing::Sse => self.write(Some("gap"), resumes.then_some(&gap.cursor), &json),
            Framing::Lines => self.line(&format!("{{\"gap\":{json}}}")),
        }
    }

    fn draining(&mut self, draining: &Draining) {
        self.drained = true;
        let json = self.json("Draining", draining);
        match self.framing {
            Framing::Sse => {
                self.retry(RETRY_MILLIS);
                self.write(Some("draining"), Some(&draining.cursor), &json);
            }
            Framing::Lines => self.line(&format!("{{\"draining\":{json}}}")),
        }
    }

    /// Writes the requested end of the stream.
    fn end(&mut self, cursor: &str) {
        if self.framing == Framing::Sse {
            let mut json = crate::json::Object::new();
            json.text("cursor", cursor);
            self.write(Some("end"), Some(cursor), &json.finish());
        }
    }

    /// Writes the error that ended the stream.
    fn failed(&mut self, status: Status) {
        if self.drained {
            return;
        }
        let problem = Problem::from(status);
        match self.framing {
            Framing::Sse => {
                self.retry(if problem.is_retryable() { RETRY_MILLIS } else { RETRY_LATER_MILLIS });
                self.write(Some("failed"), None, &problem.text());
            }
            Framing::Lines => self.line(&format!("{{\"failed\":{}}}", problem.text())),
        }
    }

    fn heartbeat(&mut self, cursor: &str) {
        if self.framing == Framing::Sse {
            self.text.push_str(": heartbeat\n");
            self.progress(cursor);
        }
    }

    /// Writes the cursor without an event: a browser stores the id and dispatches nothing.
    fn progress(&mut self, cursor: &str) {
        if self.framing == Framing::Sse {
            // Writing to a String cannot fail, here and below.
            let _ = write!(self.text, "id: {cursor}\n\n");
        }
    }

    fn retry(&mut self, millis: u32) {
        if self.framing == Framing::Sse {
            let _ = writeln!(self.text, "retry: {millis}");
        }
    }

    /// Writes a server-sent event. `data` is JSON without line ends.
    fn write(&mut self, name: Option<&str>, id: Option<&str>, data: &str) {
        if let Some(name) = name {
            let _ = writeln!(self.text, "event: {name}");
        }
        if let Some(id) = id {
            let _ = writeln!(self.text, "id: {id}");
        }
        let _ = write!(self.text, "data: {data}\n\n");
    }

    fn line(&mut self, json: &str) {
        self.text.push_str(json);
        self.text.push('\n');
    }

    fn json(&self, kind: &str, message: &impl prost::Message) -> String {
        self.state.encoder.encode(&format!("tidings.events.v1.{kind}"), message)
    }
}
