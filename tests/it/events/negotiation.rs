//! Negotiation: a reader names the versions that it accepts, and receives events in those versions
//! only. Every test runs with an embedded and with a remote registry.

use prost_types::Any;
use tidings::proto::events::v1::{
    AcceptedSchema, Event, GapReason, ReadRequest, RecordedEvent, SchemaMismatchPolicy as Policy,
    SchemaSelection, SubscribeRequest, event::Payload, subscribe_response::Message,
};
use tidings_registry::proto::v1::{
    Consumer, ListConsumersRequest, RegisterSchemaRequest, SchemaDraft, SchemaFormat,
    SetVersionStateRequest, VersionState,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    harness::{
        PATIENCE, after, assert_refused, earliest, eventually, metadata, offsets, read_from,
        subscribe_to,
    },
    registry_pair::{Pair, both, data, draft},
};

both! {
    a_stream_reports_the_versions_it_delivers
    unsatisfiable_requirements_are_refused_on_subscribe
    json_is_converted_up_and_down
    protobuf_and_avro_are_converted
    unconvertible_events_follow_the_mismatch_policy
    a_new_version_is_announced_before_its_events
    reads_negotiate_versions
    a_named_consumer_is_listed
    readers_continue_while_a_producer_moves_to_new_versions
}

fn selection(accept: &[(&str, &str)], on_mismatch: Policy) -> Option<SchemaSelection> {
    let accept = accept
        .iter()
        .map(|(of, version)| AcceptedSchema { r#type: (*of).into(), version: (*version).into() });
    Some(SchemaSelection { accept: accept.collect(), on_mismatch: on_mismatch.into() })
}

fn subscribe(accept: &[(&str, &str)], on_mismatch: Policy) -> SubscribeRequest {
    SubscribeRequest {
        schema: selection(accept, on_mismatch),
        ..subscribe_to(["orders"], earliest())
    }
}

/// A schema of a closed object with this many properties, of which `required` names the required
/// ones.
fn closed(properties: usize, required: &str) -> SchemaDraft {
    let properties: Vec<String> = (0..properties)
        .map(|at| format!(r#""p{at}": {{"type": "integer", "default": {at}}}"#))
        .collect();
    draft(
        "order",
        SchemaFormat::Json,
        &format!(
            r#"{{"type": "object", "properties": {{{}}}, "required": [{required}], "additionalProperties": false}}"#,
            properties.join(",")
        ),
    )
}

fn order(id: &str, version: &str, json: serde_json::Value) -> Event {
    Event {
        id: id.into(),
        source: "/shop".into(),
        r#type: "order".into(),
        schemaversion: version.into(),
        payload: data(json),
        ..Event::default()
    }
}

fn json_of(event: &RecordedEvent) -> serde_json::Value {
    match event.event.as_ref().unwrap().payload.as_ref().unwrap() {
        Payload::TextData(text) => serde_json::from_str(text).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Writer version, delivered version, and whether the payload was converted.
fn resolution(event: &RecordedEvent) -> (&str, &str, bool) {
    let schema = event.schema.as_ref().unwrap();
    (&schema.writer_version, &schema.delivered_version, schema.converted)
}

async fn a_stream_reports_the_versions_it_delivers(pair: Pair) {
    let open = |text: &str| draft("order", SchemaFormat::Json, text);
    pair.register(open(r#"{"type": "object", "properties": {"a": {"type": "integer"}}}"#)).await;
    let second =
        r#"{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}"#;
    assert_eq!(pair.register(open(second)).await, "1.1.0");
    let major = SchemaDraft { version: "2.0.0".into(), ..open(r#"{"type": "string"}"#) };
    pair.register(major).await;
    let invoice = draft("invoice", SchemaFormat::Json, "{}");
    pair.register(SchemaDraft { subject: "invoice".into(), ..invoice }).await;
    pair.server.create("orders").await;

    let accept = [("order", "^1.0"), ("inv*", "*"), ("nothing.*", "^1")];
    let subscription = pair.server.subscribe(subscribe(&accept, Policy::Fail)).await;
    let schemas = &subscription.started.schemas;
    let summaries: Vec<_> = schemas
        .iter()
        .map(|schema| {
            (schema.r#type.as_str(), schema.requirement.as_str(), schema.version.as_str())
        })
        .collect();
    assert_eq!(summaries, [("order", "^1.0", "1.1.0"), ("invoice", "*", "1.0.0")]);
    assert_eq!(schemas[0].written_versions, ["1.1.0"]);
    assert_eq!(schemas[0].deprecation, "");
    let subscription =
        pair.server.subscribe(subscribe(&[("order", ">=1, <3")], Policy::Deliver)).await;
    assert_eq!(subscription.started.schemas[0].version, "2.0.0");
    assert_eq!(subscription.started.schemas[0].written_versions, ["1.0.0", "1.1.0", "2.0.0"]);

    // A deprecated version is chosen only if no active version satisfies the requirement, and the
    // deprecation is reported.
    pair.state("order", "1.1.0", VersionState::Deprecated, "2.0 is out").await;
    let subscription = pair.server.subscribe(subscribe(&[("order", "^1")], Policy::Fail)).await;
    assert_eq!(subscription.started.schemas[0].version, "1.0.0");
    let subscription = pair.server.subscribe(subscribe(&[("order", "^1.1")], Policy::Fail)).await;
    assert_eq!(subscription.started.schemas[0].version, "1.1.0");
    assert_eq!(subscription.started.schemas[0].deprecation, "2.0 is out");
    pair.assert_calm();
}

async fn unsatisfiable_requirements_are_refused_on_subscribe(pair: Pair) {
    pair.register(closed(1, "")).await;
    pair.server.create("orders").await;
    let accept = [("order", "^2"), ("unknown", "^1")];
    let refused = pair.server.try_subscribe(subscribe(&accept, Policy::Fail)).await;
    let status = refused.err().unwrap();
    assert_refused(&status, Code::FailedPrecondition, "REQUIREMENT_UNSATISFIABLE");
    assert_eq!(
        status.message(),
        "no version of order satisfies ^2; ^1.0 would be satisfied; unknown has no registered schema"
    );
    // With the other policies the stream starts, and the policy applies to each event.
    for policy in [Policy::Skip, Policy::Deliver] {
        let subscription = pair.server.subscribe(subscribe(&accept, policy)).await;
        let versions: Vec<_> =
            subscription.started.schemas.iter().map(|schema| schema.version.as_str()).collect();
        assert_eq!(versions, ["", ""]);
    }
    let wrong = [("order", "newest"), ("a*b", "^1"), ("order", "^1")];
    let refused = pair.server.try_subscribe(subscribe(&wrong, Policy::Fail)).await;
    let status = refused.err().unwrap();
    assert_refused(&status, Code::InvalidArgument, "INVALID_REQUEST");
    let violations = status.get_error_details().bad_request().unwrap().field_violations.clone();
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["schema.accept[0].version", "schema.accept[1].type"]);
    pair.assert_calm();
}

async fn json_is_converted_up_and_down(pair: Pair) {
    use tidings_registry::proto::v1::Compatibility;
    let any = |draft| SchemaDraft { compatibility: Compatibility::None.into(), ..draft };
    assert_eq!(pair.register(any(closed(1, ""))).await, "1.0.0");
    assert_eq!(pair.register(any(closed(2, r#""p1""#))).await, "1.1.0");
    pair.server.create("orders").await;
    let events = [
        order("old", "1.0.0", serde_json::json!({"p0": 7})),
        order("new", "1.1.0", serde_json::json!({"p0": 8, "p1": 9})),
    ];
    pair.server.publish("orders", events).await.unwrap();

    let down = subscribe(&[("order", "=1.0.0")], Policy::Fail);
    let events = pair.server.subscribe(down).await.catch_up().await;
    assert_eq!(
        events.iter().map(json_of).collect::<Vec<_>>(),
        [serde_json::json!({"p0": 7}), serde_json::json!({"p0": 8}),]
    );
    assert_eq!(resolution(&events[0]), ("1.0.0", "1.0.0", false));
    assert_eq!(resolution(&events[1]), ("1.1.0", "1.0.0", true));
    assert_eq!(events[1].event.as_ref().unwrap().schemaversion, "1.0.0");

    let up = subscribe(&[("ord*", "^1.1")], Policy::Fail);
    let events = pair.server.subscribe(up).await.catch_up().await;
    assert_eq!(
        events.iter().map(json_of).collect::<Vec<_>>(),
        [serde_json::json!({"p0": 7, "p1": 1}), serde_json::json!({"p0": 8, "p1": 9}),]
    );
    assert_eq!(resolution(&events[0]), ("1.0.0", "1.1.0", true));
    assert_eq!(resolution(&events[1]), ("1.1.0", "1.1.0", false));

    // A request without requirements receives events as written.
    let events = pair.server.subscribe(subscribe_to(["orders"], earliest())).await.catch_up().await;
    assert_eq!(resolution(&events[1]), ("1.1.0", "1.1.0", false));
    pair.assert_calm();
}

async fn protobuf_and_avro_are_converted(pair: Pair) {
    let proto = |fields: &str| {
        let text = format!("syntax = \"proto3\"; package shop; message Order {{ {fields} }}");
        draft("shop.Order", SchemaFormat::Protobuf, &text)
    };
    pair.register(proto("string id = 1;")).await;
    assert_eq!(pair.register(proto("string id = 1; int64 total = 2;")).await, "1.1.0");
    let avro = |fields: &str| {
        let text = format!(
            r#"{{"type": "record", "name": "Order", "fields": [{{"name": "id", "type": "string"}}{fields}]}}"#
        );
        draft("order", SchemaFormat::Avro, &text)
    };
    pair.register(avro("")).await;
    let total = r#", {"name": "total", "type": "long", "default": 5}"#;
    assert_eq!(pair.register(avro(total)).await, "1.1.0");
    pair.server.create("orders").await;

    let sent = |id: &str, of: &str, version: &str, payload: Payload| Event {
        id: id.into(),
        source: "/shop".into(),
        r#type: of.into(),
        schemaversion: version.into(),
        partitionkey: "k".into(),
        payload: Some(payload),
        ..Event::default()
    };
    let binary = |bytes: &[u8]| Payload::BinaryData(bytes.to_vec().into());
    let any = |bytes: &[u8]| {
        let type_url = "type.googleapis.com/shop.Order".into();
        Payload::ProtoData(Any { type_url, value: bytes.to_vec() })
    };
    let (short, long) = (b"\x0a\x03o-1".as_slice(), b"\x0a\x03o-1\x10\x03".as_slice());
    let events = [
        sent("1", "shop.Order", "1.1.0", binary(long)),
        sent("2", "shop.Order", "1.1.0", any(long)),
        sent("3", "order", "1.1.0", binary(b"\x06o-1\x06")),
        sent("4", "order", "1.0.0", binary(b"\x06o-1")),
        sent("5", "shop.Order", "1.0.0", binary(short)),
    ];
    pair.server.publish("orders", events).await.unwrap();
    let payloads = |events: &[RecordedEvent]| -> Vec<Payload> {
        let payload =
            |event: &RecordedEvent| event.event.as_ref().unwrap().payload.clone().unwrap();
        events.iter().map(payload).collect()
    };
    let down = subscribe(&[("shop.Order", "=1.0.0"), ("order", "=1.0.0")], Policy::Fail);
    let events = pair.server.subscribe(down).await.catch_up().await;
    let id = binary(b"\x06o-1");
    assert_eq!(payloads(&events), [binary(short), any(short), id.clone(), id, binary(short)]);
    assert!(events.iter().all(|event| event.key == "k" && event.key_version > 0));
    assert_eq!(resolution(&events[1]), ("1.1.0", "1.0.0", true));

    let up = subscribe(&[("shop.Order", "^1.1"), ("order", "^1.1")], Policy::Fail);
    let events = pair.server.subscribe(up).await.catch_up().await;
    assert_eq!(
        payloads(&events),
        [binary(long), any(long), binary(b"\x06o-1\x06"), binary(b"\x06o-1\x0a"), binary(short),]
    );
    assert_eq!(resolution(&events[3]), ("1.0.0", "1.1.0", true));
    assert_eq!(
        resolution(&events[4]),
        ("1.0.0", "1.1.0", false),
        "the same bytes are valid in both versions"
    );
    pair.assert_calm();
}

async fn unconvertible_events_follow_the_mismatch_policy(pair: Pair) {
    pair.register(closed(1, "")).await;
    let major = draft("order", SchemaFormat::Json, r#"{"type": "string"}"#);
    pair.register(SchemaDraft { version: "2.0.0".into(), ..major }).await;
    pair.server.create("orders").await;
    let second = |id: &str| order(id, "2.0.0", serde_json::json!("text"));
    let first = |id: &str| order(id, "1.0.0", serde_json::json!({"p0": 1}));
    let other = Event { r#type: "other".into(), ..first("other") };
    let events = [
        first("0"),
        second("1"),
        second("2"),
        Event { schemaversion: String::new(), ..other },
        second("4"),
        first("5"),
    ];
    pair.server.publish("orders", events).await.unwrap();
    let accept = [("order", "^1"), ("other", "^1")];

    let mut skipping = pair.server.subscribe(subscribe(&accept, Policy::Skip)).await;
    let mut ranges_seen = Vec::new();
    loop {
        match skipping.expect().await {
            Message::Batch(batch) => ranges_seen
                .extend(offsets(&batch.events).into_iter().map(|at| (at, at + 1, String::new()))),
            Message::Gap(gap) => {
                assert_eq!(
                    (gap.topic.as_str(), gap.reason()),
                    ("orders", GapReason::SchemaMismatch)
                );
                ranges_seen.push((gap.first_offset, gap.next_offset, gap.detail));
            }
            Message::CaughtUp(_) => break,
            other => panic!("{other:?}"),
        }
    }
    let ranges: Vec<_> = ranges_seen.iter().map(|(from, until, _)| (*from, *until)).collect();
    assert_eq!(
        ranges,
        [(0, 1), (1, 3), (3, 4), (4, 5), (5, 6)],
        "every offset is delivered or in a gap"
    );
    assert_eq!(
        ranges_seen[1].2,
        "it was written in order 2.0.0 and 1.0.0 is delivered: another major version: no migration is registered"
    );
    assert_eq!(ranges_seen[2].2, "it was published without a schema of other");

    let delivering = subscribe(&accept, Policy::Deliver);
    let events = pair.server.subscribe(delivering).await.catch_up().await;
    assert_eq!(offsets(&events), [0, 1, 2, 3, 4, 5]);
    assert_eq!(resolution(&events[1]), ("2.0.0", "2.0.0", false));

    // The stream delivers the events before the mismatch, and ends with an error that has a cursor
    // to resume from.
    let mut failing = pair.server.subscribe(subscribe(&[("order", "^1")], Policy::Fail)).await;
    assert_eq!(offsets(&failing.take(1).await), [0]);
    let status = failing.end().await;
    assert_refused(&status, Code::FailedPrecondition, "REQUIREMENT_UNSATISFIABLE");
    assert!(status.message().contains("offset 1 of topic \"orders\""), "{}", status.message());
    let resume = status.metadata().get("resume_cursor").unwrap().to_str().unwrap().to_owned();
    assert_eq!(metadata(&status)["resume_cursor"], resume);
    let resumed = SubscribeRequest {
        start: after(&resume),
        ..subscribe(&[("order", "^2")], Policy::Deliver)
    };
    let events = pair.server.subscribe(resumed).await.catch_up().await;
    assert_eq!(offsets(&events), [2, 3, 4, 5]);
    pair.assert_calm();
}

async fn a_new_version_is_announced_before_its_events(pair: Pair) {
    pair.register(draft(
        "order",
        SchemaFormat::Json,
        r#"{"properties": {"p0": {"type": "integer"}}}"#,
    ))
    .await;
    pair.server.create("orders").await;
    let accept = [("*", "^1")];
    let mut subscription = pair.server.subscribe(subscribe(&accept, Policy::Skip)).await;
    assert_eq!(subscription.started.schemas[0].version, "1.0.0");
    pair.server.publish("orders", [order("1", "", serde_json::json!({"p0": 1}))]).await.unwrap();
    subscription.take(1).await;
    let second = r#"{"properties": {"p0": {"type": "integer"}, "p1": {"type": "string"}}}"#;
    assert_eq!(pair.register(draft("order", SchemaFormat::Json, second)).await, "1.1.0");
    pair.register(draft("late", SchemaFormat::Json, "{}")).await;
    let late = Event { r#type: "late".into(), ..order("3", "", serde_json::json!(1)) };
    pair.server
        .publish("orders", [order("2", "", serde_json::json!({"p1": "x"})), late])
        .await
        .unwrap();
    let mut messages = Vec::new();
    while messages.iter().filter(|text: &&String| text.starts_with("event")).count() < 2 {
        match subscription.expect().await {
            Message::Batch(batch) => messages.extend(
                batch
                    .events
                    .iter()
                    .map(|event| format!("event {} {}", event.offset, resolution(event).1)),
            ),
            Message::SchemaChanged(changed) => {
                let schema = changed.schema.unwrap();
                messages.push(format!("{} {}", schema.r#type, schema.version));
            }
            Message::CaughtUp(_) | Message::Heartbeat(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(messages, ["order 1.1.0", "event 1 1.1.0", "late 1.0.0", "event 2 1.0.0"]);
    pair.assert_calm();
}

async fn reads_negotiate_versions(pair: Pair) {
    use tidings_registry::proto::v1::Compatibility;
    let any = |draft| SchemaDraft { compatibility: Compatibility::None.into(), ..draft };
    pair.register(any(closed(1, ""))).await;
    pair.register(any(closed(2, ""))).await;
    let major = draft("order", SchemaFormat::Json, r#"{"type": "string"}"#);
    pair.register(SchemaDraft { version: "2.0.0".into(), ..major }).await;
    pair.server.create("orders").await;
    let events = (0..10).map(|at| match at % 3 {
        0 => order(&at.to_string(), "1.0.0", serde_json::json!({"p0": at})),
        1 => order(&at.to_string(), "1.1.0", serde_json::json!({"p0": at, "p1": 1})),
        _ => order(&at.to_string(), "2.0.0", serde_json::json!("text")),
    });
    pair.server.publish("orders", events).await.unwrap();
    let request = |policy| ReadRequest {
        schema: selection(&[("order", "=1.0.0")], policy),
        ..read_from(["orders"], earliest())
    };
    let mut stream = pair.server.events().read(request(Policy::Skip)).await.unwrap().into_inner();
    let (mut read, mut gaps) = (Vec::new(), Vec::new());
    while let Some(response) = stream.message().await.unwrap() {
        read.extend(response.batch.unwrap_or_default().events);
        gaps.extend(response.gaps.into_iter().map(|gap| (gap.first_offset, gap.next_offset)));
    }
    assert_eq!(offsets(&read), [0, 1, 3, 4, 6, 7, 9]);
    assert_eq!(gaps, [(2, 3), (5, 6), (8, 9)]);
    assert!(read.iter().all(|event| json_of(event) == serde_json::json!({"p0": event.offset})));

    let bounded = ReadRequest { max_events: 3, ..request(Policy::Skip) };
    let (read, end) = pair.server.read(bounded).await.unwrap();
    assert_eq!(offsets(&read), [0, 1, 3], "omitted events do not count");
    let resumed = ReadRequest { start: after(&end), ..request(Policy::Skip) };
    assert_eq!(offsets(&pair.server.read(resumed).await.unwrap().0), [4, 6, 7, 9]);

    let mut stream = pair.server.events().read(request(Policy::Fail)).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(offsets(&first.batch.unwrap().events), [0, 1]);
    let status = stream.message().await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "REQUIREMENT_UNSATISFIABLE");
    pair.assert_calm();
}

async fn consumers(pair: &Pair) -> Vec<(String, String, String, bool)> {
    let request = ListConsumersRequest::default();
    let listed = pair.schemas().list_consumers(request).await.unwrap().into_inner();
    let row = |consumer: Consumer| {
        (consumer.name, consumer.subject, consumer.requirement, consumer.connected)
    };
    listed.consumers.into_iter().map(row).collect()
}

async fn a_named_consumer_is_listed(pair: Pair) {
    pair.register(closed(1, "")).await;
    pair.server.create("orders").await;
    let named = |accept: &[(&str, &str)]| SubscribeRequest {
        consumer: "billing".into(),
        ..subscribe(accept, Policy::Skip)
    };
    let known = |connected: bool| {
        let entry = |requirement: &str| {
            ("billing".to_owned(), "order".to_owned(), requirement.to_owned(), connected)
        };
        vec![entry("^1")]
    };
    let first = pair.server.subscribe(named(&[("order", "^1")])).await;
    let second = pair.server.subscribe(named(&[("order", "^1")])).await;
    let listed = async |expected: &[(String, String, String, bool)]| {
        (consumers(&pair).await == expected).then_some(())
    };
    eventually(PATIENCE, "the consumer is listed", async || listed(&known(true)).await).await;
    drop(first);
    drop(second);
    eventually(PATIENCE, "its streams are closed", async || listed(&known(false)).await).await;
    // A stream without requirements does not change the list of consumers.
    let silent = SubscribeRequest { schema: None, ..named(&[]) };
    drop(pair.server.subscribe(silent).await);
    assert_eq!(consumers(&pair).await, known(false));
    pair.assert_calm();
}

/// A producer moves to new versions without a change to its readers.
async fn readers_continue_while_a_producer_moves_to_new_versions(pair: Pair) {
    const FIRST: &str =
        r#"{"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}"#;
    const SECOND: &str = r#"{"type": "object", "properties": {"id": {"type": "string"}, "total": {"type": "integer"}}, "required": ["id"]}"#;
    const THIRD: &str = r#"{"type": "object", "properties": {"number": {"type": "integer"}, "total": {"type": "integer"}}, "required": ["number"]}"#;
    let register = async |text: &str, version: &str| {
        let draft = draft("order", SchemaFormat::Json, text);
        pair.register(SchemaDraft { version: version.into(), ..draft }).await
    };
    let publish = async |id: &str, json: serde_json::Value| {
        pair.server.publish("orders", [order(id, "", json)]).await.unwrap();
    };
    pair.server.create("orders").await;

    // A producer at 1.0.0, and a consumer that accepts ^1.0.
    assert_eq!(register(FIRST, "").await, "1.0.0");
    let request = SubscribeRequest {
        consumer: "billing".into(),
        ..subscribe(&[("order", "^1.0")], Policy::Skip)
    };
    let mut billing = pair.server.subscribe(request).await;
    publish("a", serde_json::json!({"id": "o-1"})).await;
    assert_eq!(resolution(&billing.take(1).await[0]), ("1.0.0", "1.0.0", false));

    // The producer moves to 1.1.0: the consumer is notified, and continues.
    assert_eq!(register(SECOND, "").await, "1.1.0");
    publish("b", serde_json::json!({"id": "o-2", "total": 5})).await;
    let mut changed = None;
    let second = loop {
        match billing.expect().await {
            Message::SchemaChanged(change) => changed = change.schema,
            Message::Batch(batch) => break batch.events,
            _ => {}
        }
    };
    assert_eq!(changed.unwrap().version, "1.1.0");
    assert_eq!(resolution(&second[0]), ("1.1.0", "1.1.0", false));

    // A refused change that would break the consumer names the consumer.
    let breaking =
        SchemaDraft { version: "1.2.0".into(), ..draft("order", SchemaFormat::Json, THIRD) };
    let request = RegisterSchemaRequest { schema: Some(breaking), ..Default::default() };
    let status = pair.schemas().register_schema(request).await.unwrap_err();
    assert_eq!(crate::support::harness::reason(&status), "SCHEMA_INCOMPATIBLE");
    let request = SetVersionStateRequest {
        subject: "order".into(),
        version: "1.1.0".into(),
        state: VersionState::Retired.into(),
        ..Default::default()
    };
    pair.schemas().set_version_state(request.clone()).await.unwrap();
    let last = SetVersionStateRequest { version: "1.0.0".into(), ..request };
    let status = pair.schemas().set_version_state(last).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "CONSUMERS_LEFT_BEHIND");
    assert!(status.message().contains("billing"), "{}", status.message());
    pair.state("order", "1.1.0", VersionState::Active, "").await;

    // 2.0.0 is a new major version. The consumer of ^1 receives a gap; a consumer of ^2 starts.
    assert_eq!(register(THIRD, "2.0.0").await, "2.0.0");
    publish("c", serde_json::json!({"number": 3, "total": 7})).await;
    let gap = loop {
        match billing.expect().await {
            Message::Gap(gap) => break gap,
            Message::Batch(batch) => panic!("{batch:?}"),
            _ => {}
        }
    };
    assert_eq!(
        (gap.first_offset, gap.next_offset, gap.reason()),
        (2, 3, GapReason::SchemaMismatch)
    );
    assert!(gap.detail.contains("another major version"), "{}", gap.detail);
    let shipping = SubscribeRequest {
        consumer: "shipping".into(),
        ..subscribe(&[("order", "^2")], Policy::Deliver)
    };
    let events = pair.server.subscribe(shipping).await.catch_up().await;
    assert_eq!(offsets(&events), [0, 1, 2]);
    assert_eq!(resolution(&events[2]), ("2.0.0", "2.0.0", false));

    // A producer that is rolled back to 1.0 continues, and so does its reader.
    let event = order("d", "1.0", serde_json::json!({"id": "o-4"}));
    pair.server.publish("orders", [event]).await.unwrap();
    let last = billing.take(1).await;
    assert_eq!(resolution(&last[0]), ("1.0.0", "1.1.0", false));
    pair.assert_calm();
}
