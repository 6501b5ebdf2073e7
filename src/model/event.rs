//! An event on its way in, and an event as it is recorded.

use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{
    encoded::{EncodedEvent, with_fields},
    name::TopicName,
    numbers::{AppendTime, KeyVersion, Offset, Position},
    unchecked,
};

/// Longest `id`, `source`, `type`, `subject`, `partitionkey` and `correlationid`, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 1024;

/// Bytes that the store writes in front of an event. They are left free when the event is encoded, so that its row is
/// made in place.
pub const HEADER_BYTES: usize = 56;

/// What an event's source and id hash to: its identity within a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdentityHash(pub u128);

impl IdentityHash {
    /// XXH3-128 over the length of the source, the source and the id. Fixed for good: it is on disk.
    pub fn of(source: &str, id: &str) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&(source.len() as u64).to_be_bytes());
        hash.update(source.as_bytes());
        hash.update(id.as_bytes());
        Self(hash.digest128())
    }
}

/// What the producer said, hashed: tells a repetition from another event under the same identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub u64);

impl ContentHash {
    /// XXH3-64 over the event's Protobuf bytes in ascending order of fields and map keys, with attributes lifted and
    /// defaults filled in. Fixed for good: it is on disk.
    pub fn of(encoded: &[u8]) -> Self {
        Self(xxh3_64(encoded))
    }
}

/// Why the event may not be appended unless it is recorded already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Larger than the topic or the server takes.
    #[error("the event has {size} bytes, at most {limit} are taken here")]
    TooLarge {
        /// Bytes of the event.
        size: u64,
        /// Bytes that are taken.
        limit: u64,
    },
    /// The topic takes other types only.
    #[error("type {event_type:?} is not among the types that the topic takes: {allowed}")]
    TypeNotAllowed {
        /// The event's type.
        event_type: String,
        /// What the topic takes, as a list.
        allowed: String,
    },
    /// The topic takes only types that have a schema.
    #[error("type {event_type:?} has no registered schema: {hint}")]
    SchemaRequired {
        /// The event's type.
        event_type: String,
        /// What to do.
        hint: &'static str,
    },
    /// The payload is not what its schema says.
    #[error("the payload is not what {event_type} {version} says: {}", sentences(.violations))]
    PayloadInvalid {
        /// The event's type, which is the schema's subject.
        event_type: String,
        /// The schema's version.
        version: String,
        /// The field that the payload came in.
        form: Form,
        /// All that is wrong: JSON pointers into the payload, and a sentence for each.
        violations: Vec<(String, String)>,
    },
    /// The schema version that the event names, or every one of its type, cannot be used.
    #[error("schemaversion {asked:?} of type {event_type:?} cannot be published: {detail}")]
    VersionUnusable {
        /// The event's type.
        event_type: String,
        /// As the event has it; empty: the newest.
        asked: String,
        /// Why, and what can be.
        detail: String,
    },
    /// It is not known whether the type has a schema.
    #[error("type {event_type:?} cannot be looked up: {detail}")]
    RegistryAway {
        /// The event's type.
        event_type: String,
        /// Why.
        detail: String,
    },
}

fn sentences(violations: &[(String, String)]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<_> = violations
        .iter()
        .take(SHOWN)
        .map(|(path, message)| match path.as_str() {
            "" => message.clone(),
            path => format!("{path} {message}"),
        })
        .collect();
    match violations.len() - shown.len() {
        0 => shown.join("; "),
        more => format!("{} (and {more} more)", shown.join("; ")),
    }
}

/// The field that a payload was published in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// There is none.
    Absent,
    /// `data`: JSON by hand, kept as text.
    Data,
    /// `text_data`.
    Text,
    /// `binary_data`.
    Binary,
    /// `proto_data`: a `google.protobuf.Any`.
    Any,
}

impl Form {
    /// The name of the field.
    pub fn field(self) -> &'static str {
        match self {
            Self::Absent | Self::Data => "data",
            Self::Text => "text_data",
            Self::Binary => "binary_data",
            Self::Any => "proto_data",
        }
    }
}

/// An event that is well formed, encoded and ready to be appended.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// As the producer named it.
    pub id: String,
    /// Its identity.
    pub identity: IdentityHash,
    /// What the producer said.
    pub content: ContentHash,
    /// What happened.
    pub event_type: String,
    /// The field that the payload came in.
    pub form: Form,
    /// The schema that its payload fits; 0: none.
    pub schema_id: u32,
    /// `correlationid`; may be empty.
    pub correlation: String,
    /// [`HEADER_BYTES`] free bytes, then the event's Protobuf bytes.
    pub row: Vec<u8>,
    /// Where the key is in the event's bytes.
    pub key: Option<(u32, u16)>,
    /// Its times are in the range of `google.protobuf.Timestamp`.
    pub times_checked: bool,
    /// Set where it may not be appended.
    pub refusal: Option<Refusal>,
}

impl NewEvent {
    /// Takes an encoded event with free bytes in front.
    ///
    /// # Panics
    /// Where the row is shorter than the free bytes.
    pub fn new(
        id: String,
        source: &str,
        event_type: String,
        correlation: String,
        content: ContentHash,
        row: Vec<u8>,
    ) -> Self {
        assert!(row.len() >= HEADER_BYTES, "a row begins with room for its header");
        let key = key_of(&row[HEADER_BYTES..]);
        let identity = IdentityHash::of(source, &id);
        Self {
            id,
            identity,
            content,
            event_type,
            form: Form::Absent,
            schema_id: 0,
            correlation,
            row,
            key,
            times_checked: false,
            refusal: None,
        }
    }

    /// The event's Protobuf bytes.
    pub fn encoded(&self) -> &[u8] {
        &self.row[HEADER_BYTES..]
    }

    /// `partitionkey`, else `subject`, else nothing.
    pub fn key(&self) -> Option<&[u8]> {
        slice(self.encoded(), self.key)
    }

    /// Puts fields in place of what the event has of them.
    pub fn replace(&mut self, fields: &[(u32, &[u8])]) {
        let added: usize = fields.iter().map(|(_, bytes)| bytes.len() + 16).sum();
        let mut row = Vec::with_capacity(self.row.len() + added);
        row.resize(HEADER_BYTES, 0);
        with_fields(self.encoded(), fields, &mut row);
        self.key = key_of(&row[HEADER_BYTES..]);
        self.row = row;
    }
}

/// Where the key is in an event's bytes.
fn key_of(event: &[u8]) -> Option<(u32, u16)> {
    let range = EncodedEvent(event).key_range()?;
    Some((u32::try_from(range.start).ok()?, u16::try_from(range.len()).ok()?))
}

fn slice(event: &[u8], key: Option<(u32, u16)>) -> Option<&[u8]> {
    let (at, length) = key?;
    let at = at as usize;
    event.get(at..at + usize::from(length))
}

/// An event as it is in the log of its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the topic.
    pub offset: Offset,
    /// Its place among everything.
    pub position: Position,
    /// Which of its key's events it is; 0 where it has no key.
    pub key_version: KeyVersion,
    /// When it was recorded.
    pub append_time: AppendTime,
    /// Which schema governs it; 0: none.
    pub schema_id: u32,
    /// Its times are in the range of `google.protobuf.Timestamp`; false: it is not known.
    pub times_checked: bool,
    /// Where the key is in `event`.
    pub key: Option<(u32, u16)>,
    /// The exact Protobuf bytes of the event as it is delivered.
    pub event: Bytes,
}

impl Recorded {
    /// `partitionkey`, else `subject`, else empty.
    pub fn key(&self) -> &[u8] {
        slice(&self.event, self.key).unwrap_or_default()
    }

    /// The event without times out of range. None: it has none.
    pub fn printable(&self) -> Option<Self> {
        if self.times_checked {
            return None;
        }
        let event = unchecked::printable(&self.event)?;
        let mut printable = self.clone();
        printable.replace(event.into());
        Some(printable)
    }

    /// Puts other bytes in place of the event's.
    pub fn replace(&mut self, event: Bytes) {
        self.key = key_of(&event);
        self.event = event;
    }

    /// Attributes without decoding the event.
    pub fn encoded(&self) -> EncodedEvent<'_> {
        EncodedEvent(&self.event)
    }
}

/// An event with the topic that it is in.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Where it is recorded.
    pub topic: Arc<TopicName>,
    /// What is recorded; where it was converted, with the event as it is delivered.
    pub recorded: Recorded,
    /// The schema version that it is delivered in; 0: none.
    pub schema_id: u32,
    /// Its bytes are not those that were written.
    pub converted: bool,
}

impl Delivered {
    /// As it was written.
    pub fn as_written(topic: Arc<TopicName>, recorded: Recorded) -> Self {
        let schema_id = recorded.schema_id;
        Self { topic, recorded, schema_id, converted: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These are on disk: if this test fails, every stored identity would be forgotten.
    #[test]
    fn the_hashes_have_not_moved() {
        assert_eq!(
            format!("{:032x}", IdentityHash::of("/shop", "42").0),
            "c3bfa6f40d8454ee0a10cb1a779c8b65"
        );
        assert_eq!(format!("{:016x}", ContentHash::of(b"tidings").0), "53493ca904cd9510");
    }

    #[test]
    fn source_and_id_do_not_run_together() {
        assert_ne!(IdentityHash::of("ab", "c"), IdentityHash::of("a", "bc"));
    }
}
