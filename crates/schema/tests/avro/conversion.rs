//! Conversion of payloads between versions, and to and from JSON. Other tests compare the results
//! with other libraries; these check that each result is a valid payload with the same value.

use std::sync::Arc;

use apache_avro::{Schema as Library, reader::datum::GenericDatumReader};
use serde_json::Value;
use tidings_schema::{
    converter::Converter,
    definition::Violation,
    finding::{Direction, Verdict},
    schema::Schema,
};

use crate::{
    cases,
    generate::Rng,
    pairs::{pair, seeds},
    payload_generator::Payloads,
};

#[derive(Debug, Default)]
struct Counts {
    same: usize,
    rewritten: usize,
    rejected: usize,
    /// Payloads with a projection.
    projected: usize,
    /// Results that the library read.
    read: usize,
}

/// Whether a library decodes a payload completely. `None` if it does not support the schema.
fn read(schema: &Value, payload: &[u8]) -> Option<bool> {
    // It rejects decimals of few bytes, and some uuids.
    if schema.to_string().contains("logicalType") {
        return None;
    }
    let library = Library::parse_str(&schema.to_string()).ok()?;
    let reader = GenericDatumReader::builder(&library).build().ok()?;
    let mut rest = payload;
    Some(reader.read_value(&mut rest).is_ok() && rest.is_empty())
}

#[test]
fn converted_payloads_are_valid_for_the_reader() {
    apache_avro::util::max_allocation_bytes(16 << 20);
    let mut counts = [Counts::default(), Counts::default()];
    for seed in seeds() {
        let Some((old, new, before, after)) = pair(seed) else { continue };
        let accepted = before.compare(&after).verdict(Direction::Both) == Verdict::Compatible;
        let counts = &mut counts[usize::from(accepted)];
        let (before, after) = (Arc::new(Schema::Avro(before)), Arc::new(Schema::Avro(after)));
        for (text, from, other, to) in
            [(&old, &before, &new, &after), (&new, &after, &old, &before)]
        {
            let mut rng = Rng::new(seed ^ 0xc0de);
            let payloads = Payloads::new(text);
            let converter = Converter::new(Arc::clone(from), Arc::clone(to));
            for payload in (0..8).filter_map(|_| payloads.generate(&mut rng)) {
                let context = || format!("{seed}: {text} -> {other}: {payload:02x?}");
                // Its JSON is encoded to the same value.
                let json = from
                    .to_json(&payload)
                    .unwrap_or_else(|violations| panic!("{violations:?} {}", context()));
                serde_json::from_str::<Value>(&json)
                    .unwrap_or_else(|error| panic!("{error} {}", context()));
                let encoded = from.encode(&json);
                let violations = display(encoded.as_ref().err().map_or(&[], Vec::as_slice));
                match encoded {
                    Ok(bytes) => {
                        assert_eq!(from.to_json(&bytes).as_ref(), Ok(&json), "{}", context());
                    }
                    // Duplicate keys of a map are kept, and the depth limit of JSON is lower.
                    Err(_) => assert!(
                        violations.contains("twice") || violations.contains("deeper"),
                        "{violations} {}",
                        context()
                    ),
                }
                let expected = from.convert(to, &payload);
                if converter.has_projection() {
                    counts.projected += 1;
                    assert_agrees(&converter, to, &payload, &expected, context);
                }
                let result = match expected {
                    Ok(None) => {
                        counts.same += 1;
                        payload.clone()
                    }
                    Ok(Some(result)) => {
                        counts.rewritten += 1;
                        result
                    }
                    Err(violations) => {
                        assert!(!violations.is_empty());
                        counts.rejected += 1;
                        continue;
                    }
                };
                assert_eq!(to.validate_binary(&result), Ok(()), "{}", context());
                let read = read(other, &result);
                assert_ne!(read, Some(false), "{} {result:02x?}", context());
                counts.read += usize::from(read.is_some());
                assert_eq!(to.convert(to, &result), Ok(None));
            }
        }
    }
    println!("versions of one line: {:?}\nothers: {:?}", counts[1], counts[0]);
    assert!(counts[1].rewritten > 0 && counts[1].same > 0 && counts[1].projected > 0);
}

/// Asserts that a projection and a full conversion give the same value. The encodings of numbers
/// and blocks may differ.
fn assert_agrees(
    converter: &Converter,
    to: &Schema,
    payload: &[u8],
    expected: &Result<Option<Vec<u8>>, Vec<Violation>>,
    context: impl Fn() -> String,
) {
    let mut out = vec![7];
    let result = converter.convert(payload, &mut out);
    assert_eq!((result.is_ok(), out[0]), (expected.is_ok(), 7), "{}", context());
    let (Ok(changed), Ok(expected)) = (result, expected) else { return };
    let projected = if changed { &out[1..] } else { payload };
    assert_eq!(to.validate_binary(projected), Ok(()), "{}", context());
    let expected = expected.as_deref().unwrap_or(payload);
    assert_eq!(to.to_json(projected), to.to_json(expected), "{}", context());
}

fn display(violations: &[Violation]) -> String {
    let lines =
        violations.iter().map(|violation| format!("{}: {}", violation.path, violation.message));
    lines.collect::<Vec<_>>().join("; ")
}

fn schema(text: &str) -> Schema {
    Schema::Avro(cases::schema(text))
}

#[test]
fn values_are_resolved_and_keep_their_meaning() {
    let record =
        |fields: &str| format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#);
    let field = |name: &str, of: &str| format!(r#"{{"name": "{name}", "type": {of}}}"#);
    let (a, b) = (field("a", "\"int\""), field("b", "\"string\""));
    let millis = field("t", r#"{"type": "long", "logicalType": "timestamp-millis"}"#);
    let decimal = |scale: usize| {
        field(
            "d",
            &format!(
                r#"{{"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": {scale}}}"#
            ),
        )
    };
    let uuid = field("b", r#"{"type": "string", "logicalType": "uuid"}"#);
    for (writer, reader, payload, expected) in [
        (format!("{a},{b}"), a.clone(), r#"{"a": 1, "b": "x"}"#, r#"{"a":1}"#),
        (format!("{a},{b}"), format!("{b},{a}"), r#"{"a": 1, "b": "x"}"#, r#"{"b":"x","a":1}"#),
        (a.clone(), field("a", "\"long\""), r#"{"a": -1}"#, r#"= {"a":-1}"#),
        (a.clone(), field("a", "[\"null\", \"double\"]"), r#"{"a": 3}"#, r#"{"a":{"double":3.0}}"#),
        (
            a.clone(),
            format!(r#"{a},{{"name": "c", "type": ["string", "null"], "default": "é"}}"#),
            r#"{"a": 3}"#,
            r#"{"a":3,"c":{"string":"é"}}"#,
        ),
        (
            a.clone(),
            b.clone(),
            r#"{"a": 3}"#,
            ": at byte 1: the data has no field b, which has no default",
        ),
        (
            millis.clone(),
            millis.replace("millis", "micros"),
            r#"{"t": 3}"#,
            ": at byte 0: long (timestamp-millis) is not read as long (timestamp-micros)",
        ),
        (millis, field("t", "\"long\""), r#"{"t": 3}"#, r#"= {"t":3}"#),
        (
            decimal(2),
            decimal(3),
            r#"{"d": "\u0005"}"#,
            ": at byte 0: bytes (decimal(9, 2)) is not read as bytes (decimal(9, 3))",
        ),
        (
            b,
            uuid,
            r#"{"b": "x"}"#,
            "/b: at byte 2: \"x\" is not a uuid, such as 550e8400-e29b-41d4-a716-446655440000",
        ),
    ] {
        let (writer, reader) = (schema(&record(&writer)), schema(&record(&reader)));
        let bytes =
            writer.encode(payload).unwrap_or_else(|violations| panic!("{}", display(&violations)));
        let actual = match writer.convert(&reader, &bytes) {
            Ok(None) => format!("= {}", reader.to_json(&bytes).expect("its JSON")),
            Ok(Some(bytes)) => reader.to_json(&bytes).expect("its JSON"),
            Err(violations) => display(&violations),
        };
        assert_eq!(actual, expected, "{payload}");
    }
}

#[test]
fn json_keeps_edge_cases() {
    for (of, json) in [
        ("\"long\"", "9007199254740993"),
        ("\"float\"", "0.1"),
        ("\"double\"", "\"-Infinity\""),
        ("\"float\"", "\"NaN\""),
        ("\"double\"", "-0.0"),
        ("\"bytes\"", "\"\\u0000ÿ\\\"\""),
        (r#"{"type": "fixed", "name": "F", "size": 2}"#, "\"aÿ\""),
        (r#"["null", {"type": "map", "values": "boolean"}]"#, r#"{"map":{"\"":false,"a":true}}"#),
        (r#"["null", {"type": "enum", "name": "n.E", "symbols": ["A"]}]"#, r#"{"n.E":"A"}"#),
        (r#"["null", "int"]"#, "null"),
    ] {
        let schema = schema(of);
        let bytes = schema
            .encode(json)
            .unwrap_or_else(|violations| panic!("{json}: {}", display(&violations)));
        assert_eq!(schema.to_json(&bytes).as_deref(), Ok(json));
    }
    let float = schema("\"float\"").encode("1e300").expect_err("too large");
    assert_eq!(display(&float), ": 1e+300 is not a float of 32 bits");
    // A null takes no bytes in binary, and four in JSON.
    let nulls = schema(r#"{"type": "array", "items": "null"}"#);
    assert!(nulls.to_json(&[0x80, 0xad, 0xe2, 0x04, 0]).is_ok_and(|json| json.len() > 20_000_000));
}
