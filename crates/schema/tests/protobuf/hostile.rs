//! Hostile definitions that cost time or memory: each is rejected or processed within a bound.

use std::time::{Duration, Instant};

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
use tidings_schema::{
    definition::{DEFINITION_BYTES_MAX, Definition, Form, InvalidSchema},
    finding::{Direction, Options, Verdict},
    protobuf::{self, Schema},
};

/// Time limit: a second is expected in a release build; the limit leaves room for unoptimised
/// builds and for other tests on the same machine.
const DEADLINE: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(8) } else { Duration::from_secs(2) };

fn timed<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let took = start.elapsed();
    println!("{name}: {took:?}");
    assert!(took < DEADLINE, "{name} took {took:?}");
    result
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

fn fill(start: &str, mut chunk: impl FnMut(usize) -> String, end: &str) -> String {
    let mut text = start.to_owned();
    for at in 1.. {
        let chunk = chunk(at);
        if text.len() + chunk.len() + end.len() > DEFINITION_BYTES_MAX {
            break;
        }
        text.push_str(&chunk);
    }
    text + end
}

const P3: &str = "syntax = \"proto3\";\n";

#[test]
fn bombs_are_rejected_in_time_with_a_location() {
    let message = format!("{P3}message M {{\n");
    let bombs = [
        ("fields", fill(&message, |index| format!("int32 f{index} = {index};\n"), "}")),
        (
            "fields of oneofs",
            fill(
                &message,
                |index| format!("oneof o{index} {{ int32 f{index} = {index}; }}\n"),
                "}",
            ),
        ),
        ("empty messages", fill(P3, |index| format!("message M{index} {{}}\n"), "")),
        ("nested messages", fill(P3, |index| format!("message M{index} {{\n"), "")),
        (
            "reserved numbers",
            fill(&format!("{message}reserved 1"), |index| format!(",{}", 2 * index), ";}"),
        ),
        (
            "option lists",
            fill(
                &format!("{message}int32 a = 1 [deprecated = true"),
                |index| format!(",(o{index})=1"),
                "];}",
            ),
        ),
        ("nested options", fill(&format!("{message}option (o) = "), |_| "{a:".to_owned(), "")),
        ("nested brackets", fill(&format!("{message}option (o) = {{a:"), |_| "[".to_owned(), "")),
        (
            "aggregates without separators",
            fill(&format!("{message}option (o) = {{"), |_| "a{}".to_owned(), "};}"),
        ),
        ("imports", fill(P3, |index| format!("import \"f{index}.proto\";\n"), "message M {}")),
        (
            "enum values",
            fill(&format!("{P3}enum E {{ A = 0;\n"), |index| format!("V{index} = {index};\n"), "}"),
        ),
        (
            "unknown types",
            fill(
                &message,
                |index| {
                    if index < 4_900 {
                        format!("Nope{index} f{index} = {index};\n")
                    } else {
                        "\n\n\n\n".to_owned()
                    }
                },
                "}",
            ),
        ),
        (
            "an unknown type in a long text",
            fill(&format!("{message}Nope n = 1; }} // "), |_| "x".repeat(1000), ""),
        ),
        (
            "duplicate numbers",
            fill(
                &message,
                |index| {
                    if index < 4_900 { format!("int32 f{index} = 1;\n") } else { "//\n".to_owned() }
                },
                "}",
            ),
        ),
        ("garbage", fill(P3, |_| "message = ] ; } \"".to_owned(), "")),
        (
            "garbage of braces",
            fill(P3, |index| if index % 2 == 0 { "{" } else { "}" }.to_owned(), ""),
        ),
        ("a string without an end", fill(&format!("{P3}import \""), |_| "\\".repeat(999), "")),
        ("a comment without an end", fill("/*", |_| "/*".to_owned(), "")),
        ("a long name", fill(&format!("{message}int32 "), |_| "a".repeat(1000), " = 0;}")),
        ("a long package", fill("package a", |_| ".a".to_owned(), "; message M { Nope n = 1; }")),
        (
            "an edition",
            fill(
                "edition = \"2023\";\nmessage M {",
                |index| format!("int32 f{index} = {index};\n"),
                "}",
            ),
        ),
        (
            "a long option name with spaces",
            fill(
                "syntax = \"proto2\"; import \"google/protobuf/descriptor.proto\"; message R { optional R a = 1; optional int32 n = 2; } \
                 extend google.protobuf.MessageOptions { optional R o = 50000; } message M { option (o)",
                |_| " .a".to_owned(),
                ".n = 1; }",
            ),
        ),
        (
            "nested braces with closing braces in comments",
            fill(&format!("{message}option (o) = "), |_| "{a: #}\n".to_owned(), ""),
        ),
        (
            "nested angle brackets",
            fill(&format!("{message}option (o) = {{a"), |_| "<a".to_owned(), ""),
        ),
        (
            "a long option name",
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
        let rejected = timed(name, || text(bomb)).map(|_| ()).expect_err(name);
        let fault = rejected.faults.first().expect("a fault");
        assert!(fault.location.line > 0, "{name}: {fault}");
        assert!(fault.message.len() < 2_000_000, "{name}");
        assert!(rejected.faults.len() <= 50, "{name}: {}", rejected.faults.len());
    }
}

#[test]
fn large_valid_definitions_are_processed_in_time() {
    let fields = |name: &str, kind: &str, from: usize| {
        let fields: String = (from..from + 4_990)
            .map(|index| format!("  {kind} f{index} = {index} [deprecated = true];\n"))
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
        (0..4_000).map(|index| format!("message M{index} {{ M{} m = 1; }}\n", index + 1)).collect();
    let chain = format!("{P3}message M {{ M0 m = 1; }}\n{chain}message M4000 {{}}");
    let chain = timed("a chain of types", || text(chain)).expect("it is within the limits");
    timed("comparing the chain", || chain.compare(&chain, Options::default()));
    let long_line = fill(&format!("{P3}message M {{ /*"), |_| "é".repeat(500), "*/ int32 a = 1; }");
    timed("a long line", || text(long_line)).expect("it is within the limits");
    let ranges: String = (0..9_000).map(|index| format!(",{}", 20_000 + 2 * index)).collect();
    let fields: String = (1..4_900).map(|index| format!("int32 f{index} = {index};")).collect();
    let deep = format!(
        "syntax = \"proto2\"; import \"google/protobuf/descriptor.proto\"; message R {{ repeated R a = 1; optional int32 n = 2; }} \
         extend google.protobuf.MessageOptions {{ optional R o = 50000; }} message M {{ option (o) = {}{}; }}",
        "{a:".repeat(60).replacen("a:", "n: 1 a:", 1),
        "{}".to_owned() + &"}".repeat(60)
    );
    timed("a nested option", || text(deep)).expect("it is within the limits");
    let reserved = format!("{P3}message M {{ reserved 19999{ranges}; {fields} }}");
    let reserved = reserved.replace("reserved 19999,", "reserved ");
    timed("ranges and fields", || text(reserved)).expect("it is within the limits");
}

#[test]
fn comparison_of_cycles_of_coprime_lengths_is_bounded() {
    let cycle = |length: usize| {
        let messages: String = (0..length)
            .map(|index| {
                format!("message M{index} {{ M{} m = 1; int32 a = 2; }}\n", (index + 1) % length)
            })
            .collect();
        text(format!("{P3}message M {{ M0 m = 1; }}\n{messages}")).expect("it is within the limits")
    };
    let (old, new) = (cycle(1_999), cycle(2_000));
    let comparison = timed("4,000,000 pairs", || old.compare(&new, Options::default()));
    assert_eq!(comparison.verdict(Direction::Both), Verdict::Unproven);
    timed("their ledger", || protobuf::ledger(&[&old], &new, Options::default()));
}

#[test]
fn shared_imports_are_visited_once() {
    let mut definition = Definition::text(format!(
        "{P3}import \"a60.proto\"; import \"b60.proto\"; message M {{ T t = 1; }}"
    ));
    for at in 0..=60 {
        for side in ["a", "b"] {
            let bound = match at {
                0 if side == "a" => "message T {}".to_owned(),
                0 => String::new(),
                _ => format!("import public \"a{0}.proto\"; import public \"b{0}.proto\";", at - 1),
            };
            definition.files.insert(format!("{side}{at}.proto"), format!("{P3}{bound}"));
        }
    }
    timed("public imports", || Schema::parse("M", &definition, &[])).expect("T is visible");
    let mut chain = Definition::text(format!("{P3}import \"0.proto\"; message M {{}}"));
    for at in 0..600 {
        chain.files.insert(format!("{at}.proto"), format!("{P3}import \"{}.proto\";", at + 1));
    }
    timed("too many files", || Schema::parse("M", &chain, &[])).expect_err("the limit is 500");
    chain.files.retain(|name, _| name.len() < 8);
    timed("a chain of imports", || Schema::parse("M", &chain, &[]))
        .expect_err("the last import is missing");
}

#[test]
fn hostile_descriptor_sets_do_not_panic() {
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
    file(&|_| {}).expect("it is a schema");
    let field = || prost_types::FieldDescriptorProto {
        name: Some("a".to_owned()),
        number: Some(1),
        r#type: Some(5),
        label: Some(1),
        ..Default::default()
    };
    let uninterpreted = || prost_types::UninterpretedOption::default();
    type Change = Box<dyn Fn(&mut FileDescriptorProto)>;
    let changes: Vec<Change> = vec![
        Box::new(|file| file.syntax = Some("proto4".to_owned())),
        Box::new(|file| file.package = Some("a..b".to_owned())),
        Box::new(|file| file.message_type[0].name = None),
        Box::new(|file| file.message_type[0].name = Some("a.b".to_owned())),
        Box::new(|file| file.dependency = vec!["m.proto".to_owned()]),
        Box::new(|file| file.dependency = vec!["../m.proto".to_owned()]),
        Box::new(|file| file.enum_type = vec![Default::default()]),
        Box::new(|file| {
            file.enum_type = vec![prost_types::EnumDescriptorProto {
                name: Some("E".to_owned()),
                ..Default::default()
            }];
        }),
        Box::new(move |file| {
            let mut field = field();
            field.number = Some(-1);
            file.message_type[0].field = vec![field];
        }),
        Box::new(move |file| {
            let mut field = field();
            field.oneof_index = Some(7);
            file.message_type[0].field = vec![field];
        }),
        Box::new(move |file| {
            let mut field = field();
            field.r#type = Some(11);
            file.message_type[0].field = vec![field];
        }),
        Box::new(move |file| file.extension = vec![field()]),
        Box::new(|file| {
            file.message_type[0].options =
                Some(prost_types::MessageOptions { map_entry: Some(true), ..Default::default() });
        }),
        Box::new(move |file| {
            file.options = Some(prost_types::FileOptions {
                uninterpreted_option: vec![uninterpreted()],
                ..Default::default()
            });
        }),
        Box::new(|file| {
            file.message_type[0].reserved_range =
                vec![prost_types::descriptor_proto::ReservedRange { start: Some(9), end: Some(2) }];
        }),
        Box::new(|file| file.public_dependency = vec![3]),
    ];
    for (at, change) in changes.iter().enumerate() {
        let parsed = file(&**change);
        // The last change, a public import with an invalid index, is accepted.
        assert!(parsed.is_err() || at + 1 == changes.len(), "{at}");
    }
    let mut deep = DescriptorProto { name: Some("M".to_owned()), ..Default::default() };
    for _ in 0..40 {
        deep = DescriptorProto {
            name: Some("M".to_owned()),
            nested_type: vec![deep],
            ..Default::default()
        };
    }
    timed("deep messages", || file(&|file| file.message_type = vec![deep.clone()]))
        .expect("41 levels are accepted");
    for _ in 0..100 {
        deep = DescriptorProto {
            name: Some("M".to_owned()),
            nested_type: vec![deep],
            ..Default::default()
        };
    }
    timed("deeper messages", || file(&|file| file.message_type = vec![deep.clone()]))
        .expect_err("too deep");
    set(&FileDescriptorSet::default()).expect_err("no files");

    // An invalid value of an option whose declaration the file does not import.
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
        .expect("options are not decoded");
}

#[test]
fn noise_does_not_panic() {
    let schema = include_str!("../cases/protobuf/features/group_to_delimited/current.proto");
    let proto2 = include_str!("../cases/protobuf/features/group_to_message/previous.proto");
    let file = protox::file::File::from_source("m.proto", proto2).expect("it parses");
    let descriptors =
        FileDescriptorSet { file: vec![file.file_descriptor_proto().clone()] }.encode_to_vec();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % bound as u64).expect("it is below")
    };
    let start = Instant::now();
    for _ in 0..4_000 {
        let mut mutated = schema.as_bytes().to_vec();
        for _ in 0..=random(4) {
            let (at, with) = (random(mutated.len()), b"{}[]();=,.\"'/*<> 0-9azA\\\n"[random(24)]);
            match random(3) {
                0 => mutated[at] = with,
                1 => mutated.insert(at, with),
                _ => drop(mutated.remove(at)),
            }
        }
        let _ = Schema::parse("", &Definition::text(String::from_utf8_lossy(&mutated)), &[]);
        let mut mutated = descriptors.clone();
        for _ in 0..=random(3) {
            let at = random(mutated.len());
            mutated[at] = u8::try_from(random(256)).expect("a byte");
        }
        let form = Form::DescriptorSet(mutated.into());
        let _ = Schema::parse("", &Definition { form, ..Definition::text("") }, &[]);
        if start.elapsed() > Duration::from_secs(20) {
            break;
        }
    }
}
