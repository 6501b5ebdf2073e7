//! A snapshot of the registry at one revision. It never changes: a write creates the next snapshot.

pub mod impact;
mod messages;
pub mod plan;
pub mod replay;
pub mod verify;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use semver::Version;

use crate::{
    error::{NotFound, Unreadable},
    name::SubjectName,
    schema::{Reference, SchemaVersion},
    subject::Subject,
};
use tidings_schema::{
    definition::{DEFINITION_BYTES_MAX, Import, InvalidSchema},
    schema::Schema,
    version::Selector,
};

/// Limits the imports of one definition: its references, with the references of those.
const IMPORTS_MAX: usize = 1000;
/// Limits the bytes of the imports of one definition. Each comparison parses all of them, so the
/// limit is four of the largest definitions.
const IMPORTS_BYTES_MAX: usize = 4 * DEFINITION_BYTES_MAX;

/// All subjects and versions at one revision.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// The revision, which counts the changes.
    pub revision: u64,
    /// The last assigned id.
    pub last_id: u32,
    subjects: BTreeMap<SubjectName, Arc<Subject>>,
    schemas: HashMap<u32, Arc<SchemaVersion>>,
    /// Ids by subject and version, including those of deleted versions.
    ids: HashMap<(SubjectName, Version), u32>,
    /// Ids of the versions that reference a subject.
    referrers: HashMap<SubjectName, Vec<u32>>,
    message_cache: messages::MessageCache,
}

impl Catalog {
    /// Creates an empty catalog at a revision, with the last assigned id.
    pub fn at(revision: u64, last_id: u32) -> Self {
        Self { revision, last_id, ..Self::default() }
    }

    /// Returns a subject that is not deleted.
    ///
    /// # Errors
    /// Returns the nearest name if there is no such subject.
    pub fn subject(&self, name: &SubjectName) -> Result<&Arc<Subject>, NotFound> {
        self.subject_or_tombstone(name).filter(|subject| !subject.deleted).ok_or_else(|| {
            NotFound::Subject { name: name.to_string(), nearest: self.nearest(name) }
        })
    }

    /// Returns a subject, also if it was deleted.
    pub fn subject_or_tombstone(&self, name: &SubjectName) -> Option<&Arc<Subject>> {
        self.subjects.get(name)
    }

    /// Returns the subjects that are not deleted, by name, after a given name.
    pub fn subjects_after(
        &self,
        name: Option<&SubjectName>,
    ) -> impl Iterator<Item = &Arc<Subject>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = name.map_or(Unbounded, Excluded);
        self.subjects
            .range((from, Unbounded))
            .map(|(_, subject)| subject)
            .filter(|subject| !subject.deleted)
    }

    /// Returns a version of a subject. `requested` is the text of the selector, for the error.
    ///
    /// # Errors
    /// Returns an error if the subject or the version does not exist.
    pub fn version(
        &self,
        name: &SubjectName,
        selector: &Selector,
        requested: &str,
    ) -> Result<&Arc<SchemaVersion>, NotFound> {
        let subject = self.subject(name)?;
        subject.select(selector).ok_or_else(|| NotFound::Version {
            subject: name.to_string(),
            version: requested.into(),
            available: subject.versions.keys().cloned().collect(),
        })
    }

    /// Returns a version by its id, also if its subject was deleted.
    ///
    /// # Errors
    /// Returns an error if the id is not assigned.
    pub fn by_id(&self, id: u32) -> Result<&Arc<SchemaVersion>, NotFound> {
        self.schemas.get(&id).ok_or(NotFound::Id { id })
    }

    /// Returns the number of versions, including deleted versions.
    pub fn len(&self) -> usize {
        self.schemas.len()
    }

    /// Returns whether no version is registered.
    pub fn is_empty(&self) -> bool {
        self.schemas.is_empty()
    }

    /// Returns the versions of other subjects, not deleted, that reference any version of this
    /// subject.
    pub fn referrers(&self, subject: &Subject) -> Vec<&Arc<SchemaVersion>> {
        let ids = self.referrers.get(&subject.name).into_iter().flatten();
        let mut referrers: Vec<_> = ids
            .filter_map(|id| self.schemas.get(id))
            .filter(|schema| schema.subject != subject.name)
            .filter(|schema| {
                let subject = self.subjects.get(&schema.subject);
                subject.is_some_and(|subject| subject.versions.contains_key(&schema.version))
            })
            .collect();
        referrers.sort_by(|a, b| (&a.subject, &a.version).cmp(&(&b.subject, &b.version)));
        referrers.dedup_by_key(|schema| schema.id);
        referrers
    }

    /// Returns the parsed form of a registered version.
    ///
    /// # Errors
    /// Returns an error if the stored definition cannot be parsed.
    pub fn parsed(&self, schema: &SchemaVersion) -> Result<Arc<Schema>, Unreadable> {
        let parse = || {
            let imports = self.imports(&schema.references).map_err(InvalidSchema::new)?;
            let name = schema.subject.as_str();
            Schema::parse(schema.format, name, &schema.definition, &imports).map(Arc::new)
        };
        schema.parsed.get_or_init(parse).clone().map_err(|error| Unreadable {
            subject: schema.subject.to_string(),
            version: schema.version.clone(),
            id: schema.id,
            detail: error.to_string(),
        })
    }

    /// Returns the version that a reference names, also if its subject was deleted.
    pub fn referenced(&self, reference: &Reference) -> Option<&Arc<SchemaVersion>> {
        let id = self.ids.get(&(reference.subject.clone(), reference.version.clone()))?;
        self.schemas.get(id)
    }

    /// Returns the direct and indirect imports of references, each name once.
    ///
    /// # Errors
    /// Returns the reason as text if one name stands for two schemas, if there are too many or too
    /// large imports, or if a referenced version does not exist.
    pub fn imports(&self, references: &[Reference]) -> Result<Vec<Import>, String> {
        let mut imports = BTreeMap::<String, (u32, Import)>::new();
        let mut pending: Vec<Reference> = references.to_vec();
        let mut bytes = 0;
        while let Some(reference) = pending.pop() {
            let schema = self.referenced(&reference).ok_or_else(|| {
                format!("the referenced {} {} does not exist", reference.subject, reference.version)
            })?;
            if let Some((id, _)) = imports.get(&reference.name) {
                if *id == schema.id {
                    continue;
                }
                return Err(format!(
                    "\"{}\" stands for two schemas; {} {} is one of them",
                    reference.name, reference.subject, reference.version
                ));
            }
            if imports.len() == IMPORTS_MAX {
                return Err(format!(
                    "references more than {IMPORTS_MAX} schemas, directly or indirectly"
                ));
            }
            bytes += schema.definition.bytes();
            if bytes > IMPORTS_BYTES_MAX {
                return Err(format!(
                    "the schemas that it references, directly or indirectly, have {bytes} bytes \
                     up to {} {}; the limit is {IMPORTS_BYTES_MAX}; reference fewer or smaller \
                     schemas",
                    reference.subject, reference.version
                ));
            }
            let import = Import {
                name: reference.name.clone(),
                subject: schema.subject.to_string(),
                version: schema.version.to_string(),
                definition: schema.definition.clone(),
            };
            pending.extend(schema.references.iter().cloned());
            imports.insert(reference.name, (schema.id, import));
        }
        Ok(imports.into_values().map(|(_, import)| import).collect())
    }

    /// Inserts or replaces a subject.
    pub fn put_subject(&mut self, subject: Subject) {
        self.message_cache = messages::MessageCache::default();
        self.subjects.insert(subject.name.clone(), Arc::new(subject));
    }

    /// Inserts or replaces a version. [`Self::put_subject`] adds it to its subject.
    pub fn put_schema(&mut self, schema: Arc<SchemaVersion>) {
        if !self.schemas.contains_key(&schema.id) {
            for reference in &schema.references {
                self.referrers.entry(reference.subject.clone()).or_default().push(schema.id);
            }
            let key = (schema.subject.clone(), schema.version.clone());
            self.ids.insert(key, schema.id);
        }
        self.last_id = self.last_id.max(schema.id);
        self.schemas.insert(schema.id, schema);
    }

    /// Returns the most similar name of a subject, if any name is similar enough.
    fn nearest(&self, name: &SubjectName) -> Option<String> {
        let similar = |subject: &Arc<Subject>| {
            let similarity = strsim::jaro_winkler(subject.name.as_str(), name.as_str());
            (similarity > 0.85).then(|| (similarity, subject.name.to_string()))
        };
        let subjects = self.subjects.values().filter(|subject| !subject.deleted);
        let nearest = subjects.filter_map(similar).max_by(|(a, _), (b, _)| a.total_cmp(b));
        nearest.map(|(_, name)| name)
    }
}
