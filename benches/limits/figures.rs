//! The figures: (a) to (h), and (m) for memory.

use std::{
    cell::RefCell,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use prost_types::Duration as ProtoDuration;
use tidings::proto::events::v1::{
    CreateTopicRequest, Durability, Edge, GetTopicRequest, Topic,
    topic_service_client::TopicServiceClient,
};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::{
    count::Count,
    load::{
        histogram, latency, micros,
        publish::{self, Plan, RpcMode},
        subscribe::{self, EventStream},
        workload::Workload,
    },
    net,
    pairs::{Meter, Row, Sample, interleave, median},
    process::{Process, drop_caches},
    rocks::{Measurement, Task},
};

/// The figures to measure, and the directory of their data.
pub struct Limits {
    pub dir: PathBuf,
    pub only: Vec<char>,
    pub pairs: usize,
    pub events: u64,
    /// Divisor of the number of events of the shorter figures.
    pub scale: u64,
    pub threads: usize,
    /// Arguments of `tidings serve`.
    pub serve_args: Vec<String>,
}

const PAYLOAD_BYTES: usize = 1_024;
const SUBSCRIBERS: usize = 100;
const TOPICS: u64 = 100;
const STALLED: usize = 1_000;

/// The topic of the catch-up figures, and the prefix of the topics of (h).
const SINGLE_TOPIC: &str = "bench.one";
const TOPIC_PREFIX: &str = "bench.many";

/// A form of publish, and the number of events of a run.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    mode: RpcMode,
    in_flight: usize,
    batch: u64,
    pub events: u64,
}

const UNARY: Shape = Shape { mode: RpcMode::Unary, in_flight: 64, batch: 1, events: 60_000 };
pub(crate) const STREAM: Shape =
    Shape { mode: RpcMode::Stream, in_flight: 64, batch: 1, events: 150_000 };
pub(crate) const BATCHES: Shape =
    Shape { mode: RpcMode::Unary, in_flight: 8, batch: 100, events: 300_000 };

/// A running server and a connection to it.
pub(crate) struct Server {
    pub process: Process,
    pub channel: Channel,
}

impl Server {
    async fn start(data: &Path, args: &[String]) -> Result<Self> {
        let process = Process::server(data, args)?;
        let channel = connect(&process.url).await?;
        Ok(Self { process, channel })
    }

    async fn create(&self, names: &[String]) -> Result<()> {
        let mut topics = TopicServiceClient::new(self.channel.clone());
        for name in names {
            let topic = Some(Topic { name: name.clone(), ..Topic::default() });
            topics.create_topic(CreateTopicRequest { topic }).await?;
        }
        Ok(())
    }
}

impl Limits {
    /// Measures the selected figures, and prints each row as soon as it is complete.
    pub async fn run(&self) -> Result<()> {
        println!("{}", Row::HEAD);
        if self.wants("abche") {
            self.publishing().await?;
        }
        if self.wants("dfghm") {
            self.reading().await?;
        }
        if self.wants("sv") {
            self.schemas().await?;
        }
        Ok(())
    }

    pub(crate) fn wants(&self, figures: &str) -> bool {
        self.only.is_empty() || figures.chars().any(|figure| self.only.contains(&figure))
    }

    pub(crate) async fn server(&self, data: &Path) -> Result<Server> {
        Server::start(data, &self.serve_args).await
    }

    async fn publishing(&self) -> Result<()> {
        let server = self.server(&self.dir.join("publish")).await?;
        println!(
            "{}",
            Row::plain("m", "idle server, resident", mib(server.process.rss()?))
                .bound("64 MiB", server.process.rss()? < 64 << 20)
                .print()
        );
        if self.wants("a") {
            let net = Process::net(&self.dir, 1_000, self.threads)?;
            let echo = connect(&net.url).await?;
            let topic: Arc<[String]> = Arc::new([SINGLE_TOPIC.to_owned()]);
            let pairs = interleave(
                "a",
                self.pairs,
                async || self.publish(&server.process, &server.channel, UNARY, 1).await,
                async || self.publish_to(&net, &echo, UNARY, topic.clone()).await,
            )
            .await?;
            let description = "unary Publish, 64 in flight; limit: echo on the same stack";
            println!("{}", pairs.row("a", description, 0.7).print());
        }
        // A RefCell suffices: the two sides of a figure never run at the same time.
        let rocks = RefCell::new(Process::rocks(&self.dir)?);
        let figures = [('b', STREAM, 0.6), ('c', BATCHES, 0.6)];
        for (figure, shape, floor) in figures {
            for topics in [1, TOPICS] {
                let name = if topics == 1 { figure } else { 'h' };
                if !self.wants(&name.to_string()) {
                    continue;
                }
                let events = shape.events / self.scale;
                let task = match shape.mode {
                    RpcMode::Stream => Task::Group { events, callers: shape.in_flight, topics },
                    RpcMode::Unary => Task::Batches { events, batch: 1_000, topics },
                };
                let pairs = interleave(
                    &format!("{name} {figure}"),
                    self.pairs,
                    async || self.publish(&server.process, &server.channel, shape, topics).await,
                    async || Ok(rocks.borrow_mut().run_task::<_, Measurement>(&task)?.sample()),
                )
                .await?;
                let description = match shape.mode {
                    RpcMode::Stream => {
                        "PublishStream, single events, 64 in flight; limit: RocksDB group commit"
                    }
                    RpcMode::Unary => {
                        "batches of 100, 8 in flight; limit: RocksDB batches of 1,000"
                    }
                };
                let (description, floor) = match topics {
                    1 => (description.to_owned(), floor),
                    _ => (format!("{description}; over {topics} topics"), 0.0),
                };
                println!("{}", pairs.row(&name.to_string(), &description, floor).print());
            }
        }
        if self.wants("e") {
            self.latency(&server).await?;
        }
        server.process.stop()?;
        Ok(())
    }

    async fn publish(
        &self,
        process: &Process,
        channel: &Channel,
        shape: Shape,
        topics: u64,
    ) -> Result<Sample> {
        let names = self.create_fresh(channel, topics).await?;
        self.publish_to(process, channel, shape, names).await
    }

    async fn create_fresh(&self, channel: &Channel, topics: u64) -> Result<Arc<[String]>> {
        let run = uuid::Uuid::new_v4().simple();
        let names: Arc<[String]> = (0..topics).map(|at| format!("bench.{run}.{at}")).collect();
        let mut client = TopicServiceClient::new(channel.clone());
        for name in names.iter() {
            let topic = Some(Topic { name: name.clone(), ..Topic::default() });
            client.create_topic(CreateTopicRequest { topic }).await?;
        }
        Ok(names)
    }

    async fn publish_to(
        &self,
        process: &Process,
        channel: &Channel,
        shape: Shape,
        topics: Arc<[String]>,
    ) -> Result<Sample> {
        let workload = workload()?;
        let plan = plan(shape, topics, shape.events / self.scale);
        let meter = Meter::start(process)?;
        let published = publish::publish(channel, workload, plan).await?;
        meter.stop(process, published.events)
    }

    /// Measures (e) and its limit alternately, a few seconds each.
    async fn latency(&self, server: &Server) -> Result<()> {
        let events = 5_000 / self.scale;
        let (mut p50, mut p99, mut sync50, mut sync99, mut ratios) =
            (vec![], vec![], vec![], vec![], vec![]);
        let subscriber = connect(&server.process.url).await?;
        for pair in 0..self.pairs {
            let topics = self.create_fresh(&server.channel, 1).await?;
            let plan = latency::Plan {
                topic: topics[0].clone(),
                rate: 1_000,
                events,
                subscribers: 1,
                in_flight: 256,
                durability: Durability::Synced,
                stop: CancellationToken::new(),
            };
            let subscribers = std::slice::from_ref(&subscriber);
            let ours = async || {
                latency::measure(&server.channel, subscribers, workload()?, plan.clone()).await
            };
            let (ours, sync) = if pair % 2 == 0 {
                let ours = ours().await?;
                (ours, fdatasync(&self.dir, events)?)
            } else {
                let sync = fdatasync(&self.dir, events)?;
                (ours().await?, sync)
            };
            let quantile_ms = |histogram: &Histogram<u64>, quantile| {
                histogram.value_at_quantile(quantile) as f64 / 1e3
            };
            p50.push(quantile_ms(&ours.delivery, 0.5));
            p99.push(quantile_ms(&ours.delivery, 0.99));
            sync50.push(quantile_ms(&sync, 0.5));
            sync99.push(quantile_ms(&sync, 0.99));
            ratios.push(quantile_ms(&ours.delivery, 0.99) / quantile_ms(&sync, 0.99));
            eprintln!(
                "e pair {}: p50 {:.2} p99 {:.2} ms; fdatasync p50 {:.2} p99 {:.2} ms",
                pair + 1,
                p50[pair],
                p99[pair],
                sync50[pair],
                sync99[pair]
            );
        }
        let median_of = |values: &[f64]| median(values.iter().copied());
        let (p50_median, ratio) = (median_of(&p50), median_of(&ratios));
        let mut row = Row::plain(
            "e",
            "publish to subscriber, 1,000 events/s; limit: 4 KiB append + fdatasync at that rate",
            format!("p50 {p50_median:.2} ms, p99 {:.2} ms", median_of(&p99)),
        )
        .bound("p50 0.6 ms; p99 5 times", p50_median <= 0.6 && ratio <= 5.0);
        row.limit = format!("p50 {:.2} ms, p99 {:.2} ms", median_of(&sync50), median_of(&sync99));
        row.ratio = format!("p99: {}", crate::pairs::spread(ratios.into_iter()));
        println!("{}", row.print());
        Ok(())
    }

    async fn reading(&self) -> Result<()> {
        let data = self.dir.join("read");
        let mut server = self.server(&data).await?;
        let many: Arc<[String]> = (0..TOPICS).map(|at| format!("{TOPIC_PREFIX}.{at}")).collect();
        let single: Arc<[String]> = Arc::new([SINGLE_TOPIC.to_owned()]);
        eprintln!("publishing {} events to read", self.events);
        server.create(&single).await?;
        publish::publish(&server.channel, workload()?, plan(BATCHES, single, self.events)).await?;

        let net = Process::net(&self.dir, self.events, self.threads)?;
        let memory = connect(&net.url).await?;
        if self.wants("g") {
            server = self.starts(server, &data).await?;
        }
        if self.wants("d") {
            let pairs = interleave(
                "d",
                self.pairs,
                async || self.catch_up(&server.process, &server.channel, SINGLE_TOPIC).await,
                async || self.catch_up(&net, &memory, SINGLE_TOPIC).await,
            )
            .await?;
            let description =
                format!("catch-up of {} events; limit: spliced from memory", self.events);
            println!("{}", pairs.row("d", &description, 0.6).print());
            server = self.cold(server, &data).await?;
        }
        if self.wants("f") {
            self.fan_out(&server).await?;
        }
        if self.wants("m") {
            server = self.stalled(server, &data, 10).await?;
            server = self.stalled(server, &data, STALLED).await?;
        }
        if self.wants("h") {
            server.create(&many).await?;
            let fill = plan(BATCHES, many, self.events);
            publish::publish(&server.channel, workload()?, fill).await?;
            let pattern = format!("{TOPIC_PREFIX}.*");
            let pairs = interleave(
                "h d",
                self.pairs,
                async || self.catch_up(&server.process, &server.channel, &pattern).await,
                async || self.catch_up(&server.process, &server.channel, SINGLE_TOPIC).await,
            )
            .await?;
            let description = format!(
                "catch-up of {} events over {TOPICS} topics; compared with: one topic",
                self.events
            );
            println!("{}", pairs.row("h", &description, 0.0).print());
        }
        server.process.stop()?;
        Ok(())
    }

    async fn catch_up(&self, process: &Process, channel: &Channel, topic: &str) -> Result<Sample> {
        let request = subscribe::request(&[topic.to_owned()], Edge::Earliest);
        let mut count = match process.is_server {
            true if topic == SINGLE_TOPIC => Count::dense_from(0),
            is_server => Count::new(!is_server),
        };
        let meter = Meter::start(process)?;
        let mut stream = EventStream::open(channel, request).await?;
        while count.events < self.events {
            count.add(&stream.next().await?)?;
        }
        meter.stop(process, count.events)
    }

    /// Measures (d) cold: both sides start with an empty page cache and open the database.
    async fn cold(&self, server: Server, data: &Path) -> Result<Server> {
        server.process.stop()?;
        let rocks = RefCell::new(Process::rocks(&self.dir)?);
        let pairs = interleave(
            "d cold",
            self.pairs,
            async || {
                drop_caches(data)?;
                let server = self.server(data).await?;
                let sample = self.catch_up(&server.process, &server.channel, SINGLE_TOPIC).await?;
                server.process.stop()?;
                Ok(sample)
            },
            async || {
                drop_caches(data)?;
                let task = Task::Iterate { data: data.to_owned() };
                Ok(rocks.borrow_mut().run_task::<_, Measurement>(&task)?.sample())
            },
        )
        .await?;
        let description =
            format!("catch-up of {} events, cold; limit: RocksDB iteration, cold", self.events);
        println!("{}", pairs.row("d", &description, 0.6).print());
        self.server(data).await
    }

    async fn fan_out(&self, server: &Server) -> Result<()> {
        let events = 10_000 / self.scale;
        let net = Process::net(&self.dir, events, self.threads)?;
        let memory = connect(&net.url).await?;
        let pairs = interleave(
            "f",
            self.pairs,
            async || {
                let topics = self.create_fresh(&server.channel, 1).await?;
                self.deliver(&server.process, &server.channel, topics, events, events).await
            },
            async || {
                let go: Arc<[String]> = Arc::new([net::GO.to_owned()]);
                self.deliver(&net, &memory, go, 1, events).await
            },
        )
        .await?;
        let description =
            "deliveries to 100 live subscribers; limit: 100 streams spliced from memory";
        println!("{}", pairs.row("f", description, 0.5).print());
        Ok(())
    }

    /// Publishes, and waits until all subscribers have received every event.
    async fn deliver(
        &self,
        process: &Process,
        channel: &Channel,
        topics: Arc<[String]>,
        published: u64,
        events: u64,
    ) -> Result<Sample> {
        let mut readers = JoinSet::new();
        for _ in 0..SUBSCRIBERS {
            let channel = connect(&process.url).await?;
            let request = subscribe::request(&topics, Edge::Latest);
            let mut stream = EventStream::open(&channel, request).await?;
            let mut count = Count::new(!process.is_server);
            readers.spawn(async move {
                // Keeps the connection open as long as its reader.
                let _channel = channel;
                while count.events < events {
                    let message = timeout(Duration::from_secs(30), stream.next()).await;
                    count.add(&message.context("no message for 30 s")??)?;
                }
                anyhow::Ok(())
            });
        }
        let meter = Meter::start(process)?;
        let plan = plan(BATCHES, topics, published);
        publish::publish(channel, workload()?, plan).await?;
        while let Some(reader) = readers.join_next().await {
            reader??;
        }
        meter.stop(process, events * SUBSCRIBERS as u64)
    }

    /// Measures (g): the time to the first response, after a clean stop and after a kill under
    /// load.
    async fn starts(&self, mut server: Server, data: &Path) -> Result<Server> {
        let measure_start = async |killed: bool, server: Server| -> Result<(f64, Server)> {
            if killed {
                let topics = self.create_fresh(&server.channel, 1).await?;
                let load =
                    publish::publish(&server.channel, workload()?, plan(BATCHES, topics, 1 << 40));
                // The load ends by the timeout.
                let _ = timeout(Duration::from_millis(500), load).await;
                server.process.kill()?;
            } else {
                server.process.stop()?;
            }
            let start = Instant::now();
            let server = self.server(data).await?;
            let mut topics = TopicServiceClient::new(server.channel.clone());
            let topic = topics.get_topic(GetTopicRequest { name: SINGLE_TOPIC.to_owned() }).await?;
            let seconds = start.elapsed().as_secs_f64();
            let stats = topic.into_inner().topic.and_then(|topic| topic.stats);
            let events = stats.map_or(0, |stats| stats.next_offset);
            ensure!(events == self.events, "{events} events after a start");
            Ok((seconds, server))
        };
        for (killed, condition, bound) in
            [(false, "after a clean stop", 1.0), (true, "after kill -9 under load", 2.0)]
        {
            let mut times = Vec::new();
            for _ in 0..self.pairs {
                let (seconds, restarted) = measure_start(killed, server).await?;
                eprintln!("g {condition}: {seconds:.3} s");
                server = restarted;
                times.push(seconds);
            }
            let slowest = times.iter().copied().fold(0.0, f64::max);
            let row = Row::plain(
                "g",
                &format!("start to first response with {} events, {condition}", self.events),
                format!("{:.2} s, slowest {slowest:.2} s", median(times.iter().copied())),
            );
            println!("{}", row.bound(&format!("{bound} s"), slowest < bound).print());
        }
        Ok(server)
    }

    /// Measures (m): subscribers that never read, over this many connections.
    async fn stalled(&self, server: Server, data: &Path, connections: usize) -> Result<Server> {
        server.process.stop()?;
        let server = self.server(data).await?;
        // A first reader, whose one-time cost is not part of the measurement.
        self.read_some(&server, 5_000).await?;
        let settle = async || -> Result<u64> {
            let mut before = server.process.rss()?;
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let now = server.process.rss()?;
                if now.abs_diff(before) < 1 << 18 {
                    return Ok(now);
                }
                before = now;
            }
            Ok(before)
        };
        let before = settle().await?;
        let mut channels = Vec::new();
        for _ in 0..connections {
            // The window of the stream stops it, not the window of the connection.
            let endpoint = endpoint(&server.process.url)?
                .initial_stream_window_size(65_535)
                .initial_connection_window_size(1 << 27);
            channels.push(endpoint.connect().await?);
        }
        let mut stalled = Vec::new();
        for at in 0..STALLED {
            let mut request = subscribe::request(&[SINGLE_TOPIC.to_owned()], Edge::Earliest);
            request.heartbeat_interval = Some(ProtoDuration { seconds: 60, nanos: 0 });
            let channel = &channels[at % connections];
            stalled.push(EventStream::open_unread(channel, request).await?);
        }
        let after = settle().await?;
        let each = after.saturating_sub(before) / STALLED as u64;
        let row = Row::plain(
            "m",
            &format!("a stalled subscriber, of {STALLED} over {connections} connections"),
            format!("{:.1} KiB ({} to {})", each as f64 / 1024.0, mib(before), mib(after)),
        );
        println!("{}", row.bound("64 KiB", each <= 64 << 10).print());
        drop(stalled);
        Ok(server)
    }

    async fn read_some(&self, server: &Server, events: u64) -> Result<()> {
        let request = subscribe::request(&[SINGLE_TOPIC.to_owned()], Edge::Earliest);
        let mut stream = EventStream::open(&server.channel, request).await?;
        let mut count = Count::dense_from(0);
        while count.events < events.min(self.events) {
            count.add(&stream.next().await?)?;
        }
        Ok(())
    }
}

pub(crate) fn plan(shape: Shape, topics: Arc<[String]>, events: u64) -> Plan {
    Plan {
        mode: shape.mode,
        in_flight: shape.in_flight,
        batch: shape.batch,
        durability: Durability::Synced,
        topics,
        events,
        until: None,
        stop: CancellationToken::new(),
        ledger: false,
    }
}

/// Connects with the windows of `tidings bench`, which suit a fast reader.
async fn connect(url: &str) -> Result<Channel> {
    Ok(endpoint(url)?.connect().await?)
}

fn endpoint(url: &str) -> Result<Endpoint> {
    Ok(Endpoint::from_shared(url.to_owned())?
        .tcp_nodelay(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20))
}

/// A workload with new ids: the server never forgets an id.
fn workload() -> Result<Arc<Workload>> {
    Ok(Arc::new(Workload::new(uuid::Uuid::new_v4().as_fields().0, PAYLOAD_BYTES)?))
}

/// Appends 4 KiB and syncs, 1,000 times per second.
fn fdatasync(dir: &Path, times: u64) -> Result<Histogram<u64>> {
    let mut file = File::create(dir.join("fdatasync"))?;
    let mut histogram = histogram()?;
    let start = Instant::now();
    for turn in 0..times {
        let due = Duration::from_millis(turn);
        thread::sleep(due.saturating_sub(start.elapsed()));
        let start_of_write = Instant::now();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        histogram.saturating_record(micros(start_of_write.elapsed()));
    }
    Ok(histogram)
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
