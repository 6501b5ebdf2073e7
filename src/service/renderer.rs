//! Renders delivered events: the bytes of a view, and the schema version of each event.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use prost::Message as _;
use tidings_schema::{
    protobuf::{Messages, NoMessages},
    schema::Schema,
};

use super::{delivery::RenderedEvent, view::View};
use crate::{broker::Broker, model::event::Delivered, proto::events::v1::SchemaResolution};

/// Most bytes of events that are rewritten on an async worker thread. Larger batches use
/// `block_in_place`.
const INLINE_BYTES_MAX: usize = 16 << 10;

/// Renders the events of one response or stream, and caches the schemas that it needs.
pub struct EventRenderer {
    view: View,
    broker: Broker,
    /// Encoded `SchemaResolution`, by schema id written, schema id delivered, and whether the
    /// payload was converted.
    resolutions: HashMap<(u32, u32, bool), Bytes>,
    parsed: HashMap<u32, Arc<Schema>>,
}

impl EventRenderer {
    pub fn new(view: View, broker: Broker) -> Self {
        Self { view, broker, resolutions: HashMap::new(), parsed: HashMap::new() }
    }

    /// An event's `SchemaResolution`, encoded. Empty if the event has no schema.
    fn resolution(&mut self, event: &Delivered) -> Bytes {
        let (written, delivered) = (event.recorded.schema_id, event.schema_id);
        if written == 0 {
            return Bytes::new();
        }
        if let Some(known) = self.resolutions.get(&(written, delivered, event.converted)) {
            return known.clone();
        }
        let writer = self.broker.schema_version(written);
        let reader = self.broker.schema_version(delivered);
        let is_known = writer.is_some() && reader.is_some();
        let version = |schema: Option<&Arc<tidings_registry::schema::SchemaVersion>>| {
            schema.map(|schema| schema.version.to_string()).unwrap_or_default()
        };
        let resolution = SchemaResolution {
            subject: writer.as_ref().map(|schema| schema.subject.to_string()).unwrap_or_default(),
            writer_version: version(writer.as_ref()),
            delivered_version: version(reader.as_ref()),
            converted: event.converted,
            schema_id: delivered,
        };
        let encoded = Bytes::from(resolution.encode_to_vec());
        // While the registry is unavailable a schema may be unknown; later lookups may find it.
        if is_known {
            self.resolutions.insert((written, delivered, event.converted), encoded.clone());
        }
        encoded
    }

    /// Renders events.
    pub fn render_all(&mut self, events: &[Delivered]) -> Vec<RenderedEvent> {
        let bytes: usize = events.iter().map(|event| event.recorded.event.len()).sum();
        match self.view {
            View::Json | View::Text | View::Any | View::CloudEvents if bytes > INLINE_BYTES_MAX => {
                tokio::task::block_in_place(|| {
                    events.iter().map(|event| self.render(event)).collect()
                })
            }
            _ => events.iter().map(|event| self.render(event)).collect(),
        }
    }

    /// Renders an event.
    pub fn render(&mut self, event: &Delivered) -> RenderedEvent {
        let schema = match self.view {
            View::Json | View::Text | View::Any => self.schema(event.schema_id),
            View::Full | View::Envelope | View::CloudEvents => None,
        };
        let printable = event.recorded.printable();
        let recorded = printable.as_ref().unwrap_or(&event.recorded);
        let catalog = schema.as_ref().and_then(|_| self.broker.catalog());
        let messages = catalog
            .as_deref()
            .map_or(&NoMessages as &dyn Messages, |catalog| catalog as &dyn Messages);
        let bytes = self.view.render(recorded, schema.as_deref(), messages);
        RenderedEvent { event: bytes, schema: self.resolution(event) }
    }

    fn schema(&mut self, id: u32) -> Option<Arc<Schema>> {
        if let Some(known) = self.parsed.get(&id) {
            return Some(Arc::clone(known));
        }
        let schema = self.broker.schema(id)?;
        self.parsed.insert(id, Arc::clone(&schema));
        Some(schema)
    }
}
