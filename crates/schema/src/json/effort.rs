//! What it takes to say everything that is wrong with a payload.
//!
//! The validator remembers what it has found valid, so that a yes or a no takes little. A list of all faults goes along
//! every way through a recursive schema: 90 bytes of schema and 41 of payload take seconds, and 60 of payload years.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    evaluate::of_property,
    model::{Model, NodeId},
};

/// Visits of nodes that a list of faults may take.
const VISITS_MAX: u64 = 200_000;
/// Pairs of a node and a value that are looked at to count them.
const PAIRS_MAX: usize = 200_000;

/// How deep a value nests.
pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 1,
    }
}

/// Whether a list of all faults of a value can be had.
pub(crate) fn is_small(model: &Model, value: &Value) -> bool {
    visits(model, value) <= VISITS_MAX
}

/// How often the nodes of a model look at a value or a part of it.
pub(crate) fn visits(model: &Model, value: &Value) -> u64 {
    Count { model, known: HashMap::new() }.visits(model.root, value)
}

struct Count<'a> {
    model: &'a Model,
    known: HashMap<(NodeId, usize), u64>,
}

impl Count<'_> {
    fn visits(&mut self, id: NodeId, value: &Value) -> u64 {
        let key = (id, std::ptr::from_ref(value) as usize);
        if let Some(visits) = self.known.get(&key) {
            return *visits;
        }
        if self.known.len() >= PAIRS_MAX {
            return VISITS_MAX + 1;
        }
        // Met again on the way to itself, a node is not entered again.
        self.known.insert(key, 0);
        let node = self.model.node(id);
        let mut visits = 1_u64;
        for inner in node.in_place() {
            visits = visits.saturating_add(self.visits(inner, value));
        }
        match (value, &node.arrays, &node.objects) {
            (Value::Array(items), Some(arrays), _) => {
                for (index, item) in items.iter().enumerate() {
                    let own = arrays.prefix.get(index).copied().or(arrays.rest);
                    let contains = arrays.contains.map(|contains| contains.node);
                    for inner in own.or(arrays.unevaluated).into_iter().chain(contains) {
                        visits = visits.saturating_add(self.visits(inner, item));
                    }
                }
            }
            (Value::Object(members), _, Some(objects)) => {
                for (name, member) in members {
                    for inner in of_property(objects, name).into_iter().chain(objects.unevaluated) {
                        visits = visits.saturating_add(self.visits(inner, member));
                    }
                }
            }
            _ => {}
        }
        self.known.insert(key, visits);
        visits
    }
}
