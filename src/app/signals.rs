//! SIGTERM and SIGINT: the first asks, the second insists (promise P7). SIGHUP is told of and changes nothing.

use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

pub struct Signals {
    term: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// # Errors
    /// When the process cannot listen to signals.
    pub fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The number of the next signal that asks for the end. Dropping the future loses none: they stay noted.
    pub async fn next(&mut self) -> u8 {
        loop {
            tokio::select! {
                biased;
                _ = self.term.recv() => return 15,
                _ = self.interrupt.recv() => return 2,
                // The end of a terminal session must not be the end of the process.
                _ = self.hangup.recv() => tracing::info!("SIGHUP: nothing is reloaded; restart to change the configuration"),
            }
        }
    }
}
