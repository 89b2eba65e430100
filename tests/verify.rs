//! `tidemill verify` against Apache Kafka and PostgreSQL: every planted difference is named, and nothing else ever is.

mod support;

#[path = "verify/differences.rs"]
mod differences;
#[path = "verify/live.rs"]
mod live;
#[path = "verify/scopes.rs"]
mod scopes;
#[path = "daemon/site.rs"]
mod site;
#[path = "verify/stage.rs"]
mod stage;
#[path = "verify/volume.rs"]
mod volume;
