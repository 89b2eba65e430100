//! One consistent picture of intake, for metrics, readiness and the end of a process (promise P9).

use super::Intake;
use super::custody::{Custody, State};
use super::returns::Totals;
use crate::domain::guard::Flood;
use crate::domain::lane::Lane;
use crate::pipeline::message::TopicTrouble;
use crate::ports::SinkFault;
use crate::telemetry::snapshot::LaneState;

/// A lane in the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStatus {
    pub lane: Lane,
    pub state: LaneState,
    pub cause: Option<String>,
    /// The cause is an answer of the database, or that there was none.
    pub refused: Option<SinkFault>,
    /// Everything below is durable.
    pub mark: Option<i64>,
    /// Next offset that will be taken.
    pub position: Option<i64>,
    /// Offsets that a parked lane's log no longer has.
    pub lost: Option<u64>,
}

/// The picture. Taken between two turns, so its numbers belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub totals: Totals,
    pub records_in_flight: u64,
    pub bytes_in_flight: u64,
    pub batches_in_flight: u64,
    pub lanes: Vec<LaneStatus>,
    /// Why nothing is taken, if so: machine-readable word and text. What holds single lanes back is said there.
    pub reasons: Vec<(&'static str, String)>,
    /// Topics that the flood guard has stopped.
    pub floods: Vec<(u16, Flood)>,
    pub limit_records: u64,
    pub limit_bytes: u64,
    /// Work is held somewhere behind intake.
    pub busy: bool,
    pub draining: bool,
    /// A group member: something was given, or a rebalance is under way.
    pub joined: bool,
}

impl Intake {
    pub fn status(&self) -> Status {
        let mut reasons = vec![];
        for trouble in self.outages.values() {
            reasons.push((trouble.fault.code(), trouble.text.clone()));
        }
        if let Some(cause) = &self.kafka_down {
            reasons.push(("kafka", cause.clone()));
        }
        for trouble in self.topics.values() {
            let (TopicTrouble::Missing(cause) | TopicTrouble::Remade(cause)) = trouble;
            reasons.push(("topic", cause.clone()));
        }
        if self.drain.is_some() {
            reasons.push(("draining", "the process is stopping".to_owned()));
        }
        Status {
            totals: self.totals.clone(),
            records_in_flight: self.totals.sum(super::TopicTotals::in_flight),
            bytes_in_flight: self.in_flight_bytes + self.open.bytes.len() as u64,
            batches_in_flight: self.flights.len() as u64,
            lanes: self.lanes.iter().map(|(lane, c)| self.lane_status(*lane, c)).collect(),
            reasons,
            floods: self.stopped.iter().map(|(topic, s)| (*topic, s.flood)).collect(),
            limit_records: u64::from(self.settings.intake.in_flight_records),
            limit_bytes: self.settings.intake.in_flight_bytes.0,
            busy: !self.flights.is_empty() || !self.open.is_empty() || self.alone.is_some(),
            draining: self.drain.is_some(),
            joined: self.totals.assigns > 0,
        }
    }

    fn lane_status(&self, lane: Lane, custody: &Custody) -> LaneStatus {
        let revoking = self.revoke.as_ref().is_some_and(|r| r.lanes.contains(&lane));
        let state = match custody.state {
            _ if revoking => LaneState::Revoking,
            State::Claiming => LaneState::Claiming,
            State::Waiting { .. } => LaneState::Given,
            State::Reading => LaneState::Assigned,
            State::Parked { .. } => LaneState::Parked,
        };
        let ledger = custody.ledger.as_ref();
        LaneStatus {
            lane,
            state,
            cause: custody.cause(),
            refused: custody.refused.as_ref().map(|r| r.fault),
            mark: ledger.map(|l| l.mark()),
            position: ledger.map(|l| l.position()),
            lost: custody.lost(),
        }
    }
}
