use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;

use super::*;
use crate::{
    schema::{Fingerprint, Reference, State},
    subject::{Settings, Subject},
};

/// Builds a catalog.
#[derive(Default)]
struct Registry(Catalog);

impl Registry {
    fn put(
        &mut self,
        subject: &str,
        version: &str,
        definition: Definition,
        references: &[(&str, &str, &str)],
    ) {
        let name = SubjectName::parse(subject).expect("a name");
        let reference = |(name, subject, version): &(&str, &str, &str)| Reference {
            name: (*name).into(),
            subject: SubjectName::parse(subject).expect("a name"),
            version: version.parse().expect("a version"),
        };
        let schema = Arc::new(SchemaVersion {
            subject: name.clone(),
            version: version.parse().expect("a version"),
            id: self.0.last_id + 1,
            format: Format::Protobuf,
            definition,
            references: references.iter().map(reference).collect(),
            fingerprint: Fingerprint([0; 32]),
            state: State::Active,
            deprecation: String::new(),
            labels: BTreeMap::new(),
            created: Timestamp::UNIX_EPOCH,
            bump: None,
            parsed: Arc::default(),
        });
        let existing = self.0.subject(&name).map(|subject| Subject::clone(subject));
        let mut subject = existing.unwrap_or(Subject {
            name,
            format: Format::Protobuf,
            settings: Settings::default(),
            created: Timestamp::UNIX_EPOCH,
            revision: 0,
            deleted: false,
            ids_before: 0,
            major_before: None,
            versions: BTreeMap::new(),
            unreadable: BTreeMap::new(),
        });
        subject.versions.insert(schema.version.clone(), Arc::clone(&schema));
        self.0.put_schema(schema);
        self.0.put_subject(subject);
    }

    fn text(
        &mut self,
        subject: &str,
        version: &str,
        text: &str,
        references: &[(&str, &str, &str)],
    ) {
        self.put(subject, version, Definition::text(text), references);
    }

    fn with_files(&mut self, subject: &str, text: &str, files: &[(&str, &str)]) {
        let mut definition = Definition::text(text);
        let files = files.iter().map(|(path, text)| ((*path).into(), (*text).into()));
        definition.files = files.collect();
        self.put(subject, "1.0.0", definition, &[]);
    }

    fn pin(&self, subject: &str, version: &str) -> Arc<SchemaVersion> {
        let subject = self.0.subject(&SubjectName::parse(subject).expect("a name"));
        Arc::clone(&subject.expect("a subject").versions[&version.parse().expect("a version")])
    }

    fn set(&self) -> FileSet {
        let set = builder().newest(&self.0).expect("a set");
        assert_links(&set);
        set
    }
}

fn builder() -> Builder {
    Builder::new(&[crate::proto::DESCRIPTORS, tonic_types::pb::FILE_DESCRIPTOR_SET])
        .expect("the program's own files link")
}

/// Links all files of the set in one pool, as a client does that keeps one file of each name.
fn assert_links(set: &FileSet) -> DescriptorPool {
    let mut pool = DescriptorPool::new();
    let mut names = HashSet::new();
    for (name, linked) in set.linked() {
        assert!(names.insert(name), "two files are called {name}");
        let file = FileDescriptorProto::decode(linked.clone()).expect("a descriptor");
        assert_eq!(file.name(), name);
        for import in &file.dependency {
            assert!(
                names.contains(import.as_str()),
                "{name} imports {import}, which does not precede it"
            );
        }
        pool.decode_file_descriptor_proto(linked.clone())
            .unwrap_or_else(|error| panic!("{name}: {error}\n{file:#?}"));
    }
    pool
}

/// Returns the served file that declares a name.
#[track_caller]
fn served(set: &FileSet, name: &str) -> FileDescriptorProto {
    let files = set
        .declaring(name)
        .unwrap_or_else(|| panic!("{name} is missing: {:?}", set.omission_reason(name)));
    FileDescriptorProto::decode(files[0].served.clone()).expect("a descriptor")
}

fn fields(pool: &DescriptorPool, message: &str) -> Vec<String> {
    let message = pool.get_message_by_name(message).expect("it exists");
    message.fields().map(|field| field.name().to_owned()).collect()
}

const MONEY: &str = "syntax = 'proto3'; package acme; message Money { int64 units = 1; }";

#[test]
fn files_of_one_name_and_a_shared_message_coexist() {
    let mut registry = Registry::default();
    for subject in ["shop.a.A", "shop.b.B"] {
        let (package, message) = subject.rsplit_once('.').expect("a package");
        let text = format!(
            "syntax = 'proto3'; package {package}; import 'common/money.proto'; \
             message {message} {{ acme.Money total = 1; }}"
        );
        registry.with_files(subject, &text, &[("common/money.proto", MONEY)]);
    }
    let set = registry.set();
    assert_eq!(served(&set, "shop.a.A").name(), "shop.a.A/v1.0.0/schema.proto");
    assert_eq!(served(&set, "shop.b.B").name(), "shop.b.B/v1.0.0/schema.proto");
    let money = served(&set, "acme.Money");
    assert_eq!(money.name(), "shop.a.A/v1.0.0/common/money.proto");
    assert_eq!(served(&set, "shop.b.B").dependency, [money.name()]);
}

#[test]
fn a_name_belongs_to_the_subject_of_this_name() {
    let mut registry = Registry::default();
    let newer =
        "syntax = 'proto3'; package acme; message Money { int64 units = 1; int32 nanos = 2; }";
    registry.text("acme.Money", "1.0.0", MONEY, &[]);
    registry.text("acme.Money", "1.1.0", newer, &[]);
    let order =
        "syntax = 'proto3'; package a; import 'm.proto'; message Order { acme.Money total = 1; }";
    registry.text("a.Order", "1.0.0", order, &[("m.proto", "acme.Money", "1.0.0")]);
    let set = registry.set();
    assert_eq!(fields(&assert_links(&set), "acme.Money"), ["units", "nanos"]);
    assert_eq!(served(&set, "a.Order").dependency, ["acme.Money/v1.1.0/schema.proto"]);

    // A pinned version replaces the newest one for all its users.
    let mut builder = builder();
    let pinned = builder.pinned(&registry.0, &[registry.pin("acme.Money", "1.0.0")]);
    assert_eq!(fields(&assert_links(&pinned), "acme.Money"), ["units"]);
    assert_eq!(served(&pinned, "a.Order").dependency, ["acme.Money/v1.0.0/schema.proto"]);
}

#[test]
fn a_subject_of_another_name_owns_its_event_before_copies() {
    let mut registry = Registry::default();
    let newer =
        "syntax = 'proto3'; package acme; message Money { int64 units = 1; int32 nanos = 2; }";
    registry.text("zz-money", "1.0.0", newer, &[]);
    let order =
        "syntax = 'proto3'; package a; import 'm.proto'; message Order { acme.Money total = 1; }";
    registry.with_files("a.Order", order, &[("m.proto", MONEY)]);
    assert_eq!(fields(&assert_links(&registry.set()), "acme.Money"), ["units", "nanos"]);
}

#[test]
fn the_new_declarations_of_a_partly_known_file_are_added() {
    let mut registry = Registry::default();
    let older = "syntax = 'proto3'; package acme; message Money { Currency c = 1; } \
                 enum Currency { CURRENCY_UNSPECIFIED = 0; } message Rate { Money of = 1; }";
    registry.text("acme.Money", "1.0.0", MONEY, &[]);
    let order = "syntax = 'proto3'; package a; import 'm.proto'; \
                 message Order { acme.Money total = 1; acme.Currency c = 2; acme.Rate r = 3; }";
    registry.with_files("a.Order", order, &[("m.proto", older)]);
    let set = registry.set();
    let remaining = served(&set, "acme.Rate");
    assert_eq!(remaining.name(), "a.Order/v1.0.0/m.proto");
    assert_eq!(remaining.dependency, ["acme.Money/v1.0.0/schema.proto"]);
    assert_eq!((remaining.message_type.len(), remaining.enum_type.len()), (1, 1));
    assert_eq!(served(&set, "acme.CURRENCY_UNSPECIFIED").name(), remaining.name());
}

#[test]
fn only_schemas_that_no_longer_link_are_omitted() {
    let mut registry = Registry::default();
    registry.text("acme.Money", "2.0.0", MONEY, &[]);
    let older = "syntax = 'proto3'; package acme; message Money { enum Unit { UNIT_UNSPECIFIED = 0; } Unit unit = 1; }";
    let order = "syntax = 'proto3'; package a; import 'm.proto'; message Order { acme.Money.Unit unit = 1; }";
    registry.with_files("a.Order", order, &[("m.proto", older)]);
    registry.text("b.Other", "1.0.0", "syntax = 'proto3'; package b; message Other {}", &[]);
    let set = registry.set();
    let reason = set.omission_reason("a.Order").expect("a reason");
    assert!(reason.contains("does not link") && reason.contains("Money.Unit"), "{reason}");
    served(&set, "b.Other");
    served(&set, "acme.Money");
}

#[test]
fn a_name_of_two_declarations_is_reported() {
    let mut registry = Registry::default();
    for (subject, name) in [("a.A", "A"), ("a.B", "B")] {
        let text = format!(
            "syntax = 'proto3'; package a; message {name} {{ {name}State s = 1; }} enum {name}State {{ UNKNOWN = 0; }}"
        );
        registry.text(subject, "1.0.0", &text, &[]);
    }
    // A package, and a message of the same name.
    registry.text("a.A.x.C", "1.0.0", "syntax = 'proto3'; package a.A.x; message C {}", &[]);
    let set = registry.set();
    served(&set, "a.A");
    let reason = set.omission_reason("a.BState").expect("a reason");
    assert_eq!(reason, "a.A/v1.0.0/schema.proto also declares a.UNKNOWN; rename one of the two");
    assert!(set.omission_reason("a.B").expect("a reason").contains("does not link"));
    assert!(set.omission_reason("a.A.x.C").expect("a reason").contains("package"));
}

#[test]
fn versions_that_reference_each_other_in_a_cycle_link() {
    let mut registry = Registry::default();
    let plain =
        |name: &str| format!("syntax = 'proto3'; package c; message {name} {{ int32 a = 1; }}");
    let using = |name: &str, other: &str| {
        format!(
            "syntax = 'proto3'; package c; import 'o.proto'; message {name} {{ int32 a = 1; {other} o = 2; }}"
        )
    };
    registry.text("c.A", "1.0.0", &plain("A"), &[]);
    registry.text("c.B", "1.0.0", &using("B", "A"), &[("o.proto", "c.A", "1.0.0")]);
    registry.text(
        "c.A",
        "1.1.0",
        &using("A", "B"),
        &[("o.proto", "c.B", "1.0.0"), ("o.proto", "c.B", "1.0.0")],
    );
    let set = registry.set();
    served(&set, "c.A");
    served(&set, "c.B");
}

#[test]
fn custom_options_keep_their_registered_bytes() {
    // An unknown option: tag 50123, of bytes that no linker would write.
    let option: &[u8] = &[0xda, 0xbc, 0x18, 0x03, 0xff, 0x00, 0x7f];
    let mut message = Vec::new();
    let field: Vec<u8> =
        [&[0x0a, 0x01, b'x', 0x18, 0x01, 0x20, 0x01, 0x28, 0x09, 0x42, 0x07][..], option].concat();
    message.extend([0x0a, 0x01, b'M', 0x12, u8::try_from(field.len()).expect("short")]);
    message.extend(&field);
    let mut file = vec![0x0a, 0x07];
    file.extend(b"o.proto");
    file.extend([0x12, 0x01, b'p', 0x22, u8::try_from(message.len()).expect("short")]);
    file.extend(&message);
    file.extend([0x62, 0x06]);
    file.extend(b"proto3");
    let mut set = vec![0x0a, u8::try_from(file.len()).expect("short")];
    set.extend(&file);
    let form = Form::DescriptorSet(set.into());
    let mut registry = Registry::default();
    let definition = Definition { form, ..Definition::text("") };
    registry.put("p.M", "1.0.0", definition, &[]);
    let set = registry.set();
    let served = &set.declaring("p.M").expect("it exists")[0].served;
    assert!(served.windows(option.len()).any(|bytes| bytes == option), "{served:02x?}");
}

#[test]
fn a_file_of_an_edition_is_served_as_one() {
    let mut registry = Registry::default();
    let text = "edition = '2023'; package e;\n/* text */\nmessage M { int32 a = 1; Open o = 2; } enum Open { ZERO = 0; }";
    registry.text("e.M", "1.0.0", text, &[]);
    let set = registry.set();
    let file = served(&set, "e.M");
    assert_eq!(file.syntax(), "editions");
    let bytes = &set.declaring("e.M").expect("it exists")[0].served;
    assert!(bytes.ends_with(&[0x70, 0xe8, 0x07]), "the edition 1000 in field 14: {bytes:02x?}");
    let comments = file.source_code_info.expect("comments").location;
    assert_eq!(comments[0].leading_comments(), " text ");
}

/// The linker accepts names of fields that differ only in case in proto2 only.
#[test]
fn a_file_that_is_linked_as_proto2_is_served_as_proto3() {
    let mut registry = Registry::default();
    let text = "syntax = 'proto3'; package e; message M { int32 foobar = 1; int32 fooBar = 2; }";
    registry.text("e.M", "1.0.0", text, &[]);
    let file = served(&registry.set(), "e.M");
    assert_eq!(file.syntax(), "proto3");
    assert_eq!(file.message_type[0].field.len(), 2);
}

#[test]
fn no_file_name_leads_out_of_its_folder() {
    let mut registry = Registry::default();
    let text = "syntax = 'proto3'; package n; import 'a/b.proto'; message M { o.O o = 1; }";
    let other = "syntax = 'proto3'; package o; message O {}";
    registry.with_files("../..", text, &[("a/b.proto", other)]);
    registry.with_files("..\\..", &text.replace("package n", "package m"), &[("a/b.proto", other)]);
    let set = registry.set();
    assert_eq!(served(&set, "o.O").name(), ".._../v1.0.0/a/b.proto");
    assert_eq!(served(&set, "n.M").name(), ".._../v1.0.0/schema.proto");
    assert_eq!(served(&set, "m.M").name(), "other/2/.._../v1.0.0/schema.proto");
}

#[test]
fn well_known_and_own_types_come_from_the_program() {
    let mut registry = Registry::default();
    let copied = "syntax = 'proto3'; package google.rpc; message Status { string mine = 9; }";
    let text = "syntax = 'proto3'; package s; import 'google/rpc/status.proto'; import 'google/type/money.proto'; \
                import 'google/protobuf/any.proto'; \
                message M { google.rpc.Status s = 1; google.type.Money m = 2; google.protobuf.Any a = 3; }";
    registry.with_files("s.M", text, &[("google/rpc/status.proto", copied)]);
    let set = registry.set();
    let imports =
        ["google/protobuf/any.proto", "google/rpc/status.proto", "google/type/money.proto"];
    let mut dependencies = served(&set, "s.M").dependency;
    dependencies.sort();
    assert_eq!(dependencies, imports);
    assert!(!fields(&assert_links(&set), "google.rpc.Status").contains(&"mine".to_owned()));
}

#[test]
fn a_response_stays_within_the_limit_of_clients() {
    use super::super::query::{Query, QueryResult, SentFiles};
    let mut registry = Registry::default();
    let long = format!("/* {} */", "x".repeat(1_000_000));
    let names: Vec<String> = (0..4).map(|n| format!("b.B{n}")).collect();
    let mut references = Vec::new();
    let mut imports = String::new();
    for (n, name) in names.iter().enumerate() {
        let text = format!("syntax = 'proto3'; package b;\n{long}\nmessage B{n} {{}}");
        registry.text(name, "1.0.0", &text, &[]);
        references.push((name.as_str(), name.as_str(), "1.0.0"));
        imports.push_str(&format!("import '{name}';"));
    }
    let text = format!(
        "syntax = 'proto3'; package a; {imports}\n{long}\nmessage A {{ b.B0 b0 = 1; b.B1 b1 = 2; b.B2 b2 = 3; b.B3 b3 = 4; }}"
    );
    registry.text("a.A", "1.0.0", &text, &references);
    let set = registry.set();
    let mut sent = SentFiles::default();
    let mut run = |query: Query| match query.run(&set, &[], &mut sent) {
        Some(QueryResult::Files(files)) => files,
        other => panic!("{other:?}"),
    };
    let first = run(Query::Symbol("a.A".into()));
    assert_eq!(first.len(), 4, "itself and three of four imports");
    assert!(first.iter().map(Bytes::len).sum::<usize>() < 4 << 20);
    // The missing file is requested by the name in the import.
    let missing = run(Query::File("b.B3/v1.0.0/schema.proto".into()));
    assert_eq!(missing.len(), 1);
    assert_eq!(run(Query::Symbol("a.A".into())).len(), 1, "its imports were sent before");
}

#[test]
fn a_new_set_reads_only_changed_schemas() {
    let mut registry = Registry::default();
    for number in 0..50 {
        let text = format!("syntax = 'proto3'; package many; message M{number} {{}}");
        registry.text(&format!("many.M{number}"), "1.0.0", &text, &[]);
    }
    let mut builder = builder();
    assert!(builder.newest(&registry.0).is_some());
    assert!(builder.newest(&registry.0).is_none(), "nothing changed");
    let read: HashMap<_, _> = builder.contributions.clone();
    registry.text(
        "many.M7",
        "1.1.0",
        "syntax = 'proto3'; package many; message M7 { int32 a = 1; }",
        &[],
    );
    let set = builder.newest(&registry.0).expect("it changed");
    served(&set, "many.M7.a");
    let kept = |id: &u32| match (&read.get(id), &builder.contributions.get(id)) {
        (Some(Some(before)), Some(Some(now))) => Arc::ptr_eq(before, now),
        _ => false,
    };
    assert_eq!(builder.contributions.keys().filter(|id| kept(id)).count(), 49);
    assert_eq!(builder.contributions.len(), 50, "schemas that are no longer shown are removed");
}

/// A file that a schema contains: a package and two messages, of a few names that other schemas
/// also use.
#[derive(Debug, Clone)]
struct Bundled {
    package: usize,
    messages: (usize, usize),
    field: usize,
    nested: bool,
    value: Option<usize>,
}

const PACKAGES: [&str; 4] = ["a", "a.M1", "b", "a.c"];

impl Bundled {
    fn text(&self) -> String {
        let (first, second) = self.messages;
        let nested = if self.nested { "message N {} N n = 99;" } else { "" };
        let kind = self
            .value
            .map(|value| format!("enum E{first} {{ V{value} = 0; }}"))
            .unwrap_or_default();
        format!(
            "syntax = 'proto3'; package {}; message M{first} {{ int32 f{} = 1; {nested} }} \
             message M{second} {{ M{first} other = 1; }} {kind}",
            PACKAGES[self.package], self.field
        )
    }
}

fn bundled() -> impl Strategy<Value = Bundled> {
    (
        0..4_usize,
        (0..3_usize, 3..5_usize),
        0..2_usize,
        any::<bool>(),
        proptest::option::of(0..2_usize),
    )
        .prop_map(|(package, messages, field, nested, value)| Bundled {
            package,
            messages,
            field,
            nested,
            value,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_set_links_and_every_event_is_shown_or_has_a_reason(
        subjects in proptest::collection::vec(
            (0..4_usize, 0..4_usize, proptest::collection::vec(bundled(), 0..3)), 1..8)
    ) {
        let mut registry = Registry::default();
        let mut events = Vec::new();
        for (n, (package, message, files)) in subjects.iter().enumerate() {
            let mut imports = String::new();
            let mut uses = String::new();
            let files: Vec<_> = files.iter().enumerate().map(|(index, file)| {
                imports.push_str(&format!("import 'f{index}.proto';"));
                let (package, first) = (PACKAGES[file.package], file.messages.0);
                uses.push_str(&format!(".{package}.M{first} u{index} = {};", index + 2));
                if file.nested {
                    uses.push_str(&format!(".{package}.M{first}.N n{index} = {};", index + 12));
                }
                (format!("f{index}.proto"), file.text())
            }).collect();
            let package = PACKAGES[*package];
            let text = format!(
                "syntax = 'proto3'; package {package}; {imports} message M{message} {{ int32 own = 1; {uses} }}");
            let mut definition = Definition::text(&text);
            definition.files = files.into_iter().collect();
            let subject = match n % 2 {
                0 => format!("{package}.M{message}"),
                _ => format!("subject-{n}"),
            };
            let version = format!("1.{n}.0");
            let imports = [];
            // An invalid schema would not be registered.
            if protobuf::files(&definition, &imports).is_ok() {
                registry.put(&subject, &version, definition, &[]);
                events.push(format!("{package}.M{message}"));
            }
        }
        let mut builder = builder();
        let set = builder.newest(&registry.0).unwrap_or_else(|| builder.base().clone());
        assert_links(&set);
        for event in events {
            prop_assert!(set.declaring(&event).is_some() || set.omission_reason(&event).is_some(), "{event}");
        }
    }
}
