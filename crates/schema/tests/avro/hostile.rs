//! Input that wants to take all time or all memory: refused, or judged, in time.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use tidings_schema::{
    avro::Schema,
    definition::{DEFINITION_BYTES_MAX, Definition},
    finding::{Direction, Verdict},
};

/// A second as released; as tested, several.
const PATIENCE: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(8) } else { Duration::from_secs(1) };

#[track_caller]
fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    let took = start.elapsed();
    assert!(took < PATIENCE, "it took {took:?}");
    done
}

#[track_caller]
fn refused(text: &str, message: &str) {
    let definition = Definition::text(text);
    let error = in_time(|| Schema::parse(&definition, &[])).expect_err(message);
    assert!(error.faults.len() <= 100);
    let error = error.to_string();
    assert!(error.contains(message), "{}", &error[..error.len().min(500)]);
}

#[track_caller]
fn taken(text: &str) -> Schema {
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
fn deep_and_large_definitions_are_refused_with_a_place() {
    let deep =
        format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(40_000), "}".repeat(40_000));
    refused(&deep, "nest deeper than 100");
    refused(&"[".repeat(1_000_000), "nest deeper than 100");
    refused(&"{\"type\":".repeat(100_000), "nest deeper than 100");
    refused(&" ".repeat(DEFINITION_BYTES_MAX + 1), "at most 1048576 are taken");
    refused(&" ".repeat(DEFINITION_BYTES_MAX), "the text is empty");
    let fields = list(10_001, |it| format!(r#"{{"name":"f{it}","type":"int"}}"#));
    refused(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#), "10001 fields");
    let types = list(10_001, |it| format!(r#"{{"type":"fixed","name":"F{it}","size":1}}"#));
    refused(&format!("[{types}]"), "10001 named types");
}

#[test]
fn many_mistakes_are_told_a_hundred_at_a_time() {
    refused(&format!("[{}]", list(500_000, |_| "0".into())), "a type is a name");
    refused(&format!("[{}]", list(80_000, |it| format!("\"N{it}\""))), "there is no type N0");
    refused(&format!("[{}]", list(100_000, |_| "\"int\"".into())), "two branches of int");
    let unknown = format!("\"{}\"", "n".repeat(1_000_000));
    refused(&unknown, "there is no type");
    let keys = list(90_000, |it| format!("\"{it}\":0"));
    refused(&format!("{{{keys}}}"), "there is no \"type\"");
    let names = list(9_000, |it| format!(r#"{{"type":"fixed","name":"Name{it}","size":1}}"#));
    let wrong = list(9_000, |it| format!("\"Nane{it}\""));
    refused(&format!("[{names},{wrong}]"), "is Name");
}

#[test]
fn defaults_that_multiply_are_refused() {
    // Every level of a union is tried twice, down to a value that fits neither.
    let mut of = r#""int""#.to_owned();
    let mut value = "\"no\"".to_owned();
    for level in 0..22 {
        let record = |name: &str, of: &str| {
            format!(
                r#"{{"type":"record","name":"{name}{level}","fields":[{{"name":"f","type":{of}}}]}}"#
            )
        };
        let again = format!("\"A{}\"", level - 1);
        let inner = if level == 0 { of.clone() } else { format!("[{again},\"B{}\"]", level - 1) };
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
    refused(&text, "the default");

    // The same by reference: 22 flat definitions that refer to the two before.
    let mut definitions = vec![
        r#"{"type":"record","name":"A0","fields":[{"name":"f","type":"int"}]}"#.to_owned(),
        r#"{"type":"record","name":"B0","fields":[{"name":"f","type":"int"}]}"#.to_owned(),
    ];
    let mut value = r#"{"f":"no"}"#.to_owned();
    for level in 1..40 {
        for name in ["A", "B"] {
            let below = level - 1;
            definitions.push(format!(
                r#"{{"type":"record","name":"{name}{level}","fields":[{{"name":"f","type":["A{below}","B{below}"]}}]}}"#
            ));
        }
        value = format!(r#"{{"f":{value}}}"#);
    }
    let all = definitions.join(",");
    let text = format!(
        r#"[{all},{{"type":"record","name":"R","fields":[{{"name":"f","type":["A39","B39"],"default":{value}}}]}}]"#
    );
    refused(&text, "steps to check");

    // A default that takes over others, in a circle of 3,000.
    let circle = list(3_000, |it| {
        let next = (it + 1) % 3_000;
        format!(
            r#"{{"type":"record","name":"C{it}","fields":[{{"name":"f","type":"C{next}","default":{{}}}}]}}"#
        )
    });
    let files = (0..3_000).map(|it| {
        let next = (it + 1) % 3_000;
        let text = format!(r#"{{"type":"record","name":"C{it}","fields":[{{"name":"f","type":"C{next}","default":{{}}}}]}}"#);
        (format!("c{it}.avsc"), text)
    });
    assert!(circle.len() < DEFINITION_BYTES_MAX);
    let definition = Definition { files: files.collect(), ..Definition::text("\"C0\"") };
    let error = in_time(|| Schema::parse(&definition, &[])).expect_err("a circle");
    assert!(error.to_string().contains("contains itself without end"), "{error}");
}

/// Records of one short name in namespaces of their own, each the next one's type, in a circle.
fn ring(count: usize, space: &str) -> Schema {
    let files = (0..count).map(|it| {
        let next = (it + 1) % count;
        let text = format!(
            r#"{{"type":"record","name":"{space}{it}.R","fields":[{{"name":"f","type":["null","{space}{next}.R"]}}]}}"#
        );
        (format!("{it}.avsc"), text)
    });
    let root = format!("\"{space}0.R\"");
    let definition = Definition { files: files.collect(), ..Definition::text(root) };
    in_time(|| Schema::parse(&definition, &[])).expect("a ring is a schema")
}

#[test]
fn rings_of_different_lengths_are_not_followed_for_ever() {
    // 4,000 and 3,999 records meet in sixteen million pairs.
    let (old, new) = (ring(4_000, "a"), ring(3_999, "b"));
    let comparison = in_time(|| old.compare(&new));
    assert_eq!(comparison.verdict(Direction::Both), Verdict::Unproven);
    assert!(comparison.findings.len() <= 500);
    assert!(comparison.findings.iter().any(|it| it.rule == "AVRO_COMPARISON_BOUND"));

    let (old, new) = (ring(7, "a"), ring(5, "b"));
    assert_eq!(old.compare(&new).verdict(Direction::Both), Verdict::Compatible);
}

#[test]
fn wide_schemas_are_compared_in_time() {
    let record = |of: &str, default: &str| {
        let fields = list(9_999, |it| format!(r#"{{"name":"field{it}","type":"{of}"{default}}}"#));
        taken(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#))
    };
    let (old, new) = (record("int", ""), record("string", ",\"default\":\"\""));
    let comparison = in_time(|| old.compare(&new));
    assert_eq!(comparison.verdict(Direction::Backward), Verdict::Incompatible);
    assert_eq!(comparison.findings.len(), 500);

    let union = |space: &str| {
        let branches = list(9_000, |it| {
            format!(r#"{{"type":"fixed","name":"{space}.F{it}","size":{}}}"#, it % 7)
        });
        taken(&format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"f","type":[{branches}]}}]}}"#
        ))
    };
    let (old, new) = (union("a"), union("b"));
    let comparison = in_time(|| old.compare(&new));
    assert_ne!(comparison.verdict(Direction::Backward), Verdict::Compatible);

    let symbols = |from: usize| {
        let symbols = list(60_000, |it| format!("\"S{}\"", it + from));
        taken(&format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]}}"#))
    };
    let (old, new) = (symbols(0), symbols(30_000));
    let comparison = in_time(|| old.compare(&new));
    assert_eq!(comparison.verdict(Direction::Both), Verdict::Incompatible);

    let attributes = |from: usize| {
        let attributes = list(40_000, |it| format!("\"a{}\":{it}", it + from));
        taken(&format!(r#"{{"type":"string",{attributes}}}"#))
    };
    let (old, new) = (attributes(0), attributes(20_000));
    let comparison = in_time(|| old.compare(&new));
    assert_eq!(comparison.verdict(Direction::Both), Verdict::Compatible);
}

/// Zigzag numbers, one after the other.
fn longs(numbers: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    for number in numbers {
        let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while left > 0x7f {
            out.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        out.push(left as u8);
    }
    out
}

#[test]
fn payloads_that_claim_the_world_are_refused() {
    let nulls = taken(r#"{"type":"array","items":"null"}"#);
    let strings = taken(r#"{"type":"array","items":"string"}"#);
    let list =
        taken(r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#);
    let never = taken(r#"{"type":"record","name":"L","fields":[{"name":"next","type":"L"}]}"#);
    let tree = taken(
        r#"{"type":"record","name":"T","fields":[{"name":"of","type":{"type":"array","items":"T"}}]}"#,
    );
    for (schema, payload, message) in [
        (&nulls, longs(&[i64::MAX]), "a payload at most"),
        (&nulls, longs(&[i64::MIN, 0]), "a payload at most"),
        (&nulls, longs(&[9_000_000, 9_000_000, 0]), "more than 10000000 values"),
        (&strings, longs(&[1, i64::MAX]), "bytes are wanted here"),
        (&strings, longs(&[1, -1]), "a length of -1 bytes"),
        (&strings, longs(&[-1, i64::MAX]), "does not fit into the payload"),
        (&strings, longs(&[-1, 5, 0, 0]), "does not fit"),
        (&strings, vec![0xff; 20], "does not end within 64 bits"),
        (&list, longs(&[1; 100_000]), "nest deeper than 128"),
        (&never, Vec::new(), "nest deeper than 128"),
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
