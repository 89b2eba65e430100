//! A proxy before Postgres (or any server) that misbehaves on request, down to a single statement.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use super::pgwire::Framer;
use super::pgwire::Session;
use super::pgwire::raising;
use super::relay::Controls;
use super::relay::Open;
use super::relay::Relay;
use super::relay::Tap;
use super::relay::Then;
pub use super::relay::Way;

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
    /// The statement, and all that any client sends later, is kept back until [`Relay::thaw`].
    Hold,
    /// As `Hold`, but the statement itself still goes through.
    HoldBehind,
    /// The server raises this SQLSTATE in place of the statement, which ends its transaction as a real error does.
    Error(&'static str),
}

/// A running proxy; see [`Relay`] for the faults that need no protocol.
pub struct Proxy {
    relay: Relay,
    traps: Arc<Traps>,
    reads: bool,
}

#[derive(Default)]
struct Traps {
    fired: AtomicU64,
    armed: Mutex<Option<Trap>>,
}

/// Which statements are waited for.
struct Trap {
    wanted: Wanted,
    skip: u32,
    times: u32,
    fault: Fault,
}

enum Wanted {
    Commit,
    Containing(String),
}

impl Deref for Proxy {
    type Target = Relay;

    fn deref(&self) -> &Relay {
        &self.relay
    }
}

impl Proxy {
    /// Forwards bytes without reading them.
    pub fn tcp(target: SocketAddr) -> Proxy {
        Proxy { relay: Relay::start(target, || Box::new(Open)), traps: Arc::default(), reads: false }
    }

    /// Reads the (unencrypted) protocol of a Postgres server, so that faults can be tied to statements.
    pub fn postgres(target: SocketAddr) -> Proxy {
        let traps = Arc::<Traps>::default();
        let shared = traps.clone();
        let relay = Relay::start(target, move || Box::new(Statements::new(shared.clone())));
        Proxy { relay, traps, reads: true }
    }

    /// The `skip + 1`-th `COMMIT` from now on gets this fault.
    pub fn on_commit(&self, skip: u32, fault: Fault) {
        self.set_trap(Trap { wanted: Wanted::Commit, skip, times: 1, fault });
    }

    /// The `skip + 1`-th statement from now on whose text contains `text` (in any case) gets this fault. A statement
    /// outside a transaction commits by itself, so this also loses the answer of a commit.
    pub fn on_statement(&self, text: &str, skip: u32, fault: Fault) {
        self.on_statements(text, skip, 1, fault);
    }

    /// The same for so many statements in a row. Replaces what was asked for before.
    pub fn on_statements(&self, text: &str, skip: u32, times: u32, fault: Fault) {
        self.set_trap(Trap { wanted: Wanted::Containing(text.to_ascii_lowercase()), skip, times, fault });
    }

    /// No statement is waited for any more.
    pub fn disarm(&self) {
        *self.traps.armed() = None;
    }

    /// How many faults of statements have happened.
    pub fn fired(&self) -> u64 {
        self.traps.fired.load(SeqCst)
    }

    fn set_trap(&self, trap: Trap) {
        assert!(self.reads, "only a Postgres proxy reads statements");
        *self.traps.armed() = Some(trap);
    }
}

impl Traps {
    fn armed(&self) -> MutexGuard<'_, Option<Trap>> {
        self.armed.lock().expect("nobody panics with it")
    }

    /// Springs the trap if this statement is one that it waits for.
    fn spring(&self, statement: &str) -> Option<Fault> {
        let mut armed = self.armed();
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
        let fault = trap.fault;
        trap.times -= 1;
        if trap.times == 0 {
            *armed = None;
        }
        Some(fault)
    }
}

/// One connection to Postgres.
struct Statements {
    traps: Arc<Traps>,
    session: Mutex<Session>,
    framers: [Mutex<Framer>; 2],
    /// The round whose answer a fault is about.
    sprung: Mutex<Option<(u64, Fault)>>,
    /// What is raised in place of the rest of the round that the client is sending.
    raise: Mutex<Option<&'static str>>,
}

impl Tap for Statements {
    fn pass(&self, controls: &Controls, way: Way, chunk: &[u8]) -> (Vec<u8>, Then) {
        let mut framer = self.framers[way as usize].lock().expect("nobody panics with it");
        framer.feed(chunk);
        match way {
            Way::ToServer => self.to_server(controls, &mut framer),
            Way::ToClient => self.to_client(&mut framer),
        }
    }
}

impl Statements {
    fn new(traps: Arc<Traps>) -> Statements {
        let framers = <[Mutex<Framer>; 2]>::default();
        Statements { traps, session: Mutex::default(), framers, sprung: Mutex::default(), raise: Mutex::default() }
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().expect("nobody panics with it")
    }

    fn sprung(&self) -> MutexGuard<'_, Option<(u64, Fault)>> {
        self.sprung.lock().expect("nobody panics with it")
    }

    fn to_server(&self, controls: &Controls, framer: &mut Framer) -> (Vec<u8>, Then) {
        let (mut out, mut session, mut then) = (vec![], self.session(), Then::GoOn);
        let mut raise = self.raise.lock().expect("nobody panics with it");
        while let Some((message, statement)) = session.client(framer) {
            match statement.and_then(|s| self.traps.spring(&s)) {
                Some(Fault::CutBefore) => return (out, Then::Cut),
                Some(fault @ (Fault::Hold | Fault::HoldBehind)) => {
                    controls.freeze(Way::ToServer);
                    if fault == Fault::Hold {
                        then = Then::Hold;
                    }
                }
                Some(Fault::Error(sqlstate)) => *raise = Some(sqlstate),
                Some(fault) => *self.sprung() = Some((session.round_of(&message), fault)),
                None => {}
            }
            match *raise {
                // One round is answered by one error, whatever it was made of.
                Some(sqlstate) if matches!(message[0], b'Q' | b'S') => {
                    out.extend(raising(sqlstate));
                    *raise = None;
                }
                Some(_) => {}
                None => out.extend(message),
            }
        }
        (out, then)
    }

    fn to_client(&self, framer: &mut Framer) -> (Vec<u8>, Then) {
        let mut out = vec![];
        loop {
            let (message, complete, answered) = {
                let mut session = self.session();
                let Some((message, complete)) = session.server(framer) else { return (out, Then::GoOn) };
                (message, complete, session.answered())
            };
            let sprung = *self.sprung();
            // Answers of earlier rounds are delivered as ever.
            let concerned = sprung.filter(|(round, _)| answered + u64::from(!complete) >= *round);
            match concerned {
                None => out.extend(message),
                Some((_, Fault::CutAfter)) if complete => return (out, Then::Cut),
                Some((_, Fault::Delay(time))) => {
                    *self.sprung() = None;
                    thread::sleep(time);
                    out.extend(message);
                }
                Some(_) => {}
            }
        }
    }
}
