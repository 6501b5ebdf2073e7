//! Shrinks a pair of schemas that reproduces a difference.

use serde_json::{Map, Value, json};

/// Attempts in total. Each queries a library.
const ATTEMPTS_MAX: usize = 2_000;

/// Shrinks both schemas while `reproduces` holds.
pub fn shrink(
    mut old: Value,
    mut new: Value,
    mut reproduces: impl FnMut(&Value, &Value) -> bool,
) -> (Value, Value) {
    let mut attempts = 0;
    'shrink: loop {
        // Try each edit on both schemas first, then on one schema.
        let edits = edits(&old);
        let both = edits.iter().map(|edit| (edit.apply(&old), edit.apply(&new)));
        let old_only = edits.iter().map(|edit| (edit.apply(&old), Some(new.clone())));
        let new_edits = self::edits(&new);
        let new_only = new_edits.iter().map(|edit| (Some(old.clone()), edit.apply(&new)));
        let candidates: Vec<_> = both.chain(old_only).chain(new_only).collect();
        for candidate in candidates {
            let (Some(smaller_old), Some(smaller_new)) = candidate else { continue };
            if size(&smaller_old, &smaller_new) >= size(&old, &new) {
                continue;
            }
            attempts += 1;
            if attempts > ATTEMPTS_MAX {
                return (old, new);
            }
            if reproduces(&smaller_old, &smaller_new) {
                (old, new) = (smaller_old, smaller_new);
                continue 'shrink;
            }
        }
        return (old, new);
    }
}

fn size(old: &Value, new: &Value) -> usize {
    old.to_string().len() + new.to_string().len()
}

/// An edit that shrinks a schema at a pointer.
struct Edit {
    pointer: String,
    operation: Operation,
}

enum Operation {
    /// Replaces the type with a type inside it.
    Hoist(String),
    /// Replaces the type with int.
    Simplify,
    /// Removes an entry.
    Remove(String),
}

impl Edit {
    fn apply(&self, schema: &Value) -> Option<Value> {
        let mut edited = schema.clone();
        let target = edited.pointer_mut(&self.pointer)?;
        match &self.operation {
            Operation::Hoist(inner) => *target = target.pointer(inner)?.clone(),
            Operation::Simplify => *target = json!("int"),
            Operation::Remove(key) => match target {
                Value::Array(items) => {
                    let index: usize = key.parse().ok()?;
                    if index >= items.len() {
                        return None;
                    }
                    items.remove(index);
                }
                Value::Object(entries) => drop(entries.remove(key)?),
                _ => return None,
            },
        }
        Some(edited)
    }
}

/// All single edits, outermost first.
fn edits(schema: &Value) -> Vec<Edit> {
    let mut edits = Vec::new();
    visit(schema, String::new(), &mut edits);
    edits
}

fn visit(schema: &Value, pointer: String, edits: &mut Vec<Edit>) {
    let mut add = |operation| edits.push(Edit { pointer: pointer.clone(), operation });
    match schema {
        Value::Object(entries) => {
            for inner in hoistable(entries) {
                add(Operation::Hoist(inner));
            }
            if entries.contains_key("type") && !entries.contains_key("fields") {
                add(Operation::Simplify);
            }
            for key in entries.keys().filter(|key| *key != "type" && *key != "name") {
                add(Operation::Remove(key.clone()));
            }
            for (key, value) in entries {
                visit(value, format!("{pointer}/{key}"), edits);
            }
        }
        Value::Array(items) => {
            for index in 0..items.len() {
                add(Operation::Remove(index.to_string()));
                add(Operation::Hoist(format!("/{index}")));
            }
            for (index, value) in items.iter().enumerate() {
                visit(value, format!("{pointer}/{index}"), edits);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn hoistable(entries: &Map<String, Value>) -> Vec<String> {
    let fields = entries.get("fields").and_then(Value::as_array).map_or(0, Vec::len);
    let mut pointers: Vec<String> =
        (0..fields).map(|index| format!("/fields/{index}/type")).collect();
    pointers.extend(
        ["items", "values"]
            .iter()
            .filter(|key| entries.contains_key(**key))
            .map(|key| format!("/{key}")),
    );
    // A type in an object that adds nothing.
    if entries.get("type").is_some_and(|inner| inner.is_object() || inner.is_array())
        && !entries.contains_key("name")
    {
        pointers.push("/type".into());
    }
    pointers
}

#[test]
fn irrelevant_parts_are_removed() {
    let field = |name: &str, schema: Value| json!({"name": name, "type": schema, "default": null});
    let record = |fields: Vec<Value>| json!({"type": "record", "name": "R", "fields": fields});
    let schema = |inner: &str| {
        record(vec![
            field("a", json!(["null", "string"])),
            field("b", json!({"type": "array", "items": record(vec![field("c", json!(inner))])})),
        ])
    };
    let reproduces = |old: &Value, new: &Value| {
        old.to_string().contains("long") && new.to_string().contains("float")
    };
    let (old, new) = shrink(schema("long"), schema("float"), reproduces);
    assert_eq!((old, new), (json!("long"), json!("float")));
}
