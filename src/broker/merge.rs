//! Merges topics by position: events are delivered in the order in which they were appended, across
//! topics too.
//!
//! An event can be delivered as soon as all other topics are known up to its position. So each
//! batch first reads the topics with an empty buffer, then takes the lowest position up to which
//! all topics are known, and delivers the events up to it.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use tokio::task::JoinHandle;

use super::{
    error::{Damage, LossCause},
    filter::EventFilter,
    source::{MergeKey, ReadJob, ReadOutcome, Source},
    start::{MissingRange, ResolvedStart},
};
use crate::{
    model::{
        event::{Delivered, Recorded},
        numbers::{Offset, Position},
    },
    store::{Store, read::Direction, tail::ReadLimit, topics::Topic},
};

/// Bytes of a delivered event in addition to the event, its key and the name of its topic: offsets,
/// times and a cursor.
const DELIVERY_BYTES: usize = 120;

/// Least bytes of a read of one topic, however many topics are merged.
const CHUNK_BYTES_MIN: usize = 16 << 10;

/// Least size of a chunk that is read ahead. A reader with smaller chunks has just started, or has
/// stalled.
const READ_AHEAD_BYTES_MIN: usize = 32 << 10;

/// The merged topics of a stream.
pub(super) struct Merge {
    store: Arc<Store>,
    direction: Direction,
    sources: Vec<Source>,
    filter: Arc<EventFilter>,
    at: MergeKey,
    /// A running read of the disk, or a running evaluation of expressions.
    reading: Option<JoinHandle<Vec<(ReadJob, ReadOutcome)>>>,
}

/// The next events of a merge.
pub(super) struct MergedBatch {
    pub events: Vec<Delivered>,
    /// Whether the disk was read for it.
    pub from_disk: bool,
}

impl Merge {
    pub fn new(
        store: Arc<Store>,
        direction: Direction,
        start: &ResolvedStart,
        mut filter: EventFilter,
    ) -> Self {
        filter.not_before = filter.not_before.max(start.not_before);
        let at = match direction {
            Direction::Forward => MergeKey::of(direction, start.position),
            // Everything from the position on counts as delivered.
            Direction::Backward => MergeKey::of(direction, start.position),
        };
        let sources = start
            .topics
            .iter()
            .zip(&start.offsets)
            .map(|(topic, offset)| Source::new(Arc::clone(topic), *offset, at))
            .collect();
        Self { store, direction, sources, filter: Arc::new(filter), at, reading: None }
    }

    /// Everything up to this position was delivered or filtered out.
    pub fn position(&self) -> Position {
        self.at.position(self.direction)
    }

    /// Whether a backward merge has delivered everything.
    pub fn is_exhausted(&self) -> bool {
        self.at == MergeKey::END
    }

    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.sources.iter().map(|source| &source.topic)
    }

    /// Events that are recorded and not delivered, including events that the filter excludes.
    pub fn lag(&self) -> u64 {
        self.sources.iter().map(Source::lag).sum()
    }

    /// Adds a topic that was created after the stream was opened, from its first event on.
    pub fn join(&mut self, topic: Arc<Topic>) {
        self.sources.push(Source::new(topic, Offset(0), self.at));
    }

    /// Removes the topics that were deleted.
    pub fn leave(&mut self, is_removed: impl Fn(&Topic) -> bool) {
        // A running read refers to sources by index.
        self.reading = None;
        self.sources.retain(|source| !is_removed(&source.topic));
    }

    /// The ranges that were trimmed before the stream read them, since the last call. The stream
    /// continues after them.
    pub fn take_trimmed_ranges(&mut self) -> Vec<MissingRange> {
        let mut missing = Vec::new();
        for source in &mut self.sources {
            let first = source.topic.range().first;
            if source.next < first {
                missing.push(MissingRange {
                    topic: Some(Arc::clone(&source.topic)),
                    from: source.next,
                    until: first,
                    cause: LossCause::Trim,
                });
                source.next = first;
            }
        }
        missing
    }

    /// The last trim that overtook the stream. None: no trim has.
    pub fn last_overtaking_trim(&self) -> Option<Position> {
        self.sources
            .iter()
            .filter(|source| source.next < source.topic.range().first)
            .map(|source| source.topic.last_trim())
            .max()
    }

    /// The next events up to a position, within a limit. Empty: there are none up to
    /// [`Self::position`], which may have advanced.
    pub async fn next_batch(
        &mut self,
        until: Position,
        limit: ReadLimit,
    ) -> Result<MergedBatch, Damage> {
        let end = match self.direction {
            Direction::Forward => MergeKey::of(self.direction, until),
            Direction::Backward => MergeKey::END,
        };
        let from_disk = self.read_on(until, end, limit).await;
        let bound = self.sources.iter().map(|source| source.known).min().unwrap_or(end).min(end);
        let (events, is_cut) = self.take_merged(bound, limit);
        self.at = match events.last() {
            Some(last) if is_cut => MergeKey::of(self.direction, last.recorded.position),
            _ => self.at.max(bound),
        };
        if events.is_empty() {
            let at = self.at;
            let damaged = self
                .sources
                .iter_mut()
                .find(|source| source.damage.is_some() && source.known <= at);
            if let Some(damage) = damaged.and_then(|source| source.damage.take()) {
                return Err(damage);
            }
        }
        // For a reader that keeps up, the next chunk is read while this one is sent.
        let is_from_disk = self.sources.iter().any(|source| source.is_from_disk);
        if is_from_disk && self.reading.is_none() && limit.bytes >= READ_AHEAD_BYTES_MIN {
            self.start_reading(until, end, limit);
        }
        Ok(MergedBatch { events, from_disk })
    }

    /// Reads the topics with few buffered events. Waits only if a buffer is empty. Returns whether
    /// it waited for the disk.
    async fn read_on(&mut self, until: Position, end: MergeKey, limit: ReadLimit) -> bool {
        if self.reading.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish_reading().await;
        }
        let needs_read = |source: &Source| source.known < end && source.damage.is_none();
        let is_starved = |merge: &Self| {
            merge.sources.iter().any(|source| source.buffer.is_empty() && needs_read(source))
        };
        if !is_starved(self) {
            return false;
        }
        if self.reading.is_none() {
            self.start_reading(until, end, limit);
        }
        if self.reading.is_none() || !is_starved(self) {
            return false;
        }
        self.finish_reading().await
    }

    /// Starts reading the topics with few buffered events: directly from the tail cache, and on
    /// another thread from the disk or with expensive filters. One wait serves many topics.
    fn start_reading(&mut self, until: Position, end: MergeKey, limit: ReadLimit) {
        let share = match self.sources.len() {
            1 => limit.bytes,
            count => (limit.bytes / count.max(1)).max(CHUNK_BYTES_MIN),
        };
        let limit = ReadLimit { events: limit.events, bytes: share };
        let mut jobs = Vec::new();
        for (index, source) in self.sources.iter_mut().enumerate() {
            let needs_read = source.known < end && source.damage.is_none();
            let is_low = source.buffer.is_empty() || source.buffer.len() * 2 < source.chunk_events;
            let is_overtaken =
                self.direction == Direction::Forward && source.next < source.topic.range().first;
            if needs_read && is_low && !is_overtaken {
                jobs.extend(source.read(
                    index,
                    &self.store,
                    self.direction,
                    until,
                    &self.filter,
                    limit,
                ));
            }
        }
        if jobs.is_empty() {
            return;
        }
        let (store, filter) = (Arc::clone(&self.store), Arc::clone(&self.filter));
        self.reading = Some(tokio::task::spawn_blocking(move || {
            jobs.into_iter()
                .map(|mut job| {
                    let outcome = job.run(&store, &filter);
                    (job, outcome)
                })
                .collect()
        }));
    }

    /// Applies the outcomes of the running read. Returns whether it read the disk.
    async fn finish_reading(&mut self) -> bool {
        let Some(reading) = &mut self.reading else { return false };
        let outcomes = reading.await;
        self.reading = None;
        match outcomes {
            Ok(outcomes) => {
                let is_from_disk = outcomes.iter().any(|(_, outcome)| outcome.is_from_disk);
                for (job, outcome) in outcomes {
                    if let Some(source) = self.sources.get_mut(job.source) {
                        source.apply(&job, outcome);
                    }
                }
                is_from_disk
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Merges the buffered events up to a key. Also returns whether the limit ended the batch.
    fn take_merged(&mut self, bound: MergeKey, limit: ReadLimit) -> (Vec<Delivered>, bool) {
        let direction = self.direction;
        let mut events = Vec::new();
        let mut bytes_left = limit.bytes;
        let mut fits = |event: &Recorded, topic: &Topic, count: usize| {
            let size = event.event.len()
                + event.key.map_or(0, |(_, length)| usize::from(length))
                + topic.name.as_str().len()
                + DELIVERY_BYTES;
            let fits = count == 0 || (count < limit.events && size <= bytes_left);
            bytes_left = bytes_left.saturating_sub(size);
            fits
        };
        if let [source] = self.sources.as_mut_slice() {
            while let Some(event) = source.buffer.front() {
                if MergeKey::of(direction, event.position) > bound {
                    break;
                }
                if !fits(event, &source.topic, events.len()) {
                    return (events, true);
                }
                let topic = Arc::clone(&source.topic.name);
                events.extend(
                    source
                        .buffer
                        .pop_front()
                        .map(|recorded| Delivered::as_written(topic, recorded)),
                );
            }
            return (events, false);
        }
        let merge_key = |source: &Source| {
            source
                .buffer
                .front()
                .map(|event| MergeKey::of(direction, event.position))
                .filter(|key| *key <= bound)
        };
        let mut heads: BinaryHeap<Reverse<(MergeKey, usize)>> = self
            .sources
            .iter()
            .enumerate()
            .filter_map(|(index, source)| Some(Reverse((merge_key(source)?, index))))
            .collect();
        while let Some(Reverse((_, index))) = heads.pop() {
            let Some(source) = self.sources.get_mut(index) else { continue };
            let Some(event) = source.buffer.front() else { continue };
            if !fits(event, &source.topic, events.len()) {
                return (events, true);
            }
            let topic = Arc::clone(&source.topic.name);
            events.extend(
                source.buffer.pop_front().map(|recorded| Delivered::as_written(topic, recorded)),
            );
            if let Some(key) = merge_key(source) {
                heads.push(Reverse((key, index)));
            }
        }
        (events, false)
    }
}
