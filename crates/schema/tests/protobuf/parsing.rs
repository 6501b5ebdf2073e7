//! Parsing of definitions: the event's message, faults, and the canonical form.

use prost::Message;
use tidings_schema::{
    definition::{Definition, Form, Import, InvalidSchema},
    finding::{Change, Direction, Options, Verdict},
    protobuf::{Schema, messages},
};

const P3: &str = "syntax = \"proto3\";\npackage shop;\n";

fn parse(text: &str) -> Result<Schema, InvalidSchema> {
    Schema::parse("shop.Order", &Definition::text(text), &[])
}

fn faults(definition: &Definition) -> Vec<String> {
    let invalid = Schema::parse("shop.Order", definition, &[]).expect_err("it is not a schema");
    invalid.faults.iter().map(ToString::to_string).collect()
}

/// Compiles a text to a descriptor set with its imports.
pub fn compiled(text: &str) -> Definition {
    struct Memory(String);
    impl protox::file::FileResolver for Memory {
        fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
            match name {
                "m.proto" => protox::file::File::from_source(name, &self.0),
                _ => protox::file::GoogleFileResolver::new().open_file(name),
            }
        }
    }
    let mut compiler = protox::Compiler::with_file_resolver(Memory(text.to_owned()));
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_file("m.proto")
        .expect("it compiles");
    let form = Form::DescriptorSet(compiler.encode_file_descriptor_set().into());
    Definition { form, ..Definition::text("") }
}

#[test]
fn the_message_is_the_named_one_or_that_of_the_subject_or_the_only_one() {
    let two = format!("{P3}message Order {{ message Line {{}} }} message Invoice {{}}");
    let named = |message: &str, subject: &str| {
        let mut definition = Definition::text(&two);
        definition.message_name = message.to_owned();
        Schema::parse(subject, &definition, &[])
            .map(|schema| schema.message_name().map(str::to_owned))
    };
    assert_eq!(named("shop.Invoice", "shop.Order"), Ok(Some("shop.Invoice".to_owned())));
    assert_eq!(named("shop.Order.Line", ""), Ok(Some("shop.Order.Line".to_owned())));
    assert_eq!(named("", "shop.Order"), Ok(Some("shop.Order".to_owned())));
    let unclear = named("", "orders").expect_err("two messages").to_string();
    assert!(unclear.contains("shop.Order, shop.Invoice"), "{unclear}");
    let typo = named("shop.Ordre", "").expect_err("a typo").to_string();
    assert!(typo.contains("did you mean shop.Order?"), "{typo}");
    let single = Schema::parse("orders", &Definition::text(format!("{P3}message Order {{}}")), &[]);
    assert_eq!(single.expect("one message").message_name(), Some("shop.Order"));
    assert_eq!(
        messages(&Definition::text(&two), &[]),
        Ok(vec!["shop.Order".into(), "shop.Invoice".into()])
    );
    parse(&format!("{P3}enum E {{ A = 0; }}")).expect_err("no message");
}

#[test]
fn faults_have_locations() {
    let cases = [
        ("message Order {\n  strin id = 1;\n}", "4:3: "),
        ("message Order {\n  string id = 1;\n  string no = 1;\n}", "4:15: "),
        ("message Order {\n  string id 1;\n}", "4:13: "),
        (
            "import \"other.proto\";\nmessage Order {}",
            "3:1: the import \"other.proto\" does not exist",
        ),
        ("import \"../other.proto\";\nmessage Order {}", "3:8: "),
        ("import \"/etc/passwd\";\nmessage Order {}", "3:"),
        ("message Order {", "3:16: "),
        ("message Order {\n  string é = 1;\n}", "4:10: "),
    ];
    for (text, location) in cases {
        let faults = faults(&Definition::text(format!("{P3}{text}")));
        assert!(faults[0].starts_with(location), "{text}: {faults:?}");
    }
    let several =
        faults(&Definition::text(format!("{P3}message Order {{\n  A a = 1;\n  B b = 2;\n}}")));
    assert_eq!(several.len(), 2, "{several:?}");
    assert!(several[1].starts_with("5:3: "), "{several:?}");
    let edition = "edition = \"2023\";\nmessage Order {\n  string a = 1; strin b = 2;\n}";
    let edition = faults(&Definition::text(edition));
    assert!(edition[0].starts_with("3:17: "), "{edition:?}");
    let marked = Definition::text(format!("\u{feff}{P3}message Order {{}}"));
    Schema::parse("shop.Order", &marked, &[]).expect("the mark is skipped");
    let unknown = faults(&Definition::text("edition = \"2099\";"));
    assert!(unknown[0].starts_with("1:11: "), "{unknown:?}");
}

#[test]
fn files_import_each_other_without_cycles() {
    let mut definition =
        Definition::text(format!("{P3}import \"a.proto\";\nmessage Order {{ A a = 1; }}"));
    definition.files.insert("a.proto".to_owned(), format!("{P3}message A {{ int32 n = 1; }}"));
    Schema::parse("shop.Order", &definition, &[]).expect("it links");
    definition.files.insert("a.proto".to_owned(), format!("{P3}\nmessage A {{ Nope n = 1; }}"));
    let linker_faults = faults(&definition);
    assert!(linker_faults[0].starts_with("a.proto:4:13: "), "{linker_faults:?}");
    definition.files.insert("a.proto".to_owned(), format!("{P3}import \"b.proto\";"));
    definition.files.insert("b.proto".to_owned(), format!("{P3}\nimport \"a.proto\";"));
    let cycle = faults(&definition);
    assert!(cycle[0].starts_with("b.proto:4:1: files import each other in a cycle"), "{cycle:?}");
    definition.files.insert("../c.proto".to_owned(), String::new());
    assert!(faults(&definition)[0].contains("leaves the root"));
}

#[test]
fn other_subjects_and_common_types_are_imported() {
    let text = format!(
        "{P3}import \"customer.proto\";\nimport \"google/type/money.proto\";\nimport \"google/protobuf/any.proto\";\n\
         message Order {{ crm.Customer customer = 1; google.type.Money total = 2; google.protobuf.Any any = 3; }}"
    );
    let customer = "syntax = \"proto3\"; package crm; message Customer { string name = 1; }";
    let import = |definition| Import {
        name: "customer.proto".to_owned(),
        subject: "crm.Customer".to_owned(),
        version: "1.0.0".to_owned(),
        definition,
    };
    let as_text = import(Definition::text(customer));
    let as_set = import(compiled(customer));
    let parse = |import| {
        Schema::parse("shop.Order", &Definition::text(&text), &[import]).expect("it links")
    };
    let (as_text, as_set) = (parse(as_text), parse(as_set));
    assert_eq!(as_text.canonical(), as_set.canonical());
    let changed = import(Definition::text(customer.replace("string", "int32")));
    let comparison = as_text.compare(&parse(changed), Options::default());
    assert_eq!(comparison.verdict(Direction::Both), Verdict::Incompatible);
    assert_eq!(comparison.findings[0].new_path, "crm.Customer.name");
}

#[test]
fn text_and_descriptors_are_the_same_schema() {
    let texts = [
        format!("{P3}// A comment.\nimport \"google/protobuf/timestamp.proto\";\nmessage Order {{ reserved 9, 10; string order_id = 1; \
             repeated int32 n = 2 [packed = false, deprecated = true]; map<string, Line> lines = 3; oneof o {{ int32 a = 4; Line b = 5; }} \
             optional bool c = 6; google.protobuf.Timestamp at = 7; }} message Line {{ Kind kind = 1; }} enum Kind {{ option allow_alias = true; A = 0; B = 1; C = 1; }} \
             service S {{ rpc R(Order) returns (Line); }}"),
        "package shop; message Order { required int32 a = 1; optional string s = 2 [default = \"x\\ny\"]; extensions 100 to 200; \
             optional group G = 3 { optional double d = 4 [default = inf]; } repeated int32 n = 5 [packed = true]; optional bytes b = 6 [default = \"\\001\"]; } \
             extend Order { optional int32 e = 100; } import 'google/protobuf/descriptor.proto'; \
             extend google.protobuf.FieldOptions { optional string note = 50000; } message Other { optional int32 o = 1 [(note) = 'hi']; }"
            .to_owned(),
    ];
    for text in texts {
        let written = parse(&text).expect("it parses");
        let set = Schema::parse("shop.Order", &compiled(&text), &[]).expect("it decodes");
        let canonical_text =
            |schema: &Schema| String::from_utf8(schema.canonical()).expect("it is a text");
        assert_eq!(canonical_text(&written), canonical_text(&set));
        assert_eq!(written.compare(&set, Options::default()).change, Change::None);
    }
}

#[test]
fn descriptors_of_an_edition_are_read() {
    let text = "edition = \"2023\";\npackage shop;\nmessage Order { Line a = 1 [features.message_encoding = DELIMITED]; \
        int32 r = 2 [features.field_presence = LEGACY_REQUIRED]; repeated int32 n = 3; string s = 4 [features.utf8_validation = NONE]; } message Line { E e = 1; } \
        enum E { option features.enum_type = CLOSED; X = 1; }";
    let written = parse(text).expect("it parses");
    // In the form of protoc: with the edition and the features, and without labels for required
    // fields.
    let rewritten = "syntax = \"proto2\";\npackage shop;\nmessage Order { optional Line a = 1 [features.message_encoding = DELIMITED]; \
        optional int32 r = 2 [features.field_presence = LEGACY_REQUIRED]; repeated int32 n = 3; optional string s = 4 [features.utf8_validation = NONE]; } message Line { optional E e = 1; } \
        enum E { option features.enum_type = CLOSED; X = 1; }";
    let Form::DescriptorSet(bytes) = compiled(rewritten).form else { panic!("it is compiled") };
    let pool = prost_reflect::DescriptorPool::global();
    let meta = pool.get_message_by_name("google.protobuf.FileDescriptorSet").expect("it is known");
    let mut set = prost_reflect::DynamicMessage::decode(meta, bytes).expect("it decodes");
    let files = set.get_field_by_name_mut("file").and_then(prost_reflect::Value::as_list_mut);
    for file in files.expect("it has files") {
        let file = file.as_message_mut().expect("a file");
        file.set_field_by_name("syntax", prost_reflect::Value::String("editions".to_owned()));
        file.set_field_by_name("edition", prost_reflect::Value::EnumNumber(1000));
    }
    let form = Form::DescriptorSet(set.encode_to_vec().into());
    let set = Schema::parse("shop.Order", &Definition { form, ..Definition::text("") }, &[]);
    let canonical_text =
        |schema: &Schema| String::from_utf8(schema.canonical()).expect("it is a text");
    assert_eq!(canonical_text(&written), canonical_text(&set.expect("it links")));
    assert!(
        canonical_text(&written).contains("explicit delimited shop.Line"),
        "{}",
        canonical_text(&written)
    );
    assert!(canonical_text(&written).contains("required int32"), "{}", canonical_text(&written));
}

#[test]
fn findings_point_into_the_new_text() {
    let old = parse(&format!("{P3}message Order {{\n  string id = 1;\n}}")).expect("it parses");
    let new =
        parse(&format!("{P3}message Order {{\n  /* é */ int32 id = 1;\n}}")).expect("it parses");
    let comparison = old.compare(&new, Options::default());
    let location = &comparison.findings[0].location;
    assert_eq!((location.line, location.column), (4, 11));
}

#[test]
fn features_of_languages_and_of_2024_are_read() {
    let text = "edition = \"2024\";\npackage shop;\nimport option \"google/protobuf/cpp_features.proto\";\n\
        export message Order { string a = 1 [features.(pb.cpp).string_type = VIEW]; reserved b, c; }\nlocal enum E { X = 0; }";
    let schema = parse(text).expect("it parses");
    let form = String::from_utf8(schema.canonical()).expect("it is a text");
    assert!(form.contains("reserved shop.Order  {\"b\", \"c\"}"), "{form}");
}
