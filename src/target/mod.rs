//! What is tested: one folder per system. `operation` is the vocabulary that the targets share.

pub mod embedded;
pub mod operation;
pub mod valkey;
