//! Reads the pinned versions of a caller from the header [`HEADER`].

use std::{collections::BTreeMap, sync::Arc};

use tonic::{Status, metadata::MetadataMap};

use crate::{
    name::SubjectName,
    proto::v1::ErrorReason as Reason,
    schema::SchemaVersion,
    schemas::Schemas,
    service::{invalid, unreachable},
};
use tidings_schema::{schema::Format, version::Selector};

/// `tidings-schema-version: shop.orders.v1.OrderPlaced=1.2.0`. Several pins are separated by
/// commas, or sent in headers of their own.
pub const HEADER: &str = "tidings-schema-version";
/// Limits the subjects that a stream pins: each set of pins needs a file set of its own.
const PINS_MAX: usize = 100;

/// Reads the header.
///
/// # Errors
/// Returns INVALID_ARGUMENT with all faults of the header, or UNAVAILABLE if the registry is
/// unavailable.
pub(super) async fn read(
    metadata: &MetadataMap,
    schemas: Option<&Schemas>,
) -> Result<Vec<Arc<SchemaVersion>>, Status> {
    let mut texts = Vec::new();
    let mut faults = Vec::new();
    for value in metadata.get_all(HEADER) {
        match value.to_str() {
            Ok(text) => texts.extend(text.split(',').map(|pin| pin.trim().to_owned())),
            Err(_) => faults.push("has characters that are not ASCII".to_owned()),
        }
    }
    texts.retain(|text| !text.is_empty());
    if texts.len() > PINS_MAX {
        faults.push(format!("has {} versions; the limit is {PINS_MAX}", texts.len()));
        texts.clear();
    }
    let mut pins = BTreeMap::new();
    for text in texts {
        match pin(&text, schemas).await? {
            Ok(schema) => {
                let version = schema.version.clone();
                let subject = schema.subject.clone();
                if let Some(before) = pins.insert(subject, schema)
                    && before.version != version
                {
                    faults.push(format!(
                        "pins {} to {} and to {version}: a type has one version at a time",
                        before.subject, before.version
                    ));
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        return Ok(pins.into_values().collect());
    }
    let faults: Vec<_> = faults.into_iter().map(|fault| (HEADER.to_owned(), fault)).collect();
    Err(invalid(Reason::InvalidRequest, &faults))
}

async fn pin(
    text: &str,
    schemas: Option<&Schemas>,
) -> Result<Result<Arc<SchemaVersion>, String>, Status> {
    let Some((subject, version)) = text.rsplit_once('=') else {
        return Ok(Err(format!(
            "has \"{text}\" instead of a subject with a version, such as \
             shop.orders.v1.OrderPlaced=1.2.0"
        )));
    };
    let name = match SubjectName::parse(subject.trim()) {
        Ok(name) => name,
        Err(fault) => return Ok(Err(format!("has the subject \"{subject}\", which {fault}"))),
    };
    let selector = match Selector::parse_prefix(version.trim()) {
        Ok(selector) => selector,
        Err(fault) => return Ok(Err(format!("has a version of {name} that is invalid: {fault}"))),
    };
    let Some(schemas) = schemas else {
        return Ok(Err("pins versions, and this server has no schema registry".to_owned()));
    };
    let Some(subject) = schemas.subject(&name).await.map_err(|error| unreachable(&error))? else {
        let catalog = schemas.catalog();
        let fault = match catalog.subject(&name) {
            Err(error) => format!("has an unknown subject: {error}"),
            Ok(_) => format!("has the subject {name}, which was registered just now; try again"),
        };
        return Ok(Err(fault));
    };
    if subject.format != Format::Protobuf {
        return Ok(Err(format!(
            "has the subject {name}, which is in {}; reflection has Protobuf types only",
            subject.format
        )));
    }
    Ok(subject.select(&selector).map(Arc::clone).ok_or_else(|| {
        let versions = tidings_schema::version::list(subject.versions.keys());
        let version = version.trim();
        format!("has {name} {version}, which is not registered; registered: {versions}")
    }))
}
