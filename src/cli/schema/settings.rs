//! Compares the settings of a manifest's subjects with those in the registry.

use std::collections::BTreeSet;

use prost_types::FieldMask;
use tidings_registry::proto::v1::{
    GetSubjectRequest, Subject, UpdateSubjectRequest,
    schema_registry_service_client::SchemaRegistryServiceClient,
};
use tonic::{Code, transport::Channel};

use super::{
    super::{client::ServerArgs, failure::Failure},
    enums::{self, compatibility_number, content_model_number, surface_number},
    manifest::{Manifest, PlannedSchema},
};

/// Changes to the settings of one subject.
#[derive(Debug)]
pub struct SubjectChanges {
    /// The subject.
    pub subject: String,
    /// The subject with its new settings; other fields are ignored.
    updated: Subject,
    changes: Vec<Change>,
}

/// A field of a subject: its path, and a function that reads it.
type Setting = (&'static str, fn(&Subject) -> String);

#[derive(Debug)]
struct Change {
    path: &'static str,
    from: String,
    to: String,
}

impl SubjectChanges {
    /// One line per change.
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

    /// Updates the subject.
    pub async fn apply(
        &self,
        server: &ServerArgs,
        client: &mut SchemaRegistryServiceClient<Channel>,
    ) -> anyhow::Result<()> {
        let paths = self.changes.iter().map(|change| change.path.to_owned()).collect();
        let request = UpdateSubjectRequest {
            subject: Some(self.updated.clone()),
            update_mask: Some(FieldMask { paths }),
        };
        match client.update_subject(server.request(request)).await {
            Ok(_) => Ok(()),
            Err(status) => {
                let operation = format!("schemas are registered; update {}", self.subject);
                Err(Failure::from_status(&operation, &status).into())
            }
        }
    }
}

/// All changes that the manifest requires.
pub async fn pending_changes(
    manifest: &Manifest,
    server: &ServerArgs,
    client: &mut SchemaRegistryServiceClient<Channel>,
) -> anyhow::Result<Vec<SubjectChanges>> {
    let mut subject_changes = Vec::new();
    let mut seen = BTreeSet::new();
    for planned in manifest.schemas.iter().filter(|planned| has_settings(planned)) {
        if !seen.insert(&planned.subject) {
            continue;
        }
        let request = server.request(GetSubjectRequest { name: planned.subject.clone() });
        let registered = match client.get_subject(request).await {
            Ok(response) => response.into_inner().subject,
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => {
                let operation = format!("get subject {}", planned.subject);
                return Err(Failure::from_status(&operation, &status).into());
            }
        };
        let pending = compare(planned, registered);
        if !pending.changes.is_empty() {
            subject_changes.push(pending);
        }
    }
    Ok(subject_changes)
}

fn has_settings(planned: &PlannedSchema) -> bool {
    planned.owner.is_some()
        || planned.description.is_some()
        || planned.compatibility.is_some()
        || planned.content_model.is_some()
        || planned.surface.is_some()
}

fn compare(planned: &PlannedSchema, registered: Option<Subject>) -> SubjectChanges {
    let is_new = registered.is_none();
    let mut updated = registered.unwrap_or_default();
    updated.name.clone_from(&planned.subject);
    let registered_subject = updated.clone();
    let mut changes = Vec::new();
    if let Some(owner) = &planned.owner {
        updated.owner.clone_from(owner);
    }
    if let Some(description) = &planned.description {
        updated.description.clone_from(description);
    }
    // A new subject is created with these.
    if !is_new {
        if planned.compatibility.is_some() {
            updated.compatibility = compatibility_number(planned.compatibility);
        }
        if planned.content_model.is_some() {
            updated.content_model = content_model_number(planned.content_model);
        }
        if planned.surface.is_some() {
            updated.surface = surface_number(planned.surface);
        }
    }
    let rows: [Setting; 5] = [
        ("owner", |subject| subject.owner.clone()),
        ("description", |subject| subject.description.clone()),
        ("compatibility", |subject| enums::compatibility(subject.compatibility())),
        ("content_model", |subject| enums::content_model(subject.content_model())),
        ("surface", |subject| enums::surface(subject.surface())),
    ];
    for (path, value) in rows {
        let (from, to) = (value(&registered_subject), value(&updated));
        if from != to {
            changes.push(Change { path, from, to });
        }
    }
    // Registering the schemas changes it.
    updated.etag.clear();
    SubjectChanges { subject: planned.subject.clone(), updated, changes }
}
