//! `cpu_hog`: a node shares its core with busy threads that have nothing to do, as beside a noisy neighbour. All threads
//! of the node are bound to one core meanwhile, and the kernel's scheduler divides it.
//!
//! A node with one busy thread beside three of them has a quarter of the core, and waits for its turn each time that
//! it wakes up. With `cpu_limit` a node is slow when it wants much; here it is late even if it wants little. Others
//! that happen to run on that core are late too, until the kernel moves them.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::fault::resource::ResourceRule;

crate::record! {
    pub struct CpuHog {
        /// the node whose core is wanted by others
        pub node: NodeSelector,
        /// the busy threads beside it
        pub threads: u16 = 3,
    }
}

impl CpuHog {
    pub const NAME: &'static str = "cpu_hog";

    pub fn rule(&self) -> ResourceRule {
        ResourceRule::Hog { threads: self.threads }
    }
}

impl Declared for CpuHog {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Resource,
        class: Class::Disruptive,
        summary: "bind a node to one core, together with busy threads",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let threads = *context.rng.pick(&[1, 3, 8]);
        Some(Self { node, threads })
    }
}
