//! Search for arrays.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use super::{Outcome, Solver, size};
use crate::json::{
    conjunct::{Atom, Conjunct},
    constraints::Constraints,
    literal::{Literal, Role},
    model::Values,
    number::value_key,
};

/// Longest array with unique items. Each item is searched for with all items before it excluded.
const UNIQUE_ITEMS_MAX: u64 = 300;

impl Solver<'_> {
    /// The literals that hold for an item.
    pub(crate) fn item_literals(&self, constraints: &Constraints, index: usize) -> Vec<Literal> {
        let mut literals = Vec::new();
        for literal in &constraints.arrays {
            let node = self.schemas.node(*literal);
            if let Some(arrays) = &node.arrays {
                let own = arrays.prefix.get(index).copied().or(arrays.rest);
                // If other keywords may evaluate the item, `unevaluatedItems` adds no literal.
                let model = self.schemas.model(literal.role);
                let left = arrays
                    .unevaluated
                    .filter(|_| own.is_none() && !model.covers_item(literal.node, index, true));
                literals.extend(own.or(left).map(|id| literal.of(id)));
            }
        }
        // A count with a maximum of zero, such as `maxContains: 0`: its literal holds for no item.
        let excluded = constraints.counts.iter().filter(|(_, _, max)| *max == Some(0));
        literals.extend(excluded.map(|(literal, ..)| literal.negated()));
        literals.sort_unstable();
        literals.dedup();
        literals
    }

    /// The index from which on the same literals hold for all items.
    pub(crate) fn uniform_items_from(&self, constraints: &Constraints) -> usize {
        let lengths = constraints.arrays.iter().filter_map(|literal| {
            self.schemas.node(*literal).arrays.as_ref().map(|arrays| arrays.prefix.len())
        });
        lengths.max().unwrap_or(0)
    }

    /// An item. The writer's `contains` may name properties of any item, also of items that it does
    /// not match, and the literals of those items do not include it. So "no such item" is accepted
    /// only if there is none with undeclared properties either.
    fn solve_item(
        &mut self,
        constraints: &Constraints,
        index: usize,
        extra: &[Conjunct],
        depth: usize,
    ) -> Outcome {
        let outcome = self.solve_declared_item(constraints, index, extra, depth);
        if !outcome.is_none() || !self.contains_names_properties(constraints) {
            return outcome;
        }
        let pinned = constraints.items.iter().filter(|(at, _)| *at == index);
        let conjuncts: Vec<_> =
            pinned.map(|(_, conjunct)| conjunct).chain(extra).cloned().collect();
        let literals = self.item_literals(constraints, index);
        self.solve_undeclared(&literals, &conjuncts, depth)
    }

    /// `None` if no value satisfies these even with undeclared properties, `Unknown` otherwise.
    fn solve_undeclared(
        &mut self,
        literals: &[Literal],
        conjuncts: &[Conjunct],
        depth: usize,
    ) -> Outcome {
        let mut constraints = Constraints::of(self.schemas, literals).with(self.schemas, conjuncts);
        constraints.allows_undeclared = true;
        if self.solve(constraints, depth + 1).is_none() { Outcome::None } else { Outcome::Unknown }
    }

    /// Whether the writer has a `contains` while undeclared properties count as absent.
    fn contains_names_properties(&self, constraints: &Constraints) -> bool {
        !self.strict
            && constraints.arrays.iter().any(|literal| {
                let arrays = &self.schemas.node(*literal).arrays;
                literal.role == Role::Writer
                    && arrays.as_ref().is_some_and(|arrays| arrays.contains.is_some())
            })
    }

    fn solve_declared_item(
        &mut self,
        constraints: &Constraints,
        index: usize,
        extra: &[Conjunct],
        depth: usize,
    ) -> Outcome {
        let literals = self.item_literals(constraints, index);
        let pinned = constraints.items.iter().filter(|(at, _)| *at == index);
        let conjuncts: Vec<_> =
            pinned.map(|(_, conjunct)| conjunct).chain(extra).cloned().collect();
        if conjuncts.is_empty() {
            return self.solve_literals(&literals, depth + 1);
        }
        if let [Conjunct::Literal(_), ..] = conjuncts.as_slice()
            && conjuncts.iter().all(|conjunct| matches!(conjunct, Conjunct::Literal(_)))
        {
            let extra = conjuncts.iter().filter_map(|conjunct| match conjunct {
                Conjunct::Literal(literal) => Some(*literal),
                _ => None,
            });
            let literals: Vec<_> = literals.into_iter().chain(extra).collect();
            return self.solve_literals(&literals, depth + 1);
        }
        let constraints = Constraints::of(self.schemas, &literals).with(self.schemas, &conjuncts);
        self.solve(constraints, depth + 1)
    }

    /// Searches for an array.
    pub(super) fn solve_array(&mut self, constraints: &Constraints, depth: usize) -> Outcome {
        let uniform_from = self.uniform_items_from(constraints);
        let mut max = constraints.max_items;
        if max.is_some_and(|max| max < constraints.min_items) {
            return Outcome::None;
        }
        // The array ends before the first impossible item.
        let mut undecided = false;
        for index in 0..=uniform_from {
            if max.is_some_and(|max| max <= index as u64) {
                break;
            }
            match self.solve_item(constraints, index, &[], depth) {
                Outcome::None => {
                    max = Some(index as u64);
                    break;
                }
                Outcome::Unknown => undecided = true,
                Outcome::Instance(_) | Outcome::Large => {}
            }
        }
        let mut min = constraints.min_items;
        for (index, _) in &constraints.items {
            min = min.max(*index as u64 + 1);
        }
        if constraints.repeats {
            min = min.max(2);
        }
        if max.is_some_and(|max| max < min) {
            return Outcome::None;
        }
        if constraints.unique && constraints.repeats {
            return Outcome::None;
        }
        // Required items: literal, count, and first possible index.
        let mut required: Vec<(Literal, u64, usize)> = Vec::new();
        for (literal, count, limit) in &constraints.counts {
            if limit.is_some_and(|limit| limit < *count) {
                return Outcome::None;
            }
            if *count > 0 {
                required.push((*literal, *count, 0));
            }
        }
        if self.counts_conflict(constraints, uniform_from, depth) {
            return Outcome::None;
        }
        required.extend(constraints.some_items.iter().map(|(from, literal)| (*literal, 1, *from)));
        self.build_array(constraints, &required, uniform_from, (min, max), undecided, depth)
    }

    /// Whether more items are required for one literal than another literal allows that holds for
    /// all of them.
    fn counts_conflict(
        &mut self,
        constraints: &Constraints,
        uniform_from: usize,
        depth: usize,
    ) -> bool {
        for (many, min, _) in &constraints.counts {
            for (few, _, max) in &constraints.counts {
                if max.is_none_or(|max| max >= *min) || many == few {
                    if many == few && max.is_some_and(|max| max < *min) {
                        return true;
                    }
                    continue;
                }
                let included = (0..=uniform_from).all(|index| {
                    let mut literals = self.item_literals(constraints, index);
                    literals.extend([*many, few.negated()]);
                    self.solve_literals(&literals, depth + 1).is_none()
                        && (!self.contains_names_properties(constraints)
                            || self.solve_undeclared(&literals, &[], depth).is_none())
                });
                if included {
                    return true;
                }
            }
        }
        false
    }

    fn build_array(
        &mut self,
        constraints: &Constraints,
        wanted: &[(Literal, u64, usize)],
        uniform_from: usize,
        (min, max): (u64, Option<u64>),
        undecided: bool,
        depth: usize,
    ) -> Outcome {
        let mut extra: HashMap<usize, Vec<Conjunct>> = HashMap::new();
        let mut length = min;
        for (literal, count, from) in wanted {
            if max.is_some_and(|max| max < *count) {
                return Outcome::None;
            }
            let positions = *from..=uniform_from.max(*from);
            let (mut possible, mut placed, mut unknown) = (false, 0_u64, false);
            for index in positions.clone() {
                if max.is_some_and(|max| index as u64 >= max) {
                    break;
                }
                let last = index == *positions.end();
                match self.solve_item(constraints, index, &[Conjunct::Literal(*literal)], depth) {
                    Outcome::Instance(_) | Outcome::Large => {
                        possible = true;
                        // The last position repeats, so it takes the remaining items.
                        let room = max.map_or(u64::MAX, |max| max - index as u64);
                        let times = if last { (count - placed).min(room) } else { 1 };
                        if *count > self.limits.items {
                            return Outcome::Large;
                        }
                        for offset in 0..usize::try_from(times).unwrap_or(0) {
                            extra
                                .entry(index + offset)
                                .or_default()
                                .push(Conjunct::Literal(*literal));
                            length = length.max((index + offset) as u64 + 1);
                        }
                        placed += times;
                    }
                    Outcome::None => {}
                    Outcome::Unknown => unknown = true,
                }
                if placed >= *count {
                    break;
                }
            }
            if !possible {
                return if unknown { Outcome::Unknown } else { Outcome::None };
            }
            if placed < *count {
                return Outcome::Unknown;
            }
        }
        if constraints.repeats {
            return self.solve_repeated_items(
                constraints,
                uniform_from,
                length.max(2),
                (max, &extra),
                depth,
            );
        }
        let limit = if constraints.unique { UNIQUE_ITEMS_MAX } else { self.limits.items };
        if length > limit {
            return if undecided { Outcome::Unknown } else { Outcome::Large };
        }
        let mut items = Vec::new();
        let mut total = 0;
        let mut keys = HashSet::new();
        let mut plain: Option<Value> = None;
        for index in 0..usize::try_from(length).unwrap_or(0) {
            let mut extra_conjuncts = extra.get(&index).cloned().unwrap_or_default();
            if constraints.unique && !items.is_empty() {
                let distinct =
                    Conjunct::Atom(Atom::NotValues(Arc::new(Values::new(items.clone()))));
                extra_conjuncts.push(distinct);
            }
            // After the prefix, an item without extra conjuncts equals the previous one.
            let is_plain = index > uniform_from
                && extra_conjuncts.is_empty()
                && !constraints.items.iter().any(|(pinned, _)| *pinned == index);
            let same = plain.as_ref().filter(|_| is_plain).cloned().map(Outcome::Instance);
            let item = match same
                .unwrap_or_else(|| self.solve_item(constraints, index, &extra_conjuncts, depth))
            {
                Outcome::Instance(item) => item,
                // The item alone is possible: an extra conjunct is in conflict.
                Outcome::None if extra_conjuncts.is_empty() => return Outcome::None,
                Outcome::None => return Outcome::Unknown,
                other => return other,
            };
            if is_plain && plain.is_none() {
                plain = Some(item.clone());
            }
            total += size(&item);
            if total > self.limits.values {
                return Outcome::Large;
            }
            if constraints.unique && !keys.insert(value_key(&item)) {
                return Outcome::Unknown;
            }
            items.push(item);
        }
        self.spend_on(total);
        Outcome::Instance(Value::Array(items))
    }

    /// Searches for an array with two equal items.
    fn solve_repeated_items(
        &mut self,
        constraints: &Constraints,
        uniform_from: usize,
        length: u64,
        (max, extra): (Option<u64>, &HashMap<usize, Vec<Conjunct>>),
        depth: usize,
    ) -> Outcome {
        let mut none = extra.is_empty() && constraints.items.is_empty();
        for first in 0..=uniform_from {
            for second in first + 1..=uniform_from + 1 {
                if max.is_some_and(|max| second as u64 >= max) {
                    continue;
                }
                let mut literals = self.item_literals(constraints, first);
                literals.extend(self.item_literals(constraints, second));
                match self.solve_literals(&literals, depth + 1) {
                    Outcome::Instance(value) => {
                        let length = length.max(second as u64 + 1);
                        if length > self.limits.items {
                            return Outcome::Large;
                        }
                        let (mut items, mut total) = (Vec::new(), 0);
                        for index in 0..usize::try_from(length).unwrap_or(0) {
                            let extra_conjuncts = extra.get(&index).map_or(&[][..], Vec::as_slice);
                            let item = if index == first || index == second {
                                value.clone()
                            } else if let Outcome::Instance(item) =
                                self.solve_item(constraints, index, extra_conjuncts, depth)
                            {
                                item
                            } else {
                                return Outcome::Unknown;
                            };
                            total += size(&item);
                            if total > self.limits.values {
                                return Outcome::Large;
                            }
                            items.push(item);
                        }
                        self.spend_on(total);
                        return Outcome::Instance(Value::Array(items));
                    }
                    Outcome::None => {}
                    Outcome::Large | Outcome::Unknown => none = false,
                }
            }
        }
        if none { Outcome::None } else { Outcome::Unknown }
    }
}
