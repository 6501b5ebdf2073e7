//! Parsing of definitions, and the faults of invalid ones.

use std::collections::BTreeMap;

use tidings_schema::{
    definition::{Definition, Fault, Form, Import},
    finding::{ContentModel, Direction, Verdict},
    json::Schema,
};

use crate::golden::{options, schema};

fn faults(text: &str) -> Vec<Fault> {
    match Schema::parse(&Definition::text(text), &[]) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.faults,
    }
}

/// The faults of a new registration.
fn refused(text: &str) -> Vec<Fault> {
    match Schema::parse(&Definition::text(text), &[]) {
        Ok(schema) => schema.check(),
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
    for (text, line, column, path, fragment) in [
        ("{\n  \"type\": \"strnig\"\n}", 2, 11, "/type", "draft 2020-12"),
        ("{\"maximum\": 1e400,\n \"type\": \"strnig\"}", 2, 10, "/type", "draft 2020-12"),
        ("{\"a\": 1,\n\"a\": 2}", 2, 3, "", "twice"),
        ("{\n \"$schema\": \"http://example.com/mine\"}", 2, 13, "/$schema", "not known"),
        (
            "{\n \"properties\": {\"a\": {\"$ref\": \"#/$defs/b\"}}}",
            2,
            31,
            "/properties/a/$ref",
            "does not resolve",
        ),
        (
            "{\"items\":\n {\"$ref\": \"https://example.com/other.json#/x\"}}",
            2,
            10,
            "/items/$ref",
            "nothing is fetched",
        ),
        ("{\n \"pattern\": \"(\"}", 2, 13, "/pattern", "regular expression"),
        ("[1]", 1, 1, "", "an object, true or false"),
    ] {
        let faults = faults(text);
        let fault = &faults[0];
        assert_eq!(
            (fault.location.path.as_str(), fault.location.line),
            (path, line),
            "{text}: {faults:?}"
        );
        assert!(column == 0 || fault.location.column.abs_diff(column) <= 1, "{text}: {faults:?}");
        assert!(fault.message.contains(fragment), "{text}: {faults:?}");
    }
}

#[test]
fn imports_are_found_by_their_name_in_the_text() {
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

    // The content of an import is compared as well.
    let wider = import("common.json", r#"{"$defs": {"name": {"type": ["string", "null"]}}}"#);
    let wider = Schema::parse(&Definition::text(text), &[wider, other]).expect("a schema");
    let comparison = parsed.compare(&wider, options(ContentModel::Lenient));
    assert_eq!(comparison.verdict(Direction::Backward), Verdict::Compatible);
    assert_eq!(comparison.verdict(Direction::Forward), Verdict::Incompatible);
    let finding = &comparison.findings[0];
    assert_eq!(finding.new_path, "common.json#/$defs/name/type");
    assert_eq!(finding.location.file, "common.json");
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
    assert_eq!((faults[0].location.file.as_str(), faults[0].location.line), ("parts/two.json", 2));
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
        // The comparison sees the same schema as the validator.
        let wide = schema("{}");
        let comparison = wide.compare(&parsed, options(ContentModel::Strict));
        assert_eq!(comparison.verdict(Direction::Backward), Verdict::Incompatible, "{text}");
        assert_eq!(comparison.verdict(Direction::Forward), Verdict::Compatible, "{text}");
    }
}

#[test]
fn keywords_of_other_dialects_are_annotations() {
    // Content keywords and formats are annotations, and `dependencies` is unknown since 2019-09.
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

#[test]
fn characters_that_are_invalid_in_a_uri_are_encoded() {
    for (text, path, written) in [
        ("{\n\"$ref\": \"#/$defs/a b\", \"$defs\": {\"a b\": true}}", "/$ref", "\"#/$defs/a%20b\""),
        ("{\n\"$ref\": \"#/$defs/é\", \"$defs\": {\"é\": true}}", "/$ref", "\"#/$defs/%C3%A9\""),
        (
            "{\n\"$ref\": \"#/$defs/a[0]\", \"$defs\": {\"a[0]\": true}}",
            "/$ref",
            "\"#/$defs/a%5B0%5D\"",
        ),
        ("{\n\"$ref\": \"#/$defs/50%\", \"$defs\": {\"50%\": true}}", "/$ref", "\"#/$defs/50%25\""),
        (
            "{\n\"$ref\": \"#/$defs/a^|\\\\\", \"$defs\": {\"a^|\\\\\": true}}",
            "/$ref",
            "\"#/$defs/a%5E%7C%5C\"",
        ),
        ("{\n\"$id\": \"https://x.example/a b.json\"}", "/$id", "\"https://x.example/a%20b.json\""),
        ("{\n\"$dynamicRef\": \"#a b\"}", "/$dynamicRef", "\"#a%20b\""),
        (
            "{\"$defs\": {\"unused\":\n{\"$ref\": \"a b.json\"}}}",
            "/$defs/unused/$ref",
            "\"a%20b.json\"",
        ),
    ] {
        let faults = refused(text);
        let fault = faults.first().unwrap_or_else(|| panic!("accepted: {text}"));
        assert_eq!(
            (fault.location.path.as_str(), fault.location.line),
            (path, 2),
            "{text}: {faults:?}"
        );
        assert!(fault.message.contains(&format!("write {written}")), "{text}: {fault}");
    }
    let accepted = r##"{"$ref": "#/$defs/a%20b", "$defs": {"a b": {"type": "string"}}}"##;
    assert!(refused(accepted).is_empty());
    assert!(schema(accepted).validate_json("1").is_err());
}

#[test]
fn an_enum_of_draft_4_has_values_each_once() {
    let of_draft = |draft: &str, text: &str| {
        text.replacen('{', &format!(r#"{{"$schema": "http://json-schema.org/{draft}/schema#","#), 1)
    };
    let draft_4 = |text: &str| of_draft("draft-04", text);
    for (text, path) in [
        (r#"{"enum": []}"#, "/enum"),
        (r#"{"enum": [1, 2, 1.0]}"#, "/enum"),
        (r#"{"properties": {"a": {"items": [{"enum": []}]}}}"#, "/properties/a/items/0/enum"),
        (r#"{"definitions": {"a": {"enum": ["x", "x"]}}}"#, "/definitions/a/enum"),
    ] {
        let faults = refused(&draft_4(text));
        assert_eq!(
            faults.first().map(|fault| fault.location.path.as_str()),
            Some(path),
            "{text}: {faults:?}"
        );
        assert!(faults[0].message.contains("draft 4"), "{faults:?}");
        // For later drafts the rule is a SHOULD, and registered schemas stay readable.
        assert!(refused(&of_draft("draft-07", text)).is_empty(), "{text}");
        assert!(Schema::parse(&Definition::text(draft_4(text)), &[]).is_ok());
    }
    // These are no schemas.
    assert!(
        refused(&draft_4(r#"{"properties": {"enum": {}}, "default": {"enum": []}}"#)).is_empty()
    );
}

#[test]
fn a_folder_in_an_id_counts_once() {
    let text = r#"{"$id": "https://x.example/a/base.json", "properties": {"f": {"$ref": "n/foo.json"}},
        "$defs": {"foo": {"$id": "n/foo.json", "properties": {"b": {"$ref": "bar.json"}}}}}"#;
    assert!(faults(text)[0].message.contains("nothing is supplied under \"bar.json\""));
    // A file is resolved against every id. A document with the resolved id takes precedence.
    let number = import("bar.json", r#"{"type": "number"}"#);
    let parsed = Schema::parse(&Definition::text(text), std::slice::from_ref(&number));
    let parsed = parsed.unwrap_or_else(|error| panic!("{error}"));
    assert!(parsed.validate_json(r#"{"f": {"b": 1}}"#).is_ok());
    assert!(parsed.validate_json(r#"{"f": {"b": true}}"#).is_err());
    let own = text
        .replace(r#""$defs": {"#, r#""$defs": {"bar": {"$id": "n/bar.json", "type": "boolean"}, "#);
    let parsed = Schema::parse(&Definition::text(own), &[number]);
    let parsed = parsed.unwrap_or_else(|error| panic!("{error}"));
    assert!(parsed.validate_json(r#"{"f": {"b": true}}"#).is_ok());
    assert!(parsed.validate_json(r#"{"f": {"b": 1}}"#).is_err());
}

#[test]
fn a_metaschema_is_recursive_as_a_whole() {
    for dialect in [
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    ] {
        let schema_of = |reference: &str| {
            schema(&format!(r#"{{"$schema": "{dialect}", "$ref": "{reference}"}}"#))
        };
        let metaschema = schema_of(dialect);
        assert!(metaschema.validate_json(r#"{"properties": {"a": {"minLength": -1}}}"#).is_err());
        let comparison = schema("true").compare(&metaschema, options(ContentModel::Strict));
        assert_ne!(comparison.verdict(Direction::Backward), Verdict::Compatible);
        let vocabulary = schema_of(&dialect.replace("/schema", "/meta/applicator"));
        let comparison = vocabulary.compare(&metaschema, options(ContentModel::Strict));
        assert_ne!(comparison.verdict(Direction::Backward), Verdict::Compatible);
    }
}
