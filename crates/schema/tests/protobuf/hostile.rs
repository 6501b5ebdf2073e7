//! Definitions that a stranger made to cost time or memory: each is refused, or done, within a bound.

use std::time::{Duration, Instant};

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
use tidings_schema::{
    definition::{DEFINITION_BYTES_MAX, Definition, Form, InvalidSchema},
    finding::{Direction, Options, Verdict},
    protobuf::{self, Schema},
};

/// A second in a release; what is not optimised gets more, and what shares a machine with other tests too.
const PATIENCE: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(8) } else { Duration::from_secs(2) };

fn timed<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = work();
    let took = begin.elapsed();
    println!("{name}: {took:?}");
    assert!(took < PATIENCE, "{name} took {took:?}");
    done
}

fn text(text: String) -> Result<Schema, InvalidSchema> {
    let mut definition = Definition::text(text);
    definition.message_name = "M".to_owned();
    Schema::parse("", &definition, &[])
}

fn set(set: &FileDescriptorSet) -> Result<Schema, InvalidSchema> {
    let form = Form::DescriptorSet(set.encode_to_vec().into());
    Schema::parse("M", &Definition { form, ..Definition::text("") }, &[])
}

fn fill(begin: &str, mut part: impl FnMut(usize) -> String, end: &str) -> String {
    let mut text = begin.to_owned();
    for at in 1.. {
        let part = part(at);
        if text.len() + part.len() + end.len() > DEFINITION_BYTES_MAX {
            break;
        }
        text.push_str(&part);
    }
    text + end
}

const P3: &str = "syntax = \"proto3\";\n";

#[test]
fn bombs_are_refused_in_time_with_a_place() {
    let message = format!("{P3}message M {{\n");
    let bombs = [
        ("fields", fill(&message, |it| format!("int32 f{it} = {it};\n"), "}")),
        (
            "fields of oneofs",
            fill(&message, |it| format!("oneof o{it} {{ int32 f{it} = {it}; }}\n"), "}"),
        ),
        ("empty messages", fill(P3, |it| format!("message M{it} {{}}\n"), "")),
        ("nested messages", fill(P3, |it| format!("message M{it} {{\n"), "")),
        (
            "reserved numbers",
            fill(&format!("{message}reserved 1"), |it| format!(",{}", 2 * it), ";}"),
        ),
        (
            "option lists",
            fill(
                &format!("{message}int32 a = 1 [deprecated = true"),
                |it| format!(",(o{it})=1"),
                "];}",
            ),
        ),
        ("options that nest", fill(&format!("{message}option (o) = "), |_| "{a:".to_owned(), "")),
        (
            "brackets that nest",
            fill(&format!("{message}option (o) = {{a:"), |_| "[".to_owned(), ""),
        ),
        (
            "aggregates without separators",
            fill(&format!("{message}option (o) = {{"), |_| "a{}".to_owned(), "};}"),
        ),
        ("imports", fill(P3, |it| format!("import \"f{it}.proto\";\n"), "message M {}")),
        (
            "enum values",
            fill(&format!("{P3}enum E {{ A = 0;\n"), |it| format!("V{it} = {it};\n"), "}"),
        ),
        (
            "unknown types",
            fill(
                &message,
                |it| {
                    if it < 4_900 {
                        format!("Nope{it} f{it} = {it};\n")
                    } else {
                        "\n\n\n\n".to_owned()
                    }
                },
                "}",
            ),
        ),
        (
            "one unknown type with a long text",
            fill(&format!("{message}Nope n = 1; }} // "), |_| "x".repeat(1000), ""),
        ),
        (
            "duplicate numbers",
            fill(
                &message,
                |it| if it < 4_900 { format!("int32 f{it} = 1;\n") } else { "//\n".to_owned() },
                "}",
            ),
        ),
        ("garbage", fill(P3, |_| "message = ] ; } \"".to_owned(), "")),
        ("garbage of braces", fill(P3, |it| if it % 2 == 0 { "{" } else { "}" }.to_owned(), "")),
        ("a string without an end", fill(&format!("{P3}import \""), |_| "\\".repeat(999), "")),
        ("a comment without an end", fill("/*", |_| "/*".to_owned(), "")),
        ("a long name", fill(&format!("{message}int32 "), |_| "a".repeat(1000), " = 0;}")),
        ("a long package", fill("package a", |_| ".a".to_owned(), "; message M { Nope n = 1; }")),
        (
            "an edition",
            fill("edition = \"2023\";\nmessage M {", |it| format!("int32 f{it} = {it};\n"), "}"),
        ),
        (
            "an option of options apart",
            fill(
                "syntax = \"proto2\"; import \"google/protobuf/descriptor.proto\"; message R { optional R a = 1; optional int32 n = 2; } \
                 extend google.protobuf.MessageOptions { optional R o = 50000; } message M { option (o)",
                |_| " .a".to_owned(),
                ".n = 1; }",
            ),
        ),
        (
            "braces that nest behind comments that close them",
            fill(&format!("{message}option (o) = "), |_| "{a: #}\n".to_owned(), ""),
        ),
        ("angles that nest", fill(&format!("{message}option (o) = {{a"), |_| "<a".to_owned(), "")),
        (
            "an option of an option of an option",
            fill(
                "syntax = \"proto2\"; import \"google/protobuf/descriptor.proto\"; message R { optional R a = 1; optional int32 n = 2; } \
                 extend google.protobuf.MessageOptions { optional R o = 50000; } message M { option (o)",
                |_| ".a".to_owned(),
                ".n = 1; }",
            ),
        ),
        ("no message", fill(P3, |_| ";".to_owned(), "")),
    ];
    for (name, bomb) in bombs {
        assert!(bomb.len() <= DEFINITION_BYTES_MAX);
        let refused = timed(name, || text(bomb)).map(|_| ()).expect_err(name);
        let fault = refused.faults.first().expect("a fault");
        assert!(fault.place.line > 0, "{name}: {fault}");
        assert!(fault.message.len() < 2_000_000, "{name}");
        assert!(refused.faults.len() <= 50, "{name}: {}", refused.faults.len());
    }
}

#[test]
fn what_is_large_and_allowed_is_done_in_time() {
    let fields = |name: &str, kind: &str, from: usize| {
        let fields: String = (from..from + 4_990)
            .map(|it| format!("  {kind} f{it} = {it} [deprecated = true];\n"))
            .collect();
        format!("message {name} {{\n{fields}}}\n")
    };
    let large = |kind: &str| {
        let texts = [P3.to_owned(), fields("M", kind, 1), fields("N", kind, 1)];
        timed("10,000 fields", || text(texts.concat())).expect("it is within the limits")
    };
    let (old, new) = (large("int32"), large("string"));
    let comparison = timed("comparing them", || old.compare(&new, Options::default()));
    assert_eq!(comparison.verdict(Direction::Both), Verdict::Incompatible);
    assert!(comparison.findings.len() <= 1_000, "{}", comparison.findings.len());
    timed("their ledger", || protobuf::ledger(&[&old, &new, &old], &new, Options::default()));

    let chain: String =
        (0..4_000).map(|it| format!("message M{it} {{ M{} m = 1; }}\n", it + 1)).collect();
    let chain = format!("{P3}message M {{ M0 m = 1; }}\n{chain}message M4000 {{}}");
    let chain = timed("a chain of types", || text(chain)).expect("it is within the limits");
    timed("comparing the chain", || chain.compare(&chain, Options::default()));
    let long_line = fill(&format!("{P3}message M {{ /*"), |_| "é".repeat(500), "*/ int32 a = 1; }");
    timed("a long line", || text(long_line)).expect("it is within the limits");
    let ranges: String = (0..9_000).map(|it| format!(",{}", 20_000 + 2 * it)).collect();
    let fields: String = (1..4_900).map(|it| format!("int32 f{it} = {it};")).collect();
    let deep = format!(
        "syntax = \"proto2\"; import \"google/protobuf/descriptor.proto\"; message R {{ repeated R a = 1; optional int32 n = 2; }} \
         extend google.protobuf.MessageOptions {{ optional R o = 50000; }} message M {{ option (o) = {}{}; }}",
        "{a:".repeat(60).replacen("a:", "n: 1 a:", 1),
        "{}".to_owned() + &"}".repeat(60)
    );
    timed("an option that nests", || text(deep)).expect("it is within the limits");
    let reserved = format!("{P3}message M {{ reserved 19999{ranges}; {fields} }}");
    let reserved = reserved.replace("reserved 19999,", "reserved ");
    timed("ranges and fields", || text(reserved)).expect("it is within the limits");
}

#[test]
fn cycles_without_a_common_factor_are_not_walked_to_their_end() {
    let cycle = |length: usize| {
        let messages: String = (0..length)
            .map(|it| format!("message M{it} {{ M{} m = 1; int32 a = 2; }}\n", (it + 1) % length))
            .collect();
        text(format!("{P3}message M {{ M0 m = 1; }}\n{messages}")).expect("it is within the limits")
    };
    let (old, new) = (cycle(1_999), cycle(2_000));
    let comparison = timed("4,000,000 pairs", || old.compare(&new, Options::default()));
    assert_eq!(comparison.verdict(Direction::Both), Verdict::Unproven);
    timed("their ledger", || protobuf::ledger(&[&old], &new, Options::default()));
}

#[test]
fn imports_that_share_imports_are_looked_at_once() {
    let mut definition = Definition::text(format!(
        "{P3}import \"a60.proto\"; import \"b60.proto\"; message M {{ T t = 1; }}"
    ));
    for at in 0..=60 {
        for side in ["a", "b"] {
            let below = match at {
                0 if side == "a" => "message T {}".to_owned(),
                0 => String::new(),
                _ => format!("import public \"a{0}.proto\"; import public \"b{0}.proto\";", at - 1),
            };
            definition.files.insert(format!("{side}{at}.proto"), format!("{P3}{below}"));
        }
    }
    timed("public imports", || Schema::parse("M", &definition, &[])).expect("T is visible");
    let mut chain = Definition::text(format!("{P3}import \"0.proto\"; message M {{}}"));
    for at in 0..600 {
        chain.files.insert(format!("{at}.proto"), format!("{P3}import \"{}.proto\";", at + 1));
    }
    timed("too many files", || Schema::parse("M", &chain, &[])).expect_err("500 are the most");
    chain.files.retain(|name, _| name.len() < 8);
    timed("a chain of imports", || Schema::parse("M", &chain, &[])).expect_err("it has no end");
}

#[test]
fn descriptor_sets_of_strangers_do_not_panic() {
    let file = |change: &dyn Fn(&mut FileDescriptorProto)| {
        let mut file = FileDescriptorProto {
            name: Some("m.proto".to_owned()),
            message_type: vec![DescriptorProto {
                name: Some("M".to_owned()),
                ..Default::default()
            }],
            ..Default::default()
        };
        change(&mut file);
        set(&FileDescriptorSet { file: vec![file] })
    };
    file(&|_| {}).expect("that is a schema");
    let field = || prost_types::FieldDescriptorProto {
        name: Some("a".to_owned()),
        number: Some(1),
        r#type: Some(5),
        label: Some(1),
        ..Default::default()
    };
    let uninterpreted = || prost_types::UninterpretedOption::default();
    type Change = Box<dyn Fn(&mut FileDescriptorProto)>;
    let bad: Vec<Change> = vec![
        Box::new(|it| it.syntax = Some("proto4".to_owned())),
        Box::new(|it| it.package = Some("a..b".to_owned())),
        Box::new(|it| it.message_type[0].name = None),
        Box::new(|it| it.message_type[0].name = Some("a.b".to_owned())),
        Box::new(|it| it.dependency = vec!["m.proto".to_owned()]),
        Box::new(|it| it.dependency = vec!["../m.proto".to_owned()]),
        Box::new(|it| it.enum_type = vec![Default::default()]),
        Box::new(|it| {
            it.enum_type = vec![prost_types::EnumDescriptorProto {
                name: Some("E".to_owned()),
                ..Default::default()
            }];
        }),
        Box::new(move |it| {
            let mut field = field();
            field.number = Some(-1);
            it.message_type[0].field = vec![field];
        }),
        Box::new(move |it| {
            let mut field = field();
            field.oneof_index = Some(7);
            it.message_type[0].field = vec![field];
        }),
        Box::new(move |it| {
            let mut field = field();
            field.r#type = Some(11);
            it.message_type[0].field = vec![field];
        }),
        Box::new(move |it| it.extension = vec![field()]),
        Box::new(|it| {
            it.message_type[0].options =
                Some(prost_types::MessageOptions { map_entry: Some(true), ..Default::default() });
        }),
        Box::new(move |it| {
            it.options = Some(prost_types::FileOptions {
                uninterpreted_option: vec![uninterpreted()],
                ..Default::default()
            });
        }),
        Box::new(|it| {
            it.message_type[0].reserved_range =
                vec![prost_types::descriptor_proto::ReservedRange { start: Some(9), end: Some(2) }];
        }),
        Box::new(|it| it.public_dependency = vec![3]),
    ];
    for (at, change) in bad.iter().enumerate() {
        let parsed = file(&**change);
        // An import by an index that is not there says nothing.
        assert!(parsed.is_err() || at + 1 == bad.len(), "{at}");
    }
    let mut deep = DescriptorProto { name: Some("M".to_owned()), ..Default::default() };
    for _ in 0..40 {
        deep = DescriptorProto {
            name: Some("M".to_owned()),
            nested_type: vec![deep],
            ..Default::default()
        };
    }
    timed("deep messages", || file(&|it| it.message_type = vec![deep.clone()]))
        .expect("that nests 41 deep");
    for _ in 0..100 {
        deep = DescriptorProto {
            name: Some("M".to_owned()),
            nested_type: vec![deep],
            ..Default::default()
        };
    }
    timed("deeper messages", || file(&|it| it.message_type = vec![deep.clone()]))
        .expect_err("too deep");
    set(&FileDescriptorSet::default()).expect_err("no files");

    // The bytes of an option that a file declares which this one does not import.
    let late = "syntax = \"proto2\"; import \"google/protobuf/descriptor.proto\"; message R { optional R a = 1; } \
        extend google.protobuf.MessageOptions { optional R o = 50000; }";
    let late = protox::file::File::from_source("late.proto", late).expect("it parses");
    let late = late.file_descriptor_proto().encode_to_vec();
    // M { options { 50000: "\xff" } }, where the linker expects a message.
    let broken = b"\x0a\x07m.proto\x22\x0a\x0a\x01M\x3a\x05\x82\xb5\x18\x01\xff";
    let mut bytes = Vec::new();
    for file in [&broken[..], &late] {
        bytes.push(0x0a);
        prost::encoding::encode_varint(file.len() as u64, &mut bytes);
        bytes.extend_from_slice(file);
    }
    let form = Form::DescriptorSet(bytes.into());
    Schema::parse("M", &Definition { form, ..Definition::text("") }, &[])
        .expect("options are not looked into");
}

#[test]
fn noise_does_not_panic() {
    let schema = include_str!("../cases/protobuf/features/group_to_delimited/current.proto");
    let proto2 = include_str!("../cases/protobuf/features/group_to_message/previous.proto");
    let file = protox::file::File::from_source("m.proto", proto2).expect("it parses");
    let descriptors =
        FileDescriptorSet { file: vec![file.file_descriptor_proto().clone()] }.encode_to_vec();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("it is below")
    };
    let begin = Instant::now();
    for _ in 0..4_000 {
        let mut noisy = schema.as_bytes().to_vec();
        for _ in 0..=random(4) {
            let (at, with) = (random(noisy.len()), b"{}[]();=,.\"'/*<> 0-9azA\\\n"[random(24)]);
            match random(3) {
                0 => noisy[at] = with,
                1 => noisy.insert(at, with),
                _ => drop(noisy.remove(at)),
            }
        }
        let _ = Schema::parse("", &Definition::text(String::from_utf8_lossy(&noisy)), &[]);
        let mut noisy = descriptors.clone();
        for _ in 0..=random(3) {
            let at = random(noisy.len());
            noisy[at] = u8::try_from(random(256)).expect("a byte");
        }
        let form = Form::DescriptorSet(noisy.into());
        let _ = Schema::parse("", &Definition { form, ..Definition::text("") }, &[]);
        if begin.elapsed() > Duration::from_secs(20) {
            break;
        }
    }
}
