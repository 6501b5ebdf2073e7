//! `tidings schema verify` against a registry with schemas that the current rules refuse, and the
//! warning that the server logs at its start.

use std::{fs, path::Path};

use prost::Message as _;
use rocksdb::{DB, IteratorMode, Options as DbOptions};
use serde_json::Value;
use tidings_registry::proto::v1::{
    Schema, WatchRegistryResponse, definition::Form, watch_registry_response::Change,
};

use super::{UNREACHABLE, Workspace};
use crate::support::harness::{Options, PATIENCE, Server, eventually};

/// Replaces the text of a schema in a stopped registry, as an older version of the program may have
/// stored it.
fn rewrite(data: &Path, id: u32, text: &str) {
    let families = ["default", "meta", "subjects", "schemas", "changes", "consumers"];
    let db = DB::open_cf(&DbOptions::default(), data.join("registry/db"), families).unwrap();
    let edit = |schema: &mut Schema| {
        schema.definition.as_mut().unwrap().form = Some(Form::Text(text.into()));
    };
    let schemas = db.cf_handle("schemas").unwrap();
    let row = db.get_cf(schemas, id.to_be_bytes()).unwrap().unwrap();
    let mut schema = Schema::decode(&*row).unwrap();
    edit(&mut schema);
    db.put_cf(schemas, id.to_be_bytes(), schema.encode_to_vec()).unwrap();
    let changes = db.cf_handle("changes").unwrap();
    for row in db.iterator_cf(changes, IteratorMode::Start) {
        let (key, value) = row.unwrap();
        let mut change = WatchRegistryResponse::decode(&*value).unwrap();
        if let Some(Change::SchemaRegistered(schema)) = &mut change.change
            && schema.id == id
        {
            edit(schema);
            db.put_cf(changes, key, change.encode_to_vec()).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_of_an_older_program_are_listed_and_counted_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = Server::start_on(&data, Options::default()).await;
    let mut workspace = Workspace::new(&format!("http://{}", server.address()));
    workspace.record("verify", 0);
    let run = |workspace: &Workspace, args: &str| {
        let (code, stdout, stderr) = workspace.run(&mut workspace.command(), args, "");
        assert_eq!(code, 0, "{args}\n{stdout}{stderr}");
    };
    run(&workspace, "register shop.OrderPlaced order/v1.proto");
    run(&workspace, "register shop.OrderPlaced order/added.proto");
    run(&workspace, "register shop.OrderPaid order/v1.json --compatibility backward");
    run(&workspace, "register shop.OrderPaid order/optional.json");
    run(&workspace, "register other.Thing order/v1.avsc");
    workspace.record("verify", 0);
    server.sigterm();
    server.exit_within(PATIENCE).await;
    drop(server);
    let file = |path: &str| fs::read_to_string(workspace.dir.path().join(path)).unwrap();
    rewrite(&data, 2, &file("order/v2.proto"));
    rewrite(&data, 4, &file("bad/keyword.json"));
    let server = Server::start_on(&data, Options::default()).await;
    workspace.server = format!("http://{}", server.address());
    let warning = eventually(PATIENCE, "the log reports how many versions differ", async || {
        let log = server.log();
        log.lines().find(|line| line.contains("tidings schema verify")).map(str::to_owned)
    })
    .await;
    for field in ["differing=2", "verified=5", "registered=5", "WARN"] {
        assert!(warning.contains(field), "{warning}");
    }
    for output in ["text", "junit", "github", "gitlab"] {
        workspace.record(&format!("verify -o {output}"), 100);
    }
    let (code, stdout, stderr) = workspace.run(&mut workspace.command(), "verify -o json", "");
    assert_eq!(code, 100, "{stderr}");
    let found: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = [
        ("shop.OrderPaid", "1.1.0", "ERROR_REASON_INVALID_SCHEMA", "INVALID_SCHEMA"),
        (
            "shop.OrderPlaced",
            "1.1.0",
            "ERROR_REASON_SCHEMA_INCOMPATIBLE",
            "PROTOBUF_FIELD_TYPE_CHANGED",
        ),
    ];
    assert_eq!(found.len(), expected.len(), "{stdout}");
    for (difference, (subject, version, reason, rule)) in found.iter().zip(expected) {
        let named = (
            &difference["schema"]["subject"],
            &difference["schema"]["version"],
            &difference["refusalReason"],
        );
        assert_eq!(named, (&subject.into(), &version.into(), &reason.into()), "{difference}");
        assert_eq!(difference["report"]["findings"][0]["rule"], rule, "{difference}");
    }
    workspace.record("verify shop.OrderPl", 100);
    workspace.record("verify other. -o json", 0);
    workspace.assert_golden("verify.golden");
    server.assert_calm();
}

#[test]
fn the_files_of_a_manifest_are_verified_without_a_server() {
    let mut workspace = Workspace::new(UNREACHABLE);
    workspace.record("verify", 1);
    workspace.record("verify --manifest verify/good.yaml", 0);
    for output in ["text", "json"] {
        workspace.record(&format!("verify --manifest verify/tidings.yaml -o {output}"), 100);
    }
    workspace.record("verify --manifest verify/refers.yaml", 2);
    workspace.record("verify --manifest verify/nothing.yaml", 1);
    workspace.record("verify shop. --manifest verify", 2);
    workspace.assert_golden("verify_manifest.golden");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_verification_reports_its_progress() {
    // A server that accepts the connection and never responds.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let workspace = Workspace::new(&format!("http://{}", listener.local_addr().unwrap()));
    let mut command = workspace.command();
    command.args(["schema", "verify"]).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let _connection = listener.accept().unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.starts_with("error: interrupted before any version was checked\n"), "{stderr}");
}
