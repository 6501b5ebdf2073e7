//! The errors of the registry. `service/status.rs` maps them to gRPC statuses.

use semver::Version;

use crate::{
    consumer::TooMany,
    impact::{Affected, Impact},
};
use tidings_schema::definition::Fault;
use tidings_schema::report::Report;

/// A requested subject, version or id does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// There is no subject of this name.
    #[error("subject \"{name}\" does not exist{}", did_you_mean(nearest.as_deref()))]
    Subject {
        /// The requested name.
        name: String,
        /// A similar name that exists.
        nearest: Option<String>,
    },
    /// The version does not exist, or no version satisfies the requirement.
    #[error(
        "subject \"{subject}\" has no version {}; it has {}",
        if version.is_empty() { "that is not retired" } else { version },
        tidings_schema::version::list(available.iter())
    )]
    Version {
        /// The subject.
        subject: String,
        /// The requested version or requirement.
        version: String,
        /// The registered versions.
        available: Vec<Version>,
    },
    /// The id is not assigned.
    #[error("no schema has the id {id}")]
    Id {
        /// The requested id.
        id: u32,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

/// A stored definition cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored version {version} of \"{subject}\" (id {id}) cannot be read: {detail}")]
pub struct Unreadable {
    /// The subject.
    pub subject: String,
    /// The version.
    pub version: Version,
    /// The id.
    pub id: u32,
    /// The reason.
    pub detail: String,
}

/// The reason why a draft is not registered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// The definition is not a valid schema.
    #[error("{}", in_one_line(.0))]
    Invalid(Vec<Fault>),
    /// The definition is too large.
    #[error("the definition has {size} bytes; the limit is {limit}")]
    TooLarge {
        /// The bytes of the definition.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A field of the draft is invalid.
    #[error("{field}: {message}")]
    Field {
        /// The field.
        field: &'static str,
        /// The fault.
        message: String,
    },
    /// A reference cannot be resolved.
    #[error("reference \"{name}\": {reason}")]
    Reference {
        /// The name of the reference in the definition.
        name: String,
        /// The reason.
        reason: String,
    },
    /// The subject has another format.
    #[error("subject \"{subject}\" has {registered} schemas, the draft is {given}")]
    Format {
        /// The subject.
        subject: String,
        /// The format of the subject.
        registered: String,
        /// The format of the draft.
        given: String,
    },
    /// The schema breaks the compatibility of the subject.
    #[error("{}", incompatible(&.0.report))]
    Incompatible(Box<Impact>),
    /// The declared version is lower than the change, or its line, requires.
    #[error("version {declared} is too low: {reason}")]
    TooLow {
        /// The declared version.
        declared: Version,
        /// The lowest version that is accepted.
        minimum: Version,
        /// The reason.
        reason: String,
        /// The changes of the schema, and the consumers that they affect.
        impact: Box<Impact>,
    },
    /// The change would affect consumers.
    #[error("{}", affected_message(&.0.affected))]
    AffectsConsumers(Box<Impact>),
    /// The declared version is or was registered with another schema.
    #[error(
        "version {version} of \"{subject}\" is registered with another schema; versions are \
         immutable and never reused"
    )]
    VersionTaken {
        /// The subject.
        subject: String,
        /// The version.
        version: Version,
        /// The next version that is accepted.
        next: Version,
    },
    /// A version that the draft has to be compared with cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl Refusal {
    /// Returns the impact, if the draft was compared.
    pub fn impact(&self) -> Option<&Impact> {
        match self {
            Self::Incompatible(impact)
            | Self::TooLow { impact, .. }
            | Self::AffectsConsumers(impact) => Some(impact),
            Self::Invalid(_)
            | Self::TooLarge { .. }
            | Self::Field { .. }
            | Self::Reference { .. }
            | Self::Format { .. }
            | Self::VersionTaken { .. }
            | Self::Unreadable(_) => None,
        }
    }

    /// Returns the impact for completion.
    pub(crate) fn impact_mut(&mut self) -> Option<&mut Impact> {
        match self {
            Self::Incompatible(impact)
            | Self::TooLow { impact, .. }
            | Self::AffectsConsumers(impact) => Some(impact),
            Self::Invalid(_)
            | Self::TooLarge { .. }
            | Self::Field { .. }
            | Self::Reference { .. }
            | Self::Format { .. }
            | Self::VersionTaken { .. }
            | Self::Unreadable(_) => None,
        }
    }
}

fn affected_message(affected: &Affected) -> String {
    let Some(first) = affected.listed.first() else {
        return "consumers would be left behind".into();
    };
    let more = match affected.total {
        0 | 1 => String::new(),
        total => format!(" (and {} more)", total - 1),
    };
    let requirement = &first.requirement;
    format!(
        "consumer \"{}\", which needs {} of \"{}\", would be left behind: {}{more}",
        requirement.consumer, requirement.version_req, requirement.subject, first.reason
    )
}

/// The reason why an update of a consumer is not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A limit is exceeded.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn in_one_line(faults: &[Fault]) -> String {
    match faults {
        [] => "not a schema".into(),
        [fault] => fault.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

fn incompatible(report: &Report) -> String {
    let errors = report.errors().count();
    let first =
        report.errors().next().map_or("", |found| found.finding.message.trim_end_matches('.'));
    let next = report.next.as_ref();
    let next = next.map(|next| format!("; a breaking change is declared as {next}"));
    let more = if errors > 1 { format!(" (and {} more)", errors - 1) } else { String::new() };
    format!("the schema breaks \"{}\": {first}{more}{}", report.subject, next.unwrap_or_default())
}

/// The reason why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Drafts are refused, each with its index in the request.
    #[error("{}", refused(.0))]
    Refused(Vec<(usize, Refusal)>),
    /// Drafts reference each other in a cycle.
    #[error("the schemas reference each other in a cycle: {}", .0.join(" -> "))]
    ReferenceCycle(Vec<String>),
    /// The subject or the version does not exist.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// A setting exceeds its limit: the fields, with the reasons.
    #[error("{}", joined(.0.iter().map(|(field, reason)| format!("{field}: {reason}"))))]
    Invalid(Vec<(String, String)>),
    /// Other subjects reference the subject.
    #[error("subject \"{subject}\" is referenced by {}", by.join(", "))]
    StillReferenced {
        /// The subject.
        subject: String,
        /// The referencing versions, each with its subject.
        by: Vec<String>,
    },
    /// The change would affect consumers.
    #[error("{}", affected_message(.0))]
    AffectsConsumers(Affected),
    /// The registry changed since the plan.
    #[error(
        "the registry changed since the plan: it was planned at revision {expected}, and is at \
         revision {actual}; plan again"
    )]
    RevisionMoved {
        /// The revision of the plan.
        expected: u64,
        /// The revision of the registry.
        actual: u64,
    },
    /// The subject changed since the caller read it.
    #[error("subject \"{subject}\" changed: its etag is \"{actual}\" now")]
    EtagMismatch {
        /// The subject.
        subject: String,
        /// The etag of the subject.
        actual: String,
    },
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn refused(refusals: &[(usize, Refusal)]) -> String {
    match refusals {
        [(_, refusal)] => refusal.to_string(),
        refusals => {
            joined(refusals.iter().map(|(index, refusal)| format!("schemas[{index}]: {refusal}")))
        }
    }
}

fn joined(messages: impl Iterator<Item = String>) -> String {
    messages.collect::<Vec<_>>().join("; ")
}

/// RocksDB or the file system failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// A write failed, for example because the disk is full. How much of it is on disk is unknown.
    /// The registry accepts no more writes.
    #[error("a write of the registry failed, and how much of it is on disk is unknown: {0}")]
    Ambiguous(String),
    /// An earlier write failed.
    #[error("the registry accepts no writes, because an earlier write failed: {0}")]
    Stopped(String),
}

/// A stored change cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("a stored change cannot be read: {0}")]
pub struct Damaged(pub String);

/// The registry cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory open.
    #[error("the registry's directory {0} is in use by another process")]
    Locked(String),
    /// A newer program wrote the directory.
    #[error("the registry's directory has format {found}; this program supports format {known}")]
    NewerFormat {
        /// The format of the directory.
        found: u32,
        /// The format that this program supports.
        known: u32,
    },
    /// Acknowledged data is missing: a log or a list of files was cut, or comes from an older copy.
    #[error("acknowledged schemas are missing: {0}")]
    AcknowledgedMissing(String),
    /// The damage is not limited to single rows that can be quarantined.
    #[error("the registry's data is damaged: {0}")]
    Corrupt(String),
    /// The file system failed.
    #[error("{doing}: {detail}")]
    Io {
        /// The operation that failed.
        doing: &'static str,
        /// The error of the file system.
        detail: String,
    },
}
