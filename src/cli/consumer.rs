//! `tidings consumer`: what applications say that they understand, so that nobody changes it under them unasked.

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

/// Say which versions an application understands, and see who reads what.
///
/// A consumer is an application that reads events. The registry knows what it understands, a version requirement for each event
/// type, from what it declares in its pipeline and from the streams that it opens under its name. Whoever changes a schema is
/// told by tidings schema check, plan, register, apply, retire and delete which consumers would be left behind, and refused
/// unless it is forced, with a reason that is kept.
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

/// Declare what an application understands, from its pipeline.
///
/// What it declared before is replaced. Types may be named before anybody registers them. What its streams ask for is known besides,
/// and stays. Prints what each type would be delivered in; tidings schema can-i-use asks the same, declares nothing, and fails
/// where something is not satisfied.
#[derive(Debug, Args)]
#[command(after_help = format!("{}\n\nExamples:
  tidings consumer declare billing --accept 'shop.OrderPlaced=^1.2'
  tidings consumer declare billing -f accept.yaml", accept::FILE_HELP))]
pub struct DeclareArgs {
    /// The name of the application: that of its streams
    name: String,
    #[command(flatten)]
    accept: AcceptArgs,
    #[command(flatten)]
    show: ShowArgs,
}

/// List consumers: what each understands, how that is known, what it is delivered, and when it was last seen.
///
/// What was declared is known until it is declared anew or forgotten; what a stream asked for, for 90 days behind it. A stream
/// that is open is "connected".
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings consumer list
  tidings consumer list billing
  tidings consumer list --subject shop.OrderPlaced | jq -r 'select(.connected) | .name'")]
pub struct ListArgs {
    /// Only this one
    name: Option<String>,
    /// Only those that read this subject
    #[arg(long)]
    subject: Option<String>,
    #[command(flatten)]
    show: ShowArgs,
}

/// Forget a consumer that is gone, so that it holds nobody up.
///
/// What it declared is forgotten, and what its streams asked for. A stream that is open is not: it would be known again a
/// minute later.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  tidings consumer forget billing")]
pub struct ForgetArgs {
    /// The name of the application
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
        return Err(Failure::usage("nothing is declared")
            .try_this(format!(
                "--accept TYPE=REQUIREMENT; tidings consumer forget {} if it is gone",
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
    let answer = server.registry().await?.negotiate_versions(server.request(request)).await;
    let answer = answer.map_err(|status| {
        let failure = failed(format!("declare consumer {}", args.name))(status.clone());
        match status.code() {
            Code::ResourceExhausted => failure.try_this(
                "tidings consumer forget NAME for those that are gone; consumer list has them",
            ),
            _ => failure,
        }
    })?;
    let answer = answer.into_inner();
    let mut out = io::stdout().lock();
    if args.show.json() {
        for it in &answer.versions {
            writeln!(out, "{}", json::line("NegotiatedVersion", it)?)?;
        }
    } else {
        let rows = requirements.iter().zip(&answer.versions).map(|(asked, it)| {
            let schema = it.schema.clone().unwrap_or_default();
            let note = match schema.state() {
                VersionState::Deprecated => {
                    format!("deprecated: {}", schema.deprecation).trim_end_matches(": ").to_owned()
                }
                _ if it.schema.is_some() => String::new(),
                _ if it.alternatives.is_empty() => "not registered".to_owned(),
                _ => format!("there is {}", it.alternatives.join(", ")),
            };
            [it.subject.clone(), asked.requirement.clone(), schema.version, note]
        });
        writeln!(out, "{}", table(["TYPE", "ACCEPTS", "DELIVERED", "NOTE"], rows))?;
    }
    out.flush()?;
    let open = answer.versions.iter().filter(|it| it.schema.is_none()).count();
    if open > 0 {
        writeln!(
            io::stderr(),
            "note: declared; nothing satisfies {open} of {} yet, tidings schema can-i-use --consumer {} says what there is",
            answer.versions.len(),
            quote(&args.name)
        )?;
    }
    Ok(())
}

/// All that is known, of one consumer or of one subject where they are said.
pub async fn known(
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

/// How a need is known, in words.
pub fn how(consumer: &Consumer) -> &'static str {
    match consumer.origin() {
        ConsumerOrigin::Declared => "declared",
        ConsumerOrigin::Stream if consumer.connected => "stream, connected",
        ConsumerOrigin::Stream => "stream",
        ConsumerOrigin::Unspecified => "",
    }
}

/// A consumer of which nothing is known.
pub fn unknown(name: &str) -> Failure {
    Failure::new(format!("no consumer is called {}", printable(name)))
        .try_this("tidings consumer list")
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let name = args.name.unwrap_or_default();
    let subject = args.subject.unwrap_or_default();
    let consumers = known(&args.show.server, &name, &subject).await?;
    let mut out = io::stdout().lock();
    if args.show.json() {
        for consumer in &consumers {
            writeln!(out, "{}", json::line("Consumer", consumer)?)?;
        }
    } else if consumers.is_empty() {
        writeln!(
            io::stderr(),
            "note: no consumers; tidings consumer declare NAME makes one known, and every stream that is opened under a name"
        )?;
    } else {
        let header = ["CONSUMER", "TYPE", "ACCEPTS", "DELIVERED", "KNOWN BY", "LAST SEEN"];
        let rows = consumers.iter().map(|it| {
            [
                it.name.clone(),
                it.subject.clone(),
                it.requirement.clone(),
                it.negotiated_version.clone(),
                how(it).to_owned(),
                show_time(it.last_seen_time.as_ref()),
            ]
        });
        writeln!(out, "{}", table(header, rows))?;
    }
    Ok(out.flush()?)
}

async fn forget(args: ForgetArgs) -> anyhow::Result<()> {
    let server = &args.server;
    if known(server, &args.name, "").await?.is_empty() {
        return Err(unknown(&args.name).into());
    }
    let request = NegotiateVersionsRequest {
        consumer: args.name.clone(),
        record: true,
        ..NegotiateVersionsRequest::default()
    };
    let answer = server.registry().await?.negotiate_versions(server.request(request)).await;
    answer.map_err(failed(format!("forget consumer {}", args.name)))?;
    let left = known(server, &args.name, "").await?.len();
    let name = printable(&args.name);
    match left {
        0 => writeln!(io::stderr(), "forgot {name}")?,
        _ => writeln!(
            io::stderr(),
            "forgot what {name} declared; its open streams are known on, with {left} of its needs"
        )?,
    }
    Ok(())
}
