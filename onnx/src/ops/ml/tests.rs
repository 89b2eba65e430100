use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::OpError;
use crate::graph::Node;
use crate::graph::attributes::Attribute;
use crate::graph::attributes::Attributes;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::registry;
use crate::registry::ML;
use crate::tensor::Element;
use crate::tensor::Tensor;
use crate::value::Keys;
use crate::value::Map;
use crate::value::Value;
use crate::value::Values;

fn run(operator: &str, attributes: Vec<(&str, Attribute)>, mut inputs: Vec<Value>) -> Result<Values, OpError> {
    let attributes: BTreeMap<_, _> = attributes.into_iter().map(|(name, a)| (name.to_string(), a)).collect();
    let node = Node {
        op_type: operator.into(),
        outputs: vec!["a".into(), "b".into()],
        attributes: Attributes(attributes),
        version: 4,
        ..Node::default()
    };
    let build = Build { node: &node, constants: &[], compile: &|_| unreachable!("no subgraphs") };
    let builder = registry::find(ML, operator).unwrap().build.unwrap();
    builder(&build)?.run(&mut Inputs(&mut inputs))
}

fn texts(all: &[&str]) -> Attribute {
    Attribute::Texts(all.iter().map(|t| t.as_bytes().to_vec()).collect())
}

fn text(one: &str) -> Attribute {
    Attribute::Text(one.as_bytes().to_vec())
}

fn rows<T: Element, const N: usize>(rows: &[[T; N]]) -> Value {
    Tensor::new(&[rows.len(), N], rows.concat()).unwrap().into()
}

fn got<T: Element>(values: &Values, i: usize) -> Vec<T> {
    values[i].tensor().unwrap().slice::<T>().unwrap().to_vec()
}

#[test]
fn one_score_of_a_linear_classifier_stands_for_two_classes() {
    let model = |transform: &str| {
        vec![
            ("coefficients", Attribute::Floats(vec![1.0, -1.0])),
            ("intercepts", Attribute::Floats(vec![0.0])),
            ("classlabels_strings", texts(&["no", "yes"])),
            ("post_transform", text(transform)),
        ]
    };
    let x = rows(&[[3.0f32, 1.0], [1.0, 1.0], [f32::NAN, 0.0]]);
    let y = run("LinearClassifier", model("NONE"), vec![x.clone()]).unwrap();
    // exactly at the threshold is the first class, as is NaN
    assert_eq!(got::<String>(&y, 0), ["yes", "no", "no"]);
    assert_eq!(got::<f32>(&y, 1)[..4], [-1.0, 2.0, 1.0, 0.0]);
    let y = run("LinearClassifier", model("LOGISTIC"), vec![x]).unwrap();
    let scores = got::<f32>(&y, 1);
    assert!((scores[1] - 0.880_797).abs() < 1e-6 && scores[2..4] == [0.5, 0.5], "{scores:?}");
    assert!(scores[4].is_nan());
}

#[test]
fn a_narrower_row_is_refused() {
    let model = vec![("coefficients", Attribute::Floats(vec![1.0; 6])), ("targets", Attribute::Int(2))];
    assert!(run("LinearRegressor", model.clone(), vec![rows(&[[1.0f32, 2.0]])]).is_err());
    let y = run("LinearRegressor", model, vec![rows(&[[1i64, 2, 3]])]).unwrap();
    assert_eq!(got::<f32>(&y, 0), [6.0, 6.0]);
}

#[test]
fn labels_have_defaults_and_nan_is_a_key() {
    let table = vec![
        ("keys_floats", Attribute::Floats(vec![f32::NAN, 0.0, 0.0, 2.5])),
        ("values_int64s", Attribute::Ints(vec![1, 2, 3, 4])),
        ("default_int64", Attribute::Int(-5)),
    ];
    let x = rows(&[[-f32::NAN, -0.0, 2.5, 7.0]]);
    assert_eq!(got::<i64>(&run("LabelEncoder", table, vec![x]).unwrap(), 0), [1, 2, 4, -5]);
    let old = vec![("classes_strings", texts(&["a", "b"]))];
    let numbers = run("LabelEncoder", old.clone(), vec![rows(&[["b".to_string(), "c".into()]])]).unwrap();
    assert_eq!(got::<i64>(&numbers, 0), [1, -1]);
    let names = run("LabelEncoder", old, vec![rows(&[[0i64, 2]])]).unwrap();
    assert_eq!(got::<String>(&names, 0), ["a", "_Unused"]);
}

#[test]
fn numbers_far_apart_are_found_too() {
    for keys in [vec![i64::MIN, 0, i64::MAX], vec![-3, 9, 4], vec![1 << 40, 0, 7]] {
        let x = Tensor::vector(keys.iter().copied().chain([-1, 8]).collect::<Vec<_>>());
        let table = vec![
            ("keys_int64s", Attribute::Ints(keys.clone())),
            ("values_floats", Attribute::Floats(vec![1.0, 2.0, 3.0])),
        ];
        let y = run("LabelEncoder", table, vec![x.into()]).unwrap();
        assert_eq!(got::<f32>(&y, 0), [1.0, 2.0, 3.0, 0.0, 0.0], "{keys:?}");
    }
}

#[test]
fn unknown_categories_are_zeros_or_refused() {
    let model = |zeros| vec![("cats_int64s", Attribute::Ints(vec![0, 7])), ("zeros", Attribute::Int(zeros))];
    let x = || rows(&[[7.9f32, f32::NAN, -0.5]]);
    let y = run("OneHotEncoder", model(1), vec![x()]).unwrap();
    assert_eq!(got::<f32>(&y, 0), [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
    assert!(run("OneHotEncoder", model(0), vec![x()]).is_err());
}

#[test]
fn a_map_becomes_a_row_of_its_vocabulary() {
    let map = Map { keys: Keys::Texts(vec!["x".into(), "b".into()]), values: Tensor::vector(vec![1.5f32, 2.5]) };
    let words = vec![("string_vocabulary", texts(&["b", "a", "b", "b"]))];
    let y = run("DictVectorizer", words.clone(), vec![Value::Map(Arc::new(map.clone()))]).unwrap();
    assert_eq!(got::<f32>(&y, 0), [2.5, 0.0, 2.5, 2.5]);
    let both = Value::Sequence(Arc::new(vec![Value::Map(Arc::new(map)); 2]));
    assert_eq!(run("DictVectorizer", words, vec![both]).unwrap()[0].tensor().unwrap().shape(), [2, 4]);
}

#[test]
fn a_map_is_cast_by_its_keys() {
    let map = Map { keys: Keys::Integers(vec![4, 1]), values: Tensor::vector(vec![1.25f32, -3.0]) };
    let map = Value::Map(Arc::new(map));
    let dense = run("CastMap", vec![("cast_to", text("TO_STRING"))], vec![map.clone()]).unwrap();
    assert_eq!(got::<String>(&dense, 0), ["-3.000000", "1.250000"]);
    let sparse = |max| vec![("map_form", text("SPARSE")), ("max_map", Attribute::Int(max))];
    assert_eq!(got::<f32>(&run("CastMap", sparse(3), vec![map.clone()]).unwrap(), 0), [0.0, -3.0, 0.0]);
    assert!(run("CastMap", sparse(i64::MAX), vec![map]).is_err());
}

#[test]
fn two_classes_of_a_support_vector_machine() {
    let model = vec![
        ("classlabels_ints", Attribute::Ints(vec![10, 20])),
        ("vectors_per_class", Attribute::Ints(vec![1, 1])),
        ("support_vectors", Attribute::Floats(vec![1.0, -1.0])),
        ("coefficients", Attribute::Floats(vec![1.0, -1.0])),
        ("rho", Attribute::Floats(vec![0.0])),
    ];
    let x = rows(&[[2.0f32], [0.0], [-1.0]]);
    let y = run("SVMClassifier", model.clone(), vec![x.clone()]).unwrap();
    // a decision of 0 is no vote for the first class
    assert_eq!(got::<i64>(&y, 0), [10, 20, 20]);
    assert_eq!(got::<f32>(&y, 1), [-4.0, 4.0, 0.0, 0.0, 2.0, -2.0]);
    let mut broken = model;
    broken[1].1 = Attribute::Ints(vec![i64::MAX, i64::MAX]);
    assert!(run("SVMClassifier", broken, vec![x]).is_err());
}

#[test]
fn lengths_are_taken_in_the_order_of_columns() {
    let x: Vec<[f32; 3]> = (0..11).map(|i| [i as f32, -2.0, 1.0]).collect();
    for (norm, want) in
        [("MAX", [1.0, -2.0, 1.0]), ("L1", [0.25, -0.5, 0.25]), ("L2", [0.408_248_3, -0.816_496_6, 0.408_248_3])]
    {
        let y = run("Normalizer", vec![("norm", text(norm))], vec![rows(&x)]).unwrap();
        let second = &got::<f32>(&y, 0)[3..6];
        assert!(second.iter().zip(want).all(|(y, w)| (y - w).abs() < 1e-6), "{norm}: {second:?}");
    }
}
