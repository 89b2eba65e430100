//! A database of two tables, as far as the protocol sees it: progress rows with a fence, and dispositions in the order they became visible.

use std::collections::BTreeMap;

use tidemill::domain::care::Attempt;
use tidemill::domain::lane::{Epoch, Lane, Owner};
use tidemill::domain::miss::Mark;
use tidemill::domain::mutants;
use tidemill::domain::scored::{Fate, Group};
use tidemill::domain::verdict::{Rejected, Stage};
use tidemill::ports::{Claimed, Guilty, Moved};

use crate::broker::value_of;

/// How a record ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Row,
    Dead,
    Skip,
}

/// A row of `tidemill.attempt`.
#[derive(Clone, Copy, Default)]
pub struct Kept {
    pub attempt: Attempt,
    blamed: Option<Epoch>,
    noted: Option<Epoch>,
    counted: bool,
}

#[derive(Clone, Default)]
pub struct Database {
    pub rows: BTreeMap<Lane, Mark>,
    pub attempts: BTreeMap<Lane, Kept>,
    /// Moves of a mark by others than its owner (rule W2).
    pub foreign: Vec<(Lane, Epoch)>,
    /// `(lane, offset, how)` in the order in which they became visible.
    pub ends: Vec<(Lane, i64, End)>,
}

/// A row whose value the table refuses.
fn is_refused(value: u64) -> bool {
    value.is_multiple_of(47)
}

impl Database {
    /// Rule C3.
    pub fn claim(&mut self, lane: Lane, floor: Epoch, owner: Owner) -> Claimed {
        let row = self.rows.entry(lane).or_insert(Mark { next_offset: 0, epoch: Epoch(0), owner: None });
        let blamed = row.epoch;
        row.epoch = Epoch(row.epoch.max(floor).0 + 1);
        let before = row.owner.replace(owner);
        let known = self.attempts.get(&lane).copied();
        if before.is_some_and(|b| b != owner) {
            let noted = known.and_then(|k| k.noted);
            let is_its = noted == Some(blamed);
            let attempt = Attempt::after_exit(known.map(|k| k.attempt), row.next_offset, is_its);
            let counted = is_its && attempt.current.is_some();
            self.attempts.insert(lane, Kept { attempt, blamed: Some(blamed), noted, counted });
        }
        let attempt = self.attempts.get(&lane).map(|a| a.attempt);
        Claimed { epoch: row.epoch, next_offset: row.next_offset, attempt }
    }

    /// Rule J5: a record is about to be processed alone; `None`: care is over.
    pub fn note(&mut self, lane: Lane, epoch: Epoch, owner: Owner, offset: Option<Option<i64>>) -> bool {
        let ours = self.rows.get(&lane).is_some_and(|r| r.epoch == epoch && r.owner == Some(owner));
        if !ours {
            return false;
        }
        let kept = self
            .attempts
            .entry(lane)
            .or_insert_with(|| Kept { attempt: Attempt { exits: 1, ..Attempt::default() }, ..Kept::default() });
        kept.noted = offset.flatten().map(|_| epoch);
        match offset {
            Some(Some(offset)) => kept.attempt = kept.attempt.noting(offset),
            Some(None) => {}
            None => drop(self.attempts.remove(&lane)),
        }
        true
    }

    pub fn release(&mut self, lane: Lane, epoch: Epoch, owner: Owner) {
        if let Some(row) = self.rows.get_mut(&lane).filter(|r| r.epoch == epoch && r.owner == Some(owner)) {
            row.owner = None;
        } else if let Some(known) = self.attempts.get_mut(&lane).filter(|a| a.blamed == Some(epoch)) {
            let attempt = known.attempt.forgiven(known.counted);
            *known = Kept { attempt, blamed: None, counted: false, ..*known };
        }
    }

    /// Rules W2 and W3; `None` when a row's data is refused.
    pub fn store(&mut self, group: &Group, owner: Owner) -> Option<Vec<Moved>> {
        let fenced_in: Vec<bool> =
            group.moves.iter().map(|m| self.lets_through(m.lane, m.epoch, m.expected, owner)).collect();
        let through = |lane: Lane| group.moves.iter().zip(&fenced_in).any(|(m, ok)| m.lane == lane && *ok);
        let refused = group
            .pieces
            .iter()
            .filter(|p| through(p.piece().lane))
            .any(|p| p.piece().records().any(|r| matches!(p.fate(r), Fate::Row(row) if is_refused(value_of(row)))));
        if refused {
            return None;
        }
        let mut answer = vec![];
        for (m, _) in group.moves.iter().zip(&fenced_in).filter(|(_, ok)| **ok) {
            let (mut rows, mut dead) = (0, 0);
            for piece in group.pieces.iter().filter(|p| p.piece().lane == m.lane) {
                for record in piece.piece().records() {
                    let offset = piece.scored.batch.records[record].offset;
                    let end = match piece.fate(record) {
                        Fate::Row(_) => End::Row,
                        Fate::Dead(_) => End::Dead,
                        Fate::Skip(_) => End::Skip,
                    };
                    rows += u64::from(end == End::Row);
                    dead += u64::from(end == End::Dead);
                    self.ends.push((m.lane, offset, end));
                }
            }
            assert_eq!((rows, dead), (m.counts.stored, m.counts.dead), "the counts of a move are those of its records");
            let row = self.rows.get_mut(&m.lane).expect("the fence saw it");
            if (row.epoch, row.owner) != (m.epoch, Some(owner)) {
                self.foreign.push((m.lane, m.epoch));
            }
            row.next_offset = m.end;
            answer.push(Moved { lane: m.lane, rows, dead });
        }
        Some(answer)
    }

    fn lets_through(&self, lane: Lane, epoch: Epoch, expected: i64, owner: Owner) -> bool {
        let Some(row) = self.rows.get(&lane) else { return false };
        if mutants::on("no_fence") {
            return true;
        }
        let mark =
            if mutants::on("fence_not_exact") { row.next_offset <= expected } else { row.next_offset == expected };
        let whose = mutants::on("fence_no_epoch") || (row.epoch == epoch && row.owner == Some(owner));
        mark && whose
    }

    pub fn isolate(group: &Group) -> Vec<Guilty> {
        let mut guilty = vec![];
        for (piece, p) in group.pieces.iter().enumerate() {
            for record in p.piece().records() {
                if matches!(p.fate(record), Fate::Row(row) if is_refused(value_of(row))) {
                    guilty.push(Guilty { piece, record, why: Rejected::new(Stage::Write, "22003", "refused") });
                }
            }
        }
        guilty
    }
}
