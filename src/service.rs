//! The gRPC services: they decode and check requests, call the broker and encode responses.

mod decode;
mod delivery;
mod encoded_stream;
mod event;
mod events;
mod filter;
mod gap;
mod in_flight;
mod json;
mod pages;
mod publish_stream;
mod renderer;
mod response_context;
mod status;
mod topic;
mod topics;
mod view;

use std::{sync::Arc, time::Duration};

use crate::{
    broker::Broker,
    proto::servers::v1::{
        event_service_server::EventServiceServer, topic_service_server::TopicServiceServer,
    },
};

pub use self::{
    events::{Events, ResponseStream},
    in_flight::InFlight,
    status::invalid,
    view::View,
};

/// Limit of the transport. It is above the limit of a batch, so that the error of an oversized
/// batch names that limit.
pub(crate) const REQUEST_BYTES_MAX: usize = 16 << 20;

/// Configurable limits.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Most events in a batch.
    pub batch_events_max: usize,
    /// Most bytes in a batch.
    pub batch_bytes_max: usize,
    /// Most bytes that one PublishStream may have in flight.
    pub stream_bytes_max: usize,
}

/// Bounds of the interval between two heartbeats.
pub(crate) const HEARTBEAT_INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(60);

/// The services over a broker.
pub struct Services {
    /// `EventService` over gRPC.
    pub events: EventServiceServer<Events>,
    /// `TopicService` over gRPC.
    pub topics: TopicServiceServer<topics::Topics>,
    /// The same `EventService`, called directly by the HTTP routes.
    pub direct: Arc<Events>,
}

/// Creates the services over a broker.
pub fn services(broker: &Broker, settings: Settings, in_flight: Arc<InFlight>) -> Services {
    use tonic::codec::CompressionEncoding::{Gzip, Zstd};
    let direct = Arc::new(Events::new(broker.clone(), settings, in_flight));
    let topics = topics::Topics::new(broker.clone());
    Services {
        events: EventServiceServer::from_arc(Arc::clone(&direct))
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .accept_compressed(Gzip)
            .accept_compressed(Zstd)
            .send_compressed(Gzip)
            .send_compressed(Zstd),
        topics: TopicServiceServer::new(topics).max_decoding_message_size(1 << 20),
        direct,
    }
}
