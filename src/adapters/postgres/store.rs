//! The sink: a group in one transaction, in the form that suits it (rules W2 to W4).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_postgres::Row;

use crate::domain::lane::Lane;
use crate::domain::lane::Owner;
use crate::domain::miss::Mark;
use crate::domain::scored::Group;
use crate::failpoints;
use crate::failpoints::Point;
use crate::ports::BoxFuture;
use crate::ports::Guilty;
use crate::ports::Moved;
use crate::ports::Sink;
use crate::ports::SinkError;
use crate::ports::SinkFault;

use super::conflict;
use super::connect::Database;
use super::connect::Lease;
use super::contract::Table;
use super::copy;
use super::dead::Dead;
use super::fault;
use super::isolate;
use super::marks;
use super::options::DeadLetterOptions;
use super::options::OnConflict;
use super::options::PostgresOptions;
use super::register::Registered;
use super::statement;
use super::statement::RowRef;
use super::statement::Wants;

/// What every way of storing needs to know.
#[derive(Clone)]
pub(super) struct Context {
    pub table: Arc<Table>,
    pub registered: Arc<Registered>,
    pub owner: Owner,
    /// Longest wait for one answer.
    pub call: Duration,
    pub dead_letter_max: usize,
    /// What the server took for the last fence, in microseconds.
    fence_micros: Arc<AtomicU64>,
}

impl Context {
    /// Moves that passed the fence, from the first two columns of its answer.
    pub fn passed(&self, fence: &[Row]) -> Vec<usize> {
        let spent = fence.iter().map(|r| r.get::<_, i64>(1)).max().unwrap_or(0);
        self.fence_micros.store(spent.max(0).cast_unsigned(), Ordering::Relaxed);
        fence.iter().map(|r| r.get::<_, i32>(0) as usize).collect()
    }
}

/// One writer's sink. It holds its connection for life and replaces it after any unknown end.
pub struct PostgresSink {
    database: Database,
    context: Context,
    statement_rows: usize,
    lease: Option<Lease>,
    /// Connections so far.
    generation: u64,
    /// The table was found altered: it is looked at before the next group.
    doubt: bool,
}

/// How one attempt in a transaction ended.
pub(super) enum Attempt {
    Stored(Vec<Moved>),
    /// Rolled back, because only these moves passed the fence.
    Fenced(Vec<usize>),
}

/// A group on its way, shared by the forms: `active` are the moves that are still tried.
pub(super) struct Load<'a> {
    pub group: &'a Group,
    pub active: Vec<usize>,
    pub rows: Vec<RowRef<'a>>,
    pub dead: Dead,
}

impl<'a> Load<'a> {
    fn new(group: &'a Group, context: &Context) -> Load<'a> {
        let active = (0..group.moves.len()).collect();
        let rows = statement::rows_of(group);
        let mut load = Load { group, active, rows, dead: Dead::default() };
        load.dead = Dead::new(group, &load.active, &context.registered, context.dead_letter_max);
        load
    }

    /// Leaves only the moves that passed.
    fn keep(&mut self, passed: &[usize], context: &Context) {
        self.active.retain(|a| passed.contains(a));
        self.rows.retain(|r| self.active.contains(&r.lane));
        self.dead = Dead::new(self.group, &self.active, &context.registered, context.dead_letter_max);
    }

    /// Passes a failpoint of dead letters, if there are any.
    pub async fn reach(&self, point: Point) {
        if self.dead.count > 0 {
            failpoints::reach(point).await;
        }
    }

    pub fn wants(&self, context: &Context) -> Wants {
        Wants::new(&self.group.moves, &self.active, &context.registered, context.owner)
    }

    /// The answer for moves whose counts the database confirmed.
    pub fn moved(&self, lanes: impl IntoIterator<Item = usize>) -> Vec<Moved> {
        let moved = |i: usize| {
            let m = &self.group.moves[i];
            Moved { lane: m.lane, rows: m.counts.stored, dead: m.counts.dead }
        };
        let mut all: Vec<Moved> = lanes.into_iter().map(moved).collect();
        all.sort_by_key(|m| m.lane);
        all
    }
}

impl PostgresSink {
    pub fn new(
        database: Database,
        table: Arc<Table>,
        registered: Arc<Registered>,
        owner: Owner,
        options: &PostgresOptions,
        dead_letter: &DeadLetterOptions,
    ) -> PostgresSink {
        let call = database.call_timeout();
        let dead_letter_max = dead_letter.bytes_max.bytes();
        let context = Context { table, registered, owner, call, dead_letter_max, fence_micros: Arc::default() };
        PostgresSink {
            database,
            context,
            statement_rows: options.statement_rows,
            lease: None,
            generation: 0,
            doubt: false,
        }
    }

    async fn lease(&mut self) -> Result<Lease, SinkError> {
        match self.lease.take() {
            Some(lease) if !lease.is_closed() => Ok(lease),
            _ => {
                let lease = self.database.lease().await?;
                self.generation += 1;
                Ok(lease)
            }
        }
    }

    async fn store_group(&mut self, group: &Group) -> Result<Vec<Moved>, SinkError> {
        if group.moves.is_empty() {
            return Ok(vec![]);
        }
        if self.doubt {
            self.context.table = Arc::new(self.context.table.again(&self.database).await?);
            self.doubt = false;
            tracing::info!(table = self.context.table.name, "the table fits again");
        }
        let lease = self.lease().await?;
        failpoints::reach(Point::BeforePgBegin).await;
        let context = self.context.clone();
        let mut load = Load::new(group, &context);
        let conflicts = context.table.on_conflict != OnConflict::DeadLetter && !load.rows.is_empty();
        let result = if !conflicts && load.rows.len() <= self.statement_rows {
            one_statement(&lease, &context, &load).await
        } else {
            in_transaction(&lease, &context, &mut load, conflicts).await
        };
        if result.is_ok() {
            failpoints::reach(Point::AfterPgCommit).await;
        }
        self.doubt = result.as_ref().is_err_and(|e| e.fault == SinkFault::Contract);
        self.settle(lease, result).await
    }

    /// Keeps the connection after a known end and throws it away after any other.
    async fn settle<T>(&mut self, lease: Lease, result: Result<T, SinkError>) -> Result<T, SinkError> {
        let known = match &result {
            Ok(_) => true,
            Err(e) if e.fault == SinkFault::Data => {
                let rollback = tokio::time::timeout(self.context.call, lease.batch_execute("ROLLBACK"));
                matches!(rollback.await, Ok(Ok(())))
            }
            Err(_) => false,
        };
        if known {
            self.lease = Some(lease);
        }
        result
    }
}

/// Waits for an answer no longer than `limit`; `sent` is read at the end, to tell an open outcome from a sure one.
pub(super) async fn bounded<T>(
    limit: Duration,
    doing: &str,
    sent: &AtomicBool,
    work: impl Future<Output = Result<T, SinkError>>,
) -> Result<T, SinkError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(fault::timed_out(doing, sent.load(Ordering::Relaxed))),
    }
}

async fn one_statement(lease: &Lease, context: &Context, load: &Load<'_>) -> Result<Vec<Moved>, SinkError> {
    let doing = "storing by one statement";
    let sent = AtomicBool::new(false);
    let work = async {
        let failed = |e| fault::sink_error(&e, doing, sent.load(Ordering::Relaxed));
        let table = &context.table;
        let sql = statement::fenced(table, !load.rows.is_empty(), load.dead.count > 0);
        let prepared = lease.prepare_cached(&sql).await.map_err(failed)?;
        let wants = load.wants(context);
        let columns = statement::Columns::new(table, load.rows.iter());
        let mut params = wants.params();
        if !load.rows.is_empty() {
            params.extend(columns.params());
        }
        if load.dead.count > 0 {
            params.extend(load.dead.params());
        }
        load.reach(Point::BeforeDeadLetters).await;
        // From here on a lost connection may hide a commit: the statement commits by itself.
        sent.store(true, Ordering::Relaxed);
        let answer = lease.query(&prepared, &params).await.map_err(|e| uncounted(failed(e)))?;
        load.reach(Point::AfterDeadLetters).await;
        Ok(load.moved(context.passed(&answer)))
    };
    bounded(context.call, doing, &sent, work).await
}

/// The statement ends itself when the counts differ, see [`statement::fenced`].
fn uncounted(error: SinkError) -> SinkError {
    if error.sqlstate.as_deref() == Some("42704") && error.message.contains("large object") {
        return fault::contract(
            "the table took another number of rows than it was given: look for triggers and rules on it".into(),
        );
    }
    error
}

async fn in_transaction(
    lease: &Lease,
    context: &Context,
    load: &mut Load<'_>,
    conflicts: bool,
) -> Result<Vec<Moved>, SinkError> {
    loop {
        let attempt = if conflicts {
            conflict::attempt(lease, context, load).await?
        } else {
            copy::attempt(lease, context, load).await?
        };
        match attempt {
            Attempt::Stored(moved) => return Ok(moved),
            Attempt::Fenced(passed) => {
                load.keep(&passed, context);
                if load.active.is_empty() {
                    return Ok(vec![]);
                }
            }
        }
    }
}

impl Sink for PostgresSink {
    fn store<'a>(&'a mut self, group: &'a Group) -> BoxFuture<'a, Result<Vec<Moved>, SinkError>> {
        Box::pin(self.store_group(group))
    }

    fn marks<'a>(&'a mut self, lanes: &'a [Lane]) -> BoxFuture<'a, Result<Vec<Option<Mark>>, SinkError>> {
        Box::pin(async move {
            let lease = self.lease().await?;
            failpoints::reach(Point::BeforeMarks).await;
            let result = marks::read(&lease, &self.context, lanes).await;
            self.settle(lease, result).await
        })
    }

    fn isolate<'a>(&'a mut self, group: &'a Group) -> BoxFuture<'a, Result<Vec<Guilty>, SinkError>> {
        Box::pin(async move {
            let lease = self.lease().await?;
            failpoints::reach(Point::InIsolate).await;
            let result = isolate::find(&lease, &self.context, group).await;
            self.settle(lease, result).await
        })
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn fence_time(&self) -> Duration {
        Duration::from_micros(self.context.fence_micros.load(Ordering::Relaxed))
    }

    fn copies(&self, group: &Group) -> bool {
        let rows: u64 = group.moves.iter().map(|m| m.counts.stored).sum();
        rows > self.statement_rows as u64
    }
}
