//! What in the writer's schema corresponds to a part of the reader's: the same, or the nearest.

use super::{
    branch::{Branch, Lit, Side},
    goal::{Finder, Kind},
    model::{Arrays, Logic, Model, NodeId, Objects},
};

/// Alternatives among which the nearest is looked for.
const ALTERNATIVES_MAX: usize = 100;
/// References and combinations that are followed side by side.
const DEPTH_MAX: usize = 50;

impl Finder<'_> {
    /// The alternative that shares the most properties and contradicts no constant.
    pub(super) fn nearest(&mut self, branch: &Branch, ids: &[NodeId]) -> Option<NodeId> {
        if let [only] = ids {
            return Some(*only);
        }
        let sides = self.solver.sides;
        let mut best: Option<(usize, NodeId)> = None;
        for id in ids.iter().take(ALTERNATIVES_MAX) {
            let mut chosen = Branch::of(sides, &[Lit::reader(*id)]);
            if chosen.types.and(branch.types).is_none() {
                continue;
            }
            std::rc::Rc::make_mut(&mut chosen.required).extend(branch.required.iter().cloned());
            let names = self.solver.known_names(&chosen);
            let (mut shared, mut clash) = (1, false);
            for name in &names {
                let mut lits = self.solver.property_lits(branch, name);
                let theirs = self.solver.property_lits(&chosen, name);
                if lits.is_empty() || theirs.is_empty() {
                    continue;
                }
                shared += 1;
                let constant = theirs.iter().any(|lit| {
                    let node = sides.node(*lit);
                    node.constant.is_some() || node.values.is_some()
                });
                lits.extend(theirs);
                clash |= constant && self.solver.clash(&lits);
            }
            if !clash && best.is_none_or(|(most, _)| shared > most) {
                best = Some((shared, *id));
            }
        }
        best.map(|(_, id)| id)
    }

    /// Whether the writer has the same alternatives here.
    pub(super) fn same_union(&mut self, branch: &Branch, ids: &[NodeId], exclusive: bool) -> bool {
        for lit in &branch.seen {
            let Some(logic) = &self.solver.sides.node(*lit).logic else { continue };
            let written = if exclusive { &logic.one_of } else { &logic.any_of };
            if lit.side != Side::Writer || written.len() != ids.len() {
                continue;
            }
            // Each has its own counterpart, in whatever order.
            let mut rest: Vec<_> = ids.to_vec();
            let all = written.iter().all(|id| {
                let mut others = rest.iter();
                let found =
                    others.position(|other| self.solver.work > 0 && self.solver.same(*id, *other));
                found.map(|at| rest.remove(at)).is_some()
            });
            if all {
                return true;
            }
        }
        false
    }

    /// Whether a node of the writer's leaves the same unevaluated, and says the same of it.
    pub(super) fn evaluates_alike(&mut self, branch: &Branch, reader: NodeId) -> bool {
        let written = branch.seen.iter().filter(|lit| lit.side == Side::Writer);
        written.map(|lit| lit.node).any(|id| self.alike(id, reader, 0))
    }

    fn alike(&mut self, writer: NodeId, reader: NodeId, depth: usize) -> bool {
        let sides = self.solver.sides;
        let (one, other) = (sides.writer.node(writer), sides.reader.node(reader));
        if depth > DEPTH_MAX || !self.solver.spend(1) || !one.opaque.is_empty() {
            return false;
        }
        let mut pairs: Vec<(Option<NodeId>, Option<NodeId>)> = Vec::new();
        let (left, right) = (one.objects.as_deref(), other.objects.as_deref());
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
            objects.map(|it| it.dependent_schemas.clone()).unwrap_or_default()
        };
        let (left_dependent, right_dependent) = (dependent(left), dependent(right));
        let unevaluated = |objects: Option<&Objects>| objects.and_then(|it| it.unevaluated);
        pairs.push((unevaluated(left), unevaluated(right)));
        let items = |arrays: Option<&Arrays>| {
            arrays.map(|it| (it.prefix.len(), it.rest.is_some())).unwrap_or_default()
        };
        let (left, right) = (one.arrays.as_deref(), other.arrays.as_deref());
        let (left_items, right_items) = (items(left), items(right));
        pairs.push((left.and_then(|it| it.unevaluated), right.and_then(|it| it.unevaluated)));
        let contains = |arrays: Option<&Arrays>| Some(arrays?.contains?.node);
        pairs.push((contains(left), contains(right)));
        let empty = Default::default();
        let left = one.logic.as_deref().unwrap_or(&empty);
        let right = other.logic.as_deref().unwrap_or(&empty);
        for (left, right) in [(&left.any_of, &right.any_of), (&left.one_of, &right.one_of)] {
            if left.len() != right.len() {
                return false;
            }
            pairs.extend(left.iter().map(|id| Some(*id)).zip(right.iter().map(|id| Some(*id))));
        }
        // What is true evaluates nothing and asserts nothing, and might not be there.
        let parts = |model: &Model, logic: &Logic| {
            let condition = logic.condition;
            let said = |id: &NodeId| !model.node(*id).is_true();
            [
                logic.not,
                condition.map(|it| it.when),
                condition.and_then(|it| it.then).filter(said),
                condition.and_then(|it| it.otherwise).filter(said),
            ]
        };
        pairs.extend(parts(sides.writer, left).into_iter().zip(parts(sides.reader, right)));
        left_keys == right_keys
            && left_items == right_items
            && left_dependent.len() == right_dependent.len()
            && left_dependent.iter().zip(&right_dependent).all(|(left, right)| {
                left.0 == right.0 && self.solver.same(left.1, right.1)
            })
            // What depends on the instance must be the same; what always holds, only as far as it evaluates.
            && pairs.into_iter().all(|pair| match pair {
                (None, None) => true,
                (Some(left), Some(right)) => self.solver.same(left, right),
                _ => false,
            })
            && one.refs.len() == other.refs.len()
            && left.all_of.len() == right.all_of.len()
            && one
                .refs
                .iter()
                .chain(&left.all_of)
                .zip(other.refs.iter().chain(&right.all_of))
                .all(|(left, right)| self.alike(*left, *right, depth + 1))
    }

    /// The writer's node at a place: the one that has the keyword, if one has.
    pub(super) fn counterpart(&self, branch: &Branch, kind: Kind, name: &str) -> Option<NodeId> {
        let model = self.solver.sides.writer;
        let mut written = branch.seen.iter().filter(|lit| lit.side == Side::Writer);
        let has = |lit: &&Lit| super::report::value_of(model, lit.node, kind, name).is_some();
        let first = branch.seen.iter().find(|lit| lit.side == Side::Writer);
        written.find(has).or(first).map(|lit| lit.node)
    }
}
