//! Finite reads, forwards or backwards, of topics, of a key, or of a correlation id; and lookups of
//! single events.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{
    Broker,
    error::{Damage, Draining, EventError, StartError, StreamError},
    filter::EventFilter,
    merge::Merge,
    negotiation::{DeliveryItem, Negotiation, Selection, SkippedRange},
    start::{ResolvedStart, Start, StartPosition},
};
use crate::{
    model::{
        cursor::Cursor,
        event::{Delivered, IdentityHash, Recorded},
        fault::{FaultKind, Faults},
        name::{TopicName, TopicPattern},
        numbers::{Offset, Position, TopicId},
    },
    store::{ReadError, Store, read::Direction, tail::ReadLimit, topics::Topic},
};

/// Limit of one message of a read.
const BATCH: ReadLimit = ReadLimit { events: 500, bytes: 256 << 10 };
/// Bytes of the first message: a reader of ten events should not wait for a thousand.
const FIRST_BATCH_BYTES: usize = 16 << 10;

/// A request for a finite read.
#[derive(Debug, Clone)]
pub struct Read {
    /// Topics and patterns. With a correlation id, an empty list means all topics.
    pub topics: Vec<TopicPattern>,
    /// The start. None: the earliest position forwards, the latest backwards.
    pub start: Option<Start>,
    /// The direction.
    pub direction: Direction,
    /// The events to select.
    pub filter: EventFilter,
    /// Selects the events with this correlation id.
    pub correlation: Option<String>,
    /// Most events. None: no limit.
    pub events_max: Option<u64>,
    /// The schema versions that the reader understands. None: any.
    pub selection: Option<Selection>,
}

/// A batch of a read.
#[derive(Debug)]
pub struct ReadBatch {
    /// The events.
    pub events: Vec<Delivered>,
    /// Events of the range that cannot be delivered in a required version.
    pub skipped: Vec<SkippedRange>,
    /// The cursor after the batch.
    pub cursor: Cursor,
    /// Whether it is the last batch. A read in the same direction can resume at its cursor.
    pub is_last: bool,
}

/// The events of a batch, as they are delivered.
#[derive(Default)]
struct Page {
    events: Vec<Delivered>,
    skipped: Vec<SkippedRange>,
    /// The position of the last event, delivered or skipped. None: there was none.
    at: Option<Position>,
}

impl Page {
    /// The position of the last event that was delivered or skipped.
    fn reached(&self) -> Option<Position> {
        let delivered = self.events.last().map(|event| event.recorded.position);
        delivered.max(self.skipped.last().map(|range| range.position))
    }
}

/// An open read.
pub struct OpenRead {
    broker: Broker,
    events: Events,
    direction: Direction,
    filter: EventFilter,
    negotiation: Option<Negotiation>,
    failure: Option<StreamError>,
    events_left: u64,
    until: Position,
    horizon: Position,
    at: Position,
    batch_bytes: usize,
    done: bool,
}

enum Events {
    Topics(Box<Merge>),
    Correlated(CorrelatedEvents),
}

/// The events with one correlation id, in the order of positions.
struct CorrelatedEvents {
    correlation: String,
    /// Selects the events in these topics. None: all topics.
    topics: Option<Vec<TopicId>>,
    at: Position,
    buffer: VecDeque<Delivered>,
    done: bool,
}

impl Broker {
    /// Opens a read.
    ///
    /// # Errors
    /// Returns why the read cannot start at the requested position.
    pub async fn read(&self, request: Read) -> Result<OpenRead, StartError> {
        if self.is_draining() {
            return Err(Draining.into());
        }
        let is_over_all_topics = request.topics.is_empty() && request.correlation.is_some();
        let topics = if is_over_all_topics {
            self.store().catalog().all().values().cloned().collect()
        } else {
            self.resolve(&request.topics)?
        };
        let negotiation = match request.selection {
            Some(selection) => Some(self.negotiate(selection).await?.0),
            None => None,
        };
        let default = match request.direction {
            Direction::Forward => StartPosition::Earliest,
            Direction::Backward => StartPosition::Latest,
        };
        let start = request.start.unwrap_or(Start::at(default));
        let resolved = match request.direction {
            Direction::Forward => self.start_forward(topics, &start).await?,
            Direction::Backward => self.start_backward(topics, &start).await?,
        };
        let mut filter = request.filter;
        filter.payloads = self.payloads();
        filter.not_before = filter.not_before.max(resolved.not_before);
        let events = match request.correlation {
            None => Events::Topics(Box::new(Merge::new(
                Arc::clone(self.store()),
                request.direction,
                &resolved,
                filter.clone(),
            ))),
            Some(correlation) => Events::Correlated(self.correlated(
                correlation,
                &resolved,
                is_over_all_topics,
                request.direction,
            )),
        };
        Ok(OpenRead {
            broker: self.clone(),
            events,
            direction: request.direction,
            filter,
            negotiation,
            failure: None,
            events_left: request.events_max.unwrap_or(u64::MAX),
            until: resolved.horizon,
            horizon: resolved.horizon,
            at: resolved.position,
            batch_bytes: FIRST_BATCH_BYTES,
            done: false,
        })
    }

    fn correlated(
        &self,
        correlation: String,
        resolved: &ResolvedStart,
        is_over_all_topics: bool,
        direction: Direction,
    ) -> CorrelatedEvents {
        let at = match direction {
            Direction::Forward => resolved.position,
            Direction::Backward => resolved.position.min(resolved.horizon.next()),
        };
        let topics =
            (!is_over_all_topics).then(|| resolved.topics.iter().map(|topic| topic.id).collect());
        CorrelatedEvents { correlation, topics, at, buffer: VecDeque::new(), done: false }
    }

    /// Reads an event by its offset.
    ///
    /// # Errors
    /// Returns why the event was not found.
    pub async fn event_at(
        &self,
        topic: &TopicName,
        offset: Offset,
    ) -> Result<Delivered, EventError> {
        let topic = self.topic(topic)?;
        // An offset that is valid as a start is valid for a lookup, except the next offset.
        self.start_forward(vec![Arc::clone(&topic)], &Start::at(StartPosition::Offset(offset)))
            .await?;
        let range = topic.range();
        if offset >= range.next {
            let (earliest, latest) = (
                Cursor { position: Position(0), horizon: self.store().watermark() },
                self.latest_cursor(),
            );
            let detail = format!(
                "offset {offset} of topic {:?}, whose next offset is {}",
                topic.name.as_str(),
                range.next
            );
            return Err(StartError::PositionInFuture { detail, earliest, latest }.into());
        }
        let (store, name) = (Arc::clone(self.store()), Arc::clone(&topic.name));
        let recorded = blocking(move || store.event(&topic, offset)).await?;
        Ok(Delivered::as_written(name, recorded))
    }

    /// Reads an event by its source and id.
    ///
    /// # Errors
    /// Returns why the event was not found.
    pub async fn event_by_identity(
        &self,
        topic: &TopicName,
        source: &str,
        id: &str,
    ) -> Result<Delivered, EventError> {
        let topic = self.topic(topic)?;
        let identity = IdentityHash::of(source, id);
        let (store, read_topic) = (Arc::clone(self.store()), Arc::clone(&topic));
        let recorded: Option<Recorded> = blocking(move || {
            let Some(offset) = store.offset_of(&read_topic, identity)? else { return Ok(None) };
            store.event(&read_topic, offset).map(Some)
        })
        .await?;
        let name = Arc::clone(&topic.name);
        recorded.map(|recorded| Delivered::as_written(name, recorded)).ok_or_else(|| {
            EventError::NotFound {
                topic: topic.name.to_string(),
                event: format!("{id:?} of source {source:?}"),
            }
        })
    }

    /// The cursor after everything that is recorded.
    pub fn latest_cursor(&self) -> Cursor {
        let horizon = self.store().watermark();
        Cursor { position: horizon, horizon }
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => read,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

impl OpenRead {
    /// The next batch. None: the read is complete.
    ///
    /// # Errors
    /// Returns why the read ended.
    pub async fn next(&mut self) -> Option<Result<ReadBatch, StreamError>> {
        if let Some(failure) = self.failure.take() {
            self.done = true;
            return Some(Err(failure));
        }
        if self.done {
            return None;
        }
        let batch = self.next_batch().await;
        let is_over = batch.as_ref().map_or(true, |batch| batch.is_last);
        self.done = is_over && self.failure.is_none();
        Some(batch)
    }

    async fn next_batch(&mut self) -> Result<ReadBatch, StreamError> {
        loop {
            if self.broker.is_draining() {
                return Err(Draining.into());
            }
            let limit = ReadLimit {
                events: BATCH.events.min(usize::try_from(self.events_left).unwrap_or(usize::MAX)),
                bytes: self.batch_bytes,
            };
            self.batch_bytes = (self.batch_bytes * 2).min(BATCH.bytes);
            if self.events_left == 0 {
                return Ok(self.last_batch(Page::default()));
            }
            let (mut events, is_end) = self.next_events(limit).await?;
            // Append time never decreases over positions, so the first event at or after the bound
            // ends the read.
            let end = self.filter.until.and_then(|until| {
                events.iter().position(|event| match self.direction {
                    Direction::Forward => event.recorded.append_time >= until,
                    Direction::Backward => event.recorded.append_time < until,
                })
            });
            if let Some(end) = end {
                events.truncate(end);
                let page = self.deliver(events);
                return Ok(self.last_batch(page));
            }
            let page = self.deliver(events);
            self.events_left -= (page.events.len() as u64).min(self.events_left);
            if self.failure.is_some() {
                return Ok(self.batch_after(page, false));
            }
            if is_end || self.events_left == 0 {
                if is_end && self.events_left > 0 && self.direction == Direction::Forward {
                    self.at = self.until;
                    return Ok(self.batch_after(Page { at: Some(self.until), ..page }, true));
                }
                return Ok(self.last_batch(page));
            }
            if page.at.is_some() {
                return Ok(self.batch_after(page, false));
            }
            tokio::task::yield_now().await;
        }
    }

    /// Converts events to the versions that the reader requires.
    fn deliver(&mut self, events: Vec<Delivered>) -> Page {
        let mut page =
            Page { at: events.last().map(|event| event.recorded.position), ..Page::default() };
        let Some(negotiation) = &mut self.negotiation else { return Page { events, ..page } };
        for item in negotiation.deliver(events) {
            match item {
                DeliveryItem::Events(events) => page.events.extend(events),
                DeliveryItem::Skipped(range) => page.skipped.push(range),
                // A read does not announce versions: each event states its own.
                DeliveryItem::Changed(_) => {}
                DeliveryItem::RegistryUnavailable(error) => {
                    page.at = page.reached();
                    self.failure = Some(error.into());
                }
                DeliveryItem::Failed(mismatch) => {
                    page.at = page.reached();
                    let resume = Cursor { position: mismatch.position, horizon: self.horizon };
                    self.failure =
                        Some(StreamError::Mismatch { mismatch: Box::new(mismatch), resume });
                }
            }
        }
        page
    }

    fn batch_after(&mut self, page: Page, is_last: bool) -> ReadBatch {
        self.at = page.at.unwrap_or(self.at);
        let cursor = Cursor { position: self.at, horizon: self.horizon };
        let Page { events, skipped, .. } = page;
        ReadBatch { events, skipped, cursor, is_last }
    }

    fn last_batch(&mut self, page: Page) -> ReadBatch {
        self.batch_after(page, true)
    }

    async fn next_events(
        &mut self,
        limit: ReadLimit,
    ) -> Result<(Vec<Delivered>, bool), StreamError> {
        let horizon = self.horizon;
        let damaged = |damage: Damage| match damage.error {
            ReadError::Storage(error) => StreamError::Storage(error),
            error @ ReadError::Corrupt { .. } => {
                let resume = damage.resume.map(|position| Cursor { position, horizon });
                StreamError::Corrupt { error, resume }
            }
        };
        match &mut self.events {
            Events::Topics(merge) => {
                if self.direction == Direction::Forward {
                    // A read does not report gaps: events that were trimmed during the read are
                    // omitted.
                    merge.take_trimmed_ranges();
                }
                let batch = merge.next_batch(self.until, limit).await.map_err(damaged)?;
                let is_end = match self.direction {
                    Direction::Forward => merge.position() >= self.until,
                    Direction::Backward => merge.is_exhausted(),
                };
                Ok((batch.events, is_end))
            }
            Events::Correlated(correlated) => correlated
                .next_events(&self.broker, self.direction, self.until, &self.filter, limit)
                .await
                .map_err(|error| damaged(Damage { error, resume: None })),
        }
    }
}

impl CorrelatedEvents {
    async fn next_events(
        &mut self,
        broker: &Broker,
        direction: Direction,
        until: Position,
        filter: &EventFilter,
        limit: ReadLimit,
    ) -> Result<(Vec<Delivered>, bool), ReadError> {
        if self.buffer.is_empty() && !self.done {
            let (store, correlation, at) =
                (Arc::clone(broker.store()), self.correlation.clone(), self.at);
            let (topics, filter) = (self.topics.clone(), filter.clone());
            let events_max = limit.events;
            let (events, at, done) = blocking(move || {
                let locations = store.correlated(&correlation, at, direction, events_max)?;
                let mut done = locations.len() < events_max;
                let mut events = Vec::with_capacity(locations.len());
                let all = store.catalog().all();
                let by_id: HashMap<TopicId, &Arc<Topic>> =
                    all.values().map(|topic| (topic.id, topic)).collect();
                let mut at = at;
                for (position, topic, offset) in locations {
                    if direction == Direction::Forward && position > until {
                        done = true;
                        break;
                    }
                    at = position;
                    let is_read = topics.as_ref().is_none_or(|topics| topics.contains(&topic));
                    if let Some(topic) = by_id.get(&topic).filter(|_| is_read) {
                        events.extend(event(&store, topic, offset, &filter)?);
                    }
                }
                Ok((events, at, done))
            })
            .await?;
            (self.at, self.done) = (at, done);
            self.buffer.extend(events);
        }
        let mut bytes_left = limit.bytes;
        let mut events = Vec::new();
        while let Some(next) = self.buffer.front() {
            let size = next.recorded.event.len();
            if !events.is_empty() && (size > bytes_left || events.len() >= limit.events) {
                break;
            }
            bytes_left = bytes_left.saturating_sub(size);
            events.extend(self.buffer.pop_front());
        }
        Ok((events, self.done && self.buffer.is_empty()))
    }
}

/// An event with the correlation id. None: it is trimmed, or does not match.
fn event(
    store: &Store,
    topic: &Topic,
    offset: Offset,
    filter: &EventFilter,
) -> Result<Option<Delivered>, ReadError> {
    if topic.range().first > offset {
        return Ok(None);
    }
    let recorded = store.event(topic, offset)?;
    let name = Arc::clone(&topic.name);
    Ok(filter.evaluate(&recorded).0.then(|| Delivered::as_written(name, recorded)))
}

/// Checks the topics of a read.
///
/// # Errors
/// Returns a fault if the read selects neither topics nor a correlation id.
pub fn check(topics: &[TopicPattern], correlation: Option<&str>) -> Result<(), Faults> {
    if topics.is_empty() && correlation.is_none() {
        return Err(Faults::single(
            FaultKind::Request,
            "topics",
            "is required: at least one topic or pattern, unless correlationid is given",
        ));
    }
    Ok(())
}
