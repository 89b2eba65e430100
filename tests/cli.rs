//! The real program from the outside: what it prints, what it changes and how it exits.

mod support;

#[path = "cli/check.rs"]
mod check;
#[path = "cli/configuration.rs"]
mod configuration;
#[path = "cli/model.rs"]
mod model;
#[path = "cli/sample.rs"]
mod sample;
#[path = "cli/tables.rs"]
mod tables;
#[path = "cli/world.rs"]
mod world;
