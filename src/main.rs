//! The `tidings` command.

mod cli;

use std::process::ExitCode;

// Many threads allocate and free buffers of all sizes for weeks. The system allocator retains more
// of that memory than is in use.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
