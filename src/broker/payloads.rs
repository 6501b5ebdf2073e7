//! Payloads as expressions see them: as JSON, in whatever encoding they are recorded.

use std::{fmt, sync::Arc};

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

/// Decodes payloads. Without a registry, only JSON payloads.
#[derive(Clone, Default)]
pub struct Payloads {
    schemas: Option<Schemas>,
    metrics: Option<Metrics>,
}

impl Payloads {
    /// A decoder that knows the registered schemas.
    pub fn new(schemas: Option<Schemas>, metrics: Metrics) -> Self {
        Self { schemas, metrics: Some(metrics) }
    }

    /// Counts an expression that has no value for an event.
    pub fn count_failure(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.filter_failed();
        }
    }

    /// The payload of an event. None: the event has none, or its encoding is unknown. Blocking: the
    /// first event of a schema compiles it.
    pub fn read(&self, event: &Recorded) -> Option<Json> {
        let encoded = event.encoded();
        let is_json = Media::of(encoded.text_attribute(tag::DATACONTENTTYPE).unwrap_or_default())
            == Media::Json;
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

    fn schema(&self, id: u32) -> Option<Arc<Schema>> {
        if id == 0 {
            return None;
        }
        let schemas = self.schemas.as_ref()?;
        let schema_version = schemas.written(id).ok()??;
        schemas.catalog().parsed(&schema_version).ok()
    }
}

impl fmt::Debug for Payloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payloads").finish_non_exhaustive()
    }
}
