//! The command line: its shape and its exit codes. What a command does is passed in by `main`, which knows all parts.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::Parser;
use clap::Subcommand;

use crate::config::Config;
use crate::config::load;
use crate::config::schema;
use crate::config::show;
use crate::domain::units::Millis;

/// How the process ends. Scripts, charts and alerts may rely on these numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done, or drained: nothing will be read again.
    Done,
    /// The configuration, the model or the table is wrong; a restart does not help. Also wrong usage.
    Configuration,
    /// The drain budget passed: what was in flight will be read again.
    DrainExpired,
    /// The process cannot go on (fatal client error, broken invariant).
    CannotGoOn,
    /// A second signal of this number ended the drain at once.
    Signal(u8),
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Configuration => 2,
            Exit::DrainExpired => 3,
            Exit::CannotGoOn => 4,
            Exit::Signal(n) => n.saturating_add(128),
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> std::process::ExitCode {
        exit.code().into()
    }
}

/// Scores a Kafka topic with an ONNX model and stores the result in Postgres, exactly once in effect.
#[derive(Clone, Debug, Parser)]
#[command(name = "tidemill", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done or drained, 2 configuration, 3 drain budget passed, 4 cannot go on, \
    128+n second signal n.";

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the pipeline until SIGTERM or Ctrl-C, then drain.
    Run(ConfigArgs),
    /// Check configuration, model, golden records, table and topics; say everything that is wrong at once.
    Check(CheckArgs),
    /// Make or extend the tables.
    Migrate(MigrateArgs),
    /// Run the whole pipeline against a broker in this process and a throwaway Postgres.
    Demo(DemoArgs),
    /// Look at a model, try it, measure it: no Kafka and no Postgres needed.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the version and what this build can do.
    Version,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// The configuration file: TOML, or JSON when its name ends in .json.
    #[arg(short, long, value_name = "FILE", default_value = "tidemill.toml")]
    pub config: PathBuf,
    /// Set one key, over the file: --set log.level=debug. May be given several times; the last wins.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Also read the newest N records, without joining a group, and say what would become of them and why.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sample: Option<u32>,
}

#[derive(Clone, Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print the statements instead of running them.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Payments a second that the generator makes.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// Stop by itself after this time, such as 20s; without it the demo runs until Ctrl-C.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Use this database instead of a throwaway cluster, such as postgres://user@localhost/demo.
    #[arg(long, value_name = "URL")]
    pub postgres_url: Option<String>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ModelCommand {
    /// Score rows with a bare ONNX file: JSON lines in, JSON lines out.
    Run(ModelRunArgs),
    /// Say what a model takes and makes, its operators, memory, and what is missing.
    Inspect(ModelInspectArgs),
    /// Write a first bundle for an ONNX file and some events: model.toml from its inputs and outputs, and golden records.
    Init(ModelInitArgs),
    /// Send events through a bundle, as the daemon would: JSON lines in, the columns of each as JSON lines out.
    Predict(ModelPredictArgs),
    /// Measure a bundle: rows a second of one thread by batch size, the best batch, memory.
    Bench(ModelBenchArgs),
}

#[derive(Clone, Debug, Args)]
pub struct ModelInitArgs {
    /// The model file; its external data must lie beside it.
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// File of events, one JSON object a line, of the kind that the topic holds; - is the standard input.
    #[arg(long, value_name = "FILE")]
    pub events: PathBuf,
    /// Folder to write; it must not exist yet.
    #[arg(long, value_name = "FOLDER", default_value = "bundle")]
    pub out: PathBuf,
    /// Name of the model in every stored row; left out, the file's name.
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Clone, Debug, Args)]
pub struct ModelPredictArgs {
    /// Folder of the bundle.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// File of events, one JSON object a line; - is the standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub events: PathBuf,
    /// Events that are scored at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: u32,
}

#[derive(Clone, Debug, Args)]
pub struct ModelBenchArgs {
    /// Folder of the bundle.
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// File of recorded events, one a line; left out, those of the golden records.
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Time for each batch size.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    pub time: Duration,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ModelInspectArgs {
    /// The model file, or the folder of a bundle.
    #[arg(value_name = "MODEL.onnx|BUNDLE")]
    pub model: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Each input line is an object from graph-input name to that row's value without the batch axis (number, boolean, text or
/// nested array; NaN and infinities as "NaN", "Infinity", "-Infinity"); each output line the same for graph outputs.
#[derive(Clone, Debug, Args)]
pub struct ModelRunArgs {
    /// The model file; its external data must lie beside it.
    #[arg(value_name = "MODEL.onnx")]
    pub model: PathBuf,
    /// File of rows; - is the standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub rows: PathBuf,
    /// Rows that are scored at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: u32,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Which library computes.
#[derive(Clone, Debug, Args)]
pub struct EngineArgs {
    /// tract (with kernels of our own), or onnxruntime in a build that has it.
    #[arg(long, value_name = "ENGINE", default_value = "tract", value_parser = ["tract", "onnxruntime"])]
    pub engine: String,
    /// The onnxruntime library, if not named by ORT_DYLIB_PATH.
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
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
    fn run(&self, args: &ConfigArgs) -> Exit;
    fn check(&self, args: &CheckArgs) -> Exit;
    fn migrate(&self, args: &MigrateArgs) -> Exit;
    fn demo(&self, args: &DemoArgs) -> Exit;
}

impl Cli {
    /// Runs the command. Results go to stdout, what is wrong to stderr.
    pub fn dispatch(self, commands: &impl Commands) -> Exit {
        match self.command {
            Command::Run(args) => commands.run(&args),
            Command::Check(args) => commands.check(&args),
            Command::Migrate(args) => commands.migrate(&args),
            Command::Demo(args) => commands.demo(&args),
            Command::Model(command) => commands.model(&command),
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

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<Millis, serde::de::value::Error> =
        serde::Deserialize::deserialize(serde::de::value::StrDeserializer::new(text));
    parsed.map(Millis::duration).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_parse_as_documented() {
        let Ok(Command::Run(run)) = parse("tidemill run -c a.toml --set x.y=1 --set z=2") else { panic!("run") };
        assert_eq!((run.config, run.sets), (PathBuf::from("a.toml"), vec!["x.y=1".to_owned(), "z=2".to_owned()]));
        let Ok(Command::Check(check)) = parse("tidemill check --sample 200") else { panic!("check") };
        assert_eq!((check.config.config, check.sample), (PathBuf::from("tidemill.toml"), Some(200)));
        let Ok(Command::Demo(demo)) = parse("tidemill demo --duration 20s") else { panic!("demo") };
        assert_eq!((demo.rate, demo.duration), (2_000, Some(Duration::from_secs(20))));
        assert!(matches!(parse("tidemill migrate --dry-run"), Ok(Command::Migrate(m)) if m.dry_run));
        assert!(matches!(parse("tidemill config schema"), Ok(Command::Config(ConfigCommand::Schema))));
        assert!(matches!(parse("tidemill version"), Ok(Command::Version)));
    }

    #[test]
    fn wrong_usage_exits_with_the_code_of_a_wrong_configuration() {
        for line in ["tidemill runn", "tidemill demo --duration 5parsecs", "tidemill check --sample 0"] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), i32::from(Exit::Configuration.code()), "{line}");
        }
    }

    /// Answers each command with an exit of its own.
    struct Fake;

    impl Commands for Fake {
        fn run(&self, _: &ConfigArgs) -> Exit {
            Exit::Signal(1)
        }
        fn check(&self, _: &CheckArgs) -> Exit {
            Exit::Signal(2)
        }
        fn migrate(&self, _: &MigrateArgs) -> Exit {
            Exit::Signal(3)
        }
        fn demo(&self, _: &DemoArgs) -> Exit {
            Exit::Signal(4)
        }
        fn model(&self, _: &ModelCommand) -> Exit {
            Exit::Signal(5)
        }
    }

    #[test]
    fn every_command_is_answered_by_its_own() {
        for (line, exit) in [
            ("tidemill run", Exit::Signal(1)),
            ("tidemill check", Exit::Signal(2)),
            ("tidemill migrate", Exit::Signal(3)),
            ("tidemill demo", Exit::Signal(4)),
            ("tidemill model run m.onnx --rows -", Exit::Signal(5)),
            ("tidemill config show -c /nonexistent.toml", Exit::Configuration),
            ("tidemill version", Exit::Done),
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.dispatch(&Fake), exit, "{line}");
        }
    }

    #[test]
    fn exit_codes_are_those_of_the_documentation() {
        let all = [Exit::Done, Exit::Configuration, Exit::DrainExpired, Exit::CannotGoOn, Exit::Signal(15)];
        assert_eq!(all.map(Exit::code), [0, 2, 3, 4, 143]);
    }
}
