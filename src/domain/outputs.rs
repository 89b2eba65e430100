//! What a model says about the kept records of a batch, column by column.

/// Kind of an output column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutputKind {
    Float,
    Integer,
    Boolean,
    /// A class label or other text.
    Label,
    /// A fixed number of `f32` a record.
    Reals {
        width: usize,
    },
}

/// An output that becomes a column of the result table.
#[derive(Clone, PartialEq, Debug)]
pub struct OutputSpec {
    pub name: String,
    pub kind: OutputKind,
    /// NaN and infinities are stored; otherwise such a record is rejected.
    pub nan_allowed: bool,
}

/// One output column; row `i` belongs to the `i`-th record that was scored.
#[derive(Clone, PartialEq, Debug)]
pub enum Column {
    Float(Vec<f64>),
    Integer(Vec<i64>),
    Boolean(Vec<bool>),
    /// Texts behind each other; `ends[i]` is where the `i`-th one ends.
    Label {
        bytes: Vec<u8>,
        ends: Vec<u32>,
    },
    Reals {
        width: usize,
        values: Vec<f32>,
    },
}

impl Column {
    pub fn new(kind: OutputKind) -> Column {
        match kind {
            OutputKind::Float => Column::Float(vec![]),
            OutputKind::Integer => Column::Integer(vec![]),
            OutputKind::Boolean => Column::Boolean(vec![]),
            OutputKind::Label => Column::Label { bytes: vec![], ends: vec![] },
            OutputKind::Reals { width } => Column::Reals { width, values: vec![] },
        }
    }

    pub fn clear(&mut self) {
        match self {
            Column::Float(v) => v.clear(),
            Column::Integer(v) => v.clear(),
            Column::Boolean(v) => v.clear(),
            Column::Label { bytes, ends } => {
                bytes.clear();
                ends.clear();
            }
            Column::Reals { values, .. } => values.clear(),
        }
    }

    /// Rows in this column.
    pub fn len(&self) -> usize {
        match self {
            Column::Float(v) => v.len(),
            Column::Integer(v) => v.len(),
            Column::Boolean(v) => v.len(),
            Column::Label { ends, .. } => ends.len(),
            Column::Reals { width, values } => values.len() / (*width).max(1),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The label of row `i`; only for a label column.
    pub fn label(&self, i: usize) -> &[u8] {
        let Column::Label { bytes, ends } = self else { panic!("not a label column") };
        let start = if i == 0 { 0 } else { ends[i - 1] as usize };
        &bytes[start..ends[i] as usize]
    }
}

/// All output columns of one run, in the order of the bundle's outputs.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    pub columns: Vec<Column>,
}

impl Outputs {
    pub fn new(specs: &[OutputSpec]) -> Outputs {
        Outputs { columns: specs.iter().map(|s| Column::new(s.kind)).collect() }
    }

    pub fn clear(&mut self) {
        self.columns.iter_mut().for_each(Column::clear);
    }

    /// Row `i` alone; for the rare path that looks for a guilty record.
    pub fn row(&self, i: usize) -> Outputs {
        let one = |column: &Column| match column {
            Column::Float(v) => Column::Float(vec![v[i]]),
            Column::Integer(v) => Column::Integer(vec![v[i]]),
            Column::Boolean(v) => Column::Boolean(vec![v[i]]),
            Column::Label { .. } => {
                let bytes = column.label(i).to_vec();
                Column::Label { ends: vec![bytes.len() as u32], bytes }
            }
            Column::Reals { width, values } => {
                Column::Reals { width: *width, values: values[i * width..(i + 1) * width].to_vec() }
            }
        };
        Outputs { columns: self.columns.iter().map(one).collect() }
    }

    /// Appends the rows of another run of the same model.
    pub fn append(&mut self, other: &Outputs) {
        for (to, from) in self.columns.iter_mut().zip(&other.columns) {
            match (to, from) {
                (Column::Float(to), Column::Float(from)) => to.extend_from_slice(from),
                (Column::Integer(to), Column::Integer(from)) => to.extend_from_slice(from),
                (Column::Boolean(to), Column::Boolean(from)) => to.extend_from_slice(from),
                (Column::Label { bytes, ends }, Column::Label { bytes: more, ends: more_ends }) => {
                    let base = bytes.len() as u32;
                    bytes.extend_from_slice(more);
                    ends.extend(more_ends.iter().map(|e| base + e));
                }
                (Column::Reals { values: to, .. }, Column::Reals { values: from, .. }) => to.extend_from_slice(from),
                _ => panic!("outputs of two models are not mixed"),
            }
        }
    }
}
