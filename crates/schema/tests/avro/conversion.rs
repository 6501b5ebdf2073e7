//! Payloads of one version as payloads of another, and in JSON, as the registry hands them out. What resolution makes of a
//! pair is looked at with the libraries of others; here, whether every result is a payload, and says the same.

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
    draw::Payloads,
    generate::Rng,
    pairs::{pair, seeds},
};

#[derive(Debug, Default)]
struct Counts {
    same: usize,
    rewritten: usize,
    refused: usize,
    /// With a short way.
    short: usize,
    /// By the library.
    read: usize,
}

/// Whether a library decodes it to the end. None: it does not read such schemas.
fn read(schema: &Value, payload: &[u8]) -> Option<bool> {
    // It refuses decimals of few bytes, and some uuids.
    if schema.to_string().contains("logicalType") {
        return None;
    }
    let library = Library::parse_str(&schema.to_string()).ok()?;
    let reader = GenericDatumReader::builder(&library).build().ok()?;
    let mut rest = payload;
    Some(reader.read_value(&mut rest).is_ok() && rest.is_empty())
}

#[test]
fn what_is_converted_is_a_payload_of_the_reader() {
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
            let way = Converter::new(Arc::clone(from), Arc::clone(to));
            for payload in (0..8).filter_map(|_| payloads.make(&mut rng)) {
                let say = || format!("{seed}: {text} -> {other}: {payload:02x?}");
                // JSON of it is read back as the same value.
                let json = from.to_json(&payload).unwrap_or_else(|it| panic!("{it:?} {}", say()));
                serde_json::from_str::<Value>(&json).unwrap_or_else(|it| panic!("{it} {}", say()));
                let encoded = from.encode(&json);
                let twice = shown(encoded.as_ref().err().map_or(&[], Vec::as_slice));
                match encoded {
                    Ok(bytes) => {
                        assert_eq!(from.to_json(&bytes).as_ref(), Ok(&json), "{}", say());
                    }
                    // Keys of a map are written as they come; and JSON nests less deep.
                    Err(_) => assert!(
                        twice.contains("twice") || twice.contains("deeper"),
                        "{twice} {}",
                        say()
                    ),
                }
                let long = from.convert(to, &payload);
                if way.has_short_way() {
                    counts.short += 1;
                    assert_agrees(&way, to, &payload, &long, say);
                }
                let result = match long {
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
                        counts.refused += 1;
                        continue;
                    }
                };
                assert_eq!(to.validate_binary(&result), Ok(()), "{}", say());
                let read = read(other, &result);
                assert_ne!(read, Some(false), "{} {result:02x?}", say());
                counts.read += usize::from(read.is_some());
                assert_eq!(to.convert(to, &result), Ok(None));
            }
        }
    }
    println!("versions of one line: {:?}\nothers: {:?}", counts[1], counts[0]);
    assert!(counts[1].rewritten > 0 && counts[1].same > 0 && counts[1].short > 0);
}

/// The short way and the long one come to the same value, be it spelled in other numbers and blocks.
fn assert_agrees(
    way: &Converter,
    to: &Schema,
    payload: &[u8],
    long: &Result<Option<Vec<u8>>, Vec<Violation>>,
    say: impl Fn() -> String,
) {
    let mut out = vec![7];
    let short = way.convert(payload, &mut out);
    assert_eq!((short.is_ok(), out[0]), (long.is_ok(), 7), "{}", say());
    let (Ok(changed), Ok(long)) = (short, long) else { return };
    let short = if changed { &out[1..] } else { payload };
    assert_eq!(to.validate_binary(short), Ok(()), "{}", say());
    let long = long.as_deref().unwrap_or(payload);
    assert_eq!(to.to_json(short), to.to_json(long), "{}", say());
}

fn shown(violations: &[Violation]) -> String {
    let lines = violations.iter().map(|it| format!("{}: {}", it.path, it.message));
    lines.collect::<Vec<_>>().join("; ")
}

fn schema(text: &str) -> Schema {
    Schema::Avro(cases::schema(text))
}

#[test]
fn values_are_resolved_and_meanings_are_not_mixed_up() {
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
            ": at byte 1: the data has no field b, and it has no default",
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
        let bytes = writer.encode(payload).unwrap_or_else(|it| panic!("{}", shown(&it)));
        let became = match writer.convert(&reader, &bytes) {
            Ok(None) => format!("= {}", reader.to_json(&bytes).expect("its JSON")),
            Ok(Some(bytes)) => reader.to_json(&bytes).expect("its JSON"),
            Err(violations) => shown(&violations),
        };
        assert_eq!(became, expected, "{payload}");
    }
}

#[test]
fn json_keeps_what_is_hard_about_it() {
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
        let bytes = schema.encode(json).unwrap_or_else(|it| panic!("{json}: {}", shown(&it)));
        assert_eq!(schema.to_json(&bytes).as_deref(), Ok(json));
    }
    let float = schema("\"float\"").encode("1e300").expect_err("too large");
    assert_eq!(shown(&float), ": 1e+300 is not a float of 32 bits");
    // A null takes no byte in binary, and four in JSON.
    let nulls = schema(r#"{"type": "array", "items": "null"}"#);
    assert!(nulls.to_json(&[0x80, 0xad, 0xe2, 0x04, 0]).is_ok_and(|it| it.len() > 20_000_000));
}
