//! A payload that shows a break: one side writes it, and the other refuses it or reads something
//! else.
//!
//! Nothing is derived from what a rule says. Small payloads with what is hard about the types of
//! the fields that a finding names are tried in turn, and one that does not show the break is not
//! shown.

use std::{borrow::Cow, cell::Cell, collections::BTreeSet};

use crate::{
    counterexample::Counterexample,
    finding::{Direction, Finding, Severity, Surface},
};

use super::{
    any::NoMessages,
    compare::{Pair, Ways},
    convert::{self, Side},
    encode, payload,
    report::Spot,
    scan::{Item, put_tag},
    shown::{self, Style},
    types::{Cardinality, Enum, Field, Kind, Message},
    wire::{Layout, Scalar},
};

/// Findings that get one: more than a person reads.
const FINDINGS_MAX: usize = 50;
/// Largest payload.
const BYTES_MAX: usize = 1_024;
/// Messages around the one that breaks.
const WAY_MAX: usize = 32;
/// Messages within one another that are filled because they are required.
const FILLED_DEEP_MAX: usize = 8;
/// Fields that are looked at for all payloads of a comparison: about 100 ms.
const STEPS_MAX: usize = 200_000;
/// Fields that are tried together with others.
const TOGETHER_MAX: usize = 8;
/// Values of an enum, and fields of a message, that are tried.
const TRIED_MAX: usize = 64;

/// Makes them for the findings of one comparison.
pub(super) struct Counterexamples<'c> {
    old: Side<'c>,
    new: Side<'c>,
    surface: Surface,
    ways: &'c Ways,
    steps: Cell<usize>,
}

/// A field of a message with its values.
type Given<'f> = (&'f Field, Vec<Item<'static>>);

/// One direction: who writes and who reads.
#[derive(Clone, Copy)]
struct Course<'c> {
    writer: Side<'c>,
    reader: Side<'c>,
    /// The reader is the new version.
    backward: bool,
}

impl<'c> Course<'c> {
    fn of(self, (old, new): Pair) -> (usize, usize) {
        if self.backward { (old, new) } else { (new, old) }
    }

    fn messages(self, pair: Pair) -> Option<(&'c Message, &'c Message)> {
        let (written, read) = self.of(pair);
        Some((self.writer.types.message(written)?, self.reader.types.message(read)?))
    }
}

impl<'c> Counterexamples<'c> {
    /// `old` and `new` are the schemas; the messages that payloads begin with are found by the
    /// ways.
    pub(super) fn new(old: Side<'c>, new: Side<'c>, surface: Surface, ways: &'c Ways) -> Self {
        Self { old, new, surface, ways, steps: Cell::new(0) }
    }

    /// The findings, with a payload where one was found.
    pub(super) fn show(self, found: Vec<(Finding, Spot)>) -> Vec<Finding> {
        let mut left = FINDINGS_MAX;
        found
            .into_iter()
            .map(|(mut finding, spot)| {
                if finding.severity == Severity::Error && finding.proven && left > 0 {
                    left -= 1;
                    finding.counterexample = self.find(&finding, &spot).map(Counterexample::whole);
                }
                finding
            })
            .collect()
    }

    fn find(&self, finding: &Finding, spot: &Spot) -> Option<String> {
        let pair = spot.messages?;
        let courses = [
            (Direction::Backward, Course { writer: self.old, reader: self.new, backward: true }),
            (Direction::Forward, Course { writer: self.new, reader: self.old, backward: false }),
        ];
        courses
            .into_iter()
            .filter(|(direction, _)| finding.direction.includes(*direction))
            .find_map(|(_, course)| self.try_all(course, finding.rule, pair, &spot.fields))
    }

    fn try_all(
        &self,
        course: Course<'c>,
        rule: &str,
        pair: Pair,
        numbers: &[u32],
    ) -> Option<String> {
        let (written, read) = course.messages(pair)?;
        let fields: Vec<&Field> =
            numbers.iter().filter_map(|it| written.fields.get(it)).take(TRIED_MAX).collect();
        let mut tries: Vec<Vec<Given<'_>>> = Vec::new();
        for field in &fields {
            let other = read.fields.get(&field.number);
            let lists = self.lists(course, field, other);
            tries.extend(lists.into_iter().map(|list| vec![(*field, list)]));
        }
        for (at, first) in fields.iter().enumerate().take(TOGETHER_MAX) {
            for second in fields.iter().skip(at + 1).take(TOGETHER_MAX) {
                if first.oneof.is_none() || first.oneof != second.oneof {
                    let one = |field| {
                        let list = self.lists(course, field, None).into_iter().next();
                        list.map(|list| (field, list))
                    };
                    tries.push([*first, *second].into_iter().filter_map(one).collect());
                }
            }
        }
        // Where a field counts that is absent.
        let absent = |number: &u32| {
            let (written, read) = (written.fields.get(number), read.fields.get(number));
            let default = |field: Option<&Field>| field.and_then(|it| it.default.clone());
            read.is_some_and(|it| it.cardinality == Cardinality::Required)
                || default(written) != default(read)
        };
        if numbers.iter().any(absent) {
            tries.push(Vec::new());
        }
        // The text that is checked on one side alone: no side of this program writes it.
        let unchecked = rule == "PROTOBUF_FIELD_UTF8_VALIDATION_CHANGED";
        tries.into_iter().find_map(|set| {
            let (course, bytes) = self.whole(course, pair, numbers, &set)?;
            if unchecked {
                let text = set.iter().flat_map(|(_, list)| list).any(is_no_text);
                return text.then(|| hex(&bytes));
            }
            self.shows(course, &bytes, !set.iter().any(|it| is_kept(it, read)))
        })
    }

    /// Values of a field to try, each a list of them.
    fn lists(
        &self,
        course: Course<'c>,
        field: &Field,
        other: Option<&Field>,
    ) -> Vec<Vec<Item<'static>>> {
        let values = self.values(course, field, other);
        let mut lists: Vec<_> = values.iter().map(|it| vec![it.clone()]).collect();
        if let (false, Some(first)) = (field.cardinality.singular(), values.first()) {
            let second = values.get(1).unwrap_or(first);
            lists.push(vec![first.clone(), second.clone()]);
            lists.push(vec![first.clone(), first.clone()]);
        }
        lists
    }

    fn values(
        &self,
        course: Course<'c>,
        field: &Field,
        other: Option<&Field>,
    ) -> Vec<Item<'static>> {
        match field.kind {
            Kind::Scalar(Scalar::String) => {
                let mut texts = vec![&b"a"[..], b"hi!"];
                if !field.utf8 {
                    texts.push(b"\xff");
                }
                texts.into_iter().map(|it| Item::Bytes(Cow::Borrowed(it))).collect()
            }
            Kind::Scalar(Scalar::Bytes) => {
                [&b"a"[..], b"\xff"].map(|it| Item::Bytes(Cow::Borrowed(it))).to_vec()
            }
            Kind::Scalar(Scalar::Double) => vec![Item::Fixed64(1.5_f64.to_bits())],
            Kind::Scalar(Scalar::Float) => vec![Item::Fixed32(1.5_f32.to_bits())],
            Kind::Scalar(scalar) => integers(scalar),
            Kind::Enum(index) => {
                let Some(kind) = course.writer.types.enumeration(index) else { return Vec::new() };
                let read = match other.map(|it| it.kind) {
                    Some(Kind::Enum(index)) => course.reader.types.enumeration(index),
                    _ => None,
                };
                numbers(kind, read)
            }
            Kind::Message(index) | Kind::Group(index) => {
                let Some(message) = course.writer.types.message(index) else { return Vec::new() };
                let empty = self.body(course, message, (None, &[]), &[], 0);
                let set = message.fields.values().take(4).filter_map(|inner| {
                    let value = match inner.kind {
                        Kind::Scalar(_) | Kind::Enum(_) => {
                            self.values(course, inner, None).into_iter().next()?
                        }
                        Kind::Message(_) | Kind::Group(_) => return None,
                    };
                    self.body(course, message, (None, &[]), &[(inner, vec![value])], 0)
                });
                empty.into_iter().chain(set).map(|it| Item::Bytes(Cow::Owned(it))).collect()
            }
        }
    }

    /// A message with values of some fields, and with what is required of the others, by its reader
    /// as well but for some fields.
    fn body(
        &self,
        course: Course<'c>,
        message: &Message,
        (read, but): (Option<&Message>, &[u32]),
        set: &[Given<'_>],
        depth: usize,
    ) -> Option<Vec<u8>> {
        let needed = |field: &&Field| {
            let reader = read.and_then(|it| it.fields.get(&field.number));
            let required = |it: &Field| it.cardinality == Cardinality::Required;
            required(field) || !but.contains(&field.number) && reader.is_some_and(required)
        };
        self.step(message.fields.len())?;
        let mut out = Vec::new();
        for field in message.fields.values() {
            if let Some((_, values)) = set.iter().find(|(it, _)| it.number == field.number) {
                if message.message_set {
                    put_item_of_set(field, values, &mut out);
                    continue;
                }
                convert::write(field, values, &mut out);
            } else if needed(&field) {
                convert::write(field, &[self.filler(course, field, depth)?], &mut out);
            }
            if out.len() > BYTES_MAX {
                return None;
            }
        }
        Some(out)
    }

    /// The least value of a field.
    fn filler(&self, course: Course<'c>, field: &Field, depth: usize) -> Option<Item<'static>> {
        Some(match field.kind {
            Kind::Message(index) | Kind::Group(index) => {
                let message = course.writer.types.message(index)?;
                if depth >= FILLED_DEEP_MAX {
                    return None;
                }
                let body = self.body(course, message, (None, &[]), &[], depth + 1)?;
                Item::Bytes(Cow::Owned(body))
            }
            Kind::Enum(index) => number(course.writer.types.enumeration(index)?.first),
            Kind::Scalar(Scalar::String | Scalar::Bytes) => Item::Bytes(Cow::Borrowed(b"")),
            Kind::Scalar(Scalar::Double) => Item::Fixed64(0),
            Kind::Scalar(Scalar::Float) => Item::Fixed32(0),
            Kind::Scalar(scalar) => integers(scalar).into_iter().last()?,
        })
    }

    /// The payload of an event in which a message stands where the comparison met it, and who
    /// writes and reads that.
    fn whole(
        &self,
        course: Course<'c>,
        pair: Pair,
        numbers: &[u32],
        set: &[Given<'_>],
    ) -> Option<(Course<'c>, Vec<u8>)> {
        let (written, read) = course.messages(pair)?;
        let mut bytes = self.body(course, written, (Some(read), numbers), set, 0)?;
        let mut at = pair;
        let mut fields = written.fields.len() + read.fields.len();
        for _ in 0..WAY_MAX {
            let Some((above, number)) = self.ways.get(&at).copied() else {
                self.step(fields + 10)?;
                let (written, read) = course.of(at);
                let course = Course {
                    writer: Side { root: written, ..course.writer },
                    reader: Side { root: read, ..course.reader },
                    ..course
                };
                return Some((course, bytes));
            };
            let (written, read) = course.messages(above)?;
            fields += written.fields.len() + read.fields.len();
            let field = written.fields.get(&number)?;
            let value = vec![Item::Bytes(Cow::Owned(bytes))];
            bytes = self.body(course, written, (Some(read), &[]), &[(field, value)], 0)?;
            at = above;
        }
        None
    }

    fn step(&self, fields: usize) -> Option<()> {
        self.steps.set(self.steps.get() + fields);
        (self.steps.get() <= STEPS_MAX).then_some(())
    }

    /// The payload as it is shown, where it shows something.
    /// `strict`: what is not converted is misread.
    fn shows(&self, course: Course<'c>, bytes: &[u8], strict: bool) -> Option<String> {
        let Course { writer, reader, .. } = course;
        let valid =
            |side: Side<'_>| payload::validate(side.types, side.demands, side.root, bytes).is_ok();
        if !valid(writer) {
            return None;
        }
        if !valid(reader) {
            return Some(hex(bytes));
        }
        let plain = |bytes: &[u8]| {
            shown::show(reader.types, &NoMessages, reader.root, bytes, Style::Plain).ok()
        };
        let converted = match convert::convert(writer, reader, bytes) {
            Err(_) if strict => return Some(hex(bytes)),
            Err(_) => None,
            Ok(converted) => converted,
        };
        let right = plain(converted.as_deref().unwrap_or(bytes))?;
        if converted.is_some() && plain(bytes)? != right {
            return Some(hex(bytes));
        }
        if self.surface == Surface::Wire {
            return None;
        }
        let json =
            shown::show(writer.types, &NoMessages, writer.root, bytes, Style::Mapping).ok()?;
        let read =
            encode::encode(reader.types, reader.demands, &NoMessages, reader.root, &json).ok();
        let same = read.is_some_and(|it| !strict || plain(&it).is_some_and(|it| it == right));
        (!same).then_some(json)
    }
}

/// Whether bytes of a map are read as they were written where the reader has no map, or the other
/// way round. Conversions refuse all of them.
fn is_kept((field, values): &Given<'_>, read: &Message) -> bool {
    let Some(other) = read.fields.get(&field.number) else { return false };
    let (was, is) = (field.cardinality, other.cardinality);
    if (was == Cardinality::Map) == (is == Cardinality::Map) {
        return false;
    }
    let several = values.len() > 1;
    let same = several && values.first() == values.last();
    !(several && is.singular() || same && is == Cardinality::Map)
}

/// Writes the messages of an extension as a message set has them: in a group each, with the number
/// of the extension.
fn put_item_of_set(field: &Field, values: &[Item<'static>], out: &mut Vec<u8>) {
    for value in values {
        put_tag(1, 3, out);
        Item::Varint(field.number.into()).put_field(2, out);
        value.put_field(3, out);
        put_tag(1, 4, out);
    }
}

/// What other types misread of an integer; last 0.
fn integers(scalar: Scalar) -> Vec<Item<'static>> {
    const HARD: [i128; 8] =
        [1, -1, 2, i32::MAX as i128, u32::MAX as i128, 1 << 40, u64::MAX as i128, 0];
    HARD.iter()
        .filter_map(|it| scalar.bits(*it))
        .map(|bits| match scalar.layout() {
            Layout::Fixed32 => Item::Fixed32(bits as u32),
            Layout::Fixed64 => Item::Fixed64(bits),
            Layout::Varint | Layout::Delimited | Layout::Group => Item::Varint(bits),
        })
        .collect()
}

/// The values of an enum, and a number without a name where only its writers accept one. `read`: the
/// enum that readers have, if they have one.
fn numbers(kind: &Enum, read: Option<&Enum>) -> Vec<Item<'static>> {
    let known: BTreeSet<i32> =
        [Some(kind), read].into_iter().flatten().flat_map(|it| it.values.keys().copied()).collect();
    let nameless = (!kind.closed && read.is_none_or(|it| it.closed))
        .then(|| (1..).find(|it| !known.contains(it)))
        .flatten();
    // First those that the reader does not have by that name.
    let (same, other): (Vec<i32>, Vec<i32>) = kind.values.keys().copied().partition(|number| {
        let names = |it: &Enum| Some(it.values.get(number)?.first()?.name.clone());
        read.is_some_and(|it| names(it) == names(kind))
    });
    let (first, last) = if read.is_some() { (nameless, None) } else { (None, nameless) };
    let named = first.into_iter().chain(other).chain(same).take(TRIED_MAX);
    named.chain(last).map(number).collect()
}

fn number(number: i32) -> Item<'static> {
    Item::Varint(i64::from(number).cast_unsigned())
}

fn is_no_text(item: &Item<'_>) -> bool {
    matches!(item, Item::Bytes(bytes) if str::from_utf8(bytes).is_err())
}

/// Two digits a byte. Of nothing the JSON, which is seen.
fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "{}".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
