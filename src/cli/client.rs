//! Connections of client commands to the server.

use std::{env, error::Error, time::Duration};

use clap::Args;
use tidings::proto::events::v1::{
    event_service_client::EventServiceClient, topic_service_client::TopicServiceClient,
};
use tidings_registry::proto::v1::schema_registry_service_client::SchemaRegistryServiceClient;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use super::{failure::Failure, positions::quote};

/// The server's address unless specified.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:7171";

// With HTTP/2's 64 KiB windows, a distant reader or one that decodes in bursts would wait.
const CONNECTION_WINDOW: u32 = 4 << 20;
const STREAM_WINDOW: u32 = 1 << 20;

/// The server never sends larger messages; the JSON view of a message may be larger than the
/// recorded event.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The server's address, and how long to wait for a response.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Address of the server
    #[arg(long, env = "TIDINGS_SERVER", default_value = DEFAULT_SERVER, value_name = "URL")]
    pub server: String,
    /// How long to wait for a response; does not apply to streams
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

impl ServerArgs {
    /// The flag that repeats this address; none if it is the default.
    pub fn flags(&self) -> Option<String> {
        let default = env::var("TIDINGS_SERVER").unwrap_or_else(|_| DEFAULT_SERVER.to_owned());
        (self.server != default).then(|| format!("--server {}", quote(&self.server)))
    }

    /// Opens a connection.
    pub async fn connect(&self) -> anyhow::Result<Channel> {
        let url = if self.server.contains("://") {
            self.server.clone()
        } else {
            format!("http://{}", self.server)
        };
        let endpoint = Endpoint::from_shared(url)
            .map_err(|error| {
                Failure::usage(format!("--server {}: {error}", self.server))
                    .with_remedy(format!("--server {DEFAULT_SERVER}"))
            })?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW);
        endpoint.connect().await.map_err(|error| {
            Failure::new(format!("cannot reach {}: {}", self.server, root_cause(&error)))
                .with_remedy("tidings serve, or name the server with --server or TIDINGS_SERVER")
                .into()
        })
    }

    /// Opens a connection to the event service.
    pub async fn events(&self) -> anyhow::Result<EventServiceClient<Channel>> {
        Ok(EventServiceClient::new(self.connect().await?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Opens a connection to the topic service.
    pub async fn topics(&self) -> anyhow::Result<TopicServiceClient<Channel>> {
        Ok(TopicServiceClient::new(self.connect().await?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Opens a connection to the schema registry.
    pub async fn registry(&self) -> anyhow::Result<SchemaRegistryServiceClient<Channel>> {
        Ok(SchemaRegistryServiceClient::new(self.connect().await?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// A request with the timeout of the flags.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

/// Whether a retry may help. A status with a source comes from the connection and not from the
/// server.
pub fn is_retryable(status: &Status) -> bool {
    status.code() == Code::Unavailable || Error::source(status).is_some()
}

/// The innermost cause: the outer ones only say "transport error".
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
