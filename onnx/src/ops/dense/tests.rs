//! Edges of the operators of this folder; their whole range is compared by the ONNX project's own cases.

use std::sync::Arc;

use crate::graph::Node;
use crate::graph::attributes::Attribute;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::registry;
use crate::tensor::Element;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Value;

fn run(
    domain: &str,
    op: &str,
    attributes: &[(&str, Attribute)],
    inputs: &[Option<Tensor>],
) -> Result<Vec<Tensor>, String> {
    let mut node = Node { domain: domain.into(), op_type: op.into(), version: 21, ..Node::default() };
    node.inputs = inputs.iter().enumerate().map(|(i, t)| t.as_ref().map_or(String::new(), |_| i.to_string())).collect();
    node.outputs = (0..3).map(|i| format!("y{i}")).collect();
    node.attributes.0.extend(attributes.iter().map(|(name, a)| (name.to_string(), a.clone())));
    // the right side of a product, known beforehand and not
    let mut all = vec![];
    for known in [false, true] {
        let constants: Vec<Option<Arc<Tensor>>> =
            inputs.iter().enumerate().map(|(i, t)| t.clone().filter(|_| known && i > 0).map(Arc::new)).collect();
        let build = Build { node: &node, constants: &constants, compile: &|_| unreachable!() };
        let builder = registry::find(domain, op).unwrap().build.unwrap();
        let mut values: Vec<Value> = inputs.iter().map(|t| t.clone().map_or(Value::Absent, Value::from)).collect();
        let made = builder(&build).and_then(|kernel| kernel.run(&mut Inputs(&mut values)));
        all.push(made.map(|v| v.iter().map(|v| v.tensor().unwrap().clone()).collect()).map_err(|e| e.to_string()));
    }
    assert_eq!(all[0], all[1], "{op}");
    all.swap_remove(0)
}

fn tensor<T: Element>(shape: &[usize], values: &[T]) -> Option<Tensor> {
    Some(Tensor::new(shape, values.to_vec()).unwrap())
}

fn einsum(equation: &str, shapes: &[&[usize]]) -> Result<(Vec<usize>, Vec<i64>), String> {
    let numbers = |shape: &[usize]| (1..=shape.iter().product::<usize>() as i64).collect::<Vec<_>>();
    let inputs: Vec<_> = shapes.iter().map(|s| tensor(s, &numbers(s))).collect();
    let equation = Attribute::Text(equation.into());
    let out = run("", "Einsum", &[("equation", equation)], &inputs)?.swap_remove(0);
    Ok((out.shape().to_vec(), out.slice::<i64>().unwrap().to_vec()))
}

#[test]
fn equations() {
    /// Equation, shapes of the inputs, shape and elements of the output.
    type Case<'a> = (&'a str, &'a [&'a [usize]], &'a [usize], &'a [i64]);
    let cases: [Case<'_>; 9] = [
        ("ij,jk->ik", &[&[2, 2], &[2, 2]], &[2, 2], &[7, 10, 15, 22]),
        ("ij,jk", &[&[2, 2], &[2, 2]], &[2, 2], &[7, 10, 15, 22]),
        ("ba", &[&[2, 2]], &[2, 2], &[1, 3, 2, 4]),
        ("ii->i", &[&[3, 3]], &[3], &[1, 5, 9]),
        ("ii", &[&[3, 3]], &[], &[15]),
        ("...i,i->...", &[&[2, 1, 2], &[2]], &[2, 1], &[5, 11]),
        ("i,j,k->kji", &[&[1], &[2], &[2]], &[2, 2, 1], &[1, 2, 2, 4]),
        ("ij->j", &[&[2, 0]], &[0], &[]),
        ("ij->i", &[&[2, 0]], &[2], &[0, 0]),
    ];
    for (equation, shapes, shape, values) in cases {
        assert_eq!(einsum(equation, shapes), Ok((shape.to_vec(), values.to_vec())), "{equation}");
    }
    for (equation, shapes) in
        [("ij->ik", &[&[2, 2][..]][..]), ("ij", &[&[2]]), ("i,i", &[&[2], &[3]]), ("i->ii", &[&[2]]), ("i,j", &[&[2]])]
    {
        assert!(einsum(equation, shapes).is_err(), "{equation}");
    }
    for equation in ["i1", "......i", "i-j", "é"] {
        assert!(einsum(equation, &[&[2, 2]]).is_err(), "{equation}");
    }
}

#[test]
fn axes_without_end_in_empty_tensors_are_no_work() {
    let long = 1 << 40;
    for (equation, shape) in [("ij->i", [long, 0]), ("ij->j", [long, 0]), ("ij->ji", [0, long])] {
        let out = einsum(equation, &[&shape]);
        assert!(out.is_err() || out.is_ok_and(|(_, v)| v.is_empty()), "{equation}");
    }
    let empty = |shape: &[usize]| tensor::<f32>(shape, &[]);
    let out = run("", "MatMul", &[], &[empty(&[0, 0]), empty(&[0, long])]).unwrap();
    assert_eq!(out[0].shape(), [0, long]);
    assert!(run("", "MatMul", &[], &[empty(&[long, 0]), empty(&[0, long])]).is_err());
    let scale = tensor(&[long, 1][..0], &[1.0f32]);
    assert_eq!(run("", "QuantizeLinear", &[], &[empty(&[long, long, 0]), scale, None]).unwrap()[0].len(), 0);
}

#[test]
fn halves_go_to_the_even_neighbour_and_the_rest_saturates() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.5, 1.5, 2.5, -0.5, -1.5, 254.5, 255.5, 1e9];
    let out =
        run("", "QuantizeLinear", &[], &[tensor(&[11], &x), tensor(&[], &[1.0f32]), tensor(&[], &[1u8])]).unwrap();
    assert_eq!(out[0].elements(), &Elements::U8(vec![0, 255, 0, 1, 3, 3, 1, 0, 255, 255, 255]));
    let out =
        run("", "QuantizeLinear", &[], &[tensor(&[11], &x), tensor(&[], &[0.5f32]), tensor(&[], &[-3i8])]).unwrap();
    assert_eq!(out[0].elements(), &Elements::I8(vec![-128, 127, -128, -2, 0, 2, -4, -6, 127, 127, 127]));
}

#[test]
fn scales_lie_along_an_axis_or_in_blocks() {
    let x = || tensor(&[2, 3], &[1i8, 2, 3, 4, 5, 6]);
    let axis = |n| Attribute::Int(n);
    let by_row = run("", "DequantizeLinear", &[("axis", axis(0))], &[x(), tensor(&[2], &[1.0f32, 10.0]), None]);
    assert_eq!(by_row.unwrap()[0].slice::<f32>().unwrap(), [1.0, 2.0, 3.0, 40.0, 50.0, 60.0]);
    let zeros = tensor(&[3], &[1i8, 0, 0]);
    let by_column = run("", "DequantizeLinear", &[], &[x(), tensor(&[3], &[1.0f32, 2.0, 3.0]), zeros]);
    assert_eq!(by_column.unwrap()[0].slice::<f32>().unwrap(), [0.0, 4.0, 9.0, 3.0, 10.0, 18.0]);
    let blocks = [("axis", axis(1)), ("block_size", axis(2))];
    let scales = || tensor(&[2, 2], &[1.0f32, 10.0, 100.0, 1000.0]);
    let out = run("", "DequantizeLinear", &blocks, &[x(), scales(), None]).unwrap();
    assert_eq!(out[0].slice::<f32>().unwrap(), [1.0, 2.0, 30.0, 400.0, 500.0, 6000.0]);
    assert!(run("", "DequantizeLinear", &[("axis", axis(2))], &[x(), tensor(&[2], &[1.0f32, 2.0]), None]).is_err());
    assert!(run("", "DequantizeLinear", &[], &[x(), scales(), None]).is_err());
    assert!(run("", "DequantizeLinear", &[("block_size", axis(-1))], &[x(), scales(), None]).is_err());
}

#[test]
fn integer_products_take_zero_points_off() {
    let a = || tensor(&[2, 2], &[1u8, 2, 3, 4]);
    let b = || tensor(&[2, 2], &[1i8, -1, 2, 5]);
    let zeros = || [tensor(&[], &[1u8]), tensor(&[2], &[0i8, 1])];
    let [az, bz] = zeros();
    let out = run("", "MatMulInteger", &[], &[a(), b(), az, bz]).unwrap();
    assert_eq!(out[0].slice::<i32>().unwrap(), [2, 4, 8, 8]);
    let [az, bz] = zeros();
    let scale = |x: f32| tensor(&[], &[x]);
    let all = [a(), scale(0.5), az, b(), scale(0.5), bz, scale(0.5), tensor(&[], &[100u8])];
    let out = run("", "QLinearMatMul", &[], &all).unwrap();
    assert_eq!(out[0].elements(), &Elements::U8(vec![101, 102, 104, 104]));
    assert!(run("", "MatMulInteger", &[], &[a(), b(), None, tensor(&[3], &[0i8; 3])]).is_err());
    assert!(run("", "MatMulInteger", &[], &[a(), tensor(&[3, 1], &[1i8; 3])]).is_err());
}

#[test]
fn gemm_adds_what_can_be_broadcast() {
    let ones = |shape: &[usize]| Some(Tensor::full(shape, 1.0f32).unwrap());
    let turned = [("transA", Attribute::Int(1)), ("beta", Attribute::Float(0.5)), ("alpha", Attribute::Float(2.0))];
    for c in [&[][..], &[1], &[4], &[3, 1], &[1, 4], &[3, 4]] {
        let out = run("", "Gemm", &turned, &[ones(&[2, 3]), ones(&[2, 4]), ones(c)]).unwrap();
        assert_eq!(out[0], Tensor::full(&[3, 4], 4.5f32).unwrap(), "{c:?}");
    }
    for c in [&[3][..], &[4, 1], &[1, 1, 4]] {
        assert!(run("", "Gemm", &turned, &[ones(&[2, 3]), ones(&[2, 4]), ones(c)]).is_err(), "{c:?}");
    }
}

#[test]
fn weights_of_few_bits() {
    let whole = |value: i64| Attribute::Int(value);
    let settings = |k, n, bits, block, level| {
        [
            ("K", whole(k)),
            ("N", whole(n)),
            ("bits", whole(bits)),
            ("block_size", whole(block)),
            ("accuracy_level", whole(level)),
        ]
    };
    let run = |settings: &[(&str, Attribute)], inputs: &[Option<Tensor>]| {
        run("com.microsoft", "MatMulNBits", settings, inputs)
    };
    let x = || tensor(&[2, 3], &[1.0f32, 2.0, 3.0, -1.0, 0.0, 1.0]);
    // 4 bits, 16 a block: 8 is zero, unless zero points say another
    let mut bytes = [0u8; 8];
    bytes[..2].copy_from_slice(&[0xa9, 0x07]);
    let weights = || tensor(&[1, 1, 8], &bytes);
    let scale = || tensor(&[1], &[0.5f32]);
    let four = settings(3, 1, 4, 16, 0);
    let out = run(&four, &[x(), weights(), scale()]).unwrap();
    assert_eq!(out[0].slice::<f32>().unwrap(), [0.5 * (1.0 + 2.0 * 2.0 - 3.0), 0.5 * (-1.0 - 1.0)]);
    let bias = tensor(&[1], &[10.0f32]);
    let out = run(&four, &[x(), weights(), scale(), tensor(&[1, 1], &[0x07u8]), None, bias]).unwrap();
    assert_eq!(out[0].slice::<f32>().unwrap(), [10.0 + 0.5 * (2.0 + 2.0 * 3.0), 10.0 - 0.5 * 2.0]);
    // at level 4 a row is in steps of its largest part / 127
    let eight = settings(3, 1, 8, 16, 4);
    let bytes = tensor(&[1, 1, 16], &[129u8, 128, 127, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let node = |settings: &[(&str, Attribute)]| {
        let mut node =
            Node { domain: "com.microsoft".into(), op_type: "MatMulNBits".into(), version: 1, ..Node::default() };
        node.attributes.0.extend(settings.iter().map(|(name, a)| (name.to_string(), a.clone())));
        node
    };
    let constants = [None, bytes.map(Arc::new), scale().map(Arc::new)];
    let build = Build { node: &node(&eight), constants: &constants, compile: &|_| unreachable!() };
    let kernel = registry::find("com.microsoft", "MatMulNBits").unwrap().build.unwrap()(&build).unwrap();
    let out = kernel.run(&mut Inputs(&mut [x().unwrap().into()])).unwrap();
    // 1 of 3 is 42 of 127 steps
    let step = 3.0f32 / 127.0;
    let wanted = [step * 0.5 * (42.0 - 127.0), 1.0 / 127.0 * 0.5 * (-127.0 - 127.0)];
    assert_eq!(out[0].tensor().unwrap().slice::<f32>().unwrap(), wanted);
    for (settings, inputs, said) in [
        (settings(3, 1, 3, 16, 0), vec![x(), weights(), scale()], "3 bits"),
        (settings(0, 1, 4, 16, 0), vec![x(), weights(), scale()], "[0, 1]"),
        (settings(3, 1 << 40, 4, 16, 0), vec![x(), weights(), scale()], "too large"),
        (settings(3, 1, 4, 0, 0), vec![x(), weights(), scale()], "blocks of 0"),
        (settings(3, 2, 4, 16, 0), vec![x(), weights(), scale()], "2 columns"),
        (settings(3, 1, 4, 16, 0), vec![x(), weights(), scale(), tensor(&[2], &[0u8; 2])], "zero points"),
        (settings(3, 1, 4, 16, 0), vec![x(), weights(), scale(), None, tensor(&[3], &[0i32, 1, 0])], "block 1 of 1"),
        (settings(4, 1, 4, 16, 0), vec![x(), weights(), scale()], "4 rows"),
    ] {
        let error = run(&settings, &inputs).unwrap_err();
        assert!(error.contains(said), "{error} lacks {said}");
    }
}
