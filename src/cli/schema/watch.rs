//! `tidings schema watch`: the changes of the registry, as they happen.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use clap::{Args, ValueEnum};
use tidings::notation::show_time;
use tidings_registry::proto::v1::{
    WatchRegistryRequest, WatchRegistryResponse, watch_registry_response::Change,
};
use tokio::time::sleep;
use tonic::Status;

use super::{
    super::{
        client::{ServerArgs, is_retryable},
        failure::Failure,
        interrupt::Interrupt,
        printer::printable,
    },
    enums, json,
};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Follow the changes of the registry: registrations, deprecations, updates and deletions, with
/// their principals.
///
/// Starts with the first change that is kept, or after a revision. Reconnects automatically. Ctrl-C
/// prints the command that resumes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings schema watch
  tidings schema watch --after 41 | jq -r '.schemaRegistered.subject // empty'")]
pub struct WatchArgs {
    /// Only changes after this revision
    #[arg(long, value_name = "REVISION", default_value = "0", hide_default_value = true)]
    after: u64,
    /// Fail if the connection breaks
    #[arg(long)]
    no_reconnect: bool,
    /// Output format; default: text on a terminal, JSON lines in a pipe
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line per change, for people
    Text,
    /// A line of proto3 JSON per change
    Json,
}

/// Progress of the stream.
#[derive(Debug)]
struct Progress {
    changes: u64,
    revision: u64,
    /// Whether a stream was open before.
    was_open: bool,
}

/// Runs the command.
pub async fn run(args: WatchArgs) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::new()?;
    let mut progress = Progress { changes: 0, revision: args.after, was_open: false };
    let mut backoff = BACKOFF_MIN;
    loop {
        let previous_changes = progress.changes;
        let status = tokio::select! {
            end = args.stream(&mut progress) => end?,
            () = interrupt.wait() => break,
        };
        // The first attempt is not repeated: a retry does not fix a wrong address.
        if args.no_reconnect || !progress.was_open || !is_retryable(&status) {
            return Err(Failure::from_status("watch", &status).into());
        }
        if progress.changes > previous_changes {
            backoff = BACKOFF_MIN;
        }
        eprintln!("note: {}; reconnecting", printable(status.message()));
        tokio::select! {
            () = sleep(backoff) => {}
            () = interrupt.wait() => break,
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
    args.print_resume(&progress);
    Ok(())
}

impl WatchArgs {
    /// Prints changes until the connection breaks, and returns its status.
    async fn stream(&self, progress: &mut Progress) -> anyhow::Result<Status> {
        let mut client = match self.server.registry().await {
            Ok(client) => client,
            Err(error) if progress.was_open => return Ok(Status::unavailable(error.to_string())),
            Err(error) => return Err(error),
        };
        let request = WatchRegistryRequest { after_revision: progress.revision };
        let mut stream = match client.watch_registry(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(status),
        };
        progress.was_open = true;
        let json = match self.output {
            Some(output) => output == Output::Json,
            None => !io::stdout().is_terminal(),
        };
        loop {
            let change = match stream.message().await {
                Ok(Some(change)) => change,
                Ok(None) => return Ok(Status::unavailable("the server closed the stream")),
                Err(status) => return Ok(status),
            };
            // Without a change it is a heartbeat, or a kind of change that only newer servers send.
            if change.change.is_some() {
                let line = if json {
                    json::line("WatchRegistryResponse", &change)?
                } else {
                    describe(&change)
                };
                let mut out = io::stdout().lock();
                writeln!(out, "{line}")?;
                out.flush()?;
                progress.changes += 1;
            }
            progress.revision = progress.revision.max(change.revision);
        }
    }

    fn print_resume(&self, progress: &Progress) {
        let changes = match progress.changes {
            1 => "1 change".to_owned(),
            changes => format!("{changes} changes"),
        };
        let server = self.server.flags().map(|flag| format!("{flag} ")).unwrap_or_default();
        eprintln!(
            "{changes}; to resume:\n  tidings schema watch {server}--after {}",
            progress.revision
        );
    }
}

fn describe(change: &WatchRegistryResponse) -> String {
    let event = match &change.change {
        Some(Change::SchemaRegistered(schema)) => {
            let bump = enums::bump(schema.bump());
            let bump = if bump.is_empty() { bump } else { format!(", {bump}") };
            format!("{} {} registered, id {}{bump}", schema.subject, schema.version, schema.id)
        }
        Some(Change::VersionStateSet(schema)) => {
            let reason = if schema.deprecation.is_empty() {
                String::new()
            } else {
                format!(": {}", schema.deprecation)
            };
            let state = enums::state(schema.state());
            format!("{} {} is {state}{reason}", schema.subject, schema.version)
        }
        Some(Change::SubjectUpdated(subject)) => {
            let level = enums::compatibility(subject.compatibility());
            format!("{} changed: compatibility {level}, owner \"{}\"", subject.name, subject.owner)
        }
        Some(Change::SubjectDeleted(subject)) => format!("{subject} deleted"),
        None => String::new(),
    };
    let by = if change.principal.is_empty() {
        String::new()
    } else {
        format!(" by {}", change.principal)
    };
    let forced = if change.forced {
        format!(
            "; forced, \"{}\", which left {} behind",
            change.force_reason,
            change.left_behind.join(", ")
        )
    } else {
        String::new()
    };
    let time = show_time(change.time.as_ref());
    printable(&format!("{:>6}  {time}  {event}{by}{forced}", change.revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forced_change_shows_its_reason_and_consumers() {
        let change = WatchRegistryResponse {
            revision: 7,
            change: Some(Change::SubjectDeleted("shop.Prototype".into())),
            forced: true,
            force_reason: "switched off".into(),
            left_behind: vec!["billing".into(), "search".into()],
            ..WatchRegistryResponse::default()
        };
        let text = describe(&change);
        let expected =
            "shop.Prototype deleted; forced, \"switched off\", which left billing, search behind";
        assert!(text.ends_with(expected), "{text}");
        assert!(!describe(&WatchRegistryResponse { forced: false, ..change }).contains("forced"));
    }
}
