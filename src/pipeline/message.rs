//! What the steps tell each other. Batches flow forward, verdicts flow back to intake, which alone decides.

use std::sync::Arc;

use crate::domain::batch::{Batch, Piece};
use crate::domain::guard::{Accepted, Flood};
use crate::domain::lane::{Epoch, Lane};
use crate::domain::miss::{Mark, Miss};
use crate::domain::scored::{Counts, Scored, ScoredPiece};
use crate::domain::verdict::Stage;
use crate::pipeline::intake::Closed;
use crate::ports::{ClaimError, Claimed, SinkFault};

/// What intake asks of the others. The thread loop (or the simulation) carries it out, in order.
#[derive(Debug)]
pub enum Order {
    /// Claim the lane; the answer carries the ticket back, so that a late one is recognised (rule C1).
    Claim {
        lane: Lane,
        ticket: u64,
        floor: Epoch,
    },
    /// Read the lane's row; a parked lane waits for a change there (rule C5).
    Peek {
        lane: Lane,
        ticket: u64,
    },
    Release {
        lane: Lane,
        epoch: Epoch,
    },
    /// To the lane's writer: a claim begins at this mark. Sent before any piece of the epoch can reach it.
    Begin {
        lane: Lane,
        epoch: Epoch,
        mark: i64,
    },
    /// To the lane's writer: drop all work of this epoch and older.
    End {
        lane: Lane,
        epoch: Epoch,
    },
    /// Note the record that is about to be processed alone, or that none is (rule J5); the answer carries the ticket back.
    Note {
        lane: Lane,
        epoch: Epoch,
        ticket: u64,
        offset: Option<i64>,
    },
    /// Care with the lane is over.
    Calm {
        lane: Lane,
        epoch: Epoch,
    },
    /// Ask what a person has accepted of the causes that stop topics (rule J1).
    Accepted,
    /// To the mill; why it closed is for the metrics.
    Mill {
        batch: Batch,
        why: Closed,
    },
    /// To the lane's writer, past the mill: a piece without records moves the mark to the end of the log (rule T6).
    Idle(Arc<Scored>),
}

/// What became of one piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    Settled(Tally),
    /// Not stored: its epoch ended. The records will be read again by whoever owns the lane.
    Dropped,
}

/// Dispositions of one piece, for the counters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    pub counts: Counts,
    /// Dead letters by stage and reason; empty on the clean path.
    pub reasons: Vec<(Stage, &'static str, u64)>,
    /// Skips by rule; empty on the clean path.
    pub skips: Vec<(u16, u64)>,
}

/// A piece comes home. Every piece does so exactly once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Return {
    pub seq: u64,
    pub piece: Piece,
    pub fate: Fate,
}

/// Why a writer cannot store, or a lane cannot be claimed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    pub fault: SinkFault,
    /// Names what and the way out.
    pub text: String,
}

/// Why a topic as a whole cannot be read on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TopicTrouble {
    /// It is not there; that may pass.
    Missing(String),
    /// Another topic of that name is: what it holds must not be taken for ours (promise P8).
    Remade(String),
}

/// What intake is told. Returns are looked at before anything new is taken.
#[derive(Debug)]
pub enum Message {
    Returned(Vec<Return>),
    /// A mill thread is free again.
    WorkerFree,
    Claimed {
        lane: Lane,
        ticket: u64,
        answer: Result<Claimed, ClaimError>,
    },
    Peeked {
        lane: Lane,
        ticket: u64,
        answer: Result<Option<Mark>, ClaimError>,
    },
    /// What a parked lane's log holds: first offset, and the one that the next record will get.
    Bounds {
        lane: Lane,
        ticket: u64,
        first: i64,
        end: i64,
    },
    /// What the cluster says of a topic by now.
    Topic {
        topic: u16,
        trouble: Option<TopicTrouble>,
    },
    /// A release was tried; whether it worked does not matter for correctness.
    Released,
    /// A writer's reading of a row ends the epoch (rule W5): `Fenced`, `Restart` or `Park`.
    Missed {
        lane: Lane,
        epoch: Epoch,
        miss: Miss,
    },
    /// A writer's breaker is not closed, and why; or it is again.
    Outage {
        writer: usize,
        cause: Option<Trouble>,
    },
    /// A writer holds a piece that would flood the dead letters; everything of the lane before it is durable (rule J1).
    Flooded {
        lane: Lane,
        epoch: Epoch,
        end: i64,
        flood: Flood,
    },
    /// A note was tried.
    Noted {
        ticket: u64,
        answer: Result<(), ClaimError>,
    },
    /// What a person has accepted.
    Accepted(Result<Vec<Accepted>, ClaimError>),
    /// Drain and leave within the budget.
    Drain,
    /// A thread or task of the pipeline ended by a bug: drain what can be drained and end.
    Failed(String),
}

/// What a writer is told.
#[derive(Debug)]
pub enum ToWriter {
    Begin {
        lane: Lane,
        epoch: Epoch,
        mark: i64,
    },
    End {
        lane: Lane,
        epoch: Epoch,
    },
    /// `full`: the batch closed because it was full, so more is coming (rule W9).
    Piece {
        piece: ScoredPiece,
        full: bool,
    },
}

/// The writer of a lane: the same one for as long as the process lives.
pub fn writer_of(lane: Lane, writers: usize) -> usize {
    (lane.partition as usize).wrapping_add(usize::from(lane.topic).wrapping_mul(31)) % writers
}
