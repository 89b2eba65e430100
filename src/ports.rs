//! What the world must fill: the traits between the journey and the libraries that do the work.
//!
//! All are called once a micro-batch, never once a record, so a trait object costs nothing that can be measured.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::domain::batch::Batch;
use crate::domain::care::Attempt;
use crate::domain::fault::Fault;
use crate::domain::fields::Fields;
use crate::domain::guard::Accepted;
use crate::domain::lane::{Epoch, Lane};
use crate::domain::miss::Mark;
use crate::domain::outputs::Outputs;
use crate::domain::scored::{Group, Rows};
use crate::domain::verdict::{Rejected, Verdicts};

/// Reads payloads into fields. One for each mill thread, with scratch memory of its own.
pub trait Decoder: Send {
    /// Decodes every record of `batch` that is still kept into its row of `fields` (which it resets),
    /// and rejects or skips those that the format, the policies or the skip rules say so of.
    fn decode(&mut self, batch: &Batch, fields: &mut Fields, verdicts: &mut Verdicts);

    /// Another one of the same kind, for another thread.
    fn fork(&self) -> Box<dyn Decoder>;
}

/// A loaded model. One for each mill thread; plans are shared behind it, state is not.
pub trait Model: Send {
    /// Scores the records named by `records`; row `i` of every output column belongs to `records[i]`.
    ///
    /// An error, or a panic, condemns nobody yet: the mill tries the halves, down to the guilty record.
    /// After an error the model is as good as new.
    fn run(&mut self, batch: &Batch, fields: &Fields, records: &[u32], outputs: &mut Outputs)
    -> Result<(), ModelError>;

    /// Another one over the same plan, for another thread.
    fn fork(&self) -> Box<dyn Model>;
}

/// Why a run of a model failed. No text holds tensor contents.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct ModelError {
    pub text: String,
    /// Records that can never be scored, each with its reason: they were found before the model ran, which it then did
    /// not. Empty if nobody knows who is guilty.
    pub guilty: Vec<(u32, String)>,
}

impl ModelError {
    pub fn new(text: impl Into<String>) -> ModelError {
        ModelError { text: text.into(), guilty: vec![] }
    }

    /// Some of the records cannot become inputs.
    pub fn of(guilty: Vec<(u32, String)>) -> ModelError {
        let text = guilty.first().map_or("no record is guilty", |(_, why)| why).to_string();
        ModelError { text, guilty }
    }
}

/// Turns scored records into rows of the result table, in the sink's own wire form.
pub trait RowEncoder: Send + Sync {
    /// Encodes one row for each record named by `records` (output row `i` belongs to `records[i]`), and
    /// rejects a record whose values the table cannot hold.
    fn encode(
        &self,
        batch: &Batch,
        fields: &Fields,
        outputs: &Outputs,
        records: &[u32],
        rows: &mut Rows,
        verdicts: &mut Verdicts,
    );
}

/// What the Kafka client reports from its callbacks. Intake decides; the adapter only notes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BrokerEvent {
    /// The group gives these lanes to us; answered later by [`Broker::assign`] (rule C1). Never empty.
    Given(Vec<Lane>),
    /// The group takes these lanes back and waits for [`Broker::unassign`].
    Revoked(Vec<Lane>),
    /// They are someone else's already: drop their work; [`Broker::unassign`] is still owed.
    Lost(Vec<Lane>),
    /// An asynchronous commit was answered; the text is the error, if any.
    Committed {
        error: Option<String>,
    },
    /// Reading a lane failed: a barrier. Intake restarts the lane at its position (rule W6).
    ReadError {
        lane: Lane,
        message: String,
    },
    /// The position is outside the log, by the broker's own answer to a fetch (rule J2).
    OutOfRange {
        lane: Lane,
        offset: i64,
        message: String,
    },
    /// No broker can be reached, or one can again.
    Down(String),
    Up,
    /// The client cannot go on (fatal error of librdkafka); the process must stop.
    Fatal(String),
}

/// What one call of [`Broker::take`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    pub records: u32,
    /// The queue was found empty: the lane leaves the ready list until the client says otherwise.
    pub drained: bool,
    /// Records below `from`, dropped (rule W6).
    pub stale: u32,
}

/// Limits of one call of [`Broker::take`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    pub records: u32,
    /// The call stops after the record that passes this, so one oversize record never blocks a lane.
    pub bytes: usize,
}

/// The log, as the one intake thread uses it. No call blocks for longer than it takes to talk to the local client.
pub trait Broker {
    /// Serves the client's callbacks and appends what happened.
    fn poll(&mut self, events: &mut Vec<BrokerEvent>);

    /// Appends the lanes whose queue went from empty to not empty since the last call.
    fn ready(&mut self, lanes: &mut Vec<Lane>);

    /// Appends records of `lane` with offset `from` or higher to the batch: bytes and [`Batch::records`], no pieces.
    fn take(&mut self, lane: Lane, from: i64, room: Room, batch: &mut Batch) -> Taken;

    /// Starts fetching these lanes at these offsets.
    fn assign(&mut self, lanes: &[(Lane, i64)]) -> Result<(), BrokerError>;

    /// Stops fetching these lanes and answers the revoke that is owed, if one is; the list may be empty (rule C2).
    fn unassign(&mut self, lanes: &[Lane]) -> Result<(), BrokerError>;

    /// Goes on reading an assigned lane at another offset; what was fetched before is dropped (rule W6).
    fn restart(&mut self, lane: Lane, offset: i64) -> Result<(), BrokerError>;

    /// Tells the group how far we are, without waiting; for lag tools only (rule C4).
    fn commit(&mut self, marks: &[(Lane, i64)]) -> Result<(), BrokerError>;

    /// The fetch position, when everything up to the end of the log has been handed out (rule T6).
    fn idle_end(&mut self, lane: Lane) -> Option<i64>;

    /// Records behind the log's end, by the client's statistics: `(lane, lag)`.
    fn lag(&mut self, lags: &mut Vec<(Lane, i64)>);

    /// Begins to leave the group: a last [`BrokerEvent::Revoked`] follows if anything was given.
    fn unsubscribe(&mut self);
}

/// A call to the Kafka client failed.
#[derive(Debug, thiserror::Error)]
#[error("kafka {call}: {message}")]
pub struct BrokerError {
    pub call: &'static str,
    pub message: String,
    pub fault: Fault,
}

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A lane that the fence let through, with the row counts that the database reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moved {
    pub lane: Lane,
    pub rows: u64,
    pub dead: u64,
}

/// A record that the database refuses for what it holds.
#[derive(Clone, Debug)]
pub struct Guilty {
    /// Index into [`Group::pieces`].
    pub piece: usize,
    /// Record number in that piece's batch.
    pub record: usize,
    pub why: Rejected,
}

/// Why the sink did not store a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SinkFault {
    /// Surely not stored; wait and try again.
    Transient,
    /// Perhaps stored: the connection went away with the COMMIT (rule W4).
    Ambiguous,
    /// Surely not stored; a person must help (permission, disk, password). Tried again slowly.
    Operator,
    /// The table is not what it was at start (column gone, type changed). The sink looks again with every try.
    Contract,
    /// A row's values are refused; [`Sink::isolate`] finds which.
    Data,
    /// The statement itself is wrong: a bug of ours. Nothing is given up for it.
    Bug,
}

impl SinkFault {
    /// Reason code of `/readyz`: whether it passes by itself, or who must act.
    pub fn code(self) -> &'static str {
        match self {
            SinkFault::Transient | SinkFault::Ambiguous | SinkFault::Data => "postgres",
            SinkFault::Operator => "postgres_operator",
            SinkFault::Contract => "postgres_contract",
            SinkFault::Bug => "postgres_bug",
        }
    }
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    pub fault: SinkFault,
    /// Five-character code, when the server gave one.
    pub sqlstate: Option<String>,
    /// Names the table or the server and the way out; no payloads, no secrets.
    pub message: String,
}

/// One writer's connection to the database. Calls are never concurrent on one sink.
pub trait Sink: Send {
    /// Stores a group in one transaction and says which lanes moved. A lane that is missing in the answer was
    /// not stored and none of its rows were; the others are durable (rule W3).
    fn store<'a>(&'a mut self, group: &'a Group) -> BoxFuture<'a, Result<Vec<Moved>, SinkError>>;

    /// Reads progress rows `FOR UPDATE`, so that an open transaction of ours or a zombie's is waited for (rules W4, W5).
    /// The answer is in the order of `lanes`.
    fn marks<'a>(&'a mut self, lanes: &'a [Lane]) -> BoxFuture<'a, Result<Vec<Option<Mark>>, SinkError>>;

    /// Finds the records of a group that the database refuses, in transactions that are rolled back.
    fn isolate<'a>(&'a mut self, group: &'a Group) -> BoxFuture<'a, Result<Vec<Guilty>, SinkError>>;

    /// Rises with every new connection; the writer then reads the rows that it owns (rule W7).
    fn generation(&self) -> u64;

    /// What the database itself took to move the marks of the last group that was stored.
    fn fence_time(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether a group of this size goes by COPY; for metrics.
    fn copies(&self, group: &Group) -> bool;
}

/// The answer to a claim: fetching starts at `next_offset`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claimed {
    pub epoch: Epoch,
    pub next_offset: i64,
    /// An owner before us ended unclean: the next records are taken with care (rule J5).
    pub attempt: Option<Attempt>,
}

/// Why a lane cannot be claimed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClaimError {
    /// The database did not answer, or refused: try again.
    #[error("{0}")]
    Database(SinkError),
    /// The broker did: try again.
    #[error("{0}")]
    Broker(String),
    /// The lane parks until an operator decides (a lost database, rule C4; an offset outside the log).
    #[error("{0}")]
    Park(String),
}

/// Claims and releases of progress rows (rules C3 to C5). Called from the async runtime, several at once.
pub trait Claims: Send + Sync {
    /// `epoch = greatest(row's, floor) + 1`, owner = ours; waits for a zombie's open transaction.
    fn claim(&self, lane: Lane, floor: Epoch) -> BoxFuture<'_, Result<Claimed, ClaimError>>;

    /// Reads a lane's row without claiming it; a parked lane waits for a change there.
    fn peek(&self, lane: Lane) -> BoxFuture<'_, Result<Option<Mark>, ClaimError>>;

    /// Notes a record that is about to be processed alone, or that none is, if the lane is still ours (rule J5).
    fn note(&self, lane: Lane, epoch: Epoch, offset: Option<i64>) -> BoxFuture<'_, Result<(), ClaimError>>;

    /// Care with a lane is over: forgets what is known of its owners' ends.
    fn calm(&self, lane: Lane, epoch: Epoch) -> BoxFuture<'_, Result<(), ClaimError>>;

    /// Causes of rejection that a person has accepted for a while (rule J1).
    fn accepted(&self) -> BoxFuture<'_, Result<Vec<Accepted>, ClaimError>>;

    /// First and next offset of a lane's log, for the words that a parked lane is told of with; `None` when nobody knows.
    fn bounds(&self, lane: Lane) -> BoxFuture<'_, Option<(i64, i64)>> {
        let _ = lane;
        Box::pin(std::future::ready(None))
    }

    /// Gives a lane up, if it is still ours under this epoch.
    fn release(&self, lane: Lane, epoch: Epoch) -> BoxFuture<'_, Result<(), ClaimError>>;
}
