//! How client commands reach the server.

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

/// Where the server is unless something else is said.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:7171";

// A reader far away, or one that decodes in bursts, shall not be held up by HTTP/2's 64 KiB windows.
const CONNECTION_WINDOW: u32 = 4 << 20;
const STREAM_WINDOW: u32 = 1 << 20;

/// The server never sends more in one message; a message's JSON view may be larger than what is recorded.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Which server, and how long to wait for it.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Address of the server
    #[arg(long, env = "TIDINGS_SERVER", default_value = DEFAULT_SERVER, value_name = "URL")]
    pub server: String,
    /// How long to wait for an answer; streams are not bounded by it
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

impl ServerArgs {
    /// The flag that says the same again; none where it goes without saying.
    pub fn flags(&self) -> Option<String> {
        let unsaid = env::var("TIDINGS_SERVER").unwrap_or_else(|_| DEFAULT_SERVER.to_owned());
        (self.server != unsaid).then(|| format!("--server {}", quote(&self.server)))
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
                    .try_this(format!("--server {DEFAULT_SERVER}"))
            })?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW);
        endpoint.connect().await.map_err(|error| {
            Failure::new(format!("cannot reach {}: {}", self.server, root_cause(&error)))
                .try_this("tidings serve, or name the server with --server or TIDINGS_SERVER")
                .into()
        })
    }

    /// Opens a connection for events.
    pub async fn events(&self) -> anyhow::Result<EventServiceClient<Channel>> {
        Ok(EventServiceClient::new(self.connect().await?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Opens a connection for topics.
    pub async fn topics(&self) -> anyhow::Result<TopicServiceClient<Channel>> {
        Ok(TopicServiceClient::new(self.connect().await?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Opens a connection for schemas.
    pub async fn registry(&self) -> anyhow::Result<SchemaRegistryServiceClient<Channel>> {
        Ok(SchemaRegistryServiceClient::new(self.connect().await?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// A request with our deadline.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

/// Whether trying again may help. What has a source is not the server's word but the connection's end.
pub fn may_pass(status: &Status) -> bool {
    status.code() == Code::Unavailable || Error::source(status).is_some()
}

/// The cause that says something: what stands around it is "transport error".
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
