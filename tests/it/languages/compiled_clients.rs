//! Clients of the languages that are compiled, and grpcurl: each does everything that a client does, once, against a server
//! of its own, and says what it saw. Then the examples, by the commands that their own READMEs say.

use std::{env, path::PathBuf, process::Command};

use crate::languages::clients::{project, scratch, succeed, tool};
use crate::support::{
    harness::{Options, Server},
    toolchain::toolchain,
};

/// What each of them has to have seen, in this order.
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

/// The definition of what they publish.
fn payload() -> PathBuf {
    project("tests/clients/proto/shop/orders/v1/order.proto")
}

#[tokio::test(flavor = "multi_thread")]
async fn go_does_the_whole_round() {
    if !toolchain("the Go client", ["go", "npm"]) {
        return;
    }
    let client = scratch("go-round").join("client");
    succeed(Command::new(project("tests/clients/go/build.sh")).arg(&client));
    let server = Server::start(Options::default()).await;
    let address = server.address().to_string();
    let saw = succeed(Command::new(&client).args(["round", &address]).arg(payload()));
    assert_eq!(saw, ROUND);
    server.assert_calm();
}

#[tokio::test(flavor = "multi_thread")]
async fn java_does_the_whole_round() {
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
async fn grpcurl_does_the_whole_round() {
    if !toolchain("grpcurl's round", ["go", "bash", "jq"]) {
        return;
    }
    let grpcurl = tool("grpcurl");
    let server = Server::start(Options::default()).await;
    let mut round = Command::new(project("tests/clients/grpcurl/round.sh"));
    let saw = succeed(round.arg(grpcurl).arg(server.address().to_string()));
    assert_eq!(saw, ROUND);
    server.assert_calm();
}

/// Plays an example's README in a copy of its folder: its commands, with these tools in the path, and what they print.
async fn example_does_what_it_says<const N: usize>(name: &str, tools: [&str; N]) {
    let mut path: Vec<PathBuf> =
        tools.iter().map(|it| tool(it).parent().unwrap().to_owned()).collect();
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
async fn the_example_in_go_does_what_it_says() {
    if toolchain("the example in Go", ["go", "npm", "python3", "bash"]) {
        example_does_what_it_says("go", ["buf"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_in_java_does_what_it_says() {
    if toolchain("the example in Java", ["java", "mvn", "python3", "bash"]) {
        example_does_what_it_says("java", []).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_with_grpcurl_does_what_it_says() {
    if toolchain("the example with grpcurl", ["go", "jq", "python3", "bash"]) {
        example_does_what_it_says("grpcurl", ["grpcurl"]).await;
    }
}
