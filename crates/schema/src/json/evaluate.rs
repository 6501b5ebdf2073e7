//! Evaluation of an instance under a node: small instances, bounded work, three results.
//!
//! Selects counterexamples and filters `enum`. The validators decide the verdict.

use serde_json::Value;

use super::{
    model::{Model, Node, NodeId, Objects, Types},
    number::{Decimal, value_key},
};

/// Nodes nested in nodes.
const DEPTH_MAX: usize = 200;

/// Evaluates within a budget. Returns `None` if the result is undecided.
pub(crate) fn valid(model: &Model, id: NodeId, value: &Value, work: &mut u64) -> Option<bool> {
    Evaluation { model, work }.node(id, value, 0)
}

struct Evaluation<'a> {
    model: &'a Model,
    work: &'a mut u64,
}

/// Three-valued conjunction: false if either side is false.
fn and(left: Option<bool>, right: impl FnOnce() -> Option<bool>) -> Option<bool> {
    match left {
        Some(false) => Some(false),
        Some(true) => right(),
        None => match right() {
            Some(false) => Some(false),
            _ => None,
        },
    }
}

impl Evaluation<'_> {
    fn node(&mut self, id: NodeId, value: &Value, depth: usize) -> Option<bool> {
        if depth > DEPTH_MAX || *self.work == 0 {
            return None;
        }
        *self.work -= 1;
        let node = self.model.node(id);
        if node.always == Some(false) || !own(node, value) {
            return Some(false);
        }
        let mut all = node.opaque.is_empty().then_some(true);
        for id in &node.refs {
            all = and(all, || self.node(*id, value, depth + 1));
        }
        if all == Some(false) {
            return all;
        }
        all = and(all, || self.arrays(node, value, depth));
        all = and(all, || self.objects(node, value, depth));
        all = and(all, || self.unevaluated(id, value, depth));
        and(all, || self.logic(node, value, depth))
    }

    fn logic(&mut self, node: &Node, value: &Value, depth: usize) -> Option<bool> {
        let Some(logic) = &node.logic else { return Some(true) };
        let mut all = Some(true);
        for id in &logic.all_of {
            all = and(all, || self.node(*id, value, depth + 1));
        }
        if !logic.any_of.is_empty() && all != Some(false) {
            let mut any = Some(false);
            for id in &logic.any_of {
                match self.node(*id, value, depth + 1) {
                    Some(true) => {
                        any = Some(true);
                        break;
                    }
                    Some(false) => {}
                    None => any = None,
                }
            }
            all = and(all, || any);
        }
        if !logic.one_of.is_empty() && all != Some(false) {
            let (mut matching, mut unknown) = (0, 0);
            for id in &logic.one_of {
                match self.node(*id, value, depth + 1) {
                    Some(true) => matching += 1,
                    Some(false) => {}
                    None => unknown += 1,
                }
                if matching > 1 {
                    break;
                }
            }
            let exactly_one = match (matching, unknown) {
                (2.., _) => Some(false),
                (matching, 0) => Some(matching == 1),
                _ => None,
            };
            all = and(all, || exactly_one);
        }
        if let Some(id) = logic.not {
            all = and(all, || self.node(id, value, depth + 1).map(|valid| !valid));
        }
        if let Some(condition) = logic.condition {
            all = and(all, || match self.node(condition.when, value, depth + 1) {
                Some(true) => {
                    condition.then.map_or(Some(true), |id| self.node(id, value, depth + 1))
                }
                Some(false) => {
                    condition.otherwise.map_or(Some(true), |id| self.node(id, value, depth + 1))
                }
                None => None,
            });
        }
        all
    }

    /// Properties and items that the other keywords certainly evaluate are valid. Those that no
    /// keyword can evaluate must be valid under the `unevaluated` schema. For those that some
    /// keyword may evaluate, a violation is undecided.
    fn unevaluated(&mut self, id: NodeId, value: &Value, depth: usize) -> Option<bool> {
        let model = self.model;
        let node = model.node(id);
        let mut all = Some(true);
        let mut check_part = |rule: NodeId, surely: bool, maybe: bool, value: &Value| {
            if surely || all == Some(false) {
                return;
            }
            let valid = self.node(rule, value, depth + 1);
            all = match (all, valid, maybe) {
                (all, Some(true), _) => all,
                (_, Some(false), false) => Some(false),
                _ => None,
            };
        };
        match value {
            Value::Object(members) => {
                if let Some(rule) = node.objects.as_ref().and_then(|objects| objects.unevaluated) {
                    for (name, value) in members {
                        let covers = |may| model.covers(id, name, may);
                        check_part(rule, covers(false), covers(true), value);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(rule) = node.arrays.as_ref().and_then(|arrays| arrays.unevaluated) {
                    for (index, value) in items.iter().enumerate() {
                        let covers = |may| model.covers_item(id, index, may);
                        check_part(rule, covers(false), covers(true), value);
                    }
                }
            }
            _ => {}
        }
        all
    }

    fn arrays(&mut self, node: &Node, value: &Value, depth: usize) -> Option<bool> {
        let (Some(arrays), Value::Array(items)) = (&node.arrays, value) else { return Some(true) };
        let count = items.len() as u64;
        if arrays.min.is_some_and(|min| count < min) || arrays.max.is_some_and(|max| count > max) {
            return Some(false);
        }
        if arrays.unique {
            let mut keys: Vec<_> = items.iter().map(value_key).collect();
            keys.sort();
            if keys.windows(2).any(|pair| pair.first() == pair.last()) {
                return Some(false);
            }
        }
        let mut all = Some(true);
        for (index, item) in items.iter().enumerate() {
            if let Some(id) = arrays.prefix.get(index).copied().or(arrays.rest) {
                all = and(all, || self.node(id, item, depth + 1));
            }
            if all == Some(false) {
                return all;
            }
        }
        if let Some(contains) = arrays.contains {
            let (mut matching, mut unknown) = (0_u64, 0_u64);
            for item in items {
                match self.node(contains.node, item, depth + 1) {
                    Some(true) => matching += 1,
                    Some(false) => {}
                    None => unknown += 1,
                }
            }
            let enough = matching >= contains.min;
            let few = contains.max.is_none_or(|max| matching + unknown <= max);
            let possible = matching + unknown >= contains.min
                && contains.max.is_none_or(|max| matching <= max);
            all = and(all, || match (enough && few, possible) {
                (true, _) => Some(true),
                (false, false) => Some(false),
                (false, true) => None,
            });
        }
        all
    }

    fn objects(&mut self, node: &Node, value: &Value, depth: usize) -> Option<bool> {
        let (Some(objects), Value::Object(members)) = (&node.objects, value) else {
            return Some(true);
        };
        let count = members.len() as u64;
        if objects.min.is_some_and(|min| count < min)
            || objects.max.is_some_and(|max| count > max)
            || objects.required.iter().any(|name| !members.contains_key(&**name))
            || objects.dependent_required.iter().any(|(name, dependents)| {
                members.contains_key(&**name)
                    && dependents.iter().any(|dependent| !members.contains_key(&**dependent))
            })
        {
            return Some(false);
        }
        let mut all = Some(true);
        for (name, value) in members {
            for id in of_property(objects, name) {
                all = and(all, || self.node(id, value, depth + 1));
            }
            if let Some(id) = objects.names {
                let name = Value::from(name.as_str());
                all = and(all, || self.node(id, &name, depth + 1));
            }
            if all == Some(false) {
                return all;
            }
        }
        for (name, id) in &objects.dependent_schemas {
            if members.contains_key(&**name) {
                all = and(all, || self.node(*id, value, depth + 1));
            }
        }
        all
    }
}

/// The schemas that `properties`, `patternProperties` and `additionalProperties` of one node apply
/// to a property.
pub(crate) fn of_property(objects: &Objects, name: &str) -> Vec<NodeId> {
    let mut nodes: Vec<_> = objects.properties.get(name).copied().into_iter().collect();
    let matching = objects.patterns.iter().filter(|(pattern, _)| pattern.matches(name));
    nodes.extend(matching.map(|(_, id)| *id));
    if nodes.is_empty() {
        nodes.extend(objects.additional);
    }
    nodes
}

/// Checks the keywords without subschemas.
fn own(node: &Node, value: &Value) -> bool {
    let types = node.types.is_none_or(|types| types.includes(Types::of(value)));
    let values = node.values.as_ref().is_none_or(|values| values.contains(value));
    let constant = node.constant.as_ref().is_none_or(|values| values.contains(value));
    types
        && values
        && constant
        && match (value, &node.numbers, &node.strings) {
            (Value::Number(number), Some(numbers), _) => {
                let number = Decimal::of(number);
                numbers.minimum.is_none_or(|bound| {
                    if bound.exclusive { number > bound.at } else { number >= bound.at }
                }) && numbers.maximum.is_none_or(|bound| {
                    if bound.exclusive { number < bound.at } else { number <= bound.at }
                }) && numbers.multiple_of.is_none_or(|step| number.is_multiple_of(step))
            }
            (Value::String(text), _, Some(strings)) => {
                let length = text.chars().count() as u64;
                strings.min.is_none_or(|min| length >= min)
                    && strings.max.is_none_or(|max| length <= max)
                    && strings.pattern.as_ref().is_none_or(|pattern| pattern.matches(text))
            }
            _ => true,
        }
}
