//! Named places between the steps of the journey, where a test can stop, slow down or kill the process.
//!
//! They exist only with the feature `failpoints` (which `mutants` switches on): without it every call here is empty, and a
//! default or a release build holds none. How they are armed and read is said in `docs/chaos.md`.

#[cfg(feature = "failpoints")]
mod ending;
#[cfg(feature = "failpoints")]
mod live;
#[cfg(feature = "failpoints")]
mod plan;

#[cfg(feature = "failpoints")]
pub use live::arm;
#[cfg(feature = "failpoints")]
pub use plan::PlanError;

macro_rules! points {
    ($($(#[doc = $doc:literal])* $point:ident = $name:literal,)*) => {
        /// Every failpoint, in the order of the journey.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Point {
            $($(#[doc = $doc])* $point,)*
        }

        impl Point {
            pub const ALL: &'static [Point] = &[$(Point::$point,)*];

            /// As it is written in a plan and in the table of `docs/chaos.md`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Point::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// The group gives partitions; inside librdkafka's callback.
    InAssignCallback = "in_assign_cb",
    /// A claim was asked for and is not sent yet.
    BeforeClaim = "before_claim",
    /// A claim was answered, and intake does not know it yet.
    AfterClaim = "after_claim",
    /// An assigned partition is about to be read again from its mark (rule W6).
    InRestart = "in_restart",
    /// Records were copied out of a partition's queue.
    AfterPoll = "after_poll",
    /// They are in the open batch, and in the ledger.
    InBatchFill = "in_batch_fill",
    /// A batch was decoded. Sees its payloads.
    AfterDecode = "after_decode",
    /// Before the first run of the model over a batch. Sees its payloads.
    BeforeInfer = "before_infer",
    /// Inside each run of the model, where a panic condemns a record and not the process. Sees the payloads of that run.
    InInfer = "in_infer",
    /// A batch was scored. Sees its payloads.
    AfterInfer = "after_infer",
    /// Rows are encoded; the batch is not with its writers yet.
    AfterEncode = "after_encode",
    /// Before the first word of a group to the database.
    BeforePgBegin = "before_pg_begin",
    /// Before dead letters are sent.
    BeforeDeadLetters = "before_dlq",
    /// Dead letters were taken, and are committed only where one statement does all.
    AfterDeadLetters = "after_dlq",
    /// Marks, dead letters and rows of a transaction were taken by the server.
    AfterPgRows = "after_pg_rows",
    /// Before a transaction's COMMIT.
    BeforePgCommit = "before_pg_commit",
    /// A group is durable, and nobody here knows it yet.
    AfterPgCommit = "after_pg_commit",
    /// Before progress rows are read (rules W4, W5, W7).
    BeforeMarks = "before_marks",
    /// Before a refused group is searched for the guilty row.
    InIsolate = "in_isolate",
    /// Settled pieces came home to intake.
    AfterSettle = "after_settle",
    /// Before marks are told to Kafka.
    BeforeKafkaCommit = "before_kafka_commit",
    /// They are on their way.
    AfterKafkaCommit = "after_kafka_commit",
    /// The group takes partitions back; inside librdkafka's callback.
    InRevokeCallback = "in_revoke_cb",
    /// Before a released partition's row is given up.
    BeforeRelease = "before_release",
    /// It was given up.
    AfterRelease = "after_release",
    /// A turn of the drain.
    InDrain = "in_drain",
    /// Everything is drained and the exit code is decided; the client is still open.
    AfterDrain = "after_drain_before_close",
    /// Inside the close of the client, under its watchdog.
    InClose = "in_close",
}

/// Passes a failpoint.
#[inline(always)]
pub fn hit(point: Point) {
    hit_seeing(point, |_| false);
}

/// Passes a failpoint that can wait for a marker: `sees` says whether it is in what the step holds.
#[inline(always)]
pub fn hit_seeing(point: Point, sees: impl Fn(&[u8]) -> bool) {
    #[cfg(feature = "failpoints")]
    live::hit(point, &sees);
    #[cfg(not(feature = "failpoints"))]
    let _ = (point, sees);
}

/// As [`hit`], where a delay must not hold a thread of the runtime.
#[inline(always)]
pub async fn reach(point: Point) {
    #[cfg(feature = "failpoints")]
    live::reach(point).await;
    #[cfg(not(feature = "failpoints"))]
    let _ = point;
}
