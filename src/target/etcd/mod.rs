//! Real servers: etcd 3.4 to 3.6, one Raft group of one to seven members.
//!
//! `provision` says what a member is made of, `http` and `api` speak to it, `session` is a client of the load, `view` what
//! the members say of themselves, `watch` a client that follows all changes, `streams` one that has several watches on one
//! stream of gRPC (`grpc`, `proto`), `lease` one that holds leases, `operations` what people do to them. Nothing here
//! touches a socket or a process.

mod api;
mod grpc;
mod http;
mod learner;
mod lease;
pub mod log;
mod operations;
mod proto;
mod provision;
mod sabotage;
mod session;
mod space;
mod streams;
mod teller;
mod view;
mod watch;

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
use serde_json::json;

pub const NAME: &str = "etcd";

/// The target.
#[derive(Clone, Copy, Debug)]
pub struct Etcd;

/// The version that `etcd --version` prints in its first line: `etcd Version: 3.4.23`.
pub fn version(output: &str) -> Option<String> {
    let version = output.lines().next()?.strip_prefix("etcd Version: ")?.trim();
    Some(format!("etcd {version}"))
}

impl Target for Etcd {
    fn name(&self) -> &'static str {
        NAME
    }
    fn provision(&self, timeline: &Timeline) -> Vec<NodeSpec> {
        provision::group(timeline)
    }
    fn provision_new(&self, timeline: &Timeline, node: NodeId) -> NodeSpec {
        provision::spec(timeline, node, &[(provision::name(node), provision::peer_url(node))], "existing")
    }
    /// A new member of a new group asks each of the others whether it is known already, and waits a second for one that
    /// listens and does not serve yet (`isMemberBootstrapped` and `bootstrapTimeout` in `etcdserver`). Two that begin
    /// together do that to each other.
    fn starts_apart(&self) -> &'static [&'static str] {
        log::SERVES_PEERS
    }
    /// Its members find one another by what each was told.
    fn form(&self, _op: OpIo) -> Local<Status> {
        Box::pin(async { Status::Applied })
    }
    fn operation(&self, action: &Action, op: OpIo) -> Local<Status> {
        operations::start(action, op)
    }
    /// A member that lost what it had promised has to be replaced.
    fn rejoin(&self, op: OpIo, node: NodeId, _old_id: Option<String>) -> Local<Status> {
        Box::pin(hands::finish(learner::replace_with_new(op, node)))
    }
    fn mend(&self, op: OpIo) -> Local<()> {
        Box::pin(async move {
            learner::mend(&op).await;
            space::mend(&op).await;
        })
    }
    fn first_needed(&self, world: &World) -> Option<NodeId> {
        group::first_needed(world)
    }
    fn log_matters(&self, line: &str) -> bool {
        log::matters(line)
    }
    fn session(&self, io: Io, world: Shared, workload: Workload) -> Box<dyn Session> {
        Box::new(session::Client::new(io, world, workload))
    }
    fn watcher(&self, io: Io, world: Shared, number: u32) -> Option<Local<()>> {
        if world.borrow().timeline.load.watch_streams {
            return Some(Box::pin(streams::watch(io, world, number)));
        }
        Some(Box::pin(watch::watch(io, world, number)))
    }
    fn teller(&self, io: Io, world: Shared, number: u32) -> Option<Local<()>> {
        Some(Box::pin(teller::work(io, world, number)))
    }
    fn lessee(&self, io: Io, world: Shared, number: u32) -> Option<Local<()>> {
        Some(Box::pin(lease::hold(io, world, number)))
    }
    fn prober(&self, io: Io, world: Shared) -> Box<dyn Look> {
        Box::new(view::Prober::new(io, world))
    }
    fn answers(&self, io: Io, node: NodeId, within: Millis) -> Local<bool> {
        Box::pin(async move {
            let deadline = io.after(within);
            let Ok(conn) = io.open(node, deadline).await else { return false };
            api::call::<api::Status>(&conn, api::STATUS, &json!({}), deadline).await.is_ok()
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
mod tests {
    #[test]
    fn a_server_is_told_by_its_version_line() {
        let said = "etcd Version: 3.4.23\nGit SHA: Not provided (use ./build instead of go build)\n";
        assert_eq!(super::version(said).as_deref(), Some("etcd 3.4.23"));
        assert_eq!(super::version("Redis server v=7.0.15"), None);
    }
}
