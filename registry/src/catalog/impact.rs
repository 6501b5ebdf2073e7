//! Computes which consumers a change affects: those that are delivered a version now, and would then be delivered none,
//! or one that readers of the former cannot read.

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
    negotiation::{self, Offer},
    schema::{SchemaVersion, State},
    subject::Subject,
};

/// A change of a subject, seen from those who read it.
pub struct Change<'a> {
    /// Where schemas are looked up.
    pub catalog: &'a Catalog,
    /// The subject as it is.
    pub before: &'a Subject,
    /// The versions that there would be.
    pub after: Vec<Offer>,
    /// The one of them that is new.
    pub proposed: Option<Proposed<'a>>,
}

/// A version that is not registered yet.
pub struct Proposed<'a> {
    /// What it is, or would be.
    pub version: Version,
    /// Its schema.
    pub schema: &'a Schema,
    /// What was found about it already.
    pub report: &'a Report,
}

/// The versions of a subject.
pub fn offers(subject: &Subject) -> Vec<Offer> {
    let offer = |it: &Arc<SchemaVersion>| Offer { version: it.version.clone(), state: it.state };
    subject.versions.values().map(offer).collect()
}

impl<'a> Change<'a> {
    /// A new version of a subject.
    pub fn proposed(
        catalog: &'a Catalog,
        before: &'a Subject,
        version: Version,
        schema: &'a Schema,
        report: &'a Report,
    ) -> Self {
        let mut after = offers(before);
        after.push(Offer { version: version.clone(), state: State::Active });
        Self { catalog, before, after, proposed: Some(Proposed { version, schema, report }) }
    }

    /// The consumers that it affects.
    pub fn affected(&self, book: &ConsumerTable, now: Timestamp) -> Affected {
        let mut affected = Affected::default();
        // Many consumers are delivered few versions.
        let mut breaks = HashMap::new();
        for need in book.readers(&self.before.name, now) {
            let Some(reason) = self.reason(need, &mut breaks) else { continue };
            let is_connected = need.is_connected(now);
            // Declared, and asked for by a stream as well.
            if let Some(last) = affected.listed.last_mut()
                && last.need.consumer == need.consumer
                && last.need.requirement == need.requirement
            {
                last.is_connected |= is_connected;
                continue;
            }
            affected.total += 1;
            if affected.listed.len() < LISTED_MAX {
                affected.listed.push(AffectedConsumer { need: need.clone(), is_connected, reason });
            }
        }
        affected
    }

    fn reason(
        &self,
        need: &Requirement,
        breaks: &mut HashMap<(Version, Version), Option<String>>,
    ) -> Option<String> {
        let requirement = &need.requirement;
        // Who is delivered nothing loses nothing.
        let now = &negotiation::best(self.before.versions.values(), requirement)?.version;
        let Some(then) = negotiation::best(&self.after, requirement) else {
            let left = negotiation::alternatives(&self.after);
            let left = match &left[..] {
                [] => "nothing else is left".to_owned(),
                left => format!("what is left satisfies {}", left.join(" or ")),
            };
            return Some(format!(
                "it is delivered {now}, and no version would satisfy {requirement} any more; {left}"
            ));
        };
        if then.version == *now {
            return None;
        }
        let broken = breaks.entry((now.clone(), then.version.clone()));
        broken.or_insert_with(|| self.broken(now, &then.version)).clone()
    }

    /// Why readers of one version cannot read another one.
    fn broken(&self, now: &Version, then: &Version) -> Option<String> {
        let proposed = self.proposed.as_ref().filter(|it| it.version == *then);
        let known = proposed.filter(|it| it.report.compared.contains(now));
        let comparison = match known {
            Some(known) => {
                let of = known.report.findings.iter().filter(|it| it.against.as_ref() == Some(now));
                let findings = of.map(|it| it.finding.clone()).collect();
                Comparison { change: finding::Change::Noticeable, findings }
            }
            None => match self.compare(now, then, proposed.map(|it| it.schema)) {
                Ok(comparison) => comparison,
                Err(detail) => {
                    return Some(format!(
                        "it would be delivered {then} instead of {now}, and whether readers of {now} can read that is \
                         not known: {detail}"
                    ));
                }
            },
        };
        let breaks = |it: &&Finding| {
            it.severity == Severity::Error && it.direction.includes(Direction::Forward)
        };
        let findings = &comparison.findings;
        let first = findings.iter().find(breaks)?;
        let message = first.message.trim_end_matches('.');
        let more = match findings.iter().filter(breaks).count() {
            0 | 1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let can = match comparison.verdict(Direction::Forward) {
            Verdict::Incompatible => "cannot read that",
            Verdict::Unproven | Verdict::Compatible => "could not be shown to read that",
        };
        Some(format!(
            "it would be delivered {then} instead of {now}, and readers of {now} {can}: {message}{more}"
        ))
    }

    fn compare(
        &self,
        now: &Version,
        then: &Version,
        proposed: Option<&Schema>,
    ) -> Result<Comparison, String> {
        let parsed = |version: &Version| {
            let registered = self.before.versions.get(version);
            let registered = registered.ok_or_else(|| format!("{version} is not there"))?;
            self.catalog.parsed(registered).map_err(|error| error.to_string())
        };
        let old = parsed(now)?;
        let options = self.before.settings.options();
        let comparison = match proposed {
            Some(new) => old.compare(new, options),
            None => old.compare(&*parsed(then)?, options),
        };
        comparison.ok_or_else(|| "they have different formats".into())
    }
}
