//! One Kafka and one PostgreSQL for this file, and one test at a time: each brings many processes.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::thread;

use crate::support::kafka::Kafka;
use crate::support::postgres::Postgres;
use crate::support::postgres::Setup;

static ALONE: Mutex<()> = Mutex::new(());
static POSTGRES: OnceLock<Arc<Postgres>> = OnceLock::new();

/// Held by a test while it runs.
pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both at once, since each takes seconds to come up.
pub fn start() -> (&'static Kafka, Arc<Postgres>) {
    thread::scope(|scope| {
        let kafka = scope.spawn(Kafka::shared);
        let postgres = POSTGRES.get_or_init(|| {
            // Tells when each row became visible.
            let settings = vec!["track_commit_timestamp=on".into(), "max_connections=200".into()];
            Arc::new(Postgres::with(Setup { settings, ..Setup::default() }))
        });
        (kafka.join().expect("kafka starts"), postgres.clone())
    })
}
