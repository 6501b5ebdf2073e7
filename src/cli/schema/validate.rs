//! `tidings schema validate`: does this payload fit?

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use tidings_registry::proto::v1::{
    SubjectVersion, ValidatePayloadRequest, ValidatePayloadResponse,
    validate_payload_request::Payload,
};

use super::{
    super::{client::ServerArgs, failure::Failure, positions::quote, printer::printable},
    get::failed,
    json,
    report::INCOMPATIBLE,
    source,
};

/// Largest payload that is sent: events have less.
const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// Check a payload against a version, and say everything that is wrong with it, with JSON pointers.
///
/// The payload is JSON; for Protobuf and Avro in their JSON mapping. With --binary it is in the encoding of the schema's format.
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "\
Exit codes: 0 it fits, 100 it does not, 1 error, 2 usage.

Examples:
  tidings schema validate shop.OrderPlaced order.json
  echo '{\"total\": 12}' | tidings schema validate shop.OrderPlaced 1.2.0 -
  tidings schema validate shop.OrderPlaced order.bin --binary"
)]
pub struct ValidateArgs {
    /// The subject: for events, the event type
    subject: String,
    /// A version (1.2.0) or a requirement (^1.2); without it the newest that is not retired
    version: Option<String>,
    /// The payload's file, or - for standard input
    #[arg(required = true)]
    file: String,
    /// The payload is not JSON, but in the schema's own encoding
    #[arg(long)]
    binary: bool,
    /// How it is printed; by default text on a terminal and JSON in a pipe
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line per fault
    Text,
    /// The answer of the contract in a line of proto3 JSON
    Json,
}

/// Runs the command.
pub async fn run(args: ValidateArgs) -> anyhow::Result<()> {
    let read = if args.file == "-" {
        source::bounded(io::stdin().lock(), PAYLOAD_BYTES_MAX)
    } else {
        source::read(Path::new(&args.file), PAYLOAD_BYTES_MAX)
    };
    let name = if args.file == "-" { "standard input" } else { &args.file };
    let bytes = read.map_err(|fault| payload_failure(fault, name))?;
    let payload = if args.binary {
        Payload::BinaryData(Bytes::from(bytes))
    } else {
        Payload::Json(source::text(bytes).map_err(|fault| payload_failure(fault, name))?)
    };
    let version = args.version.clone().unwrap_or_default();
    let schema = SubjectVersion { subject: args.subject.clone(), version };
    let request = ValidatePayloadRequest { schema: Some(schema), payload: Some(payload) };
    let response =
        args.server.registry().await?.validate_payload(args.server.request(request)).await;
    let doing = format!("validate against {}", args.subject);
    let answer = response.map_err(failed(doing))?.into_inner();
    let as_json = match args.output {
        Some(output) => output == Output::Json,
        None => !io::stdout().is_terminal(),
    };
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", json::line("ValidatePayloadResponse", &answer)?)?;
    } else {
        write!(out, "{}", told(&answer))?;
    }
    out.flush()?;
    if answer.valid {
        return Ok(());
    }
    let subject = quote(&args.subject);
    Err(Failure::new(format!("{name} does not fit {subject}"))
        .exit_with(INCOMPATIBLE)
        .try_this(format!("tidings schema get {subject}, which prints what is expected"))
        .into())
}

fn payload_failure(fault: source::Unreadable, name: &str) -> Failure {
    match fault {
        source::Unreadable::TooLarge(_) => fault.of(name).try_this("a smaller payload"),
        source::Unreadable::NotText(_) => {
            fault.of(name).try_this("--binary, where it is in the schema's own encoding")
        }
        source::Unreadable::Io(_) => fault.of(name),
    }
}

fn told(answer: &ValidatePayloadResponse) -> String {
    if answer.valid {
        return "it fits\n".to_owned();
    }
    answer
        .violations
        .iter()
        .map(|violation| {
            let path = if violation.path.is_empty() { "(the whole)" } else { &violation.path };
            format!("{}: {}\n", printable(path), printable(&violation.message))
        })
        .collect()
}
