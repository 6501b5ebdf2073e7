//! Commits: all changes of stored data, in the form in which the journal orders them and the store
//! applies them. Applying is deterministic, so a commit carries all of its input: its time and the
//! verdicts on its events.

use super::{
    event::{NewEvent, Refusal},
    name::TopicName,
    numbers::{AppendTime, KeyVersion, Offset, Position, TopicId},
    topic::TopicConfig,
};

/// How durable a publish is when it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Written to the operating system.
    Buffered,
    /// Synced to disk.
    Synced,
}

/// A condition for appending a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The key has exactly this version.
    KeyVersion {
        /// The key.
        key: String,
        /// Its expected version.
        version: KeyVersion,
    },
    /// The topic has exactly this next offset.
    TopicEnd(Offset),
}

/// A condition that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailedCondition {
    /// The key has another version: another writer appended first.
    KeyVersion {
        /// The key.
        key: String,
        /// The version that the batch requires.
        expected: KeyVersion,
        /// The version of the key.
        actual: KeyVersion,
    },
    /// The topic has another next offset: another writer appended first.
    TopicEnd {
        /// The next offset that the batch requires.
        expected: Offset,
        /// The next offset of the topic.
        actual: Offset,
    },
}

/// A change of stored data.
#[derive(Debug)]
pub enum Action {
    /// Appends all events of a batch, or none.
    Publish {
        /// The topic.
        topic: TopicId,
        /// The events, in order.
        events: Vec<NewEvent>,
        /// Conditions that must all hold.
        conditions: Vec<Condition>,
        /// Checks the batch and predicts its placements, but appends nothing.
        validate_only: bool,
    },
    /// Creates a topic.
    CreateTopic {
        /// Its name.
        name: TopicName,
        /// Its configuration.
        config: TopicConfig,
    },
    /// Replaces the configuration of a topic.
    UpdateTopic {
        /// The topic.
        topic: TopicId,
        /// The new configuration.
        config: TopicConfig,
        /// The revision that the topic must have. None: any.
        revision: Option<u64>,
    },
    /// Deletes a topic and all of its events.
    DeleteTopic {
        /// The topic.
        topic: TopicId,
        /// The revision that the topic must have. None: any.
        revision: Option<u64>,
    },
    /// Deletes the events of a topic before an offset.
    Trim {
        /// The topic.
        topic: TopicId,
        /// The first offset to retain.
        before: Offset,
    },
}

/// An action, with the input of its application.
#[derive(Debug)]
pub struct Commit {
    /// The change.
    pub action: Action,
    /// The time of the change. The store replaces it by the last append time if the clock went
    /// back.
    pub time: AppendTime,
    /// The durability at which the caller is answered.
    pub durability: Durability,
}

impl Commit {
    /// Bytes that the commit counts for in the queue.
    pub fn weight(&self) -> usize {
        match &self.action {
            Action::Publish { events, .. } => {
                events.iter().map(|event| event.row.len() + 256).sum()
            }
            Action::CreateTopic { .. }
            | Action::UpdateTopic { .. }
            | Action::DeleteTopic { .. }
            | Action::Trim { .. } => 1024,
        }
    }
}

/// The placement of an event in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Offset in its topic.
    pub offset: Offset,
    /// Position in the log of all topics.
    pub position: Position,
    /// Version of its key.
    pub key_version: KeyVersion,
    /// Append time.
    pub append_time: AppendTime,
    /// The event had been recorded before this publish.
    pub duplicate: bool,
    /// Id of the schema of the payload. 0: none.
    pub schema_id: u32,
}

/// The result of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The placements of a batch, in the order of its events.
    Published(Vec<Placement>),
    /// The topic was created or updated.
    Topic(TopicId),
    /// The topic was deleted.
    Deleted,
    /// Events were trimmed.
    Trimmed {
        /// How many events were trimmed.
        events: u64,
        /// The first retained offset.
        first: Offset,
    },
}

/// Why a commit changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The topic does not exist, or was deleted concurrently.
    #[error("the topic does not exist")]
    TopicNotFound,
    /// A topic of that name exists.
    #[error("a topic of that name exists")]
    TopicExists,
    /// The topic has another revision.
    #[error("the topic was updated concurrently")]
    RevisionMismatch {
        /// The revision of the topic.
        actual: u64,
    },
    /// Events with the identity of recorded events, but other content.
    #[error("{} events have the identity of events with other content", .0.len())]
    IdConflict(Vec<IdConflict>),
    /// Events that may not be appended, with their indexes.
    #[error("{} events are refused", .0.len())]
    Refused(Vec<(usize, Refusal)>),
    /// All conditions that do not hold.
    #[error("{} conditions do not hold", .0.len())]
    Conditions(Vec<FailedCondition>),
    /// Stored data that the decision depends on does not decode.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
}

/// An event whose identity another event has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdConflict {
    /// Index of the event in the batch.
    pub index: usize,
    /// Id of the event.
    pub id: String,
    /// Placement of the recorded event. None: the other event is in the same batch.
    pub first: Option<Placement>,
}
