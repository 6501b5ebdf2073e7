//! Random payloads of generated schemas, reproducible from a seed.

use std::collections::HashMap;

use serde_json::Value;

use crate::generate::{PRIMITIVES, Rng, full_names};

/// Generates values of a schema.
pub struct Payloads<'s> {
    schema: &'s Value,
    named: HashMap<String, &'s Value>,
}

impl<'s> Payloads<'s> {
    pub fn new(schema: &'s Value) -> Self {
        let mut named = HashMap::new();
        for (pointer, full) in full_names(schema) {
            let Some(named_type) = schema.pointer(&pointer) else { continue };
            // References within a namespace use the short name. Short names have unique numbers.
            let short = full.rsplit_once('.').map_or(&*full, |(_, short)| short).to_owned();
            named.insert(short, named_type);
            named.insert(full, named_type);
        }
        Self { schema, named }
    }

    pub fn is_primitive(name: &str) -> bool {
        PRIMITIVES.contains(&name)
    }

    /// Generates a value. Returns `None` if a recursive type does not terminate.
    pub fn generate(&self, rng: &mut Rng) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.write(rng, self.schema, 0, &mut out)?;
        Some(out)
    }

    fn write(&self, rng: &mut Rng, schema: &Value, depth: usize, out: &mut Vec<u8>) -> Option<()> {
        if depth > 12 {
            return None;
        }
        match schema {
            Value::Array(branches) => {
                if branches.is_empty() {
                    return None;
                }
                let null = branches.iter().position(|branch| branch == "null");
                let index = match null {
                    Some(null) if depth > 5 => null,
                    _ => rng.below(branches.len()),
                };
                long(index as i64, out);
                self.write(rng, &branches[index], depth + 1, out)
            }
            Value::String(name) => match self.named.get(name) {
                Some(named) => self.write(rng, named, depth + 1, out),
                None => primitive(rng, name, None, out),
            },
            _ => match schema["type"].as_str()? {
                "record" => {
                    for field in schema["fields"].as_array()? {
                        self.write(rng, &field["type"], depth + 1, out)?;
                    }
                    Some(())
                }
                "enum" => {
                    let count = schema["symbols"].as_array()?.len();
                    (count > 0).then(|| long(rng.below(count) as i64, out))
                }
                "fixed" => {
                    let size = usize::try_from(schema["size"].as_u64()?).ok()?;
                    if schema["logicalType"] == "decimal" {
                        out.extend(std::iter::repeat_n(0, size - 1));
                        out.push(u8::try_from(rng.below(9)).ok()?);
                    } else {
                        out.extend((0..size).map(|_| b'a' + rng.below(26) as u8));
                    }
                    Some(())
                }
                // A map has at most one entry: maps have no order, and results are compared with
                // those of other libraries byte by byte.
                kind @ ("array" | "map") => {
                    let count =
                        if depth > 5 { 0 } else { rng.below(if kind == "map" { 2 } else { 3 }) };
                    if count > 0 {
                        long(count as i64, out);
                        for _ in 0..count {
                            if kind == "map" {
                                text("key", out);
                            }
                            let inner = schema.get("items").or(schema.get("values"))?;
                            self.write(rng, inner, depth + 1, out)?;
                        }
                    }
                    long(0, out);
                    Some(())
                }
                name => primitive(rng, name, schema["logicalType"].as_str(), out),
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
            let value = *rng.pick(&["", "a", "grün", "12.50", "longer than the others"]);
            text(value, out);
        }
        _ => return None,
    }
    Some(())
}

fn text(value: &str, out: &mut Vec<u8>) {
    long(value.len() as i64, out);
    out.extend(value.bytes());
}

fn long(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
