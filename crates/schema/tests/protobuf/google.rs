//! Checks compatible verdicts with Google's Protobuf for Python: payloads of a compatible pair must
//! decode to the same values.
//!
//! A tenth of the `TIDINGS_PAIRS` pairs is checked.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use prost::Message;
use prost_reflect::MessageDescriptor;
use serde_json::{Value, json};
use tidings_schema::{
    finding::{Direction, Options, Surface, Verdict},
    protobuf::Schema,
};

use super::{
    decoding::payload,
    environment::python,
    model::Chance,
    pairs::{pair, pairs, parse, warned},
    soundness,
};

const PAYLOADS: usize = 8;

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn schema_json(message: &MessageDescriptor) -> Value {
    json!({ "descriptors": hex(&message.parent_pool().encode_to_vec()), "name": message.full_name() })
}

fn jobs(seed: u64, old: &Schema, new: &Schema) -> Vec<(Value, Verdict)> {
    let (a, b) = (old.descriptor().expect("one message"), new.descriptor().expect("one message"));
    let mut jobs = Vec::new();
    for surface in [Surface::Wire, Surface::WireJson] {
        let comparison = old.compare(new, Options { surface, ..Options::default() });
        for (direction, writer, reader) in
            [(Direction::Backward, &a, &b), (Direction::Forward, &b, &a)]
        {
            let mut chance = Chance::new(seed);
            let payloads: Vec<String> = (0..PAYLOADS)
                .map(|_| hex(&payload(writer, &mut chance, 2).encode_to_vec()))
                .collect();
            let job = json!({
                "name": format!("seed {seed} {surface:?} {direction:?}"),
                "written": schema_json(writer),
                "read": schema_json(reader),
                "payloads": payloads,
                "json": surface == Surface::WireJson && !warned(&comparison),
            });
            jobs.push((job, comparison.verdict(direction)));
        }
    }
    jobs
}

/// Runs jobs in Python and returns its answers.
fn answers<'j>(python: &Path, jobs: impl Iterator<Item = &'j Value>) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protobuf/decode.py");
    let mut child = Command::new(python)
        .arg(script)
        .env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut input = child.stdin.take().expect("it has an input");
    let lines: Vec<String> = jobs.map(|job| format!("{job}\n")).collect();
    let count = lines.len();
    let writer = std::thread::spawn(move || {
        lines.iter().try_for_each(|line| input.write_all(line.as_bytes()))
    });
    let output = child.wait_with_output().expect("Python ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    writer.join().expect("no panic").expect("Python reads all jobs");
    let text = String::from_utf8(output.stdout).expect("it writes UTF-8");
    let answers = text.lines().map(|line| serde_json::from_str(line).expect("it writes JSON"));
    let answers: Vec<Value> = answers.collect();
    assert_eq!(answers.len(), count, "{errors}");
    answers
}

#[test]
fn googles_decoder_agrees_with_every_compatible() {
    let Some(python) = python("Protobuf for Python", &["protobuf==6.33.1"]) else { return };
    let mut all = Vec::new();
    for seed in 1..=u64::from(pairs() / 10) {
        let Some((old, new)) = pair(seed) else { continue };
        if let (Some(old), Some(new)) = (parse(&old), parse(&new)) {
            all.extend(jobs(seed, &old, &new));
        }
    }
    let jobs = all.iter().map(|(job, _)| job);
    let answers = answers(&python, jobs);
    let (mut compatible, mut refuted, mut contradictions) = (0, 0, Vec::new());
    for (answer, (_, verdict)) in answers.iter().zip(&all) {
        let why = answer["why"].as_str();
        match verdict {
            Verdict::Compatible => {
                compatible += 1;
                contradictions.extend(why.map(|why| format!("{}: {why}", answer["name"])));
            }
            Verdict::Incompatible | Verdict::Unproven => refuted += usize::from(why.is_some()),
        }
    }
    println!(
        "{compatible} compatible directions; {refuted} of {} others refuted by a payload",
        all.len() - compatible
    );
    assert!(contradictions.is_empty(), "{}", contradictions.join("\n"));
}

/// The same with texts compiled by protoc, for a twentieth of the pairs of [`soundness`].
#[test]
fn googles_compiler_and_decoder_agree_with_every_compatible() {
    let pins = ["protobuf==6.33.1", "grpcio-tools==1.76.0"];
    let Some(python) = python("protoc for Python", &pins) else { return };
    let mut all = Vec::new();
    for seed in soundness::seeds(20) {
        all.extend(soundness::jobs(seed));
    }
    let answers = answers(&python, all.iter().map(|job| &job.job));
    let (mut agreed, mut skipped, mut contradictions) = (0, 0, Vec::new());
    for (answer, job) in answers.iter().zip(&all) {
        if answer["skipped"].as_bool() == Some(true) {
            skipped += 1;
        } else if let (true, Some(why)) = (job.compatible, answer["why"].as_str()) {
            contradictions.push(format!("{}: {why}", answer["name"]));
        } else {
            agreed += 1;
        }
    }
    println!("{agreed} directions confirmed, {skipped} that protoc does not compile");
    assert!(agreed > skipped, "protoc compiles too few pairs");
    assert!(contradictions.is_empty(), "{}", contradictions.join("\n"));
}
