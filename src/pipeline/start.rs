//! Builds the threads and tasks of a pipeline from its parts, and is the only place that knows their order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::batch::Batch;
use crate::domain::lane::Owner;
use crate::domain::scored::ScoredPiece;
use crate::pipeline::clock::{Clock, Dice};
use crate::pipeline::drive::Drive;
use crate::pipeline::errands::{AT_ONCE, Errands};
use crate::pipeline::guarding::SharedGuard;
use crate::pipeline::intake::{Intake, Outcome, Settings, Status};
use crate::pipeline::intake_thread::IntakeThread;
use crate::pipeline::mailbox::{Mailbox, WorkQueue};
use crate::pipeline::message::{Message, ToWriter, writer_of};
use crate::pipeline::mill::Mill;
use crate::pipeline::publish::Names;
use crate::pipeline::writer::{Writer, options::Options as WriterOptions};
use crate::ports::{Broker, Claims, Sink};
use crate::telemetry::health::{Beat, Health};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::Mill as MillMetrics;
use crate::telemetry::metrics::Writer as WriterMetrics;
use crate::telemetry::snapshot::Published;

/// All parts of a pipeline.
pub struct Parts<B> {
    pub settings: Settings,
    pub writer: WriterOptions,
    pub broker: B,
    pub mill: Mill,
    /// One for each writer.
    pub sinks: Vec<Box<dyn Sink>>,
    pub claims: Arc<dyn Claims>,
    /// Longest wait for one claim.
    pub claim_deadline: Duration,
    pub owner: Owner,
    pub dice: Dice,
    pub clock: Clock,
    pub metrics: Metrics,
    pub health: Arc<Health>,
    pub published: Arc<Published>,
    pub names: Names,
    pub wake: Waker,
    pub runtime: Handle,
}

/// Wakes the intake thread from anywhere, also before it exists.
#[derive(Clone, Default)]
pub struct Waker(Arc<OnceLock<Thread>>);

impl Waker {
    pub fn wake(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

/// A pipeline that runs.
pub struct Running<B> {
    home: Arc<Mailbox<Message>>,
    /// Comes once, when intake has ended; the client is to be closed under a watchdog.
    pub ended: oneshot::Receiver<(Outcome, Status, B)>,
    mill: Arc<WorkQueue<Batch>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl<B> Running<B> {
    /// Begins to drain; `ended` answers within the budget.
    pub fn drain(&self) {
        self.home.push(Message::Drain);
    }

    /// Tells intake what the cluster says of a topic, or that it must end.
    pub fn teller(&self) -> Arc<dyn Fn(Message) + Send + Sync> {
        let home = self.home.clone();
        Arc::new(move |message| home.push(message))
    }

    /// After `ended`: lets the other threads and tasks go.
    pub async fn stop(self, patience: Duration) {
        self.mill.close();
        self.stop.cancel();
        self.tasks.close();
        // What does not end in time dies with the process; nothing of it is needed any more.
        let _ = tokio::time::timeout(patience, self.tasks.wait()).await;
    }
}

/// What all threads and tasks share.
struct Shared {
    home: Arc<Mailbox<Message>>,
    mill: Arc<WorkQueue<Batch>>,
    /// The writers' mailboxes, by number.
    writers: Vec<Arc<Mailbox<ToWriter>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
    clock: Clock,
    runtime: Handle,
}

/// Starts everything.
///
/// # Errors
/// When a thread cannot be made.
pub fn start<B: Broker + Send + 'static>(parts: Parts<B>) -> std::io::Result<Running<B>> {
    let waker = parts.wake.clone();
    let wake = waker.clone();
    let bound = 4 * parts.settings.intake.in_flight_records as usize + 65_536;
    let workers = parts.settings.workers;
    let mut shared = Shared {
        home: Arc::new(Mailbox::new(bound, move || wake.wake())),
        mill: Arc::new(WorkQueue::new(2 * workers + 1)),
        writers: vec![],
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
        clock: parts.clock,
        runtime: parts.runtime,
    };
    let mut dice = parts.dice;
    let guard = SharedGuard::new(parts.settings.guard.clone());
    for (i, sink) in parts.sinks.into_iter().enumerate() {
        let dice = Dice::seeded(dice.next());
        let writer = Writer::new(i, parts.owner, parts.writer.clone(), dice).guarded_by(guard.clone());
        let beat = parts.health.stage(format!("writer-{i}"));
        shared.start_writer(i, writer, sink, bound, parts.metrics.writer.clone(), beat);
    }
    for i in 0..workers {
        let beat = parts.health.stage(format!("mill-{i}"));
        shared.start_mill(i, parts.mill.fork(), parts.metrics.mill.clone(), beat)?;
    }
    parts.metrics.mill.threads.set(workers as f64);

    let errands = Errands {
        claims: parts.claims,
        home: shared.home.clone(),
        runtime: shared.runtime.clone(),
        tasks: shared.tasks.clone(),
        slots: Arc::new(Semaphore::new(AT_ONCE)),
        clock: parts.clock,
        metrics: parts.metrics.claims.clone(),
        deadline: parts.claim_deadline,
    };
    let thread = IntakeThread {
        rows_max: parts.settings.batch.rows_max,
        intake: Intake::new(parts.settings, Dice::seeded(dice.next())).guarded_by(guard),
        broker: parts.broker,
        home: shared.home.clone(),
        mill: shared.mill.clone(),
        writers: shared.writers,
        errands,
        clock: parts.clock,
        metrics: parts.metrics.intake.clone(),
        published: parts.published,
        names: parts.names,
        beat: parts.health.stage("intake"),
    };
    let (end, ended) = oneshot::channel();
    let handle = thread::Builder::new().name("intake".to_owned()).spawn(move || {
        // A receiver that is gone means that the process is leaving anyway.
        let _ = end.send(thread.run());
    })?;
    // Nobody else sets it: one pipeline a waker.
    let _ = waker.0.set(handle.thread().clone());
    waker.wake();
    Ok(Running { home: shared.home, ended, mill: shared.mill, stop: shared.stop, tasks: shared.tasks })
}

impl Shared {
    fn start_writer(
        &mut self,
        i: usize,
        writer: Writer,
        sink: Box<dyn Sink>,
        bound: usize,
        metrics: WriterMetrics,
        beat: Arc<Beat>,
    ) {
        let notify = Arc::new(Notify::new());
        let bell = notify.clone();
        let mailbox = Arc::new(Mailbox::new(bound, move || bell.notify_one()));
        self.writers.push(mailbox.clone());
        let (home, stop) = (self.home.clone(), self.stop.clone());
        let drive = Drive {
            writer,
            sink,
            mailbox,
            notify,
            home: home.clone(),
            clock: self.clock,
            metrics,
            beat,
            stop,
            connected: false,
            shown: None,
        };
        // A task of its own watches it, since a panic must stop the pipeline and not only one task.
        let task = self.tasks.spawn_on(drive.run(), &self.runtime);
        let watch = async move {
            if task.await.is_err_and(|e| e.is_panic()) {
                home.push(Message::Failed(format!("writer {i} broke an invariant; see the log")));
            }
        };
        self.tasks.spawn_on(watch, &self.runtime);
    }

    fn start_mill(&self, i: usize, mill: Mill, metrics: MillMetrics, beat: Arc<Beat>) -> std::io::Result<()> {
        let thread = MillThread {
            mill,
            queue: self.mill.clone(),
            writers: self.writers.clone(),
            home: self.home.clone(),
            metrics,
            beat,
            clock: self.clock,
        };
        thread::Builder::new().name(format!("mill-{i}")).spawn(move || thread.run())?;
        Ok(())
    }
}

/// One mill thread.
struct MillThread {
    mill: Mill,
    queue: Arc<WorkQueue<Batch>>,
    writers: Vec<Arc<Mailbox<ToWriter>>>,
    home: Arc<Mailbox<Message>>,
    metrics: MillMetrics,
    beat: Arc<Beat>,
    clock: Clock,
}

impl MillThread {
    fn run(mut self) {
        let home = self.home.clone();
        // Records that panic are caught inside the mill; what gets here is a bug of ours.
        if catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            home.push(Message::Failed("a mill thread broke an invariant; see the log".into()));
        }
    }

    fn work(&mut self) {
        while let Some(batch) = self.queue.pop() {
            self.beat.turn(self.clock.now(), true, None);
            let full = batch.full;
            let (scored, strain) = self.mill.turn(batch);
            self.metrics.decode.record(strain.decode.as_secs_f64());
            self.metrics.infer.record(strain.infer.as_secs_f64());
            self.metrics.encode.record(strain.encode.as_secs_f64());
            self.metrics.panics.increment(strain.panics);
            self.metrics.bisections.increment(strain.extra_runs);
            let scored = Arc::new(scored);
            for index in 0..scored.batch.pieces.len() {
                let writer = writer_of(scored.batch.pieces[index].lane, self.writers.len());
                let piece = ScoredPiece::new(scored.clone(), index);
                self.writers[writer].push(ToWriter::Piece { piece, full });
            }
            self.home.push(Message::WorkerFree);
            self.beat.turn(self.clock.now(), false, None);
        }
    }
}
