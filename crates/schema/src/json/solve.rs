//! Searches for an instance with given facts, or shows that there is none.
//!
//! The answer [`Outcome::None`] is a proof: everything that is left out on the way only widens what is searched. An
//! instance that is found is a candidate; whoever shows it to somebody lets the validators check it first.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
};

use serde_json::Value;

use super::{
    branch::{Atom, Branch, Lit, Piece, Side, Sides},
    evaluate,
    model::{NodeId, Types, Values},
    number::{Decimal, respelled},
    pattern::Pattern,
    same::Sameness,
};

/// Instances in instances that a search goes into.
const DEPTH_MAX: usize = 60;
/// Listed values of which the properties count as declared.
const LISTED_MAX: usize = 1_000;
/// Searches in searches: each takes some of the stack.
const NESTED_MAX: usize = 1_500;
/// Values of an `enum` that are tried.
const VALUES_MAX: usize = 200_000;
/// Work that one evaluation of a candidate may take.
const EVALUATION_MAX: u64 = 20_000;

/// How large the instances are that a search builds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Characters of a text.
    pub text: u64,
    /// Items of an array.
    pub items: u64,
    /// Properties that are added to reach `minProperties`.
    pub fillers: u64,
    /// Values in all.
    pub values: usize,
}

impl Limits {
    /// What nearly every question needs.
    pub(crate) const SMALL: Self = Self { text: 1_500, items: 300, fillers: 300, values: 2_000 };
    /// Up to about a megabyte: where a bound is so high that nothing smaller is beyond it.
    pub(crate) const LARGE: Self =
        Self { text: 1 << 20, items: 20_000, fillers: 1_100, values: 40_000 };
}

/// What a search finds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// An instance.
    Instance(Value),
    /// There is one, too large to build.
    Large,
    /// There is none.
    None,
    /// It gave up.
    Unknown,
}

impl Outcome {
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// The state of all searches for one question.
pub(crate) struct Solver<'a> {
    pub sides: Sides<'a>,
    /// That undeclared properties may be anything. Otherwise they are seen as absent.
    pub strict: bool,
    pub limits: Limits,
    /// Steps left.
    pub work: u64,
    pub sameness: Sameness,
    memo: HashMap<Vec<Lit>, Outcome>,
    open: HashSet<Vec<Lit>>,
    /// Searches within searches.
    nested: usize,
    /// That an answer rests on a question that is still open.
    tainted: bool,
    declared: HashMap<Lit, Rc<Declared>>,
    pub(super) strings: HashMap<String, Outcome>,
}

impl<'a> Solver<'a> {
    pub(crate) fn new(sides: Sides<'a>, strict: bool, limits: Limits, work: u64) -> Self {
        Self {
            sides,
            strict,
            limits,
            work,
            sameness: Sameness::default(),
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

    /// Counts what it takes to build, copy and compare an instance of so many values. Those of the
    /// usual size are part of what a step takes.
    pub(super) fn spend_on(&mut self, values: usize) {
        self.spend(values.saturating_sub(Limits::SMALL.values) as u64 / 4);
    }

    /// Whether two nodes of the two sides say the same.
    pub(crate) fn same(&mut self, writer: NodeId, reader: NodeId) -> bool {
        self.spend(1);
        self.sameness.same((self.sides.writer, writer), (self.sides.reader, reader))
    }

    /// An instance of which all of these hold.
    pub(crate) fn lits(&mut self, lits: &[Lit], depth: usize) -> Outcome {
        let mut key = lits.to_vec();
        key.sort_unstable();
        key.dedup();
        if let Some(known) = self.memo.get(&key) {
            return known.clone();
        }
        if depth > DEPTH_MAX || !self.spend(1) {
            return Outcome::Unknown;
        }
        if !self.open.insert(key.clone()) {
            // Instances are finite: the smallest one does not need itself as a part.
            self.tainted = true;
            return Outcome::None;
        }
        let outer = std::mem::replace(&mut self.tainted, false);
        let branch = Branch::of(self.sides, &key);
        let outcome = self.branch(branch, depth);
        self.open.remove(&key);
        let rests = self.tainted && !matches!(outcome, Outcome::Instance(_));
        if !rests && self.work > 0 {
            self.memo.insert(key, outcome.clone());
        }
        self.tainted |= outer;
        outcome
    }

    /// An instance that a branch describes.
    pub(crate) fn branch(&mut self, branch: Branch, depth: usize) -> Outcome {
        if branch.impossible {
            return Outcome::None;
        }
        if self.nested >= NESTED_MAX {
            return Outcome::Unknown;
        }
        self.nested += 1;
        let outcome = self.choose(branch, depth);
        self.nested -= 1;
        outcome
    }

    /// Goes on with one alternative after the other.
    fn choose(&mut self, mut branch: Branch, depth: usize) -> Outcome {
        if depth > DEPTH_MAX || !self.spend(branch.weight()) {
            return Outcome::Unknown;
        }
        if let Some(values) = branch.values.iter().min_by_key(|values| values.list.len()) {
            let values = Arc::clone(values);
            return self.among(&values, &branch);
        }
        // The choice with the fewest ways left first.
        let sides = self.sides;
        let mut pending = std::mem::take(&mut branch.pending);
        for ways in &mut pending {
            if ways.iter().any(|way| branch.is_dead(sides, way)) {
                let left = ways.iter().filter(|way| !branch.is_dead(sides, way));
                *ways = Rc::new(left.cloned().collect());
            }
            if ways.is_empty() {
                return Outcome::None;
            }
        }
        let fewest = pending.iter().enumerate().min_by_key(|(_, ways)| ways.len());
        let Some((index, _)) = fewest else {
            return self.leaf(&branch, depth);
        };
        let ways = pending.swap_remove(index);
        branch.pending = pending;
        let mut outcome = Outcome::None;
        for way in ways.iter() {
            if self.work == 0 {
                return Outcome::Unknown;
            }
            let mut chosen = branch.clone();
            for piece in way {
                chosen.add(sides, piece);
            }
            match self.branch(chosen, depth) {
                Outcome::Instance(value) => return Outcome::Instance(value),
                Outcome::None => {}
                Outcome::Large => outcome = Outcome::Large,
                Outcome::Unknown if outcome == Outcome::None => outcome = Outcome::Unknown,
                Outcome::Unknown => {}
            }
        }
        outcome
    }

    /// One of these values.
    fn among(&mut self, values: &Values, branch: &Branch) -> Outcome {
        let mut outcome = Outcome::None;
        for (index, value) in values.list.iter().enumerate() {
            if index >= VALUES_MAX || !self.spend(1) {
                return Outcome::Unknown;
            }
            match self.holds(branch, value) {
                Some(true) if !self.written(branch, value) => {}
                Some(true) => return Outcome::Instance(value.clone()),
                Some(false) => {}
                None => outcome = Outcome::Unknown,
            }
            if !self.tells_integers_apart() {
                continue;
            }
            // A list of 1 takes 1.0 as well.
            match respelled(value) {
                Some(other) if self.holds(branch, &other) == Some(true) => {
                    return Outcome::Instance(other);
                }
                Some(_) => {}
                None if has_integers(value) => outcome = Outcome::Unknown,
                None => {}
            }
        }
        outcome
    }

    fn tells_integers_apart(&self) -> bool {
        self.sides.writer.strict_integers || self.sides.reader.strict_integers
    }

    /// Whether a value that somebody lists has declared properties only, or is listed by the writer.
    fn written(&mut self, branch: &Branch, value: &Value) -> bool {
        let Value::Object(members) = value else { return true };
        let listed = branch.seen.iter().filter(|lit| lit.side == Side::Writer).any(|lit| {
            let node = self.sides.node(*lit);
            let mut lists = node.values.iter().chain(&node.constant);
            lists.any(|values| values.contains(value))
        });
        branch.given || listed || members.keys().all(|name| self.allowed(branch, name))
    }

    fn evaluate(&mut self, lit: Lit, value: &Value) -> Option<bool> {
        let mut work = EVALUATION_MAX.min(self.work * 4 + 100);
        let before = work;
        let valid = evaluate::valid(self.sides.model(lit.side), lit.node, value, &mut work);
        self.work = self.work.saturating_sub(1 + (before - work) / 8);
        valid.map(|valid| valid == lit.positive)
    }

    /// Whether a value has all facts.
    pub(crate) fn holds(&mut self, branch: &Branch, value: &Value) -> Option<bool> {
        let mut all = (!branch.unknown).then_some(true);
        for lit in &branch.roots {
            match self.evaluate(*lit, value) {
                Some(false) => return Some(false),
                Some(true) => {}
                None => all = None,
            }
        }
        if !self.offended(branch, value).is_empty() {
            return Some(false);
        }
        for atom in &branch.atoms {
            match self.atom_holds(atom, value) {
                Some(false) => return Some(false),
                Some(true) => {}
                None => all = None,
            }
        }
        all
    }

    fn piece_holds(&mut self, piece: &Piece, value: &Value) -> Option<bool> {
        match piece {
            Piece::Lit(lit) => self.evaluate(*lit, value),
            Piece::Atom(atom) => self.atom_holds(atom, value),
            Piece::OneOf(..) | Piece::Unknown => None,
        }
    }

    fn atom_holds(&mut self, atom: &Atom, value: &Value) -> Option<bool> {
        let number = || value.as_number().map(Decimal::of);
        let length = || value.as_str().map(|text| text.chars().count() as u64);
        let items = || value.as_array().map(|items| items.len() as u64);
        let members = value.as_object();
        Some(match atom {
            Atom::Types(types) => types.includes(Types::of(value)),
            Atom::Lower(bound) => number()
                .is_none_or(|it| if bound.exclusive { it > bound.at } else { it >= bound.at }),
            Atom::Upper(bound) => number()
                .is_none_or(|it| if bound.exclusive { it < bound.at } else { it <= bound.at }),
            Atom::Multiple(step) => number().is_none_or(|it| it.is_multiple_of(*step)),
            Atom::NotMultiple(step) => number().is_none_or(|it| !it.is_multiple_of(*step)),
            Atom::MinLength(min) => length().is_none_or(|it| it >= *min),
            Atom::MaxLength(max) => length().is_none_or(|it| it <= *max),
            Atom::Pattern(pattern) => value.as_str().is_none_or(|it| pattern.matches(it)),
            Atom::NotPattern(pattern) => value.as_str().is_none_or(|it| !pattern.matches(it)),
            Atom::Values(values) | Atom::Given(values) => values.contains(value),
            Atom::NotValues(values) => !values.contains(value),
            Atom::MinItems(min) => items().is_none_or(|it| it >= *min),
            Atom::MaxItems(max) => items().is_none_or(|it| it <= *max),
            Atom::MinProperties(min) => members.is_none_or(|it| it.len() as u64 >= *min),
            Atom::MaxProperties(max) => members.is_none_or(|it| it.len() as u64 <= *max),
            Atom::Required(name) => members.is_none_or(|it| it.contains_key(&**name)),
            Atom::Absent(name) => members.is_none_or(|it| !it.contains_key(&**name)),
            Atom::Property(name, piece) => {
                let Some(value) = members.and_then(|it| it.get(&**name)) else { return Some(true) };
                return self.piece_holds(piece, value);
            }
            Atom::Item(index, piece) => {
                let Some(items) = value.as_array() else { return Some(true) };
                let Some(item) = items.get(*index) else { return Some(false) };
                return self.piece_holds(piece, item);
            }
            Atom::SomeItem(from, lit) => {
                let Some(items) = value.as_array() else { return Some(true) };
                let mut any = Some(false);
                for item in items.iter().skip(*from) {
                    match self.evaluate(*lit, item) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => any = None,
                    }
                }
                return any;
            }
            Atom::Count(lit, min, max) => {
                let Some(items) = value.as_array() else { return Some(true) };
                let mut count = 0_u64;
                for item in items {
                    count += u64::from(self.evaluate(*lit, item)?);
                }
                count >= *min && max.is_none_or(|max| count <= max)
            }
            Atom::Unique | Atom::Repeats => {
                let Some(items) = value.as_array() else { return Some(true) };
                let keys: HashSet<_> = items.iter().map(super::number::value_key).collect();
                (keys.len() == items.len()) == matches!(atom, Atom::Unique)
            }
            Atom::SomeName(lit) => {
                let Some(members) = members else { return Some(true) };
                let mut any = Some(false);
                for name in members.keys() {
                    match self.evaluate(*lit, &Value::from(name.as_str())) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => any = None,
                    }
                }
                return any;
            }
            Atom::SomeProperty(of, part, lit) => {
                let Some(members) = members else { return Some(true) };
                let mut any = Some(false);
                for (name, value) in members {
                    if !self.falls_to(*of, *part, name) {
                        continue;
                    }
                    match self.evaluate(*lit, value) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => any = None,
                    }
                }
                return any;
            }
        })
    }

    /// An instance of a branch without open choices: type by type.
    fn leaf(&mut self, branch: &Branch, depth: usize) -> Outcome {
        let mut outcome = Outcome::None;
        for types in Types::EACH {
            // Where no schema tells them apart, what there is of the one there is of the other.
            let told_apart = types != Types::WHOLE || self.tells_integers_apart();
            if !branch.types.includes(types) || !told_apart {
                continue;
            }
            let found = match types {
                Types::NULL => self.listed(branch, vec![Value::Null]),
                Types::BOOLEAN => self.listed(branch, vec![true.into(), false.into()]),
                Types::INTEGER => self.number(branch, false),
                Types::WHOLE => match self.number(branch, false) {
                    Outcome::Instance(value) => {
                        respelled(&value).map_or(Outcome::Unknown, Outcome::Instance)
                    }
                    found => found,
                },
                Types::FRACTION => self.number(branch, true),
                Types::STRING => self.string(branch),
                Types::ARRAY => self.array(branch, depth),
                _ => self.object(branch, depth),
            };
            let found = match found {
                Outcome::Instance(_) if branch.unknown => Outcome::Unknown,
                Outcome::Instance(value) => self.checked(branch, value, depth),
                found => found,
            };
            match found {
                Outcome::Instance(value) => return Outcome::Instance(value),
                Outcome::None => {}
                Outcome::Large => outcome = Outcome::Large,
                Outcome::Unknown if outcome == Outcome::None => outcome = Outcome::Unknown,
                Outcome::Unknown => {}
            }
        }
        outcome
    }

    /// The branches of a `oneOf` that take a value which another branch has to take alone.
    fn offended(&mut self, branch: &Branch, value: &Value) -> Vec<Lit> {
        let mut offended = Vec::new();
        for (lit, index) in &branch.passive {
            let Some(logic) = &self.sides.node(*lit).logic else { continue };
            for (at, id) in logic.one_of.iter().enumerate() {
                if at != *index && self.evaluate(lit.of(*id), value) == Some(true) {
                    offended.push(lit.of(*id));
                }
                if self.work == 0 {
                    return offended;
                }
            }
        }
        offended
    }

    /// A candidate that offends what was not looked at makes it part of the search.
    fn checked(&mut self, branch: &Branch, value: Value, depth: usize) -> Outcome {
        let offended = self.offended(branch, &value);
        if !offended.is_empty() {
            if offended.iter().all(|lit| branch.has(lit.negated())) {
                return Outcome::Unknown;
            }
            let mut branch = branch.clone();
            for lit in offended {
                branch.add(self.sides, &Piece::Lit(lit.negated()));
            }
            return self.branch(branch, depth);
        }
        if branch.not_values.iter().any(|values| values.contains(&value)) {
            return self.larger(branch, &value, depth);
        }
        match self.holds(branch, &value) {
            Some(false) => Outcome::Unknown,
            Some(true) | None => Outcome::Instance(value),
        }
    }

    /// An array or an object with more in it than one that is excluded.
    fn larger(&mut self, branch: &Branch, value: &Value, depth: usize) -> Outcome {
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
        let more = branch.with(self.sides, &[Piece::Atom(types), Piece::Atom(atom)]);
        self.nested += 1;
        let outcome = self.leaf(&more, depth);
        self.nested -= 1;
        match outcome {
            // There is but one that is empty; of others there may be more with as much in them.
            Outcome::None if count > 0 => Outcome::Unknown,
            outcome => outcome,
        }
    }

    fn listed(&mut self, branch: &Branch, values: Vec<Value>) -> Outcome {
        let free = |value: &Value| !branch.not_values.iter().any(|values| values.contains(value));
        let free =
            values.into_iter().filter(free).find(|value| self.offended(branch, value).is_empty());
        free.map_or(Outcome::None, Outcome::Instance)
    }

    /// What a writer's node speaks of, at the place of the node.
    pub(crate) fn declared(&mut self, lit: Lit) -> Rc<Declared> {
        if lit.side != Side::Writer {
            return Rc::default();
        }
        if let Some(declared) = self.declared.get(&lit) {
            return Rc::clone(declared);
        }
        let model = self.sides.model(lit.side);
        let mut declared = Declared::default();
        let (mut met, mut open) = (HashSet::new(), vec![(lit.node, lit.positive)]);
        while let Some((id, asserted)) = open.pop() {
            if !met.insert((id, asserted)) {
                continue;
            }
            let node = model.node(id);
            if let Some(objects) = &node.objects {
                let names = &mut declared.names;
                names.extend(objects.properties.keys().cloned());
                names.extend(objects.required.iter().cloned());
                for (name, others) in &objects.dependent_required {
                    names.insert(Arc::clone(name));
                    names.extend(others.iter().cloned());
                }
                names.extend(objects.dependent_schemas.iter().map(|(name, _)| Arc::clone(name)));
                let patterns = objects.patterns.iter().map(|(pattern, _)| Arc::clone(pattern));
                declared.patterns.extend(patterns);
                // What only a condition says of other properties makes no map.
                declared.others |= asserted
                    && [objects.additional, objects.unevaluated]
                        .into_iter()
                        .flatten()
                        .map(|id| model.node(id))
                        .any(|other| !other.is_true() && other.always.is_none());
            }
            // What is in an object that is listed is spoken of too.
            let lists = node.values.iter().chain(&node.constant);
            for value in lists.flat_map(|values| values.list.iter().take(LISTED_MAX)) {
                let members = value.as_object().into_iter().flatten();
                declared.names.extend(members.map(|(name, _)| Arc::from(name.as_str())));
            }
            let condition = node.logic.as_ref().and_then(|logic| logic.condition);
            let negated = node.logic.as_ref().and_then(|logic| logic.not);
            open.extend(node.in_place().into_iter().map(|inner| {
                let tested = Some(inner) == negated
                    || condition.is_some_and(|condition| condition.when == inner);
                (inner, asserted && !tested)
            }));
        }
        self.work = self.work.saturating_sub(declared.names.len() as u64 / 16);
        let declared = Rc::new(declared);
        self.declared.insert(lit, Rc::clone(&declared));
        declared
    }
}

/// The properties that a node speaks of, in whatever alternative.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    pub names: HashSet<Arc<str>>,
    pub patterns: Vec<Arc<Pattern>>,
    /// That further properties are of some schema, as in a map: those are all declared.
    pub others: bool,
}

impl Declared {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.others
            || self.names.contains(name)
            || self.patterns.iter().any(|pattern| pattern.matches(name))
    }
}

/// Whether there are integers in an array or an object, which may be written in two ways.
fn has_integers(value: &Value) -> bool {
    match value {
        Value::Number(number) => Decimal::of(number).is_integer(),
        Value::Array(items) => items.iter().any(has_integers),
        Value::Object(members) => members.values().any(has_integers),
        _ => false,
    }
}

/// How many values an instance has, up to a limit.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(size).sum::<usize>(),
        Value::String(text) => 1 + text.len() / 100,
        _ => 1,
    }
}
