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
    ci,
    enums::{CompatibilityArg, ContentModelArg, SurfaceArg},
    get::failed,
    json,
    report::{CheckedSchema, Entry, INCOMPATIBLE, ReportArgs, ReportFormat, describe_bump},
    snippet::Paint,
    source::{FileArgs, Source, different_formats, format_of},
};

/// Compare two schemas, and report what the new one would break.
///
/// The schemas are files, and no server is needed. With --subject they are registered versions, and
/// the compatibility of the subject must hold.
///
/// The result has two directions. Backward: can new readers read the data of the old schema, as in
/// a replay? Forward: can running readers of the old schema read the data of the new one? Each
/// result is compatible, incompatible, or unproven, which counts as incompatible. Together they
/// determine the smallest bump of the version: NONE, PATCH, MINOR or MAJOR.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 compatible, 100 not (in a direction that --compatibility or the subject requires), 1 invalid schema or unknown version, 2 usage.

Examples:
  tidings schema diff old.proto new.proto
  tidings schema diff --message shop.OrderPlaced -I proto old/order.proto proto/order.proto
  tidings schema diff --compatibility backward v1.json v2.json
  git show main:order.proto | tidings schema diff - order.proto
  tidings schema diff old.avsc new.avsc -o json | jq -r '.findings[].rule'
  tidings schema diff --subject shop.OrderPlaced 1.0.0 2.0.0")]
pub struct DiffArgs {
    /// The schema in use: a file, or - for standard input; with --subject a version (1.2.0) or a
    /// requirement (^1.2)
    old: String,
    /// The proposed schema, in the same form
    new: String,
    /// Compare two registered versions of this subject
    #[arg(long, conflicts_with_all = [
        "compatibility", "content_model", "surface", "format", "message", "import_paths", "with",
    ])]
    subject: Option<String>,
    /// The compatibility that must hold; the other direction is reported too
    #[arg(long, value_enum, default_value = "full", value_name = "LEVEL")]
    compatibility: CompatibilityArg,
    /// JSON Schema: how undeclared properties of an open object are treated
    #[arg(long, value_enum, default_value = "lenient")]
    content_model: ContentModelArg,
    /// Protobuf: the encodings that are part of the contract
    #[arg(long, value_enum, default_value = "wire-json")]
    surface: SurfaceArg,
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
        // A script may compare thousands of pairs of files; they need no runtime.
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
    let imported_locations = take_imported_locations(&mut report);
    let report = CompatibilityReport::from(report);
    let accepted = report.required_bump() != Bump::Major;
    let schema = CheckedSchema {
        subject: "",
        source: &new,
        report: &report,
        accepted,
        refusal_reason: ErrorReason::Unspecified,
        level: Some(level),
        imported_locations,
    };
    print(&schema, &old.name, output)?;
    if accepted {
        return Ok(());
    }
    let broken = match level.direction() {
        Some(Direction::Backward) => "new readers could not read all data of the old one",
        Some(Direction::Forward) => "running readers could not read all data of the new one",
        Some(Direction::Both) | None => BROKEN,
    };
    Err(Failure::new(format!("{} is not compatible with {}: {broken}", new.name, old.name))
        .exit_with(INCOMPATIBLE)
        .with_remedy("the suggestion after \"instead\", or a new major version")
        .into())
}

/// The effect of an incompatible change in one of the directions, or in both.
const BROKEN: &str = "replays or running readers would break";

/// Compares two registered versions of a subject.
async fn versions(args: DiffArgs, subject: String) -> anyhow::Result<()> {
    let mut client = args.server.registry().await?;
    let version =
        |version: &str| SubjectVersion { subject: subject.clone(), version: version.into() };
    // The argument may be a requirement, but the text must be that of the compared version.
    let by = Some(By::SubjectVersion(version(&args.new)));
    let response = client.get_schema(args.server.request(GetSchemaRequest { by })).await;
    let operation = || format!("get schema {subject} {}", args.new);
    let new = response.map_err(failed(operation()))?.into_inner().schema.unwrap_or_default();
    let request =
        DiffSchemasRequest { old: Some(version(&args.old)), new: Some(version(&new.version)) };
    let response = client.diff_schemas(args.server.request(request)).await;
    let operation = format!("compare {subject} {} and {}", args.old, new.version);
    let report = response.map_err(failed(operation))?.into_inner().report.unwrap_or_default();

    let source = Source::registered(&new);
    let accepted = report.required_bump() != Bump::Major;
    let old = report.compared_versions.first().unwrap_or(&args.old).clone();
    let schema = CheckedSchema {
        subject: &subject,
        source: &source,
        report: &report,
        accepted,
        refusal_reason: ErrorReason::Unspecified,
        level: None,
        imported_locations: BTreeMap::new(),
    };
    print(&schema, &printable(&format!("{subject} {old}")), args.report.output)?;
    if accepted {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} is not compatible with {}: {BROKEN}",
        source.name,
        printable(&old)
    ))
    .exit_with(INCOMPATIBLE)
    .with_remedy("the suggestion after \"instead\", in the next version")
    .into())
}

fn print(schema: &CheckedSchema<'_>, old: &str, output: ReportFormat) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if output == ReportFormat::Json {
        writeln!(out, "{}", json::line("CompatibilityReport", schema.report)?)?;
        return Ok(out.flush()?);
    }
    let paint = Paint::stdout();
    let entry = schema.entry(paint);
    if output != ReportFormat::Text {
        drop(out);
        return ci::print(output, &[entry]);
    }
    write!(out, "{}", entry.text(paint))?;
    let verdict =
        if schema.accepted { paint.green(&entry.summary) } else { paint.red(&entry.summary) };
    writeln!(out, "{old} -> {}: {verdict}", schema.source.name)?;
    writeln!(out, "{}", describe_bump(schema.report))?;
    Ok(out.flush()?)
}

impl DiffArgs {
    fn read(&self) -> anyhow::Result<(Source, Source)> {
        if self.old == "-" && self.new == "-" {
            return Err(Failure::usage("standard input cannot be both schemas")
                .with_remedy("a file for one of them")
                .into());
        }
        let read = |name: &str, other: &str| {
            let mut files = self.files.clone();
            // Standard input has the format of the other file.
            if name == "-" && files.format.is_none() {
                files.format = format_of(Path::new(other)).map(|(format, _)| format.into());
            }
            Source::read(name, &files)
        };
        Ok((read(&self.old, &self.new)?, read(&self.new, &self.old)?))
    }
}

/// Parses both schemas. Protobuf files with several messages, of which none is named, are compared
/// as whole files.
fn parse<'a>(
    old: &'a Source,
    new: &'a Source,
) -> Result<(Schema, Schema), (&'a Source, InvalidSchema)> {
    let parse_message = |source: &'a Source| {
        Schema::parse(source.format, "", &source.definition, &[]).map_err(|error| (source, error))
    };
    let parse_file = |source: &'a Source| {
        let parsed = protobuf::Schema::parse_file(&source.definition, &[]);
        parsed.map(Schema::Protobuf).map_err(|error| (source, error))
    };
    let (old_schema, new_schema) = match (parse_message(old), parse_message(new)) {
        (Ok(old), Ok(new)) => (old, new),
        _ if old.format == Format::Protobuf && old.definition.message_name.is_empty() => {
            (parse_file(old)?, parse_file(new)?)
        }
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    // As in the registry, a schema that is already in use is not checked again.
    let faults = new_schema.check();
    if faults.is_empty() || old_schema.canonical() == new_schema.canonical() {
        return Ok((old_schema, new_schema));
    }
    Err((new, InvalidSchema { faults }))
}

fn not_a_schema(source: &Source, invalid: &InvalidSchema, output: ReportFormat) -> anyhow::Error {
    let entry = Entry::invalid("", source, &invalid.faults);
    let failure = entry.failure(source.remedy());
    match ci::print(output, &[entry]) {
        Ok(()) => failure.into(),
        Err(error) => error,
    }
}

/// Removes locations in imported files from a report, whose lines are those of the schema itself.
fn take_imported_locations(report: &mut Report) -> BTreeMap<usize, SourceLocation> {
    let mut imported_locations = BTreeMap::new();
    for (index, compared) in report.findings.iter_mut().enumerate() {
        if !compared.finding.location.file.is_empty() {
            imported_locations.insert(index, mem::take(&mut compared.finding.location));
        }
    }
    imported_locations
}
