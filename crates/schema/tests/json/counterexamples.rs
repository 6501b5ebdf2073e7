//! Counterexamples: shrunk where possible, and shortened in findings where not.

use serde_json::{Map, Value, json};
use tidings_schema::{
    counterexample::{Counterexample, FRAGMENT_CHARS_MAX, PAYLOAD_BYTES_MAX, PAYLOADS_BYTES_MAX},
    finding::{Comparison, ContentModel, Direction, Verdict},
};

use crate::golden::{check_counterexamples, options, schema};

fn compared(old: &Value, new: &Value) -> Comparison {
    let (before, after) = (schema(&old.to_string()), schema(&new.to_string()));
    let comparison = before.compare(&after, options(ContentModel::Lenient));
    check_counterexamples(&before, &after, &comparison);
    comparison
}

/// The counterexamples of new readers with old data.
fn backward(old: &Value, new: &Value) -> Vec<Counterexample> {
    let comparison = compared(old, new);
    assert_eq!(comparison.verdict(Direction::Backward), Verdict::Incompatible, "{old} {new}");
    let findings = comparison.findings.into_iter();
    findings
        .filter(|finding| finding.direction == Direction::Backward)
        .filter_map(|finding| finding.counterexample)
        .collect()
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

#[test]
fn counterexamples_have_no_more_in_them_than_it_takes() {
    let user = object(json!({"name": {"type": "string"}, "age": {"type": "integer"}}), &["name"]);
    let count = |kind: &str| {
        let kind = json!({"type": kind});
        let user = json!({"oneOf": [user, {"type": "null"}]});
        let any = json!({"anyOf": [{"type": "object", "required": ["k"]}, {"type": "boolean"}]});
        object(json!({"n": kind, "u": user, "any": any}), &["n", "u", "any"])
    };
    let states = |states: &[&str]| {
        let state =
            object(json!({"state": {"enum": states}, "note": {"type": "string"}}), &["state"]);
        json!({"type": "array", "minItems": 2, "items": state})
    };
    let length = |max: u64| {
        let text = json!({"type": "string", "maxLength": max});
        object(json!({"a/b": {"type": "array", "items": text}}), &[])
    };
    for (old, new, payload, pointer) in [
        (count("integer"), count("string"), json!({"any": false, "n": 0, "u": null}), "/n"),
        (
            states(&["open", "closed", "merged"]),
            states(&["open", "closed"]),
            json!([{"state": "merged"}, {"state": "open"}]),
            "/0/state",
        ),
        (length(4), length(2), json!({"a/b": ["aaa"]}), "/a~1b/0"),
        (
            object(json!({"a": user}), &["a"]),
            object(json!({"a": object(json!({}), &["age"])}), &["a"]),
            json!({"a": {"name": ""}}),
            "/a",
        ),
        (
            object(json!({"a": {"type": "string"}}), &[]),
            json!({"type": "object", "additionalProperties": false}),
            json!({"a": ""}),
            "/a",
        ),
    ] {
        let shown = backward(&old, &new);
        let [shown] = shown.as_slice() else { panic!("{old} {new}: {shown:?}") };
        let got: Value = serde_json::from_str(&shown.payload).expect("JSON");
        assert_eq!((&got, shown.pointer.as_str()), (&payload, pointer), "{old} {new}");
        let fragment = payload.pointer(pointer).expect("a value").to_string();
        assert_eq!((&shown.fragment, shown.bytes), (&fragment, payload.to_string().len()));
    }
}

#[test]
fn of_a_large_counterexample_the_part_that_counts_is_shown() {
    // No smaller payload exceeds the bound.
    let length = |max: u64| object(json!({"t": {"type": "string", "maxLength": max}}), &["t"]);
    let count = |max: u64| object(json!({"t": {"type": "array", "maxItems": max}}), &["t"]);
    let members = |max: u64| {
        let map = json!({"additionalProperties": {"type": "integer"}, "maxProperties": max});
        object(json!({"t": map}), &["t"])
    };
    for (old, new, bytes) in [
        (length(10_000), length(5_000), 5_009..5_010),
        (length(900_000), length(500_000), 500_009..500_010),
        (count(3_000), count(1_000), 2_000..10_000),
        (count(15_000), count(10_000), 20_000..100_000),
        (members(3_000), members(1_000), 4_000..40_000),
    ] {
        let shown = backward(&old, &new);
        let [shown] = shown.as_slice() else { panic!("{old} {new}: {}", shown.len()) };
        assert!(bytes.contains(&shown.bytes), "{old} {new}: {} bytes", shown.bytes);
        assert_eq!(shown.pointer, "/t");
        assert!(shown.fragment.contains('…'), "{}", shown.fragment);
        assert!(shown.fragment.chars().count() <= FRAGMENT_CHARS_MAX);
        assert_eq!(shown.payload.is_empty(), shown.bytes > PAYLOAD_BYTES_MAX);
    }
    // A counterexample that exceeds every limit is still known to exist.
    let huge = compared(&length(2_000_000_000), &length(1_000_000_000));
    assert_eq!(huge.verdict(Direction::Backward), Verdict::Incompatible);
    assert!(huge.findings.iter().all(|finding| finding.counterexample.is_none()));
}

#[test]
fn payloads_of_many_findings_are_bounded_in_sum() {
    // Each payload has 30 KB of required members.
    let document = |kind: &str| {
        let long = json!({"type": "string", "minLength": 1_000});
        let filler = (0..30).map(|at| (format!("filler{at}"), long.clone()));
        let changed = (0..60).map(|at| (format!("changed{at}"), json!({"type": kind})));
        let required: Vec<_> = (0..30).map(|at| format!("filler{at}")).collect();
        let properties: Map<_, _> = filler.chain(changed).collect();
        json!({"type": "object", "properties": properties, "required": required})
    };
    let shown = backward(&document("string"), &document("integer"));
    assert_eq!(shown.len(), 60);
    let carried: usize = shown.iter().map(|counterexample| counterexample.payload.len()).sum();
    assert!(carried <= PAYLOADS_BYTES_MAX / 2 && carried > PAYLOADS_BYTES_MAX / 4, "{carried}");
    assert!(!shown[0].payload.is_empty());
    for counterexample in &shown {
        assert!(
            counterexample.bytes > 30_000 && counterexample.bytes < 32_000,
            "{} bytes",
            counterexample.bytes
        );
        assert_eq!(counterexample.fragment, "\"\"", "at {}", counterexample.pointer);
        assert!(counterexample.pointer.starts_with("/changed"), "{}", counterexample.pointer);
    }
}
