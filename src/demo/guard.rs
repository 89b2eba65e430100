//! Ends a child process and removes its folder when this process is gone, however it went.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

/// `$1` signal, `$2` process, `$3` folder. A reader of a pipe whose only writer is our process: it ends with us.
/// The server gets a moment to leave; what is left is killed.
const WATCH: &str = r#"
cat >/dev/null
kill -s "$1" "$2" 2>/dev/null
kill -s CONT "$2" 2>/dev/null
n=0
while kill -0 "$2" 2>/dev/null && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1; done
kill -s KILL "$2" 2>/dev/null
[ -z "$3" ] || rm -rf -- "$3"
"#;

/// Watches over one child. Unlike `PR_SET_PDEATHSIG` it doesn't care which thread started the child, and it works for a
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
        let watch = Command::new("/bin/sh")
            .args(["-c", WATCH, "guard", signal, &pid.to_string()])
            .arg(folder.unwrap_or(Path::new("")))
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
