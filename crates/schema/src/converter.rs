//! Conversion of payloads between two versions. The analysis of the two versions is done once.

use std::sync::Arc;

use crate::{avro, definition::Violation, json, protobuf, schema::Schema};

/// Converts payloads from one version of a subject to another.
#[derive(Debug)]
pub struct Converter {
    writer: Arc<Schema>,
    reader: Arc<Schema>,
    projection: Option<Projection>,
}

/// The fast path between versions that differ only by fields.
#[derive(Debug)]
enum Projection {
    Protobuf(protobuf::Projection),
    Json(json::Projection),
    Avro(avro::Projection),
}

impl Converter {
    /// Creates a converter between two parsed versions.
    pub fn new(writer: Arc<Schema>, reader: Arc<Schema>) -> Self {
        let projection = match (&*writer, &*reader) {
            (Schema::Protobuf(from), Schema::Protobuf(to)) => {
                from.projection(to).map(Projection::Protobuf)
            }
            (Schema::Json(from), Schema::Json(to)) => from.projection(to).map(Projection::Json),
            (Schema::Avro(from), Schema::Avro(to)) => from.projection(to).map(Projection::Avro),
            (Schema::Protobuf(_) | Schema::Json(_) | Schema::Avro(_), _) => None,
        };
        Self { writer, reader, projection }
    }

    /// Converts a valid payload of the writer's version to the reader's, and appends it to `out`.
    /// Returns false, and appends nothing, if the same bytes have the same meaning in the reader's
    /// version.
    ///
    /// # Errors
    /// Returns the violations that prevent the conversion.
    pub fn convert(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, Vec<Violation>> {
        let start = out.len();
        let projected = match &self.projection {
            Some(Projection::Protobuf(projection)) => projection.apply(bytes, out),
            Some(Projection::Json(projection)) => projection.apply(bytes, out),
            Some(Projection::Avro(projection)) => projection.apply(bytes, out),
            None => None,
        };
        if let Some(changed) = projected {
            return Ok(changed);
        }
        out.truncate(start);
        let converted = self.writer.convert(&self.reader, bytes)?;
        if let Some(bytes) = &converted {
            out.extend_from_slice(bytes);
        }
        Ok(converted.is_some())
    }

    /// Whether conversions use a projection when the payload allows it.
    pub fn has_projection(&self) -> bool {
        self.projection.is_some()
    }
}
