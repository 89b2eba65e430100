//! Lets payments flow at a steady pace, in bursts, or not at all, as the story of a test needs it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use crate::support::produce;
use crate::support::produce::Load;
use crate::support::produce::Sent;

#[derive(Debug)]
struct Flow {
    /// Payments that may have been sent at `since`.
    allowed: f64,
    since: Instant,
    /// Payments a second from then on.
    rate: f64,
}

impl Flow {
    fn now(&self) -> u64 {
        (self.allowed + self.rate * self.since.elapsed().as_secs_f64()) as u64
    }
}

/// A producer in the background, closed at first.
pub struct Tap {
    flow: Arc<Mutex<Flow>>,
    thread: JoinHandle<Vec<Sent>>,
}

impl Tap {
    pub fn new(brokers: &str, topic: &str, load: Load) -> Tap {
        let flow = Arc::new(Mutex::new(Flow { allowed: 0.0, since: Instant::now(), rate: 0.0 }));
        let (shared, brokers, topic) = (flow.clone(), brokers.to_owned(), topic.to_owned());
        let thread = thread::spawn(move || {
            let allowed = Cell::new(0);
            produce::payments_paced(&brokers, &topic, load, |number| {
                while number >= allowed.get() {
                    allowed.set(shared.lock().unwrap().now());
                    if number >= allowed.get() {
                        thread::sleep(Duration::from_millis(2));
                    }
                }
            })
        });
        Tap { flow, thread }
    }

    /// `more` at once, and `rate` a second from now on.
    pub fn burst(&self, more: u64, rate: f64) {
        let mut flow = self.flow.lock().unwrap();
        *flow = Flow { allowed: (flow.now() + more) as f64, since: Instant::now(), rate };
    }

    /// Nothing more; the answer is how many will have been sent.
    pub fn close(&self) -> u64 {
        self.burst(0, 0.0);
        self.flow.lock().unwrap().now()
    }

    /// Lets the rest go and waits until Kafka has it.
    pub fn finish(self) -> Vec<Sent> {
        self.burst(1 << 40, 0.0);
        self.thread.join().expect("the producer does not panic")
    }
}
