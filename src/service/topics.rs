//! The handlers of `TopicService`.

use tonic::{Request, Response, Status};

use super::{decode, pages, status, topic};
use crate::{
    broker::{Broker, error::TopicError, start::StartPosition},
    model::{
        fault::{FaultKind, Faults},
        name::{TopicName, TopicPattern},
        topic::TopicConfig,
    },
    proto::{events::v1 as proto, servers::v1::topic_service_server::TopicService},
};

/// The handlers of `TopicService`.
pub struct Topics {
    broker: Broker,
}

impl Topics {
    /// Creates the handlers over a broker.
    pub fn new(broker: Broker) -> Self {
        Self { broker }
    }

    fn status(&self, error: &TopicError) -> Status {
        status::topic(error, self.broker.server())
    }
}

fn invalid(faults: Faults) -> Status {
    status::invalid(&faults)
}

fn name(field: &str, text: &str) -> Result<TopicName, Faults> {
    TopicName::parse(text)
        .map_err(|description| Faults::single(FaultKind::Name, field, description))
}

fn own_name(field: &str, text: &str) -> Result<TopicName, Faults> {
    TopicName::parse_user(text)
        .map_err(|description| Faults::single(FaultKind::Name, field, description))
}

fn required_topic(topic: Option<proto::Topic>) -> Result<proto::Topic, Faults> {
    topic.ok_or_else(|| Faults::single(FaultKind::Request, "topic", "is required"))
}

/// The revision of no topic. An etag that this server did not issue parses as this.
const NO_REVISION: u64 = 0;

/// The revision that an etag names. `None` if it is empty, which matches any revision.
fn revision(etag: &str) -> Option<u64> {
    (!etag.is_empty()).then(|| u64::from_str_radix(etag, 16).unwrap_or(NO_REVISION))
}

#[tonic::async_trait]
impl TopicService for Topics {
    async fn create_topic(
        &self,
        request: Request<proto::CreateTopicRequest>,
    ) -> Result<Response<proto::CreateTopicResponse>, Status> {
        let topic = required_topic(request.into_inner().topic).map_err(invalid)?;
        let mut faults = Faults::new();
        let name = faults.merge(own_name("topic.name", &topic.name));
        let fields = topic::fields(&topic, None);
        let limit = self.broker.limits().event_bytes_max;
        let update = faults.merge(topic::decode(topic, fields, limit));
        let (name, update) = faults.finish(|| name.zip(update)).map_err(invalid)?;
        let mut config = TopicConfig::default();
        update.apply(&mut config);
        let view =
            self.broker.create_topic(name, config).await.map_err(|error| self.status(&error))?;
        Ok(Response::new(proto::CreateTopicResponse { topic: Some(topic::encode(&view)) }))
    }

    async fn get_topic(
        &self,
        request: Request<proto::GetTopicRequest>,
    ) -> Result<Response<proto::GetTopicResponse>, Status> {
        let name = name("name", &request.into_inner().name).map_err(invalid)?;
        let view = self.broker.get_topic(&name).await.map_err(|error| self.status(&error))?;
        Ok(Response::new(proto::GetTopicResponse { topic: Some(topic::encode(&view)) }))
    }

    async fn list_topics(
        &self,
        request: Request<proto::ListTopicsRequest>,
    ) -> Result<Response<proto::ListTopicsResponse>, Status> {
        let request = request.into_inner();
        let mut faults = Faults::new();
        let size = faults.merge(pages::size(request.page_size));
        let after = faults.merge(pages::after(&request.page_token));
        let pattern = match request.pattern.as_str() {
            "" => Some(None),
            text => faults.take(FaultKind::Name, "pattern", TopicPattern::parse(text)).map(Some),
        };
        let (size, after, pattern) =
            faults.finish(|| Some((size?, after?, pattern?))).map_err(invalid)?;
        let views = self.broker.list_topics(pattern.as_ref(), after.as_deref(), size + 1).await;
        let (topics, has_more) = pages::fill(size, views.iter().map(topic::encode));
        let last: Option<&proto::Topic> = topics.last().filter(|_| has_more);
        let next_page_token = last.map(|last| pages::token(&last.name)).unwrap_or_default();
        Ok(Response::new(proto::ListTopicsResponse { topics, next_page_token }))
    }

    async fn update_topic(
        &self,
        request: Request<proto::UpdateTopicRequest>,
    ) -> Result<Response<proto::UpdateTopicResponse>, Status> {
        let request = request.into_inner();
        let topic = required_topic(request.topic).map_err(invalid)?;
        let mut faults = Faults::new();
        let name = faults.merge(own_name("topic.name", &topic.name));
        let revision = revision(&topic.etag);
        let fields = topic::fields(&topic, request.update_mask.as_ref());
        if fields.is_empty() {
            faults.add(
                FaultKind::Request,
                "topic",
                "sets nothing: set a field, or name one in update_mask",
            );
        }
        let limit = self.broker.limits().event_bytes_max;
        let update = faults.merge(topic::decode(topic, fields, limit));
        let (name, update) = faults.finish(|| name.zip(update)).map_err(invalid)?;
        let view = self
            .broker
            .update_topic(&name, revision, |config| update.apply(config))
            .await
            .map_err(|error| self.status(&error))?;
        Ok(Response::new(proto::UpdateTopicResponse { topic: Some(topic::encode(&view)) }))
    }

    async fn delete_topic(
        &self,
        request: Request<proto::DeleteTopicRequest>,
    ) -> Result<Response<proto::DeleteTopicResponse>, Status> {
        let request = request.into_inner();
        let name = own_name("name", &request.name).map_err(invalid)?;
        self.broker
            .delete_topic(&name, revision(&request.etag))
            .await
            .map_err(|error| self.status(&error))?;
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
                let start = decode::start_of(
                    "before",
                    before,
                    StartPosition::Earliest,
                    server,
                    &mut faults,
                );
                // A position before the first retained event is valid: there is nothing to remove.
                start.map(|start| crate::broker::start::Start { or_earliest: true, ..start })
            }
            _ => {
                let description = "is required: the position before which all events are removed";
                faults.add(FaultKind::Request, "before", description);
                None
            }
        };
        let (name, before) = faults.finish(|| name.zip(before)).map_err(invalid)?;
        let (events_removed, first) = self
            .broker
            .trim_topic(&name, &before, request.validate_only)
            .await
            .map_err(|error| self.status(&error))?;
        Ok(Response::new(proto::TrimTopicResponse { events_removed, first_offset: first.0 }))
    }
}
