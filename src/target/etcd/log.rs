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

/// What a member says that serves its peers: etcd 3.4, with either of its loggers, 3.5 and 3.6 (`embed/etcd.go`).
pub const SERVES_PEERS: &[&str] = &["listening for peers on", "serving peer traffic", "cmux::serve"];

pub fn matters(line: &str) -> bool {
    MATTERS.iter().any(|part| line.contains(part))
}

/// What a line means, for who does not know the server: a part of the line, and a sentence.
pub const MEANINGS: &[(&str, &str)] = &[
    ("panic", "The server found itself in a state that its authors had ruled out, and ended."),
    ("no space left", "Its disk is full."),
    ("input/output error", "Its disk failed."),
    (
        "is starting a new election",
        "It has not heard of a leader for its election timeout, and asks for votes.",
    ),
    ("became candidate", "It stands for election, in the term named."),
    ("became pre-candidate", "It asks whether it would be elected, before it begins a term."),
    ("became leader", "A majority voted for it: it leads this term."),
    ("became follower", "It follows, in the term named."),
    ("elected leader", "It knows who leads this term."),
    ("lost leader", "It knows of no leader any more, and serves no linearizable request."),
    ("changed leader", "It follows another leader now."),
    ("transfer leadership", "The leader hands over to another member."),
    ("added member", "It counts one member more."),
    ("removed member", "It counts one member fewer."),
    ("permanently removed", "It learned that it is no member any more, and ends."),
    ("became inactive", "It does not reach this peer."),
    ("became active", "It reaches this peer again."),
    ("database space exceeded", "Its store is at its quota: it takes no writes."),
    ("finished scheduled compaction", "It has forgotten the revisions before the one named."),
    ("defragment", "It writes its store anew."),
    ("snapshot", "It makes, sends or loads a snapshot."),
];

/// What the server said, without its own clock: `2026-11-22 12:17:04.123456 I | raft: ...`, and of its library
/// `raft2026/11/22 12:17:04 INFO: ...`; JSON stays as it is.
pub fn said(line: &str) -> &str {
    let short = |mark: &str| line.split_once(mark).filter(|(head, _)| head.len() < 40).map(|(_, text)| text);
    short(" | ").or_else(|| line.starts_with("raft2").then(|| short(": ")).flatten()).unwrap_or(line)
}
