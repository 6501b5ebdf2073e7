//! CloudEvents over HTTP: published in all modes, read as server-sent events and as lines. The
//! expected refusals are in `requests.golden`.

use std::{env, fmt::Write as _, fs, path::Path};

use prost::Message as _;
use serde_json::{Value, json};
use tidings::proto::events::v1::{
    AttributeValue, DeleteTopicRequest, Event, RecordedEvent, TrimTopicRequest,
    attribute_value::Attr, event::Payload, start_position::Position,
};

use crate::schemas::registry::{client, proto, register};
use crate::support::{
    harness::{
        Options, Server, at, earliest, event, events, ids as recorded_ids, keyed, read_from,
    },
    wire::{Answer, Blocks, Wire, ids},
};

pub const DOCUMENT: (&str, &str) = ("content-type", "application/cloudevents+json");
pub const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");
pub const LINES: (&str, &str) = ("accept", "application/x-ndjson");

pub async fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut wire = Wire::connect(server.address()).await;
    wire.call(&format!("POST {path}"), headers, body).await
}

pub async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut wire = Wire::connect(server.address()).await;
    wire.call(&format!("GET {path}"), headers, b"").await
}

async fn recorded(server: &Server, topic: &str) -> Vec<RecordedEvent> {
    server.read(read_from([topic], earliest())).await.unwrap().0
}

fn lines(response: &Answer) -> Vec<Value> {
    response.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_document_is_recorded_and_read_unchanged() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let document = r#"{"specversion":"1.0","id":"1","source":"/shop","type":"OrderPlaced","subject":"o-1",
        "time":"2026-01-31T12:00:00.25Z","urgent":true,"count":-3,"shop":"north","nothing":null,
        "data":{"big": 18446744073709551615, "x":1.10}}"#;
    let path = "/v1/topics/orders/events";
    let first = post(&server, path, &[DOCUMENT], document.as_bytes()).await.ok();
    assert_eq!(first.head.header("content-type"), "application/json");
    let result = &first.json()["results"][0];
    assert_eq!((&result["offset"], &result["duplicate"]), (&json!("0"), &json!(false)));
    assert_eq!(result["durability"], "DURABILITY_SYNCED");
    assert_eq!(result["cursor"].as_str().unwrap().len(), 40);
    let again = post(&server, path, &[DOCUMENT], document.as_bytes()).await.ok();
    assert_eq!(again.json()["results"][0]["duplicate"], json!(true));

    let events = recorded(&server, "orders").await;
    let kept = events[0].event.clone().unwrap();
    let data = "{\"big\": 18446744073709551615, \"x\":1.10}";
    assert_eq!(kept.payload, Some(Payload::TextData(data.into())));
    assert_eq!((kept.subject.as_str(), kept.extensions["shop"].as_str()), ("o-1", "north"));
    let attr = |attr| AttributeValue { attr: Some(attr) };
    assert_eq!(kept.attributes["urgent"], attr(Attr::CeBoolean(true)));
    assert_eq!(kept.attributes["count"], attr(Attr::CeInteger(-3)));
    assert!(!kept.attributes.contains_key("nothing") && !kept.extensions.contains_key("nothing"));

    let read = get(&server, "/v1/topics/orders/events?until=end", &[LINES]).await.ok();
    assert_eq!(read.head.header("content-type"), "application/x-ndjson");
    assert!(
        read.text().contains("\"data\":{\"big\": 18446744073709551615, \"x\":1.10}"),
        "{read:?}"
    );
    let document = &lines(&read)[0];
    assert_eq!(document["time"], "2026-01-31T12:00:00.25Z");
    assert_eq!((&document["urgent"], &document["count"]), (&json!(true), &json!(-3)));
    assert_eq!(document["tidingstopic"], "orders");
    assert_eq!(document["tidingsoffset"], "0");
    assert_eq!(document["tidingskeyversion"], "1");
    assert_eq!(document["tidingscursor"], events[0].cursor);

    // A document that was read can be posted: its position attributes are ignored.
    let same = post(&server, path, &[DOCUMENT], read.body.as_slice()).await.ok();
    assert_eq!(same.json()["results"][0]["duplicate"], json!(true));
    server.create("copy").await;
    post(&server, "/v1/topics/copy/events", &[DOCUMENT], read.body.as_slice()).await.ok();
    assert_eq!(recorded(&server, "copy").await[0].event, events[0].event);
}

#[tokio::test]
async fn headers_are_attributes_in_binary_mode() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let headers = [
        ("ce-specversion", "1.0"),
        ("CE-ID", "1"),
        ("ce-source", "/shop"),
        ("ce-type", "OrderPlaced"),
        ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("ce-time", "2026-01-31T12:00:00Z"),
        ("ce-note", r#""a \"quoted\" 100%25""#),
        ("ce-partitionkey", "o-1"),
        ("content-type", "application/json; charset=utf-8"),
    ];
    post(&server, "/v1/topics/orders/events", &headers, b"{\"n\": 1}").await.ok();
    let bytes = [
        ("ce-id", "2"),
        ("ce-source", "/shop"),
        ("ce-type", "Picture"),
        ("content-type", "image/png"),
    ];
    post(&server, "/v1/topics/orders/events", &bytes, b"\x89PNG").await.ok();
    let nothing = [("ce-id", "3"), ("ce-source", "/shop"), ("ce-type", "Nothing")];
    post(&server, "/v1/topics/orders/events", &nothing, b"").await.ok();

    let events = recorded(&server, "orders").await;
    let event = |n: usize| events[n].event.clone().unwrap();
    assert_eq!(event(0).subject, "Euro € 😀");
    assert_eq!(event(0).extensions["note"], "a \"quoted\" 100%");
    assert_eq!(event(0).time.map(|time| time.seconds), Some(1_769_860_800));
    assert_eq!((events[0].key.as_str(), events[0].key_version), ("o-1", 1));
    assert_eq!(event(0).payload, Some(Payload::TextData("{\"n\": 1}".into())));
    assert_eq!(event(0).datacontenttype, "application/json; charset=utf-8");
    assert_eq!(event(1).payload, Some(Payload::BinaryData(b"\x89PNG".to_vec().into())));
    assert_eq!((event(2).payload, event(2).datacontenttype), (None, String::new()));

    let read = get(&server, "/v1/topics/orders/events?until=end&from=1", &[LINES]).await.ok();
    assert_eq!(lines(&read)[0]["data_base64"], "iVBORw==");
}

#[tokio::test]
async fn batches_and_protobuf_events_are_recorded() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let document =
        |n: u32| json!({"specversion": "1.0", "id": n.to_string(), "source": "/s", "type": "T"});
    let batch = json!([document(1), document(2), document(3)]).to_string();
    let path = "/v1/topics/orders/events?durability=buffered";
    let response = post(&server, path, &[BATCH], batch.as_bytes()).await.ok().json();
    let results = response["results"].as_array().unwrap();
    let offsets: Vec<_> = results.iter().map(|result| result["offset"].as_str().unwrap()).collect();
    assert_eq!(offsets, ["0", "1", "2"]);
    assert_eq!(results[0]["durability"], "DURABILITY_BUFFERED");

    // With one invalid event, nothing of the batch is recorded.
    let mut wrong = document(5);
    wrong["source"] = json!(5);
    let batch = json!([document(4), wrong]).to_string();
    let refused = post(&server, path, &[BATCH], batch.as_bytes()).await;
    assert_eq!(refused.head.status, 400);
    assert_eq!(refused.json()["violations"][0]["field"], "events[1].source");

    let event = Event { payload: Some(Payload::BinaryData(vec![1, 2].into())), ..event("p-1") };
    let protobuf = [("content-type", "application/cloudevents+protobuf")];
    post(&server, path, &protobuf, &event.encode_to_vec()).await.ok();
    let events = recorded(&server, "orders").await;
    assert_eq!(recorded_ids(&events), ["1", "2", "3", "p-1"]);
    let kept = events[3].event.clone().unwrap();
    assert_eq!(kept.payload, event.payload);
}

#[tokio::test]
async fn conditions_are_query_parameters() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let document = |id: &str| {
        json!({"specversion": "1.0", "id": id, "source": "/s", "type": "T", "subject": "o=1"})
            .to_string()
    };
    let publish = async |id: &str, query: &str| {
        let path = format!("/v1/topics/orders/events?{query}");
        post(&server, &path, &[DOCUMENT], document(id).as_bytes()).await
    };
    publish("1", "expect-key-version=o%3D1=0&expect-next-offset=0").await.ok();
    let refused = publish("2", "expect-key-version=o%3D1%3D0").await;
    assert_eq!(refused.head.status, 409);
    let problem = refused.json();
    assert_eq!(problem["reason"], "KEY_VERSION_MISMATCH");
    assert_eq!(problem["metadata"]["actual"], "1");
    assert_eq!(problem["preconditions"][0]["subject"], "topics/orders/keys/o=1");
    let valid = publish("2", "validate-only=true&expect-next-offset=1").await.ok();
    assert_eq!(valid.json()["results"][0]["offset"], "1");
    assert_eq!(recorded(&server, "orders").await.len(), 1);
}

#[tokio::test]
async fn an_empty_batch_publishes_nothing() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let response = post(&server, "/v1/topics/orders/events", &[BATCH], b"[]").await.ok();
    assert_eq!(response.text(), "{\"results\":[]}\n");
    assert!(recorded(&server, "orders").await.is_empty());
}

#[tokio::test]
async fn times_of_the_years_1_to_9999_are_accepted() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let path = "/v1/topics/orders/events";
    let ends = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"];
    for (index, end) in ends.into_iter().enumerate() {
        let document = json!({"specversion": "1.0", "id": format!("d{index}"), "source": "/s", "type": "T", "time": end});
        post(&server, path, &[DOCUMENT], document.to_string().as_bytes()).await.ok();
        let id = format!("h{index}");
        let headers = [("ce-id", &*id), ("ce-source", "/s"), ("ce-type", "T"), ("ce-time", end)];
        post(&server, path, &headers, b"").await.ok();
    }
    let read = async |query: &str| {
        let response = get(&server, &format!("{path}?{query}"), &[LINES]).await.ok();
        lines(&response)
            .iter()
            .map(|event| event["time"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(read("until=end").await, [ends[0], ends[0], ends[1], ends[1]]);
    assert_eq!(read(&format!("until={}&from={}", ends[1], ends[0])).await.len(), 4);
    assert_eq!(read(&format!("until={}", ends[0])).await.len(), 0);
    assert_eq!(read("until=20200131T1200Z").await.len(), 0);
    let cel = "until=end&cel=event.time%20%3E%20timestamp('9999-12-31T00:00:00Z')";
    assert_eq!(read(cel).await, [ends[1], ends[1]]);
    server.assert_calm();
}

#[tokio::test]
async fn an_event_source_resumes_after_the_last_id() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    server.publish("orders", events("e", 5)).await.unwrap();
    let path = "/v1/topics/orders/events?from=earliest&heartbeat=1s";
    let mut source = Blocks::open(server.address(), path, &[]).await;
    let started = source.next().await.unwrap();
    assert_eq!((started.event.as_str(), started.retry.as_str()), ("started", "1000"));
    let position: Value = serde_json::from_str(&started.data).unwrap();
    assert_eq!(position["topics"][0]["nextOffset"], "5");
    assert_eq!(started.id, position["cursor"]);
    let first = source.take(5).await;
    assert_eq!(ids(&first), ["e-0", "e-1", "e-2", "e-3", "e-4"]);
    assert_eq!(first[4]["tidingscursor"], source.last_id.as_str());
    let after_third = first[2]["tidingscursor"].as_str().unwrap().to_owned();
    source.until("caught-up").await;
    let heartbeat = source.next().await.unwrap();
    assert_eq!((heartbeat.comment.as_str(), heartbeat.data.as_str()), ("heartbeat", ""));
    drop(source);

    // A browser reconnects to the same address.
    let last = [("last-event-id", after_third.as_str())];
    let mut again = Blocks::open(server.address(), path, &last).await;
    assert_eq!(ids(&again.take(2).await), ["e-3", "e-4"]);
    again.until("caught-up").await;
    server.publish("orders", [event("live")]).await.unwrap();
    assert_eq!(ids(&again.take(1).await), ["live"]);

    // Each id of the stream can resume it, also the id of a heartbeat.
    let id = again.last_id.clone();
    let mut third = Blocks::open(server.address(), path, &[("last-event-id", &id)]).await;
    server.publish("orders", [event("later")]).await.unwrap();
    assert_eq!(ids(&third.take(1).await), ["later"]);
    server.assert_calm();
}

#[tokio::test]
async fn query_parameters_select_events() {
    let server = Server::start(Options::default()).await;
    for topic in ["shop.orders", "shop.payments", "other"] {
        server.create(topic).await;
        let typed = |n: u32, kind: &str| Event {
            r#type: format!("{topic}.{kind}"),
            payload: Some(Payload::TextData(format!("{{\"total\": {n}}}"))),
            datacontenttype: "application/json".into(),
            ..keyed(format!("{topic}-{n}"), if n.is_multiple_of(2) { "even" } else { "odd" })
        };
        let all = (0..4).map(|n| typed(n, if n < 2 { "Small" } else { "Large" }));
        server.publish(topic, all).await.unwrap();
    }
    let read = async |path: &str| {
        let response = get(&server, &format!("/v1/topics/{path}"), &[LINES]).await.ok();
        lines(&response)
            .iter()
            .map(|event| event["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(read("shop.*/events?until=end").await.len(), 8);
    assert_eq!(read("shop.orders,other/events?until=end").await.len(), 8);
    assert_eq!(
        read("shop.orders/events?until=end&limit=2").await,
        ["shop.orders-0", "shop.orders-1"]
    );
    assert_eq!(read("shop.orders/events?from=earliest&limit=3").await.len(), 3);
    assert_eq!(read("shop.orders/events?until=end&from=-1").await, ["shop.orders-3"]);
    assert_eq!(
        read("shop.orders/events?until=end&from=2").await,
        ["shop.orders-2", "shop.orders-3"]
    );
    assert_eq!(read("**/events?until=end&key=odd").await.len(), 6);
    assert_eq!(read("**/events?until=end&type=other.Small&type=shop.orders.*").await.len(), 6);
    assert_eq!(
        read("**/events?until=end&filter=partitionkey=even&cel=data.total%20%3E%201").await.len(),
        3
    );
    assert_eq!(read("other/events?until=2020-01-01T00:00:00%2B02:00").await.len(), 0);
    assert_eq!(read("other/events?until=end&from=1h").await.len(), 4);

    let mut page = Blocks::open(server.address(), "/v1/topics/other/events?until=end", &[]).await;
    assert_eq!(page.take(4).await.len(), 4);
    let end = page.until("end").await;
    assert_eq!(page.next().await, None);
    let path = format!("other/events?until=end&cursor={}", end.id);
    server.publish("other", [event("more")]).await.unwrap();
    assert_eq!(read(&path).await, ["more"]);
}

#[tokio::test]
async fn payloads_of_registered_types_are_shown_as_json() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let mut registry = client(&server);
    register(&mut registry, proto("Order", "string id = 1; int64 total = 2;")).await.unwrap();
    let document = r#"{"specversion":"1.0","id":"1","source":"/s","type":"Order","data":{"total":"9007199254740993"}}"#;
    post(&server, "/v1/topics/orders/events", &[DOCUMENT], document.as_bytes()).await.ok();
    let kept = recorded(&server, "orders").await[0].event.clone().unwrap();
    assert!(matches!(kept.payload, Some(Payload::BinaryData(_))), "{kept:?}");
    let path = "/v1/topics/orders/events?until=end&accept=Order=%5E1";
    let read = lines(&get(&server, path, &[LINES]).await.ok());
    assert_eq!(read[0]["data"], json!({"total": "9007199254740993"}));
    assert_eq!(read[0]["datacontenttype"], "application/json");
    assert_eq!(read[0]["tidingsversion"], "1.0.0");
    let wrong = document.replace("total", "sum").replace("\"id\":\"1\"", "\"id\":\"2\"");
    let refused = post(&server, "/v1/topics/orders/events", &[DOCUMENT], wrong.as_bytes()).await;
    assert_eq!((refused.head.status, &refused.json()["reason"]), (400, &json!("PAYLOAD_INVALID")));
    let field = refused.json()["violations"][0]["field"].clone();
    assert_eq!(field, "events[0].data/sum", "a field of the document, not of the message");
}

#[tokio::test]
async fn a_gap_is_reported_in_both_framings() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    server.publish("orders", events("e", 5)).await.unwrap();
    let first = recorded(&server, "orders").await[0].cursor.clone();
    let before = at(Position::Offset(3));
    let trim = TrimTopicRequest { name: "orders".into(), before, validate_only: false };
    server.topics().trim_topic(trim).await.unwrap();
    let path = format!("/v1/topics/orders/events?cursor={first}");
    let lost = get(&server, &path, &[]).await;
    assert_eq!((lost.head.status, &lost.json()["reason"]), (410, &json!("POSITION_LOST")));
    let path = format!("{path}&on-lost=earliest");
    let mut source = Blocks::open(server.address(), &path, &[]).await;
    let gap: Value = serde_json::from_str(&source.until("gap").await.data).unwrap();
    assert_eq!((&gap["firstOffset"], &gap["nextOffset"]), (&json!("1"), &json!("3")));
    assert_eq!(ids(&source.take(2).await), ["e-3", "e-4"]);
    let read = lines(&get(&server, &format!("{path}&limit=2"), &[LINES]).await.ok());
    assert_eq!(read[0]["gap"], gap);
    assert_eq!(ids(&read[1..]), ["e-3", "e-4"]);
}

#[tokio::test]
async fn a_failed_stream_reports_the_reason() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let path = "/v1/topics/orders/events";
    let mut source = Blocks::open(server.address(), path, &[]).await;
    source.until("caught-up").await;
    let delete = DeleteTopicRequest { name: "orders".into(), etag: String::new() };
    server.topics().delete_topic(delete).await.unwrap();
    let failed = source.until("failed").await;
    let problem: Value = serde_json::from_str(&failed.data).unwrap();
    assert_eq!((&problem["status"], &problem["reason"]), (&json!(404), &json!("TOPIC_NOT_FOUND")));
    assert_eq!(failed.retry, "60000", "it would fail again");
    assert_eq!(source.next().await, None);
}

/// The name of the case, the request line, headers, body.
type Row<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, &'a str);

/// Compares each refusal byte for byte. `TIDINGS_BLESS=1` rewrites `requests.golden`.
#[tokio::test]
async fn refusals_match_the_golden_file() {
    const TYPES: [(&str, &str); 3] = [("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "T")];
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let document = r#"{"specversion":"1.0","id":"1","source":"/s","type":"T"}"#;
    post(&server, "/v1/topics/orders/events", &[DOCUMENT], document.as_bytes()).await.ok();
    let json = ("content-type", "application/json");
    let to = "POST /v1/topics/orders/events";
    let binary = |more: &[(&'static str, &'static str)]| [&TYPES, more].concat();
    let rows: Vec<Row> = vec![
        ("a path that is not there", "GET /v1/orders", vec![], ""),
        ("another method", "DELETE /v1/topics/orders/events", vec![], ""),
        ("another method of the root", "POST /", vec![DOCUMENT], "{}"),
        (
            "a method of gRPC in a browser",
            "GET /tidings.events.v1.EventService/Publish",
            vec![],
            "",
        ),
        (
            "a method of gRPC as JSON",
            "POST /tidings.events.v1.EventService/Publish",
            vec![json],
            "{}",
        ),
        ("plain JSON", to, vec![json], "{}"),
        ("nothing", to, vec![], ""),
        ("another format", to, vec![("content-type", "application/cloudevents+avro")], "x"),
        ("compressed", to, vec![DOCUMENT, ("content-encoding", "gzip")], "x"),
        ("no JSON", to, vec![DOCUMENT], "{"),
        ("no object", to, vec![DOCUMENT], "[]"),
        ("a member twice", to, vec![DOCUMENT], r#"{"id":"1","id":"2"}"#),
        ("an empty document", to, vec![DOCUMENT], "{}"),
        (
            "a document with many faults",
            to,
            vec![DOCUMENT],
            r#"{"specversion":"1.0","id":7,"type":"t","time":"noon","deep":{},"big":4294967296,"data":1,"data_base64":"AA=="}"#,
        ),
        (
            "what only the service sees",
            to,
            vec![DOCUMENT],
            r#"{"specversion":"0.3","id":"1","source":"/ s","type":"T","Upper":"x"}"#,
        ),
        ("no array", to, vec![BATCH], "{}"),
        (
            "an empty batch with a condition",
            "POST /v1/topics/orders/events?expect-next-offset=7",
            vec![BATCH],
            "[]",
        ),
        ("an empty batch to nowhere", "POST /v1/topics/order/events", vec![BATCH], "[]"),
        (
            "invalid values",
            to,
            vec![DOCUMENT],
            r#"{"specversion":"1.0","id":"a\u0000b","source":"%zz","type":"a\nb","note":"\ufffe","dataschema":"a b"}"#,
        ),
        (
            "members that are empty or unreadable",
            to,
            vec![DOCUMENT],
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","subject":"","dataschema":"","note":"\ud800","data_base64":"AB=="}"#,
        ),
        (
            "a time before the year 1",
            to,
            vec![DOCUMENT],
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","time":"0000-12-31T23:59:59Z"}"#,
        ),
        (
            "a time that is not RFC 3339",
            to,
            vec![DOCUMENT],
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"T","time":"2026-01-31T12:00Z"}"#,
        ),
        (
            "headers with invalid values",
            to,
            binary(&[
                ("ce-subject", "a%00"),
                ("ce-time", "0000-12-31T23:59:59Z"),
                ("ce-dataschema", ""),
            ]),
            "",
        ),
        (
            "numbers with a plus, and times out of range",
            "GET /v1/topics/orders/events?from=%2B1&limit=%2B1&until=0000-12-31T23:59:59Z",
            vec![],
            "",
        ),
        ("no Protobuf", to, vec![("content-type", "application/cloudevents+protobuf")], "x"),
        (
            "headers that do not decode",
            to,
            binary(&[("ce-subject", "100%"), ("ce-note", "%ff"), ("ce-note", "b"), json]),
            "{",
        ),
        ("a content type beside", to, binary(&[("ce-datacontenttype", "text/plain")]), "x"),
        (
            "an attribute that has no such name",
            to,
            binary(&[("ce-my-note", "x"), ("ce-time", "noon")]),
            "",
        ),
        (
            "another content",
            to,
            vec![DOCUMENT],
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"U"}"#,
        ),
        ("no such topic", "POST /v1/topics/order/events", vec![DOCUMENT], document),
        ("a name that is none", "POST /v1/topics/a%20b/events", vec![DOCUMENT], document),
        ("a path that does not decode", "POST /v1/topics/%ff/events", vec![DOCUMENT], document),
        (
            "parameters of a publish",
            "POST /v1/topics/orders/events?durability=sure&expect-key-version=3&expect-next-offset=x&validate-only=1&wait=1",
            vec![DOCUMENT],
            document,
        ),
        (
            "a condition",
            "POST /v1/topics/orders/events?expect-next-offset=7",
            vec![DOCUMENT],
            r#"{"specversion":"1.0","id":"2","source":"/s","type":"T"}"#,
        ),
        (
            "parameters of a stream",
            "GET /v1/topics/orders/events?from=soon&cursor=x&on-lost=cry&until=never&limit=0&on-mismatch=skip&accept=T&heartbeat=x&key=a&key=b&form=latest",
            vec![],
            "",
        ),
        ("a stream to nowhere", "GET /v1/topics/order/events", vec![], ""),
        ("a pattern that is none", "GET /v1/topics/or*/events", vec![], ""),
        (
            "a cursor that is none",
            "GET /v1/topics/orders/events?from=earliest",
            vec![("last-event-id", "7")],
            "",
        ),
        (
            "a filter that is none",
            "GET /v1/topics/orders/events?cel=data.total%20%3E&heartbeat=2h",
            vec![],
            "",
        ),
        ("an offset in the future", "GET /v1/topics/orders/events?from=9", vec![], ""),
        ("a version that nobody has", "GET /v1/topics/orders/events?accept=T=%5E1", vec![], ""),
        (
            "something else",
            "GET /v1/topics/orders/events",
            vec![("accept", "text/html, application/json;q=0.9")],
            "",
        ),
    ];
    let mut text = String::new();
    for (case, line, headers, body) in rows {
        let mut wire = Wire::connect(server.address()).await;
        let response = wire.call(line, &headers, body.as_bytes()).await;
        writeln!(text, "# {case}\n{line}").unwrap();
        writeln!(text, "{} {}", response.head.status, response.head.header("content-type"))
            .unwrap();
        for name in ["allow", "accept-post", "retry-after"] {
            if response.head.has(name) {
                writeln!(text, "{name}: {}", response.head.header(name)).unwrap();
            }
        }
        let shown = serde_json::to_string_pretty(&response.json()).unwrap();
        writeln!(text, "{}\n", without_cursors(&shown)).unwrap();
        assert!(response.head.status >= 400, "{case}: not refused");
    }
    server.assert_calm();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/http/requests.golden");
    if env::var_os("TIDINGS_BLESS").is_some() {
        fs::write(&golden, &text).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    let rows = |text: &str| -> Vec<String> { text.split("# ").map(String::from).collect() };
    for (row, expected) in rows(&text).iter().zip(&rows(&expected)) {
        assert_eq!(row, expected, "if this is intended, run with TIDINGS_BLESS=1");
    }
    assert_eq!(text.len(), expected.len(), "if this is intended, run with TIDINGS_BLESS=1");
}

/// Cursors differ between servers, except for the two letters of their version.
fn without_cursors(text: &str) -> String {
    let is_cursor = |word: &str| word.len() == 40 && word.starts_with("AQ");
    text.split('"')
        .map(|word| if is_cursor(word) { "<cursor>" } else { word })
        .collect::<Vec<_>>()
        .join("\"")
}
