//! Converts payloads of one version to payloads of another. The result has only values that both
//! versions declare.

use std::{borrow::Cow, collections::BTreeMap};

use prost_reflect::{DescriptorPool, Value};

use crate::definition::Violation;

use super::{
    decoded_message::{DecodedMessage, zero_value},
    payload_tables::PayloadTables,
    pointer,
    scalar::{Layout, Scalar},
    types::{Cardinality, Enum, Field, Kind, Message, Types, json_form},
    validate::key_text,
    wire_format::{DEPTH_MAX, WireValue, depth_error, put_length, put_tag},
};

/// Limit of reported violations.
const VIOLATIONS_MAX: usize = 100;

/// The parts of a schema that a conversion needs.
#[derive(Clone, Copy)]
pub(super) struct SchemaView<'s> {
    pub(super) pool: &'s DescriptorPool,
    pub(super) types: &'s Types,
    pub(super) tables: &'s PayloadTables,
    /// Index of the payload's message.
    pub(super) root: usize,
}

/// Converts a payload. `None` if the reader reads the same bytes as the same values, without
/// unknown fields.
///
/// # Errors
/// Returns all values that cannot be converted.
pub(super) fn convert(
    writer: SchemaView<'_>,
    reader: SchemaView<'_>,
    bytes: &[u8],
) -> Result<Option<Vec<u8>>, Vec<Violation>> {
    let mut conversion =
        Conversion { writer, reader, depth: 0, path: Vec::new(), violations: Vec::new() };
    let mut out = Vec::with_capacity(bytes.len());
    let changed = conversion.convert_message(writer.root, reader.root, bytes, &mut out);
    if !conversion.violations.is_empty() {
        return Err(conversion.violations);
    }
    Ok(changed.then_some(out))
}

struct Conversion<'c> {
    writer: SchemaView<'c>,
    reader: SchemaView<'c>,
    depth: usize,
    path: Vec<(&'c str, ValuePosition)>,
    violations: Vec<Violation>,
}

/// The position of a value in its field.
enum ValuePosition {
    Single,
    Index(usize),
    Key(String),
}

impl<'c> Conversion<'c> {
    fn report(&mut self, message: String) {
        if self.violations.len() >= VIOLATIONS_MAX {
            return;
        }
        let mut path = String::new();
        for (name, position) in &self.path {
            if !name.is_empty() {
                path.push('/');
                path.push_str(&pointer::escape(name));
            }
            match position {
                ValuePosition::Single => {}
                ValuePosition::Index(index) => path.push_str(&format!("/{index}")),
                ValuePosition::Key(key) => path.push_str(&format!("/{}", pointer::escape(key))),
            }
        }
        self.violations.push(Violation { path, message });
    }

    /// Converts a message. Returns whether the result differs from the original bytes in meaning or
    /// in layout.
    fn convert_message(&mut self, from: usize, to: usize, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let (writer, reader) = (self.writer, self.reader);
        let (Some(source), Some(target)) = (writer.types.message(from), reader.types.message(to))
        else {
            return false;
        };
        if self.violations.len() >= VIOLATIONS_MAX {
            return true;
        }
        match (json_form(&source.name), json_form(&target.name)) {
            (Some(from_form), Some(to_form)) if from_form != to_form => {
                self.report(format!("a {} cannot be converted to a {}", source.name, target.name));
                return true;
            }
            _ => {}
        }
        if source.message_set != target.message_set {
            self.report(format!(
                "only one of {} and {} is a message set, which has a special encoding",
                source.name, target.name
            ));
            return true;
        }
        if target.message_set {
            out.extend_from_slice(bytes);
            return false;
        }
        let decoded = match DecodedMessage::decode(writer.types, source, bytes) {
            Ok(decoded) => decoded,
            Err(message) => {
                self.report(message);
                return true;
            }
        };
        // The reader may resolve duplicates differently.
        let mut changed = decoded.has_duplicates;
        let mut chosen: BTreeMap<&str, &Field> = BTreeMap::new();
        for (number, items) in &decoded.fields {
            let (Some(written), Some(read)) =
                (source.fields.get(number), target.fields.get(number))
            else {
                changed = true;
                continue;
            };
            if let Some(oneof) = &read.oneof
                && let Some(other) = chosen.insert(oneof, read)
            {
                self.report(format!(
                    "{} and {} are both set, and share the oneof {oneof} in the requested version",
                    other.full_name, read.full_name
                ));
            }
            changed |= self.convert_field(written, read, items, out);
        }
        if source.map_entry {
            // An absent key or value is zero, which must exist in the reader's type.
            for (number, written) in &source.fields {
                if let Some(read) = target.fields.get(number)
                    && !decoded.fields.contains_key(number)
                {
                    changed |= self.convert_value(written, read, &zero_value(written.kind)).1;
                }
            }
        }
        for (number, raw) in &decoded.unknown {
            // A field that only the reader declares comes from a writer with a newer schema.
            if target.fields.contains_key(number) {
                out.extend_from_slice(raw);
            } else {
                changed = true;
            }
        }
        changed | self.write_defaults((from, source), (to, target), &decoded, out)
    }

    fn convert_field(
        &mut self,
        written: &'c Field,
        read: &'c Field,
        items: &[WireValue<'_>],
        out: &mut Vec<u8>,
    ) -> bool {
        let (from, to) = (written.cardinality, read.cardinality);
        if (from == Cardinality::Map) != (to == Cardinality::Map) {
            self.path.push((&written.json_name, ValuePosition::Single));
            self.report(format!(
                "{} is {}, and {} in the requested version",
                written.full_name,
                self.writer.types.type_name(written),
                self.reader.types.type_name(read)
            ));
            self.path.pop();
            return true;
        }
        if from == Cardinality::Repeated && to.singular() && items.len() > 1 {
            self.path.push((&written.json_name, ValuePosition::Single));
            self.report(format!(
                "{} has {} values, and is singular in the requested version",
                written.full_name,
                items.len()
            ));
            self.path.pop();
            return true;
        }
        let mut changed = from.singular() != to.singular();
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            // A zero of a field with implicit presence means absent: the reader would get a list
            // element.
            if from == Cardinality::Implicit && !to.singular() && is_zero(item) {
                continue;
            }
            let position = match (from, item) {
                (Cardinality::Map, WireValue::Bytes(bytes)) => {
                    let entry =
                        written.kind.message().and_then(|index| self.writer.types.message(index));
                    ValuePosition::Key(
                        entry.map_or_else(String::new, |entry| key_text(entry, bytes)),
                    )
                }
                (Cardinality::Repeated, _) => ValuePosition::Index(index),
                _ => ValuePosition::Single,
            };
            // The pointer to the value of a map entry ends with the key.
            let entry = self
                .path
                .last()
                .is_some_and(|(_, position)| matches!(position, ValuePosition::Key(_)));
            self.path.push((if entry { "" } else { &written.json_name }, position));
            let (value, value_changed) = self.convert_value(written, read, item);
            self.path.pop();
            changed |= value_changed;
            values.push(value);
        }
        write(read, &values, out);
        changed
    }

    /// Converts one value. Returns it, and whether it changed.
    fn convert_value<'i>(
        &mut self,
        written: &Field,
        read: &Field,
        item: &WireValue<'i>,
    ) -> (WireValue<'i>, bool) {
        match (written.kind, read.kind, item) {
            (
                Kind::Message(from) | Kind::Group(from),
                Kind::Message(to) | Kind::Group(to),
                WireValue::Bytes(bytes),
            ) => {
                if self.depth >= DEPTH_MAX {
                    self.report(depth_error());
                    return (item.clone(), true);
                }
                self.depth += 1;
                let mut body = Vec::with_capacity(bytes.len());
                let changed = self.convert_message(from, to, bytes, &mut body);
                self.depth -= 1;
                let layout_changed = written.kind.layout() != read.kind.layout();
                if changed {
                    return (WireValue::Bytes(Cow::Owned(body)), true);
                }
                (item.clone(), layout_changed)
            }
            (Kind::Scalar(from), Kind::Scalar(to), _) if from == to => (item.clone(), false),
            _ => match self.convert_scalar(written, read, item) {
                Ok(value) => {
                    let changed = value != *item;
                    (value, changed)
                }
                Err(message) => {
                    self.report(message);
                    (item.clone(), true)
                }
            },
        }
    }

    /// Converts a value to another type, if it represents the same value.
    fn convert_scalar<'i>(
        &self,
        written: &Field,
        read: &Field,
        item: &WireValue<'i>,
    ) -> Result<WireValue<'i>, String> {
        let name = |view: SchemaView<'_>, kind| view.types.kind_name(kind);
        let incompatible = || {
            Err(format!(
                "{} is {}, which cannot be converted to the {} of the requested version",
                written.full_name,
                name(self.writer, written.kind),
                name(self.reader, read.kind)
            ))
        };
        let from = match written.kind {
            Kind::Scalar(scalar) => scalar,
            Kind::Enum(_) => Scalar::Int32,
            Kind::Message(_) | Kind::Group(_) => return incompatible(),
        };
        let (to, target_enum) = match read.kind {
            Kind::Scalar(scalar) => (scalar, None),
            Kind::Enum(index) => (Scalar::Int32, self.reader.types.enumeration(index)),
            Kind::Message(_) | Kind::Group(_) => return incompatible(),
        };
        match (from, to, item) {
            (Scalar::String | Scalar::Bytes, Scalar::Bytes, _) => Ok(item.clone()),
            (Scalar::String | Scalar::Bytes, Scalar::String, WireValue::Bytes(bytes)) => {
                match str::from_utf8(bytes) {
                    Ok(_) => Ok(item.clone()),
                    Err(_) => {
                        Err("the bytes are not UTF-8, and are a string in the requested version"
                            .to_owned())
                    }
                }
            }
            (Scalar::Float, Scalar::Double, WireValue::Fixed32(bits)) => {
                Ok(WireValue::Fixed64(f64::from(f32::from_bits(*bits)).to_bits()))
            }
            (Scalar::Double, Scalar::Float, WireValue::Fixed64(bits)) => {
                let number = f64::from_bits(*bits);
                let short = number as f32;
                if number.is_nan() || f64::from(short).to_bits() == *bits {
                    Ok(WireValue::Fixed32(short.to_bits()))
                } else {
                    Err(format!("{number} is not a 32-bit float"))
                }
            }
            _ => {
                let Some(number) = integer(from, item) else { return incompatible() };
                match target_enum {
                    Some(kind) => check_known(kind, number)?,
                    None if !is_integer(to) => return incompatible(),
                    None => {}
                }
                let Some(bits) = to.bits(number) else {
                    return Err(format!(
                        "{number} is not a value of {}, the type in the requested version",
                        name(self.reader, read.kind)
                    ));
                };
                Ok(wire_value(to, bits))
            }
        }
    }

    /// Writes the defaults of absent fields whose default differs in the reader's schema.
    fn write_defaults(
        &mut self,
        (from, source): (usize, &'c Message),
        (to, target): (usize, &'c Message),
        decoded: &DecodedMessage<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let (writer, reader) = (self.writer, self.reader);
        let default_lists = [&writer.tables.get(from).defaults, &reader.tables.get(to).defaults];
        if default_lists.iter().all(|numbers| numbers.is_empty()) {
            return false;
        }
        let mut numbers: Vec<u32> =
            default_lists.iter().flat_map(|numbers| numbers.iter().copied()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut changed = false;
        for number in numbers {
            let (Some(written), Some(read)) =
                (source.fields.get(&number), target.fields.get(&number))
            else {
                continue;
            };
            let is_present = decoded.fields.get(&number).is_some_and(|items| !items.is_empty());
            // Absent lists and messages are empty.
            if is_present
                || written.default == read.default
                || decoded.unknown.iter().any(|(unknown, _)| *unknown == number)
            {
                continue;
            }
            changed = true;
            self.path.push((&written.json_name, ValuePosition::Single));
            match default_of(writer.pool, source, written) {
                // Writing a oneof member would set the oneof.
                Some(value) if read.oneof.is_none() && read.cardinality != Cardinality::Map => {
                    match self.convert_scalar(written, read, &value) {
                        Ok(value) => write(read, &[value], out),
                        Err(message) => self.report(message),
                    }
                }
                _ => {
                    let default_text = |field: &Field| {
                        field.default.clone().unwrap_or_else(|| "no value".to_owned())
                    };
                    self.report(format!(
                        "{} is absent, which means {}, and {} in the requested version",
                        written.full_name,
                        default_text(written),
                        default_text(read)
                    ));
                }
            }
            self.path.pop();
        }
        changed
    }
}

/// Encodes the values of a field.
pub(super) fn write(field: &Field, values: &[WireValue<'_>], out: &mut Vec<u8>) {
    if field.packed && !values.is_empty() {
        put_tag(field.number, 2, out);
        let from = out.len();
        values.iter().for_each(|value| value.put(out));
        put_length(from, out);
        return;
    }
    for value in values {
        match (field.kind, value) {
            (Kind::Group(_), WireValue::Bytes(body)) => {
                put_tag(field.number, 3, out);
                out.extend_from_slice(body);
                put_tag(field.number, 4, out);
            }
            _ => value.put_field(field.number, out),
        }
    }
}

/// Checks that an enum has a number, even if it is open: JSON is written with names, and readers of
/// JSON reject a number without one.
fn check_known(kind: &Enum, number: i128) -> Result<(), String> {
    if i32::try_from(number).is_ok_and(|known| kind.values.contains_key(&known)) {
        return Ok(());
    }
    Err(format!("{number} is not a value of the enum {} in the requested version", kind.name))
}

fn is_integer(scalar: Scalar) -> bool {
    !matches!(scalar, Scalar::Double | Scalar::Float | Scalar::String | Scalar::Bytes)
}

fn integer(scalar: Scalar, item: &WireValue<'_>) -> Option<i128> {
    if !is_integer(scalar) {
        return None;
    }
    match item {
        WireValue::Varint(bits) | WireValue::Fixed64(bits) => Some(scalar.integer(*bits)),
        WireValue::Fixed32(bits) => Some(scalar.integer((*bits).into())),
        WireValue::Bytes(_) => None,
    }
}

fn wire_value<'i>(scalar: Scalar, bits: u64) -> WireValue<'i> {
    match scalar.layout() {
        Layout::Fixed32 => WireValue::Fixed32(bits as u32),
        Layout::Fixed64 => WireValue::Fixed64(bits),
        Layout::Varint | Layout::Delimited | Layout::Group => WireValue::Varint(bits),
    }
}

fn is_zero(item: &WireValue<'_>) -> bool {
    match item {
        WireValue::Varint(number) | WireValue::Fixed64(number) => *number == 0,
        WireValue::Fixed32(number) => *number == 0,
        WireValue::Bytes(bytes) => bytes.is_empty(),
    }
}

/// The value of an absent field.
fn default_of(
    pool: &DescriptorPool,
    message: &Message,
    field: &Field,
) -> Option<WireValue<'static>> {
    let message = pool.get_message_by_name(&message.name)?;
    let default = match message.get_field(field.number) {
        Some(field) => field.default_value(),
        None => message.get_extension(field.number)?.default_value(),
    };
    let integer = |number: i128| match field.kind {
        Kind::Scalar(scalar) => Some(wire_value(scalar, scalar.bits(number)?)),
        Kind::Enum(_) => Some(WireValue::Varint(Scalar::Int32.bits(number)?)),
        Kind::Message(_) | Kind::Group(_) => None,
    };
    match default {
        Value::Bool(value) => integer(value.into()),
        Value::I32(value) | Value::EnumNumber(value) => integer(value.into()),
        Value::I64(value) => integer(value.into()),
        Value::U32(value) => integer(value.into()),
        Value::U64(value) => integer(value.into()),
        Value::F32(value) => Some(WireValue::Fixed32(value.to_bits())),
        Value::F64(value) => Some(WireValue::Fixed64(value.to_bits())),
        Value::String(value) => Some(WireValue::Bytes(Cow::Owned(value.into_bytes()))),
        Value::Bytes(value) => Some(WireValue::Bytes(Cow::Owned(value.to_vec()))),
        Value::Message(_) | Value::List(_) | Value::Map(_) => None,
    }
}
