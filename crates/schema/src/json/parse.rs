//! Parses documents into a model: every subschema that is reachable from the root becomes a node.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jsonschema::{Draft, Registry};
use referencing::Resolver;
use serde_json::{Map, Value};

use self::keywords::{numbers, types};
use super::{
    limits::{self, FAULTS_MAX},
    lower::Edits,
    model::{Location, Model, Node, NodeId, Types, Values},
    numeric_assertions,
    pattern::Pattern,
    resource::{ResourceRoot, Resources, address},
    source::{self, MissingResources, Source, is_modern},
};
use crate::definition::{Fault, InvalidSchema};

mod keywords;

/// Builds the model, and the rewrites of the documents for the validators. `exact`: the rewrites
/// include the assertions on wide numbers.
///
/// # Errors
/// Returns all faults, at most [`FAULTS_MAX`].
pub(crate) fn build(
    source: &Source,
    resources: &Resources,
    exact: bool,
) -> Result<(Model, Edits), InvalidSchema> {
    let missing = MissingResources::default();
    let registry = source.registry(&resources.documents, &missing).map_err(InvalidSchema::new)?;
    let base = source.base().map_err(InvalidSchema::new)?;
    let mut builder = Builder {
        source,
        resources,
        exact,
        missing: &missing,
        model: Model::default(),
        edits: Edits::default(),
        locations: HashMap::new(),
        nodes: HashMap::new(),
        queue: Vec::new(),
        patterns: BTreeMap::new(),
        weight: 0,
        dynamic: HashMap::new(),
        recursive: 0,
        faults: Vec::new(),
    };
    for (index, value) in resources.documents.iter().enumerate() {
        builder.index(u32::try_from(index).unwrap_or(u32::MAX), None, "", value);
    }
    builder.run(&registry, base);
    let Builder { mut model, edits, mut faults, .. } = builder;
    model.documents = source.documents.iter().map(|document| document.name.clone()).collect();
    if faults.is_empty() {
        match limits::longest_chain(source, &model) {
            Ok(chain) => model.longest_chain = chain,
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        return Ok((model, edits));
    }
    faults.sort_by(|left, right| left.location.cmp(&right.location));
    faults.truncate(FAULTS_MAX);
    Err(InvalidSchema { faults })
}

struct Builder<'a> {
    source: &'a Source,
    resources: &'a Resources,
    exact: bool,
    missing: &'a MissingResources,
    model: Model,
    edits: Edits,
    /// Locations of values, by address. References resolve to values.
    locations: HashMap<usize, u32>,
    nodes: HashMap<usize, NodeId>,
    queue: Vec<(NodeId, &'a Value, Resolver<'a>, Draft)>,
    patterns: BTreeMap<String, Arc<Pattern>>,
    weight: usize,
    /// Number of declarations of each dynamic anchor. One that is declared once is a plain anchor.
    dynamic: HashMap<String, usize>,
    recursive: usize,
    faults: Vec<Fault>,
}

/// Whether a value has a location in the model: it can be or contain a schema.
pub(crate) fn has_location(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_) | Value::Bool(_))
}

impl<'a> Builder<'a> {
    /// Indexes the locations of all values. Documents nest at most [`super::text::DEPTH_MAX`] deep.
    fn index(&mut self, document: u32, parent: Option<u32>, token: &str, value: &Value) {
        if !has_location(value) {
            return;
        }
        let location = u32::try_from(self.model.locations.len()).unwrap_or(u32::MAX);
        if let Some(root) = self.resources.root(value) {
            self.edits.roots.insert(location, root.clone());
        }
        self.model.locations.push(Location { document, parent, token: token.into() });
        self.locations.insert(address(value), location);
        match value {
            Value::Object(members) => {
                if let Some(Value::String(name)) = members.get("$dynamicAnchor") {
                    *self.dynamic.entry(name.clone()).or_default() += 1;
                }
                if members.get("$recursiveAnchor") == Some(&Value::Bool(true)) {
                    self.recursive += 1;
                }
                for (name, value) in members {
                    self.index(document, Some(location), name, value);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    self.index(document, Some(location), &index.to_string(), value);
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
                Value::Object(members) => self.read_keywords(id, members, &resolver, draft),
                _ => {
                    self.fault(id, "", "a schema is an object, true or false");
                    Node::default()
                }
            };
            if let Some(slot) = self.model.nodes.get_mut(id as usize) {
                *slot = Node { location: slot.location, ..node };
            }
        }
    }

    /// The node of a subschema. A new node is queued to be read later.
    fn node(&mut self, value: &'a Value, resolver: &Resolver<'a>, draft: Draft) -> NodeId {
        self.node_at(value, draft, |dialect| {
            let inside = resolver.in_subresource(dialect.create_resource_ref(value));
            inside.unwrap_or_else(|_| resolver.clone())
        })
    }

    /// The node of a value. `resolver` receives the dialect of the value, and returns a resolver
    /// inside of it.
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
        let location = self.locations.get(&address(value)).copied().unwrap_or(u32::MAX);
        self.model.nodes.push(Node { location, ..Node::default() });
        self.nodes.insert(address(value), id);
        let dialect = match value.get("$schema") {
            None => draft,
            Some(_) => source::dialect(value, draft).unwrap_or_else(|message| {
                self.fault(id, "/$schema", message);
                draft
            }),
        };
        self.queue.push((id, value, resolver(dialect), dialect));
        id
    }

    /// The location of a value, and the root that pointers to it are relative to.
    fn root_of(&self, value: &Value) -> Option<(u32, &ResourceRoot)> {
        let location = *self.locations.get(&address(value))?;
        let mut at = location;
        loop {
            if let Some(root) = self.edits.roots.get(&at) {
                return Some((location, root));
            }
            at = self.model.locations.get(at as usize)?.parent?;
        }
    }

    fn fault(&mut self, id: NodeId, below: &str, message: impl Into<String>) {
        let (document, pointer) = self.model.pointer(id);
        let fault = self.source.fault(document, &format!("{pointer}{below}"), message);
        self.faults.push(fault);
    }

    fn read_keywords(
        &mut self,
        id: NodeId,
        members: &'a Map<String, Value>,
        resolver: &Resolver<'a>,
        draft: Draft,
    ) -> Node {
        let modern = is_modern(draft);
        let mut node = Node::default();
        // An anchor that is declared several times depends on the dynamic scope.
        let is_ambiguous = |names: &HashMap<String, usize>, reference: &str| {
            let name = reference.rsplit_once('#').map_or("", |(_, name)| name);
            draft == Draft::Draft202012 && names.get(name).is_some_and(|times| *times > 1)
        };
        if let Some(Value::String(reference)) = members.get("$ref") {
            if is_ambiguous(&self.dynamic, reference) {
                node.opaque.push("$ref");
            }
            node.refs.extend(self.reference(id, "$ref", reference, resolver));
            // Before 2019-09 the siblings of a reference are ignored.
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
                numeric_assertions::encode(members, draft == Draft::Draft4, text)
            {
                self.edits.exact(self.model.node(id).location, assertions);
            }
        }
        node.types = members.get("type").and_then(|value| types(value, draft));
        self.model.strict_integers |= node
            .types
            .is_some_and(|types| types.includes(Types::INTEGER) && !types.includes(Types::WHOLE));
        // Wide values are not compared.
        let wide = ["enum", "const"].into_iter().filter(|keyword| written(keyword).is_some());
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

    /// The node that a reference resolves to.
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
                "{keyword} to {reference:?}: nothing is supplied under {address:?}, and nothing is \
                 fetched; hand it in as a file or reference the subject that has it under that name"
            );
            self.fault(id, &below, message);
            return None;
        }
        let resolved = if keyword == "$recursiveRef" {
            resolver.lookup_recursive_ref()
        } else {
            resolver.lookup(reference)
        };
        let (value, resolved, draft) = match resolved {
            Ok(resolved) => resolved.into_inner(),
            Err(error) => {
                let reason: String = error.to_string().chars().take(200).collect();
                let message = format!("{keyword} to {reference:?} does not resolve: {reason}");
                self.fault(id, &below, message);
                return None;
            }
        };
        if !matches!(value, Value::Object(_) | Value::Bool(_)) {
            let message = format!("{keyword} to {reference:?}: the target is not a schema");
            self.fault(id, &below, message);
            return None;
        }
        let Some((to, root)) = self.root_of(value).filter(|_| keyword == "$ref") else {
            return Some(self.node_at(value, draft, |_| resolved));
        };
        // The library ignores an empty reference, and a dialect that is declared along a pointer.
        let target_draft = root.draft;
        let rewrite = reference.is_empty() || target_draft != draft;
        let from = self.model.node(id).location;
        self.edits.reference(from, to, rewrite);
        let direct =
            self.edits.address_of(&self.model, to, false).filter(|_| target_draft != draft);
        let direct = direct.and_then(|reference| resolver.lookup(&reference).ok());
        let resolved = direct.map_or(resolved, |resolved| resolved.resolver().clone());
        Some(self.node_at(value, target_draft, |_| resolved))
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
}
