//! Which instructions kernels may use beyond those that every processor of the build's target has.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;

/// Widest instructions, each with those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    Portable,
    Avx2,
    Avx512,
}

impl Level {
    pub const ALL: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];
}

static LIMIT: AtomicU8 = AtomicU8::new(Level::Avx512 as u8);

/// The widest instructions that models loaded from now on may use, if the processor has them.
pub fn level() -> Level {
    let limit = LIMIT.load(Ordering::Relaxed);
    Level::ALL.into_iter().rfind(|level| *level as u8 <= limit).unwrap_or(Level::Portable)
}

/// Keeps models that are loaded from now on from wider instructions, so that paths can be compared in one process. For the
/// whole process; loaded models stay as they are.
pub fn limit(level: Level) {
    LIMIT.store(level as u8, Ordering::Relaxed);
}
