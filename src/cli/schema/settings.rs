//! What a manifest says of a subject beside its schema, against what the registry has.

use std::collections::BTreeSet;

use prost_types::FieldMask;
use tidings_registry::proto::v1::{
    GetSubjectRequest, Subject, UpdateSubjectRequest,
    schema_registry_service_client::SchemaRegistryServiceClient,
};
use tonic::{Code, transport::Channel};

use super::{
    super::{client::ServerArgs, failure::Failure},
    manifest::{Manifest, Planned},
    words::{self, content_model_number, level_number, surface_number},
};

/// What is to be changed of one subject.
#[derive(Debug)]
pub struct Drift {
    /// Whose.
    pub subject: String,
    /// As it shall be; what is not among the changes does not count.
    wanted: Subject,
    changes: Vec<Change>,
}

/// A field of a subject by its path, and how it is read.
type Setting = (&'static str, fn(&Subject) -> String);

#[derive(Debug)]
struct Change {
    path: &'static str,
    from: String,
    to: String,
}

impl Drift {
    /// A line per change.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.changes.iter().map(|Change { path, from, to }| {
            let name = path.replace('_', "-");
            if from.is_empty() {
                format!("{name}: {to}")
            } else {
                format!("{name}: {from} -> {to}")
            }
        })
    }

    /// Makes it so.
    pub async fn settle(
        &self,
        server: &ServerArgs,
        client: &mut SchemaRegistryServiceClient<Channel>,
    ) -> anyhow::Result<()> {
        let paths = self.changes.iter().map(|change| change.path.to_owned()).collect();
        let request = UpdateSubjectRequest {
            subject: Some(self.wanted.clone()),
            update_mask: Some(FieldMask { paths }),
        };
        match client.update_subject(server.request(request)).await {
            Ok(_) => Ok(()),
            Err(status) => {
                let doing = format!("schemas are registered; update {}", self.subject);
                Err(Failure::from_status(&doing, &status).into())
            }
        }
    }
}

/// Everything that is to be changed.
pub async fn drift(
    manifest: &Manifest,
    server: &ServerArgs,
    client: &mut SchemaRegistryServiceClient<Channel>,
) -> anyhow::Result<Vec<Drift>> {
    let mut drifts = Vec::new();
    let mut seen = BTreeSet::new();
    for planned in manifest.schemas.iter().filter(|planned| says_something(planned)) {
        if !seen.insert(&planned.subject) {
            continue;
        }
        let request = server.request(GetSubjectRequest { name: planned.subject.clone() });
        let registered = match client.get_subject(request).await {
            Ok(response) => response.into_inner().subject,
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => {
                let doing = format!("get subject {}", planned.subject);
                return Err(Failure::from_status(&doing, &status).into());
            }
        };
        let drift = compare(planned, registered);
        if !drift.changes.is_empty() {
            drifts.push(drift);
        }
    }
    Ok(drifts)
}

fn says_something(planned: &Planned) -> bool {
    planned.owner.is_some()
        || planned.description.is_some()
        || planned.compatibility.is_some()
        || planned.content_model.is_some()
        || planned.surface.is_some()
}

fn compare(planned: &Planned, registered: Option<Subject>) -> Drift {
    let is_new = registered.is_none();
    let mut wanted = registered.unwrap_or_default();
    wanted.name.clone_from(&planned.subject);
    let before = wanted.clone();
    let mut changes = Vec::new();
    if let Some(owner) = &planned.owner {
        wanted.owner.clone_from(owner);
    }
    if let Some(description) = &planned.description {
        wanted.description.clone_from(description);
    }
    // A new subject is made with these.
    if !is_new {
        if planned.compatibility.is_some() {
            wanted.compatibility = level_number(planned.compatibility);
        }
        if planned.content_model.is_some() {
            wanted.content_model = content_model_number(planned.content_model);
        }
        if planned.surface.is_some() {
            wanted.surface = surface_number(planned.surface);
        }
    }
    let rows: [Setting; 5] = [
        ("owner", |it| it.owner.clone()),
        ("description", |it| it.description.clone()),
        ("compatibility", |it| words::level(it.compatibility())),
        ("content_model", |it| words::content_model(it.content_model())),
        ("surface", |it| words::surface(it.surface())),
    ];
    for (path, value) in rows {
        let (from, to) = (value(&before), value(&wanted));
        if from != to {
            changes.push(Change { path, from, to });
        }
    }
    // The schemas that are applied in between change it.
    wanted.etag.clear();
    Drift { subject: planned.subject.clone(), wanted, changes }
}
