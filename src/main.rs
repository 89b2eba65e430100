//! The process edge: arguments in, exit code out.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tidemill::app::App;
use tidemill::cli::Cli;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let exit = Cli::parse().dispatch(&App);
    // The exit code is decided: nothing that the client library or a thread still does may change or delay it.
    let _ = std::io::stdout().flush();
    std::process::exit(i32::from(exit.code()))
}
