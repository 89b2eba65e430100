//! The first level of the tables: counts and checksums of each lane's windows, and the transactions that stored the rows.

use std::collections::BTreeMap;

use crate::adapters::postgres::audit::entries::Kind;
use crate::adapters::postgres::audit::entries::Outside;
use crate::adapters::postgres::audit::entries::Part;
use crate::adapters::postgres::audit::entries::Ranges;
use crate::adapters::postgres::audit::entries::Span;
use crate::adapters::postgres::audit::entries::Sum;
use crate::adapters::postgres::audit::place::Overlap;
use crate::adapters::postgres::audit::snapshot::Snapshot;
use crate::adapters::postgres::fault::StartError;
use crate::app::connect::Trouble;
use crate::app::verify::findings::FIRST;
use crate::app::verify::log::Windows;
use crate::app::verify::scope::Scene;
use crate::app::verify::scope::Scope;
use crate::ports::SinkError;

/// Numbers of entries by what they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub rows: u64,
    pub open: u64,
    pub replayed: u64,
    pub closed: u64,
}

impl Counts {
    fn add(&mut self, kind: Kind, count: u64) {
        *match kind {
            Kind::Row => &mut self.rows,
            Kind::Open => &mut self.open,
            Kind::Replayed => &mut self.replayed,
            Kind::Closed => &mut self.closed,
        } += count;
    }

    pub fn letters(&self) -> u64 {
        self.open + self.replayed + self.closed
    }
}

/// What the tables hold of one lane.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Of what is a disposition by itself: rows and dead letters that did not become rows.
    pub windows: Windows,
    /// Entries in each window, replayed dead letters too.
    pub sizes: BTreeMap<i64, u64>,
    pub judged: Counts,
    pub aside: Counts,
    pub above: Counts,
    /// Lowest offset that has a disposition.
    pub least: Option<i64>,
}

impl Held {
    /// Everything that the tables hold of the lane.
    pub fn all(&self) -> Counts {
        let sum = |f: fn(&Counts) -> u64| f(&self.judged) + f(&self.aside) + f(&self.above);
        Counts {
            rows: sum(|c| c.rows),
            open: sum(|c| c.open),
            replayed: sum(|c| c.replayed),
            closed: sum(|c| c.closed),
        }
    }
}

pub struct Tables {
    pub ranges: Ranges,
    /// In the order of the lanes.
    pub held: Vec<Held>,
    pub spans: Vec<Span>,
    /// Entries where none may be; at most a thousand are named.
    pub outside: Vec<Outside>,
    /// Entries of partitions that do not exist.
    pub strays: u64,
}

impl Tables {
    /// # Errors
    /// When the database cannot be asked, or does not let us.
    pub async fn read(snapshot: &Snapshot, scope: &Scope, only: Option<i32>) -> Result<Tables, Trouble> {
        let failed = |e: SinkError| Trouble::postgres(StartError::from(e));
        let ranges = scope.ranges(only);
        let sums = snapshot.sums(&ranges).await.map_err(failed)?;
        let spans = snapshot.spans(&ranges).await.map_err(failed)?;
        let mut tables =
            Tables { ranges, held: vec![Held::default(); scope.scenes.len()], spans, outside: vec![], strays: 0 };
        sums.iter().for_each(|sum| tables.add(sum));
        if tables.strays > 0 || tables.held.iter().any(|h| h.above != Counts::default()) {
            let most = i64::try_from(FIRST * 50).unwrap_or(i64::MAX);
            tables.outside = snapshot.outside(&tables.ranges, most).await.map_err(failed)?;
        }
        Ok(tables)
    }

    /// Why nothing can be judged: the table keeps the topic's name instead of the source's number, another source has that name too,
    /// and there are more rows than this one stored.
    pub fn mixed(&self, scope: &Scope, table: &str, column: &str) -> Option<String> {
        let strange = |(scene, held): &(&Scene, &Held)| {
            let (all, stored) = (held.all(), scene.standing.map_or(0, |s| s.stored));
            let ours = u64::try_from(stored).unwrap_or(0) + all.replayed;
            // Where totals or rows are not one to one, nothing shows that all rows are ours.
            let vague = scene.rewound.is_some() || scope.overlap == Overlap::Replaced;
            !scene.namesakes.is_empty() && (all.rows > ours || self.strays > 0 || vague && all.rows > 0)
        };
        let (scene, held) = scope.scenes.iter().zip(&self.held).find(strange)?;
        Some(format!(
            "{}[{}]: column {column} of {table} holds the topic's name, which is also that of {}: {} rows of it are there, {} were \
             stored by this source, and whose is whose cannot be told apart; let the column hold the source's number (smallint) \
             to have rows judged",
            scene.topic,
            scene.lane.partition,
            scene.namesakes.join(", "),
            held.all().rows,
            scene.standing.map_or(0, |s| s.stored)
        ))
    }

    fn add(&mut self, sum: &Sum) {
        let Some(lane) = sum.lane else {
            self.strays += sum.checksum.count;
            return;
        };
        let held = &mut self.held[lane];
        match sum.part {
            Part::Aside => held.aside.add(sum.kind, sum.checksum.count),
            Part::Above => held.above.add(sum.kind, sum.checksum.count),
            Part::Window(window) => {
                held.judged.add(sum.kind, sum.checksum.count);
                *held.sizes.entry(window).or_default() += sum.checksum.count;
                if sum.kind != Kind::Replayed {
                    held.windows.entry(window).or_default().join(sum.checksum);
                }
            }
        }
        if sum.kind != Kind::Replayed {
            held.least = Some(held.least.map_or(sum.least, |l| l.min(sum.least)));
        }
    }
}
