//! Operators of networks: convolutions, pools, recurrent layers, attention, resampling.

pub mod activation;
pub mod attention;
pub mod conv;
pub mod conv_integer;
pub mod conv_transpose;
pub mod embed;
pub mod fold;
pub mod fourier;
pub mod grid;
pub mod losses;
pub mod lrn;
pub mod patches;
pub mod pool;
pub mod pool_global;
pub mod pool_max;
pub mod pool_quantized;
pub mod product;
pub mod real;
pub mod recurrent;
pub mod regions;
pub mod resize;
pub mod rotary;
pub mod signal;
pub mod suppression;
pub mod unpool;
pub mod window;

#[cfg(test)]
mod tests;
