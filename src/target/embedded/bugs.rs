//! Named bugs that can be switched on (`--bug NAME`, `bugs:` in a scenario): the canary that proves the checks.
//!
//! Each is planted in our code around the consensus library, at the place where a person would make that
//! mistake, and each names the check that is expected to find it. With none on, the cluster keeps its promises.

/// A mistake with a name.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    pub name: &'static str,
    pub summary: &'static str,
    /// The check that must find it, whatever others find besides.
    pub found_by: &'static str,
    /// Found within this many seeds of the canary's light scenario.
    pub within_seeds: u32,
    /// How many events it takes to see it: a finding is shrunk to no more than these.
    pub needs_events: u8,
}

macro_rules! bugs {
    ($($flag:ident: $summary:literal, $found_by:expr, $within:literal, $needs:literal;)*) => {
        /// Every bug, in the order of the flags.
        pub const BUGS: &[Bug] = &[$(Bug {
            name: stringify!($flag), summary: $summary, found_by: $found_by, within_seeds: $within, needs_events: $needs,
        }),*];

        /// The bugs of one run.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Bugs { $(pub $flag: bool),* }

        impl Bugs {
            /// Reads names; one that is not known comes back as the error.
            pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
                let mut bugs = Self::default();
                for name in names {
                    match name {
                        $(stringify!($flag) => bugs.$flag = true,)*
                        other => return Err(other.into()),
                    }
                }
                Ok(bugs)
            }
        }
    };
}

bugs! {
    ack_before_decided: "a primary acknowledges a write when it has proposed it, before a majority has it",
        "linearizability", 100, 1;
    read_without_quorum: "a primary answers reads from memory without asking whether it still leads",
        "linearizability", 200, 1;
    forget_promise_on_restart: "a node that restarts has forgotten what it promised and accepted since its last snapshot",
        "acknowledged_loss", 600, 1;
    lose_unsynced_log: "a node says that its log is synced half a second before it is",
        "acknowledged_loss", 300, 1;
    apply_twice_on_retry: "a command that was proposed again is applied again",
        "linearizability", 100, 1;
    two_owners_after_slot_move: "the giver of a slot goes on claiming it after the move",
        "slot_coverage", 100, 1;
    snapshot_drops_keys: "a snapshot leaves out every eighth key",
        "data_consistency", 100, 1;
    stale_slot_map_after_restart: "a node that restarts begins with the first slot map and takes no newer one",
        "view_agreement", 100, 1;
    never_fails_over: "a replica that has won its shard's election does not tell the cluster",
        "slot_coverage", 100, 1;
    leak_keys_after_slot_move: "the giver of a slot keeps the keys",
        "data_consistency", 400, 1;
    replica_serves_stale_after_heal: "a replica stops applying its log once its link was broken and came back",
        "replica_sync", 100, 1;
    panic_on_duplicate_message: "a message that arrives twice ends the process",
        "crash", 100, 1;
    lost_session_reorder: "messages reach the consensus library as they arrive: out of order, twice, or not at all",
        "replica_sync", 300, 1;
    minority_keeps_writing: "a primary that is cut off decides alone",
        "acknowledged_loss", 200, 1;
    sleepy_election: "a replica waits five minutes before it takes over",
        "slot_coverage", 100, 1;
    usurping_replica: "a replica takes its shard over every three seconds, though the primary is well",
        "convergence_time", 100, 1;
}

/// The bug of this name.
pub fn find(name: &str) -> Option<&'static Bug> {
    BUGS.iter().find(|bug| bug.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_or_refused() {
        for bug in BUGS {
            assert_ne!(Bugs::from_names([bug.name]), Ok(Bugs::default()));
        }
        assert_eq!(Bugs::from_names(["no_such_bug"]), Err("no_such_bug".into()));
        assert!(find("ack_before_decided").is_some());
    }
}
