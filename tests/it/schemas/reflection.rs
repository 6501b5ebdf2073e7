//! Reflection over what is registered: its wire, and the tools that live of it. Every test of what is registered runs with
//! the registry in the server and elsewhere.

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
    server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest as Asked,
    server_reflection_response::MessageResponse as Told,
};

use crate::languages::clients::{succeed, tool};
use crate::support::{
    harness::{Options, PATIENCE, Server, assert_refused, within},
    registry_pair::{Pair, both, draft},
    toolchain::toolchain,
};

both! {
    a_stream_finds_what_came_after_it
    grpcurl_explores_what_is_registered
    an_open_stream_in_grpcurl_shows_a_type_that_came_after_it
    buf_reads_events_whose_schemas_share_files
    custom_options_are_served_as_they_were_registered
    a_header_pins_versions
    what_is_retired_goes
}

const MONEY: &str =
    "syntax = \"proto3\"; package acme; message Money { string currency = 1; int64 units = 2; }";

/// An order whose file has the name, and refers to the money, of the other one.
fn order(message: &str) -> SchemaDraft {
    let text = format!(
        "syntax = \"proto3\";\npackage shop.orders.v1;\nimport \"common/money.proto\";\nimport \"google/protobuf/timestamp.proto\";\n\
         // What became of an order.\nmessage {message} {{\n  // Its number.\n  string order_id = 1;\n  acme.Money total = 2;\n\
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

/// A stream of questions.
struct Conversation {
    questions: mpsc::Sender<ServerReflectionRequest>,
    answers: Streaming<ServerReflectionResponse>,
}

impl Conversation {
    async fn open(channel: Channel) -> Self {
        Self::pinned(channel, &[]).await.unwrap()
    }

    async fn pinned(channel: Channel, pins: &[&str]) -> Result<Self, Status> {
        let (questions, asked) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(asked));
        for pin in pins {
            request.metadata_mut().append(HEADER, pin.parse().unwrap());
        }
        let mut client = ServerReflectionClient::new(channel);
        let answer = within(PATIENCE, "reflection", client.server_reflection_info(request)).await?;
        Ok(Self { questions, answers: answer.into_inner() })
    }

    async fn ask(&mut self, asked: impl Into<Option<Asked>>) -> Told {
        let request =
            ServerReflectionRequest { host: "here".into(), message_request: asked.into() };
        self.questions.send(request.clone()).await.unwrap();
        let answer = within(PATIENCE, "an answer", self.answers.message()).await.unwrap().unwrap();
        assert_eq!(answer.valid_host, "here");
        assert_eq!(answer.original_request.as_ref(), Some(&request));
        assert!(answer.encoded_len() <= 4 << 20);
        answer.message_response.unwrap()
    }

    async fn files(&mut self, asked: Asked) -> Vec<FileDescriptorProto> {
        match self.ask(asked.clone()).await {
            Told::FileDescriptorResponse(it) => {
                let files = it.file_descriptor_proto.iter();
                files.map(|it| FileDescriptorProto::decode(it.as_slice()).unwrap()).collect()
            }
            other => panic!("{asked:?}: {other:?}"),
        }
    }

    async fn symbol(&mut self, name: &str) -> Vec<FileDescriptorProto> {
        self.files(Asked::FileContainingSymbol(name.into())).await
    }

    async fn refused(&mut self, asked: impl Into<Option<Asked>>) -> (Code, String) {
        match self.ask(asked).await {
            Told::ErrorResponse(it) => (it.error_code.into(), it.error_message),
            other => panic!("not refused: {other:?}"),
        }
    }
}

fn names(files: &[FileDescriptorProto]) -> Vec<&str> {
    files.iter().map(FileDescriptorProto::name).collect()
}

fn symbol(name: &str) -> Asked {
    Asked::FileContainingSymbol(name.into())
}

async fn a_stream_finds_what_came_after_it(pair: Pair) {
    let mut stream = Conversation::open(pair.server.channel()).await;
    let (code, why) = stream.refused(symbol("shop.orders.v1.OrderPlaced")).await;
    assert_eq!(code, Code::NotFound);
    assert!(why.starts_with("no symbol has the name shop.orders.v1.OrderPlaced; "), "{why}");
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
    // What imports share is not sent again, what is asked for is.
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
    // grpcui knows of details what the file of a method imports.
    for name in ["tidings.events.v1.EventService", "tidings.registry.v1.SchemaRegistryService"] {
        let files = stream.symbol(name).await;
        let imports = &files[0].dependency;
        assert!(imports.iter().any(|it| it == "google/rpc/error_details.proto"), "{imports:?}");
    }
    let again = Asked::FileByFilename("acme.Money/v1.0.0/schema.proto".into());
    assert_eq!(stream.files(again).await[0].message_type[0].name(), "Money");

    for (asked, code, part) in [
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
            Some(Asked::FileByFilename("schema.proto".into())),
            Code::NotFound,
            "<subject>/v<version>/<path>",
        ),
        (Some(Asked::AllExtensionNumbersOfType("no.Such".into())), Code::NotFound, "no.Such"),
        (None, Code::InvalidArgument, "contains none of them"),
    ] {
        let (found, why) = stream.refused(asked.clone()).await;
        assert_eq!(found, code, "{asked:?}: {why}");
        assert!(why.contains(part), "{asked:?}: {why}");
    }
    let extensions = Asked::AllExtensionNumbersOfType("shop.orders.v1.OrderPlaced".into());
    match stream.ask(extensions).await {
        Told::AllExtensionNumbersResponse(it) => assert!(it.extension_number.is_empty()),
        other => panic!("{other:?}"),
    }
    match stream.ask(Asked::ListServices(String::new())).await {
        Told::ListServicesResponse(it) => {
            let services: BTreeSet<_> = it.service.into_iter().map(|it| it.name).collect();
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
    drop(stream.questions);
    assert!(within(PATIENCE, "the end", stream.answers.message()).await.unwrap().is_none());
    older_protocol(&pair).await;
    pair.assert_calm();
}

/// v1alpha is the same service.
async fn older_protocol(pair: &Pair) {
    use pb::v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let asked = MessageRequest::FileContainingSymbol("acme.Money".into());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
    let mut client = ServerReflectionClient::new(pair.server.channel());
    let questions = tokio_stream::iter([request]);
    let mut answers = client.server_reflection_info(questions).await.unwrap().into_inner();
    let answer = within(PATIENCE, "an answer", answers.message()).await.unwrap().unwrap();
    match answer.message_response {
        Some(MessageResponse::FileDescriptorResponse(it)) => {
            assert_eq!(it.file_descriptor_proto.len(), 1);
        }
        other => panic!("{other:?}"),
    }
}

/// grpcurl against a server, with its flags in front and what is called behind.
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

async fn grpcurl_explores_what_is_registered(pair: Pair) {
    if !toolchain("grpcurl", ["go"]) {
        return;
    }
    register_orders(&pair).await;
    let said = |flags: &[&str], call: &[&str]| succeed(&mut grpcurl(&pair.server, flags, call));
    let described = said(&["-msg-template"], &["describe", "shop.orders.v1.OrderPlaced"]);
    for part in [
        "// What became of an order.\nmessage OrderPlaced {",
        "// Its number.",
        ".acme.Money total = 2;",
        "\"orderId\": \"\",",
        "\"at\": \"1970-01-01T00:00:00Z\"",
        "\"units\": \"0\"",
    ] {
        assert!(described.contains(part), "no {part} in\n{described}");
    }
    let service = said(&[], &["describe", "tidings.events.v1.EventService.Publish"]);
    assert!(service.contains("// Appends a batch to a topic"), "{service}");
    assert!(!said(&[], &["list"]).contains("shop"));

    // By reflection alone, and refused before it is sent where it is misspelled.
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

    // A type that nobody registered is refused, where the topic does not say otherwise.
    let any = json!({ "@type": "type.googleapis.com/google.protobuf.Duration", "value": "3s" });
    let unregistered = json!({ "id": "3", "source": "/shop", "type": "google.protobuf.Duration", "protoData": any });
    let output = publish(unregistered.clone());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    for part in ["FailedPrecondition", "SCHEMA_REQUIRED", "an Any has to be of a registered type"] {
        assert!(error.contains(part), "no {part} in\n{error}");
    }
    pair.topic("anything", SchemaEnforcement::Off).await;
    let request = json!({ "topic": "anything", "events": [unregistered] }).to_string();
    succeed(&mut grpcurl(&pair.server, &["-d", &request], &[PUBLISH]));

    // As it was published, and as Any.
    for view in ["EVENT_VIEW_FULL", "EVENT_VIEW_ANY"] {
        let read = json!({
            "topics": ["orders"], "start": { "edge": "EDGE_EARLIEST" }, "view": view
        });
        let call = ["tidings.events.v1.EventService/Read"];
        let event =
            Printing::start(&mut grpcurl(&pair.server, &["-d", &read.to_string()], &call)).event();
        assert_eq!(event["protoData"], placed("1", "OrderPlaced")["protoData"], "{view}");
    }
    pair.assert_calm();
}

/// A command whose messages are read one by one.
struct Printing {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Printing {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next message; each ends with a brace at the margin.
    fn message(&mut self) -> Value {
        let mut printed = String::new();
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("it ended: {printed}")).unwrap();
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

impl Drop for Printing {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn an_open_stream_in_grpcurl_shows_a_type_that_came_after_it(pair: Pair) {
    if !toolchain("grpcurl", ["go"]) {
        return;
    }
    pair.topic("orders", SchemaEnforcement::Unspecified).await;
    let subscribe = json!({ "topics": ["orders"], "start": { "edge": "EDGE_EARLIEST" }, "view": "EVENT_VIEW_ANY" });
    let mut open =
        Printing::start(&mut grpcurl(&pair.server, &["-d", &subscribe.to_string()], &[SUBSCRIBE]));
    assert!(open.message().get("started").is_some());

    // Nobody had heard of it when the stream was opened; and once more, on the same stream, of another one.
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

/// buf keeps everything that it is told in one place, and fails where two files have one name or declare one.
async fn buf_reads_events_whose_schemas_share_files(pair: Pair) {
    if !toolchain("buf", ["npm"]) {
        return;
    }
    register_orders(&pair).await;
    // Two more that bring the money along instead of referring to it, in files of the same name.
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
    let events: Vec<_> = messages.iter().map(|it| placed(it, it)).collect();
    buf("Publish", json!({ "topic": "orders", "events": events }));
    let read = json!({
        "topics": ["orders"], "start": { "edge": "EDGE_EARLIEST" }, "view": "EVENT_VIEW_ANY"
    });
    let read: Value = serde_json::from_str(&buf("Read", read)).unwrap();
    for (at, message) in messages.iter().enumerate() {
        let shown = &read["batch"]["events"][at]["event"]["protoData"];
        assert_eq!(*shown, placed("", message)["protoData"], "{message}");
    }

    // And the strictest reader of all: everything in one pool.
    let mut stream = Conversation::open(pair.server.channel()).await;
    let mut files = Vec::new();
    for message in messages {
        files.extend(stream.symbol(&format!("shop.orders.v1.{message}")).await);
    }
    let distinct: BTreeSet<_> = files.iter().map(|it| it.name().to_owned()).collect();
    assert_eq!(distinct.len(), files.len(), "{:?}", names(&files));
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_protos(files).unwrap();
    pair.assert_calm();
}

async fn custom_options_are_served_as_they_were_registered(pair: Pair) {
    // In a text, of which the option's own file is known; and in a descriptor set, of which nobody knows it.
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

    let mut stream = Conversation::open(pair.server.channel()).await;
    for (name, options) in [("acme.Person", options), ("acme.Sealed", unknown)] {
        let Told::FileDescriptorResponse(it) = stream.ask(symbol(name)).await else {
            panic!("{name} is not there")
        };
        let file = &it.file_descriptor_proto[0];
        assert!(file.windows(options.len()).any(|it| it == options), "{name}: {file:02x?}");
    }
    let extension = wire::ExtensionRequest {
        containing_type: "google.protobuf.FieldOptions".into(),
        extension_number: 50_002,
    };
    let files = stream.files(Asked::FileContainingExtension(extension.clone())).await;
    assert_eq!(names(&files)[0], "acme.Person/v1.0.0/schema.proto");
    let numbers = Asked::AllExtensionNumbersOfType(extension.containing_type.clone());
    match stream.ask(numbers).await {
        Told::AllExtensionNumbersResponse(it) => {
            assert_eq!(it.base_type_name, "google.protobuf.FieldOptions");
            assert_eq!(it.extension_number, [50_001, 50_002]);
        }
        other => panic!("{other:?}"),
    }
    let missing = wire::ExtensionRequest { extension_number: 50_003, ..extension };
    let (code, why) = stream.refused(Asked::FileContainingExtension(missing)).await;
    assert_eq!((code, why.contains("has no extension 50003")), (Code::NotFound, true), "{why}");
    pair.assert_calm();
}

/// A `FileDescriptorSet` with the message acme.Sealed, whose field has these bytes for options.
fn set_with_option(options: &[u8]) -> Vec<u8> {
    let within = |tag: u8, bytes: &[u8]| {
        [&[tag << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    };
    let field = [
        within(1, b"secret"),
        // Number 1, optional, a string.
        vec![0x18, 1, 0x20, 1, 0x28, 9],
        within(8, options),
    ];
    let message = [within(1, b"Sealed"), within(2, &field.concat())];
    let file = [
        within(1, b"sealed.proto"),
        within(2, b"acme"),
        within(4, &message.concat()),
        within(12, b"proto3"),
    ];
    within(1, &file.concat())
}

async fn a_header_pins_versions(pair: Pair) {
    register_orders(&pair).await;
    let newer = MONEY.replace("int64 units = 2;", "int64 units = 2; int32 nanos = 3;");
    assert_eq!(pair.register(draft("acme.Money", SchemaFormat::Protobuf, &newer)).await, "1.1.0");
    let avro = r#"{"type": "record", "name": "Click", "fields": []}"#;
    pair.register(draft("web.Click", SchemaFormat::Avro, avro)).await;

    let fields = async |pins: &[&str]| {
        let mut stream = Conversation::pinned(pair.server.channel(), pins).await.unwrap();
        let files = stream.symbol("shop.orders.v1.OrderPlaced").await;
        let money = files.iter().find(|it| it.name().starts_with("acme.Money/")).unwrap();
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
        let status = Conversation::pinned(pair.server.channel(), pins).await.err().unwrap();
        assert_refused(&status, Code::InvalidArgument, "INVALID_REQUEST");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert!(violations.iter().all(|it| it.field == HEADER), "{violations:?}");
        violations.into_iter().map(|it| it.description).collect::<Vec<_>>()
    };
    for (pins, part) in [
        ("acme.Money=1.2", "registered: 1.1.0, 1.0.0"),
        ("acme.Money=^1", "is neither a version such as 1.4.0"),
        ("acme.Money", "instead of a subject with a version"),
        ("acme.Mony=1.0", "acme.Money"),
        ("web.Click=1.0", "which is in Avro"),
        ("acme.Money=1.0,acme.Money=1.1", "one version at a time"),
    ] {
        let why = refused(&[pins]).await.join("; ");
        assert!(why.contains(part), "{pins}: {why}");
    }
    let all = refused(&["a.B=1", "acme.Money=7", "x"]).await;
    assert_eq!(all.len(), 3, "every fault is told: {all:?}");

    // JSON and Avro have no descriptor, and the answer says where their text is.
    let mut stream = Conversation::open(pair.server.channel()).await;
    let (code, why) = stream.refused(symbol("web.Click")).await;
    assert_eq!(code, Code::NotFound);
    assert!(why.contains("in Avro") && why.contains("`tidings schema get web.Click`"), "{why}");

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

async fn what_is_retired_goes(pair: Pair) {
    register_orders(&pair).await;
    let mut stream = Conversation::open(pair.server.channel()).await;
    stream.symbol("shop.orders.v1.OrderPlaced").await;
    pair.state("shop.orders.v1.OrderPlaced", "1.0.0", VersionState::Retired, "").await;
    let (code, why) = stream.refused(symbol("shop.orders.v1.OrderPlaced")).await;
    assert_eq!(code, Code::NotFound);
    assert!(why.contains("no version that is not retired"), "{why}");
    stream.symbol("shop.orders.v1.OrderShipped").await;
    // Who asks for it gets it.
    let pins = ["shop.orders.v1.OrderPlaced=1.0.0"];
    let mut pinned = Conversation::pinned(pair.server.channel(), &pins).await.unwrap();
    pinned.symbol("shop.orders.v1.OrderPlaced").await;
}

#[tokio::test]
async fn switched_off_there_is_no_such_service() {
    let server = Server::start(Options::args(["--reflection", "off"])).await;
    let status = Conversation::pinned(server.channel(), &[]).await.err().unwrap();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn without_a_registry_there_is_what_the_server_serves() {
    let server = Server::start(Options::args(["--registry", "off"])).await;
    let mut stream = Conversation::open(server.channel()).await;
    stream.symbol("tidings.events.v1.Event").await;
    let Told::ListServicesResponse(it) = stream.ask(Asked::ListServices(String::new())).await
    else {
        panic!("no services")
    };
    assert!(!it.service.iter().any(|it| it.name.contains("Registry")), "{:?}", it.service);
    let status = Conversation::pinned(server.channel(), &["a.B=1"]).await.err().unwrap();
    assert_refused(&status, Code::InvalidArgument, "INVALID_REQUEST");
}

/// A registry that is away is not one that knows nothing.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_registry_is_away_what_is_known_is_shown() {
    let mut pair = Pair::remote().await;
    register_orders(&pair).await;
    let mut stream = Conversation::open(pair.server.channel()).await;
    stream.symbol("shop.orders.v1.OrderPlaced").await;
    pair.registry.as_mut().unwrap().kill9();
    stream.symbol("shop.orders.v1.OrderShipped").await;
    let (code, why) = stream.refused(symbol("shop.orders.v1.OrderBilled")).await;
    assert_eq!(code, Code::Unavailable);
    assert!(
        why.contains("the schema registry is unavailable") && why.contains("try again"),
        "{why}"
    );
    let pins = ["shop.orders.v1.OrderBilled=1"];
    let status = Conversation::pinned(pair.server.channel(), &pins).await.err().unwrap();
    assert_refused(&status, Code::Unavailable, "REGISTRY_UNAVAILABLE");
}

/// A stream that stays open does not keep the server from its end.
#[tokio::test(flavor = "multi_thread")]
async fn open_streams_end_when_the_server_drains() {
    let mut server = Server::start(Options::default()).await;
    let mut stream = Conversation::open(server.channel()).await;
    stream.symbol("tidings.events.v1.Event").await;
    server.sigterm();
    assert!(within(PATIENCE, "the end", stream.answers.message()).await.unwrap().is_none());
    assert_eq!(server.exit_within(PATIENCE).await.code(), Some(0));
}
