//! Looks at the result table at start: everything that would go wrong later is named at once (rule W10).

use tokio_postgres::Row;

use crate::domain::outputs::OutputSpec;
use crate::ports::SinkError;

use super::connect::Database;
use super::connect::Lease;
use super::fault;
use super::fault::StartError;
use super::options::OnConflict;
use super::options::TableOptions;
use super::table;
use super::table::Kind;
use super::table::Mapped;
use super::table::Value;
use super::types::Wire;

/// A column that is written, with all that the encoder and the statements need to know.
#[derive(Clone, PartialEq, Debug)]
pub struct Column {
    pub name: String,
    pub value: Value,
    pub kind: Kind,
    pub wire: Wire,
    pub not_null: bool,
    /// Type of one element of the parameter that carries this column, and its name in SQL.
    pub(super) element: u32,
    pub(super) element_name: String,
}

/// The result table as it was found.
#[derive(Clone, Debug)]
pub struct Table {
    /// Quoted, with schema.
    pub name: String,
    pub columns: Vec<Column>,
    pub on_conflict: OnConflict,
    pub(super) conflict: Vec<String>,
    pub(super) schema: String,
    pub(super) relation: String,
    pub(super) signature: String,
    /// What it was checked against.
    pub(super) expected: (TableOptions, Vec<OutputSpec>),
}

impl Table {
    /// Looks at the table again after it was altered. What fits as before is taken as it is now, so that a table that was
    /// mended is written to without a restart; rows that wait are encoded for these columns and no others.
    ///
    /// # Errors
    /// What does not fit, or that it fits in another form.
    pub(super) async fn again(&self, database: &Database) -> Result<Table, SinkError> {
        let (options, outputs) = &self.expected;
        let found = match check(database, options, outputs).await {
            Ok(found) => found,
            Err(StartError::Database(error)) => return Err(error),
            Err(other) => return Err(fault::contract(other.to_string())),
        };
        // Where a column stands does not matter, every statement names them; that it may be null does not either.
        let same = |old: &Column| {
            found
                .columns
                .iter()
                .any(|new| new.not_null <= old.not_null && Column { not_null: old.not_null, ..new.clone() } == *old)
        };
        if let Some(other) = self.columns.iter().find(|c| !same(c)) {
            let text = format!("column {} of {} changed its type: change it back, or restart", other.name, self.name);
            return Err(fault::contract(text));
        }
        Ok(Table { columns: self.columns.clone(), ..found })
    }
}

/// Types, row triggers and rules of the table as one text. COPY BINARY into a column whose type changed would store
/// other numbers without a word, so the text is compared inside every transaction that copies.
pub(super) const SIGNATURE: &str = "
SELECT pg_catalog.concat(c.oid, ':', c.relrowsecurity, ':',
  (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(',', a.attname, a.atttypid, a.atttypmod), ';' ORDER BY a.attnum)
     FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), ':',
  (SELECT count(*) FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND t.tgtype & 7 = 7 AND t.tgenabled <> 'D'))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2";

const RELATION: &str = "
SELECT c.oid, c.relkind::text, c.relpersistence::text, n.oid,
  pg_catalog.has_schema_privilege(n.oid, 'USAGE'), pg_catalog.has_table_privilege(c.oid, 'INSERT'),
  pg_catalog.has_table_privilege(c.oid, 'UPDATE'), pg_catalog.has_table_privilege(c.oid, 'SELECT'),
  pg_catalog.row_security_active(c.oid),
  (SELECT pg_catalog.array_agg(t.tgname::text) FROM pg_catalog.pg_trigger t
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 3 = 3 AND t.tgtype & $3::int4 <> 0
      AND (t.tgrelid = c.oid OR t.tgrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)))),
  (SELECT pg_catalog.array_agg(r.rulename::text) FROM pg_catalog.pg_rewrite r
    WHERE r.ev_class = c.oid AND r.ev_type IN ('2', '3')),
  current_user::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2";

const COLUMNS: &str = "
SELECT a.attname::text, a.attnotnull OR base.strict, a.atthasdef OR base.preset, a.attidentity::text, a.attgenerated::text,
  pg_catalog.format_type(a.atttypid, a.atttypmod), base.oid, base.typmod, t.typname::text, n.nspname::text,
  t.typtype::text, t.typelem
FROM pg_catalog.pg_attribute a
CROSS JOIN LATERAL (
  WITH RECURSIVE d AS (
    SELECT t.oid, t.typtype, t.typbasetype, a.atttypmod AS typmod, t.typtypmod, t.typnotnull AS strict,
           t.typdefault IS NOT NULL AS preset
      FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid
    UNION ALL
    SELECT t.oid, t.typtype, t.typbasetype, CASE WHEN d.typtypmod >= 0 THEN d.typtypmod ELSE d.typmod END, t.typtypmod,
           d.strict OR t.typnotnull, d.preset OR t.typdefault IS NOT NULL
      FROM d JOIN pg_catalog.pg_type t ON t.oid = d.typbasetype WHERE d.typtype = 'd')
  SELECT * FROM d WHERE typtype <> 'd') base
JOIN pg_catalog.pg_type t ON t.oid = base.oid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const INDEXES: &str = "
SELECT pg_catalog.array_agg(a.attname::text)
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])
WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid";

const CONTROL: &str = "
SELECT w.relation, w.privilege, c.oid IS NOT NULL,
  c.oid IS NOT NULL AND pg_catalog.has_table_privilege(c.oid, w.privilege)
    AND pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'), current_user::text
FROM (VALUES ('source', 'SELECT'), ('source', 'INSERT'), ('source', 'UPDATE'), ('model', 'SELECT'), ('model', 'INSERT'),
             ('progress', 'SELECT'), ('progress', 'INSERT'), ('progress', 'UPDATE'), ('dead_letter', 'INSERT'),
             ('acceptance', 'SELECT'), ('attempt', 'SELECT'), ('attempt', 'INSERT'), ('attempt', 'UPDATE'), ('attempt', 'DELETE'))
  AS w(relation, privilege)
LEFT JOIN (pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'tidemill')
  ON c.relname = w.relation";

/// What could keep a dead letter from being stored without an error. Its INSERT must never lose one: there is no other place.
const DEAD_LETTERS: &str = "
WITH letters AS (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = 'tidemill' AND c.relname = 'dead_letter')
SELECT pg_catalog.concat('trigger ', t.tgname) FROM pg_catalog.pg_trigger t JOIN letters ON letters.oid = t.tgrelid
 WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 7 = 7
UNION ALL
SELECT pg_catalog.concat('rule ', r.rulename) FROM pg_catalog.pg_rewrite r JOIN letters ON letters.oid = r.ev_class
 WHERE r.ev_type = '3' ORDER BY 1";

/// Checks control tables and result table, and says how the rows are to be written.
///
/// # Errors
/// [`StartError::Contract`] with all problems; [`StartError::Database`] when the server cannot be asked.
pub async fn check(database: &Database, options: &TableOptions, outputs: &[OutputSpec]) -> Result<Table, StartError> {
    let lease = database.lease().await?;
    let failed = |e| fault::sink_error(&e, "looking at the table", false);
    let mut problems = control_problems(&lease).await?;
    let mapped = table::mapping(options, outputs).unwrap_or_else(|mut wrong| {
        problems.append(&mut wrong);
        vec![]
    });
    let (schema, relation) = table::split_name(&options.name);
    let conflict = conflict_columns(options, &mapped);
    // 4 stands for INSERT and 16 for UPDATE in pg_trigger.tgtype.
    let events = if options.on_conflict == OnConflict::Update { 4 | 16 } else { 4_i32 };
    let found = lease.query_opt(RELATION, &[&schema, &relation, &events]).await.map_err(failed)?;
    let mut columns = vec![];
    if let Some(found) = found {
        relation_problems(&found, options, &mut problems);
        let oid: u32 = found.get(0);
        let rows = lease.query(COLUMNS, &[&oid]).await.map_err(failed)?;
        columns = fit(&rows, &mapped, &mut problems);
        if options.on_conflict != OnConflict::DeadLetter {
            let indexes = lease.query(INDEXES, &[&oid]).await.map_err(failed)?;
            conflict_problems(&indexes, options, &mapped, &conflict, &mut problems);
        }
    } else {
        problems.push(format!(
            "table {} does not exist: run `tidemill migrate` with table.create = true, or create it",
            options.name
        ));
    }
    if !problems.is_empty() {
        lease.give_back();
        return Err(StartError::Contract(problems));
    }
    let signature = lease.query_one(SIGNATURE, &[&schema, &relation]).await.map_err(failed)?.get(0);
    lease.give_back();
    Ok(Table {
        name: table::qualified(&options.name),
        columns,
        on_conflict: options.on_conflict,
        conflict,
        schema: schema.into(),
        relation: relation.into(),
        signature,
        expected: (options.clone(), outputs.to_vec()),
    })
}

/// Checks the control tables alone, for as long as the outputs are unknown.
///
/// # Errors
/// As [`check`].
pub async fn check_control(database: &Database) -> Result<(), StartError> {
    let lease = database.lease().await?;
    let problems = control_problems(&lease).await?;
    lease.give_back();
    if problems.is_empty() { Ok(()) } else { Err(StartError::Contract(problems)) }
}

async fn control_problems(lease: &Lease) -> Result<Vec<String>, SinkError> {
    let failed = |e| fault::sink_error(&e, "looking at the control tables", false);
    let mut problems: Vec<String> = vec![];
    for row in lease.query(CONTROL, &[]).await.map_err(failed)? {
        let (relation, privilege): (&str, &str) = (row.get(0), row.get(1));
        let (exists, granted, user): (bool, bool, &str) = (row.get(2), row.get(3), row.get(4));
        let problem = match (exists, granted) {
            (true, true) => continue,
            (false, _) => format!("control table tidemill.{relation} does not exist: run `tidemill migrate`"),
            (true, false) => format!(
                "user {user} may not {privilege} on tidemill.{relation}: GRANT USAGE ON SCHEMA tidemill, GRANT {privilege} ON tidemill.{relation} TO {}",
                table::quote(user)
            ),
        };
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    for row in lease.query(DEAD_LETTERS, &[]).await.map_err(failed)? {
        let what: &str = row.get(0);
        problems.push(format!(
            "{what} of tidemill.dead_letter could swallow dead letters, and nobody would miss them: drop it"
        ));
    }
    Ok(problems)
}

fn relation_problems(found: &Row, options: &TableOptions, problems: &mut Vec<String>) {
    let name = &options.name;
    let (kind, persistence, user): (&str, &str, &str) = (found.get(1), found.get(2), found.get(11));
    if !["r", "p"].contains(&kind) {
        problems.push(format!("{name} is not a table (pg_class.relkind {kind}): name the table itself"));
    }
    if persistence != "p" {
        problems.push(format!(
            "table {name} is unlogged or temporary: a crash would empty it while the marks stay; ALTER TABLE {name} SET LOGGED"
        ));
    }
    let update = options.on_conflict == OnConflict::Update;
    let needs_select = options.on_conflict != OnConflict::DeadLetter;
    for (privilege, granted, needed) in
        [("INSERT", found.get(5), true), ("UPDATE", found.get(6), update), ("SELECT", found.get(7), needs_select)]
    {
        let granted: bool = granted;
        if needed && !granted {
            problems.push(format!(
                "user {user} may not {privilege} on {name}: GRANT {privilege} ON {name} TO {}",
                table::quote(user)
            ));
        }
    }
    if !found.get::<_, bool>(4) {
        problems.push(format!("user {user} has no USAGE on the schema of {name}: grant it"));
    }
    if found.get(8) {
        problems.push(format!(
            "row-level security of {name} applies to user {user}, and COPY refuses that: grant BYPASSRLS"
        ));
    }
    for trigger in found.get::<_, Option<Vec<String>>>(9).unwrap_or_default() {
        problems.push(format!(
            "trigger {trigger} runs BEFORE each row of {name} and could swallow rows, and row counts decide here: make it AFTER, or drop it"
        ));
    }
    for rule in found.get::<_, Option<Vec<String>>>(10).unwrap_or_default() {
        problems.push(format!("rule {rule} rewrites what is written to {name}: drop it"));
    }
}

fn fit(rows: &[Row], mapped: &[Mapped], problems: &mut Vec<String>) -> Vec<Column> {
    let mut columns = vec![];
    for m in mapped {
        let Some(row) = rows.iter().find(|r| r.get::<_, &str>(0) == m.column) else {
            problems.push(format!(
                "column {} does not exist: add it (`{}`), map the value to another column or switch it off",
                m.column,
                m.definition()
            ));
            continue;
        };
        let found: &str = row.get(5);
        let (identity, generated): (&str, &str) = (row.get(3), row.get(4));
        if identity == "a" || !generated.is_empty() {
            problems
                .push(format!("column {} makes its own values (generated): map the value to another column", m.column));
            continue;
        }
        match column(row, m) {
            Some(c) if c.wire.takes(m.kind) => columns.push(c),
            Some(_) => problems.push(format!(
                "column {} is {found}, and {} value does not go there: make it like `{}`",
                m.column,
                article(m.kind.name()),
                m.definition()
            )),
            None => problems.push(format!(
                "column {} is {found}, a type that is not written: make it like `{}`",
                m.column,
                m.definition()
            )),
        }
    }
    for row in rows {
        let (name, strict, preset): (&str, bool, bool) = (row.get(0), row.get(1), row.get(2));
        let (identity, generated): (&str, &str) = (row.get(3), row.get(4));
        let filled = preset || !identity.is_empty() || !generated.is_empty();
        if strict && !filled && !mapped.iter().any(|m| m.column == name) {
            let found: &str = row.get(5);
            problems.push(format!("column {name} ({found}) is NOT NULL without a default and nothing is mapped to it: give it a default or a value"));
        }
    }
    columns
}

fn article(noun: &str) -> String {
    format!("{} {noun}", if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" })
}

fn column(row: &Row, m: &Mapped) -> Option<Column> {
    let (oid, typmod, element): (u32, i32, u32) = (row.get(6), row.get(7), row.get(11));
    let (name, schema, kind): (&str, &str, &str) = (row.get(8), row.get(9), row.get(10));
    let wire = match (kind, schema) {
        ("e", _) => Wire::Enum,
        (_, "pg_catalog") => Wire::of(name, typmod)?,
        _ => return None,
    };
    let (element, element_name) = match wire {
        Wire::Array(_) => (element, format!("pg_catalog.{}", table::quote(&name[1..]))),
        // Parameters carry plain text; the assignment to the column checks its length.
        Wire::Text { .. } => (25, "pg_catalog.text".into()),
        _ => (oid, format!("{}.{}", table::quote(schema), table::quote(name))),
    };
    let not_null = row.get(1);
    Some(Column { name: m.column.clone(), value: m.value, kind: m.kind, wire, not_null, element, element_name })
}

fn conflict_columns(options: &TableOptions, mapped: &[Mapped]) -> Vec<String> {
    if !options.conflict_columns.is_empty() {
        return options.conflict_columns.clone();
    }
    let place = [Value::Source, Value::Partition, Value::Offset];
    mapped.iter().filter(|m| place.contains(&m.value)).map(|m| m.column.clone()).collect()
}

fn conflict_problems(
    rows: &[Row],
    o: &TableOptions,
    mapped: &[Mapped],
    conflict: &[String],
    problems: &mut Vec<String>,
) {
    let indexes: Vec<Vec<String>> = rows.iter().map(|r| r.get(0)).collect();
    let same = |i: &Vec<String>| i.len() == conflict.len() && i.iter().all(|c| conflict.contains(c));
    let list = conflict.join(", ");
    if o.on_conflict == OnConflict::Skip && indexes.is_empty() {
        problems.push(format!(
            "table {} has no plain unique index that on_conflict = \"skip\" could go by: make one",
            o.name
        ));
    }
    if o.on_conflict == OnConflict::Update && !indexes.iter().any(same) {
        problems.push(format!(
            "table {} has no plain unique index on exactly ({list}) for on_conflict = \"update\": make one, or correct table.conflict_columns",
            o.name
        ));
    }
    for name in conflict.iter().filter(|c| !mapped.iter().any(|m| m.column == **c)) {
        problems.push(format!("table.conflict_columns: nothing is mapped to column {name}"));
    }
}

/// Rows that were given to the table and are not in it, or more than were given.
pub(super) fn rows(table: &Table, took: u64, given: u64) -> SinkError {
    let name = &table.name;
    fault::contract(format!(
        "table {name} took {took} of {given} rows: look for triggers and rules on it and its partitions"
    ))
}

/// The same of dead letters.
pub(super) fn letters(took: u64, given: usize) -> SinkError {
    fault::contract(format!(
        "tidemill.dead_letter took {took} of {given} dead letters: look for triggers and rules on it"
    ))
}

/// An error that says that the table is not what it was at start.
pub(super) fn changed(table: &Table) -> SinkError {
    fault::contract(format!("table {} was altered; looking at it again", table.name))
}
