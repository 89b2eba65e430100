//! Where a round happens: brokers, databases, proxies, the topic, and the settings of the processes.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use tidemill::demo::ports::free_port;

use crate::db::Db;
use crate::model;
use crate::secrets::CANARY;
use crate::servers::Servers;
use crate::support::daemon::Daemon;
use crate::support::daemon::Start;
use crate::support::detour::Detour;
use crate::support::folder::Folder;
use crate::support::kafka::Kafka;
use crate::support::proxy::Proxy;

pub const TOPIC: &str = "events";
pub const PARTITIONS: i32 = 12;
/// Of the processes' sessions with the group.
pub const SESSION: Duration = Duration::from_secs(4);
pub const BUDGET: Duration = Duration::from_secs(10);
/// Most records between taking and storing in one process: what one crash may read again.
pub const IN_FLIGHT: u64 = 16_384;
const ROLE: &str = "mill";
pub const DATABASE: &str = "chaos";

pub struct Bench {
    pub kafka: Kafka,
    pub servers: Servers,
    /// One before the database for each slot of a process.
    pub proxies: Vec<Proxy>,
    /// The way of all processes to the brokers.
    pub detour: Detour,
    folder: Folder,
}

impl Bench {
    pub fn start(brokers: usize, slots: usize) -> Bench {
        let (kafka, servers) = thread::scope(|scope| {
            let kafka = scope.spawn(move || Kafka::start_with(brokers, 1));
            let servers = Servers::start();
            (kafka.join().expect("kafka starts"), servers)
        });
        let postgres = servers.primary();
        // Not a superuser: connection limits hold for it.
        postgres.psql("postgres", &format!("CREATE ROLE {ROLE} LOGIN"));
        postgres.psql("postgres", &format!("CREATE DATABASE {DATABASE} OWNER {ROLE}"));
        let proxies = (0..slots).map(|_| Proxy::postgres(servers.address())).collect();
        let folder = Folder::new("chaos");
        fs::create_dir_all(folder.join("model")).expect("the test folder takes a folder");
        model::write(&folder.join("model"));
        kafka.create_topic(TOPIC, PARTITIONS, brokers.min(3) as i32);
        let detour = kafka.detour();
        Bench { kafka, servers, proxies, detour, folder }
    }

    /// Makes the tables, with a constraint that some of the poison breaks.
    pub fn migrate(&self) {
        let ops = self.ops();
        let mut migrate = self.launch("migrate", "migrate", 0, ops, &[]);
        let status = migrate.wait(Duration::from_secs(60));
        assert!(status.success(), "tidemill migrate: {status}\n{}", migrate.log());
        self.servers.primary().psql(DATABASE, "ALTER TABLE public.scores ADD CONSTRAINT a_is_positive CHECK (a >= 0)");
    }

    /// As superuser, past the proxies.
    pub fn db(&self, limit: Duration) -> Result<Db, String> {
        Db::connect(&self.servers.primary().url(DATABASE), limit)
    }

    pub fn ops(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], free_port().expect("there is a free port")))
    }

    /// A process of the pipeline in this slot.
    pub fn launch(
        &self,
        name: &str,
        command: &str,
        slot: usize,
        ops: SocketAddr,
        environment: &[(&str, &str)],
    ) -> Daemon {
        let config = self.config(slot, ops);
        Daemon::start(&Start { name, config: &config, ops, arguments: &[command], environment })
    }

    fn config(&self, slot: usize, ops: SocketAddr) -> String {
        format!(
            r#"
            name = "chaos"
            [kafka]
            brokers = [{brokers}]
            topics = ["{TOPIC}"]
            group = "chaos"
            session_timeout = "{session}ms"
            heartbeat_interval = "{heartbeat}ms"
            commit_interval = "200ms"
            [kafka.options]
            "topic.metadata.refresh.interval.ms" = "1000"
            "reconnect.backoff.max.ms" = "500"
            [model]
            bundle = "{bundle}"
            [postgres]
            url = "postgres://{ROLE}:{CANARY}@{proxy}/{DATABASE}"
            application_name = "tidemill-{slot}"
            connect_timeout = "2s"
            statement_timeout = "4s"
            lock_timeout = "2s"
            idle_in_transaction_timeout = "4s"
            statement_rows = 300
            [table]
            name = "public.scores"
            key_as = "text"
            {fields}
            [intake]
            in_flight_records = {IN_FLIGHT}
            reclaim_after = "500ms"
            reclaim_cap = "4s"
            parked_recheck = "1s"
            out_of_range_retry = "2s"
            [writer]
            verify_interval = "5s"
            [writer.retry]
            cap = "1s"
            [mill]
            threads = 1
            [shutdown]
            budget = "{budget}ms"
            revoke = "2s"
            leave = "2s"
            [admin]
            listen = "{ops}"
            "#,
            brokers = self.detour.bootstrap().split(',').map(|b| format!("{b:?}")).collect::<Vec<_>>().join(","),
            session = SESSION.as_millis(),
            heartbeat = SESSION.as_millis() / 5,
            budget = BUDGET.as_millis(),
            bundle = self.folder.join("model").display(),
            proxy = self.proxies[slot].address(),
            fields = ["id", "a", "b", "c", "sum"].map(field).concat(),
        )
    }
}

fn field(name: &str) -> String {
    // The poison of the model is a number that no integer holds.
    let kind = if name == "a" { "number" } else { "integer" };
    format!("[[table.fields]]\ncolumn = \"{name}\"\nfield = \"{name}\"\ntype = \"{kind}\"\nmissing = \"reject\"\n")
}
