//! 200,000 payments, and processes that join, leave, die and stand still meanwhile (promises P1 to P4, P6, P7, P9).

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tidemill::adapters::formats;

use crate::audit;
use crate::fleet::Fleet;
use crate::fleet::PATIENCE;
use crate::fleet::Process;
use crate::score;
use crate::services;
use crate::sql::Sql;
use crate::support::kafka::Kafka;
use crate::support::produce;
use crate::support::produce::Load;
use crate::support::signal::Signal;
use crate::support::wait::until;
use crate::tap::Tap;
use crate::watch::Subject;
use crate::watch::Watch;

const RECORDS: u64 = 200_000;
const PARTITIONS: i32 = 12;
const SESSION: &str = "6s";
/// Payments a second between bursts.
const STEADY: f64 = 800.0;
const BURST: u64 = 25_000;

struct Story {
    kafka: &'static Kafka,
    topic: String,
    fleet: Fleet,
    watch: Watch,
    tap: Tap,
    sql: Sql,
    source: i16,
    begun: Instant,
}

#[test]
fn every_payment_is_one_row_or_one_dead_letter_whatever_happens_to_the_processes() {
    let _alone = services::alone();
    let mut story = Story::begin();
    let (mut a, mut b) = (story.start("a"), story.start("b"));
    a.wait_for_lanes(6);
    b.wait_for_lanes(6);
    story.source = story.sql.one("SELECT id FROM tidemill.source WHERE pipeline = 'story'", &[]);
    story.note("two processes share the partitions");

    story.tap.burst(BURST, STEADY);
    let mut c = story.start("c");
    c.wait_for_lanes(4);
    story.note("a third has joined");

    let taken_by_a = story.terminate(&mut a);
    story.nothing_was_read_twice(&[&b, &c], taken_by_a);
    let mut d = story.start("d");
    d.wait_for_lanes(4);

    story.kill(b);
    let mut e = story.start("e");
    e.wait_for_lanes(3);
    story.note("killed and replaced");

    story.usurp(&d);
    story.freeze_and_thaw(&mut c);
    story.end(vec![c, d, e]);
}

impl Story {
    fn begin() -> Story {
        let begun = Instant::now();
        let (kafka, postgres) = services::start();
        let database = postgres.url(&postgres.create_database());
        let (topic, pipeline) = (Kafka::unique("payments"), "story");
        kafka.create_topic(&topic, PARTITIONS, 1);
        let mut fleet = Fleet::new(pipeline, kafka.bootstrap(), &database, &[&topic]);
        for set in ["kafka.heartbeat_interval=500ms", "kafka.commit_interval=250ms", "log.level=info"] {
            fleet.set(set);
        }
        fleet.set(&format!("kafka.session_timeout={SESSION}"));
        // A process that stands still inside a transaction holds its partitions no longer than this (rule W8).
        fleet.set("postgres.statement_timeout=3s");
        fleet.set("postgres.idle_in_transaction_timeout=3s");
        fleet.set("postgres.lock_timeout=2s");
        fleet.set("shutdown.revoke=3s");
        fleet.migrate();
        let tap = Tap::new(kafka.bootstrap(), &topic, Load { records: RECORDS, seed: 20, poisoned: 0.01 });
        // There is a backlog when the first process comes.
        tap.burst(BURST, STEADY);
        let watch = Watch::start(Subject {
            brokers: kafka.bootstrap().into(),
            database: database.clone(),
            topic: topic.clone(),
            partitions: PARTITIONS,
            pipeline: pipeline.into(),
            table: format!("public.{pipeline}"),
        });
        let sql = Sql::connect(&database);
        Story { kafka, topic, fleet, watch, tap, sql, source: 0, begun }
    }

    fn note(&self, what: &str) {
        println!("{:6.2} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    fn start(&mut self, name: &str) -> Process {
        let mut process = self.fleet.start(name);
        process.daemon.wait_until_ready(PATIENCE);
        self.watch.add(name, process.ops);
        process
    }

    /// Partition, mark and owner of every progress row.
    fn progress(&self) -> BTreeMap<i32, (i64, Option<String>)> {
        let question =
            "SELECT partition, next_offset, replace(owner::text, '-', '') FROM tidemill.progress WHERE source = $1";
        let rows = self.sql.query(question, &[&self.source]);
        rows.into_iter().map(|r| (r.get(0), (r.get(1), r.get(2)))).collect()
    }

    /// Waits, in bursts, until a process has taken so much that it has not stored yet.
    fn burst_until_busy(&mut self, process: &Process, wanted: u64) -> u64 {
        for _ in 0..4 {
            self.tap.burst(BURST / 2, STEADY);
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(1) {
                let in_flight = process.in_flight();
                if in_flight >= wanted {
                    return in_flight;
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        panic!("{} never has {wanted} records in flight", process.name);
    }

    /// SIGTERM: it drains, says so, exits with 0, and nothing of it will be read again. The answer is what it had taken.
    fn terminate(&mut self, process: &mut Process) -> u64 {
        let in_flight = self.burst_until_busy(process, 500);
        self.watch.remove(&process.name);
        let begun = Instant::now();
        process.daemon.signal(Signal::Term);
        let status = process.daemon.wait(PATIENCE);
        let took = begun.elapsed();
        assert_eq!(status.code(), Some(0), "{}", process.daemon.log());
        assert!(took < Duration::from_secs(10), "a drain took {took:?}");
        assert_eq!(process.said("counts")[0]["handed_back"], 0, "{}", process.daemon.log());
        let taken = drained(process);
        let owner = process.owner();
        let owned = self.progress().values().filter(|(_, o)| o.as_ref() == Some(&owner)).count();
        assert_eq!(owned, 0, "{} left without releasing its partitions", process.name);
        self.note(&format!("SIGTERM with {in_flight} in flight: drained, exit 0 after {} ms", took.as_millis()));
        taken
    }

    /// Lets the pipeline run dry: then what all processes have taken is exactly what is in the log, if nothing was read twice.
    fn nothing_was_read_twice(&mut self, running: &[&Process], taken_before: u64) {
        let sent = self.tap.close();
        until("the backlog to be stored", PATIENCE, || {
            let marks: i64 = self.progress().values().map(|(next, _)| next).sum();
            (marks == sent as i64).then_some(())
        });
        let sum = |metric: &str| running.iter().map(|p| p.count(metric)).sum::<u64>();
        let taken = || sum("tidemill_intake_taken_records_total") + taken_before;
        until("the counters to say the same", PATIENCE, || (taken() >= sent).then_some(()));
        // What is published lags by some milliseconds; anything taken twice would be seen by now.
        thread::sleep(Duration::from_millis(300));
        assert_eq!(sum("tidemill_intake_in_flight_records"), 0);
        assert_eq!(sum("tidemill_intake_handed_back_records_total"), 0);
        assert_eq!(sum("tidemill_intake_stale_records_total"), 0);
        assert_eq!(taken(), sent, "records were taken twice");
        self.note(&format!("{sent} records sent and stored, none taken twice by a join and a clean stop"));
    }

    /// SIGKILL with work in flight; the others go on from its marks.
    fn kill(&mut self, mut process: Process) {
        let in_flight = self.burst_until_busy(&process, 500);
        let owner = process.owner();
        self.watch.remove(&process.name);
        process.daemon.signal(Signal::Kill);
        let took = self.taken_over(&owner);
        process.daemon.wait(PATIENCE);
        self.note(&format!("SIGKILL with about {in_flight} in flight: taken over after {:.1} s", took.as_secs_f64()));
    }

    /// Waits until everything that `owner` had is someone else's, and has moved on.
    fn taken_over(&self, owner: &str) -> Duration {
        let begun = Instant::now();
        let before = self.progress();
        let had = |o: &Option<String>| o.as_deref() == Some(owner);
        assert!(before.values().any(|(_, o)| had(o)), "it owned nothing");
        until("other processes to take over", PATIENCE, || {
            let now = self.progress();
            let mut lanes = before.iter().filter(|(_, (_, o))| had(o));
            lanes.all(|(p, (mark, _))| now[p].0 > *mark && !had(&now[p].1)).then_some(())
        });
        begun.elapsed()
    }

    /// A claim that nobody acts on lands on every partition of a running process, as a late one would: it is fenced at its
    /// next write, waits, and claims again, without a rebalance (rule C5).
    fn usurp(&mut self, process: &Process) {
        let fenced = |p: &Process| p.count_with("tidemill_writer_mark_misses_total", &["verdict=\"fenced\""]);
        let rebalances = process.count("tidemill_intake_rebalance_events_total");
        let (owner, lanes) = (process.owner(), process.lanes());
        let in_flight = self.burst_until_busy(process, 100);
        self.sql.run(&format!(
            "UPDATE tidemill.progress SET epoch = epoch + 1, owner = gen_random_uuid() WHERE replace(owner::text, '-', '') = '{owner}'"
        ));
        let begun = Instant::now();
        until("the fence", PATIENCE, || (fenced(process) >= lanes).then_some(()));
        until("all partitions to be claimed again", PATIENCE, || {
            let owned = self.progress().values().filter(|(_, o)| o.as_ref() == Some(&owner)).count();
            (owned as u64 == lanes && process.lanes() == lanes).then_some(())
        });
        assert_eq!(process.count("tidemill_intake_rebalance_events_total"), rebalances, "the group had no part in it");
        let back = process.count("tidemill_intake_handed_back_records_total");
        let took = begun.elapsed().as_secs_f64();
        self.note(&format!(
            "usurped with about {in_flight} in flight: {lanes} partitions fenced, {back} records handed back, its own again after {took:.1} s"
        ));
    }

    /// SIGSTOP past the session and SIGCONT: a zombie that believes it still owns its partitions. Nothing of it gets in, and
    /// it recovers.
    fn freeze_and_thaw(&mut self, process: &mut Process) {
        // More than one statement holds: something of it is surely not stored when it stands still.
        let in_flight = self.burst_until_busy(process, 1_100);
        let owner = process.owner();
        let back = |p: &Process| p.count("tidemill_intake_handed_back_records_total");
        let fenced = |p: &Process| p.count_with("tidemill_writer_mark_misses_total", &["verdict=\"fenced\""]);
        let before = (back(process), fenced(process));
        self.watch.remove(&process.name);
        process.daemon.signal(Signal::Stop);
        let took = self.taken_over(&owner);
        self.note(&format!("SIGSTOP with about {in_flight} in flight: taken over after {:.1} s", took.as_secs_f64()));
        self.tap.burst(BURST / 2, STEADY);
        process.daemon.signal(Signal::Continue);
        let begun = Instant::now();
        until("the zombie to give up what it had", PATIENCE, || (back(process) > before.0).then_some(()));
        process.wait_for_lanes(1);
        process.daemon.wait_until_ready(PATIENCE);
        let (took, back, fenced) = (begun.elapsed(), back(process) - before.0, fenced(process) - before.1);
        self.watch.add(&process.name, process.ops);
        self.note(&format!(
            "SIGCONT: {back} records handed back, {fenced} partitions fenced, reading again after {:.1} s",
            took.as_secs_f64()
        ));
    }

    fn end(self, mut processes: Vec<Process>) {
        let Story { tap, sql, source, topic, watch, kafka, begun, .. } = self;
        let sent = tap.finish();
        until("everything to be stored", PATIENCE, || {
            let stored: i64 =
                sql.one("SELECT sum(next_offset)::bigint FROM tidemill.progress WHERE source = $1", &[&source]);
            (stored == RECORDS as i64).then_some(())
        });
        println!("{:6.2} s  everything is stored", begun.elapsed().as_secs_f64());
        for process in &mut processes {
            watch.remove(&process.name);
            process.daemon.signal(Signal::Term);
        }
        for process in &mut processes {
            let status = process.daemon.wait(PATIENCE);
            assert_eq!(status.code(), Some(0), "{}: {}", process.name, process.daemon.log());
            drained(process);
        }
        let seen = watch.end();
        assert!(seen.wrong.is_empty(), "{:#?}", seen.wrong);
        assert!(seen.samples > 50 && seen.compared > 200 && seen.counted > 10 && seen.scrapes > 50, "{seen:?}");

        let ends = kafka.end_offsets(&topic);
        let committed = kafka.committed("story", &topic);
        assert_eq!(committed.iter().map(|(p, c)| (*p, c.offset)).collect::<BTreeMap<_, _>>(), ends);
        let log = kafka.read_all(&topic);
        assert_eq!(log.len() as u64, RECORDS);
        let scores = score::all(&formats::options::Options::default(), &log);
        audit::expect(&sql, source, &log, audit::json, &scores);
        let audit = audit::audit(&sql, source, "public.story", true).unwrap_or_else(|e| panic!("{e}"));
        let kinds = produce::kinds(&sent);
        assert_eq!(kinds.len(), 7, "{kinds:?}");
        assert_eq!(audit.rows as u64, kinds[&None]);
        assert_eq!((audit.rows + audit.dead) as u64, RECORDS);
        assert!(audit.worst <= 1e-5 && audit.transactions > 0, "{audit:?}");
        println!("{audit:?}");
        println!("{seen:?}");
        println!("{:6.2} s  in all", begun.elapsed().as_secs_f64());
    }
}

/// Checks the last words of a process that was stopped cleanly; the answer is what it had taken.
fn drained(process: &Process) -> u64 {
    let counts = process.said("counts").pop().expect("it counts at its end");
    let n = |key: &str| counts[key].as_u64().unwrap_or_else(|| panic!("{key} is missing: {counts}"));
    assert_eq!(n("taken"), n("stored") + n("dead") + n("skipped") + n("handed_back"), "{counts}");
    assert_eq!(process.said("drained: nothing will be read again").len(), 1, "{}", process.daemon.log());
    n("taken")
}
