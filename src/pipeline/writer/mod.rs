//! The writer: stores the pieces of its lanes in the order of their marks, many at once (rules W1 to W9).
//!
//! A state machine: [`Writer::step`] says what to ask of the sink, [`Writer::answer`] takes what it said. At most one
//! request is under way. The task around it is in `pipeline/drive.rs`, the simulation has its own.

mod answers;
mod compose;
mod guarding;
mod held;
pub mod options;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::breaker::{Breaker, Pass};
use crate::domain::lane::{Lane, Now, Owner};
use crate::domain::miss::Mark;
use crate::domain::mutants;
use crate::domain::retry::Backoff;
use crate::domain::scored::Group;
use crate::pipeline::clock::Dice;
use crate::pipeline::guarding::SharedGuard;
use crate::pipeline::message::{Fate, Message, Return, ToWriter, Trouble};
use crate::ports::{Guilty, Moved, SinkError};
use held::Held;
use options::Options;

/// What the writer asks of the sink.
#[derive(Clone, Debug)]
pub enum Command {
    Store(Arc<Group>),
    /// Read these rows `FOR UPDATE`.
    Marks(Vec<Lane>),
    Isolate(Arc<Group>),
}

/// What the sink said, in the form that fits the command.
#[derive(Debug)]
pub enum Answer {
    Stored(Result<Vec<Moved>, SinkError>),
    Marks(Result<Vec<Option<Mark>>, SinkError>),
    Isolated(Result<Vec<Guilty>, SinkError>),
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    Do(Command),
    /// Nothing before this time, or before a message comes; `None`: only a message helps.
    Wait(Option<Now>),
}

#[derive(Clone, Debug)]
enum Phase {
    /// Compose the next group.
    Compose,
    /// Store `group` as it is.
    Store,
    /// Read the rows of these lanes; `group`, if any, is frozen until then (rule W4).
    Read(Vec<Lane>, Why),
    /// Find who in `group` is refused.
    Isolate,
}

/// Why rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The mark did not move.
    Miss,
    /// The outcome of a COMMIT is unknown.
    Open,
    /// A new connection, or a lane that was idle for long (rule W7).
    Check,
}

/// Running counts, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub groups: u64,
    pub rows: u64,
    pub retries: u64,
    pub ambiguous: u64,
    /// Misses after which the row was as expected: a race.
    pub again: u64,
    /// Outcomes that were unknown and turned out to be stored.
    pub found_stored: u64,
    /// Pieces of an ended epoch.
    pub dropped: u64,
    pub isolations: u64,
    pub pending: u64,
}

pub struct Writer {
    index: usize,
    me: Owner,
    options: Options,
    dice: Dice,
    guard: SharedGuard,
    lanes: BTreeMap<Lane, Held>,
    /// Where the next group begins to look, so that no lane starves.
    cursor: Option<Lane>,
    phase: Phase,
    /// Taken out of the lanes' pending lists until its outcome is known.
    group: Option<Arc<Group>>,
    asked: bool,
    not_before: Now,
    /// A group that is not full waits for this, as the last fence was slow.
    paced: Now,
    breaker: Breaker,
    /// Of the question under way.
    pass: Option<Pass>,
    /// Misses whose row was as expected: a race, no outage.
    races: Backoff,
    /// Rows that the next group may have; shrinks after timeouts (rule W4).
    limit: u64,
    timeouts_in_a_row: u32,
    fruitless: u32,
    generation: u64,
    /// A new connection: read the rows of all lanes before anything is stored (rule W7).
    verify: bool,
    outage: bool,
    returns: Vec<Return>,
    out: Vec<Message>,
    stats: Stats,
}

impl Writer {
    pub fn new(index: usize, me: Owner, options: Options, dice: Dice) -> Writer {
        let breaker = Breaker::new(options.breaker, options.retry);
        let races = Backoff::new(options.retry);
        let limit = u64::from(options.group_rows);
        Writer {
            index,
            me,
            options,
            dice,
            guard: SharedGuard::default(),
            lanes: BTreeMap::new(),
            cursor: None,
            phase: Phase::Compose,
            group: None,
            asked: false,
            not_before: Now::ZERO,
            paced: Now::ZERO,
            breaker,
            pass: None,
            races,
            limit,
            timeouts_in_a_row: 0,
            fruitless: 0,
            generation: 0,
            verify: false,
            outage: false,
            returns: vec![],
            out: vec![],
            stats: Stats::default(),
        }
    }

    /// The guard that all writers of a process share.
    pub fn guarded_by(self, guard: SharedGuard) -> Writer {
        Writer { guard, ..self }
    }

    pub fn stats(&self) -> Stats {
        let pending = self.lanes.values().map(|h| h.pending.len() as u64).sum();
        Stats { pending, ..self.stats }
    }

    /// Work is held: the watchdog may ask why it does not move.
    pub fn holds_work(&self) -> bool {
        self.group.is_some() || self.lanes.values().any(|h| !h.pending.is_empty())
    }

    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    pub fn in_outage(&self) -> bool {
        self.outage
    }

    pub fn hear(&mut self, now: Now, message: ToWriter) {
        match message {
            ToWriter::Begin { lane, epoch, mark } => {
                let held = Held::new(epoch, mark, now);
                if let Some(old) = self.lanes.insert(lane, held) {
                    self.drop_pending(old);
                }
            }
            ToWriter::End { lane, epoch } => {
                if self.lanes.get(&lane).is_some_and(|h| h.epoch <= epoch)
                    && let Some(old) = self.lanes.remove(&lane)
                {
                    self.drop_pending(old);
                }
            }
            ToWriter::Piece { piece, full } => self.receive(now, piece, full),
        }
    }

    /// What intake is to be told since the last call.
    pub fn take_messages(&mut self) -> Vec<Message> {
        if !self.returns.is_empty() {
            self.out.push(Message::Returned(std::mem::take(&mut self.returns)));
        }
        std::mem::take(&mut self.out)
    }

    /// The group that was begun at `start` kept the database busy with its marks for so long (rule W9).
    pub fn pace(&mut self, start: Now, fence: Duration) {
        let pause = fence * 100 / self.options.fence_share.clamp(1, 100);
        self.paced = start + pause.min(self.options.fence_wait_max.duration());
    }

    pub fn step(&mut self, now: Now) -> Step {
        if self.asked {
            return Step::Wait(None);
        }
        if now < self.not_before {
            return Step::Wait(Some(self.not_before));
        }
        let pass = match self.breaker.admit(now) {
            Ok(pass) => pass,
            Err(until) => return Step::Wait(until),
        };
        if matches!(self.phase, Phase::Compose)
            && let Some(wait) = self.choose(now)
        {
            self.breaker.forget(pass);
            return wait;
        }
        let group = || self.group.clone().expect("a group is present while it is stored or searched");
        let command = match &self.phase {
            Phase::Compose => unreachable!("choose() left this phase or said to wait"),
            Phase::Store => Command::Store(group()),
            Phase::Isolate => Command::Isolate(group()),
            Phase::Read(lanes, _) => Command::Marks(lanes.clone()),
        };
        (self.asked, self.pass) = (true, Some(pass));
        Step::Do(command)
    }

    /// In the composing phase: a row check that is due, a group that can go, or the time to look again.
    fn choose(&mut self, now: Now) -> Option<Step> {
        let interval = self.options.verify_interval.duration();
        // An outage must not outlive the work that met it: intake would wait for ever. A row check ends it.
        let recovering = self.outage && !self.holds_work();
        if recovering && self.lanes.is_empty() {
            self.set_outage(None);
        }
        let verify = self.verify || recovering;
        let due: Vec<Lane> = self
            .lanes
            .iter()
            .filter(|(_, h)| verify || now >= h.checked + interval && !mutants::on("no_row_check"))
            .map(|(l, _)| *l)
            .collect();
        if !due.is_empty() {
            self.verify = false;
            self.phase = Phase::Read(due, Why::Check);
            return None;
        }
        self.verify = false;
        match self.compose(now) {
            Ok(group) => {
                self.group = Some(Arc::new(group));
                self.phase = Phase::Store;
                None
            }
            Err(until) => {
                let check = self.lanes.values().map(|h| h.checked + interval).min();
                let next = [until, check].into_iter().flatten().min();
                Some(Step::Wait(next))
            }
        }
    }

    fn drop_pending(&mut self, held: Held) {
        for pending in held.pending {
            let at = *pending.piece.piece();
            self.bring_home(pending.piece.scored.batch.seq, at, Fate::Dropped);
        }
    }

    fn bring_home(&mut self, seq: u64, piece: crate::domain::batch::Piece, fate: Fate) {
        self.stats.dropped += u64::from(fate == Fate::Dropped);
        self.returns.push(Return { seq, piece, fate });
    }

    fn set_outage(&mut self, cause: Option<Trouble>) {
        if cause.is_some() || self.outage {
            self.outage = cause.is_some();
            self.out.push(Message::Outage { writer: self.index, cause });
        }
    }
}
