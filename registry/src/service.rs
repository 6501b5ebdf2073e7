//! The registry on the wire: decodes, asks and encodes.

mod consumers;
mod decode;
pub mod pages;
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
use self::{
    decode::Faults,
    report::{fit, shorten},
    revision::AtRevision,
};
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

/// Largest request in bytes: a deploy of many schemas.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// Most drafts of a request.
const DRAFTS_MAX: usize = 1000;
/// Bytes of the reports of an answer. With what stands around them, a message stays under the 4 MiB that clients take.
const REPORTS_BYTES_MAX: usize = 3 << 19;
/// Schemas that are compiled at a time. The largest takes a second; reads go on beside.
const COMPILERS: usize = 2;
/// How long a request waits for its turn to compile.
const COMPILER_WAIT: Duration = Duration::from_secs(10);
/// Changes that are read at a time for a watch.
const CHANGES_MAX: usize = 64;

/// The service over a registry.
#[derive(Clone)]
pub struct Service {
    registry: Registry,
    compilers: Arc<Semaphore>,
    draining: watch::Receiver<bool>,
}

impl Service {
    /// Watches end when `draining` turns true.
    pub fn new(registry: Registry, draining: watch::Receiver<bool>) -> Self {
        Self { registry, compilers: Arc::new(Semaphore::new(COMPILERS)), draining }
    }

    /// As a tower service, for a server, or for a client in the same process.
    pub fn server(self) -> AtRevision<SchemaRegistryServiceServer<Self>> {
        let registry = self.registry.clone();
        let server = SchemaRegistryServiceServer::new(self);
        AtRevision::new(server.max_decoding_message_size(REQUEST_BYTES_MAX), registry)
    }

    /// Work that compiles schemas or writes, off the threads that answer.
    async fn compile<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Registry) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let turn = Arc::clone(&self.compilers).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(COMPILER_WAIT, turn).await else {
            return Err(status::overloaded());
        };
        let registry = self.registry.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&registry)
        });
        done.await.map_err(status::internal)
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

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl SchemaRegistryService for Service {
    async fn register_schema(
        &self,
        request: Request<v1::RegisterSchemaRequest>,
    ) -> Answer<v1::RegisterSchemaResponse> {
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
        let one = applied.planned.pop().ok_or_else(|| status::internal("no plan of a draft"))?;
        let whole = |it: &SchemaVersion| it.into();
        Ok(Response::new(self.result(one, whole, REPORTS_BYTES_MAX)))
    }

    async fn check_schema(
        &self,
        request: Request<v1::CheckSchemaRequest>,
    ) -> Answer<v1::CheckSchemaResponse> {
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
        let asked = request.against_version;
        let checked = self.compile(move |registry| {
            let catalog = registry.catalog();
            let planned = registry.check(&catalog, &draft, Timestamp::now());
            let against = match &against {
                None => None,
                Some(selector) => {
                    let registered = catalog.version(&draft.subject, selector, &asked);
                    let registered = registered.map_err(|error| status::not_found(&error))?;
                    let report = catalog.compare_with(&draft, registered);
                    let report = report.map_err(|refusal| status::refused("schema.", &refusal))?;
                    Some(Impact { report, affected: planned.impact.affected.clone() })
                }
            };
            Ok::<_, Status>((planned, against))
        });
        let (planned, against) = checked.await??;
        let (impact, refusal_reason) = match planned.decision {
            Decision::Already(_) | Decision::Register(_) => (planned.impact, Reason::Unspecified),
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
    ) -> Answer<v1::ApplySchemasResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let count = request.schemas.len();
        if count == 0 || count > DRAFTS_MAX {
            let why = format!("has {count} entries: from 1 to {DRAFTS_MAX} are taken");
            faults.add(Reason::InvalidRequest, "schemas", why);
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
    ) -> Answer<v1::GetSchemaResponse> {
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
            Some(v1::get_schema_request::By::SubjectVersion(of)) => {
                decode::subject_version(&mut faults, "subject_version", Some(of))
                    .map(|(name, selector, asked)| catalog.version(&name, &selector, &asked))
            }
        };
        let registered = faults.finish(found)?.map_err(|error| status::not_found(&error))?;
        Ok(Response::new(v1::GetSchemaResponse { schema: Some((&**registered).into()) }))
    }

    async fn list_schemas(
        &self,
        request: Request<v1::ListSchemasRequest>,
    ) -> Answer<v1::ListSchemasResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let name = faults.name("subject", &request.subject);
        let size = faults.take(Reason::InvalidRequest, "page_size", pages::size(request.page_size));
        let behind = pages::behind(&request.page_token)
            .and_then(|entry| entry.map(|entry| version::parse(&entry)).transpose());
        let behind = faults.take(Reason::InvalidRequest, "page_token", behind);
        let (name, size, behind) = faults.finish(name.zip(size).zip(behind).map(flat))?;
        let catalog = self.registry.catalog();
        let subject = catalog.subject(&name).map_err(|error| status::not_found(&error))?;
        let versions = subject
            .versions
            .values()
            .filter(|it| behind.as_ref().is_none_or(|behind| it.version > *behind));
        let (schemas, has_more) = pages::fill(size, versions.map(|it| v1::Schema::from(&**it)));
        let last = schemas.last().filter(|_| has_more);
        let next_page_token = last.map(|it| pages::token(&it.version)).unwrap_or_default();
        Ok(Response::new(v1::ListSchemasResponse { next_page_token, schemas }))
    }

    async fn diff_schemas(
        &self,
        request: Request<v1::DiffSchemasRequest>,
    ) -> Answer<v1::DiffSchemasResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let old = decode::subject_version(&mut faults, "old", request.old);
        let new = decode::subject_version(&mut faults, "new", request.new);
        let (old, new) = faults.finish(old.zip(new))?;
        let compared = self.compile(move |registry| {
            let catalog = registry.catalog();
            let find = |(name, selector, asked): &(_, _, String)| {
                let found = catalog.version(name, selector, asked);
                found.cloned().map_err(|error| status::not_found(&error))
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
    ) -> Answer<v1::ValidatePayloadResponse> {
        use v1::validate_payload_request::Payload;
        let request = request.into_inner();
        let mut faults = Faults::default();
        let of = decode::subject_version(&mut faults, "schema", request.schema);
        if request.payload.is_none() {
            faults.add(
                Reason::InvalidRequest,
                "payload",
                "is missing: give `json` or `binary_data`",
            );
        }
        let (of, payload) = faults.finish(of.zip(request.payload))?;
        let validated = self.compile(move |registry| {
            let catalog = registry.catalog();
            let (name, selector, asked) = &of;
            let registered = catalog.version(name, selector, asked);
            let registered = registered.map_err(|error| status::not_found(&error))?;
            let schema = catalog.parsed(registered);
            let schema = schema.map_err(|error| status::refused("schema.", &error.into()))?;
            Ok::<_, Status>(match payload {
                Payload::Json(json) => schema.validate_json_with(&json, &*catalog),
                Payload::BinaryData(bytes) => schema.validate_binary(&bytes),
            })
        });
        let violations = validated.await??.err().unwrap_or_default();
        let violation = |it: tidings_schema::definition::Violation| v1::PayloadViolation {
            path: shorten(&it.path),
            message: shorten(&it.message),
        };
        Ok(Response::new(v1::ValidatePayloadResponse {
            valid: violations.is_empty(),
            violations: violations.into_iter().map(violation).collect(),
        }))
    }

    async fn get_subject(
        &self,
        request: Request<v1::GetSubjectRequest>,
    ) -> Answer<v1::GetSubjectResponse> {
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
    ) -> Answer<v1::ListSubjectsResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let size = faults.take(Reason::InvalidRequest, "page_size", pages::size(request.page_size));
        let behind = pages::behind(&request.page_token).and_then(|entry| {
            entry.map(|entry| crate::subject::SubjectName::parse(&entry)).transpose()
        });
        let behind = faults.take(Reason::InvalidRequest, "page_token", behind);
        let (size, behind) = faults.finish(size.zip(behind))?;
        let catalog = self.registry.catalog();
        let subjects = catalog
            .subjects_behind(behind.as_ref())
            .filter(|it| it.name.as_str().starts_with(&request.prefix));
        let (subjects, has_more) = pages::fill(size, subjects.map(|it| v1::Subject::from(&**it)));
        let last = subjects.last().filter(|_| has_more);
        let next_page_token = last.map(|it| pages::token(&it.name)).unwrap_or_default();
        Ok(Response::new(v1::ListSubjectsResponse { next_page_token, subjects }))
    }

    async fn update_subject(
        &self,
        request: Request<v1::UpdateSubjectRequest>,
    ) -> Answer<v1::UpdateSubjectResponse> {
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
            let why = format!("names \"{path}\"; what can be updated is {}", UPDATABLE.join(", "));
            faults.add(invalid, "update_mask", why);
        }
        if paths.is_empty() {
            faults.add(invalid, "subject", "sets nothing that could be updated");
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
                        // What is not said is the default.
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
    ) -> Answer<v1::DeleteSubjectResponse> {
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
    ) -> Answer<v1::SetVersionStateResponse> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let name = faults.name("subject", &request.subject);
        let version = version::parse(&request.version);
        let version = faults.take(Reason::InvalidVersion, "version", version);
        let state = State::from_proto(request.state).and_then(|state| {
            state.ok_or_else(|| "is missing: ACTIVE, DEPRECATED or RETIRED".into())
        });
        let state = faults.take(Reason::InvalidRequest, "state", state);
        if !request.deprecation.is_empty() && state.is_some_and(|it| it != State::Deprecated) {
            let why = "is for the state DEPRECATED: why, and what to move to";
            faults.add(Reason::InvalidRequest, "deprecation", why);
        }
        if request.deprecation.len() > DEPRECATION_BYTES_MAX {
            let bytes = request.deprecation.len();
            let why = format!("has {bytes} bytes, at most {DEPRECATION_BYTES_MAX} are taken");
            faults.add(Reason::InvalidRequest, "deprecation", why);
        }
        let force = decode::force(&mut faults, request.force, request.force_reason);
        let (name, version, state) = faults.finish(name.zip(version).zip(state).map(flat))?;
        let deprecation = request.deprecation;
        let set = self.compile(move |registry| {
            let now = Timestamp::now();
            registry.set_state(&name, &version, state, &deprecation, force.as_deref(), now)
        });
        let registered = set.await?.map_err(|error| status::write(&error))?;
        Ok(Response::new(v1::SetVersionStateResponse { schema: Some((&*registered).into()) }))
    }

    async fn negotiate_versions(
        &self,
        request: Request<v1::NegotiateVersionsRequest>,
    ) -> Answer<v1::NegotiateVersionsResponse> {
        self.negotiate(request).await
    }

    async fn list_consumers(
        &self,
        request: Request<v1::ListConsumersRequest>,
    ) -> Answer<v1::ListConsumersResponse> {
        self.consumers(request).await
    }

    type WatchRegistryStream = ReceiverStream<Result<v1::WatchRegistryResponse, Status>>;

    async fn watch_registry(
        &self,
        request: Request<v1::WatchRegistryRequest>,
    ) -> Answer<Self::WatchRegistryStream> {
        let after = request.into_inner().after_revision;
        let revisions = self.registry.revisions();
        let revision = *revisions.borrow();
        if after > revision {
            return Err(status::revision_lost(after, revision));
        }
        // One answer waits: whoever reads slowly holds no more than that.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(watch_from(self.registry.clone(), after, sender, self.draining.clone()));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Longest deprecation notice, in bytes.
const DEPRECATION_BYTES_MAX: usize = 4096;

/// What `UpdateSubject` can change.
const UPDATABLE: [&str; 6] =
    ["compatibility", "content_model", "surface", "owner", "description", "labels"];

/// Without a mask: the fields that are set.
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
        let (outcome, registered) = match planned.decision {
            Decision::Register(it) => (v1::Outcome::Registered, Some(it)),
            Decision::Already(it) => (v1::Outcome::AlreadyRegistered, Some(it)),
            Decision::Refused(refusal) => {
                refusal_reason = Reason::from(&refusal);
                (v1::Outcome::Unspecified, None)
            }
        };
        let catalog = self.registry.catalog();
        let newest = registered.as_ref().and_then(|it| catalog.subject(&it.subject).ok()?.newest());
        v1::RegisterSchemaResponse {
            is_latest: registered
                .as_ref()
                .zip(newest)
                .is_some_and(|(it, newest)| it.id == newest.id),
            schema: registered.map(|it| schema(&it)),
            outcome: outcome.into(),
            report: Some(fit(planned.impact.into(), report_bytes_max)),
            refusal_reason: refusal_reason.into(),
        }
    }

    /// What a plan found is an answer; what cannot be planned at all is an error.
    fn applied(&self, applied: Applied) -> Result<v1::ApplySchemasResponse, Status> {
        let (acceptable, revision) = (applied.is_acceptable(), applied.revision);
        let share = REPORTS_BYTES_MAX / applied.planned.len().max(1);
        let mut results = Vec::with_capacity(applied.planned.len());
        let mut refusals = Vec::new();
        for (at, mut planned) in applied.planned.into_iter().enumerate() {
            if let Decision::Refused(refusal) = &planned.decision {
                match refusal.impact() {
                    Some(impact) => planned.impact = impact.clone(),
                    None => {
                        refusals.push((at, refusal.clone()));
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

/// Sends changes behind a revision, until nobody listens or the server stops.
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
                    // Whoever is gone does not mind.
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
            moved = revisions.changed() => if moved.is_err() { return },
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
        // Nobody will say so any more: the server goes on until it is gone.
        std::future::pending::<()>().await;
    }
}

fn flat<A, B, C>(((a, b), c): ((A, B), C)) -> (A, B, C) {
    (a, b, c)
}
