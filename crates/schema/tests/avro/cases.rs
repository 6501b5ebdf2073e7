//! Golden cases: two schemas, the verdicts in both directions, the bump and the rules.
//! `TIDINGS_BLESS=1` writes the results; review them before a commit.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tidings_schema::{
    avro::Schema,
    definition::Definition,
    finding::{Change, Comparison, Direction, Verdict},
};

/// Parses a valid schema.
pub fn schema(text: &str) -> Schema {
    Schema::parse(&Definition::text(text), &[]).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The verdict of a direction in `expected.json`.
pub fn verdict(comparison: &Comparison, direction: Direction) -> &'static str {
    match comparison.verdict(direction) {
        Verdict::Compatible => "COMPATIBLE",
        Verdict::Unproven => "UNPROVEN",
        Verdict::Incompatible => "INCOMPATIBLE",
    }
}

fn bump(comparison: &Comparison) -> &'static str {
    match (comparison.change, comparison.verdict(Direction::Both)) {
        (Change::None, _) => "NONE",
        (_, Verdict::Unproven | Verdict::Incompatible) => "MAJOR",
        (Change::Unnoticeable, Verdict::Compatible) => "PATCH",
        (Change::Noticeable, Verdict::Compatible) => "MINOR",
    }
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/avro");
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries =
            fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path());
        entries.filter(|path| path.is_dir()).collect()
    };
    let mut cases: Vec<_> = folders(&root).iter().flat_map(|topic| folders(topic)).collect();
    cases.sort();
    cases
}

#[test]
fn verdicts_bumps_and_rules_are_as_recorded() {
    let bless = env::var_os("TIDINGS_BLESS").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let read = |name: &str| fs::read_to_string(case.join(name)).unwrap();
        let (old, new) = (schema(&read("previous.avsc")), schema(&read("current.avsc")));
        let comparison = old.compare(&new);
        let rules: BTreeSet<_> = comparison.findings.iter().map(|finding| finding.rule).collect();
        let actual = json!({
            "backward": verdict(&comparison, Direction::Backward),
            "forward": verdict(&comparison, Direction::Forward),
            "bump": bump(&comparison),
            "rules": rules,
        });
        let file = case.join("expected.json");
        let expected: Value = fs::read_to_string(&file)
            .map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        if expected != actual {
            if bless {
                let text = format!("{}\n", serde_json::to_string_pretty(&actual).unwrap());
                fs::write(&file, text).unwrap();
            }
            wrong.push(format!("{}: {actual}, not {expected}", case.display()));
        }
    }
    assert!(bless || wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn swapped_schemas_swap_the_directions() {
    for case in cases() {
        let read = |name: &str| fs::read_to_string(case.join(name)).unwrap();
        let (old, new) = (schema(&read("previous.avsc")), schema(&read("current.avsc")));
        let (comparison, swapped) = (old.compare(&new), new.compare(&old));
        let name = case.display();
        assert_eq!(comparison.change, swapped.change, "{name}");
        for direction in [Direction::Backward, Direction::Forward] {
            assert_eq!(
                comparison.verdict(direction),
                swapped.verdict(direction.swapped()),
                "{name}"
            );
        }
    }
}

#[test]
fn findings_are_complete_and_short() {
    for case in cases() {
        let read = |name: &str| fs::read_to_string(case.join(name)).unwrap();
        let (old, new) = (schema(&read("previous.avsc")), schema(&read("current.avsc")));
        for finding in old.compare(&new).findings {
            let name = format!("{}: {finding:?}", case.display());
            // For review: cargo test -p tidings-schema --test avro findings -- --nocapture
            println!("{} {:?} {:?}", finding.rule, finding.severity, finding.direction);
            println!("    {} -> {}: {}", finding.old_path, finding.new_path, finding.message);
            if !finding.suggestion.is_empty() {
                println!("    help: {}", finding.suggestion);
            }
            if let Some(counterexample) = &finding.counterexample {
                println!("    counterexample: {}", counterexample.payload);
                let writer = match finding.direction {
                    Direction::Backward | Direction::Both => &old,
                    Direction::Forward => &new,
                };
                assert_eq!(writer.validate_json(&counterexample.payload), Ok(()), "{name}");
            }
            assert!(finding.rule.starts_with("AVRO_"), "{name}");
            assert!(!finding.message.is_empty() && !finding.message.ends_with('.'), "{name}");
            assert!(finding.old_value.chars().count() <= 200, "{name}");
            assert!(finding.new_value.chars().count() <= 200, "{name}");
            assert!(finding.location.line > 0 && finding.location.column > 0, "{name}");
        }
    }
}
