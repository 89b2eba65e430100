//! The running totals of `tidemill.progress` against what is there, and what they say about records without a disposition.
//!
//! Skip rules may have changed since a record was skipped, so today's rules alone prove no loss. The totals were moved with
//! the marks: when they agree with everything that is there, what has no row was skipped.

use serde::Serialize;

use crate::adapters::postgres::audit::place::Overlap;
use crate::adapters::postgres::audit::snapshot::Standing;
use crate::app::verify::findings::Finding;
use crate::app::verify::findings::Kind;
use crate::app::verify::judge::Judge;
use crate::app::verify::scope::Scene;
use crate::app::verify::scope::Scope;
use crate::app::verify::tables::Held;

/// A total as it stands, and what was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Pair {
    pub said: i64,
    pub found: i64,
}

/// All of a lane's history.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Compared {
    pub stored: Pair,
    pub dead_lettered: Pair,
    /// Only of the records that the log still holds.
    pub skipped: Pair,
    /// Whether the log holds every record that was ever disposed of.
    pub complete: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settled {
    pub findings: Vec<Finding>,
    pub notes: Vec<String>,
    pub totals: Option<Compared>,
}

/// Decides which of the missing records are lost, and compares the totals.
pub fn settle(scope: &Scope, scene: &Scene, judge: &Judge, held: &Held) -> Settled {
    let mut settled = Settled::default();
    let Some(standing) = scene.standing else { return settled };
    let comparable = !scope.narrowed && scene.rewound.is_none();
    if scene.rewound.is_some() {
        settled
            .notes
            .push("totals are not compared: an operator set the mark back, so some records count twice".into());
    }
    let all = held.all();
    let found = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut compared = Compared {
        stored: Pair { said: standing.stored, found: found(all.rows) - found(all.replayed) },
        dead_lettered: Pair { said: standing.dead_lettered, found: found(all.letters()) },
        skipped: Pair { said: standing.skipped, found: found(judge.skipped) },
        complete: comparable && found(judge.records - judge.before) == standing.total(),
    };
    let missing = judge.missing.count;
    // What is there too often would make up for what is not there.
    let surplus = judge.doubled.count + judge.phantom.count + judge.unknown + held.above.rows + held.above.letters();
    let agree = |pair: Pair| pair.said == pair.found;
    let proven = compared.complete && surplus == 0 && agree(compared.stored) && agree(compared.dead_lettered);
    let explained = if proven { missing } else { explained(scope.overlap, comparable, &compared, missing) };
    let lost = missing - explained;
    if scope.overlap != Overlap::Replaced {
        compared.skipped.found += found(explained);
    }
    let mut detail = "in the log below the mark, and neither row nor dead letter".to_owned();
    if explained > 0 && lost > 0 {
        detail = format!("{detail}; these are among {missing}, of which {explained} can be explained by the totals");
    }
    let mut named = judge.missing.clone();
    named.count = lost;
    settled.findings.extend(Finding::named(Kind::Lost, &named, detail));
    if explained > 0 {
        settled.notes.push(reason(scope.overlap, explained));
    }
    if comparable {
        compare(scope.overlap, scene, judge, &standing, &compared, found(lost), &mut settled);
        settled.totals = Some(compared);
    }
    settled
}

/// How many of the missing records `on_conflict` accounts for.
fn explained(overlap: Overlap, comparable: bool, compared: &Compared, missing: u64) -> u64 {
    let difference = |more: i64, less: i64| u64::try_from(more - less).unwrap_or(0).min(missing);
    match overlap {
        Overlap::Never => 0,
        _ if !comparable => missing,
        Overlap::Kept if !compared.complete => missing,
        Overlap::Kept => difference(compared.skipped.said, compared.skipped.found),
        Overlap::Replaced => difference(compared.stored.said, compared.stored.found),
    }
}

fn reason(overlap: Overlap, count: u64) -> String {
    match overlap {
        Overlap::Never => format!(
            "policy changed? {count} records have no row and today's skip rules do not leave them out, but all totals agree: \
             earlier rules did"
        ),
        Overlap::Kept => format!("{count} records have no row of their own: on_conflict = \"skip\" kept older rows"),
        Overlap::Replaced => {
            format!("{count} records have no row of their own: on_conflict = \"update\" replaced them")
        }
    }
}

fn compare(
    overlap: Overlap,
    scene: &Scene,
    judge: &Judge,
    standing: &Standing,
    compared: &Compared,
    lost: i64,
    settled: &mut Settled,
) {
    let whole = compared.complete || scene.ends.0 == 0;
    let mut wrong = |what: &str, pair: Pair| {
        let detail = format!("tidemill.progress counts {} {what}, {} are there", pair.said, pair.found);
        settled.findings.push(Finding::one(Kind::Totals, None, detail));
    };
    let mut fewer = 0;
    for (what, pair) in [("stored", compared.stored), ("dead-lettered", compared.dead_lettered)] {
        if pair.found > pair.said || pair.found < pair.said && whole && overlap == Overlap::Never {
            wrong(what, pair);
        } else if overlap == Overlap::Never {
            fewer += pair.said - pair.found;
        }
    }
    let skipped = compared.skipped;
    if skipped.found > skipped.said || skipped.found < skipped.said && compared.complete {
        wrong("skipped", skipped);
    }
    let records = i64::try_from(judge.records).unwrap_or(i64::MAX);
    if scene.ends.0 == 0 && scene.compacts == Some(false) && records < standing.total() {
        settled.notes.push(format!(
            "{} records were disposed of, the log holds {records} below the mark: the mark was set back by hand, or totals were changed",
            standing.total()
        ));
    }
    if fewer > lost {
        settled.notes.push(format!(
            "{} rows or dead letters fewer than were stored, below the log's beginning: pruned, or lost; nobody can tell any more",
            fewer - lost
        ));
    }
}
