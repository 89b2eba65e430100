//! What happens when, from a seed alone: the same seed and length give the same schedule.

use std::fmt;
use std::time::Duration;

use tidemill::demo::random::Random;

use crate::fault::Fault;
use crate::fault::Track;

/// One fault to come. `pick` decides everything else about it: the victim, how long, which failpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Planned {
    pub at: Duration,
    pub fault: Fault,
    pub pick: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schedule {
    pub seed: u64,
    pub length: Duration,
    /// In the order of time.
    pub faults: Vec<Planned>,
}

/// Load before the first fault.
const QUIET: f64 = 2.0;

impl Schedule {
    /// `gaps` are the mean seconds between two faults of a track.
    pub fn new(seed: u64, length: Duration, gaps: [(Track, f64); 3]) -> Schedule {
        let mut faults = vec![];
        for (track, gap) in gaps {
            let mut random = Random::new(seed ^ ((track as u64 + 1) << 40));
            let mut at = QUIET + random.unit() * gap;
            let mut left: Vec<Fault> = vec![];
            while at < length.as_secs_f64() {
                // Every kind once in random order, then again: none is left to luck.
                if left.is_empty() {
                    left = Fault::ALL.iter().copied().filter(|f| f.track() == track).collect();
                }
                let fault = left.swap_remove(random.below(left.len() as u64) as usize);
                faults.push(Planned { at: Duration::from_millis((at * 1e3) as u64), fault, pick: random.bits() });
                at += gap * (0.5 + random.unit());
            }
        }
        faults.sort_by_key(|p| (p.at, p.fault));
        Schedule { seed, length, faults }
    }

    pub fn of(&self, track: Track) -> Vec<Planned> {
        self.faults.iter().copied().filter(|p| p.fault.track() == track).collect()
    }

    /// A number that differs when the schedule does.
    pub fn digest(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for p in &self.faults {
            for word in [p.at.as_millis() as u64, p.fault as u64, p.pick] {
                hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
            }
        }
        hash
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}, {} faults in {:?}, digest {:016x}",
            self.seed,
            self.faults.len(),
            self.length,
            self.digest()
        )?;
        self.faults
            .iter()
            .try_for_each(|p| writeln!(f, "{:8.2} s  {} ({:x})", p.at.as_secs_f64(), p.fault.name(), p.pick))
    }
}

/// Details of one fault, drawn from its `pick`.
pub struct Detail(Random);

impl Detail {
    pub fn new(pick: u64) -> Detail {
        Detail(Random::new(pick))
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u64) as usize
    }

    pub fn between(&mut self, low: f64, high: f64) -> Duration {
        Duration::from_secs_f64(low + self.0.unit() * (high - low))
    }

    pub fn of<T: Copy>(&mut self, items: &[T]) -> T {
        self.0.pick(items)
    }
}
