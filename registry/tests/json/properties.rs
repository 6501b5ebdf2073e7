//! Generated pairs of schemas: what the comparison says is never contradicted by a payload.

use std::{collections::HashMap, env};

use serde_json::Value;
use tidings_registry::{
    definition::Definition,
    finding::{Change, ContentModel, Direction, Severity, Verdict},
    json::Schema,
};

use crate::{
    generate::{Choices, changed, document, instance, value},
    golden::{bump, check_witnesses, options},
};

/// Payloads that are made for each side of a pair.
const PAYLOADS: usize = 40;

fn pairs() -> u64 {
    env::var("TIDINGS_PAIRS").ok().and_then(|pairs| pairs.parse().ok()).unwrap_or(600)
}

fn first() -> u64 {
    env::var("TIDINGS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

fn parse(document: &Value) -> Option<Schema> {
    Schema::parse(&Definition::text(document.to_string()), &[]).ok()
}

/// Which payloads hold declared properties only, where objects are open.
struct Declared<'a> {
    root: &'a Value,
    patterns: HashMap<String, jsonschema::Validator>,
    /// Whether what conditions say of values and of other properties counts as declared.
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

    /// All schemas that see what these see; `asserted`, only those that may assert something of it.
    fn in_place(&self, schemas: Vec<&'a Value>, asserted: bool) -> Vec<&'a Value> {
        let mut found: Vec<&'a Value> = Vec::new();
        let mut open = schemas;
        while let Some(schema) = open.pop() {
            if found.iter().any(|it| std::ptr::eq(*it, schema)) {
                continue;
            }
            found.push(schema);
            if let Some(Value::String(reference)) = schema.get("$ref") {
                open.extend(self.root.pointer(reference.trim_start_matches('#')));
            }
            for keyword in ["allOf", "anyOf", "oneOf"] {
                open.extend(schema.get(keyword).and_then(Value::as_array).into_iter().flatten());
            }
            let parts =
                if asserted { ["then", "else"].as_slice() } else { &["not", "if", "then", "else"] };
            open.extend(parts.iter().filter_map(|it| schema.get(*it)));
            let dependent = schema.get("dependentSchemas").and_then(Value::as_object);
            open.extend(dependent.into_iter().flat_map(|it| it.values()));
        }
        found
    }

    fn only(&mut self, asserted: Vec<&'a Value>, schemas: Vec<&'a Value>, payload: &Value) -> bool {
        let asserted = self.in_place(asserted, true);
        let schemas = self.in_place(schemas, false);
        let listing = if self.wide { &schemas } else { &asserted };
        let listed = listing.iter().any(|it| {
            let list = it.get("enum").and_then(Value::as_array);
            list.is_some_and(|list| list.contains(payload)) || it.get("const") == Some(payload)
        });
        if listed {
            return true;
        }
        match payload {
            Value::Object(members) => {
                for (name, value) in members {
                    let (mut below, mut said, mut declared) = (Vec::new(), Vec::new(), false);
                    for schema in &schemas {
                        let from = below.len();
                        if let Some(property) = schema.get("properties").and_then(|it| it.get(name))
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
                        if let Some(additional) = schema.get("additionalProperties") {
                            let open = additional.is_boolean()
                                || !self.wide
                                    && !asserted.iter().any(|it| std::ptr::eq(*it, *schema))
                                || additional.as_object().is_some_and(|it| it.is_empty());
                            declared |= !open;
                            below.push(additional);
                        }
                        if asserted.iter().any(|it| std::ptr::eq(*it, *schema)) {
                            said.extend_from_slice(&below[from..]);
                        }
                        let list = |list: Option<&Value>| {
                            list.and_then(Value::as_array)
                                .is_some_and(|list| list.iter().any(|it| it == name))
                        };
                        declared |= list(schema.get("required"));
                        let listed = schema.get("enum").and_then(Value::as_array);
                        let mut listed = listed.into_iter().flatten().chain(schema.get("const"));
                        declared |= listed.any(|it| it.get(name).is_some());
                        let dependent = schema.get("dependentRequired").and_then(Value::as_object);
                        declared |= dependent.is_some_and(|it| {
                            it.contains_key(name) || it.values().any(|it| list(Some(it)))
                        });
                        let dependent = schema.get("dependentSchemas").and_then(Value::as_object);
                        declared |= dependent.is_some_and(|it| it.contains_key(name));
                    }
                    if !declared || !self.only(said, below, value) {
                        return false;
                    }
                }
                true
            }
            Value::Array(items) => items.iter().enumerate().all(|(index, item)| {
                let (mut below, mut said) = (Vec::new(), Vec::new());
                for schema in &schemas {
                    let from = below.len();
                    let prefix = schema.get("prefixItems").and_then(|it| it.get(index));
                    below.extend(prefix.or(schema.get("items")));
                    below.extend(schema.get("contains"));
                    if asserted.iter().any(|it| std::ptr::eq(*it, *schema)) {
                        said.extend_from_slice(&below[from..]);
                    }
                }
                self.only(said, below, item)
            }),
            _ => true,
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    verdicts: HashMap<(ContentModelName, Verdict3), usize>,
    witnesses: usize,
    refuted_by_payload: usize,
    unproven_and_refuted: usize,
    incompatible_without_witness: usize,
    incompatible_never_seen: usize,
}

type ContentModelName = &'static str;
type Verdict3 = &'static str;

#[test]
fn no_payload_contradicts_a_verdict() {
    let mut counts = Counts::default();
    let mut wrong = Vec::new();
    let mut compared = 0;
    let mut seed = first();
    while compared < pairs() {
        seed += 1;
        let mut choices = Choices::new(seed);
        let old_text = document(&mut choices);
        let mut new_text = changed(&mut choices, &old_text);
        if choices.one_in(3) {
            new_text = changed(&mut choices, &new_text);
        }
        if choices.one_in(12) {
            new_text = document(&mut choices);
        }
        let (Some(old), Some(new)) = (parse(&old_text), parse(&new_text)) else { continue };
        compared += 1;
        for (model, name) in [(ContentModel::Strict, "STRICT"), (ContentModel::Lenient, "LENIENT")]
        {
            let comparison = old.compare(&new, options(model));
            counts.witnesses += check_witnesses(&old, &new, &comparison);
            for finding in comparison.findings.iter().filter(|it| !it.witness.is_empty()) {
                // How many properties there are and their names are judged whoever declares them.
                let any = finding.rule.contains("_PROPERTIES_") || finding.rule.contains("_NAMES_");
                let backward = finding.direction == Direction::Backward;
                let text = if backward { &old_text } else { &new_text };
                let witness = serde_json::from_str(&finding.witness).expect("JSON");
                let mut checker = Declared { wide: true, ..Declared::new(text) };
                let declared = checker.only(vec![text], vec![text], &witness);
                assert!(
                    any || declared
                        || model == ContentModel::Strict
                        || text.get("$schema").is_some(),
                    "seed {seed}: undeclared: {finding:?}\n{old_text}\n{new_text}"
                );
            }
            for direction in [Direction::Backward, Direction::Forward] {
                let backward = direction == Direction::Backward;
                let (writer, reader) = if backward { (&old, &new) } else { (&new, &old) };
                let text = if backward { &old_text } else { &new_text };
                let other = if backward { &new_text } else { &old_text };
                let verdict = comparison.verdict(direction);
                let label = match verdict {
                    Verdict::Compatible => "COMPATIBLE",
                    Verdict::Incompatible => "INCOMPATIBLE",
                    Verdict::Unproven => "UNPROVEN",
                };
                *counts.verdicts.entry((name, label)).or_default() += 1;
                let witnessed = comparison.findings.iter().any(|finding| {
                    finding.direction.includes(direction)
                        && finding.severity == Severity::Error
                        && !finding.witness.is_empty()
                });
                let mut refuted = None;
                for number in 0..PAYLOADS {
                    // Half are made for the writer, half for the reader: what both see differently is between.
                    let made_for = if number % 2 == 0 { text } else { other };
                    let mut payload = instance(&mut choices, made_for, made_for, 5);
                    if choices.one_in(8) {
                        payload = value(&mut choices, 2);
                    }
                    let json = payload.to_string();
                    if writer.validate_json(&json).is_ok()
                        && reader.validate_json(&json).is_err()
                        && (model == ContentModel::Strict
                            || text.get("$schema").is_none()
                                && Declared::new(text).only(vec![text], vec![text], &payload))
                    {
                        refuted = Some(json);
                        break;
                    }
                }
                match (verdict, refuted) {
                    (Verdict::Compatible, Some(payload)) => wrong.push(format!(
                        "seed {seed} {name} {direction:?}: {payload}\n  old {old_text}\n  new {new_text}"
                    )),
                    (Verdict::Incompatible, None) if !witnessed => {
                        counts.incompatible_without_witness += 1;
                        counts.incompatible_never_seen += 1;
                    }
                    (Verdict::Incompatible, _) if !witnessed => {
                        counts.incompatible_without_witness += 1;
                    }
                    (Verdict::Incompatible, Some(_)) => counts.refuted_by_payload += 1,
                    (Verdict::Unproven, Some(_)) => counts.unproven_and_refuted += 1,
                    _ => {}
                }
                if verdict == Verdict::Unproven && env::var_os("TIDINGS_VERBOSE").is_some() {
                    let finding = comparison.findings.iter().find(|it| {
                        it.direction.includes(direction) && it.severity == Severity::Error
                    });
                    println!(
                        "UNPROVEN seed {seed} {name} {direction:?} {:?}\n  old {old_text}\n  new {new_text}",
                        finding.map(|it| (it.rule, &it.old_path, &it.new_path))
                    );
                }
            }
        }
    }
    println!("{compared} pairs, {} contradicted: {counts:?}", wrong.len());
    assert!(
        wrong.is_empty(),
        "{} contradicted\n{}",
        wrong.len(),
        wrong[..wrong.len().min(8)].join("\n")
    );
}

#[test]
fn a_schema_is_compatible_with_itself_however_it_is_written() {
    for seed in 0..pairs().min(2000) {
        let mut choices = Choices::new(seed);
        let text = document(&mut choices);
        let Some(schema) = parse(&text) else { continue };
        let spaced = serde_json::to_string_pretty(&text).expect("JSON").replace(": 1,", ": 1.0,");
        let again = Schema::parse(&Definition::text(spaced), &[]).expect("the same");
        assert_eq!(schema.canonical(), again.canonical(), "{text}");
        let mut titled = text.clone();
        if let Value::Object(members) = &mut titled {
            members.insert("title".into(), "t".into());
        }
        for model in [ContentModel::Strict, ContentModel::Lenient] {
            let same = schema.compare(&again, options(model));
            assert_eq!(same.change, Change::None, "{text}");
            assert!(same.findings.is_empty(), "{text}");
            let titled = schema.compare(&parse(&titled).expect("the same"), options(model));
            let expected = if text.is_object() { "PATCH" } else { "NONE" };
            assert_eq!(bump(&titled), expected, "{text} {:?}", titled.findings);
        }
    }
}

#[test]
fn bumps_along_a_chain_bound_the_bump_across_it() {
    let rank = |bump: &str| ["NONE", "PATCH", "MINOR", "MAJOR"].iter().position(|it| *it == bump);
    let mut chains = 0;
    for seed in 0..pairs() * 4 {
        let mut choices = Choices::new(seed + 1_000_000);
        let one = document(&mut choices);
        let two = changed(&mut choices, &one);
        let three = changed(&mut choices, &two);
        let (Some(a), Some(b), Some(c)) = (parse(&one), parse(&two), parse(&three)) else {
            continue;
        };
        let strict = options(ContentModel::Strict);
        let bumps = [a.compare(&b, strict), b.compare(&c, strict), a.compare(&c, strict)];
        let [first, second, across] = bumps.each_ref().map(bump);
        if first == "MAJOR" || second == "MAJOR" {
            continue;
        }
        chains += 1;
        let proven = bumps[2].findings.iter().any(|it| it.severity == Severity::Error && it.proven);
        // Not proven across is possible: the two steps are smaller than the one.
        assert!(!proven, "seed {seed}: {one}\n{two}\n{three}");
        let unproven = across == "MAJOR";
        assert!(unproven || rank(across) <= rank(first).max(rank(second)), "{one}\n{two}\n{three}");
    }
    println!("{chains} chains");
}
