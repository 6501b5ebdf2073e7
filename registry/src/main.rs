//! `tidings-registry`: the registry as a service of its own.

use std::{io::IsTerminal as _, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tidings_registry::{
    error::OpenError,
    processor,
    proto::{DESCRIPTORS, v1::schema_registry_service_server::SERVICE_NAME},
    reflection::Reflection,
    registry::Registry,
    schemas::Schemas,
    service::Service,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tracing_subscriber::EnvFilter;

/// How long open calls have to end after a signal.
const DRAIN: Duration = Duration::from_secs(5);

/// Registers versions of schemas, refuses incompatible changes, and negotiates versions.
///
/// `tidings serve` contains a registry; this program is for one that several servers share. Use it
/// with `tidings serve --registry http://127.0.0.1:7173`, and in pipelines with `tidings schema
/// --server http://127.0.0.1:7173 ...`.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The address to listen on.
    #[arg(long, env = "TIDINGS_REGISTRY_LISTEN", default_value = "127.0.0.1:7173")]
    listen: SocketAddr,
    /// The directory of the schemas [default: tidings-registry in the user's data folder].
    #[arg(long, env = "TIDINGS_REGISTRY_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The log level: trace, debug, info, warn or error, or directives such as `info,h2=warn`.
    #[arg(long, env = "TIDINGS_REGISTRY_LOG", default_value = "info")]
    log: String,
    /// Whether gRPC server reflection is on: for the services, and for all registered Protobuf
    /// schemas.
    #[arg(long, env = "TIDINGS_REGISTRY_REFLECTION", default_value = "on")]
    reflection: Switch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let exit_code = exit_code(&error);
            eprintln!("error: {error:#}");
            if let Some(remedy) = remedy(exit_code) {
                eprintln!("try: {remedy}");
            }
            ExitCode::from(exit_code)
        }
    }
}

/// Returns the exit code, which is that of `tidings serve`.
fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<OpenError>() {
        Some(OpenError::AcknowledgedMissing(_)) => 3,
        Some(OpenError::Corrupt(_)) => 4,
        Some(OpenError::NewerFormat { .. }) => 5,
        Some(OpenError::Locked(_)) => 6,
        Some(OpenError::Io { .. }) => 7,
        None => 1,
    }
}

/// Returns the remedy, which is that of `tidings serve`.
fn remedy(exit_code: u8) -> Option<&'static str> {
    match exit_code {
        3 | 4 => Some("keep a copy of the data directory as it is, then restore the newest backup"),
        5 => Some(
            "a version of tidings-registry at least as new as the one that wrote the data directory",
        ),
        6 => Some("stop the other registry, or give this one another --data-dir"),
        7 => Some("check the disk, its space and its permissions; then start again"),
        _ => None,
    }
}

fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&arguments.log).context("--log")?;
    let colour = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .init();
    let directory = match arguments.data_dir {
        Some(directory) => directory,
        None => dirs::data_dir()
            .context("this user has no data folder; give --data-dir")?
            .join("tidings-registry"),
    };
    processor::check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let registry = Registry::open(&directory)?;
    registry.verify();
    runtime.block_on(listen(arguments.listen, registry, arguments.reflection))
}

#[expect(clippy::print_stdout, reason = "scripts read the port from here")]
async fn listen(address: SocketAddr, registry: Registry, reflection: Switch) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    let (drain, draining) = watch::channel(false);
    let (reporter, health) = tonic_health::server::health_reporter();
    for service in ["", SERVICE_NAME] {
        reporter.set_service_status(service, ServingStatus::Serving).await;
    }
    let (write_health, mut stopped) = (reporter.clone(), registry.stopped());
    tokio::spawn(async move {
        // An error means that the registry was dropped, which is not a failed write.
        if stopped.wait_for(Option::is_some).await.is_ok() {
            write_health.set_service_status(SERVICE_NAME, ServingStatus::NotServing).await;
        }
    });
    let service = Service::new(registry.clone(), draining.clone());
    let reflection = match reflection {
        Switch::On => {
            let schemas = Schemas::embedded(registry, service.clone());
            let reflection =
                Reflection::new(&[DESCRIPTORS], &[SERVICE_NAME], Some(schemas), draining.clone());
            Some(reflection.map_err(anyhow::Error::msg).context("reflection")?)
        }
        Switch::Off => None,
    };
    let mut stopped = draining.clone();
    let serving = Server::builder()
        .max_concurrent_streams(1000)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_service(health)
        .add_optional_service(reflection.as_ref().map(Reflection::v1))
        .add_optional_service(reflection.as_ref().map(Reflection::v1alpha))
        .add_service(service.server())
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
            // An error means that the sender was dropped, which also ends the server.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        });
    println!("listening on {address}");
    tracing::info!(%address, "serving");
    let mut serving = tokio::spawn(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended??),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining");
    for service in ["", SERVICE_NAME] {
        reporter.set_service_status(service, ServingStatus::NotServing).await;
    }
    drain.send_replace(true);
    // A client that keeps a connection open without reading does not delay the exit any longer.
    let _ = tokio::time::timeout(DRAIN, serving).await;
    Ok(())
}
