//! Requirements of consumers: negotiates and records them.

use std::sync::{Arc, PoisonError, RwLockReadGuard};

use jiff::Timestamp;
use semver::VersionReq;

use super::Registry;
use crate::{
    catalog::Catalog,
    consumer::{
        ConsumerName, ConsumerUpdate, Requirement,
        table::{ConsumerTable, RequirementKey},
    },
    error::{RecordError, StorageError},
    name::SubjectName,
    negotiation::Negotiation,
    schema::SchemaVersion,
};

/// The outcome of the negotiation of one requirement.
#[derive(Debug, Clone)]
pub struct NegotiatedVersion {
    /// The subject.
    pub subject: SubjectName,
    /// The requirement.
    pub requirement: VersionReq,
    /// The version that is delivered. None: no version satisfies the requirement.
    pub schema: Option<Arc<SchemaVersion>>,
    /// The convertible versions, and alternative requirements.
    pub negotiation: Negotiation,
}

impl Catalog {
    /// Negotiates a requirement. No version satisfies a requirement for an unknown subject.
    pub fn negotiate(&self, subject: SubjectName, requirement: VersionReq) -> NegotiatedVersion {
        let registered = self.subject(&subject).ok();
        let negotiation =
            registered.map(|subject| subject.negotiate(&requirement)).unwrap_or_default();
        let delivered = negotiation.delivered.as_ref();
        let schema = registered
            .zip(delivered)
            .and_then(|(subject, version)| subject.versions.get(version))
            .cloned();
        NegotiatedVersion { subject, requirement, schema, negotiation }
    }
}

impl Registry {
    /// Negotiates requirements, without recording them.
    pub fn negotiate(
        &self,
        requirements: Vec<(SubjectName, VersionReq)>,
    ) -> Vec<NegotiatedVersion> {
        let catalog = self.catalog();
        let requirements = requirements.into_iter();
        requirements.map(|(subject, requirement)| catalog.negotiate(subject, requirement)).collect()
    }

    /// Records an update of a consumer, and negotiates its requirements. A change is synced before
    /// this returns; that a stream is still open reaches the disk with the next synced write.
    ///
    /// # Errors
    /// Returns the reason if the update was not recorded.
    pub fn record(
        &self,
        consumer: &ConsumerName,
        update: ConsumerUpdate,
        requirements: Vec<(SubjectName, VersionReq)>,
        now: Timestamp,
    ) -> Result<Vec<NegotiatedVersion>, RecordError> {
        // Does not wait for the writer lock: compilations would delay the start of streams.
        if let Some(reason) = &*self.0.stopped.borrow() {
            return Err(StorageError::Stopped(reason.clone()).into());
        }
        let mut consumers = self.0.consumers.write().unwrap_or_else(PoisonError::into_inner);
        // Negotiated under the lock: a concurrent retirement is either complete, or considers this
        // consumer.
        let negotiated = self.negotiate(requirements);
        let requirement = |negotiated: &NegotiatedVersion| {
            let version = negotiated.schema.as_ref().map(|schema| schema.version.clone());
            (negotiated.subject.clone(), negotiated.requirement.clone(), version)
        };
        let requirements = negotiated.iter().map(requirement).collect();
        let changes = consumers.changes(consumer, update, requirements, now)?;
        let written = self.0.store.commit_consumers(&changes);
        if written.is_ok() {
            consumers.apply(changes, now);
        }
        drop(consumers);
        if let Err(StorageError::Ambiguous(reason)) = &written {
            tracing::error!(reason, "a write failed: the registry accepts no more writes");
            self.0.stopped.send_replace(Some(reason.clone()));
        }
        written?;
        Ok(negotiated)
    }

    /// Lists at most `limit` requirements that match a filter, by consumer, subject and
    /// requirement, after a given one. Returns also whether there are more.
    pub fn list_consumers(
        &self,
        after: Option<&(ConsumerName, RequirementKey)>,
        filter: impl Fn(&Requirement) -> bool,
        limit: usize,
        now: Timestamp,
    ) -> (Vec<Requirement>, bool) {
        let consumers = self.consumers();
        let mut matching = consumers.after(after, now).filter(|requirement| filter(requirement));
        let page = matching.by_ref().take(limit).cloned().collect();
        (page, matching.next().is_some())
    }

    pub(super) fn consumers(&self) -> RwLockReadGuard<'_, ConsumerTable> {
        self.0.consumers.read().unwrap_or_else(PoisonError::into_inner)
    }
}
