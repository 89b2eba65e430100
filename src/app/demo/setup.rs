//! What the demo runs in: a folder of its own, the bundle that this program carries, a broker, a database.

use std::fs;
use std::path::PathBuf;

use crate::adapters::postgres::migrate as migration;
use crate::app::connect;
use crate::app::launch::Surface;
use crate::app::prepare::Prepared;
use crate::cli::DemoArgs;
use crate::config::Config;
use crate::config::load;
use crate::config::place::Source;
use crate::demo::postgres_cluster::Cluster;
use crate::demo::postgres_cluster::ClusterOptions;
use crate::demo::source::Broker;

pub const TOPIC: &str = "payments";
const CONFIG: &str = include_str!("../../../config/fraud.toml");
const BUNDLE: [(&str, &[u8]); 3] = [
    ("model.onnx", include_bytes!("../../../models/fraud/gbt/model.onnx")),
    ("model.toml", include_bytes!("../../../models/fraud/gbt/model.toml")),
    ("golden.jsonl", include_bytes!("../../../models/fraud/gbt/golden.jsonl")),
];

/// Everything that ends with the demo.
pub struct Place {
    pub broker: Broker,
    cluster: Option<Cluster>,
    url: String,
    folder: PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Best effort: it lies in the system's temporary folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Starts broker and database.
///
/// # Errors
/// Says what could not be started and how to get it.
pub fn place(args: &DemoArgs) -> Result<Place, String> {
    let folder = std::env::temp_dir().join(format!("tidemill-demo-{}", std::process::id()));
    let bundle = folder.join("models/fraud/gbt");
    for folder in [&bundle, &folder.join("config")] {
        fs::create_dir_all(folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    }
    for (name, bytes) in BUNDLE {
        fs::write(bundle.join(name), bytes).map_err(|e| format!("cannot write {name}: {e}"))?;
    }
    println!(
        "starting a broker in this process{}",
        if args.postgres_url.is_none() { " and a throwaway Postgres" } else { "" }
    );
    let broker = Broker::start(TOPIC).map_err(|e| format!("cannot start the mock broker: {e}"))?;
    let (cluster, url) = match &args.postgres_url {
        Some(url) => (None, url.clone()),
        None => {
            let cluster = Cluster::start(&ClusterOptions::default()).map_err(|e| e.to_string())?;
            let url = cluster.url("postgres");
            (Some(cluster), url)
        }
    };
    Ok(Place { broker, cluster, url, folder })
}

impl Place {
    /// `config/fraud.toml` with the demo's own addresses, and a name of its own, so that it starts anew each time.
    pub fn config(&self) -> Result<Config, String> {
        let sets = [
            format!("name=demo-{}", std::process::id()),
            format!("kafka.group=tidemill-demo-{}", std::process::id()),
            "admin.listen=127.0.0.1:0".to_owned(),
            "log.level=warn".to_owned(),
            // The mock cluster's group needs seconds to begin; a short fetch wait shows the first rows sooner.
            "kafka.commit_interval=1s".to_owned(),
        ];
        let source = Source { name: "fraud.toml".into(), text: CONFIG.into(), sets: sets.into() };
        let (brokers, url) = (self.broker.address(), self.url.clone());
        let lookup = move |name: &str| match name {
            "KAFKA_BROKERS" => Some(brokers.clone()),
            "DATABASE_URL" => Some(url.clone()),
            _ => None,
        };
        let folder = self.folder.join("config");
        let (config, _) = load::read::<Config>(source, &folder, &lookup).map_err(|e| e.to_string())?;
        Ok(config)
    }

    /// How to look around while it runs.
    pub fn greeting(&self, surface: &Surface, config: &Config) -> String {
        let address = surface.server.address();
        let psql = match &self.cluster {
            Some(cluster) => cluster.psql("postgres"),
            None => "psql \"$DATABASE_URL\"".to_owned(),
        };
        let table = &config.table.name;
        format!(
            "\n  rows          {psql} -c 'select * from {table}_readable order by processed_at desc limit 5'\
             \n  dead letters  {psql} -c 'select stage, reason, detail, partition, \"offset\" from tidemill.dead_letter limit 5'\
             \n  metrics       curl -s http://{address}/metrics\
             \n  readiness     curl -s http://{address}/readyz\
             \n  stop          Ctrl-C\n"
        )
    }
}

/// Makes the tables.
///
/// # Errors
/// When the database does not let it.
pub async fn migrate(config: &Config, prepared: &Prepared) -> Result<(), String> {
    let database = connect::database(config).map_err(|t| t.message)?;
    migration::migrate(&database, &config.table, &prepared.outputs, false).await.map_err(|e| e.to_string())?;
    Ok(())
}
