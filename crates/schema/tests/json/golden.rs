//! One folder for each case: `previous.json`, `current.json`, and the expected result for both
//! content models.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tidings_schema::{
    counterexample::{PAYLOAD_BYTES_MAX, PAYLOADS_BYTES_MAX},
    definition::Definition,
    finding::{Change, Comparison, ContentModel, Direction, Options, Severity, Verdict},
    json::Schema,
};

pub fn schema(text: &str) -> Schema {
    Schema::parse(&Definition::text(text), &[]).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub fn options(content_model: ContentModel) -> Options {
    Options { content_model, ..Options::default() }
}

fn verdict(comparison: &Comparison, direction: Direction) -> &'static str {
    match comparison.verdict(direction) {
        Verdict::Compatible => "COMPATIBLE",
        Verdict::Incompatible => "INCOMPATIBLE",
        Verdict::Unproven => "UNPROVEN",
    }
}

/// The bump under FULL, as the catalog derives it.
pub fn bump(comparison: &Comparison) -> &'static str {
    let error = comparison.findings.iter().any(|finding| finding.severity == Severity::Error);
    match comparison.change {
        _ if error => "MAJOR",
        Change::None => "NONE",
        Change::Unnoticeable => "PATCH",
        Change::Noticeable => "MINOR",
    }
}

fn summary(comparison: &Comparison) -> Value {
    let mut rules: Vec<_> = comparison
        .findings
        .iter()
        .map(|finding| {
            let direction = match finding.direction {
                Direction::Backward => "BACKWARD",
                Direction::Forward => "FORWARD",
                Direction::Both => "BOTH",
            };
            let severity = match finding.severity {
                Severity::Info => "INFO",
                Severity::Warning => "WARNING",
                Severity::Error => "ERROR",
            };
            format!("{severity} {direction} {}", finding.rule)
        })
        .collect();
    rules.sort();
    rules.dedup();
    json!({
        "backward": verdict(comparison, Direction::Backward),
        "forward": verdict(comparison, Direction::Forward),
        "bump": bump(comparison),
        "rules": rules,
    })
}

/// Checks that every counterexample is valid for the writer and rejected by the reader.
pub fn check_counterexamples(old: &Schema, new: &Schema, comparison: &Comparison) -> usize {
    let mut checked = 0;
    for finding in &comparison.findings {
        assert!(finding.message.ends_with('.'), "{finding:?}");
        assert!(finding.old_value.chars().count() <= 200, "{finding:?}");
        let Some(shown) = &finding.counterexample else { continue };
        assert!(finding.proven && shown.bytes > 0, "{finding:?}");
        assert!(!shown.fragment.is_empty(), "{finding:?}");
        if shown.payload.is_empty() {
            // Too large by itself, or together with the payloads before it.
            let before =
                comparison.findings.iter().filter_map(|finding| finding.counterexample.as_ref());
            let carried: usize = before.map(|counterexample| counterexample.payload.len()).sum();
            let is_full = carried + shown.bytes > PAYLOADS_BYTES_MAX / 2;
            assert!(shown.bytes > PAYLOAD_BYTES_MAX || is_full, "{finding:?}");
            continue;
        }
        assert_eq!(shown.payload.len(), shown.bytes, "{finding:?}");
        let payload: Value = serde_json::from_str(&shown.payload).expect("JSON");
        assert!(payload.pointer(&shown.pointer).is_some(), "{finding:?}");
        let (writer, reader) =
            if finding.direction == Direction::Backward { (old, new) } else { (new, old) };
        assert!(writer.validate_json(&shown.payload).is_ok(), "not written: {finding:?}");
        assert!(reader.validate_json(&shown.payload).is_err(), "not refused: {finding:?}");
        checked += 1;
    }
    checked
}

/// Whether a direction has a counterexample.
pub fn is_shown(comparison: &Comparison, direction: Direction) -> bool {
    comparison.findings.iter().any(|finding| {
        finding.severity == Severity::Error
            && finding.direction.includes(direction)
            && finding.counterexample.is_some()
    })
}

/// Cases whose counterexamples have at least a gigabyte.
const UNSHOWN: [&str; 1] = ["strings/max-length-huge"];

fn cases(folder: &Path, folders: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.join("previous.json").exists() {
            folders.push(path);
        } else if path.is_dir() {
            cases(&path, folders);
        }
    }
}

#[test]
fn cases_are_judged_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/json");
    let mut folders = Vec::new();
    cases(&folder, &mut folders);
    folders.sort();
    assert!(folders.len() > 50, "only {} cases", folders.len());
    let mut wrong = Vec::new();
    for case in folders {
        let name = case.strip_prefix(&folder).expect("below").display().to_string();
        let read = |file: &str| fs::read_to_string(case.join(file)).expect("a file of the case");
        let (old, new) = (schema(&read("previous.json")), schema(&read("current.json")));
        let lenient = old.compare(&new, options(ContentModel::Lenient));
        let strict = old.compare(&new, options(ContentModel::Strict));
        for (model, comparison) in
            [(ContentModel::Lenient, &lenient), (ContentModel::Strict, &strict)]
        {
            check_counterexamples(&old, &new, comparison);
            // In the opposite order the directions are swapped.
            let swapped = new.compare(&old, options(model));
            for direction in [Direction::Backward, Direction::Forward] {
                if comparison.verdict(direction) == Verdict::Incompatible {
                    let shown = is_shown(comparison, direction);
                    assert_ne!(shown, UNSHOWN.contains(&name.as_str()), "{name} {direction:?}");
                }
                assert_eq!(
                    comparison.verdict(direction),
                    swapped.verdict(direction.swapped()),
                    "{name}: swapped"
                );
            }
        }
        let mut got = summary(&lenient);
        got["strict"] = summary(&strict);
        let file = case.join("expected.json");
        if env::var_os("TIDINGS_BLESS").is_some() {
            let text = serde_json::to_string_pretty(&got).expect("JSON") + "\n";
            fs::write(&file, text).expect("written");
            continue;
        }
        let expected: Value = serde_json::from_str(&read("expected.json")).expect("JSON");
        if expected != got {
            wrong.push(format!("{name}: expected {expected}\n   got {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
