//! What can go wrong in the domain. Leaves carry what happened; an operation's error is made of them.

use super::{negotiation::Mismatch, start::Cause};
use crate::{
    journal::CommitError,
    model::{
        commit::{FailedCondition, IdConflict},
        cursor::Cursor,
        event::Refusal,
        fault::Faults,
        numbers::{Offset, Position},
    },
    store::{ReadError, StorageError},
};

/// There is no topic of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("topic {topic:?} does not exist{}", hint(.nearest.as_deref()))]
pub struct TopicNotFound {
    /// What was asked for.
    pub topic: String,
    /// What may have been meant.
    pub nearest: Option<String>,
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest:?}?"))
}

/// The server is about to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server is draining: try another one, or again in a moment")]
pub struct Draining;

/// The registry has to be asked, and cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegistryAway(pub String);

/// A type that a reader cannot be given as it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsatisfied {
    /// The type.
    pub event_type: String,
    /// What was asked for.
    pub requirement: String,
    /// The type is registered, in other versions.
    pub has_schema: bool,
    /// What could be asked for.
    pub alternatives: Vec<String>,
}

impl Unsatisfied {
    /// What is wrong and what to do.
    pub fn sentence(&self) -> String {
        let Self { event_type, requirement, .. } = self;
        match (self.has_schema, self.alternatives.as_slice()) {
            (false, _) => format!("{event_type} has no registered schema"),
            (true, []) => format!("no version of {event_type} can be delivered: all are retired"),
            (true, some) => format!(
                "no version of {event_type} satisfies {requirement}; {} would be satisfied",
                some.join(", ")
            ),
        }
    }
}

fn unsatisfied(all: &[Unsatisfied]) -> String {
    let sentences: Vec<_> = all.iter().take(3).map(Unsatisfied::sentence).collect();
    match all.len() - sentences.len() {
        0 => sentences.join("; "),
        more => format!("{} (and {more} more)", sentences.join("; ")),
    }
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The request's own fault.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// Nowhere to publish to.
    #[error(transparent)]
    TopicNotFound(#[from] TopicNotFound),
    /// Identities that are taken by other contents.
    #[error("{} of the events have an id that another event of the same source has in the topic", .0.len())]
    IdConflict(Vec<IdConflict>),
    /// Events that the topic does not take.
    #[error("{}", refusals(.0))]
    Refused(Vec<(usize, Refusal)>),
    /// Conditions that do not hold.
    #[error("{}", conditions(.failed))]
    Conditions {
        /// Of this topic.
        topic: String,
        /// All of them.
        failed: Vec<FailedCondition>,
    },
    /// Stored data that the decision needs is damaged.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// It was not or not certainly committed.
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
        [] => "events are refused".into(),
    }
}

fn conditions(failed: &[FailedCondition]) -> String {
    let sentences: Vec<String> = failed.iter().map(FailedCondition::sentence).collect();
    sentences.join("; ")
}

impl FailedCondition {
    /// What was expected, and what is.
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

/// Why a topic could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The request's own fault.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is none of that name.
    #[error(transparent)]
    NotFound(#[from] TopicNotFound),
    /// There is one of that name.
    #[error("topic {0:?} exists already")]
    Exists(String),
    /// It was changed in the meantime.
    #[error("topic {topic:?} was changed in the meantime: its etag is {actual:?} now")]
    EtagMismatch {
        /// Its name.
        topic: String,
        /// Its etag.
        actual: String,
    },
    /// Where to trim cannot be had.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It was not or not certainly committed.
    #[error(transparent)]
    Commit(CommitError),
    /// The server is about to stop.
    #[error(transparent)]
    Draining(#[from] Draining),
}

/// Why a read cannot begin where it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The request's own fault.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// A named topic does not exist.
    #[error(transparent)]
    TopicNotFound(#[from] TopicNotFound),
    /// Retention or a trim removed it.
    #[error("{}; start at the earliest cursor, or with on_lost EARLIEST", lost(.topic, .first, .cause))]
    PositionLost {
        /// In this topic.
        topic: String,
        /// The first offset that is retained.
        first: Offset,
        /// What removed it.
        cause: Cause,
        /// Everything that is retained comes behind it.
        earliest: Cursor,
        /// Everything comes before it.
        latest: Cursor,
    },
    /// Nothing has been recorded there yet.
    #[error("the position is beyond the end: {detail}")]
    PositionInFuture {
        /// What the end is.
        detail: String,
        /// Everything that is retained comes behind it.
        earliest: Cursor,
        /// Everything comes before it.
        latest: Cursor,
    },
    /// Schema versions that cannot be had.
    #[error("{}", unsatisfied(.0))]
    Unsatisfiable(Vec<Unsatisfied>),
    /// What the reader asks for cannot be looked up.
    #[error(transparent)]
    RegistryAway(#[from] RegistryAway),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The server is about to stop.
    #[error(transparent)]
    Draining(#[from] Draining),
}

fn lost(topic: &str, first: &Offset, cause: &Cause) -> String {
    match cause {
        Cause::Deletion => format!(
            "topic {topic:?} was deleted and created again, and events behind the cursor were deleted with it"
        ),
        Cause::Trim | Cause::Hole(_) => {
            format!(
                "the position is not retained any more: topic {topic:?} begins at offset {first} now"
            )
        }
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A topic that it named was deleted.
    #[error(transparent)]
    TopicNotFound(#[from] TopicNotFound),
    /// An event is damaged.
    #[error("{error}")]
    Corrupt {
        /// Which.
        error: ReadError,
        /// Behind the damage, where that can be found.
        resume: Option<Cursor>,
    },
    /// An event cannot be given in the schema version that the reader understands.
    #[error("{mismatch}")]
    Mismatch {
        /// Which, and why.
        mismatch: Box<Mismatch>,
        /// Behind it.
        resume: Cursor,
    },
    /// What wrote an event is not known here, and cannot be looked up.
    #[error(transparent)]
    RegistryAway(#[from] RegistryAway),
    /// The store cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The server is about to stop; the reader was told its cursor.
    #[error(transparent)]
    Draining(#[from] Draining),
}

/// Why one event could not be had.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// No such topic.
    #[error(transparent)]
    TopicNotFound(#[from] TopicNotFound),
    /// No such event.
    #[error("topic {topic:?} has no event {event}")]
    NotFound {
        /// In this topic.
        topic: String,
        /// As it was asked for.
        event: String,
    },
    /// Removed, or not there yet.
    #[error(transparent)]
    Position(#[from] StartError),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Behind everything that a damaged stream delivered.
#[derive(Debug, Clone)]
pub(super) struct Damage {
    pub error: ReadError,
    /// Where reading can go on.
    pub resume: Option<Position>,
}
