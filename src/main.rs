//! The `tidings` command: arguments to a command, a command's end to an exit code.

mod cli;

use std::process::ExitCode;

// Many threads allocate and free buffers of all sizes for weeks; the system's allocator keeps more of it than is in use.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
