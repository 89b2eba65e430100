//! What the sink's answers mean (rules W3, W4, W5, W7).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compose::move_of;
use super::{Answer, Phase, Why, Writer};
use crate::domain::breaker::State;
use crate::domain::lane::{Lane, Now};
use crate::domain::miss::{Mark, Miss, judge};
use crate::domain::mutants;
use crate::domain::scored::{Counts, Fate as RecordFate, Group, ScoredPiece};
use crate::domain::verdict::{CONFLICT_RULE, Rejected, Stage};
use crate::pipeline::message::{Fate, Message, Tally, Trouble};
use crate::ports::{Guilty, Moved, SinkError, SinkFault};

/// A sink that calls a row refused and then finds none is asked this often before it counts as an outage.
const FRUITLESS_MAX: u32 = 3;
/// `query_canceled`: the server ended the statement because it took too long, so it surely is not stored.
const STATEMENT_TIMEOUT: &str = "57014";

impl Writer {
    /// Takes the sink's answer. `generation` is the sink's after the call (rule W7).
    pub fn answer(&mut self, now: Now, answer: Answer, generation: u64) {
        assert!(self.asked, "an answer without a question");
        self.asked = false;
        if generation != self.generation {
            self.generation = generation;
            self.verify = true;
        }
        match answer {
            Answer::Stored(Ok(moved)) => self.stored(now, &moved),
            Answer::Stored(Err(error)) => self.refused(now, error),
            Answer::Marks(Ok(rows)) => self.read(now, rows),
            Answer::Marks(Err(error)) => {
                // Still unknown: the group stays frozen and the rows are asked for again.
                self.wait(now, &error);
            }
            Answer::Isolated(Ok(guilty)) => self.isolated(now, guilty),
            // A search that is itself refused found nobody; asked again without end it would be a busy loop.
            Answer::Isolated(Err(error)) if error.fault == SinkFault::Data => self.isolated(now, vec![]),
            Answer::Isolated(Err(error)) => self.refused(now, error),
        }
        // An answer that says neither well nor ill of the database.
        if let Some(pass) = self.pass.take() {
            self.breaker.forget(pass);
        }
    }

    fn wait(&mut self, now: Now, error: &SinkError) {
        self.stats.retries += 1;
        let person = matches!(error.fault, SinkFault::Operator | SinkFault::Contract | SinkFault::Bug);
        if let Some(pass) = self.pass.take() {
            // Without a SQLSTATE it was the connection that failed: nobody answers, so there is nothing to count.
            let grave = person || error.sqlstate.is_none();
            self.not_before = self.breaker.failed(now, pass, self.dice.unit(), grave);
        }
        if person {
            tracing::error!(error = %error.message, sqlstate = error.sqlstate, "cannot store; somebody must act");
        } else if self.breaker.backoff().failures() == 1 {
            tracing::warn!(error = %error.message, sqlstate = error.sqlstate, "cannot store; trying again");
        }
        if self.breaker.state() != State::Closed {
            self.set_outage(Some(Trouble { fault: error.fault, text: error.message.clone() }));
        }
    }

    /// The database did what it was asked; intake hears of it once the breaker has closed.
    fn well(&mut self, now: Now) {
        if let Some(pass) = self.pass.take() {
            self.breaker.succeeded(now, pass);
        }
        if self.breaker.state() == State::Closed {
            self.set_outage(None);
        }
    }

    fn stored(&mut self, now: Now, moved: &[Moved]) {
        let group = self.take_group();
        self.stats.groups += 1;
        self.stats.rows += group.rows();
        self.well(now);
        (self.timeouts_in_a_row, self.fruitless) = (0, 0);
        self.limit = (self.limit * 2).min(u64::from(self.options.group_rows));
        let (mut missed, mut met) = (vec![], BTreeMap::new());
        for m in &group.moves {
            let answer = moved.iter().find(|x| x.lane == m.lane);
            if answer.is_some() || mutants::on("miss_is_success") {
                met.insert(m.lane, answer.map_or(0, |x| m.counts.stored.saturating_sub(x.rows)));
                if let Some(held) = self.lanes.get_mut(&m.lane).filter(|h| h.epoch == m.epoch) {
                    assert!(m.expected == held.mark, "W1: {} moved from {}, mark {}", m.lane, m.expected, held.mark);
                    held.mark = m.end;
                    held.checked = now;
                }
            } else {
                missed.push(m.lane);
            }
        }
        let (done, back): (Vec<_>, Vec<_>) = group.pieces.into_iter().partition(|p| !missed.contains(&p.piece().lane));
        done.iter().for_each(|p| self.settle(p, met.entry(p.piece().lane).or_default()));
        group.moves.iter().for_each(|m| self.yield_flooded(m.lane));
        self.phase = Phase::Compose;
        if !missed.is_empty() {
            self.unfreeze(now, back);
            self.read_next(missed, Why::Miss);
        }
    }

    fn refused(&mut self, now: Now, error: SinkError) {
        match error.fault {
            SinkFault::Data => {
                self.stats.isolations += 1;
                self.phase = Phase::Isolate;
            }
            SinkFault::Ambiguous => {
                // Never recomposed while its COMMIT is unknown (rule W4).
                self.stats.ambiguous += 1;
                self.timed_out();
                let group = self.group.as_ref().expect("it was being stored");
                let lanes = group.moves.iter().map(|m| m.lane).collect();
                self.read_next(lanes, Why::Open);
                self.wait(now, &error);
            }
            SinkFault::Transient | SinkFault::Operator | SinkFault::Contract | SinkFault::Bug => {
                if error.sqlstate.as_deref() == Some(STATEMENT_TIMEOUT) {
                    self.timed_out();
                }
                if error.fault == SinkFault::Bug {
                    // Perhaps it is about rows that meet in one statement: as few of them as may be.
                    self.limit = 1;
                }
                let mut group = self.take_group();
                if mutants::on("outage_is_poison") {
                    condemn_all(&mut group, &error);
                }
                self.unfreeze(now, group.pieces);
                self.phase = Phase::Compose;
                self.verify = true;
                self.wait(now, &error);
            }
        }
    }

    /// Two in a row: the group is halved, down to one batch (rule W4).
    fn timed_out(&mut self) {
        self.timeouts_in_a_row += 1;
        if self.timeouts_in_a_row >= 2 {
            self.limit = (self.limit / 2).max(1);
        }
    }

    /// Asks for the rows of these lanes next, if any is still held.
    fn read_next(&mut self, mut lanes: Vec<Lane>, why: Why) {
        lanes.retain(|l| self.lanes.contains_key(l));
        if lanes.is_empty() {
            self.drop_frozen();
            self.phase = Phase::Compose;
        } else {
            self.phase = Phase::Read(lanes, why);
        }
    }

    fn read(&mut self, now: Now, rows: Vec<Option<Mark>>) {
        let Phase::Read(lanes, why) = std::mem::replace(&mut self.phase, Phase::Compose) else {
            unreachable!("rows are only read in this phase")
        };
        let mut frozen = self.group.take().map(|g| Arc::unwrap_or_clone(g).pieces).unwrap_or_default();
        let mut as_expected = false;
        for (lane, row) in lanes.into_iter().zip(rows) {
            let Some(held) = self.lanes.get_mut(&lane) else { continue };
            let (epoch, mark) = (held.epoch, held.mark);
            let ours = frozen.iter().filter(|p| p.piece().lane == lane && p.piece().epoch == epoch);
            let ends = ours.map(|p| p.piece().end).chain(held.pending.iter().map(|p| p.end()));
            match judge(row, self.me, epoch, mark, ends) {
                Miss::AsExpected => {
                    held.checked = now;
                    as_expected |= held.is_ready();
                    self.stats.again += u64::from(why == Why::Miss);
                }
                Miss::StoredTo(end) => {
                    self.stats.found_stored += 1;
                    held.checked = now;
                    held.mark = end;
                    self.settle_to(lane, end, &mut frozen);
                }
                miss @ (Miss::Fenced | Miss::Restart | Miss::Park) => {
                    let held = self.lanes.remove(&lane).expect("it is held");
                    self.drop_pending(held);
                    self.out.push(Message::Missed { lane, epoch, miss });
                }
            }
        }
        self.unfreeze(now, frozen);
        if as_expected && why == Why::Miss {
            // A row that is as expected and yet did not move: a race; not at full speed (rule W5).
            self.not_before = self.races.failed(now, self.dice.unit());
        } else if why == Why::Miss {
            self.races.succeeded(now);
        }
        // With work waiting only a stored group is proof: rows can be read of a server that cannot write.
        if !self.holds_work() {
            self.well(now);
        }
    }

    fn settle_to(&mut self, lane: Lane, end: i64, frozen: &mut Vec<ScoredPiece>) {
        let stored = |p: &ScoredPiece| p.piece().lane == lane && p.piece().end <= end;
        let (done, rest) = std::mem::take(frozen).into_iter().partition(stored);
        *frozen = rest;
        let done: Vec<ScoredPiece> = done;
        // How many rows met one already there went with the lost answer: they count as stored.
        done.iter().for_each(|p| self.settle(p, &mut 0));
        let held = self.lanes.get_mut(&lane).expect("it is held");
        let mut late = vec![];
        while held.pending.front().is_some_and(|p| p.end() <= end) {
            late.extend(held.pending.pop_front().map(|p| p.piece));
        }
        late.iter().for_each(|p| self.settle(p, &mut 0));
        self.yield_flooded(lane);
    }

    fn isolated(&mut self, now: Now, mut guilty: Vec<Guilty>) {
        let group = self.group.as_ref().expect("it was being searched");
        // Who is a dead letter already cannot be guilty again.
        guilty.retain(|g| matches!(group.pieces[g.piece].fate(g.record), RecordFate::Row(_)));
        if guilty.is_empty() {
            self.fruitless += 1;
            self.phase = Phase::Store;
            if self.fruitless >= FRUITLESS_MAX {
                self.fruitless = 0;
                let message = "the database refuses a group for its data but no single row of it".to_owned();
                self.refused(now, SinkError { fault: SinkFault::Bug, sqlstate: None, message });
            }
            return;
        }
        self.fruitless = 0;
        let mut group = self.take_group();
        let stops = self.condemn(now, &mut group, guilty);
        if !stops.is_empty() {
            self.phase = Phase::Compose;
            return self.part(now, group, &stops);
        }
        for m in &mut group.moves {
            let pieces: Vec<ScoredPiece> = group.pieces.iter().filter(|p| p.piece().lane == m.lane).cloned().collect();
            *m = move_of(m.lane, m.epoch, &pieces);
        }
        self.group = Some(Arc::new(group));
        self.phase = Phase::Store;
    }

    fn take_group(&mut self) -> Group {
        Arc::unwrap_or_clone(self.group.take().expect("a group was under way"))
    }

    fn drop_frozen(&mut self) {
        for piece in self.group.take().map(|g| Arc::unwrap_or_clone(g).pieces).unwrap_or_default() {
            self.bring_home(piece.scored.batch.seq, *piece.piece(), Fate::Dropped);
        }
    }

    /// `met` are rows of the lane that met one already there, which stays (`table.on_conflict`): skipped records. Which ones
    /// they are nobody asked, so the lane's first pieces count for all.
    fn settle(&mut self, piece: &ScoredPiece, met: &mut u64) {
        let mut tally = tally(piece);
        let skipped = tally.counts.stored.min(*met);
        if skipped > 0 {
            *met -= skipped;
            tally.counts.stored -= skipped;
            tally.counts.skipped += skipped;
            tally.skips.push((CONFLICT_RULE, skipped));
        }
        self.bring_home(piece.scored.batch.seq, *piece.piece(), Fate::Settled(tally));
    }
}

/// A planted bug: what an outage keeps from being stored is taken for poison.
fn condemn_all(group: &mut Group, error: &SinkError) {
    for piece in &mut group.pieces {
        for record in piece.piece().records() {
            let why = Rejected::new(Stage::Write, "outage", &error.message);
            piece.refused.insert(record as u32, why);
        }
    }
}

/// Dispositions of a piece with their reasons.
fn tally(piece: &ScoredPiece) -> Tally {
    let mut tally = Tally::default();
    let mut counts = Counts::default();
    for record in piece.piece().records() {
        match piece.fate(record) {
            RecordFate::Row(_) => counts.stored += 1,
            RecordFate::Dead(why) => {
                counts.dead += 1;
                match tally.reasons.iter_mut().find(|(s, r, _)| (*s, *r) == (why.stage, why.reason)) {
                    Some((_, _, n)) => *n += 1,
                    None => tally.reasons.push((why.stage, why.reason, 1)),
                }
            }
            RecordFate::Skip(rule) => {
                counts.skipped += 1;
                match tally.skips.iter_mut().find(|(r, _)| *r == rule) {
                    Some((_, n)) => *n += 1,
                    None => tally.skips.push((rule, 1)),
                }
            }
        }
    }
    tally.counts = counts;
    tally
}
