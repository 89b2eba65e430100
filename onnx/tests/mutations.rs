//! Damaged files: the corpus' models with bytes changed, cut and repeated must end in an error or a result, never in a panic
//! or a long wait. The seeds are the same in every run; `TIDEMILL_MUTATIONS` sets how many, `TIDEMILL_SEED` the first.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tidemill_onnx::graph::convert;
use tidemill_onnx::session::Options;
use tidemill_onnx::session::Session;
use tidemill_onnx::session::sample;

/// Larger files would mostly have their weights changed.
const BYTES: u64 = 6_000;
/// Files a run of `make test`.
const FILES: u64 = 5_000;
/// One file may take this long on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn damaged_files_end_in_an_error_or_a_result() {
    let number = |name: &str, otherwise| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(otherwise);
    let (first, files): (u64, u64) = (number("TIDEMILL_SEED", 1), number("TIDEMILL_MUTATIONS", FILES));
    let models = models();
    assert!(models.len() > 100, "{} models", models.len());
    let thread = std::thread::Builder::new().stack_size(256 << 20);
    let run = thread.spawn(move || {
        let (mut loaded, mut wrong) = (0, vec![]);
        for seed in first..first + files {
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let model = &models[random.below(models.len())];
            let bytes = damage(fs::read(model).unwrap(), &mut random);
            let start = Instant::now();
            let end = catch_unwind(AssertUnwindSafe(|| attempt(&bytes)));
            let name = model.file_name().unwrap().to_string_lossy();
            match end {
                Err(_) => wrong.push(format!("seed {seed} ({name}): panicked")),
                Ok(scored) => loaded += usize::from(scored),
            }
            if start.elapsed() > PATIENCE {
                wrong.push(format!("seed {seed} ({name}): took {:?}", start.elapsed()));
            }
        }
        (loaded, wrong)
    });
    let (loaded, wrong) = run.unwrap().join().unwrap();
    println!("{files} damaged files, {loaded} of them still score rows");
    assert!(wrong.is_empty(), "{} files:\n{}", wrong.len(), wrong.join("\n"));
    assert!(loaded > 0, "no damaged file scores rows: the damage is too great to test anything");
}

fn models() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models/corpus");
    let all = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let small = |p: &PathBuf| p.extension().is_some_and(|e| e == "onnx") && fs::metadata(p).unwrap().len() < BYTES;
    let mut models: Vec<PathBuf> = all.filter(small).collect();
    models.sort();
    models
}

fn damage(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    for _ in 0..1 + random.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] = bytes[at].wrapping_add(1),
            2 => bytes[at] ^= 1 << random.below(8),
            3 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            4 => bytes.truncate(at),
            _ => {
                let end = (at + 1 + random.below(16)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// Whether the file could be loaded and scored rows.
fn attempt(bytes: &[u8]) -> bool {
    let Ok(model) = convert::read(bytes, None) else { return false };
    let Ok(session) = Session::load(&model, None, &Options::default()) else { return false };
    let session = Arc::new(session);
    let Ok(inputs) = sample::rows(&session.inputs, 3, 1) else { return false };
    session.worker().is_ok_and(|mut worker| worker.run(3, inputs).is_ok())
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end
    }
}
