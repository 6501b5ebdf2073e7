//! Shrinks counterexamples: simpler values, fewer members and items, shorter strings.
//!
//! Both validators check each step: the writer still accepts the payload, and the reader still
//! rejects it, at the same path. Steps that the writer's schema rules out at that path are not
//! tried, so required members cost nothing.

use jsonschema::Validator;
use serde_json::{Map, Value};

use super::{
    cost,
    evaluate::{self, of_property},
    literal::SchemaPair,
    model::{Model, NodeId},
    solve::size,
    subsumption::Failure,
};

/// Visits of nodes for the payloads of one direction: about a fifth of a second.
const VISITS_MAX: u64 = 600_000;
/// Each payload may take this fraction of the remaining visits.
const SHARE: u64 = 4;
/// With fewer visits left, shrinking does not start.
const VISITS_LEFT: u64 = 1_000;
/// Steps of one evaluation of a value.
const EVALUATION_MAX: u64 = 20_000;
/// Steps of one evaluation of a simpler value, which is empty or a scalar.
const SIMPLE_MAX: u64 = 500;
/// Nodes that are followed for one value.
const NODES_MAX: usize = 100;

/// Shrinks the counterexamples of one direction.
pub(crate) struct Shrinker<'a> {
    schemas: SchemaPair<'a>,
    validators: (&'a Validator, &'a Validator),
    visits: u64,
}

impl<'a> Shrinker<'a> {
    pub(crate) fn new(schemas: SchemaPair<'a>, validators: (&'a Validator, &'a Validator)) -> Self {
        Self { schemas, validators, visits: VISITS_MAX }
    }

    /// Shrinks the payload of a failure, if it has one.
    pub(crate) fn shrink(&mut self, failure: &mut Failure) {
        if self.visits < VISITS_LEFT {
            return;
        }
        let Some(payload) = failure.payload.take() else { return };
        let anchor: Vec<Token> = tokens(&failure.path);
        let refused = payload.pointer(&failure.path).is_some_and(|value| {
            let mut work = EVALUATION_MAX;
            evaluate::valid(self.schemas.reader, failure.reader, value, &mut work) == Some(false)
        });
        let visits = cost::visits(self.schemas.writer, &payload)
            .saturating_add(cost::visits(self.schemas.reader, &payload));
        self.visits = self.visits.saturating_sub(visits);
        let allowed = self.visits / SHARE;
        let mut search = Search {
            schemas: self.schemas,
            validators: self.validators,
            cost: visits.saturating_add(size(&payload) as u64),
            payload,
            anchor,
            refused_by: refused.then_some(failure.reader),
            visits: allowed,
        };
        let root = search.asserted(vec![self.schemas.writer.root]);
        search.shrink_value(&mut Vec::new(), &root);
        self.visits -= allowed - search.visits;
        failure.payload = Some(search.payload);
    }
}

/// A token of a JSON pointer: the name of a member, or an index.
type Token = String;

fn tokens(pointer: &str) -> Vec<Token> {
    let tokens = pointer.split('/').skip(1);
    tokens.map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

/// The payload that is being shrunk.
struct Search<'a> {
    schemas: SchemaPair<'a>,
    validators: (&'a Validator, &'a Validator),
    payload: Value,
    /// Path at which the reader rejects the payload.
    anchor: Vec<Token>,
    /// The reader's node that rejects the value there.
    refused_by: Option<NodeId>,
    /// Visits of one check.
    cost: u64,
    visits: u64,
}

impl<'a> Search<'a> {
    /// Shrinks the value at a path, and then its children. The nodes of the writer hold there.
    fn shrink_value(&mut self, path: &mut Vec<Token>, nodes: &[NodeId]) {
        let inside = path.len() > self.anchor.len() || !self.anchor.starts_with(path);
        if inside && self.replace(path, nodes) {
            return;
        }
        let nodes = &self.chosen(path, nodes);
        // The ancestors of the rejected value are kept.
        let kept = self.anchor.get(path.len()).filter(|_| self.anchor.starts_with(path)).cloned();
        let required = self.required(nodes);
        match self.at(path) {
            Some(Value::Object(members)) => {
                let removable = members
                    .keys()
                    .filter(|name| Some(*name) != kept.as_ref())
                    .filter(|name| required.binary_search(&name.as_str()).is_err())
                    .cloned()
                    .collect::<Vec<_>>();
                self.remove_members(path, &removable);
            }
            Some(Value::Array(items)) => {
                let count = items.len();
                let first =
                    kept.and_then(|index| index.parse::<usize>().ok()).map_or(0, |index| index + 1);
                self.remove_items(path, first, count);
            }
            Some(Value::String(text)) if inside => {
                let length = text.chars().count();
                self.shorten(path, nodes, length);
            }
            _ => return,
        }
        let children: Vec<Token> = match self.at(path) {
            Some(Value::Object(members)) => members.keys().cloned().collect(),
            Some(Value::Array(items)) => (0..items.len()).map(|index| index.to_string()).collect(),
            _ => return,
        };
        for child in children {
            if self.visits < self.cost {
                return;
            }
            let child_nodes = self.child_nodes(path, nodes, &child);
            path.push(child);
            self.shrink_value(path, &child_nodes);
            path.pop();
        }
    }

    fn at(&mut self, path: &[Token]) -> Option<&mut Value> {
        path.iter().try_fold(&mut self.payload, |value, token| match value {
            Value::Object(members) => members.get_mut(token),
            Value::Array(items) => items.get_mut(token.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Whether both validators confirm the payload after a change at a path.
    fn confirmed(&mut self, path: &[Token]) -> bool {
        if self.visits < self.cost {
            return false;
        }
        self.visits -= self.cost;
        let at_anchor = path.starts_with(&self.anchor);
        if let Some(node) = self.refused_by.filter(|_| at_anchor) {
            let anchor = std::mem::take(&mut self.anchor);
            let model = self.schemas.reader;
            let refused = self.at(&anchor).is_some_and(|value| {
                let mut work = EVALUATION_MAX;
                evaluate::valid(model, node, value, &mut work) == Some(false)
            });
            self.anchor = anchor;
            if !refused {
                return false;
            }
        }
        self.validators.0.is_valid(&self.payload) && !self.validators.1.is_valid(&self.payload)
    }

    /// Whether no node of the writer rules the value out.
    fn possible(&self, nodes: &[NodeId], value: &Value) -> bool {
        nodes.iter().all(|id| {
            evaluate::valid(self.schemas.writer, *id, value, &mut SIMPLE_MAX.clone()) != Some(false)
        })
    }

    /// Replaces the value with the first possible simpler value. Returns whether nothing is left to
    /// shrink.
    fn replace(&mut self, path: &[Token], nodes: &[NodeId]) -> bool {
        let candidates = match self.at(path) {
            Some(value) => simpler(value),
            None => return true,
        };
        for candidate in candidates {
            if self.possible(nodes, &candidate) && self.put(path, candidate) {
                return true;
            }
        }
        false
    }

    /// Replaces the value at a path if both validators confirm the change.
    fn put(&mut self, path: &[Token], value: Value) -> bool {
        let Some(slot) = self.at(path) else { return false };
        let before = std::mem::replace(slot, value);
        if self.confirmed(path) {
            return true;
        }
        if let Some(slot) = self.at(path) {
            *slot = before;
        }
        false
    }

    /// Removes all of these members, or recursively halves of them.
    fn remove_members(&mut self, path: &[Token], names: &[String]) {
        if names.is_empty() || self.visits < self.cost {
            return;
        }
        let Some(Value::Object(members)) = self.at(path) else { return };
        let before: Map<String, Value> =
            names.iter().filter_map(|name| members.remove_entry(name)).collect();
        if self.confirmed(path) {
            return;
        }
        if let Some(Value::Object(members)) = self.at(path) {
            members.extend(before);
        }
        if names.len() > 1 {
            let (first_half, second_half) = names.split_at(names.len() / 2);
            self.remove_members(path, first_half);
            self.remove_members(path, second_half);
        }
    }

    /// Removes a range of items, or recursively halves of it, the last items first.
    fn remove_items(&mut self, path: &[Token], from: usize, to: usize) {
        if from >= to || self.visits < self.cost {
            return;
        }
        let Some(Value::Array(items)) = self.at(path) else { return };
        let before: Vec<Value> = items.drain(from..to).collect();
        if self.confirmed(path) {
            return;
        }
        if let Some(Value::Array(items)) = self.at(path) {
            let after = items.split_off(from);
            items.extend(before.into_iter().chain(after));
        }
        if to - from > 1 {
            let middle = from + (to - from) / 2;
            self.remove_items(path, middle, to);
            self.remove_items(path, from, middle);
        }
    }

    /// Truncates a string to half its length as long as that is possible.
    fn shorten(&mut self, path: &[Token], nodes: &[NodeId], mut length: usize) {
        while length > 1 {
            length = length.div_ceil(2);
            let Some(Value::String(text)) = self.at(path) else { return };
            let half = Value::from(text.chars().take(length).collect::<String>());
            if !self.possible(nodes, &half) || !self.put(path, half) {
                return;
            }
        }
    }

    /// The members that the writer requires in every case.
    fn required(&self, nodes: &[NodeId]) -> Vec<&'a str> {
        let model = self.schemas.writer;
        let objects = nodes.iter().filter_map(|id| model.node(*id).objects.as_ref());
        let mut names: Vec<_> =
            objects.flat_map(|objects| objects.required.iter().map(|name| &**name)).collect();
        names.sort_unstable();
        names
    }

    /// The writer's nodes that hold for a child of a value.
    fn child_nodes(&mut self, path: &[Token], nodes: &[NodeId], child: &str) -> Vec<NodeId> {
        let model = self.schemas.writer;
        let is_object = matches!(self.at(path), Some(Value::Object(_)));
        let mut child_nodes = Vec::new();
        for node in nodes.iter().map(|id| model.node(*id)) {
            if is_object && let Some(objects) = &node.objects {
                child_nodes.extend(of_property(objects, child));
            }
            if !is_object && let Some(arrays) = &node.arrays {
                let index = child.parse::<usize>().ok();
                let own = index.and_then(|index| arrays.prefix.get(index)).copied();
                child_nodes.extend(own.or(arrays.rest));
            }
        }
        self.asserted(child_nodes)
    }

    /// Adds the alternatives that the value satisfies: it is shrunk within them.
    fn chosen(&mut self, path: &[Token], nodes: &[NodeId]) -> Vec<NodeId> {
        let model = self.schemas.writer;
        let mut work = EVALUATION_MAX;
        let mut all = nodes.to_vec();
        let mut next = 0;
        while let Some(id) = all.get(next).copied()
            && all.len() < NODES_MAX
        {
            next += 1;
            let Some(logic) = &model.node(id).logic else { continue };
            for alternatives in [&logic.any_of, &logic.one_of] {
                let Some(value) = self.at(path) else { return all };
                let value = &*value;
                let valid =
                    |id: &&NodeId| evaluate::valid(model, **id, value, &mut work) == Some(true);
                let satisfied = alternatives.iter().find(valid).copied();
                for id in self.asserted(satisfied.into_iter().collect()) {
                    if !all.contains(&id) {
                        all.push(id);
                    }
                }
            }
        }
        self.visits = self.visits.saturating_sub(EVALUATION_MAX - work);
        all
    }

    /// These nodes and the nodes that they imply.
    fn asserted(&self, mut nodes: Vec<NodeId>) -> Vec<NodeId> {
        let model: &Model = self.schemas.writer;
        let mut next = 0;
        while let Some(id) = nodes.get(next).copied()
            && nodes.len() < NODES_MAX
        {
            let node = model.node(id);
            let all_of = node.logic.iter().flat_map(|logic| &logic.all_of);
            for id in node.refs.iter().chain(all_of) {
                if !nodes.contains(id) {
                    nodes.push(*id);
                }
            }
            next += 1;
        }
        nodes
    }
}

/// Simpler values than the given one.
fn simpler(value: &Value) -> Vec<Value> {
    let empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    match value {
        Value::Null | Value::Bool(_) => Vec::new(),
        Value::Number(number) if number.as_f64() == Some(0.0) => Vec::new(),
        value if empty(value) => Vec::new(),
        Value::Number(number) => {
            let numbers = [0, 1].map(Value::from);
            let integer = number.as_f64().map(|number| format!("{:.0}", number.trunc()));
            let integer = integer.and_then(|text| text.parse::<i64>().ok()).map(Value::from);
            let length = value.to_string().len();
            let is_simpler = |other: &Value| other != value && other.to_string().len() <= length;
            numbers.into_iter().chain(integer).filter(is_simpler).collect()
        }
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::String(_) => vec![Value::from("")],
        Value::Array(_) | Value::Object(_) => vec![
            Value::Null,
            false.into(),
            0.into(),
            "".into(),
            Value::Array(Vec::new()),
            Value::Object(Map::new()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        definition::Definition,
        json::{Schema, compare},
    };

    /// Shrinks a payload for a single failure.
    fn shrunk(old: &Value, new: &Value, payload: Value) -> Value {
        let parse = |document: &Value| {
            Schema::parse(&Definition::text(document.to_string()), &[]).expect("a schema")
        };
        let (old, new) = (parse(old), parse(new));
        let validators = (&old.validator, &new.validator);
        let schemas = SchemaPair { writer: &old.model, reader: &new.model };
        let mut failures = compare::failures(&old, &new, true);
        assert_eq!(failures.len(), 1, "{failures:?}");
        let failure = failures.first_mut().expect("one");
        failure.payload = Some(payload);
        let mut shrinker = Shrinker::new(schemas, validators);
        shrinker.shrink(failure);
        assert!(shrinker.visits < VISITS_MAX && shrinker.visits > VISITS_MAX / 2);
        failure.payload.take().expect("it stays")
    }

    #[test]
    fn unnecessary_parts_are_removed() {
        let document = |kind: &str| {
            json!({
                "type": "object",
                "required": ["id", "user", "tags", "size"],
                "properties": {
                    "id": {"type": "string", "minLength": 3},
                    "size": {"type": "number", "exclusiveMinimum": 2.5},
                    "user": {"anyOf": [{"type": "object", "minProperties": 1}, {"type": "string"}]},
                    "tags": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                    "changes": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {"at": {"type": kind}, "by": {"type": "string"}},
                        },
                    },
                    "extra": {"type": "object"},
                },
            })
        };
        let payload = json!({
            "id": "an identity", "size": 17.25, "user": {"name": "n", "mail": "m"},
            "tags": ["one", "two", "three"], "extra": {"a": [1, 2, 3]},
            "changes": [{"by": "a"}, {"at": 12, "by": "b"}, {"by": "c"}],
        });
        // The failure is reported for the first item, so only the path to it is kept.
        let first = json!({"changes": [{"at": 12, "by": "b"}, {"by": "c"}]});
        let mut at_first = payload.clone();
        at_first["changes"] = first["changes"].clone();
        assert_eq!(
            shrunk(&document("integer"), &document("string"), at_first),
            json!({"changes": [{"at": 12}], "id": "an ", "size": 17, "tags": [""], "user": ""})
        );
        // Elsewhere the payload does not show this failure, and shrinks to any rejected payload.
        let elsewhere = shrunk(&document("integer"), &document("string"), payload);
        assert!(elsewhere["changes"][1]["at"].is_number(), "{elsewhere}");
    }

    #[test]
    fn work_is_bounded() {
        // Only the validator knows that no member can be removed.
        let document = |kind: &str| {
            let properties = json!({"changed": {"type": kind}});
            json!({"type": "object", "properties": properties, "not": {"maxProperties": 1_999}})
        };
        let names = (1..2_000).map(|at| format!("p{at}")).chain(["changed".to_owned()]);
        let payload: Map<_, _> = names.map(|name| (name, json!(0))).collect();
        let left = shrunk(&document("integer"), &document("string"), payload.clone().into());
        assert_eq!(left, Value::Object(payload));
    }
}
