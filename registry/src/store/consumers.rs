//! Rows of `consumers`: what each is known to need.

use crate::convert::FromProto as _;
use jiff::Timestamp;
use prost::Message as _;
use rocksdb::DB;
use semver::{Version, VersionReq};

use super::{Family, Quarantined, family};
use crate::{
    consumer::{ConsumerName, Origin, Requirement, table::ConsumerTable},
    proto::v1,
    subject::SubjectName,
};

/// Where the row of a need is. The lengths keep names apart that begin alike.
pub fn key(need: &Requirement) -> Vec<u8> {
    let mut key = Vec::new();
    for name in [need.consumer.as_str(), need.subject.as_str()] {
        let length = u16::try_from(name.len()).expect("a name has at most 255 characters");
        key.extend_from_slice(&length.to_be_bytes());
        key.extend_from_slice(name.as_bytes());
    }
    key.push(match need.origin {
        Origin::Declared => 0,
        Origin::Stream => 1,
    });
    key.extend_from_slice(need.requirement.to_string().as_bytes());
    key
}

/// All that is known of consumers. What cannot be read is set aside: it is said again.
pub fn load(db: &DB) -> (ConsumerTable, Vec<Quarantined>) {
    let mut book = ConsumerTable::default();
    let mut aside = Vec::new();
    let mut set_aside = |detail| aside.push(Quarantined { what: "a consumer".into(), detail });
    for row in db.iterator_cf(family(db, Family::Consumers), rocksdb::IteratorMode::Start) {
        match row {
            Ok((_, value)) => match read(&value) {
                Ok(need) => book.put(need),
                Err(detail) => set_aside(detail),
            },
            Err(error) => set_aside(error.into_string()),
        }
    }
    (book, aside)
}

fn read(row: &[u8]) -> Result<Requirement, String> {
    let row = v1::Consumer::decode(row).map_err(|error| error.to_string())?;
    let seen = row.last_seen_time.ok_or("it has no time")?;
    let negotiated = match row.negotiated_version.as_str() {
        "" => None,
        text => Some(Version::parse(text).map_err(|error| error.to_string())?),
    };
    Ok(Requirement {
        consumer: ConsumerName::parse(&row.name)?,
        subject: SubjectName::parse(&row.subject)?,
        requirement: VersionReq::parse(&row.requirement).map_err(|error| error.to_string())?,
        origin: Origin::from_proto(row.origin)?.ok_or("it has no origin")?,
        negotiated,
        seen: Timestamp::new(seen.seconds, seen.nanos).map_err(|error| error.to_string())?,
        open_until: None,
    })
}
