//! The schema registry over real sockets: versions, refusals, atomic applies, watches, crashes.

use std::{collections::BTreeMap, process::Command, sync::Arc};

use prost::Message as _;
use prost_types::FieldMask;
use tidings_registry::proto::v1::{
    self, ApplySchemasRequest, CheckSchemaRequest, CompatibilityReport, Definition,
    DeleteSubjectRequest, GetSchemaRequest, GetSubjectRequest, ListSchemasRequest,
    ListSubjectsRequest, Outcome, Reference, RegisterSchemaRequest, RegisterSchemaResponse, Schema,
    SchemaDraft, SchemaFormat, SetVersionStateRequest, Subject, SubjectVersion,
    UpdateSubjectRequest, VersionState, WatchRegistryRequest, definition::Form,
    get_schema_request::By, schema_registry_service_client::SchemaRegistryServiceClient,
    watch_registry_response::Change,
};
use tokio::task::JoinSet;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::languages::clients::{succeed, tool};
use crate::support::harness::{
    Options, PATIENCE, Server, assert_refused, metadata, reason, within,
};
use crate::support::toolchain::toolchain;

pub type Client = SchemaRegistryServiceClient<Channel>;

pub fn client(server: &Server) -> Client {
    Client::new(server.channel())
}

fn text(text: impl Into<String>) -> Option<Definition> {
    Some(Definition { form: Some(Form::Text(text.into())), ..Definition::default() })
}

/// A draft of a Protobuf message with the given fields.
pub fn proto(subject: &str, fields: &str) -> SchemaDraft {
    SchemaDraft {
        subject: subject.into(),
        format: SchemaFormat::Protobuf.into(),
        definition: text(format!("syntax = \"proto3\";\nmessage Order {{ {fields} }}\n")),
        ..SchemaDraft::default()
    }
}

pub fn json(subject: &str, schema: &str) -> SchemaDraft {
    SchemaDraft {
        subject: subject.into(),
        format: SchemaFormat::Json.into(),
        definition: text(schema),
        ..SchemaDraft::default()
    }
}

pub fn declared(version: &str, draft: SchemaDraft) -> SchemaDraft {
    SchemaDraft { version: version.into(), ..draft }
}

pub async fn register(
    client: &mut Client,
    draft: SchemaDraft,
) -> Result<RegisterSchemaResponse, Status> {
    let request = RegisterSchemaRequest { schema: Some(draft), ..Default::default() };
    client.register_schema(request).await.map(tonic::Response::into_inner)
}

pub async fn version(client: &mut Client, draft: SchemaDraft) -> Result<String, Status> {
    register(client, draft).await.map(|response| response.schema.unwrap().version)
}

async fn get(client: &mut Client, subject: &str, version: &str) -> Result<Schema, Status> {
    let subject_version = SubjectVersion { subject: subject.into(), version: version.into() };
    let request = GetSchemaRequest { by: Some(By::SubjectVersion(subject_version)) };
    client.get_schema(request).await.map(|response| response.into_inner().schema.unwrap())
}

async fn by_id(client: &mut Client, id: u32) -> Result<Schema, Status> {
    let request = GetSchemaRequest { by: Some(By::Id(id)) };
    client.get_schema(request).await.map(|response| response.into_inner().schema.unwrap())
}

pub fn report_of(status: &Status) -> CompatibilityReport {
    let details = tonic_types::pb::Status::decode(status.details()).unwrap().details;
    let report =
        details.iter().find(|detail| detail.type_url.ends_with("v1.CompatibilityReport")).unwrap();
    CompatibilityReport::decode(&*report.value).unwrap()
}

pub const ID: &str = "string id = 1;";

#[tokio::test]
async fn versions_are_derived_from_the_change() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    let fields = [
        (ID.to_owned(), Ok("1.0.0")),
        (format!("{ID} // the order's\n"), Ok("1.0.0")),
        (format!("{ID} int32 n = 2;"), Ok("1.1.0")),
        (format!("{ID} int64 n = 2;"), Err("2.0.0")),
        (format!("{ID} int32 n = 2; string note = 3;"), Ok("1.2.0")),
        // The whole history counts: field 2 was a number in an earlier version.
        (format!("{ID} reserved 2; reserved \"n\"; string note = 3;"), Ok("1.3.0")),
        (format!("{ID} string n = 2; string note = 3;"), Err("2.0.0")),
        (format!("{ID} int32 n = 2; string note = 3;"), Ok("1.2.0")),
    ];
    for (fields, expected) in fields {
        let result = register(&mut client, proto("orders", &fields)).await;
        match (result, expected) {
            (Ok(response), Ok(expected)) => {
                assert_eq!(response.schema.unwrap().version, expected, "{fields}");
            }
            (Err(status), Err(needed)) => {
                assert_refused(&status, Code::FailedPrecondition, "SCHEMA_INCOMPATIBLE");
                let report = report_of(&status);
                assert_eq!(report.next_version, needed, "{fields}");
                assert_eq!(report.required_bump(), v1::Bump::Major);
                assert!(
                    report.compared_versions.contains(&"1.0.0".into()),
                    "all versions of the major line"
                );
                assert!(!report.findings[0].suggestion.is_empty());
            }
            (result, _) => panic!("{fields}: {result:?} instead of {expected:?}"),
        }
    }
    let again = register(&mut client, declared("9.0.0", proto("orders", ID))).await.unwrap();
    assert_eq!(again.outcome(), Outcome::AlreadyRegistered);
    assert!(!again.is_latest, "1.3.0 is the latest");
    assert_eq!(again.schema.unwrap().version, "1.0.0", "the declared version is ignored");
    server.assert_calm();
}

#[tokio::test]
async fn declared_versions_are_enforced() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    let fields = |n: usize| (1..=n).map(|n| format!("string f{n} = {n};")).collect::<String>();
    let broken = "bool f1 = 1;";
    let steps = [
        ("0.2.0", fields(1), Ok("0.2.0")),
        ("", fields(2), Ok("0.2.1")),
        ("0.2.2", broken.into(), Err("SCHEMA_INCOMPATIBLE")),
        ("", broken.into(), Err("SCHEMA_INCOMPATIBLE")),
        ("0.3.0", broken.into(), Ok("0.3.0")),
        ("1.0.0", fields(3), Ok("1.0.0")),
        ("1.0.1", fields(4), Err("VERSION_TOO_LOW")),
        ("1.1.0-rc.1", fields(4), Ok("1.1.0-rc.1")),
        ("1.1.0", fields(5), Ok("1.1.0")),
        ("1.1.0", fields(6), Err("VERSION_TAKEN")),
        ("1.9.0", fields(6), Ok("1.9.0")),
        ("2.0.0", "bytes f1 = 1;".into(), Ok("2.0.0")),
        ("1.10.0", fields(7), Ok("1.10.0")),
        ("1.9.5", fields(8), Err("VERSION_TOO_LOW")),
        ("0.9.0", fields(9), Err("VERSION_TOO_LOW")),
    ];
    for (version_declared, fields, expected) in steps {
        let draft = declared(version_declared, proto("declared", &fields));
        match (version(&mut client, draft).await, expected) {
            (Ok(version), Ok(expected)) => assert_eq!(version, expected),
            (Err(status), Err(expected)) => {
                assert_eq!(reason(&status), expected, "{version_declared}")
            }
            (result, expected) => panic!("{version_declared}: {result:?} instead of {expected:?}"),
        }
    }
    let resolved = [
        ("", "2.0.0"),
        ("^1", "1.10.0"),
        ("1.1", "1.10.0"),
        ("~1.1", "1.1.0"),
        ("=1.1.0-rc.1", "1.1.0-rc.1"),
        ("0.2", "0.2.1"),
    ];
    for (requirement, expected) in resolved {
        assert_eq!(
            get(&mut client, "declared", requirement).await.unwrap().version,
            expected,
            "{requirement}"
        );
    }
    let refused = get(&mut client, "declared", "^3").await.unwrap_err();
    assert_refused(&refused, Code::NotFound, "VERSION_NOT_FOUND");
    assert!(refused.message().contains("2.0.0"), "the existing versions: {}", refused.message());
}

#[tokio::test]
async fn of_concurrent_incompatible_registrations_one_wins() {
    let server = Server::start(Options::default()).await;
    let mut first = client(&server);
    version(&mut first, proto("raced", ID)).await.unwrap();
    let mut racing = JoinSet::new();
    for kind in ["int32", "string", "bool", "double", "fixed32", "fixed64", "bytes", "sint32"] {
        let mut client = first.clone();
        racing.spawn(async move {
            version(&mut client, proto("raced", &format!("{ID} {kind} x = 2;"))).await
        });
    }
    let mut won = Vec::new();
    for result in racing.join_all().await {
        match result {
            Ok(version) => won.push(version),
            Err(status) => assert_refused(&status, Code::FailedPrecondition, "SCHEMA_INCOMPATIBLE"),
        }
    }
    assert_eq!(won, ["1.1.0"]);
}

/// Acknowledged ids and versions survive each crash, and none is assigned twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_versions_survive_kill_9() {
    let mut server = Server::start(Options::default()).await;
    let mut acknowledged = BTreeMap::<u32, (String, String, String)>::new();
    for round in 0..10 {
        let mut running = JoinSet::new();
        for worker in 0..4 {
            let mut client = client(&server);
            running.spawn(async move {
                let mut done = Vec::new();
                for n in 0..1000 {
                    let fields =
                        format!("{ID} string r{round}w{worker}n{n} = {};", 2 + round * 2000 + n);
                    let draft = SchemaDraft {
                        compatibility: v1::Compatibility::None.into(),
                        ..proto(&format!("crash.{worker}"), &fields)
                    };
                    let Ok(response) = register(&mut client, draft).await else { break };
                    let schema = response.schema.unwrap();
                    done.push((schema.id, (schema.subject, schema.version, schema.fingerprint)));
                }
                done
            });
        }
        tokio::time::sleep(std::time::Duration::from_millis(150 + 40 * round)).await;
        server.kill9();
        for (id, schema) in running.join_all().await.into_iter().flatten() {
            let before = acknowledged.insert(id, schema.clone());
            assert_eq!(before, None, "id {id} was assigned twice, the second time to {schema:?}");
        }
        server = server.restart_after_exit().await;
        let mut client = client(&server);
        for (id, (subject, version, fingerprint)) in &acknowledged {
            let schema = by_id(&mut client, *id).await.unwrap();
            assert_eq!((&schema.subject, &schema.version), (subject, version), "id {id}");
            assert_eq!(&schema.fingerprint, fingerprint);
        }
    }
    let mut versions: Vec<_> =
        acknowledged.values().map(|(subject, version, _)| (subject, version)).collect();
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), acknowledged.len(), "a version was assigned twice");
    assert!(
        acknowledged.len() > 100,
        "{} registrations are too few for this test",
        acknowledged.len()
    );
}

#[tokio::test]
async fn a_deleted_subject_is_registered_again_with_the_next_major() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    version(&mut client, proto("gone", ID)).await.unwrap();
    version(&mut client, declared("3.1.0", proto("gone", "int32 id = 1;"))).await.unwrap();
    client
        .delete_subject(DeleteSubjectRequest { name: "gone".into(), ..Default::default() })
        .await
        .unwrap();
    let refused = get(&mut client, "gone", "").await.unwrap_err();
    assert_refused(&refused, Code::NotFound, "SUBJECT_NOT_FOUND");
    assert_eq!(
        by_id(&mut client, 1).await.unwrap().version,
        "1.0.0",
        "recorded events still name it"
    );
    let server = server.crash().await;
    let mut client = self::client(&server);
    let low = version(&mut client, declared("2.0.0", proto("gone", ID))).await.unwrap_err();
    assert_refused(&low, Code::FailedPrecondition, "VERSION_TOO_LOW");
    let back = register(&mut client, json("gone", r#"{"type": "object"}"#)).await.unwrap();
    let back = back.schema.unwrap();
    assert_eq!((back.version.as_str(), back.id), ("4.0.0", 3));
    let listed =
        client.list_schemas(ListSchemasRequest { subject: "gone".into(), ..Default::default() });
    assert_eq!(listed.await.unwrap().into_inner().schemas.len(), 1);
}

fn money() -> SchemaDraft {
    SchemaDraft {
        definition: text(
            "syntax = \"proto3\";\npackage shop;\nmessage Money { int64 cents = 1; }\n",
        ),
        ..proto("shop.Money", "")
    }
}

fn invoice(reference: &str) -> SchemaDraft {
    SchemaDraft {
        definition: text(
            "syntax = \"proto3\";\npackage shop;\nimport \"shop/money.proto\";\nmessage Invoice { Money total = 1; }\n",
        ),
        references: vec![Reference {
            name: "shop/money.proto".into(),
            subject: "shop.Money".into(),
            version: reference.into(),
        }],
        ..proto("shop.Invoice", "")
    }
}

pub async fn apply(
    client: &mut Client,
    request: ApplySchemasRequest,
) -> Result<v1::ApplySchemasResponse, Status> {
    client.apply_schemas(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn an_apply_is_all_or_nothing_and_detects_a_stale_plan() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    // The referring schema comes first: the registry finds the order.
    let request = ApplySchemasRequest { schemas: vec![invoice(""), money()], ..Default::default() };
    let plan = ApplySchemasRequest { validate_only: true, ..request.clone() };
    let planned = apply(&mut client, plan.clone()).await.unwrap();
    assert!(planned.acceptable && planned.revision == 0);
    let none = client.list_subjects(ListSubjectsRequest::default()).await.unwrap().into_inner();
    assert_eq!(none.subjects, [], "a plan changes nothing");
    let applied = apply(&mut client, request.clone()).await.unwrap();
    assert_eq!(applied.revision, 2);
    let schema = applied.results[0].schema.clone().unwrap();
    assert!(schema.definition.is_none() && schema.references.is_empty(), "the caller has them");
    let stored = get(&mut client, "shop.Invoice", "1.0.0").await.unwrap();
    assert_eq!(stored.references[0].version, "1.0.0", "the resolved version is stored");

    let again = apply(&mut client, request.clone()).await.unwrap();
    assert_eq!(again.revision, 2, "nothing changes");
    assert!(again.results.iter().all(|result| result.outcome() == Outcome::AlreadyRegistered));

    let stale = ApplySchemasRequest { expected_revision: 1, ..request.clone() };
    let stale = apply(&mut client, stale).await.unwrap_err();
    assert_refused(&stale, Code::Aborted, "REVISION_MOVED");
    assert_eq!(metadata(&stale)["actual"], "2");

    let fine = proto("other", ID);
    let breaks = SchemaDraft {
        definition: text(
            "syntax = \"proto3\";\npackage shop;\nmessage Money { string cents = 1; }\n",
        ),
        ..money()
    };
    let mixed = ApplySchemasRequest { schemas: vec![fine, breaks], ..Default::default() };
    let refused = apply(&mut client, mixed.clone()).await.unwrap_err();
    assert_refused(&refused, Code::FailedPrecondition, "SCHEMA_INCOMPATIBLE");
    assert_refused(
        &get(&mut client, "other", "").await.unwrap_err(),
        Code::NotFound,
        "SUBJECT_NOT_FOUND",
    );
    let planned =
        apply(&mut client, ApplySchemasRequest { validate_only: true, ..mixed }).await.unwrap();
    assert!(!planned.acceptable);
    assert_eq!(planned.results[1].report.as_ref().unwrap().backward(), v1::Verdict::Incompatible);

    let referenced = client
        .delete_subject(DeleteSubjectRequest { name: "shop.Money".into(), ..Default::default() });
    let referenced = referenced.await.unwrap_err();
    assert_refused(&referenced, Code::FailedPrecondition, "STILL_REFERENCED");
    assert!(referenced.message().contains("shop.Invoice 1.0.0"), "{}", referenced.message());

    let cyclic = |name: &str, other: &str| SchemaDraft {
        references: vec![Reference {
            name: "o".into(),
            subject: other.into(),
            ..Default::default()
        }],
        ..json(name, "{}")
    };
    let request = ApplySchemasRequest {
        schemas: vec![cyclic("a", "b"), cyclic("b", "a")],
        ..Default::default()
    };
    let refused = apply(&mut client, request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{}", refused.message());
    let missing = register(&mut client, invoice("7.0.0")).await.unwrap_err();
    assert_refused(&missing, Code::FailedPrecondition, "REFERENCE_NOT_FOUND");
}

#[tokio::test]
async fn a_watch_streams_every_change_and_continues_live() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    version(&mut client, proto("seen", ID)).await.unwrap();
    let mut watch =
        client.watch_registry(WatchRegistryRequest::default()).await.unwrap().into_inner();
    let subject = Subject { name: "seen".into(), owner: "us".into(), ..Subject::default() };
    client
        .update_subject(UpdateSubjectRequest { subject: Some(subject), update_mask: None })
        .await
        .unwrap();
    let deprecate = SetVersionStateRequest {
        subject: "seen".into(),
        version: "1.0.0".into(),
        state: VersionState::Deprecated.into(),
        deprecation: "move to 2".into(),
        ..Default::default()
    };
    client.set_version_state(deprecate).await.unwrap();
    client
        .delete_subject(DeleteSubjectRequest { name: "seen".into(), ..Default::default() })
        .await
        .unwrap();
    let mut changes = Vec::new();
    for revision in 1..=4 {
        let change = within(PATIENCE, "a change", watch.message()).await.unwrap().unwrap();
        assert_eq!(change.revision, revision);
        changes.push(match change.change.unwrap() {
            Change::SchemaRegistered(schema) => format!("registered {}", schema.version),
            Change::SubjectUpdated(subject) => format!("owner {}", subject.owner),
            Change::VersionStateSet(schema) => schema.deprecation,
            Change::SubjectDeleted(name) => format!("deleted {name}"),
        });
    }
    assert_eq!(changes, ["registered 1.0.0", "owner us", "move to 2", "deleted seen"]);
    let later =
        client.watch_registry(WatchRegistryRequest { after_revision: 9 }).await.unwrap_err();
    assert_refused(&later, Code::OutOfRange, "REVISION_LOST");
    server.sigterm();
    let end = within(PATIENCE, "the end", watch.message()).await.unwrap_err();
    assert_refused(&end, Code::Unavailable, "DRAINING");
}

#[tokio::test]
async fn a_long_report_is_cut_and_states_its_full_length() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    let fields = |kind: &str| {
        (1..=300).map(|n| format!("{kind} a_rather_long_name_{n} = {n};\n")).collect::<String>()
    };
    version(&mut client, proto("long", &fields("string"))).await.unwrap();
    let refused = register(&mut client, proto("long", &fields("double"))).await.unwrap_err();
    assert_refused(&refused, Code::FailedPrecondition, "SCHEMA_INCOMPATIBLE");
    assert!(refused.details().len() < 4096, "{} bytes of details", refused.details().len());
    let report = report_of(&refused);
    assert!(
        report.total_findings >= 300 && !report.findings.is_empty(),
        "{}",
        report.total_findings
    );
    assert!(report.findings.len() < 100);
    // A check returns the whole report.
    let schema = Some(proto("long", &fields("double")));
    let checked = client.check_schema(CheckSchemaRequest { schema, ..Default::default() });
    let checked = checked.await.unwrap().into_inner();
    assert!(!checked.acceptable);
    assert_eq!(checked.report.unwrap().findings.len() as u32, report.total_findings);
}

#[tokio::test]
async fn invalid_requests_are_refused_with_every_violation() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    let draft = SchemaDraft {
        version: "1.0".into(),
        format: 9,
        references: vec![Reference { subject: "a b".into(), ..Reference::default() }],
        ..proto("a\tb", ID)
    };
    let refused =
        register(&mut client, SchemaDraft { definition: None, ..draft }).await.unwrap_err();
    assert_refused(&refused, Code::InvalidArgument, "INVALID_NAME");
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    let expected = [
        "schema.subject",
        "schema.format",
        "schema.version",
        "schema.definition",
        "schema.references[0].name",
        "schema.references[0].subject",
    ];
    assert_eq!(fields, expected);
    let large = json("large", &format!("{{\"title\": \"{}\"}}", "x".repeat(1 << 20)));
    assert_refused(
        &register(&mut client, large).await.unwrap_err(),
        Code::InvalidArgument,
        "SCHEMA_TOO_LARGE",
    );
    version(&mut client, proto("typed", ID)).await.unwrap();
    let other = register(&mut client, json("typed", "{}")).await.unwrap_err();
    assert_refused(&other, Code::FailedPrecondition, "FORMAT_MISMATCH");
    let broken =
        register(&mut client, proto("typed", "string id = 1; strin x = 2;")).await.unwrap_err();
    assert_refused(&broken, Code::InvalidArgument, "INVALID_SCHEMA");
    assert!(broken.message().starts_with("2:"), "the location: {}", broken.message());
    let mask = FieldMask { paths: vec!["name".into()] };
    let subject = Some(Subject { name: "typed".into(), ..Subject::default() });
    let request = UpdateSubjectRequest { subject, update_mask: Some(mask) };
    let refused = client.update_subject(request).await.unwrap_err();
    assert_refused(&refused, Code::InvalidArgument, "INVALID_REQUEST");
    let subject = Subject {
        name: "typed".into(),
        etag: "77".into(),
        owner: "me".into(),
        ..Subject::default()
    };
    let request = UpdateSubjectRequest { subject: Some(subject), update_mask: None };
    assert_refused(
        &client.update_subject(request).await.unwrap_err(),
        Code::Aborted,
        "ETAG_MISMATCH",
    );
    server.assert_calm();
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    for n in 0..7 {
        version(&mut client, json(&format!("page.{n}"), "{}")).await.unwrap();
    }
    version(&mut client, json("other", "{}")).await.unwrap();
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListSubjectsRequest { page_size: 3, page_token, prefix: "page.".into() };
        let page = client.list_subjects(request).await.unwrap().into_inner();
        assert!(page.subjects.len() <= 3);
        seen.extend(page.subjects.into_iter().map(|subject| subject.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, (0..7).map(|n| format!("page.{n}")).collect::<Vec<_>>());
    let request = ListSubjectsRequest { page_token: "?".into(), ..Default::default() };
    let refused = client.list_subjects(request).await.unwrap_err();
    assert_refused(&refused, Code::InvalidArgument, "INVALID_REQUEST");
}

/// A server with a remote registry serves the same calls, and reports if the registry is
/// unavailable.
#[tokio::test]
async fn calls_are_forwarded_to_a_remote_registry() {
    let mut remote = Server::start(Options::default()).await;
    let address = format!("http://{}", remote.address());
    let server = Server::start(Options::args(["--registry", &address])).await;
    let mut client = client(&server);
    version(&mut client, proto("far", ID)).await.unwrap();
    assert_eq!(get(&mut self::client(&remote), "far", "").await.unwrap().version, "1.0.0");
    let refused = version(&mut client, proto("far", "bool id = 1;")).await.unwrap_err();
    assert_eq!(report_of(&refused).next_version, "2.0.0", "reports are forwarded too");
    remote.kill9();
    let request = GetSubjectRequest { name: "far".into() };
    let unavailable = client.get_subject(request).await.unwrap_err();
    assert_refused(&unavailable, Code::Unavailable, "REGISTRY_UNAVAILABLE");
    let off = Server::start(Options::args(["--registry", "off"])).await;
    let disabled = version(&mut self::client(&off), proto("far", ID)).await.unwrap_err();
    assert_eq!(disabled.code(), Code::Unimplemented);
}

/// Concurrent registrations get distinct ids without gaps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_dense_under_load() {
    let server = Arc::new(Server::start(Options::default()).await);
    let mut running = JoinSet::new();
    for n in 0..64 {
        let mut client = client(&server);
        running.spawn(async move {
            let schema = json(&format!("load.{n}"), &format!(r#"{{"maxLength": {n}}}"#));
            register(&mut client, schema).await.unwrap().schema.unwrap().id
        });
    }
    let mut ids = running.join_all().await;
    ids.sort_unstable();
    assert_eq!(ids, (1..=64).collect::<Vec<_>>());
}

/// All schemas of GitHub's webhooks in two releases: the second release is a deployment of 58
/// subjects in one call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_schemas_register_and_their_evolution_is_reported() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data/github-webhooks/schemas");
    if !folder.exists() {
        eprintln!("skipped: there are no schemas beside the project");
        return;
    }
    let drafts = |release: &str| {
        let mut files: Vec<_> = std::fs::read_dir(folder.join(release))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let draft = |path: &std::path::PathBuf| {
            json(
                path.file_stem().unwrap().to_str().unwrap(),
                &std::fs::read_to_string(path).unwrap(),
            )
        };
        files.iter().map(draft).collect::<Vec<_>>()
    };
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    let first = ApplySchemasRequest { schemas: drafts("6.11.0"), ..Default::default() };
    assert_eq!(apply(&mut client, first).await.unwrap().results.len(), 57);
    let second = drafts("7.6.1");
    let plan =
        ApplySchemasRequest { schemas: second.clone(), validate_only: true, ..Default::default() };
    let planned = apply(&mut client, plan).await.unwrap();
    assert_eq!(planned.results.len(), 58);
    assert!(!planned.acceptable, "the second release breaks some types");
    for (draft, result) in second.iter().zip(&planned.results) {
        let report = result.report.as_ref().unwrap();
        let breaks = report.required_bump() == v1::Bump::Major;
        let errors =
            report.findings.iter().filter(|finding| finding.severity() == v1::Severity::Error);
        assert_eq!(
            breaks,
            errors.count() > 0,
            "{}: exactly a breaking change has error findings",
            draft.subject
        );
    }
    // With a new major version declared for each breaking schema, all schemas register.
    let declared = second.into_iter().zip(&planned.results).map(|(draft, result)| {
        let report = result.report.as_ref().unwrap();
        let breaks = report.required_bump() == v1::Bump::Major;
        if breaks { declared(&report.next_version, draft) } else { draft }
    });
    let request = ApplySchemasRequest {
        schemas: declared.collect(),
        expected_revision: planned.revision,
        ..Default::default()
    };
    let applied = apply(&mut client, request).await.unwrap();
    assert_eq!(applied.results.len(), 58);
    server.assert_calm();
}

/// Registers four years of releases of OpenTelemetry's public API: changes of the descriptors
/// become versions.
#[tokio::test]
async fn releases_of_a_public_api_register_one_after_the_other() {
    const RELEASES: [&str; 6] = ["1.11.1", "1.12.0", "1.20.0", "1.25.0", "1.40.0", "1.45.2"];
    // 1.12 added `min` and `max` to histograms; 1.20 removed the deprecated
    // `instrumentation_library_spans` and added attributes to scopes; 1.25 added flags to spans and
    // metadata to metrics; 1.40 added entities to resources; 1.45 added keys by index.
    let expected = [
        (
            "collector.trace.v1.ExportTraceServiceRequest",
            ["1.0.0", "1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"],
        ),
        (
            "collector.metrics.v1.ExportMetricsServiceRequest",
            ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0"],
        ),
    ];
    if !toolchain("descriptors", ["python3"]) {
        return;
    }
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("descriptors");
    std::fs::create_dir_all(&folder).unwrap();
    let python = tool("python");
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/descriptors.py");
    let releases = RELEASES.join(",");
    succeed(Command::new(python).arg(script).args(["opentelemetry-proto", &releases]).arg(&folder));

    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    for (message, versions) in expected {
        for (release, expected) in RELEASES.iter().zip(versions) {
            let set =
                std::fs::read(folder.join(format!("opentelemetry-proto-{release}.binpb"))).unwrap();
            let draft = SchemaDraft {
                subject: message.into(),
                format: SchemaFormat::Protobuf.into(),
                definition: Some(Definition {
                    form: Some(Form::DescriptorSet(set.into())),
                    message_name: format!("opentelemetry.proto.{message}"),
                    ..Definition::default()
                }),
                ..SchemaDraft::default()
            };
            assert_eq!(
                version(&mut client, draft).await.unwrap(),
                expected,
                "{message} of {release}"
            );
        }
    }
}
