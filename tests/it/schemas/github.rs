//! Real events: 329 GitHub webhooks, published and read with the real binary.

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

/// The file of webhooks: the file in `TIDINGS_GITHUB_EVENTS`, the file next to the project, or a
/// file generated from npm packages.
pub fn events_file() -> Option<PathBuf> {
    if let Some(file) = env::var_os("TIDINGS_GITHUB_EVENTS") {
        return Some(file.into());
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let existing = project.join("../shared/data/github-webhooks/events.jsonl");
    if existing.exists() {
        return Some(existing);
    }
    if !toolchain("github", ["node", "npm"]) {
        return None;
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("github-events.jsonl");
    let script = project.join("scripts/github-events.mjs");
    fs::write(&file, succeed(Command::new("node").arg(script).arg(tool("node_modules")))).unwrap();
    Some(file)
}

/// The folder of the webhook schemas, one file per type: the folder next to the project, or a
/// folder generated from npm packages.
pub fn schemas_folder() -> Option<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let existing = project.join("../shared/data/github-webhooks/schemas/7.6.1");
    if existing.exists() {
        return Some(existing);
    }
    if !toolchain("github", ["node", "npm"]) {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("github-schemas");
    let script = project.join("scripts/github-schemas.mjs");
    succeed(Command::new("node").arg(script).arg(tool("node_modules")).arg(&folder));
    Some(folder)
}

/// Returns the output of `tidings publish com.github < file`.
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

/// The recorded events equal the documents of the file, in the same order.
#[track_caller]
fn assert_same(recorded: &[RecordedEvent], documents: &[Value]) {
    assert_eq!(recorded.len(), documents.len());
    for (recorded, document) in recorded.iter().zip(documents) {
        let event = recorded.event.as_ref().unwrap();
        let context = format!("{} at offset {}", event.id, recorded.offset);
        assert_eq!(event.id, document["id"], "{context}");
        assert_eq!(event.source, document["source"], "{context}");
        assert_eq!(event.r#type, document["type"], "{context}");
        assert_eq!(event.subject, document["subject"].as_str().unwrap_or_default(), "{context}");
        assert_eq!(event.datacontenttype, "application/json", "{context}");
        let data: Value = match event.payload.as_ref().unwrap() {
            Payload::TextData(text) => serde_json::from_str(text).unwrap(),
            Payload::BinaryData(bytes) => serde_json::from_slice(bytes).unwrap(),
            other => panic!("{context}: the payload became {other:?}"),
        };
        assert_eq!(data, document["data"], "{context}");
    }
}

async fn read_all(server: &Server) -> Vec<RecordedEvent> {
    server.read(read_from([TOPIC], earliest())).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn github_events_are_read_as_published() {
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
    let recorded = read_all(&server).await;
    assert_same(&recorded, &documents);
    assert_eq!(offsets(&recorded), (0..EVENTS as u64).collect::<Vec<_>>());

    // A subscription and the command line return the same events.
    let mut subscription = server.subscribe(subscribe_to([TOPIC], earliest())).await;
    assert_eq!(without_cursors(&subscription.catch_up().await), without_cursors(&recorded));
    assert_command_line_reads(&server, &documents);

    // Each cursor resumes with exactly the events after it.
    assert_resumes_anywhere(&server, &recorded).await;

    // After `kill -9` no event is lost, and old cursors still resume.
    let server = server.crash().await;
    assert_eq!(without_cursors(&read_all(&server).await), without_cursors(&recorded));
    assert_resumes_anywhere(&server, &recorded).await;

    // Publishing the file again appends nothing: the next event gets the next offset.
    publish(&server, &file);
    assert_eq!(without_cursors(&read_all(&server).await), without_cursors(&recorded));
    let next = server.publish(TOPIC, [event("after")]).await.unwrap();
    assert_eq!(next.results[0].offset, EVENTS as u64);
    server.assert_calm();
}

/// The events without their cursors, which also encode when their stream was opened.
fn without_cursors(events: &[RecordedEvent]) -> Vec<RecordedEvent> {
    let strip = |event: &RecordedEvent| RecordedEvent { cursor: String::new(), ..event.clone() };
    events.iter().map(strip).collect()
}

async fn assert_resumes_anywhere(server: &Server, recorded: &[RecordedEvent]) {
    for (offset, last) in recorded.iter().enumerate() {
        let rest = &recorded[offset + 1..];
        // Every 20th cursor reads all remaining events, the others read only two: all of them from
        // each cursor would be the square of 329 large events.
        if offset % 20 == 0 || rest.len() < 3 {
            let mut subscription =
                server.subscribe(subscribe_to([TOPIC], after(&last.cursor))).await;
            assert_eq!(
                without_cursors(&subscription.catch_up().await),
                without_cursors(rest),
                "after offset {offset}"
            );
        } else {
            let mut request = read_from([TOPIC], after(&last.cursor));
            request.max_events = 2;
            let events = server.read(request).await.unwrap().0;
            assert_eq!(
                without_cursors(&events),
                without_cursors(&rest[..2]),
                "after offset {offset}"
            );
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
