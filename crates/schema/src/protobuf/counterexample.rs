//! Finds payloads that prove a break: one version writes the payload, and the other rejects it or
//! reads another value.
//!
//! The search does not rely on the rule. It tries small payloads with boundary values of the fields
//! that a finding names, and keeps one only if it proves the break.

use std::{borrow::Cow, cell::Cell, collections::BTreeSet};

use crate::{
    counterexample::Counterexample,
    finding::{Direction, Finding, Severity, Surface},
};

use super::{
    any::NoMessages,
    compare::{MessagePair, ParentFields},
    convert::{self, SchemaView},
    findings::FindingContext,
    from_json,
    scalar::{Layout, Scalar},
    to_json::{self, Style},
    types::{Cardinality, Enum, Field, Kind, Message},
    validate,
    wire_format::{WireValue, put_tag},
};

/// Limit of findings with a counterexample: more than a person reads.
const FINDINGS_MAX: usize = 50;
/// Size limit of a payload.
const BYTES_MAX: usize = 1_024;
/// Limit of messages that enclose the compared one.
const PARENTS_MAX: usize = 32;
/// Nesting limit of required messages in a payload.
const REQUIRED_DEPTH_MAX: usize = 8;
/// Limit of fields visited for all payloads of a comparison: about 100 ms.
const STEPS_MAX: usize = 200_000;
/// Limit of fields that are tried in pairs.
const PAIRED_FIELDS_MAX: usize = 8;
/// Limit of enum values and of message fields that are tried.
const CANDIDATES_MAX: usize = 64;

/// Finds the counterexamples for the findings of one comparison.
pub(super) struct Counterexamples<'c> {
    old: SchemaView<'c>,
    new: SchemaView<'c>,
    surface: Surface,
    parents: &'c ParentFields,
    steps: Cell<usize>,
}

/// A field with its values.
type FieldValues<'f> = (&'f Field, Vec<WireValue<'static>>);

/// The writer's and the reader's schema of one direction.
#[derive(Clone, Copy)]
struct SchemaPair<'c> {
    writer: SchemaView<'c>,
    reader: SchemaView<'c>,
    /// Whether the reader has the new version.
    backward: bool,
}

impl<'c> SchemaPair<'c> {
    fn of(self, (old, new): MessagePair) -> (usize, usize) {
        if self.backward { (old, new) } else { (new, old) }
    }

    fn messages(self, pair: MessagePair) -> Option<(&'c Message, &'c Message)> {
        let (written, read) = self.of(pair);
        Some((self.writer.types.message(written)?, self.reader.types.message(read)?))
    }
}

impl<'c> Counterexamples<'c> {
    /// The roots of `old` and `new` are ignored: the root of each payload is found with `parents`.
    pub(super) fn new(
        old: SchemaView<'c>,
        new: SchemaView<'c>,
        surface: Surface,
        parents: &'c ParentFields,
    ) -> Self {
        Self { old, new, surface, parents, steps: Cell::new(0) }
    }

    /// Adds counterexamples to the findings.
    pub(super) fn add_to(self, findings: Vec<(Finding, FindingContext)>) -> Vec<Finding> {
        let mut remaining = FINDINGS_MAX;
        findings
            .into_iter()
            .map(|(mut finding, context)| {
                if finding.severity == Severity::Error && finding.proven && remaining > 0 {
                    remaining -= 1;
                    finding.counterexample =
                        self.find_payload(&finding, &context).map(Counterexample::new);
                }
                finding
            })
            .collect()
    }

    fn find_payload(&self, finding: &Finding, context: &FindingContext) -> Option<String> {
        let pair = context.messages?;
        let directions = [
            (
                Direction::Backward,
                SchemaPair { writer: self.old, reader: self.new, backward: true },
            ),
            (
                Direction::Forward,
                SchemaPair { writer: self.new, reader: self.old, backward: false },
            ),
        ];
        directions
            .into_iter()
            .filter(|(direction, _)| finding.direction.includes(*direction))
            .find_map(|(_, schemas)| {
                self.try_candidates(schemas, finding.rule, pair, &context.fields)
            })
    }

    fn try_candidates(
        &self,
        schemas: SchemaPair<'c>,
        rule: &str,
        pair: MessagePair,
        numbers: &[u32],
    ) -> Option<String> {
        let (written, read) = schemas.messages(pair)?;
        let fields: Vec<&Field> = numbers
            .iter()
            .filter_map(|number| written.fields.get(number))
            .take(CANDIDATES_MAX)
            .collect();
        let mut candidates: Vec<Vec<FieldValues<'_>>> = Vec::new();
        for field in &fields {
            let other = read.fields.get(&field.number);
            let lists = self.candidate_lists(schemas, field, other);
            candidates.extend(lists.into_iter().map(|list| vec![(*field, list)]));
        }
        for (at, first) in fields.iter().enumerate().take(PAIRED_FIELDS_MAX) {
            for second in fields.iter().skip(at + 1).take(PAIRED_FIELDS_MAX) {
                if first.oneof.is_none() || first.oneof != second.oneof {
                    let values_of = |field| {
                        let list = self.candidate_lists(schemas, field, None).into_iter().next();
                        list.map(|list| (field, list))
                    };
                    candidates.push([*first, *second].into_iter().filter_map(values_of).collect());
                }
            }
        }
        // An empty message is a candidate if an absent field matters.
        let absent = |number: &u32| {
            let (written, read) = (written.fields.get(number), read.fields.get(number));
            let default = |field: Option<&Field>| field.and_then(|field| field.default.clone());
            read.is_some_and(|field| field.cardinality == Cardinality::Required)
                || default(written) != default(read)
        };
        if numbers.iter().any(absent) {
            candidates.push(Vec::new());
        }
        // Invalid UTF-8 proves this rule without a check: no encoder of this program writes it.
        let is_utf8_rule = rule == "PROTOBUF_FIELD_UTF8_VALIDATION_CHANGED";
        candidates.into_iter().find_map(|set| {
            let (schemas, bytes) = self.event_payload(schemas, pair, numbers, &set)?;
            if is_utf8_rule {
                let text = set.iter().flat_map(|(_, list)| list).any(is_invalid_utf8);
                return text.then(|| hex(&bytes));
            }
            self.proof(schemas, &bytes, !set.iter().any(|values| is_preserved_map(values, read)))
        })
    }

    /// Lists of values to try for a field.
    fn candidate_lists(
        &self,
        schemas: SchemaPair<'c>,
        field: &Field,
        other: Option<&Field>,
    ) -> Vec<Vec<WireValue<'static>>> {
        let values = self.candidate_values(schemas, field, other);
        let mut lists: Vec<_> = values.iter().map(|value| vec![value.clone()]).collect();
        if let (false, Some(first)) = (field.cardinality.singular(), values.first()) {
            let second = values.get(1).unwrap_or(first);
            lists.push(vec![first.clone(), second.clone()]);
            lists.push(vec![first.clone(), first.clone()]);
        }
        lists
    }

    fn candidate_values(
        &self,
        schemas: SchemaPair<'c>,
        field: &Field,
        other: Option<&Field>,
    ) -> Vec<WireValue<'static>> {
        match field.kind {
            Kind::Scalar(Scalar::String) => {
                let mut texts = vec![&b"a"[..], b"hi!"];
                if !field.utf8 {
                    texts.push(b"\xff");
                }
                texts.into_iter().map(|text| WireValue::Bytes(Cow::Borrowed(text))).collect()
            }
            Kind::Scalar(Scalar::Bytes) => {
                [&b"a"[..], b"\xff"].map(|text| WireValue::Bytes(Cow::Borrowed(text))).to_vec()
            }
            Kind::Scalar(Scalar::Double) => vec![WireValue::Fixed64(1.5_f64.to_bits())],
            Kind::Scalar(Scalar::Float) => vec![WireValue::Fixed32(1.5_f32.to_bits())],
            Kind::Scalar(scalar) => integer_candidates(scalar),
            Kind::Enum(index) => {
                let Some(kind) = schemas.writer.types.enumeration(index) else { return Vec::new() };
                let read = match other.map(|field| field.kind) {
                    Some(Kind::Enum(index)) => schemas.reader.types.enumeration(index),
                    _ => None,
                };
                enum_candidates(kind, read)
            }
            Kind::Message(index) | Kind::Group(index) => {
                let Some(message) = schemas.writer.types.message(index) else { return Vec::new() };
                let empty = self.encode_message(schemas, message, (None, &[]), &[], 0);
                let set = message.fields.values().take(4).filter_map(|inner| {
                    let value = match inner.kind {
                        Kind::Scalar(_) | Kind::Enum(_) => {
                            self.candidate_values(schemas, inner, None).into_iter().next()?
                        }
                        Kind::Message(_) | Kind::Group(_) => return None,
                    };
                    self.encode_message(schemas, message, (None, &[]), &[(inner, vec![value])], 0)
                });
                empty
                    .into_iter()
                    .chain(set)
                    .map(|bytes| WireValue::Bytes(Cow::Owned(bytes)))
                    .collect()
            }
        }
    }

    /// Encodes a message with the given fields and the required fields of the writer. Fields that
    /// only the reader requires are included, except `tested_fields`.
    fn encode_message(
        &self,
        schemas: SchemaPair<'c>,
        message: &Message,
        (read, tested_fields): (Option<&Message>, &[u32]),
        set: &[FieldValues<'_>],
        depth: usize,
    ) -> Option<Vec<u8>> {
        let is_needed = |field: &&Field| {
            let reader = read.and_then(|message| message.fields.get(&field.number));
            let required = |field: &Field| field.cardinality == Cardinality::Required;
            required(field)
                || !tested_fields.contains(&field.number) && reader.is_some_and(required)
        };
        self.charge_steps(message.fields.len())?;
        let mut out = Vec::new();
        for field in message.fields.values() {
            if let Some((_, values)) = set.iter().find(|(given, _)| given.number == field.number) {
                if message.message_set {
                    put_message_set_item(field, values, &mut out);
                    continue;
                }
                convert::write(field, values, &mut out);
            } else if is_needed(&field) {
                convert::write(field, &[self.minimal_value(schemas, field, depth)?], &mut out);
            }
            if out.len() > BYTES_MAX {
                return None;
            }
        }
        Some(out)
    }

    /// The smallest valid value of a field.
    fn minimal_value(
        &self,
        schemas: SchemaPair<'c>,
        field: &Field,
        depth: usize,
    ) -> Option<WireValue<'static>> {
        Some(match field.kind {
            Kind::Message(index) | Kind::Group(index) => {
                let message = schemas.writer.types.message(index)?;
                if depth >= REQUIRED_DEPTH_MAX {
                    return None;
                }
                let body = self.encode_message(schemas, message, (None, &[]), &[], depth + 1)?;
                WireValue::Bytes(Cow::Owned(body))
            }
            Kind::Enum(index) => enum_value(schemas.writer.types.enumeration(index)?.first),
            Kind::Scalar(Scalar::String | Scalar::Bytes) => WireValue::Bytes(Cow::Borrowed(b"")),
            Kind::Scalar(Scalar::Double) => WireValue::Fixed64(0),
            Kind::Scalar(Scalar::Float) => WireValue::Fixed32(0),
            Kind::Scalar(scalar) => integer_candidates(scalar).into_iter().last()?,
        })
    }

    /// Encodes the event that contains a message at the position where the comparison reached it.
    /// Returns it with the schemas, rooted at the event.
    fn event_payload(
        &self,
        schemas: SchemaPair<'c>,
        pair: MessagePair,
        numbers: &[u32],
        set: &[FieldValues<'_>],
    ) -> Option<(SchemaPair<'c>, Vec<u8>)> {
        let (written, read) = schemas.messages(pair)?;
        let mut bytes = self.encode_message(schemas, written, (Some(read), numbers), set, 0)?;
        let mut at = pair;
        let mut fields = written.fields.len() + read.fields.len();
        for _ in 0..PARENTS_MAX {
            let Some((parent, number)) = self.parents.get(&at).copied() else {
                self.charge_steps(fields + 10)?;
                let (written, read) = schemas.of(at);
                let schemas = SchemaPair {
                    writer: SchemaView { root: written, ..schemas.writer },
                    reader: SchemaView { root: read, ..schemas.reader },
                    ..schemas
                };
                return Some((schemas, bytes));
            };
            let (written, read) = schemas.messages(parent)?;
            fields += written.fields.len() + read.fields.len();
            let field = written.fields.get(&number)?;
            let value = vec![WireValue::Bytes(Cow::Owned(bytes))];
            bytes =
                self.encode_message(schemas, written, (Some(read), &[]), &[(field, value)], 0)?;
            at = parent;
        }
        None
    }

    fn charge_steps(&self, fields: usize) -> Option<()> {
        self.steps.set(self.steps.get() + fields);
        (self.steps.get() <= STEPS_MAX).then_some(())
    }

    /// The text form of the payload, if it proves a break. If `strict` is set, a failed conversion
    /// is a break.
    fn proof(&self, schemas: SchemaPair<'c>, bytes: &[u8], strict: bool) -> Option<String> {
        let SchemaPair { writer, reader, .. } = schemas;
        let valid = |view: SchemaView<'_>| {
            validate::validate(view.types, view.tables, view.root, bytes).is_ok()
        };
        if !valid(writer) {
            return None;
        }
        if !valid(reader) {
            return Some(hex(bytes));
        }
        let plain = |bytes: &[u8]| {
            to_json::to_json(reader.types, &NoMessages, reader.root, bytes, Style::Plain).ok()
        };
        let converted = match convert::convert(writer, reader, bytes) {
            Err(_) if strict => return Some(hex(bytes)),
            Err(_) => None,
            Ok(converted) => converted,
        };
        let expected = plain(converted.as_deref().unwrap_or(bytes))?;
        if converted.is_some() && plain(bytes)? != expected {
            return Some(hex(bytes));
        }
        if self.surface == Surface::Wire {
            return None;
        }
        let json =
            to_json::to_json(writer.types, &NoMessages, writer.root, bytes, Style::Mapping).ok()?;
        let read =
            from_json::from_json(reader.types, reader.tables, &NoMessages, reader.root, &json).ok();
        let is_same =
            read.is_some_and(|bytes| !strict || plain(&bytes).is_some_and(|json| json == expected));
        (!is_same).then_some(json)
    }
}

/// Whether map entries are read unchanged by a reader without a map, or the other way round.
/// Conversions reject all of them.
fn is_preserved_map((field, values): &FieldValues<'_>, read: &Message) -> bool {
    let Some(other) = read.fields.get(&field.number) else { return false };
    let (from, to) = (field.cardinality, other.cardinality);
    if (from == Cardinality::Map) == (to == Cardinality::Map) {
        return false;
    }
    let several = values.len() > 1;
    let is_duplicate = several && values.first() == values.last();
    !(several && to.singular() || is_duplicate && to == Cardinality::Map)
}

/// Encodes the messages of an extension in message set format: each in a group, with the number of
/// the extension.
fn put_message_set_item(field: &Field, values: &[WireValue<'static>], out: &mut Vec<u8>) {
    for value in values {
        put_tag(1, 3, out);
        WireValue::Varint(field.number.into()).put_field(2, out);
        value.put_field(3, out);
        put_tag(1, 4, out);
    }
}

/// Integers that other types misread, and 0 as the last.
fn integer_candidates(scalar: Scalar) -> Vec<WireValue<'static>> {
    const INTEGERS: [i128; 8] =
        [1, -1, 2, i32::MAX as i128, u32::MAX as i128, 1 << 40, u64::MAX as i128, 0];
    INTEGERS
        .iter()
        .filter_map(|integer| scalar.bits(*integer))
        .map(|bits| match scalar.layout() {
            Layout::Fixed32 => WireValue::Fixed32(bits as u32),
            Layout::Fixed64 => WireValue::Fixed64(bits),
            Layout::Varint | Layout::Delimited | Layout::Group => WireValue::Varint(bits),
        })
        .collect()
}

/// The numbers of an enum, and an unknown number if only its writers accept one. `read` is the enum
/// of the readers, if they have one.
fn enum_candidates(kind: &Enum, read: Option<&Enum>) -> Vec<WireValue<'static>> {
    let known: BTreeSet<i32> = [Some(kind), read]
        .into_iter()
        .flatten()
        .flat_map(|kind| kind.values.keys().copied())
        .collect();
    let unknown_number = (!kind.closed && read.is_none_or(|kind| kind.closed))
        .then(|| (1..).find(|number| !known.contains(number)))
        .flatten();
    // Numbers to which the reader gives another name come first.
    let (same_name, other_name): (Vec<i32>, Vec<i32>) =
        kind.values.keys().copied().partition(|number| {
            let names = |kind: &Enum| Some(kind.values.get(number)?.first()?.name.clone());
            read.is_some_and(|read| names(read) == names(kind))
        });
    let (first, last) =
        if read.is_some() { (unknown_number, None) } else { (None, unknown_number) };
    let named = first.into_iter().chain(other_name).chain(same_name).take(CANDIDATES_MAX);
    named.chain(last).map(enum_value).collect()
}

fn enum_value(number: i32) -> WireValue<'static> {
    WireValue::Varint(i64::from(number).cast_unsigned())
}

fn is_invalid_utf8(item: &WireValue<'_>) -> bool {
    matches!(item, WireValue::Bytes(bytes) if str::from_utf8(bytes).is_err())
}

/// Formats bytes in hex. Empty payloads are shown as empty JSON instead.
fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "{}".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
