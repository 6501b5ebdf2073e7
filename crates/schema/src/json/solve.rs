//! Searches for an instance that satisfies constraints, or proves that there is none.
//!
//! [`Outcome::None`] is a proof: every approximation only widens the search. [`Outcome::Instance`]
//! is a candidate: the validators check it before it becomes a counterexample.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
};

use serde_json::Value;

use self::declared::Declared;
use super::{
    conjunct::{Atom, Conjunct},
    constraints::Constraints,
    equivalence::Equivalence,
    literal::{Literal, Role, SchemaPair},
    model::{NodeId, Types, Values},
    number::{Decimal, respelled},
};

mod array;
mod candidate;
mod declared;
mod object;
mod scalar;

/// Nested instances in one search.
const DEPTH_MAX: usize = 60;
/// Nested searches, which take stack.
const NESTED_MAX: usize = 1_500;
/// Values of an `enum` that are tried.
const VALUES_MAX: usize = 200_000;

/// Sizes of the instances that a search builds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SizeLimits {
    /// Characters of a string.
    pub text: u64,
    /// Items of an array.
    pub items: u64,
    /// Properties that are added to reach `minProperties`.
    pub fillers: u64,
    /// Values in total.
    pub values: usize,
}

impl SizeLimits {
    /// Sufficient for nearly every assertion.
    pub(crate) const SMALL: Self = Self { text: 1_500, items: 300, fillers: 300, values: 2_000 };
    /// Up to about a megabyte: for bounds that no smaller instance exceeds.
    pub(crate) const LARGE: Self =
        Self { text: 1 << 20, items: 20_000, fillers: 1_100, values: 40_000 };
}

/// Result of a search.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// A candidate.
    Instance(Value),
    /// An instance exists, but is too large to build.
    Large,
    /// No instance exists.
    None,
    /// The search exceeded a limit.
    Unknown,
}

impl Outcome {
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// State of all searches of one subsumption check.
pub(crate) struct Solver<'a> {
    pub schemas: SchemaPair<'a>,
    /// Undeclared properties may have any value. Otherwise they are treated as absent.
    pub strict: bool,
    pub limits: SizeLimits,
    /// Steps left.
    pub work: u64,
    pub equivalence: Equivalence,
    memo: HashMap<Vec<Literal>, Outcome>,
    open: HashSet<Vec<Literal>>,
    /// Current depth of nested searches.
    nested: usize,
    /// A result depends on a search that is still open.
    tainted: bool,
    declared: HashMap<Literal, Rc<Declared>>,
    pub(super) strings: HashMap<String, Outcome>,
}

impl<'a> Solver<'a> {
    pub(crate) fn new(
        schemas: SchemaPair<'a>,
        strict: bool,
        limits: SizeLimits,
        work: u64,
    ) -> Self {
        Self {
            schemas,
            strict,
            limits,
            work,
            equivalence: Equivalence::default(),
            memo: HashMap::new(),
            open: HashSet::new(),
            nested: 0,
            tainted: false,
            declared: HashMap::new(),
            strings: HashMap::new(),
        }
    }

    pub(crate) fn spend(&mut self, steps: u64) -> bool {
        self.work = self.work.saturating_sub(steps);
        self.work > 0
    }

    /// Accounts for building, copying and comparing an instance of so many values. Small instances
    /// are included in the cost of a step.
    pub(super) fn spend_on(&mut self, values: usize) {
        self.spend(values.saturating_sub(SizeLimits::SMALL.values) as u64 / 4);
    }

    /// Whether a node of the writer and a node of the reader are equivalent.
    pub(crate) fn is_equivalent(&mut self, writer: NodeId, reader: NodeId) -> bool {
        self.spend(1);
        self.equivalence.holds((self.schemas.writer, writer), (self.schemas.reader, reader))
    }

    /// Searches for an instance for which all literals hold.
    pub(crate) fn solve_literals(&mut self, literals: &[Literal], depth: usize) -> Outcome {
        let mut key = literals.to_vec();
        key.sort_unstable();
        key.dedup();
        if let Some(known) = self.memo.get(&key) {
            return known.clone();
        }
        if depth > DEPTH_MAX || !self.spend(1) {
            return Outcome::Unknown;
        }
        if !self.open.insert(key.clone()) {
            // Instances are finite: the smallest one does not contain itself.
            self.tainted = true;
            return Outcome::None;
        }
        let outer = std::mem::replace(&mut self.tainted, false);
        let constraints = Constraints::of(self.schemas, &key);
        let outcome = self.solve(constraints, depth);
        self.open.remove(&key);
        let rests = self.tainted && !matches!(outcome, Outcome::Instance(_));
        if !rests && self.work > 0 {
            self.memo.insert(key, outcome.clone());
        }
        self.tainted |= outer;
        outcome
    }

    /// Searches for an instance that satisfies constraints.
    pub(crate) fn solve(&mut self, constraints: Constraints, depth: usize) -> Outcome {
        if constraints.impossible {
            return Outcome::None;
        }
        if self.nested >= NESTED_MAX {
            return Outcome::Unknown;
        }
        self.nested += 1;
        let outcome = self.solve_choices(constraints, depth);
        self.nested -= 1;
        outcome
    }

    /// Tries one alternative after the other.
    fn solve_choices(&mut self, mut constraints: Constraints, depth: usize) -> Outcome {
        if depth > DEPTH_MAX || !self.spend(constraints.weight()) {
            return Outcome::Unknown;
        }
        if let Some(values) = constraints.values.iter().min_by_key(|values| values.list.len()) {
            let values = Arc::clone(values);
            return self.solve_values(&values, &constraints);
        }
        // Starts with the choice that has the fewest remaining alternatives.
        let schemas = self.schemas;
        let mut pending = std::mem::take(&mut constraints.pending);
        for alternatives in &mut pending {
            if alternatives.iter().any(|alternative| constraints.contradicts(schemas, alternative))
            {
                let left = alternatives
                    .iter()
                    .filter(|alternative| !constraints.contradicts(schemas, alternative));
                *alternatives = Rc::new(left.cloned().collect());
            }
            if alternatives.is_empty() {
                return Outcome::None;
            }
        }
        let fewest = pending.iter().enumerate().min_by_key(|(_, alternatives)| alternatives.len());
        let Some((index, _)) = fewest else {
            return self.solve_leaf(&constraints, depth);
        };
        let alternatives = pending.swap_remove(index);
        constraints.pending = pending;
        let mut outcome = Outcome::None;
        for alternative in alternatives.iter() {
            if self.work == 0 {
                return Outcome::Unknown;
            }
            let mut chosen = constraints.clone();
            for conjunct in alternative {
                chosen.add(schemas, conjunct);
            }
            match self.solve(chosen, depth) {
                Outcome::Instance(value) => return Outcome::Instance(value),
                Outcome::None => {}
                Outcome::Large => outcome = Outcome::Large,
                Outcome::Unknown if outcome == Outcome::None => outcome = Outcome::Unknown,
                Outcome::Unknown => {}
            }
        }
        outcome
    }

    /// Searches among the listed values.
    fn solve_values(&mut self, values: &Values, constraints: &Constraints) -> Outcome {
        let mut outcome = Outcome::None;
        for (index, value) in values.list.iter().enumerate() {
            if index >= VALUES_MAX || !self.spend(1) {
                return Outcome::Unknown;
            }
            match self.holds(constraints, value) {
                Some(true) if !self.is_declared_value(constraints, value) => {}
                Some(true) => return Outcome::Instance(value.clone()),
                Some(false) => {}
                None => outcome = Outcome::Unknown,
            }
            if !self.distinguishes_integers() {
                continue;
            }
            // A list with 1 also accepts 1.0.
            match respelled(value) {
                Some(respelling) if self.holds(constraints, &respelling) == Some(true) => {
                    return Outcome::Instance(respelling);
                }
                Some(_) => {}
                None if has_integers(value) => outcome = Outcome::Unknown,
                None => {}
            }
        }
        outcome
    }

    fn distinguishes_integers(&self) -> bool {
        self.schemas.writer.strict_integers || self.schemas.reader.strict_integers
    }

    /// Whether a listed value has only declared properties, or is listed by the writer.
    fn is_declared_value(&mut self, constraints: &Constraints, value: &Value) -> bool {
        let Value::Object(members) = value else { return true };
        let listed =
            constraints.asserted.iter().filter(|literal| literal.role == Role::Writer).any(
                |literal| {
                    let node = self.schemas.node(*literal);
                    let mut lists = node.values.iter().chain(&node.constant);
                    lists.any(|values| values.contains(value))
                },
            );
        constraints.given || listed || members.keys().all(|name| self.is_allowed(constraints, name))
    }

    /// Searches for an instance of constraints without open choices, type by type.
    fn solve_leaf(&mut self, constraints: &Constraints, depth: usize) -> Outcome {
        let mut outcome = Outcome::None;
        for types in Types::EACH {
            // If no schema distinguishes them, both spellings have the same instances.
            let is_distinct = types != Types::WHOLE || self.distinguishes_integers();
            if !constraints.types.includes(types) || !is_distinct {
                continue;
            }
            let solution = match types {
                Types::NULL => self.first_allowed(constraints, vec![Value::Null]),
                Types::BOOLEAN => self.first_allowed(constraints, vec![true.into(), false.into()]),
                Types::INTEGER => self.solve_number(constraints, false),
                Types::WHOLE => match self.solve_number(constraints, false) {
                    Outcome::Instance(value) => {
                        respelled(&value).map_or(Outcome::Unknown, Outcome::Instance)
                    }
                    solution => solution,
                },
                Types::FRACTION => self.solve_number(constraints, true),
                Types::STRING => self.solve_string(constraints),
                Types::ARRAY => self.solve_array(constraints, depth),
                _ => self.solve_object(constraints, depth),
            };
            let solution = match solution {
                Outcome::Instance(_) if constraints.unknown => Outcome::Unknown,
                Outcome::Instance(value) => self.confirmed(constraints, value, depth),
                solution => solution,
            };
            match solution {
                Outcome::Instance(value) => return Outcome::Instance(value),
                Outcome::None => {}
                Outcome::Large => outcome = Outcome::Large,
                Outcome::Unknown if outcome == Outcome::None => outcome = Outcome::Unknown,
                Outcome::Unknown => {}
            }
        }
        outcome
    }

    /// Confirms a candidate. If it satisfies an excluded alternative, the search continues with
    /// that alternative negated.
    fn confirmed(&mut self, constraints: &Constraints, value: Value, depth: usize) -> Outcome {
        let violated = self.violated(constraints, &value);
        if !violated.is_empty() {
            if violated.iter().all(|literal| constraints.has(literal.negated())) {
                return Outcome::Unknown;
            }
            let mut constraints = constraints.clone();
            for literal in violated {
                constraints.add(self.schemas, &Conjunct::Literal(literal.negated()));
            }
            return self.solve(constraints, depth);
        }
        if constraints.not_values.iter().any(|values| values.contains(&value)) {
            return self.solve_larger(constraints, &value, depth);
        }
        match self.holds(constraints, &value) {
            Some(false) => Outcome::Unknown,
            Some(true) | None => Outcome::Instance(value),
        }
    }

    /// Searches for an array or object with more children than an excluded one.
    fn solve_larger(&mut self, constraints: &Constraints, value: &Value, depth: usize) -> Outcome {
        let (count, atom) = match value {
            Value::Array(items) => (items.len(), Atom::MinItems(items.len() as u64 + 1)),
            Value::Object(members) => {
                (members.len(), Atom::MinProperties(members.len() as u64 + 1))
            }
            _ => return Outcome::Unknown,
        };
        if !self.spend(10) || self.nested >= NESTED_MAX {
            return Outcome::Unknown;
        }
        let types = Atom::Types(Types::of(value));
        let larger = constraints.with(self.schemas, &[Conjunct::Atom(types), Conjunct::Atom(atom)]);
        self.nested += 1;
        let outcome = self.solve_leaf(&larger, depth);
        self.nested -= 1;
        match outcome {
            // Only one value is empty; there may be further values with the same number of
            // children.
            Outcome::None if count > 0 => Outcome::Unknown,
            outcome => outcome,
        }
    }

    fn first_allowed(&mut self, constraints: &Constraints, values: Vec<Value>) -> Outcome {
        let free =
            |value: &Value| !constraints.not_values.iter().any(|values| values.contains(value));
        let free = values
            .into_iter()
            .filter(free)
            .find(|value| self.violated(constraints, value).is_empty());
        free.map_or(Outcome::None, Outcome::Instance)
    }
}

/// Whether a value contains integers, which have two spellings.
fn has_integers(value: &Value) -> bool {
    match value {
        Value::Number(number) => Decimal::of(number).is_integer(),
        Value::Array(items) => items.iter().any(has_integers),
        Value::Object(members) => members.values().any(has_integers),
        _ => false,
    }
}

/// Number of values in an instance; a long string counts as several.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(size).sum::<usize>(),
        Value::String(text) => 1 + text.len() / 100,
        _ => 1,
    }
}
