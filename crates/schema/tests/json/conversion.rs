//! Conversion of payloads between versions: kept, dropped, filled in and rejected members, for
//! chosen and for random cases. The results are checked by independent validators: one that is
//! built here, and `jsonschema` for Python.

use std::{
    env,
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
};

use serde_json::{Map, Value, json};
use tidings_schema::{
    converter::Converter,
    definition::{Definition, Violation},
    finding::{ContentModel, Direction, Verdict},
    json, schema,
};

use crate::{
    environment::python,
    generate::{Choices, changed, document, instance},
    golden::{options, schema},
};

const PAYLOADS: usize = 12;

fn pairs() -> u64 {
    env::var("TIDINGS_PAIRS").ok().and_then(|pairs| pairs.parse().ok()).unwrap_or(1500)
}

/// Adds defaults that are likely to be valid to some properties of a schema, and closes some
/// objects.
fn with_defaults(choices: &mut Choices, root: &Value, at: &Value) -> Value {
    match at {
        Value::Object(members) => {
            let mut changed_members = Map::new();
            for (name, value) in members {
                let mut value = with_defaults(choices, root, value);
                if let ("properties", Value::Object(properties)) = (name.as_str(), &mut value) {
                    for schema in properties.values_mut() {
                        if let (true, Value::Object(members)) = (choices.one_in(2), schema) {
                            let property = Value::Object(members.clone());
                            let default = instance(choices, root, &property, 3);
                            members.insert("default".to_owned(), default);
                        }
                    }
                }
                changed_members.insert(name.clone(), value);
            }
            if changed_members.contains_key("properties") && choices.one_in(3) {
                changed_members.entry("additionalProperties").or_insert(json!(false));
            }
            Value::Object(changed_members)
        }
        Value::Array(items) => {
            items.iter().map(|item| with_defaults(choices, root, item)).collect()
        }
        other => other.clone(),
    }
}

/// Checks that a conversion only drops members and inserts defaults.
fn check_conversion(before: &Value, after: &Value, defaults: &str) -> Result<(), String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in after {
                match before.get(name) {
                    Some(was) => check_conversion(was, value, defaults)?,
                    None if defaults.contains("\"default\"") => {}
                    None => return Err(format!("{name} has no source")),
                }
            }
            Ok(())
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            before.iter().zip(after).try_for_each(|(was, is)| check_conversion(was, is, defaults))
        }
        (before, after) if before == after => Ok(()),
        _ => Err(format!("{before} became {after}")),
    }
}

#[derive(Debug, Default)]
struct Counts {
    same: usize,
    rewritten: usize,
    refused: usize,
}

#[test]
fn converted_payloads_are_valid_and_keep_their_values() {
    let mut counts = [Counts::default(), Counts::default()];
    let mut lines = String::new();
    let mut compared = 0;
    let mut seed = 9_000_000;
    while compared < pairs() {
        seed += 1;
        let mut choices = Choices::new(seed);
        let old_text = document(&mut choices);
        let new_text = changed(&mut choices, &old_text);
        let old_text = with_defaults(&mut choices, &old_text, &old_text);
        let new_text = with_defaults(&mut choices, &new_text, &new_text);
        let parse = |document: &Value| {
            json::Schema::parse(&Definition::text(document.to_string()), &[]).ok()
        };
        let (Some(old), Some(new)) = (parse(&old_text), parse(&new_text)) else { continue };
        compared += 1;
        let comparison = old.compare(&new, options(ContentModel::Lenient));
        let accepted = comparison.verdict(Direction::Both) == Verdict::Compatible;
        let counts = &mut counts[usize::from(accepted)];
        for (from, text, to, reader) in
            [(&old, &old_text, &new, &new_text), (&new, &new_text, &old, &old_text)]
        {
            let oracle = jsonschema::options().offline().should_validate_formats(false);
            let oracle = oracle.build(reader).expect("a schema");
            let mut converted = Vec::new();
            for _ in 0..PAYLOADS {
                let payload = instance(&mut choices, text, text, 5);
                let Ok(bytes) = from.encode(&payload.to_string()) else { continue };
                assert_eq!(from.to_json(&bytes), Ok(payload.to_string()));
                let result = match to.convert(&bytes) {
                    Ok(None) => {
                        counts.same += 1;
                        bytes
                    }
                    Ok(Some(result)) => {
                        assert!(to.validate_binary(&bytes).is_err(), "changed although valid");
                        counts.rewritten += 1;
                        result
                    }
                    Err(violations) => {
                        assert!(!violations.is_empty());
                        counts.refused += 1;
                        continue;
                    }
                };
                let result: Value = serde_json::from_slice(&result).expect("JSON");
                assert!(oracle.is_valid(&result), "{seed}: {payload} -> {result}: {reader}");
                if let Err(reason) = check_conversion(&payload, &result, &reader.to_string()) {
                    panic!("{seed}: {reason}: {payload} -> {result}: {reader}");
                }
                converted.push(result);
            }
            let case =
                json!({"writer": true, "reader": reader, "payloads": converted, "refuted": false});
            lines.push_str(&format!("{case}\n"));
        }
    }
    println!("versions of one line: {:?}\nothers: {:?}", counts[1], counts[0]);
    assert!(counts.iter().all(|count| count.rewritten > 0));
    let Some(python) = python("JSON Schema for Python", &["jsonschema==4.26.0"]) else { return };
    let mut oracle = Command::new(python)
        .args(["-c", include_str!("oracle.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut input = oracle.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = oracle.wait_with_output().expect("python3 ends");
    writer.join().expect("no panic").expect("python3 reads all");
    let contradictions = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && contradictions.is_empty(), "{contradictions}");
}

/// Versions that differ by properties alone: the projection equals the full conversion, and is
/// valid.
#[test]
fn the_projection_equals_the_full_conversion() {
    let (mut rewritten, mut kept, mut compared) = (0, 0, 0);
    let mut seed = 31_000_000;
    while compared < pairs() {
        seed += 1;
        let mut choices = Choices::new(seed);
        let mut properties = Map::new();
        for name in ["a", "b\"", "ü", "d"] {
            let property = document(&mut choices);
            // References of a document are relative to its own root.
            if !property.to_string().contains('$') {
                properties.insert(name.to_owned(), property);
            }
        }
        let subset = |choices: &mut Choices| -> Map<String, Value> {
            let mut kept_properties = properties.clone();
            kept_properties.retain(|_, _| !choices.one_in(2));
            kept_properties
        };
        let (written, read) = (subset(&mut choices), subset(&mut choices));
        let both = written.keys().filter(|name| read.contains_key(*name));
        let required: Vec<_> = both.filter(|_| choices.one_in(3)).cloned().collect();
        let mut required_by_writer = required.clone();
        required_by_writer.extend(properties.keys().filter(|_| choices.one_in(5)).cloned());
        required_by_writer.sort();
        required_by_writer.dedup();
        let (writer_is_open, reader_is_open) = (choices.one_in(2), choices.one_in(2));
        let writer = json!({
            "type": "object",
            "properties": written,
            "required": required_by_writer,
            "additionalProperties": writer_is_open,
        });
        let reader = json!({
            "type": "object",
            "properties": read,
            "required": required,
            "additionalProperties": reader_is_open,
        });
        let parse = |document: &Value| {
            json::Schema::parse(&Definition::text(document.to_string()), &[]).ok()
        };
        let (Some(from), Some(to)) = (parse(&writer), parse(&reader)) else { continue };
        compared += 1;
        let oracle = jsonschema::options().offline().should_validate_formats(false);
        let oracle = oracle.build(&reader).expect("a schema");
        let (from, to) = (Arc::new(schema::Schema::Json(from)), Arc::new(schema::Schema::Json(to)));
        let converter = Converter::new(Arc::clone(&from), Arc::clone(&to));
        assert!(converter.has_projection(), "{writer} {reader}");
        for _ in 0..PAYLOADS {
            let payload = instance(&mut choices, &writer, &writer, 5);
            let Ok(bytes) = from.encode(&payload.to_string()) else { continue };
            let read = |converted: Option<Vec<u8>>| -> Value {
                serde_json::from_slice(&converted.unwrap_or_else(|| bytes.clone())).expect("JSON")
            };
            let long = from.convert(&to, &bytes);
            let mut short = Vec::new();
            let Ok(changed) = converter.convert(&bytes, &mut short) else {
                assert!(long.is_err(), "{seed}: {payload}: {reader}");
                continue;
            };
            let short = read(changed.then_some(short));
            assert!(oracle.is_valid(&short), "{seed}: {payload} -> {short}: {reader}");
            assert_eq!(Ok(&short), long.map(read).as_ref(), "{seed}: {payload}: {reader}");
            kept += u64::from(!changed);
            rewritten += u64::from(changed);
        }
    }
    println!("{rewritten} rewritten, {kept} kept, {compared} pairs");
    assert!(rewritten > compared && kept > compared);
}

fn shown(violations: &[Violation]) -> String {
    let lines =
        violations.iter().map(|violation| format!("{}: {}", violation.path, violation.message));
    lines.collect::<Vec<_>>().join("; ")
}

/// The payload that a reader gets; `=` if it is unchanged.
fn becomes(reader: &str, payload: &str) -> String {
    match schema(reader).convert(payload.as_bytes()) {
        Ok(None) => "=".to_owned(),
        Ok(Some(bytes)) => String::from_utf8(bytes).expect("UTF-8"),
        Err(violations) => shown(&violations),
    }
}

#[test]
fn closed_objects_lose_undeclared_members() {
    for (reader, payload, expected) in [
        (r#"{"properties": {"a": {}}}"#, r#"{"b": 1}"#, "="),
        (
            r#"{"properties": {"b": {}, "a": {}}, "additionalProperties": false}"#,
            "{ \"x\": 1,\n \"b\": 1.50, \"a\": 12345678901234567890.10, \"y\": {\"z\": []} }",
            r#"{"b":1.50,"a":12345678901234567890.10}"#,
        ),
        (
            r##"{"$ref": "#/$defs/o", "$defs": {"o": {"properties": {"i": {"items": {"$ref": "#/$defs/o"}}},
                "patternProperties": {"^x-": {}}, "additionalProperties": false}}}"##,
            r#"{"i": [{"u": 1, "x-u": 2}, {"i": [{"v": 3}]}], "w": 4}"#,
            r#"{"i":[{"x-u":2},{"i":[{}]}]}"#,
        ),
        (
            r#"{"allOf": [{"properties": {"a": {}}}], "properties": {"b": {}}, "unevaluatedProperties": false}"#,
            r#"{"a": 1, "b": 2, "c": 3}"#,
            r#"{"a":1,"b":2}"#,
        ),
        (
            r#"{"anyOf": [{"properties": {"k": {"const": "a"}, "x": {}}, "required": ["k"], "additionalProperties": false},
                {"properties": {"k": {"const": "b"}, "y": {}}, "required": ["k"], "additionalProperties": false}]}"#,
            r#"{"k": "b", "x": 1, "y": 2}"#,
            r#"{"k":"b","y":2}"#,
        ),
        (
            r#"{"oneOf": [{"properties": {"x": {}}, "additionalProperties": false, "minProperties": 1},
                {"properties": {"y": {}, "z": {}}, "additionalProperties": false, "minProperties": 1}]}"#,
            r#"{"x": 1, "y": 2, "z": 3}"#,
            r#"{"y":2,"z":3}"#,
        ),
        (
            r#"{"if": {"properties": {"k": {"const": 1}}}, "then": {"properties": {"k": {}, "a": {}}, "additionalProperties": false}}"#,
            r#"{"k": 1, "a": 2, "b": 3}"#,
            r#"{"k":1,"a":2}"#,
        ),
        (r#"{"properties": {"a": false, "b": {}}}"#, r#"{"a": 1, "b": 2}"#, r#"{"b":2}"#),
        (
            r#"{"properties": {"a": {"type": "string"}}, "additionalProperties": false}"#,
            r#"{"a": 1, "b": 2}"#,
            r#"/a: 1 is not of type "string""#,
        ),
        (
            r#"{"additionalProperties": {"type": "string"}}"#,
            r#"{"a": 1}"#,
            r#"/a: 1 is not of type "string""#,
        ),
        (
            r#"{"maxProperties": 1}"#,
            r#"{"a": 1, "b": 2}"#,
            ": {\"a\":1,\"b\":2} has more than 1 property",
        ),
        (r#"{"items": false}"#, "[1]", "/0: False schema does not allow 1"),
        ("{}", "{", ": 1:1: not a JSON document: EOF while parsing an object"),
    ] {
        let became = becomes(reader, payload);
        assert!(became.starts_with(expected), "{reader} {payload}: {became}");
    }
}

#[test]
fn required_members_get_their_default() {
    for (reader, payload, expected) in [
        (
            r#"{"required": ["a", "b"], "properties": {"a": {"default": 1.50}, "b": {"default": [ 1 , 2 ]}, "c": {"default": 3}}}"#,
            r#"{"z": 0}"#,
            r#"{"z":0,"a":1.50,"b":[1,2]}"#,
        ),
        (
            r##"{"required": ["a"], "properties": {"a": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"allOf": [{"default": "x"}]}}}"##,
            "{}",
            r#"{"a":"x"}"#,
        ),
        (
            r#"{"allOf": [{"required": ["a"]}, {"properties": {"a": {"default": null}}}]}"#,
            "{}",
            r#"{"a":null}"#,
        ),
        (
            r#"{"required": ["a"], "properties": {"a": {"default": {"u": 1}, "required": ["b"], "properties": {"b": {"default": true}},
                "additionalProperties": false}}}"#,
            "{}",
            r#"{"a":{"b":true}}"#,
        ),
        (
            r#"{"dependentRequired": {"a": ["b"], "b": ["c"]}, "properties": {"b": {"default": 1}, "c": {"default": 2}}}"#,
            r#"{"a": 0}"#,
            r#"{"a":0,"b":1,"c":2}"#,
        ),
        (
            r#"{"required": ["a"], "properties": {"a": {}}}"#,
            "{}",
            r#": "a" is a required property"#,
        ),
        (
            r#"{"required": ["a"], "properties": {"a": {"type": "string", "default": 1}}}"#,
            "{}",
            r#"/a: 1 is not of type "string""#,
        ),
        (
            r##"{"required": ["a"], "properties": {"a": {"default": {}, "$ref": "#"}}}"##,
            "{}",
            ": nests deeper than 100 levels with its defaults filled in",
        ),
    ] {
        assert_eq!(becomes(reader, payload), expected, "{reader} {payload}");
    }
}

#[test]
fn another_format_is_never_converted() {
    let json = schema::Schema::Json(schema("{}"));
    let avro = tidings_schema::avro::Schema::parse(&Definition::text("\"string\""), &[]);
    let avro_schema = schema::Schema::Avro(avro.expect("a schema"));
    let violations = json.convert(&avro_schema, b"1").expect_err("another format");
    assert_eq!(shown(&violations), ": a payload in JSON Schema cannot be converted to Avro");
    assert_eq!(json.convert(&json, b"not even JSON"), Ok(None), "the same schema");
}

#[test]
fn hostile_payloads_end_in_time() {
    let closed = r##"{"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"a": {"$ref": "#/$defs/n"}, "b": {"type": "string"}},
        "additionalProperties": false}}}"##;
    let branches: Vec<_> = (0..3)
        .map(|at| {
            json!({"properties": {"a": {"$ref": "#/$defs/n"}, (format!("k{at}")): {}}, "additionalProperties": false})
        })
        .collect();
    let branching = json!({"$ref": "#/$defs/n", "$defs": {"n": {"anyOf": branches}}}).to_string();
    let itself = r##"{"anyOf": [{"$ref": "#"}, {"type": "string"}]}"##;
    let wide = |count: usize| {
        let members: Vec<_> = (0..count).map(|index| format!("\"u{index}\":[{index}]")).collect();
        format!("{{{}}}", members.join(","))
    };
    let deep =
        |count: usize| format!("{}{{\"u\":1}}{}", "{\"a\":".repeat(count), "}".repeat(count));
    for (name, reader, payload) in [
        ("wide", closed, wide(80_000)),
        ("deep", closed, deep(90)),
        ("deeper", closed, deep(100_000)),
        ("branching", &branching, deep(60)),
        ("branching and wide", &branching, wide(80_000)),
        ("itself", itself, deep(60)),
    ] {
        let start = std::time::Instant::now();
        let became = becomes(reader, &payload);
        println!("{name}: {:?}: {:.100}", start.elapsed(), became);
        assert!(start.elapsed() < std::time::Duration::from_secs(8), "{name}");
    }
}
