//! The commands in operators' hands, on Apache Kafka and PostgreSQL: positions, dead letters, and losses from outside.

mod support;

#[path = "operate/command.rs"]
mod command;
#[path = "operate/letters.rs"]
mod letters;
#[path = "operate/positions.rs"]
mod positions;
#[path = "daemon/site.rs"]
mod site;
