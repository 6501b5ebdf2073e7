//! Payloads of one version, written again as payloads of another: the values that both declare, and nothing else.

use std::{borrow::Cow, collections::BTreeMap};

use prost_reflect::{DescriptorPool, Value};

use crate::definition::Violation;

use super::{
    compare::json_form,
    content::{Content, nothing},
    demands::Demands,
    payload::key_text,
    pointer,
    scan::{DEPTH_MAX, Item, put_length, put_tag, too_deep},
    types::{Cardinality, Enum, Field, Kind, Message, Types},
    wire::{Layout, Scalar},
};

/// Violations that one answer lists.
const VIOLATIONS_MAX: usize = 100;

/// A schema, as far as a conversion looks at it.
#[derive(Clone, Copy)]
pub(super) struct Side<'s> {
    pub(super) pool: &'s DescriptorPool,
    pub(super) types: &'s Types,
    pub(super) demands: &'s Demands,
    /// The event's message.
    pub(super) root: usize,
}

/// Writes a payload again. None: the reader reads the same bytes as the same values, and knows them all.
///
/// # Errors
/// Everything that stands in the way.
pub(super) fn convert(
    writer: Side<'_>,
    reader: Side<'_>,
    bytes: &[u8],
) -> Result<Option<Vec<u8>>, Vec<Violation>> {
    let mut walk = Walk { writer, reader, depth: 0, path: Vec::new(), violations: Vec::new() };
    let mut out = Vec::with_capacity(bytes.len());
    let changed = walk.message(writer.root, reader.root, bytes, &mut out);
    if !walk.violations.is_empty() {
        return Err(walk.violations);
    }
    Ok(changed.then_some(out))
}

struct Walk<'c> {
    writer: Side<'c>,
    reader: Side<'c>,
    depth: usize,
    path: Vec<(&'c str, Step)>,
    violations: Vec<Violation>,
}

/// Which value of a field.
enum Step {
    Only,
    Index(usize),
    Key(String),
}

impl<'c> Walk<'c> {
    fn say(&mut self, message: String) {
        if self.violations.len() >= VIOLATIONS_MAX {
            return;
        }
        let mut path = String::new();
        for (name, step) in &self.path {
            if !name.is_empty() {
                path.push('/');
                path.push_str(&pointer::escaped(name));
            }
            match step {
                Step::Only => {}
                Step::Index(index) => path.push_str(&format!("/{index}")),
                Step::Key(key) => path.push_str(&format!("/{}", pointer::escaped(key))),
            }
        }
        self.violations.push(Violation { path, message });
    }

    /// Writes a message again. Whether the reader would have read its bytes as something else, or not to the end.
    fn message(&mut self, from: usize, to: usize, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let (writer, reader) = (self.writer, self.reader);
        let (Some(source), Some(target)) = (writer.types.message(from), reader.types.message(to))
        else {
            return false;
        };
        if self.violations.len() >= VIOLATIONS_MAX {
            return true;
        }
        match (json_form(&source.name), json_form(&target.name)) {
            (Some(was), Some(is)) if was != is => {
                self.say(format!("a {} is not converted to a {}", source.name, target.name));
                return true;
            }
            _ => {}
        }
        if source.message_set != target.message_set {
            self.say(format!(
                "{} and {} are not both message sets, which have an encoding of their own",
                source.name, target.name
            ));
            return true;
        }
        if target.message_set {
            out.extend_from_slice(bytes);
            return false;
        }
        let content = match Content::read(writer.types, source, bytes) {
            Ok(content) => content,
            Err(message) => {
                self.say(message);
                return true;
            }
        };
        // What the writer's rules settle, the reader's may settle otherwise.
        let mut changed = content.settled;
        let mut chosen: BTreeMap<&str, &Field> = BTreeMap::new();
        for (number, items) in &content.fields {
            let (Some(written), Some(read)) =
                (source.fields.get(number), target.fields.get(number))
            else {
                changed = true;
                continue;
            };
            if let Some(oneof) = &read.oneof
                && let Some(other) = chosen.insert(oneof, read)
            {
                self.say(format!(
                    "{} and {} are both set, and are one choice, {oneof}, in the version asked for",
                    other.full_name, read.full_name
                ));
            }
            changed |= self.field(written, read, items, out);
        }
        if source.map_entry {
            // Absent, a key or a value is zero, which the reader's type has to have as well.
            for (number, written) in &source.fields {
                if let Some(read) = target.fields.get(number)
                    && !content.fields.contains_key(number)
                {
                    changed |= self.item(written, read, &nothing(written.kind)).1;
                }
            }
        }
        for (number, raw) in &content.unknown {
            // What the writer's schema does not have and the reader's does, came from a writer that knew more.
            if target.fields.contains_key(number) {
                out.extend_from_slice(raw);
            } else {
                changed = true;
            }
        }
        changed | self.defaults((from, source), (to, target), &content, out)
    }

    fn field(
        &mut self,
        written: &'c Field,
        read: &'c Field,
        items: &[Item<'_>],
        out: &mut Vec<u8>,
    ) -> bool {
        let (was, is) = (written.cardinality, read.cardinality);
        if (was == Cardinality::Map) != (is == Cardinality::Map) {
            self.path.push((&written.json_name, Step::Only));
            self.say(format!(
                "{} is {}, and {} in the version asked for",
                written.full_name,
                self.writer.types.type_name(written),
                self.reader.types.type_name(read)
            ));
            self.path.pop();
            return true;
        }
        if was == Cardinality::Repeated && is.singular() && items.len() > 1 {
            self.path.push((&written.json_name, Step::Only));
            self.say(format!(
                "{} has {} values here, and one in the version asked for",
                written.full_name,
                items.len()
            ));
            self.path.pop();
            return true;
        }
        let mut changed = was.singular() != is.singular();
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            // Nothing that was written by mistake: the reader would have it as a value of its list.
            if was == Cardinality::Implicit && !is.singular() && is_zero(item) {
                continue;
            }
            let step = match (was, item) {
                (Cardinality::Map, Item::Bytes(bytes)) => {
                    let entry = written.kind.message().and_then(|it| self.writer.types.message(it));
                    Step::Key(entry.map_or_else(String::new, |it| key_text(it, bytes)))
                }
                (Cardinality::Repeated, _) => Step::Index(index),
                _ => Step::Only,
            };
            // The value of an entry stands under the entry's key.
            let entry = self.path.last().is_some_and(|(_, step)| matches!(step, Step::Key(_)));
            self.path.push((if entry { "" } else { &written.json_name }, step));
            let (value, differs) = self.item(written, read, item);
            self.path.pop();
            changed |= differs;
            values.push(value);
        }
        write(read, &values, out);
        changed
    }

    /// One value, and whether it is written otherwise now.
    fn item<'i>(&mut self, written: &Field, read: &Field, item: &Item<'i>) -> (Item<'i>, bool) {
        match (written.kind, read.kind, item) {
            (
                Kind::Message(from) | Kind::Group(from),
                Kind::Message(to) | Kind::Group(to),
                Item::Bytes(bytes),
            ) => {
                if self.depth >= DEPTH_MAX {
                    self.say(too_deep());
                    return (item.clone(), true);
                }
                self.depth += 1;
                let mut body = Vec::with_capacity(bytes.len());
                let changed = self.message(from, to, bytes, &mut body);
                self.depth -= 1;
                let laid_out = written.kind.layout() != read.kind.layout();
                if changed {
                    return (Item::Bytes(Cow::Owned(body)), true);
                }
                (item.clone(), laid_out)
            }
            (Kind::Scalar(was), Kind::Scalar(is), _) if was == is => (item.clone(), false),
            _ => match self.scalar(written, read, item) {
                Ok(value) => {
                    let changed = value != *item;
                    (value, changed)
                }
                Err(message) => {
                    self.say(message);
                    (item.clone(), true)
                }
            },
        }
    }

    /// A value of another type: the same value, or none.
    fn scalar<'i>(
        &self,
        written: &Field,
        read: &Field,
        item: &Item<'i>,
    ) -> Result<Item<'i>, String> {
        let name = |side: Side<'_>, kind| side.types.kind_name(kind);
        let apart = || {
            Err(format!(
                "{} is {}, which is not read as the {} of the version asked for",
                written.full_name,
                name(self.writer, written.kind),
                name(self.reader, read.kind)
            ))
        };
        let was = match written.kind {
            Kind::Scalar(scalar) => scalar,
            Kind::Enum(_) => Scalar::Int32,
            Kind::Message(_) | Kind::Group(_) => return apart(),
        };
        let (is, of) = match read.kind {
            Kind::Scalar(scalar) => (scalar, None),
            Kind::Enum(index) => (Scalar::Int32, self.reader.types.enumeration(index)),
            Kind::Message(_) | Kind::Group(_) => return apart(),
        };
        match (was, is, item) {
            (Scalar::String | Scalar::Bytes, Scalar::Bytes, _) => Ok(item.clone()),
            (Scalar::String | Scalar::Bytes, Scalar::String, Item::Bytes(bytes)) => {
                match str::from_utf8(bytes) {
                    Ok(_) => Ok(item.clone()),
                    Err(_) => {
                        Err("these bytes are not UTF-8, and a string in the version asked for is"
                            .to_owned())
                    }
                }
            }
            (Scalar::Float, Scalar::Double, Item::Fixed32(bits)) => {
                Ok(Item::Fixed64(f64::from(f32::from_bits(*bits)).to_bits()))
            }
            (Scalar::Double, Scalar::Float, Item::Fixed64(bits)) => {
                let number = f64::from_bits(*bits);
                let short = number as f32;
                if number.is_nan() || f64::from(short).to_bits() == *bits {
                    Ok(Item::Fixed32(short.to_bits()))
                } else {
                    Err(format!("{number} is not a float of 32 bits"))
                }
            }
            _ => {
                let Some(number) = integer(was, item) else { return apart() };
                match of {
                    Some(kind) => known(kind, number)?,
                    None if !is_integer(is) => return apart(),
                    None => {}
                }
                let Some(bits) = is.bits(number) else {
                    return Err(format!(
                        "{number} is not a value of {}, the type in the version asked for",
                        name(self.reader, read.kind)
                    ));
                };
                Ok(of_bits(is, bits))
            }
        }
    }

    /// What is absent has its default, which is written where the reader has another one.
    fn defaults(
        &mut self,
        (from, source): (usize, &'c Message),
        (to, target): (usize, &'c Message),
        content: &Content<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let (writer, reader) = (self.writer, self.reader);
        let lists = [&writer.demands.get(from).defaults, &reader.demands.get(to).defaults];
        if lists.iter().all(|it| it.is_empty()) {
            return false;
        }
        let mut numbers: Vec<u32> = lists.iter().flat_map(|it| it.iter().copied()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut changed = false;
        for number in numbers {
            let (Some(written), Some(read)) =
                (source.fields.get(&number), target.fields.get(&number))
            else {
                continue;
            };
            let here = content.fields.get(&number).is_some_and(|it| !it.is_empty());
            // Lists and messages are nothing where they are absent.
            if here
                || written.default == read.default
                || content.unknown.iter().any(|(it, _)| *it == number)
            {
                continue;
            }
            changed = true;
            self.path.push((&written.json_name, Step::Only));
            match default_of(writer.pool, source, written) {
                // To write it would choose it.
                Some(value) if read.oneof.is_none() && read.cardinality != Cardinality::Map => {
                    match self.scalar(written, read, &value) {
                        Ok(value) => write(read, &[value], out),
                        Err(message) => self.say(message),
                    }
                }
                _ => {
                    let meant = |field: &Field| {
                        field.default.clone().unwrap_or_else(|| "nothing".to_owned())
                    };
                    self.say(format!(
                        "{} is absent, which means {}, and {} in the version asked for",
                        written.full_name,
                        meant(written),
                        meant(read)
                    ));
                }
            }
            self.path.pop();
        }
        changed
    }
}

/// Writes the values of a field.
pub(super) fn write(field: &Field, values: &[Item<'_>], out: &mut Vec<u8>) {
    if field.packed && !values.is_empty() {
        put_tag(field.number, 2, out);
        let from = out.len();
        values.iter().for_each(|it| it.put(out));
        put_length(from, out);
        return;
    }
    for value in values {
        match (field.kind, value) {
            (Kind::Group(_), Item::Bytes(body)) => {
                put_tag(field.number, 3, out);
                out.extend_from_slice(body);
                put_tag(field.number, 4, out);
            }
            _ => value.put_field(field.number, out),
        }
    }
}

/// Whether an enum has a number. Of an open one, too: JSON is written with names, and a number without one would be
/// refused by those who read it.
fn known(kind: &Enum, number: i128) -> Result<(), String> {
    if i32::try_from(number).is_ok_and(|it| kind.values.contains_key(&it)) {
        return Ok(());
    }
    Err(format!("{number} is not a value of the enum {} in the version asked for", kind.name))
}

fn is_integer(scalar: Scalar) -> bool {
    !matches!(scalar, Scalar::Double | Scalar::Float | Scalar::String | Scalar::Bytes)
}

fn integer(scalar: Scalar, item: &Item<'_>) -> Option<i128> {
    if !is_integer(scalar) {
        return None;
    }
    match item {
        Item::Varint(bits) | Item::Fixed64(bits) => Some(scalar.integer(*bits)),
        Item::Fixed32(bits) => Some(scalar.integer((*bits).into())),
        Item::Bytes(_) => None,
    }
}

fn of_bits<'i>(scalar: Scalar, bits: u64) -> Item<'i> {
    match scalar.layout() {
        Layout::Fixed32 => Item::Fixed32(bits as u32),
        Layout::Fixed64 => Item::Fixed64(bits),
        Layout::Varint | Layout::Delimited | Layout::Group => Item::Varint(bits),
    }
}

fn is_zero(item: &Item<'_>) -> bool {
    match item {
        Item::Varint(number) | Item::Fixed64(number) => *number == 0,
        Item::Fixed32(number) => *number == 0,
        Item::Bytes(bytes) => bytes.is_empty(),
    }
}

/// What a field is read as where it is absent.
fn default_of(pool: &DescriptorPool, message: &Message, field: &Field) -> Option<Item<'static>> {
    let message = pool.get_message_by_name(&message.name)?;
    let default = match message.get_field(field.number) {
        Some(field) => field.default_value(),
        None => message.get_extension(field.number)?.default_value(),
    };
    let integer = |number: i128| match field.kind {
        Kind::Scalar(scalar) => Some(of_bits(scalar, scalar.bits(number)?)),
        Kind::Enum(_) => Some(Item::Varint(Scalar::Int32.bits(number)?)),
        Kind::Message(_) | Kind::Group(_) => None,
    };
    match default {
        Value::Bool(value) => integer(value.into()),
        Value::I32(value) | Value::EnumNumber(value) => integer(value.into()),
        Value::I64(value) => integer(value.into()),
        Value::U32(value) => integer(value.into()),
        Value::U64(value) => integer(value.into()),
        Value::F32(value) => Some(Item::Fixed32(value.to_bits())),
        Value::F64(value) => Some(Item::Fixed64(value.to_bits())),
        Value::String(value) => Some(Item::Bytes(Cow::Owned(value.into_bytes()))),
        Value::Bytes(value) => Some(Item::Bytes(Cow::Owned(value.to_vec()))),
        Value::Message(_) | Value::List(_) | Value::Map(_) => None,
    }
}
