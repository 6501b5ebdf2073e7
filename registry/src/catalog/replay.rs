//! A catalog made of changes, as `WatchRegistry` sends them.

use crate::convert::FromProto as _;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::Catalog;
use crate::{
    proto::v1::{self, WatchRegistryResponse, watch_registry_response::Change},
    schema::SchemaVersion,
    subject::{Settings, Subject, SubjectName},
};
use tidings_schema::finding::{ContentModel, Surface};
use tidings_schema::level::Level;

impl Catalog {
    /// Applies the next change.
    ///
    /// # Errors
    /// In words, where it cannot be read: what it is about stays as it was.
    pub fn apply(&mut self, change: WatchRegistryResponse) -> Result<(), String> {
        self.revision = change.revision;
        match change.change {
            Some(Change::SchemaRegistered(schema)) => {
                self.put(SchemaVersion::try_from(schema)?);
                change.created_subject.map_or(Ok(()), |it| self.update(it))
            }
            Some(Change::VersionStateSet(schema)) => {
                let mut registered = SchemaVersion::try_from(schema)?;
                if let Ok(before) = self.by_id(registered.id) {
                    registered.parsed = Arc::clone(&before.parsed);
                }
                self.put(registered);
                Ok(())
            }
            Some(Change::SubjectUpdated(subject)) => self.update(subject),
            Some(Change::SubjectDeleted(name)) => {
                let name = SubjectName::parse(&name)?;
                if let Some(before) = self.subject_or_grave(&name) {
                    let mut after = Subject::clone(before);
                    after.deleted = true;
                    after.versions.clear();
                    self.put_subject(after);
                }
                Ok(())
            }
            // Of a newer program.
            None => Ok(()),
        }
    }

    /// Gives a subject that is there the settings of a message.
    ///
    /// # Errors
    /// In words, where they cannot be read.
    pub fn update(&mut self, subject: v1::Subject) -> Result<(), String> {
        let name = SubjectName::parse(&subject.name)?;
        let settings = Settings::try_from(subject)?;
        if let Some(before) = self.subject_or_grave(&name) {
            let after = Subject { settings, ..Subject::clone(before) };
            self.put_subject(after);
        }
        Ok(())
    }

    /// Adds a version, and its subject where that is new.
    pub fn put(&mut self, registered: SchemaVersion) {
        let registered = Arc::new(registered);
        let known = self.subject_or_grave(&registered.subject);
        let mut subject = match known.filter(|subject| !subject.deleted) {
            Some(subject) => Subject::clone(subject),
            None => Subject {
                name: registered.subject.clone(),
                format: registered.format,
                settings: Settings::default(),
                created: registered.created,
                revision: 0,
                deleted: false,
                ids_before: 0,
                major_before: None,
                versions: BTreeMap::new(),
                unreadable: BTreeMap::new(),
            },
        };
        subject.versions.insert(registered.version.clone(), Arc::clone(&registered));
        self.put_schema(registered);
        self.put_subject(subject);
    }
}

impl TryFrom<v1::Subject> for Settings {
    /// A number that is not known, in words.
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
    /// By subject: settings, and the last id before they were made.
    updates: HashMap<SubjectName, Vec<(u32, Settings)>>,
}

impl History {
    /// Notes the next change.
    ///
    /// # Errors
    /// In words, where it cannot be read.
    pub fn note(&mut self, change: &WatchRegistryResponse) -> Result<(), String> {
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

    /// The settings that a version was held to. Changes that older programs wrote do not have those
    /// that a subject began with: its versions from before the first update are held to what that
    /// made of them.
    pub fn settings<'a>(&'a self, subject: &'a Subject, id: u32) -> &'a Settings {
        let updates = self.updates.get(&subject.name).map(Vec::as_slice).unwrap_or_default();
        let before = updates.iter().rev().find(|(last, _)| *last < id);
        before.or(updates.first()).map_or(&subject.settings, |(_, settings)| settings)
    }
}
