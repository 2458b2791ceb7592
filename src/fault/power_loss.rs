//! `power_loss`: a node ends at once, and what it had not synced is gone.
//!
//! Each file that the node has written keeps some of what was written since its last `fsync` or `fdatasync`, in the order
//! of the writes; how much follows from the seed. A file that was appended to is cut at its end. In `live` what was
//! written in place is in its old state from there on, in whole blocks of 4096 bytes, and stores into mapped files count once
//! the kernel has written them; in `exact` only lengths are kept, which is all that the servers there need. In `live`
//! peers see its connections close, as after a kill; in `exact` nobody tells them. Names (a file that was made, renamed or removed) are durable at once, in order, as in the journal of a
//! file system. What a file held that took the place of another by a rename is durable too, unless the fault says
//! otherwise: ext4 (`auto_da_alloc`) and btrfs write it out first, POSIX does not ask for it. In `live` a size that was set (`ftruncate`, `fallocate`) is durable at once as well.
//! `sync_file_range` makes nothing durable (its manual page says so), and nothing is written back by time alone: Linux does
//! so after 30 seconds.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};

crate::record! {
    pub struct PowerLoss {
        /// the node that loses its power
        pub node: NodeSelector,
        /// whether a file that was renamed over another is durable, as on ext4 and btrfs but not on XFS
        pub flush_renamed: bool = true,
    }
}

impl PowerLoss {
    pub const NAME: &'static str = "power_loss";
}

impl Declared for PowerLoss {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Power,
        class: Class::Disruptive,
        summary: "end a node and lose what it had not synced; at the end of `for:` it comes back with the rest",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        Some(Self { node: NodeSelector::Primary(context.shard()), flush_renamed: true })
    }
}
