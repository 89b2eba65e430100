//! Objects and arrays that hold something wanted.

use super::cursor::Bad;
use super::cursor::Cursor;
use super::cursor::Read;
use super::notes::Act;
use super::plan::Goal;
use super::plan::NONE;
use super::plan::Node;

impl Cursor<'_, '_> {
    /// The whole event of `len` bytes.
    pub fn event<const NOTE: bool>(&mut self, len: u32) -> Read<()> {
        let plan = self.plan;
        self.entered.reset(plan.nodes.len());
        self.i = self.space(0);
        self.i = self.expect(self.i, b'{')?;
        self.object::<NOTE>(&plan.nodes[0], 1)?;
        self.i = self.space(self.i);
        if self.i != len {
            return Err(Bad::Syntax);
        }
        self.note::<NOTE>(len, len, Act::End);
        Ok(())
    }

    /// The object or array at the cursor, whose inside `node` wants if it is the right one of both. An array that was
    /// read gives the number of its elements.
    pub fn inside<const NOTE: bool>(&mut self, node: u32, depth: u32) -> Read<Option<u32>> {
        let plan = self.plan;
        let node = plan.nodes.get(node as usize).filter(|_| node != NONE);
        let object = self.here() == b'{';
        let wanted = |node: &&Node| !if object { node.goals.is_empty() } else { node.items.is_empty() };
        let Some(node) = node.filter(wanted) else {
            self.i = self.skip::<NOTE>(self.i, depth)?;
            return Ok(None);
        };
        if depth == self.depth_max {
            return Err(Bad::Depth);
        }
        self.i += 1;
        if object {
            self.object::<NOTE>(node, depth + 1)?;
            return Ok(None);
        }
        self.array::<NOTE>(node, depth + 1).map(Some)
    }

    /// From behind the opening brace. Recursion ends with the plan, whose paths are no longer than the depth allows.
    fn object<const NOTE: bool>(&mut self, node: &Node, depth: u32) -> Read<()> {
        let mut i = self.i;
        let read = self.members::<NOTE>(node, depth, &mut i);
        self.i = if read.is_ok() { i } else { i.max(self.i) };
        read
    }

    #[inline(always)]
    fn members<const NOTE: bool>(&mut self, node: &Node, depth: u32, i: &mut u32) -> Read<()> {
        *i = self.space(*i);
        if self.at(*i) == b'}' {
            *i += 1;
            return Ok(());
        }
        *i = self.expect(*i, b'"')?;
        loop {
            let (goal, behind) = self.key(node, *i)?;
            *i = self.colon(behind)?;
            *i = match goal {
                Some(goal) => self.goal::<NOTE>(goal, *i, depth)?,
                None => self.skip::<NOTE>(*i, depth)?,
            };
            // the next key, mostly right behind a comma
            if self.load::<2>(*i)? == b",\"" {
                *i += 2;
                continue;
            }
            *i = self.space(*i);
            if self.at(*i) != b',' {
                *i = self.expect(*i, b'}')?;
                return Ok(());
            }
            *i = self.space(*i + 1);
            *i = self.expect(*i, b'"')?;
        }
    }

    /// The place behind a colon and the white space around it.
    #[inline(always)]
    pub fn colon(&self, i: u32) -> Read<u32> {
        let [colon, next] = *self.load::<2>(i)?;
        if colon == b':' && next > b' ' { Ok(i + 1) } else { self.spaced_colon(i) }
    }

    #[inline(never)]
    fn spaced_colon(&self, i: u32) -> Read<u32> {
        let behind = self.expect(self.space(i), b':')?;
        Ok(self.space(behind))
    }

    /// Looks up the key whose opening quote is before `start`; also the place behind it.
    #[inline(always)]
    fn key<'n>(&mut self, node: &'n Node, start: u32) -> Read<(Option<&'n Goal>, u32)> {
        let found = self.text(start)?;
        let number = if found.escaped {
            self.unescape(found)?;
            node.keys.get(self.scratch)
        } else {
            match found.packed() {
                Some(key) => node.keys.get_packed(key),
                None => node.keys.get(self.content(found)),
            }
        };
        Ok((node.goals.get(number as usize), found.behind()))
    }

    /// From behind the opening bracket; the number of elements.
    #[inline(never)]
    fn array<const NOTE: bool>(&mut self, node: &Node, depth: u32) -> Read<u32> {
        self.i = self.space(self.i);
        if self.here() == b']' {
            self.i += 1;
            return Ok(0);
        }
        let mut wanted = node.items.iter().peekable();
        let mut len = 0;
        loop {
            self.i = match wanted.next_if(|(at, _)| *at == len) {
                Some((_, goal)) => self.goal::<NOTE>(goal, self.i, depth)?,
                None => self.skip::<NOTE>(self.i, depth)?,
            };
            len += 1;
            self.i = self.space(self.i);
            if self.here() != b',' {
                break;
            }
            self.i = self.space(self.i + 1);
        }
        self.i = self.expect(self.i, b']')?;
        Ok(len)
    }
}
