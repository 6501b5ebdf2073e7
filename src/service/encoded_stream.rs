//! Messages of an open event stream, encoded for `Subscribe`.

use std::{collections::VecDeque, time::Duration};

use prost::Message as _;
use tokio::time::Instant;
use tonic::Status;

use super::{
    delivery,
    gap::{gap, skipped_gap},
    renderer::EventRenderer,
    status,
    topic::timestamp,
    view::View,
};
use crate::{
    broker::{
        Broker,
        negotiation::NegotiatedSchema,
        subscribe::{EventStream, Message, now},
    },
    model::cursor::{Cursor, CursorWriter},
    proto::{Spliced, events::v1 as proto},
    telemetry::OpenStreamGuard,
};

/// Most topics that `SubscribeStarted` lists.
const STARTED_TOPICS_MAX: usize = 1_000;
/// Delay after which a client may reconnect to a draining server.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// Encodes an open event stream as `SubscribeResponse` messages.
pub struct EncodedStream {
    events: EventStream,
    renderer: EventRenderer,
    broker: Broker,
    deadline: Option<Instant>,
    /// Text of the last cursor sent. Maintained only if there is a deadline, whose status has it.
    last_cursor: String,
    /// Encoded messages to send before the next one of the broker.
    queued: VecDeque<Spliced>,
    ended: bool,
    _open: OpenStreamGuard,
}

impl EncodedStream {
    /// Encodes a stream with its events in this view. It ends at the deadline, if there is one.
    pub fn new(events: EventStream, view: View, broker: Broker, deadline: Option<Instant>) -> Self {
        Self {
            events,
            renderer: EventRenderer::new(view, broker.clone()),
            deadline,
            last_cursor: String::new(),
            queued: VecDeque::new(),
            ended: false,
            _open: broker.metrics().open_stream(),
            broker,
        }
    }

    /// The next message, or `None` after the end.
    pub async fn next(&mut self) -> Option<Result<Spliced, Status>> {
        if let Some(message) = self.queued.pop_front() {
            return Some(Ok(message));
        }
        if self.ended {
            return None;
        }
        let received = match self.deadline {
            None => self.events.next().await,
            Some(deadline) => tokio::select! {
                received = self.events.next() => received,
                () = tokio::time::sleep_until(deadline) => {
                    self.ended = true;
                    return Some(Err(status::deadline_exceeded(&self.last_cursor)));
                }
            },
        };
        let server = self.broker.server();
        match received {
            Some(Ok((message, cursor))) => {
                let encoded = self.encode(message, cursor);
                self.ended = encoded.is_err();
                Some(encoded)
            }
            Some(Err(error)) => {
                self.ended = true;
                Some(Err(status::stream(&error, server)))
            }
            None => {
                // The broker ends a stream without an error only when the server drains.
                self.ended = true;
                Some(Err(status::drained()))
            }
        }
    }

    fn encode(&mut self, message: Message, cursor: Cursor) -> Result<Spliced, Status> {
        use proto::subscribe_response::Message as Wire;
        let server = self.broker.server();
        let cursors = CursorWriter::new(server, cursor.horizon);
        let text = || cursor.text(server).to_string();
        let time = || Some(timestamp(now(&self.broker)));
        if self.deadline.is_some() {
            self.last_cursor = text();
        }
        let wire = match message {
            Message::Batch(events) => {
                let (tag, at) = (delivery::SUBSCRIBE_BATCH, cursor.position);
                let rendered = self.renderer.render_all(&events);
                self.queued = delivery::batches(tag, &events, rendered, at, &cursors).into();
                return Ok(self.queued.pop_front().unwrap_or_default());
            }
            Message::Started { topics, schemas } => Wire::Started(proto::SubscribeStarted {
                cursor: text(),
                topics: topics
                    .into_iter()
                    .take(STARTED_TOPICS_MAX)
                    .map(|(topic, range)| proto::TopicRange {
                        topic,
                        first_offset: range.first.0,
                        next_offset: range.next.0,
                    })
                    .collect(),
                schemas: schemas.iter().map(negotiated_schema).collect(),
                heartbeat_interval: self.events.heartbeat_interval().try_into().ok(),
            }),
            Message::CaughtUp => Wire::CaughtUp(proto::CaughtUp { cursor: text(), time: time() }),
            Message::FellBehind { lag } => Wire::FellBehind(proto::FellBehind {
                cursor: text(),
                time: time(),
                behind_events: lag,
            }),
            Message::Heartbeat { lag } => Wire::Heartbeat(proto::Heartbeat {
                cursor: text(),
                time: time(),
                behind_events: lag,
            }),
            Message::Gap(missing) => Wire::Gap(gap(&missing, text())),
            Message::Skipped(skipped) => Wire::Gap(skipped_gap(&skipped, text())),
            Message::SchemaChanged(changed) => Wire::SchemaChanged(proto::SchemaChanged {
                schema: Some(negotiated_schema(&changed)),
                cursor: text(),
            }),
            Message::Draining => Wire::Draining(proto::Draining {
                cursor: text(),
                reconnect_delay: RECONNECT_DELAY.try_into().ok(),
            }),
        };
        let response = proto::SubscribeResponse { message: Some(wire) };
        Ok(Spliced::from(bytes::Bytes::from(response.encode_to_vec())))
    }
}

fn negotiated_schema(negotiated: &NegotiatedSchema) -> proto::NegotiatedSchema {
    let delivered = negotiated.delivered.as_ref();
    proto::NegotiatedSchema {
        r#type: negotiated.event_type.to_string(),
        requirement: negotiated.requirement.to_string(),
        version: delivered.map(|schema| schema.version.to_string()).unwrap_or_default(),
        schema_id: delivered.map_or(0, |schema| schema.id),
        written_versions: negotiated.written.clone(),
        deprecation: negotiated.deprecation().unwrap_or_default().to_owned(),
    }
}
