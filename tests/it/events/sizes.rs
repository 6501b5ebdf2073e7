//! Sizes of responses: clients of any language accept messages of 4 MiB and 8 KiB of trailers
//! without any setting. Many streams can share one connection.

use std::collections::BTreeMap;

use prost::Message as _;
use serde_json::json;
use tidings::proto::events::v1::{
    DeleteTopicRequest, Event, EventView, ListTopicsRequest, PublishRequest, ReadRequest,
    SubscribeRequest, SubscribeResponse, Topic, event::Payload,
    event_service_client::EventServiceClient, subscribe_response::Message,
};
use tidings_registry::proto::v1::{
    ApplySchemasRequest, CheckSchemaRequest, Compatibility, ListSchemasRequest,
    NegotiateVersionsRequest, RegisterSchemaRequest, SchemaDraft, SchemaFormat, VersionRequirement,
    schema_registry_service_client::SchemaRegistryServiceClient,
};
use tonic::{Code, Streaming, transport::Channel};

use crate::schemas::registry::report_of;
use crate::support::{
    harness::{
        Options, PATIENCE, Server, Subscription, assert_refused, earliest, endpoint, event, events,
        events_over, large_events, latest, metadata, offsets, read_from, subscribe_to, within,
    },
    registry_pair::draft,
};

/// The default message limit of clients.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// A client with the default decoding limit of tonic, which is that of every other language.
fn plain(server: &Server) -> EventServiceClient<Channel> {
    EventServiceClient::new(server.channel()).max_encoding_message_size(32 << 20)
}

/// A request for the largest batches that the server sends.
fn large_batches(topic: &str, view: EventView) -> SubscribeRequest {
    SubscribeRequest {
        max_batch_events: 10_000,
        max_batch_bytes: 3 << 20,
        view: view.into(),
        ..subscribe_to([topic], earliest())
    }
}

/// The offsets before CaughtUp, and the size of the largest message.
async fn caught_up(mut stream: Streaming<SubscribeResponse>) -> (Vec<u64>, usize) {
    let (mut seen, mut largest) = (Vec::new(), 0);
    loop {
        let response = within(PATIENCE, "a message", stream.message()).await.unwrap().unwrap();
        largest = largest.max(response.encoded_len());
        match response.message.unwrap() {
            Message::Batch(batch) => {
                let last = batch.events.last().unwrap();
                assert_eq!(
                    batch.cursor, last.cursor,
                    "the cursor of a batch is that of its last event"
                );
                seen.extend(offsets(&batch.events));
            }
            Message::CaughtUp(_) => return (seen, largest),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_metadata_and_converted_payloads_fit_into_messages() {
    let server = Server::start(Options::default()).await;
    // Each delivered event has its topic name, and its key in addition to the key attribute.
    let long = format!("sizes.{}", "x".repeat(240));
    server.create(&long).await;
    for batch in 0..6 {
        let subject = "k".repeat(300);
        let small = events(&format!("small-{batch}"), 1_500).into_iter();
        let small = small.map(|event| Event { subject: subject.clone(), ..event });
        server.publish(&long, small).await.unwrap();
    }
    // Numbers are larger as `Value` than as text.
    server.create("grown").await;
    let numbers = format!("[{}]", vec!["1"; 20_000].join(","));
    for batch in 0..40 {
        // A batch has at most an eighth of the bytes that the reader has received: a batch that is
        // too large as `Value` takes 16 MiB of events.
        let json = (0..10).map(|n| Event {
            datacontenttype: "application/json".into(),
            payload: Some(Payload::TextData(numbers.clone())),
            ..event(format!("json-{batch}-{n}"))
        });
        server.publish("grown", json).await.unwrap();
    }

    for (topic, view, count) in
        [(long.as_str(), EventView::Full, 9_000), ("grown", EventView::Json, 400)]
    {
        let stream = plain(&server).subscribe(large_batches(topic, view)).await.unwrap();
        let (seen, largest) = caught_up(stream.into_inner()).await;
        assert_eq!(seen, (0..count).collect::<Vec<_>>(), "{view:?}");
        if view == EventView::Json {
            assert!(largest > MESSAGE_BYTES_MAX / 2, "{largest} bytes: no message was split");
        }

        let read =
            ReadRequest { view: view.into(), max_events: 10_000, ..read_from([topic], earliest()) };
        let mut pages = plain(&server).read(read).await.unwrap().into_inner();
        let (mut seen, mut end) = (Vec::new(), String::new());
        while let Some(page) = within(PATIENCE, "a page", pages.message()).await.unwrap() {
            assert!(end.is_empty(), "end_cursor is on the last message");
            end = page.end_cursor;
            seen.extend(offsets(&page.batch.unwrap_or_default().events));
        }
        assert_eq!(seen, (0..count).collect::<Vec<_>>(), "{view:?}");
        assert!(!end.is_empty());
    }
    server.assert_calm();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_with_a_too_large_response_is_refused_before_it_is_recorded() {
    let server = Server::start(Options::default()).await;
    server.create("ids").await;
    let long = |n: usize| Event {
        id: format!("{n:0>1000}"),
        source: "s".into(),
        r#type: "t".into(),
        ..Event::default()
    };
    let publish = |count: usize| PublishRequest {
        topic: "ids".into(),
        events: (0..count).map(long).collect(),
        ..PublishRequest::default()
    };
    let refused = plain(&server).publish(publish(4_000)).await.unwrap_err();
    assert_refused(&refused, Code::InvalidArgument, "BATCH_TOO_LARGE");
    assert_eq!(metadata(&refused)["limit"], MESSAGE_BYTES_MAX.to_string());
    assert!(server.read(read_from(["ids"], earliest())).await.unwrap().0.is_empty());
    let response = plain(&server).publish(publish(3_500)).await.unwrap().into_inner();
    assert_eq!(response.results.len(), 3_500);
    assert!(response.encoded_len() < MESSAGE_BYTES_MAX);
}

/// A schema of about `bytes` bytes; `number` makes it distinct.
fn large_schema(subject: &str, number: usize, bytes: usize) -> SchemaDraft {
    let text = format!(
        r#"{{"type": "object", "properties": {{"p{number}": {{"description": "{}"}}}}}}"#,
        "x".repeat(bytes)
    );
    SchemaDraft {
        compatibility: Compatibility::None.into(),
        ..draft(subject, SchemaFormat::Json, &text)
    }
}

fn large_labels() -> BTreeMap<String, String> {
    (0..64).map(|n| (format!("{n:0>60}"), "v".repeat(250))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_large_items_come_in_smaller_pages() {
    let server = Server::start(Options::default()).await;
    let mut registry =
        SchemaRegistryServiceClient::new(server.channel()).max_encoding_message_size(32 << 20);

    // 300 topics with 20 KiB of labels each, and as many subjects.
    for n in 0..300 {
        server
            .create_with(Topic {
                name: format!("large.t{n:03}"),
                labels: large_labels().into_iter().collect(),
                ..Topic::default()
            })
            .await;
    }
    let (mut names, mut pages, mut token) = (Vec::new(), 0, String::new());
    loop {
        let request = ListTopicsRequest {
            page_size: 1_000,
            page_token: token,
            ..ListTopicsRequest::default()
        };
        let page = server.topics().list_topics(request).await.unwrap().into_inner();
        names.extend(page.topics.into_iter().map(|topic| topic.name));
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, (0..300).map(|n| format!("large.t{n:03}")).collect::<Vec<_>>());
    assert!(pages > 1, "all topics fitted into one page");

    // Nine versions of almost 1 MiB in one request; responses list them without their text.
    let drafts: Vec<_> =
        (0..9).map(|n| large_schema(&format!("large.s{n}"), n, 1_000_000)).collect();
    let apply = ApplySchemasRequest { schemas: drafts, ..Default::default() };
    let applied = registry.apply_schemas(apply).await.unwrap().into_inner();
    assert_eq!(applied.results.len(), 9);
    assert!(
        applied.results.iter().all(|result| result.schema.as_ref().unwrap().version == "1.0.0")
    );
    let requirements = (0..9)
        .map(|n| VersionRequirement { subject: format!("large.s{n}"), requirement: "^1".into() });
    let negotiate =
        NegotiateVersionsRequest { requirements: requirements.collect(), ..Default::default() };
    let response = registry.negotiate_versions(negotiate).await.unwrap().into_inner();
    assert!(
        response.versions.iter().all(|version| version.schema.as_ref().unwrap().version == "1.0.0")
    );

    for n in 0..9 {
        let schema = SchemaDraft {
            version: format!("{}.0.0", n + 1),
            ..large_schema("large.versions", n, 900_000)
        };
        let request = RegisterSchemaRequest { schema: Some(schema), ..Default::default() };
        registry.register_schema(request).await.unwrap();
    }
    let (mut versions, mut pages, mut token) = (0, 0, String::new());
    loop {
        let request = ListSchemasRequest {
            subject: "large.versions".into(),
            page_size: 1_000,
            page_token: token,
        };
        let page = registry.list_schemas(request).await.unwrap().into_inner();
        assert!(page.schemas.iter().all(|schema| schema.definition.is_some()));
        versions += page.schemas.len();
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert!(versions == 9 && pages >= 3, "{versions} versions in {pages} pages");
    server.assert_calm();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_of_thousands_of_breaks_fits_into_its_response_and_details() {
    const VERSIONS: usize = 20;
    let server = Server::start(Options::default()).await;
    let mut registry = SchemaRegistryServiceClient::new(server.channel());
    let message = |kind: &str, fields: usize| {
        let long = "x".repeat(150);
        let fields: Vec<String> =
            (1..=fields).map(|n| format!("{kind} field_{long}_{n} = {n};")).collect();
        let text = format!("syntax = \"proto3\";\nmessage Large {{\n{}\n}}\n", fields.join("\n"));
        draft("Large", SchemaFormat::Protobuf, &text)
    };
    let register = |schema| RegisterSchemaRequest { schema: Some(schema), ..Default::default() };
    // At most 500 findings are reported for two versions: a report that exceeds the limit takes
    // many versions.
    for version in 0..VERSIONS {
        let schema = message("int32", 500 + version);
        registry.register_schema(register(schema)).await.unwrap();
    }
    let check = CheckSchemaRequest { schema: Some(message("string", 500)), ..Default::default() };
    let response = registry.check_schema(check).await.unwrap().into_inner();
    assert!(response.encoded_len() <= MESSAGE_BYTES_MAX, "{} bytes", response.encoded_len());
    let report = response.report.unwrap();
    let (reported, total) = (report.findings.len(), report.total_findings as usize);
    assert!(!response.acceptable && total >= 10_000 && reported > 1_000, "{reported} of {total}");
    assert!(reported < total, "all findings fitted: {} bytes", report.encoded_len());

    let refused = registry.register_schema(register(message("string", 500))).await.unwrap_err();
    assert_refused(&refused, Code::FailedPrecondition, "SCHEMA_INCOMPATIBLE");
    assert!(refused.details().len() <= 4_096, "{} bytes of details", refused.details().len());
    server.assert_calm();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_counterexamples_fit_into_responses_and_details() {
    const VERSIONS: usize = 6;
    let server = Server::start(Options::default()).await;
    let mut registry = SchemaRegistryServiceClient::new(server.channel());
    // Each payload has 40 KB of required properties, and 60 properties change.
    let schema = |subject: &str, kind: &str, version: usize| {
        let long = json!({"type": "string", "minLength": 1_000});
        let required: Vec<_> = (0..40).map(|at| format!("filler{at}")).collect();
        let filler = required.iter().map(|name| (name.clone(), long.clone()));
        let changed = (0..60).map(|at| (format!("changed{at}"), json!({"type": kind})));
        let added = (0..version).map(|at| (format!("added{at}"), json!({"type": "null"})));
        let properties: serde_json::Map<_, _> = filler.chain(changed).chain(added).collect();
        let text = json!({"type": "object", "properties": properties, "required": required});
        draft(subject, SchemaFormat::Json, &text.to_string())
    };
    let register = |schema| RegisterSchemaRequest { schema: Some(schema), ..Default::default() };
    for version in 0..VERSIONS {
        registry.register_schema(register(schema("large", "string", version))).await.unwrap();
    }
    let breaking = schema("large", "integer", VERSIONS);
    let check = CheckSchemaRequest { schema: Some(breaking.clone()), ..Default::default() };
    let response = registry.check_schema(check).await.unwrap().into_inner();
    assert!(response.encoded_len() <= MESSAGE_BYTES_MAX, "{} bytes", response.encoded_len());
    let report = response.report.unwrap();
    // Added properties are findings too, and break nothing.
    let breaks: Vec<_> =
        report.findings.iter().filter(|finding| finding.rule != "JSON_PROPERTY_ADDED").collect();
    assert_eq!(breaks.len(), 2 * 60 * VERSIONS);
    let carried = breaks.iter().filter(|finding| !finding.witness.is_empty());
    assert!(
        (10..50).contains(&carried.count()),
        "some findings carry their payload, as many as fit"
    );
    for finding in breaks {
        assert!(
            (40_000..60_000).contains(&finding.witness_size_bytes),
            "{} bytes",
            finding.witness_size_bytes
        );
        assert!(finding.witness_path.starts_with("/changed"), "{}", finding.witness_path);
        assert!(
            ["\"\"", "0"].contains(&finding.witness_fragment.as_str()),
            "{}",
            finding.witness_fragment
        );
        assert!(
            finding.witness.is_empty()
                || finding.witness.len() == finding.witness_size_bytes as usize
        );
    }

    let refused = registry.register_schema(register(breaking)).await.unwrap_err();
    assert_refused(&refused, Code::FailedPrecondition, "SCHEMA_INCOMPATIBLE");
    assert!(refused.details().len() <= 4_096, "{} bytes of details", refused.details().len());
    let details = report_of(&refused);
    assert!(!details.findings.is_empty() && details.findings.len() < 20);
    assert_eq!(details.total_findings, report.total_findings);
    for finding in &details.findings {
        assert!(finding.witness.is_empty() && finding.witness_size_bytes > 40_000);
        assert!(!finding.witness_fragment.is_empty(), "{finding:?}");
    }

    // Many reports in one response share the limit.
    let subjects: Vec<_> = (0..20).map(|n| format!("large{n}")).collect();
    let all = |kind: &str| ApplySchemasRequest {
        schemas: subjects.iter().map(|subject| schema(subject, kind, 0)).collect(),
        ..Default::default()
    };
    registry.apply_schemas(all("string")).await.unwrap();
    let plan = ApplySchemasRequest { validate_only: true, ..all("integer") };
    let planned = registry.apply_schemas(plan).await.unwrap().into_inner();
    assert!(planned.encoded_len() <= MESSAGE_BYTES_MAX, "{} bytes", planned.encoded_len());
    for result in &planned.results {
        let report = result.report.as_ref().unwrap();
        assert_eq!(report.total_findings, 120);
        let first = report.findings.first().unwrap();
        assert!(first.witness_size_bytes > 40_000 && !first.witness_fragment.is_empty());
    }
    server.assert_calm();
}

/// Many faults with names in a script whose letters have three bytes, and nine in percent-encoded
/// headers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn details_of_hostile_requests_stay_within_their_limit() {
    let server = Server::start(Options::default()).await;
    let wide = "試".repeat(5_000);
    let faulty = |n: usize| Event {
        r#type: format!("{wide}{n}"),
        extensions: (0..5).map(|n| (format!("{wide}{n}"), wide.clone())).collect(),
        ..Event::default()
    };
    let publish = PublishRequest {
        topic: wide.clone(),
        events: (0..20).map(faulty).collect(),
        ..PublishRequest::default()
    };
    let subscribe = SubscribeRequest {
        consumer: wide.clone(),
        ..subscribe_to(vec![wide.as_str(); 200], earliest())
    };
    let mut client = plain(&server);
    for status in [
        client.publish(publish).await.unwrap_err(),
        client.subscribe(subscribe).await.unwrap_err(),
        server
            .topics()
            .delete_topic(DeleteTopicRequest { name: wide.clone(), ..Default::default() })
            .await
            .unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::InvalidArgument);
        // In trailers: details in base64, the message percent-encoded.
        let encoded: usize =
            status.message().bytes().map(|byte| if byte.is_ascii_graphic() { 1 } else { 3 }).sum();
        let (details, trailers) =
            (status.details().len(), status.details().len() * 4 / 3 + encoded);
        assert!(details <= 4_096, "{details} bytes of details");
        assert!(trailers <= 7_800, "{trailers} bytes of trailers");
    }
    server.assert_calm();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_subscriptions_share_a_connection() {
    const SUBSCRIPTIONS: usize = 1_000;
    let server = Server::start(Options::default()).await;
    server.create("shared").await;
    let channel = endpoint(server.address()).connect().await.unwrap();
    let mut subscriptions = Vec::with_capacity(SUBSCRIPTIONS);
    for _ in 0..SUBSCRIPTIONS {
        let request = subscribe_to(["shared"], latest());
        let mut client = events_over(channel.clone());
        subscriptions.push(Subscription::open(&mut client, request).await.unwrap());
    }
    // The events are published over the same connection.
    for round in 0..5 {
        let publish = PublishRequest {
            topic: "shared".into(),
            events: events(&format!("round-{round}"), 10),
            ..PublishRequest::default()
        };
        let mut client = events_over(channel.clone());
        within(PATIENCE, "a response", client.publish(publish)).await.unwrap();
    }
    for subscription in &mut subscriptions {
        assert_eq!(offsets(&subscription.take(50).await), (0..50).collect::<Vec<_>>());
    }
    server.assert_calm();
}

/// Streams with stalled readers buffer at most their own window, and nothing of other streams.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_streams_do_not_starve_the_others_of_their_connection() {
    const STALLED: u64 = 20;
    const WINDOW: u32 = 64 << 10;
    let server = Server::start(Options::default()).await;
    server.create("busy").await;
    for batch in 0..20 {
        server.publish("busy", large_events(&format!("before-{batch}"), 50, 20_000)).await.unwrap();
    }
    // As with client defaults, the connection window is larger than all windows of its stalled
    // streams.
    let endpoint = endpoint(server.address())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 2 * u32::try_from(STALLED).unwrap());
    let channel = endpoint.connect().await.unwrap();
    let open = async || {
        let request = subscribe_to(["busy"], earliest());
        Subscription::open(&mut events_over(channel.clone()), request).await.unwrap()
    };
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(open().await);
    }
    let mut healthy = open().await;
    assert_eq!(offsets(&healthy.catch_up().await), (0..1_000).collect::<Vec<_>>());
    for batch in 0..20 {
        let publish = PublishRequest {
            topic: "busy".into(),
            events: large_events(&format!("after-{batch}"), 50, 20_000),
            ..PublishRequest::default()
        };
        within(PATIENCE, "a response", events_over(channel.clone()).publish(publish))
            .await
            .unwrap();
        assert_eq!(healthy.take(50).await.len(), 50);
    }
    // The stalled readers continue, and have lost no event.
    for mut subscription in stalled {
        assert_eq!(offsets(&subscription.take(2_000).await), (0..2_000).collect::<Vec<_>>());
    }
    server.assert_calm();
}
