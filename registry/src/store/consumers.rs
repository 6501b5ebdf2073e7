//! Rows of `consumers`: one requirement of a consumer each.

use jiff::Timestamp;
use prost::Message as _;
use rocksdb::DB;
use semver::{Version, VersionReq};

use super::{Family, Quarantined, family};
use crate::{
    consumer::{ConsumerName, Origin, Requirement, table::ConsumerTable},
    convert::FromProto as _,
    name::SubjectName,
    proto::v1,
};

/// `name, subject (length: u16 BE each) | origin: u8 | requirement`. The lengths separate names of
/// which one is a prefix of the other.
pub fn key(requirement: &Requirement) -> Vec<u8> {
    let mut key = Vec::new();
    for name in [requirement.consumer.as_str(), requirement.subject.as_str()] {
        let length = u16::try_from(name.len()).expect("a name has at most 255 characters");
        key.extend_from_slice(&length.to_be_bytes());
        key.extend_from_slice(name.as_bytes());
    }
    key.push(match requirement.origin {
        Origin::Declared => 0,
        Origin::Stream => 1,
    });
    key.extend_from_slice(requirement.version_req.to_string().as_bytes());
    key
}

/// A `Consumer` of the contract.
pub(super) fn encode(requirement: &Requirement) -> Vec<u8> {
    v1::Consumer::from(requirement).encode_to_vec()
}

/// Loads the requirements of all consumers. Rows that cannot be read are quarantined: consumers
/// declare their requirements again.
pub fn load(db: &DB) -> (ConsumerTable, Vec<Quarantined>) {
    let mut table = ConsumerTable::default();
    let mut quarantined = Vec::new();
    let mut quarantine =
        |reason| quarantined.push(Quarantined { item: "a consumer".into(), reason });
    for row in db.iterator_cf(family(db, Family::Consumers), rocksdb::IteratorMode::Start) {
        match row {
            Ok((_, value)) => match decode(&value) {
                Ok(requirement) => table.put(requirement),
                Err(reason) => quarantine(reason),
            },
            Err(error) => quarantine(error.into_string()),
        }
    }
    (table, quarantined)
}

fn decode(row: &[u8]) -> Result<Requirement, String> {
    let row = v1::Consumer::decode(row).map_err(|error| error.to_string())?;
    let seen = row.last_seen_time.ok_or("the time is missing")?;
    let negotiated = match row.negotiated_version.as_str() {
        "" => None,
        text => Some(Version::parse(text).map_err(|error| error.to_string())?),
    };
    Ok(Requirement {
        consumer: ConsumerName::parse(&row.name)?,
        subject: SubjectName::parse(&row.subject)?,
        version_req: VersionReq::parse(&row.requirement).map_err(|error| error.to_string())?,
        origin: Origin::from_proto(row.origin)?.ok_or("the origin is missing")?,
        negotiated,
        seen: Timestamp::new(seen.seconds, seen.nanos).map_err(|error| error.to_string())?,
        open_until: None,
    })
}
