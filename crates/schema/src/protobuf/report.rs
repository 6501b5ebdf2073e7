//! The findings of one comparison, as they are gathered.

use std::collections::HashSet;

use crate::{
    definition::SourceLocation,
    finding::{Direction, Finding, Severity},
};

/// As many findings as anybody reads, of errors and of the rest. Beyond them only those that still change a verdict are
/// kept: a hostile pair of schemas has one per field and direction.
const FINDINGS_MAX: usize = 500;

/// Longest value in a finding.
const VALUE_CHARS_MAX: usize = 200;

/// Where a finding was made: which messages were compared, and which of their fields it is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Spot {
    /// By their indices, in the old schema and in the new one. None: none, such as enums of a file.
    pub(super) messages: Option<(usize, usize)>,
    /// Numbers of fields.
    pub(super) fields: Vec<u32>,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<(Finding, Spot)>,
    spot: Spot,
    errors: usize,
    known: HashSet<(&'static str, String, String, String)>,
}

/// A finding that is being written.
#[derive(Debug)]
pub(super) struct Note(Finding);

impl Note {
    fn new(rule: &'static str, severity: Severity, direction: Direction) -> Self {
        Self(Finding {
            rule,
            severity,
            direction,
            proven: severity == Severity::Error,
            old_path: String::new(),
            new_path: String::new(),
            old_value: String::new(),
            new_value: String::new(),
            message: String::new(),
            suggestion: String::new(),
            counterexample: None,
            place: SourceLocation::default(),
        })
    }

    /// It breaks a direction.
    pub(super) fn error(rule: &'static str, direction: Direction) -> Self {
        Self::new(rule, Severity::Error, direction)
    }

    /// It could not be shown that it does not break a direction.
    pub(super) fn unproven(rule: &'static str, direction: Direction) -> Self {
        let mut note = Self::error(rule, direction);
        note.0.proven = false;
        note
    }

    /// It breaks nothing and may surprise.
    pub(super) fn warning(rule: &'static str, direction: Direction) -> Self {
        Self::new(rule, Severity::Warning, direction)
    }

    /// It breaks nothing.
    pub(super) fn info(rule: &'static str, direction: Direction) -> Self {
        Self::new(rule, Severity::Info, direction)
    }

    /// Where, in both.
    pub(super) fn at(mut self, old: impl Into<String>, new: impl Into<String>) -> Self {
        self.0.old_path = old.into();
        self.0.new_path = new.into();
        self
    }

    /// What it was and what it is.
    pub(super) fn values(mut self, old: impl Into<String>, new: impl Into<String>) -> Self {
        self.0.old_value = short(old.into());
        self.0.new_value = short(new.into());
        self
    }

    /// Where in the new text.
    pub(super) fn place(mut self, place: &SourceLocation) -> Self {
        self.0.place = place.clone();
        self
    }

    /// What changed and whom it hurts.
    pub(super) fn says(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// What to do instead.
    pub(super) fn advises(mut self, suggestion: impl Into<String>) -> Self {
        self.0.suggestion = suggestion.into();
        self
    }
}

impl Report {
    /// What is added from here on is about these messages and fields.
    pub(super) fn stand(&mut self, messages: (usize, usize), fields: &[u32]) {
        self.spot.messages = Some(messages);
        self.spot.fields.clear();
        self.spot.fields.extend_from_slice(fields);
    }

    /// Adds a finding, unless it is there already.
    pub(super) fn add(&mut self, Note(finding): Note) {
        let error = finding.severity == Severity::Error;
        let alike = if error { self.errors } else { self.findings.len() - self.errors };
        if alike >= FINDINGS_MAX && !self.decides(&finding) {
            return;
        }
        let key = (
            finding.rule,
            finding.old_path.clone(),
            finding.new_path.clone(),
            format!("{:?} {:?}", finding.direction, finding.severity),
        );
        if self.known.insert(key) {
            self.errors += usize::from(error);
            self.findings.push((finding, self.spot.clone()));
        }
    }

    fn decides(&self, finding: &Finding) -> bool {
        let shown = |direction| {
            self.findings.iter().any(|(it, _)| {
                it.severity == Severity::Error && it.proven && it.direction.includes(direction)
            })
        };
        finding.severity == Severity::Error
            && [Direction::Backward, Direction::Forward]
                .into_iter()
                .any(|it| finding.direction.includes(it) && !shown(it))
    }

    /// Everything, errors first, in the order of the new text.
    pub(super) fn finish(self) -> Vec<(Finding, Spot)> {
        let mut findings = self.findings;
        findings.sort_by(|(a, _), (b, _)| {
            let key =
                |it: &Finding| (std::cmp::Reverse((it.severity, it.proven)), it.place.clone());
            key(a).cmp(&key(b)).then_with(|| {
                (&a.old_path, &a.new_path, a.rule).cmp(&(&b.old_path, &b.new_path, b.rule))
            })
        });
        findings
    }
}

/// A value that fits into a finding.
pub(super) fn short(value: String) -> String {
    if value.chars().count() <= VALUE_CHARS_MAX {
        return value;
    }
    let mut short: String = value.chars().take(VALUE_CHARS_MAX - 1).collect();
    short.push('…');
    short
}
