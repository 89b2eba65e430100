//! Rows and dead letters by their coordinates: as checksums of windows, one by one, and by the transaction that stored them.

use futures_util::TryStreamExt;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::snapshot::Snapshot;
use crate::adapters::postgres::fault;
use crate::domain::windows::Checksum;
use crate::domain::windows::WINDOW;
use crate::ports::SinkError;

/// A lane and the offsets of it that are judged: from `lo` up to but not including `hi`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    pub source: i16,
    pub topic: String,
    pub partition: i32,
    pub lo: i64,
    pub hi: i64,
    /// Nothing may be here or above; `hi` is not higher.
    pub mark: i64,
}

/// The lanes of an audit, as arrays; in the answers a lane is its place here.
#[derive(Debug, Default)]
pub struct Ranges {
    numbers: Vec<i32>,
    sources: Vec<i16>,
    topics: Vec<String>,
    partitions: Vec<i32>,
    lo: Vec<i64>,
    hi: Vec<i64>,
    marks: Vec<i64>,
    /// Partitions that are looked at; empty for all.
    only: Vec<i32>,
}

impl Ranges {
    pub fn new(ranges: &[Range], only: Option<i32>) -> Ranges {
        let mut all = Ranges { only: only.into_iter().collect(), ..Ranges::default() };
        for (number, range) in (0..).zip(ranges) {
            all.numbers.push(number);
            all.sources.push(range.source);
            all.topics.push(range.topic.clone());
            all.partitions.push(range.partition);
            all.lo.push(range.lo);
            all.hi.push(range.hi);
            all.marks.push(range.mark);
        }
        all
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        let (lo, hi, marks) = (&self.lo, &self.hi, &self.marks);
        vec![&self.numbers, &self.sources, &self.topics, &self.partitions, lo, hi, marks, &self.only]
    }
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Row,
    Open,
    /// A dead letter that became a row, or was tried again and skipped.
    Replayed,
    /// A dead letter that an operator closed.
    Closed,
}

impl Kind {
    fn of(number: i32) -> Kind {
        match number {
            0 => Kind::Row,
            1 => Kind::Open,
            2 => Kind::Replayed,
            _ => Kind::Closed,
        }
    }
}

/// Where an entry lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// Below the mark, but not among what is judged.
    Aside,
    Window(i64),
    /// At the mark or above it.
    Above,
}

/// Entries of one kind in one part of a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sum {
    /// `None` for partitions that the topic does not have.
    pub lane: Option<usize>,
    pub part: Part,
    pub kind: Kind,
    pub checksum: Checksum,
    pub least: i64,
}

/// What there is of one record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    pub rows: u32,
    pub open: u32,
    pub replayed: u32,
    pub closed: u32,
}

/// Rows that one transaction stored in a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub lane: usize,
    pub first: i64,
    pub last: i64,
    pub rows: u64,
    /// Microseconds since 1970; `None` when the server does not know any more.
    pub committed: Option<i64>,
}

/// An entry where none may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outside {
    pub lane: Option<usize>,
    pub source: String,
    pub partition: i32,
    pub offset: i64,
}

const LANES: &str =
    "lane AS (SELECT * FROM unnest($1::int4[], $2::int2[], $3::text[], $4::int4[], $5::int8[], $6::int8[],
    $7::int8[]) l(lane, source, topic, partition, lo, hi, mark))";

const LETTERS: &str = "SELECT l.lane, l.lo, l.hi, l.mark, d.\"offset\" AS o, d.partition AS p, d.source::text AS s,
        CASE d.state WHEN 'open' THEN 1 WHEN 'replayed' THEN 2 ELSE 3 END AS kind
    FROM tidemill.dead_letter d LEFT JOIN lane l ON l.source = d.source AND l.partition = d.partition
    WHERE d.source = ANY (ARRAY(SELECT source FROM lane))
      AND (cardinality($8::int4[]) = 0 OR d.partition = ANY ($8::int4[]))";

impl Snapshot {
    /// The join of the table's rows `r` with their lanes `l`, and the condition that they are of this pipeline.
    fn rows(&self) -> (String, String) {
        let (table, offset, partition) = (&self.place.table, &self.place.offset, &self.place.partition);
        let (source, same, mine) = match &self.place.source {
            None => ("''", "true", "true"),
            Some(s) if s.named => (&s.column[..], "l.topic = r.s", "r.s = ANY (ARRAY(SELECT topic FROM lane))"),
            Some(s) => (&s.column[..], "l.source = r.s", "r.s = ANY (ARRAY(SELECT source FROM lane))"),
        };
        let from = format!(
            "(SELECT {offset}::int8 AS o, {partition}::int4 AS p, {source} AS s, xmin AS x FROM {table}) r
             LEFT JOIN lane l ON {same} AND l.partition = r.p"
        );
        let known = "r.o IS NOT NULL AND r.p IS NOT NULL";
        (from, format!("{mine} AND {known} AND (cardinality($8::int4[]) = 0 OR r.p = ANY ($8::int4[]))"))
    }

    /// Everything as `(lane, lo, hi, mark, o, p, s, kind)`.
    fn entries(&self) -> String {
        let (from, mine) = self.rows();
        format!(
            "SELECT l.lane, l.lo, l.hi, l.mark, r.o, r.p, r.s::text AS s, 0 AS kind FROM {from} WHERE {mine} UNION ALL {LETTERS}"
        )
    }

    /// Checksums of everything, in one pass of the server over both tables.
    pub async fn sums(&self, ranges: &Ranges) -> Result<Vec<Sum>, SinkError> {
        let sql = format!(
            "WITH {LANES} SELECT lane, part, kind, count(*), pg_catalog.bit_xor(h), sum(h)::text, min(o) FROM (
               SELECT lane, kind, o, pg_catalog.hashint8extended(o, 0) AS h, CASE WHEN lane IS NULL OR o >= mark
                 THEN -1 WHEN o < lo OR o >= hi THEN -2 ELSE o / {WINDOW} END AS part FROM ({}) e) x
             GROUP BY lane, part, kind",
            self.entries()
        );
        let rows = self.lease.query(&sql, &ranges.params()).await.map_err(|e| self.failed(&e))?;
        Ok(rows.iter().map(sum).collect())
    }

    /// What there is of every record in some windows of lanes, in no order.
    pub async fn of_windows(
        &self,
        ranges: &Ranges,
        windows: &[(usize, i64)],
        mut each: impl FnMut(usize, i64, Entry),
    ) -> Result<(), SinkError> {
        let sql = format!(
            "WITH {LANES}, win AS (SELECT * FROM unnest($9::int4[], $10::int8[]) w(lane, number))
             SELECT lane, o, count(*) FILTER (WHERE kind = 0), count(*) FILTER (WHERE kind = 1),
               count(*) FILTER (WHERE kind = 2), count(*) FILTER (WHERE kind = 3)
             FROM ({}) e JOIN win USING (lane) WHERE o >= lo AND o < hi AND o / {WINDOW} = win.number GROUP BY lane, o",
            self.entries()
        );
        let lanes: Vec<i32> = windows.iter().map(|w| w.0 as i32).collect();
        let numbers: Vec<i64> = windows.iter().map(|w| w.1).collect();
        let mut params = ranges.params();
        params.extend([&lanes as &(dyn ToSql + Sync), &numbers]);
        let found = self.lease.query_raw(&sql, params).await.map_err(|e| self.failed(&e))?;
        let mut found = std::pin::pin!(found);
        while let Some(row) = found.try_next().await.map_err(|e| self.failed(&e))? {
            let n = |i: usize| row.get::<_, i64>(i) as u32;
            each(
                row.get::<_, i32>(0) as usize,
                row.get(1),
                Entry { rows: n(2), open: n(3), replayed: n(4), closed: n(5) },
            );
        }
        Ok(())
    }

    /// The rows of each transaction, without those that replaced a dead letter (rule J6).
    pub async fn spans(&self, ranges: &Ranges) -> Result<Vec<Span>, SinkError> {
        let (from, mine) = self.rows();
        let committed = match self.commit_times {
            true => "(extract(epoch FROM pg_catalog.pg_xact_commit_timestamp(x)) * 1000000)::int8",
            false => "NULL::int8",
        };
        let sql = format!(
            "WITH {LANES} SELECT lane, least, most, rows, {committed} FROM (
               SELECT l.lane, r.x, min(r.o) AS least, max(r.o) AS most, count(*) AS rows FROM {from}
               WHERE {mine} AND r.o >= l.lo AND r.o < l.hi AND NOT EXISTS (SELECT FROM tidemill.dead_letter d
                 WHERE d.source = l.source AND d.partition = l.partition AND d.\"offset\" = r.o AND d.state = 'replayed')
               GROUP BY l.lane, r.x) t"
        );
        let rows = self.lease.query(&sql, &ranges.params()).await.map_err(|e| self.failed(&e))?;
        let span = |r: &Row| Span {
            lane: r.get::<_, i32>(0) as usize,
            first: r.get(1),
            last: r.get(2),
            rows: r.get::<_, i64>(3) as u64,
            committed: r.get(4),
        };
        Ok(rows.iter().map(span).collect())
    }

    /// Entries at or above their lane's mark, and those of partitions that do not exist; `most` of them at most.
    pub async fn outside(&self, ranges: &Ranges, most: i64) -> Result<Vec<Outside>, SinkError> {
        let sql = format!(
            "WITH {LANES} SELECT lane, s, p, o FROM ({}) e WHERE lane IS NULL OR o >= mark ORDER BY lane, s, p, o LIMIT $9::int8",
            self.entries()
        );
        let mut params = ranges.params();
        params.push(&most);
        let rows = self.lease.query(&sql, &params).await.map_err(|e| self.failed(&e))?;
        let outside = |r: &Row| Outside {
            lane: r.get::<_, Option<i32>>(0).map(|l| l as usize),
            source: r.get(1),
            partition: r.get(2),
            offset: r.get(3),
        };
        Ok(rows.iter().map(outside).collect())
    }

    fn failed(&self, error: &tokio_postgres::Error) -> SinkError {
        let doing = format!("reading {} and tidemill.dead_letter (both need SELECT)", self.place.table);
        fault::sink_error(error, &doing, false)
    }
}

fn sum(row: &Row) -> Sum {
    let part = match row.get::<_, i64>(1) {
        -1 => Part::Above,
        -2 => Part::Aside,
        window => Part::Window(window),
    };
    let total: i128 = row.get::<_, &str>(5).parse().expect("a sum of integers is an integer");
    let checksum = Checksum { count: row.get::<_, i64>(3) as u64, xor: row.get::<_, i64>(4) as u64, sum: total as u64 };
    Sum {
        lane: row.get::<_, Option<i32>>(0).map(|l| l as usize),
        part,
        kind: Kind::of(row.get(2)),
        checksum,
        least: row.get(6),
    }
}
