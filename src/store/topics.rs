//! The topics as readers see them: only durable state.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use tokio::sync::{Notify, watch};

use super::{
    meta::{TopicRecord, TopicTail, TrimMark},
    tail::SharedTail,
};
use crate::model::{
    name::TopicName,
    numbers::{AppendTime, Offset, Position, TopicId},
    topic::TopicConfig,
};

/// The retained range of a topic at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicRange {
    /// The first retained offset.
    pub first: Offset,
    /// The first unwritten offset.
    pub next: Offset,
    /// Bytes of the retained events.
    pub bytes: u64,
    /// Append time of the last event.
    pub last_time: AppendTime,
    /// Position of the last event.
    pub last_position: Position,
}

impl TopicRange {
    /// Number of retained events.
    pub fn events(&self) -> u64 {
        self.next.0 - self.first.0
    }
}

/// A range of events that a reader lost to trims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostRange {
    /// The loss begins at or before this offset.
    pub from: Offset,
    /// The first retained offset.
    pub first: Offset,
}

/// A deleted topic whose name was given to another topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predecessor {
    /// Position of its deletion.
    pub deleted: Position,
    /// Position of the last event.
    pub last: Position,
    /// The next offset at its deletion.
    pub next: Offset,
}

impl Predecessor {
    /// The predecessor from the record of a deleted topic. None: it is not deleted, or never had an
    /// event.
    pub(super) fn of(record: &TopicRecord, topic_tail: &TopicTail) -> Option<Self> {
        // A deleted topic does not change, so its revision is the position of its deletion.
        (record.deleted && topic_tail.next > Offset(0)).then_some(Self {
            deleted: Position(record.revision),
            last: topic_tail.position,
            next: topic_tail.next,
        })
    }
}

#[derive(Debug)]
struct VisibleState {
    config: Arc<TopicConfig>,
    revision: u64,
    first: Offset,
    first_bytes: u64,
    topic_tail: TopicTail,
    trims: Vec<TrimMark>,
    deleted: bool,
    /// The last predecessor with events. A reader that lost none of its events lost none of an
    /// earlier one.
    predecessor: Option<Predecessor>,
}

/// A topic.
#[derive(Debug)]
pub struct Topic {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<TopicName>,
    /// When it was created.
    pub created: AppendTime,
    state: Mutex<VisibleState>,
    tail: SharedTail,
    listeners: Mutex<Vec<Arc<Notify>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic under one of these locks leaves a consistent value: each update is one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Topic {
    pub(super) fn new(
        id: TopicId,
        name: Arc<TopicName>,
        record: &TopicRecord,
        topic_tail: TopicTail,
    ) -> Self {
        Self {
            id,
            name,
            created: AppendTime(record.created),
            state: Mutex::new(VisibleState {
                config: Arc::new(record.config.clone()),
                revision: record.revision,
                first: Offset(record.first),
                first_bytes: record.first_bytes,
                topic_tail,
                trims: record.trims.clone(),
                deleted: record.deleted,
                predecessor: None,
            }),
            tail: SharedTail::new(topic_tail.next),
            listeners: Mutex::default(),
        }
    }

    /// The settings of the topic.
    pub fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&lock(&self.state).config)
    }

    /// The revision, which changes with every update.
    pub fn revision(&self) -> u64 {
        lock(&self.state).revision
    }

    /// The retained range.
    pub fn range(&self) -> TopicRange {
        let state = lock(&self.state);
        TopicRange {
            first: state.first,
            next: state.topic_tail.next,
            bytes: state.topic_tail.bytes - state.first_bytes,
            last_time: state.topic_tail.time,
            last_position: state.topic_tail.position,
        }
    }

    /// Bytes of all events ever appended, and of those that are not retained.
    pub fn total_and_trimmed_bytes(&self) -> (u64, u64) {
        let state = lock(&self.state);
        (state.topic_tail.bytes, state.first_bytes)
    }

    /// Whether the topic is deleted.
    pub fn is_deleted(&self) -> bool {
        lock(&self.state).deleted
    }

    /// The events after a position that were trimmed after a horizon.
    pub fn lost_range(&self, position: Position, horizon: Position) -> Option<LostRange> {
        let state = lock(&self.state);
        let last = state.trims.last()?;
        if last.at <= horizon.0 || last.removed <= position.0 {
            return None;
        }
        // The loss begins after the last trim that the reader knew, or whose events it had read.
        let from = state
            .trims
            .iter()
            .rev()
            .find(|mark| mark.at <= horizon.0 || mark.removed <= position.0)
            .map_or(0, |mark| mark.first);
        Some(LostRange { from: Offset(from), first: state.first })
    }

    /// The predecessor, if it was deleted after a horizon and had events after a position.
    pub fn lost_predecessor(&self, position: Position, horizon: Position) -> Option<Predecessor> {
        let predecessor = lock(&self.state).predecessor;
        predecessor.filter(|topic| topic.deleted > horizon && topic.last > position)
    }

    /// Position of the last trim.
    pub fn last_trim(&self) -> Position {
        lock(&self.state).trims.last().map_or(Position(0), |mark| Position(mark.at))
    }

    /// The trimmed events that were appended at or after a time.
    pub fn lost_range_since(&self, time: AppendTime) -> Option<LostRange> {
        let state = lock(&self.state);
        state.trims.last().filter(|mark| mark.time >= time.0)?;
        let known = state.trims.iter().rev().find(|mark| mark.time < time.0);
        Some(LostRange { from: Offset(known.map_or(0, |mark| mark.first)), first: state.first })
    }

    /// Notifies a listener of every append, trim and update, until the guard is dropped.
    pub fn listen(self: &Arc<Self>, listener: &Arc<Notify>) -> ListenerGuard {
        lock(&self.listeners).push(Arc::clone(listener));
        ListenerGuard { topic: Arc::clone(self), listener: Arc::clone(listener) }
    }

    pub(super) fn tail(&self) -> &SharedTail {
        &self.tail
    }

    pub(super) fn set_topic_tail(&self, topic_tail: TopicTail) {
        lock(&self.state).topic_tail = topic_tail;
    }

    pub(super) fn set_record(&self, record: &TopicRecord) {
        let mut state = lock(&self.state);
        state.config = Arc::new(record.config.clone());
        state.revision = record.revision;
        state.first = Offset(record.first);
        state.first_bytes = record.first_bytes;
        state.trims.clone_from(&record.trims);
        state.deleted = record.deleted;
    }

    pub(super) fn set_predecessor(&self, predecessor: Option<Predecessor>) {
        lock(&self.state).predecessor = predecessor;
    }

    pub(super) fn notify(&self) {
        for listener in lock(&self.listeners).iter() {
            listener.notify_one();
        }
    }
}

/// Removes a listener from its topic when it is dropped.
#[derive(Debug)]
pub struct ListenerGuard {
    topic: Arc<Topic>,
    listener: Arc<Notify>,
}

impl Drop for ListenerGuard {
    fn drop(&mut self) {
        let mut listeners = lock(&self.topic.listeners);
        if let Some(at) = listeners.iter().position(|other| Arc::ptr_eq(other, &self.listener)) {
            listeners.swap_remove(at);
        }
    }
}

/// All topics by name.
#[derive(Debug)]
pub struct Catalog {
    topics: RwLock<Arc<BTreeMap<TopicName, Arc<Topic>>>>,
    version: watch::Sender<u64>,
}

impl Catalog {
    pub(super) fn new(topics: impl IntoIterator<Item = Arc<Topic>>) -> Self {
        let topics =
            topics.into_iter().map(|topic| (TopicName::clone(&topic.name), topic)).collect();
        Self { topics: RwLock::new(Arc::new(topics)), version: watch::Sender::new(0) }
    }

    /// All topics.
    pub fn all(&self) -> Arc<BTreeMap<TopicName, Arc<Topic>>> {
        Arc::clone(&self.topics.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The topic with a name.
    pub fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Watches for topics that are created or deleted.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(super) fn insert(&self, topic: Arc<Topic>) {
        self.change(|topics| {
            topics.insert(TopicName::clone(&topic.name), topic);
        });
    }

    pub(super) fn remove(&self, topic: &Topic) {
        self.change(|topics| {
            topics.remove(topic.name.as_str());
        });
        topic.notify();
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<TopicName, Arc<Topic>>)) {
        {
            let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
            change(Arc::make_mut(&mut topics));
        }
        self.version.send_modify(|version| *version += 1);
    }
}
