//! The client commands as people and scripts use them: output, exit codes, interrupts, lost
//! connections.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tidings::proto::events::v1::{Event, event::Payload};

use crate::http::requests::{LINES, get};
use crate::support::harness::{Options, Server, earliest, event, offsets, read_from};

fn tidings(server: &Server) -> Command {
    let mut command = bare();
    command.env("TIDINGS_SERVER", format!("http://{}", server.address()));
    command
}

/// A command without a server and without the developer's settings.
fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDINGS_")) {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    command
}

fn run(command: &mut Command, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().expect("ended by a signal"), text(stdout), text(stderr))
}

/// Runs a command that must succeed, and returns its output.
#[track_caller]
pub fn prints(server: &Server, args: &[&str]) -> String {
    let (code, stdout, stderr) = run(&mut tidings(server), args);
    assert_eq!(code, 0, "tidings {}\n{stderr}", args.join(" "));
    stdout
}

#[track_caller]
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A command that runs until it is interrupted.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    fn start(command: &mut Command, args: &[&str]) -> Self {
        let mut child =
            command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn lines(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.line()).collect()
    }

    fn interrupt(&self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGINT).unwrap();
    }

    /// Waits for the exit code, and returns it with the remaining output.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.stderr.read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stdout, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only if the process has already ended.
        self.child.kill().ok();
    }
}

/// A server that restarts at the same address.
async fn at_a_fixed_address() -> Server {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    Server::start(Options::args(["--listen", &free])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_reports_the_result_of_every_event() {
    let server = Server::start(Options::default()).await;
    prints(&server, &["topic", "create", "orders"]);

    let document = r#"{"specversion":"1.0","id":"7","source":"s","type":"t","big":1,"data":{"n": 9007199254740993}}"#;
    let summary = prints(&server, &["publish", "orders", document, "{\"plain\":true}"]);
    assert_eq!(summary, "2 events published to orders, last offset 1\n");
    let again = prints(&server, &["publish", "orders", document]);
    assert_eq!(again, "0 events published to orders, 1 duplicate\n");

    let args = ["publish", "orders", "--key", "k", "--type", "T", "-o", "json", "1", "2"];
    let results = json_lines(&prints(&server, &args));
    let shown: Vec<_> = results
        .iter()
        .map(|result| (result["offset"].as_u64(), result["key_version"].as_u64()))
        .collect();
    assert_eq!(shown, [(Some(2), Some(1)), (Some(3), Some(2))]);
    assert_eq!(results[0]["durability"], "synced");

    let (recorded, _) = server.read(read_from(["orders"], earliest())).await.unwrap();
    let first = recorded[0].event.as_ref().unwrap();
    assert_eq!(first.payload, Some(Payload::TextData("{\"n\": 9007199254740993}".into())));
    let last = recorded[3].event.as_ref().unwrap();
    assert_eq!((last.r#type.as_str(), last.source.as_str()), ("T", "tidings-cli"));

    // Documents that were read are published as the same events.
    prints(&server, &["topic", "create", "copy"]);
    let documents = prints(&server, &["read", "orders", "-o", "cloudevents"]);
    let mut copy = Running::start(tidings(&server).stdin(Stdio::piped()), &["publish", "copy"]);
    copy.child.stdin.take().unwrap().write_all(documents.as_bytes()).unwrap();
    assert_eq!(copy.end().1, "4 events published to copy, last offset 3\n");
    assert_eq!(prints(&server, &["read", "copy", "-o", "cloudevents"]), documents);
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_that_are_not_json_are_copied_byte_for_byte() {
    let server = Server::start(Options::default()).await;
    let texts =
        ["{\"a\":", "", "hello", "\u{feff}{}", "{\"a\": [1.10, 1e400]}", "\"\"", "a\nb\u{0}"];
    let texts: Vec<Payload> = texts.map(|text| Payload::TextData(text.into())).into();
    let bytes =
        [b"{".to_vec(), b"\xff\x00".to_vec()].map(|bytes| Payload::BinaryData(bytes.into()));
    let payloads = texts.into_iter().chain(bytes).enumerate();
    let events = payloads.flat_map(|(index, payload)| {
        ["", "application/json", "text/plain"].map(|datacontenttype| Event {
            payload: Some(payload.clone()),
            datacontenttype: datacontenttype.into(),
            ..event(format!("{index} {datacontenttype}"))
        })
    });
    server.create("orders").await;
    server.publish("orders", events).await.unwrap();
    let contents = async |topic: &str| -> Vec<Vec<u8>> {
        let (recorded, _) = server.read(read_from([topic], earliest())).await.unwrap();
        let payloads = recorded.into_iter().map(|event| event.event.unwrap().payload.unwrap());
        payloads
            .map(|payload| match payload {
                Payload::TextData(text) => text.into_bytes(),
                Payload::BinaryData(bytes) => bytes.to_vec(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let written = contents("orders").await;
    let printed = prints(&server, &["read", "orders", "-o", "cloudevents"]);
    let lines = get(&server, "/v1/topics/orders/events?until=end", &[LINES]).await.ok();
    for (topic, documents) in [("copied", printed), ("fetched", lines.text().to_owned())] {
        server.create(topic).await;
        let mut copy = Running::start(tidings(&server).stdin(Stdio::piped()), &["publish", topic]);
        copy.child.stdin.take().unwrap().write_all(documents.as_bytes()).unwrap();
        let (code, _, stderr) = copy.end();
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(contents(topic).await, written, "{topic}");
    }
    // A JSON string stays a JSON string, and broken JSON becomes bytes. Each line is parsed alone:
    // a `Value` cannot hold the 1e400 of another line.
    let data = |index: usize| json_lines(lines.text().lines().nth(index).unwrap())[0].clone();
    assert_eq!((&data(16)["data"], &data(16)["data_base64"]), (&"".into(), &Value::Null));
    assert_eq!((&data(1)["data"], &data(1)["data_base64"]), (&Value::Null, &"eyJhIjo=".into()));
    assert_eq!((&data(4)["data"], &data(4)["data_base64"]), (&Value::Null, &"".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_accepted_up_to_the_end_of_year_9999() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    let end = "9999-12-31T23:59:59.999999999Z";
    let document = format!(
        r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","time":"{end}","data":1}}"#
    );
    prints(&server, &["publish", "orders", &document]);
    assert_eq!(prints(&server, &["read", "orders", "--format", "{time}"]), format!("{end}\n"));
    let args = ["read", "orders", "--until", end, "--from", "0001-01-01T00:00:00Z"];
    assert_eq!(prints(&server, &[&args[..], &["--format", "{id}"]].concat()), "1\n");
    assert_eq!(prints(&server, &["read", "orders", "--from", end, "--format", "{id}"]), "");
    let cel = format!("event.time == timestamp('{end}')");
    assert_eq!(prints(&server, &["read", "orders", "--cel", &cel, "--format", "{id}"]), "1\n");
    for (time, message) in [
        (
            "0000-12-31T23:59:59Z",
            "\"0000-12-31T23:59:59Z\" is not between 0001-01-01T00:00:00Z and",
        ),
        ("2026-01-31T12:00Z", "\"2026-01-31T12:00Z\" is not a time of RFC 3339"),
    ] {
        let (code, _, stderr) =
            run(&mut tidings(&server), &["publish", "orders", &document.replace(end, time)]);
        assert_eq!(code, 1);
        assert!(stderr.contains(message), "{message:?} is not in\n{stderr}");
    }
    // Flags also accept shorter forms.
    assert_eq!(prints(&server, &["read", "orders", "--until", "20200131T1200Z"]), "");
    let (code, _, stderr) =
        run(&mut tidings(&server), &["read", "orders", "--from", "0000-12-31T23:59:59Z"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("is not between 0001-01-01T00:00:00Z"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_stops_publishing_unless_keep_going_is_set() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    server.create("picky").await;
    prints(&server, &["topic", "update", "picky", "--allowed-type", "good.*"]);

    let (code, _, stderr) =
        run(&mut tidings(&server), &["publish", "orders", "1", "{", "3", "{\"specversion\":7}"]);
    assert_eq!(code, 1);
    for message in [
        "0 events published to orders",
        "error: 2 lines are not valid events",
        "\n  argument 2: not JSON: ",
        "\n  argument 4: specversion: expected a string",
        "\n  argument 4: id: is missing",
        "\ntry: --keep-going",
    ] {
        assert!(stderr.contains(message), "{message:?} is not in\n{stderr}");
    }

    let args = ["publish", "orders", "--keep-going", "1", "{", "3"];
    let (code, _, stderr) = run(&mut tidings(&server), &args);
    assert_eq!(code, 1);
    assert!(stderr.contains("2 events published to orders, last offset 1"), "{stderr}");

    // A batch is refused as a whole; with --keep-going the invalid events are isolated.
    let document = |id: &str, kind: &str| {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"{kind}"}}"#)
    };
    let documents = [document("1", "good.a"), document("2", "bad"), document("3", "good.b")];
    let [first, second, third] = &documents;
    let (code, _, stderr) =
        run(&mut tidings(&server), &["publish", "picky", "--keep-going", first, second, third]);
    assert_eq!(code, 1);
    assert!(stderr.contains("2 events published to picky, 1 refused, last offset 1"), "{stderr}");
    assert!(stderr.contains("publish to picky, argument 2: "), "{stderr}");
    assert!(stderr.contains("(TYPE_NOT_ALLOWED)"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_end_with_a_remedy_and_exit_codes_separate_usage_from_failure() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    prints(&server, &["publish", "orders", "--key", "k", "1"]);
    let version = ["publish", "orders", "--key", "k", "--expect-key-version", "k=3", "2"];
    let cases: [(&[&str], i32, &str, &str); 10] = [
        (
            &["publish", "odrers", "1"],
            1,
            "(TOPIC_NOT_FOUND)",
            "try: orders, or tidings topic create",
        ),
        (&version, 1, "(KEY_VERSION_MISMATCH)", "try: read the events in between"),
        (&["topic", "create", "orders"], 1, "(TOPIC_EXISTS)", "try: tidings topic get orders"),
        (&["topic", "create", "a b"], 1, "(INVALID_NAME)", "try: "),
        (&["topic", "delete", "orders"], 2, "deletion needs confirmation", "try: --yes"),
        (&["topic", "update", "orders"], 2, "nothing to change", "try: "),
        (&["subscribe", "orders", "--cursor", "x"], 1, "(INVALID_CURSOR)", "try: "),
        (&["subscribe", "orders", "--from", "9"], 1, "(POSITION_IN_FUTURE)", "try: --from latest"),
        (&["read", "orders", "--from", "soon"], 2, "expected earliest, latest", "--help"),
        (&["read", "orders", "--format", "{ofset}"], 2, "did you mean {offset}?", "--help"),
    ];
    for (args, code, fact, remedy) in cases {
        let (found, _, stderr) = run(&mut tidings(&server), args);
        let command = args.join(" ");
        assert_eq!(found, code, "tidings {command}\n{stderr}");
        assert!(stderr.contains(fact) && stderr.contains(remedy), "tidings {command}\n{stderr}");
    }
    let (code, _, stderr) = run(&mut bare(), &["--server", "http://127.0.0.1:1", "topic", "list"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("cannot reach http://127.0.0.1:1"), "{stderr}");
    assert!(stderr.contains("try: tidings serve"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_subscriber_prints_how_to_resume() {
    let server = Server::start(Options::default()).await;
    server.create("shop.orders").await;
    server.publish("shop.orders", (0..5).map(|n| event(n.to_string()))).await.unwrap();
    let format = "{offset}\\t{id} it's {type}";
    let args = ["subscribe", "shop.*", "--from", "-3", "--format", format];
    let mut subscriber = Running::start(&mut tidings(&server), &args);
    let seen = subscriber.lines(3);
    assert!(seen[0].starts_with("2\t2 it's "), "{seen:?}");
    subscriber.interrupt();
    let (code, rest, stderr) = subscriber.end();
    assert_eq!((code, rest.as_str()), (Some(0), ""));
    let resume = stderr.lines().find_map(|line| line.strip_prefix("  tidings ")).unwrap();

    server.publish("shop.orders", [event("5"), event("6")]).await.unwrap();
    let script = format!("\"$0\" {resume} --exit-at-end");
    let rest = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_tidings")])
        .env("TIDINGS_SERVER", format!("http://{}", server.address()))
        .output()
        .unwrap();
    let rest = String::from_utf8(rest.stdout).unwrap();
    let ids: Vec<_> = rest.lines().map(|line| &line[..3]).collect();
    assert_eq!(ids, ["5\t5", "6\t6"], "{resume}");
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_and_publishers_survive_a_server_restart() {
    let server = at_a_fixed_address().await;
    server.create("orders").await;
    let args = ["subscribe", "orders", "--from", "earliest", "--format", "{offset} {data}"];
    let mut subscriber = Running::start(&mut tidings(&server), &args);
    let mut publisher = Running::start(
        tidings(&server).stdin(Stdio::piped()),
        &["publish", "orders", "-o", "json"],
    );
    let mut input = publisher.child.stdin.take().unwrap();

    writeln!(input, "0\n1").unwrap();
    publisher.lines(2);
    assert_eq!(subscriber.lines(2), ["0 0", "1 1"]);
    let server = server.crash().await;
    writeln!(input, "2\n3").unwrap();
    publisher.lines(2);
    assert_eq!(subscriber.lines(2), ["2 2", "3 3"]);
    let server = server.restart().await;
    writeln!(input, "4").unwrap();
    publisher.lines(1);
    assert_eq!(subscriber.line(), "4 4");

    drop(input);
    let (code, _, stderr) = publisher.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("5 events published to orders, last offset 4"), "{stderr}");
    subscriber.interrupt();
    let (code, rest, stderr) = subscriber.end();
    assert_eq!((code, rest.as_str()), (Some(0), ""), "{stderr}");
    assert!(stderr.contains("reconnecting") && stderr.contains("5 events; to resume"), "{stderr}");
    let (recorded, _) = server.read(read_from(["orders"], earliest())).await.unwrap();
    assert_eq!(offsets(&recorded), [0, 1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_followed_limited_and_reversed() {
    let server = Server::start(Options::default()).await;
    server.create("orders").await;
    server.publish("orders", (0..2_000).map(|n| event(n.to_string()))).await.unwrap();
    let ids = |args: &[&str]| prints(&server, &[args, &["--format", "{id}"]].concat());

    assert_eq!(ids(&["read", "orders", "--reverse", "-n", "2"]), "1999\n1998\n");
    assert_eq!(ids(&["read", "orders", "--from", "7", "-n", "2"]), "7\n8\n");
    assert_eq!(ids(&["read", "orders", "-n", "0"]), "");
    assert_eq!(ids(&["subscribe", "orders", "--from", "-2", "--exit-at-end"]), "1998\n1999\n");
    assert_eq!(ids(&["subscribe", "orders", "--from", "earliest", "-n", "1"]), "0\n");

    // Following continues where reading ended.
    let args = ["read", "orders", "--from", "-1", "--follow", "-n", "3", "--format", "{id}"];
    let mut follower = Running::start(&mut tidings(&server), &args);
    assert_eq!(follower.line(), "1999");
    server.publish("orders", [event("a"), event("b"), event("c")]).await.unwrap();
    let (code, rest, stderr) = follower.end();
    assert_eq!((code, rest.as_str()), (Some(0), "a\nb\n"), "{stderr}");

    // A reader that closes the pipe causes no failure and no message.
    let mut reader = Running::start(&mut tidings(&server), &["read", "orders"]);
    reader.line();
    let Running { child, stdout, stderr } = &mut reader;
    drop(std::mem::replace(stdout, BufReader::new(empty_output())));
    let mut messages = String::new();
    stderr.read_to_string(&mut messages).unwrap();
    let ended = child.wait().unwrap().code();
    assert_eq!((ended, messages.as_str()), (Some(0), ""));
}

fn empty_output() -> ChildStdout {
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    let output = child.stdout.take().unwrap();
    child.wait().unwrap();
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_updated_trimmed_and_deleted() {
    let server = Server::start(Options::default()).await;
    let args =
        ["topic", "create", "logs", "--max-age", "7d", "--label", "team=a", "--label", "x=1"];
    let created = &json_lines(&prints(&server, &args))[0];
    assert_eq!(created["retention"]["max_age"], "7days");
    let args = [
        "topic",
        "update",
        "logs",
        "--max-age",
        "none",
        "--max-events",
        "9",
        "--remove-label",
        "x",
    ];
    let updated = &json_lines(&prints(&server, &args))[0];
    assert_eq!(updated["retention"].to_string(), "{\"max_events\":9}");
    assert_eq!(updated["labels"].to_string(), "{\"team\":\"a\"}");
    let etag = created["etag"].as_str().unwrap();
    let args = ["topic", "update", "logs", "--description", "late", "--etag", etag];
    let (code, _, stderr) = run(&mut tidings(&server), &args);
    assert!(code == 1 && stderr.contains("(ETAG_MISMATCH)"), "{stderr}");

    prints(&server, &["publish", "logs", "1", "2", "3", "4"]);
    let trim = ["topic", "trim", "logs", "--before", "-1"];
    let preview = &json_lines(&prints(&server, &[&trim[..], &["--dry-run"]].concat()))[0];
    assert_eq!(
        (preview["events_removed"].as_u64(), preview["dry_run"].as_bool()),
        (Some(3), Some(true))
    );
    assert_eq!(prints(&server, &["read", "logs", "--format", "{data}"]), "1\n2\n3\n4\n");
    prints(&server, &trim);
    assert_eq!(prints(&server, &["read", "logs", "--format", "{data}"]), "4\n");
    let (code, _, stderr) = run(&mut tidings(&server), &["read", "logs", "--from", "0"]);
    assert!(code == 1 && stderr.contains("--on-lost earliest"), "{stderr}");
    let found = prints(&server, &["read", "logs", "--from", "0", "--on-lost", "earliest"]);
    assert_eq!(json_lines(&found).len(), 1);

    let names: Vec<_> = json_lines(&prints(&server, &["topic", "list"]))
        .iter()
        .map(|topic| topic["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["logs"]);
    prints(&server, &["topic", "delete", "logs", "--yes"]);
    assert_eq!(prints(&server, &["topic", "list"]), "");
}

#[test]
fn config_shows_the_origin_of_values_and_refuses_unknown_settings() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidings.toml");
    std::fs::write(&file, "tail-bytes = \"32MiB\"\nwal-bytes = \"16MiB\"\n").unwrap();
    let file = file.to_str().unwrap();
    let args = ["config", "show", "--config", file, "--heartbeat-interval", "5s"];
    let (code, stdout, stderr) = run(bare().env("TIDINGS_WAL_BYTES", "8MiB"), &args);
    assert_eq!(code, 0, "{stderr}");
    let lines = json_lines(&stdout);
    for (name, value, origin) in [
        ("tail-bytes", "32MiB", format!("file {file}")),
        ("wal-bytes", "8MiB", "variable TIDINGS_WAL_BYTES".to_owned()),
        ("heartbeat-interval", "5s", "flag --heartbeat-interval".to_owned()),
        ("max-event-bytes", "1MiB", "default".to_owned()),
    ] {
        let line = lines.iter().find(|line| line["name"] == name).unwrap();
        assert_eq!(
            (line["value"].as_str(), line["origin"].as_str()),
            (Some(value), Some(&*origin))
        );
    }

    let (code, _, stderr) = run(
        bare().env("TIDINGS_LISTN", "127.0.0.1:1"),
        &["serve", "--max-event-bytes", "5MiB", "--data-dir", dir.path().to_str().unwrap()],
    );
    assert_eq!(code, 2);
    assert_eq!(
        stderr,
        "error: the configuration is invalid\n  \
         TIDINGS_LISTN = \"127.0.0.1:1\" (variable TIDINGS_LISTN): no such setting; did you mean \
         TIDINGS_LISTEN?\n  \
         max-event-bytes = \"5MiB\" (flag --max-event-bytes): must be at most 3MiB\n\
         try: tidings config show, tidings serve --help\n"
    );
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = run(&mut bare(), &["completions", shell]);
        assert!(code == 0 && script.contains("subscribe"), "{shell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_has_its_own_exit_code() {
    let server = Server::start(Options::default()).await;
    let data_dir = server.data_dir().to_str().unwrap();
    let args =
        ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir", data_dir];
    let (code, _, stderr) = run(&mut bare(), &args);
    assert_eq!(code, 6, "{stderr}");
    assert!(
        stderr.contains(&server.pid().to_string()),
        "the message lacks the pid of the other server\n{stderr}"
    );
    assert!(stderr.contains("try: stop the other server"), "{stderr}");
}
