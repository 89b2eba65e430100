//! `tidemill dead-letters list`: the newest that match, and counts of all of them by cause.

use serde_json::json;

use crate::adapters::postgres::letters;
use crate::adapters::postgres::letters::Cause;
use crate::adapters::postgres::letters::Summary;
use crate::app::dead_letters::filter;
use crate::app::oneshot;
use crate::app::oneshot::Refusal;
use crate::cli::DeadLettersListArgs;
use crate::cli::Exit;
use crate::config::Config;

/// Longest detail in a line; `show` has all of it.
const DETAIL_MAX: usize = 60;

pub async fn list(config: &Config, args: &DeadLettersListArgs) -> Result<Exit, Refusal> {
    let database = oneshot::database(config)?;
    let filter = filter(config, &args.filter, args.state);
    let causes = letters::causes(&database, &filter).await?;
    let found = match args.limit {
        0 => vec![],
        limit => letters::list(&database, &filter, limit).await?,
    };
    let text = if args.json {
        let all: Vec<_> = found.iter().map(as_json).collect();
        format!("{}\n", json!({ "dead_letters": all, "causes": causes }))
    } else {
        as_text(&found, &causes)
    };
    oneshot::print(&text)?;
    Ok(Exit::Done)
}

pub fn as_json(s: &Summary) -> serde_json::Value {
    json!({
        "id": s.id, "topic": s.topic, "partition": s.partition, "offset": s.offset, "failed_at": s.failed_at,
        "state": s.state, "stage": s.stage, "reason": s.reason, "detail": s.detail, "attempts": s.attempts,
        "payload_length": s.payload_length,
    })
}

fn as_text(found: &[Summary], causes: &[Cause]) -> String {
    let total: i64 = causes.iter().map(|c| c.count).sum();
    if total == 0 {
        return "no dead letters match\n".to_owned();
    }
    let mut text = String::new();
    if !found.is_empty() {
        let row = |s: &Summary| {
            let place = format!("{}:{}@{}", s.topic, s.partition, s.offset);
            let size = s.payload_length.map_or_else(|| "-".to_owned(), |n| n.to_string());
            let (id, attempts) = (s.id.to_string(), s.attempts.to_string());
            let cells = [&id, &s.failed_at, &place, &s.state, &s.stage, &s.reason, &attempts, &size];
            cells.into_iter().cloned().chain([short(&s.detail)]).collect()
        };
        let rows: Vec<Vec<String>> = found.iter().map(row).collect();
        let heads = ["id", "failed at", "record", "state", "stage", "reason", "attempts", "bytes", "detail"];
        text.push_str(&oneshot::table(&heads, &rows));
        text.push('\n');
    }
    let row = |c: &Cause| {
        let count = c.count.to_string();
        [&count, &c.state, &c.stage, &c.reason, &c.oldest, &c.newest].into_iter().cloned().collect()
    };
    let rows: Vec<Vec<String>> = causes.iter().map(row).collect();
    text.push_str(&oneshot::table(&["count", "state", "stage", "reason", "oldest", "newest"], &rows));
    let hidden = total - found.len() as i64;
    if hidden > 0 && !found.is_empty() {
        text.push_str(&format!("\n{hidden} more match; --limit shows more, filters show fewer\n"));
    }
    text
}

fn short(detail: &str) -> String {
    if detail.chars().count() <= DETAIL_MAX {
        return detail.to_owned();
    }
    detail.chars().take(DETAIL_MAX - 3).chain("...".chars()).collect()
}
