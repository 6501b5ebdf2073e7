//! `TopicService`.

use tidings_registry::service::pages::fill;
use tonic::{Request, Response, Status};

use super::{decode, pages, status, topic};
use crate::{
    broker::{Broker, error::TopicError, start::Place},
    model::{
        fault::{FaultKind, Faults},
        name::{TopicName, TopicPattern},
        topic::TopicConfig,
    },
    proto::{events::v1 as proto, servers::v1::topic_service_server::TopicService},
};

/// The handlers.
pub struct Topics {
    broker: Broker,
}

impl Topics {
    /// Over a broker.
    pub fn new(broker: Broker) -> Self {
        Self { broker }
    }

    fn failed(&self, error: &TopicError) -> Status {
        status::topic(error, self.broker.server())
    }
}

fn refused(faults: Faults) -> Status {
    status::invalid(&faults)
}

fn name(field: &str, text: &str) -> Result<TopicName, Faults> {
    TopicName::parse(text).map_err(|why| Faults::one(FaultKind::Name, field, why))
}

fn own_name(field: &str, text: &str) -> Result<TopicName, Faults> {
    TopicName::parse_own(text).map_err(|why| Faults::one(FaultKind::Name, field, why))
}

fn given(topic: Option<proto::Topic>) -> Result<proto::Topic, Faults> {
    topic.ok_or_else(|| Faults::one(FaultKind::Request, "topic", "is required"))
}

/// What no topic has as its revision: what an etag that is not ours stands for.
const NO_REVISION: u64 = 0;

/// An etag; empty: any.
fn revision(etag: &str) -> Option<u64> {
    (!etag.is_empty()).then(|| u64::from_str_radix(etag, 16).unwrap_or(NO_REVISION))
}

#[tonic::async_trait]
impl TopicService for Topics {
    async fn create_topic(
        &self,
        request: Request<proto::CreateTopicRequest>,
    ) -> Result<Response<proto::CreateTopicResponse>, Status> {
        let given = given(request.into_inner().topic).map_err(refused)?;
        let mut faults = Faults::new();
        let name = faults.merge(own_name("topic.name", &given.name));
        let fields = topic::fields(&given, None);
        let limit = self.broker.limits().event_bytes_max;
        let decided = faults.merge(topic::decode(given, fields, limit));
        let (name, decided) = faults.finish(|| name.zip(decided)).map_err(refused)?;
        let mut config = TopicConfig::default();
        decided.apply(&mut config);
        let view = self.broker.create_topic(name, config).await.map_err(|e| self.failed(&e))?;
        Ok(Response::new(proto::CreateTopicResponse { topic: Some(topic::encode(&view)) }))
    }

    async fn get_topic(
        &self,
        request: Request<proto::GetTopicRequest>,
    ) -> Result<Response<proto::GetTopicResponse>, Status> {
        let name = name("name", &request.into_inner().name).map_err(refused)?;
        let view = self.broker.get_topic(&name).await.map_err(|e| self.failed(&e))?;
        Ok(Response::new(proto::GetTopicResponse { topic: Some(topic::encode(&view)) }))
    }

    async fn list_topics(
        &self,
        request: Request<proto::ListTopicsRequest>,
    ) -> Result<Response<proto::ListTopicsResponse>, Status> {
        let request = request.into_inner();
        let mut faults = Faults::new();
        let size = faults.merge(pages::size(request.page_size));
        let behind = faults.merge(pages::behind(&request.page_token));
        let pattern = match request.pattern.as_str() {
            "" => Some(None),
            text => faults.take(FaultKind::Name, "pattern", TopicPattern::parse(text)).map(Some),
        };
        let (size, behind, pattern) =
            faults.finish(|| Some((size?, behind?, pattern?))).map_err(refused)?;
        let views = self.broker.list_topics(pattern.as_ref(), behind.as_deref(), size + 1).await;
        let (topics, has_more) = fill(size, views.iter().map(topic::encode));
        let last: Option<&proto::Topic> = topics.last().filter(|_| has_more);
        let next_page_token = last.map(|last| pages::token(&last.name)).unwrap_or_default();
        Ok(Response::new(proto::ListTopicsResponse { topics, next_page_token }))
    }

    async fn update_topic(
        &self,
        request: Request<proto::UpdateTopicRequest>,
    ) -> Result<Response<proto::UpdateTopicResponse>, Status> {
        let request = request.into_inner();
        let given = given(request.topic).map_err(refused)?;
        let mut faults = Faults::new();
        let name = faults.merge(own_name("topic.name", &given.name));
        let revision = revision(&given.etag);
        let fields = topic::fields(&given, request.update_mask.as_ref());
        if fields.is_empty() {
            faults.add(
                FaultKind::Request,
                "topic",
                "sets nothing: set a field, or name one in update_mask",
            );
        }
        let limit = self.broker.limits().event_bytes_max;
        let decided = faults.merge(topic::decode(given, fields, limit));
        let (name, decided) = faults.finish(|| name.zip(decided)).map_err(refused)?;
        let view = self
            .broker
            .update_topic(&name, revision, |config| decided.apply(config))
            .await
            .map_err(|e| self.failed(&e))?;
        Ok(Response::new(proto::UpdateTopicResponse { topic: Some(topic::encode(&view)) }))
    }

    async fn delete_topic(
        &self,
        request: Request<proto::DeleteTopicRequest>,
    ) -> Result<Response<proto::DeleteTopicResponse>, Status> {
        let request = request.into_inner();
        let name = own_name("name", &request.name).map_err(refused)?;
        self.broker
            .delete_topic(&name, revision(&request.etag))
            .await
            .map_err(|e| self.failed(&e))?;
        Ok(Response::new(proto::DeleteTopicResponse {}))
    }

    async fn trim_topic(
        &self,
        request: Request<proto::TrimTopicRequest>,
    ) -> Result<Response<proto::TrimTopicResponse>, Status> {
        let request = request.into_inner();
        let mut faults = Faults::new();
        let name = faults.merge(own_name("name", &request.name));
        let before = match request.before {
            Some(before) if before.position.is_some() => {
                let server = self.broker.server();
                let start =
                    decode::start_of("before", before, Place::Earliest, server, &mut faults);
                // What is removed already stays so: that is no reason to refuse.
                start.map(|start| crate::broker::start::Start { or_earliest: true, ..start })
            }
            _ => {
                let description = "is required: a position, everything before which goes";
                faults.add(FaultKind::Request, "before", description);
                None
            }
        };
        let (name, before) = faults.finish(|| name.zip(before)).map_err(refused)?;
        let (events_removed, first) = self
            .broker
            .trim_topic(&name, &before, request.validate_only)
            .await
            .map_err(|e| self.failed(&e))?;
        Ok(Response::new(proto::TrimTopicResponse { events_removed, first_offset: first.0 }))
    }
}
