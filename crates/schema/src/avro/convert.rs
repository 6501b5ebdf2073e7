//! Converts payloads between schemas: schema resolution applied to data.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    cursor::{Cursor, write_long},
    limits::{CONVERTED_BYTES_MAX, PAYLOAD_DEPTH_MAX, PAYLOAD_VALUES_MAX},
    logical::Logical,
    model::{Enum, Kind, Model, Record, Type, TypeId},
    primitive::Primitive,
    resolve::{choose_branch, match_names, sources},
    text::{is_bytes, latin1_bytes},
    validate::skip,
};
use crate::definition::Violation;

/// Reads one value of the writer's schema and writes it as the reader's.
pub fn convert(writer: &Model, reader: &Model, bytes: &[u8]) -> Result<Vec<u8>, Violation> {
    let mut converter = Converter {
        writer,
        reader,
        cursor: Cursor::new(bytes),
        depth: 0,
        values: 0,
        written: 0,
        choices: HashMap::new(),
    };
    let mut out = Vec::new();
    let result = converter.value(writer.root, reader.root, &mut out);
    let result = result.and_then(|()| match converter.cursor.remaining() {
        0 => Ok(()),
        remaining => Err(format!("the value ends here, and {remaining} bytes follow")),
    });
    match result {
        Ok(()) => Ok(out),
        Err(message) => {
            let message = format!("at byte {}: {message}", converter.cursor.position());
            Err(Violation { path: String::new(), message })
        }
    }
}

/// The default of a reader's field in binary, or `None` if the field has no default or the default
/// is not a value of its logical type.
pub fn default_bytes(reader: &Model, field: (TypeId, usize)) -> Option<Vec<u8>> {
    let mut converter = Converter {
        writer: reader,
        reader,
        cursor: Cursor::new(&[]),
        depth: 0,
        values: 0,
        written: 0,
        choices: HashMap::new(),
    };
    let mut out = Vec::new();
    converter.write_default(field, &mut out).ok()?;
    let mut cursor = Cursor::new(&out);
    skip(reader, reader.field(field)?.type_id, &mut cursor, &mut 0).ok()?;
    Some(out)
}

struct Converter<'c> {
    writer: &'c Model,
    reader: &'c Model,
    cursor: Cursor<'c>,
    depth: usize,
    values: u64,
    /// Bytes written to all buffers.
    written: usize,
    /// The chosen branch of a reader's union for a writer's type: its index and its type.
    choices: HashMap<(TypeId, TypeId), Option<(usize, TypeId)>>,
}

impl Converter<'_> {
    fn put(&mut self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), String> {
        self.written += bytes.len();
        if self.written > CONVERTED_BYTES_MAX {
            return Err(format!("the converted value has more than {CONVERTED_BYTES_MAX} bytes"));
        }
        out.extend_from_slice(bytes);
        Ok(())
    }

    fn put_long(&mut self, out: &mut Vec<u8>, number: i64) -> Result<(), String> {
        let mut bytes = Vec::with_capacity(10);
        write_long(number, &mut bytes);
        self.put(out, &bytes)
    }

    fn put_length_prefixed(&mut self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), String> {
        self.put_long(out, i64::try_from(bytes.len()).unwrap_or(i64::MAX))?;
        self.put(out, bytes)
    }

    fn value(&mut self, from: TypeId, to: TypeId, out: &mut Vec<u8>) -> Result<(), String> {
        self.count()?;
        self.convert_value(from, to, out)
    }

    fn count(&mut self) -> Result<(), String> {
        self.values += 1;
        if self.values > PAYLOAD_VALUES_MAX {
            return Err(format!("the payload has more than {PAYLOAD_VALUES_MAX} values"));
        }
        Ok(())
    }

    /// Enters a record, an array or a map. Only these deepen the recursion.
    fn enter(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > PAYLOAD_DEPTH_MAX {
            return Err(format!("values nest deeper than {PAYLOAD_DEPTH_MAX}"));
        }
        Ok(())
    }

    fn convert_value(&mut self, from: TypeId, to: TypeId, out: &mut Vec<u8>) -> Result<(), String> {
        let (writer, reader) = (self.writer, self.reader);
        let (source, target) = (writer.get(from), reader.get(to));
        match (&source.kind, &target.kind) {
            (Kind::Union(branches), _) => {
                let branch = self.cursor.index(branches, "the union has no branch")?;
                self.value(*branch, to, out)
            }
            (_, Kind::Union(branches)) => {
                let chosen = *self.choices.entry((from, to)).or_insert_with(|| {
                    let best = choose_branch(source, reader, branches)?.best;
                    Some((branches.iter().position(|id| *id == best)?, best))
                });
                let Some((index, branch)) = chosen else { return Err(self.mismatch(from, to)) };
                self.put_long(out, i64::try_from(index).unwrap_or(i64::MAX))?;
                self.value(from, branch, out)
            }
            _ if has_other_meaning(source, target) => Err(self.mismatch(from, to)),
            (Kind::Primitive(source), Kind::Primitive(target)) => {
                if source == target || source.promotes_to(*target) {
                    self.convert_primitive(*source, *target, out)
                } else {
                    Err(self.mismatch(from, to))
                }
            }
            (Kind::Array(source), Kind::Array(target)) => {
                self.convert_blocks(*source, *target, false, out)
            }
            (Kind::Map(source), Kind::Map(target)) => {
                self.convert_blocks(*source, *target, true, out)
            }
            (Kind::Record(_) | Kind::Enum(_) | Kind::Fixed(_), _)
                if match_names(source, target).is_none() =>
            {
                Err(self.mismatch(from, to))
            }
            (Kind::Record(source), Kind::Record(target)) => {
                self.convert_record(source, to, target, out)
            }
            (Kind::Enum(source), Kind::Enum(target)) => self.convert_symbol(source, target, out),
            (Kind::Fixed(source), Kind::Fixed(target)) if source.size == target.size => {
                let bytes = self.cursor.take(usize::try_from(source.size).unwrap_or(usize::MAX))?;
                self.put(out, bytes)
            }
            _ => Err(self.mismatch(from, to)),
        }
    }

    fn mismatch(&self, from: TypeId, to: TypeId) -> String {
        format!("{} is not read as {}", self.writer.label(from), self.reader.label(to))
    }

    fn convert_primitive(
        &mut self,
        from: Primitive,
        to: Primitive,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        use Primitive::{Boolean, Bytes, Double, Float, Int, Long, Null, String as Text};
        match (from, to) {
            (Null, _) => Ok(()),
            (Boolean, _) => {
                let byte = self.cursor.boolean()?;
                self.put(out, &[byte])
            }
            (Int | Long, _) => {
                let number = if from == Int { self.cursor.int()? } else { self.cursor.long()? };
                match to {
                    // Digits may be lost; the comparison reports a warning.
                    Float => self.put(out, &(number as f32).to_le_bytes()),
                    Double => self.put(out, &(number as f64).to_le_bytes()),
                    _ => self.put_long(out, number),
                }
            }
            (Float, Double) => {
                let bytes = self.cursor.take(4)?;
                let number = bytes.try_into().map_or(0.0, f32::from_le_bytes);
                self.put(out, &f64::from(number).to_le_bytes())
            }
            (Float, _) => {
                let bytes = self.cursor.take(4)?;
                self.put(out, bytes)
            }
            (Double, _) => {
                let bytes = self.cursor.take(8)?;
                self.put(out, bytes)
            }
            (Text, _) => {
                let text = self.cursor.text()?;
                self.put_length_prefixed(out, text.as_bytes())
            }
            (Bytes, Text) => {
                let text = self.cursor.text()?;
                self.put_length_prefixed(out, text.as_bytes())
            }
            (Bytes, _) => {
                let bytes = self.cursor.length_prefixed()?;
                self.put_length_prefixed(out, bytes)
            }
        }
    }

    fn convert_blocks(
        &mut self,
        from: TypeId,
        to: TypeId,
        map: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        self.enter()?;
        loop {
            let (count, _) = self.cursor.block()?;
            self.put_long(out, i64::try_from(count).unwrap_or(i64::MAX))?;
            if count == 0 {
                self.depth -= 1;
                return Ok(());
            }
            for _ in 0..count {
                if map {
                    let key = self.cursor.text()?;
                    self.put_length_prefixed(out, key.as_bytes())?;
                }
                self.value(from, to, out)?;
            }
        }
    }

    fn convert_symbol(&mut self, from: &Enum, to: &Enum, out: &mut Vec<u8>) -> Result<(), String> {
        let symbol = self.cursor.index(&from.symbols, "the enum has no symbol")?;
        let known = to.by_symbol.get(symbol);
        let default = || to.default.as_ref().and_then(|symbol| to.by_symbol.get(symbol));
        match known.or_else(default) {
            Some(index) => self.put_long(out, i64::try_from(*index).unwrap_or(i64::MAX)),
            None => Err(format!("enum {} has no symbol {symbol}, and no default", to.name)),
        }
    }

    /// Converts a record. Fields are read in the writer's order and written in the reader's, so
    /// each is buffered.
    fn convert_record(
        &mut self,
        from: &Record,
        id: TypeId,
        to: &Record,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        self.enter()?;
        let mut targets: Vec<Option<usize>> = vec![None; from.fields.len()];
        let mut fields: Vec<Option<Vec<u8>>> = vec![None; to.fields.len()];
        for (index, field) in to.fields.iter().enumerate() {
            match sources(field, from).as_slice() {
                [] => {}
                [source] => {
                    let Some(slot) = targets.get_mut(*source) else { continue };
                    if slot.replace(index).is_some() {
                        return Err(format!(
                            "several fields of {} match one field of the data",
                            to.name
                        ));
                    }
                }
                _ => {
                    let name = &field.name;
                    return Err(format!(
                        "{name} of {} matches several fields of the data",
                        to.name
                    ));
                }
            }
        }
        for (field, target) in from.fields.iter().zip(targets) {
            match target.and_then(|index| Some((index, to.fields.get(index)?))) {
                Some((index, target)) => {
                    let mut buffer = Vec::new();
                    self.value(field.type_id, target.type_id, &mut buffer)?;
                    if let Some(slot) = fields.get_mut(index) {
                        *slot = Some(buffer);
                    }
                }
                None => skip(self.writer, field.type_id, &mut self.cursor, &mut self.values)?,
            }
        }
        for (index, buffer) in fields.into_iter().enumerate() {
            match buffer {
                Some(buffer) => out.extend(buffer),
                None => self.write_default((id, index), out)?,
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Writes the default of a reader's field.
    fn write_default(&mut self, field: (TypeId, usize), out: &mut Vec<u8>) -> Result<(), String> {
        self.count()?;
        let reader = self.reader;
        let Some(field) = reader.field(field) else { return Ok(()) };
        let Some(default) = &field.default else {
            return Err(format!("the data has no field {}, which has no default", field.name));
        };
        let value: Value = serde_json::from_str(&default.0).map_err(|error| error.to_string())?;
        self.write_literal(field.type_id, &value, out)
    }

    /// Writes a default. It is a value of its type, unless it is tried against a branch of a union.
    fn write_literal(
        &mut self,
        type_id: TypeId,
        value: &Value,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let reader = self.reader;
        let mismatch =
            || format!("the default {value} is not a value of {}", reader.label(type_id));
        if self.depth >= PAYLOAD_DEPTH_MAX {
            return Err(format!("defaults nest deeper than {PAYLOAD_DEPTH_MAX}"));
        }
        self.depth += 1;
        let result = match (&reader.get(type_id).kind, value) {
            (Kind::Primitive(primitive), _) => match primitive_bytes(*primitive, value) {
                Some(bytes) => self.put(out, &bytes),
                None => Err(mismatch()),
            },
            (Kind::Array(items), Value::Array(values)) => {
                self.put_count(values.len(), out).and_then(|()| {
                    values.iter().try_for_each(|item| self.write_literal(*items, item, out))?;
                    if values.is_empty() { Ok(()) } else { self.put_long(out, 0) }
                })
            }
            (Kind::Map(values), Value::Object(entries)) => {
                self.put_count(entries.len(), out).and_then(|()| {
                    for (key, value) in entries {
                        self.put_length_prefixed(out, key.as_bytes())?;
                        self.write_literal(*values, value, out)?;
                    }
                    if entries.is_empty() { Ok(()) } else { self.put_long(out, 0) }
                })
            }
            (Kind::Record(record), Value::Object(entries)) => (0..)
                .zip(&record.fields)
                .try_for_each(|(index, field)| match entries.get(&field.name) {
                    Some(value) => self.write_literal(field.type_id, value, out),
                    None => self.write_default((type_id, index), out),
                }),
            (Kind::Enum(enumeration), Value::String(symbol)) => {
                match enumeration.by_symbol.get(symbol) {
                    Some(index) => self.put_long(out, i64::try_from(*index).unwrap_or(i64::MAX)),
                    None => Err(mismatch()),
                }
            }
            (Kind::Fixed(_), Value::String(text)) if is_bytes(text) => {
                self.put(out, &latin1_bytes(text))
            }
            (Kind::Union(branches), _) => {
                self.write_branch(branches, value, out).ok_or_else(mismatch)
            }
            _ => Err(mismatch()),
        };
        self.depth -= 1;
        result
    }

    /// Writes the item count of the only block.
    fn put_count(&mut self, count: usize, out: &mut Vec<u8>) -> Result<(), String> {
        self.put_long(out, i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Writes a default of the first branch that it matches.
    fn write_branch(
        &mut self,
        branches: &[TypeId],
        value: &Value,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let (length, written, depth) = (out.len(), self.written, self.depth);
        for (index, branch) in (0..).zip(branches) {
            let result =
                self.put_long(out, index).and_then(|()| self.write_literal(*branch, value, out));
            if result.is_ok() {
                return Some(());
            }
            out.truncate(length);
            self.written = written;
            self.depth = depth;
        }
        None
    }
}

/// Whether the same bytes have another meaning under the reader's logical type.
fn has_other_meaning(writer: &Type, reader: &Type) -> bool {
    match (&writer.logical, &reader.logical) {
        (Some(Logical::Custom(_)), _) | (_, Some(Logical::Custom(_))) => false,
        (Some(from), Some(to)) => from != to,
        // The bytes of a number are not text.
        (Some(Logical::Decimal { .. } | Logical::BigDecimal), None) => {
            matches!(reader.kind, Kind::Primitive(Primitive::String))
        }
        (Some(_) | None, None) | (None, Some(_)) => false,
    }
}

/// The binary encoding of a default of a primitive type.
fn primitive_bytes(primitive: Primitive, value: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match (primitive, value) {
        (Primitive::Null, Value::Null) => {}
        (Primitive::Boolean, Value::Bool(value)) => out.push(u8::from(*value)),
        (Primitive::Int, Value::Number(number)) => {
            write_long(i32::try_from(number.as_i64()?).ok()?.into(), &mut out);
        }
        (Primitive::Long, Value::Number(number)) => write_long(number.as_i64()?, &mut out),
        (Primitive::Float | Primitive::Double, _) => {
            let number = match value {
                Value::Number(number) => number.as_f64()?,
                Value::String(name) => name.parse().ok()?,
                _ => return None,
            };
            if primitive == Primitive::Float {
                out.extend((number as f32).to_le_bytes());
            } else {
                out.extend(number.to_le_bytes());
            }
        }
        (Primitive::Bytes, Value::String(text)) if is_bytes(text) => {
            let bytes = latin1_bytes(text);
            write_long(i64::try_from(bytes.len()).ok()?, &mut out);
            out.extend(bytes);
        }
        (Primitive::String, Value::String(text)) => {
            write_long(i64::try_from(text.len()).ok()?, &mut out);
            out.extend(text.bytes());
        }
        _ => return None,
    }
    Some(out)
}
