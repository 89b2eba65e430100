//! Fuzzing on a stable compiler: seeded mutations of a committed corpus, each target in a process of its own with limited
//! memory, each input on a thread with a small stack and a deadline.
//!
//! Without arguments every target runs for a bounded number of executions. `--seconds N --target NAME --seed N` runs longer,
//! `--input FILE` repeats one input, `--save` keeps inputs with new outcomes in `tests/fuzz/corpus/TARGET`.

mod arguments;
mod corpus;
mod engine;
mod mutate;
mod overseer;
mod random;
mod targets;

use std::process::ExitCode;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    match &arguments.child {
        Some(name) => engine::child(name, &arguments),
        None => overseer::oversee(&arguments),
    }
}
