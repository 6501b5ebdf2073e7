//! Runs the tour of `docs/TOUR.md`: bash runs every command below its heading, and the output must
//! equal the document. `TIDINGS_BLESS=1` writes the output into the document.
//!
//! Some values differ in each run:
//! - `localhost:7171` stands for the address of the test's server;
//! - the n-th cursor and the n-th time of the document stand for the n-th of the run, also in
//!   commands;
//! - either grpcurl or the server notices the end of `-max-time` first, so its message is replaced.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::languages::clients::tool;
use crate::support::{
    harness::{Options, Server},
    toolchain::toolchain,
};

const TOUR: &str = "docs/TOUR.md";
const HEADING: &str = "Five minutes in grpcurl";
const ADDRESS: &str = "localhost:7171";

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_prints_what_its_document_shows() {
    if !toolchain("the tour", ["go", "bash"]) {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(TOUR);
    let written = fs::read_to_string(&path).unwrap();
    let grpcurl = tool("grpcurl");
    let server = Server::start(Options::default()).await;

    let address = server.address().to_string();
    let found = replay(&written, |command| {
        run_in_bash(&command.replace(ADDRESS, &address), &grpcurl).replace(&address, ADDRESS)
    });
    if env::var_os("TIDINGS_BLESS").is_some() {
        fs::write(&path, found).unwrap();
        return;
    }
    let differs = written.lines().zip(found.lines()).position(|(written, found)| written != found);
    let line = differs.unwrap_or_else(|| written.lines().count().min(found.lines().count()));
    let from = |text: &str| text.lines().skip(line).take(20).collect::<Vec<_>>().join("\n");
    assert!(
        written == found,
        "{}:{}: the document has\n{}\n\nand the run printed\n{}\n\nTIDINGS_BLESS=1 rewrites it",
        path.display(),
        line + 1,
        from(&written),
        from(&found)
    );
}

/// Returns the document with the current output of the tour's commands.
fn replay(written: &str, mut run: impl FnMut(&str) -> String) -> String {
    let (before, tour, after) = section(written);
    let mut values = RunValues::of(tour);
    let mut found = before.to_owned();
    let mut lines = tour.lines();
    while let Some(line) = lines.next() {
        found.push_str(line);
        found.push('\n');
        if line != "```console" {
            continue;
        }
        while let Some(line) = lines.next() {
            if line == "```" {
                found.push_str("```\n");
                break;
            }
            // Other lines are the output from when the file was written.
            let Some(first) = line.strip_prefix("$ ") else { continue };
            let mut command = first.to_owned();
            while continues(&command) {
                command.push('\n');
                command.push_str(lines.next().expect("the tour's last command has no end"));
            }
            let printed = run(&values.as_in_this_run(&command));
            found.push_str(&format!("$ {command}\n{}", values.as_written(&printed)));
        }
    }
    found + after
}

/// The text before the tour, the tour, and the text after it.
fn section(text: &str) -> (&str, &str, &str) {
    let marks = |line: &str| line.chars().take_while(|&mark| mark == '#').count();
    let (mut start, mut level) = (None, 0);
    let (mut at, mut fenced) = (0, false);
    for line in text.split_inclusive('\n') {
        fenced ^= line.starts_with("```");
        match (marks(line), start) {
            _ if fenced => {}
            (1.., None) if line.trim_matches(['#', ' ', '\n']) == HEADING => {
                (start, level) = (Some(at), marks(line));
            }
            (next @ 1.., Some(start)) if next <= level => {
                return (&text[..start], &text[start..at], &text[at..]);
            }
            _ => {}
        }
        at += line.len();
    }
    let start = start.unwrap_or_else(|| panic!("there is no heading {HEADING:?}"));
    (&text[..start], &text[start..], "")
}

/// Whether a quote is open or the line ends with a backslash.
fn continues(command: &str) -> bool {
    command.matches('\'').count() % 2 == 1 || command.ends_with('\\')
}

/// Runs a command in bash, and returns its output and errors.
fn run_in_bash(command: &str, grpcurl: &Path) -> String {
    let mut path = vec![grpcurl.parent().expect("a tool is in a folder").to_owned()];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let output = Command::new("bash")
        .arg("-c")
        .arg(format!("exec 2>&1\n{command}"))
        .env("PATH", env::join_paths(path).unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let ended = printed.find("  Code: DeadlineExceeded\n").and_then(|at| {
        let message = at + printed[at..].find("  Message: ")?;
        Some(format!("{}  Message: context deadline exceeded\n", &printed[..message]))
    });
    ended.unwrap_or(printed)
}

/// The values that differ in each run: the cursors and the times of the file and of the run, each
/// in order of appearance.
struct RunValues {
    written: [Vec<String>; 2],
    found: [Vec<String>; 2],
}

impl RunValues {
    const KINDS: [fn(&str) -> bool; 2] = [is_cursor, is_time];

    fn of(written: &str) -> Self {
        let mut values = Self { written: Default::default(), found: Default::default() };
        for token in tokens(written) {
            remember(&mut values.written, token);
        }
        values
    }

    fn as_in_this_run(&self, command: &str) -> String {
        replaced(command, &self.written, &self.found)
    }

    fn as_written(&mut self, printed: &str) -> String {
        for token in tokens(printed) {
            remember(&mut self.found, token);
        }
        replaced(printed, &self.found, &self.written)
    }
}

fn remember(values: &mut [Vec<String>; 2], token: &str) {
    for (known, matches_kind) in values.iter_mut().zip(RunValues::KINDS) {
        if matches_kind(token) && !known.iter().any(|value| value == token) {
            known.push(token.into());
        }
    }
}

/// Replaces each value of `old` by the value at the same index of `new`, if there is one.
fn replaced(text: &str, old: &[Vec<String>; 2], new: &[Vec<String>; 2]) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    for token in tokens(text) {
        let start = rest.find(token).expect("a token is a part of the text");
        let other = old.iter().zip(new).find_map(|(old, new)| {
            new.get(old.iter().position(|value| value == token)?).map(String::as_str)
        });
        replaced.push_str(&rest[..start]);
        replaced.push_str(other.unwrap_or(token));
        rest = &rest[start + token.len()..];
    }
    replaced + rest
}

/// The text between quotes.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(['"', '\n']).filter(|token| !token.is_empty())
}

/// Version 1 of a cursor: 29 bytes or more in URL-safe base64, the first of which is the version.
fn is_cursor(token: &str) -> bool {
    token.len() >= 39
        && token.starts_with("AQ")
        && token.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// `2026-11-02T09:14:03.120Z`
fn is_time(token: &str) -> bool {
    let date = token.get(..11).is_some_and(|date| {
        date.ends_with('T') && date.chars().filter(char::is_ascii_digit).count() == 8
    });
    date && token.len() >= 20 && token.ends_with('Z')
}

#[test]
fn only_the_commands_below_the_heading_are_run() {
    let cursors =
        ["AQDbeYa72t9DdwAAAAAAAAACAAAAAAAAAAJ2fc9g", "AQDbeYa72t9DdwAAAAAAAAADAAAAAAAAAAJ2fc9g"];
    let text = |cursor: &str| {
        format!(
            "## Before\n```console\n$ not run\n```\n## {HEADING}\n```sh\n# not run\n```\n```console\n$ one '\n  more'\n\
             \"{cursor}\"\n$ two \"{cursor}\" \\\n  end\n```\n### Within\n## Behind\n```console\n$ not run\nold\n```\n"
        )
    };
    let mut commands = Vec::new();
    let mut run = |command: &str| {
        commands.push(command.to_owned());
        if commands.len() == 1 { format!("\"{}\"\n", cursors[1]) } else { String::new() }
    };
    assert_eq!(
        replay(&text(cursors[0]), &mut run),
        text(cursors[0]),
        "the values stay those of the file"
    );
    assert_eq!(
        commands,
        ["one '\n  more'".to_owned(), format!("two \"{}\" \\\n  end", cursors[1])]
    );
}
