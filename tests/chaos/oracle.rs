//! The verdict by the log and by SQL, trusting neither producer nor daemon.

use std::collections::BTreeMap;

use crate::db::Db;
use crate::event::SCORE_SQL;
use crate::event::SUM_SQL;
use crate::log::Log;
use crate::log::Sums;
use crate::log::WINDOW;
use crate::secrets;

/// One invariant: how much was looked at, and what of it is wrong.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    pub id: &'static str,
    pub what: &'static str,
    pub checked: u64,
    pub wrong: Vec<String>,
}

impl Finding {
    pub fn new(id: &'static str, what: &'static str, checked: u64, wrong: Vec<String>) -> Finding {
        Finding { id, what, checked, wrong }
    }
}

/// Offsets that are named one by one.
const NAMED_MAX: usize = 20;

/// What the tables hold, compared with what the log says that they must hold.
pub fn tables(db: &Db, log: &Log) -> Result<Vec<Finding>, String> {
    let [lost, doubled, phantom] = rows(db, log)?;
    let (lost_dead, mut dead) = dead_letters(db, log)?;
    let clean: u64 = log.each.values().map(|e| e.len() as u64).sum();
    let mut once = doubled;
    once.extend(in_both(db)?);
    let mut v1 = lost;
    v1.extend(lost_dead);
    v1.extend(skipped(db, log)?);
    dead.checked = log.poisoned.len() as u64;
    Ok(vec![
        Finding::new("V1", "every record of the log is a row, a dead letter or a skip", log.records, v1),
        Finding::new("V2", "each is so once", log.records, once),
        Finding::new("V3", "every row is of a record of the log, with its checksum", clean, phantom),
        values(db)?,
        order(db)?,
        dead,
        totals(db)?,
        marks(db, log)?,
        secrets::tables(db)?,
    ])
}

/// Windows whose checksums differ, looked into one by one: lost, doubled and foreign offsets.
fn rows(db: &Db, log: &Log) -> Result<[Vec<String>; 3], String> {
    let question = format!(
        "SELECT partition, \"offset\" / {WINDOW}, count(*), bit_xor(sum), sum(sum * (\"offset\" % 10007 + 1))::text
         FROM public.scores GROUP BY 1, 2"
    );
    let mut found = BTreeMap::new();
    for row in db.query(&question, &[])? {
        let (partition, window, count, xor): (i32, i64, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
        let weighted: i128 = row.get::<_, String>(4).parse().map_err(|_| "no number")?;
        found.insert((partition, window), Sums { count, xor, weighted });
    }
    let (mut lost, mut doubled, mut phantom) = (vec![], vec![], vec![]);
    let windows: std::collections::BTreeSet<_> = found.keys().chain(log.clean.keys()).copied().collect();
    for (partition, window) in windows.into_iter().filter(|w| found.get(w) != log.clean.get(w)) {
        let question = "SELECT \"offset\", sum, count(*) FROM public.scores WHERE partition = $1
            AND \"offset\" / 10000 = $2 GROUP BY 1, 2 ORDER BY 1";
        let mut here = BTreeMap::<i64, (i64, i64)>::new();
        for row in db.query(question, &[&partition, &window])? {
            let (offset, sum, count): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
            if count > 1 || here.insert(offset, (sum, count)).is_some() {
                doubled.push(format!("{partition}/{offset} has {count} rows"));
            }
        }
        let empty = vec![];
        let want = log.each.get(&partition).unwrap_or(&empty).iter().filter(|(o, _)| o / WINDOW == window);
        for (offset, sum) in want {
            match here.remove(offset) {
                None => lost.push(format!("{partition}/{offset} has no row")),
                Some((found, _)) if found != *sum => {
                    phantom.push(format!("{partition}/{offset} is another record's row"))
                }
                Some(_) => {}
            }
        }
        phantom.extend(here.keys().map(|offset| format!("{partition}/{offset} is no clean record of the log")));
    }
    Ok([lost, doubled, phantom])
}

fn in_both(db: &Db) -> Result<Vec<String>, String> {
    let question = "SELECT d.partition, d.\"offset\" FROM tidemill.dead_letter d JOIN public.scores s
        USING (source, partition, \"offset\") LIMIT 20";
    let rows = db.query(question, &[])?;
    Ok(rows
        .iter()
        .map(|r| format!("{}/{} is a row and a dead letter", r.get::<_, i32>(0), r.get::<_, i64>(1)))
        .collect())
}

/// Rows agree with themselves: their columns with their checksum, their score with their columns (V4).
fn values(db: &Db) -> Result<Finding, String> {
    let question = format!(
        "SELECT count(*), count(*) FILTER (WHERE sum <> {SUM_SQL}), count(*) FILTER (WHERE score <> {SCORE_SQL}),
            count(*) FILTER (WHERE s.model IS DISTINCT FROM (SELECT min(id) FROM tidemill.model)) FROM public.scores s"
    );
    let row = &db.query(&question, &[])?[0];
    let number = |i: usize| row.get::<_, i64>(i);
    let mut wrong = vec![];
    for (i, what) in
        [(1, "rows mix fields of several records"), (2, "scores are not the model's"), (3, "name another model")]
    {
        if number(i) > 0 {
            wrong.push(format!("{} {what}", number(i)));
        }
    }
    Ok(Finding::new("V4", "every score is the model's of that very record", number(0) as u64, wrong))
}

/// Along the offsets of a partition commit times never fall, and every transaction holds one run of offsets (V5).
fn order(db: &Db) -> Result<Finding, String> {
    let question = "WITH done AS (SELECT partition, \"offset\", xmin FROM public.scores
                UNION ALL SELECT partition, \"offset\", xmin FROM tidemill.dead_letter),
            times AS MATERIALIZED (SELECT x, pg_xact_commit_timestamp(x) AS at FROM (SELECT DISTINCT xmin AS x FROM done) d),
            steps AS (SELECT partition, xmin, at < lag(at) OVER w AS back,
                    xmin::text IS DISTINCT FROM lag(xmin::text) OVER w AS change
                FROM done JOIN times ON x = xmin WINDOW w AS (PARTITION BY partition ORDER BY \"offset\"))
        SELECT count(*), count(*) FILTER (WHERE back), count(*) FILTER (WHERE change),
            count(DISTINCT (partition, xmin::text)) FROM steps";
    let row = &db.query(question, &[])?[0];
    let [looked, back, changes, runs] = std::array::from_fn(|i| row.get::<_, i64>(i));
    let mut wrong = vec![];
    if back > 0 {
        wrong.push(format!("{back} rows became visible out of the order of their offsets"));
    }
    if changes != runs {
        wrong.push(format!("{} transactions hold two runs of one partition", changes - runs));
    }
    Ok(Finding::new("V5", "rows of a partition became visible in the order of their offsets", looked as u64, wrong))
}

/// Exactly the poison, each with its reason and its bytes (V10); with those that are missing.
fn dead_letters(db: &Db, log: &Log) -> Result<(Vec<String>, Finding), String> {
    let question = "SELECT partition, \"offset\", stage, reason, coalesce(key, ''), coalesce(payload, ''), detail
        FROM tidemill.dead_letter";
    let (mut wrong, mut seen) = (vec![], std::collections::BTreeSet::new());
    for row in db.query(question, &[])? {
        let place: (i32, i64) = (row.get(0), row.get(1));
        let at = format!("{}/{}", place.0, place.1);
        let (stage, reason): (&str, &str) = (row.get(2), row.get(3));
        if !seen.insert(place) {
            wrong.push(format!("{at} has two dead letters"));
        }
        match log.poisoned.get(&place) {
            None => wrong
                .push(format!("{at} is a dead letter ({stage}, {reason}: {}) and no poison", row.get::<_, &str>(6))),
            Some(p) if p.kind.reason() != Some((stage, reason)) => {
                wrong.push(format!("{at} is {:?} and became a dead letter for {stage}, {reason}", p.kind));
            }
            Some(p) if p.key != row.get::<_, &[u8]>(4) || p.payload != row.get::<_, &[u8]>(5) => {
                wrong.push(format!("{at}: its dead letter has other bytes"));
            }
            Some(_) => {}
        }
    }
    let missing = log.poisoned.keys().filter(|place| !seen.contains(place));
    let lost = missing.map(|(partition, offset)| format!("{partition}/{offset} has no dead letter")).collect();
    wrong.truncate(NAMED_MAX);
    Ok((lost, Finding::new("V10", "dead letters are exactly the poison, with reason and bytes", 0, wrong)))
}

fn skipped(db: &Db, log: &Log) -> Result<Vec<String>, String> {
    let rows = db.query("SELECT partition, skipped FROM tidemill.progress", &[])?;
    let mut wrong = vec![];
    for row in rows {
        let (partition, skipped): (i32, i64) = (row.get(0), row.get(1));
        let want = log.tombstones.get(&partition).copied().unwrap_or(0);
        if skipped != want {
            wrong.push(format!("partition {partition}: {skipped} records were skipped, {want} are tombstones"));
        }
    }
    Ok(wrong)
}

/// The running totals of the marks are the numbers of what lies there (V12).
fn totals(db: &Db) -> Result<Finding, String> {
    let question =
        "SELECT p.partition, p.stored, p.dead_lettered, coalesce(r.n, 0), coalesce(d.n, 0) FROM tidemill.progress p
        LEFT JOIN (SELECT partition, count(*) n FROM public.scores GROUP BY 1) r USING (partition)
        LEFT JOIN (SELECT partition, count(*) n FROM tidemill.dead_letter GROUP BY 1) d USING (partition)";
    let rows = db.query(question, &[])?;
    let mut wrong = vec![];
    for row in &rows {
        let partition: i32 = row.get(0);
        let [stored, dead, found, found_dead] = std::array::from_fn(|i| row.get::<_, i64>(i + 1));
        if (stored, dead) != (found, found_dead) {
            wrong.push(format!(
                "partition {partition} tells {stored} rows and {dead} dead letters, there are {found} and {found_dead}"
            ));
        }
    }
    Ok(Finding::new("V12b", "running totals are the numbers of what lies there", rows.len() as u64, wrong))
}

/// Every mark stands at the end of its partition.
fn marks(db: &Db, log: &Log) -> Result<Finding, String> {
    let rows = db.query("SELECT partition, next_offset FROM tidemill.progress", &[])?;
    let found: BTreeMap<i32, i64> = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
    let wrong = if found == log.ends { vec![] } else { vec![format!("marks {found:?}, ends {:?}", log.ends)] };
    Ok(Finding::new("V9b", "every mark is at the end of its log", found.len() as u64, wrong))
}
