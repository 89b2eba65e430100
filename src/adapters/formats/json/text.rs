//! Texts: where they end, what their escapes mean, and how short ones fit into two words.

use super::super::table::Packed;
use super::cursor::Bad;
use super::cursor::Cursor;
use super::cursor::Read;

/// Content of a text in the event: from `start` up to `end`, without the quotes.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub start: u32,
    pub end: u32,
    pub escaped: bool,
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// High bit of each byte that is a quote, a backslash or a control byte. Bits above the lowest one may be wrong.
#[inline(always)]
fn special(word: u64) -> u64 {
    let (quote, slash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c));
    let hit = (quote.wrapping_sub(ONES) & !quote)
        | (slash.wrapping_sub(ONES) & !slash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    hit & (ONES << 7)
}

impl Cursor<'_, '_> {
    /// From behind the opening quote to behind the closing one.
    #[inline(always)]
    pub fn text(&mut self) -> Read<Found> {
        let start = self.i;
        let both = u128::from_le_bytes(self.load::<16>(start)?);
        let (first, second) = (both as u64, (both >> 64) as u64);
        self.seen |= first | second;
        let (near, far) = (special(first), special(second));
        // lengths differ from text to text: a choice is cheaper than a branch. Without any hit this is byte 16, which is
        // as good as any other to look at.
        let far = 8 + (far.trailing_zeros() >> 3);
        let end = start + if near != 0 { near.trailing_zeros() >> 3 } else { far };
        if self.at(end) == b'"' {
            self.i = end + 1;
            return Ok(Found { start, end, escaped: false });
        }
        self.long_text(start)
    }

    #[inline(never)]
    fn long_text(&mut self, start: u32) -> Read<Found> {
        let mut escaped = false;
        loop {
            let word = self.word(self.i)?;
            self.seen |= word;
            let hit = special(word);
            if hit == 0 {
                self.i += 8;
                continue;
            }
            self.i += hit.trailing_zeros() >> 3;
            match self.here() {
                b'"' => {
                    self.i += 1;
                    return Ok(Found { start, end: self.i - 1, escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(Bad::Syntax),
            }
        }
    }

    fn hex(&mut self) -> Read<u32> {
        let digits = self.load::<4>(self.i)?;
        self.i += 4;
        let value = |sum: u32, digit: &u8| Some(sum << 4 | char::from(*digit).to_digit(16)?);
        digits.iter().try_fold(0, value).ok_or(Bad::Syntax)
    }

    /// Takes an escape, from its backslash on.
    fn escape(&mut self) -> Read<char> {
        let kind = self.at(self.i + 1);
        self.i += 2;
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex()?;
                let mut code = high;
                if (0xD800..0xDC00).contains(&high) {
                    if self.load::<2>(self.i)? != *b"\\u" {
                        return Err(Bad::Syntax);
                    }
                    self.i += 2;
                    let low = self.hex()?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return Err(Bad::Syntax);
                    }
                    code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                }
                char::from_u32(code).ok_or(Bad::Syntax)?
            }
            _ => return Err(Bad::Syntax),
        })
    }

    /// Writes what a text with escapes means into the scratch buffer.
    #[cold]
    pub fn unescape(&mut self, found: Found) -> Read<()> {
        let keep = self.i;
        self.scratch.clear();
        self.i = found.start;
        while self.i < found.end {
            match self.here() {
                b'\\' => {
                    let mut room = [0; 4];
                    let meant = self.escape()?.encode_utf8(&mut room).len();
                    self.scratch.extend_from_slice(&room[..meant]);
                }
                byte => {
                    self.scratch.push(byte);
                    self.i += 1;
                }
            }
        }
        self.i = keep;
        Ok(())
    }

    /// A text without escapes as two words; `None` when it is empty or longer than 16 bytes.
    #[inline(always)]
    pub fn packed(&self, found: Found) -> Read<Option<Packed>> {
        let (first, len) = (self.word(found.start)?, found.end - found.start);
        Ok(match len {
            1..=8 => Some((first & (u64::MAX >> (64 - 8 * len)), 0)),
            9..=16 => Some((first, self.word(found.start + 8)? & (u64::MAX >> (128 - 8 * len)))),
            _ => None,
        })
    }

    #[inline(always)]
    pub fn content(&self, found: Found) -> &[u8] {
        &self.bytes[found.start as usize..found.end as usize]
    }
}
