//! The command line: its shape and its exit codes. What a command does is passed in by `main`, which knows all parts.

mod accept;
mod args;
mod dead_letters;
mod exit;
mod model;
mod offsets;
#[cfg(test)]
mod tests;
mod verify;

use std::io::Write;

use clap::Parser;
use clap::Subcommand;

pub use self::accept::AcceptArgs;
pub use self::args::CheckArgs;
pub use self::args::ConfigArgs;
pub use self::args::DemoArgs;
pub use self::args::MigrateArgs;
pub use self::args::Moment;
pub use self::args::Place;
pub use self::dead_letters::DeadLetterFilter;
pub use self::dead_letters::DeadLetterState;
pub use self::dead_letters::DeadLettersCommand;
pub use self::dead_letters::DeadLettersListArgs;
pub use self::dead_letters::DeadLettersPurgeArgs;
pub use self::dead_letters::DeadLettersReplayArgs;
pub use self::dead_letters::DeadLettersShowArgs;
pub use self::exit::Exit;
pub use self::model::EngineArgs;
pub use self::model::ModelBenchArgs;
pub use self::model::ModelCommand;
pub use self::model::ModelInitArgs;
pub use self::model::ModelInspectArgs;
pub use self::model::ModelPredictArgs;
pub use self::model::ModelRunArgs;
pub use self::offsets::ChangeArgs;
pub use self::offsets::OffsetsAdoptArgs;
pub use self::offsets::OffsetsCommand;
pub use self::offsets::OffsetsSetArgs;
pub use self::offsets::OffsetsShowArgs;
pub use self::offsets::OffsetsSkipArgs;
pub use self::offsets::Partitions;
pub use self::offsets::Target;
pub use self::verify::VerifyArgs;
use crate::config::Config;
use crate::config::load;
use crate::config::schema;
use crate::config::show;

/// Scores a Kafka topic with an ONNX model and stores the result in Postgres, exactly once in effect.
#[derive(Clone, Debug, Parser)]
#[command(name = "tidemill", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done or drained, 1 verify found differences or dead letters failed again, 2 configuration, \
    3 drain budget passed, 4 cannot go on, 128+n second signal n.";

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the pipeline until SIGTERM or Ctrl-C, then drain.
    Run(ConfigArgs),
    /// Check configuration, model, golden records, table and topics; say everything that is wrong at once.
    Check(CheckArgs),
    /// Make or extend the tables.
    Migrate(MigrateArgs),
    /// Compare what is stored with the log, record by record; on a live system too, read-only.
    Verify(VerifyArgs),
    /// Run the whole pipeline against a broker in this process and a throwaway Postgres.
    Demo(DemoArgs),
    /// Look at a model, try it, measure it: no Kafka and no Postgres needed.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Look at the records that could not be processed, and do something about them: no Kafka needed.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Look at the positions of partitions and set them by hand; every change is on record.
    #[command(subcommand)]
    Offsets(OffsetsCommand),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the version and what this build can do.
    Version,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the effective configuration with the origin of every key; secrets are ***.
    Show(ConfigArgs),
    /// Print the JSON Schema of the configuration.
    Schema,
}

/// The commands that need adapters. `app` fills them.
pub trait Commands {
    fn model(&self, command: &ModelCommand) -> Exit;
    fn dead_letters(&self, command: &DeadLettersCommand) -> Exit;
    fn offsets(&self, command: &OffsetsCommand) -> Exit;
    fn run(&self, args: &ConfigArgs) -> Exit;
    fn check(&self, args: &CheckArgs) -> Exit;
    fn migrate(&self, args: &MigrateArgs) -> Exit;
    fn verify(&self, args: &VerifyArgs) -> Exit;
    fn demo(&self, args: &DemoArgs) -> Exit;
}

impl Cli {
    /// Runs the command. Results go to stdout, what is wrong to stderr.
    pub fn dispatch(self, commands: &impl Commands) -> Exit {
        match self.command {
            Command::Run(args) => commands.run(&args),
            Command::Check(args) => commands.check(&args),
            Command::Migrate(args) => commands.migrate(&args),
            Command::Verify(args) => commands.verify(&args),
            Command::Demo(args) => commands.demo(&args),
            Command::Model(command) => commands.model(&command),
            Command::DeadLetters(command) => commands.dead_letters(&command),
            Command::Offsets(command) => commands.offsets(&command),
            Command::Config(ConfigCommand::Show(args)) => show_config(&args),
            Command::Config(ConfigCommand::Schema) => print(&schema::of::<Config>()),
            Command::Version => print(concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"), "\n")),
        }
    }
}

fn show_config(args: &ConfigArgs) -> Exit {
    let shown = load::load::<Config>(&args.config, &args.sets)
        .map_err(|e| e.to_string())
        .and_then(|(config, origins)| show::render(&config, &origins).map_err(|e| e.to_string()));
    match shown {
        Ok(text) => print(&text),
        Err(message) => {
            eprintln!("{message}");
            Exit::Configuration
        }
    }
}

/// Writes a result; a reader that went away (`| head`) is no failure.
fn print(text: &str) -> Exit {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Exit::CannotGoOn,
        _ => Exit::Done,
    }
}
