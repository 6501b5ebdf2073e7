//! What is stored and cannot be read is set aside and reported; the registry starts, and counts on.

use std::path::Path;

use jiff::Timestamp;
use rocksdb::{DB, Options};
use tidings_registry::{catalog::plan::Draft, registry::Registry, subject::SubjectName};
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
fn what_cannot_be_read_is_set_aside_and_the_rest_is_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::open(directory.path()).expect("made");
    register(&registry, "one", r#"{"type": "object"}"#);
    register(&registry, "two", r#"{"type": "string"}"#);
    register(&registry, "three", r#"{"type": "array"}"#);
    drop(registry);
    damage(directory.path(), &[(1, b"\xff\xff garbage"), (3, b"")]);

    let registry = Registry::open(directory.path()).expect("it starts");
    let aside: Vec<&str> = registry.aside().iter().map(|it| it.what.as_str()).collect();
    assert_eq!(aside, ["schema 1", "schema 3"]);
    let catalog = registry.catalog();
    let two = SubjectName::parse("two").expect("a name");
    let found = catalog.version(&two, &Selector::Newest, "").expect("it is there");
    assert!(catalog.parsed(found).expect("parsed").validate_json("\"fits\"").is_ok());
    // Nobody can say whether it would be compatible with what was set aside, nor may its version be given again.
    let refused = registry.apply(&[draft("one", "true")], None, None, Timestamp::now()).map(|_| ());
    let refused = refused.expect_err("it cannot be compared").to_string();
    assert!(refused.contains("version 1.0.0 of \"one\" (id 1)"), "{refused}");
    register(&registry, "four", "true");
    assert_eq!(registry.catalog().last_id, 4, "no id is given twice");
}

#[test]
fn one_directory_has_one_registry() {
    let directory = tempfile::tempdir().expect("a directory");
    let _registry = Registry::open(directory.path()).expect("made");
    let second = Registry::open(directory.path()).map(|_| ()).expect_err("the directory is taken");
    assert!(second.to_string().contains("in use"), "{second}");
}
