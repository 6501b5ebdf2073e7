//! Whether what one schema writes means the same to another, as a decoder sees it.

use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage, Syntax, Value,
};

use super::model::Chance;

/// Whether an enum sets numbers aside that it does not know.
pub type IsClosed<'a> = &'a dyn Fn(&EnumDescriptor) -> bool;

/// A payload of a message, with what is hard about its types.
pub fn payload(message: &MessageDescriptor, chance: &mut Chance, depth: usize) -> DynamicMessage {
    Draw { chance, is_closed: &closed }.payload(message, depth)
}

/// Draws payloads.
pub struct Draw<'a> {
    pub chance: &'a mut Chance,
    pub is_closed: IsClosed<'a>,
}

impl Draw<'_> {
    pub fn payload(&mut self, message: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut payload = DynamicMessage::new(message.clone());
        if self.well_known(message, &mut payload, depth) {
            return payload;
        }
        for field in message.fields() {
            let inner = matches!(field.kind(), Kind::Message(_)) && !field.is_map();
            let skipped = self.chance.one_in(4) || (depth == 0 && inner);
            if skipped && !field.is_required() {
                continue;
            }
            if let Some(value) = self.value_of(&field, depth) {
                payload.set_field(&field, value);
            }
        }
        for extension in message.extensions() {
            let scalar = !matches!(extension.kind(), Kind::Message(_));
            if scalar && !extension.is_list() && self.chance.one_in(2) {
                payload.set_extension(&extension, self.single(&extension.kind(), depth));
            }
        }
        payload
    }

    /// Messages that JSON has no form for unless their fields are within bounds.
    fn well_known(
        &mut self,
        message: &MessageDescriptor,
        payload: &mut DynamicMessage,
        depth: usize,
    ) -> bool {
        let mut set = |name: &str, value: Value| payload.set_field_by_name(name, value);
        match message.full_name() {
            "google.protobuf.Timestamp" => {
                set("seconds", Value::I64(self.chance.of(&[0, -1, 253_402_300_799])));
                set("nanos", Value::I32(self.chance.of(&[0, 1, 999_999_999])));
            }
            "google.protobuf.Duration" => {
                let sign: i64 = self.chance.of(&[1, -1]);
                set("seconds", Value::I64(sign * self.chance.of(&[0_i64, 1, 315_576_000_000])));
                set(
                    "nanos",
                    Value::I32(i32::try_from(sign).expect("small") * self.chance.of(&[0, 1])),
                );
            }
            "google.protobuf.FieldMask" => {
                let paths = ["a_b", "c"].map(|it| Value::String(it.to_owned()));
                set("paths", Value::List(paths[..self.chance.below(3)].to_vec()));
            }
            "google.protobuf.Value" if depth == 0 => {
                set("bool_value", Value::Bool(self.chance.one_in(2)));
            }
            "google.protobuf.Value" => match self.chance.below(3) {
                0 => set("number_value", Value::F64(self.chance.of(&[0.0, 1.5]))),
                1 => set("string_value", Value::String("s".to_owned())),
                _ => set("null_value", Value::EnumNumber(0)),
            },
            "google.protobuf.Any" => {}
            _ => return false,
        }
        true
    }

    fn value_of(&mut self, field: &FieldDescriptor, depth: usize) -> Option<Value> {
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else { return None };
            let value = entry.map_entry_value_field();
            if depth == 0 && matches!(value.kind(), Kind::Message(_)) {
                return None;
            }
            let count = self.chance.below(3);
            let keys = (0..count).map(|at| key(&entry.map_entry_key_field().kind(), at));
            let keys: Vec<MapKey> = keys.collect();
            let entries = keys.into_iter().map(|key| (key, self.single(&value.kind(), depth)));
            return Some(Value::Map(entries.collect()));
        }
        if field.is_list() {
            let count = self.chance.below(4);
            let values = (0..count).map(|_| self.single(&field.kind(), depth));
            return Some(Value::List(values.collect()));
        }
        Some(self.single(&field.kind(), depth))
    }

    fn single(&mut self, kind: &Kind, depth: usize) -> Value {
        match kind {
            Kind::Message(message) => {
                Value::Message(self.payload(message, depth.saturating_sub(1)))
            }
            Kind::Enum(kind) => {
                let values: Vec<i32> = kind.values().map(|it| it.number()).collect();
                // A writer of an open enum may pass a number on that it does not know.
                let unknown = !(self.is_closed)(kind)
                    && kind.full_name() != "google.protobuf.NullValue"
                    && self.chance.one_in(10);
                Value::EnumNumber(if unknown { 77 } else { self.chance.of(&values) })
            }
            kind => scalar(kind, self.chance),
        }
    }
}

fn key(kind: &Kind, at: usize) -> MapKey {
    let number = i64::try_from(at).expect("small");
    match kind {
        Kind::Bool => MapKey::Bool(at == 0),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => MapKey::I32([0, -1, 7][at]),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => MapKey::I64(number << 40),
        Kind::Uint32 | Kind::Fixed32 => MapKey::U32([0, u32::MAX, 7][at]),
        Kind::Uint64 | Kind::Fixed64 => MapKey::U64([0, u64::MAX, 7][at]),
        _ => MapKey::String(["", "a", "ключ"][at].to_owned()),
    }
}

fn scalar(kind: &Kind, chance: &mut Chance) -> Value {
    match kind {
        Kind::Double => Value::F64(chance.of(&[0.0, -1.5, 1e300, 0.1])),
        Kind::Float => Value::F32(chance.of(&[0.0, -1.5, 1e30, 0.25])),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Value::I32(chance.of(&[0, 1, 2, -1, i32::MIN, i32::MAX]))
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Value::I64(chance.of(&[0, 1, 2, -1, i64::MIN, i64::MAX, 1 << 40]))
        }
        Kind::Uint32 | Kind::Fixed32 => Value::U32(chance.of(&[0, 1, 2, u32::MAX])),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(chance.of(&[0, 1, 2, u64::MAX, 1 << 40])),
        Kind::Bool => Value::Bool(chance.one_in(2)),
        Kind::String => Value::String((chance.of(&["", "hi", "é", "aGk="])).to_owned()),
        Kind::Bytes => {
            Value::Bytes((chance.of(&[&b""[..], b"hi", b"\xff\xfe", b"\x08\x01"])).into())
        }
        Kind::Message(_) | Kind::Enum(_) => unreachable!("it is a scalar"),
    }
}

fn closed(kind: &EnumDescriptor) -> bool {
    kind.parent_file().syntax() == Syntax::Proto2
}

/// What of a message that was written is not there, or is something else, in the message that was read.
pub fn difference(written: &DynamicMessage, read: &DynamicMessage) -> Option<String> {
    Judge { written: &closed, read: &closed }.difference(written, read)
}

/// Which enums are closed, on both sides.
pub struct Judge<'a> {
    pub written: IsClosed<'a>,
    pub read: IsClosed<'a>,
}

impl Judge<'_> {
    pub fn difference(&self, written: &DynamicMessage, read: &DynamicMessage) -> Option<String> {
        for field in read.descriptor().fields().filter(FieldDescriptor::is_required) {
            if !read.has_field(&field) {
                return Some(format!("{} is required and missing", field.full_name()));
            }
        }
        let fields = written.descriptor().fields().find_map(|field| {
            let mut was = values(written, &field, self.written);
            let mut maps = field.is_map();
            let mut is = match read.descriptor().get_field(field.number()) {
                Some(other) => {
                    maps |= other.is_map();
                    values(read, &other, self.read)
                }
                None => {
                    let other = read.descriptor().get_extension(field.number())?;
                    vec![read.get_extension(&other).into_owned()]
                }
            };
            if maps {
                // The entries of a map come in any order.
                was.sort_by_cached_key(entry_key);
                is.sort_by_cached_key(entry_key);
            }
            self.same_values(&field, &was, &is).map(|why| format!("{}: {why}", field.full_name()))
        });
        fields.or_else(|| {
            written.descriptor().extensions().find_map(|field| {
                let was = written.get_extension(&field);
                let is = match read.descriptor().get_extension(field.number()) {
                    Some(other) => read.get_extension(&other),
                    None => read.get_field(&read.descriptor().get_field(field.number())?),
                };
                let simple = |it: &Value| !matches!(it, Value::List(_) | Value::Map(_));
                if !simple(&was) || !simple(&is) {
                    return (simple(&was) != simple(&is) && written.has_extension(&field))
                        .then(|| format!("{}: another shape", field.full_name()));
                }
                self.same(&was, &is).map(|why| format!("{}: {why}", field.full_name()))
            })
        })
    }

    fn same_values(&self, field: &FieldDescriptor, was: &[Value], is: &[Value]) -> Option<String> {
        // One value that is the default and none say the same of a list and of a singular field.
        let nothing = |values: &[Value]| {
            values.len() == 1 && values[0].is_default(&field.kind()) && !field.is_list()
        };
        if (is.is_empty() && nothing(was)) || (was.is_empty() && is.len() == 1 && is_zero(&is[0])) {
            return None;
        }
        if was.len() != is.len() {
            return Some(format!("{} values became {}", was.len(), is.len()));
        }
        was.iter().zip(is).find_map(|(was, is)| self.same(was, is))
    }

    fn same(&self, was: &Value, is: &Value) -> Option<String> {
        let equal = match (was, is) {
            (Value::Message(was), Value::Message(is)) => return self.difference(was, is),
            (Value::F64(was), Value::F64(is)) => was.to_bits() == is.to_bits(),
            (Value::F32(was), Value::F32(is)) => was.to_bits() == is.to_bits(),
            (Value::String(_) | Value::Bytes(_), Value::String(_) | Value::Bytes(_)) => {
                bytes(was) == bytes(is)
            }
            _ => number(was).is_some() && number(was) == number(is),
        };
        (!equal).then(|| format!("{} became {}", shown(was), shown(is)))
    }
}

/// The key of an entry of a map.
fn entry_key(it: &Value) -> Option<String> {
    Some(shown(&*it.as_message()?.get_field_by_number(1)?))
}

/// A field as a list, of entries where it is a map. A singular field that is absent has its default, unless it is a
/// message.
fn values(
    message: &DynamicMessage,
    field: &FieldDescriptor,
    is_closed: IsClosed<'_>,
) -> Vec<Value> {
    let known = |kind: &Kind, it: &Value| known(kind, it, is_closed);
    let value = message.get_field(field).into_owned();
    match value {
        Value::List(values) => values.into_iter().filter(|it| known(&field.kind(), it)).collect(),
        Value::Map(entries) => {
            let Kind::Message(entry) = field.kind() else { return Vec::new() };
            let of = entry.map_entry_value_field().kind();
            // With a number that it does not know a closed enum sets the whole entry aside.
            let entries =
                entries.into_iter().filter(|(_, it)| known(&of, it)).map(|(key, value)| {
                    let mut message = DynamicMessage::new(entry.clone());
                    message.set_field(&entry.map_entry_key_field(), key.into());
                    message.set_field(&entry.map_entry_value_field(), value);
                    Value::Message(message)
                });
            entries.collect()
        }
        Value::Message(_) if !message.has_field(field) => Vec::new(),
        value if !known(&field.kind(), &value) => vec![field.default_value()],
        value => vec![value],
    }
}

/// A closed enum sets numbers aside that it does not know.
fn known(kind: &Kind, value: &Value, is_closed: IsClosed<'_>) -> bool {
    match (kind, value) {
        (Kind::Enum(kind), Value::EnumNumber(number)) => {
            !is_closed(kind) || kind.get_value(*number).is_some()
        }
        _ => true,
    }
}

fn is_zero(value: &Value) -> bool {
    number(value) == Some(0)
        || matches!(value, Value::String(it) if it.is_empty())
        || matches!(value, Value::Bytes(it) if it.is_empty())
        || matches!(value, Value::F64(it) if *it == 0.0)
        || matches!(value, Value::F32(it) if *it == 0.0)
}

/// Messages by their name alone: their descriptors lead back to themselves.
fn shown(value: &Value) -> String {
    match value {
        Value::Message(message) => message.descriptor().full_name().to_owned(),
        Value::List(values) => {
            format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        Value::Map(entries) => format!("a map of {}", entries.len()),
        other => format!("{other:?}"),
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::String(value) => Some(value.as_bytes()),
        Value::Bytes(value) => Some(value),
        _ => None,
    }
}

fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Bool(value) => Some(i128::from(*value)),
        Value::I32(value) | Value::EnumNumber(value) => Some(i128::from(*value)),
        Value::I64(value) => Some(i128::from(*value)),
        Value::U32(value) => Some(i128::from(*value)),
        Value::U64(value) => Some(i128::from(*value)),
        _ => None,
    }
}
