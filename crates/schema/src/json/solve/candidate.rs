//! Evaluation of candidates against constraints.

use std::collections::HashSet;

use serde_json::Value;

use super::Solver;
use crate::json::{
    conjunct::{Atom, Conjunct},
    constraints::Constraints,
    evaluate,
    literal::Literal,
    model::Types,
    number::{Decimal, value_key},
};

/// Steps of one evaluation of a candidate.
const EVALUATION_MAX: u64 = 20_000;

impl Solver<'_> {
    fn evaluate(&mut self, literal: Literal, value: &Value) -> Option<bool> {
        let mut work = EVALUATION_MAX.min(self.work * 4 + 100);
        let before = work;
        let valid =
            evaluate::valid(self.schemas.model(literal.role), literal.node, value, &mut work);
        self.work = self.work.saturating_sub(1 + (before - work) / 8);
        valid.map(|valid| valid == literal.positive)
    }

    /// Whether a value satisfies the constraints.
    pub(crate) fn holds(&mut self, constraints: &Constraints, value: &Value) -> Option<bool> {
        let mut all = (!constraints.unknown).then_some(true);
        for literal in &constraints.roots {
            match self.evaluate(*literal, value) {
                Some(false) => return Some(false),
                Some(true) => {}
                None => all = None,
            }
        }
        if !self.violated(constraints, value).is_empty() {
            return Some(false);
        }
        for atom in &constraints.atoms {
            match self.atom_holds(atom, value) {
                Some(false) => return Some(false),
                Some(true) => {}
                None => all = None,
            }
        }
        all
    }

    fn conjunct_holds(&mut self, conjunct: &Conjunct, value: &Value) -> Option<bool> {
        match conjunct {
            Conjunct::Literal(literal) => self.evaluate(*literal, value),
            Conjunct::Atom(atom) => self.atom_holds(atom, value),
            Conjunct::OneOf(..) | Conjunct::Unknown => None,
        }
    }

    fn atom_holds(&mut self, atom: &Atom, value: &Value) -> Option<bool> {
        let number = || value.as_number().map(Decimal::of);
        let length = || value.as_str().map(|text| text.chars().count() as u64);
        let items = || value.as_array().map(|items| items.len() as u64);
        let members = value.as_object();
        Some(match atom {
            Atom::Types(types) => types.includes(Types::of(value)),
            Atom::Lower(bound) => number().is_none_or(|number| {
                if bound.exclusive { number > bound.at } else { number >= bound.at }
            }),
            Atom::Upper(bound) => number().is_none_or(|number| {
                if bound.exclusive { number < bound.at } else { number <= bound.at }
            }),
            Atom::Multiple(step) => number().is_none_or(|number| number.is_multiple_of(*step)),
            Atom::NotMultiple(step) => number().is_none_or(|number| !number.is_multiple_of(*step)),
            Atom::MinLength(min) => length().is_none_or(|length| length >= *min),
            Atom::MaxLength(max) => length().is_none_or(|length| length <= *max),
            Atom::Pattern(pattern) => value.as_str().is_none_or(|text| pattern.matches(text)),
            Atom::NotPattern(pattern) => value.as_str().is_none_or(|text| !pattern.matches(text)),
            Atom::Values(values) | Atom::Given(values) => values.contains(value),
            Atom::NotValues(values) => !values.contains(value),
            Atom::MinItems(min) => items().is_none_or(|count| count >= *min),
            Atom::MaxItems(max) => items().is_none_or(|count| count <= *max),
            Atom::MinProperties(min) => members.is_none_or(|members| members.len() as u64 >= *min),
            Atom::MaxProperties(max) => members.is_none_or(|members| members.len() as u64 <= *max),
            Atom::Required(name) => members.is_none_or(|members| members.contains_key(&**name)),
            Atom::Absent(name) => members.is_none_or(|members| !members.contains_key(&**name)),
            Atom::Property(name, conjunct) => {
                let Some(value) = members.and_then(|members| members.get(&**name)) else {
                    return Some(true);
                };
                return self.conjunct_holds(conjunct, value);
            }
            Atom::Item(index, conjunct) => {
                let Some(items) = value.as_array() else { return Some(true) };
                let Some(item) = items.get(*index) else { return Some(false) };
                return self.conjunct_holds(conjunct, item);
            }
            Atom::SomeItem(from, literal) => {
                let Some(items) = value.as_array() else { return Some(true) };
                let mut any = Some(false);
                for item in items.iter().skip(*from) {
                    match self.evaluate(*literal, item) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => any = None,
                    }
                }
                return any;
            }
            Atom::Count(literal, min, max) => {
                let Some(items) = value.as_array() else { return Some(true) };
                let mut count = 0_u64;
                for item in items {
                    count += u64::from(self.evaluate(*literal, item)?);
                }
                count >= *min && max.is_none_or(|max| count <= max)
            }
            Atom::Unique | Atom::Repeats => {
                let Some(items) = value.as_array() else { return Some(true) };
                let keys: HashSet<_> = items.iter().map(value_key).collect();
                (keys.len() == items.len()) == matches!(atom, Atom::Unique)
            }
            Atom::SomeName(literal) => {
                let Some(members) = members else { return Some(true) };
                let mut any = Some(false);
                for name in members.keys() {
                    match self.evaluate(*literal, &Value::from(name.as_str())) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => any = None,
                    }
                }
                return any;
            }
            Atom::SomeProperty(parent, applicator, literal) => {
                let Some(members) = members else { return Some(true) };
                let mut any = Some(false);
                for (name, value) in members {
                    if !self.applies_to(*parent, *applicator, name) {
                        continue;
                    }
                    match self.evaluate(*literal, value) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => any = None,
                    }
                }
                return any;
            }
        })
    }

    /// The `oneOf` alternatives that accept a value although another alternative was chosen.
    pub(super) fn violated(&mut self, constraints: &Constraints, value: &Value) -> Vec<Literal> {
        let mut violated = Vec::new();
        for (literal, index) in &constraints.passive {
            let Some(logic) = &self.schemas.node(*literal).logic else { continue };
            for (at, id) in logic.one_of.iter().enumerate() {
                if at != *index && self.evaluate(literal.of(*id), value) == Some(true) {
                    violated.push(literal.of(*id));
                }
                if self.work == 0 {
                    return violated;
                }
            }
        }
        violated
    }
}
