//! What SVMClassifier and SVMRegressor share: how near a row is to every support vector.

use crate::bad;
use crate::dense::activate;
use crate::dense::activation::Activation;
use crate::dense::plain::transposed;
use crate::error::OpError;
use crate::graph::attributes::Attributes;
use crate::ops::ml::product::Product;
use crate::tensor::volume;

/// Kernel of a support vector machine, `K(row, vector)`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Nearness {
    /// The scalar product.
    Linear,
    /// `(gamma * product + coef0) ^ degree`
    Poly { gamma: f32, coef0: f32, degree: f32 },
    /// `exp(-gamma * squared distance)`
    Rbf { gamma: f32 },
    /// `tanh(gamma * product + coef0)`
    Sigmoid { gamma: f32, coef0: f32 },
}

impl Nearness {
    fn read(attributes: &Attributes) -> Result<Nearness, OpError> {
        let given = attributes.floats("kernel_params")?.unwrap_or_default();
        let [gamma, coef0, degree] = match given {
            [] => [0.0; 3],
            [gamma, coef0, degree, ..] => [*gamma, *coef0, *degree],
            _ => bad!("attribute `kernel_params` has {} entries, expected 3", given.len()),
        };
        Ok(match attributes.text_or("kernel_type", "LINEAR")? {
            "LINEAR" => Nearness::Linear,
            "POLY" => Nearness::Poly { gamma, coef0, degree },
            "RBF" => Nearness::Rbf { gamma },
            "SIGMOID" => Nearness::Sigmoid { gamma, coef0 },
            _ => bad!("attribute `kernel_type` must be LINEAR, POLY, RBF or SIGMOID"),
        })
    }
}

/// Support vectors with their kernel.
#[derive(Debug)]
pub struct Vectors {
    nearness: Nearness,
    stored: Stored,
    count: usize,
    columns: usize,
}

/// The vectors as the kernel needs them.
#[derive(Debug)]
enum Stored {
    /// With the constant of every product.
    Product(Product, Vec<f32>),
    /// `[columns, vectors]`, for distances.
    Turned(Vec<f32>),
}

impl Vectors {
    /// Reads `count` vectors from the attributes.
    ///
    /// # Errors
    /// If the numbers do not make up vectors of one length, or the kernel is not known.
    pub fn read(attributes: &Attributes, count: usize) -> Result<Vectors, OpError> {
        let all = attributes.floats("support_vectors")?.unwrap_or_default();
        if count == 0 || all.is_empty() || !all.len().is_multiple_of(count) {
            bad!("{} numbers cannot make {count} support vectors", all.len());
        }
        let (nearness, columns) = (Nearness::read(attributes)?, all.len() / count);
        let stored = match nearness {
            Nearness::Rbf { .. } => Stored::Turned(transposed(all, count, columns)),
            Nearness::Linear => Stored::Product(Product::new(all, count)?, vec![]),
            Nearness::Poly { coef0, .. } | Nearness::Sigmoid { coef0, .. } => {
                Stored::Product(Product::new(all, count)?, vec![coef0; count])
            }
        };
        Ok(Vectors { nearness, stored, count, columns })
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub fn parameters(&self) -> usize {
        self.count * self.columns
    }

    pub fn bytes(&self) -> usize {
        match &self.stored {
            Stored::Product(product, constants) => product.bytes() + size_of_val(&constants[..]),
            Stored::Turned(vectors) => size_of_val(&vectors[..]),
        }
    }

    /// How near every row of `x` is to every vector: `[rows, vectors]`.
    ///
    /// # Errors
    /// If that is too much for one tensor.
    pub fn near(&self, x: &[f32], rows: usize) -> Result<Vec<f32>, OpError> {
        let mut out = vec![0.0f32; volume(&[rows, self.count], size_of::<f32>())?];
        match &self.stored {
            Stored::Turned(vectors) => self.distances(vectors, x, &mut out),
            Stored::Product(product, constants) => product.run(x, self.factor(), constants, &mut out),
        }
        match self.nearness {
            Nearness::Linear => {}
            Nearness::Poly { degree, .. } => out.iter_mut().for_each(|y| *y = power(*y, degree)),
            Nearness::Sigmoid { .. } => activate(Activation::Tanh, &mut out),
            Nearness::Rbf { gamma } => out.iter_mut().for_each(|y| *y = (-gamma * *y).exp()),
        }
        Ok(out)
    }

    fn factor(&self) -> f32 {
        match self.nearness {
            Nearness::Linear | Nearness::Rbf { .. } => 1.0,
            Nearness::Poly { gamma, .. } | Nearness::Sigmoid { gamma, .. } => gamma,
        }
    }

    /// Squared distances, added up column by column without fusing: onnxruntime compiles this loop for any processor.
    fn distances(&self, vectors: &[f32], x: &[f32], out: &mut [f32]) {
        for (row, out) in x.chunks_exact(self.columns).zip(out.chunks_exact_mut(self.count)) {
            for (x, vectors) in row.iter().zip(vectors.chunks_exact(self.count)) {
                for (sum, v) in out.iter_mut().zip(vectors) {
                    let difference = x - v;
                    *sum += difference * difference;
                }
            }
        }
    }
}

fn power(x: f32, degree: f32) -> f32 {
    if degree == 2.0 {
        x * x
    } else if degree == 3.0 {
        x * x * x
    } else {
        x.powf(degree)
    }
}
