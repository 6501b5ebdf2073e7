//! Search for objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{Outcome, SizeLimits, Solver, size};
use crate::json::{
    conjunct::{Applicator, Atom, Conjunct},
    constraints::Constraints,
    evaluate::{self, of_property},
    literal::Literal,
    model::{Types, Values},
    pattern::Pattern,
};

/// Patterns whose combinations are all tried for a name.
const PATTERNS_MAX: usize = 4;

/// Names that no node declares, one for each combination of patterns that they match.
pub(crate) struct FreshNames {
    pub names: Vec<Arc<str>>,
    /// There is no further combination.
    pub complete: bool,
}

impl Solver<'_> {
    /// Whether a property may be present. Under the lenient content model, undeclared properties of
    /// open objects are absent.
    pub(crate) fn is_allowed(&mut self, constraints: &Constraints, name: &str) -> bool {
        self.strict
            || constraints.allows_undeclared
            || constraints.roots.iter().any(|literal| self.declared(*literal).has(name))
    }

    /// The literals that hold for the value of a property.
    pub(crate) fn property_literals(&self, constraints: &Constraints, name: &str) -> Vec<Literal> {
        let mut literals = Vec::new();
        for literal in &constraints.objects {
            let Some(objects) = &self.schemas.node(*literal).objects else { continue };
            let nodes = of_property(objects, name);
            if let Some(id) = objects.unevaluated
                && nodes.is_empty()
                && !self.schemas.model(literal.role).covers(literal.node, name, true)
            {
                literals.push(literal.of(id));
            }
            literals.extend(nodes.into_iter().map(|id| literal.of(id)));
        }
        literals.sort_unstable();
        literals.dedup();
        literals
    }

    /// Whether an applicator of a node applies to a property.
    pub(crate) fn applies_to(&self, parent: Literal, applicator: Applicator, name: &str) -> bool {
        let Some(objects) = &self.schemas.node(parent).objects else { return false };
        match applicator {
            Applicator::Pattern(index) => {
                objects.patterns.get(index).is_some_and(|(pattern, _)| pattern.matches(name))
            }
            Applicator::Additional => {
                !objects.properties.contains_key(name)
                    && !objects.patterns.iter().any(|(pattern, _)| pattern.matches(name))
            }
            // The property may be evaluated only sometimes; the result is confirmed later.
            Applicator::Unevaluated => {
                !self.schemas.model(parent.role).covers(parent.node, name, false)
            }
        }
    }

    /// Whether `propertyNames` allows a name. An undecided name counts as allowed.
    fn is_allowed_name(&mut self, constraints: &Constraints, name: &str) -> bool {
        let value = Value::from(name);
        constraints.names.iter().all(|literal| {
            let mut work = 2_000.min(self.work + 10);
            let model = self.schemas.model(literal.role);
            let valid = evaluate::valid(model, literal.node, &value, &mut work);
            valid.is_none_or(|valid| valid == literal.positive)
        })
    }

    fn solve_property(
        &mut self,
        constraints: &Constraints,
        name: &str,
        extra: &[Conjunct],
        depth: usize,
    ) -> Outcome {
        if !self.is_allowed(constraints, name) || !self.is_allowed_name(constraints, name) {
            return Outcome::None;
        }
        let mut literals = self.property_literals(constraints, name);
        let pinned = constraints.properties.get(name).into_iter().flatten();
        let mut atoms = Vec::new();
        for conjunct in pinned.chain(extra) {
            match conjunct {
                Conjunct::Literal(literal) => literals.push(*literal),
                conjunct => atoms.push(conjunct.clone()),
            }
        }
        if atoms.is_empty() {
            return self.solve_literals(&literals, depth + 1);
        }
        let constraints = Constraints::of(self.schemas, &literals).with(self.schemas, &atoms);
        self.solve(constraints, depth + 1)
    }

    /// All names that the nodes declare or mention.
    pub(crate) fn known_names(&mut self, constraints: &Constraints) -> BTreeSet<Arc<str>> {
        let mut names: BTreeSet<_> =
            constraints.required.union(&constraints.absent).cloned().collect();
        if !self.strict {
            // Names that an alternative declares count as declared, even if the alternative is not
            // chosen.
            for literal in &constraints.roots {
                names.extend(self.declared(*literal).names.iter().cloned());
            }
        }
        names.extend(constraints.properties.keys().cloned());
        for literal in
            constraints.objects.iter().chain(constraints.some_properties.iter().map(|(of, ..)| of))
        {
            if let Some(objects) = &self.schemas.node(*literal).objects {
                names.extend(objects.properties.keys().cloned());
            }
        }
        names
    }

    /// Names that are not among the known ones.
    pub(crate) fn fresh_names(
        &mut self,
        constraints: &Constraints,
        of: &[Literal],
        known: &BTreeSet<Arc<str>>,
        wanted: &[Literal],
    ) -> FreshNames {
        let mut patterns: BTreeMap<&str, &Arc<Pattern>> = BTreeMap::new();
        for literal in constraints.objects.iter().chain(of) {
            if let Some(objects) = &self.schemas.node(*literal).objects {
                patterns.extend(
                    objects.patterns.iter().map(|(pattern, _)| (pattern.text.as_str(), pattern)),
                );
            }
        }
        let declared: Vec<_> = if self.strict {
            Vec::new()
        } else {
            constraints.roots.iter().map(|literal| self.declared(*literal)).collect()
        };
        for declared in &declared {
            patterns
                .extend(declared.patterns.iter().map(|pattern| (pattern.text.as_str(), pattern)));
        }
        if patterns.is_empty() && constraints.names.is_empty() && wanted.is_empty() {
            let mut names = (0..).map(|number| match number {
                0 => Arc::from("extra"),
                number => Arc::from(format!("extra{number}")),
            });
            let name = names.find(|name| !known.contains(name));
            return FreshNames { names: name.into_iter().collect(), complete: true };
        }
        let known_values = known.iter().map(|name| Value::from(&**name)).collect();
        let mut conjuncts = vec![
            Conjunct::Atom(Atom::Types(Types::STRING)),
            Conjunct::Atom(Atom::NotValues(Arc::new(Values::new(known_values)))),
        ];
        conjuncts.extend(
            constraints.names.iter().chain(wanted).map(|literal| Conjunct::Literal(*literal)),
        );
        let patterns: Vec<_> = patterns.into_values().cloned().collect();
        let complete = patterns.len() <= PATTERNS_MAX;
        let mut fresh = FreshNames { names: Vec::new(), complete };
        let combinations = 1_usize << patterns.len().min(PATTERNS_MAX);
        for combination in 0..combinations {
            let mut conjuncts = conjuncts.clone();
            for (index, pattern) in patterns.iter().enumerate() {
                let pattern = Arc::clone(pattern);
                let matches = combination >> index.min(PATTERNS_MAX) & 1 == 1;
                let atom = if matches { Atom::Pattern(pattern) } else { Atom::NotPattern(pattern) };
                conjuncts.push(Conjunct::Atom(atom));
            }
            let constraints = Constraints::default().with(self.schemas, &conjuncts);
            match self.solve(constraints, 1) {
                Outcome::Instance(Value::String(name)) => fresh.names.push(name.into()),
                Outcome::None => {}
                _ => fresh.complete = false,
            }
        }
        fresh
    }

    /// Whether literals obviously contradict each other.
    pub(crate) fn clash(&mut self, literals: &[Literal]) -> bool {
        self.spend(1);
        let constraints = Constraints::of(self.schemas, literals);
        if constraints.impossible {
            return true;
        }
        let fewest = constraints.values.iter().min_by_key(|values| values.list.len());
        fewest.filter(|values| values.list.len() <= 50).is_some_and(|values| {
            !values.list.iter().any(|value| {
                constraints.types.includes(Types::of(value))
                    && constraints.values.iter().all(|values| values.contains(value))
                    && !constraints.not_values.iter().any(|values| values.contains(value))
            })
        })
    }

    /// Searches for an object.
    pub(super) fn solve_object(&mut self, constraints: &Constraints, depth: usize) -> Outcome {
        let (min, max) = (constraints.min_properties, constraints.max_properties);
        let count = |names: usize| names as u64;
        if max.is_some_and(|max| max < min || max < count(constraints.required.len()))
            || constraints.required.intersection(&constraints.absent).next().is_some()
        {
            return Outcome::None;
        }
        for name in constraints.required.iter() {
            self.spend(1);
            if !self.is_allowed(constraints, name) || !self.is_allowed_name(constraints, name) {
                return Outcome::None;
            }
            let mut literals = self.property_literals(constraints, name);
            literals.extend(constraints.properties.get(name).into_iter().flatten().filter_map(
                |conjunct| match conjunct {
                    Conjunct::Literal(literal) => Some(*literal),
                    _ => None,
                },
            ));
            if literals.len() > 1 && self.clash(&literals) {
                return Outcome::None;
            }
        }
        let mut chosen: BTreeMap<Arc<str>, Vec<Conjunct>> =
            constraints.required.iter().map(|name| (Arc::clone(name), Vec::new())).collect();
        if let Some(outcome) = self.choose_names(constraints, &mut chosen, depth) {
            return outcome;
        }
        if count(chosen.len()) < min
            && let Some(outcome) = self.add_fillers(constraints, &mut chosen, depth)
        {
            return outcome;
        }
        if max.is_some_and(|max| max < count(chosen.len())) {
            return Outcome::Unknown;
        }
        let mut members = Map::new();
        let mut total = 0;
        let mut outcome = None;
        for (name, extra) in &chosen {
            match self.solve_property(constraints, name, extra, depth) {
                Outcome::Instance(value) => {
                    total += size(&value);
                    members.insert(name.to_string(), value);
                }
                // The choice of names may be in conflict.
                Outcome::None if extra.is_empty() && constraints.required.contains(name) => {
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

    /// Chooses names for the properties that some constraint requires to exist. Returns an outcome
    /// if the object cannot be built.
    fn choose_names(
        &mut self,
        constraints: &Constraints,
        chosen: &mut BTreeMap<Arc<str>, Vec<Conjunct>>,
        depth: usize,
    ) -> Option<Outcome> {
        if constraints.some_properties.is_empty() && constraints.some_names.is_empty() {
            return None;
        }
        let known = self.known_names(constraints);
        for (parent, applicator, literal) in constraints.some_properties.clone() {
            let mut names: Vec<_> = known
                .iter()
                .filter(|name| {
                    !constraints.absent.contains(*name) && self.applies_to(parent, applicator, name)
                })
                .cloned()
                .collect();
            // Present names first.
            names.sort_by_key(|name| !chosen.contains_key(name));
            let fresh = self.fresh_names(constraints, &[parent], &known, &[]);
            names.extend(
                fresh.names.into_iter().filter(|name| self.applies_to(parent, applicator, name)),
            );
            let outcome =
                self.choose_name(constraints, chosen, &names, &[Conjunct::Literal(literal)], depth);
            if outcome != Outcome::Large {
                let none = outcome.is_none() && fresh.complete;
                return Some(if none { Outcome::None } else { Outcome::Unknown });
            }
        }
        for literal in constraints.some_names.clone() {
            let mut names: Vec<_> = known
                .iter()
                .filter(|name| !constraints.absent.contains(*name))
                .filter(|name| {
                    let model = self.schemas.model(literal.role);
                    let name = Value::from(&***name);
                    let valid = evaluate::valid(model, literal.node, &name, &mut 2_000);
                    valid == Some(literal.positive)
                })
                .cloned()
                .collect();
            let fresh = self.fresh_names(constraints, &[], &known, &[literal]);
            names.extend(fresh.names);
            let outcome = self.choose_name(constraints, chosen, &names, &[], depth);
            if outcome != Outcome::Large {
                let none = outcome.is_none() && fresh.complete;
                return Some(if none { Outcome::None } else { Outcome::Unknown });
            }
        }
        None
    }

    /// Chooses the first possible name. `Large` means that a name was chosen.
    fn choose_name(
        &mut self,
        constraints: &Constraints,
        chosen: &mut BTreeMap<Arc<str>, Vec<Conjunct>>,
        names: &[Arc<str>],
        extra: &[Conjunct],
        depth: usize,
    ) -> Outcome {
        let mut outcome = Outcome::None;
        for name in names {
            let mut conjuncts = chosen.get(name).cloned().unwrap_or_default();
            let first = conjuncts.is_empty();
            conjuncts.extend_from_slice(extra);
            match self.solve_property(constraints, name, &conjuncts, depth) {
                Outcome::Instance(_) | Outcome::Large => {
                    chosen.insert(Arc::clone(name), conjuncts);
                    return Outcome::Large;
                }
                // The conjuncts of earlier choices may be in conflict.
                Outcome::None if first => {}
                Outcome::None | Outcome::Unknown => outcome = Outcome::Unknown,
            }
        }
        outcome
    }

    /// Adds properties up to `minProperties`.
    fn add_fillers(
        &mut self,
        constraints: &Constraints,
        chosen: &mut BTreeMap<Arc<str>, Vec<Conjunct>>,
        depth: usize,
    ) -> Option<Outcome> {
        let min = constraints.min_properties;
        let mut known = self.known_names(constraints);
        let mut undecided = false;
        for name in known.clone() {
            if chosen.len() as u64 >= min {
                return None;
            }
            if chosen.contains_key(&name) || constraints.absent.contains(&name) {
                continue;
            }
            match self.solve_property(constraints, &name, &[], depth) {
                Outcome::Instance(_) => {
                    chosen.insert(name, Vec::new());
                }
                Outcome::None => {}
                Outcome::Large | Outcome::Unknown => undecided = true,
            }
        }
        let mut added = 0;
        while (chosen.len() as u64) < min {
            let fresh = self.fresh_names(constraints, &[], &known, &[]);
            let mut progress = false;
            for name in fresh.names {
                match self.solve_property(constraints, &name, &[], depth) {
                    Outcome::Instance(_) => {
                        known.insert(Arc::clone(&name));
                        chosen.insert(name, Vec::new());
                        progress = true;
                        added += 1;
                    }
                    Outcome::None => {}
                    Outcome::Large | Outcome::Unknown => undecided = true,
                }
            }
            if !progress {
                let none = fresh.complete && !undecided && added == 0;
                return Some(if none { Outcome::None } else { Outcome::Unknown });
            }
            // Each name is searched for among the previous ones.
            if !self.spend(added / 32) {
                return Some(Outcome::Unknown);
            }
            // Enough were found to expect as many as are required, which is too many.
            let missing = min.saturating_sub(chosen.len() as u64);
            let total = added.saturating_add(missing);
            if added > SizeLimits::SMALL.fillers && total > self.limits.fillers {
                return Some(Outcome::Large);
            }
        }
        None
    }
}
