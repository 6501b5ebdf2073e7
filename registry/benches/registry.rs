//! The time limits of the registry, in one table: a start with many versions, reads, checks, and
//! pairs of schemas that are made to be slow.
//!
//! ```text
//! cargo bench -p tidings-registry --bench registry
//! ```

use std::{
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use semver::{Version, VersionReq};
use tidings_registry::{
    catalog::plan::Draft,
    client::{self, Client},
    consumer::{
        ConsumerName, ConsumerUpdate,
        table::{CONSUMERS_MAX, ConsumerTable},
    },
    name::SubjectName,
    proto::v1::{GetSchemaRequest, ListSubjectsRequest, SubjectVersion, get_schema_request::By},
    registry::Registry,
    service::Service,
};
use tidings_schema::{
    definition::Definition,
    finding::Options,
    schema::{Format, Schema},
};
use tokio::sync::watch;

const SUBJECTS: usize = 1_000;
const VERSIONS: usize = 10;
const READS: usize = 100_000;
const CHECKS: usize = 200;
const FIELDS: usize = 50;
const LINE: usize = 20;

fn main() {
    // Arguments from Cargo are ignored.
    let directory = tempfile::tempdir().expect("a directory");
    println!("| what | figure | limit |\n|---|---|---|");
    fill(directory.path());
    let start = Instant::now();
    let registry = Registry::open(directory.path()).expect("opened");
    row("start with 10,000 versions of 1,000 subjects", start.elapsed(), "2 s");
    reads(&registry);
    drop(registry);
    for format in [Format::Protobuf, Format::Json, Format::Avro] {
        checks(format);
    }
    hostile();
    consumers();
}

fn row(what: &str, figure: Duration, limit: &str) {
    println!("| {what} | {figure:.2?} | {limit} |");
}

fn draft(subject: &str, format: Format, text: String) -> Draft {
    Draft {
        subject: SubjectName::parse(subject).expect("a name"),
        format: Some(format),
        definition: Definition::text(text),
        references: Vec::new(),
        version: None,
        labels: std::collections::BTreeMap::new(),
        level: None,
        content_model: None,
        surface: None,
    }
}

/// Returns a schema with the given number of fields.
fn schema(format: Format, fields: usize) -> String {
    let list = |field: &dyn Fn(usize) -> String, separator: &str| {
        (1..=fields).map(field).collect::<Vec<_>>().join(separator)
    };
    match format {
        Format::Protobuf => {
            let fields = list(&|n| format!("  string field_{n} = {n};"), "\n");
            format!("syntax = \"proto3\";\npackage shop;\nmessage Order {{\n{fields}\n}}\n")
        }
        Format::Json => {
            let fields = list(
                &|n| format!("\"field_{n}\": {{\"type\": \"string\", \"maxLength\": {n}}}"),
                ",",
            );
            format!(
                "{{\"type\": \"object\", \"properties\": {{{fields}}}, \"required\": [\"field_1\"]}}"
            )
        }
        Format::Avro => {
            let fields = list(
                &|n| {
                    format!("{{\"name\": \"field_{n}\", \"type\": \"string\", \"default\": \"\"}}")
                },
                ",",
            );
            format!("{{\"type\": \"record\", \"name\": \"Order\", \"fields\": [{fields}]}}")
        }
    }
}

/// Registers a thousand drafts at a time: each call is one commit.
fn fill(directory: &Path) {
    let registry = Registry::open(directory).expect("created");
    let start = Instant::now();
    for version in 0..VERSIONS {
        let drafts: Vec<_> = (0..SUBJECTS)
            .map(|n| {
                draft(&format!("subject.{n}"), Format::Json, schema(Format::Json, 5 + version))
            })
            .collect();
        registry.apply(&drafts, None, None, Timestamp::now()).expect("applied");
    }
    row("registering 10,000 versions, 1,000 in a call", start.elapsed(), "");
    let single = (0..CHECKS).map(|n| {
        let draft = draft(&format!("single.{n}"), Format::Json, schema(Format::Json, 5));
        let start = Instant::now();
        registry.apply(&[draft], None, None, Timestamp::now()).expect("registered");
        start.elapsed()
    });
    row("registering one version, synced, median", median(single.collect()), "");
}

/// The maximal number of consumers, all of one subject.
fn consumers() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::open(directory.path()).expect("created");
    let order = |text: &str| draft("orders", Format::Json, text.into());
    registry
        .apply(&[order(r#"{"type": "object"}"#)], None, None, Timestamp::now())
        .expect("registered");
    let update = |registry: &Registry, n: usize| {
        let consumer = ConsumerName::parse(&format!("consumer.{n}")).expect("a name");
        let requirement = VersionReq::parse(">=1").expect("a requirement");
        let requirements = vec![(SubjectName::parse("orders").expect("a name"), requirement)];
        let start = Instant::now();
        registry
            .record(&consumer, ConsumerUpdate::Open, requirements, Timestamp::now())
            .expect("recorded");
        start.elapsed()
    };
    let new: Vec<_> = (0..CONSUMERS_MAX).map(|n| update(&registry, n)).collect();
    row("a new consumer, synced, median of 10,000", median(new), "");
    let repeated: Vec<_> = (0..CONSUMERS_MAX).map(|n| update(&registry, n)).collect();
    row("a stream that is still open, median", median(repeated), "1 ms");
    let breaking = Draft { version: Some(Version::new(2, 0, 0)), ..order(r#"{"type": "string"}"#) };
    let times = (0..CHECKS / 10).map(|_| {
        let start = Instant::now();
        let planned = registry.check(&registry.catalog(), &breaking, Timestamp::now());
        assert_eq!(planned.impact.affected.total, CONSUMERS_MAX);
        start.elapsed()
    });
    row("a check that affects 10,000 consumers, median", median(times.collect()), "100 ms");
    drop(registry);
    let start = Instant::now();
    let registry = Registry::open(directory.path()).expect("opened");
    row("start with 10,000 consumers", start.elapsed(), "1 s");
    drop(registry);
}

fn reads(registry: &Registry) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("started");
    runtime.block_on(async {
        let (_drain, draining) = watch::channel(false);
        let mut client = Client::from(client::embedded(Service::new(registry.clone(), draining)));
        let mut times = Vec::with_capacity(READS);
        for n in 0..READS {
            let selected = SubjectVersion {
                subject: format!("subject.{}", n % SUBJECTS),
                version: ["", "^1", "1.3.0"][n % 3].into(),
            };
            let request = GetSchemaRequest { by: Some(By::SubjectVersion(selected)) };
            let start = Instant::now();
            client.get_schema(request).await.expect("found");
            times.push(start.elapsed());
        }
        times.sort_unstable();
        row("GetSchema, p50", times[READS / 2], "");
        row("GetSchema, p99", times[READS * 99 / 100], "1 ms");
        let start = Instant::now();
        let (mut token, mut seen) = (String::new(), 0);
        loop {
            let request = ListSubjectsRequest {
                page_size: 1000,
                page_token: token,
                prefix: "subject.".into(),
            };
            let page = client.list_subjects(request).await.expect("listed").into_inner();
            seen += page.subjects.len();
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, SUBJECTS);
        row("ListSubjects, all 1,000", start.elapsed(), "");
    });
}

/// Checks a schema of 50 fields against the 20 versions of its line, including parsing of the
/// proposal.
fn checks(format: Format) {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = Registry::open(directory.path()).expect("created");
    for version in 0..LINE {
        let draft = draft("line", format, schema(format, FIELDS - LINE + version));
        registry.apply(&[draft], None, None, Timestamp::now()).expect("registered");
    }
    let proposal = draft("line", format, schema(format, FIELDS));
    let check = |_| {
        let start = Instant::now();
        let consumers = ConsumerTable::default();
        let planned = registry.catalog().plan(&proposal, &consumers, false, Timestamp::now());
        assert_eq!(planned.impact.report.compared.len(), LINE);
        start.elapsed()
    };
    let times = (0..CHECKS).map(check).collect();
    row(
        &format!("checking 50 fields against 20 versions, {format}, median"),
        median(times),
        "20 ms",
    );
}

/// Pairs that are made to be slow: parsed, refused or compared.
fn hostile() {
    let nested =
        |depth: usize, open: &str| format!("{}{}{}", open.repeat(depth), "{}", "}".repeat(depth));
    let union = |n: usize| {
        let branches = (0..n).map(|n| {
            format!(
                "{{\"properties\": {{\"k{n}\": {{\"const\": {n}}}}}, \"required\": [\"k{n}\"]}}"
            )
        });
        format!("{{\"anyOf\": [{}]}}", branches.collect::<Vec<_>>().join(","))
    };
    let doubling = |levels: usize| {
        let level = |n: usize| {
            format!(
                "\"l{n}\": {{\"allOf\": [{{\"$ref\": \"#/$defs/l{0}\"}}, {{\"$ref\": \"#/$defs/l{0}\"}}]}}",
                n + 1
            )
        };
        let levels_text = (0..levels).map(level).collect::<Vec<_>>().join(",");
        format!(
            "{{\"$ref\": \"#/$defs/l0\", \"$defs\": {{{levels_text}, \"l{levels}\": {{\"type\": \"string\"}}}}}}"
        )
    };
    let pairs = [
        (
            "10,000 properties",
            Format::Json,
            schema(Format::Json, 10_000),
            schema(Format::Json, 10_001),
        ),
        ("anyOf of 500 objects", Format::Json, union(500), union(501)),
        ("$ref doubling 40 times", Format::Json, doubling(40), doubling(41)),
        ("90 levels of not", Format::Json, nested(90, "{\"not\":"), nested(91, "{\"not\":")),
        (
            "5,000 fields",
            Format::Protobuf,
            schema(Format::Protobuf, 4_999),
            schema(Format::Protobuf, 5_000),
        ),
        (
            "50,000 fields",
            Format::Protobuf,
            schema(Format::Protobuf, 20_000),
            schema(Format::Protobuf, 50_000),
        ),
        ("10,000 fields", Format::Avro, schema(Format::Avro, 9_999), schema(Format::Avro, 10_000)),
    ];
    for (what, format, old, new) in pairs {
        let start = Instant::now();
        let parse = |text: &str| Schema::parse(format, "shop.Order", &Definition::text(text), &[]);
        let outcome = match (parse(&old), parse(&new)) {
            (Ok(old), Ok(new)) => {
                let compared = old.compare(&new, Options::default());
                format!("{} findings", compared.map_or(0, |comparison| comparison.findings.len()))
            }
            _ => "refused".into(),
        };
        row(&format!("hostile, {format}: {what} ({outcome})"), start.elapsed(), "1 s");
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
