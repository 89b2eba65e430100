//! Kernels, one operator or close family a file; each file lists its operators for the registry.

pub mod dense;
pub mod layout;
pub mod math;
pub mod ml;
pub mod nets;
pub mod plain;
pub mod refused;
pub mod shape;
pub mod text;

use crate::registry::Operator;

/// Every family. One line each, in alphabetical order.
pub const FAMILIES: &[&[Operator]] = &[
    dense::gemm::OPERATORS,
    dense::layer::OPERATORS,
    dense::matmul::OPERATORS,
    math::arithmetic::OPERATORS,
    math::compare::OPERATORS,
    math::logic::OPERATORS,
    math::reduce::OPERATORS,
    math::softmax::OPERATORS,
    math::unary::OPERATORS,
    ml::array_feature_extractor::OPERATORS,
    ml::binarizer::OPERATORS,
    ml::cast_map::OPERATORS,
    ml::category_mapper::OPERATORS,
    ml::cdist::OPERATORS,
    ml::dict_vectorizer::OPERATORS,
    ml::feature_vectorizer::OPERATORS,
    ml::imputer::OPERATORS,
    ml::label_encoder::OPERATORS,
    ml::linear::OPERATORS,
    ml::normalizer::OPERATORS,
    ml::one_hot_encoder::OPERATORS,
    ml::scaler::OPERATORS,
    ml::svm_classifier::OPERATORS,
    ml::svm_regressor::OPERATORS,
    ml::tree_ensemble::OPERATORS,
    ml::tree_ensemble_classifier::OPERATORS,
    ml::tree_ensemble_regressor::OPERATORS,
    ml::zip_map::OPERATORS,
    nets::attention::microsoft::OPERATORS,
    nets::attention::onnx::OPERATORS,
    nets::attention::quantized::OPERATORS,
    nets::conv::OPERATORS,
    nets::conv_integer::OPERATORS,
    nets::conv_transpose::OPERATORS,
    nets::embed::OPERATORS,
    nets::fourier::OPERATORS,
    nets::grid::OPERATORS,
    nets::losses::OPERATORS,
    nets::lrn::OPERATORS,
    nets::pool::OPERATORS,
    nets::pool_global::OPERATORS,
    nets::pool_quantized::OPERATORS,
    nets::recurrent::OPERATORS,
    nets::regions::OPERATORS,
    nets::resize::OPERATORS,
    nets::rotary::OPERATORS,
    nets::signal::OPERATORS,
    nets::suppression::OPERATORS,
    nets::unpool::OPERATORS,
    plain::OPERATORS,
    shape::arg::OPERATORS,
    shape::cast::OPERATORS,
    shape::concat::OPERATORS,
    shape::gather::OPERATORS,
    shape::repeat::OPERATORS,
    shape::reshape::OPERATORS,
    shape::select::OPERATORS,
    shape::slice::OPERATORS,
    shape::topk::OPERATORS,
    shape::transpose::OPERATORS,
    text::murmur_hash::OPERATORS,
    text::regex_full_match::OPERATORS,
    text::string_concat::OPERATORS,
    text::string_normalizer::OPERATORS,
    text::string_split::OPERATORS,
    text::tfidf_vectorizer::OPERATORS,
    text::tokenizer::OPERATORS,
];
