//! One value at the cursor, into the slot of a wanted field.

use super::super::leaf::Kind;
use super::super::leaf::Scalar;
use super::super::table::code;
use super::cursor::Bad;
use super::cursor::Cursor;
use super::cursor::Read;
use super::notes::Act;
use super::plan::Goal;
use super::plan::NONE;

impl Cursor<'_, '_> {
    /// Reads the value of a goal at `i`, to the place behind it. `depth` is that of the object or array around it.
    #[inline(always)]
    pub fn goal<const NOTE: bool>(&mut self, goal: &Goal, i: u32, depth: u32) -> Read<u32> {
        if goal.node == NONE && goal.more.is_empty() {
            let end = self.usual_for(i, goal.first)?;
            if end != 0 {
                self.note::<NOTE>(i, end, Act::Leaf(goal.first));
                return Ok(end);
            }
        }
        self.i = i;
        self.any_goal::<NOTE>(goal, depth)?;
        Ok(self.i)
    }

    /// A goal of any kind with a value of any kind.
    #[inline(never)]
    fn any_goal<const NOTE: bool>(&mut self, goal: &Goal, depth: u32) -> Read<()> {
        if goal.node != NONE {
            self.enter(goal.node);
        }
        if matches!(self.here(), b'{' | b'[') {
            self.container_for::<NOTE>(goal, None);
            if let Some(len) = self.inside::<NOTE>(goal.node, depth)? {
                self.container_for::<NOTE>(goal, Some(len));
            }
            return Ok(());
        }
        if goal.first == NONE {
            self.i = self.skip::<NOTE>(self.i, depth)?;
            return Ok(());
        }
        let from = self.i;
        self.leaf(goal.first)?;
        self.note::<NOTE>(from, self.i, Act::Leaf(goal.first));
        for slot in &goal.more {
            self.i = from;
            self.leaf(*slot)?;
            self.note::<NOTE>(self.i, self.i, Act::Again(*slot));
        }
        Ok(())
    }

    /// Forgets what is below a node that comes for the second time: of repeated keys the last one counts.
    fn enter(&mut self, node: u32) {
        let plan = self.plan;
        if self.entered.get(node as usize) {
            self.notes.given_up = true;
            for slot in &plan.nodes[node as usize].below {
                self.target.forget(*slot as usize);
            }
        }
        self.entered.set(node as usize);
    }

    /// Reads a scalar into a slot. False, and nothing taken, when an object or array is there.
    #[inline(never)]
    pub fn leaf(&mut self, slot: u32) -> Read<bool> {
        let from = self.i;
        let end = self.usual_for(from, slot)?;
        if end != 0 {
            self.i = end;
            return Ok(true);
        }
        self.i = from;
        self.unusual(slot)
    }

    #[inline(always)]
    pub fn usual_for(&mut self, i: u32, slot: u32) -> Read<u32> {
        let plan = self.plan;
        let Some(kind) = plan.kinds.get(slot as usize) else { return Err(Bad::Syntax) };
        self.usual(i, slot as usize, kind)
    }

    /// The form that nearly all values of a kind have, into a slot. Gives the place behind it, or 0 for all else; the search
    /// for a text's end may have moved `i` then.
    #[inline(always)]
    fn usual(&mut self, i: u32, slot: usize, kind: &Kind) -> Read<u32> {
        Ok(match kind {
            Kind::Number => {
                let Some((x, end)) = self.short_number(i)? else { return Ok(0) };
                self.target.row.set_number(slot, x);
                end
            }
            Kind::Integer => {
                let Some((x, end)) = self.short_number(i)? else { return Ok(0) };
                let whole = x as i64;
                // seven digits are exact; a fraction is of the wrong type, which is not for here to say
                if whole as f64 != x {
                    return Ok(0);
                }
                self.target.row.set_integer(slot, whole);
                end
            }
            Kind::Boolean => {
                let Some((x, end)) = self.boolean(i)? else { return Ok(0) };
                self.target.row.set_integer(slot, i64::from(x));
                end
            }
            Kind::Timestamp(_) => {
                let Some((time, end)) = self.short_time(i)? else { return Ok(0) };
                self.target.row.set_integer(slot, time);
                end
            }
            Kind::Text | Kind::Bytes | Kind::Category(_) => {
                if self.at(i) != b'"' {
                    return Ok(0);
                }
                let found = self.text(i + 1)?;
                if found.escaped {
                    return Ok(0);
                }
                if let Kind::Category(table) = kind {
                    let number = match found.packed() {
                        Some(key) => table.get_packed(key),
                        None => table.get(self.content(found)),
                    };
                    self.target.row.set_integer(slot, code(number));
                } else {
                    self.target.row.set_text(slot, self.base + found.start, found.end - found.start);
                }
                found.behind()
            }
            Kind::Length | Kind::Presence => 0,
        })
    }

    /// Any scalar. False, and nothing taken, when an object or array is there.
    #[inline(never)]
    pub fn unusual(&mut self, slot: u32) -> Read<bool> {
        let plan = self.plan;
        let (slot, kind) = (slot as usize, &plan.kinds[slot as usize]);
        if self.here() != b'"' {
            let Some(value) = self.scalar()? else { return Ok(false) };
            self.target.store(slot, kind, value);
            return Ok(true);
        }
        let found = self.text(self.i + 1)?;
        self.i = found.behind();
        if found.escaped {
            self.unescape(found)?;
            self.target.store(slot, kind, Scalar::Text { text: self.scratch, at: None });
        } else {
            if matches!(kind, Kind::Timestamp(_)) {
                self.remember_day(found)?;
            }
            let text = &self.bytes[found.start as usize..found.end as usize];
            self.target.store(slot, kind, Scalar::Text { text, at: Some(self.base + found.start) });
        }
        Ok(true)
    }

    /// A scalar that is no text. `None`, and nothing taken, when an object or array is there.
    pub fn scalar(&mut self) -> Read<Option<Scalar<'static>>> {
        Ok(Some(match self.here() {
            b'-' | b'0'..=b'9' => self.number()?,
            b't' | b'f' => {
                let (value, end) = self.boolean(self.i)?.ok_or(Bad::Syntax)?;
                self.i = end;
                Scalar::Boolean(value)
            }
            b'n' if self.load::<4>(self.i)? == b"null" => {
                self.i += 4;
                Scalar::Null
            }
            b'{' | b'[' => return Ok(None),
            _ => return Err(Bad::Syntax),
        }))
    }
}
