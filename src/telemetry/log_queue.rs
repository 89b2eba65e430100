//! Log lines wait in a bounded queue for the thread that writes them: a reader of stderr that stands still, or a slow disk behind
//! it, holds nothing up. What finds no room is dropped and counted.

use std::collections::VecDeque;
use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that were dropped since the process began.
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// The queue of the process's log, for [`flush`].
static LOG: OnceLock<LogQueue> = OnceLock::new();

/// The waiting lines. Clones are the same queue.
#[derive(Clone)]
pub struct LogQueue(Arc<Shared>);

struct Shared {
    bytes_max: usize,
    waiting: Mutex<Waiting>,
    filled: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// A line was taken and is not written yet.
    writing: bool,
    dropped: u64,
}

impl LogQueue {
    /// Starts the thread that writes to `out`. At most `bytes_max` bytes wait.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(out: impl Write + Send + 'static, bytes_max: usize) -> io::Result<LogQueue> {
        let shared = Shared { bytes_max, waiting: Mutex::default(), filled: Condvar::new(), written: Condvar::new() };
        let queue = LogQueue(Arc::new(shared));
        let shared = queue.0.clone();
        thread::Builder::new().name("log".into()).spawn(move || write(&shared, out))?;
        Ok(queue)
    }

    /// Makes this the queue that [`flush`] waits for.
    pub fn of_the_process(self) -> LogQueue {
        LOG.get_or_init(|| self).clone()
    }

    /// Waits until everything is written, for `within` at most.
    pub fn flush(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut waiting = self.0.waiting();
        while waiting.writing || !waiting.lines.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            waiting = self.0.written.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Waits until the process's log is written, for `within` at most. Call it before the process ends.
pub fn flush(within: Duration) {
    if let Some(queue) = LOG.get() {
        queue.flush(within);
    }
}

/// How many lines found no room since the process began.
pub fn dropped() -> u64 {
    DROPPED.load(Relaxed)
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes until the process ends.
fn write(shared: &Shared, mut out: impl Write) {
    loop {
        let (line, dropped) = {
            let mut waiting = shared.waiting();
            waiting.writing = false;
            shared.written.notify_all();
            while waiting.lines.is_empty() {
                waiting = shared.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            let line = waiting.lines.pop_front().expect("the loop has just seen one");
            waiting.bytes -= line.len();
            waiting.writing = true;
            (line, std::mem::take(&mut waiting.dropped))
        };
        // Nobody can be told that stderr is gone.
        let _ = out.write_all(&line).and_then(|()| out.flush());
        if dropped > 0 {
            tracing::warn!(lines = dropped, "log lines were dropped: nobody read the log");
        }
    }
}

/// Takes whole lines, one a call, as `tracing_subscriber` writes them.
impl Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.waiting();
        if waiting.bytes + line.len() > self.0.bytes_max {
            waiting.dropped += 1;
            DROPPED.fetch_add(1, Relaxed);
        } else {
            waiting.bytes += line.len();
            waiting.lines.push_back(line.to_vec());
            self.0.filled.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = &'a LogQueue;

    fn make_writer(&'a self) -> &'a LogQueue {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A reader that takes a line whenever it is allowed to.
    struct Slow(mpsc::Receiver<()>, mpsc::Sender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            let _ = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_no_time() {
        let ((go, gate), (seen, lines)) = (mpsc::channel(), mpsc::channel());
        let queue = LogQueue::start(Slow(gate, seen), 100).unwrap();
        let before = dropped();
        for number in 0..50 {
            (&queue).write_all(format!("line {number:04}\n").as_bytes()).unwrap();
        }
        let lost = dropped() - before;
        // Ten of ten bytes wait, and one may be on its way.
        assert!((39..=40).contains(&lost), "{lost}");
        let begun = Instant::now();
        queue.flush(Duration::from_millis(50));
        assert!(begun.elapsed() >= Duration::from_millis(50), "it cannot be written yet");
        (0..50).for_each(|_| go.send(()).unwrap());
        queue.flush(Duration::from_secs(10));
        let written: Vec<Vec<u8>> = lines.try_iter().collect();
        assert_eq!(written.len() as u64, 50 - lost);
        assert_eq!(written[0], b"line 0000\n");
        assert!(written.is_sorted());
    }
}
