//! Third-party clients: grpcurl, and the CloudEvents SDKs of Go and Java. A test whose toolchain is
//! missing prints that and is skipped; in CI it fails.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidings::proto::{
    Spliced,
    events::v1::{
        Event, EventView, PublishRequest, PublishResponse, RecordedEvent, attribute_value::Attr,
        event::Payload,
    },
};
use tonic::{Request, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use crate::events::unchecked::{events_with_invalid_times, record_unchecked};
use crate::support::{
    harness::{Options, Server, earliest, read_from},
    toolchain::toolchain,
};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// The absolute path of a file of the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(PROJECT).join(path)
}

/// A folder for the files of a test.
pub fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a command that has to succeed, and returns its output.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text_of(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn text_of(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// The path of a tool of `scripts/tool.sh`.
pub fn tool(name: &str) -> PathBuf {
    PathBuf::from(succeed(Command::new(project("scripts/tool.sh")).arg(name)).trim())
}

struct Grpcurl {
    program: PathBuf,
    address: SocketAddr,
}

impl Grpcurl {
    /// `arguments` follow the address; `data` is the value of `-d`.
    fn command(&self, data: Option<&Value>, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-plaintext", "-max-time", "20"]);
        if let Some(data) = data {
            command.arg("-d").arg(data.to_string());
        }
        command.arg(self.address.to_string()).args(arguments);
        command
    }

    #[track_caller]
    fn call(&self, method: &str, data: &Value) -> Value {
        let printed = succeed(&mut self.command(Some(data), &[method]));
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    #[track_caller]
    fn refused(&self, method: &str, data: &Value) -> String {
        let output = self.command(Some(data), &[method]).output().unwrap();
        assert!(!output.status.success(), "{method} was not refused: {}", text_of(&output));
        text_of(&output)
    }
}

const CREATE_TOPIC: &str = "tidings.events.v1.TopicService/CreateTopic";
const GET_TOPIC: &str = "tidings.events.v1.TopicService/GetTopic";
const PUBLISH: &str = "tidings.events.v1.EventService/Publish";
const SUBSCRIBE: &str = "tidings.events.v1.EventService/Subscribe";
const READ: &str = "tidings.events.v1.EventService/Read";

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_lists_publishes_and_subscribes_without_a_file() {
    if !toolchain("grpcurl", ["go"]) {
        return;
    }
    let program = tool("grpcurl");
    let server = Server::start(Options::default()).await;
    let grpcurl = Grpcurl { program, address: server.address() };

    let services = succeed(&mut grpcurl.command(None, &["list"]));
    for service in ["EventService", "TopicService"] {
        let service = format!("tidings.events.v1.{service}");
        assert!(services.lines().any(|line| line == service), "no {service} in\n{services}");
    }
    assert!(services.contains("grpc.health.v1.Health"), "no health service in\n{services}");
    let described = succeed(&mut grpcurl.command(None, &["describe", "tidings.events.v1.Event"]));
    assert!(described.contains("string correlationid = 21"), "{described}");
    let health = grpcurl.call("grpc.health.v1.Health/Check", &json!({}));
    assert_eq!(health["status"], "SERVING");

    // A CloudEvents document is accepted unchanged.
    let documents =
        fs::read_to_string(project("examples/orders/history/1.shop.orders.jsonl")).unwrap();
    let document: Value = serde_json::from_str(documents.lines().next().unwrap()).unwrap();
    grpcurl.call(CREATE_TOPIC, &json!({ "topic": { "name": "shop.orders" } }));
    let publish = json!({ "topic": "shop.orders", "events": [document] });
    let published = grpcurl.call(PUBLISH, &publish);
    let result = &published["results"][0];
    assert_eq!(result["id"], document["id"]);
    assert_eq!(result["durability"], "DURABILITY_SYNCED");
    assert_eq!(grpcurl.call(PUBLISH, &publish)["results"][0]["duplicate"], true);

    // It is delivered unchanged; `data` is recorded as JSON text.
    let subscribe = json!({ "topics": ["shop.**"], "start": { "edge": "EDGE_EARLIEST" } });
    let recorded = first_event(&mut grpcurl.command(Some(&subscribe), &[SUBSCRIBE]));
    let event = &recorded["event"];
    for name in ["id", "source", "type", "subject", "partitionkey", "correlationid", "specversion"]
    {
        assert_eq!(event[name], document[name], "{name}");
    }
    assert_eq!(event["time"], "2026-11-02T09:14:03.120Z");
    assert_eq!(recorded["key"], document["partitionkey"]);
    assert_eq!(recorded["cursor"], result["cursor"]);
    let text = event["textData"].as_str().unwrap_or_else(|| panic!("no textData in {event}"));
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), document["data"]);
    let read =
        grpcurl.call(READ, &json!({ "correlationid": "flow-1001", "view": "EVENT_VIEW_JSON" }));
    assert_eq!(read["batch"]["events"][0]["event"]["data"], document["data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_shows_the_details_of_errors() {
    if !toolchain("grpcurl", ["go"]) {
        return;
    }
    let program = tool("grpcurl");
    let server = Server::start(Options::default()).await;
    server.create("shop.orders").await;
    let grpcurl = Grpcurl { program, address: server.address() };

    // grpcurl decodes the details only if reflection has the messages of google.rpc.
    let missing = grpcurl.refused(GET_TOPIC, &json!({ "name": "shop.order" }));
    for part in ["NotFound", "TOPIC_NOT_FOUND", "google.rpc.ResourceInfo", "shop.orders"] {
        assert!(missing.contains(part), "no {part} in\n{missing}");
    }
    let faults = grpcurl.refused(PUBLISH, &json!({ "topic": "shop.orders", "events": [{}] }));
    for part in
        ["InvalidArgument", "INVALID_EVENT", "events[0].id", "events[0].source", "events[0].type"]
    {
        assert!(faults.contains(part), "no {part} in\n{faults}");
    }
    assert!(!missing.contains("@error") && !faults.contains("@error"), "{missing}{faults}");
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_prints_events_with_times_out_of_range() {
    if !toolchain("grpcurl", ["go"]) {
        return;
    }
    let program = tool("grpcurl");
    let dir = TempDir::new().unwrap();
    record_unchecked(dir.path(), "old", &events_with_invalid_times());
    let server = Server::start_on(dir.path(), Options::default()).await;
    let grpcurl = Grpcurl { program, address: server.address() };
    for view in ["FULL", "ENVELOPE", "JSON", "CLOUDEVENTS", "ANY"] {
        let view = format!("EVENT_VIEW_{view}");
        let read = grpcurl.call(READ, &json!({ "topics": ["old"], "view": view }));
        let events = read["batch"]["events"].as_array().unwrap();
        let lists_times = |event: &Value| event.to_string().contains("tidingsinvalidtimes");
        let listed = events.iter().filter(|event| lists_times(event)).count();
        assert_eq!((events.len(), listed), (9, 6), "{view}");
    }
}

/// The first recorded event that a command prints. Kills the command then.
fn first_event(command: &mut Command) -> Value {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut printed = String::new();
    let event = loop {
        // grpcurl prints indented objects; each ends with a brace in the first column.
        let Some(line) = lines.next() else {
            let mut error = String::new();
            child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            panic!("the stream ended without an event: {printed}{error}");
        };
        let line = line.unwrap();
        printed.push_str(&line);
        if line == "}" {
            let message: Value = serde_json::from_str(&printed).unwrap();
            if let Some(event) = message.pointer("/batch/events/0") {
                break event.clone();
            }
            printed.clear();
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn go_sdk_and_stubs_publish_subscribe_and_resume() {
    if !toolchain("the Go client", ["go", "npm"]) {
        return;
    }
    let client = scratch("go").join("client");
    succeed(Command::new(project("tests/clients/go/build.sh")).arg(&client));
    let file = scratch("go").join("event.bin");
    succeed(Command::new(&client).arg("event").arg(&file));

    let server = Server::start(Options::default()).await;
    sdk_bytes_are_an_event(&server, "go", "78", fs::read(&file).unwrap().into()).await;
    let walked = succeed(Command::new(&client).arg("walk").arg(server.address().to_string()));
    assert_eq!(walked.lines().filter(|line| line.starts_with("ok: ")).count(), 7, "{walked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn java_sdk_bytes_are_an_event() {
    if !toolchain("the Java client", ["java", "mvn"]) {
        return;
    }
    let file = scratch("java").join("event.bin");
    let classes = succeed(&mut Command::new(project("tests/clients/java/build.sh")));
    succeed(Command::new("java").args(["-cp", classes.trim(), "tidings.WriteEvent"]).arg(&file));

    let server = Server::start(Options::default()).await;
    sdk_bytes_are_an_event(&server, "java", "77", fs::read(&file).unwrap().into()).await;
}

/// Publishes the bytes of an SDK unchanged, and checks the recorded event.
async fn sdk_bytes_are_an_event(server: &Server, sdk: &str, number: &str, bytes: Bytes) {
    let topic = format!("clients.sdk.{sdk}");
    server.create(&topic).await;

    let response = publish_bytes(server, &topic, bytes.clone()).await;
    let result = &response.results[0];
    assert_eq!((result.id.clone(), result.duplicate), (format!("{sdk}-1"), false));
    let recorded = only_event(server, &topic, EventView::Full).await;
    assert_eq!(recorded.key, format!("order-{number}"));
    assert_eq!(recorded.key_version, 1);

    let event = recorded.event.unwrap();
    let time = event.time.unwrap();
    assert_eq!(event.spec_version, "1.0");
    assert_eq!(event.source, format!("https://shop.example/{sdk}"));
    assert_eq!(event.r#type, "shop.orders.v1.OrderPlaced");
    assert_eq!(event.subject, format!("order-{number}"));
    assert_eq!((time.seconds, time.nanos), (1_793_611_800, 250_000_000));
    assert_eq!(event.datacontenttype, "application/json");
    assert_eq!(event.dataschema, "https://shop.example/schemas/order");
    assert_eq!(event.partitionkey, format!("order-{number}"));
    assert_eq!(event.correlationid, format!("flow-{number}"));
    assert_eq!(
        event.extensions.iter().collect::<Vec<_>>(),
        [(&"region".to_owned(), &"eu-north".to_owned())]
    );
    // Extensions of other types keep their types.
    let typed: Vec<_> = event
        .attributes
        .iter()
        .map(|(name, value)| (name.as_str(), value.attr.clone().unwrap()))
        .collect();
    assert_eq!(typed, [("attempt", Attr::CeInteger(3)), ("priority", Attr::CeBoolean(true))]);
    let payload = match event.payload.unwrap() {
        Payload::BinaryData(bytes) => bytes,
        Payload::TextData(text) => text.into(),
        other => panic!("the payload became {other:?}"),
    };
    assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), json!({ "total": 4200 }));

    // The CloudEvents view is the event as the SDK encoded it.
    let again = only_event(server, &topic, EventView::Cloudevents).await.event.unwrap();
    assert_eq!(again, Event::decode(bytes.clone()).unwrap());
    let duplicate = publish_bytes(server, &topic, bytes).await;
    assert!(duplicate.results[0].duplicate, "the same bytes are the same event");
}

/// Publishes these bytes, unchanged, as the only event.
async fn publish_bytes(server: &Server, topic: &str, event: Bytes) -> PublishResponse {
    let topic = PublishRequest { topic: topic.into(), ..PublishRequest::default() };
    let mut request = BytesMut::from(&topic.encode_to_vec()[..]);
    let events = 2_u8;
    request.put_u8(events << 3 | 2);
    prost::encode_length_delimiter(event.len(), &mut request).unwrap();
    request.put(event);

    let mut grpc = tonic::client::Grpc::new(server.channel());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<Spliced, PublishResponse>::default();
    let path = PathAndQuery::from_static("/tidings.events.v1.EventService/Publish");
    grpc.unary(Request::new(Spliced::from(request.freeze())), path, codec)
        .await
        .unwrap()
        .into_inner()
}

async fn only_event(server: &Server, topic: &str, view: EventView) -> RecordedEvent {
    let mut request = read_from([topic], earliest());
    request.view = view.into();
    let (mut events, _) = server.read(request).await.unwrap();
    assert_eq!(events.len(), 1);
    events.remove(0)
}
