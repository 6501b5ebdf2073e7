//! One topic of a stream: what was read of it and not delivered yet.

use std::{collections::VecDeque, sync::Arc};

use super::{
    error::Damage,
    wanted::{Sieved, Wanted},
};
use crate::{
    model::{
        event::Recorded,
        numbers::{Offset, Position},
    },
    store::{
        ReadError, Store,
        read::Way,
        tail::{Bounds, TailRead},
        topics::Topic,
    },
};

/// A position in the order in which a stream delivers: its own forwards, its mirror image backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(pub u64);

impl Rank {
    /// Behind everything.
    pub const END: Self = Self(u64::MAX);

    pub fn of(way: Way, position: Position) -> Self {
        match way {
            Way::Forward => Self(position.0),
            Way::Backward => Self(u64::MAX - position.0),
        }
    }

    pub fn position(self, way: Way) -> Position {
        match way {
            Way::Forward => Position(self.0),
            Way::Backward => Position(u64::MAX - self.0),
        }
    }
}

/// One topic of a stream.
#[derive(Debug)]
pub(super) struct Source {
    pub topic: Arc<Topic>,
    /// Forwards the next offset to read, backwards the one before which to read.
    pub next: Offset,
    pub buffer: VecDeque<Recorded>,
    /// Everything up to here is in the buffer, was delivered or is not wanted.
    pub known: Rank,
    /// What could not be read.
    pub damage: Option<Damage>,
    /// Events that the last read brought.
    pub chunk: usize,
    /// The last read was one of the disk.
    pub is_from_disk: bool,
}

/// What is done on a thread that may wait and work: a read of the disk, or a look at events with expressions.
pub(super) struct Job {
    pub source: usize,
    topic: Arc<Topic>,
    from: Offset,
    way: Way,
    bounds: Bounds,
    /// What the tail had: only to be looked at, which takes work.
    held: Option<Vec<Recorded>>,
}

/// What a read brought.
#[derive(Default)]
pub(super) struct Part {
    /// It had to be read from the disk.
    pub is_from_disk: bool,
    events: Vec<Recorded>,
    read: usize,
    next: Option<Offset>,
    known: Option<Rank>,
    damage: Option<Damage>,
}

impl Source {
    pub fn new(topic: Arc<Topic>, next: Offset, known: Rank) -> Self {
        Self {
            topic,
            next,
            buffer: VecDeque::new(),
            known,
            damage: None,
            chunk: 0,
            is_from_disk: false,
        }
    }

    /// Reads on: from the tail at once, or by a job.
    pub fn read(
        &mut self,
        index: usize,
        store: &Store,
        way: Way,
        upto: Position,
        wanted: &Wanted,
        bounds: Bounds,
    ) -> Option<Job> {
        let topic = Arc::clone(&self.topic);
        let job = Job { source: index, topic, from: self.next, way, bounds, held: None };
        if way == Way::Backward {
            return Some(job);
        }
        match store.read_tail(&self.topic, self.next, upto, bounds) {
            TailRead::Below => Some(job),
            TailRead::Events(events) if wanted.takes_work() && !events.is_empty() => {
                Some(Job { held: Some(events), ..job })
            }
            TailRead::Events(events) => {
                self.is_from_disk = false;
                match events.last() {
                    None => self.known = self.known.max(Rank::of(way, upto)),
                    Some(last) => {
                        self.known = Rank::of(way, last.position);
                        self.next = last.offset.next();
                        self.chunk = events.len();
                    }
                }
                self.buffer.extend(events.into_iter().filter(|event| wanted.takes(event).0));
                None
            }
        }
    }

    /// Takes what a job brought, unless a trim has moved the source on since.
    pub fn take(&mut self, job: &Job, part: Part) {
        if job.from != self.next {
            return;
        }
        self.is_from_disk = part.is_from_disk;
        self.buffer.extend(part.events);
        self.chunk = part.read;
        self.next = part.next.unwrap_or(self.next);
        self.known = part.known.unwrap_or(self.known);
        self.damage = part.damage;
    }

    /// Events that are recorded and not delivered.
    pub fn behind(&self) -> u64 {
        self.topic.extent().next.0.saturating_sub(self.next.0) + self.buffer.len() as u64
    }
}

impl Job {
    /// Reads, and looks at what was read. Blocking.
    pub fn run(&mut self, store: &Store, wanted: &Wanted) -> Part {
        match self.held.take() {
            Some(events) => self.part(events, wanted, self.from),
            None => Part { is_from_disk: true, ..self.read(store, wanted) },
        }
    }

    fn read(&self, store: &Store, wanted: &Wanted) -> Part {
        let extent = self.topic.extent();
        if self.way == Way::Backward && self.from <= extent.first {
            return Part { known: Some(Rank::END), ..Part::default() };
        }
        let read = match &wanted.key {
            Some(key) => self.read_key(store, key),
            None => store.read_log(&self.topic, self.from, self.way, self.bounds),
        };
        // A trim overtook the read: the stream looks again, and tells the gap first.
        if self.way == Way::Forward && self.topic.extent().first > self.from {
            return Part::default();
        }
        match read {
            Ok(events) => self.part(events, wanted, extent.next),
            Err(error) => self.damaged(store, error),
        }
    }

    fn read_key(&self, store: &Store, key: &str) -> Result<Vec<Recorded>, ReadError> {
        let offsets = store.key_offsets(
            &self.topic,
            key.as_bytes(),
            self.from,
            self.way,
            self.bounds.events,
        )?;
        let mut left = self.bounds.bytes;
        let mut events = Vec::with_capacity(offsets.len());
        for offset in offsets {
            match store.event(&self.topic, offset) {
                Ok(event) => {
                    left = left.saturating_sub(event.event.len());
                    events.push(event);
                }
                Err(error) if events.is_empty() => return Err(error),
                Err(_) => break,
            }
            if left == 0 {
                break;
            }
        }
        Ok(events)
    }

    fn part(&self, events: Vec<Recorded>, wanted: &Wanted, end: Offset) -> Part {
        let Sieved { events, read, last } = wanted.sieve(events);
        let (next, known) = match (last, self.way) {
            (Some((offset, position)), Way::Forward) => {
                (Some(offset.next()), Some(Rank::of(self.way, position)))
            }
            (Some((offset, position)), Way::Backward) => {
                (Some(offset), Some(Rank::of(self.way, position)))
            }
            // The key has no more events up to the end as it was before the read.
            (None, Way::Forward) => (Some(end.max(self.from)), None),
            (None, Way::Backward) => (None, Some(Rank::END)),
        };
        Part { events, read, next, known, ..Part::default() }
    }

    fn damaged(&self, store: &Store, error: ReadError) -> Part {
        let resume = match (&error, self.way) {
            (ReadError::Corrupt { offset, .. }, Way::Forward) => {
                store.behind_damage(&self.topic, *offset)
            }
            _ => None,
        };
        // What other topics have before the damage ends is delivered before the stream ends.
        let known = resume.map(|resume| Rank::of(self.way, resume));
        Part { known, damage: Some(Damage { error, resume }), ..Part::default() }
    }
}
