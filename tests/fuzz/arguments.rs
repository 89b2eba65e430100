//! The command line of the fuzzer; what the test runner passes to every test program is accepted and ignored.

use std::path::PathBuf;

#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// Targets to run; all when empty.
    pub targets: Vec<String>,
    /// Time of a target; without it a bounded number of executions.
    pub seconds: Option<u64>,
    pub seed: Option<u64>,
    /// One input to repeat.
    pub input: Option<PathBuf>,
    /// Keep inputs with new outcomes.
    pub save: bool,
    /// This process is the one that runs this target.
    pub child: Option<String>,
    /// Where the child writes each input before it is tried.
    pub current: Option<PathBuf>,
    pub list: bool,
}

impl Arguments {
    pub fn parse(given: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments::default();
        let mut given = given;
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or(format!("{argument} needs a value"));
            let number = |text: String| text.parse().map_err(|_| format!("{text} is not a number"));
            match argument.as_str() {
                "--target" => {
                    arguments.targets.extend(value()?.split(',').filter(|t| !t.is_empty()).map(str::to_owned))
                }
                "--seconds" => arguments.seconds = Some(number(value()?)?),
                "--seed" => arguments.seed = Some(number(value()?)?),
                "--input" => arguments.input = Some(value()?.into()),
                "--save" => arguments.save = true,
                "--child" => arguments.child = Some(value()?),
                "--current" => arguments.current = Some(value()?.into()),
                "--list" => arguments.list = true,
                // A filter, as `cargo test NAME` passes it to every test program.
                name if !name.starts_with('-') => arguments.targets.push(name.to_owned()),
                _ => {}
            }
        }
        Ok(arguments)
    }
}
