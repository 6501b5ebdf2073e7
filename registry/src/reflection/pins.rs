//! The versions that a caller wants to see types in, out of the header [`HEADER`].

use std::{collections::BTreeMap, sync::Arc};

use tonic::{Status, metadata::MetadataMap};

use crate::{
    proto::v1::ErrorReason as Reason,
    schema::SchemaVersion,
    schemas::Schemas,
    service::{invalid, unreachable},
    subject::SubjectName,
};
use tidings_schema::{schema::Format, version::Selector};

/// `tidings-schema-version: shop.orders.v1.OrderPlaced=1.2.0`. Several stand behind commas, or in headers of their own.
pub const HEADER: &str = "tidings-schema-version";
/// Most subjects that a stream pins: each makes it a set of its own.
const PINS_MAX: usize = 100;

/// Reads the header.
///
/// # Errors
/// INVALID_ARGUMENT with everything that is wrong with it; UNAVAILABLE where the registry cannot be asked.
pub(super) async fn read(
    metadata: &MetadataMap,
    schemas: Option<&Schemas>,
) -> Result<Vec<Arc<SchemaVersion>>, Status> {
    let mut texts = Vec::new();
    let mut faults = Vec::new();
    for value in metadata.get_all(HEADER) {
        match value.to_str() {
            Ok(text) => texts.extend(text.split(',').map(|it| it.trim().to_owned())),
            Err(_) => faults.push("has characters that are not ASCII".to_owned()),
        }
    }
    texts.retain(|it| !it.is_empty());
    if texts.len() > PINS_MAX {
        faults.push(format!("names {} versions, at most {PINS_MAX} are taken", texts.len()));
        texts.clear();
    }
    let mut pins = BTreeMap::new();
    for text in texts {
        match pin(&text, schemas).await? {
            Ok(registered) => {
                let version = registered.version.clone();
                let subject = registered.subject.clone();
                if let Some(before) = pins.insert(subject, registered)
                    && before.version != version
                {
                    faults.push(format!(
                        "asks for {} in {} and in {version}: a type is shown in one version at a time",
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
    let faults: Vec<_> = faults.into_iter().map(|it| (HEADER.to_owned(), it)).collect();
    Err(invalid(Reason::InvalidRequest, &faults))
}

async fn pin(
    text: &str,
    schemas: Option<&Schemas>,
) -> Result<Result<Arc<SchemaVersion>, String>, Status> {
    let Some((subject, asked)) = text.rsplit_once('=') else {
        return Ok(Err(format!(
            "has \"{text}\" where a subject with a version belongs, such as shop.orders.v1.OrderPlaced=1.2.0"
        )));
    };
    let name = match SubjectName::parse(subject.trim()) {
        Ok(name) => name,
        Err(fault) => return Ok(Err(format!("names the subject \"{subject}\", which {fault}"))),
    };
    let selector = match Selector::written(asked.trim()) {
        Ok(selector) => selector,
        Err(fault) => return Ok(Err(format!("of {name}: {fault}"))),
    };
    let Some(schemas) = schemas else {
        return Ok(Err("pins versions, and this server has no schema registry".to_owned()));
    };
    let Some(subject) = schemas.subject(&name).await.map_err(|away| unreachable(&away))? else {
        let catalog = schemas.catalog();
        let fault = match catalog.subject(&name) {
            Err(missing) => format!("names what is not there: {missing}"),
            Ok(_) => format!("names {name}, which was registered just now; try again"),
        };
        return Ok(Err(fault));
    };
    if subject.format != Format::Protobuf {
        return Ok(Err(format!(
            "names {name}, which is in {}: only types in Protobuf are shown by reflection",
            subject.format
        )));
    }
    Ok(subject.select(&selector).map(Arc::clone).ok_or_else(|| {
        let versions = tidings_schema::version::list(subject.versions.keys());
        format!("names {name} {}, which is not registered; registered: {versions}", asked.trim())
    }))
}
