//! Conversion of payloads to another version and to JSON: kept, dropped and rejected values, for
//! chosen and for random cases. The results are checked with prost-reflect and with Google's own
//! Protobuf.

use std::{
    cell::RefCell,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, Value};
use serde_json::json;
use tidings_schema::{
    converter::Converter,
    definition::{Definition, Violation},
    finding::{Direction, Options, Surface, Verdict},
    protobuf, schema,
};

use super::{
    decoding::{difference, payload},
    environment::python,
    google::{hex, schema_json},
    model::Chance,
    pairs::{pair, pairs, parse, run},
};

const PAYLOADS: usize = 8;

fn wrapped(schema: protobuf::Schema) -> schema::Schema {
    schema::Schema::Protobuf(schema)
}

fn descriptor(schema: &schema::Schema) -> MessageDescriptor {
    match schema {
        schema::Schema::Protobuf(schema) => schema.descriptor().expect("one message"),
        _ => unreachable!("all schemas are Protobuf schemas"),
    }
}

fn has_no_unknown_fields(message: &DynamicMessage) -> bool {
    let has_no_unknown = |value: &Value| value.as_message().is_none_or(has_no_unknown_fields);
    message.unknown_fields().next().is_none()
        && message.fields().all(|(_, value)| match value {
            Value::List(values) => values.iter().all(has_no_unknown),
            Value::Map(entries) => entries.values().all(has_no_unknown),
            value => has_no_unknown(value),
        })
}

fn parsed(descriptor: &MessageDescriptor, json: &str) -> DynamicMessage {
    let mut source = serde_json::Deserializer::from_str(json);
    DynamicMessage::deserialize(descriptor.clone(), &mut source)
        .unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// Checks that the conversions to and from JSON agree with prost-reflect.
fn agree_on_json(schema: &schema::Schema, bytes: &[u8]) {
    let descriptor = descriptor(schema);
    // Encoded zeros of fields with implicit presence are compared in JSON, where they are not a
    // difference.
    let value =
        |message: &DynamicMessage| serde_json::to_value(message).expect("it has a JSON form");
    let decoded = |bytes: &[u8]| {
        value(&DynamicMessage::decode(descriptor.clone(), bytes).expect("it decodes"))
    };
    let expected = decoded(bytes);
    let actual = schema.to_json(bytes).expect("it has a JSON form");
    assert_eq!(value(&parsed(&descriptor, &actual)), expected, "{actual}");
    for text in [actual, expected.to_string()] {
        let encoded =
            schema.encode(&text).unwrap_or_else(|violations| panic!("{violations:?}: {text}"));
        assert_eq!(decoded(&encoded), expected, "{text}");
        assert_eq!(schema.encode(&text), Ok(encoded), "equal payloads are equal bytes");
    }
}

/// Whether a difference is irrelevant: two zero values, or the same number in two types, as in
/// defaults.
fn is_equivalent(difference: &str) -> bool {
    let (_, values) = difference.rsplit_once(": ").unwrap_or_default();
    let Some((before, after)) = values.split_once(" became ") else { return false };
    // The text of a float has fewer digits than that of the equal double.
    let float = |text: &str| -> Option<f32> {
        let inside = text.strip_prefix("F32(").or_else(|| text.strip_prefix("F64("))?;
        inside.trim_end_matches(')').parse().ok()
    };
    if let (Some(before), Some(after)) = (float(before), float(after)) {
        return before == after;
    }
    let [before, after] = [before, after].map(|value| {
        let inside = value.split_once('(').map_or("", |(_, number)| number.trim_end_matches(')'));
        match inside {
            "\"\"" | "b\"\"" | "false" => Some(0.0),
            number => number.parse::<f64>().ok(),
        }
    });
    before.is_some() && before == after
}

#[derive(Debug, Default)]
struct Counts {
    kept: usize,
    changed: usize,
    rejected: usize,
    rejected_though_compatible: usize,
    projected: usize,
}

#[test]
fn converted_payloads_have_the_written_values() {
    let counts = RefCell::new([Counts::default(), Counts::default()]);
    run(|seed| {
        let Some((old_file, new_file)) = pair(seed) else { return };
        let (Some(old), Some(new)) = (parse(&old_file), parse(&new_file)) else { return };
        let options = Options { surface: Surface::WireJson, ..Options::default() };
        let accepted = old.compare(&new, options).verdict(Direction::Both) == Verdict::Compatible;
        let (old, new) = (Arc::new(wrapped(old)), Arc::new(wrapped(new)));
        let mut chance = Chance::new(seed ^ 0xc0de);
        for (from, to) in [(&old, &new), (&new, &old)] {
            let converter = Converter::new(Arc::clone(from), Arc::clone(to));
            for _ in 0..PAYLOADS {
                let written = payload(&descriptor(from), &mut chance, 2);
                let bytes = written.encode_to_vec();
                assert_eq!(from.validate_binary(&bytes), Ok(()));
                agree_on_json(from, &bytes);
                let mut counts = counts.borrow_mut();
                let counts = &mut counts[usize::from(accepted)];
                let mut out = Vec::new();
                let projected =
                    converter.convert(&bytes, &mut out).map(|changed| changed.then_some(out));
                let decoded_result = |conversion: &Result<Option<Vec<u8>>, Vec<Violation>>| {
                    let result = conversion.as_ref().ok()?.as_ref().unwrap_or(&bytes);
                    Some(DynamicMessage::decode(descriptor(to), result.as_slice()).ok())
                };
                assert_eq!(
                    decoded_result(&projected),
                    decoded_result(&from.convert(to, &bytes)),
                    "the projection and the full conversion agree"
                );
                counts.projected += usize::from(converter.has_projection());
                let result = match projected {
                    Ok(None) => {
                        counts.kept += 1;
                        bytes
                    }
                    Ok(Some(converted)) => {
                        counts.changed += 1;
                        converted
                    }
                    Err(violations) => {
                        assert!(!violations.is_empty());
                        counts.rejected += 1;
                        // A number that the reader's enum does not have has no JSON form.
                        let is_unknown_number = violations
                            .iter()
                            .all(|violation| violation.message.contains("of the enum"));
                        counts.rejected_though_compatible +=
                            usize::from(accepted && !is_unknown_number);
                        continue;
                    }
                };
                assert_eq!(to.validate_binary(&result), Ok(()));
                let read = DynamicMessage::decode(descriptor(to), result.as_slice());
                let read = read.expect("it decodes");
                let texts = || format!("{}\n{}", old_file.text(), new_file.text());
                assert!(has_no_unknown_fields(&read), "{}", texts());
                let lost = difference(&written, &read)
                    .filter(|difference| accepted || !is_equivalent(difference));
                assert_eq!(lost, None, "{}", texts());
                agree_on_json(to, &result);
                // The result is a payload of the reader's version.
                assert_eq!(to.convert(to, &result), Ok(None));
            }
        }
    });
    let counts = counts.into_inner();
    println!("versions of one line: {:?}\nothers: {:?}", counts[1], counts[0]);
    assert!(counts[1].kept > 0 && counts[1].changed > 0 && counts[1].projected > 0);
    assert_eq!(counts[1].rejected_though_compatible, 0);
}

#[test]
fn googles_decoder_reads_what_was_converted() {
    let Some(python) = python("Google's Protobuf", &["protobuf==6.33.1"]) else { return };
    let mut jobs = String::new();
    let mut count = 0;
    for seed in 1..=u64::from(pairs() / 10) {
        let Some((old, new)) = pair(seed) else { continue };
        let (Some(old), Some(new)) = (parse(&old), parse(&new)) else { continue };
        let verdict = old.compare(&new, Options::default()).verdict(Direction::Both);
        if verdict != Verdict::Compatible {
            continue;
        }
        let (old, new) = (wrapped(old), wrapped(new));
        let mut chance = Chance::new(seed);
        for (from, to) in [(&old, &new), (&new, &old)] {
            let mut converted = Vec::new();
            for _ in 0..PAYLOADS {
                let bytes = payload(&descriptor(from), &mut chance, 2).encode_to_vec();
                let Ok(result) = from.convert(to, &bytes) else { continue };
                let result = result.unwrap_or_else(|| bytes.clone());
                let text = to.to_json(&result).expect("it has a JSON form");
                converted.push(json!([hex(&bytes), hex(&result), text]));
                count += 1;
            }
            let job = json!({
                "name": format!("seed {seed}"),
                "written": schema_json(&descriptor(from)),
                "read": schema_json(&descriptor(to)),
                "payloads": [],
                "converted": converted,
                "json": false,
            });
            jobs.push_str(&format!("{job}\n"));
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protobuf/decode.py");
    let mut child = Command::new(python)
        .arg(script)
        .env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut input = child.stdin.take().expect("it has an input");
    let writer = std::thread::spawn(move || input.write_all(jobs.as_bytes()));
    let output = child.wait_with_output().expect("Python ends");
    writer.join().expect("no panic").expect("Python reads all jobs");
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).expect("it writes UTF-8");
    let refuted: Vec<&str> =
        answers.lines().filter(|answer| !answer.contains("\"why\": null")).collect();
    println!("{count} converted payloads, {} refuted", refuted.len());
    assert!(refuted.is_empty(), "{}", refuted.join("\n"));
}

fn schema(text: &str) -> schema::Schema {
    let syntax = if text.contains("required ") || text.contains("default =") { 2 } else { 3 };
    let text = format!(
        "syntax = \"proto{syntax}\"; import \"google/protobuf/any.proto\"; \
        import \"google/protobuf/timestamp.proto\"; import \"google/protobuf/duration.proto\"; \
        import \"google/protobuf/struct.proto\"; import \"google/protobuf/wrappers.proto\"; \
        import \"google/protobuf/field_mask.proto\"; {text}"
    );
    let mut definition = Definition::text(text);
    definition.message_name = "M".to_owned();
    wrapped(
        protobuf::Schema::parse("M", &definition, &[]).unwrap_or_else(|error| panic!("{error}")),
    )
}

/// Converts a JSON payload and returns the reader's JSON, with the prefix `=` if the bytes are
/// unchanged, or the violations.
fn converted_json(old: &str, new: &str, payload: &str) -> String {
    let (writer, reader) = (schema(old), schema(new));
    let bytes =
        writer.encode(payload).unwrap_or_else(|violations| panic!("{violations:?}: {payload}"));
    match writer.convert(&reader, &bytes) {
        Ok(None) => format!("= {}", reader.to_json(&bytes).expect("a JSON form")),
        Ok(Some(bytes)) => reader.to_json(&bytes).expect("a JSON form"),
        Err(violations) => display(&violations),
    }
}

fn display(violations: &[Violation]) -> String {
    let lines =
        violations.iter().map(|violation| format!("{}: {}", violation.path, violation.message));
    lines.collect::<Vec<_>>().join("; ")
}

#[test]
fn undeclared_fields_are_dropped_at_any_depth() {
    let old = "message M { string a = 1; N n = 2; repeated N ns = 3; map<string, N> by = 4; \
        google.protobuf.Any any = 5; int32 gone = 6; } message N { int32 x = 1; int32 y = 2; }";
    let new = old.replace("int32 y = 2;", "").replace("int32 gone = 6;", "");
    assert_eq!(
        converted_json(
            old,
            &new,
            r#"{"a": "é", "gone": 1, "n": {"x": 1, "y": 2}, "ns": [{"y": 3}, {"x": 4}], "by": {"k": {"x": 5, "y": 6}},
                "any": {"@type": "type.googleapis.com/N", "x": 7}}"#
        ),
        r#"{"a":"é","n":{"x":1},"ns":[{},{"x":4}],"by":{"k":{"x":5}},"any":{"@type":"type.googleapis.com/N","x":7}}"#
    );
    let kept = r#"{"a":"é","n":{"x":1},"by":{"k":{}}}"#;
    assert_eq!(converted_json(old, &new, kept), format!("= {kept}"));
    assert_eq!(converted_json(&new, old, kept), format!("= {kept}"));
}

#[test]
fn values_are_preserved_in_other_types() {
    for (from, to, value, expected) in [
        ("int32", "int64", "-1", r#"= {"v":"-1"}"#),
        ("int64", "int32", "\"-5\"", r#"= {"v":-5}"#),
        (
            "int64",
            "int32",
            "\"4294967296\"",
            "/v: 4294967296 is not a value of int32, the type in the requested version",
        ),
        (
            "int32",
            "uint32",
            "-1",
            "/v: -1 is not a value of uint32, the type in the requested version",
        ),
        ("uint32", "int64", "4294967295", r#"= {"v":"4294967295"}"#),
        ("int32", "sint32", "-1", r#"{"v":-1}"#),
        ("sint64", "fixed32", "\"7\"", r#"{"v":7}"#),
        ("bool", "int32", "true", r#"= {"v":1}"#),
        ("int32", "bool", "2", "/v: 2 is not a value of bool, the type in the requested version"),
        ("float", "double", "0.5", r#"{"v":0.5}"#),
        ("double", "float", "0.5", r#"{"v":0.5}"#),
        ("double", "float", "0.1", "/v: 0.1 is not a 32-bit float"),
        ("string", "bytes", "\"hi\"", r#"= {"v":"aGk="}"#),
        ("bytes", "string", "\"aGk=\"", r#"= {"v":"hi"}"#),
        (
            "bytes",
            "string",
            "\"//4=\"",
            "/v: the bytes are not UTF-8, and are a string in the requested version",
        ),
        (
            "string",
            "int32",
            "\"1\"",
            "/v: M.v is string, which cannot be converted to the int32 of the requested version",
        ),
        (
            "int32",
            "double",
            "1",
            "/v: M.v is int32, which cannot be converted to the double of the requested version",
        ),
        ("E", "int32", "\"B\"", r#"= {"v":1}"#),
        ("int32", "E", "1", r#"= {"v":"B"}"#),
        ("int32", "E", "7", "/v: 7 is not a value of the enum E in the requested version"),
        ("E", "E", "9", "/v: 9 is not a value of the enum E in the requested version"),
        ("int32", "repeated int32", "3", r#"{"v":[3]}"#),
        ("repeated int32", "int32", "[3]", r#"{"v":3}"#),
        ("repeated int32", "int32", "[]", "= {}"),
        (
            "repeated int32",
            "int32",
            "[3, 4]",
            "/v: M.v has 2 values, and is singular in the requested version",
        ),
        (
            "repeated int64",
            "repeated int32",
            "[\"1\", \"99999999999\"]",
            "/v/1: 99999999999 is not a value of int32, the type in the requested version",
        ),
        (
            "map<string, int64>",
            "map<string, int32>",
            "{\"a/b\": \"99999999999\"}",
            "/v/a~1b: 99999999999 is not a value of int32, the type in the requested version",
        ),
        ("map<int32, string>", "map<int64, string>", "{\"-1\": \"x\"}", r#"= {"v":{"-1":"x"}}"#),
        (
            "map<string, int32>",
            "map<string, E2>",
            "{\"a\": 0}",
            "/v/a: M.v.value is int32, which cannot be converted to the E2 of the requested version",
        ),
        (
            "map<string, int32>",
            "repeated E2",
            "{\"a\": 1}",
            "/v: M.v is map<string, int32>, and repeated E2 in the requested version",
        ),
        (
            "google.protobuf.Timestamp",
            "google.protobuf.Duration",
            "\"1970-01-01T00:00:01Z\"",
            "/v: a google.protobuf.Timestamp cannot be converted to a google.protobuf.Duration",
        ),
        ("google.protobuf.Int32Value", "google.protobuf.Int64Value", "5", r#"= {"v":"5"}"#),
    ] {
        let text_of = |kind: &str| {
            format!(
                "message M {{ {kind} v = 1; }} enum E {{ A = 0; B = 1; }} message E2 {{ string key = 1; }}"
            )
        };
        let payload = format!("{{\"v\": {value}}}");
        assert_eq!(converted_json(&text_of(from), &text_of(to), &payload), expected, "{from} {to}");
    }
}

#[test]
fn oneofs_defaults_and_required_fields() {
    let oneof = "message M { oneof o { int32 a = 1; int32 b = 2; } int32 c = 3; }";
    let split = "message M { int32 a = 1; oneof o { int32 b = 2; int32 c = 3; } }";
    assert_eq!(
        converted_json(oneof, split, r#"{"b": 1, "c": 2}"#),
        ": M.b and M.c are both set, and share the oneof o in the requested version"
    );
    assert_eq!(converted_json(oneof, split, r#"{"b": 0}"#), r#"= {"b":0}"#);
    // The bytes have both members; only the last counts, and the reader does not declare it.
    let (writer, reader) = (schema(oneof), schema("message M { int32 a = 1; int32 c = 3; }"));
    let converted = writer.convert(&reader, b"\x08\x05\x10\x06\x18\x07").expect("converted");
    assert_eq!(converted.as_deref(), Some(&b"\x18\x07"[..]));
    let old = "message M { optional int32 a = 1 [default = 5]; optional string s = 2; }";
    let new = "message M { optional int64 a = 1 [default = 6]; optional string s = 2 [default = \"x\"]; }";
    assert_eq!(converted_json(old, new, "{}"), r#"{"a":"5","s":""}"#);
    assert_eq!(converted_json(old, new, r#"{"a": 6, "s": "y"}"#), r#"= {"a":"6","s":"y"}"#);
    assert_eq!(converted_json(old, "message M { int32 a = 1; string s = 2; }", "{}"), r#"{"a":5}"#);
    let required = "message M { optional N n = 1; } message N { required int32 x = 1; }";
    assert_eq!(
        converted_json(
            &required.replace("required", "optional").replace("M {", "M { /* default = */"),
            required,
            r#"{"n": {}}"#
        ),
        "/n/x: the required field N.x is missing"
    );
}

#[test]
fn fields_that_only_the_reader_declares_are_kept() {
    let (old, new) =
        (schema("message M { int32 a = 1; }"), schema("message M { int32 a = 1; string b = 2; }"));
    assert_eq!(old.convert(&new, b"\x08\x01\x12\x01x"), Ok(None));
    let rejected = old.convert(&new, b"\x08\x01\x10\x01").expect_err("a varint");
    assert_eq!(display(&rejected), ": at byte 4: M.b is string, but the payload has a varint");
    assert_eq!(new.convert(&old, b"\x08\x01\x12\x01x"), Ok(Some(b"\x08\x01".to_vec())));
    assert_eq!(new.convert(&old, b"\x08\x01\x1b\x08\x01\x1c"), Ok(Some(b"\x08\x01".to_vec())));
}

#[test]
fn several_messages_of_one_field_are_merged() {
    let text =
        "message M { required N n = 1; } message N { required int32 x = 1; required int32 y = 2; }";
    let schema = schema(text);
    assert_eq!(schema.validate_binary(b"\x0a\x02\x08\x01\x0a\x02\x10\x02"), Ok(()));
    assert_eq!(
        schema.to_json(b"\x0a\x02\x08\x01\x0a\x02\x10\x02"),
        Ok(r#"{"n":{"x":1,"y":2}}"#.to_owned())
    );
    let missing = schema.validate_binary(b"\x0a\x02\x08\x01\x0a\x02\x08\x02").expect_err("no y");
    assert_eq!(display(&missing), "/n/y: the required field N.y is missing");
    let map =
        self::schema("message M { map<int32, N> by = 1; } message N { required int32 x = 1; }");
    let missing = map.validate_binary(b"\x0a\x02\x08\x07").expect_err("no value");
    assert_eq!(missing[0].path, "/by/7/x");
}

#[test]
fn messages_with_their_own_json_form() {
    let schema = schema(
        "message M { google.protobuf.Timestamp t = 1; google.protobuf.Duration d = 2; google.protobuf.Struct s = 3; \
            google.protobuf.Value v = 4; google.protobuf.Int64Value w = 5; google.protobuf.FieldMask f = 6; \
            google.protobuf.Any any = 7; google.protobuf.ListValue l = 8; google.protobuf.NullValue n = 9; \
            optional google.protobuf.NullValue o = 10; map<string, google.protobuf.Value> vs = 11; }",
    );
    let full = concat!(
        r#"{"t":"2026-01-31T12:00:00.500Z","d":"-1.500s","s":{"a":{"b":[1.5,"x",null,true]}},"v":null,"w":"9007199254740993","#,
        r#""f":"fooBar,baz","any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"},"l":[{},[]],"#,
        r#""o":null,"vs":{"k":null}}"#
    );
    let bytes = schema.encode(full).unwrap_or_else(|violations| panic!("{}", display(&violations)));
    assert_eq!(schema.to_json(&bytes).as_deref(), Ok(full));
    agree_on_json(&schema, &bytes);
    for (json, path, message) in [
        (r#"{"t": "yesterday"}"#, "/t", "is not a time such as"),
        (r#"{"d": 1}"#, "/d", "is not a duration such as"),
        (r#"{"f": "foo_bar"}"#, "/f", "is not a path of a field mask"),
        (r#"{"any": {"@type": "nope"}}"#, "/any/@type", "is not the type URL of a message"),
        (r#"{"any": {"x": 1}}"#, "/any", "needs the type of its message in \"@type\""),
        (
            r#"{"any": {"@type": "a/google.protobuf.Duration", "value": "1s", "x": 1}}"#,
            "/any/x",
            "has only \"@type\" and \"value\"",
        ),
        (
            r#"{"any": {"@type": "a/google.protobuf.Duration", "seconds": 1}}"#,
            "/any/seconds",
            "has only \"@type\" and \"value\"",
        ),
        (
            r#"{"any": {"@type": "a/google.protobuf.Empty", "value": 1}}"#,
            "/any/value",
            "is not an object of google.protobuf.Empty",
        ),
        (
            r#"{"any": {"@type": "a/google.protobuf.Empty", "value": {"x": 1}}}"#,
            "/any/value/x",
            "has no field",
        ),
        (r#"{"any": {"@type": "a/google.protobuf.Empty", "x": 1}}"#, "/any/x", "has no field"),
        (r#"{"any": {"@type": "a/M", "nope": 1}}"#, "/any/nope", "has no field"),
        (r#"{"w": 9223372036854775808}"#, "/w", "9223372036854775808 is not int64"),
    ] {
        let violations = schema.validate_json(json).expect_err(json);
        assert_eq!(violations[0].path, path, "{json}: {violations:?}");
        assert!(violations[0].message.contains(message), "{json}: {violations:?}");
    }
    // Messages with their own JSON form are the member "value" of an Any. For Empty it is optional.
    for (name, value) in [
        ("Any", r#"{"@type":"a/google.protobuf.Int32Value","value":7}"#),
        ("Timestamp", r#""1970-01-01T00:00:01Z""#),
        ("Duration", r#""1s""#),
        ("FieldMask", r#""a,b""#),
        ("Struct", r#"{"a":1}"#),
        ("ListValue", "[1]"),
        ("Value", "1"),
        ("DoubleValue", "1.5"),
        ("FloatValue", "1.5"),
        ("Int64Value", r#""1""#),
        ("UInt64Value", r#""1""#),
        ("Int32Value", "1"),
        ("UInt32Value", "1"),
        ("BoolValue", "true"),
        ("StringValue", r#""a""#),
        ("BytesValue", r#""YQ==""#),
    ] {
        let json = format!(r#"{{"any":{{"@type":"a/google.protobuf.{name}","value":{value}}}}}"#);
        let bytes = schema
            .encode(&json)
            .unwrap_or_else(|violations| panic!("{json}: {}", display(&violations)));
        assert_eq!(schema.to_json(&bytes).as_deref(), Ok(json.as_str()));
    }
    let empty = r#"{"any":{"@type":"a/google.protobuf.Empty"}}"#;
    let with_value = r#"{"any":{"@type":"a/google.protobuf.Empty","value":{}}}"#;
    let bytes =
        schema.encode(empty).unwrap_or_else(|violations| panic!("{}", display(&violations)));
    assert_eq!(schema.encode(with_value).as_ref(), Ok(&bytes));
    assert_eq!(schema.to_json(&bytes).as_deref(), Ok(empty));
    // An Any of an unknown type is valid, and has no JSON form.
    let unknown = b"\x3a\x05\x0a\x03a/X";
    assert_eq!(schema.validate_binary(unknown), Ok(()));
    assert!(display(&schema.to_json(unknown).expect_err("unknown")).contains("\"a/X\""));
}

#[test]
fn all_violations_of_a_json_payload_are_reported() {
    let schema = schema(
        "message M { int32 i = 1; repeated int64 is = 2; bytes b = 3; float f = 4; map<bool, E> m = 5; \
            oneof o { string x = 6; string y = 7; } int32 snake_case = 8; map<int32, int32> ks = 9; } enum E { A = 0; }",
    );
    for (json, expected) in [
        (r#"{"i": 1.5}"#, "/i: 1.5 is not int32"),
        (r#"{"i": 2147483648}"#, "/i: 2147483648 is not int32"),
        (r#"{"is": [1, "x", 2.0, "3e2"]}"#, "/is/1: \"x\" is not int64"),
        (r#"{"is": 1}"#, "/is: 1 is not an array of repeated int64"),
        (r#"{"b": "a?"}"#, "/b: \"a?\" is not base64, the JSON form of bytes"),
        (r#"{"b": "QR=="}"#, "/b: \"QR==\" is not base64, the JSON form of bytes"),
        (r#"{"b": "_-9"}"#, "/b: \"_-9\" is not base64, the JSON form of bytes"),
        (r#"{"i": "+1"}"#, "/i: \"+1\" is not int32"),
        (r#"{"f": "+1.5"}"#, "/f: \"+1.5\" is not float"),
        (r#"{"ks": {"+1": 1}}"#, "/ks/+1: \"+1\" is not a valid key; the keys are int32"),
        (r#"{"f": 1e39}"#, "/f: 1e+39 is not float"),
        (r#"{"m": {"yes": "A"}}"#, "/m/yes: \"yes\" is not a valid key; the keys are bool"),
        (r#"{"m": {"true": "B"}}"#, "/m/true: \"B\" is not a value of the enum E"),
        (r#"{"m": {"true": null}}"#, "/m/true: null is not a value of the enum E"),
        (r#"{"x": "1", "y": "2"}"#, "/y: \"x\" is already set in the oneof o"),
        (
            r#"{"snakeCase": 1, "snake_case": 2}"#,
            "/snake_case: the same field is already set by \"snakeCase\"",
        ),
        (r#"{"i": "x", "b": 1}"#, "/i: \"x\" is not int32; /b: 1 is not bytes"),
        ("7", ": 7 is not an object of M"),
    ] {
        assert_eq!(display(&schema.validate_json(json).expect_err(json)), expected, "{json}");
    }
    let bytes = schema.encode(r#"{"b": "_-8", "f": "Infinity", "i": 1e2, "x": null, "y": "é"}"#);
    let json = schema.to_json(&bytes.expect("it is one")).expect("a JSON form");
    assert_eq!(json, r#"{"i":100,"b":"/+8=","f":"Infinity","y":"é"}"#);
}

#[test]
fn invalid_binary_payloads_are_rejected() {
    let schema = schema(
        "message M { required int32 i = 1; repeated sint32 is = 2 [packed = true]; optional string s = 3; \
            repeated E e = 4; repeated M m = 5; optional group G = 6 { optional M x = 1; } repeated fixed64 f = 7; } enum E { A = 1; }",
    );
    for (bytes, expected) in [
        (&b"\x08"[..], ": at byte 1: the payload ends inside a number"),
        (
            b"\x08\x01\x0d\x01\x02\x03\x04",
            ": at byte 7: M.i is int32, but the payload has a value of 4 bytes",
        ),
        (b"\x08\x01\x1a\x01\xff", "/s: the string is not valid UTF-8 from byte 0"),
        (b"\x08\x01\x20\x00", "/e: 0 is not a value of the closed enum E"),
        (b"\x08\x01\x2a\x02\x08\x01\x2a\x00", "/m/1/i: the required field M.i is missing"),
        (b"\x08\x01\x33\x0a\x00\x34", "/g/x/i: the required field M.i is missing"),
        (b"\x08\x01\x33\x0a\x02\x08\x01", ": at byte 7: the payload ends inside a group"),
        (b"\x08\x01\x34", ": at byte 3: a group with the field number 6 ends without a start"),
        (
            b"\x08\x01\x3a\x03\x01\x02\x03",
            ": at byte 7: M.f is a list of 8-byte values, but the payload has 3 bytes",
        ),
        (
            b"\x08\x01\x2a\x04\x08\x01\x0a\x09",
            "/m/0: at byte 8: 9 bytes are expected, and 0 remain",
        ),
    ] {
        let violations = schema.validate_binary(bytes).expect_err(expected);
        assert_eq!(display(&violations), expected, "{bytes:02x?}");
    }
    // Packed and unpacked values are equivalent.
    assert_eq!(schema.validate_binary(b"\x08\x01\x10\x03\x12\x02\x01\x02\x20\x01"), Ok(()));
}

#[test]
fn hostile_payloads_end_in_time() {
    let schema = schema(
        "message M { optional M m = 1; repeated M ms = 2; repeated int32 is = 3; required int32 r = 4; map<string, M> by = 5; \
            optional google.protobuf.Value v = 6; repeated E es = 7; } \
            enum E { A_NAME_THAT_IS_LONG_SO_THAT_IT_COSTS_SOMETHING_WHEREVER_IT_IS_WRITTEN = 0; }",
    );
    let reader = self::schema(
        "message M { M m = 1; repeated M ms = 2; repeated bool is = 3; int32 r = 4; }",
    );
    let nested = |tag: u8, depth: usize| {
        let mut bytes = Vec::new();
        for _ in 0..depth {
            let mut outer = vec![0x20, 0, tag];
            prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
            outer.extend(bytes);
            bytes = outer;
        }
        bytes
    };
    let many = |chunk: &[u8]| {
        let mut bytes = b"\x20\x00".to_vec();
        bytes.extend(chunk.iter().copied().cycle().take((1 << 20) / chunk.len() * chunk.len()));
        bytes
    };
    let mut packed = b"\x20\x00\x3a\x80\x80\x40".to_vec();
    packed.extend(vec![0; 1 << 20]);
    for (name, bytes) in [
        ("nested", nested(0x0a, 100_000)),
        ("nested within the bound", nested(0x0a, 99)),
        ("empty messages", many(b"\x12\x00")),
        ("messages of one field", many(b"\x0a\x02\x20\x00")),
        ("entries", many(b"\x2a\x00")),
        ("groups", vec![0x0b; 1 << 20]),
        ("unknown groups", many(b"\x7b\x7c")),
        ("numbers", many(b"\x18\x01")),
        ("names", packed),
        ("ends", vec![0x0c; 1 << 20]),
    ] {
        let start = std::time::Instant::now();
        let _ = schema.validate_binary(&bytes);
        let _ = schema.to_json(&bytes);
        let _ = schema.convert(&reader, &bytes);
        println!("{name}: {:?}", start.elapsed());
        assert!(start.elapsed() < std::time::Duration::from_secs(8), "{name}");
    }
    assert!(schema.validate_binary(&nested(0x0a, 200)).is_err());
    for (name, json) in [
        ("deep", format!("{{\"r\":1,\"v\":{}1{}}}", "[".repeat(98), "]".repeat(98))),
        ("deeper", "{\"m\":".repeat(100_000)),
        ("wide", format!("{{\"is\":[{}1]}}", "\"x\",".repeat(200_000))),
        (
            "unknown",
            format!(
                "{{{}\"r\":1}}",
                (0..50_000).map(|index| format!("\"u{index}\":1,")).collect::<String>()
            ),
        ),
    ] {
        let start = std::time::Instant::now();
        assert!(schema.encode(&json).is_err(), "{name}");
        println!("{name}: {:?}", start.elapsed());
        assert!(start.elapsed() < std::time::Duration::from_secs(8), "{name}");
    }
}
