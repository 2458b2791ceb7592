//! What the judges of collections, counters, sessions, watches and leases share.
//!
//! The models themselves are one file each under `model`; here is what several of them need: values as small
//! numbers ([`ident`]), operations by what they do ([`names`]), findings with their counts ([`report`]).

pub mod collection;
pub mod fifo;
pub mod ident;
pub mod lifo;
pub mod monitor;
pub mod names;
pub mod report;
pub mod search;
pub mod sessions;
pub mod trees;

#[cfg(test)]
mod exhaustive;
#[cfg(test)]
pub mod tests;
