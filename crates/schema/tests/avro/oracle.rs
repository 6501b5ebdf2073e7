//! Other libraries as oracles: programs that run during a test, and answer each line of JSON with a
//! line of JSON.

use std::{
    env,
    fmt::Write as _,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use serde::Deserialize;
use serde_json::{Value, json};
use tidings_schema::{
    avro::Schema,
    finding::{Direction, Severity, Verdict},
};

use crate::{
    generate::Rng,
    pairs::{pair, parse, seeds},
    payload_generator::Payloads,
    toolchain::toolchain,
};

/// Pairs per batch of requests.
const BATCH_PAIRS: usize = 200;

/// Generated payloads of a reading. Counterexamples add up to two.
const PAYLOADS: usize = 8;

/// One direction of a pair: data of one schema, read with the other.
pub struct Reading {
    pub seed: u64,
    pub old: Value,
    pub new: Value,
    pub direction: Direction,
    pub parsed: (Schema, Schema),
    pub verdict: Verdict,
    pub rules: Vec<&'static str>,
    /// The distinct rules of errors.
    pub errors: Vec<&'static str>,
    pub payloads: Vec<Vec<u8>>,
}

/// The result of a library for a reading.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Verification {
    pub refused: Option<String>,
    pub compatible: String,
    pub reasons: Vec<String>,
    pub read: Vec<Read>,
}

/// The result of a library for a payload.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Read {
    pub value: Option<String>,
    pub error: Option<String>,
    /// The missing features of the library that the payload needed.
    pub repairs: Vec<String>,
}

impl Reading {
    /// Both directions of a pair; empty if a schema is invalid.
    pub fn both(seed: u64, old: &Value, new: &Value) -> Vec<Self> {
        let mut rng = Rng::new(seed);
        let directions = [Direction::Backward, Direction::Forward];
        directions
            .into_iter()
            .filter_map(|direction| Self::of(seed, old, new, direction, &mut rng))
            .collect()
    }

    fn of(
        seed: u64,
        old: &Value,
        new: &Value,
        direction: Direction,
        rng: &mut Rng,
    ) -> Option<Self> {
        let (before, after) = (parse(old)?, parse(new)?);
        let comparison = before.compare(&after);
        let (writer, parsed) = match direction {
            Direction::Forward => (new, (after, before)),
            Direction::Backward | Direction::Both => (old, (before, after)),
        };
        let generator = Payloads::new(writer);
        let mut payloads: Vec<_> = (0..PAYLOADS).filter_map(|_| generator.generate(rng)).collect();
        let findings: Vec<_> = comparison
            .findings
            .iter()
            .filter(|finding| finding.direction.includes(direction))
            .collect();
        let counterexamples = findings.iter().filter_map(|finding| finding.counterexample.as_ref());
        payloads.extend(
            counterexamples
                .take(2)
                .filter_map(|counterexample| parsed.0.encode(&counterexample.payload).ok()),
        );
        let breaks = findings.iter().filter(|finding| finding.severity == Severity::Error);
        let mut errors: Vec<_> = breaks.map(|finding| finding.rule).collect();
        errors.sort_unstable();
        errors.dedup();
        Some(Self {
            seed,
            old: old.clone(),
            new: new.clone(),
            direction,
            verdict: comparison.verdict(direction),
            rules: findings.iter().map(|finding| finding.rule).collect(),
            errors,
            parsed,
            payloads,
        })
    }

    /// The schemas of the writer and of the reader.
    pub fn schemas(&self) -> (&Value, &Value) {
        match self.direction {
            Direction::Forward => (&self.new, &self.old),
            Direction::Backward | Direction::Both => (&self.old, &self.new),
        }
    }

    fn request(&self) -> String {
        let (writer, reader) = self.schemas();
        let payloads: Vec<_> = self.payloads.iter().map(|payload| hex(payload)).collect();
        let (from, to) = &self.parsed;
        let converted = self.payloads.iter().map(|payload| from.convert(to, payload).ok());
        let converted = converted.map(|payload| payload.map(|payload| hex(&payload)));
        let converted: Vec<_> = converted.collect();
        json!({"writer": writer, "reader": reader, "payloads": payloads, "converted": converted})
            .to_string()
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// A running program. Dropping it ends the program.
pub struct Oracle {
    child: Child,
    requests: BufWriter<ChildStdin>,
    responses: BufReader<ChildStdout>,
}

impl Oracle {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let requests = BufWriter::new(child.stdin.take().expect("stdin is piped"));
        let responses = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, requests, responses }
    }

    /// Starts a script of `tests/clients/python`. Returns `None` if Python is missing, except in
    /// CI, which requires it.
    pub fn python(test: &str, script: &str) -> Option<Self> {
        if !toolchain(test, ["python3"]) {
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(root.join("../../scripts/tool.sh")).arg("python").output();
        let output = output.expect("the script runs");
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            assert!(env::var("CI").as_deref() != Ok("true"), "{test}: required in CI: {reason}");
            eprintln!("{test}: skipped: {reason}");
            return None;
        }
        let python = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let script = root.join("tests/clients/python").join(script);
        // -B: write nothing into the source folder.
        Some(Self::start(Command::new(python).arg("-B").arg(script)))
    }

    /// Starts Avro's own library for Java. Returns `None` if the toolchain is missing, except in
    /// CI, which requires it.
    pub fn java(test: &str) -> Option<Self> {
        if !toolchain(test, ["java", "mvn"]) {
            return None;
        }
        let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/java/pom.xml");
        let outputs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("avro/java");
        let mut maven = Command::new("mvn");
        maven.args(["-q", "-B", "-Dstyle.color=never", "compile", "exec:java", "-f"]).arg(pom);
        Some(Self::start(maven.arg(format!("-Doutputs={}", outputs.display()))))
    }

    /// Verifies each reading.
    pub fn verify(&mut self, readings: &[Reading]) -> Vec<Verification> {
        let Self { requests, responses, .. } = self;
        // Write and read concurrently: the program responds before it has read all requests, and a
        // pipe holds 64 KiB.
        thread::scope(|scope| {
            scope.spawn(move || {
                for reading in readings {
                    // If the program has ended, its responses are missing too.
                    if writeln!(requests, "{}", reading.request()).is_err() {
                        return;
                    }
                }
                requests.flush().unwrap_or_default();
            });
            readings.iter().map(|_| read_response(responses)).collect()
        })
    }
}

/// Reads the next line. An invalid response rejects the pair, so that the test reports the pair.
fn read_response(responses: &mut BufReader<ChildStdout>) -> Verification {
    let mut line = String::new();
    let read = responses.read_line(&mut line);
    // Maven always starts with an escape code that resets colors.
    let start = line.find('{').unwrap_or_default();
    serde_json::from_str(&line[start..]).unwrap_or_else(|error| Verification {
        refused: Some(format!("no response: {read:?}, {error}: {line}")),
        ..Verification::default()
    })
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // All responses have been read.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Verifies all pairs with a library, in batches.
pub fn verify_all(
    oracle: &mut Oracle,
    mut check: impl FnMut(&mut Oracle, &Reading, &Verification),
) {
    let seeds: Vec<u64> = seeds().collect();
    for batch in seeds.chunks(BATCH_PAIRS) {
        let mut readings = Vec::new();
        for seed in batch {
            let Some((old, new, ..)) = pair(*seed) else { continue };
            readings.extend(Reading::both(*seed, &old, &new));
        }
        let verifications = oracle.verify(&readings);
        for (reading, verification) in readings.iter().zip(&verifications) {
            check(oracle, reading, verification);
        }
    }
}
