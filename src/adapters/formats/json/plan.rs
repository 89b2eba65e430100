//! The wanted fields as a tree that is walked along with the event.

use std::collections::HashMap;

use super::super::error::Error;
use super::super::leaf::Kind;
use super::super::leaf::Want;
use super::super::table::Table;
use crate::domain::fields::Step;

/// No leaf, no node.
pub const NONE: u32 = u32::MAX;

/// What to do with the value of a key or of an array's element that somebody wants.
#[derive(Clone, Debug)]
pub struct Goal {
    /// Slot that wants the value itself, or [`NONE`].
    pub first: u32,
    /// Further slots that want it.
    pub more: Box<[u32]>,
    /// Node for what is inside of it, or [`NONE`].
    pub node: u32,
}

/// An object or array (or both: an event decides) with something wanted inside.
#[derive(Clone, Debug)]
pub struct Node {
    pub keys: Table,
    /// By the number of the key.
    pub goals: Vec<Goal>,
    /// Wanted elements by ascending index.
    pub items: Vec<(u32, Goal)>,
    /// All slots below.
    pub below: Vec<u32>,
}

/// The tree; its root is node 0.
#[derive(Clone, Debug)]
pub struct Plan {
    pub nodes: Vec<Node>,
    /// By slot.
    pub kinds: Vec<Kind>,
}

impl Plan {
    /// # Errors
    /// [`Error::Field`] for a path that does not begin with a key or is deeper than events may be.
    pub fn new(wanted: &[Want], depth_max: u32) -> Result<Plan, Error> {
        for want in wanted {
            if !matches!(want.path.first(), Some(Step::Key(_))) {
                return Err(Error::field(&want.path, "the path must begin with a key: an event is an object"));
            }
            if want.path.len() > depth_max as usize {
                return Err(Error::field(&want.path, format!("is deeper than event.depth_max = {depth_max}")));
            }
        }
        let kinds = wanted.iter().map(Kind::new).collect::<Result<_, _>>()?;
        let mut plan = Plan { nodes: vec![], kinds };
        let all: Vec<u32> = (0..wanted.len() as u32).collect();
        plan.node(wanted, &all, 0);
        Ok(plan)
    }

    /// Adds the node for the `depth`-th step of these slots.
    fn node(&mut self, wanted: &[Want], slots: &[u32], depth: usize) -> u32 {
        let number = self.nodes.len() as u32;
        let below = slots.to_vec();
        self.nodes.push(Node { keys: Table::new([]), goals: vec![], items: vec![], below });
        let mut places: HashMap<&Step, usize> = HashMap::new();
        let mut steps: Vec<(&Step, Vec<u32>)> = vec![];
        for &slot in slots {
            let step = &wanted[slot as usize].path[depth];
            let place = *places.entry(step).or_insert(steps.len());
            if place == steps.len() {
                steps.push((step, vec![]));
            }
            steps[place].1.push(slot);
        }
        let (mut keys, mut goals, mut items) = (vec![], vec![], vec![]);
        for (step, of_step) in steps {
            let goal = self.goal(wanted, &of_step, depth + 1);
            match step {
                Step::Index(index) => items.push((*index, goal)),
                Step::Key(key) => {
                    keys.push(key.as_bytes());
                    goals.push(goal);
                }
            }
        }
        items.sort_by_key(|(index, _)| *index);
        let node = &mut self.nodes[number as usize];
        node.keys = Table::new(keys);
        node.goals = goals;
        node.items = items;
        number
    }

    fn goal(&mut self, wanted: &[Want], slots: &[u32], depth: usize) -> Goal {
        let (here, inside): (Vec<u32>, Vec<u32>) = slots.iter().partition(|&&s| wanted[s as usize].path.len() == depth);
        let node = if inside.is_empty() { NONE } else { self.node(wanted, &inside, depth) };
        Goal { first: here.first().copied().unwrap_or(NONE), more: here.into_iter().skip(1).collect(), node }
    }
}
