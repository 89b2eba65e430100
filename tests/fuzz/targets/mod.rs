//! What is fuzzed: everything that reads bytes or texts which somebody else wrote.

mod bincode;
mod bundle;
mod config;
mod escape;
mod events;
mod headers;
mod json;
mod onnx;
mod path;
mod skip;
mod templates;
mod time;
mod wire;

use crate::random::Random;

/// One reader under test. A panic in [`Target::run`] is a find.
pub trait Target: Send {
    /// Also the folder of its corpus.
    fn name(&self) -> &'static str;

    /// Tries one input and says what came of it: inputs with a new outcome are mutated further.
    fn run(&mut self, input: &[u8]) -> u64;

    /// Pieces of the format, for the mutations.
    fn words(&self) -> &'static [&'static [u8]] {
        &[]
    }

    /// Changes the input's structure; false when it has none.
    fn restructure(&mut self, _input: &mut Vec<u8>, _random: &mut Random) -> bool {
        false
    }

    /// Bytes of stack: little, so that deep nesting shows.
    fn stack(&self) -> usize {
        256 << 10
    }

    /// Address space of the process.
    fn memory_mib(&self) -> u64 {
        1024
    }

    /// End of the bounded run on a slow machine.
    fn seconds(&self) -> u64 {
        3
    }

    /// Executions of the bounded run.
    fn executions(&self) -> u64 {
        10_000
    }
}

pub fn all() -> Vec<Box<dyn Target>> {
    vec![
        Box::new(onnx::Onnx::new()),
        Box::new(bundle::Bundle::new()),
        Box::new(config::Config),
        Box::new(skip::Skip),
        Box::new(json::Json::new()),
        Box::new(templates::Templates::new()),
        Box::new(bincode::Bincode::new(true)),
        Box::new(bincode::Bincode::new(false)),
        Box::new(time::Time::new()),
        Box::new(wire::Wire),
        Box::new(path::Path),
        Box::new(headers::Headers),
        Box::new(escape::Escape),
    ]
}
