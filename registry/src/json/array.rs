//! Arrays with given facts.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use super::{
    branch::{Atom, Branch, Lit, Piece, Side},
    model::Values,
    number::value_key,
    solve::{Outcome, Solver, size},
};

/// Longest array whose items have to differ: each is searched for with all before it excluded.
const UNIQUE_ITEMS_MAX: u64 = 300;

impl Solver<'_> {
    /// What the nodes of a branch say about an item.
    pub(crate) fn item_lits(&self, branch: &Branch, index: usize) -> Vec<Lit> {
        let mut lits = Vec::new();
        for lit in &branch.arrays {
            let node = self.sides.node(*lit);
            if let Some(arrays) = &node.arrays {
                let own = arrays.prefix.get(index).copied().or(arrays.rest);
                // Where other keywords may evaluate the item, nothing is taken from this one.
                let model = self.sides.model(lit.side);
                let left = arrays
                    .unevaluated
                    .filter(|_| own.is_none() && !model.covers_item(lit.node, index, true));
                lits.extend(own.or(left).map(|id| lit.of(id)));
            }
        }
        // `maxContains: 0` and what the like of it becomes: no item is of these.
        let none = branch.counts.iter().filter(|(_, _, max)| *max == Some(0));
        lits.extend(none.map(|(lit, ..)| lit.negated()));
        lits.sort_unstable();
        lits.dedup();
        lits
    }

    /// From this index on all items are alike.
    pub(crate) fn items_alike_from(&self, branch: &Branch) -> usize {
        let lengths = branch.arrays.iter().filter_map(|lit| {
            self.sides.node(*lit).arrays.as_ref().map(|arrays| arrays.prefix.len())
        });
        lengths.max().unwrap_or(0)
    }

    /// An item. What a `contains` of the writer names may be in any item, also in those that are not of it, and their
    /// own facts do not tell: that there is none is believed only if none has undeclared properties either.
    fn item(&mut self, branch: &Branch, index: usize, more: &[Piece], depth: usize) -> Outcome {
        let outcome = self.declared_item(branch, index, more, depth);
        if !outcome.is_none() || !self.contains_names(branch) {
            return outcome;
        }
        let pinned = branch.items.iter().filter(|(at, _)| *at == index);
        let pieces: Vec<_> = pinned.map(|(_, piece)| piece).chain(more).cloned().collect();
        let lits = self.item_lits(branch, index);
        self.undeclared(&lits, &pieces, depth)
    }

    /// None where there is no value of these even with properties that nobody declares; otherwise not known.
    fn undeclared(&mut self, lits: &[Lit], pieces: &[Piece], depth: usize) -> Outcome {
        let mut loose = Branch::of(self.sides, lits).with(self.sides, pieces);
        loose.fresh = true;
        if self.branch(loose, depth + 1).is_none() { Outcome::None } else { Outcome::Unknown }
    }

    /// Whether the writer names properties of items in a `contains`, and undeclared ones are seen as absent.
    fn contains_names(&self, branch: &Branch) -> bool {
        !self.strict
            && branch.arrays.iter().any(|lit| {
                let arrays = &self.sides.node(*lit).arrays;
                lit.side == Side::Writer && arrays.as_ref().is_some_and(|it| it.contains.is_some())
            })
    }

    fn declared_item(
        &mut self,
        branch: &Branch,
        index: usize,
        more: &[Piece],
        depth: usize,
    ) -> Outcome {
        let lits = self.item_lits(branch, index);
        let pinned = branch.items.iter().filter(|(at, _)| *at == index);
        let pieces: Vec<_> = pinned.map(|(_, piece)| piece).chain(more).cloned().collect();
        if pieces.is_empty() {
            return self.lits(&lits, depth + 1);
        }
        if let [Piece::Lit(_), ..] = pieces.as_slice()
            && pieces.iter().all(|piece| matches!(piece, Piece::Lit(_)))
        {
            let more = pieces.iter().filter_map(|piece| match piece {
                Piece::Lit(lit) => Some(*lit),
                _ => None,
            });
            let lits: Vec<_> = lits.into_iter().chain(more).collect();
            return self.lits(&lits, depth + 1);
        }
        let branch = Branch::of(self.sides, &lits).with(self.sides, &pieces);
        self.branch(branch, depth + 1)
    }

    /// An array.
    pub(super) fn array(&mut self, branch: &Branch, depth: usize) -> Outcome {
        let alike = self.items_alike_from(branch);
        let mut max = branch.max_items;
        if max.is_some_and(|max| max < branch.min_items) {
            return Outcome::None;
        }
        // An item that cannot be ends the array before it.
        let mut unsure = false;
        for index in 0..=alike {
            if max.is_some_and(|max| max <= index as u64) {
                break;
            }
            match self.item(branch, index, &[], depth) {
                Outcome::None => {
                    max = Some(index as u64);
                    break;
                }
                Outcome::Unknown => unsure = true,
                Outcome::Instance(_) | Outcome::Large => {}
            }
        }
        let mut min = branch.min_items;
        for (index, _) in &branch.items {
            min = min.max(*index as u64 + 1);
        }
        if branch.repeats {
            min = min.max(2);
        }
        if max.is_some_and(|max| max < min) {
            return Outcome::None;
        }
        if branch.unique && branch.repeats {
            return Outcome::None;
        }
        // What must be somewhere, and where it can be.
        let mut wanted: Vec<(Lit, u64, usize)> = Vec::new();
        for (lit, count, limit) in &branch.counts {
            if limit.is_some_and(|limit| limit < *count) {
                return Outcome::None;
            }
            if *count > 0 {
                wanted.push((*lit, *count, 0));
            }
        }
        if self.counts_conflict(branch, alike, depth) {
            return Outcome::None;
        }
        wanted.extend(branch.some_items.iter().map(|(from, lit)| (*lit, 1, *from)));
        self.build_array(branch, &wanted, alike, (min, max), unsure, depth)
    }

    /// Whether more items must be of one node than may be of another that takes all of those.
    fn counts_conflict(&mut self, branch: &Branch, alike: usize, depth: usize) -> bool {
        for (many, min, _) in &branch.counts {
            for (few, _, max) in &branch.counts {
                if max.is_none_or(|max| max >= *min) || many == few {
                    if many == few && max.is_some_and(|max| max < *min) {
                        return true;
                    }
                    continue;
                }
                let included = (0..=alike).all(|index| {
                    let mut lits = self.item_lits(branch, index);
                    lits.extend([*many, few.negated()]);
                    self.lits(&lits, depth + 1).is_none()
                        && (!self.contains_names(branch)
                            || self.undeclared(&lits, &[], depth).is_none())
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
        branch: &Branch,
        wanted: &[(Lit, u64, usize)],
        alike: usize,
        (min, max): (u64, Option<u64>),
        unsure: bool,
        depth: usize,
    ) -> Outcome {
        let mut extra: HashMap<usize, Vec<Piece>> = HashMap::new();
        let mut length = min;
        for (lit, count, from) in wanted {
            if max.is_some_and(|max| max < *count) {
                return Outcome::None;
            }
            let places = *from..=alike.max(*from);
            let (mut possible, mut placed, mut unknown) = (false, 0_u64, false);
            for index in places.clone() {
                if max.is_some_and(|max| index as u64 >= max) {
                    break;
                }
                let last = index == *places.end();
                match self.item(branch, index, &[Piece::Lit(*lit)], depth) {
                    Outcome::Instance(_) | Outcome::Large => {
                        possible = true;
                        // At the end there is room for all that are left.
                        let room = max.map_or(u64::MAX, |max| max - index as u64);
                        let times = if last { (count - placed).min(room) } else { 1 };
                        if *count > self.limits.items {
                            return Outcome::Large;
                        }
                        for offset in 0..usize::try_from(times).unwrap_or(0) {
                            extra.entry(index + offset).or_default().push(Piece::Lit(*lit));
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
        if branch.repeats {
            return self.repeating(branch, alike, length.max(2), (max, &extra), depth);
        }
        let most = if branch.unique { UNIQUE_ITEMS_MAX } else { self.limits.items };
        if length > most {
            return if unsure { Outcome::Unknown } else { Outcome::Large };
        }
        let mut items = Vec::new();
        let mut total = 0;
        let mut keys = HashSet::new();
        let mut plain: Option<Value> = None;
        for index in 0..usize::try_from(length).unwrap_or(0) {
            let mut more = extra.get(&index).cloned().unwrap_or_default();
            if branch.unique && !items.is_empty() {
                let taken = Piece::Atom(Atom::NotValues(Arc::new(Values::new(items.clone()))));
                more.push(taken);
            }
            // Behind the prefix an item of which nothing more is asked is as the one before.
            let is_plain = index > alike
                && more.is_empty()
                && !branch.items.iter().any(|(pinned, _)| *pinned == index);
            let same = plain.as_ref().filter(|_| is_plain).cloned().map(Outcome::Instance);
            let item = match same.unwrap_or_else(|| self.item(branch, index, &more, depth)) {
                Outcome::Instance(item) => item,
                // Alone the item could be, so that something else is in the way.
                Outcome::None if more.is_empty() => return Outcome::None,
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
            if branch.unique && !keys.insert(value_key(&item)) {
                return Outcome::Unknown;
            }
            items.push(item);
        }
        self.spend_on(total);
        Outcome::Instance(Value::Array(items))
    }

    /// An array with two equal items.
    fn repeating(
        &mut self,
        branch: &Branch,
        alike: usize,
        length: u64,
        (max, extra): (Option<u64>, &HashMap<usize, Vec<Piece>>),
        depth: usize,
    ) -> Outcome {
        let mut none = extra.is_empty() && branch.items.is_empty();
        for first in 0..=alike {
            for second in first + 1..=alike + 1 {
                if max.is_some_and(|max| second as u64 >= max) {
                    continue;
                }
                let mut lits = self.item_lits(branch, first);
                lits.extend(self.item_lits(branch, second));
                match self.lits(&lits, depth + 1) {
                    Outcome::Instance(value) => {
                        let length = length.max(second as u64 + 1);
                        if length > self.limits.items {
                            return Outcome::Large;
                        }
                        let (mut items, mut total) = (Vec::new(), 0);
                        for index in 0..usize::try_from(length).unwrap_or(0) {
                            let more = extra.get(&index).map_or(&[][..], Vec::as_slice);
                            let item = if index == first || index == second {
                                value.clone()
                            } else if let Outcome::Instance(item) =
                                self.item(branch, index, more, depth)
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
