//! The rules of protoc for new schemas, with a table of texts that it rejects and of similar texts
//! that it accepts.

use std::collections::BTreeMap;

use tidings_schema::{
    definition::{Definition, Fault, Form},
    finding::{Direction, Options, Verdict},
    protobuf::Schema,
    schema::{self, Format},
};

use super::{
    parsing::compiled,
    protoc::{self, Files},
};

/// The options that some of the texts use.
const OPTIONS: &str = "syntax = \"proto2\"; package o; import \"google/protobuf/descriptor.proto\";\n\
    message Rule { required int32 q = 1; optional bool b = 2; optional Rule sub = 3; optional double d = 4; \
    optional string s = 5; optional int32 nofield = 6 [targets = TARGET_TYPE_FIELD]; }\n\
    enum En { X = 0; inf = 1; }\n\
    extend google.protobuf.MessageOptions { optional Rule rule = 50000; repeated Rule rules = 50001; \
    optional int32 num = 50002; optional string str = 50003; optional En en = 50004; optional double dbl = 50005; \
    optional float flt = 50006; optional bytes byt = 50007; \
    optional int32 onfield = 50008 [targets = TARGET_TYPE_FIELD]; \
    optional int32 onmsg = 50009 [targets = TARGET_TYPE_MESSAGE]; }\n";

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Expected {
    Rejected,
    Accepted,
    /// Rejected by us and accepted by protoc.
    Stricter,
}

#[derive(Debug)]
struct Case {
    line: usize,
    expected: Expected,
    files: Files,
}

fn text(syntax: &str, body: &str, package: &str) -> String {
    let head = |first: &str, package: &str| format!("{first}; package {package};\n{body}\n");
    match syntax {
        "2" => head("syntax = \"proto2\"", package),
        "3" => head("syntax = \"proto3\"", package),
        "3p" => head("syntax = \"proto3\"", "p"),
        "3x" => head("syntax = \"proto3\"", &vec!["x".repeat(50); 11].join(".")),
        "3pq" => head("syntax = \"proto3\"", "p.q"),
        "2023" | "2024" => head(&format!("edition = \"{syntax}\""), package),
        "2024Q" => head("edition = \"2024\"", "Q"),
        "o" => OPTIONS.to_owned(),
        other => panic!("no syntax {other:?}"),
    }
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (at, line) in include_str!("checks.txt").lines().enumerate() {
        let (head, body) = line.split_once(':').unwrap_or((line, ""));
        let words: Vec<&str> = head.split_whitespace().collect();
        let expected = match words.as_slice() {
            [] | ["#", ..] => continue,
            ["file", name, syntax] => {
                let case = cases.last_mut().expect("a case precedes its files");
                case.files.insert((*name).to_owned(), text(syntax, body.trim(), "q"));
                continue;
            }
            ["refused", _] => Expected::Rejected,
            ["accepted", _] => Expected::Accepted,
            ["stricter", _] => Expected::Stricter,
            _ if line.starts_with('#') => continue,
            _ => panic!("line {}: {line}", at + 1),
        };
        let main = text(words[1], body.trim(), "p");
        let files = BTreeMap::from([("m.proto".to_owned(), main)]);
        cases.push(Case { line: at + 1, expected, files });
    }
    cases
}

/// The definition of files, with `m.proto` as the text.
pub fn definition(files: &Files) -> Definition {
    let mut definition = Definition::text(&files["m.proto"]);
    definition.files = files
        .iter()
        .filter(|(name, _)| *name != "m.proto")
        .map(|(a, b)| (a.clone(), b.clone()))
        .collect();
    definition
}

/// The faults of a new definition.
pub fn faults(definition: &Definition) -> Vec<Fault> {
    match Schema::parse_file(definition, &[]) {
        Ok(schema) => schema.check(),
        Err(invalid) => invalid.faults,
    }
}

#[test]
fn every_rule_rejects_its_texts_and_accepts_similar_ones() {
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 350, "{} cases", cases.len());
    for case in cases {
        let faults = faults(&definition(&case.files));
        let refused = !faults.is_empty();
        if refused != (case.expected != Expected::Accepted) {
            wrong.push(format!("line {}, {:?}: {faults:?}", case.line, case.expected));
        }
        // A map entry has no declaration, and so no location.
        let has_location = |fault: &Fault| {
            fault.location.line > 0
                || !fault.location.file.is_empty()
                || fault.message.ends_with("is defined twice")
        };
        wrong.extend(
            faults
                .iter()
                .filter(|fault| !has_location(fault))
                .map(|fault| format!("line {}: no location: {fault:?}", case.line)),
        );
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn protoc_agrees_with_the_table() {
    let cases = cases();
    let jobs: Vec<&Files> = cases.iter().map(|case| &case.files).collect();
    let Some(results) = protoc::compile("the table of protoc's rules", &jobs) else { return };
    let mut wrong = Vec::new();
    for (case, result) in cases.iter().zip(&results) {
        if result.why.is_some() != (case.expected == Expected::Rejected) {
            wrong.push(format!("line {}, {:?}: {:?}", case.line, case.expected, result.why));
        }
        // The descriptors that protoc compiles from an accepted text must be accepted, too.
        if result.why.is_none() && case.expected == Expected::Accepted {
            let form = Form::DescriptorSet(result.descriptors().into());
            let faults = faults(&Definition { form, ..Definition::text("") });
            if !faults.is_empty() {
                wrong.push(format!("line {}, as descriptors: {faults:?}", case.line));
            }
        }
    }
    println!("{} texts", cases.len());
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// A registered version stays readable if it violates newer rules.
#[test]
fn registered_definitions_stay_readable() {
    let text = |more: &str| {
        format!(
            "syntax = \"proto3\"; package p; message M {{ string foo = 1; reserved \"foo\"; {more} }}"
        )
    };
    let (old, new) = (Definition::text(text("")), Definition::text(text("int32 n = 2;")));
    let stored =
        |definition| Schema::parse("p.M", definition, &[]).expect("it is read without the rules");
    let (stored_old, stored_new) = (stored(&old), stored(&new));
    assert_eq!(stored_old.check().len(), 1);
    assert_eq!(
        stored_old.compare(&stored_new, Options::default()).verdict(Direction::Both),
        Verdict::Compatible
    );
    let bytes = stored_old.encode("{\"foo\": \"x\"}").expect("a payload");
    assert_eq!(stored_new.to_json(&bytes), Ok("{\"foo\":\"x\"}".to_owned()));
    let parse = |definition| schema::Schema::parse(Format::Protobuf, "p.M", definition, &[]);
    let draft = |definition| schema::Schema::parse_draft(Format::Protobuf, "p.M", definition, &[]);
    assert!(parse(&old).is_ok());
    let refused = draft(&old).expect_err("a new definition is rejected").to_string();
    assert_eq!(
        refused,
        "1:43: the field \"foo\" has a name that p.M reserves; rename the field, or remove the name from the reserved names"
    );
}

#[test]
fn all_faults_of_all_files_are_reported_at_once() {
    let definition = definition(&Files::from([
        (
            "m.proto".to_owned(),
            "syntax = \"proto3\";\npackage p;\nimport \"a.proto\";\nmessage M {\n  string a = 1 [lazy = true];\n  \
             reserved 5 to 3;\n}\nenum E { X = 0; x = 1; }\n"
                .to_owned(),
        ),
        (
            "a.proto".to_owned(),
            "syntax = \"proto3\";\npackage p;\n\nenum F {\n  option allow_alias = true;\n  F_A = 0;\n}\n".to_owned(),
        ),
    ]));
    let locations = |faults: &[Fault]| -> Vec<String> {
        faults
            .iter()
            .map(|fault| fault.to_string().split(' ').next().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(locations(&faults(&definition)), ["5:3:", "6:12:", "8:17:", "a.proto:4:1:"]);
    // Where files do not link, the faults of all of them are reported.
    let mut broken = definition.clone();
    broken.files.insert(
        "a.proto".to_owned(),
        "syntax = \"proto3\"; package p; message A { B b = 1; }".to_owned(),
    );
    broken.files.insert(
        "c.proto".to_owned(),
        "syntax = \"proto3\"; package p; message C { D d = 1; }".to_owned(),
    );
    let text = "syntax = \"proto3\"; package p; import \"a.proto\"; import \"c.proto\"; import \"a.proto\";";
    broken.form = Definition::text(text).form;
    assert_eq!(locations(&faults(&broken)), ["1:67:", "a.proto:1:43:", "c.proto:1:43:"]);
}

/// Descriptor sets have no lines, so faults have the names of declarations.
#[test]
fn faults_of_descriptors_have_the_names_of_declarations() {
    let text = "syntax = \"proto2\"; package p; message M { optional string a = 1 [jstype = JS_STRING]; reserved \"a\"; \
        enum E { X = 1; x = 2; } extensions 10 to 20, 15 to 30; }";
    let reported: Vec<String> = faults(&compiled(text)).iter().map(ToString::to_string).collect();
    let names: Vec<&str> = reported.iter().filter_map(|report| report.split(": ").next()).collect();
    assert_eq!(names, ["p.M", "p.M.E.x", "p.M.a", "p.M.a"], "{reported:?}");
}

/// The linker rejects such names and gets others, without a change of their meaning.
#[test]
fn colliding_json_names_are_unique_in_payloads() {
    let text = "syntax = \"proto2\"; package p; message M { optional string foo_bar = 1; optional string fooBar = 2; }";
    let schema = Schema::parse("p.M", &Definition::text(text), &[]).expect("it links");
    let json = "{\"foo_bar\":\"a\",\"fooBar\":\"b\"}";
    let bytes = schema.encode(json).expect("a payload");
    assert_eq!(bytes, b"\x0a\x01a\x12\x01b");
    assert_eq!(schema.to_json(&bytes), Ok(json.to_owned()));

    // In proto3, field names may differ only in case.
    let text = |name: &str| {
        format!(
            "syntax = \"proto3\"; package p; message M {{ string {name} = 1; string fooBar = 2; int32 n = 3; repeated \
             int32 r = 4; optional bool b = 5; oneof o {{ M m = 6; E e = 7; }} E f = 8; }} enum E {{ E_A = 0; }}"
        )
    };
    let form = |name: &str| {
        let schema = Schema::parse("p.M", &Definition::text(text(name)), &[]).expect("it links");
        assert_eq!(schema.check(), []);
        String::from_utf8(schema.canonical()).expect("a text")
    };
    assert_eq!(form("foobar"), form("other").replace("other", "foobar"));
}
