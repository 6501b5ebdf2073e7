//! Every error of the contract: code, reason, details. `errors.golden` holds the full text;
//! `TIDINGS_BLESS=1` rewrites it.

mod values;

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path};

use prost_types::{Any, Duration, FieldMask, Timestamp};
use tidings::proto::events::v1::{
    AcceptedSchema, AttributeFilter, AttributeValue, Condition, CreateTopicRequest,
    DeleteTopicRequest, Event, EventIdentity, Filter, GetEventRequest, GetTopicRequest,
    KeyVersionCondition, ListTopicsRequest, PublishRequest, PublishStreamRequest, ReadRequest,
    Retention, SchemaEnforcement, SchemaSelection, StartPosition, SubscribeRequest, Topic,
    TopicEndCondition, TrimTopicRequest, UpdateTopicRequest, attribute_value::Attr,
    condition::Kind, event::Payload, filter::Dialect, get_event_request::By,
    publish_stream_response::Outcome, start_position::Position,
};
use tokio_stream::once;
use tonic::{Code, Request, Response, Status, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetail, StatusExt as _};

use crate::support::harness::{
    Options, PATIENCE, Server, after, at, at_or_earliest, earliest, event, events, keyed,
    large_events, metadata, read_from, reason, subscribe_to, within,
};

/// The rows so far, and the rows that failed.
#[derive(Default)]
struct Table {
    text: String,
    faults: Vec<String>,
}

impl Table {
    /// Adds one row: the case, its result, and the code, reason and details that the result must
    /// have.
    fn row<T>(
        &mut self,
        case: &str,
        result: Result<T, Status>,
        code: Code,
        expected: &str,
        details: &[&str],
    ) {
        let Err(status) = result else {
            self.faults.push(format!("{case}: not refused"));
            return;
        };
        if (status.code(), reason(&status).as_str()) != (code, expected) {
            self.faults.push(format!("{case}: {code:?} {expected} expected, but {status:?}"));
        }
        if status.get_details_error_info().is_some_and(|info| info.domain != "tidings") {
            self.faults.push(format!("{case}: the domain is not tidings"));
        }
        let text = describe(&status);
        for detail in details {
            if !text.contains(detail) {
                self.faults.push(format!("{case}: missing {detail}:\n{text}"));
            }
        }
        let size = status.details().len();
        if size > 4096 {
            self.faults.push(format!("{case}: {size} bytes of details"));
        }
        write!(self.text, "# {case}\n{text}\n").unwrap();
    }
}

/// The parts of a status that clients see, with placeholders for values that differ between runs.
fn describe(status: &Status) -> String {
    let mut text = format!("{:?}: {}\n", status.code(), status.message());
    for detail in status.get_error_details_vec() {
        match detail {
            ErrorDetail::ErrorInfo(info) => {
                writeln!(text, "  reason {}", info.reason).unwrap();
                let sorted: BTreeMap<_, _> = info.metadata.into_iter().collect();
                for (key, value) in sorted {
                    writeln!(text, "  {key} = {value}").unwrap();
                }
            }
            ErrorDetail::BadRequest(bad) => {
                for violation in bad.field_violations {
                    let (field, description) = (violation.field, violation.description);
                    writeln!(text, "  field {field}: {description}").unwrap();
                }
            }
            ErrorDetail::PreconditionFailure(failure) => {
                for violation in failure.violations {
                    let (kind, subject) = (violation.r#type, violation.subject);
                    let description = violation.description;
                    writeln!(text, "  violation {kind} {subject}: {description}").unwrap();
                }
            }
            ErrorDetail::ResourceInfo(info) => {
                writeln!(text, "  resource {} {}", info.resource_type, info.resource_name).unwrap();
            }
            ErrorDetail::RetryInfo(_) => text.push_str("  retry later\n"),
            other => writeln!(text, "  {other:?}").unwrap(),
        }
    }
    for (key, value) in metadata(status) {
        if (key.ends_with("_cursor") || key == "etag") && !value.is_empty() {
            text = text.replace(&value, &format!("<{key}>"));
        }
    }
    text
}

fn publish_to(topic: &str, events: Vec<Event>) -> PublishRequest {
    PublishRequest { topic: topic.into(), events, ..PublishRequest::default() }
}

fn key_version(key: &str, version: Option<u64>) -> Condition {
    Condition { kind: Some(Kind::KeyVersion(KeyVersionCondition { key: key.into(), version })) }
}

fn topic_end(next_offset: Option<u64>) -> Condition {
    Condition { kind: Some(Kind::TopicEnd(TopicEndCondition { next_offset })) }
}

fn exact(attribute: &str, value: &str) -> Filter {
    let attributes = [(attribute.into(), value.into())].into();
    Filter { dialect: Some(Dialect::Exact(AttributeFilter { attributes })) }
}

fn span(seconds: i64, nanos: i32) -> Option<Duration> {
    Some(Duration { seconds, nanos })
}

/// The server, with a method for each kind of call in the table.
struct Calls(Server);

impl Calls {
    async fn publish(&self, request: PublishRequest) -> Result<(), Status> {
        self.0.events().publish(request).await.map(drop)
    }

    /// The first error, of the call or of the stream.
    async fn subscribe(&self, request: SubscribeRequest) -> Result<(), Status> {
        let mut stream = self.0.events().subscribe(request).await?.into_inner();
        within(PATIENCE, "a message", stream.message()).await.map(drop)
    }

    async fn read(&self, request: ReadRequest) -> Result<(), Status> {
        self.0.read(request).await.map(drop)
    }

    async fn get_event(&self, topic: &str, by: Option<By>) -> Result<(), Status> {
        let request = GetEventRequest { topic: topic.into(), by, ..GetEventRequest::default() };
        self.0.events().get_event(request).await.map(drop)
    }

    async fn create(&self, topic: Option<Topic>) -> Result<(), Status> {
        self.0.topics().create_topic(CreateTopicRequest { topic }).await.map(drop)
    }

    async fn update(&self, topic: Topic, paths: &[&str]) -> Result<(), Status> {
        let paths = paths.iter().map(ToString::to_string).collect();
        let update_mask = Some(FieldMask { paths });
        let request = UpdateTopicRequest { topic: Some(topic), update_mask };
        self.0.topics().update_topic(request).await.map(drop)
    }

    async fn delete(&self, name: &str, etag: &str) -> Result<(), Status> {
        let request = DeleteTopicRequest { name: name.into(), etag: etag.into() };
        self.0.topics().delete_topic(request).await.map(drop)
    }

    async fn trim(&self, name: &str, before: Option<StartPosition>) -> Result<(), Status> {
        let request = TrimTopicRequest { name: name.into(), before, validate_only: false };
        self.0.topics().trim_topic(request).await.map(drop)
    }

    /// Sends any message to any method.
    async fn raw<M>(&self, path: &'static str, message: M) -> Result<(), Status>
    where
        M: prost::Message + Default + 'static,
    {
        let mut client = tonic::client::Grpc::new(self.0.channel());
        client.ready().await.unwrap();
        let path = PathAndQuery::from_static(path);
        let codec = ProstCodec::<M, ()>::default();
        let response: Result<Response<()>, _> =
            client.unary(Request::new(message), path, codec).await;
        response.map(drop)
    }
}

fn topic(name: &str) -> Topic {
    Topic { name: name.into(), ..Topic::default() }
}

const BAD: Code = Code::InvalidArgument;

#[tokio::test]
async fn every_error_matches_the_golden_table() {
    let calls = Calls(Server::start(Options::default()).await);
    let mut table = Table::default();
    prepare(&calls).await;
    names(&calls, &mut table).await;
    events_and_batches(&calls, &mut table).await;
    conflicts_and_conditions(&calls, &mut table).await;
    schemas(&calls, &mut table).await;
    positions(&calls, &mut table).await;
    streams(&calls, &mut table).await;
    topics(&calls, &mut table).await;
    publish_stream(&calls, &mut table).await;
    values::out_of_range(&calls, &mut table).await;
    calls.0.assert_calm();

    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/events/errors.golden");
    if env::var_os("TIDINGS_BLESS").is_some() {
        fs::write(&golden, &table.text).unwrap();
    }
    assert!(table.faults.is_empty(), "{}", table.faults.join("\n"));
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    let rows = |text: &str| -> Vec<String> { text.split("# ").map(String::from).collect() };
    for (row, expected) in rows(&table.text).iter().zip(&rows(&expected)) {
        assert_eq!(row, expected, "if the change is intended, run with TIDINGS_BLESS=1");
    }
    assert_eq!(
        table.text.len(),
        expected.len(),
        "if the change is intended, run with TIDINGS_BLESS=1"
    );
}

async fn prepare(calls: &Calls) {
    let server = &calls.0;
    for name in ["orders", "trimmed", "empty"] {
        server.create(name).await;
    }
    let allowed_types = vec!["shop.*".into(), "bank.paid".into()];
    server.create_with(Topic { allowed_types, ..topic("typed") }).await;
    let schema_enforcement = SchemaEnforcement::Required.into();
    server.create_with(Topic { schema_enforcement, ..topic("strict") }).await;
    let three = (0..3).map(|n| keyed(format!("o-{n}"), "o-1"));
    server.publish("orders", three).await.unwrap();
    server.publish("trimmed", events("t", 10)).await.unwrap();
    calls.trim("trimmed", at(Position::Offset(4))).await.unwrap();
}

async fn names(calls: &Calls, table: &mut Table) {
    let long = "a".repeat(250);
    let malformed = [
        ("an empty name", ""),
        ("an empty segment", "a..b"),
        ("a space", "a b"),
        ("a letter beyond ASCII", "bücher"),
        ("a path", "../../etc/passwd"),
        ("a pattern where a name belongs", "orders.*"),
        ("a name of 250 characters", &long),
    ];
    for (case, name) in malformed {
        let result = calls.publish(publish_to(name, vec![event("a")])).await;
        table.row(&format!("publish: {case}"), result, BAD, "INVALID_NAME", &["field topic"]);
    }
    let result = calls.create(Some(topic("a..b"))).await;
    table.row("create: a malformed name", result, BAD, "INVALID_NAME", &["field topic.name"]);
    let result = calls.create(Some(topic("_own"))).await;
    table.row("create: a name of the server's", result, BAD, "INVALID_NAME", &["field topic.name"]);
    for (case, pattern) in [("a part of a segment", "ord*"), ("** not at the end", "**.placed")] {
        let result = calls.subscribe(subscribe_to([pattern], None)).await;
        table.row(&format!("subscribe: {case}"), result, BAD, "INVALID_NAME", &["field topics[0]"]);
    }

    let (reason, code) = ("TOPIC_NOT_FOUND", Code::NotFound);
    let details = ["nearest = orders", "resource topic ordrs"];
    let result = calls.publish(publish_to("ordrs", vec![event("a")])).await;
    table.row("publish: no such topic", result, code, reason, &details);
    let result = calls.subscribe(subscribe_to(["ordrs"], None)).await;
    table.row("subscribe: no such topic", result, code, reason, &details);
    let result = calls.read(read_from(["ordrs"], None)).await;
    table.row("read: no such topic", result, code, reason, &details);
    let result = calls.get_event("ordrs", Some(By::Offset(0))).await;
    table.row("get event: no such topic", result, code, reason, &details);
    let result = calls.0.topics().get_topic(GetTopicRequest { name: "ordrs".into() }).await;
    table.row("get topic: no such topic", result, code, reason, &details);
    let result = calls.update(topic("ordrs"), &["description"]).await;
    table.row("update: no such topic", result, code, reason, &details);
    let result = calls.delete("ordrs", "").await;
    table.row("delete: no such topic", result, code, reason, &details);
    let result = calls.trim("ordrs", earliest()).await;
    table.row("trim: no such topic", result, code, reason, &details);
    let result = calls.publish(publish_to("nothing-like-it", vec![event("a")])).await;
    table.row("publish: no such topic, none near", result, code, reason, &["resource topic"]);
}

async fn events_and_batches(calls: &Calls, table: &mut Table) {
    let missing = ["field events[0].id", "field events[0].source", "field events[0].type"];
    let result = calls.publish(publish_to("orders", vec![Event::default()])).await;
    table.row("publish: no id, source, type", result, BAD, "INVALID_EVENT", &missing);

    let nameless = Event { id: String::new(), ..event("a") };
    let typeless = Event { r#type: String::new(), ..event("b") };
    let result = calls.publish(publish_to("orders", vec![event("c"), nameless, typeless])).await;
    let details = ["field events[1].id", "field events[2].type"];
    table.row("publish: faults in two of three events", result, BAD, "INVALID_EVENT", &details);

    let result = calls.publish(publish_to("a..b", vec![Event::default()])).await;
    let details = ["field topic", "field events[0].id"];
    table.row("publish: name and event at fault", result, BAD, "INVALID_NAME", &details);

    let many = vec![Event::default(); 1_000];
    let result = calls.publish(publish_to("orders", many)).await;
    let details = ["field events[0].id", "total = 3000"];
    table.row("publish: 3,000 faults", result, BAD, "INVALID_EVENT", &details);

    let long = event("i".repeat(1025));
    let result = calls.publish(publish_to("orders", vec![long])).await;
    table.row("publish: an id over 1 KiB", result, BAD, "INVALID_EVENT", &["field events[0].id"]);

    let version = Event { spec_version: "0.3".into(), ..event("a") };
    let result = calls.publish(publish_to("orders", vec![version])).await;
    let details = ["field events[0].spec"];
    table.row("publish: another specversion", result, BAD, "INVALID_EVENT", &details);

    let twice = AttributeValue { attr: Some(Attr::CeString("other".into())) };
    let attributes = [("subject".into(), twice)].into();
    let twice = Event { subject: "one".into(), attributes, ..event("a") };
    let result = calls.publish(publish_to("orders", vec![twice])).await;
    let details = ["field events[0]", "subject"];
    table.row("publish: an attribute with two values", result, BAD, "INVALID_EVENT", &details);

    let extensions = [("Not-A-Name".into(), "x".into())].into();
    let result =
        calls.publish(publish_to("orders", vec![Event { extensions, ..event("a") }])).await;
    let details = ["field events[0].extensions"];
    table.row("publish: not an attribute name", result, BAD, "INVALID_EVENT", &details);

    let time = Some(Timestamp { seconds: 0, nanos: 2_000_000_000 });
    let result = calls.publish(publish_to("orders", vec![Event { time, ..event("a") }])).await;
    let details = ["field events[0].time"];
    table.row("publish: a time that is none", result, BAD, "INVALID_EVENT", &details);

    let result = calls.publish(publish_to("orders", large_events("l", 1, 1 << 20))).await;
    let details = ["limit = 1048576", "size = "];
    table.row("publish: an event over 1 MiB", result, BAD, "EVENT_TOO_LARGE", &details);
    let result = calls.publish(publish_to("orders", large_events("l", 5, 900_000))).await;
    let details = ["limit = 4194304", "size = "];
    table.row("publish: a batch over 4 MiB", result, BAD, "BATCH_TOO_LARGE", &details);
    let result = calls.publish(publish_to("orders", events("m", 10_001))).await;
    let details = ["limit = 10000", "size = 10001"];
    table.row("publish: 10,001 events", result, BAD, "BATCH_TOO_LARGE", &details);
    let result = calls.publish(publish_to("orders", events("m", 100_000))).await;
    table.row("publish: 100,000 events", result, BAD, "BATCH_TOO_LARGE", &["limit = ", "size = "]);

    let result = calls.publish(publish_to("orders", Vec::new())).await;
    table.row("publish: an empty batch", result, BAD, "INVALID_REQUEST", &["field events"]);
    let conditions = vec![topic_end(Some(0))];
    let result =
        calls.publish(PublishRequest { conditions, ..publish_to("orders", Vec::new()) }).await;
    table.row("publish: only a condition", result, BAD, "INVALID_REQUEST", &["field events"]);
    let conditions = vec![key_version("k", None), topic_end(None), Condition { kind: None }];
    let request = PublishRequest { conditions, ..publish_to("orders", vec![event("a")]) };
    let details = ["field conditions[0]", "field conditions[1]", "field conditions[2]"];
    let result = calls.publish(request).await;
    table.row("publish: conditions of nothing", result, BAD, "INVALID_REQUEST", &details);
    let request = PublishRequest { durability: 99, ..publish_to("orders", vec![event("a")]) };
    let result = calls.publish(request).await;
    let details = ["field durability"];
    table.row("publish: an unknown durability", result, BAD, "INVALID_REQUEST", &details);

    let path = "/tidings.events.v1.EventService/Publish";
    let not_utf8 = NotUtf8 { topic: vec![b'o', 0xff, 0xfe] };
    let result = calls.raw(path, not_utf8).await;
    table.row("publish: a name that is not UTF-8", result, BAD, "INVALID_REQUEST", &[]);
}

/// The first field of a PublishRequest, with any bytes in place of a string.
#[derive(Clone, PartialEq, prost::Message)]
struct NotUtf8 {
    #[prost(bytes = "vec", tag = "1")]
    topic: Vec<u8>,
}

async fn conflicts_and_conditions(calls: &Calls, table: &mut Table) {
    let (code, conflict) = (Code::AlreadyExists, "EVENT_ID_CONFLICT");
    let other = Event { subject: "other".into(), ..keyed("o-1", "o-1") };
    let result = calls.publish(publish_to("orders", vec![other.clone()])).await;
    let details = ["first_cursor = ", "resource event"];
    table.row("publish: an id with other content", result, code, conflict, &details);
    let batch = vec![event("twice"), Event { subject: "other".into(), ..event("twice") }];
    let result = calls.publish(publish_to("orders", batch)).await;
    table.row("publish: an id with two contents in a batch", result, code, conflict, &[]);

    let publish = async |conditions, events| {
        calls.publish(PublishRequest { conditions, ..publish_to("orders", events) }).await
    };
    let (code, key, end) = (Code::Aborted, "KEY_VERSION_MISMATCH", "TOPIC_END_MISMATCH");
    let result = publish(vec![key_version("o-1", Some(1))], vec![event("n")]).await;
    let details =
        ["expected = 1", "actual = 3", "violation KEY_VERSION_MISMATCH topics/orders/keys/o-1"];
    table.row("publish: another key version", result, code, key, &details);
    let result = publish(vec![key_version("new", Some(1))], vec![event("n")]).await;
    table.row("publish: a key without events", result, code, key, &["actual = 0"]);
    let result = publish(vec![topic_end(Some(7))], vec![event("n")]).await;
    let details = ["expected = 7", "actual = 3", "violation TOPIC_END_MISMATCH topics/orders"];
    table.row("publish: another end", result, code, end, &details);
    let both = ["violation KEY_VERSION_MISMATCH", "violation TOPIC_END_MISMATCH", "expected = 7"];
    let result =
        publish(vec![topic_end(Some(7)), key_version("o-1", Some(1))], vec![event("n")]).await;
    table.row("publish: end and key version", result, code, end, &both);
    let result =
        publish(vec![key_version("o-1", Some(1)), topic_end(Some(7))], vec![event("n")]).await;
    table.row("publish: key version and end", result, code, key, &both[..2]);

    // A recorded event is a duplicate regardless of conditions; an id with other content is a
    // conflict before conditions are checked.
    publish(vec![topic_end(Some(7))], vec![keyed("o-1", "o-1")]).await.unwrap();
    let result = publish(vec![topic_end(Some(7))], vec![other]).await;
    let code = Code::AlreadyExists;
    table.row("publish: a conflict and a condition", result, code, conflict, &[]);
}

async fn schemas(calls: &Calls, table: &mut Table) {
    let code = Code::FailedPrecondition;
    let result = calls.publish(publish_to("typed", vec![event("a")])).await;
    let details = ["tests.something_happened.v1"];
    table.row("publish: a type not allowed", result, code, "TYPE_NOT_ALLOWED", &details);
    let result = calls.publish(publish_to("strict", vec![event("a")])).await;
    table.row("publish: a type without a schema", result, code, "SCHEMA_REQUIRED", &details);
    let any = Any { type_url: "type.googleapis.com/shop.Order".into(), value: Vec::new() };
    let any = Event { payload: Some(Payload::ProtoData(any)), ..event("a") };
    let result = calls.publish(publish_to("orders", vec![any])).await;
    table.row("publish: an Any of no registered type", result, code, "SCHEMA_REQUIRED", &[]);

    let accept = |of: &str, version: &str| {
        let accepted = AcceptedSchema { r#type: of.into(), version: version.into() };
        Some(SchemaSelection { accept: vec![accepted], on_mismatch: 0 })
    };
    let (code, reason) = (Code::FailedPrecondition, "REQUIREMENT_UNSATISFIABLE");
    let schema = accept("shop.order", "^1");
    let request = SubscribeRequest { schema: schema.clone(), ..subscribe_to(["orders"], None) };
    let details = ["shop.order"];
    table.row(
        "subscribe: a type without a schema",
        calls.subscribe(request).await,
        code,
        reason,
        &details,
    );
    let request = ReadRequest { schema, ..read_from(["orders"], None) };
    table.row("read: a type without a schema", calls.read(request).await, code, reason, &details);
    let (code, reason) = (Code::InvalidArgument, "INVALID_REQUEST");
    let request =
        SubscribeRequest { schema: accept("*a", "newest"), ..subscribe_to(["orders"], None) };
    let details = ["schema.accept[0].type", "schema.accept[0].version"];
    table.row("subscribe: no selection", calls.subscribe(request).await, code, reason, &details);
    let request = SubscribeRequest { consumer: "a b".into(), ..subscribe_to(["orders"], None) };
    let reason = "INVALID_NAME";
    table.row("subscribe: a consumer", calls.subscribe(request).await, code, reason, &["consumer"]);
}

async fn positions(calls: &Calls, table: &mut Table) {
    let other = Server::start(Options::default()).await;
    other.create("elsewhere").await;
    let foreign = other.publish("elsewhere", [event("a")]).await.unwrap().results.remove(0).cursor;
    let own = calls.0.publish("orders", [keyed("o-0", "o-1")]).await.unwrap().results.remove(0);
    assert!(own.duplicate);
    let cut = &own.cursor[..own.cursor.len() - 1];
    let mut changed = own.cursor.clone();
    changed.replace_range(20..21, if &changed[20..21] == "A" { "B" } else { "A" });
    let cursors = [
        ("of another server", foreign.as_str()),
        ("cut short", cut),
        ("changed", &changed),
        ("empty", ""),
        ("that is none", "👋"),
    ];
    for (case, cursor) in cursors {
        let (reason, details) = ("INVALID_CURSOR", ["field start.cursor"]);
        let result = calls.subscribe(subscribe_to(["orders"], after(cursor))).await;
        table.row(&format!("subscribe: a cursor {case}"), result, BAD, reason, &details);
        let result = calls.read(read_from(["orders"], after(cursor))).await;
        table.row(&format!("read: a cursor {case}"), result, BAD, reason, &details);
    }

    let (code, lost, future) = (Code::OutOfRange, "POSITION_LOST", "POSITION_IN_FUTURE");
    let details = ["earliest_cursor = ", "latest_cursor = "];
    let result = calls.subscribe(subscribe_to(["orders"], at(Position::Offset(4)))).await;
    table.row("subscribe: beyond the end", result, code, future, &details);
    let result = calls.read(read_from(["orders"], at(Position::Offset(99)))).await;
    table.row("read: beyond the end", result, code, future, &details);
    let result = calls.subscribe(subscribe_to(["trimmed"], at(Position::Offset(3)))).await;
    table.row("subscribe: a trimmed offset", result, code, lost, &details);
    let result = calls.read(read_from(["trimmed"], at(Position::Offset(0)))).await;
    table.row("read: a trimmed offset", result, code, lost, &details);
    let result = calls.get_event("trimmed", Some(By::Offset(3))).await;
    table.row("get event: trimmed", result, code, lost, &details);
    let result = calls.get_event("trimmed", Some(By::Offset(10))).await;
    table.row("get event: beyond the end", result, code, future, &details);
    let beyond = at_or_earliest(Position::Offset(99));
    let result = calls.subscribe(subscribe_to(["orders"], beyond)).await;
    table.row("subscribe: beyond the end, or earliest", result, code, future, &details);

    let (code, reason) = (Code::NotFound, "EVENT_NOT_FOUND");
    let identity = EventIdentity { source: "tests".into(), id: "nobody".into() };
    let result = calls.get_event("orders", Some(By::Identity(identity))).await;
    table.row("get event: an unknown identity", result, code, reason, &["resource event"]);
    let identity = EventIdentity { source: "tests".into(), id: "t-0".into() };
    let result = calls.get_event("trimmed", Some(By::Identity(identity))).await;
    table.row("get event: an identity that was trimmed", result, code, reason, &[]);
    let result = calls.get_event("orders", None).await;
    table.row("get event: which?", result, BAD, "INVALID_REQUEST", &["field by"]);
    let identity = EventIdentity::default();
    let result = calls.get_event("orders", Some(By::Identity(identity))).await;
    let details = ["field identity.source", "field identity.id"];
    table.row("get event: an empty identity", result, BAD, "INVALID_REQUEST", &details);
}

async fn streams(calls: &Calls, table: &mut Table) {
    let reason = "INVALID_REQUEST";
    let details = ["field topics"];
    let result = calls.subscribe(subscribe_to([], None)).await;
    table.row("subscribe: to nothing", result, BAD, reason, &details);
    let result = calls.read(read_from([], None)).await;
    table.row("read: nothing", result, BAD, reason, &details);
    let two = ["orders", "empty"];
    let details = ["field start.offset"];
    let result = calls.subscribe(subscribe_to(two, at(Position::Offset(0)))).await;
    table.row("subscribe: an offset in two topics", result, BAD, reason, &details);
    let result = calls.subscribe(subscribe_to(["orders.*"], at(Position::Offset(0)))).await;
    table.row("subscribe: an offset in a pattern", result, BAD, reason, &details);
    let result = calls.subscribe(subscribe_to(["orders"], at(Position::Edge(9)))).await;
    table.row("subscribe: an unknown edge", result, BAD, reason, &["field start.edge"]);

    let beat = |heartbeat_interval| SubscribeRequest {
        heartbeat_interval,
        ..subscribe_to(["orders"], None)
    };
    let details = ["field heartbeat_interval"];
    for (case, interval) in [
        ("of half a second", span(0, 500_000_000)),
        ("of 61 seconds", span(61, 0)),
        ("of less than nothing", span(-10, 0)),
        ("that is none", span(10, 2_000_000_000)),
    ] {
        let result = calls.subscribe(beat(interval)).await;
        table.row(&format!("subscribe: a heartbeat {case}"), result, BAD, reason, &details);
    }
    let request = SubscribeRequest { view: 99, ..subscribe_to(["orders"], None) };
    let result = calls.subscribe(request).await;
    table.row("subscribe: an unknown view", result, BAD, reason, &["field view"]);
    let request = ReadRequest { direction: 99, ..read_from(["orders"], None) };
    let result = calls.read(request).await;
    table.row("read: an unknown direction", result, BAD, reason, &["field direction"]);

    let filtered = |filter| SubscribeRequest {
        filters: vec![exact("type", "a"), filter],
        ..subscribe_to(["orders"], None)
    };
    let reason = "INVALID_FILTER";
    let result = calls.subscribe(filtered(exact("Not-A-Name", "x"))).await;
    table.row("subscribe: no attribute name", result, BAD, reason, &["field filters[1]"]);
    let cel = |text: &str| Filter { dialect: Some(Dialect::Cel(text.into())) };
    let result = calls.subscribe(filtered(cel("data.total = 1"))).await;
    let column = &["field filters[1].cel", "column 12"];
    table.row("subscribe: CEL that is none", result, BAD, reason, column);
    let inner =
        Filter { dialect: Some(Dialect::Not(Box::new(cel("data.x &&\n evnt.type == 'a'")))) };
    let result = calls.subscribe(filtered(inner)).await;
    let location = &["field filters[1].not.cel", "line 2, column 2"];
    table.row("subscribe: CEL of unknown names", result, BAD, reason, location);
    let request = ReadRequest { filters: vec![cel("event.type")], ..read_from(["orders"], None) };
    let location = &["field filters[0].cel", "a string"];
    table.row("read: CEL that is no bool", calls.read(request).await, BAD, reason, location);
    let result = calls.subscribe(filtered(cel(&"(".repeat(4_000)))).await;
    table.row("subscribe: CEL too deep", result, BAD, reason, &["field filters[1].cel", "64"]);
    let long = format!("event.type == '{}'", "x".repeat(5_000));
    let result = calls.subscribe(filtered(cel(&long))).await;
    table.row("subscribe: CEL too long", result, BAD, reason, &["field filters[1].cel", "4096"]);
    let result = calls.subscribe(filtered(Filter { dialect: None })).await;
    table.row("subscribe: a filter of nothing", result, BAD, reason, &["field filters[1]"]);
    let nested = (0..200).fold(exact("type", "a"), |inner, _| Filter {
        dialect: Some(Dialect::Not(Box::new(inner))),
    });
    let result = calls.subscribe(filtered(nested)).await;
    table.row("subscribe: 200 filters deep", result, BAD, "INVALID_REQUEST", &[]);
    let inner = exact("", "x");
    let inner = Filter { dialect: Some(Dialect::Not(Box::new(inner))) };
    let result = calls.subscribe(filtered(inner)).await;
    table.row("subscribe: an empty name, inside", result, BAD, reason, &["field filters[1].not"]);
}

async fn topics(calls: &Calls, table: &mut Table) {
    let result = calls.create(Some(topic("orders"))).await;
    let (code, reason) = (Code::AlreadyExists, "TOPIC_EXISTS");
    table.row("create: it is there", result, code, reason, &["resource topic orders"]);
    let reason = "INVALID_REQUEST";
    let result = calls.create(None).await;
    table.row("create: nothing", result, BAD, reason, &["field topic"]);
    let retention = Some(Retention { max_age: span(-1, 0), ..Retention::default() });
    let result = calls.create(Some(Topic { retention, ..topic("new") })).await;
    let details = ["field topic.retention.max_age"];
    table.row("create: less than no age", result, BAD, reason, &details);
    let result = calls.create(Some(Topic { max_event_bytes: 64 << 20, ..topic("new") })).await;
    let details = ["field topic.max_event_bytes"];
    table.row("create: events of 64 MiB", result, BAD, reason, &details);
    let result = calls.create(Some(Topic { schema_enforcement: 99, ..topic("new") })).await;
    let details = ["field topic.schema_enforcement"];
    table.row("create: an unknown enforcement", result, BAD, reason, &details);
    let allowed_types = vec!["sh*op".into()];
    let result = calls.create(Some(Topic { allowed_types, ..topic("new") })).await;
    let details = ["field topic.allowed_types[0]"];
    table.row("create: a star inside a type", result, BAD, reason, &details);

    let etag = "somebody-elses".to_owned();
    let (code, mismatch, details) = (Code::Aborted, "ETAG_MISMATCH", ["etag = "]);
    let result = calls.update(Topic { etag: etag.clone(), ..topic("orders") }, &["labels"]).await;
    table.row("update: another etag", result, code, mismatch, &details);
    let result = calls.delete("orders", &etag).await;
    table.row("delete: another etag", result, code, mismatch, &details);
    let result = calls.update(topic("orders"), &["nonsense"]).await;
    table.row("update: no such field", result, BAD, reason, &["field update_mask"]);
    let result = calls.update(topic("orders"), &["create_time"]).await;
    table.row("update: a field of the server's", result, BAD, reason, &["field update_mask"]);

    let result = calls.trim("orders", None).await;
    table.row("trim: before what?", result, BAD, reason, &["field before"]);
    let result = calls.trim("orders", at(Position::Offset(99))).await;
    let code = Code::OutOfRange;
    table.row("trim: beyond the end", result, code, "POSITION_IN_FUTURE", &["latest_cursor = "]);

    let list = async |request| calls.0.topics().list_topics(request).await;
    let request = ListTopicsRequest { page_token: "nonsense".into(), ..Default::default() };
    table.row("list: no page token", list(request).await, BAD, reason, &["field page_token"]);
    let request = ListTopicsRequest { page_size: -1, ..Default::default() };
    table.row("list: pages of -1", list(request).await, BAD, reason, &["field page_size"]);
    let request = ListTopicsRequest { pattern: "ord*".into(), ..Default::default() };
    let details = ["field pattern"];
    table.row("list: no pattern", list(request).await, BAD, "INVALID_NAME", &details);

    // Deletion of a topic ends the streams that name it.
    calls.0.create("short-lived").await;
    let mut subscription = calls.0.subscribe(subscribe_to(["short-lived"], earliest())).await;
    calls.delete("short-lived", "").await.unwrap();
    let status = subscription.end().await;
    let (code, reason) = (Code::NotFound, "TOPIC_NOT_FOUND");
    let details = ["resource topic short-lived"];
    table.row("subscribe: a topic that is deleted", Err::<(), _>(status), code, reason, &details);
}

/// A publish stream refuses a request with the error of a unary call, and does not end.
async fn publish_stream(calls: &Calls, table: &mut Table) {
    let refused = async |publish| {
        let request = PublishStreamRequest { sequence: 5, publish };
        let mut outcomes = calls.0.events().publish_stream(once(request)).await?.into_inner();
        let response = within(PATIENCE, "an outcome", outcomes.message()).await?.unwrap();
        assert_eq!(response.sequence, 5);
        let end = within(PATIENCE, "the end", outcomes.message()).await?;
        assert!(end.is_none(), "more than one outcome");
        match response.outcome.unwrap() {
            Outcome::Published(_) => Ok(()),
            Outcome::Error(error) => {
                let details = prost::Message::encode_to_vec(&error).into();
                Err(Status::with_details(Code::from_i32(error.code), error.message, details))
            }
        }
    };
    let result = refused(Some(publish_to("ordrs", vec![event("a")]))).await;
    let details = ["nearest = orders"];
    let (code, reason) = (Code::NotFound, "TOPIC_NOT_FOUND");
    table.row("publish stream: no such topic", result, code, reason, &details);
    let result = refused(Some(publish_to("orders", vec![Event::default()]))).await;
    let details = ["field events[0].id"];
    table.row("publish stream: a malformed event", result, BAD, "INVALID_EVENT", &details);
    let result = refused(None).await;
    table.row("publish stream: nothing", result, BAD, "INVALID_REQUEST", &["field publish"]);
}
