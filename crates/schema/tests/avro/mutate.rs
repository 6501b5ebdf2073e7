//! Random changes to generated schemas, both realistic and unusual.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::generate::{
    Generator, LOGICAL, PRIMITIVES, Rng, default, full_names, logical, pointers,
};

/// Applies one to three changes.
pub fn mutate(rng: &mut Rng, schema: &Value) -> Value {
    let mut changed = schema.clone();
    for _ in 0..1 + rng.below(3) {
        let mut all = Vec::new();
        pointers(&changed, "", &mut all);
        let pointer = rng.pick(&all).clone();
        let names = full_names(&changed);
        if let Some(schema) = changed.pointer_mut(&pointer) {
            change(rng, schema, pointer.is_empty());
        }
        update_references(&mut changed, &names);
    }
    changed
}

/// Updates references to a type that was renamed in place.
fn update_references(schema: &mut Value, old_names: &[(String, String)]) {
    let new_names = full_names(schema);
    if old_names.len() != new_names.len() {
        return;
    }
    let renamed: HashMap<&str, &str> = old_names
        .iter()
        .zip(&new_names)
        .filter(|((old_pointer, old), (new_pointer, new))| old_pointer == new_pointer && old != new)
        .map(|((_, old), (_, new))| (old.as_str(), new.as_str()))
        .collect();
    if renamed.is_empty() {
        return;
    }
    let mut all = Vec::new();
    pointers(schema, "", &mut all);
    for pointer in all {
        if let Some(Value::String(name)) = schema.pointer_mut(&pointer)
            && let Some(new) = renamed.get(name.as_str())
        {
            *name = (*new).to_owned();
        }
    }
}

fn change(rng: &mut Rng, schema: &mut Value, root: bool) {
    if rng.once_in(12) && !root {
        // Optional, or another type.
        let before = schema.take();
        *schema = match (rng.below(3), &before) {
            (0 | 1, Value::Array(branches)) => branches.last().cloned().unwrap_or_default(),
            (0 | 1, _) => json!(["null", before]),
            _ => Generator::new(rng, 50).any_type(1),
        };
        return;
    }
    match schema {
        Value::Array(branches) => change_union(rng, branches),
        Value::String(name) => {
            let name = name.clone();
            *schema = if rng.once_in(5) {
                match LOGICAL.iter().find(|(base, _)| *base == name) {
                    Some(_) => loop {
                        let (base, logical_type) = *rng.pick(&LOGICAL);
                        if base == name {
                            break logical(rng, base, logical_type);
                        }
                    },
                    None => json!(name),
                }
            } else if rng.once_in(2) {
                json!(match name.as_str() {
                    "int" => "long",
                    "long" => *rng.pick(&["float", "double", "int"]),
                    "float" => "double",
                    "string" => "bytes",
                    "bytes" => "string",
                    other => other,
                })
            } else if PRIMITIVES.contains(&name.as_str()) {
                json!(rng.pick(&PRIMITIVES[1..]))
            } else {
                json!(name)
            };
        }
        _ => match schema["type"].as_str().unwrap_or_default().to_owned().as_str() {
            "record" => change_record(rng, schema),
            "enum" => change_enum(rng, schema),
            "fixed" => match rng.below(4) {
                0 => schema["size"] = json!(*rng.pick(&[1, 4, 12, 16])),
                1 => rename(rng, schema),
                2 => {
                    schema.as_object_mut().map(|fixed| fixed.remove("logicalType"));
                }
                _ => schema["logicalType"] = json!(*rng.pick(&["decimal", "uuid", "duration"])),
            },
            "array" | "map" => {
                if rng.once_in(3) {
                    let inner =
                        schema.get("items").or(schema.get("values")).cloned().unwrap_or_default();
                    *schema = if schema["type"] == "array" {
                        json!({"type": "map", "values": inner})
                    } else {
                        json!({"type": "array", "items": inner})
                    };
                }
            }
            base => {
                let base = base.to_owned();
                *schema = if rng.once_in(2) {
                    json!(base)
                } else {
                    let (other, name) = *rng.pick(&LOGICAL);
                    let base = if rng.once_in(2) { other } else { &base };
                    logical(rng, base, name)
                };
            }
        },
    }
}

fn rename(rng: &mut Rng, schema: &mut Value) {
    let name = schema["name"].as_str().unwrap_or("X").to_owned();
    let short = name.rsplit_once('.').map_or(&*name, |(_, short)| short).to_owned();
    match rng.below(6) {
        0 => schema["namespace"] = json!("m"),
        1 => schema["aliases"] = json!([format!("{name}x")]),
        2 => schema["name"] = json!(format!("{name}x")),
        3 => schema["name"] = json!(format!("m.{short}")),
        4 => {
            schema["aliases"] = json!([name, format!("n.{short}"), format!("m.{short}")]);
            schema["name"] = json!(format!("{name}z"));
        }
        _ => {
            schema["name"] = json!(format!("{name}x"));
            schema["aliases"] = json!([name]);
        }
    }
}

fn change_enum(rng: &mut Rng, schema: &mut Value) {
    match rng.below(6) {
        0 => rename(rng, schema),
        1 => {
            schema.as_object_mut().map(|enumeration| enumeration.remove("default"));
        }
        2 => schema["default"] = schema["symbols"][0].clone(),
        kind => {
            let Some(symbols) = schema["symbols"].as_array_mut() else { return };
            match kind {
                3 => symbols.push(json!(*rng.pick(&["E", "F", "G"]))),
                4 if symbols.len() > 1 => {
                    symbols.remove(rng.below(symbols.len()));
                }
                _ => symbols.reverse(),
            }
        }
    }
}

fn change_union(rng: &mut Rng, branches: &mut Vec<Value>) {
    match rng.below(5) {
        4 => {
            let index = rng.below(branches.len());
            if let Some(branch) = branches.get_mut(index) {
                change(rng, branch, true);
            }
        }
        0 => branches.push(json!(rng.pick(&PRIMITIVES))),
        1 if branches.len() > 1 => {
            branches.remove(rng.below(branches.len()));
        }
        2 => branches.reverse(),
        _ => {
            let branch = Generator::new(rng, 70).any_type(0);
            branches.push(branch);
        }
    }
}

fn change_record(rng: &mut Rng, schema: &mut Value) {
    if rng.once_in(6) {
        rename(rng, schema);
        return;
    }
    let number = rng.below(1000);
    let Some(fields) = schema["fields"].as_array_mut() else { return };
    let index = rng.below(fields.len());
    match rng.below(11) {
        9 => {
            // A field whose alias is the name of another field.
            let other = rng.below(fields.len().max(1));
            let Some(name) = fields.get(other).map(|field| field["name"].clone()) else { return };
            if let Some(field) = fields.get_mut(index) {
                field["aliases"] = json!([name]);
            }
        }
        10 => {
            if let Some(field) = fields.get_mut(index) {
                let optional = json!(["null", field["type"]]);
                if !field["type"].is_array() && field["type"] != "null" {
                    field["type"] = optional;
                    field["default"] = Value::Null;
                }
            }
        }
        0 | 1 => {
            let mut generator = Generator::new(rng, 100 + number);
            let field = generator.field(&format!("g{number}"), 1);
            fields.insert(index, field);
        }
        2 => {
            let field_type = Generator::new(rng, 100 + number).any_type(0);
            let mut field = json!({"name": format!("g{number}"), "type": field_type});
            if let Some(default) = default(rng, &field["type"]) {
                field["default"] = default;
            }
            fields.push(field);
        }
        3 if !fields.is_empty() => {
            fields.remove(index);
        }
        4 => fields.reverse(),
        5 => {
            if let Some(field) = fields.get_mut(index) {
                let name = field["name"].clone();
                field["name"] = json!(format!("h{number}"));
                if !rng.once_in(4) {
                    field["aliases"] = json!([name]);
                }
            }
        }
        6 => {
            if let Some(field) = fields.get_mut(index)
                && let Some(default) = default(rng, &field["type"])
            {
                field["default"] = default;
            }
        }
        7 => {
            if let Some(field) = fields.get_mut(index).and_then(Value::as_object_mut) {
                field.remove("default");
            }
        }
        _ => {
            if let Some(field) = fields.get_mut(index) {
                field["doc"] = json!(format!("{number}"));
            }
        }
    }
}
