//! The verdicts are checked with another validator, `jsonschema` for Python.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tidings_schema::{
    definition::Definition,
    finding::{ContentModel, Direction, Verdict},
    json::Schema,
};

use crate::{
    environment::python,
    generate::{Choices, Pair, instance, pair},
    golden::options,
};

/// Pairs that are checked.
const PAIRS: u64 = 400;

#[test]
fn another_validator_agrees() {
    let Some(python) = python("JSON Schema for Python", &["jsonschema==4.26.0"]) else { return };
    let mut lines = String::new();
    for seed in 0..PAIRS {
        let mut choices = Choices::new(seed + 5_000_000);
        let Pair { old: old_text, new: new_text, .. } = pair(&mut choices);
        let parse =
            |document: &Value| Schema::parse(&Definition::text(document.to_string()), &[]).ok();
        let (Some(old), Some(new)) = (parse(&old_text), parse(&new_text)) else { continue };
        let comparison = old.compare(&new, options(ContentModel::Strict));
        for direction in [Direction::Backward, Direction::Forward] {
            let (writer, reader) = match direction {
                Direction::Backward => (&old_text, &new_text),
                _ => (&new_text, &old_text),
            };
            let mut case = json!({"writer": writer, "reader": reader});
            if comparison.verdict(direction) == Verdict::Compatible {
                let payloads = (0..20).map(|_| instance(&mut choices, writer, writer, 5));
                case["payloads"] = payloads.collect();
                case["refuted"] = false.into();
            } else {
                let findings =
                    comparison.findings.iter().filter(|finding| finding.direction == direction);
                case["payloads"] = findings
                    .filter_map(|finding| finding.counterexample.as_ref())
                    .map(|counterexample| {
                        serde_json::from_str::<Value>(&counterexample.payload).expect("JSON")
                    })
                    .collect();
                case["refuted"] = true.into();
            }
            lines.push_str(&case.to_string());
            lines.push('\n');
        }
    }
    let mut oracle = Command::new(python)
        .args(["-c", include_str!("oracle.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    oracle.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("written");
    let output = oracle.wait_with_output().expect("python3 ends");
    let contradictions = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && contradictions.is_empty(), "{contradictions}");
}
