//! Schemas, changes to them, and payloads, by chance and yet the same for the same seed.

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

/// Makes schemas whose types have names of their own.
pub struct Maker<'r> {
    rng: &'r mut Rng,
    names: usize,
    /// Whether types are in namespaces.
    namespaced: bool,
    /// The namespaces around the type that is being made.
    spaces: Vec<String>,
    /// Full names of the records around it.
    around: Vec<String>,
    /// Full names of the types before it.
    before: Vec<String>,
}

/// A schema: most often a record.
pub fn schema(rng: &mut Rng) -> Value {
    // A name may stand before the branch that declares it; then another one is drawn.
    for _ in 0..100 {
        let made = draw(rng);
        if crate::pairs::parse(&made).is_some() {
            return made;
        }
    }
    panic!("100 schemas in a row that are none")
}

fn draw(rng: &mut Rng) -> Value {
    let namespaced = rng.once_in(3);
    let mut maker = Maker { namespaced, ..Maker::new(rng, 0) };
    if maker.rng.once_in(8) { maker.of(3) } else { maker.record(3) }
}

pub fn logical(rng: &mut Rng, base: &str, name: &str) -> Value {
    if name == "decimal" {
        let precision = 4 + rng.below(3);
        json!({"type": base, "logicalType": name, "precision": precision, "scale": rng.below(3)})
    } else {
        json!({"type": base, "logicalType": name})
    }
}

impl<'r> Maker<'r> {
    /// Whose names have numbers behind this one.
    pub fn new(rng: &'r mut Rng, names: usize) -> Self {
        let (spaces, around, before) = (Vec::new(), Vec::new(), Vec::new());
        Self { rng, names, namespaced: false, spaces, around, before }
    }

    /// A type of a kind with a new name, in a namespace or in that around it; and its full name.
    fn named(&mut self, kind: &str, letter: &str) -> (Value, String) {
        self.names += 1;
        let short = format!("{letter}{}", self.names);
        let mut made = json!({"type": kind, "name": short});
        if self.rng.once_in(8) {
            made["aliases"] = json!([format!("{short}y")]);
        }
        let around = self.spaces.last().cloned().unwrap_or_default();
        if !self.namespaced || (!around.is_empty() && !self.rng.once_in(4)) {
            let full = if around.is_empty() { short } else { format!("{around}.{short}") };
            return (made, full);
        }
        let space = *self.rng.pick(&["n", "m", "n.m"]);
        let full = format!("{space}.{short}");
        if self.rng.once_in(2) {
            made["name"] = json!(full);
        } else {
            made["namespace"] = json!(space);
        }
        (made, full)
    }

    pub fn of(&mut self, depth: usize) -> Value {
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
            12 if !self.before.is_empty() => {
                let before = self.before.clone();
                json!(self.rng.pick(&before))
            }
            _ => self.record(depth - 1),
        }
    }

    fn enumeration(&mut self) -> Value {
        let count = 1 + self.rng.below(4);
        let symbols: Vec<_> = ["A", "B", "C", "D"].into_iter().take(count).collect();
        let (mut made, full) = self.named("enum", "E");
        made["symbols"] = json!(symbols);
        if self.rng.once_in(4) {
            made["default"] = json!("A");
        }
        self.before.push(full);
        made
    }

    fn fixed(&mut self) -> Value {
        let size = *self.rng.pick(&[1, 4, 12, 16]);
        let (mut made, full) = self.named("fixed", "F");
        made["size"] = json!(size);
        match (size, self.rng.below(3)) {
            (12, 0) => made["logicalType"] = json!("duration"),
            (16, 0) => made["logicalType"] = json!("uuid"),
            (4, 0) => {
                made["logicalType"] = json!("decimal");
                made["precision"] = json!(6);
            }
            _ => {}
        }
        self.before.push(full);
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
        let primitives = branches.len();
        for _ in 0..self.rng.below(3) {
            branches.push(match self.rng.below(3) {
                0 => self.enumeration(),
                1 => self.fixed(),
                _ => self.record(depth.min(1)),
            });
        }
        match self.rng.below(6) {
            0 => branches.push(json!({"type": "array", "items": self.of(0)})),
            1 => branches.push(json!({"type": "map", "values": self.of(0)})),
            _ => {}
        }
        // The others may refer to one another, and keep their order.
        if self.rng.once_in(3) {
            branches.rotate_left(primitives);
        }
        Value::Array(branches)
    }

    fn record(&mut self, depth: usize) -> Value {
        let (mut made, full) = self.named("record", "R");
        let space = full.rsplit_once('.').map_or("", |(space, _)| space);
        self.spaces.push(space.to_owned());
        self.around.push(full.clone());
        let count = self.rng.below(5);
        let fields: Vec<_> =
            (0..count).map(|index| self.field(&format!("f{index}"), depth)).collect();
        self.around.pop();
        self.spaces.pop();
        made["fields"] = json!(fields);
        self.before.push(full);
        made
    }

    pub fn field(&mut self, name: &str, depth: usize) -> Value {
        let of = self.of(depth);
        let mut field = json!({"name": name, "type": of});
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

/// A default of a type; none where it takes too much.
pub fn default(rng: &mut Rng, of: &Value) -> Option<Value> {
    match of {
        // The first branch nearly always, as older versions of the specification want it.
        Value::Array(branches) if rng.once_in(8) => {
            let branch = rng.below(branches.len());
            default(rng, branches.get(branch)?)
        }
        Value::Array(branches) => default(rng, branches.first()?),
        Value::String(name) => primitive_default(rng, name),
        _ => match of["type"].as_str()? {
            "array" if rng.once_in(3) => Some(json!([default(rng, &of["items"])?])),
            "array" => Some(json!([])),
            "map" if rng.once_in(3) => Some(json!({"k": default(rng, &of["values"])?})),
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
        "float" | "double" => rng.pick(&[json!(0.5), json!(-2.0), json!(3)]).clone(),
        "bytes" => json!(*rng.pick(&["d", "", "\u{ff}\u{0}"])),
        "string" => json!(*rng.pick(&["d", "", "\u{1f600}\"\\"])),
        _ => return None,
    })
}

/// Pointers to every type of a schema.
pub fn positions(of: &Value, pointer: &str, out: &mut Vec<String>) {
    out.push(pointer.into());
    for (inner, value) in parts(of) {
        positions(value, &format!("{pointer}{inner}"), out);
    }
}

/// The types that a type is made of, with where they are in it.
fn parts(of: &Value) -> Vec<(String, &Value)> {
    if let Value::Array(branches) = of {
        let branches = branches.iter().enumerate();
        return branches.map(|(index, it)| (format!("/{index}"), it)).collect();
    }
    match of["type"].as_str() {
        Some("array") => vec![("/items".into(), &of["items"])],
        Some("map") => vec![("/values".into(), &of["values"])],
        Some("record") => {
            let fields = of["fields"].as_array().into_iter().flatten().enumerate();
            fields.map(|(index, it)| (format!("/fields/{index}/type"), &it["type"])).collect()
        }
        _ => Vec::new(),
    }
}

/// Full names of the types that a schema defines, with pointers to them.
pub fn full_names(schema: &Value) -> Vec<(String, String)> {
    fn visit(of: &Value, pointer: &str, around: &str, out: &mut Vec<(String, String)>) {
        let full = full_name(of, around);
        out.extend(full.as_ref().map(|full| (pointer.to_owned(), full.clone())));
        for (inner, value) in parts(of) {
            visit(value, &format!("{pointer}{inner}"), inside(full.as_deref(), around), out);
        }
    }
    let mut out = Vec::new();
    visit(schema, "", "", &mut out);
    out
}

/// Whether it names a type without a namespace from inside one. Java finds that, and the other
/// libraries do not.
pub fn needs_java(schema: &Value) -> bool {
    fn visit(of: &Value, around: &str, names: &[(String, String)]) -> bool {
        if let Value::String(name) = of {
            let is_short = !PRIMITIVES.contains(&name.as_str()) && !name.contains('.');
            let full = format!("{around}.{name}");
            return is_short && !around.is_empty() && !names.iter().any(|(_, it)| *it == full);
        }
        let full = full_name(of, around);
        let inside = inside(full.as_deref(), around);
        parts(of).into_iter().any(|(_, value)| visit(value, inside, names))
    }
    visit(schema, "", &full_names(schema))
}

/// The full name of a type that has one.
fn full_name(of: &Value, around: &str) -> Option<String> {
    let name = of.get("name")?.as_str()?;
    let space = of.get("namespace").and_then(Value::as_str).unwrap_or(around);
    let is_full = name.contains('.') || space.is_empty();
    Some(if is_full { name.to_owned() } else { format!("{space}.{name}") })
}

/// The namespace inside of a type.
fn inside<'a>(full: Option<&'a str>, around: &'a str) -> &'a str {
    full.map_or(around, |full| full.rsplit_once('.').map_or("", |(space, _)| space))
}
