//! The kinds of faults, each on the track of what it disturbs: faults of different tracks overlap, those of one do not.

/// What is disturbed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Track {
    Process,
    Postgres,
    Kafka,
}

macro_rules! faults {
    ($($track:ident { $($(#[doc = $doc:literal])* $fault:ident = $name:literal,)* })*) => {
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Fault {
            $($($(#[doc = $doc])* $fault,)*)*
        }

        impl Fault {
            pub const ALL: &'static [Fault] = &[$($(Fault::$fault,)*)*];

            pub const fn name(self) -> &'static str {
                match self {
                    $($(Fault::$fault => $name,)*)*
                }
            }

            pub const fn track(self) -> Track {
                match self {
                    $($(Fault::$fault => Track::$track,)*)*
                }
            }
        }
    };
}

faults! {
    Process {
        /// SIGKILL under load.
        Kill = "kill",
        /// Two at once.
        KillTwo = "kill two",
        /// SIGTERM, and another process in its place.
        Restart = "sigterm and restart",
        /// SIGSTOP for less than the session.
        StopShort = "sigstop, short",
        /// SIGSTOP past the session: a zombie wakes up.
        StopLong = "sigstop, past the session",
        /// One more process comes and goes.
        Join = "a member joins and leaves",
        /// Several come and go at once.
        Storm = "rebalance storm",
        KillAtFailpoint = "kill at a failpoint",
        AbortAtFailpoint = "abort at a failpoint",
        PanicAtFailpoint = "panic at a failpoint",
        DelayAtFailpoint = "delay at a failpoint",
        /// SIGTERM while a failpoint of the end delays or kills.
        KillInDrain = "kill inside the drain",
        /// A claim of nobody lands on every partition.
        Usurp = "stale claim",
    }
    Postgres {
        RestartFast = "postgres restarted, fast",
        RestartImmediate = "postgres restarted, immediate",
        Terminate = "backends terminated",
        ReadOnly = "server turned read-only",
        LockTable = "access exclusive lock",
        LockRows = "progress rows locked",
        Deadlock = "deadlock",
        ConnectionLimit = "connection limit reached",
        CutBeforeCommit = "cut before a commit arrives",
        CutAfterCommit = "cut behind a commit",
        Silence = "answer of a commit silenced",
        Late = "answers delayed",
        PostgresGone = "postgres cannot be reached",
        PostgresFrozen = "postgres connection half open",
        /// SQLSTATEs of the server in place of statements.
        Raised = "errors raised by the server",
        /// The standby takes over without the last commits: the database goes back in time.
        FailOver = "standby promoted, the tail lost",
    }
    Kafka {
        BrokerKilled = "broker killed",
        BrokerStopped = "broker stopped, its leaders move",
        BrokerFrozen = "broker frozen",
        PartitionsAdded = "partitions added",
        KafkaCut = "kafka connections cut",
        KafkaGone = "kafka cannot be reached",
        KafkaFrozen = "kafka connections half open",
        CommitsLost = "offset commits unanswered",
        HeartbeatsLost = "heartbeats lost",
        HeartbeatsRefused = "heartbeats refused",
        JoinsLost = "answers to joins and syncs lost",
        FetchesLate = "fetches late",
        FetchesRefused = "fetches refused",
    }
}
