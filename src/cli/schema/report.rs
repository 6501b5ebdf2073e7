//! The result for a proposed schema, for every output format: a verdict, and diagnostics with
//! locations in the text.

use std::{collections::BTreeMap, fmt::Write as _};

use clap::{Args, ValueEnum};
use tidings_registry::proto::v1::{self, CompatibilityReport, Consumer, ErrorReason, Finding};
use tidings_schema::level::Level;
use tidings_schema::{
    definition::{Fault, SourceLocation},
    finding::Direction,
};

use super::{
    super::{failure::Failure, positions::quote, printer::printable},
    enums,
    snippet::{Paint, snippet},
    source::Source,
};

/// Exit code of a negative result: a breaking schema, an invalid payload.
pub const INCOMPATIBLE: u8 = 100;

/// Diagnostics printed as text; the rest are only counted.
const SHOWN_MAX: usize = 100;

/// Characters of a payload printed as text.
const PAYLOAD_CHARS_MAX: usize = 400;

/// The rule of a text that is not a schema.
pub const INVALID_RULE: &str = "INVALID_SCHEMA";

/// The rule of consumers that would no longer receive a version that they accept.
const LEFT_BEHIND_RULE: &str = "CONSUMERS_LEFT_BEHIND";

/// The output flag of reports.
#[derive(Debug, Clone, Copy, Args)]
pub struct ReportArgs {
    /// Output format of the report
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: ReportFormat,
}

/// Output format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people: the line with a caret, the effect, and a suggestion
    Text,
    /// For programs: the response in proto3 JSON
    Json,
    /// For CI servers: JUnit XML, a test case per schema and rule
    Junit,
    /// For GitHub Actions: annotations, and a table in the step summary
    Github,
    /// For GitLab: a Code Quality report
    Gitlab,
}

/// Severity of a diagnostic. A break in a direction that the subject does not promise is no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A reason to reject the schema.
    Error,
    /// May surprise readers or writers.
    Warning,
    /// Information only.
    Info,
}

/// One proposed schema and its result.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The subject, or the file if there is none.
    pub name: String,
    /// File of the proposed text.
    pub file: String,
    /// Whether there is no reason to reject it.
    pub accepted: bool,
    /// In one line: both verdicts, the bump, and the number of diagnostics.
    pub summary: String,
    /// All diagnostics, errors first.
    pub diagnostics: Vec<Diagnostic>,
}

/// A message about a location.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Severity in this report.
    pub severity: Severity,
    /// Stable rule id.
    pub rule: String,
    /// The fact and its effect.
    pub message: String,
    /// Further lines: the broken direction, a suggestion, a payload.
    pub details: Vec<(&'static str, String)>,
    /// File of the location.
    pub file: String,
    /// From 1; 0 if unknown.
    pub line: u32,
    /// From 1; 0 if unknown.
    pub column: u32,
    /// Path within the schema, if there is no line.
    pub path: String,
    /// The line with a caret.
    snippet: Option<Vec<String>>,
}

/// A report on a schema that was read from files.
#[derive(Debug)]
pub struct CheckedSchema<'a> {
    /// The subject; empty if two files are compared.
    pub subject: &'a str,
    /// The proposed schema.
    pub source: &'a Source,
    /// The compatibility report.
    pub report: &'a CompatibilityReport,
    /// Whether it would be, or was, registered.
    pub accepted: bool,
    /// Why it would be rejected, if the registry reports a reason.
    pub refusal_reason: ErrorReason,
    /// The compatibility that must hold, if it is known here.
    pub level: Option<Level>,
    /// Locations of findings in imported files, by the index of the finding.
    pub imported_locations: BTreeMap<usize, SourceLocation>,
}

impl CheckedSchema<'_> {
    /// The printable entry.
    pub fn entry(&self, paint: Paint) -> Entry {
        let name = if self.subject.is_empty() { &self.source.name } else { self.subject };
        // The same finding against several versions is one diagnostic with all of these versions.
        let mut indexes = BTreeMap::new();
        let mut diagnostics: Vec<(&Finding, Vec<String>, Diagnostic)> = Vec::new();
        for (index, finding) in self.report.findings.iter().enumerate() {
            let position = *indexes.entry(identity(finding)).or_insert(diagnostics.len());
            if position == diagnostics.len() {
                let imported_location = self.imported_locations.get(&index);
                let mut diagnostic = self.diagnostic(finding, imported_location);
                // Later diagnostics are not printed as text.
                if position < SHOWN_MAX {
                    let file = imported_location.map_or("", |location| location.file.as_str());
                    let text = self.source.text(file);
                    diagnostic.snippet = text
                        .and_then(|text| snippet(text, diagnostic.line, diagnostic.column, paint));
                }
                diagnostics.push((finding, Vec::new(), diagnostic));
            }
            if !finding.compared_version.is_empty() {
                diagnostics[position].1.push(finding.compared_version.clone());
            }
        }
        let mut diagnostics: Vec<Diagnostic> = diagnostics
            .into_iter()
            .map(|(finding, versions, mut diagnostic)| {
                diagnostic.details = self.details(finding, diagnostic.severity, &versions);
                diagnostic
            })
            .collect();
        diagnostics.extend(self.consumer_diagnostics());
        diagnostics.sort_by_key(|diagnostic| diagnostic.severity);
        let summary = self.summary(&diagnostics);
        Entry {
            name: name.to_owned(),
            file: self.source.name.clone(),
            accepted: self.accepted,
            summary,
            diagnostics,
        }
    }

    fn severity(&self, finding: &Finding) -> Severity {
        match finding.severity() {
            v1::Severity::Info => Severity::Info,
            v1::Severity::Warning | v1::Severity::Unspecified => Severity::Warning,
            v1::Severity::Error if self.accepted || self.is_refused_for_consumers() => {
                Severity::Warning
            }
            v1::Severity::Error => {
                let is_required =
                    self.level.map(|level| match (level.direction(), finding.direction()) {
                        (None, _) => false,
                        (Some(Direction::Backward), v1::Direction::Forward)
                        | (Some(Direction::Forward), v1::Direction::Backward) => false,
                        (Some(_), _) => true,
                    });
                if is_required.unwrap_or(true) { Severity::Error } else { Severity::Warning }
            }
        }
    }

    fn diagnostic(
        &self,
        finding: &Finding,
        imported_location: Option<&SourceLocation>,
    ) -> Diagnostic {
        let own_location = SourceLocation {
            line: finding.line,
            column: finding.column,
            ..SourceLocation::default()
        };
        let location = imported_location.unwrap_or(&own_location);
        let path = if finding.new_path.is_empty() { &finding.old_path } else { &finding.new_path };
        Diagnostic {
            severity: self.severity(finding),
            rule: finding.rule.clone(),
            message: finding.message.clone(),
            details: Vec::new(),
            file: self.source.file_name(&location.file),
            line: location.line,
            column: location.column,
            path: path.clone(),
            snippet: None,
        }
    }

    /// The broken direction, the compared versions, a suggestion, and a payload.
    fn details(
        &self,
        finding: &Finding,
        severity: Severity,
        versions: &[String],
    ) -> Vec<(&'static str, String)> {
        let is_error = finding.severity() == v1::Severity::Error;
        let not_required = severity != Severity::Error && self.level.is_some();
        let title = if not_required { "breaks, although not required" } else { "breaks" };
        let broken = match finding.direction() {
            _ if !is_error => "",
            v1::Direction::Backward => "replays, new code reading old events",
            v1::Direction::Forward => "running readers, old code reading new events",
            v1::Direction::Both => {
                "replays, new code reading old events, and running readers, old code reading new ones"
            }
            v1::Direction::Unspecified => "",
        };
        [
            (title, broken.to_owned()),
            ("against", versions.join(", ")),
            ("instead", finding.suggestion.clone()),
            ("payload", payload(finding)),
        ]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .collect()
    }

    /// Whether affected consumers are the only reason to reject it.
    fn is_refused_for_consumers(&self) -> bool {
        self.refusal_reason == ErrorReason::ConsumersLeftBehind
    }

    fn consumer_diagnostics(&self) -> Vec<Diagnostic> {
        let listed = &self.report.affected_consumers;
        let mut diagnostics: Vec<Diagnostic> = listed
            .iter()
            .map(|affected| {
                let consumer = affected.consumer.clone().unwrap_or_default();
                let connected = if consumer.connected { ", connected now" } else { "" };
                let Consumer { name, requirement, .. } = consumer;
                let would_be = if self.accepted { "is" } else { "would be" };
                self.consumer_diagnostic(format!(
                    "consumer {name}, which needs {requirement}{connected}, {would_be} left behind: {}",
                    affected.reason
                ))
            })
            .collect();
        let total = usize::try_from(self.report.total_affected_consumers).unwrap_or(usize::MAX);
        let more = total.saturating_sub(listed.len());
        if more > 0 {
            let consumers = if more == 1 { "consumer" } else { "consumers" };
            diagnostics.push(self.consumer_diagnostic(format!(
                "and {more} more {consumers}; tidings consumer list --subject {} has them all",
                quote(self.subject)
            )));
        }
        diagnostics
    }

    fn consumer_diagnostic(&self, message: String) -> Diagnostic {
        Diagnostic {
            severity: if self.accepted { Severity::Warning } else { Severity::Error },
            rule: LEFT_BEHIND_RULE.to_owned(),
            message,
            details: Vec::new(),
            file: self.source.name.clone(),
            line: 0,
            column: 0,
            path: String::new(),
            snippet: None,
        }
    }

    fn summary(&self, diagnostics: &[Diagnostic]) -> String {
        let report = self.report;
        if !self.subject.is_empty() && report.compared_versions.is_empty() && diagnostics.is_empty()
        {
            return format!("the first version, {}", report.next_version)
                .trim_end_matches(", ")
                .to_owned();
        }
        let mut text = format!(
            "backward {}, forward {}",
            enums::verdict(report.backward()),
            enums::verdict(report.forward())
        );
        let count = |severity| {
            diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
        };
        let counts = [
            (count(Severity::Error), "error", "errors"),
            (count(Severity::Warning), "warning", "warnings"),
            (count(Severity::Info), "note", "notes"),
        ];
        let counts: Vec<String> = counts
            .iter()
            .filter(|(number, _, _)| *number > 0)
            .map(|(number, singular, plural)| {
                format!("{number} {}", if *number == 1 { singular } else { plural })
            })
            .collect();
        let bump = enums::bump(report.required_bump());
        if !bump.is_empty() {
            let _ = write!(text, "; {bump}");
        }
        let is_same = report.required_bump() == v1::Bump::None;
        if !report.next_version.is_empty() && !is_same {
            let word =
                if self.accepted || self.is_refused_for_consumers() { "as" } else { "needs" };
            let _ = write!(text, ", {word} {}", report.next_version);
        }
        if !counts.is_empty() {
            let _ = write!(text, " ({})", counts.join(", "));
        }
        text
    }
}

/// The identity of a finding, regardless of the version it was found against.
fn identity(finding: &Finding) -> (&str, &str, &str, u32, u32, &str) {
    (
        &finding.rule,
        &finding.old_path,
        &finding.new_path,
        finding.line,
        finding.column,
        &finding.message,
    )
}

/// The counterexample: complete if it is short, otherwise its relevant part.
fn payload(finding: &Finding) -> String {
    let Finding { witness, witness_path, witness_fragment, witness_size_bytes, .. } = finding;
    let is_short = witness.chars().nth(PAYLOAD_CHARS_MAX).is_none();
    if is_short && !witness.is_empty() || *witness_size_bytes == 0 {
        return cut(witness, PAYLOAD_CHARS_MAX);
    }
    let total = match witness.as_str() {
        "" => format!("{witness_size_bytes} bytes in total"),
        _ => format!("{witness_size_bytes} bytes in total: -o json"),
    };
    let location = match witness_path.as_str() {
        "" => String::new(),
        path => format!("at {path}: "),
    };
    let fragment = match witness_fragment.as_str() {
        "" => cut(witness, PAYLOAD_CHARS_MAX),
        fragment => fragment.to_owned(),
    };
    match fragment.as_str() {
        "" => total,
        fragment => format!("{location}{fragment} ({total})"),
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The remedy if consumers would be left behind.
pub const CONSUMERS_REMEDY: &str =
    "update these consumers first, or proceed without them: --force with a --reason";

/// The effect of the required bump, in a sentence.
pub fn describe_bump(report: &CompatibilityReport) -> &'static str {
    let verdicts = [report.backward(), report.forward()];
    match report.required_bump() {
        v1::Bump::Unspecified => "not compared",
        v1::Bump::None => "NONE: it is the same schema",
        v1::Bump::Patch => "PATCH: no effect on readers or writers",
        v1::Bump::Minor => "MINOR: the required compatibility holds",
        v1::Bump::Major if verdicts.contains(&v1::Verdict::Incompatible) => {
            "MAJOR: replays or running readers would break; it needs a new major version"
        }
        v1::Bump::Major => {
            "MAJOR: compatibility is not proven, which counts as incompatible; \
             it needs a new major version"
        }
    }
}

impl Entry {
    /// The entry of a text that is not a schema.
    pub fn invalid(name: &str, source: &Source, faults: &[Fault]) -> Self {
        let diagnostic = |fault: &Fault| {
            let file = &fault.location.file;
            Diagnostic::fault(source.file_name(file), source.text(file), fault)
        };
        Self {
            name: if name.is_empty() { source.name.clone() } else { name.to_owned() },
            file: source.name.clone(),
            accepted: false,
            summary: format!("is not {}", enums::a_schema(source.format)),
            diagnostics: faults.iter().map(diagnostic).collect(),
        }
    }

    /// The error of a command that cannot proceed.
    pub fn failure(&self, remedy: String) -> Failure {
        let failure = Failure::new(format!("{} {}", printable(&self.file), self.summary));
        let failure =
            self.diagnostics.iter().take(SHOWN_MAX).fold(failure, |failure, diagnostic| {
                let mut lines = vec![
                    printable(&diagnostic.message),
                    format!(" {}", diagnostic.location(Paint::OFF)),
                ];
                lines.extend(diagnostic.snippet.iter().flatten().map(|line| format!("  {line}")));
                lines.into_iter().fold(failure, Failure::detail)
            });
        failure.with_remedy(remedy)
    }

    /// The text for people, a paragraph per diagnostic.
    pub fn text(&self, paint: Paint) -> String {
        let mut out = String::new();
        for diagnostic in self.diagnostics.iter().take(SHOWN_MAX) {
            diagnostic.write(&mut out, paint);
            out.push('\n');
        }
        if self.diagnostics.len() > SHOWN_MAX {
            let more = self.diagnostics.len() - SHOWN_MAX;
            let _ = writeln!(out, "and {more} more; -o json shows all\n");
        }
        out
    }
}

impl Diagnostic {
    /// The diagnostic of an invalid text.
    pub fn fault(file: String, text: Option<&str>, fault: &Fault) -> Self {
        let SourceLocation { line, column, path, .. } = &fault.location;
        Self {
            severity: Severity::Error,
            rule: INVALID_RULE.to_owned(),
            message: fault.message.clone(),
            details: Vec::new(),
            file,
            line: *line,
            column: *column,
            path: path.clone(),
            snippet: text.and_then(|text| snippet(text, *line, *column, Paint::OFF)),
        }
    }

    fn location(&self, paint: Paint) -> String {
        let file = printable(&self.file);
        let path = printable(&self.path);
        let arrow = paint.blue("-->");
        match (self.line, path.as_str()) {
            (0, "") => format!("{arrow} {file}"),
            (0, path) => format!("{arrow} {file}: {path}"),
            (line, "") => format!("{arrow} {file}:{line}:{}", self.column.max(1)),
            (line, path) => format!("{arrow} {file}:{line}:{} {path}", self.column.max(1)),
        }
    }

    fn write(&self, out: &mut String, paint: Paint) {
        let rule = format!("[{}]", printable(&self.rule));
        let title = match self.severity {
            Severity::Error => paint.red(&format!("error{rule}")),
            Severity::Warning => paint.yellow(&format!("warning{rule}")),
            Severity::Info => paint.blue(&format!("note{rule}")),
        };
        let _ = writeln!(out, "{title}: {}", paint.bold(&printable(&self.message)));
        let _ = writeln!(out, " {}", self.location(paint));
        for line in self.snippet.iter().flatten() {
            let _ = writeln!(out, "  {line}");
        }
        for (name, text) in &self.details {
            let _ = writeln!(out, "  {} {name}: {}", paint.blue("="), printable(text));
        }
    }
}

/// Parses a fault that the server reports in one line: `file:7:3: message`, `7:3: message`, or only
/// the message.
pub fn parse_fault(description: &str) -> Fault {
    let parsed = description.split_once(": ").and_then(|(head, message)| {
        let mut parts = head.rsplitn(3, ':');
        let column = parts.next()?.parse().ok()?;
        let line = parts.next()?.parse().ok()?;
        let file = parts.next().unwrap_or_default().to_owned();
        let location = SourceLocation { file, line, column, path: String::new() };
        Some(Fault { location, message: message.to_owned() })
    });
    parsed.unwrap_or_else(|| Fault {
        location: SourceLocation::default(),
        message: description.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_parsed_from_server_messages() {
        let fault = parse_fault("a/b.proto:7:3: unknown type \"sting\": declare it");
        assert_eq!(
            (fault.location.file.as_str(), fault.location.line, fault.location.column),
            ("a/b.proto", 7, 3)
        );
        assert_eq!(fault.message, "unknown type \"sting\": declare it");
        let fault = parse_fault("7:3: /a: no");
        assert_eq!((fault.location.line, fault.message.as_str()), (7, "/a: no"));
        for unplaced in ["is required", "a: b", "12: x", "a:1:x: y"] {
            let fault = parse_fault(unplaced);
            assert_eq!((fault.location.line, fault.message.as_str()), (0, unplaced));
        }
    }

    #[test]
    fn of_a_long_payload_only_the_relevant_fragment_is_shown() {
        let long_text = format!("{{\"a\":{{\"b\":1}},\"c\":\"{}\"}}", "x".repeat(500));
        let bytes = u32::try_from(long_text.len()).expect("short");
        let long = Finding {
            witness: long_text,
            witness_path: "/a/b".into(),
            witness_fragment: "1".into(),
            witness_size_bytes: bytes,
            ..Finding::default()
        };
        assert_eq!(payload(&long), "at /a/b: 1 (520 bytes in total: -o json)");
        let dropped = Finding { witness: String::new(), ..long.clone() };
        assert_eq!(payload(&dropped), "at /a/b: 1 (520 bytes in total)");
        let short = Finding { witness: "{}".into(), witness_size_bytes: 2, ..long };
        assert_eq!(payload(&short), "{}");
        assert_eq!(payload(&Finding::default()), "");
    }

    #[test]
    fn long_payloads_are_cut_between_characters() {
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äöü", 3), "äöü");
    }
}
