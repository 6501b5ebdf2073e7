//! Reflection over registered schemas: the protocol, and the tools that use it. Each `both!` test
//! runs with an embedded and with a remote registry.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
};

use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;
use serde_json::{Value, json};
use tidings::proto::events::v1::SchemaEnforcement;
use tidings_registry::{
    proto::v1::{Definition, Reference, SchemaDraft, SchemaFormat, VersionState, definition::Form},
    reflection::HEADER,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming, transport::Channel};
use tonic_reflection::pb::{self, v1 as wire};
use tonic_types::StatusExt as _;
use wire::{
    ServerReflectionRequest, ServerReflectionResponse,
    server_reflection_client::ServerReflectionClient, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

use crate::languages::clients::{succeed, tool};
use crate::support::{
    harness::{Options, PATIENCE, Server, assert_refused, within},
    registry_pair::{Pair, both, draft},
    toolchain::toolchain,
};

both! {
    a_stream_finds_types_registered_after_it_opened
    grpcurl_explores_registered_types
    an_open_grpcurl_stream_shows_types_registered_after_it_opened
    buf_reads_events_whose_schemas_share_files
    custom_options_are_served_as_they_were_registered
    a_header_pins_versions
    retired_versions_are_hidden_unless_pinned
}

const MONEY: &str =
    "syntax = \"proto3\"; package acme; message Money { string currency = 1; int64 units = 2; }";

/// An order message. Both orders use the same file name and reference `acme.Money`.
fn order(message: &str) -> SchemaDraft {
    let text = format!(
        "syntax = \"proto3\";\npackage shop.orders.v1;\nimport \"common/money.proto\";\nimport \"google/protobuf/timestamp.proto\";\n\
         // What became of an order.\n\
         message {message} {{\n  // Its number.\n  string order_id = 1;\n  acme.Money total = 2;\n\
         google.protobuf.Timestamp at = 3;\n  enum Way {{ WAY_UNSPECIFIED = 0; WAY_POST = 1; }}\n  Way way = 4;\n  oneof by {{ string card = 5; }}\n}}\n"
    );
    SchemaDraft {
        references: vec![Reference {
            name: "common/money.proto".into(),
            subject: "acme.Money".into(),
            version: String::new(),
        }],
        ..draft(&format!("shop.orders.v1.{message}"), SchemaFormat::Protobuf, &text)
    }
}

async fn register_orders(pair: &Pair) {
    pair.register(draft("acme.Money", SchemaFormat::Protobuf, MONEY)).await;
    pair.register(order("OrderPlaced")).await;
    pair.register(order("OrderShipped")).await;
}

/// An open reflection stream.
struct ReflectionStream {
    requests: mpsc::Sender<ServerReflectionRequest>,
    responses: Streaming<ServerReflectionResponse>,
}

impl ReflectionStream {
    async fn open(channel: Channel) -> Self {
        Self::pinned(channel, &[]).await.unwrap()
    }

    async fn pinned(channel: Channel, pins: &[&str]) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(receiver));
        for pin in pins {
            request.metadata_mut().append(HEADER, pin.parse().unwrap());
        }
        let mut client = ServerReflectionClient::new(channel);
        let response =
            within(PATIENCE, "reflection", client.server_reflection_info(request)).await?;
        Ok(Self { requests, responses: response.into_inner() })
    }

    async fn query(&mut self, message: impl Into<Option<MessageRequest>>) -> MessageResponse {
        let request =
            ServerReflectionRequest { host: "here".into(), message_request: message.into() };
        self.requests.send(request.clone()).await.unwrap();
        let response =
            within(PATIENCE, "a response", self.responses.message()).await.unwrap().unwrap();
        assert_eq!(response.valid_host, "here");
        assert_eq!(response.original_request.as_ref(), Some(&request));
        assert!(response.encoded_len() <= 4 << 20);
        response.message_response.unwrap()
    }

    async fn files(&mut self, message: MessageRequest) -> Vec<FileDescriptorProto> {
        match self.query(message.clone()).await {
            MessageResponse::FileDescriptorResponse(response) => {
                let files = response.file_descriptor_proto.iter();
                files.map(|file| FileDescriptorProto::decode(file.as_slice()).unwrap()).collect()
            }
            other => panic!("{message:?}: {other:?}"),
        }
    }

    async fn symbol(&mut self, name: &str) -> Vec<FileDescriptorProto> {
        self.files(MessageRequest::FileContainingSymbol(name.into())).await
    }

    async fn refused(&mut self, message: impl Into<Option<MessageRequest>>) -> (Code, String) {
        match self.query(message).await {
            MessageResponse::ErrorResponse(error) => (error.error_code.into(), error.error_message),
            other => panic!("not refused: {other:?}"),
        }
    }
}

fn names(files: &[FileDescriptorProto]) -> Vec<&str> {
    files.iter().map(FileDescriptorProto::name).collect()
}

fn symbol(name: &str) -> MessageRequest {
    MessageRequest::FileContainingSymbol(name.into())
}

async fn a_stream_finds_types_registered_after_it_opened(pair: Pair) {
    let mut stream = ReflectionStream::open(pair.server.channel()).await;
    let (code, error) = stream.refused(symbol("shop.orders.v1.OrderPlaced")).await;
    assert_eq!(code, Code::NotFound);
    assert!(error.starts_with("no symbol has the name shop.orders.v1.OrderPlaced; "), "{error}");
    register_orders(&pair).await;

    let files = stream.symbol("shop.orders.v1.OrderPlaced").await;
    assert_eq!(
        names(&files),
        [
            "shop.orders.v1.OrderPlaced/v1.0.0/schema.proto",
            "google/protobuf/timestamp.proto",
            "acme.Money/v1.0.0/schema.proto"
        ]
    );
    // A shared import is not sent again on the same stream; a requested file is.
    for name in ["shop.orders.v1.OrderShipped", ".shop.orders.v1.OrderShipped.order_id"] {
        let files = stream.symbol(name).await;
        assert_eq!(names(&files), ["shop.orders.v1.OrderShipped/v1.0.0/schema.proto"], "{name}");
    }
    for (name, file) in [
        ("shop.orders.v1.OrderPlaced.Way", "shop.orders.v1.OrderPlaced/v1.0.0/schema.proto"),
        ("shop.orders.v1.OrderPlaced.WAY_POST", "shop.orders.v1.OrderPlaced/v1.0.0/schema.proto"),
        ("shop.orders.v1.OrderPlaced.by", "shop.orders.v1.OrderPlaced/v1.0.0/schema.proto"),
        ("tidings.events.v1.EventService.Publish", "tidings/events/v1/event_service.proto"),
        ("tidings.registry.v1.SchemaFormat", "tidings/registry/v1/schema.proto"),
        ("google.rpc.ErrorInfo", "google/rpc/error_details.proto"),
        ("google.protobuf.Any", "google/protobuf/any.proto"),
        ("grpc.health.v1.Health", "grpc/health/v1/health.proto"),
        (
            "grpc.reflection.v1alpha.ServerReflection",
            "grpc/reflection/v1alpha/reflection_v1alpha.proto",
        ),
    ] {
        let files = stream.symbol(name).await;
        assert!(names(&files)[0].ends_with(file), "{name}: {:?}", names(&files));
    }
    // grpcui resolves error details only from the imports of a method's file.
    for name in ["tidings.events.v1.EventService", "tidings.registry.v1.SchemaRegistryService"] {
        let files = stream.symbol(name).await;
        let imports = &files[0].dependency;
        assert!(
            imports.iter().any(|import| import == "google/rpc/error_details.proto"),
            "{imports:?}"
        );
    }
    let again = MessageRequest::FileByFilename("acme.Money/v1.0.0/schema.proto".into());
    assert_eq!(stream.files(again).await[0].message_type[0].name(), "Money");

    for (message, code, expected) in [
        (
            Some(symbol("shop.orders.v1.OrderPlacd")),
            Code::NotFound,
            "did you mean shop.orders.v1.OrderPlaced?",
        ),
        (Some(symbol("shop.orders.v1.OrderPlaced.nope")), Code::NotFound, "no symbol has the name"),
        (
            Some(symbol("shop.orders.v1.OrderPlaced.Way.WAY_POST")),
            Code::NotFound,
            "no symbol has the name",
        ),
        (Some(symbol("")), Code::NotFound, "no symbol has the name"),
        (
            Some(MessageRequest::FileByFilename("schema.proto".into())),
            Code::NotFound,
            "<subject>/v<version>/<path>",
        ),
        (
            Some(MessageRequest::AllExtensionNumbersOfType("no.Such".into())),
            Code::NotFound,
            "no.Such",
        ),
        (None, Code::InvalidArgument, "contains none of them"),
    ] {
        let (found, error) = stream.refused(message.clone()).await;
        assert_eq!(found, code, "{message:?}: {error}");
        assert!(error.contains(expected), "{message:?}: {error}");
    }
    let extensions = MessageRequest::AllExtensionNumbersOfType("shop.orders.v1.OrderPlaced".into());
    match stream.query(extensions).await {
        MessageResponse::AllExtensionNumbersResponse(response) => {
            assert!(response.extension_number.is_empty())
        }
        other => panic!("{other:?}"),
    }
    match stream.query(MessageRequest::ListServices(String::new())).await {
        MessageResponse::ListServicesResponse(response) => {
            let services: BTreeSet<_> =
                response.service.into_iter().map(|service| service.name).collect();
            let expected = [
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
                "tidings.events.v1.EventService",
                "tidings.events.v1.TopicService",
                "tidings.registry.v1.SchemaRegistryService",
            ];
            assert_eq!(services, expected.map(String::from).into());
        }
        other => panic!("{other:?}"),
    }
    drop(stream.requests);
    assert!(within(PATIENCE, "the end", stream.responses.message()).await.unwrap().is_none());
    older_protocol(&pair).await;
    pair.assert_calm();
}

/// v1alpha is the same service.
async fn older_protocol(pair: &Pair) {
    use pb::v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let message = MessageRequest::FileContainingSymbol("acme.Money".into());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let mut client = ServerReflectionClient::new(pair.server.channel());
    let requests = tokio_stream::iter([request]);
    let mut responses = client.server_reflection_info(requests).await.unwrap().into_inner();
    let response = within(PATIENCE, "a response", responses.message()).await.unwrap().unwrap();
    match response.message_response {
        Some(MessageResponse::FileDescriptorResponse(response)) => {
            assert_eq!(response.file_descriptor_proto.len(), 1);
        }
        other => panic!("{other:?}"),
    }
}

/// grpcurl against a server, with the flags before the address and the call after it.
fn grpcurl(server: &Server, flags: &[&str], call: &[&str]) -> Command {
    let mut command = Command::new(tool("grpcurl"));
    command.args(["-plaintext", "-max-time", "60"]).args(flags);
    command.arg(server.address().to_string()).args(call);
    command
}

const PUBLISH: &str = "tidings.events.v1.EventService/Publish";
const SUBSCRIBE: &str = "tidings.events.v1.EventService/Subscribe";

fn placed(id: &str, message: &str) -> Value {
    json!({
        "id": id, "source": "/shop", "type": format!("shop.orders.v1.{message}"),
        "protoData": {
            "@type": format!("type.googleapis.com/shop.orders.v1.{message}"),
            "orderId": "o-1", "total": { "currency": "EUR", "units": "4200" },
            "at": "2026-11-02T09:14:03.120Z", "way": "WAY_POST",
        },
    })
}

async fn grpcurl_explores_registered_types(pair: Pair) {
    if !toolchain("grpcurl", ["go"]) {
        return;
    }
    register_orders(&pair).await;
    let run = |flags: &[&str], call: &[&str]| succeed(&mut grpcurl(&pair.server, flags, call));
    let described = run(&["-msg-template"], &["describe", "shop.orders.v1.OrderPlaced"]);
    for expected in [
        "// What became of an order.\nmessage OrderPlaced {",
        "// Its number.",
        ".acme.Money total = 2;",
        "\"orderId\": \"\",",
        "\"at\": \"1970-01-01T00:00:00Z\"",
        "\"units\": \"0\"",
    ] {
        assert!(described.contains(expected), "no {expected} in\n{described}");
    }
    let service = run(&[], &["describe", "tidings.events.v1.EventService.Publish"]);
    assert!(service.contains("// Appends a batch to a topic"), "{service}");
    assert!(!run(&[], &["list"]).contains("shop"));

    // grpcurl publishes by reflection alone, and refuses a misspelled field before it sends.
    pair.topic("orders", SchemaEnforcement::Unspecified).await;
    let publish = |event: Value| {
        let request = json!({ "topic": "orders", "events": [event] }).to_string();
        grpcurl(&pair.server, &["-d", &request], &[PUBLISH]).output().unwrap()
    };
    let output = publish(placed("1", "OrderPlaced"));
    assert!(output.status.success(), "{output:?}");
    let mut misspelled = placed("2", "OrderPlaced");
    misspelled["protoData"]["orderIdd"] = json!("x");
    let output = publish(misspelled);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("has no known field named orderIdd"), "{error}");

    // An unregistered type is refused unless the topic turns enforcement off.
    let any = json!({ "@type": "type.googleapis.com/google.protobuf.Duration", "value": "3s" });
    let unregistered = json!({ "id": "3", "source": "/shop", "type": "google.protobuf.Duration", "protoData": any });
    let output = publish(unregistered.clone());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    for expected in
        ["FailedPrecondition", "SCHEMA_REQUIRED", "an Any has to be of a registered type"]
    {
        assert!(error.contains(expected), "no {expected} in\n{error}");
    }
    pair.topic("anything", SchemaEnforcement::Off).await;
    let request = json!({ "topic": "anything", "events": [unregistered] }).to_string();
    succeed(&mut grpcurl(&pair.server, &["-d", &request], &[PUBLISH]));

    // Read as published and as Any.
    for view in ["EVENT_VIEW_FULL", "EVENT_VIEW_ANY"] {
        let read = json!({
            "topics": ["orders"], "start": { "edge": "EDGE_EARLIEST" }, "view": view
        });
        let call = ["tidings.events.v1.EventService/Read"];
        let event =
            RunningCommand::start(&mut grpcurl(&pair.server, &["-d", &read.to_string()], &call))
                .event();
        assert_eq!(event["protoData"], placed("1", "OrderPlaced")["protoData"], "{view}");
    }
    pair.assert_calm();
}

/// A running command whose output is read message by message.
struct RunningCommand {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl RunningCommand {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next message; each ends with a line that is only a closing brace.
    fn message(&mut self) -> Value {
        let mut printed = String::new();
        loop {
            let line = self
                .lines
                .next()
                .unwrap_or_else(|| panic!("the command ended: {printed}"))
                .unwrap();
            printed.push_str(&line);
            if line == "}" {
                return serde_json::from_str(&printed).unwrap();
            }
        }
    }

    fn event(&mut self) -> Value {
        loop {
            let message = self.message();
            if let Some(event) = message.pointer("/batch/events/0/event") {
                return event.clone();
            }
        }
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn an_open_grpcurl_stream_shows_types_registered_after_it_opened(pair: Pair) {
    if !toolchain("grpcurl", ["go"]) {
        return;
    }
    pair.topic("orders", SchemaEnforcement::Unspecified).await;
    let subscribe = json!({ "topics": ["orders"], "start": { "edge": "EDGE_EARLIEST" }, "view": "EVENT_VIEW_ANY" });
    let mut open = RunningCommand::start(&mut grpcurl(
        &pair.server,
        &["-d", &subscribe.to_string()],
        &[SUBSCRIBE],
    ));
    assert!(open.message().get("started").is_some());

    // Neither type was registered when the stream was opened.
    pair.register(draft("acme.Money", SchemaFormat::Protobuf, MONEY)).await;
    for message in ["OrderPlaced", "OrderShipped"] {
        pair.register(order(message)).await;
        let mut event = placed(message, message);
        event["data"] = event["protoData"].take();
        event.as_object_mut().unwrap().remove("protoData");
        event["data"].as_object_mut().unwrap().remove("@type");
        let request = json!({ "topic": "orders", "events": [event] }).to_string();
        succeed(&mut grpcurl(&pair.server, &["-d", &request], &[PUBLISH]));
        let shown = open.event();
        assert_eq!(shown["protoData"], placed("", message)["protoData"], "{shown}");
    }
    pair.assert_calm();
}

/// buf keeps all files in one pool, and fails if two files have the same name or declare the same
/// symbol.
async fn buf_reads_events_whose_schemas_share_files(pair: Pair) {
    if !toolchain("buf", ["npm"]) {
        return;
    }
    register_orders(&pair).await;
    // Two more orders embed `Money` instead of a reference, in files of the same name.
    for message in ["OrderPaid", "OrderLost"] {
        let mut draft = order(message);
        draft.references.clear();
        let definition = draft.definition.as_mut().unwrap();
        definition.files.insert("common/money.proto".into(), MONEY.into());
        pair.register(draft).await;
    }
    pair.topic("orders", SchemaEnforcement::Unspecified).await;
    let messages = ["OrderPlaced", "OrderShipped", "OrderPaid", "OrderLost"];
    let buf = |method: &str, request: Value| {
        let url =
            format!("http://{}/tidings.events.v1.EventService/{method}", pair.server.address());
        let mut command = Command::new(tool("buf"));
        command.args(["curl", "--protocol", "grpc", "--http2-prior-knowledge", "-d"]);
        succeed(command.arg(request.to_string()).arg(url))
    };
    let events: Vec<_> = messages.iter().map(|message| placed(message, message)).collect();
    buf("Publish", json!({ "topic": "orders", "events": events }));
    let read = json!({
        "topics": ["orders"], "start": { "edge": "EDGE_EARLIEST" }, "view": "EVENT_VIEW_ANY"
    });
    let read: Value = serde_json::from_str(&buf("Read", read)).unwrap();
    for (index, message) in messages.iter().enumerate() {
        let shown = &read["batch"]["events"][index]["event"]["protoData"];
        assert_eq!(*shown, placed("", message)["protoData"], "{message}");
    }

    // The strictest reader also accepts all files in one pool.
    let mut stream = ReflectionStream::open(pair.server.channel()).await;
    let mut files = Vec::new();
    for message in messages {
        files.extend(stream.symbol(&format!("shop.orders.v1.{message}")).await);
    }
    let distinct: BTreeSet<_> = files.iter().map(|file| file.name().to_owned()).collect();
    assert_eq!(distinct.len(), files.len(), "{:?}", names(&files));
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_protos(files).unwrap();
    pair.assert_calm();
}

async fn custom_options_are_served_as_they_were_registered(pair: Pair) {
    // The text declares its options; the descriptor set has an option that no known file declares.
    let text = "syntax = \"proto2\"; package acme; import \"google/protobuf/descriptor.proto\"; \
                message Level { optional int32 of = 1; } \
                extend google.protobuf.FieldOptions { optional string pii = 50001; optional Level level = 50002; } \
                message Person { optional string name = 1 [(pii) = \"yes\", (level) = { of: 7 }]; }";
    let mut known = draft("acme.Person", SchemaFormat::Protobuf, text);
    known.definition.as_mut().unwrap().message_name = "acme.Person".into();
    pair.register(known).await;
    let options: &[u8] =
        &[0x8a, 0xb5, 0x18, 0x03, b'y', b'e', b's', 0x92, 0xb5, 0x18, 0x02, 0x08, 7];

    let unknown: &[u8] = &[0xda, 0xbc, 0x18, 0x03, 0xff, 0x00, 0x7f];
    let set = set_with_option(unknown);
    let definition =
        Definition { form: Some(Form::DescriptorSet(set.into())), ..Default::default() };
    let draft = draft("acme.Sealed", SchemaFormat::Protobuf, "");
    pair.register(SchemaDraft { definition: Some(definition), ..draft }).await;

    let mut stream = ReflectionStream::open(pair.server.channel()).await;
    for (name, options) in [("acme.Person", options), ("acme.Sealed", unknown)] {
        let MessageResponse::FileDescriptorResponse(response) = stream.query(symbol(name)).await
        else {
            panic!("{name} is missing")
        };
        let file = &response.file_descriptor_proto[0];
        assert!(file.windows(options.len()).any(|bytes| bytes == options), "{name}: {file:02x?}");
    }
    let extension = wire::ExtensionRequest {
        containing_type: "google.protobuf.FieldOptions".into(),
        extension_number: 50_002,
    };
    let files = stream.files(MessageRequest::FileContainingExtension(extension.clone())).await;
    assert_eq!(names(&files)[0], "acme.Person/v1.0.0/schema.proto");
    let numbers = MessageRequest::AllExtensionNumbersOfType(extension.containing_type.clone());
    match stream.query(numbers).await {
        MessageResponse::AllExtensionNumbersResponse(response) => {
            assert_eq!(response.base_type_name, "google.protobuf.FieldOptions");
            assert_eq!(response.extension_number, [50_001, 50_002]);
        }
        other => panic!("{other:?}"),
    }
    let missing = wire::ExtensionRequest { extension_number: 50_003, ..extension };
    let (code, error) = stream.refused(MessageRequest::FileContainingExtension(missing)).await;
    assert_eq!((code, error.contains("has no extension 50003")), (Code::NotFound, true), "{error}");
    pair.assert_calm();
}

/// A `FileDescriptorSet` with the message acme.Sealed, whose field has the given option bytes.
fn set_with_option(options: &[u8]) -> Vec<u8> {
    let tagged = |tag: u8, bytes: &[u8]| {
        [&[tag << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    };
    let field = [
        tagged(1, b"secret"),
        // Number 1, optional, string.
        vec![0x18, 1, 0x20, 1, 0x28, 9],
        tagged(8, options),
    ];
    let message = [tagged(1, b"Sealed"), tagged(2, &field.concat())];
    let file = [
        tagged(1, b"sealed.proto"),
        tagged(2, b"acme"),
        tagged(4, &message.concat()),
        tagged(12, b"proto3"),
    ];
    tagged(1, &file.concat())
}

async fn a_header_pins_versions(pair: Pair) {
    register_orders(&pair).await;
    let newer = MONEY.replace("int64 units = 2;", "int64 units = 2; int32 nanos = 3;");
    assert_eq!(pair.register(draft("acme.Money", SchemaFormat::Protobuf, &newer)).await, "1.1.0");
    let avro = r#"{"type": "record", "name": "Click", "fields": []}"#;
    pair.register(draft("web.Click", SchemaFormat::Avro, avro)).await;

    let fields = async |pins: &[&str]| {
        let mut stream = ReflectionStream::pinned(pair.server.channel(), pins).await.unwrap();
        let files = stream.symbol("shop.orders.v1.OrderPlaced").await;
        let money = files.iter().find(|file| file.name().starts_with("acme.Money/")).unwrap();
        (money.name().to_owned(), money.message_type[0].field.len())
    };
    let (newest, older) = ("acme.Money/v1.1.0/schema.proto", "acme.Money/v1.0.0/schema.proto");
    assert_eq!(fields(&[]).await, (newest.to_owned(), 3));
    assert_eq!(fields(&["acme.Money=1.0.0"]).await, (older.to_owned(), 2));
    assert_eq!(fields(&["acme.Money=1.0"]).await, (older.to_owned(), 2));
    assert_eq!(fields(&["acme.Money=1"]).await, (newest.to_owned(), 3));
    let several =
        ["acme.Money=1.0, shop.orders.v1.OrderPlaced=1", "shop.orders.v1.OrderShipped=1.0.0"];
    assert_eq!(fields(&several).await, (older.to_owned(), 2));

    let refused = async |pins: &[&str]| {
        let status = ReflectionStream::pinned(pair.server.channel(), pins).await.err().unwrap();
        assert_refused(&status, Code::InvalidArgument, "INVALID_REQUEST");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert!(violations.iter().all(|violation| violation.field == HEADER), "{violations:?}");
        violations.into_iter().map(|violation| violation.description).collect::<Vec<_>>()
    };
    for (pins, expected) in [
        ("acme.Money=1.2", "registered: 1.1.0, 1.0.0"),
        ("acme.Money=^1", "is neither a version such as 1.4.0"),
        ("acme.Money", "instead of a subject with a version"),
        ("acme.Mony=1.0", "acme.Money"),
        ("web.Click=1.0", "which is in Avro"),
        ("acme.Money=1.0,acme.Money=1.1", "one version at a time"),
    ] {
        let error = refused(&[pins]).await.join("; ");
        assert!(error.contains(expected), "{pins}: {error}");
    }
    let errors = refused(&["a.B=1", "acme.Money=7", "x"]).await;
    assert_eq!(errors.len(), 3, "each violation is reported: {errors:?}");

    // JSON and Avro schemas have no descriptor; the error names the command that prints their text.
    let mut stream = ReflectionStream::open(pair.server.channel()).await;
    let (code, error) = stream.refused(symbol("web.Click")).await;
    assert_eq!(code, Code::NotFound);
    assert!(
        error.contains("in Avro") && error.contains("`tidings schema get web.Click`"),
        "{error}"
    );

    if toolchain("grpcurl", ["go"]) {
        let pin = format!("{HEADER}: acme.Money=1.0");
        let call = ["describe", "acme.Money"];
        assert!(
            !succeed(&mut grpcurl(&pair.server, &["-reflect-header", &pin], &call))
                .contains("nanos")
        );
        assert!(succeed(&mut grpcurl(&pair.server, &[], &call)).contains("nanos"));
    }
    pair.assert_calm();
}

async fn retired_versions_are_hidden_unless_pinned(pair: Pair) {
    register_orders(&pair).await;
    let mut stream = ReflectionStream::open(pair.server.channel()).await;
    stream.symbol("shop.orders.v1.OrderPlaced").await;
    pair.state("shop.orders.v1.OrderPlaced", "1.0.0", VersionState::Retired, "").await;
    let (code, error) = stream.refused(symbol("shop.orders.v1.OrderPlaced")).await;
    assert_eq!(code, Code::NotFound);
    assert!(error.contains("no version that is not retired"), "{error}");
    stream.symbol("shop.orders.v1.OrderShipped").await;
    // A pinned version is served although it is retired.
    let pins = ["shop.orders.v1.OrderPlaced=1.0.0"];
    let mut pinned = ReflectionStream::pinned(pair.server.channel(), &pins).await.unwrap();
    pinned.symbol("shop.orders.v1.OrderPlaced").await;
}

#[tokio::test]
async fn reflection_can_be_switched_off() {
    let server = Server::start(Options::args(["--reflection", "off"])).await;
    let status = ReflectionStream::pinned(server.channel(), &[]).await.err().unwrap();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn without_a_registry_only_the_services_are_described() {
    let server = Server::start(Options::args(["--registry", "off"])).await;
    let mut stream = ReflectionStream::open(server.channel()).await;
    stream.symbol("tidings.events.v1.Event").await;
    let MessageResponse::ListServicesResponse(response) =
        stream.query(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no services")
    };
    assert!(
        !response.service.iter().any(|service| service.name.contains("Registry")),
        "{:?}",
        response.service
    );
    let status = ReflectionStream::pinned(server.channel(), &["a.B=1"]).await.err().unwrap();
    assert_refused(&status, Code::InvalidArgument, "INVALID_REQUEST");
}

/// An unavailable registry is reported as unavailable, not as a missing type.
#[tokio::test(flavor = "multi_thread")]
async fn known_types_are_shown_while_the_registry_is_unavailable() {
    let mut pair = Pair::remote().await;
    register_orders(&pair).await;
    let mut stream = ReflectionStream::open(pair.server.channel()).await;
    stream.symbol("shop.orders.v1.OrderPlaced").await;
    pair.registry.as_mut().unwrap().kill9();
    stream.symbol("shop.orders.v1.OrderShipped").await;
    let (code, error) = stream.refused(symbol("shop.orders.v1.OrderBilled")).await;
    assert_eq!(code, Code::Unavailable);
    assert!(
        error.contains("the schema registry is unavailable") && error.contains("try again"),
        "{error}"
    );
    let pins = ["shop.orders.v1.OrderBilled=1"];
    let status = ReflectionStream::pinned(pair.server.channel(), &pins).await.err().unwrap();
    assert_refused(&status, Code::Unavailable, "REGISTRY_UNAVAILABLE");
}

/// An open stream does not prevent the server from stopping.
#[tokio::test(flavor = "multi_thread")]
async fn open_streams_end_when_the_server_drains() {
    let mut server = Server::start(Options::default()).await;
    let mut stream = ReflectionStream::open(server.channel()).await;
    stream.symbol("tidings.events.v1.Event").await;
    server.sigterm();
    assert!(within(PATIENCE, "the end", stream.responses.message()).await.unwrap().is_none());
    assert_eq!(server.exit_within(PATIENCE).await.code(), Some(0));
}
