//! Whether what one schema writes means the same to another, as a decoder sees it.

use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage, Syntax, Value,
};

use super::model::Chance;

/// A payload of a message, with what is hard about its types.
pub fn payload(message: &MessageDescriptor, chance: &mut Chance, depth: usize) -> DynamicMessage {
    let mut payload = DynamicMessage::new(message.clone());
    for field in message.fields() {
        let skipped = chance.one_in(4)
            || (depth == 0 && matches!(field.kind(), Kind::Message(_)) && !field.is_map());
        if skipped && !field.is_required() {
            continue;
        }
        if let Some(value) = value_of(&field, chance, depth) {
            payload.set_field(&field, value);
        }
    }
    payload
}

fn value_of(field: &FieldDescriptor, chance: &mut Chance, depth: usize) -> Option<Value> {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { return None };
        let value = entry.map_entry_value_field();
        if depth == 0 && matches!(value.kind(), Kind::Message(_)) {
            return None;
        }
        let keys = ["", "a", "ключ"];
        let count = chance.below(3);
        return Some(Value::Map(
            (0..count)
                .map(|at| {
                    (MapKey::String(keys[at].to_owned()), single(&value.kind(), chance, depth))
                })
                .collect(),
        ));
    }
    if field.is_list() {
        let count = chance.below(4);
        return Some(Value::List(
            (0..count).map(|_| single(&field.kind(), chance, depth)).collect(),
        ));
    }
    Some(single(&field.kind(), chance, depth))
}

fn single(kind: &Kind, chance: &mut Chance, depth: usize) -> Value {
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
        Kind::Message(message) => Value::Message(payload(message, chance, depth.saturating_sub(1))),
        Kind::Enum(kind) => {
            let values: Vec<i32> = kind.values().map(|it| it.number()).collect();
            // A writer of an open enum may pass a number on that it does not know.
            let unknown = !closed(kind) && chance.one_in(10);
            Value::EnumNumber(if unknown { 77 } else { chance.of(&values) })
        }
    }
}

fn closed(kind: &EnumDescriptor) -> bool {
    kind.parent_file().syntax() == Syntax::Proto2
}

/// What of a message that was written is not there, or is something else, in the message that was read.
pub fn difference(written: &DynamicMessage, read: &DynamicMessage) -> Option<String> {
    for field in read.descriptor().fields().filter(FieldDescriptor::is_required) {
        if !read.has_field(&field) {
            return Some(format!("{} is required and missing", field.full_name()));
        }
    }
    written.descriptor().fields().find_map(|field| {
        let other = read.descriptor().get_field(field.number())?;
        let (mut was, mut is) = (values(written, &field), values(read, &other));
        if field.is_map() || other.is_map() {
            // The entries of a map come in any order.
            let key = |it: &Value| Some(format!("{:?}", it.as_message()?.get_field_by_number(1)?));
            for values in [&mut was, &mut is] {
                values.sort_by_cached_key(key);
            }
        }
        same_values(&field, &was, &is).map(|why| format!("{}: {why}", field.full_name()))
    })
}

/// A field as a list, of entries where it is a map. A singular field that is absent has its default, unless it is a
/// message.
fn values(message: &DynamicMessage, field: &FieldDescriptor) -> Vec<Value> {
    let value = message.get_field(field).into_owned();
    match value {
        Value::List(values) => values.into_iter().filter(|it| known(field, it)).collect(),
        Value::Map(entries) => {
            let Kind::Message(entry) = field.kind() else { return Vec::new() };
            let entries = entries.into_iter().map(|(key, value)| {
                let mut message = DynamicMessage::new(entry.clone());
                message.set_field(&entry.map_entry_key_field(), key.into());
                message.set_field(&entry.map_entry_value_field(), value);
                Value::Message(message)
            });
            entries.collect()
        }
        Value::Message(_) if !message.has_field(field) => Vec::new(),
        value if !known(field, &value) => vec![field.default_value()],
        value => vec![value],
    }
}

/// A closed enum sets numbers aside that it does not know.
fn known(field: &FieldDescriptor, value: &Value) -> bool {
    match (field.kind(), value) {
        (Kind::Enum(kind), Value::EnumNumber(number)) => {
            !closed(&kind) || kind.get_value(*number).is_some()
        }
        _ => true,
    }
}

fn same_values(field: &FieldDescriptor, was: &[Value], is: &[Value]) -> Option<String> {
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
    was.iter().zip(is).find_map(|(was, is)| same(was, is))
}

fn is_zero(value: &Value) -> bool {
    number(value) == Some(0)
        || matches!(value, Value::String(it) if it.is_empty())
        || matches!(value, Value::Bytes(it) if it.is_empty())
        || matches!(value, Value::F64(it) if *it == 0.0)
        || matches!(value, Value::F32(it) if *it == 0.0)
}

fn same(was: &Value, is: &Value) -> Option<String> {
    let equal = match (was, is) {
        (Value::Message(was), Value::Message(is)) => return difference(was, is),
        (Value::F64(was), Value::F64(is)) => was.to_bits() == is.to_bits(),
        (Value::F32(was), Value::F32(is)) => was.to_bits() == is.to_bits(),
        (Value::String(_) | Value::Bytes(_), Value::String(_) | Value::Bytes(_)) => {
            bytes(was) == bytes(is)
        }
        _ => number(was).is_some() && number(was) == number(is),
    };
    (!equal).then(|| format!("{} became {}", shown(was), shown(is)))
}

/// Messages by their name alone: their descriptors lead back to themselves.
fn shown(value: &Value) -> String {
    match value {
        Value::Message(message) => message.descriptor().full_name().to_owned(),
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
