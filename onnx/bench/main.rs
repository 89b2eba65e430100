//! Any models against onnxruntime, interleaved in one process, one thread each:
//! `bench_models FILE.onnx|FOLDER.. [--batches 1,8,64,256] [--paths portable,avx2,avx512] [--ms 10] [--same]`
//!
//! Prints a Markdown table: nanoseconds a row of thread CPU time, medians of 9 chunks, and how many times faster we are, with a
//! line for each set of instructions that our side may use (all that the processor has, if none is named). Rows are in rotation, 2,048 different ones, since with the same rows in every call onnxruntime's branches are learnt by the
//! processor (`--same` shows that). `FILE.rows` beside a model with one matrix of floats holds its rows as little-endian `f32`;
//! else they are random. `ORT_DYLIB_PATH` names onnxruntime's library.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use ort::session::Session as OrtSession;
use ort::session::SessionInputValue;
use ort::value::Tensor as OrtTensor;
use tidemill_onnx::cpu;
use tidemill_onnx::cpu::Level;
use tidemill_onnx::graph::convert;
use tidemill_onnx::session::Options;
use tidemill_onnx::session::Session;
use tidemill_onnx::session::rows::RowPort;
use tidemill_onnx::session::worker::Worker;
use tidemill_onnx::tensor::ElementType;
use tidemill_onnx::tensor::Tensor;
use tidemill_onnx::value::Value;

/// Our side allocates as the daemon does; onnxruntime keeps arenas of its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows in rotation.
const ROWS: usize = 2048;
/// Chunks of each engine and batch; the first one is not counted.
const CHUNKS: usize = 10;

struct Arguments {
    models: Vec<PathBuf>,
    batches: Vec<usize>,
    paths: Vec<Level>,
    seconds: f64,
    same: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let library = std::env::var("ORT_DYLIB_PATH").unwrap_or_else(|_| "libonnxruntime.so".into());
    let environment = ort::init_from(library)?.with_telemetry(false).build()?;
    let head: Vec<String> = arguments.batches.iter().map(|b| format!("{b} (onnxruntime / ours)")).collect();
    println!("| model | path | {} | how |\n|---|---|{}---|", head.join(" | "), "---|".repeat(head.len()));
    for path in &arguments.models {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        for level in &arguments.paths {
            match bench(path, *level, &arguments, &environment) {
                Ok(line) => println!("| {name} | {line} |"),
                Err(why) => println!("| {name} | left out: {why} |"),
            }
        }
    }
    Ok(())
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let paths = Level::ALL.into_iter().filter(|level| is_here(*level)).collect();
    let mut out = Arguments { models: vec![], batches: vec![1, 8, 64, 256], paths, seconds: 0.01, same: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--batches" => {
                let list = words.next().ok_or("--batches needs a list")?;
                out.batches = list.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            "--paths" => {
                let level = |word: &str| Level::ALL.into_iter().find(|l| name(*l) == word).ok_or("no such path");
                out.paths =
                    words.next().ok_or("--paths needs a list")?.split(',').map(level).collect::<Result<_, _>>()?;
            }
            "--ms" => out.seconds = words.next().ok_or("--ms needs a number")?.parse::<f64>()? / 1000.0,
            "--same" => out.same = true,
            "--bench" => {}
            path if Path::new(path).is_dir() => {
                let files = std::fs::read_dir(path)?.filter_map(|e| e.ok().map(|e| e.path()));
                let mut files: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect();
                files.sort();
                out.models.extend(files);
            }
            path => out.models.push(path.into()),
        }
    }
    Ok(out)
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Portable => "portable",
        Level::Avx2 => "avx2",
        Level::Avx512 => "avx512",
    }
}

/// Whether the processor has the instructions.
fn is_here(level: Level) -> bool {
    match level {
        Level::Portable => true,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => is_x86_feature_detected!("avx2"),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => is_x86_feature_detected!("avx512f"),
        #[cfg(not(target_arch = "x86_64"))]
        _ => false,
    }
}

/// A session by some instructions; tuned as the daemon does it.
fn load(path: &Path, level: Level) -> Result<Arc<Session>, Box<dyn Error>> {
    cpu::limit(level);
    let session = Arc::new(Session::load(&convert::read_file(path)?, None, &Options::default())?);
    let one: Vec<Value> = rows(path, &session.inputs)?.iter().map(|t| piece_of(t, 0, 1).into()).collect();
    session.tune(&one)?;
    Ok(session)
}

/// A line of the table: for each batch both times and the ratio, then what our side says about itself. One session of ours
/// lives at a time, as in the daemon: where several take turns, their memory lies otherwise and single rows take up to
/// twice as long.
fn bench(
    path: &Path,
    level: Level,
    arguments: &Arguments,
    environment: &ort::environment::Environment,
) -> Result<String, Box<dyn Error>> {
    let session = load(path, level)?;
    let mut worker = session.worker()?;
    let builder = OrtSession::builder(environment)?.with_intra_threads(1).map_err(|e| e.to_string())?;
    let mut theirs = builder.with_inter_threads(1).map_err(|e| e.to_string())?.commit_from_file(path)?;
    let rows = rows(path, &session.inputs)?;
    let mut line = format!("{} |", name(level));
    for batch in &arguments.batches {
        let pieces: Vec<Vec<Tensor>> = (0..ROWS / batch).map(|i| piece(&rows, i * batch, *batch)).collect();
        let (ours, others) = (Ours::new(&pieces), foreign(&pieces)?);
        let (mut theirs_times, mut ours_times) = (vec![], vec![]);
        for chunk in 0..CHUNKS {
            let pieces = if arguments.same { 1 } else { pieces.len() };
            let new = measure(arguments.seconds, *batch, pieces, |i| {
                let inputs: Vec<SessionInputValue<'_>> = others[i].iter().map(|v| v.into()).collect();
                black_box(theirs.run(&inputs[..])?);
                Ok(())
            })?;
            let new = (new, measure(arguments.seconds, *batch, pieces, |i| ours.run(&mut worker, *batch, i))?);
            if chunk > 0 {
                theirs_times.push(new.0);
                ours_times.push(new.1);
            }
        }
        let (theirs, ours) = (median(theirs_times), median(ours_times));
        line.push_str(&format!(" {theirs:.0} / {ours:.0} = **{:.2}** |", theirs / ours));
    }
    let pieces = session.piece().map_or(String::new(), |n| format!(", {n} at a time is faster"));
    line.push_str(&format!(" {}{pieces}; {}", session.feeding(), session.engine().notes().join("; ")));
    Ok(line)
}

/// Our inputs for every piece; cloning a value copies no elements.
struct Ours(Vec<Vec<Value>>);

impl Ours {
    fn new(pieces: &[Vec<Tensor>]) -> Ours {
        Ours(pieces.iter().map(|p| p.iter().map(|t| t.clone().into()).collect()).collect())
    }

    fn run(&self, worker: &mut Worker, batch: usize, i: usize) -> Result<(), Box<dyn Error>> {
        black_box(worker.run(batch, self.0[i].clone())?);
        Ok(())
    }
}

/// onnxruntime's inputs for every piece.
fn foreign(pieces: &[Vec<Tensor>]) -> Result<Vec<Vec<ort::value::DynValue>>, Box<dyn Error>> {
    let one = |t: &Tensor| -> Result<ort::value::DynValue, Box<dyn Error>> {
        let shape = t.shape().to_vec();
        Ok(match t.element_type() {
            ElementType::F32 => OrtTensor::from_array((shape, t.slice::<f32>()?.to_vec()))?.into_dyn(),
            ElementType::F64 => OrtTensor::from_array((shape, t.slice::<f64>()?.to_vec()))?.into_dyn(),
            ElementType::I64 => OrtTensor::from_array((shape, t.slice::<i64>()?.to_vec()))?.into_dyn(),
            other => return Err(format!("inputs of type {other} are not benched").into()),
        })
    };
    pieces.iter().map(|piece| piece.iter().map(one).collect()).collect()
}

/// Seconds of CPU time this thread has taken.
fn now() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec` to where the pointer says, which is one.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Nanoseconds a row, over calls that take `seconds` together.
fn measure(
    seconds: f64,
    batch: usize,
    pieces: usize,
    mut run: impl FnMut(usize) -> Result<(), Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    let (mut calls, start) = (0, now());
    loop {
        for _ in 0..(256 / batch).max(1) {
            run(calls % pieces)?;
            calls += 1;
        }
        let spent = now() - start;
        if spent >= seconds {
            return Ok(spent / (calls * batch) as f64 * 1e9);
        }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// All rows of every input.
fn rows(path: &Path, ports: &[RowPort]) -> Result<Vec<Tensor>, Box<dyn Error>> {
    let mut state = 88172645463325252u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // the sum of four uniform numbers is near enough to a normal one
        (0..4).map(|i| ((state >> (16 * i)) & 0xffff) as f32 / 65536.0 - 0.5).sum::<f32>() * 1.7
    };
    let file = path.with_extension("rows");
    let mut out = vec![];
    for port in ports {
        let shape = port.fixed_shape().ok_or_else(|| format!("input `{}` has no fixed shape", port.name))?;
        let shape = [&[ROWS], &shape[..]].concat();
        let len = shape.iter().product();
        out.push(match port.element_type {
            ElementType::F32 if file.exists() => {
                let bytes = std::fs::read(&file)?;
                let all: Vec<f32> =
                    bytes.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
                Tensor::new(&shape, all.into_iter().cycle().take(len).collect())?
            }
            ElementType::F32 => Tensor::new(&shape, (0..len).map(|_| random()).collect())?,
            ElementType::F64 => Tensor::new(&shape, (0..len).map(|_| f64::from(random())).collect())?,
            ElementType::I64 => Tensor::new(&shape, (0..len).map(|_| (random() * 4.0) as i64).collect())?,
            other => return Err(format!("input `{}` is of type {other}", port.name).into()),
        });
    }
    Ok(out)
}

fn piece(rows: &[Tensor], from: usize, count: usize) -> Vec<Tensor> {
    rows.iter().map(|t| piece_of(t, from, count)).collect()
}

fn piece_of(rows: &Tensor, from: usize, count: usize) -> Tensor {
    tidemill_onnx::session::rows::rows(rows, from, from + count).expect("rows are there")
}
