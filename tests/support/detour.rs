//! A way to a Kafka cluster that misbehaves on request, down to a single request or answer.
//!
//! Every node has a listener of its own for each detour and advertises the detour's port there, so a client that comes this
//! way stays on it. Source: the Apache Kafka protocol guide (framing, request and response headers).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use tidemill::demo::ports::free_port;

use super::broker::Ports;
use super::pgwire::Framer;
use super::relay::Controls;
use super::relay::Relay;
use super::relay::Tap;
use super::relay::Then;
use super::relay::Way;

/// Shorter answers hold no records to damage.
const FLIPPED_MIN: usize = 1_000;
/// What stands before the first record of an answer is shorter than this.
const HEADER_MAX: usize = 300;

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Api(pub i16);

impl Api {
    pub const FETCH: Api = Api(1);
    pub const METADATA: Api = Api(3);
    pub const OFFSET_COMMIT: Api = Api(8);
    pub const OFFSET_FETCH: Api = Api(9);
    pub const FIND_COORDINATOR: Api = Api(10);
    pub const JOIN_GROUP: Api = Api(11);
    pub const HEARTBEAT: Api = Api(12);
    pub const LEAVE_GROUP: Api = Api(13);
    pub const SYNC_GROUP: Api = Api(14);
    pub const CONSUMER_GROUP_HEARTBEAT: Api = Api(68);

    /// Where the error of the whole answer stands, counted behind the frame's length; where there is one.
    fn error_at(self, version: i16) -> Option<usize> {
        // Correlation id, one byte of tagged fields in newer headers, then the time of throttling.
        let flexible_from = match self {
            Api::FETCH => 12,
            Api::JOIN_GROUP => 6,
            Api::HEARTBEAT | Api::SYNC_GROUP | Api::LEAVE_GROUP => 4,
            Api::CONSUMER_GROUP_HEARTBEAT => 0,
            _ => return None,
        };
        let throttled_from = match self {
            Api::FETCH => 7,
            Api::JOIN_GROUP => 2,
            Api::CONSUMER_GROUP_HEARTBEAT => 0,
            _ => 1,
        };
        (version >= throttled_from).then_some(8 + usize::from(version >= flexible_from))
    }
}

/// What happens to a request or to its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The broker never gets the request; the client waits in vain.
    LoseRequest,
    /// The broker does what was asked; the client never hears of it.
    LoseAnswer,
    /// The broker gets the request late by this much.
    DelayRequest(Duration),
    /// The client gets the answer late by this much.
    DelayAnswer(Duration),
    /// The connection is cut before the broker gets the request.
    CutBefore,
    /// The connection is cut when the broker has done it.
    CutAfter,
    /// The answer's own error code is replaced by this one. For the group's requests and Fetch.
    Error(i16),
    /// One bit of an answer with records is turned, this many bytes before its end; shorter answers pass.
    Flip(usize),
}

impl Trouble {
    fn before(self) -> bool {
        matches!(self, Trouble::LoseRequest | Trouble::DelayRequest(_) | Trouble::CutBefore)
    }
}

/// A way to all nodes of a cluster. Faults of the connection itself: [`Detour::each`] or [`Detour::node`].
pub struct Detour {
    relays: Vec<Relay>,
    rules: Arc<Rules>,
}

#[derive(Default)]
struct Rules {
    fired: AtomicU64,
    armed: Mutex<Vec<Rule>>,
    seen: Mutex<HashMap<Api, u64>>,
}

struct Rule {
    api: Api,
    skip: u32,
    times: u32,
    trouble: Trouble,
}

impl Detour {
    /// Gives every node one more listener, reached only this way. Before the nodes are started.
    pub fn before(nodes: &mut [Ports]) -> Detour {
        let rules = Arc::<Rules>::default();
        let relay = |node: &mut Ports| {
            let (inside, rules) = (free_port().expect("there is a free port"), rules.clone());
            let target = SocketAddr::from(([127, 0, 0, 1], inside));
            let relay = Relay::start(target, move || Box::new(Requests::new(rules.clone())));
            node.detours.push((inside, relay.address().port()));
            relay
        };
        Detour { relays: nodes.iter_mut().map(relay).collect(), rules }
    }

    /// For `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.relays.iter().map(|r| r.address().to_string()).collect::<Vec<_>>().join(",")
    }

    /// The way to one node, counted from 1.
    pub fn node(&self, number: usize) -> &Relay {
        &self.relays[number - 1]
    }

    /// Does this to the way to every node.
    pub fn each(&self, act: impl FnMut(&Relay)) {
        self.relays.iter().for_each(act);
    }

    /// The `skip + 1`-th request for `api` from now on, and so many in a row, gets this trouble. Adds to what is waited for.
    pub fn on(&self, api: Api, skip: u32, times: u32, trouble: Trouble) {
        let known = !matches!(trouble, Trouble::Error(_)) || api.error_at(i16::MAX).is_some();
        assert!(known, "where {api:?} holds its error is not known");
        self.rules.armed().push(Rule { api, skip, times, trouble });
    }

    /// Nothing is waited for any more.
    pub fn disarm(&self) {
        self.rules.armed().clear();
    }

    /// How many requests or answers got their trouble.
    pub fn fired(&self) -> u64 {
        self.rules.fired.load(SeqCst)
    }

    /// How many requests for `api` came this way.
    pub fn seen(&self, api: Api) -> u64 {
        self.rules.seen().get(&api).copied().unwrap_or(0)
    }
}

impl Rules {
    fn armed(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.armed.lock().expect("nobody panics with it")
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<Api, u64>> {
        self.seen.lock().expect("nobody panics with it")
    }

    /// The trouble of a request that arrives now.
    fn spring(&self, api: Api) -> Option<Trouble> {
        *self.seen().entry(api).or_default() += 1;
        let mut armed = self.armed();
        let at = armed.iter().position(|r| r.api == api)?;
        let rule = &mut armed[at];
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        let trouble = rule.trouble;
        rule.times -= 1;
        if rule.times == 0 {
            armed.remove(at);
        }
        self.fired.fetch_add(1, SeqCst);
        Some(trouble)
    }
}

/// One connection to a broker.
struct Requests {
    rules: Arc<Rules>,
    framers: [Mutex<Framer>; 2],
    /// By correlation id: what is to happen to the answer.
    waited: Mutex<HashMap<i32, (Api, i16, Trouble)>>,
}

impl Tap for Requests {
    fn pass(&self, _: &Controls, way: Way, chunk: &[u8]) -> (Vec<u8>, Then) {
        let mut framer = self.framers[way as usize].lock().expect("nobody panics with it");
        framer.feed(chunk);
        let mut out = vec![];
        while let Some(mut frame) = framer.counted() {
            let then = match way {
                Way::ToServer => self.request(&frame),
                Way::ToClient => self.answer(&mut frame),
            };
            match then {
                Passing::On => out.extend(frame),
                Passing::OnAndCut => return (out, Then::Cut),
                Passing::Lost => {}
            }
        }
        (out, Then::GoOn)
    }
}

enum Passing {
    On,
    Lost,
    OnAndCut,
}

impl Requests {
    fn new(rules: Arc<Rules>) -> Requests {
        Requests { rules, framers: Default::default(), waited: Mutex::default() }
    }

    fn waited(&self) -> MutexGuard<'_, HashMap<i32, (Api, i16, Trouble)>> {
        self.waited.lock().expect("nobody panics with it")
    }

    fn request(&self, frame: &[u8]) -> Passing {
        let (Some(api), Some(version), Some(id)) = (short(frame, 4), short(frame, 6), long(frame, 8)) else {
            return Passing::On;
        };
        let Some(trouble) = self.rules.spring(Api(api)) else { return Passing::On };
        match trouble {
            Trouble::LoseRequest => return Passing::Lost,
            Trouble::CutBefore => return Passing::OnAndCut,
            Trouble::DelayRequest(time) => thread::sleep(time),
            _ => {}
        }
        if !trouble.before() {
            self.waited().insert(id, (Api(api), version, trouble));
        }
        Passing::On
    }

    fn answer(&self, frame: &mut [u8]) -> Passing {
        let Some(id) = long(frame, 4) else { return Passing::On };
        let Some((api, version, trouble)) = self.waited().remove(&id) else { return Passing::On };
        match trouble {
            Trouble::LoseAnswer => return Passing::Lost,
            Trouble::CutAfter => return Passing::OnAndCut,
            Trouble::DelayAnswer(time) => thread::sleep(time),
            Trouble::Error(code) => {
                if let Some(bytes) = api.error_at(version).and_then(|at| frame.get_mut(4 + at..4 + at + 2)) {
                    bytes.copy_from_slice(&code.to_be_bytes());
                }
            }
            Trouble::Flip(before_end) => {
                // In the records: a header that is damaged is an answer that never comes, until the client's patience ends.
                let at = frame.len().checked_sub(before_end).filter(|at| frame.len() > FLIPPED_MIN && *at > HEADER_MAX);
                if let Some(byte) = at.and_then(|at| frame.get_mut(at)) {
                    *byte ^= 1;
                }
            }
            Trouble::LoseRequest | Trouble::DelayRequest(_) | Trouble::CutBefore => {}
        }
        Passing::On
    }
}

fn short(frame: &[u8], at: usize) -> Option<i16> {
    Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?))
}

fn long(frame: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?))
}
