//! Payloads of one version given as another, over and over: what can be said of the two versions is found out once.

use std::sync::Arc;

use crate::{avro, definition::Violation, json, protobuf, schema::Schema};

/// From one version of a subject to another.
#[derive(Debug)]
pub struct Converter {
    writer: Arc<Schema>,
    reader: Arc<Schema>,
    short_way: Option<ShortWay>,
}

/// Where what both versions say is the same.
#[derive(Debug)]
enum ShortWay {
    Protobuf(protobuf::ShortWay),
    Json(json::ShortWay),
    Avro(avro::ShortWay),
}

impl Converter {
    /// Between two parsed versions.
    pub fn new(writer: Arc<Schema>, reader: Arc<Schema>) -> Self {
        let short_way = match (&*writer, &*reader) {
            (Schema::Protobuf(from), Schema::Protobuf(to)) => {
                from.short_way(to).map(ShortWay::Protobuf)
            }
            (Schema::Json(from), Schema::Json(to)) => from.short_way(to).map(ShortWay::Json),
            (Schema::Avro(from), Schema::Avro(to)) => from.short_way(to).map(ShortWay::Avro),
            (Schema::Protobuf(_) | Schema::Json(_) | Schema::Avro(_), _) => None,
        };
        Self { writer, reader, short_way }
    }

    /// Writes a payload that fits the writer's version as one of the reader's, behind what is in `out`. False: the very
    /// same bytes are one, and mean the same there; nothing is written.
    ///
    /// # Errors
    /// Everything that stands in the way.
    pub fn convert(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, Vec<Violation>> {
        let start = out.len();
        let short = match &self.short_way {
            Some(ShortWay::Protobuf(way)) => way.apply(bytes, out),
            Some(ShortWay::Json(way)) => way.apply(bytes, out),
            Some(ShortWay::Avro(way)) => way.apply(bytes, out),
            None => None,
        };
        if let Some(changed) = short {
            return Ok(changed);
        }
        out.truncate(start);
        let converted = self.writer.convert(&self.reader, bytes)?;
        if let Some(bytes) = &converted {
            out.extend_from_slice(bytes);
        }
        Ok(converted.is_some())
    }

    /// Whether the short way is taken where a payload allows it.
    pub fn has_short_way(&self) -> bool {
        self.short_way.is_some()
    }
}
