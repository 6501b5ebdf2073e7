//! Runs protoc from grpcio-tools.

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use serde::Deserialize;

use super::toolchain::toolchain;

/// Files by name. `m.proto` is compiled.
pub type Files = BTreeMap<String, String>;

/// The result of protoc for a set of files.
#[derive(Debug, Deserialize)]
pub struct CompileResult {
    /// The reason for a rejection. `None` if protoc accepts the files.
    pub why: Option<String>,
    /// The descriptor set with imports, in hex.
    set: String,
}

impl CompileResult {
    pub fn descriptors(&self) -> Vec<u8> {
        let digits = |at| u8::from_str_radix(&self.set[at..at + 2], 16).expect("hex");
        (0..self.set.len()).step_by(2).map(digits).collect()
    }
}

/// Runs protoc for each job. `None` if Python is not available; in CI it must be.
pub fn compile(test: &str, jobs: &[&Files]) -> Option<Vec<CompileResult>> {
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
        jobs.iter().map(|job| serde_json::to_string(job).expect("it is JSON") + "\n").collect();
    let writer = thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("Python ends");
    writer.join().expect("no panic").expect("Python reads all jobs");
    assert!(output.status.success());
    let results = String::from_utf8(output.stdout).expect("it writes UTF-8");
    let results: Vec<CompileResult> =
        results.lines().map(|line| serde_json::from_str(line).expect("it writes JSON")).collect();
    assert_eq!(results.len(), jobs.len());
    Some(results)
}

fn python(test: &str) -> Option<String> {
    if !toolchain(test, ["python3"]) {
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/tool.sh");
    let output = Command::new(script).arg("python").output().expect("the script runs");
    if output.status.success() {
        return Some(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: required in CI: {why}");
    eprintln!("{test}: skipped: {why}");
    None
}
