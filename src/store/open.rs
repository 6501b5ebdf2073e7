//! Opening a store. A read-write open of RocksDB destroys the evidence of lost data, so the
//! database is first opened read-only, and compared with the durable mark.

use std::{path::Path, sync::Arc, time::Instant};

use rocksdb::{DB, DBRecoveryMode, IteratorMode};
use tidings_disk::log_file;
use tokio::sync::watch;

use super::{
    Family, OpenError, StorageError, Store, Writer, big_endian,
    directory::Directory,
    durable_mark::{self, DurableMarkFile},
    meta::{self, Hole, POSITION_JUMP, State, TopicRecord, TopicTail},
    options::{self, Tuning},
    rows::log::{self, Header},
    topics::{Catalog, Topic},
    trim::{self, TrimPoints},
};
use crate::model::{
    cursor::ServerId,
    name::TopicName,
    numbers::{Offset, Position, TopicId},
};

/// How to open a store.
#[derive(Debug, Clone, Copy)]
pub struct OpenOptions {
    /// Settings of RocksDB.
    pub tuning: Tuning,
    /// Budget of the tail caches, in bytes.
    pub tail_bytes: usize,
}

/// Opens the store of a data directory, or creates it.
///
/// # Errors
/// Returns an error if the directory is locked, newer or damaged, or if acknowledged events are
/// missing. Nothing is changed then.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Writer, OpenError> {
    let (directory, lock) = Directory::lock(path)?;
    let trims = Arc::new(TrimPoints::default());
    let start = Instant::now();
    let server = if directory.is_new() {
        create(&directory, &options.tuning, &trims)?
    } else {
        directory.read_format()?
    };
    let (mark_file, newest_mark) =
        DurableMarkFile::open(directory.path(), server).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                OpenError::Corrupt { detail: format!("the file {} is missing", durable_mark::FILE) }
            } else {
                OpenError::Io { doing: "cannot open the durable mark".into(), source: error.into() }
            }
        })?;
    let mark = newest_mark.ok_or_else(|| OpenError::Corrupt {
        detail: format!("the file {} has no valid slot", durable_mark::FILE),
    })?;
    let clean = directory.read_clean(server);

    let recovered = preflight(&directory, &options.tuning, &trims)?;
    let expected = mark.position.max(clean.unwrap_or_default());
    if recovered < expected {
        return Err(acknowledged_missing(recovered, expected));
    }
    let db = match clean {
        // After a clean close, not even a torn end of the write-ahead log is accepted.
        Some(_) => {
            let recovery = DBRecoveryMode::AbsoluteConsistency;
            open_for_writing(&directory, &options.tuning, &trims, recovery)?
        }
        None => open_after_crash(&directory, &options.tuning, &trims)?,
    };
    let mut loaded = load(&db)?;
    if loaded.state.position < mark.position {
        return Err(acknowledged_missing(loaded.state.position, mark.position));
    }
    let io = |doing: &str| {
        let doing = doing.to_owned();
        move |source: StorageError| OpenError::Io { doing, source }
    };
    if clean.is_none() && !loaded.is_fresh() {
        skip_positions(&db, &mut loaded).map_err(io("cannot record the unclean stop"))?;
    }
    directory.remove_clean().map_err(|error| io("cannot remove the clean marker")(error.into()))?;
    tracing::info!(
        directory = %path.display(),
        position = %loaded.state.position,
        events = loaded.state.events,
        topics = loaded.topics.iter().filter(|(_, record, _)| !record.deleted).count(),
        clean = clean.is_some(),
        millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        "store opened"
    );
    Ok(assemble(db, directory, lock, server, loaded, trims, mark_file, options.tail_bytes))
}

#[expect(clippy::too_many_arguments, reason = "the parts of a store, put together once")]
fn assemble(
    db: DB,
    directory: Directory,
    lock: tidings_disk::lock::DirectoryLock,
    server: ServerId,
    loaded: Loaded,
    trims: Arc<TrimPoints>,
    mark_file: DurableMarkFile,
    tail_bytes: usize,
) -> Writer {
    let mut topics = Vec::with_capacity(loaded.topics.len());
    for (id, record, tail) in loaded.topics {
        if record.deleted {
            trims.set(id, trim::EVERYTHING);
        } else if record.first > 0 {
            trims.set(id, Offset(record.first));
        }
        topics.push((topic(id, &record, tail), record, tail));
    }
    let catalog = Catalog::new(
        topics.iter().filter(|(_, record, _)| !record.deleted).map(|(topic, ..)| Arc::clone(topic)),
    );
    let store = Arc::new(Store {
        db,
        directory,
        lock,
        server,
        catalog,
        watermark: watch::Sender::new(loaded.state.position),
        holes: loaded.holes,
        trims,
    });
    Writer::new(store, loaded.state, topics, mark_file, tail_bytes)
}

/// Creates a store. `FORMAT` is written last, so that a directory with a `FORMAT` has everything
/// else.
fn create(
    directory: &Directory,
    tuning: &Tuning,
    trims: &Arc<TrimPoints>,
) -> Result<ServerId, OpenError> {
    let id = uuid::Uuid::new_v4().as_u64_pair().0;
    let server = ServerId(id);
    let mut options = options::database(tuning, DBRecoveryMode::TolerateCorruptedTailRecords);
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let families = options::families(tuning, trims);
    let db = DB::open_cf_descriptors(&options, directory.database(), families)
        .map_err(|error| OpenError::rocksdb("cannot create the database", error))?;
    let mut write = rocksdb::WriteOptions::default();
    write.set_sync(true);
    let mut batch = rocksdb::WriteBatch::default();
    batch.put_cf(Family::Meta.of(&db), meta::STATE_KEY, State::default().encode());
    db.write_opt(batch, &write)
        .map_err(|error| OpenError::rocksdb("cannot write to the database", error))?;
    drop(db);
    DurableMarkFile::create(directory.path(), server).map_err(|error| OpenError::Io {
        doing: "cannot create the durable mark".into(),
        source: error.into(),
    })?;
    directory.write_format(server)?;
    Ok(server)
}

/// The position that a start would recover, which is the last one before any damage. Changes
/// nothing.
fn preflight(
    directory: &Directory,
    tuning: &Tuning,
    trims: &Arc<TrimPoints>,
) -> Result<Position, OpenError> {
    match log_file::damage(&directory.database()) {
        Ok(None) => {}
        Ok(Some(detail)) => return Err(OpenError::Corrupt { detail }),
        Err(error) => {
            let doing = "cannot check the log files of the database".into();
            return Err(OpenError::Io { doing, source: error.into() });
        }
    }
    let options = options::database(tuning, DBRecoveryMode::PointInTime);
    let families = options::families(tuning, trims);
    let db = DB::open_cf_descriptors_read_only(&options, directory.database(), families, false)
        .map_err(|error| OpenError::rocksdb("cannot open the database for reading", error))?;
    let loaded = load(&db)?;
    check_coverage(&db, &loaded)?;
    Ok(loaded.state.position)
}

fn open_for_writing(
    directory: &Directory,
    tuning: &Tuning,
    trims: &Arc<TrimPoints>,
    recovery: DBRecoveryMode,
) -> Result<DB, OpenError> {
    let options = options::database(tuning, recovery);
    DB::open_cf_descriptors(&options, directory.database(), options::families(tuning, trims))
        .map_err(|error| OpenError::rocksdb("cannot open the database", error))
}

/// Opens the database after an unclean stop. The read-only open has shown that nothing acknowledged
/// is missing.
fn open_after_crash(
    directory: &Directory,
    tuning: &Tuning,
    trims: &Arc<TrimPoints>,
) -> Result<DB, OpenError> {
    let tolerant = DBRecoveryMode::TolerateCorruptedTailRecords;
    match open_for_writing(directory, tuning, trims, tolerant) {
        Err(OpenError::Corrupt { detail }) => {
            // The damage is after everything that was synced.
            tracing::warn!(
                detail,
                "the end of the write-ahead log is damaged, after everything that was acknowledged"
            );
            open_for_writing(directory, tuning, trims, DBRecoveryMode::PointInTime)
        }
        opened => opened,
    }
}

fn acknowledged_missing(recovered: Position, expected: Position) -> OpenError {
    OpenError::AcknowledgedMissing {
        detail: format!(
            "positions {} to {expected} were synced; the database ends at {recovered}",
            recovered.next()
        ),
    }
}

/// The decoded rows of `meta`.
pub(super) struct Loaded {
    pub state: State,
    pub topics: Vec<(TopicId, TopicRecord, TopicTail)>,
    pub holes: Vec<Hole>,
}

impl Loaded {
    fn is_fresh(&self) -> bool {
        self.state.position == Position(0)
    }
}

/// Reads the rows of `meta`.
///
/// # Errors
/// Returns an error if a row is damaged.
pub(super) fn load(db: &DB) -> Result<Loaded, OpenError> {
    let family = Family::Meta.of(db);
    let corrupt = |row: &str| OpenError::Corrupt { detail: format!("{row} cannot be read") };
    let get = |key: &[u8]| {
        db.get_cf(family, key).map_err(|error| OpenError::rocksdb("cannot read", error))
    };
    let state = get(meta::STATE_KEY)?
        .and_then(|bytes| State::decode(&bytes))
        .ok_or_else(|| corrupt("the last position"))?;
    let holes = match get(meta::HOLES_KEY)? {
        Some(json) => serde_json::from_slice(&json).map_err(|_| corrupt("the list of holes"))?,
        None => Vec::new(),
    };
    let mut topics = Vec::new();
    let from = IteratorMode::From(&meta::TOPIC_PREFIX, rocksdb::Direction::Forward);
    for row in db.iterator_cf(family, from) {
        let (key, json) = row.map_err(|error| OpenError::rocksdb("cannot read topics", error))?;
        let Some(id) = key.strip_prefix(&meta::TOPIC_PREFIX) else { break };
        let id = TopicId(big_endian::u32_at(id, 0).ok_or_else(|| corrupt("the key of a topic"))?);
        let record: TopicRecord =
            serde_json::from_slice(&json).map_err(|_| corrupt(&format!("topic number {id}")))?;
        TopicName::parse(&record.name).map_err(|_| corrupt(&format!("the name of topic {id}")))?;
        let tail = match get(&meta::tail_key(id))? {
            Some(bytes) => {
                TopicTail::decode(&bytes).ok_or_else(|| corrupt("the tail of a topic"))?
            }
            None => TopicTail::default(),
        };
        topics.push((id, record, tail));
    }
    Ok(Loaded { state, topics, holes })
}

pub(super) fn topic(id: TopicId, record: &TopicRecord, tail: TopicTail) -> Arc<Topic> {
    // `load` has checked that the name parses.
    let name = TopicName::parse(&record.name).unwrap_or_else(|_| TopicName::placeholder(id.0));
    Arc::new(Topic::new(id, Arc::new(name), record, tail))
}

/// Checks that `meta` is complete, and that the log covers it: the last row of each topic exists,
/// and the log has at least as many rows as there are retained events. RocksDB opens a truncated
/// MANIFEST as an older state without an error; this check detects it.
fn check_coverage(db: &DB, loaded: &Loaded) -> Result<(), OpenError> {
    let topics =
        loaded.topics.iter().map(|(_, record, tail)| record.weight().wrapping_add(tail.weight()));
    let row_weights =
        topics.chain(loaded.holes.iter().map(Hole::weight)).fold(0, u64::wrapping_add);
    if row_weights != loaded.state.row_weights {
        return Err(OpenError::AcknowledgedMissing {
            detail:
                "topics are not as they were last written: a truncated MANIFEST has this effect"
                    .into(),
        });
    }
    let family = Family::Log.of(db);
    let mut retained = 0;
    for (id, record, tail) in loaded.topics.iter().filter(|(_, record, _)| !record.deleted) {
        retained += tail.next.0.saturating_sub(record.first);
        if tail.next.0 <= record.first {
            continue;
        }
        let last = Offset(tail.next.0 - 1);
        let missing = |detail: String| OpenError::AcknowledgedMissing {
            detail: format!("the last event of topic {}, offset {last}: {detail}", record.name),
        };
        let row = db
            .get_pinned_cf(family, log::key(*id, last))
            .map_err(|error| OpenError::rocksdb("cannot read the last row of a topic", error))?
            .ok_or_else(|| missing("the row is missing".into()))?;
        let header = Header::read(&row).map_err(|detail| OpenError::Corrupt {
            detail: format!("the last event of topic {}, offset {last}: {detail}", record.name),
        })?;
        if header.position != tail.position || header.topic_bytes != tail.bytes {
            return Err(missing("it is not the event that was last written".into()));
        }
    }
    // The properties of the table files are exact. The count in the list of files is an estimate
    // after a start.
    let properties = db
        .property_value_cf(family, "rocksdb.aggregated-table-properties")
        .map_err(|error| OpenError::rocksdb("cannot read the properties of files", error))?
        .unwrap_or_default();
    let mut rows: u64 = properties
        .split(';')
        .find_map(|property| property.trim().strip_prefix("# entries="))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0);
    for memtable in ["rocksdb.num-entries-active-mem-table", "rocksdb.num-entries-imm-mem-tables"] {
        rows += db
            .property_int_value_cf(family, memtable)
            .map_err(|error| OpenError::rocksdb("cannot count rows", error))?
            .unwrap_or(0);
    }
    if rows < retained {
        return Err(OpenError::AcknowledgedMissing {
            detail: format!("{retained} events are retained; the log has {rows} rows"),
        });
    }
    Ok(())
}

/// Skips positions, so that no position of a lost BUFFERED event is assigned again.
fn skip_positions(db: &DB, loaded: &mut Loaded) -> Result<(), StorageError> {
    let after = loaded.state.position.0;
    let until = after + POSITION_JUMP;
    let hole = Hole { after, until };
    loaded.holes.push(hole);
    loaded.state.replace_row_weight(0, hole.weight());
    loaded.state.position = Position(until);
    let json = serde_json::to_vec(&loaded.holes).unwrap_or_default();
    assert!(!json.is_empty(), "a list of numbers has a JSON form");
    let family = Family::Meta.of(db);
    let mut batch = rocksdb::WriteBatch::default();
    batch.put_cf(family, meta::HOLES_KEY, json);
    batch.put_cf(family, meta::STATE_KEY, loaded.state.encode());
    let mut options = rocksdb::WriteOptions::default();
    options.set_sync(true);
    db.write_opt(batch, &options).map_err(StorageError::from)
}
