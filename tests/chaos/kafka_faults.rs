//! Faults of the brokers.

use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use crate::bench::Bench;
use crate::bench::PARTITIONS;
use crate::bench::TOPIC;
use crate::fault::Fault;
use crate::schedule::Detail;
use crate::support::detour::Api;
use crate::support::detour::Trouble;
use crate::support::relay::Relay;
use crate::support::relay::Way;

/// Each costs a rebalance for ever after in every round.
const PARTITIONS_MAX: i32 = PARTITIONS + 6;

pub struct Brokers {
    pub bench: Arc<Bench>,
    pub nodes: usize,
    pub partitions: AtomicI32,
}

impl Brokers {
    /// The ways to all brokers or to one, for a time.
    fn on_way(&self, detail: &mut Detail, break_it: impl Fn(&Relay), mend: impl Fn(&Relay)) -> Result<String, String> {
        let (all, node, time) = (detail.below(2) == 0, 1 + detail.below(self.nodes), detail.between(1.0, 8.0));
        let detour = &self.bench.detour;
        if all {
            detour.each(&break_it)
        } else {
            break_it(detour.node(node))
        }
        thread::sleep(time);
        if all {
            detour.each(&mend)
        } else {
            mend(detour.node(node))
        }
        Ok(format!("{} for {time:.1?}", if all { "all".to_owned() } else { format!("node {node}") }))
    }

    /// Requests of these kinds meet trouble for some seconds.
    fn on(&self, apis: &[Api], trouble: Trouble, detail: &mut Detail) -> Result<String, String> {
        let (detour, times, time) = (&self.bench.detour, 1 + detail.below(8) as u32, detail.between(3.0, 9.0));
        let before = detour.fired();
        apis.iter().for_each(|api| detour.on(*api, detail.below(3) as u32, times, trouble));
        thread::sleep(time);
        detour.disarm();
        let fired = detour.fired() - before;
        let text = format!("{fired} times {trouble:?}");
        if fired > 0 { Ok(text) } else { Err(text) }
    }

    pub fn cause(&self, fault: Fault, detail: &mut Detail) -> Result<String, String> {
        let (kafka, detour, node) = (&self.bench.kafka, &self.bench.detour, 1 + detail.below(self.nodes));
        match fault {
            Fault::BrokerKilled => {
                let time = detail.between(0.5, 6.0);
                kafka.kill_node(node);
                thread::sleep(time);
                kafka.start_node(node);
                Ok(format!("node {node}, away for {time:.1?}"))
            }
            Fault::BrokerStopped => {
                let time = detail.between(0.5, 6.0);
                kafka.stop_node(node);
                thread::sleep(time);
                kafka.start_node(node);
                Ok(format!("node {node}, away for {time:.1?}"))
            }
            Fault::BrokerFrozen => {
                let time = detail.between(1.0, 9.0);
                kafka.freeze_node(node);
                thread::sleep(time);
                kafka.thaw_node(node);
                Ok(format!("node {node} for {time:.1?}"))
            }
            Fault::PartitionsAdded => {
                let more = self.partitions.load(SeqCst) + 1;
                if more > PARTITIONS_MAX {
                    return Err(format!("there are {PARTITIONS_MAX} already"));
                }
                kafka.grow_topic(TOPIC, more as usize);
                self.partitions.store(more, SeqCst);
                Ok(format!("to {more}"))
            }
            Fault::KafkaCut => {
                let times = 1 + detail.below(4);
                for _ in 0..times {
                    detour.each(|way| way.cut());
                    thread::sleep(detail.between(0.1, 1.5));
                }
                Ok(format!("{times} times"))
            }
            Fault::KafkaGone => self.on_way(detail, |way| way.down(), |way| way.accept()),
            Fault::KafkaFrozen => {
                let side = detail.of(&[Way::ToServer, Way::ToClient]);
                self.on_way(detail, |way| way.freeze(side), |way| way.thaw())
            }
            Fault::CommitsLost => self.on(&[Api::OFFSET_COMMIT], Trouble::LoseAnswer, detail),
            Fault::HeartbeatsLost => self.on(&[Api::HEARTBEAT], Trouble::LoseRequest, detail),
            // Rebalance in progress, unknown member, another generation, coordinator not available.
            Fault::HeartbeatsRefused => {
                let code = detail.of(&[27, 25, 22, 15]);
                self.on(&[Api::HEARTBEAT], Trouble::Error(code), detail)
            }
            Fault::JoinsLost => self.on(&[Api::JOIN_GROUP, Api::SYNC_GROUP], Trouble::LoseAnswer, detail),
            Fault::FetchesLate => {
                let late = detail.between(0.3, 3.0);
                self.on(&[Api::FETCH], Trouble::DelayAnswer(late), detail)
            }
            // Of the whole answer: unknown fetch session, its epoch, not the leader's storage.
            Fault::FetchesRefused => {
                let code = detail.of(&[70, 71, 56]);
                self.on(&[Api::FETCH], Trouble::Error(code), detail)
            }
            other => Err(format!("{} is no fault of brokers", other.name())),
        }
    }
}
