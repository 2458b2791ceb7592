//! Apache ZooKeeper: an ensemble of servers that agree on one tree of small nodes, and sessions with it.
//!
//! `provision` says what a server is made of. `wire` is the client protocol as bytes (`jute` its format, `code` its
//! errors), `session` what a client keeps between connections, `watches` what it waits for, `words` what an administrator
//! asks. Nothing here touches a socket or a process.

pub mod code;
pub mod jute;
pub mod provision;
pub mod session;
pub mod watches;
pub mod wire;
pub mod words;

#[cfg(test)]
mod tests;
