//! Rules for all crates of the workspace: the layers in each crate, the dependencies of each crate,
//! and words that readers outside this project do not understand.

use std::collections::BTreeSet;

use super::{File, Finding, assert_none, check, committed, first_segments, leading_name, word};

/// The modules of each crate, from the lowest layer to the highest. A module uses
/// only earlier modules.
const LAYERS: &[(&str, &[&str])] = &[
    ("crates/disk/src", &["log_file", "lock", "lib"]),
    ("crates/wire/src", &["text", "footprint", "codec", "pages", "lib"]),
    (
        "crates/schema/src",
        &[
            "definition",
            "counterexample",
            "finding",
            "version",
            "level",
            "report",
            "json",
            "avro",
            "protobuf",
            "schema",
            "converter",
            "lib",
        ],
    ),
    (
        "registry/src",
        &[
            "processor",
            "proto",
            "name",
            "accepted",
            "schema",
            "subject",
            "negotiation",
            "consumer",
            "impact",
            "error",
            "convert",
            "catalog",
            "store",
            "registry",
            "service",
            "client",
            "mirror",
            "remote",
            "schemas",
            "reflection",
            "lib",
            "main",
        ],
    ),
];

/// For each crate: the crates of the workspace that it may use, and external crates that it must
/// not use.
const DEPENDENCIES: &[(&str, &[&str], &[&str], &str)] = &[
    (
        "crates/schema/Cargo.toml",
        &[],
        &["clap", "rocksdb", "tokio", "tonic"],
        "schemas are pure: a change to a format rebuilds this crate, and links no RocksDB",
    ),
    (
        "crates/wire/Cargo.toml",
        &[],
        &["clap", "rocksdb"],
        "code that two services share depends on neither of them, nor on the disk",
    ),
    (
        "crates/disk/Cargo.toml",
        &[],
        &["clap", "rocksdb", "tokio", "tonic"],
        "it checks files before RocksDB opens them, and does not depend on the wire",
    ),
    (
        "registry/Cargo.toml",
        &["tidings-disk", "tidings-schema", "tidings-wire"],
        &[],
        "the registry also runs by itself, without the log",
    ),
];

/// Project dialect in names. Only complete words count: `short_way` does not match `short_ways`.
const NAMES: &[(&str, &str)] = &[
    ("short_way", "projection"),
    ("ShortWay", "Projection"),
    ("grave", "tombstone"),
    ("Mouth", "HttpState"),
    ("Fate", "FieldAction"),
    ("Schemata", "RegistryWiring"),
    ("LeftBehind", "AffectedConsumer"),
    ("Wanted", "EventFilter"),
    ("Asked", "ResponseContext, or the noun"),
];

/// Project dialect in comments and documents.
const WORDS: &[(&str, &str)] = &[
    ("whom", "the noun: consumers, clients, callers"),
    ("whoever", "the noun: a consumer, a client, a caller"),
    ("somebody", "the noun: another process, a client"),
    ("nobody", "no client, no consumer"),
    ("without a word", "silently"),
];

/// The crate folder of a source file, the layers of the crate, and the top-level module of
/// the file.
fn crate_layers(file: &File) -> Option<(&'static str, &'static [&'static str], &str)> {
    LAYERS.iter().find_map(|(root, layers)| {
        let path = file.path.strip_prefix(root)?.strip_prefix('/')?;
        Some((*root, *layers, path.split('/').next()?.trim_end_matches(".rs")))
    })
}

/// The modules of its own crate that a file uses, with their lines.
fn modules_of_own_crate(file: &File) -> Vec<(usize, String)> {
    let lines: Vec<(usize, String)> = file.shipped().collect();
    let mut modules = Vec::new();
    for (index, (number, line)) in lines.iter().enumerate() {
        for (at, root) in line.match_indices("crate::") {
            if line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':')) {
                continue;
            }
            let rest = &line[at + root.len()..];
            if rest.starts_with('{') {
                modules.extend(first_segments(&lines[index..], at + root.len()));
            } else {
                modules.push((*number, leading_name(rest).to_owned()));
            }
        }
    }
    modules.retain(|(_, name)| name.starts_with(|c: char| c.is_lowercase()));
    modules
}

fn layers(file: &File) -> Vec<Finding> {
    let Some((root, layers, module)) = crate_layers(file).filter(|_| file.is_rust()) else {
        return Vec::new();
    };
    let Some(own) = layers.iter().position(|layer| *layer == module) else {
        let message = format!("the module `{module}` of {root} has no layer");
        return vec![file.finding(
            1,
            message,
            "add it to LAYERS in tests/it/house/tidy/workspace.rs",
        )];
    };
    modules_of_own_crate(file)
        .into_iter()
        .filter(|(_, used)| layers.iter().position(|layer| layer == used).is_none_or(|used| used > own))
        .map(|(line, used)| {
            let message = format!("`{module}` uses `{used}`, which is not in a lower layer");
            let why = "data flows one way, so that each layer can be read, tested and replaced without the layers above it";
            file.finding(line, message, why)
        })
        .collect()
}

/// Names of `[dependencies]`, with their lines.
fn dependencies(manifest: &File) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    let mut is_open = false;
    for (index, line) in manifest.text.lines().enumerate() {
        if line.starts_with('[') {
            is_open = line.trim() == "[dependencies]";
        } else if let Some((name, _)) = line.split_once(['.', ' ', '=']).filter(|_| is_open) {
            names.push((index + 1, name.trim().to_owned()));
        }
    }
    names
}

fn crates(manifest: &File) -> Vec<Finding> {
    let rule = DEPENDENCIES.iter().find(|(path, ..)| *path == manifest.path);
    let Some((_, internal, forbidden, why)) = rule else { return Vec::new() };
    let is_wrong = |name: &str| {
        forbidden.contains(&name) || (name.starts_with("tidings") && !internal.contains(&name))
    };
    let wrong = dependencies(manifest).into_iter().filter(|(_, name)| is_wrong(name));
    wrong.map(|(line, name)| manifest.finding(line, format!("depends on `{name}`"), why)).collect()
}

/// Sources and documents, except golden data, files of others, and this file, which lists the words.
fn has_words(file: &File) -> bool {
    let roots = ["src/", "registry/", "crates/", "benches/", "tests/it/", "docs/", "proto/"];
    let documents = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "Makefile"];
    (roots.iter().any(|root| file.path.starts_with(root))
        || documents.contains(&file.path.as_str()))
        && !["/cases/", "google/", "tidy/workspace.rs"].iter().any(|part| file.path.contains(part))
        && [".rs", ".md", ".proto", "Makefile"].iter().any(|end| file.path.ends_with(end))
}

fn names(file: &File) -> Vec<Finding> {
    if !has_words(file) || !file.is_rust() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, code) in file.code() {
        for (name, better) in NAMES.iter().filter(|(name, _)| word(&code, name)) {
            let message = format!("the name `{name}`");
            findings.push(file.finding(
                line,
                format!("{message}; use {better}"),
                "new contributors read names first",
            ));
        }
    }
    findings
}

fn words(file: &File) -> Vec<Finding> {
    if !has_words(file) {
        return Vec::new();
    }
    let is_rust = file.is_rust();
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let text = if is_rust { line.find("//").map_or("", |at| &line[at..]) } else { line };
        let text = text.to_lowercase();
        for (dialect, better) in WORDS.iter().filter(|(dialect, _)| word(&text, dialect)) {
            let message = format!("\"{dialect}\"; write {better}");
            findings.push(file.finding(
                index + 1,
                message,
                "plain technical English is understood at the first reading",
            ));
        }
    }
    findings
}

/// Comments wrap at 100 columns, except lines with a URL, which cannot be broken.
fn comments_wrap(file: &File) -> Vec<Finding> {
    const COLUMNS_MAX: usize = 100;
    if !file.is_rust() || !has_words(file) {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate();
    lines
        .filter(|(_, line)| {
            line.trim_start().starts_with("//")
                && line.chars().count() > COLUMNS_MAX
                && !line.contains("://")
        })
        .map(|(index, line)| {
            let message = format!("a comment of {} columns", line.chars().count());
            file.finding(index + 1, message, "comments wrap at 100 columns")
        })
        .collect()
}

#[test]
fn crates_keep_their_layers() {
    check(layers);
}

#[test]
fn crates_use_only_allowed_dependencies() {
    let files = committed();
    let known: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for (path, ..) in DEPENDENCIES {
        assert!(known.contains(path), "{path} has a rule and does not exist");
    }
    assert_none(&files.iter().flat_map(crates).collect::<Vec<_>>());
}

#[test]
fn names_and_words_are_those_of_the_field() {
    check(names);
    check(words);
}

#[test]
fn comments_wrap_at_100_columns() {
    check(comments_wrap);
}

#[test]
fn the_rules_for_the_workspace_find_violations() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    let lines =
        |findings: Vec<Finding>| findings.iter().map(|finding| finding.line).collect::<Vec<_>>();
    let upward = "use crate::{\n    name::SubjectName,\n    service::status,\n};";
    assert_eq!(lines(layers(&file("registry/src/store.rs", upward))), [3]);
    assert_eq!(lines(layers(&file("crates/schema/src/attic.rs", ""))), [1]);
    let manifest = "[dependencies]\nbytes.workspace = true\ntokio.workspace = true\n\n[dev-dependencies]\ntokio = \"1\"";
    assert_eq!(lines(crates(&file("crates/schema/Cargo.toml", manifest))), [3]);
    let ours = "[dependencies]\ntidings-registry.workspace = true";
    assert_eq!(lines(crates(&file("crates/wire/Cargo.toml", ours))), [2]);
    assert_eq!(lines(names(&file("src/a.rs", "fn short_way() {}\nfn short_ways() {}"))), [1]);
    let comment = "// Whom it concerns.\nlet whom = 1;\n/// nobody";
    assert_eq!(lines(words(&file("registry/src/a.rs", comment))), [1, 3]);
    let wide = format!("// {0}\n/// https://{0}\n", "x".repeat(100));
    assert_eq!(lines(comments_wrap(&file("src/a.rs", &wide))), [1]);
}
