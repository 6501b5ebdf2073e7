//! `tidings publish`: lines become events, events become batches, batches are published with a few in flight.

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
    client::{ServerArgs, may_pass},
    failure::Failure,
    interrupt::Interrupt,
    positions::quote,
};

/// Input lines told one by one; of the rest only the number.
const FAULTS_TOLD_MAX: usize = 20;

/// How long the end of a stream is waited for when nothing hangs on it any more.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Publish events: one per argument, or one per line of standard input.
///
/// A line is the event's data as JSON, which the flags complete, or a whole CloudEvents document, told by its
/// `specversion`. Lines are published in batches; a batch is appended as a whole or not at all. An answer means that the events
/// are on disk. Publishing the same ids again appends nothing.
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
    /// Events; standard input is read where there are none
    #[arg(allow_negative_numbers = true)]
    data: Vec<String>,
    #[command(flatten)]
    attributes: AttributeArgs,
    /// What a line is
    #[arg(long, value_enum, default_value = "auto")]
    format: InputFormat,
    /// Most events in one batch
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: u16,
    /// Most batches waiting for their answer
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    in_flight: u16,
    /// What an answer means: on disk, or with the operating system
    #[arg(long, value_enum, default_value = "synced")]
    durability: DurabilityArg,
    /// Check everything and write nothing
    #[arg(long)]
    validate_only: bool,
    /// Publish only if the key has exactly so many events; everything goes in one batch then
    #[arg(long, value_name = "KEY=N", value_parser = parse_key_version)]
    expect_key_version: Vec<(String, u64)>,
    /// Publish only if the topic's next offset is exactly this; everything goes in one batch then
    #[arg(long, value_name = "OFFSET")]
    expect_next_offset: Option<u64>,
    /// Go on behind lines that are no events and events that are refused; the exit code is 1 all the same
    #[arg(long)]
    keep_going: bool,
    /// End with an error where the connection breaks, instead of sending again what was not answered
    #[arg(long)]
    no_reconnect: bool,
    /// What is printed: a summary, or a line for every event
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DurabilityArg {
    /// On disk
    Synced,
    /// With the operating system: a power cut may lose it
    Buffered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A summary
    Text,
    /// A JSON object per event, and the summary on stderr
    Json,
}

fn parse_key_version(text: &str) -> Result<(String, u64), String> {
    // A key may have = in it, a number has not.
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

    fn place(&self, number: u64) -> String {
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

/// Sends batches and takes their answers.
struct Publisher<'a> {
    args: &'a PublishArgs,
    out: BufWriter<Stdout>,
    progress: Option<ProgressBar>,
    next_sequence: u64,
    /// Sent and not answered, in order.
    waiting: BTreeMap<u64, Batch>,
    published: u64,
    duplicates: u64,
    last: Option<PublishResult>,
    refused: Vec<Failure>,
    refused_events: u64,
    interrupted: bool,
}

/// A stream to the server.
struct Line {
    requests: mpsc::Sender<PublishStreamRequest>,
    answers: Streaming<PublishStreamResponse>,
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
            waiting: BTreeMap::new(),
            published: 0,
            duplicates: 0,
            last: None,
            refused: Vec::new(),
            refused_events: 0,
            interrupted: false,
        }
    }

    async fn run(
        &mut self,
        input: &mut Input<'_>,
        interrupt: &mut Interrupt,
    ) -> anyhow::Result<()> {
        let mut client = self.args.server.events().await?;
        let Some(first) = self.next(input, interrupt).await? else { return Ok(()) };
        self.wait_for(first);
        loop {
            let status = match self.stream(&mut client, input, interrupt).await? {
                Ok(()) => return Ok(()),
                Err(status) => status,
            };
            if self.args.no_reconnect || !may_pass(&status) {
                return Err(self.lost(&status).into());
            }
            // Sent again with the same ids, what was recorded is recognised.
            self.note(&format!("{}; reconnecting", status.message()));
            client = self.reconnect(interrupt, &status).await?;
        }
    }

    async fn reconnect(
        &mut self,
        interrupt: &mut Interrupt,
        status: &Status,
    ) -> anyhow::Result<EventServiceClient<Channel>> {
        let begun = Instant::now();
        let mut backoff = BACKOFF_MIN;
        loop {
            tokio::select! {
                () = sleep(backoff) => {}
                () = interrupt.wait() => return Err(self.lost(status).into()),
            }
            match self.args.server.events().await {
                Ok(client) => return Ok(client),
                Err(_) if begun.elapsed() < self.args.server.timeout => {}
                Err(_) => return Err(self.lost(status).into()),
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// One stream, until everything is answered or the stream breaks.
    async fn stream(
        &mut self,
        client: &mut EventServiceClient<Channel>,
        input: &mut Input<'_>,
        interrupt: &mut Interrupt,
    ) -> anyhow::Result<Result<(), Status>> {
        let in_flight_max = usize::from(self.args.in_flight);
        // Room for all that may wait, so that sending never blocks the taking of answers.
        let (requests, queue) = mpsc::channel(in_flight_max + 1);
        for (sequence, batch) in &self.waiting {
            let request = self.stream_request(*sequence, batch);
            if requests.try_send(request).is_err() {
                break;
            }
        }
        let answers = match client.publish_stream(ReceiverStream::new(queue)).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(Err(status)),
        };
        let mut line = Line { requests, answers };
        let mut more = true;
        while more || !self.waiting.is_empty() {
            tokio::select! {
                batch = input.batch(), if more && self.waiting.len() < in_flight_max => {
                    match batch? {
                        Some(batch) => {
                            let sequence = self.wait_for(batch);
                            let request = self.stream_request(sequence, &self.waiting[&sequence]);
                            // Where nobody takes it any more the answers say why.
                            let _ = line.requests.try_send(request);
                        }
                        None => more = false,
                    }
                }
                answer = line.answers.message(), if !self.waiting.is_empty() => {
                    let answer = match answer {
                        Ok(Some(answer)) => answer,
                        Ok(None) => return Ok(Err(Status::unavailable("the server closed the stream"))),
                        Err(status) => return Ok(Err(status)),
                    };
                    if self.take(answer, client).await? == Next::Stop {
                        more = false;
                    }
                    if self.waiting.is_empty() {
                        self.out.flush()?;
                    }
                }
                () = interrupt.wait() => {
                    // The second time somebody does not want to wait for answers either.
                    if self.interrupted {
                        return Ok(Err(Status::cancelled("interrupted")));
                    }
                    self.interrupted = true;
                    more = false;
                }
            }
        }
        // Said goodbye to, the server counts the call as done; all answers are here already, so it need not be long.
        drop(line.requests);
        let _ = timeout(GOODBYE_MAX, line.answers.message()).await;
        Ok(Ok(()))
    }

    /// The first batch, before there is a stream: an input without events needs none.
    async fn next(
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

    fn wait_for(&mut self, batch: Batch) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.waiting.insert(sequence, batch);
        sequence
    }

    fn stream_request(&self, sequence: u64, batch: &Batch) -> PublishStreamRequest {
        let publish = Some(self.args.request(batch.events.clone()));
        PublishStreamRequest { sequence, publish }
    }

    async fn take(
        &mut self,
        answer: PublishStreamResponse,
        client: &mut EventServiceClient<Channel>,
    ) -> anyhow::Result<Next> {
        let Some(batch) = self.waiting.remove(&answer.sequence) else { return Ok(Next::GoOn) };
        match answer.outcome {
            Some(Outcome::Published(response)) => {
                self.record(&batch, response)?;
                Ok(Next::GoOn)
            }
            Some(Outcome::Error(error)) => {
                let status = Status::with_details(
                    Code::from(error.code),
                    error.message.clone(),
                    error.encode_to_vec().into(),
                );
                self.refuse(batch, &status, client).await
            }
            None => Ok(Next::GoOn),
        }
    }

    /// A batch was refused. With `--keep-going` its events are tried one by one, and only those at fault are left out.
    async fn refuse(
        &mut self,
        batch: Batch,
        status: &Status,
        client: &mut EventServiceClient<Channel>,
    ) -> anyhow::Result<Next> {
        if !self.args.keep_going || batch.events.len() == 1 || self.args.is_conditional() {
            self.refused_events += batch.events.len() as u64;
            let place = match batch.places.as_slice() {
                [one] => self.args.place(*one),
                [first, .., last] => format!("{} to {last}", self.args.place(*first)),
                [] => String::new(),
            };
            if self.refused.len() < FAULTS_TOLD_MAX {
                let doing = format!("publish to {}, {place}", self.args.topic);
                self.refused.push(Failure::from_status(&doing, status));
            }
            return Ok(if self.args.keep_going { Next::GoOn } else { Next::Stop });
        }
        for (place, event) in batch.places.into_iter().zip(batch.events) {
            let mut single = Batch::default();
            single.push(place, event.clone());
            let request = self.args.server.request(self.args.request(vec![event]));
            match client.publish(request).await {
                Ok(response) => self.record(&single, response.into_inner())?,
                Err(status) => {
                    Box::pin(self.refuse(single, &status, client)).await?;
                }
            }
        }
        Ok(Next::GoOn)
    }

    fn record(&mut self, batch: &Batch, response: PublishResponse) -> io::Result<()> {
        for (place, result) in batch.places.iter().zip(&response.results) {
            if result.duplicate {
                self.duplicates += 1;
            } else {
                self.published += 1;
            }
            if self.args.output == Output::Json {
                writeln!(self.out, "{}", self.result_json(*place, result))?;
            }
        }
        let newest = response.results.into_iter().rfind(|result| !result.duplicate);
        self.last = newest.or(self.last.take());
        if let Some(progress) = &self.progress {
            progress.set_position(self.published + self.duplicates);
        }
        Ok(())
    }

    fn result_json(&self, place: u64, result: &PublishResult) -> String {
        let mut object = Object::new();
        object.number(if self.args.data.is_empty() { "line" } else { "argument" }, place);
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

    fn note(&self, text: &str) {
        match &self.progress {
            Some(progress) => progress.suspend(|| eprintln!("note: {text}")),
            None => eprintln!("note: {text}"),
        }
    }

    /// The connection broke and nobody knows whether what was sent is recorded.
    fn lost(&self, status: &Status) -> Failure {
        let events: usize = self.waiting.values().map(|batch| batch.events.len()).sum();
        let failure = Failure::from_status(&format!("publish to {}", self.args.topic), status);
        if events == 0 {
            return failure;
        }
        let places = self.waiting.values().flat_map(|batch| &batch.places);
        let (first, last) = (places.clone().min(), places.max());
        let range = first
            .zip(last)
            .map(|(first, last)| format!(" ({} to {last})", self.args.place(*first)));
        failure.detail(format!(
            "{events} events were sent and not answered{}: recorded or not",
            range.unwrap_or_default()
        ))
    }

    /// Tells how it went.
    fn report(mut self, faults: Faults, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        self.out.flush()?;
        if let Some(progress) = &self.progress {
            progress.finish_and_clear();
        }
        let summary = self.summary();
        match self.args.output {
            Output::Text if outcome.is_ok() && faults.lines == 0 && self.refused.is_empty() => {
                writeln!(self.out, "{summary}")?;
                self.out.flush()?;
            }
            Output::Text | Output::Json => eprintln!("{summary}"),
        }
        outcome?;
        let bad_lines = (faults.lines > 0).then(|| {
            let text = if faults.lines == 1 {
                "1 line is no event".to_owned()
            } else {
                format!("{} lines are no events", faults.lines)
            };
            let failure = Failure::new(text).try_this(if self.args.keep_going {
                "the same with these lines put right: what is recorded already is recognised by its id"
            } else {
                "--keep-going to publish the others, --format data for data of any kind"
            });
            faults.told.into_iter().fold(failure, Failure::detail)
        });
        // All of it is told; the last failure is the one that the process ends with.
        let mut failures: VecDeque<Failure> = self.refused.into_iter().chain(bad_lines).collect();
        let last = failures.pop_back();
        for failure in failures {
            failure.print();
        }
        last.map_or(Ok(()), |failure| Err(failure.into()))
    }

    fn summary(&self) -> String {
        let topic = quote(&self.args.topic);
        let done = if self.args.validate_only { "valid for" } else { "published to" };
        let mut summary = format!("{} {done} {topic}", count(self.published, "event", "events"));
        if self.duplicates > 0 {
            summary += &format!(", {}", count(self.duplicates, "duplicate", "duplicates"));
        }
        if self.refused_events > 0 {
            summary += &format!(", {} refused", self.refused_events);
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

/// Whether more input is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
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
