//! What is registered, for whoever publishes and reads beside the registry: the one of this process, or a mirror of one
//! elsewhere.

use std::sync::Arc;

use semver::Version;
use tokio::sync::watch;

use crate::{
    catalog::Catalog,
    client::{self, Client},
    mirror::{Mirror, RegistryUnavailable},
    registry::Registry,
    schema::SchemaVersion,
    service::Service,
    subject::{Subject, SubjectName},
};

/// Everything that is registered, wherever that is.
#[derive(Clone)]
pub struct Schemas {
    source: Source,
    client: Client,
}

#[derive(Clone)]
enum Source {
    Here(Registry),
    There(Mirror),
}

impl Schemas {
    /// Of the registry in this process.
    pub fn here(registry: Registry, service: Service) -> Self {
        Self { source: Source::Here(registry), client: client::embedded(service).into() }
    }

    /// Of a registry elsewhere.
    pub fn there(mirror: Mirror, client: Client) -> Self {
        Self { source: Source::There(mirror), client }
    }

    /// Everything that is known to be registered now.
    pub fn catalog(&self) -> Arc<Catalog> {
        match &self.source {
            Source::Here(registry) => registry.catalog(),
            Source::There(mirror) => mirror.catalog(),
        }
    }

    /// Counts the changes.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        match &self.source {
            Source::Here(registry) => registry.revisions(),
            Source::There(mirror) => mirror.revisions(),
        }
    }

    /// The registry's calls.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A subject. None: it is certain that it is not registered.
    ///
    /// # Errors
    /// Where it is not known here, and the registry is away.
    pub async fn subject(
        &self,
        name: &SubjectName,
    ) -> Result<Option<Arc<Subject>>, RegistryUnavailable> {
        let find = || self.catalog().subject(name).ok().map(Arc::clone);
        match (find(), &self.source) {
            (Some(subject), _) => Ok(Some(subject)),
            (None, Source::Here(_)) => Ok(None),
            (None, Source::There(mirror)) => {
                mirror.ask(name).await?;
                Ok(find())
            }
        }
    }

    /// A version of a subject, given exactly. None: it is certain that it is not registered.
    ///
    /// # Errors
    /// Where it is not known here, and the registry is away.
    pub async fn version(
        &self,
        name: &SubjectName,
        version: &Version,
    ) -> Result<Option<Arc<SchemaVersion>>, RegistryUnavailable> {
        let find = || self.catalog().subject(name).ok()?.versions.get(version).map(Arc::clone);
        match (find(), &self.source) {
            (Some(registered), _) => Ok(Some(registered)),
            (None, Source::Here(_)) => Ok(None),
            (None, Source::There(mirror)) => {
                mirror.ask(name).await?;
                Ok(find())
            }
        }
    }

    /// The version that an event was written with, by its id. None: no registry that this server has seen gave the id.
    ///
    /// # Errors
    /// Where it is not known here, and the registry is away.
    pub fn written(&self, id: u32) -> Result<Option<Arc<SchemaVersion>>, RegistryUnavailable> {
        match (self.catalog().by_id(id), &self.source) {
            (Ok(registered), _) => Ok(Some(Arc::clone(registered))),
            (Err(_), Source::Here(_)) => Ok(None),
            (Err(_), Source::There(mirror)) => match &*mirror.away().borrow() {
                Some(reason) => Err(RegistryUnavailable(reason.clone())),
                None => Ok(None),
            },
        }
    }
}
