//! The webhooks of GitHub in two versions, where they lie beside the repository.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use tidings_registry::{
    finding::{ContentModel, Direction, Severity, Verdict},
    json::Schema,
};

use crate::golden::{bump, check_witnesses, options, schema};

fn folder(version: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/github-webhooks/schemas")
        .join(version);
    beside.exists().then_some(beside)
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

#[test]
fn webhooks_are_compared_in_time_and_explained() {
    let (Some(old), Some(new)) = (folder("6.11.0"), folder("7.6.1")) else {
        eprintln!("skipped: the schemas of GitHub's webhooks are not beside the repository");
        return;
    };
    let (old, new) = (read(&old), read(&new));
    let verbose = std::env::var_os("TIDINGS_VERBOSE").is_some();
    for (name, before) in &old {
        let again = before.compare(before, options(ContentModel::Lenient));
        assert!(again.findings.is_empty(), "{name} with itself: {:?}", again.findings);
        let Some((_, after)) = new.iter().find(|(other, _)| other == name) else { continue };
        for model in [ContentModel::Lenient, ContentModel::Strict] {
            let start = Instant::now();
            let comparison = before.compare(after, options(model));
            let took = start.elapsed();
            assert!(took.as_secs() < 5, "{name} took {took:?}");
            check_witnesses(before, after, &comparison);
            if verbose && model == ContentModel::Lenient {
                let verdicts = [Direction::Backward, Direction::Forward]
                    .map(|direction| comparison.verdict(direction));
                println!("{name}: {verdicts:?} {} in {took:?}", bump(&comparison));
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
                }
            }
            for direction in [Direction::Backward, Direction::Forward] {
                let errors = comparison.findings.iter().filter(|finding| {
                    finding.severity == Severity::Error && finding.direction.includes(direction)
                });
                assert_eq!(
                    comparison.verdict(direction) == Verdict::Compatible,
                    errors.count() == 0,
                    "{name}"
                );
            }
        }
    }
}
