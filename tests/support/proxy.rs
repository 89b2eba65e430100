//! A TCP proxy that misbehaves on request: between a client and its server on this machine.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use tidemill::demo::ports::free_port;

use super::pgwire::Framer;
use super::pgwire::Session;

const TICK: Duration = Duration::from_millis(2);

/// What happens to a statement that the proxy waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The connection is cut and the statement never reaches the server: it did not happen.
    CutBefore,
    /// The statement reaches the server, and the connection is cut when its answer is complete: it happened, and the
    /// client does not know.
    CutAfter,
    /// As `CutAfter`, but the connection stays open and silent.
    Silence,
    /// The answer arrives late by this much.
    Delay(Duration),
    /// The statement, and all that any client sends later, is kept back until [`Proxy::thaw`].
    Hold,
    /// As `Hold`, but the statement itself still goes through.
    HoldBehind,
}

/// Direction of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    ToServer,
    ToClient,
}

/// A running proxy. Dropped: closes its port and every connection.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<thread::JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    postgres: bool,
    over: AtomicBool,
    refuse: AtomicBool,
    refusing: AtomicBool,
    frozen: [AtomicBool; 2],
    delay_ms: AtomicU64,
    accepted: AtomicU64,
    fired: AtomicU64,
    trap: Mutex<Option<Trap>>,
    links: Mutex<Vec<Arc<Link>>>,
}

/// Which statement is waited for. Goes off once.
struct Trap {
    wanted: Wanted,
    skip: u32,
    fault: Fault,
}

enum Wanted {
    Commit,
    Containing(String),
}

struct Link {
    client: TcpStream,
    server: TcpStream,
    session: Mutex<Session>,
    /// The round whose answer a fault is about.
    sprung: Mutex<Option<(u64, Fault)>>,
}

impl Proxy {
    /// Forwards bytes without reading them.
    pub fn tcp(target: SocketAddr) -> Proxy {
        Proxy::start(target, false)
    }

    /// Reads the (unencrypted) protocol of a Postgres server, so that faults can be tied to statements.
    pub fn postgres(target: SocketAddr) -> Proxy {
        Proxy::start(target, true)
    }

    fn start(target: SocketAddr, postgres: bool) -> Proxy {
        let port = free_port().expect("there is a free port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let shared = Arc::new(Shared {
            target,
            postgres,
            over: false.into(),
            refuse: false.into(),
            refusing: false.into(),
            frozen: [false.into(), false.into()],
            delay_ms: 0.into(),
            accepted: 0.into(),
            fired: 0.into(),
            trap: Mutex::default(),
            links: Mutex::default(),
        });
        let listener = listen(address).expect("the free port can be bound");
        let acceptor = thread::spawn({
            let shared = shared.clone();
            move || accept(&shared, address, listener)
        });
        Proxy { address, shared, acceptor: Some(acceptor) }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds every chunk of bytes back for this long, both ways.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.delay_ms.store(delay.as_millis() as u64, SeqCst);
    }

    /// Ends every open connection.
    pub fn cut(&self) {
        self.shared.links().drain(..).for_each(|link| link.cut());
    }

    /// Refuses new connections (nothing listens on the port) until [`Proxy::accept`]. Open ones stay.
    pub fn refuse(&self) {
        self.set_refuse(true);
    }

    /// Takes connections again.
    pub fn accept(&self) {
        self.set_refuse(false);
    }

    /// Cuts what is open and refuses what comes: the server is gone.
    pub fn down(&self) {
        self.refuse();
        self.cut();
    }

    /// Stops forwarding one way, over open and new connections: a half-open connection. Bytes are kept, not lost.
    pub fn freeze(&self, way: Way) {
        self.shared.frozen[way as usize].store(true, SeqCst);
    }

    /// Forwards again what was held.
    pub fn thaw(&self) {
        self.shared.frozen.iter().for_each(|f| f.store(false, SeqCst));
    }

    /// The `skip + 1`-th `COMMIT` from now on gets this fault.
    pub fn on_commit(&self, skip: u32, fault: Fault) {
        self.set_trap(Trap { wanted: Wanted::Commit, skip, fault });
    }

    /// The `skip + 1`-th statement from now on whose text contains `text` (in any case) gets this fault. A statement
    /// outside a transaction commits by itself, so this also loses the answer of a commit.
    pub fn on_statement(&self, text: &str, skip: u32, fault: Fault) {
        self.set_trap(Trap { wanted: Wanted::Containing(text.to_ascii_lowercase()), skip, fault });
    }

    /// How many faults of statements have happened.
    pub fn fired(&self) -> u64 {
        self.shared.fired.load(SeqCst)
    }

    /// How many connections were taken so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(SeqCst)
    }

    fn set_trap(&self, trap: Trap) {
        assert!(self.shared.postgres, "only a Postgres proxy reads statements");
        *self.shared.trap.lock().expect("nobody panics with it") = Some(trap);
    }

    /// Returns when the listener has really gone or come back.
    fn set_refuse(&self, refuse: bool) {
        self.shared.refuse.store(refuse, SeqCst);
        while self.shared.refusing.load(SeqCst) != refuse {
            thread::sleep(TICK);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, SeqCst);
        self.thaw();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.cut();
    }
}

impl Shared {
    fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().expect("nobody panics with it")
    }

    fn hold(&self, way: Way) {
        thread::sleep(Duration::from_millis(self.delay_ms.load(SeqCst)));
        while self.frozen[way as usize].load(SeqCst) && !self.over.load(SeqCst) {
            thread::sleep(TICK);
        }
    }

    /// Springs the trap if this statement is the one that it waits for.
    fn spring(&self, statement: &str) -> Option<Fault> {
        let mut armed = self.trap.lock().expect("nobody panics with it");
        let trap = armed.as_mut()?;
        let statement = statement.trim().trim_end_matches(';').to_ascii_lowercase();
        let hit = match &trap.wanted {
            Wanted::Commit => statement == "commit",
            Wanted::Containing(text) => statement.contains(text),
        };
        if !hit {
            return None;
        }
        if trap.skip > 0 {
            trap.skip -= 1;
            return None;
        }
        self.fired.fetch_add(1, SeqCst);
        armed.take().map(|t| t.fault)
    }
}

impl Link {
    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().expect("nobody panics with it")
    }

    fn sprung(&self) -> MutexGuard<'_, Option<(u64, Fault)>> {
        self.sprung.lock().expect("nobody panics with it")
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept(shared: &Arc<Shared>, address: SocketAddr, first: TcpListener) {
    let mut listener = Some(first);
    while !shared.over.load(SeqCst) {
        let refuse = shared.refuse.load(SeqCst);
        if refuse {
            listener = None;
        } else if listener.is_none() {
            listener = listen(address).ok();
        }
        shared.refusing.store(listener.is_none(), SeqCst);
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((client, _))) => {
                shared.accepted.fetch_add(1, SeqCst);
                // An unreachable server looks like one that hangs up.
                let _ = forward(shared, client);
            }
            _ => thread::sleep(TICK),
        }
    }
}

fn forward(shared: &Arc<Shared>, client: TcpStream) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let server = TcpStream::connect_timeout(&shared.target, Duration::from_secs(1))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let link = Arc::new(Link { client, server, session: Mutex::default(), sprung: Mutex::default() });
    shared.links().push(link.clone());
    for way in [Way::ToServer, Way::ToClient] {
        let (shared, link) = (shared.clone(), link.clone());
        thread::spawn(move || {
            if pump(&shared, &link, way).is_err() {
                link.cut();
            }
            shared.links().retain(|l| !Arc::ptr_eq(l, &link) || way == Way::ToServer);
        });
    }
    Ok(())
}

/// Moves bytes one way until one end closes; then closes the other's half.
fn pump(shared: &Shared, link: &Link, way: Way) -> io::Result<()> {
    let (mut from, mut to) = match way {
        Way::ToServer => (&link.client, &link.server),
        Way::ToClient => (&link.server, &link.client),
    };
    let (mut chunk, mut framer) = (vec![0; 16 << 10], Framer::default());
    loop {
        let n = from.read(&mut chunk)?;
        if n == 0 {
            return to.shutdown(Shutdown::Write);
        }
        shared.hold(way);
        if !shared.postgres {
            to.write_all(&chunk[..n])?;
            continue;
        }
        framer.feed(&chunk[..n]);
        let (bytes, cut) = match way {
            Way::ToServer => {
                let (bytes, then) = to_server(shared, link, &mut framer);
                if then == Some(Fault::Hold) {
                    shared.hold(way);
                }
                (bytes, then == Some(Fault::CutBefore))
            }
            Way::ToClient => to_client(link, &mut framer),
        };
        to.write_all(&bytes)?;
        if cut {
            link.cut();
            return Ok(());
        }
    }
}

/// What may be sent on, and the fault that must happen before or behind it.
fn to_server(shared: &Shared, link: &Link, framer: &mut Framer) -> (Vec<u8>, Option<Fault>) {
    let (mut out, mut session, mut then) = (vec![], link.session(), None);
    while let Some((message, statement)) = session.client(framer) {
        match statement.and_then(|s| shared.spring(&s)) {
            Some(Fault::CutBefore) => return (out, Some(Fault::CutBefore)),
            Some(fault @ (Fault::Hold | Fault::HoldBehind)) => {
                shared.frozen[Way::ToServer as usize].store(true, SeqCst);
                then = Some(fault);
            }
            Some(fault) => *link.sprung() = Some((session.round_of(&message), fault)),
            None => {}
        }
        out.extend(message);
    }
    (out, then)
}

fn to_client(link: &Link, framer: &mut Framer) -> (Vec<u8>, bool) {
    let mut out = vec![];
    loop {
        let (message, complete, answered) = {
            let mut session = link.session();
            let Some((message, complete)) = session.server(framer) else { return (out, false) };
            (message, complete, session.answered())
        };
        let sprung = *link.sprung();
        // Answers of earlier rounds are delivered as ever.
        let concerned = sprung.filter(|(round, _)| answered + u64::from(!complete) >= *round);
        match concerned {
            None => out.extend(message),
            Some((_, Fault::CutAfter)) if complete => return (out, true),
            Some((_, Fault::Delay(time))) => {
                *link.sprung() = None;
                thread::sleep(time);
                out.extend(message);
            }
            Some(_) => {}
        }
    }
}
