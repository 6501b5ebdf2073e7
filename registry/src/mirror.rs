//! What is registered elsewhere, kept true by `WatchRegistry`. Known schemas go on serving while the registry is away.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Status, Streaming, metadata::MetadataMap};

use crate::{
    catalog::Catalog,
    client::Client,
    proto::v1::{GetSubjectRequest, WatchRegistryRequest, WatchRegistryResponse},
    service::revision,
    subject::SubjectName,
};

/// How long the registry has to answer a question that a publisher waits for.
const PATIENCE: Duration = Duration::from_secs(2);
/// A name that was asked for is not asked for again so soon: what is registered meanwhile comes with the watch.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
/// Names whose asking is remembered. Types that nobody registered come from publishers, who may make up any number.
const ASKED_MAX: usize = 10_000;
/// Waits between attempts to reach the registry: the first, doubled up to the last.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The registry cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema registry is away: {0}")]
pub struct RegistryUnavailable(pub String);

/// A copy of a registry that runs elsewhere.
#[derive(Clone)]
pub struct Mirror(Arc<Inner>);

struct Inner {
    client: Client,
    catalog: RwLock<Arc<Catalog>>,
    revision: watch::Sender<u64>,
    /// Why it is away. None: the mirror is as the registry is, but for what is under way.
    away: watch::Sender<Option<String>>,
    /// When a name was asked for last.
    asked: Mutex<HashMap<SubjectName, Instant>>,
}

impl Mirror {
    /// Empty, until it is followed.
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Inner {
            client,
            catalog: RwLock::default(),
            revision: watch::Sender::new(0),
            away: watch::Sender::new(Some("it has not answered yet".into())),
            asked: Mutex::default(),
        }))
    }

    /// Everything that is known to be registered.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts the changes.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.0.revision.subscribe()
    }

    /// Why the registry is away, as that changes. None: it is not.
    pub fn away(&self) -> watch::Receiver<Option<String>> {
        self.0.away.subscribe()
    }

    /// Asks the registry about a name, and waits until the mirror is as far as the answer. Names that were asked for
    /// within the last second are not asked for again.
    ///
    /// # Errors
    /// Where it is away, or takes longer than 2 s.
    pub async fn ask(&self, name: &SubjectName) -> Result<(), RegistryUnavailable> {
        self.there()?;
        if self.asked(name).is_some_and(|asked| asked.elapsed() < ASKED_AGAIN) {
            return Ok(());
        }
        let mut client = self.0.client.clone();
        let asking = client.get_subject(GetSubjectRequest { name: name.to_string() });
        let reached = match patient(asking).await? {
            Ok(answer) => at(answer.metadata()),
            Err(status) if status.code() == Code::NotFound => at(status.metadata()),
            Err(status) => return Err(away(&status)),
        };
        self.reach(reached.unwrap_or(0)).await?;
        self.remember(name);
        Ok(())
    }

    /// Waits until the mirror is at a revision.
    ///
    /// # Errors
    /// Where the registry is away, or that takes longer than 2 s.
    pub async fn reach(&self, revision: u64) -> Result<(), RegistryUnavailable> {
        self.there()?;
        let mut revisions = self.revisions();
        let reached = patient(revisions.wait_for(|reached| *reached >= revision)).await?;
        reached.map(|_| ()).map_err(|_| RegistryUnavailable("nothing follows it any more".into()))
    }

    /// Follows the registry, without end.
    pub async fn follow(self) {
        let mut wait = RETRY.0;
        loop {
            let ended = self.stream(&mut wait).await;
            let was_there = self.0.away.borrow().is_none();
            if was_there {
                tracing::warn!(reason = %ended.0, "the schema registry is away; known schemas go on");
            }
            self.0.away.send_replace(Some(ended.0));
            sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// Takes changes until the stream ends, and says why it did.
    async fn stream(&self, wait: &mut Duration) -> RegistryUnavailable {
        let after = self.catalog().revision;
        let mut client = self.0.client.clone();
        let opening = client.watch_registry(WatchRegistryRequest { after_revision: after });
        let answer = match opening.await {
            Ok(answer) => answer,
            Err(status) => {
                if status.code() == Code::OutOfRange {
                    tracing::error!(
                        after,
                        "the schema registry has fewer changes than it had: it is read anew"
                    );
                    self.publish(Catalog::default());
                }
                return away(&status);
            }
        };
        // Everything up to here was registered before the watch began.
        let there = at(answer.metadata()).unwrap_or(0);
        let mut changes = answer.into_inner();
        let mut next = Catalog::clone(&self.catalog());
        loop {
            if next.revision >= there && self.0.away.borrow().is_some() {
                tracing::info!(revision = next.revision, "the schema registry is there");
                self.0.away.send_replace(None);
                *wait = RETRY.0;
            }
            let change = match changes.message().await {
                Ok(Some(change)) => change,
                Ok(None) => return RegistryUnavailable("it ended the stream of changes".into()),
                Err(status) => return away(&status),
            };
            take(&mut next, change);
            if let Err(ended) = take_waiting(&mut next, &mut changes).await {
                self.publish(next);
                return ended;
            }
            self.publish(next.clone());
        }
    }

    fn there(&self) -> Result<(), RegistryUnavailable> {
        match &*self.0.away.borrow() {
            Some(reason) => Err(RegistryUnavailable(reason.clone())),
            None => Ok(()),
        }
    }

    fn publish(&self, catalog: Catalog) {
        let revision = catalog.revision;
        *self.0.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
        self.0.revision.send_replace(revision);
    }

    fn asked(&self, name: &SubjectName) -> Option<Instant> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    fn remember(&self, name: &SubjectName) {
        let mut asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= ASKED_MAX {
            asked.retain(|_, at| at.elapsed() < ASKED_AGAIN);
        }
        if asked.len() < ASKED_MAX {
            asked.insert(name.clone(), Instant::now());
        }
    }
}

/// Takes what has arrived already, so that a start with many changes makes few catalogs.
async fn take_waiting(
    next: &mut Catalog,
    changes: &mut Streaming<WatchRegistryResponse>,
) -> Result<(), RegistryUnavailable> {
    loop {
        let arrived = tokio::select! {
            biased;
            arrived = changes.message() => arrived,
            () = std::future::ready(()) => return Ok(()),
        };
        match arrived {
            Ok(Some(change)) => take(next, change),
            Ok(None) => return Err(RegistryUnavailable("it ended the stream of changes".into())),
            Err(status) => return Err(away(&status)),
        }
    }
}

async fn patient<T>(work: impl Future<Output = T>) -> Result<T, RegistryUnavailable> {
    let late =
        |_| RegistryUnavailable(format!("it has not answered within {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, work).await.map_err(late)
}

fn away(status: &Status) -> RegistryUnavailable {
    RegistryUnavailable(format!("{}: {}", status.code(), status.message()))
}

fn at(metadata: &MetadataMap) -> Option<u64> {
    revision::of(&metadata.clone().into_headers())
}

/// Takes one change. One that cannot be read is told and left out: what it is about stays unknown.
fn take(catalog: &mut Catalog, change: WatchRegistryResponse) {
    let revision = change.revision;
    if let Err(fault) = catalog.apply(change) {
        tracing::error!(revision, fault, "a change of the schema registry cannot be read");
    }
}
