//! Latency from the due time of a publish to its delivery, at a steady rate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use tidings::proto::{
    Spliced,
    events::v1::{Durability, Edge, PublishResponse},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use super::{
    histogram, micros, refused,
    subscribe::{self, EventStream, Verifier},
    wire,
    workload::Workload,
};

/// How long the delivery of the remaining events may take after the last response.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Due events that are not yet published. If the channel is full, the pacing thread waits, and the
/// delay counts as latency.
const DUE_MAX: usize = 4_096;

/// Parameters of a latency measurement.
#[derive(Clone)]
pub struct Plan {
    /// Topic to publish to.
    pub topic: String,
    /// Events per second, one per request.
    pub rate: u64,
    /// Total number of events.
    pub events: u64,
    /// Number of live subscribers.
    pub subscribers: usize,
    /// Maximum number of unacknowledged publishes.
    pub in_flight: usize,
    /// Durability that a response must confirm.
    pub durability: Durability,
    /// Ends the run early.
    pub stop: CancellationToken,
}

/// Measured times, in microseconds from the due time of an event.
pub struct Measured {
    /// To its response.
    pub publish: Histogram<u64>,
    /// To its delivery.
    pub delivery: Histogram<u64>,
    /// Number of published events.
    pub events: u64,
    /// From the first due time to the last response.
    pub elapsed: Duration,
}

/// Publishes at the planned rate, and measures the time to each response and to each delivery.
///
/// Time counts from when an event was due, so that a stall counts for every event that it delays.
pub async fn measure(
    publisher: &Channel,
    subscribers: &[Channel],
    workload: Arc<Workload>,
    plan: Plan,
) -> Result<Measured> {
    ensure!(plan.rate > 0 && !subscribers.is_empty(), "an empty plan");
    let base = Instant::now();
    let due_times: Arc<[AtomicU64]> = (0..plan.events).map(|_| AtomicU64::new(0)).collect();
    let published = Arc::new(AtomicU64::new(u64::MAX));

    let mut readers = JoinSet::new();
    let topics = [plan.topic.clone()];
    for index in 0..plan.subscribers {
        let channel = &subscribers[index % subscribers.len()];
        let mut stream =
            EventStream::open(channel, subscribe::request(&topics, Edge::Latest)).await?;
        let mut verifier = Verifier::new(&topics);
        let (due_times, published) = (Arc::clone(&due_times), Arc::clone(&published));
        readers.spawn(async move {
            let mut delivery = histogram()?;
            while verifier.events < published.load(Ordering::Acquire) {
                let next = timeout(Duration::from_millis(200), stream.next()).await;
                let Ok(message) = next else { continue };
                let now = base.elapsed();
                verifier.verify(message?, |sequence| {
                    let index = usize::try_from(sequence).unwrap_or(usize::MAX);
                    let due = due_times.get(index).map_or(0, |due| due.load(Ordering::Acquire));
                    delivery.saturating_record(micros(now - Duration::from_nanos(due)));
                })?;
            }
            anyhow::Ok(delivery)
        });
    }

    // A thread, because tokio's timer ticks at 1 ms.
    let (due_sender, mut due_events) = mpsc::channel(DUE_MAX);
    let pacer = {
        let (due_times, plan) = (Arc::clone(&due_times), plan.clone());
        thread::spawn(move || {
            let start = base.elapsed();
            for sequence in 0..plan.events {
                let due = start + Duration::from_nanos(sequence * 1_000_000_000 / plan.rate);
                thread::sleep(due.saturating_sub(base.elapsed()));
                let nanos = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
                if let Ok(index) = usize::try_from(sequence) {
                    due_times[index].store(nanos, Ordering::Release);
                }
                if plan.stop.is_cancelled() || due_sender.blocking_send((sequence, due)).is_err() {
                    return;
                }
            }
        })
    };

    let permits = Arc::new(Semaphore::new(plan.in_flight));
    let mut publishes = JoinSet::new();
    let mut publish = histogram()?;
    let mut events = 0;
    let started = Instant::now();
    while let Some((sequence, due)) = due_events.recv().await {
        let permit = Arc::clone(&permits).acquire_owned().await?;
        let request =
            wire::publish_request(&workload, &plan.topic, sequence..sequence + 1, plan.durability);
        let mut grpc = Grpc::new(publisher.clone());
        publishes.spawn(async move {
            grpc.ready().await.context("the connection is closed")?;
            let codec = ProstCodec::<Spliced, PublishResponse>::default();
            grpc.unary(Request::new(request), wire::publish_path(), codec)
                .await
                .map_err(|status| refused("a publish was rejected", &status))?;
            drop(permit);
            anyhow::Ok(micros(base.elapsed().saturating_sub(due)))
        });
        events += 1;
        while let Some(done) = publishes.try_join_next() {
            publish.saturating_record(done??);
        }
    }
    while let Some(done) = publishes.join_next().await {
        publish.saturating_record(done??);
    }
    let elapsed = started.elapsed();
    published.store(events, Ordering::Release);
    ensure!(pacer.join().is_ok(), "the pacing thread failed");

    let mut delivery = histogram()?;
    let collect = async {
        while let Some(reader) = readers.join_next().await {
            delivery.add(&reader??)?;
        }
        anyhow::Ok(())
    };
    timeout(SILENCE_MAX, collect).await.context("acknowledged events were not delivered")??;
    Ok(Measured { publish, delivery, events, elapsed })
}
