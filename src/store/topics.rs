//! The topics as readers see them: only what is durable.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use tokio::sync::{Notify, watch};

use super::{
    meta::{End, TopicRecord, TrimMark},
    tail::Tail,
};
use crate::model::{
    name::TopicName,
    numbers::{AppendTime, Offset, Position, TopicId},
    topic::TopicConfig,
};

/// What a topic retains, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first retained offset.
    pub first: Offset,
    /// The first offset that is not written.
    pub next: Offset,
    /// Bytes of the retained events.
    pub bytes: u64,
    /// When the last event was recorded.
    pub last_time: AppendTime,
    /// Position of the last event.
    pub last_position: Position,
}

impl Extent {
    /// How many events are retained.
    pub fn events(&self) -> u64 {
        self.next.0 - self.first.0
    }
}

/// What a reader has lost to trims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// At or before this offset the loss begins.
    pub from: Offset,
    /// The first offset that is retained.
    pub first: Offset,
}

/// A deleted topic whose name another topic has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predecessor {
    /// Position of its deletion.
    pub deleted: Position,
    /// Position of its last event.
    pub last: Position,
    /// Its next offset.
    pub next: Offset,
}

impl Predecessor {
    /// Of the record of a deleted topic. None: it is not deleted, or never had an event.
    pub(super) fn of(record: &TopicRecord, end: &End) -> Option<Self> {
        // A deleted topic does not change, so its revision is the position of its deletion.
        (record.deleted && end.next > Offset(0)).then_some(Self {
            deleted: Position(record.revision),
            last: end.position,
            next: end.next,
        })
    }
}

#[derive(Debug)]
struct Shape {
    config: Arc<TopicConfig>,
    revision: u64,
    first: Offset,
    first_bytes: u64,
    end: End,
    trims: Vec<TrimMark>,
    deleted: bool,
    /// The last one that had events. A reader that lost none of these lost none of an earlier one's.
    predecessor: Option<Predecessor>,
}

/// A topic.
#[derive(Debug)]
pub struct Topic {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<TopicName>,
    /// When it was made.
    pub created: AppendTime,
    shape: Mutex<Shape>,
    tail: Mutex<Tail>,
    followers: Mutex<Vec<Arc<Notify>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked under one of these locks left whole values behind: each is one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Topic {
    pub(super) fn new(id: TopicId, name: Arc<TopicName>, record: &TopicRecord, end: End) -> Self {
        Self {
            id,
            name,
            created: AppendTime(record.created),
            shape: Mutex::new(Shape {
                config: Arc::new(record.config.clone()),
                revision: record.revision,
                first: Offset(record.first),
                first_bytes: record.first_bytes,
                end,
                trims: record.trims.clone(),
                deleted: record.deleted,
                predecessor: None,
            }),
            tail: Mutex::new(Tail::new(end.next)),
            followers: Mutex::default(),
        }
    }

    /// What its owner decided.
    pub fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&lock(&self.shape).config)
    }

    /// Changes with every update.
    pub fn revision(&self) -> u64 {
        lock(&self.shape).revision
    }

    /// What it retains.
    pub fn extent(&self) -> Extent {
        let shape = lock(&self.shape);
        Extent {
            first: shape.first,
            next: shape.end.next,
            bytes: shape.end.bytes - shape.first_bytes,
            last_time: shape.end.time,
            last_position: shape.end.position,
        }
    }

    /// Bytes of all events ever appended, and of those that are not retained.
    pub fn bytes_ever(&self) -> (u64, u64) {
        let shape = lock(&self.shape);
        (shape.end.bytes, shape.first_bytes)
    }

    /// Whether it is gone.
    pub fn is_deleted(&self) -> bool {
        lock(&self.shape).deleted
    }

    /// What was trimmed after a horizon of what comes behind a position.
    pub fn lost(&self, position: Position, horizon: Position) -> Option<Lost> {
        let shape = lock(&self.shape);
        let last = shape.trims.last()?;
        if last.at <= horizon.0 || last.removed <= position.0 {
            return None;
        }
        // The last trim whose events had all been seen, or that was known, bounds where the loss begins.
        let from = shape
            .trims
            .iter()
            .rev()
            .find(|mark| mark.at <= horizon.0 || mark.removed <= position.0)
            .map_or(0, |mark| mark.first);
        Some(Lost { from: Offset(from), first: shape.first })
    }

    /// The predecessor, where it was deleted behind a horizon and had events behind a position.
    pub fn lost_before(&self, position: Position, horizon: Position) -> Option<Predecessor> {
        let before = lock(&self.shape).predecessor;
        before.filter(|it| it.deleted > horizon && it.last > position)
    }

    /// Position of the last trim.
    pub fn last_trim(&self) -> Position {
        lock(&self.shape).trims.last().map_or(Position(0), |mark| Position(mark.at))
    }

    /// What was trimmed of what was recorded at or after a time.
    pub fn lost_since(&self, time: AppendTime) -> Option<Lost> {
        let shape = lock(&self.shape);
        shape.trims.last().filter(|mark| mark.time >= time.0)?;
        let known = shape.trims.iter().rev().find(|mark| mark.time < time.0);
        Some(Lost { from: Offset(known.map_or(0, |mark| mark.first)), first: shape.first })
    }

    /// Is told whenever something is appended, trimmed or decided, until the follower is dropped.
    pub fn follow(self: &Arc<Self>, follower: &Arc<Notify>) -> Following {
        lock(&self.followers).push(Arc::clone(follower));
        Following { topic: Arc::clone(self), follower: Arc::clone(follower) }
    }

    pub(super) fn tail(&self) -> MutexGuard<'_, Tail> {
        lock(&self.tail)
    }

    pub(super) fn set_end(&self, end: End) {
        lock(&self.shape).end = end;
    }

    pub(super) fn set_record(&self, record: &TopicRecord) {
        let mut shape = lock(&self.shape);
        shape.config = Arc::new(record.config.clone());
        shape.revision = record.revision;
        shape.first = Offset(record.first);
        shape.first_bytes = record.first_bytes;
        shape.trims.clone_from(&record.trims);
        shape.deleted = record.deleted;
    }

    pub(super) fn set_predecessor(&self, predecessor: Option<Predecessor>) {
        lock(&self.shape).predecessor = predecessor;
    }

    pub(super) fn notify(&self) {
        for follower in lock(&self.followers).iter() {
            follower.notify_one();
        }
    }
}

/// Keeps a follower of a topic told.
#[derive(Debug)]
pub struct Following {
    topic: Arc<Topic>,
    follower: Arc<Notify>,
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut followers = lock(&self.topic.followers);
        if let Some(at) = followers.iter().position(|one| Arc::ptr_eq(one, &self.follower)) {
            followers.swap_remove(at);
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

    /// All of them.
    pub fn all(&self) -> Arc<BTreeMap<TopicName, Arc<Topic>>> {
        Arc::clone(&self.topics.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Is told whenever a topic comes or goes.
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
