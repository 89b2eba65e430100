//! The place in the event, and the loads that every part of the reader is made of.

use super::super::leaf::Marks;
use super::super::leaf::Target;
use super::plan::Plan;
use super::time::Day;

/// Zero bytes behind the event: more than the longest load.
pub const PAD: usize = 64;

/// Why reading ended early.
#[derive(Clone, Copy, Debug)]
pub enum Bad {
    Syntax,
    Depth,
}

pub type Read<T> = Result<T, Bad>;

/// A reader at byte `i` of a padded event.
pub struct Cursor<'a, 'r> {
    pub bytes: &'a [u8],
    pub i: u32,
    /// All words of all texts, or-ed: their high bits say whether anything was not ASCII.
    pub seen: u64,
    /// Where the event begins in the batch's bytes.
    pub base: u32,
    pub depth_max: u32,
    pub plan: &'a Plan,
    pub target: Target<'a, 'r>,
    /// Nodes of the plan that were reached before: the next time they come, what is below them is forgotten.
    pub entered: &'a mut Marks,
    pub scratch: &'a mut Vec<u8>,
    pub day: &'a mut Day,
}

impl Cursor<'_, '_> {
    #[inline(always)]
    pub fn at(&self, i: u32) -> u8 {
        self.bytes.get(i as usize).copied().unwrap_or(0)
    }

    #[inline(always)]
    pub fn here(&self) -> u8 {
        self.at(self.i)
    }

    #[inline(always)]
    pub fn load<const N: usize>(&self, i: u32) -> Read<[u8; N]> {
        match self.bytes.get(i as usize..i as usize + N).and_then(|b| b.first_chunk::<N>()) {
            Some(chunk) => Ok(*chunk),
            None => Err(Bad::Syntax),
        }
    }

    #[inline(always)]
    pub fn word(&self, i: u32) -> Read<u64> {
        Ok(u64::from_le_bytes(self.load::<8>(i)?))
    }

    /// Takes this byte or fails.
    #[inline(always)]
    pub fn expect(&mut self, byte: u8) -> Read<()> {
        if self.here() != byte {
            return Err(Bad::Syntax);
        }
        self.i += 1;
        Ok(())
    }

    #[inline(always)]
    pub fn space(&mut self) {
        if self.here() <= b' ' {
            self.much_space();
        }
    }

    #[inline(never)]
    fn much_space(&mut self) {
        while matches!(self.here(), b' ' | b'\n' | b'\r' | b'\t') {
            self.i += 1;
        }
    }

    /// Whether all texts so far are ASCII; bytes between texts are anyway.
    pub fn is_ascii(&self) -> bool {
        self.seen & 0x8080_8080_8080_8080 == 0
    }
}
