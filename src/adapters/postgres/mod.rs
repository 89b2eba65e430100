//! Postgres: the sink, the progress rows and the result table. Alone in knowing tokio-postgres.

pub mod acceptance;
mod attempt;
pub mod audit;
pub mod claim;
mod conflict;
pub mod connect;
pub mod contract;
mod copy;
mod dead;
pub mod encode;
pub mod fault;
pub mod horizon;
mod isolate;
pub mod letters;
mod marks;
pub mod migrate;
pub mod options;
pub mod planned;
pub mod positions;
mod query;
pub mod register;
pub mod sqlstate;
mod statement;
pub mod store;
pub mod table;
pub mod types;
mod wire;
