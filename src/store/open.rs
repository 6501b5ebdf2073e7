//! Opening: look before you leap. A read-write open of RocksDB destroys the evidence of what it lost, so the store is
//! first opened for reading, and compared with what the witness saw.

use std::{path::Path, sync::Arc, time::Instant};

use rocksdb::{DB, DBRecoveryMode, IteratorMode};
use tidings_registry::store::logfile;
use tokio::sync::watch;

use super::{
    Family, OpenError, StorageError, Store, Writer,
    directory::Directory,
    keys,
    meta::{self, End, Hole, POSITION_JUMP, State, TopicRecord},
    options::{self, Tuning},
    row::Header,
    topics::{Catalog, Topic},
    trim::{self, TrimPoints},
    witness::Witness,
};
use crate::model::{
    cursor::ServerId,
    name::TopicName,
    numbers::{Offset, Position, TopicId},
};

/// How to open.
#[derive(Debug, Clone, Copy)]
pub struct OpenOptions {
    /// Settings of RocksDB.
    pub tuning: Tuning,
    /// Budget of the tails, in bytes.
    pub tail_bytes: usize,
}

/// Opens the store of a data directory, or makes it.
///
/// # Errors
/// Where it is somebody else's, newer, damaged, or short of what was acknowledged. Nothing is changed then.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Writer, OpenError> {
    let (directory, lock) = Directory::lock(path)?;
    let trims = Arc::new(TrimPoints::default());
    let start = Instant::now();
    let server = if directory.is_new() {
        create(&directory, &options.tuning, &trims)?
    } else {
        directory.read_format()?
    };
    let (witness, testimony) = Witness::open(directory.path(), server).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            OpenError::Corrupt { detail: format!("the file {} is missing", super::witness::FILE) }
        } else {
            OpenError::Io { doing: "cannot open the witness".into(), source: error.into() }
        }
    })?;
    let witnessed = testimony.ok_or_else(|| OpenError::Corrupt {
        detail: format!("the file {} has no slot that can be read", super::witness::FILE),
    })?;
    let clean = directory.read_clean(server);

    let found = preflight(&directory, &options.tuning, &trims)?;
    let least = witnessed.position.max(clean.unwrap_or_default());
    if found < least {
        return Err(missing(found, least));
    }
    let db = match clean {
        // Not even a torn end of the write-ahead log is allowed then.
        Some(_) => {
            let recovery = DBRecoveryMode::AbsoluteConsistency;
            open_for_writing(&directory, &options.tuning, &trims, recovery)?
        }
        None => open_after_crash(&directory, &options.tuning, &trims)?,
    };
    let mut loaded = load(&db)?;
    if loaded.state.position < witnessed.position {
        return Err(missing(loaded.state.position, witnessed.position));
    }
    let io = |doing: &str| {
        let doing = doing.to_owned();
        move |source: StorageError| OpenError::Io { doing, source }
    };
    if clean.is_none() && !loaded.is_fresh() {
        jump(&db, &mut loaded).map_err(io("cannot note the unclean stop"))?;
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
    Ok(assemble(db, directory, lock, server, loaded, trims, witness, options.tail_bytes))
}

#[expect(clippy::too_many_arguments, reason = "the parts of a store, put together once")]
fn assemble(
    db: DB,
    directory: Directory,
    lock: super::directory::Lock,
    server: ServerId,
    loaded: Loaded,
    trims: Arc<TrimPoints>,
    witness: Witness,
    tail_bytes: usize,
) -> Writer {
    let mut topics = Vec::with_capacity(loaded.topics.len());
    for (id, record, end) in loaded.topics {
        if record.deleted {
            trims.set(id, trim::EVERYTHING);
        } else if record.first > 0 {
            trims.set(id, Offset(record.first));
        }
        topics.push((topic(id, &record, end), record, end));
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
    Writer::new(store, loaded.state, topics, witness, tail_bytes)
}

/// Makes a new store. `FORMAT` comes last, so that a directory that has it has everything else.
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
        .map_err(|error| OpenError::rocksdb("cannot make the database", error))?;
    let mut write = rocksdb::WriteOptions::default();
    write.set_sync(true);
    let mut batch = rocksdb::WriteBatch::default();
    batch.put_cf(Family::Meta.of(&db), meta::STATE_KEY, State::default().encode());
    db.write_opt(batch, &write)
        .map_err(|error| OpenError::rocksdb("cannot write to the database", error))?;
    drop(db);
    Witness::create(directory.path(), server).map_err(|error| OpenError::Io {
        doing: "cannot make the witness".into(),
        source: error.into(),
    })?;
    directory.write_format(server)?;
    Ok(server)
}

/// What a start would find, without touching anything: everything before the first damage.
fn preflight(
    directory: &Directory,
    tuning: &Tuning,
    trims: &Arc<TrimPoints>,
) -> Result<Position, OpenError> {
    match logfile::damage(&directory.database()) {
        Ok(None) => {}
        Ok(Some(detail)) => return Err(OpenError::Corrupt { detail }),
        Err(error) => {
            let doing = "cannot look through the logs of the database".into();
            return Err(OpenError::Io { doing, source: error.into() });
        }
    }
    let options = options::database(tuning, DBRecoveryMode::PointInTime);
    let families = options::families(tuning, trims);
    let db = DB::open_cf_descriptors_read_only(&options, directory.database(), families, false)
        .map_err(|error| OpenError::rocksdb("cannot open the database for reading", error))?;
    let loaded = load(&db)?;
    cover(&db, &loaded)?;
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

/// After the read-only look has shown that nothing acknowledged is missing.
fn open_after_crash(
    directory: &Directory,
    tuning: &Tuning,
    trims: &Arc<TrimPoints>,
) -> Result<DB, OpenError> {
    let tolerant = DBRecoveryMode::TolerateCorruptedTailRecords;
    match open_for_writing(directory, tuning, trims, tolerant) {
        Err(OpenError::Corrupt { detail }) => {
            // What is damaged lies behind everything that was synced.
            tracing::warn!(
                detail,
                "the end of the write-ahead log is damaged, behind all that was acknowledged"
            );
            open_for_writing(directory, tuning, trims, DBRecoveryMode::PointInTime)
        }
        opened => opened,
    }
}

fn missing(found: Position, witnessed: Position) -> OpenError {
    OpenError::AcknowledgedMissing {
        detail: format!(
            "positions {} to {witnessed} were on disk once, the database ends at {found}",
            found.next()
        ),
    }
}

/// What `meta` says.
pub(super) struct Loaded {
    pub state: State,
    pub topics: Vec<(TopicId, TopicRecord, End)>,
    pub holes: Vec<Hole>,
}

impl Loaded {
    fn is_fresh(&self) -> bool {
        self.state.position == Position(0)
    }
}

/// Reads `meta`.
///
/// # Errors
/// Where it is damaged.
pub(super) fn load(db: &DB) -> Result<Loaded, OpenError> {
    let family = Family::Meta.of(db);
    let corrupt = |what: &str| OpenError::Corrupt { detail: format!("{what} cannot be read") };
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
        let id = TopicId(keys::u32_at(id, 0).ok_or_else(|| corrupt("the key of a topic"))?);
        let record: TopicRecord =
            serde_json::from_slice(&json).map_err(|_| corrupt(&format!("topic number {id}")))?;
        TopicName::parse(&record.name).map_err(|_| corrupt(&format!("the name of topic {id}")))?;
        let end = match get(&meta::end_key(id))? {
            Some(bytes) => End::decode(&bytes).ok_or_else(|| corrupt("the end of a topic"))?,
            None => End::default(),
        };
        topics.push((id, record, end));
    }
    Ok(Loaded { state, topics, holes })
}

pub(super) fn topic(id: TopicId, record: &TopicRecord, end: End) -> Arc<Topic> {
    // load() has parsed the name already.
    let name = TopicName::parse(&record.name).unwrap_or_else(|_| TopicName::lost(id.0));
    Arc::new(Topic::new(id, Arc::new(name), record, end))
}

/// Checks that `meta` is whole, and that the log covers what it should: the last row of each topic is there, and there are at least as many rows
/// as events are retained. A MANIFEST that was cut opens without a word as an older state; this is where it is noticed.
fn cover(db: &DB, loaded: &Loaded) -> Result<(), OpenError> {
    let topics =
        loaded.topics.iter().map(|(_, record, end)| record.weight().wrapping_add(end.weight()));
    let rows = topics.chain(loaded.holes.iter().map(Hole::weight)).fold(0, u64::wrapping_add);
    if rows != loaded.state.rows {
        return Err(OpenError::AcknowledgedMissing {
            detail: "topics are not as they were written last: a MANIFEST that was cut reads so"
                .into(),
        });
    }
    let family = Family::Log.of(db);
    let mut retained = 0;
    for (id, record, end) in loaded.topics.iter().filter(|(_, record, _)| !record.deleted) {
        retained += end.next.0.saturating_sub(record.first);
        if end.next.0 <= record.first {
            continue;
        }
        let last = Offset(end.next.0 - 1);
        let missing = |detail: String| OpenError::AcknowledgedMissing {
            detail: format!("the last event of topic {}, offset {last}: {detail}", record.name),
        };
        let row = db
            .get_pinned_cf(family, keys::log(*id, last))
            .map_err(|error| OpenError::rocksdb("cannot read the end of a topic", error))?
            .ok_or_else(|| missing("it is not there".into()))?;
        let header = Header::read(&row).map_err(|detail| OpenError::Corrupt {
            detail: format!("the last event of topic {}, offset {last}: {detail}", record.name),
        })?;
        if header.position != end.position || header.topic_bytes != end.bytes {
            return Err(missing("it is another one than was written last".into()));
        }
    }
    // What files say of themselves in their properties; the count in a list of files is an estimate after a start.
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
            detail: format!("{retained} events are retained, the log has {rows} rows"),
        });
    }
    Ok(())
}

/// Goes on behind a jump, so that no position that a lost BUFFERED event had is given to another one.
fn jump(db: &DB, loaded: &mut Loaded) -> Result<(), StorageError> {
    let after = loaded.state.position.0;
    let until = after + POSITION_JUMP;
    let hole = Hole { after, until };
    loaded.holes.push(hole);
    loaded.state.weigh(0, hole.weight());
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
