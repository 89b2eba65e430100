//! Nanoseconds an event from bytes to fields: JSON with templates, without, and beside `serde_json`; bincode beside its crate.
//! All in turn in one run.
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
use tidemill::adapters::formats::options::Format;
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
    fn new(options: &Options) -> Ours {
        let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        let decoder = formats::build(options, &[], &events::fields(), &schemas).expect("the fields are right");
        Ours { decoder, fields: Fields::default(), verdicts: Verdicts::default() }
    }

    fn json(templates: bool) -> Ours {
        Ours::new(&Options { templates, ..Options::default() })
    }

    fn bincode() -> Ours {
        let schema = Some("payment.toml".into());
        Ours::new(&Options { format: Format::Bincode, schema, ..Options::default() })
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

/// The fields of `schemas/payment.toml` in their order; on the wire a tuple is its parts.
type Wire<'a> = (
    (&'a str, i64, f64, &'a str),
    (u32, u32, &'a str, bool),
    (&'a str, &'a str, &'a str, Option<f64>),
    (&'a str, &'a str, bool),
    (u32, u32, f64, f64, f64, u32, f32),
);

fn as_bincode(event: &[u8]) -> Vec<u8> {
    let p: Payment<'_> = serde_json::from_slice(event).expect("a payment");
    let wire: Wire<'_> = (
        (p.id, 1_793_491_200_000, p.amount, p.currency),
        (p.card.bin as u32, p.card.age_days as u32, p.card.country, p.card.prepaid),
        (p.merchant.id, p.merchant.category, p.merchant.country, Some(p.merchant.risk)),
        (p.device.kind, p.device.ip_country, p.device.new),
        (
            p.stats.n_1h as u32,
            p.stats.n_24h as u32,
            p.stats.sum_24h,
            p.stats.avg_30d,
            p.stats.std_30d,
            p.stats.declines_24h as u32,
            p.stats.distance_km as f32,
        ),
    );
    bincode::encode_to_vec(wire, bincode::config::standard()).expect("a payment can be written")
}

fn typed_bincode(events: &[Vec<u8>]) {
    for event in events {
        let read: Result<(Wire<'_>, usize), _> = bincode::borrow_decode_from_slice(event, bincode::config::standard());
        black_box(read.ok());
    }
}

/// Times all readers in turn, `rounds` times, and prints their line; `None` stands for one that cannot read these events.
fn line(name: &str, events: &[Vec<u8>], rounds: usize, readers: &mut [Option<&mut dyn FnMut()>]) {
    let mut times: Vec<Vec<f64>> = readers.iter().map(|_| vec![]).collect();
    for _ in 0..rounds {
        for (reader, times) in readers.iter_mut().zip(&mut times) {
            if let Some(read) = reader {
                let start = now();
                read();
                times.push((now() - start).as_secs_f64() * 1e9 / events.len() as f64);
            }
        }
    }
    let cell = |mut t: Vec<f64>| {
        t.sort_by(f64::total_cmp);
        t.get(t.len() / 2).map_or("-".into(), |m| format!("{m:.0} ({:.0}-{:.0})", t[0], t[t.len() - 1]))
    };
    let cells: Vec<String> = times.into_iter().map(cell).collect();
    let bytes = events.iter().map(Vec::len).sum::<usize>() / events.len();
    println!("| {name} | {bytes} | {} |", cells.join(" | "));
}

fn main() {
    let rounds: usize = std::env::args().nth(1).map_or(15, |n| n.parse().expect("the number of rounds"));
    println!("ns an event: median (lowest-highest) of {rounds} rounds, {EVENTS} events, batches of {BATCH}");
    println!("| events | bytes | templates | plain | its crate, typed | serde_json Value |\n|---|---|---|---|---|---|");
    for (name, shape) in events::SHAPES {
        let all = events::events(*shape, EVENTS, 7);
        let batches: Vec<Batch> = all.chunks(BATCH).map(events::batch).collect();
        let (mut templates, mut plain) = (Ours::json(true), Ours::json(false));
        let mut typed = || typed(&all);
        // a struct must have all its fields
        let typed_can = *name != "missing";
        line(
            name,
            &all,
            rounds,
            &mut [
                Some(&mut || templates.read(&batches)),
                Some(&mut || plain.read(&batches)),
                typed_can.then_some(&mut typed),
                Some(&mut || value(&all)),
            ],
        );
    }
    let all: Vec<Vec<u8>> = events::events(events::Shape::Base, EVENTS, 7).iter().map(|e| as_bincode(e)).collect();
    let batches: Vec<Batch> = all.chunks(BATCH).map(events::batch).collect();
    let mut ours = Ours::bincode();
    line(
        "bincode",
        &all,
        rounds,
        &mut [None, Some(&mut || ours.read(&batches)), Some(&mut || typed_bincode(&all)), None],
    );
}
