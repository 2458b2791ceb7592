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

/// What a line means, for who does not know the server: a part of the line, and a sentence.
pub const MEANINGS: &[(&str, &str)] = &[
    ("ASSERTION FAILED", "The server found itself in a state that its authors had ruled out, and ended."),
    ("BUG REPORT", "The server reports a crash of its own."),
    ("crashed by signal", "The server crashed."),
    ("Out Of Memory", "The server could not get memory."),
    ("Unrecoverable error", "The server cannot go on with what it found on its disk."),
    ("as failing (quorum reached)", "A majority of the primaries agrees that this node is gone."),
    ("FAIL message received", "It was told that a node is gone."),
    ("Clear FAIL state", "The node that counted as gone is back."),
    (
        "Cluster state changed: fail",
        "It refuses requests from here on: the cluster is not whole in its view.",
    ),
    ("Cluster state changed: ok", "It answers requests from here on."),
    (
        "Start of election delayed",
        "A replica waits its turn before it asks for votes; the rank says how many are ahead of it.",
    ),
    ("Starting a failover election", "It asks the primaries for their votes."),
    ("Failover auth granted", "It gives its vote. Voters look at epochs and slots, not at data."),
    ("Failover auth denied", "It refuses its vote."),
    ("Failover election won", "A majority voted for it: it is a primary from here on."),
    ("Failover attempt expired", "It did not get a majority in time."),
    ("Currently unable to failover", "It would take over but may not, for the reason given."),
    ("Manual failover user request accepted", "An administrator asked it to take over."),
    ("Taking over the master", "It takes over without asking anybody, as it was told."),
    ("Taking over the primary", "It takes over without asking anybody, as it was told."),
    (
        "Configuration change detected",
        "It learned that another node has its slots, and follows that one now.",
    ),
    ("Reconfiguring myself as a replica", "It becomes a replica of the node named."),
    ("I'm a sub-replica", "It followed a replica, and follows that one’s primary now."),
    ("configEpoch collision", "Two primaries had one epoch; the one with the lesser name takes a new one."),
    ("configEpoch set to", "It took a new configuration epoch."),
    ("New configEpoch", "It took a new configuration epoch."),
    ("Migrating to orphaned", "It leaves its shard for one that has no replica left."),
    (
        "Partial resynchronization not accepted",
        "“We have no stream in common from where you are; you need everything.”",
    ),
    ("Successful partial resynchronization", "It goes on in the stream where it was."),
    ("Full resync", "It is to get a full copy, from this position of its primary’s stream."),
    ("Delay next BGSAVE", "The primary puts the copy off."),
    ("Flushing old data", "It erases what it held itself to load the copy."),
    ("Finished with success", "It has its primary’s data."),
    ("Synchronization with replica", "The primary has given a replica its copy."),
    ("asks for synchronization", "A replica asks its primary for what it lacks."),
    ("Connection with master lost", "Its link to its primary broke."),
    ("Connection with primary lost", "Its link to its primary broke."),
    ("Connection with replica", "The link to one of its replicas broke."),
    ("Error condition on socket for SYNC", "It could not reach its primary."),
    ("Discarding previously cached", "It gives up the position that it had kept of an earlier stream."),
    ("Deleting keys in dirty slot", "It deletes the keys of a slot that went to another node."),
    ("I have keys for slot", "It holds keys of a slot that it does not own."),
    ("AOF write error", "It cannot write its log of commands."),
    ("MISCONF", "It refuses writes: it could not save."),
    ("Can't save in background", "It could not start to save."),
];

/// What the server said, without its process and its own clock: `20001:M 01 Jan 2026 00:00:00.008 * ...`.
pub fn said(line: &str) -> &str {
    let marks = [" * ", " # ", " - ", " . "];
    let stamped = line
        .split_once(':')
        .is_some_and(|(pid, _)| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()));
    let at = marks.iter().filter_map(|mark| line.find(mark)).min().filter(|at| stamped && *at < 48);
    at.map_or(line, |at| &line[at + 3..])
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
