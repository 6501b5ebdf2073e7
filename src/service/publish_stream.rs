//! The pipeline of a `PublishStream`.

use std::sync::Arc;

use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::{Status, Streaming};

use super::{
    Settings, decode,
    in_flight::{InFlight, InFlightGuard},
    response_context::ResponseContext,
    status,
};
use crate::{
    broker::{Broker, publish::PendingPublish},
    model::fault::{FaultKind, Faults},
    proto::events::v1 as proto,
};

/// The outcome of a request, which may not be durable yet.
pub enum PendingOutcome {
    /// A submitted or rejected request.
    Submitted {
        /// The client's number of the request.
        sequence: u64,
        /// The admitted publish, or the rejection.
        submitted: Result<(ResponseContext, PendingPublish), Status>,
        /// The request's bytes in flight.
        _permit: OwnedSemaphorePermit,
        /// The request's count in [`InFlight`].
        _guard: InFlightGuard,
    },
    /// The client's stream failed. No outcome follows.
    Broken(Status),
}

impl PendingOutcome {
    /// Waits until the request is durable or rejected.
    ///
    /// # Errors
    /// Returns the status of the client's stream if it failed.
    pub async fn finish(self, broker: &Broker) -> Result<proto::PublishStreamResponse, Status> {
        use proto::publish_stream_response::Outcome;
        let (sequence, submitted, _permits) = match self {
            Self::Submitted { sequence, submitted, _permit, _guard } => {
                (sequence, submitted, (_permit, _guard))
            }
            Self::Broken(status) => return Err(status),
        };
        let finished = match submitted {
            Ok((context, pending)) => match pending.finish().await {
                Ok(published) => Ok(context.response(broker, &published.placements)),
                Err(error) => Err(status::publish(&error, broker.server())),
            },
            Err(status) => Err(status),
        };
        let outcome = match finished {
            Ok(response) => Outcome::Published(response),
            Err(status) => Outcome::Error(status::message(&status)),
        };
        Ok(proto::PublishStreamResponse { sequence, outcome: Some(outcome) })
    }
}

/// Submits the requests of a PublishStream in order, within `stream_bytes_max`.
pub struct Pipeline {
    pub broker: Broker,
    pub settings: Settings,
    pub in_flight: Arc<InFlight>,
}

impl Pipeline {
    /// Submits requests until the client's stream ends or `outcomes` is closed.
    pub async fn run(
        self,
        mut requests: Streaming<proto::PublishStreamRequest>,
        outcomes: mpsc::Sender<PendingOutcome>,
    ) {
        let semaphore = Arc::new(Semaphore::new(self.settings.stream_bytes_max));
        loop {
            let request = match requests.message().await {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(status) => {
                    let _ = outcomes.send(PendingOutcome::Broken(status)).await;
                    return;
                }
            };
            let weight = request.encoded_len().clamp(1, self.settings.stream_bytes_max);
            let weight = u32::try_from(weight).unwrap_or(u32::MAX);
            let Ok(permit) = Arc::clone(&semaphore).acquire_many_owned(weight).await else {
                return;
            };
            let guard = self.in_flight.enter();
            let pending = PendingOutcome::Submitted {
                sequence: request.sequence,
                submitted: self.submit(request.publish).await,
                _permit: permit,
                _guard: guard,
            };
            if outcomes.send(pending).await.is_err() {
                return;
            }
        }
    }

    async fn submit(
        &self,
        request: Option<proto::PublishRequest>,
    ) -> Result<(ResponseContext, PendingPublish), Status> {
        let server = self.broker.server();
        let request = request.ok_or_else(|| {
            status::invalid(&Faults::single(FaultKind::Request, "publish", "is required"))
        })?;
        let publish = decode::publish(request, &self.settings)?;
        let context = ResponseContext::of(&publish, server);
        let submitted = self.broker.submit(publish).await;
        submitted.map(|pending| (context, pending)).map_err(|error| status::publish(&error, server))
    }
}
