//! `tidings schema get`, `list` and `versions`: registered schemas.

use std::io::{self, IsTerminal, Write};

use clap::{Args, ValueEnum};
use tidings::notation::show_time;
use tidings_registry::proto::v1::{
    GetSchemaRequest, ListSchemasRequest, ListSubjectsRequest, Schema, Subject, SubjectVersion,
    definition::Form, get_schema_request::By,
};
use tonic::Status;

use super::{
    super::{
        client::ServerArgs,
        failure::Failure,
        positions::quote,
        printer::{printable, table},
    },
    enums, json,
};

const PAGE_SIZE: i32 = 1_000;

/// Print a registered schema, as its author wrote it.
///
/// Without a version, prints the newest one that is not retired. In a pipe only the definition is
/// printed; on a terminal also the properties of the version.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings schema get shop.OrderPlaced
  tidings schema get shop.OrderPlaced 1.2.0 > order_placed.proto
  tidings schema get shop.OrderPlaced '^1.2'
  tidings schema get --id 7 -o json | jq .fingerprint")]
pub struct GetArgs {
    /// The subject: for events, the event type
    #[arg(required_unless_present = "id", conflicts_with = "id")]
    subject: Option<String>,
    /// A version (1.2.0), or a requirement (^1.2) for the newest that satisfies it
    version: Option<String>,
    /// By schema id, which an event carries, instead of by subject
    #[arg(long)]
    id: Option<u32>,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: GetOutput,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GetOutput {
    /// The definition
    Text,
    /// All properties, in one line of JSON
    Json,
}

/// List subjects.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings schema list
  tidings schema list shop. | jq -r .name")]
pub struct ListArgs {
    /// Only subjects with this prefix
    prefix: Option<String>,
    #[command(flatten)]
    show: ShowArgs,
}

/// List the versions of a subject, oldest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  tidings schema versions shop.OrderPlaced")]
pub struct VersionsArgs {
    /// The subject
    subject: String,
    #[command(flatten)]
    show: ShowArgs,
}

/// Output flags of lists and changes.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Output format; default: a table on a terminal, JSON lines in a pipe
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// A JSON object per line, in proto3 JSON
    Json,
}

impl ShowArgs {
    /// Whether to print JSON.
    pub fn json(&self) -> bool {
        match self.output {
            Some(output) => output == Output::Json,
            None => !io::stdout().is_terminal(),
        }
    }
}

/// Converts a status into the failure of an operation.
pub fn failed(operation: String) -> impl Fn(Status) -> Failure {
    move |status| Failure::from_status(&operation, &status)
}

/// Runs `get`.
pub async fn get(args: GetArgs) -> anyhow::Result<()> {
    let (operation, by) = match (args.id, args.subject, args.version) {
        (Some(id), _, _) => (format!("get schema {id}"), By::Id(id)),
        (None, subject, version) => {
            let subject = subject.unwrap_or_default();
            let version = version.unwrap_or_default();
            let operation = format!("get schema {subject} {version}").trim_end().to_owned();
            (operation, By::SubjectVersion(SubjectVersion { subject, version }))
        }
    };
    let request = args.server.request(GetSchemaRequest { by: Some(by) });
    let response = args.server.registry().await?.get_schema(request).await;
    let schema = response.map_err(failed(operation))?.into_inner().schema.unwrap_or_default();
    let mut out = io::stdout().lock();
    if args.output == GetOutput::Json {
        writeln!(out, "{}", json::line("Schema", &schema)?)?;
        return Ok(out.flush()?);
    }
    let definition = schema.definition.clone().unwrap_or_default();
    let is_terminal = io::stdout().is_terminal();
    if is_terminal {
        write!(out, "{}", describe(&schema))?;
        writeln!(out)?;
    }
    match definition.form {
        Some(Form::Text(text)) if is_terminal => {
            for line in text.lines() {
                writeln!(out, "{}", printable(&line.replace('\t', "    ")))?;
            }
        }
        Some(Form::Text(text)) => out.write_all(text.as_bytes())?,
        Some(Form::DescriptorSet(bytes)) if is_terminal => {
            writeln!(out, "a descriptor set of {} bytes; in a pipe it is printed", bytes.len())?;
        }
        Some(Form::DescriptorSet(bytes)) => out.write_all(&bytes)?,
        None => {}
    }
    out.flush()?;
    if !definition.files.is_empty() && !is_terminal {
        let files: Vec<&str> = definition.files.keys().map(String::as_str).collect();
        eprintln!("note: it imports {}; -o json includes them", printable(&files.join(", ")));
    }
    Ok(())
}

/// The properties of a version, one per line.
pub fn describe(schema: &Schema) -> String {
    let pairs: Vec<_> =
        schema.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let references: Vec<String> = schema
        .references
        .iter()
        .map(|reference| {
            format!("{} is {} {}", reference.name, reference.subject, reference.version)
        })
        .collect();
    let message = schema
        .definition
        .as_ref()
        .map(|definition| definition.message_name.clone())
        .unwrap_or_default();
    lines([
        ("subject", schema.subject.clone()),
        ("version", schema.version.clone()),
        ("id", schema.id.to_string()),
        ("format", enums::format(schema.format())),
        ("message", message),
        ("state", enums::state(schema.state())),
        ("deprecation", schema.deprecation.clone()),
        ("change", enums::bump(schema.bump())),
        ("refers to", references.join(", ")),
        ("labels", pairs.join(", ")),
        ("registered", show_time(schema.create_time.as_ref())),
        ("fingerprint", schema.fingerprint.clone()),
    ])
}

/// Names and values, without the empty ones.
pub fn lines<const N: usize>(rows: [(&str, String); N]) -> String {
    rows.iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:<14} {}\n", printable(value)))
        .collect()
}

/// Runs `list`.
pub async fn list(args: ListArgs) -> anyhow::Result<()> {
    let server = &args.show.server;
    let prefix = args.prefix.clone().unwrap_or_default();
    let mut client = server.registry().await?;
    let mut subjects: Vec<Subject> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            ListSubjectsRequest { page_size: PAGE_SIZE, page_token, prefix: prefix.clone() };
        let page = client.list_subjects(server.request(request)).await;
        let page = page.map_err(failed("list subjects".to_owned()))?.into_inner();
        subjects.extend(page.subjects);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut out = io::stdout().lock();
    if args.show.json() {
        for subject in &subjects {
            writeln!(out, "{}", json::line("Subject", subject)?)?;
        }
    } else if subjects.is_empty() {
        writeln!(
            io::stderr(),
            "note: no subjects; tidings schema register SUBJECT FILE creates one"
        )?;
    } else {
        let header =
            ["SUBJECT", "FORMAT", "LATEST", "VERSIONS", "COMPATIBILITY", "OWNER", "DESCRIPTION"];
        let rows = subjects.iter().map(|subject| {
            [
                subject.name.clone(),
                enums::format(subject.format()),
                subject.latest_version.clone(),
                subject.versions.len().to_string(),
                enums::compatibility(subject.compatibility()),
                subject.owner.clone(),
                subject.description.clone(),
            ]
        });
        writeln!(out, "{}", table(header, rows))?;
    }
    Ok(out.flush()?)
}

/// Runs `versions`.
pub async fn versions(args: VersionsArgs) -> anyhow::Result<()> {
    let server = &args.show.server;
    let mut client = server.registry().await?;
    let mut schemas: Vec<Schema> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            ListSchemasRequest { subject: args.subject.clone(), page_size: PAGE_SIZE, page_token };
        let page = client.list_schemas(server.request(request)).await;
        let page = page.map_err(failed(format!("list versions of {}", args.subject)))?.into_inner();
        schemas.extend(page.schemas);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut out = io::stdout().lock();
    if args.show.json() {
        for schema in &schemas {
            writeln!(out, "{}", json::line("Schema", schema)?)?;
        }
    } else if schemas.is_empty() {
        writeln!(
            io::stderr(),
            "note: no versions; tidings schema register {} FILE creates one",
            quote(&args.subject)
        )?;
    } else {
        let header = ["VERSION", "ID", "CHANGE", "STATE", "REGISTERED", "NOTE"];
        let rows = schemas.iter().map(|schema| {
            [
                schema.version.clone(),
                schema.id.to_string(),
                enums::bump(schema.bump()),
                enums::state(schema.state()),
                show_time(schema.create_time.as_ref()),
                schema.deprecation.clone(),
            ]
        });
        writeln!(out, "{}", table(header, rows))?;
    }
    Ok(out.flush()?)
}
