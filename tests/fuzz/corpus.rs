//! The committed inputs of a target, and new ones that are kept.

use std::fs;
use std::path::PathBuf;

use crate::random::hash;

/// Inputs of a target that are kept at most.
const FILES_MAX: usize = 200;
/// Larger inputs are not committed.
const KEPT_MAX: usize = 4 << 10;

pub fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

/// All inputs in the order of their names, so that a seed means the same on every machine.
pub fn load(target: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder(target)).into_iter().flatten().flatten().map(|e| e.path()).collect();
    files.sort();
    files.iter().map(|f| fs::read(f).expect("a committed file can be read")).collect()
}

pub fn keep(target: &str, input: &[u8]) {
    let folder = folder(target);
    let files = fs::read_dir(&folder).into_iter().flatten().count();
    if input.len() <= KEPT_MAX && files < FILES_MAX {
        fs::create_dir_all(&folder).expect("the corpus takes files");
        fs::write(folder.join(format!("{:016x}", hash(&[input]))), input).expect("the corpus takes files");
    }
}
