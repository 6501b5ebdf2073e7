//! Conversions between the values of this crate and the messages of its contract.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use prost_types::Timestamp;
use semver::Version;

use crate::{
    consumer::{Origin, Requirement},
    error::Refusal,
    impact::{AffectedConsumer, Impact},
    name::SubjectName,
    proto::v1,
    schema::{Fingerprint, Reference, SchemaVersion, State},
    subject::Subject,
};
use tidings_schema::{
    definition::{Definition, Form, SourceLocation},
    finding::{ContentModel, Direction, Severity, Surface, Verdict},
    schema::Format,
    version::Bump,
};
use tidings_schema::{
    level::Level,
    report::{Report, ReportedFinding},
};
use tidings_wire::text::shorten;

/// Conversion of an enum of the contract.
pub trait FromProto: Sized {
    /// Returns the value of a number, or `None` for the unspecified value.
    ///
    /// # Errors
    /// Returns a message with the number if it is unknown.
    fn from_proto(number: i32) -> Result<Option<Self>, String>;
}

impl From<Format> for v1::SchemaFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Protobuf => Self::Protobuf,
            Format::Json => Self::Json,
            Format::Avro => Self::Avro,
        }
    }
}

impl FromProto for Format {
    fn from_proto(number: i32) -> Result<Option<Self>, String> {
        Ok(match known::<v1::SchemaFormat>(number)? {
            v1::SchemaFormat::Unspecified => None,
            v1::SchemaFormat::Protobuf => Some(Self::Protobuf),
            v1::SchemaFormat::Json => Some(Self::Json),
            v1::SchemaFormat::Avro => Some(Self::Avro),
        })
    }
}

impl From<Level> for v1::Compatibility {
    fn from(level: Level) -> Self {
        match level {
            Level::None => Self::None,
            Level::Backward => Self::Backward,
            Level::BackwardTransitive => Self::BackwardTransitive,
            Level::Forward => Self::Forward,
            Level::ForwardTransitive => Self::ForwardTransitive,
            Level::Full => Self::Full,
            Level::FullTransitive => Self::FullTransitive,
        }
    }
}

impl FromProto for Level {
    fn from_proto(number: i32) -> Result<Option<Self>, String> {
        Ok(match known::<v1::Compatibility>(number)? {
            v1::Compatibility::Unspecified => None,
            v1::Compatibility::None => Some(Self::None),
            v1::Compatibility::Backward => Some(Self::Backward),
            v1::Compatibility::BackwardTransitive => Some(Self::BackwardTransitive),
            v1::Compatibility::Forward => Some(Self::Forward),
            v1::Compatibility::ForwardTransitive => Some(Self::ForwardTransitive),
            v1::Compatibility::Full => Some(Self::Full),
            v1::Compatibility::FullTransitive => Some(Self::FullTransitive),
        })
    }
}

impl From<ContentModel> for v1::ContentModel {
    fn from(model: ContentModel) -> Self {
        match model {
            ContentModel::Lenient => Self::Lenient,
            ContentModel::Strict => Self::Strict,
        }
    }
}

impl FromProto for ContentModel {
    fn from_proto(number: i32) -> Result<Option<Self>, String> {
        Ok(match known::<v1::ContentModel>(number)? {
            v1::ContentModel::Unspecified => None,
            v1::ContentModel::Lenient => Some(Self::Lenient),
            v1::ContentModel::Strict => Some(Self::Strict),
        })
    }
}

impl From<Surface> for v1::Surface {
    fn from(surface: Surface) -> Self {
        match surface {
            Surface::WireJson => Self::WireJson,
            Surface::Wire => Self::Wire,
        }
    }
}

impl FromProto for Surface {
    fn from_proto(number: i32) -> Result<Option<Self>, String> {
        Ok(match known::<v1::Surface>(number)? {
            v1::Surface::Unspecified => None,
            v1::Surface::WireJson => Some(Self::WireJson),
            v1::Surface::Wire => Some(Self::Wire),
        })
    }
}

impl From<Bump> for v1::Bump {
    fn from(bump: Bump) -> Self {
        match bump {
            Bump::None => Self::None,
            Bump::Patch => Self::Patch,
            Bump::Minor => Self::Minor,
            Bump::Major => Self::Major,
        }
    }
}

impl FromProto for Bump {
    fn from_proto(number: i32) -> Result<Option<Self>, String> {
        Ok(match known::<v1::Bump>(number)? {
            v1::Bump::Unspecified => None,
            v1::Bump::None => Some(Self::None),
            v1::Bump::Patch => Some(Self::Patch),
            v1::Bump::Minor => Some(Self::Minor),
            v1::Bump::Major => Some(Self::Major),
        })
    }
}

impl From<State> for v1::VersionState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Deprecated => Self::Deprecated,
            State::Retired => Self::Retired,
        }
    }
}

impl FromProto for State {
    fn from_proto(number: i32) -> Result<Option<Self>, String> {
        Ok(match known::<v1::VersionState>(number)? {
            v1::VersionState::Unspecified => None,
            v1::VersionState::Active => Some(Self::Active),
            v1::VersionState::Deprecated => Some(Self::Deprecated),
            v1::VersionState::Retired => Some(Self::Retired),
        })
    }
}

impl From<&SchemaVersion> for v1::Schema {
    fn from(schema: &SchemaVersion) -> Self {
        let reference = |reference: &Reference| v1::Reference {
            name: reference.name.clone(),
            subject: reference.subject.to_string(),
            version: reference.version.to_string(),
        };
        Self {
            subject: schema.subject.to_string(),
            version: schema.version.to_string(),
            id: schema.id,
            format: v1::SchemaFormat::from(schema.format).into(),
            definition: Some(schema.definition.clone().into()),
            references: schema.references.iter().map(reference).collect(),
            fingerprint: schema.fingerprint.to_string(),
            state: v1::VersionState::from(schema.state).into(),
            deprecation: schema.deprecation.clone(),
            labels: schema.labels.clone(),
            create_time: Some(timestamp(schema.created)),
            bump: schema.bump.map_or(v1::Bump::Unspecified, v1::Bump::from).into(),
        }
    }
}

/// Returns a version without its large fields, for responses with many versions.
pub fn summary(schema: &SchemaVersion) -> v1::Schema {
    v1::Schema {
        definition: None,
        references: Vec::new(),
        labels: BTreeMap::new(),
        deprecation: shorten(&schema.deprecation),
        ..schema.into()
    }
}

impl TryFrom<v1::Schema> for SchemaVersion {
    /// Describes the field that is missing or invalid.
    type Error = String;

    fn try_from(schema: v1::Schema) -> Result<Self, String> {
        let version = |text: &str| Version::parse(text).map_err(|error| error.to_string());
        let missing = |field: &str| format!("the {field} is missing");
        let mut references = Vec::with_capacity(schema.references.len());
        for reference in &schema.references {
            references.push(Reference {
                name: reference.name.clone(),
                subject: SubjectName::parse(&reference.subject)?,
                version: version(&reference.version)?,
            });
        }
        let create_time = schema.create_time.ok_or_else(|| missing("time"))?;
        Ok(Self {
            subject: SubjectName::parse(&schema.subject)?,
            version: version(&schema.version)?,
            id: schema.id,
            format: Format::from_proto(schema.format)?.ok_or_else(|| missing("format"))?,
            definition: schema
                .definition
                .and_then(definition)
                .ok_or_else(|| missing("definition"))?,
            references,
            fingerprint: Fingerprint::parse(&schema.fingerprint)
                .ok_or_else(|| missing("fingerprint"))?,
            state: State::from_proto(schema.state)?.ok_or_else(|| missing("state"))?,
            deprecation: schema.deprecation,
            labels: schema.labels,
            created: jiff::Timestamp::new(create_time.seconds, create_time.nanos)
                .map_err(|error| error.to_string())?,
            bump: Bump::from_proto(schema.bump)?,
            parsed: Arc::new(OnceLock::new()),
        })
    }
}

impl From<&Subject> for v1::Subject {
    fn from(subject: &Subject) -> Self {
        let settings = &subject.settings;
        Self {
            name: subject.name.to_string(),
            format: v1::SchemaFormat::from(subject.format).into(),
            compatibility: v1::Compatibility::from(settings.level).into(),
            content_model: v1::ContentModel::from(settings.content_model).into(),
            latest_version: subject
                .newest()
                .map(|newest| newest.version.to_string())
                .unwrap_or_default(),
            versions: subject.versions.keys().map(Version::to_string).collect(),
            owner: settings.owner.clone(),
            description: settings.description.clone(),
            labels: settings.labels.clone(),
            etag: subject.etag(),
            create_time: Some(timestamp(subject.created)),
            surface: v1::Surface::from(settings.surface).into(),
        }
    }
}

impl From<Verdict> for v1::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Compatible => Self::Compatible,
            Verdict::Unproven => Self::Unproven,
            Verdict::Incompatible => Self::Incompatible,
        }
    }
}

impl From<Severity> for v1::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Error => Self::Error,
        }
    }
}

impl From<Direction> for v1::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Backward => Self::Backward,
            Direction::Forward => Self::Forward,
            Direction::Both => Self::Both,
        }
    }
}

impl From<ReportedFinding> for v1::Finding {
    fn from(ReportedFinding { against, finding }: ReportedFinding) -> Self {
        // A location in a further file has no line in the proposed text.
        let location = match finding.location.file.is_empty() {
            true => finding.location,
            false => SourceLocation::default(),
        };
        let counterexample = finding.counterexample.unwrap_or_default();
        Self {
            rule: finding.rule.into(),
            severity: v1::Severity::from(finding.severity).into(),
            direction: v1::Direction::from(finding.direction).into(),
            old_path: finding.old_path,
            new_path: finding.new_path,
            old_value: finding.old_value,
            new_value: finding.new_value,
            compared_version: text(against.as_ref()),
            message: finding.message,
            suggestion: finding.suggestion,
            witness: counterexample.payload,
            line: location.line,
            column: location.column,
            witness_path: counterexample.pointer,
            witness_fragment: counterexample.fragment,
            witness_size_bytes: u32::try_from(counterexample.bytes).unwrap_or(u32::MAX),
        }
    }
}

impl From<Report> for v1::CompatibilityReport {
    fn from(report: Report) -> Self {
        Self {
            subject: report.subject,
            compared_versions: report.compared.iter().map(Version::to_string).collect(),
            backward: v1::Verdict::from(report.backward).into(),
            forward: v1::Verdict::from(report.forward).into(),
            required_bump: v1::Bump::from(report.required).into(),
            next_version: text(report.next.as_ref()),
            total_findings: u32::try_from(report.findings.len()).unwrap_or(u32::MAX),
            findings: report.findings.into_iter().map(v1::Finding::from).collect(),
            total_affected_consumers: 0,
            affected_consumers: Vec::new(),
            identical_version: text(report.identical.as_ref()),
        }
    }
}

impl From<Impact> for v1::CompatibilityReport {
    fn from(Impact { report, affected }: Impact) -> Self {
        let listed = affected.listed.into_iter();
        Self {
            total_affected_consumers: u32::try_from(affected.total).unwrap_or(u32::MAX),
            affected_consumers: listed.map(v1::AffectedConsumer::from).collect(),
            ..report.into()
        }
    }
}

/// The reason by which clients distinguish errors.
impl From<&Refusal> for v1::ErrorReason {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Invalid(_) => Self::InvalidSchema,
            Refusal::TooLarge { .. } => Self::SchemaTooLarge,
            Refusal::Field { .. } => Self::InvalidRequest,
            Refusal::Reference { .. } => Self::ReferenceNotFound,
            Refusal::Format { .. } => Self::FormatMismatch,
            Refusal::Incompatible(_) => Self::SchemaIncompatible,
            Refusal::TooLow { .. } => Self::VersionTooLow,
            Refusal::AffectsConsumers(_) => Self::ConsumersLeftBehind,
            Refusal::VersionTaken { .. } => Self::VersionTaken,
            // The message names the schema, which is sufficient for an operator.
            Refusal::Unreadable(_) => Self::Internal,
        }
    }
}

impl From<AffectedConsumer> for v1::AffectedConsumer {
    fn from(affected: AffectedConsumer) -> Self {
        let AffectedConsumer { requirement, is_connected, reason } = affected;
        let consumer = v1::Consumer { connected: is_connected, ..v1::Consumer::from(&requirement) };
        Self { consumer: Some(consumer), reason }
    }
}

/// The stored form. Whether a consumer is connected depends on the time of the request.
impl From<&Requirement> for v1::Consumer {
    fn from(requirement: &Requirement) -> Self {
        Self {
            name: requirement.consumer.to_string(),
            subject: requirement.subject.to_string(),
            requirement: requirement.version_req.to_string(),
            negotiated_version: text(requirement.negotiated.as_ref()),
            last_seen_time: Some(timestamp(requirement.seen)),
            connected: false,
            origin: v1::ConsumerOrigin::from(requirement.origin).into(),
        }
    }
}

impl From<Origin> for v1::ConsumerOrigin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Declared => Self::Declared,
            Origin::Stream => Self::Stream,
        }
    }
}

impl FromProto for Origin {
    fn from_proto(number: i32) -> Result<Option<Self>, String> {
        Ok(match known::<v1::ConsumerOrigin>(number)? {
            v1::ConsumerOrigin::Unspecified => None,
            v1::ConsumerOrigin::Declared => Some(Self::Declared),
            v1::ConsumerOrigin::Stream => Some(Self::Stream),
        })
    }
}

impl From<Definition> for v1::Definition {
    fn from(definition: Definition) -> Self {
        Self {
            form: Some(match definition.form {
                Form::Text(text) => v1::definition::Form::Text(text),
                Form::DescriptorSet(bytes) => v1::definition::Form::DescriptorSet(bytes),
            }),
            files: definition.files,
            message_name: definition.message_name,
        }
    }
}

/// Returns the definition, or `None` if neither a text nor a descriptor set is given.
pub fn definition(definition: v1::Definition) -> Option<Definition> {
    let form = match definition.form? {
        v1::definition::Form::Text(text) => Form::Text(text),
        v1::definition::Form::DescriptorSet(bytes) => Form::DescriptorSet(bytes),
    };
    let files = definition.files.into_iter().collect::<BTreeMap<_, _>>();
    Some(Definition { form, files, message_name: definition.message_name })
}

/// Returns the time as a message of the contract.
pub fn timestamp(time: jiff::Timestamp) -> Timestamp {
    Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

fn known<E: TryFrom<i32>>(number: i32) -> Result<E, String> {
    E::try_from(number).map_err(|_| format!("{number} is not a known value"))
}

fn text(version: Option<&Version>) -> String {
    version.map(Version::to_string).unwrap_or_default()
}
