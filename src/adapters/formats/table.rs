//! A map from known texts to their numbers, quick for texts of at most 16 bytes.

use std::collections::HashMap;

/// What [`Table::get`] answers for a text that is not known.
pub const UNKNOWN: u32 = u32::MAX;

/// More texts than this go to an ordinary map: a collision-free table would grow with their square.
const PACKED_MAX: usize = 256;

/// A text of 1 to 16 bytes without zero bytes, in two words.
pub type Packed = (u64, u64);

/// Packs a text; `None` when it does not fit.
pub fn pack(text: &[u8]) -> Option<Packed> {
    if text.is_empty() || text.len() > 16 || text.contains(&0) {
        return None;
    }
    let mut bytes = [0; 16];
    bytes[..text.len()].copy_from_slice(text);
    let both = u128::from_le_bytes(bytes);
    Some((both as u64, (both >> 64) as u64))
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Packed,
    number: u32,
}

/// Numbers of texts, in the order in which they were given.
///
/// Packed texts lie in a table whose multiplier was searched so that no two of them meet; the rest in a hash map.
#[derive(Clone, Debug)]
pub struct Table {
    multiplier: u64,
    shift: u32,
    entries: Vec<Entry>,
    others: HashMap<Vec<u8>, u32>,
}

impl Table {
    /// Makes the table; the texts must differ from each other.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Table {
        let (mut packed, mut others) = (vec![], HashMap::new());
        for (number, text) in (0u32..).zip(texts) {
            match pack(text) {
                Some(key) => packed.push(Entry { key, number }),
                None => {
                    others.insert(text.to_vec(), number);
                }
            }
        }
        if packed.len() > PACKED_MAX {
            for entry in packed.drain(..) {
                let bytes = (u128::from(entry.key.1) << 64 | u128::from(entry.key.0)).to_le_bytes();
                let len = bytes.iter().position(|b| *b == 0).unwrap_or(16);
                others.insert(bytes[..len].to_vec(), entry.number);
            }
        }
        let mut bits = (packed.len().max(1) * 4).next_power_of_two().trailing_zeros();
        let mut seed = 0x9E37_79B9_7F4A_7C15u64;
        loop {
            for _ in 0..2000 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if let Some(table) = Table::with(&packed, seed | 1, bits) {
                    return Table { others, ..table };
                }
            }
            bits += 1;
        }
    }

    /// The table with this multiplier, if no two texts meet.
    fn with(packed: &[Entry], multiplier: u64, bits: u32) -> Option<Table> {
        let empty = Entry { key: (0, 0), number: UNKNOWN };
        let entries = vec![empty; 1 << bits];
        let mut table = Table { multiplier, shift: 64 - bits, entries, others: HashMap::new() };
        for entry in packed {
            let place = table.place(entry.key);
            if table.entries[place].number != UNKNOWN {
                return None;
            }
            table.entries[place] = *entry;
        }
        Some(table)
    }

    #[inline(always)]
    fn place(&self, key: Packed) -> usize {
        ((key.0 ^ key.1.rotate_left(29)).wrapping_mul(self.multiplier) >> self.shift) as usize
    }

    /// The number of a packed text, or [`UNKNOWN`].
    #[inline(always)]
    pub fn get_packed(&self, key: Packed) -> u32 {
        match self.entries.get(self.place(key)) {
            Some(entry) if entry.key == key => entry.number,
            _ => self.get_other(key),
        }
    }

    #[inline(always)]
    fn get_other(&self, key: Packed) -> u32 {
        if self.others.is_empty() { UNKNOWN } else { self.get_unpacked(key) }
    }

    #[cold]
    fn get_unpacked(&self, key: Packed) -> u32 {
        let bytes = (u128::from(key.1) << 64 | u128::from(key.0)).to_le_bytes();
        let len = bytes.iter().position(|b| *b == 0).unwrap_or(16);
        self.others.get(&bytes[..len]).copied().unwrap_or(UNKNOWN)
    }

    /// The number of a text, or [`UNKNOWN`].
    pub fn get(&self, text: &[u8]) -> u32 {
        match pack(text) {
            Some(key) => self.get_packed(key),
            None => self.others.get(text).copied().unwrap_or(UNKNOWN),
        }
    }

    /// The number of a text as a category's code: -1 when it is not known.
    pub fn code(&self, text: &[u8]) -> i64 {
        code(self.get(text))
    }
}

/// A number of the table as a category's code.
#[inline(always)]
pub fn code(number: u32) -> i64 {
    if number == UNKNOWN { -1 } else { i64::from(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_have_their_numbers() {
        for n in [0usize, 1, 2, 17, 64, 200, 256, 257, 3000] {
            let mut texts: Vec<Vec<u8>> = (0..n).map(|i| format!("{}{i}", "k".repeat(i % 20)).into_bytes()).collect();
            if n > 2 {
                texts[1] = vec![];
                texts[2] = b"a\0b".to_vec();
            }
            let table = Table::new(texts.iter().map(Vec::as_slice));
            for (i, text) in texts.iter().enumerate() {
                assert_eq!(table.get(text), i as u32, "{n} texts");
            }
            for text in [&b"x"[..], b"k", b"\0", b"0\0", b"kkkkkkkkkkkkkkkkkkkkkkkk", b"kkkkkkkkkkkkkkkk"] {
                assert_eq!(table.code(text), -1, "{n} texts");
            }
            assert_eq!(table.get(b""), if n > 2 { 1 } else { UNKNOWN });
        }
    }
}
