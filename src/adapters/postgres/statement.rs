//! The SQL of the fence, the rows and the dead letters, and the arrays that go with it (rules W2, W3).

use std::fmt::Write as _;

use tokio_postgres::types::ToSql;

use crate::domain::lane::Lane;
use crate::domain::lane::Owner;
use crate::domain::mutants;
use crate::domain::scored::Fate;
use crate::domain::scored::Group;
use crate::domain::scored::Move;

use super::contract::Table;
use super::dead::dead_letters;
use super::register::Registered;
use super::table::quote;
use super::types::Wire;
use super::wire::RawArray;
use super::wire::RowFields;
use super::wire::Uuid;

pub(super) type Params<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// One row to store and where it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowRef<'a> {
    pub lane: usize,
    pub piece: usize,
    pub record: usize,
    pub bytes: &'a [u8],
}

/// All rows of a group in log order within each lane; `lane` is the index of its move.
pub(super) fn rows_of(group: &Group) -> Vec<RowRef<'_>> {
    let mut rows = Vec::with_capacity(group.rows() as usize);
    for (piece, scored) in group.pieces.iter().enumerate() {
        let lane = lane_of(group, scored.piece().lane);
        for record in scored.piece().records() {
            if let Fate::Row(bytes) = scored.fate(record) {
                rows.push(RowRef { lane, piece, record, bytes });
            }
        }
    }
    rows
}

/// Index of the lane's move.
pub(super) fn lane_of(group: &Group, lane: Lane) -> usize {
    group.moves.binary_search_by_key(&lane, |m| m.lane).expect("a group has a move for the lane of each of its pieces")
}

/// The marks to move, as arrays; entry `i` has the number `lanes[i]` in SQL.
pub(super) struct Wants {
    lanes: Vec<i32>,
    sources: Vec<i16>,
    partitions: Vec<i32>,
    expected: Vec<i64>,
    next: Vec<i64>,
    epochs: Vec<i64>,
    stored: Vec<i64>,
    dead: Vec<i64>,
    skipped: Vec<i64>,
    fingerprints: Vec<Option<i64>>,
    owner: Uuid,
}

impl Wants {
    pub fn new(moves: &[Move], active: &[usize], registered: &Registered, owner: Owner) -> Wants {
        let of = || active.iter().map(|i| &moves[*i]);
        Wants {
            lanes: active.iter().map(|i| *i as i32).collect(),
            sources: of().map(|m| registered.sources[usize::from(m.lane.topic)].id).collect(),
            partitions: of().map(|m| m.lane.partition).collect(),
            expected: of().map(|m| m.expected).collect(),
            next: of().map(|m| m.end).collect(),
            epochs: of().map(|m| m.epoch.0).collect(),
            stored: of().map(|m| m.counts.stored as i64).collect(),
            dead: of().map(|m| m.counts.dead as i64).collect(),
            skipped: of().map(|m| m.counts.skipped as i64).collect(),
            fingerprints: of().map(|m| m.fingerprint).collect(),
            owner: Uuid(owner.0),
        }
    }

    pub fn params(&self) -> Params<'_> {
        vec![
            &self.lanes,
            &self.sources,
            &self.partitions,
            &self.expected,
            &self.next,
            &self.epochs,
            &self.stored,
            &self.dead,
            &self.skipped,
            &self.fingerprints,
            &self.owner,
        ]
    }
}

/// Parameters that [`fence`] takes.
const FENCE_PARAMS: usize = 11;

/// The compare-and-set of the marks, with the microseconds that the server took until each had moved. Equality, never `<=`: a mark that is not exactly where we left it is not ours to move.
pub(super) fn fence() -> String {
    // A planted bug: whoever comes moves the mark, and the epoch and the owner are only mentioned.
    let fence = if mutants::on("no_fence") {
        "(w.expected, w.epoch, $11::uuid) IS NOT NULL"
    } else {
        "p.next_offset = w.expected AND p.epoch = w.epoch AND p.owner = $11::uuid"
    };
    format!(
        "UPDATE tidemill.progress p SET next_offset = w.next, stored = p.stored + w.stored, \
     dead_lettered = p.dead_lettered + w.dead, skipped = p.skipped + w.skipped, \
     fingerprint = coalesce(w.fingerprint, p.fingerprint) \
     FROM unnest($1::int4[], $2::int2[], $3::int4[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], \
     $9::int8[], $10::int8[]) w(lane, source, partition, expected, next, epoch, stored, dead, skipped, fingerprint) \
     WHERE p.source = w.source AND p.partition = w.partition AND {fence} RETURNING w.lane, \
     (extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1e6)::int8 AS spent, w.stored, w.dead"
    )
}

/// The one statement of rule W3. It fails, and so stores nothing, if the counts differ from what the marks say.
pub(super) fn fenced(table: &Table, rows: bool, dead: bool) -> String {
    let mut sql = format!("WITH fence AS ({})", fence());
    let mut first = FENCE_PARAMS + 1;
    let mut check = String::from("true");
    let count = |name: &str, total: &str| {
        format!(" AND (SELECT count(*) FROM {name}) = (SELECT coalesce(sum({total}), 0) FROM fence)")
    };
    if rows {
        let insert = insert(table, first, " JOIN fence f ON f.lane = u.lane", "");
        let _ = write!(sql, ", rows AS ({insert} RETURNING 1)");
        first += 1 + table.columns.len();
        check += &count("rows", "stored");
    }
    if dead {
        let _ = write!(sql, ", dead AS ({} RETURNING 1)", dead_letters(first, " JOIN fence f ON f.lane = u.lane"));
        check += &count("dead", "dead");
    }
    // There is no RAISE in SQL: asking for a large object that cannot exist ends the statement with a code (42704)
    // that no value of a user's row can cause.
    let _ = write!(
        sql,
        " SELECT CASE WHEN {check} THEN f.lane ELSE length(pg_catalog.lo_get(0)) END, f.spent FROM fence f"
    );
    sql
}

/// INSERT of rows from arrays, with parameters from `$first` on: lane numbers, then the columns.
pub(super) fn insert(table: &Table, first: usize, join: &str, conflict: &str) -> String {
    let (mut names, mut values, mut arrays, mut parts) = (vec![], vec![], vec![], vec!["lane".to_owned()]);
    for (i, c) in table.columns.iter().enumerate() {
        let parameter = format!("${}::{}[]", first + 1 + i, c.element_name);
        names.push(quote(&c.name));
        match (c.wire, c.kind) {
            // UNNEST would flatten an array of arrays: the lists come end to end and are cut by the row's number.
            (Wire::Array(_), super::table::Kind::Reals { width }) => {
                values.push(format!("({parameter})[((u.n - 1) * {width} + 1)::int4 : (u.n * {width})::int4]"));
            }
            _ => {
                values.push(format!("u.c{i}"));
                arrays.push(parameter);
                parts.push(format!("c{i}"));
            }
        }
    }
    let (mut head, mut tail) = (String::new(), String::new());
    if conflict.contains("DO UPDATE") {
        // The last row of a key wins: Postgres refuses to overwrite a row twice in one statement (21000).
        let keys = table.conflict.iter().filter_map(|c| names.iter().position(|n| *n == quote(c)));
        let keys = keys.map(|i| values[i].clone()).collect::<Vec<_>>().join(", ");
        head = format!("DISTINCT ON ({keys}) ");
        tail = format!(" ORDER BY {keys}, u.n DESC");
    }
    arrays.insert(0, format!("${first}::int4[]"));
    format!(
        "INSERT INTO {} ({}) SELECT {head}{} FROM unnest({}) WITH ORDINALITY u({}, n){join}{tail}{conflict}",
        table.name,
        names.join(", "),
        values.join(", "),
        arrays.join(", "),
        parts.join(", ")
    )
}

/// The end of an INSERT that skips or overwrites.
pub(super) fn on_conflict(table: &Table, update: bool) -> String {
    if !update {
        return " ON CONFLICT DO NOTHING".into();
    }
    let keys: Vec<String> = table.conflict.iter().map(|c| quote(c)).collect();
    let rest = table.columns.iter().map(|c| quote(&c.name)).filter(|c| !keys.contains(c));
    let set: Vec<String> = rest.map(|c| format!("{c} = EXCLUDED.{c}")).collect();
    // With nothing but keys, the row that is there equals ours; it is still counted.
    let set = if set.is_empty() { format!("{0} = EXCLUDED.{0}", keys[0]) } else { set.join(", ") };
    format!(" ON CONFLICT ({}) DO UPDATE SET {set}", keys.join(", "))
}

/// Rows turned into columns, as parameters of [`insert`].
pub(super) struct Columns {
    lanes: Vec<i32>,
    arrays: Vec<RawArray>,
}

impl Columns {
    pub fn new<'a>(table: &Table, rows: impl Iterator<Item = &'a RowRef<'a>>) -> Columns {
        let mut lanes = vec![];
        let mut arrays: Vec<RawArray> = table.columns.iter().map(|c| RawArray::new(c.element)).collect();
        for row in rows {
            lanes.push(row.lane as i32);
            for (i, field) in RowFields::of(row.bytes).enumerate() {
                match table.columns[i].wire {
                    Wire::Array(_) => arrays[i].extend(&field[4..]),
                    _ => arrays[i].push(field),
                }
            }
        }
        Columns { lanes, arrays }
    }

    pub fn params(&self) -> Params<'_> {
        let mut params: Params<'_> = vec![&self.lanes];
        params.extend(self.arrays.iter().map(|a| a as &(dyn ToSql + Sync)));
        params
    }
}
