//! Requirements of consumers on disk: directories from before consumers existed, and damaged rows.

use jiff::Timestamp;
use semver::VersionReq;
use tidings_registry::{
    consumer::{ConsumerName, ConsumerUpdate},
    name::SubjectName,
    registry::Registry,
};

use crate::quarantined::register;

fn record(registry: &Registry, consumer: &str) {
    let consumer = ConsumerName::parse(consumer).expect("a name");
    let requirements = vec![(
        SubjectName::parse("orders").expect("a name"),
        VersionReq::parse("^1").expect("a requirement"),
    )];
    let now = Timestamp::now();
    registry.record(&consumer, ConsumerUpdate::Declared, requirements, now).expect("recorded");
}

fn known(registry: &Registry) -> Vec<String> {
    let (requirements, _) = registry.list_consumers(None, |_| true, 100, Timestamp::now());
    requirements.iter().map(|requirement| requirement.consumer.to_string()).collect()
}

fn database(directory: &tempfile::TempDir) -> rocksdb::DB {
    let path = directory.path().join("db");
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, &path).expect("listed");
    rocksdb::DB::open_cf(&options, &path, families).expect("opened")
}

#[test]
fn a_directory_without_consumers_gets_their_family() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::open(directory.path()).expect("opened");
    // A start checks acknowledged data before it creates anything.
    register(&registry, "orders", r#"{"type": "object"}"#);
    drop(registry);
    database(&directory).drop_cf("consumers").expect("dropped");
    let registry = Registry::open(directory.path()).expect("opened");
    record(&registry, "billing");
    drop(registry);
    let registry = Registry::open(directory.path()).expect("opened");
    assert_eq!(known(&registry), ["billing"]);
    assert_eq!(registry.catalog().revision, 1, "consumers create no revision");
}

#[test]
fn a_damaged_row_is_quarantined_and_recorded_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::open(directory.path()).expect("opened");
    record(&registry, "billing");
    record(&registry, "search");
    drop(registry);
    let db = database(&directory);
    let family = db.cf_handle("consumers").expect("the family");
    // The format of keys must not change.
    let key = b"\x00\x07billing\x00\x06orders\x00^1";
    assert!(db.get_cf(family, key).expect("read").is_some());
    db.put_cf(family, key, b"\xff\xff").expect("written");
    drop(db);
    let registry = Registry::open(directory.path()).expect("opened");
    assert_eq!(registry.quarantined().len(), 1);
    assert_eq!(known(&registry), ["search"]);
    record(&registry, "billing");
    drop(registry);
    let registry = Registry::open(directory.path()).expect("opened");
    assert_eq!((registry.quarantined().len(), known(&registry).len()), (0, 2));
}
