//! Every operator of the folder on inputs that mean nothing: whatever happens, it is a value or an error.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::graph::Node;
use crate::graph::attributes::Attribute;
use crate::graph::attributes::Attributes;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::ops::control;
use crate::ops::shape;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Value;

/// Numbers from a seed (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Small mostly, else absurd; nothing between, which would be slow and right.
    fn number(&mut self) -> i64 {
        match self.below(8) {
            0 => self.of(&[i64::MIN, i64::MAX, 1 << 40, -(1 << 40), i64::MAX - 1, i64::MIN + 1]),
            _ => self.below(7) as i64 - 3,
        }
    }

    fn numbers(&mut self) -> Vec<i64> {
        (0..self.below(5)).map(|_| self.number()).collect()
    }

    fn tensor(&mut self) -> Tensor {
        use ElementType::*;
        if self.below(3) == 0 {
            return match self.below(3) {
                0 => Tensor::scalar(self.number()),
                1 => Tensor::vector(self.numbers()),
                _ => Tensor::vector((0..self.below(5)).map(|_| self.below(2) == 0).collect()),
            };
        }
        let mut shape: Vec<usize> = (0..self.below(5)).map(|_| self.of(&[0, 1, 1, 2, 2, 3, 4])).collect();
        if shape.contains(&0) && self.below(3) == 0 {
            shape.iter_mut().filter(|d| **d > 1).for_each(|d| *d = 1 << 40);
        }
        let len = volume(&shape, 8).unwrap();
        if self.below(2) == 0 {
            return Tensor::new(&shape, (0..len).map(|_| self.number()).collect()).unwrap();
        }
        let kind = self.of(&[Bool, I8, I16, I32, I64, U8, U16, U32, U64, F16, F32, F64, Text]);
        let numbers = Tensor::new(&shape, (0..len).map(|_| self.number()).collect()).unwrap();
        shape::cast::convert(&numbers, kind).unwrap()
    }

    /// Inputs of a node: alike, so that some fit each other, or each on its own.
    fn inputs(&mut self) -> Vec<Tensor> {
        let count = 1 + self.below(5);
        if self.below(2) == 0 {
            return (0..count).map(|_| self.tensor()).collect();
        }
        let shape: Vec<usize> = (0..self.below(4)).map(|_| 1 + self.below(2)).collect();
        let len = shape.iter().product();
        (0..count).map(|_| Tensor::new(&shape, (0..len).map(|_| -(self.below(2) as i64)).collect()).unwrap()).collect()
    }

    fn attributes(&mut self) -> Attributes {
        const INTS: [&str; 16] = [
            "axis",
            "axes",
            "perm",
            "shape",
            "starts",
            "ends",
            "split",
            "pads",
            "k",
            "keepdims",
            "batch_dims",
            "allowzero",
            "sorted",
            "upper",
            "num_outputs",
            "blocksize",
        ];
        let mut all = BTreeMap::new();
        for name in INTS {
            match self.below(6) {
                0 => all.insert(name.to_string(), Attribute::Ints(self.numbers())),
                1 | 2 => all.insert(name.to_string(), Attribute::Int(self.number())),
                _ => None,
            };
        }
        all.insert("to".into(), Attribute::Int(self.below(15) as i64));
        if self.below(2) == 0 {
            let mode = self.of(&["reflect", "edge", "wrap", "constant", "DCR", "CRD", "linear", "circular", "none"]);
            all.insert("mode".into(), Attribute::Text(mode.into()));
        }
        if self.below(2) == 0 {
            let reduction = self.of(&["none", "add", "mul", "min", "max"]);
            all.insert("reduction".into(), Attribute::Text(reduction.into()));
        }
        if self.below(2) == 0 {
            all.insert("value".into(), Attribute::Tensor(Arc::new(self.tensor())));
        }
        Attributes(all)
    }

    fn node(&mut self, operator: &Operator, inputs: usize) -> Node {
        Node {
            domain: operator.domain.into(),
            op_type: operator.name.into(),
            inputs: (0..inputs).map(|i| format!("x{i}")).collect(),
            outputs: (0..1 + self.below(4)).map(|i| format!("y{i}")).collect(),
            attributes: self.attributes(),
            version: self.of(&[1, 6, 9, 11, 13, 18, 24]),
            ..Default::default()
        }
    }
}

#[test]
fn nonsense_is_an_error_and_no_panic() {
    let families = [
        shape::arg::OPERATORS,
        shape::cast::OPERATORS,
        shape::concat::OPERATORS,
        shape::cumulate::OPERATORS,
        shape::fill::OPERATORS,
        shape::gather::OPERATORS,
        shape::pad::OPERATORS,
        shape::repeat::OPERATORS,
        shape::reshape::OPERATORS,
        shape::reverse::OPERATORS,
        shape::scatter::OPERATORS,
        shape::select::OPERATORS,
        shape::slice::OPERATORS,
        shape::topk::OPERATORS,
        shape::transpose::OPERATORS,
        shape::unique::OPERATORS,
        control::sequence::OPERATORS,
        control::optional::OPERATORS,
    ];
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for operator in families.concat() {
        let mut made = 0;
        for _ in 0..1000 {
            let inputs = numbers.inputs();
            let known = numbers.below(2) == 0;
            let constants: Vec<_> = inputs.iter().map(|t| known.then(|| Arc::new(t.clone()))).collect();
            let node = numbers.node(&operator, inputs.len());
            let build =
                Build { node: &node, constants: &constants, compile: &|_| unreachable!("there is no subgraph") };
            let Ok(kernel) = operator.build.expect("an own kernel")(&build) else { continue };
            let mut values: Vec<Value> = inputs.into_iter().map(Value::from).collect();
            made += usize::from(kernel.run(&mut Inputs(&mut values)).is_ok());
        }
        // these need a sequence, and there is none
        let idle = ["ConcatFromSequence", "SequenceAt", "SequenceErase", "SequenceInsert", "SequenceLength"];
        assert!(made > 0 || idle.contains(&operator.name), "{} never did anything", operator.name);
    }
}
