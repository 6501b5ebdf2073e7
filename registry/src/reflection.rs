//! Server reflection over all registered Protobuf schemas. A stream that has been open for a day
//! finds a type that was registered a moment ago.
//!
//! ```text
//! query -> set <- builder -> file
//!    pins ----------^
//! ```
//!
//! It shows the files of the program itself, those of Protobuf and `google.rpc`, and the newest
//! active version of every Protobuf subject. No two files have the same name, and no name is
//! declared twice, because clients keep one declaration of each name: [`builder`] selects it.
//! Schemas that do not link are omitted, and a query for one returns the reason.
//!
//! Every query uses the registry as it is at the time of the query. The first query after a change
//! builds a new set, on a blocking thread; files that were decoded and linked before are reused.

mod builder;
mod file;
mod pins;
mod query;
mod set;

use std::sync::{Arc, PoisonError, RwLock, Weak};

use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb;

pub use self::pins::HEADER;
use self::{
    builder::Builder,
    query::{Query, QueryResult, SentFiles},
    set::FileSet,
};
use crate::{
    catalog::Catalog, name::SubjectName, schema::SchemaVersion, schemas::Schemas, service::internal,
};

/// The largest query in bytes: a name, and a host that is not used.
const QUERY_BYTES_MAX: usize = 64 << 10;

/// Server reflection, in both versions of its protocol.
#[derive(Clone)]
pub struct Reflection(Arc<Inner>);

struct Inner {
    schemas: Option<Schemas>,
    services: Vec<String>,
    newest: RwLock<BuiltSet>,
    // Locked by the thread that builds a set, so that one set is built at a time.
    builder: Arc<Mutex<Builder>>,
    draining: watch::Receiver<bool>,
}

/// A set, and the catalog that it was built from.
#[derive(Clone)]
struct BuiltSet {
    set: Arc<FileSet>,
    catalog: Weak<Catalog>,
}

impl BuiltSet {
    /// Returns the set, if it was built from this catalog.
    fn set_of(&self, catalog: &Arc<Catalog>) -> Option<Arc<FileSet>> {
        Weak::ptr_eq(&self.catalog, &Arc::downgrade(catalog)).then(|| Arc::clone(&self.set))
    }
}

impl Reflection {
    /// Creates the services for a program with these encoded `FileDescriptorSet`s and services, and
    /// for the registered schemas. Streams end when `draining` becomes true.
    ///
    /// # Errors
    /// Returns the reason as text if the program's own files do not link.
    pub fn new(
        own: &[&[u8]],
        services: &[&str],
        schemas: Option<Schemas>,
        draining: watch::Receiver<bool>,
    ) -> Result<Self, String> {
        let shared = [
            tonic_types::pb::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            pb::v1::FILE_DESCRIPTOR_SET,
            pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let builder = Builder::new(&[own, &shared].concat())?;
        let shared = [
            tonic_health::pb::health_server::SERVICE_NAME,
            pb::v1::server_reflection_server::SERVICE_NAME,
            pb::v1alpha::server_reflection_server::SERVICE_NAME,
        ];
        let mut services: Vec<String> =
            services.iter().chain(&shared).map(|service| (*service).to_owned()).collect();
        services.sort_unstable();
        let newest = BuiltSet { set: Arc::new(builder.base().clone()), catalog: Weak::new() };
        Ok(Self(Arc::new(Inner {
            schemas,
            services,
            newest: RwLock::new(newest),
            builder: Arc::new(Mutex::new(builder)),
            draining,
        })))
    }

    /// Returns the service `grpc.reflection.v1.ServerReflection`.
    pub fn v1(&self) -> pb::v1::server_reflection_server::ServerReflectionServer<Self> {
        pb::v1::server_reflection_server::ServerReflectionServer::new(self.clone())
            .max_decoding_message_size(QUERY_BYTES_MAX)
    }

    /// Returns the service `grpc.reflection.v1alpha.ServerReflection`, which many clients still
    /// use.
    pub fn v1alpha(&self) -> pb::v1alpha::server_reflection_server::ServerReflectionServer<Self> {
        pb::v1alpha::server_reflection_server::ServerReflectionServer::new(self.clone())
            .max_decoding_message_size(QUERY_BYTES_MAX)
    }

    fn built(&self) -> BuiltSet {
        self.0.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the set of the current catalog.
    async fn newest(&self) -> Result<Arc<FileSet>, Status> {
        let Some(schemas) = &self.0.schemas else { return Ok(self.built().set) };
        if let Some(set) = self.built().set_of(&schemas.catalog()) {
            return Ok(set);
        }
        let builder = Arc::clone(&self.0.builder).lock_owned().await;
        let catalog = schemas.catalog();
        // The previous owner of the lock may have built the set.
        if let Some(set) = self.built().set_of(&catalog) {
            return Ok(set);
        }
        let inner = Arc::clone(&self.0);
        let build = move |mut builder: OwnedMutexGuard<Builder>| {
            let set = builder.newest(&catalog).map(Arc::new);
            let mut newest = inner.newest.write().unwrap_or_else(PoisonError::into_inner);
            let set = set.unwrap_or_else(|| Arc::clone(&newest.set));
            *newest = BuiltSet { set: Arc::clone(&set), catalog: Arc::downgrade(&catalog) };
            set
        };
        tokio::task::spawn_blocking(move || build(builder)).await.map_err(internal)
    }

    /// Returns the set of a catalog with pinned versions.
    async fn pinned(
        &self,
        catalog: Arc<Catalog>,
        pins: Vec<Arc<SchemaVersion>>,
    ) -> Result<Arc<FileSet>, Status> {
        let mut builder = Arc::clone(&self.0.builder).lock_owned().await;
        let build = move || Arc::new(builder.pinned(&catalog, &pins));
        tokio::task::spawn_blocking(build).await.map_err(internal)
    }
}

/// The state of one stream of queries.
struct QueryStream {
    reflection: Reflection,
    pins: Vec<Arc<SchemaVersion>>,
    /// The set with the pins.
    pinned: Option<BuiltSet>,
    sent: SentFiles,
}

impl QueryStream {
    async fn set(&mut self) -> Result<Arc<FileSet>, Status> {
        let Some(schemas) = self.reflection.0.schemas.as_ref().filter(|_| !self.pins.is_empty())
        else {
            return self.reflection.newest().await;
        };
        let catalog = schemas.catalog();
        if let Some(set) = self.pinned.as_ref().and_then(|built| built.set_of(&catalog)) {
            return Ok(set);
        }
        let built_from = Arc::downgrade(&catalog);
        let set = self.reflection.pinned(catalog, self.pins.clone()).await?;
        self.pinned = Some(BuiltSet { set: Arc::clone(&set), catalog: built_from });
        Ok(set)
    }

    async fn run(&mut self, query: &Query) -> QueryResult {
        match self.try_run(query).await {
            Ok(result) => result,
            Err(status) => QueryResult::Error(status.code(), status.message().to_owned()),
        }
    }

    async fn try_run(&mut self, query: &Query) -> Result<QueryResult, Status> {
        let set = self.set().await?;
        let services = &self.reflection.0.services;
        if let Some(result) = query.run(&set, services, &mut self.sent) {
            return Ok(result);
        }
        let schemas = self.reflection.0.schemas.clone();
        // A remote registry may know the name already. It is asked at most once a second for each
        // name.
        if let Some(schemas) = &schemas
            && let Some(Ok(name)) = query.name().map(SubjectName::parse)
            && let Err(unavailable) = schemas.subject(&name).await
        {
            let message = format!("{name} is not in the mirror, and {unavailable}; try again");
            return Ok(QueryResult::Error(Code::Unavailable, message));
        }
        let set = self.set().await?;
        let services = &self.reflection.0.services;
        let catalog = schemas.map(|schemas| schemas.catalog());
        let result = query.run(&set, services, &mut self.sent);
        Ok(result.unwrap_or_else(|| query.not_found(&set, catalog.as_deref())))
    }
}

/// Implements the service in one version of the protocol. The two versions differ in their names
/// only.
macro_rules! serve {
    ($version:ident) => {
        mod $version {
            use tonic_reflection::pb::$version as wire;

            use super::*;
            use wire::{
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };

            fn decode(request: Option<&MessageRequest>) -> Query {
                match request {
                    Some(MessageRequest::FileByFilename(name)) => Query::File(name.clone()),
                    Some(MessageRequest::FileContainingSymbol(name)) => Query::Symbol(name.clone()),
                    Some(MessageRequest::FileContainingExtension(extension)) => Query::Extension(
                        extension.containing_type.clone(),
                        extension.extension_number,
                    ),
                    Some(MessageRequest::AllExtensionNumbersOfType(name)) => {
                        Query::ExtensionNumbers(name.clone())
                    }
                    Some(MessageRequest::ListServices(_)) => Query::Services,
                    None => Query::Unknown,
                }
            }

            fn encode(result: QueryResult) -> MessageResponse {
                match result {
                    QueryResult::Files(files) => {
                        let file_descriptor_proto =
                            files.iter().map(|file| file.to_vec()).collect();
                        MessageResponse::FileDescriptorResponse(wire::FileDescriptorResponse {
                            file_descriptor_proto,
                        })
                    }
                    QueryResult::ExtensionNumbers(base_type_name, extension_number) => {
                        MessageResponse::AllExtensionNumbersResponse(
                            wire::ExtensionNumberResponse { base_type_name, extension_number },
                        )
                    }
                    QueryResult::Services(services) => {
                        let service =
                            services.into_iter().map(|name| wire::ServiceResponse { name });
                        MessageResponse::ListServicesResponse(wire::ListServiceResponse {
                            service: service.collect(),
                        })
                    }
                    QueryResult::Error(code, error_message) => {
                        MessageResponse::ErrorResponse(wire::ErrorResponse {
                            error_code: code.into(),
                            error_message,
                        })
                    }
                }
            }

            #[tonic::async_trait]
            impl wire::server_reflection_server::ServerReflection for Reflection {
                type ServerReflectionInfoStream =
                    ReceiverStream<Result<wire::ServerReflectionResponse, Status>>;

                async fn server_reflection_info(
                    &self,
                    request: Request<Streaming<wire::ServerReflectionRequest>>,
                ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                    let pins = pins::read(request.metadata(), self.0.schemas.as_ref()).await?;
                    let mut requests = request.into_inner();
                    // A query runs when the client has read the previous response.
                    let (responses, stream) = mpsc::channel(1);
                    let mut draining = self.0.draining.clone();
                    let mut query_stream = QueryStream {
                        reflection: self.clone(),
                        pins,
                        pinned: None,
                        sent: SentFiles::default(),
                    };
                    tokio::spawn(async move {
                        loop {
                            let request = tokio::select! {
                                request = requests.message() => request,
                                () = responses.closed() => return,
                                // An error means that the sender was dropped: the server ends as
                                // well.
                                _ = draining.wait_for(|draining| *draining) => return,
                            };
                            let Ok(Some(request)) = request else { return };
                            let query = decode(request.message_request.as_ref());
                            let result = query_stream.run(&query).await;
                            let response = wire::ServerReflectionResponse {
                                valid_host: request.host.clone(),
                                original_request: Some(request),
                                message_response: Some(encode(result)),
                            };
                            if responses.send(Ok(response)).await.is_err() {
                                return;
                            }
                        }
                    });
                    Ok(Response::new(ReceiverStream::new(stream)))
                }
            }
        }
    };
}

serve!(v1);
serve!(v1alpha);
