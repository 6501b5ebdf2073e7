//! Server reflection over everything that is registered now: a type that came a moment ago is found on a stream that has
//! been open for a day.
//!
//! ```text
//! question -> set <- builder -> file
//!    pins ----------^
//! ```
//!
//! Shown are the files of the program itself, those of Protobuf and `google.rpc`, and of every Protobuf subject the newest
//! version that is active. No two files have the same name and no name is declared twice, for clients keep one of each:
//! [`builder`] says who has it. What does not link is left out, and an answer says why.
//!
//! Every question is answered out of what is registered when it is asked. The set is made anew by the first one behind a
//! change, off the threads that serve; what was read and linked before is not read and linked again.

mod builder;
mod file;
mod pins;
mod question;
mod set;

use std::sync::{Arc, PoisonError, RwLock, Weak};

use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb;

pub use self::pins::HEADER;
use self::{
    builder::Builder,
    question::{Answer, Question, Sent},
    set::Set,
};
use crate::{
    catalog::Catalog, schema::SchemaVersion, schemas::Schemas, service::internal,
    subject::SubjectName,
};

/// Largest question in bytes: a name, and a host that nobody reads.
const QUESTION_BYTES_MAX: usize = 64 << 10;

/// Server reflection, in both versions of its protocol.
#[derive(Clone)]
pub struct Reflection(Arc<Inner>);

struct Inner {
    schemas: Option<Schemas>,
    services: Vec<String>,
    newest: RwLock<Made>,
    // Whoever makes a set holds it on a thread of its own, so that one is made at a time.
    builder: Arc<Mutex<Builder>>,
    draining: watch::Receiver<bool>,
}

/// A set, and what it was made of.
#[derive(Clone)]
struct Made {
    set: Arc<Set>,
    of: Weak<Catalog>,
}

impl Made {
    /// The set, where it is of this catalog.
    fn of(&self, catalog: &Arc<Catalog>) -> Option<Arc<Set>> {
        Weak::ptr_eq(&self.of, &Arc::downgrade(catalog)).then(|| Arc::clone(&self.set))
    }
}

impl Reflection {
    /// Of a program with these encoded `FileDescriptorSet`s and services, and of what is registered. Its streams end when
    /// `draining` turns true.
    ///
    /// # Errors
    /// In words, where the program's own files do not link.
    pub fn new(
        own: &[&[u8]],
        services: &[&str],
        schemas: Option<Schemas>,
        draining: watch::Receiver<bool>,
    ) -> Result<Self, String> {
        let beside = [
            tonic_types::pb::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            pb::v1::FILE_DESCRIPTOR_SET,
            pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let builder = Builder::new(&[own, &beside].concat())?;
        let beside = [
            tonic_health::pb::health_server::SERVICE_NAME,
            pb::v1::server_reflection_server::SERVICE_NAME,
            pb::v1alpha::server_reflection_server::SERVICE_NAME,
        ];
        let mut services: Vec<String> =
            services.iter().chain(&beside).map(|it| (*it).to_owned()).collect();
        services.sort_unstable();
        let newest = Made { set: Arc::new(builder.base().clone()), of: Weak::new() };
        Ok(Self(Arc::new(Inner {
            schemas,
            services,
            newest: RwLock::new(newest),
            builder: Arc::new(Mutex::new(builder)),
            draining,
        })))
    }

    /// The service `grpc.reflection.v1.ServerReflection`.
    pub fn v1(&self) -> pb::v1::server_reflection_server::ServerReflectionServer<Self> {
        pb::v1::server_reflection_server::ServerReflectionServer::new(self.clone())
            .max_decoding_message_size(QUESTION_BYTES_MAX)
    }

    /// The service `grpc.reflection.v1alpha.ServerReflection`, which many clients still use.
    pub fn v1alpha(&self) -> pb::v1alpha::server_reflection_server::ServerReflectionServer<Self> {
        pb::v1alpha::server_reflection_server::ServerReflectionServer::new(self.clone())
            .max_decoding_message_size(QUESTION_BYTES_MAX)
    }

    fn made(&self) -> Made {
        self.0.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The set of what is registered now.
    async fn newest(&self) -> Result<Arc<Set>, Status> {
        let Some(schemas) = &self.0.schemas else { return Ok(self.made().set) };
        if let Some(set) = self.made().of(&schemas.catalog()) {
            return Ok(set);
        }
        let builder = Arc::clone(&self.0.builder).lock_owned().await;
        let catalog = schemas.catalog();
        // Whoever had the builder before may have made it.
        if let Some(set) = self.made().of(&catalog) {
            return Ok(set);
        }
        let inner = Arc::clone(&self.0);
        let making = move |mut builder: OwnedMutexGuard<Builder>| {
            let set = builder.newest(&catalog).map(Arc::new);
            let mut newest = inner.newest.write().unwrap_or_else(PoisonError::into_inner);
            let set = set.unwrap_or_else(|| Arc::clone(&newest.set));
            *newest = Made { set: Arc::clone(&set), of: Arc::downgrade(&catalog) };
            set
        };
        tokio::task::spawn_blocking(move || making(builder)).await.map_err(internal)
    }

    /// The set of a catalog with pinned versions.
    async fn pinned(
        &self,
        catalog: Arc<Catalog>,
        pins: Vec<Arc<SchemaVersion>>,
    ) -> Result<Arc<Set>, Status> {
        let mut builder = Arc::clone(&self.0.builder).lock_owned().await;
        let making = move || Arc::new(builder.pinned(&catalog, &pins));
        tokio::task::spawn_blocking(making).await.map_err(internal)
    }
}

/// One stream of questions.
struct Conversation {
    reflection: Reflection,
    pins: Vec<Arc<SchemaVersion>>,
    /// The set with those pins.
    pinned: Option<Made>,
    sent: Sent,
}

impl Conversation {
    async fn set(&mut self) -> Result<Arc<Set>, Status> {
        let Some(schemas) = self.reflection.0.schemas.as_ref().filter(|_| !self.pins.is_empty())
        else {
            return self.reflection.newest().await;
        };
        let catalog = schemas.catalog();
        if let Some(set) = self.pinned.as_ref().and_then(|it| it.of(&catalog)) {
            return Ok(set);
        }
        let of = Arc::downgrade(&catalog);
        let set = self.reflection.pinned(catalog, self.pins.clone()).await?;
        self.pinned = Some(Made { set: Arc::clone(&set), of });
        Ok(set)
    }

    async fn answer(&mut self, question: &Question) -> Answer {
        match self.answered(question).await {
            Ok(answer) => answer,
            Err(status) => Answer::Error(status.code(), status.message().to_owned()),
        }
    }

    async fn answered(&mut self, question: &Question) -> Result<Answer, Status> {
        let set = self.set().await?;
        let services = &self.reflection.0.services;
        if let Some(answer) = question.answer(&set, services, &mut self.sent) {
            return Ok(answer);
        }
        let schemas = self.reflection.0.schemas.clone();
        // A registry elsewhere may have it already, and is asked at most once a second for each name.
        if let Some(schemas) = &schemas
            && let Some(Ok(name)) = question.name().map(SubjectName::parse)
            && let Err(away) = schemas.subject(&name).await
        {
            let message = format!("{name} is not known here, and {away}; try again");
            return Ok(Answer::Error(Code::Unavailable, message));
        }
        let set = self.set().await?;
        let services = &self.reflection.0.services;
        let catalog = schemas.map(|it| it.catalog());
        let answer = question.answer(&set, services, &mut self.sent);
        Ok(answer.unwrap_or_else(|| question.not_there(&set, catalog.as_deref())))
    }
}

/// The service in one version of the protocol. The two differ in their names alone.
macro_rules! serve {
    ($version:ident) => {
        mod $version {
            use tonic_reflection::pb::$version as wire;

            use super::*;
            use wire::{
                server_reflection_request::MessageRequest as Asked,
                server_reflection_response::MessageResponse as Told,
            };

            fn question(asked: Option<&Asked>) -> Question {
                match asked {
                    Some(Asked::FileByFilename(name)) => Question::File(name.clone()),
                    Some(Asked::FileContainingSymbol(name)) => Question::Symbol(name.clone()),
                    Some(Asked::FileContainingExtension(it)) => {
                        Question::Extension(it.containing_type.clone(), it.extension_number)
                    }
                    Some(Asked::AllExtensionNumbersOfType(name)) => {
                        Question::ExtensionNumbers(name.clone())
                    }
                    Some(Asked::ListServices(_)) => Question::Services,
                    None => Question::Unknown,
                }
            }

            fn told(answer: Answer) -> Told {
                match answer {
                    Answer::Files(files) => {
                        let file_descriptor_proto = files.iter().map(|it| it.to_vec()).collect();
                        Told::FileDescriptorResponse(wire::FileDescriptorResponse {
                            file_descriptor_proto,
                        })
                    }
                    Answer::ExtensionNumbers(base_type_name, extension_number) => {
                        Told::AllExtensionNumbersResponse(wire::ExtensionNumberResponse {
                            base_type_name,
                            extension_number,
                        })
                    }
                    Answer::Services(services) => {
                        let service =
                            services.into_iter().map(|name| wire::ServiceResponse { name });
                        Told::ListServicesResponse(wire::ListServiceResponse {
                            service: service.collect(),
                        })
                    }
                    Answer::Error(code, error_message) => {
                        Told::ErrorResponse(wire::ErrorResponse {
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
                    let mut asked = request.into_inner();
                    // The next question is answered when the answer before it was taken.
                    let (answers, stream) = mpsc::channel(1);
                    let mut draining = self.0.draining.clone();
                    let mut conversation = Conversation {
                        reflection: self.clone(),
                        pins,
                        pinned: None,
                        sent: Sent::default(),
                    };
                    tokio::spawn(async move {
                        loop {
                            let request = tokio::select! {
                                request = asked.message() => request,
                                () = answers.closed() => return,
                                // Gone without a word: the server ends, too.
                                _ = draining.wait_for(|draining| *draining) => return,
                            };
                            let Ok(Some(request)) = request else { return };
                            let question = question(request.message_request.as_ref());
                            let answer = conversation.answer(&question).await;
                            let response = wire::ServerReflectionResponse {
                                valid_host: request.host.clone(),
                                original_request: Some(request),
                                message_response: Some(told(answer)),
                            };
                            if answers.send(Ok(response)).await.is_err() {
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
