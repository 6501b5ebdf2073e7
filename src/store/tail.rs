//! The last events of each topic, cached in memory within one budget of the server. Live event
//! streams read from it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::model::{
    event::Recorded,
    numbers::{Offset, Position},
};

/// Bytes of a cached event in addition to its own: its entry and its allocation.
const ENTRY_BYTES: usize = 160;

/// The limit of a read. A read returns at least one event if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// Most events.
    pub events: usize,
    /// Most bytes of their recorded form.
    pub bytes: usize,
}

/// The result of reading a tail cache.
#[derive(Debug)]
pub enum TailRead {
    /// The next events. Empty: there are none up to the position.
    Events(Vec<Recorded>),
    /// The next event is only on disk.
    Miss,
}

/// The cached events of a topic: without a gap up to the topic's next offset.
#[derive(Debug)]
pub struct TailCache {
    events: VecDeque<Recorded>,
    next: Offset,
}

impl TailCache {
    pub(super) fn new(next: Offset) -> Self {
        Self { events: VecDeque::new(), next }
    }

    fn push(&mut self, event: Recorded) {
        assert_eq!(event.offset, self.next, "a tail grows without a gap");
        self.next = event.offset.next();
        self.events.push_back(event);
    }

    /// Events from an offset on, up to a position.
    pub fn read(&self, from: Offset, until: Position, limit: ReadLimit) -> TailRead {
        if from >= self.next {
            return TailRead::Events(Vec::new());
        }
        let first = self.events.front().map_or(self.next, |event| event.offset);
        if from < first {
            return TailRead::Miss;
        }
        let skipped = usize::try_from(from.0 - first.0).unwrap_or(usize::MAX);
        let mut bytes_left = limit.bytes;
        let mut events = Vec::new();
        for event in self.events.range(skipped..).take(limit.events) {
            if event.position > until || (event.event.len() > bytes_left && !events.is_empty()) {
                break;
            }
            bytes_left = bytes_left.saturating_sub(event.event.len());
            events.push(event.clone());
        }
        TailRead::Events(events)
    }

    /// Empties the cache, which then starts at an offset.
    pub(super) fn restart(&mut self, next: Offset) {
        *self = Self::new(next);
    }

    fn drop_front(&mut self, count: usize) {
        self.events.drain(..count.min(self.events.len()));
    }
}

/// The tail cache of a topic, shared by the topic and [`TailCaches`].
#[derive(Debug, Clone)]
pub(super) struct SharedTail(Arc<Mutex<TailCache>>);

impl SharedTail {
    pub fn new(next: Offset) -> Self {
        Self(Arc::new(Mutex::new(TailCache::new(next))))
    }

    pub fn lock(&self) -> MutexGuard<'_, TailCache> {
        // A panic leaves the cache consistent: `push` asserts before it changes anything.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills the tail caches and keeps them within one budget: the oldest events over all topics are
/// dropped first.
#[derive(Debug)]
pub struct TailCaches {
    budget: usize,
    used: usize,
    /// Appends in order: the cache, its events and their bytes.
    order: VecDeque<(SharedTail, usize, usize)>,
}

impl TailCaches {
    /// Caches with a budget in bytes.
    pub fn new(budget: usize) -> Self {
        Self { budget, used: 0, order: VecDeque::new() }
    }

    /// Clears the accounting, after every cache was emptied.
    pub fn clear(&mut self) {
        self.order.clear();
        self.used = 0;
    }

    /// Adds events that were appended to a topic.
    pub(super) fn append(&mut self, tail: &SharedTail, events: Vec<Recorded>) {
        let (count, bytes) = (
            events.len(),
            events.iter().map(|event| event.event.len() + ENTRY_BYTES).sum::<usize>(),
        );
        {
            let mut cache = tail.lock();
            for event in events {
                cache.push(event);
            }
        }
        self.used += bytes;
        self.order.push_back((tail.clone(), count, bytes));
        while self.used > self.budget {
            let Some((tail, count, bytes)) = self.order.pop_front() else { break };
            tail.lock().drop_front(count);
            self.used -= bytes;
        }
    }
}
