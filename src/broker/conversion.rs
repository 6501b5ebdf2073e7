//! Payloads from the version that wrote them to the one that a reader wants. What was converted is kept for all readers
//! that want the same.

use std::{mem, sync::Arc};

use bytes::{Bytes, BytesMut};
use quick_cache::{Weighter, sync::Cache};
use tidings_registry::schema::SchemaVersion;
use tidings_schema::{converter::Converter, definition::Violation, schema::Schema};

use crate::model::{
    encoded::{Payload, any, tag, with_fields},
    event::Recorded,
    numbers::Position,
};

/// Bytes of converted events that are kept: what a handful of readers at the tail want at the same time.
const KEPT_BYTES_MAX: u64 = 32 << 20;
/// Bytes that an entry costs beside its event.
const ENTRY_BYTES: u64 = 96;
/// Faults of a conversion that are told.
const VIOLATIONS_MAX: usize = 3;

/// What an event may grow by where its payload does not: the version, the tags and lengths of two fields.
const GROWTH_BYTES: usize = 48;

/// Two versions of a subject.
pub(super) struct Pair {
    writer: Arc<SchemaVersion>,
    reader: Arc<SchemaVersion>,
    /// Of the reader, in words.
    version: String,
    converter: Converter,
}

/// Room that the conversions of one stream share.
#[derive(Default)]
pub(super) struct Room {
    /// A payload on its way.
    payload: Vec<u8>,
    /// Events of a batch, one behind the other: one allocation for all of them.
    events: BytesMut,
}

impl Room {
    /// Makes room for a batch of events.
    pub fn reserve(&mut self, events: usize, bytes: usize) {
        self.events.reserve(bytes + events * GROWTH_BYTES);
    }
}

/// What became of an event: None where its bytes stay.
type Converted = Option<Bytes>;

/// Converted events, by where they are recorded and which schema they are in.
pub(super) struct Conversions(Cache<(Position, u32), Converted, Bytewise>);

#[derive(Clone)]
struct Bytewise;

impl Weighter<(Position, u32), Converted> for Bytewise {
    fn weight(&self, _: &(Position, u32), converted: &Converted) -> u64 {
        ENTRY_BYTES + converted.as_ref().map_or(0, |event| event.len() as u64)
    }
}

impl Conversions {
    pub fn new() -> Self {
        // About a KiB an event.
        let estimate = usize::try_from(KEPT_BYTES_MAX >> 10).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(estimate, KEPT_BYTES_MAX, Bytewise))
    }

    /// The event in the reader's version. None: as it is.
    ///
    /// # Errors
    /// In words, why its payload cannot be given so.
    pub fn convert(
        &self,
        pair: &Pair,
        recorded: &Recorded,
        room: &mut Room,
    ) -> Result<Converted, String> {
        // Copying without some fields costs no more than keeping the copy.
        if pair.has_short_way() {
            return pair.convert(recorded, room);
        }
        let key = (recorded.position, pair.reader_id());
        if let Some(known) = self.0.get(&key) {
            return Ok(known);
        }
        // In a piece of its own: what is kept is not to keep its neighbours.
        let mut alone = Room { payload: mem::take(&mut room.payload), events: BytesMut::new() };
        let converted = pair.convert(recorded, &mut alone);
        room.payload = alone.payload;
        let converted = converted?;
        self.0.insert(key, converted.clone());
        Ok(converted)
    }
}

impl Pair {
    pub fn new(
        writer: (&Arc<SchemaVersion>, Arc<Schema>),
        reader: (&Arc<SchemaVersion>, Arc<Schema>),
    ) -> Self {
        Self {
            writer: Arc::clone(writer.0),
            reader: Arc::clone(reader.0),
            version: reader.0.version.to_string(),
            converter: Converter::new(writer.1, reader.1),
        }
    }

    /// Of the schema that comes out.
    pub fn reader_id(&self) -> u32 {
        self.reader.id
    }

    /// Whether payloads are copied without some fields, where they are not built anew.
    pub fn has_short_way(&self) -> bool {
        self.converter.has_short_way()
    }

    fn convert(&self, recorded: &Recorded, room: &mut Room) -> Result<Converted, String> {
        let payload = recorded.encoded().payload();
        let bytes = match payload {
            Some(Payload::Binary(bytes)) => bytes,
            Some(Payload::Text(text)) => text.as_bytes(),
            Some(Payload::Any { value, .. }) => value,
            None => return Err(self.refused("it has no payload")),
        };
        room.payload.clear();
        let changed = self.converter.convert(bytes, &mut room.payload).map_err(|violations| {
            let sentences: Vec<String> =
                violations.iter().take(VIOLATIONS_MAX).map(sentence).collect();
            self.refused(&sentences.join("; "))
        })?;
        if !changed {
            return Ok(None);
        }
        let wrapped;
        let (field, bytes) = match payload {
            Some(Payload::Text(_)) => (tag::TEXT_DATA, &room.payload),
            Some(Payload::Any { type_url, .. }) => {
                wrapped = any(type_url, &room.payload);
                (tag::PROTO_DATA, &wrapped)
            }
            Some(Payload::Binary(_)) | None => (tag::BINARY_DATA, &room.payload),
        };
        let fields = [(field, bytes.as_slice()), (tag::SCHEMAVERSION, self.version.as_bytes())];
        with_fields(&recorded.event, &fields, &mut room.events);
        Ok(Some(room.events.split().freeze()))
    }

    fn refused(&self, why: &str) -> String {
        let SchemaVersion { subject, version, .. } = &*self.writer;
        format!("written in {subject} {version}, not to be given in {}: {why}", self.version)
    }
}

fn sentence(violation: &Violation) -> String {
    match violation.path.as_str() {
        "" => violation.message.clone(),
        path => format!("{path} {}", violation.message),
    }
}
