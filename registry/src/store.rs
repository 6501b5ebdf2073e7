//! The registry's RocksDB.
//!
//! ```text
//! DIR/LOCK     who has the directory (flock)
//! DIR/witness  the last revision that was acknowledged, two slots of 512 bytes written in turn
//! DIR/db/      meta      "state"          -> JSON: format, revision, last id
//!              subjects  name             -> JSON: everything but the versions
//!              schemas   id: u32 BE       -> Schema, as the contract has it
//!              changes   revision: u64 BE -> WatchRegistryResponse
//!              consumers name, subject (length: u16 BE each), origin: u8, requirement -> Consumer
//! ```
//!
//! One change is one `WriteBatch`, synced before it is answered: schema, id, references, subject, revision together. So
//! ids and versions cannot be given twice, whatever the moment of a crash. Then the witness notes the revision: a log or a
//! MANIFEST that was cut opens as an older registry, and a start that finds less than was acknowledged refuses.

mod consumers;
pub mod logfile;
mod witness;

use crate::convert::FromProto as _;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use prost::Message as _;
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, WriteBatch, WriteOptions};
use semver::Version;
use serde::{Deserialize, Serialize};

use self::witness::Witness;
use crate::{
    catalog::Catalog,
    consumer::table::{ConsumerTable, Entries},
    error::{Damaged, OpenError, StorageError},
    proto::v1,
    schema::SchemaVersion,
    subject::{Settings, Subject, SubjectName},
};
use tidings_schema::level::Level;
use tidings_schema::{
    finding::{ContentModel, Surface},
    schema::Format,
};

/// The format of the directory.
const FORMAT: u32 = 1;
/// The one row of `meta`.
const STATE_KEY: &[u8] = b"state";
/// Bytes of cache for blocks: changes and old schemas are seldom read.
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

#[derive(Debug, Serialize, Deserialize)]
struct StateRow {
    format: u32,
    revision: u64,
    last_id: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct SubjectRow {
    format: i32,
    level: i32,
    content_model: i32,
    surface: i32,
    owner: String,
    description: String,
    labels: BTreeMap<String, String>,
    /// Microseconds since 1970.
    created: i64,
    revision: u64,
    #[serde(default)]
    deleted: bool,
    ids_before: u32,
    major_before: Option<u64>,
    /// What is registered, with its ids: a version whose own row is damaged is not given again.
    versions: Vec<(String, u32)>,
}

/// The open database.
pub struct Store {
    db: DB,
    witness: Mutex<Witness>,
    _lock: File,
}

/// What a start set aside because it cannot be read.
#[derive(Debug, Clone)]
pub struct Quarantined {
    /// What it is.
    pub what: String,
    /// Why.
    pub detail: String,
}

impl Store {
    /// Opens or makes a directory, and reads all that is registered. What cannot be read is set aside and reported.
    ///
    /// # Errors
    /// Where nothing can be served out of it.
    pub fn open(
        directory: &Path,
    ) -> Result<(Self, Catalog, ConsumerTable, Vec<Quarantined>), OpenError> {
        let io =
            |doing| move |error: std::io::Error| OpenError::Io { doing, detail: error.to_string() };
        fs::create_dir_all(directory).map_err(io("cannot make the registry's directory"))?;
        let lock = File::create(directory.join("LOCK")).map_err(io("cannot open LOCK"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(OpenError::Locked(directory.display().to_string()));
            }
            Err(fs::TryLockError::Error(error)) => {
                return Err(io("cannot lock the directory")(error));
            }
        }
        let witness = Witness::open(directory).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => OpenError::Corrupt(error.to_string()),
            _ => io("cannot open the witness")(error),
        })?;
        let acknowledged = witness.as_ref().map_or(0, |(_, revision)| *revision);
        let database = directory.join("db");
        if database.exists() {
            let damage = logfile::damage(&database);
            let damage = damage.map_err(io("cannot look through the logs of the database"))?;
            damage.map_or(Ok(()), |detail| Err(OpenError::Corrupt(detail)))?;
        }
        if acknowledged > 0 {
            look(&database, acknowledged)?;
        }
        let mut options = options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let db =
            DB::open_cf_descriptors(&options, database, families(Family::ALL)).map_err(damaged)?;
        let (catalog, mut aside) = load(&db)?;
        if catalog.revision < acknowledged {
            return Err(missing(catalog.revision, acknowledged));
        }
        // What is shown from here on is not lost without a word either, be it that nobody was answered.
        let witness = match witness {
            Some((mut witness, _)) => {
                if acknowledged < catalog.revision {
                    witness.note(catalog.revision).map_err(io("cannot write the witness"))?;
                }
                witness
            }
            None => {
                if catalog.revision > 0 {
                    tracing::warn!(
                        revision = catalog.revision,
                        "there was no witness of what was acknowledged: it begins here"
                    );
                }
                Witness::create(directory, catalog.revision)
                    .map_err(io("cannot make the witness"))?
            }
        };
        let (book, unreadable) = consumers::load(&db);
        aside.extend(unreadable);
        Ok((Self { db, witness: Mutex::new(witness), _lock: lock }, catalog, book, aside))
    }

    /// Writes one revision, synced.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn commit(&self, commit: &Commit) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        let state = StateRow { format: FORMAT, revision: commit.revision, last_id: commit.last_id };
        batch.put_cf(family(&self.db, Family::Meta), STATE_KEY, json(&state));
        for subject in &commit.subjects {
            let row = subject_row(subject);
            batch.put_cf(family(&self.db, Family::Subjects), subject.name.as_str(), json(&row));
        }
        for schema in &commit.schemas {
            let row = v1::Schema::from(&**schema).encode_to_vec();
            batch.put_cf(family(&self.db, Family::Schemas), schema.id.to_be_bytes(), row);
        }
        for change in &commit.changes {
            let row = change.encode_to_vec();
            batch.put_cf(family(&self.db, Family::Changes), change.revision.to_be_bytes(), row);
        }
        self.write(batch, true)?;
        let mut witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        witness
            .note(commit.revision)
            .map_err(|error| StorageError::Ambiguous(format!("the witness: {error}")))
    }

    /// Writes what consumers said, synced where it is news.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn remember(&self, entries: &Entries) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        for need in &entries.removed {
            batch.delete_cf(family(&self.db, Family::Consumers), consumers::key(need));
        }
        for need in &entries.put {
            let row = v1::Consumer::from(need).encode_to_vec();
            batch.put_cf(family(&self.db, Family::Consumers), consumers::key(need), row);
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch, entries.is_news) }
    }

    fn write(&self, batch: WriteBatch, sync: bool) -> Result<(), StorageError> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        // A full disk is no exception: the log may have the batch, whole or in part.
        self.db
            .write_opt(batch, &options)
            .map_err(|error| StorageError::Ambiguous(error.into_string()))
    }

    /// Changes behind a revision, at most so many.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<v1::WatchRegistryResponse>, Damaged> {
        let from = after.saturating_add(1).to_be_bytes();
        let mode = rocksdb::IteratorMode::From(&from, rocksdb::Direction::Forward);
        let mut changes = Vec::new();
        for row in self.db.iterator_cf(family(&self.db, Family::Changes), mode).take(limit) {
            let (_, value) = row.map_err(|error| Damaged(error.into_string()))?;
            let change = v1::WatchRegistryResponse::decode(&*value)
                .map_err(|error| Damaged(error.to_string()))?;
            changes.push(change);
        }
        Ok(changes)
    }
}

/// A start that creates nothing.
fn options() -> rocksdb::Options {
    let mut options = rocksdb::Options::default();
    options.set_paranoid_checks(true);
    // A bit flipped in what was acknowledged is damage, and not the end of the log.
    options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_atomic_flush(true);
    options.set_max_open_files(64);
    options.set_keep_log_file_num(2);
    options.set_stats_dump_period_sec(0);
    options
}

fn families(
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
    db.cf_handle(family.name()).expect("opened with all of them")
}

fn damaged(error: rocksdb::Error) -> OpenError {
    OpenError::Corrupt(error.into_string())
}

fn missing(found: u64, acknowledged: u64) -> OpenError {
    OpenError::AcknowledgedMissing(format!(
        "revision {acknowledged} was acknowledged once, the database ends at {found}"
    ))
}

/// Looks whether everything acknowledged is there, and changes nothing: an open for writing would delete what a MANIFEST
/// that was cut does not name.
fn look(database: &Path, acknowledged: u64) -> Result<(), OpenError> {
    // A directory of before there were consumers gets their family with the open for writing. What else is missing, or where
    // the list cannot be read, is told by the open.
    let there = DB::list_cf(&options(), database).unwrap_or_default();
    let is_older = !there.is_empty() && !there.iter().any(|it| it == Family::Consumers.name());
    let looked = Family::ALL.into_iter().filter(|it| !is_older || *it != Family::Consumers);
    let db = DB::open_cf_descriptors_read_only(&options(), database, families(looked), false)
        .map_err(damaged)?;
    let revision = read_state(&db)?.map_or(0, |state| state.revision);
    if revision < acknowledged {
        return Err(missing(revision, acknowledged));
    }
    // Each revision has one row of `changes`, and what is flushed is flushed together: a row less, and a file is gone. Files
    // say it in their properties; the count in a list of files is an estimate after a start.
    let changes = family(&db, Family::Changes);
    let properties = db
        .property_value_cf(changes, "rocksdb.aggregated-table-properties")
        .map_err(damaged)?
        .unwrap_or_default();
    let mut rows: u64 = properties
        .split(';')
        .find_map(|property| property.trim().strip_prefix("# entries="))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0);
    for memtable in ["rocksdb.num-entries-active-mem-table", "rocksdb.num-entries-imm-mem-tables"] {
        rows += db.property_int_value_cf(changes, memtable).map_err(damaged)?.unwrap_or(0);
    }
    if rows < revision {
        return Err(OpenError::AcknowledgedMissing(format!(
            "the database is at revision {revision}, and has {rows} of the changes that led to it"
        )));
    }
    Ok(())
}

fn read_state(db: &DB) -> Result<Option<StateRow>, OpenError> {
    let row = db.get_cf(family(db, Family::Meta), STATE_KEY).map_err(damaged)?;
    let Some(row) = row else { return Ok(None) };
    let state: StateRow = serde_json::from_slice(&row)
        .map_err(|error| OpenError::Corrupt(format!("the state does not parse: {error}")))?;
    if state.format != FORMAT {
        return Err(OpenError::NewerFormat { found: state.format, known: FORMAT });
    }
    Ok(Some(state))
}

fn load(db: &DB) -> Result<(Catalog, Vec<Quarantined>), OpenError> {
    let corrupt = |detail: String| OpenError::Corrupt(detail);
    let Some(state) = read_state(db)? else {
        return Ok((Catalog::default(), Vec::new()));
    };
    let mut catalog = Catalog::at(state.revision, state.last_id);
    let mut aside = Vec::new();
    let mut subjects = BTreeMap::new();
    for row in db.iterator_cf(family(db, Family::Subjects), rocksdb::IteratorMode::Start) {
        // A subject is what ids and versions are counted by: without it nothing may be registered.
        let (key, value) = row.map_err(|error| corrupt(error.into_string()))?;
        let subject = read_subject(&key, &value).map_err(corrupt)?;
        subjects.insert(subject.name.clone(), subject);
    }
    for id in 1..=state.last_id {
        let row = db.get_pinned_cf(family(db, Family::Schemas), id.to_be_bytes());
        let read = row.map_err(rocksdb::Error::into_string).and_then(|row| match row {
            Some(row) => read_schema(&row),
            None => Err("it is not there".into()),
        });
        match read {
            Ok(registered) => {
                let registered = Arc::new(registered);
                if let Some(subject) = subjects.get_mut(&registered.subject)
                    && !subject.deleted
                    && id > subject.ids_before
                {
                    subject.versions.insert(registered.version.clone(), Arc::clone(&registered));
                }
                catalog.put_schema(registered);
            }
            Err(detail) => aside.push(Quarantined { what: format!("schema {id}"), detail }),
        }
    }
    for mut subject in subjects.into_values() {
        subject.unreadable.retain(|version, _| !subject.versions.contains_key(version));
        catalog.put_subject(subject);
    }
    Ok((catalog, aside))
}

/// What one revision, or several in one go, change.
#[derive(Debug, Default)]
pub struct Commit {
    /// The last revision of it.
    pub revision: u64,
    /// The last id that is given away.
    pub last_id: u32,
    /// Subjects that are new or changed.
    pub subjects: Vec<Subject>,
    /// Versions that are new or changed.
    pub schemas: Vec<Arc<SchemaVersion>>,
    /// One for each revision.
    pub changes: Vec<v1::WatchRegistryResponse>,
}

fn json(row: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_vec(row).unwrap_or_default();
    assert!(!json.is_empty(), "rows have no value that JSON cannot hold");
    json
}

fn subject_row(subject: &Subject) -> SubjectRow {
    let settings = &subject.settings;
    SubjectRow {
        format: v1::SchemaFormat::from(subject.format).into(),
        level: v1::Compatibility::from(settings.level).into(),
        content_model: v1::ContentModel::from(settings.content_model).into(),
        surface: v1::Surface::from(settings.surface).into(),
        owner: settings.owner.clone(),
        description: settings.description.clone(),
        labels: settings.labels.clone(),
        created: subject.created.as_microsecond(),
        revision: subject.revision,
        deleted: subject.deleted,
        ids_before: subject.ids_before,
        major_before: subject.major_before,
        versions: (subject.versions.iter().map(|(version, it)| (version.to_string(), it.id)))
            .chain(subject.unreadable.iter().map(|(version, id)| (version.to_string(), *id)))
            .collect(),
    }
}

fn read_subject(key: &[u8], value: &[u8]) -> Result<Subject, String> {
    let name = str::from_utf8(key).map_err(|error| format!("the name of a subject: {error}"))?;
    let name =
        SubjectName::parse(name).map_err(|error| format!("the name of a subject {error}"))?;
    let fault = |what: String| format!("subject \"{name}\": {what}");
    let row: SubjectRow =
        serde_json::from_slice(value).map_err(|error| fault(error.to_string()))?;
    let mut registered = BTreeMap::new();
    for (version, id) in &row.versions {
        let version = Version::parse(version).map_err(|error| fault(error.to_string()))?;
        registered.insert(version, *id);
    }
    Ok(Subject {
        format: Format::from_proto(row.format)
            .map_err(fault)?
            .ok_or_else(|| fault("no format".into()))?,
        settings: Settings {
            level: Level::from_proto(row.level).map_err(fault)?.unwrap_or_default(),
            content_model: ContentModel::from_proto(row.content_model)
                .map_err(fault)?
                .unwrap_or_default(),
            surface: Surface::from_proto(row.surface).map_err(fault)?.unwrap_or_default(),
            owner: row.owner,
            description: row.description,
            labels: row.labels,
        },
        created: Timestamp::from_microsecond(row.created)
            .map_err(|error| fault(error.to_string()))?,
        revision: row.revision,
        deleted: row.deleted,
        ids_before: row.ids_before,
        major_before: row.major_before,
        versions: BTreeMap::new(),
        // Until their rows are read.
        unreadable: registered,
        name,
    })
}

fn read_schema(row: &[u8]) -> Result<SchemaVersion, String> {
    let schema = v1::Schema::decode(row).map_err(|error| error.to_string())?;
    SchemaVersion::try_from(schema)
}
