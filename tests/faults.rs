//! One fault at a time against the real program, Apache Kafka and PostgreSQL: what lies in the tables afterwards is compared with
//! what Kafka took. `docs/faults.md` says which test shows which fault. Those of a minute are run by `make faults`.

mod support;

#[path = "faults/database.rs"]
mod database;
#[path = "faults/group.rs"]
mod group;
#[path = "faults/load.rs"]
mod load;
#[path = "faults/members.rs"]
mod members;
#[path = "faults/model.rs"]
mod model;
#[path = "faults/outage.rs"]
mod outage;
#[path = "faults/poison.rs"]
mod poison;
#[path = "faults/process.rs"]
mod process;
#[path = "faults/server.rs"]
mod server;
#[path = "daemon/site.rs"]
mod site;
#[path = "faults/stopping.rs"]
mod stopping;
#[path = "faults/wire.rs"]
mod wire;
