//! Builds a catalog from changes, as `WatchRegistry` sends them.

use crate::convert::FromProto as _;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::Catalog;
use crate::{
    name::SubjectName,
    proto::v1::{self, WatchRegistryResponse, watch_registry_response::Change},
    schema::SchemaVersion,
    subject::{Settings, Subject},
};
use tidings_schema::finding::{ContentModel, Surface};
use tidings_schema::level::Level;

impl Catalog {
    /// Applies the next change.
    ///
    /// # Errors
    /// Returns the reason as text if the change cannot be read. The catalog then changes its
    /// revision only.
    pub fn apply(&mut self, change: WatchRegistryResponse) -> Result<(), String> {
        self.revision = change.revision;
        match change.change {
            Some(Change::SchemaRegistered(schema)) => {
                self.put(SchemaVersion::try_from(schema)?);
                change.created_subject.map_or(Ok(()), |subject| self.update(subject))
            }
            Some(Change::VersionStateSet(schema)) => {
                let mut schema = SchemaVersion::try_from(schema)?;
                if let Ok(before) = self.by_id(schema.id) {
                    schema.parsed = Arc::clone(&before.parsed);
                }
                self.put(schema);
                Ok(())
            }
            Some(Change::SubjectUpdated(subject)) => self.update(subject),
            Some(Change::SubjectDeleted(name)) => {
                let name = SubjectName::parse(&name)?;
                if let Some(before) = self.subject_or_tombstone(&name) {
                    let mut after = Subject::clone(before);
                    after.deleted = true;
                    after.versions.clear();
                    self.put_subject(after);
                }
                Ok(())
            }
            // A change of a kind that only newer programs know.
            None => Ok(()),
        }
    }

    /// Sets the settings of an existing subject to those of a message.
    ///
    /// # Errors
    /// Returns the reason as text if the settings cannot be read.
    pub fn update(&mut self, subject: v1::Subject) -> Result<(), String> {
        let name = SubjectName::parse(&subject.name)?;
        let settings = Settings::try_from(subject)?;
        if let Some(before) = self.subject_or_tombstone(&name) {
            let after = Subject { settings, ..Subject::clone(before) };
            self.put_subject(after);
        }
        Ok(())
    }

    /// Adds a version, and its subject if the subject is new.
    pub fn put(&mut self, schema: SchemaVersion) {
        let schema = Arc::new(schema);
        let existing = self.subject_or_tombstone(&schema.subject);
        let mut subject = match existing.filter(|subject| !subject.deleted) {
            Some(subject) => Subject::clone(subject),
            None => Subject {
                name: schema.subject.clone(),
                format: schema.format,
                settings: Settings::default(),
                created: schema.created,
                revision: 0,
                deleted: false,
                ids_before: 0,
                major_before: None,
                versions: BTreeMap::new(),
                unreadable: BTreeMap::new(),
            },
        };
        subject.versions.insert(schema.version.clone(), Arc::clone(&schema));
        self.put_schema(schema);
        self.put_subject(subject);
    }
}

impl TryFrom<v1::Subject> for Settings {
    /// Describes an unknown number of an enum.
    type Error = String;

    fn try_from(subject: v1::Subject) -> Result<Self, String> {
        Ok(Self {
            level: Level::from_proto(subject.compatibility)?.unwrap_or_default(),
            content_model: ContentModel::from_proto(subject.content_model)?.unwrap_or_default(),
            surface: Surface::from_proto(subject.surface)?.unwrap_or_default(),
            owner: subject.owner,
            description: subject.description,
            labels: subject.labels,
        })
    }
}

/// The settings that subjects had when their versions were registered.
#[derive(Debug, Default)]
pub struct History {
    last_id: u32,
    /// By subject: each settings with the last id that was assigned before them.
    updates: HashMap<SubjectName, Vec<(u32, Settings)>>,
}

impl History {
    /// Records the next change.
    ///
    /// # Errors
    /// Returns the reason as text if the change cannot be read.
    pub fn record(&mut self, change: &WatchRegistryResponse) -> Result<(), String> {
        match &change.change {
            Some(Change::SchemaRegistered(schema)) => {
                if let Some(subject) = &change.created_subject {
                    self.update(subject)?;
                }
                self.last_id = self.last_id.max(schema.id);
            }
            Some(Change::SubjectUpdated(subject)) => self.update(subject)?,
            Some(Change::SubjectDeleted(name)) => {
                self.updates.remove(&SubjectName::parse(name)?);
            }
            Some(Change::VersionStateSet(_)) | None => {}
        }
        Ok(())
    }

    fn update(&mut self, subject: &v1::Subject) -> Result<(), String> {
        let name = SubjectName::parse(&subject.name)?;
        let settings = Settings::try_from(subject.clone())?;
        self.updates.entry(name).or_default().push((self.last_id, settings));
        Ok(())
    }

    /// Returns the settings that a version was checked against. Changes that older programs wrote
    /// lack the initial settings of a subject: its versions from before the first update are
    /// checked against the settings after that update.
    pub fn settings<'a>(&'a self, subject: &'a Subject, id: u32) -> &'a Settings {
        let updates = self.updates.get(&subject.name).map(Vec::as_slice).unwrap_or_default();
        let before = updates.iter().rev().find(|(last, _)| *last < id);
        before.or(updates.first()).map_or(&subject.settings, |(_, settings)| settings)
    }
}
