//! Conversion of payloads from the version of the writer to the version of a reader. Converted
//! events are cached for other readers of the same version.

use std::{mem, sync::Arc};

use bytes::{Bytes, BytesMut};
use quick_cache::{Weighter, sync::Cache};
use tidings_registry::schema::SchemaVersion;
use tidings_schema::{converter::Converter, definition::Violation, schema::Schema};

use crate::model::{
    encoded::{Payload, encode_any, tag, with_fields},
    event::Recorded,
    numbers::Position,
};

/// Most bytes of cached events: as much as a handful of readers at the tail read at the same time.
const CACHED_BYTES_MAX: u64 = 32 << 20;
/// Bytes of a cache entry in addition to its event.
const ENTRY_BYTES: u64 = 96;
/// Most violations in an error message.
const VIOLATIONS_MAX: usize = 3;

/// Bytes by which an event may grow although its payload does not: the version, and the tags and
/// lengths of two fields.
const GROWTH_BYTES: usize = 48;

/// A pair of versions of a subject, with their converter.
pub(super) struct VersionPair {
    writer: Arc<SchemaVersion>,
    reader: Arc<SchemaVersion>,
    /// The version of the reader, as text.
    version: String,
    converter: Converter,
}

/// Buffers that the conversions of one stream share.
#[derive(Default)]
pub(super) struct Buffers {
    /// The payload being converted.
    payload: Vec<u8>,
    /// The events of a batch in sequence: one allocation for all of them.
    events: BytesMut,
}

impl Buffers {
    /// Reserves capacity for a batch of events.
    pub fn reserve(&mut self, events: usize, bytes: usize) {
        self.events.reserve(bytes + events * GROWTH_BYTES);
    }
}

/// The converted event. None: its bytes do not change.
type Converted = Option<Bytes>;

/// Converted events by position and schema id of the reader.
pub(super) struct ConversionCache(Cache<(Position, u32), Converted, ByteWeighter>);

#[derive(Clone)]
struct ByteWeighter;

impl Weighter<(Position, u32), Converted> for ByteWeighter {
    fn weight(&self, _: &(Position, u32), converted: &Converted) -> u64 {
        ENTRY_BYTES + converted.as_ref().map_or(0, |event| event.len() as u64)
    }
}

impl ConversionCache {
    pub fn new() -> Self {
        // Assumes a KiB per event.
        let estimate = usize::try_from(CACHED_BYTES_MAX >> 10).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(estimate, CACHED_BYTES_MAX, ByteWeighter))
    }

    /// The event in the version of the reader. None: its bytes do not change.
    ///
    /// # Errors
    /// Returns why the payload cannot be converted.
    pub fn convert(
        &self,
        pair: &VersionPair,
        recorded: &Recorded,
        buffers: &mut Buffers,
    ) -> Result<Converted, String> {
        // A projection costs no more than a copy into the cache.
        if pair.has_projection() {
            return pair.convert(recorded, buffers);
        }
        let key = (recorded.position, pair.reader_id());
        if let Some(cached) = self.0.get(&key) {
            return Ok(cached);
        }
        // A separate allocation, so that the cached event does not keep other events of the batch
        // in memory.
        let mut own_buffers =
            Buffers { payload: mem::take(&mut buffers.payload), events: BytesMut::new() };
        let converted = pair.convert(recorded, &mut own_buffers);
        buffers.payload = own_buffers.payload;
        let converted = converted?;
        self.0.insert(key, converted.clone());
        Ok(converted)
    }
}

impl VersionPair {
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

    /// The id of the reader's schema.
    pub fn reader_id(&self) -> u32 {
        self.reader.id
    }

    /// Whether conversion only copies the payload without some fields, instead of building a new
    /// one.
    pub fn has_projection(&self) -> bool {
        self.converter.has_projection()
    }

    fn convert(&self, recorded: &Recorded, buffers: &mut Buffers) -> Result<Converted, String> {
        let payload = recorded.encoded().payload();
        let bytes = match payload {
            Some(Payload::Binary(bytes)) => bytes,
            Some(Payload::Text(text)) => text.as_bytes(),
            Some(Payload::Any { value, .. }) => value,
            None => return Err(self.error("it has no payload")),
        };
        buffers.payload.clear();
        let changed =
            self.converter.convert(bytes, &mut buffers.payload).map_err(|violations| {
                let sentences: Vec<String> =
                    violations.iter().take(VIOLATIONS_MAX).map(sentence).collect();
                self.error(&sentences.join("; "))
            })?;
        if !changed {
            return Ok(None);
        }
        let wrapped;
        let (field, bytes) = match payload {
            Some(Payload::Text(_)) => (tag::TEXT_DATA, &buffers.payload),
            Some(Payload::Any { type_url, .. }) => {
                wrapped = encode_any(type_url, &buffers.payload);
                (tag::PROTO_DATA, &wrapped)
            }
            Some(Payload::Binary(_)) | None => (tag::BINARY_DATA, &buffers.payload),
        };
        let fields = [(field, bytes.as_slice()), (tag::SCHEMAVERSION, self.version.as_bytes())];
        with_fields(&recorded.event, &fields, &mut buffers.events);
        Ok(Some(buffers.events.split().freeze()))
    }

    fn error(&self, reason: &str) -> String {
        let SchemaVersion { subject, version, .. } = &*self.writer;
        format!("written in {subject} {version}; cannot be converted to {}: {reason}", self.version)
    }
}

fn sentence(violation: &Violation) -> String {
    match violation.path.as_str() {
        "" => violation.message.clone(),
        path => format!("{path} {}", violation.message),
    }
}
