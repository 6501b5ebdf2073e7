//! Rows of `subjects`: `name` → JSON, with everything but the schemas of the versions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::json;
use crate::{
    convert::FromProto as _,
    name::SubjectName,
    proto::v1,
    subject::{Settings, Subject},
};
use tidings_schema::{
    finding::{ContentModel, Surface},
    level::Level,
    schema::Format,
};

#[derive(Debug, Serialize, Deserialize)]
struct SubjectRow {
    format: i32,
    level: i32,
    content_model: i32,
    surface: i32,
    owner: String,
    description: String,
    labels: BTreeMap<String, String>,
    /// Microseconds since 1970.
    created: i64,
    revision: u64,
    #[serde(default)]
    deleted: bool,
    ids_before: u32,
    major_before: Option<u64>,
    /// The registered versions with their ids. A version is listed here although its own row is
    /// damaged, so that neither the version nor the id is assigned again.
    versions: Vec<(String, u32)>,
}

pub(super) fn key(subject: &Subject) -> &[u8] {
    subject.name.as_str().as_bytes()
}

pub(super) fn encode(subject: &Subject) -> Vec<u8> {
    let settings = &subject.settings;
    json(&SubjectRow {
        format: v1::SchemaFormat::from(subject.format).into(),
        level: v1::Compatibility::from(settings.level).into(),
        content_model: v1::ContentModel::from(settings.content_model).into(),
        surface: v1::Surface::from(settings.surface).into(),
        owner: settings.owner.clone(),
        description: settings.description.clone(),
        labels: settings.labels.clone(),
        created: subject.created.as_microsecond(),
        revision: subject.revision,
        deleted: subject.deleted,
        ids_before: subject.ids_before,
        major_before: subject.major_before,
        versions: (subject.versions.iter())
            .map(|(version, schema)| (version.to_string(), schema.id))
            .chain(subject.unreadable.iter().map(|(version, id)| (version.to_string(), *id)))
            .collect(),
    })
}

/// Decodes a row. All versions are in `unreadable` until their own rows are read.
///
/// # Errors
/// Returns the subject and the reason if the key or the value cannot be decoded.
pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<Subject, String> {
    let name = str::from_utf8(key).map_err(|error| format!("the name of a subject: {error}"))?;
    let name =
        SubjectName::parse(name).map_err(|error| format!("the name of a subject {error}"))?;
    let fault = |detail: String| format!("subject \"{name}\": {detail}");
    let row: SubjectRow =
        serde_json::from_slice(value).map_err(|error| fault(error.to_string()))?;
    let mut unreadable = BTreeMap::new();
    for (version, id) in &row.versions {
        let version = Version::parse(version).map_err(|error| fault(error.to_string()))?;
        unreadable.insert(version, *id);
    }
    Ok(Subject {
        format: Format::from_proto(row.format)
            .map_err(fault)?
            .ok_or_else(|| fault("no format".into()))?,
        settings: Settings {
            level: Level::from_proto(row.level).map_err(fault)?.unwrap_or_default(),
            content_model: ContentModel::from_proto(row.content_model)
                .map_err(fault)?
                .unwrap_or_default(),
            surface: Surface::from_proto(row.surface).map_err(fault)?.unwrap_or_default(),
            owner: row.owner,
            description: row.description,
            labels: row.labels,
        },
        created: Timestamp::from_microsecond(row.created)
            .map_err(|error| fault(error.to_string()))?,
        revision: row.revision,
        deleted: row.deleted,
        ids_before: row.ids_before,
        major_before: row.major_before,
        versions: BTreeMap::new(),
        unreadable,
        name,
    })
}
