//! From documents to a model: every subschema that the root reaches becomes a node, and what cannot is a fault.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use jsonschema::{Draft, Registry};
use referencing::Resolver;
use serde_json::{Map, Value};

use super::{
    chain,
    lower::Edits,
    model::{
        Arrays, Bound, Condition, Contains, Logic, Model, Node, NodeId, Numbers, Objects, Spot,
        Strings, Types, Values,
    },
    number::Decimal,
    pattern::{self, Pattern},
    resource::{Resources, Root, address},
    source::{Missing, Source, is_modern},
};
use crate::definition::{Fault, InvalidSchema};

/// Faults that one answer lists.
const FAULTS_MAX: usize = 50;

/// Builds the model, and says what validators are to read otherwise than it is written; `exact`, in order to check
/// numbers that values do not hold.
pub(crate) fn build(
    source: &Source,
    resources: &Resources,
    exact: bool,
) -> Result<(Model, Edits), InvalidSchema> {
    let missing = Missing::default();
    let registry = source.registry(&resources.documents, &missing).map_err(InvalidSchema::new)?;
    let base = source.base().map_err(InvalidSchema::new)?;
    let mut builder = Builder {
        source,
        resources,
        exact,
        missing: &missing,
        model: Model::default(),
        edits: Edits::default(),
        spots: HashMap::new(),
        nodes: HashMap::new(),
        queue: Vec::new(),
        patterns: BTreeMap::new(),
        weight: 0,
        dynamic: HashMap::new(),
        recursive: 0,
        faults: Vec::new(),
    };
    for (index, value) in resources.documents.iter().enumerate() {
        builder.note(u32::try_from(index).unwrap_or(u32::MAX), None, "", value);
    }
    builder.run(&registry, base);
    let Builder { mut model, edits, mut faults, .. } = builder;
    model.documents = source.documents.iter().map(|document| document.name.clone()).collect();
    if faults.is_empty() {
        match chain::longest(source, &model) {
            Ok(chain) => model.chain = chain,
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        return Ok((model, edits));
    }
    faults.sort_by(|left, right| left.place.cmp(&right.place));
    faults.truncate(FAULTS_MAX);
    Err(InvalidSchema { faults })
}

struct Builder<'a> {
    source: &'a Source,
    resources: &'a Resources,
    exact: bool,
    missing: &'a Missing,
    model: Model,
    edits: Edits,
    /// Where values are, by address: references lead to values.
    spots: HashMap<usize, u32>,
    nodes: HashMap<usize, NodeId>,
    queue: Vec<(NodeId, &'a Value, Resolver<'a>, Draft)>,
    patterns: BTreeMap<String, Arc<Pattern>>,
    weight: usize,
    /// How often a dynamic anchor is set: set once, it is an anchor like any other.
    dynamic: HashMap<String, usize>,
    recursive: usize,
    faults: Vec<Fault>,
}

/// Whether a value has a place of its own in the model: what can be a schema or hold one.
pub(crate) fn has_spot(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_) | Value::Bool(_))
}

impl<'a> Builder<'a> {
    /// Notes the places of all values. Documents nest at most [`super::text::DEPTH_MAX`] deep.
    fn note(&mut self, document: u32, parent: Option<u32>, token: &str, value: &Value) {
        if !has_spot(value) {
            return;
        }
        let spot = u32::try_from(self.model.spots.len()).unwrap_or(u32::MAX);
        if let Some(root) = self.resources.root(value) {
            self.edits.roots.insert(spot, root.clone());
        }
        self.model.spots.push(Spot { document, parent, token: token.into() });
        self.spots.insert(address(value), spot);
        match value {
            Value::Object(members) => {
                if let Some(Value::String(name)) = members.get("$dynamicAnchor") {
                    *self.dynamic.entry(name.clone()).or_default() += 1;
                }
                if members.get("$recursiveAnchor") == Some(&Value::Bool(true)) {
                    self.recursive += 1;
                }
                for (name, value) in members {
                    self.note(document, Some(spot), name, value);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    self.note(document, Some(spot), &index.to_string(), value);
                }
            }
            _ => {}
        }
    }

    fn run(&mut self, registry: &'a Registry<'a>, base: jsonschema::Uri<String>) {
        let Some(root) = self.resources.documents.first() else { return };
        self.model.root = self.node(root, &registry.resolver(base), self.source.draft);
        while let Some((id, value, resolver, draft)) = self.queue.pop() {
            if self.faults.len() >= FAULTS_MAX {
                return;
            }
            let node = match value {
                Value::Bool(always) => Node { always: Some(*always), ..Node::default() },
                Value::Object(members) => self.read(id, members, &resolver, draft),
                _ => {
                    self.fault(id, "", "a schema is an object, true or false");
                    Node::default()
                }
            };
            if let Some(slot) = self.model.nodes.get_mut(id as usize) {
                *slot = Node { spot: slot.spot, ..node };
            }
        }
    }

    /// The node of a subschema, to be read later where it is new.
    fn node(&mut self, value: &'a Value, resolver: &Resolver<'a>, draft: Draft) -> NodeId {
        self.node_at(value, draft, |here| {
            let inside = resolver.in_subresource(here.create_resource_ref(value));
            inside.unwrap_or_else(|_| resolver.clone())
        })
    }

    /// The node of a value; `resolver` is asked with its dialect, and is inside of it.
    fn node_at(
        &mut self,
        value: &'a Value,
        draft: Draft,
        resolver: impl FnOnce(Draft) -> Resolver<'a>,
    ) -> NodeId {
        if let Some(id) = self.nodes.get(&address(value)) {
            return *id;
        }
        let id = u32::try_from(self.model.nodes.len()).unwrap_or(u32::MAX);
        let spot = self.spots.get(&address(value)).copied().unwrap_or(u32::MAX);
        self.model.nodes.push(Node { spot, ..Node::default() });
        self.nodes.insert(address(value), id);
        let here = match value.get("$schema") {
            None => draft,
            Some(_) => super::source::dialect(value, draft).unwrap_or_else(|message| {
                self.fault(id, "/$schema", message);
                draft
            }),
        };
        self.queue.push((id, value, resolver(here), here));
        id
    }

    /// The spot of a value, and the root from which pointers to it count.
    fn root_of(&self, value: &Value) -> Option<(u32, &Root)> {
        let spot = *self.spots.get(&address(value))?;
        let mut at = spot;
        loop {
            if let Some(root) = self.edits.roots.get(&at) {
                return Some((spot, root));
            }
            at = self.model.spots.get(at as usize)?.parent?;
        }
    }

    fn fault(&mut self, id: NodeId, below: &str, message: impl Into<String>) {
        let (document, pointer) = self.model.pointer(id);
        let fault = self.source.fault(document, &format!("{pointer}{below}"), message);
        self.faults.push(fault);
    }

    fn read(
        &mut self,
        id: NodeId,
        members: &'a Map<String, Value>,
        resolver: &Resolver<'a>,
        draft: Draft,
    ) -> Node {
        let modern = is_modern(draft);
        let mut node = Node::default();
        // Which one of several is meant depends on the way there.
        let is_ambiguous = |names: &HashMap<String, usize>, reference: &str| {
            let name = reference.rsplit_once('#').map_or("", |(_, name)| name);
            draft == Draft::Draft202012 && names.get(name).is_some_and(|times| *times > 1)
        };
        if let Some(Value::String(reference)) = members.get("$ref") {
            if is_ambiguous(&self.dynamic, reference) {
                node.opaque.push("$ref");
            }
            node.refs.extend(self.reference(id, "$ref", reference, resolver));
            // Before 2019-09 a reference stands alone.
            if !modern {
                return node;
            }
        }
        if draft == Draft::Draft202012
            && let Some(Value::String(reference)) = members.get("$dynamicRef")
        {
            if is_ambiguous(&self.dynamic, reference) {
                node.opaque.push("$dynamicRef");
            }
            node.refs.extend(self.reference(id, "$dynamicRef", reference, resolver));
        }
        if draft == Draft::Draft201909
            && let Some(Value::String(reference)) = members.get("$recursiveRef")
        {
            if self.recursive > 1 {
                node.opaque.push("$recursiveRef");
            }
            node.refs.extend(self.reference(id, "$recursiveRef", reference, resolver));
        }
        if !node.opaque.is_empty() {
            node.refs.clear();
        }
        let (document, pointer) =
            if self.exact { self.model.pointer(id) } else { (0, String::new()) };
        let (source, exact) = (self.source, self.exact);
        let written = |keyword: &str| match exact {
            true => source.written(document, &format!("{pointer}/{keyword}")),
            false => None,
        };
        if exact {
            let text = |keyword: &str| {
                let value = members.get(keyword).map(Value::to_string);
                written(keyword).map(ToOwned::to_owned).or(value)
            };
            if let Some(assertions) =
                super::exact::assertions(members, draft == Draft::Draft4, text)
            {
                self.edits.exact(self.model.node(id).spot, assertions);
            }
        }
        node.types = members.get("type").and_then(|value| types(value, draft));
        self.model.strict_integers |=
            node.types.is_some_and(|it| it.includes(Types::INTEGER) && !it.includes(Types::WHOLE));
        // What a value does not hold is not compared.
        let wide = ["enum", "const"].into_iter().filter(|it| written(it).is_some());
        node.opaque.extend(wide);
        if let Some(Value::Array(values)) =
            members.get("enum").filter(|_| written("enum").is_none())
        {
            node.values = Some(Arc::new(Values::new(values.clone())));
        }
        if draft != Draft::Draft4
            && let Some(value) = members.get("const").filter(|_| written("const").is_none())
        {
            node.constant = Some(Arc::new(Values::new(vec![value.clone()])));
        }
        let (numbers, lost) = numbers(members, draft, written);
        node.numbers = numbers;
        node.opaque.extend(lost);
        node.strings = self.strings(id, members);
        node.arrays = self.arrays(members, resolver, draft);
        node.objects = self.objects(id, members, resolver, draft);
        node.logic = self.logic(members, resolver, draft);
        node
    }

    /// What a reference leads to.
    fn reference(
        &mut self,
        id: NodeId,
        keyword: &str,
        reference: &str,
        resolver: &Resolver<'a>,
    ) -> Option<NodeId> {
        let below = format!("/{keyword}");
        let address = reference.split('#').next().unwrap_or_default();
        let uri = resolver.resolve_uri(&resolver.base_uri().borrow(), address);
        if uri.is_ok_and(|uri| self.missing.contains(uri.as_str())) {
            let message = format!(
                "{keyword} to {reference:?}: nothing is supplied under {address:?}, and nothing is fetched; hand it in \
                 as a file or reference the subject that has it under that name"
            );
            self.fault(id, &below, message);
            return None;
        }
        let found = if keyword == "$recursiveRef" {
            resolver.lookup_recursive_ref()
        } else {
            resolver.lookup(reference)
        };
        let (value, found, draft) = match found {
            Ok(found) => found.into_inner(),
            Err(error) => {
                let said: String = error.to_string().chars().take(200).collect();
                let message = format!("{keyword} to {reference:?} leads nowhere: {said}");
                self.fault(id, &below, message);
                return None;
            }
        };
        if !matches!(value, Value::Object(_) | Value::Bool(_)) {
            let message = format!("{keyword} to {reference:?}: what is there is not a schema");
            self.fault(id, &below, message);
            return None;
        }
        let Some((to, root)) = self.root_of(value).filter(|_| keyword == "$ref") else {
            return Some(self.node_at(value, draft, |_| found));
        };
        // The library takes no notice of a reference without a character, nor of a dialect on the way of a pointer.
        let there = root.draft;
        let rewrite = reference.is_empty() || there != draft;
        let from = self.model.node(id).spot;
        self.edits.reference(from, to, rewrite);
        let direct = self.edits.address_of(&self.model, to, false).filter(|_| there != draft);
        let direct = direct.and_then(|reference| resolver.lookup(&reference).ok());
        let found = direct.map_or(found, |found| found.resolver().clone());
        Some(self.node_at(value, there, |_| found))
    }

    fn child(
        &mut self,
        members: &'a Map<String, Value>,
        keyword: &str,
        resolver: &Resolver<'a>,
        draft: Draft,
    ) -> Option<NodeId> {
        let value = members.get(keyword)?;
        matches!(value, Value::Object(_) | Value::Bool(_))
            .then(|| self.node(value, resolver, draft))
    }

    fn children(
        &mut self,
        members: &'a Map<String, Value>,
        keyword: &str,
        resolver: &Resolver<'a>,
        draft: Draft,
    ) -> Vec<NodeId> {
        let Some(Value::Array(items)) = members.get(keyword) else { return Vec::new() };
        items.iter().map(|value| self.node(value, resolver, draft)).collect()
    }

    fn pattern(&mut self, id: NodeId, below: &str, text: &str) -> Arc<Pattern> {
        if let Some(pattern) = self.patterns.get(text) {
            return Arc::clone(pattern);
        }
        // Look-around has no weight here: its engine counts steps instead.
        self.weight = self.weight.saturating_add(pattern::weight(text).unwrap_or(text.len() * 10));
        if self.weight > pattern::WEIGHT_MAX {
            // Not compiled, so that refusing it costs nothing.
            if self.faults.len() < FAULTS_MAX {
                let message = "the regular expressions are too large when their repetitions are written out; \
                               use smaller bounds";
                self.fault(id, below, message);
            }
            return Arc::new(Pattern::literals([""]));
        }
        let pattern = Arc::new(Pattern::new(text));
        if !pattern.is_valid() {
            let short: String = text.chars().take(100).collect();
            let why = pattern.fault.as_deref().unwrap_or("the engine has no room for it");
            let message = format!("{short:?} is not a regular expression of ECMA-262: {why}");
            self.fault(id, below, message);
        }
        self.patterns.insert(text.to_owned(), Arc::clone(&pattern));
        pattern
    }

    fn strings(&mut self, id: NodeId, members: &'a Map<String, Value>) -> Option<Box<Strings>> {
        let pattern = members.get("pattern").and_then(Value::as_str);
        let pattern = pattern.map(|text| self.pattern(id, "/pattern", text));
        if let Some(pattern) = pattern.as_ref().filter(|it| it.engine != it.text) {
            let spot = self.model.node(id).spot;
            self.edits.text(spot, "pattern", pattern.engine.clone());
        }
        let strings = Strings {
            min: count(members, "minLength").filter(|min| *min > 0),
            max: count(members, "maxLength"),
            pattern,
        };
        let some = strings.min.is_some() || strings.max.is_some() || strings.pattern.is_some();
        some.then(|| Box::new(strings))
    }

    fn arrays(
        &mut self,
        members: &'a Map<String, Value>,
        resolver: &Resolver<'a>,
        draft: Draft,
    ) -> Option<Box<Arrays>> {
        let mut arrays = Arrays {
            unique: members.get("uniqueItems") == Some(&Value::Bool(true)),
            min: count(members, "minItems").filter(|min| *min > 0),
            max: count(members, "maxItems"),
            ..Arrays::default()
        };
        if draft == Draft::Draft202012 {
            arrays.prefix = self.children(members, "prefixItems", resolver, draft);
            arrays.rest = self.child(members, "items", resolver, draft);
        } else if let Some(Value::Array(_)) = members.get("items") {
            arrays.prefix_is_items = true;
            arrays.prefix = self.children(members, "items", resolver, draft);
            arrays.rest = self.child(members, "additionalItems", resolver, draft);
        } else {
            arrays.rest = self.child(members, "items", resolver, draft);
        }
        if draft != Draft::Draft4
            && let Some(node) = self.child(members, "contains", resolver, draft)
        {
            let bound = |keyword| count(members, keyword).filter(|_| is_modern(draft));
            let min = bound("minContains").unwrap_or(1);
            arrays.contains = Some(Contains { node, min, max: bound("maxContains") });
        }
        if is_modern(draft) {
            arrays.unevaluated = self.child(members, "unevaluatedItems", resolver, draft);
        }
        let some = !arrays.prefix.is_empty()
            || arrays.rest.is_some()
            || arrays.contains.is_some()
            || arrays.unique
            || arrays.min.is_some()
            || arrays.max.is_some()
            || arrays.unevaluated.is_some();
        some.then(|| Box::new(arrays))
    }

    fn objects(
        &mut self,
        id: NodeId,
        members: &'a Map<String, Value>,
        resolver: &Resolver<'a>,
        draft: Draft,
    ) -> Option<Box<Objects>> {
        const KEYWORDS: [&str; 12] = [
            "properties",
            "patternProperties",
            "additionalProperties",
            "required",
            "dependencies",
            "dependentRequired",
            "dependentSchemas",
            "propertyNames",
            "minProperties",
            "maxProperties",
            "unevaluatedProperties",
            "unevaluatedProperties",
        ];
        if !KEYWORDS.iter().any(|keyword| members.contains_key(*keyword)) {
            return None;
        }
        let modern = is_modern(draft);
        let mut objects = Objects {
            required: names(members.get("required")),
            min: count(members, "minProperties").filter(|min| *min > 0),
            max: count(members, "maxProperties"),
            additional: self.child(members, "additionalProperties", resolver, draft),
            ..Objects::default()
        };
        if let Some(Value::Object(properties)) = members.get("properties") {
            for (name, value) in properties {
                let node = self.node(value, resolver, draft);
                objects.properties.insert(name.as_str().into(), node);
            }
        }
        if let Some(Value::Object(patterns)) = members.get("patternProperties") {
            let mut texts: BTreeSet<String> = BTreeSet::new();
            for (text, value) in patterns {
                let token = text.replace('~', "~0").replace('/', "~1");
                let pattern = self.pattern(id, &format!("/patternProperties/{token}"), text);
                if pattern.engine != *text
                    && let Some(spot) = self.spots.get(&address(value))
                {
                    if texts.is_empty() {
                        texts.extend(patterns.keys().cloned());
                    }
                    self.edits.name(*spot, pattern.engine.clone(), "(?:)", &mut texts);
                }
                objects.patterns.push((pattern, self.node(value, resolver, draft)));
            }
        }
        if draft != Draft::Draft4 {
            objects.names = self.child(members, "propertyNames", resolver, draft);
        }
        if modern
            && let Some(spot) =
                members.get("dependencies").and_then(|it| self.spots.get(&address(it)))
        {
            // They went with 2019-09, which the library does not know.
            let mut names = members.keys().cloned().collect();
            self.edits.name(*spot, "x-dependencies".to_owned(), "-", &mut names);
        }
        let dependencies: &[&str] =
            if modern { &["dependentRequired", "dependentSchemas"] } else { &["dependencies"] };
        for keyword in dependencies {
            let Some(Value::Object(dependencies)) = members.get(*keyword) else { continue };
            for (name, value) in dependencies {
                let name = Arc::from(name.as_str());
                if let Value::Array(_) = value {
                    objects.dependent_required.push((name, names(Some(value))));
                } else {
                    let node = self.node(value, resolver, draft);
                    objects.dependent_schemas.push((name, node));
                }
            }
        }
        if modern {
            objects.unevaluated = self.child(members, "unevaluatedProperties", resolver, draft);
        }
        Some(Box::new(objects))
    }

    fn logic(
        &mut self,
        members: &'a Map<String, Value>,
        resolver: &Resolver<'a>,
        draft: Draft,
    ) -> Option<Box<Logic>> {
        let mut logic = Logic {
            all_of: self.children(members, "allOf", resolver, draft),
            any_of: self.children(members, "anyOf", resolver, draft),
            one_of: self.children(members, "oneOf", resolver, draft),
            not: self.child(members, "not", resolver, draft),
            condition: None,
        };
        if !matches!(draft, Draft::Draft4 | Draft::Draft6)
            && let Some(when) = self.child(members, "if", resolver, draft)
        {
            let then = self.child(members, "then", resolver, draft);
            let otherwise = self.child(members, "else", resolver, draft);
            // Alone it refuses nothing, and yet what it names is declared, and what it takes counts as evaluated.
            logic.condition = Some(Condition { when, then, otherwise });
        }
        let some = !logic.all_of.is_empty()
            || !logic.any_of.is_empty()
            || !logic.one_of.is_empty()
            || logic.not.is_some()
            || logic.condition.is_some();
        some.then(|| Box::new(logic))
    }
}

fn types(value: &Value, draft: Draft) -> Option<Types> {
    match value {
        Value::String(name) => Types::named(name, draft),
        Value::Array(names) => Some(
            names
                .iter()
                .filter_map(|name| Types::named(name.as_str()?, draft))
                .fold(Types::NONE, Types::or),
        ),
        _ => None,
    }
}

fn names(value: Option<&Value>) -> Vec<Arc<str>> {
    let Some(Value::Array(names)) = value else { return Vec::new() };
    names.iter().filter_map(Value::as_str).map(Arc::from).collect()
}

/// A count, spelled `2` or `2.0`.
fn count(members: &Map<String, Value>, keyword: &str) -> Option<u64> {
    let number = Decimal::of(members.get(keyword)?.as_number()?);
    // 1e30 items are as good as u64::MAX of them.
    Some(number.scaled(0).map_or(u64::MAX, |count| u64::try_from(count).unwrap_or(u64::MAX)))
}

/// What is asserted of numbers, and the keywords of which the number is beyond arithmetic.
fn numbers<'t>(
    members: &Map<String, Value>,
    draft: Draft,
    written: impl Fn(&str) -> Option<&'t str>,
) -> (Option<Box<Numbers>>, Vec<&'static str>) {
    const KEYWORDS: [&str; 5] =
        ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
    let number = |keyword: &str| {
        let number = members.get(keyword)?.as_number()?;
        written(keyword).map_or_else(|| Some(Decimal::of(number)), Decimal::parse)
    };
    let lost = KEYWORDS.into_iter().filter(|keyword| {
        members.get(*keyword).is_some_and(Value::is_number) && number(keyword).is_none()
    });
    let lost = lost.collect();
    let bound = |plain: &str, exclusive: &str, tighter: fn(Decimal, Decimal) -> bool| {
        let inclusive = number(plain);
        if draft == Draft::Draft4 {
            let exclusive = members.get(exclusive) == Some(&Value::Bool(true));
            return inclusive.map(|at| Bound { at, exclusive });
        }
        let outer = number(exclusive).map(|at| Bound { at, exclusive: true });
        match (inclusive.map(|at| Bound { at, exclusive: false }), outer) {
            // Both are asserted; the tighter one says it all.
            (Some(inclusive), Some(outer)) if tighter(inclusive.at, outer.at) => Some(inclusive),
            (inclusive, outer) => outer.or(inclusive),
        }
    };
    let numbers = Numbers {
        minimum: bound("minimum", "exclusiveMinimum", |left, right| left > right),
        maximum: bound("maximum", "exclusiveMaximum", |left, right| left < right),
        multiple_of: number("multipleOf"),
    };
    let some =
        numbers.minimum.is_some() || numbers.maximum.is_some() || numbers.multiple_of.is_some();
    (some.then(|| Box::new(numbers)), lost)
}
