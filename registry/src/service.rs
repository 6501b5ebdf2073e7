//! The gRPC service of the registry: decodes requests, calls the registry, and encodes responses.

mod consumers;
mod decode;
pub(crate) mod report;
pub mod revision;
pub(crate) mod status;

use crate::convert::FromProto as _;
use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

pub use self::status::unreachable;
pub(crate) use self::status::{internal, invalid};
use self::{decode::Faults, report::fit, revision::AtRevision};
use crate::{
    catalog::plan::{Decision, Draft, Planned},
    convert::summary,
    error::WriteError,
    impact::Impact,
    proto::v1::{
        self, ErrorReason as Reason, schema_registry_service_server::SchemaRegistryService,
        schema_registry_service_server::SchemaRegistryServiceServer,
    },
    registry::{Applied, Registry},
    schema::{SchemaVersion, State},
};
use tidings_schema::level::Level;
use tidings_schema::{
    finding::{ContentModel, Surface},
    version,
};
use tidings_wire::pages;
use tidings_wire::text::shorten;

/// The largest request in bytes: a deployment of many schemas.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// Limits the drafts of a request.
const DRAFTS_MAX: usize = 1000;
/// Bytes of the reports in a response. With its other fields, a message stays under the 4 MiB that
/// clients accept.
const REPORTS_BYTES_MAX: usize = 3 << 19;
/// Limits concurrent compilations. The largest schema takes a second; reads continue meanwhile.
const COMPILERS: usize = 2;
/// How long a request waits for a permit to compile.
const COMPILER_WAIT: Duration = Duration::from_secs(10);
/// Changes that are read at a time for a watch.
const CHANGES_MAX: usize = 64;

/// The service of a registry.
#[derive(Clone)]
pub struct Service {
    registry: Registry,
    compilers: Arc<Semaphore>,
    draining: watch::Receiver<bool>,
}

impl Service {
    /// Creates the service. Watches end when `draining` becomes true.
    pub fn new(registry: Registry, draining: watch::Receiver<bool>) -> Self {
        Self { registry, compilers: Arc::new(Semaphore::new(COMPILERS)), draining }
    }

    /// Returns the tower service, for a server, or for a client in the same process.
    pub fn server(self) -> AtRevision<SchemaRegistryServiceServer<Self>> {
        let registry = self.registry.clone();
        let server = SchemaRegistryServiceServer::new(self);
        AtRevision::new(server.max_decoding_message_size(REQUEST_BYTES_MAX), registry)
    }

    /// Runs work that compiles schemas or writes, on a blocking thread.
    async fn compile<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Registry) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let permit = Arc::clone(&self.compilers).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(COMPILER_WAIT, permit).await else {
            return Err(status::overloaded());
        };
        let registry = self.registry.clone();
        let result = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&registry)
        });
        result.await.map_err(status::internal)
    }

    async fn apply(
        &self,
        drafts: Vec<Draft>,
        expected: Option<u64>,
        force: Option<String>,
    ) -> Result<Result<Applied, WriteError>, Status> {
        let apply = move |registry: &Registry| {
            registry.apply(&drafts, expected, force.as_deref(), Timestamp::now())
        };
        self.compile(apply).await
    }
}

type RpcResult<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl SchemaRegistryService for Service {
    async fn register_schema(
        &self,
        request: Request<v1::RegisterSchemaRequest>,
    ) -> RpcResult<v1::RegisterSchemaResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let force = decode::force(&mut faults, request.force, request.force_reason);
        let draft = decode::draft(&mut faults, "schema", request.schema);
        let draft = faults.finish(draft)?;
        let applied = self.apply(vec![draft], None, force).await?;
        let mut applied = applied.map_err(|error| match error {
            WriteError::Refused(refusals) => match &refusals[..] {
                [(_, refusal)] => status::refused("schema.", refusal),
                _ => status::write(&WriteError::Refused(refusals)),
            },
            error => status::write(&error),
        })?;
        let planned = applied.planned.pop();
        let planned = planned.ok_or_else(|| status::internal("a draft has no plan"))?;
        let schema = |schema: &SchemaVersion| schema.into();
        Ok(Response::new(self.result(planned, schema, REPORTS_BYTES_MAX)))
    }

    async fn check_schema(
        &self,
        request: Request<v1::CheckSchemaRequest>,
    ) -> RpcResult<v1::CheckSchemaResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let draft = decode::draft(&mut faults, "schema", request.schema);
        let against = match request.against_version.as_str() {
            "" => None,
            text => {
                let selector = version::Selector::parse(text);
                faults.take(Reason::InvalidVersion, "against_version", selector)
            }
        };
        let draft = faults.finish(draft)?;
        let requested = request.against_version;
        let checked = self.compile(move |registry| {
            let catalog = registry.catalog();
            let planned = registry.check(&catalog, &draft, Timestamp::now());
            let against = match &against {
                None => None,
                Some(selector) => {
                    let version = catalog.version(&draft.subject, selector, &requested);
                    let version = version.map_err(|error| status::not_found(&error))?;
                    let report = catalog.compare_with(&draft, version);
                    let report = report.map_err(|refusal| status::refused("schema.", &refusal))?;
                    Some(Impact { report, affected: planned.impact.affected.clone() })
                }
            };
            Ok::<_, Status>((planned, against))
        });
        let (planned, against) = checked.await??;
        let (impact, refusal_reason) = match planned.decision {
            Decision::AlreadyRegistered(_) | Decision::Register(_) => {
                (planned.impact, Reason::Unspecified)
            }
            Decision::Refused(refusal) => match refusal.impact() {
                Some(impact) => (impact.clone(), Reason::from(&refusal)),
                None => return Err(status::refused("schema.", &refusal)),
            },
        };
        let report = Some(fit(against.unwrap_or(impact).into(), REPORTS_BYTES_MAX));
        Ok(Response::new(v1::CheckSchemaResponse {
            report,
            acceptable: refusal_reason == Reason::Unspecified,
            refusal_reason: refusal_reason.into(),
        }))
    }

    async fn apply_schemas(
        &self,
        request: Request<v1::ApplySchemasRequest>,
    ) -> RpcResult<v1::ApplySchemasResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let count = request.schemas.len();
        if count == 0 || count > DRAFTS_MAX {
            let message = format!("has {count} entries; from 1 to {DRAFTS_MAX} are allowed");
            faults.add(Reason::InvalidRequest, "schemas", message);
        }
        let mut drafts = Vec::with_capacity(count.min(DRAFTS_MAX));
        for (n, draft) in request.schemas.into_iter().enumerate().take(DRAFTS_MAX) {
            drafts.extend(decode::draft(&mut faults, &format!("schemas[{n}]"), Some(draft)));
        }
        let force = match request.validate_only {
            true => request.force.then(String::new),
            false => decode::force(&mut faults, request.force, request.force_reason),
        };
        let drafts = faults.finish(Some(drafts))?;
        let expected = (request.expected_revision > 0).then_some(request.expected_revision);
        if !request.validate_only {
            let applied = self.apply(drafts, expected, force).await?;
            let applied = applied.map_err(|error| status::write(&error))?;
            return Ok(Response::new(self.applied(applied)?));
        }
        let planned = self.compile(move |registry| {
            let applied = registry.plan(&drafts, force.is_some(), Timestamp::now())?;
            match expected {
                Some(expected) if expected != applied.revision => {
                    Err(WriteError::RevisionMoved { expected, actual: applied.revision })
                }
                Some(_) | None => Ok(applied),
            }
        });
        let planned = planned.await?.map_err(|error| status::write(&error))?;
        Ok(Response::new(self.applied(planned)?))
    }

    async fn get_schema(
        &self,
        request: Request<v1::GetSchemaRequest>,
    ) -> RpcResult<v1::GetSchemaResponse> {
        let catalog = self.registry.catalog();
        let mut faults = Faults::default();
        let found = match request.into_inner().by {
            None => {
                faults.add(
                    Reason::InvalidRequest,
                    "by",
                    "is missing: give `id` or `subject_version`",
                );
                None
            }
            Some(v1::get_schema_request::By::Id(id)) => Some(catalog.by_id(id)),
            Some(v1::get_schema_request::By::SubjectVersion(selected)) => {
                decode::subject_version(&mut faults, "subject_version", Some(selected)).map(
                    |(name, selector, requested)| catalog.version(&name, &selector, &requested),
                )
            }
        };
        let schema = faults.finish(found)?.map_err(|error| status::not_found(&error))?;
        Ok(Response::new(v1::GetSchemaResponse { schema: Some((&**schema).into()) }))
    }

    async fn list_schemas(
        &self,
        request: Request<v1::ListSchemasRequest>,
    ) -> RpcResult<v1::ListSchemasResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let name = faults.name("subject", &request.subject);
        let size = faults.take(Reason::InvalidRequest, "page_size", pages::size(request.page_size));
        let after = pages::after(&request.page_token)
            .and_then(|entry| entry.map(|entry| version::parse(&entry)).transpose());
        let after = faults.take(Reason::InvalidRequest, "page_token", after);
        let (name, size, after) = faults.finish(name.zip(size).zip(after).map(flatten))?;
        let catalog = self.registry.catalog();
        let subject = catalog.subject(&name).map_err(|error| status::not_found(&error))?;
        let versions = subject
            .versions
            .values()
            .filter(|schema| after.as_ref().is_none_or(|after| schema.version > *after));
        let (schemas, has_more) =
            pages::fill(size, versions.map(|schema| v1::Schema::from(&**schema)));
        let last = schemas.last().filter(|_| has_more);
        let next_page_token = last.map(|schema| pages::token(&schema.version)).unwrap_or_default();
        Ok(Response::new(v1::ListSchemasResponse { next_page_token, schemas }))
    }

    async fn diff_schemas(
        &self,
        request: Request<v1::DiffSchemasRequest>,
    ) -> RpcResult<v1::DiffSchemasResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let old = decode::subject_version(&mut faults, "old", request.old);
        let new = decode::subject_version(&mut faults, "new", request.new);
        let (old, new) = faults.finish(old.zip(new))?;
        let compared = self.compile(move |registry| {
            let catalog = registry.catalog();
            let find = |(name, selector, requested): &(_, _, String)| {
                let schema = catalog.version(name, selector, requested);
                schema.cloned().map_err(|error| status::not_found(&error))
            };
            let (old, new) = (find(&old)?, find(&new)?);
            let subject =
                catalog.subject(&new.subject).map_err(|error| status::not_found(&error))?;
            let report = catalog.diff(&subject.settings, &old, &new);
            report.map_err(|refusal| status::refused("new.", &refusal))
        });
        let report = compared.await??;
        Ok(Response::new(v1::DiffSchemasResponse {
            report: Some(fit(report.into(), REPORTS_BYTES_MAX)),
        }))
    }

    async fn validate_payload(
        &self,
        request: Request<v1::ValidatePayloadRequest>,
    ) -> RpcResult<v1::ValidatePayloadResponse> {
        use v1::validate_payload_request::Payload;
        let request = request.into_inner();
        let mut faults = Faults::default();
        let selected = decode::subject_version(&mut faults, "schema", request.schema);
        if request.payload.is_none() {
            faults.add(
                Reason::InvalidRequest,
                "payload",
                "is missing: give `json` or `binary_data`",
            );
        }
        let (selected, payload) = faults.finish(selected.zip(request.payload))?;
        let validated = self.compile(move |registry| {
            let catalog = registry.catalog();
            let (name, selector, requested) = &selected;
            let schema_version = catalog.version(name, selector, requested);
            let schema_version = schema_version.map_err(|error| status::not_found(&error))?;
            let schema = catalog.parsed(schema_version);
            let schema = schema.map_err(|error| status::refused("schema.", &error.into()))?;
            Ok::<_, Status>(match payload {
                Payload::Json(json) => schema.validate_json_with(&json, &*catalog),
                Payload::BinaryData(bytes) => schema.validate_binary(&bytes),
            })
        });
        let violations = validated.await??.err().unwrap_or_default();
        let violation = |violation: tidings_schema::definition::Violation| v1::PayloadViolation {
            path: shorten(&violation.path),
            message: shorten(&violation.message),
        };
        Ok(Response::new(v1::ValidatePayloadResponse {
            valid: violations.is_empty(),
            violations: violations.into_iter().map(violation).collect(),
        }))
    }

    async fn get_subject(
        &self,
        request: Request<v1::GetSubjectRequest>,
    ) -> RpcResult<v1::GetSubjectResponse> {
        let mut faults = Faults::default();
        let name = faults.name("name", &request.into_inner().name);
        let name = faults.finish(name)?;
        let catalog = self.registry.catalog();
        let subject = catalog.subject(&name).map_err(|error| status::not_found(&error))?;
        Ok(Response::new(v1::GetSubjectResponse { subject: Some((&**subject).into()) }))
    }

    async fn list_subjects(
        &self,
        request: Request<v1::ListSubjectsRequest>,
    ) -> RpcResult<v1::ListSubjectsResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let size = faults.take(Reason::InvalidRequest, "page_size", pages::size(request.page_size));
        let after = pages::after(&request.page_token).and_then(|entry| {
            entry.map(|entry| crate::name::SubjectName::parse(&entry)).transpose()
        });
        let after = faults.take(Reason::InvalidRequest, "page_token", after);
        let (size, after) = faults.finish(size.zip(after))?;
        let catalog = self.registry.catalog();
        let subjects = catalog
            .subjects_after(after.as_ref())
            .filter(|subject| subject.name.as_str().starts_with(&request.prefix));
        let (subjects, has_more) =
            pages::fill(size, subjects.map(|subject| v1::Subject::from(&**subject)));
        let last = subjects.last().filter(|_| has_more);
        let next_page_token = last.map(|subject| pages::token(&subject.name)).unwrap_or_default();
        Ok(Response::new(v1::ListSubjectsResponse { next_page_token, subjects }))
    }

    async fn update_subject(
        &self,
        request: Request<v1::UpdateSubjectRequest>,
    ) -> RpcResult<v1::UpdateSubjectResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let subject = request.subject.unwrap_or_default();
        let name = faults.name("subject.name", &subject.name);
        let paths = match request.update_mask {
            Some(mask) if !mask.paths.is_empty() => mask.paths,
            _ => set_fields(&subject),
        };
        let invalid = Reason::InvalidRequest;
        for path in paths.iter().filter(|path| !UPDATABLE.contains(&path.as_str())) {
            let fields = UPDATABLE.join(", ");
            let message = format!("names \"{path}\"; the fields that can be updated are {fields}");
            faults.add(invalid, "update_mask", message);
        }
        if paths.is_empty() {
            faults.add(invalid, "subject", "sets no field that can be updated");
        }
        let level = Level::from_proto(subject.compatibility);
        let level = faults.take(invalid, "subject.compatibility", level);
        let model = ContentModel::from_proto(subject.content_model);
        let model = faults.take(invalid, "subject.content_model", model);
        let surface = Surface::from_proto(subject.surface);
        let surface = faults.take(invalid, "subject.surface", surface);
        let (name, level, model, surface) = faults
            .finish(name.zip(level).zip(model.zip(surface)).map(|((n, l), (m, s))| (n, l, m, s)))?;
        let etag = Some(subject.etag).filter(|etag| !etag.is_empty());
        let updated = self.compile(move |registry| {
            registry.update_subject(&name, etag.as_deref(), Timestamp::now(), |settings| {
                for path in paths {
                    match path.as_str() {
                        // An unspecified value is the default.
                        "compatibility" => settings.level = level.unwrap_or_default(),
                        "content_model" => settings.content_model = model.unwrap_or_default(),
                        "surface" => settings.surface = surface.unwrap_or_default(),
                        "owner" => settings.owner.clone_from(&subject.owner),
                        "description" => settings.description.clone_from(&subject.description),
                        _ => settings.labels.clone_from(&subject.labels),
                    }
                }
            })
        });
        let subject = updated.await?.map_err(|error| status::write(&error))?;
        Ok(Response::new(v1::UpdateSubjectResponse { subject: Some((&*subject).into()) }))
    }

    async fn delete_subject(
        &self,
        request: Request<v1::DeleteSubjectRequest>,
    ) -> RpcResult<v1::DeleteSubjectResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let name = faults.name("name", &request.name);
        let force = decode::force(&mut faults, request.force, request.force_reason);
        let name = faults.finish(name)?;
        let etag = Some(request.etag).filter(|etag| !etag.is_empty());
        let deleted = self.compile(move |registry| {
            let now = Timestamp::now();
            registry.delete_subject(&name, etag.as_deref(), force.as_deref(), now)
        });
        deleted.await?.map_err(|error| status::write(&error))?;
        Ok(Response::new(v1::DeleteSubjectResponse {}))
    }

    async fn set_version_state(
        &self,
        request: Request<v1::SetVersionStateRequest>,
    ) -> RpcResult<v1::SetVersionStateResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let name = faults.name("subject", &request.subject);
        let version = version::parse(&request.version);
        let version = faults.take(Reason::InvalidVersion, "version", version);
        let state = State::from_proto(request.state).and_then(|state| {
            state.ok_or_else(|| "is missing: ACTIVE, DEPRECATED or RETIRED".into())
        });
        let state = faults.take(Reason::InvalidRequest, "state", state);
        if !request.deprecation.is_empty() && state.is_some_and(|state| state != State::Deprecated)
        {
            let message = "is allowed with the state DEPRECATED only";
            faults.add(Reason::InvalidRequest, "deprecation", message);
        }
        if request.deprecation.len() > DEPRECATION_BYTES_MAX {
            let bytes = request.deprecation.len();
            let message = format!("has {bytes} bytes; the limit is {DEPRECATION_BYTES_MAX}");
            faults.add(Reason::InvalidRequest, "deprecation", message);
        }
        let force = decode::force(&mut faults, request.force, request.force_reason);
        let (name, version, state) = faults.finish(name.zip(version).zip(state).map(flatten))?;
        let deprecation = request.deprecation;
        let changed = self.compile(move |registry| {
            let now = Timestamp::now();
            registry.set_state(&name, &version, state, &deprecation, force.as_deref(), now)
        });
        let schema = changed.await?.map_err(|error| status::write(&error))?;
        Ok(Response::new(v1::SetVersionStateResponse { schema: Some((&*schema).into()) }))
    }

    async fn negotiate_versions(
        &self,
        request: Request<v1::NegotiateVersionsRequest>,
    ) -> RpcResult<v1::NegotiateVersionsResponse> {
        self.negotiate(request).await
    }

    async fn list_consumers(
        &self,
        request: Request<v1::ListConsumersRequest>,
    ) -> RpcResult<v1::ListConsumersResponse> {
        self.consumers(request).await
    }

    type WatchRegistryStream = ReceiverStream<Result<v1::WatchRegistryResponse, Status>>;

    async fn watch_registry(
        &self,
        request: Request<v1::WatchRegistryRequest>,
    ) -> RpcResult<Self::WatchRegistryStream> {
        let after = request.into_inner().after_revision;
        let revisions = self.registry.revisions();
        let revision = *revisions.borrow();
        if after > revision {
            return Err(status::revision_lost(after, revision));
        }
        // The channel holds one response: a slow reader buffers no more.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(watch_from(self.registry.clone(), after, sender, self.draining.clone()));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// The longest deprecation notice, in bytes.
const DEPRECATION_BYTES_MAX: usize = 4096;

/// The fields that `UpdateSubject` can change.
const UPDATABLE: [&str; 6] =
    ["compatibility", "content_model", "surface", "owner", "description", "labels"];

/// Returns the fields that are set, which are updated if there is no mask.
fn set_fields(subject: &v1::Subject) -> Vec<String> {
    let set = [
        subject.compatibility != 0,
        subject.content_model != 0,
        subject.surface != 0,
        !subject.owner.is_empty(),
        !subject.description.is_empty(),
        !subject.labels.is_empty(),
    ];
    UPDATABLE.iter().zip(set).filter(|(_, set)| *set).map(|(path, _)| (*path).into()).collect()
}

impl Service {
    fn result(
        &self,
        planned: Planned,
        schema: impl FnOnce(&SchemaVersion) -> v1::Schema,
        report_bytes_max: usize,
    ) -> v1::RegisterSchemaResponse {
        let mut refusal_reason = Reason::Unspecified;
        let (outcome, version) = match planned.decision {
            Decision::Register(version) => (v1::Outcome::Registered, Some(version)),
            Decision::AlreadyRegistered(version) => (v1::Outcome::AlreadyRegistered, Some(version)),
            Decision::Refused(refusal) => {
                refusal_reason = Reason::from(&refusal);
                (v1::Outcome::Unspecified, None)
            }
        };
        let catalog = self.registry.catalog();
        let newest =
            version.as_ref().and_then(|version| catalog.subject(&version.subject).ok()?.newest());
        v1::RegisterSchemaResponse {
            is_latest: version
                .as_ref()
                .zip(newest)
                .is_some_and(|(version, newest)| version.id == newest.id),
            schema: version.map(|version| schema(&version)),
            outcome: outcome.into(),
            report: Some(fit(planned.impact.into(), report_bytes_max)),
            refusal_reason: refusal_reason.into(),
        }
    }

    /// Returns a response if all drafts were compared, and an error if some draft could not be.
    fn applied(&self, applied: Applied) -> Result<v1::ApplySchemasResponse, Status> {
        let (acceptable, revision) = (applied.is_acceptable(), applied.revision);
        let share = REPORTS_BYTES_MAX / applied.planned.len().max(1);
        let mut results = Vec::with_capacity(applied.planned.len());
        let mut refusals = Vec::new();
        for (index, mut planned) in applied.planned.into_iter().enumerate() {
            if let Decision::Refused(refusal) = &planned.decision {
                match refusal.impact() {
                    Some(impact) => planned.impact = impact.clone(),
                    None => {
                        refusals.push((index, refusal.clone()));
                        continue;
                    }
                }
            }
            results.push(self.result(planned, summary, share));
        }
        if !refusals.is_empty() {
            return Err(status::write(&WriteError::Refused(refusals)));
        }
        Ok(v1::ApplySchemasResponse { results, revision, acceptable })
    }
}

/// Sends changes after a revision, until the client closes the stream or the server stops.
async fn watch_from(
    registry: Registry,
    mut after: u64,
    sender: mpsc::Sender<Result<v1::WatchRegistryResponse, Status>>,
    mut draining: watch::Receiver<bool>,
) {
    let mut revisions = registry.revisions();
    loop {
        let reached = *revisions.borrow_and_update();
        while after < reached {
            let read = {
                let registry = registry.clone();
                tokio::task::spawn_blocking(move || registry.changes(after, CHANGES_MAX)).await
            };
            let changes = match read {
                Ok(Ok(changes)) if !changes.is_empty() => changes,
                Ok(Ok(_)) => break,
                Ok(Err(error)) => {
                    // Sending fails if the client has closed the stream.
                    let _ = sender.send(Err(status::damaged(&error))).await;
                    return;
                }
                Err(panic) => {
                    let _ = sender.send(Err(status::internal(panic))).await;
                    return;
                }
            };
            for change in changes {
                after = change.revision;
                tokio::select! {
                    sent = sender.send(Ok(change)) => if sent.is_err() { return },
                    () = drained(&mut draining) => return,
                }
            }
        }
        tokio::select! {
            changed = revisions.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
            () = drained(&mut draining) => {
                let _ = sender.try_send(Err(status::draining()));
                return;
            }
        }
    }
}

async fn drained(draining: &mut watch::Receiver<bool>) {
    if draining.wait_for(|draining| *draining).await.is_err() {
        // The sender was dropped, so no drain will be announced: the server runs until the process
        // ends.
        std::future::pending::<()>().await;
    }
}

fn flatten<A, B, C>(((a, b), c): ((A, B), C)) -> (A, B, C) {
    (a, b, c)
}
