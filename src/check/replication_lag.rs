//! `replication_lag`: see `docs/checks.md`.

use crate::time::Millis;

crate::record! {
    pub struct ReplicationLag {
        /// the longest that a replica may not have heard from its primary, once converged
        pub within: Option<Millis> = None,
    }
}

impl ReplicationLag {
    pub const NAME: &'static str = "replication_lag";
}
