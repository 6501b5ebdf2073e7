//! Random schemas, reproducible from a seed.

use serde_json::{Map, Value, json};

/// SplitMix64: a sequence of numbers determined by a seed.
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
        usize::try_from(self.next() % bound.max(1) as u64).expect("below a usize")
    }

    /// Returns true once in `times` calls on average.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

pub const PRIMITIVES: [&str; 8] =
    ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

pub const LOGICAL: [(&str, &str); 14] = [
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

/// Generates schemas whose types have unique names.
pub struct Generator<'r> {
    rng: &'r mut Rng,
    names: usize,
    /// Whether types have namespaces.
    namespaced: bool,
    /// The namespaces of the enclosing types.
    namespaces: Vec<String>,
    /// Full names of the enclosing records.
    enclosing: Vec<String>,
    /// Full names of the completed types.
    defined: Vec<String>,
}

/// Generates a valid schema, usually a record.
pub fn schema(rng: &mut Rng) -> Value {
    // A reference may precede the definition of its type; then another schema is generated.
    for _ in 0..100 {
        let schema = candidate(rng);
        if crate::pairs::parse(&schema).is_some() {
            return schema;
        }
    }
    panic!("100 invalid schemas in a row")
}

fn candidate(rng: &mut Rng) -> Value {
    let namespaced = rng.once_in(3);
    let mut generator = Generator { namespaced, ..Generator::new(rng, 0) };
    if generator.rng.once_in(8) { generator.any_type(3) } else { generator.record(3) }
}

pub fn logical(rng: &mut Rng, base: &str, name: &str) -> Value {
    if name == "decimal" {
        let precision = 4 + rng.below(3);
        json!({"type": base, "logicalType": name, "precision": precision, "scale": rng.below(3)})
    } else {
        json!({"type": base, "logicalType": name})
    }
}

impl<'r> Generator<'r> {
    /// Creates a generator of names with numbers above `names`.
    pub fn new(rng: &'r mut Rng, names: usize) -> Self {
        let (namespaces, enclosing, defined) = (Vec::new(), Vec::new(), Vec::new());
        Self { rng, names, namespaced: false, namespaces, enclosing, defined }
    }

    /// Generates a type with a new name, in its own namespace or the enclosing one. Returns it with
    /// its full name.
    fn named(&mut self, kind: &str, letter: &str) -> (Value, String) {
        self.names += 1;
        let short = format!("{letter}{}", self.names);
        let mut generated = json!({"type": kind, "name": short});
        if self.rng.once_in(8) {
            generated["aliases"] = json!([format!("{short}y")]);
        }
        let enclosing = self.namespaces.last().cloned().unwrap_or_default();
        if !self.namespaced || (!enclosing.is_empty() && !self.rng.once_in(4)) {
            let full = if enclosing.is_empty() { short } else { format!("{enclosing}.{short}") };
            return (generated, full);
        }
        let namespace = *self.rng.pick(&["n", "m", "n.m"]);
        let full = format!("{namespace}.{short}");
        if self.rng.once_in(2) {
            generated["name"] = json!(full);
        } else {
            generated["namespace"] = json!(namespace);
        }
        (generated, full)
    }

    pub fn any_type(&mut self, depth: usize) -> Value {
        let kinds = if depth == 0 { 7 } else { 15 };
        match self.rng.below(kinds) {
            0..=3 => json!(self.rng.pick(&PRIMITIVES[1..])),
            4 => {
                let (base, name) = *self.rng.pick(&LOGICAL);
                logical(self.rng, base, name)
            }
            5 => self.enumeration(),
            6 => self.fixed(),
            7 | 8 => self.union(depth - 1),
            9 => json!({"type": "array", "items": self.any_type(depth - 1)}),
            10 => json!({"type": "map", "values": self.any_type(depth - 1)}),
            11 if !self.enclosing.is_empty() => {
                let enclosing = self.enclosing.clone();
                match self.rng.below(3) {
                    0 => json!(["null", self.rng.pick(&enclosing)]),
                    1 => json!({"type": "array", "items": self.rng.pick(&enclosing)}),
                    _ => json!({"type": "map", "values": self.rng.pick(&enclosing)}),
                }
            }
            12 if !self.defined.is_empty() => {
                let defined = self.defined.clone();
                json!(self.rng.pick(&defined))
            }
            _ => self.record(depth - 1),
        }
    }

    fn enumeration(&mut self) -> Value {
        let count = 1 + self.rng.below(4);
        let symbols: Vec<_> = ["A", "B", "C", "D"].into_iter().take(count).collect();
        let (mut generated, full) = self.named("enum", "E");
        generated["symbols"] = json!(symbols);
        if self.rng.once_in(4) {
            generated["default"] = json!("A");
        }
        self.defined.push(full);
        generated
    }

    fn fixed(&mut self) -> Value {
        let size = *self.rng.pick(&[1, 4, 12, 16]);
        let (mut generated, full) = self.named("fixed", "F");
        generated["size"] = json!(size);
        match (size, self.rng.below(3)) {
            (12, 0) => generated["logicalType"] = json!("duration"),
            (16, 0) => generated["logicalType"] = json!("uuid"),
            (4, 0) => {
                generated["logicalType"] = json!("decimal");
                generated["precision"] = json!(6);
            }
            _ => {}
        }
        self.defined.push(full);
        generated
    }

    fn union(&mut self, depth: usize) -> Value {
        if self.rng.once_in(2) {
            let other = loop {
                let other = self.any_type(depth);
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
        let primitives = branches.len();
        for _ in 0..self.rng.below(3) {
            branches.push(match self.rng.below(3) {
                0 => self.enumeration(),
                1 => self.fixed(),
                _ => self.record(depth.min(1)),
            });
        }
        match self.rng.below(6) {
            0 => branches.push(json!({"type": "array", "items": self.any_type(0)})),
            1 => branches.push(json!({"type": "map", "values": self.any_type(0)})),
            _ => {}
        }
        // The other branches may refer to one another, and keep their order.
        if self.rng.once_in(3) {
            branches.rotate_left(primitives);
        }
        Value::Array(branches)
    }

    fn record(&mut self, depth: usize) -> Value {
        let (mut generated, full) = self.named("record", "R");
        let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        self.namespaces.push(namespace.to_owned());
        self.enclosing.push(full.clone());
        let count = self.rng.below(5);
        let fields: Vec<_> =
            (0..count).map(|index| self.field(&format!("f{index}"), depth)).collect();
        self.enclosing.pop();
        self.namespaces.pop();
        generated["fields"] = json!(fields);
        self.defined.push(full);
        generated
    }

    pub fn field(&mut self, name: &str, depth: usize) -> Value {
        let field_type = self.any_type(depth);
        let mut field = json!({"name": name, "type": field_type});
        if self.rng.once_in(3)
            && let Some(default) = default(self.rng, &field["type"])
        {
            field["default"] = default;
        }
        if self.rng.once_in(10) {
            field["aliases"] = json!([format!("{name}x")]);
        }
        field
    }
}

/// Generates a default of a type. Returns `None` if the type is not supported.
pub fn default(rng: &mut Rng, schema: &Value) -> Option<Value> {
    match schema {
        // Usually the first branch, as older versions of the specification require.
        Value::Array(branches) if rng.once_in(8) => {
            let branch = rng.below(branches.len());
            default(rng, branches.get(branch)?)
        }
        Value::Array(branches) => default(rng, branches.first()?),
        Value::String(name) => primitive_default(rng, name),
        _ => match schema["type"].as_str()? {
            "array" if rng.once_in(3) => Some(json!([default(rng, &schema["items"])?])),
            "array" => Some(json!([])),
            "map" if rng.once_in(3) => Some(json!({"k": default(rng, &schema["values"])?})),
            "map" => Some(json!({})),
            "enum" => schema["symbols"].get(0).cloned(),
            "fixed" => {
                let size = schema["size"].as_u64().and_then(|size| usize::try_from(size).ok())?;
                Some(json!(format!("{}\u{1}", "\0".repeat(size - 1))))
            }
            "record" => {
                let mut generated = Map::new();
                for field in schema["fields"].as_array()? {
                    generated.insert(field["name"].as_str()?.into(), default(rng, &field["type"])?);
                }
                Some(Value::Object(generated))
            }
            "string" if schema["logicalType"] == "uuid" => {
                Some(json!("00000000-0000-0000-0000-000000000000"))
            }
            "bytes" if schema["logicalType"] == "decimal" => Some(json!("\u{5}")),
            name => primitive_default(rng, name),
        },
    }
}

fn primitive_default(rng: &mut Rng, name: &str) -> Option<Value> {
    Some(match name {
        "null" => Value::Null,
        "boolean" => json!(rng.once_in(2)),
        "int" | "long" => json!(rng.below(100)),
        "float" | "double" => rng.pick(&[json!(0.5), json!(-2.0), json!(3)]).clone(),
        "bytes" => json!(*rng.pick(&["d", "", "\u{ff}\u{0}"])),
        "string" => json!(*rng.pick(&["d", "", "\u{1f600}\"\\"])),
        _ => return None,
    })
}

/// Collects pointers to all types of a schema.
pub fn pointers(schema: &Value, pointer: &str, out: &mut Vec<String>) {
    out.push(pointer.into());
    for (inner, value) in inner_types(schema) {
        pointers(value, &format!("{pointer}{inner}"), out);
    }
}

/// The types inside a type, with pointers to them.
fn inner_types(schema: &Value) -> Vec<(String, &Value)> {
    if let Value::Array(branches) = schema {
        let branches = branches.iter().enumerate();
        return branches.map(|(index, branch)| (format!("/{index}"), branch)).collect();
    }
    match schema["type"].as_str() {
        Some("array") => vec![("/items".into(), &schema["items"])],
        Some("map") => vec![("/values".into(), &schema["values"])],
        Some("record") => {
            let fields = schema["fields"].as_array().into_iter().flatten().enumerate();
            fields.map(|(index, field)| (format!("/fields/{index}/type"), &field["type"])).collect()
        }
        _ => Vec::new(),
    }
}

/// The full names of the types that a schema defines, with pointers to them.
pub fn full_names(schema: &Value) -> Vec<(String, String)> {
    fn visit(schema: &Value, pointer: &str, namespace: &str, out: &mut Vec<(String, String)>) {
        let full = full_name(schema, namespace);
        out.extend(full.as_ref().map(|full| (pointer.to_owned(), full.clone())));
        let namespace = inner_namespace(full.as_deref(), namespace);
        for (inner, value) in inner_types(schema) {
            visit(value, &format!("{pointer}{inner}"), namespace, out);
        }
    }
    let mut out = Vec::new();
    visit(schema, "", "", &mut out);
    out
}

/// Whether a type in a namespace refers to a type without one. Java resolves such references; other
/// libraries do not.
pub fn needs_java(schema: &Value) -> bool {
    fn visit(schema: &Value, namespace: &str, names: &[(String, String)]) -> bool {
        if let Value::String(name) = schema {
            let is_short = !PRIMITIVES.contains(&name.as_str()) && !name.contains('.');
            let full = format!("{namespace}.{name}");
            return is_short
                && !namespace.is_empty()
                && !names.iter().any(|(_, name)| *name == full);
        }
        let full = full_name(schema, namespace);
        let namespace = inner_namespace(full.as_deref(), namespace);
        inner_types(schema).into_iter().any(|(_, value)| visit(value, namespace, names))
    }
    visit(schema, "", &full_names(schema))
}

/// The full name of a named type.
fn full_name(schema: &Value, enclosing: &str) -> Option<String> {
    let name = schema.get("name")?.as_str()?;
    let namespace = schema.get("namespace").and_then(Value::as_str).unwrap_or(enclosing);
    let is_full = name.contains('.') || namespace.is_empty();
    Some(if is_full { name.to_owned() } else { format!("{namespace}.{name}") })
}

/// The namespace inside a type.
fn inner_namespace<'a>(full: Option<&'a str>, enclosing: &'a str) -> &'a str {
    full.map_or(enclosing, |full| full.rsplit_once('.').map_or("", |(namespace, _)| namespace))
}
