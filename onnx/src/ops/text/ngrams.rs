//! A tree of n-grams: which sequences of tokens count.

use std::collections::HashMap;

use crate::bad;
use crate::error::OpError;
use crate::ops::ml::lookup::Duplicates;
use crate::ops::ml::lookup::Lookup;
use crate::value::Keys;

/// No token, no node, no n-gram.
pub const NONE: u32 = u32::MAX;

/// The pool of TfIdfVectorizer, loaded.
#[derive(Debug)]
pub struct Ngrams {
    pub tokens: Lookup,
    /// The node of each token on its own, or [`NONE`].
    first: Vec<u32>,
    /// Longer n-grams by their front and their last token.
    next: HashMap<(u32, u32), u32>,
    /// Number of each node's n-gram in the pool, or [`NONE`] where it is only the front of others.
    numbers: Vec<u32>,
}

impl Ngrams {
    /// `starts[i]` is where the n-grams of length i + 1 start in the pool; the pool may hold `count` n-grams at most.
    ///
    /// # Errors
    /// If the starts do not cut the pool into whole n-grams, one of them is there twice, or they are too many.
    pub fn new(
        pool: &Keys,
        starts: &[i64],
        count: usize,
        lengths: std::ops::RangeInclusive<usize>,
    ) -> Result<Ngrams, OpError> {
        if pool.len() >= NONE as usize {
            bad!("a pool of {} entries", pool.len());
        }
        let (tokens, ids) = numbered(pool);
        let mut ngrams = Ngrams { tokens, first: vec![NONE; ids.len()], next: HashMap::new(), numbers: vec![] };
        let mut number = 0u32;
        for (i, start) in starts.iter().enumerate() {
            let length = i + 1;
            let end = starts.get(length).map_or(Ok(ids.len()), |end| usize::try_from(*end)).unwrap_or(usize::MAX);
            let part = usize::try_from(*start).ok().and_then(|start| ids.get(start..end));
            let Some(part) = part.filter(|part| part.len().is_multiple_of(length)) else {
                bad!("attribute `ngram_counts` does not cut the pool into whole {length}-grams");
            };
            for ngram in part.chunks_exact(length) {
                if number as usize == count {
                    bad!("there are more n-grams than `ngram_indexes`");
                }
                if lengths.contains(&length) {
                    ngrams.insert(ngram, number)?;
                }
                number += 1;
            }
        }
        Ok(ngrams)
    }

    fn insert(&mut self, ngram: &[u32], number: u32) -> Result<(), OpError> {
        let mut node = NONE;
        for (i, token) in ngram.iter().enumerate() {
            let new = self.numbers.len() as u32;
            let found =
                if i == 0 { &mut self.first[*token as usize] } else { self.next.entry((node, *token)).or_insert(NONE) };
            if *found == NONE {
                *found = new;
                self.numbers.push(NONE);
            }
            node = *found;
        }
        let place = &mut self.numbers[node as usize];
        if *place != NONE {
            bad!("the pool holds an n-gram twice");
        }
        *place = number;
        Ok(())
    }

    /// Calls `hit` with the number of every n-gram of `min` to `max` tokens in a row, at the distances 1 to `distance`.
    pub fn count(&self, row: &[u32], (min, max): (usize, usize), distance: usize, mut hit: impl FnMut(usize)) {
        let mut min = min;
        if min == 1 {
            for token in row {
                self.hit(self.node(NONE, *token), &mut hit);
            }
            min = 2;
        }
        if min > max {
            return;
        }
        // n-grams of two and more fit only while the distance is less than the row is long
        for step in 1..=distance.min(row.len()) {
            for start in 0..row.len() {
                let mut node = NONE;
                for (i, token) in row[start..].iter().step_by(step).take(max).enumerate() {
                    node = self.node(node, *token);
                    if node == NONE {
                        break;
                    }
                    if i + 1 >= min {
                        self.hit(node, &mut hit);
                    }
                }
            }
        }
    }

    fn node(&self, front: u32, token: u32) -> u32 {
        match (front, token) {
            (_, NONE) => NONE,
            (NONE, token) => self.first[token as usize],
            key => self.next.get(&key).copied().unwrap_or(NONE),
        }
    }

    fn hit(&self, node: u32, hit: &mut impl FnMut(usize)) {
        if let Some(number) = self.numbers.get(node as usize).filter(|number| **number != NONE) {
            hit(*number as usize);
        }
    }

    pub fn bytes(&self) -> usize {
        self.tokens.bytes() + 4 * (self.first.len() + self.numbers.len()) + 16 * self.next.len()
    }
}

/// A number for each distinct token, and the pool in these numbers.
fn numbered(pool: &Keys) -> (Lookup, Vec<u32>) {
    let lookup = match pool {
        Keys::Texts(v) => Lookup::texts(v, Duplicates::First),
        Keys::Integers(v) => Lookup::integers(v, Duplicates::First),
    };
    let id = |i: usize| match pool {
        Keys::Texts(v) => lookup.text(&v[i]),
        Keys::Integers(v) => lookup.integer(v[i]),
    };
    let ids = (0..pool.len()).map(|i| id(i).map_or(NONE, |i| i as u32)).collect();
    (lookup, ids)
}
