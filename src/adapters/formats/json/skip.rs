//! Values that nobody wants, checked as strictly as the others.

use super::cursor::Bad;
use super::cursor::Cursor;
use super::cursor::Read;
use super::notes::Act;

impl Cursor<'_, '_> {
    /// Skips any value at `i`, to the place behind it; `depth` is that of the object or array around it.
    ///
    /// Never recursive: what is open is kept as bits, one for an object, zero for an array. 128 bits are enough for the
    /// deepest nesting that can be configured.
    pub fn skip<const NOTE: bool>(&mut self, mut i: u32, depth: u32) -> Read<u32> {
        let (mut open, mut objects) = (depth, 0u128);
        loop {
            let end = self.skip_scalar(i)?;
            if end != 0 {
                self.note::<NOTE>(i, end, Act::Skip);
                i = end;
            } else {
                let object = self.at(i) == b'{';
                open += 1;
                if open > self.depth_max {
                    self.i = i;
                    return Err(Bad::Depth);
                }
                objects = objects << 1 | u128::from(object);
                i = self.space(i + 1);
                if self.at(i) != if object { b'}' } else { b']' } {
                    if object {
                        i = self.skip_key(i)?;
                    }
                    continue;
                }
                i += 1;
                open -= 1;
                objects >>= 1;
            }
            loop {
                if open == depth {
                    return Ok(i);
                }
                i = self.space(i);
                let object = objects & 1 == 1;
                if self.at(i) == b',' {
                    i = self.space(i + 1);
                    if object {
                        i = self.skip_key(i)?;
                    }
                    break;
                }
                self.i = i;
                i = self.expect(i, if object { b'}' } else { b']' })?;
                open -= 1;
                objects >>= 1;
            }
        }
    }

    /// The place behind a scalar; 0 when an object or array is there.
    #[inline(always)]
    pub fn skip_scalar(&mut self, i: u32) -> Read<u32> {
        let c = self.at(i);
        if c == b'"' {
            return Ok(self.text(i + 1)?.behind());
        }
        if (c == b'-' || c.is_ascii_digit())
            && let Some((_, end)) = self.short_number(i)?
        {
            return Ok(end);
        }
        self.i = i;
        Ok(if self.scalar()?.is_some() { self.i } else { 0 })
    }

    #[inline(always)]
    fn skip_key(&mut self, i: u32) -> Read<u32> {
        self.i = i;
        let start = self.expect(i, b'"')?;
        let end = self.text(start)?.behind();
        self.colon(end)
    }
}
