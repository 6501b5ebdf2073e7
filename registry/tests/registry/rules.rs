//! Rules for new versions do not apply to versions that are already registered.

use std::path::Path;

use jiff::Timestamp;
use rocksdb::{DB, Options};
use tidings_registry::{catalog::plan::Draft, name::SubjectName, registry::Registry};
use tidings_schema::{schema::Format, version::Selector};

use super::quarantined::draft;

const HEAD: &str = "syntax = \"proto3\"; package shop; ";
/// A text from before the rule that no import is listed twice, and one that breaks the rule.
const IMPORTS: [&str; 2] = [
    "import \"google/protobuf/any.proto\";                                    ",
    "import \"google/protobuf/any.proto\"; import \"google/protobuf/any.proto\";",
];

fn text(imports: &str, more: &str) -> String {
    format!("{HEAD}{imports} message Order {{ google.protobuf.Any any = 1; {more} }}")
}

fn proto(schema: &str) -> Draft {
    Draft { format: Some(Format::Protobuf), ..draft("shop.Order", schema) }
}

/// Replaces a part of the stored schema of an id by a text of the same length.
fn replace(directory: &Path, id: u32, [from, to]: [&str; 2]) {
    assert_eq!(from.len(), to.len());
    let families = ["default", "meta", "subjects", "schemas", "changes", "consumers"];
    let db = DB::open_cf(&Options::default(), directory.join("db"), families).expect("opened");
    let schemas = db.cf_handle("schemas").expect("the family");
    let mut row = db.get_cf(schemas, id.to_be_bytes()).expect("read").expect("it exists");
    let offset =
        row.windows(from.len()).position(|bytes| bytes == from.as_bytes()).expect("its text");
    row[offset..offset + to.len()].copy_from_slice(to.as_bytes());
    db.put_cf(schemas, id.to_be_bytes(), row).expect("written");
}

#[test]
fn a_version_that_would_be_refused_today_is_parsed_compared_and_registered_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::open(directory.path()).expect("created");
    let apply = |registry: &Registry, text: &str| {
        registry
            .apply(&[proto(text)], None, None, Timestamp::now())
            .map_err(|error| error.to_string())
    };
    let first = apply(&registry, &text(IMPORTS[0], "")).expect("registered");
    assert!(first.is_acceptable());
    drop(registry);
    replace(directory.path(), 1, IMPORTS);

    let registry = Registry::open(directory.path()).expect("it starts");
    let catalog = registry.catalog();
    let subject = SubjectName::parse("shop.Order").expect("a name");
    let stored = catalog.version(&subject, &Selector::Newest, "").expect("it exists");
    let parsed = catalog.parsed(stored).expect("it is parsed");
    let faults: Vec<String> = parsed.check().iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].contains("listed twice"), "{faults:?}");
    // A pipeline registers it with each deployment.
    apply(&registry, &text(IMPORTS[1], "")).expect("it is already registered");
    assert_eq!(registry.catalog().last_id, 1);
    let refused = apply(&registry, &text(IMPORTS[1], "int32 more = 2;")).map(|_| ());
    let refused = refused.expect_err("a new version is checked");
    assert!(refused.contains("listed twice"), "{refused}");
    apply(&registry, &text(IMPORTS[0], "int32 more = 2;"))
        .expect("it is compared with the old version");
    assert_eq!(registry.catalog().last_id, 2);
}
