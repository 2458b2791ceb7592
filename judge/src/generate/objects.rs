//! Histories of queues, stacks, bags, sets, counters, banks, sessions, watches and leases, from a seed.
//!
//! Each generator runs the real thing in memory: clients call, the operation takes effect at a moment of its own,
//! the client is answered later or never. What comes out is correct. A planted anomaly is then one answer, or one
//! effect, that is wrong in a way that has a name.

pub mod collections;
pub mod plants;
pub mod script;
pub mod services;
