//! Everything that is registered, as of one revision. Never changed: a write makes the next one.

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
    schema::{Reference, SchemaVersion},
    subject::{Subject, SubjectName},
};
use tidings_schema::{
    definition::{DEFINITION_BYTES_MAX, Import, InvalidSchema},
    schema::Schema,
    version::Selector,
};

/// References of references are followed so far; the imports of one definition are at most so many.
const IMPORTS_MAX: usize = 1000;
/// Bytes of them in all: each comparison parses them anew, so four of the largest definitions.
const IMPORTS_BYTES_MAX: usize = 4 * DEFINITION_BYTES_MAX;

/// Everything that is registered.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Counts the changes.
    pub revision: u64,
    /// The last id that was given away.
    pub last_id: u32,
    subjects: BTreeMap<SubjectName, Arc<Subject>>,
    schemas: HashMap<u32, Arc<SchemaVersion>>,
    /// Ids by subject and version, deleted ones included.
    ids: HashMap<(SubjectName, Version), u32>,
    /// Ids of what refers to a subject.
    referrers: HashMap<SubjectName, Vec<u32>>,
    looked_up: messages::LookedUp,
}

impl Catalog {
    /// Nothing yet, at a revision at which ids were given away.
    pub fn at(revision: u64, last_id: u32) -> Self {
        Self { revision, last_id, ..Self::default() }
    }

    /// A subject that is there.
    ///
    /// # Errors
    /// With the nearest name, where it is not.
    pub fn subject(&self, name: &SubjectName) -> Result<&Arc<Subject>, NotFound> {
        self.subject_or_grave(name).filter(|subject| !subject.deleted).ok_or_else(|| {
            NotFound::Subject { name: name.to_string(), nearest: self.nearest(name) }
        })
    }

    /// A subject, also where it was deleted.
    pub fn subject_or_grave(&self, name: &SubjectName) -> Option<&Arc<Subject>> {
        self.subjects.get(name)
    }

    /// Subjects that are there, by name, behind one.
    pub fn subjects_behind(
        &self,
        name: Option<&SubjectName>,
    ) -> impl Iterator<Item = &Arc<Subject>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = name.map_or(Unbounded, Excluded);
        self.subjects.range((from, Unbounded)).map(|(_, it)| it).filter(|it| !it.deleted)
    }

    /// A version of a subject.
    ///
    /// # Errors
    /// Where one of them is not there.
    pub fn version(
        &self,
        name: &SubjectName,
        selector: &Selector,
        asked: &str,
    ) -> Result<&Arc<SchemaVersion>, NotFound> {
        let subject = self.subject(name)?;
        subject.select(selector).ok_or_else(|| NotFound::Version {
            subject: name.to_string(),
            version: asked.into(),
            registered: subject.versions.keys().cloned().collect(),
        })
    }

    /// A version by its id, also where its subject was deleted.
    ///
    /// # Errors
    /// Where none has it.
    pub fn by_id(&self, id: u32) -> Result<&Arc<SchemaVersion>, NotFound> {
        self.schemas.get(&id).ok_or(NotFound::Id { id })
    }

    /// How many versions there are, deleted ones included.
    pub fn len(&self) -> usize {
        self.schemas.len()
    }

    /// Whether nothing is registered.
    pub fn is_empty(&self) -> bool {
        self.schemas.is_empty()
    }

    /// Versions of other subjects, not deleted, that refer to any version of this one.
    pub fn referrers(&self, subject: &Subject) -> Vec<&Arc<SchemaVersion>> {
        let ids = self.referrers.get(&subject.name).into_iter().flatten();
        let mut found: Vec<_> = ids
            .filter_map(|id| self.schemas.get(id))
            .filter(|it| it.subject != subject.name)
            .filter(|it| {
                let subject = self.subjects.get(&it.subject);
                subject.is_some_and(|subject| subject.versions.contains_key(&it.version))
            })
            .collect();
        found.sort_by(|one, other| {
            (&one.subject, &one.version).cmp(&(&other.subject, &other.version))
        });
        found.dedup_by_key(|it| it.id);
        found
    }

    /// The parsed form of a registered version.
    ///
    /// # Errors
    /// Where what is stored cannot be read any more.
    pub fn parsed(&self, registered: &SchemaVersion) -> Result<Arc<Schema>, Unreadable> {
        let parse = || {
            let imports = self.imports(&registered.references).map_err(InvalidSchema::new)?;
            let name = registered.subject.as_str();
            Schema::parse(registered.format, name, &registered.definition, &imports).map(Arc::new)
        };
        registered.parsed.get_or_init(parse).clone().map_err(|error| Unreadable {
            subject: registered.subject.to_string(),
            version: registered.version.clone(),
            id: registered.id,
            detail: error.to_string(),
        })
    }

    /// The version that a reference names, also where its subject was deleted.
    pub fn referred(&self, reference: &Reference) -> Option<&Arc<SchemaVersion>> {
        let id = self.ids.get(&(reference.subject.clone(), reference.version.clone()))?;
        self.schemas.get(id)
    }

    /// What references bring in, with what those refer to: each name once.
    ///
    /// # Errors
    /// In words: one name for two schemas, too many or too large ones, or a schema that is not there.
    pub fn imports(&self, references: &[Reference]) -> Result<Vec<Import>, String> {
        let mut imports = BTreeMap::<String, (u32, Import)>::new();
        let mut open: Vec<Reference> = references.to_vec();
        let mut bytes = 0;
        while let Some(reference) = open.pop() {
            let registered = self.referred(&reference).ok_or_else(|| {
                format!("{} {} is referred to and not there", reference.subject, reference.version)
            })?;
            if let Some((id, _)) = imports.get(&reference.name) {
                if *id == registered.id {
                    continue;
                }
                return Err(format!(
                    "\"{}\" would be two schemas: {} {} is one of them",
                    reference.name, reference.subject, reference.version
                ));
            }
            if imports.len() == IMPORTS_MAX {
                return Err(format!("more than {IMPORTS_MAX} schemas are referred to"));
            }
            bytes += registered.definition.bytes();
            if bytes > IMPORTS_BYTES_MAX {
                return Err(format!(
                    "what it refers to, with what that refers to, has {bytes} bytes up to {} {}, at most {IMPORTS_BYTES_MAX} are \
                     taken; refer to less, or to smaller schemas",
                    reference.subject, reference.version
                ));
            }
            let import = Import {
                name: reference.name.clone(),
                subject: registered.subject.to_string(),
                version: registered.version.to_string(),
                definition: registered.definition.clone(),
            };
            open.extend(registered.references.iter().cloned());
            imports.insert(reference.name, (registered.id, import));
        }
        Ok(imports.into_values().map(|(_, import)| import).collect())
    }

    /// Puts a subject in, in place of what it was.
    pub fn put_subject(&mut self, subject: Subject) {
        self.looked_up = messages::LookedUp::default();
        self.subjects.insert(subject.name.clone(), Arc::new(subject));
    }

    /// Puts a version in, in place of what it was. Its subject gets it with [`Self::put_subject`].
    pub fn put_schema(&mut self, registered: Arc<SchemaVersion>) {
        if !self.schemas.contains_key(&registered.id) {
            for reference in &registered.references {
                self.referrers.entry(reference.subject.clone()).or_default().push(registered.id);
            }
            let place = (registered.subject.clone(), registered.version.clone());
            self.ids.insert(place, registered.id);
        }
        self.last_id = self.last_id.max(registered.id);
        self.schemas.insert(registered.id, registered);
    }

    /// The subject with the most similar name, if one is similar at all.
    fn nearest(&self, name: &SubjectName) -> Option<String> {
        let similar = |subject: &Arc<Subject>| {
            let likeness = strsim::jaro_winkler(subject.name.as_str(), name.as_str());
            (likeness > 0.85).then(|| (likeness, subject.name.to_string()))
        };
        let subjects = self.subjects.values().filter(|subject| !subject.deleted);
        let nearest = subjects.filter_map(similar).max_by(|one, other| one.0.total_cmp(&other.0));
        nearest.map(|(_, name)| name)
    }
}
