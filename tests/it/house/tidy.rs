//! Checks that the sources keep the project's rules. A failure has the location, the finding and
//! the reason of the rule.

mod documents;
mod workspace;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
    process::Command,
};

/// Allowed dependencies: `src/<module>`, and the modules of this crate that it may use. Data flows
/// one way, wire -> service -> domain -> log, and so do these arrows.
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

/// The modules that may use an external crate.
const CRATES: &[(&str, &[&str], &str)] = &[
    ("rocksdb", &["store"], "only the store decides the bytes on disk"),
    (
        "tonic",
        &["service", "http", "server", "cli", "proto", "telemetry"],
        "the domain does not depend on the wire protocol",
    ),
];

/// Longer files have more than one subject.
const LINES_MAX: usize = 700;

struct Finding {
    path: String,
    line: usize,
    message: String,
    why: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    why: {}", self.path, self.line, self.message, self.why)
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

    /// As [`Self::code`], without the tests at the end, which may use every module.
    fn shipped(&self) -> impl Iterator<Item = (usize, String)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines
            .windows(2)
            .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "));
        self.code().take(tests.unwrap_or(lines.len()))
    }

    fn finding(&self, line: usize, message: String, why: &'static str) -> Finding {
        Finding { path: self.path.clone(), line, message, why }
    }
}

/// A line of Rust without the contents of its strings and without its comment.
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

/// Whether a line has a word that is not part of a longer one.
fn word(line: &str, word: &str) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let goes_on = word.ends_with(in_name) && line[at + word.len()..].starts_with(in_name);
        !goes_on && !line[..at].ends_with(in_name)
    })
}

/// Files that are committed or could be: git ignores build outputs and private notes.
fn committed() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .expect("these rules need git to list the committed files");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let paths: BTreeSet<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
    paths
        .into_iter()
        .filter_map(|path| {
            // Skips files that are deleted and still listed, and files that are not text.
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

/// Modules of this crate that a file uses, with their lines: `crate::x`, `tidings::x`,
/// `use crate::{x, y::z}`.
fn modules_used(file: &File) -> Vec<(usize, String)> {
    let mut modules = Vec::new();
    let lines: Vec<(usize, String)> = file.shipped().collect();
    for (index, (number, line)) in lines.iter().enumerate() {
        for root in ["crate::", "tidings::"] {
            for (at, _) in line.match_indices(root) {
                if line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':')) {
                    continue;
                }
                let rest = &line[at + root.len()..];
                if rest.starts_with('{') {
                    modules.extend(first_segments(&lines[index..], at + root.len()));
                } else {
                    modules.push((*number, leading_name(rest).to_owned()));
                }
            }
        }
    }
    // `Upper` is an item of the crate's root, not a module.
    modules.retain(|(_, name)| name.starts_with(|c: char| c.is_lowercase()));
    modules
}

fn leading_name(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// The first segment of each path in a braced `use`, which may span lines.
fn first_segments(lines: &[(usize, String)], start: usize) -> Vec<(usize, String)> {
    let mut segments = Vec::new();
    let mut depth = 0;
    let mut at_start = false;
    for (index, (number, line)) in lines.iter().enumerate() {
        let text = if index == 0 { &line[start..] } else { line.as_str() };
        for (at, c) in text.char_indices() {
            match c {
                '{' => {
                    depth += 1;
                    at_start = depth == 1;
                }
                '}' => depth -= 1,
                ',' => at_start = depth == 1,
                c if at_start && (c.is_alphabetic() || c == '_') => {
                    segments.push((*number, leading_name(&text[at..]).to_owned()));
                    at_start = false;
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
        let message = format!("the module `{module}` has no entry in ARROWS");
        let why = "every module lists the modules that it may use: add it to ARROWS in tests/it/house/tidy.rs";
        return vec![file.finding(1, message, why)];
    };
    let used = modules_used(file).into_iter();
    used.filter(|(_, used)| used != module && !allowed.contains(&used.as_str()))
        .map(|(line, used)| {
            let message = format!("`{module}` uses `{used}`; it may use {}", allowed.join(", "));
            let why = "arrows go main -> cli, server -> service -> broker -> journal -> store -> model and never \
                       back, so that each can be read, tested and replaced without the modules above it";
            file.finding(line, message, why)
        })
        .collect()
}

fn crates(file: &File) -> Vec<Finding> {
    let Some(module) = file.module() else { return Vec::new() };
    let mut findings = Vec::new();
    for (line, code) in file.shipped() {
        for (name, allowed, why) in CRATES {
            if !allowed.contains(&module) && word(&code, &format!("{name}::")) {
                let message =
                    format!("`{module}` uses the crate `{name}`; only {} may", allowed.join(", "));
                findings.push(file.finding(line, message, why));
            }
        }
    }
    findings
}

fn statuses(file: &File) -> Vec<Finding> {
    // A client combines the results of a stream; the layer around all services responds after a
    // panic.
    const ALLOWED: [&str; 2] = ["src/service/status.rs", "src/telemetry/grpc.rs"];
    if file.module().is_none_or(|module| module == "cli") || ALLOWED.contains(&&*file.path) {
        return Vec::new();
    }
    // `Status::new`, `Status::with_details`, `Status::not_found`; not `Status::GRPC_STATUS`.
    let built = |code: &str| {
        code.match_indices("Status::").any(|(at, prefix)| {
            !code[..at].ends_with(char::is_alphanumeric)
                && code[at + prefix.len()..].starts_with(char::is_lowercase)
        })
    };
    file.shipped()
        .filter(|(_, code)| built(code))
        .map(|(line, code)| {
            let why = "one file builds gRPC statuses: a status built elsewhere has no reason and no details. Return an \
                       error of the domain, and add a row for it to src/service/status.rs";
            file.finding(line, format!("a Status is built here: `{}`", code.trim()), why)
        })
        .collect()
}

fn raw_iterators(files: &[File]) -> Vec<Finding> {
    const CALLS: [&str; 3] = [".raw_iterator(", ".raw_iterator_cf(", ".raw_iterator_cf_opt("];
    let mut by_file: BTreeMap<&str, Finding> = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/")) {
        for (line, code) in file.shipped() {
            if CALLS.iter().any(|call| code.contains(call)) {
                let message = format!("a raw RocksDB iterator is created here: `{}`", code.trim());
                let why = "a corrupt block ends an iterator silently, so one file creates raw ones and \
                           checks their status() at the end; use that file";
                by_file.entry(&file.path).or_insert_with(|| file.finding(line, message, why));
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
        for leftover in ["dbg!", "todo!", "unimplemented!"] {
            if word(&code, leftover) {
                let why = "committed code is complete; a missing feature is an error or an issue";
                findings.push(file.finding(line, format!("`{leftover}` is committed"), why));
            }
        }
        for print in ["print!", "println!", "eprint!", "eprintln!"] {
            if !prints_allowed && word(&code, print) && !has_reason(file, line) {
                let why = "only the command line prints to the terminal; other modules log with tracing and fields";
                findings.push(file.finding(line, format!("`{print}` outside cli"), why));
            }
        }
        if code.contains("#[ignore]") {
            let why = "a test that is never run proves nothing; give the reason with #[ignore = \"...\"], or delete it";
            findings.push(file.finding(line, "a test is ignored without a reason".into(), why));
        }
    }
    for (index, text) in file.text.lines().enumerate() {
        for mark in ["TODO", "FIXME", "XXX"] {
            if word(text, mark) {
                let why = "open tasks are issues; a comment describes the current code";
                findings.push(file.finding(index + 1, format!("`{mark}` is committed"), why));
            }
        }
    }
    findings
}

/// Whether the function that begins a few lines above has a reason for printing.
fn has_reason(file: &File, line: usize) -> bool {
    let above = file.text.lines().take(line).skip(line.saturating_sub(6));
    above
        .into_iter()
        .any(|text| text.contains("expect(clippy::print_") && text.contains("reason ="))
}

fn length(file: &File) -> Vec<Finding> {
    let source = ["rs", "proto", "sh", "go", "java", "mjs", "js", "ts", "py"];
    if !source.iter().any(|extension| file.path.rsplit('.').next() == Some(extension)) {
        return Vec::new();
    }
    let lines = file.text.lines().count();
    if lines <= LINES_MAX {
        return Vec::new();
    }
    let message = format!("{lines} lines; the limit is {LINES_MAX}");
    vec![file.finding(
        lines,
        message,
        "a file of this length has more than one subject: move the second one into its own file",
    )]
}

fn local_paths(file: &File) -> Vec<Finding> {
    // Built from parts, so that this file does not contain the paths.
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
                let message = format!("a path of one machine: `{}`", line.trim());
                let why = "committed files have to work on every machine: use paths relative to the project, an \
                           environment variable or a temporary folder";
                findings.push(file.finding(index + 1, message, why));
            }
        }
    }
    findings
}

#[test]
fn modules_use_only_lower_modules() {
    check(arrows);
}

#[test]
fn external_crates_are_used_only_in_their_modules() {
    check(crates);
}

#[test]
fn one_file_builds_statuses() {
    check(statuses);
}

#[test]
fn one_file_creates_raw_iterators() {
    assert_none(&raw_iterators(&committed()));
}

#[test]
fn sources_have_no_leftovers() {
    check(leftovers);
}

#[test]
fn files_are_not_too_long() {
    check(length);
}

#[test]
fn files_have_no_paths_of_one_machine() {
    check(local_paths);
}

/// A rule that never finds a violation checks nothing.
#[test]
fn the_rules_find_violations() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    const NONE: [usize; 0] = [];
    let lines =
        |findings: Vec<Finding>| findings.iter().map(|finding| finding.line).collect::<Vec<_>>();

    let store = "use crate::{\n    model::{name, broker},\n    journal::Local,\n};\nlet x = crate::broker::y();";
    assert_eq!(lines(arrows(&file("src/store/read.rs", store))), [3, 5]);
    assert_eq!(lines(arrows(&file("src/broker.rs", "use crate::{store, model::x};"))), NONE);
    assert_eq!(lines(arrows(&file("src/model.rs", "//! as [`crate::store`] has it"))), NONE);
    assert_eq!(lines(arrows(&file("src/attic.rs", ""))), [1]);
    let tested = "use crate::server;\n#[cfg(test)]\nmod tests {\n    use crate::server;\n}";
    assert_eq!(lines(arrows(&file("src/model.rs", tested))), [1]);

    let raw = "fn f(db: &rocksdb::DB) {}\nuse tonic::Status;\nuse tonic_types::pb;";
    assert_eq!(lines(crates(&file("src/broker/read.rs", raw))), [1, 2]);
    assert_eq!(lines(crates(&file("src/store.rs", raw))), [2]);

    let status = "Err(Status::internal(\"no\"))\nExitStatus::from_raw(0)\n// Status::ok is not for us\n\
                  Status::GRPC_STATUS";
    assert_eq!(lines(statuses(&file("src/service/events.rs", status))), [1]);
    assert_eq!(lines(statuses(&file("src/service/status.rs", status))), NONE);

    let first = file("src/store/read.rs", "db.raw_iterator_cf_opt(family, options)");
    let second = file("src/store/trim.rs", "\nself.db.raw_iterator()");
    assert_eq!(raw_iterators(&[first, second]).len(), 2);
    assert_eq!(raw_iterators(&[file("src/store/read.rs", "db.raw_iterator_cf(family)")]).len(), 0);

    let leftover = "todo!()\nprintln!(\"here\")\nwriteln!(out, \"x\")\n// FIXME later\n#[ignore]";
    assert_eq!(lines(leftovers(&file("src/broker.rs", leftover))), [1, 2, 5, 4]);
    let with_reason =
        "#[expect(clippy::print_stdout, reason = \"scripts\")]\nfn f() {\n    println!();";
    assert_eq!(lines(leftovers(&file("src/server.rs", with_reason))), NONE);
    assert_eq!(code_of("f(\"a // \\\" b\", '\"') // c"), "f(\"\", '\"') ");
    assert_eq!(lines(leftovers(&file("src/cli/read.rs", "println!(\"an event\")"))), NONE);

    assert_eq!(lines(length(&file("src/a.rs", &"\n".repeat(701)))), [701]);
    assert_eq!(lines(length(&file("events.jsonl", &"\n".repeat(701)))), NONE);

    let path = format!("cd {0}home/ada\nhttps://x.example{0}home/ada\ndocs{0}work/x", '/');
    assert_eq!(lines(local_paths(&file("README.md", &path))), [1]);
}
