//! Publish: identity, duplicates, conditions, derived attributes and unchanged attributes.

use prost_types::{ListValue, Struct, Value, value::Kind as JsonKind};
use tidings::proto::events::v1::{
    AttributeValue, Condition, Durability, Event, GetTopicRequest, KeyVersionCondition,
    PublishRequest, PublishResponse, PublishStreamRequest, Topic, TopicEndCondition,
    TrimTopicRequest, UpdateTopicRequest, attribute_value::Attr, condition::Kind, event::Payload,
    publish_stream_response::Outcome, start_position::Position,
};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use crate::support::harness::{
    Options, PATIENCE, Server, assert_refused, at, earliest, event, events, ids, keyed, offsets,
    read_from, subscribe_to, within,
};

async fn start() -> Server {
    let server = Server::start(Options::default()).await;
    server.create("log").await;
    server
}

fn request(events: Vec<Event>) -> PublishRequest {
    PublishRequest { topic: "log".into(), events, ..PublishRequest::default() }
}

async fn publish(server: &Server, request: PublishRequest) -> Result<PublishResponse, Status> {
    server.events().publish(request).await.map(tonic::Response::into_inner)
}

async fn next_offset(server: &Server) -> u64 {
    let request = GetTopicRequest { name: "log".into() };
    let topic = server.topics().get_topic(request).await.unwrap().into_inner().topic.unwrap();
    topic.stats.unwrap().next_offset
}

fn ends_at(next_offset: u64) -> Condition {
    let condition = TopicEndCondition { next_offset: Some(next_offset) };
    Condition { kind: Some(Kind::TopicEnd(condition)) }
}

fn has_version(key: &str, version: u64) -> Condition {
    let condition = KeyVersionCondition { key: key.into(), version: Some(version) };
    Condition { kind: Some(Kind::KeyVersion(condition)) }
}

#[tokio::test]
async fn an_event_published_twice_is_one_event() {
    let server = start().await;
    let first = server.publish("log", events("e", 3)).await.unwrap().results;
    assert!(
        first.iter().all(|result| !result.duplicate && result.durability() == Durability::Synced)
    );
    let offsets: Vec<u64> = first.iter().map(|result| result.offset).collect();
    assert_eq!(offsets, [0, 1, 2]);

    let mut server = server;
    for round in 0..3 {
        let again = server.publish("log", events("e", 3)).await.unwrap().results;
        for (first, again) in first.iter().zip(&again) {
            assert!(again.duplicate, "round {round}");
            assert_eq!((again.offset, again.position), (first.offset, first.position));
            assert_eq!(
                (again.key_version, again.append_time),
                (first.key_version, first.append_time)
            );
        }
        assert_eq!(next_offset(&server).await, 3);
        server = if round == 0 { server.restart().await } else { server.crash().await };
    }
    // Only the new events of a batch are appended; an event that occurs twice in a batch is
    // appended once.
    let mixed = vec![event("new"), event("e-1"), event("new"), event("newer")];
    let results = server.publish("log", mixed).await.unwrap().results;
    let placements: Vec<(u64, bool)> =
        results.iter().map(|result| (result.offset, result.duplicate)).collect();
    assert_eq!(placements, [(3, false), (1, true), (3, true), (4, false)]);
    assert_eq!(next_offset(&server).await, 5);
}

#[tokio::test]
async fn identity_is_per_topic_and_source_and_ends_with_retention() {
    let server = start().await;
    server.create("other").await;
    server.publish("log", [event("same")]).await.unwrap();
    assert!(!server.publish("other", [event("same")]).await.unwrap().results[0].duplicate);
    let elsewhere = Event { source: "elsewhere".into(), ..event("same") };
    assert!(!server.publish("log", [elsewhere]).await.unwrap().results[0].duplicate);

    server.publish("log", [keyed("with a key", "k")]).await.unwrap();
    let before = at(Position::Offset(3));
    let trim = TrimTopicRequest { name: "log".into(), before, validate_only: false };
    server.topics().trim_topic(trim).await.unwrap();
    let result = server.publish("log", [event("same")]).await.unwrap().results.remove(0);
    assert_eq!((result.duplicate, result.offset), (false, 3));
    // The last row of a key survives the trim.
    let result = server.publish("log", [keyed("its second", "k")]).await.unwrap().results.remove(0);
    assert_eq!(result.key_version, 2);
    let server = server.crash().await;
    let result = server.publish("log", [keyed("its third", "k")]).await.unwrap().results.remove(0);
    assert_eq!(result.key_version, 3);
}

#[tokio::test]
async fn conditions_are_checked_before_the_batch_and_after_duplicates() {
    let server = start().await;
    let first = PublishRequest {
        conditions: vec![ends_at(0), has_version("k", 0)],
        ..request(vec![keyed("a", "k"), keyed("b", "k")])
    };
    let published = publish(&server, first.clone()).await.unwrap();
    assert_eq!(published.results[1].key_version, 2);
    // A retry of the successful request returns OK with the first placement, although the condition
    // no longer holds.
    let again = publish(&server, first).await.unwrap();
    assert!(again.results.iter().all(|result| result.duplicate));
    // With one new event, the conditions are checked.
    let stale = PublishRequest {
        conditions: vec![has_version("k", 0)],
        ..request(vec![keyed("a", "k"), keyed("c", "k")])
    };
    let status = publish(&server, stale).await.unwrap_err();
    assert_refused(&status, Code::Aborted, "KEY_VERSION_MISMATCH");
    assert_eq!(next_offset(&server).await, 2, "all or nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_publishers_expecting_the_same_version_succeeds() {
    let server = start().await;
    for version in 0..30 {
        let mut racing = tokio::task::JoinSet::new();
        for racer in 0..8 {
            let mut client = server.events();
            let request = PublishRequest {
                conditions: vec![has_version("contended", version)],
                ..request(vec![keyed(format!("{version}-{racer}"), "contended")])
            };
            racing.spawn(async move { client.publish(request).await });
        }
        let mut accepted = 0;
        for result in racing.join_all().await {
            match result {
                Ok(_) => accepted += 1,
                Err(status) => assert_refused(&status, Code::Aborted, "KEY_VERSION_MISMATCH"),
            }
        }
        assert_eq!(accepted, 1, "at version {version}");
    }
}

#[tokio::test]
async fn validate_only_returns_results_and_writes_nothing() {
    let server = start().await;
    let dry = PublishRequest { validate_only: true, ..request(events("e", 3)) };
    let response = publish(&server, dry.clone()).await.unwrap();
    assert_eq!(response.results.len(), 3);
    assert_eq!(next_offset(&server).await, 0);
    let stale = PublishRequest { conditions: vec![ends_at(5)], ..dry };
    let status = publish(&server, stale).await.unwrap_err();
    assert_refused(&status, Code::Aborted, "TOPIC_END_MISMATCH");
    let results = server.publish("log", events("e", 3)).await.unwrap().results;
    assert!(results.iter().all(|result| !result.duplicate));
}

#[tokio::test]
async fn buffered_durability_is_reported_and_a_synced_duplicate_syncs_it() {
    let server = start().await;
    let durability = Durability::Buffered.into();
    let buffered = PublishRequest { durability, ..request(vec![event("a")]) };
    let result = publish(&server, buffered).await.unwrap().results.remove(0);
    assert_eq!(result.durability(), Durability::Buffered);
    let mut subscription = server.subscribe(subscribe_to(["log"], earliest())).await;
    assert_eq!(ids(&subscription.take(1).await), ["a"]);
    let result = publish(&server, request(vec![event("a")])).await.unwrap().results.remove(0);
    assert_eq!((result.duplicate, result.durability()), (true, Durability::Synced));
}

#[tokio::test]
async fn attributes_of_the_map_are_lifted_into_their_fields() {
    let server = start().await;
    let text = |text: &str| AttributeValue { attr: Some(Attr::CeString(text.into())) };
    let attributes = [
        ("subject".into(), text("order-1")),
        ("partitionkey".into(), text("customer-7")),
        ("datacontenttype".into(), text("text/plain")),
        ("tenant".into(), text("blue")),
        ("priority".into(), AttributeValue { attr: Some(Attr::CeInteger(3)) }),
    ];
    let mapped = Event { attributes: attributes.into(), ..event("lifted") };
    server.publish("log", [mapped.clone()]).await.unwrap();
    let fields = Event {
        subject: "order-1".into(),
        partitionkey: "customer-7".into(),
        datacontenttype: "text/plain".into(),
        extensions: [("tenant".into(), "blue".into())].into(),
        attributes: [("priority".into(), AttributeValue { attr: Some(Attr::CeInteger(3)) })].into(),
        ..event("lifted")
    };
    let (read, _) = server.read(read_from(["log"], None)).await.unwrap();
    assert_eq!(read[0].key, "customer-7");
    let recorded = Event { spec_version: "1.0".into(), ..fields.clone() };
    assert_eq!(read[0].event, Some(recorded));
    // Both forms have the same content.
    let results = server.publish("log", [mapped, fields]).await.unwrap().results;
    assert!(results.iter().all(|result| result.duplicate));
}

#[tokio::test]
async fn structured_json_data_is_recorded_as_json_text() {
    let server = start().await;
    let json = |kind| Value { kind: Some(kind) };
    let list = vec![json(JsonKind::NumberValue(1.5)), json(JsonKind::NullValue(0))];
    let list = json(JsonKind::ListValue(ListValue { values: list }));
    let object = Struct { fields: [("list".into(), list)].into_iter().collect() };
    let data = Event {
        payload: Some(Payload::Data(json(JsonKind::StructValue(object)))),
        ..event("by-hand")
    };
    server.publish("log", [data]).await.unwrap();
    let (read, _) = server.read(read_from(["log"], None)).await.unwrap();
    let recorded = read[0].event.clone().unwrap();
    assert_eq!(recorded.datacontenttype, "application/json");
    let Some(Payload::TextData(text)) = recorded.payload else { panic!("{recorded:?}") };
    let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(parsed, serde_json::json!({ "list": [1.5, null] }));
}

#[tokio::test]
async fn a_publish_stream_answers_each_request_and_continues_after_a_refused_one() {
    let server = start().await;
    let requests = (0..500_u64).map(|sequence| {
        let broken = sequence % 10 == 3;
        let topic = if broken { "lgo" } else { "log" };
        let events = vec![event(format!("e-{sequence}"))];
        let publish = PublishRequest { topic: topic.into(), events, ..PublishRequest::default() };
        PublishStreamRequest { sequence, publish: Some(publish) }
    });
    let outcomes = server.events().publish_stream(tokio_stream::iter(requests)).await.unwrap();
    let outcomes =
        within(PATIENCE, "all outcomes", outcomes.into_inner().collect::<Vec<_>>()).await;
    let mut sequences = Vec::new();
    for outcome in outcomes {
        let outcome = outcome.unwrap();
        let refused = matches!(outcome.outcome, Some(Outcome::Error(_)));
        assert_eq!(refused, outcome.sequence % 10 == 3, "{outcome:?}");
        sequences.push(outcome.sequence);
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (0..500).collect::<Vec<_>>());
    let (read, _) = server.read(read_from(["log"], None)).await.unwrap();
    let sent: Vec<String> = (0..500).filter(|n| n % 10 != 3).map(|n| format!("e-{n}")).collect();
    assert_eq!(ids(&read), sent, "in the order in which they were sent");
}

#[tokio::test]
async fn recorded_events_stay_duplicates_when_the_topic_config_changes() {
    let server = start().await;
    server.publish("log", [event("early")]).await.unwrap();
    let topic = Topic {
        name: "log".into(),
        allowed_types: vec!["shop.*".into()],
        max_event_bytes: 1,
        ..Topic::default()
    };
    let update = UpdateTopicRequest { topic: Some(topic), update_mask: None };
    server.topics().update_topic(update).await.unwrap();
    assert!(server.publish("log", [event("early")]).await.unwrap().results[0].duplicate);
    let other = Event { subject: "other".into(), ..event("early") };
    let status = server.publish("log", [other]).await.unwrap_err();
    assert_refused(&status, Code::AlreadyExists, "EVENT_ID_CONFLICT");
    let status = server.publish("log", [event("late")]).await.unwrap_err();
    assert!(
        matches!(status.code(), Code::FailedPrecondition | Code::InvalidArgument),
        "neither its type nor its size is allowed: {status:?}"
    );
}

#[tokio::test]
async fn publishing_creates_topics_with_auto_create_topics() {
    let server = Server::start(Options::args(["--auto-create-topics"])).await;
    let result = server.publish("made.by.publishing", [event("a")]).await.unwrap();
    assert_eq!(result.results[0].offset, 0);
    let server = server.crash().await;
    let (read, _) = server.read(read_from(["made.by.publishing"], None)).await.unwrap();
    assert_eq!((ids(&read), offsets(&read)), (vec!["a"], vec![0]));
    let status = server.publish("_own", [event("a")]).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "INVALID_NAME");
}

#[tokio::test]
async fn a_full_disk_refuses_publishes_and_keeps_serving_reads() {
    let server = start().await;
    server.publish("log", events("e", 3)).await.unwrap();
    let full = Options::args(["--disk-reserve-bytes", "1000TiB"]);
    let dir = server.data_dir().to_owned();
    let mut server = server;
    server.kill9();
    let full = Server::start_on(&dir, full).await;
    let status = full.publish("log", [event("no room")]).await.unwrap_err();
    assert_refused(&status, Code::ResourceExhausted, "STORAGE_FULL");
    let retry = tonic_types::StatusExt::get_details_retry_info(&status);
    assert!(retry.is_some(), "no retry delay in {status:?}");
    let (read, _) = full.read(read_from(["log"], None)).await.unwrap();
    assert_eq!(offsets(&read), [0, 1, 2]);
    drop(full);
    let server = server.restart_after_exit().await;
    server.publish("log", [event("room again")]).await.unwrap();
}
