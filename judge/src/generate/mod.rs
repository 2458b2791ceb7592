//! Histories from a seed: correct ones, and ones with a planted anomaly. For tests, benchmarks and fuzzing.

pub mod linear;
pub mod objects;
mod random;
pub mod txn;

pub use random::Random;
