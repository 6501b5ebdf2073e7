//! Changes that break nothing: added and removed properties, and annotations that consumers may
//! rely on.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use super::{
    Schema,
    findings::{outline, shorten},
    model::{Model, NodeId},
};
use crate::{
    definition::SourceLocation,
    finding::{Direction, Finding, Severity},
};

/// Compatible changes in one comparison.
const FINDINGS_MAX: usize = 100;
/// Nodes that are compared.
const NODES_MAX: usize = 20_000;

/// The compatible changes between two schemas.
#[derive(Debug, Default)]
pub(crate) struct CompatibleChanges {
    /// Properties were added or removed.
    pub declarations_changed: bool,
    pub findings: Vec<Finding>,
}

impl CompatibleChanges {
    /// Compares both schemas by position in the instance. The keyword that declares a property does
    /// not matter.
    pub(crate) fn between(old: &Schema, new: &Schema) -> Self {
        let mut changes = Self::default();
        let mut visited = HashSet::new();
        let mut nodes = 0;
        let mut open = vec![(vec![old.model.root], vec![new.model.root])];
        while let Some((left, right)) = open.pop() {
            let left = closure(&old.model, left);
            let right = closure(&new.model, right);
            nodes += left.len() + right.len();
            if changes.findings.len() >= FINDINGS_MAX || nodes > NODES_MAX {
                break;
            }
            if !visited.insert((left.clone(), right.clone())) {
                continue;
            }
            changes.annotations((old, &left), (new, &right));
            let (old_children, new_children) =
                (children(&old.model, &left), children(&new.model, &right));
            for (position, ids) in &old_children {
                match (new_children.get(position), position) {
                    (Some(counterparts), _) => open.push((ids.clone(), counterparts.clone())),
                    (None, ChildPosition::Property(name)) => {
                        changes.removed((old, ids), (new, &right), name)
                    }
                    (None, ChildPosition::OtherProperties | ChildPosition::Items) => {}
                }
            }
            for (position, ids) in &new_children {
                if let ChildPosition::Property(name) = position
                    && !old_children.contains_key(position)
                {
                    changes.added((old, &left), (new, ids), name);
                }
            }
        }
        changes
    }

    fn removed(&mut self, (old, ids): SchemaNodes<'_>, (new, at): SchemaNodes<'_>, name: &str) {
        self.declarations_changed = true;
        let new_path = path(new, at);
        self.findings.push(Finding {
            old_path: path(old, ids),
            old_value: ids.first().map_or(String::new(), |id| shorten(&outline(&old.model, *id))),
            location: new.source.location_of(&new_path),
            new_path,
            ..compatible_change(
                "JSON_PROPERTY_REMOVED",
                format!("Property {:?} is no longer declared.", shorten(name)),
            )
        });
    }

    fn added(&mut self, (old, at): SchemaNodes<'_>, (new, ids): SchemaNodes<'_>, name: &str) {
        self.declarations_changed = true;
        let new_path = path(new, ids);
        self.findings.push(Finding {
            old_path: path(old, at),
            new_value: ids.first().map_or(String::new(), |id| shorten(&outline(&new.model, *id))),
            location: new.source.location_of(&new_path),
            new_path,
            ..compatible_change(
                "JSON_PROPERTY_ADDED",
                format!("Property {:?} is newly declared.", shorten(name)),
            )
        });
    }

    /// Compares `format` and `default`, which validators do not enforce.
    fn annotations(&mut self, (old, left): SchemaNodes<'_>, (new, right): SchemaNodes<'_>) {
        let rules = [
            (
                "format",
                "JSON_FORMAT_CHANGED",
                "payloads are not rejected here, but a validator that asserts formats would reject \
                 them",
            ),
            (
                "default",
                "JSON_DEFAULT_CHANGED",
                "validators do not fill in defaults, but a reader that does fills in another value",
            ),
        ];
        for (keyword, rule, effect) in rules {
            let (before, old_path) = annotation(old, left, keyword);
            let (after, new_path) = annotation(new, right, keyword);
            if before == after {
                continue;
            }
            let joined = |values: BTreeSet<String>| {
                let values: Vec<_> = values.into_iter().collect();
                shorten(
                    if values.is_empty() { "none".to_owned() } else { values.join(", ") }.as_str(),
                )
            };
            let (before, after) = (joined(before), joined(after));
            self.findings.push(Finding {
                old_path,
                location: new.source.location_of(&new_path),
                new_path,
                message: format!("{keyword} changed from {before} to {after}: {effect}."),
                old_value: before,
                new_value: after,
                ..compatible_change(rule, String::new())
            });
        }
    }
}

/// Nodes of a schema.
type SchemaNodes<'a> = (&'a Schema, &'a [NodeId]);

/// Position of child values within an instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum ChildPosition {
    Property(Arc<str>),
    OtherProperties,
    Items,
}

/// The nodes and all nodes that apply to the same instance.
fn closure(model: &Model, mut open: Vec<NodeId>) -> Vec<NodeId> {
    let mut closure = BTreeSet::new();
    while let Some(id) = open.pop() {
        if closure.insert(id) {
            open.extend(model.node(id).in_place());
        }
    }
    closure.into_iter().collect()
}

fn children(model: &Model, ids: &[NodeId]) -> BTreeMap<ChildPosition, Vec<NodeId>> {
    let mut children: BTreeMap<ChildPosition, Vec<NodeId>> = BTreeMap::new();
    for id in ids {
        let node = model.node(*id);
        if let Some(arrays) = &node.arrays {
            let items = arrays.prefix.iter().copied().chain(arrays.rest);
            children.entry(ChildPosition::Items).or_default().extend(items);
        }
        if let Some(objects) = &node.objects {
            for (name, id) in &objects.properties {
                children.entry(ChildPosition::Property(Arc::clone(name))).or_default().push(*id);
            }
            let subschemas = objects.patterns.iter().map(|(_, id)| *id).chain(objects.additional);
            children.entry(ChildPosition::OtherProperties).or_default().extend(subschemas);
        }
    }
    children
}

fn path(schema: &Schema, ids: &[NodeId]) -> String {
    // Prefers a node with object keywords.
    let object = ids.iter().find(|id| schema.model.node(**id).objects.is_some());
    object.or(ids.first()).map_or(String::new(), |id| schema.model.path(*id))
}

/// The values of a keyword in some nodes, and the path of the first one.
fn annotation(schema: &Schema, ids: &[NodeId], keyword: &str) -> (BTreeSet<String>, String) {
    let mut values = BTreeSet::new();
    let mut at = None;
    for id in ids {
        let (document, pointer) = schema.model.pointer(*id);
        let document = schema.source.documents.get(document as usize);
        let value = document.and_then(|document| document.value.pointer(&pointer)?.get(keyword));
        if let Some(value) = value {
            values.insert(value.to_string());
            at.get_or_insert_with(|| format!("{}/{keyword}", schema.model.path(*id)));
        }
    }
    (values, at.unwrap_or_else(|| path(schema, ids)))
}

fn compatible_change(rule: &'static str, message: String) -> Finding {
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
        location: SourceLocation::default(),
    }
}
