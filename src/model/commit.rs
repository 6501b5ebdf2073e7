//! Commits: everything that changes what is stored, in the form in which the journal orders it and the store applies
//! it. Applying is deterministic, so a commit carries all that it needs: its time and the verdicts on its events.

use super::{
    event::{NewEvent, Refusal},
    name::TopicName,
    numbers::{AppendTime, KeyVersion, Offset, Position, TopicId},
    topic::TopicConfig,
};

/// How durable a publish is when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The operating system has it.
    Buffered,
    /// It is on disk.
    Synced,
}

/// What has to be so for a batch to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The key has exactly this many events.
    KeyVersion {
        /// The key.
        key: String,
        /// Its version.
        version: KeyVersion,
    },
    /// The topic's next offset is exactly this.
    TopicEnd(Offset),
}

/// A condition that was not so, with what was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailedCondition {
    /// Another writer came first.
    KeyVersion {
        /// The key.
        key: String,
        /// What was asked for.
        expected: KeyVersion,
        /// What is.
        actual: KeyVersion,
    },
    /// Another writer came first.
    TopicEnd {
        /// What was asked for.
        expected: Offset,
        /// What is.
        actual: Offset,
    },
}

/// A change of what is stored.
#[derive(Debug)]
pub enum Action {
    /// Appends a batch, all of it or nothing.
    Publish {
        /// To this topic.
        topic: TopicId,
        /// These events.
        events: Vec<NewEvent>,
        /// Where all of this is so.
        conditions: Vec<Condition>,
        /// Says what would be, and appends nothing.
        validate_only: bool,
    },
    /// Makes a topic.
    CreateTopic {
        /// Named so.
        name: TopicName,
        /// Decided so.
        config: TopicConfig,
    },
    /// Decides anew about a topic.
    UpdateTopic {
        /// This one.
        topic: TopicId,
        /// What holds now.
        config: TopicConfig,
        /// Only where this is the topic's revision.
        revision: Option<u64>,
    },
    /// Removes a topic and all of its events.
    DeleteTopic {
        /// This one.
        topic: TopicId,
        /// Only where this is the topic's revision.
        revision: Option<u64>,
    },
    /// Removes the events of a topic before an offset.
    Trim {
        /// This one.
        topic: TopicId,
        /// The first offset that stays.
        before: Offset,
    },
}

/// An action with what it needs to be applied.
#[derive(Debug)]
pub struct Commit {
    /// What to do.
    pub action: Action,
    /// When it counts as done; the store moves it forward where time went back.
    pub time: AppendTime,
    /// What its waiter is promised.
    pub durability: Durability,
}

impl Commit {
    /// What it weighs while it waits, in bytes.
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

/// Where an event is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// In its topic.
    pub offset: Offset,
    /// Among everything.
    pub position: Position,
    /// Among its key's events.
    pub key_version: KeyVersion,
    /// In time.
    pub append_time: AppendTime,
    /// It was recorded before.
    pub duplicate: bool,
    /// Which schema governs it; 0: none.
    pub schema_id: u32,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// A batch is recorded, in the order of its events.
    Published(Vec<Place>),
    /// A topic is as asked.
    Topic(TopicId),
    /// A topic is gone.
    Deleted,
    /// Events are gone.
    Trimmed {
        /// How many.
        events: u64,
        /// The first offset that is left.
        first: Offset,
    },
}

/// Why a commit changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The topic was deleted in the meantime, or never was.
    #[error("the topic does not exist")]
    TopicGone,
    /// There is a topic of that name.
    #[error("there is a topic of that name")]
    TopicExists,
    /// The topic was updated in the meantime.
    #[error("the topic was updated in the meantime")]
    RevisionMoved {
        /// Its revision.
        actual: u64,
    },
    /// Events whose identity is taken by another content.
    #[error("{} events have the identity of other events", .0.len())]
    IdConflict(Vec<IdConflict>),
    /// Events that may not be appended, by their index.
    #[error("{} events are refused", .0.len())]
    Refused(Vec<(usize, Refusal)>),
    /// Conditions that were not so: all of them.
    #[error("{} conditions do not hold", .0.len())]
    Conditions(Vec<FailedCondition>),
    /// What has to be read to decide does not decode.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
}

/// An identity that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdConflict {
    /// Which event of the batch.
    pub index: usize,
    /// Its id.
    pub id: String,
    /// Where the other one is recorded; None: in the same batch.
    pub first: Option<Place>,
}
