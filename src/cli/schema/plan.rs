//! `tidings schema plan` and `tidings schema apply`: everything that a manifest names, all or nothing.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use tidings_registry::proto::v1::{
    ApplySchemasRequest, ApplySchemasResponse, ErrorReason, Outcome, RegisterSchemaResponse,
    schema_registry_service_client::SchemaRegistryServiceClient,
};
use tonic::{Status, transport::Channel};

use super::{
    super::{client::ServerArgs, failure::Failure, positions::quote, printer::printable},
    force::ForceArgs,
    json, machine,
    manifest::{Manifest, Planned},
    refusal,
    report::{Case, Entry, INCOMPATIBLE, MOVE_ON, ReportArgs, ReportFormat},
    settings::{Drift, drift},
    snippet::Paint,
    source::{self, Source},
};

/// How often a plan is made anew where the registry changed between plan and apply.
const ATTEMPTS_MAX: usize = 3;

/// Largest plan file.
const PLAN_BYTES_MAX: usize = 256 << 20;

const MANIFEST_HELP: &str = "\
The manifest, tidings.yaml:

  import-paths: [proto]               # where imports are looked up, beside the file's own directory
  schemas:
    - subject: shop.OrderPlaced       # for events, the event type
      file: proto/shop/orders.proto   # .proto, .json (JSON Schema) or .avsc; within this directory
      message: shop.OrderPlaced       # Protobuf: where the file has several
      compatibility: full-transitive  # what is promised; tidings schema --help explains it
      owner: checkout
      description: An order was placed
    - subject: shop.OrderPaid
      file: order_paid.json
      references:                     # other subjects that it refers to
        - {name: money.json, subject: shop.Money, version: 1.2.0}
      version: 2.0.0                  # only where a new major version is meant
      labels: {team: payments}

Further keys: format, with (files that the schema needs), content-model, surface.";

const EXAMPLES: &str = "\
Examples:
  tidings schema plan schemas/
  tidings schema plan schemas/ -o json > plan.json && tidings schema apply schemas/ --plan plan.json";

/// Show what apply would do with all schemas of a manifest, and change nothing.
///
/// For every schema: whether it is new, which version it would get and why, or what speaks against it. With the revision of the registry
/// that this holds for: `apply --plan` refuses to run where something was registered since.
#[derive(Debug, Args)]
#[command(after_help = format!("{MANIFEST_HELP}\n\n{EXAMPLES}\n\n\
Exit codes: 0 apply would succeed, 100 it would be refused, 1 error, 2 usage or manifest."))]
pub struct PlanArgs {
    /// The manifest, or a directory that has a tidings.yaml
    #[arg(default_value = ".", value_name = "MANIFEST")]
    path: PathBuf,
    /// Plan for an apply with --force: go on although consumers would be left behind
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Register all schemas of a manifest: all of them or none.
///
/// The plan is made and shown first. Schemas may refer to each other, in any order. What is registered already stays as it is, so that
/// applying twice does nothing. Behind the schemas the subjects' settings are brought to what the manifest says; a changed
/// compatibility counts from the next apply on.
#[derive(Debug, Args)]
#[command(after_help = format!("{MANIFEST_HELP}\n\n{EXAMPLES}\n\n\
Exit codes: 0 applied, 100 refused and nothing was registered, 1 error, 2 usage or manifest."))]
pub struct ApplyArgs {
    /// The manifest, or a directory that has a tidings.yaml
    #[arg(default_value = ".", value_name = "MANIFEST")]
    path: PathBuf,
    /// What `plan -o json` printed: apply exactly that, or nothing
    #[arg(long, value_name = "FILE", conflicts_with = "expected_revision")]
    plan: Option<PathBuf>,
    /// Apply only if the registry is at this revision
    #[arg(long, value_name = "REVISION")]
    expected_revision: Option<u64>,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs `plan`.
pub async fn plan(args: PlanArgs) -> anyhow::Result<()> {
    let manifest = Manifest::read(&args.path)?;
    let mut client = args.server.registry().await?;
    let output = args.report.output;
    let plan = Plan::make(&manifest, &args.server, &mut client, 0, args.force)
        .await?
        .map_err(|status| manifest.failed("plan", &status, output))?;
    plan.print(output, "plan of", &plan.answer)?;
    plan.accepted()
}

/// Runs `apply`.
pub async fn apply(args: ApplyArgs) -> anyhow::Result<()> {
    let manifest = Manifest::read(&args.path)?;
    let saved = args.plan.as_deref().map(Saved::read).transpose()?;
    let expected = match &saved {
        Some(saved) => Some(saved.revision),
        None => args.expected_revision,
    };
    let mut client = args.server.registry().await?;
    let output = args.report.output;
    let failed = |status: &Status| manifest.failed("apply", status, output);
    let mut attempts = 0;
    let (plan, answer) = loop {
        attempts += 1;
        let revision = expected.unwrap_or_default();
        let plan = Plan::make(&manifest, &args.server, &mut client, revision, args.force.force)
            .await?
            .map_err(|status| failed(&status))?;
        if let Some(saved) = &saved {
            saved.check(&plan.answer)?;
        }
        if !plan.answer.acceptable {
            plan.print(output, "plan of", &plan.answer)?;
            return plan.accepted();
        }
        let request = ApplySchemasRequest {
            schemas: manifest.drafts(),
            validate_only: false,
            expected_revision: plan.answer.revision,
            force: args.force.force,
            force_reason: args.force.reason(),
        };
        match client.apply_schemas(args.server.request(request)).await {
            Ok(response) => break (plan, response.into_inner()),
            // What was shown is what is applied; nobody asked for this very revision.
            Err(status) if expected.is_none() && attempts < ATTEMPTS_MAX && has_moved(&status) => {}
            Err(status) => return Err(failed(&status)),
        }
    };
    plan.print(output, "applied", &answer)?;
    for drift in &plan.drifts {
        drift.settle(&args.server, &mut client).await?;
    }
    Ok(())
}

fn has_moved(status: &Status) -> bool {
    refusal::reason(status) == "REVISION_MOVED"
}

impl Manifest {
    fn drafts(&self) -> Vec<tidings_registry::proto::v1::SchemaDraft> {
        self.schemas.iter().map(Planned::draft).collect()
    }

    fn failed(&self, doing: &str, status: &Status, output: ReportFormat) -> anyhow::Error {
        let schemas: Vec<(&str, &Source)> =
            self.schemas.iter().map(|it| (it.subject.as_str(), &it.source)).collect();
        let error = refusal::failure(&format!("{doing} {}", self.name), status, &schemas, output);
        match (error.downcast::<Failure>(), refusal::report(status)) {
            (Ok(failure), Some(_)) => failure.exit_with(INCOMPATIBLE).into(),
            (Ok(failure), None) => failure.into(),
            (Err(error), _) => error,
        }
    }
}

/// What apply would do.
struct Plan<'a> {
    manifest: &'a Manifest,
    answer: ApplySchemasResponse,
    drifts: Vec<Drift>,
}

impl<'a> Plan<'a> {
    async fn make(
        manifest: &'a Manifest,
        server: &ServerArgs,
        client: &mut SchemaRegistryServiceClient<Channel>,
        expected_revision: u64,
        force: bool,
    ) -> anyhow::Result<Result<Self, Status>> {
        let request = ApplySchemasRequest {
            schemas: manifest.drafts(),
            validate_only: true,
            expected_revision,
            force,
            force_reason: String::new(),
        };
        let answer = match client.apply_schemas(server.request(request)).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(Err(status)),
        };
        let drifts = drift(manifest, server, client).await?;
        Ok(Ok(Self { manifest, answer, drifts }))
    }

    fn accepted(&self) -> anyhow::Result<()> {
        if self.answer.acceptable {
            return Ok(());
        }
        let refused: Vec<&str> = self
            .rows(&self.answer)
            .filter(|(_, result)| !is_accepted(result, self.answer.acceptable))
            .map(|(schema, _)| schema.subject.as_str())
            .collect();
        let what = match refused.as_slice() {
            [] => "the plan is refused".to_owned(),
            [one] => format!("{} is refused", printable(one)),
            many => format!("{} schemas are refused", many.len()),
        };
        let is_for_consumers = |(_, result): (&Planned, &RegisterSchemaResponse)| {
            is_accepted(result, self.answer.acceptable)
                || result.refusal_reason() == ErrorReason::ConsumersLeftBehind
        };
        let remedy = match self.rows(&self.answer).all(is_for_consumers) {
            true => MOVE_ON,
            false => {
                "what stands behind \"instead\", or a new major version: \"version:\" in the manifest"
            }
        };
        Err(Failure::new(format!("{what}: nothing of {} would be registered", self.manifest.name))
            .exit_with(INCOMPATIBLE)
            .try_this(remedy)
            .into())
    }

    fn rows<'b>(
        &'b self,
        answer: &'b ApplySchemasResponse,
    ) -> impl Iterator<Item = (&'b Planned, &'b RegisterSchemaResponse)> {
        self.manifest.schemas.iter().zip(&answer.results)
    }

    fn print(
        &self,
        output: ReportFormat,
        title: &str,
        answer: &ApplySchemasResponse,
    ) -> anyhow::Result<()> {
        let paint = Paint::stdout();
        let acceptable = self.answer.acceptable;
        if output == ReportFormat::Json {
            let mut out = io::stdout().lock();
            writeln!(out, "{}", json::line("ApplySchemasResponse", answer)?)?;
            return Ok(out.flush()?);
        }
        let rows: Vec<(&Planned, &RegisterSchemaResponse, Entry)> = self
            .rows(answer)
            .map(|(schema, result)| {
                let entry = entry(schema, result, acceptable, paint);
                (schema, result, entry)
            })
            .collect();
        if output != ReportFormat::Text {
            let entries: Vec<Entry> = rows.into_iter().map(|(_, _, entry)| entry).collect();
            return machine::print(output, &entries);
        }
        let mut text =
            format!("{title} {} at revision {}\n\n", self.manifest.name, answer.revision);
        let width = rows.iter().map(|(schema, _, _)| schema.subject.chars().count()).max();
        let mut counts: BTreeMap<Step, usize> = BTreeMap::new();
        for (schema, result, entry) in &rows {
            let step = Step::of(result, acceptable);
            *counts.entry(step).or_default() += 1;
            step.write(&mut text, schema, result, entry, width.unwrap_or_default(), paint);
            let changes = self.drifts.iter().filter(|drift| drift.subject == schema.subject);
            for line in changes.flat_map(Drift::lines) {
                let _ = writeln!(text, "      {}", printable(&line));
            }
        }
        let counts: Vec<String> =
            counts.iter().map(|(step, count)| format!("{count} {}", step.word())).collect();
        let _ = writeln!(text, "\n{}", counts.join(", "));
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

fn entry(
    schema: &Planned,
    result: &RegisterSchemaResponse,
    acceptable: bool,
    paint: Paint,
) -> Entry {
    let case = Case {
        subject: &schema.subject,
        source: &schema.source,
        report: &result.report.clone().unwrap_or_default(),
        accepted: is_accepted(result, acceptable),
        because: result.refusal_reason(),
        level: None,
        elsewhere: BTreeMap::new(),
    };
    case.entry(paint)
}

/// Whether a schema could be registered if it were alone. A result that is refused has no outcome.
fn is_accepted(result: &RegisterSchemaResponse, acceptable: bool) -> bool {
    acceptable || result.outcome() != Outcome::Unspecified
}

/// What happens to one schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    New,
    Changed,
    Refused,
    Unchanged,
}

impl Step {
    fn of(result: &RegisterSchemaResponse, acceptable: bool) -> Self {
        let compared = result.report.as_ref().is_some_and(|it| !it.compared_versions.is_empty());
        match result.outcome() {
            _ if !is_accepted(result, acceptable) => Self::Refused,
            Outcome::AlreadyRegistered => Self::Unchanged,
            Outcome::Registered | Outcome::Unspecified if compared => Self::Changed,
            Outcome::Registered | Outcome::Unspecified => Self::New,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Refused => "refused",
            Self::Unchanged => "unchanged",
        }
    }

    fn write(
        self,
        text: &mut String,
        schema: &Planned,
        result: &RegisterSchemaResponse,
        entry: &Entry,
        width: usize,
        paint: Paint,
    ) {
        let report = result.report.clone().unwrap_or_default();
        let version = result.schema.as_ref().map(|it| it.version.clone()).unwrap_or_default();
        let version = if version.is_empty() { report.next_version.clone() } else { version };
        let sign = match self {
            Self::New => paint.green("+"),
            Self::Changed => paint.yellow("~"),
            Self::Refused => paint.red("!"),
            Self::Unchanged => "=".to_owned(),
        };
        let what = match self {
            Self::New => "new".to_owned(),
            Self::Unchanged => "unchanged".to_owned(),
            Self::Changed | Self::Refused => entry.summary.clone(),
        };
        let subject = printable(&schema.subject);
        let file = printable(&schema.source.name);
        let _ = match self {
            Self::Refused => writeln!(text, "  {sign} {subject:<width$}  refused: {what}  {file}"),
            _ => writeln!(text, "  {sign} {subject:<width$}  {version:<8} {what}  {file}"),
        };
        match self {
            Self::Refused => {
                for line in entry.text(paint).lines() {
                    let _ = writeln!(text, "{}{line}", if line.is_empty() { "" } else { "      " });
                }
            }
            Self::Changed => {
                for note in &entry.notes {
                    let _ = writeln!(text, "      {}", printable(&note.message));
                }
            }
            Self::New | Self::Unchanged => {}
        }
    }
}

/// A plan as `plan -o json` printed it.
struct Saved {
    name: String,
    revision: u64,
    /// Subject, version and fingerprint of each schema.
    schemas: Vec<[String; 3]>,
}

impl Saved {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.to_string_lossy().into_owned();
        let text = source::read(path, PLAN_BYTES_MAX)
            .and_then(source::text)
            .map_err(|fault| fault.of(&name).try_this(how_to_plan()))?;
        let no_plan = || {
            Failure::new(format!("{name} is not a plan, which is a line of JSON with a revision"))
                .try_this(how_to_plan())
        };
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|_| no_plan())?;
        let revision =
            json["revision"].as_str().and_then(|it| it.parse().ok()).ok_or_else(no_plan)?;
        if json["acceptable"] == false {
            return Err(Failure::new(format!("{name} is a plan that was refused"))
                .try_this(how_to_plan())
                .exit_with(INCOMPATIBLE)
                .into());
        }
        let member = |schema: &serde_json::Value, name: &str| {
            schema[name].as_str().unwrap_or_default().to_owned()
        };
        let schemas = json["results"]
            .as_array()
            .ok_or_else(no_plan)?
            .iter()
            .map(|result| {
                ["subject", "version", "fingerprint"].map(|name| member(&result["schema"], name))
            })
            .collect();
        Ok(Self { name, revision, schemas })
    }

    /// What would be applied has to be what was planned: files change, too.
    fn check(&self, answer: &ApplySchemasResponse) -> anyhow::Result<()> {
        let schema = |result: &RegisterSchemaResponse| {
            let schema = result.schema.clone().unwrap_or_default();
            [schema.subject, schema.version, schema.fingerprint]
        };
        let now: Vec<[String; 3]> = answer.results.iter().map(schema).collect();
        if now == self.schemas {
            return Ok(());
        }
        let changed = self
            .schemas
            .iter()
            .chain(&now)
            .find(|it| !(now.contains(it) && self.schemas.contains(it)));
        let what = match changed {
            Some([subject, ..]) if !subject.is_empty() => format!("{} is not", printable(subject)),
            _ => "its schemas are not".to_owned(),
        };
        Err(Failure::new(format!(
            "{} is not up to date: {what} what it was planned to be",
            quote(&self.name)
        ))
        .detail("the files changed since the plan was made")
        .try_this(how_to_plan())
        .into())
    }
}

fn how_to_plan() -> &'static str {
    "a new plan: tidings schema plan -o json > plan.json"
}
