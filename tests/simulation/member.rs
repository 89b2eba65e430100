//! One process: the real intake, mill and writers, with every wait between them in the simulation's hands.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tidemill::domain::batch::Batch;
use tidemill::domain::fields::Fields;
use tidemill::domain::guard::{self, Accepted};
use tidemill::domain::lane::{Epoch, Lane, Now, Owner};
use tidemill::domain::outputs::Outputs;
use tidemill::domain::retry;
use tidemill::domain::scored::{Rows, ScoredPiece};
use tidemill::domain::units::Millis;
use tidemill::domain::verdict::{Rejected, Stage, Verdicts};
use tidemill::pipeline::clock::Dice;
use tidemill::pipeline::guarding::SharedGuard;
use tidemill::pipeline::intake::options::{BatchOptions, Options, ShutdownOptions};
use tidemill::pipeline::intake::{Intake, Outcome, Settings};
use tidemill::pipeline::message::{Message, Order, ToWriter, writer_of};
use tidemill::pipeline::mill::Mill;
use tidemill::pipeline::writer::options::Options as WriterOptions;
use tidemill::pipeline::writer::{Answer, Command, Step, Writer};
use tidemill::ports::{ClaimError, Claimed, Decoder, Model, ModelError, RowEncoder, SinkError, SinkFault};

use crate::broker::{Port, World, value_of};
use crate::database::Database;

/// Unclean ends with one record that condemn it.
pub const CRASH_TRIES: u32 = 4;

pub const DEADLY: u64 = 9973;

/// A record that ends the process which mills it.
pub fn is_deadly(value: u64) -> bool {
    value > 0 && value.is_multiple_of(DEADLY)
}

struct Values;

impl Decoder for Values {
    fn decode(&mut self, batch: &Batch, fields: &mut Fields, verdicts: &mut Verdicts) {
        fields.reset(batch.records.len(), 1);
        for record in 0..batch.records.len() {
            let value = value_of(batch.payload(record).expect("simulated records have a payload"));
            match value {
                v if v % 37 == 0 => verdicts.reject(record, Rejected::new(Stage::Decode, "bad", "x")),
                v if v % 41 == 0 => verdicts.skip(record, 0),
                v => fields.row_mut(record).set_integer(0, v as i64),
            }
        }
    }

    fn fork(&self) -> Box<dyn Decoder> {
        Box::new(Values)
    }
}

struct Touchy;

impl Model for Touchy {
    fn run(&mut self, _: &Batch, fields: &Fields, records: &[u32], _: &mut Outputs) -> Result<(), ModelError> {
        let bad = records.iter().any(|r| fields.integer(*r as usize, 0).is_some_and(|v| v % 43 == 0));
        if bad { Err(ModelError::new("a value that the model cannot bear")) } else { Ok(()) }
    }

    fn fork(&self) -> Box<dyn Model> {
        Box::new(Touchy)
    }
}

struct Plain;

impl RowEncoder for Plain {
    fn encode(&self, batch: &Batch, _: &Fields, _: &Outputs, records: &[u32], rows: &mut Rows, _: &mut Verdicts) {
        for record in records {
            let start = rows.bytes.len() as u32;
            rows.bytes.extend_from_slice(batch.payload(*record as usize).expect("simulated records have a payload"));
            rows.spans[*record as usize] = (start, 8);
        }
    }
}

/// A question to the database, on its way there or its answer on the way back.
pub struct Request {
    pub command: Command,
    pub answer: Option<Answer>,
}

pub enum Errand {
    Claim { lane: Lane, ticket: u64, floor: Epoch, answer: Option<Result<Claimed, ClaimError>> },
    Peek { lane: Lane, ticket: u64 },
    Release { lane: Lane, epoch: Epoch },
    Accepted,
    Note { lane: Lane, epoch: Epoch, ticket: u64, offset: Option<i64> },
    Calm { lane: Lane, epoch: Epoch },
}

pub struct Member {
    pub id: u32,
    pub owner: Owner,
    pub intake: Intake,
    pub port: Port,
    pub inbox: VecDeque<Message>,
    pub mill: Mill,
    pub batches: VecDeque<Batch>,
    pub writers: Vec<Writer>,
    pub requests: Vec<Option<Request>>,
    pub errands: Vec<Errand>,
    pub paused: bool,
    pub outcome: Option<Outcome>,
    generation: u64,
}

impl Member {
    pub fn new(id: u32, world: Rc<RefCell<World>>, dice: &mut Dice) -> Member {
        let owner = dice.owner();
        let writers = 1 + dice.below(2) as usize;
        let retry = retry::Options { first: Millis(20), cap: Millis(400), budget: 30 };
        let settings = Settings {
            intake: Options {
                in_flight_records: 20 + dice.below(100) as u32,
                reclaim_after: Millis(100),
                reclaim_cap: Millis(1000),
                parked_recheck: Millis(200),
                idle_interval: Millis(100),
                crash_tries: CRASH_TRIES,
                ..Options::default()
            },
            batch: BatchOptions {
                rows_max: 1 + dice.below(16) as u32,
                wait: Millis(dice.below(3) * 10),
                ..BatchOptions::default()
            },
            shutdown: ShutdownOptions { budget: Millis(4000), revoke: Millis(500), leave: Millis(900) },
            commit_interval: Duration::from_millis(50),
            guard: guard(),
            workers: 1 + dice.below(2) as usize,
        };
        let options = WriterOptions {
            writers: writers as u32,
            group_rows: 4 + dice.below(60) as u32,
            verify_interval: Millis(2000),
            retry,
            ..WriterOptions::default()
        };
        let seeded = |dice: &mut Dice| Dice::seeded(dice.next());
        let guard = SharedGuard::new(guard());
        let write = |i, dice: &mut Dice| Writer::new(i, owner, options.clone(), seeded(dice)).guarded_by(guard.clone());
        Member {
            id,
            owner,
            intake: Intake::new(settings, seeded(dice)).guarded_by(guard.clone()),
            port: Port { id, world },
            inbox: VecDeque::new(),
            mill: Mill::new(Box::new(Values), Some(Box::new(Touchy)), Arc::new(Plain), Arc::new([])),
            batches: VecDeque::new(),
            writers: (0..writers).map(|i| write(i, dice)).collect(),
            requests: (0..writers).map(|_| None).collect(),
            errands: vec![],
            paused: false,
            outcome: None,
            generation: 0,
        }
    }

    pub fn turn(&mut self, now: Now) {
        let mut orders = vec![];
        let turn = self.intake.turn(now, &mut self.port, &mut self.inbox, &mut orders);
        for order in orders {
            self.obey(now, order);
        }
        let s = self.intake.status();
        let settled = s.totals.sum(|t| t.settled.total() + t.handed_back);
        assert_eq!(s.totals.sum(|t| t.taken), settled + s.records_in_flight, "P9: the counters tell the truth");
        let world = self.port.world.borrow();
        if !world.accepted {
            // J1: of any 60 records that one process judged, at most 18 were let through as dead letters of one cause.
            let taken = s.totals.sum(|t| t.taken);
            for ((_, reason), dead) in s.totals.topics.values().flat_map(|t| &t.dead) {
                assert!(*dead <= 18 * (taken / 60 + 2), "J1: {dead} dead letters for {reason} of {taken} records");
            }
        }
        for lane in s.lanes.iter().filter(|_| !world.rewound) {
            let durable = world.database.rows.get(&lane.lane).map_or(0, |r| r.next_offset);
            assert!(lane.mark.is_none_or(|m| m <= durable), "P2: {} is believed durable to {:?}", lane.lane, lane.mark);
        }
        drop(world);
        if turn.done.is_some() {
            self.outcome = turn.done;
        }
    }

    fn obey(&mut self, now: Now, order: Order) {
        let n = self.writers.len();
        match order {
            Order::Claim { lane, ticket, floor } => {
                self.errands.push(Errand::Claim { lane, ticket, floor, answer: None })
            }
            Order::Peek { lane, ticket } => self.errands.push(Errand::Peek { lane, ticket }),
            Order::Release { lane, epoch } => self.errands.push(Errand::Release { lane, epoch }),
            Order::Note { lane, epoch, ticket, offset } => {
                self.errands.push(Errand::Note { lane, epoch, ticket, offset })
            }
            Order::Calm { lane, epoch } => self.errands.push(Errand::Calm { lane, epoch }),
            Order::Accepted => self.errands.push(Errand::Accepted),
            Order::Begin { lane, epoch, mark } => {
                self.tell(now, writer_of(lane, n), ToWriter::Begin { lane, epoch, mark })
            }
            Order::End { lane, epoch } => self.tell(now, writer_of(lane, n), ToWriter::End { lane, epoch }),
            Order::Mill { batch, .. } => self.batches.push_back(batch),
            Order::Idle(scored) => {
                let lane = scored.batch.pieces[0].lane;
                let piece = ScoredPiece::new(scored, 0);
                self.tell(now, writer_of(lane, n), ToWriter::Piece { piece, full: false });
            }
        }
    }

    fn tell(&mut self, now: Now, writer: usize, message: ToWriter) {
        self.writers[writer].hear(now, message);
        self.inbox.extend(self.writers[writer].take_messages());
    }

    /// Mills one waiting batch, not always the oldest: there are several threads. Says whether the process survives it.
    pub fn grind(&mut self, now: Now, pick: u64) -> bool {
        if self.batches.is_empty() {
            return true;
        }
        let batch = self.batches.remove(pick as usize % self.batches.len().min(2)).expect("it is there");
        if (0..batch.records.len()).any(|r| is_deadly(value_of(batch.payload(r).expect("it has one")))) {
            return false;
        }
        let full = batch.full;
        let (scored, _) = self.mill.turn(batch);
        let scored = Arc::new(scored);
        for index in 0..scored.batch.pieces.len() {
            let writer = writer_of(scored.batch.pieces[index].lane, self.writers.len());
            let piece = ScoredPiece::new(scored.clone(), index);
            self.tell(now, writer, ToWriter::Piece { piece, full });
        }
        self.inbox.push_back(Message::WorkerFree);
        true
    }

    /// Lets a writer ask, if it wants to.
    pub fn write(&mut self, now: Now, writer: usize) {
        let writer = writer % self.writers.len();
        if self.requests[writer].is_none()
            && let Step::Do(command) = self.writers[writer].step(now)
        {
            self.requests[writer] = Some(Request { command, answer: None });
        }
        self.inbox.extend(self.writers[writer].take_messages());
    }

    /// The database works on a writer's question, or its answer arrives.
    pub fn converse(&mut self, now: Now, writer: usize, up: bool, dice: &mut Dice, faults: bool) {
        let writer = writer % self.writers.len();
        let Some(request) = &mut self.requests[writer] else { return };
        if request.answer.is_none() {
            let world = self.port.world.clone();
            let answer = serve(&request.command, &mut world.borrow_mut().database, self.owner, up, dice, faults);
            self.requests[writer].as_mut().expect("it is there").answer = Some(answer);
            return;
        }
        let answer = self.requests[writer].take().and_then(|r| r.answer).expect("it was answered");
        let broke = matches!(&answer, Answer::Stored(Err(e)) | Answer::Marks(Err(e)) if e.fault != SinkFault::Data);
        self.generation += u64::from(broke);
        self.writers[writer].answer(now, answer, self.generation);
        self.inbox.extend(self.writers[writer].take_messages());
    }

    /// One errand of the claims: done, or its answer delivered.
    pub fn run_errand(&mut self, pick: u64, up: bool) {
        if self.errands.is_empty() {
            return;
        }
        let i = pick as usize % self.errands.len();
        let world = self.port.world.clone();
        let accepted = world.borrow().accepted;
        let database = &mut world.borrow_mut().database;
        let retry = || {
            let message = "the database is away".into();
            ClaimError::Database(SinkError { fault: SinkFault::Transient, sqlstate: None, message })
        };
        match &mut self.errands[i] {
            Errand::Claim { lane, floor, answer: answer @ None, .. } => {
                *answer = Some(if up { Ok(database.claim(*lane, *floor, self.owner)) } else { Err(retry()) });
                return;
            }
            Errand::Claim { lane, ticket, answer, .. } => {
                let answer = answer.take().expect("it was answered");
                self.inbox.push_back(Message::Claimed { lane: *lane, ticket: *ticket, answer });
            }
            Errand::Peek { lane, ticket } => {
                let answer = if up { Ok(database.rows.get(lane).copied()) } else { Err(retry()) };
                self.inbox.push_back(Message::Peeked { lane: *lane, ticket: *ticket, answer });
            }
            Errand::Note { lane, epoch, ticket, offset } => {
                let noted = up && database.note(*lane, *epoch, self.owner, Some(*offset));
                let answer = if noted { Ok(()) } else { Err(retry()) };
                self.inbox.push_back(Message::Noted { ticket: *ticket, answer });
            }
            Errand::Calm { lane, epoch } => {
                if up {
                    database.note(*lane, *epoch, self.owner, None);
                }
            }
            Errand::Accepted => {
                let left = Duration::from_secs(1_000_000);
                let list = ["decode/bad", "write/22003", "infer/model_error"].map(|cause| Accepted {
                    topic: 0,
                    cause: cause.into(),
                    left,
                });
                let answer = if up { Ok(if accepted { list.to_vec() } else { vec![] }) } else { Err(retry()) };
                self.inbox.push_back(Message::Accepted(answer));
            }
            Errand::Release { lane, epoch } => {
                if up {
                    database.release(*lane, *epoch, self.owner);
                }
                self.inbox.push_back(Message::Released);
            }
        }
        self.errands.swap_remove(i);
    }
}

fn guard() -> guard::Options {
    guard::Options { window: 60, share: 30, least: 10, retry: Millis(300), poll: Millis(100) }
}

fn error(fault: SinkFault) -> SinkError {
    SinkError { fault, sqlstate: None, message: format!("{fault:?}") }
}

/// What the database makes of a question. A COMMIT's answer may be lost either way (rule W4).
pub fn serve(
    command: &Command,
    database: &mut Database,
    owner: Owner,
    up: bool,
    dice: &mut Dice,
    faults: bool,
) -> Answer {
    let bad = faults && dice.below(8) == 0;
    match command {
        Command::Store(group) => {
            if !up {
                return Answer::Stored(Err(error(SinkFault::Transient)));
            }
            match if bad { dice.below(3) } else { 3 } {
                0 => return Answer::Stored(Err(error(SinkFault::Transient))),
                1 => return Answer::Stored(Err(error(SinkFault::Ambiguous))),
                2 => {
                    let stored = database.store(group, owner);
                    return Answer::Stored(Err(error(if stored.is_some() {
                        SinkFault::Ambiguous
                    } else {
                        SinkFault::Data
                    })));
                }
                _ => {}
            }
            Answer::Stored(database.store(group, owner).ok_or_else(|| error(SinkFault::Data)))
        }
        Command::Marks(_) if !up || bad => Answer::Marks(Err(error(SinkFault::Transient))),
        Command::Marks(lanes) => Answer::Marks(Ok(lanes.iter().map(|l| database.rows.get(l).copied()).collect())),
        Command::Isolate(_) if !up || bad => Answer::Isolated(Err(error(SinkFault::Transient))),
        Command::Isolate(group) => Answer::Isolated(Ok(Database::isolate(group))),
    }
}
