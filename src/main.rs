//! The `tidings` command.

use std::process::ExitCode;

use tidings::{config, server, telemetry};

fn main() -> ExitCode {
    let flags = std::env::args().skip(2).collect::<Vec<_>>();
    let flags = flags
        .chunks(2)
        .map(|pair| {
            (pair[0].trim_start_matches("--").to_owned(), pair.get(1).cloned().unwrap_or_default())
        })
        .collect();
    let sources = config::Sources { flags, ..Default::default() }.with_environment();
    let config = match config::resolve(&sources) {
        Ok(resolved) => resolved.config,
        Err(_) => return ExitCode::from(2),
    };
    let _ = telemetry::init_log(&config.log_filter, config.log_format);
    match server::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot serve");
            ExitCode::from(error.exit_code())
        }
    }
}
