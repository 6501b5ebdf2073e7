//! Locates the writer's node for a node of the reader: an equivalent one, or the closest one.

use std::rc::Rc;

use super::{
    constraints::Constraints,
    findings::keyword_value,
    literal::{Literal, Role},
    model::{Arrays, Logic, Model, NodeId, Objects},
    subsumption::{FailureKind, SubsumptionCheck},
};

/// Alternatives that are searched for the closest one.
const ALTERNATIVES_MAX: usize = 100;
/// References and combinations that are followed in both schemas at once.
const DEPTH_MAX: usize = 50;

impl SubsumptionCheck<'_> {
    /// The alternative that shares the most properties with the writer and contradicts no constant.
    pub(super) fn closest_alternative(
        &mut self,
        constraints: &Constraints,
        ids: &[NodeId],
    ) -> Option<NodeId> {
        if let [only] = ids {
            return Some(*only);
        }
        let schemas = self.solver.schemas;
        let mut best: Option<(usize, NodeId)> = None;
        for id in ids.iter().take(ALTERNATIVES_MAX) {
            let mut chosen = Constraints::of(schemas, &[Literal::reader(*id)]);
            if chosen.types.and(constraints.types).is_none() {
                continue;
            }
            Rc::make_mut(&mut chosen.required).extend(constraints.required.iter().cloned());
            let names = self.solver.known_names(&chosen);
            let (mut shared, mut clash) = (1, false);
            for name in &names {
                let mut literals = self.solver.property_literals(constraints, name);
                let theirs = self.solver.property_literals(&chosen, name);
                if literals.is_empty() || theirs.is_empty() {
                    continue;
                }
                shared += 1;
                let constant = theirs.iter().any(|literal| {
                    let node = schemas.node(*literal);
                    node.constant.is_some() || node.values.is_some()
                });
                literals.extend(theirs);
                clash |= constant && self.solver.clash(&literals);
            }
            if !clash && best.is_none_or(|(max, _)| shared > max) {
                best = Some((shared, *id));
            }
        }
        best.map(|(_, id)| id)
    }

    /// Whether the writer asserts the same alternatives.
    pub(super) fn has_same_union(
        &mut self,
        constraints: &Constraints,
        ids: &[NodeId],
        exclusive: bool,
    ) -> bool {
        for literal in &constraints.asserted {
            let Some(logic) = &self.solver.schemas.node(*literal).logic else { continue };
            let written = if exclusive { &logic.one_of } else { &logic.any_of };
            if literal.role != Role::Writer || written.len() != ids.len() {
                continue;
            }
            // Each alternative has its own equivalent, in any order.
            let mut unmatched: Vec<_> = ids.to_vec();
            let all = written.iter().all(|id| {
                let mut candidates = unmatched.iter();
                let position = candidates.position(|candidate| {
                    self.solver.work > 0 && self.solver.is_equivalent(*id, *candidate)
                });
                position.map(|at| unmatched.remove(at)).is_some()
            });
            if all {
                return true;
            }
        }
        false
    }

    /// Whether a node of the writer leaves the same properties and items unevaluated, with an
    /// equivalent schema for them.
    pub(super) fn has_same_evaluation(
        &mut self,
        constraints: &Constraints,
        reader: NodeId,
    ) -> bool {
        let written = constraints.asserted.iter().filter(|literal| literal.role == Role::Writer);
        written.map(|literal| literal.node).any(|id| self.evaluates_same(id, reader, 0))
    }

    fn evaluates_same(&mut self, writer: NodeId, reader: NodeId, depth: usize) -> bool {
        let schemas = self.solver.schemas;
        let (written, read) = (schemas.writer.node(writer), schemas.reader.node(reader));
        if depth > DEPTH_MAX || !self.solver.spend(1) || !written.opaque.is_empty() {
            return false;
        }
        let mut pairs: Vec<(Option<NodeId>, Option<NodeId>)> = Vec::new();
        let (left, right) = (written.objects.as_deref(), read.objects.as_deref());
        let keys = |objects: Option<&Objects>| {
            let objects = objects?;
            let names: Vec<_> = objects.properties.keys().cloned().collect();
            let patterns: Vec<_> =
                objects.patterns.iter().map(|(pattern, _)| pattern.text.clone()).collect();
            Some((names, patterns, objects.additional.is_some()))
        };
        let (left_keys, right_keys) =
            (keys(left).unwrap_or_default(), keys(right).unwrap_or_default());
        let dependent = |objects: Option<&Objects>| {
            objects.map(|objects| objects.dependent_schemas.clone()).unwrap_or_default()
        };
        let (left_dependent, right_dependent) = (dependent(left), dependent(right));
        let unevaluated =
            |objects: Option<&Objects>| objects.and_then(|objects| objects.unevaluated);
        pairs.push((unevaluated(left), unevaluated(right)));
        let items = |arrays: Option<&Arrays>| {
            arrays.map(|arrays| (arrays.prefix.len(), arrays.rest.is_some())).unwrap_or_default()
        };
        let (left, right) = (written.arrays.as_deref(), read.arrays.as_deref());
        let (left_items, right_items) = (items(left), items(right));
        pairs.push((
            left.and_then(|arrays| arrays.unevaluated),
            right.and_then(|arrays| arrays.unevaluated),
        ));
        let contains = |arrays: Option<&Arrays>| Some(arrays?.contains?.node);
        pairs.push((contains(left), contains(right)));
        let empty = Default::default();
        let left = written.logic.as_deref().unwrap_or(&empty);
        let right = read.logic.as_deref().unwrap_or(&empty);
        for (left, right) in [(&left.any_of, &right.any_of), (&left.one_of, &right.one_of)] {
            if left.len() != right.len() {
                return false;
            }
            pairs.extend(left.iter().map(|id| Some(*id)).zip(right.iter().map(|id| Some(*id))));
        }
        // A schema that accepts everything evaluates and asserts nothing, so it may be missing.
        let conditionals = |model: &Model, logic: &Logic| {
            let condition = logic.condition;
            let asserts = |id: &NodeId| !model.node(*id).is_true();
            [
                logic.not,
                condition.map(|condition| condition.when),
                condition.and_then(|condition| condition.then).filter(asserts),
                condition.and_then(|condition| condition.otherwise).filter(asserts),
            ]
        };
        pairs.extend(
            conditionals(schemas.writer, left).into_iter().zip(conditionals(schemas.reader, right)),
        );
        left_keys == right_keys
            && left_items == right_items
            && left_dependent.len() == right_dependent.len()
            && left_dependent.iter().zip(&right_dependent).all(|(left, right)| {
                left.0 == right.0 && self.solver.is_equivalent(left.1, right.1)
            })
            // Subschemas that depend on the instance must be equivalent. For those that always
            // hold, only what they evaluate counts.
            && pairs.into_iter().all(|pair| match pair {
                (None, None) => true,
                (Some(left), Some(right)) => self.solver.is_equivalent(left, right),
                _ => false,
            })
            && written.refs.len() == read.refs.len()
            && left.all_of.len() == right.all_of.len()
            && written
                .refs
                .iter()
                .chain(&left.all_of)
                .zip(read.refs.iter().chain(&right.all_of))
                .all(|(left, right)| self.evaluates_same(*left, *right, depth + 1))
    }

    /// The writer's node that corresponds to a node of the reader: the one with the same keyword,
    /// or else the first.
    pub(super) fn locate(
        &self,
        constraints: &Constraints,
        kind: FailureKind,
        name: &str,
    ) -> Option<NodeId> {
        let model = self.solver.schemas.writer;
        let mut written =
            constraints.asserted.iter().filter(|literal| literal.role == Role::Writer);
        let has = |literal: &&Literal| keyword_value(model, literal.node, kind, name).is_some();
        let first = constraints.asserted.iter().find(|literal| literal.role == Role::Writer);
        written.find(has).or(first).map(|literal| literal.node)
    }
}
