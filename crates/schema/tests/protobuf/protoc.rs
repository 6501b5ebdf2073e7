//! protoc, as grpcio-tools brings it.

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use serde::Deserialize;

use super::toolchain::toolchain;

/// Files by their names. `m.proto` is the one that is compiled.
pub type Files = BTreeMap<String, String>;

/// What protoc makes of some files.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// Why it refuses them. None: it accepts them.
    pub why: Option<String>,
    /// The descriptors, with those of imports, in hex.
    set: String,
}

impl Answer {
    pub fn descriptors(&self) -> Vec<u8> {
        let digits = |at| u8::from_str_radix(&self.set[at..at + 2], 16).expect("hex");
        (0..self.set.len()).step_by(2).map(digits).collect()
    }
}

/// Asks protoc about each of the jobs. No answers where there is no Python: CI must have it.
pub fn ask(test: &str, jobs: &[&Files]) -> Option<Vec<Answer>> {
    let python = python(test)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protobuf/protoc.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut input = child.stdin.take().expect("it has an input");
    let lines: String =
        jobs.iter().map(|it| serde_json::to_string(it).expect("it is JSON") + "\n").collect();
    let writer = thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("Python ends");
    writer.join().expect("no panic").expect("Python reads all jobs");
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).expect("it writes a text");
    let answers: Vec<Answer> =
        answers.lines().map(|it| serde_json::from_str(it).expect("it writes JSON")).collect();
    assert_eq!(answers.len(), jobs.len());
    Some(answers)
}

fn python(test: &str) -> Option<String> {
    if !toolchain(test, ["python3"]) {
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/tool.sh");
    let found = Command::new(script).arg("python").output().expect("the script runs");
    if found.status.success() {
        return Some(String::from_utf8_lossy(&found.stdout).trim().to_owned());
    }
    let why = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: required in CI: {why}");
    eprintln!("{test}: skipped: {why}");
    None
}
