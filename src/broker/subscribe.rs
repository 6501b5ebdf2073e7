//! Event streams: recorded events first, then new ones, without end. A stream is pulled by its
//! reader: while the reader stalls, nothing is read, and only a small batch is buffered for it.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

use super::{
    Broker,
    consumer::Announcement,
    error::{Damage, Draining, StartError, StreamError},
    filter::EventFilter,
    merge::Merge,
    negotiation::{DeliveryItem, NegotiatedSchema, Negotiation, Selection, SkippedRange},
    start::{MissingRange, Start},
};
use crate::{
    model::{
        cursor::Cursor,
        event::Delivered,
        name::TopicPattern,
        numbers::{AppendTime, Position, TopicId},
    },
    store::{
        ReadError,
        read::Direction,
        tail::ReadLimit,
        topics::{ListenerGuard, TopicRange},
    },
};

/// Size of the first batch, and of the first one after a stall. A reader that stalls at once costs
/// no more than this.
const BATCH_BYTES_MIN: usize = 4 << 10;
/// A batch has at most this fraction of the bytes that the reader has received since its last
/// stall.
const PACE_DIVISOR: usize = 8;
/// A reader without a request for this long has stalled.
const STALL_TIME: Duration = Duration::from_secs(1);

/// A request for an event stream.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// Topics and patterns.
    pub topics: Vec<TopicPattern>,
    /// The start.
    pub start: Start,
    /// The events to select.
    pub filter: EventFilter,
    /// The limit of a batch.
    pub limit: ReadLimit,
    /// Interval of heartbeats on an idle stream.
    pub heartbeat_interval: Duration,
    /// The schema versions that the reader understands. None: any.
    pub selection: Option<Selection>,
    /// The name of the reading application, under which its requirements are recorded.
    pub consumer: Option<String>,
}

/// A message of an event stream. Its cursor is a position to resume at: everything before it was
/// delivered.
#[derive(Debug)]
pub enum Message {
    /// The stream has started. Sent first.
    Started {
        /// The retained range of each topic.
        topics: Vec<(String, TopicRange)>,
        /// The versions in which types are delivered.
        schemas: Vec<NegotiatedSchema>,
    },
    /// Events.
    Batch(Vec<Delivered>),
    /// Everything that is recorded was delivered.
    CaughtUp,
    /// A stream that had caught up must read from the disk.
    FellBehind {
        /// Events that are not delivered yet.
        lag: u64,
    },
    /// The stream is idle.
    Heartbeat {
        /// Events that are not delivered yet.
        lag: u64,
    },
    /// Requested events that are no longer retained.
    Gap(MissingRange),
    /// Requested events that cannot be delivered in a required version.
    Skipped(SkippedRange),
    /// A type is delivered in another version from here on.
    SchemaChanged(NegotiatedSchema),
    /// The stream is about to end.
    Draining,
}

/// An open stream.
pub struct EventStream {
    broker: Broker,
    request: Subscribe,
    merge: Merge,
    negotiation: Option<Negotiation>,
    _consumer: Option<Arc<Announcement>>,
    /// Trims up to this position are known to the reader.
    horizon: Position,
    pending: VecDeque<(Message, Cursor)>,
    topics_changed: watch::Receiver<u64>,
    wake: Arc<Notify>,
    listeners: Vec<ListenerGuard>,
    caught_up: bool,
    next_heartbeat: Instant,
    /// Bytes delivered since the last stall.
    bytes_since_stall: usize,
    last_request: Instant,
    /// The error that ends the stream, once all pending messages were delivered.
    failure: Option<StreamError>,
    ended: bool,
}

impl Broker {
    /// Opens an event stream.
    ///
    /// # Errors
    /// Returns why the stream cannot start at the requested position.
    pub async fn subscribe(&self, mut request: Subscribe) -> Result<EventStream, StartError> {
        if self.is_draining() {
            return Err(Draining.into());
        }
        // Watched before the topics are resolved, so that a topic created in between is not missed.
        let mut topics_changed = self.store().catalog().watch();
        topics_changed.mark_unchanged();
        let topics = self.resolve(&request.topics)?;
        let (negotiation, schemas) = match request.selection.take() {
            Some(selection) => {
                let (negotiation, schemas) = self.negotiate(selection).await?;
                (Some(negotiation), schemas)
            }
            None => (None, Vec::new()),
        };
        let wake = Arc::new(Notify::new());
        let listeners = topics.iter().map(|topic| topic.listen(&wake)).collect();
        let resolved = self.start_forward(topics, &request.start).await?;
        request.filter.payloads = self.payloads();
        let merge = Merge::new(
            Arc::clone(self.store()),
            Direction::Forward,
            &resolved,
            request.filter.clone(),
        );
        let consumer = match (request.consumer.take(), &self.inner.schemas) {
            (Some(name), Some(registry)) if !schemas.is_empty() => {
                Some(self.inner.consumers.announce(name, &schemas, registry.client()))
            }
            _ => None,
        };
        let mut stream = EventStream {
            broker: self.clone(),
            merge,
            negotiation,
            _consumer: consumer,
            horizon: resolved.horizon,
            pending: VecDeque::new(),
            topics_changed,
            wake,
            listeners,
            caught_up: false,
            next_heartbeat: Instant::now() + request.heartbeat_interval,
            bytes_since_stall: 0,
            last_request: Instant::now(),
            failure: None,
            ended: false,
            request,
        };
        let topics = resolved.topics.iter().map(|topic| (topic.name.to_string(), topic.range()));
        stream.push(Message::Started { topics: topics.collect(), schemas });
        for missing in resolved.missing {
            stream.push(Message::Gap(missing));
        }
        Ok(stream)
    }
}

impl EventStream {
    /// Interval of heartbeats on an idle stream.
    pub fn heartbeat_interval(&self) -> Duration {
        self.request.heartbeat_interval
    }

    /// The next message, with the cursor after it. None: the stream has ended.
    ///
    /// # Errors
    /// Returns why the stream ended.
    pub async fn next(&mut self) -> Option<Result<(Message, Cursor), StreamError>> {
        if self.last_request.elapsed() > STALL_TIME {
            self.bytes_since_stall = 0;
        }
        let next = loop {
            if let Some(message) = self.pending.pop_front() {
                break Some(Ok(message));
            }
            if let Some(failure) = self.failure.take() {
                self.ended = true;
                break Some(Err(failure));
            }
            if self.ended {
                break None;
            }
            if let Err(error) = self.advance().await {
                self.ended = true;
                break Some(Err(error));
            }
        };
        self.last_request = Instant::now();
        next
    }

    fn cursor(&self) -> Cursor {
        Cursor { position: self.merge.position(), horizon: self.horizon }
    }

    fn push(&mut self, message: Message) {
        let cursor = self.cursor();
        self.next_heartbeat = Instant::now() + self.request.heartbeat_interval;
        self.pending.push_back((message, cursor));
    }

    /// Adds messages to the pending ones, or waits until there may be some.
    async fn advance(&mut self) -> Result<(), StreamError> {
        if self.broker.is_draining() {
            self.push(Message::Draining);
            self.ended = true;
            return Ok(());
        }
        self.update_topics()?;
        if let Some(negotiation) = &mut self.negotiation {
            let changes = negotiation.changes();
            changes.into_iter().for_each(|schema| self.push(Message::SchemaChanged(schema)));
        }
        self.push_gaps().await;
        let watermark = self.broker.store().watermark();
        let limit = self.paced_limit();
        let batch = match self.merge.next_batch(watermark, limit).await {
            Ok(batch) => batch,
            Err(damage) => return Err(self.damaged(damage)),
        };
        if batch.from_disk && self.caught_up {
            self.caught_up = false;
            self.broker.metrics().tail_misses();
            // Its cursor is before these events.
            let lag = self.merge.lag() + batch.events.len() as u64;
            self.push_before(&batch.events, Message::FellBehind { lag });
        }
        if !batch.events.is_empty() {
            let bytes: usize = batch.events.iter().map(|event| event.recorded.event.len()).sum();
            self.bytes_since_stall = self.bytes_since_stall.saturating_add(bytes);
            self.broker.metrics().delivered(batch.events.len() as u64, bytes as u64);
            self.push_events(batch.events);
            return Ok(());
        }
        if self.merge.position() < watermark {
            // The events read so far do not match. Other tasks run before the next chunk is read.
            tokio::task::yield_now().await;
            return self.push_heartbeat_when_due();
        }
        if !self.caught_up {
            self.caught_up = true;
            self.push(Message::CaughtUp);
            return Ok(());
        }
        if Instant::now() >= self.next_heartbeat {
            return self.push_heartbeat_when_due();
        }
        tokio::select! {
            () = self.wake.notified() => {}
            () = schema_registered(&mut self.negotiation) => {}
            _ = self.topics_changed.changed() => self.topics_changed.mark_changed(),
            () = self.broker.inner.draining.cancelled() => {}
            () = sleep_until(self.next_heartbeat) => {}
        }
        Ok(())
    }

    /// Adds events, converted to the versions that the reader requires.
    fn push_events(&mut self, events: Vec<Delivered>) {
        let mut cursor = self.cursor();
        let end = cursor.position;
        let first = events.first().map_or(end, |event| event.recorded.position);
        let Some(negotiation) = &mut self.negotiation else {
            self.push(Message::Batch(events));
            return;
        };
        // Everything before the first event was delivered.
        cursor.position = Position(first.0 - 1);
        let items = negotiation.deliver(events);
        let last = items.len().saturating_sub(1);
        for (at, item) in items.into_iter().enumerate() {
            let (message, position) = match item {
                DeliveryItem::Events(events) => {
                    let position = events.last().map_or(end, |event| event.recorded.position);
                    (Message::Batch(events), position)
                }
                DeliveryItem::Skipped(skipped) => {
                    let position = skipped.position;
                    (Message::Skipped(skipped), position)
                }
                DeliveryItem::Changed(schema) => (Message::SchemaChanged(schema), cursor.position),
                DeliveryItem::RegistryUnavailable(error) => {
                    self.failure = Some(error.into());
                    return;
                }
                DeliveryItem::Failed(mismatch) => {
                    let resume = Cursor { position: mismatch.position, ..cursor };
                    self.failure =
                        Some(StreamError::Mismatch { mismatch: Box::new(mismatch), resume });
                    return;
                }
            };
            cursor.position = if at == last { end } else { position };
            self.pending.push_back((message, cursor));
        }
        self.next_heartbeat = Instant::now() + self.request.heartbeat_interval;
    }

    #[expect(clippy::unnecessary_wraps, reason = "it ends `advance`")]
    fn push_heartbeat_when_due(&mut self) -> Result<(), StreamError> {
        if Instant::now() >= self.next_heartbeat {
            let lag = self.merge.lag();
            self.push(Message::Heartbeat { lag });
        }
        Ok(())
    }

    fn push_before(&mut self, events: &[Delivered], message: Message) {
        let mut cursor = self.cursor();
        if let Some(first) = events.first() {
            cursor.position = Position(first.recorded.position.0 - 1).min(cursor.position);
        }
        self.pending.push_back((message, cursor));
    }

    /// Joins topics that were created, and leaves topics that were deleted.
    fn update_topics(&mut self) -> Result<(), StreamError> {
        if !self.topics_changed.has_changed().unwrap_or(false) {
            return Ok(());
        }
        self.topics_changed.mark_unchanged();
        let all = self.broker.store().catalog().all();
        for pattern in &self.request.topics {
            if let TopicPattern::Name(name) = pattern {
                let current = self.merge.topics().find(|topic| *topic.name == *name);
                // A topic that was deleted and created again is another topic.
                let is_same = all
                    .get(name)
                    .zip(current)
                    .is_some_and(|(named, current)| named.id == current.id);
                if !is_same {
                    return Err(self.broker.not_found(name.as_str()).into());
                }
            }
        }
        let existing: HashSet<TopicId> = all.values().map(|topic| topic.id).collect();
        self.merge.leave(|topic| !existing.contains(&topic.id));
        let current: HashSet<TopicId> = self.merge.topics().map(|topic| topic.id).collect();
        for topic in all.values() {
            let is_requested =
                self.request.topics.iter().any(|pattern| pattern.matches(&topic.name));
            if is_requested && !current.contains(&topic.id) {
                self.listeners.push(topic.listen(&self.wake));
                self.merge.join(Arc::clone(topic));
            }
        }
        Ok(())
    }

    /// Adds gaps for events that were trimmed before the stream read them.
    async fn push_gaps(&mut self) {
        let Some(trim) = self.merge.last_overtaking_trim() else { return };
        // The cursor after the gaps claims that trims up to the watermark are known, so the
        // watermark must include the trim.
        while self.broker.store().watermark() < trim {
            tokio::task::yield_now().await;
        }
        let horizon = self.broker.store().watermark();
        let mut gaps = self.merge.take_trimmed_ranges();
        let last = gaps.pop();
        for gap in gaps {
            self.push(Message::Gap(gap));
        }
        self.horizon = self.horizon.max(horizon);
        if let Some(gap) = last {
            self.push(Message::Gap(gap));
        }
    }

    /// The limit of the next batch: small at first and after a stall, and as large as requested for
    /// a reader that keeps up.
    fn paced_limit(&self) -> ReadLimit {
        let limit = self.request.limit;
        let paced = (self.bytes_since_stall / PACE_DIVISOR).max(BATCH_BYTES_MIN);
        ReadLimit { events: limit.events, bytes: paced.min(limit.bytes) }
    }

    fn damaged(&self, damage: Damage) -> StreamError {
        match damage.error {
            ReadError::Storage(error) => StreamError::Storage(error),
            error @ ReadError::Corrupt { .. } => {
                self.broker.metrics().corruption_detected();
                tracing::error!(%error, "a stored event is damaged");
                let horizon = self.horizon;
                let resume = damage.resume.map(|position| Cursor { position, horizon });
                StreamError::Corrupt { error, resume }
            }
        }
    }
}

async fn schema_registered(negotiation: &mut Option<Negotiation>) {
    match negotiation {
        Some(negotiation) => negotiation.wait_for_registration().await,
        None => std::future::pending().await,
    }
}

/// The current time, for messages that contain it.
pub fn now(broker: &Broker) -> AppendTime {
    broker.now()
}
