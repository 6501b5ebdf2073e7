//! Events on their way to a reader: server-sent events, or lines of JSON.

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

use super::{Mouth, problem::Problem, query::Wanted};
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

/// Attributes that say where an event stands, beside its own.
pub const PLACE: [&str; 6] = [
    "tidingstopic",
    "tidingsoffset",
    "tidingskeyversion",
    "tidingstime",
    "tidingsversion",
    "tidingscursor",
];
/// When an `EventSource` may come again after a break, in milliseconds.
const RETRY_MILLIS: u32 = 1_000;
/// When it may where the same would happen again.
const RETRY_LATER_MILLIS: u32 = 60_000;
/// Bytes that are given to the connection at once. It takes 16 pieces over HTTP/1 before it waits for its reader: with whole
/// batches, 1,000 readers that had stalled held 640 KiB each.
const PIECE_BYTES_MAX: usize = 2 << 10;
/// Topics and patterns of one path have this between them: no name has it.
const BETWEEN_TOPICS: char = ',';

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// A line of JSON each.
    Lines,
}

impl Framing {
    /// What a request accepts; server-sent events where it accepts anything.
    ///
    /// # Errors
    /// Where it accepts neither.
    pub fn accepted(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut kinds = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
            .peekable();
        if kinds.peek().is_none() {
            return Ok(Self::Sse);
        }
        let framings = kinds.filter_map(|kind| match kind.as_str() {
            "text/event-stream" | "text/*" | "*/*" => Some(Self::Sse),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                Some(Self::Lines)
            }
            _ => None,
        });
        // Named is named: curl's `-H Accept:` replaces its */*, browsers add */* to what they want.
        let mut found = None;
        for framing in framings {
            if framing == Self::Lines {
                return Ok(framing);
            }
            found = Some(framing);
        }
        found.ok_or_else(|| {
            Problem::not_acceptable(
                "events come as text/event-stream or as application/x-ndjson: accept one of them",
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

/// Opens a stream of what is wanted.
///
/// # Errors
/// What is wrong with the request, or why it cannot begin.
pub async fn open(
    mouth: Arc<Mouth>,
    topics: &str,
    wanted: Wanted,
    framing: Framing,
) -> Result<Response, Problem> {
    let topics = topics.split(BETWEEN_TOPICS).map(str::to_owned).collect();
    let limit = wanted.limit;
    let source = if wanted.ends() {
        Source::Read(mouth.events.look(wanted.read(topics), View::Text).await?)
    } else {
        Source::Subscription(mouth.events.follow(wanted.subscribe(topics), View::Text, None).await?)
    };
    let writer = Writer { mouth, framing, text: String::new(), drained: false };
    let open = Open { source, writer, left: limit, rest: Bytes::new(), ended: false };
    let parts = stream::unfold(open, |mut open| async move {
        open.next().await.map(|part| (Ok::<_, Infallible>(part), open))
    });
    let head = [
        (header::CONTENT_TYPE, framing.content_type()),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    // nginx would gather a quiet stream until its buffer is full.
    let unbuffered = [("x-accel-buffering", "no")];
    Ok((head, unbuffered, Body::from_stream(parts)).into_response())
}

/// Where the messages of a stream come from.
enum Source {
    Subscription(ResponseStream<Spliced>),
    Read(ResponseStream<Spliced>),
}

/// A stream that is open. What its reader does not take is not read: this is pulled by the connection.
struct Open {
    source: Source,
    writer: Writer,
    /// Events that may still be given.
    left: Option<u64>,
    /// Written, and not given to the connection.
    rest: Bytes,
    ended: bool,
}

impl Open {
    /// The next piece of text; None at the end.
    async fn next(&mut self) -> Option<Bytes> {
        // A message that has no text in this framing is no reason to wake the reader.
        while self.rest.is_empty() && !self.ended {
            let told = match &mut self.source {
                Source::Subscription(messages) | Source::Read(messages) => messages.next().await,
            };
            match told {
                None => self.ended = true,
                Some(Err(status)) => {
                    self.ended = true;
                    self.writer.failed(status);
                }
                Some(Ok(message)) => self.write(&message),
            }
            self.rest = std::mem::take(&mut self.writer.text).into();
        }
        let piece = self.rest.len().min(PIECE_BYTES_MAX);
        (piece > 0).then(|| self.rest.split_to(piece))
    }

    fn write(&mut self, message: &Spliced) {
        let encoded = message.encode_to_vec();
        let known = match self.source {
            Source::Subscription(_) => SubscribeResponse::decode(encoded.as_slice()).map(|it| {
                if let Some(message) = it.message {
                    self.told(message);
                }
            }),
            Source::Read(_) => {
                ReadResponse::decode(encoded.as_slice()).map(|response| self.page(response))
            }
        };
        if let Err(error) = known {
            // It was encoded by ourselves.
            tracing::error!(%error, "a message of ours does not decode");
            self.ended = true;
        }
    }

    fn told(&mut self, message: Message) {
        match message {
            Message::Batch(batch) => self.batch(batch),
            Message::Started(it) => {
                self.writer.retry(RETRY_MILLIS);
                self.writer.control("started", "SubscribeStarted", &it.cursor, &it);
            }
            Message::CaughtUp(it) => self.writer.control("caught-up", "CaughtUp", &it.cursor, &it),
            Message::FellBehind(it) => {
                self.writer.control("fell-behind", "FellBehind", &it.cursor, &it);
            }
            Message::Heartbeat(it) => self.writer.heartbeat(&it.cursor),
            Message::Gap(it) => self.writer.gap(&it, true),
            Message::SchemaChanged(it) => {
                self.writer.control("schema-changed", "SchemaChanged", &it.cursor, &it);
            }
            Message::Draining(it) => self.writer.draining(&it),
        }
    }

    fn page(&mut self, response: ReadResponse) {
        if let Some(batch) = response.batch {
            self.batch(batch);
        }
        // Without their cursors: some of them lie behind events that are written already.
        response.gaps.iter().for_each(|gap| self.writer.gap(gap, false));
        if !response.end_cursor.is_empty() {
            self.ended = true;
            self.writer.end(&response.end_cursor);
        }
    }

    fn batch(&mut self, batch: EventBatch) {
        let mut last = String::new();
        for event in batch.events {
            if self.left == Some(0) {
                break;
            }
            self.writer.event(&event);
            last = event.cursor;
            self.left = self.left.map(|left| left - 1);
        }
        if self.left == Some(0) && matches!(self.source, Source::Subscription(_)) {
            self.ended = true;
            self.writer.end(&last);
        } else if self.left != Some(0) && batch.cursor != last {
            self.writer.progress(&batch.cursor);
        }
    }
}

/// Writes messages in one of the framings.
struct Writer {
    mouth: Arc<Mouth>,
    framing: Framing,
    text: String,
    /// The end was told, with its cursor.
    drained: bool,
}

impl Writer {
    /// An event: the document, with its place.
    fn event(&mut self, recorded: &RecordedEvent) {
        let Some(event) = &recorded.event else { return };
        let offset = recorded.offset.to_string();
        let key_version = recorded.key_version.to_string();
        let time = show_time(recorded.append_time.as_ref());
        let version = recorded.schema.as_ref().map(|it| it.delivered_version.as_str());
        let mut place = vec![("tidingstopic", recorded.topic.as_str()), ("tidingsoffset", &offset)];
        if recorded.key_version > 0 {
            place.push(("tidingskeyversion", &key_version));
        }
        place.push(("tidingstime", &time));
        place.extend(version.map(|version| ("tidingsversion", version)));
        place.push(("tidingscursor", &recorded.cursor));
        let document = cloudevents::document(event, &place);
        match self.framing {
            Framing::Sse => self.write(None, Some(&recorded.cursor), &document),
            Framing::Lines => self.line(&document),
        }
    }

    /// What is said between events, for those who listen for it; lines are events.
    fn control(&mut self, name: &str, message: &str, cursor: &str, it: &impl prost::Message) {
        if self.framing == Framing::Sse {
            let json = self.json(message, it);
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

    /// The stream is over as it was asked to be.
    fn end(&mut self, cursor: &str) {
        if self.framing == Framing::Sse {
            let mut json = crate::json::Object::new();
            json.text("cursor", cursor);
            self.write(Some("end"), Some(cursor), &json.finish());
        }
    }

    /// The stream is over otherwise.
    fn failed(&mut self, status: Status) {
        if self.drained {
            return;
        }
        let problem = Problem::from(status);
        match self.framing {
            Framing::Sse => {
                self.retry(if problem.may_pass() { RETRY_MILLIS } else { RETRY_LATER_MILLIS });
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

    /// How far the stream is, without an event: a browser keeps the id and tells nobody.
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

    /// `data` is one line: what we write as JSON has no line ends.
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

    fn json(&self, message: &str, it: &impl prost::Message) -> String {
        self.mouth.schema.text(&format!("tidings.events.v1.{message}"), it)
    }
}
