//! Subsumption: finds the keywords of a reader's schema that reject an instance of the writer's
//! schema.
//!
//! Each keyword of the reader becomes a search: is there an instance that is valid for the writer
//! and that this keyword rejects? If there is none for any keyword, the reader accepts everything
//! that the writer accepts.

use std::{collections::HashMap, mem, sync::Arc};

use jsonschema::Validator;
use serde_json::Value;

pub(crate) use self::failure::{Failure, FailureKind};

use super::{
    conjunct::{Atom, Conjunct},
    constraints::Constraints,
    cost,
    literal::{Literal, Role, SchemaPair},
    model::{NodeId, Types, Values},
    solve::{Outcome, SizeLimits, Solver},
};

mod failure;
mod keywords;
mod object;

/// Nested positions in an instance that are followed.
const DEPTH_MAX: usize = 50;
/// Combinations of the writer's alternatives that are enumerated.
const BRANCHES_MAX: usize = 64;
/// Failures in one result.
pub(crate) const FAILURES_MAX: usize = 200;
/// Visits of nodes by which the validators confirm counterexamples.
const CHECK_VISITS_MAX: u64 = 2_000_000;
/// Steps for the last resort: one search for the whole reader schema.
const WHOLE_WORK: u64 = 40_000;
/// Steps for large payloads.
const LARGE_WORK: u64 = 40_000;

/// A position on the path from the root of the instance to the current value.
struct Frame {
    constraints: Constraints,
    segment: PathSegment,
}

#[derive(Clone)]
enum PathSegment {
    Property(Arc<str>),
    Item(usize),
}

/// An assertion of the reader that is checked.
#[derive(Clone)]
struct Assertion {
    kind: FailureKind,
    reader: NodeId,
    name: String,
}

/// Collects the failures.
pub(crate) struct SubsumptionCheck<'a> {
    pub(super) solver: Solver<'a>,
    /// Solver for large payloads.
    large_solver: Solver<'a>,
    validators: (&'a Validator, &'a Validator),
    frames: Vec<Frame>,
    /// Checked pairs of literals and reader node, and whether one of their assertions failed.
    visited: HashMap<(Vec<Literal>, NodeId), bool>,
    /// Number of failed assertions, including those that are already recorded.
    failed_count: usize,
    /// Nodes of the reader that are being checked, with the depth in the instance.
    open_nodes: Vec<(usize, NodeId)>,
    failures: Vec<Failure>,
    /// Remaining visits of the validators.
    visits: u64,
}

impl<'a> SubsumptionCheck<'a> {
    pub(crate) fn new(
        schemas: SchemaPair<'a>,
        validators: (&'a Validator, &'a Validator),
        strict: bool,
        work: u64,
    ) -> Self {
        Self {
            solver: Solver::new(schemas, strict, SizeLimits::SMALL, work),
            large_solver: Solver::new(schemas, strict, SizeLimits::LARGE, LARGE_WORK),
            validators,
            frames: Vec::new(),
            visited: HashMap::new(),
            failed_count: 0,
            open_nodes: Vec::new(),
            failures: Vec::new(),
            visits: CHECK_VISITS_MAX,
        }
    }

    /// Returns all failures. If there are none, the reader accepts everything that the writer may
    /// write.
    pub(crate) fn run(mut self) -> Vec<Failure> {
        let (writer, reader) = (self.solver.schemas.writer.root, self.solver.schemas.reader.root);
        self.check(&[Literal::writer(writer)], reader, 0);
        if self.failures.is_empty() || self.failures.iter().any(|failure| failure.payload.is_some())
        {
            return self.failures;
        }
        // No failure has a counterexample. A search for the whole schema may still find one, or a
        // proof.
        let schemas = self.solver.schemas;
        let mut solver = Solver::new(schemas, self.solver.strict, SizeLimits::LARGE, WHOLE_WORK);
        let constraints =
            Constraints::of(schemas, &[Literal::writer(writer), Literal::reader(reader).negated()]);
        match solver.solve(constraints, 0) {
            Outcome::None if !self.failures.iter().any(|failure| failure.proven) => {
                return Vec::new();
            }
            Outcome::Instance(value) => {
                if self.confirms(&value)
                    && let Some(first) = self.failures.first_mut()
                {
                    first.proven = true;
                    first.payload = Some(value);
                }
            }
            Outcome::None | Outcome::Large | Outcome::Unknown => {}
        }
        self.failures
    }

    fn confirms(&mut self, value: &Value) -> bool {
        let schemas = self.solver.schemas;
        let visits = [schemas.writer, schemas.reader].map(|model| cost::visits(model, value));
        let Some(left) = self.visits.checked_sub(visits.iter().sum()) else { return false };
        self.visits = left;
        self.validators.0.is_valid(value) && !self.validators.1.is_valid(value)
    }

    /// Checks whether the literals imply that an instance is valid under a node of the reader.
    fn check(&mut self, literals: &[Literal], reader: NodeId, depth: usize) {
        let mut key = literals.to_vec();
        key.sort_unstable();
        key.dedup();
        if self.is_subsumed(&key, reader) {
            return;
        }
        let pair = (key, reader);
        if let Some(failed) = self.visited.get(&pair) {
            self.failed_count += usize::from(*failed);
            return;
        }
        let key = pair.0.clone();
        self.visited.insert(pair.clone(), false);
        let before = self.failed_count;
        let constraints = Constraints::of(self.solver.schemas, &key);
        if depth > DEPTH_MAX || !self.solver.spend(2) {
            self.give_up(&constraints, reader);
        } else {
            self.check_alternatives(constraints, reader, depth);
        }
        self.visited.insert(pair, self.failed_count > before);
    }

    /// Whether a node of the reader accepts everything, or is equivalent to a literal.
    fn is_subsumed(&mut self, literals: &[Literal], reader: NodeId) -> bool {
        if self.solver.schemas.reader.node(reader).is_true() {
            return true;
        }
        literals.iter().any(|literal| {
            literal.positive
                && match literal.role {
                    Role::Writer => self.solver.is_equivalent(literal.node, reader),
                    Role::Reader => literal.node == reader,
                }
        })
    }

    /// Checks a node under every alternative of the writer.
    pub(super) fn check_alternatives(
        &mut self,
        constraints: Constraints,
        reader: NodeId,
        depth: usize,
    ) {
        let mut complete = Vec::new();
        let mut open = vec![constraints.clone()];
        while let Some(mut next) = open.pop() {
            if next.impossible {
                continue;
            }
            // The values of a finite set are tried one by one, without enumerating the
            // alternatives.
            if next.pending.is_empty() || !next.values.is_empty() {
                complete.push(next);
                continue;
            }
            let alternatives = next.pending.remove(0);
            let weight = next.weight() * alternatives.len() as u64 / 2;
            if open.len() + complete.len() + alternatives.len() > BRANCHES_MAX
                || !self.solver.spend(weight)
            {
                // Too many combinations. A single search may prove validity; otherwise each keyword
                // is checked against all alternatives at once.
                let negated = constraints.with(
                    self.solver.schemas,
                    &[Conjunct::Literal(Literal::reader(reader).negated())],
                );
                let (before, share) = (self.solver.work, self.solver.work / 4);
                self.solver.work = share;
                let none = self.solver.solve(negated, 1).is_none();
                self.solver.work = before - (share - self.solver.work);
                if !none {
                    self.check_node(&constraints, reader, depth);
                }
                return;
            }
            for alternative in alternatives.iter().rev() {
                open.push(next.with(self.solver.schemas, alternative));
            }
        }
        for constraints in complete {
            self.check_node(&constraints, reader, depth);
        }
    }

    fn check_node(&mut self, constraints: &Constraints, reader: NodeId, depth: usize) {
        // A node that refers to itself at the same position asserts nothing new.
        let position = (self.frames.len(), reader);
        if self.open_nodes.contains(&position) {
            return;
        }
        self.open_nodes.push(position);
        self.check_keywords(constraints, reader, depth);
        self.open_nodes.pop();
    }

    pub(super) fn descend_property(
        &mut self,
        constraints: &Constraints,
        name: &Arc<str>,
        literals: &[Literal],
        id: NodeId,
        depth: usize,
    ) {
        self.descend(constraints, PathSegment::Property(Arc::clone(name)), literals, id, depth);
    }

    fn descend(
        &mut self,
        constraints: &Constraints,
        segment: PathSegment,
        literals: &[Literal],
        id: NodeId,
        depth: usize,
    ) {
        if self.is_subsumed(literals, id) {
            return;
        }
        self.frames.push(Frame { constraints: constraints.clone(), segment });
        self.check(literals, id, depth + 1);
        self.frames.pop();
    }

    fn assertion(&self, kind: FailureKind, reader: NodeId) -> Assertion {
        Assertion { kind, reader, name: String::new() }
    }

    fn check_typed(
        &mut self,
        kind: FailureKind,
        constraints: &Constraints,
        reader: NodeId,
        types: Types,
        atom: Option<Atom>,
    ) {
        let conjuncts: Vec<_> =
            std::iter::once(Atom::Types(types)).chain(atom).map(Conjunct::Atom).collect();
        self.check_assertion(&self.assertion(kind, reader), constraints, &conjuncts);
    }

    pub(super) fn check_object_assertion(
        &mut self,
        kind: FailureKind,
        reader: NodeId,
        name: &str,
        constraints: &Constraints,
        conjuncts: &[Atom],
    ) -> bool {
        let assertion = Assertion { kind, reader, name: name.to_owned() };
        let typed = std::iter::once(Atom::Types(Types::OBJECT)).chain(conjuncts.iter().cloned());
        self.check_assertion(
            &assertion,
            constraints,
            &typed.map(Conjunct::Atom).collect::<Vec<_>>(),
        )
    }

    /// Checks an assertion: searches for an instance of the writer that satisfies the `refused`
    /// conjuncts, and records it as a failure. Returns whether it failed.
    fn check_assertion(
        &mut self,
        assertion: &Assertion,
        constraints: &Constraints,
        refused: &[Conjunct],
    ) -> bool {
        if !self.solver.spend(constraints.weight()) {
            self.record(assertion, constraints, String::new(), false, None);
            return true;
        }
        let case = constraints.with(self.solver.schemas, refused);
        let outcome = self.solver.solve(case.clone(), 1);
        if outcome.is_none() {
            return false;
        }
        let listed = self.refused_values(assertion.kind, &case);
        let payload = match outcome {
            Outcome::Instance(value) => self.embed(value),
            outcome => outcome,
        };
        let (proven, payload) = match payload {
            Outcome::Instance(value) if self.confirms(&value) => (true, Some(value)),
            Outcome::Large => match self.solve_large(&case) {
                Some(value) => (true, Some(value)),
                // The payload is too large to build. It exists, and the writer accepts a similar
                // one.
                None => (self.is_reachable(constraints), None),
            },
            Outcome::Instance(_) | Outcome::Unknown | Outcome::None => (false, None),
        };
        self.record(assertion, constraints, listed, proven, payload);
        true
    }

    /// Whether the writer accepts a value at this position.
    fn is_reachable(&mut self, constraints: &Constraints) -> bool {
        let Outcome::Instance(value) = self.solver.solve(constraints.clone(), 1) else {
            return false;
        };
        match self.embed(value) {
            Outcome::Instance(value) => self.validators.0.is_valid(&value),
            _ => false,
        }
    }

    /// Searches for a large payload that proves a failure.
    fn solve_large(&mut self, case: &Constraints) -> Option<Value> {
        mem::swap(&mut self.solver, &mut self.large_solver);
        let payload = match self.solver.solve(case.clone(), 1) {
            Outcome::Instance(value) => self.embed(value),
            outcome => outcome,
        };
        mem::swap(&mut self.solver, &mut self.large_solver);
        match payload {
            Outcome::Instance(value) if self.confirms(&value) => Some(value),
            _ => None,
        }
    }

    /// The values of the writer that are rejected.
    fn refused_values(&mut self, kind: FailureKind, case: &Constraints) -> String {
        let Some(values) = case.values.iter().min_by_key(|values| values.list.len()).cloned()
        else {
            return String::new();
        };
        if kind != FailureKind::Values && kind != FailureKind::Type || values.list.len() > 1_000 {
            return String::new();
        }
        let refused =
            values.list.iter().filter(|value| self.solver.holds(case, value) == Some(true));
        let refused: Vec<_> = refused.take(20).map(Value::to_string).collect();
        refused.join(", ")
    }

    fn give_up(&mut self, constraints: &Constraints, reader: NodeId) {
        self.record(
            &self.assertion(FailureKind::Other, reader),
            constraints,
            String::new(),
            false,
            None,
        );
    }

    fn record(
        &mut self,
        assertion: &Assertion,
        constraints: &Constraints,
        refused: String,
        proven: bool,
        payload: Option<Value>,
    ) {
        self.failed_count += 1;
        let Assertion { kind, reader, name } = assertion.clone();
        let earlier = self.failures.iter_mut().find(|failure| {
            failure.kind == kind && failure.reader == reader && failure.name == name
        });
        if let Some(earlier) = earlier {
            if earlier.payload.is_none() && (payload.is_some() || proven && !earlier.proven) {
                let path = path(&self.frames);
                *earlier = Failure { proven, payload, refused, path, ..earlier.clone() };
            }
            return;
        }
        if self.failures.len() >= FAILURES_MAX {
            return;
        }
        let path = path(&self.frames);
        let writer = self.locate(constraints, kind, &name);
        self.failures.push(Failure { kind, reader, writer, name, refused, proven, payload, path });
    }

    /// The whole payload, with a value at the position of the current frame.
    fn embed(&mut self, value: Value) -> Outcome {
        let mut value = value;
        let schemas = self.solver.schemas;
        for index in (0..self.frames.len()).rev() {
            let Some(frame) = self.frames.get(index) else { return Outcome::Unknown };
            let only = Conjunct::Atom(Atom::Given(Arc::new(Values::new(vec![value]))));
            let conjuncts = match &frame.segment {
                PathSegment::Property(name) => vec![
                    Conjunct::Atom(Atom::Types(Types::OBJECT)),
                    Conjunct::Atom(Atom::Required(Arc::clone(name))),
                    Conjunct::Atom(Atom::Property(Arc::clone(name), Box::new(only))),
                ],
                PathSegment::Item(index) => vec![
                    Conjunct::Atom(Atom::Types(Types::ARRAY)),
                    Conjunct::Atom(Atom::Item(*index, Box::new(only))),
                ],
            };
            let case = frame.constraints.with(schemas, &conjuncts);
            match self.solver.solve(case, 1) {
                Outcome::Instance(parent) => value = parent,
                outcome => return outcome,
            }
        }
        Outcome::Instance(value)
    }
}

/// The path of the frames as a JSON pointer.
fn path(frames: &[Frame]) -> String {
    let token = |frame: &Frame| match &frame.segment {
        PathSegment::Property(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        PathSegment::Item(index) => format!("/{index}"),
    };
    frames.iter().map(token).collect()
}
