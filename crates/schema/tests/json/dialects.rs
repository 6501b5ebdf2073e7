//! Translation of 2020-12 schemas into other dialects, and our own schemas for each keyword in the
//! style of the official test suite.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::generate::Choices;

pub const DIALECTS: [&str; 5] = [
    "http://json-schema.org/draft-04/schema#",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
];

/// A schema of the suite.
pub fn of_suite(choices: &mut Choices) -> Value {
    static SUITE: OnceLock<Vec<Value>> = OnceLock::new();
    let suite =
        SUITE.get_or_init(|| serde_json::from_str(include_str!("suite.json")).expect("JSON"));
    choices.pick(suite).clone()
}

/// Combines two schemas of the suite.
pub fn crossed(choices: &mut Choices) -> Value {
    let (first, second) = (of_suite(choices), of_suite(choices));
    let (Value::Object(left), Value::Object(right)) = (&first, &second) else { return first };
    match choices.below(6) {
        // Keywords of both come from the second one.
        0 | 1 => {
            let mut both = left.clone();
            both.extend(right.clone());
            Value::Object(both)
        }
        2 if second.get("$id").is_none() => {
            let mut outer = left.clone();
            let mut inner = right.clone();
            // References are relative to the root.
            if let Some(defs) = inner.remove("$defs") {
                outer.entry("$defs").or_insert(defs);
            }
            outer.insert(
                (*choices.pick(&["if", "not", "items", "contains", "then"])).into(),
                inner.into(),
            );
            Value::Object(outer)
        }
        3 if second.get("$id").is_none() => {
            let mut outer = left.clone();
            let mut inner = right.clone();
            if let Some(defs) = inner.remove("$defs") {
                outer.entry("$defs").or_insert(defs);
            }
            outer
                .insert((*choices.pick(&["allOf", "anyOf", "oneOf"])).into(), json!([inner, true]));
            Value::Object(outer)
        }
        _ => first,
    }
}

/// The schema in another dialect, as closely as the dialect permits.
pub fn in_dialect(dialect: usize, schema: &Value) -> Value {
    let mut document = translated(dialect, schema);
    if let Value::Object(members) = &mut document {
        members.insert("$schema".into(), json!(DIALECTS[dialect]));
    }
    document
}

fn translated(dialect: usize, schema: &Value) -> Value {
    let (four, old, modern) = (dialect == 0, dialect < 3, dialect > 2);
    let Value::Object(members) = schema else {
        return match schema {
            Value::Bool(true) if four => json!({}),
            Value::Bool(false) if four => json!({"not": {}}),
            other => other.clone(),
        };
    };
    let below = |value: &Value| translated(dialect, value);
    let all = |value: &Value| match value {
        Value::Array(items) => Value::Array(items.iter().map(below).collect()),
        other => other.clone(),
    };
    let each = |value: &Value| match value {
        Value::Object(members) => Value::Object(
            members.iter().map(|(name, value)| (name.clone(), below(value))).collect(),
        ),
        other => other.clone(),
    };
    let mut new = Map::new();
    let mut dependencies = Map::new();
    for (keyword, value) in members {
        match keyword.as_str() {
            "$schema" => {}
            "$defs" | "definitions" => {
                new.insert(if old { "definitions" } else { keyword }.into(), each(value));
            }
            "$id" if four => drop(new.insert("id".into(), value.clone())),
            "$anchor" if old => {
                let name = format!("#{}", value.as_str().unwrap_or_default());
                new.entry(if four { "id" } else { "$id" }).or_insert(name.into());
            }
            "$ref" => {
                let to = value.as_str().unwrap_or_default();
                let to = if old { to.replace("$defs", "definitions") } else { to.to_owned() };
                let to = if dialect == 4 { to } else { to.replace("prefixItems", "items") };
                new.insert("$ref".into(), to.into());
            }
            "$dynamicRef" if dialect == 3 => drop(new.insert("$recursiveRef".into(), json!("#"))),
            "$dynamicRef" if old => drop(new.insert("$ref".into(), json!("#"))),
            "$dynamicAnchor" if dialect == 3 => {
                new.insert("$recursiveAnchor".into(), json!(true));
            }
            "properties" | "patternProperties" => drop(new.insert(keyword.clone(), each(value))),
            "dependentSchemas" if !modern => {
                dependencies.extend(each(value).as_object().cloned().unwrap_or_default());
            }
            "dependentSchemas" => drop(new.insert(keyword.clone(), each(value))),
            "dependentRequired" if !modern => {
                dependencies.extend(value.as_object().cloned().unwrap_or_default());
            }
            "dependencies" => {
                dependencies.extend(each(value).as_object().cloned().unwrap_or_default())
            }
            "allOf" | "anyOf" | "oneOf" => drop(new.insert(keyword.clone(), all(value))),
            "prefixItems" if dialect < 4 => {
                new.insert("items".into(), all(value));
                if let Some(rest) = members.get("items") {
                    new.insert("additionalItems".into(), additional(four, rest, below(rest)));
                }
            }
            "items" if dialect < 4 && members.contains_key("prefixItems") => {}
            "prefixItems" => drop(new.insert(keyword.clone(), all(value))),
            "additionalProperties" => {
                new.insert(keyword.clone(), additional(four, value, below(value)));
            }
            "exclusiveMinimum" | "exclusiveMaximum" if four => {
                let plain = if keyword == "exclusiveMinimum" { "minimum" } else { "maximum" };
                new.insert(plain.into(), value.clone());
                new.insert(keyword.clone(), json!(true));
            }
            "minimum" | "maximum" if four && new.contains_key(keyword) => {}
            "const" if four => drop(new.insert("enum".into(), json!([value]))),
            "required" if four && value.as_array().is_some_and(Vec::is_empty) => {}
            "if"
            | "then"
            | "else"
            | "not"
            | "items"
            | "contains"
            | "propertyNames"
            | "contentSchema"
            | "unevaluatedItems"
            | "unevaluatedProperties" => {
                new.insert(keyword.clone(), below(value));
            }
            _ => drop(new.insert(keyword.clone(), value.clone())),
        }
    }
    if four {
        dependencies.retain(|_, value| value.as_array().is_none_or(|names| !names.is_empty()));
    }
    if !dependencies.is_empty() {
        new.insert("dependencies".into(), dependencies.into());
    }
    Value::Object(new)
}

/// Draft 4 has boolean schemas in two places only.
fn additional(four: bool, value: &Value, translated: Value) -> Value {
    if four && value.is_boolean() { value.clone() } else { translated }
}
