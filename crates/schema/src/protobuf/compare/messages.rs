//! One message, then and now: which fields came and went, and which belong together.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::finding::Direction;

use super::{
    super::{
        ranges::Ranges,
        report::{Note, short},
        types::{Cardinality, Field, Message},
    },
    Pair, Walk,
    fields::described,
    last,
};

/// How much two message types have in common, by the numbers of their fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Likeness {
    common: usize,
    /// Of these the ones that have the same name.
    alike: usize,
    old_only: usize,
    new_only: usize,
}

const NEVER_USED: &str = "Use a number and a name that were never used.";

impl<'a> Walk<'a> {
    pub(super) fn compare_messages(&mut self, from: usize, to: usize) {
        let (Some(old), Some(new)) = (self.old.message(from), self.new.message(to)) else { return };
        self.stand((from, to), None);
        let entry = old.map_entry && new.map_entry;
        self.steps += 1 + old.fields.len() + new.fields.len();
        let moved = if entry { HashSet::new() } else { self.compare_owners((from, to), old, new) };
        for (number, field) in &old.fields {
            self.stand((from, to), Some(*number));
            match new.fields.get(number) {
                Some(other) => self.compare_fields(field, other, entry || moved.contains(number)),
                None => self.note_removed(field, old, new),
            }
        }
        for (number, field) in &new.fields {
            if !old.fields.contains_key(number) {
                self.stand((from, to), Some(*number));
                self.note_added(field, old, new);
            }
        }
        self.compare_oneofs((from, to), old, new);
        self.compare_json_names((from, to), old, new);
        self.compare_encodings((from, to), old, new);
        self.stand((from, to), None);
        self.compare_reservations(old, new);
    }

    /// Finds names that belong to another number now. Returns the numbers whose change of name is said with that.
    fn compare_owners(&mut self, pair: Pair, old: &'a Message, new: &'a Message) -> HashSet<u32> {
        let mut owners: HashMap<&str, u32> = HashMap::new();
        for field in old.fields.values() {
            owners.insert(&field.json_name, field.number);
        }
        // The name in the source counts more than one that JSON derives from another field's.
        for field in old.fields.values() {
            owners.insert(&field.name, field.number);
        }
        let mut moved = HashSet::new();
        for field in new.fields.values() {
            let before = old.fields.get(&field.number);
            if before.is_some_and(|it| it.name == field.name && it.json_name == field.json_name) {
                continue;
            }
            let owner = |name: &str| {
                let owner = owners.get(name).copied().filter(|owner| *owner != field.number)?;
                let kept = before.is_some_and(|it| it.name == name || it.json_name == name);
                (!kept).then_some(owner)
            };
            let by_name = owner(&field.name);
            let Some(owner) = by_name.or_else(|| owner(&field.json_name).filter(|_| self.json()))
            else {
                continue;
            };
            let Some(owner) = old.fields.get(&owner) else { continue };
            moved.insert(field.number);
            self.report.stand(pair, &[owner.number, field.number]);
            let note = if self.json() || before.is_some() {
                Note::error("PROTOBUF_FIELD_NUMBER_CHANGED", Direction::Both)
            } else {
                Note::warning("PROTOBUF_FIELD_NUMBER_CHANGED", Direction::Both)
            };
            self.report.add(
                note.at(&owner.full_name, &field.full_name)
                    .place(&field.place)
                    .values(owner.number.to_string(), field.number.to_string())
                    .says(format!(
                        "The name \"{}\" belongs to field {} of {} instead of field {}: what was written under the \
                         one number is not read under the other, and JSON under that name is taken for it.",
                        if by_name.is_some() { &field.name } else { &field.json_name },
                        field.number,
                        new.name,
                        owner.number
                    ))
                    .advises(format!(
                        "Keep the number {} for it; a field that means something else needs a name of its own.",
                        owner.number
                    )),
            );
        }
        moved
    }

    fn note_removed(&mut self, field: &Field, old: &Message, new: &Message) {
        if field.cardinality == Cardinality::Required {
            self.report.add(
                Note::error("PROTOBUF_REQUIRED_REMOVED", Direction::Forward)
                    .at(&field.full_name, &new.name)
                    .place(&new.place)
                    .values(self.old.type_name(field), "")
                    .says(format!(
                        "The required field {} (\"{}\") was removed from {}: readers that run now refuse new data \
                         without it.",
                        field.number, field.name, old.name
                    ))
                    .advises("Keep it for this major version."),
            );
        }
        let reserved = new.reserved.has(field.number);
        let named = new.reserved_names.contains(&field.name);
        let note = if reserved && (named || !self.json()) {
            Note::info("PROTOBUF_FIELD_REMOVED", Direction::Both)
        } else {
            Note::warning("PROTOBUF_FIELD_REMOVED", Direction::Both)
        };
        let advice = if reserved && named {
            String::new()
        } else {
            format!("Add to the message: reserved {}; reserved \"{}\";", field.number, field.name)
        };
        let kept = if reserved && named {
            "its number and its name are reserved"
        } else if reserved {
            "its number is reserved and its name is not, so a later field could take the name"
        } else {
            "its number is not reserved, so a later field could take old values for its own"
        };
        self.report.add(
            note.at(&field.full_name, &new.name)
                .place(&new.place)
                .values(self.old.type_name(field), "")
                .says(format!(
                    "Field {} (\"{}\") was removed from {}: readers set it aside, strict readers of JSON refuse it in \
                     old data, and {kept}.",
                    field.number, field.name, old.name
                ))
                .advises(advice),
        );
    }

    fn note_added(&mut self, field: &Field, old: &Message, new: &Message) {
        if field.cardinality == Cardinality::Required {
            self.report.add(
                Note::error("PROTOBUF_REQUIRED_ADDED", Direction::Backward)
                    .at(&old.name, &field.full_name)
                    .place(&field.place)
                    .values("", self.new.type_name(field))
                    .says(format!(
                        "The required field {} (\"{}\") was added to {}: new readers refuse all old data, which does \
                         not have it.",
                        field.number, field.name, new.name
                    ))
                    .advises("Make it optional, and check in the application that it is set."),
            );
        }
        let number = old.reserved.has(field.number);
        let name = self.json() && old.reserved_names.contains(&field.name);
        if number || name {
            let what = if number {
                format!("number {}", field.number)
            } else {
                format!("name \"{}\"", field.name)
            };
            self.report.add(
                Note::unproven("PROTOBUF_RESERVED_USED", Direction::Both)
                    .at(&old.name, &field.full_name)
                    .place(&field.place)
                    .values("reserved", self.new.type_name(field))
                    .says(format!(
                        "Field {} (\"{}\") of {} uses the {what}, which was reserved: an older version may have used \
                         it, and its data would be read as this field.",
                        field.number, field.name, new.name
                    ))
                    .advises(NEVER_USED),
            );
        }
        if !field.extension && old.extension_ranges.has(field.number) {
            self.report.add(
                Note::unproven("PROTOBUF_EXTENSION_NUMBER_USED", Direction::Both)
                    .at(&old.name, &field.full_name)
                    .place(&field.place)
                    .values("extensions", self.new.type_name(field))
                    .says(format!(
                        "Field {} (\"{}\") of {} uses a number that was open to extensions: data of an extension that \
                         this registry does not know would be read as this field.",
                        field.number, field.name, new.name
                    ))
                    .advises("Use a number outside of the extension ranges."),
            );
        }
        self.report.add(
            Note::info("PROTOBUF_FIELD_ADDED", Direction::Both)
                .at(&old.name, &field.full_name)
                .place(&field.place)
                .values("", self.new.type_name(field))
                .says(format!(
                    "Field {} (\"{}\") was added to {}: readers that run now set it aside, and strict readers of JSON \
                     refuse it.",
                    field.number, field.name, new.name
                )),
        );
    }

    /// Of the members of a oneof a reader keeps one. So it matters which fields of both versions belong together: what
    /// may be set together in the one version must not be a choice in the other.
    fn compare_oneofs(&mut self, pair: Pair, old: &Message, new: &Message) {
        self.choices(pair, old, new, Direction::Backward);
        self.choices(pair, new, old, Direction::Forward);
    }

    /// Finds fields that writers of `free` may set together and readers of `bound` hold to be a choice.
    fn choices(&mut self, pair: Pair, free: &Message, bound: &Message, direction: Direction) {
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
            self.report.stand(pair, &numbers);
            let names: Vec<_> = members.iter().map(|(field, _)| field.name.as_str()).collect();
            let names = names.join(", ");
            let place = members.first().map(|(_, field)| field.place.clone()).unwrap_or_default();
            let path = format!("{}.{oneof}", bound.name);
            let note = match direction {
                Direction::Forward => Note::error("PROTOBUF_ONEOF_LEFT", direction)
                    .at(path, &free.name)
                    .place(&free.place)
                    .values(format!("oneof {oneof} {{ {names} }}"), "not one oneof")
                    .says(format!(
                        "The fields {names} of {} no longer share the oneof \"{oneof}\": a new writer may set more \
                         than one of them, and readers that run now keep only the last.",
                        free.name
                    ))
                    .advises("Leave the oneof as it is, and add a new field outside of it."),
                Direction::Backward | Direction::Both => Note::error("PROTOBUF_ONEOF_JOINED", direction)
                    .at(&free.name, path)
                    .place(&place)
                    .values("not one oneof", format!("oneof {oneof} {{ {names} }}"))
                    .says(format!(
                        "The fields {names} of {} share the oneof \"{oneof}\" now: old data may have more than one of \
                         them, and new readers keep only the last.",
                        free.name
                    ))
                    .advises("Leave these fields where they are; one existing field may move into a new oneof, and new \
                              fields may join it."),
            };
            self.report.add(note);
        }
    }

    /// Finds fields that share their name in JSON in one of the two versions, as the JSON format
    /// LEGACY_BEST_EFFORT lets them. Where none do, the formats are the same.
    fn compare_json_names(&mut self, at: Pair, old: &Message, new: &Message) {
        if !self.json() || old.map_entry || new.map_entry {
            return;
        }
        let (was, is) = (meeting(old), meeting(new));
        let removed = was.difference(&is).map(|it| (*it, Direction::Backward, old, new));
        let added = is.difference(&was).map(|it| (*it, Direction::Forward, new, old));
        for (pair, direction, here, there) in removed.chain(added) {
            let fields = here.fields.get(&pair.0).zip(here.fields.get(&pair.1));
            let Some((first, second)) = fields else { continue };
            self.report.stand(at, &[pair.0, pair.1]);
            let Some(name) = &first.shared_name else { continue };
            let known = [pair.0, pair.1].iter().any(|number| {
                let field = there.fields.get(number);
                field.is_some_and(|it| it.shared_name.as_ref().unwrap_or(&it.json_name) == name)
            });
            let both = format!("\"{}\" and \"{}\"", first.name, second.name);
            let values = match direction {
                Direction::Backward => (both.as_str(), ""),
                Direction::Forward | Direction::Both => ("", both.as_str()),
            };
            self.report.add(
                Note::error(
                    "PROTOBUF_JSON_FORMAT_CHANGED",
                    if known { Direction::Both } else { direction },
                )
                .at(&old.name, &new.name)
                .place(&new.place)
                .values(values.0, values.1)
                .says(format!(
                    "The fields {both} of {} are both called \"{}\" in JSON, and in the other version they are not: \
                     what the one side writes under that name the other takes for another field, or refuses as a \
                     name that stands twice.",
                    here.name, name
                ))
                .advises("Give one of them a name of its own in JSON, with json_name."),
            );
        }
    }

    fn compare_encodings(&mut self, pair: Pair, old: &Message, new: &Message) {
        if old.message_set != new.message_set {
            let form =
                |it: &Message| if it.message_set { "message_set_wire_format" } else { "plain" };
            let shared = old.fields.keys().find(|number| new.fields.contains_key(number));
            self.report.stand(pair, shared.copied().as_slice());
            self.report.add(
                Note::error("PROTOBUF_MESSAGE_SET_CHANGED", Direction::Both)
                .at(&old.name, &new.name)
                    .place(&new.place)
                    .values(form(old), form(new))
                    .says(format!(
                        "{} is encoded as {} instead of {}: readers of the one do not find the extensions that writers \
                         of the other wrote.",
                        new.name,
                        form(new),
                        form(old)
                    ))
                    .advises("Keep the option message_set_wire_format as it was."),
            );
        }
    }

    fn compare_reservations(&mut self, old: &Message, new: &Message) {
        let used = Ranges::of(new.fields.keys().map(|it| i64::from(*it)));
        let gone = old.reserved.without(&new.reserved).without(&used);
        let gone = no_longer_reserved(gone, &old.reserved_names, &new.reserved_names);
        if !gone.is_empty() {
            self.report.add(reserved_removed(&old.name, &new.name, &gone).place(&new.place));
        }
        let closed = old.extension_ranges.without(&new.extension_ranges).without(&used);
        if !closed.is_empty() {
            self.report.add(
                Note::warning("PROTOBUF_EXTENSION_RANGE_REMOVED", Direction::Both)
                    .at(&old.name, &new.name)
                    .place(&new.place)
                    .values(format!("extensions {closed}"), "")
                    .says(format!(
                        "The numbers {closed} of {} are no longer open to extensions: their data is set aside as \
                         unknown fields.",
                        new.name
                    ))
                    .advises("Keep the extension range."),
            );
        }
    }

    /// Judges a field, or a root, that names another message type than before.
    pub(super) fn compare_type_names(&mut self, old: &Field, new: &Field, from: usize, to: usize) {
        let (Some(a), Some(b)) = (self.old.message(from), self.new.message(to)) else { return };
        let (was, is) = (a.name.clone(), b.name.clone());
        let note = if self.replaced(from, to) {
            self.about("PROTOBUF_FIELD_TYPE_REPLACED", Some(Direction::Both), old, new)
                .says(format!(
                    "{} changed its type from {was} to {is}, which is another type and not that one renamed: what the \
                     one holds is set aside by readers of the other, or means something else.",
                    described(old)
                ))
                .advises("Keep the type, or add another field for the new one.")
        } else {
            self.about("PROTOBUF_FIELD_TYPE_RENAMED", None, old, new).says(format!(
                "{} changed its type from {was} to {is}: only source code and the type URLs of google.protobuf.Any \
                 have that name, so what counts is their fields.",
                described(old)
            ))
        };
        self.report.add(note.values(was, is));
    }

    /// Whether a type of another name is another type and not the same one renamed. One that has
    /// all fields of the other is that one grown, be the other empty: its readers set aside what
    /// they do not know, as they always do.
    pub(super) fn replaced(&mut self, from: usize, to: usize) -> bool {
        let (Some(a), Some(b)) = (self.old.message(from), self.new.message(to)) else {
            return false;
        };
        self.steps += 1;
        let likeness = *self.likeness.entry((from, to)).or_insert_with(|| Likeness::of(a, b));
        let Likeness { common, alike, old_only, new_only } = likeness;
        let apart = old_only > 0 && new_only > 0;
        if last(&a.name) == last(&b.name) {
            // Moved to another package, and changed like any type.
            return apart && common == 0;
        }
        // A type with a meaning of its own never grows: what has other fields, or another such meaning, is none of its
        // versions.
        let other_meaning = match (json_form(&a.name), json_form(&b.name)) {
            (Some(was), Some(is)) => was != is || old_only + new_only > 0,
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => old_only + new_only > 0,
        };
        apart || common > 0 && (other_meaning || alike == 0)
    }
}

/// Pairs of fields that share their name in JSON, by their numbers.
fn meeting(message: &Message) -> BTreeSet<(u32, u32)> {
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

impl Likeness {
    fn of(old: &Message, new: &Message) -> Self {
        let pairs = || old.fields.values().filter_map(|it| Some((it, new.fields.get(&it.number)?)));
        let common = pairs().count();
        let alike = pairs().filter(|(a, b)| a.name == b.name || a.json_name == b.json_name).count();
        Self {
            common,
            alike,
            old_only: old.fields.len() - common,
            new_only: new.fields.len() - common,
        }
    }
}

/// What a message looks like in JSON, where that is not an object of its fields.
pub(in super::super) fn json_form(name: &str) -> Option<&'static str> {
    Some(match name.strip_prefix("google.protobuf.")? {
        "Any" => "an object with \"@type\"",
        "Timestamp" => "a date and time in RFC 3339",
        "Duration" => "a number of seconds that ends in \"s\"",
        "FieldMask" => "a list of paths in one text",
        "Struct" => "any object",
        "ListValue" => "any array",
        "Value" => "any JSON",
        "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value"
        | "UInt32Value" | "BoolValue" | "StringValue" | "BytesValue" => "the bare value",
        _ => return None,
    })
}

/// The numbers and names that were reserved and are not any more, as an author writes them.
pub(super) fn no_longer_reserved(numbers: Ranges, old: &[String], new: &[String]) -> String {
    let kept: HashSet<&str> = new.iter().map(String::as_str).collect();
    let numbers = (!numbers.is_empty()).then(|| numbers.to_string());
    let names = old.iter().filter(|name| !kept.contains(name.as_str()));
    numbers
        .into_iter()
        .chain(names.map(|name| format!("\"{name}\"")))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Said of a message or an enum.
pub(super) fn reserved_removed(old: &str, new: &str, gone: &str) -> Note {
    Note::warning("PROTOBUF_RESERVED_REMOVED", Direction::Both)
        .at(old, new)
        .values(format!("reserved {gone}"), "")
        .says(format!(
            "{new} no longer reserves {}: only the history of the subject keeps a later version from using it for \
             something else.",
            short(gone.to_owned())
        ))
        .advises("Keep what is reserved.")
}
