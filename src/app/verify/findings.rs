//! What was found, lane by lane; the machine form of the report is these structures.

use std::time::Duration;

use serde::Serialize;

use crate::adapters::postgres::audit::place::Overlap;
use crate::adapters::postgres::audit::snapshot::Snapshot;
use crate::app::verify::drill::Drilled;
use crate::app::verify::judge::Judge;
use crate::app::verify::order;
use crate::app::verify::order::Order;
use crate::app::verify::scope::Scene;
use crate::app::verify::tables::Tables;
use crate::app::verify::totals;
use crate::cli::VerifyArgs;
use crate::config::Config;

/// Offsets that are named; the others are counted.
pub const FIRST: usize = 20;

/// Some offsets: all counted, the first ones named.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Named {
    pub count: u64,
    pub first: Vec<i64>,
}

impl Named {
    pub fn push(&mut self, offset: i64) {
        self.count += 1;
        if self.first.len() < FIRST {
            self.first.push(offset);
        }
    }
}

/// What can be wrong with a lane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// In the log below the mark, and neither row nor dead letter.
    Lost,
    /// More than one row, or a row beside an open dead letter.
    Doubled,
    /// A row or dead letter whose record is not in the log.
    Phantom,
    /// A row or dead letter at the mark or above it.
    AboveMark,
    /// Rows that became visible after later ones.
    OutOfOrder,
    /// Kafka was told a position that is not durable.
    CommitBeforeDurable,
    /// The mark is beyond the end of the log.
    MarkBeyondLog,
    /// The running totals of `tidemill.progress` disagree with what is there.
    Totals,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    pub kind: Kind,
    pub count: u64,
    /// The first of them.
    pub offsets: Vec<i64>,
    pub detail: String,
}

impl Finding {
    pub fn named(kind: Kind, named: &Named, detail: impl Into<String>) -> Option<Finding> {
        let Named { count, first } = named.clone();
        (count > 0).then(|| Finding { kind, count, offsets: first, detail: detail.into() })
    }

    pub fn one(kind: Kind, offset: Option<i64>, detail: impl Into<String>) -> Finding {
        Finding { kind, count: 1, offsets: offset.into_iter().collect(), detail: detail.into() }
    }
}

/// One partition.
#[derive(Clone, Debug, Serialize)]
pub struct LaneReport {
    pub topic: String,
    pub partition: i32,
    pub log_start: i64,
    pub log_end: i64,
    /// `null` when the partition was never claimed.
    pub mark: Option<i64>,
    /// What the group has committed.
    pub committed: Option<i64>,
    /// What was judged: from, and to but not including.
    pub from: i64,
    pub to: i64,
    pub records: u64,
    pub rows: u64,
    pub dead_letters: u64,
    /// Dead letters that became rows; not among `dead_letters`.
    pub replayed: u64,
    pub skipped: u64,
    pub holes: u64,
    /// Older than the pipeline.
    pub before_start: u64,
    /// Rows and dead letters that could not be compared: below the log's beginning, outside of what was asked for, compacted.
    pub not_judged: u64,
    pub totals: Option<totals::Compared>,
    pub findings: Vec<Finding>,
    pub notes: Vec<String>,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub verdict: &'static str,
    pub pipeline: String,
    pub table: String,
    pub partitions: Vec<LaneReport>,
    /// Rows and dead letters of partitions that do not exist.
    pub strays: u64,
    pub first_strays: Vec<String>,
    pub windows: usize,
    pub windows_differing: usize,
    pub not_checked: Vec<String>,
    pub seconds: f64,
}

impl Report {
    pub fn new(
        config: &Config,
        args: &VerifyArgs,
        snapshot: &Snapshot,
        drilled: Drilled,
        tables: &Tables,
        took: Duration,
    ) -> Report {
        let mut orders: Vec<Vec<_>> = vec![vec![]; drilled.judges.len()];
        tables.spans.iter().for_each(|span| orders[span.lane].push(*span));
        let orders: Vec<Order> = orders.iter_mut().map(|spans| order::judge(spans)).collect();
        let mut lanes = vec![];
        for (i, judge) in drilled.judges.iter().enumerate() {
            lanes.push(lane(&drilled, i, judge, tables, &orders[i], snapshot));
        }
        let strays = tables.outside.iter().filter(|o| o.lane.is_none()).take(FIRST);
        let not_checked = not_checked(args, snapshot, &drilled, &orders);
        let mut report = Report {
            verdict: "fine",
            pipeline: config.name.clone(),
            table: config.table.name.clone(),
            partitions: lanes,
            strays: tables.strays,
            first_strays: strays
                .map(|o| format!("source {}, partition {}, offset {}", o.source, o.partition, o.offset))
                .collect(),
            windows: drilled.compared,
            windows_differing: drilled.differing,
            not_checked,
            seconds: took.as_secs_f64(),
        };
        if !report.is_fine() {
            report.verdict = "differences";
        }
        report
    }

    pub fn is_fine(&self) -> bool {
        self.strays == 0 && self.partitions.iter().all(|l| l.findings.is_empty())
    }
}

fn lane(drilled: &Drilled, i: usize, judge: &Judge, tables: &Tables, order: &Order, snapshot: &Snapshot) -> LaneReport {
    let (scene, held) = (&drilled.scope.scenes[i], &tables.held[i]);
    let settled = totals::settle(&drilled.scope, scene, judge, held);
    let mark = scene.standing.map(|s| s.next_offset);
    let mut findings: Vec<Finding> = settled.findings;
    findings.extend(Finding::named(
        Kind::Doubled,
        &judge.doubled,
        "stored more than once: two rows, or a row beside an open dead letter",
    ));
    findings.extend(Finding::named(
        Kind::Phantom,
        &judge.phantom,
        "a row or dead letter, but no such record in the log",
    ));
    let above = held.above.rows + held.above.letters();
    if above > 0 {
        let offsets = tables.outside.iter().filter(|o| o.lane == Some(i)).map(|o| o.offset).take(FIRST).collect();
        let detail = "rows or dead letters at the mark or above it: they would be stored again";
        findings.push(Finding { kind: Kind::AboveMark, count: above, offsets, detail: detail.into() });
    }
    if !order.late.is_empty() {
        let detail = "transactions that begin here became visible after rows of higher offsets (a later UPDATE of the rows, or a \
                      server clock that was set back, looks the same)";
        let offsets = order.late.iter().copied().take(FIRST).collect();
        findings.push(Finding {
            kind: Kind::OutOfOrder,
            count: order.late.len() as u64,
            offsets,
            detail: detail.into(),
        });
    }
    let mut notes = settled.notes;
    findings.extend(ahead(scene, snapshot, &mut notes));
    if let Some(mark) = mark.filter(|m| *m > scene.ends.1) {
        let detail = format!("the mark is {mark}, the log ends at {}: it was cut, or made anew", scene.ends.1);
        findings.push(Finding::one(Kind::MarkBeyondLog, Some(mark), detail));
    }
    findings.sort_by_key(|f| f.kind);
    LaneReport {
        topic: scene.topic.clone(),
        partition: scene.lane.partition,
        log_start: scene.ends.0,
        log_end: scene.ends.1,
        mark,
        committed: scene.committed.as_ref().map(|c| c.offset),
        from: scene.lo,
        to: scene.hi,
        records: judge.records,
        rows: held.judged.rows,
        dead_letters: held.judged.open + held.judged.closed,
        replayed: held.judged.replayed,
        skipped: judge.skipped,
        holes: judge.holes,
        before_start: judge.before,
        not_judged: held.aside.rows + held.aside.letters() + judge.gone + judge.unknown,
        totals: settled.totals,
        findings,
        notes,
    }
}

/// Kafka was asked first, so nothing that it knows may be news to the database; but after a mark was set back by hand Kafka holds
/// the old one until somebody reads on.
fn ahead(scene: &Scene, snapshot: &Snapshot, notes: &mut Vec<String>) -> Option<Finding> {
    let commit = scene.committed.as_ref().filter(|_| !snapshot.replica)?;
    let whose = if scene.ours { "our commit" } else { "a commit that is not ours" };
    let detail = match scene.standing {
        Some(standing) if commit.offset > standing.next_offset => {
            format!("the group holds {whose} of {}, the mark is {}", commit.offset, standing.next_offset)
        }
        None if scene.ours => {
            format!("the group holds {whose} of {}, and there is no mark: the database lost rows", commit.offset)
        }
        _ => return None,
    };
    if scene.rewound.is_some_and(|from| commit.offset <= from) {
        notes.push(format!("{detail}: an operator set the mark back, and nobody has told Kafka since"));
        return None;
    }
    Some(Finding::one(Kind::CommitBeforeDurable, Some(commit.offset), detail))
}

fn not_checked(args: &VerifyArgs, snapshot: &Snapshot, drilled: &Drilled, orders: &[Order]) -> Vec<String> {
    let mut open = vec![];
    let untimed: u64 = orders.iter().map(|o| o.untimed).sum();
    if !snapshot.commit_times {
        open.push(
            "the order in which rows became visible (P3), but for transactions whose offsets interleave: the server keeps no commit \
             times (track_commit_timestamp = on)"
                .into(),
        );
    } else if untimed > 0 {
        open.push(format!(
            "the order of {untimed} rows: the server no longer knows, or never knew, when they were committed"
        ));
    }
    if snapshot.replica {
        open.push("whether Kafka was told too much: this server is a replica and may lag behind".into());
    }
    if args.is_narrowed() {
        open.push("the totals of tidemill.progress: only a part was looked at".into());
    }
    let unknown = |compacts: Option<bool>| {
        let of = |(s, j): (&Scene, &Judge)| if s.compacts == compacts { j.unknown } else { 0 };
        drilled.scope.scenes.iter().zip(&drilled.judges).map(of).sum::<u64>()
    };
    let (compacted, unsaid) = (unknown(Some(true)), unknown(None));
    if compacted > 0 {
        open.push(format!(
            "{compacted} rows or dead letters without a record: the topic is compacted, so records go away"
        ));
    }
    if unsaid > 0 {
        open.push(format!(
            "{unsaid} rows or dead letters without a record: the brokers do not say whether the topic is compacted (grant DescribeConfigs)"
        ));
    }
    if drilled.scope.overlap != Overlap::Never {
        open.push(
            "single rows that on_conflict may have kept or replaced: their number is compared with the totals".into(),
        );
    }
    open
}
