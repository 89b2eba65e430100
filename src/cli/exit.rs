//! How the process ends.

/// How the process ends. Scripts, charts and alerts may rely on these numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done, or drained: nothing will be read again.
    Done,
    /// `verify`: what is stored is not what the log says. `dead-letters replay`: some failed again.
    Differences,
    /// The configuration, the model or the table is wrong; a restart does not help. Also wrong usage.
    Configuration,
    /// The drain budget passed: what was in flight will be read again.
    DrainExpired,
    /// The process cannot go on (fatal client error, broken invariant).
    CannotGoOn,
    /// A second signal of this number ended the drain at once.
    Signal(u8),
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Differences => 1,
            Exit::Configuration => 2,
            Exit::DrainExpired => 3,
            Exit::CannotGoOn => 4,
            Exit::Signal(n) => n.saturating_add(128),
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> std::process::ExitCode {
        exit.code().into()
    }
}
