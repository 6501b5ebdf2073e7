//! From documents to a model: every subschema that the root reaches becomes a node, and what cannot is a fault.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jsonschema::{Draft, Registry};
use referencing::Resolver;
use serde_json::{Map, Value};

use super::{
    model::{
        Arrays, Bound, Condition, Contains, Logic, Model, Node, NodeId, Numbers, Objects, Spot,
        Strings, Types, Values,
    },
    number::Decimal,
    pattern::{self, Pattern},
    source::{Missing, Source, is_modern},
};
use crate::definition::{Fault, InvalidSchema};

/// Ways from one instance through references, which is what a validator may have to go. 24 levels of two references
/// each take a second, 40 take hours.
const REFERENCE_PATHS_MAX: u64 = 10_000;
/// Longest chain of references and keywords, cycles taken once.
const CHAIN_MAX: u32 = 300;
/// Faults that one answer lists.
const FAULTS_MAX: usize = 50;

/// Builds the model.
pub(crate) fn build(source: &Source) -> Result<Model, InvalidSchema> {
    let missing = Missing::default();
    let registry = source.registry(&missing).map_err(InvalidSchema::new)?;
    let base = source.base().map_err(InvalidSchema::new)?;
    let mut builder = Builder {
        source,
        missing: &missing,
        model: Model::default(),
        spots: HashMap::new(),
        nodes: HashMap::new(),
        queue: Vec::new(),
        patterns: BTreeMap::new(),
        weight: 0,
        dynamic: HashMap::new(),
        recursive: 0,
        faults: Vec::new(),
    };
    for (index, document) in source.documents.iter().enumerate() {
        builder.note(u32::try_from(index).unwrap_or(u32::MAX), None, "", &document.value);
    }
    builder.run(&registry, base);
    let Builder { mut model, mut faults, .. } = builder;
    model.documents = source.documents.iter().map(|document| document.name.clone()).collect();
    if faults.is_empty() {
        match longest_chain(source, &model) {
            Ok(chain) => model.chain = chain,
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        return Ok(model);
    }
    faults.sort_by(|left, right| left.place.cmp(&right.place));
    faults.truncate(FAULTS_MAX);
    Err(InvalidSchema { faults })
}

struct Builder<'a> {
    source: &'a Source,
    missing: &'a Missing,
    model: Model,
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

fn address(value: &Value) -> usize {
    std::ptr::from_ref(value) as usize
}

impl<'a> Builder<'a> {
    /// Notes the places of all values. Documents nest at most [`super::text::DEPTH_MAX`] deep.
    fn note(&mut self, document: u32, parent: Option<u32>, token: &str, value: &Value) {
        if !matches!(value, Value::Object(_) | Value::Array(_) | Value::Bool(_)) {
            return;
        }
        let spot = u32::try_from(self.model.spots.len()).unwrap_or(u32::MAX);
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
        let root = self.source.root();
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

    /// The node of a value, to be read later where it is new.
    fn node(&mut self, value: &'a Value, resolver: &Resolver<'a>, draft: Draft) -> NodeId {
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
        let resolver = resolver
            .in_subresource(here.create_resource_ref(value))
            .unwrap_or_else(|_| resolver.clone());
        self.queue.push((id, value, resolver, here));
        id
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
        if let Some(Value::String(reference)) = members.get("$ref") {
            node.refs.extend(self.reference(id, "/$ref", reference, resolver));
            // Before 2019-09 a reference stands alone.
            if !modern {
                return node;
            }
        }
        if draft == Draft::Draft202012
            && let Some(Value::String(reference)) = members.get("$dynamicRef")
        {
            let name = reference.rsplit_once('#').map_or("", |(_, name)| name);
            if self.dynamic.get(name).is_some_and(|times| *times > 1) {
                node.opaque.push("$dynamicRef");
            }
            node.refs.extend(self.reference(id, "/$dynamicRef", reference, resolver));
        }
        if draft == Draft::Draft201909
            && let Some(Value::String(reference)) = members.get("$recursiveRef")
        {
            if self.recursive > 1 {
                node.opaque.push("$recursiveRef");
            }
            node.refs.extend(self.reference(id, "/$recursiveRef", reference, resolver));
        }
        if !node.opaque.is_empty() {
            node.refs.clear();
        }
        node.types = members.get("type").and_then(types);
        if let Some(Value::Array(values)) = members.get("enum") {
            node.values = Some(Arc::new(Values::new(values.clone())));
        }
        if draft != Draft::Draft4
            && let Some(value) = members.get("const")
        {
            node.constant = Some(Arc::new(Values::new(vec![value.clone()])));
        }
        node.numbers = numbers(members, draft);
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
        below: &str,
        reference: &str,
        resolver: &Resolver<'a>,
    ) -> Option<NodeId> {
        let address = reference.split('#').next().unwrap_or_default();
        let uri = resolver.resolve_uri(&resolver.base_uri().borrow(), address);
        if uri.is_ok_and(|uri| self.missing.contains(uri.as_str())) {
            let message = format!(
                "$ref to {reference:?}: nothing is supplied under {address:?}, and nothing is fetched; hand it in as \
                 a file or reference the subject that has it under that name"
            );
            self.fault(id, below, message);
            return None;
        }
        match resolver.lookup(reference) {
            Ok(found) => {
                let (value, resolver, draft) = found.into_inner();
                if !matches!(value, Value::Object(_) | Value::Bool(_)) {
                    let message = format!("$ref to {reference:?}: what is there is not a schema");
                    self.fault(id, below, message);
                    return None;
                }
                Some(self.node(value, &resolver, draft))
            }
            Err(error) => {
                let said: String = error.to_string().chars().take(200).collect();
                let message = format!("$ref to {reference:?} leads nowhere: {said}");
                self.fault(id, below, message);
                None
            }
        }
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
            self.fault(id, below, format!("{short:?} is not a regular expression of ECMA-262"));
        }
        self.patterns.insert(text.to_owned(), Arc::clone(&pattern));
        pattern
    }

    fn strings(&mut self, id: NodeId, members: &'a Map<String, Value>) -> Option<Box<Strings>> {
        let pattern = members.get("pattern").and_then(Value::as_str);
        let strings = Strings {
            min: count(members, "minLength").filter(|min| *min > 0),
            max: count(members, "maxLength"),
            pattern: pattern.map(|text| self.pattern(id, "/pattern", text)),
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
            for (text, value) in patterns {
                let token = text.replace('~', "~0").replace('/', "~1");
                let pattern = self.pattern(id, &format!("/patternProperties/{token}"), text);
                objects.patterns.push((pattern, self.node(value, resolver, draft)));
            }
        }
        if draft != Draft::Draft4 {
            objects.names = self.child(members, "propertyNames", resolver, draft);
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
            if then.is_some() || otherwise.is_some() {
                logic.condition = Some(Condition { when, then, otherwise });
            }
        }
        let some = !logic.all_of.is_empty()
            || !logic.any_of.is_empty()
            || !logic.one_of.is_empty()
            || logic.not.is_some()
            || logic.condition.is_some();
        some.then(|| Box::new(logic))
    }
}

fn types(value: &Value) -> Option<Types> {
    match value {
        Value::String(name) => Types::named(name),
        Value::Array(names) => Some(
            names
                .iter()
                .filter_map(|name| Types::named(name.as_str()?))
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

fn numbers(members: &Map<String, Value>, draft: Draft) -> Option<Box<Numbers>> {
    let number = |keyword: &str| members.get(keyword)?.as_number().map(Decimal::of);
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
    some.then(|| Box::new(numbers))
}

/// Bounds what a validator does with one instance: the ways through references at one place, and how deep they go.
/// How deep.
fn longest_chain(source: &Source, model: &Model) -> Result<usize, Fault> {
    // Depth first without recursion; a reference back into the chain that leads to it counts as nothing.
    #[derive(Clone, Copy)]
    enum State {
        New,
        Open,
        Done(u64, u32),
    }
    let mut longest = 0;
    let mut states = vec![State::New; model.nodes.len()];
    let mut order: Vec<NodeId> = Vec::new();
    for start in 0..model.nodes.len() {
        order.push(u32::try_from(start).unwrap_or(u32::MAX));
        while let Some(id) = order.last().copied() {
            let node = model.node(id);
            match states.get(id as usize) {
                Some(State::New) => {
                    if let Some(state) = states.get_mut(id as usize) {
                        *state = State::Open;
                    }
                    order.extend(
                        node.in_place().iter().filter(|child| {
                            matches!(states.get(**child as usize), Some(State::New))
                        }),
                    );
                }
                Some(State::Open) => {
                    order.pop();
                    let mut paths = node.refs.len() as u64;
                    let mut chain = 0;
                    for child in node.in_place() {
                        if let Some(State::Done(below, depth)) = states.get(child as usize) {
                            paths = paths.saturating_add(*below);
                            chain = chain.max(depth + 1);
                        }
                    }
                    if let Some(state) = states.get_mut(id as usize) {
                        *state = State::Done(paths, chain);
                    }
                    longest = longest.max(chain as usize);
                    if paths <= REFERENCE_PATHS_MAX && chain <= CHAIN_MAX {
                        continue;
                    }
                    let (document, pointer) = model.pointer(id);
                    if paths > REFERENCE_PATHS_MAX {
                        let message = format!(
                            "there are more than {REFERENCE_PATHS_MAX} ways through $ref from here; a payload would \
                             be checked along each of them"
                        );
                        return Err(source.fault(document, &pointer, message));
                    }
                    if chain > CHAIN_MAX {
                        let message = format!(
                            "references and combinations lead on for more than {CHAIN_MAX} steps from here"
                        );
                        return Err(source.fault(document, &pointer, message));
                    }
                }
                Some(State::Done(..)) | None => {
                    order.pop();
                }
            }
        }
    }
    Ok(longest)
}
