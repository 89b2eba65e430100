//! Operators of networks: convolutions, pools, recurrent layers, attention, resampling.

pub mod activation;
pub mod conv;
pub mod conv_integer;
pub mod conv_transpose;
pub mod lrn;
pub mod patches;
pub mod pool;
pub mod pool_global;
pub mod product;
pub mod real;
pub mod recurrent;
pub mod resize;
pub mod unpool;
pub mod window;
