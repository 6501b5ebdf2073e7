//! Clients that never read, disconnect, send malformed requests, or connect by the thousand. Other
//! clients are not affected.

use std::{
    fs,
    time::{Duration, Instant},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tidings::proto::events::v1::{
    PublishRequest, PublishStreamRequest, SubscribeRequest, subscribe_response::Message,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};
use tokio_stream::StreamExt as _;

use crate::support::harness::{
    Options, PATIENCE, Rng, Server, Subscription, connect, earliest, endpoint, event, events_over,
    eventually, ids, large_events, latest, offsets, subscribe_to, within,
};

/// Many connections need many descriptors, in the test and in the server, which inherits the limit.
fn allow_many_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// A subscription over a connection with small flow control windows.
async fn narrow(server: &Server, request: SubscribeRequest) -> Subscription {
    let endpoint = endpoint(server.address())
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535);
    let mut client = events_over(endpoint.connect().await.unwrap());
    Subscription::open(&mut client, request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_delays_no_other_client_and_gets_every_event_later() {
    const EVENTS: u64 = 4_000;
    let server = Server::start(Options::args(["--tail-bytes", "8MiB"])).await;
    server.create("busy").await;
    let mut stalled = Vec::new();
    for _ in 0..5 {
        stalled.push(narrow(&server, subscribe_to(["busy"], earliest())).await);
    }
    let mut healthy = server.subscribe(subscribe_to(["busy"], earliest())).await;
    let healthy = tokio::spawn(async move { healthy.take(4_000).await });
    // 80 MB, ten times the limit of the tail.
    let start = Instant::now();
    for batch in 0..EVENTS / 40 {
        let events = large_events(&format!("batch-{batch}"), 40, 20_000);
        server.publish("busy", events).await.unwrap();
    }
    let seen = within(PATIENCE, "the healthy subscriber", healthy).await.unwrap();
    assert_eq!(offsets(&seen), (0..EVENTS).collect::<Vec<_>>());
    eprintln!("the healthy subscriber had 80 MB after {:?}", start.elapsed());

    for mut subscription in stalled {
        let (mut next, mut caught_up, mut fell_behind) = (0, 0, 0);
        while next < EVENTS || caught_up < 1 + fell_behind {
            match subscription.expect().await {
                Message::Batch(batch) => {
                    for event in batch.events {
                        assert_eq!(event.offset, next);
                        next += 1;
                    }
                }
                Message::CaughtUp(_) => caught_up += 1,
                Message::FellBehind(_) => fell_behind += 1,
                Message::Heartbeat(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((next, caught_up), (EVENTS, 1 + fell_behind));
    }
    server.assert_calm();
}

fn resident_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The limit: 64 KiB for each of 1,000 stalled subscribers to events of 1 KiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_stalled_subscribers_cost_little_memory() {
    const STALLED: u64 = 1_000;
    let server = Server::start(Options::default()).await;
    server.create("stalled").await;
    for batch in 0..20 {
        let events = large_events(&format!("batch-{batch}"), 1_000, 1_024);
        server.publish("stalled", events).await.unwrap();
    }
    // Warm the caches first, so that the measurement does not include them.
    let mut warm = server.subscribe(subscribe_to(["stalled"], earliest())).await;
    assert_eq!(warm.catch_up().await.len(), 20_000);
    let before = resident_kib(&server);
    let mut stalled = Vec::new();
    for _ in 0..10 {
        let endpoint = endpoint(server.address()).initial_stream_window_size(65_535);
        let channel = endpoint.connect().await.unwrap();
        for _ in 0..STALLED / 10 {
            let request = subscribe_to(["stalled"], earliest());
            let mut client = events_over(channel.clone());
            stalled.push(Subscription::open(&mut client, request).await.unwrap());
        }
    }
    // Memory is steady when it changes by less than 1 MiB within a second.
    let mut last = 0;
    let after = eventually(PATIENCE, "steady memory", async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = resident_kib(&server);
        let steady = now.abs_diff(last) < 1_024;
        last = now;
        steady.then_some(now)
    })
    .await;
    let each = after.saturating_sub(before) / STALLED;
    eprintln!("{before} KiB before, {after} KiB with {STALLED} stalled: {each} KiB each");
    assert!(each <= 64, "{each} KiB for each stalled subscriber");
    drop(stalled);
}

fn descriptors(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_disconnect_leave_no_connections_open() {
    let server = Server::start(Options::default()).await;
    server.create("left").await;
    server.publish("left", large_events("e", 30, 100_000)).await.unwrap();
    let before = descriptors(&server);
    for round in 0..30 {
        let mut following = narrow(&server, subscribe_to(["left"], latest())).await;
        let lagging = narrow(&server, subscribe_to(["left"], earliest())).await;
        let mut client = events_over(connect(server.address()).await);
        let requests = (0..100).map(move |n| PublishStreamRequest {
            sequence: n,
            publish: Some(PublishRequest {
                topic: "left".into(),
                events: vec![event(format!("{round}-{n}"))],
                ..PublishRequest::default()
            }),
        });
        let requests = tokio_stream::iter(requests);
        let outcomes = client.publish_stream(requests).await.unwrap();
        within(PATIENCE, "an event", following.next()).await.unwrap();
        // Reset, not closed: the client loses the responses that are in flight.
        drop((following, lagging, outcomes, client));
        let raw = TcpStream::connect(server.address()).await.unwrap();
        raw.set_zero_linger().unwrap();
    }
    eventually(PATIENCE, "the connections are closed", async || {
        (descriptors(&server) <= before + 5).then_some(())
    })
    .await;
    let mut subscription = server.subscribe(subscribe_to(["left"], earliest())).await;
    let events = subscription.catch_up().await;
    assert_eq!(offsets(&events), (0..events.len() as u64).collect::<Vec<_>>());
    let mut unique = ids(&events);
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), events.len(), "an event is recorded twice");
    server.assert_calm();
}

/// A gRPC frame.
fn frame(compression: u8, length: u32, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(compression);
    bytes.put_u32(length);
    bytes.put_slice(body);
    bytes.freeze()
}

fn complete_frame(body: &[u8]) -> Bytes {
    frame(0, u32::try_from(body.len()).unwrap(), body)
}

/// Sends a request over raw HTTP/2. Returns the gRPC status, if the response has one.
async fn raw_call(server: &Server, path: &str, content_type: &str, body: Bytes) -> Option<i32> {
    let socket = TcpStream::connect(server.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = http::Request::post(format!("http://{}{path}", server.address()))
        .header("content-type", content_type)
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut stream) = client.send_request(request, false).unwrap();
    // The server may respond and close the stream before the body is sent completely.
    stream.send_data(body, true).ok();
    let response = match within(PATIENCE, "a response", response).await {
        Ok(response) => response,
        Err(_) => return None,
    };
    let status =
        |headers: &http::HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse().ok();
    let in_headers = status(response.headers());
    let mut body = response.into_body();
    while let Some(Ok(data)) = within(PATIENCE, "the body", body.data()).await {
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let trailers = within(PATIENCE, "the trailers", body.trailers()).await.ok().flatten();
    connection.abort();
    in_headers.or_else(|| trailers.as_ref().and_then(status))
}

const METHODS: [&str; 14] = [
    "/tidings.events.v1.EventService/Publish",
    "/tidings.events.v1.EventService/PublishStream",
    "/tidings.events.v1.EventService/Subscribe",
    "/tidings.events.v1.EventService/Read",
    "/tidings.events.v1.EventService/GetEvent",
    "/tidings.events.v1.TopicService/CreateTopic",
    "/tidings.events.v1.TopicService/GetTopic",
    "/tidings.events.v1.TopicService/ListTopics",
    "/tidings.events.v1.TopicService/UpdateTopic",
    "/tidings.events.v1.TopicService/DeleteTopic",
    "/tidings.events.v1.TopicService/TrimTopic",
    "/tidings.registry.v1.SchemaRegistryService/RegisterSchema",
    "/tidings.registry.v1.SchemaRegistryService/ApplySchemas",
    "/tidings.registry.v1.SchemaRegistryService/ListConsumers",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_are_refused_and_nothing_panics() {
    let mut rng = Rng::seeded("garbage");
    let server = Server::start(Options::default()).await;
    server.create("clean").await;
    let before = resident_kib(&server);
    let grpc = "application/grpc";

    // 2,000 nested messages: an Any in a payload in a payload ...
    let mut nested = Vec::new();
    for _ in 0..2_000 {
        let mut outer = vec![0x12];
        prost::encoding::encode_varint(nested.len() as u64, &mut outer);
        outer.extend_from_slice(&nested);
        nested = outer;
    }
    let bodies = |rng: &mut Rng| {
        let random: Vec<u8> = (0..200).map(|_| rng.next().to_le_bytes()[0]).collect();
        vec![
            ("random bytes", complete_frame(&random), false),
            (
                "a length that exceeds the message",
                complete_frame(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
                true,
            ),
            ("a wrong wire type", complete_frame(&[0x0d, 1, 2, 3, 4]), true),
            ("a varint without end", complete_frame(&[0xff; 20]), true),
            ("tag 0", complete_frame(&[0x00, 0x01]), true),
            ("not UTF-8", complete_frame(&[0x0a, 0x02, 0xff, 0xfe]), false),
            ("nested messages", complete_frame(&nested), false),
            ("a frame header that exceeds the body", frame(0, 1_000, b"short"), true),
            ("a frame of 4 GiB", frame(0, u32::MAX, b"short"), true),
            ("a frame of 17 MiB", frame(0, 17 << 20, b"short"), true),
            ("an unknown compression flag", frame(2, 5, b"short"), true),
            ("compressed without an encoding header", frame(1, 5, b"short"), true),
            ("half a frame header", Bytes::from_static(&[0, 0]), true),
        ]
    };
    for method in METHODS {
        for (what, body, is_error) in bodies(&mut rng) {
            // Random bytes may decode to a message: the server then only has to respond.
            let stays_open = method.ends_with("Subscribe") && !is_error;
            if stays_open && what == "random bytes" {
                continue;
            }
            let call = raw_call(&server, method, grpc, body);
            let status = within(PATIENCE, what, call).await;
            if is_error {
                assert!(status.is_some_and(|code| code != 0), "{method}: {what}: {status:?}");
                // The server never responds with UNKNOWN, 2.
                assert_ne!(status, Some(2), "{method}: {what}: UNKNOWN");
                if what == "a varint without end" {
                    assert_eq!(
                        status,
                        Some(3),
                        "{method}: a request that does not decode is INVALID_ARGUMENT"
                    );
                }
            }
        }
    }
    for path in ["/", "/nothing", "/tidings.events.v1.EventService/Nothing", "/../../etc/passwd"] {
        let status = raw_call(&server, path, grpc, complete_frame(b"")).await;
        assert_eq!(status, Some(12), "{path}");
    }

    // Bytes that are not HTTP/2.
    for _ in 0..20 {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        let bytes: Vec<u8> = (0..500).map(|_| rng.next().to_le_bytes()[0]).collect();
        let bytes = if rng.chance(30) { b"GET / HTTP/1.1\r\n\r\n".to_vec() } else { bytes };
        socket.write_all(&bytes).await.ok();
        // The server keeps an HTTP/1 connection for the next request until its client closes it.
        socket.shutdown().await.ok();
        let mut response = Vec::new();
        within(PATIENCE, "the connection is closed", socket.read_to_end(&mut response)).await.ok();
    }

    server.assert_calm();
    server.publish("clean", [event("after all that")]).await.unwrap();
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more");
}

/// The peak memory of the process since the previous call.
fn peak_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let peak = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
    peak
}

/// An empty message has two bytes on the wire, and takes hundreds of bytes once it is decoded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_requests_that_decode_to_much_memory_are_refused() {
    let server = Server::start(Options::default()).await;
    server.create("bombed").await;
    let within_field = |tag: u8, inner: Vec<u8>| {
        let mut outer = vec![tag << 3 | 2];
        prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        outer.extend(inner);
        outer
    };
    let empties = |tag: u8| [tag << 3 | 2, 0].repeat(15 << 19);
    let events = "/tidings.events.v1.EventService";
    let bombs = [
        ("Publish", empties(2)),
        // Event.data, Value.list_value, ListValue.values
        ("Publish", within_field(2, within_field(9, within_field(6, empties(1))))),
        ("PublishStream", within_field(2, empties(2))),
        ("Subscribe", within_field(5, empties(1))),
        ("Subscribe", empties(3)),
        ("Read", empties(6)),
    ];
    let bombs = bombs.map(|(method, body)| (format!("{events}/{method}"), body));
    let registry = "/tidings.registry.v1.SchemaRegistryService";
    let drafts = [
        (format!("{registry}/ApplySchemas"), empties(1)),
        (format!("{registry}/RegisterSchema"), within_field(1, empties(4))),
    ];
    for (method, body) in bombs.into_iter().chain(drafts) {
        let before = resident_kib(&server);
        peak_kib(&server);
        let status = raw_call(&server, &method, "application/grpc", complete_frame(&body)).await;
        assert_eq!(status, Some(3), "{method}");
        let used = peak_kib(&server).saturating_sub(before);
        eprintln!("{method}: {used} KiB");
        // The request has 15 MiB, in buffers that grow by doubling.
        assert!(used < 64 << 10, "{method}: {used} KiB");
    }
    server.assert_calm();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_are_all_served() {
    const CONNECTIONS: usize = 1_000;
    allow_many_descriptors();
    let server = Server::start(Options::default()).await;
    server.create("popular").await;
    let mut readers = JoinSet::new();
    let address = server.address();
    for _ in 0..CONNECTIONS {
        let request = subscribe_to(["popular"], earliest());
        readers.spawn(async move {
            let mut client = events_over(connect(address).await);
            let mut subscription = Subscription::open(&mut client, request).await.unwrap();
            ids(&subscription.take(2).await) == ["a", "b"]
        });
    }
    server.publish("popular", [event("a")]).await.unwrap();
    eventually(PATIENCE, "a thousand connections", async || {
        (descriptors(&server) > CONNECTIONS).then_some(())
    })
    .await;
    server.publish("popular", [event("b")]).await.unwrap();
    let results = within(PATIENCE, "all readers", readers.join_all()).await;
    assert!(results.into_iter().all(|is_complete| is_complete));
    server.assert_calm();
}

/// PublishStream without reading an outcome: the server applies backpressure instead of keeping the
/// events in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_reads_no_outcomes_gets_backpressure() {
    let server = Server::start(Options::default()).await;
    server.create("pushed").await;
    let before = resident_kib(&server);
    let mut client = events_over(connect(server.address()).await);
    let large = bytes::Bytes::from(vec![b'x'; 500_000]);
    let requests = tokio_stream::iter(0..2_000_u64).map(move |n| {
        let payload = tidings::proto::events::v1::event::Payload::BinaryData(large.clone());
        let event = tidings::proto::events::v1::Event {
            payload: Some(payload),
            ..event(format!("pushed-{n}"))
        };
        let publish = PublishRequest {
            topic: "nobody-made-this".into(),
            events: vec![event],
            ..PublishRequest::default()
        };
        PublishStreamRequest { sequence: n, publish: Some(publish) }
    });
    let outcomes = client.publish_stream(requests).await.unwrap();
    let mut growth_max = 0;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        growth_max = growth_max.max(resident_kib(&server).saturating_sub(before));
        server.publish("pushed", [event(format!("meanwhile-{growth_max}"))]).await.unwrap();
    }
    eprintln!("{growth_max} KiB more while outcomes wait");
    assert!(growth_max < 256 << 10, "{growth_max} KiB more while outcomes wait");
    drop(outcomes);
    server.assert_calm();
}
