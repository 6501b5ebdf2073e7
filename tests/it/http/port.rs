//! One port for gRPC and HTTP: idle connections, endless bodies, pages of other origins, readers
//! that stall or disconnect, and the drain.

use std::{fs, process::Command, time::Duration};

use serde_json::{Value, json};
use tidings::proto::events::v1::{
    Event, ListTopicsRequest, topic_service_client::TopicServiceClient,
};
use tonic::Code;

use crate::http::requests::{BATCH, DOCUMENT, LINES, get, post};
use crate::languages::clients::succeed;
use crate::support::{
    harness::{Options, PATIENCE, Server, event, events, eventually, large_events, within},
    toolchain::toolchain,
    wire::{Blocks, Wire, ids},
};

/// A stalled reader costs the server only its position, and receives every event in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_loses_nothing() {
    let server = Server::start(Options::default()).await;
    server.create("busy").await;
    let path = "/v1/topics/busy/events?from=earliest";
    let mut stalled = Blocks::open(server.address(), path, &[]).await;
    for batch in 0..20 {
        let events = large_events(&format!("batch-{batch}"), 50, 20_000);
        server.publish("busy", events).await.unwrap();
    }
    let events = stalled.take(1_000).await;
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event["tidingsoffset"], n.to_string());
    }
    server.assert_calm();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_open_streams_in_order() {
    let mut server = Server::start(Options::default()).await;
    server.create("orders").await;
    server.publish("orders", events("e", 3)).await.unwrap();
    let path = "/v1/topics/orders/events?from=earliest";
    let mut source = Blocks::open(server.address(), path, &[]).await;
    source.until("caught-up").await;
    let mut lines = Wire::connect(server.address()).await;
    lines.ask(&format!("GET {path}"), &[LINES], b"").await;
    assert_eq!(lines.head().await.status, 200);
    let mut idle = Wire::connect(server.address()).await;
    idle.call("GET /", &[], b"").await.ok();
    server.sigterm();
    let draining = source.until("draining").await;
    assert_eq!(draining.retry, "1000");
    assert_eq!(source.next().await, None, "the stream ends after it");
    let mut text = Vec::new();
    while let Some(chunk) = lines.chunk().await {
        text.extend(chunk);
    }
    let last = String::from_utf8(text).unwrap();
    let last: Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!(last["draining"]["reconnectDelay"], "1s");
    idle.closes_within(PATIENCE).await;
    assert_eq!(server.exit_within(PATIENCE).await.code(), Some(0));

    let server = server.restart_after_exit().await;
    server.publish("orders", [event("after")]).await.unwrap();
    let last = [("last-event-id", draining.id.as_str())];
    let mut again = Blocks::open(server.address(), path, &last).await;
    assert_eq!(ids(&again.take(1).await), ["after"]);
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let server = Server::start(Options::default()).await;
    let silent = async {
        let mut wire = Wire::connect(server.address()).await;
        wire.closes_within(PATIENCE).await;
    };
    let preface = async {
        let mut wire = Wire::connect(server.address()).await;
        wire.send(b"PRI * HTTP/2").await;
        wire.closes_within(PATIENCE).await;
    };
    let header = async {
        let mut wire = Wire::connect(server.address()).await;
        wire.send(b"GET / HTTP/1.1\r\nhost: x\r\n").await;
        wire.closes_within(2 * PATIENCE).await;
    };
    let kept = async {
        let mut wire = Wire::connect(server.address()).await;
        wire.call("GET /", &[], b"").await.ok();
        wire.call("GET /", &[], b"").await.ok();
        wire.closes_within(2 * PATIENCE).await;
    };
    tokio::join!(silent, preface, header, kept);
    // A connection whose protocol is known is still served.
    server.create("still-there").await;
}

#[tokio::test]
async fn bodies_are_limited() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let path = "POST /v1/topics/orders/events";
    let mut declared = Wire::connect(server.address()).await;
    let length = ("content-length", "100000000");
    declared.ask(path, &[DOCUMENT, length], b"").await;
    assert_eq!(declared.answer().await.head.status, 413);

    let mut chunked = Wire::connect(server.address()).await;
    chunked.ask(path, &[DOCUMENT, ("transfer-encoding", "chunked")], b"").await;
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 0x10_0000], b"\r\n"].concat();
    for _ in 0..17 {
        chunked.send(&chunk).await;
    }
    let refused = chunked.answer().await;
    assert_eq!(refused.head.status, 413);
    assert!(refused.json()["detail"].as_str().unwrap().contains("16777216"), "{refused:?}");

    let large = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "T", "data": "x".repeat(2 << 20)});
    let refused = post(&server, &path[5..], &[DOCUMENT], large.to_string().as_bytes()).await;
    assert_eq!((refused.head.status, &refused.json()["reason"]), (413, &json!("EVENT_TOO_LARGE")));
    let many = format!("[{}]", vec!["{}"; 20_000].join(","));
    let refused = post(&server, &path[5..], &[BATCH], many.as_bytes()).await;
    let problem = refused.json();
    assert_eq!((refused.head.status, &problem["reason"]), (413, &json!("BATCH_TOO_LARGE")));
    assert_eq!(problem["metadata"]["size"], "20000");
    server.assert_calm();
}

#[tokio::test]
async fn cross_origin_requests_follow_the_setting() {
    const PAGE: (&str, &str) = ("origin", "https://app.example");
    let listed = Server::start(Options::args(["--cors-origins", "https://app.example"])).await;
    listed.create("orders").await;
    let path = "/v1/topics/orders/events";
    let preflight = |method: &'static str| {
        [
            ("access-control-request-method", method),
            ("access-control-request-headers", "content-type,ce-id,x-grpc-web"),
        ]
    };
    let headers = |origin| [vec![origin], preflight("POST").to_vec()].concat();
    let mut wire = Wire::connect(listed.address()).await;
    for path in [path, "/tidings.events.v1.EventService/Subscribe"] {
        let response = wire.call(&format!("OPTIONS {path}"), &headers(PAGE), b"").await.ok();
        assert_eq!(response.head.header("access-control-allow-origin"), PAGE.1);
        assert_eq!(response.head.header("access-control-allow-methods"), "GET,POST");
        let allowed = response.head.header("access-control-allow-headers");
        assert_eq!(allowed, "content-type,ce-id,x-grpc-web");
        assert_eq!(response.head.header("access-control-max-age"), "7200");
        let other = ("origin", "https://other.example");
        let response = wire.call(&format!("OPTIONS {path}"), &headers(other), b"").await;
        assert!(!response.head.has("access-control-allow-origin"), "{response:?}");
    }
    let read = wire.call(&format!("GET {path}?until=end"), &[PAGE], b"").await.ok();
    assert_eq!(read.head.header("access-control-allow-origin"), PAGE.1);
    assert!(read.head.header("access-control-expose-headers").contains("grpc-status-details-bin"));
    let refused = wire.call("GET /v1/topics/none/events", &[PAGE], b"").await;
    assert_eq!(
        (refused.head.status, refused.head.header("access-control-allow-origin")),
        (404, PAGE.1)
    );

    let any = Server::start(Options::args(["--cors-origins", "*"])).await;
    let response = get(&any, "/", &[PAGE]).await.ok();
    assert_eq!(response.head.header("access-control-allow-origin"), "*");

    let off = Server::start(Options::default()).await;
    let mut wire = Wire::connect(off.address()).await;
    let response = wire.call(&format!("OPTIONS {path}"), &headers(PAGE), b"").await;
    assert_eq!(response.head.status, 405);
    assert!(!response.head.has("access-control-allow-origin"), "{response:?}");
}

/// A page whose host name resolves to 127.0.0.1 has the same origin as the server: only the host
/// name identifies it.
#[tokio::test]
async fn foreign_host_names_are_refused_on_loopback() {
    let server = Server::start(Options::args(["--cors-origins", "https://app.example"])).await;
    server.create("orders").await;
    let paths = ["GET /v1/topics/orders/events?until=end", "GET /"];
    for host in
        ["evil.example", "evil.example:7171", "localhost.evil.example", "127.0.0.1.evil", "a b", ""]
    {
        for path in paths {
            let mut wire = Wire::connect(server.address()).await;
            let refused = wire.call(path, &[("host", host)], b"").await;
            assert_eq!(refused.head.status, 421, "{host}: {refused:?}");
            assert!(refused.text().contains("cors-origins"), "{refused:?}");
        }
        let web = ("content-type", "application/grpc-web+proto");
        let call = "POST /tidings.events.v1.TopicService/ListTopics";
        let mut wire = Wire::connect(server.address()).await;
        assert_eq!(wire.call(call, &[web, ("host", host)], &[0; 5]).await.head.status, 421);
    }
    for host in [
        "LocalHost:7171",
        "db.localhost",
        "127.0.0.1:7171",
        "[::1]:7171",
        "10.0.0.1",
        "App.example",
    ] {
        for path in paths {
            let mut wire = Wire::connect(server.address()).await;
            wire.call(path, &[("host", host)], b"").await.ok();
        }
    }
    // Programs may use any host name over HTTP/2.
    let named = tonic::transport::Endpoint::new(format!("http://{}", server.address())).unwrap();
    let named = named.origin("http://tidings.example:7171".parse().unwrap());
    let mut client = TopicServiceClient::new(named.connect().await.unwrap());
    client.list_topics(ListTopicsRequest::default()).await.unwrap();
    server.assert_calm();
}

#[tokio::test]
async fn one_port_serves_all_of_them() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let mut wire = Wire::connect(server.address()).await;
    let about = wire.call("GET /", &[], b"").await.ok();
    assert!(about.text().contains("This is Tidings"), "{about:?}");
    assert!(about.text().contains("grpcurl -plaintext localhost list"), "{}", about.text());
    // On the same connection, in parallel with gRPC.
    let following = Blocks::open(server.address(), "/v1/topics/orders/events", &[]);
    let mut following = within(PATIENCE, "a stream", following).await;
    following.until("caught-up").await;
    server.publish("orders", [event("by-grpc")]).await.unwrap();
    let document = r#"{"specversion":"1.0","id":"by-http","source":"/s","type":"T"}"#;
    wire.call("POST /v1/topics/orders/events", &[DOCUMENT], document.as_bytes()).await.ok();
    assert_eq!(ids(&following.take(2).await), ["by-grpc", "by-http"]);

    let status = unknown_method(&server).await;
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
    if !toolchain("one_port_serves_all_of_them", ["curl"]) {
        return;
    }
    let address = server.address();
    let url = format!("http://{address}/v1/topics/orders/events?until=end");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let lines = succeed(Command::new("curl").args([
            "-sSf",
            version,
            "-H",
            "Accept: application/x-ndjson",
            &url,
        ]));
        assert_eq!(lines.lines().count(), 2, "{version}: {lines}");
    }
    let data = r#"{"specversion":"1.0","id":"by-curl","source":"/curl","type":"T","data":{"n":1}}"#;
    let url = format!("http://{address}/v1/topics/orders/events");
    let content_type = "Content-Type: application/cloudevents+json";
    let output = succeed(Command::new("curl").args(["-sSf", &url, "-H", content_type, "-d", data]));
    assert!(output.contains("\"offset\":\"2\""), "{output}");
    let stream = format!("http://{address}/v1/topics/orders/events?from=earliest&limit=3");
    let output = succeed(Command::new("curl").args(["-sSfN", &stream]));
    assert!(output.contains("id: ") && output.contains("\"id\":\"by-curl\""), "{output}");
}

async fn unknown_method(server: &Server) -> tonic::Status {
    let mut client = tonic::client::Grpc::new(server.channel());
    client.ready().await.unwrap();
    let path = "/tidings.events.v1.EventService/Nothing".parse().unwrap();
    let codec = tonic_prost::ProstCodec::<Event, Event>::default();
    client.unary(tonic::Request::new(Event::default()), path, codec).await.unwrap_err()
}

/// The server closes the stream of a disconnected reader and frees its resources.
#[tokio::test]
async fn a_disconnected_reader_leaves_no_open_descriptors() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    get(&server, "/", &[]).await.ok();
    let before = descriptors();
    for _ in 0..50 {
        let mut source = Blocks::open(server.address(), "/v1/topics/orders/events", &[]).await;
        source.next().await.unwrap();
    }
    eventually(Duration::from_secs(20), "the connections are closed", async || {
        (descriptors() <= before + 2).then_some(())
    })
    .await;
}
