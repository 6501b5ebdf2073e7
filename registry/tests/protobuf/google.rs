//! Google's own Protobuf as the judge: payloads of a compatible pair decode to the same values there, too.
//!
//! That is its implementation in Python. `TIDINGS_PAIRS` sets how many pairs; a tenth of them goes this way.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use prost::Message;
use prost_reflect::MessageDescriptor;
use serde_json::{Value, json};
use tidings_registry::{
    finding::{Direction, Options, Surface, Verdict},
    protobuf::Schema,
};

use super::{
    decoding::payload,
    environment::python,
    model::Chance,
    pairs::{pair, pairs, parse, warned},
};

const PAYLOADS: usize = 8;

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn side(message: &MessageDescriptor) -> Value {
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
                "written": side(writer),
                "read": side(reader),
                "payloads": payloads,
                "json": surface == Surface::WireJson && !warned(&comparison),
            });
            jobs.push((job, comparison.verdict(direction)));
        }
    }
    jobs
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
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protobuf/decode.py");
    let mut child = Command::new(python)
        .arg(script)
        .env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut input = child.stdin.take().expect("it has an input");
    let lines: Vec<String> = all.iter().map(|(job, _)| format!("{job}\n")).collect();
    let writer =
        std::thread::spawn(move || lines.iter().try_for_each(|it| input.write_all(it.as_bytes())));
    let output = child.wait_with_output().expect("Python ends");
    writer.join().expect("no panic").expect("Python reads all jobs");
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).expect("it writes a text");
    let (mut compatible, mut refuted, mut contradictions) = (0, 0, Vec::new());
    assert_eq!(answers.lines().count(), all.len());
    for (line, (_, verdict)) in answers.lines().zip(&all) {
        let answer: Value = serde_json::from_str(line).expect("it writes JSON");
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
