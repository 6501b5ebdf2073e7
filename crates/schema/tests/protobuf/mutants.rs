//! Texts with one random change: the registry and protoc accept the same texts.
//!
//! The number of texts is a quarter of `TIDINGS_PAIRS`.

use std::collections::BTreeMap;

use super::{
    checks::{definition, faults},
    model::Chance,
    pairs::pairs,
    protoc::{self, Files},
};

const OTHER: &str = "syntax = \"proto2\"; package q; import \"google/protobuf/descriptor.proto\"; \
    message N { optional int32 a = 1; extensions 100 to 200; } enum F { F_A = 1; F_B = 2; } enum G { G_A = 0; } \
    message Rule { required int32 q = 1; optional Rule sub = 2; repeated string s = 3; } \
    extend google.protobuf.FieldOptions { optional int32 num = 50000; optional Rule rule = 50001; optional double dbl = 50002; } \
    extend google.protobuf.MessageOptions { optional string str = 50000; optional G en = 50001; } \
    extend google.protobuf.EnumValueOptions { optional bool hidden = 50000; }";

const TEXTS: [&str; 6] = [
    "syntax = \"proto3\";\npackage p;\nimport \"o.proto\";\noption java_package = \"a\";\n\
     message M { option (q.str) = \"x\"; option deprecated = true; string a = 1 [(q.num) = 1, deprecated = true]; \
     optional int64 b_c = 2 [jstype = JS_STRING]; repeated E e = 3 [packed = false]; map<string, In> in = 4; \
     oneof o { string x = 5; In y = 6 [lazy = true]; } message In { reserved 5 to 9, 12; reserved \"old\"; int32 i = 1 [json_name = \"j\"]; } \
     enum E { E_A = 0; E_B = 1 [(q.hidden) = true]; reserved 7, 9 to max; reserved \"E_OLD\"; } q.N n = 7; }\n\
     service S { rpc R(M) returns (stream M.In) { option deprecated = true; } }\n",
    "syntax = \"proto2\";\npackage p;\nimport \"o.proto\";\n\
     message M { option (q.en) = G_A; required string a = 1 [default = \"x\", (q.rule).q = 1]; optional int32 b_c = 2 [default = -7]; \
     repeated int32 e = 3 [packed = true]; optional group Gr = 4 { optional q.F f = 1 [default = F_B]; } \
     oneof o { string x = 5; q.N y = 6; } extensions 100 to 199, 300; reserved 50 to 60; reserved \"old\"; \
     extend q.N { optional string ext = 101; } optional double d = 7 [(q.dbl) = 1.5, default = inf]; optional bytes by = 8 [ctype = CORD]; }\n\
     extend M { optional M m = 100 [lazy = true]; repeated int32 r = 101; }\n\
     enum Color { option allow_alias = true; COLOR_RED = 1; COLOR_ROT = 1; COLOR_BLUE = 2; reserved -5 to -1; }\n",
    "edition = \"2023\";\npackage p;\nimport \"o.proto\";\noption features.enum_type = OPEN;\n\
     message M { option features.json_format = ALLOW; string a = 1 [features.field_presence = IMPLICIT]; \
     int32 b_c = 2 [features.field_presence = LEGACY_REQUIRED]; repeated int32 e = 3 [features.repeated_field_encoding = EXPANDED]; \
     M m = 4 [features.message_encoding = DELIMITED]; string s = 5 [features.utf8_validation = NONE, default = \"d\"]; \
     oneof o { string x = 6; q.N y = 7; } reserved 8 to 10; reserved old, older; q.F f = 11; map<int32, string> mm = 12; extensions 100 to 200; }\n\
     enum E { option features.enum_type = CLOSED; A = 1; B = 2; reserved C; } extend M { string ext = 100; }\n",
    "edition = \"2024\";\npackage p;\nimport \"o.proto\";\nimport option \"google/protobuf/cpp_features.proto\";\n\
     option features.enforce_naming_style = STYLE2024;\noption features.default_symbol_visibility = EXPORT_TOP_LEVEL;\n\
     export message M { string a = 1 [features.(pb.cpp).string_type = VIEW]; Inner inner = 2; local message Inner { int32 some_thing = 1; } \
     reserved old; oneof choice { q.N n = 3; int32 num = 4; } }\nlocal enum E { E_UNKNOWN = 0; E_ONE = 1; }\n\
     message Uses { E e = 1; map<string, M> by_name = 2; }\n",
    "syntax = \"proto2\";\npackage p;\nmessage Set { option message_set_wire_format = true; extensions 4 to max; }\n\
     message Item { extend Set { optional Item item = 1000; } optional string s = 1; }\n\
     message Decl { extensions 10 to 20 [declaration = { number: 10 full_name: \".p.ten\" type: \"string\" }, declaration = { number: 11 reserved: true }]; \
     extensions 30 to 40 [verification = UNVERIFIED]; }\nextend Decl { optional string ten = 10; repeated int32 many = 30; }\n",
    "syntax = \"proto3\";\npackage p;\nimport \"google/protobuf/descriptor.proto\";\nimport \"google/protobuf/any.proto\";\n\
     extend google.protobuf.FieldOptions { string note = 50100; repeated Level levels = 50101; Shape shape = 50102; }\n\
     enum Level { LEVEL_NONE = 0; LEVEL_HIGH = 2; }\nmessage Shape { string a = 1; repeated Shape parts = 2; double d = 3; map<string, int32> m = 4; }\n\
     message M { google.protobuf.Any any = 1 [(note) = \"n\", (levels) = LEVEL_HIGH, (levels) = LEVEL_NONE]; \
     string b = 2 [(shape) = { a: \"x\" parts { d: -inf } parts: [{ a: 'y' }] m { key: \"k\" value: 3 } }]; optional bool c = 3 [(shape).a = \"z\"]; }\n",
];

/// Replacements for words.
const WORDS: [&str; 76] = [
    "optional",
    "required",
    "repeated",
    "string",
    "bytes",
    "int32",
    "uint64",
    "sint32",
    "fixed64",
    "double",
    "bool",
    "M",
    "In",
    "E",
    "q.N",
    "q.F",
    "q.G",
    "N",
    "Color",
    "group",
    "map",
    "oneof",
    "message",
    "enum",
    "extend",
    "extensions",
    "reserved",
    "option",
    "import",
    "public",
    "weak",
    "package",
    "service",
    "max",
    "to",
    "true",
    "false",
    "inf",
    "nan",
    "a",
    "b_c",
    "bC",
    "x",
    "old",
    "E_A",
    "E_OLD",
    "F_A",
    "G_A",
    "A",
    "COLOR_RED",
    "RED",
    "deprecated",
    "packed",
    "lazy",
    "jstype",
    "ctype",
    "default",
    "json_name",
    "JS_NUMBER",
    "JS_NORMAL",
    "CORD",
    "IMPLICIT",
    "EXPLICIT",
    "LEGACY_REQUIRED",
    "DELIMITED",
    "PACKED",
    "EXPANDED",
    "CLOSED",
    "OPEN",
    "NONE",
    "VERIFY",
    "ALLOW",
    "LEGACY_BEST_EFFORT",
    "STYLE_LEGACY",
    "local",
    "export",
];

const NUMBERS: [&str; 24] = [
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "7",
    "9",
    "10",
    "11",
    "50",
    "55",
    "100",
    "101",
    "150",
    "199",
    "300",
    "1000",
    "18999",
    "19000",
    "536870911",
    "536870912",
    "2147483647",
    "-1",
];

/// Field options.
const OPTIONS: [&str; 30] = [
    "deprecated = true",
    "packed = true",
    "packed = false",
    "lazy = true",
    "unverified_lazy = true",
    "jstype = JS_STRING",
    "jstype = JS_NORMAL",
    "ctype = CORD",
    "weak = true",
    "json_name = \"a\"",
    "json_name = \"[x]\"",
    "json_name = \"bC\"",
    "json_name = \"a\\000\"",
    "default = 1",
    "default = \"x\"",
    "default = true",
    "debug_redact = true",
    "retention = RETENTION_SOURCE",
    "targets = TARGET_TYPE_FIELD",
    "features.field_presence = EXPLICIT",
    "features.field_presence = IMPLICIT",
    "features.field_presence = LEGACY_REQUIRED",
    "features.utf8_validation = VERIFY",
    "features.message_encoding = DELIMITED",
    "features.repeated_field_encoding = PACKED",
    "features.enum_type = OPEN",
    "features.json_format = ALLOW",
    "(q.num) = 1",
    "(q.rule).s = \"x\"",
    "(q.dbl) = -inf",
];

const STATEMENTS: [&str; 36] = [
    "string a = 1;",
    "string added = 90;",
    "optional string added = 90;",
    "repeated q.F added = 90;",
    "q.F added = 90;",
    "required int32 added = 90;",
    "optional string a_b = 91;",
    "string aB = 91;",
    "M added = 92;",
    "map<string, q.F> added = 90;",
    "map<q.G, string> added = 90;",
    "oneof added { string in_oneof = 93; }",
    "oneof added { }",
    "reserved 1;",
    "reserved 90 to 95;",
    "reserved \"a\";",
    "reserved a;",
    "reserved 20 to 15;",
    "extensions 100 to 150;",
    "extensions 1000 to max;",
    "message Added { }",
    "enum Added { ADDED_A = 0; }",
    "enum Added { ADDED_A = 0; A = 1; }",
    "enum Added { A = 0; a = 1; }",
    "enum Added { }",
    "enum Added { NEG = -1; }",
    "enum Added { option allow_alias = true; X1 = 0; X2 = 0; }",
    "enum Added { option allow_alias = true; X1 = 0; }",
    "extend q.N { optional string added_ext = 150; }",
    "extend q.N { string added_ext = 150; }",
    "option deprecated = true;",
    "option features.field_presence = IMPLICIT;",
    "option features.enum_type = CLOSED;",
    "option deprecated_legacy_json_field_conflicts = true;",
    "import \"o.proto\";",
    "option optimize_for = LITE_RUNTIME;",
];

const HEADS: [&str; 4] =
    ["syntax = \"proto2\"", "syntax = \"proto3\"", "edition = \"2023\"", "edition = \"2024\""];

/// The byte ranges of the tokens of a text.
fn tokens(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            quote @ (b'"' | b'\'') => {
                at += 1;
                while bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            byte if word(byte) => {
                while at < bytes.len() && word(bytes[at]) {
                    at += 1;
                }
            }
            _ => at += 1,
        }
        tokens.push((start, at));
    }
    tokens
}

/// A text with one change.
fn mutant(chance: &mut Chance) -> String {
    let text = chance.of(&TEXTS);
    let tokens = tokens(text);
    let at = |token: usize| &text[tokens[token].0..tokens[token].1];
    let indices = |accepts: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..tokens.len()).filter(|token| accepts(at(*token))).collect()
    };
    let numbers = indices(&|token| token.starts_with(|character: char| character.is_ascii_digit()));
    let words =
        indices(&|token| token.starts_with(|character: char| character.is_ascii_alphabetic()));
    let ends = indices(&|token| matches!(token, ";" | "{" | "}"));
    let replaced = |token: usize, with: &str| {
        format!("{}{with}{}", &text[..tokens[token].0], &text[tokens[token].1..])
    };
    let after = |token: usize, with: &str| {
        format!("{} {with} {}", &text[..tokens[token].1], &text[tokens[token].1..])
    };
    match chance.below(20) {
        0..=4 => replaced(chance.of(&words), chance.of(&WORDS)),
        5..=7 => replaced(chance.of(&numbers), chance.of(&NUMBERS)),
        8 => replaced(chance.below(tokens.len()), ""),
        9..=12 => after(chance.of(&ends), chance.of(&STATEMENTS)),
        13..=15 => {
            // Adds an option at the end of a statement.
            let ends: Vec<usize> =
                indices(&|token| token == ";").into_iter().filter(|index| *index > 0).collect();
            let end = chance.of(&ends);
            let option = chance.of(&OPTIONS);
            match at(end - 1) {
                "]" => replaced(end - 1, &format!(", {option}]")),
                _ => replaced(end, &format!(" [{option}];")),
            }
        }
        16 => {
            // Repeats or removes a statement.
            let end = chance.below(ends.len() - 1);
            let (from, to) = (tokens[ends[end]].1, tokens[ends[end + 1]].1);
            let statement = &text[from..to];
            let with = if chance.one_in(2) { statement.repeat(2) } else { String::new() };
            format!("{}{with}{}", &text[..from], &text[to..])
        }
        17 | 18 => {
            let end = text.find(';').expect("it has a statement");
            format!("{}{}", chance.of(&HEADS), &text[end..])
        }
        _ => {
            let (a, b) = (chance.of(&words), chance.of(&words));
            replaced(a, at(b))
        }
    }
}

#[test]
fn protoc_agrees_with_every_mutant() {
    let count = (pairs() / 4).max(1);
    let mutants: Vec<Files> = (1..=u64::from(count))
        .map(|seed| {
            let text = mutant(&mut Chance::new(seed));
            BTreeMap::from([("m.proto".to_owned(), text), ("o.proto".to_owned(), OTHER.to_owned())])
        })
        .collect();
    let jobs: Vec<&Files> = mutants.iter().collect();
    let Some(results) = protoc::compile("texts with one change", &jobs) else { return };
    let (mut accepted, mut rejected) = (0, 0);
    let (mut false_accepts, mut false_rejections) = (Vec::new(), Vec::new());
    for (seed, (files, result)) in (1..).zip(mutants.iter().zip(&results)) {
        let faults = faults(&definition(files));
        match (&result.why, faults.is_empty()) {
            (None, true) => accepted += 1,
            (Some(_), false) => rejected += 1,
            (Some(why), true) => {
                false_accepts.push(format!("seed {seed}: {why}\n{}", files["m.proto"]));
            }
            (None, false) => {
                let known = |message: &str| STRICTER.iter().any(|(part, _)| message.contains(part));
                if faults.iter().all(|fault| known(&fault.message)) {
                    rejected += 1;
                } else {
                    false_rejections.push(format!("seed {seed}: {faults:?}\n{}", files["m.proto"]));
                }
            }
        }
    }
    println!(
        "{count} texts: {accepted} accepted and {rejected} rejected by both; {} accepted only by us, {} only by protoc",
        false_accepts.len(),
        false_rejections.len()
    );
    let wrong =
        [("accepted only by us", false_accepts), ("accepted only by protoc", false_rejections)];
    for (label, texts) in &wrong {
        println!("{label}:\n{}", texts.join("\n"));
    }
    assert!(wrong.iter().all(|(_, texts)| texts.is_empty()), "the registry and protoc disagree");
}

/// Messages of faults that protoc does not report, with the reason.
const STRICTER: [(&str, &str); 2] = [
    ("message numbers must be between", "a reserved number that no field can have"),
    ("the number", "an extension's number in two files, of which runtimes load one"),
];
