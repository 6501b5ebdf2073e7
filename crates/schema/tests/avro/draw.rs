//! Payloads of generated schemas, by chance and yet the same for the same seed.

use std::collections::HashMap;

use serde_json::Value;

use crate::generate::{PRIMITIVES, Rng, full_names};

/// Writes values of a schema.
pub struct Payloads<'s> {
    schema: &'s Value,
    named: HashMap<String, &'s Value>,
}

impl<'s> Payloads<'s> {
    pub fn new(schema: &'s Value) -> Self {
        let mut named = HashMap::new();
        for (pointer, full) in full_names(schema) {
            let Some(of) = schema.pointer(&pointer) else { continue };
            // Within its namespace a type goes by its short name; those are told apart by their
            // numbers.
            let short = full.rsplit_once('.').map_or(&*full, |(_, short)| short).to_owned();
            named.insert(short, of);
            named.insert(full, of);
        }
        Self { schema, named }
    }

    pub fn is_primitive(name: &str) -> bool {
        PRIMITIVES.contains(&name)
    }

    /// A value; none where a recursive type does not end.
    pub fn make(&self, rng: &mut Rng) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.write(rng, self.schema, 0, &mut out)?;
        Some(out)
    }

    fn write(&self, rng: &mut Rng, of: &Value, depth: usize, out: &mut Vec<u8>) -> Option<()> {
        if depth > 12 {
            return None;
        }
        match of {
            Value::Array(branches) => {
                if branches.is_empty() {
                    return None;
                }
                let null = branches.iter().position(|it| it == "null");
                let at = match null {
                    Some(null) if depth > 5 => null,
                    _ => rng.below(branches.len()),
                };
                long(at as i64, out);
                self.write(rng, &branches[at], depth + 1, out)
            }
            Value::String(name) => match self.named.get(name) {
                Some(named) => self.write(rng, named, depth + 1, out),
                None => primitive(rng, name, None, out),
            },
            _ => match of["type"].as_str()? {
                "record" => {
                    for field in of["fields"].as_array()? {
                        self.write(rng, &field["type"], depth + 1, out)?;
                    }
                    Some(())
                }
                "enum" => {
                    let count = of["symbols"].as_array()?.len();
                    (count > 0).then(|| long(rng.below(count) as i64, out))
                }
                "fixed" => {
                    let size = usize::try_from(of["size"].as_u64()?).ok()?;
                    if of["logicalType"] == "decimal" {
                        out.extend(std::iter::repeat_n(0, size - 1));
                        out.push(u8::try_from(rng.below(9)).ok()?);
                    } else {
                        out.extend((0..size).map(|_| b'a' + rng.below(26) as u8));
                    }
                    Some(())
                }
                // One entry at most: maps have no order, and other libraries' are compared byte by
                // byte.
                kind @ ("array" | "map") => {
                    let count =
                        if depth > 5 { 0 } else { rng.below(if kind == "map" { 2 } else { 3 }) };
                    if count > 0 {
                        long(count as i64, out);
                        for _ in 0..count {
                            if kind == "map" {
                                text("key", out);
                            }
                            let inner = of.get("items").or(of.get("values"))?;
                            self.write(rng, inner, depth + 1, out)?;
                        }
                    }
                    long(0, out);
                    Some(())
                }
                name => primitive(rng, name, of["logicalType"].as_str(), out),
            },
        }
    }
}

fn primitive(rng: &mut Rng, name: &str, logical: Option<&str>, out: &mut Vec<u8>) -> Option<()> {
    match (name, logical) {
        ("null", _) => {}
        ("boolean", _) => out.push(u8::from(rng.once_in(2))),
        ("int", Some(_)) => long(rng.below(40_000) as i64, out),
        ("int", None) => {
            long(*rng.pick(&[0, 1, -1, 77, -4096, i64::from(i32::MAX), i64::from(i32::MIN)]), out)
        }
        ("long", Some(_)) => long(rng.below(80_000_000) as i64, out),
        ("long", None) => long(*rng.pick(&[0, 1, -1, 77, 1 << 40, i64::MAX, i64::MIN]), out),
        ("float", _) => out.extend(rng.pick(&[0.0_f32, -1.5, 1e10]).to_le_bytes()),
        ("double", _) => out.extend(rng.pick(&[0.0_f64, -1.5, 1e100]).to_le_bytes()),
        ("bytes", Some("decimal")) => {
            long(2, out);
            out.extend([u8::try_from(rng.below(30)).ok()?, 7]);
        }
        ("string", Some("uuid")) => text("550e8400-e29b-41d4-a716-446655440000", out),
        ("bytes" | "string", _) => {
            let word = *rng.pick(&["", "a", "grün", "12.50", "longer than the others"]);
            text(word, out);
        }
        _ => return None,
    }
    Some(())
}

fn text(word: &str, out: &mut Vec<u8>) {
    long(word.len() as i64, out);
    out.extend(word.bytes());
}

fn long(number: i64, out: &mut Vec<u8>) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while left > 0x7f {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}
