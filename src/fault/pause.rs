//! `pause`: SIGSTOP, and SIGCONT at the end: the process is silent, its sockets stay open.
//!
//! It still receives, as a stopped process does: connections are accepted into its backlog, and what is sent to it
//! waits in the kernel until it goes on. In virtual time it gets no turns instead of a signal; the rest is the same.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};

crate::record! {
    pub struct Pause {
        /// the node that stops
        pub node: NodeSelector,
    }
}

impl Pause {
    pub const NAME: &'static str = "pause";
}

impl Declared for Pause {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Signal,
        class: Class::Disruptive,
        summary: "stop a process (SIGSTOP) and let it go on at the end of `for:`",
        targets: targets::ALL,
        drawn: true,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let shard = context.shard();
        let replica = context.replicas > 0 && context.rng.ratio(1, 4);
        let node = if replica {
            NodeSelector::Replica(shard, context.rng.below(u64::from(context.replicas)) as u16)
        } else {
            NodeSelector::Primary(shard)
        };
        Some(Self { node })
    }
}
