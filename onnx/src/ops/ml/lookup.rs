//! Finds the position of a key among texts or numbers, for operators that map categories.

use std::collections::HashMap;

use crate::bad;
use crate::error::OpError;
use crate::tensor::Elements;

/// A span of whole numbers is a plain table up to this many entries a key.
const SPARSE: usize = 8;

/// Keys of one kind, each with its position in the list that they came from.
#[derive(Debug)]
pub enum Lookup {
    Texts(HashMap<String, u32>),
    /// Whole numbers that lie close together: the entry at `key - first`.
    Table {
        first: i64,
        entries: Vec<u32>,
    },
    Integers(HashMap<i64, u32>),
    /// By the bits of the double; of zeros the positive one.
    Floats {
        keys: HashMap<u64, u32>,
        /// Position of NaN, if NaN is a key that can be found.
        nan: u32,
    },
}

const NONE: u32 = u32::MAX;

/// Which of several equal keys counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    First,
    Last,
}

fn insert<K: std::hash::Hash + Eq>(map: &mut HashMap<K, u32>, key: K, position: u32, duplicates: Duplicates) {
    match duplicates {
        Duplicates::First => map.entry(key).or_insert(position),
        Duplicates::Last => map.entry(key).insert_entry(position).into_mut(),
    };
}

impl Lookup {
    pub fn texts(keys: &[String], duplicates: Duplicates) -> Lookup {
        let mut map = HashMap::with_capacity(keys.len());
        for (key, i) in keys.iter().zip(0..) {
            insert(&mut map, key.clone(), i, duplicates);
        }
        Lookup::Texts(map)
    }

    pub fn integers(keys: &[i64], duplicates: Duplicates) -> Lookup {
        let mut map = HashMap::with_capacity(keys.len());
        for (key, i) in keys.iter().zip(0..) {
            insert(&mut map, *key, i, duplicates);
        }
        let (Some(first), Some(last)) = (keys.iter().min(), keys.iter().max()) else { return Lookup::Integers(map) };
        match last.checked_sub(*first).and_then(|span| usize::try_from(span).ok()) {
            Some(span) if span / SPARSE <= keys.len() => {
                let mut entries = vec![NONE; span + 1];
                for (key, i) in &map {
                    entries[(key - first) as usize] = *i;
                }
                Lookup::Table { first: *first, entries }
            }
            _ => Lookup::Integers(map),
        }
    }

    /// `nan`: whether a key that is NaN finds every NaN; else NaN is never found.
    pub fn floats(keys: impl Iterator<Item = f64>, nan: bool, duplicates: Duplicates) -> Lookup {
        let mut map = HashMap::new();
        let mut at = NONE;
        for (key, i) in keys.zip(0..) {
            if !key.is_nan() {
                insert(&mut map, bits(key), i, duplicates);
            } else if nan && (at == NONE || duplicates == Duplicates::Last) {
                at = i;
            }
        }
        Lookup::Floats { keys: map, nan: at }
    }

    /// Position of a whole number.
    pub fn integer(&self, key: i64) -> Option<usize> {
        match self {
            Lookup::Table { first, entries } => {
                let at = usize::try_from(key.checked_sub(*first)?).ok()?;
                entries.get(at).filter(|i| **i != NONE).map(|i| *i as usize)
            }
            Lookup::Integers(map) => map.get(&key).map(|i| *i as usize),
            _ => None,
        }
    }

    /// Position of a text.
    pub fn text(&self, key: &str) -> Option<usize> {
        match self {
            Lookup::Texts(map) => map.get(key).map(|i| *i as usize),
            _ => None,
        }
    }

    fn float(&self, key: f64) -> Option<usize> {
        match self {
            Lookup::Floats { nan, .. } if key.is_nan() => (*nan != NONE).then_some(*nan as usize),
            Lookup::Floats { keys, .. } => keys.get(&bits(key)).map(|i| *i as usize),
            _ => None,
        }
    }

    /// What `f` makes of every element's position.
    ///
    /// # Errors
    /// If the elements are of another kind than the keys.
    pub fn map<T>(&self, elements: &Elements, f: impl Fn(Option<usize>) -> T) -> Result<Vec<T>, OpError> {
        use Lookup::*;
        Ok(match (self, elements) {
            (Texts(_), Elements::Text(v)) => v.iter().map(|x| f(self.text(x))).collect(),
            (Table { .. } | Integers(_), Elements::I64(v)) => v.iter().map(|x| f(self.integer(*x))).collect(),
            (Table { .. } | Integers(_), Elements::I32(v)) => v.iter().map(|x| f(self.integer((*x).into()))).collect(),
            (Table { .. } | Integers(_), Elements::I16(v)) => v.iter().map(|x| f(self.integer((*x).into()))).collect(),
            (Floats { .. }, Elements::F32(v)) => v.iter().map(|x| f(self.float((*x).into()))).collect(),
            (Floats { .. }, Elements::F64(v)) => v.iter().map(|x| f(self.float(*x))).collect(),
            _ => bad!("the keys are not of the type of the input, {}", elements.element_type()),
        })
    }

    /// Memory, about.
    pub fn bytes(&self) -> usize {
        match self {
            Lookup::Texts(map) => map.keys().map(|k| k.len() + 40).sum(),
            Lookup::Table { entries, .. } => entries.len() * 4,
            Lookup::Integers(map) => map.len() * 16,
            Lookup::Floats { keys, .. } => keys.len() * 16,
        }
    }
}

fn bits(key: f64) -> u64 {
    if key == 0.0 { 0 } else { key.to_bits() }
}
