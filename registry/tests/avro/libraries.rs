//! Other people's libraries: what they make of pairs of schemas, and of data that the one wrote and the other reads. Where
//! a toolchain is missing its test says so and is skipped; in CI it fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;
use serde_json::{Value, json};
use tidings_registry::{
    avro::Schema,
    finding::{Direction, Severity, Verdict},
};

use crate::{
    environment::python,
    generate::{Payloads, Rng},
    pairs::{count, pair},
    toolchain::toolchain,
};

/// One direction of a pair: the data of one side, read with the other.
struct Reading {
    seed: u64,
    writer: Value,
    reader: Value,
    parsed: (Schema, Schema),
    verdict: Verdict,
    rules: Vec<&'static str>,
    /// Those of the rules that are errors, once each.
    errors: Vec<&'static str>,
    payloads: Vec<Vec<u8>>,
}

/// What a library says about a reading.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    refused: Option<String>,
    compatible: String,
    reasons: Vec<String>,
    read: Vec<Read>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Read {
    value: Option<String>,
    error: Option<String>,
}

fn readings() -> Vec<Reading> {
    let mut readings = Vec::new();
    for seed in 0..count() {
        let Some((old, new, before, after)) = pair(seed) else { continue };
        let comparison = before.compare(&after);
        let mut rng = Rng::new(seed);
        for direction in [Direction::Backward, Direction::Forward] {
            let Some((_, _, before, after)) = pair(seed) else { continue };
            let (writer, reader, parsed) = match direction {
                Direction::Forward => (new.clone(), old.clone(), (after, before)),
                _ => (old.clone(), new.clone(), (before, after)),
            };
            let payloads = Payloads::new(&writer);
            let payloads = (0..8).filter_map(|_| payloads.make(&mut rng)).collect();
            let found = || comparison.findings.iter().filter(|it| it.direction.includes(direction));
            let errors: BTreeSet<_> =
                found().filter(|it| it.severity == Severity::Error).map(|it| it.rule).collect();
            readings.push(Reading {
                seed,
                writer,
                reader,
                parsed,
                verdict: comparison.verdict(direction),
                rules: found().map(|it| it.rule).collect(),
                errors: errors.into_iter().collect(),
                payloads,
            });
        }
    }
    readings
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("avro").join(name);
    fs::create_dir_all(&folder).expect("a folder for what the tests leave");
    folder
}

#[track_caller]
fn succeed(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// Writes the readings, has a program answer them, and reads its answers.
fn ask(name: &str, readings: &[Reading], run: impl Fn(&Path, &Path)) -> Vec<Answer> {
    let folder = scratch(name);
    let (questions, answers) = (folder.join("pairs.jsonl"), folder.join("answers.jsonl"));
    let mut text = String::new();
    for it in readings {
        let payloads: Vec<_> = it.payloads.iter().map(|it| hex(it)).collect();
        let (from, to) = &it.parsed;
        let converted = it.payloads.iter().map(|it| from.convert(to, it).ok().map(|it| hex(&it)));
        let converted: Vec<_> = converted.collect();
        let line = json!({
            "writer": it.writer, "reader": it.reader, "payloads": payloads, "converted": converted,
        });
        text.push_str(&format!("{line}\n"));
    }
    fs::write(&questions, text).expect("the questions are written");
    run(&questions, &answers);
    let answers = fs::read_to_string(&answers).expect("there are answers");
    let answers: Vec<Answer> =
        answers.lines().map(|line| serde_json::from_str(line).expect("an answer")).collect();
    assert_eq!(answers.len(), readings.len());
    answers
}

fn java(questions: &Path, answers: &Path) {
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/java/pom.xml");
    succeed(
        Command::new("mvn")
            .args(["-q", "-B", "compile", "exec:java", "-f"])
            .arg(pom)
            .arg(format!("-Doutputs={}", scratch("java").display()))
            .arg(format!("-Dexec.args={} {}", questions.display(), answers.display())),
    );
}

/// Rules by which we refuse what other libraries let pass, which do not look at logical types, or pick one of several
/// fields.
const STRICTER: [&str; 7] = [
    "AVRO_DECIMAL_CHANGED",
    "AVRO_LOGICAL_TYPE_CHANGED",
    "AVRO_LOGICAL_TYPE_NARROWS",
    "AVRO_FIELD_ALIAS_SHARED",
    "AVRO_FIELD_ALIAS_IN_OTHER_NAMESPACE",
    "AVRO_NAMESPACE_CHANGED_IN_UNION",
    "AVRO_DEFAULT_NOT_OF_FIRST_BRANCH",
];

/// Where fastavro may take another branch of a union than we do. It does so even between schemas that differ in
/// documentation alone, of which we say no more than that.
const CHOICES: [&str; 2] = ["AVRO_BRANCH_CHOICE", "AVRO_DOC_CHANGED"];

/// What a library made of a pair, where that is not what we expect.
struct Differences {
    tally: BTreeMap<String, (usize, String)>,
}

impl Differences {
    fn add(&mut self, what: impl Into<String>, it: &Reading, detail: &str) {
        let example = || format!("{}: {} read with {}: {detail}", it.seed, it.writer, it.reader);
        self.tally.entry(what.into()).or_insert_with(|| (0, example())).0 += 1;
    }

    /// Prints them all; those that begin with ! fail the test.
    fn finish(&self, name: &str, readings: &[Reading]) {
        let payloads: usize = readings.iter().map(|it| it.payloads.len()).sum();
        let compatible = readings.iter().filter(|it| it.verdict == Verdict::Compatible).count();
        println!(
            "{name}: {} readings ({compatible} compatible), {payloads} payloads",
            readings.len()
        );
        for (what, (count, example)) in &self.tally {
            println!("{count:6} {what}");
            if what.starts_with('!') {
                println!("       such as {example}");
            }
        }
        let bad: Vec<_> = self.tally.keys().filter(|it| it.starts_with('!')).collect();
        assert!(bad.is_empty(), "{name}: {bad:?}");
    }
}

/// Compares what a library read with what we convert.
fn compare_values(name: &str, it: &Reading, answer: &Answer, differences: &mut Differences) {
    let mut refused = false;
    for (payload, read) in it.payloads.iter().zip(&answer.read) {
        let ours = it.parsed.0.convert(&it.parsed.1, payload);
        refused |= ours.is_err() || read.error.is_some();
        if it.verdict != Verdict::Compatible {
            continue;
        }
        match (&ours, &read.value) {
            (Ok(ours), Some(theirs)) if hex(ours) == *theirs => {}
            // The specification's first branch of a union, where we take the one of the same type as Java does.
            (Ok(_), Some(_))
                if name != "java" && it.rules.iter().any(|it| CHOICES.contains(it)) =>
            {
                differences.add("another branch of a union, as we warn", it, "");
            }
            (Ok(ours), Some(theirs)) => {
                let detail = format!("{} became {}, and there {theirs}", hex(payload), hex(ours));
                differences.add("! other values", it, &detail);
            }
            (Err(error), _) => {
                differences.add("! compatible, and not converted", it, &error.message)
            }
            (Ok(_), None) => {
                let error = read.error.as_deref().unwrap_or("no answer");
                differences.add("! compatible, and not read", it, error);
            }
        }
    }
    if it.verdict == Verdict::Incompatible && !refused && it.payloads.len() > 4 {
        let what = format!("incompatible by {}, and no payload shows it", it.errors.join(" "));
        differences.add(what, it, "");
    }
}

/// fastavro; Avro's own library for Python has neither aliases nor promotions between bytes and strings.
#[test]
fn python_reads_what_is_compatible_as_we_do() {
    let Some(python) = python("Avro for Python", &["fastavro==1.12.1"]) else { return };
    let readings = readings();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python/resolve.py");
    let answers = ask("fastavro", &readings, |questions, answers| {
        succeed(Command::new(&python).args([script.as_path(), questions, answers]));
    });
    let mut differences = Differences { tally: BTreeMap::new() };
    for (it, answer) in readings.iter().zip(&answers) {
        match &answer.refused {
            Some(refused) => differences.add("! refused as a schema", it, refused),
            None => compare_values("fastavro", it, answer, &mut differences),
        }
    }
    differences.finish("fastavro", &readings);
}

#[test]
fn java_agrees_but_where_it_is_known_not_to() {
    if !toolchain("Avro for Java", ["java", "mvn"]) {
        return;
    }
    let readings = readings();
    let answers = ask("java", &readings, java);
    let mut differences = Differences { tally: BTreeMap::new() };
    for (it, answer) in readings.iter().zip(&answers) {
        if let Some(refused) = &answer.refused {
            differences.add("! refused as a schema", it, refused);
            continue;
        }
        let reasons = answer.reasons.join(" ");
        let stricter = it.errors.iter().all(|rule| STRICTER.contains(rule));
        let ambiguous = it.errors.contains(&"AVRO_FIELD_AMBIGUOUS");
        match (it.verdict, answer.compatible.as_str()) {
            (Verdict::Compatible, "COMPATIBLE") => {}
            (Verdict::Incompatible, "INCOMPATIBLE") => {}
            (Verdict::Incompatible, "THROWN") if ambiguous => {}
            (Verdict::Incompatible | Verdict::Unproven, "COMPATIBLE") if stricter => {
                let what = format!("stricter than Java by {}", it.errors.join(" "));
                differences.add(what, it, "");
            }
            (verdict, theirs) => {
                let what = format!("! {verdict:?}, and {theirs} for Java");
                differences.add(what, it, &format!("{:?} {reasons}", it.rules));
            }
        }
        compare_values("java", it, answer, &mut differences);
    }
    differences.finish("java", &readings);
}
