//! Whom a change would leave behind: consumers that are delivered a version now, and would then be delivered none, or one
//! that readers of the former cannot read.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use semver::Version;

use crate::{
    catalog::{
        Catalog,
        plan::{Decision, Planned},
    },
    compatibility::Report,
    consumer::{Need, book::Book},
    error::Refusal,
    finding::{self, Comparison, Direction, Finding, Severity, Verdict},
    format::Schema,
    negotiation::{self, Offer},
    schema::{Registered, State},
    subject::Subject,
    version::{self, Bump},
};

/// Consumers that are listed; of the rest only the number is told.
pub const LISTED_MAX: usize = 1000;

/// Consumers that a change would leave behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Affected {
    /// By name, at most [`LISTED_MAX`].
    pub listed: Vec<LeftBehind>,
    /// How many there are.
    pub total: usize,
}

/// A consumer that a change would leave behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftBehind {
    /// Who, and what it needs.
    pub need: Need,
    /// A stream of it is open.
    pub is_connected: bool,
    /// What it would be delivered, and why that is not enough.
    pub reason: String,
}

impl Affected {
    /// Whether nobody is left behind.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Each name once.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.listed.iter().map(|it| it.need.consumer.to_string()).collect();
        names.dedup();
        names
    }
}

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
    let offer = |it: &Arc<Registered>| Offer { version: it.version.clone(), state: it.state };
    subject.versions.values().map(offer).collect()
}

impl Change<'_> {
    /// Whom it would leave behind.
    pub fn affected(&self, book: &Book, now: Timestamp) -> Affected {
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
                affected.listed.push(LeftBehind { need: need.clone(), is_connected, reason });
            }
        }
        affected
    }

    fn reason(
        &self,
        need: &Need,
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

/// Puts into a plan whom it would leave behind. Unless it is forced it is refused for that.
pub fn weigh(
    catalog: &Catalog,
    book: &Book,
    planned: &mut Planned,
    is_forced: bool,
    now: Timestamp,
) {
    let Some(proposal) = &planned.proposal else { return };
    let Some(before) = &proposal.before else { return };
    let report = planned.decision.report().unwrap_or(&planned.report);
    let version = match &planned.decision {
        Decision::Register(registered) => registered.version.clone(),
        // What it would have been, had it not broken anybody: these are who would be.
        Decision::Refused(Refusal::Incompatible(report)) => match report.compared.iter().max() {
            Some(last) => version::next(last, Bump::Minor),
            None => return,
        },
        Decision::Refused(Refusal::TooLow { least, .. }) => least.clone(),
        Decision::Already(_) | Decision::Refused(_) => return,
    };
    let mut after = offers(before);
    after.push(Offer { version: version.clone(), state: State::Active });
    let change = Change {
        catalog,
        before,
        after,
        proposed: Some(Proposed { version, schema: &proposal.schema, report }),
    };
    let affected = change.affected(book, now);
    if affected.is_empty() {
        return;
    }
    planned.report.affected = affected.clone();
    match &mut planned.decision {
        Decision::Refused(Refusal::Incompatible(report) | Refusal::TooLow { report, .. }) => {
            report.affected = affected;
        }
        Decision::Register(_) if !is_forced => {
            let report = Box::new(planned.report.clone());
            planned.decision = Decision::Refused(Refusal::LeavesBehind(report));
        }
        Decision::Register(_) | Decision::Already(_) | Decision::Refused(_) => {}
    }
}
