//! Looks at Kafka's commits and Postgres' marks again and again, in the order that makes a comparison sound (V6, V7), and
//! times how long the partitions of a killed process stay without an owner.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::Consumer;

use crate::bench::Bench;
use crate::bench::TOPIC;
use crate::db::Db;
use crate::journal::Journal;
use crate::servers::Marks;
use crate::support::kafka::client;

const PACE: Duration = Duration::from_millis(50);
const ANSWER: Duration = Duration::from_secs(2);
const MARKS: &str =
    "SELECT partition, next_offset, epoch, coalesce(replace(owner::text, '-', ''), '') FROM tidemill.progress";

/// A row of `tidemill.progress`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    pub next: i64,
    pub epoch: i64,
    pub owner: String,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Times that both Kafka and Postgres answered.
    pub samples: u64,
    /// Committed offsets that were compared with a mark.
    pub compared: u64,
    /// From the kill to the moment when every partition that the process had is another's and has moved.
    pub takeovers: Vec<Duration>,
    /// A partition came back to a process after another one had owned it.
    pub returns: u64,
    /// Marks that went back, each with a journalled cause.
    pub went_back: u64,
}

/// Partitions of a killed process that nobody has moved yet.
struct Orphans {
    owner: String,
    since: Duration,
    marks: BTreeMap<i32, i64>,
}

#[derive(Default)]
struct State {
    marks: BTreeMap<i32, Mark>,
    orphans: Vec<Orphans>,
    seen: Seen,
}

pub struct Sampler {
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    pub fn start(bench: Arc<Bench>, journal: Arc<Journal>) -> Sampler {
        let (state, stop) = (Arc::<Mutex<State>>::default(), Arc::<AtomicBool>::default());
        let (shared, told) = (state.clone(), stop.clone());
        let thread = thread::spawn(move || watch(&bench, &journal, &shared, &told));
        Sampler { state, stop, thread: Some(thread) }
    }

    /// A process was killed: its partitions are to be taken over.
    pub fn orphaned(&self, owner: &str, since: Duration) {
        let mut state = self.lock();
        let had = state.marks.iter().filter(|(_, m)| m.owner == owner);
        let marks: BTreeMap<i32, i64> = had.map(|(p, m)| (*p, m.next)).collect();
        if !marks.is_empty() {
            state.orphans.push(Orphans { owner: owner.to_owned(), since, marks });
        }
    }

    pub fn end(mut self) -> Seen {
        self.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the sampler does not panic");
        }
        self.lock().seen.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the sampler has concluded so far.
#[derive(Default)]
struct Memory {
    rewinds: u64,
    /// Partitions whose Kafka commits may be ahead, since the database went back, until the mark has passed the one that was
    /// lost: till then a process that has not noticed may tell Kafka what was durable.
    excused: Marks,
    /// Every owner that a partition has had, in order.
    owners: BTreeMap<i32, Vec<String>>,
}

fn watch(bench: &Bench, journal: &Journal, state: &Mutex<State>, stop: &AtomicBool) {
    let group: BaseConsumer =
        client(bench.kafka.bootstrap()).set("group.id", "chaos").create().expect("these settings are right");
    let (mut db, mut memory): (Option<Db>, _) = (None, Memory::default());
    while !stop.load(SeqCst) {
        thread::sleep(PACE);
        // Kafka first: a mark read later may only be higher.
        let committed = committed(&group, state);
        if db.is_none() {
            db = bench.db(ANSWER).ok();
        }
        let rewinds = journal.rewinds();
        match db.as_ref().map(|db| db.query(MARKS, &[])) {
            Some(Ok(rows)) => {
                let mark =
                    |r: &tokio_postgres::Row| (r.get(0), Mark { next: r.get(1), epoch: r.get(2), owner: r.get(3) });
                let marks = rows.iter().map(mark).collect();
                // It may have gone back while we read: then this look proves nothing.
                if rewinds == journal.rewinds() {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    compare(journal, &mut state, &mut memory, marks, &committed, rewinds);
                }
            }
            _ => db = None,
        }
    }
}

fn committed(group: &BaseConsumer, state: &Mutex<State>) -> BTreeMap<i32, i64> {
    let known = state.lock().unwrap_or_else(PoisonError::into_inner).marks.len() as i32;
    if known == 0 {
        return BTreeMap::new();
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_range(TOPIC, 0, known - 1);
    let Ok(found) = group.committed_offsets(list, ANSWER) else { return BTreeMap::new() };
    let offset = |e: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match e.offset() {
        Offset::Offset(offset) => Some((e.partition(), offset)),
        _ => None,
    };
    found.elements().into_iter().filter_map(offset).collect()
}

fn compare(
    journal: &Journal,
    state: &mut State,
    memory: &mut Memory,
    marks: BTreeMap<i32, Mark>,
    committed: &BTreeMap<i32, i64>,
    rewinds: u64,
) {
    let went_back = std::mem::replace(&mut memory.rewinds, rewinds) != rewinds;
    if went_back {
        memory.excused.extend(journal.gone());
    }
    state.seen.samples += u64::from(!committed.is_empty());
    for (partition, mark) in &marks {
        if let Some(old) = state.marks.get(partition)
            && (mark.next < old.next || mark.epoch < old.epoch)
        {
            state.seen.went_back += 1;
            if !went_back {
                let (next, epoch) = (mark.next, mark.epoch);
                journal.wrong(format!("V7: partition {partition} went back from {old:?} to {next}, epoch {epoch}"));
            }
        }
        if let Some(offset) = committed.get(partition) {
            state.seen.compared += 1;
            let ahead = *offset > mark.next;
            if !ahead && memory.excused.get(partition).is_some_and(|gone| mark.next >= *gone) {
                memory.excused.remove(partition);
            }
            if ahead && !memory.excused.contains_key(partition) {
                journal.wrong(format!("V6: partition {partition}: kafka has {offset}, the mark is {}", mark.next));
            }
        }
        if !mark.owner.is_empty() {
            let owners = memory.owners.entry(*partition).or_default();
            if owners.last() != Some(&mark.owner) {
                state.seen.returns += u64::from(owners.contains(&mark.owner));
                owners.push(mark.owner.clone());
            }
        }
    }
    let now = journal.now();
    let State { orphans, seen, .. } = state;
    orphans.retain(|o| {
        let moved = |(partition, old): (&i32, &i64)| {
            marks.get(partition).is_some_and(|m| m.owner != o.owner && !m.owner.is_empty() && m.next > *old)
        };
        let over = o.marks.iter().all(moved);
        if over {
            seen.takeovers.push(now - o.since);
        }
        !over
    });
    state.marks = marks;
}
