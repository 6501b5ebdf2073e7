//! Random pairs of schemas, judged a second time: what the registry calls compatible is never
//! contradicted by a payload that a decoder of others reads, and what it calls incompatible is
//! counted by rule where no payload bears it out.
//!
//! `TIDINGS_PAIRS` sets how many, `TIDINGS_SEED` where they begin. A pair that fails is made small
//! and printed as the texts of a case: put them into a folder below `tests/cases/protobuf`.

use std::{collections::BTreeMap, fmt::Write as _};

use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor};
use serde_json::json;
use tidings_schema::{
    definition::Definition,
    finding::{Comparison, Direction, Options, Severity, Surface, Verdict},
    protobuf::Schema,
};

use super::{
    decoding::{Draw, Judge},
    generate::{File, IMPORTED},
    google::hex,
    model::Chance,
    mutate::smaller,
    pairs::warned,
};

const PAIRS: u64 = 2_000;

/// Payloads for each direction of a pair.
const PAYLOADS: usize = 24;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|it| it.parse().ok()).unwrap_or(default)
}

pub fn seeds(share: u64) -> impl Iterator<Item = u64> {
    let from = number("TIDINGS_SEED", 1);
    (0..number("TIDINGS_PAIRS", PAIRS) / share).map(move |it| from.wrapping_add(it))
}

pub fn pair(seed: u64) -> (File, File) {
    let mut chance = Chance::new(seed);
    let old = File::random(&mut chance);
    let mut new = old.clone();
    for _ in 0..=chance.below(3) {
        new.change(&mut chance);
    }
    (old, new)
}

pub fn parse(file: &File) -> Option<Schema> {
    let (main, other) = file.texts();
    let mut definition = Definition::text(main);
    definition.files.insert(IMPORTED.to_owned(), other);
    definition.message_name = format!("t.{}", file.messages[0].name);
    Schema::parse("", &definition, &[]).ok().filter(|it| it.check().is_empty())
}

/// One side of a pair: as the registry has it, and as decoders do.
struct Side<'f> {
    file: &'f File,
    schema: Schema,
    message: MessageDescriptor,
    /// Strings that nobody checks are bytes.
    raw: MessageDescriptor,
}

impl<'f> Side<'f> {
    fn of(file: &'f File) -> Option<Self> {
        let (message, raw) = (file.twin(false)?, file.twin(true)?);
        Some(Self { file, schema: parse(file)?, message, raw })
    }
}

/// The first payload that is refused or means something else.
fn refutation(writer: &Side<'_>, reader: &Side<'_>, seed: u64, json: bool) -> Option<String> {
    let mut chance = Chance::new(seed ^ 0x5eed);
    let judge =
        Judge { written: &|it| writer.file.is_closed(it), read: &|it| reader.file.is_closed(it) };
    let mut draw = Draw { chance: &mut chance, is_closed: &|it| writer.file.is_closed(it) };
    (0..PAYLOADS).find_map(|_| {
        let raw = draw.payload(&writer.raw, 2);
        let bytes = raw.encode_to_vec();
        match DynamicMessage::decode(reader.raw.clone(), bytes.as_slice()) {
            Ok(read) => {
                if let Some(why) = judge.difference(&raw, &read) {
                    return Some(format!("{}: {why}", hex(&bytes)));
                }
            }
            Err(error) => return Some(format!("{}: {error}", hex(&bytes))),
        }
        if !json {
            return None;
        }
        let written = draw.payload(&writer.message, 2);
        // Some have no JSON, such as a Value of nothing.
        let text = serde_json::to_string(&written).ok()?;
        // Names that a reader does not know are its own affair: added and removed fields are
        // compatible.
        let options = DeserializeOptions::new().deny_unknown_fields(false);
        let mut source = serde_json::Deserializer::from_str(&text);
        match DynamicMessage::deserialize_with_options(
            reader.message.clone(),
            &mut source,
            &options,
        ) {
            Ok(read) => judge.difference(&written, &read).map(|why| format!("{text}: {why}")),
            Err(error) => Some(format!("{text}: {error}")),
        }
    })
}

/// What is judged of a pair.
struct Judgement {
    surface: Surface,
    direction: Direction,
    comparison: Comparison,
    refuted: Option<String>,
}

impl Judgement {
    fn is_unsound(&self) -> bool {
        self.comparison.verdict(self.direction) == Verdict::Compatible && self.refuted.is_some()
    }

    fn rules(&self) -> Vec<&'static str> {
        let errors =
            self.comparison.findings.iter().filter(|it| {
                it.severity == Severity::Error && it.direction.includes(self.direction)
            });
        let mut rules: Vec<_> = errors.map(|it| it.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

fn judge(pair: &(File, File), seed: u64) -> Option<Vec<Judgement>> {
    let (old, new) = (Side::of(&pair.0)?, Side::of(&pair.1)?);
    let mut all = Vec::new();
    for surface in [Surface::Wire, Surface::WireJson] {
        let options = Options { surface, ..Options::default() };
        let comparison = old.schema.compare(&new.schema, options);
        for (direction, writer, reader) in
            [(Direction::Backward, &old, &new), (Direction::Forward, &new, &old)]
        {
            let comparison = comparison.clone();
            let json = surface == Surface::WireJson && !warned(&comparison);
            let refuted = refutation(writer, reader, seed, json);
            all.push(Judgement { surface, direction, comparison, refuted });
        }
    }
    Some(all)
}

/// A direction of a pair, as a job of another decoder.
pub struct Job {
    pub job: serde_json::Value,
    pub compatible: bool,
}

/// What Google's decoder is asked about a pair.
pub fn jobs(seed: u64) -> Vec<Job> {
    let (old, new) = pair(seed);
    let (Some(old), Some(new)) = (Side::of(&old), Side::of(&new)) else { return Vec::new() };
    let mut jobs = Vec::new();
    for surface in [Surface::Wire, Surface::WireJson] {
        let options = Options { surface, ..Options::default() };
        let comparison = old.schema.compare(&new.schema, options);
        for (direction, writer, reader) in
            [(Direction::Backward, &old, &new), (Direction::Forward, &new, &old)]
        {
            let mut chance = Chance::new(seed);
            let mut draw = Draw { chance: &mut chance, is_closed: &|it| writer.file.is_closed(it) };
            let payloads: Vec<String> =
                (0..8).map(|_| hex(&draw.payload(&writer.message, 2).encode_to_vec())).collect();
            let texts = |side: &Side<'_>| {
                let (main, other) = side.file.texts();
                json!({ "texts": { "main.proto": main, IMPORTED: other }, "name": side.message.full_name() })
            };
            jobs.push(Job {
                job: json!({
                    "name": format!("seed {seed} {surface:?} {direction:?}"),
                    "written": texts(writer),
                    "read": texts(reader),
                    "payloads": payloads,
                    "json": surface == Surface::WireJson && !warned(&comparison),
                }),
                compatible: comparison.verdict(direction) == Verdict::Compatible,
            });
        }
    }
    jobs
}

/// The smallest pair near to one that fails still.
fn shrunk(mut pair: (File, File), seed: u64, fails: impl Fn(&Judgement) -> bool) -> (File, File) {
    let fails = |pair: &(File, File)| judge(pair, seed).is_some_and(|it| it.iter().any(&fails));
    // Every step takes something away; 200 are more than a pair has.
    for _ in 0..200 {
        match smaller(&pair).into_iter().find(&fails) {
            Some(smaller) => pair = smaller,
            None => break,
        }
    }
    pair
}

fn printed(pair: &(File, File), seed: u64, fails: impl Fn(&Judgement) -> bool) -> String {
    let mut out = format!("seed {seed}\n");
    for (name, file) in [("previous.proto", &pair.0), ("current.proto", &pair.1)] {
        let (main, other) = file.texts();
        let other = if main.contains(IMPORTED) { other } else { String::new() };
        let _ = write!(out, "--- {name}\n{main}{other}");
    }
    for it in judge(pair, seed).into_iter().flatten().filter(|it| fails(it)) {
        let _ = writeln!(
            out,
            "--- {:?} {:?} {:?}: {:?}\n{:#?}",
            it.surface,
            it.direction,
            it.comparison.verdict(it.direction),
            it.refuted,
            it.comparison.findings
        );
    }
    out
}

#[test]
fn no_payload_contradicts_a_compatible() {
    let mut counts = BTreeMap::<String, (usize, usize)>::new();
    let (mut judged, mut unsound, mut examples) = (0, Vec::new(), BTreeMap::new());
    for seed in seeds(1) {
        let pair = pair(seed);
        let Some(judgements) = judge(&pair, seed) else { continue };
        judged += 1;
        for it in &judgements {
            if it.is_unsound() && unsound.len() < 10 {
                unsound.push(seed);
            }
            let rules = it.rules();
            let key = match rules.as_slice() {
                [] => format!("{:?} compatible", it.surface),
                [only] => format!("{:?} {only}", it.surface),
                _ => format!("{:?} several rules", it.surface),
            };
            if !rules.is_empty() && it.refuted.is_none() {
                examples.entry(key.clone()).or_insert(seed);
            }
            let count = counts.entry(key).or_default();
            count.0 += 1;
            count.1 += usize::from(it.refuted.is_none());
        }
    }
    println!("{judged} pairs");
    for (what, (all, unrefuted)) in &counts {
        let example = examples.get(what).map(|it| format!(", seed {it}")).unwrap_or_default();
        println!("{what}: {all}, {unrefuted} without a payload that shows it{example}");
    }
    let unsound: Vec<String> = unsound
        .into_iter()
        .map(|seed| {
            let small = shrunk(pair(seed), seed, Judgement::is_unsound);
            printed(&small, seed, Judgement::is_unsound)
        })
        .collect();
    assert!(unsound.is_empty(), "{}", unsound.join("\n"));
    assert!(judged > 0, "no pair parses");
}
