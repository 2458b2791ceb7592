//! The `embedded` target: a cluster of our own that lives in the simulation `env::sim` and repeats to the bit.
//!
//! **This is no Redis and no Valkey.** It is a model of ours that speaks their client protocol (RESP2, with
//! `MOVED`, `ASK`, `CLUSTERDOWN`, `CLUSTER NODES` and the like), so that the same clients, probes and checks
//! serve it. It promises more than they do: every acknowledged write survives as long as a majority of its
//! shard's voters comes back, and every answer of a primary is linearizable.
//!
//! Consensus is the library `omnipaxos`, one log per shard and one for the slot map. What stands around it is
//! here, and is where the named bugs are planted:
//!
//! - [`placement`]: which nodes vote on what
//! - [`command`], [`machine`]: what is logged, and what it does to a shard's keys and to the map
//! - [`disk`]: what survives a node's death
//! - [`group`]: one log at one node
//! - [`session`]: in order and once, over links that do neither
//! - [`node`] with `client`, `gossip`, `moving`, `report`: a node
//! - [`operations`]: what people do to it, as the executor sees it
//! - [`resp`]: the client protocol
//! - [`bugs`]: the named bugs

#[cfg(test)]
mod agreement;
pub mod bugs;
mod client;
pub mod command;
pub mod disk;
mod gossip;
pub mod group;
pub mod machine;
mod moving;
pub mod node;
pub mod operations;
pub mod placement;
mod report;
pub mod resp;
pub mod session;
