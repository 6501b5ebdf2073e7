//! What changed and breaks nothing: properties that came and went, and annotations that somebody relies on.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use super::{
    Schema,
    model::{Model, NodeId},
    report::{outline, short},
};
use crate::{
    definition::SourceLocation,
    finding::{Direction, Finding, Severity},
};

/// Findings of this sort that one answer lists.
const FINDINGS_MAX: usize = 100;
/// Nodes that the walk looks at.
const STEPS_MAX: usize = 20_000;

/// What a walk over two schemas side by side found.
#[derive(Debug, Default)]
pub(crate) struct Drift {
    /// That properties came or went.
    pub declares: bool,
    pub findings: Vec<Finding>,
}

impl Drift {
    /// Walks over both, place by place in the instance: what is said in one keyword or in another is all the same.
    pub(crate) fn between(old: &Schema, new: &Schema) -> Self {
        let mut drift = Self::default();
        let mut met = HashSet::new();
        let mut steps = 0;
        let mut open = vec![(vec![old.model.root], vec![new.model.root])];
        while let Some((left, right)) = open.pop() {
            let left = closure(&old.model, left);
            let right = closure(&new.model, right);
            steps += left.len() + right.len();
            if drift.findings.len() >= FINDINGS_MAX || steps > STEPS_MAX {
                break;
            }
            if !met.insert((left.clone(), right.clone())) {
                continue;
            }
            drift.annotations((old, &left), (new, &right));
            let (ones, others) = (parts(&old.model, &left), parts(&new.model, &right));
            for (part, ids) in &ones {
                match (others.get(part), part) {
                    (Some(counterparts), _) => open.push((ids.clone(), counterparts.clone())),
                    (None, Part::Property(name)) => drift.removed((old, ids), (new, &right), name),
                    (None, Part::Others | Part::Items) => {}
                }
            }
            for (part, ids) in &others {
                if let Part::Property(name) = part
                    && !ones.contains_key(part)
                {
                    drift.added((old, &left), (new, ids), name);
                }
            }
        }
        drift
    }

    fn removed(&mut self, (old, ids): Side<'_>, (new, at): Side<'_>, name: &str) {
        self.declares = true;
        let new_path = path(new, at);
        self.findings.push(Finding {
            old_path: path(old, ids),
            old_value: ids.first().map_or(String::new(), |id| short(&outline(&old.model, *id))),
            place: new.source.place_of(&new_path),
            new_path,
            ..info(
                "JSON_PROPERTY_REMOVED",
                format!("Property {:?} is no longer declared.", short(name)),
            )
        });
    }

    fn added(&mut self, (old, at): Side<'_>, (new, ids): Side<'_>, name: &str) {
        self.declares = true;
        let new_path = path(new, ids);
        self.findings.push(Finding {
            old_path: path(old, at),
            new_value: ids.first().map_or(String::new(), |id| short(&outline(&new.model, *id))),
            place: new.source.place_of(&new_path),
            new_path,
            ..info("JSON_PROPERTY_ADDED", format!("Property {:?} is newly declared.", short(name)))
        });
    }

    /// `format` and `default`, which validators do not enforce.
    fn annotations(&mut self, (old, left): Side<'_>, (new, right): Side<'_>) {
        let rules = [
            (
                "format",
                "JSON_FORMAT_CHANGED",
                "payloads are not refused for it here, but a validator that asserts formats would",
            ),
            (
                "default",
                "JSON_DEFAULT_CHANGED",
                "validators fill nothing in, but readers that do would fill in something else",
            ),
        ];
        for (keyword, rule, whom) in rules {
            let (before, old_path) = annotation(old, left, keyword);
            let (after, new_path) = annotation(new, right, keyword);
            if before == after {
                continue;
            }
            let said = |values: BTreeSet<String>| {
                let values: Vec<_> = values.into_iter().collect();
                short(
                    if values.is_empty() { "none".to_owned() } else { values.join(", ") }.as_str(),
                )
            };
            let (before, after) = (said(before), said(after));
            self.findings.push(Finding {
                old_path,
                place: new.source.place_of(&new_path),
                new_path,
                message: format!("{keyword} changed from {before} to {after}: {whom}."),
                old_value: before,
                new_value: after,
                ..info(rule, String::new())
            });
        }
    }
}

/// Nodes of a schema.
type Side<'a> = (&'a Schema, &'a [NodeId]);

/// A part of an instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Property(Arc<str>),
    Others,
    Items,
}

/// These and all that see the same instance.
fn closure(model: &Model, mut open: Vec<NodeId>) -> Vec<NodeId> {
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if found.insert(id) {
            open.extend(model.node(id).in_place());
        }
    }
    found.into_iter().collect()
}

fn parts(model: &Model, ids: &[NodeId]) -> BTreeMap<Part, Vec<NodeId>> {
    let mut parts: BTreeMap<Part, Vec<NodeId>> = BTreeMap::new();
    for id in ids {
        let node = model.node(*id);
        if let Some(arrays) = &node.arrays {
            let items = arrays.prefix.iter().copied().chain(arrays.rest);
            parts.entry(Part::Items).or_default().extend(items);
        }
        if let Some(objects) = &node.objects {
            for (name, id) in &objects.properties {
                parts.entry(Part::Property(Arc::clone(name))).or_default().push(*id);
            }
            let others = objects.patterns.iter().map(|(_, id)| *id).chain(objects.additional);
            parts.entry(Part::Others).or_default().extend(others);
        }
    }
    parts
}

fn path(schema: &Schema, ids: &[NodeId]) -> String {
    // The node that speaks of properties, where one does.
    let speaks = ids.iter().find(|id| schema.model.node(**id).objects.is_some());
    speaks.or(ids.first()).map_or(String::new(), |id| schema.model.path(*id))
}

/// The values of a keyword at a place, and where the first one is.
fn annotation(schema: &Schema, ids: &[NodeId], keyword: &str) -> (BTreeSet<String>, String) {
    let mut values = BTreeSet::new();
    let mut at = None;
    for id in ids {
        let (document, pointer) = schema.model.pointer(*id);
        let document = schema.source.documents.get(document as usize);
        let value = document.and_then(|it| it.value.pointer(&pointer)?.get(keyword));
        if let Some(value) = value {
            values.insert(value.to_string());
            at.get_or_insert_with(|| format!("{}/{keyword}", schema.model.path(*id)));
        }
    }
    (values, at.unwrap_or_else(|| path(schema, ids)))
}

fn info(rule: &'static str, message: String) -> Finding {
    Finding {
        rule,
        severity: Severity::Info,
        direction: Direction::Both,
        proven: false,
        old_path: String::new(),
        new_path: String::new(),
        old_value: String::new(),
        new_value: String::new(),
        message,
        suggestion: String::new(),
        counterexample: None,
        place: SourceLocation::default(),
    }
}
