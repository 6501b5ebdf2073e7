//! Reports of comparisons with one or more versions: verdicts, the required bump and all findings.

use semver::Version;

use crate::{
    counterexample::{PAYLOADS_BYTES_MAX, PayloadBudget},
    finding::{Change, Comparison, Direction, Finding, Severity, Verdict},
    level::Level,
    version::Bump,
};

/// The result of the comparison of a proposed schema with registered versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The subject; empty for files.
    pub subject: String,
    /// The compared versions, oldest first.
    pub compared: Vec<Version>,
    /// The verdict for new readers of old data.
    pub backward: Verdict,
    /// The verdict for old readers of new data.
    pub forward: Verdict,
    /// The smallest bump that semantic versioning allows.
    pub required: Bump,
    /// The version that a registration without a declared version gets, or that a breaking change
    /// needs.
    pub next: Option<Version>,
    /// All findings, errors first, each with its compared version.
    pub findings: Vec<ReportedFinding>,
    /// The registered version with the same canonical form.
    pub identical: Option<Version>,
}

/// A finding and its compared version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedFinding {
    /// The compared version. `None` for files, and for findings about no single version.
    pub against: Option<Version>,
    /// The finding.
    pub finding: Finding,
}

impl Report {
    /// The report of a first version.
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

    /// The report of two files.
    pub fn of_files(level: Level, comparison: Comparison) -> Self {
        let mut report = Self::empty("");
        report.add(level, None, true, comparison);
        report.sort();
        report
    }

    /// Adds the comparison with one version. A break with any version requires a major bump;
    /// without breaks, only the comparison with the base version determines the bump.
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
        let counterexamples =
            self.findings.iter().filter_map(|reported| reported.finding.counterexample.as_ref());
        let used: usize = counterexamples.map(|counterexample| counterexample.payload.len()).sum();
        let mut budget = PayloadBudget(PAYLOADS_BYTES_MAX.saturating_sub(used));
        let reported = |mut finding: Finding| {
            budget.charge(&mut finding.counterexample);
            ReportedFinding { against: against.cloned(), finding }
        };
        self.findings.extend(comparison.findings.into_iter().map(reported));
    }

    /// Adds findings about a line, such as those of the ledger.
    pub fn add_findings(&mut self, level: Level, findings: Vec<Finding>) {
        self.add(level, None, false, Comparison { change: Change::None, findings });
    }

    /// Sorts the findings: errors first, then by location, then the newest version first.
    pub fn sort(&mut self) {
        self.findings.sort_by(|left, right| {
            (right.finding.severity.cmp(&left.finding.severity))
                .then_with(|| left.finding.location.cmp(&right.finding.location))
                .then_with(|| left.finding.rule.cmp(right.finding.rule))
                .then_with(|| left.finding.old_path.cmp(&right.finding.old_path))
                .then_with(|| left.finding.new_path.cmp(&right.finding.new_path))
                .then_with(|| right.against.cmp(&left.against))
        });
    }

    /// The findings that are errors.
    pub fn errors(&self) -> impl Iterator<Item = &ReportedFinding> {
        self.findings.iter().filter(|reported| reported.finding.severity == Severity::Error)
    }
}
