//! LabelEncoder of `ai.onnx.ml`, versions 1 to 4: a table from values of one type to values of another.

use crate::bad;
use crate::each_type;
use crate::error::OpError;
use crate::graph::attributes::Attributes;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::ml::category_mapper;
use crate::ops::ml::labels::admit_texts;
use crate::ops::ml::labels::longest;
use crate::ops::ml::lookup::Duplicates;
use crate::ops::ml::lookup::Lookup;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("LabelEncoder", label_encoder).of(ML)];

#[derive(Debug)]
struct LabelEncoder {
    keys: Lookup,
    /// One a key, and the default behind.
    values: Elements,
    /// Bytes of the longest value, if they are texts.
    longest: usize,
}

impl Kernel for LabelEncoder {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let default = self.values.len() - 1;
        admit_texts(x.len(), self.longest)?;
        let found = each_type!(&self.values, values => self.found(x, values, default)?);
        Ok(one(Tensor::from_elements(x.shape(), found)?))
    }

    fn parameters(&self) -> usize {
        2 * self.values.len()
    }

    fn bytes(&self) -> usize {
        self.keys.bytes() + self.values.len() * self.values.element_type().size()
    }
}

impl LabelEncoder {
    fn found<T: Element>(&self, x: &Tensor, values: &[T], default: usize) -> Result<Elements, OpError> {
        Ok(T::wrap(self.keys.map(x.elements(), |i| values[i.unwrap_or(default)].clone())?))
    }
}

fn label_encoder(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    if let Some(classes) = attributes.texts("classes_strings")? {
        let numbers = (0..).take(classes.len()).collect();
        return category_mapper::mapper(attributes, classes, numbers);
    }
    let (keys, count) = keys(attributes, build.version())?;
    let mut values = values(attributes)?;
    if values.len() != count {
        bad!("{} values for {count} keys", values.len());
    }
    push_default(attributes, &mut values)?;
    let longest = if let Elements::Text(texts) = &values { longest(texts) } else { 0 };
    Ok(Box::new(LabelEncoder { keys, values, longest }))
}

fn keys(attributes: &Attributes, version: i64) -> Result<(Lookup, usize), OpError> {
    // since version 4 a NaN among the keys stands for every NaN
    let nan = version >= 4;
    let first = Duplicates::First;
    if let Some(keys) = attributes.texts("keys_strings")? {
        return Ok((Lookup::texts(&keys, first), keys.len()));
    }
    if let Some(keys) = attributes.ints("keys_int64s")? {
        return Ok((Lookup::integers(keys, first), keys.len()));
    }
    if let Some(keys) = attributes.floats("keys_floats")? {
        return Ok((Lookup::floats(keys.iter().map(|x| f64::from(*x)), nan, first), keys.len()));
    }
    let Some(tensor) = attributes.tensor("keys_tensor")? else {
        bad!("one of the attributes `keys_*` is needed");
    };
    let keys = match tensor.elements() {
        Elements::Text(v) => Lookup::texts(v, first),
        Elements::F32(v) => Lookup::floats(v.iter().map(|x| f64::from(*x)), nan, first),
        Elements::F64(v) => Lookup::floats(v.iter().copied(), nan, first),
        _ => Lookup::integers(&tensor.to_i64s()?, first),
    };
    Ok((keys, tensor.len()))
}

fn values(attributes: &Attributes) -> Result<Elements, OpError> {
    if let Some(values) = attributes.texts("values_strings")? {
        return Ok(Elements::Text(values));
    }
    if let Some(values) = attributes.ints("values_int64s")? {
        return Ok(Elements::I64(values.to_vec()));
    }
    if let Some(values) = attributes.floats("values_floats")? {
        return Ok(Elements::F32(values.to_vec()));
    }
    match attributes.tensor("values_tensor")? {
        Some(tensor) => Ok(tensor.elements().clone()),
        None => bad!("one of the attributes `values_*` is needed"),
    }
}

fn push_default(attributes: &Attributes, values: &mut Elements) -> Result<(), OpError> {
    if let Some(tensor) = attributes.tensor("default_tensor")?.filter(|t| !t.is_empty()) {
        match (values, tensor.elements()) {
            (Elements::Text(v), Elements::Text(d)) => v.push(d[0].clone()),
            (Elements::I64(v), Elements::I64(d)) => v.push(d[0]),
            (Elements::I32(v), Elements::I32(d)) => v.push(d[0]),
            (Elements::I16(v), Elements::I16(d)) => v.push(d[0]),
            (Elements::F32(v), Elements::F32(d)) => v.push(d[0]),
            (Elements::F64(v), Elements::F64(d)) => v.push(d[0]),
            (values, _) => bad!("the default is {}, the values are {}", tensor.element_type(), values.element_type()),
        }
        return Ok(());
    }
    let integer = attributes.int_or("default_int64", -1)?;
    let float = attributes.float_or("default_float", 0.0)?;
    match values {
        Elements::Text(v) => v.push(attributes.text_or("default_string", "_Unused")?.into()),
        Elements::I64(v) => v.push(integer),
        Elements::I32(v) => v.push(integer as i32),
        Elements::I16(v) => v.push(integer as i16),
        Elements::F32(v) => v.push(float),
        Elements::F64(v) => v.push(f64::from(float)),
        _ => bad!("values of the type {}", values.element_type()),
    }
    Ok(())
}
