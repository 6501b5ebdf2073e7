//! Validates payloads in Avro's JSON encoding, and encodes them in binary.

use serde_json::{Map, Value};

use super::{
    cursor::write_long,
    limits::VIOLATIONS_MAX,
    model::{Kind, Model, Record, TypeId},
    primitive::Primitive,
    text::{is_bytes, latin1_bytes, push_token, shorten},
    value::{RawValue, check},
};
use crate::{definition::Violation, json::text};

/// Encodes a JSON text as a value of the schema.
///
/// # Errors
/// Returns all violations, at most [`VIOLATIONS_MAX`].
pub fn from_json(model: &Model, json: &str) -> Result<Vec<u8>, Vec<Violation>> {
    let value = text::read("", json).map_err(|fault| {
        let message = fault.to_string().replace("not a JSON document", "the payload is not JSON");
        vec![Violation { path: String::new(), message }]
    })?;
    let mut encoder = Encoder {
        model,
        out: Vec::with_capacity(json.len()),
        pointer: String::new(),
        violations: Vec::new(),
    };
    encoder.value(model.root, &value);
    if encoder.violations.is_empty() { Ok(encoder.out) } else { Err(encoder.violations) }
}

struct Encoder<'m> {
    model: &'m Model,
    /// Incomplete after a violation.
    out: Vec<u8>,
    pointer: String,
    violations: Vec<Violation>,
}

impl Encoder<'_> {
    fn report(&mut self, message: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { path: self.pointer.clone(), message: message.into() });
        }
    }

    fn count(&mut self, count: usize) {
        write_long(i64::try_from(count).unwrap_or(i64::MAX), &mut self.out);
    }

    fn length_prefixed(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// Writes an array or a map: one block unless it is empty, and the end.
    fn block<T>(&mut self, items: impl ExactSizeIterator<Item = T>, write: impl Fn(&mut Self, T)) {
        if items.len() > 0 {
            self.count(items.len());
            items.for_each(|item| write(self, item));
        }
        self.count(0);
    }

    /// Writes a value at a token of the pointer.
    fn child(&mut self, token: &str, type_id: TypeId, value: &Value) {
        let length = self.pointer.len();
        push_token(&mut self.pointer, token);
        self.value(type_id, value);
        self.pointer.truncate(length);
    }

    /// Recurses as deep as the payload nests; the limit is [`text::DEPTH_MAX`].
    fn value(&mut self, type_id: TypeId, value: &Value) {
        let model = self.model;
        match (&model.get(type_id).kind, value) {
            (Kind::Array(items), Value::Array(values)) => {
                self.block(values.iter().enumerate(), |encoder, (index, value)| {
                    encoder.child(&index.to_string(), *items, value);
                });
            }
            (Kind::Map(values), Value::Object(entries)) => {
                self.block(entries.iter(), |encoder, (key, value)| {
                    encoder.length_prefixed(key.as_bytes());
                    encoder.child(key, *values, value);
                });
            }
            (Kind::Record(record), Value::Object(entries)) => self.record(record, entries),
            (Kind::Union(branches), _) => self.union(type_id, branches, value),
            (Kind::Enum(enumeration), Value::String(symbol)) => {
                match enumeration.by_symbol.get(symbol) {
                    Some(index) => self.count(*index),
                    None => {
                        self.report(format!(
                            "{:?} is not a symbol of enum {}",
                            shorten(symbol),
                            enumeration.name
                        ));
                    }
                }
            }
            (Kind::Fixed(fixed), Value::String(text)) => match bytes(text) {
                Ok(bytes) if bytes.len() as u64 == fixed.size => {
                    self.check_logical(type_id, RawValue::Bytes(&bytes));
                    self.out.extend(bytes);
                }
                Ok(bytes) => {
                    let message = format!(
                        "fixed {} has {} bytes; the value has {}",
                        fixed.name,
                        fixed.size,
                        bytes.len()
                    );
                    self.report(message);
                }
                Err(message) => self.report(message),
            },
            (Kind::Primitive(primitive), _) => self.primitive(type_id, *primitive, value),
            _ => self.mismatch(type_id, value),
        }
    }

    fn primitive(&mut self, type_id: TypeId, primitive: Primitive, value: &Value) {
        match (primitive, value) {
            (Primitive::Null, Value::Null) => {}
            (Primitive::Boolean, Value::Bool(value)) => self.out.push(u8::from(*value)),
            (Primitive::Float, _) => match floating(value) {
                Some(number) if number.is_finite() && !(number as f32).is_finite() => {
                    self.report(format!("{value} is not a float of 32 bits"));
                }
                Some(number) => self.out.extend((number as f32).to_le_bytes()),
                None => self.mismatch(type_id, value),
            },
            (Primitive::Double, _) => match floating(value) {
                Some(number) => self.out.extend(number.to_le_bytes()),
                None => self.mismatch(type_id, value),
            },
            (Primitive::Int | Primitive::Long, Value::Number(number)) => {
                let (bits, bound) = match primitive {
                    Primitive::Int => ("an int of 32 bits", i64::from(i32::MAX)),
                    _ => ("a long of 64 bits", i64::MAX),
                };
                match number.as_i64().filter(|number| (-bound - 1..=bound).contains(number)) {
                    Some(number) => {
                        self.check_logical(type_id, RawValue::Number(number));
                        write_long(number, &mut self.out);
                    }
                    None => self.report(format!("{number} is not {bits}")),
                }
            }
            (Primitive::Bytes, Value::String(text)) => match bytes(text) {
                Ok(bytes) => {
                    self.check_logical(type_id, RawValue::Bytes(&bytes));
                    self.length_prefixed(&bytes);
                }
                Err(message) => self.report(message),
            },
            (Primitive::String, Value::String(text)) => {
                self.check_logical(type_id, RawValue::Text(text));
                self.length_prefixed(text.as_bytes());
            }
            _ => self.mismatch(type_id, value),
        }
    }

    fn check_logical(&mut self, type_id: TypeId, value: RawValue<'_>) {
        let model = self.model;
        if let Some(logical) = &model.get(type_id).logical
            && let Err(message) = check(logical, value)
        {
            self.report(message);
        }
    }

    fn record(&mut self, record: &Record, entries: &Map<String, Value>) {
        for field in &record.fields {
            match entries.get(&field.name) {
                Some(value) => self.child(&field.name, field.type_id, value),
                None => {
                    let hint = if field.default.is_some() {
                        ": its default applies only to data that was written without the field"
                    } else {
                        ""
                    };
                    self.report(format!("the field {} is missing{hint}", field.name));
                }
            }
        }
        for key in entries.keys() {
            if !record.by_name.contains_key(key) {
                self.report(format!("record {} has no field {:?}", record.name, shorten(key)));
            }
        }
    }

    fn union(&mut self, type_id: TypeId, branches: &[TypeId], value: &Value) {
        let model = self.model;
        let name = |id: TypeId| model.branch_name(id);
        let single = value
            .as_object()
            .filter(|object| object.len() == 1)
            .and_then(|object| object.iter().next());
        let branch_name = match (value, single) {
            (Value::Null, _) => "null",
            (_, Some((key, _))) => key,
            _ => "",
        };
        let found = branches.iter().copied().enumerate().find(|(_, id)| name(*id) == branch_name);
        match (found, single) {
            (Some((index, branch)), Some((key, value))) if key != "null" => {
                self.count(index);
                self.child(key, branch, value);
            }
            (Some((index, _)), None) => self.count(index),
            _ => {
                let label = shorten(&model.label(type_id));
                let other = branches.iter().map(|id| name(*id)).find(|name| *name != "null");
                let message = match (value, other) {
                    (Value::Null, _) => format!("null is not a branch of {label}"),
                    (_, Some(other)) => format!(
                        "a value of {label} is an object with the name of its branch as key, such as {{\"{other}\": …}}"
                    ),
                    (_, None) => format!("this is not a value of {label}"),
                };
                self.report(message);
            }
        }
    }

    fn mismatch(&mut self, type_id: TypeId, value: &Value) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        let label = shorten(&self.model.label(type_id));
        self.report(format!("{kind} is not a value of {label}"));
    }
}

/// Reads a floating-point number. JSON has no form for three of them; the libraries write these
/// strings.
fn floating(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// The bytes that the characters of a string encode.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    if !is_bytes(text) {
        return Err(
            "a byte is a character from U+0000 to U+00FF; the string has another character".into(),
        );
    }
    Ok(latin1_bytes(text))
}
