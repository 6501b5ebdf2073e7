//! Computes the consumers that a change affects: those that are delivered a version now, and after
//! the change would be delivered none, or one that readers of the current version cannot read.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use semver::Version;
use tidings_schema::{
    finding::{self, Comparison, Direction, Finding, Severity, Verdict},
    report::Report,
    schema::Schema,
};

use super::Catalog;
use crate::{
    consumer::{Requirement, table::ConsumerTable},
    impact::{Affected, AffectedConsumer, LISTED_MAX},
    negotiation::{self, VersionAndState},
    schema::{SchemaVersion, State},
    subject::Subject,
};

/// A change of a subject, from the view of its consumers.
pub struct Change<'a> {
    /// The catalog for lookups of schemas.
    pub catalog: &'a Catalog,
    /// The subject before the change.
    pub before: &'a Subject,
    /// The versions after the change.
    pub after: Vec<VersionAndState>,
    /// The new version, if the change adds one.
    pub proposed: Option<Proposed<'a>>,
}

/// A version that is not registered yet.
pub struct Proposed<'a> {
    /// The version that it has, or would have.
    pub version: Version,
    /// The schema.
    pub schema: &'a Schema,
    /// The findings about the schema.
    pub report: &'a Report,
}

/// Returns the versions of a subject with their states.
pub fn versions_of(subject: &Subject) -> Vec<VersionAndState> {
    let version = |schema: &Arc<SchemaVersion>| VersionAndState {
        version: schema.version.clone(),
        state: schema.state,
    };
    subject.versions.values().map(version).collect()
}

impl<'a> Change<'a> {
    /// Creates the change that adds a version to a subject.
    pub fn proposed(
        catalog: &'a Catalog,
        before: &'a Subject,
        version: Version,
        schema: &'a Schema,
        report: &'a Report,
    ) -> Self {
        let mut after = versions_of(before);
        after.push(VersionAndState { version: version.clone(), state: State::Active });
        Self { catalog, before, after, proposed: Some(Proposed { version, schema, report }) }
    }

    /// Returns the affected consumers.
    pub fn affected(&self, consumers: &ConsumerTable, now: Timestamp) -> Affected {
        let mut affected = Affected::default();
        // Many consumers share few pairs of versions: each pair is compared once.
        let mut breaks = HashMap::new();
        for requirement in consumers.readers(&self.before.name, now) {
            let Some(reason) = self.reason(requirement, &mut breaks) else { continue };
            let is_connected = requirement.is_connected(now);
            // A requirement that is declared and also comes from a stream is listed once.
            if let Some(last) = affected.listed.last_mut()
                && last.requirement.consumer == requirement.consumer
                && last.requirement.version_req == requirement.version_req
            {
                last.is_connected |= is_connected;
                continue;
            }
            affected.total += 1;
            if affected.listed.len() < LISTED_MAX {
                let requirement = requirement.clone();
                affected.listed.push(AffectedConsumer { requirement, is_connected, reason });
            }
        }
        affected
    }

    fn reason(
        &self,
        requirement: &Requirement,
        breaks: &mut HashMap<(Version, Version), Option<String>>,
    ) -> Option<String> {
        let version_req = &requirement.version_req;
        // A consumer that is delivered nothing is not affected.
        let current = &negotiation::best(self.before.versions.values(), version_req)?.version;
        let Some(next) = negotiation::best(&self.after, version_req) else {
            let remaining = negotiation::alternatives(&self.after);
            let remaining = match &remaining[..] {
                [] => "no other version remains".to_owned(),
                remaining => format!("the remaining versions satisfy {}", remaining.join(" or ")),
            };
            return Some(format!(
                "it is delivered {current}; no version would satisfy {version_req}; {remaining}"
            ));
        };
        if next.version == *current {
            return None;
        }
        let forward_break = breaks.entry((current.clone(), next.version.clone()));
        forward_break.or_insert_with(|| self.forward_break(current, &next.version)).clone()
    }

    /// Returns why readers of the current version cannot read the next version.
    fn forward_break(&self, current: &Version, next: &Version) -> Option<String> {
        let proposed = self.proposed.as_ref().filter(|proposed| proposed.version == *next);
        let compared = proposed.filter(|proposed| proposed.report.compared.contains(current));
        let comparison = match compared {
            Some(compared) => {
                let findings = compared.report.findings.iter();
                let findings = findings.filter(|found| found.against.as_ref() == Some(current));
                let findings = findings.map(|found| found.finding.clone()).collect();
                Comparison { change: finding::Change::Noticeable, findings }
            }
            None => match self.compare(current, next, proposed.map(|proposed| proposed.schema)) {
                Ok(comparison) => comparison,
                Err(detail) => {
                    return Some(format!(
                        "it would be delivered {next} instead of {current}; whether readers of \
                         {current} can read {next} is unknown: {detail}"
                    ));
                }
            },
        };
        let breaks = |finding: &&Finding| {
            finding.severity == Severity::Error && finding.direction.includes(Direction::Forward)
        };
        let findings = &comparison.findings;
        let first = findings.iter().find(breaks)?;
        let message = first.message.trim_end_matches('.');
        let more = match findings.iter().filter(breaks).count() {
            0 | 1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let verdict = match comparison.verdict(Direction::Forward) {
            Verdict::Incompatible => "cannot read that",
            Verdict::Unproven | Verdict::Compatible => "could not be shown to read that",
        };
        Some(format!(
            "it would be delivered {next} instead of {current}, and readers of {current} {verdict}: \
             {message}{more}"
        ))
    }

    fn compare(
        &self,
        current: &Version,
        next: &Version,
        proposed: Option<&Schema>,
    ) -> Result<Comparison, String> {
        let parsed = |version: &Version| {
            let schema = self.before.versions.get(version);
            let schema = schema.ok_or_else(|| format!("{version} does not exist"))?;
            self.catalog.parsed(schema).map_err(|error| error.to_string())
        };
        let old = parsed(current)?;
        let options = self.before.settings.options();
        let comparison = match proposed {
            Some(new) => old.compare(new, options),
            None => old.compare(&*parsed(next)?, options),
        };
        comparison.ok_or_else(|| "they have different formats".into())
    }
}
