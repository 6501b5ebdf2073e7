//! Generated pairs of schemas: no payload contradicts a verdict.

use std::{
    collections::{BTreeMap, HashMap},
    env, fmt,
    num::NonZero,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use serde_json::{Value, json};
use tidings_schema::{
    definition::Definition,
    finding::{Change, ContentModel, Direction, Severity, Verdict},
    json::Schema,
};

use crate::{
    generate::{Choices, Pair, changed, document, instance, pair, value},
    golden::{bump, check_counterexamples, is_shown, options},
};

/// Payloads for each side of a pair.
const PAYLOADS: usize = 40;
/// Comparisons that shrinking a pair may take.
const SHRINKS_MAX: usize = 3_000;

fn pairs() -> u64 {
    env::var("TIDINGS_PAIRS").ok().and_then(|pairs| pairs.parse().ok()).unwrap_or(2_000)
}

fn first() -> u64 {
    env::var("TIDINGS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

fn parse(document: &Value) -> Option<Schema> {
    Schema::parse(&Definition::text(document.to_string()), &[]).ok()
}

/// Determines whether payloads have only declared properties where objects are open.
struct Declared<'a> {
    root: &'a Value,
    patterns: HashMap<String, jsonschema::Validator>,
    /// Properties that only conditions or unevaluated keywords mention count as declared.
    wide: bool,
}

impl<'a> Declared<'a> {
    fn new(root: &'a Value) -> Self {
        Self { root, patterns: HashMap::new(), wide: false }
    }

    fn matches(&mut self, pattern: &str, name: &str) -> bool {
        let build = || {
            jsonschema::validator_for(&serde_json::json!({ "pattern": pattern })).expect("a schema")
        };
        let validator = self.patterns.entry(pattern.to_owned()).or_insert_with(build);
        validator.is_valid(&Value::from(name))
    }

    /// All schemas that apply to the same instance. `asserted`: only those that may assert
    /// something.
    fn in_place(&self, schemas: Vec<&'a Value>, asserted: bool) -> Vec<&'a Value> {
        let mut applicable: Vec<&'a Value> = Vec::new();
        let mut open = schemas;
        while let Some(schema) = open.pop() {
            if applicable.iter().any(|other| std::ptr::eq(*other, schema)) {
                continue;
            }
            applicable.push(schema);
            if let Some(Value::String(reference)) = schema.get("$ref") {
                open.extend(self.root.pointer(reference.trim_start_matches('#')));
            }
            for keyword in ["allOf", "anyOf", "oneOf"] {
                open.extend(schema.get(keyword).and_then(Value::as_array).into_iter().flatten());
            }
            let conditionals =
                if asserted { ["then", "else"].as_slice() } else { &["not", "if", "then", "else"] };
            open.extend(conditionals.iter().filter_map(|keyword| schema.get(*keyword)));
            let dependent = schema.get("dependentSchemas").and_then(Value::as_object);
            open.extend(dependent.into_iter().flat_map(|schemas| schemas.values()));
        }
        applicable
    }

    fn only(&mut self, asserted: Vec<&'a Value>, schemas: Vec<&'a Value>, payload: &Value) -> bool {
        let asserted = self.in_place(asserted, true);
        let schemas = self.in_place(schemas, false);
        let listing = if self.wide { &schemas } else { &asserted };
        let listed = listing.iter().any(|schema| {
            let list = schema.get("enum").and_then(Value::as_array);
            list.into_iter().flatten().chain(schema.get("const")).any(|value| equal(value, payload))
        });
        if listed {
            return true;
        }
        match payload {
            Value::Object(members) => {
                for (name, value) in members {
                    let (mut below, mut asserted_below, mut declared) =
                        (Vec::new(), Vec::new(), false);
                    for schema in &schemas {
                        let from = below.len();
                        if let Some(property) =
                            schema.get("properties").and_then(|properties| properties.get(name))
                        {
                            declared = true;
                            below.push(property);
                        }
                        let patterns = schema.get("patternProperties").and_then(Value::as_object);
                        for (pattern, schema) in patterns.into_iter().flatten() {
                            if self.matches(pattern, name) {
                                declared = true;
                                below.push(schema);
                            }
                        }
                        // `additionalProperties` does not apply to matched properties.
                        let additional = self.wide || below.len() == from;
                        let rest = [
                            schema.get("additionalProperties").filter(|_| additional),
                            schema.get("unevaluatedProperties").filter(|_| self.wide),
                        ];
                        for subschema in rest.into_iter().flatten() {
                            let open = subschema.is_boolean()
                                || !self.wide
                                    && !asserted
                                        .iter()
                                        .any(|applicable| std::ptr::eq(*applicable, *schema))
                                || subschema.as_object().is_some_and(|members| members.is_empty());
                            declared |= !open;
                            below.push(subschema);
                        }
                        if asserted.iter().any(|applicable| std::ptr::eq(*applicable, *schema)) {
                            asserted_below.extend_from_slice(&below[from..]);
                        }
                        let list = |list: Option<&Value>| {
                            list.and_then(Value::as_array)
                                .is_some_and(|list| list.iter().any(|entry| entry == name))
                        };
                        declared |= list(schema.get("required"));
                        let listed = schema.get("enum").and_then(Value::as_array);
                        let mut listed = listed.into_iter().flatten().chain(schema.get("const"));
                        declared |= listed.any(|value| value.get(name).is_some());
                        let dependent = schema.get("dependentRequired").and_then(Value::as_object);
                        declared |= dependent.is_some_and(|dependencies| {
                            dependencies.contains_key(name)
                                || dependencies.values().any(|names| list(Some(names)))
                        });
                        let dependent = schema.get("dependentSchemas").and_then(Value::as_object);
                        declared |=
                            dependent.is_some_and(|dependencies| dependencies.contains_key(name));
                    }
                    if !declared || !self.only(asserted_below, below, value) {
                        return false;
                    }
                }
                true
            }
            Value::Array(items) => items.iter().enumerate().all(|(index, item)| {
                let (mut below, mut asserted_below) = (Vec::new(), Vec::new());
                for schema in &schemas {
                    let from = below.len();
                    let prefix = schema.get("prefixItems").and_then(|items| items.get(index));
                    below.extend(prefix.or(schema.get("items")));
                    below.extend(schema.get("unevaluatedItems").filter(|_| self.wide));
                    below.extend(schema.get("contains"));
                    if asserted.iter().any(|applicable| std::ptr::eq(*applicable, *schema)) {
                        asserted_below.extend_from_slice(&below[from..]);
                    }
                }
                self.only(asserted_below, below, item)
            }),
            _ => true,
        }
    }
}

/// Counts for the output.
#[derive(Debug, Default)]
struct Counts {
    compared: u64,
    verdicts: BTreeMap<(&'static str, &'static str), usize>,
    counterexamples: usize,
    /// Incompatible and unproven verdicts without a counterexample, by rule.
    unshown: BTreeMap<(&'static str, &'static str), usize>,
    /// Those that a random payload proves.
    shown_by_chance: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.counterexamples += other.counterexamples;
        self.shown_by_chance += other.shown_by_chance;
        for (key, count) in other.verdicts {
            *self.verdicts.entry(key).or_default() += count;
        }
        for (key, count) in other.unshown {
            *self.unshown.entry(key).or_default() += count;
        }
    }
}

/// A verdict of COMPATIBLE, and a payload that is valid for the writer and not for the reader.
#[derive(Clone)]
struct Contradiction {
    seed: u64,
    model: ContentModel,
    direction: Direction,
    old: Value,
    new: Value,
    payload: Value,
}

/// The values that are shrunk.
const SHRUNK: [fn(&mut Contradiction) -> &mut Value; 3] = [
    |contradiction| &mut contradiction.old,
    |contradiction| &mut contradiction.new,
    |contradiction| &mut contradiction.payload,
];

impl Contradiction {
    /// Whether it still contradicts the verdict.
    fn holds(&self) -> bool {
        let (Some(old), Some(new)) = (parse(&self.old), parse(&self.new)) else { return false };
        let backward = self.direction == Direction::Backward;
        let (writer, reader) = if backward { (&old, &new) } else { (&new, &old) };
        let text = if backward { &self.old } else { &self.new };
        let json = self.payload.to_string();
        writer.validate_json(&json).is_ok()
            && reader.validate_json(&json).is_err()
            && (self.model == ContentModel::Strict
                || Declared::new(text).only(vec![text], vec![text], &self.payload))
            && old.compare(&new, options(self.model)).verdict(self.direction) == Verdict::Compatible
    }

    /// Shrinks by removing one part after the other.
    fn shrunk(mut self) -> Self {
        let mut left = SHRINKS_MAX;
        loop {
            let before = self.clone();
            for field in SHRUNK {
                let mut index = 0;
                while left > 0 {
                    left -= 1;
                    let mut smaller = self.clone();
                    let Some(value) = without(field(&mut smaller), index) else { break };
                    *field(&mut smaller) = value;
                    if smaller.holds() {
                        self = smaller;
                    } else {
                        index += 1;
                    }
                }
            }
            if left == 0
                || (&self.old, &self.new, &self.payload)
                    == (&before.old, &before.new, &before.payload)
            {
                return self;
            }
        }
    }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, model, direction, old, new, payload } = self;
        write!(
            f,
            "seed {seed}, {model:?}, {direction:?}: COMPATIBLE, refuted by {payload}\n  previous.json {old}\n  \
             current.json {new}"
        )
    }
}

/// Equality of JSON Schema: `1` and `1.0` are equal.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, value)| right.get(name).is_some_and(|right| equal(value, right)))
        }
        _ => left == right,
    }
}

/// A value without its n-th part, or `None` if it has fewer parts.
fn without(value: &Value, index: usize) -> Option<Value> {
    fn take(value: &mut Value, left: &mut usize) -> bool {
        let simple = match value {
            Value::Object(members) => {
                let names: Vec<_> = members.keys().cloned().collect();
                for name in names {
                    if *left == 0 {
                        members.remove(&name);
                        return true;
                    }
                    *left -= 1;
                }
                if members.values_mut().any(|value| take(value, left)) {
                    return true;
                }
                Value::Bool(true)
            }
            Value::Array(items) => {
                if *left < items.len() {
                    items.remove(*left);
                    return true;
                }
                *left -= items.len();
                return items.iter_mut().any(|value| take(value, left));
            }
            Value::Number(number) if number.as_f64().is_some_and(|number| number.abs() > 1.0) => {
                json!(1)
            }
            Value::String(text) if text.len() > 1 => {
                Value::from(&text[..text.chars().next().map_or(0, char::len_utf8)])
            }
            _ => return false,
        };
        if *left == 0 {
            *value = simple;
            return true;
        }
        *left -= 1;
        false
    }
    let (mut smaller, mut left) = (value.clone(), index);
    take(&mut smaller, &mut left).then_some(smaller)
}

/// Compares the pair of a seed and draws payloads. Returns `None` if one of the two is not a
/// schema.
fn judge(seed: u64, counts: &mut Counts) -> Option<Vec<Contradiction>> {
    let mut choices = Choices::new(seed);
    let Pair { old: old_text, new: new_text, plain } = pair(&mut choices);
    let (old, new) = (parse(&old_text)?, parse(&new_text)?);
    counts.compared += 1;
    let mut wrong = Vec::new();
    for (model, name) in [(ContentModel::Strict, "STRICT"), (ContentModel::Lenient, "LENIENT")] {
        let comparison = old.compare(&new, options(model));
        counts.counterexamples += check_counterexamples(&old, &new, &comparison);
        let texts = |direction| match direction {
            Direction::Backward => (&old_text, &new_text),
            _ => (&new_text, &old_text),
        };
        for finding in &comparison.findings {
            let Some(shown) = finding
                .counterexample
                .as_ref()
                .filter(|counterexample| !counterexample.payload.is_empty())
            else {
                continue;
            };
            // The number and the names of properties are compared whether or not they are declared.
            let is_exempt =
                finding.rule.contains("_PROPERTIES_") || finding.rule.contains("_NAMES_");
            let (text, _) = texts(finding.direction);
            let payload = serde_json::from_str(&shown.payload).expect("JSON");
            let mut checker = Declared { wide: true, ..Declared::new(text) };
            let declared = checker.only(vec![text], vec![text], &payload);
            let is_checked =
                plain && model == ContentModel::Lenient && text.get("$schema").is_none();
            assert!(
                is_exempt || declared || !is_checked,
                "seed {seed}: undeclared: {finding:?}\n{old_text}\n{new_text}"
            );
        }
        for direction in [Direction::Backward, Direction::Forward] {
            let (text, reader_text) = texts(direction);
            let (writer, reader) =
                if direction == Direction::Backward { (&old, &new) } else { (&new, &old) };
            let verdict = comparison.verdict(direction);
            let label = match verdict {
                Verdict::Compatible => "COMPATIBLE",
                Verdict::Incompatible => "INCOMPATIBLE",
                Verdict::Unproven => "UNPROVEN",
            };
            *counts.verdicts.entry((name, label)).or_default() += 1;
            assert!(
                verdict != Verdict::Incompatible || is_shown(&comparison, direction),
                "seed {seed}, {model:?}, {direction:?}: refused without a counterexample: {:?}\n\
                 {old_text}\n{new_text}",
                comparison.findings
            );
            let errors = comparison.findings.iter().filter(|finding| {
                finding.direction.includes(direction) && finding.severity == Severity::Error
            });
            let unshown = verdict != Verdict::Compatible
                && !errors.clone().any(|finding| finding.counterexample.is_some());
            if unshown {
                errors.for_each(|finding| {
                    *counts.unshown.entry((label, finding.rule)).or_default() += 1
                });
            }
            if !unshown && verdict != Verdict::Compatible {
                continue;
            }
            let lenient = plain && text.get("$schema").is_none();
            if model == ContentModel::Lenient && !lenient {
                continue;
            }
            for number in 0..PAYLOADS {
                // Half are generated for the writer and half for the reader, to hit the
                // differences.
                let made_for = if number % 2 == 0 { text } else { reader_text };
                let mut payload = instance(&mut choices, made_for, made_for, 5);
                if choices.one_in(8) {
                    payload = value(&mut choices, 2);
                }
                let json = payload.to_string();
                if writer.validate_json(&json).is_err()
                    || reader.validate_json(&json).is_ok()
                    || model == ContentModel::Lenient
                        && !Declared::new(text).only(vec![text], vec![text], &payload)
                {
                    continue;
                }
                if unshown {
                    counts.shown_by_chance += 1;
                } else {
                    let (old, new) = (old_text.clone(), new_text.clone());
                    wrong.push(Contradiction { seed, model, direction, old, new, payload });
                }
                break;
            }
        }
    }
    Some(wrong)
}

/// `TIDINGS_PAIRS=100000 TIDINGS_SEED=1 cargo test --release -p tidings-schema --test json
/// no_payload_contradicts -- --nocapture`
#[test]
fn no_payload_contradicts_a_verdict() {
    let next = AtomicU64::new(first());
    let end = first() + pairs();
    let (counts, wrong) = (Mutex::new(Counts::default()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                let mut own = Counts::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    // A seed without a valid pair continues with seeds that no other pair has.
                    let seeds = (0..20).map(|number| seed + number * 1_000_000_007);
                    let contradictions = seeds.into_iter().find_map(|seed| judge(seed, &mut own));
                    wrong.lock().expect("not poisoned").extend(contradictions.unwrap_or_default());
                }
                counts.lock().expect("not poisoned").add(own);
            });
        }
    });
    let (counts, wrong) = (counts.into_inner().expect("done"), wrong.into_inner().expect("done"));
    println!(
        "{} pairs, {} contradicted, {} counterexamples",
        counts.compared,
        wrong.len(),
        counts.counterexamples
    );
    for ((model, verdict), count) in &counts.verdicts {
        println!("{count:>8} {model} {verdict}");
    }
    println!(
        "refused and not shown by a payload, by rule ({} shown by chance):",
        counts.shown_by_chance
    );
    for ((verdict, rule), count) in &counts.unshown {
        println!("{count:>8} {verdict} {rule}");
    }
    let count = wrong.len();
    let shrunk: Vec<_> =
        wrong.into_iter().take(8).map(|contradiction| contradiction.shrunk().to_string()).collect();
    assert!(count == 0, "{count} contradicted\n{}", shrunk.join("\n"));
    assert!(counts.compared >= pairs() * 9 / 10, "only {} pairs", counts.compared);
}

#[test]
fn a_pair_is_shrunk_to_its_contradiction() {
    let mut value = json!({"a": [1, 200, {"b": "text"}], "c": 5});
    let mut index = 0;
    while let Some(smaller) = without(&value, index) {
        if smaller.to_string().contains('b') { value = smaller } else { index += 1 }
    }
    assert_eq!(value, json!({"a": [{"b": "t"}]}));
}

#[test]
fn a_schema_is_compatible_with_itself_however_it_is_written() {
    for seed in 0..pairs().min(600) {
        let mut choices = Choices::new(seed);
        let text = document(&mut choices);
        let Some(schema) = parse(&text) else { continue };
        let spaced = serde_json::to_string_pretty(&text).expect("JSON").replace(": 1,", ": 1.0,");
        let respelled = Schema::parse(&Definition::text(spaced), &[]).expect("the same");
        assert_eq!(schema.canonical(), respelled.canonical(), "{text}");
        let mut titled = text.clone();
        if let Value::Object(members) = &mut titled {
            members.insert("title".into(), "t".into());
        }
        for model in [ContentModel::Strict, ContentModel::Lenient] {
            let unchanged = schema.compare(&respelled, options(model));
            assert_eq!(unchanged.change, Change::None, "{text}");
            assert!(unchanged.findings.is_empty(), "{text}");
            let titled = schema.compare(&parse(&titled).expect("the same"), options(model));
            let expected = if text.is_object() { "PATCH" } else { "NONE" };
            assert_eq!(bump(&titled), expected, "{text} {:?}", titled.findings);
        }
    }
}

#[test]
fn bumps_along_a_chain_bound_the_bump_across_it() {
    let rank =
        |bump: &str| ["NONE", "PATCH", "MINOR", "MAJOR"].iter().position(|name| *name == bump);
    let mut chains = 0;
    for seed in 0..pairs().min(600) * 4 {
        let mut choices = Choices::new(seed + 1_000_000);
        let first_text = document(&mut choices);
        let second_text = changed(&mut choices, &first_text);
        let third_text = changed(&mut choices, &second_text);
        let (Some(a), Some(b), Some(c)) =
            (parse(&first_text), parse(&second_text), parse(&third_text))
        else {
            continue;
        };
        let strict = options(ContentModel::Strict);
        let bumps = [a.compare(&b, strict), b.compare(&c, strict), a.compare(&c, strict)];
        let [first, second, across] = bumps.each_ref().map(bump);
        if first == "MAJOR" || second == "MAJOR" {
            continue;
        }
        chains += 1;
        let proven = bumps[2]
            .findings
            .iter()
            .any(|finding| finding.severity == Severity::Error && finding.proven);
        // Across, the comparison may be unproven: each of the two changes is smaller.
        assert!(!proven, "seed {seed}: {first_text}\n{second_text}\n{third_text}");
        let unproven = across == "MAJOR";
        assert!(
            unproven || rank(across) <= rank(first).max(rank(second)),
            "{first_text}\n{second_text}\n{third_text}"
        );
    }
    println!("{chains} chains");
}
