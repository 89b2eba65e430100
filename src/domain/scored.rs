//! A batch after the mill: raw records, verdicts and encoded rows, ready for the sink; and the group that is stored at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::batch::{Batch, Piece};
use super::lane::{Epoch, Lane};
use super::verdict::{Rejected, Verdict, Verdicts};

/// Encoded result rows of a batch. `spans[r]` is the place of record `r`'s row; an empty span means no row.
#[derive(Debug, Default)]
pub struct Rows {
    pub bytes: Vec<u8>,
    pub spans: Vec<(u32, u32)>,
}

impl Rows {
    pub fn reset(&mut self, records: usize) {
        self.bytes.clear();
        self.spans.clear();
        self.spans.resize(records, (0, 0));
    }

    pub fn row(&self, record: usize) -> &[u8] {
        let (start, len) = self.spans[record];
        &self.bytes[start as usize..(start + len) as usize]
    }
}

/// How many records ended how. Every record is exactly one of these (promise P1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub stored: u64,
    pub dead: u64,
    pub skipped: u64,
}

impl Counts {
    pub fn total(&self) -> u64 {
        self.stored + self.dead + self.skipped
    }

    pub fn add(&mut self, other: Counts) {
        self.stored += other.stored;
        self.dead += other.dead;
        self.skipped += other.skipped;
    }
}

/// A batch after the mill. Shared by the writers of its pieces; freed when the last piece is settled.
#[derive(Debug, Default)]
pub struct Scored {
    pub batch: Batch,
    pub verdicts: Verdicts,
    pub rows: Rows,
}

/// One piece of a scored batch on its way to the sink.
#[derive(Clone, Debug)]
pub struct ScoredPiece {
    pub scored: Arc<Scored>,
    /// Index into the batch's pieces.
    pub index: usize,
    /// Records that the sink itself refused, by record number: they overrule the mill's verdict.
    pub refused: BTreeMap<u32, Rejected>,
    /// Records of its topic that the flood guard had judged before this piece: its records have the numbers behind it.
    pub judged_before: u64,
}

/// How one record of a piece is to be made durable.
#[derive(Clone, Copy, Debug)]
pub enum Fate<'a> {
    Row(&'a [u8]),
    Dead(&'a Rejected),
    Skip(u16),
}

impl ScoredPiece {
    /// A piece as it leaves the mill.
    pub fn new(scored: Arc<Scored>, index: usize) -> ScoredPiece {
        ScoredPiece { scored, index, refused: BTreeMap::new(), judged_before: 0 }
    }

    pub fn piece(&self) -> &Piece {
        &self.scored.batch.pieces[self.index]
    }

    /// The fate of record `record` of the batch.
    #[inline]
    pub fn fate(&self, record: usize) -> Fate<'_> {
        if let Some(why) = self.refused.get(&(record as u32)) {
            return Fate::Dead(why);
        }
        match self.scored.verdicts.of[record] {
            Verdict::Keep => Fate::Row(self.scored.rows.row(record)),
            Verdict::Skip(rule) => Fate::Skip(rule),
            Verdict::Dead(i) => Fate::Dead(&self.scored.verdicts.rejected[i as usize]),
        }
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for record in self.piece().records() {
            match self.fate(record) {
                Fate::Row(_) => counts.stored += 1,
                Fate::Dead(_) => counts.dead += 1,
                Fate::Skip(_) => counts.skipped += 1,
            }
        }
        counts
    }
}

/// One progress row that a group moves: from `expected` to `end`, if epoch and owner are still ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    pub lane: Lane,
    pub epoch: Epoch,
    pub expected: i64,
    pub end: i64,
    /// What is added to the row's running totals.
    pub counts: Counts,
    /// Of the last disposed record, see [`fingerprint`]; `None` when the group disposes of no record of this lane.
    pub fingerprint: Option<i64>,
}

/// What is stored in one transaction. Moves are sorted by lane and name each lane once; pieces are in log order within a lane.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub moves: Vec<Move>,
    pub pieces: Vec<ScoredPiece>,
}

impl Group {
    /// Records that become rows or dead letters.
    pub fn rows(&self) -> u64 {
        self.moves.iter().map(|m| m.counts.stored + m.counts.dead).sum()
    }
}

/// 64-bit FNV-1a over offset, timestamp, key and payload: tells a re-created topic or a truncated log from ours.
///
/// Source: Fowler, Noll, Vo, draft-eastlake-fnv.
pub fn fingerprint(batch: &Batch, record: usize) -> i64 {
    let r = &batch.records[record];
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |bytes: &[u8]| {
        for b in bytes {
            hash = (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    eat(&r.offset.to_be_bytes());
    eat(&r.timestamp.to_be_bytes());
    eat(batch.key(record).unwrap_or(b"\xff"));
    eat(batch.payload(record).unwrap_or(b"\xff"));
    hash as i64
}
