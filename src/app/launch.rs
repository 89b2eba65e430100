//! From a configuration to a running pipeline: health first, then the model, then the services, then the threads.

use std::sync::Arc;
use std::time::Duration;

use crate::adapters::formats;
use crate::adapters::kafka::broker::KafkaBroker;
use crate::adapters::kafka::scout::Scout;
use crate::adapters::postgres::claim::Progress;
use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::contract::Table;
use crate::adapters::postgres::encode::Encoder;
use crate::adapters::postgres::register::Registered;
use crate::adapters::postgres::store::PostgresSink;
use crate::admin::pages::Sources;
use crate::admin::server;
use crate::admin::server::Server;
use crate::app::claims::Asked;
use crate::app::claims::LaneClaims;
use crate::app::claims::uid_text;
use crate::app::connect;
use crate::app::connect::Cluster;
use crate::app::connect::KAFKA_TIMEOUT;
use crate::app::connect::Trouble;
use crate::app::horizon::Horizon;
use crate::app::pages;
use crate::app::plan;
use crate::app::plan::Plan;
use crate::app::prepare::Prepared;
use crate::app::watch::Counter;
use crate::app::watch::Watch;
use crate::config::Config;
use crate::config::show;
use crate::domain::fault::Fault;
use crate::pipeline::clock::Clock;
use crate::pipeline::clock::Dice;
use crate::pipeline::clock::wall_micros;
use crate::pipeline::intake::Settings;
use crate::pipeline::mill::Mill;
use crate::pipeline::publish::Names;
use crate::pipeline::start;
use crate::pipeline::start::Parts;
use crate::pipeline::start::Running;
use crate::pipeline::start::Waker;
use crate::ports::Sink;
use crate::telemetry::health::Health;
use crate::telemetry::loop_lag;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::recorder;
use crate::telemetry::scrape::Info;
use crate::telemetry::scrape::Scrape;
use crate::telemetry::snapshot::Published;
use crate::telemetry::snapshot::Reason;
use crate::telemetry::snapshot::Snapshot;

/// What can be looked at from outside, from the first moment on.
pub struct Surface {
    pub clock: Clock,
    pub published: Arc<Published>,
    pub health: Arc<Health>,
    pub scrape: Arc<Scrape>,
    pub metrics: Metrics,
    pub server: Server,
}

impl Surface {
    /// Opens the listener. Must be called inside the runtime, which then measures its own lag.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn open(config: &Config) -> Result<Surface, server::AdminError> {
        let clock = Clock::start();
        let published = Arc::new(Published::default());
        let health = Arc::new(Health::new(clock.origin()));
        let (scrape, metrics) = Scrape::new(published.clone());
        let scrape = Arc::new(scrape);
        let sources = Sources { published: published.clone(), health: health.clone(), scrape: scrape.clone() };
        let server = server::start(&config.admin, sources)?;
        tokio::spawn(recorder::upkeep(scrape.handle()));
        tokio::spawn(loop_lag::measure(metrics.runtime_loop_lag.clone()));
        Ok(Surface { clock, published, health, scrape, metrics, server })
    }

    pub fn waiting_for(&self, trouble: &Trouble) {
        let reason = Reason { code: trouble.code, detail: trouble.message.clone() };
        self.published.publish(Snapshot { not_ready: vec![reason], ..Snapshot::default() });
    }

    pub fn identify(&self, config: &Config, prepared: &Prepared) {
        let (model_name, model_version, model_sha256) = prepared.identity();
        let config_sha256 = show::digest(config).unwrap_or_default();
        self.scrape.identify(&Info { model_name, model_version, model_sha256, config_sha256 });
    }
}

/// A pipeline that runs, and what was made for it.
pub struct Live {
    pub running: Running<KafkaBroker>,
    pub names: Names,
    /// Answers questions about the cluster; must outlive the claims.
    pub scout: Arc<Scout>,
}

/// Connects and starts; waits for as long as a service is away.
///
/// # Errors
/// What cannot be mended by waiting.
pub async fn launch(config: &Config, prepared: &Prepared, surface: &Surface) -> Result<Live, Trouble> {
    let stop = |code, message: String| Trouble { code, fault: Fault::Stop, message };
    let mut dice = Dice::from_system().map_err(|e| stop("random", e.to_string()))?;
    let told = |trouble: &Trouble| surface.waiting_for(trouble);
    let scout = Scout::open(&config.kafka, KAFKA_TIMEOUT).map_err(|e| stop("kafka", e.to_string()))?;
    let scout = Arc::new(scout);
    // A signal may drop this future, and the client's own drop waits for its threads, which a resolver can hold for longer
    // than any budget. They end with the process.
    std::mem::forget(Arc::clone(&scout));
    let cluster = connect::until_answered(config, &mut dice, told, || connect::cluster(&scout)).await?;
    let plan = Plan::new(config, prepared.bundle.as_ref(), cluster.partitions())
        .map_err(|e| stop("intake.memory", e.to_string()))?;
    tracing::info!(%plan, "plan");
    pages::use_small_ones();
    let database = connect::database(config)?;
    let ask = || connect::table(&database, config, prepared, &cluster);
    let (table, registered) = connect::until_answered(config, &mut dice, told, ask).await?;
    let made = Made { config, prepared, surface, cluster, plan, database, table, registered, scout };
    made.start(dice).map_err(|message| stop("start", message))
}

/// Everything that a start needs, once the services have answered.
struct Made<'a> {
    config: &'a Config,
    prepared: &'a Prepared,
    surface: &'a Surface,
    cluster: Cluster,
    plan: Plan,
    database: Database,
    table: Table,
    registered: Registered,
    scout: Arc<Scout>,
}

impl Made<'_> {
    fn start(self, mut dice: Dice) -> Result<Live, String> {
        let config = self.config;
        let owner = dice.owner();
        let (table, registered) = (Arc::new(self.table), Arc::new(self.registered));
        let encoder = Encoder::new(table.clone(), registered.clone(), &config.table, &self.prepared.slots, wall_micros);
        let model = self.prepared.model.as_ref().map(|m| m.fork());
        let mill = Mill::new(self.prepared.decoder.fork(), model, Arc::new(encoder), self.prepared.specs());
        let sink = |_| -> Box<dyn Sink> {
            let (database, table, registered) = (self.database.clone(), table.clone(), registered.clone());
            Box::new(PostgresSink::new(database, table, registered, owner, &config.postgres, &config.dead_letter))
        };
        let claims = LaneClaims {
            progress: Progress::new(self.database.clone(), registered.clone(), owner),
            scout: self.scout.clone(),
            registered: registered.clone(),
            start_from: config.kafka.start_from,
            topic_ids: self.cluster.topics.iter().map(|t| t.id).collect(),
            asked: Asked::default(),
        };
        let wake = Waker::default();
        let ring = wake.clone();
        let mut broker = KafkaBroker::open(&config.kafka, &self.plan.kafka, Arc::new(move || ring.wake()))
            .map_err(|e| e.to_string())?;
        for (topic, source) in (0u16..).zip(&registered.sources) {
            broker.set_uid(topic, &uid_text(source.uid));
        }
        // The owner is what a row of tidemill.progress names us by.
        tracing::info!(%owner, group = config.kafka.group, topics = ?config.kafka.topics, "joining the group");
        broker.subscribe().map_err(|e| e.to_string())?;
        let names = names(config, &self.cluster);
        let parts = Parts {
            settings: settings(config),
            writer: config.writer.clone(),
            broker,
            mill,
            sinks: (0..config.writer.writers).map(sink).collect(),
            claims: Arc::new(claims),
            claim_deadline: claim_deadline(&self.database),
            owner,
            dice,
            clock: self.surface.clock,
            metrics: self.surface.metrics.clone(),
            health: self.surface.health.clone(),
            published: self.surface.published.clone(),
            names: names.clone(),
            wake,
            runtime: tokio::runtime::Handle::current(),
        };
        let running = start::start(parts).map_err(|e| format!("cannot start a thread: {e}"))?;
        let watch = Watch {
            scout: self.scout.clone(),
            database: self.database.clone(),
            registered,
            topic_ids: self.cluster.topics.iter().map(|t| t.id).collect(),
            topics: config.kafka.topics.clone(),
            tell: running.teller(),
        };
        tokio::spawn(watch.topics(config.kafka.topic_check_interval.duration()));
        let counter = Counter {
            database: self.database,
            pipeline: config.name.clone(),
            metrics: self.surface.metrics.letters.clone(),
        };
        let horizon = Horizon { database: counter.database.clone(), metrics: self.surface.metrics.snapshots.clone() };
        tokio::spawn(horizon.watch(config.postgres.horizon_interval.duration()));
        tokio::spawn(counter.count(config.dead_letter.count_interval.duration()));
        Ok(Live { running, names, scout: self.scout })
    }
}

/// A claim may need three questions to the database and three to the broker.
fn claim_deadline(database: &Database) -> Duration {
    3 * (database.call_timeout() + KAFKA_TIMEOUT)
}

fn names(config: &Config, cluster: &Cluster) -> Names {
    Names {
        topics: cluster.topics.iter().map(|t| t.name.as_str().into()).collect(),
        rules: formats::options::rule_names(&config.skip).into_iter().map(Into::into).collect(),
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        intake: config.intake.clone(),
        batch: config.batch.clone(),
        shutdown: config.shutdown.clone(),
        guard: config.guard.clone(),
        commit_interval: config.kafka.commit_interval.duration(),
        workers: plan::threads(config),
    }
}
