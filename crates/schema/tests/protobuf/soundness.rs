//! Random pairs of schemas with all features: no payload, read by an independent decoder,
//! contradicts a compatible verdict. Incompatible verdicts without a payload that shows them are
//! counted by rule.
//!
//! `TIDINGS_PAIRS` sets the number of pairs, `TIDINGS_SEED` the first seed. A pair that fails is
//! reduced and printed as the texts of a case for a folder below `tests/cases/protobuf`.

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
    decoding::{MessageComparer, PayloadGenerator},
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
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

pub fn seeds(share: u64) -> impl Iterator<Item = u64> {
    let from = number("TIDINGS_SEED", 1);
    (0..number("TIDINGS_PAIRS", PAIRS) / share).map(move |index| from.wrapping_add(index))
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
    Schema::parse("", &definition, &[]).ok().filter(|schema| schema.check().is_empty())
}

/// One version of a pair, for the registry and for decoders.
struct Version<'f> {
    file: &'f File,
    schema: Schema,
    message: MessageDescriptor,
    /// The message with bytes in place of strings that are not checked to be UTF-8.
    raw: MessageDescriptor,
}

impl<'f> Version<'f> {
    fn of(file: &'f File) -> Option<Self> {
        let (message, raw) = (file.twin(false)?, file.twin(true)?);
        Some(Self { file, schema: parse(file)?, message, raw })
    }
}

/// The first payload that the reader rejects or reads differently.
fn refutation(writer: &Version<'_>, reader: &Version<'_>, seed: u64, json: bool) -> Option<String> {
    let mut chance = Chance::new(seed ^ 0x5eed);
    let judge = MessageComparer {
        written: &|kind| writer.file.is_closed(kind),
        read: &|kind| reader.file.is_closed(kind),
    };
    let mut generator =
        PayloadGenerator { chance: &mut chance, is_closed: &|kind| writer.file.is_closed(kind) };
    (0..PAYLOADS).find_map(|_| {
        let raw = generator.payload(&writer.raw, 2);
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
        let written = generator.payload(&writer.message, 2);
        // Some payloads have no JSON form, such as an empty Value.
        let text = serde_json::to_string(&written).ok()?;
        // Unknown names are ignored, because added and removed fields are compatible.
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

/// The verdict and the refutation of one surface and direction of a pair.
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
        let errors = self.comparison.findings.iter().filter(|finding| {
            finding.severity == Severity::Error && finding.direction.includes(self.direction)
        });
        let mut rules: Vec<_> = errors.map(|finding| finding.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

fn judge(pair: &(File, File), seed: u64) -> Option<Vec<Judgement>> {
    let (old, new) = (Version::of(&pair.0)?, Version::of(&pair.1)?);
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

/// A direction of a pair, as a job for another decoder.
pub struct Job {
    pub job: serde_json::Value,
    pub compatible: bool,
}

/// The jobs of a pair for Google's decoder.
pub fn jobs(seed: u64) -> Vec<Job> {
    let (old, new) = pair(seed);
    let (Some(old), Some(new)) = (Version::of(&old), Version::of(&new)) else { return Vec::new() };
    let mut jobs = Vec::new();
    for surface in [Surface::Wire, Surface::WireJson] {
        let options = Options { surface, ..Options::default() };
        let comparison = old.schema.compare(&new.schema, options);
        for (direction, writer, reader) in
            [(Direction::Backward, &old, &new), (Direction::Forward, &new, &old)]
        {
            let mut chance = Chance::new(seed);
            let mut generator = PayloadGenerator {
                chance: &mut chance,
                is_closed: &|kind| writer.file.is_closed(kind),
            };
            let payloads: Vec<String> = (0..8)
                .map(|_| hex(&generator.payload(&writer.message, 2).encode_to_vec()))
                .collect();
            let texts = |version: &Version<'_>| {
                let (main, other) = version.file.texts();
                json!({ "texts": { "main.proto": main, IMPORTED: other }, "name": version.message.full_name() })
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

/// Reduces a failing pair while it still fails.
fn shrunk(mut pair: (File, File), seed: u64, fails: impl Fn(&Judgement) -> bool) -> (File, File) {
    let fails = |pair: &(File, File)| {
        judge(pair, seed).is_some_and(|judgements| judgements.iter().any(&fails))
    };
    // Every step removes a part; no pair has 200 of them.
    for _ in 0..200 {
        match smaller(&pair).into_iter().find(&fails) {
            Some(smaller) => pair = smaller,
            None => break,
        }
    }
    pair
}

fn report(pair: &(File, File), seed: u64, fails: impl Fn(&Judgement) -> bool) -> String {
    let mut out = format!("seed {seed}\n");
    for (name, file) in [("previous.proto", &pair.0), ("current.proto", &pair.1)] {
        let (main, other) = file.texts();
        let other = if main.contains(IMPORTED) { other } else { String::new() };
        let _ = write!(out, "--- {name}\n{main}{other}");
    }
    for judgement in judge(pair, seed).into_iter().flatten().filter(|judgement| fails(judgement)) {
        let _ = writeln!(
            out,
            "--- {:?} {:?} {:?}: {:?}\n{:#?}",
            judgement.surface,
            judgement.direction,
            judgement.comparison.verdict(judgement.direction),
            judgement.refuted,
            judgement.comparison.findings
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
        for judgement in &judgements {
            if judgement.is_unsound() && unsound.len() < 10 {
                unsound.push(seed);
            }
            let rules = judgement.rules();
            let key = match rules.as_slice() {
                [] => format!("{:?} compatible", judgement.surface),
                [only] => format!("{:?} {only}", judgement.surface),
                _ => format!("{:?} several rules", judgement.surface),
            };
            if !rules.is_empty() && judgement.refuted.is_none() {
                examples.entry(key.clone()).or_insert(seed);
            }
            let count = counts.entry(key).or_default();
            count.0 += 1;
            count.1 += usize::from(judgement.refuted.is_none());
        }
    }
    println!("{judged} pairs");
    for (rules, (all, unrefuted)) in &counts {
        let example = examples.get(rules).map(|seed| format!(", seed {seed}")).unwrap_or_default();
        println!("{rules}: {all}, {unrefuted} without a payload that shows it{example}");
    }
    let unsound: Vec<String> = unsound
        .into_iter()
        .map(|seed| {
            let small = shrunk(pair(seed), seed, Judgement::is_unsound);
            report(&small, seed, Judgement::is_unsound)
        })
        .collect();
    assert!(unsound.is_empty(), "{}", unsound.join("\n"));
    assert!(judged > 0, "no pair parses");
}
