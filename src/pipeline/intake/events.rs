//! What intake does about the client's events and the others' messages.

use super::custody::{Custody, State};
use super::{Intake, Revoke};
use crate::domain::lane::{Lane, Now};
use crate::domain::miss::Miss;
use crate::pipeline::message::{Message, Order, TopicTrouble};
use crate::ports::{Broker, BrokerEvent};

impl Intake {
    pub(super) fn event(&mut self, now: Now, event: BrokerEvent, broker: &mut dyn Broker, orders: &mut Vec<Order>) {
        match event {
            BrokerEvent::Given(lanes) => self.given(lanes, orders),
            BrokerEvent::Revoked(lanes) => {
                self.totals.revokes += 1;
                let deadline = now + self.settings.shutdown.revoke.duration();
                match &mut self.revoke {
                    Some(revoke) => revoke.lanes.extend(lanes),
                    None => self.revoke = Some(Revoke { lanes, deadline }),
                }
            }
            BrokerEvent::Lost(lanes) => self.lost(&lanes, broker, orders),
            BrokerEvent::Committed { error: None } => self.totals.commits += 1,
            BrokerEvent::Committed { error: Some(error) } => {
                self.totals.commit_errors += 1;
                tracing::debug!(error, "kafka refused a commit; it is for lag tools only and comes again");
                self.lanes.values_mut().for_each(|c| c.committed = -1);
            }
            BrokerEvent::ReadError { lane, message } => {
                self.restart(now, lane, &format!("read error: {message}"), orders)
            }
            BrokerEvent::OutOfRange { lane, offset, message } => self.out_of_range(now, lane, offset, &message, orders),
            BrokerEvent::Down(cause) => self.kafka_down = Some(cause),
            BrokerEvent::Up => self.kafka_down = None,
            BrokerEvent::Fatal(cause) => self.fail(now, cause),
        }
    }

    fn given(&mut self, lanes: Vec<Lane>, orders: &mut Vec<Order>) {
        self.totals.assigns += 1;
        self.assign_owed = true;
        for lane in lanes {
            let mut custody = Custody::new(0, self.backoff());
            if let Some(old) = self.lanes.remove(&lane) {
                // Given again without a revoke in between: the old work is of an ended epoch, the client still fetches.
                custody.fetching = old.fetching;
                self.end_epoch(lane, old, orders);
            }
            self.lanes.insert(lane, custody);
            self.claim(lane, orders);
        }
    }

    /// The group gave these to someone else already: nothing to wait for.
    fn lost(&mut self, lanes: &[Lane], broker: &mut dyn Broker, orders: &mut Vec<Order>) {
        self.totals.losses += 1;
        self.hand_over(lanes, broker, orders);
        if let Some(revoke) = &mut self.revoke {
            revoke.lanes.retain(|l| !lanes.contains(l));
        }
    }

    pub(super) fn hear(&mut self, now: Now, message: Message, broker: &mut dyn Broker, orders: &mut Vec<Order>) {
        match message {
            Message::Returned(returns) => self.returned(now, returns, orders),
            Message::WorkerFree => self.in_mill -= 1,
            Message::Claimed { lane, ticket, answer } => self.claimed(now, lane, ticket, answer, broker, orders),
            Message::Peeked { lane, ticket, answer } => self.peeked(now, lane, ticket, answer, orders),
            Message::Bounds { lane, ticket, first, end } => {
                if let Some(custody) = self.lanes.get_mut(&lane).filter(|c| c.ticket == ticket) {
                    custody.bounds = Some((first, end));
                }
            }
            Message::Topic { topic, trouble } => self.topic(now, topic, trouble, orders),
            Message::Released => self.releasing = self.releasing.saturating_sub(1),
            Message::Missed { lane, epoch, miss } => {
                let ours = self.lanes.get(&lane).and_then(|c| c.ledger.as_ref()).is_some_and(|l| l.epoch() == epoch);
                if ours {
                    self.missed(now, lane, miss, orders);
                }
            }
            Message::Outage { writer, cause: Some(cause) } => {
                self.outages.insert(writer, cause);
            }
            Message::Outage { writer, cause: None } => {
                self.outages.remove(&writer);
            }
            Message::Flooded { lane, epoch, end, flood } => self.flooded(now, lane, epoch, end, flood, orders),
            Message::Noted { ticket, answer } => self.noted(now, ticket, answer, orders),
            Message::Accepted(answer) => self.accepted(now, answer),
            Message::Drain => self.begin_drain(now),
            Message::Failed(cause) => self.fail(now, cause),
        }
    }

    /// A topic that was made anew is read no further, whatever its log would give.
    fn topic(&mut self, now: Now, topic: u16, trouble: Option<TopicTrouble>, orders: &mut Vec<Order>) {
        let Some(trouble) = trouble else {
            self.topics.remove(&topic);
            return;
        };
        if let TopicTrouble::Remade(cause) = &trouble {
            let reading = |(lane, c): (&Lane, &Custody)| (lane.topic == topic && c.is_reading()).then_some(*lane);
            let lanes: Vec<Lane> = self.lanes.iter().filter_map(reading).collect();
            lanes.into_iter().for_each(|lane| self.park(now, lane, cause, orders));
        }
        self.topics.insert(topic, trouble);
    }

    fn missed(&mut self, now: Now, lane: Lane, miss: Miss, orders: &mut Vec<Order>) {
        match miss {
            Miss::Fenced => {
                self.totals.fenced += 1;
                tracing::warn!(%lane, "fenced: another process claimed the partition; claiming it again unless the group takes it back");
                self.wait_and_reclaim(now, lane, "another process claimed the partition", orders);
                // It took us for dead, and must not blame a record for that (rule J5).
                if let Some(epoch) = self.lanes.get_mut(&lane).and_then(|c| c.held.take()) {
                    self.release(lane, epoch, orders);
                }
            }
            Miss::Restart => {
                self.totals.restarts += 1;
                self.restart(now, lane, "the database went back behind what it had confirmed", orders);
            }
            Miss::Park | Miss::AsExpected | Miss::StoredTo(_) => {
                self.park(now, lane, "its row in tidemill.progress is missing or holds an offset that nobody wrote; see `tidemill offsets show`", orders);
            }
        }
    }

    fn out_of_range(&mut self, now: Now, lane: Lane, offset: i64, message: &str, orders: &mut Vec<Order>) {
        let Some(custody) = self.lanes.get_mut(&lane).filter(|c| c.is_reading()) else { return };
        if custody.out_of_range.replace(offset) == Some(offset) {
            let cause = format!("offset {offset} is not in the log: {message}; see `tidemill offsets show`");
            self.park(now, lane, &cause, orders);
        } else {
            tracing::warn!(%lane, offset, message, "the broker says that this offset is outside of the log; asking once more");
            let until = now + self.settings.intake.out_of_range_retry.duration();
            let cause = format!("offset {offset} is out of range, asking once more");
            self.give_up_epoch(lane, orders);
            self.set_state(lane, State::Waiting { until, cause });
        }
    }
}
