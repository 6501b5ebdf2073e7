//! Collects the findings of one comparison.

use std::collections::HashSet;

use crate::{
    definition::SourceLocation,
    finding::{Direction, Finding, Severity},
};

/// Limit of errors, and of other findings. More are kept only if they change a verdict: a hostile
/// pair of schemas has one finding per field and direction.
const FINDINGS_MAX: usize = 500;

/// Length limit of a value in a finding.
const VALUE_CHARS_MAX: usize = 200;

/// The messages and fields that a finding is about.
#[derive(Debug, Clone, Default)]
pub(super) struct FindingContext {
    /// Message indices in the old and in the new schema. `None` for findings without a message,
    /// such as those about the enums of a file.
    pub(super) messages: Option<(usize, usize)>,
    /// Field numbers.
    pub(super) fields: Vec<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Findings {
    findings: Vec<(Finding, FindingContext)>,
    context: FindingContext,
    errors: usize,
    seen: HashSet<(&'static str, String, String, String)>,
}

#[derive(Debug)]
pub(super) struct FindingBuilder(Finding);

impl FindingBuilder {
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
            location: SourceLocation::default(),
        })
    }

    /// A finding that breaks a direction.
    pub(super) fn error(rule: &'static str, direction: Direction) -> Self {
        Self::new(rule, Severity::Error, direction)
    }

    /// A finding that is not proven to keep a direction.
    pub(super) fn unproven(rule: &'static str, direction: Direction) -> Self {
        let mut builder = Self::error(rule, direction);
        builder.0.proven = false;
        builder
    }

    /// A compatible change with a risk.
    pub(super) fn warning(rule: &'static str, direction: Direction) -> Self {
        Self::new(rule, Severity::Warning, direction)
    }

    /// A compatible change.
    pub(super) fn info(rule: &'static str, direction: Direction) -> Self {
        Self::new(rule, Severity::Info, direction)
    }

    pub(super) fn paths(mut self, old: impl Into<String>, new: impl Into<String>) -> Self {
        self.0.old_path = old.into();
        self.0.new_path = new.into();
        self
    }

    pub(super) fn values(mut self, old: impl Into<String>, new: impl Into<String>) -> Self {
        self.0.old_value = shorten(old.into());
        self.0.new_value = shorten(new.into());
        self
    }

    /// The location in the new text.
    pub(super) fn location(mut self, location: &SourceLocation) -> Self {
        self.0.location = location.clone();
        self
    }

    /// The change and the readers that it affects.
    pub(super) fn message(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    pub(super) fn suggestion(mut self, suggestion: impl Into<String>) -> Self {
        self.0.suggestion = suggestion.into();
        self
    }
}

impl Findings {
    /// Sets the messages and fields that the following findings are about.
    pub(super) fn set_context(&mut self, messages: (usize, usize), fields: &[u32]) {
        self.context.messages = Some(messages);
        self.context.fields.clear();
        self.context.fields.extend_from_slice(fields);
    }

    /// Adds a finding, unless it is a duplicate.
    pub(super) fn add(&mut self, FindingBuilder(finding): FindingBuilder) {
        let error = finding.severity == Severity::Error;
        let same_kind = if error { self.errors } else { self.findings.len() - self.errors };
        if same_kind >= FINDINGS_MAX && !self.changes_verdict(&finding) {
            return;
        }
        let key = (
            finding.rule,
            finding.old_path.clone(),
            finding.new_path.clone(),
            format!("{:?} {:?}", finding.direction, finding.severity),
        );
        if self.seen.insert(key) {
            self.errors += usize::from(error);
            self.findings.push((finding, self.context.clone()));
        }
    }

    fn changes_verdict(&self, finding: &Finding) -> bool {
        let proven = |direction| {
            self.findings.iter().any(|(finding, _)| {
                finding.severity == Severity::Error
                    && finding.proven
                    && finding.direction.includes(direction)
            })
        };
        finding.severity == Severity::Error
            && [Direction::Backward, Direction::Forward]
                .into_iter()
                .any(|direction| finding.direction.includes(direction) && !proven(direction))
    }

    /// All findings: errors first, then in the order of the new text.
    pub(super) fn finish(self) -> Vec<(Finding, FindingContext)> {
        let mut findings = self.findings;
        findings.sort_by(|(a, _), (b, _)| {
            let key = |finding: &Finding| {
                (std::cmp::Reverse((finding.severity, finding.proven)), finding.location.clone())
            };
            key(a).cmp(&key(b)).then_with(|| {
                (&a.old_path, &a.new_path, a.rule).cmp(&(&b.old_path, &b.new_path, b.rule))
            })
        });
        findings
    }
}

/// Shortens a value to [`VALUE_CHARS_MAX`].
pub(super) fn shorten(value: String) -> String {
    if value.chars().count() <= VALUE_CHARS_MAX {
        return value;
    }
    let mut short: String = value.chars().take(VALUE_CHARS_MAX - 1).collect();
    short.push('…');
    short
}
