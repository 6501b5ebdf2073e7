//! Judges what is registered again, each version as if it were registered now, behind those that
//! were registered before it: rules become stricter, and what an older program accepted stays
//! registered.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use super::{
    Catalog,
    plan::{Assessment, Draft, Read},
    replay::History,
};
use crate::{
    error::Refusal,
    schema::SchemaVersion,
    subject::{Settings, Subject},
};
use tidings_schema::schema::Schema;
use tidings_schema::{level::Level, report::Report};

/// A version, judged again.
#[derive(Debug)]
pub struct Judged {
    /// As it is registered.
    pub registered: Arc<SchemaVersion>,
    /// The level that it was held to.
    pub level: Level,
    /// Why it would not be registered now with the version that it has.
    pub refusal: Option<Refusal>,
}

/// Judges one version after another, subject by subject. What it parses is kept for one subject at
/// a time, and not in the catalog: most of it would never be used again.
pub struct Verification {
    history: History,
    /// Where the versions of the current subject are, up to the one that is judged.
    working: Catalog,
    subjects: VecDeque<Arc<Subject>>,
    current: Option<Arc<Subject>>,
    /// The current subject's versions that are left, in the order in which they were registered.
    versions: VecDeque<Arc<SchemaVersion>>,
    total: usize,
}

impl Verification {
    /// Of all subjects that begin with a prefix.
    pub fn new(catalog: &Catalog, history: History, prefix: &str) -> Self {
        let begins = |it: &&Arc<Subject>| it.name.as_str().starts_with(prefix);
        let subjects: VecDeque<_> =
            catalog.subjects_behind(None).filter(begins).map(Arc::clone).collect();
        let total = subjects.iter().map(|it| it.versions.len()).sum();
        let working = catalog.clone();
        let versions = VecDeque::new();
        Self { history, working, subjects, current: None, versions, total }
    }

    /// How many versions there are to judge.
    pub fn total(&self) -> usize {
        self.total
    }

    /// What a registration of it would answer.
    fn judge(&mut self, subject: &Subject, registered: &SchemaVersion) -> (Level, Option<Refusal>) {
        let settings = self.history.settings(subject, registered.id).clone();
        let level = settings.level;
        let name = registered.subject.as_str();
        let SchemaVersion { format, definition, .. } = registered;
        let imports = match self.working.imports(&registered.references) {
            Ok(imports) => imports,
            Err(reason) => {
                return (level, Some(Refusal::Reference { name: String::new(), reason }));
            }
        };
        let schema = match Schema::parse(*format, name, definition, &imports) {
            Ok(schema) => Arc::new(schema),
            // Nothing is compared with it from here on: its own fault is reported once.
            Err(invalid) => return (level, Some(Refusal::Invalid(invalid.faults))),
        };
        let faults = schema.check();
        let refusal = if faults.is_empty() {
            self.plan_again(settings, registered, Arc::clone(&schema))
        } else {
            Some(Refusal::Invalid(faults))
        };
        let registered =
            SchemaVersion { parsed: Arc::new(OnceLock::from(Ok(schema))), ..registered.clone() };
        self.working.put(registered);
        (level, refusal)
    }

    fn plan_again(
        &mut self,
        settings: Settings,
        registered: &SchemaVersion,
        schema: Arc<Schema>,
    ) -> Option<Refusal> {
        let draft = Draft {
            subject: registered.subject.clone(),
            format: Some(registered.format),
            definition: registered.definition.clone(),
            references: Vec::new(),
            version: Some(registered.version.clone()),
            labels: registered.labels.clone(),
            level: Some(settings.level),
            content_model: Some(settings.content_model),
            surface: Some(settings.surface),
        };
        let before = self.working.subject(&registered.subject).ok()?;
        let before = Subject { settings, ..Subject::clone(before) };
        self.working.put_subject(before);
        let read = Read {
            format: registered.format,
            schema,
            references: registered.references.clone(),
            fingerprint: registered.fingerprint,
        };
        let mut report = Report::empty(draft.subject.as_str());
        match self.working.assess(&draft, read, &mut report, registered.created) {
            Assessment::Refused(refusal) => Some(refusal),
            Assessment::Already(_) | Assessment::Candidate(_) => None,
        }
    }

    /// Begins with the next subject, as it was before its first version.
    fn begin(&mut self) -> Option<()> {
        let subject = self.subjects.pop_front()?;
        let mut versions: Vec<_> = subject.versions.values().cloned().collect();
        versions.sort_by_key(|it| it.id);
        self.versions = versions.into();
        let mut before = Subject::clone(&subject);
        before.versions.clear();
        before.unreadable.clear();
        self.working.put_subject(before);
        self.current = Some(subject);
        Some(())
    }
}

impl Iterator for Verification {
    type Item = Judged;

    fn next(&mut self) -> Option<Judged> {
        while self.versions.is_empty() {
            // What was parsed of the last one is released with its versions.
            if let Some(last) = self.current.take() {
                for registered in last.versions.values() {
                    self.working.put_schema(Arc::clone(registered));
                }
                self.working.put_subject(Subject::clone(&last));
            }
            self.begin()?;
        }
        let registered = self.versions.pop_front()?;
        let subject = Arc::clone(self.current.as_ref()?);
        let (level, refusal) = self.judge(&subject, &registered);
        Some(Judged { registered, level, refusal })
    }
}
