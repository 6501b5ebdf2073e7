//! Payloads as expressions see them: JSON, whatever they are encoded in.

use std::fmt;

use serde_json::Value as Json;
use tidings_registry::schemas::Schemas;
use tidings_schema::{json::rounded, schema::Schema};

use crate::{
    model::{
        encoded::{Payload, tag},
        event::Recorded,
        media::Media,
    },
    telemetry::Metrics,
};

/// Reads payloads. Without schemas only those that are JSON.
#[derive(Clone, Default)]
pub struct Payloads {
    schemas: Option<Schemas>,
    metrics: Option<Metrics>,
}

impl Payloads {
    /// With what is registered.
    pub fn new(schemas: Option<Schemas>, metrics: Metrics) -> Self {
        Self { schemas, metrics: Some(metrics) }
    }

    /// An expression gave no answer.
    pub fn failed(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.filter_failed();
        }
    }

    /// The payload of an event. None: there is none, or nothing says what its bytes mean. Blocking: the first event of
    /// a schema compiles it.
    pub fn read(&self, event: &Recorded) -> Option<Json> {
        let encoded = event.encoded();
        let is_json =
            Media::of(encoded.named(tag::DATACONTENTTYPE).unwrap_or_default()) == Media::Json;
        match encoded.payload()? {
            Payload::Text(text) if is_json => rounded(text),
            Payload::Binary(bytes) if is_json => rounded(str::from_utf8(bytes).ok()?),
            Payload::Text(text) => match *self.schema(event.schema_id)? {
                Schema::Json(_) => rounded(text),
                Schema::Protobuf(_) | Schema::Avro(_) => None,
            },
            Payload::Binary(bytes) => self.decode(event.schema_id, bytes),
            Payload::Any { value, .. } => self.decode(event.schema_id, value),
        }
    }

    fn decode(&self, schema_id: u32, bytes: &[u8]) -> Option<Json> {
        let catalog = self.schemas.as_ref()?.catalog();
        rounded(&self.schema(schema_id)?.to_plain_json_with(bytes, &*catalog).ok()?)
    }

    fn schema(&self, id: u32) -> Option<std::sync::Arc<Schema>> {
        if id == 0 {
            return None;
        }
        let schemas = self.schemas.as_ref()?;
        let registered = schemas.written(id).ok()??;
        schemas.catalog().parsed(&registered).ok()
    }
}

impl fmt::Debug for Payloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payloads").finish_non_exhaustive()
    }
}
