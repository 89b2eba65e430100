//! The end of the demo: the sum, asked of the database and not of the process that stored it.

use crate::adapters::postgres::audit;
use crate::adapters::postgres::audit::Audit;
use crate::app::connect;
use crate::cli::Exit;
use crate::config::Config;

/// What the demo itself knows.
pub struct Facts {
    pub produced: u64,
    pub poisoned: u64,
    pub caught_up: bool,
    pub drained: bool,
}

/// Prints the sum and says whether it is right.
///
/// # Errors
/// When the database cannot be asked.
pub async fn print(facts: &Facts, config: &Config) -> Result<Exit, String> {
    let database = connect::database(config).map_err(|t| t.message)?;
    let audit = audit::count(&database, &config.name, &config.table.name).await.map_err(|e| e.message)?;
    let wrong = wrong(facts, &audit);
    let lag = i128::from(facts.produced) - i128::from(audit.marks);
    println!(
        "\n  produced {} = stored {} + dead-lettered {}   (poisoned on purpose: {})\n  doubled {}, lag {lag}, {}",
        facts.produced,
        audit.rows,
        audit.dead_letters,
        facts.poisoned,
        audit.doubled,
        if facts.drained { "drained" } else { "not drained" },
    );
    if wrong.is_empty() {
        println!("  checked by SQL: every payment is exactly one row or one dead letter");
        return Ok(Exit::Done);
    }
    wrong.iter().for_each(|w| eprintln!("  WRONG: {w}"));
    Ok(Exit::CannotGoOn)
}

fn wrong(facts: &Facts, audit: &Audit) -> Vec<String> {
    let (produced, poisoned) = (facts.produced as i64, facts.poisoned as i64);
    let checks = [
        (
            audit.rows + audit.dead_letters == produced,
            format!("{produced} produced, {} disposed", audit.rows + audit.dead_letters),
        ),
        (audit.dead_letters == poisoned, format!("{poisoned} poisoned, {} dead letters", audit.dead_letters)),
        (audit.doubled == 0, format!("{} records are there more than once", audit.doubled)),
        (
            audit.marks == produced && audit.totals == produced,
            format!("marks {}, totals {}", audit.marks, audit.totals),
        ),
        (facts.caught_up, "the lag did not reach 0 in time".to_owned()),
        (facts.drained, "the pipeline did not drain".to_owned()),
    ];
    checks.into_iter().filter(|(ok, _)| !ok).map(|(_, what)| what).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_sum_is_seen() {
        let facts = |produced| Facts { produced, poisoned: 2, caught_up: true, drained: true };
        let audit = Audit { rows: 8, dead_letters: 2, doubled: 0, marks: 10, totals: 10 };
        assert_eq!(wrong(&facts(10), &audit), Vec::<String>::new());
        assert_eq!(wrong(&facts(11), &audit).len(), 2);
        assert_eq!(wrong(&facts(10), &Audit { doubled: 1, ..audit }).len(), 1);
        assert_eq!(wrong(&facts(10), &Audit { rows: 7, dead_letters: 3, ..audit }).len(), 1);
        assert_eq!(wrong(&Facts { drained: false, ..facts(10) }, &audit).len(), 1);
    }
}
