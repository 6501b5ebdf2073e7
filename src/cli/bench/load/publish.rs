//! Publishes as fast as the server answers, with a fixed number of requests in flight.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use tidings::proto::{
    Spliced,
    events::v1::{
        Durability, PublishResponse, PublishStreamResponse, publish_stream_response::Outcome,
    },
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use super::{histogram, micros, refused, wire, workload::Workload};

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A `Publish` call each.
    Unary,
    /// All on one `PublishStream`.
    Stream,
}

/// What to publish, and how.
#[derive(Clone)]
pub struct Plan {
    /// How requests travel.
    pub way: Way,
    /// Requests waiting for their answer at any time.
    pub in_flight: usize,
    /// Events of a request.
    pub batch: u64,
    /// What the answer has to promise.
    pub durability: Durability,
    /// Requests go round these.
    pub topics: Arc<[String]>,
    /// Events in all.
    pub events: u64,
    /// No new request from here on.
    pub until: Option<Instant>,
    /// No new request once this is cancelled.
    pub stop: CancellationToken,
    /// Keep which sequence went to which offset.
    pub ledger: bool,
}

/// What was acknowledged.
pub struct Published {
    /// Acknowledged events.
    pub events: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Microseconds from a request to its answer.
    pub latency: Histogram<u64>,
    /// Per topic, the sequence at every offset; empty where it was not asked for.
    pub ledger: Vec<Vec<Option<u64>>>,
}

/// Hands out sequences until the plan ends.
struct Source {
    plan: Plan,
    workload: Arc<Workload>,
    next: AtomicU64,
}

/// One request's events.
struct Turn {
    topic: usize,
    sequences: Range<u64>,
    sent: Instant,
}

impl Source {
    fn next(&self) -> Option<Turn> {
        let sent = Instant::now();
        if self.plan.stop.is_cancelled() || self.plan.until.is_some_and(|until| sent >= until) {
            return None;
        }
        let begin = self.next.fetch_add(self.plan.batch, Ordering::Relaxed);
        if begin >= self.plan.events {
            return None;
        }
        let end = self.plan.events.min(begin + self.plan.batch);
        let topics = self.plan.topics.len() as u64;
        let topic = usize::try_from(begin / self.plan.batch % topics).unwrap_or_default();
        Some(Turn { topic, sequences: begin..end, sent })
    }
}

/// Publishes by the plan until it ends, or until the first refusal.
pub async fn publish(channel: &Channel, workload: Arc<Workload>, plan: Plan) -> Result<Published> {
    ensure!(plan.in_flight > 0 && plan.batch > 0 && !plan.topics.is_empty(), "an empty plan");
    let way = plan.way;
    let source = Arc::new(Source { plan, workload, next: AtomicU64::new(0) });
    let began = Instant::now();
    let mut published = match way {
        Way::Unary => unary(channel, &source).await?,
        Way::Stream => stream(channel, &source).await?,
    };
    published.elapsed = began.elapsed();
    Ok(published)
}

async fn unary(channel: &Channel, source: &Arc<Source>) -> Result<Published> {
    let mut tasks = JoinSet::new();
    for _ in 0..source.plan.in_flight {
        let (source, mut grpc) = (Arc::clone(source), Grpc::new(channel.clone()));
        tasks.spawn(async move {
            let mut published = Published::new(&source.plan)?;
            while let Some(turn) = source.next() {
                let plan = &source.plan;
                let request = wire::publish_request(
                    &source.workload,
                    &plan.topics[turn.topic],
                    turn.sequences.clone(),
                    plan.durability,
                );
                grpc.ready().await.context("the connection is gone")?;
                let codec = ProstCodec::<Spliced, PublishResponse>::default();
                let response = grpc
                    .unary(Request::new(request), wire::publish_path(), codec)
                    .await
                    .map_err(|status| refused("a publish was refused", &status))?;
                published.note(plan, &turn, &response.into_inner())?;
            }
            anyhow::Ok(published)
        });
    }
    let mut all = Published::new(&source.plan)?;
    while let Some(published) = tasks.join_next().await {
        all.merge(published.context("a publishing task ended badly")??)?;
    }
    Ok(all)
}

async fn stream(channel: &Channel, source: &Arc<Source>) -> Result<Published> {
    let plan = &source.plan;
    let mut published = Published::new(plan)?;
    let (requests, outgoing) = mpsc::channel(plan.in_flight);
    // The stream's sequence is the place of the turn here; it is free again when its answer comes.
    let mut turns: Vec<Option<Turn>> = Vec::with_capacity(plan.in_flight);
    let encode = |place: usize, turn: &Turn| {
        wire::publish_stream_request(
            place as u64,
            &source.workload,
            &plan.topics[turn.topic],
            turn.sequences.clone(),
            plan.durability,
        )
    };
    while turns.len() < plan.in_flight {
        let Some(turn) = source.next() else { break };
        requests.try_send(encode(turns.len(), &turn)).context("no room for the first requests")?;
        turns.push(Some(turn));
    }
    let mut waiting = turns.len();
    let mut requests = Some(requests);

    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.context("the connection is gone")?;
    let mut answers = grpc
        .streaming(
            Request::new(ReceiverStream::new(outgoing)),
            wire::publish_stream_path(),
            ProstCodec::<Spliced, PublishStreamResponse>::default(),
        )
        .await
        .map_err(|status| refused("PublishStream was refused", &status))?
        .into_inner();
    while waiting > 0 {
        let answer = answers
            .message()
            .await
            .map_err(|status| refused("PublishStream ended", &status))?
            .with_context(|| format!("PublishStream ended with {waiting} requests unanswered"))?;
        let place = usize::try_from(answer.sequence)?;
        let turn = turns.get_mut(place).and_then(Option::take);
        let turn = turn.with_context(|| format!("an answer to {place}, which nobody asked"))?;
        match answer.outcome {
            Some(Outcome::Published(response)) => published.note(plan, &turn, &response)?,
            Some(Outcome::Error(status)) => {
                let status = tonic::Status::new(status.code.into(), status.message);
                return Err(refused("a publish was refused", &status));
            }
            None => bail!("an answer without an outcome"),
        }
        match source.next() {
            Some(turn) => {
                let request = encode(place, &turn);
                turns[place] = Some(turn);
                if let Some(requests) = &requests {
                    requests.send(request).await.context("PublishStream was closed")?;
                }
            }
            None => {
                waiting -= 1;
                requests = None;
            }
        }
    }
    Ok(published)
}

impl Published {
    fn new(plan: &Plan) -> Result<Self> {
        let ledger = if plan.ledger { vec![Vec::new(); plan.topics.len()] } else { Vec::new() };
        Ok(Self { events: 0, elapsed: Duration::ZERO, latency: histogram()?, ledger })
    }

    /// Checks and counts an answer.
    fn note(&mut self, plan: &Plan, turn: &Turn, response: &PublishResponse) -> Result<()> {
        self.latency.saturating_record(micros(turn.sent.elapsed()));
        let events = turn.sequences.end - turn.sequences.start;
        ensure!(
            response.results.len() as u64 == events,
            "{} results for a batch of {events}",
            response.results.len()
        );
        for (sequence, result) in turn.sequences.clone().zip(&response.results) {
            ensure!(!result.duplicate, "new event {sequence} was answered as a duplicate");
            ensure!(
                result.durability() == plan.durability,
                "event {sequence} was asked to be {:?} and is {:?}",
                plan.durability,
                result.durability()
            );
            if let Some(ledger) = self.ledger.get_mut(turn.topic) {
                enter(ledger, result.offset, sequence)?;
            }
        }
        self.events += events;
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.events += other.events;
        self.latency.add(&other.latency)?;
        for (ledger, other) in self.ledger.iter_mut().zip(other.ledger) {
            for (offset, sequence) in other.into_iter().enumerate() {
                if let Some(sequence) = sequence {
                    enter(ledger, offset as u64, sequence)?;
                }
            }
        }
        Ok(())
    }
}

/// Notes a sequence at an offset that must not have one.
fn enter(ledger: &mut Vec<Option<u64>>, offset: u64, sequence: u64) -> Result<()> {
    let at = usize::try_from(offset)?;
    if ledger.len() <= at {
        ledger.resize(at + 1, None);
    }
    ensure!(ledger[at].is_none(), "two events were acknowledged at offset {offset}");
    ledger[at] = Some(sequence);
    Ok(())
}
