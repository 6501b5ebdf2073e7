//! Numbers are compared as written, beyond doubles and 64-bit integers too.

use serde_json::Value;
use tidings_schema::{
    definition::Definition,
    finding::{Change, ContentModel, Direction, Verdict},
    json::{Schema, rounded},
};

use crate::golden::{bump, options, schema};

#[test]
fn numbers_are_checked_with_all_their_digits() {
    for (text, valid, invalid) in [
        (
            r#"{"multipleOf": 3}"#,
            &["3e30", "36893488147419103233", "3e400"][..],
            &["1e400", "36893488147419103234"][..],
        ),
        (
            r#"{"const": 9007199254740993}"#,
            &["9007199254740993.0", "9.007199254740993e15"],
            &["9007199254740992.0"],
        ),
        (
            r#"{"maximum": 9007199254740993}"#,
            &["9007199254740993.0", "-1e400"],
            &["9007199254740993.1", "1e400"],
        ),
        (r#"{"maximum": 0.1}"#, &["0.1", "0.09999999999999999999"], &["0.10000000000000000001"]),
        (
            r#"{"maximum": 0.10000000000000000001}"#,
            &["0.10000000000000000001"],
            &["0.10000000000000000002"],
        ),
        (r#"{"exclusiveMaximum": 1e400}"#, &["1e399", "1"], &["1e400", "1e401"]),
        (r#"{"minimum": -1e400}"#, &["-1e400", "1"], &["-1e401"]),
        (r#"{"exclusiveMinimum": 0}"#, &["1e-400"], &["-1e-400", "0e400"]),
        (
            r#"{"enum": [1e400, 0.10000000000000000001]}"#,
            &["10e399", "0.100000000000000000010"],
            &["1e401", "0.1"],
        ),
        (
            r#"{"const": {"a": [1e400]}}"#,
            &[r#"{"a": [1e400]}"#],
            &[r#"{"a": [1e401]}"#, r#"{"a": [1e308]}"#],
        ),
        (r#"{"uniqueItems": true}"#, &["[1e400, 1e401]"], &["[1e400, 10e399]"]),
        (
            r#"{"type": "integer"}"#,
            &["1e400", "36893488147419103233"],
            &["1e-400", "0.10000000000000000001"],
        ),
        (r#"{"type": "string"}"#, &["\"1e400\""], &["1e400"]),
        (
            r#"{"properties": {"a": {"type": "integer"}}, "unevaluatedProperties": false}"#,
            &[r#"{"a": 1e400}"#],
            &[r#"{"a": 1e400, "b": 1}"#],
        ),
        (
            r#"{"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 1e400, "exclusiveMaximum": true, "const": 1}"#,
            &["1e399"],
            &["1e400"],
        ),
        (
            r#"{"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer"}"#,
            &["36893488147419103233"],
            &["1e400"],
        ),
    ] {
        let parsed = schema(text);
        for json in valid {
            assert!(
                parsed.validate_json(json).is_ok(),
                "{text} {json}: {:?}",
                parsed.validate_json(json)
            );
            assert!(parsed.encode(json).is_ok(), "{text} {json}");
            assert!(matches!(parsed.convert(json.as_bytes()), Ok(None)), "{text} {json}");
        }
        for json in invalid {
            let error = parsed.validate_json(json).expect_err(&format!("{text} {json}"));
            assert!(
                !error[0].message.contains("1e308") || json.contains("1e308"),
                "{text} {json}: {error:?}"
            );
        }
    }
}

#[test]
fn numbers_beyond_a_double_are_shown_as_they_were_written() {
    let parsed = schema(r#"{"properties": {"a": {"maximum": 5}}}"#);
    let error = parsed.validate_json(r#"{"a": 1e400}"#).expect_err("too large");
    assert_eq!(
        (error[0].path.as_str(), error[0].message.as_str()),
        ("/a", "1e400 is greater than the maximum of 5")
    );
    assert_eq!(parsed.encode(r#"{"x": 1e400 }"#).as_deref(), Ok(br#"{"x":1e400}"#.as_slice()));
}

#[test]
fn schemas_are_compared_with_all_their_digits() {
    let compare =
        |old: &str, new: &str| schema(old).compare(&schema(new), options(ContentModel::Strict));
    let same = compare(r#"{"maximum": 9007199254740993}"#, r#"{"maximum": 9007199254740993.0}"#);
    assert_eq!(bump(&same), "NONE");
    let raised =
        compare(r#"{"maximum": 18446744073709551616}"#, r#"{"maximum": 18446744073709551617}"#);
    assert_ne!(raised.change, Change::None);
    assert_eq!(raised.verdict(Direction::Backward), Verdict::Compatible);
    assert_ne!(raised.verdict(Direction::Forward), Verdict::Compatible);
    let raised = compare(r#"{"maximum": 1e400}"#, r#"{"maximum": 1e401}"#);
    assert_eq!(raised.verdict(Direction::Backward), Verdict::Compatible);
    assert_ne!(raised.verdict(Direction::Forward), Verdict::Compatible);
    let listed = compare(r#"{"enum": [1e400]}"#, r#"{"enum": [1e401]}"#);
    assert_ne!(listed.verdict(Direction::Backward), Verdict::Compatible);
    let titled = compare(r#"{"maximum": 1e400}"#, r#"{"title": "t", "maximum": 10e399}"#);
    assert_eq!(bump(&titled), "PATCH");
    assert_eq!(
        schema(r#"{"maximum": 10e399}"#).canonical(),
        schema(r#"{"maximum": 1e400}"#).canonical()
    );
    // The canonical form of numbers that fit a double is stable.
    assert_eq!(
        schema(r#"{"maximum": 1.50, "minimum": 1e-7}"#).canonical(),
        br#"{"maximum":1.5,"minimum":0.0000001}"#
    );
}

#[test]
fn a_step_has_a_bound() {
    let step = format!(r#"{{"multipleOf": 1.{}1}}"#, "0".repeat(40));
    let parsed = Schema::parse(&Definition::text(step), &[]).expect("a schema");
    assert_eq!(parsed.check()[0].location.path, "/multipleOf");
}

#[test]
fn any_number_is_json() {
    assert_eq!(
        rounded(r#"{"a": 1, "x": 1e400}"#).and_then(|value| value.get("a").cloned()),
        Some(Value::from(1))
    );
    assert!(rounded("1e400x").is_none());
}
