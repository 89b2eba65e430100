//! What must not be told anywhere (V13): a password that every process has in its settings.

use crate::db::Db;
use crate::oracle::Finding;

/// The server trusts everybody, so it is never asked for: whatever shows it took it from the settings.
pub const CANARY: &str = "Kanarienvogel-4711";

/// The complaint, if a text of this place shows it.
pub fn told(place: &str, text: &str) -> Option<String> {
    text.contains(CANARY).then(|| format!("V13: {place} shows a password"))
}

/// Tables that are not the user's own.
pub fn tables(db: &Db) -> Result<Finding, String> {
    let names =
        db.query("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'tidemill'", &[])?;
    let mut wrong = vec![];
    for row in &names {
        let table: &str = row.get(0);
        if db.number(&format!("SELECT count(*) FROM {table} t WHERE t::text LIKE '%{CANARY}%'"))? > 0 {
            wrong.push(format!("{table} shows a password"));
        }
    }
    Ok(Finding::new("V13b", "no password is in the tables of the schema", names.len() as u64, wrong))
}
