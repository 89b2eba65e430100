//! A throwaway Postgres cluster: made, started and removed with its owner.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::guard::Guard;
use super::ports::free_port;

/// Longest wait for the server to accept connections or to leave.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(
        "no PostgreSQL server programs (initdb, postgres) in PATH or /usr/lib/postgresql/*/bin; \
         on Debian install them with `apt-get install postgresql`"
    )]
    NotInstalled,
    #[error("postgres refuses to run as root and there is neither a user `postgres` nor a user `nobody` to run it as")]
    NoUser,
    #[error("{program} failed ({status}): {output}")]
    Program { program: &'static str, status: String, output: String },
    #[error("postgres did not come up: {reason}; its log ends with: {log}")]
    Start { reason: &'static str, log: String },
    #[error("cannot {what} {path}: {source}")]
    File { what: &'static str, path: String, source: io::Error },
    #[error("no random bytes for the password: {0}")]
    Random(getrandom::Error),
}

/// How the cluster is to be.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// Lines for the server's configuration, such as `("max_connections", "50")`; they win over ours.
    pub settings: Vec<(String, String)>,
    /// Skips fsync: quicker, but what is measured is no longer what a real server does, and a power cut loses it all.
    pub careless: bool,
}

/// A running cluster with the superuser `postgres`. Stopped and removed on drop, and also when this process is killed.
///
/// Over TCP it asks for a password (it is inside [`Cluster::url`]); through its socket folder, which only the server's
/// user and root can enter, it asks for none.
#[derive(Debug)]
pub struct Cluster {
    bin: PathBuf,
    folder: PathBuf,
    user: Option<User>,
    port: u16,
    password: String,
    server: Option<Server>,
    /// For the time in which no server runs; while one does, its own guard removes the folder behind it.
    _guard: Guard,
}

/// Order matters: the guard goes after the child was waited for.
#[derive(Debug)]
struct Server {
    child: Child,
    _guard: Guard,
}

/// Whom the server runs as, when we are root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl Cluster {
    /// Makes a new cluster in the folder for temporary files and starts it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the programs are missing, or `initdb` or the server's start fails; nothing is left behind then.
    pub fn start(options: &ClusterOptions) -> Result<Cluster, ClusterError> {
        let bin = programs().ok_or(ClusterError::NotInstalled)?;
        let password = password()?;
        let folder = new_folder()?;
        let guard = Guard::over_folder(&folder).map_err(file("guard", &folder))?;
        let mut cluster = Cluster { bin, folder, user: None, port: 0, password, server: None, _guard: guard };
        // From here on drop cleans up.
        cluster.user = server_user(&cluster.folder)?;
        if let Some(user) = cluster.user {
            chown(&cluster.folder, Some(user.uid), Some(user.gid)).map_err(file("chown", &cluster.folder))?;
        }
        cluster.init()?;
        cluster.port = free_port().map_err(file("find a free port for", &cluster.folder))?;
        cluster.configure(options)?;
        cluster.resume()?;
        Ok(cluster)
    }

    /// The TCP port on 127.0.0.1; it stays the same over [`Cluster::stop`] and [`Cluster::resume`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Folder of the server's unix socket.
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// Connection string with the password, over TCP.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// A command that opens `psql` on this machine without a password, for people.
    pub fn psql(&self, database: &str) -> String {
        format!("psql -h {} -p {} -U postgres {database}", self.folder.display(), self.port)
    }

    /// Process id of the postmaster while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(|s| s.child.id())
    }

    /// The last lines of the server's log.
    pub fn log_tail(&self) -> String {
        tail(&self.folder.join("log"), 20)
    }

    /// Starts the stopped server again, over the same data and port.
    ///
    /// # Errors
    /// When it does not accept connections within a minute.
    pub fn resume(&mut self) -> Result<(), ClusterError> {
        let path = self.folder.join("log");
        let log = fs::File::options().create(true).append(true).open(&path).map_err(file("open", &path))?;
        let errors = log.try_clone().map_err(file("open", &path))?;
        let child = self
            .command("postgres")
            .args(["-D", "data"])
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(file("start", &self.bin.join("postgres")))?;
        let guard = Guard::over(child.id(), "INT", Some(&self.folder)).map_err(file("guard", &self.folder));
        match guard {
            Ok(guard) => self.server = Some(Server { child, _guard: guard }),
            Err(error) => {
                self.server = None;
                end(child);
                return Err(error);
            }
        }
        self.wait_until_ready()
    }

    /// Stops the server: sessions are ended, what was committed is kept.
    ///
    /// # Errors
    /// When `pg_ctl` says that the server did not leave within a minute.
    pub fn stop(&mut self) -> Result<(), ClusterError> {
        self.stop_as("fast")
    }

    /// Stops the server as a crash would: no checkpoint, so the next start recovers from its log.
    ///
    /// # Errors
    /// As [`Cluster::stop`].
    pub fn crash(&mut self) -> Result<(), ClusterError> {
        self.stop_as("immediate")
    }

    fn stop_as(&mut self, mode: &str) -> Result<(), ClusterError> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        if matches!(server.child.try_wait(), Ok(Some(_))) {
            return Ok(());
        }
        let stopped = self.run("pg_ctl", &["stop", "-D", "data", "-m", mode, "-w", "-t", "60"]);
        if stopped.is_err() {
            let _ = server.child.kill();
        }
        let _ = server.child.wait();
        stopped
    }

    fn init(&self) -> Result<(), ClusterError> {
        let path = self.folder.join("password");
        fs::write(&path, &self.password).map_err(file("write", &path))?;
        if let Some(user) = self.user {
            chown(&path, Some(user.uid), Some(user.gid)).map_err(file("chown", &path))?;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(file("protect", &path))?;
        self.run(
            "initdb",
            &[
                "--pgdata=data",
                "--username=postgres",
                "--pwfile=password",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
        )
    }

    fn configure(&self, options: &ClusterOptions) -> Result<(), ClusterError> {
        let mut text = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nunix_socket_permissions = 0700\n",
            self.port,
            self.folder.display()
        );
        if options.careless {
            text.push_str("fsync = off\nfull_page_writes = off\nsynchronous_commit = off\n");
        }
        for (name, value) in &options.settings {
            text.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        let path = self.folder.join("data/postgresql.auto.conf");
        fs::write(&path, text).map_err(file("write", &path))
    }

    /// The server writes `ready` into the eighth line of its pid file; a TCP connection would succeed earlier.
    fn wait_until_ready(&mut self) -> Result<(), ClusterError> {
        let path = self.folder.join("data/postmaster.pid");
        let deadline = Instant::now() + PATIENCE;
        let pid = self.pid().unwrap_or_default().to_string();
        loop {
            let status = fs::read_to_string(&path).unwrap_or_default();
            let mut lines = status.lines();
            if lines.next() == Some(pid.as_str()) && lines.nth(6).is_some_and(|l| l.trim() == "ready") {
                return Ok(());
            }
            let ended = self.server.as_mut().is_none_or(|s| !matches!(s.child.try_wait(), Ok(None)));
            if ended || Instant::now() > deadline {
                let reason = if ended { "it ended at once" } else { "it was not ready within a minute" };
                return Err(ClusterError::Start { reason, log: self.log_tail() });
            }
            thread::sleep(POLL);
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(&self.folder).env("LC_ALL", "C").env_remove("PGDATA").stdin(Stdio::null());
        // Ctrl-C on a terminal goes to the whole foreground group, and the server has to outlive the drain.
        command.process_group(0);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    fn run(&self, program: &'static str, arguments: &[&str]) -> Result<(), ClusterError> {
        let output = self.command(program).args(arguments).output().map_err(file("start", &self.bin.join(program)))?;
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        Err(ClusterError::Program {
            program,
            status: output.status.to_string(),
            output: String::from_utf8_lossy(&text).trim().to_owned(),
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nobody needs the data any more.
        let _ = self.stop_as("immediate");
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.display().to_string();
    move |source| ClusterError::File { what, path, source }
}

/// The folder that holds the server's programs: the first in PATH, else the newest of Debian's.
fn programs() -> Option<PathBuf> {
    let complete = |dir: &PathBuf| ["initdb", "postgres", "pg_ctl"].iter().all(|p| dir.join(p).is_file());
    let path = env::var_os("PATH").unwrap_or_default();
    if let Some(found) = env::split_paths(&path).find(complete) {
        return Some(found);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let number = |dir: &Path| dir.file_name()?.to_str()?.parse::<u32>().ok();
    let mut found: Vec<(u32, PathBuf)> =
        versions.filter_map(|v| Some((number(&v.path())?, v.path().join("bin")))).filter(|v| complete(&v.1)).collect();
    found.sort();
    found.pop().map(|v| v.1)
}

/// Whom to run the server as: ourselves, unless we are root (told by the owner of a folder that we just made).
fn server_user(ours: &Path) -> Result<Option<User>, ClusterError> {
    if fs::metadata(ours).map_err(file("look at", ours))?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    ["postgres", "nobody"].iter().find_map(|name| find_user(&users, name)).map(Some).ok_or(ClusterError::NoUser)
}

fn find_user(passwd: &str, name: &str) -> Option<User> {
    let line = passwd.lines().find(|l| l.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let user = User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? };
    (user.uid != 0).then_some(user)
}

/// A new folder that the server's user can reach. Its path is also the socket's, whose length is limited to 107 bytes.
fn new_folder() -> Result<PathBuf, ClusterError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("tidemill-postgres-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let temporary = env::temp_dir();
    let base = if temporary.as_os_str().len() > 50 { PathBuf::from("/tmp") } else { temporary };
    let folder = base.join(name);
    // A killed process of this number may have left one.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).map_err(file("create", &folder))?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(file("protect", &folder))?;
    Ok(folder)
}

fn password() -> Result<String, ClusterError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(ClusterError::Random)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_and_root_is_not_one() {
        let passwd = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nzero:x:0:0::/:/bin/sh\n";
        assert_eq!(find_user(passwd, "nobody"), Some(User { uid: 65534, gid: 65534 }));
        assert_eq!(find_user(passwd, "postgres"), None);
        assert_eq!(find_user(passwd, "zero"), None);
    }

    async fn count(url: &str) -> i64 {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("CREATE TABLE IF NOT EXISTS t (n int8)").await.unwrap();
        client.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
        client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0)
    }

    #[test]
    fn a_cluster_starts_survives_a_crash_and_leaves_nothing() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let options = ClusterOptions { settings: vec![("max_connections".into(), "13".into())], careless: false };
        let mut cluster = Cluster::start(&options).unwrap();
        let (folder, url) = (cluster.folder.clone(), cluster.url("postgres"));
        assert_eq!(runtime.block_on(count(&url)), 1);
        cluster.crash().unwrap();
        assert!(std::net::TcpStream::connect(("127.0.0.1", cluster.port())).is_err());
        cluster.resume().unwrap();
        assert_eq!(runtime.block_on(count(&url)), 2);
        cluster.stop().unwrap();
        cluster.resume().unwrap();
        assert_eq!(runtime.block_on(count(&url)), 3);

        let shown = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client.query_one("SHOW max_connections", &[]).await.unwrap().get::<_, String>(0)
        });
        assert_eq!(shown, "13");
        let wrong = url.replace(&cluster.password, "wrong");
        assert!(runtime.block_on(tokio_postgres::connect(&wrong, tokio_postgres::NoTls)).is_err());
        drop(cluster);
        assert!(!folder.exists());
    }

    #[test]
    fn a_bad_setting_is_reported_with_the_servers_own_words() {
        let options = ClusterOptions { settings: vec![("no_such_setting".into(), "1".into())], careless: true };
        let error = Cluster::start(&options).unwrap_err().to_string();
        assert!(error.contains("ended at once") && error.contains("no_such_setting"), "{error}");
    }
}
