//! The database: can it be reached and written to, and does the table fit? Reads only.

use std::time::Duration;

use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::connect::verify_session;
use crate::adapters::postgres::contract;
use crate::adapters::postgres::contract::Table;
use crate::adapters::postgres::fault::StartError;
use crate::adapters::postgres::register;
use crate::adapters::postgres::table;
use crate::app::check::report::Report;
use crate::app::connect;
use crate::app::connect::Cluster;
use crate::app::prepare::Prepared;
use crate::config::Config;
use crate::domain::fault::Fault;
use crate::domain::outputs::OutputSpec;

/// Longest wait for all answers about session and table.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for the answers about positions.
const MORE: Duration = Duration::from_secs(5);

/// What was seen of the database.
pub struct Seen {
    pub report: Report,
    /// As long as it answers.
    pub database: Option<Database>,
    /// If it fits.
    pub table: Option<Table>,
}

/// Looks at session and table. `outputs` are unknown when the bundle could not be loaded.
pub async fn look(config: &Config, outputs: Option<&[OutputSpec]>) -> Seen {
    let mut seen = Seen { report: Report::default(), database: None, table: None };
    match connect::database(config) {
        Ok(database) => {
            let looked = tokio::time::timeout(PATIENCE, seen.answer(&database, config, outputs)).await;
            if looked.is_err() {
                let message = format!("no answer within {} s", PATIENCE.as_secs());
                seen.report.refused("postgres", Fault::Retry, &message);
            }
        }
        Err(trouble) => seen.report.refused("postgres", trouble.fault, &trouble.message),
    }
    if seen.database.is_none() {
        // What is wrong with the mapping alone needs no database.
        match outputs.map_or(Ok(vec![]), |outputs| table::mapping(&config.table, outputs)) {
            Ok(_) => seen.report.open("table", "postgres did not answer"),
            Err(problems) => seen.report.problems("table", problems),
        }
    }
    seen
}

impl Seen {
    async fn answer(&mut self, database: &Database, config: &Config, outputs: Option<&[OutputSpec]>) {
        match database.lease().await {
            Ok(lease) => lease.give_back(),
            Err(error) => {
                let error = StartError::from(error);
                return self.report.refused("postgres", error.fault(), &error.to_string());
            }
        }
        match verify_session(database).await.map_err(StartError::from) {
            Ok(()) => self.report.fine("postgres", "connected, the session's limits hold"),
            Err(error) if error.fault() == Fault::Retry => {
                return self.report.refused("postgres", Fault::Retry, &error.to_string());
            }
            Err(error) => self.report.wrong("postgres", error.to_string()),
        }
        self.database = Some(database.clone());
        let name = &config.table.name;
        let Some(outputs) = outputs else {
            let why = format!("the columns of {name} follow from the model, which could not be loaded");
            return match contract::check_control(database).await {
                Ok(()) => self.report.open("table", &why),
                Err(error) => self.problems(error),
            };
        };
        match contract::check(database, &config.table, outputs).await {
            Ok(table) => {
                let columns: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
                self.report.fine("table", format!("{name} takes {}", columns.join(", ")));
                self.table = Some(table);
            }
            Err(error) => self.problems(error),
        }
    }

    fn problems(&mut self, error: StartError) {
        match error {
            StartError::Contract(problems) => self.report.problems("table", problems),
            error => self.report.refused("table", error.fault(), &error.to_string()),
        }
    }
}

/// Whether the stored positions are those of these topics and this group.
pub async fn positions(database: &Database, config: &Config, prepared: &Prepared, cluster: &Cluster) -> Report {
    let mut report = Report::default();
    let identity = connect::identity(config, prepared, cluster);
    match tokio::time::timeout(MORE, register::look(database, &identity)).await {
        Ok(Ok(known)) => {
            let text = match known {
                0 => format!("none yet: a run starts at kafka.start_from = {}", config.kafka.start_from),
                n => format!(
                    "{n} of {} topics are known; a run goes on where the last one stopped",
                    cluster.topics.len()
                ),
            };
            report.fine("positions", text);
        }
        Ok(Err(StartError::Contract(problems))) => report.problems("positions", problems),
        Ok(Err(error)) if error.fault() == Fault::Retry => {
            report.refused("positions", Fault::Retry, &error.to_string())
        }
        // No control tables, or no right to read them: told above.
        Ok(Err(_)) => report.open("positions", "the control tables cannot be read"),
        Err(_) => report.refused("positions", Fault::Retry, "no answer in time"),
    }
    report
}
