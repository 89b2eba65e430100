//! Mutations that know nothing of a format but its words.

use crate::random::Random;

/// Longest input that mutations make.
const LONGEST: usize = 64 << 10;
const NUMBERS: [&[u8]; 14] = [
    b"0",
    b"-1",
    b"255",
    b"256",
    b"65536",
    b"2147483648",
    b"-9223372036854775808",
    b"9223372036854775807",
    b"18446744073709551616",
    b"1e308",
    b"1e-400",
    b"0.1",
    b"-0",
    b"99999999999999999999999999",
];

/// Changes an input in one to four places. `words` are the format's own, `other` is another input of the corpus.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], words: &[&[u8]], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        step(input, other, words, random);
        input.truncate(LONGEST);
    }
}

fn step(input: &mut Vec<u8>, other: &[u8], words: &[&[u8]], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = (at + 1 + random.below(16)).min(input.len());
    match random.below(13) {
        0 if at < input.len() => input[at] = random.word() as u8,
        1 if at < input.len() => input[at] ^= 1 << random.below(8),
        2 if at < input.len() => input[at] = input[at].wrapping_add([1, 0xff][random.below(2)]),
        3 => input.truncate(at),
        4 => drop(input.drain(at..end.max(at))),
        5 => {
            let part = input[at..end.max(at)].to_vec();
            input.splice(at..at, part.iter().copied().cycle().take(part.len() * (1 + random.below(3))));
        }
        6 => {
            // A part in many copies: nesting, long texts, long lists.
            let part = input[at..end.max(at)].to_vec();
            let copies = [8, 64, 200, 2_000][random.below(4)];
            input.splice(at..at, part.iter().copied().cycle().take((part.len() * copies).min(LONGEST)));
        }
        7 if !words.is_empty() => drop(input.splice(at..at, random.pick(words).iter().copied())),
        8 if !words.is_empty() => drop(input.splice(at..end.max(at), random.pick(words).iter().copied())),
        9 => {
            let digit = |b: &u8| b.is_ascii_digit();
            if let Some(from) = input[at..].iter().position(digit).map(|i| at + i) {
                let to = input[from..].iter().position(|b| !digit(b)).map_or(input.len(), |i| from + i);
                input.splice(from..to, random.pick(&NUMBERS).iter().copied());
            }
        }
        10 => {
            let from = random.below(other.len() + 1);
            let to = (from + 1 + random.below(64)).min(other.len()).max(from);
            input.splice(at..at, other[from..to].iter().copied());
        }
        11 => {
            let (from, tail) = (random.below(other.len() + 1), at);
            input.truncate(tail);
            input.extend_from_slice(&other[from..]);
        }
        _ => drop(input.splice(at..at, [0, 0x7f, 0x80, 0xc3, 0xff, 0xed].into_iter().skip(random.below(6)).take(1))),
    }
}
