//! SchemaVersion versions.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;
use semver::Version;
use sha2::{Digest as _, Sha256};

use crate::subject::SubjectName;
use tidings_schema::{
    definition::{Definition, InvalidSchema},
    schema::{Format, Schema},
    version::Bump,
};

/// SHA-256 of the canonical form with the fingerprints of what it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a schema. References count by what they mean, not by where they are registered.
    pub fn of(format: Format, canonical: &[u8], references: &[(String, Fingerprint)]) -> Self {
        let mut hash = Sha256::new();
        let tag = match format {
            Format::Protobuf => b'P',
            Format::Json => b'J',
            Format::Avro => b'A',
        };
        hash.update([tag]);
        hash.update((canonical.len() as u64).to_be_bytes());
        hash.update(canonical);
        let mut references: Vec<_> = references.iter().collect();
        references.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, fingerprint) in references {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
            hash.update(fingerprint.0);
        }
        Self(hash.finalize().into())
    }

    /// Reads the hexadecimal form.
    pub fn parse(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if hex.len() != 64 {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether a version is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Yes.
    Active,
    /// Still served, with notice.
    Deprecated,
    /// Only by id, for the events that it wrote.
    Retired,
}

/// A version of another subject that a definition refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What the definition calls it.
    pub name: String,
    /// Where it is registered.
    pub subject: SubjectName,
    /// In which version: for good, since versions are never used again.
    pub version: Version,
}

/// One immutable version of a subject's schema.
#[derive(Debug, Clone)]
pub struct SchemaVersion {
    /// Whose it is.
    pub subject: SubjectName,
    /// Its version.
    pub version: Version,
    /// Names it for ever.
    pub id: u32,
    /// Its format.
    pub format: Format,
    /// As its author wrote it.
    pub definition: Definition,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// What makes it the same as another one.
    pub fingerprint: Fingerprint,
    /// Whether it is to be used.
    pub state: State,
    /// Why it is deprecated, and what to move to.
    pub deprecation: String,
    /// For tools.
    pub labels: BTreeMap<String, String>,
    /// When it was registered.
    pub created: Timestamp,
    /// What it changed against the one before it. None for a first one.
    pub bump: Option<Bump>,
    /// Parsed when it is first needed: a start with many is fast, and what cannot be parsed any more stops nobody.
    pub parsed: Parsed,
}

/// A schema, parsed once.
pub type Parsed = Arc<OnceLock<Result<Arc<Schema>, InvalidSchema>>>;
