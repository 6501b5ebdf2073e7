//! Pairs of schemas judged by the libraries of others: whether they call them compatible, and what
//! they read of data that the one wrote and the other reads. Where a toolchain is missing its test
//! says so and is skipped; in CI it fails.

use std::collections::BTreeMap;

use serde_json::{Value, to_string_pretty};
use tidings_schema::finding::Verdict;

use crate::{
    judge::{Answer, Judge, Reading, hex, judge_all},
    shrink::shrink,
};

/// Rules by which we refuse what other libraries let pass, which do not look at logical types, or
/// pick one of several fields.
const STRICTER: [&str; 7] = [
    "AVRO_DECIMAL_CHANGED",
    "AVRO_LOGICAL_TYPE_CHANGED",
    "AVRO_LOGICAL_TYPE_NARROWS",
    "AVRO_FIELD_ALIAS_SHARED",
    "AVRO_FIELD_ALIAS_IN_OTHER_NAMESPACE",
    "AVRO_NAMESPACE_CHANGED_IN_UNION",
    "AVRO_DEFAULT_NOT_OF_FIRST_BRANCH",
];

/// What the official reader for Python lacks, with the place in the specification (1.12) that asks
/// for it; Java's reader has each. A pair is judged as if it had them. One that is not needed any
/// more fails the test: it was fixed there.
const LACKS: [(&str, &str); 11] = [
    (
        "a writer's union read as one of its branches",
        "schema resolution: if writer's is a union, but reader's is not",
    ),
    (
        "a branch of the very type, behind one that takes it",
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
        "a whole number as the default of a floating one",
        "records: float and double have JSON numbers as defaults",
    ),
];

/// Where fastavro may take another branch of a union than we do. It does so even between schemas
/// that differ in documentation alone, of which we say no more than that.
const CHOICES: [&str; 2] = ["AVRO_BRANCH_CHOICE", "AVRO_DOC_CHANGED"];

/// What a library made of pairs, where that is not what we expect.
#[derive(Default)]
struct Differences {
    readings: usize,
    compatible: usize,
    payloads: usize,
    tally: BTreeMap<String, usize>,
    /// Payloads that a library read with something that it lacks.
    repaired: BTreeMap<String, usize>,
}

/// A difference that fails the test, by what it is.
type Fault = (String, String);

impl Differences {
    fn add(&mut self, what: impl Into<String>) {
        *self.tally.entry(what.into()).or_default() += 1;
    }

    /// Counts a fault, and prints the first of its kind as the smallest pair that shows it, ready
    /// to become a case.
    fn fault(
        &mut self,
        judge: &mut Judge,
        it: &Reading,
        fault: Fault,
        mut faults: impl FnMut(&Reading, &Answer) -> Option<Fault>,
    ) {
        let (what, _) = fault;
        self.add(format!("! {what}"));
        if self.tally[&format!("! {what}")] > 1 {
            return;
        }
        let mut detail = String::new();
        let mut shows = |old: &Value, new: &Value| {
            let readings = Reading::both(it.seed, old, new);
            let readings: Vec<_> =
                readings.into_iter().filter(|one| one.direction == it.direction).collect();
            let answers = judge.ask(&readings);
            let found = readings.iter().zip(&answers).find_map(|(one, answer)| faults(one, answer));
            found.is_some_and(|(found, why)| {
                let same = found == what;
                if same {
                    detail = why;
                }
                same
            })
        };
        let (old, new) = shrink(it.old.clone(), it.new.clone(), &mut shows);
        let text = |schema: &Value| to_string_pretty(schema).expect("it is JSON");
        println!("TIDINGS_SEED={}: {what}, {:?}", it.seed, it.direction);
        println!("--- previous.avsc\n{}\n--- current.avsc\n{}", text(&old), text(&new));
        println!("--- {detail}\n");
    }

    fn finish(&self, name: &str) {
        let Self { readings, compatible, payloads, .. } = self;
        println!("{name}: {readings} readings ({compatible} compatible), {payloads} payloads");
        for (what, count) in self.tally.iter().chain(&self.repaired) {
            println!("{count:8} {what}");
        }
        let bad: Vec<_> = self.tally.keys().filter(|it| it.starts_with('!')).collect();
        assert!(bad.is_empty(), "{name}: {bad:?}");
    }
}

/// The first thing about what a library read that is not as we convert it, if something is.
fn misread(it: &Reading, answer: &Answer, is_choice: impl Fn(&Reading) -> bool) -> Option<Fault> {
    if let Some(refused) = &answer.refused {
        return Some(("refused as a schema".into(), refused.clone()));
    }
    if it.verdict != Verdict::Compatible {
        return None;
    }
    it.payloads.iter().zip(&answer.read).find_map(|(payload, read)| {
        let ours = it.parsed.0.convert(&it.parsed.1, payload);
        let fault = |what: &str, why: &str| {
            Some((what.to_owned(), format!("{} of the writer: {why}", hex(payload))))
        };
        match (&ours, &read.value) {
            (Ok(ours), Some(theirs)) if hex(ours) == *theirs => None,
            (Ok(_), Some(_)) if is_choice(it) => None,
            (Ok(ours), Some(theirs)) => {
                fault("other values", &format!("{} for us, and there {theirs}", hex(ours)))
            }
            (Err(error), _) => fault("compatible, and not converted", &error.message),
            (Ok(_), None) => {
                fault("compatible, and not read", read.error.as_deref().unwrap_or("no answer"))
            }
        }
    })
}

/// Judges all pairs; `expect` says what else is at fault.
fn judge_pairs(
    name: &str,
    mut judge: Judge,
    is_choice: impl Fn(&Reading) -> bool,
    expect: impl Fn(&Reading, &Answer) -> Option<Fault>,
    mut tally: impl FnMut(&Reading, &Answer, &mut Differences),
) -> Differences {
    let mut differences = Differences::default();
    judge_all(&mut judge, |judge, it, answer| {
        differences.readings += 1;
        differences.compatible += usize::from(it.verdict == Verdict::Compatible);
        differences.payloads += it.payloads.len();
        let faults = |it: &Reading, answer: &Answer| {
            misread(it, answer, &is_choice).or_else(|| expect(it, answer))
        };
        if let Some(fault) = faults(it, answer) {
            differences.fault(judge, it, fault, faults);
        }
        for read in &answer.read {
            for what in &read.repairs {
                *differences.repaired.entry(format!("payloads need {what}")).or_default() += 1;
            }
        }
        let is_refused = answer.read.iter().any(|it| it.error.is_some());
        if it.verdict == Verdict::Incompatible && !is_refused && it.payloads.len() > 4 {
            let errors = it.errors.join(" ");
            differences.add(format!("incompatible by {errors}, and no payload shows it"));
        }
        tally(it, answer, &mut differences);
    });
    differences.finish(name);
    differences
}

#[test]
fn no_payload_contradicts_a_verdict_by_the_official_reader() {
    let name = "the official reader";
    let Some(judge) = Judge::python(name, "official.py") else { return };
    let never = |_: &Reading| false;
    let found = judge_pairs(name, judge, never, |_, _| None, |_, _, _| {});
    for (what, asked_by) in LACKS {
        let needed = found.repaired.contains_key(&format!("payloads need {what}"));
        assert!(needed || found.readings < 2_000, "{what} ({asked_by}): not needed any more");
    }
    for what in found.repaired.keys() {
        assert!(LACKS.iter().any(|(lack, _)| what.ends_with(lack)), "{what}: give it a reason");
    }
}

#[test]
fn no_payload_contradicts_a_verdict_by_fastavro() {
    let Some(judge) = Judge::python("fastavro", "resolve.py") else { return };
    let is_choice = |it: &Reading| it.rules.iter().any(|rule| CHOICES.contains(rule));
    judge_pairs("fastavro", judge, is_choice, |_, _| None, |_, _, _| {});
}

/// Whether a field has its name as an alias, too.
fn is_its_own_alias(of: &Value) -> bool {
    match of {
        Value::Array(items) => items.iter().any(is_its_own_alias),
        Value::Object(entries) => {
            let aliases = entries.get("aliases").and_then(Value::as_array);
            let own = |it: &Vec<Value>| entries.get("name").is_some_and(|name| it.contains(name));
            aliases.is_some_and(own) || entries.values().any(is_its_own_alias)
        }
        _ => false,
    }
}

#[test]
fn no_payload_contradicts_a_verdict_by_java() {
    let Some(judge) = Judge::java("Avro for Java") else { return };
    let stricter = |it: &Reading| it.errors.iter().all(|rule| STRICTER.contains(rule));
    let expect = |it: &Reading, answer: &Answer| {
        let ambiguous = it.errors.contains(&"AVRO_FIELD_AMBIGUOUS");
        match (it.verdict, answer.compatible.as_str()) {
            (Verdict::Compatible, "COMPATIBLE") | (Verdict::Incompatible, "INCOMPATIBLE") => None,
            (Verdict::Incompatible, "THROWN") if ambiguous => None,
            // It finds such a field twice when it compares, and once when it reads.
            (_, "THROWN") if is_its_own_alias(&it.old) || is_its_own_alias(&it.new) => None,
            (Verdict::Incompatible | Verdict::Unproven, "COMPATIBLE") if stricter(it) => None,
            (verdict, theirs) => Some((
                format!("{verdict:?}, and {theirs} for Java"),
                format!("{:?} {}", it.rules, answer.reasons.join(" ")),
            )),
        }
    };
    let tally = |it: &Reading, answer: &Answer, differences: &mut Differences| {
        if it.verdict != Verdict::Compatible && answer.compatible == "COMPATIBLE" {
            differences.add(format!("stricter than Java by {}", it.errors.join(" ")));
        }
    };
    judge_pairs("java", judge, |_| false, expect, tally);
}
