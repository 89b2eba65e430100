//! Intake: owns the Kafka client and the ledgers. Nobody else takes, commits or answers a rebalance.
//!
//! A state machine with a [`Intake::turn`]; the thread loop around it is in `pipeline/threads.rs`, the simulation has its own.

mod alone;
mod custody;
mod drain;
mod events;
mod fill;
mod flood;
mod lanes;
pub mod options;
mod returns;
mod status;

use std::collections::{BTreeMap, VecDeque};

pub use status::{LaneStatus, Status};

use crate::domain::batch::Batch;
use crate::domain::guard;
use crate::domain::lane::{Epoch, Lane, Now};
use crate::domain::retry::{self, Backoff};
use crate::pipeline::clock::Dice;
use crate::pipeline::guarding::SharedGuard;
use crate::pipeline::message::{Message, Order, TopicTrouble, Trouble};
use crate::ports::{Broker, BrokerEvent};
use alone::Alone;
use custody::Custody;
use drain::Drain;
pub use drain::Outcome;
pub use fill::Closed;
use flood::Stopped;
use options::{BatchOptions, Options, ShutdownOptions};
pub use returns::{TopicTotals, Totals};

/// All that intake is set by.
#[derive(Debug, Clone)]
pub struct Settings {
    pub intake: Options,
    pub batch: BatchOptions,
    pub shutdown: ShutdownOptions,
    /// How often Kafka is told our marks.
    pub commit_interval: Now,
    pub guard: guard::Options,
    /// Mill threads.
    pub workers: usize,
}

/// A batch that left for the mill.
#[derive(Debug)]
struct Flight {
    pieces: u32,
    records: u64,
    bytes: u64,
}

/// Partitions that the group wants back.
#[derive(Debug)]
struct Revoke {
    lanes: Vec<Lane>,
    deadline: Now,
}

pub struct Intake {
    settings: Settings,
    dice: Dice,
    lanes: BTreeMap<Lane, Custody>,
    ready: VecDeque<Lane>,
    open: Batch,
    opened: Now,
    seq: u64,
    flights: BTreeMap<u64, Flight>,
    in_flight_records: u64,
    in_flight_bytes: u64,
    in_mill: usize,
    alone: Option<Alone>,
    tickets: u64,
    /// Highest epoch that this process was ever granted, by lane: the floor of its next claim (rule C3).
    floors: BTreeMap<Lane, Epoch>,
    /// The group waits for an assign call of ours.
    assign_owed: bool,
    revoke: Option<Revoke>,
    drain: Option<Drain>,
    outages: BTreeMap<usize, Trouble>,
    kafka_down: Option<String>,
    /// Topics that cannot be read on as a whole.
    topics: BTreeMap<u16, TopicTrouble>,
    releasing: usize,
    commit_due: Now,
    sweep_due: Now,
    totals: Totals,
    guard: SharedGuard,
    /// By topic.
    stopped: BTreeMap<u16, Stopped>,
    asking_accepted: bool,
    accepted_due: Now,
    /// What a person accepted holds until then, unless it is ended early.
    accepted_until: Now,
    events: Vec<BrokerEvent>,
    woken: Vec<Lane>,
}

/// What a turn came to.
#[derive(Debug)]
pub struct Turn {
    /// Turn again by then, even if nobody wakes us.
    pub next: Now,
    /// Present once: the thread ends.
    pub done: Option<Outcome>,
}

/// Longest park of the intake thread: the safety net under all wake-ups, and the main queue's pace (rule T3).
pub const PACE: Now = Now::from_millis(50);

impl Intake {
    pub fn new(settings: Settings, dice: Dice) -> Intake {
        Intake {
            settings,
            dice,
            lanes: BTreeMap::new(),
            ready: VecDeque::new(),
            open: Batch::default(),
            opened: Now::ZERO,
            seq: 0,
            flights: BTreeMap::new(),
            in_flight_records: 0,
            in_flight_bytes: 0,
            in_mill: 0,
            alone: None,
            tickets: 0,
            floors: BTreeMap::new(),
            assign_owed: false,
            revoke: None,
            drain: None,
            outages: BTreeMap::new(),
            kafka_down: None,
            topics: BTreeMap::new(),
            releasing: 0,
            commit_due: Now::ZERO,
            sweep_due: Now::ZERO,
            totals: Totals::default(),
            guard: SharedGuard::default(),
            stopped: BTreeMap::new(),
            asking_accepted: false,
            accepted_due: Now::ZERO,
            accepted_until: Now::ZERO,
            events: vec![],
            woken: vec![],
        }
    }

    /// The guard that the writers judge with; only they look at records.
    pub fn guarded_by(self, guard: SharedGuard) -> Intake {
        Intake { guard, ..self }
    }

    /// One turn: returns first, then the client's events, then timers, and only then new records.
    pub fn turn(
        &mut self,
        now: Now,
        broker: &mut dyn Broker,
        messages: &mut VecDeque<Message>,
        orders: &mut Vec<Order>,
    ) -> Turn {
        while let Some(message) = messages.pop_front() {
            self.hear(now, message, broker, orders);
        }
        self.poll(now, broker, orders);
        self.watch_floods(now, orders);
        self.wake_lanes(now, orders);
        self.answer_assign(broker);
        self.finish_revoke(now, broker, orders);
        let done = self.step_drain(now, broker, orders);
        if self.drain.is_none() {
            self.fill_and_close(now, broker, orders);
            self.move_idle(now, broker, orders);
        }
        self.step_alone(now, orders);
        self.commit(now, broker);
        Turn { next: self.next_due(now), done }
    }

    fn poll(&mut self, now: Now, broker: &mut dyn Broker, orders: &mut Vec<Order>) {
        let mut events = std::mem::take(&mut self.events);
        broker.poll(&mut events);
        for event in events.drain(..) {
            self.event(now, event, broker, orders);
        }
        self.events = events;
        let mut woken = std::mem::take(&mut self.woken);
        broker.ready(&mut woken);
        for lane in woken.drain(..) {
            self.queue(lane);
        }
        self.woken = woken;
        // The safety net: a wake-up that was lost costs one pace, not a silent lane.
        if now >= self.sweep_due {
            self.sweep_due = now + PACE;
            let reading: Vec<Lane> = self.lanes.iter().filter(|(_, c)| c.is_reading()).map(|(l, _)| *l).collect();
            reading.into_iter().for_each(|lane| self.queue(lane));
        }
    }

    fn queue(&mut self, lane: Lane) {
        if let Some(custody) = self.lanes.get_mut(&lane).filter(|c| c.is_reading() && !c.queued) {
            custody.queued = true;
            self.ready.push_back(lane);
        }
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    fn backoff(&self) -> Backoff {
        let options = &self.settings.intake;
        Backoff::patient(retry::Options { first: options.reclaim_after, cap: options.reclaim_cap, budget: 0 })
    }

    /// Tells Kafka how far we are, for lag tools only; never more than what is durable (promise P2).
    fn commit(&mut self, now: Now, broker: &mut dyn Broker) {
        if now < self.commit_due {
            return;
        }
        self.commit_due = now + self.settings.commit_interval;
        self.commit_now(broker);
    }

    fn commit_now(&mut self, broker: &mut dyn Broker) {
        let mut marks = vec![];
        for (lane, custody) in self.lanes.iter().filter(|(_, c)| c.fetching) {
            let Some(ledger) = &custody.ledger else { continue };
            let mark = if crate::domain::mutants::on("commit_taken") { ledger.position() } else { ledger.mark() };
            if mark != custody.committed {
                marks.push((*lane, mark));
            }
        }
        if marks.is_empty() {
            return;
        }
        match broker.commit(&marks) {
            Ok(()) => {
                for (lane, mark) in marks {
                    if let Some(custody) = self.lanes.get_mut(&lane) {
                        custody.committed = mark;
                    }
                }
            }
            Err(error) => {
                self.totals.commit_errors += 1;
                tracing::warn!(%error, "could not tell kafka our offsets; lag tools are behind, nothing else");
            }
        }
    }

    fn next_due(&self, now: Now) -> Now {
        let mut next = now + PACE;
        let wait = self.settings.batch.wait.duration();
        // Without a free worker the end of the delay decides nothing; a freed one wakes us.
        if !self.open.is_empty() && !wait.is_zero() && self.in_mill < self.settings.workers {
            next = next.min(self.opened + wait);
        }
        next.max(now)
    }
}
