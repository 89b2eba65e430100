//! The child: tries inputs of one target until its budget is spent, or dies of one.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::arguments::Arguments;
use crate::corpus;
use crate::mutate::mutate;
use crate::random::Random;
use crate::targets;
use crate::targets::Target;

/// Most CPU time of one input.
const CPU_MAX: Duration = Duration::from_secs(10);
/// Longest time of one input by the clock: a loaded machine may give the process little of it.
const CLOCK_MAX: Duration = Duration::from_secs(120);
/// Exit codes that the overseer knows.
pub const PANICKED: u8 = 101;
pub const HUNG: u8 = 102;
/// Inputs that a run keeps in memory beside the committed ones.
const POOL_MAX: usize = 4_000;

/// What a run came to.
#[derive(Debug, Default)]
pub struct Summary {
    pub executions: u64,
    pub corpus: usize,
    pub outcomes: usize,
    pub seconds: f64,
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

pub fn child(name: &str, arguments: &Arguments) -> ExitCode {
    let target = targets::all().into_iter().find(|t| t.name() == name).expect("the overseer knows the targets");
    let current = arguments.current.as_ref().map(|f| File::create(f).expect("the folder takes files"));
    std::panic::set_hook(Box::new(|info| PANIC.with(|p| *p.borrow_mut() = info.to_string())));
    // Milliseconds since the start at which the input under way began, or 0.
    let (began, clock) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let watched = began.clone();
    let run = Run {
        name: name.to_owned(),
        executions_max: if arguments.seconds.is_some() { u64::MAX } else { target.executions() },
        // The bounded run has an end as well.
        time: Duration::from_secs(arguments.seconds.unwrap_or(target.seconds())),
        random: Random::new(arguments.seed.unwrap_or(1)),
        save: arguments.save,
        current,
        began,
        clock,
        summary: Summary::default(),
    };
    let input = arguments.input.as_ref().map(|f| std::fs::read(f).expect("the input can be read"));
    let small = thread::Builder::new().stack_size(target.stack());
    let worker = small.spawn(move || run.run(target, input)).expect("a thread starts");
    // The input that was under way last, and the CPU time at which it was first seen.
    let mut seen = (0, Duration::ZERO);
    while !worker.is_finished() {
        thread::sleep(Duration::from_millis(20));
        let since = watched.load(Relaxed);
        if since != seen.0 {
            seen = (since, cpu());
        }
        let spent = (cpu() - seen.1, clock.elapsed().saturating_sub(Duration::from_millis(since)));
        if since > 0 && (spent.0 > CPU_MAX || spent.1 > CLOCK_MAX) {
            println!("an input took {:?} of CPU time in {:?}", spent.0, spent.1);
            std::process::exit(i32::from(HUNG));
        }
    }
    match worker.join() {
        Ok(Ok(s)) => {
            println!("summary {} {} {} {:.3}", s.executions, s.corpus, s.outcomes, s.seconds);
            ExitCode::SUCCESS
        }
        Ok(Err(panic)) => {
            println!("{panic}");
            ExitCode::from(PANICKED)
        }
        Err(_) => ExitCode::from(PANICKED),
    }
}

/// CPU time of this process (100 ticks a second).
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let (_, rest) = stat.rsplit_once(") ").expect("the name stands in brackets");
    let ticks: u64 = rest.split(' ').skip(11).take(2).map(|n| n.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

struct Run {
    name: String,
    executions_max: u64,
    time: Duration,
    random: Random,
    save: bool,
    current: Option<File>,
    began: Arc<AtomicU64>,
    clock: Instant,
    summary: Summary,
}

impl Run {
    fn run(mut self, mut target: Box<dyn Target>, input: Option<Vec<u8>>) -> Result<Summary, String> {
        if let Some(input) = input {
            self.attempt(target.as_mut(), &input)?;
            return Ok(self.summary);
        }
        let mut pool = corpus::load(&self.name);
        assert!(!pool.is_empty(), "no input in {}", corpus::folder(&self.name).display());
        let committed = pool.len();
        let mut outcomes = BTreeSet::new();
        for input in &pool {
            outcomes.insert(self.attempt(target.as_mut(), input)?);
        }
        let started = Instant::now();
        while self.summary.executions < self.executions_max && started.elapsed() < self.time {
            let mut input = self.random.pick(&pool).clone();
            let other = self.random.below(pool.len());
            if self.random.below(2) == 0 || !target.restructure(&mut input, &mut self.random) {
                mutate(&mut input, &pool[other], target.words(), &mut self.random);
            }
            if outcomes.insert(self.attempt(target.as_mut(), &input)?) {
                if self.save {
                    corpus::keep(&self.name, &input);
                }
                if pool.len() < committed + POOL_MAX {
                    pool.push(input);
                }
            }
        }
        self.summary.corpus = pool.len();
        self.summary.outcomes = outcomes.len();
        self.summary.seconds = started.elapsed().as_secs_f64();
        Ok(self.summary)
    }

    /// Tries one input; its outcome, or how it panicked.
    fn attempt(&mut self, target: &mut dyn Target, input: &[u8]) -> Result<u64, String> {
        if let Some(file) = &mut self.current {
            // The length stands first: a shorter input leaves the end of a longer one behind it.
            let write = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&(input.len() as u64).to_le_bytes()));
            write.and_then(|()| file.write_all(input)).expect("the folder takes files");
        }
        self.summary.executions += 1;
        self.began.store(self.clock.elapsed().as_millis().max(1) as u64, Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| target.run(input)));
        self.began.store(0, Relaxed);
        outcome.map_err(|_| PANIC.with(|p| p.take()))
    }
}
