//! Values that nobody wants, checked as strictly as the others.

use super::cursor::Bad;
use super::cursor::Cursor;
use super::cursor::Read;

impl Cursor<'_, '_> {
    /// Skips any value; `depth` is that of the object or array around it.
    ///
    /// Never recursive: what is open is kept as bits, one for an object, zero for an array. 128 bits are enough for the
    /// deepest nesting that can be configured.
    pub fn skip(&mut self, depth: u32) -> Read<()> {
        let (mut open, mut objects) = (depth, 0u128);
        loop {
            if !self.skip_scalar()? {
                let object = self.here() == b'{';
                open += 1;
                if open > self.depth_max {
                    return Err(Bad::Depth);
                }
                self.i += 1;
                objects = objects << 1 | u128::from(object);
                self.space();
                if self.here() != if object { b'}' } else { b']' } {
                    if object {
                        self.skip_key()?;
                    }
                    continue;
                }
                self.i += 1;
                open -= 1;
                objects >>= 1;
            }
            loop {
                if open == depth {
                    return Ok(());
                }
                self.space();
                let object = objects & 1 == 1;
                let c = self.here();
                if c == b',' {
                    self.i += 1;
                    self.space();
                    if object {
                        self.skip_key()?;
                    }
                    break;
                }
                self.expect(if object { b'}' } else { b']' })?;
                open -= 1;
                objects >>= 1;
            }
        }
    }

    /// False, and nothing taken, when an object or array is there.
    #[inline(always)]
    fn skip_scalar(&mut self) -> Read<bool> {
        let c = self.here();
        if c == b'"' {
            self.i += 1;
            self.text()?;
            return Ok(true);
        }
        if (c == b'-' || c.is_ascii_digit()) && self.short_number()?.is_some() {
            return Ok(true);
        }
        Ok(self.scalar()?.is_some())
    }

    #[inline(always)]
    fn skip_key(&mut self) -> Read<()> {
        self.expect(b'"')?;
        self.text()?;
        self.space();
        self.expect(b':')?;
        self.space();
        Ok(())
    }
}
