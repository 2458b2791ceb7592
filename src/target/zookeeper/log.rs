//! Which lines of a server's log mean something.
//!
//! The texts are those of ZooKeeper 3.8 (`QuorumPeer`, `FastLeaderElection`, `Learner`, `Leader`, `LearnerHandler`,
//! `ZooKeeperCriticalThread`, `FileTxnSnapLog`) and of the Java machine that runs it. A line is kept when it holds any of
//! these; all lines stay in the node's folder.

const MATTERS: &[&str] = &[
    // Crashes and what comes close.
    "A fatal error has been detected by the Java Runtime",
    "OutOfMemoryError",
    "StackOverflowError",
    "java.lang.AssertionError",
    "NullPointerException",
    "Severe unrecoverable error",
    "Severe error",
    "Exiting JVM with code",
    "Unable to load database",
    "Unable to run quorum server",
    "unrecoverable",
    "Digests are not matching",
    "digest mismatch",
    "CRC check failed",
    "Unreasonable length",
    "No space left on device",
    "Input/output error",
    "fsync-ing the write ahead log",
    // Elections.
    " - LOOKING",
    "New election. My id",
    "LEADING - LEADER ELECTION TOOK",
    "FOLLOWING - LEADER ELECTION TOOK",
    "Have quorum of supporters",
    "Not sufficient followers synced",
    "Exception when following the leader",
    "Unexpected exception causing shutdown",
    "Shutting down",
    "Restarting Leader Election",
    // Members and snapshots.
    "Getting a diff from the leader",
    "Getting a snapshot from leader",
    "Truncating log to get in sync",
    "Sending DIFF",
    "Sending SNAP",
    "Sending TRUNC",
    "Committing New Reconfig",
    "Reconfig",
    "Snapshotting",
];

pub fn matters(line: &str) -> bool {
    MATTERS.iter().any(|part| line.contains(part))
}
