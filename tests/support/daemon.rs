//! The real program as a child process: its settings, signals, health, metrics, log and exit code.

use std::fs;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use tidemill::demo::guard::Guard;

use super::folder::Folder;
use super::folder::tail;
use super::signal;
use super::signal::Signal;
use super::wait::until;

const ANSWER: Duration = Duration::from_secs(5);

/// A running `tidemill`. Killed on drop; its log is printed when the test fails.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
    _guard: Guard,
    ops: SocketAddr,
    folder: Folder,
}

/// How to start a daemon.
#[derive(Debug)]
pub struct Start<'a> {
    /// Names it in messages and folders.
    pub name: &'a str,
    /// Whole text of its configuration file (TOML).
    pub config: &'a str,
    /// Where the configuration tells it to serve health and metrics.
    pub ops: SocketAddr,
    /// Arguments before `-c FILE`; `["run"]` for the daemon proper.
    pub arguments: &'a [&'a str],
    pub environment: &'a [(&'a str, &'a str)],
}

impl Daemon {
    pub fn start(start: &Start<'_>) -> Daemon {
        Daemon::start_program(env!("CARGO_BIN_EXE_tidemill"), start)
    }

    /// As [`Daemon::start`], with a log that nobody reads: a pipe that is full before long.
    pub fn start_unread(start: &Start<'_>) -> Daemon {
        Daemon::spawn(env!("CARGO_BIN_EXE_tidemill"), start, Some(Stdio::piped()))
    }

    /// As [`Daemon::start`], for another program than the one of this build.
    pub fn start_program(program: &str, start: &Start<'_>) -> Daemon {
        Daemon::spawn(program, start, None)
    }

    fn spawn(program: &str, start: &Start<'_>, unread: Option<Stdio>) -> Daemon {
        let folder = Folder::new(start.name);
        let config = folder.join("tidemill.toml");
        fs::write(&config, start.config).expect("the test folder takes a file");
        let log = fs::File::create(folder.join("log")).expect("the test folder takes a file");
        let errors = log.try_clone().expect("a file handle can be copied");
        let child = Command::new(program)
            .args(start.arguments)
            .arg("-c")
            .arg(&config)
            .envs(start.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(unread.unwrap_or_else(|| errors.into()))
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {program}: {e}"));
        let guard = Guard::over(child.id(), "KILL", None).expect("a shell starts");
        Daemon { name: start.name.to_owned(), child, ended: None, _guard: guard, ops: start.ops, folder }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `/readyz` answers 200.
    pub fn wait_until_ready(&mut self, patience: Duration) {
        until(&format!("{} to be ready", self.name), patience, || {
            assert!(self.exit().is_none(), "{} ended before it was ready: {:?}", self.name, self.ended);
            matches!(get(self.ops, "/readyz"), Ok((200, _))).then_some(())
        });
    }

    /// Status and body of a page of the ops listener.
    ///
    /// # Errors
    /// When nothing listens, or no whole answer comes within 5 s.
    pub fn get(&self, path: &str) -> io::Result<(u16, String)> {
        get(self.ops, path)
    }

    /// The sum of a metric over all its label sets; `None` when the page doesn't have it or can't be read.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metric_with(name, &[])
    }

    /// The sum of a metric over the label sets that contain all of `labels`, each written `name="value"`.
    pub fn metric_with(&self, name: &str, labels: &[&str]) -> Option<f64> {
        match get(self.ops, "/metrics") {
            Ok((200, page)) => metric(&page, name, labels),
            _ => None,
        }
    }

    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            signal::send(&self.child, signal);
        }
    }

    /// How it ended, if it has.
    pub fn exit(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be asked");
        }
        self.ended
    }

    /// Waits for the end; panics after `patience`.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let name = self.name.clone();
        until(&format!("{name} to end"), patience, || self.exit())
    }

    /// The whole log so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.exit().is_none() {
            signal::send(&self.child, Signal::Kill);
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.name, tail(&self.log_path(), 60));
        }
    }
}

/// One GET over a connection of its own, without a client library between the test and the answer.
pub fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    // HTTP/1.0: the body is never chunked and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut bytes = vec![];
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(bad)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(bad)?;
    Ok((status, body.to_owned()))
}

/// The sum of a metric on a page in Prometheus' text format.
pub fn metric(page: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let mut sum = None;
    for line in page.lines().filter(|l| !l.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (found, set) = series.split_once('{').unwrap_or((series, ""));
        if found == name
            && labels.iter().all(|l| set.contains(l))
            && let Ok(value) = value.parse::<f64>()
        {
            sum = Some(sum.unwrap_or(0.0) + value);
        }
    }
    sum
}
