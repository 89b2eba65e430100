//! One round: load, faults by a schedule, healing, and the looking back.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::bench::Bench;
use crate::bench::PARTITIONS;
use crate::bench::TOPIC;
use crate::fault::Track;
use crate::journal::Journal;
use crate::kafka_faults::Brokers;
use crate::load::Load;
use crate::log::Log;
use crate::members::Members;
use crate::oracle;
use crate::postgres_faults::Databases;
use crate::process_faults::Processes;
use crate::report::Report;
use crate::report::Targets;
use crate::report::Witness;
use crate::sampler::Sampler;
use crate::schedule::Detail;
use crate::schedule::Planned;
use crate::schedule::Schedule;
use crate::support::relay::Relay;

/// Processes that always run, and slots for those that come and go.
const STEADY: usize = 3;
const SLOTS: usize = 5;
/// Longest wait for the whole log to be done after the last fault is healed (V9).
const CATCH_UP: Duration = Duration::from_secs(120);

/// How large a round is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub length: Duration,
    pub brokers: usize,
    /// Whether a standby follows the database, and may take over.
    pub standby: bool,
    pub backlog: u64,
    /// Records a second beside the backlog.
    pub rate: u64,
    /// Mean seconds between two faults of a track.
    pub gaps: [(Track, f64); 3],
    pub targets: Targets,
    /// Print what happens while it happens.
    pub lines: bool,
}

impl Plan {
    pub fn schedule(&self) -> Schedule {
        Schedule::new(self.seed, self.length, self.gaps)
    }
}

/// Everything that disturbs.
struct Nemesis {
    processes: Processes,
    databases: Databases,
    brokers: Brokers,
    journal: Arc<Journal>,
}

impl Nemesis {
    /// Carries out the faults of one track, one after the other; what comes too late is left out.
    fn run(&self, track: Track, planned: &[Planned], begun: Instant, length: Duration) {
        for p in planned {
            if begun.elapsed() > length {
                return;
            }
            thread::sleep(p.at.saturating_sub(begun.elapsed()));
            let entry = self.journal.begin(p.fault);
            let mut detail = Detail::new(p.pick);
            let cause = || match track {
                Track::Process => self.processes.cause(p.fault, &mut detail),
                Track::Postgres => self.databases.cause(p.fault, &mut detail),
                Track::Kafka => self.brokers.cause(p.fault, &mut detail),
            };
            let outcome = catch_unwind(AssertUnwindSafe(cause));
            self.journal.end(entry, outcome.unwrap_or_else(|_| Err("the fault itself failed; see above".to_owned())));
        }
    }
}

pub fn run(plan: &Plan) -> Report {
    let (schedule, began) = (plan.schedule(), Instant::now());
    let bench = Arc::new(Bench::start(plan.brokers, SLOTS));
    bench.migrate();
    if plan.standby {
        bench.servers.follow();
    }
    let mut load = Load::new(bench.kafka.bootstrap(), TOPIC, plan.seed);
    load.backlog(plan.backlog);
    let journal = Arc::new(Journal::new(plan.lines));
    journal.note(&format!("{} records wait, after {:.1?}", plan.backlog, began.elapsed()));
    let members = Members::new(bench.clone(), journal.clone(), STEADY);
    let supervisor = members.supervise();
    let sampler = Arc::new(Sampler::start(bench.clone(), journal.clone()));
    load.steady(plan.rate);
    let nemesis = Nemesis {
        processes: Processes { members: members.clone(), sampler: sampler.clone(), steady: STEADY },
        databases: Databases { bench: bench.clone(), journal: journal.clone() },
        brokers: Brokers { bench: bench.clone(), nodes: plan.brokers, partitions: AtomicI32::new(PARTITIONS) },
        journal: journal.clone(),
    };
    let begun = Instant::now();
    thread::scope(|scope| {
        for (track, _) in plan.gaps {
            let (nemesis, planned) = (&nemesis, schedule.of(track));
            scope.spawn(move || nemesis.run(track, &planned, begun, plan.length));
        }
    });
    thread::sleep(plan.length.saturating_sub(begun.elapsed()));
    bench.proxies.iter().for_each(|proxy| {
        proxy.disarm();
        heal(proxy);
    });
    bench.detour.disarm();
    bench.detour.each(heal);
    load.stop();
    let produced = load.sent.load(SeqCst);
    journal.note(&format!("healed; {produced} records were produced, {} of them aborted", load.aborted.load(SeqCst)));
    let caught_up = catch_up(&bench, &members, &journal);
    members.end();
    supervisor.join().expect("the supervisor does not panic");
    drop(nemesis);
    let seen = Arc::into_inner(sampler).expect("nobody disturbs any more").end();
    journal.note("reading the log back");
    let log = Log::read(&bench.kafka, TOPIC);
    journal.note(&format!("{} records are in the log; asking the tables", log.records));
    let tables = bench.db(Duration::from_secs(180)).and_then(|db| oracle::tables(&db, &log));
    let (lives, acks, rewinds, lost) = (members.lives(), load.acks.take(), journal.rewinds(), journal.lost());
    let witness = Witness { schedule, seen, lives, log, acks, caught_up, produced, rewinds, lost };
    Report::new(plan, &journal, witness, tables)
}

fn heal(way: &Relay) {
    way.thaw();
    way.accept();
    way.set_delay(Duration::ZERO);
}

/// Waits until every mark is at its end and everybody is ready; how long that took (V9).
fn catch_up(bench: &Bench, members: &Members, journal: &Journal) -> Option<Duration> {
    let (begun, mut behind) = (Instant::now(), String::new());
    while begun.elapsed() < CATCH_UP {
        thread::sleep(Duration::from_millis(250));
        let ends = bench.kafka.end_offsets(TOPIC);
        let Ok(db) = bench.db(Duration::from_secs(5)) else { continue };
        let Ok(rows) = db.query("SELECT partition, next_offset FROM tidemill.progress", &[]) else { continue };
        let marks: std::collections::BTreeMap<i32, i64> = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
        let unready = members.unready();
        if marks == ends && unready.is_empty() {
            let took = begun.elapsed();
            journal.note(&format!("caught up {:.1} s after the last fault", took.as_secs_f64()));
            return Some(took);
        }
        behind = format!("marks {marks:?}, ends {ends:?}, {}", unready.join("; "));
    }
    journal.wrong(format!("V9: not done {CATCH_UP:?} after the last fault: {behind}"));
    None
}
