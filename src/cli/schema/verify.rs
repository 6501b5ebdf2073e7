//! `tidings schema verify`: checks registered versions again, by the rules of this program.

mod fetch;
mod manifest;

use std::{
    collections::HashMap,
    io::{self, Write as _},
    path::PathBuf,
    thread,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tidings_registry::{
    catalog::{
        replay::History,
        verify::{Judged, Verification},
    },
    convert::summary,
    error::Refusal,
    proto::v1::{self, CompatibilityReport, ErrorReason, RegisterSchemaResponse},
};
use tidings_schema::definition::{Fault, SourceLocation};
use tidings_schema::report::Report;
use tokio::sync::mpsc;

use super::{
    super::{
        client::ServerArgs,
        failure::Failure,
        interrupt::Interrupt,
        printer::{printable, table},
    },
    ci, json,
    manifest::Manifest,
    report::{CheckedSchema, Entry, INCOMPATIBLE, ReportArgs, ReportFormat},
    snippet::Paint,
    source::Source,
};

/// Entries explained as text; the rest only have a row in the table.
const EXPLAINED_MAX: usize = 20;

/// The remedy for registered versions that would be refused.
const NEXT_VERSION: &str =
    "a valid next version; then tidings schema deprecate for the one that it replaces";

/// Checked versions that wait to be printed.
const QUEUED_MAX: usize = 16;

/// Exit code of a command that Ctrl-C ended, as in a shell.
const INTERRUPTED: u8 = 130;

/// Check registered versions again, by the rules of this program.
///
/// Rules become stricter: a newer version of Tidings may reject a schema, a change or a bump that
/// an older version accepted. Registered versions stay registered and readable; this lists those
/// that would be rejected today. Each version is checked as if it were registered now under its own
/// version, after those that were registered before it, with the compatibility that its subject had
/// then.
///
/// The rules are those of this program, not of the server: run a newer program against an older
/// server to see the effect of an upgrade. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = "\
For each listed version, register a valid next version, and deprecate the listed one, so that
readers move on. \"payload\" shows data that would be refused or misread.

Exit codes: 0 none would be refused, 100 some would, 1 error, 2 usage or manifest, 130 interrupted.

Examples:
  tidings schema verify
  tidings schema verify shop. -o json | jq -r '.schema.subject + \" \" + .schema.version'
  tidings schema verify --manifest schemas/")]
pub struct VerifyArgs {
    /// Only subjects with this prefix
    prefix: Option<String>,
    /// Check the files of a manifest, or of a directory that has a tidings.yaml; no server is
    /// needed
    #[arg(long, value_name = "MANIFEST", conflicts_with = "prefix")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
pub async fn run(args: VerifyArgs) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::new()?;
    let (verification, sources) = match &args.manifest {
        Some(path) => {
            let (catalog, sources) = Manifest::read(path)?.catalog()?;
            (Verification::new(&catalog, History::default(), ""), sources)
        }
        None => {
            let prefix = args.prefix.as_deref().unwrap_or_default();
            let fetched = tokio::select! {
                fetched = fetch::fetch(&args.server, prefix) => fetched?,
                () = interrupt.wait() => return Err(interrupted(0, 0)),
            };
            (fetched, HashMap::new())
        }
    };
    let mut results = Results::new(args.report.output, verification.total(), sources);
    // The thread is not joined: one comparison may take a second.
    let (sender, mut checked) = mpsc::channel(QUEUED_MAX);
    thread::spawn(move || {
        for version in verification {
            if sender.blocking_send(version).is_err() {
                return;
            }
        }
    });
    loop {
        tokio::select! {
            version = checked.recv() => match version {
                Some(version) => results.add(&version)?,
                None => break,
            },
            () = interrupt.wait() => {
                results.progress.finish_and_clear();
                return Err(interrupted(results.checked, results.total));
            }
        }
    }
    results.finish()
}

fn interrupted(checked: usize, total: usize) -> anyhow::Error {
    let progress = match total {
        0 => "before any version was checked".to_owned(),
        total => format!("after {checked} of {total} versions"),
    };
    Failure::new(format!("interrupted {progress}"))
        .exit_with(INTERRUPTED)
        .with_remedy("retry; with a prefix fewer subjects are checked")
        .into()
}

fn bar(template: &str, length: u64) -> ProgressBar {
    // Hidden unless stderr is a terminal.
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// The results so far.
struct Results {
    output: ReportFormat,
    paint: Paint,
    progress: ProgressBar,
    total: usize,
    checked: usize,
    /// Files of a manifest, by schema id.
    sources: HashMap<u32, Source>,
    rows: Vec<[String; 4]>,
    entries: Vec<Entry>,
}

impl Results {
    fn new(output: ReportFormat, total: usize, sources: HashMap<u32, Source>) -> Self {
        let length = u64::try_from(total).unwrap_or(u64::MAX);
        let progress = bar("{spinner} checking, version {human_pos} of {human_len}", length);
        let (rows, entries) = (Vec::new(), Vec::new());
        Self { output, paint: Paint::stdout(), progress, total, checked: 0, sources, rows, entries }
    }

    fn add(&mut self, checked: &Judged) -> anyhow::Result<()> {
        self.checked += 1;
        self.progress.inc(1);
        let Some(refusal) = &checked.refusal else { return Ok(()) };
        let of_manifest = self.sources.get(&checked.schema.id);
        let registered = v1::Schema::from(&*checked.schema);
        let source = of_manifest.cloned().unwrap_or_else(|| Source::registered(&registered));
        let name = printable(&format!("{} {}", registered.subject, registered.version));
        let report = report(refusal);
        let refusal_reason = ErrorReason::from(refusal);
        let entry = match faults(refusal) {
            Some(faults) => Entry::invalid(&name, &source, &faults),
            None => Entry {
                name: name.clone(),
                ..CheckedSchema {
                    subject: "",
                    source: &source,
                    report: &report,
                    accepted: false,
                    refusal_reason,
                    level: Some(checked.level),
                    imported_locations: Default::default(),
                }
                .entry(self.paint)
            },
        };
        if self.output == ReportFormat::Json {
            let schema = match of_manifest {
                // A file has no id, no time and no fingerprint.
                Some(_) => v1::Schema {
                    subject: registered.subject.clone(),
                    version: registered.version.clone(),
                    format: registered.format,
                    ..v1::Schema::default()
                },
                None => summary(&checked.schema),
            };
            let response = RegisterSchemaResponse {
                schema: Some(schema),
                report: Some(report),
                refusal_reason: refusal_reason.into(),
                ..RegisterSchemaResponse::default()
            };
            let mut out = io::stdout().lock();
            writeln!(out, "{}", json::line("RegisterSchemaResponse", &response)?)?;
            out.flush()?;
        }
        let location = match of_manifest {
            Some(source) => source.name.clone(),
            None => format!("id {}", registered.id),
        };
        let row = [registered.subject, registered.version, location, entry.summary.clone()];
        self.rows.push(row);
        self.entries.push(entry);
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        self.progress.finish_and_clear();
        let differing = self.entries.len();
        let count = |count: usize| match count {
            1 => "1 version".to_owned(),
            count => format!("{count} versions"),
        };
        if self.output == ReportFormat::Text {
            let mut out = io::stdout().lock();
            if differing > 0 {
                let header = ["SUBJECT", "VERSION", "WHERE", "TODAY"];
                writeln!(out, "{}\n", table(header, self.rows))?;
            }
            for entry in self.entries.iter().take(EXPLAINED_MAX) {
                writeln!(out, "{}: {}", entry.name, self.paint.red(&entry.summary))?;
                for line in entry.text(self.paint).lines() {
                    writeln!(out, "{}{line}", if line.is_empty() { "" } else { "  " })?;
                }
            }
            if differing > EXPLAINED_MAX {
                writeln!(out, "and {} more; -o json explains all\n", differing - EXPLAINED_MAX)?;
            }
            let result = match differing {
                0 => "none would be refused today".to_owned(),
                1 => "1 would be refused today".to_owned(),
                count => format!("{count} would be refused today"),
            };
            writeln!(out, "{} checked: {result}", count(self.total))?;
            out.flush()?;
        } else {
            ci::print(self.output, &self.entries)?;
        }
        if differing == 0 {
            return Ok(());
        }
        let versions = count(differing);
        let failure = if self.sources.is_empty() {
            Failure::new(format!("{versions} would be refused today, and stay registered"))
                .with_remedy(NEXT_VERSION)
        } else {
            Failure::new(format!("{versions} would be refused"))
                .with_remedy("the suggestion after \"instead\", or a new major version")
        };
        Err(failure.exit_with(INCOMPATIBLE).into())
    }
}

/// The faults of an invalid schema or of a missing reference.
fn faults(refusal: &Refusal) -> Option<Vec<Fault>> {
    match refusal {
        Refusal::Invalid(faults) => Some(faults.clone()),
        refusal if refusal.impact().is_some() => None,
        refusal => {
            Some(vec![Fault { location: SourceLocation::default(), message: refusal.to_string() }])
        }
    }
}

/// The report with faults as findings, so that programs read one list.
fn report(refusal: &Refusal) -> CompatibilityReport {
    let mut report = CompatibilityReport::from(match refusal.impact() {
        Some(impact) => impact.report.clone(),
        None => Report::empty(""),
    });
    for fault in faults(refusal).unwrap_or_default() {
        report.findings.push(v1::Finding {
            rule: super::report::INVALID_RULE.into(),
            severity: v1::Severity::Error.into(),
            new_path: fault.location.path,
            message: fault.message,
            line: fault.location.line,
            column: fault.location.column,
            ..v1::Finding::default()
        });
        report.total_findings += 1;
    }
    report
}
