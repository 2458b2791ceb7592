//! What all nodes of a run have in common, above all who votes on what: which nodes keep which log. Pure functions of
//! the cluster's first shape.
//!
//! A shard's log is kept by its own nodes. Where their number is even, a witness joins them: the first primary
//! of the next shard keeps the log without serving from it, so that one primary and one replica can lose one of
//! the two and go on. A shard of one node decides alone. The slot map has a log of its own, kept by the first
//! primaries and then the first replicas, at most five. Membership never changes. What has no majority of its
//! voters alive cannot be served: the eligibility model asks [`voters`].

use super::bugs::Bugs;
use crate::timeline::Cluster;
use std::sync::Arc;

/// The most nodes that vote on the slot map.
pub const MAP_VOTERS_MAX: usize = 5;

/// The nodes that keep the log of this shard, data nodes first, the witness, if there is one, last.
pub fn voters(cluster: &Cluster, shard: u16) -> Vec<u16> {
    let mut nodes: Vec<u16> = (0..=cluster.replicas).map(|replica| cluster.node(shard, replica)).collect();
    if nodes.len().is_multiple_of(2) && cluster.shards > 1 {
        nodes.push(cluster.node((shard + 1) % cluster.shards, 0));
    }
    nodes
}

/// The nodes that keep the log of the slot map: an odd number of them where there are three nodes or more.
pub fn map_voters(cluster: &Cluster) -> Vec<u16> {
    let most = match cluster.nodes() as usize {
        nodes @ 0..=2 => nodes,
        3 | 4 => 3,
        _ => MAP_VOTERS_MAX,
    };
    let by_role =
        (0..=cluster.replicas).flat_map(|replica| (0..cluster.shards).map(move |shard| (shard, replica)));
    by_role.map(|(shard, replica)| cluster.node(shard, replica)).take(most).collect()
}

/// A node that must be started again so that every log has a majority of its voters and every shard a node that
/// serves: the first that is dead in the first log that lacks one.
pub fn first_needed(cluster: &Cluster, lives: impl Fn(u16) -> bool) -> Option<u16> {
    let lacks = |members: &[u16], least: usize| {
        let alive = members.iter().filter(|node| lives(**node)).count();
        if alive >= least { None } else { members.iter().copied().find(|node| !lives(*node)) }
    };
    let map = map_voters(cluster);
    let served = |shard: u16| {
        let members = voters(cluster, shard);
        let data: Vec<u16> =
            members.iter().copied().filter(|node| shard_of(cluster, *node) == shard).collect();
        lacks(&data, 1).or_else(|| lacks(&members, members.len() / 2 + 1))
    };
    lacks(&map, map.len() / 2 + 1).or_else(|| (0..cluster.shards).find_map(served))
}

/// The shard that a node belongs to, for good.
pub fn shard_of(cluster: &Cluster, node: u16) -> u16 {
    node / (1 + cluster.replicas)
}

/// The address that all nodes are said to have.
pub const ADDRESS: &str = "127.0.0.1";

/// What all nodes of a run have in common.
#[derive(Debug)]
pub struct Shape {
    pub cluster: Cluster,
    pub bugs: Bugs,
    /// Cluster node ids, 40 hex digits each.
    pub ids: Vec<String>,
    /// Client ports; the address is the same for all.
    pub ports: Vec<u16>,
    pub password: Option<String>,
    pub node_timeout_us: u64,
    /// Voters of each shard's log, and last those of the map's.
    pub logs: Vec<Arc<[u16]>>,
}

impl Shape {
    pub fn new(
        cluster: &Cluster,
        bugs: Bugs,
        ids: Vec<String>,
        ports: Vec<u16>,
        password: Option<String>,
    ) -> Self {
        let mut logs: Vec<Arc<[u16]>> =
            (0..cluster.shards).map(|shard| voters(cluster, shard).into()).collect();
        logs.push(map_voters(cluster).into());
        let node_timeout_us = cluster.node_timeout().0 * 1000;
        Self { cluster: cluster.clone(), bugs, ids, ports, password, node_timeout_us, logs }
    }
    pub fn map_log(&self) -> u16 {
        self.cluster.shards
    }
    pub fn shard_of(&self, node: u16) -> u16 {
        shard_of(&self.cluster, node)
    }
    /// The nodes of a shard.
    pub fn nodes_of(&self, shard: u16) -> std::ops::Range<u16> {
        self.cluster.node(shard, 0)..self.cluster.node(shard, 0) + 1 + self.cluster.replicas
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{Formation, Settings};

    fn cluster(shards: u16, replicas: u16) -> Cluster {
        Cluster {
            shards,
            replicas,
            formation: Formation::Written,
            settings: Settings::default(),
            password: false,
            acl_user: false,
            base_port: None,
        }
    }

    #[test]
    fn one_node_of_any_group_of_three_may_die() {
        assert_eq!(voters(&cluster(3, 1), 0), [0, 1, 2]);
        assert_eq!(voters(&cluster(3, 1), 2), [4, 5, 0]);
        assert_eq!(voters(&cluster(3, 2), 1), [3, 4, 5]);
        assert_eq!(voters(&cluster(3, 0), 1), [1]);
        assert_eq!(voters(&cluster(1, 1), 0), [0, 1]);
    }

    #[test]
    fn the_core_is_a_majority_of_every_log() {
        let cluster = cluster(3, 1);
        assert_eq!(first_needed(&cluster, |_| true), None);
        assert_eq!(first_needed(&cluster, |node| node != 0), None);
        assert_eq!(first_needed(&cluster, |node| node > 1), Some(0), "shard 0 has no node that serves");
        assert_eq!(first_needed(&cluster, |node| node != 0 && node != 2), Some(0), "one of three voters");
        assert_eq!(first_needed(&cluster, |node| node == 5), Some(0), "the map's voters come first");
    }

    #[test]
    fn the_map_is_kept_by_an_odd_number() {
        assert_eq!(map_voters(&cluster(3, 1)), [0, 2, 4, 1, 3]);
        assert_eq!(map_voters(&cluster(5, 1)), [0, 2, 4, 6, 8]);
        assert_eq!(map_voters(&cluster(2, 1)), [0, 2, 1]);
        assert_eq!(map_voters(&cluster(1, 0)), [0]);
    }
}
