//! The limit of RocksDB: writes the same rows as the server, and nothing else.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use bytes::{Bytes, BytesMut};
use rocksdb::{DB, DBRecoveryMode, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions};
use serde::{Deserialize, Serialize};
use tidings::{
    config::Config,
    model::{
        event::{HEADER_BYTES, IdentityHash},
        numbers::{KeyVersion, Offset, Position, TopicId},
    },
    store::{
        options::{self, Tuning},
        rows::{correlation, ids, keys, log},
    },
};
use tokio::sync::{mpsc, oneshot};
use xxhash_rust::xxh3::xxh3_128;

use crate::{load::workload::Workload, pairs::Sample, process::own_cpu};

/// A task to measure.
#[derive(Debug, Serialize, Deserialize)]
pub enum Task {
    /// Single events of this many waiting callers, which one thread groups and syncs.
    Group { events: u64, callers: usize, topics: u64 },
    /// Batches of this many events, which one thread writes and syncs.
    Batches { events: u64, batch: u64, topics: u64 },
    /// A scan of all rows of the log in the directory of a server.
    Iterate { data: PathBuf },
}

/// The result of a task.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measurement {
    pub events: u64,
    pub seconds: f64,
    pub cpu_seconds: f64,
}

impl Measurement {
    pub fn sample(&self) -> Sample {
        let events = self.events as f64;
        Sample {
            rate: events / self.seconds,
            server_us: self.cpu_seconds * 1e6 / events,
            client_us: 0.0,
        }
    }
}

/// Most events of a group: the largest number of waiting callers.
const GROUP_EVENTS_MAX: usize = 4_096;

/// Bytes before the event in a row of the log.
const HEADER: [u8; HEADER_BYTES] = [7; HEADER_BYTES];

/// Runs the tasks of standard input until its end.
pub fn run(dir: &Path) -> Result<()> {
    let mut database = None;
    for line in io::stdin().lines() {
        let task = serde_json::from_str(&line?)?;
        let measurement = match task {
            Task::Iterate { data } => iterate(&data)?,
            Task::Group { events, callers, topics } => {
                let database = BareDatabase::open_once(&mut database, dir)?;
                database.measure(topics, events, |database| database.group(events, callers))?
            }
            Task::Batches { events, batch, topics } => {
                let database = BareDatabase::open_once(&mut database, dir)?;
                database.measure(topics, events, |database| database.batches(events, batch))?
            }
        };
        println!("{}", serde_json::to_string(&measurement)?);
    }
    Ok(())
}

/// A database that contains only the rows of events.
struct BareDatabase {
    db: Arc<DB>,
    workload: Arc<Workload>,
    /// The next position: the number of events written so far.
    next: u64,
    topics: u64,
}

impl BareDatabase {
    fn open_once<'a>(database: &'a mut Option<Self>, dir: &Path) -> Result<&'a mut Self> {
        if database.is_none() {
            let db = Arc::new(open(dir)?);
            let workload = Arc::new(Workload::new(2, 1024)?);
            *database = Some(Self { db, workload, next: 0, topics: 1 });
        }
        database.as_mut().context("just opened")
    }

    fn measure(
        &mut self,
        topics: u64,
        events: u64,
        write: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<Measurement> {
        self.topics = topics;
        let (start, cpu) = (Instant::now(), own_cpu()?);
        write(self)?;
        let seconds = start.elapsed().as_secs_f64();
        self.next += events;
        Ok(Measurement { events, seconds, cpu_seconds: (own_cpu()? - cpu).as_secs_f64() })
    }

    fn group(&self, events: u64, callers: usize) -> Result<()> {
        let (submit, mut submissions) = mpsc::channel::<(u64, Bytes, oneshot::Sender<()>)>(callers);
        let writer = {
            let (db, topics) = (Arc::clone(&self.db), self.topics);
            thread::spawn(move || -> Result<()> {
                let mut group = Vec::new();
                while submissions.blocking_recv_many(&mut group, GROUP_EVENTS_MAX) > 0 {
                    let rows = Rows::new(&db, topics)?;
                    let mut batch = WriteBatch::default();
                    for (position, event, _) in &group {
                        rows.put(&mut batch, *position, event);
                    }
                    db.write_opt(batch, &synced())?;
                    for (.., written) in group.drain(..) {
                        // A caller that has ended needs no result.
                        let _ = written.send(());
                    }
                }
                Ok(())
            })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for caller in 0..callers as u64 {
                let (submit, workload) = (submit.clone(), Arc::clone(&self.workload));
                let (first, end) = (self.next + caller, self.next + events);
                tasks.spawn(async move {
                    for position in (first..end).step_by(callers) {
                        let mut event = BytesMut::new();
                        workload.put(position, &mut event);
                        let (written, result) = oneshot::channel();
                        submit.send((position, event.freeze(), written)).await?;
                        result.await?;
                    }
                    anyhow::Ok(())
                });
            }
            while let Some(task) = tasks.join_next().await {
                task??;
            }
            anyhow::Ok(())
        })?;
        drop(submit);
        writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?
    }

    fn batches(&self, events: u64, batch_events: u64) -> Result<()> {
        let rows = Rows::new(&self.db, self.topics)?;
        let end = self.next + events;
        let mut event = BytesMut::new();
        let mut position = self.next;
        while position < end {
            let mut batch = WriteBatch::default();
            for position in position..end.min(position + batch_events) {
                event.clear();
                self.workload.put(position, &mut event);
                rows.put(&mut batch, position, &event);
            }
            self.db.write_opt(batch, &synced())?;
            position += batch_events;
        }
        Ok(())
    }
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

/// The rows of one event in each column family.
struct Rows<'a> {
    log: &'a rocksdb::ColumnFamily,
    ids: &'a rocksdb::ColumnFamily,
    keys: &'a rocksdb::ColumnFamily,
    correlation: &'a rocksdb::ColumnFamily,
    topics: u64,
}

impl<'a> Rows<'a> {
    fn new(db: &'a DB, topics: u64) -> Result<Self> {
        let family = |name| db.cf_handle(name).context("no such column family");
        Ok(Self {
            log: family("log")?,
            ids: family("ids")?,
            keys: family("keys")?,
            correlation: family("correlation")?,
            topics,
        })
    }

    fn put(&self, batch: &mut WriteBatch, position: u64, event: &[u8]) {
        // Topic 0 belongs to the runs with one topic.
        let topic = position % self.topics + u64::from(self.topics > 1);
        let topic = TopicId(u32::try_from(topic).unwrap_or_default());
        let offset = Offset(position / self.topics);
        let offset_bytes = offset.0.to_be_bytes();
        batch.put_cf(self.log, log::key(topic, offset), [&HEADER, event].concat());
        let identity = IdentityHash(xxh3_128(&position.to_be_bytes()));
        let value = [offset_bytes, position.to_be_bytes()].concat();
        batch.put_cf(self.ids, ids::key(topic, identity), value);
        let key = format!("customer-{:08x}", position % 1_000);
        let version = KeyVersion(position / 1_000 + 1);
        batch.put_cf(self.keys, keys::key(topic, key.as_bytes(), version), offset_bytes);
        let flow = format!("00000002-0000-7000-9000-{:012x}", position / 4);
        let value = [&topic.0.to_be_bytes()[..], &offset_bytes].concat();
        batch.put_cf(self.correlation, correlation::key(&flow, Position(position)), value);
    }
}

/// Opens a database with the options of the store and the default tuning.
fn open(dir: &Path) -> Result<DB> {
    fs::create_dir_all(dir)?;
    let config = Config::default();
    let tuning = Tuning {
        block_cache_bytes: config.block_cache_bytes,
        write_buffer_bytes: config.write_buffer_bytes,
        wal_bytes: config.wal_bytes,
    };
    let mut options = options::database(&tuning, DBRecoveryMode::TolerateCorruptedTailRecords);
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let families = options::families(&tuning, &Arc::default());
    Ok(DB::open_cf_descriptors(&options, dir, families)?)
}

/// Scans the log of a stopped or idle server, read-only.
fn iterate(data: &Path) -> Result<Measurement> {
    let (start, cpu) = (Instant::now(), own_cpu()?);
    let dir = database(data)?.context("the data directory has no RocksDB directory")?;
    let options = Options::default();
    let families = DB::list_cf(&options, &dir)?;
    let db = DB::open_cf_for_read_only(&options, &dir, families, false)?;
    let log = db.cf_handle("log").context("no column family \"log\"")?;
    let mut read = ReadOptions::default();
    read.set_readahead_size(2 << 20);
    read.fill_cache(false);
    let (mut events, mut bytes) = (0, 0);
    for row in db.iterator_cf_opt(log, read, IteratorMode::Start) {
        let (key, value) = row?;
        bytes += key.len() + value.len();
        events += 1;
    }
    ensure!(bytes > 0, "an empty log");
    let seconds = start.elapsed().as_secs_f64();
    Ok(Measurement { events, seconds, cpu_seconds: (own_cpu()? - cpu).as_secs_f64() })
}

/// The directory that contains the file CURRENT.
fn database(dir: &Path) -> Result<Option<PathBuf>> {
    if dir.join("CURRENT").is_file() {
        return Ok(Some(dir.to_owned()));
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir()
            && let Some(found) = database(&path)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
