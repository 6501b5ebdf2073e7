//! The calls for negotiation and consumers.

use crate::convert::FromProto as _;
use jiff::Timestamp;
use semver::VersionReq;
use tonic::{Request, Response, Status};

use super::{Service, decode::Faults, status};
use crate::{
    accepted::ACCEPTED_MAX,
    consumer::{
        ConsumerName, ConsumerUpdate, Origin, Requirement,
        table::{RequirementKey, requirement_key},
    },
    convert::summary,
    name::SubjectName,
    proto::v1::{self, ErrorReason as Reason},
    registry::consumers::NegotiatedVersion,
};
use tidings_schema::version;
use tidings_wire::pages;

/// Limits the refused versions in a response; the newest are listed.
const REFUSED_LISTED_MAX: usize = 100;
/// Limits the convertible versions in a response; the newest are listed.
const CONVERTIBLE_LISTED_MAX: usize = 1_000;

/// A decoded request of `NegotiateVersions`.
struct NegotiateRequest {
    requirements: Vec<(SubjectName, VersionReq)>,
    record: Option<(ConsumerName, ConsumerUpdate)>,
}

impl NegotiateRequest {
    fn decode(request: v1::NegotiateVersionsRequest) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let invalid = Reason::InvalidRequest;
        let count = request.requirements.len();
        if count > ACCEPTED_MAX {
            let message = format!("has {count} entries; the limit is {ACCEPTED_MAX}");
            faults.add(invalid, "requirements", message);
        }
        let mut requirements: Vec<(SubjectName, VersionReq)> = Vec::new();
        for (n, entry) in request.requirements.iter().enumerate().take(ACCEPTED_MAX) {
            let path_of = |name: &str| format!("requirements[{n}].{name}");
            let subject = faults.name(&path_of("subject"), &entry.subject);
            let requirement = version::requirement(&entry.requirement);
            let requirement =
                faults.take(Reason::InvalidVersion, &path_of("requirement"), requirement);
            if requirements.iter().any(|(known, _)| Some(known) == subject.as_ref()) {
                let message = format!("is \"{}\" again: give it one requirement", entry.subject);
                faults.add(invalid, path_of("subject"), message);
            }
            requirements.extend(subject.zip(requirement));
        }
        let origin = faults.take(invalid, "origin", Origin::from_proto(request.origin));
        let origin = origin.flatten().unwrap_or(Origin::Declared);
        if !request.record {
            if request.ended {
                faults.add(invalid, "ended", "is allowed with `record` only");
            }
            if count == 0 {
                faults.add(
                    invalid,
                    "requirements",
                    "are missing: subjects, and the versions that are understood",
                );
            }
            return faults.finish(Some(Self { requirements, record: None }));
        }
        let consumer = ConsumerName::parse(&request.consumer);
        let consumer = faults.take(Reason::InvalidName, "consumer", consumer);
        let update = match (origin, request.ended) {
            (Origin::Declared, false) => ConsumerUpdate::Declared,
            (Origin::Stream, false) => ConsumerUpdate::Open,
            (Origin::Stream, true) => ConsumerUpdate::Ended,
            (Origin::Declared, true) => {
                faults.add(
                    invalid,
                    "ended",
                    "is allowed with the origin STREAM only: a declaration does not end",
                );
                ConsumerUpdate::Declared
            }
        };
        if count == 0 && origin == Origin::Stream {
            faults.add(invalid, "requirements", "are missing: the requirements of the stream");
        }
        faults.finish(
            consumer.map(|consumer| Self { requirements, record: Some((consumer, update)) }),
        )
    }
}

impl Service {
    pub(super) async fn negotiate(
        &self,
        request: Request<v1::NegotiateVersionsRequest>,
    ) -> Result<Response<v1::NegotiateVersionsResponse>, Status> {
        let NegotiateRequest { requirements, record } =
            NegotiateRequest::decode(request.into_inner())?;
        let registry = self.registry.clone();
        // Does not wait for a permit to compile: streams begin with this call.
        let negotiated = tokio::task::spawn_blocking(move || match record {
            None => Ok(registry.negotiate(requirements)),
            Some((consumer, update)) => {
                let now = Timestamp::now();
                let negotiated = registry.record(&consumer, update, requirements, now)?;
                Ok(if update == ConsumerUpdate::Ended { Vec::new() } else { negotiated })
            }
        });
        let negotiated = negotiated.await.map_err(status::internal)?;
        let negotiated = negotiated.map_err(|error| status::record(&error))?;
        let versions = negotiated.into_iter().map(v1::NegotiatedVersion::from).collect();
        Ok(Response::new(v1::NegotiateVersionsResponse { versions }))
    }

    pub(super) async fn consumers(
        &self,
        request: Request<v1::ListConsumersRequest>,
    ) -> Result<Response<v1::ListConsumersResponse>, Status> {
        let request = request.into_inner();
        let mut faults = Faults::default();
        let subject = match request.subject.as_str() {
            "" => Some(None),
            text => faults.name("subject", text).map(Some),
        };
        let consumer = match request.consumer.as_str() {
            "" => Some(None),
            text => {
                faults.take(Reason::InvalidName, "consumer", ConsumerName::parse(text)).map(Some)
            }
        };
        let size = faults.take(Reason::InvalidRequest, "page_size", pages::size(request.page_size));
        let after = pages::after(&request.page_token)
            .and_then(|entry| entry.map(|entry| decode_page_entry(&entry)).transpose());
        let after = faults.take(Reason::InvalidRequest, "page_token", after);
        let decoded = subject.zip(consumer).zip(size.zip(after));
        let ((subject, consumer), (size, after)) = faults.finish(decoded)?;
        let registry = self.registry.clone();
        let now = Timestamp::now();
        let listed = tokio::task::spawn_blocking(move || {
            let matches = |requirement: &Requirement| {
                subject.as_ref().is_none_or(|subject| *subject == requirement.subject)
                    && consumer.as_ref().is_none_or(|consumer| *consumer == requirement.consumer)
            };
            registry.list_consumers(after.as_ref(), matches, size, now)
        });
        let (page, has_more) = listed.await.map_err(status::internal)?;
        let last = page.last().filter(|_| has_more);
        let next_page_token = last.map(|last| pages::token(&encode_page_entry(last)));
        let consumer = |requirement: &Requirement| v1::Consumer {
            connected: requirement.is_connected(now),
            ..requirement.into()
        };
        Ok(Response::new(v1::ListConsumersResponse {
            next_page_token: next_page_token.unwrap_or_default(),
            consumers: page.iter().map(consumer).collect(),
        }))
    }
}

impl From<NegotiatedVersion> for v1::NegotiatedVersion {
    fn from(negotiated: NegotiatedVersion) -> Self {
        let NegotiatedVersion { subject, schema, negotiation, .. } = negotiated;
        let refused = negotiation.undeliverable.iter().rev().take(REFUSED_LISTED_MAX);
        let refused = refused.map(|(version, reason)| (version.to_string(), reason.to_string()));
        let newest = negotiation.convertible.iter().rev().take(CONVERTIBLE_LISTED_MAX);
        Self {
            subject: subject.to_string(),
            schema: schema.map(|schema| summary(&schema)),
            convertible_versions: newest.rev().map(ToString::to_string).collect(),
            refused_versions: refused.collect(),
            alternatives: negotiation.alternatives,
        }
    }
}

/// Encodes the entry of a page token in lines. Names have no line breaks.
fn encode_page_entry(requirement: &Requirement) -> String {
    let (subject, version_req, origin) = requirement_key(requirement);
    let origin = v1::ConsumerOrigin::from(origin).as_str_name();
    format!("{}\n{subject}\n{version_req}\n{origin}", requirement.consumer)
}

fn decode_page_entry(text: &str) -> Result<(ConsumerName, RequirementKey), String> {
    let entry = || {
        let mut lines = text.split('\n');
        let consumer = ConsumerName::parse(lines.next()?).ok()?;
        let subject = SubjectName::parse(lines.next()?).ok()?;
        let version_req = lines.next()?.to_owned();
        let origin = v1::ConsumerOrigin::from_str_name(lines.next()?)?;
        let origin = Origin::from_proto(origin.into()).ok()??;
        Some((consumer, (subject, version_req, origin)))
    };
    entry().ok_or_else(|| "is not a token of this server: send next_page_token unchanged".into())
}
