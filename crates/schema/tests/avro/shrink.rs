//! The smallest pair of schemas that still shows something.

use serde_json::{Map, Value, json};

/// Attempts in all: each asks a library.
const ATTEMPTS_MAX: usize = 2_000;

/// Makes both schemas smaller for as long as `shows` holds.
pub fn shrink(
    mut old: Value,
    mut new: Value,
    mut shows: impl FnMut(&Value, &Value) -> bool,
) -> (Value, Value) {
    let mut attempts = 0;
    'again: loop {
        // What both have goes on both sides first; or else one side alone.
        let edits = edits(&old);
        let both = edits.iter().map(|it| (it.apply(&old), it.apply(&new)));
        let one = edits.iter().map(|it| (it.apply(&old), Some(new.clone())));
        let other = self::edits(&new);
        let other = other.iter().map(|it| (Some(old.clone()), it.apply(&new)));
        let candidates: Vec<_> = both.chain(one).chain(other).collect();
        for candidate in candidates {
            let (Some(smaller), Some(other)) = candidate else { continue };
            if size(&smaller, &other) >= size(&old, &new) {
                continue;
            }
            attempts += 1;
            if attempts > ATTEMPTS_MAX {
                return (old, new);
            }
            if shows(&smaller, &other) {
                (old, new) = (smaller, other);
                continue 'again;
            }
        }
        return (old, new);
    }
}

fn size(old: &Value, new: &Value) -> usize {
    old.to_string().len() + new.to_string().len()
}

/// One way to make a schema smaller.
struct Edit {
    pointer: String,
    how: How,
}

enum How {
    /// Puts a part of it in its place.
    Hoist(String),
    /// Puts the simplest type in its place.
    Simplest,
    /// Takes an entry out of it.
    Remove(String),
}

impl Edit {
    fn apply(&self, schema: &Value) -> Option<Value> {
        let mut made = schema.clone();
        let at = made.pointer_mut(&self.pointer)?;
        match &self.how {
            How::Hoist(part) => *at = at.pointer(part)?.clone(),
            How::Simplest => *at = json!("int"),
            How::Remove(key) => match at {
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
        Some(made)
    }
}

/// All single edits, the largest parts first.
fn edits(schema: &Value) -> Vec<Edit> {
    let mut found = Vec::new();
    visit(schema, String::new(), &mut found);
    found
}

fn visit(of: &Value, pointer: String, found: &mut Vec<Edit>) {
    let mut add = |how| found.push(Edit { pointer: pointer.clone(), how });
    match of {
        Value::Object(entries) => {
            for part in hoistable(entries) {
                add(How::Hoist(part));
            }
            if entries.contains_key("type") && !entries.contains_key("fields") {
                add(How::Simplest);
            }
            for key in entries.keys().filter(|it| *it != "type" && *it != "name") {
                add(How::Remove(key.clone()));
            }
            for (key, value) in entries {
                visit(value, format!("{pointer}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for index in 0..items.len() {
                add(How::Remove(index.to_string()));
                add(How::Hoist(format!("/{index}")));
            }
            for (index, value) in items.iter().enumerate() {
                visit(value, format!("{pointer}/{index}"), found);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn hoistable(entries: &Map<String, Value>) -> Vec<String> {
    let fields = entries.get("fields").and_then(Value::as_array).map_or(0, Vec::len);
    let mut parts: Vec<String> = (0..fields).map(|at| format!("/fields/{at}/type")).collect();
    parts.extend(
        ["items", "values"]
            .iter()
            .filter(|it| entries.contains_key(**it))
            .map(|it| format!("/{it}")),
    );
    // A type that is written out where its name is enough.
    if entries.get("type").is_some_and(|it| it.is_object() || it.is_array())
        && !entries.contains_key("name")
    {
        parts.push("/type".into());
    }
    parts
}

#[test]
fn what_does_not_matter_goes() {
    let field = |name: &str, of: Value| json!({"name": name, "type": of, "default": null});
    let record = |fields: Vec<Value>| json!({"type": "record", "name": "R", "fields": fields});
    let of = |inner: &str| {
        record(vec![
            field("a", json!(["null", "string"])),
            field("b", json!({"type": "array", "items": record(vec![field("c", json!(inner))])})),
        ])
    };
    let shows = |old: &Value, new: &Value| {
        old.to_string().contains("long") && new.to_string().contains("float")
    };
    let (old, new) = shrink(of("long"), of("float"), shows);
    assert_eq!((old, new), (json!("long"), json!("float")));
}
