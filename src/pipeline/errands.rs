//! Claims, peeks and releases: asked by intake, carried out on the runtime, each in its own short transaction (rule C1).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::domain::lane::{Epoch, Lane};
use crate::failpoints::{self, Point};
use crate::pipeline::clock::Clock;
use crate::pipeline::mailbox::Mailbox;
use crate::pipeline::message::Message;
use crate::ports::{ClaimError, Claims, SinkError, SinkFault};
use crate::telemetry::metrics::Claims as ClaimsMetrics;

/// Claims under way at once: enough to hide the flush of each, few enough to leave connections to others.
pub const AT_ONCE: usize = 4;

/// Runs errands; cheap to clone.
#[derive(Clone)]
pub struct Errands {
    pub claims: Arc<dyn Claims>,
    pub home: Arc<Mailbox<Message>>,
    pub runtime: Handle,
    pub tasks: TaskTracker,
    pub slots: Arc<Semaphore>,
    pub clock: Clock,
    pub metrics: ClaimsMetrics,
    /// Longest wait for one answer; after it the claim counts as unanswered and is tried again.
    pub deadline: Duration,
}

impl Errands {
    pub fn claim(&self, lane: Lane, ticket: u64, floor: Epoch) {
        let me = self.clone();
        self.spawn(async move {
            let start = me.clock.now();
            failpoints::reach(Point::BeforeClaim).await;
            let answer = me.within(me.claims.claim(lane, floor)).await;
            failpoints::reach(Point::AfterClaim).await;
            me.metrics.seconds.record((me.clock.now() - start).as_secs_f64());
            let outcome = match &answer {
                Ok(_) => &me.metrics.granted,
                Err(ClaimError::Database(_) | ClaimError::Broker(_)) => &me.metrics.retried,
                Err(ClaimError::Park(_)) => &me.metrics.parked,
            };
            outcome.increment(1);
            me.home.push(Message::Claimed { lane, ticket, answer });
        });
    }

    pub fn peek(&self, lane: Lane, ticket: u64) {
        let me = self.clone();
        self.spawn(async move {
            let answer = me.within(me.claims.peek(lane)).await;
            me.home.push(Message::Peeked { lane, ticket, answer });
            let bounds = tokio::time::timeout(me.deadline, me.claims.bounds(lane)).await;
            if let Ok(Some((first, end))) = bounds {
                me.home.push(Message::Bounds { lane, ticket, first, end });
            }
        });
    }

    pub fn note(&self, lane: Lane, epoch: Epoch, ticket: u64, offset: Option<i64>) {
        let me = self.clone();
        self.spawn(async move {
            let answer = me.within(me.claims.note(lane, epoch, offset)).await;
            me.home.push(Message::Noted { ticket, answer });
        });
    }

    pub fn calm(&self, lane: Lane, epoch: Epoch) {
        let me = self.clone();
        self.spawn(async move {
            if let Err(error) = me.within(me.claims.calm(lane, epoch)).await {
                // Whoever claims the lane next takes care once more.
                tracing::debug!(%error, %lane, "the end of care was not confirmed");
            }
        });
    }

    pub fn accepted(&self) {
        let me = self.clone();
        self.spawn(async move {
            let answer = me.within(me.claims.accepted()).await;
            me.home.push(Message::Accepted(answer));
        });
    }

    pub fn release(&self, lane: Lane, epoch: Epoch) {
        let me = self.clone();
        self.spawn(async move {
            failpoints::reach(Point::BeforeRelease).await;
            let released = me.within(me.claims.release(lane, epoch)).await;
            failpoints::reach(Point::AfterRelease).await;
            if let Err(error) = released {
                // The next owner's claim does not need it.
                tracing::debug!(%error, %lane, "a release was not confirmed");
            }
            me.home.push(Message::Released);
        });
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, ClaimError>>) -> Result<T, ClaimError> {
        match tokio::time::timeout(self.deadline, work).await {
            Ok(answer) => answer,
            Err(_) => Err(ClaimError::Database(SinkError {
                fault: SinkFault::Transient,
                sqlstate: None,
                message: "the database did not answer a claim in time".into(),
            })),
        }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let (slots, home) = (self.slots.clone(), self.home.clone());
        self.tasks.spawn_on(
            async move {
                let _slot = slots.acquire().await;
                // Without an answer the lane would wait for one for ever.
                if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                    home.push(Message::Failed("a claim broke an invariant; see the log".to_owned()));
                }
            },
            &self.runtime,
        );
    }
}
