//! What is known of consumers on disk: directories of before there were any, and rows that are damaged.

use jiff::Timestamp;
use semver::VersionReq;
use tidings_registry::{
    consumer::{ConsumerName, Word},
    registry::Registry,
    subject::SubjectName,
};

use crate::aside::register;

fn record(registry: &Registry, consumer: &str) {
    let consumer = ConsumerName::parse(consumer).expect("a name");
    let needs = vec![(
        SubjectName::parse("orders").expect("a name"),
        VersionReq::parse("^1").expect("a requirement"),
    )];
    registry.record(&consumer, Word::Declared, needs, Timestamp::now()).expect("recorded");
}

fn known(registry: &Registry) -> Vec<String> {
    let (needs, _) = registry.list_consumers(None, |_| true, 100, Timestamp::now());
    needs.iter().map(|it| it.consumer.to_string()).collect()
}

fn database(directory: &tempfile::TempDir) -> rocksdb::DB {
    let path = directory.path().join("db");
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, &path).expect("listed");
    rocksdb::DB::open_cf(&options, &path, families).expect("opened")
}

#[test]
fn a_directory_of_before_gets_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::open(directory.path()).expect("opened");
    // What was acknowledged is looked at before anything is made.
    register(&registry, "orders", r#"{"type": "object"}"#);
    drop(registry);
    database(&directory).drop_cf("consumers").expect("dropped");
    let registry = Registry::open(directory.path()).expect("opened");
    record(&registry, "billing");
    drop(registry);
    let registry = Registry::open(directory.path()).expect("opened");
    assert_eq!(known(&registry), ["billing"]);
    assert_eq!(registry.catalog().revision, 1, "consumers make none");
}

#[test]
fn a_damaged_row_is_set_aside_and_said_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::open(directory.path()).expect("opened");
    record(&registry, "billing");
    record(&registry, "search");
    drop(registry);
    let db = database(&directory);
    let family = db.cf_handle("consumers").expect("the family");
    // The format of keys is not to move.
    let key = b"\x00\x07billing\x00\x06orders\x00^1";
    assert!(db.get_cf(family, key).expect("read").is_some());
    db.put_cf(family, key, b"\xff\xff").expect("written");
    drop(db);
    let registry = Registry::open(directory.path()).expect("opened");
    assert_eq!(registry.aside().len(), 1);
    assert_eq!(known(&registry), ["search"]);
    record(&registry, "billing");
    drop(registry);
    let registry = Registry::open(directory.path()).expect("opened");
    assert_eq!((registry.aside().len(), known(&registry).len()), (0, 2));
}
