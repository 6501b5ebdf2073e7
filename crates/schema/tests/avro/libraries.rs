//! Compares verdicts and conversions with those of other libraries, on generated pairs. A test
//! without its toolchain is skipped with a message; in CI it fails.

use std::collections::BTreeMap;

use serde_json::{Value, to_string_pretty};
use tidings_schema::finding::Verdict;

use crate::{
    oracle::{Oracle, Reading, Verification, hex, verify_all},
    shrink::shrink,
};

/// Rules by which we reject schemas that other libraries accept, because they ignore logical types,
/// or choose one of several fields.
const STRICTER: [&str; 7] = [
    "AVRO_DECIMAL_CHANGED",
    "AVRO_LOGICAL_TYPE_CHANGED",
    "AVRO_LOGICAL_TYPE_NARROWS",
    "AVRO_FIELD_ALIAS_SHARED",
    "AVRO_FIELD_ALIAS_IN_OTHER_NAMESPACE",
    "AVRO_NAMESPACE_CHANGED_IN_UNION",
    "AVRO_DEFAULT_NOT_OF_FIRST_BRANCH",
];

/// Missing features of the official Python reader, with the section of the specification (1.12)
/// that requires them; Java's reader has each. The oracle adds them. A feature that is no longer
/// needed fails the test: the library was fixed.
const MISSING_FEATURES: [(&str, &str); 11] = [
    (
        "a writer's union read as one of its branches",
        "schema resolution: if writer's is a union, but reader's is not",
    ),
    (
        "a branch of the same type after one that accepts it",
        "schema resolution: the first schema that matches; Java looks for the same type first",
    ),
    (
        "a promotion between bytes and string",
        "schema resolution: string is promotable to bytes, bytes is promotable to string",
    ),
    ("items of another type", "schema resolution: arrays and maps are resolved by their items"),
    ("an alias of a type", "aliases: the writer's schema is rewritten with the reader's names"),
    ("a name in another namespace", "schema resolution: both have the same (unqualified) name"),
    ("a default of the reader's enum", "enums: the default is used where a symbol is not known"),
    ("an alias of a field", "aliases: the writer's schema is rewritten with the reader's names"),
    (
        "a default of a later branch",
        "records: the default of a union is of a schema that is in the union",
    ),
    (
        "a default of bytes beyond ASCII",
        "records: a default of bytes or fixed is text, U+0000 to U+00FF for the bytes 0 to 255",
    ),
    (
        "an integer default of a floating-point type",
        "records: float and double have JSON numbers as defaults",
    ),
];

/// Rules of pairs where fastavro may choose another branch of a union. It does so even between
/// schemas that differ only in documentation.
const CHOICES: [&str; 2] = ["AVRO_BRANCH_CHOICE", "AVRO_DOC_CHANGED"];

/// Differences between a library and the expected results.
#[derive(Default)]
struct Differences {
    readings: usize,
    compatible: usize,
    payloads: usize,
    counts: BTreeMap<String, usize>,
    /// Payloads that a library read with a missing feature.
    repaired: BTreeMap<String, usize>,
}

/// The kind and the detail of a difference that fails the test.
type Fault = (String, String);

impl Differences {
    fn add(&mut self, kind: impl Into<String>) {
        *self.counts.entry(kind.into()).or_default() += 1;
    }

    /// Counts a fault, and prints the first of its kind with the smallest pair that reproduces it,
    /// in the form of a golden case.
    fn fault(
        &mut self,
        oracle: &mut Oracle,
        reading: &Reading,
        fault: Fault,
        mut faults: impl FnMut(&Reading, &Verification) -> Option<Fault>,
    ) {
        let (kind, _) = fault;
        self.add(format!("! {kind}"));
        if self.counts[&format!("! {kind}")] > 1 {
            return;
        }
        let mut detail = String::new();
        let mut reproduces = |old: &Value, new: &Value| {
            let readings = Reading::both(reading.seed, old, new);
            let readings: Vec<_> = readings
                .into_iter()
                .filter(|candidate| candidate.direction == reading.direction)
                .collect();
            let verifications = oracle.verify(&readings);
            let fault = readings
                .iter()
                .zip(&verifications)
                .find_map(|(candidate, verification)| faults(candidate, verification));
            fault.is_some_and(|(fault_kind, fault_detail)| {
                let is_same = fault_kind == kind;
                if is_same {
                    detail = fault_detail;
                }
                is_same
            })
        };
        let (old, new) = shrink(reading.old.clone(), reading.new.clone(), &mut reproduces);
        let text = |schema: &Value| to_string_pretty(schema).expect("it is JSON");
        println!("TIDINGS_SEED={}: {kind}, {:?}", reading.seed, reading.direction);
        println!("--- previous.avsc\n{}\n--- current.avsc\n{}", text(&old), text(&new));
        println!("--- {detail}\n");
    }

    fn finish(&self, name: &str) {
        let Self { readings, compatible, payloads, .. } = self;
        println!("{name}: {readings} readings ({compatible} compatible), {payloads} payloads");
        for (kind, count) in self.counts.iter().chain(&self.repaired) {
            println!("{count:8} {kind}");
        }
        let faults: Vec<_> =
            self.counts.keys().filter(|difference| difference.starts_with('!')).collect();
        assert!(faults.is_empty(), "{name}: {faults:?}");
    }
}

/// The first difference between what a library read and our conversions.
fn misread(
    reading: &Reading,
    verification: &Verification,
    is_choice: impl Fn(&Reading) -> bool,
) -> Option<Fault> {
    if let Some(reason) = &verification.refused {
        return Some(("rejected as a schema".into(), reason.clone()));
    }
    if reading.verdict != Verdict::Compatible {
        return None;
    }
    reading.payloads.iter().zip(&verification.read).find_map(|(payload, read)| {
        let ours = reading.parsed.0.convert(&reading.parsed.1, payload);
        let fault = |kind: &str, detail: &str| {
            Some((kind.to_owned(), format!("payload {}: {detail}", hex(payload))))
        };
        match (&ours, &read.value) {
            (Ok(ours), Some(theirs)) if hex(ours) == *theirs => None,
            (Ok(_), Some(_)) if is_choice(reading) => None,
            (Ok(ours), Some(theirs)) => {
                fault("other values", &format!("ours {}, theirs {theirs}", hex(ours)))
            }
            (Err(error), _) => fault("compatible, but not converted", &error.message),
            (Ok(_), None) => {
                fault("compatible, but not read", read.error.as_deref().unwrap_or("no response"))
            }
        }
    })
}

/// Compares all pairs with a library; `expect` returns additional faults.
fn compare_pairs(
    name: &str,
    mut oracle: Oracle,
    is_choice: impl Fn(&Reading) -> bool,
    expect: impl Fn(&Reading, &Verification) -> Option<Fault>,
    mut count: impl FnMut(&Reading, &Verification, &mut Differences),
) -> Differences {
    let mut differences = Differences::default();
    verify_all(&mut oracle, |oracle, reading, verification| {
        differences.readings += 1;
        differences.compatible += usize::from(reading.verdict == Verdict::Compatible);
        differences.payloads += reading.payloads.len();
        let faults = |reading: &Reading, verification: &Verification| {
            misread(reading, verification, &is_choice).or_else(|| expect(reading, verification))
        };
        if let Some(fault) = faults(reading, verification) {
            differences.fault(oracle, reading, fault, faults);
        }
        for read in &verification.read {
            for feature in &read.repairs {
                *differences.repaired.entry(format!("payloads need {feature}")).or_default() += 1;
            }
        }
        let is_rejected = verification.read.iter().any(|payload| payload.error.is_some());
        if reading.verdict == Verdict::Incompatible && !is_rejected && reading.payloads.len() > 4 {
            let errors = reading.errors.join(" ");
            differences.add(format!("incompatible by {errors}, without a rejected payload"));
        }
        count(reading, verification, &mut differences);
    });
    differences.finish(name);
    differences
}

#[test]
fn no_payload_contradicts_a_verdict_by_the_official_reader() {
    let name = "the official reader";
    let Some(oracle) = Oracle::python(name, "official.py") else { return };
    let never = |_: &Reading| false;
    let differences = compare_pairs(name, oracle, never, |_, _| None, |_, _, _| {});
    for (feature, required_by) in MISSING_FEATURES {
        let is_needed = differences.repaired.contains_key(&format!("payloads need {feature}"));
        assert!(
            is_needed || differences.readings < 2_000,
            "{feature} ({required_by}): no longer needed"
        );
    }
    for repair in differences.repaired.keys() {
        assert!(
            MISSING_FEATURES.iter().any(|(feature, _)| repair.ends_with(feature)),
            "{repair}: add it to MISSING_FEATURES"
        );
    }
}

#[test]
fn no_payload_contradicts_a_verdict_by_fastavro() {
    let Some(oracle) = Oracle::python("fastavro", "resolve.py") else { return };
    let is_choice = |reading: &Reading| reading.rules.iter().any(|rule| CHOICES.contains(rule));
    compare_pairs("fastavro", oracle, is_choice, |_, _| None, |_, _, _| {});
}

/// Whether a field has its own name as an alias.
fn is_its_own_alias(schema: &Value) -> bool {
    match schema {
        Value::Array(items) => items.iter().any(is_its_own_alias),
        Value::Object(entries) => {
            let aliases = entries.get("aliases").and_then(Value::as_array);
            let own = |aliases: &Vec<Value>| {
                entries.get("name").is_some_and(|name| aliases.contains(name))
            };
            aliases.is_some_and(own) || entries.values().any(is_its_own_alias)
        }
        _ => false,
    }
}

#[test]
fn no_payload_contradicts_a_verdict_by_java() {
    let Some(oracle) = Oracle::java("Avro for Java") else { return };
    let stricter = |reading: &Reading| reading.errors.iter().all(|rule| STRICTER.contains(rule));
    let expect = |reading: &Reading, verification: &Verification| {
        let ambiguous = reading.errors.contains(&"AVRO_FIELD_AMBIGUOUS");
        match (reading.verdict, verification.compatible.as_str()) {
            (Verdict::Compatible, "COMPATIBLE") | (Verdict::Incompatible, "INCOMPATIBLE") => None,
            (Verdict::Incompatible, "THROWN") if ambiguous => None,
            // Java finds such a field twice in the comparison, and once when it reads data.
            (_, "THROWN") if is_its_own_alias(&reading.old) || is_its_own_alias(&reading.new) => {
                None
            }
            (Verdict::Incompatible | Verdict::Unproven, "COMPATIBLE") if stricter(reading) => None,
            (verdict, theirs) => Some((
                format!("{verdict:?}, but {theirs} for Java"),
                format!("{:?} {}", reading.rules, verification.reasons.join(" ")),
            )),
        }
    };
    let count = |reading: &Reading, verification: &Verification, differences: &mut Differences| {
        if reading.verdict != Verdict::Compatible && verification.compatible == "COMPATIBLE" {
            differences.add(format!("stricter than Java by {}", reading.errors.join(" ")));
        }
    };
    compare_pairs("java", oracle, |_| false, expect, count);
}
