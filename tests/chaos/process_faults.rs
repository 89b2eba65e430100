//! Faults of the processes themselves.

use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::bench::SESSION;
use crate::fault::Fault;
use crate::members::Cause;
use crate::members::Members;
use crate::members::Slot;
use crate::sampler::Sampler;
use crate::schedule::Detail;
use crate::support::signal::Signal;

/// Points that records under way pass all the time.
const FLOW: [&str; 16] = [
    "after_poll",
    "in_batch_fill",
    "after_decode",
    "before_infer",
    "in_infer",
    "after_infer",
    "after_encode",
    "before_pg_begin",
    "before_dlq",
    "after_dlq",
    "after_pg_rows",
    "before_pg_commit",
    "after_pg_commit",
    "after_settle",
    "before_kafka_commit",
    "after_kafka_commit",
];
/// Points that a rebalance passes.
const MOVES: [&str; 6] =
    ["in_assign_cb", "before_claim", "after_claim", "in_revoke_cb", "before_release", "after_release"];
/// Points that only an end passes.
const ENDS: [&str; 5] = ["in_drain", "before_release", "after_release", "after_drain_before_close", "in_close"];
const USURP: &str = "UPDATE tidemill.progress SET epoch = epoch + 1, owner = gen_random_uuid()";
/// Longest wait for an armed point to be passed.
const PATIENCE: Duration = Duration::from_secs(8);

pub struct Processes {
    pub members: Arc<Members>,
    pub sampler: Arc<Sampler>,
    pub steady: usize,
}

impl Processes {
    pub fn cause(&self, fault: Fault, detail: &mut Detail) -> Result<String, String> {
        match fault {
            Fault::Kill => self.kill(&[detail.below(self.steady)], detail),
            Fault::KillTwo => {
                let first = detail.below(self.steady);
                self.kill(&[first, (first + 1) % self.steady], detail)
            }
            Fault::Restart => self.restart(detail),
            Fault::StopShort => self.stand(detail, 0.1, 0.6),
            Fault::StopLong => self.stand(detail, 1.5, 2.5),
            Fault::Join => self.join(detail),
            Fault::Storm => self.storm(detail),
            Fault::KillAtFailpoint => self.at_failpoint("kill", detail),
            Fault::AbortAtFailpoint => self.at_failpoint("abort", detail),
            Fault::PanicAtFailpoint => self.at_failpoint("panic", detail),
            Fault::DelayAtFailpoint => self.delay(detail),
            Fault::KillInDrain => self.end_at_failpoint(detail),
            Fault::Usurp => self.usurp(),
            other => Err(format!("{} is no fault of processes", other.name())),
        }
    }

    fn kill(&self, numbers: &[usize], detail: &mut Detail) -> Result<String, String> {
        // Always in the order of their numbers, as everybody does who takes several.
        let mut numbers = numbers.to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        let mut slots: Vec<_> = numbers.iter().map(|n| self.members.slot(*n)).collect();
        let mut text = vec![];
        for slot in &mut slots {
            let Some(process) = &slot.process else { continue };
            text.push(format!("{} with about {} in flight", process.name, process.scrape().in_flight));
            self.orphan(slot);
            self.members.kill(slot);
        }
        thread::sleep(detail.between(0.0, 3.0));
        slots.iter_mut().for_each(|slot| self.members.start(slot));
        Ok(text.join(", "))
    }

    fn orphan(&self, slot: &Slot) {
        if let Some(owner) = slot.process.as_ref().and_then(|p| p.owner()) {
            self.sampler.orphaned(&owner, self.members.journal.now());
        }
    }

    fn restart(&self, detail: &mut Detail) -> Result<String, String> {
        let mut slot = self.members.slot(detail.below(self.steady));
        let name = slot.process.as_ref().map(|p| p.name.clone()).unwrap_or_default();
        self.members.stop(&mut slot);
        self.members.start(&mut slot);
        Ok(name)
    }

    fn stand(&self, detail: &mut Detail, low: f64, high: f64) -> Result<String, String> {
        let slot = self.members.slot(detail.below(self.steady));
        let process = slot.process.as_ref().ok_or("nobody runs there")?;
        let session = SESSION.as_secs_f64();
        let time = detail.between(low * session, high * session);
        process.daemon.signal(Signal::Stop);
        thread::sleep(time);
        process.daemon.signal(Signal::Continue);
        Ok(format!("{} for {time:.1?}", process.name))
    }

    fn join(&self, detail: &mut Detail) -> Result<String, String> {
        let mut slot = self.members.slot(self.members.spare().start);
        self.members.start(&mut slot);
        thread::sleep(detail.between(1.5, 5.0));
        self.members.stop(&mut slot);
        Ok("one more for some seconds".into())
    }

    fn storm(&self, detail: &mut Detail) -> Result<String, String> {
        let mut slots: Vec<_> = self.members.spare().map(|n| self.members.slot(n)).collect();
        let turns = 2 + detail.below(3);
        for _ in 0..turns {
            for slot in &mut slots {
                self.members.start(slot);
                thread::sleep(detail.between(0.3, 1.2));
            }
            for slot in &mut slots {
                if detail.below(2) == 0 { self.members.kill(slot) } else { self.members.stop(slot) }
            }
        }
        Ok(format!("{turns} times {} came and went", slots.len()))
    }

    /// Arms a point in one process, makes sure that it is passed, and waits for the end of that process.
    fn at_failpoint(&self, action: &str, detail: &mut Detail) -> Result<String, String> {
        let number = detail.below(self.steady);
        let (flow, skip) = (detail.below(10) < 7, detail.below(4));
        let point = match if flow { detail.of(&FLOW) } else { detail.of(&MOVES) } {
            // There a panic condemns a record and ends nothing.
            "in_infer" if action == "panic" => "before_infer",
            point => point,
        };
        let mut slot = self.members.slot(number);
        let process = slot.process.as_mut().ok_or("nobody runs there")?;
        process.arm(&format!("{point}={action},skip={},times=1", if flow { skip } else { 0 }));
        let mut extra = (!flow).then(|| self.members.slot(self.members.spare().start));
        if let Some(extra) = &mut extra {
            self.members.start(extra);
        }
        let armed = Instant::now();
        let fired =
            |slot: &mut Slot| slot.process.as_mut().is_some_and(|p| p.daemon.exit().is_some() || p.fired(point) > 0);
        while !fired(&mut slot) && armed.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(20));
        }
        let outcome = self.after_failpoint(&mut slot, point, action);
        if let Some(extra) = &mut extra {
            self.members.stop(extra);
        }
        outcome
    }

    fn after_failpoint(&self, slot: &mut Slot, point: &str, action: &str) -> Result<String, String> {
        let process = slot.process.as_mut().ok_or("nobody runs there")?;
        let text = format!("{action} at {point} in {}", process.name);
        if process.fired(point) == 0 && process.daemon.exit().is_none() {
            process.arm("");
            return Err(format!("{text}: not passed in {PATIENCE:?}"));
        }
        // A panic ends the process too, after a drain where it can.
        let ended = Instant::now();
        while process.daemon.exit().is_none() && ended.elapsed() < crate::bench::BUDGET + PATIENCE {
            thread::sleep(Duration::from_millis(20));
        }
        if process.daemon.exit().is_none() {
            self.members.journal.wrong(format!("{text}: it lives on"));
            return Ok(text);
        }
        self.orphan(slot);
        self.members.finish(slot, Cause::Failpoint, None);
        self.members.start(slot);
        Ok(text)
    }

    fn delay(&self, detail: &mut Detail) -> Result<String, String> {
        let slot = self.members.slot(detail.below(self.steady));
        let (point, time, times) = (detail.of(&FLOW), detail.between(0.2, 3.0), 1 + detail.below(3));
        let process = slot.process.as_ref().ok_or("nobody runs there")?;
        process.arm(&format!("{point}=sleep({}),times={times}", time.as_millis()));
        thread::sleep(time * times as u32 + Duration::from_millis(500));
        process.arm("");
        let fired = process.fired(point);
        let text = format!("{fired} times {time:.1?} at {point} in {}", process.name);
        if fired > 0 { Ok(text) } else { Err(text) }
    }

    /// SIGTERM, and in the middle of its obedience the process dies or is held up.
    fn end_at_failpoint(&self, detail: &mut Detail) -> Result<String, String> {
        let mut slot = self.members.slot(detail.below(self.steady));
        let point = detail.of(&ENDS);
        let late = detail.between(0.5, 3.0).as_millis();
        let plan = if detail.below(2) == 0 { "kill".to_owned() } else { format!("sleep({late})") };
        let process = slot.process.as_mut().ok_or("nobody runs there")?;
        let text = format!("{plan} at {point} in {}", process.name);
        process.arm(&format!("{point}={plan},times=1"));
        // Until the plan is read.
        thread::sleep(Duration::from_millis(150));
        if plan == "kill" {
            process.daemon.signal(Signal::Term);
            let asked = Instant::now();
            while process.daemon.exit().is_none() && asked.elapsed() < crate::bench::BUDGET + PATIENCE {
                thread::sleep(Duration::from_millis(10));
            }
            if process.daemon.exit().is_none() {
                self.members.journal.wrong(format!("V14: {text}: it did not end"));
                self.members.kill(&mut slot);
            } else {
                self.orphan(&slot);
                self.members.finish(&mut slot, Cause::Failpoint, None);
            }
        } else {
            self.members.stop(&mut slot);
        }
        self.members.start(&mut slot);
        Ok(text)
    }

    fn usurp(&self) -> Result<String, String> {
        let db = self.members.bench.db(Duration::from_secs(5))?;
        db.run(USURP)?;
        Ok("every partition was claimed by nobody".into())
    }
}
