//! The place in the event, and the loads that every part of the reader is made of.

use super::super::leaf::Marks;
use super::super::leaf::Target;
use super::notes::Notes;
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

/// A reader of a padded event.
///
/// Its quick parts are told a place and answer with the place behind what they read, so that places stay in registers: every
/// step waits for the one before it. The others begin and end at `i`, which an error leaves near the bad byte.
pub struct Cursor<'a, 'r> {
    pub bytes: &'a [u8],
    pub i: u32,
    /// Not zero when anything in or close behind a text was not ASCII.
    pub not_ascii: u32,
    /// Where the event begins in the batch's bytes.
    pub base: u32,
    pub depth_max: u32,
    pub plan: &'a Plan,
    pub target: Target<'a, 'r>,
    /// Nodes of the plan that were reached before: the next time they come, what is below them is forgotten.
    pub entered: &'a mut Marks,
    pub scratch: &'a mut Vec<u8>,
    pub day: &'a mut Day,
    pub notes: &'a mut Notes,
}

impl<'a> Cursor<'a, '_> {
    #[inline(always)]
    pub fn at(&self, i: u32) -> u8 {
        self.bytes.get(i as usize).copied().unwrap_or(0)
    }

    #[inline(always)]
    pub fn here(&self) -> u8 {
        self.at(self.i)
    }

    /// By reference: a copy of the bytes inside of a `Result` would be put together from pieces.
    #[inline(always)]
    pub fn load<const N: usize>(&self, i: u32) -> Read<&'a [u8; N]> {
        self.bytes.get(i as usize..i as usize + N).and_then(|b| b.first_chunk::<N>()).ok_or(Bad::Syntax)
    }

    #[inline(always)]
    pub fn word(&self, i: u32) -> Read<u64> {
        Ok(u64::from_le_bytes(*self.load::<8>(i)?))
    }

    /// The place behind this byte, or an error when another one is there.
    #[inline(always)]
    pub fn expect(&self, i: u32, byte: u8) -> Read<u32> {
        if self.at(i) == byte { Ok(i + 1) } else { Err(Bad::Syntax) }
    }

    /// The place behind white space.
    #[inline(always)]
    pub fn space(&self, i: u32) -> u32 {
        if self.at(i) > b' ' { i } else { self.much_space(i) }
    }

    #[inline(never)]
    fn much_space(&self, mut i: u32) -> u32 {
        while matches!(self.at(i), b' ' | b'\n' | b'\r' | b'\t') {
            i += 1;
        }
        i
    }

    /// Whether all texts so far are ASCII; bytes between texts are anyway.
    pub fn is_ascii(&self) -> bool {
        self.not_ascii == 0
    }
}
