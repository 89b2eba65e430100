//! Texts: where they end, what their escapes mean, and how short ones fit into two words.

use super::super::table::Packed;
use super::cursor::Bad;
use super::cursor::Cursor;
use super::cursor::Read;
use super::marked::marked;

/// Content of a text in the event: from `start` up to `end`, without the quotes.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    pub start: u32,
    pub end: u32,
    pub escaped: bool,
    /// The 16 bytes from `start` on.
    head: &'a [u8; 16],
}

/// The first so many bytes of two words.
static HEADS: [Packed; 17] = {
    let (mut masks, mut len) = ([(0, 0); 17], 1);
    while len <= 16 {
        let mask = u128::MAX >> (128 - 8 * len);
        masks[len] = (mask as u64, (mask >> 64) as u64);
        len += 1;
    }
    masks
};

impl Found<'_> {
    /// The place behind the closing quote.
    #[inline(always)]
    pub fn behind(&self) -> u32 {
        self.end + 1
    }

    /// A text without escapes as two words; `None` when it is empty or longer than 16 bytes.
    #[inline(always)]
    pub fn packed(&self) -> Option<Packed> {
        let len = (self.end - self.start) as usize;
        let mask = HEADS.get(len).filter(|_| len > 0)?;
        let head = u128::from_le_bytes(*self.head);
        Some((head as u64 & mask.0, (head >> 64) as u64 & mask.1))
    }
}

impl<'a> Cursor<'a, '_> {
    /// The text whose opening quote is before `start`.
    #[inline(always)]
    pub fn text(&mut self, start: u32) -> Read<Found<'a>> {
        let head = self.load::<16>(start)?;
        let marked = marked(head);
        self.not_ascii |= marked.not_ascii;
        let first = marked.special & marked.special.wrapping_neg();
        if marked.quotes & first != 0 {
            let end = start + first.trailing_zeros();
            return Ok(Found { start, end, escaped: false, head });
        }
        self.long_text(start, head)
    }

    #[inline(never)]
    fn long_text(&mut self, start: u32, head: &'a [u8; 16]) -> Read<Found<'a>> {
        let mut escaped = false;
        self.i = start;
        loop {
            let marked = marked(self.load::<16>(self.i)?);
            self.not_ascii |= marked.not_ascii;
            if marked.special == 0 {
                self.i += 16;
                continue;
            }
            self.i += marked.special.trailing_zeros();
            match self.here() {
                b'"' => return Ok(Found { start, end: self.i, escaped, head }),
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
                    if self.load::<2>(self.i)? != b"\\u" {
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
    pub fn unescape(&mut self, found: Found<'_>) -> Read<()> {
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

    #[inline(always)]
    pub fn content(&self, found: Found<'_>) -> &'a [u8] {
        &self.bytes[found.start as usize..found.end as usize]
    }
}
