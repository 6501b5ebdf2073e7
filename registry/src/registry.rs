//! The owner of the registry: one writer at a time, readers on snapshots.

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
        impact::{self, offers},
        plan::{Decision, Draft, Planned},
    },
    consumer::table::ConsumerTable,
    convert::timestamp,
    error::{Damaged, OpenError, Refusal, StorageError, WriteError},
    impact::Affected,
    proto::v1::{self, watch_registry_response::Change},
    schema::{SchemaVersion, State},
    store::{Commit, Quarantined, Store},
    subject::{Settings, Subject, SubjectName},
};
use tidings_schema::version::Selector;

pub mod consumers;
mod verify;

/// A handle on the registry. Its methods take processor time and disk time: call them on blocking threads.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    store: Store,
    catalog: RwLock<Arc<Catalog>>,
    /// Read-locked from when it is asked who would be left behind until the change is on disk: whoever says what it needs
    /// in between is answered out of what is registered then.
    consumers: RwLock<ConsumerTable>,
    /// Held by whoever writes, from the plan to the disk.
    writer: Mutex<()>,
    /// The reason why nothing is written any more, if so.
    stopped: watch::Sender<Option<String>>,
    revision: watch::Sender<u64>,
    aside: Vec<Quarantined>,
}

/// What an apply did, or would do.
#[derive(Debug)]
pub struct Applied {
    /// In the order of the drafts.
    pub planned: Vec<Planned>,
    /// The revision that it led to, or that it was planned at.
    pub revision: u64,
}

impl Registry {
    /// Opens or makes the registry of a directory.
    ///
    /// # Errors
    /// Where nothing can be served out of it.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let (store, catalog, consumers, aside) = Store::open(directory)?;
        for aside in &aside {
            tracing::error!(
                what = aside.what,
                detail = aside.detail,
                "set aside: it cannot be read"
            );
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
            aside,
        })))
    }

    /// Everything that is registered now.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts the changes.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.0.revision.subscribe()
    }

    /// Why nothing is written any more, once a write failed. Reads go on; a start writes again.
    pub fn stopped(&self) -> watch::Receiver<Option<String>> {
        self.0.stopped.subscribe()
    }

    /// What the start set aside.
    pub fn aside(&self) -> &[Quarantined] {
        &self.0.aside
    }

    /// Changes behind a revision, at most so many.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn changes(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<v1::WatchRegistryResponse>, Damaged> {
        self.0.store.changes(after, limit)
    }

    /// What drafts would become, one behind the other. Refused ones are among them; where it would be forced, none is for
    /// the consumers that it leaves behind.
    ///
    /// # Errors
    /// Where they refer to each other in a circle.
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

    /// What one draft would become.
    pub fn check(&self, catalog: &Catalog, draft: &Draft, now: Timestamp) -> Planned {
        catalog.plan(draft, &self.consumers(), false, now)
    }

    /// Registers all drafts or none. `force` is why it goes on although consumers are left behind.
    ///
    /// # Errors
    /// Why none.
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
        for one in &planned {
            if let (Some(reason), Decision::Register(registered)) = (force, &one.decision) {
                next.record_force(registered.id, reason, &one.impact.affected);
            }
        }
        let is_refused = |it: &Planned| matches!(it.decision, Decision::Refused(_));
        if planned.iter().any(is_refused) {
            let refusals = planned.drain(..).enumerate().filter_map(|(at, it)| match it.decision {
                Decision::Refused(refusal) => Some((at, refusal)),
                Decision::Already(_) | Decision::Register(_) => None,
            });
            return Err(WriteError::Refused(refusals.collect()));
        }
        let revision = next.catalog.revision;
        self.commit(&writer, next)?;
        Ok(Applied { planned, revision })
    }

    /// Changes what the owner of a subject decides.
    ///
    /// # Errors
    /// Why not.
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

    /// Deletes a subject. Its ids can still be asked for, and its versions are never used again.
    ///
    /// # Errors
    /// Why not.
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
            let by = referrers.iter().map(|it| format!("{} {}", it.subject, it.version)).collect();
            return Err(WriteError::StillReferenced { subject: name.to_string(), by });
        }
        let book = self.consumers();
        let before = &subject;
        let change =
            impact::Change { catalog: &catalog, before, after: Vec::new(), proposed: None };
        let affected = change.affected(&book, now);
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

    /// Deprecates, retires or reactivates a version.
    ///
    /// # Errors
    /// Why not.
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
        let registered = catalog.version(name, &selector, &version.to_string())?;
        if registered.state == state && registered.deprecation == deprecation {
            return Ok(Arc::clone(registered));
        }
        let registered = Arc::new(SchemaVersion {
            state,
            deprecation: deprecation.into(),
            ..SchemaVersion::clone(registered)
        });
        let before = catalog.subject(name)?;
        let mut subject = Subject::clone(before);
        subject.versions.insert(version.clone(), Arc::clone(&registered));
        let book = self.consumers();
        let after = offers(&subject);
        let change = impact::Change { catalog: &catalog, before, after, proposed: None };
        let affected = change.affected(&book, now);
        if force.is_none() && !affected.is_empty() {
            return Err(WriteError::AffectsConsumers(affected));
        }
        let mut next = Next::new(&catalog);
        next.schemas.push(Arc::clone(&registered));
        next.catalog.put_schema(Arc::clone(&registered));
        let change = v1::Schema::from(&*registered);
        next.subject(subject, now, |_| Change::VersionStateSet(change));
        next.record_force_of_last(force, &affected);
        self.commit(&writer, next)?;
        Ok(registered)
    }

    fn writer(&self) -> Result<MutexGuard<'_, ()>, StorageError> {
        // A panic while planning has written nothing.
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
            tracing::error!(reason, "a write failed: nothing is written any more");
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

/// The next revision in the making.
struct Next {
    catalog: Catalog,
    /// By name: the last form of each.
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

    /// Puts a changed subject in, as one revision.
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

    /// Notes with the last change that it went on although it left consumers behind.
    fn record_force_of_last(&mut self, force: Option<&str>, affected: &Affected) {
        if let Some(reason) = force.filter(|_| !affected.is_empty())
            && let Some(change) = self.changes.last_mut()
        {
            note_force(change, reason, affected);
        }
    }

    /// The same with the registration of an id.
    fn record_force(&mut self, id: u32, reason: &str, affected: &Affected) {
        let registers = |it: &&mut v1::WatchRegistryResponse| matches!(&it.change, Some(Change::SchemaRegistered(schema)) if schema.id == id);
        if !affected.is_empty()
            && let Some(change) = self.changes.iter_mut().find(registers)
        {
            note_force(change, reason, affected);
        }
    }

    fn register(&mut self, draft: &Draft, registered: &Arc<SchemaVersion>, now: Timestamp) {
        let grave = self.catalog.subject_or_grave(&registered.subject);
        let new = |grave: Option<&Arc<Subject>>| Subject {
            name: registered.subject.clone(),
            format: registered.format,
            settings: draft.settings(),
            // As it is stored: a start shows the same.
            created: Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now),
            revision: 0,
            deleted: false,
            ids_before: grave.map_or(0, |grave| grave.ids_before),
            major_before: grave.and_then(|grave| grave.major_before),
            versions: BTreeMap::new(),
            unreadable: BTreeMap::new(),
        };
        let known = grave.filter(|subject| !subject.deleted);
        let is_new = known.is_none();
        let mut subject = known.map_or_else(|| new(grave), |it| Subject::clone(it));
        subject.versions.insert(registered.version.clone(), Arc::clone(registered));
        self.catalog.put_schema(Arc::clone(registered));
        self.schemas.push(Arc::clone(registered));
        let change = v1::Schema::from(&**registered);
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

fn note_force(change: &mut v1::WatchRegistryResponse, reason: &str, affected: &Affected) {
    change.forced = true;
    change.force_reason = reason.into();
    change.left_behind = affected.names();
}

/// Plans drafts in an order in which each finds what it refers to; the answers are in the order of the request.
fn plan(
    catalog: &Catalog,
    drafts: &[Draft],
    consumers: &ConsumerTable,
    is_forced: bool,
    now: Timestamp,
) -> Result<(Vec<Planned>, Next), WriteError> {
    let mut next = Next::new(catalog);
    let mut planned: Vec<Option<Planned>> = drafts.iter().map(|_| None).collect();
    for at in in_order(drafts)? {
        let draft = &drafts[at];
        let one = next.catalog.plan(draft, consumers, is_forced, now);
        // Drafts behind one that affects consumers are planned as if it were registered: the answer has it all.
        if let Some(candidate) = &one.candidate {
            next.register(draft, candidate, now);
        }
        planned[at] = Some(one);
    }
    Ok((planned.into_iter().flatten().collect(), next))
}

/// Drafts behind those that they refer to, otherwise as they came.
fn in_order(drafts: &[Draft]) -> Result<Vec<usize>, WriteError> {
    let mut of_subject: HashMap<&SubjectName, Vec<usize>> = HashMap::new();
    for (at, draft) in drafts.iter().enumerate() {
        of_subject.entry(&draft.subject).or_default().push(at);
    }
    let mut order = Vec::with_capacity(drafts.len());
    let mut done = vec![false; drafts.len()];
    while order.len() < drafts.len() {
        let before = order.len();
        for (at, draft) in
            drafts.iter().enumerate().filter(|(at, _)| !done[*at]).collect::<Vec<_>>()
        {
            let ready = draft.references.iter().all(|reference| {
                let targets = of_subject.get(&reference.subject).into_iter().flatten();
                reference.subject == draft.subject
                    || targets.into_iter().all(|target| done[*target])
            });
            let earlier = &of_subject[&draft.subject];
            if ready && earlier.iter().all(|other| done[*other] || *other >= at) {
                done[at] = true;
                order.push(at);
            }
        }
        if order.len() == before {
            let open = drafts.iter().zip(&done).filter(|(_, done)| !**done);
            return Err(WriteError::Circle(open.map(|(it, _)| it.subject.to_string()).collect()));
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
    /// Whether nothing is refused.
    pub fn is_acceptable(&self) -> bool {
        self.planned.iter().all(|it| !matches!(it.decision, Decision::Refused(_)))
    }
}
