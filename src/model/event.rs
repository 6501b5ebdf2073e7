//! Events: new ones before they are appended, and recorded ones.

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

/// Bytes of the row header before an event. The encoder reserves them, so that the store writes the
/// header in place.
pub const HEADER_BYTES: usize = 56;

/// The identity of an event within a topic: a hash of its source and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdentityHash(pub u128);

impl IdentityHash {
    /// XXH3-128 over the length of the source, the source and the id. Stored on disk, so it must
    /// never change.
    pub fn of(source: &str, id: &str) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&(source.len() as u64).to_be_bytes());
        hash.update(source.as_bytes());
        hash.update(id.as_bytes());
        Self(hash.digest128())
    }
}

/// A hash of the published content. It tells a duplicate from another event with the same identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub u64);

impl ContentHash {
    /// XXH3-64 over the event's Protobuf bytes in ascending order of fields and map keys, with
    /// attributes moved to their fields and defaults filled in. Stored on disk, so it must never
    /// change.
    pub fn of(encoded: &[u8]) -> Self {
        Self(xxh3_64(encoded))
    }
}

/// Why an event may not be appended. It is not an error if the event turns out to be a duplicate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The event exceeds the limit of the topic or the server.
    #[error("the event has {size} bytes; the limit is {limit}")]
    TooLarge {
        /// Bytes of the event.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The topic does not allow the type.
    #[error("type {event_type:?} is not allowed in the topic; allowed are {allowed}")]
    TypeNotAllowed {
        /// The event's type.
        event_type: String,
        /// The allowed types, as a list.
        allowed: String,
    },
    /// The topic requires a registered schema.
    #[error("type {event_type:?} has no registered schema: {hint}")]
    SchemaRequired {
        /// The event's type.
        event_type: String,
        /// The remedy.
        hint: &'static str,
    },
    /// The payload does not match its schema.
    #[error("the payload does not match {event_type} {version}: {}", sentences(.violations))]
    PayloadInvalid {
        /// The event's type, which is the subject of the schema.
        event_type: String,
        /// The version of the schema.
        version: String,
        /// The field that contains the payload.
        payload_field: PayloadField,
        /// All violations: a JSON pointer into the payload, and a sentence.
        violations: Vec<(String, String)>,
    },
    /// The requested schema version, or every version of the type, is unusable.
    #[error("schemaversion {requested:?} of type {event_type:?} cannot be published: {detail}")]
    VersionUnusable {
        /// The event's type.
        event_type: String,
        /// The version that the event requests. Empty: the newest.
        requested: String,
        /// The reason, and the usable versions.
        detail: String,
    },
    /// The registry is unavailable, so it is unknown whether the type has a schema.
    #[error("type {event_type:?} cannot be looked up: {detail}")]
    RegistryUnavailable {
        /// The event's type.
        event_type: String,
        /// The reason.
        detail: String,
    },
}

fn sentences(violations: &[(String, String)]) -> String {
    const LISTED_MAX: usize = 3;
    let listed: Vec<_> = violations
        .iter()
        .take(LISTED_MAX)
        .map(|(path, message)| match path.as_str() {
            "" => message.clone(),
            path => format!("{path} {message}"),
        })
        .collect();
    match violations.len() - listed.len() {
        0 => listed.join("; "),
        more => format!("{} (and {more} more)", listed.join("; ")),
    }
}

/// The field that contains a published payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadField {
    /// The event has no payload.
    Absent,
    /// `data`: a JSON value, recorded as text.
    Data,
    /// `text_data`.
    Text,
    /// `binary_data`.
    Binary,
    /// `proto_data`: a `google.protobuf.Any`.
    Any,
}

impl PayloadField {
    /// The name of the field in an event.
    pub fn name(self) -> &'static str {
        match self {
            Self::Absent | Self::Data => "data",
            Self::Text => "text_data",
            Self::Binary => "binary_data",
            Self::Any => "proto_data",
        }
    }
}

/// A valid event, encoded and ready to be appended.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event's id.
    pub id: String,
    /// Its identity.
    pub identity: IdentityHash,
    /// The hash of its content.
    pub content: ContentHash,
    /// Its type.
    pub event_type: String,
    /// The field that contains the payload.
    pub payload_field: PayloadField,
    /// Id of the schema that its payload matches. 0: none.
    pub schema_id: u32,
    /// `correlationid`. May be empty.
    pub correlation: String,
    /// [`HEADER_BYTES`] reserved bytes, then the event's Protobuf bytes.
    pub row: Vec<u8>,
    /// Start and length of the key in the event's bytes.
    pub key: Option<(u32, u16)>,
    /// Whether its times were checked against the range of `google.protobuf.Timestamp`.
    pub times_checked: bool,
    /// Why the event may not be appended. None: it may.
    pub refusal: Option<Refusal>,
}

impl NewEvent {
    /// Creates an event from a row of reserved bytes and the encoded event.
    ///
    /// # Panics
    /// Panics if the row is shorter than the reserved bytes.
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
            payload_field: PayloadField::Absent,
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

    /// `partitionkey`, or else `subject`. None: the event has no key.
    pub fn key(&self) -> Option<&[u8]> {
        slice(self.encoded(), self.key)
    }

    /// Replaces fields of the event.
    pub fn replace(&mut self, fields: &[(u32, &[u8])]) {
        let added: usize = fields.iter().map(|(_, bytes)| bytes.len() + 16).sum();
        let mut row = Vec::with_capacity(self.row.len() + added);
        row.resize(HEADER_BYTES, 0);
        with_fields(self.encoded(), fields, &mut row);
        self.key = key_of(&row[HEADER_BYTES..]);
        self.row = row;
    }
}

/// Start and length of the key in an event's bytes.
fn key_of(event: &[u8]) -> Option<(u32, u16)> {
    let range = EncodedEvent(event).key_range()?;
    Some((u32::try_from(range.start).ok()?, u16::try_from(range.len()).ok()?))
}

fn slice(event: &[u8], key: Option<(u32, u16)>) -> Option<&[u8]> {
    let (at, length) = key?;
    let at = at as usize;
    event.get(at..at + usize::from(length))
}

/// An event in the log of its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Offset in the topic.
    pub offset: Offset,
    /// Position in the log of all topics.
    pub position: Position,
    /// Version of its key. 0: it has no key.
    pub key_version: KeyVersion,
    /// Append time.
    pub append_time: AppendTime,
    /// Id of the schema of the payload. 0: none.
    pub schema_id: u32,
    /// Whether its times were checked against the range of `google.protobuf.Timestamp`.
    pub times_checked: bool,
    /// Start and length of the key in `event`.
    pub key: Option<(u32, u16)>,
    /// The exact Protobuf bytes of the event as it is delivered.
    pub event: Bytes,
}

impl Recorded {
    /// `partitionkey`, or else `subject`. Empty: the event has no key.
    pub fn key(&self) -> &[u8] {
        slice(&self.event, self.key).unwrap_or_default()
    }

    /// The event without its times that are out of range. None: all of its times are in range.
    pub fn printable(&self) -> Option<Self> {
        if self.times_checked {
            return None;
        }
        let event = unchecked::printable(&self.event)?;
        let mut printable = self.clone();
        printable.replace(event.into());
        Some(printable)
    }

    /// Replaces the bytes of the event.
    pub fn replace(&mut self, event: Bytes) {
        self.key = key_of(&event);
        self.event = event;
    }

    /// Access to attributes without decoding the event.
    pub fn encoded(&self) -> EncodedEvent<'_> {
        EncodedEvent(&self.event)
    }
}

/// An event for delivery, with its topic.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The topic of the event.
    pub topic: Arc<TopicName>,
    /// The recorded event. After a conversion, its bytes are the converted ones.
    pub recorded: Recorded,
    /// Id of the schema version in which it is delivered. 0: none.
    pub schema_id: u32,
    /// Whether its bytes differ from those that were written.
    pub converted: bool,
}

impl Delivered {
    /// The event as it was written.
    pub fn as_written(topic: Arc<TopicName>, recorded: Recorded) -> Self {
        let schema_id = recorded.schema_id;
        Self { topic, recorded, schema_id, converted: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hashes are stored on disk: if this test fails, stored identities are no longer
    /// recognized.
    #[test]
    fn the_stored_hashes_have_not_changed() {
        assert_eq!(
            format!("{:032x}", IdentityHash::of("/shop", "42").0),
            "c3bfa6f40d8454ee0a10cb1a779c8b65"
        );
        assert_eq!(format!("{:016x}", ContentHash::of(b"tidings").0), "53493ca904cd9510");
    }

    #[test]
    fn source_and_id_are_hashed_separately() {
        assert_ne!(IdentityHash::of("ab", "c"), IdentityHash::of("a", "bc"));
    }
}
