//! Measures the promised figures of Tidings, each with its limit in the same run. See
//! `benches/README.md`.

mod count;
mod figures;
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with `tidings bench`, which uses the other items and runs the tests"
)]
#[path = "../../src/cli/bench/load/mod.rs"]
mod load;
mod net;
mod pairs;
mod process;
mod rocks;
mod schemas;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

// The limits have the same allocator as the server.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measure the server against the limits of gRPC, RocksDB and the disk
#[derive(Debug, Parser)]
struct Args {
    /// Only these figures, such as a,b,d
    #[arg(long, value_delimiter = ',')]
    only: Vec<char>,
    /// Pairs of each figure
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// Events of the catch-up figures
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Check that everything runs: small numbers, figures without meaning
    #[arg(long)]
    quick: bool,
    /// Directory of the data, on the disk to measure [default: in the target directory]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Threads of the servers of the limits, and of the clients
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Arguments of `tidings serve`, after `--`
    #[arg(last = true)]
    serve_args: Vec<String>,
    /// Flag that cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
    /// Run as a limit
    #[arg(long, hide = true)]
    role: Option<Role>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    Net,
    Rocks,
}

fn main() -> Result<()> {
    let args = Args::parse();
    match args.role {
        Some(Role::Rocks) => rocks::run(&args.dir.context("--dir is missing")?),
        Some(Role::Net) => runtime(args.threads)?.block_on(net::serve(args.events)),
        None => {
            let parent = args.dir.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
            std::fs::create_dir_all(&parent)?;
            let dir = tempfile::tempdir_in(parent)?;
            let events = if args.quick { args.events.min(50_000) } else { args.events };
            let pairs = if args.quick { 2 } else { args.pairs.into() };
            let scale = if args.quick { 20 } else { 1 };
            let limits = figures::Limits {
                dir: dir.path().to_owned(),
                only: args.only,
                pairs,
                events,
                scale,
                threads: args.threads,
                serve_args: args.serve_args,
            };
            let outcome = runtime(args.threads)?.block_on(limits.run());
            if outcome.is_err() {
                eprintln!("data and logs are kept in {}", dir.keep().display());
            }
            outcome
        }
    }
}

/// One thread by default leaves the other core of a small machine to the server.
fn runtime(threads: usize) -> Result<tokio::runtime::Runtime> {
    let mut builder = match threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    Ok(builder.enable_all().build()?)
}
