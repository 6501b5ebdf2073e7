//! `tidings schema diff`: two files without a server, or two registered versions.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    mem,
    path::Path,
};

use clap::Args;
use tidings_registry::proto::v1::{
    Bump, CompatibilityReport, DiffSchemasRequest, ErrorReason, GetSchemaRequest, SubjectVersion,
    get_schema_request::By,
};
use tidings_schema::{
    definition::{InvalidSchema, SourceLocation},
    finding::{Direction, Options},
    protobuf,
    schema::{Format, Schema},
};
use tidings_schema::{level::Level, report::Report};

use super::{
    super::{block_on, client::ServerArgs, failure::Failure, printer::printable},
    get::failed,
    json, machine,
    report::{Case, Entry, INCOMPATIBLE, ReportArgs, ReportFormat, meaning},
    snippet::Paint,
    source::{FileArgs, Source, different_formats, kind_of},
    words::{ContentModelWord, LevelWord, SurfaceWord},
};

/// Compare two schemas, and say what the new one would break.
///
/// They are files, for which no server is needed; with --subject they are versions of it that the registry has, and what the
/// subject promises is what has to hold.
///
/// Two questions are asked. Backward: can new readers read what the old schema wrote, as in a replay? Forward: can readers of
/// the old schema, which run now, read what the new one writes? Each is answered with compatible, incompatible, or unproven, which
/// counts as incompatible. From the answers follows the least step of the version: NONE, PATCH, MINOR or MAJOR.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 compatible, 100 not (in a direction that --compatibility or the subject asks for), 1 no schema or no such version, 2 usage.

Examples:
  tidings schema diff old.proto new.proto
  tidings schema diff --message shop.OrderPlaced -I proto old/order.proto proto/order.proto
  tidings schema diff --compatibility backward v1.json v2.json
  git show main:order.proto | tidings schema diff - order.proto
  tidings schema diff old.avsc new.avsc -o json | jq -r '.findings[].rule'
  tidings schema diff --subject shop.OrderPlaced 1.0.0 2.0.0")]
pub struct DiffArgs {
    /// The schema that is in use: a file, or - for standard input; with --subject a version (1.2.0) or a requirement (^1.2)
    old: String,
    /// The schema that is proposed, said in the same way
    new: String,
    /// Compare two versions of this subject that the server's registry has
    #[arg(long, conflicts_with_all = [
        "compatibility", "content_model", "surface", "format", "message", "import_paths", "with",
    ])]
    subject: Option<String>,
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
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
pub fn run(args: DiffArgs) -> anyhow::Result<()> {
    match args.subject.clone() {
        // Thousands of pairs of files in a row shall not build a runtime each.
        Some(subject) => block_on(versions(args, subject)),
        None => files(&args),
    }
}

fn files(args: &DiffArgs) -> anyhow::Result<()> {
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
    let case = Case {
        subject: "",
        source: &new,
        report: &report,
        accepted,
        because: ErrorReason::Unspecified,
        level: Some(level),
        elsewhere,
    };
    print(&case, &old.name, output)?;
    if accepted {
        return Ok(());
    }
    let broken = match level.direction() {
        Some(Direction::Backward) => "new readers could not read everything that the old one wrote",
        Some(Direction::Forward) => {
            "running readers could not read everything that the new one writes"
        }
        Some(Direction::Both) | None => BROKEN,
    };
    Err(Failure::new(format!("{} is not compatible with {}: {broken}", new.name, old.name))
        .exit_with(INCOMPATIBLE)
        .try_this("what stands behind \"instead\", or a new major version")
        .into())
}

/// What breaks in one of the two directions, or in both.
const BROKEN: &str = "replays or running readers would break";

/// Two versions of a subject, as the registry compares them.
async fn versions(args: DiffArgs, subject: String) -> anyhow::Result<()> {
    let mut client = args.server.registry().await?;
    let version =
        |version: &str| SubjectVersion { subject: subject.clone(), version: version.into() };
    // The text has to be that of the version that is compared, be the argument a requirement.
    let by = Some(By::SubjectVersion(version(&args.new)));
    let found = client.get_schema(args.server.request(GetSchemaRequest { by })).await;
    let doing = || format!("get schema {subject} {}", args.new);
    let new = found.map_err(failed(doing()))?.into_inner().schema.unwrap_or_default();
    let request =
        DiffSchemasRequest { old: Some(version(&args.old)), new: Some(version(&new.version)) };
    let compared = client.diff_schemas(args.server.request(request)).await;
    let doing = format!("compare {subject} {} and {}", args.old, new.version);
    let report = compared.map_err(failed(doing))?.into_inner().report.unwrap_or_default();

    let source = Source::registered(&new);
    let accepted = report.required_bump() != Bump::Major;
    let old = report.compared_versions.first().unwrap_or(&args.old).clone();
    let case = Case {
        subject: &subject,
        source: &source,
        report: &report,
        accepted,
        because: ErrorReason::Unspecified,
        level: None,
        elsewhere: BTreeMap::new(),
    };
    print(&case, &printable(&format!("{subject} {old}")), args.report.output)?;
    if accepted {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} is not compatible with {}: {BROKEN}",
        source.name,
        printable(&old)
    ))
    .exit_with(INCOMPATIBLE)
    .try_this("what stands behind \"instead\", in the next version")
    .into())
}

fn print(case: &Case<'_>, old: &str, output: ReportFormat) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if output == ReportFormat::Json {
        writeln!(out, "{}", json::line("CompatibilityReport", case.report)?)?;
        return Ok(out.flush()?);
    }
    let paint = Paint::stdout();
    let entry = case.entry(paint);
    if output != ReportFormat::Text {
        drop(out);
        return machine::print(output, &[entry]);
    }
    write!(out, "{}", entry.text(paint))?;
    let verdict =
        if case.accepted { paint.green(&entry.summary) } else { paint.red(&entry.summary) };
    writeln!(out, "{old} -> {}: {verdict}", case.source.name)?;
    writeln!(out, "{}", meaning(case.report))?;
    Ok(out.flush()?)
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
    let (old_schema, new_schema) = match (one(old), one(new)) {
        (Ok(old), Ok(new)) => (old, new),
        _ if old.format == Format::Protobuf && old.definition.message_name.is_empty() => {
            (whole(old)?, whole(new)?)
        }
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    // As in the registry: what is in use already is not judged again.
    let faults = new_schema.check();
    if faults.is_empty() || old_schema.canonical() == new_schema.canonical() {
        return Ok((old_schema, new_schema));
    }
    Err((new, InvalidSchema { faults }))
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
fn take_elsewhere(report: &mut Report) -> BTreeMap<usize, SourceLocation> {
    let mut elsewhere = BTreeMap::new();
    for (index, found) in report.findings.iter_mut().enumerate() {
        if !found.finding.place.file.is_empty() {
            elsewhere.insert(index, mem::take(&mut found.finding.place));
        }
    }
    elsewhere
}
