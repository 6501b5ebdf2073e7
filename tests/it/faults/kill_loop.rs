//! `kill -9` under load, again and again: nothing acknowledged is lost, and a subscriber that goes on by its cursor sees
//! one sequence.

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

/// Every so many rounds, and after the last one, everything is read back.
const ROUNDS_PER_CHECK: u64 = 10;

/// Small write buffers, so that the kills meet flushes and compactions too.
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
    assert!(findings.acknowledged as u64 > 10 * rounds, "hardly any load: {findings:?}");
    eprintln!(
        "{rounds} kills, {} events acknowledged, {} recorded, the slowest start took {:?}",
        findings.acknowledged, findings.recorded, slowest_start
    );

    eventually(PATIENCE, "the follower has everything", async || {
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
    serving.borrow().expect("a server is there")
}

/// Subscribes to whichever server is there, always from where it was.
async fn follow(
    mut addresses: watch::Receiver<Option<SocketAddr>>,
    events: Arc<Mutex<Vec<RecordedEvent>>>,
) {
    let mut cursor = None;
    while addresses.changed().await.is_ok() {
        let address = addresses.borrow_and_update().expect("only set when there is one");
        // How a connection to a killed server ends is of no interest, only what came before.
        follow_one(address, &mut cursor, &events).await.ok();
    }
}

async fn follow_one(
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

/// A server that answers before it writes has to be caught, or the checker proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answering_before_the_write_is_caught() {
    if !cfg!(debug_assertions) {
        eprintln!("skipped: releases have no fault to switch on");
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
                    eprintln!("caught in round {round}: {lost} acknowledged events are lost");
                    return;
                }
            }
            Err(exit) => panic!("refused with {}:\n{}", exit.status, exit.log),
        }
    }
    panic!("{rounds} rounds of answers before the write, and the checker noticed nothing");
}
