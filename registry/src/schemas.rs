//! Access to registered schemas for a server that uses a registry: the registry of this process, or
//! a mirror of a remote registry.

use std::sync::Arc;

use semver::Version;
use tokio::sync::watch;

use crate::{
    catalog::Catalog,
    client::{self, Client},
    mirror::{Mirror, RegistryUnavailable},
    name::SubjectName,
    registry::Registry,
    schema::SchemaVersion,
    service::Service,
    subject::Subject,
};

/// The registered schemas, of an embedded or a remote registry.
#[derive(Clone)]
pub struct Schemas {
    source: Source,
    client: Client,
}

#[derive(Clone)]
enum Source {
    Embedded(Registry),
    Remote(Mirror),
}

impl Schemas {
    /// Uses the registry of this process.
    pub fn embedded(registry: Registry, service: Service) -> Self {
        Self { source: Source::Embedded(registry), client: client::embedded(service).into() }
    }

    /// Uses a mirror of a remote registry.
    pub fn remote(mirror: Mirror, client: Client) -> Self {
        Self { source: Source::Remote(mirror), client }
    }

    /// Returns the newest known snapshot of the registry.
    pub fn catalog(&self) -> Arc<Catalog> {
        match &self.source {
            Source::Embedded(registry) => registry.catalog(),
            Source::Remote(mirror) => mirror.catalog(),
        }
    }

    /// Returns a receiver of the newest known revision.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        match &self.source {
            Source::Embedded(registry) => registry.revisions(),
            Source::Remote(mirror) => mirror.revisions(),
        }
    }

    /// Returns a client of the registry.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns a subject. None: it is certainly not registered.
    ///
    /// # Errors
    /// Returns an error if the mirror does not know the subject, and the registry is unavailable.
    pub async fn subject(
        &self,
        name: &SubjectName,
    ) -> Result<Option<Arc<Subject>>, RegistryUnavailable> {
        let find = || self.catalog().subject(name).ok().map(Arc::clone);
        match (find(), &self.source) {
            (Some(subject), _) => Ok(Some(subject)),
            (None, Source::Embedded(_)) => Ok(None),
            (None, Source::Remote(mirror)) => {
                mirror.look_up(name).await?;
                Ok(find())
            }
        }
    }

    /// Returns an exact version of a subject. None: it is certainly not registered.
    ///
    /// # Errors
    /// Returns an error if the mirror does not know the version, and the registry is unavailable.
    pub async fn version(
        &self,
        name: &SubjectName,
        version: &Version,
    ) -> Result<Option<Arc<SchemaVersion>>, RegistryUnavailable> {
        let find = || self.catalog().subject(name).ok()?.versions.get(version).map(Arc::clone);
        match (find(), &self.source) {
            (Some(schema), _) => Ok(Some(schema)),
            (None, Source::Embedded(_)) => Ok(None),
            (None, Source::Remote(mirror)) => {
                mirror.look_up(name).await?;
                Ok(find())
            }
        }
    }

    /// Returns the version that an event was written with, by its id. None: no registry that this
    /// server used assigned the id.
    ///
    /// # Errors
    /// Returns an error if the mirror does not know the id, and the registry is unavailable.
    pub fn written(&self, id: u32) -> Result<Option<Arc<SchemaVersion>>, RegistryUnavailable> {
        match (self.catalog().by_id(id), &self.source) {
            (Ok(schema), _) => Ok(Some(Arc::clone(schema))),
            (Err(_), Source::Embedded(_)) => Ok(None),
            (Err(_), Source::Remote(mirror)) => match &*mirror.unavailable().borrow() {
                Some(reason) => Err(RegistryUnavailable(reason.clone())),
                None => Ok(None),
            },
        }
    }
}
