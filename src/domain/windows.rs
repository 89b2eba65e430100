//! Checksums of windows of offsets: what the log holds and what the tables hold, as three numbers that either side can make.

/// Offsets that one checksum stands for.
pub const WINDOW: i64 = 10_000;

/// Number of the window that an offset falls into.
pub fn window_of(offset: i64) -> i64 {
    offset.div_euclid(WINDOW)
}

/// What PostgreSQL's `hashint8extended(offset, 0)` gives, so that the server can make the same checksums. Partitions by
/// hash depend on that function, so its results never change. Source: `src/common/hashfn.c` (Jenkins' lookup3).
pub fn hash(offset: i64) -> u64 {
    let (low, high) = (offset as u32, (offset >> 32) as u32);
    let key = low ^ if offset >= 0 { high } else { !high };
    let start = 0x9e37_79b9_u32.wrapping_add(4).wrapping_add(3_923_095);
    let (mut a, mut b, mut c) = (start.wrapping_add(key), start, start);
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    u64::from(b) << 32 | u64::from(c)
}

/// Count, XOR and sum of the hashes of some offsets. The count sees one that is missing, XOR and sum together one that is
/// there twice in place of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Checksum {
    pub count: u64,
    pub xor: u64,
    /// Modulo 2^64.
    pub sum: u64,
}

impl Checksum {
    pub fn add(&mut self, offset: i64) {
        let hash = hash(offset);
        self.join(Checksum { count: 1, xor: hash, sum: hash });
    }

    /// As if the other's offsets had been added here.
    pub fn join(&mut self, other: Checksum) {
        self.count += other.count;
        self.xor ^= other.xor;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(offsets: impl IntoIterator<Item = i64>) -> Checksum {
        let mut sum = Checksum::default();
        offsets.into_iter().for_each(|o| sum.add(o));
        sum
    }

    #[test]
    fn windows_do_not_overlap() {
        assert_eq!([0, 9_999, 10_000, 19_999, -1].map(window_of), [0, 0, 1, 1, -1]);
    }

    #[test]
    fn a_swap_that_keeps_the_count_is_seen() {
        let good = of(0..WINDOW);
        for (gone, twice) in [(0, 1), (17, 9_999), (5_000, 4_999)] {
            let bad = of((0..WINDOW).filter(|o| *o != gone).chain([twice]));
            assert_eq!(bad.count, good.count);
            assert_ne!(bad, good);
        }
    }

    proptest! {
        #[test]
        fn the_order_and_the_grouping_do_not_matter(offsets in prop::collection::vec(any::<i64>(), 0..50), cut in 0_usize..50) {
            let cut = cut.min(offsets.len());
            let mut joined = of(offsets[cut..].iter().rev().copied());
            joined.join(of(offsets[..cut].iter().copied()));
            prop_assert_eq!(joined, of(offsets));
        }
    }
}
