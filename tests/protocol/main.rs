//! A test for each rule of the protocol that a state machine decides, named after the rule. No threads, no clock, no
//! services: a scripted client and hand-given answers. Rules that only a server can show are in the tests against real ones.

mod claiming;
mod crash;
mod fakes;
mod flood;
mod judging;
mod promises;
mod taking;
mod writing;
