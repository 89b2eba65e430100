//! The instructions of the walk, and all unsafe code of it: loads and stores of whole registers, and a gather.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::trees::fast::lanes::Answers;
use crate::trees::fast::lanes::Found;
use crate::trees::fast::lanes::ROWS;
use crate::trees::fast::lanes::TREES;
use crate::trees::fast::lanes::perfect::Perfect;
use crate::trees::fast::lanes::perfect::WORDS;
use crate::trees::fast::lanes::program::Kind;
use crate::trees::fast::lanes::program::Line;
use crate::trees::fast::lanes::ranks::KEYS;
use crate::trees::fast::lanes::small::LEAVES;
use crate::trees::fast::lanes::small::Small;

/// [`Kind`] as a constant.
const BYTES64: u8 = Kind::Bytes64 as u8;
const WORDS32: u8 = Kind::Words32 as u8;
const BYTES128: u8 = Kind::Bytes128 as u8;
const WORDS64: u8 = Kind::Words64 as u8;

const fn node_lines(kind: u8) -> usize {
    if kind == WORDS32 || kind == WORDS64 { 3 } else { 2 }
}

const fn row_lines(kind: u8) -> usize {
    if kind == BYTES64 || kind == WORDS32 { 1 } else { 2 }
}

/// See [`nodes`].
struct Nodes {
    columns: [__m512i; 2],
    thresholds: [__m512i; 2],
    flips: [__m512i; 2],
}

/// Calls a macro with the constant of a kind.
macro_rules! each_kind {
    ($kind:expr, $go:ident) => {
        match $kind {
            Kind::Bytes64 => $go!(BYTES64),
            Kind::Words32 => $go!(WORDS32),
            Kind::Bytes128 => $go!(BYTES128),
            Kind::Words64 => $go!(WORDS64),
        }
    };
}

/// Compiles functions for the processors that [`available`] finds.
macro_rules! compiled {
    ($($item:item)*) => {
        $(#[target_feature(
            enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt"
        )] $item)*
    };
}
pub(super) use compiled;

/// Whether the processor has the instructions.
pub fn available() -> bool {
    macro_rules! all { ($($name:tt)*) => { true $(&& is_x86_feature_detected!($name))* } }
    all!("avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512vbmi" "avx512vbmi2" "avx2" "bmi1" "bmi2" "lzcnt" "popcnt")
}

compiled! {
    #[inline]
    fn line(from: &Line) -> __m512i {
        // SAFETY: a line has 64 bytes and starts at a multiple of 64.
        unsafe { _mm512_load_si512(from.0.as_ptr().cast()) }
    }

    #[inline]
    fn eight(from: &[u64]) -> __m512i {
        let from: &[u64; 8] = from.first_chunk().expect("eight words");
        // SAFETY: eight words are 64 bytes; any alignment will do.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline]
    fn sixteen(from: &[u32]) -> __m512i {
        let from: &[u32; 16] = from.first_chunk().expect("sixteen words");
        // SAFETY: sixteen words are 64 bytes; any alignment will do.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline]
    fn keep(words: __m512i, to: &mut [u32; ROWS]) {
        // SAFETY: sixteen words are 64 bytes; any alignment will do.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), words) }
    }

    /// The entries of `table` with these numbers.
    ///
    /// # Panics
    /// If there is no such entry.
    #[inline]
    fn gather(table: &[u32], numbers: __m512i) -> __m512i {
        let len = u32::try_from(table.len()).unwrap_or(u32::MAX);
        let inside = _mm512_cmplt_epu32_mask(numbers, _mm512_set1_epi32(len.min(i32::MAX as u32) as i32));
        assert_eq!(inside, 0xffff, "entries are in the table");
        // SAFETY: all numbers are below the length of the table, which fits an `i32`.
        unsafe { _mm512_i32gather_epi32::<4>(numbers, table.as_ptr().cast()) }
    }

    /// How many of the keys lie below `x`; a NaN lies above all.
    #[inline]
    pub fn above(x: f32, keys: &[f32; KEYS]) -> usize {
        // SAFETY: sixteen floats are 64 bytes; any alignment will do.
        let keys = unsafe { _mm512_loadu_ps(keys.as_ptr()) };
        _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(_mm512_set1_ps(x), keys).count_ones() as usize
    }

    /// 64 nodes ready to be compared: columns and thresholds, and which words change their sign; in halves for words.
    #[inline]
    fn nodes<const K: u8>(lines: &[Line]) -> Nodes {
        let columns = line(&lines[0]);
        if K == BYTES64 || K == BYTES128 {
            let none = _mm512_setzero_si512();
            return Nodes { columns: [columns, none], thresholds: [line(&lines[1]), none], flips: [none; 2] };
        }
        let halves = [_mm512_castsi512_si256(columns), _mm512_extracti64x4_epi64::<1>(columns)];
        // closures that other functions call would not be compiled into them
        let columns = [_mm512_cvtepu8_epi16(halves[0]), _mm512_cvtepu8_epi16(halves[1])];
        let sign = _mm512_set1_epi16(i16::MIN);
        let flip = |columns| _mm512_and_si512(_mm512_slli_epi16::<8>(columns), sign);
        let flips = [flip(columns[0]), flip(columns[1])];
        Nodes { columns, thresholds: [line(&lines[1]), line(&lines[2])], flips }
    }

    /// Writes the answers of 64 nodes for a row.
    #[inline]
    fn answer<const K: u8>(nodes: &Nodes, row: &[Line], to: &mut u64) {
        let Nodes { columns, thresholds, flips } = nodes;
        let a = line(&row[0]);
        let (low, high) = match K {
            BYTES64 => return write(_mm512_cmpgt_epu8_mask(_mm512_permutexvar_epi8(columns[0], a), thresholds[0]), to),
            BYTES128 => {
                let ranks = _mm512_permutex2var_epi8(a, columns[0], line(&row[1]));
                return write(_mm512_cmpgt_epu8_mask(ranks, thresholds[0]), to);
            }
            WORDS32 => (_mm512_permutexvar_epi16(columns[0], a), _mm512_permutexvar_epi16(columns[1], a)),
            _ => {
                let b = line(&row[1]);
                (_mm512_permutex2var_epi16(a, columns[0], b), _mm512_permutex2var_epi16(a, columns[1], b))
            }
        };
        let low = _mm512_cmpgt_epi16_mask(_mm512_xor_si512(low, flips[0]), thresholds[0]);
        let high = _mm512_cmpgt_epi16_mask(_mm512_xor_si512(high, flips[1]), thresholds[1]);
        write(u64::from(low) | u64::from(high) << 32, to);
    }

    /// Compilers gather what is stored next to each other in registers, with more instructions than it takes to make it.
    #[inline]
    fn write(word: u64, to: &mut u64) {
        // SAFETY: a reference may be written to.
        unsafe { std::ptr::write_volatile(to, word) }
    }

    /// Eight walks through 6, 7 or 8 levels, by answers `[word][walk]` from walk `from` on: numbers of the nodes below.
    #[inline]
    fn descend<const W: usize>(answers: &[[u64; ROWS]; WORDS], from: usize) -> __m256i {
        let first = eight(&answers[0][from..]);
        let one = _mm512_set1_epi64(1);
        let mut at = _mm512_shldi_epi64::<1>(one, _mm512_slli_epi64::<1>(first));
        for _ in 1..6 {
            at = _mm512_shldi_epi64::<1>(at, _mm512_rolv_epi64(first, at));
        }
        if W >= 2 {
            at = _mm512_shldi_epi64::<1>(at, _mm512_rolv_epi64(eight(&answers[1][from..]), at));
        }
        if W >= 4 {
            let upper = _mm512_test_epi64_mask(at, _mm512_set1_epi64(64));
            let word = _mm512_mask_blend_epi64(upper, eight(&answers[2][from..]), eight(&answers[3][from..]));
            at = _mm512_shldi_epi64::<1>(at, _mm512_rolv_epi64(word, at));
        }
        _mm512_cvtepi64_epi32(at)
    }

    /// The exits of a tree by numbers of nodes.
    #[inline]
    fn exit<const W: usize>(exits: &[u32], at: __m512i) -> __m512i {
        if W > 1 {
            return gather(exits, _mm512_sub_epi32(at, _mm512_set1_epi32(64 * W as i32)));
        }
        let part = |i: usize| sixteen(&exits[16 * i..]);
        let low = _mm512_permutex2var_epi32(part(0), at, part(1));
        let high = _mm512_permutex2var_epi32(part(2), at, part(3));
        _mm512_mask_blend_epi32(_mm512_test_epi32_mask(at, _mm512_set1_epi32(32)), low, high)
    }

    /// Exits of perfect trees for `8 * G` rows: `lines` holds the registers of the trees, `exits` what is behind them.
    #[inline]
    fn group<const K: u8, const W: usize, const G: usize>(
        lines: &[Line],
        exits: &[u32],
        rows: &[Line],
        answers: &mut Answers,
        found: &mut Found,
    ) {
        let (of_nodes, of_row) = const { (node_lines(K), row_lines(K)) };
        assert!(rows.len() >= 8 * G * of_row, "a group of rows has its ranks");
        for (lines, answers) in lines.chunks_exact(W * of_nodes).zip(&mut *answers) {
            for w in 0..W {
                let nodes = nodes::<K>(&lines[w * of_nodes..]);
                for r in 0..8 * G {
                    answer::<K>(&nodes, &rows[r * of_row..], &mut answers[w][r]);
                }
            }
        }
        for ((exits, answers), found) in exits.chunks_exact(64 * W).zip(answers).zip(found) {
            let low = descend::<W>(answers, 0);
            let high = if G == 2 { descend::<W>(answers, 8) } else { low };
            keep(exit::<W>(exits, _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)), found);
        }
    }

    /// Exits of up to 16 times 16 perfect trees for one row; `answers` and `found` are `[group][_][tree]`.
    #[inline]
    fn single<const K: u8, const W: usize>(
        lines: &[Line],
        exits: &[u32],
        row: &[Line],
        answers: &mut Answers,
        found: &mut Found,
    ) {
        let of_nodes = const { node_lines(K) };
        let groups = lines.chunks(W * of_nodes * ROWS);
        for (lines, answers) in groups.zip(&mut *answers) {
            for (t, lines) in lines.chunks_exact(W * of_nodes).enumerate() {
                for w in 0..W {
                    answer::<K>(&nodes::<K>(&lines[w * of_nodes..]), row, &mut answers[w][t]);
                }
            }
        }
        // tree `t` has its exits behind those of the trees before
        let tree = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let first = _mm512_mullo_epi32(_mm512_sub_epi32(tree, _mm512_set1_epi32(1)), _mm512_set1_epi32(64 * W as i32));
        for ((exits, answers), found) in exits.chunks_exact(ROWS * 64 * W).zip(answers).zip(found) {
            let (low, high) = (descend::<W>(answers, 0), descend::<W>(answers, 8));
            let at = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
            keep(gather(exits, _mm512_add_epi32(at, first)), found);
        }
    }

    /// Leaves of small trees for 16 rows.
    #[inline]
    fn states<const K: u8>(
        small: &Small,
        tree: usize,
        lines: &[Line],
        rows: &[Line],
        answers: &mut Answers,
        found: &mut Found,
    ) {
        let (of_nodes, of_row) = const { (node_lines(K), row_lines(K)) };
        assert!(rows.len() >= ROWS * of_row, "a group of rows has its ranks");
        for (lines, answers) in lines.chunks_exact(of_nodes).zip(&mut *answers) {
            let nodes = nodes::<K>(lines);
            for r in 0..ROWS {
                answer::<K>(&nodes, &rows[r * of_row..], &mut answers[0][r]);
            }
        }
        let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
        let trees = small.next[2 * tree..].chunks_exact(4).zip(small.leaves[tree..].chunks_exact(2));
        for (pair, (next, leaves)) in trees.take(lines.len() / of_nodes).enumerate() {
            let (low, high) = (eight(&answers[pair][0][..8]), eight(&answers[pair][0][8..]));
            let (a, b) = (_mm512_permutex2var_epi32(low, even, high), _mm512_permutex2var_epi32(low, odd, high));
            let (depth_a, depth_b) = (small.depths[tree + 2 * pair], small.depths[tree + 2 * pair + 1]);
            let arrived = |depth: u32| _mm512_set1_epi32(if depth == 0 { LEAVES as i32 } else { 0 });
            let (mut i, mut j) = (arrived(depth_a), arrived(depth_b));
            let (a0, a1, b0, b1) = (line(&next[0]), line(&next[1]), line(&next[2]), line(&next[3]));
            // only the lowest byte of every state counts
            let lowest = 0x1111_1111_1111_1111;
            for _ in 0..depth_a.max(depth_b) {
                let step_a = _mm512_shldi_epi32::<1>(i, _mm512_rolv_epi32(a, i));
                let step_b = _mm512_shldi_epi32::<1>(j, _mm512_rolv_epi32(b, j));
                i = _mm512_maskz_permutex2var_epi8(lowest, a0, step_a, a1);
                j = _mm512_maskz_permutex2var_epi8(lowest, b0, step_b, b1);
            }
            let leaf = |k: usize, at| _mm512_permutex2var_epi32(sixteen(&leaves[k][..16]), at, sixteen(&leaves[k][16..]));
            keep(leaf(0, i), &mut found[2 * pair]);
            keep(leaf(1, j), &mut found[2 * pair + 1]);
        }
    }

    /// Leaves of small trees for up to four rows.
    #[inline]
    fn masks<const K: u8, const R: usize>(
        small: &Small,
        tree: usize,
        lines: &[Line],
        rows: &[Line],
        found: &mut Found,
    ) {
        let (of_nodes, of_row) = const { (node_lines(K), row_lines(K)) };
        assert!(rows.len() >= R * of_row, "every row has its ranks");
        for (pair, lines) in lines.chunks_exact(of_nodes).enumerate() {
            let nodes = nodes::<K>(lines);
            let mut answers = [0; R];
            for (r, to) in answers.iter_mut().enumerate() {
                answer::<K>(&nodes, &rows[r * of_row..], to);
            }
            for half in 0..2 {
                let t = tree + 2 * pair + half;
                let (want, care, leaves) = (&small.want[t], &small.care[t], &small.leaves[t]);
                let (want, care) = ([sixteen(&want[..16]), sixteen(&want[16..])], [sixteen(&care[..16]), sixteen(&care[16..])]);
                for r in 0..R {
                    let answers = _mm512_set1_epi32((answers[r] >> (32 * half)) as i32);
                    let fits = |k: usize| {
                        // (answers ^ want) & care
                        let wrong = _mm512_ternarylogic_epi32::<0x28>(answers, want[k], care[k]);
                        _mm512_testn_epi32_mask(wrong, wrong)
                    };
                    let leaf = (u32::from(fits(0)) | u32::from(fits(1)) << 16).trailing_zeros() as usize;
                    found[2 * pair + half][r] = leaves[leaf % LEAVES];
                }
            }
        }
    }
}

compiled! {
    /// Exits of up to 16 trees from `tree` on, for 16 rows or 8.
    pub fn perfect_group(
        perfect: &Perfect,
        tree: usize,
        both: bool,
        rows: &[Line],
        answers: &mut Answers,
        found: &mut Found,
    ) {
        let (lines, exits) = perfect.part(tree, TREES);
        macro_rules! go {
            ($kind:ident) => {
                match (perfect.words, both) {
                    (1, false) => group::<$kind, 1, 1>(lines, exits, rows, answers, found),
                    (1, true) => group::<$kind, 1, 2>(lines, exits, rows, answers, found),
                    (2, false) => group::<$kind, 2, 1>(lines, exits, rows, answers, found),
                    (2, true) => group::<$kind, 2, 2>(lines, exits, rows, answers, found),
                    (_, false) => group::<$kind, 4, 1>(lines, exits, rows, answers, found),
                    (_, true) => group::<$kind, 4, 2>(lines, exits, rows, answers, found),
                }
            };
        }
        each_kind!(perfect.program.kind, go)
    }

    /// Exits of `count` trees from `tree` on, up to 256, for one row; `found` is `[group][tree]`.
    pub fn perfect_row(
        perfect: &Perfect,
        tree: usize,
        count: usize,
        row: &[Line],
        answers: &mut Answers,
        found: &mut Found,
    ) {
        let (lines, exits) = perfect.part(tree, count);
        macro_rules! go {
            ($kind:ident) => {
                match perfect.words {
                    1 => single::<$kind, 1>(lines, exits, row, answers, found),
                    2 => single::<$kind, 2>(lines, exits, row, answers, found),
                    _ => single::<$kind, 4>(lines, exits, row, answers, found),
                }
            };
        }
        each_kind!(perfect.program.kind, go)
    }

    /// Leaves of up to 16 trees from `tree` on, for 16 rows.
    pub fn small_group(small: &Small, tree: usize, rows: &[Line], answers: &mut Answers, found: &mut Found) {
        let lines = small.part(tree);
        macro_rules! go {
            ($kind:ident) => { states::<$kind>(small, tree, lines, rows, answers, found) };
        }
        each_kind!(small.program.kind, go)
    }

    /// Leaves of up to 16 trees from `tree` on, for four rows or one.
    pub fn small_rows(small: &Small, tree: usize, four: bool, rows: &[Line], found: &mut Found) {
        let lines = small.part(tree);
        macro_rules! go {
            ($kind:ident) => {
                match four {
                    true => masks::<$kind, 4>(small, tree, lines, rows, found),
                    false => masks::<$kind, 1>(small, tree, lines, rows, found),
                }
            };
        }
        each_kind!(small.program.kind, go)
    }
}
