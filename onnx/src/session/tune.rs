//! Whether a graph is faster when it gets its rows one by one, as convolutions often are.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::error::RunError;
use crate::session::Feeding;
use crate::session::Session;
use crate::session::worker::Worker;
use crate::value::Value;

/// Rows of the larger run.
const ROWS: usize = 8;
/// Graphs that are quicker than this gain from every row that shares a run.
const QUICK: Duration = Duration::from_micros(50);
/// Time for the comparison, apart from one run of each that may prepare things.
const TRIAL: Duration = Duration::from_millis(200);
/// Pieces of one row must be at least this much faster.
const GAIN: f64 = 0.95;

impl Session {
    /// Compares runs of eight rows with runs of one on copies of the first row of `inputs` (as a worker takes them), and
    /// feeds row by row from now on where that is faster. Quick graphs, and those whose feeding is fixed, are left alone.
    ///
    /// # Errors
    /// If the row cannot be run.
    pub fn tune(self: &Arc<Session>, inputs: &[Value]) -> Result<(), RunError> {
        if self.feeding() != Feeding::Any {
            return Ok(());
        }
        let mut worker = self.worker()?;
        once(&mut worker, inputs, 1)?;
        if once(&mut worker, inputs, 1)? < QUICK || once(&mut worker, inputs, ROWS).is_err() {
            return Ok(());
        }
        let (mut alone, mut together) = (Duration::MAX, Duration::MAX);
        let start = Instant::now();
        // the first turn always ends, however slow the graph is
        for _ in 0..20 {
            alone = alone.min(once(&mut worker, inputs, 1)?);
            together = together.min(once(&mut worker, inputs, ROWS)?);
            if start.elapsed() > TRIAL {
                break;
            }
        }
        let piece = alone.as_secs_f64() * (ROWS as f64) < together.as_secs_f64() * GAIN;
        self.learnt().piece.store(usize::from(piece), Ordering::Relaxed);
        Ok(())
    }

    /// Most rows of one run, where small pieces are faster.
    pub fn piece(&self) -> Option<usize> {
        Some(self.learnt().piece.load(Ordering::Relaxed)).filter(|n| *n > 0)
    }
}

fn once(worker: &mut Worker, inputs: &[Value], rows: usize) -> Result<Duration, RunError> {
    let piece = worker.piece(inputs, 0, rows)?;
    let start = Instant::now();
    worker.raw(piece)?;
    Ok(start.elapsed())
}
