//! A catalog of a manifest's schemas, as if they were registered.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use semver::Version;
use tidings_registry::{
    catalog::Catalog,
    name::SubjectName,
    proto::v1,
    schema::{Fingerprint, Reference, SchemaVersion, State},
    subject::{Settings, Subject},
};
use tidings_schema::version::{self, FIRST, Selector};

use super::super::{
    super::{failure::Failure, printer::printable},
    manifest::{Manifest, PlannedSchema},
    source::Source,
};

impl Manifest {
    /// The catalog, and the files of each schema by its id there. A schema without a version is the
    /// first of its subject.
    pub fn catalog(self) -> Result<(Catalog, HashMap<u32, Source>), Failure> {
        let mut planned = Vec::with_capacity(self.schemas.len());
        for schema in self.schemas {
            let version = match schema.version.as_str() {
                "" => FIRST,
                declared => version::parse(declared).map_err(Failure::usage)?,
            };
            let name = SubjectName::parse(&schema.subject).map_err(Failure::usage)?;
            planned.push((name, version, schema));
        }
        // Versions of a subject are registered in order.
        planned.sort_by(|first, second| (&first.0, &first.1).cmp(&(&second.0, &second.1)));
        let mut catalog = Catalog::default();
        let mut sources = HashMap::new();
        let mut missing = Vec::new();
        for (id, (name, version, schema)) in (1..).zip(&planned) {
            let mut references = Vec::with_capacity(schema.references.len());
            for reference in &schema.references {
                match resolve(reference, &planned) {
                    Some(reference) => references.push(reference),
                    None => missing.push(format!(
                        "{name} refers to {}, which is not in the manifest",
                        format!("{} {}", reference.subject, reference.version).trim_end()
                    )),
                }
            }
            catalog.put(registered(id, name, version, schema, references));
            if let Some(settings) = settings(schema)
                && let Ok(subject) = catalog.subject(name)
            {
                let subject = Subject { settings, ..(**subject).clone() };
                catalog.put_subject(subject);
            }
            sources.insert(id, schema.source.clone());
        }
        if missing.is_empty() {
            return Ok((catalog, sources));
        }
        let failure = Failure::usage(format!("{} is not self-contained", printable(&self.name)));
        let failure = missing.iter().fold(failure, |failure, line| failure.detail(printable(line)));
        Err(failure.with_remedy("tidings schema verify without --manifest, against a registry"))
    }
}

fn registered(
    id: u32,
    subject: &SubjectName,
    version: &Version,
    schema: &PlannedSchema,
    references: Vec<Reference>,
) -> SchemaVersion {
    SchemaVersion {
        subject: subject.clone(),
        version: version.clone(),
        id,
        format: schema.source.format,
        definition: schema.source.definition.clone(),
        references,
        // It only has to be unique here.
        fingerprint: Fingerprint::of(schema.source.format, &id.to_be_bytes(), &[]),
        state: State::Active,
        deprecation: String::new(),
        labels: BTreeMap::new(),
        created: Timestamp::UNIX_EPOCH,
        bump: None,
        parsed: Default::default(),
    }
}

/// The newest version in the manifest that matches a reference.
fn resolve(
    reference: &v1::Reference,
    planned: &[(SubjectName, Version, PlannedSchema)],
) -> Option<Reference> {
    let selector = Selector::parse(&reference.version).ok()?;
    let matches = |version: &Version| match &selector {
        Selector::Newest => true,
        Selector::Exactly(exactly) => exactly == version,
        Selector::Best(requirement) => requirement.matches(version),
    };
    let mut of_subject = planned.iter().filter(|(name, ..)| name.as_str() == reference.subject);
    let (subject, version, _) = of_subject.rfind(|(_, version, _)| matches(version))?;
    let name = reference.name.clone();
    Some(Reference { name, subject: subject.clone(), version: version.clone() })
}

/// The settings of the subject, if any is specified.
fn settings(schema: &PlannedSchema) -> Option<Settings> {
    if schema.compatibility.is_none() && schema.content_model.is_none() && schema.surface.is_none()
    {
        return None;
    }
    Some(Settings {
        level: schema.compatibility.map(Into::into).unwrap_or_default(),
        content_model: schema.content_model.map(Into::into).unwrap_or_default(),
        surface: schema.surface.map(Into::into).unwrap_or_default(),
        ..Settings::default()
    })
}
