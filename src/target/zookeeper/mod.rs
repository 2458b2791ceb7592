//! Apache ZooKeeper 3.5 and later: an ensemble of one to seven servers that agree on one tree of small nodes, and sessions
//! with it.
//!
//! `provision` says what a server is made of. `wire` is the client protocol as bytes (`jute` its format, `code` its
//! errors), `session` what a client keeps between connections, `watches` what it waits for, `words` what an administrator
//! asks, `talk` all that on a connection of a run. `client` is a client of the load, `holder` one with
//! an ephemeral node and a lock, `teller` one with transactions, `guest` one that is several people, `queuer` one with a queue, `watcher` one that watches a tree, `packer` one with nodes that go by themselves, `view` what the servers say of
//! themselves, `operations` what people do to them. Nothing here touches a socket or a process.

mod client;
pub mod code;
mod guest;
pub mod holder;
pub mod jute;
pub mod log;
mod operations;
mod packer;
pub mod provision;
mod queuer;
mod refusal;
pub mod session;
mod talk;
pub mod teller;
mod view;
mod watcher;
pub mod watches;
pub mod wire;
pub mod words;
mod worker;

#[cfg(test)]
mod tests;

use crate::catalogue::Action;
use crate::env::{NodeId, NodeSpec};
use crate::run::load::Session;
use crate::run::operation::{OpIo, Target};
use crate::run::probe::Look;
use crate::run::record::{KeyDump, SlotAnswer, Status};
use crate::run::task::{Io, Local};
use crate::run::view::ClusterView;
use crate::run::workload::Workload;
use crate::run::world::{Shared, World};
use crate::target::{group, hands};
use crate::time::Millis;
use crate::timeline::Timeline;
use provision::Launch;
use std::path::Path;
use view::Seen;
use worker::Epochs;

pub const NAME: &str = "zookeeper";

/// The target.
#[derive(Clone, Debug)]
pub struct Zookeeper {
    launch: Launch,
    epochs: Epochs,
    seen: Seen,
}

impl Zookeeper {
    pub fn new(server: &Path) -> Self {
        Self { launch: Launch::of(server), epochs: Epochs::default(), seen: Seen::default() }
    }
}

/// The version in what a server says of itself: `Apache ZooKeeper, version 3.8.0 ...`.
pub fn version(output: &str) -> Option<String> {
    let line = output.lines().find(|line| line.contains("ZooKeeper"))?;
    let numbers = line.split(|c: char| c != '.' && !c.is_ascii_digit());
    let version = numbers.map(|word| word.trim_matches('.')).find(|word| word.contains('.'))?;
    Some(format!("zookeeper {version}"))
}

impl Target for Zookeeper {
    fn name(&self) -> &'static str {
        NAME
    }
    fn provision(&self, timeline: &Timeline) -> Vec<NodeSpec> {
        provision::ensemble(timeline, &self.launch)
    }
    fn provision_new(&self, timeline: &Timeline, node: NodeId) -> NodeSpec {
        provision::joining(timeline, &self.launch, node)
    }
    /// Its servers find one another by what each was told.
    fn form(&self, _op: OpIo) -> Local<Status> {
        Box::pin(async { Status::Applied })
    }
    fn operation(&self, action: &Action, op: OpIo) -> Local<Status> {
        operations::start(action, op, self.launch.clone())
    }
    fn rejoin(&self, op: OpIo, node: NodeId, _old_id: Option<String>) -> Local<Status> {
        Box::pin(hands::finish(operations::rejoin(op, node)))
    }
    fn first_needed(&self, world: &World) -> Option<NodeId> {
        group::first_needed(world)
    }
    fn log_matters(&self, line: &str) -> bool {
        log::matters(line)
    }
    fn session(&self, io: Io, world: Shared, workload: Workload) -> Box<dyn Session> {
        Box::new(client::Client::new(io, world, workload, self.epochs.clone()))
    }
    fn holder(&self, io: Io, world: Shared, number: u32) -> Option<Local<()>> {
        Some(Box::pin(holder::hold(io, world, number, self.epochs.clone())))
    }
    fn teller(&self, io: Io, world: Shared, number: u32) -> Option<Local<()>> {
        Some(Box::pin(teller::work(io, world, number, self.epochs.clone())))
    }
    fn guest(&self, io: Io, world: Shared, number: u32) -> Option<Local<()>> {
        Some(Box::pin(guest::ask(io, world, number, self.epochs.clone())))
    }
    fn queuer(&self, io: Io, world: Shared, number: u32) -> Option<Local<()>> {
        Some(Box::pin(queuer::work(io, world, number, self.epochs.clone())))
    }
    fn watcher(&self, io: Io, world: Shared, number: u32) -> Option<Local<()>> {
        Some(Box::pin(watcher::watch(io, world, number, self.epochs.clone())))
    }
    fn packer(&self, io: Io, world: Shared, number: u32) -> Option<Local<()>> {
        Some(Box::pin(packer::pack(io, world, number, self.epochs.clone())))
    }
    fn prober(&self, io: Io, world: Shared) -> Box<dyn Look> {
        Box::new(view::Prober::new(io, world, self.seen.clone()))
    }
    fn answers(&self, io: Io, node: NodeId, within: Millis) -> Local<bool> {
        Box::pin(async move {
            let deadline = io.after(within);
            talk::word(&io, node, words::SRVR, deadline).await.is_ok_and(|answer| !answer.is_empty())
        })
    }
    fn amiss(&self, view: &ClusterView, world: &World) -> Vec<String> {
        view::amiss(view, world)
    }
    fn serves(&self, io: Io, world: Shared, view: ClusterView) -> Local<Vec<SlotAnswer>> {
        Box::pin(view::serves(io, world, view))
    }
    fn holds(&self, io: Io, world: Shared, view: ClusterView) -> Local<Vec<KeyDump>> {
        Box::pin(view::holds(io, world, view))
    }
}

#[cfg(test)]
mod version_tests {
    #[test]
    fn a_server_is_told_by_what_it_says() {
        let said = "Apache ZooKeeper, version 3.8.0 ${mvngit.commit.id}, Built on 2024-12-29 17:54 UTC";
        assert_eq!(super::version(said).as_deref(), Some("zookeeper 3.8.0"));
        assert_eq!(super::version("ZooKeeper 3.9").as_deref(), Some("zookeeper 3.9"));
        assert_eq!(super::version("Redis server v=7.0.15"), None);
    }
}
