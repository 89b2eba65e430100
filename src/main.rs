//! The process edge: arguments in, exit code out.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tidemill::app::App;
use tidemill::cli::Cli;
use tidemill::telemetry::log_queue;

/// Longest wait for a reader of the log at the end.
const LOG_MAX: Duration = Duration::from_secs(1);

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let exit = Cli::parse().dispatch(&App);
    // The exit code is decided: nothing that the client library or a thread still does may change or delay it.
    let _ = std::io::stdout().flush();
    log_queue::flush(LOG_MAX);
    std::process::exit(i32::from(exit.code()))
}
