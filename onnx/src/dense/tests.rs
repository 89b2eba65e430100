//! Every path against a naive product in double precision.

use crate::dense::Isa;
use crate::dense::Start;
use crate::dense::Weights;
use crate::dense::activation::Activation;
use crate::dense::batch::Stack;
use crate::dense::batch::offsets;
use crate::dense::multiply;
use crate::dense::plain;

fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn naive(a: &[f32], b: &[f32], k: usize, n: usize, start: impl Fn(usize) -> f64) -> Vec<f64> {
    let m = a.len().checked_div(k).unwrap_or(0);
    let sum = |i: usize, j: usize| (0..k).map(|x| f64::from(a[i * k + x]) * f64::from(b[x * n + j])).sum::<f64>();
    (0..m * n).map(|at| start(at) + sum(at / n, at % n)).collect()
}

fn close(got: &[f32], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*g) - w).abs() <= 2e-5 * (1.0 + w.abs()), "{what}: element {i}: {g} for {w}");
    }
}

#[test]
fn every_instruction_set_multiplies_every_shape() {
    let sizes = [1, 2, 3, 4, 5, 7, 8, 9, 13, 14, 15, 16, 17, 29, 31, 32, 33, 64, 65];
    for isa in Isa::all() {
        for (i, &m) in sizes.iter().enumerate() {
            for (j, &n) in sizes.iter().enumerate() {
                let k = [1, 5, 33, 257][(i + j) % 4];
                let (a, b, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3));
                let transposed = (i * j) % 3 == 0;
                let given = if transposed { plain::transposed(&b, k, n) } else { b.clone() };
                let weights = Weights::with(isa, &given, k, n, transposed);
                let mut out = vec![7.0; m * n];
                weights.multiply(&a, &mut out, Start::Row(&bias), 1.0, Activation::Relu);
                let want: Vec<f64> =
                    naive(&a, &b, k, n, |at| f64::from(bias[at % n])).into_iter().map(|x| x.max(0.0)).collect();
                close(&out, &want, &format!("{isa:?} {m}x{k}x{n}"));
                // what was there before must not shine through
                let mut over = vec![f32::NAN; m * n];
                weights.multiply(&a, &mut over, Start::Zero, 1.0, Activation::None);
                close(&over, &naive(&a, &b, k, n, |_| 0.0), &format!("{isa:?} {m}x{k}x{n} from zero"));
            }
        }
    }
}

#[test]
fn a_product_over_nothing_writes_what_it_starts_from() {
    for isa in Isa::all() {
        for n in [1, 8, 17, 40] {
            let (weights, bias) = (Weights::with(isa, &[], 0, n, false), numbers(n, 9));
            let mut out = vec![f32::NAN; 3 * n];
            weights.multiply(&[], &mut out, Start::Row(&bias), 1.0, Activation::None);
            assert!(out.chunks(n).all(|row| row == bias), "{isa:?} {n}");
            weights.multiply(&[], &mut out, Start::Zero, 1.0, Activation::None);
            assert!(out.iter().all(|x| *x == 0.0), "{isa:?} {n}");
        }
    }
}

#[test]
fn rows_and_depth_beyond_one_block_add_up() {
    let (m, k, n) = (450, 770, 21);
    let (a, b, start) = (numbers(m * k, 4), numbers(k * n, 5), numbers(m * n, 6));
    let want = naive(&a, &b, k, n, |at| 2.0 * f64::from(start[at]));
    for isa in Isa::all() {
        let mut out = start.clone();
        Weights::with(isa, &b, k, n, false).multiply(&a, &mut out, Start::Output, 0.5, Activation::None);
        let doubled: Vec<f32> = out.iter().map(|x| x * 2.0).collect();
        close(&doubled, &want, &format!("{isa:?}"));
    }
}

#[test]
fn a_right_side_that_is_used_where_it_lies_gives_the_same_bits() {
    for m in [1, 2, 3, 5, 11, 12, 40] {
        for n in [1, 8, 15, 16, 17, 48, 100] {
            let k = 300;
            let (a, b) = (numbers(m * k, 7), numbers(k * n, 8));
            let (mut direct, mut packed) = (vec![0.0; m * n], vec![0.0; m * n]);
            multiply(&a, &b, (k, n), &mut direct, Start::Zero, 1.0);
            Weights::new(&b, k, n, false).multiply(&a, &mut packed, Start::Zero, 1.0, Activation::None);
            assert_eq!(direct, packed, "{m}x{k}x{n}");
        }
    }
}

#[test]
fn a_product_without_depth_is_what_it_starts_from() {
    let mut out = vec![9.0; 6];
    Weights::new(&[], 0, 3, false).multiply(&[], &mut out, Start::Row(&[1.0, 2.0, -3.0]), 1.0, Activation::Relu);
    assert_eq!(out, [1.0, 2.0, 0.0, 1.0, 2.0, 0.0]);
    multiply(&[], &[], (0, 3), &mut out, Start::Zero, 1.0);
    assert_eq!(out, [0.0; 6]);
}

#[test]
fn nan_and_minus_zero_pass_a_relu() {
    for isa in Isa::all() {
        for n in [1, 16, 33] {
            let weights = Weights::with(isa, &vec![1.0; n], 1, n, false);
            let mut out = vec![0.0; 3 * n];
            weights.multiply(&[f32::NAN, -1.0, -0.0], &mut out, Start::Zero, 1.0, Activation::Relu);
            assert!(out[..n].iter().all(|x| x.is_nan()), "{isa:?}");
            assert!(out[n..].iter().all(|x| *x == 0.0), "{isa:?}");
        }
    }
}

#[test]
fn activations_are_what_their_formulas_say() {
    let xs: Vec<f32> = (-4000..=4000).map(|i| i as f32 / 130.0).chain([f32::INFINITY, f32::NEG_INFINITY]).collect();
    type Case = (Activation, fn(f64) -> f64);
    let cases: [Case; 9] = [
        (Activation::Relu, |x| x.max(0.0)),
        (Activation::LeakyRelu(0.25), |x| if x < 0.0 { 0.25 * x } else { x }),
        (Activation::Sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
        (Activation::Tanh, f64::tanh),
        (Activation::Clip(-1.0, 6.0), |x| x.clamp(-1.0, 6.0)),
        (Activation::HardSigmoid(0.25, 0.5), |x| (0.25 * x + 0.5).clamp(0.0, 1.0)),
        (Activation::Elu(1.0), |x| if x < 0.0 { x.exp_m1() } else { x }),
        (Activation::Softplus, |x| if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }),
        (Activation::None, |x| x),
    ];
    for isa in Isa::all() {
        for (activation, formula) in cases {
            let mut got = xs.clone();
            super::simd::activate(isa, activation, &mut got);
            for (x, y) in xs.iter().zip(got) {
                let want = formula(f64::from(*x));
                let same = f64::from(y) == want || (f64::from(y) - want).abs() < 1e-6 * (1.0 + want.abs());
                assert!(same, "{isa:?} {activation:?} of {x}: {y} for {want}");
            }
        }
        let mut nan = [f32::NAN; 3];
        super::simd::activate(isa, Activation::Tanh, &mut nan);
        super::simd::activate(isa, Activation::Sigmoid, &mut nan);
        assert!(nan.iter().all(|x| x.is_nan()));
    }
}

#[test]
fn batches_are_broadcast() {
    let stack = Stack::new(&[2, 1, 4, 3], &[5, 3, 6]).unwrap();
    assert_eq!(stack.shape.as_slice(), [2, 5, 4, 6]);
    assert_eq!(stack.pairs.len(), 10);
    assert_eq!(stack.pairs[7], (1, 2));
    let tall = Stack::new(&[2, 7, 4, 3], &[3, 6]).unwrap();
    assert_eq!((tall.m, tall.pairs.as_slice()), (56, &[(0, 0)][..]));
    let dot = Stack::new(&[3], &[3]).unwrap();
    assert!(dot.shape.is_empty());
    assert_eq!(Stack::new(&[2, 3], &[0, 3, 4]).unwrap().shape.as_slice(), [0, 2, 4]);
    for (a, b) in [(&[2, 3][..], &[4, 2][..]), (&[], &[1]), (&[2, 1, 3], &[3, 3, 1])] {
        assert!(Stack::new(a, b).is_err(), "{a:?} {b:?}");
    }
    assert!(Stack::new(&[1 << 40, 0, 1], &[1, 1 << 40]).is_ok());
    assert!(Stack::new(&[1 << 40, 1], &[1, 1 << 40]).is_err());
    assert_eq!(offsets(&[2, 1], &[3, 2, 2]), [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1]);
}

#[test]
fn integers_wrap_round() {
    let mut out = [0i32; 1];
    plain::multiply(&[i32::MAX, 1, 1, 1, 1], &[2, 1, 1, 1, 1], (5, 1), &mut out);
    assert_eq!(out, [i32::MAX.wrapping_mul(2).wrapping_add(4)]);
}
