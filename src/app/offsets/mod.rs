//! `tidemill offsets`: positions as they are, and as a person sets them (rules C4, C5, J2).

mod adopt;
mod change;
mod judge;
mod plan;
mod show;
mod world;

use crate::adapters::postgres::positions::Author;

use crate::app::oneshot;
use crate::app::with_config;
use crate::cli::ChangeArgs;
use crate::cli::Exit;
use crate::cli::OffsetsCommand;
use crate::config::Config;

/// Runs the command; results go to stdout, what is wrong to stderr.
pub fn offsets(command: &OffsetsCommand) -> Exit {
    match command {
        OffsetsCommand::Show(args) => with_config(&args.config, |c| oneshot::run(show::show(&c, args))),
        OffsetsCommand::Set(args) => with_config(&args.config, |c| oneshot::run(change::set(&c, args))),
        OffsetsCommand::Skip(args) => with_config(&args.config, |c| oneshot::run(change::skip(&c, args))),
        OffsetsCommand::Adopt(args) => with_config(&args.config, |c| oneshot::run(adopt::adopt(&c, args))),
    }
}

fn author(config: &Config, command: &'static str, change: &ChangeArgs) -> Author {
    Author { pipeline: config.name.clone(), command, reason: change.reason.clone(), client: oneshot::client() }
}
