//! Times of the common form, by the day of the time before.

use super::super::rfc3339;
use super::cursor::Cursor;
use super::cursor::Read;
use super::number::ZEROS;
use super::number::digits;
use super::number::not_digits;
use super::text::Found;

/// The day of the last time that was read: its text up to `T` in two overlapping words, and its microseconds.
#[derive(Clone, Debug, Default)]
pub struct Day {
    words: (u64, u64),
    micros: i64,
}

impl Cursor<'_, '_> {
    /// `"YYYY-MM-DDTHH:MM:SS[.f]Z"` on the day of the time before, with up to six digits of fraction.
    /// Also the place behind it; `None` for all else.
    #[inline(always)]
    pub fn short_time(&self, i: u32) -> Read<Option<(i64, u32)>> {
        let start = i + 1;
        if self.at(i) != b'"' || (self.word(start)?, self.word(start + 3)?) != self.day.words {
            return Ok(None);
        }
        let word = self.word(start + 11)? ^ u64::from_le_bytes(*b"00:00:00");
        // the colons have become zeros, which pass for digits; no other byte there does
        if not_digits(word) != 0 || word & 0x0000_ff00_00ff_0000 != 0 {
            return Ok(None);
        }
        let pair = |k: u32| i64::from((word >> (8 * k)) as u8) * 10 + i64::from((word >> (8 * k + 8)) as u8);
        let (hour, minute, second) = (pair(0), pair(3), pair(6));
        if (hour > 23) | (minute > 59) | (second > 60) {
            return Ok(None);
        }
        let (mut end, mut fraction) = (start + 19, 0);
        if self.at(end) == b'.' {
            let word = self.word(end + 1)? ^ ZEROS;
            let n = not_digits(word).trailing_zeros() >> 3;
            if n.wrapping_sub(1) >= 6 {
                return Ok(None);
            }
            const SCALE: [i64; 8] = [100_000, 10_000, 1_000, 100, 10, 1, 1, 1];
            fraction = digits(word, n) as i64 * SCALE[(n as usize - 1) & 7];
            end += 1 + n;
        }
        if self.at(end) != b'Z' || self.at(end + 1) != b'"' {
            return Ok(None);
        }
        let micros = self.day.micros + ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction;
        Ok(Some((micros, end + 2)))
    }

    /// Keeps the day of a text that is a time, for the next one.
    pub fn remember_day(&mut self, found: Found<'_>) -> Read<()> {
        let mut midnight = *b"____-__-__T00:00:00Z";
        midnight[..11].copy_from_slice(self.load::<11>(found.start)?);
        if found.end - found.start >= 20
            && midnight[10] == b'T'
            && let Some(micros) = rfc3339::micros(&midnight)
        {
            *self.day = Day { words: (self.word(found.start)?, self.word(found.start + 3)?), micros };
        }
        Ok(())
    }
}
