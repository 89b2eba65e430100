//! `tidemill dead-letters show`: one of them, whole, in a form that is safe to look at.

use std::io::Write;

use serde_json::json;

use crate::adapters::postgres::letters;
use crate::adapters::postgres::letters::Letter;
use crate::app::dead_letters::escape::escape;
use crate::app::dead_letters::escape::hex;
use crate::app::dead_letters::list::as_json;
use crate::app::oneshot;
use crate::app::oneshot::Refusal;
use crate::cli::DeadLettersShowArgs;
use crate::cli::Exit;
use crate::config::Config;

pub async fn show(config: &Config, args: &DeadLettersShowArgs) -> Result<Exit, Refusal> {
    let database = oneshot::database(config)?;
    let found = letters::one(&database, &config.name, args.id).await?;
    let Some(letter) = found else {
        return Err(Refusal::wrong(format!("pipeline {} has no dead letter {}", config.name, args.id)));
    };
    if args.raw {
        let Some(payload) = &letter.payload else {
            return Err(Refusal::wrong(format!("dead letter {} has no payload: {}", args.id, absence(&letter))));
        };
        if letter.cut[1] {
            eprintln!("{}", cut_note(payload.len(), letter.summary.payload_length));
        }
        std::io::stdout().write_all(payload)?;
        return Ok(Exit::Done);
    }
    oneshot::print(&if args.json { format!("{}\n", whole_json(&letter)) } else { as_text(&letter) })?;
    Ok(Exit::Done)
}

fn absence(letter: &Letter) -> &'static str {
    if letter.purged_at.is_some() { "it was purged" } else { "it is a tombstone" }
}

fn cut_note(kept: usize, length: Option<i64>) -> String {
    format!("cut: {kept} of {} bytes were kept (dead_letter.bytes_max)", length.unwrap_or(0))
}

fn whole_json(l: &Letter) -> serde_json::Value {
    let bytes = |b: &[u8]| match std::str::from_utf8(b) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "hex": hex(b) }),
    };
    let maybe = |b: &Option<Vec<u8>>| b.as_deref().map(bytes);
    let header = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| json!({ "name": bytes(name), "value": maybe(value) });
    let mut value = as_json(&l.summary);
    let more = json!({
        "timestamp_ms": l.timestamp, "model": l.model, "attempted_at": l.attempted_at, "closed_at": l.closed_at,
        "purged_at": l.purged_at, "key": maybe(&l.key), "payload": maybe(&l.payload),
        "headers": l.headers.iter().map(header).collect::<Vec<_>>(), "key_length": l.key_length,
        "cut": { "key": l.cut[0], "payload": l.cut[1], "headers": l.cut[2] },
    });
    if let (Some(all), serde_json::Value::Object(more)) = (value.as_object_mut(), more) {
        all.extend(more);
    }
    value
}

fn as_text(l: &Letter) -> String {
    let s = &l.summary;
    let mut lines: Vec<(&str, String)> = vec![
        ("id", s.id.to_string()),
        ("record", format!("{}:{}@{}", s.topic, s.partition, s.offset)),
        ("state", s.state.clone()),
        ("cause", format!("{} at {}: {}", s.reason, s.stage, s.detail)),
        ("failed at", s.failed_at.clone()),
        ("attempts", s.attempts.to_string()),
    ];
    let more = [
        ("last attempt", l.attempted_at.clone()),
        ("closed at", l.closed_at.clone()),
        ("purged at", l.purged_at.clone()),
        ("model", l.model.clone()),
        ("timestamp", l.timestamp.map(|ms| format!("{ms} ms since 1970"))),
    ];
    lines.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let absent = || format!("none: {}", absence(l));
    let mut text: String = lines.iter().map(|(name, value)| format!("{name:<13} {value}\n")).collect();
    let key = l.key.as_deref().map_or_else(|| "none".to_owned(), escape);
    text.push_str(&format!("{:<13} {key}\n", "key"));
    if l.cut[0] {
        text.push_str(&format!("{:<13} {}\n", "", cut_note(l.key.as_ref().map_or(0, Vec::len), l.key_length)));
    }
    for (name, value) in &l.headers {
        let value = value.as_deref().map_or_else(|| "null".to_owned(), |v| format!("= {}", escape(v)));
        text.push_str(&format!("{:<13} {} {value}\n", "header", escape(name)));
    }
    if l.cut[2] {
        text.push_str(&format!("{:<13} only the first of them were kept (dead_letter.bytes_max)\n", ""));
    }
    text.push_str(&format!("{:<13} {}\n", "payload", l.payload.as_deref().map_or_else(absent, escape)));
    if let (true, Some(payload)) = (l.cut[1], &l.payload) {
        text.push_str(&format!("{:<13} {}\n", "", cut_note(payload.len(), s.payload_length)));
    }
    text
}
