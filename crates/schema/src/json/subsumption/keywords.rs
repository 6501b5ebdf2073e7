//! Keywords of a node.

use std::sync::Arc;

use super::{Assertion, DEPTH_MAX, FAILURES_MAX, FailureKind, PathSegment, SubsumptionCheck};
use crate::json::{
    conjunct::{Atom, Conjunct},
    constraints::Constraints,
    literal::{Literal, Role},
    model::{Bound, NodeId, Types},
};

impl SubsumptionCheck<'_> {
    /// Checks every keyword of a node.
    pub(super) fn check_keywords(
        &mut self,
        constraints: &Constraints,
        reader: NodeId,
        depth: usize,
    ) {
        if self.failures.len() >= FAILURES_MAX
            || self.is_subsumed(&constraints.asserted.clone(), reader)
        {
            return;
        }
        if depth > 4 * DEPTH_MAX || !self.solver.spend(2) {
            self.give_up(constraints, reader);
            return;
        }
        let node = self.solver.schemas.reader.node(reader);
        let literal = Literal::reader(reader);
        if node.always == Some(false) {
            self.check_assertion(&self.assertion(FailureKind::False, reader), constraints, &[]);
            return;
        }
        for id in &node.refs {
            self.check_node(constraints, *id, depth + 1);
        }
        if let Some(types) = node.types {
            let lost = constraints.types.without(types);
            self.check_typed(FailureKind::Type, constraints, reader, lost, None);
        }
        for values in node.values.iter().chain(&node.constant) {
            if !constraints.values.iter().any(|written| written.subset_of(values)) {
                let atom = Atom::NotValues(Arc::clone(values));
                self.check_assertion(
                    &self.assertion(FailureKind::Values, reader),
                    constraints,
                    &[Conjunct::Atom(atom)],
                );
            }
        }
        if let Some(numbers) = &node.numbers {
            let beyond = |bound: Bound| Bound { at: bound.at, exclusive: !bound.exclusive };
            if let Some(bound) = numbers.minimum {
                let atom = Atom::Upper(beyond(bound));
                self.check_typed(
                    FailureKind::Minimum,
                    constraints,
                    reader,
                    Types::NUMBER,
                    Some(atom),
                );
            }
            if let Some(bound) = numbers.maximum {
                let atom = Atom::Lower(beyond(bound));
                self.check_typed(
                    FailureKind::Maximum,
                    constraints,
                    reader,
                    Types::NUMBER,
                    Some(atom),
                );
            }
            if let Some(step) = numbers.multiple_of {
                let atom = Atom::NotMultiple(step);
                self.check_typed(
                    FailureKind::MultipleOf,
                    constraints,
                    reader,
                    Types::NUMBER,
                    Some(atom),
                );
            }
        }
        if let Some(strings) = &node.strings {
            let string = Types::STRING;
            if let Some(min) = strings.min {
                let atom = Atom::MaxLength(min.saturating_sub(1));
                self.check_typed(FailureKind::MinLength, constraints, reader, string, Some(atom));
            }
            if let Some(max) = strings.max {
                let atom = Atom::MinLength(max.saturating_add(1));
                self.check_typed(FailureKind::MaxLength, constraints, reader, string, Some(atom));
            }
            if let Some(pattern) = &strings.pattern
                && !constraints.patterns.iter().any(|written| written.text == pattern.text)
            {
                let atom = Atom::NotPattern(Arc::clone(pattern));
                self.check_typed(FailureKind::Pattern, constraints, reader, string, Some(atom));
            }
        }
        if !constraints.values.is_empty() {
            // Listed values are tried as they are; their members count as declared.
            let containers = Conjunct::Atom(Atom::Types(Types::ARRAY.or(Types::OBJECT)));
            let assertion = self.assertion(FailureKind::Values, reader);
            self.check_assertion(
                &assertion,
                constraints,
                &[containers, Conjunct::Literal(literal.negated())],
            );
        } else {
            if constraints.types.includes(Types::ARRAY) {
                self.check_array(constraints, literal, depth);
            }
            if constraints.types.includes(Types::OBJECT) {
                self.check_object(constraints, literal, depth);
            }
        }
        self.check_logic(constraints, literal, depth);
        if !node.opaque.is_empty() {
            self.check_assertion(
                &self.assertion(FailureKind::Other, reader),
                constraints,
                &[Conjunct::Unknown],
            );
        }
    }

    fn check_logic(&mut self, constraints: &Constraints, literal: Literal, depth: usize) {
        let Some(logic) = &self.solver.schemas.reader.node(literal.node).logic else { return };
        for id in &logic.all_of {
            self.check_node(constraints, *id, depth + 1);
        }
        if !logic.any_of.is_empty() {
            self.check_union(constraints, literal, &logic.any_of, false, depth);
        }
        if !logic.one_of.is_empty() {
            self.check_union(constraints, literal, &logic.one_of, true, depth);
        }
        if let Some(id) = logic.not {
            let assertion = self.assertion(FailureKind::Not, literal.node);
            self.check_assertion(&assertion, constraints, &[Conjunct::Literal(literal.of(id))]);
        }
        if let Some(condition) = logic.condition {
            let when = literal.of(condition.when);
            for (holds, id) in [(when, condition.then), (when.negated(), condition.otherwise)] {
                let Some(id) = id else { continue };
                let case = constraints.with(self.solver.schemas, &[Conjunct::Literal(holds)]);
                if !self.solver.solve(case.clone(), 1).is_none() {
                    self.check_alternatives(case, id, depth + 1);
                }
            }
        }
    }

    /// Checks `anyOf` and `oneOf`: descends into the only alternative that can accept an instance,
    /// or checks the union as one assertion.
    fn check_union(
        &mut self,
        constraints: &Constraints,
        literal: Literal,
        ids: &[NodeId],
        exclusive: bool,
        depth: usize,
    ) {
        if self.has_same_union(constraints, ids, exclusive) {
            return;
        }
        let schemas = self.solver.schemas;
        let mut alive = Vec::new();
        for id in ids {
            if !self.solver.spend(constraints.weight()) {
                self.give_up(constraints, literal.node);
                return;
            }
            let case = constraints.with(schemas, &[Conjunct::Literal(literal.of(*id))]);
            if !self.solver.solve(case, 1).is_none() {
                alive.push(*id);
            }
        }
        let kind = if exclusive { FailureKind::OneOf } else { FailureKind::AnyOf };
        let assertion = self.assertion(kind, literal.node);
        if let [only] = alive.as_slice() {
            self.check_node(constraints, *only, depth + 1);
            return;
        }
        if alive.is_empty() {
            // No alternative accepts the instance. The closest one explains the failure best.
            let before = self.failed_count;
            if let Some(nearest) = self.closest_alternative(constraints, ids) {
                self.check_node(constraints, nearest, depth + 1);
            }
            if self.failed_count > before {
                return;
            }
        }
        let none: Vec<_> =
            alive.iter().map(|id| Conjunct::Literal(literal.of(*id).negated())).collect();
        self.check_assertion(&assertion, constraints, &none);
        if exclusive {
            let assertion = self.assertion(FailureKind::OneOfOverlap, literal.node);
            for (index, left) in alive.iter().enumerate() {
                for right in alive.iter().skip(index + 1) {
                    let both = [
                        Conjunct::Literal(literal.of(*left)),
                        Conjunct::Literal(literal.of(*right)),
                    ];
                    if self.check_assertion(&assertion, constraints, &both) {
                        return;
                    }
                }
            }
        }
    }

    fn check_array(&mut self, constraints: &Constraints, literal: Literal, depth: usize) {
        let reader = literal.node;
        let Some(arrays) = &self.solver.schemas.reader.node(reader).arrays else { return };
        let array = Types::ARRAY;
        if let Some(min) = arrays.min {
            let atom = Atom::MaxItems(min.saturating_sub(1));
            self.check_typed(FailureKind::MinItems, constraints, reader, array, Some(atom));
        }
        if let Some(max) = arrays.max {
            let atom = Atom::MinItems(max.saturating_add(1));
            self.check_typed(FailureKind::MaxItems, constraints, reader, array, Some(atom));
        }
        if arrays.unique && !constraints.unique {
            self.check_typed(
                FailureKind::UniqueItems,
                constraints,
                reader,
                array,
                Some(Atom::Repeats),
            );
        }
        if let Some(contains) = arrays.contains {
            let same = constraints.counts.iter().any(|(written, min, max)| {
                written.role == Role::Writer
                    && written.positive
                    && *min >= contains.min
                    && contains.max.is_none_or(|limit| max.is_some_and(|max| max <= limit))
                    && self.solver.is_equivalent(written.node, contains.node)
            });
            let contained = literal.of(contains.node);
            if !same && contains.min > 0 {
                let atom = Atom::Count(contained, 0, Some(contains.min - 1));
                self.check_typed(FailureKind::Contains, constraints, reader, array, Some(atom));
            }
            if let Some(max) = contains.max.filter(|_| !same) {
                let atom = Atom::Count(contained, max.saturating_add(1), None);
                self.check_typed(FailureKind::Contains, constraints, reader, array, Some(atom));
            }
        }
        let uniform_from = self.solver.uniform_items_from(constraints).max(arrays.prefix.len());
        let same = arrays.unevaluated.is_some() && self.has_same_evaluation(constraints, reader);
        let rest = arrays.rest.or(arrays.unevaluated.filter(|_| !same));
        for index in 0..=uniform_from {
            let Some(id) = arrays.prefix.get(index).copied().or(rest) else { continue };
            if constraints.max_items.is_some_and(|max| max <= index as u64) {
                break;
            }
            if self.solver.schemas.reader.node(id).always == Some(false) {
                let assertion =
                    Assertion { kind: FailureKind::ItemClosed, reader, name: index.to_string() };
                let atom = Atom::MinItems(index as u64 + 1);
                let conjuncts = [Conjunct::Atom(Atom::Types(array)), Conjunct::Atom(atom)];
                self.check_assertion(&assertion, constraints, &conjuncts);
                break;
            }
            let literals = self.solver.item_literals(constraints, index);
            self.descend(constraints, PathSegment::Item(index), &literals, id, depth);
        }
    }
}
