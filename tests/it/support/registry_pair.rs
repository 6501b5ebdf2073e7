//! A server with its registry, in one process or in two. Both behave the same.

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::Value as Json;
use tidings::proto::events::v1::{RecordedEvent, SchemaEnforcement, Topic, event::Payload};
use tidings_registry::proto::v1::{
    Definition, RegisterSchemaRequest, SchemaDraft, SchemaFormat, SetVersionStateRequest,
    VersionState, definition::Form, schema_registry_service_client::SchemaRegistryServiceClient,
};
use tonic::transport::Channel;

use crate::support::harness::{Options, Server, earliest, read_from};

/// A server, and the registry if it runs in another process.
pub struct Pair {
    pub server: Server,
    pub registry: Option<Server>,
}

impl Pair {
    pub async fn embedded() -> Self {
        Self { server: Server::start(Options::default()).await, registry: None }
    }

    pub async fn remote() -> Self {
        let registry = Server::start(Options::default()).await;
        let address = format!("http://{}", registry.address());
        let server = Server::start(Options::args(["--registry", &address])).await;
        Self { server, registry: Some(registry) }
    }

    /// The registry, through the address of the server.
    pub fn schemas(&self) -> SchemaRegistryServiceClient<Channel> {
        SchemaRegistryServiceClient::new(self.server.channel())
    }

    pub async fn register(&self, draft: SchemaDraft) -> String {
        let request = RegisterSchemaRequest { schema: Some(draft), ..Default::default() };
        let response = self.schemas().register_schema(request).await.unwrap().into_inner();
        response.schema.unwrap().version
    }

    pub async fn state(&self, subject: &str, version: &str, state: VersionState, why: &str) {
        let request = SetVersionStateRequest {
            subject: subject.into(),
            version: version.into(),
            state: state.into(),
            deprecation: why.into(),
            ..Default::default()
        };
        self.schemas().set_version_state(request).await.unwrap();
    }

    pub async fn topic(&self, name: &str, enforcement: SchemaEnforcement) {
        let topic =
            Topic { name: name.into(), schema_enforcement: enforcement.into(), ..Topic::default() };
        self.server.create_with(topic).await;
    }

    pub async fn recorded(&self, topic: &str) -> Vec<RecordedEvent> {
        self.server.read(read_from([topic], earliest())).await.unwrap().0
    }

    pub fn assert_calm(&self) {
        self.server.assert_calm();
        self.registry.iter().for_each(Server::assert_calm);
    }
}

/// Runs each test with an embedded registry and with a remote one.
macro_rules! both {
    ($($name:ident)*) => {
        $(mod $name {
            use crate::support::registry_pair::Pair;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn embedded() {
                super::$name(Pair::embedded().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn remote() {
                super::$name(Pair::remote().await).await;
            }
        })*
    };
}
pub(crate) use both;

/// A proposed schema.
pub fn draft(subject: &str, format: SchemaFormat, text: &str) -> SchemaDraft {
    SchemaDraft {
        subject: subject.into(),
        format: format.into(),
        definition: Some(Definition { form: Some(Form::Text(text.into())), ..Default::default() }),
        ..SchemaDraft::default()
    }
}

/// The JSON payload of an event, `data`.
pub fn data(json: Json) -> Option<Payload> {
    Some(Payload::Data(value(json)))
}

fn value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(flag) => Kind::BoolValue(flag),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(value).collect() })
        }
        Json::Object(members) => Kind::StructValue(Struct {
            fields: members.into_iter().map(|(name, member)| (name, value(member))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}
