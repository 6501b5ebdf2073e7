//! Consumers: recorded requirements, version negotiation, and changes that affect consumers.

use tidings_registry::proto::v1::{
    ApplySchemasRequest, CheckSchemaRequest, CheckSchemaResponse, Compatibility, Consumer,
    ConsumerOrigin, DeleteSubjectRequest, ListConsumersRequest, NegotiateVersionsRequest,
    NegotiatedVersion, RegisterSchemaRequest, SchemaDraft, SetVersionStateRequest,
    VersionRequirement, VersionState, WatchRegistryRequest, WatchRegistryResponse,
};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::schemas::registry::{
    Client, ID, apply, client, declared, proto, register, report_of, version,
};
use crate::support::harness::{Options, PATIENCE, Server, assert_refused, metadata, within};

fn negotiation(consumer: &str, requirements: &[(&str, &str)]) -> NegotiateVersionsRequest {
    let requirement = |(subject, requirement): &(&str, &str)| VersionRequirement {
        subject: (*subject).into(),
        requirement: (*requirement).into(),
    };
    NegotiateVersionsRequest {
        consumer: consumer.into(),
        requirements: requirements.iter().map(requirement).collect(),
        ..NegotiateVersionsRequest::default()
    }
}

async fn negotiate(
    client: &mut Client,
    request: NegotiateVersionsRequest,
) -> Result<Vec<NegotiatedVersion>, Status> {
    client.negotiate_versions(request).await.map(|response| response.into_inner().versions)
}

async fn declare(client: &mut Client, consumer: &str, requirements: &[(&str, &str)]) {
    let request = NegotiateVersionsRequest { record: true, ..negotiation(consumer, requirements) };
    negotiate(client, request).await.unwrap();
}

async fn stream(client: &mut Client, consumer: &str, requirements: &[(&str, &str)], ended: bool) {
    let origin = ConsumerOrigin::Stream.into();
    let request = NegotiateVersionsRequest {
        record: true,
        origin,
        ended,
        ..negotiation(consumer, requirements)
    };
    negotiate(client, request).await.unwrap();
}

async fn listed(client: &mut Client, request: ListConsumersRequest) -> Vec<Consumer> {
    client.list_consumers(request).await.unwrap().into_inner().consumers
}

async fn consumer_lines(client: &mut Client) -> Vec<String> {
    let line = |consumer: Consumer| {
        let origin = match consumer.origin() {
            ConsumerOrigin::Declared => "declared",
            ConsumerOrigin::Stream if consumer.connected => "connected",
            ConsumerOrigin::Stream | ConsumerOrigin::Unspecified => "seen",
        };
        assert!(consumer.last_seen_time.is_some());
        format!(
            "{} {} {} -> {} {origin}",
            consumer.name, consumer.subject, consumer.requirement, consumer.negotiated_version
        )
    };
    listed(client, ListConsumersRequest::default()).await.into_iter().map(line).collect()
}

async fn check(client: &mut Client, draft: SchemaDraft) -> CheckSchemaResponse {
    let request = CheckSchemaRequest { schema: Some(draft), ..CheckSchemaRequest::default() };
    client.check_schema(request).await.unwrap().into_inner()
}

fn state_request(version: &str, state: VersionState) -> SetVersionStateRequest {
    SetVersionStateRequest {
        subject: "orders".into(),
        version: version.into(),
        state: state.into(),
        ..SetVersionStateRequest::default()
    }
}

/// The changes up to a revision.
async fn changes(client: &mut Client, revision: u64) -> Vec<WatchRegistryResponse> {
    let watch = client.watch_registry(WatchRegistryRequest::default()).await.unwrap();
    let mut watch = watch.into_inner();
    let mut changes = Vec::new();
    while changes.len() < usize::try_from(revision).unwrap() {
        let change = within(PATIENCE, "a change", watch.message()).await.unwrap();
        changes.push(change.unwrap());
    }
    changes
}

/// Registers 1.0.0, 1.1.0 with an added field, and 2.0.0 with a numeric id.
async fn three_versions(client: &mut Client) {
    for (number, fields) in
        [("1.0.0", ID), ("1.1.0", "string id = 1; int32 n = 2;"), ("2.0.0", "int64 id = 1;")]
    {
        version(client, declared(number, proto("orders", fields))).await.unwrap();
    }
}

#[tokio::test]
async fn requirements_resolve_to_the_best_version_and_its_convertible_versions() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    three_versions(&mut client).await;
    client.set_version_state(state_request("1.0.0", VersionState::Retired)).await.unwrap();
    let deprecate = SetVersionStateRequest {
        deprecation: "move to 2".into(),
        ..state_request("1.1.0", VersionState::Deprecated)
    };
    client.set_version_state(deprecate).await.unwrap();

    let requirements = [("orders", "^1"), ("nowhere", "^1")];
    let negotiated = negotiate(&mut client, negotiation("", &requirements)).await.unwrap();
    let schema = negotiated[0].schema.clone().unwrap();
    assert_eq!((schema.version.as_str(), schema.deprecation.as_str()), ("1.1.0", "move to 2"));
    assert_eq!(
        negotiated[0].convertible_versions,
        ["1.0.0", "1.1.0"],
        "a retired version may have written events"
    );
    assert_eq!(negotiated[0].refused_versions.len(), 1);
    assert!(negotiated[0].refused_versions["2.0.0"].contains("no migration"));
    assert_eq!((&negotiated[1].schema, &negotiated[1].alternatives[..]), (&None, &[][..]));

    let unsatisfied =
        negotiate(&mut client, negotiation("", &[("orders", "=1.0.0")])).await.unwrap();
    assert_eq!(unsatisfied[0].schema, None);
    assert_eq!(unsatisfied[0].alternatives, ["^2.0"]);
    assert_eq!(unsatisfied[0].refused_versions["1.0.0"], "it is retired");
    assert_eq!(
        consumer_lines(&mut client).await,
        Vec::<String>::new(),
        "no requirement is recorded without `record`"
    );
    server.assert_calm();
}

#[tokio::test]
async fn recorded_requirements_are_listed_and_survive_a_crash() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    three_versions(&mut client).await;
    declare(&mut client, "billing", &[("orders", "1.1"), ("later", "*")]).await;
    stream(&mut client, "billing", &[("orders", ">=1")], false).await;
    stream(&mut client, "search", &[("orders", "^2")], false).await;
    let known = [
        "billing later * ->  declared",
        "billing orders >=1 -> 2.0.0 connected",
        "billing orders ^1.1 -> 1.1.0 declared",
        "search orders ^2 -> 2.0.0 connected",
    ];
    assert_eq!(consumer_lines(&mut client).await, known);
    // One entry per page, filtered by subject.
    let mut pages = Vec::new();
    let mut request = ListConsumersRequest {
        subject: "orders".into(),
        page_size: 1,
        ..ListConsumersRequest::default()
    };
    loop {
        let page = client.list_consumers(request.clone()).await.unwrap().into_inner();
        pages.extend(
            page.consumers
                .into_iter()
                .map(|consumer| format!("{} {}", consumer.name, consumer.requirement)),
        );
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, ["billing >=1", "billing ^1.1", "search ^2"]);
    let request = ListConsumersRequest { consumer: "search".into(), ..Default::default() };
    assert_eq!(listed(&mut client, request).await.len(), 1);

    let server = server.crash().await;
    let mut client = self::client(&server);
    let seen = known.map(|line| line.replace("connected", "seen"));
    assert_eq!(consumer_lines(&mut client).await, seen, "servers report their streams again");
    stream(&mut client, "search", &[("orders", "^2")], false).await;
    assert_eq!(consumer_lines(&mut client).await[3], known[3]);
    stream(&mut client, "search", &[("orders", "^2")], true).await;
    assert_eq!(consumer_lines(&mut client).await[3], seen[3]);

    declare(&mut client, "billing", &[("orders", "^2")]).await;
    let remaining =
        ["billing orders >=1 -> 2.0.0 seen", "billing orders ^2 -> 2.0.0 declared", &seen[3]];
    assert_eq!(consumer_lines(&mut client).await, remaining);
    declare(&mut client, "billing", &[]).await;
    declare(&mut client, "search", &[]).await;
    assert_eq!(consumer_lines(&mut client).await, Vec::<String>::new(), "no requirement is left");
    let server = server.crash().await;
    assert_eq!(consumer_lines(&mut self::client(&server)).await, Vec::<String>::new());
    server.assert_calm();
}

/// A plan stays valid when a stream begins.
#[tokio::test]
async fn recorded_requirements_make_no_revision() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    three_versions(&mut client).await;
    let request = ApplySchemasRequest {
        schemas: vec![proto("orders", "int64 id = 1; string note = 2;")],
        ..ApplySchemasRequest::default()
    };
    let plan = ApplySchemasRequest { validate_only: true, ..request.clone() };
    let planned = apply(&mut client, plan).await.unwrap();
    declare(&mut client, "billing", &[("orders", "^1")]).await;
    let request = ApplySchemasRequest { expected_revision: planned.revision, ..request };
    assert_eq!(apply(&mut client, request).await.unwrap().revision, planned.revision + 1);
}

#[tokio::test]
async fn a_new_major_is_refused_if_readers_that_cannot_read_it_would_get_it() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    version(&mut client, proto("orders", ID)).await.unwrap();
    declare(&mut client, "audit", &[("orders", "*")]).await;
    stream(&mut client, "billing", &[("orders", ">=1")], false).await;
    declare(&mut client, "billing", &[("orders", ">=1")]).await;
    declare(&mut client, "careful", &[("orders", "^1")]).await;
    declare(&mut client, "eager", &[("orders", "^2")]).await;
    let breaking = declared("2.0.0", proto("orders", "int64 id = 1;"));

    let checked = check(&mut client, breaking.clone()).await;
    assert!(!checked.acceptable);
    let report = checked.report.unwrap();
    let affected = &report.affected_consumers;
    let name_and_connection = |affected: &tidings_registry::proto::v1::AffectedConsumer| {
        let consumer = affected.consumer.clone().unwrap();
        (consumer.name, consumer.connected)
    };
    let expected = [("audit".to_owned(), false), ("billing".to_owned(), true)];
    assert_eq!(affected.iter().map(name_and_connection).collect::<Vec<_>>(), expected);
    assert_eq!((report.total_affected_consumers, report.next_version.as_str()), (2, "2.0.0"));
    let reason = &affected[0].reason;
    assert!(
        reason.contains("delivered 2.0.0 instead of 1.0.0") && reason.contains("string"),
        "{reason}"
    );

    let refused = register(&mut client, breaking.clone()).await.unwrap_err();
    assert_refused(&refused, Code::FailedPrecondition, "CONSUMERS_LEFT_BEHIND");
    assert!(refused.message().contains("\"audit\""), "{}", refused.message());
    assert_eq!(metadata(&refused)["total"], "2");
    assert_eq!(report_of(&refused).affected_consumers.len(), 2);

    // An apply lists the affected consumers only in the result of the draft that affects them.
    let other = proto("other", ID);
    let request = ApplySchemasRequest {
        schemas: vec![other, breaking.clone()],
        ..ApplySchemasRequest::default()
    };
    let plan = ApplySchemasRequest { validate_only: true, ..request.clone() };
    let planned = apply(&mut client, plan.clone()).await.unwrap();
    assert!(!planned.acceptable);
    let affected = |n: usize| planned.results[n].report.clone().unwrap().affected_consumers.len();
    assert_eq!((affected(0), affected(1)), (0, 2));
    let refused = apply(&mut client, request.clone()).await.unwrap_err();
    assert_refused(&refused, Code::FailedPrecondition, "CONSUMERS_LEFT_BEHIND");

    // A forced change needs a reason.
    let forced = ApplySchemasRequest { force: true, ..request };
    let refused = apply(&mut client, forced.clone()).await.unwrap_err();
    assert_refused(&refused, Code::InvalidArgument, "INVALID_REQUEST");
    assert!(refused.message().contains("force_reason"), "{}", refused.message());
    let forced = ApplySchemasRequest { force_reason: "audit is gone".into(), ..forced };
    let plan = ApplySchemasRequest { validate_only: true, ..forced.clone() };
    assert!(apply(&mut client, plan).await.unwrap().acceptable);
    let applied = apply(&mut client, forced).await.unwrap();
    assert_eq!(applied.results[1].report.clone().unwrap().affected_consumers.len(), 2);
    let changes = changes(&mut client, applied.revision).await;
    let forced: Vec<_> =
        changes.iter().map(|change| (change.forced, change.force_reason.as_str())).collect();
    assert_eq!(forced, [(false, ""), (false, ""), (true, "audit is gone")]);
    assert_eq!(changes[2].left_behind, ["audit", "billing"]);

    // Both consumers now get the new major version; further versions of it affect no consumer.
    let next = proto("orders", "int64 id = 1; string note = 2;");
    assert!(check(&mut client, next).await.acceptable);
    server.assert_calm();
}

/// Details travel in trailers, whose size proxies limit.
#[tokio::test]
async fn a_long_list_of_affected_consumers_is_cut_to_fit_the_details() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    version(&mut client, proto("orders", ID)).await.unwrap();
    for n in 0..60 {
        declare(&mut client, &format!("{n:0>200}"), &[("orders", "*")]).await;
    }
    let breaking = declared("2.0.0", proto("orders", "int64 id = 1;"));
    let report = check(&mut client, breaking.clone()).await.report.unwrap();
    assert_eq!(report.affected_consumers.len(), 60);
    let refused = register(&mut client, breaking).await.unwrap_err();
    assert_refused(&refused, Code::FailedPrecondition, "CONSUMERS_LEFT_BEHIND");
    let report = report_of(&refused);
    assert!((1..60).contains(&report.affected_consumers.len()), "{report:?}");
    assert_eq!(report.total_affected_consumers, 60);
    let retire =
        client.set_version_state(state_request("1.0.0", VersionState::Retired)).await.unwrap_err();
    assert_eq!(metadata(&retire)["total"], "60");
    for status in [&refused, &retire] {
        assert!(status.details().len() < 4096, "{} bytes", status.details().len());
        assert!(status.message().chars().count() < 500);
    }
}

#[tokio::test]
async fn without_compatibility_readers_within_their_range_are_affected() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    let level = Compatibility::None.into();
    let loose = |fields: &str| SchemaDraft { compatibility: level, ..proto("loose", fields) };
    version(&mut client, loose(ID)).await.unwrap();
    declare(&mut client, "billing", &[("loose", "^1")]).await;
    let refused = register(&mut client, loose("int64 id = 1;")).await.unwrap_err();
    assert_refused(&refused, Code::FailedPrecondition, "CONSUMERS_LEFT_BEHIND");
    // A consumer that waits for the next version is not affected.
    declare(&mut client, "billing", &[("loose", "^1.0.1")]).await;
    assert_eq!(version(&mut client, loose("int64 id = 1;")).await.unwrap(), "1.1.0");
    // A change that affects no consumer is not recorded as forced.
    let request = RegisterSchemaRequest {
        schema: Some(loose("int64 id = 1; int32 n = 2;")),
        force: true,
        force_reason: "to be sure".into(),
    };
    client.register_schema(request).await.unwrap();
    assert!(changes(&mut client, 3).await.iter().all(|change| !change.forced));
}

#[tokio::test]
async fn an_incompatible_schema_lists_the_affected_consumers() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    version(&mut client, proto("orders", ID)).await.unwrap();
    declare(&mut client, "billing", &[("orders", "^1")]).await;
    declare(&mut client, "eager", &[("orders", "^2")]).await;
    let checked = check(&mut client, proto("orders", "int64 id = 1;")).await;
    let report = checked.report.unwrap();
    assert_eq!((checked.acceptable, report.affected_consumers.len()), (false, 1));
    assert!(report.affected_consumers[0].reason.contains("instead of 1.0.0"));
    let refused = register(&mut client, proto("orders", "int64 id = 1;")).await.unwrap_err();
    assert_refused(&refused, Code::FailedPrecondition, "SCHEMA_INCOMPATIBLE");
    assert_eq!(report_of(&refused).affected_consumers.len(), 1);
}

#[tokio::test]
async fn versions_that_consumers_need_are_not_withdrawn() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    three_versions(&mut client).await;
    declare(&mut client, "billing", &[("orders", "^1")]).await;
    declare(&mut client, "eager", &[("orders", ">=1")]).await;
    let violations = |status: &Status| {
        let details = status.get_details_precondition_failure().unwrap();
        let fields = |violation: tonic_types::PreconditionViolation| {
            (violation.r#type, violation.subject, violation.description)
        };
        details.violations.into_iter().map(fields).collect::<Vec<_>>()
    };
    // No consumer is delivered 1.0.0, because 1.1.0 is active.
    client.set_version_state(state_request("1.0.0", VersionState::Retired)).await.unwrap();
    let refused =
        client.set_version_state(state_request("1.1.0", VersionState::Retired)).await.unwrap_err();
    assert_refused(&refused, Code::FailedPrecondition, "CONSUMERS_LEFT_BEHIND");
    let affected = violations(&refused);
    assert_eq!(affected.len(), 1);
    assert_eq!(
        (affected[0].0.as_str(), affected[0].1.as_str()),
        ("CONSUMERS_LEFT_BEHIND", "billing")
    );
    assert!(affected[0].2.contains("the remaining versions satisfy ^2.0"), "{}", affected[0].2);
    // A deprecated version is delivered if no active version satisfies the requirement.
    client.set_version_state(state_request("1.1.0", VersionState::Deprecated)).await.unwrap();
    client.set_version_state(state_request("1.1.0", VersionState::Active)).await.unwrap();
    // The consumer would fall back to a version that it cannot read.
    let refused = client.set_version_state(state_request("2.0.0", VersionState::Deprecated)).await;
    let affected = violations(&refused.unwrap_err());
    assert_eq!(affected[0].1, "eager");
    assert!(affected[0].2.contains("delivered 1.1.0 instead of 2.0.0"), "{}", affected[0].2);

    let delete = DeleteSubjectRequest { name: "orders".into(), ..Default::default() };
    let refused = client.delete_subject(delete.clone()).await.map(Response::into_inner);
    let refused = refused.unwrap_err();
    assert_refused(&refused, Code::FailedPrecondition, "CONSUMERS_LEFT_BEHIND");
    assert_eq!(violations(&refused).len(), 2);

    let retire = SetVersionStateRequest {
        force: true,
        force_reason: "billing is switched off on Friday".into(),
        ..state_request("1.1.0", VersionState::Retired)
    };
    client.set_version_state(retire).await.unwrap();
    let delete = DeleteSubjectRequest { force: true, force_reason: "a prototype".into(), ..delete };
    client.delete_subject(delete).await.unwrap();
    let changes = changes(&mut client, 8).await;
    let forced: Vec<_> = changes.iter().filter(|change| change.forced).collect();
    assert_eq!(forced.len(), 2);
    assert_eq!(forced[0].force_reason, "billing is switched off on Friday");
    assert_eq!(forced[0].left_behind, ["billing"]);
    assert_eq!(forced[1].left_behind, ["eager"], "billing had no version left");
    server.assert_calm();
}

#[tokio::test]
async fn malformed_requests_are_refused_with_every_violation() {
    let server = Server::start(Options::default()).await;
    let mut client = client(&server);
    let record = |request| NegotiateVersionsRequest { record: true, ..request };
    let long = "x".repeat(256);
    let many: Vec<String> = (0..101).map(|n| format!("s{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|subject| (subject.as_str(), "^1")).collect();
    let stream = ConsumerOrigin::Stream.into();
    let rows = [
        (negotiation("", &[]), "INVALID_REQUEST", "requirements"),
        (record(negotiation("", &[("a", "^1")])), "INVALID_NAME", "consumer"),
        (record(negotiation("a b", &[("a", "^1")])), "INVALID_NAME", "consumer"),
        (record(negotiation(&long, &[("a", "^1")])), "INVALID_NAME", "the limit is 255"),
        (
            negotiation("", &[("a", "one"), ("", "^1"), ("b", "")]),
            "INVALID_VERSION",
            "requirements[1].subject",
        ),
        (
            negotiation("", &[("a", "^1"), ("a", "^2")]),
            "INVALID_REQUEST",
            "requirements[1].subject",
        ),
        (negotiation("", &many), "INVALID_REQUEST", "101 entries; the limit is 100"),
        (
            NegotiateVersionsRequest { ended: true, ..negotiation("", &[("a", "^1")]) },
            "INVALID_REQUEST",
            "ended",
        ),
        (
            NegotiateVersionsRequest { ended: true, ..record(negotiation("x", &[("a", "^1")])) },
            "INVALID_REQUEST",
            "ended",
        ),
        (
            NegotiateVersionsRequest { origin: stream, ..record(negotiation("x", &[])) },
            "INVALID_REQUEST",
            "requirements",
        ),
        (
            NegotiateVersionsRequest { origin: 9, ..record(negotiation("x", &[])) },
            "INVALID_REQUEST",
            "origin",
        ),
    ];
    for (request, reason, expected) in rows {
        let refused = negotiate(&mut client, request.clone()).await.unwrap_err();
        assert_refused(&refused, Code::InvalidArgument, reason);
        assert!(refused.message().contains(expected), "{request:?}: {}", refused.message());
    }
    for request in [
        ListConsumersRequest { page_token: "nonsense!".into(), ..Default::default() },
        ListConsumersRequest { page_token: "YQ".into(), ..Default::default() },
        ListConsumersRequest { page_size: -1, ..Default::default() },
    ] {
        let refused = client.list_consumers(request).await.unwrap_err();
        assert_refused(&refused, Code::InvalidArgument, "INVALID_REQUEST");
    }
    // A hundred requirements of one stream, then one more of another.
    self::stream(&mut client, "billing", &many[..100], false).await;
    let more =
        NegotiateVersionsRequest { origin: stream, ..record(negotiation("billing", &many[100..])) };
    let refused = negotiate(&mut client, more).await.unwrap_err();
    assert_refused(&refused, Code::ResourceExhausted, "OVERLOADED");
    assert_eq!((&*metadata(&refused)["size"], &*metadata(&refused)["limit"]), ("101", "100"));
    server.assert_calm();
}
