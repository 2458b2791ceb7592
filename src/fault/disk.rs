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
    /// Every write and every sync takes so long, and every read so long; where there is a rate, writes follow one
    /// another at so many thousand bytes a second.
    Slow { delay: Millis, read: Millis, rate: u32 },
    /// At the `nth` such call.
    Strike { call: FileCall, nth: u32, how: Blow },
}

/// Kinds of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    pub write: bool,
    pub sync: bool,
    pub rename: bool,
    pub read: bool,
}

impl Calls {
    /// All that change something.
    pub const ALL: Self = Self { write: true, sync: true, rename: true, read: false };

    pub const fn any(self) -> bool {
        self.write || self.sync || self.rename || self.read
    }
    pub const fn and(self, other: Self) -> Self {
        Self {
            write: self.write || other.write,
            sync: self.sync || other.sync,
            rename: self.rename || other.rename,
            read: self.read || other.read,
        }
    }
    /// Whether these hold all of the others.
    pub const fn hold(self, others: Self) -> bool {
        (self.write || !others.write)
            && (self.sync || !others.sync)
            && (self.rename || !others.rename)
            && (self.read || !others.read)
    }
}

impl From<FileCall> for Calls {
    fn from(call: FileCall) -> Self {
        match call {
            FileCall::Write => Self { write: true, ..Self::default() },
            FileCall::Sync => Self { sync: true, ..Self::default() },
            FileCall::Rename => Self { rename: true, ..Self::default() },
            FileCall::Any => Self::ALL,
        }
    }
}

/// Microseconds that so many bytes take at a rate in thousand bytes a second; none where there is no rate.
pub const fn transfer(bytes: u64, rate: u32) -> u64 {
    if rate == 0 { 0 } else { bytes.saturating_mul(1000) / rate as u64 }
}

impl DiskRule {
    /// The calls that it is about.
    pub fn calls(&self) -> Calls {
        match self {
            Self::Fail { call, .. } | Self::Strike { call, .. } => (*call).into(),
            Self::Full { .. } => FileCall::Write.into(),
            Self::Slow { read, .. } => {
                Calls { write: true, sync: true, rename: false, read: !read.is_zero() }
            }
        }
    }
}
