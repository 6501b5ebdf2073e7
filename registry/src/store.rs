//! The registry's RocksDB.
//!
//! ```text
//! DIR/LOCK     locked (flock) by the process that has the directory open
//! DIR/witness  the last acknowledged revision, two slots of 512 bytes written in turn
//! DIR/db/      meta      "state"          -> JSON: format, revision, last id
//!              subjects  name             -> JSON: everything but the schemas of the versions
//!              schemas   id: u32 BE       -> Schema of the contract
//!              changes   revision: u64 BE -> WatchRegistryResponse
//!              consumers name, subject (length: u16 BE each), origin: u8, requirement -> Consumer
//! ```
//!
//! One change is one `WriteBatch`, synced before it is acknowledged: schema, id, references,
//! subject and revision together. So no id and no version is assigned twice, wherever a crash
//! happens. Then the revision is written to the durable mark: RocksDB opens a log or a MANIFEST
//! that was cut as an older registry, and a start that finds an older revision than the mark
//! refuses.

mod changes;
mod consumers;
mod durable_mark;
mod meta;
mod schemas;
mod subjects;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, WriteBatch, WriteOptions};
use serde::Serialize;

use tidings_disk::{
    lock::{DirectoryLock, LockError},
    log_file,
};

use self::durable_mark::DurableMark;
use crate::{
    catalog::Catalog,
    consumer::table::{ConsumerChanges, ConsumerTable},
    error::{Damaged, OpenError, StorageError},
    proto::v1,
    schema::SchemaVersion,
    subject::Subject,
};

/// Bytes of cache for blocks. Changes and old schemas are seldom read.
const CACHE_BYTES: usize = 8 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Meta,
    Subjects,
    Schemas,
    Changes,
    Consumers,
}

impl Family {
    const ALL: [Self; 5] =
        [Self::Meta, Self::Subjects, Self::Schemas, Self::Changes, Self::Consumers];

    fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Subjects => "subjects",
            Self::Schemas => "schemas",
            Self::Changes => "changes",
            Self::Consumers => "consumers",
        }
    }
}

/// The open database.
pub struct Store {
    db: DB,
    durable_mark: Mutex<DurableMark>,
    _lock: DirectoryLock,
}

/// A row that a start cannot read, and leaves out.
#[derive(Debug, Clone)]
pub struct Quarantined {
    /// The row, such as "schema 7".
    pub item: String,
    /// The reason why it cannot be read.
    pub reason: String,
}

impl Store {
    /// Opens or creates a directory, and loads everything that is registered. Rows that cannot be
    /// read are quarantined and reported.
    ///
    /// # Errors
    /// Returns an error if nothing can be served from the directory.
    pub fn open(
        directory: &Path,
    ) -> Result<(Self, Catalog, ConsumerTable, Vec<Quarantined>), OpenError> {
        let io =
            |doing| move |error: std::io::Error| OpenError::Io { doing, detail: error.to_string() };
        fs::create_dir_all(directory).map_err(io("cannot create the registry's directory"))?;
        let lock =
            DirectoryLock::acquire(directory, "tidings-registry").map_err(|error| match error {
                LockError::Held(_) => OpenError::Locked(directory.display().to_string()),
                LockError::Io { operation: "lock", source } => {
                    io("cannot lock the directory")(source)
                }
                LockError::Io { operation: "write", source } => io("cannot write LOCK")(source),
                LockError::Io { source, .. } => io("cannot open LOCK")(source),
            })?;
        let mark = DurableMark::open(directory).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => OpenError::Corrupt(error.to_string()),
            _ => io("cannot open the file witness")(error),
        })?;
        let acknowledged = mark.as_ref().map_or(0, |(_, revision)| *revision);
        let database = directory.join("db");
        if database.exists() {
            let damage = log_file::damage(&database);
            let damage = damage.map_err(io("cannot check the logs of the database"))?;
            damage.map_or(Ok(()), |detail| Err(OpenError::Corrupt(detail)))?;
        }
        if acknowledged > 0 {
            check_acknowledged(&database, acknowledged)?;
        }
        let mut options = options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let db = DB::open_cf_descriptors(&options, database, descriptors(Family::ALL))
            .map_err(corrupt)?;
        let (catalog, mut quarantined) = load_catalog(&db)?;
        if catalog.revision < acknowledged {
            return Err(acknowledged_missing(catalog.revision, acknowledged));
        }
        // From here on every revision that is shown counts as acknowledged, although its writer may
        // have received no response: its loss is reported as well.
        let durable_mark = match mark {
            Some((mut mark, _)) => {
                if acknowledged < catalog.revision {
                    mark.advance(catalog.revision).map_err(io("cannot write the file witness"))?;
                }
                mark
            }
            None => {
                if catalog.revision > 0 {
                    tracing::warn!(
                        revision = catalog.revision,
                        "the file witness is missing: it is created with this revision"
                    );
                }
                DurableMark::create(directory, catalog.revision)
                    .map_err(io("cannot create the file witness"))?
            }
        };
        let (consumers, unreadable) = consumers::load(&db);
        quarantined.extend(unreadable);
        let store = Self { db, durable_mark: Mutex::new(durable_mark), _lock: lock };
        Ok((store, catalog, consumers, quarantined))
    }

    /// Writes one revision, or several, synced.
    ///
    /// # Errors
    /// Returns an error if the disk fails.
    pub fn commit(&self, commit: &Commit) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        let state = meta::encode(commit.revision, commit.last_id);
        batch.put_cf(family(&self.db, Family::Meta), meta::STATE_KEY, state);
        for subject in &commit.subjects {
            let (key, row) = (subjects::key(subject), subjects::encode(subject));
            batch.put_cf(family(&self.db, Family::Subjects), key, row);
        }
        for schema in &commit.schemas {
            let (key, row) = (schemas::key(schema.id), schemas::encode(schema));
            batch.put_cf(family(&self.db, Family::Schemas), key, row);
        }
        for change in &commit.changes {
            let (key, row) = (changes::key(change.revision), changes::encode(change));
            batch.put_cf(family(&self.db, Family::Changes), key, row);
        }
        self.write(batch, true)?;
        let mut mark = self.durable_mark.lock().unwrap_or_else(PoisonError::into_inner);
        mark.advance(commit.revision)
            .map_err(|error| StorageError::Ambiguous(format!("the file witness: {error}")))
    }

    /// Writes changed requirements of consumers, synced if they have to be.
    ///
    /// # Errors
    /// Returns an error if the disk fails.
    pub fn commit_consumers(&self, changes: &ConsumerChanges) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        for requirement in &changes.removed {
            batch.delete_cf(family(&self.db, Family::Consumers), consumers::key(requirement));
        }
        for requirement in &changes.put {
            let (key, row) = (consumers::key(requirement), consumers::encode(requirement));
            batch.put_cf(family(&self.db, Family::Consumers), key, row);
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch, changes.needs_sync) }
    }

    fn write(&self, batch: WriteBatch, sync: bool) -> Result<(), StorageError> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        // Also ambiguous if the disk is full: the log may contain all of the batch, or a part.
        self.db
            .write_opt(batch, &options)
            .map_err(|error| StorageError::Ambiguous(error.into_string()))
    }

    /// Reads at most `limit` changes after a revision.
    ///
    /// # Errors
    /// Returns an error if a change cannot be read.
    pub fn changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<v1::WatchRegistryResponse>, Damaged> {
        let from = changes::key(after.saturating_add(1));
        let mode = rocksdb::IteratorMode::From(&from, rocksdb::Direction::Forward);
        let mut read = Vec::new();
        for row in self.db.iterator_cf(family(&self.db, Family::Changes), mode).take(limit) {
            let (_, value) = row.map_err(|error| Damaged(error.into_string()))?;
            read.push(changes::decode(&value)?);
        }
        Ok(read)
    }
}

/// The options of a start that creates nothing.
fn options() -> rocksdb::Options {
    let mut options = rocksdb::Options::default();
    options.set_paranoid_checks(true);
    // A flipped bit in an acknowledged record is damage, not the end of the log.
    options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_atomic_flush(true);
    options.set_max_open_files(64);
    options.set_keep_log_file_num(2);
    options.set_stats_dump_period_sec(0);
    options
}

fn descriptors(
    families: impl IntoIterator<Item = Family>,
) -> impl Iterator<Item = ColumnFamilyDescriptor> {
    let cache = rocksdb::Cache::new_lru_cache(CACHE_BYTES);
    families.into_iter().map(move |family| {
        let mut table = rocksdb::BlockBasedOptions::default();
        table.set_block_cache(&cache);
        table.set_format_version(6);
        let mut options = rocksdb::Options::default();
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_size(8 << 20);
        options.set_compression_type(rocksdb::DBCompressionType::Lz4);
        ColumnFamilyDescriptor::new(family.name(), options)
    })
}

fn family(db: &DB, family: Family) -> &ColumnFamily {
    db.cf_handle(family.name()).expect("opened with all families")
}

fn corrupt(error: rocksdb::Error) -> OpenError {
    OpenError::Corrupt(error.into_string())
}

fn acknowledged_missing(found: u64, acknowledged: u64) -> OpenError {
    OpenError::AcknowledgedMissing(format!(
        "revision {acknowledged} was acknowledged; the database ends at revision {found}"
    ))
}

/// Checks that the database has everything acknowledged, without changing it: an open for writing
/// would delete the files that a cut MANIFEST does not name.
fn check_acknowledged(database: &Path, acknowledged: u64) -> Result<(), OpenError> {
    // A directory that was written before consumers existed gets their family with the open for
    // writing. The open reports any other missing family, and a list that cannot be read.
    let existing = DB::list_cf(&options(), database).unwrap_or_default();
    let has_no_consumers =
        !existing.is_empty() && !existing.iter().any(|name| name == Family::Consumers.name());
    let families =
        Family::ALL.into_iter().filter(|family| !has_no_consumers || *family != Family::Consumers);
    let db = DB::open_cf_descriptors_read_only(&options(), database, descriptors(families), false)
        .map_err(corrupt)?;
    let revision = read_state(&db)?.map_or(0, |state| state.revision);
    if revision < acknowledged {
        return Err(acknowledged_missing(revision, acknowledged));
    }
    // Each revision has one row of `changes`, and all families are flushed together. So one row
    // less means that a file is missing. The properties of the files have the exact number; the
    // count in the list of files is an estimate after a start.
    let changes = family(&db, Family::Changes);
    let properties = db
        .property_value_cf(changes, "rocksdb.aggregated-table-properties")
        .map_err(corrupt)?
        .unwrap_or_default();
    let mut rows: u64 = properties
        .split(';')
        .find_map(|property| property.trim().strip_prefix("# entries="))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0);
    for memtable in ["rocksdb.num-entries-active-mem-table", "rocksdb.num-entries-imm-mem-tables"] {
        rows += db.property_int_value_cf(changes, memtable).map_err(corrupt)?.unwrap_or(0);
    }
    if rows < revision {
        return Err(OpenError::AcknowledgedMissing(format!(
            "the database is at revision {revision}; it has the changes of {rows} revisions only"
        )));
    }
    Ok(())
}

fn read_state(db: &DB) -> Result<Option<meta::StateRow>, OpenError> {
    let row = db.get_cf(family(db, Family::Meta), meta::STATE_KEY).map_err(corrupt)?;
    row.map(|row| meta::decode(&row)).transpose()
}

fn load_catalog(db: &DB) -> Result<(Catalog, Vec<Quarantined>), OpenError> {
    let corrupt = |detail: String| OpenError::Corrupt(detail);
    let Some(state) = read_state(db)? else {
        return Ok((Catalog::default(), Vec::new()));
    };
    let mut catalog = Catalog::at(state.revision, state.last_id);
    let mut quarantined = Vec::new();
    let mut subjects = BTreeMap::new();
    for row in db.iterator_cf(family(db, Family::Subjects), rocksdb::IteratorMode::Start) {
        // Subjects keep track of used ids and versions: without one nothing may be registered.
        let (key, value) = row.map_err(|error| corrupt(error.into_string()))?;
        let subject = subjects::decode(&key, &value).map_err(corrupt)?;
        subjects.insert(subject.name.clone(), subject);
    }
    for id in 1..=state.last_id {
        let row = db.get_pinned_cf(family(db, Family::Schemas), schemas::key(id));
        let read = row.map_err(rocksdb::Error::into_string).and_then(|row| match row {
            Some(row) => schemas::decode(&row),
            None => Err("the row is missing".into()),
        });
        match read {
            Ok(schema) => {
                let schema = Arc::new(schema);
                if let Some(subject) = subjects.get_mut(&schema.subject)
                    && !subject.deleted
                    && id > subject.ids_before
                {
                    subject.versions.insert(schema.version.clone(), Arc::clone(&schema));
                }
                catalog.put_schema(schema);
            }
            Err(reason) => quarantined.push(Quarantined { item: format!("schema {id}"), reason }),
        }
    }
    for mut subject in subjects.into_values() {
        subject.unreadable.retain(|version, _| !subject.versions.contains_key(version));
        catalog.put_subject(subject);
    }
    Ok((catalog, quarantined))
}

/// The changes of one revision, or of several that are written together.
#[derive(Debug, Default)]
pub struct Commit {
    /// The last revision of the commit.
    pub revision: u64,
    /// The last id that is assigned.
    pub last_id: u32,
    /// Subjects that are new or changed.
    pub subjects: Vec<Subject>,
    /// Versions that are new or changed.
    pub schemas: Vec<Arc<SchemaVersion>>,
    /// One change for each revision.
    pub changes: Vec<v1::WatchRegistryResponse>,
}

fn json(row: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_vec(row).unwrap_or_default();
    assert!(!json.is_empty(), "rows have no value that JSON cannot hold");
    json
}
