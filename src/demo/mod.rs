//! What `tidemill demo` and the tests need beside the pipeline: payments, a throwaway Postgres and the live table.

pub mod guard;
pub mod payments;
pub mod poison;
pub mod ports;
pub mod postgres_cluster;
pub mod random;
pub mod source;
pub mod table;
