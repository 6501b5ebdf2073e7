//! Payloads from the version that wrote them to the one that a reader wants. What was converted is kept for all readers
//! that want the same.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};
use tidings_registry::{converter::Converter, definition::Violation, schema::Registered};

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

/// Two versions of a subject.
pub(super) struct Pair {
    pub writer: Arc<Registered>,
    pub reader: Arc<Registered>,
    pub converter: Converter,
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
    pub fn convert(&self, pair: &Pair, recorded: &Recorded) -> Result<Converted, String> {
        // Copying without some fields costs no more than keeping the copy.
        if pair.converter.is_narrowing() {
            return pair.convert(recorded);
        }
        let key = (recorded.position, pair.reader.id);
        if let Some(known) = self.0.get(&key) {
            return Ok(known);
        }
        let converted = pair.convert(recorded)?;
        self.0.insert(key, converted.clone());
        Ok(converted)
    }
}

impl Pair {
    fn convert(&self, recorded: &Recorded) -> Result<Converted, String> {
        let payload = recorded.encoded().payload();
        let bytes = match payload {
            Some(Payload::Binary(bytes)) => bytes,
            Some(Payload::Text(text)) => text.as_bytes(),
            Some(Payload::Any { value, .. }) => value,
            None => return Err(self.refused("it has no payload")),
        };
        let converted = self.converter.convert(bytes).map_err(|violations| {
            let sentences: Vec<String> =
                violations.iter().take(VIOLATIONS_MAX).map(sentence).collect();
            self.refused(&sentences.join("; "))
        })?;
        let Some(bytes) = converted else { return Ok(None) };
        let wrapped;
        let (field, bytes) = match payload {
            Some(Payload::Text(_)) => (tag::TEXT_DATA, &bytes),
            Some(Payload::Any { type_url, .. }) => {
                wrapped = any(type_url, &bytes);
                (tag::PROTO_DATA, &wrapped)
            }
            Some(Payload::Binary(_)) | None => (tag::BINARY_DATA, &bytes),
        };
        let version = self.reader.version.to_string();
        let mut event = Vec::with_capacity(recorded.event.len() + bytes.len());
        let fields = [(field, bytes.as_slice()), (tag::SCHEMAVERSION, version.as_bytes())];
        with_fields(&recorded.event, &fields, &mut event);
        Ok(Some(event.into()))
    }

    fn refused(&self, why: &str) -> String {
        let Registered { subject, version, .. } = &*self.writer;
        format!("written in {subject} {version}, not to be given in {}: {why}", self.reader.version)
    }
}

fn sentence(violation: &Violation) -> String {
    match violation.path.as_str() {
        "" => violation.message.clone(),
        path => format!("{path} {}", violation.message),
    }
}
