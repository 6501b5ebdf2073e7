//! What became of a proposed schema, as every output tells it: a verdict, and notes on places of the text.

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
    snippet::{Paint, snippet},
    source::Source,
    words,
};

/// The exit code of "no": a schema that would break somebody, a payload that does not fit.
pub const INCOMPATIBLE: u8 = 100;

/// Findings told as text; of the rest only the number.
const TOLD_MAX: usize = 100;

/// Characters of a payload that are told as text.
const PAYLOAD_CHARS_MAX: usize = 400;

/// The rule under which a text that is no schema is told.
pub const INVALID: &str = "INVALID_SCHEMA";

/// The rule of consumers that would not get any more what they understand.
const LEFT_BEHIND: &str = "CONSUMERS_LEFT_BEHIND";

/// Says how a report is printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct ReportArgs {
    /// How the report is printed
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: ReportFormat,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people: the line with a caret, what breaks, whom, what to do
    Text,
    /// For programs: the answer of the contract in proto3 JSON
    Json,
    /// For CI servers: JUnit's XML, a test case per schema and rule
    Junit,
    /// For GitHub Actions: annotations, and a table in the step's summary
    Github,
    /// For GitLab: a Code Quality report
    Gitlab,
}

/// How much a note weighs here: what a subject does not promise is no error there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It is why the schema is refused.
    Error,
    /// Somebody may be surprised.
    Warning,
    /// Worth knowing.
    Info,
}

/// One proposed schema and what became of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The subject, or the file where there is none.
    pub name: String,
    /// Where the proposed text is.
    pub file: String,
    /// Nothing speaks against it.
    pub accepted: bool,
    /// In a line: both verdicts, the bump, and how many notes.
    pub summary: String,
    /// All that was found, errors first.
    pub notes: Vec<Note>,
}

/// Something about a place.
#[derive(Debug, Clone)]
pub struct Note {
    /// How much it weighs.
    pub weight: Weight,
    /// Stable id.
    pub rule: String,
    /// What is there, and whom it hurts.
    pub message: String,
    /// Further lines: whom it breaks, what to do, a payload.
    pub details: Vec<(&'static str, String)>,
    /// The file of the place.
    pub file: String,
    /// From 1; 0 where not known.
    pub line: u32,
    /// From 1; 0 where not known.
    pub column: u32,
    /// The path within the schema, where there is no line.
    pub path: String,
    /// The line with a caret.
    snippet: Option<Vec<String>>,
}

/// A report on a schema that was read from files.
#[derive(Debug)]
pub struct Case<'a> {
    /// The subject; empty where two files are compared.
    pub subject: &'a str,
    /// What was proposed.
    pub source: &'a Source,
    /// What was found.
    pub report: &'a CompatibilityReport,
    /// It would be, or was, registered.
    pub accepted: bool,
    /// Why it would not, where the registry says so.
    pub because: ErrorReason,
    /// What is asked of it, where that is known here.
    pub level: Option<Level>,
    /// Findings with a place in a file that is imported.
    pub elsewhere: BTreeMap<usize, SourceLocation>,
}

impl Case<'_> {
    /// For printing.
    pub fn entry(&self, paint: Paint) -> Entry {
        let name = if self.subject.is_empty() { &self.source.name } else { self.subject };
        // The same against another version is told once, with both versions.
        let mut places = BTreeMap::new();
        let mut notes: Vec<(&Finding, Vec<String>, Note)> = Vec::new();
        for (index, finding) in self.report.findings.iter().enumerate() {
            let place = *places.entry(key(finding)).or_insert(notes.len());
            if place == notes.len() {
                let elsewhere = self.elsewhere.get(&index);
                let mut note = self.note(finding, elsewhere);
                // Those behind are not shown as text.
                if place < TOLD_MAX {
                    let file = elsewhere.map_or("", |place| place.file.as_str());
                    let text = self.source.text(file);
                    note.snippet = text.and_then(|it| snippet(it, note.line, note.column, paint));
                }
                notes.push((finding, Vec::new(), note));
            }
            if !finding.compared_version.is_empty() {
                notes[place].1.push(finding.compared_version.clone());
            }
        }
        let mut notes: Vec<Note> = notes
            .into_iter()
            .map(|(finding, versions, mut note)| {
                note.details = self.details(finding, note.weight, &versions);
                note
            })
            .collect();
        notes.extend(self.left_behind());
        notes.sort_by_key(|note| note.weight);
        let summary = self.summary(&notes);
        Entry {
            name: name.to_owned(),
            file: self.source.name.clone(),
            accepted: self.accepted,
            summary,
            notes,
        }
    }

    fn weight(&self, finding: &Finding) -> Weight {
        match finding.severity() {
            v1::Severity::Info => Weight::Info,
            v1::Severity::Warning | v1::Severity::Unspecified => Weight::Warning,
            v1::Severity::Error if self.accepted || self.is_for_consumers() => Weight::Warning,
            v1::Severity::Error => {
                let asked =
                    self.level.map(|level| match (level.direction(), finding.direction()) {
                        (None, _) => false,
                        (Some(Direction::Backward), v1::Direction::Forward)
                        | (Some(Direction::Forward), v1::Direction::Backward) => false,
                        (Some(_), _) => true,
                    });
                if asked.unwrap_or(true) { Weight::Error } else { Weight::Warning }
            }
        }
    }

    fn note(&self, finding: &Finding, elsewhere: Option<&SourceLocation>) -> Note {
        let here = SourceLocation {
            line: finding.line,
            column: finding.column,
            ..SourceLocation::default()
        };
        let place = elsewhere.unwrap_or(&here);
        let path = if finding.new_path.is_empty() { &finding.old_path } else { &finding.new_path };
        Note {
            weight: self.weight(finding),
            rule: finding.rule.clone(),
            message: finding.message.clone(),
            details: Vec::new(),
            file: self.source.file_name(&place.file),
            line: place.line,
            column: place.column,
            path: path.clone(),
            snippet: None,
        }
    }

    /// Whom it hurts, what to do, and what shows it.
    fn details(
        &self,
        finding: &Finding,
        weight: Weight,
        versions: &[String],
    ) -> Vec<(&'static str, String)> {
        let is_error = finding.severity() == v1::Severity::Error;
        let unasked = weight != Weight::Error && self.level.is_some();
        let title = if unasked { "breaks, though it is not asked for" } else { "breaks" };
        let whom = match finding.direction() {
            _ if !is_error => "",
            v1::Direction::Backward => "replays, new code reading old events",
            v1::Direction::Forward => "running readers, old code reading new events",
            v1::Direction::Both => {
                "replays, new code reading old events, and running readers, old code reading new ones"
            }
            v1::Direction::Unspecified => "",
        };
        [
            (title, whom.to_owned()),
            ("against", versions.join(", ")),
            ("instead", finding.suggestion.clone()),
            ("payload", payload(finding)),
        ]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .collect()
    }

    /// Nobody but those who are left behind speaks against it.
    fn is_for_consumers(&self) -> bool {
        self.because == ErrorReason::ConsumersLeftBehind
    }

    fn left_behind(&self) -> Vec<Note> {
        let listed = &self.report.affected_consumers;
        let mut notes: Vec<Note> = listed
            .iter()
            .map(|affected| {
                let consumer = affected.consumer.clone().unwrap_or_default();
                let connected = if consumer.connected { ", connected now" } else { "" };
                let Consumer { name, requirement, .. } = consumer;
                let would_be = if self.accepted { "is" } else { "would be" };
                self.note_behind(format!(
                    "consumer {name}, which needs {requirement}{connected}, {would_be} left behind: {}",
                    affected.reason
                ))
            })
            .collect();
        let total = usize::try_from(self.report.total_affected_consumers).unwrap_or(usize::MAX);
        let more = total.saturating_sub(listed.len());
        if more > 0 {
            let consumers = if more == 1 { "consumer" } else { "consumers" };
            notes.push(self.note_behind(format!(
                "and {more} more {consumers}; tidings consumer list --subject {} has them all",
                quote(self.subject)
            )));
        }
        notes
    }

    fn note_behind(&self, message: String) -> Note {
        Note {
            weight: if self.accepted { Weight::Warning } else { Weight::Error },
            rule: LEFT_BEHIND.to_owned(),
            message,
            details: Vec::new(),
            file: self.source.name.clone(),
            line: 0,
            column: 0,
            path: String::new(),
            snippet: None,
        }
    }

    fn summary(&self, notes: &[Note]) -> String {
        let report = self.report;
        if !self.subject.is_empty() && report.compared_versions.is_empty() && notes.is_empty() {
            return format!("the first version, {}", report.next_version)
                .trim_end_matches(", ")
                .to_owned();
        }
        let mut text = format!(
            "backward {}, forward {}",
            words::verdict(report.backward()),
            words::verdict(report.forward())
        );
        let count = |weight| notes.iter().filter(|note| note.weight == weight).count();
        let counts = [
            (count(Weight::Error), "error", "errors"),
            (count(Weight::Warning), "warning", "warnings"),
            (count(Weight::Info), "note", "notes"),
        ];
        let counts: Vec<String> = counts
            .iter()
            .filter(|(number, _, _)| *number > 0)
            .map(|(number, one, many)| {
                format!("{number} {}", if *number == 1 { one } else { many })
            })
            .collect();
        let bump = words::bump(report.required_bump());
        if !bump.is_empty() {
            let _ = write!(text, "; {bump}");
        }
        let is_same = report.required_bump() == v1::Bump::None;
        if !report.next_version.is_empty() && !is_same {
            let word = if self.accepted || self.is_for_consumers() { "as" } else { "needs" };
            let _ = write!(text, ", {word} {}", report.next_version);
        }
        if !counts.is_empty() {
            let _ = write!(text, " ({})", counts.join(", "));
        }
        text
    }
}

/// What makes a finding the same, whichever version it was found against.
fn key(finding: &Finding) -> (&str, &str, &str, u32, u32, &str) {
    (
        &finding.rule,
        &finding.old_path,
        &finding.new_path,
        finding.line,
        finding.column,
        &finding.message,
    )
}

/// The counterexample: whole where it is short, else the part of it that counts.
fn payload(finding: &Finding) -> String {
    let Finding { witness, witness_path, witness_fragment, witness_size_bytes, .. } = finding;
    let is_short = witness.chars().nth(PAYLOAD_CHARS_MAX).is_none();
    if is_short && !witness.is_empty() || *witness_size_bytes == 0 {
        return cut(witness, PAYLOAD_CHARS_MAX);
    }
    let whole = match witness.as_str() {
        "" => format!("the whole has {witness_size_bytes} bytes"),
        _ => format!("the whole has {witness_size_bytes} bytes: -o json"),
    };
    let place = match witness_path.as_str() {
        "" => String::new(),
        path => format!("at {path}: "),
    };
    let part = match witness_fragment.as_str() {
        "" => cut(witness, PAYLOAD_CHARS_MAX),
        fragment => fragment.to_owned(),
    };
    match part.as_str() {
        "" => whole,
        part => format!("{place}{part} ({whole})"),
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What to do where consumers speak against a change.
pub const MOVE_ON: &str =
    "let these consumers move on first, or go on without them: --force, with a --reason";

/// What a report comes to, in words.
pub fn meaning(report: &CompatibilityReport) -> &'static str {
    let verdicts = [report.backward(), report.forward()];
    match report.required_bump() {
        v1::Bump::Unspecified => "not compared",
        v1::Bump::None => "NONE: it is the same schema",
        v1::Bump::Patch => "PATCH: nobody can notice, neither readers nor writers",
        v1::Bump::Minor => "MINOR: everything that is promised still holds",
        v1::Bump::Major if verdicts.contains(&v1::Verdict::Incompatible) => {
            "MAJOR: somebody would break; it needs a new major version"
        }
        v1::Bump::Major => {
            "MAJOR: it could not be shown that nobody breaks, which counts as if somebody did"
        }
    }
}

impl Entry {
    /// A text that is no schema.
    pub fn invalid(name: &str, source: &Source, faults: &[Fault]) -> Self {
        let note = |fault: &Fault| {
            let file = &fault.place.file;
            Note::fault(source.file_name(file), source.text(file), fault)
        };
        Self {
            name: if name.is_empty() { source.name.clone() } else { name.to_owned() },
            file: source.name.clone(),
            accepted: false,
            summary: format!("is not {}", words::a_schema(source.format)),
            notes: faults.iter().map(note).collect(),
        }
    }

    /// As the message of a command that cannot go on.
    pub fn failure(&self, remedy: String) -> Failure {
        let failure = Failure::new(format!("{} {}", printable(&self.file), self.summary));
        let failure = self.notes.iter().take(TOLD_MAX).fold(failure, |failure, note| {
            let mut lines = vec![printable(&note.message), format!(" {}", note.place(Paint::OFF))];
            lines.extend(note.snippet.iter().flatten().map(|line| format!("  {line}")));
            lines.into_iter().fold(failure, Failure::detail)
        });
        failure.try_this(remedy)
    }

    /// Everything for people, a paragraph a note.
    pub fn text(&self, paint: Paint) -> String {
        let mut out = String::new();
        for note in self.notes.iter().take(TOLD_MAX) {
            note.write(&mut out, paint);
            out.push('\n');
        }
        if self.notes.len() > TOLD_MAX {
            let more = self.notes.len() - TOLD_MAX;
            let _ = writeln!(out, "and {more} more; -o json has them all\n");
        }
        out
    }
}

impl Note {
    /// Of a text that is not what it should be.
    pub fn fault(file: String, text: Option<&str>, fault: &Fault) -> Self {
        let SourceLocation { line, column, path, .. } = &fault.place;
        Self {
            weight: Weight::Error,
            rule: INVALID.to_owned(),
            message: fault.message.clone(),
            details: Vec::new(),
            file,
            line: *line,
            column: *column,
            path: path.clone(),
            snippet: text.and_then(|text| snippet(text, *line, *column, Paint::OFF)),
        }
    }

    fn place(&self, paint: Paint) -> String {
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
        let title = match self.weight {
            Weight::Error => paint.red(&format!("error{rule}")),
            Weight::Warning => paint.yellow(&format!("warning{rule}")),
            Weight::Info => paint.blue(&format!("note{rule}")),
        };
        let _ = writeln!(out, "{title}: {}", paint.bold(&printable(&self.message)));
        let _ = writeln!(out, " {}", self.place(paint));
        for line in self.snippet.iter().flatten() {
            let _ = writeln!(out, "  {line}");
        }
        for (name, text) in &self.details {
            let _ = writeln!(out, "  {} {name}: {}", paint.blue("="), printable(text));
        }
    }
}

/// A fault that the server told in a line: `file:7:3: what`, `7:3: what`, or only what.
pub fn fault_of(description: &str) -> Fault {
    let parsed = description.split_once(": ").and_then(|(head, message)| {
        let mut parts = head.rsplitn(3, ':');
        let column = parts.next()?.parse().ok()?;
        let line = parts.next()?.parse().ok()?;
        let file = parts.next().unwrap_or_default().to_owned();
        let place = SourceLocation { file, line, column, path: String::new() };
        Some(Fault { place, message: message.to_owned() })
    });
    parsed.unwrap_or_else(|| Fault {
        place: SourceLocation::default(),
        message: description.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_the_servers_words() {
        let fault = fault_of("a/b.proto:7:3: unknown type \"sting\": declare it");
        assert_eq!(
            (fault.place.file.as_str(), fault.place.line, fault.place.column),
            ("a/b.proto", 7, 3)
        );
        assert_eq!(fault.message, "unknown type \"sting\": declare it");
        let fault = fault_of("7:3: /a: no");
        assert_eq!((fault.place.line, fault.message.as_str()), (7, "/a: no"));
        for unplaced in ["is required", "a: b", "12: x", "a:1:x: y"] {
            let fault = fault_of(unplaced);
            assert_eq!((fault.place.line, fault.message.as_str()), (0, unplaced));
        }
    }

    #[test]
    fn of_a_long_payload_the_part_that_counts_is_shown() {
        let whole = format!("{{\"a\":{{\"b\":1}},\"c\":\"{}\"}}", "x".repeat(500));
        let bytes = u32::try_from(whole.len()).expect("short");
        let long = Finding {
            witness: whole,
            witness_path: "/a/b".into(),
            witness_fragment: "1".into(),
            witness_size_bytes: bytes,
            ..Finding::default()
        };
        assert_eq!(payload(&long), "at /a/b: 1 (the whole has 520 bytes: -o json)");
        let dropped = Finding { witness: String::new(), ..long.clone() };
        assert_eq!(payload(&dropped), "at /a/b: 1 (the whole has 520 bytes)");
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
