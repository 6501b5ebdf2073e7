//! The domain: admission of events, delivery to readers, and their positions. It does not know gRPC
//! or RocksDB.

pub mod cel;
mod consumer;
mod conversion;
pub mod error;
mod filter;
mod gate;
mod merge;
pub mod negotiation;
mod payloads;
pub mod publish;
pub mod read;
mod retention;
mod source;
pub mod start;
pub mod subscribe;
pub mod topics;

use std::{sync::Arc, time::Duration};

use tidings_registry::{catalog::Catalog, schema::SchemaVersion, schemas::Schemas};
use tidings_schema::schema::Schema;
use tokio_util::sync::CancellationToken;

use crate::{
    journal::Journal,
    model::{
        cursor::ServerId,
        name::{TopicName, TopicPattern},
        numbers::AppendTime,
    },
    store::{Store, topics::Topic},
    telemetry::Metrics,
};
use consumer::Consumers;
use conversion::ConversionCache;
use error::TopicNotFound;
pub use filter::EventFilter;
use gate::Gate;
use payloads::Payloads;

/// Types of the layers below that callers of the broker see.
pub use crate::{
    journal::CommitError,
    store::{ReadError, read::Direction, tail::ReadLimit},
};

/// Settings of the broker.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest event, in bytes of its recorded form.
    pub event_bytes_max: usize,
    /// Whether the first publish to a topic creates it.
    pub auto_create_topics: bool,
    /// Interval of heartbeats on an idle stream, unless the request sets one.
    pub heartbeat_interval: Duration,
    /// Interval at which retention checks all topics.
    pub retention_interval: Duration,
}

/// Source of the current time.
pub type Clock = fn() -> AppendTime;

/// A handle on the domain.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<Store>,
    journal: Journal,
    limits: Limits,
    clock: Clock,
    metrics: Metrics,
    schemas: Option<Schemas>,
    gate: Gate,
    conversions: Arc<ConversionCache>,
    consumers: Consumers,
    /// Cancelled when streams must end.
    draining: CancellationToken,
}

impl Broker {
    /// Creates a broker over a store, the journal that writes it, and the registry. None: the
    /// server has no registry.
    pub fn new(
        store: Arc<Store>,
        journal: Journal,
        limits: Limits,
        clock: Clock,
        metrics: Metrics,
        schemas: Option<Schemas>,
    ) -> Self {
        let draining = CancellationToken::new();
        let gate = Gate::new(schemas.clone(), metrics.clone());
        let conversions = Arc::new(ConversionCache::new());
        let inner = Inner {
            store,
            journal,
            limits,
            clock,
            metrics,
            schemas,
            gate,
            conversions,
            consumers: Consumers::default(),
            draining,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Ends all streams and rejects new publishes.
    pub fn drain(&self) {
        self.inner.draining.cancel();
    }

    /// Whether streams are ending.
    pub fn is_draining(&self) -> bool {
        self.inner.draining.is_cancelled()
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// The identity of the server, as it is encoded in cursors.
    pub fn server(&self) -> ServerId {
        self.store().server()
    }

    /// The settings.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The schema version with an id. None: the id is 0, or the version is unknown.
    pub fn schema_version(&self, id: u32) -> Option<Arc<SchemaVersion>> {
        (id != 0).then(|| self.inner.schemas.as_ref()?.written(id).ok()?).flatten()
    }

    /// The parsed schema with an id. None: the version is unknown, or does not parse.
    pub fn schema(&self, id: u32) -> Option<Arc<Schema>> {
        let schema_version = self.schema_version(id)?;
        self.inner.schemas.as_ref()?.catalog().parsed(&schema_version).ok()
    }

    /// The known part of the registry. None: the server has no registry.
    pub fn catalog(&self) -> Option<Arc<Catalog>> {
        self.inner.schemas.as_ref().map(Schemas::catalog)
    }

    /// The decoder of payloads for expressions.
    fn payloads(&self) -> Payloads {
        Payloads::new(self.inner.schemas.clone(), self.inner.metrics.clone())
    }

    fn store(&self) -> &Arc<Store> {
        &self.inner.store
    }

    fn now(&self) -> AppendTime {
        (self.inner.clock)()
    }

    /// The topic with a name.
    fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, TopicNotFound> {
        self.store().catalog().get(name.as_str()).ok_or_else(|| self.not_found(name.as_str()))
    }

    fn not_found(&self, name: &str) -> TopicNotFound {
        // 0.75: a letter or two differ. Below that, a suggestion would be a guess.
        let topics = self.store().catalog().all();
        let suggestion = topics
            .keys()
            .filter(|other| !other.is_internal())
            .map(|other| (strsim::jaro_winkler(name, other.as_str()), other))
            .filter(|(similarity, _)| *similarity > 0.75)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, other)| other.to_string());
        TopicNotFound { topic: name.into(), suggestion }
    }

    /// The topics that are named or match. Named topics must exist.
    fn resolve(&self, patterns: &[TopicPattern]) -> Result<Vec<Arc<Topic>>, TopicNotFound> {
        let all = self.store().catalog().all();
        for pattern in patterns {
            if let TopicPattern::Name(name) = pattern
                && !all.contains_key(name)
            {
                return Err(self.not_found(name.as_str()));
            }
        }
        Ok(all
            .values()
            .filter(|topic| patterns.iter().any(|pattern| pattern.matches(&topic.name)))
            .cloned()
            .collect())
    }
}
