//! What is known of one instance: facts that all hold, and choices that are still open.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    rc::Rc,
    sync::Arc,
};

use super::{
    model::{Bound, Model, Node, NodeId, Types, Values},
    number::Decimal,
    pattern::Pattern,
};

/// Alternatives of "two branches of a oneOf match" that are written out.
const ONE_OF_PAIRS_MAX: usize = 500;

/// Whose schema a node is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Side {
    Writer,
    Reader,
}

/// The two schemas of a question: is everything that the one writes valid for the other?
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides<'a> {
    pub writer: &'a Model,
    pub reader: &'a Model,
}

impl<'a> Sides<'a> {
    pub(crate) fn model(&self, side: Side) -> &'a Model {
        match side {
            Side::Writer => self.writer,
            Side::Reader => self.reader,
        }
    }

    pub(crate) fn node(&self, lit: Lit) -> &'a Node {
        self.model(lit.side).node(lit.node)
    }
}

/// That the instance is valid under a node, or that it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Lit {
    pub side: Side,
    pub node: NodeId,
    pub positive: bool,
}

impl Lit {
    pub(crate) fn writer(node: NodeId) -> Self {
        Self { side: Side::Writer, node, positive: true }
    }

    pub(crate) fn reader(node: NodeId) -> Self {
        Self { side: Side::Reader, node, positive: true }
    }

    #[must_use]
    pub(crate) fn negated(self) -> Self {
        Self { positive: !self.positive, ..self }
    }

    /// The same of another node of that schema.
    #[must_use]
    pub(crate) fn of(self, node: NodeId) -> Self {
        Self { node, ..self }
    }

    fn holds(self, node: NodeId) -> Piece {
        Piece::Lit(Self { node, positive: true, ..self })
    }

    fn fails(self, node: NodeId) -> Piece {
        Piece::Lit(Self { node, positive: false, ..self })
    }
}

/// A part of an alternative.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Lit(Lit),
    Atom(Atom),
    /// The branch of the `oneOf` of a node, and none of the others.
    OneOf(Lit, usize),
    /// Something that is not understood.
    Unknown,
}

/// A simple fact.
#[derive(Debug, Clone)]
pub(crate) enum Atom {
    Types(Types),
    Lower(Bound),
    Upper(Bound),
    Multiple(Decimal),
    NotMultiple(Decimal),
    MinLength(u64),
    MaxLength(u64),
    Pattern(Arc<Pattern>),
    NotPattern(Arc<Pattern>),
    Values(Arc<Values>),
    /// The same, for values that were found before and are to be built in.
    Given(Arc<Values>),
    NotValues(Arc<Values>),
    MinItems(u64),
    MaxItems(u64),
    Unique,
    /// Two items are equal.
    Repeats,
    /// The item is there, and of it:
    Item(usize, Box<Piece>),
    /// Some item from an index on.
    SomeItem(usize, Lit),
    /// How many items a node takes.
    Count(Lit, u64, Option<u64>),
    Required(Arc<str>),
    Absent(Arc<str>),
    /// If the property is there.
    Property(Arc<str>, Box<Piece>),
    /// Some property that falls to a part of a node.
    SomeProperty(Lit, Part, Lit),
    /// Some property whose name.
    SomeName(Lit),
    MinProperties(u64),
    MaxProperties(u64),
}

/// Which subschema of a node a property falls to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Pattern(usize),
    Additional,
    Unevaluated,
}

/// Facts about one instance.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pub types: Types,
    pub lower: Option<Bound>,
    pub upper: Option<Bound>,
    pub multiples: Vec<Decimal>,
    pub not_multiples: Vec<Decimal>,
    pub min_length: u64,
    pub max_length: Option<u64>,
    pub patterns: Vec<Arc<Pattern>>,
    pub not_patterns: Vec<Arc<Pattern>>,
    pub values: Vec<Arc<Values>>,
    pub not_values: Vec<Arc<Values>>,
    /// Nodes with keywords for arrays.
    pub arrays: Vec<Lit>,
    pub min_items: u64,
    pub max_items: Option<u64>,
    pub unique: bool,
    pub repeats: bool,
    pub items: Vec<(usize, Piece)>,
    pub some_items: Vec<(usize, Lit)>,
    pub counts: Vec<(Lit, u64, Option<u64>)>,
    /// Nodes with keywords for objects.
    pub objects: Vec<Lit>,
    pub required: Rc<BTreeSet<Arc<str>>>,
    pub absent: BTreeSet<Arc<str>>,
    pub properties: BTreeMap<Arc<str>, Vec<Piece>>,
    pub some_properties: Vec<(Lit, Part, Lit)>,
    pub names: Vec<Lit>,
    pub some_names: Vec<Lit>,
    pub min_properties: u64,
    pub max_properties: Option<u64>,
    /// Of each of these, one alternative holds.
    pub pending: Vec<Rc<Vec<Vec<Piece>>>>,
    /// Branches of a `oneOf` that were taken: none of the others holds, which is only looked at when a candidate
    /// offends it.
    pub passive: Vec<(Lit, usize)>,
    /// What was asserted from outside.
    pub roots: Vec<Lit>,
    pub atoms: Vec<Atom>,
    /// All nodes that hold, those that others lead to included.
    pub seen: Vec<Lit>,
    pub unknown: bool,
    /// That undeclared properties may be there although the content model sees them as absent.
    pub fresh: bool,
    /// That the values were found before, so that all that is in them may be there.
    pub given: bool,
    pub impossible: bool,
    met: HashSet<Lit>,
}

impl Default for Branch {
    fn default() -> Self {
        Self {
            types: Types::ALL,
            lower: None,
            upper: None,
            multiples: Vec::new(),
            not_multiples: Vec::new(),
            min_length: 0,
            max_length: None,
            patterns: Vec::new(),
            not_patterns: Vec::new(),
            values: Vec::new(),
            not_values: Vec::new(),
            arrays: Vec::new(),
            min_items: 0,
            max_items: None,
            unique: false,
            repeats: false,
            items: Vec::new(),
            some_items: Vec::new(),
            counts: Vec::new(),
            objects: Vec::new(),
            required: Rc::default(),
            absent: BTreeSet::new(),
            properties: BTreeMap::new(),
            some_properties: Vec::new(),
            names: Vec::new(),
            some_names: Vec::new(),
            min_properties: 0,
            max_properties: None,
            pending: Vec::new(),
            passive: Vec::new(),
            roots: Vec::new(),
            atoms: Vec::new(),
            seen: Vec::new(),
            unknown: false,
            fresh: false,
            given: false,
            impossible: false,
            met: HashSet::new(),
        }
    }
}

impl Branch {
    /// What follows from these together.
    pub(crate) fn of(sides: Sides<'_>, lits: &[Lit]) -> Self {
        let mut branch = Self::default();
        for lit in lits {
            branch.add(sides, &Piece::Lit(*lit));
        }
        branch
    }

    /// The same with more.
    #[must_use]
    pub(crate) fn with(&self, sides: Sides<'_>, pieces: &[Piece]) -> Self {
        let mut branch = self.clone();
        for piece in pieces {
            branch.add(sides, piece);
        }
        branch
    }

    /// Adds a piece from outside.
    pub(crate) fn add(&mut self, sides: Sides<'_>, piece: &Piece) {
        match piece {
            Piece::Lit(lit) => {
                self.roots.push(*lit);
                self.lit(sides, *lit);
            }
            Piece::Atom(atom) => {
                self.atoms.push(atom.clone());
                self.atom(atom);
            }
            Piece::OneOf(lit, index) => {
                let Some(logic) = &sides.node(*lit).logic else { return };
                if let Some(node) = logic.one_of.get(*index) {
                    self.passive.push((*lit, *index));
                    self.lit(sides, lit.of(*node));
                }
            }
            Piece::Unknown => self.unknown = true,
        }
    }

    /// Whether a fact was added before.
    pub(crate) fn has(&self, lit: Lit) -> bool {
        self.met.contains(&lit)
    }

    /// What a copy of it and a look at it cost, in steps.
    pub(crate) fn weight(&self) -> u64 {
        let ways: usize = self.pending.iter().map(|ways| ways.len()).sum();
        let facts = self.seen.len() + self.met.len() + self.properties.len() + self.absent.len();
        (1 + ways / 8 + facts / 4) as u64
    }

    fn lit(&mut self, sides: Sides<'_>, lit: Lit) {
        if self.impossible || !self.met.insert(lit) {
            return;
        }
        if self.met.contains(&lit.negated()) {
            self.impossible = true;
            return;
        }
        if lit.positive {
            self.seen.push(lit);
            self.positive(sides, lit);
        } else {
            self.choose(sides, negation(sides.node(lit), lit));
        }
    }

    fn choose(&mut self, sides: Sides<'_>, mut alternatives: Vec<Vec<Piece>>) {
        if alternatives.iter().any(Vec::is_empty) {
            return;
        }
        alternatives.retain(|pieces| !self.is_dead(sides, pieces));
        match alternatives.len() {
            0 => self.impossible = true,
            1 => {
                for piece in alternatives.iter().flatten() {
                    self.inner(sides, piece);
                }
            }
            _ => self.pending.push(Rc::new(alternatives)),
        }
    }

    /// Adds a piece that follows from what is there.
    fn inner(&mut self, sides: Sides<'_>, piece: &Piece) {
        match piece {
            Piece::Lit(lit) => self.lit(sides, *lit),
            Piece::Atom(atom) => self.atom(atom),
            Piece::OneOf(..) | Piece::Unknown => self.add(sides, piece),
        }
    }

    /// Whether an alternative contradicts the facts at first sight.
    pub(crate) fn is_dead(&self, sides: Sides<'_>, pieces: &[Piece]) -> bool {
        let mut types = self.types;
        // What is said of properties only counts where the instance must be an object.
        let object = self.types == Types::OBJECT;
        for piece in pieces {
            match piece {
                Piece::Atom(Atom::Types(some)) => types = types.and(*some),
                Piece::Atom(Atom::Absent(name)) if object && self.required.contains(name) => {
                    return true;
                }
                Piece::Atom(Atom::Required(name)) if object && self.absent.contains(name) => {
                    return true;
                }
                Piece::Lit(lit) => {
                    if self.met.contains(&lit.negated()) {
                        return true;
                    }
                    if lit.positive {
                        types = types.and(sides.node(*lit).types.unwrap_or(Types::ALL));
                    }
                }
                Piece::OneOf(lit, index) => {
                    if let Some(logic) = &sides.node(*lit).logic
                        && let Some(node) = logic.one_of.get(*index)
                    {
                        let node = sides.model(lit.side).node(*node);
                        types = types.and(node.types.unwrap_or(Types::ALL));
                    }
                }
                Piece::Atom(_) | Piece::Unknown => {}
            }
        }
        types.is_none()
    }

    fn positive(&mut self, sides: Sides<'_>, lit: Lit) {
        let node = sides.node(lit);
        if node.always == Some(false) {
            self.impossible = true;
            return;
        }
        if let Some(types) = node.types {
            self.atom(&Atom::Types(types));
        }
        for values in node.values.iter().chain(&node.constant) {
            self.atom(&Atom::Values(Arc::clone(values)));
        }
        if let Some(numbers) = &node.numbers {
            numbers.minimum.iter().for_each(|bound| self.atom(&Atom::Lower(*bound)));
            numbers.maximum.iter().for_each(|bound| self.atom(&Atom::Upper(*bound)));
            numbers.multiple_of.iter().for_each(|step| self.atom(&Atom::Multiple(*step)));
        }
        if let Some(strings) = &node.strings {
            strings.min.iter().for_each(|min| self.atom(&Atom::MinLength(*min)));
            strings.max.iter().for_each(|max| self.atom(&Atom::MaxLength(*max)));
            strings.pattern.iter().for_each(|it| self.atom(&Atom::Pattern(Arc::clone(it))));
        }
        if let Some(arrays) = &node.arrays {
            self.arrays.push(lit);
            arrays.min.iter().for_each(|min| self.atom(&Atom::MinItems(*min)));
            arrays.max.iter().for_each(|max| self.atom(&Atom::MaxItems(*max)));
            if arrays.unique {
                self.atom(&Atom::Unique);
            }
            if let Some(contains) = arrays.contains {
                self.atom(&Atom::Count(lit.of(contains.node), contains.min, contains.max));
            }
        }
        for id in &node.refs {
            self.lit(sides, lit.of(*id));
        }
        self.positive_object(sides, node, lit);
        self.positive_logic(sides, node, lit);
    }

    fn positive_object(&mut self, sides: Sides<'_>, node: &Node, lit: Lit) {
        let Some(objects) = &node.objects else { return };
        self.objects.push(lit);
        objects.min.iter().for_each(|min| self.atom(&Atom::MinProperties(*min)));
        objects.max.iter().for_each(|max| self.atom(&Atom::MaxProperties(*max)));
        for name in &objects.required {
            self.atom(&Atom::Required(Arc::clone(name)));
        }
        self.names.extend(objects.names.map(|id| lit.of(id)));
        for (name, others) in &objects.dependent_required {
            let mut all = vec![Piece::Atom(Atom::Required(Arc::clone(name)))];
            all.extend(others.iter().map(|name| Piece::Atom(Atom::Required(Arc::clone(name)))));
            self.choose(sides, vec![not_there(name), all]);
        }
        for (name, id) in &objects.dependent_schemas {
            let all = vec![Piece::Atom(Atom::Required(Arc::clone(name))), lit.holds(*id)];
            self.choose(sides, vec![not_there(name), all]);
        }
    }

    fn positive_logic(&mut self, sides: Sides<'_>, node: &Node, lit: Lit) {
        let Some(logic) = &node.logic else { return };
        for id in &logic.all_of {
            self.lit(sides, lit.of(*id));
        }
        if let Some(id) = logic.not {
            self.lit(sides, lit.of(id).negated());
        }
        if !logic.any_of.is_empty() {
            self.choose(sides, logic.any_of.iter().map(|id| vec![lit.holds(*id)]).collect());
        }
        if !logic.one_of.is_empty() {
            let branches = 0..logic.one_of.len();
            self.choose(sides, branches.map(|index| vec![Piece::OneOf(lit, index)]).collect());
        }
        // Alone it asserts nothing, but what it takes counts as evaluated where it holds.
        if let Some(condition) = logic.condition {
            let mut then = vec![lit.holds(condition.when)];
            then.extend(condition.then.map(|id| lit.holds(id)));
            let mut otherwise = vec![lit.fails(condition.when)];
            otherwise.extend(condition.otherwise.map(|id| lit.holds(id)));
            self.choose(sides, vec![then, otherwise]);
        }
    }

    fn atom(&mut self, atom: &Atom) {
        match atom {
            Atom::Types(types) => {
                self.types = self.types.and(*types);
                self.impossible |= self.types.is_none();
            }
            Atom::Lower(bound) => {
                let tighter = self
                    .lower
                    .is_none_or(|it| bound.at > it.at || bound.at == it.at && bound.exclusive);
                if tighter {
                    self.lower = Some(*bound);
                }
            }
            Atom::Upper(bound) => {
                let tighter = self
                    .upper
                    .is_none_or(|it| bound.at < it.at || bound.at == it.at && bound.exclusive);
                if tighter {
                    self.upper = Some(*bound);
                }
            }
            Atom::Multiple(step) => self.multiples.push(*step),
            Atom::NotMultiple(step) => self.not_multiples.push(*step),
            Atom::MinLength(min) => self.min_length = self.min_length.max(*min),
            Atom::MaxLength(max) => {
                self.max_length = Some(self.max_length.map_or(*max, |it| it.min(*max)));
            }
            Atom::Pattern(pattern) => self.patterns.push(Arc::clone(pattern)),
            Atom::NotPattern(pattern) => self.not_patterns.push(Arc::clone(pattern)),
            Atom::Values(values) => self.values.push(Arc::clone(values)),
            Atom::Given(values) => {
                self.given = true;
                self.values.push(Arc::clone(values));
            }
            Atom::NotValues(values) => self.not_values.push(Arc::clone(values)),
            Atom::MinItems(min) => self.min_items = self.min_items.max(*min),
            Atom::MaxItems(max) => {
                self.max_items = Some(self.max_items.map_or(*max, |it| it.min(*max)));
            }
            Atom::Unique => self.unique = true,
            Atom::Repeats => self.repeats = true,
            Atom::Item(index, piece) => self.items.push((*index, (**piece).clone())),
            Atom::SomeItem(from, lit) => self.some_items.push((*from, *lit)),
            Atom::Count(lit, min, max) => self.counts.push((*lit, *min, *max)),
            Atom::Required(name) => {
                self.impossible |= self.absent.contains(name) && self.types == Types::OBJECT;
                if !self.required.contains(name) {
                    Rc::make_mut(&mut self.required).insert(Arc::clone(name));
                }
            }
            Atom::Absent(name) => {
                self.impossible |= self.required.contains(name) && self.types == Types::OBJECT;
                self.absent.insert(Arc::clone(name));
            }
            Atom::Property(name, piece) => {
                self.properties.entry(Arc::clone(name)).or_default().push((**piece).clone());
            }
            Atom::SomeProperty(of, part, lit) => self.some_properties.push((*of, *part, *lit)),
            Atom::SomeName(lit) => self.some_names.push(*lit),
            Atom::MinProperties(min) => self.min_properties = self.min_properties.max(*min),
            Atom::MaxProperties(max) => {
                self.max_properties = Some(self.max_properties.map_or(*max, |it| it.min(*max)));
            }
        }
    }
}

/// A property is not there: also where the instance is no object.
fn not_there(name: &Arc<str>) -> Vec<Piece> {
    vec![Piece::Atom(Atom::Absent(Arc::clone(name)))]
}

fn of_type(types: Types, rest: impl IntoIterator<Item = Piece>) -> Vec<Piece> {
    std::iter::once(Piece::Atom(Atom::Types(types))).chain(rest).collect()
}

/// The ways in which an instance can be invalid under a node: one per keyword. An empty way is one that always is open;
/// no way at all means that everything is valid.
pub(crate) fn negation(node: &Node, lit: Lit) -> Vec<Vec<Piece>> {
    if node.always == Some(false) {
        return vec![Vec::new()];
    }
    let mut ways: Vec<Vec<Piece>> = Vec::new();
    if let Some(types) = node.types {
        ways.push(of_type(Types::ALL.without(types), None));
    }
    for values in node.values.iter().chain(&node.constant) {
        ways.push(vec![Piece::Atom(Atom::NotValues(Arc::clone(values)))]);
    }
    if let Some(numbers) = &node.numbers {
        let beyond = |bound: Bound| Bound { at: bound.at, exclusive: !bound.exclusive };
        let mut way = |atom| ways.push(of_type(Types::NUMBER, Some(Piece::Atom(atom))));
        numbers.minimum.iter().for_each(|bound| way(Atom::Upper(beyond(*bound))));
        numbers.maximum.iter().for_each(|bound| way(Atom::Lower(beyond(*bound))));
        numbers.multiple_of.iter().for_each(|step| way(Atom::NotMultiple(*step)));
    }
    if let Some(strings) = &node.strings {
        let mut way = |atom| ways.push(of_type(Types::STRING, Some(Piece::Atom(atom))));
        strings.min.iter().for_each(|min| way(Atom::MaxLength(min.saturating_sub(1))));
        strings.max.iter().for_each(|max| way(Atom::MinLength(max.saturating_add(1))));
        strings.pattern.iter().for_each(|it| way(Atom::NotPattern(Arc::clone(it))));
    }
    negate_array(node, lit, &mut ways);
    negate_object(node, lit, &mut ways);
    ways.extend(node.refs.iter().map(|id| vec![lit.fails(*id)]));
    negate_logic(node, lit, &mut ways);
    ways.extend(node.opaque.iter().map(|_| vec![Piece::Unknown]));
    ways
}

fn negate_array(node: &Node, lit: Lit, ways: &mut Vec<Vec<Piece>>) {
    let Some(arrays) = &node.arrays else { return };
    let mut way = |atom| ways.push(of_type(Types::ARRAY, Some(Piece::Atom(atom))));
    arrays.min.iter().for_each(|min| way(Atom::MaxItems(min.saturating_sub(1))));
    arrays.max.iter().for_each(|max| way(Atom::MinItems(max.saturating_add(1))));
    if arrays.unique {
        way(Atom::Repeats);
    }
    for (index, id) in arrays.prefix.iter().enumerate() {
        way(Atom::Item(index, Box::new(lit.fails(*id))));
    }
    let positive = Lit { positive: true, ..lit };
    if let Some(id) = arrays.rest {
        way(Atom::SomeItem(arrays.prefix.len(), positive.of(id).negated()));
    } else if let Some(id) = arrays.unevaluated {
        // Other keywords may evaluate more: what is found here is checked.
        way(Atom::SomeItem(arrays.prefix.len(), positive.of(id).negated()));
    }
    if let Some(contains) = arrays.contains {
        let taken = positive.of(contains.node);
        if contains.min > 0 {
            way(Atom::Count(taken, 0, Some(contains.min - 1)));
        }
        if let Some(max) = contains.max {
            way(Atom::Count(taken, max.saturating_add(1), None));
        }
    }
}

fn negate_object(node: &Node, lit: Lit, ways: &mut Vec<Vec<Piece>>) {
    let Some(objects) = &node.objects else { return };
    let positive = Lit { positive: true, ..lit };
    let mut way = |pieces: Vec<Atom>| {
        ways.push(of_type(Types::OBJECT, pieces.into_iter().map(Piece::Atom)));
    };
    for name in &objects.required {
        way(vec![Atom::Absent(Arc::clone(name))]);
    }
    objects.min.iter().for_each(|min| way(vec![Atom::MaxProperties(min.saturating_sub(1))]));
    objects.max.iter().for_each(|max| way(vec![Atom::MinProperties(max.saturating_add(1))]));
    for (name, id) in &objects.properties {
        way(vec![
            Atom::Required(Arc::clone(name)),
            Atom::Property(Arc::clone(name), Box::new(lit.fails(*id))),
        ]);
    }
    for (index, (_, id)) in objects.patterns.iter().enumerate() {
        let negated = positive.of(*id).negated();
        way(vec![Atom::SomeProperty(positive, Part::Pattern(index), negated)]);
    }
    if let Some(id) = objects.additional {
        let negated = positive.of(id).negated();
        way(vec![Atom::SomeProperty(positive, Part::Additional, negated)]);
    }
    if let Some(id) = objects.unevaluated {
        let negated = positive.of(id).negated();
        way(vec![Atom::SomeProperty(positive, Part::Unevaluated, negated)]);
    }
    if let Some(id) = objects.names {
        way(vec![Atom::SomeName(positive.of(id).negated())]);
    }
    for (name, others) in &objects.dependent_required {
        for other in others {
            way(vec![Atom::Required(Arc::clone(name)), Atom::Absent(Arc::clone(other))]);
        }
    }
    for (name, id) in &objects.dependent_schemas {
        let there = Piece::Atom(Atom::Required(Arc::clone(name)));
        ways.push(of_type(Types::OBJECT, [there, lit.fails(*id)]));
    }
}

fn negate_logic(node: &Node, lit: Lit, ways: &mut Vec<Vec<Piece>>) {
    let Some(logic) = &node.logic else { return };
    ways.extend(logic.all_of.iter().map(|id| vec![lit.fails(*id)]));
    if !logic.any_of.is_empty() {
        ways.push(logic.any_of.iter().map(|id| lit.fails(*id)).collect());
    }
    if !logic.one_of.is_empty() {
        ways.push(logic.one_of.iter().map(|id| lit.fails(*id)).collect());
        let mut pairs = 0;
        for (index, left) in logic.one_of.iter().enumerate() {
            for right in logic.one_of.iter().skip(index + 1) {
                pairs += 1;
                if pairs <= ONE_OF_PAIRS_MAX {
                    ways.push(vec![lit.holds(*left), lit.holds(*right)]);
                }
            }
        }
        if pairs > ONE_OF_PAIRS_MAX {
            ways.push(vec![Piece::Unknown]);
        }
    }
    ways.extend(logic.not.map(|id| vec![lit.holds(id)]));
    if let Some(condition) = logic.condition {
        ways.extend(condition.then.map(|id| vec![lit.holds(condition.when), lit.fails(id)]));
        ways.extend(condition.otherwise.map(|id| vec![lit.fails(condition.when), lit.fails(id)]));
    }
}
