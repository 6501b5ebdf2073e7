//! What a definition may be, and what is said of one that is none.

use std::collections::BTreeMap;

use tidings_registry::{
    definition::{Definition, Fault, Form, Import},
    finding::{ContentModel, Direction, Verdict},
    json::Schema,
};

use crate::golden::{options, schema};

fn faults(text: &str) -> Vec<Fault> {
    match Schema::parse(&Definition::text(text), &[]) {
        Ok(_) => panic!("taken: {text}"),
        Err(error) => error.faults,
    }
}

fn import(name: &str, text: &str) -> Import {
    Import {
        name: name.to_owned(),
        subject: "common".to_owned(),
        version: "1.0.0".to_owned(),
        definition: Definition::text(text),
    }
}

#[test]
fn faults_have_places() {
    for (text, line, column, path, said) in [
        ("{\n  \"type\": \"strnig\"\n}", 2, 11, "/type", "draft 2020-12"),
        ("{\"a\": 1,\n\"a\": 2}", 2, 3, "", "twice"),
        ("{\n \"$schema\": \"http://example.com/mine\"}", 2, 13, "/$schema", "not known"),
        (
            "{\n \"properties\": {\"a\": {\"$ref\": \"#/$defs/b\"}}}",
            2,
            31,
            "/properties/a/$ref",
            "nowhere",
        ),
        (
            "{\"items\":\n {\"$ref\": \"https://example.com/other.json#/x\"}}",
            2,
            10,
            "/items/$ref",
            "nothing is fetched",
        ),
        ("{\n \"pattern\": \"(\"}", 2, 13, "/pattern", "regular expression"),
        ("{\"minimum\": 1e400}", 1, 17, "", "number out of range"),
        ("[1]", 1, 1, "", "an object, true or false"),
    ] {
        let faults = faults(text);
        let fault = &faults[0];
        assert_eq!(
            (fault.place.path.as_str(), fault.place.line),
            (path, line),
            "{text}: {faults:?}"
        );
        assert!(column == 0 || fault.place.column.abs_diff(column) <= 1, "{text}: {faults:?}");
        assert!(fault.message.contains(said), "{text}: {faults:?}");
    }
}

#[test]
fn imports_go_by_what_the_text_calls_them() {
    let text = r#"{"$id": "https://example.com/a.json", "properties": {
        "x": {"$ref": "common.json#/$defs/name"}, "y": {"$ref": "https://other.example/z.json"}}}"#;
    let common = import("common.json", r#"{"$defs": {"name": {"type": "string"}}}"#);
    let other = import("https://other.example/z.json", r#"{"type": "integer"}"#);
    let parsed = Schema::parse(&Definition::text(text), &[common.clone(), other.clone()]);
    let parsed = parsed.unwrap_or_else(|error| panic!("{error}"));
    assert!(parsed.validate_json(r#"{"x": "a", "y": 1}"#).is_ok());
    let wrong = parsed.validate_json(r#"{"x": 1, "y": "b"}"#).expect_err("both are wrong");
    let paths: Vec<_> = wrong.iter().map(|violation| violation.path.as_str()).collect();
    assert_eq!(paths, ["/x", "/y"]);
    assert!(Schema::parse(&Definition::text(text), std::slice::from_ref(&other)).is_err());

    // What an import says is part of the comparison.
    let wider = import("common.json", r#"{"$defs": {"name": {"type": ["string", "null"]}}}"#);
    let wider = Schema::parse(&Definition::text(text), &[wider, other]).expect("a schema");
    let comparison = parsed.compare(&wider, options(ContentModel::Lenient));
    assert_eq!(comparison.verdict(Direction::Backward), Verdict::Compatible);
    assert_eq!(comparison.verdict(Direction::Forward), Verdict::Incompatible);
    let finding = &comparison.findings[0];
    assert_eq!(finding.new_path, "common.json#/$defs/name/type");
    assert_eq!(finding.place.file, "common.json");
}

#[test]
fn files_come_along() {
    let mut definition = Definition::text(r#"{"$ref": "parts/one.json"}"#);
    definition.files = BTreeMap::from([
        ("parts/one.json".to_owned(), r#"{"items": {"$ref": "two.json"}}"#.to_owned()),
        ("parts/two.json".to_owned(), r#"{"type": "string"}"#.to_owned()),
    ]);
    let parsed = Schema::parse(&definition, &[]).unwrap_or_else(|error| panic!("{error}"));
    assert!(parsed.validate_json(r#"["a"]"#).is_ok());
    assert!(parsed.validate_json("[1]").is_err());
    definition.files.insert("parts/two.json".to_owned(), "{\n \"type\": 1}".to_owned());
    let faults = Schema::parse(&definition, &[]).expect_err("not a schema").faults;
    assert_eq!((faults[0].place.file.as_str(), faults[0].place.line), ("parts/two.json", 2));
}

#[test]
fn references_of_all_kinds_are_followed() {
    for (text, valid, invalid) in [
        (r##"{"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}"##, "\"a\"", "1"),
        (r##"{"$ref": "#x", "$defs": {"a": {"$anchor": "x", "type": "string"}}}"##, "\"a\"", "1"),
        (
            r##"{"$ref": "b.json", "$defs": {"a": {"$id": "b.json", "type": "string"}}}"##,
            "\"a\"",
            "1",
        ),
        (
            r##"{"$schema": "http://json-schema.org/draft-04/schema#", "id": "http://x.example/a",
                "$ref": "#/definitions/a", "definitions": {"a": {"type": "string"}}}"##,
            "\"a\"",
            "1",
        ),
        (
            r##"{"type": "object", "additionalProperties": {"$ref": "#"}}"##,
            "{\"a\": {}}",
            "{\"a\": 1}",
        ),
        (
            r##"{"$dynamicAnchor": "n", "type": "object", "additionalProperties": {"$dynamicRef": "#n"}}"##,
            "{\"a\": {}}",
            "{\"a\": 1}",
        ),
        (
            r##"{"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveAnchor": true,
                "type": "object", "additionalProperties": {"$recursiveRef": "#"}}"##,
            "{\"a\": {}}",
            "{\"a\": 1}",
        ),
        (r##"{"$ref": "#/x~1y/z%25", "x/y": {"z%": {"type": "string"}}}"##, "\"a\"", "1"),
    ] {
        let parsed = schema(text);
        assert!(parsed.validate_json(valid).is_ok(), "{text}");
        assert!(parsed.validate_json(invalid).is_err(), "{text}");
        // The comparison sees what the validator sees.
        let wide = schema("{}");
        let comparison = wide.compare(&parsed, options(ContentModel::Strict));
        assert_eq!(comparison.verdict(Direction::Backward), Verdict::Incompatible, "{text}");
        assert_eq!(comparison.verdict(Direction::Forward), Verdict::Compatible, "{text}");
    }
}

#[test]
fn what_other_dialects_assert_describes() {
    // No content, no formats, no `dependencies` since 2019-09.
    let text = r#"{"format": "date", "contentMediaType": "application/json", "contentEncoding": "base64",
        "dependencies": {"a": ["b"]}}"#;
    assert!(schema(text).validate_json("\"x\"").is_ok());
    assert!(schema(text).validate_json("{\"a\": 1}").is_ok());
    let seven = text.replacen('{', r#"{"$schema": "http://json-schema.org/draft-07/schema#","#, 1);
    assert!(schema(&seven).validate_json("\"x\"").is_ok());
    assert!(schema(&seven).validate_json("{\"a\": 1}").is_err());
}

#[test]
fn a_descriptor_set_is_no_json_schema() {
    let mut definition = Definition::text("");
    definition.form = Form::DescriptorSet(Default::default());
    assert!(Schema::parse(&definition, &[]).is_err());
}

#[test]
fn the_validator_counts_in_decimals_and_knows_whole_numbers() {
    let hundredth = schema(r#"{"multipleOf": 0.01}"#);
    for number in ["0.1", "0.3", "0.07", "1.15", "4.35", "19.99", "3"] {
        assert!(hundredth.validate_json(number).is_ok(), "{number}");
    }
    assert!(hundredth.validate_json("0.075").is_err());
    assert!(schema(r#"{"type": "integer"}"#).validate_json("1.0").is_ok());
}
