//! `tidemill migrate`: makes or extends the tables, once, for everybody.

use crate::adapters::postgres::migrate as migration;
use crate::app::connect;
use crate::app::connect::Trouble;
use crate::app::prepare;
use crate::cli::Exit;
use crate::config::Config;
use crate::domain::fault::Fault;

pub fn migrate(config: &Config, dry_run: bool) -> Exit {
    let prepared = match prepare::prepare(config) {
        Ok(prepared) => prepared,
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            return Exit::Configuration;
        }
    };
    let runtime = match crate::app::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            return Exit::CannotGoOn;
        }
    };
    let done = runtime.block_on(async {
        let database = connect::database(config)?;
        migration::migrate(&database, &config.table, &prepared.outputs, dry_run).await.map_err(Trouble::postgres)
    });
    match done {
        Ok(steps) => {
            let none = steps.is_empty();
            steps.iter().for_each(|step| println!("{step}"));
            if none {
                println!("nothing to do: the tables are as they should be");
            }
            Exit::Done
        }
        Err(trouble) => {
            eprintln!("{}", trouble.message);
            // Away is not wrong: trying again may help.
            if trouble.fault == Fault::Retry { Exit::CannotGoOn } else { Exit::Configuration }
        }
    }
}
