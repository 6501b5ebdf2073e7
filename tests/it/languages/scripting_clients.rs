//! Clients in Python, Node.js and a browser: each runs every client operation with stubs that its
//! own tools generate from `proto/`, and then the commands of its example's README. A test whose
//! toolchain is missing prints that and is skipped; in CI it fails.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::Command,
};

use tempfile::TempDir;

use crate::events::unchecked::{events_with_invalid_times, record_unchecked};
use crate::languages::clients::succeed;
use crate::support::{
    harness::{Options, Server},
    toolchain::toolchain,
};

/// Runs `tests/clients/<suite>/run.sh` against the server, and checks that it printed `lines`.
async fn run(suite: &str, server: &Server, arguments: &[String], lines: &[&str]) {
    let script = format!("tests/clients/{suite}/run.sh");
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
    command.arg(server.address().to_string()).args(arguments);
    let printed = tokio::task::spawn_blocking(move || succeed(&mut command)).await.unwrap();
    for line in lines {
        assert!(
            printed.lines().any(|printed_line| printed_line == *line),
            "{suite}: no {line:?} in\n{printed}"
        );
    }
    server.assert_calm();
}

/// Two unused ports.
fn free_ports() -> [u16; 2] {
    // Both sockets are bound before either is closed, or the ports could be the same.
    let listeners = [(), ()].map(|()| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

#[tokio::test(flavor = "multi_thread")]
async fn python_client_completes_the_round() {
    if !toolchain("the Python client", ["python3", "git"]) {
        return;
    }
    let dir = TempDir::new().unwrap();
    record_unchecked(dir.path(), "clients.unchecked", &events_with_invalid_times());
    let server = Server::start_on(dir.path(), Options::default()).await;
    let lines = ["all 17 steps", "ok: python subscribe.py localhost:7171"];
    run("python", &server, &[], &lines).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_client_completes_the_round() {
    if !toolchain("the Node.js client", ["node", "npm", "python3", "git"]) {
        return;
    }
    let server = Server::start(Options::default()).await;
    let lines = ["all 16 steps", "ok: node subscribe.js localhost:7171"];
    run("node", &server, &[], &lines).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_client_completes_the_round() {
    if !toolchain("the client in a browser", ["chromium", "node", "npm", "python3", "git"]) {
        return;
    }
    // The pages have other origins than the server, which it has to know when it starts.
    let [page, example] = free_ports();
    let origins = format!("http://127.0.0.1:{page},http://localhost:{example}");
    let server = Server::start(Options::args(["--cors-origins", origins.as_str()])).await;
    let arguments = [page.to_string(), example.to_string()];
    let lines = [
        "ok: an origin that is not listed reads nothing",
        "all 17 steps",
        "ok: the page shows what its README says",
        "ok: opened again, it goes on behind its cursor",
    ];
    run("browser", &server, &arguments, &lines).await;
}
