//! Golden cases: two schemas each, the verdicts in both directions, the bump and the rules. `TIDINGS_BLESS=1` writes what
//! is found; read it before it is committed.

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

/// A schema, which has to be one.
pub fn schema(text: &str) -> Schema {
    Schema::parse(&Definition::text(text), &[]).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The verdicts as people write them.
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
        let entries = fs::read_dir(path).expect("a folder").map(|it| it.expect("an entry").path());
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
        let rules: BTreeSet<_> = comparison.findings.iter().map(|it| it.rule).collect();
        let found = json!({
            "backward": verdict(&comparison, Direction::Backward),
            "forward": verdict(&comparison, Direction::Forward),
            "bump": bump(&comparison),
            "rules": rules,
        });
        let file = case.join("expected.json");
        let expected: Value = fs::read_to_string(&file)
            .map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        if expected != found {
            if bless {
                let text = format!("{}\n", serde_json::to_string_pretty(&found).unwrap());
                fs::write(&file, text).unwrap();
            }
            wrong.push(format!("{}: {found}, not {expected}", case.display()));
        }
    }
    assert!(bless || wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sides_swapped_swap_the_directions() {
    for case in cases() {
        let read = |name: &str| fs::read_to_string(case.join(name)).unwrap();
        let (old, new) = (schema(&read("previous.avsc")), schema(&read("current.avsc")));
        let (there, back) = (old.compare(&new), new.compare(&old));
        let name = case.display();
        assert_eq!(there.change, back.change, "{name}");
        for direction in [Direction::Backward, Direction::Forward] {
            assert_eq!(there.verdict(direction), back.verdict(direction.swapped()), "{name}");
        }
    }
}

#[test]
fn findings_are_whole_and_short() {
    for case in cases() {
        let read = |name: &str| fs::read_to_string(case.join(name)).unwrap();
        let (old, new) = (schema(&read("previous.avsc")), schema(&read("current.avsc")));
        for it in old.compare(&new).findings {
            let name = format!("{}: {it:?}", case.display());
            // To be read: cargo test --test avro findings -- --nocapture
            println!("{} {:?} {:?}", it.rule, it.severity, it.direction);
            println!("    {} -> {}: {}", it.old_path, it.new_path, it.message);
            if !it.suggestion.is_empty() {
                println!("    help: {}", it.suggestion);
            }
            if let Some(shown) = &it.counterexample {
                println!("    counterexample: {}", shown.payload);
                let writer = match it.direction {
                    Direction::Backward | Direction::Both => &old,
                    Direction::Forward => &new,
                };
                assert_eq!(writer.validate_json(&shown.payload), Ok(()), "{name}");
            }
            assert!(it.rule.starts_with("AVRO_"), "{name}");
            assert!(!it.message.is_empty() && !it.message.ends_with('.'), "{name}");
            assert!(it.old_value.chars().count() <= 200, "{name}");
            assert!(it.new_value.chars().count() <= 200, "{name}");
            assert!(it.place.line > 0 && it.place.column > 0, "{name}");
        }
    }
}
