//! `slow_disk`: every write and every sync of a node takes that much longer. The process waits in the call, others
//! go on. In environment `exact` what a background thread of the server does is not slowed; in `live` it is, and its
//! other threads go on meanwhile.

use crate::catalogue::{Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector};
use crate::fault::disk::DiskRule;
use crate::time::Millis;

crate::record! {
    pub struct SlowDisk {
        /// the node whose disk is slow
        pub node: NodeSelector,
        /// how long each call takes
        pub delay: Millis = Millis(20),
    }
}

impl SlowDisk {
    pub const NAME: &'static str = "slow_disk";
}

impl Declared for SlowDisk {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Disk,
        class: Class::Disruptive,
        summary: "let each write and sync of a node take that much longer",
        targets: &["valkey"],
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let delay = Millis(*context.rng.pick(&[1, 5, 20, 100]));
        Some(Self { node, delay })
    }
}

impl SlowDisk {
    pub fn rule(&self) -> DiskRule {
        DiskRule::Slow { delay: self.delay }
    }
}
