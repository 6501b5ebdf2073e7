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
    force::ForceArgs,
    json, machine, refusal,
    report::{Case, INCOMPATIBLE, MOVE_ON, ReportArgs, ReportFormat, meaning},
    snippet::Paint,
    source::{FileArgs, Source},
    words::{
        self, ContentModelWord, LevelWord, SurfaceWord, content_model_number, level_number,
        surface_number,
    },
};

/// Ask what would happen if a file were registered, and change nothing.
///
/// The file is compared with the versions that the subject's compatibility names: all of the major line, unless it says otherwise.
/// The answer is the version it would be given, or everything that speaks against it: what would break, and which consumers
/// would be left behind.
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
/// The registry derives the version from the change: the next patch or minor version. What would break somebody is refused, with
/// every reason, unless a new major version is asked for with --version. Registering what is registered already changes nothing
/// and answers with the version that it has.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 registered, or it was already, 100 refused, 1 error, 2 usage.

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

/// What is proposed.
#[derive(Debug, Args)]
struct DraftArgs {
    /// The subject: for events, the event type
    subject: String,
    /// The schema's file, or - for standard input
    file: String,
    #[command(flatten)]
    files: FileArgs,
    /// Another subject that the schema refers to, and what it calls it there; without a version the newest; repeatable
    #[arg(long = "reference", value_name = "NAME=SUBJECT[@VERSION]", value_parser = parse_reference)]
    references: Vec<Reference>,
    /// The version it is to be; a new major version has to be said
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// A label of the version; repeatable
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_pair)]
    labels: Vec<(String, String)>,
    /// For a new subject: what is promised of it [default: full-transitive]
    #[arg(long, value_enum, value_name = "LEVEL")]
    compatibility: Option<LevelWord>,
    /// For a new subject, JSON Schema: how undeclared properties of an open object are seen [default: lenient]
    #[arg(long, value_enum)]
    content_model: Option<ContentModelWord>,
    /// For a new subject, Protobuf: what of a message is in use [default: wire-json]
    #[arg(long, value_enum)]
    surface: Option<SurfaceWord>,
}

impl DraftArgs {
    fn read(&self) -> anyhow::Result<Source> {
        let references = self.references.iter().map(|it| it.name.clone()).collect();
        Source::read(&self.file, &FileArgs { references, ..self.files.clone() })
    }

    fn draft(&self, source: &Source) -> SchemaDraft {
        SchemaDraft {
            subject: self.subject.clone(),
            format: words::wire_format(source.format),
            definition: Some(source.definition.clone().into()),
            references: self.references.clone(),
            version: self.version.clone().unwrap_or_default(),
            labels: self.labels.iter().cloned().collect(),
            compatibility: level_number(self.compatibility),
            content_model: content_model_number(self.content_model),
            surface: surface_number(self.surface),
        }
    }
}

/// Reads `NAME=SUBJECT` or `NAME=SUBJECT@VERSION`.
fn parse_reference(text: &str) -> Result<Reference, String> {
    // A name may be a URL with = in it; a subject hardly is.
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
    let answer = ask(&args.server, args.draft.draft(&source), against)
        .await?
        .map_err(|status| failed("check", subject, &status, &source, output))?;
    let report = answer.report.clone().unwrap_or_default();
    let (accepted, because) = (answer.acceptable, answer.refusal_reason());
    let told = Told { subject, source: &source, report: &report, accepted, because };
    told.print(output, None, || json::line("CheckSchemaResponse", &answer))?;
    if answer.acceptable { Ok(()) } else { Err(told.refusal().into()) }
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
            let answer = response.into_inner();
            let report = answer.report.clone().unwrap_or_default();
            let because = ErrorReason::Unspecified;
            let told = Told { subject, source: &source, report: &report, accepted: true, because };
            let done = outcome(subject, &answer);
            told.print(output, Some(&done), || json::line("RegisterSchemaResponse", &answer))
        }
        Err(status) => {
            let Some(cut) = refusal::report(&status) else {
                return Err(failed("register", subject, &status, &source, output));
            };
            // What travels with an error is cut to a few KiB; asked for, it comes whole.
            let report = match ask(&args.server, draft, String::new()).await {
                Ok(Ok(CheckSchemaResponse { report: Some(whole), .. })) => whole,
                _ => cut,
            };
            let name = format!("ERROR_REASON_{}", refusal::reason(&status));
            let because = ErrorReason::from_str_name(&name).unwrap_or_default();
            let told = Told { subject, source: &source, report: &report, accepted: false, because };
            let answer = RegisterSchemaResponse {
                report: Some(report.clone()),
                refusal_reason: because.into(),
                ..Default::default()
            };
            told.print(output, None, || json::line("RegisterSchemaResponse", &answer))?;
            let failure = told.refusal();
            // An incompatible schema, and who is left behind, is told already; a version that is too low is not.
            Err(match because {
                ErrorReason::SchemaIncompatible | ErrorReason::ConsumersLeftBehind => {
                    failure.into()
                }
                _ => failure.detail(status.message()).into(),
            })
        }
    }
}

async fn ask(
    server: &ServerArgs,
    draft: SchemaDraft,
    against_version: String,
) -> anyhow::Result<Result<CheckSchemaResponse, Status>> {
    let request = CheckSchemaRequest { schema: Some(draft), against_version };
    let answer = server.registry().await?.check_schema(server.request(request)).await;
    Ok(answer.map(tonic::Response::into_inner))
}

fn failed(
    doing: &str,
    subject: &str,
    status: &Status,
    source: &Source,
    output: ReportFormat,
) -> anyhow::Error {
    refusal::failure(&format!("{doing} {subject}"), status, &[(subject, source)], output)
}

/// What registering did, in a line.
pub fn outcome(subject: &str, answer: &RegisterSchemaResponse) -> String {
    let schema = answer.schema.clone().unwrap_or_default();
    let (version, id) = (&schema.version, schema.id);
    match answer.outcome() {
        Outcome::AlreadyRegistered if answer.is_latest => {
            format!("{subject} has it already: {version}, id {id}")
        }
        Outcome::AlreadyRegistered => {
            format!("{subject} has it already: {version}, id {id}; it is not the latest version")
        }
        Outcome::Registered | Outcome::Unspecified => {
            format!("registered {subject} {version}, id {id}")
        }
    }
}

/// One schema and what the registry says of it.
struct Told<'a> {
    subject: &'a str,
    source: &'a Source,
    report: &'a CompatibilityReport,
    accepted: bool,
    because: ErrorReason,
}

impl Told<'_> {
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
        let case = Case {
            subject: self.subject,
            source: self.source,
            report: self.report,
            accepted: self.accepted,
            because: self.because,
            level: None,
            elsewhere: BTreeMap::new(),
        };
        let entry = case.entry(paint);
        if output != ReportFormat::Text {
            drop(out);
            return machine::print(output, &[entry]);
        }
        write!(out, "{}", entry.text(paint))?;
        let colour = |text: &str| if self.accepted { paint.green(text) } else { paint.red(text) };
        writeln!(out, "{}: {}", printable(self.subject), colour(&entry.summary))?;
        let compared = &self.report.compared_versions;
        if compared.is_empty() {
            writeln!(out, "compared with nothing: it is the first version")?;
        } else {
            writeln!(out, "compared with {}", printable(&compared.join(", ")))?;
            writeln!(out, "{}", meaning(self.report))?;
        }
        if let Some(done) = done {
            writeln!(out, "{}", printable(done))?;
        }
        Ok(out.flush()?)
    }

    fn refusal(&self) -> Failure {
        let next = &self.report.next_version;
        let remedy = if self.because == ErrorReason::ConsumersLeftBehind {
            MOVE_ON.to_owned()
        } else if next.is_empty() {
            "what stands behind \"instead\"".to_owned()
        } else {
            format!(
                "what stands behind \"instead\", or a new major version: --version {}",
                quote(next)
            )
        };
        Failure::new(format!("{} does not take {}", printable(self.subject), self.source.name))
            .exit_with(INCOMPATIBLE)
            .try_this(remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_with_and_without_a_version() {
        let read = |text: &str| {
            let it = parse_reference(text).unwrap();
            [it.name, it.subject, it.version]
        };
        assert_eq!(read("a.json=shop.Money"), ["a.json", "shop.Money", ""]);
        assert_eq!(read("a.json=shop.Money@1.2.0"), ["a.json", "shop.Money", "1.2.0"]);
        assert_eq!(read("https://x/?a=b=s@t"), ["https://x/?a=b", "s@t", ""]);
        assert!(parse_reference("a").is_err());
        assert!(parse_reference("a=").is_err());
    }
}
