//! One run of the program on a site's configuration, with what it printed.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use serde_json::Value;

use crate::site::Site;
use crate::support::folder::Folder;

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A command that runs.
pub struct Started {
    pub child: Child,
    line: String,
    _folder: Folder,
}

/// Starts the program with these arguments on the site's configuration.
pub fn start(site: &Site<'_>, arguments: &[&str]) -> Started {
    let folder = Folder::new("command");
    let config = folder.join("tidemill.toml");
    let nobody_listens = SocketAddr::from(([127, 0, 0, 1], 0));
    fs::write(&config, site.config(nobody_listens)).expect("the test folder takes a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.args(arguments).arg("-c").arg(&config);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let line = format!("tidemill {}", arguments.join(" "));
    Started { child: child.expect("the program of this build starts"), line, _folder: folder }
}

impl Started {
    pub fn wait(self) -> Ran {
        let done = self.child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it speaks UTF-8");
        let ran = Ran { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) };
        // With TIDEMILL_TRANSCRIPT=FILE the examples of docs/operations.md can be taken from a run of the tests.
        if let Some(path) = std::env::var_os("TIDEMILL_TRANSCRIPT") {
            let file = fs::OpenOptions::new().create(true).append(true).open(path);
            let text = format!("$ {}\n{}{}\n", self.line, ran.out, ran.err);
            file.and_then(|mut f| f.write_all(text.as_bytes())).expect("the transcript can be written");
        }
        ran
    }
}

/// Runs it to its end.
pub fn run(site: &Site<'_>, arguments: &[&str]) -> Ran {
    start(site, arguments).wait()
}

impl Ran {
    /// Fails the test unless the exit code is this and the output holds all the parts.
    #[track_caller]
    pub fn says(&self, code: i32, parts: &[&str]) -> &Ran {
        assert_eq!(self.code, Some(code), "{self}");
        let all = format!("{}{}", self.out, self.err);
        for part in parts {
            assert!(all.contains(part), "{part:?} is not in\n{self}");
        }
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self}");
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e} in\n{self}"))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.out, self.err)
    }
}
