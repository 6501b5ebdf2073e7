//! Disk failures of the registry in `tidings serve`: a failed write, a truncated log.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use tidings_registry::proto::v1::{
    Definition, GetSchemaRequest, RegisterSchemaRequest, SchemaDraft, SchemaFormat,
    definition::Form, get_schema_request::By,
    schema_registry_service_client::SchemaRegistryServiceClient,
    schema_registry_service_server::SERVICE_NAME,
};
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::harness::{Options, PATIENCE, Server, assert_refused, connect, eventually};

async fn register(channel: &Channel, subject: &str, schema: &str) -> Result<u32, Status> {
    let draft = SchemaDraft {
        subject: subject.into(),
        format: SchemaFormat::Json.into(),
        definition: Some(Definition {
            form: Some(Form::Text(schema.into())),
            ..Definition::default()
        }),
        ..SchemaDraft::default()
    };
    let request = RegisterSchemaRequest { schema: Some(draft), force: false, ..Default::default() };
    let mut client = SchemaRegistryServiceClient::new(channel.clone());
    client.register_schema(request).await.map(|response| response.into_inner().schema.unwrap().id)
}

#[tokio::test]
async fn a_failed_registry_write_changes_only_the_registry_health() {
    let dir = TempDir::new().unwrap();
    // Limits files to a few MiB; a larger write fails with an error instead of a signal.
    let mut command = Command::new("sh");
    // Variables of the tests are not settings of the server.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDINGS_")) {
        command.env_remove(name);
    }
    let mut child = command
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_tidings"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir"])
        .arg(dir.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.strip_prefix("listening on ").unwrap().trim().parse().unwrap();
    let channel = connect(address).await;

    let title = "x".repeat(400_000);
    let mut last = 0;
    let refused = loop {
        let schema = format!(r#"{{"title": "{title}"}}"#);
        match register(&channel, &format!("large.{last}"), &schema).await {
            Ok(id) => last = id,
            Err(status) => break status,
        }
    };
    assert_refused(&refused, Code::Unavailable, "COMMIT_AMBIGUOUS");
    let health = async |service: &str| {
        let request = HealthCheckRequest { service: service.into() };
        let response = HealthClient::new(channel.clone()).check(request).await;
        response.unwrap().into_inner().status()
    };
    eventually(PATIENCE, "the health check reports the registry as not serving", async || {
        (health(SERVICE_NAME).await == ServingStatus::NotServing).then_some(())
    })
    .await;
    assert_eq!(health("").await, ServingStatus::Serving);
    assert_eq!(health("tidings.events.v1.EventService").await, ServingStatus::Serving);
    let request = GetSchemaRequest { by: Some(By::Id(last)) };
    let read = SchemaRegistryServiceClient::new(channel.clone()).get_schema(request).await;
    assert!(read.is_ok(), "reads still succeed: {read:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_server_does_not_start_with_fewer_schemas_than_it_acknowledged() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let mut server = Server::start_on(&data, Options::default()).await;
    register(&server.channel(), "orders", "true").await.unwrap();
    server.kill9();
    for entry in fs::read_dir(data.join("registry/db")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            fs::write(path, "").unwrap();
        }
    }
    let exit = Server::try_start_on(&data, Options::default())
        .await
        .err()
        .expect("the server must not start");
    assert_eq!(exit.code(), Some(3), "{}", exit.log);
    assert!(exit.log.contains("acknowledged schemas are missing"), "{}", exit.log);
}
