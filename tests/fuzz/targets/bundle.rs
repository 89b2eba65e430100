//! The bundle reader: a changed `model.toml` or changed golden records are refused with a reason, or taken and held to.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use tidemill::adapters::formats;
use tidemill::adapters::models::bundle;
use tidemill::adapters::models::golden;

use super::Target;
use crate::random::Random;
use crate::random::hash;

/// Stands between the manifest and the golden records.
const BREAK: &[u8] = b"\n=====\n";

pub struct Bundle {
    folder: PathBuf,
}

impl Bundle {
    pub fn new() -> Bundle {
        Bundle {
            folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz/bundle-{}", std::process::id())),
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Target for Bundle {
    fn name(&self) -> &'static str {
        "bundle"
    }

    fn words(&self) -> &'static [&'static [u8]] {
        const WORDS: &[&[u8]] = &[
            b"[[feature]]\n",
            b"[[output]]\n",
            b"[golden]\n",
            b"name = \"x\"\n",
            b"field = \"a[0]\"\n",
            b"type = \"category\"\n",
            b"default = nan\n",
            b"default = 1e400\n",
            b"tensor = \"input\"\n",
            b"column = 99\n",
            b"tolerance = -1\n",
            b"null",
            b"\"NaN\"",
            b"{\"event\":{}}\n",
            b"[]",
            b"{}",
            b"true",
            b"0",
            b"\n=====\n",
        ];
        WORDS
    }

    fn restructure(&mut self, input: &mut Vec<u8>, random: &mut Random) -> bool {
        // Lines change places or go.
        let mut lines: Vec<Vec<u8>> = input.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        let (a, b) = (random.below(lines.len()), random.below(lines.len()));
        match random.below(3) {
            0 => lines.swap(a, b),
            1 => drop(lines.remove(a)),
            _ => lines.insert(b, lines[a].clone()),
        }
        *input = lines.join(&b'\n');
        true
    }

    /// Loading runs the model, whose kernels nobody promised a small stack.
    fn stack(&self) -> usize {
        8 << 20
    }

    fn executions(&self) -> u64 {
        400
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let at = input.windows(BREAK.len()).position(|w| w == BREAK).unwrap_or(input.len());
        let (manifest, records) = (&input[..at], input.get(at + BREAK.len()..).unwrap_or_default());
        if !self.folder.exists() {
            fs::create_dir_all(&self.folder).expect("the folder takes files");
            let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fraud/mlp/model.onnx");
            fs::copy(model, self.folder.join("model.onnx")).expect("the model is committed");
        }
        fs::write(self.folder.join("model.toml"), manifest).expect("the folder takes files");
        fs::write(self.folder.join("golden.jsonl"), records).expect("the folder takes files");
        let path = |text: &str| formats::path::parse(text).map_err(|e| e.to_string());
        let bundle = match bundle::Bundle::load(&self.folder, &path) {
            Ok(bundle) => bundle,
            Err(error) => return told("bundle", &error.to_string()),
        };
        let options = formats::options::Options::default();
        let Ok(mut decoder) = formats::build(&options, &[], &bundle.wanted, Path::new("")) else { return 2 };
        let slots: Vec<usize> = (0..bundle.wanted.len()).collect();
        match golden::verify(&bundle, decoder.as_mut(), bundle.model(&slots).as_mut()) {
            Ok(report) => hash(&[b"agrees", &[report.records.min(60) as u8]]),
            Err(error) => told("golden", &error.to_string()),
        }
    }
}

/// An outcome by the words of a message, without names and numbers.
fn told(what: &str, message: &str) -> u64 {
    assert!(!message.trim().is_empty(), "refused without a word");
    let words: Vec<&str> = message.split(|c: char| !c.is_ascii_lowercase()).filter(|w| w.len() > 3).take(8).collect();
    hash(&[what.as_bytes(), words.join(" ").as_bytes()])
}
