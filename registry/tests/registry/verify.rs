//! Verification finds the versions that were stored under older rules, and no others. The tests
//! write rows beneath the registry, to simulate an older program that stored what the rules of this
//! program refuse.

use std::path::Path;

use jiff::Timestamp;
use prost::Message as _;
use rocksdb::{DB, IteratorMode, Options};
use semver::Version;
use tidings_registry::{
    catalog::{plan::Draft, replay::History, verify::Verification},
    error::Refusal,
    name::SubjectName,
    proto::v1::{self, definition::Form, watch_registry_response::Change},
    registry::Registry,
};
use tidings_schema::finding::{Direction, Verdict};
use tidings_schema::level::Level;

use crate::quarantined::draft;

fn version(text: &str) -> Version {
    Version::parse(text).expect("a version")
}

fn register(registry: &Registry, subject: &str, declared: &str, schema: &str) {
    let draft = Draft { version: Some(version(declared)), ..draft(subject, schema) };
    let applied = registry.apply(&[draft], None, None, Timestamp::now());
    assert!(applied.expect("registered").is_acceptable());
}

/// Replaces the text of a stored schema, in its own row and in the row of its change.
fn rewrite(directory: &Path, id: u32, text: &str) {
    let families = ["default", "meta", "subjects", "schemas", "changes", "consumers"];
    let db = DB::open_cf(&Options::default(), directory.join("db"), families).expect("opened");
    let edit = |schema: &mut v1::Schema| {
        let definition = schema.definition.as_mut().expect("a definition");
        definition.form = Some(Form::Text(text.into()));
    };
    let schemas = db.cf_handle("schemas").expect("the family");
    let row = db.get_cf(schemas, id.to_be_bytes()).expect("read").expect("it exists");
    let mut schema = v1::Schema::decode(&*row).expect("a schema");
    edit(&mut schema);
    db.put_cf(schemas, id.to_be_bytes(), schema.encode_to_vec()).expect("written");
    let changes = db.cf_handle("changes").expect("the family");
    for row in db.iterator_cf(changes, IteratorMode::Start) {
        let (key, value) = row.expect("read");
        let mut change = v1::WatchRegistryResponse::decode(&*value).expect("a change");
        if let Some(Change::SchemaRegistered(schema)) = &mut change.change
            && schema.id == id
        {
            edit(schema);
            db.put_cf(changes, key, change.encode_to_vec()).expect("written");
        }
    }
}

/// Returns the versions that would be refused, with the refusal.
fn differing(registry: &Registry) -> Vec<(String, Refusal)> {
    let mut history = History::default();
    for change in registry.changes(0, usize::MAX).expect("read") {
        history.record(&change).expect("recorded");
    }
    let verification = Verification::new(&registry.catalog(), history, "");
    let total = verification.total();
    let judged: Vec<_> = verification.collect();
    assert_eq!(judged.len(), total);
    let differing = judged.into_iter().filter_map(|judged| {
        Some((format!("{} {}", judged.schema.subject, judged.schema.version), judged.refusal?))
    });
    differing.collect()
}

fn object(properties: &str) -> String {
    format!(r#"{{"type": "object", "properties": {{{properties}}}}}"#)
}

#[test]
fn versions_that_would_be_refused_now_are_found_and_no_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::open(directory.path()).expect("created");
    let number = object(r#""a": {"type": "number"}"#);
    let described = object(r#""a": {"type": "number", "description": "n"}"#);
    let more = object(r#""a": {"type": "number"}, "b": {"type": "string"}"#);
    for subject in ["breaks", "fine", "grows", "invalid"] {
        register(&registry, subject, "1.0.0", &number);
        register(&registry, subject, "1.0.1", &described);
        register(&registry, subject, "1.1.0", &more);
    }
    assert!(differing(&registry).is_empty());
    drop(registry);
    rewrite(directory.path(), 2, &object(r#""a": {"type": "boolean"}"#));
    rewrite(directory.path(), 8, &object(r#""a": {"type": "number"}, "c": {"type": "string"}"#));
    rewrite(directory.path(), 11, r#"{"type": 5}"#);

    let registry = Registry::open(directory.path()).expect("it starts");
    let found = differing(&registry);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    // The version after the one that breaks equals the first version of its line, so it breaks
    // against the changed one in turn.
    assert_eq!(names, ["breaks 1.0.1", "breaks 1.1.0", "grows 1.0.1", "invalid 1.0.1"]);
    for (name, refusal) in &found {
        match (name.as_str(), refusal) {
            ("breaks 1.0.1" | "breaks 1.1.0", Refusal::Incompatible(impact)) => {
                let report = &impact.report;
                assert_eq!(report.backward.max(report.forward), Verdict::Incompatible, "{name}");
            }
            ("grows 1.0.1", Refusal::TooLow { minimum, .. }) => {
                assert_eq!(*minimum, version("1.1.0"));
            }
            ("invalid 1.0.1", Refusal::Invalid(faults)) => assert_eq!(faults.len(), 1),
            (name, refusal) => panic!("{name}: {refusal:?}"),
        }
    }
}

#[test]
fn a_version_is_checked_against_the_settings_at_its_registration() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::open(directory.path()).expect("created");
    let name = SubjectName::parse("orders").expect("a name");
    let set_level = |level: Level| {
        registry
            .update_subject(&name, None, Timestamp::now(), |settings| settings.level = level)
            .map(|_| ())
            .expect("updated");
    };
    let unchecked = draft("orders", &object(r#""a": {"type": "number"}"#));
    let unchecked = Draft { level: Some(Level::None), ..unchecked };
    registry.apply(&[unchecked], None, None, Timestamp::now()).expect("registered");
    register(&registry, "orders", "1.1.0", &object(r#""a": {"type": "string"}"#));
    set_level(Level::FullTransitive);
    assert!(differing(&registry).is_empty(), "the level was NONE at its registration");
    register(&registry, "orders", "2.0.0", &object(r#""b": {"type": "number"}"#));
    register(&registry, "orders", "2.0.1", &object(r#""b": {"type": "number", "title": "B"}"#));
    set_level(Level::None);
    drop(registry);
    rewrite(directory.path(), 4, &object(r#""b": {"type": "string"}"#));

    let registry = Registry::open(directory.path()).expect("it starts");
    let found = differing(&registry);
    let [(name, Refusal::Incompatible(impact))] = &found[..] else { panic!("{found:?}") };
    let report = &impact.report;
    assert_eq!(name, "orders 2.0.1", "the level was FULL_TRANSITIVE at its registration");
    let has_errors = |direction: Direction| {
        report.errors().any(|found| found.finding.direction.includes(direction))
    };
    assert!(has_errors(Direction::Backward) && has_errors(Direction::Forward), "{report:?}");
}

#[test]
fn references_resolve_to_stored_versions_and_deleted_subjects_are_skipped() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::open(directory.path()).expect("created");
    register(&registry, "money", "1.0.0", r#"{"$defs": {"m": {"type": "number"}}}"#);
    let mut order =
        draft("order", r##"{"properties": {"total": {"$ref": "money.json#/$defs/m"}}}"##);
    order.references.push(tidings_registry::catalog::plan::DraftReference {
        name: "money.json".into(),
        subject: SubjectName::parse("money").expect("a name"),
        version: tidings_schema::version::Selector::Newest,
        requested: String::new(),
    });
    registry.apply(&[order], None, None, Timestamp::now()).expect("registered");
    register(&registry, "dropped", "1.0.0", r#"{"type": "string"}"#);
    let dropped = SubjectName::parse("dropped").expect("a name");
    registry.delete_subject(&dropped, None, None, Timestamp::now()).expect("deleted");
    assert!(differing(&registry).is_empty());
    drop(registry);
    rewrite(directory.path(), 1, r#"{"$defs": {"n": {"type": "number"}}}"#);
    rewrite(directory.path(), 3, r#"{"type": 5}"#);

    let registry = Registry::open(directory.path()).expect("it starts");
    let found = differing(&registry);
    let [(name, Refusal::Invalid(faults))] = &found[..] else { panic!("{found:?}") };
    assert_eq!(name, "order 1.0.0");
    assert!(faults[0].message.contains("money.json"), "{faults:?}");
}
