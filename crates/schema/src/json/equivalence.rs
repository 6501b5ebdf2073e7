//! Equivalence of two nodes, independent of their spelling and of the references that lead to them.

use std::{collections::HashMap, sync::Arc};

use super::model::{Arrays, Logic, Model, Node, NodeId, Types};

/// Nodes nested in nodes that one comparison follows.
const DEPTH_MAX: usize = 10_000;

/// Compares nodes and caches the results.
#[derive(Debug, Default)]
pub(crate) struct Equivalence {
    known: HashMap<(NodeId, NodeId), bool>,
}

impl Equivalence {
    /// Whether two nodes accept the same instances because they have the same structure. A pair
    /// that is reached again while it is compared counts as equivalent: a difference is found
    /// elsewhere and then invalidates the result.
    pub(crate) fn holds(&mut self, left: (&Model, NodeId), right: (&Model, NodeId)) -> bool {
        if std::ptr::eq(left.0, right.0) && left.1 == right.1 {
            return true;
        }
        let mut assumed = Vec::new();
        let same = self.compare_nodes(left, right, 0, &mut assumed);
        if !same {
            // Pairs that were assumed equivalent may depend on this pair.
            for pair in assumed {
                self.known.remove(&pair);
            }
            self.known.insert((left.1, right.1), false);
        }
        same
    }

    fn compare_nodes(
        &mut self,
        left: (&Model, NodeId),
        right: (&Model, NodeId),
        depth: usize,
        assumed: &mut Vec<(NodeId, NodeId)>,
    ) -> bool {
        let left = (left.0, target(left.0, left.1));
        let right = (right.0, target(right.0, right.1));
        let pair = (left.1, right.1);
        if let Some(known) = self.known.get(&pair) {
            return *known;
        }
        let (left_node, right_node) = (left.0.node(left.1), right.0.node(right.1));
        if depth > DEPTH_MAX || !alike(left_node, right_node) {
            self.known.insert(pair, false);
            return false;
        }
        self.known.insert(pair, true);
        assumed.push(pair);
        let (left_children, right_children) = (subschemas(left_node), subschemas(right_node));
        left_children.len() == right_children.len()
            && left_children.into_iter().zip(right_children).all(|(left_child, right_child)| {
                self.compare_nodes((left.0, left_child), (right.0, right_child), depth + 1, assumed)
            })
    }
}

/// The node that a node without keywords of its own refers to.
fn target(model: &Model, mut id: NodeId) -> NodeId {
    for _ in 0..DEPTH_MAX {
        let node = model.node(id);
        let [only] = node.refs.as_slice() else { break };
        let bare = node.always.is_none()
            && node.types.is_none()
            && node.values.is_none()
            && node.constant.is_none()
            && node.numbers.is_none()
            && node.strings.is_none()
            && node.arrays.is_none()
            && node.objects.is_none()
            && node.logic.is_none()
            && node.opaque.is_empty();
        if !bare {
            break;
        }
        id = *only;
    }
    id
}

fn subschemas(node: &Node) -> Vec<NodeId> {
    let mut nodes = node.in_place();
    nodes.extend(node.children());
    nodes
}

/// Whether two nodes are equal apart from their subschemas, which then match in order.
fn alike(left: &Node, right: &Node) -> bool {
    let types = |node: &Node| node.types.unwrap_or(Types::ALL);
    // `const` is an `enum` with one value.
    let values = |node: &Node| {
        let mut both: Vec<_> = node.values.iter().chain(&node.constant).cloned().collect();
        both.sort_by_key(|values| values.list.len());
        both
    };
    let (lefts, rights) = (values(left), values(right));
    let values = lefts.len() == rights.len()
        && lefts.iter().zip(&rights).all(|(left, right)| left.equals(right));
    values
        && types(left) == types(right)
        // Unknown keywords cannot be compared.
        && left.opaque.is_empty()
        && right.opaque.is_empty()
        && (left.always == Some(false)) == (right.always == Some(false))
        && left.refs.len() == right.refs.len()
        && match (&left.numbers, &right.numbers) {
            (None, None) => true,
            (Some(left), Some(right)) => {
                left.minimum == right.minimum
                    && left.maximum == right.maximum
                    && left.multiple_of == right.multiple_of
            }
            _ => false,
        }
        && match (&left.strings, &right.strings) {
            (None, None) => true,
            (Some(left), Some(right)) => {
                left.min == right.min
                    && left.max == right.max
                    && left.pattern.as_ref().map(|pattern| &pattern.text)
                        == right.pattern.as_ref().map(|pattern| &pattern.text)
            }
            _ => false,
        }
        && match (&left.arrays, &right.arrays) {
            (None, None) => true,
            (Some(left), Some(right)) => {
                let contains =
                    |arrays: &Arrays| arrays.contains.map(|contains| (contains.min, contains.max));
                left.prefix.len() == right.prefix.len()
                    && left.rest.is_some() == right.rest.is_some()
                    && contains(left) == contains(right)
                    && left.unique == right.unique
                    && left.min == right.min
                    && left.max == right.max
                    && left.unevaluated.is_some() == right.unevaluated.is_some()
            }
            _ => false,
        }
        && objects_alike(left, right)
        && match (&left.logic, &right.logic) {
            (None, None) => true,
            (Some(left), Some(right)) => {
                let condition = |logic: &Logic| {
                    logic
                        .condition
                        .map(|condition| (condition.then.is_some(), condition.otherwise.is_some()))
                };
                left.all_of.len() == right.all_of.len()
                    && left.any_of.len() == right.any_of.len()
                    && left.one_of.len() == right.one_of.len()
                    && left.not.is_some() == right.not.is_some()
                    && condition(left) == condition(right)
            }
            _ => false,
        }
}

fn objects_alike(left: &Node, right: &Node) -> bool {
    let (left, right) = match (&left.objects, &right.objects) {
        (None, None) => return true,
        (Some(left), Some(right)) => (left, right),
        _ => return false,
    };
    let sorted = |names: &[Arc<str>]| {
        let mut names: Vec<_> = names.to_vec();
        names.sort();
        names.dedup();
        names
    };
    left.properties.len() == right.properties.len()
        && left.properties.keys().eq(right.properties.keys())
        && left.patterns.len() == right.patterns.len()
        && left
            .patterns
            .iter()
            .zip(&right.patterns)
            .all(|(left, right)| left.0.text == right.0.text)
        && left.additional.is_some() == right.additional.is_some()
        && sorted(&left.required) == sorted(&right.required)
        && left.dependent_required.len() == right.dependent_required.len()
        && left
            .dependent_required
            .iter()
            .zip(&right.dependent_required)
            .all(|(left, right)| left.0 == right.0 && sorted(&left.1) == sorted(&right.1))
        && left.dependent_schemas.len() == right.dependent_schemas.len()
        && left
            .dependent_schemas
            .iter()
            .zip(&right.dependent_schemas)
            .all(|(left, right)| left.0 == right.0)
        && left.names.is_some() == right.names.is_some()
        && left.min == right.min
        && left.max == right.max
        && left.unevaluated.is_some() == right.unevaluated.is_some()
}
