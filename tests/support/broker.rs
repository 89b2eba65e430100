//! One Apache Kafka node in KRaft mode: its settings, its storage and its process.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::OnceLock;

use tidemill::demo::guard::Guard;

use super::folder::tail;
use super::signal;
use super::signal::Signal;

/// What a node needs to know of its cluster.
#[derive(Debug)]
pub struct Plan {
    pub cluster_id: String,
    pub ports: Vec<Ports>,
    pub folder: PathBuf,
}

/// Where a node listens.
#[derive(Clone, Debug)]
pub struct Ports {
    pub client: u16,
    pub controller: u16,
    /// For each detour the port where the node listens and the one that it advertises.
    pub detours: Vec<(u16, u16)>,
}

/// A node of a test cluster. Numbered from 1, as Kafka does.
#[derive(Debug)]
pub struct Node {
    number: usize,
    folder: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    _guard: Guard,
}

impl Node {
    /// Writes the settings and formats the storage.
    pub fn format(plan: &Plan, number: usize) -> Node {
        let node = Node { number, folder: plan.folder.clone(), running: None };
        fs::write(node.settings(), settings(plan, number)).expect("the test folder takes a file");
        let mut command = java(&["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m"]);
        command.args(["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", &plan.cluster_id]);
        if plan.ports.len() == 1 {
            command.arg("--standalone");
        }
        let output = command.arg("-c").arg(node.settings()).output().expect("java starts");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kafka storage of node {number} cannot be formatted:\n{text}");
        node
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts the process; it needs seconds until it answers.
    pub fn start(&mut self, heap: &str) {
        assert!(self.running.is_none(), "kafka node {} runs already", self.number);
        let log = fs::File::options().create(true).append(true).open(self.log()).expect("the test folder takes a file");
        let errors = log.try_clone().expect("a file handle can be copied");
        let (least, most) = (format!("-Xms{heap}"), format!("-Xmx{heap}"));
        let child = java(&[&least, &most, "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:TieredStopAtLevel=1"])
            .arg("kafka.Kafka")
            .arg(self.settings())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .expect("java starts");
        let guard = Guard::over(child.id(), "KILL", Some(&self.folder)).expect("a shell starts");
        self.running = Some(Running { child, _guard: guard });
    }

    pub fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().unwrap_or_else(|| panic!("kafka node {} is not running", self.number));
        signal::send(&running.child, signal);
    }

    /// Ends the process with `signal` and waits for it.
    pub fn end(&mut self, signal: Signal) {
        if let Some(mut running) = self.running.take() {
            signal::send(&running.child, signal);
            // A stopped process would not see a SIGTERM.
            signal::send(&running.child, Signal::Continue);
            running.child.wait().expect("a child can be waited for");
        }
    }

    /// Whether the process ended by itself.
    pub fn has_died(&mut self) -> bool {
        self.running.as_mut().is_some_and(|r| !matches!(r.child.try_wait(), Ok(None)))
    }

    pub fn log_tail(&self) -> String {
        format!("--- log of kafka node {} ---\n{}", self.number, tail(&self.log(), 40))
    }

    fn settings(&self) -> PathBuf {
        self.folder.join(format!("node{}.properties", self.number))
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("node{}.log", self.number))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Its data goes away anyway.
        self.end(Signal::Kill);
    }
}

/// The folder of the broker's jars; fetched when they are not there yet.
fn jars() -> &'static Path {
    static JARS: OnceLock<PathBuf> = OnceLock::new();
    JARS.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script = root.join("scripts/kafka-jars.sh");
        let output = Command::new(&script).current_dir(root).stderr(Stdio::inherit()).output();
        let output = output.unwrap_or_else(|e| panic!("cannot run {}: {e}", script.display()));
        assert!(output.status.success(), "the jars of Apache Kafka cannot be fetched; see the lines above");
        PathBuf::from(String::from_utf8(output.stdout).expect("a path in UTF-8").trim())
    })
}

fn java(options: &[&str]) -> Command {
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/kafka/log4j2.properties");
    let mut command = Command::new("java");
    command.args(options).arg(format!("-Dlog4j2.configurationFile={}", log.display()));
    // Java itself expands the star; a shell would break it.
    command.arg("-cp").arg(jars().join("*")).stdin(Stdio::null());
    command
}

fn settings(plan: &Plan, number: usize) -> String {
    let Ports { client, controller, detours } = &plan.ports[number - 1];
    let (mut listeners, mut advertised, mut protocols) = (String::new(), String::new(), String::new());
    for (i, (inside, outside)) in detours.iter().enumerate() {
        let _ = write!(listeners, ",DETOUR{i}://127.0.0.1:{inside}");
        let _ = write!(advertised, ",DETOUR{i}://127.0.0.1:{outside}");
        let _ = write!(protocols, ",DETOUR{i}:PLAINTEXT");
    }
    let nodes = plan.ports.len();
    let copies = nodes.min(3);
    let in_sync = if copies == 3 { 2 } else { 1 };
    let mut text = format!(
        "process.roles=broker,controller
node.id={number}
listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{client}{advertised}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
log.dirs={folder}/node{number}
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=3000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
broker.session.timeout.ms=6000
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.backoff.ms=500
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=100
num.partitions=1
auto.create.topics.enable=false
",
        folder = plan.folder.display()
    );
    for i in 0..detours.len() {
        let _ = writeln!(text, "listener.name.detour{i}.num.network.threads=1");
    }
    if nodes == 1 {
        let _ = writeln!(text, "controller.quorum.bootstrap.servers=127.0.0.1:{controller}");
    } else {
        let voters: Vec<String> =
            plan.ports.iter().enumerate().map(|(i, p)| format!("{}@127.0.0.1:{}", i + 1, p.controller)).collect();
        let _ = writeln!(text, "controller.quorum.voters={}", voters.join(","));
    }
    text
}

/// 16 random bytes in the URL form of base64, as Kafka writes ids. Never starts with `-`, which the tool takes for an option.
pub fn cluster_id() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).expect("the system has random bytes");
    // The first six bits make the first letter.
    bytes[0] &= 0x7f;
    let bits = u128::from_be_bytes(bytes);
    let letter = |shift: u32| ALPHABET[(bits >> shift) as usize & 63] as char;
    // 21 letters of six bits; the last has two bits and four zeros.
    (0..21).map(|i| letter(122 - 6 * i)).chain([ALPHABET[((bits & 3) << 4) as usize] as char]).collect()
}
