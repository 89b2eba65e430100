//! The first level of the log: how many records each window holds, and their checksum.

use std::collections::BTreeMap;

use crate::adapters::kafka::scout::Scout;
use crate::adapters::kafka::scout::ScoutError;
use crate::adapters::kafka::walk::Limits;
use crate::adapters::kafka::walk::Stretch;
use crate::domain::lane::Lane;
use crate::domain::windows::Checksum;
use crate::domain::windows::window_of;

/// Windows of one lane that hold a record.
pub type Windows = BTreeMap<i64, Checksum>;

/// Adds up the records of one lane, which come in log order.
#[derive(Default)]
struct Adding {
    window: i64,
    sum: Checksum,
    done: Windows,
}

impl Adding {
    fn add(&mut self, offset: i64) {
        let window = window_of(offset);
        if window != self.window {
            self.close();
            self.window = window;
        }
        self.sum.add(offset);
    }

    fn close(&mut self) {
        if self.sum.count > 0 {
            self.done.entry(self.window).or_default().join(std::mem::take(&mut self.sum));
        }
    }
}

/// Reads the stretches; the answer is in their order.
///
/// # Errors
/// When the brokers do not answer.
pub fn read(scout: &Scout, stretches: &[Stretch], limits: Limits) -> Result<Vec<Windows>, ScoutError> {
    let place: std::collections::HashMap<Lane, usize> =
        stretches.iter().enumerate().map(|(i, s)| (s.lane, i)).collect();
    let mut adding: Vec<Adding> = stretches.iter().map(|_| Adding::default()).collect();
    scout.walk(stretches, limits, |seen| adding[place[&seen.lane]].add(seen.offset))?;
    let close = |mut a: Adding| {
        a.close();
        a.done
    };
    Ok(adding.into_iter().map(close).collect())
}
