//! Payloads against their schema.

use tidings_schema::{definition::Definition, protobuf::Schema};

fn schema() -> Schema {
    let text = "syntax = \"proto2\"; message Order { required string id = 1; repeated Line lines = 2; map<string, Line> by_sku = 3; \
        optional Kind kind = 4; } message Line { required int32 count = 1; } enum Kind { A = 0; }";
    Schema::parse("Order", &Definition::text(text), &[]).expect("it parses")
}

#[test]
fn json_is_checked_with_pointers() {
    let schema = schema();
    assert_eq!(
        schema.validate_json(r#"{"id": "a", "lines": [{"count": 1}], "kind": "A"}"#),
        Ok(())
    );
    for (json, path) in [
        (r#"{"id": "a", "nope": 1}"#, "/nope"),
        (r#"{"id": "a", "lines": [{"count": 1}, {"count": "x"}]}"#, "/lines/1/count"),
        (r#"{"id": 7}"#, "/id"),
        (r#"{"id": "a", "kind": "B"}"#, "/kind"),
        (r#"{"lines": []}"#, "/id"),
        (r#"{"id": "a", "bySku": {"a/b": {}}}"#, "/bySku/a~1b/count"),
        (r#"{"id": "a", "lines": [{}]}"#, "/lines/0/count"),
        (r#"{"id": "a"} x"#, ""),
        ("[]", ""),
        ("", ""),
    ] {
        let violations = schema.validate_json(json).expect_err(json);
        assert_eq!(violations[0].path, path, "{json}: {violations:?}");
    }
    schema.validate_json(&"[".repeat(100_000)).expect_err("too deep");
}

#[test]
fn binary_may_have_more_than_the_schema() {
    let schema = schema();
    assert_eq!(schema.validate_binary(b"\x0a\x01a\xf8\x07\x01"), Ok(()));
    schema.validate_binary(b"\x0a\x05a").expect_err("cut off");
    let violations = schema.validate_binary(b"").expect_err("the id is missing");
    assert_eq!(violations[0].path, "/id");
    let violations =
        schema.validate_binary(b"\x0a\x01a\x12\x00").expect_err("the count is missing");
    assert_eq!(violations[0].path, "/lines/0/count");
    schema.validate_binary(&[0x13; 10_000]).expect_err("groups that never end");
}
