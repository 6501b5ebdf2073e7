//! Negotiation and consumers on the wire.

use crate::convert::FromProto as _;
use jiff::Timestamp;
use semver::VersionReq;
use tonic::{Request, Response, Status};

use super::{Service, decode::Faults, pages, status};
use crate::{
    accepted::ACCEPTED_MAX,
    consumer::{
        ConsumerName, ConsumerUpdate, Origin, Requirement,
        table::{RequirementKey, place},
    },
    convert::summary,
    proto::v1::{self, ErrorReason as Reason},
    registry::consumers::Answer,
    subject::SubjectName,
};
use tidings_schema::version;

/// Of the versions that are refused, the newest are told.
const REFUSED_TOLD_MAX: usize = 100;
/// Of the versions that can be converted, the newest are told.
const CONVERTIBLE_TOLD_MAX: usize = 1_000;

/// What is asked of `NegotiateVersions`.
struct Negotiation {
    needs: Vec<(SubjectName, VersionReq)>,
    record: Option<(ConsumerName, ConsumerUpdate)>,
}

impl Negotiation {
    fn decode(request: v1::NegotiateVersionsRequest) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let invalid = Reason::InvalidRequest;
        let count = request.requirements.len();
        if count > ACCEPTED_MAX {
            let why = format!("has {count} entries, at most {ACCEPTED_MAX} are taken");
            faults.add(invalid, "requirements", why);
        }
        let mut needs: Vec<(SubjectName, VersionReq)> = Vec::new();
        for (n, it) in request.requirements.iter().enumerate().take(ACCEPTED_MAX) {
            let at = |name: &str| format!("requirements[{n}].{name}");
            let subject = faults.name(&at("subject"), &it.subject);
            let requirement = version::requirement(&it.requirement);
            let requirement = faults.take(Reason::InvalidVersion, &at("requirement"), requirement);
            if needs.iter().any(|(known, _)| Some(known) == subject.as_ref()) {
                let why = format!("is \"{}\" again: give it one requirement", it.subject);
                faults.add(invalid, at("subject"), why);
            }
            needs.extend(subject.zip(requirement));
        }
        let origin = faults.take(invalid, "origin", Origin::from_proto(request.origin));
        let origin = origin.flatten().unwrap_or(Origin::Declared);
        if !request.record {
            if request.ended {
                faults.add(invalid, "ended", "is for `record`: it says that a stream ended");
            }
            if count == 0 {
                faults.add(
                    invalid,
                    "requirements",
                    "are missing: a subject and what is understood of it",
                );
            }
            return faults.finish(Some(Self { needs, record: None }));
        }
        let consumer = ConsumerName::parse(&request.consumer);
        let consumer = faults.take(Reason::InvalidName, "consumer", consumer);
        let word = match (origin, request.ended) {
            (Origin::Declared, false) => ConsumerUpdate::Declared,
            (Origin::Stream, false) => ConsumerUpdate::Open,
            (Origin::Stream, true) => ConsumerUpdate::Ended,
            (Origin::Declared, true) => {
                faults.add(
                    invalid,
                    "ended",
                    "is for the origin STREAM: what is declared does not end",
                );
                ConsumerUpdate::Declared
            }
        };
        if count == 0 && origin == Origin::Stream {
            faults.add(invalid, "requirements", "are missing: what the stream asks for");
        }
        faults.finish(consumer.map(|it| Self { needs, record: Some((it, word)) }))
    }
}

impl Service {
    pub(super) async fn negotiate(
        &self,
        request: Request<v1::NegotiateVersionsRequest>,
    ) -> Result<Response<v1::NegotiateVersionsResponse>, Status> {
        let Negotiation { needs, record } = Negotiation::decode(request.into_inner())?;
        let registry = self.registry.clone();
        // Not behind those who compile: streams begin with this.
        let answered = tokio::task::spawn_blocking(move || match record {
            None => Ok(registry.negotiate(needs)),
            Some((consumer, word)) => {
                let answers = registry.record(&consumer, word, needs, Timestamp::now())?;
                Ok(if word == ConsumerUpdate::Ended { Vec::new() } else { answers })
            }
        });
        let answers = answered.await.map_err(status::internal)?;
        let answers = answers.map_err(|error| status::record(&error))?;
        let versions = answers.into_iter().map(v1::NegotiatedVersion::from).collect();
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
        let behind = pages::behind(&request.page_token)
            .and_then(|entry| entry.map(|entry| read_place(&entry)).transpose());
        let behind = faults.take(Reason::InvalidRequest, "page_token", behind);
        let decoded = subject.zip(consumer).zip(size.zip(behind));
        let ((subject, consumer), (size, behind)) = faults.finish(decoded)?;
        let registry = self.registry.clone();
        let now = Timestamp::now();
        let listed = tokio::task::spawn_blocking(move || {
            let is_asked = |need: &Requirement| {
                subject.as_ref().is_none_or(|it| *it == need.subject)
                    && consumer.as_ref().is_none_or(|it| *it == need.consumer)
            };
            registry.list_consumers(behind.as_ref(), is_asked, size, now)
        });
        let (page, has_more) = listed.await.map_err(status::internal)?;
        let last = page.last().filter(|_| has_more);
        let consumer =
            |need: &Requirement| v1::Consumer { connected: need.is_connected(now), ..need.into() };
        Ok(Response::new(v1::ListConsumersResponse {
            next_page_token: last.map(|it| pages::token(&place_text(it))).unwrap_or_default(),
            consumers: page.iter().map(consumer).collect(),
        }))
    }
}

impl From<Answer> for v1::NegotiatedVersion {
    fn from(answer: Answer) -> Self {
        let negotiated = answer.negotiated;
        let refused = negotiated.unfit.iter().rev().take(REFUSED_TOLD_MAX);
        let refused = refused.map(|(version, why)| (version.to_string(), why.to_string()));
        let newest = negotiated.convertible.iter().rev().take(CONVERTIBLE_TOLD_MAX);
        Self {
            subject: answer.subject.to_string(),
            schema: answer.schema.map(|it| summary(&it)),
            convertible_versions: newest.rev().map(ToString::to_string).collect(),
            refused_versions: refused.collect(),
            alternatives: negotiated.alternatives,
        }
    }
}

/// Names have no line breaks in them.
fn place_text(need: &Requirement) -> String {
    let (subject, requirement, origin) = place(need);
    let origin = v1::ConsumerOrigin::from(origin).as_str_name();
    format!("{}\n{subject}\n{requirement}\n{origin}", need.consumer)
}

fn read_place(text: &str) -> Result<(ConsumerName, RequirementKey), String> {
    let place = || {
        let mut parts = text.split('\n');
        let consumer = ConsumerName::parse(parts.next()?).ok()?;
        let subject = SubjectName::parse(parts.next()?).ok()?;
        let requirement = parts.next()?.to_owned();
        let origin = v1::ConsumerOrigin::from_str_name(parts.next()?)?;
        let origin = Origin::from_proto(origin.into()).ok()??;
        Some((consumer, (subject, requirement, origin)))
    };
    place().ok_or_else(|| "is none that a page gave out".into())
}
