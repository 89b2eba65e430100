//! `tidemill model`: what a data scientist does before any Kafka exists.

mod bench;
mod draft;
mod events;
mod init;
mod inspect;
mod lines;
mod ordered;
mod predict;
mod rows;

use std::io;

use tidemill_onnx::engine::EngineName;
use tidemill_onnx::session::Options;

use crate::cli::EngineArgs;
use crate::cli::Exit;
use crate::cli::ModelCommand;

/// A graph with deep subgraphs is read by recursion, within the reader's bounds; the main thread's stack may be small.
const STACK: usize = 256 << 20;

/// Characters of an error; names in a file may have any length.
const LINE: usize = 2000;

/// Runs the command; results go to stdout, what is wrong to stderr.
pub fn model(command: &ModelCommand) -> Exit {
    let command = command.clone();
    let work = move || match &command {
        ModelCommand::Run(args) => rows::run(args),
        ModelCommand::Inspect(args) => inspect::inspect(args),
        ModelCommand::Init(args) => init::init(args),
        ModelCommand::Predict(args) => predict::predict(args),
        ModelCommand::Bench(args) => bench::bench(args),
    };
    let done = std::thread::Builder::new().name("model".into()).stack_size(STACK).spawn(work).map(|t| t.join());
    match done {
        Ok(Ok(Ok(exit))) => exit,
        Ok(Ok(Err(error))) if is_closed_pipe(&error) => Exit::Done,
        Ok(Ok(Err(error))) => {
            eprintln!("{}", line(&error));
            Exit::Configuration
        }
        // a panic has said its place already
        Ok(Err(_)) | Err(_) => {
            eprintln!("the model could not be run: this is a fault of tidemill, please report it with the model");
            Exit::Configuration
        }
    }
}

/// An error with its causes on one line, whatever names a file brought in; a cause that is told already is not repeated.
fn line(error: &anyhow::Error) -> String {
    let mut out = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !out.ends_with(&cause) {
            out.push_str(if out.is_empty() { "" } else { ": " });
            out.push_str(&cause);
        }
    }
    let plain = out.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LINE).collect()
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

fn options(engine: &EngineArgs) -> Options {
    Options {
        engine: if engine.engine == "onnxruntime" { EngineName::Onnxruntime } else { EngineName::Tract },
        library: engine.library.clone(),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn an_error_is_one_line_and_says_a_cause_once() {
        let error: anyhow::Result<()> =
            Err(anyhow::anyhow!("no axis\n5")).context("node `y`: no axis\n5").context("row 1");
        assert_eq!(line(&error.unwrap_err()), "row 1: node `y`: no axis 5");
    }
}
