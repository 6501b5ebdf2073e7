//! Registered versions of schemas.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;
use semver::Version;
use sha2::{Digest as _, Sha256};

use crate::name::SubjectName;
use tidings_schema::{
    definition::{Definition, InvalidSchema},
    schema::{Format, Schema},
    version::Bump,
};

/// SHA-256 of the canonical form and of the fingerprints of its references.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Computes the fingerprint of a schema. A reference counts by the fingerprint of the schema
    /// that it names, not by subject and version.
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
        references.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, fingerprint) in references {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
            hash.update(fingerprint.0);
        }
        Self(hash.finalize().into())
    }

    /// Parses the hexadecimal form.
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

/// Whether a version may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// May be used.
    Active,
    /// May be used, with a notice.
    Deprecated,
    /// Only served by id, for the events that were written with it.
    Retired,
}

/// A version of another subject that a definition refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name that the definition uses.
    pub name: String,
    /// The subject of the referenced version.
    pub subject: SubjectName,
    /// The referenced version. It is fixed, since versions are never reused.
    pub version: Version,
}

/// One immutable version of a subject's schema.
#[derive(Debug, Clone)]
pub struct SchemaVersion {
    /// The subject.
    pub subject: SubjectName,
    /// The version.
    pub version: Version,
    /// The id, which is never assigned again.
    pub id: u32,
    /// The format.
    pub format: Format,
    /// The definition as its author wrote it.
    pub definition: Definition,
    /// The referenced versions of other subjects.
    pub references: Vec<Reference>,
    /// The fingerprint, which is equal for equivalent schemas.
    pub fingerprint: Fingerprint,
    /// Whether the version may be used.
    pub state: State,
    /// The reason of a deprecation, and the version to migrate to.
    pub deprecation: String,
    /// Labels for tools.
    pub labels: BTreeMap<String, String>,
    /// When the version was registered.
    pub created: Timestamp,
    /// The size of the change since the previous version. None for a first version.
    pub bump: Option<Bump>,
    /// The parsed schema, parsed when first needed: a start with many versions is fast, and a
    /// definition that no longer parses does not prevent a start.
    pub parsed: Parsed,
}

/// A schema that is parsed at most once.
pub type Parsed = Arc<OnceLock<Result<Arc<Schema>, InvalidSchema>>>;
