//! Hostile input: large, deep or ambiguous schemas and payloads are rejected or processed in
//! bounded time.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use tidings_schema::{
    avro::Schema,
    definition::{DEFINITION_BYTES_MAX, Definition},
    finding::{Direction, Verdict},
};

/// One second in release builds, more in debug builds.
const TIMEOUT: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(8) } else { Duration::from_secs(1) };

#[track_caller]
fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let elapsed = start.elapsed();
    assert!(elapsed < TIMEOUT, "took {elapsed:?}");
    result
}

#[track_caller]
fn rejected(text: &str, message: &str) {
    let definition = Definition::text(text);
    let error = in_time(|| Schema::parse(&definition, &[])).expect_err(message);
    assert!(error.faults.len() <= 100);
    let error = error.to_string();
    assert!(error.contains(message), "{}", &error[..error.len().min(500)]);
}

#[track_caller]
fn accepted(text: &str) -> Schema {
    assert!(text.len() <= DEFINITION_BYTES_MAX, "{}", text.len());
    let definition = Definition::text(text);
    in_time(|| Schema::parse(&definition, &[])).unwrap_or_else(|error| {
        let error = error.to_string();
        panic!("{}", &error[..error.len().min(500)])
    })
}

fn list(count: usize, mut item: impl FnMut(usize) -> String) -> String {
    let mut out = String::new();
    for index in 0..count {
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{}", item(index));
    }
    out
}

#[test]
fn deep_and_large_definitions_are_rejected() {
    let deep =
        format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(40_000), "}".repeat(40_000));
    rejected(&deep, "nest deeper than 100");
    rejected(&"[".repeat(1_000_000), "nest deeper than 100");
    rejected(&"{\"type\":".repeat(100_000), "nest deeper than 100");
    rejected(&" ".repeat(DEFINITION_BYTES_MAX + 1), "the limit is 1048576");
    rejected(&" ".repeat(DEFINITION_BYTES_MAX), "the text is empty");
    let fields = list(10_001, |index| format!(r#"{{"name":"f{index}","type":"int"}}"#));
    rejected(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#), "10001 fields");
    let types = list(10_001, |index| format!(r#"{{"type":"fixed","name":"F{index}","size":1}}"#));
    rejected(&format!("[{types}]"), "10001 named types");
}

#[test]
fn at_most_a_hundred_faults_are_reported() {
    rejected(&format!("[{}]", list(500_000, |_| "0".into())), "a type is a name");
    rejected(
        &format!("[{}]", list(80_000, |index| format!("\"N{index}\""))),
        "there is no type N0",
    );
    rejected(&format!("[{}]", list(100_000, |_| "\"int\"".into())), "two branches of int");
    let unknown = format!("\"{}\"", "n".repeat(1_000_000));
    rejected(&unknown, "there is no type");
    let keys = list(90_000, |index| format!("\"{index}\":0"));
    rejected(&format!("{{{keys}}}"), "there is no \"type\"");
    let names = list(9_000, |index| format!(r#"{{"type":"fixed","name":"Name{index}","size":1}}"#));
    let wrong = list(9_000, |index| format!("\"Nane{index}\""));
    rejected(&format!("[{names},{wrong}]"), "did you mean Name");
}

#[test]
fn defaults_of_nested_unions_are_rejected() {
    // Each level tries two branches, and the innermost value matches neither.
    let mut of = r#""int""#.to_owned();
    let mut value = "\"no\"".to_owned();
    for level in 0..22 {
        let record = |name: &str, of: &str| {
            format!(
                r#"{{"type":"record","name":"{name}{level}","fields":[{{"name":"f","type":{of}}}]}}"#
            )
        };
        let reference = format!("\"A{}\"", level - 1);
        let inner =
            if level == 0 { of.clone() } else { format!("[{reference},\"B{}\"]", level - 1) };
        let definition = if level == 0 { of.clone() } else { format!("[{of}]") };
        of = format!("{},{}", record("A", &definition), record("B", &inner));
        value = format!(r#"{{"f":{value}}}"#);
        if level == 7 {
            break;
        }
    }
    let text = format!(
        r#"{{"type":"record","name":"R","fields":[{{"name":"f","type":[{of}],"default":{value}}}]}}"#
    );
    rejected(&text, "the default");

    // The same by reference: each of 80 flat definitions refers to two earlier ones.
    let mut definitions = vec![
        r#"{"type":"record","name":"A0","fields":[{"name":"f","type":"int"}]}"#.to_owned(),
        r#"{"type":"record","name":"B0","fields":[{"name":"f","type":"int"}]}"#.to_owned(),
    ];
    let mut value = r#"{"f":"no"}"#.to_owned();
    for level in 1..40 {
        for name in ["A", "B"] {
            let previous = level - 1;
            definitions.push(format!(
                r#"{{"type":"record","name":"{name}{level}","fields":[{{"name":"f","type":["A{previous}","B{previous}"]}}]}}"#
            ));
        }
        value = format!(r#"{{"f":{value}}}"#);
    }
    let all = definitions.join(",");
    let text = format!(
        r#"[{all},{{"type":"record","name":"R","fields":[{{"name":"f","type":["A39","B39"],"default":{value}}}]}}]"#
    );
    rejected(&text, "steps to check");

    // Defaults that include one another, in a cycle of 3,000.
    let cycle = list(3_000, |index| {
        let next = (index + 1) % 3_000;
        format!(
            r#"{{"type":"record","name":"C{index}","fields":[{{"name":"f","type":"C{next}","default":{{}}}}]}}"#
        )
    });
    let files = (0..3_000).map(|index| {
        let next = (index + 1) % 3_000;
        let text = format!(r#"{{"type":"record","name":"C{index}","fields":[{{"name":"f","type":"C{next}","default":{{}}}}]}}"#);
        (format!("c{index}.avsc"), text)
    });
    assert!(cycle.len() < DEFINITION_BYTES_MAX);
    let definition = Definition { files: files.collect(), ..Definition::text("\"C0\"") };
    let error = in_time(|| Schema::parse(&definition, &[])).expect_err("a cycle");
    assert!(error.to_string().contains("contains itself"), "{error}");
}

/// A cycle of records with one short name in different namespaces, each with a field of the next
/// record.
fn ring(count: usize, namespace: &str) -> Schema {
    let files = (0..count).map(|index| {
        let next = (index + 1) % count;
        let text = format!(
            r#"{{"type":"record","name":"{namespace}{index}.R","fields":[{{"name":"f","type":["null","{namespace}{next}.R"]}}]}}"#
        );
        (format!("{index}.avsc"), text)
    });
    let root = format!("\"{namespace}0.R\"");
    let definition = Definition { files: files.collect(), ..Definition::text(root) };
    in_time(|| Schema::parse(&definition, &[])).expect("a ring is a schema")
}

#[test]
fn cycles_of_different_lengths_terminate() {
    // 4,000 and 3,999 records form sixteen million pairs.
    let (old, new) = (ring(4_000, "a"), ring(3_999, "b"));
    let comparison = in_time(|| old.compare(&new));
    assert_eq!(comparison.verdict(Direction::Both), Verdict::Unproven);
    assert!(comparison.findings.len() <= 500);
    assert!(comparison.findings.iter().any(|finding| finding.rule == "AVRO_COMPARISON_BOUND"));

    let (old, new) = (ring(7, "a"), ring(5, "b"));
    assert_eq!(old.compare(&new).verdict(Direction::Both), Verdict::Compatible);
}

#[test]
fn wide_schemas_are_compared_in_time() {
    let record = |field_type: &str, default: &str| {
        let fields = list(9_999, |index| {
            format!(r#"{{"name":"field{index}","type":"{field_type}"{default}}}"#)
        });
        accepted(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#))
    };
    let (old, new) = (record("int", ""), record("string", ",\"default\":\"\""));
    let comparison = in_time(|| old.compare(&new));
    assert_eq!(comparison.verdict(Direction::Backward), Verdict::Incompatible);
    assert_eq!(comparison.findings.len(), 500);

    let union = |namespace: &str| {
        let branches = list(9_000, |index| {
            format!(r#"{{"type":"fixed","name":"{namespace}.F{index}","size":{}}}"#, index % 7)
        });
        accepted(&format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"f","type":[{branches}]}}]}}"#
        ))
    };
    let (old, new) = (union("a"), union("b"));
    let comparison = in_time(|| old.compare(&new));
    assert_ne!(comparison.verdict(Direction::Backward), Verdict::Compatible);

    let symbols = |from: usize| {
        let symbols = list(60_000, |index| format!("\"S{}\"", index + from));
        accepted(&format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]}}"#))
    };
    let (old, new) = (symbols(0), symbols(30_000));
    let comparison = in_time(|| old.compare(&new));
    assert_eq!(comparison.verdict(Direction::Both), Verdict::Incompatible);

    let attributes = |from: usize| {
        let attributes = list(40_000, |index| format!("\"a{}\":{index}", index + from));
        accepted(&format!(r#"{{"type":"string",{attributes}}}"#))
    };
    let (old, new) = (attributes(0), attributes(20_000));
    let comparison = in_time(|| old.compare(&new));
    assert_eq!(comparison.verdict(Direction::Both), Verdict::Compatible);
}

/// Zigzag numbers in sequence.
fn longs(numbers: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    for number in numbers {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while rest > 0x7f {
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out
}

#[test]
fn payloads_with_huge_counts_and_lengths_are_rejected() {
    let nulls = accepted(r#"{"type":"array","items":"null"}"#);
    let strings = accepted(r#"{"type":"array","items":"string"}"#);
    let list =
        accepted(r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#);
    let endless = accepted(r#"{"type":"record","name":"L","fields":[{"name":"next","type":"L"}]}"#);
    let tree = accepted(
        r#"{"type":"record","name":"T","fields":[{"name":"of","type":{"type":"array","items":"T"}}]}"#,
    );
    for (schema, payload, message) in [
        (&nulls, longs(&[i64::MAX]), "the limit of a payload is"),
        (&nulls, longs(&[i64::MIN, 0]), "the limit of a payload is"),
        (&nulls, longs(&[9_000_000, 9_000_000, 0]), "more than 10000000 values"),
        (&strings, longs(&[1, i64::MAX]), "bytes are expected"),
        (&strings, longs(&[1, -1]), "a length of -1 bytes"),
        (&strings, longs(&[-1, i64::MAX]), "does not fit into the payload"),
        (&strings, longs(&[-1, 5, 0, 0]), "does not fit"),
        (&strings, vec![0xff; 20], "does not end within 64 bits"),
        (&list, longs(&[1; 100_000]), "nest deeper than 128"),
        (&endless, Vec::new(), "nest deeper than 128"),
        (&tree, longs(&[1; 100_000]), "nest deeper than 128"),
    ] {
        let error = in_time(|| schema.validate_binary(&payload)).expect_err(message);
        assert!(error[0].message.contains(message), "{error:?}");
        let error = in_time(|| schema.convert(schema, &payload)).expect_err(message);
        assert!(error.message.contains(message) || message.contains("fit"), "{error:?}");
    }
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    assert!(in_time(|| tree.validate_json(&deep)).is_err());
}
