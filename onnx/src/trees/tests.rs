//! Every way against the naive walk on random trees, and readers on files that something damaged.

use crate::trees::attributes::Attributes;
use crate::trees::attributes5::Attributes5;
use crate::trees::ensemble::Ensemble;
use crate::trees::ensemble::Entry;
use crate::trees::ensemble::Leaves;
use crate::trees::fast::blocks;
use crate::trees::fast::lanes;
use crate::trees::forest::Forest;
use crate::trees::forest::Path;
use crate::trees::forest::Rows;
use crate::trees::forest::Scratch;
use crate::trees::probes;
use crate::trees::probes::Random;
use crate::trees::real::Real;
use crate::trees::tally::Aggregate;
use crate::trees::tally::Weights;

const MODES: [&str; 6] = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];

/// How random trees look.
#[derive(Clone, Copy)]
pub(in crate::trees) struct Look {
    pub trees: usize,
    pub depth: usize,
    pub features: usize,
    pub outputs: usize,
    /// Different thresholds.
    pub pool: usize,
    /// The first of [`MODES`] that occur.
    pub modes: usize,
    /// One of so many nodes is a leaf.
    pub leaf: usize,
}

pub(in crate::trees) fn random<T: Real>(r: &mut Random, look: Look) -> Attributes<T> {
    let mut a = Attributes { outputs: look.outputs, ..Attributes::default() };
    let special = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, 1e-38, f64::NAN, 3e38];
    let pool: Vec<T> = (0..look.pool)
        .map(|i| T::from_f64(if i % 9 == 8 { special[r.below(7)] } else { r.below(2000) as f64 / 500.0 - 2.0 }))
        .collect();
    for tree in 0..look.trees as i64 {
        // (depth, parent, side); nodes are numbered as they come
        let mut open = vec![(0, usize::MAX, false)];
        let first = a.tree_ids.len();
        while let Some((depth, parent, side)) = open.pop() {
            let me = a.tree_ids.len();
            let id = (me - first) as i64;
            if parent != usize::MAX {
                if side { a.yes[parent] = id } else { a.no[parent] = id }
            }
            let leaf = depth == look.depth || (depth > 0 && r.below(look.leaf) == 0);
            a.tree_ids.push(tree);
            a.node_ids.push(id);
            a.features.push(r.below(look.features) as i64);
            a.modes.push(if leaf { "LEAF" } else { MODES[r.below(look.modes)] }.into());
            a.values.push(pool[r.below(pool.len())]);
            a.yes.push(0);
            a.no.push(0);
            a.nan_true.push(r.below(2) as i64);
            if leaf {
                for output in 0..look.outputs {
                    a.weight_trees.push(tree);
                    a.weight_nodes.push(id);
                    a.weight_outputs.push(output as i64);
                    a.weights.push(T::from_f64(r.below(1000) as f64 / 7.0));
                }
            } else {
                open.extend([(depth + 1, me, true), (depth + 1, me, false)]);
            }
        }
    }
    a
}

/// Rows at thresholds, three times those that the check at load uses.
fn compare<T: Real>(ensemble: &Ensemble<T>) -> [bool; 5] {
    let (values, width) = probes::rows(ensemble);
    let forest = Forest::new(ensemble.clone(), Aggregate::Sum, false);
    assert_eq!(forest.notes().len(), 1, "{:?}", forest.notes());
    let all = Rows { values: &values, width, count: values.len() / width };
    let expected = forest.leaves(&all, Path::Naive);
    let trees = ensemble.roots.len();
    for path in Path::ALL.into_iter().filter(|p| forest.has(*p)) {
        for batch in [1, 2, 4, 7, 8, 9, 31, 64, 65, 130] {
            let mut from = 0;
            while from + batch <= all.count {
                let rows = Rows { values: &values[from * width..(from + batch) * width], width, count: batch };
                assert_eq!(
                    forest.leaves(&rows, path),
                    expected[from * trees..(from + batch) * trees],
                    "{path:?} {batch} {from}"
                );
                from += batch.max(all.count / 3);
            }
        }
    }
    Path::ALL.map(|path| forest.has(path))
}

#[test]
fn every_way_finds_the_leaves_of_the_naive_walk() {
    let mut r = Random(7);
    let mut seen = [0; 5];
    for case in 0..48 {
        let look = Look {
            trees: [1, 3, 9, 20][case % 4],
            depth: [1, 4, 6, 7, 9, 14][case % 6],
            features: [1, 3, 17, 40][case / 2 % 4],
            outputs: 1,
            pool: [5, 60, 900][case % 3],
            modes: if case % 2 == 0 { 4 } else { 6 },
            leaf: 5,
        };
        let has = if case % 5 == 4 {
            compare(&random::<f64>(&mut r, look).read().unwrap())
        } else {
            compare(&random::<f32>(&mut r, look).read().unwrap())
        };
        seen.iter_mut().zip(has).for_each(|(seen, has)| *seen += usize::from(has));
    }
    println!("walks by way: {:?} {seen:?}", Path::ALL);
    if blocks::available() {
        assert!(seen[3] > 20, "{seen:?}");
    } else {
        println!("left out: blocks, for which this processor has no AVX2");
    }
    if lanes::available() {
        assert!(seen[4] > 20, "{seen:?}");
    } else {
        println!("left out: lanes, for which this processor has no AVX-512");
    }
    assert!(seen[2] > 20, "{seen:?}");
}

#[test]
fn sums_are_added_in_the_order_of_the_trees() {
    let mut r = Random(3);
    for (outputs, only) in [(1, false), (2, false), (2, true), (5, false), (9, false), (9, true)] {
        let look = Look { trees: 40, depth: 5, features: 6, outputs, pool: 50, modes: 4, leaf: 5 };
        let mut attributes = random::<f32>(&mut r, look);
        if only {
            one_weight_a_leaf(&mut attributes, outputs as i64 - 1);
        }
        let ensemble = attributes.read().unwrap();
        let (values, width) = probes::rows(&ensemble);
        let rows = Rows { values: &values, width, count: values.len() / width };
        let forest = Forest::new(ensemble.clone(), Aggregate::Sum, false);
        assert_eq!(matches!(forest.tally().weights, Weights::Only { .. }), only);
        let leaves = forest.leaves(&rows, Path::Naive);
        let mut scratch = Scratch::default();
        for path in Path::ALL.into_iter().filter(|p| forest.has(*p)) {
            forest.run_by(path, &rows, &mut scratch).unwrap();
            for (row, leaves) in leaves.chunks(40).enumerate() {
                let mut want = vec![0f32; outputs];
                for leaf in leaves {
                    ensemble.leaves.of(*leaf as usize).iter().for_each(|e| want[e.output as usize] += e.weight);
                }
                assert_eq!(forest.tally().row(&mut scratch.scores, row).0, &want[..], "{path:?}");
            }
        }
    }
}

fn one_weight_a_leaf(a: &mut Attributes<f32>, output: i64) {
    let mut seen = std::collections::BTreeSet::new();
    let keep: Vec<bool> = a.weight_trees.iter().zip(&a.weight_nodes).map(|leaf| seen.insert(leaf)).collect();
    let kept = |values: &[i64]| values.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(v, _)| *v).collect();
    let weights = a.weights.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(w, _)| *w).collect::<Vec<f32>>();
    let (trees, nodes): (Vec<i64>, Vec<i64>) = (kept(&a.weight_trees), kept(&a.weight_nodes));
    (a.weight_trees, a.weight_nodes, a.weight_outputs, a.weights) =
        (trees, nodes, vec![output; weights.len()], weights);
}

#[test]
fn leaves_with_the_same_weights_become_one() {
    let entry = |output, weight| Entry { output, weight };
    let all =
        [entry(0, 1.5), entry(0, -0.0), entry(0, 1.5), entry(1, 1.5), entry(0, 0.0), entry(0, 1.5), entry(1, 2.0)];
    // leaf 2 has no weight, leaf 5 two of them, as leaf 7 and not as leaf 6
    let all = [&all[..5], &all[5..], &[entry(0, 1.5)], &[entry(0, 1.5), entry(1, 2.0)]].concat();
    let owners = [0, 1, 3, 4, 4, 5, 5, 6, 7, 7];
    let leaves = Leaves::new(9, &owners, all.to_vec());
    let (merged, numbers) = leaves.merged();
    assert_eq!(numbers, [0, 1, 2, 0, 3, 4, 0, 4, 2]);
    assert_eq!(merged.count(), 5);
    for (leaf, number) in numbers.iter().enumerate() {
        let bits = |entries: &[Entry<f32>]| entries.iter().map(|e| (e.output, e.weight.to_bits())).collect::<Vec<_>>();
        assert_eq!(bits(merged.of(*number as usize)), bits(leaves.of(leaf)));
    }
}

#[test]
fn large_trees_and_many_features_are_laid_out_in_large_cells() {
    let mut r = Random(11);
    // more than 65,536 nodes in one tree, and a feature beyond 65,536
    let deep = Look { trees: 1, depth: 24, features: 5, outputs: 1, pool: 300, modes: 4, leaf: 5 };
    let mut large = (0..50).map(|_| random::<f32>(&mut r, deep)).find(|a| a.tree_ids.len() > 70_000).unwrap();
    large.features[0] = 90_000;
    let forest = Forest::new(large.read().unwrap(), Aggregate::Sum, false);
    assert!(forest.has(Path::Wide) && !forest.has(Path::Narrow), "{:?}", forest.notes());
}

#[test]
fn cycles_and_wrong_references_are_refused() {
    let mut r = Random(5);
    let look = Look { trees: 2, depth: 3, features: 3, outputs: 1, pool: 20, modes: 4, leaf: 5 };
    let good = random::<f32>(&mut r, look);
    assert!(good.read().is_ok());
    let mut cycle = good.clone();
    let inner = (1..cycle.modes.len()).find(|i| cycle.modes[*i] != "LEAF").unwrap();
    cycle.yes[inner] = 0;
    assert!(cycle.read().unwrap_err().to_string().contains("cycle"));
    let mut outside = good.clone();
    outside.no[0] = 999;
    assert!(outside.read().unwrap_err().to_string().contains("has no node 999"));
    let mut feature = good.clone();
    feature.features[0] = -1;
    assert!(feature.read().is_err());
    let mut short = good.clone();
    short.values.pop();
    assert!(short.read().unwrap_err().to_string().contains("nodes_values"));
    let mut twice = good;
    twice.node_ids[1] = 0;
    assert!(twice.read().unwrap_err().to_string().contains("twice"));
}

/// Sets some numbers to others that a damaged or hostile file may hold.
fn damage(r: &mut Random, lists: &mut [&mut Vec<i64>]) {
    for _ in 0..1 + r.below(3) {
        let list = r.below(lists.len());
        let list = &mut *lists[list];
        if list.is_empty() {
            continue;
        }
        let at = r.below(list.len());
        match r.below(8) {
            0 => list.truncate(at),
            1 => list[at] = [i64::MAX, i64::MIN, -1, 1 << 40, 1 << 21][r.below(5)],
            2 => list.push(0),
            _ => list[at] = r.below(list.len() + 2) as i64,
        }
    }
}

#[test]
fn damaged_arrays_are_refused_or_run() {
    let mut r = Random(23);
    let (mut read, mut refused) = (0, 0);
    for round in 0..4000 {
        let look = Look { trees: 3, depth: 3, features: 4, outputs: 1 + round % 3, pool: 10, modes: 6, leaf: 5 };
        let mut a = random::<f32>(&mut r, look);
        damage(
            &mut r,
            &mut [
                &mut a.tree_ids,
                &mut a.node_ids,
                &mut a.features,
                &mut a.yes,
                &mut a.no,
                &mut a.nan_true,
                &mut a.weight_trees,
                &mut a.weight_nodes,
                &mut a.weight_outputs,
            ],
        );
        match a.read() {
            Err(_) => refused += 1,
            Ok(ensemble) if ensemble.features > 100 => read += 1,
            Ok(ensemble) => {
                read += 1;
                compare(&ensemble);
            }
        }
    }
    assert!(read > 200 && refused > 1000, "{read} read, {refused} refused");
}

#[test]
fn damaged_arrays_of_version_5_are_refused_or_run() {
    let mut r = Random(29);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..4000 {
        let n = 1 + r.below(12);
        let leaves = 1 + r.below(8);
        let mut list = |end: usize| (0..n).map(|_| r.below(end) as i64).collect::<Vec<_>>();
        let (features, nan_true) = (list(5), list(2));
        // children lie behind their parents, so that about all are trees
        let (mut yes, mut no, yes_leaf, no_leaf) = (list(leaves), list(leaves), list(2), list(2));
        for i in 0..n {
            for (child, leaf) in [(&mut yes, &yes_leaf), (&mut no, &no_leaf)] {
                if leaf[i] == 0 && i + 1 < n {
                    child[i] = (i + 1 + r.below(n - i - 1)) as i64;
                }
            }
        }
        let modes: Vec<u8> = (0..n).map(|_| r.below(7) as u8).collect();
        let sets = modes.iter().filter(|m| **m == 6).count();
        let members = (0..sets).flat_map(|_| [r.below(50) as f32 - 3.0, r.below(9) as f32 / 2.0, f32::NAN]).collect();
        let mut a = Attributes5 {
            features,
            modes,
            splits: (0..n).map(|_| r.below(9) as f32).collect(),
            yes,
            no,
            yes_leaf,
            no_leaf,
            nan_true,
            members,
            leaf_targets: (0..leaves).map(|_| r.below(2) as i64).collect(),
            leaf_weights: vec![1.0; leaves],
            roots: vec![0, r.below(n) as i64],
            outputs: 2,
        };
        if r.below(2) == 0 {
            damage(&mut r, &mut [&mut a.features, &mut a.yes, &mut a.no, &mut a.leaf_targets, &mut a.roots]);
        }
        match a.read() {
            Err(_) => refused += 1,
            Ok(ensemble) if ensemble.features > 100 => read += 1,
            Ok(ensemble) => {
                read += 1;
                compare(&ensemble);
            }
        }
    }
    assert!(read > 300 && refused > 300, "{read} read, {refused} refused");
}
