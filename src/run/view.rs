//! What the nodes say of the cluster: one report per node, as parsed, with nothing interpreted.

use crate::env::NodeId;
use crate::time::Micros;
use crate::timeline::Role;
use serde::{Deserialize, Serialize};

/// What all nodes said at about one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// When the last answer came.
    pub at: Micros,
    /// By node number; every node that was ever created and not removed.
    pub nodes: Vec<NodeView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    pub node: NodeId,
    /// When it answered.
    pub at: Micros,
    /// What it said, or why it said nothing.
    pub report: Result<NodeReport, String>,
}

/// One node's word: CLUSTER NODES, CLUSTER INFO and INFO replication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its own cluster node id.
    pub id: String,
    /// `cluster_state`.
    pub state: String,
    pub current_epoch: u64,
    /// In the order of ids.
    pub members: Vec<Member>,
    pub replication: Replication,
}

/// One line of CLUSTER NODES.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub id: String,
    /// Which of our nodes listens at that address; `None` for `noaddr` or a stranger.
    pub node: Option<NodeId>,
    pub role: Role,
    /// The id of the primary that it replicates.
    pub primary: Option<String>,
    pub myself: bool,
    pub fail: bool,
    pub maybe_fail: bool,
    pub handshake: bool,
    pub noaddr: bool,
    pub config_epoch: u64,
    pub link_up: bool,
    /// First and last of each range, sorted.
    pub slots: Vec<(u16, u16)>,
    /// Slots being given to, and taken from, the node of that id (only a node's own line shows them).
    pub migrating: Vec<(u16, String)>,
    pub importing: Vec<(u16, String)>,
}

impl Member {
    /// Of a node that is down, whether it is known as failed, as far as the protocol lets a node know. Gossip leaves out
    /// who is disconnected and has no slots (`clusterSendPing` in cluster.c), so that one that was started too late
    /// for the `FAIL` message, with no memory of it, is left with its own suspicion for ever.
    pub fn known_as_failed(&self) -> bool {
        self.fail || (self.maybe_fail && !self.link_up && self.slots.is_empty())
    }
}

/// INFO replication, as far as it is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    pub role: Role,
    /// A replica's link to its primary is up. True for a primary.
    pub link_up: bool,
    pub sync_in_progress: bool,
    pub offset: u64,
    pub replication_id: String,
    /// Seconds since the primary was last heard; `None` for a primary or a broken link.
    pub last_io_s: Option<u64>,
    /// Seconds since the link went down.
    pub link_down_s: Option<u64>,
}

impl NodeReport {
    pub fn myself(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.myself)
    }
    /// The slots that this node itself claims; empty for a replica.
    pub fn own_slots(&self) -> &[(u16, u16)] {
        self.myself().filter(|me| me.role == Role::Primary).map_or(&[], |me| &me.slots)
    }
}

impl ClusterView {
    pub fn report(&self, node: NodeId) -> Option<&NodeReport> {
        self.nodes.iter().find(|view| view.node == node)?.report.as_ref().ok()
    }
    /// Whether others answered and none of them lists the id that this node gave.
    pub fn is_stranger(&self, node: NodeId) -> bool {
        let Some(report) = self.report(node) else { return false };
        let mut others = self.answered().filter(|(other, _)| *other != node).peekable();
        let lists = |other: &NodeReport| other.members.iter().any(|m| m.id == report.id && !m.handshake);
        others.peek().is_some() && !others.any(|(_, other)| lists(other))
    }
    /// The nodes that answered, with their words.
    pub fn answered(&self) -> impl Iterator<Item = (NodeId, &NodeReport)> {
        self.nodes.iter().filter_map(|view| Some((view.node, view.report.as_ref().ok()?)))
    }
}
