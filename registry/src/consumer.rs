//! Consumers: applications that read events, and the versions that they can read.

pub mod table;

use std::{fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use semver::{Version, VersionReq};

use crate::name::{SubjectName, check_name};

/// How long a stream counts as open after the last update from its server. Servers repeat updates
/// every minute, so two may be lost.
pub const LEASE: SignedDuration = SignedDuration::from_mins(2);
/// How long a requirement of a stream is kept after the last update. A job that runs once a quarter
/// is kept between its runs; an application that was shut down does not block retirements for
/// longer.
pub const STREAM_RETENTION: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The name of an application that reads events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerName(Arc<str>);

impl ConsumerName {
    /// Parses a name: 1 to 255 printable characters, no spaces.
    ///
    /// # Errors
    /// Returns the fault as text if the name is empty or [`check_name`] fails.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(
                "is missing: the name of the application that reads, such as billing".into()
            );
        }
        check_name(text)?;
        Ok(Self(text.into()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The origin of a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The consumer declared it. It is kept until the consumer declares other requirements, or
    /// none.
    Declared,
    /// The consumer opened a stream with it.
    Stream,
}

/// The versions of one subject that a consumer can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The consumer.
    pub consumer: ConsumerName,
    /// The subject.
    pub subject: SubjectName,
    /// The versions that it can read.
    pub version_req: VersionReq,
    /// The origin of the requirement.
    pub origin: Origin,
    /// The version of the last negotiation. None: no version satisfied the requirement.
    pub negotiated: Option<Version>,
    /// When it was declared, or when a stream with it was last open.
    pub seen: Timestamp,
    /// The time until which a stream with it counts as open. Not stored.
    pub open_until: Option<Timestamp>,
}

impl Requirement {
    /// Returns whether a stream with it is open.
    pub fn is_connected(&self, now: Timestamp) -> bool {
        self.open_until.is_some_and(|until| until > now)
    }

    /// Returns whether it expired: no stream was open with it for [`STREAM_RETENTION`].
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.origin == Origin::Stream && now.duration_since(self.seen) > STREAM_RETENTION
    }
}

/// An update of the requirements of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerUpdate {
    /// These are all declared requirements; requirements of streams stay. An empty list removes the
    /// consumer, except for its open streams.
    Declared,
    /// A stream with these requirements is open.
    Open,
    /// The last stream with these requirements ended.
    Ended,
}

/// The number of consumers, or of requirements of a consumer, exceeds its limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    /// There are too many consumers.
    #[error(
        "this would be consumer {count}; the limit is {limit}; forget consumers that no longer exist"
    )]
    Consumers {
        /// The number with the new ones.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The consumer has too many requirements.
    #[error("consumer \"{consumer}\" would have {count} requirements; the limit is {limit}")]
    Requirements {
        /// The consumer.
        consumer: String,
        /// The number with the new ones.
        count: usize,
        /// The limit.
        limit: usize,
    },
}
