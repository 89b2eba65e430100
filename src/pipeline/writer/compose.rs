//! Group commit: what goes into one transaction, and when (rules W1, W9).

use super::Writer;
use super::held::Pending;
use crate::domain::lane::{Lane, Now};
use crate::domain::scored::{Counts, Group, Move, ScoredPiece, fingerprint};

impl Writer {
    /// The next group, or until when to wait for a larger one (`None`: nothing is ready).
    pub(super) fn compose(&mut self, now: Now) -> Result<Group, Option<Now>> {
        let lanes = self.ready_lanes();
        if lanes.is_empty() {
            return Err(None);
        }
        if let Some(until) = self.grow_until(&lanes).filter(|until| now < *until) {
            return Err(Some(until));
        }
        let mut group = Group::default();
        let (mut rows, mut bytes) = (0, 0);
        for lane in lanes {
            let room = |rows, bytes| rows < self.limit && bytes < self.options.group_bytes.0;
            if !room(rows, bytes) {
                break;
            }
            let held = self.lanes.get_mut(&lane).expect("it was just listed");
            let (mut end, epoch) = (held.mark, held.epoch);
            let first = group.pieces.len();
            while held.pending.front().is_some_and(|p| p.expected() == end) && room(rows, bytes) {
                let pending = held.pending.pop_front().expect("it is in front");
                rows += u64::from(pending.piece.piece().count);
                bytes += pending.bytes();
                end = pending.end();
                group.pieces.push(pending.piece);
            }
            group.moves.push(move_of(lane, epoch, &group.pieces[first..]));
            self.cursor = Some(lane);
        }
        group.moves.sort_by_key(|m| m.lane);
        Ok(group)
    }

    /// Lanes with a piece that may go, beginning behind the one that went last.
    fn ready_lanes(&self) -> Vec<Lane> {
        let ready = self.lanes.iter().filter(|(_, h)| h.is_ready()).map(|(l, _)| *l);
        let mut lanes: Vec<Lane> = ready.collect();
        if let Some(cursor) = self.cursor {
            let behind = lanes.partition_point(|l| *l <= cursor);
            lanes.rotate_left(behind);
        }
        lanes
    }

    /// Under backlog a group may grow, and it does while fences are slow; otherwise it goes at once.
    fn grow_until(&self, lanes: &[Lane]) -> Option<Now> {
        let (mut rows, mut bytes, mut oldest, mut full) = (0, 0, Now::MAX, false);
        for held in lanes.iter().map(|l| &self.lanes[l]) {
            let mut end = held.mark;
            for p in held.pending.iter().take_while(|p| std::mem::replace(&mut end, p.end()) == p.expected()) {
                rows += u64::from(p.piece.piece().count);
                bytes += p.bytes();
                oldest = oldest.min(p.since);
                full = p.full;
            }
        }
        let grown = if full { oldest + self.options.group_wait.duration() } else { Now::ZERO };
        (rows < self.limit && bytes < self.options.group_bytes.0).then(|| grown.max(self.paced))
    }

    /// Puts pieces of an unsettled group back; those of an ended epoch go home.
    pub(super) fn unfreeze(&mut self, now: Now, pieces: Vec<ScoredPiece>) {
        for piece in pieces {
            self.put_back(now, piece);
        }
    }
}

/// The move of one lane's pieces, which follow each other.
pub(super) fn move_of(lane: Lane, epoch: crate::domain::lane::Epoch, pieces: &[ScoredPiece]) -> Move {
    let mut counts = Counts::default();
    pieces.iter().for_each(|p| counts.add(p.counts()));
    let last = pieces.iter().rev().find(|p| p.piece().count > 0);
    let fingerprint = last.map(|p| fingerprint(&p.scored.batch, p.piece().records().end - 1));
    let (first, last) = (&pieces[0], &pieces[pieces.len() - 1]);
    Move { lane, epoch, expected: first.piece().expected, end: last.piece().end, counts, fingerprint }
}

/// This keeps the size of `Pending` in sight, since thousands may wait.
const _: () = assert!(std::mem::size_of::<Pending>() <= 96);
