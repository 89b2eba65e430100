//! The part of a fault proxy that knows no protocol: connections, cuts, refusals, freezes and delays.

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

const TICK: Duration = Duration::from_millis(2);

/// Direction of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    ToServer,
    ToClient,
}

/// What follows once the bytes of a chunk were passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    GoOn,
    /// The connection ends, both ways.
    Cut,
    /// These bytes, and all that any client sends later, are kept back until [`Relay::thaw`].
    Hold,
}

/// Reads along one connection and decides what is passed on.
pub trait Tap: Send + Sync {
    /// What becomes of a chunk that arrived. May sleep, which delays this way alone.
    fn pass(&self, controls: &Controls, way: Way, chunk: &[u8]) -> (Vec<u8>, Then);
}

/// A tap that changes nothing.
pub struct Open;

impl Tap for Open {
    fn pass(&self, _: &Controls, _: Way, chunk: &[u8]) -> (Vec<u8>, Then) {
        (chunk.to_vec(), Then::GoOn)
    }
}

/// Makes the tap of a new connection.
type Taps = Box<dyn Fn() -> Box<dyn Tap> + Send + Sync>;

/// Forwards connections to a server on this machine. Dropped: closes its port and every connection.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<thread::JoinHandle<()>>,
}

/// What holds for all connections of a relay.
#[derive(Default)]
pub struct Controls {
    over: AtomicBool,
    refuse: AtomicBool,
    refusing: AtomicBool,
    frozen: [AtomicBool; 2],
    delay_ms: AtomicU64,
    accepted: AtomicU64,
}

struct Shared {
    target: SocketAddr,
    taps: Taps,
    controls: Controls,
    links: Mutex<Vec<Arc<Link>>>,
}

struct Link {
    client: TcpStream,
    server: TcpStream,
    tap: Box<dyn Tap>,
}

impl Relay {
    pub fn start(target: SocketAddr, taps: impl Fn() -> Box<dyn Tap> + Send + Sync + 'static) -> Relay {
        let port = free_port().expect("there is a free port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let shared =
            Arc::new(Shared { target, taps: Box::new(taps), controls: Controls::default(), links: Mutex::default() });
        let listener = listen(address).expect("the free port can be bound");
        let acceptor = thread::spawn({
            let shared = shared.clone();
            move || accept(&shared, address, listener)
        });
        Relay { address, shared, acceptor: Some(acceptor) }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds every chunk of bytes back for this long, both ways.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.controls.delay_ms.store(delay.as_millis() as u64, SeqCst);
    }

    /// Ends every open connection.
    pub fn cut(&self) {
        self.shared.links().drain(..).for_each(|link| link.cut());
    }

    /// Refuses new connections (nothing listens on the port) until [`Relay::accept`]. Open ones stay.
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
        self.shared.controls.freeze(way);
    }

    /// Forwards again what was held.
    pub fn thaw(&self) {
        self.shared.controls.frozen.iter().for_each(|f| f.store(false, SeqCst));
    }

    /// How many connections were taken so far.
    pub fn accepted(&self) -> u64 {
        self.shared.controls.accepted.load(SeqCst)
    }

    /// Returns when the listener has really gone or come back.
    fn set_refuse(&self, refuse: bool) {
        let controls = &self.shared.controls;
        controls.refuse.store(refuse, SeqCst);
        while controls.refusing.load(SeqCst) != refuse {
            thread::sleep(TICK);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.controls.over.store(true, SeqCst);
        self.thaw();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.cut();
    }
}

impl Controls {
    pub fn freeze(&self, way: Way) {
        self.frozen[way as usize].store(true, SeqCst);
    }

    fn hold(&self, way: Way) {
        thread::sleep(Duration::from_millis(self.delay_ms.load(SeqCst)));
        while self.frozen[way as usize].load(SeqCst) && !self.over.load(SeqCst) {
            thread::sleep(TICK);
        }
    }
}

impl Shared {
    fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().expect("nobody panics with it")
    }
}

impl Link {
    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept(shared: &Arc<Shared>, address: SocketAddr, first: TcpListener) {
    let (mut listener, controls) = (Some(first), &shared.controls);
    while !controls.over.load(SeqCst) {
        let refuse = controls.refuse.load(SeqCst);
        if refuse {
            listener = None;
        } else if listener.is_none() {
            listener = listen(address).ok();
        }
        controls.refusing.store(listener.is_none(), SeqCst);
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((client, _))) => {
                controls.accepted.fetch_add(1, SeqCst);
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
    let link = Arc::new(Link { client, server, tap: (shared.taps)() });
    shared.links().push(link.clone());
    for way in [Way::ToServer, Way::ToClient] {
        let (shared, link) = (shared.clone(), link.clone());
        thread::spawn(move || {
            if pump(&shared.controls, &link, way).is_err() {
                link.cut();
            }
            shared.links().retain(|l| !Arc::ptr_eq(l, &link) || way == Way::ToServer);
        });
    }
    Ok(())
}

/// Moves bytes one way until one end closes; then closes the other's half.
fn pump(controls: &Controls, link: &Link, way: Way) -> io::Result<()> {
    let (mut from, mut to) = match way {
        Way::ToServer => (&link.client, &link.server),
        Way::ToClient => (&link.server, &link.client),
    };
    let mut chunk = vec![0; 16 << 10];
    loop {
        let n = from.read(&mut chunk)?;
        if n == 0 {
            return to.shutdown(Shutdown::Write);
        }
        controls.hold(way);
        let (bytes, then) = link.tap.pass(controls, way, &chunk[..n]);
        if then == Then::Hold {
            controls.hold(way);
        }
        to.write_all(&bytes)?;
        if then == Then::Cut {
            link.cut();
            return Ok(());
        }
    }
}
