//! The house keeps its own rules. What a failure says: where, what, and why that is a rule here.

mod documents;
mod workspace;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
    process::Command,
};

/// Who may name whom: `src/<module>` and the modules of this crate that it may use. Data flows one way,
/// wire -> service -> domain -> log, and so do these arrows.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli", "config", "telemetry", "server"]),
    ("lib", &[]),
    (
        "cli",
        &["cloudevents", "config", "json", "model", "notation", "proto", "server", "telemetry"],
    ),
    (
        "server",
        &["broker", "config", "http", "journal", "model", "proto", "service", "store", "telemetry"],
    ),
    ("http", &["cloudevents", "json", "model", "notation", "proto", "service", "telemetry"]),
    ("service", &["broker", "model", "proto", "telemetry"]),
    ("broker", &["journal", "model", "store", "telemetry"]),
    ("journal", &["model", "store", "telemetry"]),
    ("store", &["model"]),
    ("model", &[]),
    ("config", &["model"]),
    ("telemetry", &["config", "proto"]),
    ("proto", &[]),
    ("cloudevents", &["json", "model", "notation", "proto"]),
    ("notation", &["model", "proto"]),
    ("json", &[]),
];

/// Who may name a crate of the outside.
const CRATES: &[(&str, &[&str], &str)] = &[
    ("rocksdb", &["store"], "the bytes on disk are decided in the store, and nowhere else"),
    (
        "tonic",
        &["service", "http", "server", "cli", "proto", "telemetry"],
        "the domain knows nothing of the wire",
    ),
];

/// Longer files hold more than one noun.
const LINES_MAX: usize = 700;

struct Finding {
    path: String,
    line: usize,
    what: String,
    why: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    why: {}", self.path, self.line, self.what, self.why)
    }
}

/// A committed text file.
struct File {
    path: String,
    text: String,
}

impl File {
    /// The module of `src/` that it belongs to.
    fn module(&self) -> Option<&str> {
        let path = self.path.strip_prefix("src/")?;
        Some(path.split('/').next()?.trim_end_matches(".rs"))
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Lines of Rust without strings and comments, counted from 1.
    fn code(&self) -> impl Iterator<Item = (usize, String)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, code_of(line)))
    }

    /// As [`Self::code`], up to the tests at the end, which may look at whatever they want to compare with.
    fn shipped(&self) -> impl Iterator<Item = (usize, String)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests =
            lines.windows(2).position(|it| it[0] == "#[cfg(test)]" && it[1].starts_with("mod "));
        self.code().take(tests.unwrap_or(lines.len()))
    }

    fn finding(&self, line: usize, what: String, why: &'static str) -> Finding {
        Finding { path: self.path.clone(), line, what, why }
    }
}

/// A line of Rust without what its strings say, and without its comment.
fn code_of(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => {
                chars.next();
            }
            '"' if !code.ends_with('\'') => {
                quoted = !quoted;
                code.push(c);
            }
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            _ if quoted => {}
            _ => code.push(c),
        }
    }
    code
}

/// Where a word stands in a line and is not part of a longer one.
fn word(line: &str, word: &str) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let goes_on = word.ends_with(in_name) && line[at + word.len()..].starts_with(in_name);
        !goes_on && !line[..at].ends_with(in_name)
    })
}

/// What git has, and what it would take: neither outputs nor somebody's notes.
fn committed() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .expect("these rules read what is committed, and need git for it");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let paths: BTreeSet<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
    paths
        .into_iter()
        .filter_map(|path| {
            // A file that is deleted and not yet committed is listed all the same; what is not text has no rules here.
            let text = fs::read_to_string(root.join(path)).ok()?;
            Some(File { path: path.into(), text })
        })
        .collect()
}

#[track_caller]
fn assert_none(findings: &[Finding]) {
    let text: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "{} findings\n{}", findings.len(), text.join("\n"));
}

fn check(rule: impl Fn(&File) -> Vec<Finding>) {
    assert_none(&committed().iter().flat_map(rule).collect::<Vec<_>>());
}

/// Modules of this crate that a file names, with the line: `crate::x`, `tidings::x`, `use crate::{x, y::z}`.
fn modules_named(file: &File) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    let lines: Vec<(usize, String)> = file.shipped().collect();
    for (index, (number, line)) in lines.iter().enumerate() {
        for root in ["crate::", "tidings::"] {
            for (at, _) in line.match_indices(root) {
                if line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':')) {
                    continue;
                }
                let rest = &line[at + root.len()..];
                if rest.starts_with('{') {
                    named.extend(first_segments(&lines[index..], at + root.len()));
                } else {
                    named.push((*number, leading_name(rest).to_owned()));
                }
            }
        }
    }
    // `Upper` is an item of the crate's root, not a module.
    named.retain(|(_, name)| name.starts_with(|c: char| c.is_lowercase()));
    named
}

fn leading_name(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// The first segment of each path in a braced `use`, which may span lines.
fn first_segments(lines: &[(usize, String)], start: usize) -> Vec<(usize, String)> {
    let mut segments = Vec::new();
    let mut depth = 0;
    let mut wanted = false;
    for (index, (number, line)) in lines.iter().enumerate() {
        let text = if index == 0 { &line[start..] } else { line.as_str() };
        for (at, c) in text.char_indices() {
            match c {
                '{' => {
                    depth += 1;
                    wanted = depth == 1;
                }
                '}' => depth -= 1,
                ',' => wanted = depth == 1,
                c if wanted && (c.is_alphabetic() || c == '_') => {
                    segments.push((*number, leading_name(&text[at..]).to_owned()));
                    wanted = false;
                }
                _ => {}
            }
            if depth == 0 {
                return segments;
            }
        }
    }
    segments
}

fn arrows(file: &File) -> Vec<Finding> {
    let Some(module) = file.module() else { return Vec::new() };
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
        let what = format!("the module `{module}` has no place in the plan of the house");
        let why =
            "every module says whom it may use: give it a line in ARROWS in tests/it/house/tidy.rs";
        return vec![file.finding(1, what, why)];
    };
    let used = modules_named(file).into_iter();
    used.filter(|(_, used)| used != module && !allowed.contains(&used.as_str()))
        .map(|(line, used)| {
            let what = format!("`{module}` uses `{used}`; it may use {}", allowed.join(", "));
            let why = "arrows go main -> cli, server -> service -> broker -> journal -> store -> model and never \
                       back, so that each can be read, tested and replaced without what is above it";
            file.finding(line, what, why)
        })
        .collect()
}

fn crates(file: &File) -> Vec<Finding> {
    let Some(module) = file.module() else { return Vec::new() };
    let mut findings = Vec::new();
    for (line, code) in file.shipped() {
        for (name, allowed, why) in CRATES {
            if !allowed.contains(&module) && word(&code, &format!("{name}::")) {
                let what =
                    format!("`{module}` names the crate `{name}`; only {} may", allowed.join(", "));
                findings.push(file.finding(line, what, why));
            }
        }
    }
    findings
}

fn statuses(file: &File) -> Vec<Finding> {
    // A client puts together what a stream told it; the layer around all services answers where one has panicked.
    const ALLOWED: [&str; 2] = ["src/service/status.rs", "src/telemetry/grpc.rs"];
    if file.module().is_none_or(|module| module == "cli") || ALLOWED.contains(&&*file.path) {
        return Vec::new();
    }
    // `Status::new`, `Status::with_details`, `Status::not_found`; not `Status::GRPC_STATUS`.
    let built = |code: &str| {
        code.match_indices("Status::").any(|(at, found)| {
            !code[..at].ends_with(char::is_alphanumeric)
                && code[at + found.len()..].starts_with(char::is_lowercase)
        })
    };
    file.shipped()
        .filter(|(_, code)| built(code))
        .map(|(line, code)| {
            let why = "one file speaks gRPC codes: a status made in passing has no reason and no details. Return an \
                       error of the domain, and give it its row in src/service/status.rs";
            file.finding(line, format!("a Status is built here: `{}`", code.trim()), why)
        })
        .collect()
}

fn raw_iterators(files: &[File]) -> Vec<Finding> {
    const MADE: [&str; 3] = [".raw_iterator(", ".raw_iterator_cf(", ".raw_iterator_cf_opt("];
    let mut by_file: BTreeMap<&str, Finding> = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/")) {
        for (line, code) in file.shipped() {
            if MADE.iter().any(|call| code.contains(call)) {
                let what = format!("a raw RocksDB iterator is made here: `{}`", code.trim());
                let why = "a corrupt block ends an iterator silently, so one place makes raw ones and \
                           checks their status() at the end; use that one";
                by_file.entry(&file.path).or_insert_with(|| file.finding(line, what, why));
            }
        }
    }
    if by_file.len() > 1 { by_file.into_values().collect() } else { Vec::new() }
}

fn leftovers(file: &File) -> Vec<Finding> {
    if !file.is_rust() || file.path == "tests/it/house/tidy.rs" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let prints_allowed = match file.module() {
        Some(module) => matches!(module, "cli" | "main"),
        None => !file.path.starts_with("registry/src/") || file.path == "registry/src/main.rs",
    };
    for (line, code) in file.code() {
        for left in ["dbg!", "todo!", "unimplemented!"] {
            if word(&code, left) {
                let why = "what is committed is finished; what is missing is an error that says so, or an issue";
                findings.push(file.finding(line, format!("`{left}` is left behind"), why));
            }
        }
        for print in ["print!", "println!", "eprint!", "eprintln!"] {
            if !prints_allowed && word(&code, print) && !has_reason(file, line) {
                let why = "only the command line speaks to the terminal; everybody else logs with tracing, with fields";
                findings.push(file.finding(line, format!("`{print}` outside cli"), why));
            }
        }
        if code.contains("#[ignore]") {
            let why = "a test that nobody runs proves nothing; say why with #[ignore = \"...\"], or drop it";
            findings.push(file.finding(line, "a test is ignored without a reason".into(), why));
        }
    }
    for (index, text) in file.text.lines().enumerate() {
        for mark in ["TODO", "FIXME", "XXX"] {
            if word(text, mark) {
                let why =
                    "notes to ourselves are issues; a comment tells a reader what is true now";
                findings.push(file.finding(index + 1, format!("`{mark}` is left behind"), why));
            }
        }
    }
    findings
}

/// Whether the function that begins a few lines above says why it prints.
fn has_reason(file: &File, line: usize) -> bool {
    let above = file.text.lines().take(line).skip(line.saturating_sub(6));
    above
        .into_iter()
        .any(|text| text.contains("expect(clippy::print_") && text.contains("reason ="))
}

fn length(file: &File) -> Vec<Finding> {
    let source = ["rs", "proto", "sh", "go", "java", "mjs", "js", "ts", "py"];
    if !source.iter().any(|it| file.path.rsplit('.').next() == Some(it)) {
        return Vec::new();
    }
    let lines = file.text.lines().count();
    if lines <= LINES_MAX {
        return Vec::new();
    }
    let what = format!("{lines} lines, and {LINES_MAX} are the most");
    vec![file.finding(
        lines,
        what,
        "a file that long holds more than one noun: find the second one and move it out",
    )]
}

fn local_paths(file: &File) -> Vec<Finding> {
    // In pieces, so that this file does not name them.
    let roots = ["work", "root", "home", "Users"].map(|root| format!("/{root}/"));
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for root in &roots {
            let local = line.match_indices(root.as_str()).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| {
                    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | '*')
                })
            });
            if local {
                let what = format!("a path of one machine: `{}`", line.trim());
                let why = "what is committed has to run on every machine: name paths by the project's folder, an \
                           environment variable or a temporary folder";
                findings.push(file.finding(index + 1, what, why));
            }
        }
    }
    findings
}

#[test]
fn modules_use_only_what_is_below_them() {
    check(arrows);
}

#[test]
fn crates_of_the_outside_stay_in_their_rooms() {
    check(crates);
}

#[test]
fn one_file_builds_statuses() {
    check(statuses);
}

#[test]
fn one_file_makes_raw_iterators() {
    assert_none(&raw_iterators(&committed()));
}

#[test]
fn nothing_is_left_behind() {
    check(leftovers);
}

#[test]
fn files_hold_one_noun() {
    check(length);
}

#[test]
fn nothing_names_one_machine() {
    check(local_paths);
}

/// A rule that never finds anything is no rule.
#[test]
fn the_rules_find_what_they_are_for() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    const NOWHERE: [usize; 0] = [];
    let lines = |findings: Vec<Finding>| findings.iter().map(|it| it.line).collect::<Vec<_>>();

    let store = "use crate::{\n    model::{name, broker},\n    journal::Local,\n};\nlet x = crate::broker::y();";
    assert_eq!(lines(arrows(&file("src/store/read.rs", store))), [3, 5]);
    assert_eq!(lines(arrows(&file("src/broker.rs", "use crate::{store, model::x};"))), NOWHERE);
    assert_eq!(lines(arrows(&file("src/model.rs", "//! as [`crate::store`] has it"))), NOWHERE);
    assert_eq!(lines(arrows(&file("src/attic.rs", ""))), [1]);
    let tested = "use crate::server;\n#[cfg(test)]\nmod tests {\n    use crate::server;\n}";
    assert_eq!(lines(arrows(&file("src/model.rs", tested))), [1]);

    let raw = "fn f(db: &rocksdb::DB) {}\nuse tonic::Status;\nuse tonic_types::pb;";
    assert_eq!(lines(crates(&file("src/broker/read.rs", raw))), [1, 2]);
    assert_eq!(lines(crates(&file("src/store.rs", raw))), [2]);

    let status = "Err(Status::internal(\"no\"))\nExitStatus::from_raw(0)\n// Status::ok is not for us\n\
                  Status::GRPC_STATUS";
    assert_eq!(lines(statuses(&file("src/service/events.rs", status))), [1]);
    assert_eq!(lines(statuses(&file("src/service/status.rs", status))), NOWHERE);

    let one = file("src/store/read.rs", "db.raw_iterator_cf_opt(family, options)");
    let two = file("src/store/trim.rs", "\nself.db.raw_iterator()");
    assert_eq!(raw_iterators(&[one, two]).len(), 2);
    assert_eq!(raw_iterators(&[file("src/store/read.rs", "db.raw_iterator_cf(family)")]).len(), 0);

    let left = "todo!()\nprintln!(\"here\")\nwriteln!(out, \"x\")\n// FIXME later\n#[ignore]";
    assert_eq!(lines(leftovers(&file("src/broker.rs", left))), [1, 2, 5, 4]);
    let said = "#[expect(clippy::print_stdout, reason = \"scripts\")]\nfn f() {\n    println!();";
    assert_eq!(lines(leftovers(&file("src/server.rs", said))), NOWHERE);
    assert_eq!(code_of("f(\"a // \\\" b\", '\"') // c"), "f(\"\", '\"') ");
    assert_eq!(lines(leftovers(&file("src/cli/read.rs", "println!(\"an event\")"))), NOWHERE);

    assert_eq!(lines(length(&file("src/a.rs", &"\n".repeat(701)))), [701]);
    assert_eq!(lines(length(&file("events.jsonl", &"\n".repeat(701)))), NOWHERE);

    let path = format!("cd {0}home/ada\nhttps://x.example{0}home/ada\ndocs{0}work/x", '/');
    assert_eq!(lines(local_paths(&file("README.md", &path))), [1]);
}
