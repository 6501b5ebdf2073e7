//! The domain: what is admitted, who gets what from where, how far each reader is. Knows neither gRPC nor RocksDB.

pub mod cel;
mod consumer;
mod conversion;
pub mod error;
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
mod wanted;

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
use conversion::Conversions;
use error::TopicNotFound;
use gate::Gate;
use payloads::Payloads;
pub use wanted::Wanted;

/// What the broker's callers see of the rooms below it.
pub use crate::{
    journal::CommitError,
    store::{ReadError, read::Way, tail::Bounds},
};

/// What a user can set.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest event, in bytes of its recorded form.
    pub event_bytes_max: usize,
    /// Topics are made by the first publish to them.
    pub auto_create_topics: bool,
    /// How often a quiet stream says that it is alive, where its reader does not say otherwise.
    pub heartbeat_interval: Duration,
    /// How often retention looks for what is to go.
    pub retention_interval: Duration,
}

/// Where time comes from.
pub type Clock = fn() -> AppendTime;

/// A handle on the domain.
#[derive(Clone)]
pub struct Broker {
    parts: Arc<Parts>,
}

struct Parts {
    store: Arc<Store>,
    journal: Journal,
    limits: Limits,
    clock: Clock,
    metrics: Metrics,
    schemas: Option<Schemas>,
    gate: Gate,
    conversions: Arc<Conversions>,
    consumers: Consumers,
    /// Streams are asked to end.
    draining: CancellationToken,
}

impl Broker {
    /// Over a store and the journal that writes it, and what is registered. None: this server has no registry.
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
        let conversions = Arc::new(Conversions::new());
        let parts = Parts {
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
        Self { parts: Arc::new(parts) }
    }

    /// Asks every stream to end, and refuses new publishes.
    pub fn drain(&self) {
        self.parts.draining.cancel();
    }

    /// Whether streams are asked to end.
    pub fn is_draining(&self) -> bool {
        self.parts.draining.is_cancelled()
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.parts.journal
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }

    /// Which server this is, as cursors have it.
    pub fn server(&self) -> ServerId {
        self.store().server()
    }

    /// What a user can set.
    pub fn limits(&self) -> &Limits {
        &self.parts.limits
    }

    /// The version that an event was written with, by the schema's id. None: it has none, or it is not known here.
    pub fn written(&self, id: u32) -> Option<Arc<SchemaVersion>> {
        (id != 0).then(|| self.parts.schemas.as_ref()?.written(id).ok()?).flatten()
    }

    /// The parsed form of that version. None: it is not known here, or cannot be read any more.
    pub fn schema(&self, id: u32) -> Option<Arc<Schema>> {
        let registered = self.written(id)?;
        self.parts.schemas.as_ref()?.catalog().parsed(&registered).ok()
    }

    /// Everything that is registered, as far as it is known here. None: this server runs without a
    /// registry.
    pub fn registered(&self) -> Option<Arc<Catalog>> {
        self.parts.schemas.as_ref().map(Schemas::catalog)
    }

    /// How expressions see payloads.
    fn payloads(&self) -> Payloads {
        Payloads::new(self.parts.schemas.clone(), self.parts.metrics.clone())
    }

    fn store(&self) -> &Arc<Store> {
        &self.parts.store
    }

    fn now(&self) -> AppendTime {
        (self.parts.clock)()
    }

    /// A topic by name.
    fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, TopicNotFound> {
        self.store().catalog().get(name.as_str()).ok_or_else(|| self.not_found(name.as_str()))
    }

    fn not_found(&self, name: &str) -> TopicNotFound {
        // 0.75: a letter or two off. What is further away would be a guess.
        let topics = self.store().catalog().all();
        let nearest = topics
            .keys()
            .filter(|other| !other.is_internal())
            .map(|other| (strsim::jaro_winkler(name, other.as_str()), other))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, other)| other.to_string());
        TopicNotFound { topic: name.into(), nearest }
    }

    /// Topics that are named or matched. Named ones have to exist.
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
