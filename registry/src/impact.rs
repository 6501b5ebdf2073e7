//! The impact of a change on the schemas of a subject, and on its consumers.

use tidings_schema::report::Report;

use crate::consumer::Requirement;

/// Limits the listed consumers. Further consumers are only counted.
pub const LISTED_MAX: usize = 1000;

/// The findings of a change, and the consumers that it affects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impact {
    /// The differences between the schemas.
    pub report: Report,
    /// Consumers that could not read the events after the change.
    pub affected: Affected,
}

impl From<Report> for Impact {
    fn from(report: Report) -> Self {
        Self { report, affected: Affected::default() }
    }
}

/// The consumers that a change affects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Affected {
    /// The first [`LISTED_MAX`] consumers, by name.
    pub listed: Vec<AffectedConsumer>,
    /// The number of all affected consumers.
    pub total: usize,
}

/// A consumer that a change affects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffectedConsumer {
    /// The requirement of the consumer.
    pub requirement: Requirement,
    /// Whether the consumer has an open stream with the requirement.
    pub is_connected: bool,
    /// The version that it would be delivered, and why it cannot read it.
    pub reason: String,
}

impl Affected {
    /// Returns whether no consumer is affected.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Returns the names of the listed consumers, each once.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.listed.iter().map(|affected| affected.requirement.consumer.to_string()).collect();
        names.dedup();
        names
    }
}
