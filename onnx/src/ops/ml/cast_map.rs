//! CastMap of `ai.onnx.ml`: the values of a map by ascending key as one row, cast.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Keys;
use crate::value::Map;
use crate::value::Value;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("CastMap", cast_map).of(ML)];

#[derive(Debug, Clone, Copy)]
enum To {
    Float,
    Integer,
    Text,
}

#[derive(Debug)]
struct CastMap {
    to: To,
    /// Length of the row, where keys say the place; else the values just follow each other.
    sparse: Option<usize>,
}

impl Kernel for CastMap {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let map = match inputs.value(0)? {
            Value::Map(map) => map,
            other => bad!("expected a map, found {}", other.kind()),
        };
        let places = self.places(map)?;
        let shape = [1, places.len()];
        let at = |i: &Option<usize>| i.map(|i| value(&map.values, i)).transpose();
        let y = match self.to {
            To::Float => {
                let cast = |i| at(i)?.map_or(Ok(0.0), |v| v.float());
                Tensor::new(&shape, places.iter().map(cast).collect::<Result<Vec<f32>, OpError>>()?)
            }
            To::Integer => {
                let cast = |i| at(i)?.map_or(Ok(0), |v| v.integer());
                Tensor::new(&shape, places.iter().map(cast).collect::<Result<Vec<i64>, OpError>>()?)
            }
            To::Text => {
                let cast = |i| Ok(at(i)?.map_or_else(|| "0.f".into(), |v| v.text()));
                Tensor::new(&shape, places.iter().map(cast).collect::<Result<Vec<String>, OpError>>()?)
            }
        };
        Ok(one(y?))
    }
}

impl CastMap {
    /// Which value of the map stands where.
    fn places(&self, map: &Map) -> Result<Vec<Option<usize>>, OpError> {
        let Keys::Integers(keys) = &map.keys else { bad!("the keys are texts") };
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by_key(|i| keys[*i]);
        let Some(length) = self.sparse else { return Ok(order.into_iter().map(Some).collect()) };
        volume(&[length], size_of::<Option<usize>>())?;
        let mut places = vec![None; length];
        for i in order {
            let Ok(key) = usize::try_from(keys[i]) else { bad!("a key is negative") };
            if let Some(place) = places.get_mut(key) {
                *place = Some(i);
            }
        }
        Ok(places)
    }
}

#[derive(Clone, Copy)]
enum Item<'a> {
    Float(f32),
    Text(&'a str),
}

fn value(values: &Tensor, i: usize) -> Result<Item<'_>, OpError> {
    match values.elements() {
        Elements::F32(v) => v.get(i).map(|x| Item::Float(*x)),
        Elements::Text(v) => v.get(i).map(|x| Item::Text(x)),
        other => bad!("the values are {}, expected float or string", other.element_type()),
    }
    .ok_or_else(|| OpError::bad("there are fewer values than keys"))
}

impl Item<'_> {
    fn float(self) -> Result<f32, OpError> {
        match self {
            Item::Float(x) => Ok(x),
            Item::Text(x) => x.trim_start().parse().map_err(|_| OpError::bad("a value is not a number")),
        }
    }

    fn integer(self) -> Result<i64, OpError> {
        match self {
            Item::Float(x) => Ok(x as i64),
            Item::Text(x) => x.trim_start().parse().map_err(|_| OpError::bad("a value is not a whole number")),
        }
    }

    fn text(self) -> String {
        match self {
            Item::Float(x) => format!("{x:.6}"),
            Item::Text(x) => x.into(),
        }
    }
}

fn cast_map(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let to = match attributes.text_or("cast_to", "TO_FLOAT")? {
        "TO_FLOAT" => To::Float,
        "TO_INT64" => To::Integer,
        "TO_STRING" => To::Text,
        _ => bad!("attribute `cast_to` must be TO_FLOAT, TO_INT64 or TO_STRING"),
    };
    let length = attributes.int_or("max_map", 1)?;
    let sparse = match (attributes.text_or("map_form", "DENSE")?, usize::try_from(length)) {
        ("DENSE", _) => None,
        ("SPARSE", Ok(length)) if length > 0 => Some(length),
        ("SPARSE", _) => bad!("attribute `max_map` is {length}"),
        _ => bad!("attribute `map_form` must be DENSE or SPARSE"),
    };
    Ok(Box::new(CastMap { to, sparse }))
}
