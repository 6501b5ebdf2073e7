//! Constraints on one instance: a conjunction of facts, and alternatives that are not chosen yet.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    rc::Rc,
    sync::Arc,
};

use super::{
    conjunct::{Applicator, Atom, Conjunct},
    literal::{Literal, SchemaPair},
    model::{Bound, Node, Types, Values},
    negation::negation,
    number::Decimal,
    pattern::Pattern,
};

/// Constraints on one instance.
#[derive(Debug, Clone)]
pub(crate) struct Constraints {
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
    /// Nodes with array keywords.
    pub arrays: Vec<Literal>,
    pub min_items: u64,
    pub max_items: Option<u64>,
    pub unique: bool,
    pub repeats: bool,
    pub items: Vec<(usize, Conjunct)>,
    pub some_items: Vec<(usize, Literal)>,
    pub counts: Vec<(Literal, u64, Option<u64>)>,
    /// Nodes with object keywords.
    pub objects: Vec<Literal>,
    pub required: Rc<BTreeSet<Arc<str>>>,
    pub absent: BTreeSet<Arc<str>>,
    pub properties: BTreeMap<Arc<str>, Vec<Conjunct>>,
    pub some_properties: Vec<(Literal, Applicator, Literal)>,
    pub names: Vec<Literal>,
    pub some_names: Vec<Literal>,
    pub min_properties: u64,
    pub max_properties: Option<u64>,
    /// Of each entry, one alternative holds.
    pub pending: Vec<Rc<Vec<Vec<Conjunct>>>>,
    /// Chosen `oneOf` alternatives, by node and index. None of the other alternatives of that
    /// `oneOf` holds, which is checked only for candidates that violate it.
    pub passive: Vec<(Literal, usize)>,
    /// Literals that were added from outside, not derived.
    pub roots: Vec<Literal>,
    pub atoms: Vec<Atom>,
    /// All positive literals, derived ones included.
    pub asserted: Vec<Literal>,
    pub unknown: bool,
    /// Undeclared properties may be present although the content model treats them as absent.
    pub allows_undeclared: bool,
    /// The values were solved before, so that all of their members may be present.
    pub given: bool,
    pub impossible: bool,
    literals: HashSet<Literal>,
}

impl Default for Constraints {
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
            asserted: Vec::new(),
            unknown: false,
            allows_undeclared: false,
            given: false,
            impossible: false,
            literals: HashSet::new(),
        }
    }
}

impl Constraints {
    /// The constraints that follow from a conjunction of literals.
    pub(crate) fn of(schemas: SchemaPair<'_>, literals: &[Literal]) -> Self {
        let mut constraints = Self::default();
        for literal in literals {
            constraints.add(schemas, &Conjunct::Literal(*literal));
        }
        constraints
    }

    /// These constraints and further conjuncts.
    #[must_use]
    pub(crate) fn with(&self, schemas: SchemaPair<'_>, conjuncts: &[Conjunct]) -> Self {
        let mut constraints = self.clone();
        for conjunct in conjuncts {
            constraints.add(schemas, conjunct);
        }
        constraints
    }

    /// Adds a conjunct from outside.
    pub(crate) fn add(&mut self, schemas: SchemaPair<'_>, conjunct: &Conjunct) {
        match conjunct {
            Conjunct::Literal(literal) => {
                self.roots.push(*literal);
                self.add_literal(schemas, *literal);
            }
            Conjunct::Atom(atom) => {
                self.atoms.push(atom.clone());
                self.add_atom(atom);
            }
            Conjunct::OneOf(literal, index) => {
                let Some(logic) = &schemas.node(*literal).logic else { return };
                if let Some(node) = logic.one_of.get(*index) {
                    self.passive.push((*literal, *index));
                    self.add_literal(schemas, literal.of(*node));
                }
            }
            Conjunct::Unknown => self.unknown = true,
        }
    }

    /// Whether a literal was added or derived before.
    pub(crate) fn has(&self, literal: Literal) -> bool {
        self.literals.contains(&literal)
    }

    /// Cost of a copy and a traversal, in steps.
    pub(crate) fn weight(&self) -> u64 {
        let alternatives: usize = self.pending.iter().map(|alternatives| alternatives.len()).sum();
        let facts =
            self.asserted.len() + self.literals.len() + self.properties.len() + self.absent.len();
        (1 + alternatives / 8 + facts / 4) as u64
    }

    fn add_literal(&mut self, schemas: SchemaPair<'_>, literal: Literal) {
        if self.impossible || !self.literals.insert(literal) {
            return;
        }
        if self.literals.contains(&literal.negated()) {
            self.impossible = true;
            return;
        }
        if literal.positive {
            self.asserted.push(literal);
            self.assert_node(schemas, literal);
        } else {
            self.add_choice(schemas, negation(schemas.node(literal), literal));
        }
    }

    fn add_choice(&mut self, schemas: SchemaPair<'_>, mut alternatives: Vec<Vec<Conjunct>>) {
        if alternatives.iter().any(Vec::is_empty) {
            return;
        }
        alternatives.retain(|conjuncts| !self.contradicts(schemas, conjuncts));
        match alternatives.len() {
            0 => self.impossible = true,
            1 => {
                for conjunct in alternatives.iter().flatten() {
                    self.add_derived(schemas, conjunct);
                }
            }
            _ => self.pending.push(Rc::new(alternatives)),
        }
    }

    /// Adds a conjunct that follows from the present constraints.
    fn add_derived(&mut self, schemas: SchemaPair<'_>, conjunct: &Conjunct) {
        match conjunct {
            Conjunct::Literal(literal) => self.add_literal(schemas, *literal),
            Conjunct::Atom(atom) => self.add_atom(atom),
            Conjunct::OneOf(..) | Conjunct::Unknown => self.add(schemas, conjunct),
        }
    }

    /// Whether an alternative obviously contradicts the constraints.
    pub(crate) fn contradicts(&self, schemas: SchemaPair<'_>, conjuncts: &[Conjunct]) -> bool {
        let mut types = self.types;
        // Constraints on properties contradict each other only if the instance must be an object.
        let object = self.types == Types::OBJECT;
        for conjunct in conjuncts {
            match conjunct {
                Conjunct::Atom(Atom::Types(other)) => types = types.and(*other),
                Conjunct::Atom(Atom::Absent(name)) if object && self.required.contains(name) => {
                    return true;
                }
                Conjunct::Atom(Atom::Required(name)) if object && self.absent.contains(name) => {
                    return true;
                }
                Conjunct::Literal(literal) => {
                    if self.literals.contains(&literal.negated()) {
                        return true;
                    }
                    if literal.positive {
                        types = types.and(schemas.node(*literal).types.unwrap_or(Types::ALL));
                    }
                }
                Conjunct::OneOf(literal, index) => {
                    if let Some(logic) = &schemas.node(*literal).logic
                        && let Some(node) = logic.one_of.get(*index)
                    {
                        let node = schemas.model(literal.role).node(*node);
                        types = types.and(node.types.unwrap_or(Types::ALL));
                    }
                }
                Conjunct::Atom(_) | Conjunct::Unknown => {}
            }
        }
        types.is_none()
    }

    fn assert_node(&mut self, schemas: SchemaPair<'_>, literal: Literal) {
        let node = schemas.node(literal);
        if node.always == Some(false) {
            self.impossible = true;
            return;
        }
        if let Some(types) = node.types {
            self.add_atom(&Atom::Types(types));
        }
        for values in node.values.iter().chain(&node.constant) {
            self.add_atom(&Atom::Values(Arc::clone(values)));
        }
        if let Some(numbers) = &node.numbers {
            numbers.minimum.iter().for_each(|bound| self.add_atom(&Atom::Lower(*bound)));
            numbers.maximum.iter().for_each(|bound| self.add_atom(&Atom::Upper(*bound)));
            numbers.multiple_of.iter().for_each(|step| self.add_atom(&Atom::Multiple(*step)));
        }
        if let Some(strings) = &node.strings {
            strings.min.iter().for_each(|min| self.add_atom(&Atom::MinLength(*min)));
            strings.max.iter().for_each(|max| self.add_atom(&Atom::MaxLength(*max)));
            strings
                .pattern
                .iter()
                .for_each(|pattern| self.add_atom(&Atom::Pattern(Arc::clone(pattern))));
        }
        if let Some(arrays) = &node.arrays {
            self.arrays.push(literal);
            arrays.min.iter().for_each(|min| self.add_atom(&Atom::MinItems(*min)));
            arrays.max.iter().for_each(|max| self.add_atom(&Atom::MaxItems(*max)));
            if arrays.unique {
                self.add_atom(&Atom::Unique);
            }
            if let Some(contains) = arrays.contains {
                self.add_atom(&Atom::Count(literal.of(contains.node), contains.min, contains.max));
            }
        }
        for id in &node.refs {
            self.add_literal(schemas, literal.of(*id));
        }
        self.assert_object(schemas, node, literal);
        self.assert_logic(schemas, node, literal);
    }

    fn assert_object(&mut self, schemas: SchemaPair<'_>, node: &Node, literal: Literal) {
        let Some(objects) = &node.objects else { return };
        self.objects.push(literal);
        objects.min.iter().for_each(|min| self.add_atom(&Atom::MinProperties(*min)));
        objects.max.iter().for_each(|max| self.add_atom(&Atom::MaxProperties(*max)));
        for name in &objects.required {
            self.add_atom(&Atom::Required(Arc::clone(name)));
        }
        self.names.extend(objects.names.map(|id| literal.of(id)));
        for (name, dependents) in &objects.dependent_required {
            let mut all = vec![Conjunct::Atom(Atom::Required(Arc::clone(name)))];
            all.extend(
                dependents.iter().map(|name| Conjunct::Atom(Atom::Required(Arc::clone(name)))),
            );
            self.add_choice(schemas, vec![absent_property(name), all]);
        }
        for (name, id) in &objects.dependent_schemas {
            let all = vec![Conjunct::Atom(Atom::Required(Arc::clone(name))), literal.holds(*id)];
            self.add_choice(schemas, vec![absent_property(name), all]);
        }
    }

    fn assert_logic(&mut self, schemas: SchemaPair<'_>, node: &Node, literal: Literal) {
        let Some(logic) = &node.logic else { return };
        for id in &logic.all_of {
            self.add_literal(schemas, literal.of(*id));
        }
        if let Some(id) = logic.not {
            self.add_literal(schemas, literal.of(id).negated());
        }
        if !logic.any_of.is_empty() {
            self.add_choice(
                schemas,
                logic.any_of.iter().map(|id| vec![literal.holds(*id)]).collect(),
            );
        }
        if !logic.one_of.is_empty() {
            let branches = 0..logic.one_of.len();
            self.add_choice(
                schemas,
                branches.map(|index| vec![Conjunct::OneOf(literal, index)]).collect(),
            );
        }
        // Without `then` and `else` it asserts nothing, but the properties and items that `if`
        // evaluates count as evaluated.
        if let Some(condition) = logic.condition {
            let mut then = vec![literal.holds(condition.when)];
            then.extend(condition.then.map(|id| literal.holds(id)));
            let mut otherwise = vec![literal.fails(condition.when)];
            otherwise.extend(condition.otherwise.map(|id| literal.holds(id)));
            self.add_choice(schemas, vec![then, otherwise]);
        }
    }

    fn add_atom(&mut self, atom: &Atom) {
        match atom {
            Atom::Types(types) => {
                self.types = self.types.and(*types);
                self.impossible |= self.types.is_none();
            }
            Atom::Lower(bound) => {
                let tighter = self.lower.is_none_or(|lower| {
                    bound.at > lower.at || bound.at == lower.at && bound.exclusive
                });
                if tighter {
                    self.lower = Some(*bound);
                }
            }
            Atom::Upper(bound) => {
                let tighter = self.upper.is_none_or(|upper| {
                    bound.at < upper.at || bound.at == upper.at && bound.exclusive
                });
                if tighter {
                    self.upper = Some(*bound);
                }
            }
            Atom::Multiple(step) => self.multiples.push(*step),
            Atom::NotMultiple(step) => self.not_multiples.push(*step),
            Atom::MinLength(min) => self.min_length = self.min_length.max(*min),
            Atom::MaxLength(max) => {
                self.max_length = Some(self.max_length.map_or(*max, |current| current.min(*max)));
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
                self.max_items = Some(self.max_items.map_or(*max, |current| current.min(*max)));
            }
            Atom::Unique => self.unique = true,
            Atom::Repeats => self.repeats = true,
            Atom::Item(index, conjunct) => self.items.push((*index, (**conjunct).clone())),
            Atom::SomeItem(from, literal) => self.some_items.push((*from, *literal)),
            Atom::Count(literal, min, max) => self.counts.push((*literal, *min, *max)),
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
            Atom::Property(name, conjunct) => {
                self.properties.entry(Arc::clone(name)).or_default().push((**conjunct).clone());
            }
            Atom::SomeProperty(parent, applicator, literal) => {
                self.some_properties.push((*parent, *applicator, *literal))
            }
            Atom::SomeName(literal) => self.some_names.push(*literal),
            Atom::MinProperties(min) => self.min_properties = self.min_properties.max(*min),
            Atom::MaxProperties(max) => {
                self.max_properties =
                    Some(self.max_properties.map_or(*max, |current| current.min(*max)));
            }
        }
    }
}

/// The property is absent, which also holds if the instance is not an object.
fn absent_property(name: &Arc<str>) -> Vec<Conjunct> {
    vec![Conjunct::Atom(Atom::Absent(Arc::clone(name)))]
}
