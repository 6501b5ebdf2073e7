//! `tidings schema` as people and pipelines use it: its output and its exit codes. The expected
//! output is in `cli/schema/*.golden`; `TIDINGS_BLESS=1` rewrites these files.

mod canned;
mod files;
mod verify;

use std::{
    env,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use self::{canned::Canned, files::FILES};
use crate::support::harness::{Options, Server};

/// The arguments of a command: `schema` is added unless they begin with `consumer`.
fn full_arguments(args: &str) -> String {
    match args.split_whitespace().next() {
        Some("consumer") => args.to_owned(),
        Some(_) | None => format!("schema {args}"),
    }
}

/// A directory with the test files, and the commands that run in it.
struct Workspace {
    dir: TempDir,
    /// The URL of the registry, or [`UNREACHABLE`].
    server: String,
    transcript: String,
}

impl Workspace {
    fn new(server: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in FILES {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { dir, server: server.to_owned(), transcript: String::new() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        for (name, _) in env::vars() {
            if ["TIDINGS_", "GITHUB_", "CLICOLOR"].iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command
            .env("TIDINGS_SERVER", &self.server)
            .env_remove("COLUMNS")
            .env_remove("NO_COLOR")
            .current_dir(&self.dir);
        command
    }

    /// Runs a command with the given standard input.
    fn run(&self, command: &mut Command, args: &str, input: &str) -> (i32, String, String) {
        let mut child = command
            .args(full_arguments(args).split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that fails before it reads has already exited.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().expect("ended by a signal"), text(stdout), text(stderr))
    }

    /// Runs a command, and appends its output to the transcript.
    #[track_caller]
    fn record(&mut self, args: &str, code: i32) -> String {
        self.record_with_input(args, "", code)
    }

    #[track_caller]
    fn record_with_input(&mut self, args: &str, input: &str, code: i32) -> String {
        let (found, stdout, stderr) = self.run(&mut self.command(), args, input);
        assert_eq!(found, code, "tidings schema {args}\n{stdout}{stderr}");
        let pipe = if input.is_empty() { "" } else { "... | " };
        writeln!(self.transcript, "# {pipe}tidings {}\n{stdout}", full_arguments(args)).unwrap();
        if !stderr.is_empty() {
            writeln!(self.transcript, "on stderr:\n{stderr}").unwrap();
        }
        writeln!(self.transcript, "exit code {found}\n").unwrap();
        stdout
    }

    /// Compares the transcript with the golden file.
    #[track_caller]
    fn assert_golden(self, golden: &str) {
        let transcript = self.transcript.replace(&self.server, "http://registry.example");
        let transcript = transcript.replace(self.dir.path().to_str().unwrap(), "/place");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli/schema").join(golden);
        if env::var_os("TIDINGS_BLESS").is_some() {
            fs::write(&path, &transcript).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        let rows = |text: &str| -> Vec<String> { text.split("\n# ").map(String::from).collect() };
        for (row, expected) in rows(&transcript).iter().zip(&rows(&expected)) {
            assert_eq!(row, expected, "if this is intended, run with TIDINGS_BLESS=1");
        }
        assert_eq!(
            transcript.len(),
            expected.len(),
            "if this is intended, run with TIDINGS_BLESS=1"
        );
    }
}

/// A URL where nothing listens.
const UNREACHABLE: &str = "http://127.0.0.1:1";

#[test]
fn help_explains_the_registry_to_newcomers() {
    let mut workspace = Workspace::new(UNREACHABLE);
    workspace.record("--help", 0);
    for command in [
        "diff",
        "check",
        "register",
        "can-i-use",
        "plan",
        "apply",
        "get",
        "list",
        "versions",
        "deprecate",
        "retire",
        "activate",
        "validate",
        "verify",
        "update",
        "delete",
        "watch",
        "consumer",
        "consumer declare",
        "consumer list",
        "consumer forget",
    ] {
        workspace.record(&format!("{command} --help"), 0);
    }
    workspace.assert_golden("help.golden");
}

#[test]
fn a_diff_reports_breaks_affected_sides_and_remedies() {
    let mut workspace = Workspace::new(UNREACHABLE);
    for output in ["text", "json", "junit", "github", "gitlab"] {
        workspace.record(&format!("diff order/v1.proto order/v2.proto -o {output}"), 100);
    }
    workspace.record("diff order/v1.json order/v2.json", 100);
    // Of a long payload only the relevant fragment is shown.
    workspace.record("diff order/long.json order/shorter.json", 100);
    workspace.record("diff order/long.json order/shorter.json -o json", 100);
    workspace.record("diff order/long.json order/shorter.json -o junit", 100);
    workspace.record("diff order/v1.avsc order/v2.avsc", 100);
    workspace.record("diff order/v1.proto order/v1.proto", 0);
    workspace.record("diff order/v1.proto order/v1.proto -o junit", 0);
    workspace.record("diff order/v1.proto order/comments.proto", 0);
    workspace.record("diff order/v1.proto order/added.proto", 0);
    // Only the requested direction decides.
    workspace.record("diff order/v1.avsc order/promoted.avsc", 100);
    workspace.record("diff --compatibility backward order/v1.avsc order/promoted.avsc", 0);
    workspace.record("diff --compatibility forward order/v1.avsc order/promoted.avsc", 100);
    workspace.record("diff --compatibility none order/v1.proto order/v2.proto -o github", 0);
    // Names are not on the wire.
    workspace.record("diff order/v1.proto order/renamed.proto", 100);
    workspace.record("diff --surface wire order/v1.proto order/renamed.proto", 0);
    workspace.record("diff order/v1.json order/optional.json", 0);
    workspace.record("diff --content-model strict order/v1.json order/optional.json", 100);
    // Imports are loaded with the file; the break is in an import.
    workspace.record("diff shop/v1/order.proto shop/v2/order.proto", 100);
    workspace.record("diff -I deep deep/a/b/one.proto deep/a/b/two.proto", 0);
    // A file with several messages, then one of its messages.
    workspace.record("diff order/several.proto order/several_less.proto", 100);
    workspace.record("diff --message shop.Kept order/several.proto order/several_less.proto", 0);
    let v1 = fs::read_to_string(workspace.dir.path().join("order/v1.proto")).unwrap();
    workspace.record_with_input("diff - order/added.proto", &v1, 0);
    workspace.assert_golden("diff.golden");
}

#[test]
fn invalid_schemas_are_refused_with_their_location() {
    let mut workspace = Workspace::new(UNREACHABLE);
    workspace.record("diff order/v1.proto", 2);
    workspace.record("diff - -", 2);
    workspace.record("diff order/v1.proto order/v1.json", 2);
    workspace.record("diff order/README order/v1.json", 2);
    workspace.record("diff order/v1.proto order/v2.proto --compatibility ful", 2);
    workspace.record("diff order/v1.proto order/v2.proto -I nowhere", 1);
    workspace.record("diff order/v1.proto nothing.proto", 1);
    workspace.record("diff order order/v1.json --format json", 1);
    workspace.record("diff order/v1.proto order/v2.proto --message shop.OrderPlacd", 1);
    workspace.record("diff order/v1.proto bad/unknown_type.proto", 1);
    workspace.record("diff order/v1.proto bad/unknown_type.proto -o github", 1);
    workspace.record("diff order/v1.proto bad/unknown_type.proto -o junit", 1);
    workspace.record("diff order/v1.proto bad/unknown_type.proto -o json", 1);
    workspace.record("diff order/v1.proto bad/syntax.proto", 1);
    workspace.record("diff order/v1.proto bad/climbs.proto", 1);
    workspace.record("diff order/v1.proto bad/imports_bad.proto", 1);
    workspace.record("diff deep/a/b/one.proto deep/a/b/two.proto", 1);
    workspace.record("diff order/v1.json bad/syntax.json", 1);
    workspace.record("diff order/v1.json bad/keyword.json", 1);
    workspace.record("diff order/v1.json bad/remote.json", 1);
    workspace.record("diff order/v1.avsc bad/default.avsc", 1);
    fs::write(workspace.dir.path().join("bad/bytes.proto"), b"syntax = \"proto3\";\xff\xfe")
        .unwrap();
    workspace.record("diff order/v1.proto bad/bytes.proto", 1);
    fs::write(workspace.dir.path().join("bad/large.json"), " ".repeat((1 << 20) + 1)).unwrap();
    workspace.record("diff order/v1.json bad/large.json", 1);
    workspace.assert_golden("refused.golden");
}

#[test]
fn every_error_of_a_manifest_is_reported_at_once() {
    let mut workspace = Workspace::new(UNREACHABLE);
    workspace.record("plan", 1);
    for manifest in [
        "keys", "names", "values", "paths", "files", "twice", "no_list", "not_yaml", "alias",
        "empty",
    ] {
        workspace.record(&format!("plan manifests/{manifest}.yaml"), 2);
    }
    workspace.record("plan manifests/good.yaml", 1);
    workspace.assert_golden("manifest.golden");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_prints_the_response_of_the_registry() {
    let canned = Canned::start().await;
    let mut workspace = Workspace::new(&canned.url());
    let order = "shop.OrderPlaced order/v2.proto";
    for output in ["text", "json", "junit", "github", "gitlab"] {
        workspace.record(&format!("check {order} -o {output}"), 100);
    }
    workspace.record("check shop.OrderPaid order/v1.proto", 0);
    workspace.record("check shop.New order/v1.proto", 0);
    workspace.record("check shop.Invalid bad/unknown_type.proto", 1);
    workspace.record("check shop.Invalid bad/unknown_type.proto -o gitlab", 1);
    workspace.record(&format!("register {order}"), 100);
    workspace.record(&format!("register {order} -o json"), 100);
    workspace.record("register shop.OrderPaid order/v1.proto", 0);
    workspace.record("register shop.OrderPaid order/v1.proto -o json", 0);
    workspace.record("register shop.Known order/v1.proto", 0);
    workspace
        .record("register shop.Known order/v1.proto --reference a=b@1.0.0 --reference nonsense", 2);
    for output in ["text", "json", "junit", "github", "gitlab"] {
        workspace.record(&format!("plan manifests/good.yaml -o {output}"), 0);
        workspace.record(&format!("plan manifests/refused.yaml -o {output}"), 100);
    }
    workspace.record("apply manifests/refused.yaml", 100);
    workspace.record("apply manifests/good.yaml", 0);
    workspace.record("apply manifests/good.yaml --expected-revision 7", 1);
    for output in ["text", "json", "junit", "github", "gitlab"] {
        workspace.record(&format!("diff --subject shop.OrderPlaced 1.0.0 1.2.0 -o {output}"), 100);
    }
    workspace.record("diff --subject shop.OrderPlaced 1.2.0 ^1", 0);
    workspace.record("diff --subject shop.OrderPlaced 0.9.0 ^1", 1);
    workspace.record("diff --subject shop.OrderPlaced 1.0.0 1.2.0 --compatibility none", 2);
    workspace.record("get shop.OrderPlaced", 0);
    workspace.record("get shop.OrderPlaced 1.0.0 -o json", 0);
    workspace.record("get --id 404", 1);
    workspace.record("get", 2);
    workspace.record("list", 0);
    workspace.record("list -o table", 0);
    workspace.record("list nothing. -o table", 0);
    workspace.record("versions shop.OrderPlaced -o table", 0);
    workspace.record("versions shop.OrderPlaced", 0);
    workspace.record("deprecate shop.OrderPlaced 1.0.0 --because old -o table", 0);
    workspace.record("retire shop.OrderPlaced 1.0.0", 1);
    workspace.record("update shop.OrderPlaced", 2);
    workspace.record("update shop.OrderPlaced --compatibility backward -o table", 0);
    workspace.record("delete shop.OrderPlaced", 2);
    workspace.record("delete shop.OrderPlaced --yes", 0);
    workspace.record_with_input("validate shop.OrderPlaced -", "{}", 0);
    workspace.record_with_input("validate shop.OrderPlaced 1.0.0 - -o text", "[]", 100);
    workspace.record("validate shop.OrderPlaced order/v1.json -o json", 100);
    workspace.assert_golden("server.golden");
}

#[tokio::test(flavor = "multi_thread")]
async fn affected_consumers_are_reported_for_every_change() {
    let canned = Canned::start().await;
    let mut workspace = Workspace::new(&canned.url());
    for output in ["text", "json", "junit", "github", "gitlab"] {
        workspace.record(&format!("check shop.Behind order/v2.proto -o {output}"), 100);
    }
    workspace.record("register shop.Behind order/v2.proto", 100);
    workspace.record("register shop.Behind order/v2.proto --force", 2);
    workspace.record("register shop.Behind order/v2.proto --reason gone", 2);
    workspace.record("register shop.Behind order/v2.proto --force --reason gone", 0);
    for output in ["text", "json", "junit", "github", "gitlab"] {
        workspace.record(&format!("plan manifests/behind.yaml -o {output}"), 100);
    }
    workspace.record("plan manifests/behind.yaml --force", 0);
    workspace.record("apply manifests/behind.yaml", 100);
    workspace.record("apply manifests/behind.yaml --force --reason gone", 0);
    workspace.record("retire shop.OrderPlaced 1.2.0", 100);
    workspace.record("retire shop.OrderPlaced 1.2.0 --force --reason gone -o table", 0);

    workspace.record("consumer list -o table", 0);
    workspace.record("consumer list search", 0);
    workspace.record("consumer list --subject nothing -o table", 0);
    let accepts = "--accept shop.OrderPlaced=^1.2 --accept shop.Old=*";
    workspace.record(&format!("consumer declare billing {accepts} -o table"), 0);
    workspace.record(&format!("consumer declare billing {accepts}"), 0);
    workspace.record("consumer declare billing -f accept/good.yaml -o table", 0);
    workspace
        .record("consumer declare billing -f accept/good.yaml --accept shop.OrderPlaced=^2", 2);
    workspace.record("consumer declare billing -f accept/bad.yaml", 2);
    workspace.record("consumer declare billing -f accept/none.yaml", 1);
    workspace.record("consumer declare billing --accept shop.*=^1", 2);
    workspace.record("consumer declare billing", 2);
    workspace.record("consumer declare one.too.many --accept shop.Old=^1", 1);
    workspace.record("consumer forget nobody", 1);
    workspace.record("consumer forget billing", 0);
    workspace.record(&format!("can-i-use {accepts}"), 0);
    workspace.record(&format!("can-i-use {accepts} -o json"), 0);
    workspace.record("can-i-use --consumer billing", 0);
    workspace.record("can-i-use --consumer nobody", 1);
    workspace.record("can-i-use -f accept/good.yaml --accept shop.Nowhere=^1", 100);
    workspace.record("can-i-use --accept shop.OrderPlaced=^9", 100);
    workspace.record("can-i-use", 2);
    workspace.assert_golden("consumers.golden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_plan_is_not_applied() {
    let canned = Canned::start().await;
    let workspace = Workspace::new(&canned.url());
    let run = |args: &str| workspace.run(&mut workspace.command(), args, "");
    let (code, plan, _) = run("plan manifests/good.yaml -o json");
    assert_eq!(code, 0);
    let path = workspace.dir.path().join("plan.json");
    fs::write(&path, &plan).unwrap();
    let (code, _, stderr) = run("apply manifests/good.yaml --plan plan.json");
    assert_eq!(code, 0, "{stderr}");

    // The registry has changed since the plan.
    fs::write(&path, plan.replace("\"revision\":\"41\"", "\"revision\":\"40\"")).unwrap();
    let (code, _, stderr) = run("apply manifests/good.yaml --plan plan.json");
    assert!(code == 1 && stderr.contains("(REVISION_MOVED)"), "{stderr}");
    assert!(stderr.contains("try: tidings schema plan again"), "{stderr}");

    // The files have changed since the plan.
    fs::write(&path, plan.replace("\"version\":\"1.3.0\"", "\"version\":\"1.2.9\"")).unwrap();
    let (code, _, stderr) = run("apply manifests/good.yaml --plan plan.json");
    assert!(code == 1 && stderr.contains("is not up to date: shop."), "{stderr}");

    fs::write(&path, "{}").unwrap();
    let (code, _, stderr) = run("apply manifests/good.yaml --plan plan.json");
    assert!(code == 1 && stderr.contains("is not a plan"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_watch_prints_how_to_resume() {
    let canned = Canned::start().await;
    let workspace = Workspace::new(&canned.url());
    let mut command = workspace.command();
    command.args(["schema", "watch", "--after", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["revision"], "2");
    assert_eq!(first["schemaRegistered"]["subject"], "shop.OrderPlaced");
    let second: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(second["subjectDeleted"], "shop.Prototype");
    let third: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&third["forced"], &third["leftBehind"][0]), (&true.into(), &"billing".into()));
    assert_eq!(third["forceReason"], "billing is switched off");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(0));
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(stderr, "3 changes; to resume:\n  tidings schema watch --after 4\n");
}

#[test]
fn github_gets_a_table_in_the_steps_summary() {
    let workspace = Workspace::new(UNREACHABLE);
    let summary = workspace.dir.path().join("summary.md");
    fs::write(&summary, "before\n").unwrap();
    let mut command = workspace.command();
    command.env("GITHUB_STEP_SUMMARY", &summary);
    let (code, _, _) =
        workspace.run(&mut command, "diff order/v1.proto order/v2.proto -o github", "");
    assert_eq!(code, 100);
    let text = fs::read_to_string(&summary).unwrap();
    assert!(text.starts_with("before\n### Schemas\n"), "{text}");
    assert!(text.contains("| ❌ | order/v2.proto |"), "{text}");
    assert!(text.contains("PROTOBUF&#95;FIELD&#95;TYPE&#95;CHANGED"), "{text}");
}

/// Some callers run the command over thousands of pairs.
#[test]
fn a_small_diff_takes_less_than_200_ms() {
    let workspace = Workspace::new(UNREACHABLE);
    let fastest = (0..10)
        .map(|_| {
            let begun = Instant::now();
            workspace.run(
                &mut workspace.command(),
                "diff order/v1.proto order/v2.proto -o json",
                "",
            );
            begun.elapsed()
        })
        .min();
    assert!(fastest < Some(Duration::from_millis(200)), "{fastest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_work_with_the_registry_of_a_server() {
    let server = Server::start(Options::default()).await;
    let workspace = Workspace::new(&format!("http://{}", server.address()));
    let run = |args: &str, code: i32| {
        let (found, stdout, stderr) = workspace.run(&mut workspace.command(), args, "");
        assert_eq!(found, code, "tidings schema {args}\n{stdout}{stderr}");
        (stdout, stderr)
    };
    let stdout = run("register shop.OrderPlaced order/v1.proto", 0).0;
    assert!(stdout.contains("registered shop.OrderPlaced 1.0.0, id 1"), "{stdout}");
    let stdout = run("check shop.OrderPlaced order/v2.proto", 100).0;
    assert!(stdout.contains("7 |   string total = 2;\n    |   ^^^^^^"), "{stdout}");
    assert!(stdout.contains("against: 1.0.0"), "{stdout}");
    let (stdout, stderr) = run("register shop.OrderPlaced order/v2.proto", 100);
    assert!(stdout.contains("MAJOR, needs 2.0.0"), "{stdout}");
    assert!(stderr.contains("--version 2.0.0"), "{stderr}");
    let stderr = run("register shop.OrderPlaced bad/unknown_type.proto", 1).1;
    assert!(stderr.contains("bad/unknown_type.proto:4:2"), "{stderr}");
    assert_eq!(run("get shop.OrderPlaced ^1", 0).0, files::ORDER);

    // A plan of three subjects, one of which refers to another; a second plan changes nothing.
    let plan = run("plan live/tidings.yaml", 0).0;
    assert!(plan.contains("  ~ shop.OrderPlaced  1.1.0"), "{plan}");
    assert!(plan.contains("2 new, 1 changed"), "{plan}");
    run("apply live", 0);
    let again = run("plan live", 0).0;
    assert!(again.contains("3 unchanged") && !again.contains("owner"), "{again}");
    let subject: Value = serde_json::from_str(&run("list shop.OrderPlaced", 0).0).unwrap();
    assert_eq!(
        (&subject["owner"], &subject["latestVersion"]),
        (&"checkout".into(), &"1.1.0".into())
    );
    // One of several schemas is invalid.
    let stderr = run("plan live/bad.yaml", 1).1;
    assert!(stderr.contains("live/bad.proto:3:3\n      |\n    3 |   sting id = 1;"), "{stderr}");
    assert!(run("delete shop.Money --yes", 1).1.contains("(STILL_REFERENCED)"));
    // Compares two versions, with the line of the newer version.
    let stdout = run("diff --subject shop.OrderPlaced 1.0.0 ^1", 0).0;
    assert!(stdout.contains("shop.OrderPlaced 1.0.0 -> shop.OrderPlaced 1.1.0: "), "{stdout}");
    assert!(stdout.contains("8 |   int64 placed_at = 4;"), "{stdout}");
    let stdout = run("diff --subject shop.OrderPlaced 1.1.0 1.0.0 --output json", 0).0;
    assert!(stdout.contains("PROTOBUF_FIELD_REMOVED"), "{stdout}");
    let (stdout, _) = run("retire shop.OrderPlaced 1.0.0", 0);
    assert!(stdout.contains("VERSION_STATE_RETIRED"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_affect_a_declared_consumer_need_force() {
    let server = Server::start(Options::default()).await;
    let workspace = Workspace::new(&format!("http://{}", server.address()));
    let run = |args: &str, code: i32| {
        let args: Vec<&str> = args.split(' ').collect();
        let Output { status, stdout, stderr } = workspace.command().args(&args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(stdout), text(stderr));
        assert_eq!(status.code(), Some(code), "tidings {args:?}\n{stdout}{stderr}");
        (stdout, stderr)
    };
    run("schema register shop.OrderPlaced order/v1.proto", 0);
    let (stdout, stderr) =
        run("consumer declare billing --accept shop.OrderPlaced=>=1 -o table", 0);
    assert!(stdout.contains("1.0.0") && stderr.is_empty(), "{stdout}{stderr}");
    let stdout = run("consumer list --subject shop.OrderPlaced -o table", 0).0;
    assert!(stdout.contains("billing") && stdout.contains("declared"), "{stdout}");
    let stdout = run("schema can-i-use --consumer billing", 0).0;
    assert!(stdout.starts_with("shop.OrderPlaced >=1 (declared): delivered in 1.0.0"), "{stdout}");

    let breaking = "shop.OrderPlaced order/v2.proto --version 2.0.0";
    let (stdout, stderr) = run(&format!("schema check {breaking}"), 100);
    assert!(stdout.contains("error[CONSUMERS_LEFT_BEHIND]: consumer billing"), "{stdout}");
    assert!(
        stdout.contains("warning[PROTOBUF_FIELD_TYPE_CHANGED]"),
        "a new major version turns the error into a warning: {stdout}"
    );
    assert!(stderr.contains("try: update these consumers first"), "{stderr}");
    run(&format!("schema register {breaking}"), 100);
    let stdout = run(&format!("schema register {breaking} --force --reason billing-is-gone"), 0).0;
    assert!(stdout.contains("registered shop.OrderPlaced 2.0.0, id 2"), "{stdout}");
    let stdout = run("schema can-i-use --accept shop.OrderPlaced=^1", 0).0;
    assert!(stdout.contains("refused: 2.0.0: another major version"), "{stdout}");

    run("consumer declare billing --accept shop.OrderPlaced=^1", 0);
    let stderr = run("schema retire shop.OrderPlaced 1.0.0", 100).1;
    assert!(stderr.contains("the remaining versions satisfy ^2.0"), "{stderr}");
    assert!(stderr.contains("(CONSUMERS_LEFT_BEHIND)"), "{stderr}");
    run("schema retire shop.OrderPlaced 1.0.0 --force --reason billing-is-gone", 0);
    let stderr = run("schema can-i-use --consumer billing", 100).1;
    assert!(stderr.contains("nothing satisfies shop.OrderPlaced in ^1"), "{stderr}");
    run("consumer forget billing", 0);
    assert!(run("consumer list", 0).0.is_empty());
    run("schema delete shop.OrderPlaced --yes", 0);

    // The history shows each change with its reason.
    let mut command = workspace.command();
    command.args(["schema", "watch", "-o", "text"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let changes: Vec<String> = lines.take(4).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let forced = "; forced, \"billing-is-gone\", which left billing behind";
    let is_forced: Vec<bool> = changes.iter().map(|change| change.ends_with(forced)).collect();
    assert_eq!(is_forced, [false, true, true, false], "{changes:#?}");
    server.assert_calm();
}
