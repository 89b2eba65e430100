//! One finished pipeline that all tests copy: each spoils a copy of its database, and none changes its log.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::site::LONG;
use crate::site::Site;
use crate::support::kafka::Kafka;
use crate::support::kafka::Record;
use crate::support::postgres::Postgres;
use crate::support::postgres::Setup;
use crate::support::produce::Outcome;
use crate::support::produce::payloads;
use crate::support::produce::transactions;
use crate::support::signal::Signal;

pub const PARTITIONS: i32 = 3;
/// Payments of shops are left out on purpose: two of five kinds of device.
pub const SKIP: &str = "skip=[{name=\"shops\",field=\"device.kind\",in=[\"pos\",\"moto\"]}]";
/// Records behind the marks, which nobody has read.
pub const UNREAD: u64 = 60;

/// What `tidemill verify` said.
#[derive(Debug)]
pub struct Verified {
    pub code: i32,
    pub text: String,
}

impl Verified {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// All findings as `(kind, partition, count, offsets)`.
    pub fn findings(&self) -> Vec<(String, i32, u64, Vec<i64>)> {
        let json = self.json();
        let mut all = vec![];
        for lane in json["partitions"].as_array().expect("partitions") {
            for finding in lane["findings"].as_array().expect("findings") {
                let offsets = finding["offsets"].as_array().expect("offsets").iter().filter_map(Value::as_i64);
                all.push((
                    finding["kind"].as_str().expect("a kind").to_owned(),
                    lane["partition"].as_i64().expect("a number") as i32,
                    finding["count"].as_u64().expect("a number"),
                    offsets.collect(),
                ));
            }
        }
        all
    }

    /// The findings of one kind, and that nothing of any other kind but `also` was found.
    #[track_caller]
    pub fn only(&self, kind: &str, also: &[&str]) -> Vec<(i32, u64, Vec<i64>)> {
        assert_eq!(self.code, 1, "{}", self.text);
        let all = self.findings();
        for (found, ..) in &all {
            assert!(found == kind || also.contains(&found.as_str()), "{found} was found beside {kind}: {}", self.text);
        }
        all.into_iter().filter(|f| f.0 == kind).map(|(_, p, n, o)| (p, n, o)).collect()
    }

    #[track_caller]
    pub fn fine(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.text);
        let json = self.json();
        assert_eq!(json["verdict"], "fine", "{}", self.text);
        json
    }

    /// Sum of a number over all partitions.
    pub fn sum(&self, what: &str) -> u64 {
        let json = self.json();
        json["partitions"].as_array().expect("partitions").iter().filter_map(|l| l[what].as_u64()).sum()
    }
}

/// Longest wait for an audit; ten million records take a while.
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs `verify --json` on a site, with these arguments and settings.
pub fn verify(site: &Site<'_>, arguments: &[&str], sets: &[&str]) -> Verified {
    let all = [&["verify", "--json"], arguments].concat();
    let mut ran = site.command("verify", &all, sets);
    let status = ran.wait(PATIENCE);
    Verified { code: status.code().expect("no signal ended it"), text: ran.log() }
}

/// Three partitions with clean and poisoned payments, some of them skipped, with committed and aborted transactions.
pub struct Stage {
    pub site: Site<'static>,
    /// What a reader of committed data sees below the marks.
    pub log: Vec<Record>,
    pub marks: BTreeMap<i32, i64>,
}

impl Stage {
    pub fn shared() -> &'static Stage {
        static SHARED: OnceLock<Stage> = OnceLock::new();
        SHARED.get_or_init(Stage::play)
    }

    fn play() -> Stage {
        static POSTGRES: OnceLock<Postgres> = OnceLock::new();
        let start = || {
            Postgres::with(Setup {
                fsync: false,
                settings: vec!["track_commit_timestamp=on".into()],
                ..Setup::default()
            })
        };
        let postgres = std::thread::scope(|scope| {
            let kafka = scope.spawn(Kafka::shared);
            let postgres = POSTGRES.get_or_init(start);
            kafka.join().expect("kafka starts");
            postgres
        });
        let site = Site::on(Kafka::shared(), postgres, "verified", PARTITIONS);
        site.migrate();
        site.produce(1_500);
        transactions(
            &site.brokers,
            &site.topic,
            0,
            &[(20, Outcome::Commit), (30, Outcome::Abort), (10, Outcome::Commit)],
        );
        site.produce(1_500);
        let mut daemon = site.ready("stage", &[SKIP]);
        site.settle();
        daemon.signal(Signal::Term);
        assert!(daemon.wait(LONG).success(), "it drains");
        let marks = site.marks();
        let log = Kafka::shared().read_all(&site.topic);
        // Not skipped by any rule, and never read.
        payloads(&site.brokers, &site.topic, (0..UNREAD).map(|n| (n.to_string().into_bytes(), b"{}".to_vec())));
        Stage { site, log, marks }
    }

    /// The same pipeline on a copy of the database, on which this SQL was run.
    pub fn copy(&self, sql: &str) -> Site<'static> {
        let postgres = self.site.postgres;
        let database = postgres.create_database_like(&self.site.database);
        if !sql.is_empty() {
            postgres.psql(&database, sql);
        }
        let url = postgres.url(&database);
        Site { topic: self.site.topic.clone(), brokers: self.site.brokers.clone(), database, url, ..self.site }
    }

    /// Offsets of a partition that have a row, in order.
    pub fn rows(&self, partition: i32) -> Vec<i64> {
        self.offsets(&format!("SELECT \"offset\" FROM scores WHERE partition = {partition} ORDER BY 1"))
    }

    /// Offsets of a partition that have a dead letter, in order.
    pub fn letters(&self, partition: i32) -> Vec<i64> {
        let sql = format!("SELECT \"offset\" FROM tidemill.dead_letter WHERE partition = {partition} ORDER BY 1");
        self.offsets(&sql)
    }

    fn offsets(&self, sql: &str) -> Vec<i64> {
        self.site.sql(sql).lines().map(|l| l.parse().expect("a number")).collect()
    }
}
