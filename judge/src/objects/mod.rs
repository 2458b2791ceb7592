//! What the judges of collections, counters, sessions, watches and leases share.
//!
//! The models themselves are one file each under `model`; here is what several of them need: values as small
//! numbers ([`ident`]), operations by what they do ([`names`]), findings with their counts ([`report`]).

pub mod ident;
pub mod names;
pub mod report;

#[cfg(test)]
pub mod tests;
