//! A throwaway PostgreSQL cluster for tests: in a temporary folder, on a free port, gone when the last user drops it.
//!
//! `Postgres::shared()` gives every test of a process the same cluster (each makes a database of its own in it);
//! `Postgres::start()` gives one that may be stopped and started. A shell stands between the test and the server and
//! stops it when the test process dies, however it dies.

#![allow(dead_code)]

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::chown;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::Weak;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

static COUNT: AtomicU32 = AtomicU32::new(0);
static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

/// How a cluster is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Whether commits wait for the disk.
    pub fsync: bool,
    /// Further settings, as `name=value`.
    pub settings: Vec<String>,
    /// Further arguments of `initdb`.
    pub initdb: Vec<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Setup { fsync: true, settings: vec![], initdb: vec![] }
    }
}

/// A running (or stopped) cluster. Superuser `postgres`, no passwords.
pub struct Postgres {
    dir: PathBuf,
    bin: PathBuf,
    port: u16,
    setup: Setup,
    keeper: Mutex<Option<Child>>,
}

impl Postgres {
    /// A cluster of one's own, with fsync.
    pub fn start() -> Postgres {
        Postgres::with(Setup::default())
    }

    /// The cluster that all tests of this process share; without fsync.
    pub fn shared() -> Arc<Postgres> {
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let settings = vec!["max_connections=300".into()];
        let made = Arc::new(Postgres::with(Setup { fsync: false, settings, ..Setup::default() }));
        *shared = Arc::downgrade(&made);
        made
    }

    pub fn with(setup: Setup) -> Postgres {
        Postgres::made(setup, |bin, data, setup| {
            let mut initdb = as_server(&bin.join("initdb"));
            initdb.args(["-U", "postgres", "--auth=trust", "--no-locale", "-E", "UTF8", "--no-sync", "-D"]).arg(data);
            initdb.args(&setup.initdb);
            initdb
        })
    }

    /// A cluster whose data folder is made by the command that `maker` returns, run as the server's user.
    pub fn made(setup: Setup, maker: impl FnOnce(&Path, &Path, &Setup) -> Command) -> Postgres {
        let bin = find_bin();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tidemill-pg-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("the temporary folder is writable");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o711)).expect("it is ours");
        give_to_server(&dir);
        let out = maker(&bin, &dir.join("data"), &setup).current_dir("/").output().expect("the server's programs run");
        assert!(out.status.success(), "no data folder: {}", String::from_utf8_lossy(&out.stderr));
        let postgres = Postgres { dir, bin, port: free_port(), setup, keeper: Mutex::new(None) };
        postgres.start_again();
        postgres
    }

    /// Connection URL of a database over TCP, as superuser.
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", database)
    }

    pub fn url_as(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Folder of the cluster; its unix socket lies in it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a database with a name of its own and returns the name.
    pub fn create_database(&self) -> String {
        let name = format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// A copy of a database to which nobody is connected, under a name of its own.
    pub fn create_database_like(&self, template: &str) -> String {
        let name = format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed));
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        name
    }

    /// Runs SQL and returns what it prints: unaligned, without headings.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// The same; an error of the server is its text.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let out = Command::new(self.bin.join("psql"))
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-p", &self.port.to_string(), "-h"])
            .arg(&self.dir)
            .args(["-d", database, "-c", sql])
            .output()
            .expect("psql runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
    }

    /// Stops like a crash: no checkpoint, connections are cut.
    pub fn stop_immediate(&self) {
        self.stop("immediate");
    }

    /// Stops in an orderly way, ending all sessions.
    pub fn stop_fast(&self) {
        self.stop("fast");
    }

    /// SIGKILL of the postmaster; returns when its children have noticed and are gone too.
    pub fn kill(&self) {
        let text = fs::read_to_string(self.dir.join("data/postmaster.pid")).expect("a running server has this file");
        let postmaster = text.lines().next().expect("a process id").to_owned();
        let out = Command::new("pgrep").args(["-P", &postmaster]).output().expect("pgrep runs");
        let children = String::from_utf8_lossy(&out.stdout).into_owned();
        let killed = Command::new("kill").args(["-s", "KILL", &postmaster]).status().expect("kill runs");
        assert!(killed.success(), "postmaster {postmaster} cannot be killed");
        self.stop("immediate");
        let started = Instant::now();
        while children.lines().any(|pid| Path::new("/proc").join(pid).exists()) {
            assert!(started.elapsed() < Duration::from_secs(30), "children of a killed postmaster stay");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Path of one of the client programs, such as `psql`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    fn stop(&self, mode: &str) {
        let Some(mut keeper) = self.keeper.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() else {
            return;
        };
        let stdin = keeper.stdin.as_mut().expect("the keeper was given a pipe");
        let _ = stdin.write_all(format!("{mode}\n").as_bytes());
        keeper.wait().expect("the keeper ends after the server");
    }

    /// Starts a stopped cluster on the same port with the same data, and waits until it answers.
    pub fn start_again(&self) {
        // `read` ends at a word from us or at the end of the test process; in that case the folder goes too.
        const KEEPER: &str = r#"d=$1; shift
            "$@" >"$d/log" 2>&1 </dev/null & p=$!
            read -r how
            case "$how" in immediate) s=QUIT;; *) s=INT;; esac
            kill -$s $p; wait $p
            if [ -z "$how" ]; then rm -rf "$d"; fi"#;
        let server = as_server(&self.bin.join("postgres"));
        let mut keeper = Command::new("sh");
        keeper.arg("-c").arg(KEEPER).arg("keeper").arg(&self.dir).arg(server.get_program()).args(server.get_args());
        keeper
            .arg("-D")
            .arg(self.dir.join("data"))
            .args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-k"])
            .arg(&self.dir);
        let fsync = if self.setup.fsync { "fsync=on" } else { "fsync=off" };
        for setting in [fsync, "shared_buffers=32MB", "max_wal_size=256MB"]
            .into_iter()
            .chain(self.setup.settings.iter().map(|s| &s[..]))
        {
            keeper.args(["-c", setting]);
        }
        let child = keeper.current_dir("/").stdin(Stdio::piped()).spawn().expect("sh runs");
        *self.keeper.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(child);
        let started = Instant::now();
        while self.try_psql("postgres", "SELECT 1").is_err() {
            let log = || fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(60), "the server does not answer:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop("immediate");
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Server programs refuse to run as root: then they run as the user `postgres`.
pub fn as_server(program: &Path) -> Command {
    match server_user() {
        None => Command::new(program),
        Some((uid, gid)) => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]).arg(program);
            command
        }
    }
}

/// Makes the server's user the owner.
pub fn give_to_server(path: &Path) {
    if let Some((uid, gid)) = server_user() {
        chown(path, Some(uid), Some(gid)).expect("root may give it away");
    }
}

/// User and group id of `postgres` when this process is root.
fn server_user() -> Option<(u32, u32)> {
    let id = |args: &[&str]| -> Option<u32> {
        String::from_utf8(Command::new("id").args(args).output().ok()?.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"])? != 0 {
        return None;
    }
    let user = id(&["-u", "postgres"]).expect("root needs a user `postgres` to run the server as: install postgresql");
    Some((user, id(&["-g", "postgres"]).expect("a user has a group")))
}

/// `PG_BIN`, or the newest of Debian's folders, or what `pg_config` says.
fn find_bin() -> PathBuf {
    if let Some(bin) = std::env::var_os("PG_BIN") {
        return bin.into();
    }
    let version = |p: &PathBuf| p.parent().and_then(|p| p.file_name()?.to_str()?.parse::<u32>().ok());
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin"));
    if let Some(bin) = debian.filter(|b| b.join("initdb").exists()).max_by_key(version) {
        return bin;
    }
    let out = Command::new("pg_config").arg("--bindir").output();
    let out = out.expect("PostgreSQL's server programs are needed: install postgresql or set PG_BIN");
    PathBuf::from(String::from_utf8_lossy(&out.stdout).trim())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}
