//! Valid and invalid schemas, and their faults.

use std::collections::BTreeMap;

use tidings_schema::{
    avro::Schema,
    definition::{Definition, Import, InvalidSchema},
};

fn parse(text: &str) -> Result<Schema, InvalidSchema> {
    Schema::parse(&Definition::text(text), &[])
}

/// A record with one field.
fn record(field: &str) -> String {
    format!(r#"{{"type":"record","name":"R","namespace":"n","fields":[{field}]}}"#)
}

#[test]
fn schemas_of_every_kind_are_accepted() {
    for text in [
        r#""string""#,
        r#"{"type":"string"}"#,
        r#"{"type":{"type":"string"}}"#,
        r#"{"type":["null","string"]}"#,
        r#"["null","int",{"type":"array","items":"int"},{"type":"map","values":"int"}]"#,
        "[]",
        r#"{"type":"record","name":"Empty","fields":[]}"#,
        r#"{"type":"error","name":"Refused","fields":[]}"#,
        r#"{"type":"enum","name":"E","symbols":["A"],"default":null}"#,
        r#"{"type":"enum","name":"a.b.E","symbols":["A","_b"],"default":"A","aliases":["F","x.G"]}"#,
        r#"{"type":"fixed","name":"F","size":0}"#,
        r#"{"type":"fixed","name":"F","namespace":"","size":16}"#,
        r#"{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"],"default":null}]}"#,
        // A name without a namespace is resolved inside a namespace, as in Java.
        r#"[{"type":"enum","name":"E","symbols":[]},{"type":"record","name":"a.R","fields":[{"name":"e","type":"E"}]}]"#,
        // Unknown, misplaced and malformed logical types are ignored, as in the specification.
        r#"{"type":"string","logicalType":"colour"}"#,
        r#"{"type":"string","logicalType":"date"}"#,
        r#"{"type":"bytes","logicalType":"decimal"}"#,
        r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":3}"#,
        r#"{"type":"fixed","name":"F","size":1,"logicalType":"decimal","precision":3}"#,
        r#"{"type":"bytes","logicalType":7}"#,
        r#"{"type":"int","anything":{"at":["all"]}}"#,
    ] {
        parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    }
}

#[test]
fn defaults_that_match_their_types_are_accepted() {
    for field in [
        r#"{"name":"f","type":"null","default":null}"#,
        r#"{"name":"f","type":"long","default":-9223372036854775808}"#,
        r#"{"name":"f","type":"double","default":1}"#,
        r#"{"name":"f","type":"float","default":"NaN"}"#,
        r#"{"name":"f","type":"bytes","default":"\u0000\u00ff"}"#,
        r#"{"name":"f","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2},"default":"\u0000"}"#,
        r#"{"name":"f","type":{"type":"fixed","name":"F","size":2},"default":"\u00ff\u00fe"}"#,
        r#"{"name":"f","type":{"type":"enum","name":"E","symbols":["A"]},"default":"A"}"#,
        r#"{"name":"f","type":{"type":"array","items":"int"},"default":[1,2]}"#,
        r#"{"name":"f","type":{"type":"map","values":"string"},"default":{"a":"b"}}"#,
        r#"{"name":"f","type":["null","string"],"default":null}"#,
        // A default of any branch, since 1.12.
        r#"{"name":"f","type":["null","string"],"default":"a"}"#,
        r#"{"name":"f","type":{"type":"record","name":"S","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":1}]},"default":{"a":1}}"#,
        r#"{"name":"f","type":["null","R"],"default":null}"#,
    ] {
        parse(&record(field)).unwrap_or_else(|error| panic!("{error}: {field}"));
    }
}

/// The text, the message and the path.
const REJECTED: [(&str, &str, &str); 34] = [
    (
        r#"{"type":"record","name":"a.R","fields":[{"name":"f","type":"array","items":"int"}]}"#,
        "array needs an object of its own: write \"type\": {\"type\": \"array\", \"items\": …}",
        "R.f",
    ),
    (
        "7",
        "a type is a name, an object with a \"type\", or an array of branches; this is a number",
        "",
    ),
    (
        r#""Order""#,
        "there is no type Order: define it here, or refer to the subject that defines it",
        "",
    ),
    (r#""bool""#, "there is no type bool: did you mean boolean?", ""),
    (r#""strng""#, "there is no type strng: did you mean string?", ""),
    (r#"{"name":"R"}"#, "there is no \"type\"", ""),
    (r#"{"type":"record","fields":[]}"#, "there is no \"name\"", ""),
    (
        r#"{"type":"record","name":"R"}"#,
        "record R has no \"fields\": a record without fields has an empty array",
        "R",
    ),
    (r#"{"type":"record","name":"1R","fields":[]}"#, "\"1R\" is not a name", ""),
    (
        r#"{"type":"record","name":"a.b-c.R","fields":[]}"#,
        "\"b-c\", in \"a.b-c.R\", is not a name",
        "",
    ),
    (
        r#"{"type":"record","name":"string","fields":[]}"#,
        "string is the name of a primitive type",
        "",
    ),
    (
        r#"{"type":"record","name":"R","namespace":7,"fields":[]}"#,
        "its namespace is not a string",
        "",
    ),
    (r#"{"type":"enum","name":"E","symbols":["A","A"]}"#, "enum E has the symbol A twice", "E"),
    (r#"{"type":"enum","name":"E","symbols":["a b"]}"#, "the symbol \"a b\" is not a name", "E"),
    (
        r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#,
        "the default \"B\" of enum E is not one of its symbols",
        "E",
    ),
    (r#"{"type":"enum","name":"E"}"#, "enum E has no \"symbols\"", "E"),
    (
        r#"{"type":"fixed","name":"F","size":-1}"#,
        "the size of fixed F is -1; it must be a number of bytes",
        "F",
    ),
    (r#"{"type":"fixed","name":"F"}"#, "fixed F has no \"size\"", "F"),
    (r#"["int",["null"]]"#, "a union cannot be a branch of a union", ""),
    (r#"["int","string","int"]"#, "the union has two branches of int", ""),
    (r#"["int",{"type":"int","logicalType":"date"}]"#, "the union has two branches of int", ""),
    (
        r#"[{"type":"array","items":"int"},{"type":"array","items":"string"}]"#,
        "two branches of array",
        "",
    ),
    (r#"[{"type":"fixed","name":"F","size":1},"F"]"#, "two branches of F", ""),
    (r#"{"type":"array"}"#, "there is no \"items\"", ""),
    (r#"{"type":"map","values":"Missing"}"#, "there is no type Missing", "{}"),
    (
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":1}},{"name":"b","type":{"type":"enum","name":"F","symbols":[]}}]}"#,
        "F is defined twice, first in line 1",
        "R.b",
    ),
    (
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"E"},{"name":"b","type":{"type":"enum","name":"E","symbols":[]}}]}"#,
        "E is used before its definition in line 1",
        "R.a",
    ),
    (
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
        "record R has two fields named a",
        "R.a",
    ),
    (r#"{"type":"record","name":"R","fields":[{"type":"int"}]}"#, "the field has no \"name\"", "R"),
    (r#"{"type":"record","name":"R","fields":[{"name":"a"}]}"#, "the field has no \"type\"", "R.a"),
    (
        r#"{"type":"record","name":"R","fields":["a"]}"#,
        "a field is an object; this is a string",
        "R",
    ),
    (
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","order":"up"}]}"#,
        "the order of a field is",
        "R.a",
    ),
    (
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","aliases":"b"}]}"#,
        "\"aliases\" is an array of strings; this is a string",
        "R.a",
    ),
    (
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":{"type":"map","values":"R2"}}}]}"#,
        "there is no type R2",
        "R.a[]{}",
    ),
];

#[test]
fn faults_have_a_message_and_a_location() {
    for (text, message, path) in REJECTED {
        let error = parse(text).expect_err(text);
        let fault = error.faults.first().expect("a fault");
        assert!(fault.message.contains(message), "{text}: {error}");
        assert_eq!(fault.location.path, path, "{text}: {error}");
        assert!(fault.location.line == 1 && fault.location.column > 0, "{text}: {error}");
    }
}

#[test]
fn a_reference_to_an_enclosing_type_without_a_namespace_is_rejected() {
    let of = |outer: &str| {
        format!(
            r#"{{"type":"record","name":"{outer}","fields":[{{"name":"f","type":{{"type":"record","name":"m.Q","fields":[
                {{"name":"g","type":["null","R"]}}]}}}}]}}"#
        )
    };
    // Registered versions stay readable; new ones are rejected.
    let faults = parse(&of("R")).expect("readable").check();
    let [fault] = &faults[..] else { panic!("{faults:?}") };
    assert!(
        fault.message.contains("look for m.R and do not find it; give R a namespace"),
        "{fault}"
    );
    assert_eq!((fault.location.line, fault.location.path.as_str()), (2, "R.f.g"), "{fault}");
    assert!(parse(&of("m.R")).expect("readable").check().is_empty());
}

#[test]
fn defaults_of_other_types_are_rejected() {
    for (field, message) in [
        (r#"{"name":"f","type":"int","default":"0"}"#, "the default \"0\" is not a value of int"),
        (r#"{"name":"f","type":"int","default":1.5}"#, "the default 1.5 is not a value of int"),
        (r#"{"name":"f","type":"int","default":2147483648}"#, "is not a value of int"),
        (r#"{"name":"f","type":"string","default":null}"#, "make the type a union with null"),
        (r#"{"name":"f","type":"null","default":"null"}"#, "write null without quotes"),
        (r#"{"name":"f","type":"bytes","default":"\u0100"}"#, "a byte is a character from"),
        (
            r#"{"name":"f","type":{"type":"fixed","name":"F","size":2},"default":"a"}"#,
            "is not a value of fixed n.F[2]",
        ),
        (
            r#"{"name":"f","type":{"type":"enum","name":"E","symbols":["A"]},"default":"B"}"#,
            "is not a value of enum n.E",
        ),
        (
            r#"{"name":"f","type":{"type":"array","items":"int"},"default":[1,"2"]}"#,
            "the default \"2\" is not a value of int",
        ),
        (
            r#"{"name":"f","type":["null","string"],"default":7}"#,
            "is not a value of [null, string]",
        ),
        (
            r#"{"name":"f","type":{"type":"record","name":"S","fields":[{"name":"a","type":"int"}]},"default":{}}"#,
            "lacks the field a, which has no default",
        ),
        (r#"{"name":"f","type":"R","default":{}}"#, "contains itself"),
    ] {
        let error = parse(&record(field)).expect_err(field);
        assert!(error.faults[0].message.contains(message), "{field}: {error}");
        assert_eq!(error.faults[0].location.path, "R.f", "{field}");
    }
}

#[test]
fn all_faults_are_reported_in_the_order_of_the_text() {
    let text = "{\"type\": \"record\", \"name\": \"R\", \"fields\": [\n  {\"name\": \"a\", \"type\": \"strin\"},\n  {\"name\": \"b-c\", \"type\": \"int\"},\n  {\"name\": \"d\"}\n]}";
    let faults = parse(text).expect_err(text).faults;
    let lines: Vec<_> =
        faults.iter().map(|fault| (fault.location.line, fault.location.path.as_str())).collect();
    assert_eq!(lines, [(2, "R.a"), (3, "R.b-c"), (4, "R.d")]);
    assert_eq!(faults[0].to_string(), "2:25: R.a: there is no type strin: did you mean string?");
}

fn import(name: &str, text: &str) -> Import {
    Import {
        name: name.into(),
        subject: name.into(),
        version: "1.0.0".into(),
        definition: Definition::text(text),
    }
}

const MONEY: &str = r#"{"type":"record","name":"Money","namespace":"pay","fields":[{"name":"cents","type":"long"},{"name":"in","type":"Currency"}]}"#;
const CURRENCY: &str = r#"{"type":"enum","name":"pay.Currency","symbols":["EUR","USD"]}"#;
const ORDER: &str =
    r#"{"type":"record","name":"Order","fields":[{"name":"price","type":"pay.Money"}]}"#;

#[test]
fn imports_are_resolved_in_any_order_and_are_part_of_the_schema() {
    let definition = Definition::text(ORDER);
    let (money, currency) = (import("pay.Money", MONEY), import("pay.Currency", CURRENCY));
    let schema = Schema::parse(&definition, &[money.clone(), currency.clone()]).unwrap();
    let reordered = Schema::parse(&definition, &[currency.clone(), money.clone()]).unwrap();
    assert_eq!(schema.canonical(), reordered.canonical());

    // The same as files, and as one text.
    let files = BTreeMap::from([
        ("pay/currency.avsc".to_owned(), CURRENCY.to_owned()),
        ("pay/money.avsc".to_owned(), MONEY.to_owned()),
    ]);
    let files = Definition { files, ..definition.clone() };
    assert_eq!(Schema::parse(&files, &[]).unwrap().canonical(), schema.canonical());
    let inlined = ORDER.replace("\"pay.Money\"", &MONEY.replace("\"Currency\"", CURRENCY));
    assert_eq!(parse(&inlined).unwrap().canonical(), schema.canonical());

    // A change in an import is a change.
    let euros = import("pay.Currency", &CURRENCY.replace(",\"USD\"", ""));
    let narrower = Schema::parse(&definition, &[money.clone(), euros]).unwrap();
    let findings = schema.compare(&narrower).findings;
    assert_eq!(findings[0].rule, "AVRO_SYMBOL_REMOVED");
    assert_eq!(findings[0].new_path, "Order.price.in");

    let error = Schema::parse(&definition, std::slice::from_ref(&money)).unwrap_err();
    assert_eq!(error.faults[0].location.file, "pay.Money");
    assert!(error.to_string().contains("there is no type pay.Currency"), "{error}");
    let wrong = [import("pay.Cash", MONEY), currency];
    let error = Schema::parse(&definition, &wrong).unwrap_err();
    assert!(
        error.to_string().contains("pay.Cash 1.0.0 does not define the referenced type pay.Cash"),
        "{error}"
    );
    assert!(error.to_string().contains("it defines pay.Money"), "{error}");
}
