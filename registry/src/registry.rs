//! The registry: one writer at a time, readers on snapshots.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use jiff::Timestamp;
use semver::Version;
use tokio::sync::watch;

use crate::{
    catalog::{
        Catalog,
        impact::{self, versions_of},
        plan::{Decision, Draft, Planned},
    },
    consumer::table::ConsumerTable,
    convert::timestamp,
    error::{Damaged, OpenError, Refusal, StorageError, WriteError},
    impact::Affected,
    name::SubjectName,
    proto::v1::{self, watch_registry_response::Change},
    schema::{SchemaVersion, State},
    store::{Commit, Quarantined, Store},
    subject::{Settings, Subject},
};
use tidings_schema::version::Selector;

pub mod consumers;
mod verify;

/// A handle to the registry. Its methods use the processor and the disk: call them on blocking
/// threads.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    store: Store,
    catalog: RwLock<Arc<Catalog>>,
    /// Read-locked from the computation of affected consumers until the change is on disk. So an
    /// update of a consumer in between is negotiated with the changed versions.
    consumers: RwLock<ConsumerTable>,
    /// Held by a writer from the plan until the write is on disk.
    writer: Mutex<()>,
    /// The reason why writes are stopped. None: they are not.
    stopped: watch::Sender<Option<String>>,
    revision: watch::Sender<u64>,
    quarantined: Vec<Quarantined>,
}

/// The result of an apply, or of its plan.
#[derive(Debug)]
pub struct Applied {
    /// One plan for each draft, in the order of the drafts.
    pub planned: Vec<Planned>,
    /// The revision after the apply, or the revision of the plan.
    pub revision: u64,
}

impl Registry {
    /// Opens or creates the registry of a directory.
    ///
    /// # Errors
    /// Returns an error if nothing can be served from the directory.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let (store, catalog, consumers, quarantined) = Store::open(directory)?;
        for Quarantined { item, reason } in &quarantined {
            tracing::error!(item, reason, "quarantined: the row cannot be read");
        }
        tracing::info!(
            directory = %directory.display(),
            schemas = catalog.len(),
            revision = catalog.revision,
            "registry opened"
        );
        Ok(Self(Arc::new(Inner {
            store,
            revision: watch::Sender::new(catalog.revision),
            catalog: RwLock::new(Arc::new(catalog)),
            consumers: RwLock::new(consumers),
            writer: Mutex::new(()),
            stopped: watch::Sender::new(None),
            quarantined,
        })))
    }

    /// Returns a snapshot of the registry at the current revision.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns a receiver of the current revision.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.0.revision.subscribe()
    }

    /// Returns a receiver of the reason why writes are stopped, which is set when a write fails.
    /// Reads continue; a restart enables writes again.
    pub fn stopped(&self) -> watch::Receiver<Option<String>> {
        self.0.stopped.subscribe()
    }

    /// Returns the rows that the start quarantined.
    pub fn quarantined(&self) -> &[Quarantined] {
        &self.0.quarantined
    }

    /// Reads at most `limit` changes after a revision.
    ///
    /// # Errors
    /// Returns an error if a change cannot be read.
    pub fn changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<v1::WatchRegistryResponse>, Damaged> {
        self.0.store.changes(after, limit)
    }

    /// Plans drafts one after the other. Refused drafts are part of the result. If the plan is
    /// forced, no draft is refused because of affected consumers.
    ///
    /// # Errors
    /// Returns an error if the drafts reference each other in a cycle.
    pub fn plan(
        &self,
        drafts: &[Draft],
        is_forced: bool,
        now: Timestamp,
    ) -> Result<Applied, WriteError> {
        let catalog = self.catalog();
        let (planned, _) = plan(&catalog, drafts, &self.consumers(), is_forced, now)?;
        Ok(Applied { planned, revision: catalog.revision })
    }

    /// Plans one draft against a catalog.
    pub fn check(&self, catalog: &Catalog, draft: &Draft, now: Timestamp) -> Planned {
        catalog.plan(draft, &self.consumers(), false, now)
    }

    /// Registers all drafts or none. `force` is the reason to register drafts that affect
    /// consumers.
    ///
    /// # Errors
    /// Returns the reason if no draft is registered.
    pub fn apply(
        &self,
        drafts: &[Draft],
        expected_revision: Option<u64>,
        force: Option<&str>,
        now: Timestamp,
    ) -> Result<Applied, WriteError> {
        let writer = self.writer()?;
        let catalog = self.catalog();
        if let Some(expected) = expected_revision
            && expected != catalog.revision
        {
            return Err(WriteError::RevisionMoved { expected, actual: catalog.revision });
        }
        let (mut planned, mut next) =
            plan(&catalog, drafts, &self.consumers(), force.is_some(), now)?;
        for draft in &planned {
            if let (Some(reason), Decision::Register(schema)) = (force, &draft.decision) {
                next.record_force(schema.id, reason, &draft.impact.affected);
            }
        }
        let is_refused = |draft: &Planned| matches!(draft.decision, Decision::Refused(_));
        if planned.iter().any(is_refused) {
            let decisions = planned.drain(..).map(|draft| draft.decision).enumerate();
            let refusals = decisions.filter_map(|(index, decision)| match decision {
                Decision::Refused(refusal) => Some((index, refusal)),
                Decision::AlreadyRegistered(_) | Decision::Register(_) => None,
            });
            return Err(WriteError::Refused(refusals.collect()));
        }
        let revision = next.catalog.revision;
        self.commit(&writer, next)?;
        Ok(Applied { planned, revision })
    }

    /// Changes the settings of a subject.
    ///
    /// # Errors
    /// Returns the reason if nothing is changed.
    pub fn update_subject(
        &self,
        name: &SubjectName,
        etag: Option<&str>,
        now: Timestamp,
        change: impl FnOnce(&mut Settings),
    ) -> Result<Arc<Subject>, WriteError> {
        let writer = self.writer()?;
        let catalog = self.catalog();
        let mut subject = Subject::clone(catalog.subject(name)?);
        check_etag(&subject, etag)?;
        change(&mut subject.settings);
        let faults = subject.settings.faults();
        if !faults.is_empty() {
            return Err(WriteError::Invalid(faults));
        }
        let mut next = Next::new(&catalog);
        next.subject(subject, now, |subject| Change::SubjectUpdated(subject.into()));
        self.commit(&writer, next)?;
        Ok(Arc::clone(self.catalog().subject(name)?))
    }

    /// Deletes a subject. Its schemas are still served by id, and its versions are never reused.
    /// `force` is the reason to affect consumers.
    ///
    /// # Errors
    /// Returns the reason if nothing is deleted.
    pub fn delete_subject(
        &self,
        name: &SubjectName,
        etag: Option<&str>,
        force: Option<&str>,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        let writer = self.writer()?;
        let catalog = self.catalog();
        let mut subject = Subject::clone(catalog.subject(name)?);
        check_etag(&subject, etag)?;
        let referrers = catalog.referrers(&subject);
        if !referrers.is_empty() {
            let by = referrers.iter();
            let by = by.map(|schema| format!("{} {}", schema.subject, schema.version)).collect();
            return Err(WriteError::StillReferenced { subject: name.to_string(), by });
        }
        let consumers = self.consumers();
        let before = &subject;
        let change =
            impact::Change { catalog: &catalog, before, after: Vec::new(), proposed: None };
        let affected = change.affected(&consumers, now);
        if force.is_none() && !affected.is_empty() {
            return Err(WriteError::AffectsConsumers(affected));
        }
        subject.deleted = true;
        subject.ids_before = catalog.last_id;
        let versions = subject.versions.keys().chain(subject.unreadable.keys());
        let highest = versions.map(|version| version.major).max();
        subject.major_before = subject.major_before.max(highest);
        subject.versions.clear();
        subject.unreadable.clear();
        let mut next = Next::new(&catalog);
        next.subject(subject, now, |subject| Change::SubjectDeleted(subject.name.to_string()));
        next.record_force_of_last(force, &affected);
        self.commit(&writer, next)
    }

    /// Deprecates, retires or reactivates a version. `force` is the reason to affect consumers.
    ///
    /// # Errors
    /// Returns the reason if nothing is changed.
    pub fn set_state(
        &self,
        name: &SubjectName,
        version: &Version,
        state: State,
        deprecation: &str,
        force: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<SchemaVersion>, WriteError> {
        let writer = self.writer()?;
        let catalog = self.catalog();
        let selector = Selector::Exactly(version.clone());
        let schema = catalog.version(name, &selector, &version.to_string())?;
        if schema.state == state && schema.deprecation == deprecation {
            return Ok(Arc::clone(schema));
        }
        let schema = Arc::new(SchemaVersion {
            state,
            deprecation: deprecation.into(),
            ..SchemaVersion::clone(schema)
        });
        let before = catalog.subject(name)?;
        let mut subject = Subject::clone(before);
        subject.versions.insert(version.clone(), Arc::clone(&schema));
        let consumers = self.consumers();
        let after = versions_of(&subject);
        let change = impact::Change { catalog: &catalog, before, after, proposed: None };
        let affected = change.affected(&consumers, now);
        if force.is_none() && !affected.is_empty() {
            return Err(WriteError::AffectsConsumers(affected));
        }
        let mut next = Next::new(&catalog);
        next.schemas.push(Arc::clone(&schema));
        next.catalog.put_schema(Arc::clone(&schema));
        let changed = v1::Schema::from(&*schema);
        next.subject(subject, now, |_| Change::VersionStateSet(changed));
        next.record_force_of_last(force, &affected);
        self.commit(&writer, next)?;
        Ok(schema)
    }

    fn writer(&self) -> Result<MutexGuard<'_, ()>, StorageError> {
        // Nothing was written if a panic poisoned the lock: it happened while planning.
        let writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match &*self.0.stopped.borrow() {
            Some(reason) => Err(StorageError::Stopped(reason.clone())),
            None => Ok(writer),
        }
    }

    fn commit(&self, _writer: &MutexGuard<'_, ()>, next: Next) -> Result<(), WriteError> {
        if next.changes.is_empty() {
            return Ok(());
        }
        let commit = Commit {
            revision: next.catalog.revision,
            last_id: next.catalog.last_id,
            subjects: next.subjects.into_values().collect(),
            schemas: next.schemas,
            changes: next.changes,
        };
        if let Err(error) = self.0.store.commit(&commit) {
            let (StorageError::Ambiguous(reason) | StorageError::Stopped(reason)) = &error;
            tracing::error!(reason, "a write failed: the registry accepts no more writes");
            self.0.stopped.send_replace(Some(reason.clone()));
            return Err(error.into());
        }
        let revision = commit.revision;
        *self.0.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next.catalog);
        self.0.revision.send_replace(revision);
        Ok(())
    }
}

fn check_etag(subject: &Subject, etag: Option<&str>) -> Result<(), WriteError> {
    match etag {
        Some(etag) if etag != subject.etag() => Err(WriteError::EtagMismatch {
            subject: subject.name.to_string(),
            actual: subject.etag(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// The next revision, while it is built.
struct Next {
    catalog: Catalog,
    /// The changed subjects, each in its last state.
    subjects: BTreeMap<SubjectName, Subject>,
    schemas: Vec<Arc<SchemaVersion>>,
    changes: Vec<v1::WatchRegistryResponse>,
}

impl Next {
    fn new(catalog: &Catalog) -> Self {
        Self {
            catalog: catalog.clone(),
            subjects: BTreeMap::new(),
            schemas: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Adds a changed subject, as one revision.
    fn subject(
        &mut self,
        mut subject: Subject,
        now: Timestamp,
        change: impl FnOnce(&Subject) -> Change,
    ) {
        self.catalog.revision += 1;
        subject.revision = self.catalog.revision;
        self.changes.push(v1::WatchRegistryResponse {
            revision: self.catalog.revision,
            time: Some(timestamp(now)),
            change: Some(change(&subject)),
            ..v1::WatchRegistryResponse::default()
        });
        self.catalog.put_subject(subject.clone());
        self.subjects.insert(subject.name.clone(), subject);
    }

    /// Records in the last change that it was forced, if it affects consumers.
    fn record_force_of_last(&mut self, force: Option<&str>, affected: &Affected) {
        if let Some(reason) = force.filter(|_| !affected.is_empty())
            && let Some(change) = self.changes.last_mut()
        {
            set_force(change, reason, affected);
        }
    }

    /// Records in the registration of an id that it was forced, if it affects consumers.
    fn record_force(&mut self, id: u32, reason: &str, affected: &Affected) {
        let registers_id = |change: &&mut v1::WatchRegistryResponse| match &change.change {
            Some(Change::SchemaRegistered(schema)) => schema.id == id,
            _ => false,
        };
        if !affected.is_empty()
            && let Some(change) = self.changes.iter_mut().find(registers_id)
        {
            set_force(change, reason, affected);
        }
    }

    fn register(&mut self, draft: &Draft, schema: &Arc<SchemaVersion>, now: Timestamp) {
        let previous = self.catalog.subject_or_tombstone(&schema.subject);
        let new = |previous: Option<&Arc<Subject>>| Subject {
            name: schema.subject.clone(),
            format: schema.format,
            settings: draft.settings(),
            // With the precision of the stored value, so that a start loads the same time.
            created: Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now),
            revision: 0,
            deleted: false,
            ids_before: previous.map_or(0, |tombstone| tombstone.ids_before),
            major_before: previous.and_then(|tombstone| tombstone.major_before),
            versions: BTreeMap::new(),
            unreadable: BTreeMap::new(),
        };
        let existing = previous.filter(|subject| !subject.deleted);
        let is_new = existing.is_none();
        let mut subject = existing.map_or_else(|| new(previous), |subject| Subject::clone(subject));
        subject.versions.insert(schema.version.clone(), Arc::clone(schema));
        self.catalog.put_schema(Arc::clone(schema));
        self.schemas.push(Arc::clone(schema));
        let change = v1::Schema::from(&**schema);
        let mut created = None;
        self.subject(subject, now, |subject| {
            created = is_new.then(|| v1::Subject::from(subject));
            Change::SchemaRegistered(change)
        });
        if let Some(change) = self.changes.last_mut() {
            change.created_subject = created;
        }
    }
}

fn set_force(change: &mut v1::WatchRegistryResponse, reason: &str, affected: &Affected) {
    change.forced = true;
    change.force_reason = reason.into();
    change.left_behind = affected.names();
}

/// Plans drafts after the drafts that they reference. The results are in the order of the request.
fn plan(
    catalog: &Catalog,
    drafts: &[Draft],
    consumers: &ConsumerTable,
    is_forced: bool,
    now: Timestamp,
) -> Result<(Vec<Planned>, Next), WriteError> {
    let mut next = Next::new(catalog);
    let mut planned: Vec<Option<Planned>> = drafts.iter().map(|_| None).collect();
    for index in dependency_order(drafts)? {
        let draft = &drafts[index];
        let plan = next.catalog.plan(draft, consumers, is_forced, now);
        // A draft that affects consumers is registered in the plan, so that the result also has the
        // plans of later drafts.
        if let Some(candidate) = &plan.candidate {
            next.register(draft, candidate, now);
        }
        planned[index] = Some(plan);
    }
    Ok((planned.into_iter().flatten().collect(), next))
}

/// Returns the indexes of drafts, each after the drafts that it references, otherwise in the order
/// of the request.
fn dependency_order(drafts: &[Draft]) -> Result<Vec<usize>, WriteError> {
    let mut of_subject: HashMap<&SubjectName, Vec<usize>> = HashMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        of_subject.entry(&draft.subject).or_default().push(index);
    }
    let mut order = Vec::with_capacity(drafts.len());
    let mut done = vec![false; drafts.len()];
    while order.len() < drafts.len() {
        let before = order.len();
        for (index, draft) in
            drafts.iter().enumerate().filter(|(index, _)| !done[*index]).collect::<Vec<_>>()
        {
            let ready = draft.references.iter().all(|reference| {
                let targets = of_subject.get(&reference.subject).into_iter().flatten();
                reference.subject == draft.subject
                    || targets.into_iter().all(|target| done[*target])
            });
            let same_subject = &of_subject[&draft.subject];
            if ready && same_subject.iter().all(|other| done[*other] || *other >= index) {
                done[index] = true;
                order.push(index);
            }
        }
        if order.len() == before {
            let pending = drafts.iter().zip(&done).filter(|(_, done)| !**done);
            let subjects = pending.map(|(draft, _)| draft.subject.to_string()).collect();
            return Err(WriteError::ReferenceCycle(subjects));
        }
    }
    Ok(order)
}

impl From<Refusal> for WriteError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(vec![(0, refusal)])
    }
}

impl Applied {
    /// Returns whether no draft is refused.
    pub fn is_acceptable(&self) -> bool {
        self.planned.iter().all(|draft| !matches!(draft.decision, Decision::Refused(_)))
    }
}
