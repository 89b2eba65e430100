//! `tidemill demo`
use crate::cli::DemoArgs;
use crate::cli::Exit;
pub fn demo(_: &DemoArgs) -> Exit { Exit::Done }
