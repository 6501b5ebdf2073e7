//! Payloads of one version as payloads of another, and in JSON: what is kept, dropped and refused, for chosen cases and for
//! many random ones. The judges are prost-reflect and Google's own Protobuf.

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
    google::{hex, side},
    model::Chance,
    pairs::{pair, pairs, parse, run},
};

const PAYLOADS: usize = 8;

fn of(schema: protobuf::Schema) -> schema::Schema {
    schema::Schema::Protobuf(schema)
}

fn descriptor(schema: &schema::Schema) -> MessageDescriptor {
    match schema {
        schema::Schema::Protobuf(schema) => schema.descriptor().expect("one message"),
        _ => unreachable!("all schemas here are of Protobuf"),
    }
}

fn known_throughout(message: &DynamicMessage) -> bool {
    let known = |value: &Value| value.as_message().is_none_or(known_throughout);
    message.unknown_fields().next().is_none()
        && message.fields().all(|(_, value)| match value {
            Value::List(values) => values.iter().all(known),
            Value::Map(entries) => entries.values().all(known),
            value => known(value),
        })
}

fn parsed(descriptor: &MessageDescriptor, json: &str) -> DynamicMessage {
    let mut source = serde_json::Deserializer::from_str(json);
    DynamicMessage::deserialize(descriptor.clone(), &mut source)
        .unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// What we make of JSON and of bytes is what prost-reflect makes of them.
fn agree_on_json(schema: &schema::Schema, bytes: &[u8]) {
    let descriptor = descriptor(schema);
    // Zeros that were written where presence is implicit are no difference: neither are they one in JSON.
    let value = |it: &DynamicMessage| serde_json::to_value(it).expect("it has its JSON");
    let decoded = |bytes: &[u8]| {
        value(&DynamicMessage::decode(descriptor.clone(), bytes).expect("it decodes"))
    };
    let theirs = decoded(bytes);
    let ours = schema.to_json(bytes).expect("it has its JSON");
    assert_eq!(value(&parsed(&descriptor, &ours)), theirs, "{ours}");
    for text in [ours, theirs.to_string()] {
        let encoded = schema.encode(&text).unwrap_or_else(|it| panic!("{it:?}: {text}"));
        assert_eq!(decoded(&encoded), theirs, "{text}");
        assert_eq!(schema.encode(&text), Ok(encoded), "the same payload is the same bytes");
    }
}

/// Whether a difference is none: two values that say nothing, or one number of two types, as defaults may be.
fn says_the_same(difference: &str) -> bool {
    let (_, values) = difference.rsplit_once(": ").unwrap_or_default();
    let Some((was, is)) = values.split_once(" became ") else { return false };
    // A float is shown with the digits that a float needs, and as a double with more.
    let float = |it: &str| -> Option<f32> {
        let inside = it.strip_prefix("F32(").or_else(|| it.strip_prefix("F64("))?;
        inside.trim_end_matches(')').parse().ok()
    };
    if let (Some(was), Some(is)) = (float(was), float(is)) {
        return was == is;
    }
    let [was, is] = [was, is].map(|value| {
        let inside = value.split_once('(').map_or("", |(_, it)| it.trim_end_matches(')'));
        match inside {
            "\"\"" | "b\"\"" | "false" => Some(0.0),
            number => number.parse::<f64>().ok(),
        }
    });
    was.is_some() && was == is
}

#[derive(Debug, Default)]
struct Counts {
    kept: usize,
    rewritten: usize,
    refused: usize,
    refused_though_compatible: usize,
    short: usize,
}

#[test]
fn what_is_converted_is_what_was_written() {
    let counts = RefCell::new([Counts::default(), Counts::default()]);
    run(|seed| {
        let Some((old_file, new_file)) = pair(seed) else { return };
        let (Some(old), Some(new)) = (parse(&old_file), parse(&new_file)) else { return };
        let options = Options { surface: Surface::WireJson, ..Options::default() };
        let accepted = old.compare(&new, options).verdict(Direction::Both) == Verdict::Compatible;
        let (old, new) = (Arc::new(of(old)), Arc::new(of(new)));
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
                let short =
                    converter.convert(&bytes, &mut out).map(|changed| changed.then_some(out));
                let meant = |it: &Result<Option<Vec<u8>>, Vec<Violation>>| {
                    let result = it.as_ref().ok()?.as_ref().unwrap_or(&bytes);
                    Some(DynamicMessage::decode(descriptor(to), result.as_slice()).ok())
                };
                assert_eq!(meant(&short), meant(&from.convert(to, &bytes)), "both ways agree");
                counts.short += usize::from(converter.has_short_way());
                let result = match short {
                    Ok(None) => {
                        counts.kept += 1;
                        bytes
                    }
                    Ok(Some(converted)) => {
                        counts.rewritten += 1;
                        converted
                    }
                    Err(violations) => {
                        assert!(!violations.is_empty());
                        counts.refused += 1;
                        // A reader that does not know a number has no JSON of it.
                        let told = violations.iter().all(|it| it.message.contains("of the enum"));
                        counts.refused_though_compatible += usize::from(accepted && !told);
                        continue;
                    }
                };
                assert_eq!(to.validate_binary(&result), Ok(()));
                let read = DynamicMessage::decode(descriptor(to), result.as_slice());
                let read = read.expect("it decodes");
                let say = || format!("{}\n{}", old_file.text(), new_file.text());
                assert!(known_throughout(&read), "{}", say());
                let lost = difference(&written, &read).filter(|it| accepted || !says_the_same(it));
                assert_eq!(lost, None, "{}", say());
                agree_on_json(to, &result);
                // What was converted is one of the reader's own now.
                assert_eq!(to.convert(to, &result), Ok(None));
            }
        }
    });
    let counts = counts.into_inner();
    println!("versions of one line: {:?}\nothers: {:?}", counts[1], counts[0]);
    assert!(counts[1].kept > 0 && counts[1].rewritten > 0 && counts[1].short > 0);
    assert_eq!(counts[1].refused_though_compatible, 0);
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
        let (old, new) = (of(old), of(new));
        let mut chance = Chance::new(seed);
        for (from, to) in [(&old, &new), (&new, &old)] {
            let mut converted = Vec::new();
            for _ in 0..PAYLOADS {
                let bytes = payload(&descriptor(from), &mut chance, 2).encode_to_vec();
                let Ok(result) = from.convert(to, &bytes) else { continue };
                let result = result.unwrap_or_else(|| bytes.clone());
                let text = to.to_json(&result).expect("it has its JSON");
                converted.push(json!([hex(&bytes), hex(&result), text]));
                count += 1;
            }
            let job = json!({
                "name": format!("seed {seed}"),
                "written": side(&descriptor(from)),
                "read": side(&descriptor(to)),
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
    let answers = String::from_utf8(output.stdout).expect("it writes a text");
    let refuted: Vec<&str> = answers.lines().filter(|it| !it.contains("\"why\": null")).collect();
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
    of(protobuf::Schema::parse("M", &definition, &[]).unwrap_or_else(|error| panic!("{error}")))
}

/// What a payload in JSON becomes, in the reader's JSON; `=` where the bytes stay; or what stands in the way.
fn becomes(old: &str, new: &str, payload: &str) -> String {
    let (writer, reader) = (schema(old), schema(new));
    let bytes = writer.encode(payload).unwrap_or_else(|it| panic!("{it:?}: {payload}"));
    match writer.convert(&reader, &bytes) {
        Ok(None) => format!("= {}", reader.to_json(&bytes).expect("its JSON")),
        Ok(Some(bytes)) => reader.to_json(&bytes).expect("its JSON"),
        Err(violations) => shown(&violations),
    }
}

fn shown(violations: &[Violation]) -> String {
    let lines = violations.iter().map(|it| format!("{}: {}", it.path, it.message));
    lines.collect::<Vec<_>>().join("; ")
}

#[test]
fn what_a_version_does_not_declare_is_dropped_at_any_depth() {
    let old = "message M { string a = 1; N n = 2; repeated N ns = 3; map<string, N> by = 4; \
        google.protobuf.Any any = 5; int32 gone = 6; } message N { int32 x = 1; int32 y = 2; }";
    let new = old.replace("int32 y = 2;", "").replace("int32 gone = 6;", "");
    assert_eq!(
        becomes(
            old,
            &new,
            r#"{"a": "é", "gone": 1, "n": {"x": 1, "y": 2}, "ns": [{"y": 3}, {"x": 4}], "by": {"k": {"x": 5, "y": 6}},
                "any": {"@type": "type.googleapis.com/N", "x": 7}}"#
        ),
        r#"{"a":"é","n":{"x":1},"ns":[{},{"x":4}],"by":{"k":{"x":5}},"any":{"@type":"type.googleapis.com/N","x":7}}"#
    );
    let kept = r#"{"a":"é","n":{"x":1},"by":{"k":{}}}"#;
    assert_eq!(becomes(old, &new, kept), format!("= {kept}"));
    assert_eq!(becomes(&new, old, kept), format!("= {kept}"));
}

#[test]
fn values_of_other_types_stay_the_same_values() {
    for (was, is, value, expected) in [
        ("int32", "int64", "-1", r#"= {"v":"-1"}"#),
        ("int64", "int32", "\"-5\"", r#"= {"v":-5}"#),
        (
            "int64",
            "int32",
            "\"4294967296\"",
            "/v: 4294967296 is not a value of int32, the type in the version asked for",
        ),
        (
            "int32",
            "uint32",
            "-1",
            "/v: -1 is not a value of uint32, the type in the version asked for",
        ),
        ("uint32", "int64", "4294967295", r#"= {"v":"4294967295"}"#),
        ("int32", "sint32", "-1", r#"{"v":-1}"#),
        ("sint64", "fixed32", "\"7\"", r#"{"v":7}"#),
        ("bool", "int32", "true", r#"= {"v":1}"#),
        ("int32", "bool", "2", "/v: 2 is not a value of bool, the type in the version asked for"),
        ("float", "double", "0.5", r#"{"v":0.5}"#),
        ("double", "float", "0.5", r#"{"v":0.5}"#),
        ("double", "float", "0.1", "/v: 0.1 is not a float of 32 bits"),
        ("string", "bytes", "\"hi\"", r#"= {"v":"aGk="}"#),
        ("bytes", "string", "\"aGk=\"", r#"= {"v":"hi"}"#),
        (
            "bytes",
            "string",
            "\"//4=\"",
            "/v: these bytes are not UTF-8, and a string in the version asked for is",
        ),
        (
            "string",
            "int32",
            "\"1\"",
            "/v: M.v is string, which is not read as the int32 of the version asked for",
        ),
        (
            "int32",
            "double",
            "1",
            "/v: M.v is int32, which is not read as the double of the version asked for",
        ),
        ("E", "int32", "\"B\"", r#"= {"v":1}"#),
        ("int32", "E", "1", r#"= {"v":"B"}"#),
        ("int32", "E", "7", "/v: 7 is not a value of the enum E in the version asked for"),
        ("E", "E", "9", "/v: 9 is not a value of the enum E in the version asked for"),
        ("int32", "repeated int32", "3", r#"{"v":[3]}"#),
        ("repeated int32", "int32", "[3]", r#"{"v":3}"#),
        ("repeated int32", "int32", "[]", "= {}"),
        (
            "repeated int32",
            "int32",
            "[3, 4]",
            "/v: M.v has 2 values here, and one in the version asked for",
        ),
        (
            "repeated int64",
            "repeated int32",
            "[\"1\", \"99999999999\"]",
            "/v/1: 99999999999 is not a value of int32, the type in the version asked for",
        ),
        (
            "map<string, int64>",
            "map<string, int32>",
            "{\"a/b\": \"99999999999\"}",
            "/v/a~1b: 99999999999 is not a value of int32, the type in the version asked for",
        ),
        ("map<int32, string>", "map<int64, string>", "{\"-1\": \"x\"}", r#"= {"v":{"-1":"x"}}"#),
        (
            "map<string, int32>",
            "map<string, E2>",
            "{\"a\": 0}",
            "/v/a: M.v.value is int32, which is not read as the E2 of the version asked for",
        ),
        (
            "map<string, int32>",
            "repeated E2",
            "{\"a\": 1}",
            "/v: M.v is map<string, int32>, and repeated E2 in the version asked for",
        ),
        (
            "google.protobuf.Timestamp",
            "google.protobuf.Duration",
            "\"1970-01-01T00:00:01Z\"",
            "/v: a google.protobuf.Timestamp is not converted to a google.protobuf.Duration",
        ),
        ("google.protobuf.Int32Value", "google.protobuf.Int64Value", "5", r#"= {"v":"5"}"#),
    ] {
        let of = |kind: &str| {
            format!(
                "message M {{ {kind} v = 1; }} enum E {{ A = 0; B = 1; }} message E2 {{ string key = 1; }}"
            )
        };
        let payload = format!("{{\"v\": {value}}}");
        assert_eq!(becomes(&of(was), &of(is), &payload), expected, "{was} {is}");
    }
}

#[test]
fn choices_defaults_and_what_is_required() {
    let oneof = "message M { oneof o { int32 a = 1; int32 b = 2; } int32 c = 3; }";
    let apart = "message M { int32 a = 1; oneof o { int32 b = 2; int32 c = 3; } }";
    assert_eq!(
        becomes(oneof, apart, r#"{"b": 1, "c": 2}"#),
        ": M.b and M.c are both set, and are one choice, o, in the version asked for"
    );
    assert_eq!(becomes(oneof, apart, r#"{"b": 0}"#), r#"= {"b":0}"#);
    // Both members are in the bytes; only the last counts, and the reader does not know it.
    let (writer, reader) = (schema(oneof), schema("message M { int32 a = 1; int32 c = 3; }"));
    let converted = writer.convert(&reader, b"\x08\x05\x10\x06\x18\x07").expect("converted");
    assert_eq!(converted.as_deref(), Some(&b"\x18\x07"[..]));
    let old = "message M { optional int32 a = 1 [default = 5]; optional string s = 2; }";
    let new = "message M { optional int64 a = 1 [default = 6]; optional string s = 2 [default = \"x\"]; }";
    assert_eq!(becomes(old, new, "{}"), r#"{"a":"5","s":""}"#);
    assert_eq!(becomes(old, new, r#"{"a": 6, "s": "y"}"#), r#"= {"a":"6","s":"y"}"#);
    assert_eq!(becomes(old, "message M { int32 a = 1; string s = 2; }", "{}"), r#"{"a":5}"#);
    let required = "message M { optional N n = 1; } message N { required int32 x = 1; }";
    assert_eq!(
        becomes(
            &required.replace("required", "optional").replace("M {", "M { /* default = */"),
            required,
            r#"{"n": {}}"#
        ),
        "/n/x: the required field N.x is missing"
    );
}

#[test]
fn what_the_writer_did_not_declare_and_the_reader_does_is_kept() {
    let (old, new) =
        (schema("message M { int32 a = 1; }"), schema("message M { int32 a = 1; string b = 2; }"));
    assert_eq!(old.convert(&new, b"\x08\x01\x12\x01x"), Ok(None));
    let refused = old.convert(&new, b"\x08\x01\x10\x01").expect_err("a varint");
    assert_eq!(shown(&refused), ": at byte 4: M.b is string, and here is a varint");
    assert_eq!(new.convert(&old, b"\x08\x01\x12\x01x"), Ok(Some(b"\x08\x01".to_vec())));
    assert_eq!(new.convert(&old, b"\x08\x01\x1b\x08\x01\x1c"), Ok(Some(b"\x08\x01".to_vec())));
}

#[test]
fn several_messages_of_one_field_are_one() {
    let text =
        "message M { required N n = 1; } message N { required int32 x = 1; required int32 y = 2; }";
    let schema = schema(text);
    assert_eq!(schema.validate_binary(b"\x0a\x02\x08\x01\x0a\x02\x10\x02"), Ok(()));
    assert_eq!(
        schema.to_json(b"\x0a\x02\x08\x01\x0a\x02\x10\x02"),
        Ok(r#"{"n":{"x":1,"y":2}}"#.to_owned())
    );
    let missing = schema.validate_binary(b"\x0a\x02\x08\x01\x0a\x02\x08\x02").expect_err("no y");
    assert_eq!(shown(&missing), "/n/y: the required field N.y is missing");
    let map =
        self::schema("message M { map<int32, N> by = 1; } message N { required int32 x = 1; }");
    let missing = map.validate_binary(b"\x0a\x02\x08\x07").expect_err("no value");
    assert_eq!(missing[0].path, "/by/7/x");
}

#[test]
fn messages_with_a_json_of_their_own() {
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
    let bytes = schema.encode(full).unwrap_or_else(|it| panic!("{}", shown(&it)));
    assert_eq!(schema.to_json(&bytes).as_deref(), Ok(full));
    agree_on_json(&schema, &bytes);
    for (json, path, message) in [
        (r#"{"t": "yesterday"}"#, "/t", "is not a time such as"),
        (r#"{"d": 1}"#, "/d", "is not a duration such as"),
        (r#"{"f": "foo_bar"}"#, "/f", "is not a path of a field mask"),
        (r#"{"any": {"@type": "nope"}}"#, "/any/@type", "is not the address of a message"),
        (r#"{"any": {"x": 1}}"#, "/any", "says in \"@type\""),
        (
            r#"{"any": {"@type": "a/google.protobuf.Duration", "value": "1s", "x": 1}}"#,
            "/any/x",
            "has its JSON in \"value\"",
        ),
        (
            r#"{"any": {"@type": "a/google.protobuf.Duration", "seconds": 1}}"#,
            "/any/seconds",
            "has its JSON in \"value\"",
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
    // Every message with a JSON of its own is the member "value" of an Any, and Empty may be.
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
        let bytes = schema.encode(&json).unwrap_or_else(|it| panic!("{json}: {}", shown(&it)));
        assert_eq!(schema.to_json(&bytes).as_deref(), Ok(json.as_str()));
    }
    let empty = r#"{"any":{"@type":"a/google.protobuf.Empty"}}"#;
    let with_value = r#"{"any":{"@type":"a/google.protobuf.Empty","value":{}}}"#;
    let bytes = schema.encode(empty).unwrap_or_else(|it| panic!("{}", shown(&it)));
    assert_eq!(schema.encode(with_value).as_ref(), Ok(&bytes));
    assert_eq!(schema.to_json(&bytes).as_deref(), Ok(empty));
    // An Any of a type that nobody knows is passed on, and has no JSON.
    let unknown = b"\x3a\x05\x0a\x03a/X";
    assert_eq!(schema.validate_binary(unknown), Ok(()));
    assert!(shown(&schema.to_json(unknown).expect_err("unknown")).contains("\"a/X\""));
}

#[test]
fn json_that_is_not_a_payload_is_told_in_full() {
    let schema = schema(
        "message M { int32 i = 1; repeated int64 is = 2; bytes b = 3; float f = 4; map<bool, E> m = 5; \
            oneof o { string x = 6; string y = 7; } int32 snake_case = 8; map<int32, int32> ks = 9; } enum E { A = 0; }",
    );
    for (json, expected) in [
        (r#"{"i": 1.5}"#, "/i: 1.5 is not int32"),
        (r#"{"i": 2147483648}"#, "/i: 2147483648 is not int32"),
        (r#"{"is": [1, "x", 2.0, "3e2"]}"#, "/is/1: \"x\" is not int64"),
        (r#"{"is": 1}"#, "/is: 1 is not an array of repeated int64"),
        (r#"{"b": "a?"}"#, "/b: \"a?\" is not base64, as bytes are in JSON"),
        (r#"{"b": "QR=="}"#, "/b: \"QR==\" is not base64, as bytes are in JSON"),
        (r#"{"b": "_-9"}"#, "/b: \"_-9\" is not base64, as bytes are in JSON"),
        (r#"{"i": "+1"}"#, "/i: \"+1\" is not int32"),
        (r#"{"f": "+1.5"}"#, "/f: \"+1.5\" is not float"),
        (r#"{"ks": {"+1": 1}}"#, "/ks/+1: \"+1\" is not a key: keys here are int32"),
        (r#"{"f": 1e39}"#, "/f: 1e+39 is not float"),
        (r#"{"m": {"yes": "A"}}"#, "/m/yes: \"yes\" is not a key: keys here are bool"),
        (r#"{"m": {"true": "B"}}"#, "/m/true: \"B\" is not a value of the enum E"),
        (r#"{"m": {"true": null}}"#, "/m/true: null is not a value of the enum E"),
        (r#"{"x": "1", "y": "2"}"#, "/y: \"x\" is set already, and o is one choice"),
        (
            r#"{"snakeCase": 1, "snake_case": 2}"#,
            "/snake_case: this is the same field as \"snakeCase\"",
        ),
        (r#"{"i": "x", "b": 1}"#, "/i: \"x\" is not int32; /b: 1 is not bytes"),
        ("7", ": 7 is not an object of M"),
    ] {
        assert_eq!(shown(&schema.validate_json(json).expect_err(json)), expected, "{json}");
    }
    let bytes = schema.encode(r#"{"b": "_-8", "f": "Infinity", "i": 1e2, "x": null, "y": "é"}"#);
    let json = schema.to_json(&bytes.expect("it is one")).expect("its JSON");
    assert_eq!(json, r#"{"i":100,"b":"/+8=","f":"Infinity","y":"é"}"#);
}

#[test]
fn binary_that_is_not_a_payload_is_refused() {
    let schema = schema(
        "message M { required int32 i = 1; repeated sint32 is = 2 [packed = true]; optional string s = 3; \
            repeated E e = 4; repeated M m = 5; optional group G = 6 { optional M x = 1; } repeated fixed64 f = 7; } enum E { A = 1; }",
    );
    for (bytes, expected) in [
        (&b"\x08"[..], ": at byte 1: the payload ends within a number"),
        (
            b"\x08\x01\x0d\x01\x02\x03\x04",
            ": at byte 7: M.i is int32, and here is a value of 4 bytes",
        ),
        (b"\x08\x01\x1a\x01\xff", "/s: the string is not UTF-8 behind its byte 0"),
        (b"\x08\x01\x20\x00", "/e: 0 is not a value of the closed enum E"),
        (b"\x08\x01\x2a\x02\x08\x01\x2a\x00", "/m/1/i: the required field M.i is missing"),
        (b"\x08\x01\x33\x0a\x00\x34", "/g/x/i: the required field M.i is missing"),
        (b"\x08\x01\x33\x0a\x02\x08\x01", ": at byte 7: the payload ends within a group"),
        (
            b"\x08\x01\x34",
            ": at byte 3: a group with the field number 6 ends here, and it did not begin",
        ),
        (
            b"\x08\x01\x3a\x03\x01\x02\x03",
            ": at byte 7: M.f is a list of 8 bytes each, and here are 3",
        ),
        (
            b"\x08\x01\x2a\x04\x08\x01\x0a\x09",
            "/m/0: at byte 8: 9 bytes are wanted here, and 0 are left",
        ),
    ] {
        let violations = schema.validate_binary(bytes).expect_err(expected);
        assert_eq!(shown(&violations), expected, "{bytes:02x?}");
    }
    // Packed and not packed are read alike.
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
    let many = |piece: &[u8]| {
        let mut bytes = b"\x20\x00".to_vec();
        bytes.extend(piece.iter().copied().cycle().take((1 << 20) / piece.len() * piece.len()));
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
                (0..50_000).map(|it| format!("\"u{it}\":1,")).collect::<String>()
            ),
        ),
    ] {
        let start = std::time::Instant::now();
        assert!(schema.encode(&json).is_err(), "{name}");
        println!("{name}: {:?}", start.elapsed());
        assert!(start.elapsed() < std::time::Duration::from_secs(8), "{name}");
    }
}
