//! The last events of each topic, in memory, within one budget for the server: what live subscribers read.

use std::{collections::VecDeque, sync::Arc};

use super::topics::Topic;
use crate::model::{
    event::Recorded,
    numbers::{Offset, Position},
};

/// What an event in a tail costs beside its own bytes: its entry and its allocation.
const ENTRY_BYTES: usize = 160;

/// How much a read takes at most. At least one event is taken where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Events.
    pub events: usize,
    /// Bytes of their recorded form.
    pub bytes: usize,
}

/// What a tail answers.
#[derive(Debug)]
pub enum TailRead {
    /// These come next; none, where the reader has everything up to the position asked for.
    Events(Vec<Recorded>),
    /// What comes next is on disk only.
    Below,
}

/// The last events of one topic: offsets without a gap up to the topic's end.
#[derive(Debug)]
pub struct Tail {
    events: VecDeque<Recorded>,
    next: Offset,
}

impl Tail {
    pub(super) fn new(next: Offset) -> Self {
        Self { events: VecDeque::new(), next }
    }

    fn push(&mut self, event: Recorded) {
        assert_eq!(event.offset, self.next, "a tail grows without a gap");
        self.next = event.offset.next();
        self.events.push_back(event);
    }

    /// Events from an offset on, as far as a position.
    pub fn read(&self, from: Offset, upto: Position, bounds: Bounds) -> TailRead {
        if from >= self.next {
            return TailRead::Events(Vec::new());
        }
        let first = self.events.front().map_or(self.next, |event| event.offset);
        if from < first {
            return TailRead::Below;
        }
        let skipped = usize::try_from(from.0 - first.0).unwrap_or(usize::MAX);
        let mut left = bounds.bytes;
        let mut taken = Vec::new();
        for event in self.events.range(skipped..).take(bounds.events) {
            if event.position > upto || (event.event.len() > left && !taken.is_empty()) {
                break;
            }
            left = left.saturating_sub(event.event.len());
            taken.push(event.clone());
        }
        TailRead::Events(taken)
    }

    /// Begins anew at an offset.
    pub(super) fn restart(&mut self, next: Offset) {
        *self = Self::new(next);
    }

    fn drop_front(&mut self, count: usize) {
        self.events.drain(..count.min(self.events.len()));
    }
}

/// Fills the tails and keeps them within their budget, oldest out first, over all topics.
#[derive(Debug)]
pub struct Tails {
    budget: usize,
    used: usize,
    /// In the order in which they came: topic, events, bytes.
    order: VecDeque<(Arc<Topic>, usize, usize)>,
}

impl Tails {
    /// Within a budget in bytes.
    pub fn new(budget: usize) -> Self {
        Self { budget, used: 0, order: VecDeque::new() }
    }

    /// Forgets what is held, after every tail began anew.
    pub fn forget(&mut self) {
        self.order.clear();
        self.used = 0;
    }

    /// Adds what was appended to a topic.
    pub fn append(&mut self, topic: &Arc<Topic>, events: Vec<Recorded>) {
        let (count, bytes) = (
            events.len(),
            events.iter().map(|event| event.event.len() + ENTRY_BYTES).sum::<usize>(),
        );
        {
            let mut tail = topic.tail();
            for event in events {
                tail.push(event);
            }
        }
        self.used += bytes;
        self.order.push_back((Arc::clone(topic), count, bytes));
        while self.used > self.budget {
            let Some((topic, count, bytes)) = self.order.pop_front() else { break };
            topic.tail().drop_front(count);
            self.used -= bytes;
        }
    }
}
