//! The wire: is a request well formed, and how does an answer look. Handlers decode, ask the broker and encode.

mod decode;
mod delivery;
mod event;
mod events;
mod filter;
mod json;
mod pages;
mod showing;
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
    events::{Events, InFlight, ResponseStream},
    status::invalid,
    view::View,
};

/// The transport takes more than a batch may have, so that the refusal says what the limit is.
pub(crate) const REQUEST_BYTES_MAX: usize = 16 << 20;

/// What a user can set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Events in a batch at most.
    pub batch_events_max: usize,
    /// Bytes of a batch at most.
    pub batch_bytes_max: usize,
    /// Bytes that one PublishStream has in flight at most.
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
    /// The same `EventService`, for those who speak something else.
    pub direct: Arc<Events>,
}

/// Puts the services over a broker.
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
