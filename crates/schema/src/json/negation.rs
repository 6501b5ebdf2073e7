//! Negation of a node: the alternatives under which an instance is invalid.

use std::sync::Arc;

use super::{
    conjunct::{Applicator, Atom, Conjunct},
    literal::Literal,
    model::{Bound, Node, Types},
};

/// Pairs of `oneOf` alternatives that are enumerated for the negation "two alternatives match".
const ONE_OF_PAIRS_MAX: usize = 500;

fn with_types(types: Types, rest: impl IntoIterator<Item = Conjunct>) -> Vec<Conjunct> {
    std::iter::once(Conjunct::Atom(Atom::Types(types))).chain(rest).collect()
}

/// The alternatives under which an instance is invalid under a node: one for each keyword. An empty
/// alternative holds for every instance; without any alternative, every instance is valid.
pub(crate) fn negation(node: &Node, literal: Literal) -> Vec<Vec<Conjunct>> {
    if node.always == Some(false) {
        return vec![Vec::new()];
    }
    let mut alternatives: Vec<Vec<Conjunct>> = Vec::new();
    if let Some(types) = node.types {
        alternatives.push(with_types(Types::ALL.without(types), None));
    }
    for values in node.values.iter().chain(&node.constant) {
        alternatives.push(vec![Conjunct::Atom(Atom::NotValues(Arc::clone(values)))]);
    }
    if let Some(numbers) = &node.numbers {
        let beyond = |bound: Bound| Bound { at: bound.at, exclusive: !bound.exclusive };
        let mut add =
            |atom| alternatives.push(with_types(Types::NUMBER, Some(Conjunct::Atom(atom))));
        numbers.minimum.iter().for_each(|bound| add(Atom::Upper(beyond(*bound))));
        numbers.maximum.iter().for_each(|bound| add(Atom::Lower(beyond(*bound))));
        numbers.multiple_of.iter().for_each(|step| add(Atom::NotMultiple(*step)));
    }
    if let Some(strings) = &node.strings {
        let mut add =
            |atom| alternatives.push(with_types(Types::STRING, Some(Conjunct::Atom(atom))));
        strings.min.iter().for_each(|min| add(Atom::MaxLength(min.saturating_sub(1))));
        strings.max.iter().for_each(|max| add(Atom::MinLength(max.saturating_add(1))));
        strings.pattern.iter().for_each(|pattern| add(Atom::NotPattern(Arc::clone(pattern))));
    }
    negate_array(node, literal, &mut alternatives);
    negate_object(node, literal, &mut alternatives);
    alternatives.extend(node.refs.iter().map(|id| vec![literal.fails(*id)]));
    negate_logic(node, literal, &mut alternatives);
    alternatives.extend(node.opaque.iter().map(|_| vec![Conjunct::Unknown]));
    alternatives
}

fn negate_array(node: &Node, literal: Literal, alternatives: &mut Vec<Vec<Conjunct>>) {
    let Some(arrays) = &node.arrays else { return };
    let mut add = |atom| alternatives.push(with_types(Types::ARRAY, Some(Conjunct::Atom(atom))));
    arrays.min.iter().for_each(|min| add(Atom::MaxItems(min.saturating_sub(1))));
    arrays.max.iter().for_each(|max| add(Atom::MinItems(max.saturating_add(1))));
    if arrays.unique {
        add(Atom::Repeats);
    }
    for (index, id) in arrays.prefix.iter().enumerate() {
        add(Atom::Item(index, Box::new(literal.fails(*id))));
    }
    let positive = Literal { positive: true, ..literal };
    if let Some(id) = arrays.rest {
        add(Atom::SomeItem(arrays.prefix.len(), positive.of(id).negated()));
    } else if let Some(id) = arrays.unevaluated {
        // Other keywords may evaluate more items; the result is confirmed later.
        add(Atom::SomeItem(arrays.prefix.len(), positive.of(id).negated()));
    }
    if let Some(contains) = arrays.contains {
        let contained = positive.of(contains.node);
        if contains.min > 0 {
            add(Atom::Count(contained, 0, Some(contains.min - 1)));
        }
        if let Some(max) = contains.max {
            add(Atom::Count(contained, max.saturating_add(1), None));
        }
    }
}

fn negate_object(node: &Node, literal: Literal, alternatives: &mut Vec<Vec<Conjunct>>) {
    let Some(objects) = &node.objects else { return };
    let positive = Literal { positive: true, ..literal };
    let mut add = |conjuncts: Vec<Atom>| {
        alternatives.push(with_types(Types::OBJECT, conjuncts.into_iter().map(Conjunct::Atom)));
    };
    for name in &objects.required {
        add(vec![Atom::Absent(Arc::clone(name))]);
    }
    objects.min.iter().for_each(|min| add(vec![Atom::MaxProperties(min.saturating_sub(1))]));
    objects.max.iter().for_each(|max| add(vec![Atom::MinProperties(max.saturating_add(1))]));
    for (name, id) in &objects.properties {
        add(vec![
            Atom::Required(Arc::clone(name)),
            Atom::Property(Arc::clone(name), Box::new(literal.fails(*id))),
        ]);
    }
    for (index, (_, id)) in objects.patterns.iter().enumerate() {
        let negated = positive.of(*id).negated();
        add(vec![Atom::SomeProperty(positive, Applicator::Pattern(index), negated)]);
    }
    if let Some(id) = objects.additional {
        let negated = positive.of(id).negated();
        add(vec![Atom::SomeProperty(positive, Applicator::Additional, negated)]);
    }
    if let Some(id) = objects.unevaluated {
        let negated = positive.of(id).negated();
        add(vec![Atom::SomeProperty(positive, Applicator::Unevaluated, negated)]);
    }
    if let Some(id) = objects.names {
        add(vec![Atom::SomeName(positive.of(id).negated())]);
    }
    for (name, dependents) in &objects.dependent_required {
        for dependent in dependents {
            add(vec![Atom::Required(Arc::clone(name)), Atom::Absent(Arc::clone(dependent))]);
        }
    }
    for (name, id) in &objects.dependent_schemas {
        let present = Conjunct::Atom(Atom::Required(Arc::clone(name)));
        alternatives.push(with_types(Types::OBJECT, [present, literal.fails(*id)]));
    }
}

fn negate_logic(node: &Node, literal: Literal, alternatives: &mut Vec<Vec<Conjunct>>) {
    let Some(logic) = &node.logic else { return };
    alternatives.extend(logic.all_of.iter().map(|id| vec![literal.fails(*id)]));
    if !logic.any_of.is_empty() {
        alternatives.push(logic.any_of.iter().map(|id| literal.fails(*id)).collect());
    }
    if !logic.one_of.is_empty() {
        alternatives.push(logic.one_of.iter().map(|id| literal.fails(*id)).collect());
        let mut pairs = 0;
        for (index, left) in logic.one_of.iter().enumerate() {
            for right in logic.one_of.iter().skip(index + 1) {
                pairs += 1;
                if pairs <= ONE_OF_PAIRS_MAX {
                    alternatives.push(vec![literal.holds(*left), literal.holds(*right)]);
                }
            }
        }
        if pairs > ONE_OF_PAIRS_MAX {
            alternatives.push(vec![Conjunct::Unknown]);
        }
    }
    alternatives.extend(logic.not.map(|id| vec![literal.holds(id)]));
    if let Some(condition) = logic.condition {
        alternatives.extend(
            condition.then.map(|id| vec![literal.holds(condition.when), literal.fails(id)]),
        );
        alternatives.extend(
            condition.otherwise.map(|id| vec![literal.fails(condition.when), literal.fails(id)]),
        );
    }
}
