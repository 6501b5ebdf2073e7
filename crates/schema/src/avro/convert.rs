//! Data of one schema, written again as data of another: schema resolution, done.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    binary::{DEPTH_MAX, VALUES_MAX, skip},
    cursor::Cursor,
    default::is_bytes,
    logical::Logical,
    model::{Enum, Kind, Model, Primitive, Record, Type, TypeId},
    resolve::{choose, same_name, sources},
};
use crate::definition::Violation;

/// Largest result. A default may be longer than the data that stands for it.
pub const BYTES_MAX: usize = 16 << 20;

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
    let done = converter.value(writer.root, reader.root, &mut out);
    let done = done.and_then(|()| match converter.cursor.left() {
        0 => Ok(()),
        left => Err(format!("the value ends here, and {left} bytes follow")),
    });
    match done {
        Ok(()) => Ok(out),
        Err(message) => {
            let message = format!("at byte {}: {message}", converter.cursor.at());
            Err(Violation { path: String::new(), message })
        }
    }
}

/// The default of a field of the reader's, in binary. None: it has none, or one that its logical type does not hold.
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
    converter.default(field, &mut out).ok()?;
    let mut cursor = Cursor::new(&out);
    skip(reader, reader.field(field)?.of, &mut cursor, &mut 0).ok()?;
    Some(out)
}

struct Converter<'c> {
    writer: &'c Model,
    reader: &'c Model,
    cursor: Cursor<'c>,
    depth: usize,
    values: u64,
    /// Bytes of all buffers so far.
    written: usize,
    /// Which branch of a union takes a type, where that was asked before: its index and its type.
    choices: HashMap<(TypeId, TypeId), Option<(usize, TypeId)>>,
}

impl Converter<'_> {
    fn put(&mut self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), String> {
        self.written += bytes.len();
        if self.written > BYTES_MAX {
            return Err(format!("the converted value has more than {BYTES_MAX} bytes"));
        }
        out.extend_from_slice(bytes);
        Ok(())
    }

    fn put_long(&mut self, out: &mut Vec<u8>, number: i64) -> Result<(), String> {
        let mut bytes = Vec::with_capacity(10);
        write_long(number, &mut bytes);
        self.put(out, &bytes)
    }

    fn put_sized(&mut self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), String> {
        self.put_long(out, i64::try_from(bytes.len()).unwrap_or(i64::MAX))?;
        self.put(out, bytes)
    }

    fn value(&mut self, from: TypeId, to: TypeId, out: &mut Vec<u8>) -> Result<(), String> {
        self.count()?;
        self.nested(from, to, out)
    }

    fn count(&mut self) -> Result<(), String> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(format!("the payload has more than {VALUES_MAX} values"));
        }
        Ok(())
    }

    /// Enters a record, an array or a map: what recursion is bounded by.
    fn enter(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("values nest deeper than {DEPTH_MAX}"));
        }
        Ok(())
    }

    fn nested(&mut self, from: TypeId, to: TypeId, out: &mut Vec<u8>) -> Result<(), String> {
        let (writer, reader) = (self.writer, self.reader);
        let (source, target) = (writer.get(from), reader.get(to));
        match (&source.kind, &target.kind) {
            (Kind::Union(branches), _) => {
                let branch = self.cursor.index(branches, "the union has no branch")?;
                self.value(*branch, to, out)
            }
            (_, Kind::Union(branches)) => {
                let chosen = *self.choices.entry((from, to)).or_insert_with(|| {
                    let taken = choose(source, reader, branches)?.taken;
                    Some((branches.iter().position(|it| *it == taken)?, taken))
                });
                let Some((index, taken)) = chosen else { return Err(self.refusal(from, to)) };
                self.put_long(out, i64::try_from(index).unwrap_or(i64::MAX))?;
                self.value(from, taken, out)
            }
            _ if misread(source, target) => Err(self.refusal(from, to)),
            (Kind::Primitive(source), Kind::Primitive(target)) => {
                if source == target || source.promotes_to(*target) {
                    self.primitive(*source, *target, out)
                } else {
                    Err(self.refusal(from, to))
                }
            }
            (Kind::Array(source), Kind::Array(target)) => self.blocks(*source, *target, false, out),
            (Kind::Map(source), Kind::Map(target)) => self.blocks(*source, *target, true, out),
            (Kind::Record(_) | Kind::Enum(_) | Kind::Fixed(_), _)
                if same_name(source, target).is_none() =>
            {
                Err(self.refusal(from, to))
            }
            (Kind::Record(source), Kind::Record(target)) => self.record(source, to, target, out),
            (Kind::Enum(source), Kind::Enum(target)) => self.symbol(source, target, out),
            (Kind::Fixed(source), Kind::Fixed(target)) if source.size == target.size => {
                let bytes = self.cursor.take(usize::try_from(source.size).unwrap_or(usize::MAX))?;
                self.put(out, bytes)
            }
            _ => Err(self.refusal(from, to)),
        }
    }

    fn refusal(&self, from: TypeId, to: TypeId) -> String {
        format!("{} is not read as {}", self.writer.label(from), self.reader.label(to))
    }

    fn primitive(
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
                    // Digits may be lost: the comparison has warned of it.
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
                self.put_sized(out, text.as_bytes())
            }
            (Bytes, Text) => {
                let text = self.cursor.text()?;
                self.put_sized(out, text.as_bytes())
            }
            (Bytes, _) => {
                let bytes = self.cursor.sized()?;
                self.put_sized(out, bytes)
            }
        }
    }

    fn blocks(
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
                    self.put_sized(out, key.as_bytes())?;
                }
                self.value(from, to, out)?;
            }
        }
    }

    fn symbol(&mut self, from: &Enum, to: &Enum, out: &mut Vec<u8>) -> Result<(), String> {
        let symbol = self.cursor.index(&from.symbols, "the enum has no symbol")?;
        let known = to.by_symbol.get(symbol);
        let instead = || to.default.as_ref().and_then(|it| to.by_symbol.get(it));
        match known.or_else(instead) {
            Some(index) => self.put_long(out, i64::try_from(*index).unwrap_or(i64::MAX)),
            None => Err(format!("enum {} has no symbol {symbol}, and no default", to.name)),
        }
    }

    /// Fields come in the writer's order and go in the reader's, so each waits in a buffer.
    fn record(
        &mut self,
        from: &Record,
        id: TypeId,
        to: &Record,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        self.enter()?;
        let mut wanted: Vec<Option<usize>> = vec![None; from.fields.len()];
        let mut fields: Vec<Option<Vec<u8>>> = vec![None; to.fields.len()];
        for (index, field) in to.fields.iter().enumerate() {
            match sources(field, from).as_slice() {
                [] => {}
                [source] => {
                    let Some(slot) = wanted.get_mut(*source) else { continue };
                    if slot.replace(index).is_some() {
                        return Err(format!(
                            "several fields of {} stand for one of the data",
                            to.name
                        ));
                    }
                }
                _ => {
                    let name = &field.name;
                    return Err(format!("{name} of {} stands for several fields", to.name));
                }
            }
        }
        for (field, wanted) in from.fields.iter().zip(wanted) {
            match wanted.and_then(|index| Some((index, to.fields.get(index)?))) {
                Some((index, target)) => {
                    let mut buffer = Vec::new();
                    self.value(field.of, target.of, &mut buffer)?;
                    if let Some(slot) = fields.get_mut(index) {
                        *slot = Some(buffer);
                    }
                }
                None => skip(self.writer, field.of, &mut self.cursor, &mut self.values)?,
            }
        }
        for (index, buffer) in fields.into_iter().enumerate() {
            match buffer {
                Some(buffer) => out.extend(buffer),
                None => self.default((id, index), out)?,
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// The default of a field of the reader's.
    fn default(&mut self, field: (TypeId, usize), out: &mut Vec<u8>) -> Result<(), String> {
        self.count()?;
        let reader = self.reader;
        let Some(field) = reader.field(field) else { return Ok(()) };
        let Some(default) = &field.default else {
            return Err(format!("the data has no field {}, and it has no default", field.name));
        };
        let value: Value = serde_json::from_str(&default.0).map_err(|error| error.to_string())?;
        self.literal(field.of, &value, out)
    }

    /// A default, which was found to be a value of its type.
    fn literal(&mut self, of: TypeId, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
        let reader = self.reader;
        let wrong = || format!("the default {value} is not a value of {}", reader.label(of));
        if self.depth >= DEPTH_MAX {
            return Err(format!("defaults nest deeper than {DEPTH_MAX}"));
        }
        self.depth += 1;
        let done = match (&reader.get(of).kind, value) {
            (Kind::Primitive(primitive), _) => match scalar(*primitive, value) {
                Some(bytes) => self.put(out, &bytes),
                None => Err(wrong()),
            },
            (Kind::Array(items), Value::Array(values)) => {
                self.literals(values.len(), out).and_then(|()| {
                    values.iter().try_for_each(|it| self.literal(*items, it, out))?;
                    if values.is_empty() { Ok(()) } else { self.put_long(out, 0) }
                })
            }
            (Kind::Map(of), Value::Object(entries)) => {
                self.literals(entries.len(), out).and_then(|()| {
                    for (key, value) in entries {
                        self.put_sized(out, key.as_bytes())?;
                        self.literal(*of, value, out)?;
                    }
                    if entries.is_empty() { Ok(()) } else { self.put_long(out, 0) }
                })
            }
            (Kind::Record(record), Value::Object(entries)) => (0..)
                .zip(&record.fields)
                .try_for_each(|(index, field)| match entries.get(&field.name) {
                    Some(value) => self.literal(field.of, value, out),
                    None => self.default((of, index), out),
                }),
            (Kind::Enum(it), Value::String(symbol)) => match it.by_symbol.get(symbol) {
                Some(index) => self.put_long(out, i64::try_from(*index).unwrap_or(i64::MAX)),
                None => Err(wrong()),
            },
            (Kind::Fixed(_), Value::String(text)) if is_bytes(text) => self.put(out, &latin(text)),
            (Kind::Union(branches), _) => self.branch(branches, value, out).ok_or_else(wrong),
            _ => Err(wrong()),
        };
        self.depth -= 1;
        done
    }

    /// The count of the only block.
    fn literals(&mut self, count: usize, out: &mut Vec<u8>) -> Result<(), String> {
        self.put_long(out, i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// The first branch that takes a default.
    fn branch(&mut self, branches: &[TypeId], value: &Value, out: &mut Vec<u8>) -> Option<()> {
        let (length, written, depth) = (out.len(), self.written, self.depth);
        for (index, branch) in (0..).zip(branches) {
            let done = self.put_long(out, index).and_then(|()| self.literal(*branch, value, out));
            if done.is_ok() {
                return Some(());
            }
            out.truncate(length);
            self.written = written;
            self.depth = depth;
        }
        None
    }
}

/// Whether the same bytes mean something else under the reader's logical type.
fn misread(writer: &Type, reader: &Type) -> bool {
    match (&writer.logical, &reader.logical) {
        (Some(Logical::Custom(_)), _) | (_, Some(Logical::Custom(_))) => false,
        (Some(from), Some(to)) => from != to,
        // The bytes of a number are no text.
        (Some(Logical::Decimal { .. } | Logical::BigDecimal), None) => {
            matches!(reader.kind, Kind::Primitive(Primitive::String))
        }
        (Some(_) | None, None) | (None, Some(_)) => false,
    }
}

/// The bytes of a default of a primitive type.
fn scalar(primitive: Primitive, value: &Value) -> Option<Vec<u8>> {
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
            let bytes = latin(text);
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

/// The bytes that characters up to U+00FF stand for.
fn latin(text: &str) -> Vec<u8> {
    text.chars().filter_map(|it| u8::try_from(u32::from(it)).ok()).collect()
}

/// Writes a number in zigzag, base 128, the least significant first.
pub fn write_long(number: i64, out: &mut Vec<u8>) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while left > 0x7f {
        out.push(u8::try_from(left & 0x7f).unwrap_or(0) | 0x80);
        left >>= 7;
    }
    out.push(u8::try_from(left).unwrap_or(0));
}
