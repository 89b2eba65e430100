//! Vectors that a layer is done with, kept for the next product of the same thread: they need not be zeroed, and the system
//! is not asked for their pages again.

use std::cell::RefCell;

/// Vectors that a thread keeps at most.
const KEPT: usize = 3;
/// Numbers of the longest one that is kept, 1 MiB: what is longer costs more to compute than to make.
const LONGEST: usize = 1 << 18;
/// A vector serves a product that takes at least this part of it, so that small results do not hold large memory.
const PART: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(vec![]) };
}

/// A vector of `len` numbers, any numbers, for a product that writes all of them.
pub fn take(len: usize) -> Vec<f32> {
    let fits = |v: &Vec<f32>| v.capacity() >= len && v.capacity() / PART <= len;
    let spare = SPARE.with_borrow_mut(|all| all.iter().position(fits).map(|i| all.remove(i)));
    // a new one may come zeroed from the system
    let Some(mut vector) = spare else { return vec![0.0; len] };
    vector.resize(len, 0.0);
    vector
}

/// Gives a vector back whose numbers nobody needs.
pub fn give(vector: Vec<f32>) {
    if vector.capacity() > LONGEST {
        return;
    }
    SPARE.with_borrow_mut(|all| {
        if all.len() == KEPT {
            // the oldest is of a size that is not asked for
            all.remove(0);
        }
        all.push(vector);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_comes_back_for_a_product_of_about_its_size() {
        let first = take(1000);
        let place = first.as_ptr();
        give(first);
        let (short, long) = (take(10), take(1001));
        assert!(short.as_ptr() != place && long.as_ptr() != place);
        let again = take(300);
        assert!(again.as_ptr() == place && again.len() == 300);
        give(again);
        assert_eq!(take(1000), [0.0; 1000]);
    }

    #[test]
    fn few_and_short_ones_are_kept() {
        give(Vec::with_capacity(LONGEST + 1));
        (1..=KEPT + 2).for_each(|i| give(Vec::with_capacity(i * 100)));
        SPARE.with_borrow(|all| assert_eq!(all.iter().map(Vec::capacity).collect::<Vec<_>>(), [300, 400, 500]));
    }
}
