//! Layer 0: decides, and touches nothing. No I/O, clock, async, threads or logging; time and randomness are arguments.

pub mod batch;
pub mod breaker;
pub mod care;
pub mod fault;
pub mod fields;
pub mod guard;
pub mod lane;
pub mod ledger;
pub mod miss;
pub mod mutants;
pub mod outputs;
pub mod retry;
pub mod scored;
pub mod secret;
pub mod units;
pub mod verdict;
pub mod windows;
