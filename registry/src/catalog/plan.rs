//! Plans the registration of a draft: compares it, derives the bump, and assigns or enforces a
//! version. Changes nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;
use semver::Version;

use super::{Catalog, impact::Change};
use crate::{
    consumer::table::ConsumerTable,
    error::{Refusal, Unreadable},
    impact::Impact,
    name::SubjectName,
    schema::{Fingerprint, Reference, SchemaVersion, State},
    subject::{Settings, Subject},
};
use tidings_schema::{
    definition::{DEFINITION_BYTES_MAX, Definition, SourceLocation},
    finding::{ContentModel, Direction, Finding, Severity, Surface},
    protobuf,
    schema::{Format, Schema},
    version::{self, Bump, FIRST, Line, Selector},
};
use tidings_schema::{
    level::Level,
    report::{Report, ReportedFinding},
};

/// A schema that is proposed for registration.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The subject.
    pub subject: SubjectName,
    /// The format. None: the format of the subject.
    pub format: Option<Format>,
    /// The definition as its author wrote it.
    pub definition: Definition,
    /// The references of the definition.
    pub references: Vec<DraftReference>,
    /// The declared version. None: the next version that the change requires, unless that is a new
    /// major version.
    pub version: Option<Version>,
    /// Labels for tools.
    pub labels: BTreeMap<String, String>,
    /// The compatibility level, if the subject is new.
    pub level: Option<Level>,
    /// The content model, if the subject is new.
    pub content_model: Option<ContentModel>,
    /// The surface, if the subject is new.
    pub surface: Option<Surface>,
}

/// A reference of a draft.
#[derive(Debug, Clone)]
pub struct DraftReference {
    /// The name that the definition uses.
    pub name: String,
    /// The subject of the referenced version.
    pub subject: SubjectName,
    /// The selected version of the subject.
    pub version: Selector,
    /// The text of the selector, for errors.
    pub requested: String,
}

/// The decision about a draft.
#[derive(Debug)]
pub enum Decision {
    /// The schema is already registered as this version.
    AlreadyRegistered(Arc<SchemaVersion>),
    /// The draft is registered as this version.
    Register(Arc<SchemaVersion>),
    /// The draft is refused.
    Refused(Refusal),
}

/// The decision about a draft, with the changes that it is based on.
#[derive(Debug)]
pub struct Planned {
    /// The decision.
    pub decision: Decision,
    /// The changes of the schema, and the consumers that they affect.
    pub impact: Impact,
    /// The version that is registered, or would be registered if it affected no consumer.
    pub candidate: Option<Arc<SchemaVersion>>,
}

/// The decision about a draft by its schema alone, without consumers.
pub(super) enum Assessment {
    /// The schema is already registered as this version.
    AlreadyRegistered(Arc<SchemaVersion>),
    /// A new version that the compatibility level allows.
    Candidate(Arc<SchemaVersion>),
    /// The draft is refused.
    Refused(Refusal),
}

impl Catalog {
    /// Plans a draft: computes its changes, then the consumers that they affect, then the decision.
    /// A draft that affects consumers is refused unless it is forced.
    pub fn plan(
        &self,
        draft: &Draft,
        consumers: &ConsumerTable,
        is_forced: bool,
        now: Timestamp,
    ) -> Planned {
        let mut impact = Impact::from(Report::empty(draft.subject.as_str()));
        let parsed = match self.parse(draft) {
            Ok(parsed) => parsed,
            Err(refusal) => {
                return Planned { decision: Decision::Refused(refusal), impact, candidate: None };
            }
        };
        let schema = Arc::clone(&parsed.schema);
        let mut assessment = self.assess(draft, parsed, &mut impact.report, now);
        if let Some(version) = assessment.version(&impact.report)
            && let Ok(before) = self.subject(&draft.subject)
        {
            let report = assessment.report().unwrap_or(&impact.report);
            let change = Change::proposed(self, before, version, &schema, report);
            impact.affected = change.affected(consumers, now);
        }
        let candidate = match &assessment {
            Assessment::Candidate(candidate) => Some(Arc::clone(candidate)),
            Assessment::AlreadyRegistered(_) | Assessment::Refused(_) => None,
        };
        if let Assessment::Refused(refusal) = &mut assessment
            && let Some(refused) = refusal.impact_mut()
        {
            refused.affected.clone_from(&impact.affected);
        }
        let decision = match assessment {
            Assessment::AlreadyRegistered(existing) => Decision::AlreadyRegistered(existing),
            Assessment::Refused(refusal) => Decision::Refused(refusal),
            Assessment::Candidate(candidate) if is_forced || impact.affected.is_empty() => {
                Decision::Register(candidate)
            }
            Assessment::Candidate(_) => {
                Decision::Refused(Refusal::AffectsConsumers(Box::new(impact.clone())))
            }
        };
        Planned { decision, impact, candidate }
    }

    /// Compares a draft with one version, without a decision.
    ///
    /// # Errors
    /// Returns an error if the draft is not a valid schema.
    pub fn compare_with(&self, draft: &Draft, against: &SchemaVersion) -> Result<Report, Refusal> {
        let proposal = self.parse(draft)?;
        let mut report = Report::empty(draft.subject.as_str());
        let settings = self.settings(draft);
        self.add_comparison(&mut report, &settings, against, true, &proposal.schema)?;
        report.sort();
        if proposal.fingerprint == against.fingerprint {
            report.identical = Some(against.version.clone());
        }
        report.next = Some(version::next(&against.version, report.required));
        Ok(report)
    }

    /// Compares two registered versions of a subject.
    ///
    /// # Errors
    /// Returns an error if one of them cannot be parsed.
    pub fn diff(
        &self,
        settings: &Settings,
        old: &SchemaVersion,
        new: &SchemaVersion,
    ) -> Result<Report, Refusal> {
        let mut report = Report::empty(new.subject.as_str());
        let schema = self.parsed(new)?;
        self.add_comparison(&mut report, settings, old, true, &schema)?;
        report.sort();
        if old.fingerprint == new.fingerprint {
            report.identical = Some(old.version.clone());
        }
        report.next = Some(version::next(&old.version, report.required));
        Ok(report)
    }

    /// Parses and checks a draft with its imports.
    fn parse(&self, draft: &Draft) -> Result<ParsedDraft, Refusal> {
        let size = draft.definition.bytes();
        if size > DEFINITION_BYTES_MAX {
            return Err(Refusal::TooLarge { size, limit: DEFINITION_BYTES_MAX });
        }
        let existing = self.subject_or_tombstone(&draft.subject).filter(|subject| !subject.deleted);
        let format = match (draft.format, existing) {
            (Some(given), Some(subject)) if given != subject.format => {
                return Err(Refusal::Format {
                    subject: draft.subject.to_string(),
                    registered: subject.format.to_string(),
                    given: given.to_string(),
                });
            }
            (Some(format), _) => format,
            (None, Some(subject)) => subject.format,
            (None, None) => {
                let message = "a new subject needs it: protobuf, json or avro".into();
                return Err(Refusal::Field { field: "format", message });
            }
        };
        let mut references: Vec<Reference> = Vec::with_capacity(draft.references.len());
        for reference in &draft.references {
            if references.iter().any(|known| known.name == reference.name) {
                let reason = "the name is given twice".into();
                return Err(Refusal::Reference { name: reference.name.clone(), reason });
            }
            references.push(self.resolve(reference)?);
        }
        let unresolved = |reason| Refusal::Reference { name: String::new(), reason };
        let imports = self.imports(&references).map_err(unresolved)?;
        let schema = Schema::parse(format, draft.subject.as_str(), &draft.definition, &imports)
            .map_err(|invalid| Refusal::Invalid(invalid.faults))?;
        let mut fingerprints = Vec::with_capacity(references.len());
        for reference in &references {
            let version = self.referenced(reference);
            fingerprints
                .extend(version.map(|version| (reference.name.clone(), version.fingerprint)));
        }
        let fingerprint = Fingerprint::of(format, &schema.canonical(), &fingerprints);
        // Each deployment offers versions that are already registered. They cannot be changed any
        // more, and new rules do not apply to them.
        let is_registered = existing.is_some_and(|subject| {
            subject.versions.values().any(|version| version.fingerprint == fingerprint)
        });
        let faults = if is_registered { Vec::new() } else { schema.check() };
        if !faults.is_empty() {
            return Err(Refusal::Invalid(faults));
        }
        Ok(ParsedDraft { format, schema: Arc::new(schema), references, fingerprint })
    }

    fn resolve(&self, reference: &DraftReference) -> Result<Reference, Refusal> {
        let refuse = |reason| Refusal::Reference { name: reference.name.clone(), reason };
        let version = self
            .version(&reference.subject, &reference.version, &reference.requested)
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Reference {
            name: reference.name.clone(),
            subject: reference.subject.clone(),
            version: version.version.clone(),
        })
    }

    /// Returns the settings of the subject, or those of the draft if the subject is new.
    fn settings(&self, draft: &Draft) -> Settings {
        match self.subject_or_tombstone(&draft.subject) {
            Some(subject) if !subject.deleted => subject.settings.clone(),
            _ => draft.settings(),
        }
    }

    /// Assesses a parsed draft by its schema alone, and adds the findings to the report.
    pub(super) fn assess(
        &self,
        draft: &Draft,
        proposal: ParsedDraft,
        report: &mut Report,
        now: Timestamp,
    ) -> Assessment {
        let previous = self.subject_or_tombstone(&draft.subject);
        let subject = previous.filter(|subject| !subject.deleted);
        let settings = self.settings(draft);

        let is_same = |version: &&Arc<SchemaVersion>| version.fingerprint == proposal.fingerprint;
        let existing = subject.and_then(|subject| subject.versions.values().rev().find(is_same));
        if let Some(existing) = existing {
            report.identical = Some(existing.version.clone());
            report.next = Some(existing.version.clone());
            report.compared.push(existing.version.clone());
            return Assessment::AlreadyRegistered(Arc::clone(existing));
        }
        let unreadable = subject.and_then(|subject| subject.unreadable.first_key_value());
        if let Some((version, id)) = unreadable {
            return Assessment::Refused(Refusal::Unreadable(Unreadable {
                subject: draft.subject.to_string(),
                version: version.clone(),
                id: *id,
                detail: "its row in the database is damaged".into(),
            }));
        }
        let base = match subject {
            Some(subject) => self.compare_line(draft, subject, &settings, &proposal, report),
            None => Ok(None),
        };
        report.sort();
        let previous = previous.map(|subject| &**subject);
        let assigned = base.and_then(|base| assign(draft, previous, base, settings.level, report));
        let version = match assigned {
            Ok(version) => version,
            Err(refusal) => return Assessment::Refused(refusal),
        };
        Assessment::Candidate(Arc::new(SchemaVersion {
            subject: draft.subject.clone(),
            version,
            id: self.last_id + 1,
            format: proposal.format,
            definition: draft.definition.clone(),
            references: proposal.references,
            fingerprint: proposal.fingerprint,
            state: State::Active,
            deprecation: String::new(),
            labels: draft.labels.clone(),
            created: now,
            bump: (!report.compared.is_empty()).then_some(report.required),
            parsed: Arc::new(OnceLock::from(Ok(proposal.schema))),
        }))
    }

    /// Compares a proposal with the versions of its line. Returns the version that it continues.
    fn compare_line(
        &self,
        draft: &Draft,
        subject: &Subject,
        settings: &Settings,
        proposal: &ParsedDraft,
        report: &mut Report,
    ) -> Result<Option<Version>, Refusal> {
        let newest = || subject.newest().or_else(|| subject.versions.values().next_back());
        let line = match &draft.version {
            Some(version) => Line::of(version),
            None => match newest() {
                Some(newest) => Line::of(&newest.version),
                None => return Ok(None),
            },
        };
        let members: Vec<_> = subject.line(line).collect();
        let Some(last) = members.last() else {
            // A new line. Its changes are reported, but may break readers.
            let before = subject.versions.values().rev().find(|existing| {
                draft.version.as_ref().is_none_or(|version| existing.version < *version)
                    && existing.version.pre.is_empty()
            });
            let before = before.or_else(newest);
            if let Some(before) = before {
                self.add_comparison(report, settings, before, true, &proposal.schema)?;
            }
            return Ok(before.map(|before| before.version.clone()));
        };
        let compared = if settings.level.is_transitive() {
            &members[..]
        } else {
            &members[members.len() - 1..]
        };
        for member in compared {
            let is_base = member.id == last.id;
            self.add_comparison(report, settings, member, is_base, &proposal.schema)?;
        }
        if let Schema::Protobuf(new) = &*proposal.schema
            && settings.level != Level::None
        {
            let mut parsed = Vec::with_capacity(members.len());
            for member in &members {
                parsed.push(self.parsed(member)?);
            }
            let history: Vec<&protobuf::Schema> = parsed
                .iter()
                .filter_map(|schema| match &**schema {
                    Schema::Protobuf(schema) => Some(schema),
                    Schema::Json(_) | Schema::Avro(_) => None,
                })
                .collect();
            report
                .add_findings(settings.level, protobuf::ledger(&history, new, settings.options()));
        }
        Ok(Some(last.version.clone()))
    }

    fn add_comparison(
        &self,
        report: &mut Report,
        settings: &Settings,
        against: &SchemaVersion,
        is_base: bool,
        new: &Schema,
    ) -> Result<(), Refusal> {
        let old = self.parsed(against)?;
        let Some(comparison) = old.compare(new, settings.options()) else {
            return Err(Refusal::Format {
                subject: against.subject.to_string(),
                registered: against.format.to_string(),
                given: "another format".into(),
            });
        };
        report.add(settings.level, Some(&against.version), is_base, comparison);
        Ok(())
    }
}

impl Assessment {
    /// Returns the version that consumers would be delivered. None if nothing would change for
    /// them.
    fn version(&self, report: &Report) -> Option<Version> {
        match self {
            Self::Candidate(candidate) => Some(candidate.version.clone()),
            // The version that it would have without the break: the break affects the readers of
            // that version.
            Self::Refused(Refusal::Incompatible(_)) => {
                Some(version::next(report.compared.iter().max()?, Bump::Minor))
            }
            Self::Refused(Refusal::TooLow { minimum, .. }) => Some(minimum.clone()),
            Self::AlreadyRegistered(_) | Self::Refused(_) => None,
        }
    }

    /// Returns the report of a refusal.
    fn report(&self) -> Option<&Report> {
        match self {
            Self::Refused(refusal) => Some(&refusal.impact()?.report),
            Self::AlreadyRegistered(_) | Self::Candidate(_) => None,
        }
    }
}

impl Draft {
    /// Returns the settings for a new subject.
    pub fn settings(&self) -> Settings {
        Settings {
            level: self.level.unwrap_or_default(),
            content_model: self.content_model.unwrap_or_default(),
            surface: self.surface.unwrap_or_default(),
            owner: String::new(),
            description: String::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// A draft whose definition was parsed.
pub(super) struct ParsedDraft {
    pub format: Format,
    pub schema: Arc<Schema>,
    pub references: Vec<Reference>,
    pub fingerprint: Fingerprint,
}

/// Assigns a version: the next version that the change requires, or the declared version if that is
/// high enough.
fn assign(
    draft: &Draft,
    previous: Option<&Subject>,
    base: Option<Version>,
    level: Level,
    report: &mut Report,
) -> Result<Version, Refusal> {
    let major_before = previous.and_then(|subject| subject.major_before);
    let Some(base) = base else {
        let first = match major_before {
            Some(major) => Version::new(major + 1, 0, 0),
            None => FIRST,
        };
        report.next = Some(first.clone());
        return match &draft.version {
            None => Ok(first),
            Some(declared) if major_before.is_some_and(|major| declared.major <= major) => {
                let reason = format!(
                    "the subject was deleted, and its versions are never reused; continue with {first}"
                );
                Err(too_low(declared, first, reason, report))
            }
            Some(declared) => Ok(declared.clone()),
        };
    };
    let versions = previous.map(|subject| &subject.versions);
    let highest = versions.and_then(|versions| versions.keys().next_back()).unwrap_or(&base);
    // A pre-release promises nothing: its release may differ.
    let breaks = report.required == Bump::Major && base.pre.is_empty();
    let minimum = match report.required {
        // The next numbers may belong to another line: a breaking change goes after all versions.
        Bump::Major if breaks => version::next(&version::release(highest), Bump::Major),
        bump => version::next(&base, bump.max(Bump::Patch)),
    };
    report.next = Some(minimum.clone());
    let Some(declared) = &draft.version else {
        return if breaks {
            Err(Refusal::Incompatible(Box::new(report.clone().into())))
        } else {
            Ok(minimum)
        };
    };
    let line = Line::of(declared);
    let of_line = |version: &&Version| Line::of(version) == line;
    let last = versions.and_then(|versions| versions.keys().rev().find(of_line));
    if let Some(versions) = versions
        && versions.contains_key(declared)
    {
        let next = minimum;
        let subject = draft.subject.to_string();
        return Err(Refusal::VersionTaken { subject, version: declared.clone(), next });
    }
    if major_before.is_some_and(|major| declared.major <= major) {
        let reason = "a deleted version had this major version".to_owned();
        return Err(too_low(declared, minimum, reason, report));
    }
    let Some(last) = last else {
        // A new line has to come after all other lines: older lines are closed.
        if declared < highest {
            let reason =
                format!("it would begin a line below {highest}, which is already registered");
            let minimum = version::next(&version::release(highest), Bump::Major);
            return Err(too_low(declared, minimum, reason, report));
        }
        if report.required < Bump::Major && level != Level::None {
            let minimum = version::next(&base, report.required.max(Bump::Patch));
            report.findings.push(higher_than_needed(declared, &minimum, report.required));
        }
        return Ok(declared.clone());
    };
    if Line::of(&base) == line && breaks {
        return Err(Refusal::Incompatible(Box::new(report.clone().into())));
    }
    if declared < last {
        let minimum = version::next(last, Bump::Patch);
        let reason = format!("{last} is registered in its line");
        return Err(too_low(declared, minimum, reason, report));
    }
    if version::release(declared) < minimum {
        let reason = format!(
            "the change since {base} is {}, which needs {minimum}",
            report.required.description()
        );
        return Err(too_low(declared, minimum, reason, report));
    }
    if version::release(declared) > minimum {
        report.findings.push(higher_than_needed(declared, &minimum, report.required));
    }
    Ok(declared.clone())
}

/// Adds the refusal to the report as a finding: a plan returns the report, not an error.
fn too_low(declared: &Version, minimum: Version, reason: String, report: &Report) -> Refusal {
    let mut report = report.clone();
    let message = format!("{declared} is declared, and is too low: {reason}");
    let finding = version_finding("VERSION_TOO_LOW", Severity::Error, declared, &minimum, message);
    report.findings.insert(0, finding);
    report.next = Some(minimum.clone());
    Refusal::TooLow { declared: declared.clone(), minimum, reason, impact: Box::new(report.into()) }
}

/// Reports that a declared version is higher than the change requires, which is accepted.
fn higher_than_needed(declared: &Version, minimum: &Version, bump: Bump) -> ReportedFinding {
    let message = format!(
        "{declared} is declared; the change is {}, for which {minimum} is enough",
        bump.description()
    );
    version_finding("VERSION_HIGHER_THAN_NEEDED", Severity::Warning, declared, minimum, message)
}

/// Creates a finding about a declared version, not about the schemas.
fn version_finding(
    rule: &'static str,
    severity: Severity,
    declared: &Version,
    minimum: &Version,
    message: String,
) -> ReportedFinding {
    let finding = Finding {
        rule,
        severity,
        direction: Direction::Both,
        proven: true,
        old_path: String::new(),
        new_path: String::new(),
        old_value: minimum.to_string(),
        new_value: declared.to_string(),
        message,
        suggestion: format!("declare {minimum}, or no version"),
        counterexample: None,
        location: SourceLocation::default(),
    };
    ReportedFinding { against: None, finding }
}
