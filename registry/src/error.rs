//! What the registry refuses, and what can go wrong. `service/status.rs` says how each looks on the wire.

use semver::Version;

use crate::impact::{Affected, Impact};
use tidings_schema::definition::Fault;
use tidings_schema::report::Report;

/// What was asked for is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No subject of that name.
    #[error("subject \"{name}\" does not exist{}", did_you_mean(nearest.as_deref()))]
    Subject {
        /// What was asked for.
        name: String,
        /// A similar name that is there.
        nearest: Option<String>,
    },
    /// No such version, or none that satisfies the requirement.
    #[error(
        "subject \"{subject}\" has no version {}; it has {}",
        if version.is_empty() { "that is not retired" } else { version },
        tidings_schema::version::list(registered.iter())
    )]
    Version {
        /// The subject.
        subject: String,
        /// What was asked for.
        version: String,
        /// What is there.
        registered: Vec<Version>,
    },
    /// No such id.
    #[error("no schema has the id {id}")]
    Id {
        /// What was asked for.
        id: u32,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

/// What is stored cannot be parsed any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("version {version} of \"{subject}\" (id {id}) is stored and cannot be read: {detail}")]
pub struct Unreadable {
    /// Whose it is.
    pub subject: String,
    /// Its version.
    pub version: Version,
    /// Its id.
    pub id: u32,
    /// Why.
    pub detail: String,
}

/// A draft that does not become a version.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// It is no schema.
    #[error("{}", in_one_line(.0))]
    Invalid(Vec<Fault>),
    /// It is larger than what is taken.
    #[error("the definition has {size} bytes, at most {limit} are taken")]
    TooLarge {
        /// Bytes of it.
        size: usize,
        /// Bytes that are taken.
        limit: usize,
    },
    /// A field of the draft is out of bounds: the field and why.
    #[error("{field}: {message}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A reference leads nowhere.
    #[error("reference \"{name}\": {reason}")]
    Reference {
        /// What the definition calls it.
        name: String,
        /// Why.
        reason: String,
    },
    /// The subject has another format.
    #[error("subject \"{subject}\" has {registered} schemas, the draft is {given}")]
    Format {
        /// The subject.
        subject: String,
        /// Its format.
        registered: String,
        /// The format of the draft.
        given: String,
    },
    /// It breaks what the subject's compatibility promises.
    #[error("{}", incompatible(&.0.report))]
    Incompatible(Box<Impact>),
    /// The declared version is less than what the change asks for, or than what its line has.
    #[error("version {declared} is too low: {reason}")]
    TooLow {
        /// What was declared.
        declared: Version,
        /// The least that is taken.
        least: Version,
        /// Why.
        reason: String,
        /// What was found.
        impact: Box<Impact>,
    },
    /// Consumers would be left behind.
    #[error("{}", left_behind(&.0.affected))]
    AffectsConsumers(Box<Impact>),
    /// The declared version is another schema, or was once.
    #[error(
        "version {version} of \"{subject}\" is another schema: versions are immutable, and never used again"
    )]
    Taken {
        /// The subject.
        subject: String,
        /// The version.
        version: Version,
        /// Where to go on.
        next: Version,
    },
    /// What it is to be compared with cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl Refusal {
    /// What was found, where it was compared at all.
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
            | Self::Taken { .. }
            | Self::Unreadable(_) => None,
        }
    }

    /// The same, to complete it.
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
            | Self::Taken { .. }
            | Self::Unreadable(_) => None,
        }
    }
}

fn left_behind(affected: &Affected) -> String {
    let Some(first) = affected.listed.first() else {
        return "consumers would be left behind".into();
    };
    let more = match affected.total {
        0 | 1 => String::new(),
        total => format!(" (and {} more)", total - 1),
    };
    let need = &first.need;
    format!(
        "consumer \"{}\", which needs {} of \"{}\", would be left behind: {}{more}",
        need.consumer, need.requirement, need.subject, first.reason
    )
}

/// More consumers, or needs of one, than are kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    /// There are enough.
    #[error("this would be consumer {count}, at most {limit} are kept: forget those that are gone")]
    Consumers {
        /// How many it would be.
        count: usize,
        /// How many are kept.
        limit: usize,
    },
    /// It needs enough.
    #[error("consumer \"{consumer}\" would have {count} requirements, at most {limit} are kept")]
    Needs {
        /// Whose.
        consumer: String,
        /// How many it would be.
        count: usize,
        /// How many are kept.
        limit: usize,
    },
}

/// What a consumer said was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// There is no room for it.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The disk.
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
    let first = report.errors().next().map_or("", |it| it.finding.message.trim_end_matches('.'));
    let next = report.next.as_ref().map(|it| format!("; a breaking change is declared as {it}"));
    let more = if errors > 1 { format!(" (and {} more)", errors - 1) } else { String::new() };
    format!("the schema breaks \"{}\": {first}{more}{}", report.subject, next.unwrap_or_default())
}

/// A write that was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Drafts are refused: each with its place in the request.
    #[error("{}", refused(.0))]
    Refused(Vec<(usize, Refusal)>),
    /// Drafts refer to each other in a circle.
    #[error("the schemas refer to each other in a circle: {}", .0.join(" -> "))]
    Circle(Vec<String>),
    /// What is to be changed is not there.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// A setting is out of bounds.
    #[error("{}", .0.iter().map(|(field, why)| format!("{field}: {why}")).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<(String, String)>),
    /// Other subjects refer to it.
    #[error("subject \"{subject}\" is referred to by {}", by.join(", "))]
    StillReferenced {
        /// The subject.
        subject: String,
        /// Subject and version of each.
        by: Vec<String>,
    },
    /// Consumers would be left behind.
    #[error("{}", left_behind(.0))]
    AffectsConsumers(Affected),
    /// The registry is not where the plan was made.
    #[error(
        "the registry changed since the plan: it was made at revision {expected}, and revision {actual} is reached; plan again"
    )]
    RevisionMoved {
        /// Of the plan.
        expected: u64,
        /// Of the registry.
        actual: u64,
    },
    /// The subject is not what the caller saw.
    #[error("subject \"{subject}\" changed: its etag is \"{actual}\" now")]
    EtagMismatch {
        /// The subject.
        subject: String,
        /// Its etag.
        actual: String,
    },
    /// The disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn refused(refusals: &[(usize, Refusal)]) -> String {
    match refusals {
        [(_, one)] => one.to_string(),
        many => {
            let words = many.iter().map(|(at, refusal)| format!("schemas[{at}]: {refusal}"));
            words.collect::<Vec<_>>().join("; ")
        }
    }
}

/// RocksDB or the file system failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// A write failed, be it for want of space; whether it is on disk is not known. Nothing is written any more.
    #[error("a write of the registry failed, and nobody knows what of it is on disk: {0}")]
    Ambiguous(String),
    /// An earlier write failed.
    #[error("the registry writes nothing any more, because a write failed: {0}")]
    Stopped(String),
}

/// A row that cannot be read any more.
#[derive(Debug, Clone, thiserror::Error)]
#[error("a change is stored and cannot be read: {0}")]
pub struct Damaged(pub String);

/// The registry cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error("the registry's directory {0} is in use by another process")]
    Locked(String),
    /// Written by a newer program.
    #[error("the registry's directory has format {found}, this program knows {known}")]
    NewerFormat {
        /// What is there.
        found: u32,
        /// What is known.
        known: u32,
    },
    /// Less than was acknowledged once: a log or a list of files was cut, or comes from an older copy.
    #[error("schemas that were acknowledged are gone: {0}")]
    AcknowledgedMissing(String),
    /// Damaged beyond setting single schemas aside.
    #[error("the registry's data is damaged: {0}")]
    Corrupt(String),
    /// The file system.
    #[error("{doing}: {detail}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What it said.
        detail: String,
    },
}
