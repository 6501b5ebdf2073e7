//! What holds for all schemas, looked at with many.

use std::{env, ops::Range};

use serde_json::{Value, json};
use tidings_schema::{
    avro::Schema,
    definition::{Definition, Violation},
    finding::{Change, Direction, Verdict},
};

use crate::{
    draw::Payloads,
    generate::{self, Rng, needs_java},
    mutate::mutate,
};

/// The seeds of the pairs: `TIDINGS_PAIRS` says how many, `TIDINGS_SEED` the first.
pub fn seeds() -> Range<u64> {
    let setting = |name: &str, default| {
        env::var(name).map_or(default, |it| it.parse().unwrap_or_else(|_| panic!("{name}: {it}")))
    };
    let first = setting("TIDINGS_SEED", 0);
    first..first + setting("TIDINGS_PAIRS", PAIRS)
}

/// Pairs of a usual run.
const PAIRS: u64 = 2_000;

pub fn parse(schema: &Value) -> Option<Schema> {
    Schema::parse(&Definition::text(schema.to_string()), &[]).ok()
}

/// Two versions of a schema, and both parsed. None: the change made something that is no schema, or that not all
/// libraries read.
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

/// The same schema, written by somebody else.
fn respelled(rng: &mut Rng, of: &Value) -> Value {
    match of {
        Value::Array(items) => items.iter().map(|it| respelled(rng, it)).collect(),
        Value::Object(entries) => {
            let mut made = serde_json::Map::new();
            for (key, value) in entries {
                let value = match key.as_str() {
                    "type" | "items" | "values" | "fields" => respelled(rng, value),
                    _ => value.clone(),
                };
                made.insert(key.clone(), value);
            }
            Value::Object(made)
        }
        Value::String(name) if rng.once_in(2) && Payloads::is_primitive(name) => {
            json!({ "type": name })
        }
        other => other.clone(),
    }
}

#[test]
fn a_schema_is_itself_however_it_is_spelled() {
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let made = generate::schema(&mut rng);
        let schema = parse(&made).unwrap_or_else(|| panic!("{seed}: {made}"));
        let text = serde_json::to_string_pretty(&respelled(&mut rng, &made)).unwrap();
        let again = Schema::parse(&Definition::text(&text), &[])
            .unwrap_or_else(|error| panic!("{seed}: {error}: {text}"));
        let canonical = String::from_utf8(schema.canonical()).unwrap();
        assert_eq!(canonical, String::from_utf8(again.canonical()).unwrap(), "{seed}: {made}");
        let comparison = schema.compare(&again);
        assert_eq!(comparison.change, Change::None, "{seed}: {made}");
        assert_eq!(comparison.verdict(Direction::Both), Verdict::Compatible, "{seed}: {made}");
    }
}

#[test]
fn swapped_pairs_swap_the_directions() {
    for seed in seeds() {
        let Some((old, new, before, after)) = pair(seed) else { continue };
        let (there, back) = (before.compare(&after), after.compare(&before));
        for it in &there.findings {
            let Some(shown) = &it.counterexample else { continue };
            let writer = if it.direction == Direction::Forward { &after } else { &before };
            let valid = writer.validate_json(&shown.payload);
            assert_eq!(valid, Ok(()), "{seed}: {it:?}: {old} -> {new}");
        }
        for direction in [Direction::Backward, Direction::Forward] {
            assert_eq!(
                there.verdict(direction),
                back.verdict(direction.swapped()),
                "{seed}: {old} -> {new}"
            );
        }
    }
}

#[test]
fn payloads_are_values_of_their_schema_and_pieces_are_not() {
    let mut checked = 0;
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let made = generate::schema(&mut rng);
        let schema = parse(&made).unwrap_or_else(|| panic!("{seed}: {made}"));
        let payloads = Payloads::new(&made);
        for _ in 0..5 {
            let Some(payload) = payloads.make(&mut rng) else { continue };
            let valid = schema.validate_binary(&payload);
            assert!(valid.is_ok(), "{seed}: {valid:?}: {payload:02x?}: {made}");
            let mut longer = payload.clone();
            longer.push(0);
            assert!(schema.validate_binary(&longer).is_err(), "{seed}: {longer:02x?}: {made}");
            if let Some((_, shorter)) = payload.split_last() {
                assert!(schema.validate_binary(shorter).is_err(), "{seed}: {shorter:02x?}: {made}");
            }
            checked += 1;
        }
    }
    assert!(checked > seeds().count());
}

#[test]
fn compatible_data_converts_into_data_of_the_reader() {
    let (mut compatible, mut payloads_read, mut incompatible, mut unrefuted) = (0, 0, 0, 0);
    let mut defaults_off = 0;
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
            let mut refuted = false;
            for payload in (0..20).filter_map(|_| payloads.make(&mut rng)) {
                let converted = from.convert(to, &payload);
                let say = || format!("{seed}: {old} -> {new}: {payload:02x?}: {converted:?}");
                match (&converted, verdict) {
                    (Ok(bytes), Verdict::Compatible) => {
                        // A default is a value of its type, and not always of the logical type on it.
                        let valid = to.validate_binary(bytes);
                        let off = |it: &[Violation]| {
                            it.iter().all(|it| {
                                it.message.contains("uuid") || it.message.contains("digits")
                            })
                        };
                        assert!(
                            valid.is_ok() || valid.as_ref().is_err_and(|it| off(it)),
                            "{} {valid:?}",
                            say()
                        );
                        defaults_off += usize::from(valid.is_err());
                        payloads_read += 1;
                    }
                    (Err(_), Verdict::Compatible) => panic!("{}", say()),
                    (Ok(_), _) => {}
                    (Err(_), _) => refuted = true,
                }
            }
            match verdict {
                Verdict::Compatible => compatible += 1,
                Verdict::Unproven => {}
                Verdict::Incompatible => {
                    incompatible += 1;
                    unrefuted += usize::from(!refuted);
                }
            }
        }
    }
    println!(
        "{compatible} compatible directions, {payloads_read} payloads read; {incompatible} incompatible ones, {unrefuted} of which no payload refutes"
    );
    assert!(defaults_off * 100 <= payloads_read, "{defaults_off} of {payloads_read}");
}

#[test]
fn damaged_schemas_and_payloads_are_judged_and_nothing_breaks() {
    for seed in seeds() {
        let mut rng = Rng::new(seed);
        let made = generate::schema(&mut rng);
        let text = made.to_string();
        for _ in 0..10 {
            let mut bytes = text.clone().into_bytes();
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
                Err(error) => assert!(error.faults.iter().all(|it| it.place.line > 0), "{error}"),
            }
        }
        let schema = parse(&made).unwrap_or_else(|| panic!("{seed}: {made}"));
        let Some(payload) = Payloads::new(&made).make(&mut rng) else { continue };
        for _ in 0..10 {
            let mut bytes = payload.clone();
            bytes.truncate(rng.below(bytes.len() + 1));
            bytes.extend((0..rng.below(6)).map(|_| rng.next().to_le_bytes()[0]));
            let valid = schema.validate_binary(&bytes);
            let converted = schema.convert(&schema, &bytes);
            // What is valid converts into itself, but for the shape of blocks and the spelling of numbers.
            if valid.is_ok() {
                let converted =
                    converted.unwrap_or_else(|error| panic!("{seed}: {error:?}: {made}"));
                assert_eq!(schema.validate_binary(&converted), Ok(()), "{seed}: {made}");
            }
        }
    }
}
