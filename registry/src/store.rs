//! The registry's RocksDB.
//!
//! ```text
//! DIR/LOCK     who has the directory (flock)
//! DIR/db/      meta      "state"          -> JSON: format, revision, last id
//!              subjects  name             -> JSON: everything but the versions
//!              schemas   id: u32 BE       -> Schema, as the contract has it
//!              changes   revision: u64 BE -> WatchRegistryResponse
//!              consumers name, subject (length: u16 BE each), origin: u8, requirement -> Consumer
//! ```
//!
//! One change is one `WriteBatch`, synced before it is answered: schema, id, references, subject, revision together. So
//! ids and versions cannot be given twice, whatever the moment of a crash.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;
use prost::Message as _;
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, WriteBatch, WriteOptions};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::{
    catalog::Catalog,
    compatibility::Level,
    consumer::{
        ConsumerName, Need, Origin,
        book::{Book, Entries},
    },
    definition::Definition,
    error::{OpenError, StorageError},
    finding::{ContentModel, Surface},
    format::Format,
    proto::v1,
    schema::{Fingerprint, Reference, Registered, State},
    subject::{Settings, Subject, SubjectName},
    version::Bump,
};

/// The format of the directory.
const FORMAT: u32 = 1;
/// The one row of `meta`.
const STATE_KEY: &[u8] = b"state";
/// Bytes of cache for blocks: changes and old schemas are seldom read.
const CACHE_BYTES: usize = 8 << 20;

#[derive(Debug, Clone, Copy)]
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
    _lock: File,
}

/// What a start set aside because it cannot be read.
#[derive(Debug, Clone)]
pub struct Aside {
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
    pub fn open(directory: &Path) -> Result<(Self, Catalog, Book, Vec<Aside>), OpenError> {
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
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_paranoid_checks(true);
        // A bit flipped in what was acknowledged is damage, and not the end of the log.
        options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_atomic_flush(true);
        options.set_max_open_files(64);
        options.set_keep_log_file_num(2);
        options.set_stats_dump_period_sec(0);
        let cache = rocksdb::Cache::new_lru_cache(CACHE_BYTES);
        let families = Family::ALL.map(|family| {
            let mut table = rocksdb::BlockBasedOptions::default();
            table.set_block_cache(&cache);
            table.set_format_version(6);
            let mut options = rocksdb::Options::default();
            options.set_block_based_table_factory(&table);
            options.set_write_buffer_size(8 << 20);
            options.set_compression_type(rocksdb::DBCompressionType::Lz4);
            ColumnFamilyDescriptor::new(family.name(), options)
        });
        let db = DB::open_cf_descriptors(&options, directory.join("db"), families)
            .map_err(|error| OpenError::Corrupt(error.into_string()))?;
        let store = Self { db, _lock: lock };
        let (catalog, mut aside) = store.load()?;
        let (consumers, unreadable) = store.consumers();
        aside.extend(unreadable);
        Ok((store, catalog, consumers, aside))
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("opened with all of them")
    }

    fn load(&self) -> Result<(Catalog, Vec<Aside>), OpenError> {
        let corrupt = |detail: String| OpenError::Corrupt(detail);
        let Some(row) = (self.db.get_cf(self.family(Family::Meta), STATE_KEY))
            .map_err(|error| corrupt(error.into_string()))?
        else {
            return Ok((Catalog::default(), Vec::new()));
        };
        let state: StateRow = serde_json::from_slice(&row)
            .map_err(|error| corrupt(format!("the state does not parse: {error}")))?;
        if state.format != FORMAT {
            return Err(OpenError::NewerFormat { found: state.format, known: FORMAT });
        }
        let mut catalog = Catalog::at(state.revision, state.last_id);
        let mut aside = Vec::new();
        let mut subjects = BTreeMap::new();
        for row in self.db.iterator_cf(self.family(Family::Subjects), rocksdb::IteratorMode::Start)
        {
            // A subject is what ids and versions are counted by: without it nothing may be registered.
            let (key, value) = row.map_err(|error| corrupt(error.into_string()))?;
            let subject = read_subject(&key, &value).map_err(corrupt)?;
            subjects.insert(subject.name.clone(), subject);
        }
        for id in 1..=state.last_id {
            let row = self.db.get_pinned_cf(self.family(Family::Schemas), id.to_be_bytes());
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
                        subject
                            .versions
                            .insert(registered.version.clone(), Arc::clone(&registered));
                    }
                    catalog.put_schema(registered);
                }
                Err(detail) => aside.push(Aside { what: format!("schema {id}"), detail }),
            }
        }
        for mut subject in subjects.into_values() {
            subject.unreadable.retain(|version, _| !subject.versions.contains_key(version));
            catalog.put_subject(subject);
        }
        Ok((catalog, aside))
    }

    /// Writes one revision, synced.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn commit(&self, commit: &Commit) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        let state = StateRow { format: FORMAT, revision: commit.revision, last_id: commit.last_id };
        batch.put_cf(self.family(Family::Meta), STATE_KEY, json(&state));
        for subject in &commit.subjects {
            let row = subject_row(subject);
            batch.put_cf(self.family(Family::Subjects), subject.name.as_str(), json(&row));
        }
        for schema in &commit.schemas {
            let row = v1::Schema::from(&**schema).encode_to_vec();
            batch.put_cf(self.family(Family::Schemas), schema.id.to_be_bytes(), row);
        }
        for change in &commit.changes {
            let row = change.encode_to_vec();
            batch.put_cf(self.family(Family::Changes), change.revision.to_be_bytes(), row);
        }
        self.write(batch, true)
    }

    /// Writes what consumers said, synced where it is news.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn remember(&self, entries: &Entries) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        for need in &entries.removed {
            batch.delete_cf(self.family(Family::Consumers), consumer_key(need));
        }
        for need in &entries.put {
            let row = v1::Consumer::from(need).encode_to_vec();
            batch.put_cf(self.family(Family::Consumers), consumer_key(need), row);
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch, entries.is_news) }
    }

    /// All that is known of consumers. What cannot be read is set aside: it is said again.
    fn consumers(&self) -> (Book, Vec<Aside>) {
        let mut book = Book::default();
        let mut aside = Vec::new();
        let mut set_aside = |detail| aside.push(Aside { what: "a consumer".into(), detail });
        let family = self.family(Family::Consumers);
        for row in self.db.iterator_cf(family, rocksdb::IteratorMode::Start) {
            match row {
                Ok((_, value)) => match read_consumer(&value) {
                    Ok(need) => book.put(need),
                    Err(detail) => set_aside(detail),
                },
                Err(error) => set_aside(error.into_string()),
            }
        }
        (book, aside)
    }

    fn write(&self, batch: WriteBatch, sync: bool) -> Result<(), StorageError> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db.write_opt(batch, &options).map_err(|error| {
            let message = error.into_string();
            if message.contains("No space left") {
                StorageError::Full(message)
            } else {
                StorageError::Ambiguous(message)
            }
        })
    }

    /// Changes behind a revision, at most so many.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<v1::WatchRegistryResponse>, StorageError> {
        let from = after.saturating_add(1).to_be_bytes();
        let mode = rocksdb::IteratorMode::From(&from, rocksdb::Direction::Forward);
        let mut changes = Vec::new();
        for row in self.db.iterator_cf(self.family(Family::Changes), mode).take(limit) {
            let (_, value) = row.map_err(|error| StorageError::Stopped(error.into_string()))?;
            let change = v1::WatchRegistryResponse::decode(&*value)
                .map_err(|error| StorageError::Stopped(format!("a change is damaged: {error}")))?;
            changes.push(change);
        }
        Ok(changes)
    }
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
    pub schemas: Vec<Arc<Registered>>,
    /// One for each revision.
    pub changes: Vec<v1::WatchRegistryResponse>,
}

fn json(row: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_vec(row).unwrap_or_default();
    assert!(!json.is_empty(), "rows have no value that JSON cannot hold");
    json
}

/// The lengths keep names apart that begin alike.
fn consumer_key(need: &Need) -> Vec<u8> {
    let mut key = Vec::new();
    for name in [need.consumer.as_str(), need.subject.as_str()] {
        let length = u16::try_from(name.len()).expect("a name has at most 255 characters");
        key.extend_from_slice(&length.to_be_bytes());
        key.extend_from_slice(name.as_bytes());
    }
    key.push(match need.origin {
        Origin::Declared => 0,
        Origin::Stream => 1,
    });
    key.extend_from_slice(need.requirement.to_string().as_bytes());
    key
}

fn read_consumer(row: &[u8]) -> Result<Need, String> {
    let row = v1::Consumer::decode(row).map_err(|error| error.to_string())?;
    let seen = row.last_seen_time.ok_or("it has no time")?;
    let negotiated = match row.negotiated_version.as_str() {
        "" => None,
        text => Some(Version::parse(text).map_err(|error| error.to_string())?),
    };
    Ok(Need {
        consumer: ConsumerName::parse(&row.name)?,
        subject: SubjectName::parse(&row.subject)?,
        requirement: VersionReq::parse(&row.requirement).map_err(|error| error.to_string())?,
        origin: Origin::from_proto(row.origin)?.ok_or("it has no origin")?,
        negotiated,
        seen: Timestamp::new(seen.seconds, seen.nanos).map_err(|error| error.to_string())?,
        open_until: None,
    })
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

fn read_schema(row: &[u8]) -> Result<Registered, String> {
    let schema = v1::Schema::decode(row).map_err(|error| error.to_string())?;
    let version = |text: &str| Version::parse(text).map_err(|error| error.to_string());
    let missing = |what: &str| format!("it has no {what}");
    let mut references = Vec::with_capacity(schema.references.len());
    for reference in &schema.references {
        references.push(Reference {
            name: reference.name.clone(),
            subject: SubjectName::parse(&reference.subject)?,
            version: version(&reference.version)?,
        });
    }
    let create_time = schema.create_time.ok_or_else(|| missing("time"))?;
    Ok(Registered {
        subject: SubjectName::parse(&schema.subject)?,
        version: version(&schema.version)?,
        id: schema.id,
        format: Format::from_proto(schema.format)?.ok_or_else(|| missing("format"))?,
        definition: schema
            .definition
            .and_then(Definition::from_proto)
            .ok_or_else(|| missing("definition"))?,
        references,
        fingerprint: Fingerprint::parse(&schema.fingerprint)
            .ok_or_else(|| missing("fingerprint"))?,
        state: State::from_proto(schema.state)?.ok_or_else(|| missing("state"))?,
        deprecation: schema.deprecation,
        labels: schema.labels,
        created: Timestamp::new(create_time.seconds, create_time.nanos)
            .map_err(|error| error.to_string())?,
        bump: Bump::from_proto(schema.bump)?,
        parsed: Arc::new(OnceLock::new()),
    })
}
