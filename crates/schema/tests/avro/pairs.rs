//! Properties of all schemas, checked with generated pairs.

use std::{env, ops::Range};

use serde_json::{Value, json};
use tidings_schema::{
    avro::Schema,
    definition::{Definition, Violation},
    finding::{Change, Direction, Verdict},
};

use crate::{
    generate::{self, Rng, needs_java},
    mutate::mutate,
    payload_generator::Payloads,
};

/// The seeds of the pairs: `TIDINGS_PAIRS` is their number, `TIDINGS_SEED` the first.
pub fn seeds() -> Range<u64> {
    let setting = |name: &str, default| {
        env::var(name)
            .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
    };
    let first = setting("TIDINGS_SEED", 0);
    first..first + setting("TIDINGS_PAIRS", PAIRS)
}

/// Default number of pairs.
const PAIRS: u64 = 2_000;

pub fn parse(schema: &Value) -> Option<Schema> {
    Schema::parse(&Definition::text(schema.to_string()), &[]).ok()
}

/// Generates two versions of a schema, and parses both. Returns `None` if the change is not a valid
/// schema, or not all libraries support it.
pub fn pair(seed: u64) -> Option<(Value, Value, Schema, Schema)> {
    let mut rng = Rng::new(seed);
    let old = generate::schema(&mut rng);
    let new = mutate(&mut rng, &old);
    let (parsed_old, parsed_new) = (parse(&old)?, parse(&new)?);
    if needs_java(&old) || needs_java(&new) {
        return None;
    }
    Some((old, new, parsed_old, parsed_new))
}

/// The same schema in another spelling.
fn respelled(rng: &mut Rng, schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(|branch| respelled(rng, branch)).collect(),
        Value::Object(entries) => {
            let mut respelled_entries = serde_json::Map::new();
            for (key, value) in entries {
                let value = match key.as_str() {
                    "type" | "items" | "values" | "fields" => respelled(rng, value),
                    _ => value.clone(),
                };
                respelled_entries.insert(key.clone(), value);
            }
            Value::Object(respelled_entries)
        }
        Value::String(name) if rng.once_in(2) && Payloads::is_primitive(name) => {
            json!({ "type": name })
        }
        other => other.clone(),
    }
}

#[test]
fn spelling_does_not_change_a_schema() {
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let generated = generate::schema(&mut rng);
        let schema = parse(&generated).unwrap_or_else(|| panic!("{seed}: {generated}"));
        let respelled_text =
            serde_json::to_string_pretty(&respelled(&mut rng, &generated)).unwrap();
        let other = Schema::parse(&Definition::text(&respelled_text), &[])
            .unwrap_or_else(|error| panic!("{seed}: {error}: {respelled_text}"));
        let canonical = String::from_utf8(schema.canonical()).unwrap();
        assert_eq!(canonical, String::from_utf8(other.canonical()).unwrap(), "{seed}: {generated}");
        let comparison = schema.compare(&other);
        assert_eq!(comparison.change, Change::None, "{seed}: {generated}");
        assert_eq!(comparison.verdict(Direction::Both), Verdict::Compatible, "{seed}: {generated}");
    }
}

#[test]
fn swapped_pairs_swap_the_directions() {
    for seed in seeds() {
        let Some((old, new, before, after)) = pair(seed) else { continue };
        let (comparison, swapped) = (before.compare(&after), after.compare(&before));
        for finding in &comparison.findings {
            let Some(counterexample) = &finding.counterexample else { continue };
            let writer = if finding.direction == Direction::Forward { &after } else { &before };
            let valid = writer.validate_json(&counterexample.payload);
            assert_eq!(valid, Ok(()), "{seed}: {finding:?}: {old} -> {new}");
        }
        for direction in [Direction::Backward, Direction::Forward] {
            assert_eq!(
                comparison.verdict(direction),
                swapped.verdict(direction.swapped()),
                "{seed}: {old} -> {new}"
            );
        }
    }
}

#[test]
fn complete_payloads_are_valid_and_truncated_ones_are_not() {
    let mut checked = 0;
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let generated = generate::schema(&mut rng);
        let schema = parse(&generated).unwrap_or_else(|| panic!("{seed}: {generated}"));
        let payloads = Payloads::new(&generated);
        for _ in 0..5 {
            let Some(payload) = payloads.generate(&mut rng) else { continue };
            let valid = schema.validate_binary(&payload);
            assert!(valid.is_ok(), "{seed}: {valid:?}: {payload:02x?}: {generated}");
            let mut longer = payload.clone();
            longer.push(0);
            assert!(schema.validate_binary(&longer).is_err(), "{seed}: {longer:02x?}: {generated}");
            if let Some((_, shorter)) = payload.split_last() {
                assert!(
                    schema.validate_binary(shorter).is_err(),
                    "{seed}: {shorter:02x?}: {generated}"
                );
            }
            checked += 1;
        }
    }
    assert!(checked > seeds().count());
}

#[test]
fn compatible_data_converts_to_the_reader() {
    let (mut compatible, mut payloads_read, mut incompatible, mut without_rejection) = (0, 0, 0, 0);
    let mut invalid_defaults = 0;
    for seed in seeds() {
        let Some((old, new, before, after)) = pair(seed) else { continue };
        let comparison = before.compare(&after);
        for direction in [Direction::Backward, Direction::Forward] {
            let (writer, from, to) = match direction {
                Direction::Forward => (&new, &after, &before),
                _ => (&old, &before, &after),
            };
            let verdict = comparison.verdict(direction);
            let payloads = Payloads::new(writer);
            let mut rng = Rng::new(seed);
            let mut rejected = false;
            for payload in (0..20).filter_map(|_| payloads.generate(&mut rng)) {
                let converted = from.convert(to, &payload);
                let context = || format!("{seed}: {old} -> {new}: {payload:02x?}: {converted:?}");
                match (&converted, verdict) {
                    (Ok(bytes), Verdict::Compatible) => {
                        // A default is a value of its type, but not always of its logical type.
                        let valid = to.validate_binary(bytes);
                        let is_logical = |violations: &[Violation]| {
                            violations.iter().all(|violation| {
                                violation.message.contains("uuid")
                                    || violation.message.contains("digits")
                            })
                        };
                        assert!(
                            valid.is_ok()
                                || valid.as_ref().is_err_and(|violations| is_logical(violations)),
                            "{} {valid:?}",
                            context()
                        );
                        invalid_defaults += usize::from(valid.is_err());
                        payloads_read += 1;
                    }
                    (Err(_), Verdict::Compatible) => panic!("{}", context()),
                    (Ok(_), _) => {}
                    (Err(_), _) => rejected = true,
                }
            }
            match verdict {
                Verdict::Compatible => compatible += 1,
                Verdict::Unproven => {}
                Verdict::Incompatible => {
                    incompatible += 1;
                    without_rejection += usize::from(!rejected);
                }
            }
        }
    }
    println!(
        "{compatible} compatible directions, {payloads_read} payloads read; {incompatible} incompatible directions, {without_rejection} of them without a rejected payload"
    );
    assert!(invalid_defaults * 100 <= payloads_read, "{invalid_defaults} of {payloads_read}");
}

#[test]
fn damaged_schemas_and_payloads_do_not_panic() {
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let generated = generate::schema(&mut rng);
        let json = generated.to_string();
        for _ in 0..10 {
            let mut bytes = json.clone().into_bytes();
            for _ in 0..1 + rng.below(3) {
                let at = rng.below(bytes.len());
                match rng.below(3) {
                    0 => bytes[at] = *rng.pick(b"\"[]{}:,0n\\ -."),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, *rng.pick(b"\"[]{}:,0n\\ -.")),
                }
            }
            let Ok(damaged) = String::from_utf8(bytes) else { continue };
            match Schema::parse(&Definition::text(&damaged), &[]) {
                Ok(schema) => drop(schema.canonical()),
                Err(error) => {
                    assert!(error.faults.iter().all(|fault| fault.location.line > 0), "{error}")
                }
            }
        }
        let schema = parse(&generated).unwrap_or_else(|| panic!("{seed}: {generated}"));
        let Some(payload) = Payloads::new(&generated).generate(&mut rng) else { continue };
        for _ in 0..10 {
            let mut bytes = payload.clone();
            bytes.truncate(rng.below(bytes.len() + 1));
            bytes.extend((0..rng.below(6)).map(|_| rng.next().to_le_bytes()[0]));
            let valid = schema.validate_binary(&bytes);
            let converted = schema.convert(&schema, &bytes);
            // A valid payload converts to itself, except for the layout of blocks and the encoding
            // of numbers.
            if valid.is_ok() {
                let converted =
                    converted.unwrap_or_else(|error| panic!("{seed}: {error:?}: {generated}"));
                assert_eq!(schema.validate_binary(&converted), Ok(()), "{seed}: {generated}");
            }
        }
    }
}
