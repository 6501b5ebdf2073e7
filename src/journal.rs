//! Orders commits and makes them durable, without knowledge of what a commit does.
//!
//! The contract, which also binds a future distributed journal: a journal MUST
//! - apply commits in the order in which it makes them durable, each exactly once, also after a
//!   crash;
//! - acknowledge a commit only when it has the durability that it asks for;
//! - keep the bytes of queued commits within a bound, make callers wait for room, and reject a
//!   commit that would wait too long;
//! - reject every commit after one has failed for another reason than lack of space.
//!
//! [`local`] is the journal of one machine: one thread that drains the queue into a group, writes
//! the group in one batch with one fdatasync, makes it visible to readers and replies to all
//! callers. There is no timer: under load, commits queue up while the previous group is synced and
//! form the next group; a lone commit is written at once.

mod local;
mod space;

pub use local::{Journal, Options};

/// Why a commit has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// It was applied, and changed nothing.
    #[error(transparent)]
    Rejected(#[from] crate::model::commit::Rejected),
    /// It may or may not be on disk.
    #[error("the commit may or may not have been recorded: {0}")]
    Ambiguous(String),
    /// The disk is full. The commit was not written.
    #[error("{available} bytes of disk space are available; publishing stops below {reserve}")]
    StorageFull {
        /// Bytes available.
        available: u64,
        /// Bytes kept free.
        reserve: u64,
    },
    /// The queue was full for too long. The commit was not written.
    #[error("{0} bytes of other publishes are waiting to be written")]
    Overloaded(usize),
    /// The journal has stopped. The commit was not written.
    #[error("the journal accepts no more commits: {0}")]
    Stopped(String),
}

/// The health of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It accepts commits.
    Serving,
    /// It failed, and rejects commits.
    Failed(String),
}
