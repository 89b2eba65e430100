//! Faults of the database and of the way to it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::bench::Bench;
use crate::bench::DATABASE;
use crate::db::Db;
use crate::fault::Fault as Kind;
use crate::journal::Journal;
use crate::schedule::Detail;
use crate::support::proxy::Fault;
use crate::support::proxy::Proxy;
use crate::support::proxy::Way;

const ANSWER: Duration = Duration::from_secs(5);
/// Longest wait for a commit that a fault waits for.
const PATIENCE: Duration = Duration::from_secs(12);
const TERMINATE: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tidemill-%'";
const DEADLOCKS: &str = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";

/// Serialization, deadlock, too many connections, shutting down, out of memory, disk full, cannot connect now, no permission.
const RAISED: [&str; 9] = ["40001", "40P01", "53300", "57P01", "53200", "53100", "57P03", "42501", "55P03"];

pub struct Databases {
    pub bench: Arc<Bench>,
    pub journal: Arc<Journal>,
}

impl Databases {
    pub fn cause(&self, fault: Kind, detail: &mut Detail) -> Result<String, String> {
        let postgres = self.bench.servers.primary();
        match fault {
            Kind::RestartFast => self.restart(detail, || postgres.stop_fast()),
            Kind::RestartImmediate => self.restart(detail, || postgres.stop_immediate()),
            Kind::Terminate => {
                let ended = self.db()?.query(TERMINATE, &[])?.len();
                Ok(format!("{ended} sessions"))
            }
            Kind::ReadOnly => self.read_only(detail),
            Kind::LockTable => {
                let table = detail.of(&["public.scores", "tidemill.progress", "tidemill.dead_letter"]);
                self.hold(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"), detail)
                    .map(|t| format!("{table} {t}"))
            }
            Kind::LockRows => self.hold("SELECT FROM tidemill.progress FOR UPDATE", detail),
            Kind::Deadlock => self.deadlock(),
            Kind::ConnectionLimit => self.connection_limit(detail),
            Kind::CutBeforeCommit => self.on_commit(Fault::CutBefore, detail),
            Kind::CutAfterCommit => self.on_commit(Fault::CutAfter, detail),
            Kind::Silence => self.on_commit(Fault::Silence, detail),
            Kind::Late => {
                let (delay, time) = (detail.between(0.02, 0.3), detail.between(2.0, 5.0));
                self.on_way(detail, time, |p| p.set_delay(delay), |p| p.set_delay(Duration::ZERO))
            }
            Kind::PostgresGone => {
                let time = detail.between(1.0, 7.0);
                self.on_way(detail, time, |p| p.down(), |p| p.accept())
            }
            Kind::PostgresFrozen => {
                let (way, time) = (detail.of(&[Way::ToServer, Way::ToClient]), detail.between(1.0, 9.0));
                self.on_way(detail, time, |p| p.freeze(way), |p| p.thaw())
            }
            Kind::Raised => self.raise(detail),
            Kind::FailOver => self.fail_over(detail),
            other => Err(format!("{} is no fault of the database", other.name())),
        }
    }

    /// Some statements of one process in a row are answered by an error of the server.
    fn raise(&self, detail: &mut Detail) -> Result<String, String> {
        let (slot, times, code) = (detail.below(3), 1 + detail.below(5) as u32, detail.of(&RAISED));
        let proxy = &self.bench.proxies[slot];
        let before = proxy.fired();
        proxy.on_statements(
            detail.of(&["with fence", "update tidemill.progress", "commit"]),
            0,
            times,
            Fault::Error(code),
        );
        thread::sleep(Duration::from_secs(5));
        proxy.disarm();
        let fired = proxy.fired() - before;
        let text = format!("{fired} times {code} in slot {slot}");
        if fired > 0 { Ok(text) } else { Err(text) }
    }

    fn fail_over(&self, detail: &mut Detail) -> Result<String, String> {
        let lag = detail.between(0.2, 2.0);
        let lost =
            self.bench.servers.fail_over(DATABASE, lag, |marks, lost| self.journal.rewind(marks, lost as u64))?;
        Ok(format!("{lost} offsets lost"))
    }

    fn db(&self) -> Result<Db, String> {
        self.bench.db(ANSWER)
    }

    fn restart(&self, detail: &mut Detail, stop: impl Fn()) -> Result<String, String> {
        let away = detail.between(0.0, 4.0);
        stop();
        thread::sleep(away);
        self.bench.servers.primary().start_again();
        Ok(format!("down for {away:.1?}"))
    }

    fn read_only(&self, detail: &mut Detail) -> Result<String, String> {
        let (db, time) = (self.db()?, detail.between(1.0, 5.0));
        // Each by itself: ALTER SYSTEM takes no company.
        db.run("SET default_transaction_read_only = off")?;
        db.run("ALTER SYSTEM SET default_transaction_read_only = on")?;
        db.query("SELECT pg_reload_conf()", &[])?;
        thread::sleep(time);
        db.run("ALTER SYSTEM RESET default_transaction_read_only")?;
        db.query("SELECT pg_reload_conf()", &[])?;
        Ok(format!("for {time:.1?}"))
    }

    /// A transaction of somebody else that keeps its locks for a while.
    fn hold(&self, lock: &str, detail: &mut Detail) -> Result<String, String> {
        let (db, time) = (self.db()?, detail.between(0.5, 6.0));
        db.run("BEGIN")?;
        db.run(lock)?;
        thread::sleep(time);
        db.run("ROLLBACK")?;
        Ok(format!("for {time:.1?}"))
    }

    /// Locks rows in the other order than the writers do, until the server has broken a deadlock.
    fn deadlock(&self) -> Result<String, String> {
        let (db, look) = (self.db()?, self.db()?);
        let before = look.number(DEADLOCKS)?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            db.run("BEGIN")?;
            // Who waits for this row holds others meanwhile; who is the victim is the server's choice.
            let last = "SELECT FROM tidemill.progress WHERE partition = (SELECT max(partition) FROM tidemill.progress)";
            db.run(&format!("{last} FOR UPDATE"))?;
            thread::sleep(Duration::from_millis(300));
            let _ = db.run("SELECT FROM tidemill.progress ORDER BY partition FOR UPDATE");
            db.run("ROLLBACK")?;
            // Statistics come a little later.
            thread::sleep(Duration::from_millis(100));
            let found = look.number(DEADLOCKS)? - before;
            if found > 0 {
                return Ok(format!("{found} were broken"));
            }
        }
        Err(format!("none came about in {PATIENCE:?}"))
    }

    fn connection_limit(&self, detail: &mut Detail) -> Result<String, String> {
        let (db, time) = (self.db()?, detail.between(1.0, 5.0));
        db.run("ALTER ROLE mill CONNECTION LIMIT 0")?;
        db.query(TERMINATE, &[])?;
        thread::sleep(time);
        db.run("ALTER ROLE mill CONNECTION LIMIT -1")?;
        Ok(format!("for {time:.1?}"))
    }

    /// One or all of the ways, for a time.
    fn on_way(
        &self,
        detail: &mut Detail,
        time: Duration,
        break_it: impl Fn(&Proxy),
        mend: impl Fn(&Proxy),
    ) -> Result<String, String> {
        let proxies = &self.bench.proxies;
        let (all, one) = (detail.below(2) == 0, detail.below(3));
        let chosen = if all { &proxies[..] } else { &proxies[one..=one] };
        chosen.iter().for_each(&break_it);
        thread::sleep(time);
        chosen.iter().for_each(mend);
        Ok(format!("{} for {time:.1?}", if all { "all".to_owned() } else { format!("slot {one}") }))
    }

    /// The next commit of one process, whichever form it has.
    fn on_commit(&self, fault: Fault, detail: &mut Detail) -> Result<String, String> {
        let (slot, single) = (detail.below(3), detail.below(2) == 0);
        let proxy = &self.bench.proxies[slot];
        let before = proxy.fired();
        if single {
            proxy.on_statement("with fence", 0, fault);
        } else {
            proxy.on_commit(0, fault);
        }
        let armed = Instant::now();
        while proxy.fired() == before && armed.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
        let text = format!("{} in slot {slot}", if single { "one statement" } else { "COMMIT" });
        if proxy.fired() == before {
            proxy.disarm();
            return Err(format!("{text}: none came in {PATIENCE:?}"));
        }
        Ok(text)
    }
}
