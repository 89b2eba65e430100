//! Compares by SQL what a pipeline has stored with what the log, read back, says that it must have stored.

use std::fmt::Write as _;

use serde_json::Value;
use tidemill::demo::poison::Poison;

use crate::score::Score;
use crate::sql::Sql;
use crate::support::kafka::Record;
use crate::support::produce::KIND;

/// What was compared.
#[derive(Clone, Copy, Debug)]
pub struct Audit {
    pub rows: i64,
    pub dead: i64,
    pub transactions: i64,
    /// Greatest difference of a score.
    pub worst: f64,
}

/// The event of a record whose payload is clean JSON, by another reader than the product's.
pub fn json(record: &Record) -> Value {
    serde_json::from_slice(record.payload.as_deref().expect("a payload")).expect("a clean record is JSON")
}

/// Puts what every record of the log must become into the table `expected_<source>`. `event` reads a clean record.
pub fn expect(sql: &Sql, source: i16, log: &[Record], event: impl Fn(&Record) -> Value, scores: &[Option<Score>]) {
    sql.run(&format!(
        "CREATE TABLE expected_{source} (partition int, \"offset\" bigint, reason text, key text, payload text,
            headers text, payment_id text, amount float8, merchant text, at timestamptz, score float8, is_fraud bool,
            PRIMARY KEY (partition, \"offset\"))"
    ));
    let mut lines = String::new();
    for (record, score) in log.iter().zip(scores) {
        let key =
            String::from_utf8(record.key.clone().expect("every payment has a key")).expect("of letters and digits");
        write!(lines, "{}\t{}\t", record.partition, record.offset).unwrap();
        match poison(record) {
            Some(poison) => {
                let headers: Vec<String> = record.headers.iter().map(header).collect();
                let payload = hex(record.payload.as_deref().expect("a payload may be empty, but is there"));
                let (reason, headers) = (reason(poison), headers.join(","));
                writeln!(lines, "{reason}\t{key}\t{payload}\t{headers}\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N").unwrap();
            }
            None => {
                let event = event(record);
                let text = |value: &Value| value.as_str().expect("a text").to_owned();
                let (id, merchant, at) = (text(&event["id"]), text(&event["merchant"]["id"]), text(&event["ts"]));
                let amount = event["amount"].as_f64().expect("a number");
                write!(lines, "\\N\t{key}\t\\N\t\\N\t{id}\t{amount}\t{merchant}\t{at}\t").unwrap();
                match score {
                    Some(score) => writeln!(lines, "{}\t{}", score.score, score.is_fraud).unwrap(),
                    None => lines.push_str("\\N\t\\N\n"),
                }
            }
        }
    }
    sql.copy(&format!("expected_{source}"), lines);
    sql.run(&format!("ANALYZE expected_{source}"));
}

/// Kind of a record, by the header that came with it.
fn poison(record: &Record) -> Option<Poison> {
    let (_, kind) = record.headers.iter().find(|(name, _)| name == KIND).expect("a header says what the payload is");
    Poison::named(std::str::from_utf8(kind.as_deref().expect("a text")).expect("a text"))
}

fn reason(poison: Poison) -> &'static str {
    match poison {
        Poison::Malformed | Poison::Truncated => "bad_json",
        Poison::MissingField => "missing_field",
        Poison::WrongType => "wrong_type",
        Poison::InvalidUtf8 => "bad_utf8",
        Poison::TooDeep => "too_deep",
    }
}

fn header((name, value): &(String, Option<Vec<u8>>)) -> String {
    format!("{}={}", hex(name.as_bytes()), value.as_deref().map_or("null".into(), hex))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Everything at once; `scored` says whether the table has the model's outputs.
///
/// # Errors
/// What is not as expected, in one sentence.
pub fn audit(sql: &Sql, source: i16, table: &str, scored: bool) -> Result<Audit, String> {
    dispositions(sql, source, table)?;
    values(sql, source, table, scored)?;
    dead_letters(sql, source)?;
    let transactions = order(sql, source, table)?;
    let worst = if scored {
        let both = format!("{table} s JOIN expected_{source} e USING (partition, \"offset\") WHERE s.source = $1");
        sql.one(&format!("SELECT max(abs(s.score - e.score)) FROM {both}"), &[&source])
    } else {
        0.0
    };
    let count = |table: &str| sql.one(&format!("SELECT count(*) FROM {table} WHERE source = $1"), &[&source]);
    Ok(Audit { rows: count(table), dead: count("tidemill.dead_letter"), transactions, worst })
}

fn must(good: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if good { Ok(()) } else { Err(otherwise()) }
}

/// Every offset of the log is exactly one row or one dead letter, as its kind says (promise P1).
fn dispositions(sql: &Sql, source: i16, table: &str) -> Result<(), String> {
    let question = format!(
        "WITH done AS (SELECT partition, \"offset\", 1 r, 0 d FROM {table} WHERE source = $1
                UNION ALL SELECT partition, \"offset\", 0, 1 FROM tidemill.dead_letter WHERE source = $1),
            each AS (SELECT partition, \"offset\", sum(r) r, sum(d) d FROM done GROUP BY 1, 2)
        SELECT count(*) FILTER (WHERE x.r IS NULL), count(*) FILTER (WHERE e.partition IS NULL),
            count(*) FILTER (WHERE x.r > 1), count(*) FILTER (WHERE x.d > 1), count(*) FILTER (WHERE x.r > 0 AND x.d > 0),
            count(*) FILTER (WHERE e.reason IS NULL AND x.d > 0), count(*) FILTER (WHERE e.reason IS NOT NULL AND x.r > 0)
        FROM expected_{source} e FULL JOIN each x USING (partition, \"offset\")"
    );
    let row = &sql.query(&question, &[&source])[0];
    let names = [
        "missing",
        "foreign",
        "doubled rows",
        "doubled dead letters",
        "in both",
        "dead but good",
        "stored but poisoned",
    ];
    let found: Vec<(&str, i64)> = names.into_iter().enumerate().map(|(i, name)| (name, row.get(i))).collect();
    must(found.iter().all(|(_, n)| *n == 0), || format!("{table}: {found:?}"))
}

/// Keys, mapped fields, event time and outputs of the rows.
fn values(sql: &Sql, source: i16, table: &str, scored: bool) -> Result<(), String> {
    let outputs = "OR s.is_fraud IS DISTINCT FROM e.is_fraud OR NOT coalesce(abs(s.score - e.score) <= 1e-5, false)";
    let question = format!(
        "SELECT s.partition, s.\"offset\", to_jsonb(s)::text, to_jsonb(e)::text FROM {table} s
        JOIN expected_{source} e USING (partition, \"offset\") LEFT JOIN tidemill.model m ON m.id = s.model
        WHERE s.source = $1 AND (s.key IS DISTINCT FROM e.key OR s.payment_id IS DISTINCT FROM e.payment_id
            OR s.amount IS DISTINCT FROM e.amount OR s.merchant IS DISTINCT FROM e.merchant
            OR s.event_time IS DISTINCT FROM e.at OR m.id IS NULL OR s.processed_at IS NULL {})",
        if scored { outputs } else { "" }
    );
    let wrong = sql.query(&question, &[&source]);
    let first = wrong.first().map(|r| (r.get::<_, String>(2), r.get::<_, String>(3)));
    must(wrong.is_empty(), || {
        format!("{table}: {} rows have other values than their events; the first: {first:?}", wrong.len())
    })
}

/// Original bytes, key and headers, and the reason that the poison must give (promise P6).
fn dead_letters(sql: &Sql, source: i16) -> Result<(), String> {
    let question = format!(
        "WITH dead AS (SELECT *, encode(key, 'escape') AS key_text, encode(payload, 'hex') AS hex,
                (SELECT string_agg(encode(n, 'hex') || '=' || coalesce(encode(v, 'hex'), 'null'), ',' ORDER BY i)
                    FROM unnest(header_names, header_values) WITH ORDINALITY h (n, v, i)) AS headers
            FROM tidemill.dead_letter WHERE source = $1)
        SELECT d.partition, d.\"offset\", d.stage, d.reason, e.reason, d.detail, d.hex = e.payload, d.key_text = e.key,
            d.headers = e.headers
        FROM dead d JOIN expected_{source} e USING (partition, \"offset\")
        WHERE d.reason IS DISTINCT FROM e.reason OR d.stage <> 'decode' OR d.hex IS DISTINCT FROM e.payload
            OR d.key_text IS DISTINCT FROM e.key OR d.headers IS DISTINCT FROM e.headers OR d.state <> 'open'
            OR d.payload_length <> length(d.payload) OR d.payload_sha256 IS NOT NULL"
    );
    let wrong = sql.query(&question, &[&source]);
    let first = wrong
        .first()
        .map(|r| format!("{r:?}: {} {} {}", r.get::<_, i64>(1), r.get::<_, String>(3), r.get::<_, String>(5)));
    must(wrong.is_empty(), || format!("{} dead letters are not what was produced; the first: {first:?}", wrong.len()))
}

/// Along the offsets of a partition commit times never fall, and every transaction holds one run of offsets (promise P3).
/// The answer is the number of transactions. Needs `track_commit_timestamp`.
fn order(sql: &Sql, source: i16, table: &str) -> Result<i64, String> {
    let question = format!(
        "WITH done AS (SELECT partition, \"offset\", xmin FROM {table} WHERE source = $1
                UNION ALL SELECT partition, \"offset\", xmin FROM tidemill.dead_letter WHERE source = $1),
            timed AS (SELECT *, pg_xact_commit_timestamp(xmin) AS at FROM done),
            steps AS (SELECT *, at < lag(at) OVER w AS back, xmin::text IS DISTINCT FROM lag(xmin::text) OVER w AS change
                FROM timed WINDOW w AS (PARTITION BY partition ORDER BY \"offset\"))
        SELECT count(*) FILTER (WHERE back), count(*) FILTER (WHERE at IS NULL), count(*) FILTER (WHERE change),
            count(DISTINCT (partition, xmin::text)), count(DISTINCT xmin::text) FROM steps"
    );
    let row = &sql.query(&question, &[&source])[0];
    let numbers: [i64; 5] = std::array::from_fn(|i| row.get(i));
    let [back, untimed, changes, runs, transactions] = numbers;
    must(back == 0, || format!("{table}: {back} rows became visible out of offset order"))?;
    must(untimed == 0, || format!("{table}: of {untimed} rows it cannot be told when they became visible"))?;
    must(changes == runs, || format!("{table}: a transaction holds two runs of one partition"))?;
    Ok(transactions)
}
