//! Operators on texts.

pub mod murmur_hash;
pub mod ngrams;
pub mod pattern;
pub mod regex_full_match;
pub mod string_concat;
pub mod string_normalizer;
pub mod string_split;
pub mod tfidf_vectorizer;
pub mod tokenizer;
