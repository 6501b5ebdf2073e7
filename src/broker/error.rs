//! Errors of the domain. Leaf types describe what happened; each operation has an enum of them.

use std::sync::Arc;

use crate::{
    journal::CommitError,
    model::{
        commit::{FailedCondition, IdConflict},
        cursor::Cursor,
        event::Refusal,
        fault::Faults,
        name::TopicName,
        numbers::{Offset, Position},
    },
    store::{ReadError, StorageError, meta::Hole},
};

/// The topic does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("topic {topic:?} does not exist{}", hint(.suggestion.as_deref()))]
pub struct TopicNotFound {
    /// The requested name.
    pub topic: String,
    /// A similar name.
    pub suggestion: Option<String>,
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |suggestion| format!("; did you mean {suggestion:?}?"))
}

/// The server is about to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server is draining: retry, or connect to another server")]
pub struct Draining;

/// The registry is needed, but unavailable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegistryUnavailable(pub String);

/// A type that cannot be delivered in a version that the reader requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsatisfiedRequirement {
    /// The type.
    pub event_type: String,
    /// The requirement of the reader.
    pub requirement: String,
    /// Whether the type has registered versions.
    pub has_schema: bool,
    /// Requirements that registered versions satisfy.
    pub alternatives: Vec<String>,
}

impl UnsatisfiedRequirement {
    /// The problem and its remedy.
    pub fn sentence(&self) -> String {
        let Self { event_type, requirement, .. } = self;
        match (self.has_schema, self.alternatives.as_slice()) {
            (false, _) => format!("{event_type} has no registered schema"),
            (true, []) => format!("no version of {event_type} can be delivered: all are retired"),
            (true, alternatives) => format!(
                "no version of {event_type} satisfies {requirement}; {} would be satisfied",
                alternatives.join(", ")
            ),
        }
    }
}

fn unsatisfied(all: &[UnsatisfiedRequirement]) -> String {
    let sentences: Vec<_> = all.iter().take(3).map(UnsatisfiedRequirement::sentence).collect();
    match all.len() - sentences.len() {
        0 => sentences.join("; "),
        more => format!("{} (and {more} more)", sentences.join("; ")),
    }
}

/// Why a batch was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The request is malformed.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// The topic does not exist.
    #[error(transparent)]
    TopicNotFound(#[from] TopicNotFound),
    /// Events with an identity that a recorded event with other content has.
    #[error("{} of the events have an id that another event of the same source has in the topic", .0.len())]
    IdConflict(Vec<IdConflict>),
    /// Events that the topic does not accept.
    #[error("{}", refusals(.0))]
    Refused(Vec<(usize, Refusal)>),
    /// Conditions that do not hold.
    #[error("{}", conditions(.failed))]
    Conditions {
        /// The topic.
        topic: String,
        /// All conditions that do not hold.
        failed: Vec<FailedCondition>,
    },
    /// Stored data that the decision depends on is damaged.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// The commit failed, or its result is unknown.
    #[error(transparent)]
    Commit(CommitError),
    /// The server is about to stop.
    #[error(transparent)]
    Draining(#[from] Draining),
}

fn refusals(refused: &[(usize, Refusal)]) -> String {
    match refused {
        [(index, refusal), rest @ ..] if !rest.is_empty() => {
            format!("events[{index}]: {refusal} (and {} more)", rest.len())
        }
        [(index, refusal), ..] => format!("events[{index}]: {refusal}"),
        [] => "events are rejected".into(),
    }
}

fn conditions(failed: &[FailedCondition]) -> String {
    let sentences: Vec<String> = failed.iter().map(FailedCondition::sentence).collect();
    sentences.join("; ")
}

impl FailedCondition {
    /// The expected and the actual value.
    pub fn sentence(&self) -> String {
        match self {
            Self::KeyVersion { key, expected, actual } => {
                format!("key {key:?}: expected version {expected}, found {actual}")
            }
            Self::TopicEnd { expected, actual } => {
                format!("topic's next offset: expected {expected}, found {actual}")
            }
        }
    }
}

/// Why a topic was not created, updated, trimmed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The request is malformed.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// The topic does not exist.
    #[error(transparent)]
    NotFound(#[from] TopicNotFound),
    /// A topic of that name exists.
    #[error("topic {0:?} already exists")]
    Exists(String),
    /// The topic was changed concurrently.
    #[error("topic {topic:?} was changed concurrently: its etag is now {actual:?}")]
    EtagMismatch {
        /// Its name.
        topic: String,
        /// Its etag.
        actual: String,
    },
    /// The position to trim at cannot be resolved.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The commit failed, or its result is unknown.
    #[error(transparent)]
    Commit(CommitError),
    /// The server is about to stop.
    #[error(transparent)]
    Draining(#[from] Draining),
}

/// Why events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossCause {
    /// They were trimmed.
    Trim,
    /// Their topic was deleted and created again. The offsets are those of the deleted topic.
    Deletion,
    /// The positions are in a hole that an unclean stop left.
    Hole(Hole),
}

/// An event that cannot be delivered in a required version, which ends the stream.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the event at offset {offset} of topic {topic:?} cannot be delivered as requested: {reason}", topic = topic.as_str())]
pub struct VersionMismatch {
    /// The topic of the event.
    pub topic: Arc<TopicName>,
    /// Its offset.
    pub offset: Offset,
    /// Its position, after which a reader can resume.
    pub position: Position,
    /// Its type.
    pub event_type: String,
    /// The reason.
    pub reason: String,
}

/// Why a read cannot start at the requested position.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The request is malformed.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// A named topic does not exist.
    #[error(transparent)]
    TopicNotFound(#[from] TopicNotFound),
    /// Retention, a trim or a deletion removed the position.
    #[error("{}; start at the earliest cursor, or with on_lost EARLIEST", lost(.topic, .first, .cause))]
    PositionLost {
        /// The topic.
        topic: String,
        /// The first retained offset.
        first: Offset,
        /// The cause of the loss.
        cause: LossCause,
        /// The cursor before everything that is retained.
        earliest: Cursor,
        /// The cursor after everything.
        latest: Cursor,
    },
    /// The position is beyond the end of the log.
    #[error("the position is beyond the end: {detail}")]
    PositionInFuture {
        /// The position, and the end of the log.
        detail: String,
        /// The cursor before everything that is retained.
        earliest: Cursor,
        /// The cursor after everything.
        latest: Cursor,
    },
    /// Requirements that no registered version satisfies.
    #[error("{}", unsatisfied(.0))]
    Unsatisfiable(Vec<UnsatisfiedRequirement>),
    /// The requirements need the registry, which is unavailable.
    #[error(transparent)]
    RegistryUnavailable(#[from] RegistryUnavailable),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The server is about to stop.
    #[error(transparent)]
    Draining(#[from] Draining),
}

fn lost(topic: &str, first: &Offset, cause: &LossCause) -> String {
    match cause {
        LossCause::Deletion => format!(
            "topic {topic:?} was deleted and created again, and events after the cursor were deleted with it"
        ),
        LossCause::Trim | LossCause::Hole(_) => {
            format!("the position is no longer retained: topic {topic:?} begins at offset {first}")
        }
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A topic that the request names was deleted.
    #[error(transparent)]
    TopicNotFound(#[from] TopicNotFound),
    /// An event is damaged.
    #[error("{error}")]
    Corrupt {
        /// The damaged event.
        error: ReadError,
        /// A cursor after the damage. None: no readable event was found.
        resume: Option<Cursor>,
    },
    /// An event cannot be delivered in a version that the reader requires.
    #[error("{mismatch}")]
    Mismatch {
        /// The event, and the reason.
        mismatch: Box<VersionMismatch>,
        /// A cursor after the event.
        resume: Cursor,
    },
    /// The schema of an event is unknown, and the registry is unavailable.
    #[error(transparent)]
    RegistryUnavailable(#[from] RegistryUnavailable),
    /// The store cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The server is about to stop. The reader has received its cursor.
    #[error(transparent)]
    Draining(#[from] Draining),
}

/// Why an event was not found.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The topic does not exist.
    #[error(transparent)]
    TopicNotFound(#[from] TopicNotFound),
    /// The topic has no such event.
    #[error("topic {topic:?} has no event {event}")]
    NotFound {
        /// The topic.
        topic: String,
        /// The requested event.
        event: String,
    },
    /// The offset is trimmed or beyond the end.
    #[error(transparent)]
    Position(#[from] StartError),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The damage that ends a stream, once everything before it was delivered.
#[derive(Debug, Clone)]
pub(super) struct Damage {
    pub error: ReadError,
    /// The position at which a reader can resume.
    pub resume: Option<Position>,
}
