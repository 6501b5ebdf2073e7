//! Checks registered versions again, each as if it were registered now after the versions that were
//! registered before it. Rules become stricter, but a version that an older program accepted stays
//! registered.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use super::{
    Catalog,
    plan::{Assessment, Draft, ParsedDraft},
    replay::History,
};
use crate::{
    error::Refusal,
    schema::SchemaVersion,
    subject::{Settings, Subject},
};
use tidings_schema::schema::Schema;
use tidings_schema::{level::Level, report::Report};

/// The result for one version.
#[derive(Debug)]
pub struct Judged {
    /// The registered version.
    pub schema: Arc<SchemaVersion>,
    /// The compatibility level that it was checked against.
    pub level: Level,
    /// Why it would be refused now with its version. None: it would be accepted.
    pub refusal: Option<Refusal>,
}

/// Checks the versions subject by subject. Parsed schemas are kept for one subject at a time, and
/// outside of the catalog: most of them would never be used again.
pub struct Verification {
    history: History,
    /// Contains the versions of the current subject up to the one that is checked.
    working: Catalog,
    subjects: VecDeque<Arc<Subject>>,
    current: Option<Arc<Subject>>,
    /// The versions of the current subject that remain, in the order of their registration.
    versions: VecDeque<Arc<SchemaVersion>>,
    total: usize,
}

impl Verification {
    /// Verifies all subjects whose names begin with a prefix.
    pub fn new(catalog: &Catalog, history: History, prefix: &str) -> Self {
        let has_prefix = |subject: &&Arc<Subject>| subject.name.as_str().starts_with(prefix);
        let subjects: VecDeque<_> =
            catalog.subjects_after(None).filter(has_prefix).map(Arc::clone).collect();
        let total = subjects.iter().map(|subject| subject.versions.len()).sum();
        let working = catalog.clone();
        let versions = VecDeque::new();
        Self { history, working, subjects, current: None, versions, total }
    }

    /// Returns the number of versions to check.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Returns the level that a version was checked against, and why it would be refused.
    fn judge(&mut self, subject: &Subject, version: &SchemaVersion) -> (Level, Option<Refusal>) {
        let settings = self.history.settings(subject, version.id).clone();
        let level = settings.level;
        let name = version.subject.as_str();
        let SchemaVersion { format, definition, .. } = version;
        let imports = match self.working.imports(&version.references) {
            Ok(imports) => imports,
            Err(reason) => {
                return (level, Some(Refusal::Reference { name: String::new(), reason }));
            }
        };
        let schema = match Schema::parse(*format, name, definition, &imports) {
            Ok(schema) => Arc::new(schema),
            // Later versions are not compared with it, so that its fault is reported once.
            Err(invalid) => return (level, Some(Refusal::Invalid(invalid.faults))),
        };
        let faults = schema.check();
        let refusal = if faults.is_empty() {
            self.plan_again(settings, version, Arc::clone(&schema))
        } else {
            Some(Refusal::Invalid(faults))
        };
        let version =
            SchemaVersion { parsed: Arc::new(OnceLock::from(Ok(schema))), ..version.clone() };
        self.working.put(version);
        (level, refusal)
    }

    fn plan_again(
        &mut self,
        settings: Settings,
        version: &SchemaVersion,
        schema: Arc<Schema>,
    ) -> Option<Refusal> {
        let draft = Draft {
            subject: version.subject.clone(),
            format: Some(version.format),
            definition: version.definition.clone(),
            references: Vec::new(),
            version: Some(version.version.clone()),
            labels: version.labels.clone(),
            level: Some(settings.level),
            content_model: Some(settings.content_model),
            surface: Some(settings.surface),
        };
        let before = self.working.subject(&version.subject).ok()?;
        let before = Subject { settings, ..Subject::clone(before) };
        self.working.put_subject(before);
        let parsed = ParsedDraft {
            format: version.format,
            schema,
            references: version.references.clone(),
            fingerprint: version.fingerprint,
        };
        let mut report = Report::empty(draft.subject.as_str());
        match self.working.assess(&draft, parsed, &mut report, version.created) {
            Assessment::Refused(refusal) => Some(refusal),
            Assessment::AlreadyRegistered(_) | Assessment::Candidate(_) => None,
        }
    }

    /// Starts the next subject, in its state before its first version.
    fn start_subject(&mut self) -> Option<()> {
        let subject = self.subjects.pop_front()?;
        let mut versions: Vec<_> = subject.versions.values().cloned().collect();
        versions.sort_by_key(|schema| schema.id);
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
            // Restores the finished subject, which drops its parsed schemas.
            if let Some(finished) = self.current.take() {
                for schema in finished.versions.values() {
                    self.working.put_schema(Arc::clone(schema));
                }
                self.working.put_subject(Subject::clone(&finished));
            }
            self.start_subject()?;
        }
        let schema = self.versions.pop_front()?;
        let subject = Arc::clone(self.current.as_ref()?);
        let (level, refusal) = self.judge(&subject, &schema);
        Some(Judged { schema, level, refusal })
    }
}
