//! Libraries of others as judges: programs that run as long as a test does, and answer a line of
//! JSON with another.

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
    draw::Payloads,
    generate::Rng,
    pairs::{pair, parse, seeds},
    toolchain::toolchain,
};

/// Pairs that are asked about at once.
const BATCH: usize = 200;

/// Payloads of a side, and those that its counterexamples add.
const PAYLOADS: usize = 8;

/// One direction of a pair: the data of one side, read with the other.
pub struct Reading {
    pub seed: u64,
    pub old: Value,
    pub new: Value,
    pub direction: Direction,
    pub parsed: (Schema, Schema),
    pub verdict: Verdict,
    pub rules: Vec<&'static str>,
    /// Those of the rules that are errors, once each.
    pub errors: Vec<&'static str>,
    pub payloads: Vec<Vec<u8>>,
}

/// What a library says about a reading.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Answer {
    pub refused: Option<String>,
    pub compatible: String,
    pub reasons: Vec<String>,
    pub read: Vec<Read>,
}

/// What it reads of a payload.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Read {
    pub value: Option<String>,
    pub error: Option<String>,
    /// What the library's reader lacks, of all that it took.
    pub repairs: Vec<String>,
}

impl Reading {
    /// Both directions of a pair; none where a side is no schema.
    pub fn both(seed: u64, old: &Value, new: &Value) -> Vec<Self> {
        let mut rng = Rng::new(seed);
        let sides = [Direction::Backward, Direction::Forward];
        sides.into_iter().filter_map(|it| Self::of(seed, old, new, it, &mut rng)).collect()
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
        let drawn = Payloads::new(writer);
        let mut payloads: Vec<_> = (0..PAYLOADS).filter_map(|_| drawn.make(rng)).collect();
        let found: Vec<_> =
            comparison.findings.iter().filter(|it| it.direction.includes(direction)).collect();
        let shown = found.iter().filter_map(|it| it.counterexample.as_ref());
        payloads.extend(shown.take(2).filter_map(|it| parsed.0.encode(&it.payload).ok()));
        let broken = found.iter().filter(|it| it.severity == Severity::Error);
        let mut errors: Vec<_> = broken.map(|it| it.rule).collect();
        errors.sort_unstable();
        errors.dedup();
        Some(Self {
            seed,
            old: old.clone(),
            new: new.clone(),
            direction,
            verdict: comparison.verdict(direction),
            rules: found.iter().map(|it| it.rule).collect(),
            errors,
            parsed,
            payloads,
        })
    }

    /// The schemas of the writer and of the reader.
    pub fn sides(&self) -> (&Value, &Value) {
        match self.direction {
            Direction::Forward => (&self.new, &self.old),
            Direction::Backward | Direction::Both => (&self.old, &self.new),
        }
    }

    fn question(&self) -> String {
        let (writer, reader) = self.sides();
        let payloads: Vec<_> = self.payloads.iter().map(|it| hex(it)).collect();
        let (from, to) = &self.parsed;
        let converted = self.payloads.iter().map(|it| from.convert(to, it).ok().map(|it| hex(&it)));
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

/// A running program. It ends when it is dropped.
pub struct Judge {
    child: Child,
    questions: BufWriter<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Judge {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let questions = BufWriter::new(child.stdin.take().expect("it is piped"));
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, questions, answers }
    }

    /// A script of `tests/clients/python`. None: this machine has no Python, which CI must have.
    pub fn python(test: &str, script: &str) -> Option<Self> {
        if !toolchain(test, ["python3"]) {
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = Command::new(root.join("../../scripts/tool.sh")).arg("python").output();
        let found = found.expect("the script runs");
        if !found.status.success() {
            let why = String::from_utf8_lossy(&found.stderr);
            assert!(env::var("CI").as_deref() != Ok("true"), "{test}: CI has to have it: {why}");
            eprintln!("{test}: skipped: {why}");
            return None;
        }
        let python = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
        let script = root.join("tests/clients/python").join(script);
        // Nothing is written into the source folder.
        Some(Self::start(Command::new(python).arg("-B").arg(script)))
    }

    /// Avro's own library, for which this machine may lack the toolchain; CI must have it.
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

    /// An answer to each.
    pub fn ask(&mut self, readings: &[Reading]) -> Vec<Answer> {
        let Self { questions, answers, .. } = self;
        // Both at once: it answers before it has read all, and a pipe holds 64 KiB.
        thread::scope(|scope| {
            scope.spawn(move || {
                for it in readings {
                    // Where it ended, there is no answer either.
                    if writeln!(questions, "{}", it.question()).is_err() {
                        return;
                    }
                }
                questions.flush().unwrap_or_default();
            });
            readings.iter().map(|_| answer(answers)).collect()
        })
    }
}

/// The next line. What is no answer refuses the pair, so that a test says which one it was.
fn answer(answers: &mut BufReader<ChildStdout>) -> Answer {
    let mut line = String::new();
    let read = answers.read_line(&mut line);
    // Maven begins with a code that resets colours, whatever it is asked.
    let begins = line.find('{').unwrap_or_default();
    serde_json::from_str(&line[begins..]).unwrap_or_else(|error| Answer {
        refused: Some(format!("no answer: {read:?}, {error}: {line}")),
        ..Answer::default()
    })
}

impl Drop for Judge {
    fn drop(&mut self) {
        // It has answered all that it was asked.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Has a library judge all pairs, in batches.
pub fn judge_all(judge: &mut Judge, mut each: impl FnMut(&mut Judge, &Reading, &Answer)) {
    let seeds: Vec<u64> = seeds().collect();
    for batch in seeds.chunks(BATCH) {
        let mut readings = Vec::new();
        for seed in batch {
            let Some((old, new, ..)) = pair(*seed) else { continue };
            readings.extend(Reading::both(*seed, &old, &new));
        }
        let answers = judge.ask(&readings);
        for (reading, answer) in readings.iter().zip(&answers) {
            each(judge, reading, answer);
        }
    }
}
