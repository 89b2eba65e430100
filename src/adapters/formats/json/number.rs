//! Numbers: short ones by arithmetic on one word, all others digit by digit and, at last, by `fast_float2`.

use super::super::leaf::Scalar;
use super::cursor::Bad;
use super::cursor::Cursor;
use super::cursor::Read;

/// Powers of ten that are exact as doubles.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Eight zero digits.
pub const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The number that the first `n` (1 to 8) bytes of a word write; each byte is the value of a digit.
#[inline(always)]
pub fn digits(word: u64, n: u32) -> u64 {
    let d = word << (64 - 8 * n);
    let d = d.wrapping_mul(10).wrapping_add(d >> 8);
    const PAIRS: u64 = 0x0000_00FF_0000_00FF;
    let low = (d & PAIRS).wrapping_mul(0x000F_4240_0000_0064);
    let high = ((d >> 16) & PAIRS).wrapping_mul(0x0000_2710_0000_0001);
    low.wrapping_add(high) >> 32
}

/// High bit of each byte that is no digit; the word is already xor-ed with [`ZEROS`].
#[inline(always)]
pub fn not_digits(word: u64) -> u64 {
    (((word & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080
}

impl Cursor<'_, '_> {
    /// A number of at most seven bytes, point included, without exponent, and the place behind it. `None` for all else.
    ///
    /// Exactly rounded: its digits and its power of ten are exact doubles, so one division rounds once.
    #[inline(always)]
    pub fn short_number(&self, i: u32) -> Read<Option<(f64, u32)>> {
        let word = self.word(i)?;
        let negative = u32::from(word as u8 == b'-');
        let word = word >> (8 * negative);
        let values = word ^ ZEROS;
        let ends = not_digits(values);
        let whole = ends.trailing_zeros() >> 3;
        if whole.wrapping_sub(1) >= 7 {
            return Ok(None);
        }
        let point = (word >> (8 * whole)) as u8 == b'.';
        let end = if point { (ends & ends.wrapping_sub(1)).trailing_zeros() >> 3 } else { whole };
        if end + negative >= 8 {
            return Ok(None);
        }
        let low = values & ((1u64 << (8 * whole)) - 1);
        let joined = if point { low | ((values >> (8 * whole) >> 8) << (8 * whole)) } else { values };
        let fraction = if point { end - whole - 1 } else { 0 };
        let after = (word >> (8 * end)) as u8;
        let odd = (point & (fraction == 0))
            | ((values as u8 == 0) & (whole > 1))
            | (after | 0x20 == b'e')
            | (point & (after == b'.'));
        if odd {
            return Ok(None);
        }
        let x = digits(joined, end - u32::from(point)) as f64 / TENS[(fraction & 7) as usize];
        Ok(Some((if negative != 0 { -x } else { x }, i + end + negative)))
    }

    fn run(&mut self, sum: &mut u64) -> u32 {
        let start = self.i;
        while self.here().is_ascii_digit() {
            *sum = sum.wrapping_mul(10).wrapping_add(u64::from(self.here() - b'0'));
            self.i += 1;
        }
        self.i - start
    }

    /// Any number; one beyond the doubles is an error, as in `serde_json`.
    #[inline(never)]
    pub fn number(&mut self) -> Read<Scalar<'static>> {
        let start = self.i;
        let negative = self.here() == b'-';
        self.i += u32::from(negative);
        let leading_zero = self.here() == b'0';
        let mut sum = 0;
        let whole = self.run(&mut sum);
        if whole == 0 || (whole > 1 && leading_zero) {
            return Err(Bad::Syntax);
        }
        let mut fraction = 0;
        if self.here() == b'.' {
            self.i += 1;
            fraction = self.run(&mut sum);
            if fraction == 0 {
                return Err(Bad::Syntax);
            }
        }
        if self.here() | 0x20 == b'e' {
            self.i += 1;
            if matches!(self.here(), b'+' | b'-') {
                self.i += 1;
            }
            if self.run(&mut 0) == 0 {
                return Err(Bad::Syntax);
            }
        } else if whole + fraction <= 19 {
            // 19 digits always fit into the sum
            let minus_zero = negative && sum == 0;
            if fraction == 0 && sum <= i64::MAX as u64 && !minus_zero {
                return Ok(Scalar::Integer(if negative { -(sum as i64) } else { sum as i64 }));
            }
            if sum <= 1 << 53 {
                let x = sum as f64 / TENS[fraction as usize];
                return Ok(Scalar::Number(if negative { -x } else { x }));
            }
            if fraction == 0 && negative && sum == 1 << 63 {
                return Ok(Scalar::Integer(i64::MIN));
            }
        }
        let text = &self.bytes[start as usize..self.i as usize];
        match fast_float2::parse::<f64, _>(text) {
            Ok(x) if x.is_finite() => Ok(Scalar::Number(x)),
            _ => Err(Bad::Syntax),
        }
    }

    /// `true` or `false`, and the place behind it; `None` for all else.
    #[inline(always)]
    pub fn boolean(&self, i: u32) -> Read<Option<(bool, u32)>> {
        let word = self.word(i)?;
        let yes = word as u32 == u32::from_le_bytes(*b"true");
        let no = word & 0xff_ffff_ffff == u64::from_le_bytes(*b"false\0\0\0");
        if !(yes | no) {
            return Ok(None);
        }
        Ok(Some((yes, i + 5 - u32::from(yes))))
    }
}
