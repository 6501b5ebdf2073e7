//! `tidings schema validate`: checks a payload against a schema.

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

/// Largest payload that is sent; the limit for events is lower.
const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// Check a payload against a version, and report every violation with its JSON pointer.
///
/// The payload is JSON; for Protobuf and Avro in their JSON mapping. With --binary it is in the
/// encoding of the schema's format.
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "\
Exit codes: 0 valid, 100 invalid, 1 error, 2 usage.

Examples:
  tidings schema validate shop.OrderPlaced order.json
  echo '{\"total\": 12}' | tidings schema validate shop.OrderPlaced 1.2.0 -
  tidings schema validate shop.OrderPlaced order.bin --binary"
)]
pub struct ValidateArgs {
    /// The subject: for events, the event type
    subject: String,
    /// A version (1.2.0) or a requirement (^1.2); default: the newest that is not retired
    version: Option<String>,
    /// The payload's file, or - for standard input
    #[arg(required = true)]
    file: String,
    /// The payload is not JSON, but in the schema's own encoding
    #[arg(long)]
    binary: bool,
    /// Output format; default: text on a terminal, JSON in a pipe
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line per violation
    Text,
    /// The response in a line of proto3 JSON
    Json,
}

/// Runs the command.
pub async fn run(args: ValidateArgs) -> anyhow::Result<()> {
    let bytes = if args.file == "-" {
        source::bounded(io::stdin().lock(), PAYLOAD_BYTES_MAX)
    } else {
        source::read(Path::new(&args.file), PAYLOAD_BYTES_MAX)
    };
    let name = if args.file == "-" { "standard input" } else { &args.file };
    let bytes = bytes.map_err(|error| payload_failure(error, name))?;
    let payload = if args.binary {
        Payload::BinaryData(Bytes::from(bytes))
    } else {
        Payload::Json(source::text(bytes).map_err(|error| payload_failure(error, name))?)
    };
    let version = args.version.clone().unwrap_or_default();
    let schema = SubjectVersion { subject: args.subject.clone(), version };
    let request = ValidatePayloadRequest { schema: Some(schema), payload: Some(payload) };
    let response =
        args.server.registry().await?.validate_payload(args.server.request(request)).await;
    let operation = format!("validate against {}", args.subject);
    let response = response.map_err(failed(operation))?.into_inner();
    let is_json = match args.output {
        Some(output) => output == Output::Json,
        None => !io::stdout().is_terminal(),
    };
    let mut out = io::stdout().lock();
    if is_json {
        writeln!(out, "{}", json::line("ValidatePayloadResponse", &response)?)?;
    } else {
        write!(out, "{}", violations_text(&response))?;
    }
    out.flush()?;
    if response.valid {
        return Ok(());
    }
    let subject = quote(&args.subject);
    Err(Failure::new(format!("{name} does not match {subject}"))
        .exit_with(INCOMPATIBLE)
        .with_remedy(format!("tidings schema get {subject}, which prints the schema"))
        .into())
}

fn payload_failure(error: source::ReadError, name: &str) -> Failure {
    match error {
        source::ReadError::TooLarge(_) => error.into_failure(name).with_remedy("a smaller payload"),
        source::ReadError::NotText(_) => {
            error.into_failure(name).with_remedy("--binary, if it is in the schema's own encoding")
        }
        source::ReadError::Io(_) => error.into_failure(name),
    }
}

fn violations_text(response: &ValidatePayloadResponse) -> String {
    if response.valid {
        return "valid\n".to_owned();
    }
    response
        .violations
        .iter()
        .map(|violation| {
            let path = if violation.path.is_empty() { "(root)" } else { &violation.path };
            format!("{}: {}\n", printable(path), printable(&violation.message))
        })
        .collect()
}
