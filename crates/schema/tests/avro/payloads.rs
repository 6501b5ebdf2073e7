//! Valid and invalid payloads, and their violations.

use tidings_schema::avro::Schema;

use crate::cases::schema;

const ORDER: &str = r#"{
    "type": "record", "name": "Order", "namespace": "shop", "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "count", "type": "int"},
        {"name": "note", "type": ["null", "string"], "default": null},
        {"name": "colour", "type": {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}},
        {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 2}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}},
        {"name": "lines", "type": {"type": "array", "items": ["Hash", "Colour", "double"]}},
        {"name": "tags", "type": {"type": "map", "values": "long"}},
        {"name": "parent", "type": ["null", "Order"], "default": null}
    ]
}"#;

const PAYLOAD: &str = r#"{
    "id": "550e8400-e29b-41d4-a716-446655440000", "count": 3, "note": {"string": "fine"}, "colour": "RED",
    "hash": "\u0000\u00ff", "price": "\u0005", "lines": [{"shop.Hash": "ab"}, {"shop.Colour": "BLUE"}, {"double": 1}],
    "tags": {"a/b": 9007199254740993}, "parent": null
}"#;

fn order() -> Schema {
    schema(ORDER)
}

#[test]
fn json_payloads_use_avros_json_encoding() {
    assert_eq!(order().validate_json(PAYLOAD), Ok(()));
    for (from, to, path, message) in [
        ("\"count\": 3", "\"count\": 3.5", "/count", "3.5 is not an int of 32 bits"),
        ("\"count\": 3", "\"count\": 3000000000", "/count", "3000000000 is not an int of 32 bits"),
        ("\"count\": 3", "\"count\": \"3\"", "/count", "a string is not a value of int"),
        ("\"count\": 3", "\"counts\": 3", "", "the field count is missing"),
        (
            "\"count\": 3",
            "\"count\": 3, \"more\": 1",
            "",
            "record shop.Order has no field \"more\"",
        ),
        ("{\"string\": \"fine\"}", "\"fine\"", "/note", "such as {\"string\": …}"),
        ("{\"string\": \"fine\"}", "{\"null\": null}", "/note", "such as {\"string\": …}"),
        (
            "{\"string\": \"fine\"}",
            "{\"string\": 3}",
            "/note/string",
            "a number is not a value of string",
        ),
        ("\"RED\"", "\"GREEN\"", "/colour", "\"GREEN\" is not a symbol of enum shop.Colour"),
        ("\\u0000\\u00ff", "abc", "/hash", "fixed shop.Hash has 2 bytes; the value has 3"),
        (
            "\\u0000\\u00ff",
            "\\u0000\\u0100",
            "/hash",
            "a byte is a character from U+0000 to U+00FF",
        ),
        ("\"\\u0005\"", "\"\"", "/price", "a decimal has at least one byte"),
        ("\"\\u0005\"", "\"\\u007f\\u00ff\"", "/price", "the decimal has more than 4 digits"),
        ("550e8400-", "550e8400", "/id", "is not a uuid"),
        ("{\"shop.Hash\": \"ab\"}", "{\"Hash\": \"ab\"}", "/lines/0", "such as {\"shop.Hash\": …}"),
        ("{\"double\": 1}", "null", "/lines/2", "null is not a branch of"),
        ("9007199254740993", "9223372036854775808", "/tags/a~1b", "is not a long of 64 bits"),
    ] {
        assert!(PAYLOAD.contains(from), "{from}");
        let violations = order().validate_json(&PAYLOAD.replace(from, to)).expect_err(to);
        assert_eq!(violations[0].path, path, "{to}: {violations:?}");
        assert!(violations[0].message.contains(message), "{to}: {violations:?}");
    }
    let missing = order().validate_json("{}").expect_err("an empty object");
    assert_eq!(missing.len(), 9, "every field is reported: {missing:?}");
    assert!(missing[2].message.contains("its default applies only"), "{missing:?}");
    assert!(order().validate_json("{").expect_err("incomplete")[0].message.contains("is not JSON"));
}

#[test]
fn binary_violations_have_a_byte_and_a_path() {
    let schema = schema(
        r#"{"type": "record", "name": "R", "fields": [
            {"name": "flag", "type": "boolean"},
            {"name": "of", "type": {"type": "array", "items": {"type": "map", "values": ["null", "string"]}}},
            {"name": "day", "type": {"type": "int", "logicalType": "time-millis"}}
        ]}"#,
    );
    // true, [{"k": "é"}], 1
    let good: [u8; 12] = [1, 2, 2, 2, b'k', 2, 4, 0xc3, 0xa9, 0, 0, 2];
    assert_eq!(schema.validate_binary(&good), Ok(()));
    // The same with block sizes.
    let sized: [u8; 14] = [1, 1, 18, 1, 12, 2, b'k', 2, 4, 0xc3, 0xa9, 0, 0, 2];
    assert_eq!(schema.validate_binary(&sized), Ok(()));
    for (index, byte, path, message) in [
        (0, 2, "/flag", "at byte 1: a boolean is the byte 0 or 1, not 2"),
        (5, 4, "/of/0/k", "the union has no branch with the index 2: it has 2"),
        (8, 0x20, "/of/0/k", "the string is not UTF-8 from byte 7 on"),
        (6, 80, "/of/0/k", "40 bytes are expected, and 5 remain"),
        (11, 1, "/day", "-1 is not a time of day"),
    ] {
        let mut bad = good;
        bad[index] = byte;
        let violations = schema.validate_binary(&bad).expect_err(message);
        assert_eq!(violations[0].path, path, "{violations:?}");
        assert!(violations[0].message.contains(message), "{violations:?}");
    }
    let wrong_size: [u8; 14] = [1, 1, 18, 1, 14, 2, b'k', 2, 4, 0xc3, 0xa9, 0, 0, 2];
    let violations = schema.validate_binary(&wrong_size).expect_err("a wrong size");
    assert!(
        violations[0].message.contains("the size of the block does not match"),
        "{violations:?}"
    );
    // The marker of single-object encoding is not part of a datum.
    assert!(schema.validate_binary(&[0xc3, 0x01, 0, 0]).is_err());
}
