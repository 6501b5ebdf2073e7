//! The webhooks of GitHub in two versions, if their schemas are beside the repository.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tidings_schema::{
    finding::{Comparison, ContentModel, Direction, Severity, Verdict},
    json::Schema,
};

use crate::golden::{bump, check_counterexamples, options, schema};

fn folder(version: &str) -> Option<PathBuf> {
    // A worktree is nested deeper than a clone.
    let ancestors = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(3);
    let mut folders = ancestors
        .map(|ancestor| ancestor.join("shared/data/github-webhooks/schemas").join(version));
    folders.find(|folder| folder.exists())
}

fn read(folder: &Path) -> Vec<(String, Schema)> {
    let mut schemas = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        schemas.push((name, schema(&fs::read_to_string(&path).expect("a file"))));
    }
    schemas.sort_by(|left, right| left.0.cmp(&right.0));
    schemas
}

/// Verdicts of all directions of all pairs.
#[derive(Debug, Default)]
struct Counts {
    compatible: usize,
    incompatible: usize,
    unproven: usize,
    /// Findings without a payload, and findings with one.
    findings: [usize; 2],
    /// Size of the smallest payload of each incompatible direction, in bytes.
    bytes: Vec<usize>,
}

impl Counts {
    /// Adds a direction. An incompatible one must have a counterexample.
    fn add(&mut self, name: &str, comparison: &Comparison, direction: Direction) {
        let errors: Vec<_> = comparison
            .findings
            .iter()
            .filter(|finding| {
                finding.severity == Severity::Error && finding.direction.includes(direction)
            })
            .collect();
        match comparison.verdict(direction) {
            Verdict::Compatible => {
                assert!(errors.is_empty(), "{name} {direction:?}: {errors:?}");
                self.compatible += 1;
            }
            Verdict::Unproven => {
                assert!(!errors.is_empty(), "{name} {direction:?}");
                self.unproven += 1;
            }
            Verdict::Incompatible => {
                self.incompatible += 1;
                let shown = errors.iter().filter_map(|error| error.counterexample.as_ref());
                // The caller has checked the counterexamples with both schemas.
                let carried = shown.filter(|counterexample| !counterexample.payload.is_empty());
                let smallest = carried.map(|counterexample| counterexample.bytes).min();
                assert!(smallest.is_some(), "{name} {direction:?}: {errors:?}");
                self.bytes.extend(smallest);
            }
        }
        for error in errors.iter().filter(|error| error.proven) {
            self.findings[usize::from(error.counterexample.is_some())] += 1;
        }
    }
}

#[test]
fn each_incompatible_direction_of_the_webhooks_has_a_counterexample() {
    let (Some(old), Some(new)) = (folder("6.11.0"), folder("7.6.1")) else {
        println!("skipped: the schemas of GitHub's webhooks are not beside the repository");
        return;
    };
    let (old, new) = (read(&old), read(&new));
    let verbose = std::env::var_os("TIDINGS_VERBOSE").is_some();
    for model in [ContentModel::Lenient, ContentModel::Strict] {
        let mut counts = Counts::default();
        let mut slowest = (Duration::ZERO, "");
        for (name, before) in &old {
            let unchanged = before.compare(before, options(model));
            assert!(unchanged.findings.is_empty(), "{name} with itself: {:?}", unchanged.findings);
            let Some((_, after)) = new.iter().find(|(new_name, _)| new_name == name) else {
                continue;
            };
            let start = Instant::now();
            let comparison = before.compare(after, options(model));
            slowest = slowest.max((start.elapsed(), name.as_str()));
            check_counterexamples(before, after, &comparison);
            for direction in [Direction::Backward, Direction::Forward] {
                counts.add(name, &comparison, direction);
            }
            if verbose {
                print_comparison(name, &comparison);
            }
        }
        counts.bytes.sort_unstable();
        let Counts { compatible, incompatible, unproven, findings, bytes } = &counts;
        println!(
            "{model:?}: {compatible} directions compatible, {incompatible} incompatible, {unproven} \
             unproven; counterexamples of {:?} bytes in the median, {:?} at most; {} of {} proven \
             findings have one; slowest {slowest:?}",
            bytes.get(bytes.len() / 2),
            bytes.last(),
            findings[1],
            findings[0] + findings[1],
        );
    }
}

fn print_comparison(name: &str, comparison: &Comparison) {
    let verdicts =
        [Direction::Backward, Direction::Forward].map(|direction| comparison.verdict(direction));
    println!("{name}: {verdicts:?} {}", bump(comparison));
    for finding in &comparison.findings {
        println!(
            "   {:?} {:?} {} proven={} {} | {} | {}",
            finding.severity,
            finding.direction,
            finding.rule,
            finding.proven,
            finding.old_path,
            finding.new_path,
            finding.message
        );
        if let Some(shown) = &finding.counterexample {
            println!("      {} bytes, at {:?}: {}", shown.bytes, shown.pointer, shown.fragment);
        }
    }
}
