//! Layer 5: the only place where adapters meet the pipeline.

mod check;
mod claims;
mod connect;
mod dead_letters;
mod demo;
mod horizon;
mod launch;
mod migrate;
mod model;
mod offsets;
mod oneshot;
mod pages;
mod plan;
mod prepare;
mod run;
mod signals;
mod verify;
mod watch;

use crate::cli::CheckArgs;
use crate::cli::Commands;
use crate::cli::ConfigArgs;
use crate::cli::DeadLettersCommand;
use crate::cli::DemoArgs;
use crate::cli::Exit;
use crate::cli::MigrateArgs;
use crate::cli::ModelCommand;
use crate::cli::OffsetsCommand;
use crate::cli::VerifyArgs;
use crate::config::Config;
use crate::config::load;
use crate::config::validate;
use crate::telemetry::logging;

/// The commands, wired to everything.
pub struct App;

impl Commands for App {
    fn model(&self, command: &ModelCommand) -> Exit {
        model::model(command)
    }

    fn dead_letters(&self, command: &DeadLettersCommand) -> Exit {
        dead_letters::dead_letters(command)
    }

    fn offsets(&self, command: &OffsetsCommand) -> Exit {
        offsets::offsets(command)
    }

    fn run(&self, args: &ConfigArgs) -> Exit {
        // Tests of the tests: they start the real program with a bug in it and expect to see it.
        #[cfg(feature = "mutants")]
        if let Ok(name) = std::env::var("TIDEMILL_MUTANT") {
            crate::domain::mutants::plant_everywhere(name);
        }
        with_config(args, |config| with_logging(&config, || run::run(&config)))
    }

    fn check(&self, args: &CheckArgs) -> Exit {
        with_config(&args.config, |config| check::check(&config, args.sample))
    }

    fn migrate(&self, args: &MigrateArgs) -> Exit {
        with_config(&args.config, |config| migrate::migrate(&config, args.dry_run))
    }

    fn verify(&self, args: &VerifyArgs) -> Exit {
        with_config(&args.config, |config| verify::verify(&config, args))
    }

    fn demo(&self, args: &DemoArgs) -> Exit {
        demo::demo(args)
    }
}

/// Loads and validates; what is wrong goes to stderr, all of it.
fn with_config(args: &ConfigArgs, then: impl FnOnce(Config) -> Exit) -> Exit {
    let loaded = load::load::<Config>(&args.config, &args.sets)
        .and_then(|(config, origins)| validate::validate(&config, &origins).map(|()| config));
    match loaded {
        Ok(config) => then(config),
        Err(errors) => {
            eprintln!("{errors}");
            Exit::Configuration
        }
    }
}

fn with_logging(config: &Config, then: impl FnOnce() -> Exit) -> Exit {
    match logging::init(&config.log) {
        Ok(()) => then(),
        Err(error) => {
            eprintln!("{error}");
            Exit::Configuration
        }
    }
}

/// A runtime for what waits: connections, claims, signals. Everything that computes has threads of its own.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("runtime").enable_all().build()
}
