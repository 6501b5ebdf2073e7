//! Clients in compiled languages, and grpcurl: each runs every client operation once against its
//! own server, and prints the results. Then the examples, by the commands of their READMEs.

use std::{env, path::PathBuf, process::Command};

use crate::languages::clients::{project, scratch, succeed, tool};
use crate::support::{
    harness::{Options, Server},
    toolchain::toolchain,
};

/// The output of each client.
const ROUND: &str = "\
ok: a topic is created
ok: a missing topic is NOT_FOUND, and the nearest one is named
ok: a JSON schema is registered
ok: a Protobuf schema is registered
ok: a batch is published
ok: a duplicate is told so
ok: an id with other content is refused
ok: a condition that fails says what was found
ok: a wrong payload is refused with its place
ok: all faults of a batch come at once
ok: an Any of an unregistered type is refused
ok: a subscription catches up, and a live event arrives
ok: a Protobuf payload comes back as the Any that it was
ok: a cursor resumes exactly
ok: a stream that asks for ^1.0 is told of 1.1.0
ok: an event is converted for a reader of 1.0
ok: the schema can be read back
ok: a deadline ends the call
";

/// The definition of the published payloads.
fn payload() -> PathBuf {
    project("tests/clients/proto/shop/orders/v1/order.proto")
}

#[tokio::test(flavor = "multi_thread")]
async fn go_client_completes_the_round() {
    if !toolchain("the Go client", ["go", "npm"]) {
        return;
    }
    let client = scratch("go-round").join("client");
    succeed(Command::new(project("tests/clients/go/build.sh")).arg(&client));
    let server = Server::start(Options::default()).await;
    let address = server.address().to_string();
    let printed = succeed(Command::new(&client).args(["round", &address]).arg(payload()));
    assert_eq!(printed, ROUND);
    server.assert_calm();
}

#[tokio::test(flavor = "multi_thread")]
async fn java_client_completes_the_round() {
    if !toolchain("the Java client", ["java", "mvn"]) {
        return;
    }
    let classes = succeed(&mut Command::new(project("tests/clients/java/build.sh")));
    let server = Server::start(Options::default()).await;
    let mut client = Command::new("java");
    client.args(["-cp", classes.trim(), "tidings.Round", &server.address().to_string()]);
    assert_eq!(succeed(client.arg(payload())), ROUND);
    server.assert_calm();
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_completes_the_round() {
    if !toolchain("grpcurl's round", ["go", "bash", "jq"]) {
        return;
    }
    let grpcurl = tool("grpcurl");
    let server = Server::start(Options::default()).await;
    let mut round = Command::new(project("tests/clients/grpcurl/round.sh"));
    let printed = succeed(round.arg(grpcurl).arg(server.address().to_string()));
    assert_eq!(printed, ROUND);
    server.assert_calm();
}

/// Runs the commands of an example's README in a copy of its folder, with these tools in the path,
/// and checks their output.
async fn assert_example_matches_its_readme<const N: usize>(name: &str, tools: [&str; N]) {
    let mut path: Vec<PathBuf> =
        tools.iter().map(|tool_name| tool(tool_name).parent().unwrap().to_owned()).collect();
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let server = Server::start(Options::default()).await;
    succeed(
        Command::new("python3")
            .arg(project("tests/clients/example.py"))
            .arg(project("examples").join(name))
            .arg(server.address().to_string())
            .env("PATH", env::join_paths(path).unwrap()),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_example_matches_its_readme() {
    if toolchain("the example in Go", ["go", "npm", "python3", "bash"]) {
        assert_example_matches_its_readme("go", ["buf"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_example_matches_its_readme() {
    if toolchain("the example in Java", ["java", "mvn", "python3", "bash"]) {
        assert_example_matches_its_readme("java", []).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grpcurl_example_matches_its_readme() {
    if toolchain("the example with grpcurl", ["go", "jq", "python3", "bash"]) {
        assert_example_matches_its_readme("grpcurl", ["grpcurl"]).await;
    }
}
