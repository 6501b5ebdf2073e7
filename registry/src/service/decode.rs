//! From the wire to the domain: all faults of a request at once.

use crate::convert::FromProto as _;
use tonic::Status;

use super::status;
use crate::{
    catalog::plan::{Draft, DraftReference},
    proto::v1::{self, ErrorReason as Reason},
    subject::{SubjectName, label_faults},
};
use tidings_schema::level::Level;
use tidings_schema::{
    finding::{ContentModel, Surface},
    schema::Format,
    version::{self, Selector},
};

/// Most references of a draft.
const REFERENCES_MAX: usize = 200;
/// Longest name of a reference, and path of a file, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// Faults while a request is read: the first one's kind is the reason of the answer.
#[derive(Default)]
pub struct Faults(Vec<(Reason, String, String)>);

impl Faults {
    /// Notes one.
    pub fn add(&mut self, reason: Reason, field: impl Into<String>, why: impl Into<String>) {
        self.0.push((reason, field.into(), why.into()));
    }

    /// The value, or a note of why there is none.
    pub fn take<T>(&mut self, reason: Reason, field: &str, value: Result<T, String>) -> Option<T> {
        value.map_err(|why| self.add(reason, field, why)).ok()
    }

    /// A subject's name.
    pub fn name(&mut self, field: &str, text: &str) -> Option<SubjectName> {
        let named = SubjectName::parse(text);
        self.take(Reason::InvalidName, field, named)
    }

    /// The value where nothing is wrong.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Status> {
        match (self.0.first(), value) {
            (None, Some(value)) => Ok(value),
            (None, None) => Err(status::internal("a value is missing and no fault was noted")),
            (Some((reason, ..)), _) => {
                let faults = self.0.iter().map(|(_, field, why)| (field.clone(), why.clone()));
                Err(status::invalid(*reason, &faults.collect::<Vec<_>>()))
            }
        }
    }
}

/// Longest reason of a force, in bytes.
const FORCE_REASON_BYTES_MAX: usize = 1024;

/// Why somebody goes on although consumers are left behind; None where nobody does.
pub fn force(faults: &mut Faults, force: bool, reason: String) -> Option<String> {
    if !force {
        return None;
    }
    let bytes = reason.len();
    if reason.trim().is_empty() {
        let why = "is missing: with `force` it is kept why consumers were left behind";
        faults.add(Reason::InvalidRequest, "force_reason", why);
    } else if bytes > FORCE_REASON_BYTES_MAX {
        let why = format!("has {bytes} bytes, at most {FORCE_REASON_BYTES_MAX} are taken");
        faults.add(Reason::InvalidRequest, "force_reason", why);
    }
    Some(reason)
}

/// A draft; `field` is where it stands, such as `schemas[2]`.
pub fn draft(faults: &mut Faults, field: &str, draft: Option<v1::SchemaDraft>) -> Option<Draft> {
    let Some(draft) = draft else {
        faults.add(Reason::InvalidRequest, field, "is missing");
        return None;
    };
    let at = |name: &str| format!("{field}.{name}");
    let invalid = Reason::InvalidRequest;
    let subject = faults.name(&at("subject"), &draft.subject);
    let format = faults.take(invalid, &at("format"), Format::from_proto(draft.format));
    let level = faults.take(invalid, &at("compatibility"), Level::from_proto(draft.compatibility));
    let model =
        faults.take(invalid, &at("content_model"), ContentModel::from_proto(draft.content_model));
    let surface = faults.take(invalid, &at("surface"), Surface::from_proto(draft.surface));
    let declared = match draft.version.as_str() {
        "" => None,
        text => faults.take(Reason::InvalidVersion, &at("version"), version::parse(text)),
    };
    for (name, why) in label_faults(&draft.labels) {
        faults.add(invalid, at(&name), why);
    }
    let definition = draft.definition.and_then(crate::convert::definition);
    match &definition {
        None => faults.add(
            invalid,
            at("definition"),
            "is missing: give `text` (.proto, JSON Schema or .avsc) or `descriptor_set`",
        ),
        Some(definition) => {
            for path in definition.files.keys().filter(|path| path.len() > PATH_BYTES_MAX) {
                let why =
                    format!("a path has {} bytes, at most {PATH_BYTES_MAX} are taken", path.len());
                faults.add(invalid, at("definition.files"), why);
            }
        }
    }
    if draft.references.len() > REFERENCES_MAX {
        let why =
            format!("has {} entries, at most {REFERENCES_MAX} are taken", draft.references.len());
        faults.add(invalid, at("references"), why);
    }
    let mut references = Vec::new();
    for (n, reference) in draft.references.iter().enumerate().take(REFERENCES_MAX) {
        let at = |name: &str| format!("{field}.references[{n}].{name}");
        if reference.name.is_empty() || reference.name.len() > PATH_BYTES_MAX {
            let why = format!("needs 1 to {PATH_BYTES_MAX} bytes: what the definition calls it");
            faults.add(invalid, at("name"), why);
        }
        let subject = faults.name(&at("subject"), &reference.subject);
        let selector = Selector::parse(&reference.version);
        let version = faults.take(Reason::InvalidVersion, &at("version"), selector);
        if let (Some(subject), Some(version)) = (subject, version) {
            let (name, asked) = (reference.name.clone(), reference.version.clone());
            references.push(DraftReference { name, subject, version, asked });
        }
    }
    Some(Draft {
        subject: subject?,
        format: format?,
        definition: definition?,
        references,
        version: declared,
        labels: draft.labels,
        level: level?,
        content_model: model?,
        surface: surface?,
    })
}

/// A subject and what version of it.
pub fn subject_version(
    faults: &mut Faults,
    field: &str,
    of: Option<v1::SubjectVersion>,
) -> Option<(SubjectName, Selector, String)> {
    let Some(of) = of else {
        faults.add(Reason::InvalidRequest, field, "is missing");
        return None;
    };
    let name = faults.name(&format!("{field}.subject"), &of.subject);
    let selector = Selector::parse(&of.version);
    let selector = faults.take(Reason::InvalidVersion, &format!("{field}.version"), selector);
    Some((name?, selector?, of.version))
}
