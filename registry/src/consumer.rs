//! Consumers: applications that read events, and what each says that it understands.

pub mod table;

use std::{fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use semver::{Version, VersionReq};

use crate::subject::{SubjectName, check_name};

/// How long a stream counts as open behind the last word of whoever serves it: two repetitions may be lost, of one a minute.
pub const LEASE: SignedDuration = SignedDuration::from_mins(2);
/// How long what streams asked for is known behind the last one. A job that runs once a quarter is not forgotten in
/// between; what was switched off does not hold up retirements for longer.
pub const KNOWN: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The name of an application that reads events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerName(Arc<str>);

impl ConsumerName {
    /// 1 to 255 printable characters, no spaces.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(
                "is missing: the name of the application that reads, such as billing".into()
            );
        }
        check_name(text)?;
        Ok(Self(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a need is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The consumer said so itself. Known until it says something else, or is forgotten.
    Declared,
    /// A stream that it opened says so.
    Stream,
}

/// What a consumer understands of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Who.
    pub consumer: ConsumerName,
    /// Of what.
    pub subject: SubjectName,
    /// Which versions.
    pub requirement: VersionReq,
    /// How that is known.
    pub origin: Origin,
    /// What it was last told that it is delivered.
    pub negotiated: Option<Version>,
    /// When it was declared, or when a stream with it was last open.
    pub seen: Timestamp,
    /// Until when a stream with it counts as open. Not stored.
    pub open_until: Option<Timestamp>,
}

impl Requirement {
    /// Whether a stream with it is open.
    pub fn is_connected(&self, now: Timestamp) -> bool {
        self.open_until.is_some_and(|until| until > now)
    }

    /// Whether nothing speaks for it any more.
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        self.origin == Origin::Stream && now.duration_since(self.seen) > KNOWN
    }
}

/// What a consumer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerUpdate {
    /// This is all that it needs, whatever its streams ask for. Nothing: forget it, but for its open streams.
    Declared,
    /// A stream that needs this is open.
    Open,
    /// The last stream that needed this ended.
    Ended,
}
