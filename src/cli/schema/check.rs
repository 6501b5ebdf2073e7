//! `tidings schema check` and `tidings schema register`: one file, one subject.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use clap::Args;
use tidings_registry::proto::v1::{
    CheckSchemaRequest, CheckSchemaResponse, CompatibilityReport, ErrorReason, Outcome, Reference,
    RegisterSchemaRequest, RegisterSchemaResponse, SchemaDraft,
};
use tonic::Status;

use super::{
    super::{
        client::ServerArgs,
        failure::Failure,
        positions::{parse_pair, quote},
        printer::printable,
    },
    ci,
    enums::{
        self, CompatibilityArg, ContentModelArg, SurfaceArg, compatibility_number,
        content_model_number, surface_number,
    },
    force::ForceArgs,
    json, refusal,
    report::{
        CONSUMERS_REMEDY, CheckedSchema, INCOMPATIBLE, ReportArgs, ReportFormat, describe_bump,
    },
    snippet::Paint,
    source::{FileArgs, Source},
};

/// Check whether a file could be registered, and change nothing.
///
/// The file is compared with the versions that the subject's compatibility names: by default all of
/// the major line. The result is the version that it would get, or every reason against it: what
/// would break, and which consumers would be left behind.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 it would be registered, 100 it would be refused, 1 error, 2 usage.

Examples:
  tidings schema check shop.OrderPlaced order_placed.proto
  tidings schema check shop.OrderPlaced order_placed.proto --against 1.2.0
  tidings schema check shop.OrderPlaced order_placed.proto -o github")]
pub struct CheckArgs {
    #[command(flatten)]
    draft: DraftArgs,
    /// Compare with this version only
    #[arg(long, value_name = "VERSION")]
    against: Option<String>,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Register a file as the next version of a subject.
///
/// The registry derives the version from the change: the next patch or minor version. A breaking
/// change is rejected, with every reason, unless --version requests a new major version.
/// Registering an existing schema changes nothing and returns its version.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 registered or already registered, 100 refused, 1 error, 2 usage.

Examples:
  tidings schema register shop.OrderPlaced order_placed.proto
  tidings schema register shop.OrderPlaced order_placed.proto --version 2.0.0
  tidings schema register shop.OrderPaid paid.json --compatibility backward
  tidings schema register shop.Order order.json --reference money.json=shop.Money@1.2.0")]
pub struct RegisterArgs {
    #[command(flatten)]
    draft: DraftArgs,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// A proposed schema.
#[derive(Debug, Args)]
struct DraftArgs {
    /// The subject: for events, the event type
    subject: String,
    /// The schema's file, or - for standard input
    file: String,
    #[command(flatten)]
    files: FileArgs,
    /// Another subject that the schema refers to, by its name in the schema; without a version, the
    /// newest; repeatable
    #[arg(long = "reference", value_name = "NAME=SUBJECT[@VERSION]", value_parser = parse_reference)]
    references: Vec<Reference>,
    /// The version to register; required for a new major version
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// A label of the version; repeatable
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_pair)]
    labels: Vec<(String, String)>,
    /// For a new subject: its compatibility [default: full-transitive]
    #[arg(long, value_enum, value_name = "LEVEL")]
    compatibility: Option<CompatibilityArg>,
    /// For a new subject, JSON Schema: how undeclared properties of an open object are treated
    /// [default: lenient]
    #[arg(long, value_enum)]
    content_model: Option<ContentModelArg>,
    /// For a new subject, Protobuf: the encodings that are part of the contract [default:
    /// wire-json]
    #[arg(long, value_enum)]
    surface: Option<SurfaceArg>,
}

impl DraftArgs {
    fn read(&self) -> anyhow::Result<Source> {
        let references = self.references.iter().map(|reference| reference.name.clone()).collect();
        Source::read(&self.file, &FileArgs { references, ..self.files.clone() })
    }

    fn draft(&self, source: &Source) -> SchemaDraft {
        SchemaDraft {
            subject: self.subject.clone(),
            format: enums::wire_format(source.format),
            definition: Some(source.definition.clone().into()),
            references: self.references.clone(),
            version: self.version.clone().unwrap_or_default(),
            labels: self.labels.iter().cloned().collect(),
            compatibility: compatibility_number(self.compatibility),
            content_model: content_model_number(self.content_model),
            surface: surface_number(self.surface),
        }
    }
}

/// Parses `NAME=SUBJECT` or `NAME=SUBJECT@VERSION`.
fn parse_reference(text: &str) -> Result<Reference, String> {
    // A name may be a URL with = in it; a subject rarely contains one.
    let (name, target) = text
        .rsplit_once('=')
        .filter(|(name, target)| !name.is_empty() && !target.is_empty())
        .ok_or(
            "expected NAME=SUBJECT or NAME=SUBJECT@VERSION, such as money.json=shop.Money@1.2.0",
        )?;
    let versioned = target
        .rsplit_once('@')
        .filter(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit()));
    let (subject, version) = versioned.unwrap_or((target, ""));
    Ok(Reference { name: name.into(), subject: subject.into(), version: version.into() })
}

/// Runs `check`.
pub async fn check(args: CheckArgs) -> anyhow::Result<()> {
    let source = args.draft.read()?;
    let subject = &args.draft.subject;
    let output = args.report.output;
    let against = args.against.clone().unwrap_or_default();
    let response = request_check(&args.server, args.draft.draft(&source), against)
        .await?
        .map_err(|status| failed("check", subject, &status, &source, output))?;
    let report = response.report.clone().unwrap_or_default();
    let (accepted, refusal_reason) = (response.acceptable, response.refusal_reason());
    let draft_report =
        DraftReport { subject, source: &source, report: &report, accepted, refusal_reason };
    draft_report.print(output, None, || json::line("CheckSchemaResponse", &response))?;
    if response.acceptable { Ok(()) } else { Err(draft_report.refusal().into()) }
}

/// Runs `register`.
pub async fn register(args: RegisterArgs) -> anyhow::Result<()> {
    let source = args.draft.read()?;
    let subject = &args.draft.subject;
    let output = args.report.output;
    let draft = args.draft.draft(&source);
    let request = RegisterSchemaRequest {
        schema: Some(draft.clone()),
        force: args.force.force,
        force_reason: args.force.reason(),
    };
    let request = args.server.request(request);
    match args.server.registry().await?.register_schema(request).await {
        Ok(response) => {
            let response = response.into_inner();
            let report = response.report.clone().unwrap_or_default();
            let refusal_reason = ErrorReason::Unspecified;
            let draft_report = DraftReport {
                subject,
                source: &source,
                report: &report,
                accepted: true,
                refusal_reason,
            };
            let done = describe_outcome(subject, &response);
            draft_report
                .print(output, Some(&done), || json::line("RegisterSchemaResponse", &response))
        }
        Err(status) => {
            let Some(partial) = refusal::report(&status) else {
                return Err(failed("register", subject, &status, &source, output));
            };
            // The report in an error is cut to a few KiB; the report of a check is complete.
            let report = match request_check(&args.server, draft, String::new()).await {
                Ok(Ok(CheckSchemaResponse { report: Some(complete), .. })) => complete,
                _ => partial,
            };
            let name = format!("ERROR_REASON_{}", refusal::reason(&status));
            let refusal_reason = ErrorReason::from_str_name(&name).unwrap_or_default();
            let draft_report = DraftReport {
                subject,
                source: &source,
                report: &report,
                accepted: false,
                refusal_reason,
            };
            let response = RegisterSchemaResponse {
                report: Some(report.clone()),
                refusal_reason: refusal_reason.into(),
                ..Default::default()
            };
            draft_report.print(output, None, || json::line("RegisterSchemaResponse", &response))?;
            let failure = draft_report.refusal();
            // The report shows an incompatible schema and affected consumers, but not a version
            // that is too low.
            Err(match refusal_reason {
                ErrorReason::SchemaIncompatible | ErrorReason::ConsumersLeftBehind => {
                    failure.into()
                }
                _ => failure.detail(status.message()).into(),
            })
        }
    }
}

async fn request_check(
    server: &ServerArgs,
    draft: SchemaDraft,
    against_version: String,
) -> anyhow::Result<Result<CheckSchemaResponse, Status>> {
    let request = CheckSchemaRequest { schema: Some(draft), against_version };
    let response = server.registry().await?.check_schema(server.request(request)).await;
    Ok(response.map(tonic::Response::into_inner))
}

fn failed(
    operation: &str,
    subject: &str,
    status: &Status,
    source: &Source,
    output: ReportFormat,
) -> anyhow::Error {
    refusal::failure(&format!("{operation} {subject}"), status, &[(subject, source)], output)
}

/// Describes a registration in one line.
pub fn describe_outcome(subject: &str, response: &RegisterSchemaResponse) -> String {
    let schema = response.schema.clone().unwrap_or_default();
    let (version, id) = (&schema.version, schema.id);
    match response.outcome() {
        Outcome::AlreadyRegistered if response.is_latest => {
            format!("already registered: {subject} {version}, id {id}")
        }
        Outcome::AlreadyRegistered => {
            format!(
                "already registered: {subject} {version}, id {id}; it is not the latest version"
            )
        }
        Outcome::Registered | Outcome::Unspecified => {
            format!("registered {subject} {version}, id {id}")
        }
    }
}

/// A schema and the registry's report on it.
struct DraftReport<'a> {
    subject: &'a str,
    source: &'a Source,
    report: &'a CompatibilityReport,
    accepted: bool,
    refusal_reason: ErrorReason,
}

impl DraftReport<'_> {
    fn print(
        &self,
        output: ReportFormat,
        done: Option<&str>,
        json: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if output == ReportFormat::Json {
            writeln!(out, "{}", json()?)?;
            return Ok(out.flush()?);
        }
        let paint = Paint::stdout();
        let case = CheckedSchema {
            subject: self.subject,
            source: self.source,
            report: self.report,
            accepted: self.accepted,
            refusal_reason: self.refusal_reason,
            level: None,
            imported_locations: BTreeMap::new(),
        };
        let entry = case.entry(paint);
        if output != ReportFormat::Text {
            drop(out);
            return ci::print(output, &[entry]);
        }
        write!(out, "{}", entry.text(paint))?;
        let colour = |text: &str| if self.accepted { paint.green(text) } else { paint.red(text) };
        writeln!(out, "{}: {}", printable(self.subject), colour(&entry.summary))?;
        let compared = &self.report.compared_versions;
        if compared.is_empty() {
            writeln!(out, "not compared: it is the first version")?;
        } else {
            writeln!(out, "compared with {}", printable(&compared.join(", ")))?;
            writeln!(out, "{}", describe_bump(self.report))?;
        }
        if let Some(done) = done {
            writeln!(out, "{}", printable(done))?;
        }
        Ok(out.flush()?)
    }

    fn refusal(&self) -> Failure {
        let next = &self.report.next_version;
        let remedy = if self.refusal_reason == ErrorReason::ConsumersLeftBehind {
            CONSUMERS_REMEDY.to_owned()
        } else if next.is_empty() {
            "the suggestion after \"instead\"".to_owned()
        } else {
            format!(
                "the suggestion after \"instead\", or a new major version: --version {}",
                quote(next)
            )
        };
        Failure::new(format!("{} does not accept {}", printable(self.subject), self.source.name))
            .exit_with(INCOMPATIBLE)
            .with_remedy(remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_parse_with_and_without_a_version() {
        let read = |text: &str| {
            let reference = parse_reference(text).unwrap();
            [reference.name, reference.subject, reference.version]
        };
        assert_eq!(read("a.json=shop.Money"), ["a.json", "shop.Money", ""]);
        assert_eq!(read("a.json=shop.Money@1.2.0"), ["a.json", "shop.Money", "1.2.0"]);
        assert_eq!(read("https://x/?a=b=s@t"), ["https://x/?a=b", "s@t", ""]);
        assert!(parse_reference("a").is_err());
        assert!(parse_reference("a=").is_err());
    }
}
