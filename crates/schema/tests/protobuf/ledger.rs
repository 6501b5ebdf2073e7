//! Reuse of numbers and names of earlier versions.

use tidings_schema::{
    definition::Definition,
    finding::{Direction, Options, Severity, Surface},
    protobuf::{Schema, ledger},
};

fn schema(body: &str) -> Schema {
    let text = format!("syntax = \"proto3\"; message M {{ {body} }}");
    Schema::parse("M", &Definition::text(text), &[]).expect("it parses")
}

fn rules(surface: Surface, history: &[&str], new: &str) -> Vec<&'static str> {
    let history: Vec<Schema> = history.iter().map(|body| schema(body)).collect();
    let history: Vec<&Schema> = history.iter().collect();
    let findings = ledger(&history, &schema(new), Options { surface, ..Options::default() });
    for finding in &findings {
        assert_eq!(
            (finding.severity, finding.direction, finding.proven),
            (Severity::Error, Direction::Both, true)
        );
    }
    findings.iter().map(|finding| finding.rule).collect()
}

const NUMBER: &str = "PROTOBUF_FIELD_NUMBER_REUSED";
const NAME: &str = "PROTOBUF_FIELD_NAME_REUSED";

#[test]
fn numbers_and_names_are_not_reused_with_another_meaning() {
    // The history, the new version, and the rules on the surfaces WireJson and Wire.
    type Case<'a> = (&'a [&'a str], &'a str, &'a [&'a str], &'a [&'a str]);
    let cases: [Case<'_>; 16] = [
        // The field returns with another type, or with a type that changed while it was unused.
        (
            &[
                "message L { int32 n = 1; } message K { string s = 1; } L l = 1; K k = 2;",
                "message L { int32 n = 1; } message K { string s = 1; } K k = 2;",
            ],
            "message L { int32 n = 1; } message K { string s = 1; } K l = 1; K k = 2;",
            &[NUMBER],
            &[NUMBER],
        ),
        (
            &["message L { int32 n = 1; } L l = 1;", "message L { string n = 1; }"],
            "message L { string n = 1; } L l = 1;",
            // The field, and the field inside it.
            &[NUMBER, NUMBER],
            &[NUMBER, NUMBER],
        ),
        (
            &["string a = 1; string b = 2;", "string a = 1;"],
            "string a = 1; string c = 2;",
            &[NUMBER],
            &[NUMBER],
        ),
        (
            &["string a = 1; string b = 2;", "string a = 1;"],
            "string a = 1; int32 b = 2;",
            &[NUMBER],
            &[NUMBER],
        ),
        (
            &["string a = 1; string b = 2;", "string a = 1;"],
            "string a = 1; repeated string b = 2;",
            &[NUMBER],
            &[NUMBER],
        ),
        (
            &["string a = 1; string b = 2;", "string a = 1;"],
            "string a = 1; string b = 2;",
            &[],
            &[],
        ),
        (
            &["string a = 1; string b = 2;", "string a = 1;"],
            "string a = 1; string b = 3;",
            &[NAME],
            &[],
        ),
        (
            &["string a = 1; string b = 2;", "string a = 1;", "string a = 1; string z = 9;"],
            "string a = 1; bool c = 2;",
            &[NUMBER],
            &[NUMBER],
        ),
        // A field that was renamed or widened is the same field.
        (
            &["string a = 1;", "string b = 1 [json_name = \"a\"];"],
            "string b = 1 [json_name = \"a\"];",
            &[],
            &[],
        ),
        (&["int32 a = 1;", "int64 a = 1;"], "int64 a = 1;", &[], &[]),
        (
            &["string a = 1; string b = 2;", "string a = 1;"],
            "string a = 1; string x = 3 [json_name = \"b\"];",
            &[NAME],
            &[],
        ),
        // A type is identified by the fields that contain it.
        (
            &[
                "message L { int32 n = 1; int32 o = 2; } L l = 1;",
                "message L { int32 n = 1; } L l = 1;",
            ],
            "message K { int32 n = 1; string p = 2; } K l = 1;",
            &[NUMBER],
            &[NUMBER],
        ),
        (
            &["enum E { A = 0; B = 1; } E e = 1;", "enum E { A = 0; } E e = 1;"],
            "enum E { A = 0; C = 1; } E e = 1;",
            &["PROTOBUF_ENUM_NUMBER_REUSED"],
            &["PROTOBUF_ENUM_NUMBER_REUSED"],
        ),
        (
            &["enum E { A = 0; B = 1; } E e = 1;", "enum E { A = 0; } E e = 1;"],
            "enum E { A = 0; B = 2; } E e = 1;",
            &["PROTOBUF_ENUM_NAME_REUSED"],
            &["PROTOBUF_ENUM_NAME_REUSED"],
        ),
        (
            &["enum E { A = 0; B = 1; } E e = 1;", "enum E { A = 0; } E e = 1;"],
            "enum E { A = 0; B = 1; } E e = 1;",
            &[],
            &[],
        ),
        // A type that no event contained has no data.
        (
            &["message U { int32 n = 1; } string a = 1;", "message U {} string a = 1;"],
            "message U { string n = 1; } U u = 2; string a = 1;",
            &[],
            &[],
        ),
    ];
    for (history, new, wire_json, wire) in cases {
        assert_eq!(rules(Surface::WireJson, history, new), wire_json, "{history:?} {new}");
        assert_eq!(rules(Surface::Wire, history, new), wire, "{history:?} {new}");
    }
    assert!(rules(Surface::WireJson, &[], "string a = 1;").is_empty());
}
