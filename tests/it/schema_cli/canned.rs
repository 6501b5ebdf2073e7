//! A registry that answers from a can: what the commands make of answers, without a registry's own opinions.

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

type Answer<T> = Result<Response<T>, Status>;

/// A running one. Gone when dropped.
pub struct Canned {
    address: std::net::SocketAddr,
    task: JoinHandle<()>,
}

impl Canned {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Server::builder()
            .add_service(SchemaRegistryServiceServer::new(Answers))
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

struct Answers;

const REVISION: u64 = 41;

fn error(code: Code, reason: &str, message: &str, metadata: &[(&str, &str)]) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "tidings", pairs(metadata));
    Status::with_error_details(code, message, details)
}

fn pairs(metadata: &[(&str, &str)]) -> HashMap<String, String> {
    metadata.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn no_such_text(field: &str) -> Status {
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

fn fine(subject: &str) -> CompatibilityReport {
    let added = Finding {
        rule: "PROTOBUF_FIELD_ADDED".into(),
        severity: Severity::Info.into(),
        message: "field 3 (\"note\") was added".into(),
        suggestion: String::new(),
        witness: String::new(),
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

fn first(subject: &str) -> CompatibilityReport {
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

/// What each subject is here for.
fn result(draft: &SchemaDraft) -> RegisterSchemaResponse {
    let name = draft.subject.as_str();
    let (report, version, outcome) = match name {
        "shop.Refused" => {
            return RegisterSchemaResponse { report: Some(breaking(name)), ..Default::default() };
        }
        "shop.OrderPlaced" => (fine(name), "1.3.0", Outcome::Registered),
        "shop.Money" | "shop.Known" => (first(name), "1.2.0", Outcome::AlreadyRegistered),
        _ => (first(name), "1.0.0", Outcome::Registered),
    };
    RegisterSchemaResponse {
        schema: Some(schema(name, version)),
        outcome: outcome.into(),
        report: Some(report),
        is_latest: name != "shop.Known",
    }
}

fn no_version(subject: &str, version: &str) -> Status {
    let message = format!("subject \"{subject}\" has no version {version}");
    let metadata = [("subject", subject), ("version", version), ("nearest", "1.2.0")];
    error(Code::NotFound, "VERSION_NOT_FOUND", &message, &metadata)
}

#[tonic::async_trait]
impl SchemaRegistryService for Answers {
    async fn register_schema(
        &self,
        request: Request<RegisterSchemaRequest>,
    ) -> Answer<RegisterSchemaResponse> {
        let draft = request.into_inner().schema.unwrap();
        if draft.subject != "shop.OrderPlaced" {
            return Ok(Response::new(result(&draft)));
        }
        // Cut to fit: one finding of two.
        let mut report = breaking(&draft.subject);
        report.findings.truncate(1);
        let any = Any {
            type_url: "type.googleapis.com/tidings.registry.v1.CompatibilityReport".into(),
            value: report.encode_to_vec(),
        };
        let code = Code::FailedPrecondition;
        let message = "it needs 2.0.0".to_owned();
        let details =
            pb::Status { code: code.into(), message: message.clone(), details: vec![any] };
        Err(Status::with_details(code, message, details.encode_to_vec().into()))
    }

    async fn check_schema(
        &self,
        request: Request<CheckSchemaRequest>,
    ) -> Answer<CheckSchemaResponse> {
        let draft = request.into_inner().schema.unwrap();
        let (report, acceptable) = match draft.subject.as_str() {
            "shop.Invalid" => return Err(no_such_text("schema.definition")),
            "shop.New" => (first("shop.New"), true),
            "shop.OrderPaid" => (fine("shop.OrderPaid"), true),
            name => (breaking(name), false),
        };
        Ok(Response::new(CheckSchemaResponse { report: Some(report), acceptable }))
    }

    async fn apply_schemas(
        &self,
        request: Request<ApplySchemasRequest>,
    ) -> Answer<ApplySchemasResponse> {
        let request = request.into_inner();
        if ![0, REVISION].contains(&request.expected_revision) {
            let message = format!(
                "the registry is at revision {REVISION}, and {} was expected",
                request.expected_revision
            );
            return Err(error(Code::Aborted, "REVISION_MOVED", &message, &[("revision", "41")]));
        }
        let acceptable = request.schemas.iter().all(|draft| draft.subject != "shop.Refused");
        Ok(Response::new(ApplySchemasResponse {
            results: request.schemas.iter().map(result).collect(),
            revision: if request.validate_only { REVISION } else { REVISION + 1 },
            acceptable,
        }))
    }

    async fn get_schema(&self, request: Request<GetSchemaRequest>) -> Answer<GetSchemaResponse> {
        match request.into_inner().by {
            Some(get_schema_request::By::SubjectVersion(it)) => {
                let schema = Some(schema(&it.subject, "1.2.0"));
                Ok(Response::new(GetSchemaResponse { schema }))
            }
            _ => Err(error(Code::NotFound, "SCHEMA_NOT_FOUND", "no schema has the id 404", &[])),
        }
    }

    async fn list_schemas(
        &self,
        request: Request<ListSchemasRequest>,
    ) -> Answer<ListSchemasResponse> {
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

    async fn diff_schemas(&self, _: Request<DiffSchemasRequest>) -> Answer<DiffSchemasResponse> {
        Err(Status::unimplemented(""))
    }

    async fn validate_payload(
        &self,
        request: Request<ValidatePayloadRequest>,
    ) -> Answer<ValidatePayloadResponse> {
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

    async fn get_subject(&self, request: Request<GetSubjectRequest>) -> Answer<GetSubjectResponse> {
        let name = request.into_inner().name;
        if name == "shop.OrderPaid" {
            return Err(error(Code::NotFound, "SUBJECT_NOT_FOUND", "no such subject", &[]));
        }
        Ok(Response::new(GetSubjectResponse { subject: Some(subject(&name)) }))
    }

    async fn list_subjects(
        &self,
        request: Request<ListSubjectsRequest>,
    ) -> Answer<ListSubjectsResponse> {
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
    ) -> Answer<UpdateSubjectResponse> {
        Ok(Response::new(UpdateSubjectResponse { subject: request.into_inner().subject }))
    }

    async fn delete_subject(
        &self,
        _: Request<DeleteSubjectRequest>,
    ) -> Answer<DeleteSubjectResponse> {
        Ok(Response::new(DeleteSubjectResponse {}))
    }

    async fn set_version_state(
        &self,
        request: Request<SetVersionStateRequest>,
    ) -> Answer<SetVersionStateResponse> {
        let request = request.into_inner();
        if request.state() == VersionState::Retired {
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
        _: Request<NegotiateVersionsRequest>,
    ) -> Answer<NegotiateVersionsResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_consumers(
        &self,
        _: Request<ListConsumersRequest>,
    ) -> Answer<ListConsumersResponse> {
        Err(Status::unimplemented(""))
    }

    type WatchRegistryStream =
        Pin<Box<dyn Stream<Item = Result<WatchRegistryResponse, Status>> + Send>>;

    async fn watch_registry(
        &self,
        request: Request<WatchRegistryRequest>,
    ) -> Answer<Self::WatchRegistryStream> {
        use watch_registry_response::Change;
        let after = request.into_inner().after_revision;
        let change = |behind: u64, change| WatchRegistryResponse {
            revision: after + behind,
            time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            change: Some(change),
            ..WatchRegistryResponse::default()
        };
        let changes = [
            change(1, Change::SchemaRegistered(schema("shop.OrderPlaced", "1.3.0"))),
            change(2, Change::SubjectDeleted("shop.Prototype".into())),
        ];
        let stream = tokio_stream::iter(changes.map(Ok)).chain(tokio_stream::pending());
        Ok(Response::new(Box::pin(stream)))
    }
}
