//! The commands. Client commands talk to the server only through the generated client, as any other
//! program does.
//!
//! Output for programs goes to stdout. Output for people (progress, notices, stream summaries,
//! errors) goes to stderr.

mod bench;
mod client;
mod completions;
mod config;
mod consumer;
mod event_json;
mod failure;
mod follow;
mod interrupt;
mod positions;
mod printer;
mod publish;
mod read;
mod schema;
mod serve;
mod subscribe;
mod template;
mod topic;

use std::{io, process::ExitCode};

use clap::{Parser, Subcommand};

use self::failure::Failure;

/// Printed at the end of `--help`.
const EXIT_CODES: &str = "\
Exit codes:
  0    success; also an interrupted stream, or one whose reader closed the pipe
  1    failure; the message ends with a remedy
  2    invalid command line or configuration
  3    serve: acknowledged events are missing from the data directory; nothing was changed
  4    serve: the data directory is damaged
  5    serve: the data directory was written by a newer version
  6    serve: another process holds the data directory
  7    serve: the disk failed
  100  schema: incompatible, an invalid payload, or consumers that would be left behind";

const EXAMPLES: &str = "\
Start here:
  tidings serve
  tidings topic create orders
  tidings publish orders --type shop.OrderPlaced '{\"total\": 12}'
  tidings subscribe orders --from earliest

";

/// An event streaming service: publish facts, subscribe to them, replay them.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, after_help = format!("{EXAMPLES}{EXIT_CODES}"))]
struct Cli {
    /// Address of the server
    // Every client command has this flag. Here it is also accepted before the command.
    #[arg(
        long,
        global = true,
        hide = true,
        env = "TIDINGS_SERVER",
        default_value = client::DEFAULT_SERVER
    )]
    server: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::ServeArgs),
    /// Publish events, from arguments or from lines of standard input.
    Publish(publish::PublishArgs),
    /// Follow topics: existing events first, then new ones.
    Subscribe(subscribe::SubscribeArgs),
    /// Read existing events, forwards or backwards, and stop.
    Read(read::ReadArgs),
    /// Create, show, change and delete topics.
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    // Their help texts are on their argument types.
    #[command(subcommand)]
    Schema(schema::SchemaCommand),
    #[command(subcommand)]
    Consumer(consumer::ConsumerCommand),
    #[command(name = "bench")]
    Bench(bench::BenchArgs),
    /// Show the server's configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The reader of stdout may close it early: `tidings read | head` is not a failure.
            if is_broken_pipe(&error) {
                return ExitCode::SUCCESS;
            }
            let failure = Failure::from(error);
            failure.print();
            ExitCode::from(failure.exit_code)
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        // The server builds its own runtime from its configuration.
        Command::Serve(args) => serve::run(args),
        Command::Config(command) => config::run(command),
        Command::Completions(args) => completions::run::<Cli>(args),
        Command::Schema(command) => schema::run(command),
        Command::Consumer(command) => block_on(consumer::run(command)),
        Command::Publish(args) => block_on(publish::run(args)),
        Command::Subscribe(args) => block_on(subscribe::run(args)),
        Command::Read(args) => block_on(read::run(args)),
        Command::Bench(args) => block_on(bench::run(args)),
        Command::Topic(command) => block_on(topic::run(command)),
    }
}

fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(command);
    // Does not wait: a read of standard input cannot be cancelled.
    runtime.shutdown_background();
    outcome
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            && cause.downcast_ref::<tonic::Status>().is_none()
    }) && error.downcast_ref::<tonic::Status>().is_none()
        && error.downcast_ref::<Failure>().is_none()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_broken_pipe_is_no_failure_and_a_lost_server_is() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&anyhow::Error::from(pipe())));
        assert!(!is_broken_pipe(&anyhow::Error::from(tonic::Status::from_error(Box::new(pipe())))));
    }
}
