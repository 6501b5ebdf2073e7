//! Decodes requests, and reports all faults of a request at once.

use crate::convert::FromProto as _;
use tonic::Status;

use super::status;
use crate::{
    catalog::plan::{Draft, DraftReference},
    name::SubjectName,
    proto::v1::{self, ErrorReason as Reason},
    subject::label_faults,
};
use tidings_schema::level::Level;
use tidings_schema::{
    finding::{ContentModel, Surface},
    schema::Format,
    version::{self, Selector},
};

/// Limits the references of a draft.
const REFERENCES_MAX: usize = 200;
/// The longest name of a reference, and the longest path of a file, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// The faults of a request. The kind of the first fault is the reason of the error.
#[derive(Default)]
pub struct Faults(Vec<(Reason, String, String)>);

impl Faults {
    /// Adds a fault.
    pub fn add(&mut self, reason: Reason, field: impl Into<String>, message: impl Into<String>) {
        self.0.push((reason, field.into(), message.into()));
    }

    /// Returns the value, or adds its fault.
    pub fn take<T>(&mut self, reason: Reason, field: &str, value: Result<T, String>) -> Option<T> {
        value.map_err(|message| self.add(reason, field, message)).ok()
    }

    /// Parses the name of a subject, or adds its fault.
    pub fn name(&mut self, field: &str, text: &str) -> Option<SubjectName> {
        let name = SubjectName::parse(text);
        self.take(Reason::InvalidName, field, name)
    }

    /// Returns the value if there are no faults.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Status> {
        match (self.0.first(), value) {
            (None, Some(value)) => Ok(value),
            (None, None) => Err(status::internal("a value is missing without a fault")),
            (Some((reason, ..)), _) => {
                let faults =
                    self.0.iter().map(|(_, field, message)| (field.clone(), message.clone()));
                Err(status::invalid(*reason, &faults.collect::<Vec<_>>()))
            }
        }
    }
}

/// The longest reason of a forced change, in bytes.
const FORCE_REASON_BYTES_MAX: usize = 1024;

/// Returns the reason of a forced change. None: the change is not forced.
pub fn force(faults: &mut Faults, force: bool, reason: String) -> Option<String> {
    if !force {
        return None;
    }
    let bytes = reason.len();
    if reason.trim().is_empty() {
        let message = "is missing: with `force`, the registry keeps the reason";
        faults.add(Reason::InvalidRequest, "force_reason", message);
    } else if bytes > FORCE_REASON_BYTES_MAX {
        let message = format!("has {bytes} bytes; the limit is {FORCE_REASON_BYTES_MAX}");
        faults.add(Reason::InvalidRequest, "force_reason", message);
    }
    Some(reason)
}

/// Decodes a draft. `field` is its path in the request, such as `schemas[2]`.
pub fn draft(faults: &mut Faults, field: &str, draft: Option<v1::SchemaDraft>) -> Option<Draft> {
    let Some(draft) = draft else {
        faults.add(Reason::InvalidRequest, field, "is missing");
        return None;
    };
    let path_of = |name: &str| format!("{field}.{name}");
    let invalid = Reason::InvalidRequest;
    let subject = faults.name(&path_of("subject"), &draft.subject);
    let format = faults.take(invalid, &path_of("format"), Format::from_proto(draft.format));
    let level =
        faults.take(invalid, &path_of("compatibility"), Level::from_proto(draft.compatibility));
    let model = faults.take(
        invalid,
        &path_of("content_model"),
        ContentModel::from_proto(draft.content_model),
    );
    let surface = faults.take(invalid, &path_of("surface"), Surface::from_proto(draft.surface));
    let declared = match draft.version.as_str() {
        "" => None,
        text => faults.take(Reason::InvalidVersion, &path_of("version"), version::parse(text)),
    };
    for (name, message) in label_faults(&draft.labels) {
        faults.add(invalid, path_of(&name), message);
    }
    let definition = draft.definition.and_then(crate::convert::definition);
    match &definition {
        None => faults.add(
            invalid,
            path_of("definition"),
            "is missing: give `text` (.proto, JSON Schema or .avsc) or `descriptor_set`",
        ),
        Some(definition) => {
            for path in definition.files.keys().filter(|path| path.len() > PATH_BYTES_MAX) {
                let bytes = path.len();
                let message = format!("has a path of {bytes} bytes; the limit is {PATH_BYTES_MAX}");
                faults.add(invalid, path_of("definition.files"), message);
            }
        }
    }
    if draft.references.len() > REFERENCES_MAX {
        let count = draft.references.len();
        let message = format!("has {count} entries; the limit is {REFERENCES_MAX}");
        faults.add(invalid, path_of("references"), message);
    }
    let mut references = Vec::new();
    for (n, reference) in draft.references.iter().enumerate().take(REFERENCES_MAX) {
        let path_of = |name: &str| format!("{field}.references[{n}].{name}");
        if reference.name.is_empty() || reference.name.len() > PATH_BYTES_MAX {
            let message =
                format!("needs 1 to {PATH_BYTES_MAX} bytes: the name that the definition uses");
            faults.add(invalid, path_of("name"), message);
        }
        let subject = faults.name(&path_of("subject"), &reference.subject);
        let selector = Selector::parse(&reference.version);
        let version = faults.take(Reason::InvalidVersion, &path_of("version"), selector);
        if let (Some(subject), Some(version)) = (subject, version) {
            let (name, requested) = (reference.name.clone(), reference.version.clone());
            references.push(DraftReference { name, subject, version, requested });
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

/// Decodes a subject with a selector of a version, and the text of the selector.
pub fn subject_version(
    faults: &mut Faults,
    field: &str,
    selected: Option<v1::SubjectVersion>,
) -> Option<(SubjectName, Selector, String)> {
    let Some(selected) = selected else {
        faults.add(Reason::InvalidRequest, field, "is missing");
        return None;
    };
    let name = faults.name(&format!("{field}.subject"), &selected.subject);
    let selector = Selector::parse(&selected.version);
    let selector = faults.take(Reason::InvalidVersion, &format!("{field}.version"), selector);
    Some((name?, selector?, selected.version))
}
