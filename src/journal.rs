//! Orders commits and makes them durable; does not know what a commit does.
//!
//! The contract, which a distributed journal will have to keep too. A journal MUST
//! - apply commits in the order in which it makes them durable, each exactly once, also after a crash;
//! - answer a commit only when it is as durable as it asks for;
//! - keep what waits within a bound in bytes, make callers wait for room, and refuse those who would wait too long;
//! - refuse every commit after one has failed for another reason than lack of space.
//!
//! [`local`] is the journal of one machine: one thread that drains what waits into a group, writes the group in one
//! batch with one fdatasync, shows it to readers and answers everybody. No timer: under load, groups come about
//! because commits gather while the one before is synced; alone, a commit does not wait for company.

mod local;
mod space;

pub use local::{Journal, Options};

/// Why a commit got no outcome.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// It was applied, and changed nothing.
    #[error(transparent)]
    Rejected(#[from] crate::model::commit::Rejected),
    /// It may or may not be on disk.
    #[error("the commit may or may not have been recorded: {0}")]
    Ambiguous(String),
    /// There is no space for it; it was not tried.
    #[error("the disk has {available} bytes available, publishing stops below {reserve}")]
    StorageFull {
        /// Bytes available.
        available: u64,
        /// Bytes that are kept free.
        reserve: u64,
    },
    /// Too much waits already; it was not tried.
    #[error("{0} bytes of other publishes are waiting to be written")]
    Overloaded(usize),
    /// The journal has stopped; it was not tried.
    #[error("the journal takes no commits any more: {0}")]
    Stopped(String),
}

/// How the journal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It takes commits.
    Serving,
    /// It failed, and takes none.
    Failed(String),
}
