//! Patterns have the semantics of ECMA-262 with the flag `u`.

use serde_json::{Value, json};
use tidings_schema::{
    definition::Definition,
    finding::{ContentModel, Direction, Verdict},
    json::Schema,
};

use crate::golden::{options, schema};

fn matches(pattern: &str, text: &str) -> bool {
    let pattern_schema = schema(&json!({ "pattern": pattern }).to_string());
    let keys = json!({ "patternProperties": { pattern: false } });
    let keys = schema(&keys.to_string());
    let valid = pattern_schema.validate_json(&Value::from(text).to_string()).is_ok();
    let name = json!({ text: 1 }).to_string();
    assert_eq!(valid, keys.validate_json(&name).is_err(), "{pattern:?} as a name, {text:?}");
    // The comparison reads the pattern alike.
    let text = schema(&json!({ "const": text }).to_string());
    let comparison = text.compare(&pattern_schema, options(ContentModel::Strict));
    let compatible = comparison.verdict(Direction::Backward) == Verdict::Compatible;
    assert_eq!(valid, compatible, "{pattern:?}: {:?}", comparison.findings);
    valid
}

/// The expected results are those of `new RegExp(pattern, "u").test(text)` in Node.js.
#[test]
fn patterns_match_as_those_of_ecma_262() {
    for (pattern, matching, unmatched) in [
        ("^.$", &["a", "\u{85}", "\u{1F432}"][..], &["\r", "\n", "\u{2028}", "\u{2029}", ""][..]),
        ("^[^]$", &["a", "\n"], &["", "ab"]),
        ("[]", &[], &["", "a"]),
        ("a[]|b", &["b"], &["a"]),
        (r"^[\b]$", &["\u{8}"], &["b"]),
        (r"^\0$", &["\0"], &["0"]),
        (r"^[\0]$", &["\0"], &["0"]),
        (r"^\ud83d\udc32$", &["\u{1F432}"], &["\u{1F433}"]),
        (r"^[\ud83d\udc32-\ud83d\udc33]$", &["\u{1F432}", "\u{1F433}"], &["\u{1F434}", "\u{FFFD}"]),
        (r"\ud83d", &[], &["\u{1F432}", "a"]),
        (r"^[^\ud800]$", &["a", "\u{1F432}"], &[""]),
        (r"^(?<y>a|b)\k<y>$", &["aa", "bb"], &["ab", "a"]),
        (r"^(a|b)\1$", &["aa", "bb"], &["ab"]),
        (r"^(?:(a)|b)\1$", &["aa", "b"], &["ab", "a"]),
        (r"^(?<größe>a)$", &["a"], &["b"]),
        (r"^\u{1F432}$", &["\u{1F432}"], &["u"]),
        (r"^\cA$", &["\u{1}"], &["A", "cA"]),
        (r"^\x41\u0042$", &["AB"], &["x41"]),
        (r"^\d$", &["7"], &["\u{664}"]),
        (r"^(?=\d)", &["7"], &["\u{664}", "a"]),
        (r"^(?!\w)", &["é", "-"], &["a", "_"]),
        (r"(?<=\s)a", &[" a", "\u{FEFF}a"], &["a", "\u{85}a"]),
        (r"(?<!b)a", &["a", "ca"], &["ba"]),
        (r"^\bé", &[], &["é"]),
        (r"a\b", &["a", "aé"], &["ab"]),
        (r"a\B", &["ab"], &["a", "aé"]),
        (r"^[^\D]$", &["1"], &["a"]),
        (r"^[\W]$", &["é", "-"], &["a", "_"]),
        (r"^[\w.-]+$", &["a-b.c"], &["a b"]),
        (r"^[a-z&&b]$", &["&", "b", "c"], &["["]),
        (r"^[[a]$", &["[", "a"], &["b"]),
        (r"^[a~~b]$", &["~", "a"], &["c"]),
        (r"^\p{Lu}$", &["É"], &["é"]),
        (r"^[\p{Script=Greek}\d]$", &["α", "1"], &["a"]),
        (r"^\P{L}$", &["1"], &["a"]),
        (r"^(?:a|b)+?$", &["abab"], &["c"]),
        (r"^a{2,3}$", &["aa", "aaa"], &["a", "aaaa"]),
        (r"^(?i:a)b$", &["Ab", "ab"], &["aB"]),
        (r"^(?s:.)$", &["\n"], &["", "ab"]),
        (r"(?m:^)a(?m:$)", &["a", "b\na\nc"], &["ba"]),
        (r"a$", &["a"], &["a\n"]),
        (r"^\$\{\}\/$", &["${}/"], &["$"]),
        // Errors with the flag u. Without it, and here, they stand for the character itself.
        (r"^a\-b\_c]}$", &["a-b_c]}"], &["a-b"]),
    ] {
        for text in matching {
            assert!(matches(pattern, text), "{pattern:?} does not match {text:?}");
        }
        for text in unmatched {
            assert!(!matches(pattern, text), "{pattern:?} matches {text:?}");
        }
    }
}

#[test]
fn syntax_of_other_engines_is_rejected() {
    for pattern in [
        "(?P<n>a)",
        "a++",
        "a*+",
        "a?+",
        "a{2}+",
        "(?i)a",
        r"\A",
        r"a\z",
        r"\Z",
        r"\pL",
        r"\x{61}",
        r"\U0001F432",
        r"\a",
        r"\h",
        r"\Q",
        r"\_a\y",
        r"\p{greek}",
        r"\p{Greek}",
        r"\p{L",
        r"\k<y>",
        r"(?<y>a)\k<z>",
        r"(a)\2",
        r"\01",
        "a{3,2}",
        "a{,5}",
        "{",
        "a{",
        "*",
        "a**",
        "^*",
        r"\b+",
        "(?=a)*",
        "(?<=a)+",
        "(",
        ")",
        "(?",
        "(?<a",
        "(?<1>a)",
        "(?<a>x)(?<a>y)",
        "(?#c)a",
        "(?>a)",
        "[",
        "[b-a]",
        r"[\d-z]",
        r"[a-\d]",
        r"\c1",
        r"\u12",
        r"\u{110000}",
        r"\x4",
        r"a\",
        r"\<a",
        r"(?i-i:a)",
        "(?-:a)",
        r"(?x:a)",
        r"(?(1)a)",
        r"[[:alpha:]\z]",
        r"\G",
    ] {
        let invalid = match Schema::parse(
            &Definition::text(json!({ "pattern": pattern }).to_string()),
            &[],
        ) {
            Ok(schema) => schema.check(),
            Err(error) => error.faults,
        };
        let fault = invalid.first().unwrap_or_else(|| panic!("{pattern:?} is accepted"));
        assert_eq!(fault.location.path, "/pattern", "{pattern:?}: {fault}");
        assert!(fault.message.contains("ECMA-262: "), "{pattern:?}: {fault}");
    }
    let names = schema(r#"{"properties": {"a": {"patternProperties": {"a++": true}}}}"#);
    assert_eq!(names.check()[0].location.path, "/properties/a/patternProperties/a++");
}

#[test]
fn patterns_that_were_registered_stay_readable() {
    let stored = schema(r#"{"pattern": "^(?P<n>a)(?i)b\\z"}"#);
    assert!(stored.validate_json("\"aB\"").is_ok());
    assert!(stored.validate_json("\"ab\\n\"").is_err());
}

#[test]
fn patterns_are_shown_as_they_were_written() {
    let error = schema(r#"{"pattern": "^.$"}"#).validate_json("\"ab\"").expect_err("too long");
    assert!(error[0].message.contains("\"^.$\""), "{error:?}");
}
