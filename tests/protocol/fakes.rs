//! Stand-ins that do exactly what a test says: a log with a scripted client, and pieces as the mill would hand them on.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tidemill::domain::batch::Batch;
use tidemill::domain::batch::Piece;
use tidemill::domain::batch::Record;
use tidemill::domain::batch::Span;
use tidemill::domain::batch::TimestampKind;
use tidemill::domain::fault::Fault;
use tidemill::domain::lane::Epoch;
use tidemill::domain::lane::Lane;
use tidemill::domain::lane::Now;
use tidemill::domain::scored::Counts;
use tidemill::domain::scored::Rows;
use tidemill::domain::scored::Scored;
use tidemill::domain::scored::ScoredPiece;
use tidemill::domain::units::Millis;
use tidemill::domain::verdict::Verdict;
use tidemill::domain::verdict::Verdicts;
use tidemill::pipeline::clock::Dice;
use tidemill::pipeline::intake::Closed;
use tidemill::pipeline::intake::Intake;
use tidemill::pipeline::intake::Settings;
use tidemill::pipeline::intake::Status;
use tidemill::pipeline::intake::Turn;
use tidemill::pipeline::intake::options::BatchOptions;
use tidemill::pipeline::intake::options::Options;
use tidemill::pipeline::intake::options::ShutdownOptions;
use tidemill::pipeline::message::Fate;
use tidemill::pipeline::message::Message;
use tidemill::pipeline::message::Order;
use tidemill::pipeline::message::Return;
use tidemill::pipeline::message::Tally;
use tidemill::ports::Broker;
use tidemill::ports::BrokerError;
use tidemill::ports::BrokerEvent;
use tidemill::ports::ClaimError;
use tidemill::ports::Claimed;
use tidemill::ports::Room;
use tidemill::ports::SinkError;
use tidemill::ports::SinkFault;
use tidemill::ports::Taken;

pub fn lane(partition: i32) -> Lane {
    Lane { topic: 0, partition }
}

pub fn ms(n: u64) -> Now {
    Duration::from_millis(n)
}

/// A call that intake made on the client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    Assign(Vec<(Lane, i64)>),
    Unassign(Vec<Lane>),
    Restart(Lane, i64),
    Commit(Vec<(Lane, i64)>),
    Unsubscribe,
}

/// A client whose logs, events and failures are set by the test.
#[derive(Default)]
pub struct Script {
    pub events: Vec<BrokerEvent>,
    pub woken: Vec<Lane>,
    /// Offsets that wait in each lane's queue.
    pub queues: BTreeMap<Lane, VecDeque<i64>>,
    pub ends: BTreeMap<Lane, i64>,
    /// Payload bytes of every record.
    pub payload: usize,
    pub calls: Vec<Call>,
    pub takes: Vec<(Lane, Room)>,
    pub refuse_assign: bool,
}

impl Broker for Script {
    fn poll(&mut self, events: &mut Vec<BrokerEvent>) {
        events.append(&mut self.events);
    }

    fn ready(&mut self, lanes: &mut Vec<Lane>) {
        lanes.append(&mut self.woken);
    }

    fn take(&mut self, lane: Lane, from: i64, room: Room, batch: &mut Batch) -> Taken {
        self.takes.push((lane, room));
        let queue = self.queues.entry(lane).or_default();
        let (mut taken, start) = (Taken::default(), batch.bytes.len());
        while taken.records < room.records && batch.bytes.len() - start < room.bytes {
            let Some(offset) = queue.pop_front() else {
                taken.drained = true;
                return taken;
            };
            if offset < from {
                taken.stale += 1;
                continue;
            }
            let payload = batch.push_bytes(Some(&vec![b'x'; self.payload.max(1)]));
            let (key, headers, kind) = (Span::NULL, Span::NULL, TimestampKind::Create);
            batch.records.push(Record { offset, timestamp: 0, kind, key, payload, headers });
            taken.records += 1;
        }
        taken
    }

    fn assign(&mut self, lanes: &[(Lane, i64)]) -> Result<(), BrokerError> {
        self.calls.push(Call::Assign(lanes.to_vec()));
        let error = || BrokerError { call: "assign", message: "refused".into(), fault: Fault::Stop };
        if self.refuse_assign { Err(error()) } else { Ok(()) }
    }

    fn unassign(&mut self, lanes: &[Lane]) -> Result<(), BrokerError> {
        self.calls.push(Call::Unassign(lanes.to_vec()));
        Ok(())
    }

    fn restart(&mut self, lane: Lane, offset: i64) -> Result<(), BrokerError> {
        self.calls.push(Call::Restart(lane, offset));
        Ok(())
    }

    fn commit(&mut self, marks: &[(Lane, i64)]) -> Result<(), BrokerError> {
        self.calls.push(Call::Commit(marks.to_vec()));
        Ok(())
    }

    fn idle_end(&mut self, lane: Lane) -> Option<i64> {
        self.ends.get(&lane).copied()
    }

    fn lag(&mut self, _: &mut Vec<(Lane, i64)>) {}

    fn unsubscribe(&mut self) {
        self.calls.push(Call::Unsubscribe);
    }
}

pub fn settings() -> Settings {
    Settings {
        intake: Options::default(),
        batch: BatchOptions::default(),
        shutdown: ShutdownOptions { budget: Millis::secs(25), revoke: Millis::secs(10), leave: Millis::secs(3) },
        commit_interval: ms(1000),
        guard: tidemill::domain::guard::Options::default(),
        workers: 1,
    }
}

/// Intake with a scripted client; orders pile up until a test takes them.
pub struct Bench {
    pub intake: Intake,
    pub broker: Script,
    pub orders: Vec<Order>,
    pub now: Now,
}

impl Bench {
    pub fn new(settings: Settings) -> Bench {
        let intake = Intake::new(settings, Dice::seeded(7));
        Bench { intake, broker: Script::default(), orders: vec![], now: ms(1) }
    }

    /// Lanes `0..n` given, claimed under epoch 1 at offset 0 and assigned; nothing is left over of it.
    pub fn reading(settings: Settings, n: i32) -> Bench {
        let mut bench = Bench::new(settings);
        bench.event(BrokerEvent::Given((0..n).map(lane).collect()));
        (0..n).for_each(|p| drop(bench.grant(p, 1, 0)));
        bench.orders.clear();
        bench.broker.calls.clear();
        bench.broker.takes.clear();
        bench
    }

    pub fn turn(&mut self, messages: impl IntoIterator<Item = Message>) -> Turn {
        let mut inbox: VecDeque<Message> = messages.into_iter().collect();
        self.intake.turn(self.now, &mut self.broker, &mut inbox, &mut self.orders)
    }

    pub fn at(&mut self, now: u64) -> Turn {
        self.now = ms(now);
        self.turn([])
    }

    pub fn event(&mut self, event: BrokerEvent) -> Turn {
        self.broker.events.push(event);
        self.turn([])
    }

    pub fn log(&mut self, partition: i32, offsets: std::ops::Range<i64>) {
        self.broker.queues.entry(lane(partition)).or_default().extend(offsets);
        self.broker.woken.push(lane(partition));
    }

    /// The ticket and floor of the lane's last claim, which leaves the pile.
    pub fn asked(&mut self, partition: i32) -> Option<(u64, Epoch)> {
        let is = |o: &Order| matches!(o, Order::Claim { lane: l, .. } if *l == lane(partition));
        match self.orders.remove(self.orders.iter().rposition(is)?) {
            Order::Claim { ticket, floor, .. } => Some((ticket, floor)),
            _ => unreachable!(),
        }
    }

    pub fn answer(&mut self, partition: i32, ticket: u64, answer: Result<Claimed, ClaimError>) -> Turn {
        self.turn([Message::Claimed { lane: lane(partition), ticket, answer }])
    }

    /// The database grants the lane's last claim.
    pub fn grant(&mut self, partition: i32, epoch: i64, next_offset: i64) -> Turn {
        let (ticket, _) = self.asked(partition).expect("the lane was to be claimed");
        self.answer(partition, ticket, Ok(Claimed { epoch: Epoch(epoch), next_offset, attempt: None }))
    }

    /// Batches ordered since the last look, and why they closed.
    pub fn batches(&mut self) -> Vec<(Batch, Closed)> {
        let mut batches = vec![];
        for order in std::mem::take(&mut self.orders) {
            match order {
                Order::Mill { batch, why } => batches.push((batch, why)),
                other => self.orders.push(other),
            }
        }
        batches
    }

    pub fn ordered(&self, is: impl Fn(&Order) -> bool) -> usize {
        self.orders.iter().filter(|o| is(o)).count()
    }

    pub fn status(&self) -> Status {
        self.intake.status()
    }

    pub fn cause(&self, partition: i32) -> Option<String> {
        self.status().lanes.into_iter().find(|l| l.lane == lane(partition)).and_then(|l| l.cause)
    }

    pub fn called(&self, is: impl Fn(&Call) -> bool) -> Vec<&Call> {
        self.broker.calls.iter().filter(|c| is(c)).collect()
    }
}

pub fn away() -> ClaimError {
    ClaimError::Database(SinkError {
        fault: SinkFault::Transient,
        sqlstate: None,
        message: "the database is away".to_owned(),
    })
}

/// All pieces of a batch come home with the same fate.
pub fn home(batch: &Batch, settled: bool) -> Message {
    let one = |piece: &Piece| {
        let counts = Counts { stored: u64::from(piece.count), ..Counts::default() };
        let fate = if settled { Fate::Settled(Tally { counts, ..Tally::default() }) } else { Fate::Dropped };
        Return { seq: batch.seq, piece: *piece, fate }
    };
    Message::Returned(batch.pieces.iter().map(one).collect())
}

/// A piece of `to - from` records as the mill hands it to a writer, alone in its batch.
pub fn scored(partition: i32, epoch: i64, from: i64, to: i64) -> ScoredPiece {
    let mut batch = Batch { seq: from as u64, ..Batch::default() };
    let mut rows = Rows::default();
    rows.reset((to - from) as usize);
    for (i, offset) in (from..to).enumerate() {
        let payload = batch.push_bytes(Some(b"payload"));
        let (key, headers, kind) = (Span::NULL, Span::NULL, TimestampKind::Create);
        batch.records.push(Record { offset, timestamp: 0, kind, key, payload, headers });
        rows.spans[i] = (rows.bytes.len() as u32, 1);
        rows.bytes.push(b'r');
    }
    let count = (to - from) as u32;
    batch.pieces.push(Piece { lane: lane(partition), epoch: Epoch(epoch), expected: from, end: to, first: 0, count });
    let mut verdicts = Verdicts::default();
    verdicts.of.resize(count as usize, Verdict::Keep);
    ScoredPiece::new(Arc::new(Scored { batch, verdicts, rows }), 0)
}
