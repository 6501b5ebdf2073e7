//! The journal of one machine.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as std_mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    time::timeout,
};

use super::{CommitError, Health, space::Space};
use crate::{
    model::commit::{Applied, Commit, Rejected},
    store::{StorageError, Store, Writer, writer::Group},
    telemetry::Metrics,
};

/// Most commits in a group, and their bytes. A group is written in one batch, and all of its
/// callers wait for the whole batch.
const GROUP_COMMITS_MAX: usize = 4096;
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Longest time that a commit waits for room in the queue before it is rejected.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Longest time that BUFFERED commits, and the durable mark, stay unsynced.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);

/// Interval at which the writer checks a full disk.
const SPACE_INTERVAL: Duration = Duration::from_millis(250);

/// Settings of the journal.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Most bytes of queued commits.
    pub queued_bytes_max: usize,
    /// Bytes of disk kept free.
    pub disk_reserve_bytes: u64,
}

struct Submission {
    commit: Commit,
    reply: oneshot::Sender<Result<Applied, CommitError>>,
    permit: OwnedSemaphorePermit,
}

enum Message {
    Commit(Submission),
    Close(oneshot::Sender<Result<(), StorageError>>),
}

/// A handle on the journal.
#[derive(Clone)]
pub struct Journal {
    queue: mpsc::UnboundedSender<Message>,
    capacity: Arc<Semaphore>,
    queued_bytes_max: usize,
    space: Arc<Space>,
    health: watch::Receiver<Health>,
}

impl Journal {
    /// Starts the threads of the writer and the syncer.
    ///
    /// # Errors
    /// Returns an error if a thread cannot be started.
    pub fn start(writer: Writer, options: Options, metrics: Metrics) -> io::Result<Self> {
        let (queue, submissions) = mpsc::unbounded_channel();
        let (health, health_watch) = watch::channel(Health::Serving);
        let directory = writer.store().directory().to_path_buf();
        let space = Arc::new(Space::new(directory, options.disk_reserve_bytes));
        let unsynced = Arc::new(Unsynced::default());
        let (stop_syncer, stopped) = std_mpsc::channel();
        let syncer = Syncer {
            store: Arc::clone(writer.store()),
            durable_mark: writer.durable_mark_handle()?,
            unsynced: Arc::clone(&unsynced),
            health: health.clone(),
        };
        thread::Builder::new().name("tidings-sync".into()).spawn(move || syncer.run(&stopped))?;
        let writer_thread = WriterThread {
            writer,
            submissions,
            space: Arc::clone(&space),
            health,
            unsynced,
            metrics,
            injected_fault: InjectedFault::from_environment(),
            _stop_syncer: stop_syncer,
        };
        thread::Builder::new().name("tidings-writer".into()).spawn(move || writer_thread.run())?;
        Ok(Self {
            queue,
            capacity: Arc::new(Semaphore::new(options.queued_bytes_max)),
            queued_bytes_max: options.queued_bytes_max,
            space,
            health: health_watch,
        })
    }

    /// Submits a commit and waits for its result. If the caller is dropped, the commit is written
    /// all the same.
    ///
    /// # Errors
    /// Returns why the commit has no result.
    pub async fn commit(&self, commit: Commit) -> Result<Applied, CommitError> {
        let outcome = self.submit(commit).await?;
        outcome.await
    }

    /// Submits a commit. Returns when the commit has its place in the order. The returned future
    /// waits for the result.
    ///
    /// # Errors
    /// Returns why the commit was not queued.
    pub async fn submit(
        &self,
        commit: Commit,
    ) -> Result<impl Future<Output = Result<Applied, CommitError>> + Send + use<>, CommitError>
    {
        if let Health::Failed(reason) = &*self.health.borrow() {
            return Err(CommitError::Stopped(reason.clone()));
        }
        if let Some(available) = self.space.below_reserve() {
            return Err(CommitError::StorageFull { available, reserve: self.space.reserve() });
        }
        // A commit larger than the queue waits for the whole queue.
        let weight = u32::try_from(commit.weight().min(self.queued_bytes_max)).unwrap_or(u32::MAX);
        let permit = timeout(QUEUE_WAIT_MAX, Arc::clone(&self.capacity).acquire_many_owned(weight))
            .await
            .map_err(|_| CommitError::Overloaded(self.queued_bytes_max))?
            .map_err(|_| CommitError::Stopped("it is closed".into()))?;
        let (reply, outcome) = oneshot::channel();
        self.queue
            .send(Message::Commit(Submission { commit, reply, permit }))
            .map_err(|_| CommitError::Stopped(self.reason()))?;
        let health = self.health.clone();
        Ok(async move {
            match outcome.await {
                Ok(outcome) => outcome,
                // The writer has failed and dropped the commit without a reply.
                Err(_) => Err(CommitError::Ambiguous(reason(&health))),
            }
        })
    }

    /// Writes the queued commits, syncs everything and stops.
    ///
    /// # Errors
    /// Returns the error of the disk.
    pub async fn close(&self) -> Result<(), StorageError> {
        let (reply, closed) = oneshot::channel();
        let failed = || StorageError { message: self.reason(), no_space: false, corrupt: false };
        self.queue.send(Message::Close(reply)).map_err(|_| failed())?;
        closed.await.unwrap_or_else(|_| Err(failed()))
    }

    /// Watches the health of the journal.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Bytes of disk space that are available.
    pub fn disk_available(&self) -> u64 {
        self.space.available()
    }

    /// Bytes of queued commits.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes_max.saturating_sub(self.capacity.available_permits())
    }

    fn reason(&self) -> String {
        reason(&self.health)
    }
}

fn reason(health: &watch::Receiver<Health>) -> String {
    match &*health.borrow() {
        Health::Serving => "it is closed".into(),
        Health::Failed(reason) => reason.clone(),
    }
}

/// A contract that a test breaks on purpose, to show that the test detects it. Only in builds with
/// debug assertions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InjectedFault {
    None,
    /// Replies before the group is written, and writes it 20 ms later.
    AckBeforeWrite,
}

impl InjectedFault {
    fn from_environment() -> Self {
        if cfg!(debug_assertions)
            && std::env::var("TIDINGS_FAULT").is_ok_and(|name| name == "ack-before-write")
        {
            tracing::warn!(
                "acknowledging commits before they are written: acknowledged events may be lost"
            );
            return Self::AckBeforeWrite;
        }
        Self::None
    }
}

type Replies = Vec<(
    oneshot::Sender<Result<Applied, CommitError>>,
    Result<Applied, Rejected>,
    OwnedSemaphorePermit,
)>;

/// The thread that writes. It owns the writer; other threads hold a handle.
struct WriterThread {
    writer: Writer,
    submissions: mpsc::UnboundedReceiver<Message>,
    space: Arc<Space>,
    health: watch::Sender<Health>,
    unsynced: Arc<Unsynced>,
    metrics: Metrics,
    injected_fault: InjectedFault,
    _stop_syncer: std_mpsc::Sender<()>,
}

impl WriterThread {
    fn run(mut self) {
        while let Some(message) = self.submissions.blocking_recv() {
            let close = match message {
                Message::Commit(first) => match self.write_group(first) {
                    Ok(close) => close,
                    Err(error) => {
                        tracing::error!(%error, "a write failed: no more commits are accepted");
                        self.health.send_replace(Health::Failed(error.to_string()));
                        // Dropping the queue drops the replies, which reports the failure to all
                        // callers.
                        return;
                    }
                },
                Message::Close(reply) => Some(reply),
            };
            if let Some(reply) = close {
                let closed = self.writer.close();
                if let Err(error) = &closed {
                    tracing::error!(%error, "the store was not closed cleanly");
                }
                // Releases the store before the reply, so that the caller can open it again.
                drop(self);
                let _ = reply.send(closed);
                return;
            }
        }
    }

    /// Writes one group. Returns the reply of a close that was queued after the group.
    fn write_group(
        &mut self,
        first: Submission,
    ) -> Result<Option<oneshot::Sender<Result<(), StorageError>>>, StorageError> {
        let start = Instant::now();
        let mut group = self.writer.begin();
        let mut replies: Replies = Vec::new();
        let mut close = None;
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(Submission { commit, reply, permit }) = next {
            bytes += commit.weight();
            let outcome = self.writer.apply(&mut group, commit);
            replies.push((reply, outcome, permit));
            if replies.len() >= GROUP_COMMITS_MAX || bytes >= GROUP_BYTES_MAX {
                break;
            }
            next = match self.submissions.try_recv() {
                Ok(Message::Commit(submission)) => Some(submission),
                Ok(Message::Close(reply)) => {
                    close = Some(reply);
                    None
                }
                Err(_) => None,
            };
        }
        if self.injected_fault == InjectedFault::AckBeforeWrite && group.events() > 0 {
            respond(std::mem::take(&mut replies));
            thread::sleep(Duration::from_millis(20));
        }
        let events = group.events();
        let is_synced = group.is_synced();
        let write_start = Instant::now();
        match self.writer.write(&mut group) {
            Ok(()) => {
                let write_time = write_start.elapsed();
                self.make_visible(group, is_synced);
                respond(replies);
                let synced = is_synced.then_some(write_time.as_secs_f64());
                self.metrics.commit(events as u64, start.elapsed().as_secs_f64(), synced);
                Ok(close)
            }
            Err(error) if error.no_space => {
                let ambiguous = CommitError::Ambiguous(error.to_string());
                for (reply, ..) in replies {
                    let _ = reply.send(Err(ambiguous.clone()));
                }
                self.wait_for_space(&error)?;
                Ok(close)
            }
            Err(error) => {
                let ambiguous = CommitError::Ambiguous(error.to_string());
                for (reply, ..) in replies {
                    let _ = reply.send(Err(ambiguous.clone()));
                }
                Err(error)
            }
        }
    }

    fn make_visible(&mut self, group: Group, is_synced: bool) {
        if is_synced {
            self.unsynced.durable_mark.store(true, Ordering::Relaxed);
        } else if !group.is_empty() {
            self.unsynced.log.store(true, Ordering::Relaxed);
        }
        self.writer.make_visible(group);
        self.metrics.position(self.writer.state().position.0);
    }

    /// Waits until the disk has space again: the one failure that is not final. Then the state is
    /// reloaded from the store, because the result of the write is unknown.
    fn wait_for_space(&mut self, error: &StorageError) -> Result<(), StorageError> {
        tracing::error!(%error, "a write failed because the disk is full: waiting for space");
        while self.space.below_reserve().is_some() {
            if let Ok(Message::Commit(Submission { reply, .. })) = self.submissions.try_recv() {
                let available = self.space.available();
                let reserve = self.space.reserve();
                let _ = reply.send(Err(CommitError::StorageFull { available, reserve }));
            } else {
                thread::sleep(SPACE_INTERVAL);
            }
        }
        thread::sleep(SPACE_INTERVAL);
        self.writer.reload()
    }
}

fn respond(replies: Replies) {
    for (reply, outcome, _permit) in replies {
        // The caller was dropped. It can read the result from the log of the topic.
        let _ = reply.send(outcome.map_err(CommitError::from));
    }
}

/// The thread that syncs the writes that the writer does not: the durable mark, and BUFFERED
/// commits.
struct Syncer {
    store: Arc<Store>,
    durable_mark: File,
    unsynced: Arc<Unsynced>,
    health: watch::Sender<Health>,
}

/// Writes that are not synced yet.
#[derive(Debug, Default)]
struct Unsynced {
    /// BUFFERED commits.
    log: AtomicBool,
    /// The durable mark.
    durable_mark: AtomicBool,
}

impl Syncer {
    fn run(self, stopped: &std_mpsc::Receiver<()>) {
        while let Err(std_mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(SYNC_INTERVAL) {
            match self.sync() {
                Ok(()) => {}
                Err(error) if error.no_space => {
                    self.unsynced.log.store(true, Ordering::Relaxed);
                }
                Err(error) => {
                    tracing::error!(%error, "a sync failed: no more commits are accepted");
                    self.health.send_replace(Health::Failed(error.to_string()));
                    return;
                }
            }
        }
    }

    fn sync(&self) -> Result<(), StorageError> {
        if self.unsynced.log.swap(false, Ordering::Relaxed) {
            self.store.sync()?;
        }
        if self.unsynced.durable_mark.swap(false, Ordering::Relaxed) {
            self.durable_mark.sync_data()?;
        }
        Ok(())
    }
}
