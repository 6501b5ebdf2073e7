//! Compares verdicts with `buf breaking`. Each difference must have one of the reasons below.
//!
//! All pairs are passed to buf at once, each in its own package.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tidings_schema::{
    definition::Definition,
    finding::{Direction, Options, Severity, Surface, Verdict},
    protobuf::Schema,
};

use super::{model::File, pairs, toolchain::toolchain};

/// Rules that reject pairs that buf accepts, with the reason.
const OURS_ALONE: [(&str, &str); 11] = [
    (
        "PROTOBUF_FIELD_TYPE_CHANGED",
        "types of one group narrow, change their sign or widen: one of the directions loses values",
    ),
    (
        "PROTOBUF_FIELD_UTF8_VALIDATION_CHANGED",
        "text is rejected; buf reports it only in another category",
    ),
    (
        "PROTOBUF_FIELD_NUMBER_CHANGED",
        "a name that moves to another number: without names buf sees two renames",
    ),
    ("PROTOBUF_FIELD_JSON_NAME_CHANGED", "an extension that becomes a field has another JSON name"),
    (
        "PROTOBUF_ENUM_OPENNESS_CHANGED",
        "unknown numbers are values or unknown fields; buf reports it only in another category",
    ),
    ("PROTOBUF_ENUM_VALUE_ADDED", "readers of a closed enum keep a new value as an unknown field"),
    ("PROTOBUF_ENUM_VALUE_REMOVED", "old data has the value, reserved or not"),
    (
        "PROTOBUF_ENUM_ALIAS_CHANGED",
        "JSON is written with the first name, which old readers do not know",
    ),
    (
        "PROTOBUF_ENUM_VALUE_NUMBER_CHANGED",
        "a name that moves to another number is another value; without names buf sees two numbers",
    ),
    ("PROTOBUF_EXTENSION_NUMBER_USED", "data of extensions without a declaration"),
    (
        "PROTOBUF_MESSAGE_REMOVED",
        "a message was removed from the file; buf reports it only in another category",
    ),
];

/// Rules of buf that reject pairs that we accept, with the reason.
const BUFS_ALONE: [(&str, &str); 13] = [
    (
        "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED",
        "a removed field is a warning, and the ledger retires its number",
    ),
    (
        "FIELD_NO_DELETE_UNLESS_NAME_RESERVED",
        "a removed field is a warning, and the ledger retires its name",
    ),
    ("FIELD_SAME_NAME", "a renamed field keeps its JSON name"),
    (
        "FIELD_SAME_ONEOF",
        "one field moves into a new oneof, or a oneof is renamed, and no value is lost",
    ),
    (
        "FIELD_WIRE_COMPATIBLE_TYPE",
        "a type is renamed and has the same structure, or an enum and an integer share their bytes",
    ),
    ("FIELD_WIRE_JSON_COMPATIBLE_TYPE", "a type is renamed and has the same structure"),
    ("ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED", "readers of an open enum keep the number"),
    ("RESERVED_MESSAGE_NO_DELETE", "reservations do not affect data: a warning"),
    ("RESERVED_ENUM_NO_DELETE", "reservations do not affect data: a warning"),
    ("MESSAGE_SAME_REQUIRED_FIELDS", "required and LEGACY_REQUIRED have the same requirements"),
    ("FIELD_SAME_DEFAULT", "a field that is required is never absent"),
    ("MESSAGE_SAME_JSON_FORMAT", "no two fields share a JSON name"),
    ("ENUM_SAME_JSON_FORMAT", "JSON contains the names of values, which are unique"),
];

/// A pair of schemas with their texts.
struct Pair {
    name: String,
    texts: [String; 2],
    schemas: [Schema; 2],
}

/// The path of buf. `None` if it is not available; in CI it must be.
fn buf() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !toolchain("buf", ["node", "npm"]) {
        return None;
    }
    let output =
        Command::new(root.join("scripts/tool.sh")).arg("buf").output().expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn file(text: &str) -> Schema {
    Schema::parse_file(&Definition::text(text), &[]).expect("the case parses")
}

fn handwritten() -> Vec<Pair> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/protobuf");
    let mut pairs = Vec::new();
    for case in fs::read_dir(root)
        .expect("the cases exist")
        .flatten()
        .flat_map(|entry| fs::read_dir(entry.path()))
        .flatten()
        .flatten()
    {
        let text =
            |name: &str| fs::read_to_string(case.path().join(name)).expect("a case has both texts");
        let texts = [text("previous.proto"), text("current.proto")];
        // buf does not support message sets.
        if texts.iter().any(|text| text.contains("message_set_wire_format")) {
            continue;
        }
        let name = case
            .path()
            .components()
            .rev()
            .take(2)
            .map(|component| component.as_os_str().to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" of ");
        let schemas = [file(&texts[0]), file(&texts[1])];
        pairs.push(Pair { name, texts, schemas });
    }
    pairs.sort_by(|a, b| a.name.cmp(&b.name));
    pairs
}

fn generated() -> Vec<Pair> {
    let mut pairs = Vec::new();
    for seed in 1..=600_u64 {
        let Some((old, new)) = pairs::pair(seed) else { continue };
        let texts = [old.text(), new.text()];
        let parsed = |file: &File| Schema::parse_file(&Definition::text(file.text()), &[]).ok();
        let (Some(a), Some(b)) = (parsed(&old), parsed(&new)) else { continue };
        pairs.push(Pair { name: format!("seed {seed}"), texts, schemas: [a, b] });
    }
    pairs
}

/// Writes one side of all pairs as one module, with a package for each pair.
fn module(folder: &Path, pairs: &[Pair], side: usize) {
    for (at, pair) in pairs.iter().enumerate() {
        let path = folder.join(format!("c{at}"));
        fs::create_dir_all(&path).expect("the folder is made");
        let text = &pair.texts[side];
        let package = |name: &str| format!("package {name};");
        let text = text
            .replace(&package("shop"), &format!("package c{at};"))
            .replace(&package("t"), &format!("package c{at};"))
            .replace(&package("store"), &format!("package c{at}_store;"));
        fs::write(path.join("m.proto"), text).expect("the text is written");
    }
    let types = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protobuf/google/type");
    fs::create_dir_all(folder.join("google/type")).expect("the folder is made");
    for file in fs::read_dir(types).expect("the types exist").flatten() {
        fs::copy(file.path(), folder.join("google/type").join(file.file_name()))
            .expect("it is copied");
    }
}

/// The rules that buf reports, by pair.
fn breaking(buf: &Path, folder: &Path, category: &str) -> BTreeMap<usize, BTreeSet<String>> {
    let config = format!("{{\"version\":\"v2\",\"breaking\":{{\"use\":[\"{category}\"]}}}}");
    let out = Command::new(buf)
        .current_dir(folder.join("new"))
        .args(["breaking", "--against", "../old", "--error-format", "json", "--config", &config])
        .args(["--against-config", &config])
        .output()
        .expect("buf runs");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(matches!(out.status.code(), Some(0 | 100)), "{errors}");
    let mut reported: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("buf writes JSON");
        let path = line["path"].as_str().unwrap_or_default();
        let at = path.split('/').find_map(|folder| folder.strip_prefix('c')?.parse().ok());
        let Some(at) = at else { panic!("{line}") };
        reported.entry(at).or_default().insert(line["type"].as_str().expect("a rule").to_owned());
    }
    reported
}

#[test]
fn every_difference_to_buf_has_a_reason() {
    let Some(buf) = buf() else { return };
    let mut pairs = handwritten();
    pairs.extend(generated());
    let folder = tempfile::tempdir().expect("a folder");
    module(&folder.path().join("old"), &pairs, 0);
    module(&folder.path().join("new"), &pairs, 1);
    let mut unexplained = Vec::new();
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut equal, mut different) = (0, 0);
    for (category, surface) in [("WIRE", Surface::Wire), ("WIRE_JSON", Surface::WireJson)] {
        let their_rules = breaking(&buf, folder.path(), category);
        for (at, pair) in pairs.iter().enumerate() {
            let [old, new] = &pair.schemas;
            let comparison = old.compare(new, Options { surface, ..Options::default() });
            let our_rules: BTreeSet<&str> = comparison
                .findings
                .iter()
                .filter(|finding| finding.severity == Severity::Error)
                .map(|finding| finding.rule)
                .collect();
            let broken = comparison.verdict(Direction::Both) != Verdict::Compatible;
            assert_eq!(broken, !our_rules.is_empty());
            let none = BTreeSet::new();
            let their_rules = their_rules.get(&at).unwrap_or(&none);
            if broken != their_rules.is_empty() {
                equal += 1;
                continue;
            }
            different += 1;
            let (rules, table): (Vec<&str>, &[(&'static str, &str)]) = if broken {
                (our_rules.into_iter().collect(), &OURS_ALONE)
            } else {
                (their_rules.iter().map(String::as_str).collect(), &BUFS_ALONE)
            };
            for rule in rules {
                match table.iter().find(|(known, _)| *known == rule) {
                    Some((known, _)) => *used.entry(known).or_default() += 1,
                    None => unexplained.push(format!("{category} {}: {rule}", pair.name)),
                }
            }
        }
    }
    println!(
        "{} pairs on two surfaces: {equal} equal verdicts, {different} explained",
        pairs.len()
    );
    for (rule, count) in &used {
        println!("{rule}: {count}");
    }
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    for (rule, reason) in OURS_ALONE.iter().chain(&BUFS_ALONE) {
        assert!(used.contains_key(rule), "no pair has this difference any more: {rule}: {reason}");
    }
}
