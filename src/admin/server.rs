//! The listener's thread: bound by the caller, so that a port in use is an error at start and not a line in a log.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Options;
use super::pages::Sources;
use super::pages::router;

/// How long [`Server::stop`] waits for requests that are being answered.
const STOP_MAX: Duration = Duration::from_secs(1);

/// Why the listener cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("cannot listen on admin.listen = `{listen}`: {source}; choose a free address and port")]
    Bind { listen: String, source: io::Error },
    #[error("cannot start the admin thread: {0}")]
    Thread(io::Error),
}

/// The running listener. Dropping it stops it without waiting.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: JoinHandle<()>,
}

/// Binds and serves on a thread of its own.
///
/// # Errors
/// When the address cannot be bound or the thread cannot be made.
pub fn start(options: &Options, sources: Sources) -> Result<Server, AdminError> {
    let bind_error = |source| AdminError::Bind { listen: options.listen.clone(), source };
    let listener = TcpListener::bind(&options.listen).map_err(bind_error)?;
    listener.set_nonblocking(true).map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;
    let router = router(sources, options.stuck_after.duration());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AdminError::Thread)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = move || {
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            // A dropped sender means "stop" as well.
            let signal = async { stopped.await.unwrap_or(()) };
            axum::serve(listener, router).with_graceful_shutdown(signal).await
        });
        if let Err(error) = served {
            tracing::error!(%error, "the admin listener ended");
        }
        runtime.shutdown_background();
    };
    let thread = thread::Builder::new().name("admin".to_owned()).spawn(serve).map_err(AdminError::Thread)?;
    tracing::info!(%address, "admin listens");
    Ok(Server { address, stop: Some(stop), thread })
}

impl Server {
    /// The bound address; differs from the configured one when the port was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests and waits at most a second for those that are being answered; a client that keeps its
    /// connection open does not hold the process.
    pub fn stop(mut self) {
        drop(self.stop.take());
        let deadline = Instant::now() + STOP_MAX;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}
