//! Three processes over real brokers and a real database, disturbed by a seeded schedule, and an oracle that compares the log
//! with the tables. `make chaos` runs a long round; docs/chaos.md says how to read it.
#![cfg(feature = "failpoints")]

mod support;

#[path = "chaos/bench.rs"]
mod bench;
#[path = "chaos/db.rs"]
mod db;
#[path = "chaos/event.rs"]
mod event;
#[path = "chaos/fault.rs"]
mod fault;
#[path = "chaos/journal.rs"]
mod journal;
#[path = "chaos/kafka_faults.rs"]
mod kafka_faults;
#[path = "chaos/load.rs"]
mod load;
#[path = "chaos/log.rs"]
mod log;
#[path = "chaos/members.rs"]
mod members;
#[path = "chaos/model.rs"]
mod model;
#[path = "chaos/oracle.rs"]
mod oracle;
#[path = "chaos/postgres_faults.rs"]
mod postgres_faults;
#[path = "chaos/process_faults.rs"]
mod process_faults;
#[path = "chaos/report.rs"]
mod report;
#[path = "chaos/round.rs"]
mod round;
#[path = "chaos/sampler.rs"]
mod sampler;
#[path = "chaos/schedule.rs"]
mod schedule;
#[path = "chaos/scrape.rs"]
mod scrape;
#[path = "chaos/secrets.rs"]
mod secrets;
#[path = "chaos/servers.rs"]
mod servers;

use std::time::Duration;

use fault::Fault;
use fault::Track;
use report::Targets;
use report::Verdict;
use round::Plan;

/// Records in ten minutes: at least 2 million.
const PER_SECOND: u64 = 3_600;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not `{text}`")))
}

/// The short round of `make test`, or what `make chaos` asks for.
fn plan() -> Plan {
    let seed = number("CHAOS_SEED").unwrap_or(1);
    let Some(seconds) = number("CHAOS_SECONDS") else {
        return Plan {
            seed,
            length: Duration::from_secs(25),
            brokers: 3,
            standby: false,
            backlog: 60_000,
            rate: 1_000,
            gaps: [(Track::Process, 4.0), (Track::Postgres, 3.0), (Track::Kafka, 9.0)],
            targets: Targets { faults: 5, kinds: 5, records: 60_000, all: false },
            lines: true,
        };
    };
    let records = PER_SECOND * seconds;
    let long = seconds >= 300;
    Plan {
        seed,
        length: Duration::from_secs(seconds),
        brokers: 3,
        standby: true,
        backlog: records / 4,
        rate: PER_SECOND * 3 / 4,
        gaps: [(Track::Process, 8.0), (Track::Postgres, 8.0), (Track::Kafka, 15.0)],
        targets: Targets {
            faults: (seconds / 6) as usize,
            kinds: if long { 20 } else { 10 },
            records: records * 9 / 10,
            all: long,
        },
        lines: true,
    }
}

#[test]
fn the_same_seed_gives_the_same_schedule() {
    let plan = Plan { length: Duration::from_secs(600), ..plan() };
    let other = Plan { seed: plan.seed + 1, ..plan };
    assert_eq!(plan.schedule(), plan.schedule());
    assert_ne!(plan.schedule().digest(), other.schedule().digest());
    let kinds: std::collections::BTreeSet<Fault> = plan.schedule().faults.iter().map(|p| p.fault).collect();
    assert_eq!(kinds.len(), Fault::ALL.len(), "a long round has every kind");
}

#[test]
fn a_round_of_chaos_keeps_every_promise() {
    let plan = plan();
    println!("{}", plan.schedule());
    let report = round::run(&plan);
    let file = report.save();
    println!("\n{}\nwritten to {}", report.text, file.display());
    // With a bug planted in the processes, the oracle is what is tried.
    let wanted = if std::env::var_os("CHAOS_MUTANT").is_some() { Verdict::Fail } else { Verdict::Pass };
    assert_eq!(report.verdict, wanted, "see the report above");
}
