//! `tidings publish`: input lines become events, events become batches, and batches are published
//! with several in flight.

mod event;
mod input;

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, BufWriter, IsTerminal, Stdout, Write},
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use prost::Message as _;
use tidings::{
    json::Object,
    notation::{parse_number, show_time},
    proto::events::v1::{
        Condition, Durability, Event, KeyVersionCondition, PublishRequest, PublishResponse,
        PublishResult, PublishStreamRequest, PublishStreamResponse, TopicEndCondition,
        condition::Kind, event_service_client::EventServiceClient,
        publish_stream_response::Outcome,
    },
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

use self::{
    event::{AttributeArgs, InputFormat},
    input::{Batch, Faults, Input},
};
use super::{
    client::{ServerArgs, is_retryable},
    failure::Failure,
    interrupt::Interrupt,
    positions::quote,
};

/// Failures printed in full; the rest are only counted.
const FAILURES_SHOWN_MAX: usize = 20;

/// How long to wait for the end of a stream after its last response.
const STREAM_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Publish events: one per argument, or one per line of standard input.
///
/// A line is the event's data as JSON, completed by flags, or a CloudEvents document, recognised by
/// its `specversion`. Lines are published in batches; a batch is appended as a whole or not at all.
/// A response means that the events are on disk. Publishing the same ids again appends nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings publish orders --type shop.OrderPlaced --key o-1 '{\"total\": 12}'
  tidings publish orders < events.jsonl
  tidings publish orders --output json < events.jsonl | jq .offset
  tidings publish orders --type shop.OrderPaid --key o-1 --expect-key-version o-1=3 '{}'
  journalctl -f -o json | tidings publish logs --type Line --format data")]
pub struct PublishArgs {
    /// The topic
    topic: String,
    /// Events; without any, standard input is read
    #[arg(allow_negative_numbers = true)]
    data: Vec<String>,
    #[command(flatten)]
    attributes: AttributeArgs,
    /// Format of a line
    #[arg(long, value_enum, default_value = "auto")]
    format: InputFormat,
    /// Maximum number of events in a batch
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: u16,
    /// Maximum number of unacknowledged batches
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    in_flight: u16,
    /// Durability that a response confirms
    #[arg(long, value_enum, default_value = "synced")]
    durability: DurabilityArg,
    /// Validate the events, and write nothing
    #[arg(long)]
    validate_only: bool,
    /// Publish only if the key has exactly this many events; all events are then published in one
    /// batch
    #[arg(long, value_name = "KEY=N", value_parser = parse_key_version)]
    expect_key_version: Vec<(String, u64)>,
    /// Publish only if this is the topic's next offset; all events are then published in one batch
    #[arg(long, value_name = "OFFSET")]
    expect_next_offset: Option<u64>,
    /// Continue after invalid lines and rejected events; the exit code is still 1
    #[arg(long)]
    keep_going: bool,
    /// Fail if the connection breaks, instead of publishing unacknowledged batches again
    #[arg(long)]
    no_reconnect: bool,
    /// Output format: a summary, or a line per event
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DurabilityArg {
    /// Synced to disk
    Synced,
    /// Passed to the operating system; a power cut may lose the events
    Buffered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A summary
    Text,
    /// A JSON object per event; the summary goes to stderr
    Json,
}

fn parse_key_version(text: &str) -> Result<(String, u64), String> {
    // A key may contain =, a number does not.
    text.rsplit_once('=')
        .filter(|(key, _)| !key.is_empty())
        .and_then(|(key, version)| Some((key.to_owned(), parse_number(version)?)))
        .ok_or_else(|| "expected KEY=N, such as o-1=3; 0 for a key without events".to_owned())
}

/// Runs the command.
pub async fn run(args: PublishArgs) -> anyhow::Result<()> {
    let mut interrupt = Interrupt::new()?;
    let mut input = Input::new(&args)?;
    let mut publisher = Publisher::new(&args);
    let outcome = publisher.run(&mut input, &mut interrupt).await;
    publisher.report(input.faults, outcome)
}

impl PublishArgs {
    fn is_conditional(&self) -> bool {
        !self.expect_key_version.is_empty() || self.expect_next_offset.is_some()
    }

    fn input_label(&self, number: u64) -> String {
        if self.data.is_empty() { format!("line {number}") } else { format!("argument {number}") }
    }

    fn request(&self, events: Vec<Event>) -> PublishRequest {
        let versions = self.expect_key_version.iter().map(|(key, version)| {
            Kind::KeyVersion(KeyVersionCondition { key: key.clone(), version: Some(*version) })
        });
        let end = self
            .expect_next_offset
            .map(|next| Kind::TopicEnd(TopicEndCondition { next_offset: Some(next) }));
        let durability = match self.durability {
            DurabilityArg::Synced => Durability::Synced,
            DurabilityArg::Buffered => Durability::Buffered,
        };
        PublishRequest {
            topic: self.topic.clone(),
            events,
            conditions: versions.chain(end).map(|kind| Condition { kind: Some(kind) }).collect(),
            durability: durability.into(),
            validate_only: self.validate_only,
        }
    }
}

/// Sends batches and handles their responses.
struct Publisher<'a> {
    args: &'a PublishArgs,
    out: BufWriter<Stdout>,
    progress: Option<ProgressBar>,
    next_sequence: u64,
    /// Unacknowledged batches, in order.
    unacknowledged: BTreeMap<u64, Batch>,
    published: u64,
    duplicates: u64,
    last: Option<PublishResult>,
    rejections: Vec<Failure>,
    rejected_events: u64,
    interrupted: bool,
}

/// An open `PublishStream`.
struct OpenStream {
    requests: mpsc::Sender<PublishStreamRequest>,
    responses: Streaming<PublishStreamResponse>,
}

impl<'a> Publisher<'a> {
    fn new(args: &'a PublishArgs) -> Self {
        let progress = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {human_pos} events, {per_sec}")
            {
                bar.set_style(style);
            }
            bar
        });
        Self {
            args,
            out: BufWriter::new(io::stdout()),
            progress,
            next_sequence: 0,
            unacknowledged: BTreeMap::new(),
            published: 0,
            duplicates: 0,
            last: None,
            rejections: Vec::new(),
            rejected_events: 0,
            interrupted: false,
        }
    }

    async fn run(
        &mut self,
        input: &mut Input<'_>,
        interrupt: &mut Interrupt,
    ) -> anyhow::Result<()> {
        let mut client = self.args.server.events().await?;
        let Some(first) = self.first_batch(input, interrupt).await? else { return Ok(()) };
        self.enqueue(first);
        loop {
            let status = match self.stream(&mut client, input, interrupt).await? {
                Ok(()) => return Ok(()),
                Err(status) => status,
            };
            if self.args.no_reconnect || !is_retryable(&status) {
                return Err(self.connection_lost(&status).into());
            }
            // Published again with the same ids, events that are already recorded are duplicates.
            self.print_note(&format!("{}; reconnecting", status.message()));
            client = self.reconnect(interrupt, &status).await?;
        }
    }

    async fn reconnect(
        &mut self,
        interrupt: &mut Interrupt,
        status: &Status,
    ) -> anyhow::Result<EventServiceClient<Channel>> {
        let started = Instant::now();
        let mut backoff = BACKOFF_MIN;
        loop {
            tokio::select! {
                () = sleep(backoff) => {}
                () = interrupt.wait() => return Err(self.connection_lost(status).into()),
            }
            match self.args.server.events().await {
                Ok(client) => return Ok(client),
                Err(_) if started.elapsed() < self.args.server.timeout => {}
                Err(_) => return Err(self.connection_lost(status).into()),
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Runs one stream, until every batch has its response or the stream breaks.
    async fn stream(
        &mut self,
        client: &mut EventServiceClient<Channel>,
        input: &mut Input<'_>,
        interrupt: &mut Interrupt,
    ) -> anyhow::Result<Result<(), Status>> {
        let in_flight_max = usize::from(self.args.in_flight);
        // Room for all unacknowledged batches, so that sending never blocks the receipt of
        // responses.
        let (requests, queue) = mpsc::channel(in_flight_max + 1);
        for (sequence, batch) in &self.unacknowledged {
            let request = self.stream_request(*sequence, batch);
            if requests.try_send(request).is_err() {
                break;
            }
        }
        let responses = match client.publish_stream(ReceiverStream::new(queue)).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(Err(status)),
        };
        let mut stream = OpenStream { requests, responses };
        let mut has_input = true;
        while has_input || !self.unacknowledged.is_empty() {
            tokio::select! {
                batch = input.batch(),
                    if has_input && self.unacknowledged.len() < in_flight_max =>
                {
                    match batch? {
                        Some(batch) => {
                            let sequence = self.enqueue(batch);
                            let batch = &self.unacknowledged[&sequence];
                            let request = self.stream_request(sequence, batch);
                            // If the stream is closed, its responses say why.
                            let _ = stream.requests.try_send(request);
                        }
                        None => has_input = false,
                    }
                }
                response = stream.responses.message(), if !self.unacknowledged.is_empty() => {
                    let response = match response {
                        Ok(Some(response)) => response,
                        Ok(None) => {
                            let status = Status::unavailable("the server closed the stream");
                            return Ok(Err(status));
                        }
                        Err(status) => return Ok(Err(status)),
                    };
                    if self.handle_response(response, client).await? == NextInput::Stop {
                        has_input = false;
                    }
                    if self.unacknowledged.is_empty() {
                        self.out.flush()?;
                    }
                }
                () = interrupt.wait() => {
                    // A second interrupt also ends the wait for responses.
                    if self.interrupted {
                        return Ok(Err(Status::cancelled("interrupted")));
                    }
                    self.interrupted = true;
                    has_input = false;
                }
            }
        }
        // With its requests closed, the server counts the call as completed. All responses have
        // arrived, so that a short wait is enough.
        drop(stream.requests);
        let _ = timeout(STREAM_CLOSE_TIMEOUT, stream.responses.message()).await;
        Ok(Ok(()))
    }

    /// The first batch, before a stream is opened: an input without events needs no stream.
    async fn first_batch(
        &mut self,
        input: &mut Input<'_>,
        interrupt: &mut Interrupt,
    ) -> anyhow::Result<Option<Batch>> {
        let batch = tokio::select! {
            batch = input.batch() => batch?,
            () = interrupt.wait() => {
                self.interrupted = true;
                None
            }
        };
        Ok(batch)
    }

    fn enqueue(&mut self, batch: Batch) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.unacknowledged.insert(sequence, batch);
        sequence
    }

    fn stream_request(&self, sequence: u64, batch: &Batch) -> PublishStreamRequest {
        let publish = Some(self.args.request(batch.events.clone()));
        PublishStreamRequest { sequence, publish }
    }

    async fn handle_response(
        &mut self,
        response: PublishStreamResponse,
        client: &mut EventServiceClient<Channel>,
    ) -> anyhow::Result<NextInput> {
        let Some(batch) = self.unacknowledged.remove(&response.sequence) else {
            return Ok(NextInput::Continue);
        };
        match response.outcome {
            Some(Outcome::Published(response)) => {
                self.record(&batch, response)?;
                Ok(NextInput::Continue)
            }
            Some(Outcome::Error(error)) => {
                let status = Status::with_details(
                    Code::from(error.code),
                    error.message.clone(),
                    error.encode_to_vec().into(),
                );
                self.handle_rejection(batch, &status, client).await
            }
            None => Ok(NextInput::Continue),
        }
    }

    /// Handles a rejected batch. With `--keep-going` its events are published one by one, and only
    /// the rejected ones are left out.
    async fn handle_rejection(
        &mut self,
        batch: Batch,
        status: &Status,
        client: &mut EventServiceClient<Channel>,
    ) -> anyhow::Result<NextInput> {
        if !self.args.keep_going || batch.events.len() == 1 || self.args.is_conditional() {
            self.rejected_events += batch.events.len() as u64;
            let label = match batch.line_numbers.as_slice() {
                [line] => self.args.input_label(*line),
                [first, .., last] => format!("{} to {last}", self.args.input_label(*first)),
                [] => String::new(),
            };
            if self.rejections.len() < FAILURES_SHOWN_MAX {
                let operation = format!("publish to {}, {label}", self.args.topic);
                self.rejections.push(Failure::from_status(&operation, status));
            }
            return Ok(if self.args.keep_going { NextInput::Continue } else { NextInput::Stop });
        }
        for (line_number, event) in batch.line_numbers.into_iter().zip(batch.events) {
            let mut single = Batch::default();
            single.push(line_number, event.clone());
            let request = self.args.server.request(self.args.request(vec![event]));
            match client.publish(request).await {
                Ok(response) => self.record(&single, response.into_inner())?,
                Err(status) => {
                    Box::pin(self.handle_rejection(single, &status, client)).await?;
                }
            }
        }
        Ok(NextInput::Continue)
    }

    fn record(&mut self, batch: &Batch, response: PublishResponse) -> io::Result<()> {
        for (line_number, result) in batch.line_numbers.iter().zip(&response.results) {
            if result.duplicate {
                self.duplicates += 1;
            } else {
                self.published += 1;
            }
            if self.args.output == Output::Json {
                writeln!(self.out, "{}", self.result_json(*line_number, result))?;
            }
        }
        let newest = response.results.into_iter().rfind(|result| !result.duplicate);
        self.last = newest.or(self.last.take());
        if let Some(progress) = &self.progress {
            progress.set_position(self.published + self.duplicates);
        }
        Ok(())
    }

    fn result_json(&self, line_number: u64, result: &PublishResult) -> String {
        let mut object = Object::new();
        object.number(if self.args.data.is_empty() { "line" } else { "argument" }, line_number);
        object.text("id", &result.id);
        object.text("topic", &self.args.topic);
        object.raw("duplicate", if result.duplicate { "true" } else { "false" });
        if !self.args.validate_only || result.duplicate {
            object.number("offset", result.offset);
            object.number("position", result.position);
            object.number("key_version", result.key_version);
            object.text("append_time", &show_time(result.append_time.as_ref()));
            object.text("cursor", &result.cursor);
            object.text(
                "durability",
                match result.durability() {
                    Durability::Synced => "synced",
                    Durability::Buffered => "buffered",
                    Durability::Unspecified => "unknown",
                },
            );
        }
        object.finish()
    }

    fn print_note(&self, text: &str) {
        match &self.progress {
            Some(progress) => progress.suspend(|| eprintln!("note: {text}")),
            None => eprintln!("note: {text}"),
        }
    }

    /// The connection broke, and the events in flight may or may not be recorded.
    fn connection_lost(&self, status: &Status) -> Failure {
        let events: usize = self.unacknowledged.values().map(|batch| batch.events.len()).sum();
        let failure = Failure::from_status(&format!("publish to {}", self.args.topic), status);
        if events == 0 {
            return failure;
        }
        let line_numbers = self.unacknowledged.values().flat_map(|batch| &batch.line_numbers);
        let (first, last) = (line_numbers.clone().min(), line_numbers.max());
        let range = first
            .zip(last)
            .map(|(first, last)| format!(" ({} to {last})", self.args.input_label(*first)));
        failure.detail(format!(
            "{events} events were sent and not acknowledged{}; they may or may not be recorded",
            range.unwrap_or_default()
        ))
    }

    /// Prints the summary and the failures.
    fn report(mut self, faults: Faults, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        self.out.flush()?;
        if let Some(progress) = &self.progress {
            progress.finish_and_clear();
        }
        let summary = self.summary();
        match self.args.output {
            Output::Text if outcome.is_ok() && faults.lines == 0 && self.rejections.is_empty() => {
                writeln!(self.out, "{summary}")?;
                self.out.flush()?;
            }
            Output::Text | Output::Json => eprintln!("{summary}"),
        }
        outcome?;
        let faulty_lines = (faults.lines > 0).then(|| {
            let text = if faults.lines == 1 {
                "1 line is not a valid event".to_owned()
            } else {
                format!("{} lines are not valid events", faults.lines)
            };
            let failure = Failure::new(text).with_remedy(if self.args.keep_going {
                "correct these lines and publish again: events \
                 that are already recorded are duplicates"
            } else {
                "--keep-going to publish the others, --format data for data of any kind"
            });
            faults.messages.into_iter().fold(failure, Failure::detail)
        });
        // All failures are printed; the process ends with the last one.
        let mut failures: VecDeque<Failure> =
            self.rejections.into_iter().chain(faulty_lines).collect();
        let last = failures.pop_back();
        for failure in failures {
            failure.print();
        }
        last.map_or(Ok(()), |failure| Err(failure.into()))
    }

    fn summary(&self) -> String {
        let topic = quote(&self.args.topic);
        let verb = if self.args.validate_only { "valid for" } else { "published to" };
        let mut summary = format!("{} {verb} {topic}", count(self.published, "event", "events"));
        if self.duplicates > 0 {
            summary += &format!(", {}", count(self.duplicates, "duplicate", "duplicates"));
        }
        if self.rejected_events > 0 {
            summary += &format!(", {} refused", self.rejected_events);
        }
        if let Some(last) = self.last.as_ref().filter(|_| !self.args.validate_only) {
            summary += &format!(", last offset {}", last.offset);
        }
        if self.interrupted {
            summary += ", interrupted";
        }
        summary
    }
}

/// Whether to read more input.
#[derive(Debug, PartialEq, Eq)]
enum NextInput {
    Continue,
    Stop,
}

fn count(number: u64, singular: &str, plural: &str) -> String {
    if number == 1 { format!("1 {singular}") } else { format!("{number} {plural}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_may_have_an_equals_sign() {
        assert_eq!(parse_key_version("a=b=3"), Ok(("a=b".to_owned(), 3)));
        assert!(parse_key_version("a").is_err());
        assert!(parse_key_version("=3").is_err());
    }
}
