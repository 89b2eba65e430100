//! The text of a dead letter: whatever a reason quotes, it is short printable ASCII.

use tidemill::domain::verdict::DETAIL_MAX;
use tidemill::domain::verdict::Rejected;
use tidemill::domain::verdict::Stage;

use super::Target;
use crate::random::hash;

pub struct Escape;

impl Target for Escape {
    fn name(&self) -> &'static str {
        "escape"
    }

    fn words(&self) -> &'static [&'static [u8]] {
        const WORDS: &[&[u8]] = &[
            b"\0",
            b"\n",
            "é".as_bytes(),
            "\u{10ffff}".as_bytes(),
            b"\x7f",
            b"\x1b[31m",
            b"\\",
            "\u{202e}".as_bytes(),
        ];
        WORDS
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let text = String::from_utf8_lossy(input);
        let detail = Rejected::new(Stage::Decode, "x", &text).detail;
        let plain = |c: char| (' '..='~').contains(&c);
        assert!(detail.len() <= DETAIL_MAX && detail.chars().all(plain), "{detail:?}");
        // Plain text passes unchanged up to the limit; anything else becomes longer, never shorter.
        let kept = text.chars().take_while(|c| plain(*c)).count();
        assert!(detail.starts_with(&text[..kept.min(DETAIL_MAX)]));
        assert!(detail.len() >= text.chars().count().min(DETAIL_MAX - 10));
        hash(&[&[u8::from(detail.len() > DETAIL_MAX - 12), text.chars().filter(|c| !plain(*c)).count().min(60) as u8]])
    }
}
