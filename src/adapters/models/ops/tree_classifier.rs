//! `ai.onnx.ml.TreeEnsembleClassifier`: `[n, features]` in, labels `[n]` and scores `[n, classes]` out.
//!
//! ONNX leaves two classes with one column of weights, base values and labels open; these are onnxruntime's decisions (1.32), kept by the fixtures.

use std::sync::Arc;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core;
use tract_onnx::tract_hir::internal::*;

use super::tree_regressor::as_f32;
use super::trees::attributes;
use super::trees::attributes::Leaves;
use super::trees::forest::Forest;
use super::trees::transform::Transform;
use super::trees::transform::logistic;
use super::trees::transform::probit;

#[derive(Clone, Debug, PartialEq)]
enum Labels {
    Integers(Arc<Vec<i64>>),
    Texts(Arc<Vec<String>>),
}

impl Labels {
    fn len(&self) -> usize {
        match self {
            Labels::Integers(l) => l.len(),
            Labels::Texts(l) => l.len(),
        }
    }
}

/// How the sums of a row become scores and a label.
#[derive(Clone, Debug, PartialEq)]
enum Rule {
    /// Three classes or more: the greatest score wins, among classes that have weights or base values.
    Many { scored: Vec<bool> },
    /// Two classes with weights of both.
    Two,
    /// Two classes with weights of the first only; `positive`: no weight is negative, so the score is a probability.
    First { positive: bool },
    /// Two classes with weights of the second only.
    Second { positive: bool },
}

#[derive(Clone, Debug, PartialEq)]
pub struct TreeClassifier {
    pub forest: Forest,
    base: Vec<f32>,
    labels: Labels,
    rule: Rule,
    transform: Transform,
}

// floats of a file, compared as they are; tract asks for the marker
impl Eq for TreeClassifier {}

fn labels(node: &NodeProto) -> TractResult<Labels> {
    let integers = node.get_attr_opt_slice::<i64>("classlabels_int64s")?.filter(|l| !l.is_empty());
    let texts = node.get_attr_opt_tvec::<String>("classlabels_strings")?.filter(|l| !l.is_empty());
    Ok(match (integers, texts) {
        (Some(l), None) => Labels::Integers(Arc::new(l.to_vec())),
        (None, Some(l)) => Labels::Texts(Arc::new(l.into_vec())),
        _ => bail!("exactly one of `classlabels_int64s` and `classlabels_strings` is needed"),
    })
}

/// # Errors
/// Names the attribute that is missing, wrong or not supported.
pub fn build(_: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    ensure!(node.output.len() == 2 && node.output.iter().all(|o| !o.is_empty()), "both outputs must have a name");
    let labels = labels(node)?;
    let classes = labels.len();
    ensure!(classes >= 2, "a classifier needs two classes at least");
    let ids = node.get_attr_slice::<i64>("class_ids")?;
    let positive = node.get_attr_slice::<f32>("class_weights")?.iter().all(|w| *w >= 0.0);
    let scored: Vec<bool> = (0..classes as i64).map(|c| ids.contains(&c)).collect();
    let base = node.get_attr_opt_slice::<f32>("base_values")?.unwrap_or(&[]).to_vec();
    let (rule, outputs) = if classes > 2 {
        ensure!(base.is_empty() || base.len() == classes, "base_values has {} entries for {classes}", base.len());
        let scored = scored.iter().map(|s| *s || !base.is_empty()).collect();
        (Rule::Many { scored }, classes)
    } else {
        ensure!(base.len() <= 2, "base_values has {} entries for two classes", base.len());
        match (scored[0], scored[1]) {
            (true, true) => (Rule::Two, 2),
            (true, false) => (Rule::First { positive }, 1),
            (false, true) => (Rule::Second { positive }, 1),
            (false, false) => bail!("no leaf has a weight for one of the two classes"),
        }
    };
    let forest = Forest::new(attributes::read(node, &Leaves { prefix: "class", outputs, single: outputs == 1 })?);
    let transform = Transform::parse(node.get_attr_opt("post_transform")?)?;
    Ok((expand(TreeClassifier { forest, base, labels, rule, transform }), vec![]))
}

impl TreeClassifier {
    /// Scores of one row from its sums; the answer is the index of the winning class.
    fn finish(&self, sums: &[f32], scores: &mut [f32]) -> usize {
        match &self.rule {
            Rule::Many { scored } => {
                scores.copy_from_slice(sums);
                scores.iter_mut().zip(&self.base).for_each(|(s, b)| *s += b);
                let mut best = None;
                for (i, score) in scores.iter().enumerate().filter(|(i, _)| scored[*i]) {
                    if best.is_none_or(|b: usize| *score > scores[b]) {
                        best = Some(i);
                    }
                }
                self.transform.apply(scores);
                best.unwrap_or(0)
            }
            Rule::Two => self.two(sums[0], sums[1], scores, None),
            Rule::Second { positive } => self.two(0.0, sums[0], scores, Some(*positive)),
            Rule::First { positive } => self.first(sums[0], *positive, scores),
        }
    }

    /// Both classes have a score of their own. With two base values onnxruntime makes the second the negative of the first.
    fn two(&self, first: f32, second: f32, scores: &mut [f32], single: Option<bool>) -> usize {
        let (first, second) = match self.base[..] {
            [_, base] => (-(base + first), base + first),
            [base] => (first + base, second),
            _ => (first, second),
        };
        scores.copy_from_slice(&[first, second]);
        self.transform.apply(scores);
        usize::from(second > if single == Some(true) { 0.5 } else { 0.0 })
    }

    /// One score stands for both classes.
    fn first(&self, sum: f32, positive: bool, scores: &mut [f32]) -> usize {
        if let [zero, one] = self.base[..] {
            scores.copy_from_slice(&[sum + zero, one]);
            self.transform.apply(scores);
            return usize::from(sum + zero > if positive { 0.5 } else { 0.0 });
        }
        let score = sum + self.base.first().copied().unwrap_or(0.0);
        let wins = score > if positive { 0.5 } else { 0.0 };
        scores.copy_from_slice(&match (self.transform, positive) {
            (Transform::Probit, _) => [probit(score), 0.0],
            (_, true) => [1.0 - score, score],
            (Transform::Logistic, false) => [logistic(-score), logistic(score)],
            (_, false) => [-score, score],
        });
        usize::from(wins)
    }
}

impl Expansion for TreeClassifier {
    fn name(&self) -> StaticName {
        "TreeEnsembleClassifier".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(2)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 2)?;
        s.equals(&outputs[0].datum_type, self.label_type())?;
        s.equals(&inputs[0].rank, 2)?;
        s.equals(&outputs[0].rank, 1)?;
        s.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        s.equals(&outputs[1].datum_type, f32::datum_type())?;
        s.equals(&outputs[1].rank, 2)?;
        s.equals(&outputs[1].shape[0], &inputs[0].shape[0])?;
        s.equals(&outputs[1].shape[1], self.labels.len().to_dim())?;
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let input = as_f32(prefix, model, inputs[0])?;
        model.wire_node(prefix, self.clone(), &[input])
    }
}

impl TreeClassifier {
    fn label_type(&self) -> DatumType {
        match self.labels {
            Labels::Integers(_) => i64::datum_type(),
            Labels::Texts(_) => String::datum_type(),
        }
    }
}

impl Op for TreeClassifier {
    fn name(&self) -> StaticName {
        "TreeEnsembleClassifier".into()
    }
    tract_core::op_as_typed_op!();
}

impl EvalOp for TreeClassifier {
    tract_core::op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let sums = self.forest.sums(&inputs[0])?;
        let count = inputs[0].shape()[0];
        let classes = self.labels.len();
        let mut scores = vec![0f32; count * classes];
        let rows = sums.chunks_exact(self.forest.ensemble().outputs).zip(scores.chunks_exact_mut(classes));
        let won: Vec<usize> = rows.map(|(sums, scores)| self.finish(sums, scores)).collect();
        let labels = match &self.labels {
            Labels::Integers(l) => Tensor::from_shape(&[count], &won.iter().map(|w| l[*w]).collect::<Vec<_>>())?,
            Labels::Texts(l) => tensor1(&won.iter().map(|w| l[*w].clone()).collect::<Vec<_>>()),
        };
        Ok(tvec![labels.into_tvalue(), Tensor::from_shape(&[count, classes], &scores)?.into_tvalue()])
    }
}

impl TypedOp for TreeClassifier {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let n = [inputs[0].shape[0].clone()];
        let labels = self.label_type().fact(&n);
        let [n] = n;
        Ok(tvec![labels, f32::fact(&[n, self.labels.len().to_dim()])])
    }
    tract_core::as_op!();
}
