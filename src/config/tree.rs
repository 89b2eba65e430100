//! The configuration as a tree whose every value knows where it was written. TOML, JSON and `--set` all become one.

use super::place::Place;
use super::place::Step;

#[derive(Clone, Debug)]
pub struct Node {
    pub value: Value,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text {
        text: String,
        /// The whole leaf came from a variable or from `--set`: it becomes a number or a boolean where one is wanted.
        raw: bool,
    },
    /// Elements with the index they had in the file, which stays right when others are taken out.
    List(Vec<(usize, Node)>),
    Table(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    /// Where the key itself stands.
    pub at: Place,
    pub node: Node,
}

impl Node {
    pub fn text(text: impl Into<String>, raw: bool, place: Place) -> Node {
        Node { value: Value::Text { text: text.into(), raw }, place }
    }

    pub fn child(&self, step: &Step) -> Option<&Node> {
        match (&self.value, step) {
            (Value::Table(entries), Step::Key(key)) => entries.iter().find(|e| e.key == *key).map(|e| &e.node),
            (Value::List(items), Step::Index(i)) => items.iter().find(|x| x.0 == *i).map(|x| &x.1),
            _ => None,
        }
    }

    pub fn child_mut(&mut self, step: &Step) -> Option<&mut Node> {
        match (&mut self.value, step) {
            (Value::Table(entries), Step::Key(key)) => entries.iter_mut().find(|e| e.key == *key).map(|e| &mut e.node),
            (Value::List(items), Step::Index(i)) => items.iter_mut().find(|x| x.0 == *i).map(|x| &mut x.1),
            _ => None,
        }
    }

    /// The deepest node of a path that exists.
    pub fn nearest(&self, path: &[Step]) -> &Node {
        path.split_first().and_then(|(step, rest)| Some(self.child(step)?.nearest(rest))).unwrap_or(self)
    }

    /// Takes the node at `path` out; false when there is none.
    pub fn remove(&mut self, path: &[Step]) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let mut node = self;
        for step in parents {
            match node.child_mut(step) {
                Some(child) => node = child,
                None => return false,
            }
        }
        match (&mut node.value, last) {
            (Value::Table(entries), Step::Key(key)) => {
                let before = entries.len();
                entries.retain(|e| e.key != *key);
                entries.len() < before
            }
            (Value::List(items), Step::Index(i)) => {
                let before = items.len();
                items.retain(|x| x.0 != *i);
                items.len() < before
            }
            _ => false,
        }
    }

    /// Calls `f` with every leaf and its path.
    pub fn leaves_mut(&mut self, path: &mut Vec<Step>, f: &mut impl FnMut(&[Step], &mut Node)) {
        match &mut self.value {
            Value::Table(entries) => {
                for e in entries {
                    path.push(Step::Key(e.key.clone()));
                    e.node.leaves_mut(path, f);
                    path.pop();
                }
            }
            Value::List(items) => {
                for (i, node) in items {
                    path.push(Step::Index(*i));
                    node.leaves_mut(path, f);
                    path.pop();
                }
            }
            _ => f(path, self),
        }
    }
}
