//! A mock Kafka, a database of one's own, and the program run on the fraud scenario's own configuration.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::support::folder::Folder;
use crate::support::postgres::Postgres;

pub const TOPIC: &str = "payments";
/// Nothing listens there.
pub const NOWHERE: &str = "127.0.0.1:1";

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// How the program ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Fails the test unless the exit code is this and stdout holds all the parts.
    #[track_caller]
    pub fn says(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self}");
        for part in parts {
            assert!(self.out.contains(part), "{part:?} is not in\n{self}");
        }
    }

    /// The line of `check` about something.
    #[track_caller]
    pub fn line(&self, what: &str) -> &str {
        let found = self.out.lines().find(|l| l.split_whitespace().nth(1) == Some(what) && !l.starts_with("  "));
        found.unwrap_or_else(|| panic!("nothing is said of {what} in\n{self}"))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.out, self.err)
    }
}

/// Runs the program with these arguments and these variables, and no others that it might look at.
pub fn tidemill(arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.args(arguments).env_remove("KAFKA_BROKERS").env_remove("DATABASE_URL").stdin(Stdio::null());
    let done = command.envs(variables.iter().copied()).output().expect("the program of this build starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it speaks UTF-8");
    let code = done.status.code().expect("no signal ended it");
    Ran { code, out: text(done.stdout), err: text(done.stderr) }
}

pub struct World {
    _cluster: MockCluster<'static, DefaultProducerContext>,
    pub bootstrap: String,
    pub pg: Arc<Postgres>,
    pub database: String,
    pub url: String,
}

impl World {
    /// Four partitions without records, and an empty database.
    pub fn new() -> World {
        let cluster = MockCluster::new(1).expect("librdkafka has a mock cluster");
        cluster.create_topic(TOPIC, 4, 1).expect("the topic is new");
        let bootstrap = cluster.bootstrap_servers();
        let pg = Postgres::shared();
        let database = pg.create_database();
        let url = pg.url(&database);
        World { _cluster: cluster, bootstrap, pg, database, url }
    }

    /// The same with the tables made.
    pub fn migrated() -> World {
        let world = World::new();
        world.run(&["migrate"]).says(0, &[]);
        world
    }

    pub fn sql(&self, sql: &str) -> String {
        self.pg.psql(&self.database, sql)
    }

    /// Runs a command on `config/fraud.toml` and this world; further arguments follow the command.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_as(&self.url, arguments)
    }

    pub fn run_as(&self, url: &str, arguments: &[&str]) -> Ran {
        run_on(&self.bootstrap, url, arguments)
    }

    /// Rows of the control tables and the result table: what nobody but a run may write.
    pub fn written(&self) -> String {
        let tables = ["tidemill.source", "tidemill.model", "tidemill.progress", "tidemill.dead_letter", "fraud_scores"];
        self.sql(&tables.map(|t| format!("SELECT count(*) FROM {t}")).join(" UNION ALL "))
    }
}

pub fn run_on(brokers: &str, url: &str, arguments: &[&str]) -> Ran {
    let config = root().join("config/fraud.toml");
    let config = config.to_str().expect("a path in UTF-8");
    let (command, rest) = arguments.split_first().expect("a command");
    let all = [&[*command, "-c", config], rest].concat();
    tidemill(&all, &[("KAFKA_BROKERS", brokers), ("DATABASE_URL", url)])
}

/// A copy of a committed bundle that may be spoilt, and the argument that makes the program use it.
pub struct Bundle {
    folder: Folder,
    pub argument: String,
}

impl Bundle {
    pub fn copy(kind: &str) -> Bundle {
        let folder = Folder::new("bundle");
        for name in ["model.onnx", "model.toml", "golden.jsonl"] {
            let from = root().join("models/fraud").join(kind).join(name);
            fs::copy(from, folder.join(name)).expect("the bundle is committed");
        }
        let argument = format!("model.bundle={}", folder.display());
        Bundle { folder, argument }
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Replaces the value of one number in one line (from 1) of the golden records.
    pub fn spoil_golden(&self, line: usize, field: &str, value: &str) {
        let path = self.folder.join("golden.jsonl");
        let text = fs::read_to_string(&path).expect("it was copied");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let (head, tail) = lines[line - 1].rsplit_once(&format!("\"{field}\":")).expect("the output is recorded");
        let rest = tail.find([',', '}']).expect("the number ends");
        lines[line - 1] = format!("{head}\"{field}\":{value}{}", &tail[rest..]);
        fs::write(path, lines.join("\n")).expect("the test folder takes a file");
    }
}
