//! `tidings schema` as people and pipelines meet it: what it prints and what it ends with. The whole text is in
//! `schema_cli.golden`; `TIDINGS_BLESS=1` writes it anew.

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

/// Commands of `tidings schema` without it, and of `tidings consumer` with it.
fn of(args: &str) -> String {
    match args.split_whitespace().next() {
        Some("consumer") => args.to_owned(),
        Some(_) | None => format!("schema {args}"),
    }
}

/// A directory with the files of the tests, and commands that run in it.
struct Place {
    dir: TempDir,
    /// Of the registry; none where nothing listens.
    server: String,
    told: String,
}

impl Place {
    fn new(server: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in FILES {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { dir, server: server.to_owned(), told: String::new() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        for (name, _) in env::vars() {
            if ["TIDINGS_", "GITHUB_", "CLICOLOR"].iter().any(|own| name.starts_with(own)) {
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

    /// Runs a command with this on its standard input.
    fn run(&self, command: &mut Command, args: &str, input: &str) -> (i32, String, String) {
        let mut child = command
            .args(of(args).split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that is refused before it reads is gone already.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().expect("ended by a signal"), text(stdout), text(stderr))
    }

    /// Runs a command, and adds what it says to what is told.
    #[track_caller]
    fn tell(&mut self, args: &str, code: i32) -> String {
        self.tell_with(args, "", code)
    }

    #[track_caller]
    fn tell_with(&mut self, args: &str, input: &str, code: i32) -> String {
        let (found, stdout, stderr) = self.run(&mut self.command(), args, input);
        assert_eq!(found, code, "tidings schema {args}\n{stdout}{stderr}");
        let pipe = if input.is_empty() { "" } else { "... | " };
        writeln!(self.told, "# {pipe}tidings {}\n{stdout}", of(args)).unwrap();
        if !stderr.is_empty() {
            writeln!(self.told, "on stderr:\n{stderr}").unwrap();
        }
        writeln!(self.told, "exit code {found}\n").unwrap();
        stdout
    }

    /// Compares everything that was told with what is written down.
    #[track_caller]
    fn finish(self, golden: &str) {
        let told = self.told.replace(&self.server, "http://registry.example");
        let told = told.replace(self.dir.path().to_str().unwrap(), "/place");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli/schema").join(golden);
        if env::var_os("TIDINGS_BLESS").is_some() {
            fs::write(&path, &told).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        let rows = |text: &str| -> Vec<String> { text.split("\n# ").map(String::from).collect() };
        for (row, expected) in rows(&told).iter().zip(&rows(&expected)) {
            assert_eq!(row, expected, "if it is meant: TIDINGS_BLESS=1");
        }
        assert_eq!(told.len(), expected.len(), "if it is meant: TIDINGS_BLESS=1");
    }
}

/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

#[test]
fn help_teaches_somebody_who_never_saw_a_registry() {
    let mut place = Place::new(NOWHERE);
    place.tell("--help", 0);
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
        place.tell(&format!("{command} --help"), 0);
    }
    place.finish("help.golden");
}

#[test]
fn a_diff_says_what_breaks_whom_and_what_to_do_instead() {
    let mut place = Place::new(NOWHERE);
    for output in ["text", "json", "junit", "github", "gitlab"] {
        place.tell(&format!("diff order/v1.proto order/v2.proto -o {output}"), 100);
    }
    place.tell("diff order/v1.json order/v2.json", 100);
    // Of a payload that is long, the part that counts.
    place.tell("diff order/long.json order/shorter.json", 100);
    place.tell("diff order/long.json order/shorter.json -o json", 100);
    place.tell("diff order/long.json order/shorter.json -o junit", 100);
    place.tell("diff order/v1.avsc order/v2.avsc", 100);
    place.tell("diff order/v1.proto order/v1.proto", 0);
    place.tell("diff order/v1.proto order/v1.proto -o junit", 0);
    place.tell("diff order/v1.proto order/comments.proto", 0);
    place.tell("diff order/v1.proto order/added.proto", 0);
    // The direction that nobody asks for does not decide.
    place.tell("diff order/v1.avsc order/promoted.avsc", 100);
    place.tell("diff --compatibility backward order/v1.avsc order/promoted.avsc", 0);
    place.tell("diff --compatibility forward order/v1.avsc order/promoted.avsc", 100);
    place.tell("diff --compatibility none order/v1.proto order/v2.proto -o github", 0);
    // Names are not on the wire.
    place.tell("diff order/v1.proto order/renamed.proto", 100);
    place.tell("diff --surface wire order/v1.proto order/renamed.proto", 0);
    place.tell("diff order/v1.json order/optional.json", 0);
    place.tell("diff --content-model strict order/v1.json order/optional.json", 100);
    // Imports come with the file; one of them is where it breaks.
    place.tell("diff shop/v1/order.proto shop/v2/order.proto", 100);
    place.tell("diff -I deep deep/a/b/one.proto deep/a/b/two.proto", 0);
    // A file of several messages, and one of them.
    place.tell("diff order/several.proto order/several_less.proto", 100);
    place.tell("diff --message shop.Kept order/several.proto order/several_less.proto", 0);
    let v1 = fs::read_to_string(place.dir.path().join("order/v1.proto")).unwrap();
    place.tell_with("diff - order/added.proto", &v1, 0);
    place.finish("diff.golden");
}

#[test]
fn what_cannot_be_compared_is_refused_with_its_place() {
    let mut place = Place::new(NOWHERE);
    place.tell("diff order/v1.proto", 2);
    place.tell("diff - -", 2);
    place.tell("diff order/v1.proto order/v1.json", 2);
    place.tell("diff order/README order/v1.json", 2);
    place.tell("diff order/v1.proto order/v2.proto --compatibility ful", 2);
    place.tell("diff order/v1.proto order/v2.proto -I nowhere", 1);
    place.tell("diff order/v1.proto nothing.proto", 1);
    place.tell("diff order order/v1.json --format json", 1);
    place.tell("diff order/v1.proto order/v2.proto --message shop.OrderPlacd", 1);
    place.tell("diff order/v1.proto bad/unknown_type.proto", 1);
    place.tell("diff order/v1.proto bad/unknown_type.proto -o github", 1);
    place.tell("diff order/v1.proto bad/unknown_type.proto -o junit", 1);
    place.tell("diff order/v1.proto bad/unknown_type.proto -o json", 1);
    place.tell("diff order/v1.proto bad/syntax.proto", 1);
    place.tell("diff order/v1.proto bad/climbs.proto", 1);
    place.tell("diff order/v1.proto bad/imports_bad.proto", 1);
    place.tell("diff deep/a/b/one.proto deep/a/b/two.proto", 1);
    place.tell("diff order/v1.json bad/syntax.json", 1);
    place.tell("diff order/v1.json bad/keyword.json", 1);
    place.tell("diff order/v1.json bad/remote.json", 1);
    place.tell("diff order/v1.avsc bad/default.avsc", 1);
    fs::write(place.dir.path().join("bad/bytes.proto"), b"syntax = \"proto3\";\xff\xfe").unwrap();
    place.tell("diff order/v1.proto bad/bytes.proto", 1);
    fs::write(place.dir.path().join("bad/large.json"), " ".repeat((1 << 20) + 1)).unwrap();
    place.tell("diff order/v1.json bad/large.json", 1);
    place.finish("refused.golden");
}

#[test]
fn a_manifest_says_everything_that_is_wrong_with_it_at_once() {
    let mut place = Place::new(NOWHERE);
    place.tell("plan", 1);
    for manifest in [
        "keys", "names", "values", "paths", "files", "twice", "no_list", "not_yaml", "alias",
        "empty",
    ] {
        place.tell(&format!("plan manifests/{manifest}.yaml"), 2);
    }
    place.tell("plan manifests/good.yaml", 1);
    place.finish("manifest.golden");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_tells_what_the_registry_answers() {
    let canned = Canned::start().await;
    let mut place = Place::new(&canned.url());
    let order = "shop.OrderPlaced order/v2.proto";
    for output in ["text", "json", "junit", "github", "gitlab"] {
        place.tell(&format!("check {order} -o {output}"), 100);
    }
    place.tell("check shop.OrderPaid order/v1.proto", 0);
    place.tell("check shop.New order/v1.proto", 0);
    place.tell("check shop.Invalid bad/unknown_type.proto", 1);
    place.tell("check shop.Invalid bad/unknown_type.proto -o gitlab", 1);
    place.tell(&format!("register {order}"), 100);
    place.tell(&format!("register {order} -o json"), 100);
    place.tell("register shop.OrderPaid order/v1.proto", 0);
    place.tell("register shop.OrderPaid order/v1.proto -o json", 0);
    place.tell("register shop.Known order/v1.proto", 0);
    place.tell("register shop.Known order/v1.proto --reference a=b@1.0.0 --reference nonsense", 2);
    for output in ["text", "json", "junit", "github", "gitlab"] {
        place.tell(&format!("plan manifests/good.yaml -o {output}"), 0);
        place.tell(&format!("plan manifests/refused.yaml -o {output}"), 100);
    }
    place.tell("apply manifests/refused.yaml", 100);
    place.tell("apply manifests/good.yaml", 0);
    place.tell("apply manifests/good.yaml --expected-revision 7", 1);
    for output in ["text", "json", "junit", "github", "gitlab"] {
        place.tell(&format!("diff --subject shop.OrderPlaced 1.0.0 1.2.0 -o {output}"), 100);
    }
    place.tell("diff --subject shop.OrderPlaced 1.2.0 ^1", 0);
    place.tell("diff --subject shop.OrderPlaced 0.9.0 ^1", 1);
    place.tell("diff --subject shop.OrderPlaced 1.0.0 1.2.0 --compatibility none", 2);
    place.tell("get shop.OrderPlaced", 0);
    place.tell("get shop.OrderPlaced 1.0.0 -o json", 0);
    place.tell("get --id 404", 1);
    place.tell("get", 2);
    place.tell("list", 0);
    place.tell("list -o table", 0);
    place.tell("list nothing. -o table", 0);
    place.tell("versions shop.OrderPlaced -o table", 0);
    place.tell("versions shop.OrderPlaced", 0);
    place.tell("deprecate shop.OrderPlaced 1.0.0 --because old -o table", 0);
    place.tell("retire shop.OrderPlaced 1.0.0", 1);
    place.tell("update shop.OrderPlaced", 2);
    place.tell("update shop.OrderPlaced --compatibility backward -o table", 0);
    place.tell("delete shop.OrderPlaced", 2);
    place.tell("delete shop.OrderPlaced --yes", 0);
    place.tell_with("validate shop.OrderPlaced -", "{}", 0);
    place.tell_with("validate shop.OrderPlaced 1.0.0 - -o text", "[]", 100);
    place.tell("validate shop.OrderPlaced order/v1.json -o json", 100);
    place.finish("server.golden");
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_are_told_of_wherever_a_change_would_leave_them_behind() {
    let canned = Canned::start().await;
    let mut place = Place::new(&canned.url());
    for output in ["text", "json", "junit", "github", "gitlab"] {
        place.tell(&format!("check shop.Behind order/v2.proto -o {output}"), 100);
    }
    place.tell("register shop.Behind order/v2.proto", 100);
    place.tell("register shop.Behind order/v2.proto --force", 2);
    place.tell("register shop.Behind order/v2.proto --reason gone", 2);
    place.tell("register shop.Behind order/v2.proto --force --reason gone", 0);
    for output in ["text", "json", "junit", "github", "gitlab"] {
        place.tell(&format!("plan manifests/behind.yaml -o {output}"), 100);
    }
    place.tell("plan manifests/behind.yaml --force", 0);
    place.tell("apply manifests/behind.yaml", 100);
    place.tell("apply manifests/behind.yaml --force --reason gone", 0);
    place.tell("retire shop.OrderPlaced 1.2.0", 100);
    place.tell("retire shop.OrderPlaced 1.2.0 --force --reason gone -o table", 0);

    place.tell("consumer list -o table", 0);
    place.tell("consumer list search", 0);
    place.tell("consumer list --subject nothing -o table", 0);
    let accepts = "--accept shop.OrderPlaced=^1.2 --accept shop.Old=*";
    place.tell(&format!("consumer declare billing {accepts} -o table"), 0);
    place.tell(&format!("consumer declare billing {accepts}"), 0);
    place.tell("consumer declare billing -f accept/good.yaml -o table", 0);
    place.tell("consumer declare billing -f accept/good.yaml --accept shop.OrderPlaced=^2", 2);
    place.tell("consumer declare billing -f accept/bad.yaml", 2);
    place.tell("consumer declare billing -f accept/none.yaml", 1);
    place.tell("consumer declare billing --accept shop.*=^1", 2);
    place.tell("consumer declare billing", 2);
    place.tell("consumer declare one.too.many --accept shop.Old=^1", 1);
    place.tell("consumer forget nobody", 1);
    place.tell("consumer forget billing", 0);
    place.tell(&format!("can-i-use {accepts}"), 0);
    place.tell(&format!("can-i-use {accepts} -o json"), 0);
    place.tell("can-i-use --consumer billing", 0);
    place.tell("can-i-use --consumer nobody", 1);
    place.tell("can-i-use -f accept/good.yaml --accept shop.Nowhere=^1", 100);
    place.tell("can-i-use --accept shop.OrderPlaced=^9", 100);
    place.tell("can-i-use", 2);
    place.finish("consumers.golden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_stale_is_not_applied() {
    let canned = Canned::start().await;
    let place = Place::new(&canned.url());
    let run = |args: &str| place.run(&mut place.command(), args, "");
    let (code, plan, _) = run("plan manifests/good.yaml -o json");
    assert_eq!(code, 0);
    let path = place.dir.path().join("plan.json");
    fs::write(&path, &plan).unwrap();
    let (code, _, stderr) = run("apply manifests/good.yaml --plan plan.json");
    assert_eq!(code, 0, "{stderr}");

    // Somebody registered something since.
    fs::write(&path, plan.replace("\"revision\":\"41\"", "\"revision\":\"40\"")).unwrap();
    let (code, _, stderr) = run("apply manifests/good.yaml --plan plan.json");
    assert!(code == 1 && stderr.contains("(REVISION_MOVED)"), "{stderr}");
    assert!(stderr.contains("try: tidings schema plan again"), "{stderr}");

    // The files changed since.
    fs::write(&path, plan.replace("\"version\":\"1.3.0\"", "\"version\":\"1.2.9\"")).unwrap();
    let (code, _, stderr) = run("apply manifests/good.yaml --plan plan.json");
    assert!(code == 1 && stderr.contains("is not up to date: shop."), "{stderr}");

    fs::write(&path, "{}").unwrap();
    let (code, _, stderr) = run("apply manifests/good.yaml --plan plan.json");
    assert!(code == 1 && stderr.contains("is not a plan"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_interrupted_says_how_to_go_on() {
    let canned = Canned::start().await;
    let place = Place::new(&canned.url());
    let mut command = place.command();
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
    let place = Place::new(NOWHERE);
    let summary = place.dir.path().join("summary.md");
    fs::write(&summary, "before\n").unwrap();
    let mut command = place.command();
    command.env("GITHUB_STEP_SUMMARY", &summary);
    let (code, _, _) = place.run(&mut command, "diff order/v1.proto order/v2.proto -o github", "");
    assert_eq!(code, 100);
    let text = fs::read_to_string(&summary).unwrap();
    assert!(text.starts_with("before\n### Schemas\n"), "{text}");
    assert!(text.contains("| ❌ | order/v2.proto |"), "{text}");
    assert!(text.contains("PROTOBUF&#95;FIELD&#95;TYPE&#95;CHANGED"), "{text}");
}

/// A judge runs it over thousands of pairs.
#[test]
fn a_small_pair_takes_no_time() {
    let place = Place::new(NOWHERE);
    let fastest = (0..10)
        .map(|_| {
            let begun = Instant::now();
            place.run(&mut place.command(), "diff order/v1.proto order/v2.proto -o json", "");
            begun.elapsed()
        })
        .min();
    assert!(fastest < Some(Duration::from_millis(200)), "{fastest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_lives_in_the_registry_of_the_server() {
    let server = Server::start(Options::default()).await;
    let place = Place::new(&format!("http://{}", server.address()));
    let run = |args: &str, code: i32| {
        let (found, stdout, stderr) = place.run(&mut place.command(), args, "");
        assert_eq!(found, code, "tidings schema {args}\n{stdout}{stderr}");
        (stdout, stderr)
    };
    let said = run("register shop.OrderPlaced order/v1.proto", 0).0;
    assert!(said.contains("registered shop.OrderPlaced 1.0.0, id 1"), "{said}");
    let said = run("check shop.OrderPlaced order/v2.proto", 100).0;
    assert!(said.contains("7 |   string total = 2;\n    |   ^^^^^^"), "{said}");
    assert!(said.contains("against: 1.0.0"), "{said}");
    let (said, failed) = run("register shop.OrderPlaced order/v2.proto", 100);
    assert!(said.contains("MAJOR, needs 2.0.0"), "{said}");
    assert!(failed.contains("--version 2.0.0"), "{failed}");
    let failed = run("register shop.OrderPlaced bad/unknown_type.proto", 1).1;
    assert!(failed.contains("bad/unknown_type.proto:4:2"), "{failed}");
    assert_eq!(run("get shop.OrderPlaced ^1", 0).0, files::ORDER);

    // A plan of three subjects, of which one refers to another; then the same again, which changes nothing.
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
    // One of several is at fault.
    let failed = run("plan live/bad.yaml", 1).1;
    assert!(failed.contains("live/bad.proto:3:3\n      |\n    3 |   sting id = 1;"), "{failed}");
    assert!(run("delete shop.Money --yes", 1).1.contains("(STILL_REFERENCED)"));
    // Two versions, with the line of the newer one.
    let said = run("diff --subject shop.OrderPlaced 1.0.0 ^1", 0).0;
    assert!(said.contains("shop.OrderPlaced 1.0.0 -> shop.OrderPlaced 1.1.0: "), "{said}");
    assert!(said.contains("8 |   int64 placed_at = 4;"), "{said}");
    let said = run("diff --subject shop.OrderPlaced 1.1.0 1.0.0 --output json", 0).0;
    assert!(said.contains("PROTOBUF_FIELD_REMOVED"), "{said}");
    let (told, _) = run("retire shop.OrderPlaced 1.0.0", 0);
    assert!(told.contains("VERSION_STATE_RETIRED"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_is_declared_and_not_left_behind_unasked() {
    let server = Server::start(Options::default()).await;
    let place = Place::new(&format!("http://{}", server.address()));
    let run = |args: &str, code: i32| {
        let args: Vec<&str> = args.split(' ').collect();
        let Output { status, stdout, stderr } = place.command().args(&args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(stdout), text(stderr));
        assert_eq!(status.code(), Some(code), "tidings {args:?}\n{stdout}{stderr}");
        (stdout, stderr)
    };
    run("schema register shop.OrderPlaced order/v1.proto", 0);
    let (said, note) = run("consumer declare billing --accept shop.OrderPlaced=>=1 -o table", 0);
    assert!(said.contains("1.0.0") && note.is_empty(), "{said}{note}");
    let told = run("consumer list --subject shop.OrderPlaced -o table", 0).0;
    assert!(told.contains("billing") && told.contains("declared"), "{told}");
    let told = run("schema can-i-use --consumer billing", 0).0;
    assert!(told.starts_with("shop.OrderPlaced >=1 (declared): delivered in 1.0.0"), "{told}");

    let breaking = "shop.OrderPlaced order/v2.proto --version 2.0.0";
    let (told, failed) = run(&format!("schema check {breaking}"), 100);
    assert!(told.contains("error[CONSUMERS_LEFT_BEHIND]: consumer billing"), "{told}");
    assert!(told.contains("warning[PROTOBUF_FIELD_TYPE_CHANGED]"), "its line begins: {told}");
    assert!(failed.contains("try: update these consumers first"), "{failed}");
    run(&format!("schema register {breaking}"), 100);
    let done = run(&format!("schema register {breaking} --force --reason billing-is-gone"), 0).0;
    assert!(done.contains("registered shop.OrderPlaced 2.0.0, id 2"), "{done}");
    let told = run("schema can-i-use --accept shop.OrderPlaced=^1", 0).0;
    assert!(told.contains("refused: 2.0.0: another major version"), "{told}");

    run("consumer declare billing --accept shop.OrderPlaced=^1", 0);
    let failed = run("schema retire shop.OrderPlaced 1.0.0", 100).1;
    assert!(failed.contains("the remaining versions satisfy ^2.0"), "{failed}");
    assert!(failed.contains("(CONSUMERS_LEFT_BEHIND)"), "{failed}");
    run("schema retire shop.OrderPlaced 1.0.0 --force --reason billing-is-gone", 0);
    let failed = run("schema can-i-use --consumer billing", 100).1;
    assert!(failed.contains("nothing satisfies shop.OrderPlaced in ^1"), "{failed}");
    run("consumer forget billing", 0);
    assert!(run("consumer list", 0).0.is_empty());
    run("schema delete shop.OrderPlaced --yes", 0);

    // All of it is to be read later, with the reasons.
    let mut command = place.command();
    command.args(["schema", "watch", "-o", "text"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let told: Vec<String> = lines.take(4).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let forced = "; forced, \"billing-is-gone\", which left billing behind";
    let is_forced: Vec<bool> = told.iter().map(|it| it.ends_with(forced)).collect();
    assert_eq!(is_forced, [false, true, true, false], "{told:#?}");
    server.assert_calm();
}
