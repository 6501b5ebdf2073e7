//! CEL filters over attributes and payloads. Every test runs with an embedded and with a remote
//! registry.

use std::time::{Duration, Instant};

use tidings::proto::events::v1::{
    Event, Filter, FilterSet, ReadRequest, RecordedEvent, SchemaEnforcement, SubscribeRequest,
    event::Payload, filter::Dialect, subscribe_response::Message,
};
use tidings_registry::proto::v1::SchemaFormat;

use crate::support::{
    harness::{earliest, event, ids, latest, read_from, subscribe_to, within},
    registry_pair::{Pair, both, data, draft},
};

both! {
    subscriptions_and_reads_are_filtered
    payloads_of_all_formats_are_filtered
    hostile_expressions_do_not_stall_other_streams
    times_of_payloads_reach_from_year_1_to_year_9999
}

fn cel(text: &str) -> Filter {
    Filter { dialect: Some(Dialect::Cel(text.into())) }
}

fn order(id: &str, total: i64) -> Event {
    Event {
        source: "https://shop.example".into(),
        datacontenttype: "application/json".into(),
        payload: Some(Payload::TextData(format!(r#"{{"id": "{id}", "total": {total}}}"#))),
        ..event(id)
    }
}

fn read(filters: Vec<Filter>) -> ReadRequest {
    ReadRequest { filters, ..read_from(["orders"], earliest()) }
}

async fn matching(pair: &Pair, filter: Filter) -> Vec<RecordedEvent> {
    pair.server.read(read(vec![filter])).await.unwrap().0
}

async fn subscriptions_and_reads_are_filtered(pair: Pair) {
    pair.topic("orders", SchemaEnforcement::IfRegistered).await;
    let large = 9_007_199_254_740_993;
    let orders = [order("a", 50), order("b", 150), event("c"), order("d", large)];
    pair.server.publish("orders", orders).await.unwrap();
    let wanted = "data.total > 100 && event.source.startsWith('https://shop')";
    assert_eq!(ids(&matching(&pair, cel(wanted)).await), ["b", "d"]);
    assert_eq!(ids(&matching(&pair, cel("data.total == 9007199254740993")).await), ["d"]);
    assert_eq!(ids(&matching(&pair, cel("data.total == 9007199254740992")).await), [""; 0]);
    assert_eq!(ids(&matching(&pair, cel("!has(data.total)")).await), ["c"]);

    // An expression without a result does not match, and its negation does.
    let not = |filter| Filter { dialect: Some(Dialect::Not(Box::new(filter))) };
    let set = |filters| FilterSet { filters };
    assert_eq!(ids(&matching(&pair, not(cel("data.total > 100"))).await), ["a", "c"]);
    let any = Dialect::Any(set(vec![cel("event.id == 'a'"), cel("data.total > 1000")]));
    assert_eq!(ids(&matching(&pair, Filter { dialect: Some(any) }).await), ["a", "d"]);
    let all = Dialect::All(set(vec![cel("data.total > 100"), not(cel("event.id == 'd'"))]));
    assert_eq!(ids(&matching(&pair, Filter { dialect: Some(all) }).await), ["b"]);

    // The stream catches up from the disk or the tail, and is live then.
    let request =
        SubscribeRequest { filters: vec![cel(wanted)], ..subscribe_to(["orders"], earliest()) };
    let mut stream = pair.server.subscribe(request).await;
    assert_eq!(ids(&stream.catch_up().await), ["b", "d"]);
    let request =
        SubscribeRequest { filters: vec![cel(wanted)], ..subscribe_to(["orders"], latest()) };
    let mut live = pair.server.subscribe(request).await;
    assert_eq!(ids(&live.catch_up().await), [""; 0]);
    pair.server.publish("orders", [order("e", 1), order("f", 101)]).await.unwrap();
    assert_eq!(ids(&stream.take(1).await), ["f"]);
    assert_eq!(ids(&live.take(1).await), ["f"]);
    pair.assert_calm();
}

async fn payloads_of_all_formats_are_filtered(pair: Pair) {
    const PROTO: &str = r#"syntax = "proto3"; package shop;
        message Order { string id = 1; int64 total = 2; double price = 3; repeated string tags = 4; State state = 5; }
        enum State { OPEN = 0; PAID = 1; }"#;
    const AVRO: &str = r#"{"type": "record", "name": "Bill", "fields": [
        {"name": "id", "type": "string"}, {"name": "total", "type": "long"},
        {"name": "note", "type": ["null", "string"]}]}"#;
    const JSON: &str = r#"{"type": "object", "properties": {"total": {"type": "integer"}}}"#;
    pair.register(draft("shop.Order", SchemaFormat::Protobuf, PROTO)).await;
    pair.register(draft("Bill", SchemaFormat::Avro, AVRO)).await;
    pair.register(draft("Note", SchemaFormat::Json, JSON)).await;
    pair.topic("orders", SchemaEnforcement::IfRegistered).await;
    let typed = |id: &str, of: &str, json: serde_json::Value| Event {
        r#type: of.into(),
        payload: data(json),
        ..event(id)
    };
    let text = |id: &str, of: &str, json: &str| Event {
        r#type: of.into(),
        datacontenttype: "application/json".into(),
        payload: Some(Payload::TextData(json.into())),
        ..event(id)
    };
    let large =
        r#"{"id": "x", "total": "9007199254740993", "price": 2.0, "tags": ["a"], "state": "PAID"}"#;
    let events = [
        typed("p0", "shop.Order", serde_json::json!({"id": "x"})),
        text("p1", "shop.Order", large),
        text("a0", "Bill", r#"{"id": "x", "total": 9007199254740993, "note": {"string": "n"}}"#),
        text("a1", "Bill", r#"{"id": "x", "total": 0, "note": null}"#),
        text("j0", "Note", r#"{"total": 9007199254740993}"#),
        Event { payload: Some(Payload::BinaryData(vec![1, 2, 3].into())), ..event("none") },
    ];
    pair.server.publish("orders", events).await.unwrap();
    for (text, expected) in [
        ("data.total == 9007199254740993", &["p1", "a0", "j0"][..]),
        ("data.total == 0", &["p0", "a1"]),
        ("data.price * 1.5 == 3.0 && 'a' in data.tags && data.state == 'PAID'", &["p1"]),
        ("data.tags.size() == 0 && data.state == 'OPEN'", &["p0"]),
        ("data.note == 'n'", &["a0"]),
        ("data.note == null", &["a1"]),
        ("has(data.id)", &["p0", "p1", "a0", "a1"]),
        ("event.type == 'Bill' || !has(data.total)", &["a0", "a1", "none"]),
    ] {
        assert_eq!(ids(&matching(&pair, cel(text)).await), expected, "{text}");
    }
    pair.assert_calm();
}

async fn times_of_payloads_reach_from_year_1_to_year_9999(pair: Pair) {
    const LEASE: &str = r#"syntax = "proto3"; package shop; import "google/protobuf/timestamp.proto";
        message Lease { google.protobuf.Timestamp until = 1; }"#;
    pair.register(draft("shop.Lease", SchemaFormat::Protobuf, LEASE)).await;
    pair.topic("orders", SchemaEnforcement::IfRegistered).await;
    let end = "9999-12-31T23:59:59.999999999Z";
    let json = |id: &str, until: &str| Event {
        datacontenttype: "application/json".into(),
        payload: Some(Payload::TextData(format!(r#"{{"until": {until}}}"#))),
        ..event(id)
    };
    let lease = serde_json::json!({ "until": end });
    let events = [
        json("end", &format!("\"{end}\"")),
        json("begin", "\"0001-01-01T00:00:00Z\""),
        json("year-0", "\"0000-12-31T23:59:59Z\""),
        json("second", "-62135596801"),
        Event { r#type: "shop.Lease".into(), payload: data(lease), ..event("lease") },
        Event {
            time: Some(prost_types::Timestamp { seconds: 253_402_300_799, nanos: 999_999_999 }),
            ..event("time")
        },
    ];
    pair.server.publish("orders", events).await.unwrap();
    for (text, expected) in [
        ("timestamp(data.until) > timestamp('2026-01-01T00:00:00Z')", &["end", "lease"][..]),
        ("timestamp(data.until) < timestamp('2026-01-01T00:00:00Z')", &["begin"]),
        ("timestamp(data.until) - duration('1s') < timestamp('2026-01-01T00:00:00Z')", &[]),
        ("timestamp(data.until) + duration('1ns') > timestamp('2026-01-01T00:00:00Z')", &[]),
        ("event.time == timestamp('9999-12-31T23:59:59.999999999Z')", &["time"]),
        ("data.`until` == '0001-01-01T00:00:00Z' || 1", &["begin"]),
    ] {
        assert_eq!(ids(&matching(&pair, cel(text)).await), expected, "{text}");
    }
    pair.assert_calm();
}

async fn hostile_expressions_do_not_stall_other_streams(pair: Pair) {
    pair.topic("orders", SchemaEnforcement::IfRegistered).await;
    let numbers: Vec<String> = (0..2_000).map(|number| number.to_string()).collect();
    let heavy = |id: String| Event {
        datacontenttype: "application/json".into(),
        payload: Some(Payload::TextData(format!(r#"{{"a": [{}]}}"#, numbers.join(",")))),
        ..event(id)
    };
    for batch in 0..8 {
        let events: Vec<_> = (0..50).map(|at| heavy(format!("{batch}-{at}"))).collect();
        pair.server.publish("orders", events).await.unwrap();
    }
    let hostile = "data.a.all(x, data.a.all(y, data.a.all(z, x + y + z >= 0)))";
    let started = Instant::now();
    let streams = (0..4).map(|_| {
        let request = SubscribeRequest {
            filters: vec![cel(hostile)],
            ..subscribe_to(["orders"], earliest())
        };
        pair.server.subscribe(request)
    });
    let mut streams = futures_util::future::join_all(streams).await;
    // While these streams evaluate, another stream receives its events without delay.
    let mut live = pair.server.subscribe(subscribe_to(["orders"], latest())).await;
    live.catch_up().await;
    let mut slowest = Duration::ZERO;
    for at in 0..20 {
        let sent = Instant::now();
        pair.server.publish("orders", [event(format!("live-{at}"))]).await.unwrap();
        live.take(1).await;
        slowest = slowest.max(sent.elapsed());
    }
    for stream in &mut streams {
        let caught_up = async {
            while !matches!(stream.next_unhurried().await.unwrap().unwrap(), Message::CaughtUp(_)) {
            }
        };
        within(Duration::from_secs(60), "a stream that catches up", caught_up).await;
    }
    let elapsed = started.elapsed();
    println!("live {slowest:?} at most, caught up after {elapsed:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    pair.assert_calm();
}
