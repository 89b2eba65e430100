//! From tallies to what an operator answers: base values, averages, labels and the post transform.
//!
//! ONNX leaves much of this open; these are onnxruntime's decisions (`tree_ensemble_aggregator.h`, checked against 1.32 by
//! random models).

use crate::bad;
use crate::error::OpError;
use crate::trees::real::Real;
use crate::trees::tally::Aggregate;
use crate::trees::transform::Transform;
use crate::trees::transform::logistic;

/// What regressors do behind the trees; TreeEnsemble 5 does it without base values.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression<T> {
    aggregate: Aggregate,
    transform: Transform,
    base: Vec<T>,
    trees: T,
}

impl<T: Real> Regression<T> {
    /// # Errors
    /// If the base values are neither none nor one an output.
    pub fn new(
        aggregate: Aggregate,
        transform: Transform,
        base: Vec<T>,
        outputs: usize,
        trees: usize,
    ) -> Result<Regression<T>, OpError> {
        if !base.is_empty() && base.len() != outputs {
            bad!("attribute `base_values` has {} entries for {outputs} targets", base.len());
        }
        Ok(Regression { aggregate, transform, base, trees: T::from_f64(trees as f64) })
    }

    /// Whether [`Regression::row`] asks which targets a row has weights for.
    pub fn asks(&self) -> bool {
        self.base.len() > 1
    }

    /// Makes the answer of a row's tally, in place. One of several targets without a weight stays 0, without its base value.
    pub fn row(&self, scores: &mut [T], has: &[bool]) {
        if self.aggregate == Aggregate::Average {
            scores.iter_mut().for_each(|s| *s = *s / self.trees);
        }
        for ((score, base), has) in scores.iter_mut().zip(&self.base).zip(has) {
            if *has || self.base.len() == 1 {
                *score += *base;
            }
        }
        // a single target is left as it is by all transforms but one
        if scores.len() > 1 || self.transform == Transform::Probit {
            self.transform.apply(scores);
        }
    }
}

impl Regression<f32> {
    /// The same for doubles.
    pub fn widened(&self) -> Regression<f64> {
        let base = self.base.iter().map(|b| f64::from(*b)).collect();
        Regression { aggregate: self.aggregate, transform: self.transform, base, trees: f64::from(self.trees) }
    }
}

/// What a classifier does behind the trees.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification<T> {
    transform: Transform,
    base: Vec<T>,
    classes: usize,
    /// All weights are of one of two classes.
    binary: bool,
    /// No weight is negative: a binary score is a probability.
    positive: bool,
}

/// Which label a row gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Won {
    /// The class of this number.
    Class(usize),
    /// onnxruntime answers 0 or 1 whatever the numbers of the classes are, if neither of two classes stands for both.
    Number(usize),
}

impl Classification<f32> {
    /// The same for doubles.
    pub fn widened(&self) -> Classification<f64> {
        let base = self.base.iter().map(|b| f64::from(*b)).collect();
        let Classification { transform, classes, binary, positive, .. } = *self;
        Classification { transform, base, classes, binary, positive }
    }
}

impl<T: Real> Classification<T> {
    /// `class_ids` and `weights` are those of the leaves.
    ///
    /// # Errors
    /// If the number of base values does not fit the classes.
    pub fn new(
        transform: Transform,
        base: Vec<T>,
        classes: usize,
        class_ids: &[i64],
        weights: &[T],
    ) -> Result<Classification<T>, OpError> {
        let fits = base.is_empty() || if classes <= 2 { base.len() <= 2 } else { base.len() == classes };
        if !fits || classes == 0 {
            bad!("attribute `base_values` has {} entries for {classes} classes", base.len());
        }
        let binary = classes == 2 && !class_ids.is_empty() && class_ids.iter().all(|c| *c == class_ids[0]);
        let positive = weights.iter().all(|w| *w >= T::ZERO);
        Ok(Classification { transform, base, classes, binary, positive })
    }

    /// Makes the scores of a row's tally, in place; `has` says which classes a leaf had a weight for.
    pub fn row(&self, scores: &mut [T], has: &[bool]) -> Won {
        match self.classes {
            1 => self.one(scores),
            2 => self.two(scores, has),
            _ => self.many(scores, has),
        }
    }

    fn many(&self, scores: &mut [T], has: &[bool]) -> Won {
        scores.iter_mut().zip(&self.base).for_each(|(s, b)| *s += *b);
        let mut best = None;
        for (i, score) in scores.iter().enumerate().filter(|(i, _)| has[*i] || !self.base.is_empty()) {
            if best.is_none_or(|(_, most)| *score > most) {
                best = Some((i, *score));
            }
        }
        self.transform.apply(scores);
        Won::Class(best.map_or(0, |b| b.0))
    }

    /// Whether the second class wins.
    fn wins(&self, score: T) -> Won {
        if !self.binary {
            return Won::Number(usize::from(score > T::ZERO));
        }
        Won::Class(usize::from(score > if self.positive { T::from_f32(0.5) } else { T::ZERO }))
    }

    fn two(&self, scores: &mut [T], has: &[bool]) -> Won {
        let second = has[1];
        match self.base[..] {
            [_, base] if second => {
                scores[1] = base + scores[0];
                scores[0] = -scores[1];
            }
            [first, base] => {
                scores[1] += base;
                scores[0] += first;
            }
            [base] => scores[0] += base,
            _ => {}
        }
        let score = if second {
            scores[1]
        } else if has[0] {
            scores[0]
        } else {
            T::ZERO
        };
        let won = self.wins(score);
        if second || self.base.len() == 2 {
            // what no leaf had a weight for counts as 0, whatever its base value
            scores.iter_mut().zip(has).filter(|(_, has)| !**has).for_each(|(s, _)| *s = T::ZERO);
            self.transform.apply(scores);
        } else {
            self.both(scores);
        }
        won
    }

    /// One score stands for both classes.
    fn both(&self, scores: &mut [T]) {
        let score = scores[0];
        let (first, second) = match self.transform {
            Transform::Probit => {
                self.transform.apply(&mut scores[..1]);
                (scores[0], T::ZERO)
            }
            // here onnxruntime leaves the second score unwritten
            _ if !self.binary && self.base.len() == 1 => (score, T::ZERO),
            Transform::Logistic => {
                let x = score.to_f32();
                (T::from_f32(logistic(-x)), T::from_f32(logistic(x)))
            }
            _ if self.binary && self.positive => (T::ONE - score, score),
            _ => (-score, score),
        };
        (scores[0], scores[1]) = (first, second);
    }

    fn one(&self, scores: &mut [T]) -> Won {
        let mut pair = [scores[0], T::ZERO];
        if let [_, base] = self.base[..] {
            pair[1] = scores[0] + base;
            pair[0] = -pair[1];
            let won = self.wins(pair[1]);
            self.transform.apply(&mut pair);
            scores[0] = pair[0];
            return won;
        }
        if let [base] = self.base[..] {
            scores[0] += base;
        }
        let won = self.wins(scores[0]);
        if self.transform == Transform::Probit {
            self.transform.apply(scores);
        }
        won
    }
}
