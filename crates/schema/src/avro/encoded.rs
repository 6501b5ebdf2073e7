//! Payloads in Avro's JSON encoding: checked, and written in the binary one on the way.

use serde_json::{Map, Value};

use super::{
    convert::write_long,
    default::is_bytes,
    model::{Kind, Model, Primitive, Record, TypeId},
    value::{Raw, check, push},
    wording::short,
};
use crate::{definition::Violation, json::text};

/// Violations that are told.
const VIOLATIONS_MAX: usize = 100;

/// The text as one value of the schema, in binary.
///
/// # Errors
/// Everything that is wrong with it.
pub fn encode(model: &Model, json: &str) -> Result<Vec<u8>, Vec<Violation>> {
    let value = text::read("", json).map_err(|fault| {
        let message = fault.to_string().replace("not a JSON document", "the payload is not JSON");
        vec![Violation { path: String::new(), message }]
    })?;
    let mut walk = Walk {
        model,
        out: Vec::with_capacity(json.len()),
        pointer: String::new(),
        violations: Vec::new(),
    };
    walk.value(model.root, &value);
    if walk.violations.is_empty() { Ok(walk.out) } else { Err(walk.violations) }
}

struct Walk<'w> {
    model: &'w Model,
    /// Of no use once there is a violation.
    out: Vec<u8>,
    pointer: String,
    violations: Vec<Violation>,
}

impl Walk<'_> {
    fn say(&mut self, message: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { path: self.pointer.clone(), message: message.into() });
        }
    }

    fn count(&mut self, count: usize) {
        write_long(i64::try_from(count).unwrap_or(i64::MAX), &mut self.out);
    }

    fn sized(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// The one block of an array or a map, unless it is empty; then the end.
    fn block<T>(&mut self, items: impl ExactSizeIterator<Item = T>, one: impl Fn(&mut Self, T)) {
        if items.len() > 0 {
            self.count(items.len());
            items.for_each(|item| one(self, item));
        }
        self.count(0);
    }

    fn inside(&mut self, step: &str, of: TypeId, value: &Value) {
        let length = self.pointer.len();
        push(&mut self.pointer, step);
        self.value(of, value);
        self.pointer.truncate(length);
    }

    /// Recurses as deep as the payload nests, which [`text::DEPTH_MAX`] bounds.
    fn value(&mut self, of: TypeId, value: &Value) {
        let model = self.model;
        match (&model.get(of).kind, value) {
            (Kind::Array(items), Value::Array(values)) => {
                self.block(values.iter().enumerate(), |walk, (index, value)| {
                    walk.inside(&index.to_string(), *items, value);
                });
            }
            (Kind::Map(of), Value::Object(entries)) => {
                self.block(entries.iter(), |walk, (key, value)| {
                    walk.sized(key.as_bytes());
                    walk.inside(key, *of, value);
                });
            }
            (Kind::Record(record), Value::Object(entries)) => self.record(record, entries),
            (Kind::Union(branches), _) => self.union(of, branches, value),
            (Kind::Enum(it), Value::String(symbol)) => match it.by_symbol.get(symbol) {
                Some(index) => self.count(*index),
                None => {
                    self.say(format!("{:?} is not a symbol of enum {}", short(symbol), it.name));
                }
            },
            (Kind::Fixed(fixed), Value::String(text)) => match bytes(text) {
                Ok(bytes) if bytes.len() as u64 == fixed.size => {
                    self.held(of, Raw::Bytes(&bytes));
                    self.out.extend(bytes);
                }
                Ok(bytes) => {
                    let message = format!(
                        "fixed {} has {} bytes, and these are {}",
                        fixed.name,
                        fixed.size,
                        bytes.len()
                    );
                    self.say(message);
                }
                Err(message) => self.say(message),
            },
            (Kind::Primitive(primitive), _) => self.primitive(of, *primitive, value),
            _ => self.mismatch(of, value),
        }
    }

    fn primitive(&mut self, of: TypeId, primitive: Primitive, value: &Value) {
        match (primitive, value) {
            (Primitive::Null, Value::Null) => {}
            (Primitive::Boolean, Value::Bool(value)) => self.out.push(u8::from(*value)),
            (Primitive::Float, _) => match floating(value) {
                Some(number) if number.is_finite() && !(number as f32).is_finite() => {
                    self.say(format!("{value} is not a float of 32 bits"));
                }
                Some(number) => self.out.extend((number as f32).to_le_bytes()),
                None => self.mismatch(of, value),
            },
            (Primitive::Double, _) => match floating(value) {
                Some(number) => self.out.extend(number.to_le_bytes()),
                None => self.mismatch(of, value),
            },
            (Primitive::Int | Primitive::Long, Value::Number(number)) => {
                let (bits, bound) = match primitive {
                    Primitive::Int => ("an int of 32 bits", i64::from(i32::MAX)),
                    _ => ("a long of 64 bits", i64::MAX),
                };
                match number.as_i64().filter(|it| (-bound - 1..=bound).contains(it)) {
                    Some(number) => {
                        self.held(of, Raw::Number(number));
                        write_long(number, &mut self.out);
                    }
                    None => self.say(format!("{number} is not {bits}")),
                }
            }
            (Primitive::Bytes, Value::String(text)) => match bytes(text) {
                Ok(bytes) => {
                    self.held(of, Raw::Bytes(&bytes));
                    self.sized(&bytes);
                }
                Err(message) => self.say(message),
            },
            (Primitive::String, Value::String(text)) => {
                self.held(of, Raw::Text(text));
                self.sized(text.as_bytes());
            }
            _ => self.mismatch(of, value),
        }
    }

    fn held(&mut self, of: TypeId, raw: Raw<'_>) {
        let model = self.model;
        if let Some(logical) = &model.get(of).logical
            && let Err(message) = check(logical, raw)
        {
            self.say(message);
        }
    }

    fn record(&mut self, record: &Record, entries: &Map<String, Value>) {
        for field in &record.fields {
            match entries.get(&field.name) {
                Some(value) => self.inside(&field.name, field.of, value),
                None => {
                    let hint = if field.default.is_some() {
                        ": its default is for readers of data that was written without the field"
                    } else {
                        ""
                    };
                    self.say(format!("the field {} is missing{hint}", field.name));
                }
            }
        }
        for key in entries.keys() {
            if !record.by_name.contains_key(key) {
                self.say(format!("record {} has no field {:?}", record.name, short(key)));
            }
        }
    }

    fn union(&mut self, of: TypeId, branches: &[TypeId], value: &Value) {
        let model = self.model;
        let name = |id: TypeId| model.branch_name(id);
        let single = value.as_object().filter(|it| it.len() == 1).and_then(|it| it.iter().next());
        let wanted = match (value, single) {
            (Value::Null, _) => "null",
            (_, Some((key, _))) => key,
            _ => "",
        };
        let found = branches.iter().copied().enumerate().find(|(_, id)| name(*id) == wanted);
        match (found, single) {
            (Some((index, branch)), Some((key, value))) if key != "null" => {
                self.count(index);
                self.inside(key, branch, value);
            }
            (Some((index, _)), None) => self.count(index),
            _ => {
                let label = short(&model.label(of));
                let other = branches.iter().map(|id| name(*id)).find(|it| *it != "null");
                let message = match (value, other) {
                    (Value::Null, _) => format!("null is not a branch of {label}"),
                    (_, Some(other)) => format!(
                        "a value of {label} stands in an object under the name of its branch, such as {{\"{other}\": …}}"
                    ),
                    (_, None) => format!("this is not a value of {label}"),
                };
                self.say(message);
            }
        }
    }

    fn mismatch(&mut self, of: TypeId, value: &Value) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        let label = short(&self.model.label(of));
        self.say(format!("{kind} is not a value of {label}"));
    }
}

/// A floating-point number. JSON has no name for three of them; the libraries write these.
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

/// The bytes that the characters stand for.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    if !is_bytes(text) {
        return Err(
            "a byte is a character from U+0000 to U+00FF, and one of these is beyond".into()
        );
    }
    Ok(text.chars().filter_map(|it| u8::try_from(u32::from(it)).ok()).collect())
}
