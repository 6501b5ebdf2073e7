//! The schemas of a manifest as if they were registered.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use semver::Version;
use tidings_registry::{
    catalog::Catalog,
    proto::v1,
    schema::{Fingerprint, Reference, SchemaVersion, State},
    subject::{Settings, Subject, SubjectName},
};
use tidings_schema::version::{self, FIRST, Selector};

use super::super::{
    super::{failure::Failure, printer::printable},
    manifest::{Manifest, Planned},
    source::Source,
};

impl Manifest {
    /// Its schemas, each with its files by the id that it has there. One without a version is the
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
        // Versions of a line are registered in their order.
        planned.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        let mut catalog = Catalog::default();
        let mut sources = HashMap::new();
        let mut missing = Vec::new();
        for (id, (name, version, schema)) in (1..).zip(&planned) {
            let mut references = Vec::with_capacity(schema.references.len());
            for reference in &schema.references {
                match resolve(reference, &planned) {
                    Some(found) => references.push(found),
                    None => missing.push(format!(
                        "{name} refers to {}, which is not in it",
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
        let failure = Failure::usage(format!("{} does not stand alone", printable(&self.name)));
        let failure = missing.iter().fold(failure, |it, line| it.detail(printable(line)));
        Err(failure.try_this("tidings schema verify without --manifest, against a registry"))
    }
}

fn registered(
    id: u32,
    subject: &SubjectName,
    version: &Version,
    schema: &Planned,
    references: Vec<Reference>,
) -> SchemaVersion {
    SchemaVersion {
        subject: subject.clone(),
        version: version.clone(),
        id,
        format: schema.source.format,
        definition: schema.source.definition.clone(),
        references,
        // Only that it is its own counts here.
        fingerprint: Fingerprint::of(schema.source.format, &id.to_be_bytes(), &[]),
        state: State::Active,
        deprecation: String::new(),
        labels: BTreeMap::new(),
        created: Timestamp::UNIX_EPOCH,
        bump: None,
        parsed: Default::default(),
    }
}

/// The newest version in the manifest that a reference means.
fn resolve(
    reference: &v1::Reference,
    planned: &[(SubjectName, Version, Planned)],
) -> Option<Reference> {
    let selector = Selector::parse(&reference.version).ok()?;
    let means = |version: &Version| match &selector {
        Selector::Newest => true,
        Selector::Exactly(exactly) => exactly == version,
        Selector::Best(requirement) => requirement.matches(version),
    };
    let mut of_subject = planned.iter().filter(|(name, ..)| name.as_str() == reference.subject);
    let (subject, version, _) = of_subject.rfind(|(_, version, _)| means(version))?;
    let name = reference.name.clone();
    Some(Reference { name, subject: subject.clone(), version: version.clone() })
}

/// What it says of its subject, where it says something.
fn settings(schema: &Planned) -> Option<Settings> {
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
