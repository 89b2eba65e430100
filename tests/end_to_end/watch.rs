//! Looks at a pipeline from outside, again and again, while things happen to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::Consumer;

use crate::sql::Sql;
use crate::support::daemon;
use crate::support::kafka::client;

const PAUSE: Duration = Duration::from_millis(100);
/// One sample of so many also counts all rows.
const COUNT_EVERY: u64 = 5;

/// What is watched.
#[derive(Clone, Debug)]
pub struct Subject {
    pub brokers: String,
    pub database: String,
    pub topic: String,
    pub partitions: i32,
    /// Name of the pipeline and of its group.
    pub pipeline: String,
    pub table: String,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub samples: u64,
    /// Committed offsets that were compared with a mark.
    pub compared: u64,
    pub counted: u64,
    pub scrapes: u64,
    /// What must not be. Empty in a good run.
    pub wrong: Vec<String>,
}

/// A watch in the background. The processes whose metrics are scraped come and go.
pub struct Watch {
    stop: Arc<AtomicBool>,
    scraped: Arc<Mutex<BTreeMap<String, SocketAddr>>>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Watch {
    pub fn start(subject: Subject) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let scraped = Arc::new(Mutex::new(BTreeMap::new()));
        let (ended, also_ended, pages) = (stop.clone(), stop.clone(), scraped.clone());
        let threads =
            vec![thread::spawn(move || marks(&subject, &ended)), thread::spawn(move || metrics(&pages, &also_ended))];
        Watch { stop, scraped, threads }
    }

    pub fn add(&self, name: &str, ops: SocketAddr) {
        self.scraped.lock().unwrap().insert(name.into(), ops);
    }

    /// Before a process is stopped: it would answer nobody and hold the watch up.
    pub fn remove(&self, name: &str) {
        self.scraped.lock().unwrap().remove(name);
    }

    pub fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for thread in self.threads {
            let seen = thread.join().expect("the watch does not panic");
            all.samples += seen.samples;
            all.compared += seen.compared;
            all.counted += seen.counted;
            all.scrapes += seen.scrapes;
            all.wrong.extend(seen.wrong);
        }
        all
    }
}

const MARKS: &str = "SELECT partition, next_offset, epoch, stored + dead_lettered + skipped
    FROM tidemill.progress p JOIN tidemill.source s ON s.id = p.source WHERE s.pipeline = $1 AND s.topic = $2";

fn marks(subject: &Subject, stop: &AtomicBool) -> Seen {
    let sql = Sql::connect(&subject.database);
    let group: BaseConsumer = client(&subject.brokers).set("group.id", &subject.pipeline).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&subject.topic, 0, subject.partitions - 1);
    let prefixes = prefixes(&subject.table);
    let (mut seen, mut before) = (Seen::default(), BTreeMap::<i32, (i64, i64)>::new());
    while !stop.load(Ordering::Relaxed) {
        // Kafka first: a mark read later may only be higher.
        let committed = group.committed_offsets(list.clone(), Duration::from_secs(10));
        let mut marks = BTreeMap::new();
        for row in sql.query(MARKS, &[&subject.pipeline, &subject.topic]) {
            let (partition, next, epoch, sum): (i32, i64, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
            if next != sum {
                seen.wrong.push(format!("partition {partition}: mark {next}, but {sum} dispositions"));
            }
            let old = before.insert(partition, (next, epoch)).unwrap_or((0, 0));
            if next < old.0 || epoch < old.1 {
                seen.wrong.push(format!("partition {partition} went back from {old:?} to {:?}", (next, epoch)));
            }
            marks.insert(partition, next);
        }
        for element in committed.iter().flat_map(|list| list.elements()) {
            let Offset::Offset(offset) = element.offset() else { continue };
            let mark = marks.get(&element.partition()).copied().unwrap_or(-1);
            seen.compared += 1;
            if offset > mark {
                let partition = element.partition();
                seen.wrong.push(format!("partition {partition}: kafka has {offset}, the mark was {mark}"));
            }
        }
        if seen.samples % COUNT_EVERY == 0 {
            seen.counted += 1;
            for row in sql.query(&prefixes, &[&subject.pipeline, &subject.topic]) {
                let (partition, next, count, last): (i32, i64, i64, i64) =
                    (row.get(0), row.get(1), row.get(2), row.get(3));
                if count != next || last + 1 != next {
                    let what = format!("{count} dispositions are visible, the last at {last}");
                    seen.wrong.push(format!("partition {partition}: {what}, the mark is {next}"));
                }
            }
        }
        seen.samples += 1;
        thread::sleep(PAUSE);
    }
    seen
}

/// What one look sees of each partition is exactly what lies below its mark: rows become visible in offset order.
fn prefixes(table: &str) -> String {
    format!(
        "WITH s AS (SELECT id FROM tidemill.source WHERE pipeline = $1 AND topic = $2),
            done AS (SELECT partition, \"offset\" FROM {table} WHERE source = (SELECT id FROM s)
                UNION ALL SELECT partition, \"offset\" FROM tidemill.dead_letter WHERE source = (SELECT id FROM s))
        SELECT p.partition, p.next_offset, count(d), coalesce(max(d.\"offset\"), -1)
        FROM tidemill.progress p LEFT JOIN done d USING (partition) WHERE p.source = (SELECT id FROM s) GROUP BY 1, 2"
    )
}

fn metrics(scraped: &Mutex<BTreeMap<String, SocketAddr>>, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let now = scraped.lock().unwrap().clone();
        for (name, ops) in now {
            // A process that is starting, ending or killed does not answer; the marks are looked at all the same.
            let Ok((200, page)) = daemon::get(ops, "/metrics") else { continue };
            let unaccounted = daemon::metric(&page, "tidemill_intake_unaccounted_records", &[]);
            seen.scrapes += 1;
            if unaccounted != Some(0.0) {
                seen.wrong.push(format!("{name}: unaccounted records: {unaccounted:?}"));
            }
        }
        thread::sleep(PAUSE);
    }
    seen
}
