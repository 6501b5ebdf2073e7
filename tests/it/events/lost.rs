//! Events lost to trims, retention and deletion are reported to the readers that requested them,
//! and to no other reader.

use tidings::proto::events::v1::{
    DeleteTopicRequest, GapReason, GetTopicRequest, Retention, SubscribeRequest, Topic,
    TrimTopicRequest, start_position::Position, subscribe_response::Message,
};
use tonic::Code;

use crate::support::harness::{
    Options, PATIENCE, Server, Subscription, after, assert_refused, at, at_or_earliest, earliest,
    endpoint, event, events, events_over, eventually, ids, large_events, latest, metadata, offsets,
    read_from, subscribe_to,
};

async fn start() -> Server {
    Server::start(Options::default()).await
}

async fn trim(server: &Server, topic: &str, before: u64) {
    let request = TrimTopicRequest {
        name: topic.into(),
        before: at(Position::Offset(before)),
        validate_only: false,
    };
    server.topics().trim_topic(request).await.unwrap();
}

async fn delete(server: &Server, topic: &str) {
    let request = DeleteTopicRequest { name: topic.into(), etag: String::new() };
    server.topics().delete_topic(request).await.unwrap();
}

#[tokio::test]
async fn trimmed_events_are_reported() {
    let server = start().await;
    server.create("trimmed").await;
    server.publish("trimmed", events("e", 20)).await.unwrap();
    let mut before = server.subscribe(subscribe_to(["trimmed"], earliest())).await;
    let all = before.catch_up().await;
    trim(&server, "trimmed", 8).await;

    // A start at the earliest event begins at the first retained one and reports no gap.
    let mut subscription = server.subscribe(subscribe_to(["trimmed"], earliest())).await;
    assert_eq!(offsets(&subscription.catch_up().await), (8..20).collect::<Vec<_>>());

    for start in [Position::Offset(3), Position::Cursor(all[3].cursor.clone())] {
        let refused = server.try_subscribe(subscribe_to(["trimmed"], at(start.clone()))).await;
        let status = refused.err().expect("refused");
        assert_refused(&status, Code::OutOfRange, "POSITION_LOST");
        let cursor = metadata(&status)["earliest_cursor"].clone();
        let mut rest = server.subscribe(subscribe_to(["trimmed"], after(&cursor))).await;
        assert_eq!(offsets(&rest.catch_up().await), (8..20).collect::<Vec<_>>());

        let first_lost = if let Position::Offset(offset) = start { offset } else { 4 };
        let request = subscribe_to(["trimmed"], at_or_earliest(start));
        let mut subscription = server.subscribe(request).await;
        let Message::Gap(gap) = subscription.expect().await else { panic!("no gap") };
        let reported = (gap.topic.as_str(), gap.first_offset, gap.next_offset, gap.reason());
        assert_eq!(reported, ("trimmed", first_lost, 8, GapReason::Retention));
        assert_eq!(offsets(&subscription.catch_up().await), (8..20).collect::<Vec<_>>());
        let mut rest = server.subscribe(subscribe_to(["trimmed"], after(&gap.cursor))).await;
        assert_eq!(rest.catch_up().await.len(), 12, "a gap's cursor resumes after the gap");
    }
    // A reader that had read the trimmed events has lost none.
    for event in &all[7..] {
        let mut rest = server.subscribe(subscribe_to(["trimmed"], after(&event.cursor))).await;
        assert_eq!(rest.catch_up().await.len() as u64, 19 - event.offset);
    }
    // A cursor from another topic starts at that topic's position, which is after the trimmed
    // events: no event of this topic is lost.
    server.create("other").await;
    let other = server.publish("other", [event("o")]).await.unwrap().results.remove(0);
    let mut both = server.subscribe(subscribe_to(["trimmed", "other"], after(&other.cursor))).await;
    assert!(both.catch_up().await.is_empty());

    trim(&server, "trimmed", 20).await;
    let mut subscription = server.subscribe(subscribe_to(["trimmed"], earliest())).await;
    assert!(subscription.catch_up().await.is_empty());
    server.publish("trimmed", [event("behind the trim")]).await.unwrap();
    assert_eq!(offsets(&subscription.take(1).await), [20]);
    let server = server.crash().await;
    let (read, _) = server.read(read_from(["trimmed"], earliest())).await.unwrap();
    assert_eq!(offsets(&read), [20]);
}

/// The client reads so slowly that a trim overtakes its stream.
#[tokio::test]
async fn a_trim_that_overtakes_an_open_stream_is_a_gap() {
    let server = start().await;
    server.create("overtaken").await;
    for batch in 0..10 {
        let events = large_events(&format!("batch-{batch}"), 30, 100_000);
        server.publish("overtaken", events).await.unwrap();
    }
    let narrow = endpoint(server.address())
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535);
    let mut client = events_over(narrow.connect().await.unwrap());
    let request =
        SubscribeRequest { max_batch_events: 1, ..subscribe_to(["overtaken"], earliest()) };
    let mut subscription = Subscription::open(&mut client, request).await.unwrap();
    assert_eq!(offsets(&subscription.take(1).await), [0]);
    trim(&server, "overtaken", 290).await;

    let mut next = 1;
    let mut gaps = 0;
    while next < 300 {
        match subscription.expect().await {
            Message::Batch(batch) => {
                for event in batch.events {
                    assert_eq!(event.offset, next);
                    next += 1;
                }
            }
            Message::Gap(gap) => {
                assert_eq!((gap.first_offset, gap.next_offset), (next, 290));
                assert_eq!(gap.reason(), GapReason::Retention);
                next = 290;
                gaps += 1;
            }
            _ => {}
        }
    }
    assert_eq!(gaps, 1);
}

#[tokio::test]
async fn retention_removes_the_oldest_events_and_reports_them() {
    let server = Server::start(Options::args(["--retention-interval", "100ms"])).await;
    let one_second = prost_types::Duration { seconds: 1, nanos: 0 };
    let bounds = [
        ("by-count", Retention { max_events: 5, ..Retention::default() }),
        ("by-bytes", Retention { max_bytes: 60_000, ..Retention::default() }),
        ("by-age", Retention { max_age: Some(one_second), ..Retention::default() }),
    ];
    for (name, retention) in bounds {
        let topic = Topic { name: name.into(), retention: Some(retention), ..Topic::default() };
        server.create_with(topic).await;
        server.publish(name, large_events("e", 20, 10_000)).await.unwrap();
        let first = eventually(PATIENCE, name, async || {
            let request = GetTopicRequest { name: name.into() };
            let topic = server.topics().get_topic(request).await.unwrap().into_inner().topic;
            let stats = topic.unwrap().stats.unwrap();
            assert_eq!(stats.next_offset, 20);
            let kept = 20 - stats.first_offset;
            let done = match name {
                "by-count" => kept == 5,
                "by-bytes" => (4..=5).contains(&kept),
                _ => kept == 0,
            };
            done.then_some(stats.first_offset)
        })
        .await;
        let (kept, _) = server.read(read_from([name], earliest())).await.unwrap();
        assert_eq!(offsets(&kept), (first..20).collect::<Vec<_>>(), "{name}");
        let refused = server.try_subscribe(subscribe_to([name], at(Position::Offset(0)))).await;
        let status = refused.err().expect("refused");
        assert_refused(&status, Code::OutOfRange, "POSITION_LOST");
    }
}

#[tokio::test]
async fn a_deleted_topic_leaves_patterns_and_can_be_created_again() {
    let server = start().await;
    server.create("gone.a").await;
    server.create("gone.b").await;
    server.publish("gone.a", events("first", 3)).await.unwrap();
    let mut pattern = server.subscribe(subscribe_to(["gone.*"], earliest())).await;
    assert_eq!(pattern.catch_up().await.len(), 3);
    let mut named = server.subscribe(subscribe_to(["gone.a", "gone.b"], latest())).await;
    delete(&server, "gone.a").await;
    assert_refused(&named.end().await, Code::NotFound, "TOPIC_NOT_FOUND");

    server.publish("gone.b", [event("still")]).await.unwrap();
    assert_eq!(ids(&pattern.take(1).await), ["still"]);
    server.create("gone.a").await;
    let response = server.publish("gone.a", [event("first-0")]).await.unwrap();
    assert!(!response.results[0].duplicate, "the identities were deleted with the topic");
    assert_eq!(response.results[0].offset, 0);
    let new = pattern.take(1).await;
    assert_eq!((ids(&new), offsets(&new)), (vec!["first-0"], vec![0]));
    let server = server.crash().await;
    let (read, _) = server.read(read_from(["gone.a"], None)).await.unwrap();
    assert_eq!(ids(&read), ["first-0"]);
}

#[tokio::test]
async fn events_deleted_with_a_topic_that_was_created_again_are_reported() {
    let server = start().await;
    server.create("again.a").await;
    server.create("again.b").await;
    server.publish("again.a", events("old", 4)).await.unwrap();
    let mut stream = server.subscribe(subscribe_to(["again.*"], earliest())).await;
    let old = stream.catch_up().await;
    delete(&server, "again.a").await;
    // A topic without events loses none, and does not hide the loss of the topic before it.
    for _ in 0..2 {
        server.create("again.a").await;
        delete(&server, "again.a").await;
    }
    server.create("again.a").await;
    server.publish("again.a", events("new", 2)).await.unwrap();

    // By name and by pattern, before and after a restart.
    let mut server = server;
    for _ in 0..2 {
        for topics in ["again.a", "again.*"] {
            for seen in &old[..3] {
                let start = Position::Cursor(seen.cursor.clone());
                let refused = server.try_subscribe(subscribe_to([topics], at(start.clone()))).await;
                let status = refused.err().expect("refused");
                assert_refused(&status, Code::OutOfRange, "POSITION_LOST");
                assert!(status.message().contains("deleted and created again"), "{status:?}");
                let request = subscribe_to([topics], at_or_earliest(start));
                let mut stream = server.subscribe(request).await;
                let Message::Gap(gap) = stream.expect().await else { panic!("no gap") };
                let lost = (gap.topic.as_str(), gap.first_offset, gap.next_offset, gap.reason());
                assert_eq!(lost, ("again.a", 0, 4, GapReason::TopicDeleted));
                assert_eq!(ids(&stream.catch_up().await), ["new-0", "new-1"]);
                let mut rest = server.subscribe(subscribe_to([topics], after(&gap.cursor))).await;
                assert_eq!(ids(&rest.catch_up().await), ["new-0", "new-1"]);
            }
            // A reader of all events of the deleted topic has lost none.
            let mut rest = server.subscribe(subscribe_to([topics], after(&old[3].cursor))).await;
            assert_eq!(ids(&rest.catch_up().await), ["new-0", "new-1"]);
        }
        // No event of another topic is lost.
        let mut other = server.subscribe(subscribe_to(["again.b"], after(&old[0].cursor))).await;
        assert!(other.catch_up().await.is_empty());
        server = server.restart().await;
    }
}
