//! Random schemas, changes and instances. Small alphabets make names and values coincide.

use serde_json::{Map, Value, json};

use crate::dialects::{DIALECTS, crossed, in_dialect};

/// A random number generator: splitmix64.
pub struct Choices(u64);

impl Choices {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(1))
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "ab", "x1"];
const PATTERNS: [&str; 7] = ["^a", "b$", "^[a-c]+$", "^[a-z]{1,3}$", "^x", "^(?!b)", "\\d"];

fn scalar(choices: &mut Choices) -> Value {
    match choices.below(12) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(false),
        3 => choices.pick(&[json!(0), json!(-0.0), json!(5)]).clone(),
        4 => choices.pick(&[json!(1), json!(1.0), json!(2), json!(3e0)]).clone(),
        5 => json!(1.5),
        6 => json!(-2),
        7 => json!(6),
        8 => json!("a"),
        9 => json!("abc"),
        10 => json!(""),
        _ => json!("b1"),
    }
}

/// A random small value.
pub fn value(choices: &mut Choices, depth: usize) -> Value {
    match choices.below(if depth == 0 { 6 } else { 10 }) {
        0..=5 => scalar(choices),
        6 | 7 => {
            let count = choices.below(4);
            Value::Array((0..count).map(|_| value(choices, depth - 1)).collect())
        }
        _ => {
            let mut members = Map::new();
            for _ in 0..choices.below(4) {
                members.insert((*choices.pick(&NAMES)).to_owned(), value(choices, depth - 1));
            }
            Value::Object(members)
        }
    }
}

fn kind(choices: &mut Choices) -> &'static str {
    const KINDS: [&str; 8] =
        ["null", "boolean", "integer", "number", "string", "array", "object", "object"];
    KINDS[choices.below(KINDS.len())]
}

/// Adds a random keyword.
fn keyword(choices: &mut Choices, members: &mut Map<String, Value>, depth: usize) {
    let number = |choices: &mut Choices| {
        choices.pick(&[json!(0), json!(1), json!(2.5), json!(3), json!(6), json!(-1)]).clone()
    };
    let count = |choices: &mut Choices| json!(choices.below(4));
    let list = |choices: &mut Choices| {
        let count = 1 + choices.below(3);
        Value::Array((0..count).map(|_| schema(choices, depth.saturating_sub(1))).collect())
    };
    let names = |choices: &mut Choices| {
        let mut names: Vec<_> = (0..1 + choices.below(2)).map(|_| *choices.pick(&NAMES)).collect();
        names.sort_unstable();
        names.dedup();
        json!(names)
    };
    let (keyword, value) = match choices.below(if depth == 0 { 16 } else { 39 }) {
        0 | 1 => ("type", json!(kind(choices))),
        2 => {
            let mut kinds = vec![kind(choices), kind(choices)];
            kinds.sort_unstable();
            kinds.dedup();
            ("type", json!(kinds))
        }
        3 => {
            let mut values: Vec<Value> = Vec::new();
            for _ in 0..1 + choices.below(4) {
                let value = value(choices, 1);
                if !values.contains(&value) {
                    values.push(value);
                }
            }
            ("enum", Value::Array(values))
        }
        4 => ("const", value(choices, 1)),
        5 => ("minimum", number(choices)),
        6 => ("maximum", number(choices)),
        7 => ("exclusiveMinimum", number(choices)),
        8 => ("exclusiveMaximum", number(choices)),
        9 => (
            "multipleOf",
            choices.pick(&[json!(1), json!(2), json!(3), json!(0.5), json!(1.5)]).clone(),
        ),
        10 => ("minLength", count(choices)),
        11 => ("maxLength", count(choices)),
        12 => ("pattern", json!(choices.pick(&PATTERNS))),
        13 => ("required", names(choices)),
        14 => ("minItems", count(choices)),
        15 => ("maxItems", count(choices)),
        16..=21 => {
            let mut properties = Map::new();
            for _ in 0..1 + choices.below(3) {
                let name = (*choices.pick(&NAMES)).to_owned();
                properties.insert(name, schema(choices, depth - 1));
            }
            ("properties", Value::Object(properties))
        }
        22 => {
            ("patternProperties", json!({ (*choices.pick(&PATTERNS)): schema(choices, depth - 1) }))
        }
        23 | 24 => (
            "additionalProperties",
            if choices.one_in(2) { json!(false) } else { schema(choices, depth - 1) },
        ),
        25 => ("propertyNames", schema(choices, 0)),
        26 => (*choices.pick(&["minProperties", "maxProperties"]), count(choices)),
        27 => ("dependentRequired", json!({ (*choices.pick(&NAMES)): names(choices) })),
        28 => ("dependentSchemas", json!({ (*choices.pick(&NAMES)): schema(choices, depth - 1) })),
        29 => ("items", if choices.one_in(3) { json!(false) } else { schema(choices, depth - 1) }),
        30 => ("prefixItems", list(choices)),
        31 => {
            members.insert("contains".into(), schema(choices, depth - 1));
            (*choices.pick(&["minContains", "maxContains"]), count(choices))
        }
        32 => ("uniqueItems", json!(true)),
        33 => (*choices.pick(&["anyOf", "allOf"]), list(choices)),
        34 => ("oneOf", list(choices)),
        35 => ("not", schema(choices, depth - 1)),
        36 => {
            members.insert("if".into(), schema(choices, depth - 1));
            if choices.one_in(3) {
                return;
            }
            (*choices.pick(&["then", "else"]), schema(choices, depth - 1))
        }
        37 => {
            let subschema = if choices.one_in(4) { schema(choices, 0) } else { json!(false) };
            (*choices.pick(&["unevaluatedProperties", "unevaluatedItems"]), subschema)
        }
        _ => ("$ref", json!(choices.pick(&["#/$defs/one", "#/$defs/two"]))),
    };
    members.insert(keyword.to_owned(), value);
}

/// A random subschema.
pub fn schema(choices: &mut Choices, depth: usize) -> Value {
    if choices.one_in(12) {
        return json!(!choices.one_in(3));
    }
    let mut members = Map::new();
    if choices.one_in(2) {
        members.insert("type".into(), json!(kind(choices)));
    }
    for _ in 0..1 + choices.below(3) {
        keyword(choices, &mut members, depth);
    }
    Value::Object(members)
}

/// A random document.
pub fn document(choices: &mut Choices) -> Value {
    let mut root = schema(choices, 3);
    if let Value::Object(members) = &mut root {
        let defs = json!({ "one": schema(choices, 1), "two": schema(choices, 2) });
        members.insert("$defs".into(), defs);
        if choices.one_in(5) {
            members.insert("$schema".into(), json!(choices.pick(&DIALECTS[1..4])));
        }
    }
    root
}

/// Two versions of a schema.
pub struct Pair {
    pub old: Value,
    pub new: Value,
    /// All references are pointers into a document of 2020-12.
    pub plain: bool,
}

/// Randomly a pair of generated schemas, or of schemas of the suite combined with each other, in
/// any dialect.
pub fn pair(choices: &mut Choices) -> Pair {
    let plain = choices.one_in(2);
    let suite = !plain && choices.below(5) > 0;
    let make = |choices: &mut Choices| if suite { crossed(choices) } else { document(choices) };
    let old = make(choices);
    let mut new = changed(choices, &old);
    if choices.one_in(3) {
        new = changed(choices, &new);
    }
    if choices.one_in(if suite { 3 } else { 12 }) {
        new = make(choices);
    }
    if plain || choices.one_in(3) {
        return Pair { old, new, plain };
    }
    let dialect = choices.below(DIALECTS.len());
    let new_dialect = if choices.one_in(8) { choices.below(DIALECTS.len()) } else { dialect };
    Pair { old: in_dialect(dialect, &old), new: in_dialect(new_dialect, &new), plain }
}

/// Collects pointers to the objects of a document.
fn object_pointers(value: &Value, at: &str, pointers: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            pointers.push(at.to_owned());
            for (name, value) in members {
                object_pointers(value, &format!("{at}/{}", name.replace('/', "~1")), pointers);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                object_pointers(value, &format!("{at}/{index}"), pointers);
            }
        }
        _ => {}
    }
}

/// The document with a small change. The result may not be a schema.
pub fn changed(choices: &mut Choices, document: &Value) -> Value {
    let mut new = document.clone();
    let mut pointers = Vec::new();
    object_pointers(&new, "", &mut pointers);
    if pointers.is_empty() {
        return schema(choices, 2);
    }
    let at = choices.pick(&pointers).clone();
    let Some(Value::Object(members)) = new.pointer_mut(&at) else { return new };
    let names: Vec<_> = members.keys().cloned().collect();
    match choices.below(6) {
        0 | 1 => {
            if !names.is_empty() {
                members.remove(choices.pick(&names));
            }
        }
        2 | 3 => keyword(choices, members, 1),
        _ => {
            for name in names {
                match members.get_mut(&name) {
                    Some(Value::Number(number)) if choices.one_in(2) => {
                        let by = if choices.one_in(2) { 1.0 } else { -1.0 };
                        let number = number.as_f64().unwrap_or_default() + by;
                        members.insert(name, json!(number));
                    }
                    Some(Value::Array(items)) if choices.one_in(2) => {
                        if items.len() > 1 && choices.one_in(2) {
                            items.remove(choices.below(items.len()));
                        } else if matches!(name.as_str(), "anyOf" | "oneOf" | "allOf") {
                            items.push(schema(choices, 1));
                        } else if name == "enum" {
                            items.push(json!("new"));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    new
}

/// An instance that is likely to be valid.
pub fn instance(choices: &mut Choices, root: &Value, at: &Value, depth: usize) -> Value {
    let Value::Object(members) = at else { return value(choices, depth.min(1)) };
    if depth == 0 || choices.one_in(12) {
        return value(choices, 1);
    }
    if let Some(value) = members.get("const") {
        return value.clone();
    }
    if let Some(Value::Array(values)) = members.get("enum") {
        return choices.pick(values).clone();
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(branches)) = members.get(keyword)
            && choices.one_in(2)
        {
            let branch = choices.pick(branches).clone();
            return instance(choices, root, &branch, depth - 1);
        }
    }
    if let Some(Value::String(reference)) = members.get("$ref")
        && choices.one_in(2)
        && let Some(target) = root.pointer(reference.trim_start_matches('#'))
    {
        return instance(choices, root, &target.clone(), depth - 1);
    }
    let kind = match members.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => choices.pick(kinds).as_str().unwrap_or_default().to_owned(),
        _ if [
            "properties",
            "required",
            "additionalProperties",
            "minProperties",
            "dependentSchemas",
        ]
        .iter()
        .any(|keyword| members.contains_key(*keyword)) =>
        {
            "object".to_owned()
        }
        _ if ["items", "prefixItems", "contains", "minItems"]
            .iter()
            .any(|keyword| members.contains_key(*keyword)) =>
        {
            "array".to_owned()
        }
        _ => kind(choices).to_owned(),
    };
    match kind.as_str() {
        "null" => Value::Null,
        "boolean" => json!(choices.one_in(2)),
        "integer" | "number" => {
            let bounds =
                ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
            let bound = members.get(*choices.pick(&bounds)).and_then(Value::as_f64).unwrap_or(0.0);
            let by = *choices.pick(&[0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -6.0]);
            let number = bound + by;
            if number.fract() == 0.0 { json!(number as i64) } else { json!(number) }
        }
        "string" => {
            let length = ["minLength", "maxLength"]
                .map(|keyword| members.get(keyword).and_then(Value::as_u64));
            let length = choices.pick(&length).unwrap_or(choices.below(4) as u64) as usize;
            let letters = ["a", "b", "c", "x", "1", "é", "Z"];
            let count = (length + choices.below(3)).saturating_sub(1);
            Value::String((0..count).map(|_| *choices.pick(&letters)).collect())
        }
        "array" => {
            let min = members.get("minItems").and_then(Value::as_u64).unwrap_or(0) as usize;
            let count = (min + choices.below(4)).min(8);
            let listed = members.get("items").and_then(Value::as_array);
            let prefix = members.get("prefixItems").and_then(Value::as_array).or(listed);
            let prefix = prefix.cloned().unwrap_or_default();
            let rest = if listed.is_some() { "additionalItems" } else { "items" };
            let rest = members.get(rest).cloned().unwrap_or(json!(true));
            let contains = members.get("contains").cloned();
            let item = |choices: &mut Choices, index: usize| {
                let at = prefix.get(index).unwrap_or(&rest).clone();
                let at = contains.clone().filter(|_| choices.one_in(3)).unwrap_or(at);
                instance(choices, root, &at, depth - 1)
            };
            Value::Array((0..count).map(|index| item(choices, index)).collect())
        }
        _ => object(choices, root, members, depth),
    }
}

fn object(
    choices: &mut Choices,
    root: &Value,
    members: &Map<String, Value>,
    depth: usize,
) -> Value {
    let empty = Map::new();
    let properties = members.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let mut names: Vec<String> = Vec::new();
    if let Some(Value::Array(required)) = members.get("required") {
        names.extend(required.iter().filter_map(Value::as_str).map(ToOwned::to_owned));
    }
    names.extend(properties.keys().filter(|_| choices.one_in(2)).cloned());
    if choices.one_in(3) {
        names.push((*choices.pick(&NAMES)).to_owned());
    }
    if choices.one_in(8) {
        names.push((*choices.pick(&["foo", "bar", "baz", "f", "value"])).to_owned());
    }
    let additional = members.get("additionalProperties").cloned().unwrap_or(json!(true));
    let mut object = Map::new();
    for name in names {
        let pattern = members.get("patternProperties").and_then(Value::as_object);
        let pattern = pattern.and_then(|patterns| patterns.values().next()).cloned();
        let at = properties.get(&name).cloned().or(pattern).unwrap_or(additional.clone());
        let value = instance(choices, root, &at, depth - 1);
        object.insert(name, value);
    }
    Value::Object(object)
}
