//! Compares two versions of a message: added and removed fields, oneofs, names and reservations.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::finding::Direction;

use super::{
    super::{
        findings::{FindingBuilder, shorten},
        ranges::Ranges,
        types::{Cardinality, Field, Message, field_label, json_form},
    },
    Comparer, MessagePair, simple_name,
};

/// The similarity of two message types, by their field numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Similarity {
    common: usize,
    /// Common fields that also have the same name.
    same_name: usize,
    old_only: usize,
    new_only: usize,
}

const NEVER_USED: &str = "Use a number and a name that no version has used.";

impl<'a> Comparer<'a> {
    pub(super) fn compare_messages(&mut self, from: usize, to: usize) {
        let (Some(old), Some(new)) = (self.old.message(from), self.new.message(to)) else { return };
        self.set_context((from, to), None);
        let entry = old.map_entry && new.map_entry;
        self.steps += 1 + old.fields.len() + new.fields.len();
        let moved = if entry { HashSet::new() } else { self.compare_owners((from, to), old, new) };
        for (number, field) in &old.fields {
            self.set_context((from, to), Some(*number));
            match new.fields.get(number) {
                Some(other) => self.compare_fields(field, other, entry || moved.contains(number)),
                None => self.report_removed_field(field, old, new),
            }
        }
        for (number, field) in &new.fields {
            if !old.fields.contains_key(number) {
                self.set_context((from, to), Some(*number));
                self.report_added_field(field, old, new);
            }
        }
        self.compare_oneofs((from, to), old, new);
        self.compare_json_names((from, to), old, new);
        self.compare_encodings((from, to), old, new);
        self.set_context((from, to), None);
        self.compare_reservations(old, new);
    }

    /// Reports names that moved to another number. Returns the numbers whose change of name is
    /// included in these findings.
    fn compare_owners(
        &mut self,
        pair: MessagePair,
        old: &'a Message,
        new: &'a Message,
    ) -> HashSet<u32> {
        let mut owners: HashMap<&str, u32> = HashMap::new();
        for field in old.fields.values() {
            owners.insert(&field.json_name, field.number);
        }
        // A source name takes precedence over a JSON name derived from another field.
        for field in old.fields.values() {
            owners.insert(&field.name, field.number);
        }
        let mut moved = HashSet::new();
        for field in new.fields.values() {
            let before = old.fields.get(&field.number);
            if before.is_some_and(|before| {
                before.name == field.name && before.json_name == field.json_name
            }) {
                continue;
            }
            let owner = |name: &str| {
                let owner = owners.get(name).copied().filter(|owner| *owner != field.number)?;
                let is_unchanged =
                    before.is_some_and(|field| field.name == name || field.json_name == name);
                (!is_unchanged).then_some(owner)
            };
            let by_name = owner(&field.name);
            let Some(owner) =
                by_name.or_else(|| owner(&field.json_name).filter(|_| self.includes_json()))
            else {
                continue;
            };
            let Some(owner) = old.fields.get(&owner) else { continue };
            moved.insert(field.number);
            self.findings.set_context(pair, &[owner.number, field.number]);
            let finding = if self.includes_json() || before.is_some() {
                FindingBuilder::error("PROTOBUF_FIELD_NUMBER_CHANGED", Direction::Both)
            } else {
                FindingBuilder::warning("PROTOBUF_FIELD_NUMBER_CHANGED", Direction::Both)
            };
            self.findings.add(
                finding.paths(&owner.full_name, &field.full_name)
                    .location(&field.location)
                    .values(owner.number.to_string(), field.number.to_string())
                    .message(format!(
                        "The name \"{}\" belongs to field {} of {} instead of field {}: data with one number is not \
                         read with the other, and JSON with that name is read as the other field.",
                        if by_name.is_some() { &field.name } else { &field.json_name },
                        field.number,
                        new.name,
                        owner.number
                    ))
                    .suggestion(format!(
                        "Keep the number {} for it, and use another name for a field with another meaning.",
                        owner.number
                    )),
            );
        }
        moved
    }

    fn report_removed_field(&mut self, field: &Field, old: &Message, new: &Message) {
        if field.cardinality == Cardinality::Required {
            self.findings.add(
                FindingBuilder::error("PROTOBUF_REQUIRED_REMOVED", Direction::Forward)
                    .paths(&field.full_name, &new.name)
                    .location(&new.location)
                    .values(self.old.type_name(field), "")
                    .message(format!(
                        "The required field {} (\"{}\") was removed from {}: running readers reject new data without \
                         it.",
                        field.number, field.name, old.name
                    ))
                    .suggestion("Keep it for this major version."),
            );
        }
        let reserved = new.reserved.contains(field.number);
        let named = new.reserved_names.contains(&field.name);
        let finding = if reserved && (named || !self.includes_json()) {
            FindingBuilder::info("PROTOBUF_FIELD_REMOVED", Direction::Both)
        } else {
            FindingBuilder::warning("PROTOBUF_FIELD_REMOVED", Direction::Both)
        };
        let advice = if reserved && named {
            String::new()
        } else {
            format!("Add to the message: reserved {}; reserved \"{}\";", field.number, field.name)
        };
        let reservation = if reserved && named {
            "its number and its name are reserved"
        } else if reserved {
            "its number is reserved and its name is not, so a later field could use the name"
        } else {
            "its number is not reserved, so a later field could read old values as its own"
        };
        self.findings.add(
            finding.paths(&field.full_name, &new.name)
                .location(&new.location)
                .values(self.old.type_name(field), "")
                .message(format!(
                    "Field {} (\"{}\") was removed from {}: readers keep it as an unknown field, strict JSON readers \
                     reject it in old data, and {reservation}.",
                    field.number, field.name, old.name
                ))
                .suggestion(advice),
        );
    }

    fn report_added_field(&mut self, field: &Field, old: &Message, new: &Message) {
        if field.cardinality == Cardinality::Required {
            self.findings.add(
                FindingBuilder::error("PROTOBUF_REQUIRED_ADDED", Direction::Backward)
                    .paths(&old.name, &field.full_name)
                    .location(&field.location)
                    .values("", self.new.type_name(field))
                    .message(format!(
                        "The required field {} (\"{}\") was added to {}: new readers reject all old data, which does \
                         not contain it.",
                        field.number, field.name, new.name
                    ))
                    .suggestion("Make it optional, and check in the application that it is set."),
            );
        }
        let number = old.reserved.contains(field.number);
        let name = self.includes_json() && old.reserved_names.contains(&field.name);
        if number || name {
            let attribute = if number {
                format!("number {}", field.number)
            } else {
                format!("name \"{}\"", field.name)
            };
            self.findings.add(
                FindingBuilder::unproven("PROTOBUF_RESERVED_USED", Direction::Both)
                    .paths(&old.name, &field.full_name)
                    .location(&field.location)
                    .values("reserved", self.new.type_name(field))
                    .message(format!(
                        "Field {} (\"{}\") of {} uses the reserved {attribute}: an older version may have used it, and \
                         its data would be read as this field.",
                        field.number, field.name, new.name
                    ))
                    .suggestion(NEVER_USED),
            );
        }
        if !field.extension && old.extension_ranges.contains(field.number) {
            self.findings.add(
                FindingBuilder::unproven("PROTOBUF_EXTENSION_NUMBER_USED", Direction::Both)
                    .paths(&old.name, &field.full_name)
                    .location(&field.location)
                    .values("extensions", self.new.type_name(field))
                    .message(format!(
                        "Field {} (\"{}\") of {} uses a number from an extension range: data of an extension that this \
                         registry does not know would be read as this field.",
                        field.number, field.name, new.name
                    ))
                    .suggestion("Use a number outside of the extension ranges."),
            );
        }
        self.findings.add(
            FindingBuilder::info("PROTOBUF_FIELD_ADDED", Direction::Both)
                .paths(&old.name, &field.full_name)
                .location(&field.location)
                .values("", self.new.type_name(field))
                .message(format!(
                    "Field {} (\"{}\") was added to {}: running readers keep it as an unknown field, and strict JSON \
                     readers reject it.",
                    field.number, field.name, new.name
                )),
        );
    }

    /// A reader keeps only one member of a oneof, so fields that can be set together in one version
    /// must not share a oneof in the other.
    fn compare_oneofs(&mut self, pair: MessagePair, old: &Message, new: &Message) {
        self.find_new_choices(pair, old, new, Direction::Backward);
        self.find_new_choices(pair, new, old, Direction::Forward);
    }

    /// Reports fields that writers of `free` can set together and that share a oneof in `bound`.
    fn find_new_choices(
        &mut self,
        pair: MessagePair,
        free: &Message,
        bound: &Message,
        direction: Direction,
    ) {
        let mut members: BTreeMap<&str, Vec<(&Field, &Field)>> = BTreeMap::new();
        for (number, field) in &bound.fields {
            if let (Some(oneof), Some(other)) = (&field.oneof, free.fields.get(number)) {
                members.entry(oneof).or_default().push((other, field));
            }
        }
        for (oneof, members) in members {
            let Some((first, _)) = members.first() else { continue };
            let together =
                first.oneof.is_some() && members.iter().all(|(free, _)| free.oneof == first.oneof);
            if members.len() < 2 || together {
                continue;
            }
            let numbers: Vec<u32> = members.iter().map(|(field, _)| field.number).collect();
            self.findings.set_context(pair, &numbers);
            let names: Vec<_> = members.iter().map(|(field, _)| field.name.as_str()).collect();
            let names = names.join(", ");
            let location =
                members.first().map(|(_, field)| field.location.clone()).unwrap_or_default();
            let path = format!("{}.{oneof}", bound.name);
            let finding = match direction {
                Direction::Forward => FindingBuilder::error("PROTOBUF_ONEOF_LEFT", direction)
                    .paths(path, &free.name)
                    .location(&free.location)
                    .values(format!("oneof {oneof} {{ {names} }}"), "not one oneof")
                    .message(format!(
                        "The fields {names} of {} no longer share the oneof \"{oneof}\": a new writer can set more than \
                         one of them, and running readers keep only the last.",
                        free.name
                    ))
                    .suggestion("Keep the oneof, and add a new field outside of it."),
                Direction::Backward | Direction::Both => FindingBuilder::error("PROTOBUF_ONEOF_JOINED", direction)
                    .paths(&free.name, path)
                    .location(&location)
                    .values("not one oneof", format!("oneof {oneof} {{ {names} }}"))
                    .message(format!(
                        "The fields {names} of {} now share the oneof \"{oneof}\": old data may contain more than one of \
                         them, and new readers keep only the last.",
                        free.name
                    ))
                    .suggestion("Keep these fields out of the oneof. A new oneof can contain one existing field and any new \
                                 fields."),
            };
            self.findings.add(finding);
        }
    }

    /// Reports fields that share their JSON name in one of the two versions, as the JSON format
    /// LEGACY_BEST_EFFORT allows. Without such fields the formats are equal.
    fn compare_json_names(&mut self, at: MessagePair, old: &Message, new: &Message) {
        if !self.includes_json() || old.map_entry || new.map_entry {
            return;
        }
        let (before, after) = (colliding_names(old), colliding_names(new));
        let removed = before.difference(&after).map(|pair| (*pair, Direction::Backward, old, new));
        let added = after.difference(&before).map(|pair| (*pair, Direction::Forward, new, old));
        for (pair, direction, colliding, distinct) in removed.chain(added) {
            let fields = colliding.fields.get(&pair.0).zip(colliding.fields.get(&pair.1));
            let Some((first, second)) = fields else { continue };
            self.findings.set_context(at, &[pair.0, pair.1]);
            let Some(name) = &first.shared_name else { continue };
            let known = [pair.0, pair.1].iter().any(|number| {
                let field = distinct.fields.get(number);
                field.is_some_and(|field| {
                    field.shared_name.as_ref().unwrap_or(&field.json_name) == name
                })
            });
            let both = format!("\"{}\" and \"{}\"", first.name, second.name);
            let values = match direction {
                Direction::Backward => (both.as_str(), ""),
                Direction::Forward | Direction::Both => ("", both.as_str()),
            };
            self.findings.add(
                FindingBuilder::error(
                    "PROTOBUF_JSON_FORMAT_CHANGED",
                    if known { Direction::Both } else { direction },
                )
                .paths(&old.name, &new.name)
                .location(&new.location)
                .values(values.0, values.1)
                .message(format!(
                    "The fields {both} of {} share the JSON name \"{}\", and in the other version they do not: a reader \
                     of the other version reads that name as another field, or rejects it as a duplicate.",
                    colliding.name, name
                ))
                .suggestion("Give one of them another JSON name with json_name."),
            );
        }
    }

    fn compare_encodings(&mut self, pair: MessagePair, old: &Message, new: &Message) {
        if old.message_set != new.message_set {
            let form = |message: &Message| {
                if message.message_set { "message_set_wire_format" } else { "plain" }
            };
            let shared = old.fields.keys().find(|number| new.fields.contains_key(number));
            self.findings.set_context(pair, shared.copied().as_slice());
            self.findings.add(
                FindingBuilder::error("PROTOBUF_MESSAGE_SET_CHANGED", Direction::Both)
                .paths(&old.name, &new.name)
                    .location(&new.location)
                    .values(form(old), form(new))
                    .message(format!(
                        "{} is encoded as {} instead of {}: readers of one version do not find the extensions that \
                         writers of the other wrote.",
                        new.name,
                        form(new),
                        form(old)
                    ))
                    .suggestion("Keep the option message_set_wire_format of the old version."),
            );
        }
    }

    fn compare_reservations(&mut self, old: &Message, new: &Message) {
        let used = Ranges::of(new.fields.keys().map(|number| i64::from(*number)));
        let numbers = old.reserved.without(&new.reserved).without(&used);
        let released = no_longer_reserved(numbers, &old.reserved_names, &new.reserved_names);
        if !released.is_empty() {
            self.findings
                .add(reserved_removed(&old.name, &new.name, &released).location(&new.location));
        }
        let closed = old.extension_ranges.without(&new.extension_ranges).without(&used);
        if !closed.is_empty() {
            self.findings.add(
                FindingBuilder::warning("PROTOBUF_EXTENSION_RANGE_REMOVED", Direction::Both)
                    .paths(&old.name, &new.name)
                    .location(&new.location)
                    .values(format!("extensions {closed}"), "")
                    .message(format!(
                        "The numbers {closed} of {} are no longer in an extension range: their data is kept as unknown \
                         fields.",
                        new.name
                    ))
                    .suggestion("Keep the extension range."),
            );
        }
    }

    /// Reports a field that refers to another message type.
    pub(super) fn compare_type_names(&mut self, old: &Field, new: &Field, from: usize, to: usize) {
        let (Some(a), Some(b)) = (self.old.message(from), self.new.message(to)) else { return };
        let (before, after) = (a.name.clone(), b.name.clone());
        let finding = if self.is_replaced(from, to) {
            self.about("PROTOBUF_FIELD_TYPE_REPLACED", Some(Direction::Both), old, new)
                .message(format!(
                    "{} changed its type from {before} to {after}, which is a different type, not the same type renamed: \
                     readers of one version keep the data of the other as unknown fields, or misread it.",
                    field_label(old)
                ))
                .suggestion("Keep the type, or add another field with the new type.")
        } else {
            self.about("PROTOBUF_FIELD_TYPE_RENAMED", None, old, new).message(format!(
                "{} changed its type from {before} to {after}: only source code and the type URLs of google.protobuf.Any \
                 contain that name, so only their fields are compared.",
                field_label(old)
            ))
        };
        self.findings.add(finding.values(before, after));
    }

    /// Whether a type with another name is a different type and not the same type renamed. A type
    /// that has all fields of the other, even of an empty one, is an extension of it: its readers
    /// keep the additional fields as unknown fields.
    pub(super) fn is_replaced(&mut self, from: usize, to: usize) -> bool {
        let (Some(a), Some(b)) = (self.old.message(from), self.new.message(to)) else {
            return false;
        };
        self.steps += 1;
        let similarity =
            *self.similarities.entry((from, to)).or_insert_with(|| Similarity::of(a, b));
        let Similarity { common, same_name, old_only, new_only } = similarity;
        let diverged = old_only > 0 && new_only > 0;
        if simple_name(&a.name) == simple_name(&b.name) {
            // The type moved to another package, and may have changed like any type.
            return diverged && common == 0;
        }
        // Well-known types never change: a type with other fields or another JSON form is not a
        // version of one.
        let other_meaning = match (json_form(&a.name), json_form(&b.name)) {
            (Some(before), Some(after)) => before != after || old_only + new_only > 0,
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => old_only + new_only > 0,
        };
        diverged || common > 0 && (other_meaning || same_name == 0)
    }
}

/// Pairs of fields that share their JSON name, by their numbers.
fn colliding_names(message: &Message) -> BTreeSet<(u32, u32)> {
    let mut owners: HashMap<&str, u32> = HashMap::new();
    let mut pairs = BTreeSet::new();
    for field in message.fields.values() {
        let Some(name) = &field.shared_name else { continue };
        let owner = *owners.entry(name).or_insert(field.number);
        if owner != field.number {
            pairs.insert((owner, field.number));
        }
    }
    pairs
}

impl Similarity {
    fn of(old: &Message, new: &Message) -> Self {
        let pairs = || {
            old.fields.values().filter_map(|field| Some((field, new.fields.get(&field.number)?)))
        };
        let common = pairs().count();
        let same_name =
            pairs().filter(|(a, b)| a.name == b.name || a.json_name == b.json_name).count();
        Self {
            common,
            same_name,
            old_only: old.fields.len() - common,
            new_only: new.fields.len() - common,
        }
    }
}

/// Formats the numbers and names that are no longer reserved, in `.proto` syntax.
pub(super) fn no_longer_reserved(numbers: Ranges, old: &[String], new: &[String]) -> String {
    let still_reserved: HashSet<&str> = new.iter().map(String::as_str).collect();
    let numbers = (!numbers.is_empty()).then(|| numbers.to_string());
    let names = old.iter().filter(|name| !still_reserved.contains(name.as_str()));
    numbers
        .into_iter()
        .chain(names.map(|name| format!("\"{name}\"")))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The finding for a message or an enum that no longer reserves `released`.
pub(super) fn reserved_removed(old: &str, new: &str, released: &str) -> FindingBuilder {
    FindingBuilder::warning("PROTOBUF_RESERVED_REMOVED", Direction::Both)
        .paths(old, new)
        .values(format!("reserved {released}"), "")
        .message(format!(
            "{new} no longer reserves {}: only the history of the subject prevents a later version from using it with \
             another meaning.",
            shorten(released.to_owned())
        ))
        .suggestion("Keep the reservation.")
}
