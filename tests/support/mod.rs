//! Starts, fills, disturbs and reads the real services that the integration tests run against.
//!
//! Every test file includes this folder with `mod support;` and uses what it needs.

#![allow(dead_code)]

pub mod broker;
pub mod daemon;
pub mod detour;
pub mod folder;
pub mod kafka;
pub mod pgwire;
pub mod postgres;
pub mod produce;
pub mod proxy;
pub mod psql;
pub mod relay;
pub mod signal;
pub mod small_disk;
pub mod standby;
pub mod wait;
