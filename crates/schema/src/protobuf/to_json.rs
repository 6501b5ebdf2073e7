//! Converts binary payloads to the JSON mapping.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::definition::Violation;

use super::{
    any::{AnyForm, MessageLookup, Messages},
    decoded_message::{DecodedMessage, zero_value},
    pointer,
    scalar::Scalar,
    types::{Cardinality, Field, Kind, Message, Types},
    well_known_json::{WellKnown, camel_case, duration_text, timestamp_text},
    wire_format::{DEPTH_MAX, WireValue, depth_error},
};

/// Size limit of the JSON. A packed enum number takes one byte, and in JSON the name of its value.
const BYTES_MAX: usize = 64 << 20;
/// Size limit of plain JSON, which its consumers expand further in memory.
const PLAIN_BYTES_MAX: usize = 8 << 20;

/// The style of the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Protobuf's JSON mapping.
    Mapping,
    /// Integers are numbers, and every field without presence is present.
    Plain,
}

impl Style {
    fn bytes_max(self) -> usize {
        match self {
            Self::Mapping => BYTES_MAX,
            Self::Plain => PLAIN_BYTES_MAX,
        }
    }
}

/// Converts one message to JSON. Unknown fields are omitted.
pub(super) fn to_json(
    types: &Types,
    messages: &dyn Messages,
    message: usize,
    bytes: &[u8],
    style: Style,
) -> Result<String, Violation> {
    let out = String::with_capacity(bytes.len() * 2);
    let messages = &MessageLookup::new(messages);
    let mut writer = JsonWriter { types, messages, style, out, depth: 0, path: Vec::new() };
    match writer.message(message, bytes) {
        Ok(()) => Ok(writer.out),
        Err(message) => {
            let path =
                writer.path.iter().map(|name| format!("/{}", pointer::escape(name))).collect();
            Err(Violation { path, message })
        }
    }
}

struct JsonWriter<'w> {
    types: &'w Types,
    /// Further messages that an Any may contain.
    messages: &'w MessageLookup<'w>,
    style: Style,
    out: String,
    depth: usize,
    /// JSON names of the enclosing fields.
    path: Vec<&'w str>,
}

impl<'w> JsonWriter<'w> {
    fn enter(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(depth_error());
        }
        self.check_size()
    }

    fn check_size(&self) -> Result<(), String> {
        let limit = self.style.bytes_max();
        if self.out.len() > limit {
            return Err(format!("the payload has more than {limit} bytes as JSON"));
        }
        Ok(())
    }

    fn message(&mut self, index: usize, bytes: &[u8]) -> Result<(), String> {
        let Some(message) = self.types.message(index) else { return Ok(()) };
        let decoded = DecodedMessage::decode(self.types, message, bytes)?;
        if message.message_set && !decoded.unknown.is_empty() {
            return Err(format!("{} is a message set, which has no JSON form", message.name));
        }
        if let Some(well_known) = WellKnown::of(&message.name) {
            return self.well_known(well_known, message, &decoded);
        }
        self.out.push('{');
        self.members(message, &decoded, true)?;
        self.out.push('}');
        Ok(())
    }

    fn members(
        &mut self,
        message: &'w Message,
        decoded: &DecodedMessage<'_>,
        mut first: bool,
    ) -> Result<(), String> {
        for (number, items) in &decoded.fields {
            let Some(field) = message.fields.get(number) else { continue };
            let omitted = match field.cardinality {
                Cardinality::Implicit => {
                    self.style == Style::Mapping
                        && field.kind.message().is_none()
                        && all_zero(items)
                }
                _ => items.is_empty(),
            };
            if omitted {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.out.push(',');
            }
            self.write_string(&field.json_name);
            self.out.push(':');
            self.path.push(&field.json_name);
            self.values(field, items)?;
            self.path.pop();
        }
        match self.style {
            Style::Mapping => Ok(()),
            Style::Plain => self.absent_members(message, decoded, first),
        }
    }

    /// Writes the fields without presence that the payload does not contain.
    fn absent_members(
        &mut self,
        message: &'w Message,
        decoded: &DecodedMessage<'_>,
        mut first: bool,
    ) -> Result<(), String> {
        self.check_size()?;
        for (number, field) in &message.fields {
            let is_present = decoded.fields.get(number).is_some_and(|items| !items.is_empty());
            let is_omitted = match field.cardinality {
                Cardinality::Implicit => field.kind.message().is_some(),
                Cardinality::Repeated | Cardinality::Map => false,
                Cardinality::Explicit | Cardinality::Required => true,
            };
            if is_present || is_omitted {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.out.push(',');
            }
            self.write_string(&field.json_name);
            self.out.push(':');
            match field.cardinality {
                Cardinality::Repeated => self.out.push_str("[]"),
                Cardinality::Map => self.out.push_str("{}"),
                _ => self.value(field, &zero_value(field.kind))?,
            }
        }
        Ok(())
    }

    fn values(&mut self, field: &'w Field, items: &[WireValue<'_>]) -> Result<(), String> {
        match field.cardinality {
            Cardinality::Map => self.entries(field, items),
            Cardinality::Repeated => {
                self.out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    self.value(field, item)?;
                }
                self.out.push(']');
                Ok(())
            }
            Cardinality::Implicit | Cardinality::Explicit | Cardinality::Required => {
                items.last().map_or(Ok(()), |item| self.value(field, item))
            }
        }
    }

    /// Writes a map. The last of several entries with the same key counts.
    fn entries(&mut self, field: &'w Field, items: &[WireValue<'_>]) -> Result<(), String> {
        let types = self.types;
        let entry = field.kind.message().and_then(|index| types.message(index));
        let Some(entry) = entry else { return Ok(()) };
        let key_and_value = entry.fields.get(&1).zip(entry.fields.get(&2));
        let Some((key, value_field)) = key_and_value else { return Ok(()) };
        let mut order: Vec<(String, DecodedMessage<'_>)> = Vec::with_capacity(items.len());
        let mut known: HashMap<String, usize> = HashMap::new();
        for item in items {
            let WireValue::Bytes(bytes) = item else { continue };
            let decoded = DecodedMessage::decode(types, entry, bytes)?;
            let name = match decoded.fields.get(&1).and_then(|items| items.last()) {
                Some(WireValue::Bytes(text)) => utf8(text)?.to_owned(),
                Some(item) => integer_text(key.kind, item),
                None => match key.kind {
                    Kind::Scalar(Scalar::String) => String::new(),
                    kind => integer_text(kind, &WireValue::Varint(0)),
                },
            };
            match known.get(&name).and_then(|at| order.get_mut(*at)) {
                Some(slot) => slot.1 = decoded,
                None => {
                    known.insert(name.clone(), order.len());
                    order.push((name, decoded));
                }
            }
        }
        self.enter()?;
        self.out.push('{');
        for (index, (name, decoded)) in order.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.write_string(name);
            self.out.push(':');
            match decoded.fields.get(&2).and_then(|items| items.last()) {
                Some(item) => self.value(value_field, item)?,
                None => self.value(value_field, &zero_value(value_field.kind))?,
            }
        }
        self.out.push('}');
        self.depth -= 1;
        Ok(())
    }

    fn value(&mut self, field: &'w Field, item: &WireValue<'_>) -> Result<(), String> {
        match (field.kind, item) {
            (Kind::Message(index) | Kind::Group(index), WireValue::Bytes(bytes)) => {
                self.enter()?;
                self.message(index, bytes)?;
                self.depth -= 1;
            }
            (Kind::Scalar(Scalar::String), WireValue::Bytes(bytes)) => {
                let text = utf8(bytes)?;
                self.write_string(text);
            }
            (_, WireValue::Bytes(bytes)) => {
                self.out.push('"');
                STANDARD.encode_string(bytes, &mut self.out);
                self.out.push('"');
            }
            (Kind::Enum(index), item) => self.number(index, item)?,
            (Kind::Scalar(Scalar::Double), WireValue::Fixed64(bits)) => {
                self.float64(f64::from_bits(*bits));
            }
            (Kind::Scalar(Scalar::Float), WireValue::Fixed32(bits)) => {
                self.float32(f32::from_bits(*bits));
            }
            (kind, item) => {
                let text = integer_text(kind, item);
                if is_64_bit(kind) && self.style == Style::Mapping {
                    self.out.push('"');
                    self.out.push_str(&text);
                    self.out.push('"');
                } else {
                    self.out.push_str(&text);
                }
            }
        }
        Ok(())
    }

    fn number(&mut self, index: usize, item: &WireValue<'_>) -> Result<(), String> {
        self.check_size()?;
        let number = integer_text(Kind::Scalar(Scalar::Int32), item);
        let Some(kind) = self.types.enumeration(index) else { return Ok(()) };
        if kind.name == "google.protobuf.NullValue" {
            self.out.push_str("null");
            return Ok(());
        }
        let names = number.parse().ok().and_then(|number: i32| kind.values.get(&number));
        match names.and_then(|values| values.first()) {
            Some(value) => self.write_string(&value.name),
            // The JSON mapping of numbers without a name.
            None => self.out.push_str(&number),
        }
        Ok(())
    }

    fn float64(&mut self, number: f64) {
        match serde_json::to_string(&number) {
            Ok(text) if number.is_finite() => {
                let short = text.strip_suffix(".0").filter(|_| self.style == Style::Mapping);
                self.out.push_str(short.unwrap_or(&text));
            }
            _ => self.non_finite(number),
        }
    }

    fn float32(&mut self, number: f32) {
        match serde_json::to_string(&number) {
            Ok(text) if number.is_finite() => {
                let short = text.strip_suffix(".0").filter(|_| self.style == Style::Mapping);
                self.out.push_str(short.unwrap_or(&text));
            }
            _ => self.non_finite(number.into()),
        }
    }

    /// Writes an infinity or a NaN, which JSON numbers cannot represent.
    fn non_finite(&mut self, number: f64) {
        self.out.push_str(match number {
            f64::INFINITY => "\"Infinity\"",
            f64::NEG_INFINITY => "\"-Infinity\"",
            _ => "\"NaN\"",
        });
    }

    fn write_string(&mut self, text: &str) {
        // Most strings need no escapes.
        if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
            self.out.push('"');
            self.out.push_str(text);
            self.out.push('"');
        } else {
            self.out.push_str(&serde_json::to_string(text).unwrap_or_default());
        }
    }

    fn well_known(
        &mut self,
        well_known: WellKnown,
        message: &'w Message,
        decoded: &DecodedMessage<'_>,
    ) -> Result<(), String> {
        let items = |number: u32| decoded.fields.get(&number).map_or(&[][..], Vec::as_slice);
        let integer = |number: u32| match items(number).last() {
            Some(WireValue::Varint(bits)) => bits.cast_signed(),
            _ => 0,
        };
        match well_known {
            WellKnown::Timestamp | WellKnown::Duration => {
                let (seconds, nanos) = (integer(1), integer(2));
                let text = match well_known {
                    WellKnown::Timestamp => timestamp_text(seconds, nanos),
                    _ => duration_text(seconds, nanos),
                };
                let text = text.ok_or_else(|| {
                    format!(
                        "{seconds} seconds and {nanos} nanoseconds are not a valid {}",
                        message.name
                    )
                })?;
                self.write_string(&text);
            }
            WellKnown::FieldMask => {
                let mut paths = Vec::new();
                for item in items(1) {
                    let WireValue::Bytes(bytes) = item else { continue };
                    let path = utf8(bytes)?;
                    paths.push(camel_case(path).ok_or_else(|| {
                        format!("the path {path:?} of a field mask has no JSON form")
                    })?);
                }
                self.write_string(&paths.join(","));
            }
            WellKnown::Struct => {
                let Some(field) = message.fields.get(&1) else { return Ok(()) };
                self.entries(field, items(1))?;
            }
            WellKnown::ListValue => {
                let Some(field) = message.fields.get(&1) else { return Ok(()) };
                self.values(field, items(1))?;
            }
            WellKnown::Value => {
                let set =
                    decoded.fields.iter().find_map(|(number, items)| Some((number, items.last()?)));
                let Some((number, item)) = set else {
                    self.out.push_str("null");
                    return Ok(());
                };
                if let (2, WireValue::Fixed64(bits)) = (number, item)
                    && !f64::from_bits(*bits).is_finite()
                {
                    return Err("JSON has no infinite numbers and no NaN".to_owned());
                }
                if let Some(field) = message.fields.get(number) {
                    self.value(field, item)?;
                }
            }
            WellKnown::Wrapper => {
                let Some(field) = message.fields.get(&1) else { return Ok(()) };
                match items(1).last() {
                    Some(item) => self.value(field, item)?,
                    None => self.value(field, &zero_value(field.kind))?,
                }
            }
            WellKnown::Any => self.any(items(1).last(), items(2).last())?,
        }
        Ok(())
    }

    fn any(
        &mut self,
        type_url: Option<&WireValue<'_>>,
        value: Option<&WireValue<'_>>,
    ) -> Result<(), String> {
        let type_url = match type_url {
            Some(WireValue::Bytes(type_url)) => utf8(type_url)?,
            _ => "",
        };
        let value = match value {
            Some(WireValue::Bytes(value)) => value.as_ref(),
            _ => &[],
        };
        if type_url.is_empty() && value.is_empty() {
            self.out.push_str("{}");
            return Ok(());
        }
        let name = type_url.rsplit('/').next().unwrap_or_default();
        self.enter()?;
        self.out.push_str("{\"@type\":");
        self.write_string(type_url);
        if let Some(index) = self.types.message_index(name) {
            self.any_message(index, name, value)?;
        } else if let Some((schema, index)) = self.messages.find(name) {
            let mut writer = JsonWriter {
                types: &schema.inner.types,
                messages: self.messages,
                style: self.style,
                out: std::mem::take(&mut self.out),
                depth: self.depth,
                path: Vec::new(),
            };
            writer.any_message(index, name, value)?;
            self.out = writer.out;
        } else {
            return Err(format!(
                "an Any contains {type_url:?}, which is not a message of the schema"
            ));
        }
        self.out.push('}');
        self.depth -= 1;
        Ok(())
    }

    /// Writes the message inside an Any.
    fn any_message(&mut self, index: usize, name: &str, bytes: &[u8]) -> Result<(), String> {
        match (AnyForm::of(name), self.types.message(index)) {
            (AnyForm::Value, _) => {
                self.out.push_str(",\"value\":");
                self.message(index, bytes)
            }
            (AnyForm::Fields | AnyForm::Empty, Some(message)) => {
                let decoded = DecodedMessage::decode(self.types, message, bytes)?;
                self.members(message, &decoded, false)
            }
            (AnyForm::Fields | AnyForm::Empty, None) => Ok(()),
        }
    }
}

fn all_zero(items: &[WireValue<'_>]) -> bool {
    items.iter().all(|item| match item {
        WireValue::Varint(number) | WireValue::Fixed64(number) => *number == 0,
        WireValue::Fixed32(number) => *number == 0,
        WireValue::Bytes(bytes) => bytes.is_empty(),
    })
}

/// Whether a kind has 64 bits and is a string in JSON, because JSON readers may support only
/// doubles.
fn is_64_bit(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Scalar(
            Scalar::Int64 | Scalar::Uint64 | Scalar::Sint64 | Scalar::Fixed64 | Scalar::Sfixed64
        )
    )
}

fn integer_text(kind: Kind, item: &WireValue<'_>) -> String {
    let bits = match item {
        WireValue::Varint(bits) | WireValue::Fixed64(bits) => *bits,
        WireValue::Fixed32(bits) => u64::from(*bits),
        WireValue::Bytes(_) => 0,
    };
    match kind {
        Kind::Scalar(Scalar::Bool) => (bits != 0).to_string(),
        Kind::Scalar(scalar) => scalar.integer(bits).to_string(),
        Kind::Enum(_) | Kind::Message(_) | Kind::Group(_) => {
            Scalar::Int32.integer(bits).to_string()
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    str::from_utf8(bytes)
        .map_err(|error| format!("the string is not valid UTF-8 from byte {}", error.valid_up_to()))
}
