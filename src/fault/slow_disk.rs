//! `slow_disk`: every write and every sync of a node takes that much longer, and every read where that is asked for; with
//! a rate, writes also take the longer the more they write. The process waits in the call, others go on. In environment
//! `exact` what a background thread of the server does is not slowed; in `live` it is, and its other threads go on
//! meanwhile: all of a node's writes share the rate there, while in `exact` a forked child has it to itself. Reads of
//! mapped files are no calls, and are not slowed.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::fault::disk::DiskRule;
use crate::time::Millis;

crate::record! {
    pub struct SlowDisk {
        /// the node whose disk is slow
        pub node: NodeSelector,
        /// how long each write and sync takes
        pub delay: Millis = Millis(20),
        /// how long each read takes (environment `live`)
        #[serde(default, skip_serializing_if = "Millis::is_zero")]
        pub read: Millis = Millis(0),
        /// how many thousand bytes a second its writes come to, beside `delay`; 0: as many as there are
        #[serde(default, skip_serializing_if = "is_zero")]
        pub rate: u32 = 0,
    }
}

/// The widest disk that can be told from one without a limit.
pub const RATE_MAX: u32 = 100_000;

fn is_zero(rate: &u32) -> bool {
    *rate == 0
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
        summary: "let each write and sync of a node, or each read, take that much longer, or its disk be narrow",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn needs(&self) -> Ability {
        if self.read.is_zero() { Ability::Disk } else { Ability::Reads }
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let delay = Millis(*context.rng.pick(&[1, 5, 20, 100]));
        Some(Self { node, delay, read: Millis(0), rate: 0 })
    }
}

impl SlowDisk {
    pub fn rule(&self) -> DiskRule {
        DiskRule::Slow { delay: self.delay, read: self.read, rate: self.rate }
    }
}
