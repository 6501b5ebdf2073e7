//! `tidings subscribe`.

use clap::Args;
use tidings::{
    model::timestamp::Timestamp, notation::parse_time, proto::events::v1::SubscribeRequest,
};

use super::{
    client::ServerArgs,
    follow::{Follower, Progress},
    interrupt::Interrupt,
    positions::{SelectArgs, StartArgs, quote},
    printer::{OutputArgs, Printer},
};

/// Follow topics: existing events from the start on, then new ones, without end.
///
/// Starts at the latest event by default. Reconnects automatically, after the last printed event.
/// Ctrl-C prints the command that resumes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings subscribe orders --from earliest
  tidings subscribe 'orders.*' --from -10 --filter 'type=shop.*'
  tidings subscribe orders --cel 'data.total > 100 && has(event.subject)'
  tidings subscribe orders --from 15m --format '{offset}\\t{key} {type} {data}'
  tidings subscribe orders --from earliest --exit-at-end | jq .event.data
  tidings subscribe shop.orders --accept 'shop.OrderPlaced=^1.2' --consumer billing

Patterns: * is one segment of a name, ** one or more at its end. Quote them, because shells expand *.")]
pub struct SubscribeArgs {
    /// Topics or patterns
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    #[command(flatten)]
    start: StartArgs,
    #[command(flatten)]
    select: SelectArgs,
    /// Stop after this many events
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    /// Stop before the first event recorded at or after this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// Stop after the existing events
    #[arg(long)]
    exit_at_end: bool,
    /// Fail if the connection breaks
    #[arg(long)]
    no_reconnect: bool,
    /// Name of the reading application: the registry records the versions that it accepts, and
    /// rejects changes that would leave it behind
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
pub async fn run(args: SubscribeArgs) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::new()?;
    let mut printer = Printer::new(&args.output);
    let mut progress = Progress::default();
    let follower = Follower {
        server: args.server.clone(),
        request: SubscribeRequest {
            topics: args.topics.clone(),
            start: args.start.position(),
            filters: args.select.filters(),
            key: args.select.key.clone().unwrap_or_default(),
            view: args.select.view().into(),
            consumer: args.consumer.clone().unwrap_or_default(),
            schema: args.select.schema(),
            ..SubscribeRequest::default()
        },
        start: args.start.clone(),
        limit: args.limit,
        until: args.until,
        exit_at_end: args.exit_at_end,
        reconnect: !args.no_reconnect,
    };
    let outcome = follower.run(&mut printer, &mut progress, &mut interrupt).await;
    if let Ok(true) = outcome {
        print_resume("subscribe", &progress, &args.resume_flags());
    }
    outcome.map(drop)
}

impl SubscribeArgs {
    fn resume_flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = self.topics.iter().map(|topic| quote(topic)).collect();
        flags.extend(self.server.flags());
        flags.extend(self.select.flags());
        flags.extend(self.consumer.iter().map(|name| format!("--consumer {}", quote(name))));
        flags.extend(self.output.flags());
        flags
    }
}

/// Prints the progress of a stream to stderr, and the command that resumes it.
pub fn print_resume(command: &str, progress: &Progress, flags: &[String]) {
    let events = match progress.events {
        1 => "1 event".to_owned(),
        events => format!("{events} events"),
    };
    match &progress.cursor {
        Some(cursor) => {
            let flags = flags.join(" ");
            eprintln!(
                "{events}; to resume:\n  tidings {command} {flags} --cursor {}",
                quote(cursor)
            );
        }
        None => eprintln!("{events}"),
    }
}
