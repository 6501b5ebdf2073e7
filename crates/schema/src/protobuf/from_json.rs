//! Encodes payloads from the JSON mapping into the binary form.

mod well_known;

use std::{borrow::Cow, collections::BTreeMap};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

use crate::{definition::Violation, json::text};

use super::{
    any::{MessageLookup, Messages},
    payload_tables::PayloadTables,
    pointer,
    scalar::{Layout, Scalar},
    types::{Cardinality, Field, Kind, Types},
    well_known_json::WellKnown,
    wire_format::{WireValue, put_length, put_tag},
};

/// Limit of reported violations.
const VIOLATIONS_MAX: usize = 100;
/// Length limit of a value in a message.
const VALUE_CHARS_MAX: usize = 60;

/// Padding is optional; trailing bits must be 0.
const UNPADDED: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, UNPADDED);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, UNPADDED);

/// Encodes a JSON text as one message. Fields are written in number order and map entries in key
/// order, so equal payloads are equal bytes.
///
/// # Errors
/// Returns all violations.
pub(super) fn from_json(
    types: &Types,
    tables: &PayloadTables,
    messages: &dyn Messages,
    message: usize,
    json: &str,
) -> Result<Vec<u8>, Vec<Violation>> {
    let value = text::read("", json).map_err(|fault| {
        let path = pointer::locate(
            json,
            usize::try_from(fault.location.line).unwrap_or(0),
            usize::try_from(fault.location.column).unwrap_or(0),
        );
        vec![Violation { path, message: fault.message }]
    })?;
    let mut encoder = Encoder {
        types,
        tables,
        messages: &MessageLookup::new(messages),
        out: Vec::with_capacity(json.len()),
        pointer: String::new(),
        violations: Vec::new(),
    };
    encoder.message(message, &value);
    if encoder.violations.is_empty() { Ok(encoder.out) } else { Err(encoder.violations) }
}

struct Encoder<'w> {
    types: &'w Types,
    tables: &'w PayloadTables,
    /// Further messages that an Any may contain.
    messages: &'w MessageLookup<'w>,
    /// Incomplete once there is a violation.
    out: Vec<u8>,
    pointer: String,
    violations: Vec<Violation>,
}

impl<'w> Encoder<'w> {
    fn report(&mut self, message: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { path: self.pointer.clone(), message: message.into() });
        }
    }

    /// An empty encoder at the same JSON pointer.
    fn fork(&self) -> Encoder<'w> {
        Encoder { pointer: self.pointer.clone(), out: Vec::new(), violations: Vec::new(), ..*self }
    }

    /// Returns the bytes and the violations.
    fn finish(self) -> (Vec<u8>, Vec<Violation>) {
        (self.out, self.violations)
    }

    /// Adds the violations of another encoder.
    fn add_violations(&mut self, violations: Vec<Violation>) {
        let remaining = VIOLATIONS_MAX.saturating_sub(self.violations.len());
        self.violations.extend(violations.into_iter().take(remaining));
    }

    /// Runs `work` with the JSON pointer extended by `segment`.
    fn at_member(&mut self, segment: &str, work: impl FnOnce(&mut Self)) {
        let length = self.pointer.len();
        self.pointer.push('/');
        if segment.contains(['~', '/']) {
            self.pointer.push_str(&pointer::escape(segment));
        } else {
            self.pointer.push_str(segment);
        }
        work(self);
        self.pointer.truncate(length);
    }

    /// Encodes the fields of a message. [`text::DEPTH_MAX`] bounds the recursion.
    fn message(&mut self, index: usize, value: &Value) {
        let Some(message) = self.types.message(index) else { return };
        if let Some(well_known) = WellKnown::of(&message.name) {
            return self.well_known(well_known, index, value);
        }
        match value {
            Value::Object(members) => self.members(index, members.iter()),
            _ => self.report(format!(
                "{} is not an object of {}",
                display_value(value),
                message.name
            )),
        }
    }

    /// Encodes the members of an object as fields of a message.
    fn members<'v>(
        &mut self,
        index: usize,
        members: impl Iterator<Item = (&'v String, &'v Value)>,
    ) {
        let types = self.types;
        let Some(message) = types.message(index) else { return };
        let mut set: Vec<(&Field, &str, &Value)> = Vec::new();
        for (name, value) in members {
            match self.tables.field_by_name(types, index, name) {
                // For most fields, null means absent.
                Some(field) if value.is_null() && !self.accepts_null(field) => {}
                Some(field) => set.push((field, name, value)),
                None => self.at_member(name, |encoder| {
                    encoder.report(format!("{} has no field {:?}", message.name, shorten(name)));
                }),
            }
        }
        set.sort_by_key(|(field, _, _)| field.number);
        let mut chosen: BTreeMap<&str, &str> = BTreeMap::new();
        for (field, name, value) in &set {
            if let Some(oneof) = &field.oneof
                && let Some(other) = chosen.insert(oneof, name)
            {
                self.at_member(name, |encoder| {
                    let message = format!("{other:?} is already set in the oneof {oneof}");
                    encoder.report(message);
                });
            }
            self.at_member(name, |encoder| encoder.field(field, value));
        }
        for pair in set.windows(2) {
            if let [(first_field, first, _), (second_field, second, _)] = pair
                && first_field.number == second_field.number
            {
                self.at_member(second, |encoder| {
                    encoder.report(format!("the same field is already set by {first:?}"));
                });
            }
        }
        for number in &self.tables.get(index).required {
            if set.binary_search_by_key(number, |(field, _, _)| field.number).is_err()
                && let Some(field) = message.fields.get(number)
            {
                self.at_member(&field.json_name, |encoder| {
                    encoder.report(format!("the required field {} is missing", field.full_name));
                });
            }
        }
    }

    /// Whether null is a value of a field, not its absence.
    fn accepts_null(&self, field: &Field) -> bool {
        if !field.cardinality.singular() {
            return false;
        }
        match field.kind {
            Kind::Message(index) => {
                let message = self.types.message(index);
                message
                    .is_some_and(|message| WellKnown::of(&message.name) == Some(WellKnown::Value))
            }
            Kind::Enum(index) => self.is_null_value(index),
            Kind::Scalar(_) | Kind::Group(_) => false,
        }
    }

    fn is_null_value(&self, index: usize) -> bool {
        self.types.enumeration(index).is_some_and(|kind| kind.name == "google.protobuf.NullValue")
    }

    fn field(&mut self, field: &'w Field, value: &Value) {
        match (field.cardinality, value) {
            (Cardinality::Map, Value::Object(entries)) => self.entries(field, entries),
            (Cardinality::Repeated, Value::Array(items)) => self.items(field, items),
            (Cardinality::Map, _) => self.report(format!(
                "{} is not an object of {}",
                display_value(value),
                self.types.type_name(field)
            )),
            (Cardinality::Repeated, _) => {
                self.report(format!(
                    "{} is not an array of {}",
                    display_value(value),
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

    /// Encodes one value with its tag.
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
                    // The index is added only on a violation, because formatting it costs time.
                    None => self.add_index_to_last(index),
                }
            }
            put_length(from, &mut self.out);
            return;
        }
        for (index, value) in items.iter().enumerate() {
            self.at_member(&index.to_string(), |encoder| encoder.value(field, value));
        }
    }

    /// Adds the index of an item to the path of the last violation.
    fn add_index_to_last(&mut self, index: usize) {
        if let Some(violation) = self.violations.last_mut()
            && violation.path == self.pointer
        {
            violation.path = format!("{}/{index}", self.pointer);
        }
    }

    fn entries(&mut self, field: &Field, entries: &Map<String, Value>) {
        let types = self.types;
        let entry = field.kind.message().and_then(|index| types.message(index));
        let key_and_value =
            entry.and_then(|entry| Some((entry.fields.get(&1)?, entry.fields.get(&2)?)));
        let Some((key, value_field)) = key_and_value else { return };
        for (name, value) in entries {
            self.at_member(name, |encoder| {
                put_tag(field.number, 2, &mut encoder.out);
                let from = encoder.out.len();
                match encoder.key(key.kind, name) {
                    Some(item) => item.put_field(1, &mut encoder.out),
                    None => encoder.report(format!(
                        "{:?} is not a valid key; the keys are {}",
                        shorten(name),
                        encoder.types.kind_name(key.kind)
                    )),
                }
                encoder.value(value_field, value);
                put_length(from, &mut encoder.out);
            });
        }
    }

    fn key(&self, kind: Kind, name: &str) -> Option<WireValue<'static>> {
        match kind {
            Kind::Scalar(Scalar::String) => {
                Some(WireValue::Bytes(Cow::Owned(name.as_bytes().to_owned())))
            }
            Kind::Scalar(Scalar::Bool) => match name {
                "true" => Some(WireValue::Varint(1)),
                "false" => Some(WireValue::Varint(0)),
                _ => None,
            },
            Kind::Scalar(scalar) => wire_value(scalar, without_plus(name)?.parse().ok()?),
            Kind::Enum(_) | Kind::Message(_) | Kind::Group(_) => None,
        }
    }

    /// Encodes a value that is not a message.
    fn scalar<'v>(&mut self, kind: Kind, value: &'v Value) -> Option<WireValue<'v>> {
        let item = match kind {
            Kind::Enum(index) => return self.number(index, value),
            Kind::Scalar(scalar) => match (scalar, value) {
                (Scalar::Bool, Value::Bool(value)) => Some(WireValue::Varint(u64::from(*value))),
                (Scalar::Bool, _) => None,
                (Scalar::String, Value::String(text)) => {
                    Some(WireValue::Bytes(Cow::Borrowed(text.as_bytes())))
                }
                (Scalar::Bytes, Value::String(text)) => {
                    let engine = if text.contains(['-', '_']) { &BASE64_URL } else { &BASE64 };
                    let bytes = engine.decode(text).ok();
                    if bytes.is_none() {
                        self.report(format!(
                            "{} is not base64, the JSON form of bytes",
                            display_value(value)
                        ));
                        return None;
                    }
                    bytes.map(|bytes| WireValue::Bytes(Cow::Owned(bytes)))
                }
                (Scalar::String | Scalar::Bytes, _) => None,
                (Scalar::Double, _) => {
                    floating(value).map(|number| WireValue::Fixed64(number.to_bits()))
                }
                (Scalar::Float, _) => floating(value).and_then(|number| {
                    let short = number as f32;
                    (short.is_finite() || !number.is_finite())
                        .then_some(WireValue::Fixed32(short.to_bits()))
                }),
                _ => integer(value).and_then(|number| wire_value(scalar, number)),
            },
            Kind::Message(_) | Kind::Group(_) => None,
        };
        if item.is_none() {
            self.report(format!("{} is not {}", display_value(value), self.types.kind_name(kind)));
        }
        item
    }

    fn number(&mut self, index: usize, value: &Value) -> Option<WireValue<'static>> {
        let kind = self.types.enumeration(index)?;
        let number = match value {
            Value::Null if self.is_null_value(index) => Some(0),
            Value::String(name) => self.tables.enum_number(self.types, index, name),
            Value::Number(_) => integer(value)
                .and_then(|number| i32::try_from(number).ok())
                .filter(|number| !kind.closed || kind.values.contains_key(number)),
            _ => None,
        };
        match number {
            Some(number) => Some(WireValue::Varint(i64::from(number).cast_unsigned())),
            None => {
                self.report(format!(
                    "{} is not a value of the enum {}",
                    display_value(value),
                    kind.name
                ));
                None
            }
        }
    }
}

/// Parses an integer from a number or a string, which may have an exponent or a zero fraction.
fn integer(value: &Value) -> Option<i128> {
    let to_integer =
        |number: f64| (number.fract() == 0.0 && number.abs() < 2e19).then_some(number as i128);
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Some(number.into()),
            (_, Some(number)) => Some(number.into()),
            _ => to_integer(number.as_f64()?),
        },
        Value::String(text) => match without_plus(text)?.parse() {
            Ok(number) => Some(number),
            Err(_) => to_integer(decimal(text)?),
        },
        _ => None,
    }
}

/// The text of a number. `None` if it has a plus sign, which JSON numbers do not have.
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
            text => decimal(without_plus(text)?).filter(|number| number.is_finite()),
        },
        _ => None,
    }
}

fn decimal(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    if plain { text.parse().ok() } else { None }
}

fn wire_value(scalar: Scalar, integer: i128) -> Option<WireValue<'static>> {
    let bits = scalar.bits(integer)?;
    Some(match scalar.layout() {
        Layout::Fixed32 => WireValue::Fixed32(bits as u32),
        Layout::Fixed64 => WireValue::Fixed64(bits),
        Layout::Varint | Layout::Delimited | Layout::Group => WireValue::Varint(bits),
    })
}

/// Whether the value is the zero value, which is not written for fields with implicit presence.
fn is_zero(item: &WireValue<'_>) -> bool {
    match item {
        WireValue::Varint(number) | WireValue::Fixed64(number) => *number == 0,
        WireValue::Fixed32(number) => *number == 0,
        WireValue::Bytes(bytes) => bytes.is_empty(),
    }
}

/// Formats a value for a message.
fn display_value(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => format!("{:?}", shorten(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        None => Cow::Borrowed(text),
        Some((at, _)) => Cow::Owned(format!("{}…", text.get(..at).unwrap_or_default())),
    }
}
