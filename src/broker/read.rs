//! A finite read, forwards or backwards, of topics, of a key, or of a flow; and one event by itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{
    Broker,
    error::{Damage, Draining, EventError, StartError, StreamError},
    merge::Merge,
    negotiation::{Negotiation, Piece, Selection, Skipped},
    start::{Begin, Place, Start},
    wanted::Wanted,
};
use crate::{
    model::{
        cursor::Cursor,
        event::{Delivered, IdentityHash, Recorded},
        fault::{FaultKind, Faults},
        name::{TopicName, TopicPattern},
        numbers::{Offset, Position, TopicId},
    },
    store::{ReadError, Store, read::Way, tail::Bounds, topics::Topic},
};

/// Bounds of one message of a read.
const BATCH: Bounds = Bounds { events: 500, bytes: 256 << 10 };
/// Bytes of the first message: who reads ten events should not wait for a thousand.
const FIRST_BATCH_BYTES: usize = 16 << 10;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Read {
    /// Topics and patterns; with a correlation id none means all.
    pub topics: Vec<TopicPattern>,
    /// Where to begin. None: at the earliest forwards, at the latest backwards.
    pub start: Option<Start>,
    /// Which way.
    pub way: Way,
    /// Which events.
    pub wanted: Wanted,
    /// Of this flow only.
    pub correlation: Option<String>,
    /// How many at most.
    pub events_max: Option<u64>,
    /// Which schema versions the reader understands. None: any.
    pub selection: Option<Selection>,
}

/// What a read delivers.
#[derive(Debug)]
pub struct ReadBatch {
    /// Events.
    pub events: Vec<Delivered>,
    /// Events among them that cannot be given as the reader asked.
    pub skipped: Vec<Skipped>,
    /// Behind them.
    pub cursor: Cursor,
    /// The last message: where a read in the same direction goes on.
    pub is_last: bool,
}

/// What a step gives to the reader.
#[derive(Default)]
struct Given {
    events: Vec<Delivered>,
    skipped: Vec<Skipped>,
    /// Of the last event, given or not. None: there was none.
    at: Option<Position>,
}

impl Given {
    /// The last of what was given or left out.
    fn reached(&self) -> Option<Position> {
        let given = self.events.last().map(|it| it.recorded.position);
        given.max(self.skipped.last().map(|it| it.position))
    }
}

/// An open read.
pub struct Reading {
    broker: Broker,
    events: Events,
    way: Way,
    wanted: Wanted,
    negotiation: Option<Negotiation>,
    failure: Option<StreamError>,
    left: u64,
    upto: Position,
    horizon: Position,
    at: Position,
    batch_bytes: usize,
    done: bool,
}

enum Events {
    Topics(Box<Merge>),
    Flow(Flow),
}

/// Events of one flow, in the order recorded.
struct Flow {
    correlation: String,
    /// Whatever the flow has in other topics is left out. None: all topics.
    topics: Option<Vec<TopicId>>,
    at: Position,
    buffer: VecDeque<Delivered>,
    done: bool,
}

impl Broker {
    /// Opens a read.
    ///
    /// # Errors
    /// Why it cannot begin where it was asked to.
    pub async fn read(&self, request: Read) -> Result<Reading, StartError> {
        if self.is_draining() {
            return Err(Draining.into());
        }
        let is_of_all = request.topics.is_empty() && request.correlation.is_some();
        let topics = if is_of_all {
            self.store().catalog().all().values().cloned().collect()
        } else {
            self.resolve(&request.topics)?
        };
        let negotiation = match request.selection {
            Some(selection) => Some(self.negotiate(selection).await?.0),
            None => None,
        };
        let default = match request.way {
            Way::Forward => Place::Earliest,
            Way::Backward => Place::Latest,
        };
        let start = request.start.unwrap_or(Start::at(default));
        let begin = match request.way {
            Way::Forward => self.start_forward(topics, &start).await?,
            Way::Backward => self.start_backward(topics, &start).await?,
        };
        let mut wanted = request.wanted;
        wanted.payloads = self.payloads();
        wanted.not_before = wanted.not_before.max(begin.not_before);
        let events = match request.correlation {
            None => Events::Topics(Box::new(Merge::new(
                Arc::clone(self.store()),
                request.way,
                &begin,
                wanted.clone(),
            ))),
            Some(correlation) => {
                Events::Flow(self.flow(correlation, &begin, is_of_all, request.way))
            }
        };
        Ok(Reading {
            broker: self.clone(),
            events,
            way: request.way,
            wanted,
            negotiation,
            failure: None,
            left: request.events_max.unwrap_or(u64::MAX),
            upto: begin.horizon,
            horizon: begin.horizon,
            at: begin.position,
            batch_bytes: FIRST_BATCH_BYTES,
            done: false,
        })
    }

    fn flow(&self, correlation: String, begin: &Begin, is_of_all: bool, way: Way) -> Flow {
        let at = match way {
            Way::Forward => begin.position,
            Way::Backward => begin.position.min(begin.horizon.next()),
        };
        let topics = (!is_of_all).then(|| begin.topics.iter().map(|topic| topic.id).collect());
        Flow { correlation, topics, at, buffer: VecDeque::new(), done: false }
    }

    /// One event by its offset.
    ///
    /// # Errors
    /// Where it is not there.
    pub async fn event_at(
        &self,
        topic: &TopicName,
        offset: Offset,
    ) -> Result<Delivered, EventError> {
        let topic = self.topic(topic)?;
        // The bounds of a start at an offset are those of a read of it.
        self.start_forward(vec![Arc::clone(&topic)], &Start::at(Place::Offset(offset))).await?;
        let extent = topic.extent();
        if offset >= extent.next {
            let (earliest, latest) = (
                Cursor { position: Position(0), horizon: self.store().watermark() },
                self.latest(),
            );
            let detail = format!(
                "offset {offset} of topic {:?}, whose next offset is {}",
                topic.name.as_str(),
                extent.next
            );
            return Err(StartError::PositionInFuture { detail, earliest, latest }.into());
        }
        let (store, name) = (Arc::clone(self.store()), Arc::clone(&topic.name));
        let recorded = blocking(move || store.event(&topic, offset)).await?;
        Ok(Delivered::as_written(name, recorded))
    }

    /// One event by what its producer named it.
    ///
    /// # Errors
    /// Where it is not there.
    pub async fn event_of(
        &self,
        topic: &TopicName,
        source: &str,
        id: &str,
    ) -> Result<Delivered, EventError> {
        let topic = self.topic(topic)?;
        let identity = IdentityHash::of(source, id);
        let (store, reading) = (Arc::clone(self.store()), Arc::clone(&topic));
        let found: Option<Recorded> = blocking(move || {
            let Some(offset) = store.offset_of(&reading, identity)? else { return Ok(None) };
            store.event(&reading, offset).map(Some)
        })
        .await?;
        let name = Arc::clone(&topic.name);
        found.map(|recorded| Delivered::as_written(name, recorded)).ok_or_else(|| {
            EventError::NotFound {
                topic: topic.name.to_string(),
                event: format!("{id:?} of source {source:?}"),
            }
        })
    }

    /// Behind everything.
    pub fn latest(&self) -> Cursor {
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

impl Reading {
    /// What comes next. None: nothing.
    ///
    /// # Errors
    /// Why it ends.
    pub async fn next(&mut self) -> Option<Result<ReadBatch, StreamError>> {
        if let Some(failure) = self.failure.take() {
            self.done = true;
            return Some(Err(failure));
        }
        if self.done {
            return None;
        }
        let batch = self.batch().await;
        let is_over = batch.as_ref().map_or(true, |batch| batch.is_last);
        self.done = is_over && self.failure.is_none();
        Some(batch)
    }

    async fn batch(&mut self) -> Result<ReadBatch, StreamError> {
        loop {
            if self.broker.is_draining() {
                return Err(Draining.into());
            }
            let bounds = Bounds {
                events: BATCH.events.min(usize::try_from(self.left).unwrap_or(usize::MAX)),
                bytes: self.batch_bytes,
            };
            self.batch_bytes = (self.batch_bytes * 2).min(BATCH.bytes);
            if self.left == 0 {
                return Ok(self.last(Given::default()));
            }
            let (mut events, is_end) = self.step(bounds).await?;
            // Time never goes back over positions, so the first event past the bound ends the read.
            let past = self.wanted.until.and_then(|until| {
                events.iter().position(|event| match self.way {
                    Way::Forward => event.recorded.append_time >= until,
                    Way::Backward => event.recorded.append_time < until,
                })
            });
            if let Some(past) = past {
                events.truncate(past);
                let given = self.give(events);
                return Ok(self.last(given));
            }
            let given = self.give(events);
            self.left -= (given.events.len() as u64).min(self.left);
            if self.failure.is_some() {
                return Ok(self.behind(given, false));
            }
            if is_end || self.left == 0 {
                if is_end && self.left > 0 && self.way == Way::Forward {
                    self.at = self.upto;
                    return Ok(self.behind(Given { at: Some(self.upto), ..given }, true));
                }
                return Ok(self.last(given));
            }
            if given.at.is_some() {
                return Ok(self.behind(given, false));
            }
            tokio::task::yield_now().await;
        }
    }

    /// Events as their reader understands them.
    fn give(&mut self, events: Vec<Delivered>) -> Given {
        let mut given =
            Given { at: events.last().map(|it| it.recorded.position), ..Given::default() };
        let Some(negotiation) = &mut self.negotiation else { return Given { events, ..given } };
        for piece in negotiation.deliver(events) {
            match piece {
                Piece::Events(events) => given.events.extend(events),
                Piece::Skipped(skipped) => given.skipped.push(skipped),
                // A read has no word for it: each event says what it is in.
                Piece::Changed(_) => {}
                Piece::RegistryUnavailable(away) => {
                    given.at = given.reached();
                    self.failure = Some(away.into());
                }
                Piece::Failed(mismatch) => {
                    given.at = given.reached();
                    let resume = Cursor { position: mismatch.position, horizon: self.horizon };
                    self.failure =
                        Some(StreamError::Mismatch { mismatch: Box::new(mismatch), resume });
                }
            }
        }
        given
    }

    fn behind(&mut self, given: Given, is_last: bool) -> ReadBatch {
        self.at = given.at.unwrap_or(self.at);
        let cursor = Cursor { position: self.at, horizon: self.horizon };
        let Given { events, skipped, .. } = given;
        ReadBatch { events, skipped, cursor, is_last }
    }

    fn last(&mut self, given: Given) -> ReadBatch {
        self.behind(given, true)
    }

    async fn step(&mut self, bounds: Bounds) -> Result<(Vec<Delivered>, bool), StreamError> {
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
                if self.way == Way::Forward {
                    // A finite read has no word for a gap: what was trimmed while it ran is not retained, and left out.
                    merge.overtaken();
                }
                let step = merge.step(self.upto, bounds).await.map_err(damaged)?;
                let is_end = match self.way {
                    Way::Forward => merge.position() >= self.upto,
                    Way::Backward => merge.is_exhausted(),
                };
                Ok((step.events, is_end))
            }
            Events::Flow(flow) => flow
                .step(&self.broker, self.way, self.upto, &self.wanted, bounds)
                .await
                .map_err(|error| damaged(Damage { error, resume: None })),
        }
    }
}

impl Flow {
    async fn step(
        &mut self,
        broker: &Broker,
        way: Way,
        upto: Position,
        wanted: &Wanted,
        bounds: Bounds,
    ) -> Result<(Vec<Delivered>, bool), ReadError> {
        if self.buffer.is_empty() && !self.done {
            let (store, correlation, at) =
                (Arc::clone(broker.store()), self.correlation.clone(), self.at);
            let (topics, wanted) = (self.topics.clone(), wanted.clone());
            let most = bounds.events;
            let (found, at, done) = blocking(move || {
                let places = store.correlated(&correlation, at, way, most)?;
                let mut done = places.len() < most;
                let mut events = Vec::with_capacity(places.len());
                let all = store.catalog().all();
                let by_id: HashMap<TopicId, &Arc<Topic>> =
                    all.values().map(|topic| (topic.id, topic)).collect();
                let mut at = at;
                for (position, topic, offset) in places {
                    if way == Way::Forward && position > upto {
                        done = true;
                        break;
                    }
                    at = position;
                    let is_read = topics.as_ref().is_none_or(|topics| topics.contains(&topic));
                    if let Some(topic) = by_id.get(&topic).filter(|_| is_read) {
                        events.extend(event(&store, topic, offset, &wanted)?);
                    }
                }
                Ok((events, at, done))
            })
            .await?;
            (self.at, self.done) = (at, done);
            self.buffer.extend(found);
        }
        let mut left = bounds.bytes;
        let mut events = Vec::new();
        while let Some(next) = self.buffer.front() {
            let size = next.recorded.event.len();
            if !events.is_empty() && (size > left || events.len() >= bounds.events) {
                break;
            }
            left = left.saturating_sub(size);
            events.extend(self.buffer.pop_front());
        }
        Ok((events, self.done && self.buffer.is_empty()))
    }
}

/// An event of a flow, where it is retained and wanted.
fn event(
    store: &Store,
    topic: &Topic,
    offset: Offset,
    wanted: &Wanted,
) -> Result<Option<Delivered>, ReadError> {
    if topic.extent().first > offset {
        return Ok(None);
    }
    let recorded = store.event(topic, offset)?;
    let name = Arc::clone(&topic.name);
    Ok(wanted.takes(&recorded).0.then(|| Delivered::as_written(name, recorded)))
}

/// Checks what only some reads may ask for.
///
/// # Errors
/// What is wrong.
pub fn check(topics: &[TopicPattern], correlation: Option<&str>) -> Result<(), Faults> {
    if topics.is_empty() && correlation.is_none() {
        return Err(Faults::one(
            FaultKind::Request,
            "topics",
            "is required: at least one topic or pattern, unless correlationid is given",
        ));
    }
    Ok(())
}
