//! What a change does: to the schemas of a subject, and to the consumers that read it.

use tidings_schema::report::Report;

use crate::consumer::Requirement;

/// Consumers that are listed; the rest is only counted.
pub const LISTED_MAX: usize = 1000;

/// The findings of a change, and the consumers that it affects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impact {
    /// What changed between the schemas.
    pub report: Report,
    /// Consumers that could not read what comes after the change.
    pub affected: Affected,
}

impl From<Report> for Impact {
    fn from(report: Report) -> Self {
        Self { report, affected: Affected::default() }
    }
}

/// Consumers that a change would leave behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Affected {
    /// By name, at most [`LISTED_MAX`].
    pub listed: Vec<AffectedConsumer>,
    /// How many there are.
    pub total: usize,
}

/// A consumer that a change would leave behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffectedConsumer {
    /// The consumer and its requirement.
    pub need: Requirement,
    /// Whether a stream of it is open.
    pub is_connected: bool,
    /// What it would be delivered, and why that is not enough.
    pub reason: String,
}

impl Affected {
    /// Whether no consumer is affected.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Each name once.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.listed.iter().map(|consumer| consumer.need.consumer.to_string()).collect();
        names.dedup();
        names
    }
}
