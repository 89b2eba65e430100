//! Operators as nodes make them: against plain definitions, at edges, and with what no exporter writes.

use std::sync::Arc;

use crate::error::OpError;
use crate::graph::Node;
use crate::graph::attributes::Attribute;
use crate::graph::attributes::Attributes;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::registry;
use crate::tensor::Tensor;
use crate::value::Value;

type Setting<'a> = (&'a str, Attribute);

fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}

fn text(value: &str) -> Attribute {
    Attribute::Text(value.into())
}

/// Runs one node; a name with a colon has its domain in front. The second input is a constant.
fn run(operator: &str, version: i64, settings: &[Setting<'_>], inputs: &[Value]) -> Result<Vec<Tensor>, OpError> {
    let (domain, name) = operator.split_once(':').unwrap_or(("", operator));
    let names = |prefix: &str, n: usize| (0..n).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
    let node = Node {
        domain: domain.into(),
        op_type: name.into(),
        inputs: names("i", inputs.len()),
        outputs: names("o", 2),
        attributes: Attributes(settings.iter().map(|(k, v)| (k.to_string(), v.clone())).collect()),
        version,
        ..Node::default()
    };
    let constant = |(i, v): (usize, &Value)| match v {
        Value::Tensor(t) if i == 1 => Some(t.clone()),
        _ => None,
    };
    let constants: Vec<Option<Arc<Tensor>>> = inputs.iter().enumerate().map(constant).collect();
    let build = Build { node: &node, constants: &constants, compile: &|_| unreachable!("no subgraph") };
    let kernel = registry::find(domain, name).unwrap().build.unwrap()(&build)?;
    let made = kernel.run(&mut Inputs(&mut inputs.to_vec()))?;
    Ok(made.iter().filter_map(|v| v.tensor().cloned()).collect())
}

fn floats(shape: &[usize]) -> Value {
    let len: usize = shape.iter().product();
    Tensor::new(shape, (0..len).map(|i| (i * 37 % 19) as f32 - 9.0).collect::<Vec<f32>>()).unwrap().into()
}

fn given(shape: &[usize], values: &[f32]) -> Value {
    Tensor::new(shape, values.to_vec()).unwrap().into()
}

fn values(tensors: &[Tensor], i: usize) -> Vec<f32> {
    tensors[i].slice::<f32>().unwrap().to_vec()
}

/// A convolution by its definition: `[1, c, h, w]` with `[m, c / groups, kh, kw]`, equal strides, dilations and pads.
fn convolved(x: &Tensor, w: &Tensor, groups: usize, stride: usize, dilation: usize, pad: usize) -> Vec<f32> {
    let (&[_, _, h, width], &[m, c, kh, kw]) = (x.shape(), w.shape()) else { unreachable!() };
    let (xs, ws) = (x.slice::<f32>().unwrap(), w.slice::<f32>().unwrap());
    let side = |n: usize, k: usize| (n + 2 * pad - (k - 1) * dilation - 1) / stride + 1;
    let mut out = vec![];
    for f in 0..m {
        for oy in 0..side(h, kh) {
            for ox in 0..side(width, kw) {
                let mut sum = 0.0;
                for at in 0..c * kh * kw {
                    let (ch, ky, kx) = (at / kh / kw + f / (m / groups) * c, at / kw % kh, at % kw);
                    let (y, x) = (oy * stride + ky * dilation, ox * stride + kx * dilation);
                    if (pad..h + pad).contains(&y) && (pad..width + pad).contains(&x) {
                        sum += xs[(ch * h + y - pad) * width + x - pad] * ws[f * c * kh * kw + at];
                    }
                }
                out.push(sum);
            }
        }
    }
    out
}

#[test]
fn convolutions_agree_with_the_definition() {
    let table = [
        // channels, filters, groups, kernel, stride, dilation, pad
        (3, 5, 1, [3, 3], 1, 1, 1),
        (4, 6, 2, [2, 3], 2, 2, 2),
        (4, 4, 4, [3, 2], 2, 1, 1),
        (3, 6, 3, [1, 3], 1, 3, 3),
        (6, 40, 1, [1, 1], 1, 1, 0),
        (2, 3, 1, [5, 4], 3, 1, 4),
    ];
    for (c, m, groups, [kh, kw], stride, dilation, pad) in table {
        let (x, w) = (floats(&[1, c, 9, 11]), floats(&[m, c / groups, kh, kw]));
        let settings = [
            ("group", Attribute::Int(groups as i64)),
            ("strides", ints(&[stride as i64; 2])),
            ("dilations", ints(&[dilation as i64; 2])),
            ("pads", ints(&[pad as i64; 4])),
        ];
        let got = run("Conv", 11, &settings, &[x.clone(), w.clone()]).unwrap();
        let want = convolved(x.tensor().unwrap(), w.tensor().unwrap(), groups, stride, dilation, pad);
        assert_eq!(values(&got, 0), want, "{c} {m} {groups} {kh}x{kw}");
    }
}

#[test]
fn a_large_image_is_convolved_in_tiles() {
    let (x, w) = (floats(&[1, 16, 40, 50]), floats(&[3, 16, 3, 3]));
    let got = run("Conv", 11, &[("pads", ints(&[1; 4]))], &[x.clone(), w.clone()]).unwrap();
    assert_eq!(values(&got, 0), convolved(x.tensor().unwrap(), w.tensor().unwrap(), 1, 1, 1, 1));
}

#[test]
fn a_transposed_convolution_spreads_its_input() {
    let (x, w) = (given(&[1, 1, 2], &[1.0, 10.0]), given(&[1, 1, 3], &[1.0, 2.0, 3.0]));
    let got = run("ConvTranspose", 11, &[("strides", ints(&[2]))], &[x.clone(), w.clone()]).unwrap();
    assert_eq!(values(&got, 0), [1.0, 2.0, 13.0, 20.0, 30.0]);
    let same = [("strides", ints(&[2])), ("auto_pad", text("SAME_UPPER"))];
    assert_eq!(values(&run("ConvTranspose", 11, &same, &[x, w]).unwrap(), 0), [1.0, 2.0, 13.0, 20.0]);
}

#[test]
fn pools_at_their_edges() {
    let x = given(&[1, 1, 5], &[1.0, 5.0, 2.0, f32::NEG_INFINITY, 3.0]);
    let pool = |name: &str, settings: &[Setting<'_>]| {
        let all = [&[("kernel_shape", ints(&[2])), ("strides", ints(&[2]))], settings].concat();
        run(name, 22, &all, std::slice::from_ref(&x)).unwrap()
    };
    let max = pool("MaxPool", &[("ceil_mode", Attribute::Int(1))]);
    assert_eq!(values(&max, 0), [5.0, 2.0, 3.0]);
    assert_eq!(max[1].slice::<i64>().unwrap(), [1, 2, 4]);
    let y = given(&[1, 1, 3], &[4.0, 8.0, 6.0]);
    let average = |include: i64| {
        let settings = [
            ("kernel_shape", ints(&[2])),
            ("pads", ints(&[1, 0])),
            ("strides", ints(&[2])),
            ("count_include_pad", Attribute::Int(include)),
        ];
        values(&run("AveragePool", 22, &settings, std::slice::from_ref(&y)).unwrap(), 0)
    };
    assert_eq!((average(0), average(1)), (vec![4.0, 7.0], vec![2.0, 7.0]));
}

#[test]
fn sequences_end_where_they_say() {
    // A cell that adds up: h = relu(x + h).
    let x = given(&[3, 2, 1], &[1.0, 1.0, 2.0, 2.0, 4.0, 4.0]);
    let one = given(&[1, 1, 1], &[1.0]);
    let lengths: Value = Tensor::vector(vec![3i32, 1]).into();
    let inputs = [x, one.clone(), one, Value::Absent, lengths];
    let cell = |direction: &str| {
        let settings = [
            ("hidden_size", Attribute::Int(1)),
            ("activations", Attribute::Texts(vec![b"Relu".to_vec()])),
            ("direction", text(direction)),
        ];
        let made = run("RNN", 14, &settings, &inputs).unwrap();
        (values(&made, 0), values(&made, 1))
    };
    assert_eq!(cell("forward"), (vec![1.0, 1.0, 3.0, 0.0, 7.0, 0.0], vec![7.0, 1.0]));
    assert_eq!(cell("reverse"), (vec![7.0, 1.0, 6.0, 0.0, 4.0, 0.0], vec![7.0, 1.0]));
}

#[test]
fn attention_hides_what_it_must() {
    let (q, k) = (given(&[1, 1, 2, 1], &[0.0, 0.0]), given(&[1, 1, 2, 1], &[1.0, 2.0]));
    let v = given(&[1, 1, 2, 1], &[10.0, 30.0]);
    let causal = run("Attention", 23, &[("is_causal", Attribute::Int(1))], &[q.clone(), k.clone(), v.clone()]).unwrap();
    assert_eq!(values(&causal, 0), [10.0, 20.0]);
    let mask: Value = Tensor::new(&[2, 2], vec![false, true, false, false]).unwrap().into();
    let masked = run("Attention", 23, &[], &[q, k, v, mask]).unwrap();
    assert_eq!(values(&masked, 0), [30.0, 0.0]);
}

#[test]
fn boxes_that_overlap_a_better_one_go() {
    let boxes = given(&[1, 3, 4], &[0.0, 0.0, 1.0, 1.0, 1.0, 1.1, 0.0, 0.1, 0.0, 5.0, 1.0, 6.0]);
    let scores = given(&[1, 1, 3], &[0.8, 0.9, 0.1]);
    let most: Value = Tensor::vector(vec![5i64]).into();
    let found = run("NonMaxSuppression", 11, &[], &[boxes, scores, most, given(&[1], &[0.5])]).unwrap();
    assert_eq!(found[0].slice::<i64>().unwrap(), [0, 0, 1, 0, 0, 2]);
}

#[test]
fn absurd_nodes_are_errors() {
    let huge = i64::MAX;
    let (x, w) = (floats(&[1, 2, 4, 4]), floats(&[2, 2, 3, 3]));
    let big = 1 << 29;
    let table: Vec<(&str, Vec<Setting<'_>>, Vec<Value>)> = vec![
        ("Conv", vec![("pads", ints(&[huge, 0, 0, 0]))], vec![x.clone(), w.clone()]),
        ("Conv", vec![("pads", ints(&[big, big, big, big]))], vec![x.clone(), w.clone()]),
        ("Conv", vec![("strides", ints(&[0, 1]))], vec![x.clone(), w.clone()]),
        ("Conv", vec![("strides", ints(&[1]))], vec![x.clone(), w.clone()]),
        ("Conv", vec![("dilations", ints(&[big, big]))], vec![x.clone(), w.clone()]),
        ("Conv", vec![("group", Attribute::Int(huge))], vec![x.clone(), w.clone()]),
        ("Conv", vec![], vec![x.clone(), floats(&[2, 3, 3, 3])]),
        ("Conv", vec![], vec![x.clone(), w.clone(), floats(&[3])]),
        ("ConvTranspose", vec![("strides", ints(&[big, big]))], vec![x.clone(), w.clone()]),
        ("ConvTranspose", vec![("pads", ints(&[9; 4]))], vec![x.clone(), w.clone()]),
        ("ConvTranspose", vec![("output_shape", ints(&[big, big]))], vec![x.clone(), w.clone()]),
        ("MaxPool", vec![], vec![x.clone()]),
        ("MaxPool", vec![("kernel_shape", ints(&[big, 1])), ("pads", ints(&[big; 4]))], vec![x.clone()]),
        ("AveragePool", vec![("kernel_shape", ints(&[5, 5]))], vec![x.clone()]),
        ("LRN", vec![("size", Attribute::Int(0))], vec![x.clone()]),
        (
            "MaxUnpool",
            vec![("kernel_shape", ints(&[2, 2]))],
            vec![x.clone(), Tensor::full(&[1, 2, 4, 4], -1i64).unwrap().into()],
        ),
        ("Resize", vec![], vec![x.clone(), Value::Absent, given(&[4], &[1.0, 1.0, 1e9, 1e9])]),
        ("Resize", vec![], vec![x.clone(), Value::Absent, given(&[4], &[1.0, 1.0, f32::NAN, 0.0])]),
        ("Resize", vec![("axes", ints(&[9]))], vec![x.clone(), Value::Absent, given(&[1], &[2.0])]),
        (
            "LSTM",
            vec![("hidden_size", Attribute::Int(3))],
            vec![floats(&[1, 1, 2]), floats(&[1, 8, 2]), floats(&[1, 8, 2])],
        ),
        (
            "GRU",
            vec![("activations", Attribute::Texts(vec![]))],
            vec![floats(&[1, 1, 2]), floats(&[1, 6, 2]), floats(&[1, 6, 2])],
        ),
        ("Attention", vec![], vec![x.clone(), floats(&[1, 3, 4, 4]), floats(&[1, 3, 4, 4])]),
        (
            "Attention",
            vec![("q_num_heads", Attribute::Int(3))],
            vec![floats(&[1, 2, 4]), floats(&[1, 2, 4]), floats(&[1, 2, 4])],
        ),
        ("com.microsoft:Attention", vec![("num_heads", Attribute::Int(0))], vec![floats(&[1, 2, 4]), floats(&[4, 12])]),
        ("GridSample", vec![], vec![x.clone(), floats(&[1, 2, 2, 3])]),
        ("Col2Im", vec![], vec![floats(&[1, 4, 3]), sides(&[3, 3]), sides(&[2, 2])]),
        ("Col2Im", vec![], vec![floats(&[1, 3, 4]), sides(&[3, 3]), sides(&[2, 2])]),
        ("Col2Im", vec![], vec![floats(&[1, 4, 4]), sides(&[i64::MAX, 3]), sides(&[2, 2])]),
        ("Col2Im", vec![], vec![floats(&[1, 0, 4]), sides(&[3, 3]), sides(&[i64::MAX, i64::MAX])]),
        ("Col2Im", vec![("pads", ints(&[1, 1]))], vec![floats(&[1, 4, 4]), sides(&[3, 3]), sides(&[2, 2])]),
        ("HannWindow", vec![], vec![Tensor::scalar(huge).into()]),
        ("DFT", vec![], vec![floats(&[1, 4, 1]), Tensor::scalar(huge).into()]),
        ("STFT", vec![], vec![floats(&[1, 4, 1]), Tensor::scalar(0i64).into(), floats(&[2])]),
        (
            "RoiAlign",
            vec![],
            vec![x.clone(), given(&[1, 4], &[0.0, 0.0, 1e30, 1e30]), Tensor::vector(vec![0i64]).into()],
        ),
        ("RoiAlign", vec![], vec![x, given(&[1, 4], &[0.0; 4]), Tensor::vector(vec![7i64]).into()]),
    ];
    for (operator, settings, inputs) in table {
        assert!(run(operator, 20, &settings, &inputs).is_err(), "{operator} {settings:?}");
    }
}

fn sides(values: &[i64]) -> Value {
    Tensor::vector(values.to_vec()).into()
}

#[test]
fn windows_are_added_where_they_overlap() {
    for (image, block, stride, dilation, pad) in
        [([5, 4], [2, 3], 1, 1, 0), ([6, 5], [3, 2], 2, 1, 1), ([7, 6], [2, 2], 2, 3, 2), ([3, 3], [1, 1], 1, 1, 0)]
    {
        let side = |i: usize| (image[i] + 2 * pad - (block[i] - 1) * dilation - 1) / stride + 1;
        let (high, wide, taps) = (side(0), side(1), block[0] * block[1]);
        let columns = floats(&[2, 3 * taps, high * wide]);
        let values = columns.tensor().unwrap().slice::<f32>().unwrap();
        let mut want = vec![0f32; 2 * 3 * image[0] * image[1]];
        for (at, value) in values.iter().enumerate() {
            let (row, window) = (at / (high * wide), at % (high * wide));
            let (channel, tap) = (row / taps, row % taps);
            let y = window / wide * stride + tap / block[1] * dilation;
            let x = window % wide * stride + tap % block[1] * dilation;
            if (pad..image[0] + pad).contains(&y) && (pad..image[1] + pad).contains(&x) {
                want[(channel * image[0] + y - pad) * image[1] + x - pad] += value;
            }
        }
        let shape = |s: [usize; 2]| sides(&[s[0] as i64, s[1] as i64]);
        let settings = [
            ("strides", ints(&[stride as i64; 2])),
            ("dilations", ints(&[dilation as i64; 2])),
            ("pads", ints(&[pad as i64; 4])),
        ];
        let made = run("Col2Im", 18, &settings, &[columns, shape(image), shape(block)]).unwrap();
        assert_eq!(made[0].shape(), [2, 3, image[0], image[1]]);
        // Sums of small whole numbers: exact in any order.
        assert_eq!(made[0].slice::<f32>().unwrap(), want, "{image:?} {block:?}");
    }
}
