//! Payloads of one version given as another, over and over: what can be said of the two versions is found out once.

use std::sync::Arc;

use crate::{definition::Violation, format::Schema, json, protobuf};

/// From one version of a subject to another.
#[derive(Debug)]
pub struct Converter {
    writer: Arc<Schema>,
    reader: Arc<Schema>,
    narrow: Option<Narrow>,
}

/// The short way, where the reader's version says less and nothing else.
#[derive(Debug)]
enum Narrow {
    Protobuf(protobuf::Narrow),
    Json(json::Narrow),
}

impl Converter {
    /// Between two parsed versions.
    pub fn new(writer: Arc<Schema>, reader: Arc<Schema>) -> Self {
        let narrow = match (&*writer, &*reader) {
            (Schema::Protobuf(from), Schema::Protobuf(to)) => from.narrow(to).map(Narrow::Protobuf),
            (Schema::Json(from), Schema::Json(to)) => from.narrow(to).map(Narrow::Json),
            (Schema::Protobuf(_) | Schema::Json(_) | Schema::Avro(_), _) => None,
        };
        Self { writer, reader, narrow }
    }

    /// Writes a payload that fits the writer's version as one of the reader's, behind what is in `out`. False: the very
    /// same bytes are one, and mean the same there; nothing is written.
    ///
    /// # Errors
    /// Everything that stands in the way.
    pub fn convert(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, Vec<Violation>> {
        let start = out.len();
        let short = match &self.narrow {
            Some(Narrow::Protobuf(narrow)) => narrow.apply(bytes, out),
            Some(Narrow::Json(narrow)) => narrow.apply(bytes, out),
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
    pub fn is_narrowing(&self) -> bool {
        self.narrow.is_some()
    }
}
