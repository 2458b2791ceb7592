//! Everything a run saw, in the form that the checks judge.

use super::view::ClusterView;
use crate::env::talk::{Said, Sent};
use crate::env::{Exit, NodeId};
use crate::history::{
    Audit, Demand, Held, Key, Lease, Operation, QueueAct, Removable, Sight, Stroke, Transfer, Value, Vigil,
    Watch,
};
use crate::time::{Micros, Millis};
use crate::timeline::Timeline;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub timeline: Timeline,
    /// When every slot was served, every node agreed and every replica's link was up: logical zero of the
    /// timeline. All times of the record count from the environment's start instead.
    pub healthy_at: Micros,
    /// The end of the safety phase: when healing began.
    pub healed_at: Micros,
    /// When the load stopped for good.
    pub load_stopped_at: Micros,
    /// Events in the order they were applied, skipped or given up.
    pub applied: Vec<Applied>,
    /// In the order of return.
    pub history: Vec<Operation>,
    /// Operations that fell due while their client still waited.
    pub operations_skipped: u64,
    /// Samples through the run, in order.
    pub views: Vec<ClusterView>,
    /// The end: what the cluster was like once it had settled, or at the bound if it did not.
    pub last: Option<Last>,
    /// Every process that ran, in the order started.
    pub lives: Vec<Life>,
    /// Lines of the nodes' logs that mean something (see `target::*::log`), in order.
    pub log_lines: Vec<LogLine>,
    /// Where the logical clock was held back because we were late.
    pub stretches: Vec<(Micros, Millis)>,
    /// What watches were told, in the order in which they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watches: Vec<Watch>,
    /// What came of sessions with their nodes, in the order in which they were begun, and who saw which of these when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<Held>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sights: Vec<Sight>,
    /// Transfers between accounts, and what all accounts held at one moment, as the answers came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfers: Vec<Transfer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audits: Vec<Audit>,
    /// What became of leases, in the order in which they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<Lease>,
    /// What was asked of which it is known whether it has to be refused, as the answers came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub demands: Vec<Demand>,
    /// What watches on a tree told beside the answers of their connections, and what was done to that tree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vigils: Vec<Vigil>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strokes: Vec<Stroke>,
    /// What clients did with a queue, as the answers came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<QueueAct>,
    /// What became of nodes that the system removes by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removables: Vec<Removable>,
    /// The user or an error ended the run early.
    pub ended_early: Option<String>,
    /// What nodes said to one another, where the environment can read that; times count from its start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<Said>,
    /// What decided something among them, message by message, where the environment can read that; times count from its
    /// start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Sent>,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub event: String,
    /// Name of the operation or fault.
    pub action: String,
    /// What the selectors meant at that moment. The schedule hash is over event and this, in order.
    pub resolved: Vec<NodeId>,
    /// What else was decided when it struck, in words: the replica that got the command, the setting changed.
    pub detail: String,
    pub started: Micros,
    pub ended: Option<Micros>,
    pub status: Status,
    /// Steps of a longer operation, with their times; a healed fault's last step is its heal.
    pub steps: Vec<(Micros, String)>,
    /// For a reshard, the slots that it began to move; those left open if it stopped on the way.
    pub slots: Vec<u16>,
    pub slots_left_open: Vec<u16>,
    /// What its rule came to on each directed link, where segments are counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<OnLink>,
}

/// What a rule came to on a directed link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnLink {
    pub from: NodeId,
    pub to: NodeId,
    /// Segments that came under it.
    pub seen: u64,
    /// Those of them that it did anything to, and those that it lost.
    pub struck: u64,
    pub lost: u64,
    /// Ends of connections that it held back to the end, and how long the first to come through took.
    pub ends: u64,
    pub ends_after: Option<Micros>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// In force, or carried out.
    Applied,
    /// Its own guard said no.
    Skipped(String),
    /// It was tried and did not come about.
    Failed(String),
}

/// One process from start to exit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    pub node: NodeId,
    pub incarnation: u32,
    pub started: Micros,
    pub ended: Option<(Micros, Exit)>,
    /// The events that sent it a signal, with the signal; empty if it ended by itself.
    pub signalled: Vec<(String, i32)>,
    /// Times at which it was stopped and went on.
    pub paused: Vec<(Micros, Option<Micros>)>,
    /// It began with less than it had on disk: `empty`, `wiped` or `older`.
    pub stale: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub at: Micros,
    pub node: NodeId,
    pub incarnation: u32,
    pub line: String,
}

/// The cluster at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    pub view: ClusterView,
    /// When two equal normalised views at least 1 s apart had been seen; `None` if they never were.
    pub settled_at: Option<Micros>,
    /// The bound it was given, counted from `healed_at`, and how it was made up.
    pub bound: Millis,
    pub bound_why: String,
    /// What a read of each slot through the owner answered, as ranges in order.
    pub slots: Vec<SlotAnswer>,
    /// What every node holds of every key that the clients touched.
    pub dump: Vec<KeyDump>,
    /// What each primary and its replicas had when the load had stopped: primary's offset first.
    pub catch_up: Vec<CatchUp>,
    /// Node numbers that were left dead, paused or removed on purpose.
    pub left_dead: Vec<NodeId>,
    pub removed: Vec<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotAnswer {
    pub first: u16,
    pub last: u16,
    /// The node asked: the one that itself claims the slot (the lowest number if several); `None` if none does.
    pub owner: Option<NodeId>,
    /// `Ok` when served, else the error as sent.
    pub answer: Result<(), String>,
}

/// What the nodes hold of one key. Replicas are asked over READONLY connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDump {
    pub key: Key,
    pub slot: u16,
    /// Through the owner, as a client would read it.
    pub value: Result<Value, String>,
    /// What each live replica of the owner holds.
    pub replicas: Vec<(NodeId, Result<Value, String>)>,
    /// Nodes that hold it though they neither own its slot nor replicate the owner.
    pub strays: Vec<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUp {
    pub primary: NodeId,
    pub primary_offset: u64,
    pub replica: NodeId,
    /// `None`: it did not answer.
    pub replica_offset: Option<u64>,
    pub link_up: bool,
    pub same_replication_id: bool,
    /// How long it took to reach the primary's offset; `None` if it did not within the bound.
    pub after: Option<Millis>,
    pub last_io_s: Option<u64>,
}

impl Record {
    /// A moment of the run as everything that is read of it writes moments: since the cluster was healthy.
    pub fn when(&self, at: Micros) -> String {
        at.counted_from(self.healthy_at)
    }
    /// The schedule hash: order and resolved targets of all that was applied.
    pub fn schedule_hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for applied in &self.applied {
            let status = match applied.status {
                Status::Applied => "applied",
                Status::Skipped(_) => "skipped",
                Status::Failed(_) => "failed",
            };
            hasher.update(applied.event.as_bytes()).update(b"\0").update(status.as_bytes()).update(b"\0");
            for node in &applied.resolved {
                hasher.update(&node.0.to_le_bytes());
            }
            hasher.update(b"\n");
        }
        hasher.finalize()
    }

    /// The history hash: every operation as recorded; wall times left out.
    pub fn history_hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for operation in &self.history {
            let mut plain = operation.clone();
            plain.invoke.wall = Micros(0);
            plain.complete.wall = Micros(0);
            hasher.update(&postcard::to_stdvec(&plain).expect("plain data"));
        }
        hasher.finalize()
    }
}
