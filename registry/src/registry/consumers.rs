//! Consumers: what they say, and who they are.

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
    negotiation::Negotiated,
    schema::SchemaVersion,
    subject::SubjectName,
};

/// A requirement, and what becomes of it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Of what.
    pub subject: SubjectName,
    /// What was asked for.
    pub requirement: VersionReq,
    /// What is delivered; None where nothing satisfies it.
    pub schema: Option<Arc<SchemaVersion>>,
    /// What can be converted to it, and what else could be asked for.
    pub negotiated: Negotiated,
}

impl Catalog {
    /// What becomes of a requirement. Nothing satisfies one of a subject that is not there.
    pub fn negotiate(&self, subject: SubjectName, requirement: VersionReq) -> Answer {
        let there = self.subject(&subject).ok();
        let negotiated = there.map(|it| it.negotiate(&requirement)).unwrap_or_default();
        let delivered = negotiated.delivered.as_ref();
        let schema = there.zip(delivered).and_then(|(it, version)| it.versions.get(version));
        Answer { schema: schema.cloned(), subject, requirement, negotiated }
    }
}

impl Registry {
    /// What becomes of requirements. Nothing is recorded.
    pub fn negotiate(&self, needs: Vec<(SubjectName, VersionReq)>) -> Vec<Answer> {
        let catalog = self.catalog();
        needs.into_iter().map(|(subject, it)| catalog.negotiate(subject, it)).collect()
    }

    /// Takes a consumer's word, and answers what becomes of its requirements. It is on disk before it is answered where it
    /// is news; that a stream is still open is on disk when something else is.
    ///
    /// # Errors
    /// Why it was not recorded.
    pub fn record(
        &self,
        consumer: &ConsumerName,
        word: ConsumerUpdate,
        needs: Vec<(SubjectName, VersionReq)>,
        now: Timestamp,
    ) -> Result<Vec<Answer>, RecordError> {
        // Not waiting for whoever compiles and writes: streams would begin late.
        if let Some(reason) = &*self.0.stopped.borrow() {
            return Err(StorageError::Stopped(reason.clone()).into());
        }
        let mut book = self.0.consumers.write().unwrap_or_else(PoisonError::into_inner);
        // Behind the lock: a version that is being retired is retired by now, or this consumer is asked about first.
        let answers = self.negotiate(needs);
        let negotiated = |it: &Answer| {
            let version = it.schema.as_ref().map(|it| it.version.clone());
            (it.subject.clone(), it.requirement.clone(), version)
        };
        let entries =
            book.entries(consumer, word, answers.iter().map(negotiated).collect(), now)?;
        let written = self.0.store.remember(&entries);
        if written.is_ok() {
            book.take(entries, now);
        }
        drop(book);
        if let Err(StorageError::Ambiguous(reason)) = &written {
            tracing::error!(reason, "a write failed: nothing is written any more");
            self.0.stopped.send_replace(Some(reason.clone()));
        }
        written?;
        Ok(answers)
    }

    /// Consumers that are known, by name, subject and requirement, behind a place; at most so many, and whether there are
    /// more.
    pub fn list_consumers(
        &self,
        behind: Option<&(ConsumerName, RequirementKey)>,
        of: impl Fn(&Requirement) -> bool,
        limit: usize,
        now: Timestamp,
    ) -> (Vec<Requirement>, bool) {
        let book = self.consumers();
        let mut needs = book.behind(behind, now).filter(|it| of(it));
        let page = needs.by_ref().take(limit).cloned().collect();
        (page, needs.next().is_some())
    }

    pub(super) fn consumers(&self) -> RwLockReadGuard<'_, ConsumerTable> {
        self.0.consumers.read().unwrap_or_else(PoisonError::into_inner)
    }
}
