//! Hostile input: each bomb is rejected or compared in time.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tidings_schema::{
    definition::{DEFINITION_BYTES_MAX, Definition},
    finding::{ContentModel, Direction, Verdict},
    json::Schema,
};

use crate::golden::options;

/// One second in a release build. Tests are debug builds and share the machine.
const TIME_MAX: Duration = Duration::from_secs(6);

fn timed<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let took = start.elapsed();
    println!("{name}: {took:?}");
    assert!(took < TIME_MAX, "{name} took {took:?}");
    result
}

fn parse(name: &str, document: &Value) -> Option<Schema> {
    let text = document.to_string();
    timed(&format!("{name}: parse"), || Schema::parse(&Definition::text(text), &[]))
        .map_err(|error| {
            let fault = &error.faults[0];
            println!("   {fault:.200}");
            assert!(!fault.message.is_empty());
        })
        .ok()
}

/// Compares a schema with itself under a title, and with a change at the root.
fn check_comparison(case: &str, document: &Value) {
    let Some(old) = parse(case, document) else { return };
    let mut titled = document.clone();
    let mut changed = document.clone();
    if let (Some(titled), Some(changed)) = (titled.as_object_mut(), changed.as_object_mut()) {
        titled.insert("title".into(), "t".into());
        changed.insert("type".into(), json!(["array", "integer"]));
        changed.insert("minimum".into(), json!(7));
    }
    for (name, document) in [("titled", &titled), ("changed", &changed)] {
        let Some(new) = parse(case, document) else { continue };
        for model in [ContentModel::Strict, ContentModel::Lenient] {
            let comparison =
                timed(&format!("{case}: {name}"), || old.compare(&new, options(model)));
            let verdicts = [Direction::Backward, Direction::Forward]
                .map(|direction| comparison.verdict(direction));
            println!("   {verdicts:?} {}", comparison.findings.len());
            if name == "titled" {
                assert_eq!(verdicts, [Verdict::Compatible; 2], "{case}");
            }
        }
    }
}

#[test]
fn large_schemas_are_judged_in_time() {
    let many = |count: usize, value: &dyn Fn(usize) -> Value| -> Value {
        (0..count).map(|index| (format!("p{index}"), value(index))).collect::<Map<_, _>>().into()
    };
    let string = json!({"type": "string"});
    check_comparison("properties", &json!({"properties": many(30_000, &|_| string.clone())}));
    check_comparison("small properties", &json!({"properties": many(50_000, &|_| json!({}))}));
    let names: Vec<_> = (0..30_000).map(|index| format!("p{index}")).collect();
    check_comparison(
        "required",
        &json!({"properties": many(20_000, &|_| json!({})), "required": names}),
    );
    let values: Vec<_> = (0..100_000).collect();
    check_comparison("enum", &json!({"enum": values}));
    let branches: Vec<_> = (0..10_000).map(|index| json!({"const": index})).collect();
    check_comparison("constants in oneOf", &json!({"oneOf": branches}));
    let branches: Vec<_> = (0..3_000)
        .map(|index| json!({"properties": {"k": {"const": index}, "v": {"type": "string"}}, "required": ["k"]}))
        .collect();
    check_comparison("objects in oneOf", &json!({"oneOf": branches}));
    check_comparison("objects in anyOf", &json!({"anyOf": branches}));
    check_comparison(
        "patterns",
        &json!({"patternProperties": (0..3_000)
        .map(|index| (format!("^x{index}-"), json!({"type": "string"})))
        .collect::<Map<_, _>>()}),
    );
    check_comparison(
        "dependencies",
        &json!({"dependentRequired": many(20_000, &|index| json!([format!("p{}", index + 1)]))}),
    );
    check_comparison(
        "prefix",
        &json!({"prefixItems": (0..30_000).map(|index| json!({"minimum": index})).collect::<Vec<_>>()}),
    );
}

#[test]
fn large_schemas_that_differ_everywhere_are_judged_in_time() {
    let document = |kind: &str| {
        let properties: Map<_, _> = (0..20_000)
            .map(|index| (format!("p{index}"), json!({"type": kind, "minLength": index % 7})))
            .collect();
        json!({"properties": properties})
    };
    let branches = |kind: &str| {
        let branches: Vec<_> = (0..2_000)
            .map(|index| json!({"properties": {"k": {"const": index}, "v": {"type": kind}}, "required": ["k"]}))
            .collect();
        json!({"oneOf": branches})
    };
    let values = |first: usize| json!({"enum": (first..first + 80_000).collect::<Vec<_>>()});
    for (case, old, new) in [
        ("properties", document("string"), document("integer")),
        ("branches", branches("string"), branches("integer")),
        ("values", values(0), values(40_000)),
    ] {
        let (Some(old), Some(new)) = (parse(case, &old), parse(case, &new)) else { continue };
        let comparison = timed(case, || old.compare(&new, options(ContentModel::Lenient)));
        println!("   {} findings", comparison.findings.len());
        assert_ne!(comparison.verdict(Direction::Backward), Verdict::Compatible);
        assert_ne!(comparison.verdict(Direction::Forward), Verdict::Compatible);
    }
}

#[test]
fn explosions_are_bounded() {
    let nest = |depth: usize, wrap: &dyn Fn(Value) -> Value| {
        (0..depth).fold(json!({"type": "string"}), |inner, _| wrap(inner))
    };
    check_comparison("not", &nest(90, &|inner| json!({"not": inner})));
    check_comparison("properties", &nest(45, &|inner| json!({"properties": {"a": inner}})));
    check_comparison(
        "anyOf of two",
        &nest(13, &|inner| json!({"anyOf": [inner, {"items": inner}]})),
    );
    check_comparison(
        "oneOf of two",
        &nest(13, &|inner| json!({"oneOf": [inner, {"maxLength": 3, "items": inner}]})),
    );
    let product = |keyword: &str| {
        let choice: Vec<_> = (0..20)
            .map(|index| {
                json!({"anyOf": [
                {"properties": {format!("a{index}"): {"type": "string"}}},
                {"required": [format!("b{index}")]},
                {"minProperties": index}]})
            })
            .collect();
        json!({ keyword: choice })
    };
    check_comparison("product", &product("allOf"));
    check_comparison(
        "sum of products",
        &json!({"not": product("anyOf"), "oneOf": [product("allOf"), product("oneOf")]}),
    );
    let conditions: Vec<_> = (0..40)
        .map(|index| {
            json!({
            "if": {"properties": {format!("a{index}"): {"const": 1}}},
            "then": {"required": [format!("b{index}")]},
            "else": {"properties": {format!("c{index}"): {"type": "string"}}}})
        })
        .collect();
    check_comparison("conditions", &json!({"allOf": conditions}));
    let dependent: Map<_, _> = (0..40)
        .map(|index| (format!("a{index}"), json!({"required": [format!("a{}", (index + 1) % 40)]})))
        .collect();
    check_comparison(
        "dependent schemas",
        &json!({"dependentSchemas": dependent, "minProperties": 1}),
    );
}

#[test]
fn references_do_not_double() {
    let dag = |levels: usize, level_schema: &dyn Fn(&str) -> Value| {
        let mut defs = Map::new();
        for level in 0..levels {
            defs.insert(format!("l{level}"), level_schema(&format!("#/$defs/l{}", level + 1)));
        }
        defs.insert(format!("l{levels}"), json!({"type": "string"}));
        json!({"$ref": "#/$defs/l0", "$defs": defs})
    };
    let bomb = dag(40, &|next| json!({"allOf": [{"$ref": next}, {"$ref": next}]}));
    assert!(parse("in place", &bomb).is_none());
    assert!(
        parse("anyOf", &dag(40, &|next| json!({"anyOf": [{"$ref": next}, {"$ref": next}]})))
            .is_none()
    );
    assert!(parse("chain", &dag(2_000, &|next| json!({"$ref": next}))).is_none());
    check_comparison("short chain", &dag(100, &|next| json!({"$ref": next})));
    check_comparison(
        "below",
        &dag(40, &|next| {
            json!({
        "type": "object", "required": ["a", "b"], "properties": {"a": {"$ref": next}, "b": {"$ref": next}}})
        }),
    );
    check_comparison(
        "long below",
        &dag(9_000, &|next| json!({"properties": {"a": {"$ref": next}}})),
    );
    check_comparison("itself", &json!({"$ref": "#"}));
    check_comparison(
        "each other",
        &json!({"$ref": "#/$defs/a", "$defs": {
        "a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
    );
    check_comparison("not itself", &json!({"properties": {"a": {"not": {"$ref": "#"}}}}));
}

#[test]
fn payloads_of_recursive_schemas_are_validated_in_time() {
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let twice = json!({ keyword: [{"$ref": "#"}, {"$ref": "#"}] });
        let document = json!({"type": ["array", "string"], "items": twice});
        let Some(schema) = parse(keyword, &document) else { continue };
        for depth in [8, 12, 16, 20] {
            let payload = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
            let _ = timed(&format!("{keyword} {depth}"), || schema.validate_json(&payload));
        }
    }
}

#[test]
fn expressions_are_bounded() {
    for pattern in ["((((a{1,100}){1,100}){1,100}){1,100})", "(\\w{1000}){1000}", "(a", "\\p{Nope}"]
    {
        assert!(parse(pattern, &json!({"pattern": pattern})).is_none());
    }
    let many: Map<_, _> = (0..20_000)
        .map(|index| (format!("p{index}"), json!({"pattern": format!("\\w{{9{index}}}")})))
        .collect();
    assert!(parse("many", &json!({"properties": many})).is_none());
    for pattern in [
        "^(a+)+$",
        "^(a|a)*b$",
        "^(a?){50}a{50}$",
        "(x+x+)+y",
        "^(?=(a+)+$)b",
        "(?:[a-z]*[0-9]*){20}",
        "\\bfoo\\b",
        "^(a)\\1+$",
    ] {
        check_comparison(pattern, &json!({"pattern": pattern, "type": "string"}));
        let Some(schema) = parse(pattern, &json!({"pattern": pattern})) else { continue };
        let payload = format!("\"{}!\"", "a".repeat(50_000));
        let _ = timed("payload", || schema.validate_json(&payload));
        let Some(other) = parse(pattern, &json!({"pattern": "^[ab]*(a|b)[ab]{12}$"})) else {
            continue;
        };
        timed("compare", || schema.compare(&other, options(ContentModel::Strict)));
    }
}

#[test]
fn numbers_have_no_end() {
    for (old, new) in [
        (json!({"minLength": 1_000_000_000}), json!({"minLength": 2_000_000_000})),
        (json!({"type": "array", "minItems": 5}), json!({"type": "array", "minItems": u64::MAX})),
        (json!({"minProperties": 1_000_000_000}), json!({"minProperties": 1e30})),
        (json!({"type": "number", "maximum": 1e300}), json!({"type": "number", "maximum": -1e300})),
        (json!({"type": "integer", "minimum": 1e-300}), json!({"type": "integer", "minimum": 1})),
        (
            json!({"type": "number", "multipleOf": 1e-300}),
            json!({"type": "number", "multipleOf": 1e300}),
        ),
        (
            json!({"type": "integer", "multipleOf": 999_999_999_999_i64}),
            json!({"type": "integer", "allOf": [
            {"multipleOf": 999_999_999_989_i64}, {"multipleOf": 999_999_999_961_i64}, {"multipleOf": 999_999_999_937_i64}]}),
        ),
        (
            json!({"type": "array", "contains": {"const": 1}, "minContains": 1_000_000_000}),
            json!({"type": "array", "maxItems": 5}),
        ),
        (
            json!({"type": "string", "pattern": "^a{900}$"}),
            json!({"type": "string", "maxLength": 800}),
        ),
    ] {
        let case = format!("{old} and {new}");
        let (Some(old), Some(new)) = (parse(&case, &old), parse(&case, &new)) else { continue };
        let comparison = timed(&case, || old.compare(&new, options(ContentModel::Strict)));
        println!(
            "   {:?} {:?}",
            comparison.verdict(Direction::Backward),
            comparison.verdict(Direction::Forward)
        );
    }
    // Exponents are never expanded.
    let limit = |number: &str| {
        let text = format!("{{\"maximum\": {number}, \"multipleOf\": 7}}");
        timed("exponents", || Schema::parse(&Definition::text(text), &[])).expect("a schema")
    };
    let (low, high) = (limit("-1e999999999999"), limit("1e999999999999"));
    let comparison = timed("exponents", || high.compare(&low, options(ContentModel::Strict)));
    assert_ne!(comparison.verdict(Direction::Backward), Verdict::Compatible);
    assert!(timed("a payload", || high.validate_json("7e999999999998")).is_ok());
    assert!(timed("a payload", || high.validate_json("7e999999999999")).is_err());
    assert!(Schema::parse(&Definition::text("{\"multipleOf\": 1e-400}"), &[]).is_err());
}

#[test]
fn texts_are_bounded() {
    let large = format!("{{\"title\": \"{}\"}}", "a".repeat(DEFINITION_BYTES_MAX));
    for text in [
        large,
        "[".repeat(100_000),
        "{\"not\":".repeat(100_000),
        "{\"a\"".to_owned(),
        String::new(),
    ] {
        let error =
            timed("text", || Schema::parse(&Definition::text(text), &[])).expect_err("refused");
        assert!(!error.faults.is_empty());
    }
}
