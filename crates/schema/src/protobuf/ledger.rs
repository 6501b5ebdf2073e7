//! Finds numbers and names of earlier versions that are reused with another meaning.
//!
//! Data of every version of a major line may be read again. A field that was removed two versions
//! ago is missing from the previous version, so a comparison with that version does not detect the
//! reuse of its number.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::finding::{Direction, Finding, Surface};

use super::{
    canonical::ReachableTypes,
    compare::{Comparer, Roots},
    findings::{FindingBuilder, Findings},
    types::{Cardinality, Enum, Field, Kind, Message, Types},
};

const NEVER_USED: &str = "Use a number and a name that no version of this major line has used.";

/// The types and the roots of one version.
pub(super) type Version<'a> = (&'a Types, &'a Roots);

/// For each type of the new schema, the corresponding types of the earlier versions.
struct Lineage<'a, T> {
    /// By type index in the new schema: the corresponding types of each version, oldest first.
    versions: HashMap<usize, Vec<Vec<&'a T>>>,
}

/// Finds reused numbers and names.
pub(super) fn ledger(history: &[Version<'_>], new: Version<'_>, surface: Surface) -> Vec<Finding> {
    let mut findings = Findings::default();
    let (messages, enums) = lineages(history, new);
    let mut reuse_check =
        ReuseCheck { history, new: new.0, surface, comparisons_left: TYPE_COMPARISONS_MAX };
    for (index, versions) in sorted(messages.versions) {
        if let Some(message) = new.0.message(index).filter(|message| !message.map_entry) {
            check_message(message, &versions, &mut reuse_check, &mut findings);
        }
    }
    for (index, versions) in sorted(enums.versions) {
        if let Some(kind) = new.0.enumeration(index) {
            check_enum(kind, &versions, &mut findings);
        }
    }
    findings.finish().into_iter().map(|(finding, _)| finding).collect()
}

fn sorted<T>(map: HashMap<usize, T>) -> Vec<(usize, T)> {
    let mut items: Vec<_> = map.into_iter().collect();
    items.sort_by_key(|(index, _)| *index);
    items
}

/// Pairs types from the roots down, as comparisons do, and by name, because a type may have been
/// reachable through another field. Types that no event reaches have no data that could be misread.
fn lineages<'a>(
    history: &[Version<'a>],
    (types, roots): Version<'_>,
) -> (Lineage<'a, Message>, Lineage<'a, Enum>) {
    let mut messages = Lineage { versions: HashMap::new() };
    let mut enums = Lineage { versions: HashMap::new() };
    let after = ReachableTypes::from(types, roots);
    for (at, (old, old_roots)) in history.iter().enumerate() {
        let before = ReachableTypes::from(old, old_roots);
        let mut comparer = Comparer::new(old, types, Surface::Wire);
        comparer.enqueue_roots(old_roots, roots);
        let mut pairs = comparer.reachable_pairs();
        for (index, message) in types.messages.iter().enumerate() {
            let from = old.message_index(&message.name);
            let reachable = from
                .filter(|from| before.messages.contains(from) && after.messages.contains(&index));
            pairs.extend(reachable.map(|from| (from, index)));
        }
        let mut kinds: HashSet<(usize, usize)> = HashSet::new();
        for (index, kind) in types.enums.iter().enumerate() {
            let from = old.enum_index(&kind.name);
            let reachable =
                from.filter(|from| before.enums.contains(from) && after.enums.contains(&index));
            kinds.extend(reachable.map(|from| (from, index)));
        }
        // Sorted, so that the order of the findings does not depend on hashes.
        for (from, to) in pairs.into_iter().collect::<BTreeSet<_>>() {
            let (Some(before), Some(after)) = (old.message(from), types.message(to)) else {
                continue;
            };
            kinds.extend(after.fields.values().filter_map(|field| {
                match (before.fields.get(&field.number)?.kind, field.kind) {
                    (Kind::Enum(from), Kind::Enum(to)) => Some((from, to)),
                    _ => None,
                }
            }));
            messages.add(at, to, before, history.len());
        }
        for (from, to) in kinds.into_iter().collect::<BTreeSet<_>>() {
            if let Some(before) = old.enumeration(from) {
                enums.add(at, to, before, history.len());
            }
        }
    }
    (messages, enums)
}

impl<'a, T> Lineage<'a, T> {
    fn add(&mut self, version: usize, to: usize, before: &'a T, count: usize) {
        let versions = self
            .versions
            .entry(to)
            .or_insert_with(|| std::iter::repeat_with(Vec::new).take(count).collect());
        if let Some(version) = versions.get_mut(version) {
            version.push(before);
        }
    }
}

fn check_message(
    new: &Message,
    versions: &[Vec<&Message>],
    reuse_check: &mut ReuseCheck<'_>,
    findings: &mut Findings,
) {
    for field in new.fields.values() {
        let at = |version: &Vec<&'_ Message>| -> bool {
            version.iter().any(|message| message.fields.contains_key(&field.number))
        };
        // The comparison with the newest version covers its fields.
        if versions.last().is_some_and(at) {
            continue;
        }
        let meanings: Vec<(usize, &Field)> = versions
            .iter()
            .enumerate()
            .flat_map(|(at, version)| version.iter().map(move |message| (at, message)))
            .filter_map(|(at, message)| Some((at, message.fields.get(&field.number)?)))
            .collect();
        if meanings.iter().any(|(at, before)| reuse_check.is_same_field(*at, before, field)) {
            continue;
        }
        if let Some((_, before)) = meanings.last() {
            findings.add(
                FindingBuilder::error("PROTOBUF_FIELD_NUMBER_REUSED", Direction::Both)
                    .paths(&before.full_name, &field.full_name)
                    .location(&field.location)
                    .values(&before.name, &field.name)
                    .message(format!(
                        "Field {} (\"{}\") of {} reuses the number of field \"{}\" in an earlier version of this major \
                         line: data of that version would be read as the new field.",
                        field.number, field.name, new.name, before.name
                    ))
                    .suggestion(NEVER_USED),
            );
        }
    }
    if reuse_check.surface == Surface::Wire {
        return;
    }
    let mut owners: HashMap<&str, BTreeSet<u32>> = HashMap::new();
    for field in versions.iter().flatten().flat_map(|message| message.fields.values()) {
        owners.entry(&field.name).or_default().insert(field.number);
        owners.entry(&field.json_name).or_default().insert(field.number);
    }
    for field in new.fields.values() {
        for name in BTreeSet::from([&field.name, &field.json_name]) {
            let Some(numbers) =
                owners.get(name.as_str()).filter(|numbers| !numbers.contains(&field.number))
            else {
                continue;
            };
            let numbers: Vec<_> = numbers.iter().map(u32::to_string).collect();
            let numbers = numbers.join(", ");
            findings.add(
                FindingBuilder::error("PROTOBUF_FIELD_NAME_REUSED", Direction::Both)
                    .paths(&new.name, &field.full_name)
                    .location(&field.location)
                    .values(&numbers, field.number.to_string())
                    .message(format!(
                        "Field {} of {} reuses the name \"{name}\" of field {numbers} in an earlier version of this major \
                         line: JSON of that version would be read as the new field.",
                        field.number, new.name
                    ))
                    .suggestion(NEVER_USED),
            );
        }
    }
}

/// Limit of reused fields whose types are compared. Each comparison may visit all types.
const TYPE_COMPARISONS_MAX: usize = 64;

/// Decides whether a field with the number of an earlier one is the same field.
struct ReuseCheck<'a> {
    history: &'a [Version<'a>],
    new: &'a Types,
    surface: Surface,
    comparisons_left: usize,
}

impl ReuseCheck<'_> {
    fn is_same_field(&mut self, version: usize, before: &Field, after: &Field) -> bool {
        let shape = |field: &Field| {
            (field.cardinality == Cardinality::Repeated, field.cardinality == Cardinality::Map)
        };
        if before.name != after.name || shape(before) != shape(after) {
            return false;
        }
        let Some((old, _)) = self.history.get(version) else { return false };
        if let (Kind::Scalar(before), Kind::Scalar(after)) = (before.kind, after.kind) {
            return before == after;
        }
        // While the field was absent, its type may have changed without a finding.
        self.comparisons_left = self.comparisons_left.saturating_sub(1);
        self.comparisons_left > 0
            && Comparer::new(old, self.new, self.surface).fields_agree(before, after)
    }
}

fn check_enum(new: &Enum, versions: &[Vec<&Enum>], findings: &mut Findings) {
    let mut names: HashMap<i32, BTreeSet<&str>> = HashMap::new();
    let mut numbers: HashMap<&str, BTreeSet<i32>> = HashMap::new();
    for (number, values) in versions.iter().flatten().flat_map(|kind| &kind.values) {
        for value in values {
            names.entry(*number).or_default().insert(&value.name);
            numbers.entry(&value.name).or_default().insert(*number);
        }
    }
    for (number, values) in &new.values {
        let newest = versions.last();
        let is_unchanged = newest
            .is_some_and(|version| version.iter().any(|kind| kind.values.contains_key(number)));
        let old_names = names.get(number);
        let Some(first) = values.first() else { continue };
        if let Some(old_names) = old_names.filter(|old_names| {
            !is_unchanged && !values.iter().any(|value| old_names.contains(value.name.as_str()))
        }) {
            let before = old_names.iter().copied().collect::<Vec<_>>().join(", ");
            findings.add(
                FindingBuilder::error("PROTOBUF_ENUM_NUMBER_REUSED", Direction::Both)
                    .paths(&new.name, format!("{}.{}", new.name, first.name))
                    .location(&first.location)
                    .values(&before, &first.name)
                    .message(format!(
                        "The value {} of {} reuses the number {number} of {before} in an earlier version of this major \
                         line: data of that version would be read as the new value.",
                        first.name, new.name
                    ))
                    .suggestion(NEVER_USED),
            );
        }
        for value in values {
            let Some(before) =
                numbers.get(value.name.as_str()).filter(|numbers| !numbers.contains(number))
            else {
                continue;
            };
            let before: Vec<_> = before.iter().map(i32::to_string).collect();
            findings.add(
                FindingBuilder::error("PROTOBUF_ENUM_NAME_REUSED", Direction::Both)
                    .paths(&new.name, format!("{}.{}", new.name, value.name))
                    .location(&value.location)
                    .values(before.join(", "), number.to_string())
                    .message(format!(
                        "The value {} of {} has the number {number} and had the number {} in an earlier version of this \
                         major line: the name has two meanings.",
                        value.name,
                        new.name,
                        before.join(", ")
                    ))
                    .suggestion(NEVER_USED),
            );
        }
    }
}
