//! SIGTERM with a thousand open streams, and two servers on one directory.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tidings::proto::events::v1::{Durability, SubscribeRequest, subscribe_response::Message};
use tokio::{net::TcpStream, task::JoinSet};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;

use crate::faults::{checker::check, torture::Clients};
use crate::support::harness::{
    Options, PATIENCE, Rng, Server, Subscription, after, assert_refused, connect, earliest,
    endpoint, events_over, ids, large_events, subscribe_to, within,
};

/// The requirement is 5 s on a dedicated machine; tests share two cores with each other.
const DRAIN: Duration = Duration::from_secs(10);

const STREAMS: usize = 1_000;
const STREAMS_PER_CONNECTION: usize = 100;
const STALLED: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_drains_a_thousand_streams() {
    let mut rng = Rng::seeded("drain");
    let dir = TempDir::new().unwrap();
    let data_dir = dir.path().join("data");
    let mut server = Server::start_on(&data_dir, Options::default()).await;
    let mut clients = Clients::new(&mut rng, Durability::Synced);
    clients.create_topics(&server).await;
    server.create("quiet").await;
    server.publish("quiet", crate::support::harness::events("quiet", 3)).await.unwrap();
    server.create("large").await;
    for batch in 0..4 {
        let events = large_events(&format!("large-{batch}"), 30, 100_000);
        server.publish("large", events).await.unwrap();
    }

    // Streams with events to deliver, whose clients read no more than the first message.
    let narrow = endpoint(server.address())
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535);
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut client = events_over(narrow.connect().await.unwrap());
        let request = subscribe_to(["large"], earliest());
        stalled.push(Subscription::open(&mut client, request).await.unwrap());
    }
    let silent = TcpStream::connect(server.address()).await.unwrap();

    let ended = Arc::new(Mutex::new(Vec::new()));
    let mut streams = JoinSet::new();
    for n in 0..STREAMS / STREAMS_PER_CONNECTION {
        let channel = connect(server.address()).await;
        for _ in 0..STREAMS_PER_CONNECTION {
            let request = subscribe_to(["quiet"], earliest());
            let mut subscription =
                Subscription::open(&mut events_over(channel.clone()), request).await.unwrap();
            let ended = ended.clone();
            streams.spawn(async move {
                assert_eq!(subscription.catch_up().await.len(), 3);
                let mut drained = None;
                let status = loop {
                    let message =
                        within(2 * PATIENCE, "the end of a stream", subscription.next_unhurried());
                    match message.await {
                        Ok(Some(Message::Draining(draining))) => drained = Some(draining.cursor),
                        Ok(Some(Message::Heartbeat(_))) => {}
                        Ok(other) => panic!("stream {n}: {other:?}"),
                        Err(status) => break status,
                    }
                };
                assert_refused(&status, Code::Unavailable, "DRAINING");
                assert!(status.get_details_retry_info().is_some(), "without RetryInfo: {status:?}");
                let cursor = drained.expect("a Draining message before the status");
                ended.lock().unwrap().push(cursor);
            });
        }
    }

    let mut health = HealthClient::new(server.channel());
    let request = HealthCheckRequest { service: String::new() };
    let mut health = health.watch(request).await.unwrap().into_inner();
    let serving = within(PATIENCE, "a health status", health.message()).await.unwrap().unwrap();
    assert_eq!(serving.status(), ServingStatus::Serving);

    let address = server.address();
    let drain = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let start = Instant::now();
        server.sigterm();
        let status = within(DRAIN, "NOT_SERVING", health.message()).await.unwrap().unwrap();
        assert_eq!(status.status(), ServingStatus::NotServing);
        let exit = server.exit_within(DRAIN).await;
        eprintln!("drained {STREAMS} streams in {:?}", start.elapsed());
        assert_eq!(exit.code(), Some(0), "{}", exit.log);
    };
    clients.publish_until(address, drain).await;
    server.assert_calm();
    while let Some(result) = within(PATIENCE, "the streams end", streams.join_next()).await {
        result.unwrap();
    }
    drop((stalled, silent));

    let server = Server::start_on(&data_dir, Options::default()).await;
    let findings = check(&server, &clients.ledger).await;
    findings.assert_none();
    assert!(findings.acknowledged > 0);

    let cursors = ended.lock().unwrap().clone();
    assert_eq!(cursors.len(), STREAMS);
    server.publish("quiet", [crate::support::harness::event("after")]).await.unwrap();
    for cursor in cursors.iter().step_by(100) {
        let mut subscription = server.subscribe(subscribe_to(["quiet"], after(cursor))).await;
        assert_eq!(ids(&subscription.take(1).await), ["after"]);
    }
}

#[tokio::test]
async fn a_draining_server_ends_a_stream_that_lags_far() {
    let mut server = Server::start(Options::default()).await;
    server.create("large").await;
    for batch in 0..10 {
        let events = large_events(&format!("large-{batch}"), 30, 100_000);
        server.publish("large", events).await.unwrap();
    }
    let request = SubscribeRequest { max_batch_events: 1, ..subscribe_to(["large"], earliest()) };
    let mut subscription = server.subscribe(request).await;
    let mut seen = subscription.take(1).await.len();
    server.sigterm();
    let status = loop {
        match subscription.next().await {
            Ok(Some(Message::Batch(batch))) => seen += batch.events.len(),
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a status"),
            Err(status) => break status,
        }
    };
    assert_refused(&status, Code::Unavailable, "DRAINING");
    let cursor = subscription.cursor.clone();
    assert_eq!(server.exit_within(DRAIN).await.code(), Some(0));
    let server = server.restart_after_exit().await;
    let mut rest = server.subscribe(subscribe_to(["large"], after(&cursor))).await;
    assert_eq!(seen + rest.catch_up().await.len(), 300);
}

#[tokio::test]
async fn a_second_server_reports_the_process_that_holds_the_directory() {
    let server = Server::start(Options::default()).await;
    let exit = match Server::try_start_on(server.data_dir(), Options::default()).await {
        Ok(_) => panic!("two servers serve one directory"),
        Err(exit) => exit,
    };
    assert_eq!(exit.code(), Some(6), "{}", exit.log);
    assert!(
        exit.log.contains(&server.pid().to_string()),
        "the log does not have the pid of the owner: {}",
        exit.log
    );
    server.create("still-there").await;
    server.publish("still-there", [crate::support::harness::event("a")]).await.unwrap();
}

#[tokio::test]
async fn a_directory_is_free_again_after_a_kill() {
    let server = Server::start(Options::default()).await;
    server.create("kept").await;
    server.publish("kept", [crate::support::harness::event("a")]).await.unwrap();
    let server = server.crash().await;
    let (events, _) =
        server.read(crate::support::harness::read_from(["kept"], None)).await.unwrap();
    assert_eq!(ids(&events), ["a"]);
}
