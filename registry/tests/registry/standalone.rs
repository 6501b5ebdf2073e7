//! `tidings-registry` as a process, with a port and a directory of its own.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tidings_registry::proto::v1::{
    Definition, GetSchemaRequest, ListSubjectsRequest, RegisterSchemaRequest, Schema, SchemaDraft,
    SchemaFormat, definition::Form, get_schema_request::By,
    schema_registry_service_client::SchemaRegistryServiceClient,
    schema_registry_service_server::SERVICE_NAME,
};
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;

/// The longest time that a step may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

type Client = SchemaRegistryServiceClient<Channel>;

/// A running registry. Killed when dropped.
struct Standalone {
    child: Child,
    channel: Channel,
}

impl Standalone {
    async fn start(directory: &Path) -> Self {
        Self::start_with(directory, "").await
    }

    /// Starts it from a shell that has run these commands before.
    async fn start_with(directory: &Path, commands: &str) -> Self {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("{commands}\nexec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_tidings-registry"))
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("unexpected line {line:?}"));
        let address: SocketAddr = address.trim().parse().expect("an address");
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
        Self { child, channel: endpoint.connect().await.expect("a connection") }
    }

    fn client(&self) -> Client {
        Client::new(self.channel.clone())
    }

    async fn health(&self, service: &str) -> ServingStatus {
        let request = HealthCheckRequest { service: service.into() };
        let response = HealthClient::new(self.channel.clone()).check(request).await;
        response.expect("a response").into_inner().status()
    }

    fn kill9(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    async fn stop(mut self) -> ExitStatus {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(killed.expect("kill runs").success());
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("waited") {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it does not stop");
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        // Both fail only if the process has already ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn register(client: &mut Client, subject: &str, schema: &str) -> Result<Schema, Status> {
    let draft = SchemaDraft {
        subject: subject.into(),
        format: SchemaFormat::Json.into(),
        definition: Some(Definition {
            form: Some(Form::Text(schema.into())),
            ..Definition::default()
        }),
        ..SchemaDraft::default()
    };
    let request = RegisterSchemaRequest { schema: Some(draft), ..Default::default() };
    client
        .register_schema(request)
        .await
        .map(|response| response.into_inner().schema.expect("a schema"))
}

async fn by_id(client: &mut Client, id: u32) -> Result<Schema, Status> {
    let request = GetSchemaRequest { by: Some(By::Id(id)) };
    client.get_schema(request).await.map(|response| response.into_inner().schema.expect("a schema"))
}

async fn subjects(client: &mut Client) -> Vec<String> {
    let listed = client.list_subjects(ListSubjectsRequest::default()).await.expect("listed");
    listed.into_inner().subjects.into_iter().map(|subject| subject.name).collect()
}

#[tokio::test]
async fn registered_schemas_survive_a_crash_and_a_stop() {
    let directory = TempDir::new().expect("a directory");
    let registry = Standalone::start(directory.path()).await;
    assert_eq!(registry.health(SERVICE_NAME).await, ServingStatus::Serving);
    let mut client = registry.client();
    let first = register(&mut client, "shop.Order", r#"{"type": "object"}"#).await.unwrap();
    assert_eq!((first.id, first.version.as_str()), (1, "1.0.0"));
    registry.kill9();

    let registry = Standalone::start(directory.path()).await;
    let mut client = registry.client();
    assert_eq!(by_id(&mut client, 1).await.unwrap(), first);
    register(&mut client, "shop.Money", "true").await.unwrap();
    assert_eq!(registry.stop().await.code(), Some(0));

    let registry = Standalone::start(directory.path()).await;
    let mut client = registry.client();
    assert_eq!(subjects(&mut client).await, ["shop.Money", "shop.Order"]);
    let next = register(&mut client, "shop.Order", r#"{"type": "object", "title": "Order"}"#).await;
    let next = next.unwrap();
    assert_eq!((next.id, next.version.as_str()), (3, "1.0.1"));
}

/// After a failed write, the content of the disk is unknown: the registry accepts no writes,
/// reports this in its health, and continues to serve reads.
#[tokio::test]
async fn a_failed_write_stops_all_writes_and_health_reports_it() {
    let directory = TempDir::new().expect("a directory");
    // Limits files to a few MiB, reported by an error and not by a signal.
    let registry = Standalone::start_with(directory.path(), "trap '' XFSZ; ulimit -f 4096").await;
    let mut client = registry.client();
    let large = |n: u32| format!(r#"{{"title": "{n}{}"}}"#, "x".repeat(400_000));
    let mut acknowledged = 0;
    let refused = loop {
        match register(&mut client, &format!("large.{acknowledged}"), &large(acknowledged)).await {
            Ok(_) => acknowledged += 1,
            Err(status) => break status,
        }
    };
    assert!(acknowledged > 0, "{refused:?}");
    let reason = |status: &Status| status.get_details_error_info().map(|info| info.reason);
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert_eq!(reason(&refused).as_deref(), Some("COMMIT_AMBIGUOUS"));
    let again = register(&mut client, "small", "true").await.unwrap_err();
    assert_eq!(reason(&again).as_deref(), Some("COMMIT_AMBIGUOUS"));
    assert!(again.message().contains("restarted"), "{}", again.message());
    assert!(by_id(&mut client, acknowledged).await.is_ok(), "reads continue");

    let until = Instant::now() + PATIENCE;
    while registry.health(SERVICE_NAME).await != ServingStatus::NotServing {
        assert!(Instant::now() < until, "health does not report it");
    }
    assert_eq!(registry.health("").await, ServingStatus::Serving, "reads continue");
    registry.kill9();

    let registry = Standalone::start(directory.path()).await;
    let mut client = registry.client();
    for id in 1..=acknowledged {
        assert!(by_id(&mut client, id).await.is_ok(), "{id} was acknowledged");
    }
    // The failed registration may be on disk. If it is, its id is not assigned again.
    let next = register(&mut client, "small", "true").await.unwrap();
    assert_eq!(next.id as usize, subjects(&mut client).await.len());
}

#[tokio::test]
async fn it_does_not_start_with_less_than_it_acknowledged() {
    let directory = TempDir::new().expect("a directory");
    let registry = Standalone::start(directory.path()).await;
    register(&mut registry.client(), "shop.Order", "true").await.unwrap();
    registry.kill9();
    for entry in std::fs::read_dir(directory.path().join("db")).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "log") {
            std::fs::write(path, "").expect("cut");
        }
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidings-registry"))
        .args(["--listen", "127.0.0.1:0", "--log", "off", "--data-dir"])
        .arg(directory.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stderr = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
    assert_eq!(child.wait().expect("ended").code(), Some(3), "{stderr}");
    assert!(stderr.contains("try: keep a copy of the data directory"), "{stderr}");
    assert!(
        stderr.contains("revision 1 was acknowledged; the database ends at revision 0"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_shows_registered_schemas_unless_it_is_off() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let finds_symbol = async |registry: &Standalone, symbol: &str| {
        let query = MessageRequest::FileContainingSymbol(symbol.into());
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(query) };
        let mut client = ServerReflectionClient::new(registry.channel.clone());
        let responses = client.server_reflection_info(tokio_stream::iter([request])).await?;
        let response = responses.into_inner().message().await?.expect("a response");
        Ok::<_, Status>(matches!(
            response.message_response,
            Some(MessageResponse::FileDescriptorResponse(_))
        ))
    };
    let directory = TempDir::new().expect("a directory");
    let registry = Standalone::start(directory.path()).await;
    let text = "syntax = \"proto3\"; package shop; message Order {}";
    let definition = Definition { form: Some(Form::Text(text.into())), ..Definition::default() };
    let draft = SchemaDraft {
        subject: "shop.Order".into(),
        format: SchemaFormat::Protobuf.into(),
        definition: Some(definition),
        ..SchemaDraft::default()
    };
    let request = RegisterSchemaRequest { schema: Some(draft), ..Default::default() };
    registry.client().register_schema(request).await.expect("registered");
    assert_eq!(finds_symbol(&registry, "shop.Order").await.ok(), Some(true));
    assert_eq!(
        finds_symbol(&registry, "tidings.registry.v1.SchemaRegistryService").await.ok(),
        Some(true)
    );
    assert_eq!(finds_symbol(&registry, "tidings.events.v1.EventService").await.ok(), Some(false));
    registry.stop().await;

    let off = "export TIDINGS_REGISTRY_REFLECTION=off";
    let registry = Standalone::start_with(directory.path(), off).await;
    let status = finds_symbol(&registry, "shop.Order").await.expect_err("it is off");
    assert_eq!(status.code(), Code::Unimplemented);
}
