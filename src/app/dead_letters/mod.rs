//! `tidemill dead-letters`: what a person does about records that could not be processed. Kafka is not asked.

mod accept;
mod escape;
mod list;
mod purge;
mod replay;
mod show;

use crate::adapters::postgres::letters::Filter;
use crate::app::oneshot;
use crate::app::prepare;
use crate::app::with_config;
use crate::cli::DeadLetterFilter;
use crate::cli::DeadLetterState;
use crate::cli::DeadLettersCommand;
use crate::cli::Exit;
use crate::config::Config;
use crate::pipeline::clock::wall_micros;

/// Runs the command; results go to stdout, what is wrong to stderr.
pub fn dead_letters(command: &DeadLettersCommand) -> Exit {
    match command {
        DeadLettersCommand::Accept(args) => with_config(&args.config, |config| accept::accept(&config, args)),
        DeadLettersCommand::List(args) => with_config(&args.config, |c| oneshot::run(list::list(&c, args))),
        DeadLettersCommand::Show(args) => with_config(&args.config, |c| oneshot::run(show::show(&c, args))),
        DeadLettersCommand::Replay(args) => with_config(&args.config, |c| match prepare::prepare(&c) {
            Ok(prepared) => oneshot::run(replay::replay(&c, prepared, args)),
            Err(problems) => {
                problems.iter().for_each(|problem| eprintln!("{problem}"));
                Exit::Configuration
            }
        }),
        DeadLettersCommand::Purge(args) => with_config(&args.config, |c| oneshot::run(purge::purge(&c, args))),
    }
}

/// The conditions of a command, for the pipeline of this configuration.
fn filter(config: &Config, args: &DeadLetterFilter, state: DeadLetterState) -> Filter {
    let now = wall_micros();
    let place = args.partition.as_ref();
    Filter {
        pipeline: config.name.clone(),
        ids: (!args.ids.is_empty()).then(|| args.ids.clone()),
        state: state.stored().map(str::to_owned),
        stage: args.stage.clone(),
        reason: args.reason.clone(),
        since: args.since.map(|m| m.millis(now)),
        until: args.until.map(|m| m.millis(now)),
        topic: args.topic.clone().or_else(|| place.map(|p| p.topic.clone())),
        partition: place.map(|p| p.partition),
        attempts_below: None,
    }
}
