//! Real servers: `valkey-server` 7.2 and later or `redis-server` 7.0 and later, in cluster mode.
//!
//! `provision` says what a node is made of, `form` how single nodes become a cluster, `operations` what people
//! do to it, `forget`, `rejoin` and `mend` how ids leave and nodes and slots come back, `sabotage` what harm a check must find,
//! `log` which lines of a log mean something. Nothing here touches a socket or a process: a node is data, and an
//! operation is a future over the hands that the executor gives it (`run::operation`). Choices come from the
//! timeline's key alone.

pub mod forget;
pub mod form;
pub mod hands;
pub mod log;
pub mod mend;
pub mod operations;
pub mod provision;
pub mod rejoin;
pub mod sabotage;
pub mod server;

use crate::catalogue::Action;
use crate::env::{NodeId, NodeSpec};
use crate::run::operation::{OpIo, Target};
use crate::run::record::Status;
use crate::run::task::Local;
use crate::time::Millis;
use crate::timeline::Timeline;
pub use server::{Server, ServerKind};

/// The target. The server found on the machine decides what its logs sound like, and nothing of a timeline.
#[derive(Clone, Copy, Debug)]
pub struct Valkey {
    pub kind: ServerKind,
}

impl Valkey {
    pub const NAME: &'static str = "valkey";
}

impl Target for Valkey {
    fn name(&self) -> &'static str {
        Self::NAME
    }
    fn provision(&self, timeline: &Timeline) -> Vec<NodeSpec> {
        provision::cluster(timeline)
    }
    fn provision_new(&self, timeline: &Timeline, node: NodeId) -> NodeSpec {
        provision::single(timeline, node)
    }
    fn form(&self, op: OpIo) -> Local<Status> {
        Box::pin(hands::finish(form::form(op)))
    }
    fn operation(&self, action: &Action, op: OpIo) -> Local<Status> {
        operations::start(action, op)
    }
    fn rejoin(&self, op: OpIo, node: NodeId, old_id: Option<String>) -> Local<Status> {
        Box::pin(hands::finish(rejoin::rejoin(op, node, old_id)))
    }
    fn mend(&self, op: OpIo) -> Local<()> {
        Box::pin(mend::mend(op))
    }
    fn asks_time(&self) -> Option<&'static [&'static str]> {
        Some(&["TIME"])
    }
    /// `CLUSTER_WRITABLE_DELAY`, counted from the first look at the cluster's state (`clusterUpdateState` in
    /// `cluster.c`, in `cluster_legacy.c` since valkey 8).
    fn holds_back(&self) -> Millis {
        Millis(2000)
    }
    fn log_matters(&self, line: &str) -> bool {
        log::matters(line)
    }
}
