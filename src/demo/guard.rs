//! Ends a child process and removes a folder when this process is gone, however it went.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

/// `$1` folder or nothing, `$2` signal, `$3` process or nothing. A reader of a pipe whose only writer is our process: it
/// ends with us. The child gets a moment to leave; what is left is killed.
/// A program that still writes into the folder can make its removal fail for a while.
const WATCH: &str = r#"
cat >/dev/null
if [ -n "$3" ]; then
    kill -s "$2" "$3" 2>/dev/null
    kill -s CONT "$3" 2>/dev/null
    n=0
    while kill -0 "$3" 2>/dev/null && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1; done
    kill -s KILL "$3" 2>/dev/null
fi
n=0
while [ -n "$1" ] && ! rm -rf -- "$1" && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.1; done
"#;

/// Watches over one child or folder. Unlike `PR_SET_PDEATHSIG` it doesn't care which thread started the child, and it works for a
/// child that is kept in a static, which is never dropped.
///
/// Drop it only after the child was waited for: from then on the process id may belong to someone else.
#[derive(Debug)]
pub struct Guard {
    watch: Child,
}

impl Guard {
    /// Sends `signal` (a name such as `INT`) to process `pid` once this process has ended, and then removes `folder`.
    ///
    /// # Errors
    /// When no shell can be started.
    pub fn over(pid: u32, signal: &str, folder: Option<&Path>) -> io::Result<Guard> {
        Guard::start(folder, &[signal, &pid.to_string()])
    }

    /// Removes `folder` once this process has ended.
    ///
    /// # Errors
    /// As [`Guard::over`].
    pub fn over_folder(folder: &Path) -> io::Result<Guard> {
        Guard::start(Some(folder), &[])
    }

    fn start(folder: Option<&Path>, child: &[&str]) -> io::Result<Guard> {
        let watch = Command::new("/bin/sh")
            .args(["-c", WATCH, "guard"])
            .arg(folder.unwrap_or(Path::new("")))
            .args(child)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            // Ctrl-C on a terminal goes to the whole foreground group; the guard has to outlive it.
            .process_group(0)
            .spawn()?;
        Ok(Guard { watch })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The pipe is still open, so the shell has not acted; `cat` ends with the pipe right after.
        let _ = self.watch.kill();
        let _ = self.watch.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::thread;
    use std::time::Duration;
    use std::time::Instant;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tidemill-guard-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn the_end_of_the_pipe_ends_the_child_and_its_folder() {
        let (mut child, dir) = (sleeper(), folder("ends"));
        let mut guard = Guard::over(child.id(), "TERM", Some(&dir)).unwrap();
        // What the kernel does when this process ends.
        drop(guard.watch.stdin.take());
        assert!(!child.wait().unwrap().success());
        let deadline = Instant::now() + Duration::from_secs(20);
        while dir.exists() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        assert!(!dir.exists());
    }

    #[test]
    fn a_folder_alone_is_removed() {
        let dir = folder("alone");
        let mut guard = Guard::over_folder(&dir).unwrap();
        drop(guard.watch.stdin.take());
        assert!(guard.watch.wait().unwrap().success());
        assert!(!dir.exists());
    }

    #[test]
    fn a_dropped_guard_does_nothing() {
        let (mut child, dir) = (sleeper(), folder("drops"));
        drop(Guard::over(child.id(), "TERM", Some(&dir)).unwrap());
        thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().unwrap().is_none());
        assert!(dir.exists());
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir(&dir).unwrap();
    }
}
