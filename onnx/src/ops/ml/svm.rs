//! What SVMClassifier and SVMRegressor share: how near a row is to every support vector.

use crate::bad;
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
    /// For RBF only the weights inside are used.
    product: Product,
}

impl Vectors {
    /// Reads `count` vectors from the attributes.
    ///
    /// # Errors
    /// If the numbers do not make up vectors of one length, or the kernel is not known.
    pub fn read(attributes: &Attributes, count: usize) -> Result<Vectors, OpError> {
        let all = attributes.floats("support_vectors")?.unwrap_or_default();
        if count == 0 || all.is_empty() || all.len() % count != 0 {
            bad!("{} numbers cannot make {count} support vectors", all.len());
        }
        let product = Product::new(all, count, all.len() / count);
        Ok(Vectors { nearness: Nearness::read(attributes)?, product })
    }

    pub fn count(&self) -> usize {
        self.product.outputs()
    }

    pub fn columns(&self) -> usize {
        self.product.columns()
    }

    pub fn parameters(&self) -> usize {
        self.product.parameters()
    }

    /// How near every row of `x` is to every vector: `[rows, vectors]`.
    ///
    /// # Errors
    /// If that is too much for one tensor.
    pub fn near(&self, x: &[f32], rows: usize) -> Result<Vec<f32>, OpError> {
        let mut out = vec![0.0f32; volume(&[rows, self.count()], size_of::<f32>())?];
        match self.nearness {
            Nearness::Linear => self.product.run(x, 1.0, &[0.0], &mut out),
            Nearness::Poly { gamma, coef0, degree } => {
                self.product.run(x, gamma, &[coef0], &mut out);
                out.iter_mut().for_each(|y| *y = power(*y, degree));
            }
            Nearness::Sigmoid { gamma, coef0 } => {
                self.product.run(x, gamma, &[coef0], &mut out);
                out.iter_mut().for_each(|y| *y = y.tanh());
            }
            Nearness::Rbf { gamma } => {
                self.product.squared_distances(x, &mut out);
                out.iter_mut().for_each(|y| *y = (-gamma * *y).exp());
            }
        }
        Ok(out)
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
