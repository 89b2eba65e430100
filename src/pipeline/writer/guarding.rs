//! What must not be stored, since its topic is flooded with rejected records (rule J1).
//!
//! A piece is judged once, when it comes from the mill; rows that the database refuses are judged when they are found. A piece
//! that would make the flood goes home unsettled. What precedes it in its lane is still stored; then the lane goes back to intake.

use std::collections::BTreeMap;

use super::Writer;
use super::held::{Pending, Stop};
use crate::domain::batch::Piece;
use crate::domain::guard::{Cause, Flood};
use crate::domain::lane::{Lane, Now};
use crate::domain::scored::{Group, ScoredPiece};
use crate::pipeline::message::{Fate, Message};
use crate::ports::Guilty;

impl Writer {
    /// A piece as the mill hands it on.
    pub(super) fn receive(&mut self, now: Now, mut piece: ScoredPiece, full: bool) {
        let at = *piece.piece();
        let held = self.lanes.get(&at.lane).filter(|h| h.epoch == at.epoch);
        if held.is_none_or(|h| h.stop.is_some_and(|s| at.expected >= s.expected)) {
            return self.bring_home(piece.scored.batch.seq, at, Fate::Dropped);
        }
        match self.guard.judge(now, &piece) {
            Ok(before) => {
                piece.judged_before = before;
                self.wait_its_turn(piece, full, now);
            }
            Err(flood) => {
                self.bring_home(piece.scored.batch.seq, at, Fate::Dropped);
                self.stop(at, flood);
            }
        }
    }

    /// A piece of a group that was not stored: it was judged before.
    pub(super) fn put_back(&mut self, now: Now, piece: ScoredPiece) {
        let at = *piece.piece();
        if self.lanes.get(&at.lane).is_some_and(|h| h.epoch == at.epoch) {
            self.wait_its_turn(piece, false, now);
        } else {
            self.bring_home(piece.scored.batch.seq, at, Fate::Dropped);
        }
    }

    fn wait_its_turn(&mut self, piece: ScoredPiece, full: bool, now: Now) {
        let held = self.lanes.get_mut(&piece.piece().lane).expect("the caller looked");
        held.insert(Pending { piece, full, since: now });
    }

    /// Guilty records become dead letters, unless that would be a flood. Says which lanes stop, at which piece of the group.
    pub(super) fn condemn(
        &mut self,
        now: Now,
        group: &mut Group,
        guilty: Vec<Guilty>,
    ) -> BTreeMap<Lane, (usize, Flood)> {
        let mut by_piece: BTreeMap<usize, Vec<Guilty>> = BTreeMap::new();
        for g in guilty {
            by_piece.entry(g.piece).or_default().push(g);
        }
        let mut stops = BTreeMap::new();
        for (index, guilty) in by_piece {
            let lane = group.pieces[index].piece().lane;
            if stops.contains_key(&lane) {
                continue;
            }
            let (before, first) = (group.pieces[index].judged_before, group.pieces[index].piece().first as usize);
            let numbered = guilty.iter().map(|g| (before + (g.record - first) as u64 + 1, Cause::of(&g.why)));
            match self.guard.lock().amend(now, lane.topic, numbered) {
                Ok(()) => group.pieces[index].refused.extend(guilty.into_iter().map(|g| (g.record as u32, g.why))),
                Err(flood) => drop(stops.insert(lane, (index, flood))),
            }
        }
        stops
    }

    /// Takes a group apart of which some pieces must not be stored.
    pub(super) fn part(&mut self, now: Now, group: Group, stops: &BTreeMap<Lane, (usize, Flood)>) {
        for (i, piece) in group.pieces.into_iter().enumerate() {
            let at = *piece.piece();
            match stops.get(&at.lane) {
                Some((index, flood)) if *index == i => {
                    self.bring_home(piece.scored.batch.seq, at, Fate::Dropped);
                    self.stop(at, *flood);
                }
                _ => self.put_back(now, piece),
            }
        }
    }

    /// The lane goes no further than to this piece.
    fn stop(&mut self, at: Piece, flood: Flood) {
        let Some(held) = self.lanes.get_mut(&at.lane).filter(|h| h.epoch == at.epoch) else { return };
        if held.stop.is_none_or(|s| at.expected < s.expected) {
            held.stop = Some(Stop { expected: at.expected, end: at.end, flood });
        }
        self.yield_flooded(at.lane);
    }

    /// A lane goes back to intake once everything before the piece that stopped it is durable.
    pub(super) fn yield_flooded(&mut self, lane: Lane) {
        let at_stop = |h: &&super::Held| h.stop.is_some_and(|s| s.expected == h.mark);
        if self.lanes.get(&lane).filter(at_stop).is_none() {
            return;
        }
        let held = self.lanes.remove(&lane).expect("it was just looked at");
        let (epoch, stop) = (held.epoch, held.stop.expect("it was just looked at"));
        self.drop_pending(held);
        self.out.push(Message::Flooded { lane, epoch, end: stop.end, flood: stop.flood });
    }
}
