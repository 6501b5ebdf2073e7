//! Publishes as fast as the server responds, with a fixed number of requests in flight.

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

/// How requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RpcMode {
    /// One `Publish` call per request.
    Unary,
    /// All requests on one `PublishStream`.
    Stream,
}

/// Parameters of a publish run.
#[derive(Clone)]
pub struct Plan {
    /// How requests are sent.
    pub mode: RpcMode,
    /// Maximum number of unacknowledged requests.
    pub in_flight: usize,
    /// Events per request.
    pub batch: u64,
    /// Durability that a response must confirm.
    pub durability: Durability,
    /// Topics of the requests, in turn.
    pub topics: Arc<[String]>,
    /// Total number of events.
    pub events: u64,
    /// No request is sent from this time on.
    pub until: Option<Instant>,
    /// No request is sent once this is cancelled.
    pub stop: CancellationToken,
    /// Record which sequence is at which offset.
    pub ledger: bool,
}

/// The acknowledged events.
pub struct Published {
    /// Number of acknowledged events.
    pub events: u64,
    /// From the first request to the last response.
    pub elapsed: Duration,
    /// Microseconds from a request to its response.
    pub latency: Histogram<u64>,
    /// For each topic, the sequence at each offset; empty unless the plan asks for it.
    pub ledger: Vec<Vec<Option<u64>>>,
}

/// Assigns sequences to requests until the plan ends.
struct RequestSource {
    plan: Plan,
    workload: Arc<Workload>,
    next: AtomicU64,
}

/// The events of one request.
struct PendingRequest {
    topic: usize,
    sequences: Range<u64>,
    sent: Instant,
}

impl RequestSource {
    fn next(&self) -> Option<PendingRequest> {
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
        Some(PendingRequest { topic, sequences: begin..end, sent })
    }
}

/// Publishes until the plan ends, or until the first rejection.
pub async fn publish(channel: &Channel, workload: Arc<Workload>, plan: Plan) -> Result<Published> {
    ensure!(plan.in_flight > 0 && plan.batch > 0 && !plan.topics.is_empty(), "an empty plan");
    let mode = plan.mode;
    let source = Arc::new(RequestSource { plan, workload, next: AtomicU64::new(0) });
    let started = Instant::now();
    let mut published = match mode {
        RpcMode::Unary => unary(channel, &source).await?,
        RpcMode::Stream => stream(channel, &source).await?,
    };
    published.elapsed = started.elapsed();
    Ok(published)
}

async fn unary(channel: &Channel, source: &Arc<RequestSource>) -> Result<Published> {
    let mut tasks = JoinSet::new();
    for _ in 0..source.plan.in_flight {
        let (source, mut grpc) = (Arc::clone(source), Grpc::new(channel.clone()));
        tasks.spawn(async move {
            let mut published = Published::new(&source.plan)?;
            while let Some(pending) = source.next() {
                let plan = &source.plan;
                let request = wire::publish_request(
                    &source.workload,
                    &plan.topics[pending.topic],
                    pending.sequences.clone(),
                    plan.durability,
                );
                grpc.ready().await.context("the connection is closed")?;
                let codec = ProstCodec::<Spliced, PublishResponse>::default();
                let response = grpc
                    .unary(Request::new(request), wire::publish_path(), codec)
                    .await
                    .map_err(|status| refused("a publish was rejected", &status))?;
                published.record(plan, &pending, &response.into_inner())?;
            }
            anyhow::Ok(published)
        });
    }
    let mut all = Published::new(&source.plan)?;
    while let Some(published) = tasks.join_next().await {
        all.merge(published.context("a publish task failed")??)?;
    }
    Ok(all)
}

async fn stream(channel: &Channel, source: &Arc<RequestSource>) -> Result<Published> {
    let plan = &source.plan;
    let mut published = Published::new(plan)?;
    let (requests, outgoing) = mpsc::channel(plan.in_flight);
    // The stream's sequence is the index of a slot here; the slot is free again after its response.
    let mut slots: Vec<Option<PendingRequest>> = Vec::with_capacity(plan.in_flight);
    let encode = |slot: usize, pending: &PendingRequest| {
        wire::publish_stream_request(
            slot as u64,
            &source.workload,
            &plan.topics[pending.topic],
            pending.sequences.clone(),
            plan.durability,
        )
    };
    while slots.len() < plan.in_flight {
        let Some(pending) = source.next() else { break };
        requests
            .try_send(encode(slots.len(), &pending))
            .context("no room for the first requests")?;
        slots.push(Some(pending));
    }
    let mut unacknowledged = slots.len();
    let mut requests = Some(requests);

    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.context("the connection is closed")?;
    let mut responses = grpc
        .streaming(
            Request::new(ReceiverStream::new(outgoing)),
            wire::publish_stream_path(),
            ProstCodec::<Spliced, PublishStreamResponse>::default(),
        )
        .await
        .map_err(|status| refused("PublishStream was rejected", &status))?
        .into_inner();
    while unacknowledged > 0 {
        let response = responses
            .message()
            .await
            .map_err(|status| refused("PublishStream ended", &status))?
            .with_context(|| {
                format!("PublishStream ended with {unacknowledged} unacknowledged requests")
            })?;
        let slot = usize::try_from(response.sequence)?;
        let pending = slots.get_mut(slot).and_then(Option::take);
        let pending =
            pending.with_context(|| format!("a response to the unknown request {slot}"))?;
        match response.outcome {
            Some(Outcome::Published(response)) => published.record(plan, &pending, &response)?,
            Some(Outcome::Error(status)) => {
                let status = tonic::Status::new(status.code.into(), status.message);
                return Err(refused("a publish was rejected", &status));
            }
            None => bail!("a response without an outcome"),
        }
        match source.next() {
            Some(pending) => {
                let request = encode(slot, &pending);
                slots[slot] = Some(pending);
                if let Some(requests) = &requests {
                    requests.send(request).await.context("PublishStream was closed")?;
                }
            }
            None => {
                unacknowledged -= 1;
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

    /// Checks a response and counts its events.
    fn record(
        &mut self,
        plan: &Plan,
        pending: &PendingRequest,
        response: &PublishResponse,
    ) -> Result<()> {
        self.latency.saturating_record(micros(pending.sent.elapsed()));
        let events = pending.sequences.end - pending.sequences.start;
        ensure!(
            response.results.len() as u64 == events,
            "{} results for a batch of {events}",
            response.results.len()
        );
        for (sequence, result) in pending.sequences.clone().zip(&response.results) {
            ensure!(!result.duplicate, "new event {sequence} was reported as a duplicate");
            ensure!(
                result.durability() == plan.durability,
                "event {sequence}: expected durability {:?}, found {:?}",
                plan.durability,
                result.durability()
            );
            if let Some(ledger) = self.ledger.get_mut(pending.topic) {
                record_offset(ledger, result.offset, sequence)?;
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
                    record_offset(ledger, offset as u64, sequence)?;
                }
            }
        }
        Ok(())
    }
}

/// Records the sequence at an offset, and fails if the offset already has one.
fn record_offset(ledger: &mut Vec<Option<u64>>, offset: u64, sequence: u64) -> Result<()> {
    let index = usize::try_from(offset)?;
    if ledger.len() <= index {
        ledger.resize(index + 1, None);
    }
    ensure!(ledger[index].is_none(), "two events were acknowledged at offset {offset}");
    ledger[index] = Some(sequence);
    Ok(())
}
