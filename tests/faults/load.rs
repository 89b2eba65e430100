//! The services that all tests here share, and a pipeline under load.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use crate::site::LONG;
use crate::site::Site;
use crate::site::Stream;
use crate::site::poll;
use crate::site::quick_postgres;
use crate::site::reason;
use crate::support::daemon::Daemon;
use crate::support::detour::Detour;
use crate::support::kafka::Kafka;
use crate::support::postgres::Postgres;
use crate::support::produce::Sent;

/// Ways to the shared broker: one for each test that disturbs Kafka.
const DETOURS: usize = 10;

pub fn kafka() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(|| Kafka::start_with(1, DETOURS))
}

pub fn postgres() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(quick_postgres)
}

/// On the shared services, with the tables made.
pub fn site(name: &str, partitions: i32) -> Site<'static> {
    let site = Site::on(kafka(), postgres(), name, partitions);
    site.migrate();
    site
}

/// The same, reaching Kafka by a way of its own.
pub fn detoured(name: &str, partitions: i32) -> (Site<'static>, Detour) {
    let mut site = site(name, partitions);
    let way = kafka().detour();
    site.brokers = way.bootstrap();
    (site, way)
}

/// One process at work, and records that come all the time.
pub struct Load<'a> {
    pub site: &'a Site<'a>,
    pub daemon: Daemon,
    stream: Stream,
}

impl<'a> Load<'a> {
    /// Returns when records flow.
    pub fn on(site: &'a Site<'a>, sets: &[&str]) -> Load<'a> {
        let daemon = site.ready("only", sets);
        let load = Load { site, daemon, stream: site.stream() };
        load.more();
        load
    }

    /// Waits until more is stored than now.
    pub fn more(&self) {
        let before = stored(&self.daemon);
        poll("more to be stored", LONG, || (stored(&self.daemon) > before + 200.0).then_some(()));
    }

    /// Waits until the process says that Postgres is why it is not ready, in these words.
    pub fn told(&mut self, words: &str) -> String {
        let Load { daemon, .. } = self;
        poll(&format!("a reason with `{words}`"), LONG, || {
            let told = reason(daemon, "postgres");
            told.contains(words).then_some(told)
        })
    }

    /// The same load, compared with another server from now on.
    pub fn looked_at<'b>(self, site: &'b Site<'b>) -> Load<'b> {
        Load { site, daemon: self.daemon, stream: self.stream }
    }

    /// Ends the load and nothing else; with what Kafka took.
    pub fn quit(self) -> (Daemon, Vec<Sent>) {
        (self.daemon, self.stream.stop())
    }

    /// Ends the load: everything must be there exactly once, the clean as rows and the poisoned as dead letters.
    pub fn settled(self) -> Daemon {
        let sent = self.stream.stop();
        self.site.settle();
        self.site.expect_exact(&sent);
        accounted(&self.daemon);
        self.daemon
    }
}

pub fn stored(daemon: &Daemon) -> f64 {
    daemon.metric("tidemill_intake_stored_records_total").unwrap_or(0.0)
}

pub fn accounted(daemon: &Daemon) {
    assert_eq!(daemon.metric("tidemill_intake_unaccounted_records"), Some(0.0));
}

/// How often the group gave, took back or withdrew partitions.
pub fn rebalances(daemon: &Daemon, kind: &str) -> f64 {
    daemon.metric_with("tidemill_intake_rebalance_events_total", &[&format!("kind=\"{kind}\"")]).unwrap_or(0.0)
}

/// Memory of a process in megabytes.
pub fn resident(daemon: &Daemon) -> f64 {
    let text = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("it runs");
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("the kernel says so");
    let kilobytes = line.trim().split(' ').next().and_then(|n| n.parse::<f64>().ok());
    kilobytes.expect("a number") / 1024.0
}

/// Longest time that a process may take to leave when nothing holds it.
pub const SOON: Duration = Duration::from_secs(5);
