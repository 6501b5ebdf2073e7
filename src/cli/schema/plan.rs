//! `tidings schema plan` and `tidings schema apply`: the schemas of a manifest, all or none.

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
    ci,
    force::ForceArgs,
    json,
    manifest::{Manifest, PlannedSchema},
    refusal,
    report::{CONSUMERS_REMEDY, CheckedSchema, Entry, INCOMPATIBLE, ReportArgs, ReportFormat},
    settings::{SubjectChanges, pending_changes},
    snippet::Paint,
    source::{self, Source},
};

/// How often to plan if the registry changes between plan and apply.
const ATTEMPTS_MAX: usize = 3;

/// Largest plan file.
const PLAN_BYTES_MAX: usize = 256 << 20;

const MANIFEST_HELP: &str = "\
The manifest, tidings.yaml:

  import-paths: [proto]               # searched for imports, after the file's own directory
  schemas:
    - subject: shop.OrderPlaced       # for events, the event type
      file: proto/shop/orders.proto   # .proto, .json (JSON Schema) or .avsc; within this directory
      message: shop.OrderPlaced       # Protobuf: if the file has several
      compatibility: full-transitive  # explained by tidings schema --help
      owner: checkout
      description: An order was placed
    - subject: shop.OrderPaid
      file: order_paid.json
      references:                     # other subjects that it refers to
        - {name: money.json, subject: shop.Money, version: 1.2.0}
      version: 2.0.0                  # only for a new major version
      labels: {team: payments}

Further keys: format, with (files that the schema needs), content-model, surface.";

const EXAMPLES: &str = "\
Examples:
  tidings schema plan schemas/
  tidings schema plan schemas/ -o json > plan.json && tidings schema apply schemas/ --plan plan.json";

/// Show what apply would do with all schemas of a manifest, and change nothing.
///
/// For each schema: whether it is new, the version that it would get and why, or the reasons
/// against it. Also shows the revision of the registry: `apply --plan` fails if the registry has
/// changed since.
#[derive(Debug, Args)]
#[command(after_help = format!("{MANIFEST_HELP}\n\n{EXAMPLES}\n\n\
Exit codes: 0 apply would succeed, 100 it would be refused, 1 error, 2 usage or manifest."))]
pub struct PlanArgs {
    /// The manifest, or a directory that has a tidings.yaml
    #[arg(default_value = ".", value_name = "MANIFEST")]
    path: PathBuf,
    /// Plan for an apply with --force: proceed even if consumers would be left behind
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Register all schemas of a manifest: all of them or none.
///
/// The plan is made and shown first. Schemas may refer to each other, in any order. Registered
/// schemas stay as they are, so that a second apply does nothing. After the schemas, the settings
/// of the subjects are updated to the manifest; a changed compatibility applies from the next apply
/// on.
#[derive(Debug, Args)]
#[command(after_help = format!("{MANIFEST_HELP}\n\n{EXAMPLES}\n\n\
Exit codes: 0 applied, 100 refused and nothing was registered, 1 error, 2 usage or manifest."))]
pub struct ApplyArgs {
    /// The manifest, or a directory that has a tidings.yaml
    #[arg(default_value = ".", value_name = "MANIFEST")]
    path: PathBuf,
    /// The output of `plan -o json`: apply exactly that, or nothing
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
    plan.print(output, "plan of", &plan.response)?;
    plan.accepted()
}

/// Runs `apply`.
pub async fn apply(args: ApplyArgs) -> anyhow::Result<()> {
    let manifest = Manifest::read(&args.path)?;
    let saved = args.plan.as_deref().map(SavedPlan::read).transpose()?;
    let expected = match &saved {
        Some(saved) => Some(saved.revision),
        None => args.expected_revision,
    };
    let mut client = args.server.registry().await?;
    let output = args.report.output;
    let failed = |status: &Status| manifest.failed("apply", status, output);
    let mut attempts = 0;
    let (plan, response) = loop {
        attempts += 1;
        let revision = expected.unwrap_or_default();
        let plan = Plan::make(&manifest, &args.server, &mut client, revision, args.force.force)
            .await?
            .map_err(|status| failed(&status))?;
        if let Some(saved) = &saved {
            saved.check(&plan.response)?;
        }
        if !plan.response.acceptable {
            plan.print(output, "plan of", &plan.response)?;
            return plan.accepted();
        }
        let request = ApplySchemasRequest {
            schemas: manifest.drafts(),
            validate_only: false,
            expected_revision: plan.response.revision,
            force: args.force.force,
            force_reason: args.force.reason(),
        };
        match client.apply_schemas(args.server.request(request)).await {
            Ok(response) => break (plan, response.into_inner()),
            // The registry has changed since the plan. No particular revision was requested, so
            // plan again: only a plan that is shown is applied.
            Err(status)
                if expected.is_none() && attempts < ATTEMPTS_MAX && is_revision_moved(&status) => {}
            Err(status) => return Err(failed(&status)),
        }
    };
    plan.print(output, "applied", &response)?;
    for changes in &plan.subject_changes {
        changes.apply(&args.server, &mut client).await?;
    }
    Ok(())
}

fn is_revision_moved(status: &Status) -> bool {
    refusal::reason(status) == "REVISION_MOVED"
}

impl Manifest {
    fn drafts(&self) -> Vec<tidings_registry::proto::v1::SchemaDraft> {
        self.schemas.iter().map(PlannedSchema::draft).collect()
    }

    fn failed(&self, operation: &str, status: &Status, output: ReportFormat) -> anyhow::Error {
        let schemas: Vec<(&str, &Source)> =
            self.schemas.iter().map(|schema| (schema.subject.as_str(), &schema.source)).collect();
        let error =
            refusal::failure(&format!("{operation} {}", self.name), status, &schemas, output);
        match (error.downcast::<Failure>(), refusal::report(status)) {
            (Ok(failure), Some(_)) => failure.exit_with(INCOMPATIBLE).into(),
            (Ok(failure), None) => failure.into(),
            (Err(error), _) => error,
        }
    }
}

/// The effects of an apply.
struct Plan<'a> {
    manifest: &'a Manifest,
    response: ApplySchemasResponse,
    subject_changes: Vec<SubjectChanges>,
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
        let response = match client.apply_schemas(server.request(request)).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(Err(status)),
        };
        let subject_changes = pending_changes(manifest, server, client).await?;
        Ok(Ok(Self { manifest, response, subject_changes }))
    }

    fn accepted(&self) -> anyhow::Result<()> {
        if self.response.acceptable {
            return Ok(());
        }
        let refused: Vec<&str> = self
            .rows(&self.response)
            .filter(|(_, result)| !is_accepted(result, self.response.acceptable))
            .map(|(schema, _)| schema.subject.as_str())
            .collect();
        let message = match refused.as_slice() {
            [] => "the plan is refused".to_owned(),
            [subject] => format!("{} is refused", printable(subject)),
            subjects => format!("{} schemas are refused", subjects.len()),
        };
        let is_for_consumers = |(_, result): (&PlannedSchema, &RegisterSchemaResponse)| {
            is_accepted(result, self.response.acceptable)
                || result.refusal_reason() == ErrorReason::ConsumersLeftBehind
        };
        let remedy = match self.rows(&self.response).all(is_for_consumers) {
            true => CONSUMERS_REMEDY,
            false => {
                "the suggestion after \"instead\", or a new major version: \"version:\" \
                 in the manifest"
            }
        };
        Err(Failure::new(format!(
            "{message}: nothing of {} would be registered",
            self.manifest.name
        ))
        .exit_with(INCOMPATIBLE)
        .with_remedy(remedy)
        .into())
    }

    fn rows<'b>(
        &'b self,
        response: &'b ApplySchemasResponse,
    ) -> impl Iterator<Item = (&'b PlannedSchema, &'b RegisterSchemaResponse)> {
        self.manifest.schemas.iter().zip(&response.results)
    }

    fn print(
        &self,
        output: ReportFormat,
        title: &str,
        response: &ApplySchemasResponse,
    ) -> anyhow::Result<()> {
        let paint = Paint::stdout();
        let acceptable = self.response.acceptable;
        if output == ReportFormat::Json {
            let mut out = io::stdout().lock();
            writeln!(out, "{}", json::line("ApplySchemasResponse", response)?)?;
            return Ok(out.flush()?);
        }
        let rows: Vec<(&PlannedSchema, &RegisterSchemaResponse, Entry)> = self
            .rows(response)
            .map(|(schema, result)| {
                let entry = entry(schema, result, acceptable, paint);
                (schema, result, entry)
            })
            .collect();
        if output != ReportFormat::Text {
            let entries: Vec<Entry> = rows.into_iter().map(|(_, _, entry)| entry).collect();
            return ci::print(output, &entries);
        }
        let mut text =
            format!("{title} {} at revision {}\n\n", self.manifest.name, response.revision);
        let width = rows.iter().map(|(schema, _, _)| schema.subject.chars().count()).max();
        let mut counts: BTreeMap<PlanAction, usize> = BTreeMap::new();
        for (schema, result, entry) in &rows {
            let action = PlanAction::of(result, acceptable);
            *counts.entry(action).or_default() += 1;
            action.write(&mut text, schema, result, entry, width.unwrap_or_default(), paint);
            let changes =
                self.subject_changes.iter().filter(|changes| changes.subject == schema.subject);
            for line in changes.flat_map(SubjectChanges::lines) {
                let _ = writeln!(text, "      {}", printable(&line));
            }
        }
        let counts: Vec<String> =
            counts.iter().map(|(action, count)| format!("{count} {}", action.label())).collect();
        let _ = writeln!(text, "\n{}", counts.join(", "));
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

fn entry(
    schema: &PlannedSchema,
    result: &RegisterSchemaResponse,
    acceptable: bool,
    paint: Paint,
) -> Entry {
    let checked = CheckedSchema {
        subject: &schema.subject,
        source: &schema.source,
        report: &result.report.clone().unwrap_or_default(),
        accepted: is_accepted(result, acceptable),
        refusal_reason: result.refusal_reason(),
        level: None,
        imported_locations: BTreeMap::new(),
    };
    checked.entry(paint)
}

/// Whether a schema could be registered alone. A rejected result has no outcome.
fn is_accepted(result: &RegisterSchemaResponse, acceptable: bool) -> bool {
    acceptable || result.outcome() != Outcome::Unspecified
}

/// The action for one schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PlanAction {
    New,
    Changed,
    Refused,
    Unchanged,
}

impl PlanAction {
    fn of(result: &RegisterSchemaResponse, acceptable: bool) -> Self {
        let compared =
            result.report.as_ref().is_some_and(|report| !report.compared_versions.is_empty());
        match result.outcome() {
            _ if !is_accepted(result, acceptable) => Self::Refused,
            Outcome::AlreadyRegistered => Self::Unchanged,
            Outcome::Registered | Outcome::Unspecified if compared => Self::Changed,
            Outcome::Registered | Outcome::Unspecified => Self::New,
        }
    }

    fn label(self) -> &'static str {
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
        schema: &PlannedSchema,
        result: &RegisterSchemaResponse,
        entry: &Entry,
        width: usize,
        paint: Paint,
    ) {
        let report = result.report.clone().unwrap_or_default();
        let version =
            result.schema.as_ref().map(|schema| schema.version.clone()).unwrap_or_default();
        let version = if version.is_empty() { report.next_version.clone() } else { version };
        let sign = match self {
            Self::New => paint.green("+"),
            Self::Changed => paint.yellow("~"),
            Self::Refused => paint.red("!"),
            Self::Unchanged => "=".to_owned(),
        };
        let summary = match self {
            Self::New => "new".to_owned(),
            Self::Unchanged => "unchanged".to_owned(),
            Self::Changed | Self::Refused => entry.summary.clone(),
        };
        let subject = printable(&schema.subject);
        let file = printable(&schema.source.name);
        let _ = match self {
            Self::Refused => {
                writeln!(text, "  {sign} {subject:<width$}  refused: {summary}  {file}")
            }
            _ => writeln!(text, "  {sign} {subject:<width$}  {version:<8} {summary}  {file}"),
        };
        match self {
            Self::Refused => {
                for line in entry.text(paint).lines() {
                    let _ = writeln!(text, "{}{line}", if line.is_empty() { "" } else { "      " });
                }
            }
            Self::Changed => {
                for diagnostic in &entry.diagnostics {
                    let _ = writeln!(text, "      {}", printable(&diagnostic.message));
                }
            }
            Self::New | Self::Unchanged => {}
        }
    }
}

/// A plan that `plan -o json` printed.
struct SavedPlan {
    name: String,
    revision: u64,
    /// Subject, version and fingerprint of each schema.
    schemas: Vec<[String; 3]>,
}

impl SavedPlan {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.to_string_lossy().into_owned();
        let text = source::read(path, PLAN_BYTES_MAX)
            .and_then(source::text)
            .map_err(|error| error.into_failure(&name).with_remedy(plan_remedy()))?;
        let no_plan = || {
            Failure::new(format!("{name} is not a plan: a plan is a line of JSON with a revision"))
                .with_remedy(plan_remedy())
        };
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|_| no_plan())?;
        let revision =
            json["revision"].as_str().and_then(|text| text.parse().ok()).ok_or_else(no_plan)?;
        if json["acceptable"] == false {
            return Err(Failure::new(format!("{name} is a plan that was refused"))
                .with_remedy(plan_remedy())
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

    /// Fails if the files have changed since the plan.
    fn check(&self, response: &ApplySchemasResponse) -> anyhow::Result<()> {
        let schema = |result: &RegisterSchemaResponse| {
            let schema = result.schema.clone().unwrap_or_default();
            [schema.subject, schema.version, schema.fingerprint]
        };
        let current: Vec<[String; 3]> = response.results.iter().map(schema).collect();
        if current == self.schemas {
            return Ok(());
        }
        let changed = self
            .schemas
            .iter()
            .chain(&current)
            .find(|schema| !(current.contains(schema) && self.schemas.contains(schema)));
        let message = match changed {
            Some([subject, ..]) if !subject.is_empty() => {
                format!("{} is not as planned", printable(subject))
            }
            _ => "its schemas are not as planned".to_owned(),
        };
        Err(Failure::new(format!("{} is not up to date: {message}", quote(&self.name)))
            .detail("the files changed since the plan was made")
            .with_remedy(plan_remedy())
            .into())
    }
}

fn plan_remedy() -> &'static str {
    "a new plan: tidings schema plan -o json > plan.json"
}
