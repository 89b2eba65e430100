//! The only unsafe code of the matrix kernels: one kernel for registers of any width, behind run-time detection.

mod lanes;
mod tile;

use std::sync::OnceLock;

use crate::cpu;
use crate::cpu::Level;
use crate::dense::activation;
use crate::dense::activation::Activation;
use crate::dense::simd::lanes::Four;
use crate::dense::simd::lanes::Lanes;
use crate::dense::simd::tile::Place;
use crate::dense::simd::tile::tile;

/// Instructions that a product is computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// What every processor of the build's target has.
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The fastest one that this processor has, that computes rightly on it and that [`cpu::level`] allows.
    pub fn best() -> Isa {
        static RIGHT: OnceLock<Vec<Isa>> = OnceLock::new();
        let right = RIGHT.get_or_init(|| {
            let mut all = Isa::all();
            // the widest path is on few machines that test this crate, so it proves itself before it is used
            all.retain(|isa| *isa == Isa::Portable || agrees(*isa));
            all
        });
        let level = cpu::level();
        right.iter().rfind(|isa| isa.level() <= level).copied().unwrap_or(Isa::Portable)
    }

    fn level(self) -> Level {
        match self {
            Isa::Portable => Level::Portable,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Level::Avx2,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Level::Avx512,
        }
    }

    /// All that this processor has, the slowest first.
    pub fn all() -> Vec<Isa> {
        let mut all = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
            if avx2 {
                all.push(Isa::Avx2);
            }
            if avx2 && std::arch::is_x86_feature_detected!("avx512f") {
                all.push(Isa::Avx512);
            }
        }
        all
    }

    /// Columns of a panel; a panel of half of them may stand at the end.
    pub fn columns(self) -> usize {
        match self {
            Isa::Portable => 8,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => 16,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => 32,
        }
    }
}

/// A small product that uses every part of the kernel, compared with the portable one.
fn agrees(isa: Isa) -> bool {
    let (k, n) = (37, 149);
    let number = |i: usize| ((i * 7919) % 263) as f32 / 131.0 - 1.0;
    let b: Vec<f32> = (0..k * n).map(number).collect();
    [1, 2, 3, 17, 29].into_iter().all(|m| {
        let a: Vec<f32> = (0..m * k).map(|i| number(i + 5)).collect();
        let product = |isa| {
            let mut out = vec![0.0; m * n];
            let weights = crate::dense::Weights::with(isa, &b, k, n, false);
            weights.multiply(&a, &mut out, crate::dense::Start::Zero, 1.0, Activation::Tanh);
            out
        };
        product(isa).iter().zip(product(Isa::Portable)).all(|(x, y)| (x - y).abs() < 1e-4)
    })
}

/// What the sums of a product start from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    Zero,
    /// The same numbers for every row.
    Row(&'a [f32]),
    /// What the output holds.
    Output,
}

/// A part of a product: all columns, some rows, some of the depth.
#[derive(Debug)]
pub struct Job<'a> {
    /// `rows` rows of `depth` numbers, `lda` apart.
    pub a: &'a [f32],
    pub lda: usize,
    pub rows: usize,
    pub depth: usize,
    /// Full panels: rows of `Isa::columns` numbers, `ldb` apart; panels `panel` apart.
    pub b: &'a [f32],
    pub ldb: usize,
    pub panel: usize,
    /// The last panel, of `tail_columns` numbers a row (half a panel or one), of which `cols % Isa::columns` count.
    pub tail: &'a [f32],
    pub tail_columns: usize,
    pub cols: usize,
    /// `rows` rows of `cols` numbers, without gaps.
    pub c: &'a mut [f32],
    pub start: Start<'a>,
    pub alpha: f32,
    pub relu: bool,
}

/// Adds the part of the product to what `job.start` says.
///
/// # Panics
/// If a slice of the job is too short for its sizes, or the processor lacks `isa`.
pub fn sweep(isa: Isa, job: &mut Job<'_>) {
    job.check(isa);
    // SAFETY: `check` made sure that the processor has the instructions and that the slices hold what is read
    unsafe {
        match isa {
            Isa::Portable => sweep_portable(job),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => sweep_avx2(job),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => sweep_avx512(job),
        }
    }
}

impl Job<'_> {
    fn check(&self, isa: Isa) {
        let columns = isa.columns();
        let (full, rest) = (self.cols / columns, self.cols % columns);
        // the last float that a block of rows with a stride reaches, or 0
        let reach = |blocks: usize, far: usize, rows: usize, stride: usize, row: usize| match (blocks, rows) {
            (0, _) | (_, 0) => 0,
            _ => (blocks - 1) * far + (rows - 1) * stride + row,
        };
        assert!(reach(1, 0, self.rows, self.lda, self.depth) <= self.a.len(), "rows of the left side are missing");
        assert!(reach(full, self.panel, self.depth, self.ldb, columns) <= self.b.len(), "panels are missing");
        let width = self.tail_columns;
        assert!(
            rest == 0 || rest <= width && (width == columns || width * 2 == columns),
            "the last panel is too narrow"
        );
        assert!(rest == 0 || self.depth * width <= self.tail.len(), "the last panel is missing");
        assert!(self.rows.checked_mul(self.cols).is_some_and(|n| n <= self.c.len()), "the output is too short");
        assert!(!matches!(self.start, Start::Row(row) if row.len() < self.cols), "the row to start from is too short");
        assert!(isa == Isa::Portable || available(isa), "the processor lacks {isa:?}");
    }
}

fn available(isa: Isa) -> bool {
    static ALL: OnceLock<Vec<Isa>> = OnceLock::new();
    ALL.get_or_init(Isa::all).contains(&isa)
}

unsafe fn sweep_portable(job: &mut Job<'_>) {
    // SAFETY: the caller checked the job
    unsafe { panels::<Four, 4>(job) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn sweep_avx2(job: &mut Job<'_>) {
    // SAFETY: the caller checked the job and the processor
    unsafe { panels::<lanes::Avx2, 6>(job) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn sweep_avx512(job: &mut Job<'_>) {
    // SAFETY: the caller checked the job and the processor
    unsafe { panels::<lanes::Avx512, 14>(job) }
}

/// Goes through the panels; few rows take several panels at once, so that sums do not wait for each other.
///
/// # Safety
/// `Job::check` was passed for the instructions of `V`, and the code is compiled with them.
#[inline(always)]
unsafe fn panels<V: Lanes, const MOST: usize>(job: &mut Job<'_>) {
    let columns = 2 * V::LEN;
    let c = job.c.as_mut_ptr();
    let (add, ld_add) = match job.start {
        Start::Zero => (std::ptr::null(), 0),
        Start::Row(row) => (row.as_ptr(), 0),
        Start::Output => (c.cast_const(), job.cols),
    };
    let mut at = Place {
        a: job.a.as_ptr(),
        lda: job.lda,
        depth: job.depth,
        b: job.b.as_ptr(),
        ldb: job.ldb,
        panel: job.panel,
        ahead: job.b.as_ptr(),
        ahead_step: 0,
        c,
        ldc: job.cols,
        add,
        ld_add,
        alpha: job.alpha,
        relu: job.relu,
    };
    let full = job.cols / columns;
    let together = match job.rows {
        1 => 4,
        2 | 3 => 2,
        _ => 1,
    };
    let mut done = 0;
    // SAFETY: pointers stay inside what `check` proved; a panel that is not there is never addressed
    unsafe {
        while done < full {
            let wide = full - done >= together && together > 1;
            match job.rows {
                1 if wide => tile::<V, 1, 4, 2>(&at, columns),
                2 if wide => tile::<V, 2, 2, 2>(&at, columns),
                3 if wide => tile::<V, 3, 2, 2>(&at, columns),
                _ => rows::<V, 2, MOST>(&at, job.rows, columns, done + 1 < full),
            }
            let step = if wide { together } else { 1 };
            done += step;
            at.b = at.b.wrapping_add(step * job.panel);
            at.c = at.c.wrapping_add(step * columns);
            if !at.add.is_null() {
                at.add = at.add.wrapping_add(step * columns);
            }
        }
        let rest = job.cols % columns;
        if rest > 0 {
            at.b = job.tail.as_ptr();
            at.ldb = job.tail_columns;
            if job.tail_columns == columns {
                rows::<V, 2, MOST>(&at, job.rows, rest, false);
            } else {
                rows::<V, 1, MOST>(&at, job.rows, rest, false);
            }
        }
    }
}

/// All rows of one panel, in tiles of about the same height. The first ones ask for the next panel, if there is `more`: large
/// weights come from the third-level cache or from memory, once for [`super::ROWS`] rows.
///
/// # Safety
/// As [`tile`], for `count` rows.
#[inline(always)]
unsafe fn rows<V: Lanes, const H: usize, const MOST: usize>(at: &Place, count: usize, cols: usize, more: bool) {
    let next = at.b.wrapping_add(at.panel);
    let tiles = count.div_ceil(MOST);
    let (height, taller) = (count / tiles.max(1), count % tiles.max(1));
    let mut at = *at;
    for i in 0..tiles {
        let r = height + usize::from(i < taller);
        (at.ahead, at.ahead_step) = if more && i < H { (next.wrapping_add(i * V::LEN), at.ldb) } else { (at.b, 0) };
        // SAFETY: the tiles' heights add up to `count`
        unsafe {
            match r {
                1 => tile::<V, 1, 1, H>(&at, cols),
                2 => tile::<V, 2, 1, H>(&at, cols),
                3 => tile::<V, 3, 1, H>(&at, cols),
                4 => tile::<V, 4, 1, H>(&at, cols),
                5 if MOST >= 5 => tile::<V, 5, 1, H>(&at, cols),
                6 if MOST >= 6 => tile::<V, 6, 1, H>(&at, cols),
                7 if MOST >= 7 => tile::<V, 7, 1, H>(&at, cols),
                8 if MOST >= 8 => tile::<V, 8, 1, H>(&at, cols),
                9 if MOST >= 9 => tile::<V, 9, 1, H>(&at, cols),
                10 if MOST >= 10 => tile::<V, 10, 1, H>(&at, cols),
                11 if MOST >= 11 => tile::<V, 11, 1, H>(&at, cols),
                12 if MOST >= 12 => tile::<V, 12, 1, H>(&at, cols),
                13 if MOST >= 13 => tile::<V, 13, 1, H>(&at, cols),
                14 if MOST >= 14 => tile::<V, 14, 1, H>(&at, cols),
                _ => {}
            }
        }
        at.a = at.a.wrapping_add(r * at.lda);
        at.c = at.c.wrapping_add(r * at.ldc);
        if !at.add.is_null() {
            at.add = at.add.wrapping_add(r * at.ld_add);
        }
    }
}

/// Applies an activation in place, with the widest instructions that there are.
pub fn activate(isa: Isa, activation: Activation, values: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if isa != Isa::Portable && available(isa) {
        // SAFETY: both other kinds have these instructions
        return unsafe { activate_avx2(activation, values) };
    }
    let _ = isa;
    activation::apply::<{ cfg!(target_arch = "aarch64") }>(activation, values);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn activate_avx2(activation: Activation, values: &mut [f32]) {
    activation::apply::<true>(activation, values);
}
