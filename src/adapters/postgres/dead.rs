//! Dead letters on their way to `tidemill.dead_letter`: an INSERT that no data can make fail.

use std::fmt::Write as _;

use sha2::Digest;
use sha2::Sha256;
use tokio_postgres::types::ToSql;

use crate::domain::batch::Batch;
use crate::domain::batch::TimestampKind;
use crate::domain::scored::Fate;
use crate::domain::scored::Group;

use super::register::Registered;
use super::statement::Params;
use super::statement::lane_of;

/// Dead letters as parameters of [`dead_letters`].
#[derive(Default)]
pub(super) struct Dead {
    pub count: usize,
    lanes: Vec<i32>,
    sources: Vec<i16>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    timestamps: Vec<Option<i64>>,
    model: i16,
    texts: [Vec<String>; 3],
    /// Key and payload, cut.
    values: [Vec<Option<Vec<u8>>>; 2],
    /// Names and values of headers, as literals of `bytea[]`: arrays of arrays cannot be unnested.
    headers: [Vec<String>; 2],
    /// Of key, payload and headers.
    lengths: [Vec<Option<i64>>; 3],
    hashes: [Vec<Option<Vec<u8>>>; 3],
}

impl Dead {
    /// Collects the dead letters of the active lanes; longer values than `max` are cut.
    pub fn new(group: &Group, active: &[usize], registered: &Registered, max: usize) -> Dead {
        let mut dead = Dead { model: registered.model, ..Dead::default() };
        for scored in &group.pieces {
            let piece = scored.piece();
            let lane = lane_of(group, piece.lane);
            if !active.contains(&lane) {
                continue;
            }
            for record in piece.records() {
                let Fate::Dead(why) = scored.fate(record) else { continue };
                let batch = &scored.scored.batch;
                let r = &batch.records[record];
                dead.count += 1;
                dead.lanes.push(lane as i32);
                dead.sources.push(registered.sources[usize::from(piece.lane.topic)].id);
                dead.partitions.push(piece.lane.partition);
                dead.offsets.push(r.offset);
                dead.timestamps.push((r.kind != TimestampKind::Missing).then_some(r.timestamp));
                dead.texts[0].push(why.stage.name().into());
                dead.texts[1].push(why.reason.into());
                dead.texts[2].push(why.detail.clone());
                dead.value(0, batch.key(record), max);
                dead.value(1, batch.payload(record), max);
                dead.headers(batch, record, max);
            }
        }
        dead
    }

    fn value(&mut self, which: usize, value: Option<&[u8]>, max: usize) {
        self.lengths[which].push(value.map(|v| v.len() as i64));
        self.hashes[which].push(value.filter(|v| v.len() > max).map(|v| Sha256::digest(v).to_vec()));
        self.values[which].push(value.map(|v| v[..v.len().min(max)].to_vec()));
    }

    fn headers(&mut self, batch: &Batch, record: usize, max: usize) {
        let all = batch.records[record].headers.of(&batch.bytes).unwrap_or(&[]);
        let (mut names, mut values, mut room) = (vec![], vec![], max);
        let mut cut = false;
        for (name, value) in batch.headers(record) {
            let kept = |bytes: &[u8], room: &mut usize| {
                let n = bytes.len().min(*room);
                *room -= n;
                n
            };
            let (n, v) = (kept(name, &mut room), value.map(|v| kept(v, &mut room)));
            cut |= n < name.len() || v.zip(value).is_some_and(|(n, v)| n < v.len());
            names.push(Some(&name[..n]));
            values.push(value.map(|value| &value[..v.unwrap_or(0)]));
        }
        self.headers[0].push(literal(&names));
        self.headers[1].push(literal(&values));
        self.lengths[2].push(Some(all.len() as i64));
        self.hashes[2].push(cut.then(|| Sha256::digest(all).to_vec()));
    }

    pub fn params(&self) -> Params<'_> {
        let mut p: Params<'_> =
            vec![&self.lanes, &self.sources, &self.partitions, &self.offsets, &self.timestamps, &self.model];
        p.extend(self.texts.iter().map(|t| t as &(dyn ToSql + Sync)));
        p.extend(self.values.iter().map(|t| t as &(dyn ToSql + Sync)));
        p.extend(self.headers.iter().map(|t| t as &(dyn ToSql + Sync)));
        p.extend(self.lengths.iter().map(|t| t as &(dyn ToSql + Sync)));
        p.extend(self.hashes.iter().map(|t| t as &(dyn ToSql + Sync)));
        p
    }
}

/// A `bytea[]` as text.
fn literal(values: &[Option<&[u8]>]) -> String {
    let mut text = String::from("{");
    for (i, value) in values.iter().enumerate() {
        text.push_str(if i > 0 { "," } else { "" });
        let Some(value) = value else {
            text.push_str("NULL");
            continue;
        };
        text.push_str("\"\\\\x");
        value.iter().for_each(|b| write!(text, "{b:02x}").expect("a String takes all"));
        text.push('"');
    }
    text + "}"
}

/// INSERT of dead letters from arrays, with parameters from `$first` on.
pub(super) fn dead_letters(first: usize, join: &str) -> String {
    let model = first + 5;
    let types = [
        ("lane", "int4"),
        ("source", "int2"),
        ("partition", "int4"),
        ("\"offset\"", "int8"),
        ("timestamp_ms", "int8"),
        ("model", ""),
        ("stage", "text"),
        ("reason", "text"),
        ("detail", "text"),
        ("key", "bytea"),
        ("payload", "bytea"),
        ("header_names", "text"),
        ("header_values", "text"),
        ("key_length", "int8"),
        ("payload_length", "int8"),
        ("headers_length", "int8"),
        ("key_sha256", "bytea"),
        ("payload_sha256", "bytea"),
        ("headers_sha256", "bytea"),
    ];
    let arrays: Vec<(usize, &(&str, &str))> = types.iter().enumerate().filter(|(_, t)| t.0 != "model").collect();
    let columns: Vec<&str> = types[1..].iter().map(|t| t.0).collect();
    let value = |name: &str| match name {
        "model" => format!("${model}::int2"),
        "header_names" | "header_values" => format!("u.{name}::bytea[]"),
        name => format!("u.{name}"),
    };
    format!(
        "INSERT INTO tidemill.dead_letter ({}) SELECT {} FROM unnest({}) u({}){join}",
        columns.join(", "),
        columns.iter().map(|c| value(c)).collect::<Vec<_>>().join(", "),
        arrays.iter().map(|(i, t)| format!("${}::{}[]", first + i, t.1)).collect::<Vec<_>>().join(", "),
        arrays.iter().map(|(_, t)| t.0).collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_list_is_an_array_literal() {
        assert_eq!(literal(&[]), "{}");
        assert_eq!(literal(&[Some(b"a\"\xff"), None, Some(b"")]), r#"{"\\x6122ff",NULL,"\\x"}"#);
    }
}
