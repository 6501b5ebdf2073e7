//! Changes to generated schemas, as authors make them, and as nobody would.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::generate::{LOGICAL, Maker, PRIMITIVES, Rng, default, full_names, logical, positions};

/// One to three changes, as authors make them.
pub fn mutate(rng: &mut Rng, schema: &Value) -> Value {
    let mut made = schema.clone();
    for _ in 0..1 + rng.below(3) {
        let mut all = Vec::new();
        positions(&made, "", &mut all);
        let pointer = rng.pick(&all).clone();
        let before = full_names(&made);
        if let Some(of) = made.pointer_mut(&pointer) {
            change(rng, of, pointer.is_empty());
        }
        refer(&mut made, &before);
    }
    made
}

/// Lets references follow a type whose name was changed, where it stands.
fn refer(schema: &mut Value, before: &[(String, String)]) {
    let after = full_names(schema);
    if before.len() != after.len() {
        return;
    }
    let moved: HashMap<&str, &str> = before
        .iter()
        .zip(&after)
        .filter(|((at, old), (now, new))| at == now && old != new)
        .map(|((_, old), (_, new))| (old.as_str(), new.as_str()))
        .collect();
    if moved.is_empty() {
        return;
    }
    let mut all = Vec::new();
    positions(schema, "", &mut all);
    for pointer in all {
        if let Some(Value::String(name)) = schema.pointer_mut(&pointer)
            && let Some(new) = moved.get(name.as_str())
        {
            *name = (*new).to_owned();
        }
    }
}

fn change(rng: &mut Rng, of: &mut Value, root: bool) {
    if rng.once_in(12) && !root {
        // Optional, or another type altogether.
        let before = of.take();
        *of = match (rng.below(3), &before) {
            (0 | 1, Value::Array(branches)) => branches.last().cloned().unwrap_or_default(),
            (0 | 1, _) => json!(["null", before]),
            _ => Maker::new(rng, 50).of(1),
        };
        return;
    }
    match of {
        Value::Array(branches) => change_union(rng, branches),
        Value::String(name) => {
            let name = name.clone();
            *of = if rng.once_in(5) {
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
        _ => match of["type"].as_str().unwrap_or_default().to_owned().as_str() {
            "record" => change_record(rng, of),
            "enum" => change_enum(rng, of),
            "fixed" => match rng.below(4) {
                0 => of["size"] = json!(*rng.pick(&[1, 4, 12, 16])),
                1 => rename(rng, of),
                2 => {
                    of.as_object_mut().map(|it| it.remove("logicalType"));
                }
                _ => of["logicalType"] = json!(*rng.pick(&["decimal", "uuid", "duration"])),
            },
            "array" | "map" => {
                if rng.once_in(3) {
                    let inner = of.get("items").or(of.get("values")).cloned().unwrap_or_default();
                    *of = if of["type"] == "array" {
                        json!({"type": "map", "values": inner})
                    } else {
                        json!({"type": "array", "items": inner})
                    };
                }
            }
            base => {
                let base = base.to_owned();
                *of = if rng.once_in(2) {
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

fn rename(rng: &mut Rng, of: &mut Value) {
    let name = of["name"].as_str().unwrap_or("X").to_owned();
    let short = name.rsplit_once('.').map_or(&*name, |(_, short)| short).to_owned();
    match rng.below(6) {
        0 => of["namespace"] = json!("m"),
        1 => of["aliases"] = json!([format!("{name}x")]),
        2 => of["name"] = json!(format!("{name}x")),
        3 => of["name"] = json!(format!("m.{short}")),
        4 => {
            of["aliases"] = json!([name, format!("n.{short}"), format!("m.{short}")]);
            of["name"] = json!(format!("{name}z"));
        }
        _ => {
            of["name"] = json!(format!("{name}x"));
            of["aliases"] = json!([name]);
        }
    }
}

fn change_enum(rng: &mut Rng, of: &mut Value) {
    match rng.below(6) {
        0 => rename(rng, of),
        1 => {
            of.as_object_mut().map(|it| it.remove("default"));
        }
        2 => of["default"] = of["symbols"][0].clone(),
        kind => {
            let Some(symbols) = of["symbols"].as_array_mut() else { return };
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
            let at = rng.below(branches.len());
            if let Some(branch) = branches.get_mut(at) {
                change(rng, branch, true);
            }
        }
        0 => branches.push(json!(rng.pick(&PRIMITIVES))),
        1 if branches.len() > 1 => {
            branches.remove(rng.below(branches.len()));
        }
        2 => branches.reverse(),
        _ => {
            let made = Maker::new(rng, 70).of(0);
            branches.push(made);
        }
    }
}

fn change_record(rng: &mut Rng, of: &mut Value) {
    if rng.once_in(6) {
        rename(rng, of);
        return;
    }
    let number = rng.below(1000);
    let Some(fields) = of["fields"].as_array_mut() else { return };
    let at = rng.below(fields.len());
    match rng.below(11) {
        9 => {
            // A field that looks for another one's data.
            let other = rng.below(fields.len().max(1));
            let Some(name) = fields.get(other).map(|it| it["name"].clone()) else { return };
            if let Some(field) = fields.get_mut(at) {
                field["aliases"] = json!([name]);
            }
        }
        10 => {
            if let Some(field) = fields.get_mut(at) {
                let optional = json!(["null", field["type"]]);
                if !field["type"].is_array() && field["type"] != "null" {
                    field["type"] = optional;
                    field["default"] = Value::Null;
                }
            }
        }
        0 | 1 => {
            let mut maker = Maker::new(rng, 100 + number);
            let field = maker.field(&format!("g{number}"), 1);
            fields.insert(at, field);
        }
        2 => {
            let of = Maker::new(rng, 100 + number).of(0);
            let mut field = json!({"name": format!("g{number}"), "type": of});
            if let Some(default) = default(rng, &field["type"]) {
                field["default"] = default;
            }
            fields.push(field);
        }
        3 if !fields.is_empty() => {
            fields.remove(at);
        }
        4 => fields.reverse(),
        5 => {
            if let Some(field) = fields.get_mut(at) {
                let name = field["name"].clone();
                field["name"] = json!(format!("h{number}"));
                if !rng.once_in(4) {
                    field["aliases"] = json!([name]);
                }
            }
        }
        6 => {
            if let Some(field) = fields.get_mut(at)
                && let Some(default) = default(rng, &field["type"])
            {
                field["default"] = default;
            }
        }
        7 => {
            if let Some(field) = fields.get_mut(at).and_then(Value::as_object_mut) {
                field.remove("default");
            }
        }
        _ => {
            if let Some(field) = fields.get_mut(at) {
                field["doc"] = json!(format!("{number}"));
            }
        }
    }
}
