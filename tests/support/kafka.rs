//! A real Apache Kafka cluster for tests, and the eyes to read what is really in it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rdkafka::ClientConfig;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::admin::AdminClient;
use rdkafka::admin::AdminOptions;
use rdkafka::admin::NewPartitions;
use rdkafka::admin::NewTopic;
use rdkafka::admin::TopicReplication;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::CommitMode;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::error::KafkaResult;
use rdkafka::message::Headers;
use rdkafka::message::Message;
use tidemill::demo::ports::free_port;

use super::broker;
use super::broker::Node;
use super::broker::Plan;
use super::broker::Ports;
use super::detour::Detour;
use super::folder::Folder;
use super::signal::Signal;
use super::wait::until;

const PATIENCE: Duration = Duration::from_secs(180);
const ANSWER: Duration = Duration::from_secs(15);

/// A cluster of one or more nodes. Dropped: killed and removed; so is one kept in a static, when the test process ends.
///
/// All methods take `&self`: tests of one binary share a cluster and take topics of their own.
pub struct Kafka {
    nodes: Mutex<Vec<Node>>,
    heap: &'static str,
    bootstrap: String,
    cluster_id: String,
    admin: AdminClient<DefaultClientContext>,
    detours: Mutex<Vec<Detour>>,
    // After the nodes: they write into it.
    _folder: Folder,
}

/// One record as it lies in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// What a group has committed for a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    pub offset: i64,
    pub metadata: String,
}

impl Kafka {
    /// The one-node cluster that all tests of this binary share.
    pub fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Kafka::start(1))
    }

    /// Starts a new cluster and waits until every node is part of it: about 4 s for one node, 10 s for three.
    pub fn start(nodes: usize) -> Kafka {
        Kafka::start_with(nodes, 0)
    }

    /// The same with so many detours to take.
    pub fn start_with(nodes: usize, detours: usize) -> Kafka {
        let folder = Folder::new("kafka");
        let port = || free_port().expect("there is a free port");
        let mut ports: Vec<Ports> =
            (0..nodes).map(|_| Ports { client: port(), controller: port(), detours: vec![] }).collect();
        let detours = (0..detours).map(|_| Detour::before(&mut ports)).collect();
        let plan = Plan { cluster_id: broker::cluster_id(), ports, folder: folder.to_path_buf() };
        let heap = if nodes == 1 { "512m" } else { "384m" };
        let mut started: Vec<Node> = thread::scope(|scope| {
            let plan = &plan;
            let each: Vec<_> = (1..=nodes).map(|n| scope.spawn(move || Node::format(plan, n))).collect();
            each.into_iter().map(|t| t.join().expect("the storage is formatted")).collect()
        });
        started.iter_mut().for_each(|node| node.start(heap));
        let addresses: Vec<String> = plan.ports.iter().map(|p| format!("127.0.0.1:{}", p.client)).collect();
        let bootstrap = addresses.join(",");
        let admin = client(&bootstrap).create().expect("these settings are right");
        let kafka = Kafka {
            nodes: Mutex::new(started),
            heap,
            bootstrap,
            cluster_id: plan.cluster_id,
            admin,
            detours: Mutex::new(detours),
            _folder: folder,
        };
        kafka.wait_for_nodes(nodes);
        kafka
    }

    /// A way to the cluster that nobody else uses.
    pub fn detour(&self) -> Detour {
        let mut left = self.detours.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        left.pop().expect("the cluster was started with more detours")
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// Waits until the cluster's metadata names this many live brokers.
    pub fn wait_for_nodes(&self, wanted: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.admin.inner().fetch_metadata(None, Duration::from_secs(2));
            if answer.is_ok_and(|m| m.brokers().len() == wanted) {
                return;
            }
            let died = self.nodes().iter_mut().any(Node::has_died);
            if died || Instant::now() > deadline {
                let what = if died { "a node died" } else { "in vain" };
                panic!("waited for {wanted} kafka nodes: {what}\n{}", self.logs());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The last lines of every node's log.
    pub fn logs(&self) -> String {
        self.nodes().iter().map(Node::log_tail).collect::<Vec<_>>().join("\n")
    }

    /// SIGTERM: the node hands over its partitions and leaves. Nodes count from 1.
    pub fn stop_node(&self, number: usize) {
        self.nodes()[number - 1].end(Signal::Term);
    }

    /// SIGKILL.
    pub fn kill_node(&self, number: usize) {
        self.nodes()[number - 1].end(Signal::Kill);
    }

    /// Starts a stopped node over its old data and waits until all running nodes are known.
    pub fn start_node(&self, number: usize) {
        let running = {
            let mut nodes = self.nodes();
            nodes[number - 1].start(self.heap);
            nodes.iter().filter(|n| n.is_running()).count()
        };
        self.wait_for_nodes(running);
    }

    /// SIGSTOP: connections stay open, nothing answers.
    pub fn freeze_node(&self, number: usize) {
        self.nodes()[number - 1].signal(Signal::Stop);
    }

    /// SIGCONT.
    pub fn thaw_node(&self, number: usize) {
        self.nodes()[number - 1].signal(Signal::Continue);
    }

    /// A name that no other test uses.
    pub fn unique(name: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
    }

    pub fn create_topic(&self, name: &str, partitions: i32, replication: i32) {
        self.create_topic_with(name, partitions, replication, &[]);
    }

    /// With topic settings such as `("cleanup.policy", "compact")`. Returns when every partition has a leader.
    pub fn create_topic_with(&self, name: &str, partitions: i32, replication: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let result = wait(self.admin.create_topics(&[topic], &options())).expect("the broker answers");
        assert!(result.iter().all(Result::is_ok), "topic {name} cannot be created: {result:?}");
        until("leaders of a new topic", PATIENCE, || {
            let metadata = self.admin.inner().fetch_metadata(Some(name), ANSWER).ok()?;
            let found = metadata.topics()[0].partitions();
            (found.len() == partitions as usize && found.iter().all(|p| p.leader() > 0)).then_some(())
        });
        // A broker learns that it leads a little later than the metadata says so.
        self.bounds(name);
    }

    /// Raises the number of partitions; returns when every one has a leader.
    pub fn grow_topic(&self, name: &str, partitions: usize) {
        let result = wait(self.admin.create_partitions(&[NewPartitions::new(name, partitions)], &options()));
        let result = result.expect("the broker answers");
        assert!(result.iter().all(Result::is_ok), "topic {name} cannot grow: {result:?}");
        until("leaders of new partitions", PATIENCE, || {
            let metadata = self.admin.inner().fetch_metadata(Some(name), ANSWER).ok()?;
            let found = metadata.topics()[0].partitions();
            (found.len() == partitions && found.iter().all(|p| p.leader() > 0)).then_some(())
        });
        self.bounds(name);
    }

    /// Commits as a consumer that knows nothing of Tidemill would; the group must have no members.
    pub fn commit(&self, group: &str, topic: &str, offsets: &[(i32, i64)]) {
        let consumer: BaseConsumer =
            client(&self.bootstrap).set("group.id", group).create().expect("these settings are right");
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .expect("an offset that Kafka can hold");
        }
        patiently("commit", || consumer.commit(&list, CommitMode::Sync));
    }

    /// Forgets all that a group without members has committed.
    pub fn delete_group(&self, group: &str) {
        patiently(&format!("end of group {group}"), || {
            let answers = wait(self.admin.delete_groups(&[group], &options()))?;
            answers.into_iter().try_for_each(|a| a.map(drop).map_err(|(_, code)| KafkaError::AdminOp(code)))
        });
    }

    /// Returns when the topic's name is free again.
    pub fn delete_topic(&self, name: &str) {
        let result = wait(self.admin.delete_topics(&[name], &options())).expect("the broker answers");
        assert!(result.iter().all(Result::is_ok), "topic {name} cannot be deleted: {result:?}");
        until("a topic to go", PATIENCE, || {
            let metadata = self.admin.inner().fetch_metadata(None, ANSWER).ok()?;
            metadata.topics().iter().all(|t| t.name() != name).then_some(())
        });
    }

    /// Drops everything below `offset` of a partition, as retention does.
    pub fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset that Kafka can hold");
        patiently(&format!("deleted records of {topic}[{partition}]"), || {
            let answer = wait(self.admin.delete_records(&list, &options()))?;
            answer.elements().iter().try_for_each(|e| e.error())
        });
    }

    /// First and next offset of every partition.
    pub fn bounds(&self, topic: &str) -> BTreeMap<i32, (i64, i64)> {
        let client = self.admin.inner();
        let metadata = patiently("metadata", || client.fetch_metadata(Some(topic), ANSWER));
        let partitions = metadata.topics()[0].partitions().iter().map(|p| p.id());
        let bounds = |p| patiently(&format!("offsets of {topic}[{p}]"), || client.fetch_watermarks(topic, p, ANSWER));
        partitions.map(|p| (p, bounds(p))).collect()
    }

    /// Next offset of every partition, markers of transactions counted.
    pub fn end_offsets(&self, topic: &str) -> BTreeMap<i32, i64> {
        self.bounds(topic).into_iter().map(|(p, (_, end))| (p, end)).collect()
    }

    /// What `group` has committed; a partition without a commit is left out. Does not join the group.
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, Committed> {
        let consumer: BaseConsumer =
            client(&self.bootstrap).set("group.id", group).create().expect("these settings are right");
        let mut list = TopicPartitionList::new();
        for partition in self.bounds(topic).into_keys() {
            list.add_partition(topic, partition);
        }
        let list = patiently("committed offsets", || consumer.committed_offsets(list.clone(), ANSWER));
        let found = list.elements().into_iter().filter_map(|e| match e.offset() {
            Offset::Offset(offset) => Some((e.partition(), Committed { offset, metadata: e.metadata().to_owned() })),
            _ => None,
        });
        found.collect()
    }

    /// Every committed record of the topic, sorted by partition and offset: the truth that results are compared with.
    pub fn read_all(&self, topic: &str) -> Vec<Record> {
        let consumer: BaseConsumer = client(&self.bootstrap)
            .set("group.id", "reads-without-joining")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.wait.max.ms", "50")
            .create()
            .expect("these settings are right");
        let mut list = TopicPartitionList::new();
        let bounds = self.bounds(topic);
        for (partition, (first, _)) in &bounds {
            list.add_partition_offset(topic, *partition, Offset::Offset(*first)).expect("an offset from Kafka");
        }
        consumer.assign(&list).expect("an assignment is taken");
        let (mut records, mut open) = (vec![], bounds.into_keys().collect::<BTreeSet<_>>());
        let (mut deadline, mut last) = (Instant::now() + PATIENCE, None);
        while !open.is_empty() {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    records.push(record(&message));
                    deadline = Instant::now() + PATIENCE;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                // A lost connection or a moved leader; the client goes on by itself.
                Some(Err(error)) => last = Some(error),
                None => assert!(
                    Instant::now() < deadline,
                    "topic {topic} cannot be read to its end: {last:?}\n{}",
                    self.logs()
                ),
            }
        }
        records.sort_by_key(|r| (r.partition, r.offset));
        records
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<Node>> {
        // A failed test must not fail those that share the cluster.
        self.nodes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

/// Client settings that every reader and writer of a test begins with.
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("reconnect.backoff.max.ms", "500");
    // Connection errors are what many tests are about; librdkafka would print each.
    config.set("log_level", "2");
    config
}

/// Asks again while a leader or coordinator moves or comes up.
fn patiently<T>(what: &str, mut ask: impl FnMut() -> KafkaResult<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < deadline, "no {what} within {PATIENCE:?}: {error}"),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn record<M: Message>(message: &M) -> Record {
    let headers = message
        .headers()
        .map(|headers| headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect::<Vec<_>>());
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(ANSWER))
}

/// Admin answers arrive on a thread of librdkafka, so any executor will do.
fn wait<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be built");
    runtime.block_on(future)
}
