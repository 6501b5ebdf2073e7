//! `tidings schema watch`: every change of the registry, as it happens.

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
        client::{ServerArgs, may_pass},
        failure::Failure,
        interrupt::Interrupt,
        printer::printable,
    },
    json, words,
};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Follow every change of the registry: what was registered, deprecated, changed and deleted, and by whom.
///
/// Begins with the first change that is kept, or behind a revision. Reconnects by itself. Ctrl-C prints the command that goes on where this one
/// stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings schema watch
  tidings schema watch --after 41 | jq -r '.schemaRegistered.subject // empty'")]
pub struct WatchArgs {
    /// Only changes behind this revision
    #[arg(long, value_name = "REVISION", default_value = "0", hide_default_value = true)]
    after: u64,
    /// End with an error where the connection breaks
    #[arg(long)]
    no_reconnect: bool,
    /// How it is printed; by default text on a terminal and JSON lines in a pipe
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

/// How far the stream came.
#[derive(Debug)]
struct Progress {
    changes: u64,
    revision: u64,
    /// The server was there once.
    begun: bool,
}

/// Runs the command.
pub async fn run(args: WatchArgs) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::new()?;
    let mut progress = Progress { changes: 0, revision: args.after, begun: false };
    let mut backoff = BACKOFF_MIN;
    loop {
        let before = progress.changes;
        let status = tokio::select! {
            end = args.stream(&mut progress) => end?,
            () = interrupt.wait() => break,
        };
        // The first attempt fails loudly: a wrong address does not mend itself.
        if args.no_reconnect || !progress.begun || !may_pass(&status) {
            return Err(Failure::from_status("watch", &status).into());
        }
        if progress.changes > before {
            backoff = BACKOFF_MIN;
        }
        eprintln!("note: {}; reconnecting", printable(status.message()));
        tokio::select! {
            () = sleep(backoff) => {}
            () = interrupt.wait() => break,
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
    args.tell_end(&progress);
    Ok(())
}

impl WatchArgs {
    /// Prints what comes until the connection breaks, and says why it did.
    async fn stream(&self, progress: &mut Progress) -> anyhow::Result<Status> {
        let mut client = match self.server.registry().await {
            Ok(client) => client,
            Err(error) if progress.begun => return Ok(Status::unavailable(error.to_string())),
            Err(error) => return Err(error),
        };
        let request = WatchRegistryRequest { after_revision: progress.revision };
        let mut stream = match client.watch_registry(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(status),
        };
        progress.begun = true;
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
            // A heartbeat, or a change that a newer server knows.
            if change.change.is_some() {
                let line = if json {
                    json::line("WatchRegistryResponse", &change)?
                } else {
                    told(&change)
                };
                let mut out = io::stdout().lock();
                writeln!(out, "{line}")?;
                out.flush()?;
                progress.changes += 1;
            }
            progress.revision = progress.revision.max(change.revision);
        }
    }

    fn tell_end(&self, progress: &Progress) {
        let changes = match progress.changes {
            1 => "1 change".to_owned(),
            changes => format!("{changes} changes"),
        };
        let server = self.server.flags().map(|flag| format!("{flag} ")).unwrap_or_default();
        eprintln!(
            "{changes}; to go on:\n  tidings schema watch {server}--after {}",
            progress.revision
        );
    }
}

fn told(change: &WatchRegistryResponse) -> String {
    let what = match &change.change {
        Some(Change::SchemaRegistered(schema)) => {
            let bump = words::bump(schema.bump());
            let bump = if bump.is_empty() { bump } else { format!(", {bump}") };
            format!("{} {} registered, id {}{bump}", schema.subject, schema.version, schema.id)
        }
        Some(Change::VersionStateSet(schema)) => {
            let because = if schema.deprecation.is_empty() {
                String::new()
            } else {
                format!(": {}", schema.deprecation)
            };
            let state = words::state(schema.state());
            format!("{} {} is {state}{because}", schema.subject, schema.version)
        }
        Some(Change::SubjectUpdated(subject)) => {
            let level = words::level(subject.compatibility());
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
    printable(&format!("{:>6}  {time}  {what}{by}{forced}", change.revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forced_change_says_why_and_whom_it_left_behind() {
        let change = WatchRegistryResponse {
            revision: 7,
            change: Some(Change::SubjectDeleted("shop.Prototype".into())),
            forced: true,
            force_reason: "switched off".into(),
            left_behind: vec!["billing".into(), "search".into()],
            ..WatchRegistryResponse::default()
        };
        let text = told(&change);
        let expected =
            "shop.Prototype deleted; forced, \"switched off\", which left billing, search behind";
        assert!(text.ends_with(expected), "{text}");
        assert!(!told(&WatchRegistryResponse { forced: false, ..change }).contains("forced"));
    }
}
