//! `tidings bench`: measures a server from a client, and verifies that acknowledged events are
//! returned.

mod load;
mod report;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand, ValueEnum};
use load::{
    latency,
    publish::{self, Published, RpcMode},
    refused,
    subscribe::{self, EventStream, Verifier},
    workload::{PAYLOAD_BYTES_MIN, Workload},
};
use report::{Output, Report};
use tidings::proto::events::v1::{
    CreateTopicRequest, DeleteTopicRequest, Durability, Edge, Topic,
    topic_service_client::TopicServiceClient,
};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

use super::{client::ServerArgs, failure::Failure};

/// How long a subscriber waits for the next event before the benchmark fails.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Unacknowledged requests while topics are filled for a read benchmark.
const FILL_IN_FLIGHT: usize = 8;

/// Events per request while topics are filled; fewer if events are large.
const FILL_BATCH: u64 = 100;

/// Bytes of a request; the server's limit is 4 MiB.
const BATCH_BYTES_MAX: usize = 3 << 20;

/// Measure a server: publishing, subscribing, latency
///
/// Creates its own topics, `bench.<uuid>`, and deletes them at the end. Ctrl-C prints the
/// measurements so far.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Publish as fast as the server responds
    Publish(PublishArgs),
    /// Read as fast as the server delivers: existing events, or live ones
    Subscribe(SubscribeArgs),
    /// Publish at a fixed rate, and measure the time to delivery of every event
    Latency(LatencyArgs),
}

#[derive(Debug, Args)]
struct CommonArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Payload bytes of each event: a sequence, a checksum, and text
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(PAYLOAD_BYTES_MIN as i64..=1_000_000))]
    payload_bytes: u32,
    /// Durability that a response confirms
    #[arg(long, value_enum, default_value_t = DurabilityArg::Synced)]
    durability: DurabilityArg,
    /// Keep the topics
    #[arg(long)]
    keep: bool,
    /// Output format; default: a table on a terminal, JSON otherwise
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

#[derive(Debug, Args)]
struct PublishArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// How requests are sent
    #[arg(long, value_enum, default_value_t = Mode::Unary)]
    mode: Mode,
    /// Unacknowledged requests at any time [default: 64; 8 in batch mode]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4096))]
    in_flight: Option<u16>,
    /// Events per request [default: 1; 100 in batch mode]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: Option<u16>,
    /// Number of events to publish [default: 100000; with --duration as many as there is time for]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=EVENTS_MAX))]
    events: Option<u64>,
    /// How long to publish, such as 10s
    #[arg(long, value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Number of topics to spread the events over
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    topics: u16,
    /// Do not read back the published events
    #[arg(long)]
    no_verify: bool,
}

#[derive(Debug, Args)]
struct SubscribeArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Events per subscriber
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=EVENTS_MAX))]
    events: u64,
    /// Number of subscribers, each on its own connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    subscribers: u16,
    /// Read live, while the events are published, instead of existing events
    #[arg(long)]
    live: bool,
    /// Number of topics to spread the events over; every subscriber reads all of them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    topics: u16,
}

#[derive(Debug, Args)]
struct LatencyArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Events per second
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// How long to publish, such as 10s
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Number of live subscribers, each on its own connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    subscribers: u16,
    /// Unacknowledged publishes at any time
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    in_flight: u16,
}

/// The benchmark keeps the acknowledged offset of each event: 16 bytes per event.
const EVENTS_MAX: u64 = 50_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// One call per event
    Unary,
    /// One PublishStream, one event per message
    Stream,
    /// One call per batch
    Batch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DurabilityArg {
    /// Synced to disk
    Synced,
    /// Passed to the operating system
    Buffered,
}

impl From<DurabilityArg> for Durability {
    fn from(durability: DurabilityArg) -> Self {
        match durability {
            DurabilityArg::Synced => Self::Synced,
            DurabilityArg::Buffered => Self::Buffered,
        }
    }
}

/// Runs a benchmark and prints its report.
pub async fn run(args: BenchArgs) -> Result<()> {
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    let signal = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let measured = match args.command {
        BenchCommand::Publish(args) => bench_publish(args, stop).await,
        BenchCommand::Subscribe(args) => bench_subscribe(args, stop).await,
        BenchCommand::Latency(args) => bench_latency(args, stop).await,
    };
    signal.abort();
    measured.map_err(flatten_causes)
}

/// Joins the causes of an error into one line, with the first remedy among them.
fn flatten_causes(error: anyhow::Error) -> anyhow::Error {
    let error = match error.downcast::<Failure>() {
        Ok(failure) => return failure.into(),
        Err(error) => error,
    };
    let (mut facts, mut remedy) = (Vec::new(), None);
    for cause in error.chain().map(ToString::to_string) {
        let (fact, text) = cause.split_once(load::TRY).unwrap_or((&cause, ""));
        facts.push(fact.to_owned());
        if !text.is_empty() && remedy.is_none() {
            remedy = Some(text.to_owned());
        }
    }
    let remedy = remedy.unwrap_or_else(|| "retry; then see the server's log".to_owned());
    Failure::new(facts.join(": ")).with_remedy(remedy).into()
}

async fn bench_publish(args: PublishArgs, stop: CancellationToken) -> Result<()> {
    let batches = args.mode == Mode::Batch;
    let in_flight = args.in_flight.unwrap_or(if batches { 8 } else { 64 });
    let batch = args.batch.unwrap_or(if batches { 100 } else { 1 });
    let events = args.events.unwrap_or(if args.duration.is_some() { EVENTS_MAX } else { 100_000 });
    let run = Run::new(&args.common).await?;
    let plan = publish::Plan {
        mode: if args.mode == Mode::Stream { RpcMode::Stream } else { RpcMode::Unary },
        in_flight: in_flight.into(),
        batch: batch.into(),
        durability: args.common.durability.into(),
        topics: run.names(args.topics),
        events,
        until: None,
        stop: stop.clone(),
        ledger: !args.no_verify,
    };
    let topics = Arc::clone(&plan.topics);
    run.with_topics(&topics, args.common.keep, async {
        let until = args.duration.map(|duration| Instant::now() + duration);
        let plan = publish::Plan { until, ..plan };
        let published = publish::publish(&run.channel, Arc::clone(&run.workload), plan).await?;
        // Events that were published before a Ctrl-C are verified too.
        let verified = if args.no_verify {
            None
        } else {
            let verifier = run.read(&run.channel, &topics, published.events, None).await?;
            verifier.compare(&published.ledger).context(MISMATCH)?;
            Some(true)
        };
        let mode = match args.mode {
            Mode::Unary => "unary",
            Mode::Stream => "stream",
            Mode::Batch => "batch",
        };
        let mut report = run.report(&args.common, "publish", mode);
        report.set("in_flight", in_flight).set("batch", batch).set("topics", args.topics);
        report.rate(published.events, args.common.payload_bytes, published.elapsed);
        report.percentiles("answer", &published.latency);
        report.verdict(verified, stop.is_cancelled());
        report.print(args.common.output)
    })
    .await
}

async fn bench_subscribe(args: SubscribeArgs, stop: CancellationToken) -> Result<()> {
    let run = Run::new(&args.common).await?;
    let batch_fits = BATCH_BYTES_MAX / run.workload.event_bytes();
    let plan = publish::Plan {
        mode: RpcMode::Unary,
        in_flight: FILL_IN_FLIGHT,
        batch: FILL_BATCH.min(batch_fits as u64).max(1),
        durability: args.common.durability.into(),
        topics: run.names(args.topics),
        events: args.events,
        until: None,
        stop: stop.clone(),
        ledger: true,
    };
    let topics = Arc::clone(&plan.topics);
    run.with_topics(&topics, args.common.keep, async {
        let mut channels = Vec::new();
        for _ in 0..args.subscribers {
            channels.push(args.common.server.connect().await?);
        }
        let fill = publish::publish(&run.channel, Arc::clone(&run.workload), plan);
        let (published, started, readers) = if args.live {
            let mut readers = JoinSet::new();
            for channel in &channels {
                let request = subscribe::request(&run.patterns(args.topics), Edge::Latest);
                let stream = EventStream::open(channel, request).await?;
                let verifier = Verifier::new(&topics);
                readers.spawn(read_events(stream, verifier, args.events, Some(stop.clone())));
            }
            let started = Instant::now();
            (fill.await?, started, readers)
        } else {
            let published = fill.await?;
            let mut readers = JoinSet::new();
            let started = Instant::now();
            for channel in &channels {
                let (run, channel, topics) = (run.clone(), channel.clone(), Arc::clone(&topics));
                let (events, stop) = (published.events, stop.clone());
                readers.spawn(async move { run.read(&channel, &topics, events, Some(stop)).await });
            }
            (published, started, readers)
        };
        let delivered = collect(readers, &published, &stop).await?;
        let elapsed = started.elapsed();

        let mode = if args.live { "live" } else { "catch-up" };
        let mut report = run.report(&args.common, "subscribe", mode);
        report.set("subscribers", args.subscribers).set("topics", args.topics);
        report.rate(delivered.events, args.common.payload_bytes, elapsed);
        report.set("fell_behind", delivered.fell_behind);
        report.verdict((!stop.is_cancelled()).then_some(true), stop.is_cancelled());
        report.print(args.common.output)
    })
    .await
}

async fn bench_latency(args: LatencyArgs, stop: CancellationToken) -> Result<()> {
    let events = u64::try_from(args.duration.as_millis())? * args.rate / 1_000;
    ensure!(
        (1..=EVENTS_MAX).contains(&events),
        "{events} events at this rate and duration; the range is 1 to {EVENTS_MAX}\n\
         try: another --duration or --rate"
    );
    let run = Run::new(&args.common).await?;
    let topics = run.names(1);
    run.with_topics(&topics, args.common.keep, async {
        let mut channels = Vec::new();
        for _ in 0..args.subscribers {
            channels.push(args.common.server.connect().await?);
        }
        let plan = latency::Plan {
            topic: topics[0].clone(),
            rate: args.rate,
            events,
            subscribers: args.subscribers.into(),
            in_flight: args.in_flight.into(),
            durability: args.common.durability.into(),
            stop: stop.clone(),
        };
        let measured =
            latency::measure(&run.channel, &channels, Arc::clone(&run.workload), plan).await?;
        let mut report = run.report(&args.common, "latency", "end to end");
        report.set("subscribers", args.subscribers).set("rate", args.rate);
        report.rate(measured.events, args.common.payload_bytes, measured.elapsed);
        report.percentiles("answer", &measured.publish);
        report.percentiles("delivery", &measured.delivery);
        report.verdict(Some(true), stop.is_cancelled());
        report.print(args.common.output)
    })
    .await
}

/// Context of a difference between the acknowledged and the read events.
const MISMATCH: &str = "the server did not return the events that it acknowledged\n\
    try: repeat it with --keep, then run `tidings read` on the topic, and report both outputs";

struct Delivered {
    events: u64,
    fell_behind: u64,
}

/// Waits for all readers, and compares the events that they read with the acknowledged ones.
async fn collect(
    mut readers: JoinSet<Result<Verifier>>,
    published: &Published,
    stop: &CancellationToken,
) -> Result<Delivered> {
    let mut delivered = Delivered { events: 0, fell_behind: 0 };
    while let Some(reader) = readers.join_next().await {
        let verifier = reader.context("a reader task failed")??;
        delivered.events += verifier.events;
        delivered.fell_behind += verifier.fell_behind;
        if !stop.is_cancelled() {
            verifier.compare(&published.ledger).context(MISMATCH)?;
        }
    }
    Ok(delivered)
}

/// Reads until `events` events have arrived, or until `stop` is cancelled.
async fn read_events(
    mut stream: EventStream,
    mut verifier: Verifier,
    events: u64,
    stop: Option<CancellationToken>,
) -> Result<Verifier> {
    let stop = stop.unwrap_or_default();
    while verifier.events < events {
        tokio::select! {
            biased;
            message = timeout(SILENCE_MAX, stream.next()) => {
                let message = message.with_context(|| format!(
                    "{} of {events} events arrived, then none for {SILENCE_MAX:?}\n\
                     try: the server's log, and its metric of open streams",
                    verifier.events
                ))?;
                verifier.verify(message?, |_| ()).context(MISMATCH)?;
            }
            () = stop.cancelled() => break,
        }
    }
    Ok(verifier)
}

/// One benchmark run: a connection, a name for its topics, and its workload.
#[derive(Clone)]
struct Run {
    name: String,
    server: ServerArgs,
    channel: Channel,
    workload: Arc<Workload>,
}

impl Run {
    async fn new(common: &CommonArgs) -> Result<Self> {
        let id = Uuid::new_v4();
        let payload_bytes = usize::try_from(common.payload_bytes)?;
        let channel = common.server.connect().await?;
        let workload = Arc::new(Workload::new(id.as_fields().0, payload_bytes)?);
        let (name, server) = (format!("bench.{}", id.simple()), common.server.clone());
        Ok(Self { name, server, channel, workload })
    }

    fn names(&self, topics: u16) -> Arc<[String]> {
        match topics {
            1 => Arc::new([self.name.clone()]),
            _ => (0..topics).map(|index| format!("{}.{index}", self.name)).collect(),
        }
    }

    fn patterns(&self, topics: u16) -> Vec<String> {
        vec![if topics == 1 { self.name.clone() } else { format!("{}.*", self.name) }]
    }

    /// Creates the topics, runs `measure`, and deletes the topics even if it failed.
    async fn with_topics<T>(
        &self,
        topics: &[String],
        keep: bool,
        measure: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut client = TopicServiceClient::new(self.channel.clone());
        let mut created = Ok(());
        for name in topics {
            let topic = Some(Topic { name: name.clone(), ..Topic::default() });
            let request = self.server.request(CreateTopicRequest { topic });
            created = client.create_topic(request).await.map(|_| ());
            if created.is_err() {
                break;
            }
        }
        let measured = match created {
            Ok(()) => measure.await,
            Err(status) => Err(refused("cannot create the bench's topics", &status)),
        };
        if !keep {
            for name in topics {
                let request = DeleteTopicRequest { name: name.clone(), ..Default::default() };
                let request = self.server.request(request);
                if let Err(status) = client.delete_topic(request).await
                    && measured.is_ok()
                {
                    return Err(refused("cannot delete the bench's topics", &status));
                }
            }
        }
        measured
    }

    /// Reads the topics from their first event until `events` events have arrived.
    async fn read(
        &self,
        channel: &Channel,
        topics: &[String],
        events: u64,
        stop: Option<CancellationToken>,
    ) -> Result<Verifier> {
        let patterns = self.patterns(u16::try_from(topics.len())?);
        let request = subscribe::request(&patterns, Edge::Earliest);
        let stream = EventStream::open(channel, request).await?;
        read_events(stream, Verifier::new(topics), events, stop).await
    }

    fn report(&self, common: &CommonArgs, command: &str, mode: &str) -> Report {
        let mut report = Report::new(command, mode);
        report.set("payload_bytes", common.payload_bytes);
        report.set(
            "durability",
            match common.durability {
                DurabilityArg::Synced => "synced",
                DurabilityArg::Buffered => "buffered",
            },
        );
        if common.keep {
            report.set("topic", self.name.as_str());
        }
        report
    }
}
