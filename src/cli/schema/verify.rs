//! `tidings schema verify`: what is registered, judged again by the rules of this program.

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
    json, machine,
    manifest::Manifest,
    report::{Case, Entry, INCOMPATIBLE, ReportArgs, ReportFormat},
    snippet::Paint,
    source::Source,
};

/// Entries explained as text; of the rest only the row in the table.
const EXPLAINED_MAX: usize = 20;

/// Judged versions that wait to be printed.
const WAITING: usize = 16;

/// The exit code of a shell's command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Judge again what is registered, by the rules of this program.
///
/// Rules become stricter: a newer version of Tidings may find a schema invalid, a change
/// incompatible or a step too small that an older version accepted. What is registered stays
/// registered and readable; this lists what would be refused today. Each version is judged as if it
/// were registered now, with the version that it has, behind those that were registered before it,
/// and held to the compatibility that its subject had then.
///
/// The rules are those of this program, and not of the server: run a newer one against an older
/// server to see what an upgrade would say. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = "\
What to do with a version that is listed: register a next version that is right, and deprecate
this one, so that readers move on. \"payload\" shows what is refused or misread.

Exit codes: 0 nothing differs, 100 something does, 1 error, 2 usage or manifest, 130 interrupted.

Examples:
  tidings schema verify
  tidings schema verify shop. -o json | jq -r '.schema.subject + \" \" + .schema.version'
  tidings schema verify --manifest schemas/")]
pub struct VerifyArgs {
    /// Only subjects that begin so
    prefix: Option<String>,
    /// Judge the files of a manifest, or of a directory that has a tidings.yaml; no server is
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
    let mut shown = Shown::new(args.report.output, verification.total(), sources);
    // A thread that is not waited for: one comparison may take a second.
    let (sender, mut judged) = mpsc::channel(WAITING);
    thread::spawn(move || {
        for one in verification {
            if sender.blocking_send(one).is_err() {
                return;
            }
        }
    });
    loop {
        tokio::select! {
            one = judged.recv() => match one {
                Some(one) => shown.take(&one)?,
                None => break,
            },
            () = interrupt.wait() => {
                shown.progress.finish_and_clear();
                return Err(interrupted(shown.judged, shown.total));
            }
        }
    }
    shown.finish()
}

fn interrupted(judged: usize, total: usize) -> anyhow::Error {
    let so_far = match total {
        0 => "before anything was judged".to_owned(),
        total => format!("after {judged} of {total} versions"),
    };
    Failure::new(format!("interrupted {so_far}"))
        .exit_with(INTERRUPTED)
        .try_this("again; with a prefix fewer subjects are judged")
        .into()
}

fn bar(template: &str, length: u64) -> ProgressBar {
    // Hidden where stderr is no terminal.
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// What was found so far.
struct Shown {
    output: ReportFormat,
    paint: Paint,
    progress: ProgressBar,
    total: usize,
    judged: usize,
    /// Files of a manifest, by id.
    sources: HashMap<u32, Source>,
    rows: Vec<[String; 4]>,
    entries: Vec<Entry>,
}

impl Shown {
    fn new(output: ReportFormat, total: usize, sources: HashMap<u32, Source>) -> Self {
        let length = u64::try_from(total).unwrap_or(u64::MAX);
        let progress = bar("{spinner} judging, version {human_pos} of {human_len}", length);
        let (rows, entries) = (Vec::new(), Vec::new());
        Self { output, paint: Paint::stdout(), progress, total, judged: 0, sources, rows, entries }
    }

    fn take(&mut self, judged: &Judged) -> anyhow::Result<()> {
        self.judged += 1;
        self.progress.inc(1);
        let Some(refusal) = &judged.refusal else { return Ok(()) };
        let of_manifest = self.sources.get(&judged.registered.id);
        let registered = v1::Schema::from(&*judged.registered);
        let source = of_manifest.cloned().unwrap_or_else(|| Source::registered(&registered));
        let name = printable(&format!("{} {}", registered.subject, registered.version));
        let report = report(refusal);
        let because = ErrorReason::from(refusal);
        let entry = match faults(refusal) {
            Some(faults) => Entry::invalid(&name, &source, &faults),
            None => Entry {
                name: name.clone(),
                ..Case {
                    subject: "",
                    source: &source,
                    report: &report,
                    accepted: false,
                    because,
                    level: Some(judged.level),
                    elsewhere: Default::default(),
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
                None => summary(&judged.registered),
            };
            let answer = RegisterSchemaResponse {
                schema: Some(schema),
                report: Some(report),
                refusal_reason: because.into(),
                ..RegisterSchemaResponse::default()
            };
            let mut out = io::stdout().lock();
            writeln!(out, "{}", json::line("RegisterSchemaResponse", &answer)?)?;
            out.flush()?;
        }
        let place = match of_manifest {
            Some(source) => source.name.clone(),
            None => format!("id {}", registered.id),
        };
        let row = [registered.subject, registered.version, place, entry.summary.clone()];
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
            let differs = match differing {
                0 => "none differs".to_owned(),
                1 => "1 would be refused today".to_owned(),
                many => format!("{many} would be refused today"),
            };
            writeln!(out, "{} judged: {differs}", count(self.total))?;
            out.flush()?;
        } else {
            machine::print(self.output, &self.entries)?;
        }
        if differing == 0 {
            return Ok(());
        }
        let what = count(differing);
        let failure = if self.sources.is_empty() {
            Failure::new(format!("{what} would be refused today, and stay registered")).try_this(
                "a next version that is right; tidings schema deprecate for the one it replaces",
            )
        } else {
            Failure::new(format!("{what} would be refused"))
                .try_this("what stands behind \"instead\", or a new major version")
        };
        Err(failure.exit_with(INCOMPATIBLE).into())
    }
}

/// What makes it no schema, or leaves it without what it refers to.
fn faults(refusal: &Refusal) -> Option<Vec<Fault>> {
    match refusal {
        Refusal::Invalid(faults) => Some(faults.clone()),
        refusal if refusal.impact().is_some() => None,
        refusal => {
            Some(vec![Fault { place: SourceLocation::default(), message: refusal.to_string() }])
        }
    }
}

/// What was found, faults included: programs read one list.
fn report(refusal: &Refusal) -> CompatibilityReport {
    let mut report = CompatibilityReport::from(match refusal.impact() {
        Some(impact) => impact.report.clone(),
        None => Report::empty(""),
    });
    for fault in faults(refusal).unwrap_or_default() {
        report.findings.push(v1::Finding {
            rule: super::report::INVALID.into(),
            severity: v1::Severity::Error.into(),
            new_path: fault.place.path,
            message: fault.message,
            line: fault.place.line,
            column: fault.place.column,
            ..v1::Finding::default()
        });
        report.total_findings += 1;
    }
    report
}
