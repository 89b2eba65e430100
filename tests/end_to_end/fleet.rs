//! Processes of one pipeline: `config/fraud.toml` with addresses and names of the test.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tidemill::demo::ports::free_port;

use crate::support::daemon::Daemon;
use crate::support::daemon::Start;
use crate::support::wait::until;

const CONFIG: &str = include_str!("../../config/fraud.toml");
const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fraud/gbt");
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How the processes of one pipeline are started.
#[derive(Clone, Debug)]
pub struct Fleet {
    config: String,
    brokers: String,
    database: String,
    sets: Vec<String>,
}

/// One process and what to ask it.
#[derive(Debug)]
pub struct Process {
    pub name: String,
    pub daemon: Daemon,
    pub ops: SocketAddr,
}

impl Fleet {
    /// A pipeline `name` with a group and a table of its own name.
    pub fn new(name: &str, brokers: &str, database: &str, topics: &[&str]) -> Fleet {
        let mut fleet =
            Fleet { config: CONFIG.into(), brokers: brokers.into(), database: database.into(), sets: vec![] };
        let topics: Vec<String> = topics.iter().map(|t| format!("{t:?}")).collect();
        fleet.set(&format!("name={name}"));
        fleet.set(&format!("kafka.group={name}"));
        fleet.set(&format!("kafka.topics=[{}]", topics.join(",")));
        fleet.set(&format!("model.bundle={BUNDLE}"));
        fleet.set(&format!("table.name=public.{}", name.replace('-', "_")));
        fleet
    }

    /// A pipeline that only stores fields.
    pub fn without_model(mut self) -> Fleet {
        self.config = self.config.replace("[model]\nbundle = \"../models/fraud/gbt\"\n", "");
        assert!(!self.config.contains("[model]"), "config/fraud.toml has another [model] section than it had");
        self.sets.retain(|s| !s.starts_with("model."));
        self
    }

    pub fn set(&mut self, set: &str) {
        self.sets.push(set.into());
    }

    /// Makes the tables.
    pub fn migrate(&self) {
        let mut process = self.launch("migrate", "migrate");
        let status = process.daemon.wait(PATIENCE);
        assert_eq!(status.code(), Some(0), "{}", process.daemon.log());
    }

    /// Starts a process and returns at once.
    pub fn start(&self, name: &str) -> Process {
        self.launch(name, "run")
    }

    fn launch(&self, name: &str, command: &str) -> Process {
        let ops = SocketAddr::from(([127, 0, 0, 1], free_port().expect("there is a free port")));
        let listen = format!("admin.listen={ops}");
        let mut arguments = vec![command];
        for set in self.sets.iter().chain([&listen]) {
            arguments.extend(["--set", set]);
        }
        let environment = [("KAFKA_BROKERS", &self.brokers[..]), ("DATABASE_URL", &self.database)];
        let start = Start { name, config: &self.config, ops, arguments: &arguments, environment: &environment };
        Process { name: name.into(), daemon: Daemon::start(&start), ops }
    }
}

impl Process {
    /// A number of its metrics page, which must be there.
    pub fn count(&self, metric: &str) -> u64 {
        self.count_with(metric, &[])
    }

    pub fn count_with(&self, metric: &str, labels: &[&str]) -> u64 {
        let found = self.daemon.metric_with(metric, labels);
        found.unwrap_or_else(|| panic!("{} does not tell {metric}{labels:?}", self.name)) as u64
    }

    /// Partitions that it reads.
    pub fn lanes(&self) -> u64 {
        self.daemon.metric_with("tidemill_intake_partitions_lanes", &["state=\"assigned\""]).unwrap_or(0.0) as u64
    }

    pub fn in_flight(&self) -> u64 {
        self.daemon.metric("tidemill_intake_in_flight_records").unwrap_or(0.0) as u64
    }

    pub fn wait_for_lanes(&mut self, wanted: u64) {
        until(&format!("{} to read {wanted} partitions", self.name), PATIENCE, || {
            assert!(self.daemon.exit().is_none(), "{} ended: {}", self.name, self.daemon.log());
            (self.lanes() >= wanted).then_some(())
        });
    }

    /// Log lines with this message, as they were written.
    pub fn said(&self, message: &str) -> Vec<Value> {
        let log = self.daemon.log();
        let lines = log.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        lines.filter(|l| l["message"] == message).collect()
    }

    /// The random id of this start, as `tidemill.progress` has it.
    pub fn owner(&self) -> String {
        let line = self.said("joining the group").pop();
        line.and_then(|l| Some(l["owner"].as_str()?.to_owned())).expect("a process says its owner id")
    }
}
