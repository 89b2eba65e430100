//! From output tensors to columns.

use std::collections::BTreeMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

use crate::adapters::models::manifest::NanPolicy;
use crate::adapters::models::manifest::Output;
use crate::adapters::models::manifest::OutputType;
use crate::domain::outputs::Column;
use crate::domain::outputs::OutputKind;
use crate::domain::outputs::OutputSpec;

/// How one column is read from the outputs of a run.
#[derive(Clone, Debug)]
pub struct Readout {
    pub spec: OutputSpec,
    /// Position of the tensor among the outputs of the plan.
    tensor: usize,
    /// Values of a row in that tensor.
    width: usize,
    /// The value of the row that is read; all for reals.
    index: usize,
    labels: BTreeMap<i64, String>,
}

impl Readout {
    /// Checks an output of the manifest against the typed tensor that it names.
    ///
    /// # Errors
    /// One sentence that names the tensor's shape or type and what to change.
    pub fn new(output: &Output, tensor: usize, fact: &TypedFact, batch: &Symbol) -> Result<Readout, String> {
        let at = format!("output `{}` (tensor `{}`)", output.name, output.tensor);
        let shape: Vec<String> = fact.shape.iter().map(ToString::to_string).collect();
        let width = match fact.shape.dims() {
            [n] if *n == batch.to_dim() => Some(1),
            [n, k] if *n == batch.to_dim() => k.to_usize().ok(),
            _ => None,
        };
        let Some(width) = width.filter(|w| *w > 0) else {
            return Err(format!(
                "{at} has the shape [{}]; one row a record is needed: [batch] or [batch, k]",
                shape.join(", ")
            ));
        };
        let index = match (output.kind, output.index) {
            (OutputType::Reals, _) => 0,
            (_, Some(index)) if index < width => index,
            (_, Some(index)) => return Err(format!("{at} has {width} columns, `index` is {index}")),
            (_, None) if width == 1 => 0,
            (_, None) => {
                return Err(format!("{at} has {width} columns: say which one by `index`, or use kind \"reals\""));
            }
        };
        let dt = fact.datum_type;
        let text = dt == String::datum_type();
        let integer = dt.is_integer();
        let fits = match output.kind {
            OutputType::Float => dt.is_float() || integer,
            OutputType::Integer | OutputType::Boolean => integer || dt == bool::datum_type(),
            OutputType::Label => text || integer,
            OutputType::Reals => dt == f32::datum_type(),
        };
        if !fits || text && !output.labels.is_empty() {
            return Err(format!("{at} holds {dt:?}, which does not make a column of this kind"));
        }
        let kind = match output.kind {
            OutputType::Float => OutputKind::Float,
            OutputType::Integer => OutputKind::Integer,
            OutputType::Boolean => OutputKind::Boolean,
            OutputType::Label => OutputKind::Label,
            OutputType::Reals => OutputKind::Reals { width },
        };
        let labels = output.labels.iter().filter_map(|(k, v)| Some((k.parse().ok()?, v.clone()))).collect();
        let spec = OutputSpec { name: output.name.clone(), kind, nan_allowed: output.nan == NanPolicy::Store };
        Ok(Readout { spec, tensor, width, index, labels })
    }

    /// Appends `rows` values to `column`.
    ///
    /// # Errors
    /// If the run made a tensor of another shape or type than the plan said.
    pub fn append(&self, run: &[TValue], rows: usize, column: &mut Column) -> TractResult<()> {
        let tensor = run.get(self.tensor).context("the run has fewer outputs than the plan")?;
        ensure!(
            tensor.len() == rows * self.width,
            "output `{}`: {} values for {rows} rows",
            self.spec.name,
            tensor.len()
        );
        match column {
            Column::Float(to) => match tensor.datum_type() {
                DatumType::F32 => self.each::<f32>(tensor, |v| to.push(f64::from(*v))),
                DatumType::F64 => self.each::<f64>(tensor, |v| to.push(*v)),
                _ => self.each::<f64>(tensor.cast_to::<f64>()?.as_ref(), |v| to.push(*v)),
            },
            Column::Integer(to) => self.integers(tensor, |v| to.push(v)),
            Column::Boolean(to) => self.integers(tensor, |v| to.push(v != 0)),
            Column::Label { bytes, ends } => {
                let mut push = |text: &[u8]| {
                    bytes.extend_from_slice(text);
                    ends.push(bytes.len() as u32);
                };
                if tensor.datum_type() == String::datum_type() {
                    return self.each::<String>(tensor, |v| push(v.as_bytes()));
                }
                self.integers(tensor, |v| match self.labels.get(&v) {
                    Some(text) => push(text.as_bytes()),
                    None => push(v.to_string().as_bytes()),
                })
            }
            Column::Reals { values, .. } => {
                let view = tensor.try_as_plain_ram()?;
                values.extend_from_slice(view.as_slice::<f32>()?);
                Ok(())
            }
        }
    }

    fn each<T: Datum>(&self, tensor: &Tensor, push: impl FnMut(&T)) -> TractResult<()> {
        let view = tensor.try_as_plain_ram()?;
        view.as_slice::<T>()?.iter().skip(self.index).step_by(self.width).for_each(push);
        Ok(())
    }

    fn integers(&self, tensor: &Tensor, mut push: impl FnMut(i64)) -> TractResult<()> {
        match tensor.datum_type() {
            DatumType::I64 => self.each::<i64>(tensor, |v| push(*v)),
            DatumType::Bool => self.each::<bool>(tensor, |v| push(i64::from(*v))),
            _ => self.each::<i64>(tensor.cast_to::<i64>()?.as_ref(), |v| push(*v)),
        }
    }
}
