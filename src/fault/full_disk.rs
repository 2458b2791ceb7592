//! `full_disk`: a node's disk has room for a few bytes more, and then for none.
//!
//! The write that does not fit is short, as file systems do it, and those behind it fail by `ENOSPC`. What the node
//! removes gives no room back: others fill the disk. At the end there is room again, and a server that has ended
//! is started.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::fault::disk::DiskRule;

crate::record! {
    pub struct FullDisk {
        /// the node whose disk is full
        pub node: NodeSelector,
        /// the bytes that still fit
        pub room: u64 = 0,
    }
}

impl FullDisk {
    pub const NAME: &'static str = "full_disk";
}

impl Declared for FullDisk {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Disk,
        class: Class::Disruptive,
        summary: "leave a node's disk room for so many bytes: a short write, then ENOSPC",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let room = *context.rng.pick(&[0, 100, 1000, 10_000, 100_000]);
        Some(Self { node, room })
    }
}

impl FullDisk {
    pub fn rule(&self) -> DiskRule {
        DiskRule::Full { room: self.room }
    }
}
