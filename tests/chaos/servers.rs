//! The database as its clients know it: one address, behind which a standby can take the primary's place.

use std::collections::BTreeMap;
use std::io;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::postgres::Postgres;
use crate::support::postgres::Setup;
use crate::support::standby::Standby;

const TICK: Duration = Duration::from_millis(2);
const MARKS: &str = "SELECT partition, next_offset FROM tidemill.progress";

/// `next_offset` of each partition.
pub type Marks = BTreeMap<i32, i64>;

/// What every server is started with.
pub fn setup() -> Setup {
    let settings = ["max_connections=200", "track_commit_timestamp=on", "deadlock_timeout=200ms", "hot_standby=on"];
    Setup { settings: settings.map(str::to_owned).to_vec(), ..Setup::default() }
}

/// Primary and standby, and the address that leads to the primary.
pub struct Servers {
    primary: Mutex<Arc<Postgres>>,
    standby: Mutex<Option<Standby>>,
    switch: Switch,
}

impl Servers {
    pub fn start() -> Servers {
        let primary = Arc::new(Postgres::with(setup()));
        let switch = Switch::to(address_of(&primary));
        Servers { primary: Mutex::new(primary), standby: Mutex::new(None), switch }
    }

    pub fn primary(&self) -> Arc<Postgres> {
        lock(&self.primary).clone()
    }

    /// Where clients find the primary, whoever that is.
    pub fn address(&self) -> SocketAddr {
        self.switch.address
    }

    /// Makes a standby that follows the primary.
    pub fn follow(&self) {
        *lock(&self.standby) = Some(Standby::of(&self.primary(), setup()));
    }

    /// The standby takes over without what the primary committed in the last `lag`. With `gone`, called when the old primary is
    /// gone for ever and before anybody can see the new one, with its marks, and the number of records whose marks were lost.
    ///
    /// # Errors
    /// When there is no standby, or it would lose a partition's first claim, which only a person could mend.
    pub fn fail_over(&self, database: &str, lag: Duration, gone: impl Fn(&Marks, i64)) -> Result<i64, String> {
        let old = self.primary();
        let standby = lock(&self.standby).take().ok_or("there is no standby")?;
        standby.pause();
        thread::sleep(lag);
        let (before, after) = (marks(&old, database)?, marks(&standby.postgres, database)?);
        if before.len() != after.len() {
            standby.resume(&old);
            *lock(&self.standby) = Some(standby);
            return Err("the standby lacks a new partition".to_owned());
        }
        old.stop_immediate();
        let lost = before.values().sum::<i64>() - after.values().sum::<i64>();
        gone(&before, lost);
        standby.promote();
        let Standby { postgres, .. } = standby;
        let postgres = Arc::new(postgres);
        self.switch.turn(address_of(&postgres));
        *lock(&self.primary) = postgres;
        self.follow();
        Ok(lost)
    }
}

fn marks(server: &Postgres, database: &str) -> Result<Marks, String> {
    let text = server.try_psql(database, MARKS)?;
    let mark = |line: &str| {
        let (partition, next) = line.split_once('|')?;
        Some((partition.parse().ok()?, next.parse().ok()?))
    };
    text.lines().map(|l| mark(l).ok_or_else(|| format!("no mark: {l}"))).collect()
}

fn address_of(postgres: &Postgres) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], postgres.port()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forwards connections to a server that may become another one.
struct Switch {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    open: Mutex<Vec<TcpStream>>,
    over: AtomicBool,
}

impl Switch {
    fn to(target: SocketAddr) -> Switch {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        listener.set_nonblocking(true).expect("a listener can be asked without waiting");
        let address = listener.local_addr().expect("it is bound");
        let shared =
            Arc::new(Shared { target: Mutex::new(target), open: Mutex::default(), over: AtomicBool::new(false) });
        let me = shared.clone();
        let acceptor = thread::spawn(move || {
            while !me.over.load(SeqCst) {
                match listener.accept() {
                    // A server that is away looks like one that hangs up.
                    Ok((client, _)) => drop(forward(&me, client)),
                    Err(_) => thread::sleep(TICK),
                }
            }
        });
        Switch { address, shared, acceptor: Some(acceptor) }
    }

    fn turn(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
        self.shared.cut();
    }
}

impl Shared {
    fn cut(&self) {
        for stream in lock(&self.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.shared.over.store(true, SeqCst);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.shared.cut();
    }
}

fn forward(shared: &Shared, client: TcpStream) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let server = TcpStream::connect_timeout(&lock(&shared.target), Duration::from_secs(1))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    lock(&shared.open).extend([client.try_clone()?, server.try_clone()?]);
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            // Whatever ended it, the other way ends too.
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    }
    Ok(())
}
