//! What the faults of a disk have in common: which calls of a node they are about, and what becomes of those.
//!
//! A call counts if it is about a regular file of the node that is not the server's log: data, `nodes.conf`, the
//! temporary files of both. Calls of forked children count with those of the server.

use crate::time::Millis;
use serde::{Deserialize, Serialize};

crate::word! {
    /// A kind of calls to the disk. `fsync` is `fdatasync` too.
    pub enum FileCall { Write = "write", Sync = "fsync", Rename = "rename", Any = "any" }
}

crate::word! {
    /// The error of a call that fails.
    pub enum DiskErrno { Io = "EIO", NoSpace = "ENOSPC" }
}

crate::word! {
    /// What happens at a call.
    pub enum Blow {
        /// The process ends before the call.
        Kill = "kill",
        /// The process ends in the middle of a write, of which a part is stored.
        Torn = "torn",
        /// The power fails before the call: what was not synced is lost.
        Power = "power",
        /// The process stops before the call.
        Pause = "pause",
    }
}

/// A rule for calls to the disk of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskRule {
    /// From the `nth` such call on they fail, `count` of them; 0: all.
    Fail { call: FileCall, error: DiskErrno, nth: u32, count: u32 },
    /// There is room for so many bytes more.
    Full { room: u64 },
    /// Every write and every sync takes so long.
    Slow { delay: Millis },
    /// At the `nth` such call.
    Strike { call: FileCall, nth: u32, how: Blow },
}
