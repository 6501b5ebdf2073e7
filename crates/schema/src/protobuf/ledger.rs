//! Numbers and names that meant something once, and may not come back as something else.
//!
//! Data of every version of a major line may be read again. A field that was removed two versions ago is not in the
//! version before, so a comparison with that one does not see that its number comes back with another meaning.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::finding::{Direction, Finding, Surface};

use super::{
    compare::{Roots, Walk},
    form::Reached,
    report::{Note, Report},
    types::{Cardinality, Enum, Field, Kind, Message, Types},
};

const NEVER_USED: &str = "Use a number and a name that no version of this major line has used.";

/// One version: its types and where they begin.
pub(super) type Version<'a> = (&'a Types, &'a Roots);

/// Which types of the versions of a line are one type of the new schema.
struct Lineage<'a, T> {
    /// By the type of the new schema: for each version, oldest first, what stood in its place.
    versions: HashMap<usize, Vec<Vec<&'a T>>>,
}

/// What came back as something else.
pub(super) fn ledger(history: &[Version<'_>], new: Version<'_>, surface: Surface) -> Vec<Finding> {
    let mut report = Report::default();
    let (messages, enums) = lineages(history, new);
    let mut returns = Returns { history, new: new.0, surface, left: RETURNS_MAX };
    for (index, versions) in sorted(messages.versions) {
        if let Some(message) = new.0.message(index).filter(|it| !it.map_entry) {
            judge_message(message, &versions, &mut returns, &mut report);
        }
    }
    for (index, versions) in sorted(enums.versions) {
        if let Some(kind) = new.0.enumeration(index) {
            judge_enum(kind, &versions, &mut report);
        }
    }
    report.finish().into_iter().map(|(finding, _)| finding).collect()
}

fn sorted<T>(map: HashMap<usize, T>) -> Vec<(usize, T)> {
    let mut items: Vec<_> = map.into_iter().collect();
    items.sort_by_key(|(index, _)| *index);
    items
}

/// Pairs types as comparisons do, from the roots down, and by their names: a type may have been reached another way. What no
/// event reaches has no data to be misread.
fn lineages<'a>(
    history: &[Version<'a>],
    (types, roots): Version<'_>,
) -> (Lineage<'a, Message>, Lineage<'a, Enum>) {
    let mut messages = Lineage { versions: HashMap::new() };
    let mut enums = Lineage { versions: HashMap::new() };
    let is = Reached::from(types, roots);
    for (at, (old, old_roots)) in history.iter().enumerate() {
        let was = Reached::from(old, old_roots);
        let mut walk = Walk::new(old, types, Surface::Wire);
        walk.begin(old_roots, roots);
        let mut pairs = walk.pairs();
        for (index, message) in types.messages.iter().enumerate() {
            let from = old.message_index(&message.name);
            let both = from.filter(|it| was.messages.contains(it) && is.messages.contains(&index));
            pairs.extend(both.map(|from| (from, index)));
        }
        let mut kinds: HashSet<(usize, usize)> = HashSet::new();
        for (index, kind) in types.enums.iter().enumerate() {
            let from = old.enum_index(&kind.name);
            let both = from.filter(|it| was.enums.contains(it) && is.enums.contains(&index));
            kinds.extend(both.map(|from| (from, index)));
        }
        // In the order of the texts: what is said first does not depend on a hash.
        for (from, to) in pairs.into_iter().collect::<BTreeSet<_>>() {
            let (Some(was), Some(is)) = (old.message(from), types.message(to)) else { continue };
            kinds.extend(is.fields.values().filter_map(|field| {
                match (was.fields.get(&field.number)?.kind, field.kind) {
                    (Kind::Enum(from), Kind::Enum(to)) => Some((from, to)),
                    _ => None,
                }
            }));
            messages.add(at, to, was, history.len());
        }
        for (from, to) in kinds.into_iter().collect::<BTreeSet<_>>() {
            if let Some(was) = old.enumeration(from) {
                enums.add(at, to, was, history.len());
            }
        }
    }
    (messages, enums)
}

impl<'a, T> Lineage<'a, T> {
    fn add(&mut self, version: usize, to: usize, was: &'a T, count: usize) {
        let versions = self
            .versions
            .entry(to)
            .or_insert_with(|| std::iter::repeat_with(Vec::new).take(count).collect());
        if let Some(version) = versions.get_mut(version) {
            version.push(was);
        }
    }
}

fn judge_message(
    new: &Message,
    versions: &[Vec<&Message>],
    returns: &mut Returns<'_>,
    report: &mut Report,
) {
    for field in new.fields.values() {
        let at = |version: &Vec<&'_ Message>| -> bool {
            version.iter().any(|it| it.fields.contains_key(&field.number))
        };
        // What is in the newest version is compared with it. Only what was away comes back.
        if versions.last().is_some_and(at) {
            continue;
        }
        let meanings: Vec<(usize, &Field)> = versions
            .iter()
            .enumerate()
            .flat_map(|(at, version)| version.iter().map(move |it| (at, it)))
            .filter_map(|(at, message)| Some((at, message.fields.get(&field.number)?)))
            .collect();
        if meanings.iter().any(|(at, was)| returns.same(*at, was, field)) {
            continue;
        }
        if let Some((_, was)) = meanings.last() {
            report.add(
                Note::error("PROTOBUF_FIELD_NUMBER_REUSED", Direction::Both)
                    .at(&was.full_name, &field.full_name)
                    .place(&field.place)
                    .values(&was.name, &field.name)
                    .says(format!(
                        "Field {} (\"{}\") of {} uses a number that was field \"{}\" in an earlier version of this \
                         major line: data of that version would be read as the new field.",
                        field.number, field.name, new.name, was.name
                    ))
                    .advises(NEVER_USED),
            );
        }
    }
    if returns.surface == Surface::Wire {
        return;
    }
    let mut owners: HashMap<&str, BTreeSet<u32>> = HashMap::new();
    for field in versions.iter().flatten().flat_map(|message| message.fields.values()) {
        owners.entry(&field.name).or_default().insert(field.number);
        owners.entry(&field.json_name).or_default().insert(field.number);
    }
    for field in new.fields.values() {
        for name in BTreeSet::from([&field.name, &field.json_name]) {
            let Some(numbers) = owners.get(name.as_str()).filter(|it| !it.contains(&field.number))
            else {
                continue;
            };
            let numbers: Vec<_> = numbers.iter().map(u32::to_string).collect();
            let numbers = numbers.join(", ");
            report.add(
                Note::error("PROTOBUF_FIELD_NAME_REUSED", Direction::Both)
                    .at(&new.name, &field.full_name)
                    .place(&field.place)
                    .values(&numbers, field.number.to_string())
                    .says(format!(
                        "Field {} of {} uses the name \"{name}\", which was that of field {numbers} in an earlier \
                         version of this major line: JSON of that version would be read as the new field.",
                        field.number, new.name
                    ))
                    .advises(NEVER_USED),
            );
        }
    }
}

/// Fields that come back, at most, whose types are compared. Each may lead to as many types as there are.
const RETURNS_MAX: usize = 64;

/// Tells whether a field that comes back is the one that it was.
struct Returns<'a> {
    history: &'a [Version<'a>],
    new: &'a Types,
    surface: Surface,
    left: usize,
}

impl Returns<'_> {
    fn same(&mut self, version: usize, was: &Field, is: &Field) -> bool {
        let many = |it: &Field| {
            (it.cardinality == Cardinality::Repeated, it.cardinality == Cardinality::Map)
        };
        if was.name != is.name || many(was) != many(is) {
            return false;
        }
        let Some((old, _)) = self.history.get(version) else { return false };
        if let (Kind::Scalar(was), Kind::Scalar(is)) = (was.kind, is.kind) {
            return was == is;
        }
        // While it was away its type may have changed without anybody who noticed.
        self.left = self.left.saturating_sub(1);
        self.left > 0 && Walk::new(old, self.new, self.surface).agrees(was, is)
    }
}

fn judge_enum(new: &Enum, versions: &[Vec<&Enum>], report: &mut Report) {
    let mut names: HashMap<i32, BTreeSet<&str>> = HashMap::new();
    let mut numbers: HashMap<&str, BTreeSet<i32>> = HashMap::new();
    for (number, values) in versions.iter().flatten().flat_map(|it| &it.values) {
        for value in values {
            names.entry(*number).or_default().insert(&value.name);
            numbers.entry(&value.name).or_default().insert(*number);
        }
    }
    for (number, values) in &new.values {
        let newest = versions.last();
        let stayed = newest.is_some_and(|it| it.iter().any(|it| it.values.contains_key(number)));
        let meant = names.get(number);
        let Some(first) = values.first() else { continue };
        if let Some(meant) = meant
            .filter(|it| !stayed && !values.iter().any(|value| it.contains(value.name.as_str())))
        {
            let was = meant.iter().copied().collect::<Vec<_>>().join(", ");
            report.add(
                Note::error("PROTOBUF_ENUM_NUMBER_REUSED", Direction::Both)
                    .at(&new.name, format!("{}.{}", new.name, first.name))
                    .place(&first.place)
                    .values(&was, &first.name)
                    .says(format!(
                        "The value {} of {} uses the number {number}, which was {was} in an earlier version of this \
                         major line: data of that version would be read as the new value.",
                        first.name, new.name
                    ))
                    .advises(NEVER_USED),
            );
        }
        for value in values {
            let Some(before) = numbers.get(value.name.as_str()).filter(|it| !it.contains(number))
            else {
                continue;
            };
            let before: Vec<_> = before.iter().map(i32::to_string).collect();
            report.add(
                Note::error("PROTOBUF_ENUM_NAME_REUSED", Direction::Both)
                    .at(&new.name, format!("{}.{}", new.name, value.name))
                    .place(&value.place)
                    .values(before.join(", "), number.to_string())
                    .says(format!(
                        "The value {} of {} has the number {number} and had {} in an earlier version of this major \
                         line: the name means two things.",
                        value.name,
                        new.name,
                        before.join(", ")
                    ))
                    .advises(NEVER_USED),
            );
        }
    }
}
