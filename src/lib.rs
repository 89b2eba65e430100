//! Tidemill scores a Kafka topic with an ONNX model and stores the result in Postgres, exactly once in effect.

#![deny(unsafe_code)]

pub mod adapters;
pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod domain;
pub mod failpoints;
pub mod pipeline;
pub mod ports;
pub mod telemetry;
