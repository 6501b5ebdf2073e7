//! Keywords of one schema object.

use std::{collections::BTreeSet, sync::Arc};

use jsonschema::Draft;
use referencing::Resolver;
use serde_json::{Map, Value};

use super::Builder;
use crate::json::{
    limits::FAULTS_MAX,
    model::{Arrays, Bound, Condition, Contains, Logic, NodeId, Numbers, Objects, Strings, Types},
    number::Decimal,
    pattern::{self, Pattern},
    resource::address,
    source::is_modern,
};

impl<'a> Builder<'a> {
    fn pattern(&mut self, id: NodeId, below: &str, text: &str) -> Arc<Pattern> {
        if let Some(pattern) = self.patterns.get(text) {
            return Arc::clone(pattern);
        }
        // Patterns with look-around are not weighed: their engine limits backtracking instead.
        self.weight = self.weight.saturating_add(pattern::weight(text).unwrap_or(text.len() * 10));
        if self.weight > pattern::WEIGHT_MAX {
            // Not compiled, so that the rejection is cheap.
            if self.faults.len() < FAULTS_MAX {
                let message = "the regular expressions are too large with their repetitions \
                               expanded; use smaller bounds";
                self.fault(id, below, message);
            }
            return Arc::new(Pattern::literals([""]));
        }
        let pattern = Arc::new(Pattern::new(text));
        if !pattern.is_valid() {
            let short: String = text.chars().take(100).collect();
            let reason =
                pattern.fault.as_deref().unwrap_or("it exceeds the size limit of the engine");
            let message = format!("{short:?} is not a regular expression of ECMA-262: {reason}");
            self.fault(id, below, message);
        }
        self.patterns.insert(text.to_owned(), Arc::clone(&pattern));
        pattern
    }

    pub(super) fn strings(
        &mut self,
        id: NodeId,
        members: &'a Map<String, Value>,
    ) -> Option<Box<Strings>> {
        let pattern = members.get("pattern").and_then(Value::as_str);
        let pattern = pattern.map(|text| self.pattern(id, "/pattern", text));
        if let Some(pattern) = pattern.as_ref().filter(|pattern| pattern.engine != pattern.text) {
            let location = self.model.node(id).location;
            self.edits.text(location, "pattern", pattern.engine.clone());
        }
        let strings = Strings {
            min: count(members, "minLength").filter(|min| *min > 0),
            max: count(members, "maxLength"),
            pattern,
        };
        let is_present =
            strings.min.is_some() || strings.max.is_some() || strings.pattern.is_some();
        is_present.then(|| Box::new(strings))
    }

    pub(super) fn arrays(
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
        let is_present = !arrays.prefix.is_empty()
            || arrays.rest.is_some()
            || arrays.contains.is_some()
            || arrays.unique
            || arrays.min.is_some()
            || arrays.max.is_some()
            || arrays.unevaluated.is_some();
        is_present.then(|| Box::new(arrays))
    }

    pub(super) fn objects(
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
                    && let Some(location) = self.locations.get(&address(value))
                {
                    if texts.is_empty() {
                        texts.extend(patterns.keys().cloned());
                    }
                    self.edits.name(*location, pattern.engine.clone(), "(?:)", &mut texts);
                }
                objects.patterns.push((pattern, self.node(value, resolver, draft)));
            }
        }
        if draft != Draft::Draft4 {
            objects.names = self.child(members, "propertyNames", resolver, draft);
        }
        if modern
            && let Some(location) = members
                .get("dependencies")
                .and_then(|dependencies| self.locations.get(&address(dependencies)))
        {
            // Removed in 2019-09, but still asserted by the library.
            let mut names = members.keys().cloned().collect();
            self.edits.name(*location, "x-dependencies".to_owned(), "-", &mut names);
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

    pub(super) fn logic(
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
            // Without `then` and `else` it asserts nothing, but it declares properties and
            // evaluates.
            logic.condition = Some(Condition { when, then, otherwise });
        }
        let is_present = !logic.all_of.is_empty()
            || !logic.any_of.is_empty()
            || !logic.one_of.is_empty()
            || logic.not.is_some()
            || logic.condition.is_some();
        is_present.then(|| Box::new(logic))
    }
}

pub(super) fn types(value: &Value, draft: Draft) -> Option<Types> {
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

/// A count, written as `2` or `2.0`.
fn count(members: &Map<String, Value>, keyword: &str) -> Option<u64> {
    let number = Decimal::of(members.get(keyword)?.as_number()?);
    // Counts beyond u64 are clamped.
    Some(number.scaled(0).map_or(u64::MAX, |count| u64::try_from(count).unwrap_or(u64::MAX)))
}

/// The numeric assertions, and the keywords whose numbers do not fit fixed-width arithmetic.
pub(super) fn numbers<'t>(
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
            // Both are asserted; the tighter one implies the other.
            (Some(inclusive), Some(outer)) if tighter(inclusive.at, outer.at) => Some(inclusive),
            (inclusive, outer) => outer.or(inclusive),
        }
    };
    let numbers = Numbers {
        minimum: bound("minimum", "exclusiveMinimum", |left, right| left > right),
        maximum: bound("maximum", "exclusiveMaximum", |left, right| left < right),
        multiple_of: number("multipleOf"),
    };
    let is_present =
        numbers.minimum.is_some() || numbers.maximum.is_some() || numbers.multiple_of.is_some();
    (is_present.then(|| Box::new(numbers)), lost)
}
