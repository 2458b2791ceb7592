//! Log lines that mark the moments at which a fault hurts most, for anchors of the form `when: {log: ...}`.
//!
//! The texts stand in both servers that are tested (redis 7.0.15 and valkey 8.0.1, `src/cluster_legacy.c` and
//! `src/replication.c`; redis 7.0 keeps the former in `src/cluster.c`), where their wording differs only
//! behind the part given here. The embedded target logs the same words for the same situations. Those of etcd are from its
//! Raft library (`raft.go`, `node.go`) and `rafthttp/peer_status.go`, the same from 3.4 to 3.6; those of ZooKeeper
//! from `FastLeaderElection`, `Learner`, `Follower` and `LearnerHandler` of 3.8.

use crate::target::{SLOTTED, VALKEY};

crate::word! {
    /// What must have been drawn before, so that the line can be expected at all.
    pub enum Cause {
        /// A primary's process ends: no line of its own, it is seen by the exit and by the shard without a primary.
        Death = "death",
        /// A primary dies or falls silent, and has a replica.
        Election = "election",
        /// A node comes back and its replication starts again.
        Resync = "resync",
        /// A failover that somebody asked for.
        Manual = "manual",
    }
}

crate::word! {
    /// Whose log holds the line, seen from the shard that was struck.
    pub enum Speaker { Replica = "replica", Primary = "primary", Other = "other" }
}

/// One line and when to expect it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub has: &'static str,
    pub cause: Cause,
    pub speaker: Speaker,
    /// The targets that say so.
    pub targets: &'static [&'static str],
}

const ETCD: &[&str] = &["etcd"];
const ZOOKEEPER: &[&str] = &["zookeeper"];

const fn moment(
    has: &'static str,
    cause: Cause,
    speaker: Speaker,
    targets: &'static [&'static str],
) -> Moment {
    Moment { has, cause, speaker, targets }
}

pub const MOMENTS: &[Moment] = &[
    moment("Start of election delayed", Cause::Election, Speaker::Replica, SLOTTED),
    moment("Starting a failover election", Cause::Election, Speaker::Replica, SLOTTED),
    moment("Failover auth granted", Cause::Election, Speaker::Other, SLOTTED),
    moment("Failover election won", Cause::Election, Speaker::Replica, SLOTTED),
    moment("as failing (quorum reached)", Cause::Election, Speaker::Other, VALKEY),
    moment("Cluster state changed: fail", Cause::Election, Speaker::Other, VALKEY),
    moment(
        "Configuration change detected. Reconfiguring myself as a replica",
        Cause::Election,
        Speaker::Other,
        VALKEY,
    ),
    moment("Full resync requested by replica", Cause::Resync, Speaker::Primary, SLOTTED),
    moment("Starting BGSAVE for SYNC", Cause::Resync, Speaker::Primary, VALKEY),
    moment("REPLICA sync started", Cause::Resync, Speaker::Replica, VALKEY),
    moment("REPLICA sync: Loading DB in memory", Cause::Resync, Speaker::Replica, VALKEY),
    moment("Partial resynchronization request", Cause::Resync, Speaker::Primary, VALKEY),
    moment("Clear FAIL state for node", Cause::Resync, Speaker::Other, VALKEY),
    moment("Manual failover requested by replica", Cause::Manual, Speaker::Primary, VALKEY),
    moment("Received replication offset for paused", Cause::Manual, Speaker::Replica, VALKEY),
    moment("Failover auth granted", Cause::Manual, Speaker::Other, SLOTTED),
    moment("Failover election won", Cause::Manual, Speaker::Replica, SLOTTED),
    moment("is starting a new election at term", Cause::Election, Speaker::Replica, ETCD),
    moment("became candidate at term", Cause::Election, Speaker::Replica, ETCD),
    moment("became leader at term", Cause::Election, Speaker::Replica, ETCD),
    moment("lost leader", Cause::Election, Speaker::Other, ETCD),
    moment("elected leader", Cause::Election, Speaker::Other, ETCD),
    moment("became active", Cause::Resync, Speaker::Other, ETCD),
    moment("became follower at term", Cause::Resync, Speaker::Other, ETCD),
    moment("starts to transfer leadership to", Cause::Manual, Speaker::Primary, ETCD),
    moment("became leader at term", Cause::Manual, Speaker::Replica, ETCD),
    moment("New election. My id", Cause::Election, Speaker::Other, ZOOKEEPER),
    moment("LEADING - LEADER ELECTION TOOK", Cause::Election, Speaker::Replica, ZOOKEEPER),
    moment("FOLLOWING - LEADER ELECTION TOOK", Cause::Election, Speaker::Other, ZOOKEEPER),
    moment("Exception when following the leader", Cause::Election, Speaker::Replica, ZOOKEEPER),
    moment("Getting a diff from the leader", Cause::Resync, Speaker::Other, ZOOKEEPER),
    moment("Getting a snapshot from leader", Cause::Resync, Speaker::Other, ZOOKEEPER),
    moment("Synchronizing with Learner sid", Cause::Resync, Speaker::Primary, ZOOKEEPER),
    moment("LEADING - LEADER ELECTION TOOK", Cause::Manual, Speaker::Replica, ZOOKEEPER),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::TARGETS;

    #[test]
    fn every_cause_has_a_moment_on_every_target() {
        for cause in Cause::ALL.iter().filter(|cause| **cause != Cause::Death) {
            for info in TARGETS {
                let told = |m: &Moment| m.cause == *cause && m.targets.contains(&info.name);
                assert!(MOMENTS.iter().any(told), "{cause} on {}", info.name);
            }
        }
    }
}
