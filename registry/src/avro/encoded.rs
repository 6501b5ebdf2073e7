//! Payloads in Avro's JSON encoding.

use serde_json::{Map, Value};

use super::{
    default::is_bytes,
    model::{Kind, Model, Primitive, Record, TypeId},
    value::{Raw, check, push},
    wording::short,
};
use crate::definition::Violation;

/// Violations that are told.
const VIOLATIONS_MAX: usize = 100;

/// Checks that the text is one value of the schema.
pub fn validate(model: &Model, json: &str) -> Result<(), Vec<Violation>> {
    let value: Value = serde_json::from_str(json).map_err(|error| {
        vec![Violation {
            path: String::new(),
            message: format!("the payload is not JSON: {error}"),
        }]
    })?;
    let mut walk = Walk { model, pointer: String::new(), violations: Vec::new() };
    walk.value(model.root, &value);
    if walk.violations.is_empty() { Ok(()) } else { Err(walk.violations) }
}

struct Walk<'w> {
    model: &'w Model,
    pointer: String,
    violations: Vec<Violation>,
}

impl Walk<'_> {
    fn say(&mut self, message: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { path: self.pointer.clone(), message: message.into() });
        }
    }

    fn inside(&mut self, step: &str, of: TypeId, value: &Value) {
        let length = self.pointer.len();
        push(&mut self.pointer, step);
        self.value(of, value);
        self.pointer.truncate(length);
    }

    /// Recurses as deep as the payload nests, which serde_json bounds by 128.
    fn value(&mut self, of: TypeId, value: &Value) {
        let model = self.model;
        match (&model.get(of).kind, value) {
            (Kind::Array(items), Value::Array(values)) => {
                for (index, value) in values.iter().enumerate() {
                    self.inside(&index.to_string(), *items, value);
                }
            }
            (Kind::Map(of), Value::Object(entries)) => {
                for (key, value) in entries {
                    self.inside(key, *of, value);
                }
            }
            (Kind::Record(record), Value::Object(entries)) => self.record(record, entries),
            (Kind::Union(branches), _) => self.union(of, branches, value),
            (Kind::Enum(it), Value::String(symbol)) => {
                if !it.by_symbol.contains_key(symbol) {
                    self.say(format!("{:?} is not a symbol of enum {}", short(symbol), it.name));
                }
            }
            (Kind::Fixed(fixed), Value::String(text)) => match bytes(text) {
                Ok(bytes) if bytes.len() as u64 == fixed.size => self.held(of, Raw::Bytes(&bytes)),
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
            (Primitive::Null, Value::Null)
            | (Primitive::Boolean, Value::Bool(_))
            | (Primitive::Float | Primitive::Double, Value::Number(_)) => {}
            // JSON has no such numbers; the libraries write their names.
            (Primitive::Float | Primitive::Double, Value::String(text))
                if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => {}
            (Primitive::Int, Value::Number(number)) => match number.as_i64() {
                Some(number) if i32::try_from(number).is_ok() => {
                    self.held(of, Raw::Number(number));
                }
                _ => self.say(format!("{number} is not an int of 32 bits")),
            },
            (Primitive::Long, Value::Number(number)) => match number.as_i64() {
                Some(number) => self.held(of, Raw::Number(number)),
                None => self.say(format!("{number} is not a long of 64 bits")),
            },
            (Primitive::Bytes, Value::String(text)) => match bytes(text) {
                Ok(bytes) => self.held(of, Raw::Bytes(&bytes)),
                Err(message) => self.say(message),
            },
            (Primitive::String, Value::String(text)) => self.held(of, Raw::Text(text)),
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
        let name = |id: TypeId| match &model.get(id).kind {
            Kind::Primitive(primitive) => primitive.name(),
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Union(_) => "union",
            Kind::Record(_) | Kind::Enum(_) | Kind::Fixed(_) => {
                model.get(id).name().map_or("", |it| it.full())
            }
        };
        let single = value.as_object().filter(|it| it.len() == 1).and_then(|it| it.iter().next());
        let wanted = match (value, single) {
            (Value::Null, _) => "null",
            (_, Some((key, _))) => key,
            _ => "",
        };
        let found = branches.iter().copied().find(|id| name(*id) == wanted);
        match (found, single) {
            (Some(branch), Some((key, value))) if key != "null" => self.inside(key, branch, value),
            (Some(_), None) => {}
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

/// The bytes that the characters stand for.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    if !is_bytes(text) {
        return Err(
            "a byte is a character from U+0000 to U+00FF, and one of these is beyond".into()
        );
    }
    Ok(text.chars().filter_map(|it| u8::try_from(u32::from(it)).ok()).collect())
}
