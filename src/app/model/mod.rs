//! `tidemill model`: what a data scientist does before any Kafka exists.

mod rows;

use crate::cli::Exit;
use crate::cli::ModelCommand;

/// Runs the command; results go to stdout, what is wrong to stderr.
pub fn model(command: &ModelCommand) -> Exit {
    match command {
        ModelCommand::Run(args) => rows::run(args),
    }
}
