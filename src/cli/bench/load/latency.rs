//! From a publish at its due time to its delivery, at a steady rate.

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
    subscribe::{self, Subscription, Verifier},
    wire,
    workload::Workload,
};

/// How long a subscriber may wait for the next message while events are due.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Publishes due but not yet begun. More are late, and refused as such rather than piled up.
const DUE_MAX: usize = 4_096;

/// What to publish, and when.
#[derive(Clone)]
pub struct Plan {
    /// Where to.
    pub topic: String,
    /// Events a second, one a request.
    pub rate: u64,
    /// Events in all.
    pub events: u64,
    /// Live subscribers.
    pub subscribers: usize,
    /// Publishes waiting for their answer at any time.
    pub in_flight: usize,
    /// What an answer has to promise.
    pub durability: Durability,
    /// Ends the run early.
    pub stop: CancellationToken,
}

/// What was measured, in microseconds from the time an event was due.
pub struct Measured {
    /// To its answer.
    pub publish: Histogram<u64>,
    /// To its delivery.
    pub delivery: Histogram<u64>,
    /// Events published.
    pub events: u64,
    /// From the first due time to the last answer.
    pub elapsed: Duration,
}

/// Publishes at the rate, and times what the subscribers get.
///
/// Time counts from when an event was due, so that a stall is seen by every event that it held up.
pub async fn measure(
    publisher: &Channel,
    subscribers: &[Channel],
    workload: Arc<Workload>,
    plan: Plan,
) -> Result<Measured> {
    ensure!(plan.rate > 0 && !subscribers.is_empty(), "an empty plan");
    let base = Instant::now();
    let due: Arc<[AtomicU64]> = (0..plan.events).map(|_| AtomicU64::new(0)).collect();
    let published = Arc::new(AtomicU64::new(u64::MAX));

    let mut readers = JoinSet::new();
    let topics = [plan.topic.clone()];
    for at in 0..plan.subscribers {
        let channel = &subscribers[at % subscribers.len()];
        let mut subscription =
            Subscription::open(channel, subscribe::request(&topics, Edge::Latest)).await?;
        let mut verifier = Verifier::new(&topics);
        let (due, published) = (Arc::clone(&due), Arc::clone(&published));
        readers.spawn(async move {
            let mut delivery = histogram()?;
            while verifier.events < published.load(Ordering::Acquire) {
                let next = timeout(Duration::from_millis(200), subscription.next()).await;
                let Ok(message) = next else { continue };
                let now = base.elapsed();
                verifier.note(message?, |sequence| {
                    let at = usize::try_from(sequence).unwrap_or(usize::MAX);
                    let due = due.get(at).map_or(0, |due| due.load(Ordering::Acquire));
                    delivery.saturating_record(micros(now - Duration::from_nanos(due)));
                })?;
            }
            anyhow::Ok(delivery)
        });
    }

    // A thread, because tokio's timer ticks at 1 ms.
    let (ticks, mut turns) = mpsc::channel(DUE_MAX);
    let pacer = {
        let (due, plan) = (Arc::clone(&due), plan.clone());
        thread::spawn(move || {
            let start = base.elapsed();
            for sequence in 0..plan.events {
                let at = start + Duration::from_nanos(sequence * 1_000_000_000 / plan.rate);
                thread::sleep(at.saturating_sub(base.elapsed()));
                let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
                if let Ok(place) = usize::try_from(sequence) {
                    due[place].store(nanos, Ordering::Release);
                }
                if plan.stop.is_cancelled() || ticks.blocking_send((sequence, at)).is_err() {
                    return;
                }
            }
        })
    };

    let room = Arc::new(Semaphore::new(plan.in_flight));
    let mut publishes = JoinSet::new();
    let mut publish = histogram()?;
    let mut events = 0;
    let began = Instant::now();
    while let Some((sequence, at)) = turns.recv().await {
        let permit = Arc::clone(&room).acquire_owned().await?;
        let request =
            wire::publish_request(&workload, &plan.topic, sequence..sequence + 1, plan.durability);
        let mut grpc = Grpc::new(publisher.clone());
        publishes.spawn(async move {
            grpc.ready().await.context("the connection is gone")?;
            let codec = ProstCodec::<Spliced, PublishResponse>::default();
            grpc.unary(Request::new(request), wire::publish_path(), codec)
                .await
                .map_err(|status| refused("a publish was refused", &status))?;
            drop(permit);
            anyhow::Ok(micros(base.elapsed().saturating_sub(at)))
        });
        events += 1;
        while let Some(done) = publishes.try_join_next() {
            publish.saturating_record(done??);
        }
    }
    while let Some(done) = publishes.join_next().await {
        publish.saturating_record(done??);
    }
    let elapsed = began.elapsed();
    published.store(events, Ordering::Release);
    ensure!(pacer.join().is_ok(), "the pacing thread ended badly");

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
