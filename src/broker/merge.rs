//! Topics merged by position: what was appended first is delivered first, across topics too.
//!
//! An event may go out as soon as every other topic is known up to its position. So each step reads on where nothing
//! is buffered, takes the least of what the topics are known up to, and delivers what stands before it.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use tokio::task::JoinHandle;

use super::{
    error::Damage,
    source::{Job, Part, Rank, Source},
    start::{Begin, Cause, Missing},
    wanted::Wanted,
};
use crate::{
    model::{
        event::{Delivered, Recorded},
        numbers::{Offset, Position},
    },
    store::{Store, read::Way, tail::Bounds, topics::Topic},
};

/// Bytes of a delivery beside the event, its key and its topic's name: offsets, times and a cursor.
const DELIVERY_BYTES: usize = 120;

/// Bytes that a read of one topic takes at least, however many are merged.
const CHUNK_BYTES_MIN: usize = 16 << 10;

/// Chunks from this size on are read ahead: who takes less has just begun, or has stalled.
const AHEAD_BYTES_MIN: usize = 32 << 10;

/// The topics of a stream.
pub(super) struct Merge {
    store: Arc<Store>,
    way: Way,
    sources: Vec<Source>,
    wanted: Arc<Wanted>,
    at: Rank,
    /// A read of the disk, or a look at events with expressions, that is under way.
    reading: Option<JoinHandle<Vec<(Job, Part)>>>,
}

/// What one step brought.
pub(super) struct Step {
    pub events: Vec<Delivered>,
    /// Something had to be read from the disk.
    pub from_disk: bool,
}

impl Merge {
    pub fn new(store: Arc<Store>, way: Way, begin: &Begin, mut wanted: Wanted) -> Self {
        wanted.not_before = wanted.not_before.max(begin.not_before);
        let at = match way {
            Way::Forward => Rank::of(way, begin.position),
            // Everything from the position on counts as seen.
            Way::Backward => Rank::of(way, begin.position),
        };
        let sources = begin
            .topics
            .iter()
            .zip(&begin.offsets)
            .map(|(topic, offset)| Source::new(Arc::clone(topic), *offset, at))
            .collect();
        Self { store, way, sources, wanted: Arc::new(wanted), at, reading: None }
    }

    /// Everything up to here was delivered or is not wanted.
    pub fn position(&self) -> Position {
        self.at.position(self.way)
    }

    /// Whether nothing comes any more, backwards.
    pub fn is_exhausted(&self) -> bool {
        self.at == Rank::END
    }

    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.sources.iter().map(|source| &source.topic)
    }

    /// Events that are recorded and not delivered; a filter may leave some of them out.
    pub fn behind(&self) -> u64 {
        self.sources.iter().map(Source::behind).sum()
    }

    /// Adds a topic that came while the stream was open, from its first event on.
    pub fn join(&mut self, topic: Arc<Topic>) {
        self.sources.push(Source::new(topic, Offset(0), self.at));
    }

    /// Leaves out topics that are gone.
    pub fn leave(&mut self, gone: impl Fn(&Topic) -> bool) {
        // A read under way knows sources by their place.
        self.reading = None;
        self.sources.retain(|source| !gone(&source.topic));
    }

    /// What trims have taken from under the stream since it was asked last. The stream goes on behind them.
    pub fn overtaken(&mut self) -> Vec<Missing> {
        let mut missing = Vec::new();
        for source in &mut self.sources {
            let first = source.topic.extent().first;
            if source.next < first {
                missing.push(Missing {
                    topic: Some(Arc::clone(&source.topic)),
                    from: source.next,
                    until: first,
                    cause: Cause::Trim,
                });
                source.next = first;
            }
        }
        missing
    }

    /// Whether a trim has overtaken the stream, and the last such trim.
    pub fn overtaking_trim(&self) -> Option<Position> {
        self.sources
            .iter()
            .filter(|source| source.next < source.topic.extent().first)
            .map(|source| source.topic.last_trim())
            .max()
    }

    /// Delivers what comes next, up to a position, within bounds. Nothing: there is nothing up to [`Self::position`],
    /// which may have moved.
    pub async fn step(&mut self, upto: Position, bounds: Bounds) -> Result<Step, Damage> {
        let end = match self.way {
            Way::Forward => Rank::of(self.way, upto),
            Way::Backward => Rank::END,
        };
        let from_disk = self.read_on(upto, end, bounds).await;
        let bound = self.sources.iter().map(|source| source.known).min().unwrap_or(end).min(end);
        let (events, is_cut) = self.take(bound, bounds);
        self.at = match events.last() {
            Some(last) if is_cut => Rank::of(self.way, last.recorded.position),
            _ => self.at.max(bound),
        };
        if events.is_empty() {
            let at = self.at;
            let damaged =
                self.sources.iter_mut().find(|one| one.damage.is_some() && one.known <= at);
            if let Some(damage) = damaged.and_then(|source| source.damage.take()) {
                return Err(damage);
            }
        }
        // The next chunk is read while this one is on its way, for a reader that drains.
        let is_from_disk = self.sources.iter().any(|source| source.is_from_disk);
        if is_from_disk && self.reading.is_none() && bounds.bytes >= AHEAD_BYTES_MIN {
            self.start_reading(upto, end, bounds);
        }
        Ok(Step { events, from_disk })
    }

    /// Reads on where little is buffered; waits only where nothing is. Whether the disk was waited for.
    async fn read_on(&mut self, upto: Position, end: Rank, bounds: Bounds) -> bool {
        if self.reading.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish_reading().await;
        }
        let wants = |source: &Source| source.known < end && source.damage.is_none();
        let is_starved = |merge: &Self| {
            merge.sources.iter().any(|source| source.buffer.is_empty() && wants(source))
        };
        if !is_starved(self) {
            return false;
        }
        if self.reading.is_none() {
            self.start_reading(upto, end, bounds);
        }
        if self.reading.is_none() || !is_starved(self) {
            return false;
        }
        self.finish_reading().await
    }

    /// Reads what is low: from the tail at once, from the disk, and where
    /// there is work to do, on another thread. One wait serves many topics.
    fn start_reading(&mut self, upto: Position, end: Rank, bounds: Bounds) {
        let share = match self.sources.len() {
            1 => bounds.bytes,
            count => (bounds.bytes / count.max(1)).max(CHUNK_BYTES_MIN),
        };
        let bounds = Bounds { events: bounds.events, bytes: share };
        let mut jobs = Vec::new();
        for (index, source) in self.sources.iter_mut().enumerate() {
            let wants = source.known < end && source.damage.is_none();
            let is_low = source.buffer.is_empty() || source.buffer.len() * 2 < source.chunk;
            let is_overtaken =
                self.way == Way::Forward && source.next < source.topic.extent().first;
            if wants && is_low && !is_overtaken {
                jobs.extend(source.read(index, &self.store, self.way, upto, &self.wanted, bounds));
            }
        }
        if jobs.is_empty() {
            return;
        }
        let (store, wanted) = (Arc::clone(&self.store), Arc::clone(&self.wanted));
        self.reading = Some(tokio::task::spawn_blocking(move || {
            jobs.into_iter()
                .map(|mut job| {
                    let part = job.run(&store, &wanted);
                    (job, part)
                })
                .collect()
        }));
    }

    /// Takes what the read under way brings. Whether it was one of the disk.
    async fn finish_reading(&mut self) -> bool {
        let Some(reading) = &mut self.reading else { return false };
        let parts = reading.await;
        self.reading = None;
        match parts {
            Ok(parts) => {
                let is_from_disk = parts.iter().any(|(_, part)| part.is_from_disk);
                for (job, part) in parts {
                    if let Some(source) = self.sources.get_mut(job.source) {
                        source.take(&job, part);
                    }
                }
                is_from_disk
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Takes what stands up to a bound, merged; whether the bounds of a delivery cut it short.
    fn take(&mut self, bound: Rank, bounds: Bounds) -> (Vec<Delivered>, bool) {
        let way = self.way;
        let mut events = Vec::new();
        let mut left = bounds.bytes;
        let mut fits = |event: &Recorded, topic: &Topic, taken: usize| {
            let size = event.event.len()
                + event.key.map_or(0, |(_, length)| usize::from(length))
                + topic.name.as_str().len()
                + DELIVERY_BYTES;
            let fits = taken == 0 || (taken < bounds.events && size <= left);
            left = left.saturating_sub(size);
            fits
        };
        if let [source] = self.sources.as_mut_slice() {
            while let Some(event) = source.buffer.front() {
                if Rank::of(way, event.position) > bound {
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
        let rank = |source: &Source| {
            source
                .buffer
                .front()
                .map(|event| Rank::of(way, event.position))
                .filter(|rank| *rank <= bound)
        };
        let mut heads: BinaryHeap<Reverse<(Rank, usize)>> = self
            .sources
            .iter()
            .enumerate()
            .filter_map(|(index, source)| Some(Reverse((rank(source)?, index))))
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
            if let Some(rank) = rank(source) {
                heads.push(Reverse((rank, index)));
            }
        }
        (events, false)
    }
}
