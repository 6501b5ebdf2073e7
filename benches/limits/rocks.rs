//! What RocksDB takes at its best: the rows of our events, without anything around them.

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
        keys,
        options::{self, Tuning},
    },
};
use tokio::sync::{mpsc, oneshot};
use xxhash_rust::xxh3::xxh3_128;

use crate::{load::workload::Workload, pairs::Sample, process::own_cpu};

/// What is to be measured.
#[derive(Debug, Serialize, Deserialize)]
pub enum Task {
    /// Single events of so many waiting callers, which one thread groups and syncs.
    Group { events: u64, callers: usize, topics: u64 },
    /// One thread that writes and syncs batches of this many events.
    Batches { events: u64, batch: u64, topics: u64 },
    /// Reads the log of a server's directory from its first row to its last.
    Iterate { data: PathBuf },
}

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Done {
    pub events: u64,
    pub seconds: f64,
    pub cpu_seconds: f64,
}

impl Done {
    pub fn sample(&self) -> Sample {
        let events = self.events as f64;
        Sample {
            rate: events / self.seconds,
            server_us: self.cpu_seconds * 1e6 / events,
            client_us: 0.0,
        }
    }
}

/// Events that a group takes at most, as many callers as may wait.
const GROUP_EVENTS_MAX: usize = 4_096;

/// Bytes before the event in a row of the log.
const HEADER: [u8; HEADER_BYTES] = [7; HEADER_BYTES];

/// Answers tasks on standard input until it ends.
pub fn run(dir: &Path) -> Result<()> {
    let mut bare = None;
    for line in io::stdin().lines() {
        let task = serde_json::from_str(&line?)?;
        let done = match task {
            Task::Iterate { data } => iterate(&data)?,
            Task::Group { events, callers, topics } => {
                let bare = Bare::opened(&mut bare, dir)?;
                bare.measured(topics, events, |bare| bare.group(events, callers))?
            }
            Task::Batches { events, batch, topics } => {
                let bare = Bare::opened(&mut bare, dir)?;
                bare.measured(topics, events, |bare| bare.batches(events, batch))?
            }
        };
        println!("{}", serde_json::to_string(&done)?);
    }
    Ok(())
}

/// A database with the rows of events and nothing else.
struct Bare {
    db: Arc<DB>,
    workload: Arc<Workload>,
    /// Events written so far: the next position.
    next: u64,
    topics: u64,
}

impl Bare {
    fn opened<'a>(bare: &'a mut Option<Self>, dir: &Path) -> Result<&'a mut Self> {
        if bare.is_none() {
            let db = Arc::new(open(dir)?);
            let workload = Arc::new(Workload::new(2, 1024)?);
            *bare = Some(Self { db, workload, next: 0, topics: 1 });
        }
        bare.as_mut().context("just opened")
    }

    fn measured(
        &mut self,
        topics: u64,
        events: u64,
        write: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<Done> {
        self.topics = topics;
        let (began, cpu) = (Instant::now(), own_cpu()?);
        write(self)?;
        let seconds = began.elapsed().as_secs_f64();
        self.next += events;
        Ok(Done { events, seconds, cpu_seconds: (own_cpu()? - cpu).as_secs_f64() })
    }

    fn group(&self, events: u64, callers: usize) -> Result<()> {
        let (submit, mut waiting) = mpsc::channel::<(u64, Bytes, oneshot::Sender<()>)>(callers);
        let writer = {
            let (db, topics) = (Arc::clone(&self.db), self.topics);
            thread::spawn(move || -> Result<()> {
                let mut group = Vec::new();
                while waiting.blocking_recv_many(&mut group, GROUP_EVENTS_MAX) > 0 {
                    let rows = Rows::new(&db, topics)?;
                    let mut batch = WriteBatch::default();
                    for (position, event, _) in &group {
                        rows.put(&mut batch, *position, event);
                    }
                    db.write_opt(batch, &synced())?;
                    for (.., answer) in group.drain(..) {
                        // A caller that went away does not matter.
                        let _ = answer.send(());
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
                        let (answer, answered) = oneshot::channel();
                        submit.send((position, event.freeze(), answer)).await?;
                        answered.await?;
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
        // Topic 0 is the one of runs with one topic.
        let topic = position % self.topics + u64::from(self.topics > 1);
        let topic = TopicId(u32::try_from(topic).unwrap_or_default());
        let offset = Offset(position / self.topics);
        let offset_bytes = offset.0.to_be_bytes();
        batch.put_cf(self.log, keys::log(topic, offset), [&HEADER, event].concat());
        let identity = IdentityHash(xxh3_128(&position.to_be_bytes()));
        let held = [offset_bytes, position.to_be_bytes()].concat();
        batch.put_cf(self.ids, keys::ids(topic, identity), held);
        let key = format!("customer-{:08x}", position % 1_000);
        let version = KeyVersion(position / 1_000 + 1);
        batch.put_cf(self.keys, keys::keys(topic, key.as_bytes(), version), offset_bytes);
        let flow = format!("00000002-0000-7000-9000-{:012x}", position / 4);
        let place = [&topic.0.to_be_bytes()[..], &offset_bytes].concat();
        batch.put_cf(self.correlation, keys::correlation(&flow, Position(position)), place);
    }
}

/// Opened with the store's own options, and its defaults.
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

/// Reads a stopped or idle server's log without changing anything.
fn iterate(data: &Path) -> Result<Done> {
    let (began, cpu) = (Instant::now(), own_cpu()?);
    let dir = database(data)?.context("no RocksDB directory below the data directory")?;
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
    let seconds = began.elapsed().as_secs_f64();
    Ok(Done { events, seconds, cpu_seconds: (own_cpu()? - cpu).as_secs_f64() })
}

/// The directory with a CURRENT in it.
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
