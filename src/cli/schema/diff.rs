//! `tidings schema diff`: two files, no server.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    mem,
    path::Path,
};

use clap::Args;
use tidings_registry::{
    compatibility::{Level, Report},
    definition::{InvalidSchema, Place},
    finding::{Direction, Options},
    format::{Format, Schema},
    proto::v1::{Bump, CompatibilityReport, ErrorReason},
    protobuf,
};

use super::{
    super::failure::Failure,
    json, machine,
    report::{Case, Entry, INCOMPATIBLE, ReportArgs, ReportFormat, meaning},
    snippet::Paint,
    source::{FileArgs, Source, different_formats, kind_of},
    words::{ContentModelWord, LevelWord, SurfaceWord},
};

/// Compare two schemas in files, and say what the new one would break. Needs no server.
///
/// Two questions are asked. Backward: can new readers read what the old schema wrote, as in a replay? Forward: can readers of
/// the old schema, which run now, read what the new one writes? Each is answered with compatible, incompatible, or unproven, which
/// counts as incompatible. From the answers follows the least step of the version: NONE, PATCH, MINOR or MAJOR.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 compatible, 100 not (in a direction that --compatibility asks for), 1 a file is no schema or cannot be read, 2 usage.

Examples:
  tidings schema diff old.proto new.proto
  tidings schema diff --message shop.OrderPlaced -I proto old/order.proto proto/order.proto
  tidings schema diff --compatibility backward v1.json v2.json
  git show main:order.proto | tidings schema diff - order.proto
  tidings schema diff old.avsc new.avsc -o json | jq -r '.findings[].rule'")]
pub struct DiffArgs {
    /// The schema that is in use, or - for standard input
    old: String,
    /// The schema that is proposed, or - for standard input
    new: String,
    /// What has to hold; the other direction is told all the same
    #[arg(long, value_enum, default_value = "full", value_name = "LEVEL")]
    compatibility: LevelWord,
    /// JSON Schema: how undeclared properties of an open object are seen
    #[arg(long, value_enum, default_value = "lenient")]
    content_model: ContentModelWord,
    /// Protobuf: what of a message is in use
    #[arg(long, value_enum, default_value = "wire-json")]
    surface: SurfaceWord,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// Runs the command.
pub fn run(args: DiffArgs) -> anyhow::Result<()> {
    let (old, new) = args.read()?;
    let level = Level::from(args.compatibility);
    let output = args.report.output;
    if old.format != new.format {
        return Err(different_formats(&old, &new).into());
    }
    let (old_schema, new_schema) =
        parse(&old, &new).map_err(|(source, invalid)| not_a_schema(source, &invalid, output))?;
    let options =
        Options { content_model: args.content_model.into(), surface: args.surface.into() };
    let Some(comparison) = old_schema.compare(&new_schema, options) else {
        return Err(different_formats(&old, &new).into());
    };
    let mut report = Report::of_files(level, comparison);
    let elsewhere = take_elsewhere(&mut report);
    let report = CompatibilityReport::from(report);
    let accepted = report.required_bump() != Bump::Major;

    if output == ReportFormat::Json {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", json::line("CompatibilityReport", &report)?)?;
        out.flush()?;
    } else {
        let case = Case {
            subject: "",
            source: &new,
            report: &report,
            accepted,
            because: ErrorReason::Unspecified,
            level: Some(level),
            elsewhere,
        };
        let paint = Paint::stdout();
        let entry = case.entry(paint);
        if output == ReportFormat::Text {
            let mut out = io::stdout().lock();
            write!(out, "{}", entry.text(paint))?;
            let verdict =
                if accepted { paint.green(&entry.summary) } else { paint.red(&entry.summary) };
            writeln!(out, "{} -> {}: {verdict}", old.name, new.name)?;
            writeln!(out, "{}", meaning(&report))?;
            out.flush()?;
        } else {
            machine::print(output, &[entry])?;
        }
    }
    if accepted {
        return Ok(());
    }
    let broken = match level.direction() {
        Some(Direction::Backward) => "new readers could not read everything that the old one wrote",
        Some(Direction::Forward) => {
            "running readers could not read everything that the new one writes"
        }
        Some(Direction::Both) | None => "replays or running readers would break",
    };
    Err(Failure::new(format!("{} is not compatible with {}: {broken}", new.name, old.name))
        .exit_with(INCOMPATIBLE)
        .try_this("what stands behind \"instead\", or a new major version")
        .into())
}

impl DiffArgs {
    fn read(&self) -> anyhow::Result<(Source, Source)> {
        if self.old == "-" && self.new == "-" {
            return Err(Failure::usage("standard input cannot be both schemas")
                .try_this("a file for one of them")
                .into());
        }
        let read = |name: &str, other: &str| {
            let mut files = self.files.clone();
            // What comes through a pipe is of the other one's format.
            if name == "-" && files.format.is_none() {
                files.format = kind_of(Path::new(other)).map(|(format, _)| format.into());
            }
            Source::read(name, &files)
        };
        Ok((read(&self.old, &self.new)?, read(&self.new, &self.old)?))
    }
}

/// Both schemas. Files of Protobuf that have several messages, of which none is named, are compared as a whole.
fn parse<'a>(
    old: &'a Source,
    new: &'a Source,
) -> Result<(Schema, Schema), (&'a Source, InvalidSchema)> {
    let one = |source: &'a Source| {
        Schema::parse(source.format, "", &source.definition, &[]).map_err(|error| (source, error))
    };
    let whole = |source: &'a Source| {
        let schema = protobuf::Schema::parse_file(&source.definition, &[]);
        schema.map(Schema::Protobuf).map_err(|error| (source, error))
    };
    match (one(old), one(new)) {
        (Ok(old), Ok(new)) => Ok((old, new)),
        _ if old.format == Format::Protobuf && old.definition.message_name.is_empty() => {
            Ok((whole(old)?, whole(new)?))
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

fn not_a_schema(source: &Source, invalid: &InvalidSchema, output: ReportFormat) -> anyhow::Error {
    let entry = Entry::invalid("", source, &invalid.faults);
    let failure = entry.failure(source.remedy());
    match machine::print(output, &[entry]) {
        Ok(()) => failure.into(),
        Err(error) => error,
    }
}

/// Lines of the contract are those of the text itself: places in imported files are kept apart.
fn take_elsewhere(report: &mut Report) -> BTreeMap<usize, Place> {
    let mut elsewhere = BTreeMap::new();
    for (index, found) in report.findings.iter_mut().enumerate() {
        if !found.finding.place.file.is_empty() {
            elsewhere.insert(index, mem::take(&mut found.finding.place));
        }
    }
    elsewhere
}
