//! Sessions of other people on the same database: they hold locks, take connections, end sessions, meet in a deadlock.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Lines;
use std::io::Write;
use std::process::Child;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use super::postgres::Postgres;
use super::wait::until;

const PATIENCE: Duration = Duration::from_secs(40);
const MARK: &str = "--behind-it--";

/// One open session. Dropped: gone, with its locks and its transaction.
pub struct Psql {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Psql {
    pub fn open(postgres: &Postgres, database: &str) -> Psql {
        Psql::try_open(postgres, database).expect("the server takes a session")
    }

    /// Nothing when the server refuses the session.
    pub fn try_open(postgres: &Postgres, database: &str) -> Option<Psql> {
        let mut child = Command::new(postgres.program("psql"))
            .args(["-XqAt", "-U", "postgres", "-p", &postgres.port().to_string(), "-h"])
            .arg(postgres.dir())
            .args(["-d", database])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql runs");
        let input = child.stdin.take().expect("it was piped");
        let output = BufReader::new(child.stdout.take().expect("it was piped")).lines();
        let mut psql = Psql { child, input, output };
        psql.rest_after("SELECT 1").map(|_| psql)
    }

    /// Runs SQL and returns what it prints; errors of the server print nothing.
    pub fn run(&mut self, sql: &str) -> String {
        self.rest_after(sql).expect("the session is open")
    }

    /// Runs SQL without waiting for it. [`Psql::rest`] waits.
    pub fn send(&mut self, sql: &str) {
        // An ended session is told by the next answer.
        let _ = writeln!(self.input, "{sql};\n\\echo {MARK}");
    }

    /// Runs SQL that may not come to its end: nothing when the session ended meanwhile.
    pub fn rest_after(&mut self, sql: &str) -> Option<String> {
        self.send(sql);
        self.rest()
    }

    /// What is printed until all that was sent is done; nothing when the session has ended.
    pub fn rest(&mut self) -> Option<String> {
        let mut lines = vec![];
        loop {
            let line = self.output.next()?.ok()?;
            if line == MARK {
                return Some(lines.join("\n"));
            }
            lines.push(line);
        }
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Locks a table as a migration does, until dropped.
pub fn lock_table(postgres: &Postgres, database: &str, table: &str) -> Psql {
    let mut session = Psql::open(postgres, database);
    session.run(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
    session
}

/// Waits until somebody waits for a lock in this database.
pub fn until_blocked(postgres: &Postgres, database: &str) {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut watcher = Psql::open(postgres, database);
    until("somebody to wait for a lock", PATIENCE, || (watcher.run(waiting) != "0").then_some(()));
}

/// Takes `first` as others take their second lock and `second` (a table) as they take their first, so that whoever comes
/// meanwhile is caught, and is the one that the server ends: this session waits longer than they do.
pub fn deadlock(postgres: &Postgres, database: &str, first: &str, second: &str) {
    let mut session = Psql::open(postgres, database);
    session.run("SET deadlock_timeout = '60s'");
    session.run(&format!("BEGIN; {first}"));
    until_blocked(postgres, database);
    session.run(&format!("LOCK TABLE {second} IN ACCESS EXCLUSIVE MODE; COMMIT"));
}

/// Takes connections until the server gives no more. They are given back on drop.
pub fn crowd(postgres: &Postgres, database: &str) -> Vec<Psql> {
    std::iter::from_fn(|| Psql::try_open(postgres, database)).collect()
}

/// Ends all other sessions of this database and returns how many there were.
pub fn end_sessions(postgres: &Postgres, database: &str) -> u64 {
    let ended = postgres.psql(database, END_SESSIONS);
    ended.parse().expect("a count")
}

const END_SESSIONS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";

/// All new sessions of this database are read-only, or none is; those that are open end.
pub fn read_only(postgres: &Postgres, database: &str, on: bool) {
    let value = if on { "on" } else { "off" };
    // A read-only session may not alter its database.
    postgres.psql("postgres", &format!("ALTER DATABASE {database} SET default_transaction_read_only = {value}"));
    postgres.psql("postgres", &END_SESSIONS.replace("current_database()", &format!("'{database}'")));
}

/// From now on this role must show a password when it comes over TCP.
pub fn require_password(postgres: &Postgres, role: &str) {
    let file = postgres.dir().join("data/pg_hba.conf");
    let old = std::fs::read_to_string(&file).expect("a server has this file");
    std::fs::write(&file, format!("host all {role} 127.0.0.1/32 scram-sha-256\n{old}")).expect("it can be written");
    postgres.psql("postgres", "SELECT pg_reload_conf()");
}

/// Ends the sessions of a database again and again.
pub struct Terminator {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Terminator {
    /// At this pace, one session after the other.
    pub fn start(postgres: &Postgres, database: &str, pace: Duration) -> Terminator {
        let stop = Arc::<AtomicBool>::default();
        let (told, mut session) = (stop.clone(), Psql::open(postgres, database));
        let one = END_SESSIONS.replace("count(pg_terminate_backend(pid))", "pg_terminate_backend(pid)") + " LIMIT 1";
        let thread = thread::spawn(move || {
            let mut ended = 0;
            while !told.load(SeqCst) {
                ended += u64::from(session.run(&one) == "t");
                thread::sleep(pace);
            }
            ended
        });
        Terminator { stop, thread }
    }

    /// How many sessions it has ended.
    pub fn stop(self) -> u64 {
        self.stop.store(true, SeqCst);
        self.thread.join().expect("its session was left alone")
    }
}
