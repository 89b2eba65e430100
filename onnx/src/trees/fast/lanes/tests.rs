//! Every kind of ranks and every form of tree against the naive walk.

use std::collections::BTreeSet;

use crate::trees::cuts::Cuts;
use crate::trees::ensemble::Ensemble;
use crate::trees::ensemble::Node;
use crate::trees::fast::Sink;
use crate::trees::fast::flat::Flat;
use crate::trees::fast::lanes::Form;
use crate::trees::fast::lanes::Kind;
use crate::trees::fast::lanes::Lanes;
use crate::trees::fast::lanes::Room;
use crate::trees::fast::lanes::available;
use crate::trees::fast::lanes::walk::Rows;
use crate::trees::naive;
use crate::trees::probes;
use crate::trees::probes::Random;
use crate::trees::real::Real;
use crate::trees::tests::Look;
use crate::trees::tests::random;

struct Collect(Vec<Vec<u32>>);

impl Sink for Collect {
    fn add(&mut self, row: usize, leaf: u32) {
        self.0[row].push(leaf);
    }
}

/// Compares the walk of one kind at several batch sizes; answers the form of the trees, if they fit the kind.
fn compare<T: Real>(kind: Kind, ensemble: &Ensemble<T>) -> Option<String> {
    let cuts = Cuts::new(ensemble).unwrap();
    let (flat, cells) = Flat::<T, T::Narrow>::new(&cuts)?;
    let lanes = Lanes::of_kind(kind, &cuts, &flat, &cells)?;
    let (narrow, features) = probes::rows(ensemble);
    // rows as the flat layout wants them
    let width = features.max(flat.width());
    let low = |x: &T| if x.is_nan() { T::NEG_INFINITY } else { *x };
    let values: Vec<T> = narrow
        .chunks_exact(features)
        .flat_map(|row| row.iter().copied().chain(row.iter().map(low)).take(width).collect::<Vec<T>>())
        .collect();
    let leaf = |row: &[T], root: &u32| naive::leaf(ensemble, *root, row);
    let expected: Vec<Vec<u32>> =
        narrow.chunks_exact(features).map(|row| ensemble.roots.iter().map(|root| leaf(row, root)).collect()).collect();
    let mut room = Room::default();
    for batch in [1, 3, 6, 7, 9, 20, 75] {
        let mut from = 0;
        while from + batch <= expected.len() {
            let mut found = Collect(vec![vec![]; batch]);
            let values = &values[from * width..(from + batch) * width];
            lanes.walk(&Rows { flat: &flat, values, stride: width, count: batch }, &mut room, &mut found);
            assert_eq!(found.0, expected[from..from + batch], "{kind:?}, {batch} rows from {from}");
            from += batch.max(expected.len() / 3);
        }
    }
    Some(match &lanes.form {
        Form::Small(_) => "small".into(),
        Form::Perfect(perfect) => format!("{} registers, deep: {}", perfect.words, perfect.deep),
    })
}

#[test]
fn every_kind_and_form_finds_the_leaves_of_the_naive_walk() {
    if !available() {
        println!("left out: this processor has no AVX-512 with byte shuffles");
        return;
    }
    let mut r = Random(41);
    let mut seen = BTreeSet::new();
    for case in 0..40 {
        let look = Look {
            trees: [1, 17, 5, 33][case % 4],
            depth: [3, 6, 7, 8, 9, 16, 5, 7][case % 8],
            features: [2, 9, 14, 30, 50][case % 5],
            outputs: 1,
            pool: [40, 700, 5000][case % 3],
            modes: if case % 7 == 0 { 6 } else { 4 },
            // trees of few leaves, but deep ones
            leaf: if case % 3 == 0 { 2 } else { 5 },
        };
        for kind in Kind::ALL {
            let form = if case % 5 == 3 {
                compare(kind, &random::<f64>(&mut r, look).read().unwrap())
            } else {
                compare(kind, &random::<f32>(&mut r, look).read().unwrap())
            };
            seen.extend(form.map(|form| format!("{kind:?}: {form}")));
        }
    }
    println!("{seen:#?}");
    // all but four registers of words, which are not used
    assert_eq!(seen.len(), 4 * 5 - 2, "{seen:#?}");
}

#[test]
fn what_does_not_fit_is_left_to_other_walks() {
    let mut r = Random(43);
    let look = Look { trees: 40, depth: 6, features: 90, outputs: 1, pool: 50, modes: 4, leaf: 5 };
    let wide = random::<f32>(&mut r, look).read().unwrap();
    let lay = |ensemble: &Ensemble<f32>| {
        let cuts = Cuts::new(ensemble).unwrap();
        let (flat, cells) = Flat::<f32, <f32 as Real>::Narrow>::new(&cuts).unwrap();
        Lanes::new(&cuts, &flat, &cells).is_some()
    };
    assert!(!lay(&wide), "180 columns do not fit two registers");
    // thousands of trees without a branch beside one with many: registers would hold nothing
    let mut sparse = random::<f32>(&mut r, Look { trees: 1, features: 9, ..look }).read().unwrap();
    assert_eq!(lay(&sparse), available());
    for _ in 0..5000 {
        sparse.roots.push(sparse.nodes.len() as u32);
        sparse.nodes.push(Node::leaf(0));
    }
    assert!(!lay(&sparse));
}
