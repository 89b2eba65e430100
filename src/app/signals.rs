//! SIGTERM and SIGINT: the first asks, the second insists (promise P7).

use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

pub struct Signals {
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    /// # Errors
    /// When the process cannot listen to signals.
    pub fn listen() -> std::io::Result<Signals> {
        Ok(Signals { term: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The number of the next signal. Dropping the future loses none: they stay noted.
    pub async fn next(&mut self) -> u8 {
        tokio::select! {
            biased;
            _ = self.term.recv() => 15,
            _ = self.interrupt.recv() => 2,
        }
    }
}
