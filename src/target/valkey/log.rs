//! Which lines of a server's log mean something, and the texts that events are anchored on.
//!
//! The texts are those of redis 7.0 (`cluster.c`, `replication.c`, `debug.c`) and valkey 8.0
//! (`cluster_legacy.c` and the same), which changed "slave" to "replica" and "master" to "primary" on the way.
//! A line is kept when it holds any of [`MATTERS`]; all lines stay in the node's folder.

use super::server::ServerKind;

/// Parts of lines that are kept in the record.
const MATTERS: &[&str] = &[
    // Crashes and what comes close.
    "BUG REPORT",
    "ASSERTION FAILED",
    "crashed by signal",
    "Guru Meditation",
    "Out Of Memory",
    "AddressSanitizer",
    "LeakSanitizer",
    "ThreadSanitizer",
    "MemorySanitizer",
    "UndefinedBehaviorSanitizer",
    "runtime error:",
    "exiting now",
    "Fatal error",
    "FATAL",
    "Unrecoverable error",
    "Bad file format",
    "Can't open or create append-only",
    "OUT OF MEMORY",
    "Exiting",
    // Disks.
    "cluster config file",
    "to disk",
    "on disk",
    "AOF file",
    "AOF write error",
    "aof-load-truncated",
    "end of file reading the append only file",
    "truncated file",
    "Can't save in background",
    "MISCONF",
    // Death and life of nodes.
    " as failing",
    "FAIL message received",
    "Clear FAIL state",
    "Cluster state changed",
    "Marking node",
    // Elections and failovers.
    "Start of election delayed",
    "Starting a failover election",
    "Failover election won",
    "Failover auth",
    "Failover attempt expired",
    "Currently unable to failover",
    "Manual failover",
    "manual failover",
    "Taking over",
    "Configuration change detected",
    "configEpoch set to",
    "configEpoch collision",
    "WARNING: configEpoch",
    "Reconfiguring myself",
    "Migrating to orphaned",
    "New configEpoch",
    "cluster nodes",
    "IP address for this node updated",
    // Synchronisation.
    "Full resync",
    "Partial resynchronization",
    "Successful partial resynchronization",
    "MASTER <-> REPLICA sync",
    "PRIMARY <-> REPLICA sync",
    "asks for synchronization",
    "Synchronization with replica",
    "Connection with master lost",
    "Connection with primary lost",
    "Connection with replica",
    "Disconnecting timedout replica",
    "Error condition on socket for SYNC",
    "Discarding previously cached",
    // Slots and epochs.
    "Deleting keys in dirty slot",
    "I have keys for slot",
    "importing slot",
];

/// Whether a line is worth keeping.
pub fn matters(line: &str) -> bool {
    MATTERS.iter().any(|part| line.contains(part))
}

/// Something that a server says of itself; what `when: {log: ...}` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// A node is marked FAIL by the one that logs.
    MarkedFailed,
    /// A replica asks for votes.
    ElectionStarted,
    ElectionWon,
    /// A manual failover was accepted.
    ManualFailover,
    /// A replica begins a full synchronisation.
    FullSyncStarted,
    SyncFinished,
    /// The node takes requests, or no longer does.
    StateChanged,
}

impl Anchor {
    pub const ALL: &'static [Self] = &[
        Self::MarkedFailed,
        Self::ElectionStarted,
        Self::ElectionWon,
        Self::ManualFailover,
        Self::FullSyncStarted,
        Self::SyncFinished,
        Self::StateChanged,
    ];

    /// A part of the line that only this says.
    pub const fn text(self, kind: ServerKind) -> &'static str {
        match (self, kind) {
            (Self::MarkedFailed, _) => " as failing (quorum reached)",
            (Self::ElectionStarted, _) => "Starting a failover election for epoch",
            (Self::ElectionWon, _) => "Failover election won",
            (Self::ManualFailover, _) => "Manual failover user request accepted",
            (Self::FullSyncStarted, _) => "Full resync from",
            (Self::SyncFinished, ServerKind::Redis) => "MASTER <-> REPLICA sync: Finished with success",
            (Self::SyncFinished, ServerKind::Valkey) => "PRIMARY <-> REPLICA sync: Finished with success",
            (Self::StateChanged, _) => "Cluster state changed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_anchor_is_a_line_that_matters() {
        for anchor in Anchor::ALL {
            for kind in [ServerKind::Redis, ServerKind::Valkey] {
                let line = format!("1:M 21 Nov 2026 02:29:21.284 # {}.", anchor.text(kind));
                assert!(matters(&line), "{anchor:?}: {line}");
            }
        }
    }

    #[test]
    fn chatter_does_not_matter() {
        for line in [
            "22481:M 21 Nov 2026 02:29:26.664 * Ready to accept connections",
            "1:M 21 Nov 2026 02:29:26.664 # WARNING: The TCP backlog setting of 511 cannot be enforced",
            "1:C 21 Nov 2026 02:29:26.664 * oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo",
        ] {
            assert!(!matters(line), "{line}");
        }
    }
}
