//! What of a reader's schema can fail on what a writer's schema lets through: keyword by keyword.
//!
//! Every keyword of the reader becomes a question to the solver: is there an instance that is valid for the writer and
//! that this keyword refuses? Where the answer is no for all of them, the reader takes everything.

use std::{collections::HashMap, mem, sync::Arc};

use jsonschema::Validator;
use serde_json::Value;

use super::{
    branch::{Atom, Branch, Lit, Piece, Side, Sides},
    effort,
    model::{NodeId, Types, Values},
    solve::{Limits, Outcome, Solver},
};

/// Steps in parts of instances that are followed.
const DEPTH_MAX: usize = 50;
/// Branches that a writer's alternatives are written out into.
const BRANCHES_MAX: usize = 64;
/// Failures that one answer lists.
pub(crate) const FAILURES_MAX: usize = 200;
/// Visits of nodes that the validators may take to confirm counterexamples.
const CHECK_VISITS_MAX: u64 = 2_000_000;
/// Work for the last resort, the question as a whole.
const WHOLE_WORK: u64 = 40_000;
/// Work for payloads that have to be large.
const LARGE_WORK: u64 = 40_000;

/// What a reader refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Type,
    Values,
    Minimum,
    Maximum,
    MultipleOf,
    MinLength,
    MaxLength,
    Pattern,
    MinItems,
    MaxItems,
    UniqueItems,
    Contains,
    /// An item where no item may be.
    ItemClosed,
    Required,
    DependentRequired,
    PropertyNames,
    MinProperties,
    MaxProperties,
    /// A property where no other property may be.
    PropertyClosed,
    /// Any further property.
    AdditionalProperties,
    /// A property that the writer says nothing of.
    PropertyOpen,
    AnyOf,
    OneOf,
    OneOfOverlap,
    Not,
    /// Everything.
    False,
    /// Something that is not understood.
    Other,
}

/// A keyword of the reader that refuses something.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub kind: Kind,
    pub reader: NodeId,
    /// The node of the writer at the same place.
    pub writer: Option<NodeId>,
    /// The property, the item or the dependency.
    pub name: String,
    /// What exactly is refused, where that is a list.
    pub refused: String,
    pub proven: bool,
    /// A payload that shows it: a counterexample.
    pub payload: Option<Value>,
    /// How many of the values below lead to it: the property names and indexes from the root.
    pub path: String,
}

/// A way down into an instance.
struct Frame {
    branch: Branch,
    step: Step,
}

#[derive(Clone)]
enum Step {
    Property(Arc<str>),
    Item(usize),
}

/// A keyword to ask about.
#[derive(Clone)]
struct Question {
    kind: Kind,
    reader: NodeId,
    name: String,
}

/// Finds everything that can fail.
pub(crate) struct Finder<'a> {
    pub(super) solver: Solver<'a>,
    /// The one that builds large payloads.
    large: Solver<'a>,
    validators: (&'a Validator, &'a Validator),
    frames: Vec<Frame>,
    /// Questions that were asked, and whether something failed.
    visited: HashMap<(Vec<Lit>, NodeId), bool>,
    /// How often something failed, in whatever way it was noted.
    noted: usize,
    /// The reader's nodes that are being asked about, with how far down the instance.
    within: Vec<(usize, NodeId)>,
    failures: Vec<Failure>,
    /// Visits left for the validators.
    visits: u64,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(
        sides: Sides<'a>,
        validators: (&'a Validator, &'a Validator),
        strict: bool,
        work: u64,
    ) -> Self {
        Self {
            solver: Solver::new(sides, strict, Limits::SMALL, work),
            large: Solver::new(sides, strict, Limits::LARGE, LARGE_WORK),
            validators,
            frames: Vec::new(),
            visited: HashMap::new(),
            noted: 0,
            within: Vec::new(),
            failures: Vec::new(),
            visits: CHECK_VISITS_MAX,
        }
    }

    /// All failures. Empty: the reader takes everything that the writer may write.
    pub(crate) fn run(mut self) -> Vec<Failure> {
        let (writer, reader) = (self.solver.sides.writer.root, self.solver.sides.reader.root);
        self.goal(&[Lit::writer(writer)], reader, 0);
        if self.failures.is_empty() || self.failures.iter().any(|it| it.payload.is_some()) {
            return self.failures;
        }
        // Nothing was shown. The question as a whole may have an answer still.
        let sides = self.solver.sides;
        let mut whole = Solver::new(sides, self.solver.strict, Limits::LARGE, WHOLE_WORK);
        let branch = Branch::of(sides, &[Lit::writer(writer), Lit::reader(reader).negated()]);
        match whole.branch(branch, 0) {
            Outcome::None if !self.failures.iter().any(|failure| failure.proven) => {
                return Vec::new();
            }
            Outcome::Instance(value) => {
                if self.shows(&value)
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

    fn shows(&mut self, value: &Value) -> bool {
        let sides = self.solver.sides;
        let visits = [sides.writer, sides.reader].map(|model| effort::visits(model, value));
        let Some(left) = self.visits.checked_sub(visits.iter().sum()) else { return false };
        self.visits = left;
        self.validators.0.is_valid(value) && !self.validators.1.is_valid(value)
    }

    /// Whether all that these say of an instance makes it valid for the reader.
    fn goal(&mut self, lits: &[Lit], reader: NodeId, depth: usize) {
        let mut key = lits.to_vec();
        key.sort_unstable();
        key.dedup();
        if self.known(&key, reader) {
            return;
        }
        let question = (key, reader);
        if let Some(failed) = self.visited.get(&question) {
            self.noted += usize::from(*failed);
            return;
        }
        let key = question.0.clone();
        self.visited.insert(question.clone(), false);
        let before = self.noted;
        let branch = Branch::of(self.solver.sides, &key);
        if depth > DEPTH_MAX || !self.solver.spend(2) {
            self.give_up(&branch, reader);
        } else {
            self.spread(branch, reader, depth);
        }
        self.visited.insert(question, self.noted > before);
    }

    /// Whether a node of the reader takes everything, or says what one of the writer's says.
    fn known(&mut self, lits: &[Lit], reader: NodeId) -> bool {
        if self.solver.sides.reader.node(reader).is_true() {
            return true;
        }
        lits.iter().any(|lit| {
            lit.positive
                && match lit.side {
                    Side::Writer => self.solver.same(lit.node, reader),
                    Side::Reader => lit.node == reader,
                }
        })
    }

    /// Goes on in every alternative of the writer's.
    pub(super) fn spread(&mut self, branch: Branch, reader: NodeId, depth: usize) {
        let mut done = Vec::new();
        let mut open = vec![branch.clone()];
        while let Some(mut next) = open.pop() {
            if next.impossible {
                continue;
            }
            // A finite set of values is gone through; its alternatives need no writing out.
            if next.pending.is_empty() || !next.values.is_empty() {
                done.push(next);
                continue;
            }
            let ways = next.pending.remove(0);
            let weight = next.weight() * ways.len() as u64 / 2;
            if open.len() + done.len() + ways.len() > BRANCHES_MAX || !self.solver.spend(weight) {
                // Too many. Perhaps the question has an answer as a whole; else each keyword is asked about all.
                let whole =
                    branch.with(self.solver.sides, &[Piece::Lit(Lit::reader(reader).negated())]);
                let (before, part) = (self.solver.work, self.solver.work / 4);
                self.solver.work = part;
                let none = self.solver.branch(whole, 1).is_none();
                self.solver.work = before - (part - self.solver.work);
                if !none {
                    self.within(&branch, reader, depth);
                }
                return;
            }
            for way in ways.iter().rev() {
                open.push(next.with(self.solver.sides, way));
            }
        }
        for branch in done {
            self.within(&branch, reader, depth);
        }
    }

    fn within(&mut self, branch: &Branch, reader: NodeId, depth: usize) {
        // A node that refers to itself at the same place says nothing new.
        let here = (self.frames.len(), reader);
        if self.within.contains(&here) {
            return;
        }
        self.within.push(here);
        self.keywords(branch, reader, depth);
        self.within.pop();
    }

    /// Asks about every keyword of a node.
    fn keywords(&mut self, branch: &Branch, reader: NodeId, depth: usize) {
        if self.failures.len() >= FAILURES_MAX || self.known(&branch.seen.clone(), reader) {
            return;
        }
        if depth > 4 * DEPTH_MAX || !self.solver.spend(2) {
            self.give_up(branch, reader);
            return;
        }
        let node = self.solver.sides.reader.node(reader);
        let lit = Lit::reader(reader);
        if node.always == Some(false) {
            self.ask(&self.question(Kind::False, reader), branch, &[]);
            return;
        }
        for id in &node.refs {
            self.within(branch, *id, depth + 1);
        }
        if let Some(types) = node.types {
            let lost = branch.types.without(types);
            self.ask_typed(Kind::Type, branch, reader, lost, None);
        }
        for values in node.values.iter().chain(&node.constant) {
            if !branch.values.iter().any(|written| written.subset_of(values)) {
                let atom = Atom::NotValues(Arc::clone(values));
                self.ask(&self.question(Kind::Values, reader), branch, &[Piece::Atom(atom)]);
            }
        }
        if let Some(numbers) = &node.numbers {
            let beyond = |bound: super::model::Bound| super::model::Bound {
                at: bound.at,
                exclusive: !bound.exclusive,
            };
            if let Some(bound) = numbers.minimum {
                let atom = Atom::Upper(beyond(bound));
                self.ask_typed(Kind::Minimum, branch, reader, Types::NUMBER, Some(atom));
            }
            if let Some(bound) = numbers.maximum {
                let atom = Atom::Lower(beyond(bound));
                self.ask_typed(Kind::Maximum, branch, reader, Types::NUMBER, Some(atom));
            }
            if let Some(step) = numbers.multiple_of {
                let atom = Atom::NotMultiple(step);
                self.ask_typed(Kind::MultipleOf, branch, reader, Types::NUMBER, Some(atom));
            }
        }
        if let Some(strings) = &node.strings {
            let string = Types::STRING;
            if let Some(min) = strings.min {
                let atom = Atom::MaxLength(min.saturating_sub(1));
                self.ask_typed(Kind::MinLength, branch, reader, string, Some(atom));
            }
            if let Some(max) = strings.max {
                let atom = Atom::MinLength(max.saturating_add(1));
                self.ask_typed(Kind::MaxLength, branch, reader, string, Some(atom));
            }
            if let Some(pattern) = &strings.pattern
                && !branch.patterns.iter().any(|it| it.text == pattern.text)
            {
                let atom = Atom::NotPattern(Arc::clone(pattern));
                self.ask_typed(Kind::Pattern, branch, reader, string, Some(atom));
            }
        }
        if !branch.values.is_empty() {
            // Listed values are gone through as they are; what is in them is declared by being listed.
            let parts = Piece::Atom(Atom::Types(Types::ARRAY.or(Types::OBJECT)));
            let question = self.question(Kind::Values, reader);
            self.ask(&question, branch, &[parts, Piece::Lit(lit.negated())]);
        } else {
            if branch.types.includes(Types::ARRAY) {
                self.within_array(branch, lit, depth);
            }
            if branch.types.includes(Types::OBJECT) {
                self.within_object(branch, lit, depth);
            }
        }
        self.within_logic(branch, lit, depth);
        if !node.opaque.is_empty() {
            self.ask(&self.question(Kind::Other, reader), branch, &[Piece::Unknown]);
        }
    }

    fn within_logic(&mut self, branch: &Branch, lit: Lit, depth: usize) {
        let Some(logic) = &self.solver.sides.reader.node(lit.node).logic else { return };
        for id in &logic.all_of {
            self.within(branch, *id, depth + 1);
        }
        if !logic.any_of.is_empty() {
            self.union(branch, lit, &logic.any_of, false, depth);
        }
        if !logic.one_of.is_empty() {
            self.union(branch, lit, &logic.one_of, true, depth);
        }
        if let Some(id) = logic.not {
            let question = self.question(Kind::Not, lit.node);
            self.ask(&question, branch, &[Piece::Lit(lit.of(id))]);
        }
        if let Some(condition) = logic.condition {
            let when = lit.of(condition.when);
            for (holds, id) in [(when, condition.then), (when.negated(), condition.otherwise)] {
                let Some(id) = id else { continue };
                let case = branch.with(self.solver.sides, &[Piece::Lit(holds)]);
                if !self.solver.branch(case.clone(), 1).is_none() {
                    self.spread(case, id, depth + 1);
                }
            }
        }
    }

    /// `anyOf` and `oneOf`: into the only branch that can take something, or asked as a whole.
    fn union(&mut self, branch: &Branch, lit: Lit, ids: &[NodeId], exclusive: bool, depth: usize) {
        if self.same_union(branch, ids, exclusive) {
            return;
        }
        let sides = self.solver.sides;
        let mut alive = Vec::new();
        for id in ids {
            if !self.solver.spend(branch.weight()) {
                self.give_up(branch, lit.node);
                return;
            }
            let case = branch.with(sides, &[Piece::Lit(lit.of(*id))]);
            if !self.solver.branch(case, 1).is_none() {
                alive.push(*id);
            }
        }
        let kind = if exclusive { Kind::OneOf } else { Kind::AnyOf };
        let question = self.question(kind, lit.node);
        if let [only] = alive.as_slice() {
            self.within(branch, *only, depth + 1);
            return;
        }
        if alive.is_empty() {
            // Nothing takes it. What is nearest tells best why.
            let before = self.noted;
            if let Some(nearest) = self.nearest(branch, ids) {
                self.within(branch, nearest, depth + 1);
            }
            if self.noted > before {
                return;
            }
        }
        let none: Vec<_> = alive.iter().map(|id| Piece::Lit(lit.of(*id).negated())).collect();
        self.ask(&question, branch, &none);
        if exclusive {
            let question = self.question(Kind::OneOfOverlap, lit.node);
            for (index, left) in alive.iter().enumerate() {
                for right in alive.iter().skip(index + 1) {
                    let both = [Piece::Lit(lit.of(*left)), Piece::Lit(lit.of(*right))];
                    if self.ask(&question, branch, &both) {
                        return;
                    }
                }
            }
        }
    }

    fn within_array(&mut self, branch: &Branch, lit: Lit, depth: usize) {
        let reader = lit.node;
        let Some(arrays) = &self.solver.sides.reader.node(reader).arrays else { return };
        let array = Types::ARRAY;
        if let Some(min) = arrays.min {
            let atom = Atom::MaxItems(min.saturating_sub(1));
            self.ask_typed(Kind::MinItems, branch, reader, array, Some(atom));
        }
        if let Some(max) = arrays.max {
            let atom = Atom::MinItems(max.saturating_add(1));
            self.ask_typed(Kind::MaxItems, branch, reader, array, Some(atom));
        }
        if arrays.unique && !branch.unique {
            self.ask_typed(Kind::UniqueItems, branch, reader, array, Some(Atom::Repeats));
        }
        if let Some(contains) = arrays.contains {
            let same = branch.counts.iter().any(|(written, min, max)| {
                written.side == Side::Writer
                    && written.positive
                    && *min >= contains.min
                    && contains.max.is_none_or(|limit| max.is_some_and(|max| max <= limit))
                    && self.solver.same(written.node, contains.node)
            });
            let taken = lit.of(contains.node);
            if !same && contains.min > 0 {
                let atom = Atom::Count(taken, 0, Some(contains.min - 1));
                self.ask_typed(Kind::Contains, branch, reader, array, Some(atom));
            }
            if let Some(max) = contains.max.filter(|_| !same) {
                let atom = Atom::Count(taken, max.saturating_add(1), None);
                self.ask_typed(Kind::Contains, branch, reader, array, Some(atom));
            }
        }
        let alike = self.solver.items_alike_from(branch).max(arrays.prefix.len());
        let same = arrays.unevaluated.is_some() && self.evaluates_alike(branch, reader);
        let rest = arrays.rest.or(arrays.unevaluated.filter(|_| !same));
        for index in 0..=alike {
            let Some(id) = arrays.prefix.get(index).copied().or(rest) else { continue };
            if branch.max_items.is_some_and(|max| max <= index as u64) {
                break;
            }
            if self.solver.sides.reader.node(id).always == Some(false) {
                let question = Question { kind: Kind::ItemClosed, reader, name: index.to_string() };
                let atom = Atom::MinItems(index as u64 + 1);
                let pieces = [Piece::Atom(Atom::Types(array)), Piece::Atom(atom)];
                self.ask(&question, branch, &pieces);
                break;
            }
            let lits = self.solver.item_lits(branch, index);
            self.descend(branch, Step::Item(index), &lits, id, depth);
        }
    }

    pub(super) fn descend_property(
        &mut self,
        branch: &Branch,
        name: &Arc<str>,
        lits: &[Lit],
        id: NodeId,
        depth: usize,
    ) {
        self.descend(branch, Step::Property(Arc::clone(name)), lits, id, depth);
    }

    fn descend(&mut self, branch: &Branch, step: Step, lits: &[Lit], id: NodeId, depth: usize) {
        if self.known(lits, id) {
            return;
        }
        self.frames.push(Frame { branch: branch.clone(), step });
        self.goal(lits, id, depth + 1);
        self.frames.pop();
    }

    fn question(&self, kind: Kind, reader: NodeId) -> Question {
        Question { kind, reader, name: String::new() }
    }

    fn ask_typed(
        &mut self,
        kind: Kind,
        branch: &Branch,
        reader: NodeId,
        types: Types,
        atom: Option<Atom>,
    ) {
        let pieces: Vec<_> =
            std::iter::once(Atom::Types(types)).chain(atom).map(Piece::Atom).collect();
        self.ask(&self.question(kind, reader), branch, &pieces);
    }

    pub(super) fn ask_about(
        &mut self,
        kind: Kind,
        reader: NodeId,
        name: &str,
        branch: &Branch,
        pieces: &[Atom],
    ) -> bool {
        let question = Question { kind, reader, name: name.to_owned() };
        let typed = std::iter::once(Atom::Types(Types::OBJECT)).chain(pieces.iter().cloned());
        self.ask(&question, branch, &typed.map(Piece::Atom).collect::<Vec<_>>())
    }

    /// Whether there is something that the writer lets through and of which these hold. Then it is a failure.
    fn ask(&mut self, question: &Question, branch: &Branch, refused: &[Piece]) -> bool {
        if !self.solver.spend(branch.weight()) {
            self.fail(question, branch, String::new(), false, None);
            return true;
        }
        let case = branch.with(self.solver.sides, refused);
        let outcome = self.solver.branch(case.clone(), 1);
        if outcome.is_none() {
            return false;
        }
        let listed = self.listed(question.kind, &case);
        let whole = match outcome {
            Outcome::Instance(value) => self.lift(value),
            outcome => outcome,
        };
        let (proven, payload) = match whole {
            Outcome::Instance(value) if self.shows(&value) => (true, Some(value)),
            Outcome::Large => match self.large(&case) {
                Some(value) => (true, Some(value)),
                // Too large to write down. That something is there, and that the writer takes its
                // like, is known.
                None => (self.stands(branch), None),
            },
            Outcome::Instance(_) | Outcome::Unknown | Outcome::None => (false, None),
        };
        self.fail(question, branch, listed, proven, payload);
        true
    }

    /// Whether the writer takes something at this place that is like what cannot be written down.
    fn stands(&mut self, branch: &Branch) -> bool {
        let Outcome::Instance(value) = self.solver.branch(branch.clone(), 1) else { return false };
        match self.lift(value) {
            Outcome::Instance(value) => self.validators.0.is_valid(&value),
            _ => false,
        }
    }

    /// A large payload that shows a case.
    fn large(&mut self, case: &Branch) -> Option<Value> {
        mem::swap(&mut self.solver, &mut self.large);
        let whole = match self.solver.branch(case.clone(), 1) {
            Outcome::Instance(value) => self.lift(value),
            outcome => outcome,
        };
        mem::swap(&mut self.solver, &mut self.large);
        match whole {
            Outcome::Instance(value) if self.shows(&value) => Some(value),
            _ => None,
        }
    }

    /// Which of the writer's values are refused.
    fn listed(&mut self, kind: Kind, case: &Branch) -> String {
        let Some(values) = case.values.iter().min_by_key(|values| values.list.len()).cloned()
        else {
            return String::new();
        };
        if kind != Kind::Values && kind != Kind::Type || values.list.len() > 1_000 {
            return String::new();
        }
        let refused =
            values.list.iter().filter(|value| self.solver.holds(case, value) == Some(true));
        let refused: Vec<_> = refused.take(20).map(Value::to_string).collect();
        refused.join(", ")
    }

    fn give_up(&mut self, branch: &Branch, reader: NodeId) {
        self.fail(&self.question(Kind::Other, reader), branch, String::new(), false, None);
    }

    fn fail(
        &mut self,
        question: &Question,
        branch: &Branch,
        refused: String,
        proven: bool,
        payload: Option<Value>,
    ) {
        self.noted += 1;
        let Question { kind, reader, name } = question.clone();
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
        let writer = self.counterpart(branch, kind, &name);
        self.failures.push(Failure { kind, reader, writer, name, refused, proven, payload, path });
    }

    /// An instance as a whole, with this part where the frames lead.
    fn lift(&mut self, value: Value) -> Outcome {
        let mut value = value;
        let sides = self.solver.sides;
        for index in (0..self.frames.len()).rev() {
            let Some(frame) = self.frames.get(index) else { return Outcome::Unknown };
            let only = Piece::Atom(Atom::Given(Arc::new(Values::new(vec![value]))));
            let pieces = match &frame.step {
                Step::Property(name) => vec![
                    Piece::Atom(Atom::Types(Types::OBJECT)),
                    Piece::Atom(Atom::Required(Arc::clone(name))),
                    Piece::Atom(Atom::Property(Arc::clone(name), Box::new(only))),
                ],
                Step::Item(index) => vec![
                    Piece::Atom(Atom::Types(Types::ARRAY)),
                    Piece::Atom(Atom::Item(*index, Box::new(only))),
                ],
            };
            let case = frame.branch.with(sides, &pieces);
            match self.solver.branch(case, 1) {
                Outcome::Instance(whole) => value = whole,
                outcome => return outcome,
            }
        }
        Outcome::Instance(value)
    }
}

/// The way down as a JSON pointer.
fn path(frames: &[Frame]) -> String {
    let token = |frame: &Frame| match &frame.step {
        Step::Property(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        Step::Item(index) => format!("/{index}"),
    };
    frames.iter().map(token).collect()
}
