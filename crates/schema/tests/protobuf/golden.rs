//! Golden cases for every rule: two versions of a schema, and the comparison on both surfaces.
//!
//! `TIDINGS_BLESS=1` writes the result into `expected.json`. Review it before committing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Map, Value, json};
use tidings_schema::{
    definition::Definition,
    finding::{Change, Comparison, Direction, Options, Severity, Surface, Verdict},
    protobuf::Schema,
};

use super::decoding::difference;

/// The required bump, if both directions are required.
pub fn bump(comparison: &Comparison) -> &'static str {
    let worst = comparison.verdict(Direction::Both);
    match (comparison.change, worst) {
        (Change::None, _) => "NONE",
        (_, Verdict::Incompatible | Verdict::Unproven) => "MAJOR",
        (Change::Unnoticeable, Verdict::Compatible) => "PATCH",
        (Change::Noticeable, Verdict::Compatible) => "MINOR",
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Compatible => "COMPATIBLE",
        Verdict::Unproven => "UNPROVEN",
        Verdict::Incompatible => "INCOMPATIBLE",
    }
}

fn summary(comparison: &Comparison) -> Value {
    let mut rules: Vec<String> = comparison
        .findings
        .iter()
        .map(|finding| {
            let severity = match finding.severity {
                Severity::Error => "ERROR",
                Severity::Warning => "WARNING",
                Severity::Info => "INFO",
            };
            let direction = match finding.direction {
                Direction::Backward => "BACKWARD",
                Direction::Forward => "FORWARD",
                Direction::Both => "BOTH",
            };
            format!("{severity} {direction} {}", finding.rule)
        })
        .collect();
    rules.sort();
    rules.dedup();
    let shown = comparison
        .findings
        .iter()
        .filter_map(|finding| Some((finding, finding.counterexample.as_ref()?)));
    let mut shown: Vec<String> =
        shown.map(|(finding, shown)| format!("{} {}", finding.rule, shown.payload)).collect();
    shown.sort();
    shown.dedup();
    json!({
        "backward": verdict(comparison.verdict(Direction::Backward)),
        "forward": verdict(comparison.verdict(Direction::Forward)),
        "bump": bump(comparison),
        "rules": rules,
        "counterexamples": shown,
    })
}

struct Case {
    folder: PathBuf,
    old: Schema,
    new: Schema,
    expected: Map<String, Value>,
}

fn schema(path: &Path, expected: &Map<String, Value>, name: &str) -> Schema {
    let text = fs::read_to_string(path).expect("a case has both texts");
    let mut definition = Definition::text(text);
    let setting =
        |key: &str| expected.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    definition.message_name = setting(name);
    let parsed = if setting("mode") == "file" {
        Schema::parse_file(&definition, &[])
    } else {
        Schema::parse(&setting("subject"), &definition, &[])
    };
    parsed.unwrap_or_else(|invalid| panic!("{}: {invalid}", path.display()))
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/protobuf");
    let mut cases = Vec::new();
    for topic in fs::read_dir(&root).expect("the cases exist").flatten() {
        for case in fs::read_dir(topic.path()).into_iter().flatten().flatten() {
            let folder = case.path();
            let expected = fs::read_to_string(folder.join("expected.json")).unwrap_or_default();
            let expected: Map<String, Value> = serde_json::from_str(&expected).unwrap_or_default();
            let old = schema(&folder.join("previous.proto"), &expected, "previous_message");
            let new = schema(&folder.join("current.proto"), &expected, "current_message");
            cases.push(Case { folder, old, new, expected });
        }
    }
    cases.sort_by(|a, b| a.folder.cmp(&b.folder));
    cases
}

const SURFACES: [(&str, Surface); 2] = [("wire_json", Surface::WireJson), ("wire", Surface::Wire)];

#[test]
fn every_case_has_its_verdicts() {
    let bless = std::env::var_os("TIDINGS_BLESS").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 100, "{} cases", cases.len());
    for mut case in cases {
        for (name, surface) in SURFACES {
            let options = Options { surface, ..Options::default() };
            let comparison = case.old.compare(&case.new, options);
            for finding in &comparison.findings {
                assert!(
                    !finding.message.is_empty() && finding.rule.starts_with("PROTOBUF_"),
                    "{finding:?}"
                );
                assert!(finding.old_value.chars().count() <= 200, "{finding:?}");
                let advised = finding.severity != Severity::Error || !finding.suggestion.is_empty();
                assert!(advised, "no advice: {finding:?}");
            }
            let actual = summary(&comparison);
            if case.expected.get(name) != Some(&actual) {
                wrong.push(format!("{} {name}: {actual}", case.folder.display()));
                case.expected.insert(name.to_owned(), actual);
            }
        }
        if bless {
            let text = serde_json::to_string_pretty(&case.expected).expect("JSON is written");
            fs::write(case.folder.join("expected.json"), text + "\n").expect("the case is written");
        }
    }
    assert!(bless || wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Swapping the versions swaps the directions. Unknown names in JSON are an exception: an added
/// enum value is a warning and a removed one an error, because old data exists already and new data
/// does not.
#[test]
fn swapping_the_versions_swaps_the_directions() {
    let one_sided = [
        "PROTOBUF_ENUM_VALUE_ADDED",
        "PROTOBUF_ENUM_VALUE_REMOVED",
        "PROTOBUF_RESERVED_USED",
        "PROTOBUF_MESSAGE_REMOVED",
        "PROTOBUF_EXTENSION_NUMBER_USED",
    ];
    for case in cases() {
        for (name, surface) in SURFACES {
            let options = Options { surface, ..Options::default() };
            let (forth, back) =
                (case.old.compare(&case.new, options), case.new.compare(&case.old, options));
            let exempt = forth.findings.iter().chain(&back.findings).any(|finding| {
                finding.severity == Severity::Error && one_sided.contains(&finding.rule)
            });
            assert_eq!(forth.change, back.change);
            // Adding an alias is not a finding, because only parsers use it; removing one is.
            let alias = case.folder.to_string_lossy().contains("alias_");
            if !exempt && !alias {
                for direction in [Direction::Backward, Direction::Forward] {
                    assert_eq!(
                        forth.verdict(direction),
                        back.verdict(direction.swapped()),
                        "{} {name} {direction:?}: {:?}",
                        case.folder.display(),
                        back.findings
                    );
                }
            }
        }
    }
}

#[test]
fn a_schema_is_compatible_with_itself() {
    for case in cases() {
        for schema in [&case.old, &case.new] {
            let comparison = schema.compare(schema, Options::default());
            assert_eq!(comparison.change, Change::None);
            assert_eq!(comparison.findings, [], "{}", case.folder.display());
        }
    }
}

/// Whether independent decoders show a break for a payload of the writer and this reader.
fn shows(writer: &MessageDescriptor, reader: &MessageDescriptor, payload: &str) -> bool {
    if payload.starts_with('{') {
        let read = |message: &MessageDescriptor| {
            let mut source = serde_json::Deserializer::from_str(payload);
            DynamicMessage::deserialize(message.clone(), &mut source).ok()
        };
        // A member may also be read as another field.
        let numbers = |message: &DynamicMessage| -> BTreeSet<u32> {
            message.fields().map(|(field, _)| field.number()).collect()
        };
        let differ = |a: &DynamicMessage, b: &DynamicMessage| {
            difference(a, b).is_some() || numbers(a) != numbers(b)
        };
        let read_by = |written| read(reader).is_none_or(|read| differ(&written, &read));
        return read(writer).is_some_and(read_by);
    }
    let bytes = |at| u8::from_str_radix(payload.get(at..at + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..payload.len()).step_by(2).map_while(bytes).collect();
    assert_eq!(bytes.len() * 2, payload.len(), "{payload}");
    let read = |message: &MessageDescriptor| {
        DynamicMessage::decode(message.clone(), bytes.as_slice()).ok()
    };
    let Some(written) = read(writer) else { return false };
    let differs = |read: Option<DynamicMessage>| {
        read.is_none_or(|read| difference(&written, &read).is_some())
    };
    // An enum value that the reader does not have shows in JSON, which contains its name.
    let json = serde_json::to_value(&written).expect("it has a JSON form");
    differs(read(reader)) || differs(DynamicMessage::deserialize(reader.clone(), json).ok())
}

#[test]
fn counterexamples_show_a_break_in_independent_decoders() {
    let mut without = BTreeSet::new();
    let mut by_conversion = BTreeSet::new();
    let mut shown = 0;
    for case in cases() {
        let (Ok(old), Ok(new)) = (case.old.descriptor(), case.new.descriptor()) else { continue };
        for (_, surface) in SURFACES {
            let options = Options { surface, ..Options::default() };
            let comparison = case.old.compare(&case.new, options);
            let errors =
                comparison.findings.iter().filter(|finding| finding.severity == Severity::Error);
            for finding in errors.filter(|finding| finding.proven) {
                let Some(counterexample) = &finding.counterexample else {
                    let name = case.folder.file_name().expect("a case has a name");
                    without.insert(name.to_string_lossy().into_owned());
                    continue;
                };
                shown += 1;
                // This decoder accepts only UTF-8 and does not support editions.
                let edition = |folder: &str| {
                    let text = fs::read_to_string(case.folder.join(folder)).expect("a text");
                    text.starts_with("edition")
                };
                if finding.rule == "PROTOBUF_FIELD_UTF8_VALIDATION_CHANGED"
                    || edition("previous.proto")
                    || edition("current.proto")
                {
                    continue;
                }
                let directions =
                    [(Direction::Backward, &old, &new), (Direction::Forward, &new, &old)];
                let shows = directions.into_iter().any(|(direction, writer, reader)| {
                    finding.direction.includes(direction)
                        && shows(writer, reader, &counterexample.payload)
                });
                if !shows {
                    let name = case.folder.file_name().expect("a case has a name");
                    by_conversion.insert(name.to_string_lossy().into_owned());
                }
            }
        }
    }
    assert!(shown > 100, "{shown} payloads");
    // Only the conversion between the two versions rejects these payloads. Other decoders read them
    // equally, so they are weak counterexamples.
    let weak = ["enum_to_uint32", "int32_to_enum"];
    assert_eq!(by_conversion, weak.map(str::to_owned).into());
    // Payloads do not contain type names and value names, and the tried payloads have no alias in
    // JSON, no Any, and no undeclared extension.
    let known = [
        "alias_removed",
        "any_to_message",
        "message_set",
        "message_set_without_extensions",
        "names_swapped",
        "package_changed_from_subject",
        "root_renamed_from_subject",
        "root_replaced",
        "swapped_other_names",
        "type_replaced",
        "type_replaced_other_names",
        "values_swapped",
    ];
    assert_eq!(without, known.map(str::to_owned).into());
}
