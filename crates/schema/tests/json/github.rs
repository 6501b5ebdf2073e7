//! The webhooks of GitHub in two versions, where they lie beside the repository.

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
    // A worktree lies deeper than a clone.
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(3);
    let mut folders = beside.map(|it| it.join("shared/data/github-webhooks/schemas").join(version));
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

/// What became of the directions of all pairs.
#[derive(Debug, Default)]
struct Counts {
    compatible: usize,
    incompatible: usize,
    unproven: usize,
    /// Findings without a payload of their own, and findings with one.
    findings: [usize; 2],
    /// The smallest payload of each incompatible direction, in bytes.
    bytes: Vec<usize>,
}

impl Counts {
    /// Adds a direction: one that is incompatible has a counterexample.
    fn add(&mut self, name: &str, comparison: &Comparison, direction: Direction) {
        let errors: Vec<_> = comparison
            .findings
            .iter()
            .filter(|it| it.severity == Severity::Error && it.direction.includes(direction))
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
                let shown = errors.iter().filter_map(|it| it.counterexample.as_ref());
                // That it is a payload of the writer, and refused by the reader, was checked.
                let carried = shown.filter(|it| !it.payload.is_empty());
                let smallest = carried.map(|it| it.bytes).min();
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
            let again = before.compare(before, options(model));
            assert!(again.findings.is_empty(), "{name} with itself: {:?}", again.findings);
            let Some((_, after)) = new.iter().find(|(other, _)| other == name) else { continue };
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
    for it in &comparison.findings {
        println!(
            "   {:?} {:?} {} proven={} {} | {} | {}",
            it.severity, it.direction, it.rule, it.proven, it.old_path, it.new_path, it.message
        );
        if let Some(shown) = &it.counterexample {
            println!("      {} bytes, at {:?}: {}", shown.bytes, shown.pointer, shown.fragment);
        }
    }
}
