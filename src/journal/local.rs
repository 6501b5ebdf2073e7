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

/// Commits in a group at most, and their bytes: a group is written in one go, and everybody in it waits for all of it.
const GROUP_COMMITS_MAX: usize = 4096;
const GROUP_BYTES_MAX: usize = 8 << 20;

/// How long a commit waits for room before it is refused.
const ROOM_WAIT: Duration = Duration::from_secs(5);

/// How long BUFFERED commits, and the witness, may be behind the disk.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);

/// How long the writer waits between two looks at a full disk.
const SPACE_INTERVAL: Duration = Duration::from_millis(250);

/// What a user can set.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bytes that wait at most.
    pub waiting_bytes: usize,
    /// Bytes of disk that are kept free.
    pub disk_reserve_bytes: u64,
}

struct Waiting {
    commit: Commit,
    answer: oneshot::Sender<Result<Applied, CommitError>>,
    room: OwnedSemaphorePermit,
}

enum Message {
    Commit(Waiting),
    Close(oneshot::Sender<Result<(), StorageError>>),
}

/// A handle on the journal.
#[derive(Clone)]
pub struct Journal {
    queue: mpsc::UnboundedSender<Message>,
    room: Arc<Semaphore>,
    waiting_bytes: usize,
    space: Arc<Space>,
    health: watch::Receiver<Health>,
}

impl Journal {
    /// Starts the writer's thread.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn start(writer: Writer, options: Options, metrics: Metrics) -> io::Result<Self> {
        let (queue, waiting) = mpsc::unbounded_channel();
        let (health, health_seen) = watch::channel(Health::Serving);
        let directory = writer.store().directory().to_path_buf();
        let space = Arc::new(Space::new(directory, options.disk_reserve_bytes));
        let behind = Arc::new(Behind::default());
        let (stop_syncing, stopped) = std_mpsc::channel();
        let syncer = Syncer {
            store: Arc::clone(writer.store()),
            witness: writer.witness_handle()?,
            behind: Arc::clone(&behind),
            health: health.clone(),
        };
        thread::Builder::new().name("tidings-sync".into()).spawn(move || syncer.run(&stopped))?;
        let owner = Owner {
            writer,
            waiting,
            space: Arc::clone(&space),
            health,
            behind,
            metrics,
            fault: Fault::from_environment(),
            _stop_syncing: stop_syncing,
        };
        thread::Builder::new().name("tidings-writer".into()).spawn(move || owner.run())?;
        Ok(Self {
            queue,
            room: Arc::new(Semaphore::new(options.waiting_bytes)),
            waiting_bytes: options.waiting_bytes,
            space,
            health: health_seen,
        })
    }

    /// Hands in a commit, and waits for what becomes of it. A caller that goes away leaves its commit behind.
    ///
    /// # Errors
    /// Why it has no outcome.
    pub async fn commit(&self, commit: Commit) -> Result<Applied, CommitError> {
        let outcome = self.submit(commit).await?;
        outcome.await
    }

    /// Hands in a commit. Returns when it has its place in the order; what it returns waits for the outcome.
    ///
    /// # Errors
    /// Why it was not tried.
    pub async fn submit(
        &self,
        commit: Commit,
    ) -> Result<impl Future<Output = Result<Applied, CommitError>> + Send + use<>, CommitError>
    {
        if let Health::Failed(reason) = &*self.health.borrow() {
            return Err(CommitError::Stopped(reason.clone()));
        }
        if let Some(available) = self.space.short_of() {
            return Err(CommitError::StorageFull { available, reserve: self.space.reserve() });
        }
        // What is larger than all the room there is waits for all of it.
        let weight = u32::try_from(commit.weight().min(self.waiting_bytes)).unwrap_or(u32::MAX);
        let room = timeout(ROOM_WAIT, Arc::clone(&self.room).acquire_many_owned(weight))
            .await
            .map_err(|_| CommitError::Overloaded(self.waiting_bytes))?
            .map_err(|_| CommitError::Stopped("it is closed".into()))?;
        let (answer, outcome) = oneshot::channel();
        self.queue
            .send(Message::Commit(Waiting { commit, answer, room }))
            .map_err(|_| CommitError::Stopped(self.reason()))?;
        let health = self.health.clone();
        Ok(async move {
            match outcome.await {
                Ok(outcome) => outcome,
                // The writer dropped it without an answer: it has failed.
                Err(_) => Err(CommitError::Ambiguous(reason(&health))),
            }
        })
    }

    /// Finishes what waits, puts everything on disk and stops.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn close(&self) -> Result<(), StorageError> {
        let (answer, closed) = oneshot::channel();
        let failed = || StorageError { message: self.reason(), no_space: false, corrupt: false };
        self.queue.send(Message::Close(answer)).map_err(|_| failed())?;
        closed.await.unwrap_or_else(|_| Err(failed()))
    }

    /// Follows how it is.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Bytes of disk that are available.
    pub fn disk_available(&self) -> u64 {
        self.space.available()
    }

    /// Bytes that wait now.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.saturating_sub(self.room.available_permits())
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

/// A rule that a test breaks on purpose, to see that the test notices. Only in builds with debug assertions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Answers before the group is written, and writes it 20 ms later.
    AckBeforeWrite,
}

impl Fault {
    fn from_environment() -> Self {
        if cfg!(debug_assertions)
            && std::env::var("TIDINGS_FAULT").is_ok_and(|fault| fault == "ack-before-write")
        {
            tracing::warn!("answers come before writes: acknowledged events may be lost");
            return Self::AckBeforeWrite;
        }
        Self::None
    }
}

type Answers = Vec<(
    oneshot::Sender<Result<Applied, CommitError>>,
    Result<Applied, Rejected>,
    OwnedSemaphorePermit,
)>;

/// The thread that writes. It owns the writer; everybody else holds a handle.
struct Owner {
    writer: Writer,
    waiting: mpsc::UnboundedReceiver<Message>,
    space: Arc<Space>,
    health: watch::Sender<Health>,
    behind: Arc<Behind>,
    metrics: Metrics,
    fault: Fault,
    _stop_syncing: std_mpsc::Sender<()>,
}

impl Owner {
    fn run(mut self) {
        while let Some(message) = self.waiting.blocking_recv() {
            let close = match message {
                Message::Commit(first) => match self.group(first) {
                    Ok(close) => close,
                    Err(error) => {
                        tracing::error!(%error, "a write failed: nothing is taken any more");
                        self.health.send_replace(Health::Failed(error.to_string()));
                        // What waits is dropped, which tells everybody.
                        return;
                    }
                },
                Message::Close(answer) => Some(answer),
            };
            if let Some(answer) = close {
                let closed = self.writer.close();
                if let Err(error) = &closed {
                    tracing::error!(%error, "the store was not closed in order");
                }
                // The store is let go of before the answer, so that who waits may open it again.
                drop(self);
                let _ = answer.send(closed);
                return;
            }
        }
    }

    /// Writes one group; returns who wants the journal closed behind it.
    fn group(
        &mut self,
        first: Waiting,
    ) -> Result<Option<oneshot::Sender<Result<(), StorageError>>>, StorageError> {
        let start = Instant::now();
        let mut group = self.writer.begin();
        let mut answers: Answers = Vec::new();
        let mut close = None;
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(Waiting { commit, answer, room }) = next {
            bytes += commit.weight();
            let outcome = self.writer.apply(&mut group, commit);
            answers.push((answer, outcome, room));
            if answers.len() >= GROUP_COMMITS_MAX || bytes >= GROUP_BYTES_MAX {
                break;
            }
            next = match self.waiting.try_recv() {
                Ok(Message::Commit(waiting)) => Some(waiting),
                Ok(Message::Close(answer)) => {
                    close = Some(answer);
                    None
                }
                Err(_) => None,
            };
        }
        if self.fault == Fault::AckBeforeWrite && group.events() > 0 {
            respond(std::mem::take(&mut answers));
            thread::sleep(Duration::from_millis(20));
        }
        let events = group.events();
        let is_synced = group.is_synced();
        let writing = Instant::now();
        match self.writer.write(&mut group) {
            Ok(()) => {
                let wrote = writing.elapsed();
                self.show(group, is_synced);
                respond(answers);
                let synced = is_synced.then_some(wrote.as_secs_f64());
                self.metrics.commit(events as u64, start.elapsed().as_secs_f64(), synced);
                Ok(close)
            }
            Err(error) if error.no_space => {
                let told = CommitError::Ambiguous(error.to_string());
                for (answer, ..) in answers {
                    let _ = answer.send(Err(told.clone()));
                }
                self.wait_for_space(&error)?;
                Ok(close)
            }
            Err(error) => {
                let told = CommitError::Ambiguous(error.to_string());
                for (answer, ..) in answers {
                    let _ = answer.send(Err(told.clone()));
                }
                Err(error)
            }
        }
    }

    fn show(&mut self, group: Group, is_synced: bool) {
        if is_synced {
            self.behind.witness.store(true, Ordering::Relaxed);
        } else if !group.is_empty() {
            self.behind.log.store(true, Ordering::Relaxed);
        }
        self.writer.show(group);
        self.metrics.position(self.writer.state().position.0);
    }

    /// The one failure that passes: the tail is read again from the store, and writing goes on when there is space.
    fn wait_for_space(&mut self, error: &StorageError) -> Result<(), StorageError> {
        tracing::error!(%error, "a write met a full disk: waiting for space");
        while self.space.short_of().is_some() {
            if let Ok(Message::Commit(Waiting { answer, .. })) = self.waiting.try_recv() {
                let available = self.space.available();
                let reserve = self.space.reserve();
                let _ = answer.send(Err(CommitError::StorageFull { available, reserve }));
            } else {
                thread::sleep(SPACE_INTERVAL);
            }
        }
        thread::sleep(SPACE_INTERVAL);
        self.writer.reload()
    }
}

fn respond(answers: Answers) {
    for (answer, outcome, _room) in answers {
        // Whoever went away will see it in the log of the topic.
        let _ = answer.send(outcome.map_err(CommitError::from));
    }
}

/// The thread that syncs what the writer leaves unsynced: the witness, and BUFFERED commits.
struct Syncer {
    store: Arc<Store>,
    witness: File,
    behind: Arc<Behind>,
    health: watch::Sender<Health>,
}

/// What the writer left unsynced.
#[derive(Debug, Default)]
struct Behind {
    /// BUFFERED commits.
    log: AtomicBool,
    /// The witness of synced ones.
    witness: AtomicBool,
}

impl Syncer {
    fn run(self, stopped: &std_mpsc::Receiver<()>) {
        while let Err(std_mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(SYNC_INTERVAL) {
            match self.sync() {
                Ok(()) => {}
                Err(error) if error.no_space => {
                    self.behind.log.store(true, Ordering::Relaxed);
                }
                Err(error) => {
                    tracing::error!(%error, "a sync failed: nothing is taken any more");
                    self.health.send_replace(Health::Failed(error.to_string()));
                    return;
                }
            }
        }
    }

    fn sync(&self) -> Result<(), StorageError> {
        if self.behind.log.swap(false, Ordering::Relaxed) {
            self.store.sync()?;
        }
        if self.behind.witness.swap(false, Ordering::Relaxed) {
            self.witness.sync_data()?;
        }
        Ok(())
    }
}
