//! `tidings read`.

use clap::Args;
use tidings::{
    model::timestamp::Timestamp,
    notation::parse_time,
    proto::events::v1::{
        AttributeFilter, Direction, Filter, ReadRequest, SubscribeRequest, filter::Dialect,
    },
};
use tonic::Status;

use super::{
    client::ServerArgs,
    failure::Failure,
    follow::{Follower, Progress, describe_gap},
    interrupt::Interrupt,
    positions::{SelectArgs, StartArgs, quote},
    printer::{OutputArgs, Printer},
    subscribe::print_resume,
};

/// Read existing events and stop: by default forwards from the earliest event, or backwards from
/// the latest.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings read orders
  tidings read orders --reverse --limit 10
  tidings read orders --from 2026-01-31T00:00:00Z --until 2026-02-01T00:00:00Z
  tidings read orders --key o-1 --format '{key_version} {type} {data}'
  tidings read --correlation-id flow-7
  tidings read orders --output cloudevents | tidings publish orders-copy")]
pub struct ReadArgs {
    /// Topics or patterns; optional with --correlation-id
    #[arg(required_unless_present = "correlation_id", value_name = "TOPIC")]
    topics: Vec<String>,
    #[command(flatten)]
    start: StartArgs,
    #[command(flatten)]
    select: SelectArgs,
    /// Only events of this flow, across topics
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Read backwards
    #[arg(long, conflicts_with = "follow")]
    reverse: bool,
    /// Stop after this many events
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    /// Stop before the first event recorded at or after this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// At the end, continue with new events
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command.
pub async fn run(args: ReadArgs) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::new()?;
    let mut printer = Printer::new(&args.output);
    let mut progress = Progress::default();
    let interrupted = tokio::select! {
        outcome = args.read(&mut printer, &mut progress) => outcome.map(|()| false)?,
        () = interrupt.wait() => true,
    };
    printer.flush()?;
    if interrupted {
        print_resume("read", &progress, &args.resume_flags());
    } else if args.follow {
        let follower = args.follower(&progress);
        if follower.run(&mut printer, &mut progress, &mut interrupt).await? {
            print_resume("read", &progress, &args.resume_flags());
        }
    }
    Ok(())
}

impl ReadArgs {
    async fn read(&self, printer: &mut Printer, progress: &mut Progress) -> anyhow::Result<()> {
        // A limit of 0 means no events; in the request, 0 means all of them.
        if self.limit == Some(0) {
            return Ok(());
        }
        let direction = if self.reverse { Direction::Backward } else { Direction::Forward };
        let request = ReadRequest {
            topics: self.topics.clone(),
            start: self.start.position(),
            until_time: self.until.map(Into::into),
            direction: direction.into(),
            max_events: self.limit.unwrap_or_default(),
            filters: self.select.filters(),
            key: self.select.key.clone().unwrap_or_default(),
            correlationid: self.correlation_id.clone().unwrap_or_default(),
            schema: self.select.schema(),
            view: self.select.view().into(),
        };
        let failed = |status: &Status| Failure::from_status("read", status);
        let mut client = self.server.events().await?;
        let response = client.read(request).await.map_err(|status| failed(&status))?;
        let mut stream = response.into_inner();
        while let Some(response) = stream.message().await.map_err(|status| failed(&status))? {
            for gap in &response.gaps {
                eprintln!("note: {}", describe_gap(gap));
            }
            if let Some(batch) = response.batch {
                for event in &batch.events {
                    printer.event(event)?;
                    progress.events += 1;
                    progress.cursor = Some(event.cursor.clone());
                }
            }
            if !response.end_cursor.is_empty() {
                progress.cursor = Some(response.end_cursor);
            }
            printer.flush()?;
        }
        Ok(())
    }

    /// An event stream that continues after the events that were read.
    fn follower(&self, progress: &Progress) -> Follower {
        let topics =
            if self.topics.is_empty() { vec!["**".to_owned()] } else { self.topics.clone() };
        let mut filters = self.select.filters();
        if let Some(flow) = &self.correlation_id {
            let attributes = [("correlationid".to_owned(), flow.clone())].into();
            let dialect = Dialect::Exact(AttributeFilter { attributes });
            filters.push(Filter { dialect: Some(dialect) });
        }
        let start = match &progress.cursor {
            Some(cursor) => Some(self.start.after(cursor)),
            None => self.start.position(),
        };
        Follower {
            server: self.server.clone(),
            request: SubscribeRequest {
                topics,
                start,
                filters,
                key: self.select.key.clone().unwrap_or_default(),
                view: self.select.view().into(),
                schema: self.select.schema(),
                ..SubscribeRequest::default()
            },
            start: self.start.clone(),
            limit: self.limit,
            until: self.until,
            exit_at_end: false,
            reconnect: true,
        }
    }

    fn resume_flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = self.topics.iter().map(|topic| quote(topic)).collect();
        flags.extend(self.server.flags());
        flags.extend(self.select.flags());
        flags
            .extend(self.correlation_id.iter().map(|id| format!("--correlation-id {}", quote(id))));
        if self.reverse {
            flags.push("--reverse".to_owned());
        }
        if self.follow {
            flags.push("--follow".to_owned());
        }
        flags.extend(self.until.iter().map(|until| format!("--until {until}")));
        flags.extend(self.output.flags());
        flags
    }
}
