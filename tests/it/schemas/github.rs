//! Real events: 329 webhooks of GitHub, published and read by the real binary.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tidings::proto::events::v1::{RecordedEvent, event::Payload};

use crate::languages::clients::{succeed, tool};
use crate::support::{
    harness::{Options, Server, after, earliest, event, offsets, read_from, subscribe_to},
    toolchain::toolchain,
};

const TOPIC: &str = "com.github";
const EVENTS: usize = 329;

/// The file of events: the one that `TIDINGS_GITHUB_EVENTS` names, the one beside the project, or one made from npm.
pub fn events_file() -> Option<PathBuf> {
    if let Some(file) = env::var_os("TIDINGS_GITHUB_EVENTS") {
        return Some(file.into());
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = project.join("../shared/data/github-webhooks/events.jsonl");
    if beside.exists() {
        return Some(beside);
    }
    if !toolchain("github", ["node", "npm"]) {
        return None;
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("github-events.jsonl");
    let maker = project.join("scripts/github-events.mjs");
    fs::write(&file, succeed(Command::new("node").arg(maker).arg(tool("node_modules")))).unwrap();
    Some(file)
}

/// The folder of their schemas, a file a type: the one beside the project, or one made from npm.
pub fn schemas_folder() -> Option<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = project.join("../shared/data/github-webhooks/schemas/7.6.1");
    if beside.exists() {
        return Some(beside);
    }
    if !toolchain("github", ["node", "npm"]) {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("github-schemas");
    let maker = project.join("scripts/github-schemas.mjs");
    succeed(Command::new("node").arg(maker).arg(tool("node_modules")).arg(&folder));
    Some(folder)
}

/// What `tidings publish com.github < file` printed.
fn publish(server: &Server, file: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(["--server", &format!("http://{}", server.address()), "publish", TOPIC])
        .stdin(File::open(file).unwrap())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tidings publish: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Everything recorded is what the file has, in its order.
#[track_caller]
fn assert_same(recorded: &[RecordedEvent], documents: &[Value]) {
    assert_eq!(recorded.len(), documents.len());
    for (recorded, document) in recorded.iter().zip(documents) {
        let event = recorded.event.as_ref().unwrap();
        let place = format!("{} at offset {}", event.id, recorded.offset);
        assert_eq!(event.id, document["id"], "{place}");
        assert_eq!(event.source, document["source"], "{place}");
        assert_eq!(event.r#type, document["type"], "{place}");
        assert_eq!(event.subject, document["subject"].as_str().unwrap_or_default(), "{place}");
        assert_eq!(event.datacontenttype, "application/json", "{place}");
        let data: Value = match event.payload.as_ref().unwrap() {
            Payload::TextData(text) => serde_json::from_str(text).unwrap(),
            Payload::BinaryData(bytes) => serde_json::from_slice(bytes).unwrap(),
            other => panic!("{place}: the payload became {other:?}"),
        };
        assert_eq!(data, document["data"], "{place}");
    }
}

async fn everything(server: &Server) -> Vec<RecordedEvent> {
    server.read(read_from([TOPIC], earliest())).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn github_events_come_back_as_they_went_in() {
    let Some(file) = events_file() else { return };
    let documents: Vec<Value> = fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(documents.len(), EVENTS, "{}", file.display());

    let server = Server::start(Options::default()).await;
    server.create(TOPIC).await;
    publish(&server, &file);
    let recorded = everything(&server).await;
    assert_same(&recorded, &documents);
    assert_eq!(offsets(&recorded), (0..EVENTS as u64).collect::<Vec<_>>());

    // A subscription sees the same, and so does the command line.
    let mut subscription = server.subscribe(subscribe_to([TOPIC], earliest())).await;
    assert_eq!(bare(&subscription.catch_up().await), bare(&recorded));
    assert_command_line_reads(&server, &documents);

    // From any cursor comes exactly the rest.
    assert_resumes_anywhere(&server, &recorded).await;

    // After `kill -9` nothing is lost, and old cursors go on.
    let server = server.crash().await;
    assert_eq!(bare(&everything(&server).await), bare(&recorded));
    assert_resumes_anywhere(&server, &recorded).await;

    // The file again appends nothing: the next event gets the next offset.
    publish(&server, &file);
    assert_eq!(bare(&everything(&server).await), bare(&recorded));
    let next = server.publish(TOPIC, [event("after")]).await.unwrap();
    assert_eq!(next.results[0].offset, EVENTS as u64);
    server.assert_calm();
}

/// Without their cursors, which also say when their stream was opened.
fn bare(events: &[RecordedEvent]) -> Vec<RecordedEvent> {
    let bare = |event: &RecordedEvent| RecordedEvent { cursor: String::new(), ..event.clone() };
    events.iter().map(bare).collect()
}

async fn assert_resumes_anywhere(server: &Server, recorded: &[RecordedEvent]) {
    for (at, last) in recorded.iter().enumerate() {
        let rest = &recorded[at + 1..];
        // All of the rest from some cursors, its beginning from every one: the square of 329 large events is a lot.
        if at % 20 == 0 || rest.len() < 3 {
            let mut subscription =
                server.subscribe(subscribe_to([TOPIC], after(&last.cursor))).await;
            assert_eq!(bare(&subscription.catch_up().await), bare(rest), "after offset {at}");
        } else {
            let mut request = read_from([TOPIC], after(&last.cursor));
            request.max_events = 2;
            let got = server.read(request).await.unwrap().0;
            assert_eq!(bare(&got), bare(&rest[..2]), "after offset {at}");
        }
    }
}

fn assert_command_line_reads(server: &Server, documents: &[Value]) {
    let lines = succeed(Command::new(env!("CARGO_BIN_EXE_tidings")).args([
        "--server",
        &format!("http://{}", server.address()),
        "read",
        TOPIC,
        "-o",
        "json",
    ]));
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), documents.len());
    for (line, document) in lines.iter().zip(documents) {
        let event = line.get("event").unwrap_or(line);
        assert_eq!(event["id"], document["id"]);
        assert_eq!(event["data"], document["data"]);
    }
}
