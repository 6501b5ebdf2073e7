//! Payloads in the JSON mapping, written in the binary form.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

use crate::{definition::Violation, json::text};

use super::{
    any::{Bounded, Messages},
    demands::Demands,
    pointer,
    scan::{Item, put_length, put_tag},
    special::Special,
    types::{Cardinality, Field, Kind, Types},
    wire::{Layout, Scalar},
};

/// Violations that one answer lists.
const VIOLATIONS_MAX: usize = 100;
/// Characters of a value that a message shows.
const SHOWN_MAX: usize = 60;

/// Padding is optional; trailing bits are 0.
const UNPADDED: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, UNPADDED);
const BASE64_OF_URLS: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, UNPADDED);

/// Reads a text as one message. Fields are written in the order of their numbers, and entries of maps in the order of
/// their keys: the same payload is the same bytes.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn encode(
    types: &Types,
    demands: &Demands,
    messages: &dyn Messages,
    message: usize,
    json: &str,
) -> Result<Vec<u8>, Vec<Violation>> {
    let value = text::read("", json).map_err(|fault| {
        let path = pointer::at(
            json,
            usize::try_from(fault.place.line).unwrap_or(0),
            usize::try_from(fault.place.column).unwrap_or(0),
        );
        vec![Violation { path, message: fault.message }]
    })?;
    let mut walk = Walk {
        types,
        demands,
        messages: &Bounded::new(messages),
        out: Vec::with_capacity(json.len()),
        pointer: String::new(),
        violations: Vec::new(),
    };
    walk.message(message, &value);
    if walk.violations.is_empty() { Ok(walk.out) } else { Err(walk.violations) }
}

pub(super) struct Walk<'w> {
    pub(super) types: &'w Types,
    pub(super) demands: &'w Demands,
    /// What an Any may hold besides.
    pub(super) messages: &'w Bounded<'w>,
    /// Of no use once there is a violation.
    pub(super) out: Vec<u8>,
    pointer: String,
    violations: Vec<Violation>,
}

impl<'w> Walk<'w> {
    pub(super) fn say(&mut self, message: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { path: self.pointer.clone(), message: message.into() });
        }
    }

    /// A walk of its own at the same place.
    pub(super) fn sibling(&self) -> Walk<'w> {
        Walk { pointer: self.pointer.clone(), out: Vec::new(), violations: Vec::new(), ..*self }
    }

    /// What it wrote, and what it found.
    pub(super) fn done(self) -> (Vec<u8>, Vec<Violation>) {
        (self.out, self.violations)
    }

    /// Adds what another walk found.
    pub(super) fn take(&mut self, violations: Vec<Violation>) {
        let room = VIOLATIONS_MAX.saturating_sub(self.violations.len());
        self.violations.extend(violations.into_iter().take(room));
    }

    /// Does something where a step leads.
    pub(super) fn inside(&mut self, step: &str, work: impl FnOnce(&mut Self)) {
        let length = self.pointer.len();
        self.pointer.push('/');
        if step.contains(['~', '/']) {
            self.pointer.push_str(&pointer::escaped(step));
        } else {
            self.pointer.push_str(step);
        }
        work(self);
        self.pointer.truncate(length);
    }

    /// Writes the fields of a message. As deep as the text nests, which [`text::DEPTH_MAX`] bounds.
    pub(super) fn message(&mut self, index: usize, value: &Value) {
        let Some(message) = self.types.message(index) else { return };
        if let Some(special) = Special::of(&message.name) {
            return self.special(special, index, value);
        }
        match value {
            Value::Object(members) => self.members(index, members.iter()),
            _ => self.say(format!("{} is not an object of {}", shown(value), message.name)),
        }
    }

    /// Writes the fields of a message that are members of an object.
    pub(super) fn members<'v>(
        &mut self,
        index: usize,
        members: impl Iterator<Item = (&'v String, &'v Value)>,
    ) {
        let types = self.types;
        let Some(message) = types.message(index) else { return };
        let mut set: Vec<(&Field, &str, &Value)> = Vec::new();
        for (name, value) in members {
            match self.demands.named(types, index, name) {
                // Absent, as null is for most fields.
                Some(field) if value.is_null() && !self.takes_null(field) => {}
                Some(field) => set.push((field, name, value)),
                None => self.inside(name, |walk| {
                    walk.say(format!("{} has no field {:?}", message.name, short(name)));
                }),
            }
        }
        set.sort_by_key(|(field, _, _)| field.number);
        let mut chosen: BTreeMap<&str, &str> = BTreeMap::new();
        for (field, name, value) in &set {
            if let Some(oneof) = &field.oneof
                && let Some(other) = chosen.insert(oneof, name)
            {
                self.inside(name, |walk| {
                    let message = format!("{other:?} is set already, and {oneof} is one choice");
                    walk.say(message);
                });
            }
            self.inside(name, |walk| walk.field(field, value));
        }
        for pair in set.windows(2) {
            if let [(one, first, _), (other, second, _)] = pair
                && one.number == other.number
            {
                self.inside(second, |walk| {
                    walk.say(format!("this is the same field as {first:?}"));
                });
            }
        }
        for number in &self.demands.get(index).required {
            if set.binary_search_by_key(number, |(field, _, _)| field.number).is_err()
                && let Some(field) = message.fields.get(number)
            {
                self.inside(&field.json_name, |walk| {
                    walk.say(format!("the required field {} is missing", field.full_name));
                });
            }
        }
    }

    /// Whether null is a value of a field, and not its absence.
    fn takes_null(&self, field: &Field) -> bool {
        if !field.cardinality.singular() {
            return false;
        }
        match field.kind {
            Kind::Message(index) => {
                let message = self.types.message(index);
                message.is_some_and(|it| Special::of(&it.name) == Some(Special::Value))
            }
            Kind::Enum(index) => self.is_null(index),
            Kind::Scalar(_) | Kind::Group(_) => false,
        }
    }

    fn is_null(&self, index: usize) -> bool {
        self.types.enumeration(index).is_some_and(|it| it.name == "google.protobuf.NullValue")
    }

    pub(super) fn field(&mut self, field: &'w Field, value: &Value) {
        match (field.cardinality, value) {
            (Cardinality::Map, Value::Object(entries)) => self.entries(field, entries),
            (Cardinality::Repeated, Value::Array(items)) => self.items(field, items),
            (Cardinality::Map, _) => self.say(format!(
                "{} is not an object of {}",
                shown(value),
                self.types.type_name(field)
            )),
            (Cardinality::Repeated, _) => {
                self.say(format!(
                    "{} is not an array of {}",
                    shown(value),
                    self.types.type_name(field)
                ));
            }
            (Cardinality::Implicit, _) if field.kind.message().is_none() => {
                if let Some(item) = self.scalar(field.kind, value)
                    && !is_zero(&item)
                {
                    item.put_field(field.number, &mut self.out);
                }
            }
            (Cardinality::Implicit | Cardinality::Explicit | Cardinality::Required, _) => {
                self.value(field, value);
            }
        }
    }

    /// One value with its tag.
    fn value(&mut self, field: &Field, value: &Value) {
        match field.kind {
            Kind::Message(index) => {
                put_tag(field.number, 2, &mut self.out);
                let from = self.out.len();
                self.message(index, value);
                put_length(from, &mut self.out);
            }
            Kind::Group(index) => {
                put_tag(field.number, 3, &mut self.out);
                self.message(index, value);
                put_tag(field.number, 4, &mut self.out);
            }
            kind @ (Kind::Scalar(_) | Kind::Enum(_)) => {
                if let Some(item) = self.scalar(kind, value) {
                    item.put_field(field.number, &mut self.out);
                }
            }
        }
    }

    fn items(&mut self, field: &Field, items: &[Value]) {
        if field.packed && !items.is_empty() {
            put_tag(field.number, 2, &mut self.out);
            let from = self.out.len();
            for (index, value) in items.iter().enumerate() {
                match self.scalar(field.kind, value) {
                    Some(item) => item.put(&mut self.out),
                    // Found again, for its place: which is written only where something is wrong.
                    None => self.moved(index),
                }
            }
            put_length(from, &mut self.out);
            return;
        }
        for (index, value) in items.iter().enumerate() {
            self.inside(&index.to_string(), |walk| walk.value(field, value));
        }
    }

    /// The newest violation is one of an item.
    fn moved(&mut self, index: usize) {
        if let Some(violation) = self.violations.last_mut()
            && violation.path == self.pointer
        {
            violation.path = format!("{}/{index}", self.pointer);
        }
    }

    fn entries(&mut self, field: &Field, entries: &Map<String, Value>) {
        let types = self.types;
        let entry = field.kind.message().and_then(|it| types.message(it));
        let parts = entry.and_then(|it| Some((it.fields.get(&1)?, it.fields.get(&2)?)));
        let Some((key, of)) = parts else { return };
        for (name, value) in entries {
            self.inside(name, |walk| {
                put_tag(field.number, 2, &mut walk.out);
                let from = walk.out.len();
                match walk.key(key.kind, name) {
                    Some(item) => item.put_field(1, &mut walk.out),
                    None => walk.say(format!(
                        "{:?} is not a key: keys here are {}",
                        short(name),
                        walk.types.kind_name(key.kind)
                    )),
                }
                walk.value(of, value);
                put_length(from, &mut walk.out);
            });
        }
    }

    fn key(&self, kind: Kind, name: &str) -> Option<Item<'static>> {
        match kind {
            Kind::Scalar(Scalar::String) => {
                Some(Item::Bytes(Cow::Owned(name.as_bytes().to_owned())))
            }
            Kind::Scalar(Scalar::Bool) => match name {
                "true" => Some(Item::Varint(1)),
                "false" => Some(Item::Varint(0)),
                _ => None,
            },
            Kind::Scalar(scalar) => of_integer(scalar, without_plus(name)?.parse().ok()?),
            Kind::Enum(_) | Kind::Message(_) | Kind::Group(_) => None,
        }
    }

    /// A value that is no message.
    pub(super) fn scalar<'v>(&mut self, kind: Kind, value: &'v Value) -> Option<Item<'v>> {
        let item = match kind {
            Kind::Enum(index) => return self.number(index, value),
            Kind::Scalar(scalar) => match (scalar, value) {
                (Scalar::Bool, Value::Bool(value)) => Some(Item::Varint(u64::from(*value))),
                (Scalar::Bool, _) => None,
                (Scalar::String, Value::String(text)) => {
                    Some(Item::Bytes(Cow::Borrowed(text.as_bytes())))
                }
                (Scalar::Bytes, Value::String(text)) => {
                    let engine = if text.contains(['-', '_']) { &BASE64_OF_URLS } else { &BASE64 };
                    let bytes = engine.decode(text).ok();
                    if bytes.is_none() {
                        self.say(format!("{} is not base64, as bytes are in JSON", shown(value)));
                        return None;
                    }
                    bytes.map(|it| Item::Bytes(Cow::Owned(it)))
                }
                (Scalar::String | Scalar::Bytes, _) => None,
                (Scalar::Double, _) => floating(value).map(|it| Item::Fixed64(it.to_bits())),
                (Scalar::Float, _) => floating(value).and_then(|number| {
                    let short = number as f32;
                    (short.is_finite() || !number.is_finite())
                        .then_some(Item::Fixed32(short.to_bits()))
                }),
                _ => integer(value).and_then(|it| of_integer(scalar, it)),
            },
            Kind::Message(_) | Kind::Group(_) => None,
        };
        if item.is_none() {
            self.say(format!("{} is not {}", shown(value), self.types.kind_name(kind)));
        }
        item
    }

    fn number(&mut self, index: usize, value: &Value) -> Option<Item<'static>> {
        let kind = self.types.enumeration(index)?;
        let number = match value {
            Value::Null if self.is_null(index) => Some(0),
            Value::String(name) => self.demands.number(self.types, index, name),
            Value::Number(_) => integer(value)
                .and_then(|it| i32::try_from(it).ok())
                .filter(|it| !kind.closed || kind.values.contains_key(it)),
            _ => None,
        };
        match number {
            Some(number) => Some(Item::Varint(i64::from(number).cast_unsigned())),
            None => {
                self.say(format!("{} is not a value of the enum {}", shown(value), kind.name));
                None
            }
        }
    }
}

/// An integer, written as a number or as a text. Some have an exponent or a fraction of zero.
fn integer(value: &Value) -> Option<i128> {
    let whole =
        |number: f64| (number.fract() == 0.0 && number.abs() < 2e19).then_some(number as i128);
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Some(number.into()),
            (_, Some(number)) => Some(number.into()),
            _ => whole(number.as_f64()?),
        },
        Value::String(text) => match without_plus(text)?.parse() {
            Ok(number) => Some(number),
            Err(_) => whole(decimal(text)?),
        },
        _ => None,
    }
}

/// The text of a number, which has no plus sign in JSON.
fn without_plus(text: &str) -> Option<&str> {
    (!text.starts_with('+')).then_some(text)
}

fn floating(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => decimal(without_plus(text)?).filter(|it| it.is_finite()),
        },
        _ => None,
    }
}

fn decimal(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|it| it.is_ascii_digit() || matches!(it, b'+' | b'-' | b'.' | b'e' | b'E'));
    if plain { text.parse().ok() } else { None }
}

fn of_integer(scalar: Scalar, integer: i128) -> Option<Item<'static>> {
    let bits = scalar.bits(integer)?;
    Some(match scalar.layout() {
        Layout::Fixed32 => Item::Fixed32(bits as u32),
        Layout::Fixed64 => Item::Fixed64(bits),
        Layout::Varint | Layout::Delimited | Layout::Group => Item::Varint(bits),
    })
}

/// What is not written where presence is implicit.
fn is_zero(item: &Item<'_>) -> bool {
    match item {
        Item::Varint(number) | Item::Fixed64(number) => *number == 0,
        Item::Fixed32(number) => *number == 0,
        Item::Bytes(bytes) => bytes.is_empty(),
    }
}

/// A value as messages show it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => format!("{:?}", short(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_MAX) {
        None => Cow::Borrowed(text),
        Some((at, _)) => Cow::Owned(format!("{}…", text.get(..at).unwrap_or_default())),
    }
}
