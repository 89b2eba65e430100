//! The real program against Apache Kafka and PostgreSQL, disturbed from outside. Tests are named after the promises and
//! rules that they hold it to; all of them compare what lies in the tables with what Kafka took.

mod support;

#[path = "daemon/away.rs"]
mod away;
#[cfg(feature = "failpoints")]
#[path = "daemon/failpoints.rs"]
mod failpoints;
#[path = "daemon/fence.rs"]
mod fence;
#[path = "daemon/judge.rs"]
mod judge;
#[cfg(feature = "mutants")]
#[path = "daemon/mutants.rs"]
mod mutants;
#[path = "daemon/position.rs"]
mod position;
#[path = "daemon/rewind.rs"]
mod rewind;
#[path = "daemon/site.rs"]
mod site;
#[path = "daemon/stop.rs"]
mod stop;
