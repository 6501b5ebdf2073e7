//! Stored rows that cannot be read are quarantined and reported. The registry starts, and assigns
//! no id twice.

use std::path::Path;

use jiff::Timestamp;
use rocksdb::{DB, Options};
use tidings_registry::{catalog::plan::Draft, name::SubjectName, registry::Registry};
use tidings_schema::{definition::Definition, schema::Format, version::Selector};

pub fn draft(subject: &str, schema: &str) -> Draft {
    Draft {
        subject: SubjectName::parse(subject).expect("a name"),
        format: Some(Format::Json),
        definition: Definition::text(schema),
        references: Vec::new(),
        version: None,
        labels: Default::default(),
        level: None,
        content_model: None,
        surface: None,
    }
}

pub fn register(registry: &Registry, subject: &str, schema: &str) {
    let applied = registry.apply(&[draft(subject, schema)], None, None, Timestamp::now());
    assert!(applied.expect("registered").is_acceptable());
}

/// Overwrites the stored schemas of these ids.
fn damage(directory: &Path, ids: &[(u32, &[u8])]) {
    let families = ["default", "meta", "subjects", "schemas", "changes", "consumers"];
    let db = DB::open_cf(&Options::default(), directory.join("db"), families).expect("opened");
    let schemas = db.cf_handle("schemas").expect("the family");
    for (id, bytes) in ids {
        db.put_cf(schemas, id.to_be_bytes(), bytes).expect("written");
    }
}

#[test]
fn unreadable_rows_are_quarantined_and_other_rows_are_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::open(directory.path()).expect("created");
    register(&registry, "one", r#"{"type": "object"}"#);
    register(&registry, "two", r#"{"type": "string"}"#);
    register(&registry, "three", r#"{"type": "array"}"#);
    drop(registry);
    damage(directory.path(), &[(1, b"\xff\xff garbage"), (3, b"")]);

    let registry = Registry::open(directory.path()).expect("it starts");
    let quarantined: Vec<&str> =
        registry.quarantined().iter().map(|quarantined| quarantined.item.as_str()).collect();
    assert_eq!(quarantined, ["schema 1", "schema 3"]);
    let catalog = registry.catalog();
    let two = SubjectName::parse("two").expect("a name");
    let found = catalog.version(&two, &Selector::Newest, "").expect("it exists");
    assert!(catalog.parsed(found).expect("parsed").validate_json("\"fits\"").is_ok());
    // Whether a draft is compatible with the quarantined version is unknown, and its version must
    // not be assigned again.
    let refused = registry.apply(&[draft("one", "true")], None, None, Timestamp::now()).map(|_| ());
    let refused = refused.expect_err("it cannot be compared").to_string();
    assert!(refused.contains("version 1.0.0 of \"one\" (id 1)"), "{refused}");
    register(&registry, "four", "true");
    assert_eq!(registry.catalog().last_id, 4, "no id is assigned twice");
}

#[test]
fn one_directory_has_one_registry() {
    let directory = tempfile::tempdir().expect("a directory");
    let _registry = Registry::open(directory.path()).expect("created");
    let second = Registry::open(directory.path()).map(|_| ()).expect_err("the directory is in use");
    assert!(second.to_string().contains("in use"), "{second}");
}
