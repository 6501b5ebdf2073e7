//! `tidings consumer`: the schema versions that applications accept. Changes of schemas respect
//! them.

pub mod accept;

use std::io::{self, Write};

use clap::{Args, Subcommand};
use tidings::notation::show_time;
use tidings_registry::proto::v1::{
    Consumer, ConsumerOrigin, ListConsumersRequest, NegotiateVersionsRequest, VersionState,
};
use tonic::Code;

use self::accept::AcceptArgs;
use super::{
    client::ServerArgs,
    failure::Failure,
    positions::quote,
    printer::{printable, table},
    schema::{
        get::{ShowArgs, failed},
        json,
    },
};

const PAGE_SIZE: i32 = 1_000;

/// Declare which schema versions an application accepts, and list the consumers of each type.
///
/// A consumer is an application that reads events. The registry knows its version requirement for
/// each event type, from its declaration and from the event streams that it opens under its name.
/// tidings schema check, plan, register, apply, retire and delete list the consumers that a change
/// would leave behind, and reject the change unless it is forced with a reason, which is recorded.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tidings consumer declare billing --accept 'shop.OrderPlaced=^1.2'
  tidings consumer list --subject shop.OrderPlaced
  tidings schema can-i-use --consumer billing
  tidings consumer forget billing")]
pub enum ConsumerCommand {
    Declare(DeclareArgs),
    List(ListArgs),
    Forget(ForgetArgs),
}

/// Declare which schema versions an application accepts, from its pipeline.
///
/// Replaces the previous declaration of this consumer. Types may be declared before they are
/// registered. The requirements of its event streams are recorded separately and stay. Prints the
/// version that each type would be delivered in. tidings schema can-i-use prints the same, declares
/// nothing, and fails if a requirement is not satisfied.
#[derive(Debug, Args)]
#[command(after_help = format!("{}\n\nExamples:
  tidings consumer declare billing --accept 'shop.OrderPlaced=^1.2'
  tidings consumer declare billing -f accept.yaml", accept::FILE_HELP))]
pub struct DeclareArgs {
    /// Name of the application, as in its event streams
    name: String,
    #[command(flatten)]
    accept: AcceptArgs,
    #[command(flatten)]
    show: ShowArgs,
}

/// List consumers: the requirements of each, their origin, the delivered versions, and when it was
/// last seen.
///
/// A declaration is kept until it is replaced or forgotten. The requirement of an event stream is
/// kept for 90 days after the stream ends. A consumer with an open stream is "connected".
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings consumer list
  tidings consumer list billing
  tidings consumer list --subject shop.OrderPlaced | jq -r 'select(.connected) | .name'")]
pub struct ListArgs {
    /// Only this consumer
    name: Option<String>,
    /// Only consumers of this subject
    #[arg(long)]
    subject: Option<String>,
    #[command(flatten)]
    show: ShowArgs,
}

/// Forget a consumer that no longer exists, so that it blocks no schema change.
///
/// Removes its declaration and the requirements of its past streams. The requirement of an open
/// stream stays: it would be recorded again a minute later.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  tidings consumer forget billing")]
pub struct ForgetArgs {
    /// Name of the application
    name: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
pub async fn run(command: ConsumerCommand) -> anyhow::Result<()> {
    match command {
        ConsumerCommand::Declare(args) => declare(args).await,
        ConsumerCommand::List(args) => list(args).await,
        ConsumerCommand::Forget(args) => forget(args).await,
    }
}

async fn declare(args: DeclareArgs) -> anyhow::Result<()> {
    let requirements = args.accept.read()?;
    if requirements.is_empty() {
        return Err(Failure::usage("nothing to declare")
            .with_remedy(format!(
                "--accept TYPE=REQUIREMENT; tidings consumer forget {} if it no longer exists",
                quote(&args.name)
            ))
            .into());
    }
    let server = &args.show.server;
    let request = NegotiateVersionsRequest {
        consumer: args.name.clone(),
        requirements: requirements.clone(),
        record: true,
        origin: ConsumerOrigin::Declared.into(),
        ended: false,
    };
    let response = server.registry().await?.negotiate_versions(server.request(request)).await;
    let response = response.map_err(|status| {
        let failure = failed(format!("declare consumer {}", args.name))(status.clone());
        match status.code() {
            Code::ResourceExhausted => failure.with_remedy(
                "tidings consumer forget NAME for those that no longer exist; \
                 tidings consumer list shows all",
            ),
            _ => failure,
        }
    })?;
    let response = response.into_inner();
    let mut out = io::stdout().lock();
    if args.show.json() {
        for version in &response.versions {
            writeln!(out, "{}", json::line("NegotiatedVersion", version)?)?;
        }
    } else {
        let rows = requirements.iter().zip(&response.versions).map(|(accepted, negotiated)| {
            let schema = negotiated.schema.clone().unwrap_or_default();
            let note = match schema.state() {
                VersionState::Deprecated => {
                    format!("deprecated: {}", schema.deprecation).trim_end_matches(": ").to_owned()
                }
                _ if negotiated.schema.is_some() => String::new(),
                _ if negotiated.alternatives.is_empty() => "not registered".to_owned(),
                _ => format!("available: {}", negotiated.alternatives.join(", ")),
            };
            [negotiated.subject.clone(), accepted.requirement.clone(), schema.version, note]
        });
        writeln!(out, "{}", table(["TYPE", "ACCEPTS", "DELIVERED", "NOTE"], rows))?;
    }
    out.flush()?;
    let unsatisfied = response.versions.iter().filter(|version| version.schema.is_none()).count();
    if unsatisfied > 0 {
        writeln!(
            io::stderr(),
            "note: declared; {unsatisfied} of {} requirements are not satisfied yet; \
             see tidings schema can-i-use --consumer {}",
            response.versions.len(),
            quote(&args.name)
        )?;
    }
    Ok(())
}

/// Lists the recorded requirements: all, or those of one consumer or of one subject.
pub async fn list_consumers(
    server: &ServerArgs,
    consumer: &str,
    subject: &str,
) -> anyhow::Result<Vec<Consumer>> {
    let mut client = server.registry().await?;
    let mut consumers = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListConsumersRequest {
            consumer: consumer.to_owned(),
            subject: subject.to_owned(),
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = client.list_consumers(server.request(request)).await;
        let page = page.map_err(failed("list consumers".to_owned()))?.into_inner();
        consumers.extend(page.consumers);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(consumers);
        }
    }
}

/// The origin of a requirement, for people.
pub fn origin_label(consumer: &Consumer) -> &'static str {
    match consumer.origin() {
        ConsumerOrigin::Declared => "declared",
        ConsumerOrigin::Stream if consumer.connected => "stream, connected",
        ConsumerOrigin::Stream => "stream",
        ConsumerOrigin::Unspecified => "",
    }
}

/// The error for a consumer without any requirement.
pub fn not_found(name: &str) -> Failure {
    Failure::new(format!("no consumer is named {}", printable(name)))
        .with_remedy("tidings consumer list")
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let name = args.name.unwrap_or_default();
    let subject = args.subject.unwrap_or_default();
    let consumers = list_consumers(&args.show.server, &name, &subject).await?;
    let mut out = io::stdout().lock();
    if args.show.json() {
        for consumer in &consumers {
            writeln!(out, "{}", json::line("Consumer", consumer)?)?;
        }
    } else if consumers.is_empty() {
        writeln!(
            io::stderr(),
            "note: no consumers; tidings consumer declare NAME records one, \
             as does an event stream that is opened with a name"
        )?;
    } else {
        let header = ["CONSUMER", "TYPE", "ACCEPTS", "DELIVERED", "ORIGIN", "LAST SEEN"];
        let rows = consumers.iter().map(|consumer| {
            [
                consumer.name.clone(),
                consumer.subject.clone(),
                consumer.requirement.clone(),
                consumer.negotiated_version.clone(),
                origin_label(consumer).to_owned(),
                show_time(consumer.last_seen_time.as_ref()),
            ]
        });
        writeln!(out, "{}", table(header, rows))?;
    }
    Ok(out.flush()?)
}

async fn forget(args: ForgetArgs) -> anyhow::Result<()> {
    let server = &args.server;
    if list_consumers(server, &args.name, "").await?.is_empty() {
        return Err(not_found(&args.name).into());
    }
    let request = NegotiateVersionsRequest {
        consumer: args.name.clone(),
        record: true,
        ..NegotiateVersionsRequest::default()
    };
    let response = server.registry().await?.negotiate_versions(server.request(request)).await;
    response.map_err(failed(format!("forget consumer {}", args.name)))?;
    let remaining = list_consumers(server, &args.name, "").await?.len();
    let name = printable(&args.name);
    match remaining {
        0 => writeln!(io::stderr(), "forgot {name}")?,
        _ => writeln!(
            io::stderr(),
            "forgot the declaration of {name}; {remaining} requirements of its open streams stay"
        )?,
    }
    Ok(())
}
