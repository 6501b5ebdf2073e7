//! Objects with given facts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{
    branch::{Atom, Branch, Lit, Part, Piece},
    evaluate::of_property,
    model::{Types, Values},
    pattern::Pattern,
    solve::{Limits, Outcome, Solver, size},
};

/// Expressions of which all combinations are tried for a name.
const PATTERNS_MAX: usize = 4;

/// Names that nobody speaks of, one per combination of expressions that they match.
pub(crate) struct Fresh {
    pub names: Vec<Arc<str>>,
    /// That there is no further combination.
    pub complete: bool,
}

impl Solver<'_> {
    /// Whether a property may be there: an undeclared one of an open object is seen as absent.
    pub(crate) fn allowed(&mut self, branch: &Branch, name: &str) -> bool {
        self.strict || branch.fresh || branch.roots.iter().any(|lit| self.declared(*lit).has(name))
    }

    /// What the nodes of a branch say about a property.
    pub(crate) fn property_lits(&self, branch: &Branch, name: &str) -> Vec<Lit> {
        let mut lits = Vec::new();
        for lit in &branch.objects {
            let Some(objects) = &self.sides.node(*lit).objects else { continue };
            let nodes = of_property(objects, name);
            if let Some(id) = objects.unevaluated
                && nodes.is_empty()
                && !self.sides.model(lit.side).covers(lit.node, name, true)
            {
                lits.push(lit.of(id));
            }
            lits.extend(nodes.into_iter().map(|id| lit.of(id)));
        }
        lits.sort_unstable();
        lits.dedup();
        lits
    }

    /// Whether a property falls to a part of a node.
    pub(crate) fn falls_to(&self, of: Lit, part: Part, name: &str) -> bool {
        let Some(objects) = &self.sides.node(of).objects else { return false };
        match part {
            Part::Pattern(index) => {
                objects.patterns.get(index).is_some_and(|(pattern, _)| pattern.matches(name))
            }
            Part::Additional => {
                !objects.properties.contains_key(name)
                    && !objects.patterns.iter().any(|(pattern, _)| pattern.matches(name))
            }
            // What only sometimes evaluates it may not: what is found here is checked.
            Part::Unevaluated => !self.sides.model(of.side).covers(of.node, name, false),
        }
    }

    /// Whether `propertyNames` lets a name be. Unknown counts as yes.
    fn named(&mut self, branch: &Branch, name: &str) -> bool {
        let value = Value::from(name);
        branch.names.iter().all(|lit| {
            let mut work = 2_000.min(self.work + 10);
            let model = self.sides.model(lit.side);
            let valid = super::evaluate::valid(model, lit.node, &value, &mut work);
            valid.is_none_or(|valid| valid == lit.positive)
        })
    }

    fn property(&mut self, branch: &Branch, name: &str, more: &[Piece], depth: usize) -> Outcome {
        if !self.allowed(branch, name) || !self.named(branch, name) {
            return Outcome::None;
        }
        let mut lits = self.property_lits(branch, name);
        let pinned = branch.properties.get(name).into_iter().flatten();
        let mut others = Vec::new();
        for piece in pinned.chain(more) {
            match piece {
                Piece::Lit(lit) => lits.push(*lit),
                piece => others.push(piece.clone()),
            }
        }
        if others.is_empty() {
            return self.lits(&lits, depth + 1);
        }
        let branch = Branch::of(self.sides, &lits).with(self.sides, &others);
        self.branch(branch, depth + 1)
    }

    /// All names that the nodes of a branch speak of.
    pub(crate) fn known_names(&mut self, branch: &Branch) -> BTreeSet<Arc<str>> {
        let mut names: BTreeSet<_> = branch.required.union(&branch.absent).cloned().collect();
        if !self.strict {
            // What only an alternative declares that is not taken is declared all the same.
            for lit in &branch.roots {
                names.extend(self.declared(*lit).names.iter().cloned());
            }
        }
        names.extend(branch.properties.keys().cloned());
        for lit in branch.objects.iter().chain(branch.some_properties.iter().map(|(of, ..)| of)) {
            if let Some(objects) = &self.sides.node(*lit).objects {
                names.extend(objects.properties.keys().cloned());
            }
        }
        names
    }

    /// Names beside the known ones.
    pub(crate) fn fresh_names(
        &mut self,
        branch: &Branch,
        of: &[Lit],
        known: &BTreeSet<Arc<str>>,
        wanted: &[Lit],
    ) -> Fresh {
        let mut patterns: BTreeMap<&str, &Arc<Pattern>> = BTreeMap::new();
        for lit in branch.objects.iter().chain(of) {
            if let Some(objects) = &self.sides.node(*lit).objects {
                patterns.extend(objects.patterns.iter().map(|(it, _)| (it.text.as_str(), it)));
            }
        }
        let declared: Vec<_> = if self.strict {
            Vec::new()
        } else {
            branch.roots.iter().map(|lit| self.declared(*lit)).collect()
        };
        for declared in &declared {
            patterns.extend(declared.patterns.iter().map(|it| (it.text.as_str(), it)));
        }
        if patterns.is_empty() && branch.names.is_empty() && wanted.is_empty() {
            let mut names = (0..).map(|number| match number {
                0 => Arc::from("extra"),
                number => Arc::from(format!("extra{number}")),
            });
            let name = names.find(|name| !known.contains(name));
            return Fresh { names: name.into_iter().collect(), complete: true };
        }
        let taken = known.iter().map(|name| Value::from(&**name)).collect();
        let mut pieces = vec![
            Piece::Atom(Atom::Types(Types::STRING)),
            Piece::Atom(Atom::NotValues(Arc::new(Values::new(taken)))),
        ];
        pieces.extend(branch.names.iter().chain(wanted).map(|lit| Piece::Lit(*lit)));
        let patterns: Vec<_> = patterns.into_values().cloned().collect();
        let complete = patterns.len() <= PATTERNS_MAX;
        let mut fresh = Fresh { names: Vec::new(), complete };
        let combinations = 1_usize << patterns.len().min(PATTERNS_MAX);
        for combination in 0..combinations {
            let mut pieces = pieces.clone();
            for (index, pattern) in patterns.iter().enumerate() {
                let pattern = Arc::clone(pattern);
                let matches = combination >> index.min(PATTERNS_MAX) & 1 == 1;
                let atom = if matches { Atom::Pattern(pattern) } else { Atom::NotPattern(pattern) };
                pieces.push(Piece::Atom(atom));
            }
            let branch = Branch::default().with(self.sides, &pieces);
            match self.branch(branch, 1) {
                Outcome::Instance(Value::String(name)) => fresh.names.push(name.into()),
                Outcome::None => {}
                _ => fresh.complete = false,
            }
        }
        fresh
    }

    /// Whether what is said of a value cannot be true of any, at first sight.
    pub(super) fn clash(&mut self, lits: &[Lit]) -> bool {
        self.spend(1);
        let branch = Branch::of(self.sides, lits);
        if branch.impossible {
            return true;
        }
        let fewest = branch.values.iter().min_by_key(|values| values.list.len());
        fewest.filter(|values| values.list.len() <= 50).is_some_and(|values| {
            !values.list.iter().any(|value| {
                branch.types.includes(Types::of(value))
                    && branch.values.iter().all(|values| values.contains(value))
                    && !branch.not_values.iter().any(|values| values.contains(value))
            })
        })
    }

    /// An object.
    pub(super) fn object(&mut self, branch: &Branch, depth: usize) -> Outcome {
        let (min, max) = (branch.min_properties, branch.max_properties);
        let count = |names: usize| names as u64;
        if max.is_some_and(|max| max < min || max < count(branch.required.len()))
            || branch.required.intersection(&branch.absent).next().is_some()
        {
            return Outcome::None;
        }
        for name in branch.required.iter() {
            self.spend(1);
            if !self.allowed(branch, name) || !self.named(branch, name) {
                return Outcome::None;
            }
            let mut lits = self.property_lits(branch, name);
            lits.extend(branch.properties.get(name).into_iter().flatten().filter_map(|piece| {
                match piece {
                    Piece::Lit(lit) => Some(*lit),
                    _ => None,
                }
            }));
            if lits.len() > 1 && self.clash(&lits) {
                return Outcome::None;
            }
        }
        let mut chosen: BTreeMap<Arc<str>, Vec<Piece>> =
            branch.required.iter().map(|name| (Arc::clone(name), Vec::new())).collect();
        if let Some(outcome) = self.choose_some(branch, &mut chosen, depth) {
            return outcome;
        }
        if count(chosen.len()) < min
            && let Some(outcome) = self.fill(branch, &mut chosen, depth)
        {
            return outcome;
        }
        if max.is_some_and(|max| max < count(chosen.len())) {
            return Outcome::Unknown;
        }
        let mut members = Map::new();
        let mut total = 0;
        let mut outcome = None;
        for (name, more) in &chosen {
            match self.property(branch, name, more, depth) {
                Outcome::Instance(value) => {
                    total += size(&value);
                    members.insert(name.to_string(), value);
                }
                // Something else may be in the way of what was chosen.
                Outcome::None if more.is_empty() && branch.required.contains(name) => {
                    return Outcome::None;
                }
                Outcome::None | Outcome::Unknown => outcome = Some(Outcome::Unknown),
                Outcome::Large => {
                    outcome.get_or_insert(Outcome::Large);
                }
            }
            if total > self.limits.values {
                outcome.get_or_insert(Outcome::Large);
            }
        }
        self.spend_on(total);
        outcome.unwrap_or(Outcome::Instance(Value::Object(members)))
    }

    /// Finds names for what some property must be. Some answer: the object cannot be built, or is not there.
    fn choose_some(
        &mut self,
        branch: &Branch,
        chosen: &mut BTreeMap<Arc<str>, Vec<Piece>>,
        depth: usize,
    ) -> Option<Outcome> {
        if branch.some_properties.is_empty() && branch.some_names.is_empty() {
            return None;
        }
        let known = self.known_names(branch);
        for (of, part, lit) in branch.some_properties.clone() {
            let mut names: Vec<_> = known
                .iter()
                .filter(|name| !branch.absent.contains(*name) && self.falls_to(of, part, name))
                .cloned()
                .collect();
            // Those that are there anyway first.
            names.sort_by_key(|name| !chosen.contains_key(name));
            let fresh = self.fresh_names(branch, &[of], &known, &[]);
            names.extend(fresh.names.into_iter().filter(|name| self.falls_to(of, part, name)));
            let found = self.some(branch, chosen, &names, &[Piece::Lit(lit)], depth);
            if found != Outcome::Large {
                let none = found.is_none() && fresh.complete;
                return Some(if none { Outcome::None } else { Outcome::Unknown });
            }
        }
        for lit in branch.some_names.clone() {
            let mut names: Vec<_> = known
                .iter()
                .filter(|name| !branch.absent.contains(*name))
                .filter(|name| {
                    let model = self.sides.model(lit.side);
                    let name = Value::from(&***name);
                    let valid = super::evaluate::valid(model, lit.node, &name, &mut 2_000);
                    valid == Some(lit.positive)
                })
                .cloned()
                .collect();
            let fresh = self.fresh_names(branch, &[], &known, &[lit]);
            names.extend(fresh.names);
            let found = self.some(branch, chosen, &names, &[], depth);
            if found != Outcome::Large {
                let none = found.is_none() && fresh.complete;
                return Some(if none { Outcome::None } else { Outcome::Unknown });
            }
        }
        None
    }

    /// Takes the first of these names that can be. `Large` stands for: taken.
    fn some(
        &mut self,
        branch: &Branch,
        chosen: &mut BTreeMap<Arc<str>, Vec<Piece>>,
        names: &[Arc<str>],
        more: &[Piece],
        depth: usize,
    ) -> Outcome {
        let mut outcome = Outcome::None;
        for name in names {
            let mut pieces = chosen.get(name).cloned().unwrap_or_default();
            let first = pieces.is_empty();
            pieces.extend_from_slice(more);
            match self.property(branch, name, &pieces, depth) {
                Outcome::Instance(_) | Outcome::Large => {
                    chosen.insert(Arc::clone(name), pieces);
                    return Outcome::Large;
                }
                // With what was chosen before it does not go together; without, it might.
                Outcome::None if first => {}
                Outcome::None | Outcome::Unknown => outcome = Outcome::Unknown,
            }
        }
        outcome
    }

    /// Adds properties up to `minProperties`.
    fn fill(
        &mut self,
        branch: &Branch,
        chosen: &mut BTreeMap<Arc<str>, Vec<Piece>>,
        depth: usize,
    ) -> Option<Outcome> {
        let min = branch.min_properties;
        let mut known = self.known_names(branch);
        let mut unsure = false;
        for name in known.clone() {
            if chosen.len() as u64 >= min {
                return None;
            }
            if chosen.contains_key(&name) || branch.absent.contains(&name) {
                continue;
            }
            match self.property(branch, &name, &[], depth) {
                Outcome::Instance(_) => {
                    chosen.insert(name, Vec::new());
                }
                Outcome::None => {}
                Outcome::Large | Outcome::Unknown => unsure = true,
            }
        }
        let mut added = 0;
        while (chosen.len() as u64) < min {
            let fresh = self.fresh_names(branch, &[], &known, &[]);
            let mut one = false;
            for name in fresh.names {
                match self.property(branch, &name, &[], depth) {
                    Outcome::Instance(_) => {
                        known.insert(Arc::clone(&name));
                        chosen.insert(name, Vec::new());
                        one = true;
                        added += 1;
                    }
                    Outcome::None => {}
                    Outcome::Large | Outcome::Unknown => unsure = true,
                }
            }
            if !one {
                let none = fresh.complete && !unsure && added == 0;
                return Some(if none { Outcome::None } else { Outcome::Unknown });
            }
            // Each name is looked for among those before it.
            if !self.spend(added / 32) {
                return Some(Outcome::Unknown);
            }
            // So many were found that there are as many as it takes, and it takes too many.
            let missing = min.saturating_sub(chosen.len() as u64);
            let total = added.saturating_add(missing);
            if added > Limits::SMALL.fillers && total > self.limits.fillers {
                return Some(Outcome::Large);
            }
        }
        None
    }
}
