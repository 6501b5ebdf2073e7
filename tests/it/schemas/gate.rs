//! The schema gate: a published payload must match its schema. Each `both!` test runs with an
//! embedded and with a remote registry.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use prost_types::Any;
use serde_json::Value as Json;
use tidings::proto::events::v1::{
    Event, EventView, GetEventRequest, PublishRequest, SchemaEnforcement, event::Payload,
    get_event_request::By,
};
use tidings_registry::proto::v1::{ApplySchemasRequest, SchemaDraft, SchemaFormat, VersionState};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::schemas::github::{events_file, schemas_folder};
use crate::support::{
    harness::{Options, PATIENCE, Server, assert_refused, eventually},
    registry_pair::{Pair, both, data, draft},
};

both! {
    json_payloads_are_checked
    protobuf_payloads_are_checked_and_encoded
    an_any_holds_a_type_of_exactly_one_other_subject
    values_without_a_json_form_are_shown_as_bytes
    avro_payloads_are_checked_and_encoded
    versions_are_resolved
    enforcement_decides
    recorded_events_stay_duplicates
    valid_and_invalid_webhooks_are_distinguished
}

const JSON_ORDER: &str = r#"{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"id": {"type": "string"}, "total": {"type": "integer"}},
    "required": ["id"]
}"#;

const PROTO_ORDER: &str =
    "syntax = \"proto3\"; package shop; message Order { string id = 1; int64 total = 2; }";

const AVRO_ORDER: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "id", "type": "string"}, {"name": "total", "type": "long"}]}"#;

fn event(id: &str, event_type: &str, payload: Option<Payload>) -> Event {
    Event {
        id: id.into(),
        source: "/shop".into(),
        r#type: event_type.into(),
        payload,
        ..Event::default()
    }
}

fn text(text: &str) -> Option<Payload> {
    Some(Payload::TextData(text.into()))
}

fn bytes(bytes: &[u8]) -> Option<Payload> {
    Some(Payload::BinaryData(bytes.to_vec().into()))
}

/// The violated fields of a refusal, with their descriptions.
fn violations(status: &Status) -> BTreeMap<String, String> {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|request| request.field_violations.clone());
    violations
        .unwrap_or_default()
        .into_iter()
        .map(|violation| (violation.field, violation.description))
        .collect()
}

fn fields(status: &Status) -> Vec<String> {
    violations(status).into_keys().collect()
}

async fn json_payloads_are_checked(pair: Pair) {
    assert_eq!(pair.register(draft("order", SchemaFormat::Json, JSON_ORDER)).await, "1.0.0");
    pair.topic("orders", SchemaEnforcement::IfRegistered).await;
    let typed = |payload, content_type: &str| Event {
        datacontenttype: content_type.into(),
        ..event("1", "order", payload)
    };
    let json = "application/json";
    let good = r#"{"id": "o-1", "total": 9007199254740993}"#;
    for (id, event) in [
        typed(data(serde_json::json!({"id": "o-1"})), ""),
        typed(text(good), json),
        typed(text(good), ""),
        typed(bytes(good.as_bytes()), "application/vnd.shop+json; charset=utf-8"),
    ]
    .into_iter()
    .enumerate()
    {
        let event = Event { id: format!("good-{id}"), ..event };
        let response = pair.server.publish("orders", [event]).await.unwrap();
        assert_eq!(response.results[0].schema_version, "1.0.0");
    }
    let recorded = pair.recorded("orders").await;
    let second = recorded[1].event.as_ref().unwrap();
    assert_eq!(
        second.payload,
        text(good),
        "a payload sent as text is recorded byte for byte as text"
    );
    assert_eq!(second.schemaversion, "1.0.0", "empty on publish, resolved when recorded");
    let schema = recorded[1].schema.as_ref().unwrap();
    assert_eq!(
        (schema.subject.as_str(), schema.writer_version.as_str(), schema.converted),
        ("order", "1.0.0", false)
    );

    // Each violation of each event is reported at once.
    let bad = [
        typed(data(serde_json::json!({"total": "many"})), ""),
        Event { id: "2".into(), ..typed(text(good), json) },
        Event { id: "3".into(), ..typed(text("{"), json) },
        Event { id: "4".into(), ..typed(None, "") },
        Event { id: "5".into(), ..typed(text(good), "text/plain") },
        Event { id: "6".into(), ..typed(bytes(b"\xff"), json) },
        Event {
            id: "7".into(),
            ..typed(Some(Payload::ProtoData(Any { type_url: "a/b".into(), value: Vec::new() })), "")
        },
    ];
    let status = pair.server.publish("orders", bad).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "PAYLOAD_INVALID");
    assert_eq!(
        fields(&status),
        [
            "events[0].data",
            "events[0].data/total",
            "events[2].text_data",
            "events[3].data",
            "events[4].text_data",
            "events[5].binary_data",
            "events[6].proto_data"
        ],
        "{:#?}",
        violations(&status)
    );
    assert_eq!(
        pair.recorded("orders").await.len(),
        4,
        "a batch is recorded in whole or not at all"
    );
    pair.assert_calm();
}

async fn protobuf_payloads_are_checked_and_encoded(pair: Pair) {
    pair.register(draft("shop.Order", SchemaFormat::Protobuf, PROTO_ORDER)).await;
    pair.topic("orders", SchemaEnforcement::IfRegistered).await;
    // Field 1 "o-1", field 2 the number 3.
    let encoded = b"\x0a\x03o-1\x10\x03";
    let any = |type_url: &str| {
        let any = Any { type_url: type_url.into(), value: encoded.to_vec() };
        Some(Payload::ProtoData(any))
    };
    let forms = [
        (data(serde_json::json!({"id": "o-1", "total": 3})), ""),
        (text(r#"{"id": "o-1", "total": "3"}"#), "application/json"),
        (bytes(encoded), ""),
        (bytes(encoded), "application/x-protobuf"),
        (any("type.googleapis.com/shop.Order"), ""),
    ];
    for (index, (payload, content_type)) in forms.into_iter().enumerate() {
        let event = Event {
            datacontenttype: content_type.into(),
            ..event(&format!("{index}"), "shop.Order", payload)
        };
        pair.server.publish("orders", [event]).await.unwrap();
    }
    let recorded = pair.recorded("orders").await;
    let payloads: Vec<_> =
        recorded.iter().map(|event| event.event.as_ref().unwrap().payload.clone()).collect();
    assert_eq!(payloads[0], bytes(encoded), "JSON is recorded as Protobuf");
    assert_eq!(recorded[0].event.as_ref().unwrap().datacontenttype, "application/protobuf");
    assert_eq!(payloads[1..4], [bytes(encoded), bytes(encoded), bytes(encoded)]);
    assert_eq!(payloads[4], any("type.googleapis.com/shop.Order"), "an Any stays an Any");

    // Each payload reads as JSON and as an Any.
    for index in 0..payloads.len() as u64 {
        let get = |view: EventView| GetEventRequest {
            topic: "orders".into(),
            by: Some(By::Offset(index)),
            view: view.into(),
        };
        let json = pair.server.events().get_event(get(EventView::Json)).await.unwrap();
        let json = json.into_inner().event.unwrap().event.unwrap();
        assert_eq!(json.payload, data(serde_json::json!({"id": "o-1", "total": "3"})));
        assert_eq!(json.datacontenttype, "application/json");
        let shown = pair.server.events().get_event(get(EventView::Any)).await.unwrap();
        let shown = shown.into_inner().event.unwrap().event.unwrap();
        assert_eq!(shown.payload, any("type.googleapis.com/shop.Order"));
    }

    let wrong = [
        (data(serde_json::json!({"id": 1})), ""),
        (data(serde_json::json!({"nobody": 1})), ""),
        (bytes(b"\x0a\xff"), ""),
        (bytes(encoded), "image/png"),
        (any("type.googleapis.com/shop.Invoice"), ""),
        (text("id: 1"), "text/plain"),
    ];
    let batch = wrong.into_iter().enumerate().map(|(index, (payload, content_type))| Event {
        datacontenttype: content_type.into(),
        ..event(&format!("wrong-{index}"), "shop.Order", payload)
    });
    let status = pair.server.publish("orders", batch).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "PAYLOAD_INVALID");
    let violated = fields(&status);
    for index in 0..6 {
        let event = format!("events[{index}]");
        assert!(
            violated.iter().any(|field| field.starts_with(&event)),
            "{event}: {:#?}",
            violations(&status)
        );
    }
    pair.assert_calm();
}

fn get_request(topic: &str, offset: u64, view: EventView) -> GetEventRequest {
    GetEventRequest { topic: topic.into(), by: Some(By::Offset(offset)), view: view.into() }
}

async fn an_any_holds_a_type_of_exactly_one_other_subject(pair: Pair) {
    let protobuf = |name: &str, text: &str| draft(name, SchemaFormat::Protobuf, text);
    let file = |body: &str| format!("syntax = \"proto3\"; package shop; {body}");
    pair.register(protobuf("shop.Note", &file("message Note { string text = 1; }"))).await;
    // Two subjects that each declare a type with the same name.
    for name in ["shop.One", "shop.Two"] {
        let message = name.trim_start_matches("shop.");
        let body = format!("message {message} {{ Twice t = 1; }} message Twice {{ int32 a = 1; }}");
        pair.register(protobuf(name, &file(&body))).await;
    }
    let order =
        "import \"google/protobuf/any.proto\"; message Order { google.protobuf.Any more = 1; }";
    pair.register(protobuf("shop.Order", &file(order))).await;
    pair.topic("orders", SchemaEnforcement::IfRegistered).await;

    let url = |name: &str| format!("type.googleapis.com/{name}");
    let more = |name: &str, value: serde_json::Value| {
        let mut any = value;
        any["@type"] = url(name).into();
        data(serde_json::json!({ "more": any }))
    };
    let note = more("shop.Note", serde_json::json!({ "text": "hi" }));
    // Not imported either, but known to each JSON reader.
    let duration = more("google.protobuf.Duration", serde_json::json!({ "value": "1.500s" }));
    for (id, payload) in [("0", note.clone()), ("1", duration.clone())] {
        pair.server.publish("orders", [event(id, "shop.Order", payload)]).await.unwrap();
    }
    for (offset, payload) in [(0, note), (1, duration)] {
        let get = get_request("orders", offset, EventView::Json);
        let json = pair.server.events().get_event(get).await.unwrap().into_inner();
        assert_eq!(json.event.unwrap().event.unwrap().payload, payload);
    }

    let wrong = [
        more("shop.Note", serde_json::json!({ "text": 1 })),
        more("shop.Note", serde_json::json!({ "nobody": "hi" })),
        more("shop.Twice", serde_json::json!({ "a": 1 })),
        more("shop.Nobody", serde_json::json!({})),
    ];
    let batch = wrong.into_iter().enumerate();
    let batch =
        batch.map(|(index, payload)| event(&format!("wrong-{index}"), "shop.Order", payload));
    let status = pair.server.publish("orders", batch).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "PAYLOAD_INVALID");
    assert_eq!(
        fields(&status),
        [
            "events[0].data/more/text",
            "events[1].data/more/nobody",
            "events[2].data/more/@type",
            "events[3].data/more/@type",
        ],
        "{:#?}",
        violations(&status)
    );
}

async fn values_without_a_json_form_are_shown_as_bytes(pair: Pair) {
    let text = "syntax = \"proto3\"; package shop; import \"google/protobuf/timestamp.proto\"; \
        message Due { google.protobuf.Timestamp until = 1; }";
    pair.register(draft("shop.Due", SchemaFormat::Protobuf, text)).await;
    pair.topic("dues", SchemaEnforcement::IfRegistered).await;
    // One second; 2^62 seconds; minus one nanosecond.
    let good: &[u8] = b"\x0a\x02\x08\x01";
    let late: &[u8] = b"\x0a\x0a\x08\x80\x80\x80\x80\x80\x80\x80\x80\x40";
    let below: &[u8] = b"\x0a\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    let any = |value: &[u8]| {
        let type_url = "type.googleapis.com/shop.Due".into();
        Some(Payload::ProtoData(Any { type_url, value: value.to_vec() }))
    };
    let payloads = [bytes(good), bytes(late), bytes(below), any(good), any(late)];
    for (index, payload) in payloads.into_iter().enumerate() {
        pair.server
            .publish("dues", [event(&index.to_string(), "shop.Due", payload)])
            .await
            .unwrap();
    }
    for (offset, expected) in
        [any(good), bytes(late), bytes(below), any(good), bytes(late)].into_iter().enumerate()
    {
        let offset = u64::try_from(offset).unwrap();
        let get = get_request("dues", offset, EventView::Any);
        let response = pair.server.events().get_event(get).await.unwrap().into_inner();
        assert_eq!(response.event.unwrap().event.unwrap().payload, expected, "{offset}");
        let get = get_request("dues", offset, EventView::Json);
        let response = pair.server.events().get_event(get).await.unwrap().into_inner();
        let payload = response.event.unwrap().event.unwrap().payload;
        let printed = data(serde_json::json!({ "until": "1970-01-01T00:00:01Z" }));
        assert_eq!(payload, if expected == any(good) { printed } else { expected }, "{offset}");
    }
}

async fn avro_payloads_are_checked_and_encoded(pair: Pair) {
    pair.register(draft("order", SchemaFormat::Avro, AVRO_ORDER)).await;
    pair.topic("orders", SchemaEnforcement::IfRegistered).await;
    // The length 3 in zigzag, "o-1", the number 3 in zigzag.
    let encoded = b"\x06o-1\x06";
    for (index, payload) in
        [data(serde_json::json!({"id": "o-1", "total": 3})), bytes(encoded)].into_iter().enumerate()
    {
        pair.server
            .publish("orders", [event(&format!("{index}"), "order", payload)])
            .await
            .unwrap();
    }
    for (index, recorded) in pair.recorded("orders").await.iter().enumerate() {
        assert_eq!(recorded.event.as_ref().unwrap().payload, bytes(encoded));
        let request = GetEventRequest {
            topic: "orders".into(),
            by: Some(By::Offset(index as u64)),
            view: EventView::Json.into(),
        };
        let json = pair.server.events().get_event(request).await.unwrap().into_inner();
        let json = json.event.unwrap().event.unwrap();
        assert_eq!(json.payload, data(serde_json::json!({"id": "o-1", "total": 3})));
    }
    let wrong = event("wrong", "order", data(serde_json::json!({"id": "o-1", "total": "3"})));
    let status = pair.server.publish("orders", [wrong]).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "PAYLOAD_INVALID");
    assert!(fields(&status)[0].contains("total"), "{:#?}", violations(&status));
    let wrong = event("wrong", "order", bytes(b"\x06o-1"));
    let status = pair.server.publish("orders", [wrong]).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "PAYLOAD_INVALID");
    pair.assert_calm();
}

async fn versions_are_resolved(pair: Pair) {
    let properties = |count: usize| {
        let properties: Vec<String> =
            (0..count).map(|index| format!(r#""p{index}": {{"type": "integer"}}"#)).collect();
        let schema = format!(r#"{{"type": "object", "properties": {{{}}}}}"#, properties.join(","));
        draft("order", SchemaFormat::Json, &schema)
    };
    for (count, version) in [(1, "1.0.0"), (2, "1.1.0"), (3, "1.2.0")] {
        assert_eq!(pair.register(properties(count)).await, version);
    }
    pair.topic("orders", SchemaEnforcement::Required).await;
    let publish = async |id: &str, version: &str| {
        let event = Event {
            schemaversion: version.into(),
            ..event(id, "order", data(serde_json::json!({"p0": 1})))
        };
        let request =
            PublishRequest { topic: "orders".into(), events: vec![event], ..Default::default() };
        let response = pair.server.events().publish(request).await?;
        let deprecated = response.metadata().get("tidings-schema-deprecated").cloned();
        let version = response.into_inner().results[0].schema_version.clone();
        Ok::<_, Status>((version, deprecated.map(|value| value.to_str().unwrap().to_owned())))
    };
    for (requested, resolved) in
        [("", "1.2.0"), ("1.1.0", "1.1.0"), ("1.0", "1.0.0"), ("1", "1.2.0"), ("1.2.0", "1.2.0")]
    {
        let (version, deprecated) = publish(&format!("a-{requested}"), requested).await.unwrap();
        assert_eq!((version.as_str(), deprecated), (resolved, None), "{requested:?}");
    }
    pair.state("order", "1.1.0", VersionState::Deprecated, "move to 1.2 – soon").await;
    let (version, deprecated) = publish("deprecated", "1.1.0").await.unwrap();
    assert_eq!(version, "1.1.0", "a rolled-back producer can still publish");
    assert_eq!(deprecated.unwrap(), "order 1.1.0: move to 1.2 %E2%80%93 soon");
    pair.state("order", "1.2.0", VersionState::Retired, "").await;
    assert_eq!(publish("newest-active", "").await.unwrap().0, "1.0.0");
    for (requested, code, reason) in [
        ("1.2.0", Code::FailedPrecondition, "SCHEMA_VERSION_UNUSABLE"),
        ("1.9.0", Code::FailedPrecondition, "SCHEMA_VERSION_UNUSABLE"),
        ("2", Code::FailedPrecondition, "SCHEMA_VERSION_UNUSABLE"),
        ("^1", Code::InvalidArgument, "INVALID_EVENT"),
    ] {
        let status = publish("never", requested).await.unwrap_err();
        assert_refused(&status, code, reason);
        assert_eq!(fields(&status), ["events[0].schemaversion"], "{requested}");
    }
    // Events written with 1.2.0 still report that version after it was retired.
    let recorded = pair.recorded("orders").await;
    assert_eq!(recorded[0].schema.as_ref().unwrap().writer_version, "1.2.0");
    pair.assert_calm();
}

async fn enforcement_decides(pair: Pair) {
    pair.register(draft("order", SchemaFormat::Json, JSON_ORDER)).await;
    for (topic, enforcement) in [
        ("if-registered", SchemaEnforcement::IfRegistered),
        ("required", SchemaEnforcement::Required),
        ("off", SchemaEnforcement::Off),
    ] {
        pair.topic(topic, enforcement).await;
    }
    let wrong = || data(serde_json::json!({"total": "many"}));
    let any = || {
        let any = Any { type_url: "type.googleapis.com/a.B".into(), value: Vec::new() };
        Some(Payload::ProtoData(any))
    };
    let cases = [
        ("if-registered", "order", wrong(), Some("PAYLOAD_INVALID")),
        ("if-registered", "other", wrong(), None),
        ("if-registered", "other", any(), Some("SCHEMA_REQUIRED")),
        ("required", "order", wrong(), Some("PAYLOAD_INVALID")),
        ("required", "other", wrong(), Some("SCHEMA_REQUIRED")),
        ("required", "no subject at all", wrong(), Some("SCHEMA_REQUIRED")),
        ("off", "order", wrong(), None),
        ("off", "other", any(), None),
    ];
    for (index, (topic, event_type, payload, refused)) in cases.into_iter().enumerate() {
        let event = event(&format!("{index}"), event_type, payload);
        let context = format!("{topic} {event_type} {:?}", event.payload);
        match (pair.server.publish(topic, [event]).await, refused) {
            (Ok(response), None) => assert_eq!(response.results[0].schema_version, "", "{context}"),
            (Err(status), Some(reason)) => {
                assert_eq!(crate::support::harness::reason(&status), reason, "{context}");
            }
            (response, refused) => panic!("{context}: {response:?} instead of {refused:?}"),
        }
    }
    pair.assert_calm();
}

async fn recorded_events_stay_duplicates(pair: Pair) {
    pair.topic("orders", SchemaEnforcement::IfRegistered).await;
    let first = event("1", "order", data(serde_json::json!({"total": "many"})));
    pair.server.publish("orders", [first.clone()]).await.unwrap();
    pair.register(draft("order", SchemaFormat::Json, JSON_ORDER)).await;
    let second = event("2", "order", first.payload.clone());
    let status = pair.server.publish("orders", [second]).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "PAYLOAD_INVALID");
    let again = pair.server.publish("orders", [first]).await.unwrap();
    assert!(again.results[0].duplicate, "it was recorded before the schema was registered");

    // Recorded with a schema, then sent again unchanged.
    let third = event("3", "order", data(serde_json::json!({"id": "o"})));
    let version = pair.server.publish("orders", [third.clone()]).await.unwrap();
    let again = pair.server.publish("orders", [third]).await.unwrap();
    assert!(again.results[0].duplicate);
    assert_eq!(again.results[0].schema_version, version.results[0].schema_version);
    pair.assert_calm();
}

/// While the registry is unavailable, events of known types are still checked, and events of
/// unknown types are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unavailable_registry_is_reported() {
    let mut pair = Pair::remote().await;
    pair.register(draft("order", SchemaFormat::Json, JSON_ORDER)).await;
    pair.topic("orders", SchemaEnforcement::IfRegistered).await;
    pair.topic("off", SchemaEnforcement::Off).await;
    let good = |id: &str| event(id, "order", data(serde_json::json!({"id": "o"})));
    let unknown = |id: &str| event(id, "unknown", data(serde_json::json!({})));
    pair.server.publish("orders", [good("1")]).await.unwrap();
    pair.server.publish("orders", [unknown("u1")]).await.unwrap();

    pair.registry.as_mut().unwrap().kill9();
    eventually(PATIENCE, "the log reports the unavailable registry", async || {
        let log = pair.server.log();
        log.contains("the schema registry is unavailable").then_some(())
    })
    .await;
    pair.server.publish("orders", [good("2")]).await.unwrap();
    let wrong = event("3", "order", data(serde_json::json!({})));
    let status = pair.server.publish("orders", [wrong]).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "PAYLOAD_INVALID");
    let status = pair.server.publish("orders", [unknown("u2")]).await.unwrap_err();
    assert_refused(&status, Code::Unavailable, "REGISTRY_UNAVAILABLE");
    assert_eq!(fields(&status), ["events[0].type"]);
    let again = pair.server.publish("orders", [unknown("u1")]).await.unwrap();
    assert!(again.results[0].duplicate, "a recorded event needs no registry");
    pair.server.publish("off", [unknown("u2")]).await.unwrap();

    // The registry restarts at the same address, and the server recovers by itself.
    pair.registry = Some(pair.registry.take().unwrap().restart_in_place().await);
    eventually(PATIENCE, "the registry is available again", async || {
        pair.server.publish("orders", [unknown("u2")]).await.ok()
    })
    .await;
    pair.assert_calm();
}

/// A server that never reached its registry refuses events that may have a schema.
#[tokio::test]
async fn a_registry_that_was_never_reachable_is_reported() {
    let server = Server::start(Options::args(["--registry", "http://127.0.0.1:9"])).await;
    server.create("orders").await;
    let status = server.publish("orders", [event("1", "order", None)]).await.unwrap_err();
    assert_refused(&status, Code::Unavailable, "REGISTRY_UNAVAILABLE");
    server.assert_calm();
}

async fn valid_and_invalid_webhooks_are_distinguished(pair: Pair) {
    let (Some(schemas), Some(events)) = (schemas_folder(), events_file()) else { return };
    let documents: Vec<Json> = fs::read_to_string(events)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let types: BTreeSet<&str> =
        documents.iter().map(|document| document["type"].as_str().unwrap()).collect();
    let schema = |event_type: &&str| {
        let text = fs::read_to_string(schemas.join(format!("{event_type}.json"))).unwrap();
        draft(event_type, SchemaFormat::Json, &text)
    };
    let schemas: Vec<SchemaDraft> = types.iter().map(schema).collect();
    assert_eq!(schemas.len(), 58);
    let request = ApplySchemasRequest { schemas, ..Default::default() };
    pair.schemas().apply_schemas(request).await.unwrap();
    pair.topic("com.github", SchemaEnforcement::Required).await;
    let (mut accepted, mut refused) = (0, Vec::new());
    for document in documents {
        let attribute = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        let event = Event {
            id: attribute("id"),
            source: attribute("source"),
            r#type: attribute("type"),
            subject: attribute("subject"),
            payload: text(&document["data"].to_string()),
            datacontenttype: "application/json".into(),
            ..Event::default()
        };
        let id = event.id.clone();
        match pair.server.publish("com.github", [event]).await {
            Ok(_) => accepted += 1,
            Err(status) => {
                assert_refused(&status, Code::InvalidArgument, "PAYLOAD_INVALID");
                let invalid = violations(&status);
                assert!(!invalid.is_empty(), "{id}");
                assert!(
                    invalid.keys().all(|field| field.starts_with("events[0].text_data")),
                    "{id}: {invalid:#?}"
                );
                refused.push(id);
            }
        }
    }
    assert_eq!((accepted, refused.len()), (277, 52));
    pair.assert_calm();
}
