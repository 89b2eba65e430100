//! `tidemill dead-letters`: what operators do about records that could not be processed.

mod accept;

use crate::cli::DeadLettersCommand;
use crate::cli::Exit;

pub fn dead_letters(command: &DeadLettersCommand) -> Exit {
    match command {
        DeadLettersCommand::Accept(args) => super::with_config(&args.config, |config| accept::accept(&config, args)),
    }
}
