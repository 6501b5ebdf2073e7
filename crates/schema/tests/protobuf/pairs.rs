//! Random pairs of schemas: no payload contradicts a compatible verdict.
//!
//! `TIDINGS_PAIRS` sets the number of pairs.

use std::collections::BTreeMap;

use proptest::{
    prelude::any,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use prost::Message;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor};
use tidings_schema::{
    definition::Definition,
    finding::{Change, Comparison, Direction, Options, Severity, Surface, Verdict},
    protobuf::Schema,
};

use super::{
    decoding::{difference, payload},
    model::{Chance, File},
};

const PAIRS: u32 = 1_500;

/// Payloads for each direction of a pair.
const PAYLOADS: usize = 16;

pub fn pairs() -> u32 {
    std::env::var("TIDINGS_PAIRS").ok().and_then(|value| value.parse().ok()).unwrap_or(PAIRS)
}

pub fn run(test: impl Fn(u64)) {
    let config = Config {
        cases: pairs(),
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&any::<u64>(), |seed| {
        test(seed);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

pub fn parse(file: &File) -> Option<Schema> {
    let mut definition = Definition::text(file.text());
    definition.message_name = format!("t.{}", file.messages[0].name);
    Schema::parse("", &definition, &[]).ok()
}

/// Two versions of a schema.
pub fn pair(seed: u64) -> Option<(File, File)> {
    let mut chance = Chance::new(seed);
    let old = File::random(&mut chance);
    let mut new = old.clone();
    for _ in 0..=chance.below(3) {
        new.change(&mut chance);
    }
    Some((old, new))
}

/// The first payload that the reader rejects or reads differently.
fn refutation(
    writer: &MessageDescriptor,
    reader: &MessageDescriptor,
    chance: &mut Chance,
    json: bool,
) -> Option<String> {
    (0..PAYLOADS).find_map(|_| {
        let written = payload(writer, chance, 2);
        let bytes = written.encode_to_vec();
        let binary = match DynamicMessage::decode(reader.clone(), bytes.as_slice()) {
            Ok(read) => difference(&written, &read),
            Err(error) => Some(error.to_string()),
        };
        if binary.is_some() || !json {
            return binary;
        }
        let text = serde_json::to_string(&written).expect("a payload has a JSON form");
        // Unknown names are ignored, because added and removed fields are compatible.
        let options = DeserializeOptions::new().deny_unknown_fields(false);
        let mut source = serde_json::Deserializer::from_str(&text);
        match DynamicMessage::deserialize_with_options(reader.clone(), &mut source, &options) {
            Ok(read) => {
                difference(&written, &read).map(|difference| format!("{text}: {difference}"))
            }
            Err(error) => Some(format!("{text}: {error}")),
        }
    })
}

/// Whether a warning covers payloads that a strict JSON parser rejects.
pub fn warned(comparison: &Comparison) -> bool {
    let known = ["PROTOBUF_ENUM_VALUE_ADDED", "PROTOBUF_BOOL_JSON"];
    comparison.findings.iter().any(|finding| known.contains(&finding.rule))
}

#[test]
fn payloads_never_contradict_a_compatible_verdict() {
    let statistics = std::cell::RefCell::new(BTreeMap::<String, (usize, usize)>::new());
    run(|seed| {
        let Some((old_file, new_file)) = pair(seed) else { return };
        let (Some(old), Some(new)) = (parse(&old_file), parse(&new_file)) else { return };
        let (a, b) =
            (old.descriptor().expect("one message"), new.descriptor().expect("one message"));
        for surface in [Surface::Wire, Surface::WireJson] {
            let comparison = old.compare(&new, Options { surface, ..Options::default() });
            let broken = comparison.verdict(Direction::Both) != Verdict::Compatible;
            assert!(!broken || comparison.change == Change::Noticeable, "{comparison:#?}");
            for (direction, writer, reader) in
                [(Direction::Backward, &a, &b), (Direction::Forward, &b, &a)]
            {
                let json = surface == Surface::WireJson && !warned(&comparison);
                let mut chance = Chance::new(seed ^ 0x5eed);
                let refuted = refutation(writer, reader, &mut chance, json);
                let verdict = comparison.verdict(direction);
                if verdict == Verdict::Compatible {
                    assert_eq!(
                        refuted,
                        None,
                        "{surface:?} {direction:?}\n{}\n{}\n{:#?}",
                        old_file.text(),
                        new_file.text(),
                        comparison.findings
                    );
                }
                let mut statistics = statistics.borrow_mut();
                let all = statistics.entry(format!("{surface:?} {verdict:?}")).or_default();
                all.0 += 1;
                all.1 += usize::from(refuted.is_none());
                // With a single error, count the payloads that confirm its rule.
                let errors: Vec<_> = comparison
                    .findings
                    .iter()
                    .filter(|finding| {
                        finding.severity == Severity::Error && finding.direction.includes(direction)
                    })
                    .collect();
                if let [only] = errors.as_slice() {
                    let single =
                        statistics.entry(format!("{surface:?} only: {}", only.rule)).or_default();
                    single.0 += 1;
                    single.1 += usize::from(refuted.is_none());
                }
            }
        }
    });
    for (rule, (all, unrefuted)) in statistics.into_inner() {
        println!("{rule}: {all}, {unrefuted} without a refutation");
    }
}

#[test]
fn a_chain_never_needs_a_larger_bump_than_its_steps() {
    run(|seed| {
        let mut chance = Chance::new(seed);
        let mut files = vec![File::random(&mut chance)];
        for _ in 0..2 {
            let mut next = files[files.len() - 1].clone();
            next.change(&mut chance);
            files.push(next);
        }
        let schemas: Option<Vec<Schema>> = files.iter().map(parse).collect();
        let Some([a, b, c]) = schemas.as_deref() else { return };
        let bump = |old: &Schema, new: &Schema, history: &[&Schema]| {
            let options = Options::default();
            let comparison = old.compare(new, options);
            let findings = tidings_schema::protobuf::ledger(history, new, options);
            let broken =
                comparison.verdict(Direction::Both) != Verdict::Compatible || !findings.is_empty();
            if comparison.change != Change::None && broken { 3 } else { comparison.change as usize }
        };
        let (first, second) = (bump(a, b, &[a]), bump(b, c, &[a, b]));
        if first.max(second) < 3 {
            let texts: Vec<String> = files.iter().map(File::text).collect();
            // A rename followed by a replacement is recognised only if each step is compared
            // separately.
            let comparison = a.compare(c, Options::default());
            let replaced =
                comparison.findings.iter().any(|finding| finding.rule.ends_with("_REPLACED"));
            let direct = bump(a, c, &[a]);
            assert!(
                direct <= first.max(second) || replaced,
                "{}\n{comparison:#?}",
                texts.join("\n")
            );
        }
    });
}

#[test]
fn order_and_layout_do_not_change_the_canonical_form() {
    run(|seed| {
        let mut chance = Chance::new(seed);
        let file = File::random(&mut chance);
        let Some(schema) = parse(&file) else { return };
        let itself = schema.compare(&schema, Options::default());
        assert_eq!((itself.change, itself.findings), (Change::None, Vec::new()));
        let mut shuffled = file.clone();
        for message in &mut shuffled.messages {
            let by = chance.below(message.fields.len());
            message.fields.rotate_left(by);
        }
        // The first value of an open enum must be zero; the others have no order.
        for kind in &mut shuffled.enums {
            kind.values[1..].reverse();
        }
        shuffled.enums.reverse();
        for message in &mut shuffled.messages {
            for field in &mut message.fields {
                if let super::model::Type::Enum(at) = &mut field.kind {
                    *at = file.enums.len() - 1 - *at;
                }
            }
        }
        let text = shuffled.text().replace(";\n", "; // A comment.\n\n").replace("  ", "\t");
        let mut definition = Definition::text(text);
        definition.message_name = "t.M0".to_owned();
        let other = Schema::parse("", &definition, &[]).expect("it is the same schema");
        assert_eq!(
            String::from_utf8(schema.canonical()),
            String::from_utf8(other.canonical()),
            "{}",
            file.text()
        );
    });
}
