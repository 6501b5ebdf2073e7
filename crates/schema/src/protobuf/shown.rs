//! Payloads in the binary form, shown in the JSON mapping.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::definition::Violation;

use super::{
    any::{Bounded, Held, Messages},
    content::{Content, nothing},
    pointer,
    scan::{DEPTH_MAX, Item, too_deep},
    special::{Special, camel, duration_text, timestamp_text},
    types::{Cardinality, Field, Kind, Message, Types},
    wire::Scalar,
};

/// Largest text. A packed number takes a byte, and in JSON the name of its value.
const BYTES_MAX: usize = 64 << 20;
/// Largest text for a program, which makes more of it than it is.
const PLAIN_BYTES_MAX: usize = 8 << 20;

/// Which JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Protobuf's JSON mapping.
    Mapping,
    /// Integers are numbers, and fields without presence are there, whatever they hold.
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

/// The JSON of one message. Fields that the schema does not have are not in it.
pub(super) fn show(
    types: &Types,
    messages: &dyn Messages,
    message: usize,
    bytes: &[u8],
    style: Style,
) -> Result<String, Violation> {
    let out = String::with_capacity(bytes.len() * 2);
    let messages = &Bounded::new(messages);
    let mut walk = Walk { types, messages, style, out, depth: 0, path: Vec::new() };
    match walk.message(message, bytes) {
        Ok(()) => Ok(walk.out),
        Err(message) => {
            let path = walk.path.iter().map(|it| format!("/{}", pointer::escaped(it))).collect();
            Err(Violation { path, message })
        }
    }
}

struct Walk<'w> {
    types: &'w Types,
    /// What an Any may hold besides.
    messages: &'w Bounded<'w>,
    style: Style,
    out: String,
    depth: usize,
    /// Fields of messages on the way here.
    path: Vec<&'w str>,
}

impl<'w> Walk<'w> {
    fn enter(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(too_deep());
        }
        self.fits()
    }

    fn fits(&self) -> Result<(), String> {
        let most = self.style.bytes_max();
        if self.out.len() > most {
            return Err(format!("as JSON the payload has more than {most} bytes"));
        }
        Ok(())
    }

    fn message(&mut self, index: usize, bytes: &[u8]) -> Result<(), String> {
        let Some(message) = self.types.message(index) else { return Ok(()) };
        let content = Content::read(self.types, message, bytes)?;
        if message.message_set && !content.unknown.is_empty() {
            return Err(format!("{} is a message set, which has no JSON", message.name));
        }
        if let Some(special) = Special::of(&message.name) {
            return self.special(special, message, &content);
        }
        self.out.push('{');
        self.members(message, &content, true)?;
        self.out.push('}');
        Ok(())
    }

    fn members(
        &mut self,
        message: &'w Message,
        content: &Content<'_>,
        mut first: bool,
    ) -> Result<(), String> {
        for (number, items) in &content.fields {
            let Some(field) = message.fields.get(number) else { continue };
            let nothing = match field.cardinality {
                Cardinality::Implicit => {
                    self.style == Style::Mapping
                        && field.kind.message().is_none()
                        && all_zero(items)
                }
                _ => items.is_empty(),
            };
            if nothing {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.out.push(',');
            }
            self.quote(&field.json_name);
            self.out.push(':');
            self.path.push(&field.json_name);
            self.values(field, items)?;
            self.path.pop();
        }
        match self.style {
            Style::Mapping => Ok(()),
            Style::Plain => self.unsaid(message, content, first),
        }
    }

    /// Fields without presence that the payload does not have.
    fn unsaid(
        &mut self,
        message: &'w Message,
        content: &Content<'_>,
        mut first: bool,
    ) -> Result<(), String> {
        self.fits()?;
        for (number, field) in &message.fields {
            let is_there = content.fields.get(number).is_some_and(|items| !items.is_empty());
            let is_said = match field.cardinality {
                Cardinality::Implicit => field.kind.message().is_some(),
                Cardinality::Repeated | Cardinality::Map => false,
                Cardinality::Explicit | Cardinality::Required => true,
            };
            if is_there || is_said {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.out.push(',');
            }
            self.quote(&field.json_name);
            self.out.push(':');
            match field.cardinality {
                Cardinality::Repeated => self.out.push_str("[]"),
                Cardinality::Map => self.out.push_str("{}"),
                _ => self.value(field, &nothing(field.kind))?,
            }
        }
        Ok(())
    }

    fn values(&mut self, field: &'w Field, items: &[Item<'_>]) -> Result<(), String> {
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

    /// Of entries with the same key the last counts.
    fn entries(&mut self, field: &'w Field, items: &[Item<'_>]) -> Result<(), String> {
        let types = self.types;
        let entry = field.kind.message().and_then(|it| types.message(it));
        let Some(entry) = entry else { return Ok(()) };
        let parts = entry.fields.get(&1).zip(entry.fields.get(&2));
        let Some((key, of)) = parts else { return Ok(()) };
        let mut order: Vec<(String, Content<'_>)> = Vec::with_capacity(items.len());
        let mut known: HashMap<String, usize> = HashMap::new();
        for item in items {
            let Item::Bytes(bytes) = item else { continue };
            let content = Content::read(types, entry, bytes)?;
            let name = match content.fields.get(&1).and_then(|it| it.last()) {
                Some(Item::Bytes(text)) => utf8(text)?.to_owned(),
                Some(item) => number_text(key.kind, item),
                None => match key.kind {
                    Kind::Scalar(Scalar::String) => String::new(),
                    kind => number_text(kind, &Item::Varint(0)),
                },
            };
            match known.get(&name).and_then(|at| order.get_mut(*at)) {
                Some(slot) => slot.1 = content,
                None => {
                    known.insert(name.clone(), order.len());
                    order.push((name, content));
                }
            }
        }
        self.enter()?;
        self.out.push('{');
        for (index, (name, content)) in order.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.quote(name);
            self.out.push(':');
            match content.fields.get(&2).and_then(|it| it.last()) {
                Some(item) => self.value(of, item)?,
                None => self.value(of, &nothing(of.kind))?,
            }
        }
        self.out.push('}');
        self.depth -= 1;
        Ok(())
    }

    fn value(&mut self, field: &'w Field, item: &Item<'_>) -> Result<(), String> {
        match (field.kind, item) {
            (Kind::Message(index) | Kind::Group(index), Item::Bytes(bytes)) => {
                self.enter()?;
                self.message(index, bytes)?;
                self.depth -= 1;
            }
            (Kind::Scalar(Scalar::String), Item::Bytes(bytes)) => {
                let text = utf8(bytes)?;
                self.quote(text);
            }
            (_, Item::Bytes(bytes)) => {
                self.out.push('"');
                STANDARD.encode_string(bytes, &mut self.out);
                self.out.push('"');
            }
            (Kind::Enum(index), item) => self.number(index, item)?,
            (Kind::Scalar(Scalar::Double), Item::Fixed64(bits)) => {
                self.floating(f64::from_bits(*bits));
            }
            (Kind::Scalar(Scalar::Float), Item::Fixed32(bits)) => {
                self.short_floating(f32::from_bits(*bits));
            }
            (kind, item) => {
                let text = number_text(kind, item);
                if wide(kind) && self.style == Style::Mapping {
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

    fn number(&mut self, index: usize, item: &Item<'_>) -> Result<(), String> {
        self.fits()?;
        let number = number_text(Kind::Scalar(Scalar::Int32), item);
        let Some(kind) = self.types.enumeration(index) else { return Ok(()) };
        if kind.name == "google.protobuf.NullValue" {
            self.out.push_str("null");
            return Ok(());
        }
        let names = number.parse().ok().and_then(|it: i32| kind.values.get(&it));
        match names.and_then(|it| it.first()) {
            Some(value) => self.quote(&value.name),
            // As the mapping has it of numbers without a name.
            None => self.out.push_str(&number),
        }
        Ok(())
    }

    fn floating(&mut self, number: f64) {
        match serde_json::to_string(&number) {
            Ok(text) if number.is_finite() => {
                let short = text.strip_suffix(".0").filter(|_| self.style == Style::Mapping);
                self.out.push_str(short.unwrap_or(&text));
            }
            _ => self.named(number),
        }
    }

    fn short_floating(&mut self, number: f32) {
        match serde_json::to_string(&number) {
            Ok(text) if number.is_finite() => {
                let short = text.strip_suffix(".0").filter(|_| self.style == Style::Mapping);
                self.out.push_str(short.unwrap_or(&text));
            }
            _ => self.named(number.into()),
        }
    }

    /// JSON has no such numbers.
    fn named(&mut self, number: f64) {
        self.out.push_str(match number {
            f64::INFINITY => "\"Infinity\"",
            f64::NEG_INFINITY => "\"-Infinity\"",
            _ => "\"NaN\"",
        });
    }

    fn quote(&mut self, text: &str) {
        // A string that is plain is most of them.
        if text.bytes().all(|it| it >= 0x20 && it != b'"' && it != b'\\') {
            self.out.push('"');
            self.out.push_str(text);
            self.out.push('"');
        } else {
            self.out.push_str(&serde_json::to_string(text).unwrap_or_default());
        }
    }

    fn special(
        &mut self,
        special: Special,
        message: &'w Message,
        content: &Content<'_>,
    ) -> Result<(), String> {
        let items = |number: u32| content.fields.get(&number).map_or(&[][..], Vec::as_slice);
        let integer = |number: u32| match items(number).last() {
            Some(Item::Varint(bits)) => bits.cast_signed(),
            _ => 0,
        };
        match special {
            Special::Timestamp | Special::Duration => {
                let (seconds, nanos) = (integer(1), integer(2));
                let text = match special {
                    Special::Timestamp => timestamp_text(seconds, nanos),
                    _ => duration_text(seconds, nanos),
                };
                let text = text.ok_or_else(|| {
                    format!("{seconds} seconds and {nanos} nanoseconds are no {}", message.name)
                })?;
                self.quote(&text);
            }
            Special::FieldMask => {
                let mut paths = Vec::new();
                for item in items(1) {
                    let Item::Bytes(bytes) = item else { continue };
                    let path = utf8(bytes)?;
                    paths.push(camel(path).ok_or_else(|| {
                        format!("the path {path:?} of a field mask has no form in JSON")
                    })?);
                }
                self.quote(&paths.join(","));
            }
            Special::Struct => {
                let Some(field) = message.fields.get(&1) else { return Ok(()) };
                self.entries(field, items(1))?;
            }
            Special::ListValue => {
                let Some(field) = message.fields.get(&1) else { return Ok(()) };
                self.values(field, items(1))?;
            }
            Special::Value => {
                let set = content.fields.iter().find_map(|(number, it)| Some((number, it.last()?)));
                let Some((number, item)) = set else {
                    self.out.push_str("null");
                    return Ok(());
                };
                if let (2, Item::Fixed64(bits)) = (number, item)
                    && !f64::from_bits(*bits).is_finite()
                {
                    return Err("JSON has no number that is infinite or none".to_owned());
                }
                if let Some(field) = message.fields.get(number) {
                    self.value(field, item)?;
                }
            }
            Special::Wrapper => {
                let Some(field) = message.fields.get(&1) else { return Ok(()) };
                match items(1).last() {
                    Some(item) => self.value(field, item)?,
                    None => self.value(field, &nothing(field.kind))?,
                }
            }
            Special::Any => self.any(items(1).last(), items(2).last())?,
        }
        Ok(())
    }

    fn any(&mut self, url: Option<&Item<'_>>, value: Option<&Item<'_>>) -> Result<(), String> {
        let url = match url {
            Some(Item::Bytes(url)) => utf8(url)?,
            _ => "",
        };
        let value = match value {
            Some(Item::Bytes(value)) => value.as_ref(),
            _ => &[],
        };
        if url.is_empty() && value.is_empty() {
            self.out.push_str("{}");
            return Ok(());
        }
        let name = url.rsplit('/').next().unwrap_or_default();
        self.enter()?;
        self.out.push_str("{\"@type\":");
        self.quote(url);
        if let Some(index) = self.types.message_index(name) {
            self.held(index, name, value)?;
        } else if let Some((schema, index)) = self.messages.find(name) {
            let mut walk = Walk {
                types: &schema.parts.types,
                messages: self.messages,
                style: self.style,
                out: std::mem::take(&mut self.out),
                depth: self.depth,
                path: Vec::new(),
            };
            walk.held(index, name, value)?;
            self.out = walk.out;
        } else {
            return Err(format!("an Any holds {url:?}, which is no message of the schema"));
        }
        self.out.push('}');
        self.depth -= 1;
        Ok(())
    }

    /// The message that an Any holds.
    fn held(&mut self, index: usize, name: &str, bytes: &[u8]) -> Result<(), String> {
        match (Held::of(name), self.types.message(index)) {
            (Held::Value, _) => {
                self.out.push_str(",\"value\":");
                self.message(index, bytes)
            }
            (Held::Fields | Held::Empty, Some(message)) => {
                let content = Content::read(self.types, message, bytes)?;
                self.members(message, &content, false)
            }
            (Held::Fields | Held::Empty, None) => Ok(()),
        }
    }
}

fn all_zero(items: &[Item<'_>]) -> bool {
    items.iter().all(|item| match item {
        Item::Varint(number) | Item::Fixed64(number) => *number == 0,
        Item::Fixed32(number) => *number == 0,
        Item::Bytes(bytes) => bytes.is_empty(),
    })
}

/// Of 64 bits: a text in JSON, since its readers may know doubles only.
fn wide(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Scalar(
            Scalar::Int64 | Scalar::Uint64 | Scalar::Sint64 | Scalar::Fixed64 | Scalar::Sfixed64
        )
    )
}

fn number_text(kind: Kind, item: &Item<'_>) -> String {
    let bits = match item {
        Item::Varint(bits) | Item::Fixed64(bits) => *bits,
        Item::Fixed32(bits) => u64::from(*bits),
        Item::Bytes(_) => 0,
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
        .map_err(|error| format!("the string is not UTF-8 behind its byte {}", error.valid_up_to()))
}
