//! Paths into events: no text is too odd, and what is read can be written and read again.

use tidemill::adapters::formats::Error;
use tidemill::adapters::formats::path;

use super::Target;
use crate::random::hash;

pub struct Path;

impl Target for Path {
    fn name(&self) -> &'static str {
        "path"
    }

    fn words(&self) -> &'static [&'static [u8]] {
        const WORDS: &[&[u8]] =
            &[b".", b"[", b"]", b"\"", b"\\", b"\\\"", b"[0]", b"[4294967296]", b"a", "größe".as_bytes(), b" "];
        WORDS
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let Ok(text) = std::str::from_utf8(input) else { return 1 };
        match path::parse(text) {
            Ok(steps) => {
                let shown = path::show(&steps);
                assert_eq!(path::parse(&shown).ok().as_ref(), Some(&steps), "{shown}");
                hash(&[b"read", &[steps.len().min(20) as u8]])
            }
            Err(Error::Path { problem, .. }) => hash(&[problem.as_bytes()]),
            Err(error) => panic!("not an error of a path: {error}"),
        }
    }
}
