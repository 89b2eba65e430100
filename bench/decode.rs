//! Nanoseconds an event from JSON to fields: with templates, without, and beside `serde_json`, in turn in one run.
//!
//! Times are thread CPU time, the median of all rounds with the lowest and highest. Events are 20,000 different ones, so
//! that neither branches nor the first cache level know them.

#[path = "events.rs"]
mod events;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tidemill::adapters::formats;
use tidemill::adapters::formats::options::Options;
use tidemill::domain::batch::Batch;
use tidemill::domain::fields::Fields;
use tidemill::domain::verdict::Verdicts;
use tidemill::ports::Decoder;

const EVENTS: usize = 20_000;
const BATCH: usize = 256;

/// CPU time of this thread.
fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on Linux, and the struct is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

struct Ours {
    decoder: Box<dyn Decoder>,
    fields: Fields,
    verdicts: Verdicts,
}

impl Ours {
    fn new(templates: bool) -> Ours {
        let options = Options { templates, ..Options::default() };
        let decoder = formats::build(&options, &[], &events::fields(), Path::new("")).expect("the fields are right");
        Ours { decoder, fields: Fields::default(), verdicts: Verdicts::default() }
    }

    fn read(&mut self, batches: &[Batch]) {
        for batch in batches {
            self.verdicts.reset(batch.records.len());
            self.decoder.decode(batch, &mut self.fields, &mut self.verdicts);
            assert!(self.verdicts.rejected.is_empty(), "{:?}", self.verdicts.rejected);
            black_box(&self.fields);
        }
    }
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Payment<'a> {
    id: &'a str,
    ts: &'a str,
    amount: f64,
    currency: &'a str,
    card: Card<'a>,
    merchant: Merchant<'a>,
    device: Device<'a>,
    stats: Stats,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Card<'a> {
    bin: f64,
    age_days: f64,
    country: &'a str,
    prepaid: bool,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Merchant<'a> {
    id: &'a str,
    category: &'a str,
    country: &'a str,
    risk: f64,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Device<'a> {
    kind: &'a str,
    ip_country: &'a str,
    new: bool,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Stats {
    n_1h: f64,
    n_24h: f64,
    sum_24h: f64,
    avg_30d: f64,
    std_30d: f64,
    declines_24h: f64,
    distance_km: f64,
}

fn typed(events: &[Vec<u8>]) {
    for event in events {
        black_box(serde_json::from_slice::<Payment>(event).ok());
    }
}

fn value(events: &[Vec<u8>]) {
    for event in events {
        black_box(serde_json::from_slice::<Value>(event).ok());
    }
}

fn main() {
    let rounds: usize = std::env::args().nth(1).map_or(15, |n| n.parse().expect("the number of rounds"));
    println!("ns an event: median (lowest-highest) of {rounds} rounds, {EVENTS} events, batches of {BATCH}");
    println!("| events | bytes | templates | plain | serde_json typed | serde_json Value |\n|---|---|---|---|---|---|");
    for (name, shape) in events::SHAPES {
        let all = events::events(*shape, EVENTS, 7);
        let bytes = all.iter().map(Vec::len).sum::<usize>() / all.len();
        let batches: Vec<Batch> = all.chunks(BATCH).map(events::batch).collect();
        let (mut templates, mut plain) = (Ours::new(true), Ours::new(false));
        // a struct must have all its fields
        let typed_can = serde_json::from_slice::<Payment>(&all[0]).is_ok() && *name != "missing";
        let mut times: [Vec<f64>; 4] = Default::default();
        for _ in 0..rounds {
            for (k, times) in times.iter_mut().enumerate() {
                let start = now();
                match k {
                    0 => templates.read(&batches),
                    1 => plain.read(&batches),
                    2 if typed_can => typed(&all),
                    2 => continue,
                    _ => value(&all),
                }
                times.push((now() - start).as_secs_f64() * 1e9 / EVENTS as f64);
            }
        }
        let cells = times.map(|mut t| {
            t.sort_by(f64::total_cmp);
            t.get(t.len() / 2).map_or("-".into(), |m| format!("{m:.0} ({:.0}-{:.0})", t[0], t[t.len() - 1]))
        });
        println!("| {name} | {bytes} | {} |", cells.join(" | "));
    }
}
