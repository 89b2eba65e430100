//! A pipeline's surroundings in one test: a topic, a database, the settings, and the comparison of what went in and came out.

// Two test programs share it, and each leaves something unused.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use tidemill::demo::ports::free_port;

use crate::support::daemon::Daemon;
use crate::support::daemon::Start;
use crate::support::kafka::Kafka;
use crate::support::postgres::Postgres;
use crate::support::postgres::Setup;
use crate::support::produce::Load;
use crate::support::produce::Sent;
use crate::support::produce::payments;
use crate::support::proxy::Proxy;
use crate::support::wait::until;

/// Longest wait for anything that must happen by itself.
pub const LONG: Duration = Duration::from_secs(40);
/// Pace of asking a process or the database: every question to the latter is a process of its own.
const PACE: Duration = Duration::from_millis(80);
/// Share of poisoned payments in every load.
const POISONED: f64 = 0.01;

/// Where one pipeline runs.
pub struct Site<'a> {
    pub kafka: &'a Kafka,
    pub postgres: &'a Postgres,
    pub topic: String,
    pub database: String,
    /// Where its processes look for Kafka and Postgres, unless told otherwise.
    pub brokers: String,
    pub url: String,
}

/// Seeds of loads: no two loads of this test program are alike.
static SEED: AtomicU64 = AtomicU64::new(1);

/// A Postgres without the waits for the disk.
pub fn quick_postgres() -> Postgres {
    Postgres::with(Setup { fsync: false, settings: vec!["max_connections=300".into()], ..Setup::default() })
}

impl Site<'static> {
    /// On the services that all tests share, with the tables made.
    pub fn shared(name: &str, partitions: i32) -> Site<'static> {
        let site = Site::shared_bare(name, partitions);
        site.migrate();
        site
    }

    /// The same without tables.
    pub fn shared_bare(name: &str, partitions: i32) -> Site<'static> {
        static POSTGRES: OnceLock<Postgres> = OnceLock::new();
        Site::on(Kafka::shared(), POSTGRES.get_or_init(quick_postgres), name, partitions)
    }
}

impl<'a> Site<'a> {
    /// A new topic and an empty database on these services.
    pub fn on(kafka: &'a Kafka, postgres: &'a Postgres, name: &str, partitions: i32) -> Site<'a> {
        let topic = Kafka::unique(name);
        kafka.create_topic(&topic, partitions, 1);
        let database = postgres.create_database();
        let (brokers, url) = (kafka.bootstrap().to_owned(), postgres.url(&database));
        Site { kafka, postgres, topic, database, brokers, url }
    }

    pub fn migrate(&self) {
        self.migrate_with(&[]);
    }

    /// The same with settings that change the tables.
    pub fn migrate_with(&self, sets: &[&str]) {
        let mut migrate = self.command("migrate", &["migrate"], sets);
        let status = migrate.wait(LONG);
        assert!(status.success(), "tidemill migrate: {status}\n{}", migrate.log());
    }

    /// The database server's address.
    pub fn server(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.postgres.port()))
    }

    /// A proxy before the database, and the setting that leads a process through it.
    pub fn proxy(&self) -> (Proxy, String) {
        let proxy = Proxy::postgres(self.server());
        let set = format!("postgres.url=postgres://postgres@{}/{}", proxy.address(), self.database);
        (proxy, set)
    }

    /// Starts a process with these settings (`key=value`) over the usual ones.
    pub fn daemon(&self, name: &str, sets: &[&str]) -> Daemon {
        self.command(name, &["run"], sets)
    }

    /// The same, with a log that nobody reads.
    pub fn unread(&self, name: &str, sets: &[&str]) -> Daemon {
        self.launch(name, &["run"], sets, &[], Daemon::start_unread)
    }

    /// The same, and waits until it is ready.
    pub fn ready(&self, name: &str, sets: &[&str]) -> Daemon {
        let mut daemon = self.daemon(name, sets);
        daemon.wait_until_ready(LONG);
        daemon
    }

    /// The same, with variables in its environment.
    pub fn daemon_in(&self, name: &str, sets: &[&str], environment: &[(&str, &str)]) -> Daemon {
        self.launch(name, &["run"], sets, environment, Daemon::start)
    }

    /// Runs a command to its end; what it printed.
    pub fn tool(&self, arguments: &[&str]) -> String {
        let mut command = self.command(arguments[0], arguments, &[]);
        let status = command.wait(LONG);
        assert!(status.success(), "{arguments:?}: {status}\n{}", command.log());
        command.log()
    }

    /// Starts a command of the program on this configuration, with these settings over it.
    pub fn command(&self, name: &str, command: &[&str], sets: &[&str]) -> Daemon {
        self.launch(name, command, sets, &[], Daemon::start)
    }

    fn launch(
        &self,
        name: &str,
        command: &[&str],
        sets: &[&str],
        environment: &[(&str, &str)],
        start: fn(&Start<'_>) -> Daemon,
    ) -> Daemon {
        let ops = SocketAddr::from(([127, 0, 0, 1], free_port().expect("there is a free port")));
        let mut arguments = command.to_vec();
        for set in sets {
            arguments.extend(["--set", set]);
        }
        let config = self.config(ops);
        let name = format!("{}-{name}", self.topic);
        start(&Start { name: &name, config: &config, ops, arguments: &arguments, environment })
    }

    pub fn config(&self, ops: SocketAddr) -> String {
        format!(
            r#"
            name = "fraud"
            [kafka]
            brokers = [{brokers}]
            topics = ["{topic}"]
            group = "{topic}"
            session_timeout = "2s"
            heartbeat_interval = "500ms"
            commit_interval = "200ms"
            [kafka.options]
            "topic.metadata.refresh.interval.ms" = "1000"
            "reconnect.backoff.max.ms" = "500"
            [model]
            bundle = "{root}/models/fraud/gbt"
            [postgres]
            url = "{url}"
            [table]
            name = "public.scores"
            key_as = "text"
            event_time = "ts"
            [[table.fields]]
            column = "payment_id"
            field = "id"
            type = "text"
            missing = "reject"
            [writer.retry]
            cap = "1s"
            [mill]
            threads = 1
            [shutdown]
            revoke = "1s"
            [admin]
            listen = "{ops}"
            "#,
            brokers = self.brokers.split(',').map(|b| format!("\"{b}\"")).collect::<Vec<_>>().join(","),
            topic = self.topic,
            root = env!("CARGO_MANIFEST_DIR"),
            url = self.url,
        )
    }

    /// Produces so many payments, 1 % of them poisoned.
    pub fn produce(&self, records: u64) -> Vec<Sent> {
        load(self.kafka.bootstrap(), &self.topic, records)
    }

    /// Produces until told to stop.
    pub fn stream(&self) -> Stream {
        let (bootstrap, topic) = (self.kafka.bootstrap().to_owned(), self.topic.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = thread::spawn(move || {
            let mut sent = vec![];
            while !told.load(SeqCst) {
                sent.extend(load(&bootstrap, &topic, 400));
                thread::sleep(Duration::from_millis(100));
            }
            sent
        });
        Stream { stop, thread }
    }

    pub fn sql(&self, sql: &str) -> String {
        self.postgres.psql(&self.database, sql)
    }

    /// The mark of every partition that was ever claimed.
    pub fn marks(&self) -> BTreeMap<i32, i64> {
        self.try_marks().expect("the database answers")
    }

    fn try_marks(&self) -> Option<BTreeMap<i32, i64>> {
        let text =
            self.postgres.try_psql(&self.database, "SELECT partition, next_offset FROM tidemill.progress").ok()?;
        Some(text.lines().map(pair).collect())
    }

    /// Waits until every partition's mark is the end of its log.
    pub fn settle(&self) {
        self.settle_within(LONG);
    }

    pub fn settle_within(&self, patience: Duration) {
        let ends = self.kafka.end_offsets(&self.topic);
        let mut marks = None;
        let what = format!("the marks of {} to reach {ends:?}", self.topic);
        poll(&what, patience, || {
            marks = self.try_marks();
            (marks.as_ref() == Some(&ends)).then_some(())
        });
    }

    /// Asserts that exactly these records are in the tables, each once: the clean ones as rows, the others as dead letters.
    pub fn expect_exact(&self, sent: &[Sent]) {
        let text = self.sql(
            "SELECT partition, \"offset\", 'row' FROM public.scores
             UNION ALL SELECT partition, \"offset\", 'dead' FROM tidemill.dead_letter ORDER BY 1, 2, 3",
        );
        let found: Vec<&str> = text.lines().collect();
        let mut want: Vec<_> = sent.iter().map(|s| (s.partition, s.offset, s.poison.is_some())).collect();
        want.sort_unstable();
        let line = |(partition, offset, dead): &(i32, i64, bool)| {
            format!("{partition}|{offset}|{}", if *dead { "dead" } else { "row" })
        };
        let want: Vec<String> = want.iter().map(line).collect();
        let first = found.iter().zip(&want).position(|(f, w)| f != w).unwrap_or(found.len().min(want.len()));
        assert!(
            found == want,
            "{} dispositions of {} records; the first difference: found {:?}, want {:?}",
            found.len(),
            want.len(),
            found.get(first),
            want.get(first)
        );
    }
}

/// A load that goes on in the background.
pub struct Stream {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sent>>,
}

impl Stream {
    /// Ends it; with everything that Kafka took.
    pub fn stop(self) -> Vec<Sent> {
        self.stop.store(true, SeqCst);
        self.thread.join().expect("the load was produced")
    }
}

fn load(bootstrap: &str, topic: &str, records: u64) -> Vec<Sent> {
    payments(bootstrap, topic, Load { records, seed: SEED.fetch_add(1, SeqCst), poisoned: POISONED })
}

fn pair(line: &str) -> (i32, i64) {
    let (partition, offset) = line.split_once('|').expect("two columns");
    (partition.parse().expect("a number"), offset.parse().expect("a number"))
}

/// As [`until`], at a pace that suits questions to other processes.
pub fn poll<T>(what: &str, patience: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    until(what, patience, || {
        let found = probe();
        if found.is_none() {
            thread::sleep(PACE);
        }
        found
    })
}

/// Why a process is not ready, as `code: detail`; empty when it is, or does not answer.
pub fn reasons(daemon: &Daemon) -> Vec<String> {
    let Ok((503, body)) = daemon.get("/readyz") else { return vec![] };
    let body: serde_json::Value = serde_json::from_str(&body).expect("the page is JSON");
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let reasons = body["reasons"].as_array().cloned().unwrap_or_default();
    reasons.iter().map(|r| format!("{}: {}", text(&r["code"]), text(&r["detail"]))).collect()
}

/// Waits until a process names such a reason, and returns it.
pub fn reason(daemon: &mut Daemon, start: &str) -> String {
    poll(&format!("a reason that starts with {start}"), LONG, || {
        assert_eq!(daemon.exit(), None, "it ended");
        reasons(daemon).into_iter().find(|r| r.starts_with(start))
    })
}

/// Waits until so many partitions of a process are in this state.
pub fn lanes(daemon: &Daemon, state: &str, count: u32) {
    let label = format!("state=\"{state}\"");
    poll(&format!("{count} partitions to be {state}"), LONG, || {
        let found = daemon.metric_with("tidemill_intake_partitions_lanes", &[&label])?;
        (found == f64::from(count)).then_some(())
    });
}

/// A field of the last log line with this message.
pub fn logged(daemon: &Daemon, message: &str, field: &str) -> Option<u64> {
    let log = daemon.log();
    let line = log.lines().rev().find(|l| l.contains(&format!("\"{message}\"")))?;
    let at = line.find(&format!("\"{field}\":"))? + field.len() + 3;
    let digits: String = line[at..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
