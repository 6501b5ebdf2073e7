//! Logs that were cut. RocksDB opens a log that ends between two records as an older database, and
//! reports nothing. The registry either starts with everything acknowledged, or refuses to start.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tempfile::TempDir;
use tidings_registry::{
    error::OpenError, name::SubjectName, proto::v1::WatchRegistryResponse, registry::Registry,
    schema::State,
};

use crate::quarantined::{draft, register};

/// Everything that a registry shows.
#[derive(Debug, PartialEq)]
struct Shown {
    schemas: BTreeMap<u32, String>,
    subjects: Vec<String>,
    changes: Vec<WatchRegistryResponse>,
}

impl Shown {
    fn of(registry: &Registry) -> Self {
        let catalog = registry.catalog();
        let ids = 1..=catalog.last_id;
        let schemas = ids.filter_map(|id| Some((id, format!("{:?}", catalog.by_id(id).ok()?))));
        let subject = |subject: &std::sync::Arc<_>| format!("{subject:?}");
        Self {
            // The parsed form exists only once it is needed.
            schemas: schemas
                .map(|(id, text)| (id, text.split(", parsed:").next().unwrap_or("").into()))
                .collect(),
            subjects: catalog
                .subjects_after(None)
                .map(subject)
                .map(|text| text.split("versions:").next().unwrap_or("").into())
                .collect(),
            changes: registry.changes(0, 1000).expect("all changes"),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("copied");
        }
    }
}

/// Returns the files of RocksDB whose names match.
fn files(directory: &Path, matches: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("db")).expect("listed");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_match =
        |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(&matches);
    let mut files: Vec<PathBuf> = paths.filter(is_match).collect();
    files.sort();
    files
}

/// Returns the offsets of the records in a file that RocksDB writes as a log: `checksum: u32 |
/// length: u16 | type: u8`, in blocks of 32 KiB.
fn record_offsets(bytes: &[u8]) -> Vec<usize> {
    const BLOCK: usize = 32 << 10;
    const HEADER: usize = 7;
    let mut offset = 0;
    let mut offsets = Vec::new();
    while offset + HEADER <= bytes.len() {
        if BLOCK - offset % BLOCK < HEADER {
            offset += BLOCK - offset % BLOCK;
            continue;
        }
        let length = usize::from(u16::from_le_bytes([bytes[offset + 4], bytes[offset + 5]]));
        if length == 0 && bytes[offset + 6] == 0 {
            break;
        }
        offsets.push(offset);
        offset += HEADER + length;
    }
    offsets
}

/// Makes changes of every kind.
fn change(registry: &Registry, prefix: &str) {
    let name = |name: &str| SubjectName::parse(&format!("{prefix}.{name}")).expect("a name");
    for n in 0..6 {
        let subject = format!("{prefix}.{}", n % 3);
        let properties = (0..n).map(|n| format!(r#""p{n}": {{"type": "string"}}"#));
        let properties = properties.collect::<Vec<_>>().join(", ");
        register(
            registry,
            &subject,
            &format!(r#"{{"type": "object", "properties": {{{properties}}}}}"#),
        );
    }
    let first = semver::Version::new(1, 0, 0);
    let now = Timestamp::now();
    registry
        .set_state(&name("0"), &first, State::Deprecated, "old", None, now)
        .expect("deprecated");
    registry
        .update_subject(&name("1"), None, now, |settings| settings.owner = "us".into())
        .expect("updated");
    registry.delete_subject(&name("2"), None, None, now).expect("deleted");
    let two = [format!("{prefix}.3"), format!("{prefix}.4")].map(|subject| draft(&subject, "true"));
    registry.apply(&two, None, None, now).expect("two revisions in one commit");
}

/// A directory as `kill -9` leaves it, and what was acknowledged in it.
struct Image {
    name: &'static str,
    directory: TempDir,
    shown: Shown,
}

impl Image {
    fn of(name: &'static str, registry: &Registry, directory: &Path) -> Self {
        let killed = tempfile::tempdir().expect("a directory");
        copy(directory, killed.path());
        let intact = tempfile::tempdir().expect("a directory");
        copy(directory, intact.path());
        let opened = Registry::open(intact.path()).expect("it starts");
        let shown = Shown::of(&opened);
        drop(opened);
        assert!(shown == Shown::of(registry), "{name}: everything acknowledged");
        Self { name, directory: killed, shown }
    }

    fn wal_only() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let registry = Registry::open(directory.path()).expect("created");
        change(&registry, "first");
        Self::of("the write-ahead log alone", &registry, directory.path())
    }

    /// A start flushes the log into files.
    fn restarted() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for prefix in ["first", "second"] {
            change(&Registry::open(directory.path()).expect("opened"), prefix);
        }
        let registry = Registry::open(directory.path()).expect("opened");
        change(&registry, "third");
        Self::of("restarted", &registry, directory.path())
    }

    /// Files that are flushed while the registry runs: the MANIFEST names them in records of their
    /// own.
    fn flushed() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let registry = Registry::open(directory.path()).expect("created");
        change(&registry, "before");
        let title = "x".repeat(1_000_000);
        let until = Instant::now() + Duration::from_secs(60);
        for n in 0.. {
            assert!(Instant::now() < until, "nothing is flushed");
            if n < 10 {
                register(&registry, &format!("large.{n}"), &format!(r#"{{"title": "{title}"}}"#));
            }
            let logs = files(directory.path(), |name| name.ends_with(".log"));
            let tables = files(directory.path(), |name| name.ends_with(".sst"));
            // The old log is deleted when the MANIFEST names files with all of its records.
            if n >= 10 && logs.len() == 1 && tables.len() >= 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // Newer rows for keys that are in the files.
        let name = SubjectName::parse("before.1").expect("a name");
        registry
            .update_subject(&name, None, Timestamp::now(), |settings| {
                settings.owner = "them".into()
            })
            .expect("updated");
        change(&registry, "after");
        Self::of("flushed while running", &registry, directory.path())
    }
}

#[test]
fn a_cut_log_is_detected_or_lacks_nothing() {
    for image in [Image::wal_only(), Image::restarted(), Image::flushed()] {
        let (mut missing, mut corrupt, mut harmless) = (0, 0, 0);
        let is_log = |name: &str| name.ends_with(".log") || name.starts_with("MANIFEST-");
        for log in files(image.directory.path(), is_log) {
            let bytes = fs::read(&log).expect("read");
            let name = log.file_name().expect("a name");
            for cut in record_offsets(&bytes) {
                let directory = tempfile::tempdir().expect("a directory");
                copy(image.directory.path(), directory.path());
                fs::write(directory.path().join("db").join(name), &bytes[..cut]).expect("cut");
                let what =
                    format!("{}: {name:?} cut at {cut} of {} bytes", image.name, bytes.len());
                let open = || Registry::open(directory.path());
                match open() {
                    Ok(registry) => {
                        harmless += 1;
                        let shown = Shown::of(&registry);
                        assert!(shown == image.shown, "{what}: it starts with data missing");
                        continue;
                    }
                    Err(OpenError::AcknowledgedMissing(_)) => missing += 1,
                    Err(OpenError::Corrupt(_)) => corrupt += 1,
                    Err(other) => panic!("{what}: {other}"),
                }
                assert!(open().is_err(), "{what}: refused once, then opened");
            }
        }
        println!("{}: {missing} missing, {corrupt} corrupt, {harmless} harmless", image.name);
        assert!(missing >= 10, "{}: {missing} cuts were detected", image.name);
    }
}

/// RocksDB's reader of logs never returns from a record of a recycled file in a file that is not
/// recycled.
#[test]
fn a_record_of_a_recycled_type_does_not_hang_the_start() {
    let image = Image::wal_only();
    let is_log = |name: &str| name.ends_with(".log") || name.starts_with("MANIFEST-");
    let mut refused = 0;
    for log in files(image.directory.path(), is_log) {
        let bytes = fs::read(&log).expect("read");
        let name = log.file_name().expect("a name");
        for record in record_offsets(&bytes) {
            let directory = tempfile::tempdir().expect("a directory");
            copy(image.directory.path(), directory.path());
            let mut flipped = bytes.clone();
            // checksum: u32, length: u16, type: u8, which is 1 for a complete record and 5 for a
            // complete record of a recycled file.
            flipped[record + 6] ^= 4;
            fs::write(directory.path().join("db").join(name), flipped).expect("written");
            let (done, opened) = mpsc::channel();
            let path = directory.path().to_owned();
            thread::spawn(move || done.send(Registry::open(&path).map(|_| ())));
            let opened = opened.recv_timeout(Duration::from_secs(30)).expect("the start returns");
            assert!(
                matches!(opened, Err(OpenError::Corrupt(_))),
                "{name:?} at {record}: {opened:?}"
            );
            refused += 1;
        }
    }
    assert!(refused >= 10, "{refused} records were tried");
}
