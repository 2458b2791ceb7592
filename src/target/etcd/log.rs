//! Which lines of a member's log mean something.
//!
//! The texts are those of etcd 3.4 to 3.6 (`raft/raft.go`, `etcdserver/server.go`, `mvcc`), which log them as plain lines or
//! as JSON by version. A line is kept when it holds any of these; all lines stay in the node's folder.

const MATTERS: &[&str] = &[
    // Crashes and what comes close.
    "panic",
    "fatal error",
    "FATAL",
    "DATA RACE",
    " C | ",
    "\"level\":\"fatal\"",
    "\"level\":\"panic\"",
    "corrupt",
    "failed to purge",
    "cannot ",
    "no space left",
    "input/output error",
    // Elections.
    "is starting a new election",
    "became candidate",
    "became leader",
    "became follower",
    "elected leader",
    "lost leader",
    "changed leader",
    "transfer leadership",
    "leadership transfer",
    // Members and snapshots.
    "added member",
    "removed member",
    "the member has been permanently removed",
    "became active",
    "became inactive",
    "snapshot",
    "compact",
    "defragment",
    "database space exceeded",
    "alarm",
];

pub fn matters(line: &str) -> bool {
    MATTERS.iter().any(|part| line.contains(part))
}
