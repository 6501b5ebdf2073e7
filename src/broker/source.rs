//! One topic of a stream: the events that were read and are not delivered yet.

use std::{collections::VecDeque, sync::Arc};

use super::{
    error::Damage,
    filter::{EventFilter, Filtered},
};
use crate::{
    model::{
        event::Recorded,
        numbers::{Offset, Position},
    },
    store::{
        ReadError, Store,
        read::Direction,
        tail::{ReadLimit, TailRead},
        topics::Topic,
    },
};

/// A key that orders events as a stream delivers them: the position forwards, its complement
/// backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MergeKey(pub u64);

impl MergeKey {
    /// After every position.
    pub const END: Self = Self(u64::MAX);

    pub fn of(direction: Direction, position: Position) -> Self {
        match direction {
            Direction::Forward => Self(position.0),
            Direction::Backward => Self(u64::MAX - position.0),
        }
    }

    pub fn position(self, direction: Direction) -> Position {
        match direction {
            Direction::Forward => Position(self.0),
            Direction::Backward => Position(u64::MAX - self.0),
        }
    }
}

/// One topic of a stream.
#[derive(Debug)]
pub(super) struct Source {
    pub topic: Arc<Topic>,
    /// Forwards the next offset to read, backwards the offset after the next one to read.
    pub next: Offset,
    pub buffer: VecDeque<Recorded>,
    /// Every event up to this key is in the buffer, was delivered or does not match.
    pub known: MergeKey,
    /// The event that could not be read.
    pub damage: Option<Damage>,
    /// Events of the last read.
    pub chunk_events: usize,
    /// Whether the last read was from the disk.
    pub is_from_disk: bool,
}

/// Work for a thread that may block: a read of the disk, or an evaluation of expressions.
pub(super) struct ReadJob {
    pub source: usize,
    topic: Arc<Topic>,
    from: Offset,
    direction: Direction,
    limit: ReadLimit,
    /// Events from the tail cache, to evaluate only.
    tail_events: Option<Vec<Recorded>>,
}

/// The outcome of a read.
#[derive(Default)]
pub(super) struct ReadOutcome {
    /// Whether the disk was read.
    pub is_from_disk: bool,
    events: Vec<Recorded>,
    read: usize,
    next: Option<Offset>,
    known: Option<MergeKey>,
    damage: Option<Damage>,
}

impl Source {
    pub fn new(topic: Arc<Topic>, next: Offset, known: MergeKey) -> Self {
        Self {
            topic,
            next,
            buffer: VecDeque::new(),
            known,
            damage: None,
            chunk_events: 0,
            is_from_disk: false,
        }
    }

    /// Reads from the tail cache, or returns a job that must run on another thread.
    pub fn read(
        &mut self,
        index: usize,
        store: &Store,
        direction: Direction,
        until: Position,
        filter: &EventFilter,
        limit: ReadLimit,
    ) -> Option<ReadJob> {
        let topic = Arc::clone(&self.topic);
        let job =
            ReadJob { source: index, topic, from: self.next, direction, limit, tail_events: None };
        if direction == Direction::Backward {
            return Some(job);
        }
        match store.read_tail(&self.topic, self.next, until, limit) {
            TailRead::Miss => Some(job),
            TailRead::Events(events) if filter.is_expensive() && !events.is_empty() => {
                Some(ReadJob { tail_events: Some(events), ..job })
            }
            TailRead::Events(events) => {
                self.is_from_disk = false;
                match events.last() {
                    None => self.known = self.known.max(MergeKey::of(direction, until)),
                    Some(last) => {
                        self.known = MergeKey::of(direction, last.position);
                        self.next = last.offset.next();
                        self.chunk_events = events.len();
                    }
                }
                self.buffer.extend(events.into_iter().filter(|event| filter.evaluate(event).0));
                None
            }
        }
    }

    /// Applies the outcome of a job, unless a trim has moved the source since.
    pub fn apply(&mut self, job: &ReadJob, outcome: ReadOutcome) {
        if job.from != self.next {
            return;
        }
        self.is_from_disk = outcome.is_from_disk;
        self.buffer.extend(outcome.events);
        self.chunk_events = outcome.read;
        self.next = outcome.next.unwrap_or(self.next);
        self.known = outcome.known.unwrap_or(self.known);
        self.damage = outcome.damage;
    }

    /// Events that are recorded and not delivered.
    pub fn lag(&self) -> u64 {
        self.topic.range().next.0.saturating_sub(self.next.0) + self.buffer.len() as u64
    }
}

impl ReadJob {
    /// Reads events and filters them. Blocking.
    pub fn run(&mut self, store: &Store, filter: &EventFilter) -> ReadOutcome {
        match self.tail_events.take() {
            Some(events) => self.outcome(events, filter, self.from),
            None => ReadOutcome { is_from_disk: true, ..self.read(store, filter) },
        }
    }

    fn read(&self, store: &Store, filter: &EventFilter) -> ReadOutcome {
        let range = self.topic.range();
        if self.direction == Direction::Backward && self.from <= range.first {
            return ReadOutcome { known: Some(MergeKey::END), ..ReadOutcome::default() };
        }
        let read = match &filter.key {
            Some(key) => self.read_key(store, key),
            None => store.read_log(&self.topic, self.from, self.direction, self.limit),
        };
        // A trim overtook the read: the stream reports the gap before it reads again.
        if self.direction == Direction::Forward && self.topic.range().first > self.from {
            return ReadOutcome::default();
        }
        match read {
            Ok(events) => self.outcome(events, filter, range.next),
            Err(error) => self.damaged(store, error),
        }
    }

    fn read_key(&self, store: &Store, key: &str) -> Result<Vec<Recorded>, ReadError> {
        let offsets = store.key_offsets(
            &self.topic,
            key.as_bytes(),
            self.from,
            self.direction,
            self.limit.events,
        )?;
        let mut bytes_left = self.limit.bytes;
        let mut events = Vec::with_capacity(offsets.len());
        for offset in offsets {
            match store.event(&self.topic, offset) {
                Ok(event) => {
                    bytes_left = bytes_left.saturating_sub(event.event.len());
                    events.push(event);
                }
                Err(error) if events.is_empty() => return Err(error),
                Err(_) => break,
            }
            if bytes_left == 0 {
                break;
            }
        }
        Ok(events)
    }

    fn outcome(&self, events: Vec<Recorded>, filter: &EventFilter, end: Offset) -> ReadOutcome {
        let Filtered { events, read, last } = filter.filter(events);
        let (next, known) = match (last, self.direction) {
            (Some((offset, position)), Direction::Forward) => {
                (Some(offset.next()), Some(MergeKey::of(self.direction, position)))
            }
            (Some((offset, position)), Direction::Backward) => {
                (Some(offset), Some(MergeKey::of(self.direction, position)))
            }
            // The key has no more events up to the end of the topic before the read.
            (None, Direction::Forward) => (Some(end.max(self.from)), None),
            (None, Direction::Backward) => (None, Some(MergeKey::END)),
        };
        ReadOutcome { events, read, next, known, ..ReadOutcome::default() }
    }

    fn damaged(&self, store: &Store, error: ReadError) -> ReadOutcome {
        let resume = match (&error, self.direction) {
            (ReadError::Corrupt { offset, .. }, Direction::Forward) => {
                store.position_after_damage(&self.topic, *offset)
            }
            _ => None,
        };
        // Events of other topics before the end of the damage are delivered before the stream ends.
        let known = resume.map(|resume| MergeKey::of(self.direction, resume));
        ReadOutcome { known, damage: Some(Damage { error, resume }), ..ReadOutcome::default() }
    }
}
