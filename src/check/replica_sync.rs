//! `replica_sync`: see `docs/checks.md`.

use crate::time::Millis;

crate::record! {
    pub struct ReplicaSync {
        /// how long a replica may take to catch up once the load has stopped
        pub within: Option<Millis> = None,
    }
}

impl ReplicaSync {
    pub const NAME: &'static str = "replica_sync";
}
