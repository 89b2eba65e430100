//! Objects and arrays that hold something wanted.

use super::cursor::Bad;
use super::cursor::Cursor;
use super::cursor::Read;
use super::plan::Goal;
use super::plan::NONE;
use super::plan::Node;

impl Cursor<'_, '_> {
    /// The whole event of `len` bytes.
    pub fn event(&mut self, len: u32) -> Read<()> {
        self.space();
        self.expect(b'{')?;
        let plan = self.plan;
        self.object(&plan.nodes[0], 1)?;
        self.space();
        if self.i != len {
            return Err(Bad::Syntax);
        }
        Ok(())
    }

    /// The object or array at the cursor, whose inside `node` wants if it is the right one of both. An array that was
    /// read gives the number of its elements.
    pub fn inside(&mut self, node: u32, depth: u32) -> Read<Option<u32>> {
        let plan = self.plan;
        let node = plan.nodes.get(node as usize).filter(|_| node != NONE);
        let object = self.here() == b'{';
        let wanted = |node: &&Node| !if object { node.goals.is_empty() } else { node.items.is_empty() };
        let Some(node) = node.filter(wanted) else {
            self.skip(depth)?;
            return Ok(None);
        };
        if depth == self.depth_max {
            return Err(Bad::Depth);
        }
        self.i += 1;
        if object {
            self.object(node, depth + 1)?;
            return Ok(None);
        }
        self.array(node, depth + 1).map(Some)
    }

    /// From behind the opening brace. Recursion ends with the plan, whose paths are no longer than the depth allows.
    fn object(&mut self, node: &Node, depth: u32) -> Read<()> {
        self.space();
        if self.here() == b'}' {
            self.i += 1;
            return Ok(());
        }
        loop {
            let goal = self.key(node)?;
            self.space();
            self.expect(b':')?;
            self.space();
            match goal {
                Some(goal) => self.goal(goal, depth)?,
                None => self.skip(depth)?,
            }
            self.space();
            if self.here() != b',' {
                return self.expect(b'}');
            }
            self.i += 1;
            self.space();
        }
    }

    /// Takes a key and looks it up.
    #[inline(always)]
    fn key<'n>(&mut self, node: &'n Node) -> Read<Option<&'n Goal>> {
        self.expect(b'"')?;
        let found = self.text()?;
        let number = if found.escaped {
            self.unescape(found)?;
            node.keys.get(self.scratch)
        } else {
            match self.packed(found)? {
                Some(key) => node.keys.get_packed(key),
                None => node.keys.get(self.content(found)),
            }
        };
        Ok(node.goals.get(number as usize))
    }

    /// From behind the opening bracket; the number of elements.
    #[inline(never)]
    fn array(&mut self, node: &Node, depth: u32) -> Read<u32> {
        self.space();
        if self.here() == b']' {
            self.i += 1;
            return Ok(0);
        }
        let mut wanted = node.items.iter().peekable();
        let mut len = 0;
        loop {
            match wanted.next_if(|(at, _)| *at == len) {
                Some((_, goal)) => self.goal(goal, depth)?,
                None => self.skip(depth)?,
            }
            len += 1;
            self.space();
            if self.here() != b',' {
                break;
            }
            self.i += 1;
            self.space();
        }
        self.expect(b']')?;
        Ok(len)
    }
}
