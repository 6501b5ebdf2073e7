//! Clients of the registry, in the same process or over a channel. Both are the generated client,
//! so that they cannot diverge: it runs over any tower service, and the generated server is one.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tonic::{
    body::Body,
    codegen::http,
    transport::{Channel, Endpoint},
};
use tower::{Service as _, util::BoxCloneSyncService};

use crate::{
    proto::v1::schema_registry_service_client::SchemaRegistryServiceClient, service::Service,
};

/// The largest response in bytes: a list of a thousand schemas.
const RESPONSE_BYTES_MAX: usize = 64 << 20;
/// How long a remote registry has to start a response.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval of keep-alive pings, and how long a response to one may take: a registry that
/// disappears without closing the connection is noticed within 15 s.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// The generated client, over either transport.
pub type Client = SchemaRegistryServiceClient<Transport>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Carries calls within the process, or over a channel.
#[derive(Clone)]
pub struct Transport(BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>);

/// Connects to a registry in this process.
pub fn embedded(service: Service) -> Transport {
    let mut server = service.server();
    let call = tower::service_fn(move |request| {
        let response = server.call(request);
        async { response.await.map_err(|never| match never {}) }
    });
    Transport(BoxCloneSyncService::new(call))
}

/// Connects to a remote registry at first use, and again after each loss of the connection.
///
/// # Errors
/// Returns the fault as text if the address is invalid.
pub fn remote(address: &str) -> Result<Transport, String> {
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|error| {
        format!(
            "\"{address}\" is not the address of a registry, such as http://127.0.0.1:7173: {error}"
        )
    })?;
    let channel: Channel = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .keep_alive_while_idle(true)
        .connect_lazy();
    let call = tower::ServiceBuilder::new().map_err(BoxError::from).service(channel);
    Ok(Transport(BoxCloneSyncService::new(call)))
}

impl From<Transport> for Client {
    fn from(transport: Transport) -> Self {
        Self::new(transport).max_decoding_message_size(RESPONSE_BYTES_MAX)
    }
}

impl tower::Service<http::Request<Body>> for Transport {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future =
        <BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError> as tower::Service<
            http::Request<Body>,
        >>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}
