//! What a draft would become: compares it, derives the bump, and assigns or enforces a version. Changes nothing.

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
    schema::{Fingerprint, Reference, SchemaVersion, State},
    subject::{Settings, Subject, SubjectName},
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

/// A schema that somebody proposes.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Whose it would be.
    pub subject: SubjectName,
    /// None: that of the subject.
    pub format: Option<Format>,
    /// As its author wrote it.
    pub definition: Definition,
    /// What it refers to.
    pub references: Vec<DraftReference>,
    /// None: the next one that the change asks for, unless that is a new major version.
    pub version: Option<Version>,
    /// For tools.
    pub labels: BTreeMap<String, String>,
    /// For a subject that does not exist yet.
    pub level: Option<Level>,
    /// For a subject that does not exist yet.
    pub content_model: Option<ContentModel>,
    /// For a subject that does not exist yet.
    pub surface: Option<Surface>,
}

/// A reference of a draft.
#[derive(Debug, Clone)]
pub struct DraftReference {
    /// What the definition calls it.
    pub name: String,
    /// Where it is registered.
    pub subject: SubjectName,
    /// Which version of it.
    pub version: Selector,
    /// How that was written.
    pub asked: String,
}

/// What becomes of a draft.
#[derive(Debug)]
pub enum Decision {
    /// It is registered already.
    Already(Arc<SchemaVersion>),
    /// It becomes a version.
    Register(Arc<SchemaVersion>),
    /// Why not.
    Refused(Refusal),
}

/// What becomes of a draft, and why.
#[derive(Debug)]
pub struct Planned {
    /// What becomes of it.
    pub decision: Decision,
    /// What it changes, and the consumers that it affects.
    pub impact: Impact,
    /// The version that it becomes, or would become if it affected no consumer.
    pub candidate: Option<Arc<SchemaVersion>>,
}

/// What a draft is by its schema alone.
pub(super) enum Assessment {
    /// It is registered already.
    Already(Arc<SchemaVersion>),
    /// A version that its level allows.
    Candidate(Arc<SchemaVersion>),
    /// Not a version.
    Refused(Refusal),
}

impl Catalog {
    /// What becomes of a draft: what it changes, then the consumers that this affects, then one decision. A draft that
    /// affects consumers is refused unless it is forced.
    pub fn plan(
        &self,
        draft: &Draft,
        consumers: &ConsumerTable,
        is_forced: bool,
        now: Timestamp,
    ) -> Planned {
        let mut impact = Impact::from(Report::empty(draft.subject.as_str()));
        let read = match self.read(draft) {
            Ok(read) => read,
            Err(refusal) => {
                return Planned { decision: Decision::Refused(refusal), impact, candidate: None };
            }
        };
        let schema = Arc::clone(&read.schema);
        let mut assessment = self.assess(draft, read, &mut impact.report, now);
        if let Some(version) = assessment.version(&impact.report)
            && let Ok(before) = self.subject(&draft.subject)
        {
            let report = assessment.report().unwrap_or(&impact.report);
            let change = Change::proposed(self, before, version, &schema, report);
            impact.affected = change.affected(consumers, now);
        }
        let candidate = match &assessment {
            Assessment::Candidate(registered) => Some(Arc::clone(registered)),
            Assessment::Already(_) | Assessment::Refused(_) => None,
        };
        if let Assessment::Refused(refusal) = &mut assessment
            && let Some(refused) = refusal.impact_mut()
        {
            refused.affected.clone_from(&impact.affected);
        }
        let decision = match assessment {
            Assessment::Already(registered) => Decision::Already(registered),
            Assessment::Refused(refusal) => Decision::Refused(refusal),
            Assessment::Candidate(registered) if is_forced || impact.affected.is_empty() => {
                Decision::Register(registered)
            }
            Assessment::Candidate(_) => {
                Decision::Refused(Refusal::AffectsConsumers(Box::new(impact.clone())))
            }
        };
        Planned { decision, impact, candidate }
    }

    /// What a draft changes against one version, and no decision.
    ///
    /// # Errors
    /// Where it is no schema.
    pub fn compare_with(&self, draft: &Draft, against: &SchemaVersion) -> Result<Report, Refusal> {
        let proposal = self.read(draft)?;
        let mut report = Report::empty(draft.subject.as_str());
        let settings = self.settings(draft);
        self.add_comparison(&mut report, &settings, against, true, &proposal.schema)?;
        report.order();
        if proposal.fingerprint == against.fingerprint {
            report.identical = Some(against.version.clone());
        }
        report.next = Some(version::next(&against.version, report.required));
        Ok(report)
    }

    /// What changed between two registered versions of a subject.
    ///
    /// # Errors
    /// Where one of them cannot be read.
    pub fn diff(
        &self,
        settings: &Settings,
        old: &SchemaVersion,
        new: &SchemaVersion,
    ) -> Result<Report, Refusal> {
        let mut report = Report::empty(new.subject.as_str());
        let schema = self.parsed(new)?;
        self.add_comparison(&mut report, settings, old, true, &schema)?;
        report.order();
        if old.fingerprint == new.fingerprint {
            report.identical = Some(old.version.clone());
        }
        report.next = Some(version::next(&old.version, report.required));
        Ok(report)
    }

    /// Parses and checks a draft with what it refers to.
    fn read(&self, draft: &Draft) -> Result<Read, Refusal> {
        let size = draft.definition.bytes();
        if size > DEFINITION_BYTES_MAX {
            return Err(Refusal::TooLarge { size, limit: DEFINITION_BYTES_MAX });
        }
        let there = self.subject_or_grave(&draft.subject).filter(|subject| !subject.deleted);
        let format = match (draft.format, there) {
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
            if references.iter().any(|it| it.name == reference.name) {
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
            let registered = self.referred(reference);
            fingerprints.extend(registered.map(|it| (reference.name.clone(), it.fingerprint)));
        }
        let fingerprint = Fingerprint::of(format, &schema.canonical(), &fingerprints);
        // A version that is registered already is offered again by each deployment, and cannot be
        // changed any more.
        let is_known = there.is_some_and(|subject| {
            subject.versions.values().any(|it| it.fingerprint == fingerprint)
        });
        let faults = if is_known { Vec::new() } else { schema.check() };
        if !faults.is_empty() {
            return Err(Refusal::Invalid(faults));
        }
        Ok(Read { format, schema: Arc::new(schema), references, fingerprint })
    }

    fn resolve(&self, reference: &DraftReference) -> Result<Reference, Refusal> {
        let refuse = |reason| Refusal::Reference { name: reference.name.clone(), reason };
        let registered = self
            .version(&reference.subject, &reference.version, &reference.asked)
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Reference {
            name: reference.name.clone(),
            subject: reference.subject.clone(),
            version: registered.version.clone(),
        })
    }

    /// The subject's, or what the draft says of a new one.
    fn settings(&self, draft: &Draft) -> Settings {
        match self.subject_or_grave(&draft.subject) {
            Some(subject) if !subject.deleted => subject.settings.clone(),
            _ => draft.settings(),
        }
    }

    /// What a schema that was read is by itself; the report gets what was found.
    pub(super) fn assess(
        &self,
        draft: &Draft,
        proposal: Read,
        report: &mut Report,
        now: Timestamp,
    ) -> Assessment {
        let grave = self.subject_or_grave(&draft.subject);
        let subject = grave.filter(|subject| !subject.deleted);
        let settings = self.settings(draft);

        let same = |it: &&Arc<SchemaVersion>| it.fingerprint == proposal.fingerprint;
        if let Some(known) = subject.and_then(|it| it.versions.values().rev().find(same)) {
            report.identical = Some(known.version.clone());
            report.next = Some(known.version.clone());
            report.compared.push(known.version.clone());
            return Assessment::Already(Arc::clone(known));
        }
        if let Some((version, id)) = subject.and_then(|it| it.unreadable.first_key_value()) {
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
        report.order();
        let assigned = base
            .and_then(|base| assign(draft, grave.map(|it| &**it), base, settings.level, report));
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

    /// Compares a proposal with what its line has; the version that it goes on from.
    fn compare_line(
        &self,
        draft: &Draft,
        subject: &Subject,
        settings: &Settings,
        proposal: &Read,
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
            // A line that begins. What it changes is worth telling, and binds nobody.
            let before = subject.versions.values().rev().find(|it| {
                draft.version.as_ref().is_none_or(|version| it.version < *version)
                    && it.version.pre.is_empty()
            });
            let before = before.or_else(newest);
            if let Some(before) = before {
                self.add_comparison(report, settings, before, true, &proposal.schema)?;
            }
            return Ok(before.map(|it| it.version.clone()));
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
    /// The version that consumers would be delivered; None where nothing would change for them.
    fn version(&self, report: &Report) -> Option<Version> {
        match self {
            Self::Candidate(registered) => Some(registered.version.clone()),
            // The version it would have been, had it broken nothing: its readers are those that the break affects.
            Self::Refused(Refusal::Incompatible(_)) => {
                Some(version::next(report.compared.iter().max()?, Bump::Minor))
            }
            Self::Refused(Refusal::TooLow { least, .. }) => Some(least.clone()),
            Self::Already(_) | Self::Refused(_) => None,
        }
    }

    /// The report that a refusal has.
    fn report(&self) -> Option<&Report> {
        match self {
            Self::Refused(refusal) => Some(&refusal.impact()?.report),
            Self::Already(_) | Self::Candidate(_) => None,
        }
    }
}

impl Draft {
    /// What it says of a subject that does not exist yet.
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

/// A draft that is a schema.
pub(super) struct Read {
    pub format: Format,
    pub schema: Arc<Schema>,
    pub references: Vec<Reference>,
    pub fingerprint: Fingerprint,
}

/// The version that a proposal gets: the next one that the change asks for, or the declared one where that is enough.
fn assign(
    draft: &Draft,
    grave: Option<&Subject>,
    base: Option<Version>,
    level: Level,
    report: &mut Report,
) -> Result<Version, Refusal> {
    let major_before = grave.and_then(|it| it.major_before);
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
                    "the subject was deleted, and versions are never used again; go on with {first}"
                );
                Err(too_low(declared, first, reason, report))
            }
            Some(declared) => Ok(declared.clone()),
        };
    };
    let versions = grave.map(|it| &it.versions);
    let highest = versions.and_then(|it| it.keys().next_back()).unwrap_or(&base);
    // A pre-release binds nobody: its release may differ.
    let breaks = report.required == Bump::Major && base.pre.is_empty();
    let least = match report.required {
        // Another line's numbers may be taken: the breaking change goes behind all of them.
        Bump::Major if breaks => version::next(&version::release(highest), Bump::Major),
        bump => version::next(&base, bump.max(Bump::Patch)),
    };
    report.next = Some(least.clone());
    let Some(declared) = &draft.version else {
        return if breaks {
            Err(Refusal::Incompatible(Box::new(report.clone().into())))
        } else {
            Ok(least)
        };
    };
    let line = Line::of(declared);
    let of_line = |it: &&Version| Line::of(it) == line;
    let last = versions.and_then(|it| it.keys().rev().find(of_line));
    if let Some(versions) = versions
        && versions.contains_key(declared)
    {
        let next = least;
        let subject = draft.subject.to_string();
        return Err(Refusal::Taken { subject, version: declared.clone(), next });
    }
    if major_before.is_some_and(|major| declared.major <= major) {
        let reason = "what was deleted had that major version".to_owned();
        return Err(too_low(declared, least, reason, report));
    }
    let Some(last) = last else {
        // A new line. It begins behind all others: what is older is closed.
        if declared < highest {
            let reason =
                format!("it would begin a line behind which {highest} is registered already");
            let least = version::next(&version::release(highest), Bump::Major);
            return Err(too_low(declared, least, reason, report));
        }
        if report.required < Bump::Major && level != Level::None {
            let least = version::next(&base, report.required.max(Bump::Patch));
            report.findings.push(higher(declared, &least, report.required));
        }
        return Ok(declared.clone());
    };
    if Line::of(&base) == line && breaks {
        return Err(Refusal::Incompatible(Box::new(report.clone().into())));
    }
    if declared < last {
        let least = version::next(last, Bump::Patch);
        let reason = format!("{last} is registered in its line");
        return Err(too_low(declared, least, reason, report));
    }
    if version::release(declared) < least {
        let reason = format!(
            "what changed since {base} is {}, which needs {least}",
            report.required.in_words()
        );
        return Err(too_low(declared, least, reason, report));
    }
    if version::release(declared) > least {
        report.findings.push(higher(declared, &least, report.required));
    }
    Ok(declared.clone())
}

/// The report says it too: a plan is read, not caught.
fn too_low(declared: &Version, least: Version, reason: String, report: &Report) -> Refusal {
    let mut report = report.clone();
    let message = format!("{declared} is declared, and is too low: {reason}");
    let finding = of_version("VERSION_TOO_LOW", Severity::Error, declared, &least, message);
    report.findings.insert(0, finding);
    report.next = Some(least.clone());
    Refusal::TooLow { declared: declared.clone(), least, reason, impact: Box::new(report.into()) }
}

/// A version that promises more than it changes is taken, and said.
fn higher(declared: &Version, least: &Version, bump: Bump) -> ReportedFinding {
    let message = format!(
        "{declared} is declared; what changed is {}, for which {least} is enough",
        bump.in_words()
    );
    of_version("VERSION_HIGHER_THAN_NEEDED", Severity::Warning, declared, least, message)
}

/// What is found about a declared version, not about the schemas.
fn of_version(
    rule: &'static str,
    severity: Severity,
    declared: &Version,
    least: &Version,
    message: String,
) -> ReportedFinding {
    let finding = Finding {
        rule,
        severity,
        direction: Direction::Both,
        proven: true,
        old_path: String::new(),
        new_path: String::new(),
        old_value: least.to_string(),
        new_value: declared.to_string(),
        message,
        suggestion: format!("declare {least}, or no version"),
        counterexample: None,
        place: SourceLocation::default(),
    };
    ReportedFinding { against: None, finding }
}
