//! The report of a comparison with one or more versions: verdicts, the required bump, all findings.

use semver::Version;

use crate::{
    counterexample::{PAYLOADS_BYTES_MAX, PayloadRoom},
    finding::{Change, Comparison, Direction, Finding, Severity, Verdict},
    level::Level,
    version::Bump,
};

/// What the comparison of a proposed schema with registered ones found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose it is; empty for files.
    pub subject: String,
    /// Every version it was compared with, the oldest first.
    pub compared: Vec<Version>,
    /// New readers, old data.
    pub backward: Verdict,
    /// Old readers, new data.
    pub forward: Verdict,
    /// The least that semantic versioning allows.
    pub required: Bump,
    /// The version that a registration without one would be given, or for a major change would need.
    pub next: Option<Version>,
    /// All findings, errors first, each with the version that it was found against.
    pub findings: Vec<ReportedFinding>,
    /// The registered version with the same canonical form.
    pub identical: Option<Version>,
}

/// A finding, and what it was compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedFinding {
    /// None for files, and for what concerns no version in particular.
    pub against: Option<Version>,
    /// The finding.
    pub finding: Finding,
}

impl Report {
    /// Of nothing: a first version.
    pub fn empty(subject: &str) -> Self {
        Self {
            subject: subject.into(),
            compared: Vec::new(),
            backward: Verdict::Compatible,
            forward: Verdict::Compatible,
            required: Bump::None,
            next: None,
            findings: Vec::new(),
            identical: None,
        }
    }

    /// Of two files.
    pub fn of_files(level: Level, comparison: Comparison) -> Self {
        let mut report = Self::empty("");
        report.add(level, None, true, comparison);
        report.order();
        report
    }

    /// Takes in what was found against one version. Each can show a break; how far an unbroken step goes is told by the
    /// version that it goes on from, the `base`.
    pub fn add(
        &mut self,
        level: Level,
        against: Option<&Version>,
        is_base: bool,
        comparison: Comparison,
    ) {
        self.backward = self.backward.max(comparison.verdict(Direction::Backward));
        self.forward = self.forward.max(comparison.verdict(Direction::Forward));
        let bump = level.bump(&comparison);
        if is_base || bump == Bump::Major {
            self.required = self.required.max(bump);
        }
        self.compared.extend(against.cloned());
        let carried = self.findings.iter().filter_map(|it| it.finding.counterexample.as_ref());
        let carried: usize = carried.map(|it| it.payload.len()).sum();
        let mut room = PayloadRoom(PAYLOADS_BYTES_MAX.saturating_sub(carried));
        let found = |mut finding: Finding| {
            room.take(&mut finding.counterexample);
            ReportedFinding { against: against.cloned(), finding }
        };
        self.findings.extend(comparison.findings.into_iter().map(found));
    }

    /// Takes in findings about the whole line, such as those of the ledger.
    pub fn add_findings(&mut self, level: Level, findings: Vec<Finding>) {
        self.add(level, None, false, Comparison { change: Change::None, findings });
    }

    /// Errors first; then by place, and the newest version first.
    pub fn order(&mut self) {
        self.findings.sort_by(|one, other| {
            (other.finding.severity.cmp(&one.finding.severity))
                .then_with(|| one.finding.place.cmp(&other.finding.place))
                .then_with(|| one.finding.rule.cmp(other.finding.rule))
                .then_with(|| one.finding.old_path.cmp(&other.finding.old_path))
                .then_with(|| one.finding.new_path.cmp(&other.finding.new_path))
                .then_with(|| other.against.cmp(&one.against))
        });
    }

    /// The errors.
    pub fn errors(&self) -> impl Iterator<Item = &ReportedFinding> {
        self.findings.iter().filter(|found| found.finding.severity == Severity::Error)
    }
}
