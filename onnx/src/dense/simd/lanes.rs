//! Vectors of float32 of one width each, under one trait, so that the kernels above are written once.

/// A register of floats.
///
/// # Safety
/// Every function may be called only where the processor has the instructions of the implementing type, from code that
/// is compiled with them; `load` reads and `store` writes `LEN` floats at any alignment.
pub trait Lanes: Copy {
    /// Floats in a register.
    const LEN: usize;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// `self * by + to`, rounded once where the processor can.
    unsafe fn mul_add(self, by: Self, to: Self) -> Self;
    unsafe fn mul(self, by: Self) -> Self;
    /// The larger of 0 and `self`; NaN and -0 stay.
    unsafe fn relu(self) -> Self;
    /// Asks for these floats to come near; any address will do.
    unsafe fn fetch_ahead(from: *const f32);
}

/// Four floats as plain Rust; compilers make one register of them.
#[derive(Clone, Copy)]
pub struct Four([f32; 4]);

#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    // elsewhere `mul_add` is a call of a library function
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) { a.mul_add(b, c) } else { a * b + c }
}

// SAFETY (of the implementation): plain Rust but for the two accesses, which the trait's contract covers.
impl Lanes for Four {
    const LEN: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Four([x; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for four floats; `[f32; 4]` has the alignment of a float
        Four(unsafe { from.cast::<[f32; 4]>().read() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as in `load`
        unsafe { to.cast::<[f32; 4]>().write(self.0) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, by: Self, to: Self) -> Self {
        Four(std::array::from_fn(|i| fused(self.0[i], by.0[i], to.0[i])))
    }

    #[inline(always)]
    unsafe fn mul(self, by: Self) -> Self {
        Four(std::array::from_fn(|i| self.0[i] * by.0[i]))
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        Four(self.0.map(|x| if x < 0.0 { 0.0 } else { x }))
    }

    #[inline(always)]
    unsafe fn fetch_ahead(_: *const f32) {}
}

#[cfg(target_arch = "x86_64")]
macro_rules! x86 {
    ($name:ident, $register:ident, $len:literal, $splat:ident, $load:ident, $store:ident, $fma:ident, $mul:ident,
     $max:ident, $zero:ident) => {
        #[derive(Clone, Copy)]
        pub struct $name(std::arch::x86_64::$register);

        // SAFETY (of the implementation): the trait's contract asks for a processor with these instructions, and for
        // pointers to as many floats as a register holds; the accesses are the unaligned ones.
        impl Lanes for $name {
            const LEN: usize = $len;

            #[inline(always)]
            unsafe fn splat(x: f32) -> Self {
                // SAFETY: see the implementation
                $name(unsafe { std::arch::x86_64::$splat(x) })
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: see the implementation
                $name(unsafe { std::arch::x86_64::$load(from) })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: see the implementation
                unsafe { std::arch::x86_64::$store(to, self.0) }
            }

            #[inline(always)]
            unsafe fn mul_add(self, by: Self, to: Self) -> Self {
                // SAFETY: see the implementation
                $name(unsafe { std::arch::x86_64::$fma(self.0, by.0, to.0) })
            }

            #[inline(always)]
            unsafe fn mul(self, by: Self) -> Self {
                // SAFETY: see the implementation
                $name(unsafe { std::arch::x86_64::$mul(self.0, by.0) })
            }

            #[inline(always)]
            unsafe fn relu(self) -> Self {
                // SAFETY: see the implementation; `max` returns its second operand for NaN and for equal ones
                $name(unsafe { std::arch::x86_64::$max(std::arch::x86_64::$zero(), self.0) })
            }

            #[inline(always)]
            unsafe fn fetch_ahead(from: *const f32) {
                use std::arch::x86_64::_MM_HINT_T1;
                use std::arch::x86_64::_mm_prefetch;
                // SAFETY: a hint that touches nothing
                unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
x86!(
    Avx2,
    __m256,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_fmadd_ps,
    _mm256_mul_ps,
    _mm256_max_ps,
    _mm256_setzero_ps
);

#[cfg(target_arch = "x86_64")]
x86!(
    Avx512,
    __m512,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_fmadd_ps,
    _mm512_mul_ps,
    _mm512_max_ps,
    _mm512_setzero_ps
);
