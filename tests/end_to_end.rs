//! The whole program on real Kafka and real PostgreSQL: the log, read back, is compared by SQL with what was stored.

mod support;

#[path = "end_to_end/audit.rs"]
mod audit;
#[path = "end_to_end/fleet.rs"]
mod fleet;
#[path = "end_to_end/score.rs"]
mod score;
#[path = "end_to_end/services.rs"]
mod services;
#[path = "end_to_end/sql.rs"]
mod sql;
#[path = "end_to_end/story.rs"]
mod story;
#[path = "end_to_end/tap.rs"]
mod tap;
#[path = "end_to_end/variety.rs"]
mod variety;
#[path = "end_to_end/watch.rs"]
mod watch;
