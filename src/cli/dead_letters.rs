//! Arguments of `tidemill dead-letters`.

use clap::Subcommand;

use super::accept::AcceptArgs;

#[derive(Clone, Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// Accept that records rejected for one cause become dead letters, though they are a flood.
    Accept(AcceptArgs),
}
