//! One value at the cursor, into the slot of a wanted field.

use super::super::leaf::Kind;
use super::super::leaf::Scalar;
use super::super::table::code;
use super::cursor::Bad;
use super::cursor::Cursor;
use super::cursor::Read;
use super::plan::Goal;
use super::plan::NONE;

impl Cursor<'_, '_> {
    /// Reads the value of a goal. `depth` is that of the object or array around it.
    #[inline(always)]
    pub fn goal(&mut self, goal: &Goal, depth: u32) -> Read<()> {
        if goal.node == NONE && goal.more.is_empty() {
            if self.leaf(goal.first)? {
                return Ok(());
            }
            self.container_for(goal, Scalar::Other);
            return self.skip(depth);
        }
        self.wide_goal(goal, depth)
    }

    /// A goal with several slots, or with something wanted inside.
    #[inline(never)]
    fn wide_goal(&mut self, goal: &Goal, depth: u32) -> Read<()> {
        if goal.node != NONE {
            self.enter(goal.node);
        }
        if matches!(self.here(), b'{' | b'[') {
            self.container_for(goal, Scalar::Other);
            if let Some(len) = self.inside(goal.node, depth)? {
                self.container_for(goal, Scalar::List(len));
            }
            return Ok(());
        }
        if goal.first == NONE {
            return self.skip(depth);
        }
        let from = self.i;
        self.leaf(goal.first)?;
        for slot in &goal.more {
            self.i = from;
            self.leaf(*slot)?;
        }
        Ok(())
    }

    /// Forgets what is below a node that comes for the second time: of repeated keys the last one counts.
    fn enter(&mut self, node: u32) {
        let plan = self.plan;
        if self.entered.get(node as usize) {
            for slot in &plan.nodes[node as usize].below {
                self.target.forget(*slot as usize);
            }
        }
        self.entered.set(node as usize);
    }

    #[inline(never)]
    fn container_for(&mut self, goal: &Goal, what: Scalar<'_>) {
        let plan = self.plan;
        for slot in std::iter::once(goal.first).filter(|s| *s != NONE).chain(goal.more.iter().copied()) {
            self.target.store(slot as usize, &plan.kinds[slot as usize], what);
        }
    }

    /// Reads a scalar into a slot. False, and nothing taken, when an object or array is there.
    #[inline(always)]
    fn leaf(&mut self, slot: u32) -> Read<bool> {
        let plan = self.plan;
        let Some(kind) = plan.kinds.get(slot as usize) else { return Err(Bad::Syntax) };
        if self.usual(slot as usize, kind)? { Ok(true) } else { self.unusual(slot as usize, kind) }
    }

    /// The form that nearly all values of a kind have. False, and nothing taken, for all else.
    #[inline(always)]
    fn usual(&mut self, slot: usize, kind: &Kind) -> Read<bool> {
        match kind {
            Kind::Number => {
                let Some(x) = self.short_number()? else { return Ok(false) };
                self.target.row.set_number(slot, x);
            }
            Kind::Boolean => {
                let Some(x) = self.boolean()? else { return Ok(false) };
                self.target.row.set_integer(slot, i64::from(x));
            }
            Kind::Timestamp(_) => {
                let Some(time) = self.short_time()? else { return Ok(false) };
                self.target.row.set_integer(slot, time);
            }
            Kind::Text | Kind::Bytes | Kind::Category(_) => {
                let quote = self.i;
                if self.here() != b'"' {
                    return Ok(false);
                }
                self.i += 1;
                let found = self.text()?;
                if found.escaped {
                    self.i = quote;
                    return Ok(false);
                }
                if let Kind::Category(table) = kind {
                    let number = match self.packed(found)? {
                        Some(key) => table.get_packed(key),
                        None => table.get(self.content(found)),
                    };
                    self.target.row.set_integer(slot, code(number));
                } else {
                    self.target.row.set_text(slot, self.base + found.start, found.end - found.start);
                }
            }
            Kind::Integer | Kind::Length | Kind::Presence => return Ok(false),
        }
        Ok(true)
    }

    /// Any scalar. False, and nothing taken, when an object or array is there.
    #[inline(never)]
    fn unusual(&mut self, slot: usize, kind: &Kind) -> Read<bool> {
        if self.here() != b'"' {
            let Some(value) = self.scalar()? else { return Ok(false) };
            self.target.store(slot, kind, value);
            return Ok(true);
        }
        self.i += 1;
        let found = self.text()?;
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
            b't' | b'f' => Scalar::Boolean(self.boolean()?.ok_or(Bad::Syntax)?),
            b'n' if self.load::<4>(self.i)? == *b"null" => {
                self.i += 4;
                Scalar::Null
            }
            b'{' | b'[' => return Ok(None),
            _ => return Err(Bad::Syntax),
        }))
    }
}
