//! Schemas, changes to them, and payloads, by chance and yet the same for the same seed.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// SplitMix64: a stream of numbers that follows from its seed.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed);
        rng.next();
        rng
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("it is below a usize")
    }

    /// Once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

const PRIMITIVES: [&str; 8] =
    ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

const LOGICAL: [(&str, &str); 14] = [
    ("int", "date"),
    ("int", "time-millis"),
    ("long", "time-micros"),
    ("long", "timestamp-millis"),
    ("long", "timestamp-micros"),
    ("long", "timestamp-nanos"),
    ("long", "local-timestamp-millis"),
    ("long", "local-timestamp-micros"),
    ("string", "uuid"),
    ("string", "colour"),
    ("bytes", "decimal"),
    ("bytes", "decimal"),
    ("bytes", "decimal"),
    ("long", "seconds"),
];

/// Makes schemas whose types have names of their own.
struct Maker<'r> {
    rng: &'r mut Rng,
    names: usize,
    /// Records around the type that is being made.
    around: Vec<String>,
}

/// A schema: most often a record.
pub fn schema(rng: &mut Rng) -> Value {
    let mut maker = Maker { rng, names: 0, around: Vec::new() };
    if maker.rng.once_in(8) { maker.of(3) } else { maker.record(3) }
}

fn logical(rng: &mut Rng, base: &str, name: &str) -> Value {
    if name == "decimal" {
        let precision = 4 + rng.below(3);
        json!({"type": base, "logicalType": name, "precision": precision, "scale": rng.below(3)})
    } else {
        json!({"type": base, "logicalType": name})
    }
}

impl Maker<'_> {
    fn name(&mut self, letter: &str) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    fn of(&mut self, depth: usize) -> Value {
        let kinds = if depth == 0 { 7 } else { 14 };
        match self.rng.below(kinds) {
            0..=3 => json!(self.rng.pick(&PRIMITIVES[1..])),
            4 => {
                let (base, name) = *self.rng.pick(&LOGICAL);
                logical(self.rng, base, name)
            }
            5 => self.enumeration(),
            6 => self.fixed(),
            7 | 8 => self.union(depth - 1),
            9 => json!({"type": "array", "items": self.of(depth - 1)}),
            10 => json!({"type": "map", "values": self.of(depth - 1)}),
            11 if !self.around.is_empty() => {
                let around = self.around.clone();
                match self.rng.below(3) {
                    0 => json!(["null", self.rng.pick(&around)]),
                    1 => json!({"type": "array", "items": self.rng.pick(&around)}),
                    _ => json!({"type": "map", "values": self.rng.pick(&around)}),
                }
            }
            _ => self.record(depth - 1),
        }
    }

    fn enumeration(&mut self) -> Value {
        let count = 1 + self.rng.below(4);
        let symbols: Vec<_> = ["A", "B", "C", "D"].into_iter().take(count).collect();
        let mut made = json!({"type": "enum", "name": self.name("E"), "symbols": symbols});
        if self.rng.once_in(4) {
            made["default"] = json!("A");
        }
        made
    }

    fn fixed(&mut self) -> Value {
        let size = *self.rng.pick(&[1, 4, 12, 16]);
        let mut made = json!({"type": "fixed", "name": self.name("F"), "size": size});
        match (size, self.rng.below(3)) {
            (12, 0) => made["logicalType"] = json!("duration"),
            (16, 0) => made["logicalType"] = json!("uuid"),
            (4, 0) => {
                made["logicalType"] = json!("decimal");
                made["precision"] = json!(6);
            }
            _ => {}
        }
        made
    }

    fn union(&mut self, depth: usize) -> Value {
        if self.rng.once_in(2) {
            let other = loop {
                let other = self.of(depth);
                if !other.is_array() && other != json!("null") {
                    break other;
                }
            };
            return json!(["null", other]);
        }
        let mut kinds: Vec<&str> = PRIMITIVES.to_vec();
        let mut branches = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            let kind = kinds.remove(self.rng.below(kinds.len()));
            branches.push(json!(kind));
        }
        for _ in 0..self.rng.below(3) {
            branches.push(match self.rng.below(3) {
                0 => self.enumeration(),
                1 => self.fixed(),
                _ => self.record(depth.min(1)),
            });
        }
        if self.rng.once_in(4) {
            branches.push(json!({"type": "array", "items": self.of(0)}));
        }
        Value::Array(branches)
    }

    fn record(&mut self, depth: usize) -> Value {
        let name = self.name("R");
        self.around.push(name.clone());
        let count = self.rng.below(5);
        let fields: Vec<_> =
            (0..count).map(|index| self.field(&format!("f{index}"), depth)).collect();
        self.around.pop();
        let mut made = json!({"type": "record", "name": name, "fields": fields});
        if self.around.is_empty() && self.rng.once_in(4) {
            made["namespace"] = json!("n");
        }
        made
    }

    fn field(&mut self, name: &str, depth: usize) -> Value {
        let of = self.of(depth);
        let mut field = json!({"name": name, "type": of});
        if self.rng.once_in(3)
            && let Some(default) = default(self.rng, &field["type"])
        {
            field["default"] = default;
        }
        field
    }
}

/// A default of a type; none where it takes too much.
fn default(rng: &mut Rng, of: &Value) -> Option<Value> {
    match of {
        Value::Array(branches) => default(rng, branches.first()?),
        Value::String(name) => primitive_default(rng, name),
        _ => match of["type"].as_str()? {
            "array" => Some(json!([])),
            "map" => Some(json!({})),
            "enum" => of["symbols"].get(0).cloned(),
            "fixed" => {
                let size = of["size"].as_u64().and_then(|it| usize::try_from(it).ok())?;
                Some(json!(format!("{}\u{1}", "\0".repeat(size - 1))))
            }
            "record" => {
                let mut made = Map::new();
                for field in of["fields"].as_array()? {
                    made.insert(field["name"].as_str()?.into(), default(rng, &field["type"])?);
                }
                Some(Value::Object(made))
            }
            "string" if of["logicalType"] == "uuid" => {
                Some(json!("00000000-0000-0000-0000-000000000000"))
            }
            "bytes" if of["logicalType"] == "decimal" => Some(json!("\u{5}")),
            name => primitive_default(rng, name),
        },
    }
}

fn primitive_default(rng: &mut Rng, name: &str) -> Option<Value> {
    Some(match name {
        "null" => Value::Null,
        "boolean" => json!(rng.once_in(2)),
        "int" | "long" => json!(rng.below(100)),
        "float" | "double" => json!(0.5),
        "bytes" | "string" => json!("d"),
        _ => return None,
    })
}

/// Pointers to every type of a schema.
fn positions(of: &Value, pointer: &str, out: &mut Vec<String>) {
    out.push(pointer.into());
    if let Value::Array(branches) = of {
        for (index, branch) in branches.iter().enumerate() {
            positions(branch, &format!("{pointer}/{index}"), out);
        }
        return;
    }
    match of["type"].as_str() {
        Some("array") => positions(&of["items"], &format!("{pointer}/items"), out),
        Some("map") => positions(&of["values"], &format!("{pointer}/values"), out),
        Some("record") => {
            for (index, field) in of["fields"].as_array().into_iter().flatten().enumerate() {
                positions(&field["type"], &format!("{pointer}/fields/{index}/type"), out);
            }
        }
        _ => {}
    }
}

/// One to three changes, as authors make them.
pub fn mutate(rng: &mut Rng, schema: &Value) -> Value {
    let mut made = schema.clone();
    for _ in 0..1 + rng.below(3) {
        let mut all = Vec::new();
        positions(&made, "", &mut all);
        let pointer = rng.pick(&all).clone();
        if let Some(of) = made.pointer_mut(&pointer) {
            change(rng, of, pointer.is_empty());
        }
    }
    made
}

fn change(rng: &mut Rng, of: &mut Value, root: bool) {
    if rng.once_in(12) && !root {
        // Optional, or another type altogether.
        let before = of.take();
        *of = match (rng.below(3), &before) {
            (0 | 1, Value::Array(branches)) => branches.last().cloned().unwrap_or_default(),
            (0 | 1, _) => json!(["null", before]),
            _ => Maker { rng, names: 50, around: Vec::new() }.of(1),
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
    match rng.below(4) {
        0 => of["namespace"] = json!("m"),
        1 => of["aliases"] = json!([format!("{name}x")]),
        2 => of["name"] = json!(format!("{name}x")),
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
    match rng.below(4) {
        0 => branches.push(json!(rng.pick(&PRIMITIVES))),
        1 if branches.len() > 1 => {
            branches.remove(rng.below(branches.len()));
        }
        2 => branches.reverse(),
        _ => {
            let made = Maker { rng, names: 70, around: Vec::new() }.of(0);
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
    match rng.below(9) {
        0 | 1 => {
            let mut maker = Maker { rng, names: 100 + number, around: Vec::new() };
            let field = maker.field(&format!("g{number}"), 1);
            fields.insert(at, field);
        }
        2 => {
            let of = Maker { rng, names: 100 + number, around: Vec::new() }.of(0);
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

/// Writes values of a schema.
pub struct Payloads<'s> {
    schema: &'s Value,
    named: HashMap<String, &'s Value>,
}

impl<'s> Payloads<'s> {
    pub fn new(schema: &'s Value) -> Self {
        let mut all = Vec::new();
        positions(schema, "", &mut all);
        let types = all.iter().filter_map(|it| schema.pointer(it));
        let named =
            types.filter_map(|it| Some((it.get("name")?.as_str()?.to_owned(), it))).collect();
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
                // One entry at most: maps have no order, and other libraries' are compared byte by byte.
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
