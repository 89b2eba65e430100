//! Logs, a consumer group and each member's client, as far as intake sees them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tidemill::domain::batch::{Batch, Record, Span, TimestampKind};
use tidemill::domain::lane::Lane;
use tidemill::ports::{Broker, BrokerError, BrokerEvent, Room, Taken};

use crate::database::Database;

/// The value that a simulated record or row holds.
pub fn value_of(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().expect("a simulated value has eight bytes"))
}

/// One partition: records at rising offsets with holes, and an end that may lie behind the last record (markers).
#[derive(Default, Clone)]
pub struct Log {
    pub records: Vec<(i64, u64)>,
    pub end: i64,
}

/// What one member's client knows.
#[derive(Default)]
pub struct Client {
    pub events: Vec<BrokerEvent>,
    /// Fetched lanes and the next offset that the client would deliver.
    pub assigned: BTreeMap<Lane, i64>,
    pub woken: Vec<Lane>,
    /// An answer is owed to the group for these.
    pub revoking: BTreeSet<Lane>,
    pub in_group: bool,
}

/// Everything outside the processes.
#[derive(Default)]
pub struct World {
    pub logs: BTreeMap<Lane, Log>,
    pub database: Database,
    pub clients: BTreeMap<u32, Client>,
    /// Who the group believes owns a lane; absent while it is between owners.
    pub owners: BTreeMap<Lane, u32>,
    /// Turns the assignment, to provoke revokes.
    pub salt: u64,
    /// The database went back at least once: committed offsets may then lie above its marks.
    pub rewound: bool,
    pub commits: u64,
    /// A person accepts floods of dead letters.
    pub accepted: bool,
}

impl World {
    pub fn produce(&mut self, lane: Lane, value: u64, hole: bool) {
        let log = self.logs.entry(lane).or_default();
        log.end += i64::from(hole);
        if value == 0 {
            // A transaction marker: an offset without a record.
            log.end += 1;
        } else {
            log.records.push((log.end, value));
            log.end += 1;
        }
        for client in self.clients.values_mut().filter(|c| c.assigned.contains_key(&lane)) {
            client.woken.push(lane);
        }
    }

    /// One step of a cooperative rebalance: take from those who have too much, give what is free.
    pub fn rebalance(&mut self) {
        let members: Vec<u32> = self.clients.iter().filter(|(_, c)| c.in_group).map(|(id, _)| *id).collect();
        if members.is_empty() {
            return;
        }
        let (mut give, mut take): (BTreeMap<u32, Vec<Lane>>, BTreeMap<u32, Vec<Lane>>) = Default::default();
        for lane in self.logs.keys() {
            let target = members[((lane.partition as u64).wrapping_add(self.salt) % members.len() as u64) as usize];
            match self.owners.get(lane) {
                None => give.entry(target).or_default().push(*lane),
                Some(owner) if *owner != target => take.entry(*owner).or_default().push(*lane),
                Some(_) => {}
            }
        }
        for (id, lanes) in take {
            let client = self.clients.get_mut(&id).expect("owners are members");
            if client.in_group && client.revoking.is_empty() {
                client.revoking = lanes.iter().copied().collect();
                client.events.push(BrokerEvent::Revoked(lanes));
            }
        }
        for (id, lanes) in give {
            let client = self.clients.get_mut(&id).expect("targets are members");
            if client.revoking.is_empty() {
                self.owners.extend(lanes.iter().map(|l| (*l, id)));
                client.events.push(BrokerEvent::Given(lanes));
            }
        }
    }

    /// The group forgets a member (session timeout, crash).
    pub fn expel(&mut self, id: u32) {
        let lanes: Vec<Lane> = self.owners.iter().filter(|(_, o)| **o == id).map(|(l, _)| *l).collect();
        self.owners.retain(|_, owner| *owner != id);
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.in_group = false;
        client.revoking.clear();
        // What was given but not yet noticed is gone as well.
        client.events.retain(|e| !matches!(e, BrokerEvent::Given(_) | BrokerEvent::Revoked(_)));
        if !lanes.is_empty() || !client.assigned.is_empty() {
            client.events.push(BrokerEvent::Lost(lanes));
        }
    }
}

/// One member's [`Broker`].
pub struct Port {
    pub id: u32,
    pub world: Rc<RefCell<World>>,
}

impl Broker for Port {
    fn poll(&mut self, events: &mut Vec<BrokerEvent>) {
        let mut world = self.world.borrow_mut();
        events.append(&mut world.clients.get_mut(&self.id).expect("it runs").events);
    }

    fn ready(&mut self, lanes: &mut Vec<Lane>) {
        let mut world = self.world.borrow_mut();
        lanes.append(&mut world.clients.get_mut(&self.id).expect("it runs").woken);
    }

    fn take(&mut self, lane: Lane, from: i64, room: Room, batch: &mut Batch) -> Taken {
        let mut world = self.world.borrow_mut();
        let world = &mut *world;
        let next = world
            .clients
            .get_mut(&self.id)
            .expect("it runs")
            .assigned
            .get_mut(&lane)
            .expect("only assigned lanes are read");
        let log = &world.logs[&lane];
        let first = log.records.partition_point(|(offset, _)| *offset < *next);
        let mut taken = Taken::default();
        for (offset, value) in &log.records[first..] {
            if taken.records == room.records {
                return taken;
            }
            *next = offset + 1;
            if *offset < from {
                taken.stale += 1;
                continue;
            }
            let payload = batch.push_bytes(Some(&value.to_be_bytes()));
            let (key, headers) = (Span::NULL, Span::NULL);
            batch.records.push(Record {
                offset: *offset,
                timestamp: 0,
                kind: TimestampKind::Create,
                key,
                payload,
                headers,
            });
            taken.records += 1;
        }
        taken.drained = true;
        taken
    }

    fn assign(&mut self, lanes: &[(Lane, i64)]) -> Result<(), BrokerError> {
        let mut world = self.world.borrow_mut();
        let client = world.clients.get_mut(&self.id).expect("it runs");
        for (lane, offset) in lanes {
            assert!(client.assigned.insert(*lane, *offset).is_none(), "{lane} was assigned already");
            client.woken.push(*lane);
        }
        Ok(())
    }

    fn unassign(&mut self, lanes: &[Lane]) -> Result<(), BrokerError> {
        let mut world = self.world.borrow_mut();
        let client = world.clients.get_mut(&self.id).expect("it runs");
        for lane in lanes {
            assert!(client.assigned.remove(lane).is_some(), "C2: {lane} was never assigned");
        }
        let freed = std::mem::take(&mut client.revoking);
        world.owners.retain(|lane, owner| *owner != self.id || !freed.contains(lane));
        Ok(())
    }

    fn restart(&mut self, lane: Lane, offset: i64) -> Result<(), BrokerError> {
        let mut world = self.world.borrow_mut();
        let client = world.clients.get_mut(&self.id).expect("it runs");
        assert!(client.assigned.insert(lane, offset).is_some(), "only an assigned lane is restarted");
        client.woken.push(lane);
        Ok(())
    }

    fn commit(&mut self, marks: &[(Lane, i64)]) -> Result<(), BrokerError> {
        let mut world = self.world.borrow_mut();
        for (lane, mark) in marks {
            let durable = world.database.rows.get(lane).map_or(0, |r| r.next_offset);
            assert!(*mark <= durable || world.rewound, "P2: {lane} committed {mark}, durable is {durable}");
        }
        world.commits += 1;
        Ok(())
    }

    fn idle_end(&mut self, lane: Lane) -> Option<i64> {
        let world = self.world.borrow();
        let next = world.clients[&self.id].assigned.get(&lane)?;
        let log = &world.logs[&lane];
        let rest = log.records.iter().any(|(offset, _)| offset >= next);
        (!rest).then_some(log.end)
    }

    fn lag(&mut self, _: &mut Vec<(Lane, i64)>) {}

    fn unsubscribe(&mut self) {
        let mut world = self.world.borrow_mut();
        let world = &mut *world;
        let client = world.clients.get_mut(&self.id).expect("it runs");
        client.in_group = false;
        client.events.retain(|e| !matches!(e, BrokerEvent::Given(_)));
        let lanes: Vec<Lane> = world.owners.iter().filter(|(_, o)| **o == self.id).map(|(l, _)| *l).collect();
        client.revoking.extend(&lanes);
        if !lanes.is_empty() {
            client.events.push(BrokerEvent::Revoked(lanes));
        }
    }
}
