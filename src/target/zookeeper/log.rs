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

/// What a line means, for who does not know the server: a part of the line, and a sentence.
pub const MEANINGS: &[(&str, &str)] = &[
    ("OutOfMemoryError", "The Java machine could not get memory."),
    ("NullPointerException", "The server came upon something that its authors had not foreseen."),
    ("Severe unrecoverable error", "The server cannot go on, and ends."),
    ("Unable to load database", "It cannot go on with what it found on its disk."),
    ("No space left on device", "Its disk is full."),
    ("Input/output error", "Its disk failed."),
    ("fsync-ing the write ahead log", "Its disk took long to sync."),
    (" - LOOKING", "It looks for a leader, and serves nobody meanwhile."),
    ("New election. My id", "It proposes itself, with the last transaction that it has."),
    ("LEADING - LEADER ELECTION TOOK", "It won the election."),
    ("FOLLOWING - LEADER ELECTION TOOK", "It follows the one that won the election."),
    ("Have quorum of supporters", "A majority has what the leader has: it serves from here on."),
    ("Not sufficient followers synced", "The leader has lost its majority, and gives up."),
    ("Exception when following the leader", "Its link to the leader broke."),
    ("Shutting down", "It gives up its role."),
    ("Getting a diff from the leader", "The leader sends it the transactions that it lacks."),
    ("Getting a snapshot from leader", "The leader sends it everything."),
    ("Truncating log to get in sync", "It forgets transactions that were never committed."),
    ("Sending DIFF", "The leader sends the transactions that a follower lacks."),
    ("Sending SNAP", "The leader sends a follower everything."),
    ("Sending TRUNC", "The leader tells a follower to forget what was never committed."),
    ("Committing New Reconfig", "The ensemble has new members."),
    ("Snapshotting", "It saves all that it has."),
];

/// What the server said, without its own clock: `2026-11-22 12:17:04,123 [myid:1] - INFO  [thread:Class@1] - ...`.
pub fn said(line: &str) -> &str {
    line.rfind("] - ").map_or(line, |at| &line[at + 4..])
}
