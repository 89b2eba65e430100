//! The verdict of a round, as text and as JSON: pass, fail, or unknown when too little happened to prove anything.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::bench::BUDGET;
use crate::bench::IN_FLIGHT;
use crate::fault::Fault;
use crate::journal::Entry;
use crate::journal::Journal;
use crate::log::Log;
use crate::members::Cause;
use crate::members::Life;
use crate::oracle::Finding;
use crate::round::Plan;
use crate::sampler::Seen;
use crate::schedule::Schedule;

/// What must have happened for a round to prove something (V15).
#[derive(Clone, Copy, Debug)]
pub struct Targets {
    pub faults: usize,
    pub kinds: usize,
    pub records: u64,
    /// Every failpoint passed, a fence, a partition that came back, both unknown outcomes of a commit.
    pub all: bool,
}

/// Everything that was seen.
pub struct Witness {
    pub schedule: Schedule,
    pub seen: Seen,
    pub lives: Vec<Life>,
    pub log: Log,
    pub acks: Vec<(i32, i64)>,
    pub caught_up: Option<Duration>,
    pub produced: u64,
    /// Databases that went back, and offsets that they took back.
    pub rewinds: u64,
    pub lost: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Pass,
    Fail,
    /// Nothing wrong was seen, and not enough was seen.
    Unknown,
}

pub struct Report {
    pub verdict: Verdict,
    pub text: String,
    pub json: serde_json::Value,
    seed: u64,
}

const NAMED_MAX: usize = 12;

impl Report {
    pub fn new(plan: &Plan, journal: &Journal, witness: Witness, tables: Result<Vec<Finding>, String>) -> Report {
        let entries = journal.entries().clone();
        let (mut findings, broken) = match tables {
            Ok(findings) => (findings, vec![]),
            Err(error) => (vec![], vec![format!("the oracle could not look: {error}")]),
        };
        findings.extend(outside(&witness, journal, &entries));
        let mut missing = targets(plan, &witness, &entries, &findings);
        missing.extend(broken);
        let failed = findings.iter().any(|f| !f.wrong.is_empty());
        let verdict = match (failed, missing.is_empty()) {
            (true, _) => Verdict::Fail,
            (false, true) => Verdict::Pass,
            (false, false) => Verdict::Unknown,
        };
        let numbers = Numbers::new(&witness, &entries);
        let text = text(plan, &witness, &findings, &missing, verdict, &numbers);
        let json = json(plan, &witness, &findings, &missing, verdict, &numbers, &entries);
        Report { verdict, text, json, seed: plan.seed }
    }

    /// Writes both forms below the target folder and says where.
    pub fn save(&self) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("chaos");
        fs::create_dir_all(&folder).expect("the target folder takes a folder");
        let file = folder.join(format!("report-{}.txt", self.seed));
        fs::write(&file, &self.text).expect("the target folder takes a file");
        let pretty = serde_json::to_string_pretty(&self.json).expect("it is JSON");
        fs::write(file.with_extension("json"), pretty).expect("the target folder takes a file");
        file
    }
}

/// Invariants that are not in the tables: what was seen while it happened, and what processes said at their end.
fn outside(witness: &Witness, journal: &Journal, entries: &[Entry]) -> Vec<Finding> {
    let all = journal.all_wrong();
    let with = |id: &str| all.iter().filter(|w| w.starts_with(id)).cloned().collect::<Vec<_>>();
    let known = ["V6", "V7", "V9", "V12", "V13", "V14"];
    let other: Vec<String> = all.iter().filter(|w| !known.iter().any(|k| w.starts_with(k))).cloned().collect();
    let Witness { seen, lives, log, acks, .. } = witness;
    let unacked = acks.iter().filter(|(p, o)| !log.has(*p, *o)).take(NAMED_MAX);
    let lost: Vec<String> = unacked.map(|(p, o)| format!("kafka lost {p}/{o}")).collect();
    let asked = lives.iter().filter(|l| l.cause == Cause::Asked).count() as u64;
    let mut stops = with("V14");
    stops.extend(exits(lives, journal));
    let mut counts = with("V12");
    counts.extend(lives.iter().filter_map(unbalanced));
    counts.extend(silent(entries, lives));
    vec![
        Finding::new("V6", "no Kafka commit was ahead of its mark", seen.compared, with("V6")),
        Finding::new("V7", "no mark and no epoch went back without a database that did", seen.samples, with("V7")),
        reread(witness),
        Finding::new("V9", "after the last fault everything was done by itself", 1, with("V9")),
        Finding::new("V11", "Kafka kept what it acknowledged", acks.len() as u64, lost),
        Finding::new("V12", "counters add up, outages are told", lives.iter().map(|l| l.last.looks).sum(), counts),
        Finding::new("V13", "no log and no page shows a password", lives.len() as u64, with("V13")),
        Finding::new("V14", "every SIGTERM ended in its budget with its exit code", asked, stops),
        Finding::new(
            "other",
            "no process ended by itself, nothing strange is in the log",
            lives.len() as u64,
            [other, log.strange.clone()].concat(),
        ),
    ]
}

/// 0, or 3 while something was away that the drain waited for.
fn exits(lives: &[Life], journal: &Journal) -> Vec<String> {
    let asked = lives.iter().filter(|l| l.cause == Cause::Asked);
    let wrong = asked.filter(|l| match l.exit.as_str() {
        "exit 0" => false,
        "exit 3" => {
            let others: Vec<Fault> = Fault::ALL.to_vec();
            !journal.explains(l.at.saturating_sub(l.drain.unwrap_or_default()), &others, BUDGET)
        }
        _ => true,
    });
    wrong.map(|l| format!("{} was asked to stop and ended with {}", l.name, l.exit)).collect()
}

fn unbalanced(life: &Life) -> Option<String> {
    let [taken, stored, dead, skipped, back] = life.counts?;
    let clean = life.exit == "exit 0";
    let fits = if clean { taken == stored + dead + skipped + back } else { taken >= stored + dead + skipped + back };
    (!fits).then(|| format!("{} took {taken}, and tells {stored} + {dead} + {skipped} + {back}", life.name))
}

/// An outage of all connections that lasts must be named by somebody's readiness.
fn silent(entries: &[Entry], lives: &[Life]) -> Vec<String> {
    let long = entries.iter().filter(|e| {
        let took = e.until.map(|u| u - e.from).unwrap_or_default();
        e.fault == Fault::PostgresGone && !e.missed && e.detail.starts_with("all") && took > Duration::from_secs(4)
    });
    long.filter_map(|e| {
        let until = e.until.unwrap_or(e.from) + Duration::from_secs(2);
        let within = |at: &Duration| *at >= e.from && *at <= until;
        let reasons = lives.iter().flat_map(|l| l.last.reasons.iter().map(move |(at, reason)| (&l.name, at, reason)));
        let said: Vec<_> = reasons.filter(|(_, at, _)| within(at)).collect();
        if said.iter().any(|(_, _, reason)| reason.starts_with("postgres")) {
            return None;
        }
        let heard: Vec<String> = said.iter().map(|(name, at, reason)| format!("{name} {at:.1?} {reason}")).collect();
        let heard = if heard.is_empty() { "everybody was ready".to_owned() } else { heard.join(" | ") };
        Some(format!("nobody told of {} at {:.1?}, said was: {heard}", e.fault.name(), e.from))
    })
    .collect()
}

/// What was taken more than once is bounded by what may be in flight at unclean ends (V8).
fn reread(witness: &Witness) -> Finding {
    let lives = &witness.lives;
    let taken: u64 = lives.iter().map(|l| l.counts.map_or(l.last.taken, |c| c[0])).sum();
    let back: u64 = lives.iter().map(|l| l.counts.map_or(l.last.handed_back, |c| c[4])).sum();
    let unclean = lives.iter().filter(|l| l.exit != "exit 0").count() as u64;
    // A database that went back costs what it had lost, and what was under way then.
    let bound = unclean * IN_FLIGHT + back + witness.lost + witness.rewinds * 3 * IN_FLIGHT;
    let more = taken.saturating_sub(witness.log.records);
    let mut wrong = vec![];
    if more > bound {
        wrong.push(format!("{more} records were taken again, {bound} is the bound of {unclean} unclean ends"));
    }
    Finding::new("V8", "what was read again is bounded by the unclean ends", taken, wrong)
}

fn targets(plan: &Plan, witness: &Witness, entries: &[Entry], findings: &[Finding]) -> Vec<String> {
    let targets = plan.targets;
    let done: Vec<&Entry> = entries.iter().filter(|e| !e.missed).collect();
    let kinds = done.iter().map(|e| e.fault).collect::<std::collections::BTreeSet<_>>().len();
    let mut missing = vec![];
    let mut want = |good: bool, what: String| {
        if !good {
            missing.push(what);
        }
    };
    want(done.len() >= targets.faults, format!("{} of {} faults", done.len(), targets.faults));
    want(kinds >= targets.kinds, format!("{kinds} of {} kinds of faults", targets.kinds));
    want(witness.log.records >= targets.records, format!("{} of {} records", witness.log.records, targets.records));
    want(witness.seen.samples > 20 && witness.seen.compared > 100, "the sampler saw too little".into());
    want(findings.iter().all(|f| f.checked > 0 || f.id == "V14"), "an invariant was not looked at".into());
    if targets.all {
        for (point, passed) in hits(&witness.lives) {
            want(passed.0 > 0, format!("failpoint {point} was never passed"));
        }
        let seen = Met::new(&witness.lives);
        want(seen.fenced > 0, "no process was fenced".into());
        want(
            seen.ambiguous > 0 && seen.found_stored > 0,
            "no commit's outcome was unknown, or none of them had happened".into(),
        );
        want(witness.rewinds > 0, "the database never went back".into());
        want(witness.seen.returns > 0, "no partition came back to an earlier owner".into());
        for fault in [Fault::CutBeforeCommit, Fault::CutAfterCommit] {
            want(done.iter().any(|e| e.fault == fault), format!("no {}", fault.name()));
        }
    }
    missing
}

/// What the processes met, as far as they could tell of it.
#[derive(Default)]
struct Met {
    fenced: u64,
    restarts: u64,
    ambiguous: u64,
    found_stored: u64,
}

impl Met {
    fn new(lives: &[Life]) -> Met {
        let sum = |of: fn(&Life) -> u64| lives.iter().map(of).sum();
        Met {
            fenced: sum(|l| l.last.fenced),
            restarts: sum(|l| l.last.restarts),
            ambiguous: sum(|l| l.last.ambiguous),
            found_stored: sum(|l| l.last.found_stored),
        }
    }
}

/// Passes and fires of every failpoint, over all processes.
fn hits(lives: &[Life]) -> BTreeMap<&'static str, (u64, u64)> {
    let mut all: BTreeMap<_, _> = tidemill::failpoints::Point::ALL.iter().map(|p| (p.name(), (0, 0))).collect();
    for (name, (passed, fired)) in lives.iter().flat_map(|l| &l.hits) {
        if let Some(sum) = all.get_mut(&name[..]) {
            *sum = (sum.0 + passed, sum.1 + fired);
        }
    }
    all
}

/// Numbers for a reader.
struct Numbers {
    faults: BTreeMap<&'static str, (usize, usize)>,
    hits: BTreeMap<&'static str, (u64, u64)>,
    /// About what each killed process had taken and not stored.
    reread: Vec<u64>,
    drains: Vec<Duration>,
    takeovers: Vec<Duration>,
    ends: BTreeMap<String, usize>,
}

impl Numbers {
    fn new(witness: &Witness, entries: &[Entry]) -> Numbers {
        let lives = &witness.lives;
        let mut faults = BTreeMap::<_, (usize, usize)>::new();
        for entry in entries {
            let count = faults.entry(entry.fault.name()).or_default();
            if entry.missed { count.1 += 1 } else { count.0 += 1 }
        }
        let mut ends = BTreeMap::new();
        lives.iter().for_each(|l| *ends.entry(format!("{:?}, {}", l.cause, l.exit)).or_default() += 1);
        let killed = lives.iter().filter(|l| matches!(l.cause, Cause::Killed | Cause::Failpoint));
        let mut reread: Vec<u64> = killed.map(|l| l.last.in_flight).collect();
        let mut drains: Vec<Duration> = lives.iter().filter_map(|l| l.drain).collect();
        let mut takeovers = witness.seen.takeovers.clone();
        reread.sort_unstable();
        drains.sort_unstable();
        takeovers.sort_unstable();
        Numbers { faults, hits: hits(lives), reread, drains, takeovers, ends }
    }
}

fn middle<T: Copy + Default>(sorted: &[T]) -> (T, T) {
    (sorted.get(sorted.len() / 2).copied().unwrap_or_default(), sorted.last().copied().unwrap_or_default())
}

fn text(
    plan: &Plan,
    witness: &Witness,
    findings: &[Finding],
    missing: &[String],
    verdict: Verdict,
    numbers: &Numbers,
) -> String {
    let mut out = String::new();
    let done: usize = numbers.faults.values().map(|f| f.0).sum();
    let kinds = numbers.faults.values().filter(|f| f.0 > 0).count();
    let mut line = |text: String| writeln!(out, "{text}").expect("a String takes everything");
    line(format!("verdict: {verdict:?}"));
    let (seconds, seed) = (plan.length.as_secs(), plan.seed);
    line(format!("repeat: make chaos SECONDS={seconds} SEED={seed}   (schedule {:016x})", witness.schedule.digest()));
    line(format!(
        "{done} faults of {kinds} kinds, {} records in the log, {} produced",
        witness.log.records, witness.produced
    ));
    line(format!("caught up after {:.1?}", witness.caught_up.unwrap_or_default()));
    missing.iter().for_each(|m| line(format!("not enough: {m}")));
    for f in findings {
        let mark = if f.wrong.is_empty() { "ok  " } else { "FAIL" };
        line(format!("{mark} {:5} {} ({} checked)", f.id, f.what, f.checked));
        f.wrong.iter().take(NAMED_MAX).for_each(|w| line(format!("       {w}")));
        if f.wrong.len() > NAMED_MAX {
            line(format!("       and {} more", f.wrong.len() - NAMED_MAX));
        }
    }
    let (half, most) = middle(&numbers.reread);
    line(format!("in flight at a kill: median {half}, most {most} of {} kills", numbers.reread.len()));
    let (half, most) = middle(&numbers.takeovers);
    line(format!("takeover after a kill: median {half:.1?}, longest {most:.1?} of {}", numbers.takeovers.len()));
    let (half, most) = middle(&numbers.drains);
    line(format!("drain after SIGTERM: median {half:.1?}, longest {most:.1?} of {}", numbers.drains.len()));
    let met = Met::new(&witness.lives);
    let Met { fenced, restarts, ambiguous, found_stored } = met;
    line(format!(
        "partitions fenced {fenced}, restarted {restarts}, commits of unknown outcome {ambiguous}, found stored {found_stored}"
    ));
    let (returns, went_back) = (witness.seen.returns, witness.seen.went_back);
    line(format!("partitions that came back {returns}, marks that went back {went_back}"));
    line(format!("databases that went back {}, offsets lost with them {}", witness.rewinds, witness.lost));
    line("faults (done, missed):".into());
    numbers.faults.iter().for_each(|(name, (done, missed))| line(format!("  {done:4} {missed:3}  {name}")));
    line("failpoints (passed, fired):".into());
    numbers.hits.iter().for_each(|(name, (passed, fired))| line(format!("  {passed:8} {fired:4}  {name}")));
    line("ends of processes:".into());
    numbers.ends.iter().for_each(|(how, count)| line(format!("  {count:4}  {how}")));
    out
}

fn json(
    plan: &Plan,
    witness: &Witness,
    findings: &[Finding],
    missing: &[String],
    verdict: Verdict,
    numbers: &Numbers,
    entries: &[Entry],
) -> serde_json::Value {
    let seconds = |d: &Duration| d.as_secs_f64();
    json!({
        "verdict": format!("{verdict:?}").to_lowercase(),
        "seed": plan.seed,
        "seconds": plan.length.as_secs(),
        "schedule": format!("{:016x}", witness.schedule.digest()),
        "records": witness.log.records,
        "produced": witness.produced,
        "caught_up_seconds": witness.caught_up.as_ref().map(seconds),
        "missing": missing,
        "findings": findings.iter().map(|f| json!({
            "id": f.id, "what": f.what, "checked": f.checked, "wrong": f.wrong.len(),
            "examples": f.wrong.iter().take(NAMED_MAX).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "in_flight_at_kill": numbers.reread,
        "takeover_seconds": numbers.takeovers.iter().map(seconds).collect::<Vec<_>>(),
        "drain_seconds": numbers.drains.iter().map(seconds).collect::<Vec<_>>(),
        "failpoints": numbers.hits,
        "ends": numbers.ends,
        "fenced": Met::new(&witness.lives).fenced,
        "faults": numbers.faults,
        "journal": entries.iter().map(|e| json!({
            "from": e.from.as_secs_f64(), "until": e.until.as_ref().map(seconds), "fault": e.fault.name(),
            "detail": e.detail, "missed": e.missed,
        })).collect::<Vec<_>>(),
    })
}
