//! The only place that knows everything: opens, wires, serves, drains.

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

/// How long open streams have to take their `Draining`: readers that take nothing are cut off then.
const STREAMS_GRACE: Duration = Duration::from_secs(2);
/// How long the store is waited for at the end: reads that a disk holds up are left alone then.
const STORE_GRACE: Duration = Duration::from_secs(1);
/// What of the bytes in flight one PublishStream may have: several of them share the server.
const STREAM_SHARE: usize = 4;

/// Why the server does not run, or does not any more.
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
    /// The address of the registry is none.
    #[error("{0}")]
    RegistryAddress(String),
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The transport failed.
    #[error("cannot serve: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The machine does not give what is needed.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// Reflection cannot be built.
    #[error("cannot serve reflection: {0}")]
    Reflection(String),
    /// The disk failed while serving.
    #[error("the disk failed, and nothing is taken any more: {0}")]
    Disk(String),
    /// The store was not closed in order.
    #[error("the store was not closed in order: {0}")]
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

/// Serves until SIGTERM or Ctrl-C, and drains. A second signal ends the process at once, which loses nothing that was
/// acknowledged.
///
/// # Errors
/// Why it does not run, or does not any more.
pub fn run(config: Config) -> Result<(), ServeError> {
    processor::check()?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(config.worker_threads)
        .thread_name("tidings-io")
        .enable_all()
        .build()?;
    let (served, store) = runtime.block_on(async {
        match Opened::new(&config).await {
            Ok(opened) => {
                let store = Arc::clone(&opened.store);
                (serve(config, opened).await, Some(store))
            }
            Err(error) => (Err(error), None),
        }
    });
    // Drops every task, and with them their hold on the store; whatever still reads from the disk for somebody who is
    // gone is not waited for.
    runtime.shutdown_timeout(STORE_GRACE);
    if let Some(store) = store {
        release(store);
    }
    served
}

/// Closes the database on this thread: RocksDB must not be at work any more when the process takes itself down.
fn release(store: Arc<store::Store>) {
    let start = std::time::Instant::now();
    while Arc::strong_count(&store) > 1 && start.elapsed() < STORE_GRACE {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What is there before the first request.
struct Opened {
    terminate: Signal,
    interrupt: Signal,
    listener: TcpListener,
    admin: Option<TcpListener>,
    metrics: Metrics,
    journal: Journal,
    store: Arc<store::Store>,
    registry: Option<Registry>,
}

impl Opened {
    async fn new(config: &Config) -> Result<Self, ServeError> {
        // Before anything is opened, so that a signal at any moment is one that drains.
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let metrics = Metrics::new();
        count_panics(&metrics);
        let listener = listen(config.listen).await?;
        let admin = match config.admin_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let (journal, store) = open(config, &metrics).await?;
        let registry = match config.registry {
            RegistrySource::Embedded => match open_registry(config).await {
                Ok(registry) => Some(registry),
                Err(error) => {
                    // Nothing is to be at work any more when the process ends.
                    journal.close().await.map_err(ServeError::Close)?;
                    release(store);
                    return Err(error);
                }
            },
            RegistrySource::Remote(_) | RegistrySource::Off => None,
        };
        Ok(Self { terminate, interrupt, listener, admin, metrics, journal, store, registry })
    }
}

async fn serve(config: Config, opened: Opened) -> Result<(), ServeError> {
    let Opened { mut terminate, mut interrupt, listener, admin, metrics, journal, store, registry } =
        opened;
    let limits = Limits {
        event_bytes_max: config.max_event_bytes,
        auto_create_topics: config.auto_create_topics,
        heartbeat_interval: config.heartbeat_interval,
        retention_interval: config.retention_interval,
    };
    let (drain_registry, draining) = watch::channel(false);
    let registry_stopped = registry.as_ref().map(Registry::stopped);
    let registry = Schemata::new(&config, registry, draining.clone(), &metrics)?;
    let Schemata { schemas, here, there } = registry;
    let reflection = reflection(&config, schemas.clone(), draining)?;
    let clock = AppendTime::now;
    let broker = Broker::new(store, journal.clone(), limits, clock, metrics.clone(), schemas);
    tokio::spawn(broker.clone().retain());

    let (reporter, health) = tonic_health::server::health_reporter();
    let has_registry = config.registry != RegistrySource::Off;
    set_health(&reporter, ServingStatus::Serving, has_registry).await;
    if let Some(stopped) = registry_stopped {
        tokio::spawn(tell_stopped(stopped, reporter.clone()));
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
    if let Some(here) = here {
        grpc = grpc.add_service(here);
    }
    if let Some(there) = there {
        grpc = grpc.add_service(there);
    }
    let guarded = address.ip().is_loopback().then(|| config.cors_origins.clone());
    let http = http::router(direct, settings.batch_events_max, metrics.clone());
    let port = Port::new(grpc, http, &metrics, guarded);
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
        () = signalled(&mut terminate, &mut interrupt) => tracing::info!("draining"),
        reason = failed(&mut state) => failure = Some(reason),
        ended = &mut serving => {
            return match ended {
                Ok(ended) => Ok(ended?),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            };
        }
    }
    tokio::spawn(async move {
        signalled(&mut terminate, &mut interrupt).await;
        tracing::warn!("second signal: ending at once");
        // Not an exit in order: that would take the database down under its own threads. What was acknowledged stays.
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

async fn open(
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
        waiting_bytes: config.in_flight_bytes,
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

/// The registry, as publishers and readers see it and as it is served on this port: at most one of the two.
struct Schemata {
    schemas: Option<Schemas>,
    here: Option<AtRevision<schema_registry_service_server::SchemaRegistryServiceServer<Service>>>,
    there: Option<Remote>,
}

impl Schemata {
    fn new(
        config: &Config,
        registry: Option<Registry>,
        draining: watch::Receiver<bool>,
        metrics: &Metrics,
    ) -> Result<Self, ServeError> {
        if let Some(registry) = registry {
            let service = Service::new(registry.clone(), draining);
            let schemas = Schemas::here(registry, service.clone());
            return Ok(Self { schemas: Some(schemas), here: Some(service.server()), there: None });
        }
        let RegistrySource::Remote(address) = &config.registry else {
            return Ok(Self { schemas: None, here: None, there: None });
        };
        let transport = client::remote(address).map_err(ServeError::RegistryAddress)?;
        let mirror = Mirror::new(transport.clone().into());
        tokio::spawn(mirror.clone().follow());
        tokio::spawn(count_away(mirror.away(), metrics.clone()));
        let schemas = Schemas::there(mirror.clone(), transport.clone().into());
        let there = Some(Remote::new(transport, mirror));
        Ok(Self { schemas: Some(schemas), here: None, there })
    }
}

async fn count_away(mut away: watch::Receiver<Option<String>>, metrics: Metrics) {
    loop {
        metrics.registry_away(away.borrow_and_update().is_some());
        if away.changed().await.is_err() {
            return;
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

#[expect(clippy::print_stdout, reason = "scripts read the ports from here")]
fn announce(address: SocketAddr, admin: Option<SocketAddr>) {
    println!("listening on {address}");
    if let Some(admin) = admin {
        println!("admin on {admin}");
    }
}

/// Publishes in flight are answered, streams are told; whoever takes nothing is not waited for.
async fn drain<T>(serving: &mut tokio::task::JoinHandle<T>, in_flight: &InFlight, most: Duration) {
    let start = Instant::now();
    if timeout(STREAMS_GRACE.min(most), &mut *serving).await.is_ok() {
        return;
    }
    while !in_flight.is_empty() && start.elapsed() < most {
        sleep(Duration::from_millis(10)).await;
    }
}

async fn signalled(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn failed(state: &mut watch::Receiver<Health>) -> String {
    loop {
        if let Health::Failed(reason) = &*state.borrow_and_update() {
            return reason.clone();
        }
        if state.changed().await.is_err() {
            // The journal is gone without a word: it was closed.
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

/// A registry that writes nothing any more is told to who looks for it alone: its reads go on, and so do events.
async fn tell_stopped(mut stopped: watch::Receiver<Option<String>>, reporter: HealthReporter) {
    // Gone without a reason: the server ends, and tells of it itself.
    if stopped.wait_for(Option::is_some).await.is_ok() {
        let registry = schema_registry_service_server::SERVICE_NAME;
        reporter.set_service_status(registry, ServingStatus::NotServing).await;
    }
}

/// Reflection over what this server serves, and over what is registered.
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

/// A panic ends one call, never the process; it is counted, and nobody should get used to it.
fn count_panics(metrics: &Metrics) {
    let (metrics, default) = (metrics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        metrics.rpc_panics();
        tracing::error!(%panic, "panicked");
        default(panic);
    }));
}
