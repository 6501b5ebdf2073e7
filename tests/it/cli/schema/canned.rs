//! A registry with canned responses: the output of the commands does not depend on the rules of a
//! real registry.

use std::{collections::HashMap, pin::Pin};

use prost::Message as _;
use prost_types::{Any, Timestamp};
use tidings_registry::proto::v1::{
    schema_registry_service_server::{SchemaRegistryService, SchemaRegistryServiceServer},
    *,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::{Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{Code, Request, Response, Status, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _, pb};

type RpcResult<T> = Result<Response<T>, Status>;

/// A running server with canned responses. It stops when dropped.
pub struct Canned {
    address: std::net::SocketAddr,
    task: JoinHandle<()>,
}

impl Canned {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Server::builder()
            .add_service(SchemaRegistryServiceServer::new(CannedRegistry))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let task = tokio::spawn(async { serving.await.unwrap() });
        Self { address, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct CannedRegistry;

const REVISION: u64 = 41;

fn error(code: Code, reason: &str, message: &str, metadata: &[(&str, &str)]) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "tidings", pairs(metadata));
    Status::with_error_details(code, message, details)
}

fn pairs(metadata: &[(&str, &str)]) -> HashMap<String, String> {
    metadata.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn invalid_schema(field: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info("INVALID_SCHEMA", "tidings", pairs(&[]));
    details.add_bad_request_violation(field, "4:2: name 'sting' is not defined");
    Status::with_error_details(Code::InvalidArgument, "schema.definition: 4:2: no", details)
}

fn finding(against: &str) -> Finding {
    Finding {
        rule: "PROTOBUF_FIELD_TYPE_CHANGED".into(),
        severity: Severity::Error.into(),
        direction: Direction::Both.into(),
        old_path: "shop.OrderPlaced.total".into(),
        new_path: "shop.OrderPlaced.total".into(),
        old_value: "int32".into(),
        new_value: "string".into(),
        compared_version: against.into(),
        message: "field 2 (\"total\") changed from int32 to string, <so> it's 100% lost".into(),
        suggestion: "add another field".into(),
        witness: "{\"total\": 1}".into(),
        line: 7,
        column: 3,
        witness_path: "/total".into(),
        witness_fragment: "1".into(),
        witness_size_bytes: 12,
    }
}

fn breaking(subject: &str) -> CompatibilityReport {
    let needs = Consumer {
        name: "billing".into(),
        subject: subject.into(),
        requirement: "^1.2".into(),
        connected: true,
        ..Consumer::default()
    };
    let reason = "it would get 1.2.0 only".to_owned();
    CompatibilityReport {
        subject: subject.into(),
        compared_versions: vec!["1.0.0".into(), "1.2.0".into()],
        backward: Verdict::Incompatible.into(),
        forward: Verdict::Incompatible.into(),
        required_bump: Bump::Major.into(),
        next_version: "2.0.0".into(),
        findings: vec![finding("1.2.0"), finding("1.0.0")],
        affected_consumers: vec![AffectedConsumer { consumer: Some(needs), reason }],
        total_affected_consumers: 1,
        total_findings: 2,
        ..CompatibilityReport::default()
    }
}

fn compatible(subject: &str) -> CompatibilityReport {
    let added = Finding {
        rule: "PROTOBUF_FIELD_ADDED".into(),
        severity: Severity::Info.into(),
        message: "field 3 (\"note\") was added".into(),
        suggestion: String::new(),
        witness: String::new(),
        witness_path: String::new(),
        witness_fragment: String::new(),
        witness_size_bytes: 0,
        line: 8,
        ..finding("1.2.0")
    };
    CompatibilityReport {
        subject: subject.into(),
        compared_versions: vec!["1.2.0".into()],
        backward: Verdict::Compatible.into(),
        forward: Verdict::Compatible.into(),
        required_bump: Bump::Minor.into(),
        next_version: "1.3.0".into(),
        findings: vec![added],
        total_findings: 1,
        ..CompatibilityReport::default()
    }
}

/// A report with consumers that accept every version and could not read this version.
fn affecting_consumers(subject: &str) -> CompatibilityReport {
    let breaking = breaking(subject);
    let consumer = |name: &str, origin: ConsumerOrigin| Consumer {
        name: name.into(),
        subject: subject.into(),
        requirement: ">=1".into(),
        connected: origin == ConsumerOrigin::Stream,
        origin: origin.into(),
        ..Consumer::default()
    };
    let affected = |consumer| AffectedConsumer {
        consumer: Some(consumer),
        reason:
            "it would be delivered 2.0.0 instead of 1.2.0, and readers of 1.2.0 cannot read that"
                .into(),
    };
    CompatibilityReport {
        affected_consumers: vec![
            affected(consumer("audit", ConsumerOrigin::Declared)),
            affected(consumer("billing", ConsumerOrigin::Stream)),
        ],
        total_affected_consumers: 5,
        ..breaking
    }
}

fn first_version(subject: &str) -> CompatibilityReport {
    CompatibilityReport {
        subject: subject.into(),
        backward: Verdict::Compatible.into(),
        forward: Verdict::Compatible.into(),
        required_bump: Bump::None.into(),
        next_version: "1.0.0".into(),
        ..CompatibilityReport::default()
    }
}

fn schema(subject: &str, version: &str) -> Schema {
    Schema {
        subject: subject.into(),
        version: version.into(),
        id: 7,
        format: SchemaFormat::Json.into(),
        definition: Some(Definition {
            form: Some(definition::Form::Text("{\n  \"type\": \"object\"\n}\n".into())),
            ..Definition::default()
        }),
        references: vec![Reference {
            name: "money.json".into(),
            subject: "shop.Money".into(),
            version: "1.2.0".into(),
        }],
        fingerprint: "00ff".into(),
        state: VersionState::Active.into(),
        deprecation: String::new(),
        labels: [("team".to_owned(), "checkout".to_owned())].into(),
        create_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        bump: Bump::Minor.into(),
    }
}

fn subject(name: &str) -> Subject {
    Subject {
        name: name.into(),
        format: SchemaFormat::Protobuf.into(),
        compatibility: Compatibility::FullTransitive.into(),
        content_model: ContentModel::Lenient.into(),
        latest_version: "1.2.0".into(),
        versions: vec!["1.0.0".into(), "1.2.0".into()],
        owner: "nobody".into(),
        description: "An order was placed".into(),
        etag: "e1".into(),
        surface: Surface::WireJson.into(),
        ..Subject::default()
    }
}

/// The result that each subject stands for.
fn result(draft: &SchemaDraft, force: bool) -> RegisterSchemaResponse {
    let name = draft.subject.as_str();
    let refused = |report, reason: ErrorReason| RegisterSchemaResponse {
        report: Some(report),
        refusal_reason: reason.into(),
        ..Default::default()
    };
    let (report, version, outcome) = match name {
        "shop.Refused" => return refused(breaking(name), ErrorReason::SchemaIncompatible),
        "shop.Behind" if force => (affecting_consumers(name), "2.0.0", Outcome::Registered),
        "shop.Behind" => {
            return refused(affecting_consumers(name), ErrorReason::ConsumersLeftBehind);
        }
        "shop.OrderPlaced" => (compatible(name), "1.3.0", Outcome::Registered),
        "shop.Money" | "shop.Known" => (first_version(name), "1.2.0", Outcome::AlreadyRegistered),
        _ => (first_version(name), "1.0.0", Outcome::Registered),
    };
    RegisterSchemaResponse {
        schema: Some(schema(name, version)),
        outcome: outcome.into(),
        report: Some(report),
        is_latest: name != "shop.Known",
        refusal_reason: ErrorReason::Unspecified.into(),
    }
}

const NO_VERSION_LEFT: &str =
    "it is delivered 1.2.0; no version would satisfy ^1.2; the remaining versions satisfy ^2.0";

fn no_version(subject: &str, version: &str) -> Status {
    let message = format!("subject \"{subject}\" has no version {version}");
    let metadata = [("subject", subject), ("version", version), ("nearest", "1.2.0")];
    error(Code::NotFound, "VERSION_NOT_FOUND", &message, &metadata)
}

/// shop.OrderPlaced has 1.0.0, 1.2.0 and 2.0.0; shop.Old has 1.0.0; no other subject exists.
fn negotiated(request: &VersionRequirement) -> NegotiatedVersion {
    let owned = |versions: &[&str]| versions.iter().map(|version| (*version).to_owned()).collect();
    let refused = |versions: &[&str], reason: &str| {
        versions.iter().map(|version| ((*version).to_owned(), reason.to_owned())).collect()
    };
    let no_migration = "another major version: no migration is registered";
    let response =
        NegotiatedVersion { subject: request.subject.clone(), ..NegotiatedVersion::default() };
    match (request.subject.as_str(), request.requirement.as_str()) {
        ("shop.OrderPlaced", "^1" | "^1.2") => NegotiatedVersion {
            schema: Some(schema(&request.subject, "1.2.0")),
            convertible_versions: owned(&["1.0.0", "1.2.0"]),
            refused_versions: refused(&["2.0.0"], no_migration),
            ..response
        },
        ("shop.OrderPlaced", "^2") => NegotiatedVersion {
            schema: Some(schema(&request.subject, "2.0.0")),
            convertible_versions: owned(&["2.0.0"]),
            refused_versions: refused(&["1.0.0", "1.2.0"], no_migration),
            ..response
        },
        ("shop.OrderPlaced", _) => NegotiatedVersion {
            refused_versions: refused(
                &["1.0.0", "1.2.0", "2.0.0"],
                &format!("it does not satisfy {}", request.requirement),
            ),
            alternatives: owned(&["^1.0", "^2.0"]),
            ..response
        },
        ("shop.Old", _) => NegotiatedVersion {
            schema: Some(Schema {
                state: VersionState::Deprecated.into(),
                deprecation: "move to shop.OrderPlaced".into(),
                ..schema(&request.subject, "1.0.0")
            }),
            convertible_versions: owned(&["1.0.0"]),
            ..response
        },
        _ => response,
    }
}

#[tonic::async_trait]
impl SchemaRegistryService for CannedRegistry {
    async fn register_schema(
        &self,
        request: Request<RegisterSchemaRequest>,
    ) -> RpcResult<RegisterSchemaResponse> {
        let request = request.into_inner();
        let draft = request.schema.unwrap();
        let (mut report, reason) = match draft.subject.as_str() {
            "shop.OrderPlaced" => (breaking("shop.OrderPlaced"), "SCHEMA_INCOMPATIBLE"),
            "shop.Behind" if !request.force => {
                (affecting_consumers("shop.Behind"), "CONSUMERS_LEFT_BEHIND")
            }
            _ => return Ok(Response::new(result(&draft, request.force))),
        };
        // Truncated: one finding of two.
        report.findings.truncate(1);
        let any = Any {
            type_url: "type.googleapis.com/tidings.registry.v1.CompatibilityReport".into(),
            value: report.encode_to_vec(),
        };
        let status = error(Code::FailedPrecondition, reason, "it needs 2.0.0", &[]);
        let mut details = pb::Status::decode(status.details()).unwrap();
        details.details.push(any);
        let details = details.encode_to_vec().into();
        Err(Status::with_details(status.code(), status.message(), details))
    }

    async fn check_schema(
        &self,
        request: Request<CheckSchemaRequest>,
    ) -> RpcResult<CheckSchemaResponse> {
        let draft = request.into_inner().schema.unwrap();
        let (report, acceptable) = match draft.subject.as_str() {
            "shop.Invalid" => return Err(invalid_schema("schema.definition")),
            "shop.New" => (first_version("shop.New"), true),
            "shop.OrderPaid" => (compatible("shop.OrderPaid"), true),
            "shop.Behind" => (affecting_consumers("shop.Behind"), false),
            name => (breaking(name), false),
        };
        let reason = match draft.subject.as_str() {
            _ if acceptable => ErrorReason::Unspecified,
            "shop.Behind" => ErrorReason::ConsumersLeftBehind,
            _ => ErrorReason::SchemaIncompatible,
        };
        let refusal_reason = reason.into();
        Ok(Response::new(CheckSchemaResponse { report: Some(report), acceptable, refusal_reason }))
    }

    async fn apply_schemas(
        &self,
        request: Request<ApplySchemasRequest>,
    ) -> RpcResult<ApplySchemasResponse> {
        let request = request.into_inner();
        if ![0, REVISION].contains(&request.expected_revision) {
            let message = format!(
                "the registry is at revision {REVISION}, and {} was expected",
                request.expected_revision
            );
            return Err(error(Code::Aborted, "REVISION_MOVED", &message, &[("revision", "41")]));
        }
        let is_refused = |draft: &SchemaDraft| match draft.subject.as_str() {
            "shop.Refused" => true,
            "shop.Behind" => !request.force,
            _ => false,
        };
        let acceptable = !request.schemas.iter().any(is_refused);
        assert!(!request.force || request.validate_only || !request.force_reason.is_empty());
        Ok(Response::new(ApplySchemasResponse {
            results: request.schemas.iter().map(|draft| result(draft, request.force)).collect(),
            revision: if request.validate_only { REVISION } else { REVISION + 1 },
            acceptable,
        }))
    }

    async fn get_schema(&self, request: Request<GetSchemaRequest>) -> RpcResult<GetSchemaResponse> {
        match request.into_inner().by {
            Some(get_schema_request::By::SubjectVersion(version)) => {
                let schema = Some(schema(&version.subject, "1.2.0"));
                Ok(Response::new(GetSchemaResponse { schema }))
            }
            _ => Err(error(Code::NotFound, "SCHEMA_NOT_FOUND", "no schema has the id 404", &[])),
        }
    }

    async fn list_schemas(
        &self,
        request: Request<ListSchemasRequest>,
    ) -> RpcResult<ListSchemasResponse> {
        let name = request.into_inner().subject;
        let old = Schema {
            state: VersionState::Deprecated.into(),
            deprecation: "use 1.2.0".into(),
            bump: Bump::None.into(),
            id: 3,
            ..schema(&name, "1.0.0")
        };
        let schemas = vec![old, schema(&name, "1.2.0")];
        Ok(Response::new(ListSchemasResponse { schemas, next_page_token: String::new() }))
    }

    async fn diff_schemas(
        &self,
        request: Request<DiffSchemasRequest>,
    ) -> RpcResult<DiffSchemasResponse> {
        let old = request.into_inner().old.unwrap();
        let report = match old.version.as_str() {
            "1.0.0" => breaking(&old.subject),
            "1.2.0" => compatible(&old.subject),
            version => return Err(no_version(&old.subject, version)),
        };
        // A comparison of two registered versions affects no consumer.
        let report = CompatibilityReport {
            affected_consumers: Vec::new(),
            total_affected_consumers: 0,
            ..report
        };
        Ok(Response::new(DiffSchemasResponse { report: Some(report) }))
    }

    async fn validate_payload(
        &self,
        request: Request<ValidatePayloadRequest>,
    ) -> RpcResult<ValidatePayloadResponse> {
        let request = request.into_inner();
        let valid = request.payload == Some(validate_payload_request::Payload::Json("{}".into()));
        let violation = |path: &str, message: &str| PayloadViolation {
            path: path.into(),
            message: message.into(),
        };
        let violations = if valid {
            Vec::new()
        } else {
            vec![violation("", "expected an object"), violation("/total", "expected a number")]
        };
        Ok(Response::new(ValidatePayloadResponse { valid, violations }))
    }

    async fn get_subject(
        &self,
        request: Request<GetSubjectRequest>,
    ) -> RpcResult<GetSubjectResponse> {
        let name = request.into_inner().name;
        if name == "shop.OrderPaid" {
            return Err(error(Code::NotFound, "SUBJECT_NOT_FOUND", "no such subject", &[]));
        }
        Ok(Response::new(GetSubjectResponse { subject: Some(subject(&name)) }))
    }

    async fn list_subjects(
        &self,
        request: Request<ListSubjectsRequest>,
    ) -> RpcResult<ListSubjectsResponse> {
        let request = request.into_inner();
        // Two pages.
        let (name, next) = match request.page_token.as_str() {
            "" => ("shop.OrderPlaced", "more"),
            _ => ("shop.OrderPaid", ""),
        };
        let subjects =
            if name.starts_with(&request.prefix) { vec![subject(name)] } else { Vec::new() };
        Ok(Response::new(ListSubjectsResponse { subjects, next_page_token: next.into() }))
    }

    async fn update_subject(
        &self,
        request: Request<UpdateSubjectRequest>,
    ) -> RpcResult<UpdateSubjectResponse> {
        Ok(Response::new(UpdateSubjectResponse { subject: request.into_inner().subject }))
    }

    async fn delete_subject(
        &self,
        _: Request<DeleteSubjectRequest>,
    ) -> RpcResult<DeleteSubjectResponse> {
        Ok(Response::new(DeleteSubjectResponse {}))
    }

    async fn set_version_state(
        &self,
        request: Request<SetVersionStateRequest>,
    ) -> RpcResult<SetVersionStateResponse> {
        let request = request.into_inner();
        if request.state() == VersionState::Retired && request.version == "1.2.0" && !request.force
        {
            let message = format!(
                "consumer \"billing\", which needs ^1.2 of \"{}\", would be left behind: {NO_VERSION_LEFT} (and 1 more)",
                request.subject
            );
            let code = Code::FailedPrecondition;
            let mut details = ErrorDetails::new();
            details.set_error_info("CONSUMERS_LEFT_BEHIND", "tidings", pairs(&[("total", "2")]));
            for name in ["billing", "search"] {
                details.add_precondition_failure_violation(
                    "CONSUMERS_LEFT_BEHIND",
                    name,
                    NO_VERSION_LEFT,
                );
            }
            return Err(Status::with_error_details(code, message, details));
        }
        if request.state() == VersionState::Retired && !request.force {
            return Err(no_version(&request.subject, &request.version));
        }
        let schema = Schema {
            state: request.state,
            deprecation: request.deprecation,
            ..schema(&request.subject, &request.version)
        };
        Ok(Response::new(SetVersionStateResponse { schema: Some(schema) }))
    }

    async fn negotiate_versions(
        &self,
        request: Request<NegotiateVersionsRequest>,
    ) -> RpcResult<NegotiateVersionsResponse> {
        let request = request.into_inner();
        if request.consumer == "one.too.many" {
            let message = "this would be consumer 10001; the limit is 10000; forget consumers that no longer exist";
            let metadata = [("limit", "10000"), ("size", "10001")];
            return Err(error(Code::ResourceExhausted, "OVERLOADED", message, &metadata));
        }
        let versions = request.requirements.iter().map(negotiated).collect();
        Ok(Response::new(NegotiateVersionsResponse { versions }))
    }

    async fn list_consumers(
        &self,
        request: Request<ListConsumersRequest>,
    ) -> RpcResult<ListConsumersResponse> {
        let request = request.into_inner();
        let consumer =
            |name: &str, subject: &str, requirement: &str, origin: ConsumerOrigin| Consumer {
                name: name.into(),
                subject: subject.into(),
                requirement: requirement.into(),
                negotiated_version: "1.2.0".into(),
                last_seen_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
                connected: name == "billing" && origin == ConsumerOrigin::Stream,
                origin: origin.into(),
            };
        let (declared, stream) = (ConsumerOrigin::Declared, ConsumerOrigin::Stream);
        // Two pages.
        let (page, next) = match request.page_token.as_str() {
            "" => (
                vec![
                    consumer("billing", "shop.OrderPlaced", "^1", declared),
                    consumer("billing", "shop.OrderPlaced", "^1", stream),
                    consumer("billing", "shop.OrderPlaced", "^2", declared),
                ],
                "more",
            ),
            _ => (
                vec![
                    consumer("billing", "shop.Old", "^1", declared),
                    consumer("search", "shop.OrderPlaced", "*", stream),
                ],
                "",
            ),
        };
        let is_selected = |consumer: &Consumer| {
            (request.consumer.is_empty() || request.consumer == consumer.name)
                && (request.subject.is_empty() || request.subject == consumer.subject)
        };
        Ok(Response::new(ListConsumersResponse {
            consumers: page.into_iter().filter(is_selected).collect(),
            next_page_token: next.into(),
        }))
    }

    type WatchRegistryStream =
        Pin<Box<dyn Stream<Item = Result<WatchRegistryResponse, Status>> + Send>>;

    async fn watch_registry(
        &self,
        request: Request<WatchRegistryRequest>,
    ) -> RpcResult<Self::WatchRegistryStream> {
        use watch_registry_response::Change;
        let after = request.into_inner().after_revision;
        let change = |distance: u64, change| WatchRegistryResponse {
            revision: after + distance,
            time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            change: Some(change),
            ..WatchRegistryResponse::default()
        };
        let changes = [
            change(1, Change::SchemaRegistered(schema("shop.OrderPlaced", "1.3.0"))),
            change(2, Change::SubjectDeleted("shop.Prototype".into())),
            WatchRegistryResponse {
                forced: true,
                force_reason: "billing is switched off".into(),
                left_behind: vec!["billing".into()],
                ..change(3, Change::VersionStateSet(schema("shop.OrderPlaced", "1.0.0")))
            },
        ];
        let stream = tokio_stream::iter(changes.map(Ok)).chain(tokio_stream::pending());
        Ok(Response::new(Box::pin(stream)))
    }
}
