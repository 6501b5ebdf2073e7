//! The server: opens the store and the registry, builds the services, serves and drains.

mod connections;
mod port;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tidings_registry::{
    client,
    error::OpenError as RegistryError,
    mirror::Mirror,
    processor::{self, UnsupportedProcessor},
    proto::v1::schema_registry_service_server,
    reflection::Reflection,
    registry::Registry,
    remote::Remote,
    schemas::Schemas,
    service::{Service, revision::AtRevision},
};
use tokio::{
    net::TcpListener,
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
    time::{Instant, sleep, timeout},
};
use tonic::{service::Routes, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::util::option_layer;

use self::port::Port;
use crate::{
    broker::{Broker, Limits},
    config::{Config, RegistrySource},
    http,
    journal::{Health, Journal, Options},
    model::numbers::AppendTime,
    proto::{
        DESCRIPTORS,
        servers::v1::{event_service_server, topic_service_server},
    },
    service::{self, InFlight, Settings},
    store::{self, OpenError, OpenOptions, StorageError, options::Tuning},
    telemetry::{Metrics, admin_router},
};

/// Time for open streams to send `Draining`. Streams whose reader has stalled are closed after it.
const STREAMS_GRACE: Duration = Duration::from_secs(2);
/// Time to wait for the store at shutdown. Reads that the disk blocks for longer are abandoned.
const STORE_GRACE: Duration = Duration::from_secs(1);
/// One PublishStream may use this fraction of the bytes in flight, so that several can share them.
const STREAM_SHARE: usize = 4;

/// Why the server does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// RocksDB was compiled for another processor.
    #[error(transparent)]
    Processor(#[from] UnsupportedProcessor),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The registry cannot be opened.
    #[error("the schema registry: {0}")]
    Registry(#[from] RegistryError),
    /// The address of the registry is invalid.
    #[error("{0}")]
    RegistryAddress(String),
    /// The port cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// The transport failed.
    #[error("cannot serve: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The system refused a resource.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// Reflection cannot be built.
    #[error("cannot serve reflection: {0}")]
    Reflection(String),
    /// The disk failed while serving.
    #[error("the disk failed, and no more publishes are accepted: {0}")]
    Disk(String),
    /// The store was not closed cleanly.
    #[error("the store was not closed cleanly: {0}")]
    Close(StorageError),
}

impl ServeError {
    /// The exit code of `tidings serve`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Open(OpenError::AcknowledgedMissing { .. }) => 3,
            Self::Open(OpenError::Corrupt { .. }) => 4,
            Self::Open(OpenError::NewerFormat { .. }) => 5,
            Self::Open(OpenError::Locked { .. }) => 6,
            Self::Open(OpenError::Io { .. }) | Self::Disk(_) | Self::Close(_) => 7,
            Self::Registry(RegistryError::AcknowledgedMissing(_)) => 3,
            Self::Registry(RegistryError::Corrupt(_)) => 4,
            Self::Registry(RegistryError::NewerFormat { .. }) => 5,
            Self::Registry(RegistryError::Locked(_)) => 6,
            Self::Registry(RegistryError::Io { .. }) => 7,
            Self::Processor(_)
            | Self::RegistryAddress(_)
            | Self::Listen { .. }
            | Self::Transport(_)
            | Self::Start(_)
            | Self::Reflection(_) => 1,
        }
    }
}

/// Serves until SIGTERM or Ctrl-C, then drains. A second signal ends the process at once, which
/// loses no acknowledged data.
///
/// # Errors
/// Returns an error if the server cannot start, if the disk fails, or if the store cannot be
/// closed.
pub fn run(config: Config) -> Result<(), ServeError> {
    processor::check()?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(config.worker_threads)
        .thread_name("tidings-io")
        .enable_all()
        .build()?;
    let (outcome, store) = runtime.block_on(async {
        match Resources::open(&config).await {
            Ok(resources) => {
                let store = Arc::clone(&resources.store);
                (serve(config, resources).await, Some(store))
            }
            Err(error) => (Err(error), None),
        }
    });
    // Drops every task, and with them their references to the store. Reads of the disk for clients
    // that have disconnected are not waited for.
    runtime.shutdown_timeout(STORE_GRACE);
    if let Some(store) = store {
        close(store);
    }
    outcome
}

/// Closes the database by dropping its last reference on this thread: RocksDB threads must not run
/// when the process exits.
fn close(store: Arc<store::Store>) {
    let start = std::time::Instant::now();
    while Arc::strong_count(&store) > 1 && start.elapsed() < STORE_GRACE {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The resources opened before the first request.
struct Resources {
    terminate: Signal,
    interrupt: Signal,
    listener: TcpListener,
    admin: Option<TcpListener>,
    metrics: Metrics,
    journal: Journal,
    store: Arc<store::Store>,
    registry: Option<Registry>,
}

impl Resources {
    async fn open(config: &Config) -> Result<Self, ServeError> {
        // Installed first, so that a signal at any later time drains.
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let metrics = Metrics::new();
        install_panic_hook(&metrics);
        let listener = listen(config.listen).await?;
        let admin = match config.admin_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let (journal, store) = open_store(config, &metrics).await?;
        let registry = match config.registry {
            RegistrySource::Embedded => match open_registry(config).await {
                Ok(registry) => Some(registry),
                Err(error) => {
                    // RocksDB threads must not run when the process exits.
                    journal.close().await.map_err(ServeError::Close)?;
                    close(store);
                    return Err(error);
                }
            },
            RegistrySource::Remote(_) | RegistrySource::Off => None,
        };
        Ok(Self { terminate, interrupt, listener, admin, metrics, journal, store, registry })
    }
}

async fn serve(config: Config, resources: Resources) -> Result<(), ServeError> {
    let Resources {
        mut terminate,
        mut interrupt,
        listener,
        admin,
        metrics,
        journal,
        store,
        registry,
    } = resources;
    let limits = Limits {
        event_bytes_max: config.max_event_bytes,
        auto_create_topics: config.auto_create_topics,
        heartbeat_interval: config.heartbeat_interval,
        retention_interval: config.retention_interval,
    };
    let (drain_registry, draining) = watch::channel(false);
    let registry_stopped = registry.as_ref().map(Registry::stopped);
    let registry = RegistryWiring::new(&config, registry, draining.clone(), &metrics)?;
    let RegistryWiring { schemas, embedded, remote } = registry;
    let reflection = reflection(&config, schemas.clone(), draining)?;
    let clock = AppendTime::now;
    let broker = Broker::new(store, journal.clone(), limits, clock, metrics.clone(), schemas);
    tokio::spawn(broker.clone().run_retention());

    let (reporter, health) = tonic_health::server::health_reporter();
    let has_registry = config.registry != RegistrySource::Off;
    set_health(&reporter, ServingStatus::Serving, has_registry).await;
    if let Some(stopped) = registry_stopped {
        tokio::spawn(report_stopped_registry(stopped, reporter.clone()));
    }
    let in_flight = Arc::new(InFlight::default());
    let settings = Settings {
        batch_events_max: config.max_batch_events,
        batch_bytes_max: config.max_batch_bytes,
        stream_bytes_max: config.in_flight_bytes / STREAM_SHARE,
    };
    let service::Services { events, topics, direct } =
        service::services(&broker, settings, Arc::clone(&in_flight));
    let address = listener.local_addr()?;
    let admin_address = admin.as_ref().map(TcpListener::local_addr).transpose()?;
    let incoming = connections::Incoming::new(listener, config.max_connections);
    let mut grpc = Routes::new(health).add_service(events).add_service(topics);
    if let Some(reflection) = &reflection {
        grpc = grpc.add_service(reflection.v1()).add_service(reflection.v1alpha());
    }
    if let Some(embedded) = embedded {
        grpc = grpc.add_service(embedded);
    }
    if let Some(remote) = remote {
        grpc = grpc.add_service(remote);
    }
    let loopback_origins = address.ip().is_loopback().then(|| config.cors_origins.clone());
    let http = http::router(direct, settings.batch_events_max, metrics.clone());
    let port = Port::new(grpc, http, &metrics, loopback_origins);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = Server::builder()
        .max_concurrent_streams(config.max_streams_per_connection)
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(1 << 20)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .http2_max_pending_accept_reset_streams(Some(20))
        .accept_http1(true)
        .layer(option_layer(port::cors(&config.cors_origins)))
        .serve_with_incoming_shutdown(port, incoming, async {
            let _ = stopped.await;
        });
    let mut serving = tokio::spawn(serving);
    if let Some(admin) = admin {
        let ready = {
            let (broker, journal) = (broker.clone(), journal.health());
            move || !broker.is_draining() && *journal.borrow() == Health::Serving
        };
        let router = admin_router(metrics, ready);
        tokio::spawn(async move { axum::serve(admin, router).await });
    }
    announce(address, admin_address);
    tracing::info!(%address, "serving");

    let mut state = journal.health();
    let mut failure = None;
    tokio::select! {
        () = wait_for_signal(&mut terminate, &mut interrupt) => tracing::info!("draining"),
        reason = wait_for_failure(&mut state) => failure = Some(reason),
        ended = &mut serving => {
            return match ended {
                Ok(ended) => Ok(ended?),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            };
        }
    }
    tokio::spawn(async move {
        wait_for_signal(&mut terminate, &mut interrupt).await;
        tracing::warn!("second signal: exiting at once");
        // SIGKILL instead of an exit, which would destroy the database while its threads run.
        // Acknowledged data is not lost.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    });
    set_health(&reporter, ServingStatus::NotServing, has_registry).await;
    let start = Instant::now();
    broker.drain();
    drain_registry.send_replace(true);
    let _ = stop.send(());
    drain(&mut serving, &in_flight, config.drain_timeout).await;
    serving.abort();
    if let Some(reason) = failure {
        return Err(ServeError::Disk(reason));
    }
    journal.close().await.map_err(ServeError::Close)?;
    tracing::info!(millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(0), "drained");
    Ok(())
}

async fn open_store(
    config: &Config,
    metrics: &Metrics,
) -> Result<(Journal, Arc<store::Store>), ServeError> {
    let options = OpenOptions {
        tuning: Tuning {
            block_cache_bytes: config.block_cache_bytes,
            write_buffer_bytes: config.write_buffer_bytes,
            wal_bytes: config.wal_bytes,
        },
        tail_bytes: config.tail_bytes,
    };
    let directory = config.data_dir.clone();
    let start = Instant::now();
    let opened = tokio::task::spawn_blocking(move || store::open(&directory, &options))
        .await
        .map_err(io::Error::other)?;
    let outcome = match &opened {
        Ok(_) => "ok",
        Err(OpenError::AcknowledgedMissing { .. }) => "acknowledged_missing",
        Err(OpenError::Corrupt { .. }) => "corrupt",
        Err(_) => "failed",
    };
    metrics.recovery(outcome, start.elapsed().as_secs_f64());
    let writer = opened?;
    let store = Arc::clone(writer.store());
    let options = Options {
        queued_bytes_max: config.in_flight_bytes,
        disk_reserve_bytes: config.disk_reserve_bytes,
    };
    Ok((Journal::start(writer, options, metrics.clone())?, store))
}

async fn open_registry(config: &Config) -> Result<Registry, ServeError> {
    let directory = config.data_dir.join("registry");
    let opened = tokio::task::spawn_blocking(move || Registry::open(&directory));
    let registry = opened.await.map_err(io::Error::other)??;
    registry.verify();
    Ok(registry)
}

/// The registry as publishers and readers use it, and as this port serves it: `embedded` or
/// `remote`, or neither.
struct RegistryWiring {
    schemas: Option<Schemas>,
    embedded:
        Option<AtRevision<schema_registry_service_server::SchemaRegistryServiceServer<Service>>>,
    remote: Option<Remote>,
}

impl RegistryWiring {
    fn new(
        config: &Config,
        registry: Option<Registry>,
        draining: watch::Receiver<bool>,
        metrics: &Metrics,
    ) -> Result<Self, ServeError> {
        if let Some(registry) = registry {
            let service = Service::new(registry.clone(), draining);
            let schemas = Schemas::embedded(registry, service.clone());
            return Ok(Self {
                schemas: Some(schemas),
                embedded: Some(service.server()),
                remote: None,
            });
        }
        let RegistrySource::Remote(address) = &config.registry else {
            return Ok(Self { schemas: None, embedded: None, remote: None });
        };
        let transport = client::remote(address).map_err(ServeError::RegistryAddress)?;
        let mirror = Mirror::new(transport.clone().into());
        tokio::spawn(mirror.clone().follow());
        tokio::spawn(count_unavailability(mirror.unavailable(), metrics.clone()));
        let schemas = Schemas::remote(mirror.clone(), transport.clone().into());
        let remote = Some(Remote::new(transport, mirror));
        Ok(Self { schemas: Some(schemas), embedded: None, remote })
    }
}

async fn count_unavailability(mut unavailable: watch::Receiver<Option<String>>, metrics: Metrics) {
    loop {
        metrics.registry_unavailable(unavailable.borrow_and_update().is_some());
        if unavailable.changed().await.is_err() {
            return;
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

#[expect(clippy::print_stdout, reason = "scripts read the ports from stdout")]
fn announce(address: SocketAddr, admin: Option<SocketAddr>) {
    println!("listening on {address}");
    if let Some(admin) = admin {
        println!("admin on {admin}");
    }
}

/// Waits until the connections are closed. After [`STREAMS_GRACE`], waits only for publishes in
/// flight: streams whose reader has stalled do not delay the shutdown.
async fn drain<T>(serving: &mut tokio::task::JoinHandle<T>, in_flight: &InFlight, limit: Duration) {
    let start = Instant::now();
    if timeout(STREAMS_GRACE.min(limit), &mut *serving).await.is_ok() {
        return;
    }
    while !in_flight.is_empty() && start.elapsed() < limit {
        sleep(Duration::from_millis(10)).await;
    }
}

async fn wait_for_signal(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn wait_for_failure(state: &mut watch::Receiver<Health>) -> String {
    loop {
        if let Health::Failed(reason) = &*state.borrow_and_update() {
            return reason.clone();
        }
        if state.changed().await.is_err() {
            // The journal was closed without a failure.
            std::future::pending::<()>().await;
        }
    }
}

async fn set_health(reporter: &HealthReporter, status: ServingStatus, has_registry: bool) {
    for service in ["", event_service_server::SERVICE_NAME, topic_service_server::SERVICE_NAME] {
        reporter.set_service_status(service, status).await;
    }
    if has_registry {
        let registry = schema_registry_service_server::SERVICE_NAME;
        reporter.set_service_status(registry, status).await;
    }
}

/// Reports only the registry as not serving after it has stopped writing: its reads and the event
/// service continue.
async fn report_stopped_registry(
    mut stopped: watch::Receiver<Option<String>>,
    reporter: HealthReporter,
) {
    // A sender dropped without a reason means shutdown, which reports the health itself.
    if stopped.wait_for(Option::is_some).await.is_ok() {
        let registry = schema_registry_service_server::SERVICE_NAME;
        reporter.set_service_status(registry, ServingStatus::NotServing).await;
    }
}

/// Reflection of the services on this port and of registered Protobuf schemas.
fn reflection(
    config: &Config,
    schemas: Option<Schemas>,
    draining: watch::Receiver<bool>,
) -> Result<Option<Reflection>, ServeError> {
    if !config.reflection {
        return Ok(None);
    }
    let own = [event_service_server::SERVICE_NAME, topic_service_server::SERVICE_NAME];
    let registry = schemas.as_ref().map(|_| schema_registry_service_server::SERVICE_NAME);
    let services: Vec<&str> = own.into_iter().chain(registry).collect();
    let files = [DESCRIPTORS, tidings_registry::proto::DESCRIPTORS];
    Reflection::new(&files, &services, schemas, draining).map(Some).map_err(ServeError::Reflection)
}

/// Counts and logs panics. A panic ends one call, never the process, but each is a bug.
fn install_panic_hook(metrics: &Metrics) {
    let (metrics, default) = (metrics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        metrics.rpc_panicked();
        tracing::error!(%panic, "panicked");
        default(panic);
    }));
}
