//! `kill -9` under load, repeatedly: no acknowledged event is lost, and a subscriber that resumes
//! at its cursor sees one sequence.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tidings::proto::events::v1::{Durability, RecordedEvent, subscribe_response::Message};
use tokio::sync::watch;
use tonic::Status;

use crate::faults::{checker::check, torture::Clients};
use crate::support::harness::{
    Options, PATIENCE, Rng, Server, Subscription, after, earliest, endpoint, events_over,
    eventually, places, setting, subscribe_to,
};

/// After this many rounds, and after the last one, the checker reads all events.
const ROUNDS_PER_CHECK: u64 = 10;

/// Small write buffers, so that kills also happen during flushes and compactions.
fn options() -> Options {
    Options::args(["--write-buffer-bytes", "1MiB"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_events_survive_kill_9() {
    let mut rng = Rng::seeded("kill loop");
    let rounds = setting("TIDINGS_KILL_ROUNDS", 50);
    let dir = TempDir::new().unwrap();
    let data_dir = dir.path().join("data");
    let mut clients = Clients::new(&mut rng, Durability::Synced);

    let followed = Arc::new(Mutex::new(Vec::new()));
    let (serving, addresses) = watch::channel(None);
    let follower = tokio::spawn(follow(addresses, followed.clone()));

    let mut slowest_start = Duration::ZERO;
    let mut server = Server::start_on(&data_dir, options()).await;
    clients.create_topics(&server).await;
    for round in 1..=rounds {
        serving.send_replace(Some(server.address()));
        let load = rng.millis(30, 400);
        let kill = async {
            tokio::time::sleep(load).await;
            server.kill9();
        };
        clients.publish_until(server_address(&serving), kill).await;
        server.assert_calm();

        let start = Instant::now();
        server = Server::start_on(&data_dir, options()).await;
        slowest_start = slowest_start.max(start.elapsed());
        if round % ROUNDS_PER_CHECK == 0 {
            check(&server, &clients.ledger).await.assert_none();
        }
    }
    serving.send_replace(Some(server.address()));
    let findings = check(&server, &clients.ledger).await;
    findings.assert_none();
    assert!(
        findings.acknowledged as u64 > 10 * rounds,
        "too few events were published: {findings:?}"
    );
    eprintln!(
        "{rounds} kills, {} events acknowledged, {} recorded, the slowest start took {:?}",
        findings.acknowledged, findings.recorded, slowest_start
    );

    eventually(PATIENCE, "the follower has all events", async || {
        assert!(!follower.is_finished(), "the follower failed");
        (followed.lock().unwrap().len() >= findings.recorded).then_some(())
    })
    .await;
    let mut subscription = server.subscribe(subscribe_to(["torture.**"], earliest())).await;
    let all = subscription.catch_up().await;
    assert_eq!(places(&followed.lock().unwrap()), places(&all));
    follower.abort();
}

fn server_address(serving: &watch::Sender<Option<SocketAddr>>) -> SocketAddr {
    serving.borrow().expect("an address is set")
}

/// Subscribes to the current server, each time after the last received cursor.
async fn follow(
    mut addresses: watch::Receiver<Option<SocketAddr>>,
    events: Arc<Mutex<Vec<RecordedEvent>>>,
) {
    let mut cursor = None;
    while addresses.changed().await.is_ok() {
        let address = addresses.borrow_and_update().expect("every later value is an address");
        // The error of a connection to a killed server does not matter, only the events before it.
        follow_server(address, &mut cursor, &events).await.ok();
    }
}

async fn follow_server(
    address: SocketAddr,
    cursor: &mut Option<String>,
    events: &Mutex<Vec<RecordedEvent>>,
) -> Result<(), Status> {
    let channel = endpoint(address).connect().await;
    let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
    let start = cursor.as_ref().map_or_else(earliest, |cursor| after(cursor));
    let request = subscribe_to(["torture.**"], start);
    let mut subscription = Subscription::open(&mut events_over(channel), request).await?;
    while let Some(message) = subscription.next_unhurried().await? {
        *cursor = Some(subscription.cursor.clone());
        match message {
            Message::Batch(batch) => events.lock().unwrap().extend(batch.events),
            Message::Gap(gap) => panic!("a gap where nothing was lost: {gap:?}"),
            _ => {}
        }
    }
    Ok(())
}

/// The checker must detect a server that acknowledges before it writes, or it proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledging_before_the_write_is_detected() {
    if !cfg!(debug_assertions) {
        eprintln!("skipped: release builds have no fault injection");
        return;
    }
    let mut rng = Rng::seeded("kill loop control");
    let rounds = 20;
    for round in 1..=rounds {
        let dir = TempDir::new().unwrap();
        let data_dir = dir.path().join("data");
        let mut clients = Clients::new(&mut rng, Durability::Synced);
        let faulty = options().env("TIDINGS_FAULT", "ack-before-write");
        let mut server = Server::start_on(&data_dir, faulty).await;
        clients.create_topics(&server).await;
        let address = server.address();
        let load = rng.millis(100, 300);
        let kill = async {
            tokio::time::sleep(load).await;
            server.kill9();
        };
        clients.publish_until(address, kill).await;
        match Server::try_start_on(&data_dir, options()).await {
            Ok(server) => {
                let lost = check(&server, &clients.ledger).await.lost.len();
                if lost > 0 {
                    eprintln!("detected in round {round}: {lost} acknowledged events are lost");
                    return;
                }
            }
            Err(exit) => panic!("refused with {}:\n{}", exit.status, exit.log),
        }
    }
    panic!("{rounds} rounds with acknowledgements before the write, and the checker detected none");
}
