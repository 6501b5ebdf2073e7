//! A copy of a remote registry, kept current by `WatchRegistry`. Known schemas can be used while
//! the registry is unavailable.

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
    name::SubjectName,
    proto::v1::{GetSubjectRequest, WatchRegistryRequest, WatchRegistryResponse},
    service::revision,
};

/// How long the registry has to respond to a lookup that a publisher waits for.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a name is not looked up again. A later registration arrives with the watch.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(1);
/// Limits the names whose lookups are remembered. Publishers send unregistered types, and may make
/// up any number of them.
const LOOKUPS_MAX: usize = 10_000;
/// The first and the longest wait between attempts to reach the registry. The wait doubles each
/// time.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The registry is unavailable, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema registry is unavailable: {0}")]
pub struct RegistryUnavailable(pub String);

/// A copy of a remote registry.
#[derive(Clone)]
pub struct Mirror(Arc<Inner>);

struct Inner {
    client: Client,
    catalog: RwLock<Arc<Catalog>>,
    revision: watch::Sender<u64>,
    /// Why the registry is unavailable. None: it is available, and the mirror is current except for
    /// changes in transit.
    unavailable: watch::Sender<Option<String>>,
    /// The time of the last lookup of each name.
    lookups: Mutex<HashMap<SubjectName, Instant>>,
}

impl Mirror {
    /// Creates an empty mirror. [`Self::follow`] fills it.
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Inner {
            client,
            catalog: RwLock::default(),
            revision: watch::Sender::new(0),
            unavailable: watch::Sender::new(Some("it has not responded yet".into())),
            lookups: Mutex::default(),
        }))
    }

    /// Returns the newest known snapshot of the registry.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns a receiver of the newest known revision.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.0.revision.subscribe()
    }

    /// Returns a receiver of the reason why the registry is unavailable. None: it is available.
    pub fn unavailable(&self) -> watch::Receiver<Option<String>> {
        self.0.unavailable.subscribe()
    }

    /// Looks up a name in the registry, and waits until the mirror has reached the revision of the
    /// response. Does nothing for a name that was looked up within the last second.
    ///
    /// # Errors
    /// Returns an error if the registry is unavailable, or does not respond within 2 s.
    pub async fn look_up(&self, name: &SubjectName) -> Result<(), RegistryUnavailable> {
        self.check_available()?;
        if self.last_lookup(name).is_some_and(|time| time.elapsed() < LOOKUP_INTERVAL) {
            return Ok(());
        }
        let mut client = self.0.client.clone();
        let response = client.get_subject(GetSubjectRequest { name: name.to_string() });
        let revision = match within_timeout(response).await? {
            Ok(response) => revision_of(response.metadata()),
            Err(status) if status.code() == Code::NotFound => revision_of(status.metadata()),
            Err(status) => return Err(unavailable(&status)),
        };
        self.wait_for_revision(revision.unwrap_or(0)).await?;
        self.record_lookup(name);
        Ok(())
    }

    /// Waits until the mirror has reached a revision.
    ///
    /// # Errors
    /// Returns an error if the registry is unavailable, or if this takes longer than 2 s.
    pub async fn wait_for_revision(&self, revision: u64) -> Result<(), RegistryUnavailable> {
        self.check_available()?;
        let mut revisions = self.revisions();
        let reached = within_timeout(revisions.wait_for(|reached| *reached >= revision)).await?;
        reached.map(|_| ()).map_err(|_| RegistryUnavailable("the mirror has stopped".into()))
    }

    /// Copies the changes of the registry. Never returns.
    pub async fn follow(self) {
        let mut wait = RETRY.0;
        loop {
            let RegistryUnavailable(reason) = self.stream(&mut wait).await;
            let was_available = self.0.unavailable.borrow().is_none();
            if was_available {
                tracing::warn!(
                    %reason,
                    "the schema registry is unavailable; known schemas are still used"
                );
            }
            self.0.unavailable.send_replace(Some(reason));
            sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// Applies changes until the stream ends, and returns why it ended.
    async fn stream(&self, wait: &mut Duration) -> RegistryUnavailable {
        let after = self.catalog().revision;
        let mut client = self.0.client.clone();
        let opening = client.watch_registry(WatchRegistryRequest { after_revision: after });
        let response = match opening.await {
            Ok(response) => response,
            Err(status) => {
                if status.code() == Code::OutOfRange {
                    tracing::error!(
                        after,
                        "the schema registry has fewer changes than before: the mirror starts over"
                    );
                    self.publish(Catalog::default());
                }
                return unavailable(&status);
            }
        };
        // The mirror is current once it has reached the revision at which the watch began.
        let current = revision_of(response.metadata()).unwrap_or(0);
        let mut changes = response.into_inner();
        let mut next = Catalog::clone(&self.catalog());
        loop {
            if next.revision >= current && self.0.unavailable.borrow().is_some() {
                tracing::info!(revision = next.revision, "the schema registry is available");
                self.0.unavailable.send_replace(None);
                *wait = RETRY.0;
            }
            let change = match changes.message().await {
                Ok(Some(change)) => change,
                Ok(None) => return RegistryUnavailable("it ended the stream of changes".into()),
                Err(status) => return unavailable(&status),
            };
            apply(&mut next, change);
            if let Err(ended) = apply_received(&mut next, &mut changes).await {
                self.publish(next);
                return ended;
            }
            self.publish(next.clone());
        }
    }

    fn check_available(&self) -> Result<(), RegistryUnavailable> {
        match &*self.0.unavailable.borrow() {
            Some(reason) => Err(RegistryUnavailable(reason.clone())),
            None => Ok(()),
        }
    }

    fn publish(&self, catalog: Catalog) {
        let revision = catalog.revision;
        *self.0.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
        self.0.revision.send_replace(revision);
    }

    fn last_lookup(&self, name: &SubjectName) -> Option<Instant> {
        self.0.lookups.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    fn record_lookup(&self, name: &SubjectName) {
        let mut lookups = self.0.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if lookups.len() >= LOOKUPS_MAX {
            lookups.retain(|_, time| time.elapsed() < LOOKUP_INTERVAL);
        }
        if lookups.len() < LOOKUPS_MAX {
            lookups.insert(name.clone(), Instant::now());
        }
    }
}

/// Applies all received changes, so that a start with many changes builds few catalogs.
async fn apply_received(
    next: &mut Catalog,
    changes: &mut Streaming<WatchRegistryResponse>,
) -> Result<(), RegistryUnavailable> {
    loop {
        let received = tokio::select! {
            biased;
            received = changes.message() => received,
            () = std::future::ready(()) => return Ok(()),
        };
        match received {
            Ok(Some(change)) => apply(next, change),
            Ok(None) => return Err(RegistryUnavailable("it ended the stream of changes".into())),
            Err(status) => return Err(unavailable(&status)),
        }
    }
}

async fn within_timeout<T>(work: impl Future<Output = T>) -> Result<T, RegistryUnavailable> {
    let seconds = LOOKUP_TIMEOUT.as_secs();
    let late = |_| RegistryUnavailable(format!("it has not responded within {seconds} s"));
    timeout(LOOKUP_TIMEOUT, work).await.map_err(late)
}

fn unavailable(status: &Status) -> RegistryUnavailable {
    RegistryUnavailable(format!("{}: {}", status.code(), status.message()))
}

fn revision_of(metadata: &MetadataMap) -> Option<u64> {
    revision::of(&metadata.clone().into_headers())
}

/// Applies one change. An unreadable change is logged and skipped: its subject or version stays
/// unknown.
fn apply(catalog: &mut Catalog, change: WatchRegistryResponse) {
    let revision = change.revision;
    if let Err(fault) = catalog.apply(change) {
        tracing::error!(revision, fault, "a change of the schema registry cannot be read");
    }
}
