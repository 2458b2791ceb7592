//! Log lines that mark the moments at which a fault hurts most, for anchors of the form `when: {log: ...}`.
//!
//! The texts stand in both servers that are tested (redis 7.0.15 and valkey 8.0.1, `src/cluster_legacy.c` and
//! `src/replication.c`; redis 7.0 keeps the former in `src/cluster.c`), where their wording differs only
//! behind the part given here. The embedded target logs the same words for the same situations.

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
    /// Whether the embedded target has the situation.
    pub embedded: bool,
}

const fn moment(has: &'static str, cause: Cause, speaker: Speaker, embedded: bool) -> Moment {
    Moment { has, cause, speaker, embedded }
}

pub const MOMENTS: &[Moment] = &[
    moment("Start of election delayed", Cause::Election, Speaker::Replica, true),
    moment("Starting a failover election", Cause::Election, Speaker::Replica, true),
    moment("Failover auth granted", Cause::Election, Speaker::Other, true),
    moment("Failover election won", Cause::Election, Speaker::Replica, true),
    moment("as failing (quorum reached)", Cause::Election, Speaker::Other, false),
    moment("Cluster state changed: fail", Cause::Election, Speaker::Other, false),
    moment(
        "Configuration change detected. Reconfiguring myself as a replica",
        Cause::Election,
        Speaker::Other,
        false,
    ),
    moment("Full resync requested by replica", Cause::Resync, Speaker::Primary, true),
    moment("Starting BGSAVE for SYNC", Cause::Resync, Speaker::Primary, false),
    moment("REPLICA sync started", Cause::Resync, Speaker::Replica, false),
    moment("REPLICA sync: Loading DB in memory", Cause::Resync, Speaker::Replica, false),
    moment("Partial resynchronization request", Cause::Resync, Speaker::Primary, false),
    moment("Clear FAIL state for node", Cause::Resync, Speaker::Other, false),
    moment("Manual failover requested by replica", Cause::Manual, Speaker::Primary, false),
    moment("Received replication offset for paused", Cause::Manual, Speaker::Replica, false),
    moment("Failover auth granted", Cause::Manual, Speaker::Other, true),
    moment("Failover election won", Cause::Manual, Speaker::Replica, true),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_moment_on_every_target() {
        for cause in Cause::ALL.iter().filter(|cause| **cause != Cause::Death) {
            assert!(MOMENTS.iter().any(|m| m.cause == *cause), "{cause}");
            assert!(
                MOMENTS.iter().any(|m| m.cause == *cause && m.embedded),
                "{cause} on the embedded target"
            );
        }
    }
}
