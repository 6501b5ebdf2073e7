//! How the events of one answer are shown: their view, and which schema version each is in.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use prost::Message as _;
use tidings_schema::{
    protobuf::{Messages, NoMessages},
    schema::Schema,
};

use super::{delivery::Shown, view::View};
use crate::{broker::Broker, model::event::Delivered, proto::events::v1::SchemaResolution};

/// Bytes of events that are rewritten on the thread that serves.
const INLINE_BYTES_MAX: usize = 16 << 10;

/// What a stream knows about the schemas that it has met.
pub struct Showing {
    view: View,
    broker: Broker,
    /// Encoded, by the versions written and delivered, and whether bytes changed.
    resolutions: HashMap<(u32, u32, bool), Bytes>,
    parsed: HashMap<u32, Arc<Schema>>,
}

impl Showing {
    pub fn new(view: View, broker: Broker) -> Self {
        Self { view, broker, resolutions: HashMap::new(), parsed: HashMap::new() }
    }

    /// An event's `SchemaResolution`, encoded; empty where no schema governs it.
    fn resolution(&mut self, one: &Delivered) -> Bytes {
        let (written, delivered) = (one.recorded.schema_id, one.schema_id);
        if written == 0 {
            return Bytes::new();
        }
        if let Some(known) = self.resolutions.get(&(written, delivered, one.converted)) {
            return known.clone();
        }
        let writer = self.broker.written(written);
        let reader = self.broker.written(delivered);
        let is_known = writer.is_some() && reader.is_some();
        let version = |it: Option<&Arc<tidings_registry::schema::SchemaVersion>>| {
            it.map(|it| it.version.to_string()).unwrap_or_default()
        };
        let resolution = SchemaResolution {
            subject: writer.as_ref().map(|it| it.subject.to_string()).unwrap_or_default(),
            writer_version: version(writer.as_ref()),
            delivered_version: version(reader.as_ref()),
            converted: one.converted,
            schema_id: delivered,
        };
        let encoded = Bytes::from(resolution.encode_to_vec());
        // A registry that is away may know more later.
        if is_known {
            self.resolutions.insert((written, delivered, one.converted), encoded.clone());
        }
        encoded
    }

    /// Events as they are shown.
    pub fn events(&mut self, events: &[Delivered]) -> Vec<Shown> {
        let bytes: usize = events.iter().map(|one| one.recorded.event.len()).sum();
        match self.view {
            View::Json | View::Text | View::Any | View::CloudEvents if bytes > INLINE_BYTES_MAX => {
                tokio::task::block_in_place(|| events.iter().map(|one| self.event(one)).collect())
            }
            _ => events.iter().map(|one| self.event(one)).collect(),
        }
    }

    /// An event as it is shown.
    pub fn event(&mut self, one: &Delivered) -> Shown {
        let schema = match self.view {
            View::Json | View::Text | View::Any => self.schema(one.schema_id),
            View::Full | View::Envelope | View::CloudEvents => None,
        };
        let printable = one.recorded.printable();
        let recorded = printable.as_ref().unwrap_or(&one.recorded);
        let catalog = schema.as_ref().and_then(|_| self.broker.registered());
        let messages =
            catalog.as_deref().map_or(&NoMessages as &dyn Messages, |it| it as &dyn Messages);
        let event = self.view.of(recorded, schema.as_deref(), messages);
        Shown { event, schema: self.resolution(one) }
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
