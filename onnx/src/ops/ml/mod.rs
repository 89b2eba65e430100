//! Operators of `ai.onnx.ml`.

pub mod array_feature_extractor;
pub mod binarizer;
pub mod cast_map;
pub mod category_mapper;
pub mod cdist;
pub mod dict_vectorizer;
pub mod feature_vectorizer;
pub mod imputer;
pub mod label_encoder;
pub mod labels;
pub mod linear;
pub mod lookup;
pub mod matrix;
pub mod normalizer;
pub mod one_hot_encoder;
pub mod pairwise;
pub mod post_transform;
pub mod product;
pub mod scaler;
pub mod svm;
pub mod svm_classifier;
pub mod svm_regressor;
pub mod tree_ensemble;
pub mod tree_ensemble_classifier;
pub mod tree_ensemble_regressor;
pub mod tree_parts;
pub mod zip_map;

#[cfg(test)]
mod tests;
