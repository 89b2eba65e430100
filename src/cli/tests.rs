use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory;

use super::args::Moment;
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
    let Ok(Command::Verify(verify)) = parse("tidemill verify --topic t --partition 3 --since 2h --windows 5") else {
        panic!("verify")
    };
    assert_eq!((verify.topic.as_deref(), verify.partition, verify.windows), (Some("t"), Some(3), Some(5)));
    assert_eq!(verify.since, Some(Moment::Ago(Duration::from_secs(7_200))));
    assert!(matches!(parse("tidemill migrate --dry-run"), Ok(Command::Migrate(m)) if m.dry_run));
    let line = "tidemill dead-letters list --partition a:b:3 --since 2d --until 1970-01-01T00:00:01Z --id 1,2";
    let Ok(Command::DeadLetters(DeadLettersCommand::List(list))) = parse(line) else { panic!("dead-letters") };
    assert_eq!(list.filter.partition, Some(Place { topic: "a:b".to_owned(), partition: 3 }));
    assert_eq!(list.filter.since.map(|m| m.millis(172_800_007_000)), Some(7));
    assert_eq!((list.filter.until, list.filter.ids), (Some(Moment::At(1000)), vec![1, 2]));
    let line = "tidemill offsets set --partition a:3 --to 2026-01-31T08:00:00Z --expect 7 --reason x";
    let Ok(Command::Offsets(OffsetsCommand::Set(set))) = parse(line) else { panic!("offsets set") };
    assert!(matches!(set.to, Target::Find(_)) && set.expect == Some(7) && !set.change.yes);
    let line = "tidemill offsets skip --all-partitions --lost --reason x --yes";
    assert!(matches!(parse(line), Ok(Command::Offsets(OffsetsCommand::Skip(s))) if s.lost && s.change.yes));
    assert!(matches!(parse("tidemill config schema"), Ok(Command::Config(ConfigCommand::Schema))));
    assert!(matches!(parse("tidemill version"), Ok(Command::Version)));
}

#[test]
fn wrong_usage_exits_with_the_code_of_a_wrong_configuration() {
    for line in [
        "tidemill runn",
        "tidemill demo --duration 5parsecs",
        "tidemill check --sample 0",
        "tidemill dead-letters list --partition payments",
        "tidemill dead-letters list --partition payments:-1",
        "tidemill dead-letters list --since yesterday",
        "tidemill dead-letters show",
        "tidemill dead-letters replay --rate 0",
        "tidemill dead-letters purge --all",
        "tidemill dead-letters purge --older-than 30d --until 3d --because x",
        "tidemill offsets set --partition a:3 --to 5",
        "tidemill offsets set --to 5 --reason x",
        "tidemill offsets set --partition a:3 --all-partitions --to 5 --reason x",
        "tidemill offsets set --all-partitions --to 5 --reason x --expect 4",
        "tidemill offsets set --partition a:3 --to -5 --reason x",
        "tidemill offsets set --partition a:3 --to 5 --reason x --delete-rows --allow-repeat",
        "tidemill offsets skip --partition a:3 --reason x",
    ] {
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
    fn verify(&self, _: &VerifyArgs) -> Exit {
        Exit::Signal(6)
    }
    fn offsets(&self, _: &OffsetsCommand) -> Exit {
        Exit::Signal(8)
    }
    fn dead_letters(&self, _: &DeadLettersCommand) -> Exit {
        Exit::Signal(7)
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
        ("tidemill verify --json", Exit::Signal(6)),
        ("tidemill dead-letters accept --cause decode/bad_json --for 1h", Exit::Signal(7)),
        ("tidemill dead-letters show 7", Exit::Signal(7)),
        ("tidemill offsets show --json", Exit::Signal(8)),
        ("tidemill config show -c /nonexistent.toml", Exit::Configuration),
        ("tidemill version", Exit::Done),
    ] {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(cli.dispatch(&Fake), exit, "{line}");
    }
}

#[test]
fn exit_codes_are_those_of_the_documentation() {
    let all =
        [Exit::Done, Exit::Differences, Exit::Configuration, Exit::DrainExpired, Exit::CannotGoOn, Exit::Signal(15)];
    assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 143]);
}
