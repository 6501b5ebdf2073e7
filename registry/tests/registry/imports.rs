//! The direct and indirect imports of a definition are limited in bytes.

use jiff::Timestamp;
use tidings_registry::{
    catalog::plan::{Decision, Draft, DraftReference},
    error::Refusal,
    name::SubjectName,
    registry::Registry,
};
use tidings_schema::version::Selector;

use crate::quarantined::draft;

fn large(n: usize) -> Draft {
    let title = "x".repeat(1_000_000);
    draft(&format!("large.{n}"), &format!(r#"{{"title": "{title}"}}"#))
}

fn referencing(count: usize) -> Draft {
    let references = (0..count).map(|n| DraftReference {
        name: format!("large.{n}.json"),
        subject: SubjectName::parse(&format!("large.{n}")).expect("a name"),
        version: Selector::Newest,
        requested: String::new(),
    });
    let refs: Vec<_> = (0..count).map(|n| format!(r#"{{"$ref": "large.{n}.json"}}"#)).collect();
    let all = format!(r#"{{"allOf": [{}]}}"#, refs.join(", "));
    Draft { references: references.collect(), ..draft("all", &all) }
}

#[test]
fn imports_are_limited_in_bytes() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::open(directory.path()).expect("created");
    let drafts: Vec<_> = (0..5).map(large).collect();
    registry.apply(&drafts, None, None, Timestamp::now()).expect("registered");
    let decide = |draft| {
        let mut planned =
            registry.plan(&[draft], false, Timestamp::now()).expect("planned").planned;
        planned.remove(0).decision
    };
    assert!(matches!(decide(referencing(4)), Decision::Register(_)), "4 MB are less than 4 MiB");
    let Decision::Refused(Refusal::Reference { reason, .. }) = decide(referencing(5)) else {
        panic!("5 MB are too many");
    };
    assert!(reason.contains("have 5000065 bytes up to large.0 1.0.0"), "{reason}");
    assert!(reason.contains("the limit is 4194304"), "{reason}");
}
